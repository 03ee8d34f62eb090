/*
 * RISC-V helpers for carry-less multiplication, crossbar permutation, AES and SM4 (unprivileged ISA 20240411, chapters
 * 28 and 32; FIPS 197; GB/T 32907-2016).
 *
 * They run with the guest's flags in MXCSR: no loop here may be one that a compiler turns into vector code with
 * floating-point conversions, as Clang does with 32-bit shifts by various amounts.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/crypto.h"
#include "target/riscv/translate.h"
#ifdef __x86_64__
#include <immintrin.h>
#endif

/* ---- Zbc ---- */

typedef unsigned __int128 U128;

static U128 carryless_loop(uint64_t a, uint64_t b)
{
    U128 product = 0;
    for (unsigned i = 0; i < 64; i++)
        product ^= ((U128)a << i) & -(U128)(b >> i & 1);
    return product;
}

#ifdef __x86_64__
__attribute__((target("pclmul,sse4.1"))) static U128 carryless_host(uint64_t a, uint64_t b)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(a), _mm_cvtsi64_si128(b), 0);
    return (U128)(uint64_t)_mm_extract_epi64(product, 1) << 64 | (uint64_t)_mm_cvtsi128_si64(product);
}
static U128 carryless(uint64_t a, uint64_t b)
{
    return __builtin_cpu_supports("pclmul") ? carryless_host(a, b) : carryless_loop(a, b);
}
#else
static U128 carryless(uint64_t a, uint64_t b)
{
    return carryless_loop(a, b);
}
#endif

/* shift: of the product, whose low bits are the result; operands of XLEN bits, zero-extended */
uint64_t riscv_helper_clmul(CpuState *cs, uint64_t a, uint64_t b, uint64_t shift, uint64_t d)
{
    return carryless(a, b) >> shift;
}

/* ---- Zbkx ---- */

/* Each element of index picks one of x; those out of range give 0. bits: 4 or 8 of an element */
uint64_t riscv_helper_xperm(CpuState *cs, uint64_t x, uint64_t index, uint64_t bits, uint64_t d)
{
    unsigned width = riscv(cs)->xlen;
    uint64_t mask = (1u << bits) - 1, result = 0;
    for (unsigned at = 0; at < width; at += bits) {
        uint64_t from = (index >> at & mask) * bits;
        result |= (from < width ? x >> from & mask : 0) << at;
    }
    return result;
}

/* ---- AES and SM4: substitution boxes made from their definitions ---- */

uint8_t riscv_aes_box[256], riscv_aes_inverse_box[256], riscv_sm4_box[256];

static uint8_t field_multiply(uint8_t a, uint8_t b, unsigned polynomial)
{
    unsigned x = a, product = 0;
    for (; b; b >>= 1) {
        product ^= b & 1 ? x : 0;
        x = x << 1 ^ (x & 0x80 ? polynomial : 0);
    }
    return product;
}

static uint8_t field_inverse(uint8_t a, unsigned polynomial)
{
    uint8_t power = 1;
    for (unsigned i = 0; i < 254; i++) /* a to the 254th is the inverse, and 0 stays 0 */
        power = field_multiply(power, a, polynomial);
    return power;
}

/* Bit i is the parity of x under row rotated left by i. */
static uint8_t circulant(uint8_t x, uint8_t row)
{
    uint8_t result = 0;
    for (unsigned i = 0; i < 8; i++)
        result |= __builtin_parity(x & (uint8_t)(row << i | row >> (8 - i))) << i;
    return result;
}

void riscv_crypto_init(void)
{
    static gsize ready;
    if (!g_once_init_enter(&ready))
        return;
    for (unsigned x = 0; x < 256; x++) {
        riscv_aes_box[x] = circulant(field_inverse(x, 0x11b), 0xf1) ^ 0x63;
        riscv_aes_inverse_box[riscv_aes_box[x]] = x;
        riscv_sm4_box[x] = circulant(field_inverse(circulant(x, 0xa7) ^ 0xd3, 0x1f5), 0xa7) ^ 0xd3;
    }
    g_once_init_leave(&ready, 1);
}

/* what: AES_MIX, AES_DECRYPT; bits from 8: place of the byte */
uint64_t riscv_helper_aes32(CpuState *cs, uint64_t rs1, uint64_t rs2, uint64_t what, uint64_t d)
{
    unsigned shift = what >> 8;
    uint8_t byte = rs2 >> shift;
    uint32_t v = what & AES_DECRYPT ? riscv_aes_inverse_box[byte] : riscv_aes_box[byte];
    if (what & AES_MIX)
        v = what & AES_DECRYPT ? unmix_column(v) : mix_column(v);
    return (uint32_t)rs1 ^ rotate_left(v, shift);
}

/* Half a round: the rows of the state rs2:rs1 are shifted, two columns come out. */
uint64_t riscv_helper_aes64(CpuState *cs, uint64_t rs1, uint64_t rs2, uint64_t what, uint64_t d)
{
    uint64_t state[2] = { rs1, rs2 }, v = 0;
    const uint8_t *box = what & AES_DECRYPT ? riscv_aes_inverse_box : riscv_aes_box;
    for (unsigned i = 0; i < 8; i++) {
        unsigned from = i * (what & AES_DECRYPT ? 13 : 5) % 16;
        v |= (uint64_t)box[state[from >> 3] >> (from & 7) * 8 & 255] << 8 * i;
    }
    if (!(what & AES_MIX))
        return v;
    return what & AES_DECRYPT ? unmix_column(v) | (uint64_t)unmix_column(v >> 32) << 32
                              : mix_column(v) | (uint64_t)mix_column(v >> 32) << 32;
}

uint64_t riscv_helper_aes64im(CpuState *cs, uint64_t v, uint64_t b, uint64_t c, uint64_t d)
{
    return unmix_column(v) | (uint64_t)unmix_column(v >> 32) << 32;
}

uint64_t riscv_helper_aes64ks1i(CpuState *cs, uint64_t rs1, uint64_t round, uint64_t c, uint64_t d)
{
    static const uint8_t constants[] = { 1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36, 0 };
    uint32_t v = rs1 >> 32;
    v = substitute(round == 10 ? v : rotate_left(v, 24)) ^ constants[round];
    return v | (uint64_t)v << 32;
}

/* shift: place of the byte */
uint64_t riscv_helper_sm4ed(CpuState *cs, uint64_t rs1, uint64_t rs2, uint64_t shift, uint64_t d)
{
    uint32_t x = riscv_sm4_box[rs2 >> shift & 255];
    x ^= x << 8 ^ x << 2 ^ x << 18 ^ (x & 0x3f) << 26 ^ (x & 0xc0) << 10;
    return (uint32_t)rs1 ^ rotate_left(x, shift);
}
uint64_t riscv_helper_sm4ks(CpuState *cs, uint64_t rs1, uint64_t rs2, uint64_t shift, uint64_t d)
{
    uint32_t x = riscv_sm4_box[rs2 >> shift & 255];
    x ^= (x & 0x07) << 29 ^ (x & 0xfe) << 7 ^ (x & 0x01) << 23 ^ (x & 0xf8) << 13;
    return (uint32_t)rs1 ^ rotate_left(x, shift);
}
