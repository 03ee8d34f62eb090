/*
 * The frame of the hypervisor tests: output, checks, running code in another mode until it traps, page tables of both
 * stages.
 * SPDX-License-Identifier: MIT
 */
#include "frame.h"

#ifndef AIA
#define AIA 0 /* 1: -M virt,aia=aplic-imsic,aia-guests=2 */
#endif
#ifndef STATEEN
#define STATEEN 0 /* 1: -cpu max */
#endif
static const char *group;
static void is(ulong got, ulong want, const char *what)
{
    checks++;
    if (got == want)
        return;
    print("FAILED: ");
    print(group);
    print(": ");
    print(what);
    print(", got ");
    print_hex(got);
    print(", not ");
    print_hex(want);
    print("\n");
    finish(checks % 200 + 1);
}

/* ---- running code in another mode until it traps ---- */
enum { U, S, HS = S, M = 3, VU = 4, VS = 5 }; /* privilege, and V in bit 2 */
static const char *const mode_names[] = { "U", "HS", "?", "M", "VU", "VS" };
/* The trap that ended it, as the mode that took it sees it. */
static struct {
    int by; /* M, HS or VS */
    ulong cause, pc, tval, tval2, tinst, a2;
    int v, gva, priv, spvp; /* where it came from: MPV, SPV; GVA; MPP, SPP; SPVP */
} got;
static ulong return_to, high_status, with_status; /* with_status: also set in mstatus at the last moment */
void in_supervisor(void), in_guest(void);
__asm__(".pushsection .text\n.balign 4\n.globl in_supervisor, in_guest\nin_supervisor: ecall\n.balign 4\nin_guest: "
        "ecall\n.popsection");
enum { ALIAS = 0x40000000 }; /* the program's pages for VU-mode are so much higher */

#if XLEN == 64
#define STORE_LONG "sd"
static ulong high_bits(void)
{
    return csr_read(mstatus) >> 32;
}
static void set_mpv(int on)
{
    if (on)
        csr_set(mstatus, 1ul << 39);
    else
        csr_clear(mstatus, 1ul << 39);
}
#else
#define STORE_LONG "sw"
static ulong high_bits(void)
{
    return csr_read(0x310);
}
static void set_mpv(int on)
{
    if (on)
        csr_set(0x310, 1 << 7);
    else
        csr_clear(0x310, 1 << 7);
}
#endif

void trap(Trap *t)
{
    ulong cause = csr_read(mcause), pc = t->pc;
    high_status = high_bits();
    got.a2 = t->x[11];
    if (cause == 9 && pc == (ulong)in_supervisor) {
        ulong hstatus = csr_read(hstatus);
        got.by = HS;
        got.cause = csr_read(scause);
        got.pc = csr_read(sepc);
        got.tval = csr_read(stval);
        got.tval2 = csr_read(htval);
        got.tinst = csr_read(htinst);
        got.v = hstatus >> 7 & 1;
        got.spvp = hstatus >> 8 & 1;
        got.gva = hstatus >> 6 & 1;
        got.priv = csr_read(sstatus) >> 8 & 1;
    } else if (cause == 10 && pc == (ulong)in_guest) {
        got.by = VS;
        got.cause = csr_read(vscause);
        got.pc = csr_read(vsepc);
        got.tval = csr_read(vstval);
        got.priv = csr_read(vsstatus) >> 8 & 1;
        got.v = 1;
    } else {
        got.by = M;
        got.cause = cause;
        got.pc = pc;
        got.tval = csr_read(mtval);
        got.tval2 = csr_read(mtval2);
        got.tinst = csr_read(mtinst);
        got.v = high_status >> 7 & 1;
        got.gva = high_status >> 6 & 1;
        got.priv = csr_read(mstatus) >> 11 & 3;
    }
    csr_set(mstatus, 3 << 11);
    csr_clear(mstatus, 1 << 7); /* no interrupts after the return */
    set_mpv(0);                 /* means nothing with MPP of M, but to the reference */
    t->pc = return_to;
}
void secondary(ulong hart)
{
    (void)hart;
}

static NOINLINE void run_at(int mode, ulong pc, ulong a0, ulong a1)
{
    register ulong r0 __asm__("a0") = a0, r1 __asm__("a1") = a1;
    got.cause = got.tval = got.tval2 = got.tinst = got.gva = got.spvp = ~0;
    csr_clear(mstatus, 3 << 11);
    csr_set(mstatus, (mode & 3) << 11);
    set_mpv(mode >> 2);
    csr_write(mepc, pc);
    __asm__ volatile("la t0, 1f\n" STORE_LONG " t0, %2\ncsrs mstatus, %3\nmret\n.balign 4\n1:"
                     : "+r"(r0), "+r"(r1), "=m"(return_to)
                     : "r"(with_status)
                     : "memory", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a2", "a3", "a4", "a5", "a6", "a7");
}
static void run(int mode, const void *code, ulong a0, ulong a1)
{
    run_at(mode, (ulong)code + (mode == VU || mode == U ? ALIAS : 0), a0, a1);
}
/* A piece of guest code; what it loads goes to a2. */
#define CODE(name, text)                                                                   \
    extern const uint32_t name[];                                                          \
    __asm__(".pushsection .text\n.option push\n.option norvc\n.balign 4\n" #name ": " text \
            "\n ecall\n.option pop\n.popsection")

static ulong insn_at(const void *p)
{
    const uint16_t *h = p;
    return (h[0] & 3) == 3 ? h[0] | (ulong)h[1] << 16 : h[0];
}
static void expect(int by, ulong cause, const char *what)
{
    is(got.by * 100 + got.cause, by * 100 + cause, what);
}

/* Of an explicit access: 0 is allowed, and is what the reference gives. */
static void tinst_is(ulong want)
{
    is(got.tinst, REFERENCE ? 0 : want, "[hm]tinst");
}

/* ---- page tables: the guest's, and those of the second stage ---- */
#if XLEN == 64
enum { LEVELS = 3, INDEX_BITS = 9 };
#define ATP_MODE      ((ulong)8 << 60)
#define VMID(n)       ((ulong)(n) << 44)
#define ASID(n)       ((ulong)(n) << 44)
#define IMPLICIT_READ 0x3000
#else
enum { LEVELS = 2, INDEX_BITS = 10 };
#define ATP_MODE      ((ulong)1 << 31)
#define VMID(n)       ((ulong)(n) << 22)
#define ASID(n)       ((ulong)(n) << 22)
#define IMPLICIT_READ 0x2000
#endif
enum { V = 1, RD = 2, WR = 4, EX = 8, US = 16, AC = 64, DI = 128, AD = AC | DI, RWX = RD | WR | EX };
enum { ENTRIES = 1 << INDEX_BITS };
static ulong guest_root[ENTRIES] __attribute__((aligned(4096))), host_root[ENTRIES] __attribute__((aligned(4096)));
static ulong second_root[4 * ENTRIES] __attribute__((aligned(16384)));
static ulong pool[16][ENTRIES] __attribute__((aligned(4096)));
static unsigned used;
static uint32_t data[1024] __attribute__((aligned(4096))), other[1024] __attribute__((aligned(4096)));

/* The entry of va at this level, tables made as needed. */
static ulong *entry(ulong *root, uint64_t va, int level)
{
    ulong *table = root;
    for (int l = LEVELS - 1;; l--) {
        ulong index = va >> (12 + INDEX_BITS * l);
        ulong *e = &table[l == LEVELS - 1 && root == second_root ? index & (4 * ENTRIES - 1) : index & (ENTRIES - 1)];
        if (l == level)
            return e;
        if (!(*e & V))
            *e = (ulong)pool[used++] >> 12 << 10 | V;
        table = (ulong *)(*e >> 10 << 12);
    }
}
static ulong leaf(ulong address, ulong flags)
{
    return address >> 12 << 10 | flags;
}

/* The program is at its own address, for VU- and U-mode higher up. A page of data: va, guest-physical, physical. */
enum { VA = 0x40000000, GPA = 0x50000000, PROGRAM = 0x80000000 };
#define BIG (1ul << (12 + INDEX_BITS))
static ulong *guest_leaf, *second_leaf;
static void fence(void)
{
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0\n.insn r 0x73, 0, 0x11, x0, x0, x0\nsfence.vma" ::
                         : "memory"); /* hfence.gvma, hfence.vvma */
}
static void translate(void)
{
    used = 0;
    for (int i = 0; i < 4 * ENTRIES; i++)
        second_root[i] = 0;
    for (int i = 0; i < ENTRIES; i++)
        guest_root[i] = host_root[i] = 0;
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < ENTRIES; k++)
            pool[i][k] = 0;
    for (ulong at = 0; at < 0x200000; at += BIG) {
        *entry(guest_root, PROGRAM + at, 1) = leaf(PROGRAM + at, V | RWX | AD);
        *entry(guest_root, PROGRAM + ALIAS + at, 1) = leaf(PROGRAM + at, V | RWX | AD | US);
        *entry(host_root, PROGRAM + at, 1) = leaf(PROGRAM + at, V | RWX | AD);
        *entry(host_root, PROGRAM + ALIAS + at, 1) = leaf(PROGRAM + at, V | RWX | AD | US);
        *entry(second_root, PROGRAM + at, 1) = leaf(PROGRAM + at, V | RWX | AD | US);
    }
    guest_leaf = entry(guest_root, VA, 0);
    second_leaf = entry(second_root, GPA, 0);
    *guest_leaf = leaf(GPA, V | RWX | AD);
    *second_leaf = leaf((ulong)data, V | RWX | AD | US);
    csr_write(satp, ATP_MODE | (ulong)host_root >> 12);
    csr_write(vsatp, ATP_MODE | (ulong)guest_root >> 12);
    csr_write(hgatp, ATP_MODE | VMID(1) | (ulong)second_root >> 12);
    fence();
}

#if STATEEN
/* The high words of mstateen0 and hstateen0: all that there is is in them. */
#if XLEN == 64
#define HSTATEEN_HIGH (csr_read(0x60c) >> 32)
static void set_stateen(ulong machine, ulong hypervisor)
{
    csr_write(0x30c, machine << 32);
    csr_write(0x60c, hypervisor << 32);
}
#else
#define HSTATEEN_HIGH csr_read(0x61c)
static void set_stateen(ulong machine, ulong hypervisor)
{
    csr_write(0x31c, machine);
    csr_write(0x61c, hypervisor);
}
#endif
#endif

static void defaults(void)
{
#if STATEEN
    set_stateen(~0ul, ~0ul);
#endif
    csr_write(pmpaddr0, ~0ul);
    csr_write(pmpcfg0, 0x1f);
    csr_write(stvec, in_supervisor);
    csr_write(vstvec, in_guest);
    csr_write(medeleg, 0);
    csr_write(hedeleg, 0);
    csr_write(hideleg, 0);
    csr_write(mideleg, 0);
    csr_write(hstatus, 0);
    csr_write(mie, 0);
    csr_write(hvip, 0);
    csr_write(mcounteren, 7);
    csr_write(hcounteren, 7);
    csr_write(scounteren, 7);
    csr_write(vsstatus, 0x6000);
    csr_clear(mstatus, 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22);
    translate();
}
