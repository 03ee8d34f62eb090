/*
 * See riscv_image.h.
 * SPDX-License-Identifier: MIT
 */
#include "riscv_image.h"
#include <string.h>

unsigned xlen = 64;
bool machine_mode;
uint64_t seed = 1;
uint8_t *image;
uint32_t at;

/* SplitMix64 */
uint64_t rnd(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

unsigned below(unsigned n)
{
    return rnd() % n;
}

void put16(uint32_t v)
{
    memcpy(image + at, &v, 2);
    at += 2;
}

void put(uint32_t v)
{
    memcpy(image + at, &v, 4);
    at += 4;
}

uint32_t enc_i(uint32_t op, int rd, int rs1, int imm)
{
    return op | rd << 7 | rs1 << 15 | (uint32_t)imm << 20;
}

uint32_t enc_s(uint32_t op, int rs1, int rs2, int imm)
{
    return op | (imm & 31) << 7 | rs1 << 15 | rs2 << 20 | (uint32_t)(imm >> 5 & 127) << 25;
}

uint32_t enc_b(uint32_t op, int rs1, int rs2, int imm)
{
    return op | (imm >> 11 & 1) << 7 | (imm >> 1 & 15) << 8 | rs1 << 15 | rs2 << 20 | (uint32_t)(imm >> 5 & 63) << 25 |
           (uint32_t)(imm >> 12 & 1) << 31;
}

uint32_t enc_load(int rd, int rs1, int imm)
{
    return enc_i(xlen == 64 ? 0x3003 : 0x2003, rd, rs1, imm);
}

uint32_t enc_store(int rs2, int rs1, int imm)
{
    return enc_s(xlen == 64 ? 0x3023 : 0x2023, rs1, rs2, imm);
}
