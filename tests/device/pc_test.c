/*
 * The PCs as firmware finds them: memory map, CMOS, fw_cfg files, boot order; APIC IDs by topology.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "devtest.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/machine/x86/x86_machine.h"
#include <string.h>

/* Built, with devices ("driver,..."), and loaded. err: from there on. */
static Machine *build(const char *name, MachineConfig *config, const char *const *devices, GError **err)
{
    config->firmware = config->firmware ? config->firmware : "bios-256k.bin";
    config->cpus = MAX(config->cpus, 1);
    config->max_cpus = config->cpus;
    config->nodefaults = true;
    Machine *machine = machine_new(machine_type_find(name, "x86_64"), accel_find("test"), NULL, config, err);
    g_assert_nonnull(machine);
    DevMachine m = { .machine = machine };
    for (; devices && *devices; devices++)
        g_assert_nonnull(devm_device_add(&m, *devices, err));
    machine_lock(machine);
    bool ok = machine_prepare(machine, err);
    machine_unlock(machine);
    if (ok)
        return machine;
    machine_free(machine);
    return NULL;
}

static uint8_t cmos(Machine *machine, uint8_t index)
{
    uint64_t value;
    as_store(&machine->io, 0x70, 1, index);
    as_load(&machine->io, 0x71, 1, &value);
    return value;
}

static void expect_file(Machine *machine, const char *name, const void *want, size_t len)
{
    size_t got;
    const uint8_t *data = fw_cfg_file((const FwCfg *)machine->fw_cfg, name, &got);
    g_assert_nonnull(data);
    g_assert_cmpmem(data, got, want, len);
}

/* Is there RAM that keeps what is written? */
static bool has_ram(Machine *machine, uint64_t addr)
{
    uint64_t value = 0;
    return as_store(&machine->memory, addr, 8, addr ^ 0x55) == MEM_OK &&
           as_load(&machine->memory, addr, 8, &value) == MEM_OK && value == (addr ^ 0x55);
}

static void test_memory(void)
{
    static const struct {
        const char *machine;
        uint64_t mib, low; /* -m, where RAM below 4 GiB ends */
    } cases[] = { { "pc", 128, 128 },    { "pc", 3583, 3583 },  { "pc", 3584, 3072 },  { "pc", 5000, 3072 },
                  { "q35", 2815, 2815 }, { "q35", 2816, 2048 }, { "q35", 5000, 2048 }, { "microvm", 3072, 3072 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        GError *err = NULL;
        const uint64_t low = cases[i].low << 20, high = (cases[i].mib << 20) - low, four = UINT64_C(1) << 32;
        MachineConfig config = { .ram_size = cases[i].mib << 20 };
        if (!strcmp(cases[i].machine, "microvm"))
            config.firmware = "bios-microvm.bin";
        Machine *machine = build(cases[i].machine, &config, NULL, &err);
        g_assert_no_error(err);
        g_assert_true(has_ram(machine, 0x1000));
        g_assert_true(has_ram(machine, low - 8));
        g_assert_false(has_ram(machine, low));
        g_assert_true(!high || (has_ram(machine, four) && has_ram(machine, four + high - 8)));
        g_assert_false(has_ram(machine, four + high));
        g_assert_false(has_ram(machine, four - 16)); /* the reset vector is in ROM */
        g_assert_cmphex(cmos(machine, 0x34) | cmos(machine, 0x35) << 8, ==, (low - (16 << 20)) >> 16);
        g_assert_cmphex(cmos(machine, 0x5b) | cmos(machine, 0x5c) << 8 | cmos(machine, 0x5d) << 16, ==, high >> 16);
        uint8_t map[40];
        e820_encode(&(E820Entry){ 0, low, E820_RAM }, map);
        e820_encode(&(E820Entry){ four, high, E820_RAM }, map + 20);
        expect_file(machine, "etc/e820", map, high ? 40 : 20);
        machine_free(machine);
    }
}

/* Drives are found by their controller's function, their channel or port, and their unit. */
static void test_boot_drives(void)
{
    static const char *const pc[] = { "isa-fdc", "ide-cd,bus=ide.1,unit=0,bootindex=2",
                                      "ide-cd,bus=ide.0,unit=1,bootindex=1", "floppy,unit=1,bootindex=0", NULL };
    static const char *const q35[] = { "isa-fdc", "ide-cd,bus=ide.2,bootindex=4", "floppy,unit=0,bootindex=5", NULL };
    static const char on_pc[] = "/pci@i0cf8/isa@1/fdc@03f0/floppy@1\n/pci@i0cf8/ide@1,1/drive@0/disk@1\n"
                                "/pci@i0cf8/ide@1,1/drive@1/disk@0";
    static const char on_q35[] = "/pci@i0cf8/pci8086,2922@1f,2/drive@2/disk@0\n"
                                 "/pci@i0cf8/isa@1f/fdc@03f0/floppy@0";
    const char *const *devices[] = { pc, q35 }, *const machines[] = { "pc", "q35" }, *const want[] = { on_pc, on_q35 };
    for (unsigned i = 0; i < 2; i++) {
        GError *err = NULL;
        MachineConfig config = { .ram_size = 64 << 20 };
        Machine *machine = build(machines[i], &config, devices[i], &err);
        g_assert_no_error(err);
        expect_file(machine, "bootorder", want[i], strlen(want[i]) + 1);
        machine_free(machine);
    }
}

static void test_boot(void)
{
    static const char *const devices[] = { "virtio-rng-pci", "virtio-net-pci,bootindex=7",
                                           "virtio-net-pci,bootindex=2,addr=1d.0", "virtio-net-pci", NULL },
                             *const twice[] = { "virtio-net-pci,bootindex=3", "virtio-net-pci,bootindex=3", NULL };
    GError *err = NULL;
    g_autoptr(Opts) boot = opts_parse("-boot", "order=nd,once=c,menu=on,strict=on,splash-time=500", NULL, NULL);
    MachineConfig config = { .ram_size = 64 << 20, .cpus = 3, .boot = boot };
    Machine *machine = build("pc", &config, devices, &err);
    g_assert_no_error(err);
    static const char order[] = "/pci@i0cf8/ethernet@1d/ethernet-phy@0\n/pci@i0cf8/ethernet@3/ethernet-phy@0\nHALT";
    expect_file(machine, "bootorder", order, sizeof(order));
    expect_file(machine, "etc/boot-menu-wait", "\xf4\1", 2);
    g_assert_cmphex(cmos(machine, 0x3d), ==, 0x02); /* once=c */
    g_assert_cmphex(cmos(machine, 0x5f), ==, 2);
    machine_lock(machine);
    machine_reset(machine);
    machine_unlock(machine);
    g_assert_cmphex(cmos(machine, 0x3d), ==, 0x34); /* order=nd */
    machine_free(machine);
    config = (MachineConfig){ .ram_size = 64 << 20 };
    g_assert_null(build("pc", &config, twice, &err));
    g_assert_cmpstr(err->message, ==, "bootindex=3 is used twice");
    g_clear_error(&err);
}

/* Threads, cores and sockets have bits of their own: three cores take two. */
static void test_topology(void)
{
    static const uint32_t want[] = { 0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13 };
    GError *err = NULL;
    MachineConfig config = { .ram_size = 64 << 20, .cpus = 12, .sockets = 2, .cores = 3, .threads = 2 };
    Machine *machine = build("q35", &config, NULL, &err);
    g_assert_no_error(err);
    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        g_assert_cmpuint(x86_machine(machine)->apic_ids[i], ==, want[i]);
        g_assert_cmpuint(x86_apic_id(((Vcpu *)machine->vcpus->pdata[i])->state), ==, want[i]);
    }
    machine_free(machine);
}

static void refuse(const char *name, MachineConfig config, const char *key, const char *value, const char *message)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Opts) opts = opts_new("-machine");
    if (key)
        opts_add(opts, key, value);
    config.machine_opts = opts;
    config.ram_size = config.ram_size ? config.ram_size : 64 << 20;
    g_assert_null(machine_new(machine_type_find(name, "x86_64"), accel_find("test"), NULL, &config, &err));
    if (!strstr(err->message, message))
        g_error("'%s' does not have '%s'", err->message, message);
    g_assert_null(strchr(err->message, '\n'));
}

static void test_errors(void)
{
    const MachineConfig plain = { .cpus = 1 };
    refuse("pc", plain, "usb", "on", "there is no USB yet");
    refuse("pc", plain, "vmport", "on", "there is no VMware port");
    refuse("pc", plain, "max-ram-below-4g", "1k", "1M to 4080M are possible");
    refuse("pc", plain, "hpte", "on", "did you mean 'hpet'");
    refuse("pc", (MachineConfig){ .cpus = 256, .max_cpus = 256 }, NULL, NULL, "takes up to 255");
    refuse("isapc", (MachineConfig){ .cpus = 2 }, NULL, NULL, "takes up to 1");
    refuse("pc", (MachineConfig){ .firmware = "/does/not/exist" }, NULL, NULL, "/does/not/exist");
    refuse("pc", (MachineConfig){ .firmware = "/etc/passwd" }, NULL, NULL, "firmware has a multiple of 64 KiB");
    refuse("pc", (MachineConfig){ .ram_size = UINT64_C(2) << 40 }, NULL, NULL, "takes at most 1048576 MiB");
    refuse("microvm", plain, "pic", "perhaps", "pic");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pc/memory", test_memory);
    g_test_add_func("/pc/boot", test_boot);
    g_test_add_func("/pc/boot-drives", test_boot_drives);
    g_test_add_func("/pc/topology", test_topology);
    g_test_add_func("/pc/errors", test_errors);
    return g_test_run();
}
