/*
 * RISC-V vectors: Zvkned, Zvknhb, Zvksed, Zvksh, Zvkg (unprivileged ISA 20240411, chapter "Vector Cryptography"; FIPS
 * 197, FIPS 180-4, GB/T 32905-2016, GB/T 32907-2016, NIST SP 800-38D). All work on element groups of 128 or 256 bits,
 * which lie in memory order in registers.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/crypto.h"
#include "target/riscv/vector.h"
#include <string.h>

/* Are groups of so many elements (of log2 bytes) what vtype, vl, vstart and the register numbers are fit for? one: vs2
 * is a single group, which vd must not overlap. */
static bool groups_legal(const VectorCall *c, unsigned sew, unsigned elements, bool has_vs1, bool one)
{
    const RiscvState *s = c->s;
    int lmul = v_lmul(s);
    unsigned d = v_d(c->bits), r2 = v_s2(c->bits), regs = v_regs(lmul);
    if (v_sew(s) != sew || v_max(s, lmul, sew) < elements || (s->vl | s->vstart) % elements || !v_aligned(d, lmul))
        return false;
    if (one ? v_overlap(d, regs, r2, 1 + ((elements << sew) - 1) / s->vlenb) : !v_aligned(r2, lmul))
        return false;
    return !has_vs1 || v_aligned(v_s1(c->bits), lmul);
}

/* ---- AES ---- */

static void shift_and_substitute(uint8_t state[16], bool inverse)
{
    uint8_t from[16];
    memcpy(from, state, 16);
    for (unsigned i = 0; i < 16; i++) {
        uint8_t v = from[i * (inverse ? 13 : 5) % 16];
        state[i] = inverse ? riscv_aes_inverse_box[v] : riscv_aes_box[v];
    }
}
static void mix(uint8_t state[16], uint32_t (*column)(uint32_t))
{
    uint32_t words[4];
    memcpy(words, state, 16);
    for (unsigned i = 0; i < 4; i++)
        words[i] = column(words[i]);
    memcpy(state, words, 16);
}
static void add_key(uint8_t state[16], const uint8_t key[16])
{
    for (unsigned i = 0; i < 16; i++)
        state[i] ^= key[i];
}

bool vector_aes_round(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned op = c->op;
    bool one =
        op == VOP_aesdf_vs || op == VOP_aesdm_vs || op == VOP_aesef_vs || op == VOP_aesem_vs || op == VOP_aesz_vs;
    bool inverse = op <= VOP_aesdm_vs;
    if (!groups_legal(c, 2, 4, false, one))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i += 4) {
        uint8_t *state = v_reg(s, v_d(c->bits)) + 4 * i, key[16];
        memcpy(key, v_reg(s, v_s2(c->bits)) + (one ? 0 : 4 * i), 16);
        if (op != VOP_aesz_vs)
            shift_and_substitute(state, inverse);
        if (op == VOP_aesem_vv || op == VOP_aesem_vs)
            mix(state, mix_column);
        add_key(state, key);
        if (op == VOP_aesdm_vv || op == VOP_aesdm_vs)
            mix(state, unmix_column);
    }
    return true;
}

bool vector_aes_key(VectorCall *c)
{
    static const uint8_t constants[] = { 1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36 };
    RiscvState *s = c->s;
    bool first = c->op == VOP_aeskf1_vi;
    unsigned round = v_s1(c->bits) & 15;
    if (first ? round == 0 || round > 10 : round < 2 || round > 14)
        round ^= 8;
    if (!groups_legal(c, 2, 4, false, false))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i += 4) {
        uint32_t now[4], w[4];
        uint8_t *d = v_reg(s, v_d(c->bits)) + 4 * i;
        memcpy(now, v_reg(s, v_s2(c->bits)) + 4 * i, 16);
        memcpy(w, first ? (uint8_t *)now : d, 16);
        if (first)
            w[0] ^= substitute(rotate_left(now[3], 24)) ^ constants[round - 1];
        else
            w[0] ^= round & 1 ? substitute(now[3]) : substitute(rotate_left(now[3], 24)) ^ constants[(round >> 1) - 1];
        for (unsigned n = 1; n < 4; n++)
            w[n] ^= w[n - 1];
        memcpy(d, w, 16);
    }
    return true;
}

/* ---- SHA-2: 32 and 64 bits ---- */

#define ROTATE(bits, v, n) ((v) >> (n) | (v) << (bits - (n)))
/* Rotations of Sum0, Sum1; of sigma0 and sigma1, with the shift last. */
#define SHA2(N, A0, A1, A2, E0, E1, E2, S0, S1, S2, T0, T1, T2)                                                 \
    static uint##N##_t sigma0_##N(uint##N##_t v)                                                                \
    {                                                                                                           \
        return ROTATE(N, v, S0) ^ ROTATE(N, v, S1) ^ v >> S2;                                                   \
    }                                                                                                           \
    static uint##N##_t sigma1_##N(uint##N##_t v)                                                                \
    {                                                                                                           \
        return ROTATE(N, v, T0) ^ ROTATE(N, v, T1) ^ v >> T2;                                                   \
    }                                                                                                           \
    static void schedule_##N(uint##N##_t *w, const uint##N##_t *x, const uint##N##_t *y)                        \
    {                                                                                                           \
        uint##N##_t r[4];                                                                                       \
        r[0] = sigma1_##N(y[2]) + x[1] + sigma0_##N(w[1]) + w[0];                                               \
        r[1] = sigma1_##N(y[3]) + x[2] + sigma0_##N(w[2]) + w[1];                                               \
        r[2] = sigma1_##N(r[0]) + x[3] + sigma0_##N(w[3]) + w[2];                                               \
        r[3] = sigma1_##N(r[1]) + y[0] + sigma0_##N(x[0]) + w[3];                                               \
        memcpy(w, r, sizeof r);                                                                                 \
    }                                                                                                           \
    /* two rounds; d is c, d, g, h and x is a, b, e, f, the first one highest */                                \
    static void compress_##N(uint##N##_t *w, const uint##N##_t *x, const uint##N##_t *words)                    \
    {                                                                                                           \
        uint##N##_t a = x[3], b = x[2], e = x[1], f = x[0], c = w[3], d = w[2], g = w[1], h = w[0];             \
        for (unsigned i = 0; i < 2; i++) {                                                                      \
            uint##N##_t one =                                                                                   \
                h + (ROTATE(N, e, E0) ^ ROTATE(N, e, E1) ^ ROTATE(N, e, E2)) + ((e & f) ^ (~e & g)) + words[i]; \
            uint##N##_t two =                                                                                   \
                (ROTATE(N, a, A0) ^ ROTATE(N, a, A1) ^ ROTATE(N, a, A2)) + ((a & b) ^ (a & c) ^ (b & c));       \
            h = g, g = f, f = e, e = d + one, d = c, c = b, b = a, a = one + two;                               \
        }                                                                                                       \
        w[3] = a, w[2] = b, w[1] = e, w[0] = f;                                                                 \
    }                                                                                                           \
    static void sha2_##N(const VectorCall *c, unsigned i)                                                       \
    {                                                                                                           \
        RiscvState *s = c->s;                                                                                   \
        uint##N##_t *d = (uint##N##_t *)v_reg(s, v_d(c->bits)) + i;                                             \
        const uint##N##_t *x = (uint##N##_t *)v_reg(s, v_s2(c->bits)) + i;                                      \
        const uint##N##_t *y = (uint##N##_t *)v_reg(s, v_s1(c->bits)) + i;                                      \
        if (c->op == VOP_sha2ms_vv)                                                                             \
            schedule_##N(d, x, y);                                                                              \
        else                                                                                                    \
            compress_##N(d, x, y + (c->op == VOP_sha2ch_vv ? 2 : 0));                                           \
    }
SHA2(32, 2, 13, 22, 6, 11, 25, 7, 18, 3, 17, 19, 10)
SHA2(64, 28, 34, 39, 14, 18, 41, 1, 8, 7, 19, 61, 6)

bool vector_sha2(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned sew = v_sew(s), d = v_d(c->bits), regs = v_regs(v_lmul(s));
    if (sew < 2 || !groups_legal(c, sew, 4, true, false) || v_overlap(d, regs, v_s1(c->bits), regs) ||
        v_overlap(d, regs, v_s2(c->bits), regs))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i += 4)
        sew == 2 ? sha2_32(c, i) : sha2_64(c, i);
    return true;
}

/* ---- SM4 ---- */

static uint32_t sm4_substitute(uint32_t v)
{
    return riscv_sm4_box[v & 255] | riscv_sm4_box[v >> 8 & 255] << 8 | riscv_sm4_box[v >> 16 & 255] << 16 |
           (uint32_t)riscv_sm4_box[v >> 24] << 24;
}
/* Key constant: bytes (4 * i + j) * 7, the first one highest. */
static uint32_t sm4_constant(unsigned i)
{
    return (28 * i & 255) << 24 | ((28 * i + 7) & 255) << 16 | ((28 * i + 14) & 255) << 8 | ((28 * i + 21) & 255);
}

bool vector_sm4(VectorCall *c)
{
    RiscvState *s = c->s;
    bool key = c->op == VOP_sm4k_vi, one = c->op == VOP_sm4r_vs;
    unsigned round = v_s1(c->bits) & 7;
    if (!groups_legal(c, 2, 4, false, one))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i += 4) {
        uint32_t x[8], from[4];
        uint8_t *d = v_reg(s, v_d(c->bits)) + 4 * i;
        memcpy(from, v_reg(s, v_s2(c->bits)) + (one ? 0 : 4 * i), 16);
        memcpy(x, key ? (uint8_t *)from : d, 16);
        for (unsigned n = 0; n < 4; n++) {
            uint32_t v = sm4_substitute(x[n + 1] ^ x[n + 2] ^ x[n + 3] ^ (key ? sm4_constant(4 * round + n) : from[n]));
            x[n + 4] = x[n] ^ v ^
                       (key ? rotate_left(v, 13) ^ rotate_left(v, 23)
                            : rotate_left(v, 2) ^ rotate_left(v, 10) ^ rotate_left(v, 18) ^ rotate_left(v, 24));
        }
        memcpy(d, x + 4, 16);
    }
    return true;
}

/* ---- SM3: words are big-endian in registers ---- */

static void sm3_swap(uint32_t words[8])
{
    for (unsigned i = 0; i < 8; i++)
        words[i] = __builtin_bswap32(words[i]);
}
static uint32_t sm3_p1(uint32_t v)
{
    return v ^ rotate_left(v, 15) ^ rotate_left(v, 23);
}
static void sm3_expand(uint32_t w[24])
{
    for (unsigned i = 16; i < 24; i++)
        w[i] = sm3_p1(w[i - 16] ^ w[i - 9] ^ rotate_left(w[i - 3], 15)) ^ rotate_left(w[i - 13], 7) ^ w[i - 6];
}
/* Rounds j and j + 1; v: a to h; w: words j to j + 5. */
static void sm3_compress(uint32_t v[8], const uint32_t w[6], unsigned j)
{
    for (unsigned n = 0; n < 2; n++, j++) {
        uint32_t a = v[0], b = v[1], c = v[2], e = v[4], f = v[5], g = v[6];
        uint32_t ss1 = rotate_left(rotate_left(a, 12) + e + rotate_left(j < 16 ? 0x79cc4519 : 0x7a879d8a, j), 7);
        uint32_t tt1 =
            (j < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c)) + v[3] + (ss1 ^ rotate_left(a, 12)) + (w[n] ^ w[n + 4]);
        uint32_t tt2 = (j < 16 ? e ^ f ^ g : (e & f) | (~e & g)) + v[7] + ss1 + w[n];
        const uint32_t next[8] = {
            tt1, a, rotate_left(b, 9), c, tt2 ^ rotate_left(tt2, 9) ^ rotate_left(tt2, 17), e, rotate_left(f, 19), g
        };
        memcpy(v, next, sizeof next);
    }
}

bool vector_sm3(VectorCall *c)
{
    RiscvState *s = c->s;
    bool expand = c->op == VOP_sm3me_vv;
    if (!groups_legal(c, 2, 8, expand, false))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i += 8) {
        uint32_t w[24], state[8];
        uint8_t *d = v_reg(s, v_d(c->bits)) + 4 * i;
        const uint8_t *x = v_reg(s, v_s2(c->bits)) + 4 * i, *y = v_reg(s, v_s1(c->bits)) + 4 * i;
        if (expand) {
            memcpy(w, y, 32);
            memcpy(w + 8, x, 32);
            sm3_swap(w);
            sm3_swap(w + 8);
            sm3_expand(w);
            memcpy(state, w + 16, 32);
        } else {
            memcpy(w, x, 32);
            memcpy(state, d, 32);
            sm3_swap(w);
            sm3_swap(state);
            sm3_compress(state, w, 2 * v_s1(c->bits));
        }
        sm3_swap(state);
        memcpy(d, state, 32);
    }
    return true;
}

/* ---- GHASH: bit 0 of the polynomial is the highest of byte 0 ---- */

typedef unsigned __int128 U128;
static U128 swap_bits(U128 v)
{
    const U128 five = ~(U128)0 / 3, three = ~(U128)0 / 5, one = ~(U128)0 / 17; /* 0x55.., 0x33.., 0x0f.. */
    v = (v >> 1 & five) | (v & five) << 1;
    v = (v >> 2 & three) | (v & three) << 2;
    return (v >> 4 & one) | (v & one) << 4;
}

bool vector_ghash(VectorCall *c)
{
    RiscvState *s = c->s;
    bool add = c->op == VOP_ghsh_vv;
    if (!groups_legal(c, 2, 4, add, false))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i += 4) {
        U128 x, h, y = 0, product = 0;
        uint8_t *d = v_reg(s, v_d(c->bits)) + 4 * i;
        memcpy(&x, d, 16);
        memcpy(&h, v_reg(s, v_s2(c->bits)) + 4 * i, 16);
        if (add)
            memcpy(&y, v_reg(s, v_s1(c->bits)) + 4 * i, 16);
        x = swap_bits(x ^ y);
        h = swap_bits(h);
        for (; x; x >>= 1) {
            product ^= x & 1 ? h : 0;
            h = h << 1 ^ (h >> 127 ? 0x87 : 0);
        }
        product = swap_bits(product);
        memcpy(d, &product, 16);
    }
    return true;
}
