/*
 * Back ends: null, stdio, file.
 *
 * stdio puts a terminal into raw mode and restores it on every way out (chardev_restore_terminal, also from fatal
 * signals); when the program goes on after a stop (SIGCONT) it is raw again. signal=off: the guest gets Ctrl-C.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* ---- null ---- */

static bool null_open(Chardev *c, Opts *opts, GError **err)
{
    return chardev_keys_done(c->type, opts, err);
}
const ChardevType chardev_null = { .name = "null", .desc = "takes all, gives nothing", .open = null_open };

/* ---- file ---- */

static bool file_open(Chardev *c, Opts *opts, GError **err)
{
    const char *path = opts_string(opts, "path", NULL);
    bool append = false;
    if (!path)
        return error_set(err, "-chardev file: needs path=");
    if (!opts_bool(opts, "append", &append, err) || !chardev_keys_done(c->type, opts, err))
        return false;
    /* A FIFO opened for writing alone waits for its reader. */
    struct stat st;
    bool fifo = !stat(path, &st) && S_ISFIFO(st.st_mode);
    c->out_fd =
        open(path, (fifo ? O_RDWR : O_WRONLY) | O_CREAT | O_CLOEXEC | O_NOCTTY | (append ? O_APPEND : O_TRUNC), 0644);
    if (c->out_fd >= 0)
        chardev_nonblocking(c->out_fd);
    return c->out_fd >= 0 || error_set_errno(err, errno, "-chardev file: cannot open '%s'", path);
}

static void file_close(Chardev *c)
{
    if (c->out_fd >= 0)
        close(c->out_fd);
}
const ChardevType chardev_file = { .name = "file",
                                   .desc = "output to a file: path=, append=on|off",
                                   .keys = (const char *const[]){ "path", "append", NULL },
                                   .open = file_open,
                                   .close = file_close };

/* ---- stdio ---- */

static struct termios saved_terminal, raw_terminal;
static volatile sig_atomic_t terminal_saved, terminal_raw; /* flags are changed; settings are changed too */
static int saved_flags[2];

void chardev_restore_terminal(void)
{
    if (!terminal_saved)
        return;
    terminal_saved = 0;
    fcntl(0, F_SETFL, saved_flags[0]);
    fcntl(1, F_SETFL, saved_flags[1]);
    if (terminal_raw)
        tcsetattr(0, TCSANOW, &saved_terminal);
    terminal_raw = 0;
}

static void fatal_signal(int number)
{
    chardev_restore_terminal();
    signal(number, SIG_DFL);
    raise(number);
}

static void set_terminal(void)
{
    fcntl(0, F_SETFL, saved_flags[0] | O_NONBLOCK);
    fcntl(1, F_SETFL, saved_flags[1] | O_NONBLOCK);
    if (terminal_raw)
        tcsetattr(0, TCSANOW, &raw_terminal);
}

/* The shell had the terminal meanwhile. In the background it still has it, and touching it would stop us again. */
static void continued(int number)
{
    int error = errno;
    if (terminal_saved && (!terminal_raw || tcgetpgrp(0) == getpgrp()))
        set_terminal();
    errno = error;
}

static bool stdio_open(Chardev *c, Opts *opts, GError **err)
{
    static const int fatal[] = { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGQUIT };
    bool signals = true;
    if (terminal_saved)
        return error_set(err, "stdio is in use by another character device");
    if (!opts_bool(opts, "signal", &signals, err) || !chardev_keys_done(c->type, opts, err))
        return false;
    c->state = c; /* stdio_close has something to undo */
    c->in_fd = 0;
    c->out_fd = 1;
    saved_flags[0] = fcntl(0, F_GETFL);
    saved_flags[1] = fcntl(1, F_GETFL);
    if (isatty(0) && !tcgetattr(0, &saved_terminal)) {
        struct termios raw = saved_terminal;
        raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
        raw.c_oflag |= OPOST;
        raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
        if (!signals)
            raw.c_lflag &= ~ISIG;
        raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        raw_terminal = raw;
        terminal_raw = 1;
    }
    terminal_saved = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(fatal); i++)
        signal(fatal[i], fatal_signal);
    signal(SIGCONT, continued);
    set_terminal();
    return true;
}

static void stdio_close(Chardev *c)
{
    if (c->state)
        chardev_restore_terminal();
}
const ChardevType chardev_stdio = { .name = "stdio",
                                    .desc = "standard input and output: signal=on|off (Ctrl-C ends the program)",
                                    .keys = (const char *const[]){ "signal", NULL },
                                    .open = stdio_open,
                                    .close = stdio_close };
