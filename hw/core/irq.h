/*
 * Interrupt lines: a function and who it is for. A device has Irq members (outputs) that the machine connects to
 * inputs of an interrupt controller or CPU. An unconnected line may be raised; nothing happens.
 * Levels are set under the machine lock, except where the input says it takes any thread (CPU inputs do).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_IRQ_H
#define HW_CORE_IRQ_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Irq {
    void (*set)(void *opaque, int n, bool level);
    void *opaque;
    int n; /* input number at the receiver */
} Irq;

static inline void irq_set(const Irq *irq, bool level)
{
    if (irq->set)
        irq->set(irq->opaque, irq->n, level);
}

#endif
