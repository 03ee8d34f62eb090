/*
 * RISC-V vectors: kernels of Zvbb, Zvkb and Zvbc (unprivileged ISA 20240411, chapter "Vector Cryptography"). As
 * vector_int.c, this file is compiled once for each level of the host; KERNELS names the table.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/vector_kernels.h"

/* M(bits, twice as many) */
#define EACH3(M) M(8, 16) M(16, 32) M(32, 64)
#define EACH4(M) EACH3(M) M(64, 128)

static inline uint64_t swap_bits(uint64_t v) /* of each byte */
{
    v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
    v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
    return (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
}
#define SWAP_BYTES(bits, v)     (__builtin_bswap64(v) >> (64 - bits))
#define ROTATE_LEFT(bits, v, n) ((U##bits)((v) << ((n) & (bits - 1))) | (v) >> (-(n) & (bits - 1)))

#define BITS(bits, wide)                                                                      \
    KERNEL(andn_##bits, U##bits, U##bits, U##bits, x & ~y)                                    \
    KERNEL(rol_##bits, U##bits, U##bits, U##bits, ROTATE_LEFT(bits, x, y))                    \
    KERNEL(ror_##bits, U##bits, U##bits, U##bits, ROTATE_LEFT(bits, x, -y))                   \
    KERNEL_UNARY(brev8_v_##bits, U##bits, U##bits, swap_bits(x))                              \
    KERNEL_UNARY(rev8_v_##bits, U##bits, U##bits, SWAP_BYTES(bits, x))                        \
    KERNEL_UNARY(brev_v_##bits, U##bits, U##bits, swap_bits(SWAP_BYTES(bits, x)))             \
    KERNEL_UNARY(clz_v_##bits, U##bits, U##bits, x ? __builtin_clzll(x) - (64 - bits) : bits) \
    KERNEL_UNARY(ctz_v_##bits, U##bits, U##bits, x ? __builtin_ctzll(x) : bits)               \
    KERNEL_UNARY(cpop_v_##bits, U##bits, U##bits, __builtin_popcountll(x))
EACH4(BITS)
#define WIDE_SHIFT(bits, wide) KERNEL(wsll_##bits, U##wide, U##bits, U##bits, (U##wide)x << (y & (wide - 1)))
EACH3(WIDE_SHIFT)

static inline U128 multiply(uint64_t x, uint64_t y)
{
    U128 product = 0;
    for (; y; y &= y - 1)
        product ^= (U128)x << __builtin_ctzll(y);
    return product;
}
KERNEL(clmul_64, U64, U64, U64, multiply(x, y))
KERNEL(clmulh_64, U64, U64, U64, multiply(x, y) >> 64)

/* clang-format off */
#define KB(name) { name##_8, name##_16, name##_32, name##_64 }
#define KB3(name) { name##_8, name##_16, name##_32 }
#define KC(name) { NULL, NULL, NULL, name##_64 }
/* clang-format on */
const VectorKernels KERNELS = {
#define V(name, forms, kernels, flags) [VOP_##name] = kernels(name),
    VECTOR_BITS(V)
#undef V
};
