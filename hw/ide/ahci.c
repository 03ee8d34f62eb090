/*
 * AHCI host bus adapter (Serial ATA AHCI 1.3). Port multipliers, power management and enclosures are not modelled.
 *
 * A write to PxCI only wakes the port's drive: its thread takes command slots, builds requests and posts FISes, all
 * under the adapter's lock. Whatever the guest's lists say, a step is bounded by one slot and DISK_SEGMENTS segments.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/ahci.h"
#include "hw/ide/internal.h"
#include "hw/pci/msi.h"
#include "util/trace.h"
#include <string.h>

enum { HBA_CAP = 0x00, HBA_GHC = 0x04, HBA_IS = 0x08, HBA_PI = 0x0c, HBA_VS = 0x10 };
enum { GHC_HR = 1, GHC_IE = 2 };
#define GHC_AE 0x80000000u
/* 64-bit, NCQ, AHCI only, generation 1, 32 slots, 6 ports */
#define CAP       (0xc0000000u | 1 << 18 | 1 << 20 | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1))
#define PORTS_AT  0x100
#define PORT_SIZE 0x80
#define AHCI_SIZE 0x1000
#define NO_SLOT   AHCI_SLOTS

enum {
    PX_CLB = 0x00,
    PX_CLBU = 0x04,
    PX_FB = 0x08,
    PX_FBU = 0x0c,
    PX_IS = 0x10,
    PX_IE = 0x14,
    PX_CMD = 0x18,
    PX_TFD = 0x20,
    PX_SIG = 0x24,
    PX_SSTS = 0x28,
    PX_SCTL = 0x2c,
    PX_SERR = 0x30,
    PX_SACT = 0x34,
    PX_CI = 0x38,
};
enum {
    IS_D2H = 1 << 0,
    IS_PIO = 1 << 1,
    IS_SDB = 1 << 3,
    IS_OVERFLOW = 1 << 24,
    IS_BUS_DATA = 1 << 28,
    IS_TASK_ERROR = 1 << 30
};
#define IE_MASK 0xfdc000ffu
enum { CMD_ST = 1, CMD_FRE = 0x10, CMD_FR = 0x4000, CMD_CR = 0x8000 };
#define CMD_WRITABLE 0xf3000017u
enum { HEADER_WRITE = 0x40, HEADER_ATAPI = 0x20, HEADER_CLEAR_BUSY = 0x400 };
enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_PIO = 0x5f, FIS_SDB = 0xa1 };

static Device *device_of(const AhciPort *p)
{
    return &p->hba->pci.dev;
}

static IdeDrive *drive_of(const AhciPort *p)
{
    return p->ide.drives[0];
}

static unsigned number_of(const AhciPort *p)
{
    return p - p->hba->ports;
}

/* ---- interrupts ---- */

static void update_irq(Ahci *s)
{
    bool level = s->is && s->ghc & GHC_IE;
    if (!msi_enabled(&s->pci, s->msi_cap)) {
        pci_set_irq(&s->pci, level);
        return;
    }
    pci_set_irq(&s->pci, false);
    if (level)
        msi_notify(&s->pci, s->msi_cap);
}

static void raise_port(AhciPort *p, uint32_t bits)
{
    p->is |= bits;
    if (!(p->is & p->ie))
        return;
    p->hba->is |= 1u << number_of(p);
    update_irq(p->hba);
}

/* ---- FISes to the guest (4.2.1; Serial ATA 2.6, 10.3) ---- */

static void post(const AhciPort *p, unsigned offset, const uint8_t *fis, unsigned bytes)
{
    uint64_t base = (uint64_t)p->fis_base[1] << 32 | p->fis_base[0];
    if (p->cmd & CMD_FRE && !disk_ram_write(device_of(p), base + offset, fis, bytes))
        guest_error(device_of(p), "port %u: there is no RAM for FISes at 0x%" G_GINT64_MODIFIER "x", number_of(p),
                    base);
}

static void put_registers(uint8_t *fis, const IdeRegs *r)
{
    fis[2] = r->status;
    fis[3] = r->error;
    fis[4] = r->low;
    fis[5] = r->mid;
    fis[6] = r->high;
    fis[7] = r->device;
    fis[8] = r->low >> 8;
    fis[9] = r->mid >> 8;
    fis[10] = r->high >> 8;
    fis[12] = r->count;
    fis[13] = r->count >> 8;
}

static void set_tfd(AhciPort *p, const IdeRegs *r)
{
    p->tfd = r->error << 8 | r->status;
}

static void post_d2h(AhciPort *p, const IdeRegs *r)
{
    uint8_t fis[20] = { FIS_D2H, 0x40 };
    put_registers(fis, r);
    set_tfd(p, r);
    post(p, 0x40, fis, sizeof(fis));
}

static void post_pio(AhciPort *p, const IdeRegs *r)
{
    uint8_t fis[20] = { FIS_PIO, 0x60 };
    put_registers(fis, r);
    fis[2] = r->status | IDE_DRQ;
    fis[15] = r->status; /* at the end */
    fis[16] = p->moved;
    fis[17] = p->moved >> 8;
    set_tfd(p, r);
    post(p, 0x20, fis, sizeof(fis));
}

static void post_bits(AhciPort *p, uint32_t done, const IdeRegs *r)
{
    uint8_t fis[8] = { FIS_SDB, 0x40, r->status & 0x77, r->error };
    done = GUINT32_TO_LE(done);
    memcpy(fis + 4, &done, 4);
    p->tfd = r->error << 8 | (p->tfd & 0x88) | (r->status & 0x77);
    post(p, 0x58, fis, sizeof(fis));
}

/* ---- lists of physical regions (4.2.3) ---- */

/* Map from *c on, which moves on. */
static uint32_t map_from(AhciPort *p, AhciCursor *c, struct iovec *iov, unsigned max, unsigned *count, uint32_t want,
                         bool to_memory, bool *failed)
{
    Device *dev = device_of(p);
    uint32_t done = 0;
    while (done < want && *count < max && c->index < c->entries) {
        uint32_t entry[4];
        if (!disk_ram_read(dev, c->table + 16ull * c->index, entry, sizeof(entry))) {
            *failed = true;
            break;
        }
        uint64_t address = (uint64_t)GUINT32_FROM_LE(entry[1]) << 32 | (GUINT32_FROM_LE(entry[0]) & ~1u);
        uint32_t size = ((GUINT32_FROM_LE(entry[3]) & 0x3fffff) | 1) + 1;
        if (c->offset >= size) {
            c->index++;
            c->offset = 0;
            continue;
        }
        uint32_t bytes = MIN(size - c->offset, want - done);
        uint32_t got = disk_map(dev, address + c->offset, bytes, to_memory, iov, max, count, failed);
        done += got;
        c->offset += got;
        if (got < bytes)
            break;
    }
    return done;
}

static void advance_cursor(AhciPort *p, AhciCursor *c, uint32_t bytes)
{
    while (bytes && c->index < c->entries) {
        uint32_t size;
        if (!disk_ram_read(device_of(p), c->table + 16ull * c->index + 12, &size, sizeof(size)))
            return;
        size = ((GUINT32_FROM_LE(size) & 0x3fffff) | 1) + 1;
        uint32_t here = MIN(bytes, size - MIN(size, c->offset));
        c->offset += here;
        bytes -= here;
        if (c->offset >= size) {
            c->index++;
            c->offset = 0;
        }
    }
}

/* ---- the drive's host ---- */

static AhciPort *port_of(IdeBus *ide)
{
    return ide->opaque;
}

static void host_irq(IdeBus *ide, bool level) {}

static bool host_ready_dma(IdeBus *ide, bool to_memory)
{
    return true;
}

static uint32_t host_map(IdeBus *ide, struct iovec *iov, unsigned max, unsigned *count, uint32_t want, bool to_memory,
                         bool *failed)
{
    AhciCursor c = port_of(ide)->cursor;
    return map_from(port_of(ide), &c, iov, max, count, want, to_memory, failed);
}

static void host_advance(IdeBus *ide, uint32_t bytes)
{
    AhciPort *p = port_of(ide);
    advance_cursor(p, &p->cursor, bytes);
    p->moved += bytes;
}

static void host_end(IdeBus *ide, bool short_list, bool failed)
{
    AhciPort *p = port_of(ide);
    if (short_list)
        raise_port(p, IS_OVERFLOW);
    if (failed)
        raise_port(p, IS_BUS_DATA);
}

static uint64_t header_address(const AhciPort *p, unsigned slot)
{
    return ((uint64_t)p->command_list[1] << 32 | p->command_list[0]) + 32 * slot;
}

static void host_packet(IdeBus *ide, uint8_t *bytes)
{
    AhciPort *p = port_of(ide);
    memset(bytes, 0, 16);
    disk_ram_read(device_of(p), p->cursor.table - 0x80 + 0x40, bytes, 16);
}

/* The port stops at the command that failed (6.2.2.1). */
static void fail_port(AhciPort *p, unsigned slot)
{
    p->failed = 1;
    p->cmd = (p->cmd & ~0x1f00u) | slot << 8;
    raise_port(p, IS_TASK_ERROR);
}

static void host_complete(IdeBus *ide)
{
    AhciPort *p = port_of(ide);
    IdeDrive *d = drive_of(p);
    unsigned slot = p->slot;
    if (slot >= AHCI_SLOTS)
        return; /* a reset ended it */
    uint32_t moved = GUINT32_TO_LE(p->moved);
    disk_ram_write(device_of(p), header_address(p, slot) + 4, &moved, sizeof(moved));
    p->slot = NO_SLOT;
    bool failed = d->regs.status & IDE_ERR;
    if (!failed)
        p->ci &= ~(1u << slot);
    if (p->pio_reply && p->moved && !failed)
        post_pio(p, &d->regs);
    post_d2h(p, &d->regs);
    raise_port(p, IS_D2H | (p->pio_reply && p->moved && !failed ? IS_PIO : 0));
    if (failed)
        fail_port(p, slot);
    d->io.wanted = true;
}

/* ---- queued commands (13.6 of ATA8-ACS; 5.6.4 of AHCI) ---- */

static void ncq_done(DiskRequest *r, int error);

static void ncq_end(AhciPort *p, unsigned tag, uint8_t error)
{
    IdeDrive *d = drive_of(p);
    uint32_t bit = 1u << tag;
    IdeRegs regs = { .status = IDE_DRDY | IDE_DSC | (error ? IDE_ERR : 0), .error = error };
    p->running &= ~bit;
    d->io.wanted = true; /* commands that had to wait */
    if (p->failed)
        return; /* what was under way when another one failed: neither good nor bad */
    if (!error) {
        p->sact &= ~bit;
        post_bits(p, bit, &regs);
        raise_port(p, IS_SDB);
        return;
    }
    d->ncq_failed = tag;
    post_bits(p, 0, &regs);
    raise_port(p, IS_SDB);
    fail_port(p, tag);
}

static void ncq_step(AhciPort *p, unsigned tag)
{
    AhciNcq *n = &p->ncq[tag];
    IdeDrive *d = drive_of(p);
    DiskRequest *r = disk_io_request(&d->io, p, ncq_done);
    uint32_t want = MIN(n->left, 8192) * IDE_SECTOR;
    unsigned count = 0;
    bool failed = false;
    AhciCursor c = n->cursor;
    uint32_t got = map_from(p, &c, r->iov, DISK_SEGMENTS, &count, want, !n->write, &failed);
    unsigned segments = 0;
    got -= got % IDE_SECTOR;
    for (uint32_t rest = got; rest && segments < count; segments++) {
        r->iov[segments].iov_len = MIN(r->iov[segments].iov_len, rest);
        rest -= r->iov[segments].iov_len;
    }
    if (!got) {
        disk_io_discard(r);
        raise_port(p, failed ? IS_BUS_DATA : IS_OVERFLOW);
        ncq_end(p, tag, IDE_ABRT);
        return;
    }
    r->tag = tag;
    r->flush_after = n->write && (n->fua || !d->write_cache);
    disk_io_start(r, n->write ? BLOCK_OP_WRITE : BLOCK_OP_READ, n->lba * IDE_SECTOR, got, segments);
}

static void ncq_done(DiskRequest *r, int error)
{
    AhciPort *p = r->owner;
    AhciNcq *n = &p->ncq[r->tag];
    uint32_t sectors = r->block.length / IDE_SECTOR;
    if (error == DISK_STOPPED) { /* as if it had not been looked at */
        p->running &= ~(1u << r->tag);
        p->ci |= 1u << r->tag;
        drive_of(p)->io.wanted = true;
        return;
    }
    if (!error && !n->write) {
        for (unsigned i = 0; i < r->block.iov_count; i++)
            dma_unmap(device_of(p), r->iov[i].iov_base, r->iov[i].iov_len);
    }
    if (error) {
        ncq_end(p, r->tag, n->write ? IDE_ABRT : IDE_UNC);
        return;
    }
    advance_cursor(p, &n->cursor, r->block.length);
    n->lba += sectors;
    n->left -= sectors;
    if (n->left)
        ncq_step(p, r->tag);
    else
        ncq_end(p, r->tag, 0);
}

static void start_ncq(AhciPort *p, unsigned slot, const uint8_t *fis, const AhciCursor *cursor)
{
    IdeDrive *d = drive_of(p);
    AhciNcq *n = &p->ncq[slot];
    unsigned tag = fis[12] >> 3;
    uint32_t count = fis[3] | fis[11] << 8;
    *n = (AhciNcq){ .cursor = *cursor, .left = count ? count : 65536, .write = fis[2] == 0x61, .fua = fis[7] >> 7 };
    n->lba =
        fis[4] | fis[5] << 8 | fis[6] << 16 | (uint64_t)fis[8] << 24 | (uint64_t)fis[9] << 32 | (uint64_t)fis[10] << 40;
    p->ci &= ~(1u << slot);
    p->running |= 1u << slot;
    TRACE(ahci_ncq, "port %u tag %u %s lba %" G_GUINT64_FORMAT " sectors %u", number_of(p), tag,
          n->write ? "write" : "read", n->lba, n->left);
    uint8_t error = d->is_cd || tag != slot || (n->write && d->io.node->read_only) ? IDE_ABRT : 0;
    if (!error && (n->lba >= d->visible || n->left > d->visible - n->lba))
        error = IDE_IDNF;
    if (error)
        ncq_end(p, slot, error);
    else
        ncq_step(p, slot);
}

/* ---- command slots (5.5) ---- */

static void load_registers(IdeDrive *d, const uint8_t *fis)
{
    d->regs = (IdeRegs){ .feature = fis[3] | fis[11] << 8,
                         .count = fis[12] | fis[13] << 8,
                         .low = fis[4] | fis[8] << 8,
                         .mid = fis[5] | fis[9] << 8,
                         .high = fis[6] | fis[10] << 8,
                         .device = fis[7],
                         .command = fis[2] };
}

/* A FIS that writes the control register: a software reset in two steps. */
static void control_fis(AhciPort *p, unsigned slot, const uint8_t *fis)
{
    IdeDrive *d = drive_of(p);
    bool srst = fis[15] & IDE_CTL_SRST;
    p->ci &= ~(1u << slot);
    if (srst) {
        p->in_reset = 1;
    } else if (p->in_reset) {
        p->in_reset = 0;
        ide_soft_reset(d);
        post_d2h(p, &d->regs);
        raise_port(p, IS_D2H);
    }
    d->io.wanted = true;
}

static bool sends_pio(const uint8_t *fis)
{
    static const uint8_t pio[] = { 0x20, 0x21, 0x24, 0x29, 0x2f, 0xa1, 0xb0, 0xc4, 0xec };
    return memchr(pio, fis[2], sizeof(pio)) || (fis[2] == 0xa0 && !(fis[3] & 1));
}

/* False: this slot cannot go now. */
static bool run_slot(AhciPort *p, unsigned slot)
{
    IdeDrive *d = drive_of(p);
    uint32_t header[4];
    uint8_t fis[64];
    bool ok = disk_ram_read(device_of(p), header_address(p, slot), header, sizeof(header));
    uint64_t table = ok ? (uint64_t)GUINT32_FROM_LE(header[3]) << 32 | (GUINT32_FROM_LE(header[2]) & ~127u) : 0;
    ok = ok && disk_ram_read(device_of(p), table, fis, sizeof(fis));
    if (!ok || fis[0] != FIS_H2D) {
        guest_error(device_of(p), "port %u slot %u: there is no command", number_of(p), slot);
        p->ci &= ~(1u << slot);
        p->slot = NO_SLOT;
        if (!ok)
            raise_port(p, IS_BUS_DATA);
        fail_port(p, slot);
        return true;
    }
    AhciCursor cursor = { .table = table + 0x80, .entries = GUINT32_FROM_LE(header[0]) >> 16 };
    if (!(fis[1] & 0x80)) {
        control_fis(p, slot, fis);
        return true;
    }
    bool queued = fis[2] == 0x60 || fis[2] == 0x61;
    if (queued) {
        start_ncq(p, slot, fis, &cursor);
        return true;
    }
    if (p->running)
        return false;
    p->slot = slot;
    p->moved = 0;
    p->cursor = cursor;
    p->pio_reply = sends_pio(fis);
    load_registers(d, fis);
    p->tfd = IDE_BSY;
    ide_execute(d);
    return true;
}

static bool can_start(const AhciPort *p)
{
    return p->cmd & CMD_ST && !p->failed && p->slot >= AHCI_SLOTS && drive_of(p) && !drive_of(p)->io.stopped;
}

/* On the drive's thread: as many slots as there are, once. */
static void host_ready(IdeBus *ide)
{
    AhciPort *p = port_of(ide);
    for (unsigned slot = 0; slot < AHCI_SLOTS; slot++) {
        if (can_start(p) && p->ci >> slot & 1 && !(p->running >> slot & 1))
            run_slot(p, slot);
    }
    /* What waited for queued commands is seen when the last one ends. */
    if (can_start(p) && p->ci && !p->running)
        drive_of(p)->io.wanted = true;
}

static const IdeHost host = { .irq = host_irq,
                              .dma_ready = host_ready_dma,
                              .dma_map = host_map,
                              .dma_advance = host_advance,
                              .dma_end = host_end,
                              .packet = host_packet,
                              .complete = host_complete,
                              .ready = host_ready,
                              .all_dma = true };

/* ---- registers ---- */

static void unlock(Ahci *s)
{
    DiskIo *kick[AHCI_PORTS];
    unsigned count = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        IdeDrive *d = drive_of(&s->ports[i]);
        if (d && disk_io_take_wanted(&d->io))
            kick[count++] = &d->io;
    }
    g_mutex_unlock(&s->lock);
    while (count)
        disk_io_kick(kick[--count]);
}

/* Give the lock back for as long as it takes until nothing of the port is under way; it stays so until ide_resume. */
static void rest(AhciPort *p)
{
    unlock(p->hba);
    ide_pause(&p->ide);
    g_mutex_lock(&p->hba->lock);
}

static void stop_commands(AhciPort *p)
{
    p->ci = p->sact = p->running = 0;
    p->slot = NO_SLOT;
    p->failed = 0;
    p->cmd &= ~(CMD_CR | 0x1f00u);
    if (drive_of(p))
        ide_cancel(drive_of(p));
}

static void port_signature(AhciPort *p)
{
    IdeDrive *d = drive_of(p);
    p->tfd = 0x7f;
    p->sig = 0xffffffff;
    if (!d)
        return;
    ide_soft_reset(d);
    set_tfd(p, &d->regs);
    p->sig = d->is_cd ? 0xeb140101 : 0x00000101;
}

static void port_reset(AhciPort *p)
{
    stop_commands(p);
    p->is = p->ie = p->sctl = p->serr = 0;
    p->cmd = 6; /* spun up, powered */
    p->in_reset = p->pio_reply = 0;
    p->moved = 0;
    p->cursor = (AhciCursor){ 0 };
    memset(p->ncq, 0, sizeof(p->ncq));
    memset(p->command_list, 0, sizeof(p->command_list));
    memset(p->fis_base, 0, sizeof(p->fis_base));
    port_signature(p);
}

static void hba_reset(Ahci *s)
{
    s->ghc = GHC_AE;
    s->is = s->idp_index = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        port_reset(&s->ports[i]);
    update_irq(s);
}

static uint32_t port_read(const AhciPort *p, unsigned offset)
{
    switch (offset) {
    case PX_CLB:
    case PX_CLBU:
        return p->command_list[offset == PX_CLBU];
    case PX_FB:
    case PX_FBU:
        return p->fis_base[offset == PX_FBU];
    case PX_IS:
        return p->is;
    case PX_IE:
        return p->ie;
    case PX_CMD:
        return p->cmd;
    case PX_TFD:
        return p->tfd;
    case PX_SIG:
        return p->sig;
    case PX_SSTS:
        return drive_of(p) ? 0x113 : 0; /* there, generation 1, active */
    case PX_SCTL:
        return p->sctl;
    case PX_SERR:
        return p->serr;
    case PX_SACT:
        return p->sact;
    case PX_CI:
        return p->ci;
    default:
        return 0;
    }
}

/* Returns whether the port's drive was paused. */
static bool write_cmd(AhciPort *p, uint32_t value)
{
    bool stop = p->cmd & CMD_ST && !(value & CMD_ST), paused = false;
    if (stop) {
        rest(p);
        paused = true;
        stop_commands(p);
        if (drive_of(p))
            p->tfd &= ~(uint32_t)(IDE_BSY | IDE_DRQ);
    }
    p->cmd = (p->cmd & ~CMD_WRITABLE) | (value & CMD_WRITABLE);
    p->cmd = (p->cmd & ~(CMD_CR | CMD_FR)) | (p->cmd & CMD_ST ? CMD_CR : 0) | (p->cmd & CMD_FRE ? CMD_FR : 0);
    if (value & 8 && !(p->cmd & CMD_ST))
        p->tfd &= ~(uint32_t)(IDE_BSY | IDE_DRQ); /* command list override */
    return paused;
}

/* COMRESET ends when DET goes back to 0. */
static bool write_sctl(AhciPort *p, uint32_t value)
{
    bool reset = (p->sctl & 15) == 1 && (value & 15) == 0, paused = false;
    if (reset) {
        rest(p);
        paused = true;
        stop_commands(p);
        p->cmd = (p->cmd & ~CMD_CR) | (p->cmd & CMD_ST ? CMD_CR : 0);
        port_signature(p);
    }
    p->sctl = value & 0xfff;
    return paused;
}

static void want(const AhciPort *p)
{
    if (drive_of(p))
        drive_of(p)->io.wanted = true;
}

static bool port_write(AhciPort *p, unsigned offset, uint32_t value)
{
    switch (offset) {
    case PX_CLB:
    case PX_CLBU:
        p->command_list[offset == PX_CLBU] = offset == PX_CLB ? value & ~0x3ffu : value;
        break;
    case PX_FB:
    case PX_FBU:
        p->fis_base[offset == PX_FBU] = offset == PX_FB ? value & ~0xffu : value;
        break;
    case PX_IS:
        p->is &= ~value;
        break;
    case PX_IE:
        p->ie = value & IE_MASK;
        raise_port(p, 0);
        break;
    case PX_CMD:
        return write_cmd(p, value);
    case PX_SCTL:
        return write_sctl(p, value);
    case PX_SERR:
        p->serr &= ~value;
        break;
    case PX_SACT:
        if (p->cmd & CMD_ST)
            p->sact |= value;
        break;
    case PX_CI:
        if (p->cmd & CMD_ST)
            p->ci |= value;
        want(p);
        break;
    default:
        break; /* read-only */
    }
    return false;
}

/* Bits of ports that still have something pending come back at once (3.1.3). */
static void write_is(Ahci *s, uint32_t value)
{
    s->is &= ~value;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        const AhciPort *p = &s->ports[i];
        if (p->is & p->ie)
            s->is |= 1u << i;
    }
    update_irq(s);
}

static void write_ghc(Ahci *s, uint32_t value)
{
    if (!(value & GHC_HR)) {
        s->ghc = GHC_AE | (value & GHC_IE);
        update_irq(s);
        return;
    }
    unlock(s);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ide_pause(&s->ports[i].ide);
    g_mutex_lock(&s->lock);
    hba_reset(s);
    unlock(s);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ide_resume(&s->ports[i].ide);
    g_mutex_lock(&s->lock);
}

static uint32_t hba_read(Ahci *s, uint64_t offset)
{
    uint32_t value = 0;
    g_mutex_lock(&s->lock);
    if (offset >= PORTS_AT && offset < PORTS_AT + AHCI_PORTS * PORT_SIZE) {
        value = port_read(&s->ports[(offset - PORTS_AT) / PORT_SIZE], offset % PORT_SIZE);
    } else {
        switch (offset) {
        case HBA_CAP:
            value = CAP;
            break;
        case HBA_GHC:
            value = s->ghc;
            break;
        case HBA_IS:
            value = s->is;
            break;
        case HBA_PI:
            value = (1u << AHCI_PORTS) - 1;
            break;
        case HBA_VS:
            value = 0x00010000;
            break;
        default:
            break;
        }
    }
    unlock(s);
    return value;
}

static void hba_write(Ahci *s, uint64_t offset, uint32_t value)
{
    AhciPort *paused = NULL;
    TRACE(ahci_write, "0x%x: 0x%x", (unsigned)offset, value);
    g_mutex_lock(&s->lock);
    if (offset >= PORTS_AT && offset < PORTS_AT + AHCI_PORTS * PORT_SIZE) {
        AhciPort *p = &s->ports[(offset - PORTS_AT) / PORT_SIZE];
        paused = port_write(p, offset % PORT_SIZE, value) ? p : NULL;
    } else if (offset == HBA_GHC) {
        write_ghc(s, value);
    } else if (offset == HBA_IS) {
        write_is(s, value);
    }
    unlock(s);
    if (paused)
        ide_resume(&paused->ide);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    return hba_read(opaque, offset);
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    hba_write(opaque, offset, value);
}

/* BAR 4: index and data (10.14) */
static uint64_t idp_read(void *opaque, uint64_t offset, unsigned size)
{
    Ahci *s = opaque;
    if (offset == 0x10)
        return s->idp_index;
    return offset == 0x14 ? hba_read(s, s->idp_index) : 0;
}

static void idp_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ahci *s = opaque;
    if (offset == 0x10)
        s->idp_index = value & (AHCI_SIZE - 4);
    else if (offset == 0x14)
        hba_write(s, s->idp_index, value);
}

static const MemOps mmio_ops = {
    .read = mmio_read, .write = mmio_write, .max_size = 8, .impl_min = 4, .impl_max = 4, .lock_free = true
};
static const MemOps idp_ops = { .read = idp_read, .write = idp_write, .min_size = 4, .max_size = 4 };

/* ---- type ---- */

static void for_all(Ahci *s, void (*fn)(IdeBus *ide))
{
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        fn(&s->ports[i].ide);
}

static void master_changed(PciDevice *pci, bool on)
{
    if (on)
        return;
    for_all((Ahci *)pci, ide_pause);
    for_all((Ahci *)pci, ide_resume);
}

static bool realize(Device *dev, GError **err)
{
    enum { CAP_SATA = 0x12 };
    Ahci *s = (Ahci *)dev;
    pci_set_ids(&s->pci, 0x8086, 0x2922, 0x010601, 2);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    pci_set_interrupt_pin(&s->pci, 1);
    g_mutex_init(&s->lock);
    mem_io_init(&s->mmio, dev->machine, "ahci", AHCI_SIZE, &mmio_ops, s);
    mem_io_init(&s->idp, dev->machine, "ahci-idp", 32, &idp_ops, s);
    pci_add_bar(&s->pci, 4, PCI_BAR_IO, &s->idp);
    pci_add_bar(&s->pci, 5, 0, &s->mmio);
    s->pci.config[0x90] = 1 << 6; /* address map: AHCI */
    s->pci.capabilities_end = 0x80;
    s->msi_cap = msi_init(&s->pci);
    s->pci.capabilities_end = 0xa8;
    unsigned sata = pci_add_capability(&s->pci, CAP_SATA, 8);
    pci_put16(s->pci.config + sata + 2, 0x0010);
    pci_put32(s->pci.config + sata + 4, 4 << 2 << 4 | 0x8); /* BAR 4, offset 10h */
    s->pci.master_changed = master_changed;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        s->ports[i].hba = s;
        ide_bus_init(&s->ports[i].ide, dev, i, 1, &s->lock, &host, &s->ports[i]);
    }
    return true;
}

static void unrealize(Device *dev)
{
    g_mutex_clear(&((Ahci *)dev)->lock);
}

static void reset(Device *dev)
{
    Ahci *s = (Ahci *)dev;
    for_all(s, ide_pause);
    g_mutex_lock(&s->lock);
    hba_reset(s);
    unlock(s);
    for_all(s, ide_resume);
}

static void quiesce(Device *dev, bool on)
{
    for_all((Ahci *)dev, on ? ide_pause : ide_resume);
}

static void post_load(Device *dev)
{
    Ahci *s = (Ahci *)dev;
    g_mutex_lock(&s->lock);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        s->ports[i].slot = MIN(s->ports[i].slot, NO_SLOT);
        want(&s->ports[i]);
    }
    unlock(s);
}

#define PORT_STATE(n)                                                                                                 \
    STATE_ARRAY(Ahci, ports[n].command_list), STATE_ARRAY(Ahci, ports[n].fis_base), STATE(Ahci, ports[n].is),         \
        STATE(Ahci, ports[n].ie), STATE(Ahci, ports[n].cmd), STATE(Ahci, ports[n].tfd), STATE(Ahci, ports[n].sig),    \
        STATE(Ahci, ports[n].sctl), STATE(Ahci, ports[n].serr), STATE(Ahci, ports[n].sact), STATE(Ahci, ports[n].ci), \
        STATE(Ahci, ports[n].slot), STATE(Ahci, ports[n].failed), STATE(Ahci, ports[n].in_reset),                     \
        STATE(Ahci, ports[n].pio_reply), STATE(Ahci, ports[n].moved), STATE(Ahci, ports[n].cursor.table),             \
        STATE(Ahci, ports[n].cursor.entries), STATE(Ahci, ports[n].cursor.index), STATE(Ahci, ports[n].cursor.offset)

static const StateField state[] = { STATE_SKIP(Ahci, lock, "wiring"),
                                    STATE_SKIP(Ahci, mmio, "fixed"),
                                    STATE_SKIP(Ahci, idp, "fixed"),
                                    STATE_SKIP(Ahci, msi_cap, "fixed at realize"),
                                    STATE(Ahci, ghc),
                                    STATE(Ahci, is),
                                    STATE(Ahci, idp_index),
                                    STATE_SKIP(Ahci, ports, "wiring, what is listed, no queued command while quiet"),
                                    PORT_STATE(0),
                                    PORT_STATE(1),
                                    PORT_STATE(2),
                                    PORT_STATE(3),
                                    PORT_STATE(4),
                                    PORT_STATE(5),
                                    STATE_END };

#define AHCI_TYPE(symbol, text)                                                   \
    const DeviceType symbol = { .name = text,                                     \
                                .desc = "AHCI controller of the ICH9, six ports", \
                                .category = "storage",                            \
                                .bus = "pci",                                     \
                                .parent = &pci_device_type,                       \
                                .size = sizeof(Ahci),                             \
                                .state = state,                                   \
                                .realize = realize,                               \
                                .unrealize = unrealize,                           \
                                .reset = reset,                                   \
                                .quiesce = quiesce,                               \
                                .post_load = post_load }
AHCI_TYPE(ich9_ahci_type, "ich9-ahci");
AHCI_TYPE(ahci_type, "ahci");
