/*
 * KVM: vCPUs that the host's processor runs (Linux, Documentation/virt/kvm/api.rst; <linux/kvm.h>).
 *
 * kvm.c opens /dev/kvm and makes the VM; slots.c gives it memory; run.c is a vCPU's thread: what KVM_RUN returns with,
 * and kicks; x86_state.c carries registers between KVM and X86State, x86_cpuid.c says what CPUID answers.
 *
 * A vCPU's registers live in the kernel while it runs. They are fetched into vcpu->state when somebody wants to look
 * (accel->vcpu_read_state), and go back before the next KVM_RUN.
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_KVM_KVM_H
#define ACCEL_KVM_KVM_H

#include "accel/accel.h"
#include "accel/tcg/step.h"
#include "hw/intc/irqchip.h"
#include <linux/kvm.h>
#include <pthread.h>

enum { KVM_SPACE_MEMORY, KVM_SPACE_IO, KVM_SPACES };
enum { KVM_REASONS = 40 }; /* the last stands for all above it, too */

typedef struct KvmSpace {
    MemListener listener;
    AddressSpace *as;
    uint32_t version; /* atomic: its view has changed so often */
} KvmSpace;

typedef struct KvmSlot {
    uint64_t base, size; /* size 0: free */
    uint8_t *host;
    MemRegion *region;
    bool readonly, logged;
} KvmSlot;

typedef struct KvmVcpu KvmVcpu;

typedef struct KvmState {
    Machine *machine;
    int fd, vm;
    size_t run_bytes;
    KvmSpace spaces[KVM_SPACES];
    GArray *slots; /* KvmSlot, by KVM's number */
    unsigned most_slots;
    GArray *gone, *come; /* KvmSlot: of the change under way */
    GArray *events;      /* what the kernel was told (eventfd.c) */
    bool has_events, any_length;
    GArray *zones;                        /* coalesced.c: machine lock held, but for ring */
    struct kvm_coalesced_mmio_ring *ring; /* atomic; in ring_owner's run; NULL: none */
    const KvmVcpu *ring_owner;
    unsigned ring_page, ring_entries; /* ring_page 0: the kernel has none */
    bool ring_ports, emptying;
    GMutex lock; /* leaf: guards the members below */
    GCond resumed;
    uint32_t held; /* atomic: no vCPU may enter KVM_RUN; changed under the lock */
    struct kvm_cpuid2 *supported;
    struct kvm_msr_list *msrs;
    bool has_tsc_deadline;
    size_t xsave_bytes;
    bool has_sregs2;
    struct kvm_clock_data clock; /* of guests: as it was when the machine stopped */
    struct kvm_pit_state2 pit;   /* likewise, if there is one */
    bool clock_stopped;
    GArray *breakpoints;            /* of debug.c; or NULL */
    Irqchip irqchip;                /* if machine->irqchip is set */
    struct kvm_irq_routing *routes; /* of routes.c; under lock */
    unsigned most_routes, pin_routes;
    GPtrArray *messages; /* IrqMessage * or NULL, by number; under lock */
    struct kvm_irqchip reset_chips[3];
    struct kvm_pit_state2 reset_pit;
} KvmState;

/* What the kernel gave when the state was fetched. What X86State has no member for goes back as it came; so does what
 * X86State says in fewer words than the kernel, where it has not changed since. */
typedef struct KvmRest {
    union {
        struct kvm_sregs special; /* with interrupt_bitmap: injected and not delivered */
        struct kvm_sregs2 special2;
    };
    struct kvm_vcpu_events events;
    struct kvm_mp_state mp_state;
    struct kvm_lapic_state lapic;
    struct kvm_debugregs debug;
} KvmRest;

/* What kvm_put_state writes. */
typedef enum {
    KVM_PUT_CHANGES, /* what X86State may say differently now. Interrupts, start-ups and clocks that have come or gone
                        on since, from other threads, stay as the kernel has them */
    KVM_PUT_RESET,   /* X86State, and all else as at power-up */
    KVM_PUT_ALL,     /* all as it was fetched, clocks too */
} KvmPut;

typedef struct KvmDebug {
    DebugRequest request; /* points: a copy */
    uint8_t slot[4];      /* of its points: what debug register n is for */
    unsigned used;        /* debug registers */
    uint64_t dr7;
    uint32_t control; /* KVM_GUESTDBG_*; 0: nothing is asked */
} KvmDebug;

struct KvmVcpu {
    AccelCpu common;
    Vcpu *vcpu;
    KvmState *kvm;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    uint32_t running; /* atomic: it is in KVM_RUN, or about to be */
    bool state_here;  /* vcpu->state holds the registers, not the kernel */
    bool was_reset;   /* those too that only a reset changes */
    bool started;     /* it has been in KVM_RUN */
    bool broken;      /* nothing goes on until a reset */
    bool has_xsave;   /* of the model */
    bool unfinished;  /* the device access that KVM_RUN left with is not over for KVM */
    FlatView *views[KVM_SPACES];
    uint32_t seen[KVM_SPACES];
    const FlatRange *last_range[KVM_SPACES]; /* of its view: what it found last, or NULL */
    KvmRest rest;
    struct kvm_msrs *msrs, *reset_msrs; /* as last seen; at power-up */
    uint8_t *xsave, *xsave_given;       /* KVM's area, as fetched; what X86State said then, in the same places */
    KvmDebug debug;
    /* Atomic, written by its thread alone: KVM_RUN has returned so often; without error, by exit_reason; instructions
     * and events that the kernel could not emulate */
    uint64_t exits, reasons[KVM_REASONS], emulated;
    TcgCpu *interpreter; /* executes those; NULL: there was none */
    unsigned given;      /* one more than the vector that KVM was given since KVM_RUN has last returned; 0: none */
};

static inline KvmVcpu *kvm_vcpu(Vcpu *vcpu)
{
    return vcpu->accel;
}

/* ---- slots.c ---- */
bool kvm_slots_init(KvmState *kvm, GError **err);
void kvm_slots_free(KvmState *kvm);
/* The range of a space that holds addr, or NULL. On the vCPU's thread; valid until the next call. */
const FlatRange *kvm_find(KvmVcpu *k, unsigned space, uint64_t addr);

/* ---- eventfd.c: machine lock held ---- */
void kvm_events_init(KvmState *kvm);
void kvm_events_free(KvmState *kvm);
/* What of this space's view has events is told to the kernel. */
void kvm_events_update(KvmState *kvm, unsigned space, const FlatView *view);
void kvm_event_removed(KvmState *kvm, const MemEvent *event);

/* ---- coalesced.c: machine lock held, but for any ---- */
void kvm_coalesced_init(KvmState *kvm);
void kvm_coalesced_free(KvmState *kvm);
/* The first one's run has the ring. */
void kvm_coalesced_vcpu(KvmVcpu *k);
void kvm_coalesced_vcpu_gone(const KvmVcpu *k);
void kvm_coalesced_update(KvmState *kvm, unsigned space, const FlatView *view);
/* Is there something in the ring? Any thread. */
bool kvm_coalesced_any(const KvmState *kvm);
/* Do it. */
void kvm_coalesced_done(KvmState *kvm);

/* ---- run.c ---- */
void kvm_vcpu_run(Vcpu *vcpu);
void kvm_vcpu_kick(Vcpu *vcpu);
/* No vCPU is in KVM_RUN between these. Machine lock held. */
void kvm_hold(KvmState *kvm);
void kvm_resume(KvmState *kvm);
void kvm_signals_init(void);
/* kvm_get_state, after what KVM_RUN has begun is over. */
bool kvm_fetch_state(KvmVcpu *k, GError **err);

/* ---- routes.c ---- */
bool kvm_routes_init(KvmState *kvm, GError **err);
void kvm_routes_free(KvmState *kvm);
/* One more route of a pin: before the machine runs. */
void kvm_route_pin(KvmState *kvm, const struct kvm_irq_routing_entry *entry);
/* Tell the kernel. kvm->lock held. */
bool kvm_routes_commit(KvmState *kvm);
IrqMessage *kvm_message_new(Machine *machine);
bool kvm_message_set(IrqMessage *message, uint64_t address, uint32_t data);
void kvm_message_send(IrqMessage *message);
void kvm_message_free(IrqMessage *message);

/* ---- irqchip.c ---- */
typedef enum {
    KVM_IRQCHIP_WHOLE,
    KVM_IRQCHIP_SPLIT,
    KVM_IRQCHIP_NONE
} KvmIrqchipMode; /* kernel-irqchip=on|split|off */
bool kvm_irqchip_init(KvmState *kvm, KvmIrqchipMode mode, GError **err);
/* k->rest.lapic as after a reset. */
void kvm_reset_lapic(KvmVcpu *k, uint32_t id, bool bootstrap);

/* ---- x86_state.c ---- */
/* Of the VM, before there is any vCPU: events are told apart as finely as the kernel can. */
void kvm_state_init_vm(KvmState *kvm);
bool kvm_state_init(KvmVcpu *k, GError **err);
void kvm_state_free(KvmVcpu *k);
/* While the vCPU is not in KVM_RUN. False: what the kernel refused is in *err. */
bool kvm_get_state(KvmVcpu *k, GError **err);
bool kvm_put_state(KvmVcpu *k, KvmPut what, GError **err);
/* A part of it, in a fraction of the time: no x87, vectors, MSRs and local APIC; the changes of that part. */
bool kvm_get_core(KvmVcpu *k, GError **err);
bool kvm_put_core(KvmVcpu *k, GError **err);
/* INIT: nothing is pending or injected any more. The state is here. */
void kvm_forget_events(KvmVcpu *k);

/* ---- x86_msrs.c ---- */
bool kvm_msrs_init(KvmVcpu *k, GError **err);
bool kvm_get_msrs(KvmVcpu *k, GError **err);
bool kvm_put_msrs(KvmVcpu *k, KvmPut what, GError **err);
/* Behind the local APIC, whose timer it is. */
bool kvm_put_deadline(KvmVcpu *k, KvmPut what, GError **err);

/* ---- debug.c ---- */
bool kvm_vcpu_debug(Vcpu *vcpu, const DebugRequest *request, GError **err);
/* KVM_RUN has returned for a breakpoint or a debug exception. False: the guest's own could not be given to it. */
bool kvm_debug_exit(KvmVcpu *k, GError **err);
/* An instruction was executed outside of KVM_RUN, which accessed that point (or NULL): a debugger may have asked. */
void kvm_debug_stepped(KvmVcpu *k, const DebugPoint *hit);

/* ---- emulate.c ---- */
/* KVM_RUN has returned for an instruction that the kernel cannot emulate: do it here. False: why not is in *err. */
bool kvm_emulate(KvmVcpu *k, GError **err);
/* KVM_RUN has shut the guest down: was it while an interrupt or an exception was on its way, which arrives all the same
 * when it is delivered here? False: it is a triple fault, or unknown. */
bool kvm_deliver_again(KvmVcpu *k);

/* ---- clock.c ---- */
/* The guests' clock and the kernel's 8254 stand still while the machine is stopped. */
void kvm_clock_init(KvmState *kvm);

/* ---- info.c ---- */
/* Of info kvm: a line for each vCPU. Any thread. */
void kvm_info(Machine *machine, GString *out);

/* ---- x86_cpuid.c ---- */
/* What CPUID may say under KVM: out: eax, ebx, ecx, edx; zeros where it says nothing. */
void kvm_supported_cpuid(const KvmState *kvm, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
bool kvm_set_cpuid(KvmVcpu *k, GError **err);

#endif
