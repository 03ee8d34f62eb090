/*
 * Network back ends between two emulators: frames of all lengths over each kind of link, peers that come and go, and
 * what a hostile peer sends.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "net/net.h"
#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct End {
    Netdev *n;
    GPtrArray *frames; /* GBytes * */
    bool refuse;
} End;

static DevMachine *machine;
static char *folder;
static uint16_t ports[8]; /* of 127.0.0.1, free when we began */

static bool receive(void *opaque, const uint8_t *frame, size_t len, bool checked)
{
    End *e = opaque;
    if (e->refuse)
        return false;
    g_ptr_array_add(e->frames, g_bytes_new(frame, len));
    return true;
}

static void writable(void *opaque) {}

static const NetClient client = { .receive = receive, .writable = writable };

static Netdev *make(const char *text, GError **err)
{
    g_autoptr(Opts) opts = opts_parse("-netdev", text, "type", err);
    g_assert_nonnull(opts);
    return net_add(opts, err);
}

static End *end_new(const char *text)
{
    g_autoptr(GError) err = NULL;
    End *e = g_new0(End, 1);
    e->n = make(text, &err);
    g_assert_no_error(err);
    e->frames = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    DEVM_LOCKED(machine, g_assert_true(net_attach(e->n, machine->machine, "test", &client, e, NULL)));
    return e;
}

static void end_free(End *e)
{
    DEVM_LOCKED(machine, net_attach(e->n, NULL, NULL, NULL, NULL, NULL));
    g_ptr_array_unref(e->frames);
    g_free(e);
}

static void send_frame(End *e, unsigned len, uint8_t seed)
{
    g_autofree uint8_t *frame = g_malloc(len);
    for (unsigned i = 0; i < len; i++)
        frame[i] = seed + i * 31;
    struct iovec iov = { frame, len };
    DEVM_LOCKED(machine, g_assert_true(net_send(e->n, &iov, 1)));
}

/* Let the main loop run until e has count frames; false: it does not get them. */
static bool wait_for(const End *e, unsigned count)
{
    for (gint64 limit = g_get_monotonic_time() + 60 * G_USEC_PER_SEC; e->frames->len < count;) {
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(1000);
        if (g_get_monotonic_time() > limit)
            return false;
    }
    return true;
}

/* Let it run until nothing has come for a while. Turns are counted, not time: on a busy host time goes by without us.
 */
static void settle(void)
{
    for (unsigned idle = 0; idle < 40; idle++) {
        if (g_main_context_iteration(NULL, FALSE))
            idle = 0;
        else
            g_usleep(1000);
    }
}

static void expect_frame(const End *e, unsigned index, unsigned len, uint8_t seed)
{
    size_t got;
    const uint8_t *frame = g_bytes_get_data(e->frames->pdata[index], &got);
    g_assert_cmpuint(got, ==, len);
    for (unsigned i = 0; i < len; i++)
        g_assert_cmphex(frame[i], ==, (uint8_t)(seed + i * 31));
}

typedef struct Pair {
    const char *name, *a, *b;
    unsigned longest;
} Pair;

/* % is the folder, @N a port */
static const Pair pairs[] = {
    { "tcp", "socket,id=a,listen=127.0.0.1:@0", "socket,id=b,connect=127.0.0.1:@0", 65550 },
    { "udp", "socket,id=a,udp=127.0.0.1:@2,localaddr=127.0.0.1:@1",
      "socket,id=b,udp=127.0.0.1:@1,localaddr=127.0.0.1:@2", 60000 },
    { "multicast", "socket,id=a,mcast=230.0.0.71:@3,localaddr=127.0.0.1",
      "socket,id=b,mcast=230.0.0.71:@3,localaddr=127.0.0.1", 60000 },
    { "stream-inet", "stream,id=a,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=@4",
      "stream,id=b,addr.type=inet,addr.host=127.0.0.1,addr.port=@4", 65550 },
    { "stream-unix", "stream,id=a,server=on,addr.type=unix,addr.path=%/s",
      "stream,id=b,server=off,addr.type=unix,addr.path=%/s", 65550 },
    { "dgram-inet",
      "dgram,id=a,local.type=inet,local.host=127.0.0.1,local.port=@5,remote.type=inet,remote.host=127.0.0.1,"
      "remote.port=@6",
      "dgram,id=b,local.type=inet,local.host=127.0.0.1,local.port=@6,remote.type=inet,remote.host=127.0.0.1,"
      "remote.port=@5",
      60000 },
    { "dgram-unix", "dgram,id=a,local.type=unix,local.path=%/da,remote.type=unix,remote.path=%/db",
      "dgram,id=b,local.type=unix,local.path=%/db,remote.type=unix,remote.path=%/da", 60000 },
};

static char *expand(const char *text)
{
    GString *out = g_string_new(NULL);
    for (; *text; text++) {
        if (*text == '%')
            g_string_append(out, folder);
        else if (*text == '@')
            g_string_append_printf(out, "%u", ports[*++text - '0']);
        else
            g_string_append_c(out, *text);
    }
    return g_string_free(out, FALSE);
}

static bool can_bind(int type, uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, type, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool can = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    close(fd);
    return can;
}

/* Below those that the kernel gives out by itself, and others than what another run of this test takes. */
static void find_ports(void)
{
    unsigned port = 10000 + getpid() * 16u % 8000;
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); port++) {
        g_assert_cmpuint(port, <, 20000);
        if (can_bind(SOCK_STREAM, port) && can_bind(SOCK_DGRAM, port))
            ports[i++] = port;
    }
}

static void test_pair(gconstpointer data)
{
    const Pair *p = data;
    g_autofree char *ta = expand(p->a), *tb = expand(p->b);
    machine = devm_new();
    End *a = end_new(ta), *b = end_new(tb);
    const unsigned lengths[] = { 14, 60, 1514, 9000, p->longest };
    settle(); /* a connection is taken */
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        send_frame(a, lengths[i], i);
        g_assert_true(wait_for(b, i + 1));
        expect_frame(b, i, lengths[i], i);
        send_frame(b, lengths[i], i + 100);
        g_assert_true(wait_for(a, i + 1));
        expect_frame(a, i, lengths[i], i + 100);
    }
    b->refuse = true; /* the front end has no room for a while: what is under way waits */
    for (unsigned i = 0; i < 20; i++) {
        send_frame(a, 1000, i);
        while (g_main_context_iteration(NULL, FALSE)) /* the host's queue of unix datagrams is short */
            ;
    }
    settle();
    DEVM_LOCKED(machine, (b->refuse = false, net_accept_input(b->n)));
    g_assert_true(wait_for(b, G_N_ELEMENTS(lengths) + 20));
    expect_frame(b, G_N_ELEMENTS(lengths) + 19, 1000, 19);
    g_assert_cmpuint(a->frames->len, ==, G_N_ELEMENTS(lengths)); /* nobody hears himself */
    g_autofree char *text = net_describe();
    g_assert_nonnull(strstr(text, "a: type="));
    end_free(a);
    end_free(b);
    net_remove_all();
    devm_free(machine);
}

static int connect_to(unsigned port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    return fd;
}

/* Impossible lengths end the connection; a frame in pieces is whole; the next peer is heard. */
static void test_hostile(void)
{
    static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 1, 2, 3 }, none[] = { 0, 0, 0, 0 },
                         frame[] = { 0, 0, 0, 3, 0, 31, 62, 0, 0 };
    machine = devm_new();
    g_autofree char *listen = expand("socket,id=a,listen=127.0.0.1:@7");
    End *a = end_new(listen);
    for (unsigned i = 0; i < 2; i++) {
        char c;
        int fd = connect_to(ports[7]);
        settle();
        g_assert_cmpint(write(fd, i ? none : huge, i ? sizeof(none) : sizeof(huge)), >, 0);
        settle();
        g_assert_cmpint(read(fd, &c, 1), <=, 0);
        close(fd);
    }
    int fd = connect_to(ports[7]);
    settle();
    for (unsigned i = 0; i < sizeof(frame); i++) {
        g_assert_cmpint(write(fd, frame + i, 1), ==, 1);
        settle();
    }
    g_assert_cmpuint(a->frames->len, ==, 1);
    expect_frame(a, 0, 3, 0);
    for (unsigned i = 0; i < 40; i++) /* who does not read holds nobody up: what is too much is dropped */
        send_frame(a, 60000, i), settle();
    close(fd);
    settle();
    send_frame(a, 100, 1); /* to nobody */
    settle();
    g_assert_cmpuint(a->frames->len, ==, 1);
    end_free(a);
    net_remove_all();
    devm_free(machine);
}

/* Sockets that wait for somebody let the main loop sleep. */
static void test_user_sleeps(void)
{
    GPollFD fds[64];
    gint timeout, priority, count;
    GMainContext *loop = g_main_context_default();
    g_autoptr(GError) err = NULL;
    machine = devm_new();
    g_autofree char *text = expand("user,id=a,hostfwd=tcp:127.0.0.1:@7-:22");
    g_autoptr(Opts) opts = opts_parse("-netdev", text, "type", &err);
    if (net_add(opts, &err)) {
        while (g_main_context_iteration(NULL, FALSE))
            ;
        g_assert_true(g_main_context_acquire(loop));
        for (unsigned turn = 0; turn < 3; turn++) { /* the first one has something new to watch */
            g_main_context_prepare(loop, &priority);
            count = g_main_context_query(loop, G_MAXINT, &timeout, fds, G_N_ELEMENTS(fds));
            g_assert_cmpint(count, <=, G_N_ELEMENTS(fds));
            g_assert_cmpint(timeout, !=, 0);
            int ready = g_poll(fds, count, 0);
            g_assert_true(!turn || !ready);
            g_main_context_check(loop, G_MAXINT, fds, count);
        }
        g_main_context_release(loop);
        int fd = connect_to(ports[7]); /* the new socket is watched */
        g_assert_true(g_main_context_iteration(NULL, TRUE));
        close(fd);
    } else {
        g_test_skip(err->message); /* built without libslirp */
    }
    net_remove_all();
    devm_free(machine);
}

static void test_errors(void)
{
    static const struct {
        const char *text, *want;
    } bad[] = { { "socket,id=a", "one of listen=" },
                { "socket,id=a,listen=:1,connect=:2", "one of listen=" },
                { "socket,id=a,listen=abc", "HOST:PORT" },
                { "socket,id=a,udp=127.0.0.1:1", "localaddr=" },
                { "socket,id=a,mcast=127.0.0.1:1", "224.0.0.0" },
                { "socket,id=a,connect=127.0.0.1:1", "Connection refused" },
                { "socket,id=a,listen=:1x,foo=1", "foo" },
                { "stream,id=a", "addr.type=" },
                { "stream,id=a,addr.type=foo", "inet or unix" },
                { "stream,id=a,addr.type=unix,addr.path=/nonexistent/x", "No such file" },
                { "dgram,id=a,local.type=inet,local.host=127.0.0.1,local.port=0", "remote.type=" },
                { "tap,id=a,script=/x", "scripts are not run" },
                { "tap,id=a,ifname=abcdefghijklmnopqrst", "is longer than" },
                { "tap,id=a,fd=999", "fd=999" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(make(bad[i].text, &err));
        g_assert_nonnull(strstr(err->message, bad[i].want));
    }
    net_remove_all();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    find_ports();
    folder = g_dir_make_tmp("rhea-net-XXXXXX", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *name = g_strdup_printf("/netdev/%s", pairs[i].name);
        g_test_add_data_func(name, &pairs[i], test_pair);
    }
    g_test_add_func("/netdev/hostile", test_hostile);
    g_test_add_func("/netdev/user-sleeps", test_user_sleeps);
    g_test_add_func("/netdev/errors", test_errors);
    int status = g_test_run();
    g_rmdir(folder);
    g_free(folder);
    return status;
}
