/*
 * APLIC: one interrupt domain (see riscv_aplic.c). The root domain is machine level and takes the wires:
 * riscv_aplic_set(opaque = root, source, level), from any thread, with or without the machine lock. Its child, if
 * there is one, is supervisor level: set its parent before it is realized, after the parent was. Outputs in direct
 * mode: irq[hart]; with messages: writes to IMSICs.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_RISCV_APLIC_H
#define HW_INTC_RISCV_APLIC_H

#include "hw/core/machine.h"

#define RISCV_APLIC_SOURCES 96 /* 1 to 96 */
#define RISCV_APLIC_WORDS   4
#define RISCV_APLIC_HARTS   64
#define RISCV_APLIC_SIZE    0x8000

typedef struct RiscvAplic {
    Device dev;
    MemRegion mmio;
    struct RiscvAplic *parent, *child;
    uint32_t harts;  /* property */
    unsigned guests; /* interrupt files of guests that messages may be for: numbers up to this */
    bool msi;        /* property: messages, not wires, to the harts */
    uint32_t domaincfg, genmsi;
    uint32_t msiaddr[4]; /* of the root: mmsiaddrcfg, mmsiaddrcfgh, smsiaddrcfg, smsiaddrcfgh */
    uint32_t sourcecfg[RISCV_APLIC_SOURCES + 1], target[RISCV_APLIC_SOURCES + 1];
    uint32_t pending[RISCV_APLIC_WORDS], enable[RISCV_APLIC_WORDS];
    uint32_t level[RISCV_APLIC_WORDS]; /* of the root: the wires */
    uint32_t idelivery[RISCV_APLIC_HARTS], iforce[RISCV_APLIC_HARTS], ithreshold[RISCV_APLIC_HARTS];
    /* What follows from these: */
    uint32_t topi[RISCV_APLIC_HARTS];
    bool raised[RISCV_APLIC_HARTS]; /* irq's level */
    GMutex own_lock, *lock;         /* the root's guards both domains; vCPUs' inputs and IMSICs are set under it */
    Irq irq[RISCV_APLIC_HARTS];
} RiscvAplic;

extern const DeviceType riscv_aplic_type;
void riscv_aplic_set(void *opaque, int source, bool level);

#endif
