/*
 * The main loop: one GMainLoop on the default context, and a queue of posted calls.
 * SPDX-License-Identifier: MIT
 */
#include "util/mainloop.h"
#include <stdbool.h>

typedef struct Post {
    void (*fn)(void *opaque);
    void *opaque;
} Post;

static GMutex mainloop_lock; /* leaf: guards what follows */
static GMainLoop *mainloop;
static bool mainloop_ending;
static int mainloop_status;
static GQueue mainloop_posts = G_QUEUE_INIT; /* Post * */
static bool mainloop_scheduled;              /* an idle source will run the posts */

int mainloop_run(void)
{
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    g_mutex_lock(&mainloop_lock);
    mainloop = loop;
    bool ending = mainloop_ending;
    g_mutex_unlock(&mainloop_lock);
    if (!ending)
        g_main_loop_run(loop);
    g_mutex_lock(&mainloop_lock);
    int status = mainloop_status;
    mainloop = NULL;
    mainloop_ending = false;
    g_mutex_unlock(&mainloop_lock);
    g_main_loop_unref(loop);
    return status;
}

/* On the loop's own thread, where a quit that comes before the loop spins is not lost. */
static void mainloop_end(void *opaque)
{
    g_mutex_lock(&mainloop_lock);
    GMainLoop *loop = mainloop;
    g_mutex_unlock(&mainloop_lock);
    if (loop)
        g_main_loop_quit(loop);
}

void mainloop_quit(int status)
{
    g_mutex_lock(&mainloop_lock);
    bool first = !mainloop_ending;
    if (first) {
        mainloop_ending = true;
        mainloop_status = status;
    }
    g_mutex_unlock(&mainloop_lock);
    if (first)
        mainloop_post(mainloop_end, NULL);
}

static Post *mainloop_next(void)
{
    g_mutex_lock(&mainloop_lock);
    Post *post = g_queue_pop_head(&mainloop_posts);
    g_mutex_unlock(&mainloop_lock);
    return post;
}

static gboolean mainloop_dispatch(gpointer opaque)
{
    g_mutex_lock(&mainloop_lock);
    unsigned count = mainloop_posts.length; /* what these post waits for the next turn */
    g_mutex_unlock(&mainloop_lock);
    for (Post *post; count-- && (post = mainloop_next()); g_free(post))
        post->fn(post->opaque);
    g_mutex_lock(&mainloop_lock);
    mainloop_scheduled = mainloop_posts.length > 0;
    bool again = mainloop_scheduled;
    g_mutex_unlock(&mainloop_lock);
    return again;
}

void mainloop_post(void (*fn)(void *opaque), void *opaque)
{
    Post *post = g_new(Post, 1);
    *post = (Post){ fn, opaque };
    g_mutex_lock(&mainloop_lock);
    g_queue_push_tail(&mainloop_posts, post);
    bool schedule = !mainloop_scheduled;
    mainloop_scheduled = true;
    g_mutex_unlock(&mainloop_lock);
    if (schedule)
        g_idle_add_full(G_PRIORITY_DEFAULT, mainloop_dispatch, NULL, NULL);
}

void mainloop_cancel(void *opaque)
{
    g_mutex_lock(&mainloop_lock);
    for (GList *link = mainloop_posts.head, *next; link; link = next) {
        Post *post = link->data;
        next = link->next;
        if (post->opaque == opaque) {
            g_free(post);
            g_queue_delete_link(&mainloop_posts, link);
        }
    }
    g_mutex_unlock(&mainloop_lock);
}
