/*
 * Bare-metal tests of x86's modes on 32-bit processors: what is tested runs by run() or run_real(), as a Context, up to
 * the exception or interrupt that ends it; that, too, is a Context then.
 * SPDX-License-Identifier: MIT
 */
#ifndef METAL_X86_MODES_H
#define METAL_X86_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Context {
    uint32_t di, si, bp, unused, bx, dx, cx, ax;
    uint32_t gs, fs, es, ds;
    uint32_t vector, error;
    uint32_t ip, cs, flags, sp, ss;
    uint32_t v86_es, v86_ds, v86_fs, v86_gs; /* of a task in virtual-8086 or real mode */
} Context;

enum {
    KCODE = 1 * 8,
    KDATA = 2 * 8,
    UCODE = 3 * 8 | 3,
    UDATA = 4 * 8 | 3,
    TSS = 5 * 8,
    LDT = 6 * 8,
    DF_TSS = 7 * 8,
    REAL_CODE = 8 * 8,
    REAL_DATA = 9 * 8,
    T = 16 * 8, /* from here on each test makes its own */
};
enum { DONE = 0x20 }; /* the vector by which pieces of code end */
enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC };

typedef struct Tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs,
        ss, ds, fs, gs, ldt;
    uint16_t trap, map;
    uint8_t redirection[32], ports[8192 + 1];
} __attribute__((packed)) Tss;
typedef struct Tss16 {
    uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
} Tss16;

extern uint64_t gdt[64], idt[256], ldt[16];
extern Tss tss;
extern const uint8_t stubs[]; /* 16 bytes each */
extern Context got;
extern uint32_t got_cr2, got_dr6;
extern uint8_t user_stack[4096], other_stack[4096];
void run(const Context *c);

/* ---- descriptors ---- */

/* access: as in the second word, bits 15..8; flags: G, D/B, L, AVL. */
uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags);
uint64_t gate(unsigned selector, uint32_t offset, unsigned access, unsigned parameters);
enum { BIG = 4, GRANULAR = 8 };
enum { DATA = 0x93, CODE = 0x9b, USER = 0x60 };

/* ---- what happened ---- */

void group(const char *name);
/* vector, error code (of those that have one) and the place. */
void expect(const char *what, uint32_t value, uint32_t wanted);
void put_string(const char *text);
void put_hex(uint32_t value);

/* A piece of code in a section of its own, which ends with int DONE; the value is its address. */
#define CODE_OF(bits, text)                                                  \
    ({                                                                       \
        uint32_t at_;                                                        \
        __asm__(".pushsection .snippets, \"ax\"\n.code" #bits "\n77:\n" text \
                "\nint $0x20\n.popsection\n.code32\nmovl $77b, %0"           \
                : "=r"(at_));                                                \
        at_;                                                                 \
    })
#define CODE32(text) CODE_OF(32, text)
#define CODE16(text) CODE_OF(16, text)

Context user(uint32_t code);
Context kernel(uint32_t code);
/* Run; the vector, with the error code above it. */
uint32_t go(Context *c);
#define EVENT(vector, error) ((uint32_t)(vector) | (uint32_t)(error) << 16)
/* Run, and it has to end so, at the start of the code for exceptions. */
void ends(const char *what, Context *c, uint32_t event);

void test_segments(void);
void test_gates(void);
void test_tasks(void);
void test_v86(void);
void test_real(void);
void test_debug(void);
void test_paging(void);
void test_system(void);

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint32_t in32(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static inline uint32_t read_cr0(void)
{
    uint32_t v;
    __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    return v;
}
static inline void write_cr0(uint32_t v)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory");
}
static inline uint32_t read_cr4(void)
{
    uint32_t v;
    __asm__ volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}
static inline void write_cr4(uint32_t v)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory");
}
static inline void write_cr3(uint32_t v)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory");
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(sub));
}

#endif
