/*
 * Performance counters of a hart: see pmu.c.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_PMU_H
#define TARGET_RISCV_PMU_H

#include "util/clock.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct RiscvState RiscvState;

/* mhpmevent; in mcyclecfg and minstretcfg all but OF */
#define PMU_OF    (1ull << 63)
#define PMU_MINH  (1ull << 62)
#define PMU_SINH  (1ull << 61)
#define PMU_UINH  (1ull << 60)
#define PMU_VSINH (1ull << 59)
#define PMU_VUINH (1ull << 58)

enum { PMU_CYCLE = 0, PMU_INSTRET = 2, PMU_FIRST = 3, PMU_COUNTERS = 32, PMU_MAP_CELLS = 15 };

/* Counters are numbered as in mcountinhibit; those of cycles and instructions are among them, `time` is not. */
typedef struct RiscvPmu {
    uint32_t present;             /* counters from PMU_FIRST on that there are */
    uint32_t running;             /* those that count now */
    uint64_t value[PMU_COUNTERS]; /* as it was when ... */
    uint64_t start[PMU_COUNTERS]; /* ... the counter's event had occurred so often */
    uint64_t event[PMU_COUNTERS]; /* mhpmevent, mcyclecfg, minstretcfg */
    uint64_t misses[3];           /* page walks, by Access */
    bool filtered;                /* some counter does not count in every mode */
    bool watched;                 /* some counter counts page walks */
    bool due;                     /* atomic: a counter may have overflowed */
    uint8_t mode;                 /* mode that running was worked out for */
    Timer timer;                  /* until the next overflow of a counter of time */
} RiscvPmu;

void riscv_pmu_init(RiscvState *s, Clocks *clocks);
void riscv_pmu_free(RiscvState *s);
void riscv_pmu_reset(RiscvState *s);
/* The mode or what counters count changed: those that count now. */
void riscv_pmu_update(RiscvState *s);
/* A page walk for an access (Access). */
void riscv_pmu_walk(RiscvState *s, unsigned access);
/* Overflows that the timer saw; on the hart's thread. */
void riscv_pmu_attend(RiscvState *s);
uint64_t riscv_pmu_read(RiscvState *s, unsigned n);
void riscv_pmu_write(RiscvState *s, unsigned n, uint64_t v);
/* Event register n, and what it becomes. */
void riscv_pmu_set_event(RiscvState *s, unsigned n, uint64_t v);
/* Is csr one of the numbered ones: [m]hpmcounter*, mhpmevent*? Their value; write it. */
bool riscv_pmu_has_csr(const RiscvState *s, unsigned csr);
uint64_t riscv_pmu_read_csr(RiscvState *s, unsigned csr);
void riscv_pmu_write_csr(RiscvState *s, unsigned csr, uint64_t v);
uint64_t riscv_pmu_overflows(RiscvState *s); /* scountovf, whatever mcounteren says */

#endif
