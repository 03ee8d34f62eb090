/*
 * Local APICs (xAPIC and x2APIC) and what they share: message-signalled interrupts and IPIs.
 *
 *     ApicHub *hub = device_new(machine, &apic_hub_type);  realize;  mem_add(&machine->root, APIC_BASE, &hub->mmio, 1)
 *     hub->pic_acknowledge = ..., hub->pic = i8259;  pic->intr = apic_extint_input(hub);
 *     Apic *apic = apic_new(hub, apic_id, &cpu_ops, cpu, err);   (once for each vCPU, in order; apic_x86.h does it)
 * The vCPU whose index is 0 is the bootstrap processor. Everything below may be called from any thread, with or without
 * the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_APIC_H
#define HW_INTC_APIC_H

#include "hw/core/machine.h"

#define APIC_BASE      UINT64_C(0xfee00000)
#define APIC_WINDOW    0x100000 /* the page of the registers, then only messages */
#define APIC_PERIOD_NS 1        /* of the timer's clock before it is divided */

enum { APIC_LVT_TIMER, APIC_LVT_THERMAL, APIC_LVT_PERF, APIC_LVT_LINT0, APIC_LVT_LINT1, APIC_LVT_ERROR, APIC_LVTS };

/* The processor, as its APIC sees it. Any thread; leaf locks may be held. */
typedef struct ApicCpuOps {
    void (*set_intr)(void *cpu, bool level);
    void (*nmi)(void *cpu);
    void (*smi)(void *cpu);
    void (*init)(void *cpu); /* the processor calls apic_init back when it takes it */
    void (*start_up)(void *cpu, uint8_t vector);
    uint64_t (*tsc)(void *cpu);
    uint64_t (*tsc_frequency)(void *cpu); /* Hz */
} ApicCpuOps;

typedef struct Apic Apic;

typedef struct ApicHub {
    Device dev;
    MemRegion mmio;      /* APIC_WINDOW bytes, for APIC_BASE */
    GPtrArray *apics;    /* Apic *, by vCPU index; complete before the machine runs */
    uint32_t arbitrated; /* lowest priority: who got the last one (atomic) */
    bool extint;         /* the 8259's output (atomic) */
    int (*pic_acknowledge)(void *pic);
    void *pic;
    void (*eoi)(void *opaque, uint8_t vector); /* end of a level-triggered interrupt: the I/O APIC's (ioapic_eoi) */
    void *eoi_opaque;
    int (*current)(void); /* index of the vCPU that this thread runs, -1: none. Set by default; tests have their own */
} ApicHub;

typedef enum { APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_NMI = 4, APIC_INIT, APIC_STARTUP, APIC_EXTINT } ApicDelivery;

typedef struct ApicMessage {
    uint32_t dest; /* 8 bits; 32 from an x2APIC */
    bool logical, level, x2apic;
    uint8_t vector, delivery; /* ApicDelivery */
} ApicMessage;

struct Apic {
    Device dev;
    ApicHub *hub;
    const ApicCpuOps *ops;
    void *cpu;
    uint32_t initial_id;                      /* of the processor */
    bool bootstrap, has_x2apic, has_deadline; /* the latter two may be changed before it runs */
    GMutex lock;                              /* interrupt controller: guards what follows */
    uint64_t base;                            /* IA32_APIC_BASE */
    uint32_t id, ldr, dfr, svr, tpr, esr, esr_shadow;
    uint32_t irr[8], isr[8], tmr[8];
    uint32_t lvt[APIC_LVTS], icr_low, icr_high, initial_count, divide;
    uint64_t deadline;   /* IA32_TSC_DEADLINE */
    int64_t timer_start; /* virtual time when the count was written */
    Timer timer;
    bool intr; /* what the processor was told */
};

extern const DeviceType apic_hub_type, apic_type;

/* Machine lock held. NULL and *err on failure. */
Apic *apic_new(ApicHub *hub, uint32_t apic_id, const ApicCpuOps *ops, void *cpu, GError **err);

/* What the processor asks of its APIC: see X86LocalApic in target/x86/x86.h. */
int apic_acknowledge(void *apic);
uint8_t apic_get_tpr(void *apic);
void apic_set_tpr(void *apic, uint8_t value);
bool apic_read_msr(void *apic, uint32_t index, uint64_t *value);
bool apic_write_msr(void *apic, uint32_t index, uint64_t value);
void apic_init(void *apic);

/* ---- between apic.c and apic_hub.c ---- */
/* A vector comes in. */
void apic_accept(Apic *apic, uint8_t vector, bool level);
/* What the local input says now: LINT0 or LINT1; rises: it has gone up. */
void apic_local_input(Apic *apic, unsigned lvt, bool rises);
/* Priority that lowest-priority delivery compares; -1: it takes no interrupts. */
int apic_arbitration_priority(Apic *apic);
void apic_send(Apic *from, uint32_t icr_low, uint32_t dest);
void apic_send_error(Apic *apic); /* a vector that cannot be sent */
/* The processor's registers in memory. */
uint32_t apic_mmio_read(Apic *apic, unsigned offset);
void apic_mmio_write(Apic *apic, unsigned offset, uint32_t value);

/* ---- messages ---- */
void apic_deliver(ApicHub *hub, const ApicMessage *message);
/* An MSI write to 0xfee00000 + .... */
void apic_msi(ApicHub *hub, uint64_t address, uint32_t data);
/* LINT0 of all APICs, for the 8259's output. */
Irq apic_extint_input(ApicHub *hub);
/* SMI to the vCPU that this thread runs (else the bootstrap processor), or to all; NMI to LINT1 of all. For chip sets:
 * a rising level is the event. */
Irq apic_smi_input(ApicHub *hub);
Irq apic_smi_all_input(ApicHub *hub);
Irq apic_nmi_input(ApicHub *hub);

#endif
