/*
 * Machine: creation, the lock, run states, shutdown and reset.
 *
 * Requests (shutdown, reset) come from any thread, mostly a vCPU in the middle of a device access. They are noted under
 * a leaf lock, and the main loop acts on them: only there may vCPUs be waited for.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/machine.h"
#include "accel/accel.h"
#include "hw/timer/rtc.h"
#include "target/target.h"
#include "util/error.h"
#include "util/mainloop.h"
#include "util/trace.h"
#include <string.h>

/* ---- types ---- */

#define MACHINE(symbol) extern const MachineType symbol;
#include "hw/machine/machines.def"
#undef MACHINE

static const MachineType *const all_types[] = {
#define MACHINE(symbol) &symbol,
#include "hw/machine/machines.def"
#undef MACHINE
    NULL
};

const MachineType *const *machine_types(void)
{
    return all_types;
}

static bool type_is_for(const MachineType *type, const char *target)
{
    g_auto(GStrv) names = g_strsplit(type->target, "|", -1);
    return g_strv_contains((const char *const *)names, target);
}

const MachineType *machine_type_find(const char *name, const char *target)
{
    for (const MachineType *const *type = all_types; *type; type++) {
        bool named = !strcmp((*type)->name, name) || ((*type)->alias && !strcmp((*type)->alias, name));
        if (named && (!target || type_is_for(*type, target)))
            return *type;
    }
    return NULL;
}

/* ---- lock ---- */

static __thread char thread_mark; /* its address names the thread */

bool machine_locked(const Machine *machine)
{
    return __atomic_load_n(&machine->lock_owner, __ATOMIC_RELAXED) == &thread_mark;
}

void machine_lock(Machine *machine)
{
    g_assert(!machine_locked(machine));
    g_mutex_lock(&machine->lock);
    __atomic_store_n(&machine->lock_owner, (void *)&thread_mark, __ATOMIC_RELAXED);
}

void machine_unlock(Machine *machine)
{
    g_assert(machine_locked(machine));
    __atomic_store_n(&machine->lock_owner, NULL, __ATOMIC_RELAXED);
    g_mutex_unlock(&machine->lock);
}

static void machine_lock_opaque(void *machine)
{
    machine_lock(machine);
}

static void machine_unlock_opaque(void *machine)
{
    machine_unlock(machine);
}

/* ---- creation ---- */

static Machine *machine_alloc(const MachineType *type, const AccelType *accel, const MachineConfig *config)
{
    Machine *machine = g_malloc0(type ? type->size : sizeof(Machine));
    machine->type = type;
    machine->accel = accel;
    if (config) {
        machine->config = *config;
        machine->serials = config->serials;
    }
    g_mutex_init(&machine->lock);
    g_mutex_init(&machine->pending.lock);
    machine->regions = g_hash_table_new(NULL, NULL);
    machine->rams = g_ptr_array_new();
    machine->address_spaces = g_ptr_array_new();
    machine->devices = g_ptr_array_new();
    machine->buses = g_ptr_array_new();
    machine->vcpus = g_ptr_array_new();
    machine->clocks = clocks_new(accel && accel->manual_clock, machine_lock_opaque, machine_unlock_opaque, machine);
    mem_container_init(&machine->root, machine, "system", UINT64_MAX);
    mem_container_init(&machine->io_root, machine, "io", 0);
    as_init(&machine->memory, machine, &machine->root, "memory");
    as_init(&machine->io, machine, &machine->io_root, "I/O");
    return machine;
}

static bool machine_choose_target(Machine *machine, GError **err)
{
    g_auto(GStrv) names = g_strsplit(machine->type->target, "|", -1);
    const char *name = machine->config.target ? machine->config.target : names[0];
    if (!type_is_for(machine->type, name))
        return error_set(err, "-machine: '%s' is not for %s guests, but for %s", machine->type->name, name,
                         machine->type->target);
    machine->target = target_find(name);
    return machine->target || error_set(err, "there is no guest target '%s'", name);
}

static bool machine_check_config(Machine *machine, GError **err)
{
    MachineConfig *config = &machine->config;
    if (!config->ram_size)
        config->ram_size = machine->type->default_ram;
    config->cpus = MAX(config->cpus, 1);
    config->max_cpus = MAX(config->max_cpus, config->cpus);
    if (config->max_cpus > machine->type->max_cpus)
        return error_set(err, "-smp: %u CPUs are too many, machine '%s' takes up to %u", config->max_cpus,
                         machine->type->name, machine->type->max_cpus);
    return !config->numa || numa_complete(config->numa, config->ram_size, config->cpus, err);
}

static bool machine_set_option(void *opaque, const char *key, const char *value, GError **err)
{
    Machine *machine = opaque;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Prop *prop = machine->type->props; prop && prop->name; prop++) {
        if (!strcmp(prop->name, key))
            return props_set(prop, machine, "-machine", value, err);
        g_ptr_array_add(names, (void *)prop->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *what = g_strdup_printf("-machine: %s: property", machine->type->name);
    return error_unknown_name(err, what, key, (const char *const *)names->pdata);
}

static bool machine_build(Machine *machine, GError **err)
{
    Opts *opts = machine->config.machine_opts;
    if (!machine_check_config(machine, err))
        return false;
    if (machine->type->props)
        props_set_defaults(machine->type->props, machine);
    if (opts && !opts_foreach(opts, machine_set_option, machine, err))
        return false;
    if (!rtc_configure(machine, machine->config.rtc, err))
        return false;
    machine_lock(machine);
    memory_begin(machine);
    bool ok = machine->type->init(machine, err);
    memory_commit(machine);
    machine_unlock(machine);
    return ok;
}

static bool machine_init_accel(Machine *machine, Opts *opts, GError **err)
{
    const AccelType *accel = machine->accel;
    if (accel->init && !accel->init(machine, opts, err)) {
        machine->accel = NULL; /* nothing to destroy */
        return false;
    }
    if (machine->config.icount && !machine->icount)
        return error_set(err, "-icount: accelerator '%s' does not count instructions; tcg does", accel->name);
    return !opts || opts_finish(opts, accel->option_names, err);
}

Machine *machine_new(const MachineType *type, const AccelType *accel, Opts *accel_opts, const MachineConfig *config,
                     GError **err)
{
    Machine *machine = machine_alloc(type, accel, config);
    bool ok = true;
    if (type)
        ok = machine_choose_target(machine, err);
    else if (config && config->target)
        machine->target = target_find(config->target);
    if (!ok)
        machine->accel = NULL; /* not initialised yet */
    else if (accel)
        ok = machine_init_accel(machine, accel_opts, err);
    if (ok && type)
        ok = machine_build(machine, err);
    if (ok)
        return machine;
    machine_free(machine);
    return NULL;
}

typedef struct Hook {
    MachineHook *fn;
    void *opaque;
} Hook;

void machine_add_reset_hook(Machine *machine, MachineHook *hook, void *opaque)
{
    Hook entry = { hook, opaque };
    machine->reset_hooks = g_slist_append(machine->reset_hooks, g_memdup2(&entry, sizeof(entry)));
}

void machine_add_state_hook(Machine *machine, MachineHook *hook, void *opaque)
{
    Hook entry = { hook, opaque };
    machine->state_hooks = g_slist_append(machine->state_hooks, g_memdup2(&entry, sizeof(entry)));
}

static GSList *hooks_without(GSList *hooks, void *opaque)
{
    for (GSList *link = hooks, *next; link; link = next) {
        next = link->next;
        if (((Hook *)link->data)->opaque == opaque) {
            g_free(link->data);
            hooks = g_slist_delete_link(hooks, link);
        }
    }
    return hooks;
}

void machine_remove_hooks(Machine *machine, void *opaque)
{
    machine->reset_hooks = hooks_without(machine->reset_hooks, opaque);
    machine->state_hooks = hooks_without(machine->state_hooks, opaque);
}

static void hooks_call(GSList *hooks, Machine *machine)
{
    for (GSList *link = hooks; link; link = link->next) {
        const Hook *hook = link->data;
        hook->fn(hook->opaque, machine);
    }
}

static void machine_free_memory(Machine *machine)
{
    memory_begin(machine); /* no more views */
    while (machine->address_spaces->len)
        as_destroy(g_ptr_array_index(machine->address_spaces, 0));
    GList *regions = g_hash_table_get_keys(machine->regions);
    for (GList *link = regions; link; link = link->next)
        mem_destroy(link->data);
    g_list_free(regions);
    memory_commit(machine);
    g_hash_table_unref(machine->regions);
    g_ptr_array_unref(machine->address_spaces);
    g_ptr_array_unref(machine->rams);
}

void machine_free(Machine *machine)
{
    if (!machine)
        return;
    machine_lock(machine);
    if (machine->state == RUN_RUNNING)
        machine_stop(machine, RUN_SHUTDOWN);
    vcpus_stop(machine);
    while (machine->devices->len) /* before the vCPUs, which their interrupt lines lead to */
        device_free(g_ptr_array_index(machine->devices, machine->devices->len - 1));
    while (machine->vcpus->len)
        vcpu_free(g_ptr_array_index(machine->vcpus, machine->vcpus->len - 1));
    if (machine->accel && machine->accel->destroy)
        machine->accel->destroy(machine);
    machine_free_memory(machine);
    mainloop_cancel(machine);
    machine_unlock(machine);
    clocks_free(machine->clocks);
    if (machine->type && machine->type->props)
        props_clear(machine->type->props, machine);
    g_ptr_array_unref(machine->devices);
    g_ptr_array_unref(machine->buses);
    g_ptr_array_unref(machine->vcpus);
    g_slist_free_full(machine->reset_hooks, g_free);
    g_slist_free_full(machine->state_hooks, g_free);
    g_slist_free(machine->serials);
    g_mutex_clear(&machine->lock);
    g_mutex_clear(&machine->pending.lock);
    g_free(machine);
}

/* ---- reset ---- */

/* vCPUs stopped. */
static bool machine_reset_all(Machine *machine, GError **err)
{
    TRACE(machine_reset, "%s", run_state_name(machine->state));
    hooks_call(machine->reset_hooks, machine);
    for (unsigned i = 0; i < machine->devices->len; i++)
        device_reset(g_ptr_array_index(machine->devices, i));
    for (unsigned i = 0; i < machine->vcpus->len; i++)
        vcpu_reset(g_ptr_array_index(machine->vcpus, i));
    return !machine->type || !machine->type->load || machine->type->load(machine, err);
}

/* vCPU threads park themselves some time after their start: wait for that before their registers are touched. */
bool machine_prepare(Machine *machine, GError **err)
{
    g_assert(machine_locked(machine));
    vcpus_stop(machine);
    machine->prepared = true;
    return machine_reset_all(machine, err);
}

static void machine_end(Machine *machine, int status)
{
    if (machine->ended)
        machine->ended(machine, status);
}

static void machine_fail(Machine *machine, GError *err)
{
    g_printerr("rhea: %s\n", err->message);
    machine_stop(machine, RUN_INTERNAL_ERROR);
    machine_end(machine, 1);
}

void machine_reset(Machine *machine)
{
    g_autoptr(GError) err = NULL;
    bool running = machine->state == RUN_RUNNING, suspended = machine->state == RUN_SUSPENDED;
    vcpus_stop(machine);
    machine->prepared = true;
    if (!machine_reset_all(machine, &err)) {
        machine_fail(machine, err);
        return;
    }
    if (running)
        vcpus_start(machine);
    else if (machine->state != RUN_PRELAUNCH)
        machine->state = RUN_PAUSED;
    if (suspended)
        machine_start(machine);
}

static void machine_wake(Machine *machine)
{
    machine->waking = true;
    machine_reset(machine);
    machine->waking = false;
}

/* ---- run control ---- */

const char *run_state_name(RunState state)
{
    static const char *const names[] = { [RUN_PRELAUNCH] = "prelaunch",
                                         [RUN_RUNNING] = "running",
                                         [RUN_PAUSED] = "paused",
                                         [RUN_SHUTDOWN] = "shutdown",
                                         [RUN_INTERNAL_ERROR] = "internal-error",
                                         [RUN_IO_ERROR] = "io-error",
                                         [RUN_WATCHDOG] = "watchdog",
                                         [RUN_SUSPENDED] = "suspended",
                                         [RUN_DEBUG] = "debug" };
    return names[state];
}

void machine_start(Machine *machine)
{
    g_autoptr(GError) err = NULL;
    g_assert(machine_locked(machine));
    static const bool from[] = { [RUN_PRELAUNCH] = true, [RUN_PAUSED] = true,     [RUN_IO_ERROR] = true,
                                 [RUN_WATCHDOG] = true,  [RUN_SUSPENDED] = false, [RUN_DEBUG] = true };
    if (!from[machine->state])
        return;
    if (!machine->prepared && !machine_prepare(machine, &err)) {
        machine_fail(machine, err);
        return;
    }
    machine->state = RUN_RUNNING;
    clock_run(machine->clocks, true);
    hooks_call(machine->state_hooks, machine);
    vcpus_start(machine);
}

void machine_stop(Machine *machine, RunState why)
{
    g_assert(machine_locked(machine) && why != RUN_RUNNING);
    bool running = machine->state == RUN_RUNNING;
    if (running) {
        vcpus_stop(machine);
        clock_run(machine->clocks, false);
    }
    machine->state = why;
    if (running)
        hooks_call(machine->state_hooks, machine);
}

/* ---- requests ---- */

static void machine_panicked(Machine *machine, int status)
{
    switch (machine->config.on_panic) {
    case PANIC_NONE:
        return;
    case PANIC_PAUSE:
        machine_stop(machine, RUN_PAUSED);
        return;
    case PANIC_EXIT_FAILURE:
        status = 1;
        break;
    case PANIC_SHUTDOWN:
        break;
    }
    machine_stop(machine, RUN_SHUTDOWN);
    machine_end(machine, status);
}

static void machine_shut_down(Machine *machine, ShutdownCause cause, int status)
{
    const MachineConfig *config = &machine->config;
    if (cause == SHUTDOWN_GUEST_PANIC) {
        machine_panicked(machine, status);
        return;
    }
    machine_stop(machine, RUN_SHUTDOWN);
    bool by_host = cause == SHUTDOWN_HOST_QUIT || cause == SHUTDOWN_HOST_SIGNAL;
    if (by_host || (!config->no_shutdown && config->on_shutdown == ACTION_POWEROFF))
        machine_end(machine, status);
}

/* On the main loop. */
static void machine_act(void *opaque)
{
    Machine *machine = opaque;
    g_mutex_lock(&machine->pending.lock);
    bool reset = machine->pending.reset, shutdown = machine->pending.shutdown, stop = machine->pending.stop;
    bool wake = machine->pending.wake;
    RunState stop_state = machine->pending.stop_state;
    ShutdownCause cause = machine->pending.cause;
    int status = machine->pending.status;
    machine->pending.reset = machine->pending.shutdown = machine->pending.stop = false;
    machine->pending.wake = machine->pending.posted = false;
    g_mutex_unlock(&machine->pending.lock);
    machine_lock(machine);
    if (!shutdown && reset && (machine->config.no_reboot || machine->config.on_reboot == ACTION_SHUTDOWN_ON_RESET))
        shutdown = true;
    if (shutdown)
        machine_shut_down(machine, cause, status);
    else if (reset)
        machine_reset(machine);
    else if (stop && machine->state == RUN_RUNNING)
        machine_stop(machine, stop_state);
    if (wake && machine->state == RUN_SUSPENDED)
        machine_wake(machine);
    if (machine->icount && machine->state == RUN_RUNNING)
        vcpus_start(machine); /* held, and not stopped after all */
    machine_unlock(machine);
}

/* Where instructions are counted, the guest stops where it asked for something, not where the main loop gets to it. */
static void machine_hold(Machine *machine)
{
    for (guint i = 0; machine->icount && i < machine->vcpus->len; i++)
        vcpu_request(g_ptr_array_index(machine->vcpus, i), VCPU_STOP);
}

/* Note it and wake the main loop. A shutdown overrides a reset; the first of each kind gives cause and status. */
static void machine_request(Machine *machine, bool shutdown, ShutdownCause cause, int status)
{
    TRACE(machine_request, "%s cause=%d status=%d", shutdown ? "shutdown" : "reset", cause, status);
    machine_hold(machine);
    g_mutex_lock(&machine->pending.lock);
    bool known = machine->pending.shutdown || (!shutdown && machine->pending.reset);
    if (!known) {
        machine->pending.cause = cause;
        machine->pending.status = status;
    }
    if (shutdown)
        machine->pending.shutdown = true;
    else
        machine->pending.reset = true;
    bool post = !machine->pending.posted;
    machine->pending.posted = true;
    g_mutex_unlock(&machine->pending.lock);
    if (post)
        mainloop_post(machine_act, machine);
}

/* Under pending.lock, which it lets go. */
static void machine_post(Machine *machine)
{
    bool post = !machine->pending.posted;
    machine->pending.posted = true;
    g_mutex_unlock(&machine->pending.lock);
    if (post)
        mainloop_post(machine_act, machine);
}

void machine_request_stop(Machine *machine, RunState why)
{
    machine_hold(machine);
    g_mutex_lock(&machine->pending.lock);
    machine->pending.stop = true;
    machine->pending.stop_state = why;
    machine_post(machine);
}

void machine_cancel_stop(Machine *machine, RunState why)
{
    g_mutex_lock(&machine->pending.lock);
    if (machine->pending.stop_state == why)
        machine->pending.stop = false;
    g_mutex_unlock(&machine->pending.lock);
}

void machine_request_wakeup(Machine *machine)
{
    g_mutex_lock(&machine->pending.lock);
    machine->pending.wake = true;
    machine_post(machine);
}

void machine_request_shutdown(Machine *machine, ShutdownCause cause, int status)
{
    machine_request(machine, true, cause, status);
}

void machine_request_reset(Machine *machine, ShutdownCause cause)
{
    machine_request(machine, false, cause, 0);
}

void machine_powerdown(Machine *machine)
{
    if (machine->type && machine->type->powerdown)
        machine->type->powerdown(machine);
}

void machine_watchdog(Machine *machine)
{
    TRACE(machine_watchdog, "action=%d", machine->config.on_watchdog);
    switch (machine->config.on_watchdog) {
    case WATCHDOG_RESET:
        machine_request_reset(machine, SHUTDOWN_GUEST_RESET);
        break;
    case WATCHDOG_SHUTDOWN:
        machine_powerdown(machine);
        break;
    case WATCHDOG_POWEROFF:
        machine_request_shutdown(machine, SHUTDOWN_HOST_QUIT, 0);
        break;
    case WATCHDOG_PAUSE:
        machine_request_stop(machine, RUN_WATCHDOG);
        break;
    case WATCHDOG_INJECT_NMI:
        if (machine->type && machine->type->nmi)
            machine->type->nmi(machine);
        break;
    case WATCHDOG_DEBUG:
        g_printerr("rhea: a watchdog has run out\n");
        break;
    case WATCHDOG_NONE:
        break;
    }
}
