/*
 * Back ends: null, stdio, file.
 *
 * stdio puts a terminal into raw mode and restores it on every way out (chardev_restore_terminal, also from fatal
 * signals). Ctrl-A is the escape key: x ends, h helps, Ctrl-A sends itself.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* ---- null ---- */

static bool null_open(Chardev *c, Opts *opts, GError **err)
{
    return true;
}
const ChardevType chardev_null = { .name = "null",
                                   .desc = "takes all, gives nothing",
                                   .keys = (const char *const[]){ "backend", "id", NULL },
                                   .open = null_open };

/* ---- file ---- */

static bool file_open(Chardev *c, Opts *opts, GError **err)
{
    const char *path = opts_string(opts, "path", NULL);
    bool append = false;
    if (!path)
        return error_set(err, "-chardev file: needs path=");
    if (!opts_bool(opts, "append", &append, err))
        return false;
    c->out_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
    return c->out_fd >= 0 || error_set_errno(err, errno, "-chardev file: cannot open '%s'", path);
}

static void file_close(Chardev *c)
{
    if (c->out_fd >= 0)
        close(c->out_fd);
}
const ChardevType chardev_file = { .name = "file",
                                   .desc = "output to a file: path=, append=on|off",
                                   .keys = (const char *const[]){ "backend", "id", "path", "append", NULL },
                                   .open = file_open,
                                   .close = file_close };

/* ---- stdio ---- */

static struct termios saved_terminal;
static volatile sig_atomic_t terminal_saved;
static int saved_flags[2];

void chardev_restore_terminal(void)
{
    if (!terminal_saved)
        return;
    terminal_saved = 0;
    fcntl(0, F_SETFL, saved_flags[0]);
    fcntl(1, F_SETFL, saved_flags[1]);
    if (isatty(0))
        tcsetattr(0, TCSANOW, &saved_terminal);
}

static void fatal_signal(int number)
{
    chardev_restore_terminal();
    signal(number, SIG_DFL);
    raise(number);
}

static bool stdio_open(Chardev *c, Opts *opts, GError **err)
{
    static const int fatal[] = { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGQUIT };
    bool signals = true;
    if (terminal_saved)
        return error_set(err, "stdio is in use by another character device");
    if (!opts_bool(opts, "signal", &signals, err))
        return false;
    c->in_fd = 0;
    c->out_fd = 1;
    saved_flags[0] = fcntl(0, F_GETFL);
    saved_flags[1] = fcntl(1, F_GETFL);
    if (isatty(0) && !tcgetattr(0, &saved_terminal)) {
        struct termios raw = saved_terminal;
        raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
        raw.c_oflag |= OPOST;
        raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
        raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
        raw.c_lflag &= ~ISIG; /* the guest gets Ctrl-C */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        tcsetattr(0, TCSANOW, &raw);
    }
    terminal_saved = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(fatal); i++)
        signal(fatal[i], fatal_signal);
    fcntl(0, F_SETFL, saved_flags[0] | O_NONBLOCK);
    fcntl(1, F_SETFL, saved_flags[1] | O_NONBLOCK);
    return true;
}

static size_t stdio_filter(Chardev *c, uint8_t *data, size_t len)
{
    static const char help[] = "\r\nCtrl-A h  this help\r\nCtrl-A x  leave\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n";
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        if (!c->escape && data[i] == 1) {
            c->escape = true;
            continue;
        }
        if (c->escape && data[i] == 'x')
            mainloop_quit(0);
        else if (c->escape && (data[i] == 'h' || data[i] == '?'))
            chardev_write(c, help, sizeof(help) - 1);
        else
            data[kept++] = data[i];
        c->escape = false;
    }
    return kept;
}

static void stdio_close(Chardev *c)
{
    chardev_restore_terminal();
}
const ChardevType chardev_stdio = { .name = "stdio",
                                    .desc = "standard input and output",
                                    .keys = (const char *const[]){ "backend", "id", "signal", "mux", NULL },
                                    .open = stdio_open,
                                    .close = stdio_close,
                                    .filter = stdio_filter };
