/*
 * Random register accesses to every device of every machine, and to every device that -device takes: no crash, hang, or
 * failed assertion, whatever the guest does. The same seed makes the same accesses.
 *
 *     fuzz-registers [--count ACCESSES-PER-MACHINE] [--seed N] [--verbose] [DEVICE ...]
 *
 * RHEA_FUZZ_COUNT in the environment is the default of --count; without it, all that is fuzzed shares DEFAULT_TOTAL.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TOTAL 25000000 /* about 5 seconds with ASan */
#define DEFAULT_LEAST 20000    /* for each */

static int fuzz_count, fuzz_seed = 1;
static unsigned fuzz_machines; /* how many have been fuzzed, or if counting, are to be */
static bool fuzz_counting;
static gboolean fuzz_verbose;
static char **fuzz_devices;
static char fuzz_what[256]; /* what is being fuzzed, for the watchdog */

/* A machine that does not come back within this time hangs. */
#define SECONDS_PER_MACHINE 600

static void watchdog(int signal)
{
    static const char text[] = "fuzz-registers: hangs: ";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 || write(STDERR_FILENO, fuzz_what, strlen(fuzz_what)) < 0)
        _exit(3);
    abort();
}

static void fuzz_machine(const MachineType *type, const char *target, const char *device)
{
    fuzz_machines++;
    if (fuzz_counting)
        return;
    g_autoptr(GError) err = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(fuzz_seed);
    g_snprintf(fuzz_what, sizeof(fuzz_what), "%s (%s) %s\n", type->name, target, device ? device : "");
    DevMachine *m = devm_build(type, target, &err);
    g_assert_no_error(err);
    alarm(SECONDS_PER_MACHINE + fuzz_count / 10000);
    if (device && !devm_takes_type(m, device_type_find(device))) {
        alarm(0);
        devm_free(m);
        return;
    }
    if (device)
        devm_device_add_type(m, device, &err);
    g_assert_no_error(err);
    if (fuzz_verbose)
        g_print("%s", fuzz_what);
    devm_reset(m);
    devm_fuzz(m, rand, fuzz_count);
    devm_reset(m);
    devm_fuzz(m, rand, fuzz_count / 10);
    alarm(0);
    devm_free(m);
}

static bool wanted(const char *device)
{
    return !fuzz_devices || g_strv_contains((const char *const *)fuzz_devices, device);
}

static void fuzz_type(const MachineType *type)
{
    g_auto(GStrv) targets = g_strsplit(type->target, "|", -1);
    for (char **target = targets; *target && !fuzz_devices; target++)
        fuzz_machine(type, *target, NULL);
    for (const DeviceType *const *device = device_types(); *device; device++) {
        if ((*device)->bus && wanted((*device)->name))
            fuzz_machine(type, targets[0], (*device)->name);
    }
}

static void fuzz_all(bool counting)
{
    fuzz_counting = counting;
    fuzz_machines = 0;
    for (const MachineType *const *type = machine_types(); *type; type++)
        fuzz_type(*type);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    const GOptionEntry entries[] = {
        { "count", 'c', 0, G_OPTION_ARG_INT, &fuzz_count, "accesses to each machine", "N" },
        { "seed", 's', 0, G_OPTION_ARG_INT, &fuzz_seed, "seed of the accesses", "N" },
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &fuzz_verbose, "say what is being done", NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &fuzz_devices, NULL, "[DEVICE ...]" },
        { NULL },
    };
    if (g_getenv("RHEA_FUZZ_COUNT"))
        fuzz_count = atoi(g_getenv("RHEA_FUZZ_COUNT"));
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        g_printerr("fuzz-registers: %s\n", err->message);
        return 1;
    }
    signal(SIGALRM, watchdog);
    fuzz_all(true);
    if (!fuzz_count)
        fuzz_count = MAX(DEFAULT_TOTAL / MAX(fuzz_machines, 1), DEFAULT_LEAST);
    fuzz_all(false);
    g_strfreev(fuzz_devices);
    return 0;
}
