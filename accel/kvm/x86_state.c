/*
 * KVM: a vCPU's registers, between the kernel and X86State (api.rst: KVM_GET_REGS, KVM_GET_SREGS2, KVM_GET_XSAVE2,
 * KVM_GET_XCRS, KVM_GET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_GET_MP_STATE, KVM_GET_LAPIC and their KVM_SET_*; MSRs:
 * x86_msrs.c).
 *
 * Nothing is lost on the way: where X86State has no member for something, or says it in fewer words (a segment that is
 * not usable, a component of the extended state that is in its initial configuration), what KVM gave is kept, and goes
 * back unless X86State has changed.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

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

/* The base of CS does not count there, whatever it is. */
static bool code64(const X86State *s)
{
    return x86_long(s) && s->segment[X86_CS].attributes & DESC_L;
}

static bool get_general(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_regs regs;
    if (!GET(k, REGS, &regs, err))
        return false;
    for (unsigned n = 0; n < X86_GPRS; n++)
        s->gpr[n] = *general(&regs, n);
    s->cs.pc = code64(s) ? regs.rip : (uint32_t)(s->segment[X86_CS].base + regs.rip);
    x86_put_eflags(s, (uint32_t)regs.rflags, UINT32_MAX);
    return true;
}

static bool put_general(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_regs regs = { .rip = code64(s) ? s->cs.pc : x86_ip(s), .rflags = x86_eflags(s) };
    for (unsigned n = 0; n < X86_GPRS; n++)
        *general(&regs, n) = s->gpr[n];
    return SET(k, REGS, &regs, err);
}

/* ---- segments, tables, control registers ---- */

/* To the target a segment is usable if it is present. */
static X86SegmentReg from_kvm(const struct kvm_segment *from)
{
    bool present = from->present && !from->unusable;
    unsigned attributes = from->type | from->s << 4 | from->dpl << DESC_DPL_SHIFT | present << 7 | from->avl << 12 |
                          from->l << 13 | from->db << 14 | from->g << 15;
    return (X86SegmentReg){
        .base = from->base, .limit = from->limit, .selector = from->selector, .attributes = (uint16_t)attributes
    };
}

static bool same_segment(const X86SegmentReg *a, const X86SegmentReg *b)
{
    return a->base == b->base && a->limit == b->limit && a->selector == b->selector && a->attributes == b->attributes;
}

static void put_segment(struct kvm_segment *to, const X86SegmentReg *r, bool anew)
{
    X86SegmentReg was = from_kvm(to);
    unsigned a = r->attributes;
    if (!anew && same_segment(&was, r))
        return;
    *to = (struct kvm_segment){ .base = r->base,
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

/* All that have a segment register's form. */
typedef struct SegmentPlace {
    size_t here, there; /* in X86State; in kvm_sregs and kvm_sregs2, which begin alike */
} SegmentPlace;
#define PLACE(member, name)                                          \
    {                                                                \
        offsetof(X86State, member), offsetof(struct kvm_sregs, name) \
    }
static const SegmentPlace segments[] = { PLACE(segment[X86_ES], es),
                                         PLACE(segment[X86_CS], cs),
                                         PLACE(segment[X86_SS], ss),
                                         PLACE(segment[X86_DS], ds),
                                         PLACE(segment[X86_FS], fs),
                                         PLACE(segment[X86_GS], gs),
                                         PLACE(ldt, ldt),
                                         PLACE(tr, tr) };
G_STATIC_ASSERT(offsetof(struct kvm_sregs, apic_base) == offsetof(struct kvm_sregs2, apic_base));

static bool pae(const X86State *s)
{
    return s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !x86_long(s);
}

static bool get_special(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_sregs *r = &k->rest.special;
    if (!(k->kvm->has_sregs2 ? GET(k, SREGS2, &k->rest.special2, err) : GET(k, SREGS, r, err)))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
        *(X86SegmentReg *)((char *)s + segments[i].here) =
            from_kvm((struct kvm_segment *)((char *)r + segments[i].there));
    s->gdt = (X86Table){ r->gdt.base, r->gdt.limit };
    s->idt = (X86Table){ r->idt.base, r->idt.limit };
    s->cr0 = r->cr0;
    s->cr2 = r->cr2;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->cr8 = r->cr8;
    s->efer = r->efer;
    s->apic_base = r->apic_base;
    if (k->kvm->has_sregs2 && k->rest.special2.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
        memcpy(s->pdpte, k->rest.special2.pdptrs, sizeof(s->pdpte));
    else if (pae(s))
        x86_load_pdptes(s, s->cr3);
    return true;
}

static bool put_special(KvmVcpu *k, X86State *s, KvmPut what, GError **err)
{
    struct kvm_sregs *r = &k->rest.special;
    const KvmRest was = k->rest;
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
        put_segment((struct kvm_segment *)((char *)r + segments[i].there),
                    (X86SegmentReg *)((char *)s + segments[i].here), what == KVM_PUT_RESET);
    r->gdt = (struct kvm_dtable){ .base = s->gdt.base, .limit = s->gdt.limit };
    r->idt = (struct kvm_dtable){ .base = s->idt.base, .limit = s->idt.limit };
    r->cr0 = s->cr0;
    r->cr2 = s->cr2;
    r->cr3 = s->cr3;
    r->cr4 = s->cr4;
    r->cr8 = s->cr8;
    r->efer = s->efer;
    r->apic_base = s->apic_base;
    if (k->kvm->has_sregs2 && pae(s))
        memcpy(k->rest.special2.pdptrs, s->pdpte, sizeof(s->pdpte));
    else if (k->kvm->has_sregs2)
        k->rest.special2.flags &= ~(__u64)KVM_SREGS2_FLAGS_PDPTRS_VALID;
    /* else CR8 would clear the lower half of the local APIC's task priority */
    if (what == KVM_PUT_CHANGES && !memcmp(&was, &k->rest, sizeof(was)))
        return true;
    return k->kvm->has_sregs2 ? SET(k, SREGS2, &k->rest.special2, err) : SET(k, SREGS, r, err);
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

/* What X86State says of them, in the area's places. */
static void image(KvmVcpu *k, X86State *s, uint8_t *area)
{
    unsigned pkru = pkru_offset(k);
    uint32_t mxcsr = x86_mxcsr(s), keys = (uint32_t)s->pkru;
    x86_put_x87(s, area, true);
    memcpy(area + XSAVE_MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(area + XSAVE_XMM + 16 * i, &s->xmm[i][0], 16);
        memcpy(area + XSAVE_AVX + 16 * i, &s->xmm[i][2], 16);
    }
    if (pkru)
        memcpy(area + pkru, &keys, 4);
}

static bool compacts; /* the host's kernel does so */

/* A kernel that keeps areas compacted (XSAVEC) leaves MXCSR's place as it was while SSE is in its initial
 * configuration, to which MXCSR then belongs. */
static uint32_t mxcsr_of(const uint8_t *area, uint64_t in_use)
{
    enum { MXCSR_INITIAL = 0x1f80 };
    uint32_t mxcsr;
    memcpy(&mxcsr, area + XSAVE_MXCSR, 4);
    return compacts && !(in_use & XCR0_SSE) ? MXCSR_INITIAL : mxcsr & 0xffff;
}

static bool get_extended(KvmVcpu *k, X86State *s, GError **err)
{
    static const uint8_t initial_x87[XSAVE_XMM] = { 0x7f, 3 };
    uint8_t *area = k->xsave;
    unsigned pkru = pkru_offset(k);
    uint64_t in_use;
    uint32_t keys = 0;
    if (!get(k, k->kvm->xsave_bytes > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, "XSAVE", area, err))
        return false;
    memcpy(&in_use, area + XSAVE_HEADER, 8);
    x86_get_x87(s, in_use & XCR0_X87 ? area : initial_x87, true);
    x86_set_mxcsr(s, mxcsr_of(area, in_use));
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
    image(k, s, k->xsave_given);
    return true;
}

/* Which a byte of the area belongs to, of those that X86State has; 0: none of them. */
static uint64_t component_of(size_t at, unsigned pkru)
{
    if (at >= XSAVE_MXCSR && at < XSAVE_MXCSR + 4)
        return XCR0_SSE;
    if (at < XSAVE_HEADER)
        return at < XSAVE_XMM ? XCR0_X87 : XCR0_SSE;
    if (at >= XSAVE_AVX && at < XSAVE_AVX + 256)
        return XCR0_AVX;
    return pkru && at >= pkru && at < pkru + 4 ? 1u << XCR0_PKRU_BIT : 0;
}

/* What X86State says differently than when it was fetched; all after a reset. A component that was in its initial
 * configuration is written as a whole: what stood in its place need not be that. */
static bool put_extended(KvmVcpu *k, X86State *s, KvmPut what, GError **err)
{
    size_t bytes = k->kvm->xsave_bytes;
    uint64_t in_use, changed = 0;
    unsigned pkru = pkru_offset(k);
    g_autofree uint8_t *now = g_malloc0(bytes);
    image(k, s, now);
    if (what == KVM_PUT_RESET) {
        memset(k->xsave, 0, bytes);
        memset(k->xsave_given, 0, bytes);
    }
    if (what == KVM_PUT_CHANGES && !memcmp(now, k->xsave_given, bytes))
        return true;
    memcpy(&in_use, k->xsave + XSAVE_HEADER, 8);
    for (size_t i = 0; i < bytes; i++)
        changed |= now[i] != k->xsave_given[i] ? component_of(i, pkru) : 0;
    for (size_t i = 0; i < bytes; i++) {
        if (now[i] != k->xsave_given[i] || changed & ~in_use & component_of(i, pkru))
            k->xsave[i] = now[i];
    }
    in_use |= changed;
    memcpy(k->xsave + XSAVE_HEADER, &in_use, 8);
    memcpy(k->xsave_given, now, bytes);
    return SET(k, XSAVE, k->xsave, err);
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

/* ---- debug registers ---- */

static bool get_debug(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_debugregs *r = &k->rest.debug;
    if (!GET(k, DEBUGREGS, r, err))
        return false;
    for (unsigned i = 0; i < 4; i++)
        s->dr[i] = r->db[i];
    s->dr[6] = r->dr6;
    s->dr[7] = r->dr7;
    return true;
}

static bool put_debug(KvmVcpu *k, X86State *s, KvmPut what, GError **err)
{
    struct kvm_debugregs *r = &k->rest.debug;
    const struct kvm_debugregs was = *r;
    for (unsigned i = 0; i < 4; i++)
        r->db[i] = s->dr[i];
    r->dr6 = s->dr[6];
    r->dr7 = s->dr[7];
    return (what == KVM_PUT_CHANGES && !memcmp(&was, r, sizeof(was))) || SET(k, DEBUGREGS, r, err);
}

/* ---- events, start-up, local APIC ---- */

/* First of all: the kernel takes an INIT or a start-up then, which changes registers. */
static bool get_mp_state(KvmVcpu *k, X86State *s, GError **err)
{
    if (!GET(k, MP_STATE, &k->rest.mp_state, err))
        return false;
    if (k->vcpu->machine->irqchip)
        s->waiting = k->rest.mp_state.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                     k->rest.mp_state.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    return true;
}

static bool get_events(KvmVcpu *k, X86State *s, GError **err)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    if (!GET(k, VCPU_EVENTS, e, err))
        return false;
    s->nmi_blocked = e->nmi.masked;
    s->shadow = e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? SHADOW_SS : e->interrupt.shadow ? SHADOW_STI : 0;
    s->shadow_pc = s->cs.pc;
    return true;
}

void kvm_forget_events(KvmVcpu *k)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    uint32_t flags = e->flags;
    memset(e, 0, sizeof(*e));
    e->flags = flags;
    if (!k->kvm->has_sregs2)
        memset(k->rest.special.interrupt_bitmap, 0, sizeof(k->rest.special.interrupt_bitmap));
}

static void reset_events(KvmVcpu *k, const X86State *s)
{
    bool irqchip = k->vcpu->machine->irqchip;
    kvm_forget_events(k);
    k->rest.mp_state.mp_state = s->waiting && irqchip ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
    if (irqchip)
        kvm_reset_lapic(k, s->apic_id, s->bootstrap);
}

/* What other threads may have sent since it was fetched is none of the changes. */
static bool put_events(KvmVcpu *k, X86State *s, KvmPut what, GError **err)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    uint32_t given = e->flags, sent = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SMM;
    bool irqchip = k->vcpu->machine->irqchip, shadow = s->shadow && s->shadow_pc == s->cs.pc;
    e->nmi.masked = s->nmi_blocked;
    if (shadow != (e->interrupt.shadow != 0))
        e->interrupt.shadow = !shadow ? 0 : s->shadow == SHADOW_SS ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI;
    e->flags = what == KVM_PUT_CHANGES ? given & ~sent : given | (irqchip ? KVM_VCPUEVENT_VALID_SIPI_VECTOR : 0);
    e->flags |= KVM_VCPUEVENT_VALID_SHADOW;
    bool ok = SET(k, VCPU_EVENTS, e, err);
    e->flags = given;
    return ok;
}

static bool get_apic(KvmVcpu *k, GError **err)
{
    return !k->vcpu->machine->irqchip || GET(k, LAPIC, &k->rest.lapic, err);
}

static bool put_apic(KvmVcpu *k, KvmPut what, GError **err)
{
    if (what == KVM_PUT_CHANGES)
        return true;
    return (!k->vcpu->machine->irqchip || SET(k, LAPIC, &k->rest.lapic, err)) && kvm_put_deadline(k, what, err);
}

static bool put_mp_state(KvmVcpu *k, KvmPut what, GError **err)
{
    return what == KVM_PUT_CHANGES || SET(k, MP_STATE, &k->rest.mp_state, err);
}

/* ---- all of it ---- */

/* Once: the instruction is a slow one where this host is somebody's guest. */
static void look_at_host(void)
{
    enum { XSAVEC = 1 << 1, XSAVES = 1 << 3 };
    unsigned eax = 0, ebx, ecx, edx;
    __get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx);
    compacts = eax & (XSAVEC | XSAVES);
}

void kvm_state_init_vm(KvmState *kvm)
{
    /* ... and what it cannot emulate comes here at level 3, too, where it would be an undefined instruction. */
    static const unsigned finer[] = { KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_TRIPLE_FAULT_EVENT,
                                      KVM_CAP_EXIT_ON_EMULATION_FAILURE };
    for (unsigned i = 0; i < G_N_ELEMENTS(finer); i++) {
        struct kvm_enable_cap cap = { .cap = finer[i], .args = { 1 } };
        if (ioctl(kvm->vm, KVM_CHECK_EXTENSION, finer[i]) > 0)
            ioctl(kvm->vm, KVM_ENABLE_CAP, &cap);
    }
    look_at_host();
    kvm->has_sregs2 = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_SREGS2) > 0;
}

bool kvm_state_init(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    k->has_xsave = s->cpuid_features[X86_WORD_1_ECX] & X86_BIT_XSAVE;
    k->xsave = g_malloc0(k->kvm->xsave_bytes);
    k->xsave_given = g_malloc0(k->kvm->xsave_bytes);
    if (!kvm_set_cpuid(k, err) || !kvm_msrs_init(k, err) || !GET(k, VCPU_EVENTS, &k->rest.events, err))
        return false;
    return !k->vcpu->machine->irqchip || GET(k, LAPIC, &k->rest.lapic, err);
}

void kvm_state_free(KvmVcpu *k)
{
    g_free(k->xsave);
    g_free(k->xsave_given);
    g_free(k->msrs);
    g_free(k->reset_msrs);
}

bool kvm_get_state(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (!get_mp_state(k, s, err) || !get_special(k, s, err) || !get_general(k, s, err) || !get_extended(k, s, err) ||
        !get_xcr0(k, s, err) || !get_debug(k, s, err) || !kvm_get_msrs(k, err) || !get_events(k, s, err) ||
        !get_apic(k, err))
        return false;
    s->cs.raised = 0;
    x86_mode_changed(s);
    return true;
}

bool kvm_get_core(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (!get_special(k, s, err) || !get_general(k, s, err) || !get_debug(k, s, err) || !get_events(k, s, err))
        return false;
    s->cs.raised = 0;
    x86_mode_changed(s);
    return true;
}

bool kvm_put_core(KvmVcpu *k, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (!put_special(k, s, KVM_PUT_CHANGES, err) || !put_general(k, s, err) || !put_debug(k, s, KVM_PUT_CHANGES, err) ||
        !put_events(k, s, KVM_PUT_CHANGES, err))
        return false;
    k->run->ready_for_interrupt_injection = 0;
    return true;
}

/* The order counts: general registers drop a pending exception, an APIC's base says what its registers mean, its
 * timer's mode what a deadline is, and a start-up that waits has its vector among the events. */
bool kvm_put_state(KvmVcpu *k, KvmPut what, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (what == KVM_PUT_RESET)
        reset_events(k, s);
    if (!put_special(k, s, what, err) || !put_general(k, s, err) || !put_xcr0(k, s, err) ||
        !put_extended(k, s, what, err) || !kvm_put_msrs(k, what, err) || !put_debug(k, s, what, err) ||
        !put_apic(k, what, err) || !put_events(k, s, what, err) || !put_mp_state(k, what, err))
        return false;
    k->was_reset = false;
    k->run->ready_for_interrupt_injection = 0;
    return true;
}
