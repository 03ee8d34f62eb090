/*
 * NICs of the command line: -netdev, -nic (a back end and its device in one), -net none; MAC addresses.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/machine.h"
#include "net/backend.h"
#include "util/error.h"
#include <stdio.h>
#include <string.h>

static GPtrArray *nics; /* Opts * of -nic's devices, to be made */

/* ---- MAC addresses ---- */

static const uint8_t mac_base[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static uint16_t mac_users[256]; /* by the last byte */

static bool mac_is_ours(const uint8_t mac[6])
{
    return !memcmp(mac, mac_base, 5);
}

void net_mac_choose(uint8_t mac[6])
{
    memcpy(mac, mac_base, 6);
    while (mac_users[mac[5]] && mac[5] < 0xff)
        mac[5]++;
}

void net_mac_claim(const uint8_t mac[6])
{
    mac_users[mac[5]] += mac_is_ours(mac);
}

void net_mac_release(const uint8_t mac[6])
{
    mac_users[mac[5]] -= mac_is_ours(mac);
}

/* ---- options ---- */

bool net_netdev_option(const char *text, GError **err)
{
    g_autoptr(Opts) opts = opts_parse("-netdev", text, "type", err);
    return opts && net_add(opts, err);
}

bool net_legacy_option(const char *text, GError **err)
{
    return !strcmp(text, "none") ||
           error_set(err, "-net: '%s': only 'none' is possible; -nic makes a NIC and what it is connected to", text);
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

/* The device of this model, to be made when the machine is there. */
static void remember_nic(const char *option, const char *model, const char *netdev, const char *mac)
{
    Opts *device = opts_new(option);
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
    g_autoptr(Opts) opts = opts_parse("-nic", text, "type", err);
    if (!opts)
        return false;
    const char *type = opts_string(opts, "type", NULL);
    if (type && !strcmp(type, "none"))
        return opts_finish(opts, none_keys, err);
    const char *model = opts_string(opts, "model", "virtio-net-pci"), *mac = opts_string(opts, "mac", NULL);
    if (!strcmp(model, "virtio"))
        model = "virtio-net-pci";
    if (!check_model(model, err))
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

/* ---- devices ---- */

bool net_add_nics(Machine *machine, GError **err)
{
    bool ok = true;
    net_init();
    for (guint i = 0; nics && i < nics->len && ok; i++)
        ok = device_add(machine, nics->pdata[i], err);
    g_clear_pointer(&nics, g_ptr_array_unref);
    return ok;
}

void net_report_unused(void)
{
    g_autofree char *unused = net_unused();
    if (*unused)
        fprintf(stderr, "rhea: -netdev: no NIC uses %s; -device virtio-net-pci,netdev=... makes one\n", unused);
}
