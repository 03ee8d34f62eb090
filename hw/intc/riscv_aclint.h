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
/* The parts of the layout, which is MSWI and MTIMER one behind the other */
#define RISCV_ACLINT_MTIMER    0x4000
#define RISCV_ACLINT_MTIME     0xbff8
#define RISCV_ACLINT_SSWI_SIZE 0x4000

typedef struct RiscvAclint {
    Device dev;
    MemRegion mmio;
    uint32_t harts; /* property */
    uint32_t softint[RISCV_ACLINT_HARTS];
    uint64_t compare[RISCV_ACLINT_HARTS];
    uint64_t offset; /* of mtime from virtual time */
    Timer timer[RISCV_ACLINT_HARTS];
    Irq msip[RISCV_ACLINT_HARTS], mtip[RISCV_ACLINT_HARTS];
    /* A guest has set mtime. May be NULL. */
    void (*time_set)(void *opaque);
    void *time_set_opaque;
} RiscvAclint;

/* SSWI: a register for each hart that raises a supervisor software interrupt there. */
typedef struct RiscvAclintSswi {
    Device dev;
    MemRegion mmio;
    uint32_t harts; /* property */
    void (*raise)(void *opaque, unsigned hart);
    void *raise_opaque;
} RiscvAclintSswi;

extern const DeviceType riscv_aclint_type, riscv_aclint_sswi_type;
/* mtime now; any thread. opaque: RiscvAclint *. */
uint64_t riscv_aclint_time(void *opaque);

#endif
