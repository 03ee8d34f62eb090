/*
 * The generator of x86 encodings, internal.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_X86_GEN_H
#define TESTS_INSN_X86_GEN_H

#include "x86_insn.h"

/* Where things are in an encoding. */
typedef struct X86Layout {
    unsigned modrm_at, address_bytes; /* of SIB and displacement, behind ModRM */
} X86Layout;

const X86Policy *x86_policy_of(const char *name);
const char *x86_group_of(const X86Row *row);
/* Change an encoding into another one that may be illegal. False: it must not be used. */
bool x86_mutate(X86Encoding *e, X86Rng *r, const X86Layout *layout, uint64_t features, unsigned slot);

#endif
