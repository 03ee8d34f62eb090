/*
 * KVM: a vCPU's registers, between the kernel and X86State (api.rst: KVM_GET_REGS, KVM_GET_SREGS, KVM_GET_XSAVE2,
 * KVM_GET_XCRS, KVM_GET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_GET_MP_STATE, KVM_GET_MSRS and their KVM_SET_*).
 *
 * What X86State has no member for is kept as KVM gave it: MSRs of KVM's list, components of the extended state.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

typedef struct Transfer {
    const char *name;
    unsigned long get, set;
} Transfer;

static bool get(KvmVcpu *k, unsigned long request, const char *name, void *data, GError **err)
{
    return ioctl(k->fd, request, data) >= 0 || error_set_errno(err, errno, "KVM: cannot get %s", name);
}

static bool set(KvmVcpu *k, unsigned long request, const char *name, const void *data, GError **err)
{
    return ioctl(k->fd, request, data) >= 0 || error_set_errno(err, errno, "KVM: cannot set %s", name);
}
#define GET(k, what, data, err) get(k, KVM_GET_##what, #what, data, err)
#define SET(k, what, data, err) set(k, KVM_SET_##what, #what, data, err)

/* ---- general registers ---- */

static __u64 *general(struct kvm_regs *r, unsigned n)
{
    __u64 *const members[X86_GPRS] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
                                       &r->r8,  &r->r9,  &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };
    return members[n];
}

static bool get_general(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_regs regs;
    if (!GET(k, REGS, &regs, err))
        return false;
    for (unsigned n = 0; n < X86_GPRS; n++)
        s->gpr[n] = *general(&regs, n);
    bool code64 = x86_long(s) && s->segment[X86_CS].attributes & DESC_L;
    s->cs.pc = code64 ? regs.rip : (uint32_t)(s->segment[X86_CS].base + regs.rip);
    x86_put_eflags(s, (uint32_t)regs.rflags, UINT32_MAX);
    return true;
}

static bool put_general(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_regs regs = { .rip = x86_ip(s), .rflags = x86_eflags(s) };
    for (unsigned n = 0; n < X86_GPRS; n++)
        *general(&regs, n) = s->gpr[n];
    return SET(k, REGS, &regs, err);
}

/* ---- segments, tables, control registers ---- */

static void get_segment(X86SegmentReg *r, const struct kvm_segment *from)
{
    unsigned attributes = from->type | from->s << 4 | from->dpl << DESC_DPL_SHIFT | from->present << 7 |
                          from->avl << 12 | from->l << 13 | from->db << 14 | from->g << 15;
    *r = (X86SegmentReg){ .base = from->base,
                          .limit = from->limit,
                          .selector = from->selector,
                          .attributes = (uint16_t)(from->unusable ? 0 : attributes) };
}

static struct kvm_segment put_segment(const X86SegmentReg *r)
{
    unsigned a = r->attributes;
    return (struct kvm_segment){ .base = r->base,
                                 .limit = r->limit,
                                 .selector = r->selector,
                                 .type = a & DESC_TYPE,
                                 .s = a >> 4 & 1,
                                 .dpl = a >> DESC_DPL_SHIFT & 3,
                                 .present = a >> 7 & 1,
                                 .avl = a >> 12 & 1,
                                 .l = a >> 13 & 1,
                                 .db = a >> 14 & 1,
                                 .g = a >> 15 & 1,
                                 .unusable = !(a & DESC_P) };
}

static struct kvm_segment *segment(struct kvm_sregs *r, unsigned n)
{
    struct kvm_segment *const members[] = { &r->es, &r->cs, &r->ss, &r->ds, &r->fs, &r->gs };
    return members[n];
}

static bool get_special(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_sregs r;
    if (!GET(k, SREGS, &r, err))
        return false;
    for (unsigned n = 0; n < 6; n++)
        get_segment(&s->segment[n], segment(&r, n));
    get_segment(&s->ldt, &r.ldt);
    get_segment(&s->tr, &r.tr);
    s->gdt = (X86Table){ r.gdt.base, r.gdt.limit };
    s->idt = (X86Table){ r.idt.base, r.idt.limit };
    s->cr0 = r.cr0;
    s->cr2 = r.cr2;
    s->cr3 = r.cr3;
    s->cr4 = r.cr4;
    s->cr8 = r.cr8;
    s->efer = r.efer;
    s->apic_base = r.apic_base;
    memcpy(k->rest.pending, r.interrupt_bitmap, sizeof(k->rest.pending));
    return true;
}

static bool put_special(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_sregs r = { .ldt = put_segment(&s->ldt),
                           .tr = put_segment(&s->tr),
                           .gdt = { .base = s->gdt.base, .limit = s->gdt.limit },
                           .idt = { .base = s->idt.base, .limit = s->idt.limit },
                           .cr0 = s->cr0,
                           .cr2 = s->cr2,
                           .cr3 = s->cr3,
                           .cr4 = s->cr4,
                           .cr8 = s->cr8,
                           .efer = s->efer,
                           .apic_base = s->apic_base };
    for (unsigned n = 0; n < 6; n++)
        *segment(&r, n) = put_segment(&s->segment[n]);
    if (k->was_reset)
        memset(k->rest.pending, 0, sizeof(k->rest.pending));
    memcpy(r.interrupt_bitmap, k->rest.pending, sizeof(k->rest.pending));
    return SET(k, SREGS, &r, err);
}

/* ---- x87, vectors, protection keys: an XSAVE area in the standard format ---- */

enum { XSAVE_XMM = 160, XSAVE_MXCSR = 24, XSAVE_HEADER = 512, XSAVE_AVX = 576 };
enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4, XCR0_PKRU_BIT = 9 };

/* Where the host has the protection keys; 0: nowhere. */
static unsigned pkru_offset(const KvmVcpu *k)
{
    uint32_t out[4];
    kvm_supported_cpuid(k->kvm, 0xd, XCR0_PKRU_BIT, out);
    return out[0] >= 4 && out[1] + 4 <= k->kvm->xsave_bytes ? out[1] : 0;
}

static bool get_extended(KvmVcpu *k, X86State *s, GError **err)
{
    uint8_t *area = (uint8_t *)k->xsave;
    unsigned pkru = pkru_offset(k);
    uint64_t in_use;
    uint32_t mxcsr, keys = 0;
    if (!get(k, k->kvm->xsave_bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, "XSAVE", area, err))
        return false;
    memcpy(&in_use, area + XSAVE_HEADER, 8);
    memcpy(&mxcsr, area + XSAVE_MXCSR, 4);
    if (in_use & XCR0_X87)
        x86_get_x87(s, area, true);
    else
        x87_reset(s);
    x86_set_mxcsr(s, mxcsr & 0xffff);
    for (unsigned i = 0; i < 16; i++) {
        memset(s->xmm[i], 0, sizeof(s->xmm[i]));
        if (in_use & XCR0_SSE)
            memcpy(&s->xmm[i][0], area + XSAVE_XMM + 16 * i, 16);
        if (in_use & XCR0_AVX)
            memcpy(&s->xmm[i][2], area + XSAVE_AVX + 16 * i, 16);
    }
    x86_find_dirty(s);
    if (pkru && in_use >> XCR0_PKRU_BIT & 1)
        memcpy(&keys, area + pkru, 4);
    s->pkru = keys;
    return true;
}

static bool put_extended(KvmVcpu *k, X86State *s, GError **err)
{
    uint8_t *area = (uint8_t *)k->xsave;
    unsigned pkru = pkru_offset(k);
    uint32_t mxcsr = x86_mxcsr(s);
    uint64_t in_use;
    if (k->was_reset)
        memset(area, 0, k->kvm->xsave_bytes);
    memcpy(&in_use, area + XSAVE_HEADER, 8);
    in_use |= XCR0_X87 | XCR0_SSE | (k->has_avx ? XCR0_AVX : 0) | (pkru ? 1u << XCR0_PKRU_BIT : 0);
    memcpy(area + XSAVE_HEADER, &in_use, 8);
    x86_put_x87(s, area, true);
    memcpy(area + XSAVE_MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(area + XSAVE_XMM + 16 * i, &s->xmm[i][0], 16);
        if (k->has_avx)
            memcpy(area + XSAVE_AVX + 16 * i, &s->xmm[i][2], 16);
    }
    if (pkru)
        memcpy(area + pkru, &s->pkru, 4);
    return SET(k, XSAVE, area, err);
}

static bool get_xcr0(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_xcrs r;
    if (!GET(k, XCRS, &r, err))
        return false;
    s->xcr0 = r.nr_xcrs ? r.xcrs[0].value : 1;
    return true;
}

static bool put_xcr0(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_xcrs r = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = s->xcr0 } } };
    return !k->has_xsave || SET(k, XCRS, &r, err);
}

/* ---- debug registers, events ---- */

static bool get_debug(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_debugregs r;
    if (!GET(k, DEBUGREGS, &r, err))
        return false;
    for (unsigned i = 0; i < 4; i++)
        s->dr[i] = r.db[i];
    s->dr[6] = r.dr6;
    s->dr[7] = r.dr7;
    return true;
}

static bool put_debug(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_debugregs r = { .dr6 = s->dr[6], .dr7 = s->dr[7] };
    for (unsigned i = 0; i < 4; i++)
        r.db[i] = s->dr[i];
    return SET(k, DEBUGREGS, &r, err);
}

static bool get_events(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    if (!GET(k, VCPU_EVENTS, e, err) || !GET(k, MP_STATE, &k->rest.mp_state, err))
        return false;
    if (k->vcpu->machine->irqchip) {
        if (!GET(k, LAPIC, &k->rest.lapic, err))
            return false;
        s->waiting = k->rest.mp_state.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                     k->rest.mp_state.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    }
    s->nmi_blocked = e->nmi.masked;
    s->shadow = e->interrupt.shadow != 0;
    s->shadow_pc = s->cs.pc;
    return true;
}

static bool put_events(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    if (k->was_reset) {
        memset(e, 0, sizeof(*e));
        k->rest.mp_state.mp_state =
            s->waiting && k->vcpu->machine->irqchip ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
        if (k->vcpu->machine->irqchip)
            kvm_reset_lapic(k, s->apic_id, s->bootstrap);
    }
    if (k->vcpu->machine->irqchip && !SET(k, LAPIC, &k->rest.lapic, err))
        return false;
    e->nmi.masked = s->nmi_blocked;
    bool shadow = s->shadow && s->shadow_pc == s->cs.pc;
    if (shadow != (e->interrupt.shadow != 0))
        e->interrupt.shadow = shadow ? KVM_X86_SHADOW_INT_STI : 0;
    e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    return SET(k, VCPU_EVENTS, e, err) && SET(k, MP_STATE, &k->rest.mp_state, err);
}

/* ---- MSRs ---- */

enum { MSR_TSC = 0x10, MSR_TSC_ADJUST = 0x3b, MSR_TSC_DEADLINE = 0x6e0 };

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

static uint64_t *msr_member(X86State *s, uint32_t index)
{
    if (index >= MSR_VARIABLE && index <= MSR_VARIABLE_LAST) {
        unsigned n = (index - MSR_VARIABLE) / 2;
        return index & 1 ? &s->mtrr_mask[n] : &s->mtrr_base[n];
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (members[i].index == index)
            return (uint64_t *)(void *)((char *)s + members[i].offset);
    }
    return NULL;
}

/* Counters that go on: to write back what was read sets them back. */
static bool runs_on(uint32_t index)
{
    return index == MSR_TSC || index == MSR_TSC_ADJUST || index == MSR_TSC_DEADLINE;
}

/* KVM's list, and what state has members for. */
static unsigned list_msrs(const KvmState *kvm, struct kvm_msr_entry *out)
{
    unsigned listed = kvm->msrs->nmsrs, n = 0;
    unsigned all = listed + (unsigned)G_N_ELEMENTS(members) + MSR_VARIABLE_LAST - MSR_VARIABLE + 1;
    for (unsigned i = 0; i < all; i++) {
        unsigned behind = i - listed;
        uint32_t index = i < listed                       ? kvm->msrs->indices[i]
                         : behind < G_N_ELEMENTS(members) ? members[behind].index
                                                          : MSR_VARIABLE + behind - (unsigned)G_N_ELEMENTS(members);
        bool again = false;
        for (unsigned j = 0; j < n && !again; j++)
            again = out[j].index == index;
        if (!again)
            out[n++] = (struct kvm_msr_entry){ .index = index };
    }
    return n;
}

/* Leave those of n that the request takes, which stops at each that it does not. */
static unsigned keep_msrs(KvmVcpu *k, unsigned long request, struct kvm_msr_entry *entries, unsigned n)
{
    g_autofree struct kvm_msrs *part = g_malloc0(sizeof(struct kvm_msrs) + n * sizeof(struct kvm_msr_entry));
    unsigned kept = 0;
    for (unsigned at = 0; at < n; at++) {
        part->nmsrs = n - at;
        memcpy(part->entries, entries + at, part->nmsrs * sizeof(struct kvm_msr_entry));
        int done = MAX(ioctl(k->fd, request, part), 0);
        memcpy(entries + kept, part->entries, done * sizeof(struct kvm_msr_entry));
        kept += done;
        at += done;
    }
    return kept;
}

/* Those that KVM gives, and takes back. */
static void find_msrs(KvmVcpu *k)
{
    unsigned most = k->kvm->msrs->nmsrs + (unsigned)G_N_ELEMENTS(members) + MSR_VARIABLE_LAST - MSR_VARIABLE + 1;
    k->msrs = g_malloc0(sizeof(struct kvm_msrs) + most * sizeof(struct kvm_msr_entry));
    struct kvm_msr_entry *entries = k->msrs->entries;
    unsigned given = keep_msrs(k, KVM_GET_MSRS, entries, list_msrs(k->kvm, entries));
    k->msrs->nmsrs = keep_msrs(k, KVM_SET_MSRS, entries, given);
    k->reset_msrs = g_memdup2(k->msrs, sizeof(struct kvm_msrs) + k->msrs->nmsrs * sizeof(struct kvm_msr_entry));
}

static bool get_msrs(KvmVcpu *k, X86State *s, GError **err)
{
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

static bool put_msrs(KvmVcpu *k, X86State *s, GError **err)
{
    unsigned n = 0;
    size_t bytes = sizeof(struct kvm_msrs) + k->msrs->nmsrs * sizeof(struct kvm_msr_entry);
    g_autofree struct kvm_msrs *out = g_malloc0(bytes);
    for (unsigned i = 0; i < k->msrs->nmsrs; i++) {
        struct kvm_msr_entry entry = k->was_reset ? k->reset_msrs->entries[i] : k->msrs->entries[i];
        uint64_t *member = msr_member(s, entry.index);
        if (member)
            entry.data = *member;
        if (k->was_reset || !runs_on(entry.index))
            out->entries[n++] = entry;
    }
    out->nmsrs = n;
    int done = ioctl(k->fd, KVM_SET_MSRS, out);
    if (done == (int)n)
        return true;
    const struct kvm_msr_entry *e = &out->entries[MAX(done, 0)];
    return error_set(err, "KVM: cannot set MSR 0x%x to 0x%llx", e->index, e->data);
}

/* ---- all of it ---- */

bool kvm_state_init(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    k->has_xsave = s->cpuid_features[X86_WORD_1_ECX] & X86_BIT_XSAVE;
    k->has_avx = s->cpuid_features[X86_WORD_1_ECX] & X86_BIT_AVX;
    k->xsave = g_malloc0(k->kvm->xsave_bytes);
    if (!kvm_set_cpuid(k, err))
        return false;
    find_msrs(k);
    return !k->vcpu->machine->irqchip || GET(k, LAPIC, &k->rest.lapic, err);
}

void kvm_state_free(KvmVcpu *k)
{
    g_free(k->xsave);
    g_free(k->msrs);
    g_free(k->reset_msrs);
}

bool kvm_get_state(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (!get_special(k, s, err) || !get_general(k, s, err) || !get_extended(k, s, err) || !get_xcr0(k, s, err) ||
        !get_debug(k, s, err) || !get_msrs(k, s, err) || !get_events(k, s, err))
        return false;
    s->cs.raised = 0;
    x86_mode_changed(s);
    return true;
}

bool kvm_put_state(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (!put_special(k, s, err) || !put_general(k, s, err) || !put_xcr0(k, s, err) || !put_extended(k, s, err) ||
        !put_msrs(k, s, err) || !put_events(k, s, err) || !put_debug(k, s, err))
        return false;
    k->was_reset = false;
    k->run->ready_for_interrupt_injection = 0;
    return true;
}
