/*
 * Character devices: each back end against what is at its other end, the multiplexer's keys, the short forms.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/core/machine.h"
#include "ui/chardev/chardev.h"
#include "util/mainloop.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* ---- a front end ---- */

typedef struct Front {
    GString *in;     /* what it was given */
    size_t room;     /* how much more it takes */
    GString *events; /* one letter each */
    unsigned writable;
} Front;

static size_t can_read(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void read_bytes(void *opaque, const uint8_t *data, size_t len)
{
    Front *f = opaque;
    g_assert_cmpuint(len, <=, f->room);
    f->room -= len;
    g_string_append_len(f->in, (const char *)data, len);
}

static void event(void *opaque, ChardevEvent event)
{
    g_string_append_c(((Front *)opaque)->events, "OCBio"[event]);
}

static void writable(void *opaque)
{
    ((Front *)opaque)->writable++;
}

static const ChardevClient client = { can_read, read_bytes, event, writable };

static void front_init(Front *f)
{
    *f = (Front){ .in = g_string_new(NULL), .room = 1 << 20, .events = g_string_new(NULL) };
}

static void front_free(Front *f)
{
    g_string_free(f->in, TRUE);
    g_string_free(f->events, TRUE);
}

static void attach(Chardev *c, Front *f)
{
    GError *err = NULL;
    front_init(f);
    chardev_attach(c, NULL, &client, f, &err);
    g_assert_no_error(err);
}

/* ---- helpers ---- */

/* Turn the main loop until cond holds; an error after two minutes. */
#define UNTIL(cond)                                                  \
    do {                                                             \
        gint64 end_ = g_get_monotonic_time() + 120 * G_USEC_PER_SEC; \
        while (!(cond)) {                                            \
            g_assert_cmpint(g_get_monotonic_time(), <, end_);        \
            if (!g_main_context_iteration(NULL, FALSE))              \
                g_usleep(200);                                       \
        }                                                            \
    } while (0)

/* Turn it for a while in which nothing should happen; how often something did. */
static unsigned settle(unsigned ms)
{
    unsigned turns = 0;
    for (gint64 end = g_get_monotonic_time() + ms * 1000; g_get_monotonic_time() < end;) {
        if (g_main_context_iteration(NULL, FALSE))
            turns++;
        else
            g_usleep(200);
    }
    return turns;
}

static Chardev *add(const char *text)
{
    GError *err = NULL;
    g_autoptr(Opts) opts = opts_parse("-chardev", text, "backend", &err);
    g_assert_no_error(err);
    Chardev *c = chardev_add(opts, &err);
    g_assert_no_error(err);
    g_assert_nonnull(c);
    return c;
}

G_GNUC_PRINTF(1, 2) static Chardev *addf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return add(text);
}

/* -chardev text fails, and the message contains want. */
static void refuse(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opts) opts = opts_parse("-chardev", text, "backend", &err);
    g_assert_no_error(err);
    g_assert_null(chardev_add(opts, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, want) || strchr(err->message, '\n'))
        g_error("%s: got '%s', wanted '%s'", text, err->message, want);
}

static Chardev *shortform(const char *text)
{
    GError *err = NULL;
    Chardev *c;
    chardev_from_short("short0", text, &c, &err);
    g_assert_no_error(err);
    return c;
}

static void refuse_short(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    Chardev *c;
    g_assert_false(chardev_from_short("short0", text, &c, &err));
    g_assert_null(c);
    g_assert_nonnull(err);
    if (!strstr(err->message, want) || strchr(err->message, '\n'))
        g_error("%s: got '%s', wanted '%s'", text, err->message, want);
}

static char *folder;

static char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* What can be read from the non-blocking fd is added to s. */
static size_t drain(int fd, GString *s)
{
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n > 0)
        g_string_append_len(s, buffer, n);
    return s->len;
}

static void expect_bytes(int fd, const char *bytes, size_t len)
{
    g_autoptr(GString) s = g_string_new(NULL);
    UNTIL(drain(fd, s) >= len);
    g_assert_cmpmem(s->str, s->len, bytes, len);
}

static void expect(int fd, const char *text)
{
    expect_bytes(fd, text, strlen(text));
}

static void send_bytes(int fd, const void *data, size_t len)
{
    g_assert_cmpint(write(fd, data, len), ==, len);
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

static void put(Chardev *c, const char *text)
{
    g_assert_cmpuint(chardev_write(c, text, strlen(text)), ==, strlen(text));
}

/* ---- ringbuf, file ---- */

static void test_ringbuf(void)
{
    char buffer[64];
    Chardev *c = add("ringbuf,id=r,size=16");
    g_assert_true(chardev_is_ringbuf(c));
    put(c, "0123456789");
    g_assert_cmpuint(chardev_ringbuf_read(c, buffer, 4), ==, 4);
    g_assert_cmpmem(buffer, 4, "0123", 4);
    put(c, "abcdefgh"); /* wraps, all fits */
    g_assert_cmpuint(chardev_ringbuf_read(c, buffer, 64), ==, 14);
    g_assert_cmpmem(buffer, 14, "456789abcdefgh", 14);
    g_assert_cmpuint(chardev_ringbuf_read(c, buffer, 64), ==, 0);
    put(c, "0123456789");
    put(c, "ABCDEFGHIJ"); /* the oldest four go */
    g_assert_cmpuint(chardev_ringbuf_read(c, buffer, 64), ==, 16);
    g_assert_cmpmem(buffer, 16, "456789ABCDEFGHIJ", 16);
    put(c, "xyz0123456789abcdefghijklmnopqrstuvw"); /* longer than the ring */
    g_assert_cmpuint(chardev_ringbuf_read(c, buffer, 64), ==, 16);
    g_assert_cmpmem(buffer, 16, "hijklmnopqrstuvw", 16);
    Chardev *n = add("null,id=n");
    g_assert_cmpuint(chardev_ringbuf_read(n, buffer, 64), ==, 0);
    g_assert_false(chardev_is_ringbuf(n));
    g_assert_true(chardev_is_ringbuf(add("memory,id=m")));
    refuse("ringbuf,id=x,size=1000", "-chardev ringbuf: size must be a power of two, not 1000");
    refuse("ringbuf,id=x,size=0", "size");
    refuse("ringbuf,id=r", "'r' already");
    refuse("ringbuf,id=x,path=y", "unknown key 'path'");
    refuse("ringbuff,id=x", "did you mean 'ringbuf'?");
    chardev_remove_all();
}

/* Any byte sequence against a plain model: the last size bytes that were not taken. */
static void test_ringbuf_model(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    g_autoptr(GString) model = g_string_new(NULL);
    Chardev *c = add("ringbuf,id=r,size=64");
    for (unsigned round = 0; round < 2000; round++) {
        char data[200], got[200];
        size_t len = g_rand_int_range(rand, 0, sizeof(data)), want;
        for (size_t i = 0; i < len; i++)
            data[i] = g_rand_int(rand);
        g_assert_cmpuint(chardev_write(c, data, len), ==, len);
        g_string_append_len(model, data, len);
        if (model->len > 64)
            g_string_erase(model, 0, model->len - 64);
        len = g_rand_int_range(rand, 0, 100);
        want = MIN(len, model->len);
        g_assert_cmpuint(chardev_ringbuf_read(c, got, len), ==, want);
        g_assert_cmpmem(got, want, model->str, want);
        g_string_erase(model, 0, want);
    }
    chardev_remove_all();
}

static void test_file(void)
{
    g_autofree char *path = in_folder("out"), *log = in_folder("log"), *text = NULL, *both = NULL;
    Chardev *c = addf("file,id=f,path=%s,logfile=%s", path, log);
    put(c, "one\n");
    chardev_remove_all();
    c = addf("file,id=f,path=%s,append=on,logfile=%s,logappend=on", path, log);
    put(c, "two\n");
    chardev_remove_all();
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "one\ntwo\n");
    g_assert_true(g_file_get_contents(log, &both, NULL, NULL));
    g_assert_cmpstr(both, ==, "one\ntwo\n");
    g_autofree char *wrong = g_strdup_printf("file,id=f,path=%s,apend=on", path), *after = NULL;
    refuse(wrong, "did you mean 'append'?");
    g_assert_true(g_file_get_contents(path, &after, NULL, NULL)); /* not truncated by the line that was refused */
    g_assert_cmpstr(after, ==, "one\ntwo\n");
    refuse("file,id=f", "-chardev file: needs path=");
    refuse("file,id=f,path=/nonexistent/x", "cannot open '/nonexistent/x'");
    refuse("null,id=f,logfile=/nonexistent/x", "logfile: cannot open");
    g_assert_null(chardev_find("f"));
}

/* ---- pipe ---- */

static int fifo(const char *path)
{
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    int fd = open(path, O_RDWR | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void test_pipe(void)
{
    g_autofree char *path = in_folder("pipe"), *in_path = in_folder("pipe.in"), *out_path = in_folder("pipe.out");
    g_autofree char *text = g_strdup_printf("pipe,id=p,path=%s", path);
    Front f;
    refuse("pipe,id=p", "needs path=");
    refuse(text, "mkfifo");
    int in = fifo(in_path);
    refuse(text, "cannot open"); /* one of the two */
    int out = fifo(out_path);
    Chardev *c = add(text);
    attach(c, &f);
    send_text(in, "to the guest");
    UNTIL(f.in->len == 12);
    g_assert_cmpstr(f.in->str, ==, "to the guest");
    put(c, "from the guest");
    expect(out, "from the guest");
    UNTIL(f.events->len);
    g_assert_cmpstr(f.events->str, ==, "O");
    chardev_remove_all();
    front_free(&f);
    close(in);
    close(out);

    g_autofree char *one = in_folder("one");
    int both = fifo(one); /* a FIFO for both directions: what is written comes back */
    c = addf("pipe,id=p,path=%s", one);
    put(c, "echo");
    expect(both, "echo");
    chardev_remove_all();
    close(both);
}

/* A front end that takes little at a time: nothing is lost, and nothing spins while it takes nothing. */
static void test_slow_front(void)
{
    g_autofree char *path = in_folder("slow"), *in_path = in_folder("slow.in"), *out_path = in_folder("slow.out");
    int in = fifo(in_path), out = fifo(out_path);
    Front f;
    Chardev *c = addf("pipe,id=p,path=%s", path);
    attach(c, &f);
    f.room = 3;
    send_text(in, "abcdefgh");
    UNTIL(f.in->len == 3);
    g_assert_cmpuint(settle(30), <, 10);
    for (size_t want = 4; want <= 8; want++) {
        f.room = 1;
        chardev_accept_input(c);
        UNTIL(f.in->len == want);
    }
    g_assert_cmpstr(f.in->str, ==, "abcdefgh");
    chardev_remove_all();
    front_free(&f);
    close(in);
    close(out);
}

/* Nobody reads: a write comes to be short; when all is read, writable is called, once. */
static void test_slow_reader(void)
{
    g_autofree char *path = in_folder("full"), *in_path = in_folder("full.in"), *out_path = in_folder("full.out");
    int in = fifo(in_path), out = fifo(out_path);
    g_autofree uint8_t *data = g_malloc(4 << 20), *got = g_malloc(4 << 20);
    size_t sent = 0, read_count = 0, n;
    Front f;
    for (unsigned i = 0; i < 4 << 20; i++)
        data[i] = i * 7 + (i >> 8);
    Chardev *c = addf("pipe,id=p,path=%s", path);
    attach(c, &f);
    do {
        n = chardev_write(c, data + sent, 100000);
        sent += n;
        g_assert_cmpuint(sent, <, 3 << 20);
    } while (n == 100000);
    g_assert_cmpuint(chardev_write(c, data + sent, 1), ==, 0);
    settle(20);
    g_assert_cmpuint(f.writable, ==, 0);
    while (read_count < sent) {
        ssize_t r = read(out, got + read_count, 65536);
        read_count += r > 0 ? r : 0;
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpmem(got, read_count, data, sent);
    UNTIL(f.writable);
    put(c, "x");
    expect(out, "x");
    g_assert_cmpuint(f.writable, ==, 1);
    chardev_remove_all();
    front_free(&f);
    close(in);
    close(out);
}

/* ---- pty, serial ---- */

static char *pty_name(const char *link)
{
    char *name = g_file_read_link(link, NULL);
    g_assert_nonnull(name);
    return name;
}

static int open_slave(const char *name)
{
    int fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void test_pty(void)
{
    g_autofree char *link = in_folder("pty");
    Front f;
    g_assert_cmpint(symlink("/dev/pts/99999", link), ==, 0); /* left behind by an earlier run */
    Chardev *c = addf("pty,id=p,path=%s", link);
    attach(c, &f);
    g_autofree char *name = pty_name(link);
    put(c, "nobody sees this");
    g_assert_cmpuint(settle(450), <, 20);
    g_assert_cmpstr(f.events->str, ==, "");
    for (unsigned round = 1; round <= 3; round++) {
        int slave = open_slave(name);
        UNTIL(f.events->len == 2 * round - 1);
        g_string_truncate(f.in, 0);
        send_bytes(slave, "in\n\r\3\1", 6); /* as it is */
        UNTIL(f.in->len == 6);
        g_assert_cmpmem(f.in->str, 6, "in\n\r\3\1", 6);
        put(c, "out\n");
        expect(slave, "out\n");
        close(slave);
        UNTIL(f.events->len == 2 * round);
        g_assert_cmpuint(settle(250), <, 20);
    }
    g_assert_cmpstr(f.events->str, ==, "OCOCOC");
    int slave = open_slave(name); /* there and gone again before anybody asks */
    send_text(slave, "quick");
    close(slave);
    g_string_truncate(f.in, 0);
    UNTIL(f.in->len == 5);
    UNTIL(f.events->len == 8);
    chardev_remove_all();
    front_free(&f);
    g_assert_false(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
    g_assert_true(g_file_set_contents(link, "mine", 4, NULL));
    g_autofree char *text = g_strdup_printf("pty,id=p,path=%s", link);
    refuse(text, "File exists");
    g_assert_true(g_file_test(link, G_FILE_TEST_IS_REGULAR));
}

static void test_serial(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    char name[64];
    struct termios before, raw, after;
    Front f;
    g_assert_true(!grantpt(master) && !unlockpt(master) && !ptsname_r(master, name, sizeof(name)));
    int keep = open_slave(name);
    g_assert_cmpint(tcgetattr(keep, &before), ==, 0);
    Chardev *c = addf("tty,id=t,path=%s", name);
    g_assert_cmpint(tcgetattr(keep, &raw), ==, 0);
    g_assert_cmpint(raw.c_lflag & (ICANON | ECHO | ISIG), ==, 0);
    attach(c, &f);
    send_bytes(master, "\3\r", 2);
    UNTIL(f.in->len == 2);
    g_assert_cmpmem(f.in->str, 2, "\3\r", 2);
    put(c, "a\nb");
    expect(master, "a\nb");
    chardev_remove_all();
    front_free(&f);
    g_assert_cmpint(tcgetattr(keep, &after), ==, 0);
    g_assert_true(before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag);
    Chardev *s = shortform(name); /* begins with /dev/ */
    attach(s, &f);
    send_text(master, "x");
    UNTIL(f.in->len == 1);
    close(keep);
    close(master); /* hang-up */
    g_assert_cmpuint(settle(30), <, 10);
    chardev_remove_all();
    front_free(&f);
    refuse("serial,id=t,path=/dev/null", "'/dev/null' is not a terminal line");
    refuse("serial,id=t", "needs path=");
}

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

static int unix_connect(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(at.sun_path, path, sizeof(at.sun_path));
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
    event(opaque, what);
}

static void test_telnet_break(void)
{
    static const ChardevClient marking = { can_read, read_bytes, break_event, NULL };
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

/* ---- mux ---- */

typedef struct MuxTest {
    int in, out;
    Chardev *c;
} MuxTest;

static void mux_open(MuxTest *t, const char *name)
{
    g_autofree char *path = in_folder(name), *in = g_strdup_printf("%s.in", path);
    g_autofree char *out = g_strdup_printf("%s.out", path);
    t->in = fifo(in);
    t->out = fifo(out);
    t->c = addf("pipe,id=m,mux=on,path=%s", path);
}

static void mux_close(MuxTest *t)
{
    chardev_remove_all();
    close(t->in);
    close(t->out);
}

static void test_mux_focus(void)
{
    MuxTest t;
    Front f[5];
    mux_open(&t, "focus");
    for (unsigned i = 0; i < 4; i++)
        attach(t.c, &f[i]);
    g_autoptr(GError) err = NULL;
    front_init(&f[4]);
    g_assert_false(chardev_attach(t.c, NULL, &client, &f[4], &err));
    g_assert_cmpstr(err->message, ==, "character device 'm' is shared by 4 front ends already");
    UNTIL(f[3].events->len == 2);
    g_assert_cmpstr(f[3].events->str, ==, "Oi");
    send_text(t.in, "three\1cze\1cro\1c\1cagain");
    UNTIL(f[3].in->len == 10);
    g_assert_cmpstr(f[3].in->str, ==, "threeagain");
    g_assert_cmpstr(f[0].in->str, ==, "ze");
    g_assert_cmpstr(f[1].in->str, ==, "ro");
    g_assert_cmpstr(f[2].in->str, ==, "");
    g_assert_cmpstr(f[0].events->str, ==, "Oio");
    g_assert_cmpstr(f[2].events->str, ==, "Oio");
    g_assert_cmpstr(f[3].events->str, ==, "Oioi");
    put(t.c, "from any\n");
    expect(t.out, "from any\n");
    chardev_attach(t.c, NULL, NULL, &f[3], NULL); /* the focus goes to another */
    UNTIL(strstr(f[2].events->str, "Oioi"));
    send_text(t.in, "two");
    UNTIL(f[2].in->len == 3);
    chardev_attach(t.c, NULL, NULL, NULL, NULL); /* the last */
    send_text(t.in, "\1c");
    UNTIL(f[0].events->len == 4 || f[1].events->len == 4);
    mux_close(&t);
    for (unsigned i = 0; i < 5; i++)
        front_free(&f[i]);
}

static unsigned synced;

static void sync_called(void)
{
    synced++;
}

static void test_mux_keys(void)
{
    MuxTest t;
    Front f;
    mux_open(&t, "keys");
    attach(t.c, &f);
    UNTIL(f.events->len == 2);
    g_string_truncate(f.events, 0);
    chardev_set_sync(sync_called);
    send_text(t.in, "\1s\1ba\1\1b\1q");
    UNTIL(f.in->len == 3);
    g_assert_cmpstr(f.in->str, ==, "a\1b"); /* the unknown key is swallowed */
    g_assert_cmpstr(f.events->str, ==, "B");
    g_assert_cmpuint(synced, ==, 1);
    send_text(t.in, "\1"); /* apart from its key */
    settle(5);
    send_text(t.in, "h");
    g_autoptr(GString) help = g_string_new(NULL);
    UNTIL(drain(t.out, help) && strstr(help->str, "C-a C-a"));
    g_assert_nonnull(strstr(help->str, "\r\nC-a x "));
    g_string_truncate(f.in, 0);
    chardev_set_escape(0x14);
    send_text(t.in, "\1x\x14\x14");
    UNTIL(f.in->len == 3);
    g_assert_cmpstr(f.in->str, ==, "\1x\x14");
    chardev_set_escape(1);
    send_text(t.in, "\1x");
    expect(t.out, "\rRhea: Terminated\r\n");
    g_assert_cmpint(mainloop_run(), ==, 0); /* returns: the key has ended it */
    mux_close(&t);
    front_free(&f);
}

static void test_mux_timestamps(void)
{
    MuxTest t;
    Front f;
    g_autoptr(GString) out = g_string_new(NULL);
    mux_open(&t, "time");
    attach(t.c, &f);
    send_text(t.in, "\1ty");
    UNTIL(f.in->len == 1);
    put(t.c, "rest\none\ntw");
    put(t.c, "o\n");
    UNTIL(drain(t.out, out) && g_str_has_suffix(out->str, "two\n"));
    g_autoptr(GRegex) lines =
        g_regex_new("^rest\n\\[00:00:00\\.000\\] one\n\\[00:00:0\\d\\.\\d{3}\\] two\n$", 0, 0, NULL);
    g_assert_true(g_regex_match(lines, out->str, 0, NULL));
    send_text(t.in, "\1ty");
    UNTIL(f.in->len == 2);
    put(t.c, "plain\nlines\n");
    expect(t.out, "plain\nlines\n");
    mux_close(&t);
    front_free(&f);
}

/* Input for a front end that takes none is kept, in order, and keys still work. */
static void test_mux_slow(void)
{
    MuxTest t;
    Front f[2];
    g_autoptr(GString) long_text = g_string_new(NULL), got = g_string_new(NULL);
    mux_open(&t, "muxslow");
    attach(t.c, &f[0]);
    attach(t.c, &f[1]);
    f[1].room = 0;
    send_text(t.in, "kept\1cfirst\1c");
    UNTIL(f[0].in->len == 5);
    for (unsigned i = 0; i < 1000; i++)
        g_string_append_printf(long_text, "%u,", i);
    send_text(t.in, long_text->str); /* more than is kept: the rest stays in the FIFO */
    g_assert_cmpuint(settle(30), <, 1200);
    g_assert_cmpuint(settle(30), <, 10);
    g_assert_cmpuint(f[1].in->len, ==, 0);
    g_string_assign(got, "kept");
    g_string_append(got, long_text->str);
    for (unsigned round = 0; f[1].in->len < got->len; round++) {
        g_assert_cmpuint(round, <, 20000);
        f[1].room = 1 + round % 40;
        chardev_accept_input(t.c);
        settle(0);
        for (unsigned i = 0; i < 5; i++)
            g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpstr(f[1].in->str, ==, got->str);
    send_text(t.in, "\1cx");
    UNTIL(f[0].in->len == 6);
    mux_close(&t);
    front_free(&f[0]);
    front_free(&f[1]);
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

/* ---- stdio ---- */

/* In a child whose terminal is a pseudo-terminal: which flags the terminal has, and that all is put back. */
static void stdio_child(const char *text)
{
    struct termios before, now, after;
    tcgetattr(0, &before);
    Chardev *c;
    if (!chardev_from_short("s", text, &c, NULL))
        _exit(10);
    tcgetattr(0, &now);
    raise(SIGCONT);
    bool isig = now.c_lflag & ISIG, raw = !(now.c_lflag & (ICANON | ECHO));
    chardev_remove_all();
    tcgetattr(0, &after);
    bool restored =
        before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag && !(fcntl(0, F_GETFL) & O_NONBLOCK);
    _exit(isig | raw << 1 | restored << 2);
}

static int in_terminal(const char *text)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), status;
    g_assert_true(!grantpt(master) && !unlockpt(master));
    pid_t pid = fork();
    if (!pid) {
        setsid();
        int slave = open(ptsname(master), O_RDWR);
        dup2(slave, 0);
        dup2(slave, 1);
        close(slave);
        close(master);
        stdio_child(text);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    close(master);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_stdio(void)
{
    g_assert_cmpint(in_terminal("stdio"), ==, 7);     /* Ctrl-C stays a signal */
    g_assert_cmpint(in_terminal("mon:stdio"), ==, 6); /* the guest's */
}

/* The end of standard input; and Ctrl-A is nothing special without a mux. */
static void test_stdio_end(void)
{
    int in[2], out[2], saved[2] = { dup(0), dup(1) };
    Front f;
    g_assert_true(!pipe(in) && !pipe(out));
    fflush(stdout);
    dup2(in[0], 0);
    dup2(out[1], 1);
    Chardev *c = shortform("stdio");
    attach(c, &f);
    g_autoptr(GError) err = NULL;
    Chardev *second;
    bool taken = !chardev_from_short("other", "stdio", &second, &err);
    send_text(in[1], "\1xq");
    UNTIL(f.in->len == 3);
    put(c, "said");
    close(in[1]);
    unsigned turns = settle(50);
    chardev_remove_all();
    dup2(saved[0], 0);
    dup2(saved[1], 1);
    g_assert_cmpuint(turns, <, 10);
    g_assert_true(taken);
    g_assert_cmpstr(err->message, ==, "stdio is in use by another character device");
    g_assert_cmpstr(f.in->str, ==, "\1xq");
    g_assert_cmpint(fcntl(out[0], F_SETFL, O_NONBLOCK), ==, 0);
    expect(out[0], "said");
    close(in[0]);
    close(out[0]);
    close(out[1]);
    close(saved[0]);
    close(saved[1]);
    front_free(&f);
}

/* ---- short forms ---- */

static void test_short(void)
{
    g_autofree char *path = in_folder("short,file"), *text = g_strdup_printf("mon:file:%s", path), *said = NULL;
    g_assert_null(shortform("none"));
    Chardev *c = shortform(text);
    g_assert_cmpstr(chardev_id(c), ==, "short0");
    put(c, "x");
    g_assert_true(shortform("chardev:short0") == c);
    refuse_short("null", "'short0' already");
    chardev_remove_all();
    g_assert_true(g_file_get_contents(path, &said, NULL, NULL));
    g_assert_cmpstr(said, ==, "x");
    g_assert_nonnull(shortform("vc:80Cx24C"));
    chardev_remove_all();
    refuse_short("chardev:nobody", "there is no -chardev with id 'nobody'");
    refuse_short("foo:bar", "'foo:bar' is not a character device; there are stdio");
    refuse_short("nulll", "'nulll' is not");
    refuse_short("mon:", "'' is not");
    refuse_short("file:", "needs a path");
    refuse_short("tcp:5555", "needs a port");
    refuse_short("tcp:localhost:", "needs a port");
    refuse_short("tcp:localhost:0,sever=on", "did you mean 'server'?");
    chardev_remove_all();
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* as main does */
    if (argc == 3 && !strcmp(argv[1], "--wait"))
        return child_waits(argv[2]);
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("rhea-chardev-XXXXXX", NULL);
    g_test_add_func("/chardev/ringbuf", test_ringbuf);
    g_test_add_func("/chardev/ringbuf-model", test_ringbuf_model);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/pipe", test_pipe);
    g_test_add_func("/chardev/slow-front", test_slow_front);
    g_test_add_func("/chardev/slow-reader", test_slow_reader);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/serial", test_serial);
    g_test_add_func("/chardev/tcp-server", test_tcp_server);
    g_test_add_func("/chardev/tcp-ports", test_tcp_ports);
    g_test_add_func("/chardev/tcp-client", test_tcp_client);
    g_test_add_func("/chardev/unix", test_unix);
    g_test_add_func("/chardev/hup-stalled", test_hup_stalled);
    g_test_add_func("/chardev/telnet", test_telnet);
    g_test_add_func("/chardev/telnet-break", test_telnet_break);
    g_test_add_func("/chardev/telnet-slow", test_telnet_slow);
    g_test_add_func("/chardev/wait", test_wait);
    g_test_add_func("/chardev/mux-focus", test_mux_focus);
    g_test_add_func("/chardev/mux-keys", test_mux_keys);
    g_test_add_func("/chardev/mux-timestamps", test_mux_timestamps);
    g_test_add_func("/chardev/mux-slow", test_mux_slow);
    g_test_add_data_func("/chardev/threads", GUINT_TO_POINTER(0), test_threads);
    g_test_add_data_func("/chardev/threads-mux", GUINT_TO_POINTER(1), test_threads);
    g_test_add_data_func("/chardev/threads-clients", GUINT_TO_POINTER(2), test_threads);
    g_test_add_func("/chardev/stdio", test_stdio);
    g_test_add_func("/chardev/stdio-end", test_stdio_end);
    g_test_add_func("/chardev/short", test_short);
    int status = g_test_run();
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", folder);
    g_free(folder);
    return system(command) ? 1 : status;
}
