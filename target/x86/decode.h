/*
 * x86 instruction decoder: from bytes to a row of the opcode tables and operands (Intel 64 and IA-32 Architectures
 * Software Developer's Manual, December 2024, volume 2, chapter 2 and appendix A).
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_DECODE_H
#define TARGET_X86_DECODE_H

#include <stdbool.h>
#include <stdint.h>

/* CPUID features that decide whether an opcode exists. */
#define X86_DECODE_FEATURES(F)                                                                                         \
    F(ALWAYS)                                                                                                          \
    F(X87)                                                                                                             \
    F(CMOV)                                                                                                            \
    F(SEP)                                                                                                             \
    F(SYSCALL) F(CX8) F(CX16) F(MMX) F(FXSR) F(SSE) F(SSE2) F(SSE3) F(SSSE3) F(SSE4_1) F(SSE4_2) F(SSE4A) F(AES)       \
        F(PCLMULQDQ) F(SHA) F(AVX) F(AVX2) F(FMA) F(F16C) F(BMI1) F(BMI2) F(ADX) F(LZCNT) F(POPCNT) F(MOVBE) F(RDRAND) \
            F(RDSEED) F(RDTSCP) F(RDPID) F(FSGSBASE) F(INVPCID) F(MONITOR) F(SMAP) F(PKU) F(XSAVE) F(XSAVEOPT)         \
                F(XSAVEC) F(XSAVES) F(CLFLUSH) F(CLFLUSHOPT) F(CLWB) F(CLZERO) F(WBNOINVD)
enum {
#define FEATURE(name) X86_##name,
    X86_DECODE_FEATURES(FEATURE)
#undef FEATURE
};

typedef enum {
    OPERAND_NONE,
    OPERAND_RM,      /* general register or memory */
    OPERAND_REG,     /* general register of ModRM.reg */
    OPERAND_RM_REG,  /* general register of ModRM.rm */
    OPERAND_VEX_REG, /* general register of VEX.vvvv */
    OPERAND_OPCODE,  /* general register of the opcode's low bits */
    OPERAND_MEM,
    OPERAND_IMM,
    OPERAND_REL,    /* jump displacement, in imm */
    OPERAND_OFFSET, /* memory at an offset that stands in imm */
    OPERAND_FAR,    /* selector and offset */
    OPERAND_SOURCE, /* string at DS:rSI */
    OPERAND_DEST,   /* string at ES:rDI */
    OPERAND_CR,
    OPERAND_DR,
    OPERAND_SREG,
    OPERAND_MMX,
    OPERAND_MMX_RM,
    OPERAND_XMM,
    OPERAND_XMM_RM,
    OPERAND_XMM_VEX,
    OPERAND_XMM_IMM, /* vector register of the immediate's high bits */
    OPERAND_ACC,
    OPERAND_CL,
    OPERAND_DX,
    OPERAND_ONE,
    OPERAND_ST0,
    OPERAND_ST_RM,
    OPERAND_SEGMENT_ES,
    OPERAND_SEGMENT_CS,
    OPERAND_SEGMENT_SS,
    OPERAND_SEGMENT_DS,
    OPERAND_SEGMENT_FS,
    OPERAND_SEGMENT_GS,
} X86OperandKind;

typedef enum {
    SIZE_NONE,
    SIZE_B,
    SIZE_W,
    SIZE_D,
    SIZE_Q,
    SIZE_O,
    SIZE_T, /* ten bytes */
    SIZE_S, /* x87: single precision */
    SIZE_L, /* x87: 32-bit integer */
    SIZE_V, /* operand size: 2, 4 or 8 bytes */
    SIZE_Z, /* operand size, but at most 4 */
    SIZE_Y, /* 4, or 8 by REX.W or VEX.W in 64-bit mode */
    SIZE_X, /* the whole vector */
    SIZE_H, /* half of it, a fourth, an eighth */
    SIZE_F,
    SIZE_E,
    SIZE_DB, /* a byte in memory, 4 bytes in a register; likewise a word */
    SIZE_DW,
    SIZE_P, /* far pointer */
} X86OperandSize;

enum { PREFIX_ANY, PREFIX_NP, PREFIX_66, PREFIX_F3, PREFIX_F2 };
enum { BITS_ANY, BITS_LEGACY, BITS_LONG };
enum { ENCODING_LEGACY, ENCODING_VEX, ENCODING_VEX_SCALAR };
enum { MOD_ANY, MOD_MEM, MOD_REG };
/* X86Row.flags */
enum {
    X86_MODRM = 1,
    X86_LOCK = 2, /* may have a lock prefix where the destination is memory */
    X86_D64 = 4,  /* operand size is 64 bits in 64-bit mode, 16 with a prefix */
    X86_F64 = 8,  /* operand size is 64 bits in 64-bit mode */
    X86_CC = 16,  /* the opcode's low bits are a condition */
    X86_ALIGNED = 32,
    X86_UNALIGNED = 64,
    X86_VSIB = 128,
    X86_PROTECTED = 256, /* not in real and virtual-8086 mode */
    X86_LAHF64 = 512,    /* in 64-bit mode a feature of its own */
    X86_NOREXB = 1024,   /* with REX.B it is another instruction */
};

typedef struct X86Operand {
    uint8_t kind, size;
} X86Operand;

typedef struct X86Row {
    uint16_t id; /* X86_OP_* of the tables: of its name */
    const char *name;
    X86Operand operands[4];
    uint16_t flags;
    uint8_t prefix, mode, encoding, mod;
    int8_t digit;  /* ModRM.reg, or -1 */
    int16_t modrm; /* the whole byte, or -1 */
    int8_t w, l;   /* 0, 1 or -1 */
    uint8_t features[2], feature256;
} X86Row;

typedef enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_NO_SEGMENT } X86Segment;

enum { X86_NO_REG = 0xff };

typedef struct X86Insn {
    const X86Row *row; /* NULL: #UD */
    uint8_t length;    /* bytes; 0: more bytes are needed than there were. With row NULL: as far as it was looked at */
    bool too_long;     /* more than 15 bytes: #GP */
    bool lock, vex, rex;
    uint8_t repeat;      /* 0, 0xf2 or 0xf3 */
    uint8_t opcode, map; /* its last byte; 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
    uint8_t modrm;
    uint8_t operand_size;     /* 2, 4 or 8 bytes */
    uint8_t address_size;     /* 2, 4 or 8 bytes */
    uint8_t vector_size;      /* 16 or 32 bytes */
    bool w;                   /* REX.W or VEX.W, 64-bit mode only */
    uint8_t segment_override; /* X86Segment; X86_NO_SEGMENT */
    /* ModRM, extended by REX or VEX */
    uint8_t mod, reg, rm, vvvv;
    /* memory operand (mod != 3), or OPERAND_OFFSET: disp is the offset */
    uint8_t base, index,
        scale;       /* registers or X86_NO_REG; scale: log2. base X86_RIP: relative to the next instruction */
    uint8_t segment; /* with override */
    int64_t disp;
    int64_t imm;   /* sign-extended where the instruction does so */
    uint16_t imm2; /* enter: nesting; far pointer: selector; extrq and insertq: second byte */
} X86Insn;

enum { X86_RIP = 16 };

/*
 * Decode the instruction at bytes, of which `available` may be read. bits: 16, 32 or 64, what CS says. features: bit
 * set of 1 << X86_*, X86_ALWAYS among them. vex_allowed: not in real or virtual-8086 mode.
 */
void x86_decode(unsigned bits, uint64_t features, bool vex_allowed, const uint8_t *bytes, unsigned available,
                X86Insn *insn);
/* The first row of that name (X86_OP_*). */
const X86Row *x86_row_of(unsigned id);
/* Bytes of an operand in this instruction; 0: it has no size. */
unsigned x86_operand_bytes(const X86Insn *insn, X86Operand operand);

#endif
