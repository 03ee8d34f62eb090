/*
 * The x86-64 back end against the interpreter: what tcg_diff_test.c, which says more, and tcg_diff_vectors.c share.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_UNIT_TCG_DIFF_H
#define TESTS_UNIT_TCG_DIFF_H

#include "ir_world.h"

enum { STATES = 4 }; /* that each unit runs on */

enum { FIRST_F = WORLD_X + WORLD_W };

extern World *start, *interpreted, *compiled;
extern char doing[200]; /* what a crash prints */

/* A number of the environment. */
uint64_t setting(const char *name, uint64_t otherwise);
/* Thunks for the registers that there are now, of 64 bits. */
void cache_renew(void);
/* An empty unit of 64-bit registers. */
void begin(IrUnit *u);
/* Optimise u and make code of it: where it is. *raw: u as it was; the caller frees it. */
uint32_t compile(IrUnit *u, IrUnit **raw);
/* Run the code there on w: why it ended. */
uint64_t enter(World *w, uint32_t offset);
/* The test ends with this difference, and the unit. */
G_NORETURN void fail_unit(const IrUnit *raw, const char *difference, uint64_t a, uint64_t b, uint64_t c);

/* ---- tcg_diff_vectors.c ---- */
void test_vectors(void);
void test_host_instructions(void);

#endif
