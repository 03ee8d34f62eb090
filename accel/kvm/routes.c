/*
 * KVM: the table of interrupt routes (api.rst: KVM_SET_GSI_ROUTING, KVM_IRQFD), of which there is one: first the
 * controllers' pins (irqchip.c), then messages that writes to an eventfd send.
 *
 * Messages of devices in this process could as well go by KVM_SIGNAL_MSI, which takes 0.3 us as the write does; the
 * eventfd is what a thread can be given that knows no device.
 *
 * Level-triggered lines are set by KVM_IRQ_LINE, not by resampling eventfds. Each interrupt of a virtio device costs
 * two requests (0.6 us together: up by the device, down by the guest's read of the ISR register, which leaves the guest
 * anyway). With an eventfd it were one write (0.3 us), and at its end a thread's wake-up (2 us) that asks all devices
 * of the line whether it is still up. Lines are shared, and the guest moves them between pins (PIRQ registers), where
 * an eventfd would be taken off and put on again (15 to 160 us).
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "hw/intc/gsi.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct IrqMessage {
    KvmState *kvm;
    unsigned gsi;
    int fd;
    bool routed; /* it has been given a message */
    struct kvm_irq_routing_entry entry;
};

bool kvm_routes_init(KvmState *kvm, GError **err)
{
    int most = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
    if (most < 2 * GSI_COUNT)
        return error_set(err, "KVM: the kernel has no table of interrupt routes");
    kvm->most_routes = (unsigned)most;
    kvm->routes = g_malloc0(sizeof(struct kvm_irq_routing) + kvm->most_routes * sizeof(struct kvm_irq_routing_entry));
    kvm->messages = g_ptr_array_new();
    return true;
}

void kvm_routes_free(KvmState *kvm)
{
    g_free(kvm->routes);
    if (kvm->messages)
        g_ptr_array_free(kvm->messages, TRUE);
}

void kvm_route_pin(KvmState *kvm, const struct kvm_irq_routing_entry *entry)
{
    g_assert(kvm->pin_routes < 2 * GSI_COUNT);
    kvm->routes->entries[kvm->pin_routes++] = *entry;
}

/* Under the lock. */
bool kvm_routes_commit(KvmState *kvm)
{
    unsigned n = kvm->pin_routes;
    for (guint i = 0; i < kvm->messages->len && n < kvm->most_routes; i++) {
        const IrqMessage *m = kvm->messages->pdata[i];
        if (m && m->routed)
            kvm->routes->entries[n++] = m->entry;
    }
    kvm->routes->nr = n;
    return ioctl(kvm->vm, KVM_SET_GSI_ROUTING, kvm->routes) >= 0;
}

/* ---- messages ---- */

static bool connect(const IrqMessage *m, bool on)
{
    struct kvm_irqfd irqfd = { .fd = (__u32)m->fd, .gsi = m->gsi, .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN };
    return ioctl(m->kvm->vm, KVM_IRQFD, &irqfd) >= 0;
}

/* A number for it: the place in messages, behind the pins. Under the lock. */
static bool take_number(KvmState *kvm, IrqMessage *m)
{
    guint i = 0;
    while (i < kvm->messages->len && kvm->messages->pdata[i])
        i++;
    if (2 * GSI_COUNT + i >= kvm->most_routes)
        return false;
    if (i == kvm->messages->len)
        g_ptr_array_add(kvm->messages, NULL);
    kvm->messages->pdata[i] = m;
    m->gsi = GSI_COUNT + i;
    return true;
}

IrqMessage *kvm_message_new(Machine *machine)
{
    KvmState *kvm = machine->accel_state;
    IrqMessage *m = g_new0(IrqMessage, 1);
    m->kvm = kvm;
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g_mutex_lock(&kvm->lock);
    bool numbered = m->fd >= 0 && take_number(kvm, m);
    g_mutex_unlock(&kvm->lock);
    if (numbered)
        return m;
    if (m->fd >= 0)
        close(m->fd);
    g_free(m);
    return NULL;
}

bool kvm_message_set(IrqMessage *m, uint64_t address, uint32_t data)
{
    KvmState *kvm = m->kvm;
    g_mutex_lock(&kvm->lock);
    bool first = !m->routed;
    m->routed = true;
    m->entry = (struct kvm_irq_routing_entry){
        .gsi = m->gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = { .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data }
    };
    bool ok = kvm_routes_commit(kvm) && (!first || connect(m, true));
    if (!ok && first)
        m->routed = false;
    g_mutex_unlock(&kvm->lock);
    return ok;
}

void kvm_message_send(IrqMessage *m)
{
    const uint64_t one = 1;
    if (write(m->fd, &one, sizeof(one)) < 0)
        g_warning("eventfd: %s", g_strerror(errno));
}

void kvm_message_free(IrqMessage *m)
{
    KvmState *kvm = m->kvm;
    g_mutex_lock(&kvm->lock);
    if (m->routed)
        connect(m, false);
    kvm->messages->pdata[m->gsi - GSI_COUNT] = NULL;
    kvm_routes_commit(kvm);
    g_mutex_unlock(&kvm->lock);
    close(m->fd);
    g_free(m);
}
