/*
 * A machine with memory and one x86_64 vCPU of KVM's, and nothing else, whose thread the tests leave asleep: they set
 * registers and enter the guest themselves.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_KVM_BARE_KVM_H
#define TESTS_KVM_BARE_KVM_H

#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "target/x86/cpu.h"

typedef struct BareKvm {
    Machine *machine;
    MemRegion ram; /* from address 0 on */
    Vcpu *vcpu;
    KvmVcpu *k;
    X86State *s;
    uint8_t *host; /* the memory */
} BareKvm;

/* The exit status of a test that was skipped, after saying why; 0: KVM can be had. */
int bare_kvm_missing(void);
/* options: of -accel kvm, or NULL; model: as in -cpu. An error ends the process. */
BareKvm *bare_kvm_new(const char *options, const char *model, uint64_t ram_bytes);
void bare_kvm_free(BareKvm *b);
/* CPUID with XSAVE and AVX if the kernel keeps such state, even if it does not offer them to guests: a level 3 program
 * may find them all the same where the processor runs it. False: there is no such state. */
bool bare_kvm_add_avx(BareKvm *b);

#endif
