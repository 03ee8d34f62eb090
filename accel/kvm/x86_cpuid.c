/*
 * KVM: what CPUID answers: what the model says, of what the kernel offers (api.rst: KVM_GET_SUPPORTED_CPUID,
 * KVM_SET_CPUID2; Documentation/virt/kvm/x86/cpuid.rst for leaves 0x40000000).
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum { MOST_ENTRIES = 128, MOST_SUBLEAVES = 64 };
#define HYPERVISOR_LEAF 0x40000000u
#define EXTENDED_LEAF   0x80000000u

/* What needs the kernel's local APIC, and is not in its list, or is without one. */
static void mend_features(const KvmState *kvm, uint32_t *ecx)
{
    enum { X2APIC = 1 << 21, TSC_DEADLINE = 1 << 24 };
    *ecx &= ~(uint32_t)(X2APIC | TSC_DEADLINE);
    if (!kvm->machine->irqchip)
        return;
    *ecx |= X2APIC;
    if (kvm->has_tsc_deadline)
        *ecx |= TSC_DEADLINE;
}

void kvm_supported_cpuid(const KvmState *kvm, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    for (unsigned i = 0; i < kvm->supported->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &kvm->supported->entries[i];
        bool indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (e->function == leaf && (!indexed || e->index == subleaf)) {
            memcpy(out, (const uint32_t[]){ e->eax, e->ebx, e->ecx, e->edx }, 16);
            if (leaf == 1)
                mend_features(kvm, &out[2]);
            return;
        }
    }
}

/* ---- the table for KVM ---- */

typedef struct Table {
    struct kvm_cpuid2 *list;
    const CpuState *cs;
} Table;

/* False: it says nothing. */
static bool put_entry(Table *t, uint32_t leaf, uint32_t subleaf, bool indexed)
{
    uint32_t out[4];
    x86_cpuid(t->cs, leaf, subleaf, out);
    if (t->list->nent == MOST_ENTRIES)
        return false;
    t->list->entries[t->list->nent++] =
        (struct kvm_cpuid_entry2){ .function = leaf,
                                   .index = subleaf,
                                   .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                   .eax = out[0],
                                   .ebx = out[1],
                                   .ecx = out[2],
                                   .edx = out[3] };
    return out[0] || out[1] || out[2] || out[3];
}

static void put_leaf(Table *t, uint32_t leaf)
{
    unsigned subleaf = 0;
    switch (leaf) {
    case 4: /* until a cache of no type */
    case 0x8000001d:
        do {
            put_entry(t, leaf, subleaf, true);
        } while (t->list->entries[t->list->nent - 1].eax & 31 && ++subleaf < MOST_SUBLEAVES);
        break;
    case 0xb:
    case 0x1f:
        for (; subleaf < 3; subleaf++)
            put_entry(t, leaf, subleaf, true);
        break;
    case 0xd:
        for (; subleaf < MOST_SUBLEAVES; subleaf++) {
            if (!put_entry(t, leaf, subleaf, true) && subleaf > 1)
                t->list->nent--;
        }
        break;
    case 7:
        put_entry(t, leaf, 0, true);
        break;
    default:
        put_entry(t, leaf, 0, false);
    }
}

static void put_leaves(Table *t, uint32_t first)
{
    uint32_t out[4];
    x86_cpuid(t->cs, first, 0, out);
    for (uint32_t leaf = first; leaf <= out[0] && t->list->nent < MOST_ENTRIES; leaf++)
        put_leaf(t, leaf);
}

/* The kernel's own leaves: its signature, its clock and other services. */
static void put_kvm_leaves(Table *t, const KvmState *kvm)
{
    const X86State *s = (const X86State *)t->cs;
    for (uint32_t leaf = HYPERVISOR_LEAF; !s->hides_kvm && leaf <= HYPERVISOR_LEAF + 1 && t->list->nent < MOST_ENTRIES;
         leaf++) {
        uint32_t out[4];
        kvm_supported_cpuid(kvm, leaf, 0, out);
        if (leaf == HYPERVISOR_LEAF)
            out[0] = HYPERVISOR_LEAF + 1;
        else
            out[0] = s->cpuid_features[X86_WORD_KVM];
        t->list->entries[t->list->nent++] =
            (struct kvm_cpuid_entry2){ .function = leaf, .eax = out[0], .ebx = out[1], .ecx = out[2], .edx = out[3] };
    }
}

bool kvm_set_cpuid(KvmVcpu *k, GError **err)
{
    g_autofree struct kvm_cpuid2 *list =
        g_malloc0(sizeof(struct kvm_cpuid2) + MOST_ENTRIES * sizeof(struct kvm_cpuid_entry2));
    Table t = { .list = list, .cs = k->vcpu->state };
    put_leaves(&t, 0);
    put_kvm_leaves(&t, k->kvm);
    put_leaves(&t, EXTENDED_LEAF);
    if (ioctl(k->fd, KVM_SET_CPUID2, list) < 0)
        return error_set_errno(err, errno, "KVM: the kernel does not take this processor's CPUID");
    return true;
}
