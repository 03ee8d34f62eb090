/*
 * KVM: clocks that the kernel keeps for the guest stand still while the machine is stopped (api.rst: KVM_GET_CLOCK,
 * KVM_SET_CLOCK, KVM_KVMCLOCK_CTRL, KVM_GET_PIT2, KVM_SET_PIT2).
 *
 * A guest that reads kvmclock does not see the pause; that it was paused it is told (KVM_KVMCLOCK_CTRL), for its
 * watchdogs. Ticks that the kernel's 8254 has gathered are dropped, and its counts begin anew. The TSC and the local
 * APICs' timers run on, as they do on a processor that its firmware holds for a while.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include <errno.h>
#include <sys/ioctl.h>

static void clock_stop(KvmState *kvm)
{
    kvm->clock_stopped = ioctl(kvm->vm, KVM_GET_CLOCK, &kvm->clock) == 0;
    if (kvm->irqchip.has_chips)
        ioctl(kvm->vm, KVM_GET_PIT2, &kvm->pit);
}

static void clock_start(KvmState *kvm)
{
    if (!kvm->clock_stopped)
        return;
    kvm->clock_stopped = false;
    kvm->clock.flags = 0; /* as it was, not as it would be by the host's time now */
    if (ioctl(kvm->vm, KVM_SET_CLOCK, &kvm->clock) < 0)
        g_printerr("rhea: KVM: cannot set the guest's clock: %s\n", g_strerror(errno));
    if (kvm->irqchip.has_chips)
        ioctl(kvm->vm, KVM_SET_PIT2, &kvm->pit);
    for (guint i = 0; i < kvm->machine->vcpus->len; i++) /* an error where the guest does not use that clock */
        ioctl(kvm_vcpu(kvm->machine->vcpus->pdata[i])->fd, KVM_KVMCLOCK_CTRL, 0);
}

static void state_changed(void *opaque, Machine *machine)
{
    if (machine->state == RUN_RUNNING)
        clock_start(opaque);
    else
        clock_stop(opaque);
}

/* The 8254 that was kept is not what it is after a reset. */
static void reset(void *opaque, Machine *machine)
{
    KvmState *kvm = opaque;
    kvm->pit = kvm->reset_pit;
}

void kvm_clock_init(KvmState *kvm)
{
    machine_add_state_hook(kvm->machine, state_changed, kvm);
    machine_add_reset_hook(kvm->machine, reset, kvm);
}
