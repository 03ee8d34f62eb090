/*
 * x86-64 encoders that know no IR. Follows the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2,
 * chapter 2 (instruction format, REX and VEX prefixes).
 *
 * Every function appends one instruction. When less than ASM_MARGIN bytes are left, `full` is set and writing goes on
 * at the start of the buffer: nobody but the end of the unit has to look.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_X86_64_ASM_H
#define TCG_X86_64_ASM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ASM_MARGIN 64

typedef struct Asm {
    uint8_t *p, *start, *limit;
    uint8_t *cache; /* what MEM_CACHE operands are relative to, as an address in the mapping of p */
    bool full;
} Asm;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG = -1, MEM_CACHE = -2 };
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };

/* [base + index << scale + disp]; base MEM_CACHE: disp bytes from the start of the code cache (RIP-relative). */
typedef struct Mem {
    int8_t base, index, scale;
    int32_t disp;
} Mem;

static inline Mem mem_at(int base, int32_t disp)
{
    return (Mem){ .base = base, .index = NO_REG, .disp = disp };
}
static inline Mem mem_index(int base, int index, int32_t disp)
{
    return (Mem){ .base = base, .index = index, .disp = disp };
}
static inline Mem mem_cache(int32_t offset)
{
    return (Mem){ .base = MEM_CACHE, .index = NO_REG, .disp = offset };
}

/* An opcode with what stands before it: operand width, mandatory prefix, map, and whether a byte register is named. */
enum {
    W64 = 0x100,
    M_0F = 0x200,
    M_38 = 0x400,
    M_3A = 0x800,
    P_66 = 0x1000,
    P_F3 = 0x2000,
    P_F2 = 0x4000,
    BYTE_REG = 0x8000, /* the register operand is 8 bits wide */
    BYTE_RM = 0x10000, /* the register-or-memory operand is, if it is a register */
};

static inline void asm_begin(Asm *a)
{
    if (G_UNLIKELY(a->p > a->limit)) {
        a->full = true;
        a->p = a->start;
    }
}
static inline void asm_u8(Asm *a, unsigned v)
{
    *a->p++ = v;
}
static inline void asm_u32(Asm *a, uint32_t v)
{
    memcpy(a->p, &v, 4);
    a->p += 4;
}
static inline void asm_u64(Asm *a, uint64_t v)
{
    memcpy(a->p, &v, 8);
    a->p += 8;
}

static inline void asm_opcode(Asm *a, uint32_t op, int reg, int index, int base)
{
    asm_begin(a);
    if (op & (P_66 | P_F3 | P_F2))
        asm_u8(a, op & P_66 ? 0x66 : op & P_F3 ? 0xf3 : 0xf2);
    unsigned rex = (op & W64 ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2 | (base & 8) >> 3;
    if (rex || ((op & BYTE_REG) && reg >= RSP) || ((op & BYTE_RM) && base >= RSP))
        asm_u8(a, 0x40 | rex);
    if (op & (M_0F | M_38 | M_3A)) {
        asm_u8(a, 0x0f);
        if (op & (M_38 | M_3A))
            asm_u8(a, op & M_38 ? 0x38 : 0x3a);
    }
    asm_u8(a, op);
}

/* ModRM, SIB and displacement. trailing: bytes of immediate that follow. */
static inline void asm_mem(Asm *a, int reg, Mem m, unsigned trailing)
{
    unsigned r = (reg & 7) << 3;
    if (m.base == MEM_CACHE) {
        asm_u8(a, r | 5);
        asm_u32(a, a->cache + m.disp - (a->p + 4 + trailing));
        return;
    }
    unsigned mod = m.disp == 0 && (m.base & 7) != RBP ? 0 : m.disp == (int8_t)m.disp ? 0x40 : 0x80;
    if (m.index == NO_REG && (m.base & 7) != RSP) {
        asm_u8(a, mod | r | (m.base & 7));
    } else {
        asm_u8(a, mod | r | 4);
        asm_u8(a, m.scale << 6 | (m.index == NO_REG ? 4 : m.index & 7) << 3 | (m.base & 7));
    }
    if (mod == 0x40)
        asm_u8(a, m.disp);
    else if (mod)
        asm_u32(a, m.disp);
}

static inline void asm_rr(Asm *a, uint32_t op, int reg, int rm)
{
    asm_opcode(a, op, reg, 0, rm);
    asm_u8(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
static inline void asm_rm_imm(Asm *a, uint32_t op, int reg, Mem m, unsigned trailing)
{
    /* a memory operand names no byte register */
    asm_opcode(a, op & ~BYTE_RM, reg, m.index == NO_REG ? 0 : m.index, m.base < 0 ? 0 : m.base);
    asm_mem(a, reg, m, trailing);
}
static inline void asm_rm(Asm *a, uint32_t op, int reg, Mem m)
{
    asm_rm_imm(a, op, reg, m, 0);
}

static inline void asm_vex_prefix(Asm *a, uint32_t op, int reg, int v, int index, int base)
{
    unsigned pp = op & P_66 ? 1 : op & P_F3 ? 2 : op & P_F2 ? 3 : 0;
    asm_begin(a);
    if (!(op & (W64 | M_38 | M_3A)) && !((index | base) & 8)) {
        asm_u8(a, 0xc5);
        asm_u8(a, (~reg & 8) << 4 | (~v & 15) << 3 | pp);
    } else {
        asm_u8(a, 0xc4);
        asm_u8(a, (~reg & 8) << 4 | (~index & 8) << 3 | (~base & 8) << 2 | (op & M_38 ? 2 : op & M_3A ? 3 : 1));
        asm_u8(a, (op & W64 ? 0x80 : 0) | (~v & 15) << 3 | pp);
    }
    asm_u8(a, op);
}
static inline void asm_vex_rr(Asm *a, uint32_t op, int reg, int v, int rm)
{
    asm_vex_prefix(a, op, reg, v, 0, rm);
    asm_u8(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
static inline void asm_vex_rm_imm(Asm *a, uint32_t op, int reg, int v, Mem m, unsigned trailing)
{
    asm_vex_prefix(a, op, reg, v, m.index == NO_REG ? 0 : m.index, m.base < 0 ? 0 : m.base);
    asm_mem(a, reg, m, trailing);
}
static inline void asm_vex_rm(Asm *a, uint32_t op, int reg, int v, Mem m)
{
    asm_vex_rm_imm(a, op, reg, v, m, 0);
}

/* ---- opcodes by name ---- */
enum {
    I_MOV_LOAD = 0x8b,
    I_MOV_STORE = 0x89,
    I_MOV_STORE8 = 0x88 | BYTE_REG,
    I_LEA = 0x8d,
    I_TEST = 0x85,
    I_MOVSXD = 0x63 | W64,
    I_MOVZX8 = 0xb6 | M_0F | BYTE_RM,
    I_MOVZX16 = 0xb7 | M_0F,
    I_MOVSX8 = 0xbe | M_0F | BYTE_RM,
    I_MOVSX16 = 0xbf | M_0F,
    I_IMUL = 0xaf | M_0F,
    I_LZCNT = 0xbd | M_0F | P_F3,
    I_TZCNT = 0xbc | M_0F | P_F3,
    I_BSR = 0xbd | M_0F,
    I_BSF = 0xbc | M_0F,
    I_POPCNT = 0xb8 | M_0F | P_F3,
    I_MOVBE_LOAD = 0xf0 | M_38,
    I_MOVBE_STORE = 0xf1 | M_38,
    I_XCHG8 = 0x86 | BYTE_REG,
    I_XCHG = 0x87,
    I_SHLX = 0xf7 | M_38 | P_66,
    I_SHRX = 0xf7 | M_38 | P_F2,
    I_SARX = 0xf7 | M_38 | P_F3,
    I_RORX = 0xf0 | M_3A | P_F2,
    I_ANDN = 0xf2 | M_38,
    I_GROUP3 = 0xf7,
    /* by the reg field: */ G3_NOT = 2,
    G3_NEG = 3,
    G3_MUL = 4,
    G3_IMUL = 5,
    G3_DIV = 6,
    G3_IDIV = 7,
    /* scalar and bitwise SSE; the _SD/_SS ones take their prefix by type */
    I_MOVQ_LOAD = 0x7e | M_0F | P_F3,
    I_MOVQ_STORE = 0xd6 | M_0F | P_66,
    I_MOVD_TO_XMM = 0x6e | M_0F | P_66,
    I_MOVD_FROM_XMM = 0x7e | M_0F | P_66,
    I_MOVAPS = 0x28 | M_0F,
    I_FMOV_LOAD = 0x10 | M_0F,
    I_FMOV_STORE = 0x11 | M_0F,
    I_ANDPS = 0x54 | M_0F,
    I_ANDNPS = 0x55 | M_0F,
    I_ORPS = 0x56 | M_0F,
    I_XORPS = 0x57 | M_0F,
    I_FADD = 0x58 | M_0F,
    I_FMUL = 0x59 | M_0F,
    I_FCVT = 0x5a | M_0F,
    I_FSUB = 0x5c | M_0F,
    I_FMIN = 0x5d | M_0F,
    I_FDIV = 0x5e | M_0F,
    I_FMAX = 0x5f | M_0F,
    I_FSQRT = 0x51 | M_0F,
    I_FCMP = 0xc2 | M_0F,
    I_CVT_INT = 0x2a | M_0F,
    I_CVTT_TO_INT = 0x2c | M_0F,
    I_CVT_TO_INT = 0x2d | M_0F,
    I_UCOMIS = 0x2e | M_0F,
    I_COMIS = 0x2f | M_0F,
    I_ROUNDSS = 0x0a | M_3A | P_66,
    I_ROUNDSD = 0x0b | M_3A | P_66,
    I_PEXTRD = 0x16 | M_3A | P_66,
    I_FMADD213 = 0xa9 | M_38 | P_66,
    I_FMSUB213 = 0xab | M_38 | P_66,
    I_FNMADD213 = 0xad | M_38 | P_66,
    I_FNMSUB213 = 0xaf | M_38 | P_66,
    FMA_213_TO_231 = 0x10,
};
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
enum { SHIFT_ROL, SHIFT_ROR, SHIFT_SHL = 4, SHIFT_SHR, SHIFT_SAR = 7 };
#define ALU_LOAD(alu)  ((alu) << 3 | 3) /* reg op= r/m */
#define ALU_STORE(alu) ((alu) << 3 | 1) /* r/m op= reg */

/* ---- moves ---- */
static inline void asm_mov(Asm *a, unsigned w, int dst, int src)
{
    if (dst != src)
        asm_rr(a, I_MOV_LOAD | w, dst, src);
}
/* No flags are changed. I32 values may be given sign- or zero-extended. */
static inline void asm_mov_imm(Asm *a, int dst, int64_t v)
{
    if (v == (int64_t)(uint32_t)v) {
        asm_opcode(a, 0xb8 | (dst & 7), 0, 0, dst);
        asm_u32(a, v);
    } else if (v == (int32_t)v) {
        asm_rr(a, 0xc7 | W64, 0, dst);
        asm_u32(a, v);
    } else {
        asm_opcode(a, 0xb8 | (dst & 7) | W64, 0, 0, dst);
        asm_u64(a, v);
    }
}

/* ---- arithmetic with immediates ---- */
static inline void asm_alu_imm(Asm *a, unsigned w, int alu, int dst, int32_t v)
{
    if (v == (int8_t)v) {
        asm_rr(a, 0x83 | w, alu, dst);
        asm_u8(a, v);
    } else if (dst == RAX) {
        asm_opcode(a, alu << 3 | 5 | w, 0, 0, 0);
        asm_u32(a, v);
    } else {
        asm_rr(a, 0x81 | w, alu, dst);
        asm_u32(a, v);
    }
}
static inline void asm_alu_mem_imm(Asm *a, unsigned w, int alu, Mem m, int32_t v)
{
    if (v == (int8_t)v) {
        asm_rm_imm(a, 0x83 | w, alu, m, 1);
        asm_u8(a, v);
    } else {
        asm_rm_imm(a, 0x81 | w, alu, m, 4);
        asm_u32(a, v);
    }
}
static inline void asm_alu_mem8_imm(Asm *a, int alu, Mem m, int8_t v)
{
    asm_rm_imm(a, 0x80, alu, m, 1);
    asm_u8(a, v);
}
static inline void asm_shift_imm(Asm *a, unsigned w, int shift, int dst, unsigned n)
{
    asm_rr(a, 0xc1 | w, shift, dst);
    asm_u8(a, n);
}
static inline void asm_zero(Asm *a, int dst)
{
    asm_rr(a, ALU_LOAD(ALU_XOR), dst, dst);
}

/* ---- control. Targets are addresses in the mapping of p: only distances count. ---- */
static inline void asm_jmp(Asm *a, const uint8_t *target)
{
    asm_begin(a);
    int64_t d = target - (a->p + 2);
    if (d == (int8_t)d) {
        asm_u8(a, 0xeb);
        asm_u8(a, d);
    } else {
        asm_u8(a, 0xe9);
        asm_u32(a, target - (a->p + 4));
    }
}
static inline void asm_jcc(Asm *a, int cc, const uint8_t *target)
{
    asm_begin(a);
    int64_t d = target - (a->p + 2);
    if (d == (int8_t)d) {
        asm_u8(a, 0x70 | cc);
        asm_u8(a, d);
    } else {
        asm_u8(a, 0x0f);
        asm_u8(a, 0x80 | cc);
        asm_u32(a, target - (a->p + 4));
    }
}
static inline void asm_call(Asm *a, const uint8_t *target)
{
    asm_begin(a);
    asm_u8(a, 0xe8);
    asm_u32(a, target - (a->p + 4));
}
/* Forward jumps with a 32-bit field; the result is the end of the field, for asm_patch. */
static inline uint8_t *asm_jmp_forward(Asm *a)
{
    asm_begin(a);
    asm_u8(a, 0xe9);
    asm_u32(a, 0);
    return a->p;
}
static inline uint8_t *asm_jcc_forward(Asm *a, int cc)
{
    asm_begin(a);
    asm_u8(a, 0x0f);
    asm_u8(a, 0x80 | cc);
    asm_u32(a, 0);
    return a->p;
}
static inline void asm_patch(uint8_t *field_end, const uint8_t *target)
{
    int32_t d = target - field_end;
    memcpy(field_end - 4, &d, 4);
}
/* Forward jump with an 8-bit field. */
static inline uint8_t *asm_jcc_short(Asm *a, int cc)
{
    asm_begin(a);
    asm_u8(a, 0x70 | cc);
    asm_u8(a, 0);
    return a->p;
}
static inline void asm_patch_short(uint8_t *field_end, const uint8_t *target)
{
    field_end[-1] = target - field_end;
}
/* Nops until (p + ahead) is a multiple of align (a power of two of at most 16). */
static inline void asm_align(Asm *a, unsigned ahead, unsigned align)
{
    static const uint8_t nops[8][8] = {
        { 0 },
        { 0x90 },
        { 0x66, 0x90 },
        { 0x0f, 0x1f, 0x00 },
        { 0x0f, 0x1f, 0x40, 0x00 },
        { 0x0f, 0x1f, 0x44, 0x00, 0x00 },
        { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
        { 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
    };
    asm_begin(a);
    unsigned n = -((uintptr_t)a->p + ahead) & (align - 1);
    while (n) {
        unsigned some = MIN(n, 7);
        memcpy(a->p, nops[some], some);
        a->p += some;
        n -= some;
    }
}

#endif
