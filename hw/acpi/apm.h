/*
 * Advanced power management control and status ports, b2 and b3 (82371AB 7.2; ICH9 5.13.3): software's way to SMM.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_APM_H
#define HW_ACPI_APM_H

#include "hw/core/machine.h"

typedef struct Apm {
    MemRegion ports;
    uint8_t control, status;
    void (*written)(void *opaque, uint8_t value); /* the control port */
    void *opaque;
} Apm;

#define APM_STATE(Type, apm)                                                                  \
    STATE(Type, apm.control), STATE(Type, apm.status), STATE_SKIP(Type, apm.ports, "wiring"), \
        STATE_SKIP(Type, apm.written, "wiring"), STATE_SKIP(Type, apm.opaque, "wiring")

/* Places the ports in machine->io_root. */
void apm_init(Apm *apm, Machine *machine, void (*written)(void *opaque, uint8_t value), void *opaque);

#endif
