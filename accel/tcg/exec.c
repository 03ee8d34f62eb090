/*
 * The JIT accelerator: set-up, and the loop of each vCPU's thread.
 * SPDX-License-Identifier: MIT
 */
#include "accel/icount.h"
#include "accel/tcg/tcg.h"
#include "tcg/ir_host.h"
#include "util/error.h"
#include "util/log.h"
#include <string.h>

/* Firmware may wait for another hart in a loop of halts while an interrupt that it does not take is pending: from so
 * many on, each halt takes a while, and longer and longer. */
#define MAX_EMPTY_HALTS 200
#define NAP_STEP_US     100
#define MOST_NAP_US     5000

#define DEFAULT_CACHE ((uint64_t)256 << 20)

/* ---- floating-point state ---- */

static unsigned host_flags(void)
{
    return ir_host_flags(__builtin_ia32_stmxcsr());
}

uint8_t tcg_fp_flags(CpuState *cs)
{
    if (cs->fp_live) {
        cs->fp_flags |= host_flags();
        __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() & ~0x3fu);
    }
    return cs->fp_flags;
}

void tcg_fp_set(CpuState *cs, uint8_t flags, uint8_t round)
{
    cs->fp_flags = flags;
    cs->fp_round = round;
    if (cs->fp_live)
        __builtin_ia32_ldmxcsr(ir_host_mxcsr(round));
}

/* ---- the machine's part ---- */

/* The vCPU whose store or OUT it is must see it with its next access: nothing of the old view is in its tables from now
 * on, and what fills them takes the new one. The others see it when they come out of their code. */
static void view_changed(MemListener *listener, FlatView *view)
{
    TcgState *t = (TcgState *)((char *)listener - offsetof(TcgState, listener));
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        Vcpu *vcpu = t->machine->vcpus->pdata[v];
        TcgCpu *c = vcpu->accel;
        if (c) {
            __atomic_store_n(&c->view_stale, true, __ATOMIC_SEQ_CST);
            __atomic_store_n(&c->cs->poll, 1, __ATOMIC_SEQ_CST);
            if (vcpu == vcpu_current())
                tcg_flush_all(c->cs);
        }
    }
}

static TcgState *of_listener(MemListener *listener)
{
    return (TcgState *)((char *)listener - offsetof(TcgState, listener));
}

static void log_page(MemListener *listener, MemRegion *region, uint64_t offset)
{
    tcg_mail_all(of_listener(listener), UINT64_MAX, (Mail){ MAIL_WRITES, (uintptr_t)region->host + offset });
}

static bool log_settled(MemListener *listener)
{
    return tcg_mail_all_read(of_listener(listener));
}

static bool tcg_init(Machine *machine, Opts *opts, GError **err)
{
    static const char *const threads[] = { "multi", "single", NULL };
    Opts *icount = machine->config.icount;
    uint64_t megabytes = DEFAULT_CACHE >> 20;
    unsigned thread = 0;
    bool jit = true, perfmap = false, jitdump = false;
    if (opts && (!opts_bool(opts, "jit", &jit, err) || !opts_uint(opts, "tb-size", &megabytes, 1, 1024, err) ||
                 !opts_enum(opts, "thread", threads, &thread, err) || !opts_bool(opts, "perfmap", &perfmap, err) ||
                 !opts_bool(opts, "jitdump", &jitdump, err)))
        return false;
    if (icount && opts && opts_has(opts, "thread") && !thread)
        return error_set(err, "-accel tcg: thread=multi cannot be used with -icount; thread=single is its default");
    if (icount && !icount_init(machine, icount, err))
        return false;
    TcgState *t = g_new0(TcgState, 1);
    t->machine = machine;
    t->fd = -1;
    machine->accel_state = t;
    t->jit = jit && emit_available();
    g_mutex_init(&t->lock);
    for (unsigned i = 0; i < PAGE_LOCKS; i++)
        g_mutex_init(&t->page_locks[i]);
    t->young = g_ptr_array_new();
    t->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    tcg_sample_init(t);
    if (t->jit && !tcg_cache_init(t, megabytes << 20, err))
        return false;
    if (!t->jit)
        tcg_chunks_init(t, 0);
    if (t->jit && (perfmap || jitdump) && !(t->perf = tcg_perf_open(perfmap, jitdump, err)))
        return false;
    if (thread || icount)
        tcg_single_init(t);
    t->listener = (MemListener){ .commit = view_changed, .log_page = log_page, .log_settled = log_settled };
    as_add_listener(&machine->memory, &t->listener);
    return true;
}

static void tcg_destroy(Machine *machine)
{
    TcgState *t = machine->accel_state;
    if (!t)
        return;
    if (machine->single_thread)
        tcg_single_destroy(t);
    icount_free(machine);
    if (t->pages) {
        as_del_listener(&machine->memory, &t->listener);
        g_hash_table_destroy(t->pages);
        g_ptr_array_free(t->young, TRUE);
        tcg_sample_free(t);
        tcg_chunks_free(t);
        tcg_cache_free(t);
        tcg_perf_close(t->perf);
        g_mutex_clear(&t->lock);
        for (unsigned i = 0; i < PAGE_LOCKS; i++)
            g_mutex_clear(&t->page_locks[i]);
    }
    g_free(t);
    machine->accel_state = NULL;
}

static void tcg_ram_written(Machine *machine, uint64_t ram_addr, uint64_t len)
{
    tcg_unit_invalidate(machine->accel_state, NULL, ram_addr, len);
}

/* ---- a vCPU's part ---- */

/* A range of the old view may be in use: the device access that changed the memory is on the stack. */
static void take_view(TcgCpu *c)
{
    c->old_views = g_slist_prepend(c->old_views, c->view);
    c->view = view_get(c->memory);
    tcg_flush_all(c->cs);
}

static void free_old_views(TcgCpu *c)
{
    g_slist_free_full(c->old_views, (GDestroyNotify)view_put);
    c->old_views = NULL;
}

void tcg_renew_view(TcgCpu *c)
{
    if (__atomic_exchange_n(&c->view_stale, false, __ATOMIC_SEQ_CST))
        take_view(c);
}

static bool tcg_vcpu_init(Vcpu *vcpu, GError **err)
{
    TcgCpu *c = g_new0(TcgCpu, 1);
    c->vcpu = vcpu;
    c->cs = vcpu->state;
    c->memory = &vcpu->machine->memory;
    c->view = view_get(c->memory);
    c->ir = ir_unit_new();
    c->tcg = vcpu->machine->accel_state;
    c->epoch = EPOCH_OUT;
    g_mutex_init(&c->mailbox.lock);
    c->ir->vectors = !c->tcg->jit || emit_vectors();
    c->common.tcg = c;
    vcpu->accel = c;
    tcg_sample_cpu(c, true);
    return tcg_contexts_init(c);
}

static void tcg_vcpu_destroy(Vcpu *vcpu)
{
    TcgCpu *c = vcpu->accel;
    if (!c)
        return;
    tcg_sample_cpu(c, false);
    tcg_debug_free(c);
    tcg_chunk_leave(c);
    g_mutex_clear(&c->mailbox.lock);
    tcg_contexts_free(c);
    free_old_views(c);
    view_put(c->view);
    ir_unit_free(c->ir);
    g_free(c);
    vcpu->accel = NULL;
}

static void tcg_vcpu_kick(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
}

/* ---- running ---- */

void tcg_set_memory(CpuState *cs, AddressSpace *space)
{
    TcgCpu *c = tcg_cpu_if_any(cs);
    AddressSpace *memory = space ? space : &cs->vcpu->machine->memory;
    if (!c || c->memory == memory)
        return;
    c->memory = memory;
    take_view(c);
}

static void log_entry(TcgCpu *c)
{
    log_printf(LOG_EXEC, "vcpu %u pc %016" G_GINT64_MODIFIER "x mode %x\n", c->vcpu->index, c->cs->pc, c->cs->mode);
    if (log_on(LOG_CPU)) {
        g_autoptr(GString) text = g_string_new(NULL);
        c->vcpu->target->cpu_dump(c->cs, text);
        log_write("%s", text->str);
    }
}

static TcgRun after_exit(TcgCpu *c, uint64_t exit, uint64_t *pending_link)
{
    tcg_phase(c, PHASE_LOOP);
    TCG_COUNT(&c->stats, exits);
    c->cs->raised = 0;
    c->cs->icount_rest = 0;
    switch (exit & 0xff) {
    case EXIT_POLL:
        TCG_COUNT(&c->stats, polls);
        break;
    case EXIT_CHAIN:
        if (!log_on(LOG_EXEC | LOG_CPU))
            *pending_link = exit >> 8;
        break;
    case EXIT_HALT:
        TCG_COUNT(&c->stats, halts);
        c->empty_halts = c->vcpu->target->has_work(c->cs) ? c->empty_halts + 1 : 0;
        c->nap = c->empty_halts > MAX_EMPTY_HALTS;
        __atomic_store_n(&c->vcpu->halted, true, __ATOMIC_SEQ_CST);
        __atomic_store_n(&c->cs->poll, 1, __ATOMIC_SEQ_CST);
        return TCG_RUN_HALT;
    case EXIT_YIELD:
        return TCG_RUN_YIELD;
    case EXIT_ICOUNT:
        return TCG_RUN_SHORT;
    }
    return TCG_RUN_ON;
}

TcgRun tcg_run_stretch(TcgCpu *c, uint64_t *pending_link)
{
    bool full;
    tcg_phase(c, PHASE_LOOKUP);
    if (G_UNLIKELY(c->debug) && tcg_debug_before(c)) {
        *pending_link = UINT64_MAX;
        return TCG_RUN_ON;
    }
    if (!c->tcg->machine->icount) {
        c->stepping = c->step;
        c->step = false;
    }
    Unit *u = tcg_unit_find(c, &full);
    if (!u) {
        c->step |= c->stepping;
        if (G_UNLIKELY(c->debug) && c->cs->raised)
            tcg_debug_after(c); /* fetching the instruction led to a handler: that was the step */
        c->cs->raised = 0;
        *pending_link = UINT64_MAX;
        return full ? TCG_RUN_FULL : TCG_RUN_ON;
    }
    if (*pending_link != UINT64_MAX && u->code && !c->stepping)
        tcg_unit_link(c, *pending_link, u);
    *pending_link = UINT64_MAX;
    if (log_on(LOG_EXEC | LOG_CPU))
        log_entry(c);
    uint64_t exit;
    tcg_phase(c, PHASE_CODE);
    if (u->code) {
        exit = c->tcg->thunks.enter(c->cs, u->code);
    } else {
        c->cs->pc_base = c->cs->pc & GUEST_PAGE_MASK;
        exit = ir_interpret(u->ir, c->cs);
    }
    TcgRun run = after_exit(c, exit, pending_link);
    if (G_UNLIKELY(c->debug))
        tcg_debug_after(c);
    return run;
}

static void take_nap(TcgCpu *c)
{
    unsigned long us = (unsigned long)(c->empty_halts - MAX_EMPTY_HALTS) * NAP_STEP_US;
    tcg_phase(c, PHASE_IDLE);
    g_usleep(MIN(us, MOST_NAP_US));
    tcg_phase(c, PHASE_LOOP);
    c->nap = false;
}

void tcg_enter(TcgCpu *c)
{
    tcg_sample_busy(c);
    tcg_renew_view(c);
    free_old_views(c);
    tcg_renew_guesses(c);
    bool held_back = G_UNLIKELY(c->debug) && c->debug->no_interrupts;
    while (!held_back && c->vcpu->target->deliver_interrupt(c->cs))
        c->empty_halts = 0;
    c->step |= tcg_debug_steps(c);
    if (c->nap && c->empty_halts && !c->tcg->machine->single_thread)
        take_nap(c);
    tcg_enter_code(c);
}

void tcg_leave(TcgCpu *c, TcgRun last)
{
    tcg_leave_code(c);
    if (last == TCG_RUN_FULL)
        tcg_chunk_wait(c);
    tcg_phase(c, PHASE_IDLE);
}

static void tcg_vcpu_run(Vcpu *vcpu)
{
    TcgCpu *c = vcpu->accel;
    if (vcpu->machine->single_thread) {
        tcg_single_run(vcpu);
        return;
    }
    while (vcpu_attend(vcpu)) {
        uint64_t pending_link = UINT64_MAX;
        TcgRun run = TCG_RUN_ON;
        tcg_enter(c);
        /* once at least: a target may hold an interrupt back for an instruction. Not at all if what was delivered has
         * halted it: an x86 processor after INIT waits for a start-up IPI. */
        bool halted = __atomic_load_n(&vcpu->halted, __ATOMIC_RELAXED);
        for (bool first = true;
             !halted && run != TCG_RUN_FULL && (first || !__atomic_load_n(&c->cs->poll, __ATOMIC_RELAXED));
             first = false) {
            run = tcg_run_stretch(c, &pending_link);
            if (run == TCG_RUN_YIELD)
                g_thread_yield();
        }
        tcg_leave(c, run);
    }
}

const AccelType accel_tcg = {
    .name = "tcg",
    .desc = "just-in-time compiler (jit=off: interpreter)",
    .option_names = (const char *const[]){ "jit", "tb-size", "thread", "perfmap", "jitdump", NULL },
    .init = tcg_init,
    .destroy = tcg_destroy,
    .vcpu_init = tcg_vcpu_init,
    .vcpu_destroy = tcg_vcpu_destroy,
    .vcpu_run = tcg_vcpu_run,
    .vcpu_kick = tcg_vcpu_kick,
    .vcpu_debug = tcg_vcpu_debug,
    .ram_written = tcg_ram_written,
    .info_jit = tcg_info_jit,
};
