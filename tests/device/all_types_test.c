/*
 * Every device of every machine, and every device that -device takes: random accesses, then save, load into a twin,
 * compare; every byte of its struct is accounted for; reset brings back the state of the first reset.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "util/error.h"
#include <string.h>

#define ACCESSES 20000

/* Types whose state outlives a reset, as the hardware's does, or is not the same after it: the ACLINT's mtime starts
 * anew by an offset from virtual time, which goes on (aclint_test.c looks at its reset). */
static const char *const keeps_state[] = { "goldfish-rtc", "cfi.pflash01", "riscv.aclint", NULL };

typedef struct Collected {
    GPtrArray *devices; /* Device * */
    GPtrArray *fresh;   /* GByteArray *: state after the first reset */
} Collected;

static void collect(Device *dev, void *opaque)
{
    Collected *c = opaque;
    g_ptr_array_add(c->devices, dev);
    g_ptr_array_add(c->fresh, device_save(dev));
}

static Collected collect_all(DevMachine *m)
{
    Collected c = { g_ptr_array_new(), g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref) };
    devm_reset(m);
    devm_foreach(m, collect, &c);
    return c;
}

static void collected_free(Collected *c)
{
    g_ptr_array_unref(c->devices);
    g_ptr_array_unref(c->fresh);
}

static void check_reset(const Collected *c)
{
    for (unsigned i = 0; i < c->devices->len; i++) {
        Device *dev = g_ptr_array_index(c->devices, i);
        const GByteArray *fresh = g_ptr_array_index(c->fresh, i);
        g_autoptr(GByteArray) now = device_save(dev);
        if (g_strv_contains(keeps_state, dev->type->name))
            continue;
        g_assert_cmpuint(now->len, ==, fresh->len);
        for (unsigned at = 0; at < now->len; at++) {
            if (now->data[at] != fresh->data[at])
                g_error("%s: byte %u of its saved state is 0x%02x after reset, was 0x%02x", dev->type->name, at,
                        now->data[at], fresh->data[at]);
        }
    }
}

/* Two machines alike: fuzz the first, move each device's state to the second. */
static void check_machines(DevMachine *m, DevMachine *twin)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    Collected a = collect_all(m), b = collect_all(twin);
    g_assert_cmpuint(a.devices->len, ==, b.devices->len);
    devm_fuzz(m, rand, ACCESSES);
    machine_lock(m->machine);
    machine_lock(twin->machine);
    for (unsigned i = 0; i < a.devices->len; i++) {
        Device *dev = g_ptr_array_index(a.devices, i);
        devm_check_covered(dev);
        devm_check_twin(dev, g_ptr_array_index(b.devices, i));
    }
    machine_unlock(twin->machine);
    machine_unlock(m->machine);
    devm_reset(m);
    check_reset(&a);
    collected_free(&a);
    collected_free(&b);
}

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
    check_machines(m[0], m[1]);
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
