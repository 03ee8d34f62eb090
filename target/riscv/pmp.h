/*
 * CSRs of physical memory protection: see pmp.c.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_PMP_H
#define TARGET_RISCV_PMP_H

#include "target/riscv/cpu.h"

/* Is csr one of pmpcfg* and pmpaddr*? Its value; write it. */
bool riscv_pmp_has_csr(const RiscvState *s, unsigned csr);
uint64_t riscv_pmp_read_csr(RiscvState *s, unsigned csr);
void riscv_pmp_write_csr(RiscvState *s, unsigned csr, uint64_t v);
/* Is any entry locked? */
bool riscv_pmp_locked(const RiscvState *s);

#endif
