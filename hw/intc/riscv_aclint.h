/*
 * ACLINT: machine software interrupts and machine timers of up to RISCV_ACLINT_HARTS harts, in the layout of the SiFive
 * CLINT. Connect msip[] and mtip[] to the harts; riscv_aclint_time is their `time`.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_RISCV_ACLINT_H
#define HW_INTC_RISCV_ACLINT_H

#include "hw/core/machine.h"

#define RISCV_ACLINT_HARTS 64
#define RISCV_ACLINT_SIZE  0x10000
#define RISCV_ACLINT_HZ    10000000

typedef struct RiscvAclint {
    Device dev;
    MemRegion mmio;
    uint32_t harts; /* property */
    uint32_t softint[RISCV_ACLINT_HARTS];
    uint64_t compare[RISCV_ACLINT_HARTS];
    uint64_t offset; /* of mtime from virtual time */
    Timer timer[RISCV_ACLINT_HARTS];
    Irq msip[RISCV_ACLINT_HARTS], mtip[RISCV_ACLINT_HARTS];
} RiscvAclint;

extern const DeviceType riscv_aclint_type;
/* mtime now; any thread. opaque: RiscvAclint *. */
uint64_t riscv_aclint_time(void *opaque);

#endif
