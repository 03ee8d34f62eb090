/*
 * The image that a generator of random RISC-V programs writes: where code goes, encoders of plain instructions (ISA
 * manual 20240411, chapters 2 and 35), the random numbers.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_RISCV_IMAGE_H
#define TESTS_INSN_RISCV_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

extern unsigned xlen;
extern bool machine_mode; /* the program is for machine mode; else for the oracle */
extern uint64_t seed;
extern uint8_t *image;
extern uint32_t at; /* where code goes next */

uint64_t rnd(void);
unsigned below(unsigned n);
void put16(uint32_t v);
void put(uint32_t v);

uint32_t enc_i(uint32_t op, int rd, int rs1, int imm);
uint32_t enc_s(uint32_t op, int rs1, int rs2, int imm);
uint32_t enc_b(uint32_t op, int rs1, int rs2, int imm);
uint32_t enc_load(int rd, int rs1, int imm); /* of XLEN bits */
uint32_t enc_store(int rs2, int rs1, int imm);

#endif
