/*
 * rhea: command line to machine, main loop, orderly end.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "target/target.h"
#include "ui/chardev/chardev.h"
#include "ui/cli/options.h"
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

static bool open_serials(CommandLine *c, GSList **out, GError **err)
{
    if (!c->serials->len && !c->nodefaults) {
        if (!c->nographic && !c->display_none)
            fprintf(stderr, "rhea: there is no window yet: the serial port is on this terminal (Ctrl-A x leaves)\n");
        g_ptr_array_add(c->serials, (char *)"mon:stdio");
    }
    for (guint i = 0; i < c->serials->len; i++) {
        g_autofree char *label = g_strdup_printf("serial%u", i);
        Chardev *chardev;
        if (!chardev_from_short(label, c->serials->pdata[i], &chardev, err)) {
            g_prefix_error(err, "-serial: ");
            return false;
        }
        *out = g_slist_append(*out, chardev);
    }
    return true;
}

static bool choose_accel(CommandLine *c, const AccelType **accel, Opts **opts, GError **err)
{
    if (!c->accels->len)
        g_ptr_array_add(c->accels, opts_parse("-accel", "tcg", "accel", err));
    *opts = c->accels->pdata[0];
    const char *name = opts_string(*opts, "accel", "tcg");
    const char *names[8];
    unsigned n = 0;
    for (const AccelType *const *t = accel_types(); *t && n < 7; t++)
        names[n++] = (*t)->name;
    names[n] = NULL;
    *accel = accel_find(name);
    return *accel || error_unknown_name(err, "-accel: accelerator", name, names);
}

static Machine *build_machine(CommandLine *c, GError **err)
{
    const AccelType *accel;
    Opts *accel_opts;
    GSList *serials = NULL;
    if (!c->target) {
        error_set(err, "which guest? Give -target riscv64 or riscv32, or start rhea by the name rhea-system-riscv64");
        return NULL;
    }
    c->config.target = c->target;
    const char *name = c->machine ? c->machine : target_find(c->target)->default_machine;
    const MachineType *type = machine_type_find(name, c->target);
    if (!type) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (const MachineType *const *t = machine_types(); *t; t++)
            g_ptr_array_add(names, (char *)(*t)->name);
        g_ptr_array_add(names, NULL);
        error_unknown_name(err, "-machine: machine", name, (const char *const *)names->pdata);
        return NULL;
    }
    if (!choose_accel(c, &accel, &accel_opts, err) || !open_serials(c, &serials, err)) {
        g_slist_free(serials);
        return NULL;
    }
    c->config.serials = serials;
    return machine_new(type, accel, accel_opts, &c->config, err);
}

static void *find_drive(const char *id, GError **err)
{
    BlockNode *node = block_find(id);
    if (!node)
        error_set(err, "there is no -drive with id '%s' and no -blockdev with that node-name", id);
    return node;
}

static const char *drive_name(const void *object)
{
    const BlockNode *node = object;
    return node->drive ? node->drive : node->name;
}

static bool open_drives(CommandLine *c, GError **err)
{
    device_set_resolver(PROP_DRIVE, find_drive, drive_name);
    for (guint i = 0; i < c->drives->len; i++) {
        if (!block_add_drive(c->drives->pdata[i], c->snapshot, err))
            return false;
    }
    return true;
}

/* A -drive without if=none gets the device that its interface means. */
static bool add_drive_devices(Machine *machine, GError **err)
{
    for (const BlockDrive *const *d = block_drives(); *d; d++) {
        const char *interface = (*d)->interface ? (*d)->interface : "virtio";
        if (!strcmp(interface, "none"))
            continue;
        if (strcmp(interface, "virtio"))
            return error_set(err, "-drive: machine '%s' has no if=%s; virtio and none are possible",
                             machine->type->name, interface);
        if (!(*d)->node)
            continue;
        g_autoptr(Opts) opts = opts_new("-drive");
        opts_add(opts, "driver", "virtio-blk-pci");
        opts_add(opts, "drive", (*d)->node->drive);
        if (!device_add(machine, opts, err))
            return false;
    }
    return true;
}

static bool add_devices(CommandLine *c, Machine *machine, GError **err)
{
    for (guint i = 0; i < c->devices->len; i++) {
        if (!device_add(machine, c->devices->pdata[i], err))
            return false;
    }
    return true;
}

static int run(CommandLine *c, Machine *machine, GError **err)
{
    machine->ended = machine_ended;
    machine_lock(machine);
    bool ready = add_devices(c, machine, err) && add_drive_devices(machine, err) && machine_prepare(machine, err);
    if (ready && !c->config.start_paused)
        machine_start(machine);
    machine_unlock(machine);
    if (!ready)
        return 1;
    int status = mainloop_run();
    machine_lock(machine);
    if (machine->state == RUN_RUNNING)
        machine_stop(machine, RUN_SHUTDOWN);
    machine_unlock(machine);
    return status;
}

int main(int argc, char **argv)
{
    CommandLine c;
    g_autoptr(GError) err = NULL;
    int status = 1;
    signal(SIGPIPE, SIG_IGN);
    if (command_line_parse(&c, argc, argv, &err)) {
        if (c.done)
            return 0;
        g_unix_signal_add(SIGTERM, terminated, GINT_TO_POINTER(SIGTERM));
        g_unix_signal_add(SIGINT, terminated, GINT_TO_POINTER(SIGINT));
        g_unix_signal_add(SIGHUP, terminated, GINT_TO_POINTER(SIGHUP));
        Machine *machine = c.pidfile && !write_pidfile(c.pidfile, &err) ? NULL
                           : open_drives(&c, &err)                      ? build_machine(&c, &err)
                                                                        : NULL;
        if (machine) {
            status = run(&c, machine, &err);
            machine_free(machine);
            chardev_remove_all();
        }
        int failed = block_flush_all();
        if (failed)
            fprintf(stderr, "rhea: writing out the disks: %s\n", g_strerror(failed));
        block_close_all();
        if (c.pidfile && (machine || !err))
            unlink(c.pidfile);
    }
    chardev_restore_terminal();
    if (err)
        fprintf(stderr, "rhea: %s\n", err->message);
    command_line_free(&c);
    return err ? 1 : status;
}
