/*
 * The ISA bus: 16 interrupt lines and a space of 64 KiB ports.
 *
 * A bridge (PIIX3, ICH9 LPC, or isabus-bridge where there is no PCI) embeds an IsaBus; its Bus has kind "isa". A device
 * on it takes its lines from isa_irq and places its ports with isa_map_ports in realize; which ones are its properties
 * (iobase=, irq=). Lines are shared: one is up while any device holds it up. They may be set from any thread, with or
 * without the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ISA_ISA_H
#define HW_ISA_ISA_H

#include "hw/core/machine.h"

#define ISA_IRQS  16
#define ISA_PORTS 0x10000

typedef struct IsaBus {
    Bus *bus;
    MemRegion *io, *memory; /* where ports and memory of devices are placed; memory may be NULL */
    Irq irqs[ISA_IRQS];     /* what the board connects the lines to; may be set after devices were added */
    GMutex lock;            /* leaf but for what irqs lead to: guards the sources' levels */
    GPtrArray *sources;     /* what isa_irq gave out */
} IsaBus;

/* Make the bus (before this, io and memory are set: the machine's io_root and root if they are NULL), and end it. name:
 * "isa.0". */
void isa_bus_init(IsaBus *isa, Device *owner, const char *name);
void isa_bus_destroy(IsaBus *isa);

/* machine->io_root, which has its 64 KiB from now on. */
MemRegion *isa_ports(Machine *machine);

/* An input of line n for one more device. */
Irq isa_irq(Bus *bus, unsigned n);
/* Place region at port. False and *err if it does not fit below 64 KiB. prop names the property that said so. */
bool isa_map_ports(Bus *bus, uint64_t port, MemRegion *region, const char *prop, GError **err);
/* True if n is a line; else *err says so. */
bool isa_check_irq(uint64_t n, const char *prop, GError **err);

/* A board's ISA bus without a PCI bridge. */
typedef struct IsaBridge {
    Device dev;
    IsaBus isa;
} IsaBridge;
extern const DeviceType isabus_bridge_type;

#endif
