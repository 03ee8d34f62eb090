/*
 * Character devices: each back end against what is at its other end, the multiplexer's keys, the short forms. Sockets:
 * chardev_socket_test.c.
 * SPDX-License-Identifier: MIT
 */
#include "chardev_rig.h"
#include "util/mainloop.h"
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

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
    g_assert_false(chardev_attach(t.c, NULL, &front_client, &f[4], &err));
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
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/ringbuf", test_ringbuf);
    g_test_add_func("/chardev/ringbuf-model", test_ringbuf_model);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/pipe", test_pipe);
    g_test_add_func("/chardev/slow-front", test_slow_front);
    g_test_add_func("/chardev/slow-reader", test_slow_reader);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/serial", test_serial);
    g_test_add_func("/chardev/mux-focus", test_mux_focus);
    g_test_add_func("/chardev/mux-keys", test_mux_keys);
    g_test_add_func("/chardev/mux-timestamps", test_mux_timestamps);
    g_test_add_func("/chardev/mux-slow", test_mux_slow);
    g_test_add_func("/chardev/stdio", test_stdio);
    g_test_add_func("/chardev/stdio-end", test_stdio_end);
    g_test_add_func("/chardev/short", test_short);
    return run_tests();
}
