/*
 * A vCPU's registers survive the way from the kernel to X86State and back bit for bit: what was set by KVM's own calls,
 * random but legal, is fetched (kvm_get_state), overwritten in the kernel by something else, put back (kvm_put_state),
 * and read by KVM's own calls again. Reset gives the power-up state after any of them.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "bare_kvm.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { ROUNDS = 60, RAM_BYTES = 1 << 20, MOST_MSRS = 512, XSAVE_ROOM = 16384 };
enum { TSC = 0x10, TSC_ADJUST = 0x3b, TSC_DEADLINE = 0x6e0 };
enum { LAPIC_PPR = 0xa0, LAPIC_TMCCT = 0x390, LAPIC_TMICT = 0x380, LAPIC_LVTT = 0x320 };

/* By KVM's own calls. */
typedef struct Raw {
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debug;
    struct kvm_vcpu_events events;
    struct kvm_lapic_state lapic;
    uint8_t xsave[XSAVE_ROOM];
    struct kvm_msr_entry msrs[MOST_MSRS];
    unsigned msr_count;
} Raw;

static BareKvm *bare;
static bool irqchip, avx;
static GRand *rng;

static uint64_t random64(void)
{
    return (uint64_t)g_rand_int(rng) << 32 | g_rand_int(rng);
}
static bool percent(int n)
{
    return g_rand_int_range(rng, 0, 100) < n;
}
static unsigned below(int n)
{
    return (unsigned)g_rand_int_range(rng, 0, n);
}

/* ---- KVM's own calls ---- */

static void call(unsigned long request, void *data, const char *name)
{
    if (ioctl(bare->k->fd, request, data) < 0)
        g_error("%s: %s", name, g_strerror(errno));
}
#define CALL(request, data) call(request, data, #request)

static int msr_call(unsigned long request, struct kvm_msr_entry *entries, unsigned count)
{
    g_autofree struct kvm_msrs *list = g_malloc0(sizeof(*list) + count * sizeof(*entries));
    list->nmsrs = count;
    memcpy(list->entries, entries, count * sizeof(*entries));
    int result = ioctl(bare->k->fd, request, list);
    memcpy(entries, list->entries, count * sizeof(*entries));
    return result;
}

static void list_msrs(Raw *r)
{
    r->msr_count = bare->k->msrs->nmsrs;
    g_assert_cmpuint(r->msr_count, <=, MOST_MSRS);
    memcpy(r->msrs, bare->k->msrs->entries, r->msr_count * sizeof(struct kvm_msr_entry));
}

static void raw_get(Raw *r)
{
    memset(r, 0, sizeof(*r));
    CALL(KVM_GET_MP_STATE, &r->mp_state); /* it may change registers */
    CALL(KVM_GET_REGS, &r->regs);
    CALL(KVM_GET_SREGS, &r->sregs);
    CALL(KVM_GET_XCRS, &r->xcrs);
    CALL(KVM_GET_DEBUGREGS, &r->debug);
    CALL(KVM_GET_VCPU_EVENTS, &r->events);
    if (irqchip)
        CALL(KVM_GET_LAPIC, &r->lapic);
    call(bare->k->kvm->xsave_bytes > 4096 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, r->xsave, "KVM_GET_XSAVE");
    list_msrs(r);
    g_assert_cmpint(msr_call(KVM_GET_MSRS, r->msrs, r->msr_count), ==, (int)r->msr_count);
}

static void raw_set(const Raw *from)
{
    g_autofree Raw *r = g_memdup2(from, sizeof(*from));
    CALL(KVM_SET_SREGS, &r->sregs);
    CALL(KVM_SET_REGS, &r->regs);
    CALL(KVM_SET_XSAVE, r->xsave);
    if (avx)
        CALL(KVM_SET_XCRS, &r->xcrs);
    CALL(KVM_SET_DEBUGREGS, &r->debug);
    if (irqchip)
        CALL(KVM_SET_LAPIC, &r->lapic);
    /* One by one: of what is refused zero, since the kernel keeps a part of some that it does not take. */
    for (unsigned i = 0; i < r->msr_count; i++) {
        struct kvm_msr_entry one = r->msrs[i];
        bool taken = msr_call(KVM_SET_MSRS, &one, 1) == 1;
        one.data = 0;
        if (!taken)
            msr_call(KVM_SET_MSRS, &one, 1);
    }
    CALL(KVM_SET_VCPU_EVENTS, &r->events);
    CALL(KVM_SET_MP_STATE, &r->mp_state);
}

/* ---- legal, but random ---- */

static void random_segment(struct kvm_segment *s)
{
    *s = (struct kvm_segment){ .base = random64() & (percent(50) ? UINT32_MAX : 0x7fffffffffff),
                               .limit = g_rand_int(rng) | (percent(50) ? 0xfff : 0),
                               .selector = (uint16_t)below(65536),
                               .type = (uint8_t)below(16),
                               .present = percent(80),
                               .dpl = (uint8_t)below(4),
                               .db = percent(50),
                               .s = percent(80),
                               .g = percent(50),
                               .avl = percent(50) };
    s->unusable = !s->present || percent(10);
}

enum { MODE_REAL, MODE_PROTECTED, MODE_PAGED, MODE_LONG_COMPATIBLE, MODE_LONG_64, MODES };
static const char *const mode_names[] = { "real", "protected", "paged", "compatibility", "64-bit" };

static void random_special(Raw *r, unsigned mode)
{
    struct kvm_sregs *s = &r->sregs;
    struct kvm_segment *segments[] = { &s->es, &s->ss, &s->ds, &s->fs, &s->gs, &s->ldt, &s->cs };
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
        random_segment(segments[i]);
    s->cs = (struct kvm_segment){ .base = mode == MODE_LONG_64 ? 0 : g_rand_int(rng) & ~15u,
                                  .limit = UINT32_MAX,
                                  .selector = (uint16_t)(below(8192) << 3),
                                  .type = 11,
                                  .present = 1,
                                  .s = 1,
                                  .g = 1,
                                  .l = mode == MODE_LONG_64,
                                  .db = mode != MODE_LONG_64 };
    s->tr = (struct kvm_segment){ .base = g_rand_int(rng), .limit = 0x67, .selector = 0x40, .type = 11, .present = 1 };
    s->gdt.base = random64() & 0x7fffffffffff;
    s->gdt.limit = (uint16_t)below(65536);
    s->idt.base = random64() & 0x7fffffffffff;
    s->idt.limit = (uint16_t)below(65536);
    s->cr0 = CR0_ET | CR0_NE | (mode >= MODE_PROTECTED ? CR0_PE : 0) | (mode >= MODE_PAGED ? CR0_PG : 0) |
             (percent(50) ? CR0_WP | CR0_TS : CR0_MP);
    s->cr2 = random64();
    s->cr3 = below(256) << 12;
    s->cr4 = (mode >= MODE_LONG_COMPATIBLE ? CR4_PAE : 0) | (percent(50) ? CR4_OSFXSR | CR4_PSE : CR4_DE | CR4_PGE);
    s->efer = mode >= MODE_LONG_COMPATIBLE ? EFER_LME | EFER_LMA | EFER_SCE | (percent(50) ? EFER_NXE : 0) : 0;
    s->cr8 = irqchip ? 0 : below(16);
    memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
}

static void random_general(Raw *r, unsigned mode)
{
    uint64_t *regs = (uint64_t *)&r->regs;
    for (unsigned i = 0; i < sizeof(r->regs) / 8; i++)
        regs[i] = random64();
    r->regs.rip = mode == MODE_LONG_64 ? r->regs.rip & 0x7fffffffffff : (uint32_t)r->regs.rip;
    r->regs.rflags = (r->regs.rflags & 0x0fffd5 & ~(uint64_t)(FLAG_VM | FLAG_TF)) | FLAG_1;
    if (mode >= MODE_PROTECTED && percent(50))
        r->regs.rflags |= FLAG_ID;
    r->regs.rflags &= X86_FLAGS_ALL;
}

static void random_extended(Raw *r)
{
    uint64_t use = avx ? below(8) : below(4), header[8] = { use };
    uint32_t mxcsr = g_rand_int(rng) & 0xffbf;
    uint8_t *x = r->xsave;
    memset(x, 0, XSAVE_ROOM);
    if (use & 1) {
        uint16_t head[4] = { (uint16_t)((g_rand_int(rng) & 0xf3f) | 0x40), (uint16_t)g_rand_int(rng),
                             (uint16_t)below(256), (uint16_t)below(2048) };
        memcpy(x, head, 8);
        for (unsigned i = 8; i < 24; i++)
            x[i] = (uint8_t)below(256);
        for (unsigned i = 0; i < 8; i++) {
            for (unsigned b = 0; b < 10; b++)
                x[32 + 16 * i + b] = (uint8_t)below(256);
        }
    }
    memcpy(x + 24, &mxcsr, 4);
    for (unsigned i = 0; use & 2 && i < 256; i++)
        x[160 + i] = (uint8_t)below(256);
    for (unsigned i = 0; use & 4 && i < 256; i++)
        x[576 + i] = (uint8_t)below(256);
    memcpy(x + 512, header, sizeof(header));
    r->xcrs = (struct kvm_xcrs){ .nr_xcrs = 1, .xcrs = { { .value = percent(50) ? 7 : 1 + 2 * below(2) } } };
}

static void random_debug(Raw *r)
{
    for (unsigned i = 0; i < 4; i++)
        r->debug.db[i] = random64() & 0x7fffffffffff;
    r->debug.dr6 = 0xffff0ff0 | (g_rand_int(rng) & 0xe00f);
    r->debug.dr7 = 0x400 | (g_rand_int(rng) & 0xffff03ff);
}

static void random_events(Raw *r)
{
    struct kvm_vcpu_events *e = &r->events;
    uint32_t flags = e->flags & (KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
    memset(e, 0, sizeof(*e));
    e->flags = flags | KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
               (irqchip ? KVM_VCPUEVENT_VALID_SIPI_VECTOR : 0);
    e->interrupt.shadow = percent(20) ? KVM_X86_SHADOW_INT_STI : percent(20) ? KVM_X86_SHADOW_INT_MOV_SS : 0;
    e->nmi.masked = percent(30);
    e->nmi.pending = percent(30);
    e->sipi_vector = irqchip ? below(256) : 0;
    e->triple_fault.pending = flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && percent(10);
    switch (below(5)) {
    case 0:
        e->exception.injected = 1;
        e->exception.nr = VECTOR_GP;
        e->exception.has_error_code = 1;
        e->exception.error_code = below(65536);
        break;
    case 1:
        if (flags & KVM_VCPUEVENT_VALID_PAYLOAD) {
            e->exception.pending = 1;
            e->exception.nr = VECTOR_PF;
            e->exception.has_error_code = 1;
            e->exception.error_code = below(32);
            e->exception_has_payload = 1;
            e->exception_payload = random64();
        }
        break;
    case 2:
        e->interrupt.injected = 1;
        e->interrupt.nr = (uint8_t)(32 + below(224));
        e->interrupt.soft = percent(30);
        break;
    case 3:
        e->nmi.injected = 1;
        break;
    default:
        break;
    }
}

static void put32(Raw *r, unsigned at, uint32_t v)
{
    memcpy(&r->lapic.regs[at], &v, 4);
}

static void random_apic(Raw *r)
{
    static const uint32_t states[] = { KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_HALTED,
                                       KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED };
    r->mp_state.mp_state = irqchip ? states[below(G_N_ELEMENTS(states))] : KVM_MP_STATE_RUNNABLE;
    if (!irqchip)
        return;
    r->sregs.cr8 = below(16);
    put32(r, 0x80, (uint32_t)r->sregs.cr8 << 4 | below(16));
    put32(r, 0xd0, g_rand_int(rng) & 0xff000000);
    put32(r, 0xe0, percent(50) ? 0xffffffff : 0x0fffffff);
    put32(r, 0xf0, below(256) | 0x100);
    for (unsigned i = 0; i < 8; i++) { /* ISR, TMR, IRR; vectors below 16 there are none */
        uint32_t legal = i ? UINT32_MAX : 0xffff0000;
        put32(r, 0x100 + 16 * i, percent(30) ? g_rand_int(rng) & legal : 0);
        put32(r, 0x180 + 16 * i, percent(30) ? g_rand_int(rng) & legal : 0);
        put32(r, 0x200 + 16 * i, percent(30) ? g_rand_int(rng) & legal : 0);
    }
    put32(r, 0x300, g_rand_int(rng) & 0xcfff & ~0x1000u);
    put32(r, 0x310, g_rand_int(rng) & 0xff000000);
    for (unsigned at = 0x330; at <= 0x370; at += 16)
        put32(r, at, (below(240) + 16) | (percent(50) ? 0x10000 : 0));
    put32(r, LAPIC_LVTT, (below(240) + 16) | 0x10000 | (percent(50) ? 0x20000 : percent(50) ? 0x40000 : 0));
    put32(r, 0x3e0, below(4));
    put32(r, LAPIC_TMICT, 0);
    put32(r, LAPIC_TMCCT, 0);
}

/* Whatever the kernel takes, of what it may hold. */
static void random_msrs(Raw *r)
{
    list_msrs(r);
    for (unsigned i = 0; i < r->msr_count; i++) {
        uint32_t index = r->msrs[i].index;
        bool clock = index == TSC || index == TSC_ADJUST || index == TSC_DEADLINE;
        if (clock || percent(30))
            r->msrs[i].data = clock ? r->msrs[i].data : 0;
        else
            r->msrs[i].data = random64() & (percent(50) ? 0x7fffffffffff : percent(50) ? 0x0606060606060606 : 7);
    }
}

static void random_raw(Raw *r, unsigned mode)
{
    raw_get(r);
    random_special(r, mode);
    random_general(r, mode);
    random_extended(r);
    random_debug(r);
    random_events(r);
    random_apic(r);
    random_msrs(r);
}

/* ---- comparisons ---- */

static void same_bytes(const char *what, const char *when, const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++) {
        if (x[i] != y[i])
            g_error("%s %s: byte 0x%zx is %02x, was %02x", what, when, i, y[i], x[i]);
    }
}

static void same_raw(const char *when, const Raw *a, const Raw *b)
{
#define SAME(member) same_bytes(#member, when, &a->member, &b->member, sizeof(a->member))
    SAME(mp_state);
    SAME(regs);
    SAME(sregs);
    SAME(xcrs);
    SAME(debug);
    SAME(events);
    SAME(xsave);
#undef SAME
    /* The processor priority is worked out from others, by some kernels from what was in service before. */
    same_bytes("lapic", when, &a->lapic, &b->lapic, LAPIC_PPR);
    same_bytes("lapic + 0xb0", when, &a->lapic.regs[LAPIC_PPR + 16], &b->lapic.regs[LAPIC_PPR + 16],
               sizeof(a->lapic) - LAPIC_PPR - 16);
    for (unsigned i = 0; i < a->msr_count; i++) {
        const struct kvm_msr_entry *x = &a->msrs[i], *y = &b->msrs[i];
        if (x->index == TSC)
            g_assert_cmphex(y->data - x->data, <, UINT64_C(1) << 40); /* it goes on */
        else if (x->data != y->data)
            g_error("MSR 0x%x %s: 0x%llx, was 0x%llx", x->index, when, y->data, x->data);
    }
}

static void same_target(const X86State *a, const X86State *b)
{
#define SAME(member) same_bytes("X86State." #member, "fetched again", &a->member, &b->member, sizeof(a->member))
    SAME(cs.pc);
    SAME(gpr);
    SAME(eflags);
    SAME(cc_result);
    SAME(segment);
    SAME(ldt);
    SAME(tr);
    SAME(gdt);
    SAME(idt);
    SAME(cr0);
    SAME(cr2);
    SAME(cr3);
    SAME(cr4);
    SAME(cr8);
    SAME(efer);
    SAME(xcr0);
    SAME(pkru);
    SAME(dr);
    SAME(xmm);
    SAME(mxcsr);
    SAME(fpu);
    SAME(shadow);
    SAME(nmi_blocked);
    SAME(waiting);
    SAME(star);
    SAME(lstar);
    SAME(kernel_gs_base);
    SAME(pat);
    SAME(apic_base);
    SAME(mtrr_fixed);
    SAME(mtrr_mask);
    SAME(mc_bank);
#undef SAME
}

static void get_state(void)
{
    g_autoptr(GError) err = NULL;
    if (!kvm_get_state(bare->k, &err))
        g_error("%s", err->message);
}

static void put_state(KvmPut what)
{
    g_autoptr(GError) err = NULL;
    if (!kvm_put_state(bare->k, what, &err))
        g_error("%s", err->message);
}

/* ---- tests ---- */

static void test_round_trip(const void *data)
{
    unsigned mode = GPOINTER_TO_UINT(data);
    g_autofree Raw *wanted = g_new0(Raw, 1), *first = g_new0(Raw, 1), *other = g_new0(Raw, 1), *again = g_new0(Raw, 1);
    g_autofree X86State *seen = aligned_alloc(64, (sizeof(X86State) + 63) & ~(size_t)63);
    for (unsigned round = 0; round < ROUNDS; round++) {
        random_raw(wanted, mode);
        raw_set(wanted);
        raw_get(first);
        get_state();
        memcpy(seen, bare->s, sizeof(*seen));
        put_state(KVM_PUT_CHANGES);
        raw_get(again);
        same_raw("after nothing has changed", first, again);
        random_raw(other, below(MODES));
        raw_set(other);
        put_state(KVM_PUT_ALL);
        raw_get(again);
        same_raw("put back", first, again);
        get_state();
        same_target(seen, bare->s);
    }
}

/* A component that the kernel says is in its initial configuration is, whatever its registers were before. */
static void test_initial(void)
{
    g_autofree Raw *r = g_new0(Raw, 1);
    static const uint8_t zeros[10];
    random_raw(r, MODE_LONG_64);
    get_state();
    memset(bare->s->fpu.reg, 0x5a, sizeof(bare->s->fpu.reg));
    memset(bare->s->xmm, 0x5a, sizeof(bare->s->xmm));
    memset(r->xsave, 0, XSAVE_ROOM);
    raw_set(r);
    get_state();
    for (unsigned i = 0; i < 8; i++)
        g_assert_cmpmem(bare->s->fpu.reg[i], sizeof(zeros), zeros, sizeof(zeros));
    g_assert_cmphex(bare->s->fpu.control, ==, 0x37f);
    g_assert_cmphex(bare->s->xmm[7][0] | bare->s->xmm[7][3], ==, 0);
}

/* What X86State is changed to gets there, in each of the components. */
static void test_changes(void)
{
    g_autofree Raw *r = g_new0(Raw, 1);
    uint64_t use;
    random_raw(r, MODE_LONG_64);
    raw_set(r);
    get_state();
    bare->s->gpr[R11] = 0x1122334455667788;
    bare->s->xmm[9][1] = 0x8877665544332211;
    bare->s->segment[X86_GS].base = 0x7fff12345678;
    bare->s->dr[2] = 0x4711000;
    bare->s->lstar = 0x1234567000;
    put_state(KVM_PUT_CHANGES);
    raw_get(r);
    memcpy(&use, r->xsave + 512, 8);
    g_assert_cmphex(r->regs.r11, ==, 0x1122334455667788);
    g_assert_cmpmem(r->xsave + 160 + 9 * 16 + 8, 8, &bare->s->xmm[9][1], 8);
    g_assert_true(use & 2);
    g_assert_cmphex(r->sregs.gs.base, ==, 0x7fff12345678);
    g_assert_cmphex(r->debug.db[2], ==, 0x4711000);
    get_state();
    g_assert_cmphex(bare->s->lstar, ==, 0x1234567000);
}

/* An interrupt, an NMI that arrive between get and put are still there. */
static void test_arrivals(void)
{
    g_autofree Raw *r = g_new0(Raw, 1);
    if (!irqchip) {
        g_test_skip("no interrupt controller");
        return;
    }
    random_raw(r, MODE_LONG_64);
    memset(&r->lapic.regs[0x200], 0, 0x80);
    r->events.nmi.pending = 0;
    r->mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
    raw_set(r);
    get_state();
    struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x77 };
    g_assert_cmpint(ioctl(bare->k->kvm->vm, KVM_SIGNAL_MSI, &msi), ==, 1);
    g_assert_cmpint(ioctl(bare->k->fd, KVM_NMI, 0), ==, 0);
    put_state(KVM_PUT_CHANGES);
    raw_get(r);
    g_assert_true(r->lapic.regs[0x200 + 16 * 3 + 2] & 1 << 7);
    g_assert_true(r->events.nmi.pending);
}

/* The deadline is one only in its timer's mode, which the local APIC has. */
static void test_deadline(void)
{
    g_autofree Raw *r = g_new0(Raw, 1);
    uint64_t deadline = UINT64_MAX >> 8;
    struct kvm_msr_entry one = { .index = TSC_DEADLINE, .data = deadline };
    if (!irqchip) {
        g_test_skip("no interrupt controller");
        return;
    }
    random_raw(r, MODE_LONG_64);
    put32(r, LAPIC_LVTT, 0x40000 | 0x10000 | 0x80);
    raw_set(r);
    if (msr_call(KVM_SET_MSRS, &one, 1) != 1) {
        g_test_skip("the kernel has no deadline timer");
        return;
    }
    get_state();
    put32(r, LAPIC_LVTT, 0x10000 | 0x80);
    CALL(KVM_SET_LAPIC, &r->lapic);
    put_state(KVM_PUT_ALL);
    one.data = 0;
    g_assert_cmpint(msr_call(KVM_GET_MSRS, &one, 1), ==, 1);
    g_assert_cmphex(one.data, ==, deadline);
}

/* The state at power-up, whatever was there before. */
static void test_reset(void)
{
    g_autofree Raw *r = g_new0(Raw, 1), *first = g_new0(Raw, 1), *again = g_new0(Raw, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        machine_lock(bare->machine);
        vcpu_reset(bare->vcpu);
        machine_unlock(bare->machine);
        put_state(KVM_PUT_RESET);
        raw_get(round ? again : first);
        if (round)
            same_raw("after a reset", first, again);
        random_raw(r, below(MODES));
        raw_set(r);
    }
    g_assert_cmphex(first->regs.rip, ==, 0xfff0);
    g_assert_cmphex(first->regs.rflags, ==, 2);
    g_assert_cmphex(first->sregs.cs.base, ==, 0xffff0000);
    g_assert_cmphex(first->sregs.cs.selector, ==, 0xf000);
    g_assert_cmphex(first->sregs.cr0, ==, CR0_ET | CR0_CD | CR0_NW);
    g_assert_cmphex(first->debug.dr7, ==, 0x400);
    g_assert_cmpuint(first->mp_state.mp_state, ==, KVM_MP_STATE_RUNNABLE);
}

/* ---- the guest's clock ---- */

static uint64_t clock_now_ns(void)
{
    struct kvm_clock_data data = { 0 };
    g_assert_cmpint(ioctl(bare->k->kvm->vm, KVM_GET_CLOCK, &data), ==, 0);
    return data.clock;
}

/* The pause is nothing that kvmclock shows: it goes on from where it stopped. */
static void test_clock(void)
{
    enum { PAUSE_NS = 300 * 1000000 };
    struct kvm_pit_state2 pit;
    machine_lock(bare->machine);
    bare->vcpu->halted = true; /* there is no guest */
    machine_start(bare->machine);
    machine_stop(bare->machine, RUN_PAUSED);
    uint64_t before = bare->k->kvm->clock.clock, host = (uint64_t)g_get_monotonic_time() * 1000;
    g_usleep(PAUSE_NS / 1000);
    uint64_t running_on = clock_now_ns();
    machine_start(bare->machine);
    uint64_t after = clock_now_ns(), passed = (uint64_t)g_get_monotonic_time() * 1000 - host;
    machine_stop(bare->machine, RUN_PAUSED);
    machine_unlock(bare->machine);
    g_assert_cmpuint(running_on - before, >=, PAUSE_NS);
    g_assert_cmpuint(after - before, <=, passed - PAUSE_NS);
    g_assert_cmpint(ioctl(bare->k->kvm->vm, KVM_GET_PIT2, &pit) == 0, ==, irqchip);
    bare->vcpu->halted = false;
}

int main(int argc, char **argv)
{
    int missing = bare_kvm_missing();
    g_test_init(&argc, &argv, NULL);
    if (missing)
        return missing;
    irqchip = argc < 2 || strcmp(argv[1], "off") != 0;
    rng = g_rand_new_with_seed(4711);
    bare = bare_kvm_new(irqchip ? "kernel-irqchip=on" : "kernel-irqchip=off", "max", RAM_BYTES);
    avx = bare_kvm_add_avx(bare);
    if (!avx)
        puts("the kernel keeps no AVX state: without");
    for (unsigned mode = 0; mode < MODES; mode++) {
        g_autofree char *path = g_strdup_printf("/kvm/state/round-trip/%s", mode_names[mode]);
        g_test_add_data_func(path, GUINT_TO_POINTER(mode), test_round_trip);
    }
    g_test_add_func("/kvm/state/initial", test_initial);
    g_test_add_func("/kvm/state/changes", test_changes);
    g_test_add_func("/kvm/state/arrivals", test_arrivals);
    g_test_add_func("/kvm/state/deadline", test_deadline);
    g_test_add_func("/kvm/state/reset", test_reset);
    g_test_add_func("/kvm/state/clock", test_clock);
    int status = g_test_run();
    bare_kvm_free(bare);
    g_rand_free(rng);
    return status;
}
