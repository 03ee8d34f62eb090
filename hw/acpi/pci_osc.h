/*
 * _OSC of a PCI Express host bridge: which features an operating system may have for itself.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_PCI_OSC_H
#define HW_ACPI_PCI_OSC_H

#include "hw/acpi/aml.h"

/* Of the control field. */
enum { OSC_HOT_PLUG = 1, OSC_SHPC_HOT_PLUG = 2, OSC_PME = 4, OSC_AER = 8, OSC_CAPABILITY = 16, OSC_ALL = 31 };

/* The method, into an open device; granted: OSC_*. */
void aml_pci_osc(Aml *a, unsigned granted);

#endif
