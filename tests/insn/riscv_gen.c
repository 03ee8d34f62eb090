/*
 * Random RISC-V programs for comparing executors: writes one ELF that runs both in user mode (qemu-riscv64) and bare
 * metal in machine mode (-M virt -bios none -kernel; the ELF's entry differs), and prints the same results in both.
 *
 *   riscv-gen [--machine] [--xlen 32|64] [--seed N] [--blocks N] [--length N] [--passes N] [--only NAME] [--full] FILE
 *   riscv-gen --count ...   prints a line for each extension: name, kinds, instances, oracle
 *   riscv-gen --list ...    prints the names of all kinds
 *
 * The program is a row of blocks. A block is some random instructions; then a shared routine folds all registers
 * and fcsr into a hash, appends it to the results, loads other random register values, and goes on with the next block.
 * The whole row runs --passes times with different inputs. At the end the results and the scratch memory go to standard
 * output or the UART. The encodings here are written from the ISA manual (20240411), not taken from the decoder that
 * they test. Extensions that the oracle does not know are in riscv_gen_ext.c.
 * SPDX-License-Identifier: MIT
 */
#include "riscv_gen.h"
#include "tally.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS (base_kind_count + ext_kind_count)
static const char *extension_of[TALLY_KINDS];

static const Kind *kind(unsigned i)
{
    return i < base_kind_count ? &base_kinds[i] : &ext_kinds[i - base_kind_count];
}

static unsigned number_of(const Kind *k)
{
    return k >= base_kinds && k < base_kinds + base_kind_count ? k - base_kinds : base_kind_count + (k - ext_kinds);
}
static void find_extensions(void)
{
    unsigned section = 0, count = section_count;
    for (unsigned i = 0; i < KINDS; i++) {
        if (section + 1 < count && !strcmp(kind(i)->name, sections[section + 1].first))
            section++;
        extension_of[i] = sections[section].ext;
    }
    if (section + 1 != count) {
        fprintf(stderr, "riscv-gen: no kind '%s'\n", sections[section + 1].first);
        exit(1);
    }
}

/* ---- options and the image ---- */
static unsigned blocks = 1000, length = 24, passes = 4;
static bool full;
static const char *only;
static Tally tallies[TALLY_EXTENSIONS];

#define BASE    0x80000000u
#define STATE   0x0000 /* offsets from gp: state area at the start of the data, */
#define SCRATCH 0x1000 /* two pages of scratch, */
#define INPUTS  0x4000 /* register sets */
enum { INPUT_SETS = 61, SET_BYTES = 33 * 8 + 32 * 8, INPUT_BYTES = (INPUT_SETS * SET_BYTES + 4095) & ~4095 };
/* in the state area; registers are saved as a set: x0..x31 (8 bytes each), fcsr, f0..f31 */
enum { SAVE = 0, RESULT = 0x400, INPUT = 0x408, NEXT = 0x410, PASS = 0x418, SAVED_RA = 0x420, MACHINE = 0x428 };

/* ---- plain encoders ---- */
uint32_t enc_j(int rd, int imm)
{
    return 0x6f | rd << 7 | (imm & 0xff000) | (imm >> 11 & 1) << 20 | (uint32_t)(imm >> 1 & 0x3ff) << 21 |
           (uint32_t)(imm >> 20 & 1) << 31;
}
static void li32(int rd, uint32_t v)
{
    put(0x37 | rd << 7 | ((v + 0x800) & 0xfffff000));
    if (xlen == 64 && (v & 0x80000000)) { /* zero-extend */
        put(enc_i(0x13, rd, rd, v & 0xfff));
        put(enc_i(0x1013, rd, rd, 32));
        put(enc_i(0x5013, rd, rd, 32));
    } else {
        put(enc_i(0x13, rd, rd, v & 0xfff));
    }
}

/* ---- random operands ---- */
int any_x(void)
{
    return below(32);
}
int dest_x(void)
{
    for (;;) {
        int r = below(32);
        if (r != SP && r != GP && r != S0 && r != S1)
            return r;
    }
}
static int dest_c(void)
{
    return 10 + below(6);
} /* a0..a5: x8 and x9 are bases */
int any_f(void)
{
    return below(4) ? below(8) + 10 : below(32);
}
int base_x(void)
{
    return below(2) ? SP : S0;
}
static unsigned any_rm(void)
{
    unsigned r = below(10);
    return r < 5 ? r : 7;
}
static int any_imm12(void)
{
    static const int edge[] = { 0, 1, -1, 2047, -2048, 31, 32, 63, 64, -64 };
    return below(3) ? (int)(rnd() & 0xfff) - 2048 : edge[below(10)];
}

static void gen_one(const Kind *k);

/* A few instructions that a forward branch may skip. Returns bytes. */
static const Kind *simple_kind(void)
{
    for (;;) {
        const Kind *k = kind(below(KINDS));
        if (k->form <= SHX && (!k->xlen || k->xlen == xlen))
            return k;
    }
}
static void gen_forward(const Kind *k)
{
    uint32_t here = at;
    bool compressed = k->form >= CADDI;
    at += compressed ? 2 : 4;
    for (unsigned n = below(3) + 1; n--;)
        gen_one(simple_kind());
    if (below(2))
        put16(0x0001);
    uint32_t end = at;
    int d = end - here;
    at = here;
    if (k->form == B)
        put(enc_b(k->match, any_x(), any_x(), d));
    else if (k->form == JAL)
        put(enc_j(dest_x(), d));
    else if (k->form == CBZ)
        put16(k->match | (below(8)) << 7 | (d >> 8 & 1) << 12 | (d >> 3 & 3) << 10 | (d >> 6 & 3) << 5 |
              (d >> 1 & 3) << 3 | (d >> 5 & 1) << 2);
    else /* c.j */
        put16(k->match | (d >> 11 & 1) << 12 | (d >> 4 & 1) << 11 | (d >> 8 & 3) << 9 | (d >> 10 & 1) << 8 |
              (d >> 6 & 1) << 7 | (d >> 7 & 1) << 6 | (d >> 1 & 7) << 3 | (d >> 5 & 1) << 2);
    at = end;
}

static void gen_float(const Kind *k)
{
    uint32_t m = k->match, rm = any_rm() << 12;
    switch (k->form) {
    case FR:
        put(m | rm | any_f() << 7 | any_f() << 15 | any_f() << 20);
        break;
    case FRN:
        put(m | any_f() << 7 | any_f() << 15 | any_f() << 20);
        break;
    case FR1:
        put(m | rm | any_f() << 7 | any_f() << 15);
        break;
    case FR4:
        put(m | rm | any_f() << 7 | any_f() << 15 | any_f() << 20 | (uint32_t)any_f() << 27);
        break;
    case FCMP:
        put(m | dest_x() << 7 | any_f() << 15 | any_f() << 20);
        break;
    case FTOI:
        put(m | rm | dest_x() << 7 | any_f() << 15);
        break;
    case FTOIN:
        put(m | dest_x() << 7 | any_f() << 15);
        break;
    case ITOF:
        put(m | rm | any_f() << 7 | any_x() << 15);
        break;
    case ITOFN:
        put(m | any_f() << 7 | any_x() << 15);
        break;
    case FLOAD:
        put(enc_i(m, any_f(), base_x(), any_imm12() & 0xfff));
        break;
    case FSTORE:
        put(enc_s(m, base_x(), any_f(), any_imm12()));
        break;
    default:
        abort();
    }
}

/* frm must stay legal (0..4): writes come from a register made for it, or an immediate. */
static void gen_fcsr(const Kind *k)
{
    unsigned csr = 1 + below(3), round = below(5), flags = below(32), value;
    value = csr == 1 ? flags : csr == 2 ? round : round << 5 | flags;
    bool write = (k->match >> 12 & 3) == 1;
    if (k->form == FCSRI) {
        if (csr != 1 && !write)
            csr = 1, value = flags;
        if (csr == 3)
            value &= 31;
        put(k->match | dest_x() << 7 | (value & 31) << 15 | csr << 20);
        return;
    }
    if (!write)
        csr = 1, value = flags;
    int r = dest_x();
    put(enc_i(0x13, r, X0, value));
    put(k->match | dest_x() << 7 | r << 15 | csr << 20);
}

static void gen_memory(const Kind *k)
{
    unsigned size = k->match >> 12 & 3, order = below(4) << 25;
    switch (k->form) {
    case LOAD:
        put(enc_i(k->match, dest_x(), base_x(), any_imm12() & 0xfff));
        break;
    case STORE:
        put(enc_s(k->match, base_x(), any_x(), any_imm12()));
        break;
    case AMO:
        put(k->match | order | dest_x() << 7 | S1 << 15 | any_x() << 20);
        break;
    case LRSC: {
        put(k->match | order | dest_x() << 7 | S1 << 15);
        if (below(2))
            put(enc_i(0x13, dest_x(), X0, below(2048)));
        if (below(4)) /* else: a store-conditional without a reservation of its own may follow another's */
            put(OPREG(0x0c, size, 0x2f) | order | dest_x() << 7 | S1 << 15 | any_x() << 20);
        break;
    }
    default:
        abort();
    }
}

static void gen_compressed(const Kind *k)
{
    uint32_t m = k->match, imm = rnd();
    int rd = dest_x(), rc = dest_c() - 8, base = 0 /* x8 = s0 */, fc = below(8);
    while (!rd)
        rd = dest_x();
    int imm6 = (imm & 31) << 2 | (imm >> 5 & 1) << 12;
    int shift = xlen == 64 ? imm6 : imm6 & ~0x1000;
    switch (k->form) {
    case CNOP:
        put16(m);
        break;
    case CADDI:
    case CLI:
    case CADDIW:
        put16(m | rd << 7 | (imm6 ? imm6 : 4));
        break;
    case CLUI:
        put16(m | (rd == SP ? A0 : rd) << 7 | (imm6 ? imm6 : 4));
        break;
    case CADDI4SPN:
        put16(m | rc << 2 | ((imm & 0xff) | 1) << 5);
        break;
    case CSLLI:
        put16(m | rd << 7 | shift);
        break;
    case CSRLI:
        put16(m | rc << 7 | shift);
        break;
    case CANDI:
        put16(m | rc << 7 | imm6);
        break;
    case CALU:
        put16(m | rc << 7 | below(8) << 2);
        break;
    case CMV:
        put16(m | rd << 7 | (below(31) + 1) << 2);
        break;
    case CLW:
        put16(m | rc << 2 | base << 7 | (imm & 7) << 10 | (imm >> 3 & 3) << 5);
        break;
    case CLD:
        put16(m | rc << 2 | base << 7 | (imm & 7) << 10 | (imm >> 3 & 3) << 5);
        break;
    case CSW:
    case CSD:
        put16(m | below(8) << 2 | base << 7 | (imm & 7) << 10 | (imm >> 3 & 3) << 5);
        break;
    case CFLD:
    case CFLW:
    case CFSD:
    case CFSW:
        put16(m | fc << 2 | base << 7 | (imm & 7) << 10 | (imm >> 3 & 3) << 5);
        break;
    case CLWSP:
    case CLDSP:
        put16(m | rd << 7 | imm6);
        break;
    case CFLDSP:
    case CFLWSP:
        put16(m | below(32) << 7 | imm6);
        break;
    case CSWSP:
    case CSDSP:
    case CFSDSP:
    case CFSWSP:
        put16(m | below(32) << 2 | (imm & 63) << 7);
        break;
    default:
        abort();
    }
}

const char *oracle;
static void gen_form(const Kind *k)
{
    uint32_t m = k->match;
    switch (k->form) {
    case R:
        put(m | dest_x() << 7 | any_x() << 15 | any_x() << 20);
        break;
    case R1: {
        int from = any_x();
        if (m == FUNARY(0x30, 1, 1,
                        0x1b)) { /* ctzw: qemu-user 7.2 counts on into the upper half where the lower one is zero */
            from = dest_x() | 16;
            put(enc_i(0x6013, from, any_x(), 0x400)); /* ori */
        }
        put(m | dest_x() << 7 | from << 15);
        break;
    }
    case I:
        put(enc_i(m, dest_x(), any_x(), any_imm12() & 0xfff));
        break;
    case SH5:
        put(m | dest_x() << 7 | any_x() << 15 | below(32) << 20);
        break;
    case SH6:
        put(m | dest_x() << 7 | any_x() << 15 | below(64) << 20);
        break;
    case SHX:
        put(m | dest_x() << 7 | any_x() << 15 | below(xlen) << 20);
        break;
    case U:
        put(m | dest_x() << 7 | (uint32_t)rnd() << 12);
        break;
    case LOAD:
    case STORE:
    case AMO:
    case LRSC:
        gen_memory(k);
        break;
    case B:
    case JAL:
    case CBZ:
    case CJ:
        gen_forward(k);
        break;
    case JALR: { /* to the instruction after it, from an address in a register */
        int r = dest_x();
        if (!r)
            r = T0;
        put(0x17 | r << 7);
        put(enc_i(m, dest_x(), r, 8));
        break;
    }
    case FCSR:
    case FCSRI:
        gen_fcsr(k);
        break;
    case FENCE:
        put(m);
        break;
    case MODEL:
        k->gen(k);
        break;
    default:
        if (k->form >= CADDI)
            gen_compressed(k);
        else
            gen_float(k);
    }
}

static void gen_one(const Kind *k)
{
    unsigned number = number_of(k);
    oracle = "qemu-user";
    gen_form(k);
    if (k->form == B || k->form == JAL || k->form == CBZ || k->form == CJ) /* others are inside */
        oracle = "qemu-user";
    /* with constant operands all passes are the same */
    tally(tallies, extension_of[number], oracle, number, oracle == oracle_model ? 1 : passes);
}

/* ---- the fixed part ---- */
static uint32_t data_start, result_start, result_bytes;

static void save_set(void)
{
    for (int r = 2; r < 32; r++)
        put(enc_store(r, GP, SAVE + r * 8));
    put(0x003022f3); /* csrr t0, fcsr */
    put(enc_store(T0, GP, SAVE + 256));
    for (int r = 0; r < 32; r++)
        put(enc_s(0x3027, GP, r, SAVE + 264 + r * 8));
}

/* Load the next input set into all registers and jump to ra = NEXT. */
static void put_next_inputs(void)
{
    put(enc_load(A0, GP, INPUT));
    put(enc_load(T0, A0, 256));
    put(0x00329073); /* csrw fcsr, t0 */
    for (int r = 0; r < 32; r++)
        put(enc_i(0x3007, r, A0, 264 + r * 8));
    put(enc_i(0x13, A1, A0, SET_BYTES));
    li32(A2, data_start + INPUTS + INPUT_SETS * SET_BYTES);
    put(enc_b(OPREG(0, 1, 0x63), A1, A2, 8 + 4 * (xlen == 64 ? 4 : 2)));
    uint32_t skip = at + 4 * (xlen == 64 ? 4 : 2) + 4;
    li32(A1, data_start + INPUTS);
    while (at + 4 < skip)
        put(0x13);
    put(enc_store(A1, GP, INPUT));
    put(enc_load(RA, GP, NEXT));
    for (int r = 4; r < 32; r++)
        if (r != S0 && r != S1 && r != A0)
            put(enc_load(r, A0, r * 8));
    put(enc_load(A0, A0, A0 * 8));
    put(0x00008067); /* ret */
}

/* The routine between blocks: ra = the next block, the block's own ra is in SAVED_RA. */
static void put_epilogue(void)
{
    put(enc_store(RA, GP, NEXT));
    save_set();
    put(enc_load(T0, GP, SAVED_RA));
    put(enc_store(T0, GP, SAVE + 8));
    put(enc_load(A0, GP, RESULT));
    if (full) { /* copy the set */
        for (int i = 0; i < SET_BYTES; i += xlen / 8) {
            put(enc_load(T0, GP, SAVE + i));
            put(enc_store(T0, A0, i));
        }
        put(enc_i(0x13, A0, A0, SET_BYTES));
    } else { /* t0 = hash of all words */
        put(enc_i(0x13, T0, X0, 0));
        li32(T1, 0x9e3779b1);
        put(enc_i(0x13, A1, GP, SAVE));
        put(enc_i(0x13, A2, GP, SAVE + SET_BYTES));
        uint32_t loop = at;
        put(enc_load(T2, A1, 0));
        put(OPREG(0, 4, 0x33) | T0 << 7 | T0 << 15 | T2 << 20); /* xor t0, t0, t2 */
        put(OPREG(1, 0, 0x33) | T0 << 7 | T0 << 15 | T1 << 20); /* mul t0, t0, t1 */
        put(enc_i(0x5013, T2, T0, xlen / 2 - 3));               /* srli t2, t0 */
        put(OPREG(0, 4, 0x33) | T0 << 7 | T0 << 15 | T2 << 20);
        put(enc_i(0x13, A1, A1, xlen / 8));
        put(enc_b(OPREG(0, 1, 0x63), A1, A2, loop - at));
        put(enc_store(T0, A0, 0));
        put(enc_i(0x13, A0, A0, xlen / 8));
    }
    put(enc_store(A0, GP, RESULT));
    put_next_inputs();
}

/* Finish: results and scratch memory to standard output, or to the UART and then power off. */
static void put_finish(void)
{
    li32(A1, result_start);
    put(enc_load(A2, GP, RESULT));
    put(OPREG(0x20, 0, 0x33) | A2 << 7 | A2 << 15 |
        A1 << 20); /* length of the results; the scratch pages come before them */
    put(enc_load(T0, GP, MACHINE));
    uint32_t branch = at;
    at += 4;
    for (int i = 0; i < 2; i++) {
        put(enc_i(0x13, A0, X0, 1));
        put(enc_i(0x13, A7, X0, 64)); /* write */
        put(0x73);
        li32(A1, data_start + SCRATCH);
        li32(A2, 0x3000);
    }
    put(enc_i(0x13, A0, X0, 0));
    put(enc_i(0x13, A7, X0, 93)); /* exit */
    put(0x73);
    uint32_t machine = at;
    at = branch;
    put(enc_b(OPREG(0, 1, 0x63), T0, X0, machine - branch));
    at = machine;
    li32(A3, 0x10000000);
    for (int i = 0; i < 2; i++) {
        put(OPREG(0, 0, 0x33) | A2 << 7 | A2 << 15 | A1 << 20);
        uint32_t loop = at;
        put(enc_i(0x4003, T0, A3, 5)); /* line status: transmitter empty */
        put(enc_i(0x7013, T0, T0, 0x20));
        put(enc_b(OPREG(0, 0, 0x63), T0, X0, loop - at));
        put(enc_i(0x4003, T0, A1, 0));
        put(enc_s(0x23, A3, T0, 0));
        put(enc_i(0x13, A1, A1, 1));
        put(enc_b(OPREG(0, 1, 0x63), A1, A2, loop - at));
        li32(A1, data_start + SCRATCH);
        li32(A2, 0x3000);
    }
    li32(A0, 0x100000);
    li32(T0, 0x5555);
    put(enc_s(0x2023, A0, T0, 0));
    put(enc_j(X0, 0));
}

/* Where a trap in machine mode goes: exit status = cause. */
static uint32_t put_trap(void)
{
    uint32_t here = at;
    put(0x342022f3); /* csrr t0, mcause */
    put(enc_i(0x1013, T0, T0, 16));
    li32(T1, 0x3333);
    put(OPREG(0, 6, 0x33) | T0 << 7 | T0 << 15 | T1 << 20);
    li32(A0, 0x100000);
    put(enc_s(0x2023, A0, T0, 0));
    put(enc_j(X0, 0));
    return here;
}

uint64_t random_value(bool is_float)
{
    static const uint64_t edge[] = {
        0, 1,    ~0ull, 1ull << 63, 1ull << 31, 0x7fffffff, 0x7fffffffffffffff, 0xffffffff, 0xffffffff80000000,
        2, 0x80, 0xff
    };
    static const uint64_t f64[] = { 0,
                                    1ull << 63,
                                    0x3ff0000000000000,
                                    0xbff0000000000000,
                                    0x7ff0000000000000,
                                    0xfff0000000000000,
                                    0x7ff8000000000000,
                                    0x7ff0000000000001,
                                    0xfff8dead00000000,
                                    1,
                                    0x800fffffffffffff,
                                    0x0010000000000000,
                                    0x7fefffffffffffff,
                                    0x41dfffffffc00000,
                                    0xc1e0000000000000,
                                    0x43e0000000000000,
                                    0x41efffffffe00000,
                                    0x3fe0000000000000,
                                    0x3ff8000000000000,
                                    0x36a0000000000000,
                                    0x47efffffe0000000,
                                    0x3cb0000000000000 };
    static const uint32_t f32[] = { 0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000,
                                    0x7f800001, 0xffc01234, 1,          0x807fffff, 0x00800000, 0x7f7fffff, 0x4f000000,
                                    0xcf000000, 0x5f000000, 0x4f7fffff, 0x3f000000, 0x3fc00000, 0x34000000 };
    static const uint16_t f16[] = { 0,      0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xfe12, 1,
                                    0x83ff, 0x0400, 0x7bff, 0x7800, 0xf800, 0x3800, 0x3e00, 0x1400, 0x5bff, 0x6400 };
    uint64_t r = rnd();
    if (!is_float)
        return below(3) ? (below(2) ? r : (uint64_t)((int64_t)r >> below(63))) : edge[below(12)];
    switch (below(10)) {
    case 0:
        return r;
    case 7:
        return ~0xffffull | f16[below(20)];
    case 8:
        return ~0xffffull | (r & 0xffff);
    case 1:
        return f64[below(22)];
    case 2:
        return 0xffffffff00000000 | f32[below(20)];
    case 3:
        return 0xffffffff00000000 | (uint32_t)r;
    case 4:
        return 0xffffffff00000000 | (r & 0x807fffff) | (uint32_t)(120 + below(16)) << 23;
    case 5:
        return 0xffffffff00000000 | (r & 0x80780000) | (uint32_t)(120 + below(16)) << 23;
    case 6:
        return (r & 0x800ffff000000000) | (uint64_t)(1015 + below(20)) << 52;
    default:
        return (r & 0x800fffffffffffff) | (uint64_t)(1015 + below(20)) << 52;
    }
}

static void put_blocks(uint32_t epilogue)
{
    for (unsigned b = 0; b < blocks; b++) {
        for (unsigned n = 0; n < length; n++) {
            const Kind *k;
            do
                k = kind(below(KINDS));
            while ((k->xlen && k->xlen != xlen) || (only && strcmp(k->name, only)));
            gen_one(k);
        }
        put(enc_store(RA, GP, SAVED_RA));
        int32_t d = epilogue - at;
        put(0x17 | RA << 7 | ((d + 0x800) & 0xfffff000));
        put(enc_i(0x67, RA, RA, d & 0xfff));
    }
}

/* Code: entry, trap, epilogue, blocks, finish. Data addresses must be known before the code: a fixed room for code. */
static uint32_t put_program(uint32_t code_room)
{
    unsigned result_size = full ? SET_BYTES : xlen / 8;
    result_bytes = blocks * passes * result_size;
    data_start = BASE + code_room;
    result_start = data_start + INPUTS + INPUT_BYTES;
    at = 4; /* a jump to the entry comes first: with -bios none the reference starts at the base of RAM */
    uint32_t trap = put_trap(), entry;
    uint32_t epilogue = at;
    put_epilogue();
    uint32_t start_blocks = at;
    put(enc_load(T0, GP, PASS)); /* the end of a pass: ra comes from the last block, or the entry jumps here */
    put(enc_i(0x13, T0, T0, -1 & 0xfff));
    put(enc_store(T0, GP, PASS));
    uint32_t branch = at;
    put(0);
    put_finish();
    uint32_t again = at;
    at = branch;
    put(enc_b(OPREG(0, 1, 0x63), T0, X0, again - branch));
    at = again;
    uint32_t next_fix = at;
    at += 8;
    put(enc_i(0x13, RA, RA, 0));
    put(enc_store(RA, GP, NEXT));
    put_next_inputs();
    uint32_t machine_entry = at;
    li32(T0, 0x6000);
    put(0x3002a073); /* csrs mstatus, t0: FS dirty */
    li32(T0, BASE + trap);
    put(0x30529073); /* csrw mtvec, t0 */
    put(enc_i(0x13, T1, X0, 1));
    put(enc_j(X0, 8));
    entry = at;
    put(enc_i(0x13, T1, X0, 0));
    li32(GP, data_start);
    put(enc_store(T1, GP, MACHINE));
    li32(SP, data_start + 0x2000);
    li32(S0, data_start + 0x1f03);
    li32(S1, data_start + 0x1a40);
    li32(T0, result_start);
    put(enc_store(T0, GP, RESULT));
    li32(T0, data_start + INPUTS);
    put(enc_store(T0, GP, INPUT));
    put(enc_i(0x13, T0, X0, passes + 1));
    put(enc_store(T0, GP, PASS));
    put(enc_j(X0, start_blocks - at));
    uint32_t first = at;
    put_blocks(epilogue);
    put(0x17 | T0 << 7 | ((start_blocks - at + 0x800) & 0xfffff000));
    put(enc_i(0x67, X0, T0, (start_blocks - (at - 4)) & 0xfff));
    uint32_t end = at;
    at = next_fix; /* ra = the first block */
    put(0x17 | RA << 7 | ((first - next_fix + 0x800) & 0xfffff000));
    put(enc_i(0x13, RA, RA, (first - next_fix) & 0xfff));
    at = 0;
    put(enc_j(X0, machine_entry));
    at = end;
    return machine_mode ? 0 : entry;
}

static void write_elf(FILE *f, uint32_t entry, uint32_t file_size, uint32_t memory_size)
{
    if (xlen == 64) {
        struct {
            Elf64_Ehdr e;
            Elf64_Phdr p;
        } h = { 0 };
        h.e = (Elf64_Ehdr){ { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                            ET_EXEC,
                            EM_RISCV,
                            EV_CURRENT,
                            BASE + entry,
                            sizeof(Elf64_Ehdr),
                            0,
                            5,
                            sizeof(Elf64_Ehdr),
                            sizeof(Elf64_Phdr),
                            1,
                            0,
                            0,
                            0 };
        h.p = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W | PF_X, 0x1000, BASE, BASE, file_size, memory_size, 0x1000 };
        fwrite(&h, sizeof h, 1, f);
    } else {
        struct {
            Elf32_Ehdr e;
            Elf32_Phdr p;
        } h = { 0 };
        h.e = (Elf32_Ehdr){ { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
                            ET_EXEC,
                            EM_RISCV,
                            EV_CURRENT,
                            BASE + entry,
                            sizeof(Elf32_Ehdr),
                            0,
                            5,
                            sizeof(Elf32_Ehdr),
                            sizeof(Elf32_Phdr),
                            1,
                            0,
                            0,
                            0 };
        h.p = (Elf32_Phdr){ PT_LOAD, 0x1000, BASE, BASE, file_size, memory_size, PF_R | PF_W | PF_X, 0x1000 };
        fwrite(&h, sizeof h, 1, f);
    }
    fseek(f, 0x1000, SEEK_SET);
    fwrite(image, file_size, 1, f);
}

static int list_kinds(void)
{
    for (unsigned i = 0; i < KINDS; i++) {
        if (!kind(i)->xlen || kind(i)->xlen == xlen)
            printf("%s\n", kind(i)->name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    bool count = false, list = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(a, "--machine"))
            machine_mode = true;
        else if (!strcmp(a, "--full"))
            full = true;
        else if (!strcmp(a, "--count"))
            count = true;
        else if (!strcmp(a, "--list"))
            list = true;
        else if (!strcmp(a, "--xlen"))
            xlen = atoi(v), i++;
        else if (!strcmp(a, "--seed"))
            seed = strtoull(v, NULL, 0), i++;
        else if (!strcmp(a, "--blocks"))
            blocks = atoi(v), i++;
        else if (!strcmp(a, "--length"))
            length = atoi(v), i++;
        else if (!strcmp(a, "--passes"))
            passes = atoi(v), i++;
        else if (!strcmp(a, "--only"))
            only = v, i++;
        else
            path = a;
    }
    if (list)
        return list_kinds();
    find_extensions();
    bool any = false;
    for (unsigned i = 0; i < KINDS; i++)
        any |= (!kind(i)->xlen || kind(i)->xlen == xlen) && (!only || !strcmp(only, kind(i)->name));
    if (!any) {
        fprintf(stderr, "riscv-gen: RV%u has no '%s'\n", xlen, only);
        return 1;
    }
    uint32_t code_room = (0x2000 + blocks * (length * (only ? 160 : 32) + 16) + 0xfff) & ~0xfff;
    uint32_t file_size = code_room + INPUTS + INPUT_BYTES;
    image = calloc(file_size, 1);
    if (!image)
        return 1;
    uint32_t entry = put_program(code_room);
    if (count) {
        tally_print(tallies);
        return 0;
    }
    for (int i = 0; i < INPUT_SETS; i++)
        for (int r = 0; r < 65; r++) {
            uint64_t v = r == 32 ? below(5) << 5 | below(32) : random_value(r > 32);
            if (r < 32 && xlen == 32)
                v = (uint32_t)v;
            memcpy(image + code_room + INPUTS + i * SET_BYTES + r * 8, &v, 8);
        }
    for (int i = 0; i < 0x3000; i += 8) {
        uint64_t v = random_value(i & 8);
        memcpy(image + code_room + SCRATCH + i, &v, 8);
    }
    FILE *f = path ? fopen(path, "wb") : NULL;
    if (!f) {
        fprintf(stderr, "riscv-gen: cannot write %s\n", path ? path : "without a file name");
        return 1;
    }
    write_elf(f, entry, file_size, file_size + result_bytes + 4096);
    return fclose(f) != 0;
}
