/*
 * Single instructions of another accelerator's vCPU: see step.h.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/step.h"
#include "accel/tcg/tcg.h"
#include <string.h>

TcgCpu *tcg_step_new(Vcpu *vcpu, TcgElsewhere elsewhere)
{
    TcgCpu *c = g_new0(TcgCpu, 1);
    c->vcpu = vcpu;
    c->cs = vcpu->state;
    c->memory = &vcpu->machine->memory;
    c->uncached = c->stepping = true;
    c->elsewhere = elsewhere;
    c->ir = ir_unit_new();
    c->ir->vectors = true;
    c->tcg = g_new0(TcgState, 1); /* most of it is never touched */
    c->tcg->machine = vcpu->machine;
    tcg_contexts_init_uncached(c);
    c->cs->set = NULL;
    return c;
}

void tcg_step_free(TcgCpu *c)
{
    if (!c)
        return;
    tcg_contexts_free(c);
    ir_unit_free(c->ir);
    g_free(c->tcg);
    g_free(c);
}

/* Between these the target finds c. */
static void begin(TcgCpu *c)
{
    ((AccelCpu *)c->vcpu->accel)->tcg = c;
    c->cs->set = c->sets[0];
    c->cs->raised = 0;
    c->view = view_get(c->memory);
}

static void end(TcgCpu *c)
{
    view_put(c->view);
    c->view = NULL;
    c->cs->raised = 0;
    c->cs->icount_rest = 0;
    c->cs->set = NULL;
    ((AccelCpu *)c->vcpu->accel)->tcg = NULL;
}

static bool has_watches(const DebugRequest *r)
{
    bool any = false;
    for (unsigned i = 0; r && i < r->count; i++)
        any |= r->points[i].kind >= DEBUG_WRITE;
    return any;
}

/* The page of RAM at va, for looking only. False: raising would tell. *none: there is something else. */
static bool look_at(TcgCpu *c, uint64_t va, const uint8_t **host, bool *none)
{
    Walk w;
    va = c->vcpu->target->bits == 32 ? (uint32_t)va : va;
    if (!c->vcpu->target->walk(c->cs, va, ACCESS_FETCH, c->cs->mmu_index, false, &w))
        return false;
    const FlatRange *range = view_find(c->view, w.phys);
    uint64_t page = w.phys & GUEST_PAGE_MASK;
    *none = !range || !range->region->host || range->base > page || range->last - page < GUEST_PAGE_SIZE - 1;
    if (!*none)
        *host = range->region->host + range->offset + (w.phys - range->base);
    return !*none;
}

bool tcg_step_peek(TcgCpu *c, uint8_t *bytes, unsigned *count)
{
    uint64_t pc = c->cs->pc;
    unsigned first = MIN(*count, GUEST_PAGE_SIZE - (unsigned)(pc & (GUEST_PAGE_SIZE - 1))), most = *count;
    const uint8_t *host;
    bool none = false;
    *count = 0;
    begin(c);
    if (look_at(c, pc, &host, &none)) {
        memcpy(bytes, host, first);
        *count = first;
        if (first < most && look_at(c, pc + first, &host, &(bool){ false })) {
            memcpy(bytes + first, host, most - first);
            *count = most;
        }
    }
    end(c);
    return !none;
}

TcgStep tcg_step(TcgCpu *c, const DebugRequest *request, const DebugPoint **hit)
{
    TcgDebug debug = { .watches = has_watches(request) };
    IrExit exit = EXIT_LOOKUP;
    begin(c);
    if (debug.watches) {
        debug.request = *request;
        c->debug = &debug;
    }
    c->refused = false;
    const IrUnit *ir = tcg_translate_one(c);
    if (ir) {
        c->cs->pc_base = c->cs->pc & GUEST_PAGE_MASK;
        exit = ir_interpret(ir, c->cs);
    }
    *hit = debug.hit;
    c->debug = NULL;
    end(c);
    return c->refused ? TCG_STEP_REFUSED : (exit & 0xff) == EXIT_HALT ? TCG_STEP_HALTED : TCG_STEP_DONE;
}

void tcg_step_call(TcgCpu *c, void (*fn)(CpuState *cs, void *opaque), void *opaque)
{
    begin(c);
    fn(c->cs, opaque);
    end(c);
}
