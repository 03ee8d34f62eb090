/*
 * The device tree of machine `virt` for RISC-V (Devicetree Specification 0.4; Linux' bindings), as the reference
 * describes its own.
 * SPDX-License-Identifier: MIT
 */
#include "hw/machine/riscv_virt.h"
#include "target/riscv/cpu.h"
#include "util/guest_random.h"
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

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

/* The node that CPU i, and what is with it, belongs to. */
static void put_node_id(void *fdt, const Machine *machine, unsigned i)
{
    if (machine->config.numa)
        fdt_property_u32(fdt, "numa-node-id", numa_node_of_cpu(machine->config.numa, i));
}

static void put_cpu(void *fdt, Machine *machine, unsigned i)
{
    CpuState *cs = riscv_virt_cpu(machine, i);
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
        unsigned size = riscv_cpu_block_size(cs, blocks[b][0]);
        if (size)
            fdt_property_u32(fdt, blocks[b][1], size);
    }
    fdt_property_string(fdt, "mmu-type", riscv_cpu_mmu_type(cs));
    put_node_id(fdt, machine, i);
    fdt_begin_node(fdt, "interrupt-controller");
    fdt_property_u32(fdt, "#interrupt-cells", 1);
    fdt_property(fdt, "interrupt-controller", NULL, 0);
    fdt_property_string(fdt, "compatible", "riscv,cpu-intc");
    fdt_property_u32(fdt, "phandle", PHANDLE_INTC + i);
    fdt_end_node(fdt);
    fdt_end_node(fdt);
}

static void begin_numbered(void *fdt, const char *name, unsigned n)
{
    g_autofree char *full = g_strdup_printf("%s%u", name, n);
    fdt_begin_node(fdt, full);
}

/* Sockets, cores, threads (Linux' cpu-topology binding); a level that has one member each is left out but for cores. */
static void put_cpu_map(void *fdt, const Machine *machine)
{
    const MachineConfig *config = &machine->config;
    const unsigned threads = MAX(config->threads, 1), sockets = MAX(config->sockets, 1), count = machine->vcpus->len,
                   in_socket = sockets > 1 ? MAX(config->cores, 1) * threads : count;
    fdt_begin_node(fdt, "cpu-map");
    for (unsigned i = 0; i < count; i++) {
        unsigned place = i % in_socket;
        if (!place && sockets > 1)
            begin_numbered(fdt, "socket", i / in_socket);
        if (!place)
            fdt_begin_node(fdt, "cluster0");
        if (!(place % threads))
            begin_numbered(fdt, "core", place / threads);
        if (threads > 1)
            begin_numbered(fdt, "thread", place % threads);
        fdt_property_u32(fdt, "cpu", PHANDLE_CPU + i);
        if (threads > 1)
            fdt_end_node(fdt);
        bool last = i + 1 == count || place + 1 == in_socket;
        if (last || !((place + 1) % threads))
            fdt_end_node(fdt);
        if (last)
            fdt_end_node(fdt);
        if (last && sockets > 1)
            fdt_end_node(fdt);
    }
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
    put_cpu_map(fdt, machine);
    fdt_end_node(fdt);
}

/* Firmware offers these events; without mhpmevent values here, their numbers are what the event CSRs take. */
static void put_pmu(void *fdt, Machine *machine)
{
    uint32_t cells[PMU_MAP_CELLS];
    unsigned n = riscv_cpu_pmu_map(riscv_virt_cpu(machine, 0), cells);
    if (!n)
        return;
    for (unsigned i = 0; i < n; i++)
        cells[i] = cpu_to_fdt32(cells[i]);
    fdt_begin_node(fdt, "pmu");
    fdt_property(fdt, "riscv,event-to-mhpmcounters", cells, n * sizeof(*cells));
    fdt_property_string(fdt, "compatible", "riscv,pmu");
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
    } windows[] = { { IO, 0, riscv_virt_map[PCI_PIO].base, riscv_virt_map[PCI_PIO].size },
                    { MEMORY, riscv_virt_map[PCI_MMIO].base, riscv_virt_map[PCI_MMIO].base,
                      riscv_virt_map[PCI_MMIO].size },
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
    begin(fdt, "pci", riscv_virt_map[PCI_ECAM].base);
    put_interrupt_map(fdt, v);
    if (v->aia == AIA_IMSIC)
        fdt_property_u32(fdt, "msi-parent", PHANDLE_IMSIC_S);
    fdt_property(fdt, "ranges", ranges, sizeof(ranges));
    put_reg(fdt, riscv_virt_map[PCI_ECAM].base, riscv_virt_map[PCI_ECAM].size);
    fdt_property(fdt, "dma-coherent", NULL, 0);
    fdt_property(fdt, "bus-range", buses, sizeof(buses));
    fdt_property_u32(fdt, "linux,pci-domain", 0);
    if (v->machine.config.numa)
        fdt_property_u32(fdt, "numa-node-id", 0);
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
    begin(fdt, "plic", riscv_virt_map[PLIC].base);
    fdt_property_u32(fdt, "phandle", PHANDLE_WIRES);
    fdt_property_u32(fdt, "riscv,ndev", PLIC_SOURCES - 1);
    put_reg(fdt, riscv_virt_map[PLIC].base, riscv_virt_map[PLIC].size);
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
    begin(fdt, "aplic", riscv_virt_map[place].base);
    fdt_property_u32(fdt, "phandle", supervisor ? PHANDLE_WIRES : PHANDLE_APLIC_M);
    if (!supervisor) { /* the first name is the reference's, the second what became of it in the kernel's binding */
        fdt_property(fdt, "riscv,delegate", delegate, sizeof(delegate));
        fdt_property(fdt, "riscv,delegation", delegate, sizeof(delegate));
        fdt_property_u32(fdt, "riscv,children", PHANDLE_WIRES);
    }
    fdt_property_u32(fdt, "riscv,num-sources", RISCV_APLIC_SOURCES);
    put_reg(fdt, riscv_virt_map[place].base, riscv_virt_map[place].size);
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
    unsigned place = supervisor ? IMSIC_S : IMSIC_M, guest_bits = supervisor ? riscv_virt_guest_bits(v) : 0;
    begin(fdt, "imsics", riscv_virt_map[place].base);
    fdt_property_u32(fdt, "phandle", supervisor ? PHANDLE_IMSIC_S : PHANDLE_IMSIC_M);
    fdt_property_u32(fdt, "riscv,ipi-id", 1);
    fdt_property_u32(fdt, "riscv,num-ids", RISCV_IMSIC_IDS - 1);
    if (guest_bits)
        fdt_property_u32(fdt, "riscv,guest-index-bits", guest_bits);
    put_reg(fdt, riscv_virt_map[place].base, (riscv_virt_map[place].size << guest_bits) * v->machine.vcpus->len);
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

static void put_swi(void *fdt, Machine *machine, const char *name, const char *compatible, uint64_t base, uint64_t size,
                    unsigned irq)
{
    begin(fdt, name, base);
    fdt_property_u32(fdt, "#interrupt-cells", 0);
    fdt_property(fdt, "interrupt-controller", NULL, 0);
    put_hart_interrupts(fdt, machine, irq);
    put_reg(fdt, base, size);
    fdt_property_string(fdt, "compatible", compatible);
    fdt_end_node(fdt);
}

/* One device or its parts: the registers are at the same places. */
static void put_aclint(void *fdt, const RiscvVirt *v)
{
    static const char clint_compatible[] = "sifive,clint0\0riscv,clint0";
    Machine *machine = (Machine *)&v->machine;
    const uint64_t base = riscv_virt_map[CLINT].base, timer = base + RISCV_ACLINT_MTIMER;
    if (v->aclint_mode == ACLINT_OFF) {
        begin(fdt, "clint", base);
        put_interrupts_extended(fdt, machine, IRQ_M_SOFT, IRQ_M_TIMER);
        put_reg(fdt, base, riscv_virt_map[CLINT].size);
        fdt_property(fdt, "compatible", clint_compatible, sizeof(clint_compatible));
        fdt_end_node(fdt);
        return;
    }
    /* mtime, then mtimecmp */
    const uint64_t timer_reg[] = { GUINT64_TO_BE(base + RISCV_ACLINT_MTIME), GUINT64_TO_BE(8), GUINT64_TO_BE(timer),
                                   GUINT64_TO_BE(base + RISCV_ACLINT_MTIME - timer) };
    put_swi(fdt, machine, "mswi", "riscv,aclint-mswi", base, RISCV_ACLINT_MTIMER, IRQ_M_SOFT);
    begin(fdt, "mtimer", timer);
    put_hart_interrupts(fdt, machine, IRQ_M_TIMER);
    fdt_property(fdt, "reg", timer_reg, sizeof(timer_reg));
    fdt_property_string(fdt, "compatible", "riscv,aclint-mtimer");
    fdt_end_node(fdt);
    put_swi(fdt, machine, "sswi", "riscv,aclint-sswi", riscv_virt_map[SSWI].base, riscv_virt_map[SSWI].size,
            IRQ_S_SOFT);
}

static void put_soc(void *fdt, Machine *machine)
{
    static const char test_compatible[] = "sifive,test1\0sifive,test0\0syscon";
    fdt_begin_node(fdt, "soc");
    fdt_property_u32(fdt, "#address-cells", 2);
    fdt_property_u32(fdt, "#size-cells", 2);
    fdt_property_string(fdt, "compatible", "simple-bus");
    fdt_property(fdt, "ranges", NULL, 0);
    begin(fdt, "test", riscv_virt_map[TEST].base);
    fdt_property_u32(fdt, "phandle", PHANDLE_TEST);
    put_reg(fdt, riscv_virt_map[TEST].base, riscv_virt_map[TEST].size);
    fdt_property(fdt, "compatible", test_compatible, sizeof(test_compatible));
    fdt_end_node(fdt);
    begin(fdt, "serial", riscv_virt_map[UART0].base);
    put_wire(fdt, riscv_virt(machine), UART0_IRQ);
    fdt_property_u32(fdt, "clock-frequency", UART0_HZ);
    put_reg(fdt, riscv_virt_map[UART0].base, riscv_virt_map[UART0].size);
    fdt_property_string(fdt, "compatible", "ns16550a");
    fdt_end_node(fdt);
    put_device(fdt, riscv_virt(machine), "rtc", "google,goldfish-rtc", riscv_virt_map[RTC].base,
               riscv_virt_map[RTC].size, RTC_IRQ);
    for (unsigned i = VIRTIO_SLOTS; i--;)
        put_device(fdt, riscv_virt(machine), "virtio_mmio", "virtio,mmio",
                   riscv_virt_map[VIRTIO].base + i * riscv_virt_map[VIRTIO].size, riscv_virt_map[VIRTIO].size,
                   VIRTIO_IRQ + i);
    put_pci(fdt, riscv_virt(machine));
    put_controllers(fdt, riscv_virt(machine));
    put_aclint(fdt, riscv_virt(machine));
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
    g_autofree char *uart = g_strdup_printf("/soc/serial@%" PRIx64, riscv_virt_map[UART0].base);
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

static void put_memory_node(void *fdt, uint64_t base, uint64_t size, const unsigned *node)
{
    begin(fdt, "memory", base);
    fdt_property_string(fdt, "device_type", "memory");
    put_reg(fdt, base, size);
    if (node)
        fdt_property_u32(fdt, "numa-node-id", *node);
    fdt_end_node(fdt);
}

static void put_distances(void *fdt, const Numa *numa)
{
    g_autofree fdt32_t *cells = g_new(fdt32_t, 3 * numa->count * numa->count);
    fdt32_t *at = cells;
    for (unsigned from = 0; from < numa->count; from++) {
        for (unsigned to = 0; to < numa->count; to++) {
            *at++ = cpu_to_fdt32(from);
            *at++ = cpu_to_fdt32(to);
            *at++ = cpu_to_fdt32(numa_distance(numa, from, to));
        }
    }
    fdt_begin_node(fdt, "distance-map");
    fdt_property_string(fdt, "compatible", "numa-distance-map-v1");
    fdt_property(fdt, "distance-matrix", cells, 12 * numa->count * numa->count);
    fdt_end_node(fdt);
}

static void put_memory(void *fdt, const Machine *machine)
{
    const Numa *numa = machine->config.numa;
    uint64_t base = riscv_virt_map[DRAM].base;
    if (!numa) {
        put_memory_node(fdt, base, machine->config.ram_size, NULL);
        return;
    }
    for (unsigned n = 0; n < numa->count; base += numa->nodes[n++].size) {
        if (numa->nodes[n].size)
            put_memory_node(fdt, base, numa->nodes[n].size, &n);
    }
    if (numa->distances)
        put_distances(fdt, numa);
}

void *riscv_virt_make_fdt(RiscvVirt *v, uint64_t initrd, uint64_t initrd_size, uint64_t *size)
{
    Machine *machine = &v->machine;
    void *fdt = g_malloc0(RISCV_VIRT_FDT_ROOM);
    fdt_create(fdt, RISCV_VIRT_FDT_ROOM);
    fdt_finish_reservemap(fdt);
    fdt_begin_node(fdt, "");
    fdt_property_u32(fdt, "#address-cells", 2);
    fdt_property_u32(fdt, "#size-cells", 2);
    fdt_property_string(fdt, "compatible", "riscv-virtio");
    fdt_property_string(fdt, "model", "riscv-virtio,qemu");
    put_chosen(fdt, machine, initrd, initrd_size);
    put_syscon(fdt, "poweroff", "syscon-poweroff", 0x5555);
    put_syscon(fdt, "reboot", "syscon-reboot", 0x7777);
    put_memory(fdt, machine);
    put_cpus(fdt, machine);
    put_pmu(fdt, machine);
    const uint64_t half = riscv_virt_map[FLASH].size / 2;
    const uint64_t flash[] = { GUINT64_TO_BE(riscv_virt_map[FLASH].base), GUINT64_TO_BE(half),
                               GUINT64_TO_BE(riscv_virt_map[FLASH].base + half), GUINT64_TO_BE(half) };
    begin(fdt, "flash", riscv_virt_map[FLASH].base);
    fdt_property_u32(fdt, "bank-width", 4);
    fdt_property(fdt, "reg", flash, sizeof(flash));
    fdt_property_string(fdt, "compatible", "cfi-flash");
    fdt_end_node(fdt);
    begin(fdt, "fw-cfg", riscv_virt_map[FW_CFG].base);
    fdt_property(fdt, "dma-coherent", NULL, 0);
    put_reg(fdt, riscv_virt_map[FW_CFG].base, riscv_virt_map[FW_CFG].size);
    fdt_property_string(fdt, "compatible", "qemu,fw-cfg-mmio");
    fdt_end_node(fdt);
    put_soc(fdt, machine);
    fdt_end_node(fdt);
    fdt_finish(fdt);
    *size = fdt_totalsize(fdt);
    return fdt;
}
