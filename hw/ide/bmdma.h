/*
 * One channel of a bus master IDE controller (Programming Interface for Bus Master IDE Controller 1.0).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_IDE_BMDMA_H
#define HW_IDE_BMDMA_H

#include "hw/ide/ide.h"

typedef struct BmDma {
    IdeBus ide;
    GMutex lock;
    Device *dev;
    Irq irq;
    MemRegion command_ports, control_ports;
    bool level;
    uint8_t command, status;
    uint8_t last;     /* the entry under way is the last one */
    uint16_t entries; /* taken from the table since the start */
    uint32_t table;
    uint32_t next, address, left; /* next entry of the table; what is left of the one under way */
} BmDma;

/* Make the channel's bus n of dev and its port regions. irq is set afterwards. */
void bmdma_init(BmDma *bm, Device *dev, unsigned n);
void bmdma_destroy(BmDma *bm);
/* While its bus is paused. */
void bmdma_reset(BmDma *bm);
/* The channel's 8 registers; without the lock. */
uint32_t bmdma_read(BmDma *bm, unsigned offset);
void bmdma_write(BmDma *bm, unsigned offset, uint32_t value, unsigned size);
/* For state lists: members of BmDma that are saved. */
#define BMDMA_STATE(Type, member)                                                                                      \
    STATE(Type, member.level), STATE(Type, member.command), STATE(Type, member.status), STATE(Type, member.last),      \
        STATE(Type, member.entries), STATE(Type, member.table), STATE(Type, member.next), STATE(Type, member.address), \
        STATE(Type, member.left), STATE(Type, member.ide.select), STATE(Type, member.ide.control),                     \
        STATE(Type, member.ide.intrq)

#endif
