/*
 * A bare PC for device tests: RAM from 0, ROM below 1 MiB, a host bridge; functions are added by the test.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_PCBOARD_H
#define TESTS_PCBOARD_H

#include "devtest.h"
#include "hw/pci/pc_host.h"

#define PCBOARD_RAM (UINT64_C(8) << 20)

typedef struct PcBoard {
    DevMachine *m;
    MemRegion ram, rom; /* bytes 'R' from 0; 'P' from 0xc0000 in PCI's memory */
    PcHost *host;
} PcBoard;

PcBoard *pc_new(const DeviceType *host_type);
void pc_free(PcBoard *f);
/* A function at addr ("1.0"), which is said to have several. */
Device *add_function(PcBoard *f, const DeviceType *type, const char *addr);
/* Configuration space, by the ports. addr: slot << 3 | function. */
uint32_t config(PcBoard *f, unsigned addr, unsigned offset, unsigned size);
void set_config(PcBoard *f, unsigned addr, unsigned offset, unsigned size, uint32_t value);

#endif
