/*
 * What all bare-metal RISC-V programs here share (RV32 and RV64, -M virt -bios none): CSR accesses, the console, the end, checks.
 * A program includes it once and defines trap(), secondary() and main() for start.S. -DEXIT=N is the exit status of a run that
 * passes, -DREFERENCE=1 leaves out what the reference emulator gets wrong.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_METAL_FRAME_H
#define TESTS_METAL_FRAME_H

#include <stdint.h>

typedef unsigned long ulong;
#define XLEN __riscv_xlen
#define NOINLINE __attribute__((noinline))
#define csr_read(csr) csr_read_(csr)
#define csr_read_(csr) ({ ulong v_; __asm__ volatile("csrr %0, " #csr : "=r"(v_)::"memory"); v_; })
#define csr_write(csr, v) csr_write_(csr, v)
#define csr_write_(csr, v) __asm__ volatile("csrw " #csr ", %0" ::"r"((ulong)(v)) : "memory")
#define csr_set(csr, v) csr_set_(csr, v)
#define csr_set_(csr, v) __asm__ volatile("csrs " #csr ", %0" ::"r"((ulong)(v)) : "memory")
#define csr_clear(csr, v) csr_clear_(csr, v)
#define csr_clear_(csr, v) __asm__ volatile("csrc " #csr ", %0" ::"r"((ulong)(v)) : "memory")
#define fence_i() __asm__ volatile("fence.i" ::: "memory")

enum { UART = 0x10000000, FINISHER = 0x100000, CLINT = 0x2000000, MTIMECMP = CLINT + 0x4000, MTIME = CLINT + 0xbff8 };
#ifndef EXIT
#define EXIT 0
#endif
#ifndef REFERENCE
#define REFERENCE 0
#endif

static inline void put(char c)
{
    while (!(*(volatile uint8_t *)(UART + 5) & 0x20))
        ;
    *(volatile uint8_t *)UART = c;
}
static inline void print(const char *s)
{
    while (*s)
        put(*s++);
}
static inline void print_hex(ulong v)
{
    for (int i = XLEN - 4; i >= 0; i -= 4)
        put("0123456789abcdef"[v >> i & 15]);
}
void finish(int status)
{
    *(volatile uint32_t *)FINISHER = status ? (uint32_t)status << 16 | 0x3333 : 0x5555;
    for (;;)
        ;
}
static int checks;
static inline void check(int ok, const char *what, ulong got)
{
    checks++;
    if (ok)
        return;
    print("FAILED check ");
    print_hex(checks);
    print(": ");
    print(what);
    print(", got ");
    print_hex(got);
    print("\n");
    finish(checks > 200 ? 200 : checks);
}

/* Ticks of 100 ns. */
static inline uint64_t mtime(void)
{
#if XLEN == 64
    return *(volatile uint64_t *)MTIME;
#else
    uint32_t high, low;
    do {
        high = *(volatile uint32_t *)(MTIME + 4);
        low = *(volatile uint32_t *)MTIME;
    } while (high != *(volatile uint32_t *)(MTIME + 4));
    return (uint64_t)high << 32 | low;
#endif
}

/* What start.S saves and restores around trap(). */
typedef struct Trap {
    ulong pc, x[31]; /* x[r - 1] is register r */
} Trap;

#endif
