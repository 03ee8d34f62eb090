/*
 * Generic event device: power button, sleep and reset registers of machines without ACPI's fixed hardware (see ged.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_GED_H
#define HW_ACPI_GED_H

#include "hw/core/machine.h"

/* Registers, from the base on. */
enum { GED_EVENTS = 0x000, GED_SLEEP_CONTROL = 0x200, GED_SLEEP_STATUS = 0x201, GED_RESET = 0x202, GED_SIZE = 0x203 };
enum { GED_EVENT_POWER = 1 << 1 };
enum { GED_RESET_VALUE = 0x42, GED_SLEEP_TYPE_S5 = 5 };

typedef struct Ged {
    Device dev;
    MemRegion mmio, events_io, control_io; /* mmio: GED_SIZE bytes, which the machine places */
    uint32_t events;                       /* that happened and were not read */
    Irq irq;
} Ged;

extern const DeviceType ged_type;

/* The power button was pressed. Machine lock. */
void ged_power_button(Ged *ged);

#endif
