/*
 * Advanced Interrupt Architecture, the part inside a hart (RISC-V AIA 1.0, chapters 2, 5 and 6): indirect registers,
 * the interrupts of highest priority, and the way to the hart's interrupt files and those of its guests.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_AIA_H
#define TARGET_RISCV_AIA_H

#include <stdbool.h>
#include <stdint.h>

typedef struct RiscvState RiscvState;

/* Registers of an interrupt file that *ireg reaches; RISCV_FILE_TOPEI stands for *topei. */
enum {
    RISCV_FILE_EIDELIVERY = 0x70,
    RISCV_FILE_EITHRESHOLD = 0x72,
    RISCV_FILE_EIP0 = 0x80,
    RISCV_FILE_EIE0 = 0xc0,
    RISCV_FILE_TOPEI = 0x100,
};

/*
 * Read and modify one register in one step: *old is its value; where write, the bits of mask become those of value.
 * xlen: 32 or 64, the width that eip and eie are seen with. Called from the hart's thread without the machine lock.
 */
typedef void RiscvFileAccess(void *opaque, unsigned reg, unsigned xlen, bool write, uint64_t value, uint64_t mask,
                             uint64_t *old);

typedef struct RiscvFile {
    RiscvFileAccess *access; /* NULL: no interrupt file */
    void *opaque;
} RiscvFile;

uint64_t riscv_read_mtopi(RiscvState *s);
uint64_t riscv_read_stopi(RiscvState *s);
/* With the hypervisor extension: vstopi, and what it depends on. */
#define HVICTL_VTI (1u << 30)
uint64_t riscv_read_vstopi(RiscvState *s);
void riscv_write_hvictl(RiscvState *s, uint64_t v);
/* mireg, sireg, vsireg, mtopei, stopei, vstopei; as riscv_csr. */
bool riscv_aia_csr(RiscvState *s, unsigned csr, bool write, uint64_t value, uint64_t mask, uint64_t *old);

#endif
