/*
 * Character devices on sockets: servers, clients, telnet, waiting for a client; two threads at once.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "chardev_rig.h"
#include "hw/core/machine.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- socket ---- */

static int tcp_socket(struct sockaddr_in *at, unsigned port)
{
    *at = (struct sockaddr_in){ .sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    g_assert_cmpint(fd, >=, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

static int tcp_listen(unsigned port, unsigned *which)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int fd = tcp_socket(&at, port);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&at, len), ==, 0);
    g_assert_cmpint(listen(fd, 4), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&at, &len), ==, 0);
    *which = ntohs(at.sin_port);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static unsigned free_port(void)
{
    unsigned port;
    close(tcp_listen(0, &port));
    return port;
}

static int tcp_connect(unsigned port)
{
    struct sockaddr_in at;
    int fd = tcp_socket(&at, port);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static bool at_end(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 0;
}

static void test_tcp_server(void)
{
    unsigned port = free_port();
    g_autofree char *text = g_strdup_printf("tcp:127.0.0.1:%u,server=on,wait=off,nodelay", port);
    Chardev *c = shortform(text);
    Front f;
    attach(c, &f);
    put(c, "nobody hears this");
    for (unsigned round = 0; round < 3; round++) {
        int fd = tcp_connect(port), second = tcp_connect(port);
        g_string_truncate(f.in, 0);
        g_string_truncate(f.events, 0);
        send_text(fd, "in");
        send_text(second, "2nd"); /* waits its turn */
        UNTIL(f.in->len == 2);
        g_assert_cmpstr(f.events->str, ==, "O");
        put(c, "out");
        expect(fd, "out");
        close(fd);
        UNTIL(f.in->len == 5);
        g_assert_cmpstr(f.in->str, ==, "in2nd");
        g_assert_cmpstr(f.events->str, ==, "OCO");
        close(second);
        UNTIL(f.events->len == 4);
        put(c, "dropped");
        g_assert_cmpuint(settle(20), <, 10);
    }
    int fd = tcp_connect(port);
    UNTIL(f.events->len == 5);
    put(c, "last words");
    chardev_remove_all();
    expect(fd, "last words");
    g_assert_true(at_end(fd));
    close(fd);
    front_free(&f);
}

static void test_tcp_ports(void)
{
    unsigned port;
    int fd = tcp_listen(0, &port);
    g_autofree char *busy = g_strdup_printf("socket,id=s,host=127.0.0.1,port=%u,server=on,wait=off", port);
    g_autofree char *want =
        g_strdup_printf("-chardev socket: cannot listen on 127.0.0.1:%u: Address already in use", port);
    refuse(busy, want);
    g_autofree char *range = g_strdup_printf("%s,to=%u", busy, MIN(port + 20, 65535));
    if (port < 65000) {
        add(range);
        chardev_remove_all();
    }
    close(fd);
    g_autofree char *client_text = g_strdup_printf("socket,id=s,host=127.0.0.1,port=%u", free_port());
    refuse(client_text, ": Connection refused");
    refuse("socket,id=s", "needs either port= (TCP) or path= (unix)");
    refuse("socket,id=s,port=1,path=x", "needs either");
    refuse("socket,id=s,port=70000,server=on", "'70000' is not a port");
    refuse("socket,id=s,port=1,wait=off", "wait is for server=on only");
    refuse("socket,id=s,port=1,server=on,reconnect=1", "reconnect is not for server=on");
    refuse("socket,id=s,port=1,server=maybe", "server");
    refuse("socket,id=s,port=1,server=on,ipv4=off,ipv6=off", "leave nothing");
    refuse("socket,id=s,port=1,host=::1,ipv4=on", "[::1]:1: "); /* found without asking a name server */
    refuse("socket,id=s,port=20,to=10,server=on,host=127.0.0.1", "to: 10 is below the port, 20");
    g_autofree char *long_path = g_strnfill(200, 'x'), *long_text = g_strdup_printf("unix:%s,server=on", long_path);
    refuse_short(long_text, "path must have 1 to 107 bytes, not 200");
    g_assert_null(chardev_find("s"));
}

static void test_tcp_client(void)
{
    unsigned port;
    int listener = tcp_listen(0, &port), fd;
    Front f;
    Chardev *c = addf("socket,id=s,host=127.0.0.1,port=%u", port);
    attach(c, &f);
    UNTIL((fd = accept(listener, NULL, NULL)) >= 0);
    send_text(fd, "in");
    put(c, "out");
    UNTIL(f.in->len == 2);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    expect(fd, "out");
    close(fd);
    UNTIL(f.events->len == 2);
    chardev_remove_all();
    front_free(&f);

    close(listener); /* nobody listens yet, then somebody does, goes, and comes again */
    c = addf("socket,id=s,host=127.0.0.1,port=%u,reconnect=1", port);
    attach(c, &f);
    settle(50);
    g_assert_cmpuint(f.events->len, ==, 0);
    for (unsigned round = 1; round <= 2; round++) {
        listener = tcp_listen(port, &port);
        UNTIL((fd = accept(listener, NULL, NULL)) >= 0);
        send_text(fd, "in");
        UNTIL(f.in->len == 2 * round);
        close(fd);
        close(listener);
        UNTIL(f.events->len == 2 * round);
    }
    g_assert_cmpstr(f.events->str, ==, "OCOC");
    chardev_remove_all();
    front_free(&f);
}

static void test_unix(void)
{
    g_autofree char *path = in_folder("socket"), *text = g_strdup_printf("unix:%s,server=on,wait=off", path);
    g_autofree char *in_use = g_strdup_printf("socket,id=t,path=%s,server=on,wait=off", path);
    Front f;
    Chardev *c = shortform(text);
    attach(c, &f);
    refuse(in_use, "Address already in use");
    int fd = unix_connect(path);
    UNTIL(f.events->len == 1);
    put(c, "out");
    expect(fd, "out");
    refuse(in_use, "Address already in use");
    chardev_remove_all();
    close(fd);
    front_free(&f);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));

    struct sockaddr_un at = { .sun_family = AF_UNIX }; /* left behind */
    g_strlcpy(at.sun_path, path, sizeof(at.sun_path));
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(stale, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    close(stale);
    g_assert_nonnull(shortform(text));
    chardev_remove_all();
    g_assert_true(g_file_set_contents(path, "mine", 4, NULL)); /* not a socket: stays */
    refuse(in_use, "cannot listen on");
    g_assert_true(g_file_test(path, G_FILE_TEST_IS_REGULAR));
    g_unlink(path);
    g_autofree char *client_text = g_strdup_printf("unix:%s", path);
    refuse_short(client_text, "cannot connect to");
    refuse("socket,id=t,path=x,host=y", "no meaning with path=");

    c = add("socket,id=a,path=rhea-chardev-test,abstract=on,server=on,wait=off");
    Chardev *client_end = add("socket,id=b,path=rhea-chardev-test,abstract=on");
    attach(c, &f);
    put(client_end, "abstract");
    UNTIL(f.in->len == 8);
    chardev_remove_all();
    front_free(&f);
}

/* A client that goes while the front end does not read: what it sent is kept, and the next one gets in. */
static void test_hup_stalled(void)
{
    g_autofree char *path = in_folder("hup"), *text = g_strdup_printf("unix:%s,server=on,wait=off", path);
    Front f;
    Chardev *c = shortform(text);
    attach(c, &f);
    f.room = 0;
    int fd = unix_connect(path);
    send_text(fd, "keep");
    UNTIL(f.events->len == 1);
    settle(10);
    close(fd);
    g_assert_cmpuint(settle(30), <, 10);
    put(c, "to nobody");
    g_assert_cmpuint(settle(30), <, 10);
    g_assert_cmpstr(f.events->str, ==, "O");
    f.room = 100;
    chardev_accept_input(c);
    UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.in->str, ==, "keep");

    fd = unix_connect(path);
    UNTIL(f.events->len == 3);
    f.room = 0;
    send_text(fd, "lost");
    settle(10);
    close(fd);
    settle(10);
    fd = unix_connect(path);
    UNTIL(f.events->len == 5);
    g_assert_cmpstr(f.events->str, ==, "OCOCO");
    f.room = 100;
    chardev_accept_input(c);
    send_text(fd, "new");
    UNTIL(f.in->len == 7);
    g_assert_cmpstr(f.in->str, ==, "keepnew");
    f.room = 0; /* nothing unread: the end is noticed although nobody reads */
    settle(10);
    close(fd);
    UNTIL(f.events->len == 6);
    chardev_remove_all();
    front_free(&f);
}

#define IAC "\xff"

static void telnet_open(Chardev **c, Front *f, int *fd)
{
    unsigned port = free_port();
    g_autofree char *text = g_strdup_printf("telnet:127.0.0.1:%u,server=on,wait=off", port);
    *c = shortform(text);
    attach(*c, f);
    *fd = tcp_connect(port);
    UNTIL(f->events->len == 1);
    expect_bytes(*fd, IAC "\xfb\x01" IAC "\xfb\x03" IAC "\xfb\0" IAC "\xfd\0", 12);
}

static void test_telnet(void)
{
    static const char input[] = IAC "\xfd\x01" /* DO ECHO */
                                    "a" IAC "\xfb\x1f"
                                    "b" /* WILL NAWS */
        IAC "\xfa\x1f\0" IAC IAC "\0\x18" IAC "\xf0"
                                    "c" /* its subnegotiation */
        IAC IAC "d" IAC "\xf1"
                                    "e" /* 255, NOP */
        IAC "\xf3"
                                    "f"; /* break */
    static const char want[] = "abc" IAC "def";
    Chardev *c;
    Front f;
    int fd;
    telnet_open(&c, &f, &fd);
    send_bytes(fd, input, sizeof(input) - 1);
    UNTIL(f.in->len == sizeof(want) - 1);
    g_assert_cmpmem(f.in->str, f.in->len, want, sizeof(want) - 1);
    g_assert_cmpstr(f.events->str, ==, "OB");
    g_string_truncate(f.in, 0);
    for (unsigned i = 0; i < sizeof(input) - 1; i++) { /* each byte in a read of its own */
        send_bytes(fd, input + i, 1);
        settle(1);
    }
    UNTIL(f.in->len == sizeof(want) - 1);
    g_assert_cmpmem(f.in->str, f.in->len, want, sizeof(want) - 1);
    g_assert_cmpstr(f.events->str, ==, "OBB");
    g_assert_cmpuint(chardev_write(c, "x" IAC IAC "y" IAC, 5), ==, 5);
    expect_bytes(fd, "x" IAC IAC IAC IAC "y" IAC IAC, 8);
    send_bytes(fd, IAC, 1); /* a command cut short by the end does not reach into the next connection */
    close(fd);
    UNTIL(f.events->len == 4);
    chardev_remove_all();
    front_free(&f);
}

/* The break comes between what was sent before it and after it. */
static void break_event(void *opaque, ChardevEvent what)
{
    Front *f = opaque;
    if (what == CHARDEV_BREAK)
        g_string_append_c(f->in, '!');
    front_client.event(opaque, what);
}

static void test_telnet_break(void)
{
    const ChardevClient marking = { front_client.can_read, front_client.read, break_event, NULL };
    unsigned port = free_port();
    Front f;
    Chardev *c = addf("socket,id=s,host=127.0.0.1,port=%u,server=on,wait=off,telnet=on,mux=on", port);
    front_init(&f);
    g_assert_true(chardev_attach(c, NULL, &marking, &f, NULL));
    int fd = tcp_connect(port);
    send_bytes(fd,
               "ab" IAC "\xf3"
               "c\1bd",
               8);
    UNTIL(f.in->len == 6);
    g_assert_cmpstr(f.in->str, ==, "ab!c!d");
    close(fd);
    chardev_remove_all();
    front_free(&f);
}

/* Every byte doubled, a reader that is slow: nothing is lost or split. */
static void test_telnet_slow(void)
{
    Chardev *c;
    Front f;
    int fd;
    g_autofree uint8_t *data = g_malloc(8 << 20);
    g_autoptr(GString) got = g_string_new(NULL);
    size_t sent = 0, n, expected = 0, at = 0;
    telnet_open(&c, &f, &fd);
    for (unsigned i = 0; i < 8 << 20; i++)
        data[i] = i % 3 ? 0xff : i * 5;
    do {
        n = chardev_write(c, data + sent, 65536);
        sent += n;
        g_assert_cmpuint(sent, <=, (8 << 20) - 65536);
    } while (n == 65536);
    for (size_t i = 0; i < sent; i++)
        expected += data[i] == 0xff ? 2 : 1;
    UNTIL(drain(fd, got) >= expected);
    for (size_t i = 0; i < sent; i++) {
        g_assert_cmphex((uint8_t)got->str[at], ==, data[i]);
        at += data[i] == 0xff ? 2 : 1;
    }
    g_assert_cmpuint(at, ==, got->len);
    UNTIL(f.writable == 1);
    close(fd);
    chardev_remove_all();
    front_free(&f);
}

/* wait=on, in a program of its own (child_waits): it says that it waits, takes a client, or ends on a signal. */
static GPid start_waiting(const char *path, int *err_fd)
{
    char *argv[] = { (char *)"/proc/self/exe", (char *)"--wait", (char *)path, NULL };
    GPid pid;
    g_autofree char *self = g_file_read_link(argv[0], NULL);
    argv[0] = self;
    g_assert_true(g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL, NULL,
                                           err_fd, NULL));
    return pid;
}

static char *read_line(int fd)
{
    GString *line = g_string_new(NULL);
    char byte;
    while (read(fd, &byte, 1) == 1 && byte != '\n')
        g_string_append_c(line, byte);
    return g_string_free(line, FALSE);
}

static int child_waits(const char *path)
{
    g_autofree char *text = g_strdup_printf("unix:%s,server=on", path);
    g_autoptr(GError) err = NULL;
    Chardev *c;
    if (!chardev_from_short("w", text, &c, &err)) {
        fprintf(stderr, "%s\n", err->message);
        return 3;
    }
    put(c, "welcome");
    chardev_remove_all();
    return 0;
}

static void test_wait(void)
{
    static const int signals[] = { 0, SIGINT, SIGTERM };
    g_autofree char *path = in_folder("wait"), *waiting = g_strdup_printf("rhea: waiting for a connection on %s", path);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        int err_fd, status, fd = -1;
        GPid pid = start_waiting(path, &err_fd);
        g_autofree char *first = read_line(err_fd);
        g_assert_cmpstr(first, ==, waiting);
        if (signals[i]) {
            g_usleep(100000);
            kill(pid, signals[i]);
            g_autofree char *second = read_line(err_fd);
            g_autofree char *want =
                g_strdup_printf("-chardev socket: signal %d while waiting for %s", signals[i], path);
            g_assert_cmpstr(second, ==, want);
        } else {
            fd = unix_connect(path);
            expect(fd, "welcome");
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status));
        g_assert_cmpint(WEXITSTATUS(status), ==, signals[i] ? 3 : 0);
        g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
        close(err_fd);
        if (fd >= 0)
            close(fd);
    }
}

/* ---- threads: a UART of one byte, which a vCPU empties, and which retries after short writes ---- */

typedef struct Uart {
    Machine *machine;
    Chardev *c;
    GString *in; /* all that the thread has taken; machine's lock guards this and what follows */
    int byte;    /* -1: none */
    unsigned opened;
    size_t sent, total; /* output */
    bool full, stop;
} Uart;

static size_t uart_can_read(void *opaque)
{
    Uart *u = opaque;
    g_assert_true(machine_locked(u->machine));
    return u->byte < 0;
}

static void uart_read(void *opaque, const uint8_t *data, size_t len)
{
    Uart *u = opaque;
    g_assert_true(machine_locked(u->machine));
    g_assert_true(len == 1 && u->byte < 0);
    u->byte = *data;
}

static void uart_event(void *opaque, ChardevEvent what)
{
    Uart *u = opaque;
    g_assert_true(machine_locked(u->machine));
    u->opened += what == CHARDEV_OPENED;
}

static void uart_writable(void *opaque)
{
    Uart *u = opaque;
    g_assert_true(machine_locked(u->machine));
    u->full = false;
}

static gpointer vcpu(gpointer opaque)
{
    Uart *u = opaque;
    char text[1000];
    memset(text, 'o', sizeof(text));
    for (bool stop = false; !stop;) {
        machine_lock(u->machine);
        if (u->byte >= 0) {
            g_string_append_c(u->in, u->byte);
            u->byte = -1;
            chardev_accept_input(u->c);
        }
        size_t len = MIN(sizeof(text), u->total - u->sent);
        if (len && !u->full && u->opened) { /* not before somebody is there to get it */
            size_t n = chardev_write(u->c, text, len);
            u->full = n < len;
            u->sent += n;
        }
        stop = u->stop;
        machine_unlock(u->machine);
        g_usleep(1); /* the lock is not fair */
    }
    return NULL;
}

static void run_uart(Uart *u, const char *path, const char *text, bool lose)
{
    g_autoptr(GString) got = g_string_new(NULL);
    GThread *thread = g_thread_new("vcpu", vcpu, u);
    int fd = unix_connect(path);
    send_text(fd, text);
    for (bool done = false; !done;) {
        g_main_context_iteration(NULL, FALSE);
        drain(fd, got);
        machine_lock(u->machine);
        done = u->in->len == strlen(text) && u->sent == u->total && (lose || got->len == u->total);
        machine_unlock(u->machine);
        if (lose && !done && got->len > 100000) { /* another client, with the vCPU writing all the time */
            close(fd);
            fd = unix_connect(path);
            g_string_truncate(got, 0);
        }
    }
    machine_lock(u->machine);
    u->stop = true;
    machine_unlock(u->machine);
    g_thread_join(thread);
    g_assert_cmpstr(u->in->str, ==, text);
    close(fd);
}

static void test_threads(gconstpointer data)
{
    static const ChardevClient uart_client = { uart_can_read, uart_read, uart_event, uart_writable };
    unsigned kind = GPOINTER_TO_UINT(data);
    bool lose = kind == 2;
    g_autofree char *path = in_folder("threads");
    g_autoptr(GString) text = g_string_new(NULL);
    GError *err = NULL;
    for (unsigned i = 0; !lose && i < 3000; i++)
        g_string_append_printf(text, "%u ", i);
    Uart u = { .machine = machine_new(NULL, accel_find("test"), NULL, NULL, &err),
               .c = addf("socket,id=u,path=%s,server=on,wait=off%s", path, kind ? ",mux=on" : ""),
               .in = g_string_new(NULL),
               .byte = -1,
               .total = lose ? 2 << 20 : 5 << 20 };
    g_assert_no_error(err);
    machine_lock(u.machine);
    g_assert_true(chardev_attach(u.c, u.machine, &uart_client, &u, NULL));
    machine_unlock(u.machine);
    run_uart(&u, path, text->str, lose);
    g_assert_cmpuint(u.opened, >=, 1);
    machine_lock(u.machine);
    chardev_attach(u.c, NULL, NULL, NULL, NULL);
    machine_unlock(u.machine);
    chardev_remove_all();
    machine_free(u.machine);
    g_string_free(u.in, TRUE);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as main does */
    if (argc == 3 && !strcmp(argv[1], "--wait"))
        return child_waits(argv[2]);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/tcp-server", test_tcp_server);
    g_test_add_func("/chardev/tcp-ports", test_tcp_ports);
    g_test_add_func("/chardev/tcp-client", test_tcp_client);
    g_test_add_func("/chardev/unix", test_unix);
    g_test_add_func("/chardev/hup-stalled", test_hup_stalled);
    g_test_add_func("/chardev/telnet", test_telnet);
    g_test_add_func("/chardev/telnet-break", test_telnet_break);
    g_test_add_func("/chardev/telnet-slow", test_telnet_slow);
    g_test_add_func("/chardev/wait", test_wait);
    g_test_add_data_func("/chardev/threads", GUINT_TO_POINTER(0), test_threads);
    g_test_add_data_func("/chardev/threads-mux", GUINT_TO_POINTER(1), test_threads);
    g_test_add_data_func("/chardev/threads-clients", GUINT_TO_POINTER(2), test_threads);
    return run_tests();
}
