/*
 * Between the files of the ATA device model.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_IDE_INTERNAL_H
#define HW_IDE_INTERNAL_H

#include "hw/ide/ide.h"

/* What becomes of received bytes (IdeDrive.after) */
enum { IDE_AFTER_NOTHING, IDE_AFTER_PACKET, IDE_AFTER_TRIM, IDE_AFTER_IGNORE };

/* ---- the engine (core.c): how commands end or go on ---- */
void ide_finish(IdeDrive *d);                /* status from regs.error */
void ide_abort(IdeDrive *d);                 /* the same with ABRT */
void ide_reply(IdeDrive *d, uint32_t bytes); /* of the buffer */
void ide_receive(IdeDrive *d, uint32_t bytes, uint8_t after);
void ide_medium(IdeDrive *d, uint8_t op, uint64_t lba, uint32_t sectors);
void ide_interrupt(IdeDrive *d, bool level);
uint64_t ide_sectors(const IdeDrive *d); /* of the medium, in the drive's sectors; 0: none */
static inline uint32_t ide_sector_size(const IdeDrive *d)
{
    return d->is_cd ? IDE_CD_SECTOR : IDE_SECTOR;
}

bool ide_drive_init_io(IdeDrive *d, GError **err); /* in realize: the bus is known */

/* ---- PIO (core.c) ---- */
uint32_t ide_data_read(IdeDrive *d, unsigned size);
void ide_data_write(IdeDrive *d, uint32_t value, unsigned size);

/* ---- commands ---- */
void ide_identify(const IdeDrive *d, uint16_t *words);             /* 256, little-endian (identify.c) */
void ata_execute(IdeDrive *d);                                     /* ata.c */
bool ata_trim_next(IdeDrive *d, uint64_t *lba, uint32_t *sectors); /* next range in the buffer */
void ata_error_lba(IdeDrive *d, uint64_t lba);
void atapi_packet(IdeDrive *d); /* d->packet is there (atapi.c) */
void atapi_start(IdeDrive *d);  /* PACKET command */
void atapi_end(IdeDrive *d);    /* good status */
void atapi_fail(IdeDrive *d, uint8_t sense, uint8_t asc, uint8_t ascq);
void atapi_block(IdeDrive *d); /* registers of the next DRQ block */
void atapi_medium_changed(IdeDrive *d);
void atapi_reset(IdeDrive *d);
void atapi_expand_raw(IdeDrive *d, unsigned sectors); /* the buffer's 2048-byte sectors become 2352 bytes each */
extern const BlockSlotOps atapi_slot_ops;

#endif
