/*
 * mux=on: several front ends share one back end. Output of all goes there; input goes to the one that has the focus.
 * Keys after the escape key (Ctrl-A) are for the multiplexer itself (qemu(1), "Keys in the character backend
 * multiplexer").
 *
 * The multiplexer is a Chardev under the id of -chardev; what it shares is another, "ID-base", whose front end it is.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <string.h>

#define CLIENTS 4
#define KEPT    1024 /* bytes typed for a front end that does not take them now */

typedef struct MuxClient {
    ChardevFront front;
    uint8_t kept[KEPT];
    size_t count;
} MuxClient;

typedef struct Mux {
    Chardev *self, *base;
    MuxClient clients[CLIENTS];
    unsigned count, focus;
    bool escaped; /* the escape key was typed */
    /* Guarded by self->lock: */
    bool timestamps, line_start;
    gint64 first_time; /* microseconds; 0: not yet */
} Mux;

static int escape_key = 1;
static void (*sync_disks)(void);

void chardev_set_escape(int c)
{
    escape_key = c;
}

void chardev_set_sync(void (*sync)(void))
{
    sync_disks = sync;
}

/* ---- output ---- */

/* Lock held. */
static void write_timestamp(Mux *m)
{
    gint64 now = g_get_monotonic_time();
    if (!m->first_time)
        m->first_time = now;
    unsigned ms = (now - m->first_time) / 1000, s = ms / 1000;
    g_autofree char *text = g_strdup_printf("[%02u:%02u:%02u.%03u] ", s / 3600, s / 60 % 60, s % 60, ms % 1000);
    chardev_write(m->base, text, strlen(text));
}

static size_t mux_write(Chardev *c, const uint8_t *data, size_t len)
{
    Mux *m = c->state;
    size_t done = 0;
    g_mutex_lock(&c->lock);
    if (!m->timestamps)
        done = chardev_write(m->base, data, len);
    while (m->timestamps && done < len) {
        if (m->line_start)
            write_timestamp(m);
        const uint8_t *newline = memchr(data + done, '\n', len - done);
        size_t line = newline ? (size_t)(newline - (data + done)) + 1 : len - done,
               n = chardev_write(m->base, data + done, line);
        done += n;
        m->line_start = newline && n == line;
        if (n < line)
            break;
    }
    g_mutex_unlock(&c->lock);
    return done;
}

static void say(Mux *m, const char *text)
{
    chardev_write(m->self, text, strlen(text));
}

/* ---- focus and keys ---- */

/* Give front ends what is kept for them. True if nothing is left. Main loop's thread, no lock. */
static bool flush(Mux *m)
{
    bool empty = true;
    g_atomic_int_set(&m->self->stalled, 1); /* before asking, see input_ready in io.c */
    for (unsigned i = 0; i < m->count; i++) {
        MuxClient *client = &m->clients[i];
        size_t room;
        while (client->count && (room = front_can_read(&client->front))) {
            uint8_t some[KEPT];
            size_t n = MIN(room, client->count);
            memcpy(some, client->kept, n);
            client->count -= n;
            memmove(client->kept, client->kept + n, client->count);
            front_read(&client->front, some, n);
        }
        empty &= !client->count;
    }
    return empty;
}

static void set_focus(Mux *m, unsigned focus)
{
    m->focus = focus;
    for (unsigned i = 0; i < m->count; i++) {
        ChardevFront *f = &m->clients[i].front;
        if (f->focused && i != focus) {
            f->focused = false;
            front_event(f, CHARDEV_MUX_OUT);
        }
    }
    if (focus < m->count && !m->clients[focus].front.focused) {
        m->clients[focus].front.focused = true;
        front_event(&m->clients[focus].front, CHARDEV_MUX_IN);
    }
}

static void print_help(Mux *m)
{
    static const struct {
        char key;
        const char *text;
    } keys[] = { { 'h', "this help" },
                 { 'x', "leave: the machine ends" },
                 { 's', "save all disk data" },
                 { 't', "time before each line, or no more" },
                 { 'b', "send a break (Linux: magic SysRq)" },
                 { 'c', "next of those who share this terminal: console, monitor" } };
    g_autofree char *name = escape_key > 0 && escape_key <= 26 ? g_strdup_printf("C-%c", 'a' - 1 + escape_key)
                                                               : g_strdup_printf("0x%02x", escape_key & 0xff);
    g_autoptr(GString) out = g_string_new("\r\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        g_string_append_printf(out, "%s %-4c %s\r\n", name, keys[i].key, keys[i].text);
    g_string_append_printf(out, "%s %-4s send %s itself\r\n", name, name, name);
    say(m, out->str);
}

static void toggle_timestamps(Mux *m)
{
    g_mutex_lock(&m->self->lock);
    m->timestamps = !m->timestamps;
    m->line_start = false;
    m->first_time = 0;
    g_mutex_unlock(&m->self->lock);
}

static void keep(Mux *m, uint8_t byte)
{
    MuxClient *client = &m->clients[m->focus];
    if (client->count < KEPT) /* mux_can_read saw to it */
        client->kept[client->count++] = byte;
}

static void escaped_key(Mux *m, uint8_t key)
{
    if (key == escape_key) {
        keep(m, key);
        return;
    }
    flush(m); /* what was typed before */
    if (!m->count)
        return;
    switch (key) {
    case 'h':
    case '?':
        print_help(m);
        break;
    case 'x':
        say(m, "\rRhea: Terminated\r\n");
        mainloop_quit(0);
        break;
    case 's':
        if (sync_disks)
            sync_disks();
        break;
    case 't':
        toggle_timestamps(m);
        break;
    case 'b':
        front_event(&m->clients[m->focus].front, CHARDEV_BREAK);
        break;
    case 'c':
        set_focus(m, (m->focus + 1) % m->count);
        break;
    }
}

/* ---- input ---- */

/* Any key may be the one that moves the focus, so what is read at once must fit everywhere; but one byte can only go
 * to the front end that has the focus now. */
static size_t mux_can_read(void *opaque)
{
    Mux *m = opaque;
    bool empty = flush(m);
    if (!m->count || m->clients[m->focus].count == KEPT)
        return 0;
    size_t room = KEPT;
    for (unsigned i = 0; i < m->count; i++)
        room = MIN(room, KEPT - m->clients[i].count);
    if (empty)
        g_atomic_int_set(&m->self->stalled, 0);
    return MAX(room, 1);
}

static void mux_read(void *opaque, const uint8_t *data, size_t len)
{
    Mux *m = opaque;
    for (size_t i = 0; i < len; i++) {
        if (m->escaped) {
            m->escaped = false;
            escaped_key(m, data[i]);
        } else if (data[i] == escape_key) {
            m->escaped = true;
        } else {
            keep(m, data[i]);
        }
        if (!m->count)
            return; /* a key made the last one leave */
    }
    if (flush(m))
        g_atomic_int_set(&m->self->stalled, 0);
}

static void mux_accept_input(Chardev *c)
{
    Mux *m = c->state;
    if (flush(m))
        g_atomic_int_set(&c->stalled, 0);
    chardev_accept_input(m->base);
}

static void mux_event(void *opaque, ChardevEvent event)
{
    Mux *m = opaque;
    if (event == CHARDEV_BREAK && m->count)
        front_event(&m->clients[m->focus].front, event);
    if (event != CHARDEV_OPENED && event != CHARDEV_CLOSED)
        return;
    m->self->opened = event == CHARDEV_OPENED;
    m->escaped = false;
    for (unsigned i = 0; i < m->count; i++)
        front_tell_opened(&m->clients[i].front, m->self->opened);
}

static void mux_writable(void *opaque)
{
    Mux *m = opaque;
    for (unsigned i = 0; i < m->count; i++)
        front_writable(&m->clients[i].front);
}

/* ---- front ends come and go ---- */

/* After mux_attach, whose caller may hold a machine lock. */
static void tell_all(void *opaque)
{
    Chardev *c = opaque;
    Mux *m = c->state;
    for (unsigned i = 0; i < m->count; i++)
        front_tell_opened(&m->clients[i].front, c->opened);
    set_focus(m, m->focus);
}

static void detach(Mux *m, void *opaque)
{
    unsigned who = m->count;
    for (unsigned i = 0; i < m->count; i++) {
        ChardevFront *f = &m->clients[i].front;
        if (opaque ? f->opaque == opaque : f->machine != NULL)
            who = i;
    }
    if (!opaque && m->count && who == m->count)
        who = m->count - 1;
    if (who == m->count)
        return;
    memmove(&m->clients[who], &m->clients[who + 1], (m->count - who - 1) * sizeof(MuxClient));
    m->clients[--m->count] = (MuxClient){ 0 };
    if (m->focus > who || m->focus == m->count)
        m->focus = m->focus ? m->focus - 1 : 0;
}

static bool mux_attach(Chardev *c, Machine *machine, const ChardevClient *client, void *opaque, GError **err)
{
    Mux *m = c->state;
    if (client && m->count == CLIENTS)
        return error_set(err, "character device '%s' is shared by %d front ends already", c->id, CLIENTS);
    if (client) {
        m->focus = m->count++;
        m->clients[m->focus] = (MuxClient){ .front = { .machine = machine, .client = client, .opaque = opaque } };
    } else {
        detach(m, opaque);
    }
    mainloop_post(tell_all, c);
    chardev_accept_input(m->base);
    return true;
}

static void mux_close(Chardev *c)
{
    g_free(c->state);
}

static const ChardevType chardev_mux = {
    .name = "mux", .close = mux_close, .write = mux_write, .attach = mux_attach, .accept_input = mux_accept_input
};

Chardev *chardev_mux_new(const char *id, Chardev *base)
{
    static const ChardevClient client = { mux_can_read, mux_read, mux_event, mux_writable };
    Chardev *c = chardev_register(&chardev_mux, id);
    Mux *m = c->state = g_new0(Mux, 1);
    m->self = c;
    m->base = base;
    c->opened = false;
    chardev_attach(base, NULL, &client, m, NULL);
    return c;
}
