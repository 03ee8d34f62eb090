/*
 * CPU hot-plug registers (see hotplug.h): how many processors there can be and what their APIC IDs are. There are no
 * events, as processors do not come or go.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/hotplug.h"
#include "hw/isa/isa.h"

enum { SELECTOR_DATA2 = 0, STATUS = 4, COMMAND = 5, DATA = 8 };
enum { STATUS_ENABLED = 1, COMMAND_NEXT_EVENT = 0, COMMAND_ID = 3 };

static bool selected(const AcpiCpuHotplug *hp)
{
    return hp->selector < hp->count;
}

static uint64_t cpus_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiCpuHotplug *hp = opaque;
    if (!selected(hp))
        return 0;
    if (offset == STATUS)
        return STATUS_ENABLED;
    if (offset == DATA && hp->command == COMMAND_NEXT_EVENT)
        return hp->selector;
    return offset == DATA && hp->command == COMMAND_ID ? hp->ids[hp->selector] : 0;
}

static void cpus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiCpuHotplug *hp = opaque;
    if (offset == SELECTOR_DATA2 && size == 4)
        hp->selector = value;
    else if (offset == COMMAND && selected(hp))
        hp->command = value;
}

static const MemOps cpus_ops = { .read = cpus_read, .write = cpus_write, .max_size = 4 };

static bool realize(Device *dev, GError **err)
{
    AcpiCpuHotplug *hp = (AcpiCpuHotplug *)dev;
    mem_io_init(&hp->ports, dev->machine, "acpi-cpu-hotplug", ACPI_CPU_HOTPLUG_PORTS, &cpus_ops, hp);
    mem_add(isa_ports(dev->machine), hp->base, &hp->ports, 0);
    return true;
}

static void reset(Device *dev)
{
    AcpiCpuHotplug *hp = (AcpiCpuHotplug *)dev;
    hp->selector = hp->command = 0;
}

static const StateField state[] = { STATE(AcpiCpuHotplug, selector),
                                    STATE(AcpiCpuHotplug, command),
                                    STATE_SKIP(AcpiCpuHotplug, ports, "wiring"),
                                    STATE_SKIP(AcpiCpuHotplug, base, "wiring"),
                                    STATE_SKIP(AcpiCpuHotplug, ids, "wiring"),
                                    STATE_SKIP(AcpiCpuHotplug, count, "wiring"),
                                    STATE_END };

const DeviceType acpi_cpu_hotplug_type = {
    .name = "acpi-cpu-hotplug",
    .desc = "ACPI CPU hot-plug registers",
    .category = "misc",
    .size = sizeof(AcpiCpuHotplug),
    .state = state,
    .realize = realize,
    .reset = reset,
};
