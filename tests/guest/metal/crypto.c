/*
 * Vector cryptography, bare metal (RV32 and RV64): Zvkned, Zvknhb, Zvksed, Zvksh and Zvkg do the examples of the
 * standards: FIPS 197 (C.1 and C.3), FIPS 180-4 ("abc"), GB/T 32907-2016 and 32905-2016 (example 1), and test case 2 of
 * the GCM specification. And what may not be: other SEW, vl in the middle of a group, overlaps. The instructions are
 * numbers here, since assemblers of today do not all know them.
 * SPDX-License-Identifier: MIT
 */
#include "frame.h"

static void expect(int ok, const char *what)
{
    check(ok, what, ok);
}
static volatile ulong trap_count;
void trap(Trap *t)
{
    trap_count++;
    t->pc += 4;
}
void secondary(ulong hart)
{
    (void)hart;
}

#define V(text) __asm__ volatile(text ::: "memory")
/* funct6, vd, vs2, vs1 or an immediate: as registers of the x file, which have the same numbers */
#define CRYPTO(f6, vd, vs2, vs1) V(".insn r 0x77, 2, " #f6 " * 2 + 1, x" #vd ", x" #vs1 ", x" #vs2)
#define AESDF_VS(vd, vs2)        CRYPTO(0x29, vd, vs2, 1)
#define AESDM_VS(vd, vs2)        CRYPTO(0x29, vd, vs2, 0)
#define AESEF_VS(vd, vs2)        CRYPTO(0x29, vd, vs2, 3)
#define AESEM_VS(vd, vs2)        CRYPTO(0x29, vd, vs2, 2)
#define AESEM_VV(vd, vs2)        CRYPTO(0x28, vd, vs2, 2)
#define AESZ_VS(vd, vs2)         CRYPTO(0x29, vd, vs2, 7)
#define AESKF1(vd, vs2, n)       CRYPTO(0x22, vd, vs2, n)
#define AESKF2(vd, vs2, n)       CRYPTO(0x2a, vd, vs2, n)
#define SHA2MS(vd, vs2, vs1)     CRYPTO(0x2d, vd, vs2, vs1)
#define SHA2CH(vd, vs2, vs1)     CRYPTO(0x2e, vd, vs2, vs1)
#define SHA2CL(vd, vs2, vs1)     CRYPTO(0x2f, vd, vs2, vs1)
#define SM4K(vd, vs2, n)         CRYPTO(0x21, vd, vs2, n)
#define SM4R_VV(vd, vs2)         CRYPTO(0x28, vd, vs2, 16)
#define SM3ME(vd, vs2, vs1)      CRYPTO(0x20, vd, vs2, vs1)
#define SM3C(vd, vs2, n)         CRYPTO(0x2b, vd, vs2, n)
#define GHSH(vd, vs2, vs1)       CRYPTO(0x2c, vd, vs2, vs1)
#define GMUL(vd, vs2)            CRYPTO(0x28, vd, vs2, 17)
#define LOAD(width, v, p)        __asm__ volatile("vle" #width ".v v" #v ", (%0)" ::"r"(p) : "memory")
#define STORE(width, v, p)       __asm__ volatile("vse" #width ".v v" #v ", (%0)" ::"r"(p) : "memory")

static int equal(const void *a, const char *hex)
{
    const uint8_t *p = a;
    for (; *hex; hex += 2, p++) {
        static const char digits[] = "0123456789abcdef";
        if (hex[0] != digits[*p >> 4] || hex[1] != digits[*p & 15])
            return 0;
    }
    return 1;
}
static uint8_t bytes[64] __attribute__((aligned(16)));

/* ---- AES ---- */
static void test_aes(void)
{
    V("vsetivli x0, 4, e32, m1, ta, ma");
    for (int i = 0; i < 32; i++)
        bytes[i] = i;
    LOAD(32, 1, bytes);
    AESKF1(2, 1, 1);
    AESKF1(3, 2, 2);
    AESKF1(4, 3, 3);
    AESKF1(5, 4, 4);
    AESKF1(6, 5, 5);
    AESKF1(7, 6, 6);
    AESKF1(8, 7, 7);
    AESKF1(9, 8, 8);
    AESKF1(10, 9, 9);
    AESKF1(11, 10, 26); /* only four bits of the round number count */
    for (int i = 0; i < 16; i++)
        bytes[i] = i * 0x11;
    LOAD(32, 20, bytes);
    AESZ_VS(20, 1);
    AESEM_VS(20, 2);
    AESEM_VS(20, 3);
    AESEM_VV(20, 4);
    AESEM_VS(20, 5);
    AESEM_VS(20, 6);
    AESEM_VS(20, 7);
    AESEM_VS(20, 8);
    AESEM_VS(20, 9);
    AESEM_VS(20, 10);
    AESEF_VS(20, 11);
    STORE(32, 20, bytes);
    expect(equal(bytes, "69c4e0d86a7b0430d8cdb78070b4c55a"), "AES-128 encrypts");
    AESZ_VS(20, 11);
    AESDM_VS(20, 10);
    AESDM_VS(20, 9);
    AESDM_VS(20, 8);
    AESDM_VS(20, 7);
    AESDM_VS(20, 6);
    AESDM_VS(20, 5);
    AESDM_VS(20, 4);
    AESDM_VS(20, 3);
    AESDM_VS(20, 2);
    AESDF_VS(20, 1);
    STORE(32, 20, bytes);
    expect(equal(bytes, "00112233445566778899aabbccddeeff"), "AES-128 decrypts");
    for (int i = 0; i < 32; i++)
        bytes[i] = i;
    LOAD(32, 1, bytes);
    LOAD(32, 2, bytes + 16);
    for (int i = 0; i < 16; i++)
        bytes[i] = i * 0x11;
    LOAD(32, 20, bytes);
    AESZ_VS(20, 1);
    AESEM_VS(20, 2);
#define KEYS(n, m)   \
    AESKF2(1, 2, n); \
    AESEM_VS(20, 1); \
    AESKF2(2, 1, m); \
    AESEM_VS(20, 2)
    KEYS(2, 3);
    KEYS(4, 5);
    KEYS(6, 7);
    KEYS(8, 9);
    KEYS(10, 11);
    KEYS(12, 13);
    AESKF2(1, 2, 14);
    AESEF_VS(20, 1);
    STORE(32, 20, bytes);
    expect(equal(bytes, "8ea2b7ca516745bfeafc49904b496089"), "AES-256 encrypts");
}

/* ---- SHA-2: constants and first state of SHA-512; their upper halves are those of SHA-256 ---- */
static const uint64_t constants[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc, 0x3956c25bf348b538,
    0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118, 0xd807aa98a3030242, 0x12835b0145706fbe,
    0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2, 0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235,
    0xc19bf174cf692694, 0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5, 0x983e5152ee66dfab,
    0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4, 0xc6e00bf33da88fc2, 0xd5a79147930aa725,
    0x06ca6351e003826f, 0x142929670a0e6e70, 0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df, 0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30, 0xd192e819d6ef5218,
    0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8, 0x19a4c116b8d2d0c8, 0x1e376c085141ab53,
    0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8, 0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3, 0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b, 0xca273eceea26619c,
    0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178, 0x06f067aa72176fba, 0x0a637dc5a2c898a6,
    0x113f9804bef90dae, 0x1b710b35131c471b, 0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c, 0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817
};
static const uint64_t initial[8] = { 0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                     0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179 };
/* One block: v10-v13 are words 0 to 15, v1 is {f, e, b, a}, v2 {h, g, d, c}, the first one lowest. */
#define SHA2(width, type, rounds)                                                       \
    static void sha##rounds(void)                                                       \
    {                                                                                   \
        static type words[16], sum[4], k[80], state[8];                                 \
        for (int i = 0; i < rounds; i++)                                                \
            k[i] = constants[i] >> (64 - width);                                        \
        for (int i = 0; i < 8; i++)                                                     \
            state[i] = initial[i] >> (64 - width);                                      \
        words[0] = (type)0x61626380 << (width - 32);                                    \
        words[15] = 24;                                                                 \
        const type first[2][4] = { { state[5], state[4], state[1], state[0] },          \
                                   { state[7], state[6], state[3], state[2] } };        \
        LOAD(width, 4, first[0]);                                                       \
        LOAD(width, 8, first[1]);                                                       \
        LOAD(width, 10, words);                                                         \
        LOAD(width, 12, words + 4);                                                     \
        LOAD(width, 14, words + 8);                                                     \
        LOAD(width, 16, words + 12);                                                    \
        for (int i = 0; i < rounds; i += 4) {                                           \
            LOAD(width, 18, k + i);                                                     \
            V("vadd.vv v18, v18, v10");                                                 \
            SHA2CL(8, 4, 18);                                                           \
            SHA2CH(4, 8, 18);                                                           \
            /* words 4, 9, 10, 11 */                                                    \
            STORE(width, 14, sum);                                                      \
            type w9 = sum[1], w10 = sum[2], w11 = sum[3];                               \
            STORE(width, 12, sum);                                                      \
            sum[1] = w9, sum[2] = w10, sum[3] = w11;                                    \
            LOAD(width, 20, sum);                                                       \
            SHA2MS(10, 20, 16);                                                         \
            V("vmv2r.v v22, v10");                                                      \
            V("vmv2r.v v10, v12");                                                      \
            V("vmv2r.v v12, v14");                                                      \
            V("vmv2r.v v14, v16");                                                      \
            V("vmv2r.v v16, v22");                                                      \
        }                                                                               \
        STORE(width, 4, sum);                                                           \
        state[5] += sum[0], state[4] += sum[1], state[1] += sum[2], state[0] += sum[3]; \
        STORE(width, 8, sum);                                                           \
        state[7] += sum[0], state[6] += sum[1], state[3] += sum[2], state[2] += sum[3]; \
        for (int i = 0; i < 8; i++)                                                     \
            for (int b = 0; b < width / 8; b++)                                         \
                bytes[i * width / 8 + b] = state[i] >> (width - 8 - 8 * b);             \
    }
SHA2(32, uint32_t, 64)
SHA2(64, uint64_t, 80)

static void test_sha2(void)
{
    V("vsetivli x0, 4, e32, m1, ta, ma");
    sha64();
    expect(equal(bytes, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "SHA-256");
    V("vsetivli x0, 4, e64, m2, ta, ma");
    sha80();
    expect(equal(bytes,
                 "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebb"
                 "d454d4423643ce8"
                 "0e2a9ac94fa54ca49f"),
           "SHA-512");
}

/* ---- SM4 ---- */
static void test_sm4(void)
{
    static const uint32_t key[] = { 0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210 },
                          fk[] = { 0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc };
    uint32_t x[4], rest[4];
    V("vsetivli x0, 4, e32, m1, ta, ma");
    LOAD(32, 1, key);
    LOAD(32, 20, key);
    LOAD(32, 2, fk);
    V("vxor.vv v1, v1, v2");
#define ROUNDS(n)  \
    SM4K(1, 1, n); \
    SM4R_VV(20, 1)
    ROUNDS(0);
    ROUNDS(1);
    ROUNDS(2);
    ROUNDS(3);
    ROUNDS(4);
    ROUNDS(5);
    ROUNDS(6);
    ROUNDS(7);
    STORE(32, 20, x);
    for (int i = 0; i < 4; i++)
        rest[i] = x[3 - i];
    expect(rest[0] == 0x681edf34 && rest[1] == 0xd206965e && rest[2] == 0x86b3e94f && rest[3] == 0x536e4246, "SM4");
}

/* ---- SM3: groups of eight words, in two registers of 128 bits ---- */
static uint32_t swapped(uint32_t v)
{
    return v >> 24 | (v >> 8 & 0xff00) | (v << 8 & 0xff0000) | v << 24;
}
#define SM3_ROUNDS(n)           \
    LOAD(32, 8, words + 2 * n); \
    SM3C(4, 8, n)
static void test_sm3(void)
{
    static const uint32_t first[] = { 0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600,
                                      0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e };
    static uint32_t words[80], state[8];
    for (int i = 0; i < 8; i++)
        state[i] = swapped(first[i]);
    words[0] = swapped(0x61626380);
    words[15] = swapped(24);
    V("vsetivli x0, 8, e32, m2, ta, ma");
    LOAD(32, 4, state);
    for (int i = 16; i < 80; i += 8) {
        LOAD(32, 12, words + i - 16);
        LOAD(32, 14, words + i - 8);
        SM3ME(16, 14, 12);
        STORE(32, 16, words + i);
    }
    SM3_ROUNDS(0);
    SM3_ROUNDS(1);
    SM3_ROUNDS(2);
    SM3_ROUNDS(3);
    SM3_ROUNDS(4);
    SM3_ROUNDS(5);
    SM3_ROUNDS(6);
    SM3_ROUNDS(7);
    SM3_ROUNDS(8);
    SM3_ROUNDS(9);
    SM3_ROUNDS(10);
    SM3_ROUNDS(11);
    SM3_ROUNDS(12);
    SM3_ROUNDS(13);
    SM3_ROUNDS(14);
    SM3_ROUNDS(15);
    SM3_ROUNDS(16);
    SM3_ROUNDS(17);
    SM3_ROUNDS(18);
    SM3_ROUNDS(19);
    SM3_ROUNDS(20);
    SM3_ROUNDS(21);
    SM3_ROUNDS(22);
    SM3_ROUNDS(23);
    SM3_ROUNDS(24);
    SM3_ROUNDS(25);
    SM3_ROUNDS(26);
    SM3_ROUNDS(27);
    SM3_ROUNDS(28);
    SM3_ROUNDS(29);
    SM3_ROUNDS(30);
    SM3_ROUNDS(31);
    LOAD(32, 8, state);
    V("vxor.vv v4, v4, v8");
    STORE(32, 4, bytes);
    expect(equal(bytes, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"), "SM3");
}

/* ---- GHASH ---- */
static void test_ghash(void)
{
    static const uint8_t h[] = { 0x66, 0xe9, 0x4b, 0xd4, 0xef, 0x8a, 0x2c, 0x3b,
                                 0x88, 0x4c, 0xfa, 0x59, 0xca, 0x34, 0x2b, 0x2e },
                         c[] = { 0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92,
                                 0xf3, 0x28, 0xc2, 0xb9, 0x71, 0xb2, 0xfe, 0x78 },
                         length[16] = { [15] = 0x80 };
    V("vsetivli x0, 4, e32, m1, ta, ma");
    LOAD(32, 1, h);
    LOAD(32, 2, c);
    LOAD(32, 3, length);
    V("vmv.v.i v4, 0");
    GHSH(4, 1, 2);
    GHSH(4, 1, 3);
    STORE(32, 4, bytes);
    expect(equal(bytes, "f38cbb1ad69223dcc3457ae5b6b0f885"), "GHASH by vghsh");
    GMUL(2, 1);
    V("vxor.vv v2, v2, v3");
    GMUL(2, 1);
    STORE(32, 2, bytes);
    expect(equal(bytes, "f38cbb1ad69223dcc3457ae5b6b0f885"), "GHASH by vgmul");
}

/* ---- what may not be ---- */
#define RAISES(insn, what)                      \
    do {                                        \
        ulong before = trap_count;              \
        insn;                                   \
        expect(trap_count == before + 1, what); \
    } while (0)
static void test_illegal(void)
{
    V("vsetivli x0, 4, e16, m1, ta, ma");
    RAISES(AESEM_VV(1, 2), "AES with SEW 16");
    RAISES(SHA2MS(1, 2, 3), "SHA-2 with SEW 16");
    V("vsetivli x0, 3, e32, m1, ta, ma");
    RAISES(AESEM_VV(1, 2), "vl in the middle of a group");
    V("vsetivli x0, 2, e32, mf2, ta, ma");
    RAISES(GMUL(1, 2), "LMUL too small for a group");
    V("vsetivli x0, 4, e32, m1, ta, ma");
    RAISES(AESEM_VS(1, 1), "vd over the one group of vs2");
    RAISES(SHA2CH(1, 1, 2), "vd over vs2");
    RAISES(SHA2CL(1, 2, 1), "vd over vs1");
    RAISES(SM3ME(2, 4, 6), "eight words of SM3 in 128 bits");
    RAISES(V(".insn r 0x77, 2, 0x28 * 2, x1, x2, x2"), "no masks");
    V("csrwi vstart, 1");
    RAISES(GMUL(1, 2), "vstart in the middle of a group");
    V("csrwi vstart, 0");
    ulong before = trap_count;
    AESEM_VV(1, 1);
    expect(trap_count == before, "vaesem.vv with one register");
}

int main(void)
{
    __asm__ volatile("csrs mstatus, %0" ::"r"(0x600));
    test_aes();
    test_sha2();
    test_sm4();
    test_sm3();
    test_ghash();
    test_illegal();
    print("all passed\n");
    finish(0);
    return 0;
}
