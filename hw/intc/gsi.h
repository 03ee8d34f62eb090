/*
 * Global system interrupts of a PC: 0 to 15 are the ISA lines, which reach the 8259 pair (but for 2, where its slave
 * is) and the I/O APIC (line 0: its pin 2, as that of the HPET does that is 2); 16 to 23 the I/O APIC only.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_GSI_H
#define HW_INTC_GSI_H

#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"

#define GSI_COUNT 24

typedef struct Gsi {
    Irq pic[16], ioapic[GSI_COUNT];
    Machine *machine; /* its accelerator has the chips; or NULL */
} Gsi;

/* Either may be NULL: not there. */
void gsi_init(Gsi *gsi, I8259 *pic, IoApic *ioapic);
/* The chips are those of the machine's irqchip. */
void gsi_init_elsewhere(Gsi *gsi, Machine *machine);
Irq gsi_input(Gsi *gsi, unsigned n);

#endif
