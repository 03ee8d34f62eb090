/*
 * A small guest for tests of the IR: registers of every type, a few pages of memory behind stand-ins for accel/tcg's
 * access functions, helpers with every combination of flags, and a generator of random units. Everything follows from
 * seeds.
 *
 * Programs that use it link tcg/ only, as accel/tcg defines the same functions.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_UNIT_IR_WORLD_H
#define TESTS_UNIT_IR_WORLD_H

#include "target/target.h"
#include "tcg/ir.h"
#include "tcg/runtime.h"

enum { WORLD_X = 14, WORLD_W = 6, WORLD_F = 14, WORLD_REGS = WORLD_X + WORLD_W + WORLD_F };
/* x registers with a role; in a narrow world they are among the w registers, which then have the same numbers. */
enum { REG_BASE_LOW, REG_BASE_MIDDLE, REG_BASE_HIGH, REG_COUNTER, REG_FREE };
/* Pages from WORLD_VA on: plain ones, one that is never in the TLB, one that cannot be written; what follows is not
 * mapped. */
enum {
    PAGES_PLAIN = 3,
    PAGE_SLOW = 3,
    PAGE_READ_ONLY = 4,
    WORLD_PAGES = 5,
    WORLD_BYTES = WORLD_PAGES * GUEST_PAGE_SIZE
};
#define WORLD_VA      UINT64_C(0x76543000)
#define WORLD_HANDLER UINT64_C(0x40000104)

typedef struct WorldState {
    CpuState cs;
    uint64_t x[WORLD_X];
    uint64_t f[WORLD_F];
    uint32_t w[WORLD_X + WORLD_W]; /* as many as a narrow world has */
    uint8_t scratch[64];           /* for ldstate and ststate */
    uint64_t fault_pc, fault_va, faults, calls;
    uint8_t v[512] __attribute__((aligned(32))); /* for vldstate and vststate */
} WorldState;

/* Everything that a unit can change, and its surroundings. */
typedef struct World {
    WorldState state;
    uint8_t memory[WORLD_BYTES];
    ContextSet *sets[2];
    L2Table *l2;
    uint8_t page_flags[WORLD_PAGES];
} World;

enum { WORLD_PAGE_FLAGS = 7, WORLD_PAGE_WRITABLE = 4 };

/* The register tables: narrow = 32-bit addresses and integer registers. */
extern bool world_vectors; /* instead: wide, with vectors in place of floating-point registers */
const GuestReg *world_regs(bool narrow);
unsigned world_reg_count(bool narrow);
extern const HelperDesc world_helpers[];
enum { HELPER_GOES = 8, HELPER_REFUSES }; /* those that end the unit, or may */

/* A world with empty TLB sets; the one that tcg_load and its like act on is the one that holds their cs. Free with
 * world_free. */
World *world_new(void);
void world_free(World *w);
/* Random registers, memory and floating-point state; empty or (if warm) filled TLBs. */
void world_randomise(World *w, bool narrow, bool warm, uint64_t seed);
/* Make to equal to from, but for the TLB sets' places. */
void world_copy(World *to, const World *from);
/* NULL, or what differs (free with g_free). */
char *world_difference(const World *a, const World *b, bool narrow);

/* ---- random numbers and units ---- */
uint64_t world_random(uint64_t *state);
unsigned world_below(uint64_t *state, unsigned limit); /* less than limit */
/* An integer with a bias to edges of types and immediates. */
int64_t world_random_int(uint64_t *state);
/* Bits of an F32 or F64 with a bias to special values. */
uint64_t world_random_float(uint64_t *state, IrType type);
/* A unit of `limit` random operations, without those whose byte in skip (NULL: none) is set. Each draws its own
 * numbers, so that the others stay much the same. */
void world_random_unit(IrUnit *u, bool narrow, unsigned limit, uint64_t seed, const uint8_t *skip);

#endif
