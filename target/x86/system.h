/*
 * x86: what HELPER_SYSTEM does, one function each (system.c): SYSTEM(NAME, function).
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_SYSTEM_H
#define TARGET_X86_SYSTEM_H

#define X86_SYSTEMS(SYSTEM)                                                                                            \
    SYSTEM(FAR_JUMP, far_jump)                                                                                         \
    SYSTEM(FAR_CALL, far_call)                                                                                         \
    SYSTEM(FAR_RETURN, far_return)                                                                                     \
    SYSTEM(IRET, iret) SYSTEM(INTERRUPT, interrupt) SYSTEM(LOAD_SEGMENT, load_segment) SYSTEM(POPF, popf)              \
        SYSTEM(PUSHF, pushf) SYSTEM(CLI, cli) SYSTEM(STI, sti) SYSTEM(HLT, hlt) SYSTEM(IN, in) SYSTEM(OUT, out)        \
            SYSTEM(CPUID, cpuid) SYSTEM(RDTSC, rdtsc) SYSTEM(RDTSCP, rdtscp) SYSTEM(RDPMC, rdpmc) SYSTEM(RDMSR, rdmsr) \
                SYSTEM(WRMSR, wrmsr) SYSTEM(READ_CR, read_cr) SYSTEM(WRITE_CR, write_cr) SYSTEM(READ_DR, read_dr)      \
                    SYSTEM(WRITE_DR, write_dr) SYSTEM(LGDT, lgdt) SYSTEM(LIDT, lidt) SYSTEM(SGDT, sgdt)                \
                        SYSTEM(SIDT, sidt) SYSTEM(LLDT, lldt) SYSTEM(LTR, ltr) SYSTEM(STORE_SYSTEM, store_system)      \
                            SYSTEM(LMSW, lmsw) SYSTEM(CLTS, clts) SYSTEM(INVLPG, invlpg) SYSTEM(INVPCID, invpcid)      \
                                SYSTEM(PRIVILEGED, privileged) SYSTEM(VERIFY, verify) SYSTEM(LAR, lar)                 \
                                    SYSTEM(ARPL, arpl) SYSTEM(SYSCALL, syscall_) SYSTEM(SYSRET, sysret)                \
                                        SYSTEM(SYSENTER, sysenter) SYSTEM(SYSEXIT, sysexit) SYSTEM(SWAPGS, swapgs)     \
                                            SYSTEM(BASES, bases) SYSTEM(MONITOR, monitor) SYSTEM(MWAIT, mwait)         \
                                                SYSTEM(AC, ac) SYSTEM(RDPKRU, rdpkru) SYSTEM(WRPKRU, wrpkru)           \
                                                    SYSTEM(XGETBV, xgetbv) SYSTEM(XSETBV, xsetbv) SYSTEM(RSM, rsm)     \
                                                        SYSTEM(RANDOM, random_) SYSTEM(CODE_BREAK, code_break)         \
                                                            SYSTEM(RDPID, rdpid)
enum {
#define SYSTEM(name, function) SYSTEM_##name,
    X86_SYSTEMS(SYSTEM)
#undef SYSTEM
        SYSTEM_COUNT
};

/* HELPER_SYSTEM: with the function's number, if the unit ends with it. */
#define X86_SYSTEM_ENDS 256

/* STORE_SYSTEM: what. */
enum { STORE_LDT, STORE_TR, STORE_MSW };

#endif
