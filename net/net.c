/*
 * Network back ends: the registry, -netdev, and the frames on their way (see net.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/machine.h"
#include "hw/core/ram_access.h"
#include "net/backend.h"
#include "util/error.h"
#include "util/mainloop.h"
#include "util/trace.h"
#include <string.h>

#define QUEUE_LIMIT (1u << 20) /* bytes, each direction */
#define SEND_BATCH  256        /* frames before other work of the main loop has its turn */

static const NetdevType *const types[] = {
#ifdef HAVE_SLIRP
    &net_user,
#endif
    &net_socket, &net_stream, &net_dgram, &net_tap, NULL
};
static GPtrArray *all; /* Netdev *; main loop's thread */

/* ---- queues ---- */

static void queue_push(NetQueue *q, NetFrame *frame)
{
    frame->next = NULL;
    if (q->tail)
        q->tail->next = frame;
    else
        q->head = frame;
    q->tail = frame;
    q->bytes += sizeof(*frame) + frame->len;
}

static NetFrame *queue_pop(NetQueue *q)
{
    NetFrame *frame = q->head;
    if (!frame)
        return NULL;
    q->head = frame->next;
    if (!q->head)
        q->tail = NULL;
    q->bytes -= sizeof(*frame) + frame->len;
    return frame;
}

static void queue_clear(NetQueue *q)
{
    NetFrame *frame;
    while ((frame = queue_pop(q)))
        g_free(frame);
}

static bool queue_full(const NetQueue *q)
{
    return q->bytes >= QUEUE_LIMIT;
}

/* ---- from the front end to the back end ---- */

static void call_writable(Netdev *n)
{
    Machine *machine = n->machine;
    if (!n->client)
        return;
    machine_lock(machine);
    n->client->writable(n->opaque);
    machine_unlock(machine);
}

static void run_out(void *opaque)
{
    Netdev *n = opaque;
    bool more = true, wake = false;
    for (unsigned i = 0; i < SEND_BATCH && more; i++) {
        g_mutex_lock(&n->lock);
        NetFrame *frame = queue_pop(&n->out);
        more = n->posted = frame != NULL;
        g_mutex_unlock(&n->lock);
        if (frame && net_link_up(n))
            n->type->send(n, frame->data, frame->len);
        g_free(frame);
    }
    if (n->type->sent)
        n->type->sent(n);
    g_mutex_lock(&n->lock);
    if (n->refuse && n->out.bytes < QUEUE_LIMIT / 2) {
        n->refuse = false;
        wake = true;
    }
    g_mutex_unlock(&n->lock);
    if (wake)
        call_writable(n);
    if (more)
        mainloop_post(run_out, n);
}

bool net_send(Netdev *n, const struct iovec *iov, unsigned count)
{
    size_t len = 0, at = 0;
    for (unsigned i = 0; i < count; i++)
        len += iov[i].iov_len;
    if (!n || len > NET_FRAME_MAX || !net_link_up(n))
        return true;
    g_mutex_lock(&n->lock);
    bool full = queue_full(&n->out);
    n->refuse |= full;
    g_mutex_unlock(&n->lock); /* only this front end makes the queue longer: room that was seen stays */
    if (full)
        return false;
    NetFrame *frame = g_malloc(sizeof(*frame) + len);
    frame->len = len;
    for (unsigned i = 0; i < count; at += iov[i++].iov_len)
        ram_copy(frame->data + at, iov[i].iov_base, iov[i].iov_len); /* from the guest's, as a rule */
    TRACE(net_send, "%s: %zu bytes", n->id, len);
    g_mutex_lock(&n->lock);
    queue_push(&n->out, frame);
    bool post = !n->posted;
    n->posted = true;
    g_mutex_unlock(&n->lock);
    if (post)
        mainloop_post(run_out, n);
    return true;
}

bool net_takes_large(const Netdev *n)
{
    return n && n->type->large;
}

/* ---- from the back end to the front end ---- */

void net_deliver(Netdev *n, const uint8_t *data, size_t len)
{
    if (!n->client || !net_link_up(n) || len > NET_FRAME_MAX)
        return;
    TRACE(net_deliver, "%s: %zu bytes%s", n->id, len, queue_full(&n->in) ? ", dropped" : "");
    if (queue_full(&n->in)) {
        n->dropped++;
        return;
    }
    NetFrame *frame = g_malloc(sizeof(*frame) + len);
    frame->len = len;
    memcpy(frame->data, data, len);
    queue_push(&n->in, frame);
}

bool net_has_room(const Netdev *n)
{
    return n->in.bytes < QUEUE_LIMIT / 2;
}

void net_flush(Netdev *n)
{
    Machine *machine = n->machine;
    bool any = false;
    if (!n->client || !n->in.head || __atomic_load_n(&n->stalled, __ATOMIC_RELAXED))
        return;
    machine_lock(machine);
    for (NetFrame *frame; (frame = n->in.head); any = true) {
        if (!n->client->receive(n->opaque, frame->data, frame->len, n->type->checked)) {
            __atomic_store_n(&n->stalled, true, __ATOMIC_RELAXED); /* the lock orders it before net_accept_input */
            break;
        }
        g_free(queue_pop(&n->in));
    }
    if (any && n->client->received)
        n->client->received(n->opaque);
    machine_unlock(machine);
}

static void flush_posted(void *opaque)
{
    net_flush(opaque);
}

void net_accept_input(Netdev *n)
{
    if (n && __atomic_exchange_n(&n->stalled, false, __ATOMIC_RELAXED))
        mainloop_post(flush_posted, n);
}

/* ---- front ends ---- */

static bool is_taken(const Netdev *n, GError **err)
{
    return n->client && !error_set(err, "netdev '%s' is used by %s already", n->id, n->client_name);
}

bool net_attach(Netdev *n, Machine *machine, const char *name, const NetClient *client, void *opaque, GError **err)
{
    if (client && is_taken(n, err))
        return false;
    net_time(n);
    n->client = client;
    n->machine = client ? machine : NULL;
    n->opaque = opaque;
    g_free(n->client_name);
    n->client_name = g_strdup(name);
    queue_clear(&n->in);
    __atomic_store_n(&n->stalled, false, __ATOMIC_RELAXED);
    g_mutex_lock(&n->lock);
    queue_clear(&n->out);
    n->refuse = false;
    g_mutex_unlock(&n->lock);
    return true;
}

int64_t net_time(Netdev *n)
{
    if (n->machine)
        n->time = clock_now(n->machine->clocks, CLOCK_VIRTUAL_NS);
    return n->time;
}

bool net_link_up(const Netdev *n)
{
    return !__atomic_load_n(&n->down, __ATOMIC_RELAXED);
}

void net_set_link(Netdev *n, bool up)
{
    Machine *machine = n->machine;
    if (up == net_link_up(n))
        return;
    __atomic_store_n(&n->down, !up, __ATOMIC_RELAXED);
    if (!up)
        queue_clear(&n->in);
    if (!n->client || !n->client->link)
        return;
    machine_lock(machine);
    n->client->link(n->opaque, up);
    machine_unlock(machine);
}

/* ---- registry ---- */

Netdev *net_find(const char *id)
{
    for (guint i = 0; all && i < all->len; i++) {
        Netdev *n = all->pdata[i];
        if (!strcmp(n->id, id))
            return n;
    }
    return NULL;
}

static void *find_by_id(const char *id, GError **err)
{
    Netdev *n = net_find(id);
    if (!n)
        error_set(err, "there is no -netdev with id '%s'", id);
    return n && is_taken(n, err) ? NULL : n;
}

const char *net_id(const Netdev *n)
{
    return n->id;
}

static const char *name_of(const void *object)
{
    return net_id(object);
}

void net_init(void)
{
    if (!all)
        all = g_ptr_array_new();
    device_set_resolver(PROP_NETDEV, find_by_id, name_of);
}

Netdev *net_register(const NetdevType *type, const char *id, void *state)
{
    net_init();
    Netdev *n = g_new0(Netdev, 1);
    n->type = type;
    n->id = g_strdup(id);
    n->state = state;
    g_mutex_init(&n->lock);
    g_ptr_array_add(all, n);
    return n;
}

void net_remove(Netdev *n)
{
    g_assert(!n->client);
    g_ptr_array_remove(all, n);
    mainloop_cancel(n);
    if (n->type->close)
        n->type->close(n);
    queue_clear(&n->in);
    queue_clear(&n->out);
    g_mutex_clear(&n->lock);
    g_free(n->client_name);
    g_free(n->id);
    g_free(n);
}

bool net_delete(const char *id, GError **err)
{
    Netdev *n = net_find(id);
    if (!n)
        return error_set(err, "there is no netdev '%s'; info network lists them", id);
    if (is_taken(n, err))
        return false;
    net_remove(n);
    return true;
}

void net_remove_all(void)
{
    while (all && all->len)
        net_remove(all->pdata[all->len - 1]);
}

/* ---- -netdev ---- */

char *net_help(void)
{
    GString *out = g_string_new("Available netdev backend types:\n");
    for (const NetdevType *const *t = types; *t; t++)
        g_string_append_printf(out, "  %-8s %s\n", (*t)->name, (*t)->desc);
    return g_string_free(out, FALSE);
}

static const NetdevType *find_type(const char *option, const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(types)] = { NULL };
    for (unsigned i = 0; types[i]; i++) {
        if (!strcmp(types[i]->name, name))
            return types[i];
        names[i] = types[i]->name;
    }
#ifndef HAVE_SLIRP
    if (!strcmp(name, "user")) {
        error_set(err, "%s: back end 'user' needs libslirp, which this program was built without", option);
        return NULL;
    }
#endif
    g_autofree char *what = g_strdup_printf("%s: back end", option);
    error_unknown_name(err, what, name, names);
    return NULL;
}

bool net_keys_done(const NetdevType *type, Opts *opts, GError **err)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    bool nic = !strcmp(opts_name(opts), "-nic");
    for (const char *const *key = type->keys; key && *key; key++)
        g_ptr_array_add(keys, (char *)*key);
    g_ptr_array_add(keys, (char *)"type");
    g_ptr_array_add(keys, (char *)"id");
    if (nic) {
        g_ptr_array_add(keys, (char *)"model");
        g_ptr_array_add(keys, (char *)"mac");
    }
    g_ptr_array_add(keys, NULL);
    return opts_finish(opts, (const char *const *)keys->pdata, err);
}

Netdev *net_add(Opts *opts, GError **err)
{
    const char *option = opts_name(opts), *name = opts_string(opts, "type", NULL), *id = opts_string(opts, "id", NULL);
    if (!name || !id) {
        error_set(err, "%s: needs a back end and an id, as in %s user,id=net0", option, option);
        return NULL;
    }
    const NetdevType *type = find_type(option, name, err);
    if (!type)
        return NULL;
    if (net_find(id)) {
        error_set(err, "%s: there is a netdev '%s' already", option, id);
        return NULL;
    }
    Netdev *n = net_register(type, id, NULL);
    if (type->open(n, opts, err))
        return n;
    net_remove(n);
    return NULL;
}

bool net_forward(const char *id, const char *rule, bool add, GError **err)
{
    Netdev *n = id ? net_find(id) : NULL;
    for (guint i = 0; !id && !n && all && i < all->len; i++)
        n = ((Netdev *)all->pdata[i])->type->forward ? all->pdata[i] : NULL;
    if (!n)
        return id ? error_set(err, "there is no netdev '%s'", id)
                  : error_set(err, "no netdev forwards ports; -netdev user does");
    return n->type->forward ? n->type->forward(n, rule, add, err)
                            : error_set(err, "netdev '%s' is of type %s, which forwards no ports", id, n->type->name);
}

char *net_unused(void)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; all && i < all->len; i++) {
        const Netdev *n = all->pdata[i];
        if (!n->client)
            g_string_append_printf(out, "%s'%s'", out->len ? ", " : "", n->id);
    }
    return g_string_free(out, FALSE);
}

char *net_describe(void)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; all && i < all->len; i++) {
        const Netdev *n = all->pdata[i];
        g_string_append_printf(out, "%s: type=%s", n->id, n->type->name);
        if (n->type->describe)
            n->type->describe((Netdev *)n, out);
        g_string_append_printf(out, ",link=%s", net_link_up(n) ? "up" : "down");
        if (n->dropped)
            g_string_append_printf(out, ",dropped=%" G_GUINT64_FORMAT, n->dropped);
        g_string_append_printf(out, "\n \\ %s\n", n->client ? n->client_name : "no NIC");
    }
    return g_string_free(out, FALSE);
}
