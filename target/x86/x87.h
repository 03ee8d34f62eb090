/*
 * x87: state and helpers (SDM volume 1, chapter 8). Registers are kept as the physical ones; what runs them is the
 * host's x87.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_X87_H
#define TARGET_X86_X87_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct X86State X86State;

typedef struct X86Fpu {
    uint8_t reg[8][16]; /* physical registers, ten bytes used */
    /* Looked at as one word by generated code: whose instructions are inline where the middle is 0. */
    uint8_t top, pending /* an unmasked exception waits */, unmasked /* some exception is */;
    uint8_t used;             /* bit n: physical register n is not empty */
    uint16_t control, status; /* without TOP, and without what CpuState.x87_flags and the host have */
    uint16_t opcode;
    uint64_t instruction, operand; /* pointers */
    uint8_t buffer[16];            /* a memory operand */
} X86Fpu;

enum {
    X87_EXCEPTIONS = 0x3f,
    X87_FLAGS = 0x7f, /* and stack fault */
    X87_ES = 0x80,
    X87_BUSY = 0x8000,
    X87_CONDITIONS = 0x4700,
    X87_CONTROL_DEFAULT = 0x37f
};

void x87_reset(X86State *s); /* as fninit does */
void x87_set_control(X86State *s, uint16_t control);
uint16_t x87_status(X86State *s); /* with TOP; what inline instructions have raised is merged */
void x87_set_status(X86State *s, uint16_t status);
/* Two bits a register, as fnstenv stores them. */
uint16_t x87_tags(const X86State *s);

/* HELPER_X87: opcode: low three bits of the escape byte, 8 bits of ModRM; short_operand: 16-bit forms of environments.
 * address: of the memory operand. */
uint64_t x87_execute(X86State *s, uint64_t opcode, uint64_t address, bool short_operand);
/* A waiting instruction is to begin while an unmasked exception is pending. False: #MF was raised. */
bool x87_wait(X86State *s);
/* Bytes of the memory operand; 0: an environment or a whole state. */
unsigned x87_operand_bytes(unsigned opcode);
bool x87_is_store(unsigned opcode);

/* ---- state_area.c ---- */
enum {
    STATE_FXSAVE,
    STATE_FXRSTOR,
    STATE_XSAVE,
    STATE_XRSTOR,
    STATE_XSAVEOPT,
    STATE_XSAVEC,
    STATE_XSAVES,
    STATE_XRSTORS
};
/* HELPER_STATE: what of these, the segment 8 bits up; wide: REX.W. */
uint64_t x86_state_area(X86State *s, unsigned what, uint64_t offset, bool wide);
/* x87 in the first 160 bytes of an FXSAVE area; MXCSR is left alone. wide: pointers have 64 bits. */
void x86_put_x87(X86State *s, uint8_t *area, bool wide);
void x86_get_x87(X86State *s, const uint8_t *area, bool wide);
/* Before anything is executed; all processors share what it makes. */
bool x87_init(GError **err);
/* At power-up. */
void x86_reset_float(X86State *s);
uint32_t x86_mxcsr(X86State *s);
/* False: #GP is to be raised. */
bool x86_set_mxcsr(X86State *s, uint32_t value);
/* After upper halves were written by C. */
void x86_find_dirty(X86State *s);

#endif
