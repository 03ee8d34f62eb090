/*
 * RISC-V extensions that no instruction's encoding depends on: state, controls and mere promises (privileged ISA
 * 20240411, profiles RVA22 and RVA23). They are bits of RiscvState.feat; those that decode tables ask for are
 * RISCV_EXTENSIONS in cpu.h.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_FEATURE_LIST_H
#define TARGET_RISCV_FEATURE_LIST_H

/* E(NAME, isa string name, help) */
#define RISCV_FEATURES(E)                                                                 \
    E(ZA64RS, za64rs, "reservation sets of at most 64 bytes")                             \
    E(ZIC64B, zic64b, "cache blocks of 64 bytes")                                         \
    E(ZICCAMOA, ziccamoa, "all atomics on main memory")                                   \
    E(ZICCIF, ziccif, "atomic instruction fetch from main memory")                        \
    E(ZICCLSM, zicclsm, "misaligned loads and stores of main memory")                     \
    E(ZICCRSE, ziccrse, "LR/SC on main memory make progress")                             \
    E(ZKR, zkr, "entropy source: CSR seed")                                               \
    E(ZKT, zkt, "data-independent execution latency")                                     \
    E(SDTRIG, sdtrig, "debug triggers; also debug=on|off")                                \
    E(SMCNTRPMF, smcntrpmf, "mcycle and minstret by privilege mode")                      \
    E(SMCSRIND, smcsrind, "indirect CSRs, machine level")                                 \
    E(SMEPMP, smepmp, "PMP that binds machine mode: CSR mseccfg")                         \
    E(SMMPM, smmpm, "pointer masking in machine mode (64-bit)")                           \
    E(SMNPM, smnpm, "pointer masking below machine mode (64-bit)")                        \
    E(SSCCPTR, ssccptr, "page tables in main memory")                                     \
    E(SSCOFPMF, sscofpmf, "overflow interrupts and mode filters of performance counters") \
    E(SSCOUNTERENW, sscounterenw, "scounteren is writable for all counters")              \
    E(SSCSRIND, sscsrind, "indirect CSRs, supervisor level")                              \
    E(SSNPM, ssnpm, "pointer masking in user mode, set by the supervisor (64-bit)")       \
    E(SSTVALA, sstvala, "stval holds all that it may")                                    \
    E(SSTVECD, sstvecd, "stvec takes any aligned address in direct mode")                 \
    E(SSU64XL, ssu64xl, "64-bit user mode")                                               \
    E(SUPM, supm, "pointer masking can be had in user mode (64-bit)")                     \
    E(SVADE, svade, "exceptions for clear A and D bits")                                  \
    E(SVBARE, svbare, "satp mode Bare")
enum {
#define E(upper, name, help) FEAT_BIT_##upper,
    RISCV_FEATURES(E)
#undef E
        FEAT_COUNT
};
#define FEAT_ALL (UINT64_MAX >> (64 - FEAT_COUNT))
enum {
#define E(upper, name, help) FEAT_##upper = 1ull << FEAT_BIT_##upper,
    RISCV_FEATURES(E)
#undef E
};

#endif
