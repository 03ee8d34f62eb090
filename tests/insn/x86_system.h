/*
 * Small worlds for tests of system instructions: real, protected and long mode with descriptor tables, stacks and
 * handlers that halt.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_X86_SYSTEM_H
#define TESTS_INSN_X86_SYSTEM_H

#include "x86_bare.h"

/* Physical addresses; paging, in long mode, is the identity. */
enum {
    IVT = 0,
    GDT = 0x1000,
    IDT = 0x2000,
    LDT = 0x3000,
    TSS_A = 0x4000,
    TSS_B = 0x4200,
    TSS_C = 0x4400,
    HANDLERS = 0x5000, /* vector n: hlt at + 16 n */
    CODE = 0x8000,
    CODE2 = 0x8800, /* where gates and tasks lead */
    DATA = 0x9000,
    STACK0 = 0xb000, /* tops */
    STACK1 = 0xc000,
    STACK3 = 0xd000,
    STACK_IST = 0xe000,
    PML4 = 0x10000,
    PDPT = 0x11000,
    PD = 0x12000,
    RAM_BYTES = 1 << 20,
};

/* Selectors, with the RPL that goes with their DPL. */
enum {
    CS32 = 0x08,
    DS32 = 0x10,
    CS32_3 = 0x1b,
    DS32_3 = 0x23,
    CS64 = 0x28,
    DS64_3 = 0x33, /* as sysret wants them: data, then code */
    CS64_3 = 0x3b,
    CS16 = 0x40,
    DS16 = 0x48,
    CONFORMING = 0x50,
    ABSENT = 0x58,
    READ_ONLY = 0x60,
    EXECUTE_ONLY = 0x68,
    CALL_GATE = 0x73,  /* to CS32, two parameters; DPL 3 */
    CALL_GATE0 = 0x78, /* likewise, DPL 0 */
    ABSENT_GATE = 0x83,
    TSS_A_SEL = 0x88, /* the present task; 16 bytes in long mode */
    TSS_B_SEL = 0x98,
    TSS_C_SEL = 0xa0,
    TASK_GATE = 0xab, /* to TSS_B */
    LDT_SEL = 0xb0,   /* 16 bytes in long mode */
    CODE1 = 0xc1,     /* DPL 1 */
    DATA1 = 0xc9,
    CALL_GATE64 = 0xd3, /* 16 bytes */
    CALL_GATE1 = 0xe3,  /* to CODE1, no parameters; DPL 3 */
    GDT_BYTES = 0xf0,
};

extern X86Bare *sys_bare;
extern X86State *sys_cpu;

void sys_put(uint64_t at, uint64_t v, unsigned bytes);
uint64_t sys_get(uint64_t at, unsigned bytes);
uint64_t sys_gate(uint16_t selector, uint32_t offset, unsigned type, unsigned dpl, bool present);
void sys_set_gate(unsigned vector, uint64_t value);
/* A segment register, as the GDT has it. */
void sys_load(unsigned segment, uint16_t selector);
void sys_load_data(uint16_t selector);
/* The descriptors; wide: as in long mode. */
void sys_make_gdt(bool wide);
/* Memory and registers anew, for code at CODE. */
void sys_real_mode(void);
void sys_protected_mode(unsigned cpl);
void sys_long_mode(unsigned cpl);
/* Run these instructions to a hlt. */
void sys_run(const char *bytes, size_t count);
#define BYTES(text) text, sizeof(text) - 1
/* The handler that we are in now; 255: none. */
unsigned sys_vector(void);
/* The frame's words, of 4 bytes in protected and of 8 in long mode; real mode: 2. */
uint64_t sys_word(unsigned n);
void sys_assert_error(unsigned want, uint32_t error);

typedef struct SysTest {
    const char *name;
    void (*test)(void);
} SysTest;
/* main: all of them on the JIT and on the interpreter. Ends with NULL. */
int sys_main(int argc, char **argv, const SysTest *tests);

#endif
