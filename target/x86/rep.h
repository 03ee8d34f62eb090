/*
 * x86: repeated string instructions.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_REP_H
#define TARGET_X86_REP_H

#include "target/x86/cpu.h"

typedef enum { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS, STRING_INS, STRING_OUTS } X86StringKind;
/* What is to be done: kind, log2 of the element's bytes, until which ZF it goes on, segment of the source. */
#define X86_STRING(kind, log2_bytes, repeat, segment) \
    ((kind) | (log2_bytes) << 4 | (repeat) << 8 | (uint32_t)(segment) << 16)

/* Execute a repeated instruction: until it is done, or raised, or something is to be looked at. True: it is to go on.
 * Registers are as they are architecturally after each element. address_size: of rCX, rSI, rDI. */
bool x86_string(X86State *s, uint32_t what, unsigned address_size);
/* in, out: may this program use the ports? False: raised. */
bool x86_port_allowed(X86State *s, uint16_t port, unsigned size);
uint32_t x86_port_in(X86State *s, uint16_t port, unsigned size);
void x86_port_out(X86State *s, uint16_t port, unsigned size, uint32_t value);

#endif
