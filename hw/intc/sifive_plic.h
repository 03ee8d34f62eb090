/*
 * PLIC (see sifive_plic.c). Inputs: sifive_plic_set(opaque = SifivePlic *, source, level), from any
 * thread, with or without the machine lock. Outputs: irq[context]; contexts are
 * M and S of each hart in turn.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_SIFIVE_PLIC_H
#define HW_INTC_SIFIVE_PLIC_H

#include "hw/core/machine.h"

#define PLIC_SOURCES  96
#define PLIC_CONTEXTS 128
#define PLIC_SIZE     0x600000

typedef struct SifivePlic {
    Device dev;
    MemRegion mmio;
    uint32_t contexts; /* property */
    uint32_t priority[PLIC_SOURCES];
    uint32_t level[PLIC_SOURCES / 32], pending[PLIC_SOURCES / 32], claimed[PLIC_SOURCES / 32];
    uint32_t enable[PLIC_CONTEXTS][PLIC_SOURCES / 32];
    uint32_t threshold[PLIC_CONTEXTS];
    /* What follows from these, kept so that a change looks only at the contexts that it concerns: */
    uint64_t users[PLIC_SOURCES][PLIC_CONTEXTS / 64]; /* contexts that have the source enabled, a bit each */
    uint8_t best[PLIC_CONTEXTS];                      /* source that a claim would give */
    bool raised[PLIC_CONTEXTS];                       /* irq's level */
    uint64_t counts[PLIC_SOURCES];                    /* times that each became pending, for info irq */
    GMutex lock;                                      /* guards all of the above; vCPUs' inputs are set under it */
    Irq irq[PLIC_CONTEXTS];
} SifivePlic;

extern const DeviceType sifive_plic_type;
void sifive_plic_set(void *opaque, int source, bool level);

#endif
