/*
 * Ports of a PC's board: 80 (POST codes, delays), 92 (A20 gate, fast reset), f0 (floating-point error).
 *
 *     PcPorts *ports = device_new(machine, &pc_ports_type);  device_realize(ports, NULL, err)
 *     ports->a20 = ..., x86_set_a20 of all processors;  x86_set_ferr(bootstrap processor, pc_ports_ferr_input(ports))
 *     ports->fpu_irq = IRQ 13;  ports->ignne = ..., x86_set_ignne
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ISA_PC_PORTS_H
#define HW_ISA_PC_PORTS_H

#include "hw/core/machine.h"

typedef struct PcPorts {
    Device dev;
    MemRegion post, control, coprocessor;
    uint8_t port92; /* A20 (bit 1) is open after reset */
    Irq a20, fpu_irq, ignne;
} PcPorts;

extern const DeviceType pc_ports_type;

/* FERR#: any thread. */
Irq pc_ports_ferr_input(PcPorts *ports);

#endif
