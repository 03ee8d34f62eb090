/*
 * Random bytes for guests: with a seed, the published sequence of SplitMix64.
 * SPDX-License-Identifier: MIT
 */
#include "util/guest_random.h"
#include <glib.h>

static void test_seed(void)
{
    static const uint64_t known[] = { 6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                      4593380528125082431u };
    uint64_t got[4], again[4];
    uint8_t odd[11];
    g_assert_cmpuint(guest_random(got, sizeof(got)), ==, sizeof(got));
    g_assert_cmpuint(guest_random(again, sizeof(again)), ==, sizeof(again));
    g_assert_true(memcmp(got, again, sizeof(got)));
    guest_random_seed(1234567);
    guest_random(got, sizeof(got));
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpuint(GUINT64_FROM_LE(got[i]), ==, known[i]);
    guest_random_seed(1234567);
    g_assert_cmpuint(guest_random(odd, sizeof(odd)), ==, sizeof(odd));
    g_assert_cmpmem(odd, sizeof(odd), got, sizeof(odd));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest-random/seed", test_seed);
    return g_test_run();
}
