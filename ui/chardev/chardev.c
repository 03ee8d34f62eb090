/*
 * Character devices: the registry, -chardev, the short forms, and the bytes on their way (see chardev.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/device.h"
#include "hw/core/machine.h"
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_LIMIT (1u << 20)

static const ChardevType *const types[] = { &chardev_null, &chardev_stdio, &chardev_file, NULL };
static GPtrArray *all; /* Chardev *; main loop's thread */

static void *find_by_id(const char *id, GError **err)
{
    Chardev *c = chardev_find(id);
    if (!c)
        error_set(err, "there is no -chardev with id '%s'", id);
    return c;
}

static const char *name_of(const void *object)
{
    return ((const Chardev *)object)->id;
}

static Chardev *chardev_register(const ChardevType *type, const char *id)
{
    if (!all) {
        all = g_ptr_array_new();
        device_set_resolver(PROP_CHARDEV, find_by_id, name_of);
    }
    Chardev *c = g_new0(Chardev, 1);
    c->type = type;
    c->id = g_strdup(id);
    c->in_fd = c->out_fd = -1;
    c->queue = g_byte_array_new();
    g_mutex_init(&c->lock);
    g_ptr_array_add(all, c);
    return c;
}

static void chardev_close(Chardev *c)
{
    if (c->in_watch)
        g_source_remove(c->in_watch);
    if (c->out_watch)
        g_source_remove(c->out_watch);
    for (guint done = 0; c->out_fd >= 0 && done < c->queue->len;) { /* what is left, as long as somebody takes it */
        struct pollfd p = { c->out_fd, POLLOUT, 0 };
        ssize_t n = poll(&p, 1, 1000) > 0 ? write(c->out_fd, c->queue->data + done, c->queue->len - done) : -1;
        if (n <= 0)
            break;
        done += n;
    }
    if (c->type->close)
        c->type->close(c);
    g_byte_array_free(c->queue, TRUE);
    g_mutex_clear(&c->lock);
    g_free(c->id);
    g_free(c);
}

void chardev_remove_all(void)
{
    for (guint i = 0; all && i < all->len; i++)
        chardev_close(all->pdata[i]);
    if (all)
        g_ptr_array_set_size(all, 0);
    chardev_restore_terminal();
}

Chardev *chardev_find(const char *id)
{
    for (guint i = 0; all && i < all->len; i++) {
        Chardev *c = all->pdata[i];
        if (!strcmp(c->id, id))
            return c;
    }
    return NULL;
}

const char *chardev_id(const Chardev *chardev)
{
    return chardev->id;
}

char *chardev_help(void)
{
    GString *out = g_string_new("Available chardev backend types:\n");
    for (const ChardevType *const *t = types; *t; t++)
        g_string_append_printf(out, "  %-8s %s\n", (*t)->name, (*t)->desc);
    return g_string_free(out, FALSE);
}

static Chardev *open_backend(const char *backend, const char *id, Opts *opts, GError **err)
{
    const char *names[G_N_ELEMENTS(types)];
    const ChardevType *type = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        names[i] = types[i] ? types[i]->name : NULL;
        if (types[i] && !strcmp(types[i]->name, backend))
            type = types[i];
    }
    if (!type) {
        error_unknown_name(err, "-chardev: back end", backend, names);
        return NULL;
    }
    if (chardev_find(id)) {
        error_set(err, "-chardev: there is a character device '%s' already", id);
        return NULL;
    }
    Chardev *c = chardev_register(type, id);
    if (type->open(c, opts, err) && opts_finish(opts, type->keys, err))
        return c;
    g_ptr_array_remove(all, c);
    chardev_close(c);
    return NULL;
}

Chardev *chardev_add(Opts *opts, GError **err)
{
    const char *backend = opts_string(opts, "backend", NULL), *id = opts_string(opts, "id", NULL);
    if (!backend || !id) {
        error_set(err, "-chardev: needs a back end and an id, as in -chardev file,id=log,path=log.txt");
        return NULL;
    }
    return open_backend(backend, id, opts, err);
}

bool chardev_from_short(const char *label, const char *text, Chardev **out, GError **err)
{
    g_autoptr(Opts) opts = opts_new("-chardev");
    *out = NULL;
    if (!strcmp(text, "none"))
        return true;
    if (g_str_has_prefix(text, "mon:"))
        text += 4;
    if (g_str_has_prefix(text, "chardev:"))
        return (*out = find_by_id(text + 8, err)) != NULL;
    const char *backend = text;
    if (g_str_has_prefix(text, "file:")) {
        opts_add(opts, "path", text + 5);
        backend = "file";
    } else if (!strcmp(text, "vc")) {
        backend = "null";
    }
    return (*out = open_backend(backend, label, opts, err)) != NULL;
}

/* ---- bytes ---- */

static gboolean output_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *c = opaque;
    g_mutex_lock(&c->lock);
    ssize_t n = write(fd, c->queue->data, c->queue->len);
    if (n > 0)
        g_byte_array_remove_range(c->queue, 0, n);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        g_byte_array_set_size(c->queue, 0); /* nobody there any more */
    bool more = c->queue->len;
    if (!more)
        c->out_watch = 0;
    g_mutex_unlock(&c->lock);
    if (!more && c->client && c->client->writable)
        c->client->writable(c->opaque);
    return more;
}

size_t chardev_write(Chardev *c, const void *data, size_t len)
{
    if (!c || c->out_fd < 0)
        return len;
    g_mutex_lock(&c->lock);
    size_t done = 0;
    if (!c->queue->len) {
        ssize_t n = write(c->out_fd, data, len);
        done = n > 0 ? (size_t)n : errno == EAGAIN || errno == EINTR ? 0 : len;
    }
    size_t take = MIN(len - done, QUEUE_LIMIT - MIN(QUEUE_LIMIT, c->queue->len));
    g_byte_array_append(c->queue, (const guint8 *)data + done, take);
    if (c->queue->len && !c->out_watch)
        c->out_watch = g_unix_fd_add(c->out_fd, G_IO_OUT, output_ready, c);
    g_mutex_unlock(&c->lock);
    return done + take;
}

static void lock_client(Chardev *c, bool lock)
{
    if (!c->machine)
        return;
    if (lock)
        machine_lock(c->machine);
    else
        machine_unlock(c->machine);
}

static gboolean input_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *c = opaque;
    uint8_t buffer[4096];
    lock_client(c, true);
    size_t room = c->client ? MIN(c->client->can_read(c->opaque), sizeof(buffer)) : 0;
    lock_client(c, false);
    if (!room) { /* chardev_accept_input watches again */
        c->in_watch = 0;
        return G_SOURCE_REMOVE;
    }
    ssize_t n = read(fd, buffer, room);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) { /* end of input */
        c->in_watch = 0;
        c->ended = true;
        return G_SOURCE_REMOVE;
    }
    if (n > 0 && c->type->filter)
        n = c->type->filter(c, buffer, n);
    lock_client(c, true);
    if (n > 0 && c->client)
        c->client->read(c->opaque, buffer, n);
    lock_client(c, false);
    return G_SOURCE_CONTINUE;
}

static void watch_input(void *opaque)
{
    Chardev *c = opaque;
    if (c->in_fd >= 0 && !c->in_watch && c->client && !c->ended)
        c->in_watch = g_unix_fd_add(c->in_fd, G_IO_IN | G_IO_HUP, input_ready, c);
}

void chardev_accept_input(Chardev *c)
{
    if (!c->in_watch)
        mainloop_post(watch_input, c);
}

bool chardev_attach(Chardev *c, Machine *machine, const ChardevClient *client, void *opaque, GError **err)
{
    if (client && c->client)
        return error_set(err, "character device '%s' is in use already", c->id);
    c->client = client;
    c->opaque = opaque;
    c->machine = machine;
    watch_input(c);
    return true;
}
