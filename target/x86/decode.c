/*
 * x86 instruction decoder (see decode.h). Prefixes, then the opcode's rows in order, then ModRM's operands and
 * immediates.
 * SPDX-License-Identifier: MIT
 */
#define X86_OPCODE_TABLES
#include "target/x86/decode.h"
#include "x86-opcodes.h"
#include <string.h>

#define MAX_LENGTH 15

typedef struct Cursor {
    const uint8_t *bytes;
    unsigned at, available;
    bool short_of; /* bytes were missing; what was read instead is 0 */
} Cursor;

/* n bytes, little-endian, sign-extended. */
static int64_t take_bytes(Cursor *c, unsigned n)
{
    if (c->at + n > c->available) {
        c->short_of = true;
        c->at = c->available;
        return 0;
    }
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)c->bytes[c->at + i] << (8 * i);
    c->at += n;
    return (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n);
}

static inline int64_t take(Cursor *c, unsigned n)
{
    if (n == 1 && c->at < c->available)
        return (int8_t)c->bytes[c->at++];
    return take_bytes(c, n);
}

typedef struct Prefixes {
    bool operand, address, lock;
    uint8_t repeat, segment;
    bool rex, vex; /* present */
    bool w, r, x, b, l;
    uint8_t vvvv, vex_prefix, map;
    bool vvvv_named; /* not 1111b, which it has to be where it names nothing */
} Prefixes;

static uint8_t take_legacy_prefixes(Cursor *c, unsigned bits, Prefixes *p)
{
    for (;;) {
        uint8_t byte = (uint8_t)take(c, 1);
        if (c->short_of)
            return 0;
        switch (byte) {
        case 0x66:
            p->operand = true;
            break;
        case 0x67:
            p->address = true;
            break;
        case 0xf0:
            p->lock = true;
            break;
        case 0xf2:
        case 0xf3:
            p->repeat = byte;
            break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (bits != 64)
                p->segment = byte >> 3 & 3;
            break;
        case 0x64:
        case 0x65:
            p->segment = byte & 7;
            break;
        default:
            if (bits == 64 && (byte & 0xf0) == 0x40) {
                /* only the last prefix before the opcode is a REX prefix */
                uint8_t next = (uint8_t)take(c, 1);
                if (c->short_of)
                    return 0;
                c->at--;
                bool prefix = memchr("\x66\x67\xf0\xf2\xf3\x26\x2e\x36\x3e\x64\x65", next, 11) || (next & 0xf0) == 0x40;
                if (prefix)
                    break;
                p->rex = true;
                p->w = byte & 8;
                p->r = byte & 4;
                p->x = byte & 2;
                p->b = byte & 1;
                return (uint8_t)take(c, 1);
            }
            return byte;
        }
        if (c->at > MAX_LENGTH)
            return 0;
    }
}

/* After c5 or c4. False: an undefined map. */
static bool take_vex(Cursor *c, unsigned bits, bool three_bytes, Prefixes *p)
{
    static const uint8_t prefixes[] = { PREFIX_NP, PREFIX_66, PREFIX_F3, PREFIX_F2 };
    uint8_t first = (uint8_t)take(c, 1);
    p->vex = true;
    p->map = 1;
    p->r = !(first & 0x80);
    if (three_bytes) {
        p->x = !(first & 0x40);
        p->b = !(first & 0x20);
        p->map = first & 31;
        first = (uint8_t)take(c, 1);
        p->w = first & 0x80;
    }
    p->vvvv = ~(first >> 3) & 15;
    p->vvvv_named = p->vvvv;
    p->l = first & 4;
    p->vex_prefix = prefixes[first & 3];
    if (bits != 64) { /* eight registers only */
        p->r = p->x = p->b = false;
        p->vvvv &= 7;
    }
    return p->map >= 1 && p->map <= 3;
}

static bool has(uint64_t features, unsigned feature)
{
    return features >> feature & 1;
}

static bool row_matches(const X86Row *row, unsigned bits, uint64_t features, const Prefixes *p, unsigned prefix,
                        int modrm)
{
    if (row->encoding == ENCODING_LEGACY ? p->vex : !p->vex)
        return false;
    if ((row->prefix != PREFIX_ANY && row->prefix != prefix) || (row->mode == BITS_LEGACY && bits == 64) ||
        (row->mode == BITS_LONG && bits != 64))
        return false;
    if ((row->w >= 0 && row->w != p->w) || (row->l >= 0 && row->l != p->l))
        return false;
    if ((row->flags & X86_NOREXB) && p->b)
        return false;
    if ((row->modrm >= 0 && row->modrm != modrm) || (row->digit >= 0 && row->digit != (modrm >> 3 & 7)) ||
        (row->mod == MOD_REG && modrm >> 6 != 3) || (row->mod == MOD_MEM && modrm >> 6 == 3))
        return false;
    bool wide = row->encoding == ENCODING_VEX && p->l;
    return has(features, row->features[0]) && has(features, row->features[1]) &&
           (!wide || has(features, row->feature256));
}

static const X86Row *find_row(unsigned bits, uint64_t features, const Prefixes *p, uint8_t opcode, int modrm)
{
    static const uint8_t by_repeat[] = { PREFIX_F2, PREFIX_F3 };
    unsigned prefix = p->vex       ? p->vex_prefix
                      : p->repeat  ? by_repeat[p->repeat & 1]
                      : p->operand ? PREFIX_66
                                   : PREFIX_NP;
    unsigned first = x86_index[p->map][opcode].first;
    for (unsigned i = 0; i < x86_index[p->map][opcode].count; i++) {
        if (row_matches(&x86_rows[first + i], bits, features, p, prefix, modrm))
            return &x86_rows[first + i];
    }
    return NULL;
}

/* Of an instruction that is none: one of the same length, since all of its bytes are fetched before that is found. */
static const X86Row *row_of_length(unsigned bits, const Prefixes *p, uint8_t opcode)
{
    static const uint8_t like[] = { [2] = 0x00 /* pshufb: ModRM */, [3] = 0x0f /* palignr: and a byte */ };
    unsigned first = x86_index[p->map][opcode].first;
    for (unsigned i = 0; i < x86_index[p->map][opcode].count; i++) {
        const X86Row *row = &x86_rows[first + i];
        if (!(row->mode == BITS_LEGACY && bits == 64) && !(row->mode == BITS_LONG && bits != 64))
            return row;
    }
    return p->map >= 2 && opcode != like[p->map] ? row_of_length(bits, p, like[p->map]) : NULL;
}

/* Volume 2, table 2-1: 16-bit addressing. */
static void take_memory16(Cursor *c, X86Insn *insn)
{
    enum { BX = 3, BP = 5, SI = 6, DI = 7 };
    static const uint8_t bases[] = { BX, BX, BP, BP, SI, DI, BP, BX };
    static const uint8_t indexes[] = { SI, DI, SI, DI, X86_NO_REG, X86_NO_REG, X86_NO_REG, X86_NO_REG };
    unsigned rm = insn->rm & 7;
    if (insn->mod == 0 && rm == 6) {
        insn->disp = take(c, 2);
        return;
    }
    insn->base = bases[rm];
    insn->index = indexes[rm];
    if (insn->mod)
        insn->disp = take(c, insn->mod == 1 ? 1 : 2);
    if (insn->base == BP)
        insn->segment = X86_SS;
}

/* Tables 2-2 and 2-3: 32-bit and 64-bit addressing. */
static void take_memory(Cursor *c, const Prefixes *p, unsigned bits, bool vsib, X86Insn *insn)
{
    enum { SP = 4, BP = 5 };
    unsigned base = insn->rm & 7;
    bool sib = base == SP;
    if (sib) {
        uint8_t byte = (uint8_t)take(c, 1);
        base = byte & 7;
        insn->scale = byte >> 6;
        insn->index = (byte >> 3 & 7) | (p->x ? 8 : 0);
        if (insn->index == SP && !vsib)
            insn->index = X86_NO_REG;
    }
    if (base == BP && insn->mod == 0) {
        insn->disp = take(c, 4);
        insn->base = !sib && bits == 64 ? X86_RIP : X86_NO_REG;
        return;
    }
    insn->base = base | (p->b ? 8 : 0);
    if (insn->mod)
        insn->disp = take(c, insn->mod == 1 ? 1 : 4);
    if (insn->base == SP || insn->base == BP)
        insn->segment = X86_SS;
}

static void take_modrm(Cursor *c, const Prefixes *p, unsigned bits, const X86Row *row, X86Insn *insn)
{
    uint8_t byte = (uint8_t)take(c, 1);
    insn->mod = byte >> 6;
    insn->reg = (byte >> 3 & 7) | (p->r ? 8 : 0);
    insn->rm = (byte & 7) | (p->b ? 8 : 0);
    for (unsigned i = 0; i < 4; i++) { /* control and debug registers have no memory form whatever mod says */
        if (row->operands[i].kind == OPERAND_CR || row->operands[i].kind == OPERAND_DR)
            insn->mod = 3;
    }
    insn->segment = X86_DS;
    if (insn->mod == 3)
        return;
    if (insn->address_size == 2)
        take_memory16(c, insn);
    else
        take_memory(c, p, bits, row->flags & X86_VSIB, insn);
}

static void take_immediates(Cursor *c, unsigned bits, X86Insn *insn)
{
    bool second = false;
    for (unsigned i = 0; i < 4; i++) {
        X86Operand o = insn->row->operands[i];
        switch (o.kind) {
        case OPERAND_IMM:
            if (second) {
                insn->imm2 = (uint8_t)take(c, 1);
                break;
            }
            insn->imm = take(c, x86_operand_bytes(insn, o));
            second = true;
            break;
        case OPERAND_REL:
            insn->imm = take(c, o.size == SIZE_B ? 1 : insn->operand_size == 2 ? 2 : 4);
            break;
        case OPERAND_OFFSET:
            insn->disp = take(c, insn->address_size);
            insn->segment = X86_DS;
            break;
        case OPERAND_FAR:
            insn->imm = take(c, insn->operand_size);
            insn->imm2 = (uint16_t)take(c, 2);
            break;
        case OPERAND_XMM_IMM:
            insn->imm = take(c, 1) >> 4 & (bits == 64 ? 15 : 7);
            break;
        case OPERAND_SOURCE:
            insn->segment = X86_DS;
            break;
        default:
            break;
        }
    }
}

static uint8_t operand_size(unsigned bits, const Prefixes *p, const X86Row *row)
{
    if (bits == 64) {
        if (row->flags & X86_F64 || p->w)
            return 8;
        return row->flags & X86_D64 ? p->operand ? 2 : 8 : p->operand ? 2 : 4;
    }
    return (bits == 16) != p->operand ? 2 : 4;
}

unsigned x86_operand_bytes(const X86Insn *insn, X86Operand operand)
{
    static const uint8_t fixed[] = { [SIZE_B] = 1,  [SIZE_W] = 2, [SIZE_D] = 4, [SIZE_Q] = 8, [SIZE_O] = 16,
                                     [SIZE_T] = 10, [SIZE_S] = 4, [SIZE_L] = 4, [SIZE_P] = 0 };
    switch (operand.size) {
    case SIZE_V:
        return insn->operand_size;
    case SIZE_Z:
        return insn->operand_size == 2 ? 2 : 4;
    case SIZE_Y:
        return insn->w ? 8 : 4;
    case SIZE_X:
        return insn->vector_size;
    case SIZE_H:
        return insn->vector_size / 2;
    case SIZE_F:
        return insn->vector_size / 4;
    case SIZE_E:
        return insn->vector_size / 8;
    case SIZE_DB:
        return insn->mod == 3 ? 4 : 1;
    case SIZE_DW:
        return insn->mod == 3 ? 4 : 2;
    default:
        return fixed[operand.size];
    }
}

/* A lock prefix is for the rows that allow it, with a destination in memory; a VEX prefix for no others. */
static bool prefixes_legal(const Prefixes *p, const X86Row *row, const X86Insn *insn)
{
    bool uses_vvvv = false, control = row->operands[0].kind == OPERAND_CR || row->operands[1].kind == OPERAND_CR;
    for (unsigned i = 0; i < 4; i++)
        uses_vvvv |= row->operands[i].kind == OPERAND_XMM_VEX || row->operands[i].kind == OPERAND_VEX_REG;
    if (p->vex && !uses_vvvv && p->vvvv_named)
        return false;
    return !p->lock || (row->flags & X86_LOCK && (insn->mod != 3 || control));
}

static void decode(unsigned bits, uint64_t features, bool vex_allowed, Cursor *c, X86Insn *insn)
{
    Prefixes p = { .segment = X86_NO_SEGMENT };
    bool illegal = false;
    uint8_t opcode = take_legacy_prefixes(c, bits, &p);
    if (c->short_of || c->at > MAX_LENGTH)
        return;
    if ((opcode == 0xc4 || opcode == 0xc5) && vex_allowed) {
        if (c->at == c->available) {
            c->short_of = true;
            return;
        }
        if (bits == 64 || c->bytes[c->at] >> 6 == 3) {
            if (p.rex) /* nothing more is fetched */
                return;
            illegal = p.operand || p.repeat || p.lock;
            if (!take_vex(c, bits, opcode == 0xc4, &p))
                return;
            opcode = (uint8_t)take(c, 1);
        }
    } else if (opcode == 0x0f) {
        opcode = (uint8_t)take(c, 1);
        p.map = 1;
        if (opcode == 0x38 || opcode == 0x3a) {
            p.map = opcode == 0x38 ? 2 : 3;
            opcode = (uint8_t)take(c, 1);
        }
    }
    int modrm = -1;
    if (x86_index[p.map][opcode].modrm && !c->short_of) {
        if (c->at == c->available)
            c->short_of = true;
        else
            modrm = c->bytes[c->at];
    }
    if (c->short_of)
        return;
    const X86Row *row = illegal ? NULL : find_row(bits, features, &p, opcode, modrm);
    illegal = !row;
    if (illegal && !(row = row_of_length(bits, &p, opcode)))
        return;
    *insn = (X86Insn){ .row = row,
                       .lock = p.lock,
                       .vex = p.vex,
                       .rex = p.rex,
                       .repeat = p.repeat,
                       .opcode = opcode,
                       .map = p.map,
                       .modrm = (uint8_t)modrm,
                       .operand_size = operand_size(bits, &p, row),
                       .address_size = bits == 64                  ? (p.address ? 4 : 8)
                                       : (bits == 16) != p.address ? 2
                                                                   : 4,
                       .vector_size = row->encoding == ENCODING_VEX && p.l ? 32 : 16,
                       .w = bits == 64 && p.w,
                       .segment_override = p.segment,
                       .rm = (opcode & 7) | (p.b ? 8 : 0),
                       .mod = row->flags & X86_MODRM ? 0 : 3,
                       .vvvv = p.vvvv,
                       .base = X86_NO_REG,
                       .index = X86_NO_REG,
                       .segment = X86_NO_SEGMENT };
    if (row->flags & X86_MODRM)
        take_modrm(c, &p, bits, row, insn);
    take_immediates(c, bits, insn);
    if (p.segment != X86_NO_SEGMENT && insn->segment != X86_NO_SEGMENT)
        insn->segment = p.segment;
    if (illegal || !prefixes_legal(&p, row, insn))
        insn->row = NULL;
}

void x86_decode(unsigned bits, uint64_t features, bool vex_allowed, const uint8_t *bytes, unsigned available,
                X86Insn *insn)
{
    Cursor c = { .bytes = bytes, .available = available };
    *insn = (X86Insn){ .row = NULL };
    decode(bits, features, vex_allowed, &c, insn);
    insn->too_long = c.at > MAX_LENGTH;
    insn->length = c.short_of ? 0 : (uint8_t)c.at;
}

const X86Row *x86_row_of(unsigned id)
{
    for (unsigned i = 0; i < sizeof(x86_rows) / sizeof(*x86_rows); i++) {
        if (x86_rows[i].id == id)
            return &x86_rows[i];
    }
    return NULL;
}
