/*
 * Generic event device (ACPI Specification 6.5, 5.6.9) with the sleep control, sleep status and reset registers of
 * hardware-reduced machines (4.8.3.7, 4.8.3.6). Reading the event register tells what happened and forgets it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/ged.h"

enum { SLEEP_TYPE_SHIFT = 2, SLEEP_TYPE_MASK = 7, SLEEP_ENABLE = 1 << 5 };

static uint64_t events_read(void *opaque, uint64_t offset, unsigned size)
{
    Ged *ged = opaque;
    uint32_t events = ged->events;
    ged->events = 0;
    irq_set(&ged->irq, false);
    return events;
}

static void events_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    guest_error(opaque, "write to the event register, which can only be read");
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ged *ged = opaque;
    unsigned type = value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK;
    switch (offset + GED_SLEEP_CONTROL) {
    case GED_SLEEP_CONTROL:
        if (value & SLEEP_ENABLE && type == GED_SLEEP_TYPE_S5)
            machine_request_shutdown(ged->dev.machine, SHUTDOWN_GUEST_OFF, 0);
        else if (value & SLEEP_ENABLE)
            guest_error(&ged->dev, "sleep type %u, but there is only %u", type, GED_SLEEP_TYPE_S5);
        break;
    case GED_RESET:
        if (value == GED_RESET_VALUE)
            machine_request_reset(ged->dev.machine, SHUTDOWN_GUEST_RESET);
        break;
    }
}

void ged_power_button(Ged *ged)
{
    ged->events |= GED_EVENT_POWER;
    irq_set(&ged->irq, true);
}

static const MemOps events_ops = { .read = events_read, .write = events_write, .min_size = 4, .max_size = 4 },
                    control_ops = { .read = control_read, .write = control_write, .min_size = 1, .max_size = 1 };

static bool realize(Device *dev, GError **err)
{
    Ged *ged = (Ged *)dev;
    mem_container_init(&ged->mmio, dev->machine, "acpi-ged", GED_SIZE);
    mem_io_init(&ged->events_io, dev->machine, "acpi-ged.events", 4, &events_ops, ged);
    mem_io_init(&ged->control_io, dev->machine, "acpi-ged.control", GED_SIZE - GED_SLEEP_CONTROL, &control_ops, ged);
    mem_add(&ged->mmio, GED_EVENTS, &ged->events_io, 0);
    mem_add(&ged->mmio, GED_SLEEP_CONTROL, &ged->control_io, 0);
    return true;
}

static void reset(Device *dev)
{
    Ged *ged = (Ged *)dev;
    ged->events = 0;
    irq_set(&ged->irq, false);
}

static void post_load(Device *dev)
{
    Ged *ged = (Ged *)dev;
    irq_set(&ged->irq, ged->events != 0);
}

static const StateField state[] = { STATE(Ged, events),
                                    STATE_SKIP(Ged, mmio, "wiring"),
                                    STATE_SKIP(Ged, events_io, "wiring"),
                                    STATE_SKIP(Ged, control_io, "wiring"),
                                    STATE_SKIP(Ged, irq, "wiring"),
                                    STATE_END };

const DeviceType ged_type = {
    .name = "acpi-ged",
    .desc = "ACPI generic event device",
    .category = "misc",
    .size = sizeof(Ged),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
