/*
 * Back end pty: a new pseudo-terminal, whose name is told on standard output. Programs come and go at its other side.
 * While nobody has it open its state is asked for now and then: poll would report the hang-up at once, forever.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ASK_MS 200

typedef struct Pty {
    int fd;
    guint timer; /* while nobody is there */
    gint away;   /* atomic: the same, for writers */
    char name[64];
    char *link; /* NULL: none made */
} Pty;

static gboolean ask(gpointer opaque)
{
    Chardev *c = opaque;
    Pty *p = c->state;
    struct pollfd poller = { p->fd, POLLIN, 0 };
    if (poll(&poller, 1, 0) < 0 || (poller.revents & POLLHUP && !(poller.revents & POLLIN)))
        return G_SOURCE_CONTINUE;
    p->timer = 0; /* somebody is there, or was and left input behind */
    g_atomic_int_set(&p->away, 0);
    chardev_set_fds(c, p->fd, p->fd);
    chardev_set_opened(c, true);
    return G_SOURCE_REMOVE;
}

static bool unread(const Pty *p)
{
    struct pollfd poller = { p->fd, POLLIN, 0 };
    return poll(&poller, 1, 0) > 0 && poller.revents & POLLIN;
}

static void pty_hup(Chardev *c, bool ended)
{
    Pty *p = c->state;
    if (p->timer || (!ended && unread(p)))
        return; /* known; or a write failed, but the end of input is yet to be read */
    g_atomic_int_set(&p->away, 1);
    chardev_set_fds(c, -1, p->fd);
    chardev_set_opened(c, false);
    p->timer = g_timeout_add(ASK_MS, ask, c);
}

/* What is written while nobody is there would wait for whoever comes next. */
static size_t pty_write(Chardev *c, const uint8_t *data, size_t len)
{
    Pty *p = c->state;
    struct pollfd poller = { p->fd, POLLOUT, 0 };
    if (g_atomic_int_get(&p->away) && (poll(&poller, 1, 0) <= 0 || poller.revents & POLLHUP))
        return len;
    return chardev_output(c, data, len, false);
}

/* A link that an earlier run left behind is replaced, nothing else is. */
static bool make_link(Pty *p, const char *path, GError **err)
{
    g_autofree char *old = g_file_read_link(path, NULL);
    if (old && g_str_has_prefix(old, "/dev/pts/"))
        unlink(path);
    if (symlink(p->name, path))
        return error_set_errno(err, errno, "-chardev pty: cannot create the link '%s'", path);
    p->link = g_strdup(path);
    return true;
}

/* Raw, so that nothing is echoed or changed until a program on the other side sets what it wants. */
static bool make_raw(const char *name)
{
    struct termios line;
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return false;
    bool ok = !tcgetattr(slave, &line);
    cfmakeraw(&line);
    ok = ok && !tcsetattr(slave, TCSANOW, &line);
    close(slave); /* from here the master is hung up */
    return ok;
}

static bool pty_open(Chardev *c, Opts *opts, GError **err)
{
    const char *path = opts_string(opts, "path", NULL);
    if (!chardev_keys_done(c->type, opts, err))
        return false;
    Pty *p = c->state = g_new0(Pty, 1);
    c->opened = false;
    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) || unlockpt(p->fd) || ptsname_r(p->fd, p->name, sizeof(p->name)) ||
        !make_raw(p->name) || !chardev_nonblocking(p->fd))
        return error_set_errno(err, errno, "-chardev pty: cannot make a pseudo-terminal");
    if (path && !make_link(p, path, err))
        return false;
    c->out_fd = p->fd;
    p->away = 1;
    p->timer = g_timeout_add(ASK_MS, ask, c);
    printf("char device redirected to %s (label %s)\n", p->name, c->id);
    fflush(stdout);
    return true;
}

static void pty_close(Chardev *c)
{
    Pty *p = c->state;
    if (!p)
        return;
    if (p->timer)
        g_source_remove(p->timer);
    g_autofree char *target = p->link ? g_file_read_link(p->link, NULL) : NULL;
    if (target && !strcmp(target, p->name)) /* not if somebody else's by now */
        unlink(p->link);
    if (p->fd >= 0)
        close(p->fd);
    g_free(p->link);
    g_free(p);
}

const ChardevType chardev_pty = { .name = "pty",
                                  .desc = "a new pseudo-terminal; path= makes a link to it",
                                  .keys = (const char *const[]){ "path", NULL },
                                  .open = pty_open,
                                  .close = pty_close,
                                  .write = pty_write,
                                  .hup = pty_hup };
