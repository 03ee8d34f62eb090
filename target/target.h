/*
 * Target: a guest instruction set as the rest of Rhea sees it. One const Target each; nothing else is compiled per
 * target.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_TARGET_H
#define TARGET_TARGET_H

#include "tcg/ir.h"
#include "tcg/runtime.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { GDB_REG_BYTES = 32 }; /* the longest register that a debugger is shown */

typedef struct Target Target;
typedef struct Vcpu Vcpu;
typedef struct Machine Machine;
typedef struct AddressSpace AddressSpace;

/* A register that IR names: getreg/setreg number = place in the target's table. */
typedef struct GuestReg {
    const char *name;
    uint32_t offset;  /* in the target's state struct; bytes */
    uint8_t type;     /* IrType: IR_I32, IR_I64, IR_F64 */
    uint8_t pin;      /* 1 = pinned first ... ; 0 = lives in the state. Integers and floats count apart */
    uint8_t deferred; /* 1 to IR_MAX_DEFERRED, each once: it is seldom read, so that writes wait (tcg/defer.c); 0: no */
} GuestReg;

typedef enum { ACCESS_LOAD, ACCESS_STORE, ACCESS_FETCH } Access;

/* What one page walk found. */
typedef struct Walk {
    uint64_t phys;     /* guest-physical address of the byte asked for */
    uint8_t page_bits; /* size of the mapping found (12, 21, 30 ...): the protection below holds for all of it */
    bool read, write,
        execute; /* what this address space and mode may do there without another walk (write: only if dirty is set) */
    bool global; /* in every address space */
    bool watch;  /* each access to the page must go to the target's watch: it gets no TLB entry (page_bits: 12) */
} Walk;

/* What the scan before translation says of one instruction. */
typedef enum {
    FLOW_NEXT,
    FLOW_BRANCH /* conditional, target known */,
    FLOW_JUMP /* target known, no fall-through */,
    FLOW_CALL /* jump that links; target known */,
    FLOW_END /* anything else that ends a unit */
} Flow;
typedef struct InsnScan {
    uint8_t length; /* bytes; 0: the bytes given are not enough (the instruction crosses the page) */
    Flow flow;
    int64_t target; /* FLOW_BRANCH, FLOW_JUMP, FLOW_CALL: displacement from the instruction's address */
} InsnScan;

/* One instruction to translate. */
typedef struct TranslateInsn {
    IrUnit *ir;
    uint32_t mode;  /* static mode flags of the unit (CpuState.mode) */
    int32_t offset; /* of the instruction from the start of the unit's page (0..4095) */
    uint8_t length;
    const uint8_t *bytes; /* length bytes */
    bool first;           /* of the unit: where it is entered */
    bool cold;            /* once more, for where an assumption was wrong: make none (ir_cold) */
    /* Label of the instruction at this offset if the unit has one there and it starts a segment; -1 otherwise */
    int (*label_at)(struct TranslateInsn *insn, int32_t offset);
    void *opaque;       /* the translator's */
    const CpuState *cs; /* constant features (XLEN, extensions); registers only as a guess that the code checks */
} TranslateInsn;

struct Target {
    const char *name; /* "riscv64" */
    unsigned bits;    /* of an address: 32 or 64 */
    bool big_endian;
    bool coherent_code; /* an instruction sees what the one before it stored (x86), without a fence */
    const char *default_machine, *default_cpu;
    unsigned page_bits, insn_align; /* smallest page; instruction alignment in bytes (2 for RVC) */
    const GuestReg *regs;
    unsigned reg_count;
    const HelperDesc *helpers;
    unsigned helper_count;
    size_t state_size; /* CpuState comes first in it */

    /* Registers: create (zeroed memory given; model as in -cpu), reset, print, free. */
    bool (*cpu_init)(Vcpu *vcpu, CpuState *cs, const char *model, GError **err);
    void (*cpu_free)(CpuState *cs);
    void (*cpu_reset)(CpuState *cs);
    void (*cpu_dump)(CpuState *cs, GString *out); /* info registers, -d cpu */
    void (*info_mem)(CpuState *cs, GString *out); /* info mem; NULL: nothing to show */
    char *(*cpu_help)(void);                      /* -cpu help; free with g_free */

    /* Interrupts, on the vCPU's thread. has_work: would a halted CPU wake. deliver: take the most urgent one that is
     * enabled now (changes pc and mode, returns true), or return false. */
    bool (*has_work)(CpuState *cs);
    bool (*deliver_interrupt)(CpuState *cs);

    /* Memory management. walk: true and *w, or false having raised the exception into cs (if raise; cs->pc is exact; pc
     * then points to the handler and cs->raised is 1). mmu_index: cs->mmu_index or another that the target uses for odd
     * accesses. Without raise it changes nothing in the guest: what a debugger sees. */
    bool (*walk)(CpuState *cs, uint64_t va, Access access, unsigned mmu_index, bool raise, Walk *w);
    /* Raise what an access to nothing (bus error) or a misaligned one raises. cs->pc is exact. */
    void (*raise_bus_error)(CpuState *cs, uint64_t va, Access access);
    void (*raise_misaligned)(CpuState *cs, uint64_t va, Access access);
    /* The same for a vector that must be aligned (MO_ALIGN without MO_ACQUIRE); NULL: as raise_misaligned. */
    void (*raise_misaligned_vector)(CpuState *cs, uint64_t va, Access access);
    /* While cs->watching: an access that the TLB did not have. value: what is stored; or what a load got, for which it
     * is called twice, first with NULL. Atomics are a load and a store with NULL. False: an exception was raised. */
    bool (*watch)(CpuState *cs, uint64_t va, unsigned size, unsigned access, const uint64_t *value);

    /* Translation. scan: flow of the instruction at bytes (available: bytes up to the page end). translate: emit IR for
     * one instruction; returns false if nothing may follow it in straight line (it ended the segment itself with an
     * exit op). */
    void (*scan)(const CpuState *cs, const uint8_t *bytes, unsigned available, InsnScan *out);
    bool (*translate)(TranslateInsn *insn);
    /* Append one instruction's text (bytes, name, operands; no newline): -d in_asm, x/i. Returns its length, 0 if
     * available bytes are not enough. NULL: no disassembler. */
    unsigned (*disassemble)(const CpuState *cs, uint64_t pc, const uint8_t *bytes, unsigned available, GString *out);

    /* What a debugger sees (GDB's remote protocol; gdb.c of the target); on the vCPU's thread, or while it is stopped.
     * gdb_xml: target description, free with g_free. gdb_read: register number n in the order of the description, in
     * the guest's byte order; its length, 0: there is none. gdb_write: that many bytes; false: it cannot be written. */
    char *(*gdb_xml)(CpuState *cs);
    unsigned (*gdb_read)(CpuState *cs, unsigned n, uint8_t value[GDB_REG_BYTES]);
    bool (*gdb_write)(CpuState *cs, unsigned n, const uint8_t *value);
    unsigned gdb_core_count; /* registers 0 to this - 1 come together (packet g) */
};

const Target *const *targets(void); /* ends with NULL */
const Target *target_find(const char *name);

#endif
