/*
 * The PC's pair of 8259A interrupt controllers, with edge/level control (ports 20, a0, 4d0).
 *
 *     I8259 *pic = device_new(machine, &i8259_type);  device_realize(pic, NULL, err)  (it maps its ports)
 *     pic->intr = input of the processor or of the local APICs (apic_extint_input)
 *     Irq line = i8259_input(pic, 4);
 * Inputs may be set, and interrupts acknowledged, on any thread with or without the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_I8259_H
#define HW_INTC_I8259_H

#include "hw/core/machine.h"

typedef struct I8259Chip {
    uint8_t irr, imr, isr, lines; /* request, mask, in service, input levels */
    uint8_t elcr;                 /* inputs that are level-triggered */
    uint8_t base;                 /* vector of input 0 */
    uint8_t lowest;               /* input whose priority is lowest */
    uint8_t init_step;            /* 2 to 4: ICW2 to ICW4 comes next; 0: initialised */
    uint8_t icw1, icw4;
    uint8_t read_isr, special_mask, rotate_auto, poll;
} I8259Chip;

typedef struct I8259 {
    Device dev;
    MemRegion ports[2], elcr;
    GMutex lock;        /* interrupt controller: guards chips; intr is set under it */
    I8259Chip chips[2]; /* master, slave */
    Irq intr;
} I8259;

extern const DeviceType i8259_type;

Irq i8259_input(I8259 *pic, unsigned n); /* 0 to 15, without 2 */
/* INTA: the vector of the interrupt that is taken now (a spurious one if it has gone). */
int i8259_acknowledge(I8259 *pic);

#endif
