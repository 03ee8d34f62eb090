/*
 * Debug triggers of a hart: see trigger.c.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_TRIGGER_H
#define TARGET_RISCV_TRIGGER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct RiscvState RiscvState;
typedef struct CpuState CpuState;

enum { RISCV_TRIGGERS = 4 };

typedef struct RiscvTriggers {
    struct RiscvTrigger {
        uint8_t type;    /* of tdata1, */
        uint64_t tdata1; /* without it */
        uint64_t tdata2, tdata3;
    } t[RISCV_TRIGGERS];
    uint64_t select;
    uint64_t tcontrol, mcontext, scontext;
    bool insns[6]; /* by mode (riscv_full_mode): does each instruction need a look? */
    bool traps;    /* does each trap? */
} RiscvTriggers;

void riscv_trigger_reset(RiscvState *s);
uint64_t riscv_trigger_tdata1(RiscvState *s);
void riscv_trigger_set_tdata1(RiscvState *s, uint64_t v);
uint64_t riscv_trigger_tdata2(RiscvState *s);
void riscv_trigger_set_tdata2(RiscvState *s, uint64_t v);
uint64_t riscv_trigger_tdata3(RiscvState *s);
void riscv_trigger_set_tdata3(RiscvState *s, uint64_t v);
uint64_t riscv_trigger_tinfo(RiscvState *s);
/* A trap into machine mode was taken; a return from it. */
void riscv_trigger_enter_machine(RiscvState *s);
void riscv_trigger_leave_machine(RiscvState *s);

/* Before the instruction `bits` of so many bytes at pc; raises a breakpoint exception if a trigger fires. */
void riscv_trigger_insn(RiscvState *s, uint32_t bits, unsigned length);
/* Target.watch */
bool riscv_trigger_access(CpuState *cs, uint64_t va, unsigned size, unsigned access, const uint64_t *value);
/* May an access to this page fire a trigger? */
bool riscv_trigger_page(const RiscvState *s, uint64_t va);
/* This trap was taken from mode `from`: does a trigger fire before its handler's first instruction? */
bool riscv_trigger_trap(RiscvState *s, unsigned code, bool interrupt, unsigned from);

#endif
