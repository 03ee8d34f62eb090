/*
 * See chardev_rig.h.
 * SPDX-License-Identifier: MIT
 */
#include "chardev_rig.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *folder;

/* ---- a front end ---- */

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

const ChardevClient front_client = { can_read, read_bytes, event, writable };

void front_init(Front *f)
{
    *f = (Front){ .in = g_string_new(NULL), .room = 1 << 20, .events = g_string_new(NULL) };
}

void front_free(Front *f)
{
    g_string_free(f->in, TRUE);
    g_string_free(f->events, TRUE);
}

void attach(Chardev *c, Front *f)
{
    GError *err = NULL;
    front_init(f);
    chardev_attach(c, NULL, &front_client, f, &err);
    g_assert_no_error(err);
}

/* ---- helpers ---- */

unsigned settle(unsigned ms)
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

Chardev *add(const char *text)
{
    GError *err = NULL;
    g_autoptr(Opts) opts = opts_parse("-chardev", text, "backend", &err);
    g_assert_no_error(err);
    Chardev *c = chardev_add(opts, &err);
    g_assert_no_error(err);
    g_assert_nonnull(c);
    return c;
}

Chardev *addf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return add(text);
}

void refuse(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opts) opts = opts_parse("-chardev", text, "backend", &err);
    g_assert_no_error(err);
    g_assert_null(chardev_add(opts, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, want) || strchr(err->message, '\n'))
        g_error("%s: got '%s', wanted '%s'", text, err->message, want);
}

Chardev *shortform(const char *text)
{
    GError *err = NULL;
    Chardev *c;
    chardev_from_short("short0", text, &c, &err);
    g_assert_no_error(err);
    return c;
}

void refuse_short(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    Chardev *c;
    g_assert_false(chardev_from_short("short0", text, &c, &err));
    g_assert_null(c);
    g_assert_nonnull(err);
    if (!strstr(err->message, want) || strchr(err->message, '\n'))
        g_error("%s: got '%s', wanted '%s'", text, err->message, want);
}

char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

size_t drain(int fd, GString *s)
{
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n > 0)
        g_string_append_len(s, buffer, n);
    return s->len;
}

void expect_bytes(int fd, const char *bytes, size_t len)
{
    g_autoptr(GString) s = g_string_new(NULL);
    UNTIL(drain(fd, s) >= len);
    g_assert_cmpmem(s->str, s->len, bytes, len);
}

void expect(int fd, const char *text)
{
    expect_bytes(fd, text, strlen(text));
}

void send_bytes(int fd, const void *data, size_t len)
{
    g_assert_cmpint(write(fd, data, len), ==, len);
}

void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

void put(Chardev *c, const char *text)
{
    g_assert_cmpuint(chardev_write(c, text, strlen(text)), ==, strlen(text));
}

int unix_connect(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(at.sun_path, path, sizeof(at.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

int run_tests(void)
{
    folder = g_dir_make_tmp("rhea-chardev-XXXXXX", NULL);
    int status = g_test_run();
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", folder);
    g_free(folder);
    return system(command) ? 1 : status;
}
