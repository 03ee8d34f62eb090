/*
 * The PC's 8254 interval timer (ports 40 to 43) and system control port B (port 61: speaker gate, refresh).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "hw/core/machine.h"

#define PIT_HZ 1193182

typedef struct PitChannel {
    int64_t start;   /* virtual time when counting began */
    int64_t stopped; /* while the gate holds it: since when; else -1 */
    uint32_t count;  /* 1 to 0x10000 */
    uint16_t latched;
    uint8_t latch_left; /* bytes of latched that are still to be read */
    uint8_t status, status_latched;
    uint8_t control;              /* as in the control word: access 5:4, mode 3:1, BCD 0 */
    uint8_t read_high, low_taken; /* in a 16-bit access: the high half comes next; the low half that was written */
    uint8_t write_high, gate;
    uint8_t loaded; /* a count was written since the control word */
} PitChannel;

typedef struct Pit {
    Device dev;
    MemRegion ports, speaker;
    PitChannel channels[3];
    int64_t now;     /* virtual time of the access or interrupt that is under way */
    Timer timer;     /* the next rise of channel 0's output */
    Irq irq;         /* channel 0's output: IRQ 0 */
    bool irq_off;    /* the HPET has taken IRQ 0 over */
    uint8_t control; /* port 61, bits 0 to 3 */
} Pit;

extern const DeviceType i8254_type;

/* Set by the HPET: level: IRQ 0 is its. */
Irq pit_disable_input(Pit *pit);

#endif
