/*
 * Random bytes for guests (see guest_random.h). The seeded sequence is SplitMix64 (Steele, Lea, Flood: "Fast splittable
 * pseudorandom number generators", 2014), bytes of each number from the lowest on.
 * SPDX-License-Identifier: MIT
 */
#include "util/guest_random.h"
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

static GMutex random_lock; /* leaf: guards what follows */
static bool seeded;
static uint64_t state;

void guest_random_seed(uint64_t seed)
{
    g_mutex_lock(&random_lock);
    seeded = true;
    state = seed;
    g_mutex_unlock(&random_lock);
}

static uint64_t next_number(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool fill_seeded(uint8_t *bytes, size_t len)
{
    g_mutex_lock(&random_lock);
    bool mine = seeded;
    for (size_t i = 0; mine && i < len; i += 8) {
        uint64_t number = GUINT64_TO_LE(next_number());
        memcpy(bytes + i, &number, MIN(8, len - i));
    }
    g_mutex_unlock(&random_lock);
    return mine;
}

size_t guest_random(void *bytes, size_t len)
{
    size_t done = 0;
    if (fill_seeded(bytes, len))
        return len;
    while (done < len) {
        ssize_t n = getrandom((uint8_t *)bytes + done, MIN(len - done, 256 << 10), 0);
        if (n <= 0)
            break;
        done += n;
    }
    return done;
}
