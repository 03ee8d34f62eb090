/*
 * KVM: interrupt controllers in the kernel (api.rst: KVM_CREATE_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP, KVM_CREATE_PIT2,
 * KVM_IRQ_LINE, KVM_SIGNAL_MSI, KVM_SET_GSI_ROUTING; hw/intc/irqchip.h).
 *
 * kernel-irqchip=on: local APICs, 8259 pair, I/O APIC and 8254. split: local APICs; the I/O APIC here leaves its
 * redirection table as routes, from which the kernel learns whose ends of interrupt are to be told.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "hw/intc/apic.h"
#include "hw/intc/gsi.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum { CHIPS = 3 }; /* master, slave, I/O APIC */

static KvmState *of(Machine *machine)
{
    return machine->accel_state;
}

/* ---- lines and messages ---- */

static void set_gsi(Machine *machine, unsigned gsi, bool level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };
    ioctl(of(machine)->vm, KVM_IRQ_LINE, &line);
}

static void message(Machine *machine, uint64_t address, uint32_t data)
{
    struct kvm_msi msi = { .address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data };
    ioctl(of(machine)->vm, KVM_SIGNAL_MSI, &msi);
}

static void pit_disable(Machine *machine, bool off)
{
    struct kvm_pit_state2 pit;
    if (ioctl(of(machine)->vm, KVM_GET_PIT2, &pit) < 0)
        return;
    pit.flags = off ? pit.flags | KVM_PIT_FLAGS_HPET_LEGACY : pit.flags & ~(__u32)KVM_PIT_FLAGS_HPET_LEGACY;
    ioctl(of(machine)->vm, KVM_SET_PIT2, &pit);
}

static void set_route(Machine *machine, unsigned pin, uint64_t address, uint32_t data)
{
    KvmState *kvm = of(machine);
    g_mutex_lock(&kvm->lock);
    struct kvm_irq_routing *routes = kvm->routes;
    routes->entries[pin].u.msi = (struct kvm_irq_routing_msi){ .address_lo = (uint32_t)address,
                                                               .address_hi = (uint32_t)(address >> 32),
                                                               .data = data };
    kvm_routes_commit(kvm);
    g_mutex_unlock(&kvm->lock);
}

/* ---- what people see ---- */

static void describe_chip(const struct kvm_pic_state *p, const char *name, GString *out)
{
    g_string_append_printf(out, "%s: irr=%02x imr=%02x isr=%02x base=%02x elcr=%02x (in the kernel)\n", name, p->irr,
                           p->imr, p->isr, p->irq_base, p->elcr);
}

static void describe(Machine *machine, GString *out)
{
    static const char *const names[] = { "pic0", "pic1" };
    KvmState *kvm = of(machine);
    struct kvm_irqchip chip;
    for (unsigned i = 0; i < CHIPS && kvm->irqchip.has_chips; i++) {
        chip.chip_id = i;
        if (ioctl(kvm->vm, KVM_GET_IRQCHIP, &chip) < 0)
            continue;
        if (i < 2) {
            describe_chip(&chip.chip.pic, names[i], out);
            continue;
        }
        for (unsigned pin = 0; pin < GSI_COUNT; pin++) {
            uint64_t entry = chip.chip.ioapic.redirtbl[pin].bits;
            if (!(entry >> 16 & 1))
                g_string_append_printf(out, "ioapic pin %u: %s vector 0x%02x to 0x%02x (in the kernel)\n", pin,
                                       entry >> 15 & 1 ? "level" : "edge", (unsigned)(entry & 0xff),
                                       (unsigned)(entry >> 56));
        }
    }
}

/* ---- making them ---- */

static bool create_split(KvmState *kvm, GError **err)
{
    struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { GSI_COUNT } };
    if (ioctl(kvm->vm, KVM_ENABLE_CAP, &split) < 0)
        return error_set_errno(err, errno, "KVM: kernel-irqchip=split");
    for (unsigned n = 0; n < GSI_COUNT; n++)
        kvm_route_pin(kvm, &(struct kvm_irq_routing_entry){ .gsi = n, .type = KVM_IRQ_ROUTING_MSI });
    kvm->irqchip = (Irqchip){ .message = message, .set_route = set_route, .describe = describe };
    return true;
}

/* Lines 0 to 15 lead to the 8259 pair and the I/O APIC (line 0: its pin 2), the others to that only. Of two lines that
 * lead to one pin (2 is the HPET's), the kernel tells the later about ends of interrupt and unmasking: that must be 0,
 * as its 8254 sends no further tick until it hears of one. So the highest come first. */
static bool set_default_routes(KvmState *kvm, GError **err)
{
    enum { PIC_PINS = 8 };
    for (unsigned n = 0; n < 16; n++) {
        unsigned chip = n < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
        if (n != 2)
            kvm_route_pin(kvm,
                          &(struct kvm_irq_routing_entry){ .gsi = n,
                                                           .type = KVM_IRQ_ROUTING_IRQCHIP,
                                                           .u.irqchip = { .irqchip = chip, .pin = n % PIC_PINS } });
    }
    for (unsigned n = GSI_COUNT; n-- > 0;)
        kvm_route_pin(
            kvm, &(struct kvm_irq_routing_entry){ .gsi = n,
                                                  .type = KVM_IRQ_ROUTING_IRQCHIP,
                                                  .u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = n ? n : 2 } });
    return kvm_routes_commit(kvm) || error_set_errno(err, errno, "KVM: interrupt routes");
}

/* As at power-up: taken when they were made, given back at each reset. */
static void reset(void *opaque, Machine *machine)
{
    KvmState *kvm = opaque;
    for (unsigned i = 0; i < CHIPS; i++) {
        struct kvm_irqchip chip = kvm->reset_chips[i];
        if (ioctl(kvm->vm, KVM_SET_IRQCHIP, &chip) < 0)
            g_printerr("rhea: KVM: cannot reset interrupt controller %u: %s\n", i, g_strerror(errno));
    }
    struct kvm_pit_state2 pit = kvm->reset_pit;
    if (ioctl(kvm->vm, KVM_SET_PIT2, &pit) < 0)
        g_printerr("rhea: KVM: cannot reset the 8254: %s\n", g_strerror(errno));
}

static bool create_all(KvmState *kvm, GError **err)
{
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    if (ioctl(kvm->vm, KVM_CREATE_IRQCHIP, 0) < 0)
        return error_set_errno(err, errno, "KVM: kernel-irqchip=on");
    if (ioctl(kvm->vm, KVM_CREATE_PIT2, &pit) < 0)
        return error_set_errno(err, errno, "KVM: the kernel's 8254");
    for (unsigned i = 0; i < CHIPS; i++) {
        kvm->reset_chips[i].chip_id = i;
        if (ioctl(kvm->vm, KVM_GET_IRQCHIP, &kvm->reset_chips[i]) < 0)
            return error_set_errno(err, errno, "KVM: the state of interrupt controller %u", i);
    }
    if (ioctl(kvm->vm, KVM_GET_PIT2, &kvm->reset_pit) < 0)
        return error_set_errno(err, errno, "KVM: the state of the 8254");
    kvm->irqchip = (Irqchip){
        .has_chips = true, .set_gsi = set_gsi, .pit_disable = pit_disable, .message = message, .describe = describe
    };
    machine_add_reset_hook(kvm->machine, reset, kvm);
    return set_default_routes(kvm, err);
}

/* Destinations of more than eight bits. Without it such a message goes astray: no machine here has so many. */
static void enable_x2apic(KvmState *kvm)
{
    struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API,
                                  .args = { KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK } };
    ioctl(kvm->vm, KVM_ENABLE_CAP, &cap);
}

bool kvm_irqchip_init(KvmState *kvm, KvmIrqchipMode mode, GError **err)
{
    if (mode == KVM_IRQCHIP_NONE)
        return true;
    if (!kvm_routes_init(kvm, err))
        return false;
    if (!(mode == KVM_IRQCHIP_WHOLE ? create_all(kvm, err) : create_split(kvm, err)))
        return false;
    enable_x2apic(kvm);
    if (ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD) > 0) {
        kvm->irqchip.message_new = kvm_message_new;
        kvm->irqchip.message_set = kvm_message_set;
        kvm->irqchip.message_send = kvm_message_send;
        kvm->irqchip.message_free = kvm_message_free;
    }
    kvm->machine->irqchip = &kvm->irqchip;
    return true;
}

/* ---- a local APIC's registers ---- */

enum {
    LAPIC_ID = 0x20,
    LAPIC_DFR = 0xe0,
    LAPIC_SVR = 0xf0,
    LAPIC_LVT_FIRST = 0x320,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_LVT_LAST = 0x370,
    LAPIC_LVT_CMCI = 0x2f0,
    LAPIC_VERSION = 0x30
};

static void put_register(struct kvm_lapic_state *a, unsigned at, uint32_t value)
{
    memcpy(&a->regs[at], &value, 4);
}

void kvm_reset_lapic(KvmVcpu *k, uint32_t id, bool bootstrap)
{
    enum { MASKED = 0x10000, EXTINT = 0x700 };
    struct kvm_lapic_state *a = &k->rest.lapic;
    uint32_t version;
    memcpy(&version, &a->regs[LAPIC_VERSION], 4); /* the kernel's */
    memset(a, 0, sizeof(*a));
    put_register(a, LAPIC_VERSION, version);
    put_register(a, LAPIC_ID, id << 24);
    put_register(a, LAPIC_DFR, UINT32_MAX);
    put_register(a, LAPIC_SVR, 0xff);
    put_register(a, LAPIC_LVT_CMCI, MASKED);
    for (unsigned at = LAPIC_LVT_FIRST; at <= LAPIC_LVT_LAST; at += 0x10)
        put_register(a, at, MASKED);
    if (bootstrap) /* as firmware leaves it, for guests that know the 8259 only */
        put_register(a, LAPIC_LVT_LINT0, EXTINT);
}
