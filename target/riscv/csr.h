/*
 * What the translator asks about a CSR: can it be read or written inline, must the unit end after a write?
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_CSR_H
#define TARGET_RISCV_CSR_H

#include "target/riscv/cpu.h"

typedef struct CsrShape {
    uint16_t read_member, write_member; /* offsets in RiscvState; 0: by helper only */
    bool ends_unit;
} CsrShape;

/* priv, virt: those of the unit (constant there). */
CsrShape riscv_csr_shape(const RiscvState *s, unsigned csr, unsigned priv, bool virt);
/* NULL if there is none of that number. */
const char *riscv_csr_name(unsigned csr);

#endif
