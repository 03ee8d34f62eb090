/*
 * Machine `virt` for RISC-V: the memory map, interrupt numbers and device tree of the reference's machine of that name,
 * so that firmware and kernels built for it run.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "hw/char/serial_16550.h"
#include "hw/core/machine.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/firmware/loader.h"
#include "hw/firmware/pflash_cfi01.h"
#include "hw/firmware/sifive_test.h"
#include "hw/intc/riscv_aclint.h"
#include "hw/intc/riscv_aplic.h"
#include "hw/intc/riscv_imsic.h"
#include "hw/intc/sifive_plic.h"
#include "hw/pci/gpex.h"
#include "hw/timer/goldfish_rtc.h"
#include "hw/virtio/virtio_mmio.h"
#include "target/riscv/cpu.h"
#include "util/error.h"
#include "util/guest_random.h"
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

typedef struct RiscvVirt {
    Machine machine;
    MemRegion ram, mrom;
    RiscvAclint *aclint;
    SifivePlic *plic;                /* NULL with aia */
    RiscvAplic *aplic[2];            /* of M, of S */
    void (*wire)(void *, int, bool); /* how a source's level is set ... */
    void *wire_opaque;               /* ... and whose: the PLIC's, the APLIC's */
    GpexHost *pci;
    FwCfg *fw_cfg;
    BlockNode *flash[2];             /* properties pflash0, pflash1 */
    unsigned acpi, aclint_mode, aia; /* properties: only what is there can be chosen */
    uint32_t aia_guests;
    uint64_t pci_high, pci_high_size; /* the 64-bit window for BARs */
    uint64_t kernel_entry, fdt_addr;
    bool dumped;
} RiscvVirt;

enum { AIA_NONE, AIA_APLIC, AIA_IMSIC };
enum {
    MROM,
    TEST,
    RTC,
    CLINT,
    PCI_PIO,
    PLIC,
    APLIC_M,
    APLIC_S,
    UART0,
    VIRTIO,
    FW_CFG,
    FLASH,
    IMSIC_M,
    IMSIC_S,
    PCI_ECAM,
    PCI_MMIO,
    DRAM
};
static const struct {
    uint64_t base, size;
} map[] = {
    [MROM] = { 0x1000, 0xf000 },
    [TEST] = { 0x100000, 0x1000 },
    [RTC] = { 0x101000, 0x1000 },
    [CLINT] = { 0x2000000, 0x10000 },
    [PLIC] = { 0xc000000, PLIC_SIZE },
    [APLIC_M] = { 0xc000000, RISCV_APLIC_SIZE },
    [APLIC_S] = { 0xd000000, RISCV_APLIC_SIZE },
    [IMSIC_M] = { 0x24000000, RISCV_IMSIC_SIZE },
    [IMSIC_S] = { 0x28000000, RISCV_IMSIC_SIZE },
    [UART0] = { 0x10000000, 0x100 },
    [VIRTIO] = { 0x10001000, 0x1000 },
    [FW_CFG] = { 0x10100000, 0x18 },
    [DRAM] = { 0x80000000, 0 },
    [PCI_PIO] = { 0x3000000, 0x10000 },
    [FLASH] = { 0x20000000, 0x4000000 },
    [PCI_ECAM] = { 0x30000000, GPEX_ECAM_SIZE },
    [PCI_MMIO] = { 0x40000000, 0x40000000 },
};
enum { VIRTIO_IRQ = 1, VIRTIO_SLOTS = 8, UART0_IRQ = 10, RTC_IRQ = 11, PCI_IRQ = 32 };
enum { LEVEL_HIGH = 4 }; /* of an interrupt's specifier */
#define FDT_ROOM (2u << 20)

static RiscvVirt *virt(Machine *machine)
{
    return (RiscvVirt *)machine;
}

static CpuState *cpu(Machine *machine, unsigned n)
{
    return ((Vcpu *)machine->vcpus->pdata[n])->state;
}

/* ---- building ---- */

static void *place(Machine *machine, const DeviceType *type, GError **err, const char *name, const char *value)
{
    Device *dev = device_new(machine, type);
    if ((name && !device_set(dev, name, value, err)) || !device_realize(dev, NULL, err)) {
        device_free(dev);
        return NULL;
    }
    return dev;
}

static RiscvImsic *add_imsic(RiscvVirt *v, unsigned level, unsigned hart, GError **err)
{
    RiscvImsic *imsic = place(&v->machine, &riscv_imsic_type, err, NULL, NULL);
    if (imsic)
        mem_add(&v->machine.root, map[level ? IMSIC_S : IMSIC_M].base + (uint64_t)hart * RISCV_IMSIC_SIZE, &imsic->mmio,
                0);
    return imsic;
}

/* External interrupts of a hart: from the PLIC, the APLIC, or its own interrupt files. */
static bool connect_cpu(RiscvVirt *v, unsigned hart, CpuState *cs, GError **err)
{
    for (unsigned level = 0; level < 2; level++) {
        const Irq irq = { riscv_cpu_set_irq, cs, level ? IRQ_S_EXT : IRQ_M_EXT };
        if (v->aia == AIA_NONE) {
            v->plic->irq[2 * hart + level] = irq;
        } else if (v->aia == AIA_APLIC) {
            v->aplic[level]->irq[hart] = irq;
        } else {
            RiscvImsic *imsic = add_imsic(v, level, hart, err);
            if (!imsic)
                return false;
            imsic->irq = irq;
            riscv_cpu_set_file(cs, level ? PRIV_S : PRIV_M, riscv_imsic_access, imsic);
        }
    }
    if (v->aia != AIA_NONE)
        riscv_cpu_add_aia(cs);
    return true;
}

/* What the wires of devices lead to. */
static bool add_controller(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    g_autofree char *harts = g_strdup_printf("%u", machine->config.cpus),
                    *contexts = g_strdup_printf("%u", 2 * machine->config.cpus);
    if (v->aia == AIA_NONE) {
        if (!(v->plic = place(machine, &sifive_plic_type, err, "num-contexts", contexts)))
            return false;
        mem_add(&machine->root, map[PLIC].base, &v->plic->mmio, 0);
        v->wire = sifive_plic_set;
        v->wire_opaque = v->plic;
        return true;
    }
    for (unsigned level = 0; level < 2; level++) {
        Device *dev = device_new(machine, &riscv_aplic_type);
        RiscvAplic *aplic = v->aplic[level] = (RiscvAplic *)dev;
        aplic->parent = level ? v->aplic[0] : NULL;
        aplic->msi = v->aia == AIA_IMSIC;
        if (!device_set(dev, "num-harts", harts, err) || !device_realize(dev, NULL, err)) {
            device_free(dev);
            return false;
        }
        mem_add(&machine->root, map[level ? APLIC_S : APLIC_M].base, &aplic->mmio, 0);
    }
    v->wire = riscv_aplic_set;
    v->wire_opaque = v->aplic[0];
    return true;
}

static bool add_cpus(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    for (unsigned i = 0; i < machine->config.cpus; i++) {
        Vcpu *vcpu = vcpu_new(machine, machine->config.cpu_model, err);
        if (!vcpu)
            return false;
        v->aclint->msip[i] = (Irq){ riscv_cpu_set_irq, vcpu->state, IRQ_M_SOFT };
        v->aclint->mtip[i] = (Irq){ riscv_cpu_set_irq, vcpu->state, IRQ_M_TIMER };
        if (!connect_cpu(v, i, vcpu->state, err))
            return false;
        riscv_cpu_set_time(vcpu->state, riscv_aclint_time, v->aclint);
        riscv_cpu_set_reset_pc(vcpu->state, map[MROM].base);
    }
    return true;
}

static bool add_uart(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    Device *dev = device_new(machine, &serial_16550_type);
    Serial16550 *uart = (Serial16550 *)dev;
    uart->chardev = machine->serials ? machine->serials->data : NULL;
    uart->irq = (Irq){ v->wire, v->wire_opaque, UART0_IRQ };
    if (!device_realize(dev, NULL, err)) {
        device_free(dev);
        return false;
    }
    mem_add(&machine->root, map[UART0].base, &uart->mmio, 0);
    return true;
}

static bool add_rtc(RiscvVirt *v, GError **err)
{
    GoldfishRtc *rtc = place(&v->machine, &goldfish_rtc_type, err, NULL, NULL);
    if (!rtc)
        return false;
    rtc->irq = (Irq){ v->wire, v->wire_opaque, RTC_IRQ };
    mem_add(&v->machine.root, map[RTC].base, &rtc->mmio, 0);
    return true;
}

static bool add_virtio(RiscvVirt *v, GError **err)
{
    for (unsigned i = 0; i < VIRTIO_SLOTS; i++) {
        VirtioMmio *slot = place(&v->machine, &virtio_mmio_type, err, NULL, NULL);
        if (!slot)
            return false;
        slot->irq = (Irq){ v->wire, v->wire_opaque, VIRTIO_IRQ + i };
        mem_add(&v->machine.root, map[VIRTIO].base + i * map[VIRTIO].size, &slot->mmio, 0);
    }
    return true;
}

/* BARs above 4 GiB go behind RAM: 16 GiB there, or where 34 bits of address end, 4 GiB. */
static bool add_pci(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    const uint64_t gib = 1 << 30, ram_end = map[DRAM].base + machine->config.ram_size;
    GpexHost *pci = (GpexHost *)device_new(machine, &gpex_host_type);
    pci->pci.msi = v->aia == AIA_IMSIC;
    if (!device_realize(&pci->dev, NULL, err)) {
        device_free(&pci->dev);
        return false;
    }
    v->pci = pci;
    v->pci_high_size = machine->target->bits == 64 ? 16 * gib : 4 * gib;
    v->pci_high = machine->target->bits == 64 ? (ram_end + 16 * gib - 1) & ~(16 * gib - 1) : 12 * gib;
    for (unsigned i = 0; i < 4; i++)
        pci->pci.intx[i] = (Irq){ v->wire, v->wire_opaque, PCI_IRQ + i };
    mem_alias_init(&pci->mmio_window, machine, "gpex_mmio_window", &pci->mmio, map[PCI_MMIO].base, map[PCI_MMIO].size);
    mem_alias_init(&pci->mmio_high_window, machine, "gpex_mmio_high_window", &pci->mmio, v->pci_high, v->pci_high_size);
    mem_add(&machine->root, map[PCI_ECAM].base, &pci->ecam, 0);
    mem_add(&machine->root, map[PCI_PIO].base, &pci->pio, 0);
    mem_add(&machine->root, map[PCI_MMIO].base, &pci->mmio_window, 0);
    mem_add(&machine->root, v->pci_high, &pci->mmio_high_window, 0);
    return true;
}

static bool add_fw_cfg(RiscvVirt *v, GError **err)
{
    FwCfg *fw_cfg = place(&v->machine, &fw_cfg_type, err, NULL, NULL);
    if (!fw_cfg)
        return false;
    mem_add(&v->machine.root, map[FW_CFG].base, &fw_cfg->mmio, 0);
    v->fw_cfg = fw_cfg;
    return true;
}

/* Two of 32 MiB: firmware, and its variables. What -drive if=pflash names goes before the properties. */
static bool add_flash(RiscvVirt *v, GError **err)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        Device *dev = device_new(&v->machine, &pflash_cfi01_type);
        PflashCfi01 *flash = (PflashCfi01 *)dev;
        BlockNode *named = block_drive_find("pflash", unit);
        flash->drive = v->flash[unit] = named ? named : v->flash[unit];
        flash->name = g_strdup_printf("virt.flash%u", unit);
        if (!device_realize(dev, NULL, err)) {
            g_prefix_error(err, "pflash%u: ", unit);
            device_free(dev);
            return false;
        }
        mem_add(&v->machine.root, map[FLASH].base + unit * map[FLASH].size / 2, &flash->mmio, 0);
    }
    return true;
}

static bool virt_init(Machine *machine, GError **err)
{
    RiscvVirt *v = virt(machine);
    g_autofree char *harts = g_strdup_printf("%u", machine->config.cpus);
    SifiveTest *test;
    if (v->aia_guests)
        return error_set(err, "aia-guests=%u: only 0 is possible, there is no hypervisor extension", v->aia_guests);
    uint64_t limit = machine->target->bits == 32 ? (uint64_t)1 << 31 : (uint64_t)1 << 40;
    if (machine->config.ram_size > limit)
        return error_set(err, "-m: machine 'virt' takes at most %" PRIu64 " MiB", limit >> 20);
    if (!mem_ram_init(&v->ram, machine, "riscv_virt.ram", machine->config.ram_size, err) ||
        !mem_rom_init(&v->mrom, machine, "riscv_virt.mrom", map[MROM].size, NULL, NULL, err) ||
        !(v->aclint = place(machine, &riscv_aclint_type, err, "num-harts", harts)) || !add_controller(v, err) ||
        !(test = place(machine, &sifive_test_type, err, NULL, NULL)) || !add_cpus(v, err) || !add_uart(v, err) ||
        !add_rtc(v, err) || !add_virtio(v, err) || !add_pci(v, err) || !add_fw_cfg(v, err) || !add_flash(v, err))
        return false;
    machine->ram = &v->ram;
    mem_add(&machine->root, map[DRAM].base, &v->ram, 0);
    mem_add(&machine->root, map[MROM].base, &v->mrom, 0);
    mem_add(&machine->root, map[CLINT].base, &v->aclint->mmio, 0);
    mem_add(&machine->root, map[TEST].base, &test->mmio, 0);
    return true;
}

/* ---- device tree ---- */

enum {
    PHANDLE_CPU = 1,
    PHANDLE_INTC = 1 + RISCV_ACLINT_HARTS,
    PHANDLE_WIRES = 1 + 2 * RISCV_ACLINT_HARTS, /* what the wires of devices lead to, as the kernel sees it */
    PHANDLE_APLIC_M,
    PHANDLE_IMSIC_M,
    PHANDLE_IMSIC_S,
    PHANDLE_TEST
};

static void put_reg(void *fdt, uint64_t base, uint64_t size)
{
    fdt32_t cells[] = { cpu_to_fdt32(base >> 32), cpu_to_fdt32(base), cpu_to_fdt32(size >> 32), cpu_to_fdt32(size) };
    fdt_property(fdt, "reg", cells, sizeof(cells));
}

static void begin(void *fdt, const char *name, uint64_t at)
{
    g_autofree char *full = g_strdup_printf("%s@%" PRIx64, name, at);
    fdt_begin_node(fdt, full);
}

static void put_cpu(void *fdt, Machine *machine, unsigned i)
{
    CpuState *cs = cpu(machine, i);
    g_autofree char *isa = riscv_cpu_isa_string(cs), *list = riscv_cpu_isa_extensions(cs);
    unsigned length = 0;
    while (list[length])
        length += strlen(list + length) + 1;
    begin(fdt, "cpu", i);
    fdt_property_u32(fdt, "phandle", PHANDLE_CPU + i);
    fdt_property_string(fdt, "device_type", "cpu");
    fdt_property_u32(fdt, "reg", i);
    fdt_property_string(fdt, "status", "okay");
    fdt_property_string(fdt, "compatible", "riscv");
    fdt_property_string(fdt, "riscv,isa", isa);
    fdt_property_string(fdt, "riscv,isa-base", machine->target->bits == 64 ? "rv64i" : "rv32i");
    fdt_property(fdt, "riscv,isa-extensions", list, length);
    static const char *const blocks[][2] = { { "zicbom", "riscv,cbom-block-size" },
                                             { "zicbop", "riscv,cbop-block-size" },
                                             { "zicboz", "riscv,cboz-block-size" } };
    for (unsigned b = 0; b < G_N_ELEMENTS(blocks); b++) {
        if (riscv_cpu_has(cs, blocks[b][0]))
            fdt_property_u32(fdt, blocks[b][1], RISCV_CACHE_BLOCK);
    }
    fdt_property_string(fdt, "mmu-type", riscv_cpu_mmu_type(cs));
    fdt_begin_node(fdt, "interrupt-controller");
    fdt_property_u32(fdt, "#interrupt-cells", 1);
    fdt_property(fdt, "interrupt-controller", NULL, 0);
    fdt_property_string(fdt, "compatible", "riscv,cpu-intc");
    fdt_property_u32(fdt, "phandle", PHANDLE_INTC + i);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
}

static void put_cpus(void *fdt, Machine *machine)
{
    fdt_begin_node(fdt, "cpus");
    fdt_property_u32(fdt, "#address-cells", 1);
    fdt_property_u32(fdt, "#size-cells", 0);
    fdt_property_u32(fdt, "timebase-frequency", RISCV_ACLINT_HZ);
    for (unsigned i = 0; i < machine->vcpus->len; i++)
        put_cpu(fdt, machine, i);
    fdt_begin_node(fdt, "cpu-map");
    fdt_begin_node(fdt, "cluster0");
    for (unsigned i = 0; i < machine->vcpus->len; i++) {
        g_autofree char *core = g_strdup_printf("core%u", i);
        fdt_begin_node(fdt, core);
        fdt_property_u32(fdt, "cpu", PHANDLE_CPU + i);
        fdt_end_node(fdt);
    }
    fdt_end_node(fdt);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
}

static void put_interrupts_extended(void *fdt, Machine *machine, unsigned first, unsigned second)
{
    g_autofree fdt32_t *cells = g_new(fdt32_t, 4 * machine->vcpus->len);
    for (unsigned i = 0; i < machine->vcpus->len; i++) {
        cells[4 * i] = cells[4 * i + 2] = cpu_to_fdt32(PHANDLE_INTC + i);
        cells[4 * i + 1] = cpu_to_fdt32(first);
        cells[4 * i + 3] = cpu_to_fdt32(second);
    }
    fdt_property(fdt, "interrupts-extended", cells, 16 * machine->vcpus->len);
}

/* The PLIC's specifiers are a number, the APLIC's have a kind of source too. */
static void put_wire(void *fdt, const RiscvVirt *v, unsigned irq)
{
    const fdt32_t cells[] = { cpu_to_fdt32(irq), cpu_to_fdt32(LEVEL_HIGH) };
    fdt_property(fdt, "interrupts", cells, v->aia == AIA_NONE ? 4 : 8);
    fdt_property_u32(fdt, "interrupt-parent", PHANDLE_WIRES);
}

static void put_device(void *fdt, const RiscvVirt *v, const char *name, const char *compatible, uint64_t base,
                       uint64_t size, unsigned irq)
{
    begin(fdt, name, base);
    put_wire(fdt, v, irq);
    put_reg(fdt, base, size);
    fdt_property_string(fdt, "compatible", compatible);
    fdt_end_node(fdt);
}

/* Which input of the PLIC INTA to INTD of each slot reach: the pattern repeats every four slots, as the mask says. */
static void put_interrupt_map(void *fdt, const RiscvVirt *v)
{
    fdt32_t cells[4 * 4 * 7], *at = cells, mask[] = { cpu_to_fdt32(0x1800), 0, 0, cpu_to_fdt32(7) };
    for (unsigned slot = 0; slot < 4; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            const uint32_t entry[] = {
                slot << 11, 0, 0, pin + 1, PHANDLE_WIRES, PCI_IRQ + (slot + pin) % 4, LEVEL_HIGH
            };
            for (unsigned i = 0; i < (v->aia == AIA_NONE ? 6 : 7); i++)
                *at++ = cpu_to_fdt32(entry[i]);
        }
    }
    fdt_property(fdt, "interrupt-map", cells, (at - cells) * sizeof(*cells));
    fdt_property(fdt, "interrupt-map-mask", mask, sizeof(mask));
}

static void put_pci(void *fdt, const RiscvVirt *v)
{
    enum { IO = 0x1000000, MEMORY = 0x2000000, MEMORY64 = 0x3000000 };
    const struct {
        uint32_t space;
        uint64_t bus_address, address, size;
    } windows[] = { { IO, 0, map[PCI_PIO].base, map[PCI_PIO].size },
                    { MEMORY, map[PCI_MMIO].base, map[PCI_MMIO].base, map[PCI_MMIO].size },
                    { MEMORY64, v->pci_high, v->pci_high, v->pci_high_size } };
    fdt32_t ranges[G_N_ELEMENTS(windows)][7], buses[] = { 0, cpu_to_fdt32(255) };
    for (unsigned i = 0; i < G_N_ELEMENTS(windows); i++) {
        const uint64_t numbers[] = { windows[i].bus_address, windows[i].address, windows[i].size };
        ranges[i][0] = cpu_to_fdt32(windows[i].space);
        for (unsigned n = 0; n < 3; n++) {
            ranges[i][1 + 2 * n] = cpu_to_fdt32(numbers[n] >> 32);
            ranges[i][2 + 2 * n] = cpu_to_fdt32(numbers[n]);
        }
    }
    begin(fdt, "pci", map[PCI_ECAM].base);
    put_interrupt_map(fdt, v);
    if (v->aia == AIA_IMSIC)
        fdt_property_u32(fdt, "msi-parent", PHANDLE_IMSIC_S);
    fdt_property(fdt, "ranges", ranges, sizeof(ranges));
    put_reg(fdt, map[PCI_ECAM].base, map[PCI_ECAM].size);
    fdt_property(fdt, "dma-coherent", NULL, 0);
    fdt_property(fdt, "bus-range", buses, sizeof(buses));
    fdt_property_u32(fdt, "linux,pci-domain", 0);
    fdt_property_string(fdt, "device_type", "pci");
    fdt_property_string(fdt, "compatible", "pci-host-ecam-generic");
    fdt_property_u32(fdt, "#size-cells", 2);
    fdt_property_u32(fdt, "#interrupt-cells", 1);
    fdt_property_u32(fdt, "#address-cells", 3);
    fdt_end_node(fdt);
}

static void put_plic(void *fdt, Machine *machine)
{
    static const char compatible[] = "sifive,plic-1.0.0\0riscv,plic0";
    begin(fdt, "plic", map[PLIC].base);
    fdt_property_u32(fdt, "phandle", PHANDLE_WIRES);
    fdt_property_u32(fdt, "riscv,ndev", PLIC_SOURCES - 1);
    put_reg(fdt, map[PLIC].base, map[PLIC].size);
    put_interrupts_extended(fdt, machine, IRQ_M_EXT, IRQ_S_EXT);
    fdt_property(fdt, "interrupt-controller", NULL, 0);
    fdt_property(fdt, "compatible", compatible, sizeof(compatible));
    fdt_property_u32(fdt, "#address-cells", 0);
    fdt_property_u32(fdt, "#interrupt-cells", 1);
    fdt_end_node(fdt);
}

/* One interrupt of each hart. */
static void put_hart_interrupts(void *fdt, Machine *machine, unsigned irq)
{
    g_autofree fdt32_t *cells = g_new(fdt32_t, 2 * machine->vcpus->len);
    for (unsigned i = 0; i < machine->vcpus->len; i++) {
        cells[2 * i] = cpu_to_fdt32(PHANDLE_INTC + i);
        cells[2 * i + 1] = cpu_to_fdt32(irq);
    }
    fdt_property(fdt, "interrupts-extended", cells, 8 * machine->vcpus->len);
}

static void put_aplic(void *fdt, RiscvVirt *v, bool supervisor)
{
    const fdt32_t delegate[] = { cpu_to_fdt32(PHANDLE_WIRES), cpu_to_fdt32(1), cpu_to_fdt32(RISCV_APLIC_SOURCES) };
    unsigned place = supervisor ? APLIC_S : APLIC_M;
    begin(fdt, "aplic", map[place].base);
    fdt_property_u32(fdt, "phandle", supervisor ? PHANDLE_WIRES : PHANDLE_APLIC_M);
    if (!supervisor) { /* the first name is the reference's, the second what became of it in the kernel's binding */
        fdt_property(fdt, "riscv,delegate", delegate, sizeof(delegate));
        fdt_property(fdt, "riscv,delegation", delegate, sizeof(delegate));
        fdt_property_u32(fdt, "riscv,children", PHANDLE_WIRES);
    }
    fdt_property_u32(fdt, "riscv,num-sources", RISCV_APLIC_SOURCES);
    put_reg(fdt, map[place].base, map[place].size);
    if (v->aia == AIA_IMSIC)
        fdt_property_u32(fdt, "msi-parent", supervisor ? PHANDLE_IMSIC_S : PHANDLE_IMSIC_M);
    else
        put_hart_interrupts(fdt, &v->machine, supervisor ? IRQ_S_EXT : IRQ_M_EXT);
    fdt_property(fdt, "interrupt-controller", NULL, 0);
    fdt_property_u32(fdt, "#interrupt-cells", 2);
    fdt_property_string(fdt, "compatible", "riscv,aplic");
    fdt_end_node(fdt);
}

static void put_imsics(void *fdt, RiscvVirt *v, bool supervisor)
{
    unsigned place = supervisor ? IMSIC_S : IMSIC_M;
    begin(fdt, "imsics", map[place].base);
    fdt_property_u32(fdt, "phandle", supervisor ? PHANDLE_IMSIC_S : PHANDLE_IMSIC_M);
    fdt_property_u32(fdt, "riscv,ipi-id", 1);
    fdt_property_u32(fdt, "riscv,num-ids", RISCV_IMSIC_IDS - 1);
    put_reg(fdt, map[place].base, map[place].size * v->machine.vcpus->len);
    put_hart_interrupts(fdt, &v->machine, supervisor ? IRQ_S_EXT : IRQ_M_EXT);
    fdt_property(fdt, "msi-controller", NULL, 0);
    fdt_property_u32(fdt, "#msi-cells", 0);
    fdt_property(fdt, "interrupt-controller", NULL, 0);
    fdt_property_u32(fdt, "#interrupt-cells", 0);
    fdt_property_string(fdt, "compatible", "riscv,imsics");
    fdt_end_node(fdt);
}

static void put_controllers(void *fdt, RiscvVirt *v)
{
    if (v->aia == AIA_NONE) {
        put_plic(fdt, &v->machine);
        return;
    }
    put_aplic(fdt, v, true);
    put_aplic(fdt, v, false);
    if (v->aia == AIA_IMSIC) {
        put_imsics(fdt, v, true);
        put_imsics(fdt, v, false);
    }
}

static void put_soc(void *fdt, Machine *machine)
{
    static const char test_compatible[] = "sifive,test1\0sifive,test0\0syscon",
                      clint_compatible[] = "sifive,clint0\0riscv,clint0";
    fdt_begin_node(fdt, "soc");
    fdt_property_u32(fdt, "#address-cells", 2);
    fdt_property_u32(fdt, "#size-cells", 2);
    fdt_property_string(fdt, "compatible", "simple-bus");
    fdt_property(fdt, "ranges", NULL, 0);
    begin(fdt, "test", map[TEST].base);
    fdt_property_u32(fdt, "phandle", PHANDLE_TEST);
    put_reg(fdt, map[TEST].base, map[TEST].size);
    fdt_property(fdt, "compatible", test_compatible, sizeof(test_compatible));
    fdt_end_node(fdt);
    begin(fdt, "serial", map[UART0].base);
    put_wire(fdt, virt(machine), UART0_IRQ);
    fdt_property_u32(fdt, "clock-frequency", 3686400);
    put_reg(fdt, map[UART0].base, map[UART0].size);
    fdt_property_string(fdt, "compatible", "ns16550a");
    fdt_end_node(fdt);
    put_device(fdt, virt(machine), "rtc", "google,goldfish-rtc", map[RTC].base, map[RTC].size, RTC_IRQ);
    for (unsigned i = VIRTIO_SLOTS; i--;)
        put_device(fdt, virt(machine), "virtio_mmio", "virtio,mmio", map[VIRTIO].base + i * map[VIRTIO].size,
                   map[VIRTIO].size, VIRTIO_IRQ + i);
    put_pci(fdt, virt(machine));
    put_controllers(fdt, virt(machine));
    begin(fdt, "clint", map[CLINT].base);
    put_interrupts_extended(fdt, machine, IRQ_M_SOFT, IRQ_M_TIMER);
    put_reg(fdt, map[CLINT].base, map[CLINT].size);
    fdt_property(fdt, "compatible", clint_compatible, sizeof(clint_compatible));
    fdt_end_node(fdt);
    fdt_end_node(fdt);
}

static void put_syscon(void *fdt, const char *name, const char *compatible, uint32_t value)
{
    fdt_begin_node(fdt, name);
    fdt_property_u32(fdt, "value", value);
    fdt_property_u32(fdt, "offset", 0);
    fdt_property_u32(fdt, "regmap", PHANDLE_TEST);
    fdt_property_string(fdt, "compatible", compatible);
    fdt_end_node(fdt);
}

static void put_chosen(void *fdt, Machine *machine, uint64_t initrd, uint64_t initrd_size)
{
    uint8_t seed[32];
    g_autofree char *uart = g_strdup_printf("/soc/serial@%" PRIx64, map[UART0].base);
    fdt_begin_node(fdt, "chosen");
    if (machine->config.append)
        fdt_property_string(fdt, "bootargs", machine->config.append);
    if (initrd_size) {
        fdt_property_u64(fdt, "linux,initrd-start", initrd);
        fdt_property_u64(fdt, "linux,initrd-end", initrd + initrd_size);
    }
    if (guest_random(seed, sizeof(seed)) == sizeof(seed))
        fdt_property(fdt, "rng-seed", seed, sizeof(seed));
    fdt_property_string(fdt, "stdout-path", uart);
    fdt_end_node(fdt);
}

/* The tree in a new buffer; *size is what it takes. */
static void *make_fdt(RiscvVirt *v, uint64_t initrd, uint64_t initrd_size, uint64_t *size)
{
    Machine *machine = &v->machine;
    void *fdt = g_malloc0(FDT_ROOM);
    fdt_create(fdt, FDT_ROOM);
    fdt_finish_reservemap(fdt);
    fdt_begin_node(fdt, "");
    fdt_property_u32(fdt, "#address-cells", 2);
    fdt_property_u32(fdt, "#size-cells", 2);
    fdt_property_string(fdt, "compatible", "riscv-virtio");
    fdt_property_string(fdt, "model", "riscv-virtio,qemu");
    put_chosen(fdt, machine, initrd, initrd_size);
    put_syscon(fdt, "poweroff", "syscon-poweroff", 0x5555);
    put_syscon(fdt, "reboot", "syscon-reboot", 0x7777);
    begin(fdt, "memory", map[DRAM].base);
    fdt_property_string(fdt, "device_type", "memory");
    put_reg(fdt, map[DRAM].base, machine->config.ram_size);
    fdt_end_node(fdt);
    put_cpus(fdt, machine);
    const uint64_t half = map[FLASH].size / 2;
    const uint64_t flash[] = { GUINT64_TO_BE(map[FLASH].base), GUINT64_TO_BE(half),
                               GUINT64_TO_BE(map[FLASH].base + half), GUINT64_TO_BE(half) };
    begin(fdt, "flash", map[FLASH].base);
    fdt_property_u32(fdt, "bank-width", 4);
    fdt_property(fdt, "reg", flash, sizeof(flash));
    fdt_property_string(fdt, "compatible", "cfi-flash");
    fdt_end_node(fdt);
    begin(fdt, "fw-cfg", map[FW_CFG].base);
    fdt_property(fdt, "dma-coherent", NULL, 0);
    put_reg(fdt, map[FW_CFG].base, map[FW_CFG].size);
    fdt_property_string(fdt, "compatible", "qemu,fw-cfg-mmio");
    fdt_end_node(fdt);
    put_soc(fdt, machine);
    fdt_end_node(fdt);
    fdt_finish(fdt);
    *size = fdt_totalsize(fdt);
    return fdt;
}

/* ---- loading ---- */

static char *default_firmware(const Machine *machine)
{
    static const char *const places[] = { "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin",
                                          "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin" };
    for (unsigned i = 0; machine->target->bits == 64 && i < G_N_ELEMENTS(places); i++) {
        if (g_file_test(places[i], G_FILE_TEST_EXISTS))
            return g_strdup(places[i]);
    }
    return NULL;
}

/* Reset vector: a0 = hart, a1 = device tree, a2 = what fw_dynamic wants to know; jump to start. */
static bool put_reset_vector(RiscvVirt *v, uint64_t start, GError **err)
{
    bool wide = v->machine.target->bits == 64;
    uint32_t load_a1 = wide ? 0x0202b583 : 0x0202a583,
             load_t0 = wide ? 0x0182b283 : 0x0182a283; /* l[dw] a1, 32(t0); l[dw] t0, 24(t0) */
    uint32_t code[] = { 0x00000297 /* auipc t0, 0 */,
                        0x02828613 /* addi a2, t0, 40 */,
                        0xf1402573 /* csrr a0, mhartid */,
                        load_a1,
                        load_t0,
                        0x00028067 /* jr t0 */,
                        start,
                        start >> 32,
                        v->fdt_addr,
                        v->fdt_addr >> 32 };
    /* fw_dynamic_info: magic, version, next address, next mode (supervisor), options, boot hart */
    uint64_t info64[] = { 0x4942534f, 2, v->kernel_entry, 1, 0, 0 };
    uint32_t info32[] = { 0x4942534f, 2, v->kernel_entry, 1, 0, 0 };
    return as_load_image(&v->machine.memory, map[MROM].base, code, sizeof(code), err) &&
           as_load_image(&v->machine.memory, map[MROM].base + sizeof(code), wide ? (void *)info64 : (void *)info32,
                         wide ? sizeof(info64) : sizeof(info32), err);
}

static bool load_fdt(RiscvVirt *v, uint64_t initrd, uint64_t initrd_size, uint64_t low, GError **err)
{
    Machine *machine = &v->machine;
    const MachineConfig *config = &machine->config;
    uint64_t size, end = map[DRAM].base + config->ram_size;
    g_autofree void *fdt =
        config->dtb ? read_whole_file("-dtb", config->dtb, &size, err) : make_fdt(v, initrd, initrd_size, &size);
    if (!fdt)
        return false;
    if (config->dtb && (size < sizeof(struct fdt_header) || fdt_check_full(fdt, size)))
        return error_set(err, "-dtb: '%s' is not a device tree blob", config->dtb);
    if (config->dumpdtb && !v->dumped) {
        v->dumped = true;
        if (!write_whole_file("-machine: dumpdtb", config->dumpdtb, fdt, size, err))
            return false;
        machine_request_shutdown(machine, SHUTDOWN_HOST_QUIT, 0);
    }
    /* at the end of RAM, below 3 GiB where 32-bit code may look for it */
    uint64_t top = MIN(end, (uint64_t)3 << 30);
    v->fdt_addr = (top - size) & ~((uint64_t)FDT_ROOM - 1);
    if (size > top || v->fdt_addr < low)
        return error_set(err, "-m: %" PRIu64 " MiB of RAM are too few for kernel, initrd and device tree",
                         config->ram_size >> 20);
    return as_load_image(&machine->memory, v->fdt_addr, fdt, size, err);
}

/* For firmware in the flash, which starts the kernel itself: the files through fw_cfg. */
static bool offer_kernel(RiscvVirt *v, GError **err)
{
    const MachineConfig *config = &v->machine.config;
    const struct {
        const char *option, *path;
        uint16_t size_key, data_key;
    } files[] = { { "-kernel", config->kernel, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA },
                  { "-initrd", config->initrd, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA } };
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        uint64_t size;
        g_autofree uint8_t *data = files[i].path ? read_whole_file(files[i].option, files[i].path, &size, err) : NULL;
        if (files[i].path && !data)
            return false;
        if (!data)
            continue;
        fw_cfg_set_integer(v->fw_cfg, files[i].size_key, size, 4);
        fw_cfg_set(v->fw_cfg, files[i].data_key, data, size);
    }
    const char *line = config->append ? config->append : "";
    fw_cfg_set_integer(v->fw_cfg, FW_CFG_CMDLINE_SIZE, strlen(line) + 1, 4);
    fw_cfg_set(v->fw_cfg, FW_CFG_CMDLINE_DATA, line, strlen(line) + 1);
    return true;
}

static bool virt_load(Machine *machine, GError **err)
{
    RiscvVirt *v = virt(machine);
    const MachineConfig *config = &machine->config;
    uint64_t start = map[DRAM].base, end = start + config->ram_size,
             align = machine->target->bits == 64 ? 2 << 20 : 4 << 20, low = start;
    g_autofree char *found = config->firmware ? NULL : default_firmware(machine);
    const char *firmware = config->firmware ? config->firmware : found;
    uint64_t initrd = 0, initrd_size = 0;
    LoadedImage image;
    bool has_firmware = firmware && strcmp(firmware, "none");
    if (has_firmware) {
        if (!load_executable(&machine->memory, "-bios", firmware, start, end, machine->target->bits, &image, err))
            return false;
        low = image.high;
        start = image.entry;
    }
    v->kernel_entry = v->flash[0] ? map[FLASH].base : 0;
    if (v->flash[0]) {
        if (!has_firmware)
            start = map[FLASH].base;
        return offer_kernel(v, err) && load_fdt(v, 0, 0, low, err) && put_reset_vector(v, start, err);
    }
    if (config->kernel) {
        uint64_t at = has_firmware ? (low + align - 1) & ~(align - 1) : map[DRAM].base;
        if (!load_executable(&machine->memory, "-kernel", config->kernel, at, end, machine->target->bits, &image, err))
            return false;
        v->kernel_entry = image.entry;
        if (!has_firmware)
            start = image.entry;
        low = MAX(low, image.high);
    }
    if (config->initrd) {
        uint64_t gap = MIN(config->ram_size / 2, (uint64_t)128 << 20);
        initrd = (MAX(low, map[DRAM].base + gap) + 4095) & ~4095ull;
        if (initrd >= end)
            initrd = (low + 4095) & ~4095ull;
        if (!load_file(&machine->memory, "-initrd", config->initrd, initrd, end, &initrd_size, err))
            return false;
        low = initrd + initrd_size;
    }
    return load_fdt(v, initrd, initrd_size, low, err) && put_reset_vector(v, start, err);
}

static const Prop props[] = {
    PROP(RiscvVirt, DRIVE, "pflash0", flash[0], .help = "drive with firmware"),
    PROP(RiscvVirt, DRIVE, "pflash1", flash[1], .help = "drive with its variables"),
    PROP(RiscvVirt, ENUM, "acpi", acpi, .names = (const char *const[]){ "auto", "off", NULL },
         .help = "there are no tables yet"),
    PROP(RiscvVirt, ENUM, "aclint", aclint_mode, .names = (const char *const[]){ "off", NULL },
         .help = "the SiFive CLINT's layout"),
    PROP(RiscvVirt, ENUM, "aia", aia, .names = (const char *const[]){ "none", "aplic", "aplic-imsic", NULL },
         .help = "interrupt controllers: PLIC; APLIC with wires; with messages (MSI) to IMSICs"),
    PROP(RiscvVirt, U32, "aia-guests", aia_guests, .help = "there is no hypervisor extension: 0"),
    PROP_END,
};

const MachineType riscv_virt_machine = {
    .name = "virt",
    .desc = "RISC-V VirtIO board",
    .target = "riscv64|riscv32",
    .default_ram = 128 << 20,
    .max_cpus = RISCV_ACLINT_HARTS,
    .default_cpu = "",
    .props = props,
    .size = sizeof(RiscvVirt),
    .init = virt_init,
    .load = virt_load,
};
