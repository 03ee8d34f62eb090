/*
 * Back ends that open something by name: pipe (two FIFOs) and serial (a terminal line of the host).
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

/* ---- pipe ---- */

/* Each FIFO is opened both ways: so opening does not wait for the other side, and its coming and going is no end. */
static bool pipe_open(Chardev *c, Opts *opts, GError **err)
{
    const char *path = opts_string(opts, "path", NULL);
    if (!path)
        return error_set(err, "-chardev pipe: needs path=");
    if (!chardev_keys_done(c->type, opts, err))
        return false;
    g_autofree char *in = g_strdup_printf("%s.in", path), *out = g_strdup_printf("%s.out", path);
    c->in_fd = open(in, OPEN_FLAGS);
    bool none = c->in_fd < 0 && errno == ENOENT;
    if (c->in_fd < 0 && !none)
        return error_set_errno(err, errno, "-chardev pipe: cannot open '%s'", in);
    c->out_fd = open(out, OPEN_FLAGS);
    if (c->out_fd >= 0 && !none)
        return true;
    if (!none || c->out_fd >= 0 || errno != ENOENT)
        return error_set_errno(err, c->out_fd < 0 ? errno : ENOENT, "-chardev pipe: cannot open '%s'",
                               c->out_fd < 0 ? out : in);
    c->in_fd = open(path, OPEN_FLAGS);
    if (c->in_fd < 0 && errno == ENOENT)
        return error_set(err, "-chardev pipe: there is neither '%s' and '%s' nor '%s'; mkfifo makes them", in, out,
                         path);
    if (c->in_fd < 0)
        return error_set_errno(err, errno, "-chardev pipe: cannot open '%s'", path);
    c->out_fd = fcntl(c->in_fd, F_DUPFD_CLOEXEC, 0);
    return c->out_fd >= 0 || error_set_errno(err, errno, "-chardev pipe: '%s'", path);
}

static void pipe_close(Chardev *c)
{
    if (c->in_fd >= 0)
        close(c->in_fd);
    if (c->out_fd >= 0)
        close(c->out_fd);
}

const ChardevType chardev_pipe = { .name = "pipe",
                                   .desc = "the FIFOs path=.in and path=.out, or path= itself",
                                   .keys = (const char *const[]){ "path", NULL },
                                   .open = pipe_open,
                                   .close = pipe_close };

/* ---- serial ---- */

static bool serial_open(Chardev *c, Opts *opts, GError **err)
{
    const char *path = opts_string(opts, "path", NULL);
    struct termios line;
    if (!path)
        return error_set(err, "-chardev serial: needs path=, as in path=/dev/ttyS0");
    if (!chardev_keys_done(c->type, opts, err))
        return false;
    c->in_fd = c->out_fd = open(path, OPEN_FLAGS);
    if (c->in_fd < 0)
        return error_set_errno(err, errno, "-chardev serial: cannot open '%s'", path);
    if (tcgetattr(c->in_fd, &line))
        return error_set(err, "-chardev serial: '%s' is not a terminal line", path);
    c->state = g_memdup2(&line, sizeof(line));
    cfmakeraw(&line);
    line.c_cflag = (line.c_cflag & ~(CSTOPB | CRTSCTS)) | CS8 | CREAD | CLOCAL;
    cfsetispeed(&line, B115200);
    cfsetospeed(&line, B115200);
    if (tcsetattr(c->in_fd, TCSANOW, &line))
        return error_set_errno(err, errno, "-chardev serial: cannot set up '%s'", path);
    return true;
}

static void serial_close(Chardev *c)
{
    if (c->state)
        tcsetattr(c->in_fd, TCSANOW, c->state);
    g_free(c->state);
    if (c->in_fd >= 0)
        close(c->in_fd);
}

const ChardevType chardev_serial = { .name = "serial",
                                     .alias = "tty",
                                     .desc = "a terminal line of the host: path=; 115200 8N1, raw",
                                     .keys = (const char *const[]){ "path", NULL },
                                     .open = serial_open,
                                     .close = serial_close };
