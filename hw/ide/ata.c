/*
 * ATA commands (ATA8-ACS, clause 7). What is not in the table is aborted, among it the Security feature set, which the
 * drives do not have.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/internal.h"
#include <string.h>

enum { FOR_DISK = 1, FOR_CD = 2, FOR_BOTH = 3 };
enum { EXT = 1, DMA = 2, MULTI = 4, FUA = 8 };

typedef struct AtaCommand {
    void (*run)(IdeDrive *d, unsigned flags);
    uint8_t who, flags;
} AtaCommand;

/* ---- addresses ---- */

static uint64_t get_lba(const IdeDrive *d, bool ext)
{
    const IdeRegs *r = &d->regs;
    unsigned low = r->low & 0xff, mid = r->mid & 0xff, high = r->high & 0xff, head = r->device & 15;
    if (ext)
        return low | mid << 8 | (uint64_t)high << 16 | (uint64_t)(r->low >> 8) << 24 | (uint64_t)(r->mid >> 8) << 32 |
               (uint64_t)(r->high >> 8) << 40;
    if (r->device & IDE_DEV_LBA)
        return low | mid << 8 | high << 16 | head << 24;
    uint64_t cylinder = mid | high << 8;
    return low ? (cylinder * d->current_heads + head) * d->current_sectors + low - 1 : UINT64_MAX;
}

static void put_lba(IdeDrive *d, uint64_t lba, bool ext)
{
    IdeRegs *r = &d->regs;
    if (!ext && !(r->device & IDE_DEV_LBA)) {
        unsigned track = d->current_heads * d->current_sectors;
        uint64_t cylinder = lba / track;
        r->low = lba % d->current_sectors + 1;
        r->mid = cylinder & 0xff;
        r->high = cylinder >> 8 & 0xff;
        r->device = (r->device & 0xf0) | (lba / d->current_sectors % d->current_heads);
        return;
    }
    r->low = (lba & 0xff) | (ext ? (lba >> 24 & 0xff) << 8 : 0);
    r->mid = (lba >> 8 & 0xff) | (ext ? (lba >> 32 & 0xff) << 8 : 0);
    r->high = (lba >> 16 & 0xff) | (ext ? (lba >> 40 & 0xff) << 8 : 0);
    if (!ext)
        r->device = (r->device & 0xf0) | (lba >> 24 & 15);
}

void ata_error_lba(IdeDrive *d, uint64_t lba)
{
    put_lba(d, lba, d->lba48);
}

static uint32_t get_count(const IdeDrive *d, bool ext)
{
    uint32_t count = ext ? d->regs.count : d->regs.count & 0xff;
    return count ? count : ext ? 65536 : 256;
}

/* ---- media ---- */

static void transfer(IdeDrive *d, unsigned flags, uint8_t op)
{
    uint64_t lba = get_lba(d, flags & EXT);
    uint32_t count = get_count(d, flags & EXT);
    d->lba48 = (flags & EXT) != 0;
    d->dma = (flags & DMA) != 0;
    d->fua = (flags & FUA) != 0;
    bool impossible = (flags & MULTI && !d->multiple) || (flags & DMA && !d->ide->host->dma_map);
    if (impossible || (op == IDE_OP_WRITE && d->io.node->read_only)) {
        d->dma = 0;
        ide_abort(d);
        return;
    }
    if (lba >= d->visible || count > d->visible - lba) {
        d->dma = 0;
        d->regs.error = IDE_IDNF;
        ide_finish(d);
        return;
    }
    d->block = IDE_SECTOR * (flags & MULTI ? d->multiple : 1);
    ide_medium(d, op, lba, count);
}

static void ata_read(IdeDrive *d, unsigned flags)
{
    transfer(d, flags, IDE_OP_READ);
}
static void ata_write(IdeDrive *d, unsigned flags)
{
    transfer(d, flags, IDE_OP_WRITE);
}
static void ata_verify(IdeDrive *d, unsigned flags)
{
    transfer(d, flags, IDE_OP_VERIFY);
}
static void ata_flush(IdeDrive *d, unsigned flags)
{
    ide_medium(d, IDE_OP_FLUSH, 0, 0);
}

/* 7.10: TRIM by ranges, 64 in a block */
static void ata_data_set(IdeDrive *d, unsigned flags)
{
    unsigned blocks = d->regs.count;
    if ((d->regs.feature & 0xff) != 1 || !blocks || blocks > IDE_BUFFER_SECTORS || d->io.node->read_only ||
        !d->ide->host->dma_map) {
        ide_abort(d);
        return;
    }
    d->dma = 1;
    ide_receive(d, blocks * IDE_SECTOR, IDE_AFTER_TRIM);
}

bool ata_trim_next(IdeDrive *d, uint64_t *lba, uint32_t *sectors)
{
    while (d->range < d->length / 8) {
        uint64_t entry;
        memcpy(&entry, d->buffer + 8 * d->range++, 8);
        entry = GUINT64_FROM_LE(entry);
        *lba = entry & 0xffffffffffff;
        *sectors = entry >> 48;
        if (*sectors)
            return true;
    }
    return false;
}

static void ata_seek(IdeDrive *d, unsigned flags)
{
    if (get_lba(d, false) >= d->visible)
        d->regs.error = IDE_IDNF;
    ide_finish(d);
}

static void ata_nothing(IdeDrive *d, unsigned flags)
{
    ide_finish(d);
}

/* ---- host protected area (ATA/ATAPI-6, 6.20): until the next power-on ---- */

static void ata_native_max(IdeDrive *d, unsigned flags)
{
    uint64_t last = ide_sectors(d) - 1;
    put_lba(d, flags & EXT ? last : MIN(last, 0x0ffffffe), flags & EXT);
    ide_finish(d);
}

static void ata_set_max(IdeDrive *d, unsigned flags)
{
    uint64_t last = get_lba(d, flags & EXT);
    if (((d->regs.feature & 0xff) && !(flags & EXT)) || last >= ide_sectors(d)) {
        ide_abort(d);
        return;
    }
    d->visible = last + 1;
    ide_finish(d);
}

/* ---- what the drive is ---- */

static void ata_identify(IdeDrive *d, unsigned flags)
{
    if (d->is_cd) {
        uint8_t device = d->regs.device;
        ide_signature(d);
        d->regs.device = device & IDE_DEV_DRIVE1;
        ide_abort(d);
        return;
    }
    ide_identify(d, (uint16_t *)(void *)d->buffer);
    ide_reply(d, IDE_SECTOR);
}

static void ata_identify_packet(IdeDrive *d, unsigned flags)
{
    ide_identify(d, (uint16_t *)(void *)d->buffer);
    ide_reply(d, IDE_SECTOR);
}

static void ata_diagnostic(IdeDrive *d, unsigned flags)
{
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *one = d->ide->drives[i];
        if (!one)
            continue;
        ide_signature(one);
        one->regs.error = 1;
        one->regs.status = one->is_cd ? 0 : IDE_DRDY | IDE_DSC;
    }
    if (d->ide->host->all_dma)
        d->ide->host->complete(d->ide);
    else
        ide_interrupt(d, true);
}

static void ata_device_reset(IdeDrive *d, unsigned flags)
{
    ide_soft_reset(d);
    d->regs.status = 0;
    if (d->ide->host->all_dma)
        d->ide->host->complete(d->ide);
}

static void ata_check_power(IdeDrive *d, unsigned flags)
{
    d->regs.count = 0xff; /* active */
    ide_finish(d);
}

/* ---- modes ---- */

static void ata_init_params(IdeDrive *d, unsigned flags)
{
    unsigned sectors = d->regs.count & 0xff, heads = (d->regs.device & 15) + 1;
    if (!sectors || sectors > 63) {
        ide_abort(d);
        return;
    }
    d->current_sectors = sectors;
    d->current_heads = heads;
    ide_finish(d);
}

static void ata_set_multiple(IdeDrive *d, unsigned flags)
{
    unsigned n = d->regs.count & 0xff;
    if (n > 16 || n & (n - 1)) {
        ide_abort(d);
        return;
    }
    d->multiple = n;
    ide_finish(d);
}

static bool set_transfer_mode(IdeDrive *d)
{
    unsigned kind = d->regs.count >> 3 & 31, mode = d->regs.count & 7;
    if (kind == 0)
        return mode <= 1;
    bool ok = (kind == 1 && mode <= 4) || (kind == 4 && mode <= 2) || (kind == 8 && mode <= 5);
    if (ok && kind != 1)
        d->dma_mode = d->regs.count;
    return ok;
}

static void ata_set_features(IdeDrive *d, unsigned flags)
{
    bool ok = true;
    switch (d->regs.feature & 0xff) {
    case 0x02:
    case 0x82: /* write cache */
        ok = !d->is_cd;
        d->write_cache = (d->regs.feature & 0xff) == 0x02;
        if (ok && !d->write_cache) {
            ata_flush(d, 0); /* what it holds */
            return;
        }
        break;
    case 0x03:
        ok = set_transfer_mode(d);
        break;
    case 0x55:
    case 0xaa:
        d->look_ahead = (d->regs.feature & 0xff) == 0xaa;
        break;
    case 0x05: /* power management and acoustics: there is nothing to manage */
    case 0x85:
    case 0x42:
    case 0xc2:
    case 0x66: /* keep or drop settings at a soft reset: they are kept */
    case 0xcc:
        break;
    default:
        ok = false;
    }
    if (ok)
        ide_finish(d);
    else
        ide_abort(d);
}

/* ---- SMART (7.52) and logs (7.23) ---- */

static void put_sum(uint8_t *page)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < 511; i++)
        sum += page[i];
    page[511] = -sum;
}

/* Attributes of a drive that is well: read errors, start-stops, reallocated, power-on hours, power cycles, degrees */
static void smart_page(IdeDrive *d, bool thresholds)
{
    static const struct {
        uint8_t id, flags, value, threshold, raw;
    } attributes[] = { { 1, 3, 100, 6, 0 }, { 3, 3, 100, 0, 16 }, { 4, 2, 100, 20, 100 }, { 5, 3, 100, 36, 0 },
                       { 9, 3, 100, 0, 1 }, { 12, 3, 100, 0, 0 }, { 190, 3, 69, 50, 31 } };
    uint8_t *page = d->buffer;
    page[0] = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        uint8_t *entry = page + 2 + 12 * i;
        entry[0] = attributes[i].id;
        if (thresholds) {
            entry[1] = attributes[i].threshold;
            continue;
        }
        entry[1] = attributes[i].flags;
        entry[3] = entry[4] = attributes[i].value;
        entry[5] = attributes[i].raw;
    }
    if (!thresholds) {
        page[362] = 0x80; /* off-line collection was never started */
        page[364] = 1;
        page[367] = 0x10; /* self-tests */
        page[368] = 3;
        page[370] = 1; /* error log */
        page[372] = 2;
        page[373] = 54;
    }
    put_sum(page);
}

static bool smart_log(IdeDrive *d)
{
    switch (d->regs.low & 0xff) {
    case 0: /* directory */
        d->buffer[0] = 1;
        d->buffer[2] = d->buffer[12] = 1;
        return true;
    case 1: /* summary of errors */
        d->buffer[0] = 1;
        put_sum(d->buffer);
        return true;
    case 6: /* self-tests */
        d->buffer[0] = 1;
        put_sum(d->buffer);
        return true;
    default:
        return false;
    }
}

static void ata_smart(IdeDrive *d, unsigned flags)
{
    unsigned what = d->regs.feature & 0xff;
    bool key = (d->regs.mid & 0xff) == 0x4f && (d->regs.high & 0xff) == 0xc2;
    if (!key || (what != 0xd8 && !d->smart_on)) {
        ide_abort(d);
        return;
    }
    memset(d->buffer, 0, IDE_SECTOR);
    bool ok = true;
    switch (what) {
    case 0xd0:
    case 0xd1:
        smart_page(d, what == 0xd1);
        ide_reply(d, IDE_SECTOR);
        return;
    case 0xd5:
        ok = smart_log(d);
        if (ok) {
            ide_reply(d, IDE_SECTOR);
            return;
        }
        break;
    case 0xd8:
    case 0xd9:
        d->smart_on = what == 0xd8;
        break;
    case 0xd2: /* autosave; off-line tests, which end at once; status: mid and high stay as they are: good */
    case 0xd4:
    case 0xda:
        break;
    default:
        ok = false;
    }
    if (ok)
        ide_finish(d);
    else
        ide_abort(d);
}

/* The directory, and log 10h: which queued command failed. */
static void ata_read_log(IdeDrive *d, unsigned flags)
{
    unsigned log = d->regs.low & 0xff;
    if ((log != 0 && log != 0x10) || d->regs.count != 1 || (d->regs.mid & 0xff)) {
        ide_abort(d);
        return;
    }
    memset(d->buffer, 0, IDE_SECTOR);
    if (log == 0) {
        d->buffer[0] = 1;
        d->buffer[0x20] = 1;
    } else {
        d->buffer[0] = d->ncq_failed;
        d->buffer[2] = IDE_DRDY | IDE_ERR;
        d->buffer[3] = IDE_ABRT;
        d->ncq_failed = 0x80;
        put_sum(d->buffer);
    }
    ide_reply(d, IDE_SECTOR);
}

static void ata_packet(IdeDrive *d, unsigned flags)
{
    atapi_start(d);
}

/* ---- table ---- */

static const AtaCommand commands[256] = {
    [0x06] = { ata_data_set, FOR_DISK, EXT },
    [0x08] = { ata_device_reset, FOR_CD },
    [0x10] = { ata_nothing, FOR_DISK }, /* recalibrate */
    [0x20] = { ata_read, FOR_DISK },
    [0x21] = { ata_read, FOR_DISK },
    [0x24] = { ata_read, FOR_DISK, EXT },
    [0x25] = { ata_read, FOR_DISK, EXT | DMA },
    [0x27] = { ata_native_max, FOR_DISK, EXT },
    [0x29] = { ata_read, FOR_DISK, EXT | MULTI },
    [0x2f] = { ata_read_log, FOR_DISK, EXT },
    [0x30] = { ata_write, FOR_DISK },
    [0x31] = { ata_write, FOR_DISK },
    [0x34] = { ata_write, FOR_DISK, EXT },
    [0x35] = { ata_write, FOR_DISK, EXT | DMA },
    [0x37] = { ata_set_max, FOR_DISK, EXT },
    [0x39] = { ata_write, FOR_DISK, EXT | MULTI },
    [0x3d] = { ata_write, FOR_DISK, EXT | DMA | FUA },
    [0x40] = { ata_verify, FOR_DISK },
    [0x41] = { ata_verify, FOR_DISK },
    [0x42] = { ata_verify, FOR_DISK, EXT },
    [0x70] = { ata_seek, FOR_DISK },
    [0x90] = { ata_diagnostic, FOR_BOTH },
    [0x91] = { ata_init_params, FOR_DISK },
    [0xa0] = { ata_packet, FOR_CD },
    [0xa1] = { ata_identify_packet, FOR_CD },
    [0xb0] = { ata_smart, FOR_DISK },
    [0xc4] = { ata_read, FOR_DISK, MULTI },
    [0xc5] = { ata_write, FOR_DISK, MULTI },
    [0xc6] = { ata_set_multiple, FOR_DISK },
    [0xc8] = { ata_read, FOR_DISK, DMA },
    [0xc9] = { ata_read, FOR_DISK, DMA },
    [0xca] = { ata_write, FOR_DISK, DMA },
    [0xcb] = { ata_write, FOR_DISK, DMA },
    [0xce] = { ata_write, FOR_DISK, EXT | MULTI | FUA },
    [0xe0] = { ata_nothing, FOR_BOTH }, /* standby, idle, sleep */
    [0xe1] = { ata_nothing, FOR_BOTH },
    [0xe2] = { ata_nothing, FOR_BOTH },
    [0xe3] = { ata_nothing, FOR_BOTH },
    [0xe5] = { ata_check_power, FOR_BOTH },
    [0xe6] = { ata_nothing, FOR_BOTH },
    [0xe7] = { ata_flush, FOR_DISK },
    [0xea] = { ata_flush, FOR_DISK },
    [0xec] = { ata_identify, FOR_BOTH },
    [0xef] = { ata_set_features, FOR_BOTH },
    [0xf8] = { ata_native_max, FOR_DISK },
    [0xf9] = { ata_set_max, FOR_DISK },
};

void ata_execute(IdeDrive *d)
{
    const AtaCommand *c = &commands[d->regs.command];
    if (c->run && c->who & (d->is_cd ? FOR_CD : FOR_DISK))
        c->run(d, c->flags);
    else
        ide_abort(d);
}
