/*
 * Single instructions of a vCPU that another accelerator runs: translated by the target and interpreted.
 *
 * Nothing is kept from one to the next: no translation, no page in a TLB, no mark on memory that it has code. So it
 * does not matter what the other accelerator does to memory and page tables meanwhile. An instruction is not cheap.
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_TCG_STEP_H
#define ACCEL_TCG_STEP_H

#include "accel/accel.h"

typedef struct TcgCpu TcgCpu;

/* vcpu->accel begins with this, whatever the accelerator. */
typedef struct AccelCpu {
    TcgCpu *tcg; /* what accel/tcg has of the vCPU, while that executes it; else NULL */
} AccelCpu;

typedef enum {
    TCG_STEP_DONE,    /* the instruction, or its exception is about to be handled; of a repeated one, a piece */
    TCG_STEP_HALTED,  /* it waits for an interrupt behind it */
    TCG_STEP_REFUSED, /* it wants what the accelerator has: it is where it was, or a piece of it is done */
} TcgStep;

/* The accelerator has what is at this physical address: no device of the machine's is to be asked. */
typedef bool (*TcgElsewhere)(Vcpu *vcpu, uint64_t address);

TcgCpu *tcg_step_new(Vcpu *vcpu, TcgElsewhere elsewhere);
void tcg_step_free(TcgCpu *c); /* NULL is nothing */
/* The bytes at vcpu->state's pc, as many of *count as can be had without an exception. False: there is no memory. */
bool tcg_step_peek(TcgCpu *c, uint8_t *bytes, unsigned *count);
/* Execute the instruction at vcpu->state's pc. On the vCPU's thread; its context is that of the state. *hit: the point
 * of request (which may be NULL) that it accessed, or NULL. */
TcgStep tcg_step(TcgCpu *c, const DebugRequest *request, const DebugPoint **hit);
/* Call fn, in which the target may access memory as an instruction would. */
void tcg_step_call(TcgCpu *c, void (*fn)(CpuState *cs, void *opaque), void *opaque);

#endif
