/*
 * NICs of the command line: -netdev, -nic, -net (see nic.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/cli/nic.h"
#include "hw/core/machine.h"
#include "net/net.h"
#include "util/error.h"
#include <stdio.h>
#include <string.h>

static GPtrArray *nics;   /* Opts * of -nic's devices, to be made */
static bool options_seen; /* -netdev, -nic or -net: there is no default NIC */

/* ---- options ---- */

bool net_netdev_option(const char *text, GError **err)
{
    options_seen = true;
    g_autoptr(Opts) opts = opts_parse("-netdev", text, "type", err);
    return opts && net_add(opts, err);
}

static bool is_nic(const DeviceType *type)
{
    return type && type->bus && type->category && !strcmp(type->category, "network");
}

char *net_nic_help(void)
{
    GString *out = g_string_new("Available NIC models:\n");
    for (const DeviceType *const *t = device_types(); *t; t++) {
        if (is_nic(*t))
            g_string_append_printf(out, "  %-20s %s\n", (*t)->name, (*t)->desc);
    }
    return g_string_free(out, FALSE);
}

static bool check_model(const char *model, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const DeviceType *const *t = device_types(); *t; t++) {
        if (is_nic(*t))
            g_ptr_array_add(names, (char *)(*t)->name);
    }
    g_ptr_array_add(names, NULL);
    return is_nic(device_type_find(model)) ||
           error_unknown_name(err, "-nic: model", model, (const char *const *)names->pdata);
}

/* What -nic and -net take for a model; NULL stays NULL, the machine's own. */
static const char *model_name(const char *model)
{
    return model && !strcmp(model, "virtio") ? "virtio-net-pci" : model;
}

/* The device of this model (NULL: the machine's own), to be made when the machine is there. */
static void remember_nic(const char *option, const char *model, const char *netdev, const char *mac)
{
    Opts *device = opts_new(option);
    if (model)
        opts_add(device, "driver", model);
    opts_add(device, "netdev", netdev);
    if (mac)
        opts_add(device, "mac", mac);
    if (!nics)
        nics = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    g_ptr_array_add(nics, device);
}

static char *unused_id(void)
{
    for (unsigned i = 0;; i++) {
        g_autofree char *id = g_strdup_printf("nic%u", i);
        if (!net_find(id))
            return g_steal_pointer(&id);
    }
}

bool net_nic_option(const char *text, GError **err)
{
    static const char *const none_keys[] = { "type", NULL };
    options_seen = true;
    g_autoptr(Opts) opts = opts_parse("-nic", text, "type", err);
    if (!opts)
        return false;
    const char *type = opts_string(opts, "type", NULL);
    if (type && !strcmp(type, "none"))
        return opts_finish(opts, none_keys, err);
    const char *model = model_name(opts_string(opts, "model", NULL)), *mac = opts_string(opts, "mac", NULL);
    if (model && !check_model(model, err))
        return false;
    if (!type)
        opts_add(opts, "type", "user");
    if (!opts_has(opts, "id")) {
        g_autofree char *id = unused_id();
        opts_add(opts, "id", id);
    }
    const Netdev *n = net_add(opts, err);
    if (n)
        remember_nic("-nic", model, net_id(n), mac);
    return n;
}

/* ---- -net: the n-th NIC belongs to the n-th back end ---- */

static GPtrArray *old_nics, *old_backends; /* Opts *, char * (IDs) */

/* What -net calls its keys, and what the device's property is. */
static bool old_nic(Opts *opts, GError **err)
{
    static const char *const known[] = { "type", "model", "macaddr", "netdev", "name", "id", "vlan", NULL };
    const char *model = model_name(opts_string(opts, "model", NULL)), *mac = opts_string(opts, "macaddr", NULL),
               *netdev = opts_string(opts, "netdev", NULL),
               *id = opts_string(opts, "name", opts_string(opts, "id", NULL));
    if ((model && !check_model(model, err)) || !opts_finish(opts, known, err))
        return false;
    Opts *device = opts_new("-net");
    if (model)
        opts_add(device, "driver", model);
    if (mac)
        opts_add(device, "mac", mac);
    if (netdev)
        opts_add(device, "netdev", netdev);
    if (id)
        opts_add(device, "id", id);
    if (!old_nics)
        old_nics = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    g_ptr_array_add(old_nics, device);
    return true;
}

bool net_legacy_option(const char *text, GError **err)
{
    options_seen = true;
    g_autoptr(Opts) opts = opts_parse("-net", text, "type", err);
    const char *type = opts ? opts_string(opts, "type", "") : "";
    if (!opts || !strcmp(text, "none"))
        return opts;
    if (!strcmp(type, "nic"))
        return old_nic(opts, err);
    if (!opts_has(opts, "id")) {
        g_autofree char *id = unused_id();
        opts_add(opts, "id", id);
    }
    const Netdev *n = net_add(opts, err);
    if (!old_backends)
        old_backends = g_ptr_array_new_with_free_func(g_free);
    if (n)
        g_ptr_array_add(old_backends, g_strdup(net_id(n)));
    return n;
}

static bool pair_old_nics(GError **err)
{
    guint next = 0, backends = old_backends ? old_backends->len : 0;
    for (guint i = 0; old_nics && i < old_nics->len; i++) {
        Opts *device = old_nics->pdata[i];
        if (opts_has(device, "netdev"))
            continue;
        if (next == backends)
            return error_set(err, "-net nic: there is no other -net user, socket ... for it; each NIC needs one");
        opts_add(device, "netdev", old_backends->pdata[next++]);
    }
    return true;
}

static bool add_all(Machine *machine, GPtrArray *list, GError **err)
{
    const char *own = machine->type->default_nic;
    bool ok = true;
    for (guint i = 0; list && i < list->len && ok; i++) {
        if (!opts_has(list->pdata[i], "driver"))
            opts_add(list->pdata[i], "driver", own ? own : "virtio-net");
        ok = device_add(machine, list->pdata[i], err);
    }
    return ok;
}

/* ---- devices ---- */

/* Not where there is no user-mode network to connect it to. */
static bool default_nic(Machine *machine, GError **err)
{
    const char *model = machine->type->default_nic;
    if (options_seen || machine->config.nodefaults || !model)
        return true;
    g_autofree char *text = g_strdup_printf("user,model=%s", model);
    g_autoptr(GError) why = NULL;
    return net_nic_option(text, &why) || true;
}

bool net_add_nics(Machine *machine, GError **err)
{
    net_init();
    bool ok = default_nic(machine, err) && pair_old_nics(err) && add_all(machine, nics, err) &&
              add_all(machine, old_nics, err);
    g_clear_pointer(&nics, g_ptr_array_unref);
    g_clear_pointer(&old_nics, g_ptr_array_unref);
    g_clear_pointer(&old_backends, g_ptr_array_unref);
    return ok;
}

void net_report_unused(void)
{
    g_autofree char *unused = net_unused();
    if (*unused)
        fprintf(stderr, "rhea: -netdev: no NIC uses %s; -device virtio-net-pci,netdev=... makes one\n", unused);
}
