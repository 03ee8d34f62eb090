/*
 * See crosscheck_programs.h. Encodings by the Intel 64 and IA-32 Architectures Software Developer's Manual, December
 * 2024, volume 2.
 * SPDX-License-Identifier: MIT
 */
#include "crosscheck_programs.h"
#include "target/x86/cpu.h"
#include "x86_insn.h"
#include <glib.h>
#include <string.h>

typedef struct Gen {
    Program *p;
    const ProgramPlaces *places;
    X86Rng rng;
    unsigned bits;      /* of code */
    uint32_t undefined; /* flags */
    bool rare;          /* with instructions that kernels seldom emulate */
} Gen;

enum { ALL = FLAGS_ARITHMETIC, NOT_AF = ALL & ~FLAG_AF };

uint64_t program_random(uint64_t *state)
{
    X86Rng r = { *state };
    uint64_t value = x86_random(&r);
    *state = r.state;
    return value;
}

static unsigned below(Gen *g, unsigned n)
{
    return x86_below(&g->rng, n);
}
static bool percent(Gen *g, unsigned n)
{
    return x86_percent(&g->rng, n);
}
static void put(Gen *g, uint64_t value, unsigned bytes)
{
    g_assert(g->p->bytes + bytes <= PROGRAM_BYTES);
    memcpy(g->p->code + g->p->bytes, &value, bytes);
    g->p->bytes += bytes;
}

/* ---- flags ---- */

/* What is undefined must not be read: cmp al, imm defines all of them. */
static void reads(Gen *g, uint32_t flags)
{
    if (!(g->undefined & flags))
        return;
    put(g, 0x3c | below(g, 256) << 8, 2);
    g->undefined = 0;
}

static void writes(Gen *g, uint32_t flags, uint32_t undefined)
{
    g->undefined = (g->undefined & ~flags) | undefined;
}

/* ---- operands ---- */

static unsigned size(Gen *g, unsigned least)
{
    unsigned sizes[] = { 1, 2, 4, 8 }, n = g->bits == 64 ? 4 : 3, s;
    do {
        s = sizes[below(g, n)];
    } while (s < least);
    return s;
}

/* rex: bits besides W. */
static void prefixes(Gen *g, unsigned bytes, unsigned rex)
{
    if (bytes == 2 && g->bits != 16)
        put(g, 0x66, 1);
    if (bytes == 4 && g->bits == 16)
        put(g, 0x66, 1);
    rex |= bytes == 8 ? 8 : 0;
    if (rex)
        put(g, 0x40 | rex, 1);
}

/* Any but the stack pointer. */
static unsigned reg(Gen *g)
{
    unsigned r = below(g, 7);
    return r >= RSP ? r + 1 : r;
}

static void load(Gen *g, unsigned r, uint32_t value)
{
    put(g, 0xb8 | r, 1);
    put(g, value, g->bits == 16 ? 2 : 4);
}

static uint32_t place(Gen *g)
{
    return g->places->data + below(g, 0x700);
}

/* opcode bytes (least significant first), ModRM with this in its reg field, and a register or memory. */
static void modrm(Gen *g, unsigned bytes, uint32_t opcode, unsigned opcode_bytes, unsigned digit, bool memory,
                  bool lock)
{
    static const uint8_t bases[] = { RBX, RSI, RDI }, wide[] = { 3, 6, 7 }, narrow[] = { 7, 4, 5 };
    unsigned b = below(g, 3), rm = bytes == 1 ? below(g, 8) : reg(g), rex = 0;
    if (memory)
        load(g, bases[b], place(g));
    else if (g->bits == 64 && percent(g, 30))
        rex = 1;
    if (lock && memory && percent(g, 15))
        put(g, 0xf0, 1);
    prefixes(g, bytes, rex);
    put(g, opcode, opcode_bytes);
    if (memory)
        put(g, 0x40 | digit << 3 | (g->bits == 16 ? narrow : wide)[b] | below(g, 64) << 8, 2);
    else
        put(g, 0xc0 | digit << 3 | (rex && bytes != 1 ? below(g, 8) : rm), 1);
}

static uint32_t word(unsigned bytes, uint32_t opcode)
{
    return opcode | (bytes > 1);
}

static void immediate(Gen *g, unsigned bytes)
{
    put(g, x86_random(&g->rng), MIN(bytes, 4));
}

static unsigned any_reg(Gen *g, unsigned bytes)
{
    return bytes == 1 ? below(g, 8) : reg(g);
}

/* ---- instructions ---- */

static void alu(Gen *g)
{
    unsigned op = below(g, 8), bytes = size(g, 1), form = below(g, 4);
    if (op == 2 || op == 3)
        reads(g, FLAG_CF);
    bool memory = percent(g, 50);
    if (form < 2) {
        modrm(g, bytes, word(bytes, op << 3 | (form ? 2 : 0)), 1, any_reg(g, bytes), memory, !form && op != 7);
    } else if (form == 2) {
        modrm(g, bytes, word(bytes, 0x80), 1, op, memory, op != 7);
        immediate(g, bytes);
    } else {
        prefixes(g, bytes, 0);
        put(g, op << 3 | 4 | (bytes > 1), 1);
        immediate(g, bytes);
    }
    writes(g, ALL, op == 1 || op == 4 || op == 6 ? FLAG_AF : 0);
}

static void unary(Gen *g)
{
    unsigned bytes = size(g, 1), what = below(g, 4);
    modrm(g, bytes, word(bytes, what < 2 ? 0xfe : 0xf6), 1, what, percent(g, 50), true);
    if (what < 2)
        writes(g, ALL & ~FLAG_CF, 0);
    if (what == 3)
        writes(g, ALL, 0);
}

static void test(Gen *g)
{
    unsigned bytes = size(g, 1);
    modrm(g, bytes, word(bytes, 0x84), 1, any_reg(g, bytes), percent(g, 50), false);
    writes(g, ALL, FLAG_AF);
}

static void move(Gen *g)
{
    unsigned bytes = size(g, 1);
    if (percent(g, 30)) {
        modrm(g, bytes, word(bytes, 0xc6), 1, 0, percent(g, 60), false);
        immediate(g, bytes);
    } else {
        modrm(g, bytes, word(bytes, percent(g, 50) ? 0x88 : 0x8a), 1, any_reg(g, bytes), percent(g, 70), false);
    }
}

static void extend(Gen *g)
{
    modrm(g, size(g, 2), 0x0f | (0xb6 + below(g, 2) + 8 * below(g, 2)) << 8, 2, reg(g), percent(g, 50), false);
}

static void exchange(Gen *g)
{
    unsigned bytes = size(g, 1);
    modrm(g, bytes, word(bytes, 0x86), 1, any_reg(g, bytes), percent(g, 50), true);
}

static void lea(Gen *g)
{
    modrm(g, size(g, 2), 0x8d, 1, reg(g), true, false);
}

static void shift(Gen *g)
{
    static const uint8_t ops[] = { 0, 1, 2, 3, 4, 5, 7 };
    unsigned op = ops[below(g, 7)], bytes = size(g, 1), count = below(g, 34), how = below(g, 3);
    if (op == 2 || op == 3)
        reads(g, FLAG_CF);
    if (how == 0)
        put(g, 0xb1 | count << 8, 2);
    modrm(g, bytes, word(bytes, how == 0 ? 0xd2 : how == 1 ? 0xc0 : 0xd0), 1, op, percent(g, 40) && how, false);
    if (how == 1)
        put(g, count, 1);
    if (how == 2)
        count = 1;
    count &= bytes == 8 ? 63 : 31;
    if (!count)
        return;
    uint32_t undefined = count == 1 ? 0 : FLAG_OF;
    if (op > 3)
        writes(g, ALL, undefined | FLAG_AF | (count >= 8 * bytes && op != 7 ? FLAG_CF : 0));
    else
        writes(g, FLAG_CF | FLAG_OF, undefined);
}

static void double_shift(Gen *g)
{
    unsigned count = 1 + below(g, 15);
    modrm(g, size(g, 2), percent(g, 50) ? 0xa40f : 0xac0f, 2, reg(g), percent(g, 40), false);
    put(g, count, 1);
    writes(g, ALL, FLAG_AF | (count == 1 ? 0 : FLAG_OF));
}

static void bit(Gen *g)
{
    unsigned bytes = size(g, 2), op = below(g, 4);
    if (percent(g, 50)) {
        modrm(g, bytes, 0xba0f, 2, 4 + op, percent(g, 50), op);
        put(g, below(g, 256), 1);
    } else {
        modrm(g, bytes, 0x0f | (0xa3 | op << 3) << 8, 2, reg(g), false, false);
    }
    writes(g, ALL & ~FLAG_ZF, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF);
}

static void scan_bits(Gen *g)
{
    unsigned source = reg(g);
    load(g, source, (uint32_t)x86_random(&g->rng) | 0x10);
    prefixes(g, g->bits == 16 ? 2 : 4, 0);
    put(g, 0x0f | (0xbc + below(g, 2)) << 8 | (0xc0 | reg(g) << 3 | source) << 16, 3);
    writes(g, ALL, ALL & ~FLAG_ZF);
}

static void byte_swap(Gen *g)
{
    prefixes(g, g->bits == 64 && percent(g, 50) ? 8 : 4, 0);
    put(g, 0x0f | (0xc8 | reg(g)) << 8, 2);
}

static void compare_exchange(Gen *g)
{
    unsigned bytes = size(g, 1), what = below(g, 3);
    /* Kernels clear the upper half of a register that was compared, and not exchanged. */
    bool quirk = g->bits == 64 && bytes == 4 && !what;
    if (what == 2)
        modrm(g, 4, 0xc70f, 2, 1, true, true);
    else
        modrm(g, bytes, 0x0f | word(bytes, what ? 0xc0 : 0xb0) << 8, 2, any_reg(g, bytes), quirk || percent(g, 60),
              true);
    if (what == 2)
        writes(g, FLAG_ZF, 0);
    else
        writes(g, ALL, 0);
}

static void condition(Gen *g)
{
    unsigned cc = below(g, 16);
    reads(g, ALL);
    switch (below(g, 3)) {
    case 0:
        modrm(g, 1, 0x0f | (0x90 | cc) << 8, 2, 0, percent(g, 50), false);
        break;
    case 1:
        modrm(g, size(g, 2), 0x0f | (0x40 | cc) << 8, 2, reg(g), percent(g, 50), false);
        break;
    default: /* over a mov */
        put(g, 0x70 | cc | (g->bits == 16 ? 3 : 5) << 8, 2);
        load(g, reg(g), (uint32_t)x86_random(&g->rng));
        break;
    }
}

static void convert(Gen *g)
{
    prefixes(g, size(g, 2), 0);
    put(g, 0x98 + below(g, 2), 1);
}

static void flag(Gen *g)
{
    static const uint8_t ops[] = { 0x9f, 0x9e, 0xf8, 0xf9, 0xf5, 0xfc, 0xfd };
    unsigned what = below(g, sizeof(ops));
    if (what == 0 || what == 4)
        reads(g, ALL);
    put(g, ops[what], 1);
    if (what == 1)
        writes(g, ALL & ~FLAG_OF, 0);
    else if (what >= 2 && what <= 4)
        writes(g, FLAG_CF, 0);
}

static void stack(Gen *g)
{
    switch (below(g, 5)) {
    case 0:
        put(g, (0x50 | reg(g)) | (0x58 | reg(g)) << 8, 2);
        break;
    case 1:
        put(g, 0x68, 1);
        put(g, x86_random(&g->rng), g->bits == 16 ? 2 : 4);
        put(g, 0x58 | reg(g), 1);
        break;
    case 2: /* pushf, pop */
        reads(g, ALL);
        put(g, 0x9c | (0x58 | reg(g)) << 8, 2);
        break;
    case 3: /* popf */
        put(g, 0x68, 1);
        /* Kernels that run level 3 themselves do not keep NT. */
        put(g, x86_random(&g->rng) & (ALL | FLAG_DF | (g->places->mode == PROGRAM_USER ? 0 : FLAG_NT)),
            g->bits == 16 ? 2 : 4);
        put(g, 0x9d, 1);
        writes(g, ALL, 0);
        break;
    default:
        if (g->bits == 64)
            put(g, 0xff | (0xf0 | reg(g)) << 8 | (0x58ull | reg(g)) << 16, 3);
        else
            put(g, 0x6160, 2); /* pusha, popa */
        break;
    }
}

static void frame(Gen *g)
{
    put(g, 0xc8, 1);
    put(g, below(g, 64), 2);
    put(g, 0xc900, 2);
}

static void call(Gen *g)
{
    put(g, 0xe8, 1);
    put(g, 2, g->bits == 16 ? 2 : 4);
    put(g, 0xc301eb, 3); /* jmp over ret */
}

static void loop(Gen *g)
{
    load(g, RCX, 1 + below(g, 5));
    reads(g, ALL);
    if (g->bits == 64)
        put(g, 0xc883, 2), put(g, below(g, 128), 1); /* or eax, imm */
    else
        put(g, 0x40, 1); /* inc ax */
    put(g, 0xe0 + below(g, 3), 1);
    put(g, (uint8_t) - (g->bits == 64 ? 5 : 3), 1);
    writes(g, ALL, g->bits == 64 ? FLAG_AF : 0);
}

static void multiply(Gen *g)
{
    unsigned bytes = size(g, 1);
    if (percent(g, 50)) {
        modrm(g, bytes, word(bytes, 0xf6), 1, 4 + below(g, 2), percent(g, 50), false);
    } else if (percent(g, 50)) {
        modrm(g, size(g, 2), 0xaf0f, 2, reg(g), percent(g, 50), false);
    } else {
        modrm(g, size(g, 2), 0x6b, 1, reg(g), percent(g, 50), false);
        put(g, below(g, 256), 1);
    }
    writes(g, ALL, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF);
}

static void divide(Gen *g)
{
    unsigned bytes = size(g, 1), divisor = bytes == 1 ? RBX : percent(g, 50) ? RBX : RSI;
    load(g, divisor, (uint32_t)x86_random(&g->rng) | 0x3040);
    if (bytes == 1)
        put(g, 0x00b4, 2); /* mov ah, 0 */
    else
        put(g, 0xd231, 2); /* xor edx, edx */
    prefixes(g, bytes, 0);
    put(g, word(bytes, 0xf6) | (0xc0 | (6 + percent(g, 40)) << 3 | divisor) << 8, 2);
    writes(g, ALL, ALL);
}

static void string(Gen *g)
{
    static const uint8_t ops[] = { 0xa4, 0xaa, 0xac, 0xa6, 0xae };
    unsigned op = below(g, 5), bytes = size(g, 1), count = 1 + below(g, 20);
    load(g, RSI, place(g) + 0x100);
    load(g, RDI, place(g) + 0x100);
    load(g, RCX, count);
    prefixes(g, bytes, 0);
    bool repeat = percent(g, 60);
    if (repeat && bytes != 8 && bytes != 2 && bytes != 4) /* before them: where there is no REX */
        put(g, percent(g, 70) ? 0xf3 : 0xf2, 1);
    put(g, word(bytes, ops[op]), 1);
    if (op > 2)
        writes(g, ALL, 0);
}

static void repeat(Gen *g)
{
    static const uint8_t ops[] = { 0xa5, 0xab, 0xad, 0xa7, 0xaf };
    unsigned op = below(g, 5);
    load(g, RSI, place(g) + 0x100);
    load(g, RDI, place(g) + 0x100);
    load(g, RCX, 1 + below(g, 20));
    put(g, percent(g, 70) ? 0xf3 : 0xf2, 1);
    if (percent(g, 30))
        put(g, 0x66, 1);
    put(g, ops[op], 1);
    if (op > 2)
        writes(g, ALL, 0);
}

static void port(Gen *g)
{
    unsigned n = PROGRAM_PORTS + below(g, PROGRAM_PORT_COUNT - 4), bytes = 1u << below(g, 3), out = below(g, 2);
    if (percent(g, 40)) {
        load(g, RDX, n);
        prefixes(g, bytes, 0);
        put(g, word(bytes, out ? 0xee : 0xec), 1);
    } else {
        prefixes(g, bytes, 0);
        put(g, word(bytes, out ? 0xe6 : 0xe4) | n << 8, 2);
    }
}

static void string_port(Gen *g)
{
    unsigned bytes = 1u << below(g, 3);
    load(g, RDX, PROGRAM_PORTS + below(g, PROGRAM_PORT_COUNT - 4));
    load(g, RSI, place(g) + 0x100);
    load(g, RDI, place(g) + 0x100);
    load(g, RCX, 1 + below(g, 9));
    put(g, 0xf3, 1);
    prefixes(g, bytes, 0);
    put(g, word(bytes, percent(g, 50) ? 0x6c : 0x6e), 1);
}

/* Through ES, which a real-mode program has to point there. */
static void device(Gen *g)
{
    unsigned bytes = size(g, 1), r = any_reg(g, bytes);
    if (g->places->mode == PROGRAM_REAL) {
        put(g, 0xa000b8, 3);
        put(g, 0xc08e, 2); /* mov es, ax */
        load(g, RBX, below(g, 0xff0));
        put(g, 0x26, 1);
        prefixes(g, bytes, 0);
        put(g, word(bytes, percent(g, 50) ? 0x88 : 0x8a) | (r << 3 | 7) << 8, 2);
        put(g, 0x0000b8, 3);
        put(g, 0xc08e, 2);
    } else {
        load(g, RBX, PROGRAM_MMIO + below(g, 0xff0));
        prefixes(g, bytes, 0);
        put(g, word(bytes, percent(g, 50) ? 0x88 : 0x8a) | (r << 3 | 3) << 8, 2);
    }
}

static void decimal(Gen *g)
{
    static const struct {
        uint8_t op;
        uint16_t reads, undefined;
    } ops[] = { { 0x27, FLAG_CF | FLAG_AF, FLAG_OF },
                { 0x2f, FLAG_CF | FLAG_AF, FLAG_OF },
                { 0x37, FLAG_AF, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF },
                { 0x3f, FLAG_AF, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF },
                { 0xd4, 0, FLAG_OF | FLAG_AF | FLAG_CF },
                { 0xd5, 0, FLAG_OF | FLAG_AF | FLAG_CF } };
    unsigned n = below(g, G_N_ELEMENTS(ops));
    if (g->bits == 64 || (!g->rare && n < 4 && n != 1))
        return;
    reads(g, ops[n].reads);
    put(g, ops[n].op, 1);
    if (n >= 4) {
        put(g, 1 + below(g, 255), 1);
        put(g, 0xc084, 2); /* test al, al: kernels get SF and ZF of aam and aad wrong */
        writes(g, ALL, FLAG_AF);
        return;
    }
    writes(g, ALL, ops[n].undefined);
}

static void segment(Gen *g)
{
    static const uint8_t loadable[] = { X86_ES, X86_FS, X86_GS };
    unsigned s = loadable[below(g, 3)];
    if (percent(g, 40)) {
        put(g, 0x8c | (0xc0 | below(g, 6) << 3 | reg(g)) << 8, 2);
        return;
    }
    load(g, RAX, g->places->mode == PROGRAM_REAL ? below(g, 256) : percent(g, 20) ? 0 : g->places->data_selector);
    put(g, 0x8e | (0xc0 | s << 3) << 8, 2);
    load(g, RAX, g->places->mode == PROGRAM_REAL ? 0 : g->places->data_selector);
    put(g, 0x8e | (0xc0 | X86_ES << 3) << 8, 2);
}

static void system_register(Gen *g)
{
    static const uint8_t cr[] = { 0, 2, 3, 4 }, dr[] = { 0, 1, 2, 3, 6, 7 };
    switch (below(g, 7)) {
    case 0:
        put(g, 0x200f | (0xc0 | cr[below(g, 4)] << 3 | reg(g)) << 16, 3);
        break;
    case 1:
        put(g, 0x210f | (0xc0 | dr[below(g, 6)] << 3 | reg(g)) << 16, 3);
        break;
    case 2:
        put(g, 0x230f | (0xc0 | below(g, 4) << 3 | RBX) << 16, 3);
        break;
    case 3: /* sgdt, sidt */
        modrm(g, g->bits == 64 ? 4 : g->bits / 8, 0x010f, 2, below(g, 2), true, false);
        break;
    case 4: /* smsw */
        put(g, 0x010f | (0xe0 | reg(g)) << 16, 3);
        break;
    case 5: /* clts */
        put(g, 0x060f, 2);
        break;
    default: /* cli, sti */
        put(g, 0xfa + below(g, 2), 1);
        break;
    }
}

static void far(Gen *g)
{
    if (g->bits == 64 || !g->rare)
        return;
    put(g, 0xea, 1);
    unsigned bytes = g->bits / 8;
    put(g, g->places->code + g->p->bytes + bytes + 2, bytes);
    put(g, g->places->code_selector, 2);
}

static void vector(Gen *g)
{
    static const uint16_t ops[] = { 0x10, 0x11, 0x28, 0x29 };
    unsigned op = ops[below(g, 4)], b = RSI;
    load(g, b, (place(g) + 63) & ~63u);
    put(g, 0x0f | op << 8 | (below(g, 8) << 3 | (g->bits == 16 ? 4 : 6)) << 16, 3);
}

static void translate_byte(Gen *g)
{
    load(g, RBX, place(g));
    put(g, 0xd7, 1);
}

/* ---- level 3 only: what kernels' emulators do not know ---- */

/* xmm, xmm or memory. */
static void simd(Gen *g)
{
    static const struct {
        uint8_t prefix, op, immediate;
    } ops[] = { { 0, 0x58, 0 },    { 0, 0x59, 0 },    { 0, 0x5c, 0 },    { 0, 0x5e, 0 },    { 0x66, 0x58, 0 },
                { 0x66, 0x59, 0 }, { 0x66, 0x51, 0 }, { 0, 0x54, 0 },    { 0, 0x57, 0 },    { 0, 0x14, 0 },
                { 0, 0xc6, 1 },    { 0x66, 0xfe, 0 }, { 0x66, 0xd4, 0 }, { 0x66, 0xef, 0 }, { 0x66, 0xdb, 0 },
                { 0x66, 0x70, 1 }, { 0x66, 0x6c, 0 }, { 0x66, 0xf4, 0 }, { 0x66, 0x76, 0 }, { 0x66, 0x7f, 0 },
                { 0x66, 0x6f, 0 }, { 0, 0x5b, 0 },    { 0x66, 0x5a, 0 }, { 0x66, 0xd7, 0 } };
    unsigned n = below(g, G_N_ELEMENTS(ops)), reg = below(g, 8), other = below(g, 8);
    bool memory = percent(g, 40) && ops[n].op != 0xd7;
    if (memory)
        load(g, RSI, (place(g) + 63) & ~63u);
    if (g->places->avx && percent(g, 40) && ops[n].op != 0x7f) {
        bool two = ops[n].op == 0x51 || ops[n].op == 0x6f || ops[n].op == 0x70 || ops[n].op == 0x5b ||
                   ops[n].op == 0x5a || ops[n].op == 0xd7;
        unsigned vvvv = two ? 0 : below(g, 16);
        put(g, 0xc5, 1);
        put(g, 0x80 | (~vvvv & 15) << 3 | below(g, 2) << 2 | (ops[n].prefix ? 1 : 0), 1);
    } else {
        if (ops[n].prefix)
            put(g, ops[n].prefix, 1);
        put(g, 0x0f, 1);
    }
    if (ops[n].op == 0xd7) /* into a general register */
        reg = RDX;
    put(g, ops[n].op, 1);
    put(g, memory ? reg << 3 | RSI : 0xc0 | reg << 3 | other, 1);
    if (ops[n].immediate)
        put(g, below(g, 256), 1);
}

static void x87(Gen *g)
{
    static const uint16_t ops[] = { 0xe8d9, 0xc9d9, 0xebd9, 0xe0d9, 0xe1d9, 0xfad9, 0xf7d9, 0xc1de, 0xc9de, 0xe1dd };
    static const uint16_t memory[] = { 0x06dd, 0x1edd, 0x06d9, 0x1ed9, 0x06d8, 0x0edc, 0x06db, 0x1edb, 0x3edb, 0x2edb };
    if (percent(g, 50)) {
        put(g, ops[below(g, G_N_ELEMENTS(ops))], 2);
        return;
    }
    load(g, RSI, place(g));
    put(g, memory[below(g, G_N_ELEMENTS(memory))], 2);
}

static void interrupt(Gen *g)
{
    put(g, 0xcd | (0x20 + below(g, 16)) << 8, 2);
}

static const struct {
    const char *name;
    void (*make)(Gen *g);
    unsigned weight;
    uint8_t levels; /* 1 << level; 0: any */
} kinds[] = { { "alu", alu, 12 },
              { "unary", unary, 4 },
              { "test", test, 2 },
              { "mov", move, 6 },
              { "movx", extend, 3 },
              { "xchg", exchange, 2 },
              { "lea", lea, 1 },
              { "shift", shift, 6 },
              { "shxd", double_shift, 2 },
              { "bt", bit, 3 },
              { "bsx", scan_bits, 2 },
              { "bswap", byte_swap, 1 },
              { "cmpxchg", compare_exchange, 3 },
              { "condition", condition, 5 },
              { "convert", convert, 2 },
              { "flag", flag, 3 },
              { "stack", stack, 5 },
              { "enter", frame, 1 },
              { "call", call, 2 },
              { "loop", loop, 2 },
              { "mul", multiply, 4 },
              { "div", divide, 2 },
              { "string", string, 3 },
              { "repeat", repeat, 3 },
              { "port", port, 4, 1 },
              { "string port", string_port, 2, 1 },
              { "device", device, 4 },
              { "decimal", decimal, 2 },
              { "segment", segment, 2, 1 },
              { "system", system_register, 2, 1 },
              { "jmpf", far, 1, 1 },
              { "vector", vector, 1 },
              { "xlat", translate_byte, 1 },
              { "simd", simd, 25, 8 },
              { "x87", x87, 20, 8 } };

static unsigned weight_of(const Gen *g, unsigned kind)
{
    unsigned level = g->places->mode == PROGRAM_USER ? 3 : 0;
    return !kinds[kind].levels || kinds[kind].levels >> level & 1 ? kinds[kind].weight : 0;
}

static unsigned choose_kind(Gen *g)
{
    unsigned all = 0, n = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        all += weight_of(g, i);
    unsigned at = below(g, all);
    while (at >= weight_of(g, n))
        at -= weight_of(g, n++);
    return n;
}

static void halt(Gen *g)
{
    g->p->undefined[g->p->halts++] = g->undefined;
    put(g, 0xf4, 1);
}

void program_make(Program *p, const ProgramPlaces *places, uint64_t seed)
{
    enum { MOST_AFTER = 40, BLOCK = 6 };
    static const unsigned bits[] = { 16, 32, 64, 64 };
    Gen g = { .p = p, .places = places, .rng = { seed }, .bits = bits[places->mode] };
    memset(p, 0, sizeof(*p));
    g.rare = percent(&g, 10);
    while (p->bytes < PROGRAM_BYTES - 6 * MOST_AFTER && p->pieces + BLOCK < PROGRAM_PIECES) {
        for (unsigned n = 1 + below(&g, BLOCK); n; n--) {
            unsigned kind = choose_kind(&g);
            p->piece[p->pieces].at = (uint16_t)p->bytes;
            p->piece[p->pieces++].name = kinds[kind].name;
            kinds[kind].make(&g);
        }
        halt(&g);
    }
    p->piece[p->pieces].at = (uint16_t)p->bytes; /* the last one, into a handler which halts */
    p->piece[p->pieces++].name = "int";
    interrupt(&g);
    p->undefined[p->halts++] = g.undefined;
}

const char *program_name_at(const Program *p, uint64_t offset)
{
    const char *name = "beyond";
    for (unsigned i = 0; i < p->pieces && p->piece[i].at <= offset; i++)
        name = p->piece[i].name;
    return offset < p->bytes ? name : "beyond";
}
