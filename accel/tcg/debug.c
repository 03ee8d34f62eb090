/*
 * Debuggers: breakpoints, watchpoints, single steps (AccelType.vcpu_debug).
 *
 * Breakpoints are looked for where C chooses what to run next. Units end in front of each place in a page, of whatever
 * address space, where there is one, and what begins there is neither linked nor in a jump cache. A page with a
 * watchpoint has no TLB entries, so that each access to it comes here; an access of generated code is begun again in a
 * unit of its own, behind which the vCPU stops. A step is a unit of one instruction that is interpreted, which leads
 * nowhere else. Without a debugger nothing of this is there but a pointer to look at between stretches of code.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include <string.h>

static bool is_code(const DebugPoint *p)
{
    return p->kind == DEBUG_SOFTWARE || p->kind == DEBUG_EXECUTE;
}

/* ---- requests ---- */

void tcg_debug_free(TcgCpu *c)
{
    if (!c->debug)
        return;
    g_free((void *)c->debug->request.points);
    g_clear_pointer(&c->debug, g_free);
}

static void add_break(TcgState *t, unsigned in_page)
{
    if (t->breaks[in_page / 64] >> (in_page % 64) & 1)
        return;
    t->breaks[in_page / 64] |= 1ull << (in_page % 64);
    t->has_breaks = true;
    tcg_unit_drop_at(t, in_page);
}

/* The last debugger is gone: code may be as it likes. */
static void forget_breaks(TcgState *t)
{
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        const TcgCpu *c = ((Vcpu *)t->machine->vcpus->pdata[v])->accel;
        if (c && c->debug)
            return;
    }
    memset(t->breaks, 0, sizeof(t->breaks));
    t->has_breaks = false;
}

bool tcg_vcpu_debug(Vcpu *vcpu, const DebugRequest *request, GError **err)
{
    TcgCpu *c = vcpu->accel;
    bool watched = c->debug && c->debug->watches;
    tcg_debug_free(c);
    if (!request) {
        forget_breaks(c->tcg);
    } else {
        c->debug = g_new0(TcgDebug, 1);
        c->debug->request = *request;
        c->debug->request.points = g_memdup2(request->points, request->count * sizeof(DebugPoint));
        c->debug->no_interrupts = request->step && !__atomic_load_n(&vcpu->halted, __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; request && i < request->count; i++) {
        if (is_code(&request->points[i]))
            add_break(c->tcg, request->points[i].address & (GUEST_PAGE_SIZE - 1));
        else
            c->debug->watches = true;
    }
    if (watched || (c->debug && c->debug->watches)) /* it flushes its TLB before it goes on */
        __atomic_store_n(&c->view_stale, true, __ATOMIC_SEQ_CST);
    return true;
}

/* ---- what happens ---- */

static void stop(TcgCpu *c, const DebugPoint *point)
{
    const DebugRequest *r = &c->debug->request;
    c->debug->hit = NULL;
    vcpu_request(c->vcpu, VCPU_STOP);
    r->stopped(c->vcpu, point, r->opaque);
}

bool tcg_debug_before(TcgCpu *c)
{
    const DebugRequest *r = &c->debug->request;
    for (unsigned i = 0; i < r->count; i++) {
        if (is_code(&r->points[i]) && r->points[i].address == c->cs->pc) {
            stop(c, &r->points[i]);
            return true;
        }
    }
    c->step |= c->debug->watches && !c->tcg->jit; /* no instruction can be begun again in the middle of a unit */
    return false;
}

void tcg_debug_after(TcgCpu *c)
{
    if (c->debug->hit)
        stop(c, c->debug->hit);
    else if (c->debug->request.step && c->stepping)
        stop(c, NULL);
}

/* ---- watchpoints ---- */

static bool touches(const DebugPoint *p, uint64_t first, uint64_t size)
{
    return p->length && first - p->address < p->length ? true : p->length && p->address - first < size;
}

bool tcg_debug_watches(const TcgCpu *c, uint64_t va)
{
    const DebugRequest *r = &c->debug->request;
    for (unsigned i = 0; i < r->count; i++) {
        if (!is_code(&r->points[i]) && touches(&r->points[i], va & GUEST_PAGE_MASK, GUEST_PAGE_SIZE))
            return true;
    }
    return false;
}

bool tcg_debug_access(TcgCpu *c, uint64_t va, unsigned size, unsigned access)
{
    const DebugRequest *r = &c->debug->request;
    DebugKind kind = access == ACCESS_STORE ? DEBUG_WRITE : DEBUG_READ;
    for (unsigned i = 0; i < r->count; i++) {
        const DebugPoint *p = &r->points[i];
        if ((p->kind != kind && p->kind != DEBUG_ACCESS) || !touches(p, va, size))
            continue;
        if (c->own_access && tcg_step_store(c))
            return true;
        c->debug->hit = p;
        __atomic_store_n(&c->cs->poll, 1, __ATOMIC_SEQ_CST);
        return false;
    }
    return false;
}
