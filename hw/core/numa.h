/*
 * NUMA: which CPUs and which RAM belong together, and how far the nodes are from each other (-numa).
 *
 * The nodes' memory lies in the machine's RAM in the order of their numbers. Options are read one by one; what they
 * make together is checked when the machine is built.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_NUMA_H
#define HW_CORE_NUMA_H

#include "hw/core/hostmem.h"
#include "util/options.h"

#define NUMA_NODES       128
#define NUMA_CPUS        512
#define NUMA_NEAR        10 /* distance to oneself (ACPI 6.5, 5.2.17) */
#define NUMA_REMOTE      20 /* to others, if nothing is said */
#define NUMA_NOT_REACHED 255

typedef struct NumaNode {
    bool present;
    uint64_t size;      /* bytes of memory; shared out evenly where no node says */
    bool sized;         /* mem= or memdev= */
    HostMemory *memory; /* memdev=, or NULL: anonymous */
} NumaNode;

typedef struct Numa {
    unsigned count; /* nodes 0 to count - 1 */
    NumaNode nodes[NUMA_NODES];
    uint8_t distance[NUMA_NODES][NUMA_NODES]; /* as given; 0: not */
    bool distances;                           /* any is */
    uint8_t cpu_node[NUMA_CPUS];
    bool cpu_placed[NUMA_CPUS];
} Numa;

/* One -numa: node,... cpu,... or dist,... *numa is made by the first. threads, cores: of -smp, for cpu,... */
bool numa_option(Numa **numa, const char *text, GError **err);
/* All options are known: nodes without gaps, memory that adds up to ram_size, CPUs that exist; CPUs that no node has
 * are dealt out. */
bool numa_complete(Numa *numa, uint64_t ram_size, unsigned cpus, GError **err);
/* Of a complete one. */
static inline unsigned numa_node_of_cpu(const Numa *numa, unsigned cpu)
{
    return numa->cpu_node[cpu];
}
unsigned numa_distance(const Numa *numa, unsigned from, unsigned to);

#endif
