/*
 * TCO watchdog timer of the ICH9 (data sheet, 13.9): counts down by 0.6 s; the first end sets a flag, the second
 * resets.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_TCO_H
#define HW_ACPI_TCO_H

#include "hw/core/machine.h"

#define TCO_PORTS 0x20

typedef struct Tco {
    Device *dev;
    MemRegion ports;
    uint16_t timer, status1, status2, control1, control2;
    uint8_t data[2], message[2], watchdog, irq_generation;
    uint8_t expired; /* it has run out once */
    int64_t end;     /* virtual time when it runs out, or -1 */
    Timer expiry;
    bool strap_no_reboot; /* property of the chip */
    /* The first end: an SMI if that is on. The second one resets unless no_reboot says not. */
    void (*timeout)(void *opaque);
    bool (*no_reboot)(void *opaque);
    void *opaque;
} Tco;

#define TCO_STATE(Type, tco)                                                                                        \
    STATE(Type, tco.timer), STATE(Type, tco.status1), STATE(Type, tco.status2), STATE(Type, tco.control1),          \
        STATE(Type, tco.control2), STATE_ARRAY(Type, tco.data), STATE_ARRAY(Type, tco.message),                     \
        STATE(Type, tco.watchdog), STATE(Type, tco.irq_generation), STATE(Type, tco.expired), STATE(Type, tco.end), \
        STATE_TIMER(Type, tco.expiry), STATE_SKIP(Type, tco.dev, "wiring"), STATE_SKIP(Type, tco.ports, "wiring"),  \
        STATE_SKIP(Type, tco.timeout, "wiring"), STATE_SKIP(Type, tco.no_reboot, "wiring"),                         \
        STATE_SKIP(Type, tco.opaque, "wiring")

void tco_init(Tco *tco, Device *dev);
void tco_reset(Tco *tco);

#endif
