/*
 * What CPUID says under KVM: of each model what the kernel offers and nothing else, and of KVM itself what -cpu says.
 * SPDX-License-Identifier: MIT
 */
#include "bare_kvm.h"
#include <string.h>
#include <sys/ioctl.h>

enum { RAM_BYTES = 1 << 20, MOST = 256 };
#define KVM_LEAF 0x40000000u

static struct kvm_cpuid2 *list;

static const struct kvm_cpuid_entry2 *leaf(uint32_t number)
{
    for (unsigned i = 0; i < list->nent; i++) {
        if (list->entries[i].function == number && !list->entries[i].index)
            return &list->entries[i];
    }
    return NULL;
}

/* What some kernels add of their own: where level 3 sees the host's processor. */
static struct kvm_cpuid_entry2 added_1, added_7;

static void find_added(BareKvm *b)
{
    list->nent = 3;
    memset(list->entries, 0, 3 * sizeof(list->entries[0]));
    list->entries[0].eax = 7;
    list->entries[1].function = 1;
    list->entries[2].function = 7;
    list->entries[2].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    g_assert_cmpint(ioctl(b->k->fd, KVM_SET_CPUID2, list), ==, 0);
    list->nent = MOST;
    g_assert_cmpint(ioctl(b->k->fd, KVM_GET_CPUID2, list), ==, 0);
    added_1 = *leaf(1);
    added_7 = *leaf(7);
}

static BareKvm *processor(const char *model)
{
    BareKvm *b = bare_kvm_new("kernel-irqchip=on", model, RAM_BYTES);
    list->nent = MOST;
    g_assert_cmpint(ioctl(b->k->fd, KVM_GET_CPUID2, list), ==, 0);
    return b;
}

static void test_filtered(void)
{
    static const char *const models[] = { "qemu64", "Haswell,check=off", "EPYC,check=off", "max", "host" };
    enum { OSXSAVE = 1 << 27, OSPKE = 1 << 4, HYPERVISOR = 1u << 31, APIC = 1 << 9, HTT = 1 << 28 };
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        BareKvm *b = processor(models[i]);
        uint32_t out[4];
        kvm_supported_cpuid(b->k->kvm, 1, 0, out);
        g_assert_cmphex(leaf(1)->ecx & ~(out[2] | OSXSAVE | HYPERVISOR | added_1.ecx), ==, 0);
        g_assert_cmphex(leaf(1)->edx & ~(out[3] | HTT | added_1.edx), ==, 0);
        g_assert_true(leaf(1)->ecx & HYPERVISOR);
        if (leaf(7)) {
            kvm_supported_cpuid(b->k->kvm, 7, 0, out);
            g_assert_cmphex(leaf(7)->ebx & ~(out[1] | added_7.ebx), ==, 0);
            g_assert_cmphex(leaf(7)->ecx & ~(out[2] | OSPKE | added_7.ecx), ==, 0);
        }
        kvm_supported_cpuid(b->k->kvm, KVM_LEAF + 1, 0, out);
        g_assert_cmpmem(&leaf(KVM_LEAF)->ebx, 12, "KVMKVMKVM\0\0\0", 12);
        g_assert_cmphex(leaf(KVM_LEAF + 1)->eax & ~out[0], ==, 0);
        if (i >= 3)
            g_assert_cmphex(leaf(KVM_LEAF + 1)->eax, ==, out[0]);
        bare_kvm_free(b);
    }
}

static void test_services(void)
{
    BareKvm *b = processor("qemu64,-kvmclock,-hypervisor");
    g_assert_cmphex(leaf(KVM_LEAF + 1)->eax & 9, ==, 0);
    g_assert_false((leaf(1)->ecx & ~added_1.ecx) >> 31);
    bare_kvm_free(b);
    b = processor("max,kvm_steal_time=off");
    g_assert_cmphex(leaf(KVM_LEAF + 1)->eax & 1 << 5, ==, 0);
    bare_kvm_free(b);
    b = processor("max,kvm=off");
    g_assert_null(leaf(KVM_LEAF));
    g_assert_null(leaf(KVM_LEAF + 1));
    g_assert_true(leaf(1)->ecx >> 31);
    bare_kvm_free(b);
}

int main(int argc, char **argv)
{
    int missing = bare_kvm_missing();
    g_test_init(&argc, &argv, NULL);
    if (missing)
        return missing;
    list = g_malloc0(sizeof(*list) + MOST * sizeof(struct kvm_cpuid_entry2));
    BareKvm *b = bare_kvm_new(NULL, "max", RAM_BYTES);
    find_added(b);
    bare_kvm_free(b);
    g_test_add_func("/kvm/cpuid/filtered", test_filtered);
    g_test_add_func("/kvm/cpuid/services", test_services);
    int status = g_test_run();
    g_free(list);
    return status;
}
