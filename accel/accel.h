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
    /* What CPUID may say of an x86 guest's processor: eax, ebx, ecx, edx. NULL: the target knows. */
    void (*cpuid)(Machine *machine, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    /* RAM pages with RAM_CODE were written behind the vCPUs' back (DMA, loaders, the debugger). Any thread. */
    void (*ram_written)(Machine *machine, uint64_t ram_addr, uint64_t len);
    void (*info_jit)(Machine *machine, GString *out); /* info jit; NULL: not a JIT */
};

/* Ends with NULL. */
const AccelType *const *accel_types(void);
const AccelType *accel_find(const char *name);

#endif
