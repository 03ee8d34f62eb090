/*
 * Interrupt controllers of a PC that its accelerator has (KVM: the kernel). Local APICs always; with has_chips the 8259
 * pair, the I/O APIC and the 8254, too. What is there is not made as a device: lines and messages come here.
 *
 * All functions may be called from any thread, with or without the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_IRQCHIP_H
#define HW_INTC_IRQCHIP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Machine Machine;
typedef struct IrqMessage IrqMessage;

typedef struct Irqchip {
    bool has_chips;
    /* has_chips: a global system interrupt (hw/intc/gsi.h). */
    void (*set_gsi)(Machine *machine, unsigned gsi, bool level);
    /* has_chips: the HPET has taken the 8254's interrupt over, or gives it back. */
    void (*pit_disable)(Machine *machine, bool off);
    /* A message as a device writes it to 0xfee00000 + ...; the upper half of address has destination bits 31:8 at its
     * bits 31:8, for x2APICs. */
    void (*message)(Machine *machine, uint64_t address, uint32_t data);
    /* Messages that are sent again and again: the accelerator keeps them ready. new: NULL where there is no room. set:
     * what it sends from now on; false: it cannot. send: after set. free: nobody sends it any more. NULL: not here. */
    IrqMessage *(*message_new)(Machine *machine);
    bool (*message_set)(IrqMessage *message, uint64_t address, uint32_t data);
    void (*message_send)(IrqMessage *message);
    void (*message_free)(IrqMessage *message);
    /* Not has_chips: pin of the I/O APIC sends this from now on (level: it waits for an end of interrupt). */
    void (*set_route)(Machine *machine, unsigned pin, uint64_t address, uint32_t data);
    /* Append what "info pic" prints. */
    void (*describe)(Machine *machine, GString *out);
    /* Set by the machine: what an accelerator without chips asks of those that are devices: the vector that the 8259
     * gives, and an end of a level-triggered interrupt. */
    int (*pic_acknowledge)(void *pic);
    void *pic;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
} Irqchip;

#endif
