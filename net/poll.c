/*
 * A back end's descriptor in the main loop (see backend.h): what it is looked at for changes from turn to turn.
 * SPDX-License-Identifier: MIT
 */
#include "net/backend.h"

struct NetPoll {
    GSource source; /* first: the main loop knows it as this */
    Netdev *n;
    gpointer tag;
    void (*ready)(Netdev *n, GIOCondition condition);
    const bool *pending;
};

static gboolean prepare(GSource *source, int *timeout)
{
    NetPoll *p = (NetPoll *)source;
    GIOCondition in = net_has_room(p->n) ? G_IO_IN : 0, out = *p->pending ? G_IO_OUT : 0;
    g_source_modify_unix_fd(source, p->tag, in | out);
    *timeout = -1;
    return FALSE;
}

static gboolean check(GSource *source)
{
    return g_source_query_unix_fd(source, ((NetPoll *)source)->tag) != 0;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer opaque)
{
    NetPoll *p = (NetPoll *)source;
    p->ready(p->n, g_source_query_unix_fd(source, p->tag)); /* may free p: the main loop holds a reference */
    return G_SOURCE_CONTINUE;
}

NetPoll *net_poll_new(Netdev *n, int fd, void (*ready)(Netdev *n, GIOCondition condition), const bool *pending)
{
    static GSourceFuncs funcs = { .prepare = prepare, .check = check, .dispatch = dispatch };
    NetPoll *p = (NetPoll *)g_source_new(&funcs, sizeof(NetPoll));
    p->n = n;
    p->ready = ready;
    p->pending = pending;
    p->tag = g_source_add_unix_fd(&p->source, fd, G_IO_IN);
    g_source_attach(&p->source, NULL);
    return p;
}

void net_poll_free(NetPoll *p)
{
    if (!p)
        return;
    g_source_destroy(&p->source);
    g_source_unref(&p->source);
}
