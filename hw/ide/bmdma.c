/*
 * Bus master of an IDE channel (see bmdma.h). Its table of physical regions is read as the transfer goes; at most
 * MAX_ENTRIES of it, which is all that fit in 64 KiB.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/bmdma.h"
#include "util/trace.h"

enum { COMMAND_START = 1, COMMAND_TO_MEMORY = 8 };
enum { STATUS_ACTIVE = 1, STATUS_ERROR = 2, STATUS_INTERRUPT = 4, STATUS_CAPABLE = 0x60 };
enum { MAX_ENTRIES = 8192 };

typedef struct Cursor {
    uint32_t next, address, left;
    uint16_t entries;
    bool last;
} Cursor;

static Cursor get_cursor(const BmDma *bm)
{
    return (Cursor){ bm->next, bm->address, bm->left, bm->entries, bm->last };
}

static void set_cursor(BmDma *bm, const Cursor *c)
{
    bm->next = c->next;
    bm->address = c->address;
    bm->left = c->left;
    bm->entries = c->entries;
    bm->last = c->last;
}

/* The next entry, if what was taken is used up. False at the end of the table, or with *failed. */
static bool fetch(BmDma *bm, Cursor *c, bool *failed)
{
    uint32_t entry[2];
    if (c->left)
        return true;
    if (c->last || c->entries >= MAX_ENTRIES)
        return false;
    if (!disk_ram_read(bm->dev, c->next, entry, sizeof(entry))) {
        *failed = true;
        return false;
    }
    uint32_t bytes = GUINT32_FROM_LE(entry[1]);
    c->address = GUINT32_FROM_LE(entry[0]) & ~1u;
    c->left = bytes & 0xfffe ? bytes & 0xfffe : 0x10000;
    c->last = bytes >> 31;
    c->next += 8;
    c->entries++;
    return true;
}

static uint32_t map(IdeBus *ide, struct iovec *iov, unsigned max, unsigned *count, uint32_t want, bool to_memory,
                    bool *failed)
{
    BmDma *bm = ide->opaque;
    Cursor c = get_cursor(bm);
    uint32_t done = 0;
    while (done < want && *count < max && fetch(bm, &c, failed)) {
        uint32_t bytes = MIN(c.left, want - done);
        uint32_t got = disk_map(bm->dev, c.address, bytes, to_memory, iov, max, count, failed);
        done += got;
        c.address += got;
        c.left -= got;
        if (got < bytes)
            break;
    }
    return done;
}

static void advance(IdeBus *ide, uint32_t bytes)
{
    BmDma *bm = ide->opaque;
    Cursor c = get_cursor(bm);
    bool failed = false;
    while (bytes && fetch(bm, &c, &failed)) {
        uint32_t here = MIN(bytes, c.left);
        c.address += here;
        c.left -= here;
        bytes -= here;
    }
    set_cursor(bm, &c);
}

static bool ready(IdeBus *ide, bool to_memory)
{
    const BmDma *bm = ide->opaque;
    return bm->status & STATUS_ACTIVE;
}

/* A table that is longer than the transfer leaves the bus master active (3.1). */
static void end(IdeBus *ide, bool short_list, bool failed)
{
    BmDma *bm = ide->opaque;
    bool used_up = !bm->left && bm->last;
    if (failed)
        bm->status |= STATUS_ERROR;
    if (failed || short_list || used_up)
        bm->status &= ~STATUS_ACTIVE;
}

static void set_irq(IdeBus *ide, bool level)
{
    BmDma *bm = ide->opaque;
    if (level && !bm->level)
        bm->status |= STATUS_INTERRUPT;
    bm->level = level;
    irq_set(&bm->irq, level);
}

static const IdeHost host = {
    .irq = set_irq, .dma_ready = ready, .dma_map = map, .dma_advance = advance, .dma_end = end
};

/* ---- registers ---- */

uint32_t bmdma_read(BmDma *bm, unsigned offset)
{
    uint32_t value = 0;
    ide_lock(&bm->ide);
    if (offset == 0)
        value = bm->command;
    else if (offset == 2)
        value = bm->status;
    else if (offset >= 4)
        value = bm->table >> (8 * (offset - 4));
    ide_unlock(&bm->ide);
    return value;
}

/* The guest gives up: what is under way is finished first. */
static void stop(BmDma *bm)
{
    IdeBus *ide = &bm->ide;
    ide_unlock(ide);
    ide_pause(ide);
    ide_lock(ide);
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = ide->drives[i];
        if (!d || !d->dma || !d->phase)
            continue;
        ide_cancel(d);
        d->regs.error = IDE_ABRT;
        d->regs.status = IDE_DRDY | IDE_DSC | IDE_ERR;
    }
}

static bool write_command(BmDma *bm, uint8_t value)
{
    bool was = bm->command & COMMAND_START, on = value & COMMAND_START, stopped = false;
    if (was && !on) {
        stopped = ide_dma_active(&bm->ide);
        if (stopped)
            stop(bm);
        bm->status &= ~STATUS_ACTIVE;
    }
    bm->command = value & (COMMAND_START | COMMAND_TO_MEMORY);
    if (!was && on) {
        Cursor c = { .next = bm->table };
        set_cursor(bm, &c);
        bm->status |= STATUS_ACTIVE;
        ide_dma_go(&bm->ide);
    }
    return stopped;
}

static void write_table(BmDma *bm, unsigned offset, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size && offset + i < 4; i++) {
        unsigned shift = 8 * (offset + i);
        bm->table = (bm->table & ~(0xffu << shift)) | (value >> (8 * i) & 0xff) << shift;
    }
    bm->table &= ~3u;
}

void bmdma_write(BmDma *bm, unsigned offset, uint32_t value, unsigned size)
{
    bool stopped = false;
    TRACE(bmdma_write, "bus %u register %u: 0x%x", bm->ide.number, offset, value);
    ide_lock(&bm->ide);
    if (offset <= 2 && offset + size > 2) { /* write one to clear; the drives' capabilities */
        uint8_t status = value >> (8 * (2 - offset));
        bm->status =
            (bm->status & ~STATUS_CAPABLE & ~(status & (STATUS_ERROR | STATUS_INTERRUPT))) | (status & STATUS_CAPABLE);
    }
    if (offset == 0)
        stopped = write_command(bm, value);
    if (offset >= 4)
        write_table(bm, offset - 4, value, size);
    ide_unlock(&bm->ide);
    if (stopped)
        ide_resume(&bm->ide);
}

void bmdma_init(BmDma *bm, Device *dev, unsigned n)
{
    g_mutex_init(&bm->lock);
    bm->dev = dev;
    ide_bus_init(&bm->ide, dev, n, 2, &bm->lock, &host, bm);
    ide_ports_init(&bm->ide, dev, &bm->command_ports, &bm->control_ports);
}

void bmdma_destroy(BmDma *bm)
{
    g_mutex_clear(&bm->lock);
}

void bmdma_reset(BmDma *bm)
{
    Cursor none = { 0 };
    ide_lock(&bm->ide);
    bm->command = bm->status = 0;
    bm->table = 0;
    set_cursor(bm, &none);
    ide_bus_reset(&bm->ide);
    ide_unlock(&bm->ide);
}
