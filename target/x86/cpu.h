/*
 * x86: the state of a processor and what the files of target/x86 share (Intel 64 and IA-32 Architectures Software
 * Developer's Manual, December 2024, "SDM" below; AMD64 Architecture Programmer's Manual where they differ).
 *
 * cs.pc is the linear address of the instruction: CS.base + rIP. Units are keyed by it, and jumps work on it; rIP is
 * computed where something asks for it. In 64-bit mode the base is 0.
 *
 * Flags. What the last arithmetic instruction left in cc_op, cc_result, cc_source stands for OF SF ZF AF PF CF, until
 * something wants them one by one; eflags holds the others. See flags.c.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_CPU_H
#define TARGET_X86_CPU_H

#include "target/target.h"
#include "target/x86/cpu_models.h"
#include "target/x86/decode.h"
#include "target/x86/simd.h"
#include "target/x86/x86.h"
#include "target/x86/x87.h"
#include "util/clock.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, X86_GPRS };

/* eflags */
enum {
    FLAG_CF = 1 << 0,
    FLAG_1 = 1 << 1, /* always set */
    FLAG_PF = 1 << 2,
    FLAG_AF = 1 << 4,
    FLAG_ZF = 1 << 6,
    FLAG_SF = 1 << 7,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_DF = 1 << 10,
    FLAG_OF = 1 << 11,
    FLAG_IOPL = 3 << 12,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    FLAG_ID = 1 << 21,
    X86_FLAGS_ALL = 0x3f7fd7, /* those that exist */
    FLAGS_ARITHMETIC = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)

#define CR4_VME        (1u << 0)
#define CR4_PVI        (1u << 1)
#define CR4_TSD        (1u << 2)
#define CR4_DE         (1u << 3)
#define CR4_PSE        (1u << 4)
#define CR4_PAE        (1u << 5)
#define CR4_MCE        (1u << 6)
#define CR4_PGE        (1u << 7)
#define CR4_PCE        (1u << 8)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP       (1u << 11)
#define CR4_LA57       (1u << 12)
#define CR4_FSGSBASE   (1u << 16)
#define CR4_PCIDE      (1u << 17)
#define CR4_OSXSAVE    (1u << 18)
#define CR4_SMEP       (1u << 20)
#define CR4_SMAP       (1u << 21)
#define CR4_PKE        (1u << 22)

#define EFER_SCE   (1u << 0)
#define EFER_LME   (1u << 8)
#define EFER_LMA   (1u << 10)
#define EFER_NXE   (1u << 11)
#define EFER_FFXSR (1u << 14)

/* Exceptions (SDM volume 3, table 7-1). */
enum {
    VECTOR_DE,
    VECTOR_DB,
    VECTOR_NMI,
    VECTOR_BP,
    VECTOR_OF,
    VECTOR_BR,
    VECTOR_UD,
    VECTOR_NM,
    VECTOR_DF,
    VECTOR_TS = 10,
    VECTOR_NP,
    VECTOR_SS,
    VECTOR_GP,
    VECTOR_PF,
    VECTOR_MF = 16,
    VECTOR_AC,
    VECTOR_MC,
    VECTOR_XM,
    VECTOR_COUNT = 32
};

/* X86State.shadow; behind mov ss and pop ss there are no debug exceptions either. */
enum { SHADOW_STI = 1, SHADOW_SS };

/* DR6 */
enum { DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15 };
enum { NO_STEP = 1 << 12 }; /* in watch_hit: TF was not set when the instruction began */
#define DR6_RESET 0xffff0ff0ull
#define DR7_RESET 0x400ull

/* Page-fault error code (SDM volume 3, section 5.7). */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

/* Attributes of a descriptor, as in its second word (SDM volume 3, section 3.4.5), moved down by 8 bits. */
enum {
    DESC_TYPE = 0xf,
    DESC_ACCESSED = 1 << 0,
    DESC_WRITABLE = 1 << 1,    /* data; of code: readable */
    DESC_EXPAND_DOWN = 1 << 2, /* data; of code: conforming */
    DESC_CODE = 1 << 3,
    DESC_S = 1 << 4, /* code or data, not a system descriptor */
    DESC_DPL_SHIFT = 5,
    DESC_P = 1 << 7,
    DESC_L = 1 << 13,
    DESC_DB = 1 << 14,
    DESC_G = 1 << 15,
};
/* Types of system descriptors. */
enum {
    GATE_TSS16 = 1,
    GATE_LDT = 2,
    GATE_TSS16_BUSY = 3,
    GATE_CALL16 = 4,
    GATE_TASK = 5,
    GATE_INTERRUPT16 = 6,
    GATE_TRAP16 = 7,
    GATE_TSS = 9,
    GATE_TSS_BUSY = 11,
    GATE_CALL = 12,
    GATE_INTERRUPT = 14,
    GATE_TRAP = 15,
};

typedef struct X86SegmentReg {
    uint64_t base;
    uint32_t limit; /* in bytes, the last one */
    uint16_t selector;
    uint16_t attributes; /* DESC_* */
    uint64_t room;       /* derived: bytes from 0 on that may be read and written; 0: it is not that simple */
} X86SegmentReg;

typedef struct X86Table {
    uint64_t base;
    uint16_t limit;
} X86Table;

/* What cc_result and cc_source mean: the operation, at each operand size. See flags.c. */
enum {
    CC_EFLAGS, /* cc_result holds the six flags themselves */
    CC_ADD,    /* result; source: second operand */
    CC_ADC,    /* likewise, with a carry in */
    CC_SUB,
    CC_SBB,
    CC_LOGIC,
    CC_INC, /* source: the old CF */
    CC_DEC,
    CC_SHL, /* source: the operand before the last step: CF is its top bit */
    CC_SAR, /* source: likewise its low bit; shr, too */
    CC_MUL, /* source: not zero if the high half is not the extension of the low one */
    CC_BMI, /* blsr ...: source: CF is whether it is zero */
    CC_KINDS
};
/* cc_op: kind << 2 | log2 of the operand's bytes, and flags that a later instruction (bt, rol, stc) has changed alone
 */
#define CC_OP(kind, log2_bytes) ((kind) << 2 | (log2_bytes))
enum {
    CC_KIND_MASK = 0xff,
    CC_CF_SET = 1 << 8, /* CF is bit CC_CF_SHIFT, whatever the kind says */
    CC_CF_SHIFT = 9,
    CC_OF_SET = 1 << 10, /* likewise OF */
    CC_OF_SHIFT = 11,
};

/* Static mode flags of a unit (CpuState.mode). */
enum {
    MODE_CPL = 3,
    MODE_BITS_SHIFT = 2,   /* of code: 0: 16, 1: 32, 2: 64 */
    MODE_STACK32 = 1 << 4, /* SS.B; in 64-bit mode not set */
    MODE_PE = 1 << 5,
    MODE_VM86 = 1 << 6,
    MODE_FLAT = 1 << 7, /* bases of CS, DS, ES, SS are 0 and their limits do not bind */
    MODE_LONG = 1 << 8, /* EFER.LMA: compatibility or 64-bit mode */
    MODE_IOPL_SHIFT = 9,
    MODE_TF = 1 << 11,
    MODE_BREAK = 1 << 12,  /* DR7 has breakpoints on instructions */
    MODE_NO_FPU = 1 << 13, /* CR0.EM or TS: #NM */
    MODE_NO_SSE = 1 << 14, /* CR0.EM or not CR4.OSFXSR */
    MODE_NO_AVX = 1 << 15, /* not CR4.OSXSAVE or XCR0 */
    MODE_ALIGN = 1 << 16,  /* alignment checks */
    MODE_SMM = 1 << 17,
    MODE_XM = 1 << 18,       /* some SIMD floating-point exception is unmasked */
    MODE_NO_XSAVE = 1 << 19, /* not CR4.OSXSAVE */
};

/* mmu_index: whose access it is. Above MMU_MODE_SHIFT CpuState.mode, so that jumps found belong to one mode. */
enum {
    MMU_USER = 1,
    MMU_WP = 2,
    MMU_SMAP = 4 /* supervisor must not touch user pages now */,
    MMU_PHYSICAL = 8,
    MMU_MODE_SHIFT = 8
};

#define X86_XSAVE_PKRU 2688 /* where the protection keys are in the standard format */

struct X86State {
    CpuState cs;
    uint64_t gpr[X86_GPRS];
    uint64_t cc_result, cc_source;
    uint32_t cc_op;
    uint32_t eflags; /* without the arithmetic flags; FLAG_DF is here too */
    X86SegmentReg segment[6];
    X86SegmentReg ldt, tr;
    X86Table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0, pkru;
    uint32_t keys_seen; /* protection keys of pages that were walked to since the last flush for PKRU */
    uint64_t pdpte[4];  /* PAE: loaded by writes to CR3 */
    uint64_t dr[8];
    uint64_t xmm[16][4] __attribute__((aligned(32))); /* 256 bits each */
    uint8_t avx_dirty;                                /* upper halves may be other than 0 */
    X86SimdScratch simd;
    uint32_t mxcsr; /* exceptions are in cs.fp_flags */
    X86Fpu fpu;
    /* exceptions */
    bool delivering, nested;
    uint8_t nested_vector;
    uint32_t nested_error;
    uint8_t shadow; /* an interrupt shadow covers the instruction at this address: SHADOW_* */
    uint64_t shadow_pc;
    bool smm, nmi_blocked, nmi_was_blocked; /* the last: before the SMI */
    uint16_t watch_hit;                     /* what the present instruction is to trap for: bits of DR6, and NO_STEP */
    uint64_t a20_mask;
    /* Set from any thread, taken by the processor: atomic. */
    uint32_t inputs; /* INPUT_* */
    uint8_t start_up_vector;
    bool a20_off, ignne;
    bool waiting; /* for a start-up IPI */
    /* MSRs */
    uint64_t star, lstar, cstar, fmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, tsc_aux, tsc_offset,
        pat, apic_base, misc_enable, smbase, mtrr_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8], mcg_status, mcg_ctl,
        mc_bank[10][4], feature_control, spec_ctrl, debugctl, tsc_adjust, xss, bios_sign, platform_info;
    /* not the guest's: fixed by model and board */
    uint64_t decode_features; /* 1 << X86_* */
    uint32_t cpuid_features[X86_WORD_COUNT];
    uint8_t physical_bits;
    bool hides_kvm; /* CPUID does not say that there is KVM */
    bool bootstrap;
    const struct X86Model *model;
    const X86LocalApic *apic;
    void *apic_opaque;
    uint32_t apic_id;
    uint64_t tsc_frequency;
    AddressSpace *smm_space;
    Irq ferr;
    X86Entry entry;
    bool has_entry;
};

enum { INPUT_INTR = 1, INPUT_NMI = 2, INPUT_SMI = 4, INPUT_INIT = 8, INPUT_MCE = 16, INPUT_SIPI = 32, INPUT_A20 = 64 };

static inline X86State *x86(CpuState *cs)
{
    return (X86State *)cs;
}
static inline unsigned x86_cpl(const X86State *s)
{
    return s->cs.mode & MODE_CPL;
}
static inline bool x86_protected(const X86State *s)
{
    return (s->cr0 & CR0_PE) && !(s->eflags & FLAG_VM);
}
static inline bool x86_long(const X86State *s)
{
    return s->efer & EFER_LMA;
}
static inline unsigned x86_code_bits(const X86State *s)
{
    return 16u << (s->cs.mode >> MODE_BITS_SHIFT & 3);
}
/* rIP of the instruction at cs->pc. */
static inline uint64_t x86_ip(const X86State *s)
{
    uint64_t ip = s->cs.pc - s->segment[X86_CS].base;
    return x86_code_bits(s) == 64 ? ip : (uint32_t)ip;
}

/* ---- flags.c ---- */
uint32_t x86_eflags(X86State *s);                                /* all of them */
void x86_set_eflags(X86State *s, uint32_t value, uint32_t mask); /* those of mask; the mode changes with them */
void x86_put_eflags(X86State *s, uint32_t value, uint32_t mask); /* likewise, but the mode is the caller's business */

/* ---- mmu.c ---- */
bool x86_walk(CpuState *cs, uint64_t va, Access access, unsigned mmu_index, bool raise, Walk *w);
/* CR0, CR3, CR4, EFER, CPL, segments or eflags changed: derive mode flags and the context. */
void x86_mode_changed(X86State *s);
/* The same where nothing but eflags has: before is what they were. */
void x86_eflags_changed(X86State *s, uint32_t before);
/* PKRU, with a flush if translations depend on what changes. */
void x86_set_pkru(X86State *s, uint32_t value);
bool x86_load_pdptes(X86State *s, uint64_t cr3); /* false: #GP is to be raised */
/* What the present address space is called to the TLB. */
uint64_t x86_space(const X86State *s);
/* Accesses as supervisor (tables, stacks of handlers). False: the fault has been raised. size: 1 to 8 bytes. */
/* A context in which these need no change of it: for several in a row, until x86_mode_changed. */
void x86_enter_system(X86State *s);
bool x86_system_load(X86State *s, uint64_t va, unsigned size, uint64_t *value);
bool x86_system_store(X86State *s, uint64_t va, unsigned size, uint64_t value);

/* ---- segment.c ---- */
/* Load a segment register as mov, pop and lXs do. False: raised. */
bool x86_load_segment(X86State *s, X86Segment segment, uint16_t selector);
/* Likewise; vector: what a bad selector raises. */
bool x86_load_segment_or(X86State *s, X86Segment segment, uint16_t selector, unsigned vector);
void x86_load_segment_real(X86State *s, X86Segment segment, uint16_t selector);
typedef struct X86Descriptor {
    uint32_t low, high;
    uint32_t upper; /* bits 63..32 of the base, of a 16-byte descriptor */
} X86Descriptor;
/* Read the descriptor that selector names. vector: what to raise, with the selector, if it is beyond its table. */
bool x86_read_descriptor(X86State *s, uint16_t selector, unsigned vector, X86Descriptor *d);
void x86_segment_from(X86SegmentReg *out, uint16_t selector, const X86Descriptor *d);
bool x86_set_accessed(X86State *s, uint16_t selector, X86Descriptor *d);
bool x86_canonical(const X86State *s, uint64_t va);
/* Far transfers; length: of the instruction. They leave cs.pc at the target, or raise. */
void x86_far_jump(X86State *s, uint16_t selector, uint64_t offset, unsigned operand_size, unsigned length);
void x86_far_call(X86State *s, uint16_t selector, uint64_t offset, unsigned operand_size, unsigned length);
void x86_far_return(X86State *s, unsigned operand_size, unsigned pop_bytes);
void x86_iret(X86State *s, unsigned operand_size, unsigned length);

/* The stack of an inner level, from the TSS. False: raised. */
bool x86_inner_stack(X86State *s, unsigned cpl, uint16_t *ss, uint64_t *sp);

/* ---- exception.c ---- */
/* Raise at cs.pc. error: pushed where the exception has an error code. Sets cs.raised. */
void x86_raise(X86State *s, unsigned vector, uint32_t error);
/* int n, int3, into, int1: return goes behind the instruction. */
void x86_software_interrupt(X86State *s, unsigned vector, unsigned length, bool by_opcode);
/* int n in virtual-8086 mode: true if the program's own handler gets it (or an exception was raised). */
bool x86_redirected_interrupt(X86State *s, unsigned vector, unsigned length);
/* NMI, or what the local APIC gave: taken before the instruction at cs.pc. */
void x86_external_interrupt(X86State *s, unsigned vector);
bool x86_deliver_interrupt(CpuState *cs);
bool x86_has_work(CpuState *cs);

/* ---- cpu.c ---- */
void x86_take_a20(X86State *s); /* if the gate has changed: what is executed next sees it */

/* ---- translate.c ---- */
void x86_translate_init(void);
void x86_scan(const CpuState *cs, const uint8_t *bytes, unsigned available, InsnScan *out);
bool x86_translate(TranslateInsn *insn);

/* Does the instruction at cs.pc access memory through SS? Decodes it: for faults only. */
bool x86_accesses_stack(X86State *s, uint64_t va);
/* #AC where alignment is checked. */
void x86_raise_misaligned(CpuState *cs, uint64_t va, Access access);

/* ---- xsave.c ---- */
uint64_t x86_xcr0_valid(const X86State *s); /* components that the processor has */
uint32_t x86_xsave_size(uint64_t components, bool compacted);

/* ---- helpers.c ---- */
void x86_helpers_init(void);
/* May size bytes at segment:offset be accessed, not in 64-bit mode? False: raised. */
bool x86_check_segment(X86State *s, unsigned segment, uint64_t offset, unsigned size, bool write);
extern const HelperDesc x86_helpers[];

/* ---- msr.c ---- */
/* False: #GP is to be raised. */
bool x86_read_msr(X86State *s, uint32_t index, uint64_t *value);
bool x86_write_msr(X86State *s, uint32_t index, uint64_t value);
void x86_reset_msrs(X86State *s);

/* ---- system.c ---- */
/* What HELPER_SYSTEM does: SYSTEM(NAME, function). */
uint64_t x86_system(X86State *s, unsigned what, uint64_t a, uint64_t b, unsigned length);
/* A single step, or a breakpoint: DR6 gets these bits, and #DB is raised. */
void x86_debug_trap(X86State *s, uint64_t dr6);

/* ---- watch.c ---- */
void x86_watch_changed(X86State *s);                            /* DR0 to DR3 or DR7 changed */
void x86_watch_port(X86State *s, uint16_t port, unsigned size); /* it was accessed */
bool x86_watched_page(const X86State *s, uint64_t va);
bool x86_watch(CpuState *cs, uint64_t va, unsigned size, unsigned access, const uint64_t *value);

/* ---- disassemble.c ---- */
unsigned x86_disassemble(const CpuState *cs, uint64_t pc, const uint8_t *bytes, unsigned available, GString *out);

/* ---- gdb.c: Target.gdb_* ---- */
char *x86_gdb_xml(CpuState *cs);
unsigned x86_gdb_read(CpuState *cs, unsigned n, uint8_t value[GDB_REG_BYTES]);
bool x86_gdb_write(CpuState *cs, unsigned n, const uint8_t *value);

/* ---- smm.c ---- */
void x86_enter_smm(X86State *s);
bool x86_leave_smm(X86State *s);

/* ---- task.c ---- */
typedef enum { TASK_JUMP, TASK_CALL, TASK_IRET } X86TaskReason;
/* Switch to the task that the TSS descriptor d at selector describes. return_ip: for the old task. False: raised. */
bool x86_switch_task(X86State *s, uint16_t selector, X86Descriptor *d, X86TaskReason reason, uint64_t return_ip);

#endif
