/*
 * RISC-V hart state, RV32 and RV64 (The RISC-V Instruction Set Manual, volume I 20240411, volume II 20240411).
 *
 * Registers are 64 bits wide in the state; RV32 uses the low half of x registers. CSRs that guests change often are
 * plain members, read and written inline; mip is atomic, since interrupt inputs change it from other threads.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_CPU_H
#define TARGET_RISCV_CPU_H

#include "target/riscv/aia.h"
#include "target/riscv/feature_list.h"
#include "target/riscv/pmu.h"
#include "target/riscv/trigger.h"
#include "target/target.h"
#include "util/clock.h"

enum { PRIV_U = 0, PRIV_S = 1, PRIV_M = 3 };

/* Extensions, as bits of RiscvState.ext: RISCV_EXT(NAME, isa string name, help) */
#define RISCV_EXTENSIONS(E)                                                 \
    E(I, i, "base integer instructions")                                    \
    E(M, m, "multiplication and division")                                  \
    E(A, a, "atomic instructions")                                          \
    E(F, f, "single-precision floating point")                              \
    E(D, d, "double-precision floating point")                              \
    E(C, c, "compressed instructions")                                      \
    E(V, v, "vector operations (vlen=128 .. 1024)")                         \
    E(H, h, "hypervisor")                                                   \
    E(S, s, "supervisor mode")                                              \
    E(U, u, "user mode")                                                    \
    E(ZICBOM, zicbom, "cache block management")                             \
    E(ZICBOP, zicbop, "cache block prefetch")                               \
    E(ZICBOZ, zicboz, "zeroing of cache blocks")                            \
    E(ZICNTR, zicntr, "cycle, time and instret")                            \
    E(ZICOND, zicond, "integer conditional operations")                     \
    E(ZICSR, zicsr, "control and status registers")                         \
    E(ZIFENCEI, zifencei, "instruction-fetch fence")                        \
    E(ZIHINTNTL, zihintntl, "non-temporal locality hints")                  \
    E(ZIHINTPAUSE, zihintpause, "pause hint")                               \
    E(ZIHPM, zihpm, "hardware performance counters (pmu-num=)")             \
    E(ZIMOP, zimop, "instructions that may be operations later")            \
    E(ZAAMO, zaamo, "atomic memory operations, a part of a")                \
    E(ZABHA, zabha, "atomics on bytes and halfwords")                       \
    E(ZACAS, zacas, "atomic compare-and-swap")                              \
    E(ZALRSC, zalrsc, "load-reserved and store-conditional, a part of a")   \
    E(ZAWRS, zawrs, "waiting on a reservation set")                         \
    E(ZCB, zcb, "more compressed instructions")                             \
    E(ZCMOP, zcmop, "compressed instructions that may be operations later") \
    E(ZFA, zfa, "additional floating-point instructions")                   \
    E(ZFBFMIN, zfbfmin, "bfloat16 conversions")                             \
    E(ZFH, zfh, "half-precision floating point")                            \
    E(ZFHMIN, zfhmin, "half-precision loads, stores and conversions")       \
    E(ZBA, zba, "address generation")                                       \
    E(ZBB, zbb, "basic bit manipulation")                                   \
    E(ZBC, zbc, "carry-less multiplication")                                \
    E(ZBKB, zbkb, "bit manipulation for cryptography")                      \
    E(ZBKC, zbkc, "carry-less multiplication for cryptography")             \
    E(ZBKX, zbkx, "crossbar permutations")                                  \
    E(ZBS, zbs, "single-bit instructions")                                  \
    E(ZKND, zknd, "AES decryption")                                         \
    E(ZKNE, zkne, "AES encryption")                                         \
    E(ZKNH, zknh, "SHA-2")                                                  \
    E(ZKSED, zksed, "SM4")                                                  \
    E(ZKSH, zksh, "SM3")                                                    \
    E(ZVBB, zvbb, "vector bit manipulation")                                \
    E(ZVBC, zvbc, "vector carry-less multiplication")                       \
    E(ZVFBFMIN, zvfbfmin, "vector bfloat16 conversions")                    \
    E(ZVFBFWMA, zvfbfwma, "vector bfloat16 widening multiply-add")          \
    E(ZVFH, zvfh, "vector half-precision floating point")                   \
    E(ZVFHMIN, zvfhmin, "vector half-precision conversions")                \
    E(ZVKB, zvkb, "vector bit manipulation for cryptography")               \
    E(ZVKG, zvkg, "vector GHASH")                                           \
    E(ZVKNED, zvkned, "vector AES")                                         \
    E(ZVKNHB, zvknhb, "vector SHA-2")                                       \
    E(ZVKSED, zvksed, "vector SM4")                                         \
    E(ZVKSH, zvksh, "vector SM3")                                           \
    E(SVINVAL, svinval, "fine-grained address translation invalidation")
enum {
#define E(upper, name, help) EXT_BIT_##upper,
    RISCV_EXTENSIONS(E)
#undef E
        EXT_COUNT
};
_Static_assert(EXT_COUNT <= 64, "extensions are bits of ext");
enum {
#define E(upper, name, help) EXT_##upper = 1ull << EXT_BIT_##upper,
    RISCV_EXTENSIONS(E)
#undef E
};

/* mstatus, in the RV64 layout for both (RV32 sees mstatus and mstatush) */
#define MSTATUS_SIE  (1ull << 1)
#define MSTATUS_MIE  (1ull << 3)
#define MSTATUS_SPIE (1ull << 5)
#define MSTATUS_MPIE (1ull << 7)
#define MSTATUS_SPP  (1ull << 8)
#define MSTATUS_VS   (3ull << 9)
#define MSTATUS_MPP  (3ull << 11)
#define MSTATUS_FS   (3ull << 13)
#define MSTATUS_MPRV (1ull << 17)
#define MSTATUS_SUM  (1ull << 18)
#define MSTATUS_MXR  (1ull << 19)
#define MSTATUS_TVM  (1ull << 20)
#define MSTATUS_TW   (1ull << 21)
#define MSTATUS_TSR  (1ull << 22)
#define MSTATUS_UXL  (3ull << 32)
#define MSTATUS_SXL  (3ull << 34)
#define MSTATUS_GVA  (1ull << 38)
#define MSTATUS_MPV  (1ull << 39)
#define MSTATUS_SD   (1ull << 63)

#define HSTATUS_GVA   (1ull << 6)
#define HSTATUS_SPV   (1ull << 7)
#define HSTATUS_SPVP  (1ull << 8)
#define HSTATUS_HU    (1ull << 9)
#define HSTATUS_VGEIN (0x3full << 12)
#define HSTATUS_VTVM  (1ull << 20)
#define HSTATUS_VTW   (1ull << 21)
#define HSTATUS_VTSR  (1ull << 22)
#define HSTATUS_VSXL  (3ull << 32)

enum {
    IRQ_S_SOFT = 1,
    IRQ_VS_SOFT = 2,
    IRQ_M_SOFT = 3,
    IRQ_S_TIMER = 5,
    IRQ_VS_TIMER = 6,
    IRQ_M_TIMER = 7,
    IRQ_S_EXT = 9,
    IRQ_VS_EXT = 10,
    IRQ_M_EXT = 11,
    IRQ_GUEST_EXT = 12,
    IRQ_COUNTER = 13
};
/* Interrupts that are there with H: those of guests, which hideleg may delegate, and that of interrupt files. */
#define VS_INTERRUPTS (1ull << IRQ_VS_SOFT | 1ull << IRQ_VS_TIMER | 1ull << IRQ_VS_EXT)
#define H_INTERRUPTS  (VS_INTERRUPTS | 1ull << IRQ_GUEST_EXT)

enum {
    CAUSE_FETCH_MISALIGNED = 0,
    CAUSE_FETCH_ACCESS = 1,
    CAUSE_ILLEGAL = 2,
    CAUSE_BREAKPOINT = 3,
    CAUSE_LOAD_MISALIGNED = 4,
    CAUSE_LOAD_ACCESS = 5,
    CAUSE_STORE_MISALIGNED = 6,
    CAUSE_STORE_ACCESS = 7,
    CAUSE_ECALL_U = 8,
    CAUSE_ECALL_VS = 10,
    CAUSE_FETCH_PAGE = 12,
    CAUSE_LOAD_PAGE = 13,
    CAUSE_STORE_PAGE = 15,
    CAUSE_FETCH_GUEST_PAGE = 20,
    CAUSE_LOAD_GUEST_PAGE = 21,
    CAUSE_VIRTUAL_INSN = 22,
    CAUSE_STORE_GUEST_PAGE = 23,
};

#define MENVCFG_STCE  (1ull << 63)
#define MENVCFG_PBMTE (1ull << 62)
#define MENVCFG_ADUE  (1ull << 61)
/* of henvcfg: zero unless set in menvcfg too */
#define HENVCFG_SHARED (MENVCFG_STCE | MENVCFG_PBMTE | MENVCFG_ADUE)
/* menvcfg, henvcfg and senvcfg */
#define ENVCFG_FIOM  (1ull << 0)
#define ENVCFG_CBIE  (3ull << 4)
#define ENVCFG_CBCFE (1ull << 6)
#define ENVCFG_CBZE  (1ull << 7)

#define RISCV_CACHE_BLOCK 64 /* bytes that Zicbom, Zicbop and Zicboz work on, if -cpu does not say otherwise */

enum { SATP_BARE = 0, SATP_SV32 = 1, SATP_SV39 = 8, SATP_SV48 = 9, SATP_SV57 = 10 };

#define PMP_ENTRIES 16

/* Static mode flags of a unit (CpuState.mode). */
enum {
    MODE_PRIV = 3,
    MODE_FRM_SHIFT = 2 /* 0 host rounding, 1 RMM, 2 reserved: illegal */,
    MODE_XLEN32 = 16,
    MODE_VIRT = 32 /* V: VS-mode, VU-mode */
};

/* More of them: pointer masking (PMM as in menvcfg; does it extend with zeros?); each instruction asks the triggers. */
enum { MODE_PMM_SHIFT = 16, MODE_PMM_ZERO = 1 << 18, MODE_TRIGGER = 1 << 19 };

/* mmu_index: privilege of loads and stores, SUM, MXR, privilege of fetches; and what else a unit's mode depends on,
 * since jump caches go with it. With H: loads and stores, fetches are a guest's; MXR of the second stage; loads need
 * execute permission instead of read permission (hlvx). */
enum {
    MMU_PRIV = 3,
    MMU_SUM = 4,
    MMU_MXR = 8,
    MMU_FETCH_SHIFT = 4,
    MMU_FRM_SHIFT = 6,
    MMU_VIRT = 1 << 8,
    MMU_FETCH_VIRT = 1 << 9,
    MMU_MXR_OUTER = 1 << 10,
    MMU_HLVX = 1 << 11,
    MMU_MODE_SHIFT = 16
};
_Static_assert(((MODE_PRIV | 3 << MODE_FRM_SHIFT | MODE_XLEN32 | MODE_VIRT) & UINT32_MAX << MODE_PMM_SHIFT) == 0 &&
                   (MODE_PRIV | 3 << MODE_FRM_SHIFT) < MODE_XLEN32,
               "fields of the mode are apart");
_Static_assert(MMU_HLVX << 1 <= 1 << MMU_MODE_SHIFT && 3 << MMU_FRM_SHIFT < MMU_VIRT && MODE_TRIGGER < 1 << 20,
               "fields of mmu_index are apart, and it has room for those of the mode");
/* In the number of the outer address space: there is a second stage; the rest is hgatp, which is 0 here. */
#define SPACE_GUEST (1ull << 59)

/* Guest interrupt files of a hart: as many as hgeie has bits for. */
enum { RISCV_MAX_GUEST_FILES = 63 };

/* mseccfg */
#define MSECCFG_MML   (1ull << 0) /* machine mode lockdown */
#define MSECCFG_MMWP  (1ull << 1) /* machine mode whitelist policy */
#define MSECCFG_RLB   (1ull << 2) /* rule locking bypass */
#define MSECCFG_USEED (1ull << 8)
#define MSECCFG_SSEED (1ull << 9)
/* mseccfg, menvcfg, senvcfg: pointer masking */
#define CFG_PMM (3ull << 32)

/* Vector registers: of VLEN bits, one behind the other, so that a group is contiguous. */
enum { VLEN_MIN = 128, VLEN_MAX = 1024 };

enum { RISCV_REG_COUNT = 31 + 32, RISCV_REG_F0 = 31 };

struct RiscvState {
    CpuState cs;
    uint64_t x[32];
    uint64_t f[32];
    uint8_t fp_off;           /* mstatus.FS is Off: floating-point instructions are illegal */
    uint8_t fp_dirty;         /* FS has become Dirty since mstatus was last looked at */
    uint8_t vs_off, vs_dirty; /* the same for mstatus.VS and vectors */
    uint8_t priv, frm;
    uint64_t ext;
    unsigned xlen;
    uint64_t mstatus, satp;
    uint64_t mepc, mcause, mtval, mtvec, mscratch, medeleg, mideleg, mie;
    uint64_t sepc, scause, stval, stvec, sscratch;
    uint64_t mip;        /* atomic; what software set and what inputs hold */
    uint64_t mip_inputs; /* atomic; levels of the interrupt inputs */
    uint64_t mip_soft;   /* what software wrote */
    uint64_t mip_pulses; /* atomic; raised by riscv_cpu_pulse_irq since mip was last read */
    uint64_t mcounteren, scounteren, mcountinhibit, menvcfg, senvcfg, stimecmp;
    uint64_t raised; /* exceptions so far: steps that retired no instruction */
    uint64_t miselect, siselect;
    uint8_t iprio[2][64]; /* priorities of interrupts of the supervisor, of the machine level: aia.c */
    bool iprio_used[2];   /* one of them is not 0 */
    /* hypervisor: V, its registers, and the guest's where HS-mode has one of its own */
    bool virt;
    uint64_t hstatus, hedeleg, hideleg, hcounteren, htimedelta, htval, htinst, henvcfg, hgatp, hgeie, mtval2, mtinst;
    uint64_t mstateen[4], hstateen[4];
    uint64_t vsiselect, hvictl, hviprio1, hviprio2;
    uint64_t vsstatus, vstvec, vsscratch, vsepc, vscause, vstval, vsatp, vstimecmp;
    /* guest interrupt files */
    GMutex guest_lock;    /* leaf but for the interrupt inputs: what other threads read, hgeip, hgeie and vgein */
    uint64_t hgeip;       /* levels of the files' outputs, by number */
    unsigned vgein;       /* hstatus.VGEIN */
    unsigned guest_files; /* GEILEN: how many there are; the machine's */
    uint8_t pmpcfg[PMP_ENTRIES];
    uint64_t pmpaddr[PMP_ENTRIES];
    uint64_t mseccfg;
    uint8_t pm_bits;       /* upper bits of addresses that pointer masking ignores now: 0, 7 or 16; */
    bool pm_zero;          /* they become zero, not copies of the next bit */
    bool faults_as_stores; /* a walk for a load now raises what a store would */
    unsigned pmp_active;   /* entries up to the last that is not off */
    /* not the guest's: fixed by the model and the machine */
    uint64_t feat;     /* FEAT_* */
    unsigned max_satp; /* highest satp mode offered; 0: Bare only */
    unsigned pmp_count;
    uint64_t mvendorid, marchid, mimpid;
    uint16_t cbom_size, cbop_size, cboz_size; /* bytes of a cache block */
    uint64_t reset_pc;
    uint64_t hart;
    unsigned vlenb; /* bytes of a vector register */
    uint64_t (*time)(void *opaque);
    void *time_opaque;
    Timer stimer, vstimer;
    GMutex
        stimer_lock; /* leaf but for the interrupt inputs: [v]stimecmp and timers, which the main loop's thread reads */
    /* vectors: see vector.h. vtype has its XLEN-independent form, vill in bit 63 */
    uint64_t vl, vtype, vstart;
    uint8_t vxrm, vxsat;
    uint32_t v_ready; /* what inline code looks at: V_READY and more, see riscv_vector_changed */
    uint8_t v[32 * VLEN_MAX / 8] __attribute__((aligned(64)));
    struct VectorChecked *vector_checked;            /* instructions found legal: vector.c */
    RiscvFile file[2];                               /* interrupt files: of S, of M */
    RiscvFile guest_file[RISCV_MAX_GUEST_FILES + 1]; /* of guests, by hstatus.VGEIN; there is no 0 */
    RiscvPmu pmu;
    RiscvTriggers trig;
};

static inline RiscvState *riscv(CpuState *cs)
{
    return (RiscvState *)cs;
}
/* The mode as a number: the privilege; with V, 4 more. */
enum { RISCV_VIRTUAL = 4, RISCV_MODES = 6 };
static inline unsigned riscv_full_mode(const RiscvState *s)
{
    return s->priv | (s->virt ? RISCV_VIRTUAL : 0);
}
/* Any of these (EXT_*)? */
static inline bool riscv_has(const RiscvState *s, uint64_t ext)
{
    return s->ext & ext;
}

/* An address of a load or store as pointer masking leaves it. */
static inline uint64_t riscv_mask_pointer(const RiscvState *s, uint64_t va)
{
    if (!s->pm_bits)
        return va;
    return s->pm_zero ? va << s->pm_bits >> s->pm_bits : (uint64_t)((int64_t)(va << s->pm_bits) >> s->pm_bits);
}

extern const Target target_riscv64, target_riscv32;

/* ---- for machines ---- */
/* Interrupt input (mip bit number) changes; any thread. opaque: CpuState *. */
void riscv_cpu_set_irq(void *opaque, int irq, bool level);
/* Set the bit of mip as software would, to be cleared by software: an edge. Any thread. */
void riscv_cpu_pulse_irq(void *opaque, int irq);
/* mtime was set: compare it with stimecmp again. Any thread. */
void riscv_cpu_time_changed(CpuState *cs);
/* Where `time` and stimecmp come from: ticks at 10 MHz. */
void riscv_cpu_set_time(CpuState *cs, uint64_t (*fn)(void *opaque), void *opaque);
void riscv_cpu_set_reset_pc(CpuState *cs, uint64_t pc);
/* Guest interrupt file, from number 1 on in order, up to RISCV_MAX_GUEST_FILES; without H there are none. */
void riscv_cpu_add_guest_file(CpuState *cs, RiscvFileAccess *access, void *opaque);
/* The output of guest interrupt file 1 .. count changes; any thread. opaque: CpuState *. */
void riscv_cpu_set_guest_irq(void *opaque, int file, bool level);
/* Smaia, and Ssaia where there is a supervisor mode. */
void riscv_cpu_add_aia(CpuState *cs);
/* The interrupt file that priv (PRIV_S, PRIV_M) reaches by its CSRs. */
void riscv_cpu_set_file(CpuState *cs, unsigned priv, RiscvFileAccess *access, void *opaque);
bool riscv_cpu_has(CpuState *cs, const char *extension);
/* For the device tree. Free with g_free. */
char *riscv_cpu_isa_string(CpuState *cs);     /* "rv64imafdc_zicsr_..." */
char *riscv_cpu_isa_extensions(CpuState *cs); /* NUL-separated list, ends with two NULs */
const char *riscv_cpu_mmu_type(CpuState *cs); /* "riscv,sv57" */
/* Block size of "zicbom", "zicbop" or "zicboz"; 0: it is not there. */
unsigned riscv_cpu_block_size(CpuState *cs, const char *extension);
/* Which counters count which events: triples of first event, last event, mask. Returns how many cells, 0: none. */
unsigned riscv_cpu_pmu_map(CpuState *cs, uint32_t cells[PMU_MAP_CELLS]);

/* ---- inside the target ---- */
/* mstatus with FS and SD as they are now. */
uint64_t riscv_mstatus(RiscvState *s);
/* The same of vsstatus. */
uint64_t riscv_vsstatus(RiscvState *s);
/* priv, mstatus, satp, frm or XLEN changed: derive mode flags and the context. */
void riscv_mode_changed(RiscvState *s);
/* Enter the handler of an exception at cs->pc; sets cs->raised. */
void riscv_raise(RiscvState *s, unsigned cause, uint64_t tval);
/* A guest page fault: gpa is the guest physical address, pseudo what htinst says if the walk of the guest's tables met
 * it (else 0). */
void riscv_raise_guest_page(RiscvState *s, unsigned cause, uint64_t tval, uint64_t gpa, uint32_t pseudo);
/* An instruction that is refused: virtual: that a hypervisor could allow. */
void riscv_refuse(RiscvState *s, bool virtual, uint64_t bits);
/* The interrupt of mask that goes first among those of the machine level, or the supervisor's; 0: mask has none. */
unsigned riscv_first_interrupt(const RiscvState *s, uint64_t mask, bool machine);
/* Interrupts that there are at this level, as a mask. */
uint64_t riscv_local_interrupts(const RiscvState *s, bool machine);
bool riscv_deliver_interrupt(CpuState *cs);
bool riscv_has_work(CpuState *cs);
void riscv_return(RiscvState *s, unsigned from); /* mret, sret: already checked */
/* The timers of Sstc: what they depend on changed; *compare (stimecmp, vstimecmp, htimedelta) becomes value. */
void riscv_update_timers(RiscvState *s);
void riscv_set_timecmp(RiscvState *s, uint64_t *compare, uint64_t value);
void riscv_wake(RiscvState *s); /* inputs changed */
/* Interrupt irq is pending until software clears it; on the hart's thread. */
void riscv_pend_soft(RiscvState *s, unsigned irq);
void riscv_check_interrupts(RiscvState *s); /* enables changed: is there one to take now? */
/* May the block that holds va be managed: read, or else written? If not, a store fault is raised. */
void riscv_probe_block(RiscvState *s, uint64_t va);
bool riscv_walk(CpuState *cs, uint64_t va, Access access, unsigned mmu_index, bool raise, Walk *w);
/* The instruction at pc, 2 or 4 bytes, as a fetch in this mode sees it. False: not to be had. */
bool riscv_peek_insn(RiscvState *s, uint64_t pc, uint32_t *bits);
void riscv_pmp_changed(RiscvState *s);
bool riscv_pmp_allows(const RiscvState *s, uint64_t phys, Access access, unsigned priv);
void riscv_info_mem(CpuState *cs, GString *out);
/* CSR access as an instruction makes it; false: illegal. write: *value is written, after the old one is returned in
 * *old. */
bool riscv_csr(RiscvState *s, unsigned csr, bool read, bool write, uint64_t value, uint64_t mask, uint64_t *old);
/* Of an access that riscv_csr has refused: would it be allowed in HS-mode? */
bool riscv_csr_virtual(RiscvState *s, unsigned csr, bool write);
/* Software's part of these bits of mip. */
void riscv_write_soft(RiscvState *s, uint64_t v, uint64_t mask);
void riscv_scan(const CpuState *cs, const uint8_t *bytes, unsigned available, InsnScan *out);
bool riscv_translate(TranslateInsn *insn);
unsigned riscv_disassemble(const CpuState *cs, uint64_t pc, const uint8_t *bytes, unsigned available, GString *out);
/* ---- gdb.c: Target.gdb_* ---- */
char *riscv_gdb_xml(CpuState *cs);
unsigned riscv_gdb_read(CpuState *cs, unsigned n, uint8_t value[GDB_REG_BYTES]);
bool riscv_gdb_write(CpuState *cs, unsigned n, const uint8_t *value);
/* vl, vtype, vstart or mstatus.VS changed: derive v_ready. */
void riscv_vector_changed(RiscvState *s);
/* The state of the vector unit after reset, and as text. */
void riscv_vector_reset(RiscvState *s);
void riscv_vector_free(RiscvState *s);
void riscv_vector_dump(const RiscvState *s, GString *out);
extern const HelperDesc riscv_helpers[];
void riscv_crypto_init(void); /* tables of the helpers; any number of times */

#endif
