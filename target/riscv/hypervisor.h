/*
 * Hypervisor extension, H 1.0 (privileged ISA 20240411, chapter 18): what CSRs, traps and translation ask of it.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_HYPERVISOR_H
#define TARGET_RISCV_HYPERVISOR_H

#include "target/riscv/cpu.h"

/* ---- traps and translation ---- */
/* Is tval of this exception, raised now, a guest's virtual address? */
bool riscv_is_guest_address(const RiscvState *s, unsigned cause);
/* htinst for the load or store at pc that raises cause with tval; 0: another instruction. */
uint32_t riscv_transformed_insn(RiscvState *s, unsigned cause, uint64_t tval);
/* Bits of mmu_index, besides the privilege, of a guest's loads and stores. */
unsigned riscv_guest_mmu_index(const RiscvState *s);
/* The interrupt that the guest takes now if it has them enabled, as it numbers them; 0: none. */
unsigned riscv_guest_interrupt(RiscvState *s);

/* ---- CSRs ---- */
/* The CSR that `csr` is in a guest. */
unsigned riscv_guest_csr(unsigned csr);
/* henvcfg as it has effect. */
uint64_t riscv_henvcfg(const RiscvState *s);
void riscv_hypervisor_reset(RiscvState *s);
uint64_t riscv_read_vsie(RiscvState *s), riscv_read_vsip(RiscvState *s), riscv_read_hie(RiscvState *s),
    riscv_read_hip(RiscvState *s), riscv_read_hvip(RiscvState *s), riscv_read_hgeip(RiscvState *s);
void riscv_write_vsie(RiscvState *s, uint64_t v), riscv_write_vsip(RiscvState *s, uint64_t v),
    riscv_write_hie(RiscvState *s, uint64_t v), riscv_write_hip(RiscvState *s, uint64_t v),
    riscv_write_hvip(RiscvState *s, uint64_t v), riscv_write_hgeie(RiscvState *s, uint64_t v);
uint64_t riscv_read_vsstatus(RiscvState *s);
void riscv_write_vsstatus(RiscvState *s, uint64_t v);
void riscv_write_vsatp(RiscvState *s, uint64_t v), riscv_write_hgatp(RiscvState *s, uint64_t v),
    riscv_write_hstatus(RiscvState *s, uint64_t v), riscv_write_hedeleg(RiscvState *s, uint64_t v),
    riscv_write_hideleg(RiscvState *s, uint64_t v), riscv_set_henvcfg(RiscvState *s, uint64_t v);

/* ---- helpers (translate.h) ---- */
uint64_t riscv_helper_hlv(CpuState *cs, uint64_t va, uint64_t memop, uint64_t bits, uint64_t d),
    riscv_helper_hsv(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t bits),
    riscv_helper_hfence(CpuState *cs, uint64_t va, uint64_t id, uint64_t which, uint64_t bits);
enum { HLVX = 1 << 8 }; /* with memop: execute permission instead of read permission */
enum { HFENCE_ADDRESS = 1, HFENCE_ID = 2, HFENCE_SECOND = 4 }; /* given: rs1, rs2; hfence.gvma */
/* Address spaces of the guest that hgatp names, or those outside of guests: all, or one. */
SpaceMatch riscv_spaces(const RiscvState *s, bool guest, bool one, uint64_t asid);

#endif
