/*
 * The PC's 8254 interval timer (ports 40 to 43) and system control port B (port 61: speaker gate, refresh).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "hw/core/machine.h"

#define PIT_HZ 1193182

typedef struct PitChannel {
    uint32_t count;      /* 1 to 0x10000 */
    uint16_t latched;    /* count that was latched */
    uint8_t latch_state; /* bytes of it that are still to be read: 0 none, 1 or 2 */
    uint8_t status, status_latched;
    uint8_t read_high, write_high, write_low; /* halves of a 16-bit access */
    uint8_t access;                           /* 1 low, 2 high, 3 both */
    uint8_t mode, bcd, gate;
    uint8_t null_count; /* the count register was not loaded since the control word */
    int64_t start;      /* virtual time when the count was loaded */
    int64_t next;       /* of the output's next change, or TIMER_NEVER */
} PitChannel;

typedef struct Pit {
    Device dev;
    MemRegion ports, speaker;
    PitChannel channels[3];
    Timer timer;     /* of channel 0's output */
    Irq irq;         /* channel 0's output: IRQ 0 */
    bool irq_off;    /* the HPET has taken IRQ 0 over */
    uint8_t control; /* port 61, bits 0 to 3 */
} Pit;

extern const DeviceType i8254_type;

/* Set by the HPET: level: IRQ 0 is its. */
Irq pit_disable_input(Pit *pit);

#endif
