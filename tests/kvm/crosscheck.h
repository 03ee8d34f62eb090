/*
 * The cross-check: the same program on KVM and on the JIT, compared where it leaves the guest.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_KVM_CROSSCHECK_H
#define TESTS_KVM_CROSSCHECK_H

#include "bare_kvm.h"

typedef struct CrossTally {
    uint64_t run, differing, known;
    uint64_t unemulated;          /* the kernel cannot emulate an instruction, or is known to do it wrong */
    uint64_t shut_down;           /* a triple fault under KVM only, that the kernel is known for */
    unsigned share;               /* percent of the programs that must have been compared */
    GHashTable *skipped, *failed; /* name: how often */
} CrossTally;

/* How a stretch of the guest ended. */
typedef enum { CROSS_HALTED, CROSS_UNEMULATED, CROSS_SHUT_DOWN, CROSS_HANGS, CROSS_FAILED } CrossEnd;
/* What is done for accesses to devices. */
typedef struct CrossDevices {
    void (*port)(void *opaque, bool out, unsigned port, void *data, unsigned size);
    void (*memory)(void *opaque, bool write, uint64_t address, void *data, unsigned size);
    void *opaque;
} CrossDevices;

/* Give the kernel b->s, let the guest run until it halts or cannot go on, and fetch b->s. */
CrossEnd cross_run(BareKvm *b, const CrossDevices *devices);
void cross_count(GHashTable *names, const char *name);

/* Each checks about so many programs, and says what it finds. False: it cannot be done here. */
bool cross_user(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown);
bool cross_kernel(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown);
bool cross_sequence(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown);

#endif
