/*
 * Back end socket: TCP or unix, listening or connecting, as it is or with the telnet protocol. One connection at a
 * time; without one, output is dropped. A server listens again when its client has gone, a client with reconnect= tries
 * again.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/telnet.h"
#include "util/error.h"
#include <errno.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 1000 /* listening, after accept has failed for want of descriptors */

typedef struct Address {
    struct sockaddr_storage at;
    socklen_t len;
} Address;

typedef struct Socket {
    const char *host, *port, *path; /* as given; the text is there while opening only */
    uint64_t to, reconnect_ms;
    bool server, wait, telnet, nodelay, abstract, tight, has_ipv4, has_ipv6, ipv4, ipv6;
    char *name;        /* for messages */
    GArray *addresses; /* Address: to be tried in order */
    int listener;      /* -1: none */
    char *unlink_path; /* the unix socket that was made, and which file it is */
    dev_t dev;
    ino_t ino;
    guint listen_watch, connect_watch, timer;
    unsigned next;  /* address to try */
    int connecting; /* -1: none */
    int fd;         /* the connection, -1: none */
    Telnet protocol;
} Socket;

/* ---- keys ---- */

static bool read_keys(Socket *s, Opts *opts, GError **err)
{
    uint64_t seconds = 0;
    s->host = opts_string(opts, "host", NULL);
    s->port = opts_string(opts, "port", NULL);
    s->path = opts_string(opts, "path", NULL);
    s->tight = true;
    if (!opts_bool(opts, "server", &s->server, err))
        return false;
    s->wait = s->server;
    s->has_ipv4 = opts_has(opts, "ipv4");
    s->has_ipv6 = opts_has(opts, "ipv6");
    if (!opts_bool(opts, "wait", &s->wait, err) || !opts_bool(opts, "telnet", &s->telnet, err) ||
        !opts_bool(opts, "nodelay", &s->nodelay, err) || !opts_bool(opts, "ipv4", &s->ipv4, err) ||
        !opts_bool(opts, "ipv6", &s->ipv6, err) || !opts_uint(opts, "to", &s->to, 1, 65535, err) ||
        !opts_uint(opts, "reconnect", &seconds, 0, 1u << 20, err))
        return false;
    s->reconnect_ms = seconds * 1000;
    return !s->path || (opts_bool(opts, "abstract", &s->abstract, err) && opts_bool(opts, "tight", &s->tight, err));
}

static bool check_keys(const Socket *s, Opts *opts, GError **err)
{
    if (!s->path == !s->port)
        return error_set(err, "-chardev socket: needs either port= (TCP) or path= (unix)");
    if (s->path && (s->host || s->to || s->has_ipv4 || s->has_ipv6))
        return error_set(err, "-chardev socket: host, to, ipv4 and ipv6 have no meaning with path=");
    if (!s->server && opts_has(opts, "wait"))
        return error_set(err, "-chardev socket: wait is for server=on only");
    if (!s->server && s->to)
        return error_set(err, "-chardev socket: to is for server=on only");
    if (s->server && opts_has(opts, "reconnect"))
        return error_set(err, "-chardev socket: reconnect is not for server=on");
    if (s->has_ipv4 && !s->ipv4 && s->has_ipv6 && !s->ipv6)
        return error_set(err, "-chardev socket: ipv4=off and ipv6=off leave nothing");
    return true;
}

/* ---- addresses ---- */

static bool unix_address(Socket *s, GError **err)
{
    Address a = { 0 };
    struct sockaddr_un *un = (struct sockaddr_un *)&a.at;
    size_t len = strlen(s->path), most = sizeof(un->sun_path) - 1;
    if (!len || len > most)
        return error_set(err, "-chardev socket: path must have 1 to %zu bytes, not %zu", most, len);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + s->abstract, s->path, len);
    a.len = s->abstract && s->tight ? offsetof(struct sockaddr_un, sun_path) + 1 + len : sizeof(*un);
    g_array_append_val(s->addresses, a);
    s->name = g_strdup(s->path);
    return true;
}

static int family(const Socket *s)
{
    bool both = s->ipv4 && s->ipv6;
    if (!both && (s->ipv6 || (s->has_ipv4 && !s->ipv4)))
        return AF_INET6;
    return !both && (s->ipv4 || (s->has_ipv6 && !s->ipv6)) ? AF_INET : AF_UNSPEC;
}

static bool tcp_addresses(Socket *s, GError **err)
{
    struct addrinfo hints = { .ai_family = family(s),
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = s->server ? AI_PASSIVE : 0 },
                    *list;
    const char *host = s->host && *s->host ? s->host : NULL;
    g_autofree char *bare = NULL;
    uint64_t number;
    if (host && *host == '[' && g_str_has_suffix(host, "]"))
        host = bare = g_strndup(host + 1, strlen(host) - 2);
    const char *shown = host ? host : s->server ? "0.0.0.0" : "localhost";
    s->name = g_strdup_printf(strchr(shown, ':') ? "[%s]:%s" : "%s:%s", shown, s->port);
    if (g_ascii_isdigit(*s->port) && (!parse_uint(s->port, &number, NULL) || number > 65535))
        return error_set(err, "-chardev socket: port: '%s' is not a port, 0 to 65535 is accepted", s->port);
    int e = getaddrinfo(host, s->port, &hints, &list);
    if (e)
        return error_set(err, "-chardev socket: %s: %s", s->name, gai_strerror(e));
    for (struct addrinfo *i = list; i; i = i->ai_next) {
        Address a = { .len = i->ai_addrlen };
        memcpy(&a.at, i->ai_addr, i->ai_addrlen);
        g_array_append_val(s->addresses, a);
    }
    freeaddrinfo(list);
    return true;
}

static void set_port(Address *a, unsigned port)
{
    if (a->at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->at)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&a->at)->sin_port = htons(port);
}

static unsigned get_port(const Address *a)
{
    return ntohs(a->at.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->at)->sin6_port
                                             : ((const struct sockaddr_in *)&a->at)->sin_port);
}

/* ---- waiting, before the machine starts ---- */

typedef struct Caught {
    int number;
    int *which;
} Caught;

static gboolean signal_caught(gpointer opaque)
{
    Caught *caught = opaque;
    *caught->which = caught->number;
    return G_SOURCE_CONTINUE;
}

static gboolean fd_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    *(bool *)opaque = true;
    return G_SOURCE_CONTINUE;
}

/* Until fd is ready: 0, or the number of the signal that is to end the program. In a context of its own: nothing else
 * happens meanwhile. */
static int wait_for(int fd, GIOCondition condition)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    GMainContext *context = g_main_context_new();
    GSource *sources[G_N_ELEMENTS(numbers) + 1];
    Caught caught[G_N_ELEMENTS(numbers)];
    int which = 0;
    bool ready = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        caught[i] = (Caught){ numbers[i], &which };
        sources[i] = g_unix_signal_source_new(numbers[i]);
        g_source_set_callback(sources[i], signal_caught, &caught[i], NULL);
    }
    sources[G_N_ELEMENTS(numbers)] = g_unix_fd_source_new(fd, condition);
    g_source_set_callback(sources[G_N_ELEMENTS(numbers)], G_SOURCE_FUNC(fd_ready), &ready, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++)
        g_source_attach(sources[i], context);
    while (!ready && !which)
        g_main_context_iteration(context, TRUE);
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_source_destroy(sources[i]);
        g_source_unref(sources[i]);
    }
    g_main_context_unref(context);
    return which;
}

static bool interrupted(const Socket *s, int number, GError **err)
{
    return error_set(err, "-chardev socket: signal %d while waiting for %s", number, s->name);
}

/* ---- connections ---- */

static void connected(Chardev *c, int fd);
static void connect_next(Chardev *c);

static gboolean accept_ready(gint fd, GIOCondition condition, gpointer opaque);

static void listen_again(Chardev *c)
{
    Socket *s = c->state;
    if (!s->listen_watch)
        s->listen_watch = g_unix_fd_add(s->listener, G_IO_IN, accept_ready, c);
}

static gboolean try_again(gpointer opaque)
{
    Chardev *c = opaque;
    Socket *s = c->state;
    s->timer = 0;
    s->next = 0;
    if (!s->server)
        connect_next(c);
    else if (s->fd < 0)
        listen_again(c);
    return G_SOURCE_REMOVE;
}

/* There is no connection, or one that has nothing to say but what is unread yet. */
static void vacant(Chardev *c)
{
    Socket *s = c->state;
    if (s->server)
        listen_again(c);
    else if (s->reconnect_ms && !s->timer)
        s->timer = g_timeout_add(s->reconnect_ms, try_again, c);
}

static void disconnect(Chardev *c)
{
    Socket *s = c->state;
    int fd = s->fd;
    s->fd = -1;
    chardev_set_fds(c, -1, -1);
    close(fd);
    chardev_set_opened(c, false);
}

static void socket_hup(Chardev *c, bool ended)
{
    Socket *s = c->state;
    int unread = 0;
    if (s->fd < 0)
        return;
    if (!ended && !ioctl(s->fd, FIONREAD, &unread) && unread > 0) { /* the end comes when that is read */
        chardev_set_fds(c, s->fd, -1);
        c->hung_up = true;
        chardev_update_input(c);
        if (s->server)
            vacant(c); /* who comes next need not wait for a guest that does not read */
        return;
    }
    disconnect(c);
    vacant(c);
}

static void connected(Chardev *c, int fd)
{
    Socket *s = c->state;
    int on = 1;
    if (s->fd >= 0)
        disconnect(c);
    if (s->listen_watch && !c->exclusive) {
        g_source_remove(s->listen_watch);
        s->listen_watch = 0;
    }
    if (s->nodelay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (s->telnet)
        telnet_begin(&s->protocol, fd);
    s->fd = fd;
    chardev_set_fds(c, fd, fd);
    chardev_set_opened(c, true);
}

/* Somebody is there, and is not to be disturbed. */
static bool taken(const Chardev *c)
{
    const Socket *s = c->state;
    struct pollfd peer = { .fd = s->fd, .events = POLLRDHUP };
    return c->exclusive && s->fd >= 0 && !c->hung_up && poll(&peer, 1, 0) == 0;
}

static gboolean accept_ready(gint listener, GIOCondition condition, gpointer opaque)
{
    Chardev *c = opaque;
    Socket *s = c->state;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 && taken(c)) {
        close(fd);
    } else if (fd >= 0) {
        connected(c, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        s->listen_watch = 0;
        if (!s->timer)
            s->timer = g_timeout_add(RETRY_MS, try_again, c);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

/* Begin to connect. -1 and errno, or the socket; *pending: not there yet. */
static int begin_connect(const Address *a, bool *pending)
{
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *pending = false;
    if (fd < 0 || !connect(fd, (const struct sockaddr *)&a->at, a->len))
        return fd;
    *pending = errno == EINPROGRESS;
    if (*pending)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static int connect_result(int fd)
{
    int e = 0;
    socklen_t len = sizeof(e);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) ? errno : e;
}

static gboolean connect_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *c = opaque;
    Socket *s = c->state;
    s->connect_watch = 0;
    s->connecting = -1;
    if (!connect_result(fd)) {
        connected(c, fd);
    } else {
        close(fd);
        connect_next(c);
    }
    return G_SOURCE_REMOVE;
}

/* The next address, or after the last one again later. */
static void connect_next(Chardev *c)
{
    Socket *s = c->state;
    while (s->next < s->addresses->len) {
        bool pending;
        int fd = begin_connect(&g_array_index(s->addresses, Address, s->next++), &pending);
        if (fd < 0)
            continue;
        if (pending) {
            s->connecting = fd;
            s->connect_watch = g_unix_fd_add(fd, G_IO_OUT, connect_ready, c);
        } else {
            connected(c, fd);
        }
        return;
    }
    vacant(c);
}

/* Without reconnect= the connection must be there before the machine starts. */
static bool connect_now(Chardev *c, GError **err)
{
    Socket *s = c->state;
    int e = 0;
    for (unsigned i = 0; i < s->addresses->len; i++) {
        bool pending;
        int fd = begin_connect(&g_array_index(s->addresses, Address, i), &pending);
        int number = fd >= 0 && pending ? wait_for(fd, G_IO_OUT) : 0;
        e = number ? 0 : fd < 0 ? errno : connect_result(fd);
        if (fd >= 0 && !number && !e) {
            connected(c, fd);
            return true;
        }
        if (fd >= 0)
            close(fd);
        if (number)
            return interrupted(s, number, err);
    }
    return error_set_errno(err, e, "-chardev socket: cannot connect to %s", s->name);
}

/* ---- listening ---- */

/* A unix socket that nobody has bound was left behind by a program that ended badly. A datagram socket is refused
 * there, and where a program listens too, but with another error and without that program noticing. */
static bool unlink_stale(const Address *a, const char *path)
{
    struct stat st;
    if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)&a->at, a->len) && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale && !unlink(path);
}

/* 0, or why not. */
static int listen_on(Socket *s, const Address *a)
{
    int on = 1, only = family(s) == AF_INET6;
    const struct sockaddr *at = (const struct sockaddr *)&a->at;
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (!s->path)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->at.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    bool bound = !bind(fd, at, a->len);
    if (!bound && errno == EADDRINUSE && s->path && !s->abstract)
        bound = unlink_stale(a, s->path) ? !bind(fd, at, a->len) : (errno = EADDRINUSE, false);
    struct stat st;
    if (bound && s->path && !s->abstract && !lstat(s->path, &st)) {
        s->unlink_path = g_strdup(s->path);
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    if (bound && !listen(fd, 1)) {
        s->listener = fd;
        return 0;
    }
    int e = errno;
    close(fd);
    return e;
}

/* Which port it came to be, with to= or port=0. */
static void name_port(Socket *s)
{
    Address a = { .len = sizeof(a.at) };
    char *colon = strrchr(s->name, ':');
    if (s->path || getsockname(s->listener, (struct sockaddr *)&a.at, &a.len))
        return;
    char *name = g_strdup_printf("%.*s:%u", (int)(colon - s->name), s->name, get_port(&a));
    g_free(s->name);
    s->name = name;
}

static bool listen_now(Socket *s, GError **err)
{
    int e = 0;
    unsigned first = s->path ? 0 : get_port(&g_array_index(s->addresses, Address, 0)), last = s->to ? s->to : first;
    if (last < first)
        return error_set(err, "-chardev socket: to: %u is below the port, %u", last, first);
    for (unsigned port = first; s->listener < 0 && port <= last; port++) {
        for (unsigned i = 0; s->listener < 0 && i < s->addresses->len; i++) {
            Address *a = &g_array_index(s->addresses, Address, i);
            if (!s->path)
                set_port(a, port);
            int failed = listen_on(s, a);
            if (failed && (!e || e == EAFNOSUPPORT)) /* why the first one failed */
                e = failed;
        }
    }
    if (s->listener < 0 && s->to)
        return error_set_errno(err, e, "-chardev socket: cannot listen on %s to %u", s->name, last);
    if (s->listener < 0)
        return error_set_errno(err, e, "-chardev socket: cannot listen on %s", s->name);
    name_port(s);
    return true;
}

static bool wait_for_client(Chardev *c, GError **err)
{
    Socket *s = c->state;
    fprintf(stderr, "rhea: waiting for a connection on %s\n", s->name);
    while (s->fd < 0) {
        int number = wait_for(s->listener, G_IO_IN);
        if (number)
            return interrupted(s, number, err);
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            connected(c, fd);
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            return error_set_errno(err, errno, "-chardev socket: cannot accept a connection on %s", s->name);
    }
    return true;
}

/* ---- the back end ---- */

static bool socket_start(Chardev *c, GError **err)
{
    Socket *s = c->state;
    if (!(s->path ? unix_address(s, err) : tcp_addresses(s, err)))
        return false;
    if (!s->server && !s->reconnect_ms)
        return connect_now(c, err);
    if (s->server && (!listen_now(s, err) || (s->wait && !wait_for_client(c, err))))
        return false;
    if (s->fd < 0)
        try_again(c);
    return true;
}

static bool socket_open(Chardev *c, Opts *opts, GError **err)
{
    Socket *s = c->state = g_new0(Socket, 1);
    s->addresses = g_array_new(FALSE, FALSE, sizeof(Address));
    s->listener = s->connecting = s->fd = -1;
    c->opened = false;
    return read_keys(s, opts, err) && check_keys(s, opts, err) && chardev_keys_done(c->type, opts, err) &&
           socket_start(c, err);
}

static void socket_close(Chardev *c)
{
    Socket *s = c->state;
    const guint sources[] = { s->listen_watch, s->connect_watch, s->timer };
    const int fds[] = { s->listener, s->connecting, s->fd };
    struct stat st;
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (sources[i])
            g_source_remove(sources[i]);
        if (fds[i] >= 0)
            close(fds[i]);
    }
    if (s->unlink_path && !lstat(s->unlink_path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->unlink_path);
    g_array_free(s->addresses, TRUE);
    g_free(s->unlink_path);
    g_free(s->name);
    g_free(s);
}

static size_t socket_filter(Chardev *c, uint8_t *data, size_t len)
{
    Socket *s = c->state;
    return s->telnet ? telnet_filter(&s->protocol, c, data, len) : len;
}

static size_t socket_write(Chardev *c, const uint8_t *data, size_t len)
{
    Socket *s = c->state;
    return s->telnet ? telnet_write(c, data, len) : chardev_output(c, data, len, false);
}

const ChardevType chardev_socket = {
    .name = "socket",
    .desc = "TCP (host=, port=) or unix (path=); server=, wait=, telnet=, reconnect=, nodelay=, ipv4=, ipv6=, to=",
    .keys = (const char *const[]){ "host", "port", "path", "server", "wait", "telnet", "reconnect", "nodelay", "ipv4",
                                   "ipv6", "to", "abstract", "tight", NULL },
    .open = socket_open,
    .close = socket_close,
    .filter = socket_filter,
    .write = socket_write,
    .hup = socket_hup,
    .hup_watch = true,
};
