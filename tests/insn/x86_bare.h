/*
 * A machine with memory and one x86_64 vCPU, and nothing else: tests set registers and memory and let it run.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_X86_BARE_H
#define TESTS_INSN_X86_BARE_H

#include "accel/tcg/tcg.h"
#include "target/x86/cpu.h"

typedef struct X86Bare {
    Machine *machine;
    MemRegion ram; /* from address 0 on */
    Vcpu *vcpu;
    X86State *s;
    uint8_t *host; /* the memory */
} X86Bare;

/* An error ends the process. */
X86Bare *x86_bare_new(bool jit, uint64_t ram_bytes);
void x86_bare_free(X86Bare *b);
/* Memory was written by the test, where there was code. */
void x86_bare_code_written(X86Bare *b, uint64_t address, uint64_t bytes);
static inline void x86_bare_put(X86Bare *b, uint64_t at, uint64_t v, unsigned bytes)
{
    __builtin_memcpy(b->host + at, &v, bytes);
}
static inline uint64_t x86_bare_get(const X86Bare *b, uint64_t at, unsigned bytes)
{
    uint64_t v = 0;
    __builtin_memcpy(&v, b->host + at, bytes);
    return v;
}
/* A segment descriptor; limit and attributes (DESC_*) as they stand in it. */
uint64_t x86_bare_descriptor(uint32_t base, uint32_t limit, uint16_t attributes);

/* On the vCPU's thread, between tcg_enter and tcg_leave: go on until arrived(pc), a hlt, or for so many stretches of
 * code. False: none of the first two. */
bool x86_bare_go(X86Bare *b, bool (*arrived)(uint64_t pc), unsigned most);
/* The same from any thread, until a hlt. */
bool x86_bare_run(X86Bare *b);

#endif
