/*
 * For bare-metal programs that go to lower privileges and back, and look at the traps that they cause. Code and data are the same in all
 * modes: pmp_open(), and identity() for translation.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_METAL_MODES_H
#define TESTS_METAL_MODES_H

#include "frame.h"

enum { U = 0, S = 1, M = 3 };
#define INTERRUPT ((ulong)1 << (XLEN - 1))

static volatile ulong trap_cause, trap_tval, trap_pc, trap_count;
static volatile ulong interrupts[16]; /* how many of each */
static volatile ulong order[16], taken; /* numbers of the interrupts, in order */

static void is(ulong got, ulong want, const char *what)
{
    if (got != want) {
        print("wanted ");
        print_hex(want);
        print("\n");
    }
    check(got == want, what, got);
}

/* Exceptions skip the instruction, or return from a function that could not be fetched; interrupts are turned off in mie. ecall leads to
 * machine mode. */
void trap(Trap *t)
{
    ulong cause = csr_read(mcause);
    if (cause & INTERRUPT) {
        cause &= 15;
        interrupts[cause]++;
        order[taken++ & 15] = cause;
        csr_clear(mie, 1ul << cause);
        return;
    }
    if (cause >= 8 && cause <= 11) {
        csr_set(mstatus, M << 11);
        t->pc += 4;
        return;
    }
    trap_cause = cause;
    trap_tval = csr_read(mtval);
    trap_pc = t->pc;
    trap_count++;
    if (cause == 1 || cause == 12)
        t->pc = t->x[0];
    else
        t->pc += (*(uint16_t *)t->pc & 3) == 3 ? 4 : 2;
}
void secondary(ulong hart)
{
    (void)hart;
}

static inline void to_machine(void)
{
    __asm__ volatile("ecall" ::: "memory");
}
/* From machine mode on in this one. */
static inline void to_mode(int mode)
{
    csr_clear(mstatus, 3 << 11 | 1 << 7); /* MPIE: interrupts stay off in machine mode */
    csr_set(mstatus, mode << 11);
    __asm__ volatile("la t0, 1f\n csrw mepc, t0\n mret\n 1:" ::: "t0", "memory");
}
/* The statement in a mode, back in machine mode afterwards. */
#define IN(mode, statement) \
    do {                    \
        to_mode(mode);      \
        statement;          \
        to_machine();       \
    } while (0)
/* The cause of the exception that the statement raises; -1: none. */
#define CAUSE_OF(statement)      \
    ({                           \
        trap_count = 0;          \
        trap_cause = (ulong)-1;  \
        statement;               \
        trap_cause;              \
    })

static inline void pmp_open(void)
{
    csr_write(pmpaddr0, ~0ul);
    csr_write(pmpcfg0, 0x1f);
}

#if XLEN == 64
#define SATP_IDENTITY ((ulong)8 << 60)
enum { ROOT = 512, ROOT_SHIFT = 30 };
#else
#define SATP_IDENTITY ((ulong)1 << 31)
enum { ROOT = 1024, ROOT_SHIFT = 22 };
#endif
/* satp for a table of large pages that map every address to itself; user: for user mode */
static inline ulong identity(int user)
{
    static ulong root[ROOT] __attribute__((aligned(4096)));
    for (ulong i = 0; i < (XLEN == 64 ? 4 : ROOT); i++)
        root[i] = i << (ROOT_SHIFT - 2) | (user ? 0xdf : 0xcf);
    if (XLEN == 64)
        root[ROOT - 2] = root[2]; /* 0xffffffff80000000: RAM, too */
    return SATP_IDENTITY | (ulong)root >> 12;
}

#endif
