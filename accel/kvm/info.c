/*
 * KVM: what `info kvm` says: what each vCPU's KVM_RUN returned for, and how often (api.rst: exit_reason).
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include <inttypes.h>

static const char *const names[KVM_REASONS] = {
    [KVM_EXIT_IO] = "io",
    [KVM_EXIT_DEBUG] = "debug",
    [KVM_EXIT_HLT] = "hlt",
    [KVM_EXIT_MMIO] = "mmio",
    [KVM_EXIT_IRQ_WINDOW_OPEN] = "irq-window",
    [KVM_EXIT_SHUTDOWN] = "shutdown",
    [KVM_EXIT_FAIL_ENTRY] = "fail-entry",
    [KVM_EXIT_INTR] = "intr",
    [KVM_EXIT_SET_TPR] = "set-tpr",
    [KVM_EXIT_INTERNAL_ERROR] = "internal-error",
    [KVM_EXIT_SYSTEM_EVENT] = "system-event",
    [KVM_EXIT_IOAPIC_EOI] = "ioapic-eoi",
};

static void vcpu_info(const KvmVcpu *k, GString *out)
{
    uint64_t total = __atomic_load_n(&k->exits, __ATOMIC_RELAXED), others = 0, handled = 0;
    g_string_append_printf(out, "CPU #%u: exits=%" PRIu64, k->vcpu->index, total);
    for (unsigned i = 0; i < KVM_REASONS; i++) {
        uint64_t count = __atomic_load_n(&k->reasons[i], __ATOMIC_RELAXED);
        handled += count;
        if (!names[i])
            others += count;
        else if (count)
            g_string_append_printf(out, " %s=%" PRIu64, names[i], count);
    }
    if (others)
        g_string_append_printf(out, " other=%" PRIu64, others);
    if (total > handled) /* KVM_RUN failed, by EINTR mostly */
        g_string_append_printf(out, " kicked=%" PRIu64, total - handled);
    uint64_t emulated = __atomic_load_n(&k->emulated, __ATOMIC_RELAXED);
    if (emulated) /* of those exits: what the kernel could not emulate, and was done here */
        g_string_append_printf(out, " emulated=%" PRIu64, emulated);
    g_string_append_c(out, '\n');
}

void kvm_info(Machine *machine, GString *out)
{
    for (guint i = 0; i < machine->vcpus->len; i++)
        vcpu_info(kvm_vcpu(machine->vcpus->pdata[i]), out);
}
