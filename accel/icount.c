/*
 * Virtual time from executed instructions (see icount.h).
 * SPDX-License-Identifier: MIT
 */
#include "accel/icount.h"
#include "hw/core/machine.h"
#include "target/target.h"
#include "util/error.h"
#include "util/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_SHIFT    10
#define AUTO_SHIFT   3                   /* shift=auto begins with this */
#define AUTO_NS      INT64_C(100000000)  /* and looks again this often, */
#define AUTO_SLACK   INT64_C(50000000)   /* at a difference of more than this */
#define ALIGN_SLACK  INT64_C(3000000)    /* align=on: how far the guest may be ahead */
#define LATE_NS      INT64_C(1000000000) /* a warning for each of these that it is behind, */
#define LATE_RATE    INT64_C(2000000000) /* at most this often, */
#define LATE_PRINTS  100                 /* at most so many */
#define LONGEST_WAIT INT64_C(100000000)

struct Icount {
    Machine *machine;
    bool automatic, align, sleep;
    uint32_t shift;   /* atomic */
    uint64_t total;   /* atomic: instructions executed before the present portion */
    int64_t bias_ns;  /* atomic: virtual time beyond total << shift */
    int64_t warps_ns; /* atomic: part of it that was skipped or slept */
    /* the executing thread's */
    CpuState *running;
    int64_t granted;
    int64_t idle_since; /* real time; 0: not waiting */
    int64_t real_base;  /* real time less this is where virtual time should be */
    int64_t looked_ns, last_lead;
    int64_t late_told, late_at;
    unsigned late_count;
};

static __thread const Icount *icount_here; /* that this thread executes for */

/* ---- time ---- */

int64_t icount_since_begin(const Icount *ic, const CpuState *cs)
{
    return icount_here == ic && ic->running == cs ? ic->granted - cs->icount - cs->icount_rest : 0;
}

static uint64_t icount_total(const Icount *ic)
{
    uint64_t total = __atomic_load_n(&ic->total, __ATOMIC_ACQUIRE);
    return icount_here == ic && ic->running ? total + icount_since_begin(ic, ic->running) : total;
}

static int64_t icount_now(void *opaque)
{
    const Icount *ic = opaque;
    uint64_t counted = icount_total(ic) << __atomic_load_n(&ic->shift, __ATOMIC_RELAXED);
    return counted + __atomic_load_n(&ic->bias_ns, __ATOMIC_RELAXED);
}

static void bias_add(Icount *ic, int64_t ns)
{
    __atomic_fetch_add(&ic->bias_ns, ns, __ATOMIC_SEQ_CST);
}

static void icount_set(void *opaque, int64_t ns)
{
    bias_add(opaque, ns - icount_now(opaque));
}

static int64_t real_now(const Icount *ic)
{
    return clock_now(ic->machine->clocks, CLOCK_REAL_NS);
}

/* The portion may be too long now: look again. */
static void icount_earlier(void *opaque)
{
    Icount *ic = opaque;
    if (icount_here == ic) {
        if (ic->running)
            __atomic_store_n(&ic->running->poll, 1, __ATOMIC_SEQ_CST);
        return;
    }
    for (guint i = 0; i < ic->machine->vcpus->len; i++)
        vcpu_request(g_ptr_array_index(ic->machine->vcpus, i), VCPU_INTERRUPT);
}

static const ClockDriver driver = { icount_now, icount_set, icount_earlier };

/* ---- executing ---- */

void icount_adopt(Icount *ic)
{
    icount_here = ic;
}

bool icount_due(const Icount *ic)
{
    return clock_deadline(ic->machine->clocks) <= icount_now((void *)ic);
}

void icount_fire(Icount *ic)
{
    vcpu_none_current();
    clock_fire_due(ic->machine->clocks);
}

int64_t icount_budget(Icount *ic, int64_t most)
{
    int64_t deadline = clock_deadline(ic->machine->clocks), left;
    if (deadline == TIMER_NEVER || __builtin_sub_overflow(deadline, icount_now(ic), &left))
        return most;
    int64_t unit = INT64_C(1) << ic->shift;
    int64_t insns = left / unit + (left % unit > 0);
    return CLAMP(insns, 1, most);
}

void icount_begin(Icount *ic, CpuState *cs, int64_t budget)
{
    ic->running = cs;
    ic->granted = budget;
    cs->icount = (int32_t)budget;
    cs->icount_rest = 0;
}

int64_t icount_end(Icount *ic)
{
    CpuState *cs = ic->running;
    int64_t done = ic->granted - cs->icount;
    ic->running = NULL;
    cs->icount = 0;
    cs->icount_rest = 0;
    __atomic_store_n(&ic->total, ic->total + done, __ATOMIC_RELEASE);
    return done;
}

void icount_cut(Icount *ic)
{
    CpuState *cs = ic->running;
    cs->icount += cs->icount_rest;
    cs->icount_rest = 0;
    ic->granted -= cs->icount;
    cs->icount = 0;
}

/* ---- waiting ---- */

static void skip_to(Icount *ic, int64_t deadline)
{
    int64_t ns = deadline - icount_now(ic);
    if (ns > 0) {
        bias_add(ic, ns);
        __atomic_store_n(&ic->warps_ns, ic->warps_ns + ns, __ATOMIC_RELAXED);
    }
}

void icount_wait(Icount *ic, Vcpu *runner)
{
    int64_t deadline = clock_deadline(ic->machine->clocks), left = -1;
    if (!ic->sleep && deadline != TIMER_NEVER) {
        skip_to(ic, deadline);
        return;
    }
    int64_t real = real_now(ic);
    if (!ic->idle_since)
        ic->idle_since = real;
    if (deadline != TIMER_NEVER)
        left = MAX(deadline - icount_now(ic) - (real - ic->idle_since), 0);
    if (!left || !vcpu_group_sleep(runner, left)) {
        skip_to(ic, deadline);
        ic->idle_since = 0;
    }
}

void icount_woken(Icount *ic)
{
    int64_t deadline = clock_deadline(ic->machine->clocks);
    if (ic->idle_since && ic->sleep)
        skip_to(ic, MIN(deadline, icount_now(ic) + real_now(ic) - ic->idle_since));
    ic->idle_since = 0;
}

/* ---- keeping pace with real time ---- */

void icount_resumed(Icount *ic)
{
    ic->real_base = real_now(ic) - icount_now(ic);
    ic->idle_since = 0;
}

static void set_shift(Icount *ic, uint32_t shift)
{
    int64_t before = icount_now(ic);
    __atomic_store_n(&ic->shift, shift, __ATOMIC_RELAXED);
    bias_add(ic, before - icount_now(ic));
}

/* Nearer to real time if the distance grows. */
static void adjust(Icount *ic, int64_t real, int64_t lead)
{
    if (real - ic->looked_ns < AUTO_NS)
        return;
    ic->looked_ns = real;
    if (lead > AUTO_SLACK && lead > ic->last_lead && ic->shift > 0)
        set_shift(ic, ic->shift - 1);
    else if (lead < -AUTO_SLACK && lead < ic->last_lead && ic->shift < MAX_SHIFT)
        set_shift(ic, ic->shift + 1);
    ic->last_lead = lead;
}

static void warn_if_late(Icount *ic, int64_t real, int64_t late)
{
    bool news = late > ic->late_told + LATE_NS || (late + LATE_NS < ic->late_told && late > 0);
    if (!news || real - ic->late_at < LATE_RATE || ic->late_count == LATE_PRINTS)
        return;
    ic->late_told = late;
    ic->late_at = real;
    ic->late_count++;
    fprintf(stderr, "rhea: -icount: the guest is %.1f seconds late\n", late / 1e9);
}

void icount_pace(Icount *ic, Vcpu *runner)
{
    if (!ic->automatic && !ic->align)
        return;
    int64_t real = real_now(ic), lead = icount_now(ic) - (real - ic->real_base);
    if (ic->automatic)
        adjust(ic, real, lead);
    else if (lead > ALIGN_SLACK)
        vcpu_group_sleep(runner, MIN(lead, LONGEST_WAIT));
    else
        warn_if_late(ic, real, -lead);
}

/* ---- life cycle ---- */

static bool parse_shift(Icount *ic, const char *text, GError **err)
{
    uint64_t shift;
    ic->automatic = !strcmp(text, "auto");
    ic->shift = AUTO_SHIFT;
    if (ic->automatic)
        return true;
    if (!parse_uint(text, &shift, NULL) || shift > MAX_SHIFT)
        return error_set(err, "-icount: shift=%s: 0 to %u, or auto, is needed", text, MAX_SHIFT);
    ic->shift = shift;
    return true;
}

static bool parse(Icount *ic, Opts *opts, GError **err)
{
    static const char *const known[] = { "shift", "align", "sleep", NULL }, *const replay[] = { "rr", "rrfile",
                                                                                                "rrsnapshot" };
    for (unsigned i = 0; i < G_N_ELEMENTS(replay); i++) {
        if (opts_has(opts, replay[i]))
            return error_set(err, "-icount: %s= is not there: record and replay are not offered", replay[i]);
    }
    const char *shift = opts_string(opts, "shift", NULL);
    ic->sleep = true;
    if (!opts_bool(opts, "align", &ic->align, err) || !opts_bool(opts, "sleep", &ic->sleep, err) ||
        !opts_finish(opts, known, err))
        return false;
    if (!shift)
        return error_set(err, "-icount: shift= is missing: 0 to %u, or auto", MAX_SHIFT);
    if (!parse_shift(ic, shift, err))
        return false;
    if (ic->automatic && ic->align)
        return error_set(err, "-icount: shift=auto and align=on cannot be used together");
    if (ic->automatic && !ic->sleep)
        return error_set(err, "-icount: shift=auto and sleep=off cannot be used together");
    if (ic->align && !ic->sleep)
        return error_set(err, "-icount: align=on and sleep=off cannot be used together");
    return true;
}

bool icount_init(Machine *machine, Opts *opts, GError **err)
{
    Icount *ic = g_new0(Icount, 1);
    ic->machine = machine;
    if (!parse(ic, opts, err)) {
        g_free(ic);
        return false;
    }
    machine->icount = ic;
    clock_drive(machine->clocks, &driver, ic);
    return true;
}

void icount_free(Machine *machine)
{
    Icount *ic = machine->icount;
    if (!ic)
        return;
    if (log_on(LOG_ICOUNT)) {
        g_autoptr(GString) text = g_string_new(NULL);
        icount_info(ic, text);
        log_write("%s", text->str);
    }
    clock_drive(machine->clocks, NULL, NULL);
    machine->icount = NULL;
    g_free(ic);
}

void icount_info(const Icount *ic, GString *out)
{
    g_string_append_printf(out,
                           "icount: %" PRIu64 " instructions, shift %u%s, %" PRId64
                           " ns of virtual time, of which %" PRId64 " ns were skipped\n",
                           __atomic_load_n(&ic->total, __ATOMIC_RELAXED), __atomic_load_n(&ic->shift, __ATOMIC_RELAXED),
                           ic->automatic ? " (auto)" : "", clock_now(ic->machine->clocks, CLOCK_VIRTUAL_NS),
                           __atomic_load_n(&ic->warps_ns, __ATOMIC_RELAXED));
}
