/*
 * Monitor commands for devices and back ends that come and go while the machine runs.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "hw/pci/pci.h"
#include "net/net.h"
#include "ui/monitor/command.h"
#include "util/error.h"
#include <string.h>

static void take_text(GString *out, char *text)
{
    g_string_append(out, text);
    g_free(text);
}

/* "help", or "DRIVER,help". False: text is something else. */
static bool helped(Monitor *m, const char *text, GString *out)
{
    g_autofree char *name = g_strdup(text);
    if (!strcmp(name, "help") || !strcmp(name, "?")) {
        take_text(out, device_help(NULL));
        return true;
    }
    if (!g_str_has_suffix(name, ",help"))
        return false;
    *strchr(name, ',') = 0;
    const DeviceType *type = device_type_resolve(m->machine, name, NULL);
    if (type)
        take_text(out, device_help(type));
    return type;
}

bool command_device_add(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (helped(m, args[0].text, out))
        return true;
    g_autoptr(Opts) opts = opts_parse("device_add", args[0].text, "driver", err);
    if (!opts)
        return false;
    machine_lock(m->machine);
    bool ok = device_add(m->machine, opts, err);
    machine_unlock(m->machine);
    return ok;
}

bool command_device_del(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    Device *dev = device_find(m->machine, args[0].text);
    bool ok = dev ? device_request_unplug(dev, err)
                  : error_set(err, "there is no device '%s'; info qtree lists them", args[0].text);
    machine_unlock(m->machine);
    return ok;
}

bool command_drive_add(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    g_autoptr(Opts) opts = opts_parse("drive_add", args[1].text, "file", err);
    if (!opts)
        return false;
    if (strcmp(opts_string(opts, "if", ""), "none"))
        return error_set(err, "drive_add: if=none is needed; device_add makes the device of it");
    return block_add_drive(opts, false, err);
}

bool command_netdev_add(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    g_autoptr(Opts) opts = opts_parse("netdev_add", args[0].text, "type", err);
    return opts && net_add(opts, err);
}

bool command_netdev_del(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    return net_delete(args[0].text, err);
}

bool command_info_pci(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    take_text(out, pci_describe(m->machine));
    machine_unlock(m->machine);
    return true;
}
