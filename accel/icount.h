/*
 * -icount: virtual time is the number of instructions that all vCPUs have executed, shifted left, and what was skipped
 * while all of them waited. One thread executes (an accelerator's), in portions that end at the next timer's deadline;
 * it fires timers between two instructions, in order of their deadlines. So a guest without input runs the same each
 * time.
 *
 * Functions are the executing thread's unless they say otherwise.
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_ICOUNT_H
#define ACCEL_ICOUNT_H

#include "accel/vcpu.h"
#include "util/options.h"

typedef struct CpuState CpuState;
typedef struct Icount Icount;

/* [shift=]0..10|auto[,align=][,sleep=]. Makes machine->icount, which drives the machine's clocks. Before any timer is
 * armed. */
bool icount_init(Machine *machine, Opts *opts, GError **err);
void icount_free(Machine *machine); /* none is fine */

/* This thread executes from now on. */
void icount_adopt(Icount *ic);
/* Is a timer due? Fire those; no vCPU is current after that. */
bool icount_due(const Icount *ic);
void icount_fire(Icount *ic);
/* How many instructions may be executed until the next timer, from 1 to most. */
int64_t icount_budget(Icount *ic, int64_t most);
/* Between these cs executes; its cs->icount is the budget that is left. The latter returns how many it has executed. */
void icount_begin(Icount *ic, CpuState *cs, int64_t budget);
int64_t icount_end(Icount *ic);
/* In a piece of straight code (tcg/ir.h, ir_count_insns): leave to C before the instruction at cs->pc. */
void icount_cut(Icount *ic);
/* Instructions that cs has executed since icount_begin, without the one at cs->pc. */
int64_t icount_since_begin(const Icount *ic, const CpuState *cs);

/* All vCPUs wait: skip to the next timer, or sleep until it is its time or somebody wants something of the runner's
 * group. */
void icount_wait(Icount *ic, Vcpu *runner);
/* The wait is over, as a vCPU has something to do. */
void icount_woken(Icount *ic);
/* The machine has been stopped, and goes on. */
void icount_resumed(Icount *ic);
/* Now and then: shift=auto and align=on. May sleep. */
void icount_pace(Icount *ic, Vcpu *runner);

/* For info icount. Any thread. */
void icount_info(const Icount *ic, GString *out);

#endif
