/*
 * KVM against the JIT: the same guest, run for so many exits on both, has the same registers and the same memory.
 *
 *   kvm-crosscheck [--mode user|sequence|kernel|all] [--bits 64|32|16|all] [--count N] [--seed S] [--failures N]
 *
 * A program that the kernel cannot run (it emulates what it has no help for from the processor, and not every
 * instruction) is skipped and counted; a share of them must have run. Where the two differ, one is wrong: mostly
 * the JIT, on instructions that the processor itself runs; what kernels are known for is in crosscheck_*.c.
 * SPDX-License-Identifier: MIT
 */
#include "crosscheck.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

enum { SKIPPED = 77 };

/* ---- running a guest of KVM's ---- */

static void device_access(BareKvm *b, const CrossDevices *d)
{
    struct kvm_run *run = b->k->run;
    if (run->exit_reason == KVM_EXIT_MMIO) {
        d->memory(d->opaque, run->mmio.is_write, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
        return;
    }
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    for (unsigned i = 0; i < run->io.count; i++)
        d->port(d->opaque, run->io.direction == KVM_EXIT_IO_OUT, run->io.port, data + i * run->io.size, run->io.size);
}

static CrossEnd enter(BareKvm *b, const CrossDevices *d)
{
    enum { MOST_EXITS = 100000, MOST_SIGNALS = 100 };
    struct kvm_run *run = b->k->run;
    unsigned signals = 0;
    run->immediate_exit = 0;
    for (unsigned exits = 0; exits < MOST_EXITS && signals < MOST_SIGNALS; exits++) {
        if (ioctl(b->k->fd, KVM_RUN, 0) < 0) {
            if (errno != EINTR && errno != EAGAIN)
                return CROSS_FAILED;
            signals++;
            continue;
        }
        switch (run->exit_reason) {
        case KVM_EXIT_HLT:
            return CROSS_HALTED;
        case KVM_EXIT_IO:
        case KVM_EXIT_MMIO:
            device_access(b, d);
            break;
        case KVM_EXIT_INTERNAL_ERROR:
            return CROSS_UNEMULATED;
        case KVM_EXIT_SHUTDOWN:
            return CROSS_SHUT_DOWN;
        case KVM_EXIT_INTR:
            signals++;
            break;
        default:
            return CROSS_FAILED;
        }
    }
    return CROSS_HANGS;
}

CrossEnd cross_run(BareKvm *b, const CrossDevices *devices)
{
    g_autoptr(GError) err = NULL;
    kvm_forget_events(b->k);
    if (!kvm_put_state(b->k, KVM_PUT_CHANGES, &err))
        g_error("%s", err->message);
    CrossEnd end = enter(b, devices);
    if (!kvm_get_state(b->k, &err))
        g_error("%s", err->message);
    return end;
}

void cross_count(GHashTable *names, const char *name)
{
    uintptr_t n = (uintptr_t)g_hash_table_lookup(names, name) + 1;
    g_hash_table_insert(names, g_strdup(name), (void *)n);
}

/* ---- reports ---- */

static void print_names(const char *what, GHashTable *names)
{
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(names), (GCompareFunc)strcmp);
    for (GList *link = keys; link; link = link->next)
        printf("%s%s %" PRIuPTR "%s", link == keys ? what : ", ", (char *)link->data,
               (uintptr_t)g_hash_table_lookup(names, link->data), link->next ? "" : "\n");
}

/* Good enough? */
static bool print_tally(const char *name, CrossTally *t)
{
    uint64_t all = t->run + t->unemulated + t->shut_down;
    printf("%s: %" PRIu64 " compared, %" PRIu64 " differ, %" PRIu64 " differ as known; skipped: %" PRIu64
           " that the kernel cannot emulate, %" PRIu64 " that it shuts down\n",
           name, t->run, t->differing, t->known, t->unemulated, t->shut_down);
    print_names("    differing: ", t->failed);
    print_names("    skipped: ", t->skipped);
    bool enough = t->run * 100 >= all * t->share;
    if (!enough)
        printf("    FAILED: fewer than %u%% were compared\n", t->share);
    return enough && !t->differing;
}

/* ---- what is asked for ---- */

typedef struct CrossMode {
    const char *mode, *bits;
    unsigned number, share; /* of the count, in ten-thousandths */
    bool (*check)(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown);
} CrossMode;
static const CrossMode modes[] = {
    { "user", "64", 64, 5000, cross_user },        { "user", "32", 32, 3000, cross_user },
    { "user", "16", 16, 2000, cross_user },        { "kernel", "16", 16, 100, cross_kernel },
    { "kernel", "32", 32, 100, cross_kernel },     { "kernel", "64", 64, 100, cross_kernel },
    { "sequence", "64", 64, 200, cross_sequence },
};

static bool chosen(const char *wanted, const char *name)
{
    return !wanted || !strcmp(wanted, "all") || !strcmp(wanted, name);
}

static void tick(int number) {}

/* A guest that does not come back. */
static void start_ticks(void)
{
    struct sigaction action = { .sa_handler = tick };
    struct itimerval timer = { .it_interval = { .tv_sec = 1 }, .it_value = { .tv_sec = 1 } };
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

int main(int argc, char **argv)
{
    char *mode = NULL, *bits = NULL;
    gint64 seed = 1, count = 20000;
    int failures = 10, missing = bare_kvm_missing();
    GOptionEntry entries[] = { { "mode", 0, 0, G_OPTION_ARG_STRING, &mode, "user, sequence, kernel or all", "MODE" },
                               { "bits", 0, 0, G_OPTION_ARG_STRING, &bits, "64, 32, 16 or all", "BITS" },
                               { "count", 0, 0, G_OPTION_ARG_INT64, &count,
                                 "programs of one instruction for level 3; for level 0 a hundredth, of many", "N" },
                               { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of the first one", "S" },
                               { "failures", 0, 0, G_OPTION_ARG_INT, &failures, "that are shown", "N" },
                               { NULL } };
    g_autoptr(GOptionContext) context = g_option_context_new("- KVM against the JIT");
    g_autoptr(GError) err = NULL;
    bool ok = true, any = false;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        fprintf(stderr, "kvm-crosscheck: %s\n", err->message);
        return 2;
    }
    if (missing)
        return missing;
    start_ticks();
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        CrossTally tally = { .skipped = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                             .failed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
        g_autofree char *name = g_strdup_printf("%s %s-bit", modes[i].mode, modes[i].bits);
        uint64_t programs = MAX((uint64_t)count * modes[i].share / 10000, 1);
        if (chosen(mode, modes[i].mode) && chosen(bits, modes[i].bits) &&
            modes[i].check(&tally, modes[i].number, programs, (uint64_t)seed, (unsigned)failures)) {
            any = true;
            ok &= print_tally(name, &tally);
        }
        g_hash_table_unref(tally.skipped);
        g_hash_table_unref(tally.failed);
    }
    g_free(mode);
    g_free(bits);
    return any ? !ok : SKIPPED;
}
