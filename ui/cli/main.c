/*
 * rhea: command line to machine, main loop, orderly end.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "net/net.h"
#include "ui/chardev/chardev.h"
#include "ui/cli/daemon.h"
#include "ui/cli/start.h"
#include "ui/display/window.h"
#include "ui/gdbstub/gdbstub.h"
#include "ui/monitor/monitor.h"
#include "util/error.h"
#include "util/mainloop.h"
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void machine_ended(Machine *machine, int status)
{
    mainloop_quit(status);
}

static gboolean terminated(gpointer opaque)
{
    fprintf(stderr, "rhea: terminating on signal %d\n", GPOINTER_TO_INT(opaque));
    mainloop_quit(0);
    return G_SOURCE_REMOVE;
}

static bool write_pidfile(const char *path, GError **err)
{
    g_autofree char *text = g_strdup_printf("%d\n", getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    struct flock lock = { .l_type = F_WRLCK };
    if (fd < 0)
        return error_set_errno(err, errno, "-pidfile: cannot open '%s'", path);
    if (fcntl(fd, F_SETLK, &lock))
        return error_set(err, "-pidfile: '%s' is in use by another process", path);
    if (ftruncate(fd, 0) || write(fd, text, strlen(text)) < 0)
        return error_set_errno(err, errno, "-pidfile: cannot write '%s'", path);
    return true; /* stays open, and so locked, until the process ends */
}

static int run(const CommandLine *c, Machine *machine)
{
    machine->ended = machine_ended;
    machine_lock(machine);
    if (!c->config.start_paused)
        machine_start(machine);
    machine_unlock(machine);
    int status = mainloop_run();
    machine_lock(machine);
    if (machine->state == RUN_RUNNING)
        machine_stop(machine, RUN_SHUTDOWN);
    machine_unlock(machine);
    return status;
}

/* Everything from the options on; whatever was opened is closed in order, whether it failed or ran. */
static int run_command_line(CommandLine *c, GError **err)
{
    int status = 1;
    bool has_pidfile = false;
    g_unix_signal_add(SIGTERM, terminated, GINT_TO_POINTER(SIGTERM));
    g_unix_signal_add(SIGINT, terminated, GINT_TO_POINTER(SIGINT));
    g_unix_signal_add(SIGHUP, terminated, GINT_TO_POINTER(SIGHUP));
    if (!c->pidfile || (has_pidfile = write_pidfile(c->pidfile, err))) {
        Machine *machine = start_machine(c, err);
        if (machine && c->gdb && !gdbstub_open(machine, c->gdb, err)) {
            g_prefix_error(err, "-");
        } else if (machine) {
            daemon_ready();
            status = run(c, machine);
        }
        gdbstub_close();
        monitor_free_all();
        display_close();
        machine_free(machine);
        int failed = block_flush_all();
        if (failed)
            fprintf(stderr, "rhea: writing out the disks: %s\n", g_strerror(failed));
        status = failed ? 1 : status;
    }
    if (has_pidfile)
        unlink(c->pidfile);
    return status;
}

/* Before anything that makes a thread. */
static bool wants_daemon(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-daemonize") || !strcmp(argv[i], "--daemonize"))
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    CommandLine c = { 0 };
    g_autoptr(GError) err = NULL;
    int status = 1;
    signal(SIGPIPE, SIG_IGN);
    if (!wants_daemon(argc, argv) || daemon_begin(&err)) {
        if (command_line_parse(&c, argc, argv, &err))
            status = c.done ? 0 : run_command_line(&c, &err);
        chardev_remove_all();
        net_remove_all();
        block_close_all();
        chardev_restore_terminal();
    }
    if (err)
        fprintf(stderr, "rhea: %s\n", err->message);
    command_line_free(&c);
    return err ? 1 : status;
}
