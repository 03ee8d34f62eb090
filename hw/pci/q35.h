/*
 * Intel 82Q35 memory controller hub: machine q35.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_Q35_H
#define HW_PCI_Q35_H

#include "hw/pci/pc_host.h"

#define Q35_ECAM_BASE UINT64_C(0xb0000000) /* where firmware puts it */

typedef struct Q35Host {
    PcHost host;
    MemRegion ecam;         /* placed in machine->root where PCIEXBAR says */
    uint64_t below_4g;      /* set before realize: end of RAM below 4 GiB, where the TSEG ends */
    uint32_t pciexbar[2];   /* as it was enabled last */
    uint16_t extended_tseg; /* property extended-tseg-mbytes */
} Q35Host;

/* Bus pcie.0. Its intx lines are taken by the ICH9 LPC bridge. */
extern const DeviceType q35_host_type, q35_mch_type;

#endif
