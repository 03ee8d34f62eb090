/*
 * Run control of the stub: breakpoints are in the accelerator's hands while the machine runs, and only then, so that a
 * debugger sees memory as the guest has it; whoever starts the machine. A vCPU's hit stops all, and is told when the
 * machine stands.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "ui/gdbstub/stub.h"
#include "util/error.h"
#include "util/mainloop.h"
#include <inttypes.h>
#include <string.h>

enum { SIG_INT = 2, SIG_QUIT = 3, SIG_TRAP = 5, SIG_ABRT = 6, SIG_ALRM = 14, SIG_IO = 23 }; /* GDB's numbers */

static bool is_code(const DebugPoint *p)
{
    return p->kind == DEBUG_SOFTWARE || p->kind == DEBUG_EXECUTE;
}

/* On the vCPU's thread, which stops. */
static void stopped(Vcpu *vcpu, const DebugPoint *point, void *opaque)
{
    Stub *s = opaque;
    g_mutex_lock(&s->hit.lock);
    if (!s->hit.there) { /* others will meet their breakpoints again */
        s->hit.there = true;
        s->hit.step = !point;
        s->hit.cpu = vcpu->index;
        if (point)
            s->hit.point = *point;
    }
    g_mutex_unlock(&s->hit.lock);
    machine_request_stop(vcpu->machine, RUN_DEBUG);
}

/* ---- what the accelerator is asked; machine lock held, vCPUs stopped ---- */

static void hold(Vcpu *vcpu, bool on)
{
    __atomic_store_n(&vcpu->held, on, __ATOMIC_SEQ_CST);
}

static bool ask(Stub *s, Vcpu *vcpu, const DebugRequest *request, GError **err)
{
    const AccelType *accel = s->machine->accel;
    if (!accel->vcpu_debug)
        return !request || (!request->count && !request->step) ||
               error_set(err, "accelerator '%s' has no breakpoints", accel->name);
    return accel->vcpu_debug(vcpu, request, err);
}

/* gone: there is no debugger any more; else nothing is to be hit for now. */
static void lift(Stub *s, bool gone)
{
    static const DebugRequest nothing = { .stopped = stopped };
    for (guint i = 0; i < s->machine->vcpus->len; i++) {
        Vcpu *vcpu = s->machine->vcpus->pdata[i];
        hold(vcpu, false);
        ask(s, vcpu, gone ? NULL : &nothing, NULL);
    }
}

/* All points but those on code at the vCPU's own place, if it is to leave that. */
static bool apply_to(Stub *s, Vcpu *vcpu, StubAction action, GError **err)
{
    const DebugPoint *points = (const DebugPoint *)(const void *)s->points->data;
    DebugPoint wanted[STUB_POINTS];
    DebugRequest request = { .step = action == STUB_STEP, .points = wanted, .stopped = stopped, .opaque = s };
    bool leaves =
        action == STUB_STEP && s->at_break.there && s->at_break.cpu == vcpu->index && s->at_break.pc == vcpu->state->pc;
    for (guint i = 0; i < s->points->len; i++) {
        if (!leaves || !is_code(&points[i]) || points[i].address != vcpu->state->pc)
            wanted[request.count++] = points[i];
    }
    hold(vcpu, action == STUB_HOLD);
    return ask(s, vcpu, &request, err);
}

static bool apply(Stub *s, GError **err)
{
    for (guint i = 0; i < s->machine->vcpus->len; i++) {
        if (!apply_to(s, s->machine->vcpus->pdata[i], s->actions ? s->actions[i] : STUB_RUN, err))
            return false;
    }
    return true;
}

/* ---- the machine starts and stops ---- */

static void go_on(void *opaque)
{
    Stub *s = opaque;
    machine_lock(s->machine);
    if (s->goes_on && s->machine->state == RUN_DEBUG)
        machine_start(s->machine);
    s->goes_on = false;
    machine_unlock(s->machine);
}

/* What was hit is to be told: where the debugger looks from now on. */
static void note_hit(Stub *s)
{
    s->cpu = s->run_cpu = s->hit.cpu;
    if (s->hit.step || !is_code(&s->hit.point))
        return;
    s->at_break.there = true;
    s->at_break.cpu = s->hit.cpu;
    s->at_break.pc = stub_state(s, s->hit.cpu)->pc;
}

static void has_stopped(Stub *s)
{
    machine_cancel_stop(s->machine, RUN_DEBUG); /* of a second vCPU that was hit at the same time */
    lift(s, false);
    s->goes_on = s->stepping_over && s->hit.there && s->hit.step && s->machine->state == RUN_DEBUG;
    s->stepping_over = s->at_break.there = false;
    g_clear_pointer(&s->actions, g_free);
    if (s->goes_on) {
        mainloop_post(go_on, s);
        return;
    }
    if (s->hit.there)
        note_hit(s);
    if (s->owes_stop && !s->quiet && s->machine->state != RUN_SUSPENDED)
        stub_tell_stop(s);
}

static void state_changed(void *opaque, Machine *machine)
{
    Stub *s = opaque;
    g_autoptr(GError) err = NULL;
    if (!s->connected)
        return;
    if (machine->state != RUN_RUNNING) {
        has_stopped(s);
        return;
    }
    s->hit.there = false;
    if (!apply(s, &err)) {
        g_printerr("rhea: gdb: %s; the guest runs without breakpoints\n", err->message);
        lift(s, false);
    }
}

void stub_attach(Stub *s)
{
    machine_lock(s->machine);
    machine_add_state_hook(s->machine, state_changed, s);
    machine_unlock(s->machine);
}

void stub_detach(Stub *s)
{
    machine_lock(s->machine);
    bool runs = s->machine->state == RUN_RUNNING;
    machine_remove_hooks(s->machine, s);
    s->stepping_over = s->goes_on = s->owes_stop = false;
    if (runs)
        machine_stop(s->machine, RUN_PAUSED);
    machine_cancel_stop(s->machine, RUN_DEBUG);
    lift(s, true);
    g_array_set_size(s->points, 0);
    g_clear_pointer(&s->actions, g_free);
    s->hit.there = s->at_break.there = false;
    if (runs)
        machine_start(s->machine);
    machine_unlock(s->machine);
}

void stub_halt(Stub *s, bool quiet)
{
    machine_lock(s->machine);
    s->quiet = quiet;
    s->stepping_over = s->goes_on = false;
    if (s->machine->state == RUN_RUNNING)
        machine_stop(s->machine, RUN_PAUSED);
    else if (s->owes_stop && !quiet)
        stub_tell_stop(s);
    s->quiet = false;
    machine_unlock(s->machine);
}

/* Does a vCPU that is to run stand on a breakpoint that was told? Then it takes a step first, and the others wait. */
static bool stands_on_point(Stub *s)
{
    const DebugPoint *points = (const DebugPoint *)(const void *)s->points->data;
    if (!s->at_break.there || stub_state(s, s->at_break.cpu)->pc != s->at_break.pc ||
        (s->actions && s->actions[s->at_break.cpu] == STUB_HOLD))
        return false;
    for (guint i = 0; i < s->points->len; i++) {
        if (is_code(&points[i]) && points[i].address == s->at_break.pc)
            return true;
    }
    return false;
}

void stub_resume(Stub *s)
{
    machine_lock(s->machine);
    s->owes_stop = true;
    if (stands_on_point(s)) {
        s->stepping_over = !s->actions || s->actions[s->at_break.cpu] == STUB_RUN;
        g_free(s->actions);
        s->actions = g_new(StubAction, s->machine->vcpus->len);
        for (guint i = 0; i < s->machine->vcpus->len; i++)
            s->actions[i] = i == s->at_break.cpu ? STUB_STEP : STUB_HOLD;
    }
    machine_start(s->machine);
    if (s->machine->state != RUN_RUNNING && s->machine->state != RUN_SUSPENDED)
        stub_tell_stop(s); /* it is off */
    machine_unlock(s->machine);
}

/* ---- points ---- */

static int find(const Stub *s, const DebugPoint *point)
{
    for (guint i = 0; i < s->points->len; i++) {
        const DebugPoint *p = &g_array_index(s->points, DebugPoint, i);
        if (p->kind == point->kind && p->address == point->address && (is_code(p) || p->length == point->length))
            return (int)i;
    }
    return -1;
}

bool stub_insert(Stub *s, const DebugPoint *point, GError **err)
{
    if (find(s, point) >= 0)
        return true;
    if (s->points->len == STUB_POINTS)
        return error_set(err, "there are %d breakpoints and watchpoints, and no more", STUB_POINTS);
    machine_lock(s->machine);
    g_array_append_val(s->points, *point);
    bool ok = apply(s, err);
    if (!ok)
        g_array_set_size(s->points, s->points->len - 1);
    lift(s, false);
    machine_unlock(s->machine);
    return ok;
}

void stub_remove(Stub *s, const DebugPoint *point)
{
    int i = find(s, point);
    if (i >= 0)
        g_array_remove_index(s->points, i);
}

/* ---- stop replies ---- */

void stub_tell_stop(Stub *s)
{
    static const uint8_t signals[] = {
        [RUN_PAUSED] = SIG_INT,    [RUN_SHUTDOWN] = SIG_QUIT, [RUN_INTERNAL_ERROR] = SIG_ABRT, [RUN_IO_ERROR] = SIG_IO,
        [RUN_WATCHDOG] = SIG_ALRM, [RUN_DEBUG] = SIG_TRAP,    [RUN_PRELAUNCH] = SIG_TRAP,      [RUN_SUSPENDED] = SIG_INT
    };
    static const char *const watches[] = {
        [DEBUG_WRITE] = "watch", [DEBUG_READ] = "rwatch", [DEBUG_ACCESS] = "awatch"
    };
    g_autoptr(GString) out = g_string_new(NULL);
    unsigned signal = s->hit.there ? SIG_TRAP : signals[s->machine->state];
    g_string_append_printf(out, "T%02xthread:%02x;", signal, s->cpu + 1);
    if (s->hit.there && !s->hit.step) {
        const DebugPoint *p = &s->hit.point;
        if (!is_code(p))
            g_string_append_printf(out, "%s:%" PRIx64 ";", watches[p->kind], p->address);
        else if (s->says_why)
            g_string_append(out, p->kind == DEBUG_SOFTWARE ? "swbreak:;" : "hwbreak:;");
    }
    s->owes_stop = false;
    stub_reply(s, out->str);
}
