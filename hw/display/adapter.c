/*
 * The graphics adapter that -vga chooses (see adapter.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/display/adapter.h"
#include "util/error.h"
#include <string.h>

static const struct {
    const char *name, *pci, *isa, *help;
} adapters[] = { { "none", NULL, NULL, "no graphics adapter" },
                 { "std", "VGA", "isa-vga", "VGA with the Bochs extensions" } };

static bool has_bus(const Machine *machine, const char *kind)
{
    for (guint i = 0; i < machine->buses->len; i++) {
        if (!strcmp(((const Bus *)g_ptr_array_index(machine->buses, i))->kind, kind))
            return true;
    }
    return false;
}

bool vga_add_adapter(Machine *machine, const char *fallback, GError **err)
{
    const char *name = machine->config.vga ? machine->config.vga : fallback;
    for (unsigned i = 0; name && i < G_N_ELEMENTS(adapters); i++) {
        if (strcmp(adapters[i].name, name) || !adapters[i].pci)
            continue;
        g_autoptr(Opts) opts = opts_new("-vga");
        opts_add(opts, "driver", has_bus(machine, "pci") ? adapters[i].pci : adapters[i].isa);
        return device_add(machine, opts, err);
    }
    return true;
}

bool vga_check(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(adapters) + 1] = { NULL };
    for (unsigned i = 0; i < G_N_ELEMENTS(adapters); i++) {
        names[i] = adapters[i].name;
        if (!strcmp(adapters[i].name, name))
            return true;
    }
    return error_unknown_name(err, "-vga: adapter", name, names);
}

char *vga_help(void)
{
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(adapters); i++)
        g_string_append_printf(out, "%-20s %s\n", adapters[i].name, adapters[i].help);
    return g_string_free(out, FALSE);
}
