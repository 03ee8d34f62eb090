/*
 * Random RISC-V vector programs for comparing executors: like riscv_gen.c, one ELF that runs in user mode
 * (qemu-riscv64 -cpu rv64,v=true,...) and bare metal in machine mode, and prints the same in both.
 *
 *   vector-gen [--machine] [--xlen 32|64] [--vlen N] [--seed N] [--blocks N] [--length N] [--passes N] [--only NAME]
 *              [--full] FILE
 *   vector-gen --count ...   prints a line for each extension: name, kinds, instances, oracle
 *   vector-gen --list ...    prints the names of all kinds
 *
 * A block sets vl, vtype, rounding modes and now and then vstart, and runs some random instructions; then a routine
 * folds all vector registers, some of the others and the CSRs into the block's result, and loads other values. Most
 * instructions are legal; the others go to a handler (of SIGILL, or the trap handler), which skips them and notes
 * where they were. The encodings are written from the ISA manual (20240411).
 *
 * Left out, because qemu-user 7.2 is wrong or free to differ (tests/guest/metal/vector.c has the right results):
 *   - vstart at or above vl, and for slides up, moves of scalars and whole registers, loads and stores of whole
 * registers: 7.2 does not set it to 0;
 *   - whole-register moves while vill is set;
 *   - floating point of 16 bits without Zvfh: 7.2 takes it for legal, so Rhea's CPU has Zvfh;
 *   - indices of 64 bits on RV32: 7.2 knows them, the V extension does not;
 *   - v(f)slide1up and v(f)slide1down of 64 bits on RV32: 7.2 takes 32 bits of the scalar, and zeros;
 *   - conversions that say "towards zero" run there as those that do so by frm: see put_rtz.
 * SPDX-License-Identifier: MIT
 */
#include "vector_gen.h"
#include "tally.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint8_t what;
} memory_kinds[] = { { "unit", UNIT },   { "strided", STRIDED }, { "indexed", INDEXED }, { "faultfirst", FAULT_FIRST },
                     { "whole", WHOLE }, { "masks", MASKS },     { "setvl", SETVL } };
enum { MEMORY_KINDS = sizeof memory_kinds / sizeof *memory_kinds };

/* ---- options and the image ---- */
unsigned vlen = 128;
static unsigned blocks = 1000, length = 10, passes = 4;
static bool full;
static const char *only;
static Tally tallies[TALLY_EXTENSIONS];

#define BASE 0x80000000u
/* offsets from gp: words of the state area, what is folded, the scratch memory, inputs */
enum { COUNT = 0, RESULT = 8, INPUT = 16, NEXT = 24, PASS = 32, MACHINE = 40, ACTION = 48, KEEP = 96, SAVE = 0x800 };
enum { SCALARS = 8 + 6 + 8, SCRATCH = 0x4000, SCRATCH_BYTES = 0x20000, INPUTS = SCRATCH + SCRATCH_BYTES };
static uint32_t data_start, result_start, input_bytes, file_size;

void put_data(const void *data, unsigned bytes)
{
    memcpy(image + at, data, bytes);
    at += bytes;
}

/* ---- plain encoders ---- */
static uint32_t enc_r(unsigned f7, unsigned f3, int rd, int rs1, int rs2)
{
    return 0x33 | f7 << 25 | f3 << 12 | rd << 7 | rs1 << 15 | rs2 << 20;
}
static void addi(int rd, int rs1, int imm)
{
    put(enc_i(0x13, rd, rs1, imm & 0xfff));
}
static void csr_read(int rd, unsigned csr)
{
    put(0x2073 | rd << 7 | csr << 20);
}
void csr_write_imm(unsigned csr, unsigned imm)
{
    put(0x5073 | imm << 15 | csr << 20);
}
static void li32(int rd, uint32_t v)
{
    put(0x37 | rd << 7 | ((v + 0x800) & 0xfffff000));
    addi(rd, rd, v & 0xfff);
    if (xlen == 64 && v & 0x80000000) { /* zero-extend */
        put(enc_i(0x1013, rd, rd, 32));
        put(enc_i(0x5013, rd, rd, 32));
    }
}
static void jump(int rd, uint32_t to)
{
    int32_t d = to - at;
    put(0x17 | RA << 7 | ((d + 0x800) & 0xfffff000));
    put(enc_i(0x67, rd, RA, d & 0xfff));
}

/* ---- the vector configuration as the program will have it ---- */
int sew, lmul;
unsigned vl, frm;

static unsigned vlmax(void)
{
    return lmul >= 0 ? (vlen >> (3 + sew)) << lmul : vlen >> (3 + sew) >> -lmul;
}

static bool kind_fits(const Kind *k);
/* A random one, in which k, unless it is NULL, is legal. */
static void set_config_for(const Kind *k)
{
    do {
        sew = below(4);
        lmul = (int)below(7) - 3;
    } while (sew > 3 + (lmul < 0 ? lmul : 0) || (k && !kind_fits(k)));
    unsigned vtype = (below(4) << 6) | sew << 3 | (lmul & 7), max = vlmax(), avl;
    switch (below(6)) {
    case 0:
        avl = below(max + 1);
        break;
    case 1:
        avl = below(8);
        break;
    default: /* what is inline */
        avl = max;
    }
    vl = avl < max ? avl : max;
    if (avl < 32 && below(2)) {
        put(0xc0007057 | vtype << 20 | avl << 15); /* vsetivli */
    } else {
        addi(T0, X0, avl);
        put(0x7057 | vtype << 20 | T0 << 15);
    }
}
static void set_config(void)
{
    set_config_for(NULL);
}
static bool vstart_set;
static void set_vstart(void)
{
    if (vl > 1) {
        csr_write_imm(0x008, 1 + below(vl - 1 < 31 ? vl - 1 : 31));
        vstart_set = true;
    }
}

/* ---- random operands ---- */
int emul_of(Operand o)
{
    switch (o) {
    case S:
        return lmul;
    case WIDE:
        return lmul + 1;
    case HALF:
        return lmul - 1;
    case QUARTER:
        return lmul - 2;
    case EIGHTH:
        return lmul - 3;
    case INDEX16:
        return 1 - sew + lmul;
    case GROUP2:
        return 1;
    case GROUP4:
        return 2;
    case GROUP8:
        return 3;
    default:
        return 0;
    }
}
int eew_of(Operand o)
{
    static const int8_t delta[] = { [WIDE] = 1, [HALF] = -1, [QUARTER] = -2, [EIGHTH] = -3 };
    return o == MASK ? -8 : o == INDEX16 ? 1 : o <= EIGHTH ? sew + delta[o] : sew;
}
bool is_vector(Operand o)
{
    return o <= GROUP8;
}
unsigned regs_of(Operand o)
{
    int e = emul_of(o);
    return e <= 0 ? 1 : e > 3 ? 8 : 1u << e;
}
static unsigned vreg(Operand o)
{
    return below(32) & ~(regs_of(o) - 1);
}
static unsigned scalar(void)
{
    return below(8) ? A0 + below(6) : X0;
}
bool overlap(unsigned a, unsigned n, unsigned b, unsigned m)
{
    return a < b + m && b < a + n;
}
/* Is this pair of operands likely to be legal? */
static bool compatible(const Kind *k, unsigned d, unsigned r, Operand o)
{
    if (!is_vector(k->d) || !is_vector(o) || !overlap(d, regs_of(k->d), r, regs_of(o)))
        return true;
    if (k->flags & APART)
        return false;
    return k->d == ONE || o == ONE || eew_of(k->d) == eew_of(o) || d == r || d + regs_of(k->d) == r + regs_of(o);
}
static bool size_fits(Operand o)
{
    int e = emul_of(o), w = eew_of(o);
    return !is_vector(o) || (e >= -3 && e <= 3 && (o == MASK || (w >= 0 && w <= 3)));
}
static bool kind_fits(const Kind *k)
{
    if (!size_fits(k->d) || !size_fits(k->s2) || !size_fits(k->s1))
        return false;
    if (!strncmp(k->name, "vwred", 5) || !strncmp(k->name, "vfwred", 6))
        return sew < 3 && (!(k->flags & FP) || sew > 0);
    if (strstr(k->name, "wcvt.f.x") || strstr(k->name, "ncvt.x") || strstr(k->name, "ncvt.rtz.x"))
        return sew < 3;
    if (k->model && k->match >> 26 << 26 == 0x30000000 + (k->match & 0x04000000)) /* vclmul, vclmulh */
        return sew == 3;
    if (k->model && k->flags & FP)
        return sew == 1;
    return !(k->flags & FP) || sew > 0;
}
/* What the reference does wrong: never. */
static bool left_out(const Kind *k)
{
    return (xlen == 32 && sew == 3 && strstr(k->name, "slide1"));
}

/* 7.2 stops with an assertion at conversions that say "towards zero": it gets those that do so by frm. */
static void put_rtz(const Kind *k, uint32_t bits)
{
    bool rtz = strstr(k->name, "rtz");
    uint32_t plain = bits & ~(6u << 15); /* of the six: vs1 is that of the plain one plus 6 */
    if (!rtz) {
        put(bits);
        return;
    }
    if (machine_mode) {
        put(0x13);
        put(bits);
        put(0x13);
    } else {
        csr_write_imm(0x002, 1);
        put(plain);
        csr_write_imm(0x002, frm);
    }
}

static void gen_arithmetic(const Kind *k)
{
    bool wild = below(100) == 0;
    unsigned d = 0, r2 = 0, r1 = 0, vm = 1;
    for (unsigned tries = 0; tries < 30; tries++) {
        d = is_vector(k->d) ? vreg(k->d) : k->d == XREG ? A0 + below(6) : below(8);
        r2 = is_vector(k->s2) ? vreg(k->s2) : 0;
        r1 = is_vector(k->s1) ? vreg(k->s1)
             : k->s1 == X     ? scalar()
             : k->s1 == F     ? below(8)
             : k->s1 == IMM   ? below(32)
                              : 0;
        vm = k->vm == GIVEN ? k->match >> 25 & 1 : below(2);
        if (wild) {
            d = is_vector(k->d) ? below(32) : d;
            r2 = is_vector(k->s2) ? below(32) : r2;
            break;
        }
        if ((vm || d || !is_vector(k->d) || k->d == MASK || k->d == ONE) && compatible(k, d, r2, k->s2) &&
            compatible(k, d, r1, k->s1))
            break;
    }
    if (!below(10) && !(k->flags & KEEPS_VSTART) && (!(k->flags & NO_VSTART) || !below(10)))
        set_vstart();
    uint32_t bits = k->match | d << 7;
    if (is_vector(k->s2))
        bits |= r2 << 20;
    if (k->s1 != FIXED)
        bits |= r1 << 15;
    put_rtz(k, bits | (k->vm == ANY ? vm << 25 : 0));
}

static const uint32_t widths[] = { 0, 5 << 12, 6 << 12, 7 << 12 };

/* Index registers hold small numbers: shorten them first. */
static void shorten_index(unsigned r, int eew, int emul)
{
    if (eew == 0 || emul < -3 || emul > 3 || r & ((emul <= 0 ? 1 : 1 << emul) - 1))
        return;
    put(0x7057 | (unsigned)(eew << 3 | (emul & 7)) << 20); /* vsetvli x0, x0: as many elements */
    put(0x26004057 | r << 20 | S3 << 15 | r << 7);         /* vand.vx */
    put(0x7057 | (unsigned)(sew << 3 | (lmul & 7)) << 20);
}

static void gen_memory(unsigned what)
{
    bool store = below(2), wild = below(60) == 0;
    int eew = below(4), emul = eew - sew + lmul;
    unsigned nf = below(3) ? 0 : below(8), vm = below(2), rs2 = 0, d, mop = 0, base = S0;
    if (what == INDEXED || wild || emul < -3 || emul > 3) {
        if (what != INDEXED && !wild)
            eew = sew;
        emul = lmul;
    }
    unsigned group = emul <= 0 ? 1 : 1u << emul;
    if (what == WHOLE) {
        nf = (1u << below(4)) - 1;
        group = nf + 1;
        rs2 = 8;
        vm = 1;
        if (store)
            eew = 0;
    }
    while (what != WHOLE && !wild && (nf + 1) * group > 8)
        nf = below(8);
    do
        d = below(32) & ~(group - 1);
    while (!wild && what != WHOLE && (d + (nf + 1) * group > 32 || (!store && !vm && !d)));
    if (what == MASKS) {
        eew = nf = 0;
        vm = 1;
        rs2 = 11;
    } else if (what == FAULT_FIRST) {
        store = false;
        rs2 = 16;
    } else if (what == STRIDED) {
        mop = 2;
        rs2 = S2;
        addi(S2, X0, (int)below(81) - 40);
    } else if (what == INDEXED) {
        int index_emul = eew - sew + lmul;
        if (xlen == 32 && eew == 3)
            eew = 2, index_emul--;
        if (index_emul < -3 || index_emul > 3)
            eew = sew, index_emul = lmul;
        if (xlen == 32 && eew == 3)
            return;
        rs2 = below(32) & ~((index_emul <= 0 ? 1 : 1 << index_emul) - 1);
        mop = below(2) ? 1 : 3;
        shorten_index(rs2, eew, index_emul);
    }
    if (!below(3))
        addi(base = S4, S0, (int)below(64) - 32);
    if (!below(10) && what != FAULT_FIRST && what != WHOLE)
        set_vstart();
    put((store ? 0x27 : 0x07) | widths[eew] | nf << 29 | mop << 26 | vm << 25 | rs2 << 20 | base << 15 | d << 7);
}

static void gen_setvl(void)
{
    unsigned vtype = below(2) ? below(256) : rnd() & 0x7ff;
    int rd = below(3) ? (int)(A0 + below(6)) : 0, rs1 = below(3) ? (int)scalar() : 0;
    switch (below(3)) {
    case 0:
        put(0x7057 | vtype << 20 | rs1 << 15 | rd << 7);
        break;
    case 1:
        put(0xc0007057 | (vtype & 0x3ff) << 20 | below(32) << 15 | rd << 7);
        break;
    default:
        addi(T0, X0, vtype);
        put(0x80007057 | (below(8) ? T0 : A0) << 20 | rs1 << 15 | rd << 7);
    }
    csr_read(T0, 0xc21); /* what came of it is part of a scalar register */
    put(enc_r(0, 4, A5, A5, T0));
    csr_read(T0, 0xc20);
    put(enc_r(0, 4, A4, A4, T0));
    set_config();
}

/* An illegal instruction leaves vstart to the next one, which may be of those left out: look at it, and set it to 0. */
static void after_vstart(void)
{
    if (!vstart_set)
        return;
    csr_read(T0, 0x008);
    put(enc_r(0, 0, A5, A5, T0));
    csr_write_imm(0x008, 0);
    vstart_set = false;
}

/* Flags stay set: without this hardly an instruction's would be seen. They become part of a scalar register. */
static void take_flags(void)
{
    put(0x00101073 | T0 << 7); /* csrrw t0, fflags, x0 */
    put(enc_i(0x1013, A3, A3, 1));
    put(enc_r(0, 4, A3, A3, T0));
}

static bool wanted(const char *name)
{
    return !only || !strcmp(only, name);
}
/* An arithmetic instruction; false: not with this configuration. */
static bool gen_kind(const Kind *k)
{
    const char *ext = k->ext ? k->ext : k->flags & FP && sew < 2 ? "zvfh" : "v";
    bool fits = kind_fits(k);
    if (k->model && !fits && below(30)) { /* rarely: illegal, and unknown to the oracle */
        set_config_for(k);
        fits = true;
    }
    bool possible = k->model || (!left_out(k) && (fits || !below(60)));
    if (!possible) {
        if (only && !below(20))
            set_config();
        return false;
    }
    if (k->model && fits)
        gen_known(k);
    else
        gen_arithmetic(k);
    if (k->flags & FP && below(2))
        take_flags();
    tally(tallies, ext, k->model ? "model in vector_kinds.c" : "qemu-user", k - kinds, k->model ? 1 : passes);
    return true;
}
static void gen_one(void)
{
    for (;;) {
        if (!below(6) || only) {
            unsigned m = below(MEMORY_KINDS);
            if (wanted(memory_kinds[m].name)) {
                if (memory_kinds[m].what == SETVL)
                    gen_setvl();
                else
                    gen_memory(memory_kinds[m].what);
                tally(tallies, "v", "qemu-user", kind_count + m, passes);
                break;
            }
        }
        const Kind *k = &kinds[below(kind_count)];
        if (!only && !below(8)) /* what has a model runs once, not in each pass with other operands: more of it */
            while (!k->model)
                k = &kinds[below(kind_count)];
        if (wanted(k->name) && gen_kind(k))
            break;
    }
    after_vstart();
}

/* ---- the fixed part ---- */
static void put_save(void)
{
    static const uint16_t csrs[] = { 0xc20, 0xc21, 0x00f, 0x008, 0x003 };
    unsigned word = xlen / 8, offset = SAVE + 4 * vlen;
    li32(T1, offset);
    put(enc_r(0, 0, T1, T1, GP));
    for (unsigned i = 0; i < 5; i++) {
        csr_read(T0, csrs[i]);
        put(enc_store(T0, T1, i * word));
    }
    put(enc_load(T0, GP, COUNT));
    put(enc_store(T0, T1, 5 * word));
    put(enc_store(X0, T1, 6 * word));
    put(enc_store(X0, T1, 7 * word));
    for (unsigned i = 0; i < 6; i++)
        put(enc_store(A0 + i, T1, (8 + i) * word));
    if (xlen == 32)
        for (unsigned i = 0; i < 6; i++)
            put(enc_store(X0, T1, (14 + i) * word));
    for (unsigned i = 0; i < 8; i++)
        put(enc_s(0x3027, T1, i, (xlen == 64 ? 14 * 8 : 20 * 4) + i * 8));
    csr_write_imm(0x008, 0);
    li32(T1, SAVE);
    put(enc_r(0, 0, T1, T1, GP));
    for (unsigned r = 0; r < 32; r += 8) {
        put(0x27 | 7u << 29 | 1 << 25 | 8 << 20 | T1 << 15 | r << 7); /* vs8r.v */
        addi(T1, T1, vlen);
    }
}
static unsigned save_bytes(void)
{
    return 4 * vlen + (xlen == 64 ? SCALARS * 8 : 20 * 4 + 8 * 8);
}

/* All that is folded, from the words at s5. */
static void put_load(void)
{
    for (unsigned r = 0; r < 32; r += 8) {
        put(0x07 | 7u << 29 | 1 << 25 | 8 << 20 | S5 << 15 | r << 7); /* vl8re8.v */
        addi(S5, S5, vlen);
    }
    for (unsigned i = 0; i < 6; i++)
        put(enc_load(A0 + i, S5, i * 8));
    for (unsigned i = 0; i < 8; i++)
        put(enc_i(0x3007, i, S5, 48 + i * 8));
}

/* After each block: ra = the next one. */
static void put_next(void)
{
    put(enc_store(RA, GP, NEXT));
    put_save();
    li32(T1, SAVE);
    put(enc_r(0, 0, T1, T1, GP));
    li32(T2, save_bytes());
    put(enc_r(0, 0, T2, T1, T2));
    put(enc_load(S5, GP, RESULT));
    if (full) {
        uint32_t loop = at;
        put(enc_load(T0, T1, 0));
        put(enc_store(T0, S5, 0));
        addi(T1, T1, xlen / 8);
        addi(S5, S5, xlen / 8);
        put(enc_b(0x1063, T1, T2, loop - at));
    } else {
        put(enc_load(A0, S5, 0));
        li32(A1, 0x9e3779b1);
        uint32_t loop = at;
        put(enc_load(T0, T1, 0));
        put(enc_r(0, 4, A0, A0, T0));
        put(enc_r(1, 0, A0, A0, A1));
        put(enc_i(0x5013, T0, A0, xlen / 2 - 3));
        put(enc_r(0, 4, A0, A0, T0));
        addi(T1, T1, xlen / 8);
        put(enc_b(0x1063, T1, T2, loop - at));
        put(enc_store(A0, S5, 0));
        addi(S5, S5, xlen / 8);
    }
    put(enc_store(S5, GP, RESULT));
    /* other inputs: a step further, and back at the end */
    put(enc_load(S5, GP, INPUT));
    put_load();
    put(enc_load(S5, GP, INPUT));
    addi(S5, S5, 0x278);
    li32(T0, data_start + INPUTS + input_bytes - 0x400 - 8 * vlen);
    put(enc_b(0x6063, S5, T0, 8 + (xlen == 64 ? 16 : 8))); /* bltu */
    uint32_t after = at + (xlen == 64 ? 16 : 8) + 4;
    li32(S5, data_start + INPUTS + 8 * below(16));
    while (at < after)
        put(0x13);
    put(enc_store(S5, GP, INPUT));
    put(enc_load(RA, GP, NEXT));
    put(0x00008067);
}

static void put_output(void)
{
    static const unsigned what = SCRATCH;
    li32(A1, result_start);
    put(enc_load(A2, GP, RESULT));
    put(enc_r(0x20, 0, A2, A2, A1));
    put(enc_load(T0, GP, MACHINE));
    uint32_t branch = at;
    at += 4;
    for (int i = 0; i < 2; i++) {
        addi(A0, X0, 1);
        addi(A7, X0, 64); /* write */
        put(0x73);
        li32(A1, data_start + what);
        li32(A2, SCRATCH_BYTES);
    }
    addi(A0, X0, 0);
    addi(A7, X0, 93); /* exit */
    put(0x73);
    uint32_t machine = at;
    at = branch;
    put(enc_b(0x1063, T0, X0, machine - branch));
    at = machine;
    li32(A3, 0x10000000);
    for (int i = 0; i < 2; i++) {
        put(enc_r(0, 0, A2, A2, A1));
        uint32_t loop = at;
        put(enc_i(0x4003, T0, A3, 5)); /* line status: transmitter empty */
        put(enc_i(0x7013, T0, T0, 0x20));
        put(enc_b(0x63, T0, X0, loop - at));
        put(enc_i(0x4003, T0, A1, 0));
        put(enc_s(0x23, A3, T0, 0));
        addi(A1, A1, 1);
        put(enc_b(0x1063, A1, A2, loop - at));
        li32(A1, data_start + what);
        li32(A2, SCRATCH_BYTES);
    }
    li32(A0, 0x100000);
    li32(T0, 0x5555);
    put(enc_s(0x2023, A0, T0, 0));
    put(0x6f);
}

/* Illegal instructions: add the address to COUNT, go on after it. Anything else in machine mode: exit with the cause.
 */
static uint32_t put_trap(void)
{
    uint32_t here = at;
    put(enc_store(T0, GP, KEEP));
    put(enc_store(T1, GP, KEEP + 8));
    csr_read(T0, 0x342);
    addi(T0, T0, -2);
    uint32_t branch = at;
    at += 4;
    csr_read(T0, 0x341);
    put(enc_load(T1, GP, COUNT));
    put(enc_r(0, 0, T1, T1, T0));
    put(enc_store(T1, GP, COUNT));
    addi(T0, T0, 4);
    put(0x34129073); /* csrw mepc, t0 */
    put(enc_load(T0, GP, KEEP));
    put(enc_load(T1, GP, KEEP + 8));
    put(0x30200073); /* mret */
    uint32_t other = at;
    at = branch;
    put(enc_b(0x1063, T0, X0, other - branch));
    at = other;
    csr_read(T0, 0x342);
    put(enc_i(0x1013, T0, T0, 16));
    li32(T1, 0x3333);
    put(enc_r(0, 6, T0, T0, T1));
    li32(A0, 0x100000);
    put(enc_s(0x2023, A0, T0, 0));
    put(0x6f);
    return here;
}
/* The same as a signal handler; a2: the context, which has the pc. */
static uint32_t put_handler(void)
{
    uint32_t here = at;
    unsigned pc = xlen == 64 ? 176 : 160;
    put(enc_load(T0, A2, pc));
    put(enc_load(T1, GP, COUNT));
    put(enc_r(0, 0, T1, T1, T0));
    put(enc_store(T1, GP, COUNT));
    addi(T0, T0, 4);
    put(enc_store(T0, A2, pc));
    put(0x00008067);
    return here;
}

static void put_block(uint32_t next)
{
    csr_write_imm(0x001, 0); /* flags of each block show */
    csr_write_imm(0x002, frm = below(5));
    csr_write_imm(0x00f, below(8));
    set_config();
    for (unsigned n = 0; n < length; n++) {
        if (n && !below(4))
            set_config();
        gen_one();
    }
    jump(RA, next);
}

/* User mode (t1 is 0): SIGILL goes to the handler. */
static void put_sigaction(uint32_t handler)
{
    unsigned word = xlen / 8;
    li32(T0, BASE + handler);
    put(enc_store(T0, GP, ACTION));
    addi(T0, X0, 4); /* SA_SIGINFO */
    put(enc_store(T0, GP, ACTION + word));
    put(enc_b(0x1063, T1, X0, 28));
    addi(A0, X0, 4); /* SIGILL */
    addi(A1, GP, ACTION);
    addi(A2, X0, 0);
    addi(A3, X0, 8);
    addi(A7, X0, 134); /* rt_sigaction */
    put(0x73);
}

static uint32_t put_program(uint32_t code_room)
{
    data_start = BASE + code_room;
    input_bytes = 0x8000 + 64 * vlen;
    file_size = code_room + INPUTS + input_bytes;
    result_start = data_start + INPUTS + input_bytes;
    at = 4;
    uint32_t trap = put_trap(), handler = put_handler(), next = at;
    put_next();
    uint32_t machine_entry = at;
    li32(T0, 0x6600);
    put(0x3002a073); /* csrs mstatus, t0: FS and VS dirty */
    li32(T0, BASE + trap);
    put(0x30529073);
    addi(T1, X0, 1);
    put(0x0080006f); /* skip the next */
    uint32_t entry = at;
    addi(T1, X0, 0);
    li32(GP, data_start);
    put(enc_store(T1, GP, MACHINE));
    li32(SP, data_start + SCRATCH - 16);
    li32(S0, data_start + SCRATCH + SCRATCH_BYTES / 2);
    li32(S3, 0x7ff);
    put_sigaction(handler);
    li32(T0, data_start + INPUTS);
    put(enc_store(T0, GP, INPUT));
    addi(T0, X0, passes);
    put(enc_store(T0, GP, PASS));
    li32(T0, result_start);
    put(enc_store(T0, GP, RESULT));
    uint32_t pass = at;
    if (!full) {
        li32(T0, result_start);
        put(enc_store(T0, GP, RESULT));
    }
    li32(S5, data_start + INPUTS);
    csr_write_imm(0x003, 0);
    csr_write_imm(0x00f, 0);
    put(0xc00ff057); /* vsetivli x0, 31, e8, m1 */
    put_load();
    jump(RA, next); /* its result is the first of the pass */
    for (unsigned b = 0; b < blocks; b++) {
        put_block(next);
        if (at > code_room - 0x2000) {
            fprintf(stderr, "vector-gen: the program does not fit\n");
            exit(1);
        }
    }
    put(enc_load(T0, GP, PASS));
    addi(T0, T0, -1);
    put(enc_store(T0, GP, PASS));
    put(enc_b(0x63, T0, X0, 12));
    jump(X0, pass);
    put_output();
    uint32_t end = at;
    at = 0;
    int32_t d = machine_entry;
    put(0x6f | (d & 0xff000) | (d >> 11 & 1) << 20 | (uint32_t)(d >> 1 & 0x3ff) << 21);
    at = end;
    return machine_mode ? 0 : entry;
}

/* ---- data ---- */
uint64_t random_value(void)
{
    static const uint64_t f64[] = { 0,
                                    1ull << 63,
                                    0x3ff0000000000000,
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
                                    0x36a0000000000000,
                                    0x47efffffe0000000 };
    static const uint32_t f32[] = { 0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                    0x7fc00000, 0x7f800001, 0xffc01234, 1,          0x807fffff, 0x00800000,
                                    0x7f7fffff, 0x4f000000, 0xcf000000, 0x47000000 };
    static const uint16_t f16[] = { 0,      0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0x7c01,
                                    0xfe12, 1,      0x83ff, 0x0400, 0x7bff, 0x7f80, 0x7f81, 0x0080 };
    uint64_t r = rnd(), q = rnd();
    switch (below(14)) {
    case 12:
        return (uint64_t)f16[below(16)] << 48 | (uint64_t)f16[below(16)] << 32 | (r & 0xffff0000) | f16[below(16)];
    case 13: /* halves not far from 1 */
        return (r & 0x8fff8fff8fff8fff) | (q & 0x1000100010001000) | 0x3000300030003000;
    case 0:
        return (uint64_t)((int64_t)r >> below(63));
    case 1:
        return f64[below(16)];
    case 2:
        return (uint64_t)f32[below(16)] << 32 | f32[below(16)];
    case 3:
        return 0xffffffff00000000 | f32[below(16)];
    case 4:
        return 0xffffffff00000000 | (r & 0x807fffff) | (uint32_t)(120 + below(16)) << 23;
    case 5: /* singles not far from 1 */
    case 6:
        return (r & 0x807fffff807fffff) | (uint64_t)(120 + below(24)) << 55 | (uint64_t)(120 + below(24)) << 23;
    case 7: /* with few bits */
        return (r & 0x8078000080780000) | (uint64_t)(120 + below(16)) << 55 | (uint64_t)(120 + below(16)) << 23;
    case 8: /* doubles */
        return (r & 0x800ffff000000000) | (uint64_t)(1015 + below(20)) << 52;
    case 9:
        return (r & 0x800fffffffffffff) | (uint64_t)(1015 + below(50)) << 52;
    case 10: /* small and extreme bytes */
        return (r & 0x8080808080808080) | (q & 0x7f01017f01010101);
    default:
        return r;
    }
}

static void write_elf(FILE *f, uint32_t entry, uint32_t memory_size)
{
    static const uint8_t ident[] = { 0x7f, 'E', 'L', 'F', 0, ELFDATA2LSB, EV_CURRENT };
    if (xlen == 64) {
        struct {
            Elf64_Ehdr e;
            Elf64_Phdr p;
        } h = { .e = { .e_type = ET_EXEC, .e_machine = EM_RISCV, .e_version = EV_CURRENT, .e_entry = BASE + entry } };
        memcpy(h.e.e_ident, ident, sizeof ident);
        h.e.e_ident[EI_CLASS] = ELFCLASS64;
        h.e.e_phoff = h.e.e_ehsize = sizeof h.e;
        h.e.e_phentsize = sizeof h.p;
        h.e.e_phnum = 1;
        h.e.e_flags = 5;
        h.p = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W | PF_X, 0x1000, BASE, BASE, file_size, memory_size, 0x1000 };
        fwrite(&h, sizeof h, 1, f);
    } else {
        struct {
            Elf32_Ehdr e;
            Elf32_Phdr p;
        } h = { .e = { .e_type = ET_EXEC, .e_machine = EM_RISCV, .e_version = EV_CURRENT, .e_entry = BASE + entry } };
        memcpy(h.e.e_ident, ident, sizeof ident);
        h.e.e_ident[EI_CLASS] = ELFCLASS32;
        h.e.e_phoff = h.e.e_ehsize = sizeof h.e;
        h.e.e_phentsize = sizeof h.p;
        h.e.e_phnum = 1;
        h.e.e_flags = 5;
        h.p = (Elf32_Phdr){ PT_LOAD, 0x1000, BASE, BASE, file_size, memory_size, PF_R | PF_W | PF_X, 0x1000 };
        fwrite(&h, sizeof h, 1, f);
    }
    fseek(f, 0x1000, SEEK_SET);
    fwrite(image, file_size, 1, f);
}

static bool list;
static const char *parse(int argc, char **argv, bool *count)
{
    const char *path = NULL;
    struct {
        const char *name;
        unsigned *value;
    } numbers[] = { { "--xlen", &xlen },
                    { "--vlen", &vlen },
                    { "--blocks", &blocks },
                    { "--length", &length },
                    { "--passes", &passes } };
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        bool number = false;
        for (unsigned n = 0; n < sizeof numbers / sizeof *numbers; n++)
            if (!strcmp(a, numbers[n].name)) {
                *numbers[n].value = atoi(v), i++;
                number = true;
            }
        if (number)
            continue;
        if (!strcmp(a, "--machine"))
            machine_mode = true;
        else if (!strcmp(a, "--full"))
            full = true;
        else if (!strcmp(a, "--count"))
            *count = true;
        else if (!strcmp(a, "--list"))
            list = true;
        else if (!strcmp(a, "--seed"))
            seed = strtoull(v, NULL, 0), i++;
        else if (!strcmp(a, "--only"))
            only = v, i++;
        else
            path = a;
    }
    return path;
}

static int list_kinds(void)
{
    for (unsigned i = 0; i < kind_count; i++)
        puts(kinds[i].name);
    for (unsigned i = 0; i < MEMORY_KINDS; i++)
        puts(memory_kinds[i].name);
    return 0;
}

int main(int argc, char **argv)
{
    bool count = false;
    const char *path = parse(argc, argv, &count);
    if (list)
        return list_kinds();
    /* instructions of a model have their operands beside them */
    unsigned operands = only ? 24 * vlen / 8 + 64 : 3 * vlen / 8;
    uint32_t code_room = (0x10000 + blocks * (length * (60 + operands) + 64) + 0xfff) & ~0xfff;
    image = calloc(code_room + INPUTS + 0x8000 + 64 * vlen, 1);
    if (!image)
        return 1;
    uint32_t entry = put_program(code_room);
    if (count) {
        tally_print(tallies);
        return 0;
    }
    for (uint32_t i = code_room + SCRATCH; i < file_size; i += 8) {
        uint64_t v = random_value();
        memcpy(image + i, &v, 8);
    }
    FILE *f = path ? fopen(path, "wb") : NULL;
    if (!f) {
        fprintf(stderr, "vector-gen: cannot write %s\n", path ? path : "without a file name");
        return 1;
    }
    write_elf(f, entry, file_size + (blocks + 1) * (full ? passes * save_bytes() : 8) + 4096);
    return fclose(f) != 0;
}
