/*
 * What the generators of random instructions count: instances by extension and kind.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_TALLY_H
#define TESTS_INSN_TALLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TALLY_EXTENSIONS = 48, TALLY_KINDS = 512 };
typedef struct Tally {
    const char *ext, *oracle;
    uint64_t instances;
    bool seen[TALLY_KINDS];
} Tally;

/* n instances of a kind, by its number; oracle: what says what is right. */
static inline void tally(Tally *t, const char *ext, const char *oracle, unsigned kind, uint64_t n)
{
    while (t->ext && (strcmp(t->ext, ext) || strcmp(t->oracle, oracle)))
        t++;
    t->ext = ext;
    t->oracle = oracle;
    t->instances += n;
    t->seen[kind] = true;
}

/* A line each: extension, kinds, instances, oracle. */
static inline void tally_print(const Tally *t)
{
    for (; t->ext; t++) {
        unsigned kinds = 0;
        for (unsigned i = 0; i < TALLY_KINDS; i++)
            kinds += t->seen[i];
        printf("%s\t%u\t%llu\t%s\n", t->ext, kinds, (unsigned long long)t->instances, t->oracle);
    }
}

#endif
