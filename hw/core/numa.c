/*
 * -numa (see numa.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/numa.h"
#include "util/error.h"
#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

/* "A" or "A-B" */
static bool place_cpus(Numa *numa, const char *text, unsigned node, GError **err)
{
    char *end;
    unsigned long first = strtoul(text, &end, 10), last = first;
    bool ok = g_ascii_isdigit(*text);
    if (ok && *end == '-') {
        const char *second = end + 1;
        last = strtoul(second, &end, 10);
        ok = g_ascii_isdigit(*second) && last >= first;
    }
    if (!ok || *end || last >= NUMA_CPUS)
        return error_set(err, "-numa: cpus=%s: a number or a range below %u is needed, as in cpus=0-3", text,
                         NUMA_CPUS);
    for (unsigned long i = first; i <= last; i++) {
        if (numa->cpu_placed[i])
            return error_set(err, "-numa: CPU %lu is in node %u already", i, numa->cpu_node[i]);
        numa->cpu_placed[i] = true;
        numa->cpu_node[i] = node;
    }
    return true;
}

static bool node_memory(NumaNode *node, Opts *opts, GError **err)
{
    const char *mem = opts_string(opts, "mem", NULL), *memdev = opts_string(opts, "memdev", NULL);
    if (mem && memdev)
        return error_set(err, "-numa node: either mem= or memdev= is possible");
    if (mem && !parse_size(mem, MIB, &node->size, err)) {
        g_prefix_error(err, "-numa node: mem=");
        return false;
    }
    if (memdev && !(node->memory = hostmem_take("-numa node: memdev=", memdev, err)))
        return false;
    if (memdev)
        node->size = node->memory->size;
    node->sized = mem || memdev;
    return !(node->size & 4095) || error_set(err, "-numa node: mem=%s is no multiple of 4096 bytes", mem);
}

static bool add_node(Numa *numa, Opts *opts, GError **err)
{
    static const char *const known[] = { "type", "nodeid", "cpus", "mem", "memdev", NULL };
    uint64_t id = numa->count;
    if (!opts_uint(opts, "nodeid", &id, 0, NUMA_NODES - 1, err))
        return false;
    if (id >= NUMA_NODES || numa->nodes[id].present)
        return error_set(err, "-numa node: node %u is there already, or too many; nodeid=0 to %u are possible",
                         (unsigned)id, NUMA_NODES - 1);
    numa->nodes[id].present = true;
    numa->count = MAX(numa->count, id + 1);
    g_autofree const char **cpus = opts_strings(opts, "cpus");
    for (const char **text = cpus; text && *text; text++) {
        if (!place_cpus(numa, *text, id, err))
            return false;
    }
    return node_memory(&numa->nodes[id], opts, err) && opts_finish(opts, known, err);
}

/* The only number that CPUs have on our machines is core-id, as the reference's RISC-V and Arm machines count. */
static bool add_cpu(Numa *numa, Opts *opts, GError **err)
{
    static const char *const known[] = { "type", "node-id", "core-id", NULL };
    uint64_t node = NUMA_NODES, core = NUMA_CPUS;
    if (!opts_uint(opts, "node-id", &node, 0, NUMA_NODES - 1, err) ||
        !opts_uint(opts, "core-id", &core, 0, NUMA_CPUS - 1, err) || !opts_finish(opts, known, err))
        return false;
    if (node == NUMA_NODES || core == NUMA_CPUS)
        return error_set(err, "-numa cpu: node-id= and core-id= are needed, as in cpu,node-id=1,core-id=3");
    if (!numa->nodes[node].present)
        return error_set(err, "-numa cpu: there is no node %u; -numa node,nodeid=%u comes before", (unsigned)node,
                         (unsigned)node);
    g_autofree char *text = g_strdup_printf("%u", (unsigned)core);
    return place_cpus(numa, text, node, err);
}

static bool add_distance(Numa *numa, Opts *opts, GError **err)
{
    static const char *const known[] = { "type", "src", "dst", "val", NULL };
    uint64_t from = NUMA_NODES, to = NUMA_NODES, value = 0;
    if (!opts_uint(opts, "src", &from, 0, NUMA_NODES - 1, err) ||
        !opts_uint(opts, "dst", &to, 0, NUMA_NODES - 1, err) || !opts_uint(opts, "val", &value, NUMA_NEAR, 255, err) ||
        !opts_finish(opts, known, err))
        return false;
    if (from == NUMA_NODES || to == NUMA_NODES || !value)
        return error_set(err, "-numa dist: src=, dst= and val= are needed, as in dist,src=0,dst=1,val=20");
    if (!numa->nodes[from].present || !numa->nodes[to].present)
        return error_set(err, "-numa dist: there is no node %u; -numa node comes before",
                         (unsigned)(numa->nodes[from].present ? to : from));
    if ((from == to) != (value == NUMA_NEAR))
        return error_set(err, "-numa dist: val=%u: a node is %u from itself and farther from others", (unsigned)value,
                         NUMA_NEAR);
    numa->distance[from][to] = value;
    numa->distances = true;
    return true;
}

bool numa_option(Numa **numa, const char *text, GError **err)
{
    static const struct {
        const char *name;
        bool (*add)(Numa *numa, Opts *opts, GError **err);
    } kinds[] = { { "node", add_node }, { "cpu", add_cpu }, { "dist", add_distance } };
    static const char *const names[] = { "node", "cpu", "dist", NULL };
    g_autoptr(Opts) opts = opts_parse("-numa", text, "type", err);
    if (!opts)
        return false;
    const char *kind = opts_string(opts, "type", "");
    if (!*numa)
        *numa = g_new0(Numa, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(kind, kinds[i].name))
            return kinds[i].add(*numa, opts, err);
    }
    return error_unknown_name(err, "-numa:", kind, names);
}

static bool check_memory(const Numa *numa, uint64_t ram_size, GError **err)
{
    uint64_t total = 0;
    bool memdev = false, plain = false;
    for (unsigned n = 0; n < numa->count; n++) {
        const NumaNode *node = &numa->nodes[n];
        if (!node->present)
            return error_set(err, "-numa: node %u is missing: nodes are numbered without gaps", n);
        memdev |= node->memory != NULL;
        plain |= node->size && !node->memory;
        if (__builtin_add_overflow(total, node->size, &total))
            return error_set(err, "-numa: more memory than there can be");
    }
    if (memdev && plain)
        return error_set(err, "-numa node: mem= and memdev= cannot be mixed");
    return total == ram_size ||
           error_set(err,
                     "-numa: the nodes have %" G_GUINT64_FORMAT " MiB of memory together, -m says %" G_GUINT64_FORMAT,
                     total >> 20, ram_size >> 20);
}

/* A distance in one direction is both ways' unless both are given; then all have to be (as the reference has it). */
static bool check_distances(Numa *numa, GError **err)
{
    for (unsigned a = 0; numa->distances && a < numa->count; a++) {
        for (unsigned b = a + 1; b < numa->count; b++) {
            uint8_t *there = &numa->distance[a][b], *back = &numa->distance[b][a];
            if (!*there && !*back)
                return error_set(err,
                                 "-numa: the distance of nodes %u and %u is missing: -numa dist,src=%u,dst=%u,val=...",
                                 a, b, a, b);
            *there = *there ? *there : *back;
            *back = *back ? *back : *there;
        }
    }
    return true;
}

bool numa_complete(Numa *numa, uint64_t ram_size, unsigned cpus, GError **err)
{
    bool any = false;
    if (!check_memory(numa, ram_size, err) || !check_distances(numa, err))
        return false;
    for (unsigned i = 0; i < NUMA_CPUS; i++) {
        any |= numa->cpu_placed[i];
        if (numa->cpu_placed[i] && i >= cpus)
            return error_set(err, "-numa: node %u has CPU %u, but -smp says %u", numa->cpu_node[i], i, cpus);
    }
    for (unsigned i = 0; i < MIN(cpus, NUMA_CPUS) && !any; i++)
        numa->cpu_node[i] = MIN(i / MAX(cpus / numa->count, 1), numa->count - 1);
    return true;
}

unsigned numa_distance(const Numa *numa, unsigned from, unsigned to)
{
    unsigned given = numa->distance[from][to];
    return from == to ? NUMA_NEAR : given ? given : NUMA_REMOTE;
}
