/*
 * Disks of the command line (see drives.h). A drive with if=ide is -device ide-hd or ide-cd on the bus and unit that
 * its index means to the machine; if=floppy is -device floppy, if=virtio -device virtio-blk-pci.
 * SPDX-License-Identifier: MIT
 */
#include "ui/cli/drives.h"
#include "block/block.h"
#include "ui/chardev/chardev.h"
#include "util/error.h"
#include <stdio.h>
#include <string.h>

/* ---- options ---- */

bool drives_short_option(CommandLine *c, const char *option, const char *file, GError **err)
{
    static const struct {
        const char *option, *interface, *index, *media; /* interface NULL: the machine's */
    } forms[] = { { "hda", NULL, "0", "disk" },     { "hdb", NULL, "1", "disk" },
                  { "hdc", NULL, "2", "disk" },     { "hdd", NULL, "3", "disk" },
                  { "cdrom", NULL, "2", "cdrom" },  { "fda", "floppy", "0", "disk" },
                  { "fdb", "floppy", "1", "disk" }, { "pflash", "pflash", NULL, "disk" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (strcmp(forms[i].option, option))
            continue;
        Opts *opts = opts_new("-drive");
        opts_add(opts, "file", file);
        opts_add(opts, "media", forms[i].media);
        if (forms[i].interface)
            opts_add(opts, "if", forms[i].interface);
        if (forms[i].index)
            opts_add(opts, "index", forms[i].index);
        g_ptr_array_add(c->drives, opts);
        return true;
    }
    return error_set(err, "-%s: no such option", option);
}

/* ---- opening ---- */

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

static void drive_unused(void *object)
{
    block_remove_drive(object);
}

static void save_disks(void)
{
    int failed = block_flush_all();
    if (failed)
        fprintf(stderr, "rhea: writing out the disks: %s\n", g_strerror(failed));
}

/* Somebody brings drives of this kind: then there is no default one. */
static bool has_device(CommandLine *c, const char *const *names)
{
    for (guint i = 0; i < c->devices->len; i++) {
        const char *driver = opts_string(c->devices->pdata[i], "driver", "");
        if (g_strv_contains(names, driver))
            return true;
    }
    return false;
}

static bool is_taken(const char *interface, int index)
{
    for (const BlockDrive *const *d = block_drives(); *d; d++) {
        if (!strcmp((*d)->interface, interface) && (*d)->index == index)
            return true;
    }
    return false;
}

static bool add_empty(const char *interface, const char *index, bool cdrom, GError **err)
{
    g_autoptr(Opts) opts = opts_new("-drive");
    opts_add(opts, "if", interface);
    opts_add(opts, "index", index);
    opts_add(opts, "media", cdrom ? "cdrom" : "disk");
    return block_add_drive(opts, false, err);
}

static bool add_default_drives(CommandLine *c, const MachineType *type, GError **err)
{
    static const char *const cds[] = { "ide-cd", "ide-hd", "scsi-cd", "scsi-hd", NULL }, *const floppies[] = {
        "isa-fdc", "floppy", NULL
    };
    if (type->default_cdrom && !has_device(c, cds) && !is_taken("ide", 2) && !add_empty("ide", "2", true, err))
        return false;
    return !type->default_floppy || has_device(c, floppies) || is_taken("floppy", 0) ||
           add_empty("floppy", "0", false, err);
}

bool drives_open(CommandLine *c, const MachineType *type, bool defaults, GError **err)
{
    device_set_resolver(PROP_DRIVE, find_drive, drive_name);
    device_set_drive_unused(drive_unused);
    chardev_set_sync(save_disks);
    block_drive_defaults(type->block_interface ? type->block_interface : "virtio",
                         type->ide_units ? type->ide_units : 2);
    for (guint i = 0; i < c->drives->len; i++) {
        if (!block_add_drive(c->drives->pdata[i], c->snapshot, err))
            return false;
    }
    return !defaults || add_default_drives(c, type, err);
}

/* ---- devices ---- */

static bool has_bus(const Machine *machine, const char *kind, const char *name)
{
    for (unsigned i = 0; i < machine->buses->len; i++) {
        const Bus *bus = g_ptr_array_index(machine->buses, i);
        if (!strcmp(bus->kind, kind) && (!name || !strcmp(bus->name, name)))
            return true;
    }
    return false;
}

static bool add_device(Machine *machine, const BlockDrive *d, const char *driver, const char *bus, int unit,
                       GError **err)
{
    g_autoptr(Opts) opts = opts_new("-drive");
    g_autofree char *unit_text = g_strdup_printf("%d", unit);
    opts_add(opts, "driver", driver);
    opts_add(opts, "drive", d->node->drive);
    if (bus)
        opts_add(opts, "bus", bus);
    if (unit >= 0)
        opts_add(opts, "unit", unit_text);
    return device_add(machine, opts, err);
}

static bool no_place(const Machine *machine, const BlockDrive *d, GError **err)
{
    const MachineType *type = machine->type;
    return error_set(err, "-drive: machine '%s' has no place for if=%s,index=%d; %s%s%s and none are possible",
                     type->name, d->interface, d->index, type->ide_units ? "ide, " : "",
                     type->default_floppy ? "floppy, " : "", "virtio, pflash");
}

static bool add_ide(Machine *machine, const BlockDrive *d, GError **err)
{
    int units = block_ide_units();
    g_autofree char *bus = g_strdup_printf("ide.%d", d->index / units);
    if (!machine->type->ide_units || !has_bus(machine, "ide", bus))
        return no_place(machine, d, err);
    return add_device(machine, d, d->cdrom ? "ide-cd" : "ide-hd", bus, d->index % units, err);
}

/* A machine on whose ISA bus there is no controller gets one with the first drive. */
static bool add_floppy(Machine *machine, const BlockDrive *d, GError **err)
{
    if (!has_bus(machine, "floppy-bus", NULL)) {
        g_autoptr(Opts) opts = opts_new("-drive");
        opts_add(opts, "driver", "isa-fdc");
        if (!has_bus(machine, "isa", NULL) || !device_type_find("isa-fdc"))
            return no_place(machine, d, err);
        if (!device_add(machine, opts, err))
            return false;
    }
    return add_device(machine, d, "floppy", NULL, d->index, err);
}

static bool is_builtin(const BlockDrive *d)
{
    return !strcmp(d->interface, "ide") || !strcmp(d->interface, "floppy");
}

/* Not what the machine has taken. */
static bool wants_device(const BlockDrive *d)
{
    return strcmp(d->interface, "none") && d->node && !d->node->user;
}

bool drives_add_builtin(Machine *machine, GError **err)
{
    for (const BlockDrive *const *d = block_drives(); *d; d++) {
        if (!is_builtin(*d) || !wants_device(*d))
            continue;
        bool ok = !strcmp((*d)->interface, "ide") ? add_ide(machine, *d, err) : add_floppy(machine, *d, err);
        if (!ok)
            return false;
    }
    return true;
}

bool drives_add_others(Machine *machine, GError **err)
{
    for (const BlockDrive *const *d = block_drives(); *d; d++) {
        if (is_builtin(*d) || !wants_device(*d) || block_is_empty((*d)->node))
            continue;
        if (strcmp((*d)->interface, "virtio"))
            return no_place(machine, *d, err);
        if (!add_device(machine, *d, "virtio-blk-pci", NULL, -1, err))
            return false;
    }
    return true;
}
