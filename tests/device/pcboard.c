/*
 * A bare PC for device tests (see pcboard.h).
 * SPDX-License-Identifier: MIT
 */
#include "pcboard.h"
#include "hw/pci/q35.h"
#include <string.h>

Device *add_function(PcBoard *f, const DeviceType *type, const char *addr)
{
    GError *err = NULL;
    Device *dev = device_new(f->m->machine, type);
    DEVM_LOCKED(f->m, g_assert_true(device_set(dev, "addr", addr, &err)));
    DEVM_LOCKED(f->m, g_assert_true(device_set(dev, "multifunction", "on", &err)));
    DEVM_LOCKED(f->m, device_realize(dev, f->host->pci.bus, &err));
    g_assert_no_error(err);
    DEVM_LOCKED(f->m, device_reset(dev));
    return dev;
}

PcBoard *pc_new(const DeviceType *host_type)
{
    PcBoard *f = g_new0(PcBoard, 1);
    GError *err = NULL;
    f->m = devm_new();
    mem_ram_init(&f->ram, f->m->machine, "pc.ram", PCBOARD_RAM, &err);
    mem_rom_init(&f->rom, f->m->machine, "bios", 0x40000, NULL, NULL, &err);
    g_assert_no_error(err);
    memset(f->ram.host, 'R', PCBOARD_RAM);
    memset(f->rom.host, 'P', 0x40000);
    devm_map(f->m, &f->ram, 0);
    f->m->machine->ram = &f->ram;
    f->host = devm_add(f->m, host_type, NULL);
    if (host_type == &q35_host_type)
        ((Q35Host *)f->host)->below_4g = PCBOARD_RAM;
    devm_realize(f->m, f->host);
    DEVM_LOCKED(f->m, mem_add(&f->host->memory, 0xc0000, &f->rom, 0));
    return f;
}

void pc_free(PcBoard *f)
{
    devm_free(f->m);
    g_free(f);
}

uint32_t config(PcBoard *f, unsigned addr, unsigned offset, unsigned size)
{
    out(f->m, 0xcf8, 4, 1u << 31 | addr << 8 | (offset & 0xfc));
    return in(f->m, 0xcfc + offset % 4, size);
}

void set_config(PcBoard *f, unsigned addr, unsigned offset, unsigned size, uint32_t value)
{
    out(f->m, 0xcf8, 4, 1u << 31 | addr << 8 | (offset & 0xfc));
    out(f->m, 0xcfc + offset % 4, size, value);
}
