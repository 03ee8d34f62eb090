/*
 * IMSIC: one interrupt file of one hart (see riscv_imsic.c). Output: irq, to the hart's external interrupt. Messages
 * come as writes to its page, from any thread; the hart's CSRs reach its registers by riscv_imsic_access.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_RISCV_IMSIC_H
#define HW_INTC_RISCV_IMSIC_H

#include "hw/core/machine.h"

#define RISCV_IMSIC_SIZE 0x1000
#define RISCV_IMSIC_IDS  256 /* identities, of which 0 is none */

typedef struct RiscvImsic {
    Device dev;
    MemRegion mmio;
    GMutex lock; /* guards what follows; the hart's input is set under it */
    uint32_t delivery, threshold;
    uint32_t pending[RISCV_IMSIC_IDS / 32], enable[RISCV_IMSIC_IDS / 32];
    Irq irq;
} RiscvImsic;

extern const DeviceType riscv_imsic_type;
/* As RiscvFileAccess (target/riscv/aia.h) has it. opaque: RiscvImsic *. */
void riscv_imsic_access(void *opaque, unsigned reg, unsigned xlen, bool write, uint64_t value, uint64_t mask,
                        uint64_t *old);
/* Is this the page of an interrupt file? */
bool riscv_imsic_owns(const MemRegion *region);

#endif
