/*
 * What the host bridges of PCs share (see pc_host.h): PCI configuration mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2),
 * reset control (82371SB data sheet, 2.5.5), the views of memory that PAM and SMRAM registers choose from.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/pc_host.h"
#include "hw/core/ram_access.h"
#include "hw/isa/isa.h"
#include <string.h>

enum { ADDRESS_ENABLE = 1u << 31, RESET_CONTROL = 1, RESET_SYSTEM = 2, RESET_CPU = 4 };
enum { PAM_BASE = 0xc0000, PAM_SIZE = 0x4000, PAM_LAST_BASE = 0xf0000, PAM_LAST_SIZE = 0x10000 };
enum { PAM_PCI, PAM_ROM, PAM_MIXED, PAM_RAM };
enum { VGA_BASE = 0xa0000, VGA_SIZE = 0x20000, LEGACY_SIZE = 0x60000 };
#define HIGH_SMRAM UINT64_C(0xfeda0000)
enum { BEHIND_RAM = -1, OVER_RAM = 1, OVER_VGA = 2 }; /* priorities */

/* ---- configuration ports ---- */

static uint64_t address_read(void *opaque, uint64_t offset, unsigned size)
{
    const PcHost *host = opaque;
    if (offset == RESET_CONTROL)
        return host->reset_control;
    return offset || size != 4 ? UINT32_MAX : host->address;
}

static void write_reset_control(PcHost *host, uint8_t value)
{
    if (value & RESET_CPU)
        machine_request_reset(host->dev.machine, SHUTDOWN_GUEST_RESET);
    else
        host->reset_control = value & RESET_SYSTEM;
}

/* Only a write of four bytes is for the address; the byte at cf9 is another register. */
static void address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcHost *host = opaque;
    if (offset == RESET_CONTROL && size == 1)
        write_reset_control(host, value);
    else if (!offset && size == 4)
        host->address = value & ~(0x7f000000u | 3);
}

/* There is bus 0 only. */
static bool selected(const PcHost *host)
{
    return host->address & ADDRESS_ENABLE && !(host->address >> 16 & 0xff);
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    PcHost *host = opaque;
    if (!selected(host))
        return UINT32_MAX;
    return pci_config_read(&host->pci, host->address >> 8 & 0xff, (host->address & 0xfc) + offset, size);
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcHost *host = opaque;
    if (selected(host))
        pci_config_write(&host->pci, host->address >> 8 & 0xff, (host->address & 0xfc) + offset, value, size);
}

static const MemOps address_ops = { .read = address_read, .write = address_write, .max_size = 4 },
                    data_ops = { .read = data_read, .write = data_write, .max_size = 4, .unaligned = true };

/* ---- shadow RAM ---- */

static uint64_t mixed_read(void *opaque, uint64_t offset, unsigned size)
{
    const PamArea *area = opaque;
    uint64_t value;
    as_load(&area->host->pci_space, area->base + offset, size, &value);
    return value;
}

static void mixed_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const PamArea *area = opaque;
    MemRegion *ram = area->host->dev.machine->ram;
    if (area->base + offset + size > ram->size)
        return;
    ram_put(ram->host + area->base + offset, size, value);
    ram_written(ram, area->base + offset, size);
}

static const MemOps mixed_ops = { .read = mixed_read, .write = mixed_write };

static void init_pam(PcHost *host, unsigned n)
{
    Machine *machine = host->dev.machine;
    PamArea *area = &host->pam[n];
    uint64_t size = n < PAM_AREAS - 1 ? PAM_SIZE : PAM_LAST_SIZE;
    area->host = host;
    area->base = n < PAM_AREAS - 1 ? PAM_BASE + n * PAM_SIZE : PAM_LAST_BASE;
    mem_alias_init(&area->views[PAM_PCI], machine, "pam-pci", &host->memory, area->base, size);
    mem_alias_init(&area->views[PAM_ROM], machine, "pam-rom", machine->ram, area->base, size);
    mem_alias_init(&area->views[PAM_RAM], machine, "pam-ram", machine->ram, area->base, size);
    mem_io_init(&area->views[PAM_MIXED], machine, "pam-mixed", size, &mixed_ops, area);
    area->views[PAM_ROM].readonly = true;
    for (unsigned mode = 0; mode < 4; mode++) {
        area->views[mode].enabled = mode == PAM_PCI;
        mem_add(&machine->root, area->base, &area->views[mode], OVER_RAM);
    }
}

/* PAM0's upper half is for 0xf0000; the others have two areas each, the lower half the lower one. */
void pc_host_set_pam(PcHost *host, const uint8_t registers[PAM_REGISTERS])
{
    memmove(host->pam_registers, registers, PAM_REGISTERS);
    memory_begin(host->dev.machine);
    for (unsigned n = 0; n < PAM_AREAS; n++) {
        bool last = n == PAM_AREAS - 1;
        unsigned mode = (last ? registers[0] >> 4 : registers[1 + n / 2] >> n % 2 * 4) & 3;
        for (unsigned i = 0; i < 4; i++)
            mem_set_enabled(&host->pam[n].views[i], i == mode);
    }
    memory_commit(host->dev.machine);
}

void pc_host_reset_pam(PcHost *host, uint8_t registers[PAM_REGISTERS])
{
    if (host->dev.machine->waking)
        memcpy(registers, host->pam_registers, PAM_REGISTERS);
    pc_host_set_pam(host, registers);
}

/* ---- system management RAM ---- */

static uint64_t hole_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static void hole_write(void *opaque, uint64_t offset, uint64_t value, unsigned size) {}

static const MemOps hole_ops = { .read = hole_read, .write = hole_write };

static void init_smram(PcHost *host)
{
    Machine *machine = host->dev.machine;
    MemRegion *ram = machine->ram;
    mem_container_init(&host->smm_root, machine, "smm", UINT64_MAX);
    mem_alias_init(&host->smm_memory, machine, "smm-memory", &machine->root, 0, UINT64_MAX);
    mem_alias_init(&host->smm_low, machine, "smram-low", ram, VGA_BASE, VGA_SIZE);
    mem_alias_init(&host->smm_high, machine, "smram-high", ram, VGA_BASE, VGA_SIZE);
    mem_alias_init(&host->smm_tseg, machine, "smram-tseg", ram, 0, 0);
    mem_add(&host->smm_root, 0, &host->smm_memory, 0);
    mem_add(&host->smm_root, VGA_BASE, &host->smm_low, OVER_VGA);
    mem_add(&host->smm_root, HIGH_SMRAM, &host->smm_high, OVER_VGA);
    mem_add(&host->smm_root, 0, &host->smm_tseg, OVER_VGA);
    mem_alias_init(&host->vga, machine, "vga-window", &host->memory, VGA_BASE, VGA_SIZE);
    mem_alias_init(&host->smram_open, machine, "smram-open", ram, VGA_BASE, VGA_SIZE);
    mem_io_init(&host->tseg_hole, machine, "tseg-hole", 0, &hole_ops, host);
    mem_add(&machine->root, VGA_BASE, &host->vga, OVER_RAM);
    mem_add(&machine->root, VGA_BASE, &host->smram_open, OVER_VGA);
    mem_add(&machine->root, 0, &host->tseg_hole, OVER_RAM);
    pc_host_set_smram(host, false, false, false, 0, 0);
    as_init(&host->smm, machine, &host->smm_root, "smm");
    host->smm.told = &machine->memory; /* processors run in either */
}

static void place(MemRegion *region, uint64_t base, uint64_t size)
{
    region->alias_offset = base;
    region->size = size;
    mem_set_addr(region, base);
    mem_set_enabled(region, size);
}

void pc_host_set_smram(PcHost *host, bool smm, bool open, bool high, uint64_t tseg_base, uint64_t tseg_size)
{
    memory_begin(host->dev.machine);
    mem_set_enabled(&host->smm_low, smm && !high);
    mem_set_enabled(&host->smm_high, smm && high);
    mem_set_enabled(&host->smram_open, open);
    place(&host->smm_tseg, tseg_base, tseg_size);
    place(&host->tseg_hole, tseg_base, tseg_size);
    memory_commit(host->dev.machine);
}

/* ---- life cycle ---- */

PcHost *pc_host_of(PciDevice *function)
{
    return (PcHost *)function->pci->bus->owner;
}

bool pc_host_realize(PcHost *host, const char *bus_name, const DeviceType *function_type, GError **err)
{
    Device *dev = &host->dev;
    Machine *machine = dev->machine;
    mem_container_init(&host->memory, machine, "pci", UINT64_MAX);
    mem_io_init(&host->legacy, machine, "pci-legacy", LEGACY_SIZE, &hole_ops, host);
    mem_add(&host->memory, VGA_BASE, &host->legacy, BEHIND_RAM);
    mem_add(&machine->root, 0, &host->memory, BEHIND_RAM);
    as_init(&host->pci_space, machine, &host->memory, "pci");
    mem_io_init(&host->config_address, machine, "pci-conf-idx", 4, &address_ops, host);
    mem_io_init(&host->config_data, machine, "pci-conf-data", 4, &data_ops, host);
    mem_add(isa_ports(machine), 0xcf8, &host->config_address, 0);
    mem_add(isa_ports(machine), 0xcfc, &host->config_data, 0);
    for (unsigned n = 0; n < PAM_AREAS; n++)
        init_pam(host, n);
    init_smram(host);
    host->pci.memory = &host->memory;
    host->pci.io = isa_ports(machine);
    host->pci.msi = true;
    pci_bus_init(&host->pci, dev, bus_name);
    Device *function = device_new(machine, function_type);
    if (!device_set(function, "addr", "0.0", err) || !device_realize(function, host->pci.bus, err)) {
        device_free(function);
        return false;
    }
    host->function = (PciDevice *)function;
    return true;
}

static void unrealize(Device *dev)
{
    pci_bus_destroy(&((PcHost *)dev)->pci);
}

static void reset(Device *dev)
{
    PcHost *host = (PcHost *)dev;
    host->address = 0;
    host->reset_control = 0;
}

static const StateField state[] = { STATE(PcHost, address),
                                    STATE(PcHost, reset_control),
                                    STATE_SKIP(PcHost, pci, "follows from its functions"),
                                    STATE_SKIP(PcHost, memory, "wiring"),
                                    STATE_SKIP(PcHost, legacy, "wiring"),
                                    STATE_SKIP(PcHost, pci_space, "wiring"),
                                    STATE_SKIP(PcHost, config_address, "wiring"),
                                    STATE_SKIP(PcHost, config_data, "wiring"),
                                    STATE_SKIP(PcHost, pam_registers, "function 00.0 has them"),
                                    STATE_SKIP(PcHost, pam, "follows from function 00.0"),
                                    STATE_SKIP(PcHost, smm, "wiring"),
                                    STATE_SKIP(PcHost, smm_root, "wiring"),
                                    STATE_SKIP(PcHost, smm_memory, "wiring"),
                                    STATE_SKIP(PcHost, smm_low, "follows from function 00.0"),
                                    STATE_SKIP(PcHost, smm_high, "follows from function 00.0"),
                                    STATE_SKIP(PcHost, smm_tseg, "follows from function 00.0"),
                                    STATE_SKIP(PcHost, vga, "wiring"),
                                    STATE_SKIP(PcHost, smram_open, "follows from function 00.0"),
                                    STATE_SKIP(PcHost, tseg_hole, "follows from function 00.0"),
                                    STATE_SKIP(PcHost, function, "wiring"),
                                    STATE_END };

const DeviceType pc_host_type = {
    .name = "pc-pcihost",
    .desc = "what host bridges of PCs share",
    .size = sizeof(PcHost),
    .state = state,
    .unrealize = unrealize,
    .reset = reset,
};
