/*
 * RISC-V: what scalar and vector cryptography share (FIPS 197; GB/T 32907-2016). The boxes are made by
 * riscv_crypto_init().
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_CRYPTO_H
#define TARGET_RISCV_CRYPTO_H

#include <stdint.h>

extern uint8_t riscv_aes_box[256], riscv_aes_inverse_box[256], riscv_sm4_box[256];

static inline uint32_t rotate_left(uint32_t v, unsigned n)
{
    return v << (n & 31) | v >> (-n & 31);
}

static inline uint32_t substitute(uint32_t v)
{
    return riscv_aes_box[v & 255] | riscv_aes_box[v >> 8 & 255] << 8 | riscv_aes_box[v >> 16 & 255] << 16 |
           (uint32_t)riscv_aes_box[v >> 24] << 24;
}

/* Twice each of four bytes, in the field. */
static inline uint32_t twice(uint32_t v)
{
    return (v & 0x7f7f7f7f) << 1 ^ (v >> 7 & 0x01010101) * 0x1b;
}
static inline uint32_t mix_column(uint32_t v)
{
    uint32_t pairs = v ^ rotate_left(v, 24); /* each byte and the next */
    return twice(pairs) ^ rotate_left(v, 24) ^ rotate_left(v, 16) ^ rotate_left(v, 8);
}
static inline uint32_t unmix_column(uint32_t v)
{
    uint32_t four = twice(twice(v ^ rotate_left(v, 16)));
    return mix_column(v ^ four);
}

#endif
