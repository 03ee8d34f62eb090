/*
 * Accelerators: what runs vCPUs. tcg (JIT or interpreter), test (no CPU at all, virtual time moves by clock_step),
 * later kvm. A device knows none of this; an accelerator knows no device: guest accesses become as_load/as_store.
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include "util/options.h"

/* What a debugger stops a vCPU for; the order of the remote protocol's Z packets. */
typedef enum { DEBUG_SOFTWARE, DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS } DebugKind;
typedef struct DebugPoint {
    DebugKind kind;
    uint64_t address, length; /* virtual; of DEBUG_SOFTWARE and DEBUG_EXECUTE the length does not count */
} DebugPoint;
typedef struct DebugRequest {
    bool step; /* one instruction */
    const DebugPoint *points;
    unsigned count;
    /* On the vCPU's thread, which has VCPU_STOP and stops behind it. point: what was hit; NULL: the step is done. */
    void (*stopped)(Vcpu *vcpu, const DebugPoint *point, void *opaque);
    void *opaque;
} DebugRequest;

struct AccelType {
    const char *name, *desc;
    bool no_smm;                     /* system management mode cannot be emulated */
    bool manual_clock;               /* virtual time moves only by clock_step */
    const char *const *option_names; /* keys of -accel that it reads, ends with NULL */
    /* Can it be had here, for this guest (NULL: for any)? Else *err says why not, and what to do. NULL: it always can.
     */
    bool (*usable)(const char *target, GError **err);
    bool (*init)(Machine *machine, Opts *opts, GError **err); /* before any vCPU; opts may be NULL */
    void (*destroy)(Machine *machine);
    /* vCPU thread: the whole life of the thread is the accelerator's; it returns when the vCPU is told to exit. */
    bool (*vcpu_init)(Vcpu *vcpu, GError **err);
    void (*vcpu_destroy)(Vcpu *vcpu);
    void (*vcpu_run)(Vcpu *vcpu);  /* on its own thread, until VCPU_EXIT; NULL: no threads */
    void (*vcpu_kick)(Vcpu *vcpu); /* any thread: make it look at vcpu->requests soon */
    /* On the vCPU's thread, or while it is stopped: somebody is about to look at vcpu->state, and may change it: bring
     * it up to date. vcpu_was_reset: it has been made anew. NULL: it always is what counts. */
    void (*vcpu_read_state)(Vcpu *vcpu);
    void (*vcpu_was_reset)(Vcpu *vcpu);
    /* While the vCPU is stopped: what it is to stop for from now on, in place of what was asked before; NULL: nothing.
     * Breakpoints and debug exceptions of the guest's own stay the guest's. False: what cannot be had is in *err, and
     * nothing is asked. The requests of all vCPUs together make up the breakpoints in memory. NULL: not there. */
    bool (*vcpu_debug)(Vcpu *vcpu, const DebugRequest *request, GError **err);
    /* What CPUID may say of an x86 guest's processor: eax, ebx, ecx, edx. NULL: the target knows. */
    void (*cpuid)(Machine *machine, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /* RAM pages with RAM_CODE were written behind the vCPUs' back (DMA, loaders, the debugger). Any thread. */
    void (*ram_written)(Machine *machine, uint64_t ram_addr, uint64_t len);
    void (*info_jit)(Machine *machine, GString *out); /* info jit; NULL: not a JIT */
    void (*info_kvm)(Machine *machine, GString *out); /* info kvm, after its first line; NULL: not KVM */
};

/* Ends with NULL. */
const AccelType *const *accel_types(void);
const AccelType *accel_find(const char *name);

#endif
