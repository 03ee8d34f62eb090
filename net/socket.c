/*
 * -netdev socket, stream, dgram: to another emulator. Over a stream each frame comes after its length in four bytes,
 * big-endian; a datagram is a frame. The peer is not trusted: a length that no frame has ends the connection.
 * SPDX-License-Identifier: MIT
 */
#include "net/backend.h"
#include "util/error.h"
#include "util/log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { OUT_LIMIT = 1 << 20, DATAGRAMS_IN_A_TURN = 64, READ_BYTES = 65536 };

typedef struct Address {
    struct sockaddr_storage a;
    socklen_t len;
} Address;

typedef struct Link {
    int fd, listen_fd; /* -1: none */
    bool stream, never, pending;
    NetPoll *poll, *listen_poll;
    int send_fd;       /* multicast: the socket with an address of our own, else fd */
    Address own;       /* multicast: that address: what comes from there is our own */
    Address to;        /* multicast: the group */
    GByteArray *in;    /* stream: of a frame that is not whole yet */
    GByteArray *out;   /* stream: what the peer has not taken yet */
    char *path, *text; /* unix socket to remove at the end; for info network */
} Link;

/* ---- addresses ---- */

/* "[host]:port"; no host: all addresses, or for peers the local one. */
static bool parse_address(const char *what, const char *text, bool passive, int type, Address *out, GError **err)
{
    const char *colon = strrchr(text, ':');
    struct addrinfo hints = { .ai_socktype = type, .ai_flags = passive ? AI_PASSIVE : 0 }, *found = NULL;
    if (!colon || !colon[1])
        return error_set(err, "%s=%s: HOST:PORT is needed, as in 127.0.0.1:1234", what, text);
    g_autofree char *host = g_strndup(text, colon - text);
    size_t len = strlen(host);
    if (len > 2 && *host == '[' && host[len - 1] == ']') { /* IPv6 */
        host[len - 1] = 0;
        memmove(host, host + 1, len - 1);
    }
    hints.ai_family = *host ? AF_UNSPEC : AF_INET;
    int error = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (error)
        return error_set(err, "%s=%s: %s", what, text, gai_strerror(error));
    memcpy(&out->a, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool unix_address(const char *what, const char *path, Address *out, GError **err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->a;
    if (!*path || strlen(path) >= sizeof(un->sun_path))
        return error_set(err, "%s=%s: a path of 1 to %zu bytes is needed", what, path, sizeof(un->sun_path) - 1);
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    out->len = sizeof(*un);
    return true;
}

/* PREFIX.type=inet,PREFIX.host=,PREFIX.port= or PREFIX.type=unix,PREFIX.path=. *given: it was. */
static bool structured_address(const char *prefix, Opts *opts, bool passive, int type, Address *out, bool *given,
                               GError **err)
{
    g_autofree char *type_key = g_strdup_printf("%s.type", prefix), *host_key = g_strdup_printf("%s.host", prefix),
                    *port_key = g_strdup_printf("%s.port", prefix), *path_key = g_strdup_printf("%s.path", prefix);
    const char *kind = opts_string(opts, type_key, NULL), *host = opts_string(opts, host_key, ""),
               *port = opts_string(opts, port_key, ""), *path = opts_string(opts, path_key, "");
    *given = kind != NULL;
    if (!kind)
        return true;
    if (!strcmp(kind, "unix"))
        return unix_address(path_key, path, out, err);
    if (strcmp(kind, "inet"))
        return error_set(err, "%s=%s: inet or unix are possible", type_key, kind);
    g_autofree char *text = g_strdup_printf("%s:%s", host, port);
    return parse_address(prefix, text, passive, type, out, err);
}

static int open_socket(const Address *a, int type)
{
    int fd = socket(a->a.ss_family, type | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0 && a->a.ss_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

static bool failed(const char *what, GError **err)
{
    return error_set_errno(err, errno, "%s", what);
}

/* ---- streams ---- */

static void accept_peer(Netdev *n, GIOCondition condition);
static void stream_ready(Netdev *n, GIOCondition condition);

static void say(const Netdev *n, const char *what)
{
    if (log_on(LOG_GUEST_ERRORS))
        log_write("netdev %s: %s\n", n->id, what);
}

static void use_connection(Netdev *n, int fd)
{
    Link *l = n->state;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    l->fd = fd;
    l->poll = net_poll_new(n, fd, stream_ready, &l->pending);
}

/* The peer is gone; one that listens waits for the next. */
static void hang_up(Netdev *n, const char *why)
{
    Link *l = n->state;
    say(n, why);
    g_clear_pointer(&l->poll, net_poll_free);
    close(l->fd);
    l->fd = -1;
    l->pending = false;
    g_byte_array_set_size(l->in, 0);
    g_byte_array_set_size(l->out, 0);
    if (l->listen_fd >= 0)
        l->listen_poll = net_poll_new(n, l->listen_fd, accept_peer, &l->never);
}

static void accept_peer(Netdev *n, GIOCondition condition)
{
    Link *l = n->state;
    int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    say(n, "a peer has connected");
    g_clear_pointer(&l->listen_poll, net_poll_free); /* one at a time */
    use_connection(n, fd);
}

static uint32_t frame_length(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

/* Deliver the whole frames at the beginning of in. False: there is a length that no frame has. */
static bool deliver_frames(Netdev *n, GByteArray *in)
{
    guint at = 0;
    while (in->len - at >= 4) {
        uint32_t len = frame_length(in->data + at);
        if (!len || len > NET_FRAME_MAX)
            return false;
        if (in->len - at - 4 < len)
            break;
        net_deliver(n, in->data + at + 4, len);
        at += 4 + len;
    }
    g_byte_array_remove_range(in, 0, at);
    return true;
}

static bool write_out(Link *l)
{
    while (l->out->len) {
        ssize_t done = send(l->fd, l->out->data, l->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno == EAGAIN;
        g_byte_array_remove_range(l->out, 0, done);
        l->pending = l->out->len;
    }
    return true;
}

static void stream_ready(Netdev *n, GIOCondition condition)
{
    Link *l = n->state;
    uint8_t bytes[READ_BYTES];
    if (condition & G_IO_OUT && !write_out(l)) {
        hang_up(n, "the peer is gone");
        return;
    }
    if (!(condition & ~G_IO_OUT))
        return;
    ssize_t len = recv(l->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len > 0)
        g_byte_array_append(l->in, bytes, len);
    bool good = len > 0 && deliver_frames(n, l->in);
    if (!good)
        hang_up(n, len > 0 ? "the peer has sent a frame of impossible length" : "the peer is gone");
    net_flush(n);
}

static void stream_send(Netdev *n, const uint8_t *frame, size_t len)
{
    Link *l = n->state;
    uint32_t head = GUINT32_TO_BE(len);
    if (l->fd < 0 || !len)
        return;
    if (l->out->len + len > OUT_LIMIT) {
        n->dropped++;
        return;
    }
    g_byte_array_append(l->out, (const guint8 *)&head, 4);
    g_byte_array_append(l->out, frame, len);
    l->pending = true;
}

/* What a turn of the main loop has queued goes out in one write. */
static void stream_sent(Netdev *n)
{
    Link *l = n->state;
    if (l->fd >= 0 && !write_out(l))
        hang_up(n, "the peer is gone");
}

static bool serve(Netdev *n, const Address *a, const char *what, GError **err)
{
    Link *l = n->state;
    l->listen_fd = open_socket(a, SOCK_STREAM);
    if (l->listen_fd < 0 || bind(l->listen_fd, (const struct sockaddr *)&a->a, a->len) || listen(l->listen_fd, 1))
        return failed(what, err);
    if (a->a.ss_family == AF_UNIX)
        l->path = g_strdup(((const struct sockaddr_un *)&a->a)->sun_path);
    fcntl(l->listen_fd, F_SETFL, O_NONBLOCK);
    l->listen_poll = net_poll_new(n, l->listen_fd, accept_peer, &l->never);
    return true;
}

static bool join(Netdev *n, const Address *a, const char *what, GError **err)
{
    int fd = open_socket(a, SOCK_STREAM);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a->a, a->len)) {
        failed(what, err);
        if (fd >= 0)
            close(fd);
        return false;
    }
    use_connection(n, fd);
    return true;
}

/* ---- datagrams ---- */

static void datagrams_ready(Netdev *n, GIOCondition condition)
{
    Link *l = n->state;
    uint8_t frame[NET_FRAME_MAX];
    for (unsigned i = 0; i < DATAGRAMS_IN_A_TURN && net_has_room(n); i++) {
        Address from = { .len = sizeof(from.a) };
        ssize_t len = recvfrom(l->fd, frame, sizeof(frame), MSG_DONTWAIT, (struct sockaddr *)&from.a, &from.len);
        if (len < 0 && errno != ECONNREFUSED) /* nobody there yet: that is an answer to something we sent */
            break;
        bool own = l->send_fd != l->fd && from.len == l->own.len && !memcmp(&from.a, &l->own.a, from.len);
        if (len > 0 && !own)
            net_deliver(n, frame, len);
    }
    net_flush(n);
}

static void datagram_send(Netdev *n, const uint8_t *frame, size_t len)
{
    const Link *l = n->state;
    const struct sockaddr *to = l->to.len ? (const struct sockaddr *)&l->to.a : NULL;
    if (sendto(l->send_fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT, to, l->to.len) < 0)
        n->dropped += errno == EAGAIN || errno == EMSGSIZE;
}

static bool is_multicast(const Address *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->a;
    return a->a.ss_family == AF_INET && IN_MULTICAST(ntohl(in->sin_addr.s_addr));
}

/* All members have the group's port; what each sends comes from a port of its own, by which it knows its own frames. */
static bool join_group(Netdev *n, const Address *group, const Address *interface, const char *what, GError **err)
{
    Link *l = n->state;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&group->a;
    struct ip_mreq member = { .imr_multiaddr = in->sin_addr };
    Address local = { .len = sizeof(struct sockaddr_in) };
    local.a.ss_family = AF_INET;
    if (interface)
        member.imr_interface = ((const struct sockaddr_in *)&interface->a)->sin_addr;
    ((struct sockaddr_in *)&local.a)->sin_addr = member.imr_interface;
    l->fd = open_socket(group, SOCK_DGRAM);
    l->send_fd = open_socket(group, SOCK_DGRAM);
    if (l->fd < 0 || l->send_fd < 0 || bind(l->fd, (const struct sockaddr *)&group->a, group->len) ||
        setsockopt(l->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) ||
        (interface &&
         setsockopt(l->send_fd, IPPROTO_IP, IP_MULTICAST_IF, &member.imr_interface, sizeof(member.imr_interface))) ||
        connect(l->send_fd, (const struct sockaddr *)&group->a, group->len))
        return failed(what, err);
    l->own.len = sizeof(l->own.a);
    if (getsockname(l->send_fd, (struct sockaddr *)&l->own.a, &l->own.len))
        return failed(what, err);
    l->poll = net_poll_new(n, l->fd, datagrams_ready, &l->never);
    return true;
}

static bool meet(Netdev *n, const Address *local, const Address *remote, const char *what, GError **err)
{
    Link *l = n->state;
    l->fd = l->send_fd = open_socket(local, SOCK_DGRAM);
    if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&local->a, local->len))
        return failed(what, err);
    if (local->a.ss_family == AF_UNIX) {
        l->path = g_strdup(((const struct sockaddr_un *)&local->a)->sun_path);
        l->to = *remote; /* it may not be there yet */
    } else if (connect(l->fd, (const struct sockaddr *)&remote->a, remote->len)) {
        return failed(what, err);
    }
    l->poll = net_poll_new(n, l->fd, datagrams_ready, &l->never);
    return true;
}

/* ---- options ---- */

static Link *link_new(Netdev *n, bool stream)
{
    Link *l = n->state = g_new0(Link, 1);
    l->fd = l->listen_fd = l->send_fd = -1;
    l->stream = stream;
    l->in = g_byte_array_new();
    l->out = g_byte_array_new();
    return l;
}

static void link_close(Netdev *n)
{
    Link *l = n->state;
    net_poll_free(l->poll);
    net_poll_free(l->listen_poll);
    if (l->send_fd >= 0 && l->send_fd != l->fd)
        close(l->send_fd);
    if (l->fd >= 0)
        close(l->fd);
    if (l->listen_fd >= 0)
        close(l->listen_fd);
    if (l->path)
        unlink(l->path);
    g_byte_array_unref(l->in);
    g_byte_array_unref(l->out);
    g_free(l->path);
    g_free(l->text);
    g_free(l);
}

static void link_send(Netdev *n, const uint8_t *frame, size_t len)
{
    if (((const Link *)n->state)->stream)
        stream_send(n, frame, len);
    else
        datagram_send(n, frame, len);
}

static void link_sent(Netdev *n)
{
    if (((const Link *)n->state)->stream)
        stream_sent(n);
}

static void link_describe(Netdev *n, GString *out)
{
    const Link *l = n->state;
    g_string_append_printf(out, ",%s%s", l->text, l->stream && l->fd < 0 ? ",nobody connected" : "");
}

static bool socket_open(Netdev *n, Opts *opts, GError **err)
{
    static const char *const kinds[] = { "listen", "connect", "mcast", "udp" };
    const char *value = NULL, *kind = NULL, *local_text = opts_string(opts, "localaddr", NULL);
    Address a, local;
    unsigned given = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const char *text = opts_string(opts, kinds[i], NULL);
        given += text != NULL;
        kind = text ? kinds[i] : kind;
        value = text ? text : value;
    }
    bool stream = given && (*kind == 'l' || *kind == 'c');
    Link *l = link_new(n, stream);
    if (given != 1 || (local_text && stream) || (!local_text && !strcmp(kind, "udp")))
        return error_set(
            err, "-netdev socket: one of listen=, connect=, mcast= and udp= is needed; localaddr= goes with udp= "
                 "(and mcast=)");
    l->text = g_strdup_printf("%s=%s", kind, value);
    if (!net_keys_done(n->type, opts, err) ||
        !parse_address(kind, value, *kind == 'l', stream ? SOCK_STREAM : SOCK_DGRAM, &a, err))
        return false;
    g_autofree char *what = g_strdup_printf("-netdev socket: %s", l->text);
    if (stream)
        return *kind == 'l' ? serve(n, &a, what, err) : join(n, &a, what, err);
    g_autofree char *with_port = local_text && *kind == 'm' ? g_strdup_printf("%s:0", local_text) : NULL;
    if (local_text && !parse_address("localaddr", with_port ? with_port : local_text, true, SOCK_DGRAM, &local, err))
        return false;
    if (*kind == 'u')
        return meet(n, &local, &a, what, err);
    if (!is_multicast(&a))
        return error_set(err, "%s: an address from 224.0.0.0 to 239.255.255.255 is needed", what);
    return join_group(n, &a, local_text ? &local : NULL, what, err);
}

static bool stream_open(Netdev *n, Opts *opts, GError **err)
{
    bool server = false, given;
    Address a;
    Link *l = link_new(n, true);
    if (!opts_bool(opts, "server", &server, err))
        return false;
    l->text = g_strdup(server ? "server" : "client");
    if (!structured_address("addr", opts, server, SOCK_STREAM, &a, &given, err) || !net_keys_done(n->type, opts, err))
        return false;
    if (!given)
        return error_set(err,
                         "-netdev stream: addr.type=inet,addr.host=,addr.port= or addr.type=unix,addr.path= is needed");
    return server ? serve(n, &a, "-netdev stream: addr", err) : join(n, &a, "-netdev stream: addr", err);
}

static bool dgram_open(Netdev *n, Opts *opts, GError **err)
{
    bool has_local, has_remote;
    Address local, remote;
    Link *l = link_new(n, false);
    l->text = g_strdup("datagrams");
    if (!structured_address("local", opts, true, SOCK_DGRAM, &local, &has_local, err) ||
        !structured_address("remote", opts, false, SOCK_DGRAM, &remote, &has_remote, err) ||
        !net_keys_done(n->type, opts, err))
        return false;
    if (has_remote && is_multicast(&remote))
        return join_group(n, &remote, has_local ? &local : NULL, "-netdev dgram: remote", err);
    if (!has_remote || !has_local || local.a.ss_family != remote.a.ss_family)
        return error_set(err,
                         "-netdev dgram: local.type= and remote.type= are needed, both inet or both unix; or a remote "
                         "multicast group");
    return meet(n, &local, &remote, "-netdev dgram: local", err);
}

static const char *const socket_keys[] = { "listen", "connect", "mcast", "udp", "localaddr", NULL },
                         *const stream_keys[] = { "server", "addr.type", "addr.host", "addr.port", "addr.path", NULL },
                         *const dgram_keys[] = { "local.type",  "local.host",  "local.port",
                                                 "local.path",  "remote.type", "remote.host",
                                                 "remote.port", "remote.path", NULL };

#define LINK_TYPE(text, about, key_list, open_function)                                                               \
    {                                                                                                                 \
        .name = text, .desc = about, .keys = key_list, .open = open_function, .close = link_close, .send = link_send, \
        .sent = link_sent, .describe = link_describe                                                                  \
    }
const NetdevType net_socket =
                     LINK_TYPE("socket", "another emulator over TCP, UDP or multicast", socket_keys, socket_open),
                 net_stream =
                     LINK_TYPE("stream", "another emulator over a TCP or unix connection", stream_keys, stream_open),
                 net_dgram = LINK_TYPE("dgram", "another emulator over UDP, multicast or unix datagrams", dgram_keys,
                                       dgram_open);
