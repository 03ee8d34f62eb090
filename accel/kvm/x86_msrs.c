/*
 * KVM: MSRs, between the kernel and X86State (api.rst: KVM_GET_MSR_INDEX_LIST, KVM_GET_MSRS, KVM_SET_MSRS,
 * KVM_X86_SETUP_MCE). Those that X86State has no member for are kept as KVM gave them.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum { MSR_TSC = 0x10, MSR_TSC_ADJUST = 0x3b, MSR_TSC_DEADLINE = 0x6e0 };

/* ---- which there are ---- */

typedef struct MsrMember {
    uint32_t index, offset;
} MsrMember;
#define MSR(index, member)                \
    {                                     \
        index, offsetof(X86State, member) \
    }
static const MsrMember members[] = {
    MSR(0x3a, feature_control),
    MSR(0x48, spec_ctrl),
    MSR(0x8b, bios_sign),
    MSR(0x174, sysenter_cs),
    MSR(0x175, sysenter_esp),
    MSR(0x176, sysenter_eip),
    MSR(0x17a, mcg_status),
    MSR(0x17b, mcg_ctl),
    MSR(0x1a0, misc_enable),
    MSR(0x1d9, debugctl),
    MSR(0x277, pat),
    MSR(0x2ff, mtrr_type),
    MSR(0x250, mtrr_fixed[0]),
    MSR(0x258, mtrr_fixed[1]),
    MSR(0x259, mtrr_fixed[2]),
    MSR(0x268, mtrr_fixed[3]),
    MSR(0x269, mtrr_fixed[4]),
    MSR(0x26a, mtrr_fixed[5]),
    MSR(0x26b, mtrr_fixed[6]),
    MSR(0x26c, mtrr_fixed[7]),
    MSR(0x26d, mtrr_fixed[8]),
    MSR(0x26e, mtrr_fixed[9]),
    MSR(0x26f, mtrr_fixed[10]),
    MSR(0xda0, xss),
    MSR(0xc0000081, star),
    MSR(0xc0000082, lstar),
    MSR(0xc0000083, cstar),
    MSR(0xc0000084, fmask),
    MSR(0xc0000102, kernel_gs_base),
    MSR(0xc0000103, tsc_aux),
};
enum { MSR_VARIABLE = 0x200, MSR_VARIABLE_LAST = 0x20f };
enum { BANKS = 10, MSR_BANK = 0x400, MSR_BANK_LAST = MSR_BANK + 4 * BANKS - 1 };

static uint64_t *msr_member(X86State *s, uint32_t index)
{
    if (index >= MSR_VARIABLE && index <= MSR_VARIABLE_LAST) {
        unsigned n = (index - MSR_VARIABLE) / 2;
        return index & 1 ? &s->mtrr_mask[n] : &s->mtrr_base[n];
    }
    if (index >= MSR_BANK && index <= MSR_BANK_LAST)
        return &s->mc_bank[(index - MSR_BANK) / 4][index & 3];
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (members[i].index == index)
            return (uint64_t *)(void *)((char *)s + members[i].offset);
    }
    return NULL;
}

/* Counters and timers that go on while nobody looks: to write back what was read sets them back. */
static bool runs_on(uint32_t index)
{
    return index == MSR_TSC || index == MSR_TSC_ADJUST || index == MSR_TSC_DEADLINE;
}

static struct kvm_msrs *new_list(unsigned most)
{
    return g_malloc0(sizeof(struct kvm_msrs) + most * sizeof(struct kvm_msr_entry));
}

static void add_msr(struct kvm_msrs *list, uint32_t index)
{
    for (unsigned i = 0; i < list->nmsrs; i++) {
        if (list->entries[i].index == index)
            return;
    }
    list->entries[list->nmsrs++].index = index;
}

/* Leave those of the list that the request takes, which stops at each that it does not. */
static void keep_msrs(KvmVcpu *k, unsigned long request, struct kvm_msrs *list)
{
    g_autofree struct kvm_msrs *part = new_list(list->nmsrs);
    unsigned n = list->nmsrs, kept = 0;
    for (unsigned at = 0; at < n; at++) {
        part->nmsrs = n - at;
        memcpy(part->entries, list->entries + at, part->nmsrs * sizeof(struct kvm_msr_entry));
        int done = MAX(ioctl(k->fd, request, part), 0);
        memcpy(list->entries + kept, part->entries, done * sizeof(struct kvm_msr_entry));
        kept += done;
        at += done;
    }
    list->nmsrs = kept;
}

/* As many banks as the target's own processor has. */
static bool set_up_machine_check(KvmVcpu *k, GError **err)
{
    enum { CONTROL = 1 << 8, RECOVERY = 1 << 24 };
    uint64_t offered = 0, wanted;
    if (!(x86(k->vcpu->state)->cpuid_features[X86_WORD_1_EDX] & X86_BIT_MCA) ||
        ioctl(k->kvm->fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &offered) < 0)
        return true;
    wanted = (offered & (CONTROL | RECOVERY)) | BANKS;
    return ioctl(k->fd, KVM_X86_SETUP_MCE, &wanted) >= 0 || error_set_errno(err, errno, "KVM: machine checks");
}

bool kvm_msrs_init(KvmVcpu *k, GError **err)
{
    const struct kvm_msr_list *list = k->kvm->msrs;
    unsigned most = list->nmsrs + (unsigned)G_N_ELEMENTS(members) + MSR_VARIABLE_LAST - MSR_VARIABLE + 1 +
                    MSR_BANK_LAST - MSR_BANK + 1;
    if (!set_up_machine_check(k, err))
        return false;
    k->msrs = new_list(most);
    for (unsigned i = 0; i < list->nmsrs; i++)
        add_msr(k->msrs, list->indices[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++)
        add_msr(k->msrs, members[i].index);
    for (uint32_t index = MSR_VARIABLE; index <= MSR_VARIABLE_LAST; index++)
        add_msr(k->msrs, index);
    for (uint32_t index = MSR_BANK; index <= MSR_BANK_LAST; index++)
        add_msr(k->msrs, index);
    keep_msrs(k, KVM_GET_MSRS, k->msrs);
    keep_msrs(k, KVM_SET_MSRS, k->msrs); /* what it gives, and takes back */
    k->reset_msrs = g_memdup2(k->msrs, sizeof(struct kvm_msrs) + most * sizeof(struct kvm_msr_entry));
    for (unsigned i = 0; i < k->reset_msrs->nmsrs; i++) {
        if (runs_on(k->reset_msrs->entries[i].index)) /* the same for all vCPUs, whose TSCs then agree */
            k->reset_msrs->entries[i].data = 0;
    }
    return true;
}

/* ---- get and set ---- */

bool kvm_get_msrs(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    int n = ioctl(k->fd, KVM_GET_MSRS, k->msrs);
    if (n != (int)k->msrs->nmsrs)
        return error_set(err, "KVM: cannot get MSR 0x%x", k->msrs->entries[MAX(n, 0)].index);
    for (unsigned i = 0; i < k->msrs->nmsrs; i++) {
        uint64_t *member = msr_member(s, k->msrs->entries[i].index);
        if (member)
            *member = k->msrs->entries[i].data;
    }
    return true;
}

static bool put_list(KvmVcpu *k, struct kvm_msrs *list, GError **err)
{
    int done = list->nmsrs ? ioctl(k->fd, KVM_SET_MSRS, list) : 0;
    if (done == (int)list->nmsrs)
        return true;
    const struct kvm_msr_entry *e = &list->entries[MAX(done, 0)];
    return error_set(err, "KVM: cannot set MSR 0x%x to 0x%llx", e->index, e->data);
}

bool kvm_put_msrs(KvmVcpu *k, KvmPut what, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    g_autofree struct kvm_msrs *out = new_list(k->msrs->nmsrs);
    for (unsigned i = 0; i < k->msrs->nmsrs; i++) {
        struct kvm_msr_entry old = k->msrs->entries[i], new = what == KVM_PUT_RESET ? k->reset_msrs->entries[i] : old;
        uint64_t *member = msr_member(s, new.index);
        if (member)
            new.data = *member;
        if (new.index != MSR_TSC_DEADLINE && (what != KVM_PUT_CHANGES || new.data != old.data))
            out->entries[out->nmsrs++] = new;
        k->msrs->entries[i] = new;
    }
    return put_list(k, out, err);
}

bool kvm_put_deadline(KvmVcpu *k, KvmPut what, GError **err)
{
    g_autofree struct kvm_msrs *out = new_list(1);
    for (unsigned i = 0; i < k->msrs->nmsrs && what != KVM_PUT_CHANGES; i++) {
        if (k->msrs->entries[i].index == MSR_TSC_DEADLINE)
            out->entries[out->nmsrs++] = k->msrs->entries[i];
    }
    return put_list(k, out, err);
}
