/*
 * ATAPI CD and DVD drive: the PACKET command (ATA/ATAPI-6, 8.23 and 9.8) and the commands of MMC-5 and SPC-3 that
 * drivers use. The disc is one data track of 2048-byte sectors; audio and writing are not modelled.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/internal.h"
#include "util/trace.h"
#include <string.h>

enum { NOT_READY = 2, ILLEGAL = 5, ATTENTION = 6 };
enum { ANY_TIME = 1, NEEDS_MEDIUM = 2 }; /* even with a unit attention; a disc has to be in */
enum { EVENT_NONE, EVENT_EJECT, EVENT_NEW, EVENT_REMOVAL };
enum { PROFILE_CD = 0x08, PROFILE_DVD = 0x10, CD_MAX_SECTORS = 80 * 60 * 75 };

typedef struct PacketCommand {
    uint8_t opcode, flags;
    void (*run)(IdeDrive *d, const uint8_t *cdb);
} PacketCommand;

/* ---- ends and blocks ---- */

void atapi_end(IdeDrive *d)
{
    d->regs.error = 0;
    d->regs.count = IDE_CD | IDE_IO;
    ide_finish(d);
}

void atapi_fail(IdeDrive *d, uint8_t sense, uint8_t asc, uint8_t ascq)
{
    d->sense = sense;
    d->asc = asc;
    d->ascq = ascq;
    d->regs.error = sense << 4 | IDE_ABRT;
    d->regs.count = IDE_CD | IDE_IO;
    ide_finish(d);
}

void atapi_block(IdeDrive *d)
{
    unsigned bytes = d->block_end - d->position;
    if (d->phase == IDE_PHASE_RECEIVE && d->after == IDE_AFTER_PACKET) {
        d->regs.count = IDE_CD;
        return;
    }
    if (d->regs.command != 0xa0)
        return;
    d->regs.count = d->phase == IDE_PHASE_RECEIVE ? 0 : IDE_IO;
    d->regs.mid = bytes & 0xff;
    d->regs.high = bytes >> 8;
}

static void put16(uint8_t *p, unsigned value)
{
    p[0] = value >> 8;
    p[1] = value;
}

static void put32(uint8_t *p, uint32_t value)
{
    put16(p, value >> 16);
    put16(p + 2, value);
}

static unsigned get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* The buffer's first bytes, at most what the command allows. */
static void reply(IdeDrive *d, uint32_t bytes, uint32_t allowed)
{
    bytes = MIN(bytes, allowed);
    if (bytes)
        ide_reply(d, bytes);
    else
        atapi_end(d);
}

static void invalid_field(IdeDrive *d)
{
    atapi_fail(d, ILLEGAL, 0x24, 0);
}

static bool has_medium(const IdeDrive *d)
{
    return d->io.node && !d->tray_open;
}

/* ---- commands ---- */

static void test_unit_ready(IdeDrive *d, const uint8_t *cdb)
{
    atapi_end(d);
}

static void request_sense(IdeDrive *d, const uint8_t *cdb)
{
    if (d->attention) {
        d->attention = 0;
        d->sense = ATTENTION;
        d->asc = 0x28;
        d->ascq = 0;
    }
    memset(d->buffer, 0, 18);
    d->buffer[0] = 0x70;
    d->buffer[2] = d->sense;
    d->buffer[7] = 10;
    d->buffer[12] = d->asc;
    d->buffer[13] = d->ascq;
    d->sense = d->asc = d->ascq = 0;
    reply(d, 18, cdb[4]);
}

static void put_padded(uint8_t *to, unsigned size, const char *text)
{
    memset(to, ' ', size);
    memcpy(to, text, MIN(strlen(text), size));
}

static void inquiry(IdeDrive *d, const uint8_t *cdb)
{
    if (cdb[1] & 3 || cdb[2]) { /* no vital product data */
        invalid_field(d);
        return;
    }
    memset(d->buffer, 0, 36);
    d->buffer[0] = 0x05; /* CD-ROM */
    d->buffer[1] = 0x80; /* removable */
    d->buffer[3] = 0x21; /* ATAPI */
    d->buffer[4] = 31;
    put_padded(d->buffer + 8, 8, "QEMU");
    put_padded(d->buffer + 16, 16, d->model);
    put_padded(d->buffer + 32, 4, d->version);
    reply(d, 36, get16(cdb + 3));
}

static void mode_sense(IdeDrive *d, const uint8_t *cdb)
{
    static const uint8_t recovery[] = { 0x01, 6, 0, 5, 0, 0, 0, 0 },
                         audio[] = { 0x0e, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255 }, power[] = { 0x1a, 10 },
                         timeouts[] = { 0x1d, 10 };
    bool ten = cdb[0] == 0x5a;
    unsigned page = cdb[2] & 0x3f, at = ten ? 8 : 4;
    uint8_t capabilities[22] = { 0x2a, 20, 0x3b, 0, 0x70, 0x60, 0x29, 0, 0x02, 0xc2, 0, 2, 0x02, 0, 0x02, 0xc2 };
    if (d->locked)
        capabilities[6] |= 2;
    memset(d->buffer, 0, 128);
    const struct {
        unsigned code, filled, size;
        const uint8_t *bytes;
    } pages[] = { { 0x01, sizeof(recovery), 8, recovery },
                  { 0x0e, sizeof(audio), 16, audio },
                  { 0x1a, sizeof(power), 12, power },
                  { 0x1d, sizeof(timeouts), 12, timeouts },
                  { 0x2a, sizeof(capabilities), 22, capabilities } };
    bool found = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (page != 0x3f && page != pages[i].code)
            continue;
        memcpy(d->buffer + at, pages[i].bytes, pages[i].filled);
        at += pages[i].size;
        found = true;
    }
    if (!found || cdb[2] >> 6 == 3) { /* no saved values */
        atapi_fail(d, ILLEGAL, found ? 0x39 : 0x24, 0);
        return;
    }
    unsigned medium = has_medium(d) ? 0x01 : 0x70;
    if (ten)
        put16(d->buffer, at - 2);
    else
        d->buffer[0] = at - 1;
    d->buffer[ten ? 2 : 1] = medium;
    reply(d, at, ten ? get16(cdb + 7) : cdb[4]);
}

/* What is set there does not change how the drive behaves. */
static void mode_select(IdeDrive *d, const uint8_t *cdb)
{
    unsigned bytes = cdb[0] == 0x55 ? get16(cdb + 7) : cdb[4];
    if (bytes)
        ide_receive(d, bytes, IDE_AFTER_IGNORE);
    else
        atapi_end(d);
}

static void set_tray(IdeDrive *d, bool open)
{
    if (open == d->tray_open)
        return;
    d->tray_open = open;
    d->media_event = open ? EVENT_REMOVAL : d->io.node ? EVENT_NEW : EVENT_NONE;
    d->attention = !open && d->io.node;
}

static void start_stop(IdeDrive *d, const uint8_t *cdb)
{
    bool load_eject = cdb[4] & 2, on = cdb[4] & 1;
    if (load_eject && !on && d->locked && !d->tray_open) {
        atapi_fail(d, d->io.node ? NOT_READY : ILLEGAL, 0x53, 2);
        return;
    }
    if (load_eject)
        set_tray(d, !on);
    atapi_end(d);
}

static void prevent_removal(IdeDrive *d, const uint8_t *cdb)
{
    d->locked = cdb[4] & 1;
    atapi_end(d);
}

static void read_capacity(IdeDrive *d, const uint8_t *cdb)
{
    put32(d->buffer, ide_sectors(d) - 1);
    put32(d->buffer + 4, IDE_CD_SECTOR);
    reply(d, 8, 8);
}

static void read_sectors(IdeDrive *d, uint32_t lba, uint32_t count)
{
    uint64_t all = ide_sectors(d);
    if (lba >= all || count > all - lba) {
        atapi_fail(d, ILLEGAL, 0x21, 0);
        return;
    }
    d->block = d->byte_limit;
    if (count)
        ide_medium(d, IDE_OP_READ, lba, count);
    else
        atapi_end(d);
}

static void read_10_12(IdeDrive *d, const uint8_t *cdb)
{
    read_sectors(d, get32(cdb + 2), cdb[0] == 0xa8 ? get32(cdb + 6) : get16(cdb + 7));
}

static void read_cd(IdeDrive *d, const uint8_t *cdb)
{
    unsigned what = cdb[9] & 0xf8, type = cdb[1] >> 2 & 7;
    uint32_t count = (uint32_t)cdb[6] << 16 | get16(cdb + 7);
    if ((what != 0x10 && what != 0xf8 && what) || (type > 2) || cdb[10] & 7) {
        invalid_field(d);
        return;
    }
    d->raw = what == 0xf8;
    read_sectors(d, get32(cdb + 2), what ? count : 0);
}

static void put_msf(uint8_t *p, uint32_t lba)
{
    lba += 150;
    p[0] = lba / 75 / 60;
    p[1] = lba / 75 % 60;
    p[2] = lba % 75;
}

/* In place, from the last sector on: sync, header, data; error correction codes are zero (Yellow Book, mode 1). */
void atapi_expand_raw(IdeDrive *d, unsigned sectors)
{
    for (unsigned i = sectors; i--;) {
        uint8_t *to = d->buffer + i * IDE_CD_RAW;
        memmove(to + 16, d->buffer + i * IDE_CD_SECTOR, IDE_CD_SECTOR);
        memset(to, 0xff, 12);
        to[0] = to[11] = 0;
        put_msf(to + 12, d->lba - sectors + i);
        to[15] = 1;
        memset(to + 16 + IDE_CD_SECTOR, 0, IDE_CD_RAW - 16 - IDE_CD_SECTOR);
    }
}

static void seek(IdeDrive *d, const uint8_t *cdb)
{
    if (get32(cdb + 2) >= ide_sectors(d))
        atapi_fail(d, ILLEGAL, 0x21, 0);
    else
        atapi_end(d);
}

static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
    if (msf)
        put_msf(p + 1, lba);
    else
        put32(p, lba);
}

static void put_track(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
    p[1] = 0x14; /* data track */
    p[2] = track;
    put_address(p + 4, lba, msf);
}

static void read_toc(IdeDrive *d, const uint8_t *cdb)
{
    bool msf = cdb[1] & 2;
    unsigned format = cdb[2] & 15 ? cdb[2] & 15 : cdb[9] >> 6, bytes = 4;
    uint8_t *b = d->buffer;
    memset(b, 0, 64);
    b[2] = b[3] = 1;
    if (format == 0) {
        if (cdb[6] > 1 && cdb[6] != 0xaa) {
            invalid_field(d);
            return;
        }
        if (cdb[6] <= 1) {
            put_track(b + bytes, 1, 0, msf);
            bytes += 8;
        }
        put_track(b + bytes, 0xaa, ide_sectors(d), msf);
        bytes += 8;
    } else if (format == 1) {
        put_track(b + bytes, 1, 0, msf);
        bytes += 8;
    } else if (format == 2) { /* points A0, A1, A2 and the track */
        static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
        for (unsigned i = 0; i < 4; i++, bytes += 11) {
            b[bytes] = 1;
            b[bytes + 1] = 0x14;
            b[bytes + 3] = points[i];
            if (i < 2)
                b[bytes + 8] = 1;
            else
                put_msf(b + bytes + 8, i == 2 ? ide_sectors(d) : 0);
        }
    } else {
        invalid_field(d);
        return;
    }
    put16(b, bytes - 2);
    reply(d, bytes, get16(cdb + 7));
}

static void read_subchannel(IdeDrive *d, const uint8_t *cdb)
{
    memset(d->buffer, 0, 16);
    d->buffer[1] = 0x15; /* no audio is played */
    put16(d->buffer + 2, cdb[2] & 0x40 ? 12 : 0);
    d->buffer[4] = cdb[3];
    d->buffer[5] = 0x14;
    d->buffer[6] = d->buffer[7] = 1;
    reply(d, cdb[2] & 0x40 ? 16 : 4, get16(cdb + 7));
}

static unsigned profile(const IdeDrive *d)
{
    return !has_medium(d) ? 0 : ide_sectors(d) > CD_MAX_SECTORS ? PROFILE_DVD : PROFILE_CD;
}

static void get_configuration(IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = d->buffer;
    unsigned now = profile(d), at = 8, first = get16(cdb + 2), how = cdb[1] & 3;
    memset(b, 0, 64);
    put16(b + 6, now);
    const uint8_t features[][12] = {
        { 0, 0, 3, 8, 0, PROFILE_DVD, now == PROFILE_DVD, 0, 0, PROFILE_CD, now == PROFILE_CD, 0 }, /* profiles */
        { 0, 1, 7, 8, 0, 0, 0, 2, 1, 0, 0, 0 },                                                     /* core: ATAPI */
        { 0, 3, 3, 4, 0x39 },                                                                       /* removable */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        unsigned code = get16(features[i]);
        if (how == 2 ? code != first : code < first)
            continue;
        memcpy(b + at, features[i], 4 + features[i][3]);
        at += 4 + features[i][3];
    }
    put32(b, at - 4);
    reply(d, at, get16(cdb + 7));
}

static void get_events(IdeDrive *d, const uint8_t *cdb)
{
    uint8_t *b = d->buffer;
    if (!(cdb[1] & 1)) { /* only polled */
        invalid_field(d);
        return;
    }
    memset(b, 0, 8);
    b[3] = 0x10; /* media events are all there are */
    if (!(cdb[4] & 0x10)) {
        b[2] = 0x80;
        put16(b, 2);
        reply(d, 4, get16(cdb + 7));
        return;
    }
    put16(b, 6);
    b[2] = 4;
    b[4] = d->eject_event ? EVENT_EJECT : d->media_event;
    b[5] = (d->tray_open ? 1 : 0) | (has_medium(d) ? 2 : 0);
    if (d->eject_event)
        d->eject_event = 0;
    else
        d->media_event = EVENT_NONE;
    reply(d, 8, get16(cdb + 7));
}

static void disc_information(IdeDrive *d, const uint8_t *cdb)
{
    if (cdb[1] & 7) {
        invalid_field(d);
        return;
    }
    memset(d->buffer, 0, 34);
    put16(d->buffer, 32);
    d->buffer[2] = 0x0e; /* complete, finalised */
    d->buffer[3] = d->buffer[4] = d->buffer[5] = d->buffer[6] = 1;
    d->buffer[7] = 0x20; /* unrestricted use */
    reply(d, 34, get16(cdb + 7));
}

static void mechanism_status(IdeDrive *d, const uint8_t *cdb)
{
    memset(d->buffer, 0, 8);
    d->buffer[1] = d->tray_open ? 0x10 : 0;
    d->buffer[5] = 1;
    reply(d, 8, get16(cdb + 8));
}

static const PacketCommand commands[] = {
    { 0x00, NEEDS_MEDIUM, test_unit_ready },
    { 0x03, ANY_TIME, request_sense },
    { 0x12, ANY_TIME, inquiry },
    { 0x15, 0, mode_select },
    { 0x1a, 0, mode_sense },
    { 0x1b, 0, start_stop },
    { 0x1e, 0, prevent_removal },
    { 0x25, NEEDS_MEDIUM, read_capacity },
    { 0x28, NEEDS_MEDIUM, read_10_12 },
    { 0x2b, NEEDS_MEDIUM, seek },
    { 0x42, NEEDS_MEDIUM, read_subchannel },
    { 0x43, NEEDS_MEDIUM, read_toc },
    { 0x46, ANY_TIME, get_configuration },
    { 0x4a, ANY_TIME, get_events },
    { 0x51, NEEDS_MEDIUM, disc_information },
    { 0x55, 0, mode_select },
    { 0x5a, 0, mode_sense },
    { 0xa8, NEEDS_MEDIUM, read_10_12 },
    { 0xbb, 0, test_unit_ready }, /* SET CD SPEED */
    { 0xbd, 0, mechanism_status },
    { 0xbe, NEEDS_MEDIUM, read_cd },
};

void atapi_packet(IdeDrive *d)
{
    const uint8_t *cdb = d->packet;
    TRACE(atapi_command, "drive %u command 0x%02x 0x%02x lba 0x%08x", d->unit, cdb[0], cdb[1], get32(cdb + 2));
    d->dma = d->regs.feature & 1;
    d->regs.status = IDE_BSY;
    const PacketCommand *c = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(commands) && !c; i++)
        c = commands[i].opcode == cdb[0] ? &commands[i] : NULL;
    if (!c) {
        atapi_fail(d, ILLEGAL, 0x20, 0);
    } else if (d->attention && !(c->flags & ANY_TIME)) {
        d->attention = 0;
        atapi_fail(d, ATTENTION, 0x28, 0);
    } else if (c->flags & NEEDS_MEDIUM && (!has_medium(d) || !ide_sectors(d))) {
        atapi_fail(d, NOT_READY, 0x3a, d->tray_open ? 2 : 1);
    } else {
        if (cdb[0] != 0x03)
            d->sense = d->asc = d->ascq = 0;
        c->run(d, cdb);
    }
}

void atapi_start(IdeDrive *d)
{
    unsigned limit = (d->regs.mid & 0xff) | (d->regs.high & 0xff) << 8;
    limit = limit == 0xffff || !limit ? 0xfffe : limit;
    d->byte_limit = limit > 1 ? limit & ~1u : 2;
    if (d->regs.feature & 2 || (d->regs.feature & 1 && !d->ide->host->dma_map)) { /* overlapped; DMA */
        ide_abort(d);
        return;
    }
    if (!d->ide->host->all_dma) {
        ide_receive(d, 12, IDE_AFTER_PACKET);
        return;
    }
    d->ide->host->packet(d->ide, d->packet);
    atapi_packet(d);
}

void atapi_reset(IdeDrive *d)
{
    d->sense = d->asc = d->ascq = 0;
    d->locked = 0;
}

/* ---- removable media (main loop's thread) ---- */

static bool slot_locked(void *opaque)
{
    IdeDrive *d = opaque;
    ide_lock(d->ide);
    bool locked = d->locked;
    ide_unlock(d->ide);
    return locked;
}

static bool slot_tray_open(void *opaque)
{
    IdeDrive *d = opaque;
    ide_lock(d->ide);
    bool open = d->tray_open;
    ide_unlock(d->ide);
    return open;
}

static void slot_request_eject(void *opaque)
{
    IdeDrive *d = opaque;
    ide_lock(d->ide);
    d->eject_event = 1;
    ide_unlock(d->ide);
}

static void slot_set_tray(void *opaque, bool open)
{
    IdeDrive *d = opaque;
    ide_lock(d->ide);
    set_tray(d, open);
    if (open)
        d->locked = 0;
    ide_unlock(d->ide);
}

static void slot_set_medium(void *opaque, BlockNode *node)
{
    IdeDrive *d = opaque;
    disk_io_pause(&d->io);
    ide_lock(d->ide);
    d->drive = node;
    disk_io_set_node(&d->io, node);
    ide_unlock(d->ide);
    disk_io_resume(&d->io);
}

const BlockSlotOps atapi_slot_ops = { .locked = slot_locked,
                                      .tray_open = slot_tray_open,
                                      .request_eject = slot_request_eject,
                                      .set_medium = slot_set_medium,
                                      .set_tray = slot_set_tray,
                                      .read_only = true };
