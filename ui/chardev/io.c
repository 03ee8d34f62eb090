/*
 * Character devices: the bytes on their way (see chardev.h). Input is watched while the front end takes it. Output that
 * does not go at once is queued and written when the descriptor takes it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/machine.h"
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <unistd.h>

#define QUEUE_LIMIT   (1u << 20)
#define LAST_WORDS_MS 1000 /* how long a reader that does nothing is waited for at the end */

/* ---- front ends ---- */

/* machine is the caller's copy: a callback may disconnect. */
static void lock(Machine *machine)
{
    if (machine)
        machine_lock(machine);
}

static void unlock(Machine *machine)
{
    if (machine)
        machine_unlock(machine);
}

size_t front_can_read(ChardevFront *f)
{
    Machine *machine = f->machine;
    if (!f->client)
        return 0;
    lock(machine);
    size_t room = f->client->can_read(f->opaque);
    unlock(machine);
    return room;
}

/* Between can_read and this one only a guest's action can change the room: it mostly makes more; else the front end
 * does what its hardware would. */
void front_read(ChardevFront *f, const uint8_t *data, size_t len)
{
    Machine *machine = f->machine;
    if (!f->client || !len)
        return;
    lock(machine);
    f->client->read(f->opaque, data, len);
    unlock(machine);
}

void front_event(ChardevFront *f, ChardevEvent event)
{
    Machine *machine = f->machine;
    if (!f->client || !f->client->event)
        return;
    lock(machine);
    f->client->event(f->opaque, event);
    unlock(machine);
}

void front_writable(ChardevFront *f)
{
    Machine *machine = f->machine;
    if (!f->client || !f->client->writable)
        return;
    lock(machine);
    f->client->writable(f->opaque);
    unlock(machine);
}

void front_tell_opened(ChardevFront *f, bool opened)
{
    if (!f->client || f->opened == opened)
        return;
    f->opened = opened;
    front_event(f, opened ? CHARDEV_OPENED : CHARDEV_CLOSED);
}

void chardev_set_opened(Chardev *c, bool opened)
{
    c->opened = opened;
    front_tell_opened(&c->front, opened);
}

/* ---- output ---- */

bool chardev_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static void output_broken(void *opaque)
{
    Chardev *c = opaque;
    g_mutex_lock(&c->lock);
    bool broken = c->broken; /* not if there are new descriptors meanwhile */
    c->broken = false;
    g_mutex_unlock(&c->lock);
    if (broken)
        c->type->hup(c, false);
}

/* Lock held. How many of the bytes went; all of them if nobody is there who could ever take them. */
static size_t write_now(Chardev *c, const void *data, size_t len)
{
    ssize_t n = write(c->out_fd, data, len);
    if (n >= 0)
        return n;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    if (c->type->hup && !c->broken) {
        c->broken = true;
        mainloop_post(output_broken, c);
    }
    return len;
}

static gboolean output_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *c = opaque;
    g_mutex_lock(&c->lock);
    g_byte_array_remove_range(c->queue, 0, write_now(c, c->queue->data, c->queue->len));
    bool more = c->queue->len, wake = !more && c->short_write;
    if (!more)
        c->out_watch = 0;
    if (wake)
        c->short_write = false;
    g_mutex_unlock(&c->lock);
    if (wake)
        front_writable(&c->front);
    return more;
}

size_t chardev_output(Chardev *c, const void *data, size_t len, bool whole)
{
    g_mutex_lock(&c->lock);
    if (c->out_fd < 0 || !len) {
        g_mutex_unlock(&c->lock);
        return len;
    }
    size_t done = c->queue->len ? 0 : write_now(c, data, len);
    size_t take = whole ? len - done : MIN(len - done, QUEUE_LIMIT - MIN(QUEUE_LIMIT, c->queue->len));
    g_byte_array_append(c->queue, (const guint8 *)data + done, take);
    if (done + take < len)
        c->short_write = true;
    if (c->queue->len && !c->out_watch)
        c->out_watch = g_unix_fd_add(c->out_fd, G_IO_OUT, output_ready, c);
    g_mutex_unlock(&c->lock);
    return done + take;
}

bool chardev_has_room(Chardev *c)
{
    g_mutex_lock(&c->lock);
    bool room = c->queue->len < QUEUE_LIMIT;
    c->short_write |= !room;
    g_mutex_unlock(&c->lock);
    return room;
}

size_t chardev_write(Chardev *c, const void *data, size_t len)
{
    if (!c)
        return len;
    size_t done = c->type->write ? c->type->write(c, data, len) : chardev_output(c, data, len, false);
    if (c->log_fd >= 0 && done && write(c->log_fd, data, done) < 0)
        return done; /* a log that cannot be written is no reason to stop */
    return done;
}

void chardev_finish_output(Chardev *c)
{
    for (guint done = 0; c->out_fd >= 0 && done < c->queue->len;) {
        struct pollfd p = { c->out_fd, POLLOUT, 0 };
        ssize_t n = poll(&p, 1, LAST_WORDS_MS) > 0 ? write(c->out_fd, c->queue->data + done, c->queue->len - done) : -1;
        if (n <= 0)
            break;
        done += n;
    }
    g_byte_array_set_size(c->queue, 0);
}

void chardev_set_fds(Chardev *c, int in_fd, int out_fd)
{
    if (c->in_watch)
        g_source_remove(c->in_watch);
    c->in_watch = 0;
    c->in_fd = in_fd;
    c->ended = c->hung_up = false;
    g_mutex_lock(&c->lock);
    guint out_watch = c->out_watch;
    bool wake = c->short_write;
    c->out_fd = out_fd;
    c->out_watch = 0;
    c->broken = c->short_write = false;
    g_byte_array_set_size(c->queue, 0);
    g_mutex_unlock(&c->lock);
    if (out_watch)
        g_source_remove(out_watch);
    chardev_update_input(c);
    if (wake)
        front_writable(&c->front);
}

/* ---- input ---- */

void chardev_deliver(Chardev *c, const uint8_t *data, size_t len)
{
    front_read(&c->front, data, len);
}

/* True: go on watching. */
static bool read_input(Chardev *c, size_t room)
{
    uint8_t buffer[4096];
    ssize_t n = read(c->in_fd, buffer, MIN(room, sizeof(buffer)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        c->in_watch = 0;
        c->ended = true;
        if (c->type->hup)
            c->type->hup(c, true);
        return false;
    }
    if (c->type->filter)
        n = c->type->filter(c, buffer, n);
    chardev_deliver(c, buffer, n);
    return true;
}

static gboolean input_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *c = opaque;
    if (c->in_condition == G_IO_HUP) { /* while the front end takes nothing */
        c->in_watch = 0;
        c->hung_up = true;
        c->type->hup(c, false);
        return G_SOURCE_REMOVE;
    }
    /* Before asking: another thread may make room, and call chardev_accept_input, right after the answer. */
    g_atomic_int_set(&c->stalled, 1);
    size_t room = front_can_read(&c->front);
    if (!room) {
        c->in_watch = 0;
        chardev_update_input(c);
        return G_SOURCE_REMOVE;
    }
    g_atomic_int_set(&c->stalled, 0);
    return read_input(c, room);
}

void chardev_update_input(void *chardev)
{
    Chardev *c = chardev;
    gint condition = 0;
    if (c->in_fd >= 0 && !c->ended) {
        if (c->front.client && !g_atomic_int_get(&c->stalled))
            condition = G_IO_IN | G_IO_HUP | G_IO_ERR;
        else if (c->type->hup_watch && !c->hung_up)
            condition = G_IO_HUP;
    }
    if (c->in_watch && c->in_condition == condition)
        return;
    if (c->in_watch)
        g_source_remove(c->in_watch);
    c->in_condition = condition;
    c->in_watch = condition ? g_unix_fd_add(c->in_fd, condition, input_ready, c) : 0;
}

static void accept_input(void *opaque)
{
    Chardev *c = opaque;
    c->type->accept_input(c);
}

void chardev_accept_input(Chardev *c)
{
    if (g_atomic_int_compare_and_exchange(&c->stalled, 1, 0))
        mainloop_post(c->type->accept_input ? accept_input : chardev_update_input, c);
}

/* After chardev_attach, whose caller may hold the machine lock. */
static void attached(void *opaque)
{
    Chardev *c = opaque;
    front_tell_opened(&c->front, c->opened);
}

bool chardev_attach(Chardev *c, Machine *machine, const ChardevClient *client, void *opaque, GError **err)
{
    if (c->type->attach)
        return c->type->attach(c, machine, client, opaque, err);
    if (client && c->front.client)
        return error_set(err, "character device '%s' is in use already", c->id);
    c->front = (ChardevFront){ .machine = machine, .client = client, .opaque = opaque };
    g_atomic_int_set(&c->stalled, 0);
    chardev_update_input(c);
    if (client)
        mainloop_post(attached, c);
    return true;
}
