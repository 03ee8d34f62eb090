/*
 * Local APIC of an x86 vCPU: ties target/x86/x86.h to hw/intc/apic.h.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INTC_APIC_X86_H
#define HW_INTC_APIC_X86_H

#include "hw/intc/apic.h"

typedef struct Vcpu Vcpu;

/* For each vCPU, in order of index, after vcpu_new: its APIC. x2APIC and TSC deadline as its CPUID says.
 * Machine lock held; NULL and *err on failure. */
Apic *apic_x86_new(ApicHub *hub, Vcpu *vcpu, GError **err);

#endif
