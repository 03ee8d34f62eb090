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

const Kind ext_kinds[] = {
    /* Zicond; what: funct3 of the branch that keeps the value */
    { "czero.eqz", OPREG(7, 5, 0x33), MODEL, BOTH, gen_czero, 1 },
    { "czero.nez", OPREG(7, 7, 0x33), MODEL, BOTH, gen_czero, 0 },
};
const unsigned ext_kind_count = sizeof ext_kinds / sizeof *ext_kinds;
