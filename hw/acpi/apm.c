/*
 * Advanced power management ports (see apm.h). The status port is memory for software.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/apm.h"
#include "hw/isa/isa.h"

enum { APM_CONTROL = 0xb2 };

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    const Apm *apm = opaque;
    return offset ? apm->status : apm->control;
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Apm *apm = opaque;
    if (offset) {
        apm->status = value;
    } else {
        apm->control = value;
        apm->written(apm->opaque, value);
    }
}

static const MemOps apm_ops = { .read = apm_read, .write = apm_write, .max_size = 2, .impl_max = 1 };

void apm_init(Apm *apm, Machine *machine, void (*written)(void *opaque, uint8_t value), void *opaque)
{
    apm->written = written;
    apm->opaque = opaque;
    mem_io_init(&apm->ports, machine, "apm-io", 2, &apm_ops, apm);
    mem_add(isa_ports(machine), APM_CONTROL, &apm->ports, 0);
}
