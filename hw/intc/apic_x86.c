/*
 * Local APIC of an x86 vCPU (see apic_x86.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/apic_x86.h"
#include "accel/vcpu.h"
#include "target/x86/x86.h"

enum { CPUID_FEATURES = 1, ECX_X2APIC = 1 << 21, ECX_TSC_DEADLINE = 1 << 24 };

static void set_intr(void *cpu, bool level)
{
    x86_set_intr(cpu, level);
}

static void nmi(void *cpu)
{
    x86_pulse(cpu, X86_NMI);
}

static void smi(void *cpu)
{
    x86_pulse(cpu, X86_SMI);
}

static void init(void *cpu)
{
    x86_pulse(cpu, X86_INIT);
}

static void start_up(void *cpu, uint8_t vector)
{
    x86_start_up(cpu, vector);
}

static uint64_t tsc(void *cpu)
{
    return x86_tsc(cpu);
}

static uint64_t tsc_frequency(void *cpu)
{
    return x86_tsc_frequency(cpu);
}

static const ApicCpuOps cpu_ops = { set_intr, nmi, smi, init, start_up, tsc, tsc_frequency };
static const X86LocalApic apic_ops = { .acknowledge = apic_acknowledge,
                                       .get_tpr = apic_get_tpr,
                                       .set_tpr = apic_set_tpr,
                                       .read_msr = apic_read_msr,
                                       .write_msr = apic_write_msr,
                                       .init = apic_init };

Apic *apic_x86_new(ApicHub *hub, Vcpu *vcpu, GError **err)
{
    uint32_t cpuid[4];
    Apic *apic = apic_new(hub, x86_apic_id(vcpu->state), &cpu_ops, vcpu->state, err);
    if (!apic)
        return NULL;
    x86_set_bootstrap(vcpu->state, apic->bootstrap);
    x86_cpuid(vcpu->state, CPUID_FEATURES, 0, cpuid);
    apic->has_x2apic = cpuid[2] & ECX_X2APIC;
    apic->has_deadline = cpuid[2] & ECX_TSC_DEADLINE;
    x86_set_local_apic(vcpu->state, &apic_ops, apic);
    return apic;
}
