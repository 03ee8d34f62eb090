/*
 * Generic PCI Express host bridge.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_GPEX_H
#define HW_PCI_GPEX_H

#include "hw/pci/pci.h"

typedef struct GpexHost {
    Device dev;
    PciBus pci;          /* intx and msi are set by the machine before realize */
    MemRegion ecam;      /* configuration space */
    MemRegion mmio, pio; /* where BARs appear: addresses are the CPU's (mmio), ports (pio) */
    MemRegion mmio_window, mmio_high_window;
} GpexHost;

#define GPEX_ECAM_SIZE (256u << 20)

extern const DeviceType gpex_host_type, gpex_root_type;

#endif
