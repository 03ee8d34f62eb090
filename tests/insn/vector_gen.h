/*
 * What the parts of vector-gen share: kinds of instructions, the configuration, encoders.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_VECTOR_GEN_H
#define TESTS_INSN_VECTOR_GEN_H

#include "riscv_image.h"
#include <stdbool.h>
#include <stdint.h>

enum { X0, RA, SP, GP, TP, T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, A6, A7, S2, S3, S4, S5 };

/* What an operand is. */
typedef enum {
    S,       /* a group of SEW */
    WIDE,    /* of 2 * SEW */
    HALF,    /* of SEW / 2 */
    QUARTER, /* of SEW / 4 */
    EIGHTH,  /* of SEW / 8 */
    INDEX16, /* of 16-bit elements, as many as a group has */
    ONE,     /* one register of SEW */
    MASK,
    GROUP1,
    GROUP2,
    GROUP4,
    GROUP8,
    X,
    F,
    IMM,
    UIMM,  /* unsigned, of five bits */
    UIMM6, /* of six: bit 26 is the highest */
    XREG,  /* results in scalar registers */
    FREG,
    FIXED, /* part of match */
} Operand;
enum { ANY, GIVEN };                                         /* vm */
enum { APART = 1, FP = 2, NO_VSTART = 4, KEEPS_VSTART = 8 }; /* no overlap; vstart must be 0; see above */
enum { UNIT = 1, STRIDED, INDEXED, FAULT_FIRST, WHOLE, MASKS, SETVL };

/* One element: x from vs2, y from vs1 or a scalar, z from vd, as wide as they are; bits: SEW. The result, and fflags.
 */
typedef uint64_t KnownFn(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags);

typedef struct Kind {
    const char *name;
    uint32_t match;
    uint8_t d, s2, s1, vm, flags;
    KnownFn *model;  /* what one element becomes, where the oracle does not know the instruction */
    const char *ext; /* extension, if it is not V (NULL) */
} Kind;

extern const Kind kinds[];
extern const unsigned kind_count;

/* Options, and the vector configuration as the program will have it at this place: log2 of SEW in bytes, and of LMUL.
 */
extern unsigned vlen, vl, frm;
extern int sew, lmul;

void put_data(const void *data, unsigned bytes);
void csr_write_imm(unsigned csr, unsigned imm);
uint64_t random_value(void);

/* Operands. */
int emul_of(Operand o);
int eew_of(Operand o);
bool is_vector(Operand o);
unsigned regs_of(Operand o);
bool overlap(unsigned a, unsigned n, unsigned b, unsigned m);

/* One instruction of a kind with a model that fits the configuration. */
void gen_known(const Kind *k);

#endif
