/*
 * Test finisher (see sifive_test.c): place mmio, 4 KiB.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_FIRMWARE_SIFIVE_TEST_H
#define HW_FIRMWARE_SIFIVE_TEST_H

#include "hw/core/machine.h"

typedef struct SifiveTest {
    Device dev;
    MemRegion mmio;
} SifiveTest;

extern const DeviceType sifive_test_type;

#endif
