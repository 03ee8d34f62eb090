/*
 * I/O APIC (Intel 82093AA, with the EOI register of version 0x20): 24 pins, messages to local APICs.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "hw/intc/apic.h"

#define IOAPIC_BASE UINT64_C(0xfec00000)
#define IOAPIC_PINS 24

typedef struct IoApic {
    Device dev;
    MemRegion mmio; /* 4 KiB, for IOAPIC_BASE; lock-free */
    ApicHub *hub;   /* set before realize: its eoi becomes ours */
    GMutex lock;    /* interrupt controller: guards what follows */
    uint8_t select, id;
    uint32_t levels; /* of the inputs */
    uint32_t irr;    /* edges that wait while masked */
    uint64_t pins[IOAPIC_PINS];
} IoApic;

extern const DeviceType ioapic_type;

/* Any thread, with or without the machine lock. */
Irq ioapic_input(IoApic *ioapic, unsigned pin);

#endif
