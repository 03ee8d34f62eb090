/*
 * What the two halves of riscv-gen share: kinds of instructions, where code goes, random operands, encoders.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_RISCV_GEN_H
#define TESTS_INSN_RISCV_GEN_H

#include "riscv_image.h"
#include <stdbool.h>
#include <stdint.h>

enum { X0, RA, SP, GP, TP, T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, A6, A7 };

/* Operand patterns. */
typedef enum {
    R,  /* rd, rs1, rs2 */
    R1, /* rd, rs1 (rs2 is part of match) */
    I,  /* rd, rs1, imm12 */
    SH5,
    SH6,
    SHX, /* rd, rs1, shift amount of 5, 6, log2(XLEN) bits */
    LOAD,
    STORE,
    FLOAD,
    FSTORE,
    AMO,
    LRSC,
    B,
    U,
    JAL,
    JALR,
    FR,    /* f rd, f rs1, f rs2, rm */
    FRN,   /* f rd, f rs1, f rs2, no rm */
    FR1,   /* f rd, f rs1, rm */
    FR4,   /* f rd, f rs1, f rs2, f rs3, rm */
    FCMP,  /* x rd, f rs1, f rs2 */
    FTOI,  /* x rd, f rs1, rm */
    FTOIN, /* x rd, f rs1 */
    ITOF,  /* f rd, x rs1, rm */
    ITOFN, /* f rd, x rs1 */
    FCSR,
    FCSRI,
    FENCE,
    CADDI,
    CLI,
    CLUI,
    CADDI4SPN,
    CADDI16SP,
    CSLLI,
    CSRLI,
    CANDI,
    CALU,
    CMV,
    CADDIW,
    CLW,
    CLD,
    CSW,
    CSD,
    CLWSP,
    CLDSP,
    CSWSP,
    CSDSP,
    CFLD,
    CFSD,
    CFLDSP,
    CFSDSP,
    CFLW,
    CFSW,
    CFLWSP,
    CFSWSP,
    CBZ,
    CJ,
    CNOP,
    MODEL, /* Kind.gen makes it */
} Form;

enum { BOTH = 0, ONLY64 = 64, ONLY32 = 32 };

typedef struct Kind {
    const char *name;
    uint32_t match;
    uint8_t form, xlen;
    void (*gen)(const struct Kind *k); /* form MODEL */
    int what;                          /* gen's own */
} Kind;

#define OPREG(f7, f3, op)       ((uint32_t)(f7) << 25 | (f3) << 12 | (op))
#define FUNARY(f7, rs2, f3, op) (OPREG(f7, f3, op) | (uint32_t)(rs2) << 20)

/* Arithmetic of one format: fmt 0 is single, 1 is double, 2 is half */
#define FLOATS(s, fmt)                                                                                                \
    { "fadd" s, OPREG(0x00 | fmt, 0, 0x53), FR, BOTH }, { "fsub" s, OPREG(0x04 | fmt, 0, 0x53), FR, BOTH },           \
        { "fmul" s, OPREG(0x08 | fmt, 0, 0x53), FR, BOTH }, { "fdiv" s, OPREG(0x0c | fmt, 0, 0x53), FR, BOTH },       \
        { "fsqrt" s, OPREG(0x2c | fmt, 0, 0x53), FR1, BOTH }, { "fsgnj" s, OPREG(0x10 | fmt, 0, 0x53), FRN, BOTH },   \
        { "fsgnjn" s, OPREG(0x10 | fmt, 1, 0x53), FRN, BOTH }, { "fsgnjx" s, OPREG(0x10 | fmt, 2, 0x53), FRN, BOTH }, \
        { "fmin" s, OPREG(0x14 | fmt, 0, 0x53), FRN, BOTH }, { "fmax" s, OPREG(0x14 | fmt, 1, 0x53), FRN, BOTH },     \
        { "fle" s, OPREG(0x50 | fmt, 0, 0x53), FCMP, BOTH }, { "flt" s, OPREG(0x50 | fmt, 1, 0x53), FCMP, BOTH },     \
        { "feq" s, OPREG(0x50 | fmt, 2, 0x53), FCMP, BOTH }, { "fclass" s, OPREG(0x70 | fmt, 1, 0x53), FTOIN, BOTH }, \
        { "fcvt.w" s, FUNARY(0x60 | fmt, 0, 0, 0x53), FTOI, BOTH },                                                   \
        { "fcvt.wu" s, FUNARY(0x60 | fmt, 1, 0, 0x53), FTOI, BOTH },                                                  \
        { "fcvt.l" s, FUNARY(0x60 | fmt, 2, 0, 0x53), FTOI, ONLY64 },                                                 \
        { "fcvt.lu" s, FUNARY(0x60 | fmt, 3, 0, 0x53), FTOI, ONLY64 },                                                \
        { "fcvt" s ".w", FUNARY(0x68 | fmt, 0, 0, 0x53), ITOF, BOTH },                                                \
        { "fcvt" s ".wu", FUNARY(0x68 | fmt, 1, 0, 0x53), ITOF, BOTH },                                               \
        { "fcvt" s ".l", FUNARY(0x68 | fmt, 2, 0, 0x53), ITOF, ONLY64 },                                              \
        { "fcvt" s ".lu", FUNARY(0x68 | fmt, 3, 0, 0x53), ITOF, ONLY64 },                                             \
        { "fmadd" s, OPREG(fmt, 0, 0x43), FR4, BOTH }, { "fmsub" s, OPREG(fmt, 0, 0x47), FR4, BOTH },                 \
        { "fnmsub" s, OPREG(fmt, 0, 0x4b), FR4, BOTH },                                                               \
    {                                                                                                                 \
        "fnmadd" s, OPREG(fmt, 0, 0x4f), FR4, BOTH                                                                    \
    }

/* What the oracle knows: riscv_kinds.c. */
extern const Kind base_kinds[];
extern const unsigned base_kind_count;
/* Extensions, by the first of their kinds in the order of the tables. */
typedef struct Section {
    const char *first, *ext;
} Section;
extern const Section sections[];
extern const unsigned section_count;
/* Extensions beyond those of the reference emulator's rv64: riscv_gen_ext.c. */
extern const Kind ext_kinds[];
extern const unsigned ext_kind_count;

/* What the instruction just made is compared with; oracle_model: a function of riscv_gen_ext.c, with constants. */
extern const char *oracle, *const oracle_model;

uint64_t random_value(bool is_float);

/* gp, sp, s0, s1 keep their values: the state area, and scratch addresses: s1 is 64-byte aligned, s0 is 3 more than
 * that. */
int any_x(void);
int dest_x(void);
int any_f(void);
int base_x(void);

uint32_t enc_j(int rd, int imm);

#endif
