/*
 * State enables, Smstateen and Ssstateen 1.0 (privileged ISA 20240411, chapter 9): which CSRs less privileged modes may
 * reach. Of the bits only those are there whose state is.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_STATEEN_H
#define TARGET_RISCV_STATEEN_H

#include "target/riscv/cpu.h"

#define STATEEN_SE      (1ull << 63) /* hstateen and sstateen of this number */
#define STATEEN_ENVCFG  (1ull << 62)
#define STATEEN_CSRIND  (1ull << 60) /* siselect, sireg* and the guest's */
#define STATEEN_AIA     (1ull << 59) /* what AIA has besides */
#define STATEEN_IMSIC   (1ull << 58)
#define STATEEN_CONTEXT (1ull << 57) /* scontext */

/* May CSRs behind this bit of register n (0 .. 3) be reached now? */
bool riscv_stateen_allows(const RiscvState *s, unsigned n, uint64_t bit);

#define STATEEN_FUNCTIONS(F, n) F(mstateen##n) F(mstateen##n##h) F(hstateen##n) F(hstateen##n##h)
#define STATEEN_DECLARE(name)                  \
    uint64_t riscv_read_##name(RiscvState *s); \
    void riscv_write_##name(RiscvState *s, uint64_t v);
STATEEN_FUNCTIONS(STATEEN_DECLARE, 0)
STATEEN_FUNCTIONS(STATEEN_DECLARE, 1)
STATEEN_FUNCTIONS(STATEEN_DECLARE, 2)
STATEEN_FUNCTIONS(STATEEN_DECLARE, 3)

#endif
