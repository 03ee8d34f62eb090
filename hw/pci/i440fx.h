/*
 * Intel 82441FX (440FX) host bridge: machine pc.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_I440FX_H
#define HW_PCI_I440FX_H

#include "hw/pci/pc_host.h"

typedef struct I440fxHost {
    PcHost host;
} I440fxHost;

/* Bus pci.0. Its intx lines are taken by the PIIX3. */
extern const DeviceType i440fx_host_type, i440fx_type;

#endif
