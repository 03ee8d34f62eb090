/*
 * Every device of every machine, and every device that -device takes: random accesses, then save, load into a twin,
 * compare; every byte of its struct is accounted for; reset brings back the state of the first reset.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "util/error.h"
#include <string.h>

/* Two machines of the type, with one more device (or none); NULL type name: none. */
static void check_with(const MachineType *type, const char *target, const char *device)
{
    GError *err = NULL;
    DevMachine *m[2];
    for (unsigned i = 0; i < 2; i++) {
        m[i] = devm_build(type, target, &err);
        g_assert_no_error(err);
        if (device)
            devm_device_add_type(m[i], device, &err);
        g_assert_no_error(err);
    }
    devm_check_machines(m[0], m[1]);
    devm_free(m[0]);
    devm_free(m[1]);
}

static void test_machine(gconstpointer data)
{
    const MachineType *type = data;
    g_auto(GStrv) targets = g_strsplit(type->target, "|", -1);
    for (char **target = targets; *target; target++)
        check_with(type, *target, NULL);
    DevMachine *m = devm_build(type, targets[0], NULL);
    for (const DeviceType *const *dev = device_types(); *dev; dev++) {
        if ((*dev)->bus && devm_takes_type(m, *dev))
            check_with(type, targets[0], (*dev)->name);
    }
    devm_free(m);
}

static void test_tables(void)
{
    for (const DeviceType *const *type = device_types(); *type; type++) {
        g_assert_true(device_type_find((*type)->name) == *type);
        g_assert_cmpuint((*type)->size, >=, sizeof(Device));
        g_autofree char *help = device_help(*type);
        g_assert_nonnull(help);
        for (const StateField *field = (*type)->state; field && field->name; field++)
            g_assert_true(field->kind != STATE_KIND_SKIP || field->why);
        for (unsigned i = 0; (*type)->regs && i < (*type)->regs->count; i++) {
            const Reg *reg = &(*type)->regs->regs[i];
            g_assert_cmpuint(reg->offset % (*type)->regs->width, ==, 0);
            g_assert_cmphex(reg->reset & reg->rsvd, ==, 0);
        }
    }
    g_autofree char *help = device_help(NULL);
    g_assert_nonnull(help);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/all-types/tables", test_tables);
    for (const MachineType *const *type = machine_types(); *type; type++) {
        g_autofree char *path = g_strdup_printf("/all-types/%s", (*type)->name);
        g_test_add_data_func(path, *type, test_machine);
    }
    return g_test_run();
}
