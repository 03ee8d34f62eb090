/*
 * Random bytes for guests: the host's, or with a seed (-seed) a sequence that is the same each time.
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_GUEST_RANDOM_H
#define UTIL_GUEST_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* From now on bytes follow from seed. Before any thread asks for some. */
void guest_random_seed(uint64_t seed);
/* Fill bytes; returns how many could be had. Any thread; with a seed, the order of calls decides who gets what. */
size_t guest_random(void *bytes, size_t len);

#endif
