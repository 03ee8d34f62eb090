/*
 * Global system interrupts of a PC (see gsi.h; ACPI 6.4, 5.2.13).
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/gsi.h"
#include "hw/intc/irqchip.h"

enum { TIMER_GSI = 0, TIMER_PIN = 2 };

static void set(void *opaque, int n, bool level)
{
    const Gsi *gsi = opaque;
    if (gsi->machine) {
        gsi->machine->irqchip->set_gsi(gsi->machine, (unsigned)n, level);
        return;
    }
    if (n < 16)
        irq_set(&gsi->pic[n], level);
    irq_set(&gsi->ioapic[n], level);
}

void gsi_init(Gsi *gsi, I8259 *pic, IoApic *ioapic)
{
    *gsi = (Gsi){ 0 };
    for (unsigned n = 0; n < GSI_COUNT; n++) {
        if (pic && n < 16 && n != 2)
            gsi->pic[n] = i8259_input(pic, n);
        if (ioapic)
            gsi->ioapic[n] = ioapic_input(ioapic, n == TIMER_GSI ? TIMER_PIN : n);
    }
}

void gsi_init_elsewhere(Gsi *gsi, Machine *machine)
{
    *gsi = (Gsi){ .machine = machine };
}

Irq gsi_input(Gsi *gsi, unsigned n)
{
    g_assert(n < GSI_COUNT);
    return (Irq){ set, gsi, n };
}
