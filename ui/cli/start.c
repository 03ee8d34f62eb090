/*
 * From the command line to a machine that is ready to run (see start.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/cli/start.h"
#include "block/block.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/firmware/loader.h"
#include "net/net.h"
#include "target/target.h"
#include "ui/chardev/chardev.h"
#include "ui/cli/drives.h"
#include "ui/cli/nic.h"
#include "ui/display/window.h"
#include "ui/monitor/monitor.h"
#include "util/error.h"
#include <stdio.h>
#include <string.h>

/* ---- consoles ---- */

static bool has_window(const CommandLine *c)
{
    return c->display && strcmp(c->display, "none") && !c->config.nographic;
}

/* Where serial ports and monitors are that nobody placed: on the terminal, together if both are there; with a window,
 * which shows the screen only, as well. */
static void default_consoles(CommandLine *c)
{
    bool monitor = !c->monitors->len && !c->config.nodefaults, serial = !c->serials->len && !c->config.nodefaults;
    for (guint i = 0; i < c->serials->len; i++)
        monitor = monitor && !g_str_has_prefix(c->serials->pdata[i], "mon:"); /* has one */
    bool terminal = !c->daemonize && (!c->display || has_window(c) || c->config.nographic);
    if (serial && terminal && !c->config.nographic)
        fprintf(stderr, "rhea: the serial port is on this terminal (Ctrl-A h for help)%s\n",
                c->display ? "" : "; -display sdl opens a window");
    if (serial)
        g_ptr_array_add(c->serials, (char *)(!terminal ? "vc" : monitor ? "mon:stdio" : "stdio"));
    else if (monitor && c->config.nographic)
        g_ptr_array_add(c->monitors, (char *)"stdio");
}

static bool add_monitor(Chardev *chardev, GError **err)
{
    return !chardev || monitor_new(chardev, err);
}

/* Monitors first: who joins a shared character device last, here the serial port, has the focus. */
static bool open_consoles(CommandLine *c, GSList **serials, GError **err)
{
    default_consoles(c);
    for (guint i = 0; i < c->serials->len; i++) {
        g_autofree char *label = g_strdup_printf("serial%u", i);
        const char *text = c->serials->pdata[i];
        Chardev *chardev;
        if (!chardev_from_short(label, text, &chardev, err) ||
            (g_str_has_prefix(text, "mon:") && !add_monitor(chardev, err))) {
            g_prefix_error(err, "-serial: ");
            return false;
        }
        *serials = g_slist_append(*serials, chardev);
    }
    for (guint i = 0; i < c->monitors->len; i++) {
        g_autofree char *label = g_strdup_printf("compat_monitor%u", i);
        Chardev *chardev;
        if (!chardev_from_short(label, c->monitors->pdata[i], &chardev, err) || !add_monitor(chardev, err)) {
            g_prefix_error(err, "-monitor: ");
            return false;
        }
    }
    return true;
}

/* ---- accelerator ---- */

/* The first of -accel that can be had; each that cannot gets a line. The last is not asked: it says so itself. */
static bool choose_accel(CommandLine *c, const AccelType **accel, Opts **opts, GError **err)
{
    const char *names[8];
    unsigned n = 0;
    for (const AccelType *const *t = accel_types(); *t && n < G_N_ELEMENTS(names) - 1; t++)
        names[n++] = (*t)->name;
    names[n] = NULL;
    if (!c->accels->len)
        g_ptr_array_add(c->accels, opts_parse("-accel", "tcg", "accel", err));
    for (guint i = 0; i < c->accels->len; i++) {
        g_autoptr(GError) why = NULL;
        *opts = c->accels->pdata[i];
        const char *name = opts_string(*opts, "accel", NULL);
        if (!name)
            return error_set(err, "-accel: which? There is %s", names[0]);
        *accel = accel_find(name);
        if (!*accel)
            error_unknown_name(&why, "-accel: accelerator", name, names);
        else if (i + 1 == c->accels->len || !(*accel)->usable || (*accel)->usable(c->target, &why))
            return true;
        if (i + 1 == c->accels->len) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        fprintf(stderr, "rhea: %s; the next -accel is tried\n", why->message);
    }
    return false;
}

/* ---- machine ---- */

static const MachineType *choose_machine(CommandLine *c, GError **err)
{
    if (!c->target) {
        error_set(err, "which guest? Give -target riscv64, x86_64 ..., or start rhea by a name as rhea-system-x86_64");
        return NULL;
    }
    const char *name = c->machine ? c->machine : target_find(c->target)->default_machine;
    const MachineType *type = machine_type_find(name, c->target);
    if (!type) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (const MachineType *const *t = machine_types(); *t; t++)
            g_ptr_array_add(names, (char *)(*t)->name);
        g_ptr_array_add(names, NULL);
        error_unknown_name(err, "-machine: machine", name, (const char *const *)names->pdata);
    }
    return type;
}

/* A graphics adapter among -device takes the place of the machine's own. */
static void choose_vga(CommandLine *c)
{
    static const char *const adapters[] = { "VGA", "isa-vga", NULL };
    bool own = !c->config.nodefaults;
    for (guint i = 0; i < c->devices->len; i++) {
        const char *driver = opts_string(c->devices->pdata[i], "driver", NULL);
        own = own && !(driver && g_strv_contains(adapters, driver));
    }
    if (!c->config.vga && !own)
        c->config.vga = "none";
}

static bool add_fw_cfg(CommandLine *c, Machine *machine, GError **err)
{
    static const char *const known[] = { "name", "file", "string", NULL };
    for (guint i = 0; i < c->fw_cfg->len; i++) {
        Opts *opts = c->fw_cfg->pdata[i];
        const char *name = opts_string(opts, "name", NULL), *file = opts_string(opts, "file", NULL),
                   *text = opts_string(opts, "string", NULL);
        uint64_t size = text ? strlen(text) : 0;
        if (!machine->fw_cfg)
            return error_set(err, "-fw_cfg: machine '%s' has no fw_cfg", machine->type->name);
        if (!name || !file == !text)
            return error_set(
                err, "-fw_cfg: a name and either file= or string= are needed, as in opt/org.example/a,string=x");
        g_autofree void *data = file ? (void *)read_whole_file("-fw_cfg", file, &size, err) : g_strdup(text);
        if (!data || !opts_finish(opts, known, err) ||
            !fw_cfg_set_file((FwCfg *)machine->fw_cfg, name, data, size, err))
            return false;
    }
    return true;
}

/* Options that mean nothing to this machine are refused, not ignored. */
static bool check_boot_options(const CommandLine *c, const Machine *machine, GError **err)
{
    const struct {
        const char *name;
        bool given;
    } options[] = { { "-boot", c->config.boot },
                    { "-smbios", c->config.smbios },
                    { "-acpitable", c->config.acpi_tables },
                    { "-vga", c->config.vga && strcmp(c->config.vga, "none") } };
    for (unsigned i = 0; i < G_N_ELEMENTS(options) && !machine->type->has_boot_options; i++) {
        if (options[i].given)
            return error_set(err, "%s: machine '%s' has nothing that it is for", options[i].name, machine->type->name);
    }
    return true;
}

static bool complete_machine(CommandLine *c, Machine *machine, GError **err)
{
    machine_lock(machine);
    bool ok = check_boot_options(c, machine, err) && add_fw_cfg(c, machine, err) && net_add_nics(machine, err) &&
              drives_add_builtin(machine, err);
    for (guint i = 0; i < c->devices->len && ok; i++)
        ok = device_add(machine, c->devices->pdata[i], err);
    ok = ok && drives_add_others(machine, err) && machine_prepare(machine, err);
    if (ok)
        net_report_unused();
    machine_unlock(machine);
    return ok;
}

Machine *start_machine(CommandLine *c, GError **err)
{
    const MachineType *type = choose_machine(c, err);
    const AccelType *accel = NULL;
    Opts *accel_opts;
    g_autoptr(GSList) serials = NULL;
    if (c->daemonize && c->config.nographic) {
        error_set(err, "-nographic cannot be used with -daemonize; -display none can");
        return NULL;
    }
    if (c->config.icount)
        block_queues_in_step();
    if (!type || !choose_accel(c, &accel, &accel_opts, err) || !drives_open(c, type, !c->config.nodefaults, err) ||
        !open_consoles(c, &serials, err))
        return NULL;
    c->config.target = c->target;
    choose_vga(c);
    c->config.serials = g_steal_pointer(&serials);
    Machine *machine = machine_new(type, accel, accel_opts, &c->config, err);
    if (machine && !complete_machine(c, machine, err)) {
        machine_free(machine);
        return NULL;
    }
    if (machine && has_window(c) && !display_open(machine, c->display, err)) {
        machine_free(machine);
        return NULL;
    }
    monitor_set_machine(machine);
    return machine;
}
