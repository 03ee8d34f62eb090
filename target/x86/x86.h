/*
 * x86: what a PC's board and its local APICs do to a processor, and what the processor asks of them (Intel 64 and IA-32
 * Architectures Software Developer's Manual, December 2024, volume 3, chapters 10 to 12 and 33).
 * Devices and machines include this file and no other of target/x86.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_X86_H
#define TARGET_X86_X86_H

#include "hw/core/irq.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct CpuState CpuState;
typedef struct AddressSpace AddressSpace;

/* ---- inputs of the processor. Any thread, with or without the machine lock. ---- */
/* INTR: some interrupt waits; the processor asks acknowledge() when it takes it. */
void x86_set_intr(CpuState *cs, bool level);
/* Latched until taken. */
typedef enum { X86_NMI, X86_SMI, X86_INIT, X86_MCE } X86Pulse;
void x86_pulse(CpuState *cs, X86Pulse pulse);
/* Start-up IPI: a processor that waits for one (all but the bootstrap processor after reset, any after INIT) starts in
 * real mode at vector << 12; others ignore it. */
void x86_start_up(CpuState *cs, uint8_t vector);
/* A20 gate: while off, bit 20 of physical addresses is 0. */
void x86_set_a20(CpuState *cs, bool on);

/* ---- the local APIC, as its processor sees it. Called on the vCPU's thread without the machine lock. ---- */
typedef struct X86LocalApic {
    int (*acknowledge)(void *opaque); /* vector of the interrupt that is taken now; -1: it has gone away */
    uint8_t (*get_tpr)(void *opaque); /* task priority, 8 bits: CR8 is its upper four */
    void (*set_tpr)(void *opaque, uint8_t value);
    /* IA32_APIC_BASE, IA32_TSC_DEADLINE, the x2APIC's. False: #GP. */
    bool (*read_msr)(void *opaque, uint32_t index, uint64_t *value);
    bool (*write_msr)(void *opaque, uint32_t index, uint64_t value);
    void (*init)(void *opaque); /* INIT reached the processor: reset but for the APIC ID */
} X86LocalApic;
void x86_set_local_apic(CpuState *cs, const X86LocalApic *ops, void *opaque); /* before the processor runs */
/* Thread, core and socket have fields of their own in it, as -smp says. */
uint32_t x86_apic_id(const CpuState *cs);
/* Time stamp counter now (any thread), and its frequency in Hz: what TSC-deadline timers count in. */
uint64_t x86_tsc(const CpuState *cs);
uint64_t x86_tsc_frequency(const CpuState *cs);
/* CPUID of this processor (for tables that describe it): eax, ebx, ecx, edx. */
void x86_cpuid(const CpuState *cs, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* ---- set up by the machine before the processor runs ---- */
/* System management mode sees this address space (with the SMRAM), not the machine's. */
void x86_set_smm_space(CpuState *cs, AddressSpace *space);
/* This processor is in that mode now; by its own thread. */
bool x86_in_smm(const CpuState *cs);
/* FERR#: raised by an unmasked x87 exception while CR0.NE is 0; the board answers with x86_set_ignne. */
void x86_set_ferr(CpuState *cs, Irq irq);
void x86_set_ignne(CpuState *cs, bool level);
/* The bootstrap processor; the others wait for a start-up IPI after each reset. */
void x86_set_bootstrap(CpuState *cs, bool bootstrap);

/*
 * How the bootstrap processor begins when a machine boots a kernel without firmware, instead of the reset vector:
 * flat segments, paging by cr3 if the mode is 64 bits, interrupts off. Applied at the next reset; entry NULL: the
 * reset vector again. The machine has put GDT and page tables into memory.
 */
typedef struct X86Entry {
    unsigned bits;   /* 16: real mode at cs << 4 + rip; 32: protected mode, no paging; 64: long mode */
    uint16_t cs, ds; /* selectors: code; data, extra, stack */
    uint64_t rip, rsp, rbp, rsi, rdi, rax, rbx;
    uint64_t cr3, gdt_base;
    uint16_t gdt_limit;
} X86Entry;
void x86_set_entry(CpuState *cs, const X86Entry *entry);

#endif
