/*
 * ATA device model: data phases of commands and what their ends look like (ATA/ATAPI-6, clause 9; see ide.h).
 *
 * PIO data pass through the drive's buffer, up to 64 KiB of the medium at once, so that the drive's thread is needed
 * once for 128 sectors. DMA goes straight between guest memory and the image, in pieces of at most DISK_SEGMENTS
 * segments. A piece counts only when it is done: one that has to wait for "cont" is begun again.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/internal.h"
#include "util/trace.h"
#include <string.h>

#define MAX_PIECE (4u << 20)

static const IdeHost *host_of(const IdeDrive *d)
{
    return d->ide->host;
}

uint64_t ide_sectors(const IdeDrive *d)
{
    return d->io.node ? d->io.node->size / ide_sector_size(d) : 0;
}

/* ---- interrupt line ---- */

void ide_interrupt(IdeDrive *d, bool level)
{
    IdeBus *ide = d->ide;
    if (level && ide_selected(ide) != d)
        return;
    ide->intrq = level;
    ide->host->irq(ide, level && !(ide->control & IDE_CTL_NIEN));
}

/* ---- ends ---- */

static void end_phase(IdeDrive *d)
{
    d->phase = IDE_PHASE_NONE;
    d->op = IDE_OP_NONE;
    d->waiting = d->dma = 0;
    d->left = 0;
}

static void set_idle(IdeDrive *d)
{
    end_phase(d);
    d->regs.status = IDE_DRDY | IDE_DSC | (d->regs.error ? IDE_ERR : 0);
    if (d->is_cd)
        d->regs.status &= ~IDE_DSC;
}

void ide_finish(IdeDrive *d)
{
    if (d->dma && d->phase != IDE_PHASE_NONE)
        host_of(d)->dma_end(d->ide, false, false);
    set_idle(d);
    TRACE(ide_done, "drive %u command 0x%02x status 0x%02x error 0x%02x", d->unit, d->regs.command, d->regs.status,
          d->regs.error);
    if (host_of(d)->all_dma)
        host_of(d)->complete(d->ide);
    else
        ide_interrupt(d, true);
}

void ide_abort(IdeDrive *d)
{
    d->regs.error = IDE_ABRT;
    ide_finish(d);
}

/* The guest's list was too short: the bus master stops, and no interrupt comes (Bus Master IDE 1.0, 3.1); or it named
 * no RAM. */
static void end_dma_badly(IdeDrive *d, bool failed)
{
    host_of(d)->dma_end(d->ide, !failed, failed);
    d->dma = 0;
    if (failed || host_of(d)->all_dma) {
        if (d->is_cd)
            atapi_fail(d, 0x0b, 0x4b, 0); /* aborted command, data phase error */
        else
            ide_abort(d);
        return;
    }
    set_idle(d);
}

/* ---- buffer to and from guest memory, by DMA ---- */

/* True if all of it went. */
static bool dma_copy(IdeDrive *d, uint32_t bytes, bool to_memory, bool *failed)
{
    const IdeHost *host = host_of(d);
    struct iovec iov[16];
    uint32_t done = 0;
    *failed = false;
    while (done < bytes) {
        unsigned count = 0;
        uint32_t got = host->dma_map(d->ide, iov, G_N_ELEMENTS(iov), &count, bytes - done, to_memory, failed);
        if (!got)
            return false;
        for (unsigned i = 0; i < count; i++) {
            uint8_t *here = d->buffer + done;
            if (to_memory) {
                memcpy(iov[i].iov_base, here, iov[i].iov_len);
                dma_unmap(&d->dev, iov[i].iov_base, iov[i].iov_len);
            } else {
                memcpy(here, iov[i].iov_base, iov[i].iov_len);
            }
            done += iov[i].iov_len;
        }
        host->dma_advance(d->ide, got);
    }
    return true;
}

/* ---- PIO ---- */

/* The next DRQ block. */
static void next_block(IdeDrive *d, bool interrupt)
{
    d->block_end = MIN(d->position + d->block, d->length);
    d->regs.status = IDE_DRDY | IDE_DRQ | (d->is_cd ? 0 : IDE_DSC);
    if (d->is_cd)
        atapi_block(d);
    if (interrupt)
        ide_interrupt(d, true);
}

static bool pio_in(const IdeDrive *d)
{
    return d->phase == IDE_PHASE_REPLY || (d->phase == IDE_PHASE_MEDIUM && d->op == IDE_OP_READ);
}

static bool pio_out(const IdeDrive *d)
{
    return d->phase == IDE_PHASE_RECEIVE || (d->phase == IDE_PHASE_MEDIUM && d->op == IDE_OP_WRITE);
}

static void start(IdeDrive *d)
{
    d->waiting = 1;
    d->regs.status = IDE_BSY;
    d->io.wanted = true;
}

/* The guest is to write the next piece of what goes to the medium. */
static void collect_piece(IdeDrive *d, bool interrupt)
{
    d->position = 0;
    d->length = MIN(d->left, IDE_BUFFER_SECTORS) * IDE_SECTOR;
    next_block(d, interrupt);
}

static void received(IdeDrive *d)
{
    uint8_t after = d->after;
    if (after == IDE_AFTER_PACKET) {
        memcpy(d->packet, d->buffer, 12);
        end_phase(d);
        atapi_packet(d);
    } else if (after == IDE_AFTER_TRIM) {
        d->phase = IDE_PHASE_MEDIUM;
        d->op = IDE_OP_TRIM;
        d->range = 0;
        start(d);
    } else if (d->is_cd) {
        atapi_end(d);
    } else {
        ide_finish(d);
    }
}

/* All of the buffer was moved. */
static void buffer_done(IdeDrive *d)
{
    if (d->phase == IDE_PHASE_MEDIUM && d->op == IDE_OP_WRITE) {
        start(d);
    } else if (d->phase == IDE_PHASE_MEDIUM && d->left) {
        start(d);
    } else if (d->phase == IDE_PHASE_RECEIVE) {
        received(d);
    } else if (d->is_cd && d->regs.command == 0xa0) {
        atapi_end(d);
    } else {
        set_idle(d); /* without an interrupt */
    }
}

uint32_t ide_data_read(IdeDrive *d, unsigned size)
{
    uint32_t value = 0;
    if (!(d->regs.status & IDE_DRQ) || !pio_in(d))
        return 0;
    unsigned take = MIN(size, d->block_end - d->position);
    memcpy(&value, d->buffer + d->position, take);
    d->position += take;
    if (d->position < d->block_end)
        return GUINT32_FROM_LE(value);
    if (d->position < d->length)
        next_block(d, true);
    else
        buffer_done(d);
    return GUINT32_FROM_LE(value);
}

void ide_data_write(IdeDrive *d, uint32_t value, unsigned size)
{
    if (!(d->regs.status & IDE_DRQ) || !pio_out(d))
        return;
    value = GUINT32_TO_LE(value);
    unsigned take = MIN(size, d->block_end - d->position);
    memcpy(d->buffer + d->position, &value, take);
    d->position += take;
    if (d->position < d->block_end)
        return;
    if (d->position < d->length)
        next_block(d, true);
    else
        buffer_done(d);
}

/* ---- starting data phases ---- */

/* What waited for the host: it can reach guest memory now. */
static void dma_phase(IdeDrive *d)
{
    bool failed;
    if (d->phase == IDE_PHASE_MEDIUM) {
        start(d);
        return;
    }
    if (!dma_copy(d, d->length, d->phase == IDE_PHASE_REPLY, &failed)) {
        end_dma_badly(d, failed);
        return;
    }
    if (d->phase == IDE_PHASE_RECEIVE)
        received(d);
    else if (d->is_cd && d->regs.command == 0xa0)
        atapi_end(d);
    else
        ide_finish(d);
}

static void begin(IdeDrive *d, bool to_memory)
{
    const IdeHost *host = host_of(d);
    if (host->all_dma)
        d->dma = 1;
    if (d->dma) {
        d->regs.status = IDE_BSY;
        if (host->dma_ready(d->ide, to_memory))
            dma_phase(d);
        return;
    }
    d->position = 0;
    if (d->phase == IDE_PHASE_MEDIUM && to_memory)
        start(d);
    else if (d->phase == IDE_PHASE_MEDIUM)
        collect_piece(d, false);
    else
        next_block(d, to_memory);
}

void ide_reply(IdeDrive *d, uint32_t bytes)
{
    d->phase = IDE_PHASE_REPLY;
    d->length = bytes;
    d->block = d->is_cd && d->regs.command == 0xa0 ? d->byte_limit : IDE_SECTOR;
    begin(d, true);
}

void ide_receive(IdeDrive *d, uint32_t bytes, uint8_t after)
{
    g_assert(bytes && bytes <= IDE_BUFFER);
    d->phase = IDE_PHASE_RECEIVE;
    d->after = after;
    d->length = bytes;
    d->block = after == IDE_AFTER_PACKET ? 12 : d->is_cd ? d->byte_limit : IDE_SECTOR;
    begin(d, false);
}

void ide_medium(IdeDrive *d, uint8_t op, uint64_t lba, uint32_t sectors)
{
    d->phase = IDE_PHASE_MEDIUM;
    d->op = op;
    d->lba = lba;
    d->left = sectors;
    if (op == IDE_OP_READ || op == IDE_OP_WRITE)
        begin(d, op == IDE_OP_READ);
    else
        start(d);
}

void ide_dma_go(IdeBus *ide)
{
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = ide->drives[i];
        if (d && d->dma && d->phase && !d->waiting && !d->running && ide->host->dma_ready(ide, pio_in(d)))
            dma_phase(d);
    }
}

bool ide_dma_active(const IdeBus *ide)
{
    for (unsigned i = 0; i < 2; i++) {
        if (ide->drives[i] && ide->drives[i]->dma && ide->drives[i]->phase)
            return true;
    }
    return false;
}

/* ---- the medium (on the drive's thread, under the lock) ---- */

static void piece_done(DiskRequest *r, int error);

static void medium_failed(IdeDrive *d)
{
    bool write = d->op == IDE_OP_WRITE;
    if (d->is_cd) {
        atapi_fail(d, 0x03, 0x11, 0); /* medium error, unrecovered read error */
        return;
    }
    if (d->op == IDE_OP_READ || write)
        ata_error_lba(d, d->lba);
    d->regs.error = d->op == IDE_OP_READ ? IDE_UNC : IDE_ABRT;
    ide_finish(d);
}

/* Cut the segments to bytes. */
static unsigned cut(struct iovec *iov, unsigned count, uint64_t bytes)
{
    unsigned n = 0;
    for (; n < count && bytes; n++) {
        iov[n].iov_len = MIN(iov[n].iov_len, bytes);
        bytes -= iov[n].iov_len;
    }
    return n;
}

static void run_dma_piece(IdeDrive *d)
{
    DiskRequest *r = disk_io_request(&d->io, d, piece_done);
    uint32_t sector = ide_sector_size(d), want = MIN(d->left, MAX_PIECE / sector) * sector;
    unsigned count = 0;
    bool read = d->op == IDE_OP_READ, failed = false;
    uint32_t got = host_of(d)->dma_map(d->ide, r->iov, DISK_SEGMENTS, &count, want, read, &failed);
    got -= got % sector;
    if (!got) {
        disk_io_discard(r);
        end_dma_badly(d, failed);
        return;
    }
    r->tag = got / sector;
    r->flush_after = !read && (d->fua || !d->write_cache);
    d->running = 1;
    disk_io_start(r, read ? BLOCK_OP_READ : BLOCK_OP_WRITE, d->lba * sector, got, cut(r->iov, count, got));
}

static void run_buffer_piece(IdeDrive *d)
{
    DiskRequest *r = disk_io_request(&d->io, d, piece_done);
    uint32_t sector = ide_sector_size(d), most = IDE_BUFFER / (d->raw ? IDE_CD_RAW : sector);
    bool read = d->op == IDE_OP_READ;
    r->tag = MIN(d->left, most);
    r->iov[0] = (struct iovec){ d->buffer, r->tag * sector };
    r->flush_after = !read && (d->fua || !d->write_cache);
    d->running = 1;
    disk_io_start(r, read ? BLOCK_OP_READ : BLOCK_OP_WRITE, d->lba * sector, r->iov[0].iov_len, 1);
}

static void run_trim(IdeDrive *d)
{
    uint64_t lba;
    uint32_t sectors;
    if (!ata_trim_next(d, &lba, &sectors)) {
        ide_finish(d);
        return;
    }
    if (lba > d->visible || sectors > d->visible - lba) {
        d->regs.error = IDE_IDNF | IDE_ABRT;
        ide_finish(d);
        return;
    }
    DiskRequest *r = disk_io_request(&d->io, d, piece_done);
    r->tag = 0;
    d->running = 1;
    disk_io_start(r, BLOCK_OP_DISCARD, lba * IDE_SECTOR, (uint64_t)sectors * IDE_SECTOR, 0);
}

static void run_piece(IdeDrive *d)
{
    d->waiting = 0;
    d->regs.status = IDE_BSY;
    if (!d->io.node && d->op != IDE_OP_NONE) {
        medium_failed(d);
        return;
    }
    switch (d->op) {
    case IDE_OP_READ:
    case IDE_OP_WRITE:
        if (d->dma && !d->raw)
            run_dma_piece(d);
        else
            run_buffer_piece(d);
        break;
    case IDE_OP_FLUSH: {
        DiskRequest *r = disk_io_request(&d->io, d, piece_done);
        r->tag = 0;
        d->running = 1;
        disk_io_start(r, BLOCK_OP_FLUSH, 0, 0, 0);
        break;
    }
    case IDE_OP_TRIM:
        run_trim(d);
        break;
    default: /* verify: the host's file system checks */
        ide_finish(d);
    }
}

static void unmap_piece(IdeDrive *d, DiskRequest *r)
{
    for (unsigned i = 0; i < r->block.iov_count; i++)
        dma_unmap(&d->dev, r->iov[i].iov_base, r->iov[i].iov_len);
}

/* A piece read into the buffer goes to the guest. */
static void buffer_read(IdeDrive *d, unsigned sectors)
{
    bool failed;
    d->position = 0;
    d->length = sectors * (d->raw ? IDE_CD_RAW : ide_sector_size(d));
    if (d->raw)
        atapi_expand_raw(d, sectors);
    if (!d->dma) {
        next_block(d, true);
    } else if (!dma_copy(d, d->length, true, &failed)) {
        end_dma_badly(d, failed);
    } else if (d->left) {
        start(d);
    } else {
        atapi_end(d);
    }
}

static void transferred(IdeDrive *d, DiskRequest *r)
{
    bool read = d->op == IDE_OP_READ, direct = d->dma && !d->raw;
    if (direct && read)
        unmap_piece(d, r);
    if (direct)
        host_of(d)->dma_advance(d->ide, r->block.length);
    d->lba += r->tag;
    d->left -= r->tag;
    if (!direct && read)
        buffer_read(d, r->tag);
    else if (d->left && direct)
        start(d);
    else if (d->left)
        collect_piece(d, true);
    else if (d->is_cd)
        atapi_end(d);
    else
        ide_finish(d);
}

static void piece_done(DiskRequest *r, int error)
{
    IdeDrive *d = r->owner;
    d->running = 0;
    if (error == DISK_STOPPED) {
        if (d->op == IDE_OP_TRIM)
            d->range--; /* this one again */
        d->waiting = 1;
    } else if (error) {
        medium_failed(d);
    } else if (d->op == IDE_OP_TRIM) {
        start(d);
    } else if (d->op == IDE_OP_FLUSH) {
        ide_finish(d);
    } else {
        transferred(d, r);
    }
}

static void drive_ready(void *opaque)
{
    IdeDrive *d = opaque;
    if (d->waiting && !d->running)
        run_piece(d);
    if (host_of(d)->ready)
        host_of(d)->ready(d->ide);
}

/* ---- commands and resets ---- */

void ide_execute(IdeDrive *d)
{
    TRACE(ide_command, "drive %u command 0x%02x feature 0x%04x count 0x%04x lba %04x %04x %04x device 0x%02x", d->unit,
          d->regs.command, d->regs.feature, d->regs.count, d->regs.low, d->regs.mid, d->regs.high, d->regs.device);
    end_phase(d);
    d->raw = d->fua = 0;
    d->regs.error = 0;
    d->regs.status = IDE_BSY;
    ata_execute(d);
}

/* ATA/ATAPI-6, 9.12 */
void ide_signature(IdeDrive *d)
{
    d->regs.feature = 0;
    d->regs.count = d->regs.low = 1;
    d->regs.mid = d->is_cd ? 0x14 : 0;
    d->regs.high = d->is_cd ? 0xeb : 0;
    d->regs.device = 0;
}

void ide_cancel(IdeDrive *d)
{
    end_phase(d);
    d->running = 0;
}

void ide_soft_reset(IdeDrive *d)
{
    ide_cancel(d);
    ide_signature(d);
    d->regs.error = 1; /* diagnostics passed */
    d->regs.status = d->is_cd ? 0 : IDE_DRDY | IDE_DSC;
    if (d->is_cd)
        atapi_reset(d);
}

bool ide_drive_init_io(IdeDrive *d, GError **err)
{
    return disk_io_init(&d->io, &d->dev, d->drive, d->ide->lock, drive_ready, d, err);
}
