/*
 * All vCPUs on one thread, in turn (-accel tcg,thread=single): each runs for a slice of real time, or until it waits
 * for an interrupt or hints that it spins. With -icount a slice is a number of instructions, see accel/icount.h.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"

#define SLICE_NS INT64_C(2000000)

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

/* Run until something is to be looked at. True: it is the next one's turn. */
static bool run_turn(TcgCpu *c, bool alone)
{
    TcgState *t = c->tcg;
    uint64_t pending_link = UINT64_MAX;
    TcgRun run = TCG_RUN_ON;
    if (!alone && !timer_armed(&t->slice)) {
        __atomic_store_n(&t->slice_over, false, __ATOMIC_SEQ_CST);
        timer_set(&t->slice, clock_now(t->machine->clocks, CLOCK_REAL_NS) + SLICE_NS);
    }
    __atomic_store_n(&t->running, c, __ATOMIC_SEQ_CST);
    tcg_enter(c);
    while (run == TCG_RUN_ON && !__atomic_load_n(&c->cs->poll, __ATOMIC_RELAXED))
        run = tcg_run_stretch(c, &pending_link);
    tcg_leave(c, run);
    __atomic_store_n(&t->running, NULL, __ATOMIC_SEQ_CST);
    return run == TCG_RUN_YIELD || run == TCG_RUN_HALT || __atomic_load_n(&t->slice_over, __ATOMIC_SEQ_CST);
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
            stopped |= standing == VCPU_STOPPED;
            i++;
        }
        vcpu_none_current();
        if (!stopped)
            return true;
        vcpu_group_sleep(runner, -1);
    }
}

void tcg_single_run(Vcpu *runner)
{
    unsigned at = 0, waiting = 0; /* whose turn it is; how many in a row had nothing to do */
    for (;;) {
        Vcpu *vcpu = vcpu_group_at(runner, at);
        bool next = true;
        if (!vcpu) {
            if (waiting >= at)
                vcpu_group_sleep(runner, -1);
            at = 0;
            continue;
        }
        switch (vcpu_look(vcpu)) {
        case VCPU_RUNS:
            waiting = 0;
            next = run_turn(vcpu->accel, !vcpu_group_at(runner, 1));
            break;
        case VCPU_HALTED:
            waiting++;
            break;
        case VCPU_STOPPED:
        case VCPU_GONE:
            if (!park(runner))
                return;
            waiting = 0;
            next = false;
            break;
        }
        if (next) {
            at++;
            timer_cancel(&((TcgState *)runner->machine->accel_state)->slice);
        }
    }
}
