/*
 * All vCPUs on one thread, in turn (-accel tcg,thread=single): each runs for a slice of real time, or until it waits
 * for an interrupt or hints that it spins.
 *
 * With -icount a slice is a number of instructions, and nothing in real time changes the order: a kick from another
 * thread makes the vCPU look whether something is asked of it, and go on with the rest of its slice. Code runs in
 * portions that end with the slice or at the next timer. Where a portion would end in the middle of a piece of straight
 * code (tcg/icount.c), and where a device is accessed, instructions are executed one by one, by units of their own.
 * SPDX-License-Identifier: MIT
 */
#include "accel/icount.h"
#include "accel/tcg/tcg.h"

#define SLICE_NS    INT64_C(2000000)
#define SLICE_INSNS 50000

/* The slice of whoever runs is over. Main loop's thread. */
static void slice_over(void *opaque)
{
    TcgState *t = opaque;
    TcgCpu *running = __atomic_load_n(&t->running, __ATOMIC_SEQ_CST);
    __atomic_store_n(&t->slice_over, true, __ATOMIC_SEQ_CST);
    if (running)
        __atomic_store_n(&running->cs->poll, 1, __ATOMIC_SEQ_CST);
}

void tcg_single_init(TcgState *t)
{
    t->machine->single_thread = true;
    timer_init(&t->slice, t->machine->clocks, CLOCK_REAL_NS, slice_over, t);
}

void tcg_single_destroy(TcgState *t)
{
    timer_cancel(&t->slice);
}

/* ---- -icount ---- */

bool tcg_must_step(TcgCpu *c)
{
    if (!c->tcg->machine->icount || c->stepping)
        return false;
    icount_cut(c->tcg->machine->icount);
    c->step = true;
    c->cs->raised = 1; /* leave, with pc as it is */
    return true;
}

bool tcg_step_store(TcgCpu *c)
{
    if (c->tcg->machine->icount || c->stepping)
        return tcg_must_step(c);
    c->step = true;
    c->cs->raised = 1;
    __atomic_store_n(&c->cs->poll, 1, __ATOMIC_SEQ_CST); /* else a jump cache may lead back to the unit */
    return true;
}

bool tcg_step_for_device(CpuState *cs)
{
    return tcg_must_step(tcg_cpu(cs));
}

bool tcg_count(const CpuState *cs, uint64_t *count)
{
    const TcgCpu *c = tcg_cpu_if_any((CpuState *)cs);
    if (!c || !c->tcg || !c->tcg->machine->icount)
        return false;
    *count = c->counted + icount_since_begin(c->tcg->machine->icount, cs);
    return true;
}

/* At most that many instructions; they are taken from the slice. */
static TcgRun run_portion(TcgCpu *c, Icount *ic, int64_t most, uint64_t *pending_link)
{
    c->stepping = c->step;
    c->step = false;
    icount_begin(ic, c->cs, c->stepping ? 1 : most);
    TcgRun run = tcg_run_stretch(c, pending_link);
    bool in_piece = run == TCG_RUN_SHORT && c->cs->icount > 0;
    int64_t done = icount_end(ic);
    c->stepping = false;
    c->step |= in_piece;
    c->counted += done;
    c->tcg->left -= done;
    return run;
}

/* Run until something is to be looked at, or a timer is due. True: it is the next one's turn. */
static bool run_counted_turn(TcgCpu *c, Icount *ic)
{
    TcgState *t = c->tcg;
    uint64_t pending_link = UINT64_MAX;
    TcgRun run = TCG_RUN_ON;
    if (t->left <= 0)
        t->left = SLICE_INSNS;
    tcg_enter(c);
    bool over = __atomic_load_n(&c->vcpu->halted, __ATOMIC_RELAXED); /* by what was delivered */
    for (bool due = false; !over && !due && run != TCG_RUN_FULL && !__atomic_load_n(&c->cs->poll, __ATOMIC_RELAXED);) {
        run = run_portion(c, ic, icount_budget(ic, t->left), &pending_link);
        over = run == TCG_RUN_YIELD || run == TCG_RUN_HALT || t->left <= 0;
        due = icount_due(ic);
    }
    tcg_leave(c, run);
    if (over)
        t->left = 0;
    return over;
}

/* ---- turns ---- */

/* Run until something is to be looked at. True: it is the next one's turn. */
static bool run_turn(TcgCpu *c, bool alone)
{
    TcgState *t = c->tcg;
    uint64_t pending_link = UINT64_MAX;
    TcgRun run = TCG_RUN_ON;
    if (t->machine->icount)
        return run_counted_turn(c, t->machine->icount);
    if (!alone && !timer_armed(&t->slice)) {
        __atomic_store_n(&t->slice_over, false, __ATOMIC_SEQ_CST);
        timer_set(&t->slice, clock_now(t->machine->clocks, CLOCK_REAL_NS) + SLICE_NS);
    }
    __atomic_store_n(&t->running, c, __ATOMIC_SEQ_CST);
    tcg_enter(c);
    bool halted = __atomic_load_n(&c->vcpu->halted, __ATOMIC_RELAXED); /* by what was delivered */
    for (bool first = true; !halted && run == TCG_RUN_ON && (first || !__atomic_load_n(&c->cs->poll, __ATOMIC_RELAXED));
         first = false)
        run = tcg_run_stretch(c, &pending_link);
    tcg_leave(c, run);
    __atomic_store_n(&t->running, NULL, __ATOMIC_SEQ_CST);
    return run == TCG_RUN_YIELD || run == TCG_RUN_HALT || __atomic_load_n(&t->slice_over, __ATOMIC_SEQ_CST);
}

/* A debugger keeps it where it is while others run. */
static bool held(const Vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->held, __ATOMIC_SEQ_CST);
}

/* Some vCPU was told to stop: all are, or are about to be. Returns when none is any more, to go on where it was. False:
 * the thread is to end. */
static bool park(Vcpu *runner)
{
    for (;;) {
        bool stopped = false;
        Vcpu *vcpu;
        for (unsigned i = 0; (vcpu = vcpu_group_at(runner, i));) {
            VcpuStanding standing = vcpu_look(vcpu);
            if (standing == VCPU_GONE && vcpu == runner)
                return false;
            if (standing == VCPU_GONE) {
                vcpu_group_leave(vcpu);
                continue;
            }
            stopped |= standing == VCPU_STOPPED && !held(vcpu);
            i++;
        }
        vcpu_none_current();
        if (!stopped)
            return true;
        vcpu_group_sleep(runner, -1);
    }
}

/* Each has had its turn. idle: with nothing to do. */
static void round_over(Vcpu *runner, bool idle)
{
    Icount *ic = runner->machine->icount;
    if (ic)
        icount_pace(ic, runner);
    if (idle && ic)
        icount_wait(ic, runner);
    else if (idle)
        vcpu_group_sleep(runner, -1);
}

void tcg_single_run(Vcpu *runner)
{
    Icount *ic = runner->machine->icount;
    unsigned at = 0, waiting = 0; /* whose turn it is; how many in a row had nothing to do */
    if (ic)
        icount_adopt(ic);
    for (;;) {
        Vcpu *vcpu = vcpu_group_at(runner, at);
        bool next = true;
        if (!vcpu) {
            round_over(runner, waiting >= at);
            at = 0;
            continue;
        }
        VcpuStanding standing = vcpu_look(vcpu);
        if (ic && standing <= VCPU_HALTED && icount_due(ic)) {
            icount_fire(ic);
            standing = vcpu_look(vcpu); /* it may have changed, and does whatever was asked of it meanwhile */
        }
        switch (standing == VCPU_STOPPED && held(vcpu) ? VCPU_HALTED : standing) {
        case VCPU_RUNS:
            if (ic && waiting)
                icount_woken(ic);
            waiting = 0;
            next = run_turn(vcpu->accel, !vcpu_group_at(runner, 1));
            break;
        case VCPU_HALTED:
            waiting++;
            break;
        case VCPU_STOPPED:
        case VCPU_GONE:
            next =
                ((TcgCpu *)vcpu->accel)->debug; /* else a breakpoint in each turn would keep the others from theirs */
            if (!park(runner))
                return;
            if (ic)
                icount_resumed(ic);
            waiting = 0;
            break;
        }
        if (next) {
            at++;
            timer_cancel(&((TcgState *)runner->machine->accel_state)->slice);
        }
    }
}
