/*
 * Instructions of riscv-gen from extensions that a CPU may lack, and how the oracle does those that it does not know:
 * the two programs differ there, at equal length. Two ways:
 *
 *  - either(): other instructions that do the same with whatever the registers hold;
 *  - known(): operands come from constants beside the code, so the oracle's program loads the result and sets the flags
 *    that a plain C function here has worked out.
 * SPDX-License-Identifier: MIT
 */
#include "riscv_gen.h"

#define NOP 0x13u

/* Rhea's program gets the first row of instructions, the oracle's the second; the shorter is filled up. */
static void either(const uint32_t *ours, unsigned our_count, const uint32_t *theirs, unsigned their_count)
{
    const uint32_t *code = machine_mode ? ours : theirs;
    unsigned count = machine_mode ? our_count : their_count, room = our_count > their_count ? our_count : their_count;
    for (unsigned i = 0; i < room; i++)
        put(i < count ? code[i] : NOP);
}

/* ---- Zicond ---- */
static void gen_czero(const Kind *k)
{
    int rd = dest_x(), rs1 = any_x(), rs2 = any_x();
    uint32_t ours = k->match | rd << 7 | rs1 << 15 | rs2 << 20;
    uint32_t theirs[] = { enc_b(OPREG(0, k->what, 0x63), rs2, X0, 12), enc_i(0x13, rd, X0, 0), enc_j(X0, 8),
                          enc_i(0x13, rd, rs1, 0) };
    either(&ours, 1, theirs, 4);
}

/* ---- Zkne, Zknd ---- */
static void gen_ks1i(const Kind *k)
{
    put(FUNARY(0x18, 16 | below(11), 1, 0x13) | dest_x() << 7 | any_x() << 15);
}

const Kind ext_kinds[] = {
    /* Zicond; what: funct3 of the branch that keeps the value */
    { "czero.eqz", OPREG(7, 5, 0x33), MODEL, BOTH, gen_czero, 1 },
    { "czero.nez", OPREG(7, 7, 0x33), MODEL, BOTH, gen_czero, 0 },
    /* Zbc, Zbkb, Zbkc, Zbkx */
    { "clmul", OPREG(5, 1, 0x33), R, BOTH },
    { "clmulh", OPREG(5, 3, 0x33), R, BOTH },
    { "clmulr", OPREG(5, 2, 0x33), R, BOTH },
    { "pack", OPREG(4, 4, 0x33), R, BOTH },
    { "packh", OPREG(4, 7, 0x33), R, BOTH },
    { "packw", OPREG(4, 4, 0x3b), R, ONLY64 },
    { "brev8", FUNARY(0x34, 7, 5, 0x13), R1, BOTH },
    { "zip", FUNARY(4, 15, 1, 0x13), R1, ONLY32 },
    { "unzip", FUNARY(4, 15, 5, 0x13), R1, ONLY32 },
    { "xperm4", OPREG(0x14, 2, 0x33), R, BOTH },
    { "xperm8", OPREG(0x14, 4, 0x33), R, BOTH },
/* Zknd, Zkne, Zknh */
#define BYTES(name, f5, xlen)                                                              \
    { name, OPREG(f5, 0, 0x33), R, xlen }, { name, OPREG(0x20 | (f5), 0, 0x33), R, xlen }, \
        { name, OPREG(0x40 | (f5), 0, 0x33), R, xlen },                                    \
    {                                                                                      \
        name, OPREG(0x60 | (f5), 0, 0x33), R, xlen                                         \
    }
    BYTES("aes32dsi", 0x15, ONLY32),
    BYTES("aes32dsmi", 0x17, ONLY32),
    BYTES("aes32esi", 0x11, ONLY32),
    BYTES("aes32esmi", 0x13, ONLY32),
    { "aes64ds", OPREG(0x1d, 0, 0x33), R, ONLY64 },
    { "aes64dsm", OPREG(0x1f, 0, 0x33), R, ONLY64 },
    { "aes64es", OPREG(0x19, 0, 0x33), R, ONLY64 },
    { "aes64esm", OPREG(0x1b, 0, 0x33), R, ONLY64 },
    { "aes64im", FUNARY(0x18, 0, 1, 0x13), R1, ONLY64 },
    { "aes64ks1i", 0, MODEL, ONLY64, gen_ks1i },
    { "aes64ks2", OPREG(0x3f, 0, 0x33), R, ONLY64 },
    { "sha256sum0", FUNARY(8, 0, 1, 0x13), R1, BOTH },
    { "sha256sum1", FUNARY(8, 1, 1, 0x13), R1, BOTH },
    { "sha256sig0", FUNARY(8, 2, 1, 0x13), R1, BOTH },
    { "sha256sig1", FUNARY(8, 3, 1, 0x13), R1, BOTH },
    { "sha512sum0", FUNARY(8, 4, 1, 0x13), R1, ONLY64 },
    { "sha512sum1", FUNARY(8, 5, 1, 0x13), R1, ONLY64 },
    { "sha512sig0", FUNARY(8, 6, 1, 0x13), R1, ONLY64 },
    { "sha512sig1", FUNARY(8, 7, 1, 0x13), R1, ONLY64 },
    { "sha512sum0r", OPREG(0x28, 0, 0x33), R, ONLY32 },
    { "sha512sum1r", OPREG(0x29, 0, 0x33), R, ONLY32 },
    { "sha512sig0l", OPREG(0x2a, 0, 0x33), R, ONLY32 },
    { "sha512sig1l", OPREG(0x2b, 0, 0x33), R, ONLY32 },
    { "sha512sig0h", OPREG(0x2e, 0, 0x33), R, ONLY32 },
    { "sha512sig1h", OPREG(0x2f, 0, 0x33), R, ONLY32 },
    /* Zksed, Zksh */
    BYTES("sm4ed", 0x18, BOTH),
    BYTES("sm4ks", 0x1a, BOTH),
    { "sm3p0", FUNARY(8, 8, 1, 0x13), R1, BOTH },
    { "sm3p1", FUNARY(8, 9, 1, 0x13), R1, BOTH },
    /* Zfh, Zfhmin */
    FLOATS(".h", 2),
    { "fcvt.s.h", FUNARY(0x20, 2, 0, 0x53), FR1, BOTH },
    { "fcvt.h.s", FUNARY(0x22, 0, 0, 0x53), FR1, BOTH },
    { "fcvt.d.h", FUNARY(0x21, 2, 0, 0x53), FR1, BOTH },
    { "fcvt.h.d", FUNARY(0x22, 1, 0, 0x53), FR1, BOTH },
    { "fmv.x.h", FUNARY(0x72, 0, 0, 0x53), FTOIN, BOTH },
    { "fmv.h.x", FUNARY(0x7a, 0, 0, 0x53), ITOFN, BOTH },
    { "flh", OPREG(0, 1, 0x07), FLOAD, BOTH },
    { "fsh", OPREG(0, 1, 0x27), FSTORE, BOTH },
};
const unsigned ext_kind_count = sizeof ext_kinds / sizeof *ext_kinds;
