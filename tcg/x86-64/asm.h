/*
 * x86-64 encoders that know no IR (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2).
 * Every function appends one instruction and trusts that there is room: asm_room says so for a stretch of them.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_X86_64_ASM_H
#define TCG_X86_64_ASM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct Asm {
    uint8_t *p, *end;
    bool full;
} Asm;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_INDEX = -1 };

/* [base + index + disp]; index NO_INDEX: none */
typedef struct Mem {
    int8_t base, index;
    int32_t disp;
} Mem;

static inline Mem mem(int base, int32_t disp)
{
    return (Mem){ base, NO_INDEX, disp };
}
static inline Mem mem_index(int base, int index, int32_t disp)
{
    return (Mem){ base, index, disp };
}

/* What is emitted between two looks at the room: more than one IR instruction or stub ever takes. */
#define ASM_STRETCH 4096
static inline bool asm_room(Asm *a)
{
    a->full |= a->end - a->p < ASM_STRETCH;
    return !a->full;
}

static inline void put_byte(Asm *a, unsigned v)
{
    *a->p++ = v;
}
static inline void put_u32(Asm *a, uint32_t v)
{
    memcpy(a->p, &v, 4);
    a->p += 4;
}
static inline void put_u64(Asm *a, uint64_t v)
{
    put_u32(a, v);
    put_u32(a, v >> 32);
}

/* Up to 8 bytes of which the last ones may be written over; there is always that much room. */
static inline void put_bytes(Asm *a, uint64_t bytes, unsigned count)
{
    memcpy(a->p, &bytes, 8);
    a->p += count;
}

/* Opcodes carry their escape bytes and mandatory prefix in the upper bits. */
enum { P_0F = 0x100, P_0F38 = 0x200, P_66 = 0x1000, P_F3 = 0x2000, P_F2 = 0x4000, BYTE_REG = 0x8000 };

/* The opcode is nearly always a constant: most of what follows goes then. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Encoders of parts write at p and return the place behind: a->p, which stores of bytes might alias, is read and
 * written once for an instruction. */
static ALWAYS_INLINE uint8_t *opcode_at(uint8_t *p, uint32_t op, unsigned rex)
{
    if (op & P_66)
        *p++ = 0x66;
    if (op & P_F3)
        *p++ = 0xf3;
    if (op & P_F2)
        *p++ = 0xf2;
    if (rex)
        *p++ = 0x40 | (rex & 15);
    if (op & (P_0F | P_0F38))
        *p++ = 0x0f;
    if (op & P_0F38)
        *p++ = 0x38;
    *p++ = op & 0xff;
    return p;
}

static ALWAYS_INLINE uint8_t *mem_at(uint8_t *p, int reg, Mem m)
{
    bool sib = m.index != NO_INDEX || (m.base & 7) == RSP;
    unsigned mod = m.disp == 0 && (m.base & 7) != RBP ? 0 : m.disp == (int8_t)m.disp ? 1 : 2;
    *p++ = mod << 6 | (reg & 7) << 3 | (sib ? 4 : m.base & 7);
    if (sib)
        *p++ = (m.index == NO_INDEX ? 4 : m.index & 7) << 3 | (m.base & 7);
    memcpy(p, &m.disp, 4); /* there is room; what is not wanted is written over */
    return p + (mod == 2 ? 4 : mod);
}

static inline void put_opcode(Asm *a, uint32_t op, unsigned rex)
{
    a->p = opcode_at(a->p, op, rex);
}
static inline void put_mem(Asm *a, int reg, Mem m)
{
    a->p = mem_at(a->p, reg, m);
}

/* op reg, rm (both registers). wide: 64-bit operands. */
static ALWAYS_INLINE void op_rr(Asm *a, uint32_t op, int reg, int rm, bool wide)
{
    unsigned rex = wide << 3 | (reg >> 3 & 1) << 2 | (rm >> 3 & 1);
    if ((op & BYTE_REG) && (reg >= RSP || rm >= RSP))
        rex |= 0x40; /* spl, bpl, sil, dil */
    uint8_t *p = opcode_at(a->p, op, rex);
    *p = 0xc0 | (reg & 7) << 3 | (rm & 7);
    a->p = p + 1;
}

/* op reg, [mem] */
static ALWAYS_INLINE void op_rm(Asm *a, uint32_t op, int reg, Mem m, bool wide)
{
    unsigned rex =
        wide << 3 | (reg >> 3 & 1) << 2 | (m.index == NO_INDEX ? 0 : (m.index >> 3 & 1) << 1) | (m.base >> 3 & 1);
    if ((op & BYTE_REG) && reg >= RSP)
        rex |= 0x40;
    a->p = mem_at(opcode_at(a->p, op, rex), reg, m);
}

/* op reg, [rip + (target - end of instruction)]; trailing: immediate bytes that follow */
static inline void op_rip(Asm *a, uint32_t op, int reg, const void *target, bool wide)
{
    put_opcode(a, op, wide << 3 | (reg >> 3 & 1) << 2);
    put_byte(a, (reg & 7) << 3 | 5);
    put_u32(a, (const uint8_t *)target - (a->p + 4));
}

/* VEX-encoded op reg, v, rm: map 1 (0F), 2 (0F38), 3 (0F3A); pp 0 none, 1 66, 2 F3, 3 F2 */
static inline void vex_rr(Asm *a, unsigned map, unsigned pp, bool w, unsigned op, int reg, int v, int rm)
{
    put_byte(a, 0xc4);
    put_byte(a, (~reg >> 3 & 1) << 7 | 1 << 6 | (~rm >> 3 & 1) << 5 | map);
    put_byte(a, w << 7 | (~v & 15) << 3 | pp);
    put_byte(a, op);
    put_byte(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static inline void vex_rm(Asm *a, unsigned map, unsigned pp, bool w, unsigned op, int reg, int v, Mem m)
{
    unsigned x = m.index == NO_INDEX ? 0 : m.index >> 3 & 1;
    put_byte(a, 0xc4);
    put_byte(a, (~reg >> 3 & 1) << 7 | (~x & 1) << 6 | (~m.base >> 3 & 1) << 5 | map);
    put_byte(a, w << 7 | (~v & 15) << 3 | pp);
    put_byte(a, op);
    put_mem(a, reg, m);
}

static inline void vex_rip(Asm *a, unsigned map, unsigned pp, bool w, unsigned op, int reg, int v, const void *target)
{
    put_byte(a, 0xc4);
    put_byte(a, (~reg >> 3 & 1) << 7 | 1 << 6 | 1 << 5 | map);
    put_byte(a, w << 7 | (~v & 15) << 3 | pp);
    put_byte(a, op);
    put_byte(a, (reg & 7) << 3 | 5);
    put_u32(a, (const uint8_t *)target - (a->p + 4));
}
/* VEX-encoded operations on vectors: opcode, map, prefix and W in one number. */
enum { VEX_0F = 0x100, VEX_0F38 = 0x200, VEX_0F3A = 0x300, VEX_66 = 0x1000, VEX_F3 = 0x2000, VEX_W = 0x4000 };
static inline void put_vex(Asm *a, uint32_t op, bool l256, int reg, int v, int x, int b)
{
    put_byte(a, 0xc4);
    put_byte(a, (~reg >> 3 & 1) << 7 | (~x & 1) << 6 | (~b >> 3 & 1) << 5 | (op >> 8 & 3));
    put_byte(a, (op >> 14 & 1) << 7 | (~v & 15) << 3 | l256 << 2 | (op >> 12 & 3));
    put_byte(a, op & 0xff);
}
/* op reg, v, rm; v is 0 where there is none */
static inline void vec_rr(Asm *a, uint32_t op, bool l256, int reg, int v, int rm)
{
    put_vex(a, op, l256, reg, v, 0, rm);
    put_byte(a, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
static inline void vec_rm(Asm *a, uint32_t op, bool l256, int reg, int v, Mem m)
{
    put_vex(a, op, l256, reg, v, m.index == NO_INDEX ? 0 : m.index >> 3, m.base);
    put_mem(a, reg, m);
}
/* trailing: bytes of the immediate that follows */
static inline void vec_rip(Asm *a, uint32_t op, bool l256, int reg, int v, const void *target, unsigned trailing)
{
    put_vex(a, op, l256, reg, v, 0, 0);
    put_byte(a, (reg & 7) << 3 | 5);
    put_u32(a, (const uint8_t *)target - (a->p + 4 + trailing));
}
static inline void vzeroupper(Asm *a)
{
    put_byte(a, 0xc5);
    put_byte(a, 0xf8);
    put_byte(a, 0x77);
}

/* ---- moves ---- */
static inline void mov_rr(Asm *a, int dst, int src, bool wide)
{
    op_rr(a, 0x8b, dst, src, wide);
}
static inline void mov_load(Asm *a, int dst, Mem m, bool wide)
{
    op_rm(a, 0x8b, dst, m, wide);
}
static inline void mov_store(Asm *a, Mem m, int src, bool wide)
{
    op_rm(a, 0x89, src, m, wide);
}
static inline void mov_imm(Asm *a, int dst, int64_t v)
{
    if (v == (int64_t)(uint32_t)v) {
        put_opcode(a, 0xb8 | (dst & 7), dst >> 3 ? 0x41 : 0);
        put_u32(a, v);
    } else if (v == (int32_t)v) {
        put_opcode(a, 0xc7, 8 | dst >> 3);
        put_byte(a, 0xc0 | (dst & 7));
        put_u32(a, v);
    } else {
        put_opcode(a, 0xb8 | (dst & 7), 8 | dst >> 3);
        put_u64(a, v);
    }
}
/* mov dword or qword [m], imm32 (sign-extended) */
static inline void mov_mem_imm(Asm *a, Mem m, int32_t v, bool wide)
{
    op_rm(a, 0xc7, 0, m, wide);
    put_u32(a, v);
}
static inline void lea(Asm *a, int dst, Mem m, bool wide)
{
    op_rm(a, 0x8d, dst, m, wide);
}

/* ---- arithmetic: the /digit group add or adc sbb and sub xor cmp ---- */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
static inline void alu_rr(Asm *a, int op, int dst, int src, bool wide)
{
    op_rr(a, op << 3 | 3, dst, src, wide);
}
static inline void alu_load(Asm *a, int op, int dst, Mem m, bool wide)
{
    op_rm(a, op << 3 | 3, dst, m, wide);
}
static inline void alu_store(Asm *a, int op, Mem m, int src, bool wide)
{
    op_rm(a, op << 3 | 1, src, m, wide);
}
static inline void alu_imm(Asm *a, int op, int dst, int32_t v, bool wide)
{
    bool small = v == (int8_t)v;
    op_rr(a, small ? 0x83 : 0x81, op, dst, wide);
    if (small)
        put_byte(a, v);
    else
        put_u32(a, v);
}
static inline void alu_mem_imm(Asm *a, int op, Mem m, int32_t v, bool wide)
{
    bool small = v == (int8_t)v;
    op_rm(a, small ? 0x83 : 0x81, op, m, wide);
    if (small)
        put_byte(a, v);
    else
        put_u32(a, v);
}
enum { SHIFT_ROL = 0, SHIFT_ROR = 1, SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };
static inline void shift_imm(Asm *a, int op, int dst, unsigned n, bool wide)
{
    op_rr(a, 0xc1, op, dst, wide);
    put_byte(a, n);
}
static inline void shift_cl(Asm *a, int op, int dst, bool wide)
{
    op_rr(a, 0xd3, op, dst, wide);
}
static inline void test_rr(Asm *a, int x, int y, bool wide)
{
    op_rr(a, 0x85, x, y, wide);
}
static inline void test_imm(Asm *a, int x, int32_t v)
{
    op_rr(a, 0xf7, 0, x, false);
    put_u32(a, v);
}

/* ---- control. Targets are addresses in the writable mapping: only distances count. ---- */
enum { CC_O = 0, CC_B = 2, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE, CC_LE, CC_G };
static inline void jmp_to(Asm *a, const uint8_t *target)
{
    put_byte(a, 0xe9);
    put_u32(a, target - (a->p + 4));
}
static inline void call_to(Asm *a, const uint8_t *target)
{
    put_byte(a, 0xe8);
    put_u32(a, target - (a->p + 4));
}
/* Returns the place of the rel32 field, for patch_to. */
static inline uint8_t *jcc_forward(Asm *a, int cc)
{
    put_bytes(a, 0x800f | (uint64_t)cc << 8, 6);
    return a->p - 4;
}
static inline uint8_t *jmp_forward(Asm *a)
{
    put_byte(a, 0xe9);
    put_u32(a, 0);
    return a->p - 4;
}
static inline void patch_to(uint8_t *field, const uint8_t *target)
{
    int32_t d = target - (field + 4);
    memcpy(field, &d, 4);
}
static inline uint8_t *jcc_short(Asm *a, int cc)
{
    put_byte(a, 0x70 | cc);
    put_byte(a, 0);
    return a->p - 1;
}
static inline uint8_t *jmp_short(Asm *a)
{
    put_byte(a, 0xeb);
    put_byte(a, 0);
    return a->p - 1;
}
static inline void patch_short(uint8_t *field, const uint8_t *target)
{
    *field = target - (field + 1);
}

#endif
