/*
 * Bare-metal RISC-V vector tests (RV32 and RV64, VLEN 128): what qemu-user 7.2 gets wrong or random programs do not
 * reach. mstatus.VS, illegal instructions, vstart, precise faults, fault-only-first loads. The right values are from
 * the ISA manual (20240411). The exit status is that of the first check that failed, 0 if none did.
 * SPDX-License-Identifier: MIT
 */
#include "frame.h"

#define V(text)     __asm__ volatile(text ::: "memory")
#define V1(text, a) __asm__ volatile(text ::"r"(a) : "memory", "t0")

enum { NOWHERE = 0x7ffff000 };
enum { FS = 3 << 13, VS = 3 << 9 };

static void is(ulong got, ulong want, const char *what)
{
    check(got == want, what, got);
}

static volatile ulong trap_cause, trap_tval, trap_count, trap_vstart;
void trap(Trap *t)
{
    trap_cause = csr_read(mcause);
    trap_tval = csr_read(mtval);
    trap_count++;
    if (csr_read(mstatus) & VS)
        trap_vstart = csr_read(vstart);
    t->pc += 4;
}
void secondary(ulong hart)
{
    (void)hart;
}

#define RAISES(text, what)                 \
    do {                                   \
        ulong before_ = trap_count;        \
        V(text);                           \
        is(trap_count, before_ + 1, what); \
        is(trap_cause, 2, what);           \
        csr_write(vstart, 0);              \
    } while (0)
#define RUNS(text, what)               \
    do {                               \
        ulong before_ = trap_count;    \
        V(text);                       \
        is(trap_count, before_, what); \
    } while (0)

/* ---- state ---- */
static void test_status(void)
{
    csr_clear(mstatus, VS);
    ulong before = trap_count;
    V("vsetivli x0, 4, e8, m1, ta, ma");
    is(trap_cause, 2, "vsetivli with VS off");
    V("csrr t0, vl");
    V("vl1r.v v1, (sp)");
    is(trap_count, before + 3, "vector instructions and CSRs with VS off");
    csr_set(mstatus, 1 << 9);
    V("csrr t0, vlenb");
    is(csr_read(mstatus) & VS, 1 << 9, "reading a CSR leaves VS initial");
    V("vsetivli x0, 4, e8, m1, ta, ma");
    is(csr_read(mstatus) & VS, VS, "vsetivli makes VS dirty");
    is(csr_read(mstatus) >> (XLEN - 1), 1, "SD");
    csr_clear(mstatus, VS);
    csr_set(mstatus, 1 << 10);
    csr_write(vxrm, 2);
    is(csr_read(mstatus) & VS, VS, "writing vxrm makes VS dirty");
    is(csr_read(vcsr), 4, "vcsr shows vxrm");
    csr_write(vcsr, 3);
    is(csr_read(vxsat) | csr_read(vxrm) << 4, 0x11, "vxsat and vxrm show vcsr");
    is(csr_read(misa) >> 21 & 1, 1, "misa.V");
    is(csr_read(vlenb), 16, "vlenb");
    csr_write(vstart, -1ul);
    is(csr_read(vstart), 127, "vstart has as many bits as an element number needs");
    csr_write(vstart, 0);
}

static void test_vtype(void)
{
    ulong vl;
    __asm__ volatile("vsetvli %0, x0, e8, mf8, ta, ma" : "=r"(vl));
    is(vl, 2, "VLMAX of e8, mf8");
    __asm__ volatile("vsetvli %0, x0, e64, mf8, ta, ma" : "=r"(vl));
    is(vl, 0, "e64, mf8 is not to be had");
    is(csr_read(vtype), 1ul << (XLEN - 1), "vill");
    RAISES("vadd.vv v1, v2, v3", "vadd with vill");
    RAISES("vmv1r.v v1, v2", "vmv1r.v with vill: EEW is SEW");
    RAISES("vle8.v v1, (sp)", "vle8 with vill");
    RUNS("vl1r.v v1, (sp)", "vl1r.v with vill");
    V("vsetivli x0, 8, e16, m1, ta, ma");
    RAISES(".word 0x82007057", "vsetvl with reserved bits in funct7");
}

/* What a part of an extension has: -DHALF=1 for Zvfhmin and Zvkb, 2 for Zvfh and Zvbb; 0: neither. */
#ifndef HALF
#define HALF 0
#endif
#define RUNS_WITH(level, text, what) \
    do {                             \
        if (HALF >= level)           \
            RUNS(text, what);        \
        else                         \
            RAISES(text, what);      \
    } while (0)
static void test_parts(void)
{
    V("vsetivli x0, 4, e16, mf2, ta, ma");
    RUNS_WITH(1, "vfwcvt.f.f.v v1, v2", "half to single");
    RUNS_WITH(1, "vfncvt.f.f.w v1, v2", "single to half");
    RUNS_WITH(2, "vfncvt.rod.f.f.w v1, v2", "single to half, to odd");
    RUNS_WITH(2, "vfadd.vv v1, v2, v3", "vfadd of 16 bits");
    RUNS_WITH(2, "vfwadd.vv v1, v2, v3", "vfwadd of 16 bits");
    RUNS_WITH(2, "vfredusum.vs v1, v2, v3", "vfredusum of 16 bits");
    RUNS_WITH(2, "vfmv.f.s f1, v2", "vfmv.f.s of 16 bits");
    RUNS_WITH(2, "vfmv.s.f v1, f2", "vfmv.s.f of 16 bits");
    RUNS_WITH(2, "vfslide1down.vf v1, v2, f2", "vfslide1down of 16 bits");
    RUNS_WITH(2, "vfwcvt.x.f.v v1, v2", "half to 32-bit integers");
    RUNS("vfwcvt.f.x.v v1, v2", "16-bit integers to single");
    RUNS_WITH(1, ".word 0x062180d7", "vandn.vv");
    RUNS_WITH(2, ".word 0x4a2620d7", "vclz.v");
    RAISES(".word 0x3221a0d7", "vclmul.vv of 16 bits");
    V("vsetivli x0, 4, e8, mf2, ta, ma");
    RUNS_WITH(2, "vfwcvt.f.x.v v1, v2", "8-bit integers to half");
    RUNS_WITH(2, "vfncvt.x.f.w v1, v2", "half to 8-bit integers");
    RAISES("vfadd.vv v1, v2, v3", "vfadd of 8 bits");
    RAISES("vfwcvt.f.f.v v1, v2", "vfwcvt.f.f.v of 8 bits");
}

static void test_rounding_mode(void)
{
    V("vsetivli x0, 4, e32, m1, ta, ma");
    for (int frm = 0; frm < 8; frm++) {
        csr_write(frm, frm);
        ulong before = trap_count;
        V("vfadd.vv v1, v2, v3");
        is(trap_count - before, frm > 4, "vfadd with a reserved frm");
        V("vfmv.v.f v1, f2");
        is(trap_count - before, frm > 4 ? 2 : 0, "vfmv.v.f with a reserved frm");
    }
    csr_write(frm, 0);
    csr_clear(mstatus, FS);
    RAISES("vfadd.vv v1, v2, v3", "vfadd with FS off");
    RUNS("vadd.vv v1, v2, v3", "vadd with FS off");
    csr_set(mstatus, FS);
}

/* ---- vstart ---- */
static uint8_t bytes[16] __attribute__((aligned(16)));
static void test_vstart(void)
{
    static const char *const what = "vstart is 0 after an instruction that had nothing to do";
    V("vsetivli x0, 4, e8, m1, ta, ma");
    V("vmv.v.i v8, 3");
    V("vmv.v.i v9, 5");
#define NOTHING(text)     \
    csr_write(vstart, 4); \
    RUNS(text, what);     \
    is(csr_read(vstart), 0, what)
    NOTHING("vadd.vv v8, v9, v9");
    NOTHING("vmv.v.i v8, 1");
    NOTHING("vslideup.vi v8, v9, 0");
    NOTHING("vmv.s.x v8, sp");
    NOTHING("vmand.mm v8, v9, v9");
    V1("vse8.v v8, (%0)", bytes);
    for (int i = 0; i < 4; i++)
        is(bytes[i], 3, "no element is written where vstart >= vl");
    csr_write(vstart, 2);
    V("vmv.x.s t0, v8");
    is(csr_read(vstart), 0, "vmv.x.s sets vstart to 0");
    csr_write(vstart, 2);
    V("vmv.s.x v8, sp");
    is(csr_read(vstart), 0, "vmv.s.x sets vstart to 0");
    csr_write(vstart, 15);
    V1("vl1r.v v8, (%0)", bytes);
    is(csr_read(vstart), 0, "vl1r.v sets vstart to 0");
    csr_write(vstart, 1);
    RAISES("vredsum.vs v8, v9, v9", "a reduction with vstart");
    csr_write(vstart, 1);
    RAISES("vcompress.vm v8, v9, v10", "vcompress with vstart");
}

#if XLEN == 32
static void test_slide1(void)
{
    static uint64_t two[2];
    V("vsetivli x0, 2, e64, m1, ta, ma");
    V("vmv.v.i v8, 0");
    V1("vslide1down.vx v9, v8, %0", -5);
    V1("vse64.v v9, (%0)", two);
    check(two[1] == (uint64_t)-5 && two[0] == 0, "vslide1down.vx of 64 bits extends the sign", two[1] >> 32);
}

/* The V extension has no indices of 64 bits where XLEN is 32 (1.0, section 18.3). */
static void test_wide_index(void)
{
    V("vsetivli x0, 0, e64, m1, ta, ma");
    RAISES(".insn 4, 0x05047427", "vsuxei64.v v8, (s0), v16, v0.t");
    RAISES(".insn 4, 0x07047407", "vluxei64.v v8, (s0), v16");
    V("vsetivli x0, 0, e32, m1, ta, ma");
    RAISES(".insn 4, 0x0f047427", "vsoxei64.v v8, (s0), v16");
}
#endif

/* ---- faults: RAM begins at 0x80000000, nothing is below ---- */
static void test_faults(void)
{
    uint8_t *edge = (uint8_t *)0x80000000 - 8;
    ulong before = trap_count;
    V("vsetivli x0, 16, e8, m1, ta, ma");
    V("vmv.v.i v8, 7");
    V1("vle8.v v8, (%0)", NOWHERE);
    is(trap_count, before + 1, "a load from nowhere");
    is(trap_cause, 5, "load access fault");
    is(trap_tval, NOWHERE, "mtval of element 0");
    is(trap_vstart, 0, "vstart of element 0");
    csr_write(vstart, 0);
    /* downwards by a stride of -4: the third word is not there */
    uint8_t *low = (uint8_t *)0x80000004;
    V("vsetivli x0, 4, e32, m1, ta, ma");
    V("vmv.v.i v8, 7");
    __asm__ volatile("vlse32.v v8, (%0), %1" ::"r"(low), "r"(-4l) : "memory");
    is(trap_count, before + 2, "a strided load that ends nowhere");
    is(trap_tval, 0x7ffffffcul, "mtval of element 2");
    is(trap_vstart, 2, "vstart of element 2");
    is(csr_read(vstart), 2, "vstart stays");
    /* go on from there with an address that is: elements 0 and 1 must not change */
    static uint32_t words[4] = { 1, 2, 3, 4 }, out[4];
    V1("vle32.v v8, (%0)", words);
    V1("vse32.v v8, (%0)", out);
    is(out[0], *(uint32_t *)0x80000004, "element 0 came before the fault");
    is(out[1], *(uint32_t *)0x80000000, "element 1 came before the fault");
    is(out[2], 3, "element 2 came after it");
    is(out[3], 4, "element 3 came after it");
    /* a masked-off element does not fault */
    V("vsetivli x0, 4, e32, m1, ta, ma");
    V("vmv.v.i v0, 3");
    __asm__ volatile("vlse32.v v8, (%0), %1, v0.t" ::"r"(low), "r"(-4l) : "memory");
    is(trap_count, before + 2, "inactive elements do not fault");
    (void)edge;
}

static void test_fault_first(uint8_t *end)
{
    ulong before = trap_count;
    V("vsetivli x0, 16, e8, m1, ta, ma");
    V("vmv.v.i v8, 7");
    V1("vle8ff.v v8, (%0)", end - 5);
    is(trap_count, before, "vle8ff does not trap after element 0");
    is(csr_read(vl), 5, "vle8ff cuts vl");
    V("vsetivli x0, 16, e8, m1, ta, ma");
    V1("vle8ff.v v8, (%0)", end);
    is(trap_count, before + 1, "vle8ff traps at element 0");
    is(csr_read(vl), 16, "vl stays after a trap");
    V("vsetivli x0, 4, e8, m1, ta, ma");
    V1("vlseg3e8ff.v v8, (%0)", end - 8);
    is(csr_read(vl), 2, "vlseg3e8ff cuts vl before a segment that is not whole");
    is(trap_count, before + 1, "vlseg3e8ff does not trap");
}

/* ---- the same code, translated once, in other states than the first ---- */
__attribute__((noinline)) static void add(void)
{
    V("vadd.vv v8, v8, v9");
}
__attribute__((noinline)) static void load(const uint8_t *from)
{
    V1("vle8.v v8, (%0)", from);
}
__attribute__((noinline)) static void store(uint8_t *to)
{
    V1("vse8.v v8, (%0)", to);
}

/* All bytes of v8 are 0xff, of v9 1. */
static void start_add(void)
{
    csr_write(vstart, 0);
    V("vsetivli x0, 16, e8, m1, ta, ma");
    V("vmv.v.i v8, -1");
    V("vmv.v.i v9, 1");
}

/* v8 to bytes[]. */
static void show(void)
{
    csr_write(vstart, 0);
    V("vsetivli x0, 16, e8, m1, ta, ma");
    store(bytes);
}

static void test_other_states(void)
{
    start_add();
    for (int i = 0; i < 3; i++)
        add();
    show();
    is(bytes[0] | bytes[15] << 8, 2 | 2 << 8, "e8, vl 16");
    start_add();
    V("vsetivli x0, 4, e32, m1, ta, ma");
    add();
    show();
    is(bytes[0] | bytes[1] << 8, 0 | 1 << 8, "the same code with e32");
    start_add();
    V("vsetivli x0, 3, e8, m1, tu, ma");
    add();
    show();
    is(bytes[2] | bytes[3] << 8, 0 | 0xff << 8, "the same code with vl 3");
    start_add();
    V("vsetivli x0, 0, e8, m1, tu, ma");
    add();
    show();
    is(bytes[0], 0xff, "the same code with vl 0");
    start_add();
    csr_write(vstart, 2);
    add();
    is(csr_read(vstart), 0, "vstart is 0 after it");
    show();
    is(bytes[1] | bytes[2] << 8, 0xff, "the same code with vstart 2");
    start_add();
    csr_clear(mstatus, VS);
    csr_set(mstatus, 2 << 9);
    add();
    is(csr_read(mstatus) & VS, VS, "the same code makes VS dirty");
    csr_clear(mstatus, VS);
    ulong before = trap_count;
    add();
    is(trap_count, before + 1, "the same code with VS off");
    csr_set(mstatus, VS);
    V("vsetvli x0, x0, e8, m1, ta, ma");
    show();
    is(bytes[0], 0, "it has run once, not twice");
    V("li t0, 255\n\tvsetvl x0, x0, t0");
    before = trap_count;
    add();
    is(trap_count, before + 1, "the same code with vill");
}

static void test_other_pages(uint8_t *end)
{
    __asm__("" : "+r"(end)); /* the compiler knows nothing of what it points to */
    for (int i = 0; i < 16; i++)
        end[i - 16] = (uint8_t)i;
    V("vsetivli x0, 16, e8, m1, ta, ma");
    for (int i = 0; i < 3; i++)
        load(end - 16);
    store(bytes);
    is(bytes[15], 15, "a load that ends with the memory");
    ulong before = trap_count;
    load(end - 8);
    is(trap_count, before + 1, "one that ends behind it");
    is(trap_vstart, 8, "vstart is where it ends");
    is(trap_tval, (ulong)end, "mtval is the end");
    show();
    is(bytes[7] | bytes[8] << 8, 15 | 8 << 8, "what came before has been loaded");
    store(end - 16);
    before = trap_count;
    store(end - 12);
    is(trap_count, before + 1, "a store that ends behind the memory");
    is(trap_vstart, 12, "vstart is where it ends");
    csr_write(vstart, 0);
    is(end[-1], bytes[11], "what came before has been stored");
}

int main(void)
{
    csr_set(mstatus, VS);
    test_status();
    test_vtype();
    test_parts();
    test_rounding_mode();
    test_vstart();
#if XLEN == 32
    test_slide1();
    test_wide_index();
#endif
    test_faults();
    test_fault_first((uint8_t *)0x80000000 + (128ul << 20)); /* -m 128 */
    test_other_states();
    test_other_pages((uint8_t *)0x80000000 + (128ul << 20));
    print("all passed\n");
    finish(EXIT);
    return 0;
}
