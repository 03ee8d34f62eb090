/*
 * Random x86 instructions: JIT and interpreter against the host's CPU.
 *
 *   x86-insn [--bits 64|32|16|all] [--count N] [--seed S] [--only PATTERN] [--except PATTERN] [--group NAME]
 *            [--executor jit|interpreter|both|none] [--failures N] [--list] [--plain] [--strict] [--coverage]
 *
 * Each seed makes a batch of 64 encodings with 16 inputs each; the encodings of following seeds go round all forms of
 * the opcode tables. --count is for all sizes of code together. A failure names bytes, disassembly, what differs and
 * the options that repeat the batch. The table at the end says how many instances of how many forms each group had.
 * SPDX-License-Identifier: MIT
 */
#include "x86_insn.h"
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const executor_names[] = { "jit", "interpreter" };
static X86World *worlds[2];
static X86Batch *batch;
static unsigned failures_shown;
static GHashTable *failed_names; /* name: instances that differed */
static uint64_t exceptions[256];
static char *filters; /* options that choose forms */

typedef struct Group {
    const char *name;
    unsigned bits, forms;
    uint64_t instances, differing, known, with_exception;
} Group;
static GArray *groups;

static Group *group_of(const char *name, unsigned bits)
{
    for (unsigned i = 0; i < groups->len; i++) {
        Group *g = &g_array_index(groups, Group, i);
        if (g->bits == bits && g->name == name)
            return g;
    }
    Group new = { .name = name, .bits = bits };
    g_array_append_val(groups, new);
    return &g_array_index(groups, Group, groups->len - 1);
}

/* ---- reports ---- */

static void print_disassembly(const X86Encoding *e)
{
    static const char *const modes[] = { "i8086", "i386", "i386:x86-64" };
    char path[] = "/tmp/x86-insn-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return;
    g_autofree char *command =
        g_strdup_printf("objdump -D -b binary -m %s --adjust-vma=%#x %s 2>&1 | sed -n '/>:$/,$p' | sed 1d",
                        modes[e->bits / 32], CODE + e->slot + e->at, path);
    fflush(stdout);
    if (write(fd, e->bytes, e->length) != e->length || system(command))
        puts("    (objdump does not run)");
    close(fd);
    unlink(path);
}

static void print_failure(unsigned i, unsigned executor, uint64_t seed)
{
    const X86Encoding *e = &batch->encoding[i / STATES];
    printf("%s differs: %s (%s, %u-bit), instance %u of --bits %u --seed %" PRIu64 " --count 1%s\n    ",
           executor_names[executor], e->form->row->name, e->form->group, e->bits, i, e->bits, seed, filters);
    for (unsigned k = 0; k < e->length; k++)
        printf("%02x ", e->bytes[k]);
    puts("");
    print_disassembly(e);
    if (batch->native[i].regs.vector != VECTOR_MARK)
        printf("    host: exception %u error %x at %" PRIx64 ", address %" PRIx64 "; operand %" PRIx64 "\n",
               batch->native[i].regs.vector, batch->native[i].regs.error, batch->native[i].regs.rip,
               batch->native[i].regs.address, batch->in[i].operand);
    const X86Regs *r = &batch->in[i].regs;
    printf("    rsp %" PRIx64 " flags %" PRIx64 " es %x cs %x ss %x ds %x fs %x gs %x\n", r->gpr[4], r->rflags,
           r->seg[0], r->seg[1], r->seg[2], r->seg[3], r->seg[4], r->seg[5]);
    x86_differs(e, &batch->in[i], &batch->native[i], &batch->rhea[executor][i], stdout);
}

static uint64_t count_failure(const X86Encoding *e, unsigned executor)
{
    g_autofree char *key = g_strdup_printf("%s-%u (%s)", e->form->row->name, e->bits, executor_names[executor]);
    uint64_t n = (uintptr_t)g_hash_table_lookup(failed_names, key) + 1;
    g_hash_table_insert(failed_names, g_strdup(key), (void *)(uintptr_t)n);
    return n;
}

static void compare_batch(const X86Options *o, uint64_t seed)
{
    for (unsigned i = 0; i < batch->cases; i++) {
        const X86Encoding *e = &batch->encoding[i / STATES];
        Group *g = group_of(e->form->group, e->bits);
        bool differs = false, known = false;
        exceptions[batch->native[i].regs.vector]++;
        x86_coverage_add(e, &batch->native[i]);
        g->instances++;
        g->with_exception += batch->native[i].regs.vector != VECTOR_MARK;
        for (unsigned x = 0; x < 2; x++) {
            if (!worlds[x] || !x86_differs(e, &batch->in[i], &batch->native[i], &batch->rhea[x][i], NULL))
                continue;
            if (!o->strict && x86_known(e, &batch->in[i], &batch->native[i], &batch->rhea[x][i])) {
                known = true;
                continue;
            }
            differs = true;
            if (count_failure(e, x) == 1 && failures_shown < o->most_failures) {
                failures_shown++;
                print_failure(i, x, seed);
            }
        }
        g->differing += differs;
        g->known += known;
    }
    for (unsigned x = 0; x < 2; x++) {
        if (worlds[x] && memcmp(batch->native_data, batch->rhea_data[x], sizeof(batch->native_data))) {
            unsigned at = 0;
            while (batch->native_data[at] == batch->rhea_data[x][at])
                at++;
            if (at < WINDOW - DATA || at >= WINDOW - DATA + WINDOW_BYTES)
                printf("%s differs: data outside the window, from %x on, after --bits %u --seed %" PRIu64
                       " --count 1%s\n",
                       executor_names[x], DATA + at, batch->encoding[0].bits, seed, filters);
        }
    }
}

/* ---- runs ---- */

static bool run_batch(const X86Options *o, const X86Form *forms, unsigned count, uint64_t seed, unsigned bits)
{
    x86_generate(batch, forms, count, seed, bits);
    x86_native_post();
    for (unsigned x = 0; x < 2; x++) {
        if (worlds[x])
            x86_world_run(worlds[x], batch, batch->rhea[x], batch->rhea_data[x]);
    }
    if (!x86_native_wait()) {
        printf("the process on the host's CPU ended in --bits %u --seed %" PRIu64 " --count 1%s\n", bits, seed,
               filters);
        return false;
    }
    compare_batch(o, seed);
    return true;
}

static bool run_bits(X86Options o, unsigned bits, uint64_t features, bool list)
{
    const X86Form *forms;
    uint64_t done = 0, seed = o.seed;
    bool ok = true;
    o.bits = bits;
    unsigned n = x86_forms(&o, features, &forms);
    for (unsigned i = 0; i < n; i++) {
        group_of(forms[i].group, bits)->forms++;
        if (list)
            printf("%u-bit %s %u:%02x %s\n", bits, forms[i].group, forms[i].map, forms[i].opcode, forms[i].row->name);
    }
    if (o.coverage)
        x86_coverage_begin(forms, n);
    while (ok && n && !list && done < o.count) {
        ok = run_batch(&o, forms, n, seed++, bits);
        done += batch->cases;
    }
    if (o.coverage)
        x86_coverage_end(bits);
    g_free((void *)forms);
    return ok;
}

static bool print_table(int64_t microseconds)
{
    uint64_t all = 0, differing = 0, known = 0;
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, failed_names);
    while (g_hash_table_iter_next(&iter, &key, &value))
        printf("differs: %s in %u instances\n", (char *)key, (unsigned)(uintptr_t)value);
    printf("%-12s %4s %6s %12s %12s %10s %10s\n", "group", "bits", "forms", "instances", "exceptions", "known",
           "differing");
    for (unsigned i = 0; i < groups->len; i++) {
        Group *g = &g_array_index(groups, Group, i);
        printf("%-12s %4u %6u %12" PRIu64 " %12" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", g->name, g->bits, g->forms,
               g->instances, g->with_exception, g->known, g->differing);
        all += g->instances;
        differing += g->differing;
        known += g->known;
    }
    printf("exceptions on the host:");
    for (unsigned v = 0; v < VECTOR_MARK; v++) {
        if (exceptions[v])
            printf(" %u: %" PRIu64, v, exceptions[v]);
    }
    printf("\n%" PRIu64 " instances, %" PRIu64 " differing as known, %" PRIu64 " differing, %" PRIu64 " a second\n",
           all, known, differing, microseconds ? all * 1000000 / (uint64_t)microseconds : 0);
    return !differing;
}

static void parse_error(const char *what)
{
    fprintf(stderr, "x86-insn: %s\n", what);
    exit(2);
}

int main(int argc, char **argv)
{
    char *bits = NULL, *only = NULL, *except = NULL, *group = NULL, *executor = NULL;
    gint64 seed = 1, count = 300000;
    int failures = 20;
    gboolean list = FALSE, strict = FALSE, plain = FALSE, coverage = FALSE;
    GOptionEntry entries[] = {
        { "bits", 0, 0, G_OPTION_ARG_STRING, &bits, "64, 32, 16 or all", "BITS" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &count, "instances", "N" },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of the first batch", "S" },
        { "only", 0, 0, G_OPTION_ARG_STRING, &only, "forms whose name matches", "PATTERN" },
        { "except", 0, 0, G_OPTION_ARG_STRING, &except, "forms whose name does not", "PATTERN" },
        { "group", 0, 0, G_OPTION_ARG_STRING, &group, "forms of a feature", "NAME" },
        { "executor", 0, 0, G_OPTION_ARG_STRING, &executor, "jit, interpreter, both, none", "NAME" },
        { "failures", 0, 0, G_OPTION_ARG_INT, &failures, "that are shown", "N" },
        { "strict", 0, 0, G_OPTION_ARG_NONE, &strict, "known differences fail too", NULL },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &plain, "no encodings besides those of the tables", NULL },
        { "coverage", 0, 0, G_OPTION_ARG_NONE, &coverage, "list what was not executed", NULL },
        { "list", 0, 0, G_OPTION_ARG_NONE, &list, "only list the forms", NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- random x86 instructions against the host's CPU");
    g_autoptr(GError) err = NULL;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err))
        parse_error(err->message);
    if (getenv("RHEA_INSN_COUNT"))
        count = g_ascii_strtoll(getenv("RHEA_INSN_COUNT"), NULL, 10);
    X86Options o = { .seed = (uint64_t)seed,
                     .only = only,
                     .except = except,
                     .group = group,
                     .most_failures = (unsigned)failures,
                     .strict = strict,
                     .plain = plain,
                     .coverage = coverage };
    filters = g_strconcat(only ? " --only " : "", only ? only : "", except ? " --except " : "", except ? except : "",
                          group ? " --group " : "", group ? group : "", NULL);
    groups = g_array_new(FALSE, TRUE, sizeof(Group));
    failed_names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    uint64_t features = x86_host_features();
    batch = mmap(NULL, sizeof(X86Batch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (batch == MAP_FAILED || !x86_native_start(batch))
        parse_error("cannot start the process that runs instructions");
    for (unsigned x = 0; x < 2; x++) {
        bool wanted = !executor || !strcmp(executor, "both") || !strcmp(executor, executor_names[x]);
        worlds[x] = wanted ? x86_world_new(!x) : NULL;
        features &= worlds[x] ? x86_world_features(worlds[x]) : UINT64_MAX;
    }
    static const struct {
        unsigned bits, share;
        const char *name;
    } sizes[] = { { 64, 60, "64" }, { 32, 30, "32" }, { 16, 10, "16" } };
    int64_t begin = g_get_monotonic_time();
    bool all = !bits || !strcmp(bits, "all"), ok = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes) && ok; i++) {
        o.count = (uint64_t)count * (all ? sizes[i].share : 100) / 100;
        if (all || !strcmp(bits, sizes[i].name))
            ok = run_bits(o, sizes[i].bits, features, list);
    }
    ok &= print_table(g_get_monotonic_time() - begin);
    x86_native_stop();
    for (unsigned x = 0; x < 2; x++) {
        if (worlds[x])
            x86_world_free(worlds[x]);
    }
    return !ok;
}
