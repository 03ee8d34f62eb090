/*
 * KVM: debuggers: breakpoints, watchpoints, single steps (api.rst: KVM_SET_GUEST_DEBUG, KVM_EXIT_DEBUG; SDM volume 3,
 * chapter 18.2).
 *
 * A software breakpoint is an int3 in the guest's memory, which stands there while any vCPU asks for it. The others
 * take the four debug registers, in place of the guest's own while there are any. An int3 or a debug exception that
 * nobody here asked for goes to the guest.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "target/target.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

enum { INT3 = 0xcc, REGISTERS = 4 };

/* ---- software breakpoints ---- */

typedef struct Breakpoint {
    uint64_t address, physical;
    unsigned users;
    uint8_t was;
} Breakpoint;

static Breakpoint *find_breakpoint(KvmState *kvm, uint64_t address)
{
    for (guint i = 0; kvm->breakpoints && i < kvm->breakpoints->len; i++) {
        Breakpoint *b = &g_array_index(kvm->breakpoints, Breakpoint, i);
        if (b->address == address)
            return b;
    }
    return NULL;
}

static bool insert(KvmVcpu *k, uint64_t address, GError **err)
{
    CpuState *cs = k->vcpu->state;
    AddressSpace *as = &k->vcpu->machine->memory;
    Breakpoint new = { .address = address, .users = 1 }, *old = find_breakpoint(k->kvm, address);
    uint8_t code = INT3;
    Walk w = { 0 };
    if (old) {
        old->users++;
        return true;
    }
    if (!k->vcpu->target->walk(cs, address, ACCESS_FETCH, cs->mmu_index, false, &w) ||
        as_read(as, w.phys, &new.was, 1) != MEM_OK || as_write(as, w.phys, &code, 1) != MEM_OK ||
        as_read(as, w.phys, &code, 1) != MEM_OK || code != INT3)
        return error_set(err, "no breakpoint can be set at 0x%" PRIx64 ": there is no memory that can be written",
                         address);
    new.physical = w.phys;
    if (!k->kvm->breakpoints)
        k->kvm->breakpoints = g_array_new(FALSE, FALSE, sizeof(Breakpoint));
    g_array_append_val(k->kvm->breakpoints, new);
    return true;
}

/* Code that the guest has written there since stays. */
static void take_out(KvmVcpu *k, uint64_t address)
{
    AddressSpace *as = &k->vcpu->machine->memory;
    Breakpoint *b = find_breakpoint(k->kvm, address);
    uint8_t code = 0;
    if (!b || --b->users)
        return;
    if (as_read(as, b->physical, &code, 1) == MEM_OK && code == INT3)
        as_write(as, b->physical, &b->was, 1);
    g_array_remove_index_fast(k->kvm->breakpoints, (guint)(b - (Breakpoint *)(void *)k->kvm->breakpoints->data));
}

/* ---- debug registers ---- */

/* One of them watches 1, 2, 4 or 8 bytes, aligned. */
static bool use_register(KvmDebug *d, unsigned point, GError **err)
{
    static const uint8_t kinds[] = { [DEBUG_EXECUTE] = 0, [DEBUG_WRITE] = 1, [DEBUG_READ] = 3, [DEBUG_ACCESS] = 3 };
    static const uint8_t lengths[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
    const DebugPoint *p = &d->request.points[point];
    uint64_t length = p->kind == DEBUG_EXECUTE ? 1 : p->length;
    unsigned n = d->used;
    if (n == REGISTERS)
        return error_set(err, "the processor has %d debug registers, and no more", REGISTERS);
    if (!length || length > 8 || length & (length - 1) || p->address & (length - 1))
        return error_set(err, "a watchpoint covers 1, 2, 4 or 8 bytes, and lies at a multiple of that");
    d->slot[n] = (uint8_t)point;
    d->dr7 |= 2ull << (2 * n) | (uint64_t)(kinds[p->kind] | lengths[length] << 2) << (16 + 4 * n);
    d->used++;
    return true;
}

static bool tell_kernel(KvmVcpu *k, uint32_t inject, GError **err)
{
    const KvmDebug *d = &k->debug;
    struct kvm_guest_debug g = { .control = d->control | inject };
    for (unsigned i = 0; i < d->used; i++)
        g.arch.debugreg[i] = d->request.points[d->slot[i]].address;
    g.arch.debugreg[7] = d->dr7;
    return ioctl(k->fd, KVM_SET_GUEST_DEBUG, &g) >= 0 || error_set_errno(err, errno, "KVM: debugging");
}

/* ---- requests ---- */

static void forget(KvmVcpu *k)
{
    const DebugRequest *r = &k->debug.request;
    for (unsigned i = 0; i < r->count; i++) {
        if (r->points[i].kind == DEBUG_SOFTWARE)
            take_out(k, r->points[i].address);
    }
    g_free((void *)r->points);
    k->debug = (KvmDebug){ 0 };
}

/* Point by point: what is there so far is what forget undoes. */
static bool build(KvmVcpu *k, const DebugRequest *request, GError **err)
{
    KvmDebug *d = &k->debug;
    d->request = *request;
    d->request.points = g_memdup2(request->points, request->count * sizeof(DebugPoint));
    d->request.count = 0;
    d->dr7 = DR7_RESET;
    d->control = KVM_GUESTDBG_ENABLE | (request->step ? KVM_GUESTDBG_SINGLESTEP : 0);
    for (unsigned i = 0; i < request->count; i++) {
        bool software = request->points[i].kind == DEBUG_SOFTWARE;
        if (!(software ? insert(k, request->points[i].address, err) : use_register(d, i, err)))
            return false;
        d->control |= software ? KVM_GUESTDBG_USE_SW_BP : KVM_GUESTDBG_USE_HW_BP;
        d->request.count = i + 1;
    }
    return true;
}

bool kvm_vcpu_debug(Vcpu *vcpu, const DebugRequest *request, GError **err)
{
    KvmVcpu *k = kvm_vcpu(vcpu);
    vcpu->machine->accel->vcpu_read_state(vcpu);
    forget(k);
    if (!request || (build(k, request, err) && tell_kernel(k, 0, err)))
        return request || tell_kernel(k, 0, err);
    forget(k);
    tell_kernel(k, 0, NULL);
    return false;
}

/* ---- what happens ---- */

static bool stop(KvmVcpu *k, const DebugPoint *point)
{
    vcpu_request(k->vcpu, VCPU_STOP);
    k->debug.request.stopped(k->vcpu, point, k->debug.request.opaque);
    return true;
}

void kvm_debug_stepped(KvmVcpu *k, const DebugPoint *hit)
{
    if (hit || k->debug.request.step)
        stop(k, hit);
}

bool kvm_debug_exit(KvmVcpu *k, GError **err)
{
    const struct kvm_debug_exit_arch *e = &k->run->debug.arch;
    const KvmDebug *d = &k->debug;
    if (e->exception == VECTOR_BP) {
        for (unsigned i = 0; i < d->request.count; i++) {
            if (d->request.points[i].kind == DEBUG_SOFTWARE && d->request.points[i].address == e->pc)
                return stop(k, &d->request.points[i]);
        }
        return tell_kernel(k, KVM_GUESTDBG_INJECT_BP, err);
    }
    if (e->dr6 & DR6_BS && d->request.step)
        return stop(k, NULL);
    for (unsigned n = 0; n < d->used; n++) {
        if (e->dr6 >> n & 1)
            return stop(k, &d->request.points[d->slot[n]]);
    }
    if (!kvm_get_state(k, err)) /* DR6 says to the guest what it was */
        return false;
    x86(k->vcpu->state)->dr[6] = e->dr6;
    return kvm_put_state(k, KVM_PUT_CHANGES, err) && tell_kernel(k, KVM_GUESTDBG_INJECT_DB, err);
}
