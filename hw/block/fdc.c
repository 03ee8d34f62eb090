/*
 * Floppy disk controller (Intel 82078): registers, commands, transfers. Scan, save and restore commands, and timing
 * (seeks and sectors take no time) are not modelled. A read or write moves at most a cylinder: what is wanted is read
 * into a buffer at once, or written from it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/block/fdc.h"
#include "hw/isa/isa.h"
#include "util/error.h"
#include "util/trace.h"
#include <string.h>

enum { DOR_SELECT = 3, DOR_NORESET = 4, DOR_DMA = 8, DOR_MOTOR0 = 0x10 };
enum { MSR_BUSY = 0x10, MSR_NONDMA = 0x20, MSR_DIO = 0x40, MSR_RQM = 0x80 };
enum { PHASE_COMMAND, PHASE_EXECUTE, PHASE_RESULT };
enum { OP_NONE, OP_READ, OP_WRITE, OP_VERIFY, OP_FORMAT };
enum { ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_SEEK = 0x20 };
enum {
    ST1_MISSING = 0x01,
    ST1_WRITE_PROTECT = 0x02,
    ST1_NO_DATA = 0x04,
    ST1_OVERRUN = 0x10,
    ST1_DATA = 0x20,
    ST1_END = 0x80
};
enum { SECTOR = 512 };

static Floppy *drive_of(const Fdc *s, unsigned unit)
{
    return unit < FDC_DRIVES ? s->drives[unit] : NULL;
}

/* ---- interrupt, phases ---- */

static void set_irq(Fdc *s, bool level)
{
    s->level = level;
    irq_set(&s->irq, level && s->dor & DOR_DMA);
}

static void command_phase(Fdc *s)
{
    s->phase = PHASE_COMMAND;
    s->fifo_length = s->fifo_at = 0;
    s->msr = MSR_RQM;
    s->op = OP_NONE;
    s->waiting = 0;
}

/* bytes of the FIFO are the answer; none: the command is over. */
static void result_phase(Fdc *s, unsigned bytes, bool interrupt)
{
    if (!bytes) {
        command_phase(s);
    } else {
        s->phase = PHASE_RESULT;
        s->op = OP_NONE;
        s->waiting = 0;
        s->fifo_length = bytes;
        s->fifo_at = 0;
        s->msr = MSR_RQM | MSR_DIO | MSR_BUSY;
    }
    if (interrupt)
        set_irq(s, true);
}

/* The seven bytes after a transfer. */
static void transfer_result(Fdc *s, uint8_t st0, uint8_t st1, uint8_t st2)
{
    const uint8_t bytes[] = { st0 | s->head << 2 | s->unit, st1, st2, s->cylinder, s->head, s->sector, 2 };
    TRACE(fdc_result, "st0 0x%02x st1 0x%02x at %u/%u/%u", bytes[0], st1, s->cylinder, s->head, s->sector);
    memcpy(s->fifo, bytes, sizeof(bytes));
    result_phase(s, sizeof(bytes), true);
}

/* ---- transfers ---- */

static bool non_dma(const Fdc *s)
{
    return s->specify[1] & 1 || !s->dma;
}

/* Sectors from here to the end of the track, and of the other side with multi-track. */
static unsigned run_length(const Fdc *s)
{
    unsigned here = s->eot >= s->sector ? s->eot - s->sector + 1 : 0;
    return s->multi_track && !s->head && here ? here + s->eot : here;
}

static void step(Fdc *s, unsigned sectors)
{
    while (sectors--) {
        if (s->sector++ < s->eot)
            continue;
        s->sector = 1;
        if (s->multi_track) {
            s->head ^= 1;
            s->cylinder += !s->head;
        } else {
            s->cylinder++;
        }
    }
}

/* done bytes were moved; end: the DMA controller said that this was all. */
static void end_transfer(Fdc *s, uint32_t done, bool end)
{
    step(s, (done + SECTOR - 1) / SECTOR);
    if (end || non_dma(s))
        transfer_result(s, 0, 0, 0);
    else
        transfer_result(s, ST0_ABNORMAL, done < s->length ? ST1_OVERRUN : ST1_END, 0);
}

/* The drive's thread is to go on; the medium may have gone since the command began. */
static void want(Fdc *s)
{
    Floppy *f = drive_of(s, s->unit);
    if (!f || !f->format) {
        transfer_result(s, ST0_ABNORMAL, ST1_MISSING, 0);
        return;
    }
    s->waiting = 1;
    s->msr = MSR_BUSY;
    f->io.wanted = true;
}

/* The medium's bytes are in the buffer. */
static void read_into_host(Fdc *s)
{
    bool end;
    if (s->op == OP_VERIFY) {
        end_transfer(s, s->length, true);
        return;
    }
    if (non_dma(s)) {
        s->position = 0;
        s->msr = MSR_RQM | MSR_DIO | MSR_NONDMA | MSR_BUSY;
        set_irq(s, true);
        return;
    }
    uint32_t done = i8257_transfer(s->dma, s->dma_channel & 3, s->buffer, s->length, true, &end);
    end_transfer(s, done, end);
}

static void fill_track(Fdc *s)
{
    const Floppy *f = drive_of(s, s->unit);
    s->sector = 1;
    s->eot = f && f->format ? f->format->sectors : 1;
    s->length = s->eot * SECTOR;
    memset(s->buffer, s->filler, s->length);
    want(s);
}

/* What is to be written is in the buffer: bytes of it; the rest of a sector is zero. */
static void written_by_host(Fdc *s, uint32_t bytes, bool end)
{
    if (s->op == OP_FORMAT) {
        fill_track(s);
        return;
    }
    uint32_t whole = (bytes + SECTOR - 1) / SECTOR * SECTOR;
    memset(s->buffer + bytes, 0, whole - bytes);
    s->track_end = end;
    s->length = whole;
    if (whole)
        want(s);
    else
        transfer_result(s, ST0_ABNORMAL, ST1_OVERRUN, 0);
}

static void write_from_host(Fdc *s)
{
    bool end;
    s->position = 0;
    if (non_dma(s)) {
        s->msr = MSR_RQM | MSR_NONDMA | MSR_BUSY;
        set_irq(s, true);
        return;
    }
    uint32_t done = i8257_transfer(s->dma, s->dma_channel & 3, s->buffer, s->length, false, &end);
    written_by_host(s, done, end);
}

/* The drive, head and sector that a command names, or a result that says why not. */
static bool find_sector(Fdc *s)
{
    const Floppy *f = drive_of(s, s->unit);
    const FloppyFormat *format = f ? f->format : NULL;
    bool rate_fits = format && (s->rate == format->rate || (format->rate == 2 && s->rate == 1));
    if (!format || !rate_fits) {
        transfer_result(s, ST0_ABNORMAL, ST1_MISSING, 0);
        return false;
    }
    if (s->cylinder != f->track || s->cylinder >= format->tracks || s->head >= format->heads || !s->sector ||
        s->sector > format->sectors) {
        transfer_result(s, ST0_ABNORMAL, ST1_NO_DATA, s->cylinder != f->track ? 0x10 : 0);
        return false;
    }
    if ((s->op == OP_WRITE || s->op == OP_FORMAT) && f->io.node->read_only) {
        transfer_result(s, ST0_ABNORMAL, ST1_WRITE_PROTECT, 0);
        return false;
    }
    s->eot = MIN(s->eot, format->sectors);
    s->multi_track = s->multi_track && format->heads == 2;
    return true;
}

static uint64_t offset_of(const Fdc *s)
{
    const FloppyFormat *f = drive_of(s, s->unit)->format;
    return ((uint64_t)(s->cylinder * f->heads + s->head) * f->sectors + s->sector - 1) * SECTOR;
}

static void start_transfer(Fdc *s, uint8_t op)
{
    s->op = op;
    s->phase = PHASE_EXECUTE;
    s->unit = s->fifo[1] & 3;
    s->multi_track = s->fifo[0] >> 7;
    s->cylinder = s->fifo[2];
    s->head = s->fifo[3];
    s->sector = s->fifo[4];
    s->eot = s->fifo[6];
    if (!find_sector(s))
        return;
    s->length = run_length(s) * SECTOR;
    if (!s->length || s->fifo[5] != 2) { /* only sectors of 512 bytes */
        transfer_result(s, ST0_ABNORMAL, s->length ? ST1_MISSING : ST1_NO_DATA, 0);
        return;
    }
    if (op == OP_WRITE)
        write_from_host(s);
    else
        want(s);
}

/* ---- on the drive's thread ---- */

static void request_done(DiskRequest *r, int error)
{
    Fdc *s = r->owner;
    s->running = 0;
    if (error == DISK_STOPPED)
        s->waiting = 1;
    else if (error)
        transfer_result(s, ST0_ABNORMAL, ST1_DATA, 0);
    else if (s->op == OP_FORMAT)
        transfer_result(s, 0, 0, 0);
    else if (s->op == OP_WRITE)
        end_transfer(s, s->length, s->track_end);
    else
        read_into_host(s);
}

static void floppy_ready(void *opaque)
{
    Floppy *f = opaque;
    Fdc *s = f->fdc;
    if (!s->waiting || s->running || drive_of(s, s->unit) != f)
        return;
    s->waiting = 0;
    if (!f->io.node || !f->format) {
        transfer_result(s, ST0_ABNORMAL, ST1_MISSING, 0);
        return;
    }
    bool read = s->op == OP_READ || s->op == OP_VERIFY;
    DiskRequest *r = disk_io_request(&f->io, s, request_done);
    s->length = MIN(s->length, FDC_BUFFER);
    r->iov[0] = (struct iovec){ s->buffer, s->length };
    s->running = 1;
    disk_io_start(r, read ? BLOCK_OP_READ : BLOCK_OP_WRITE, offset_of(s), s->length, 1);
}

/* ---- commands ---- */

static void do_read(Fdc *s)
{
    start_transfer(s, OP_READ);
}
static void do_write(Fdc *s)
{
    start_transfer(s, OP_WRITE);
}
static void do_verify(Fdc *s)
{
    start_transfer(s, OP_VERIFY);
}

static void do_format(Fdc *s)
{
    s->op = OP_FORMAT;
    s->phase = PHASE_EXECUTE;
    s->unit = s->fifo[1] & 3;
    s->head = s->fifo[1] >> 2 & 1;
    s->cylinder = drive_of(s, s->unit) ? drive_of(s, s->unit)->track : 0;
    s->sector = 1;
    s->eot = s->fifo[3];
    s->filler = s->fifo[5];
    s->multi_track = 0;
    if (!find_sector(s))
        return;
    s->length = 4 * s->eot;
    if (s->length)
        write_from_host(s);
    else
        transfer_result(s, ST0_ABNORMAL, ST1_NO_DATA, 0);
}

static void do_read_id(Fdc *s)
{
    s->unit = s->fifo[1] & 3;
    s->head = s->fifo[1] >> 2 & 1;
    const Floppy *f = drive_of(s, s->unit);
    s->cylinder = f ? f->track : 0;
    s->sector = s->eot = 1;
    s->op = OP_VERIFY;
    if (!find_sector(s))
        return;
    s->last_sector = s->last_sector % f->format->sectors + 1; /* the disk turns */
    s->sector = s->last_sector;
    transfer_result(s, 0, 0, 0);
}

static void seek_to(Fdc *s, unsigned unit, unsigned track)
{
    Floppy *f = drive_of(s, unit);
    s->st0 = ST0_SEEK | unit;
    s->seek_done = 1;
    if (f) {
        f->track = MIN(track, 82);
        f->changed = f->changed && !f->format; /* a step with a disk in the drive ends the signal */
    } else {
        s->st0 |= ST0_ABNORMAL | 0x10; /* track 0 was not found */
    }
    result_phase(s, 0, true);
}

static void do_recalibrate(Fdc *s)
{
    seek_to(s, s->fifo[1] & 3, 0);
}

static void do_seek(Fdc *s)
{
    unsigned unit = s->fifo[1] & 3;
    const Floppy *f = drive_of(s, unit);
    int track = s->fifo[2];
    if (s->fifo[0] & 0x80) /* relative: in or out */
        track = (f ? f->track : 0) + (s->fifo[0] & 0x40 ? track : -track);
    seek_to(s, unit, MAX(track, 0));
}

static void do_sense_interrupt(Fdc *s)
{
    if (s->interrupts) {
        s->fifo[0] = 0xc0 | (4 - s->interrupts--);
        s->fifo[1] = 0;
    } else if (s->seek_done) {
        const Floppy *f = drive_of(s, s->st0 & 3);
        s->fifo[0] = s->st0;
        s->fifo[1] = f ? f->track : 0;
        s->seek_done = 0;
    } else {
        s->fifo[0] = ST0_INVALID;
        result_phase(s, 1, false);
        return;
    }
    set_irq(s, false);
    result_phase(s, 2, false);
}

static void do_sense_drive(Fdc *s)
{
    unsigned unit = s->fifo[1] & 3;
    const Floppy *f = drive_of(s, unit);
    bool protect = f && f->io.node && f->io.node->read_only;
    s->fifo[0] = 0x28 | (s->fifo[1] & 7) | (f && !f->track ? 0x10 : 0) | (protect ? 0x40 : 0);
    result_phase(s, 1, false);
}

static void do_specify(Fdc *s)
{
    memcpy(s->specify, s->fifo + 1, 2);
    result_phase(s, 0, false);
}

static void do_configure(Fdc *s)
{
    memcpy(s->configure, s->fifo + 2, 2);
    result_phase(s, 0, false);
}

static void do_dumpreg(Fdc *s)
{
    uint8_t bytes[10] = { 0 };
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        bytes[i] = s->drives[i] ? s->drives[i]->track : 0;
    memcpy(bytes + 4, s->specify, 2);
    bytes[6] = s->eot;
    bytes[7] = s->lock_bit << 7 | (s->perpendicular & 0x7f);
    memcpy(bytes + 8, s->configure, 2);
    memcpy(s->fifo, bytes, sizeof(bytes));
    result_phase(s, sizeof(bytes), false);
}

static void one_byte(Fdc *s, uint8_t value)
{
    s->fifo[0] = value;
    result_phase(s, 1, false);
}

static void do_version(Fdc *s)
{
    one_byte(s, 0x90); /* 82077 and later */
}

static void do_part_id(Fdc *s)
{
    one_byte(s, 0x41);
}

static void do_perpendicular(Fdc *s)
{
    s->perpendicular = s->fifo[1] & 0x80 ? s->fifo[1] & 0x7f : (s->perpendicular & 0x7c) | (s->fifo[1] & 3);
    result_phase(s, 0, false);
}

static void do_lock(Fdc *s)
{
    s->lock_bit = s->fifo[0] >> 7;
    one_byte(s, s->lock_bit << 4);
}

static void do_option(Fdc *s)
{
    result_phase(s, 0, false);
}

static void do_powerdown(Fdc *s)
{
    one_byte(s, s->fifo[1] & 7);
}

typedef struct FdcCommand {
    uint8_t mask, code, parameters;
    void (*run)(Fdc *s);
} FdcCommand;

static const FdcCommand commands[] = {
    { 0x1f, 0x06, 8, do_read },   /* READ DATA */
    { 0x1f, 0x0c, 8, do_read },   /* READ DELETED DATA */
    { 0x9f, 0x02, 8, do_read },   /* READ TRACK */
    { 0x3f, 0x05, 8, do_write },  /* WRITE DATA */
    { 0x3f, 0x09, 8, do_write },  /* WRITE DELETED DATA */
    { 0x1f, 0x16, 8, do_verify }, /* VERIFY */
    { 0xbf, 0x0d, 5, do_format },  { 0xbf, 0x0a, 1, do_read_id },         { 0xff, 0x07, 1, do_recalibrate },
    { 0x3f, 0x0f, 2, do_seek },    { 0xff, 0x08, 0, do_sense_interrupt }, { 0xff, 0x04, 1, do_sense_drive },
    { 0xff, 0x03, 2, do_specify }, { 0xff, 0x13, 3, do_configure },       { 0xff, 0x0e, 0, do_dumpreg },
    { 0xff, 0x10, 0, do_version }, { 0xff, 0x12, 1, do_perpendicular },   { 0x7f, 0x14, 0, do_lock },
    { 0xff, 0x18, 0, do_part_id }, { 0xff, 0x17, 1, do_powerdown },       { 0xff, 0x33, 1, do_option },
};

static const FdcCommand *find_command(uint8_t code)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if ((code & commands[i].mask) == commands[i].code)
            return &commands[i];
    }
    return NULL;
}

static void take_command_byte(Fdc *s, uint8_t value)
{
    s->fifo[s->fifo_length++] = value;
    s->msr = MSR_RQM | MSR_BUSY;
    const FdcCommand *c = find_command(s->fifo[0]);
    if (!c) {
        one_byte(s, ST0_INVALID);
        return;
    }
    if (s->fifo_length <= c->parameters)
        return;
    TRACE(fdc_command, "0x%02x", s->fifo[0]);
    s->command = s->fifo[0];
    c->run(s);
}

/* ---- data port ---- */

static void write_fifo(Fdc *s, uint8_t value)
{
    if (!(s->dor & DOR_NORESET) || !(s->msr & MSR_RQM) || s->msr & MSR_DIO)
        return;
    if (s->phase == PHASE_COMMAND) {
        take_command_byte(s, value);
        return;
    }
    if (s->phase != PHASE_EXECUTE || s->position >= s->length)
        return;
    s->buffer[s->position++] = value;
    if (s->position < s->length)
        return;
    set_irq(s, false);
    written_by_host(s, s->length, true);
}

static uint8_t read_fifo(Fdc *s)
{
    if (!(s->msr & MSR_RQM) || !(s->msr & MSR_DIO))
        return 0;
    set_irq(s, false);
    if (s->phase == PHASE_EXECUTE && s->position < s->length) {
        uint8_t value = s->buffer[s->position++];
        if (s->position == s->length)
            end_transfer(s, s->length, true);
        return value;
    }
    if (s->phase != PHASE_RESULT || s->fifo_at >= s->fifo_length)
        return 0;
    uint8_t value = s->fifo[s->fifo_at++];
    if (s->fifo_at == s->fifo_length)
        command_phase(s);
    return value;
}

/* ---- registers ---- */

static void reset_controller(Fdc *s, bool interrupt)
{
    command_phase(s);
    s->seek_done = 0;
    s->interrupts = 0;
    s->running = 0;
    set_irq(s, false);
    if (!s->lock_bit)
        memset(s->configure, 0, sizeof(s->configure));
    if (!interrupt)
        return;
    s->interrupts = 4;
    set_irq(s, true);
}

static void kick_all(Fdc *s)
{
    DiskIo *kick[FDC_DRIVES];
    unsigned count = 0;
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        if (s->drives[i] && disk_io_take_wanted(&s->drives[i]->io))
            kick[count++] = &s->drives[i]->io;
    }
    g_mutex_unlock(&s->lock);
    while (count)
        disk_io_kick(kick[--count]);
}

static void pause_all(Fdc *s, bool on)
{
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        if (s->drives[i] && on)
            disk_io_pause(&s->drives[i]->io);
        else if (s->drives[i])
            disk_io_resume(&s->drives[i]->io);
    }
}

static uint8_t read_dir(const Fdc *s)
{
    const Floppy *f = drive_of(s, s->dor & DOR_SELECT);
    return f && f->changed && s->dor & (DOR_MOTOR0 << (s->dor & DOR_SELECT)) ? 0x80 : 0;
}

static uint64_t fdc_read(void *opaque, uint64_t offset, unsigned size)
{
    Fdc *s = opaque;
    uint8_t value = 0xff;
    g_mutex_lock(&s->lock);
    switch (offset) {
    case 0:
        value = s->level ? 0x80 : 0;
        break;
    case 1:
        value = 0xc0;
        break;
    case 2:
        value = s->dor;
        break;
    case 3:
        value = s->tdr;
        break;
    case 4:
        value = s->dor & DOR_NORESET ? s->msr : 0;
        break;
    case 5:
        value = read_fifo(s);
        break;
    default:
        break;
    }
    kick_all(s);
    return value;
}

static void write_dor(Fdc *s, uint8_t value)
{
    bool was = s->dor & DOR_NORESET, on = value & DOR_NORESET;
    s->dor = value;
    if (was && !on)
        reset_controller(s, false);
    else if (!was && on)
        reset_controller(s, true);
    else
        irq_set(&s->irq, s->level && s->dor & DOR_DMA);
}

static void fdc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fdc *s = opaque;
    bool resets = (offset == 2 && !(value & DOR_NORESET)) || (offset == 4 && value & 0x80);
    if (resets)
        pause_all(s, true);
    g_mutex_lock(&s->lock);
    switch (offset) {
    case 2:
        write_dor(s, value);
        break;
    case 3:
        s->tdr = value & 3;
        break;
    case 4: /* data rate; a reset that ends by itself */
        s->rate = value & 3;
        if (value & 0x80)
            reset_controller(s, true);
        break;
    case 5:
        write_fifo(s, value);
        break;
    default:
        break;
    }
    kick_all(s);
    if (resets)
        pause_all(s, false);
}

static uint64_t dir_read(void *opaque, uint64_t offset, unsigned size)
{
    Fdc *s = opaque;
    g_mutex_lock(&s->lock);
    uint8_t value = read_dir(s);
    g_mutex_unlock(&s->lock);
    return value;
}

static void ccr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fdc *s = opaque;
    g_mutex_lock(&s->lock);
    s->rate = value & 3;
    g_mutex_unlock(&s->lock);
}

static const MemOps fdc_ops = { .read = fdc_read, .write = fdc_write, .max_size = 1, .lock_free = true };
static const MemOps dir_ops = { .read = dir_read, .write = ccr_write, .max_size = 1, .lock_free = true };

/* ---- controller ---- */

static bool plug(Bus *bus, Device *dev, GError **err)
{
    Fdc *s = bus->state;
    Floppy *f = (Floppy *)dev;
    unsigned unit = f->unit_prop == 255 ? s->drives[0] != NULL : f->unit_prop;
    if (unit >= FDC_DRIVES || s->drives[unit])
        return error_set(err, "unit=%u %s", unit, unit < FDC_DRIVES ? "is taken" : "is not 0 or 1");
    f->fdc = s;
    f->unit = unit;
    return true;
}

static void unplug(Bus *bus, Device *dev) {}

static bool fdc_realize(Device *dev, GError **err)
{
    Fdc *s = (Fdc *)dev;
    if (!isa_check_irq(s->line, "irq", err))
        return false;
    if (s->dma_prop > 3)
        return error_set(err, "dma=%u: 0 to 3 is needed, a channel for bytes", s->dma_prop);
    g_mutex_init(&s->lock);
    s->irq = isa_irq(dev->bus, s->line);
    s->dma_channel = s->dma_prop;
    s->dma = i8257_find(dev->bus, s->dma_channel);
    s->bus = bus_new(dev, "floppy-bus", "floppy-bus.0");
    s->bus->state = s;
    s->bus->max_devices = FDC_DRIVES;
    s->bus->plug = plug;
    s->bus->unplug = unplug;
    mem_io_init(&s->ports, dev->machine, "fdc", 6, &fdc_ops, s);
    mem_io_init(&s->dir_port, dev->machine, "fdc-dir", 1, &dir_ops, s); /* port 6 is the IDE controller's */
    return isa_map_ports(dev->bus, s->iobase, &s->ports, "iobase", err) &&
           isa_map_ports(dev->bus, s->iobase + 7, &s->dir_port, "iobase", err);
}

static void fdc_unrealize(Device *dev)
{
    g_mutex_clear(&((Fdc *)dev)->lock);
}

static void fdc_reset(Device *dev)
{
    Fdc *s = (Fdc *)dev;
    pause_all(s, true);
    g_mutex_lock(&s->lock);
    s->lock_bit = 0;
    s->dor = DOR_NORESET | DOR_DMA;
    reset_controller(s, false);
    s->tdr = s->rate = s->st0 = s->perpendicular = s->last_sector = s->command = 0;
    memset(s->specify, 0, sizeof(s->specify));
    memset(s->fifo, 0, sizeof(s->fifo));
    memset(s->buffer, 0, sizeof(s->buffer));
    s->unit = s->cylinder = s->head = s->sector = s->eot = s->multi_track = s->filler = s->track_end = 0;
    s->length = s->position = 0;
    kick_all(s);
    pause_all(s, false);
}

static void fdc_quiesce(Device *dev, bool on)
{
    pause_all((Fdc *)dev, on);
}

static void fdc_post_load(Device *dev)
{
    Fdc *s = (Fdc *)dev;
    g_mutex_lock(&s->lock);
    s->length = MIN(s->length, FDC_BUFFER);
    s->fifo_length = MIN(s->fifo_length, sizeof(s->fifo) - 1);
    s->unit &= 3;
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        if (s->drives[i])
            s->drives[i]->io.wanted = true;
    }
    irq_set(&s->irq, s->level && s->dor & DOR_DMA);
    kick_all(s);
}

static const Prop fdc_props[] = { PROP(Fdc, U32, "iobase", iobase, .fallback = "0x3f0", .help = "ports"),
                                  PROP(Fdc, U32, "irq", line, .fallback = "6", .help = "interrupt line"),
                                  PROP(Fdc, U32, "dma", dma_prop, .fallback = "2", .help = "DMA channel"), PROP_END };
static const StateField fdc_state[] = { STATE_SKIP(Fdc, lock, "wiring"),
                                        STATE_SKIP(Fdc, bus, "wiring"),
                                        STATE_SKIP(Fdc, drives, "wiring"),
                                        STATE_SKIP(Fdc, irq, "wiring"),
                                        STATE_SKIP(Fdc, dma, "wiring"),
                                        STATE_SKIP(Fdc, dma_channel, "property"),
                                        STATE_SKIP(Fdc, ports, "fixed"),
                                        STATE_SKIP(Fdc, dir_port, "fixed"),
                                        STATE(Fdc, dor),
                                        STATE(Fdc, tdr),
                                        STATE(Fdc, rate),
                                        STATE(Fdc, msr),
                                        STATE(Fdc, level),
                                        STATE_ARRAY(Fdc, fifo),
                                        STATE(Fdc, fifo_length),
                                        STATE(Fdc, fifo_at),
                                        STATE(Fdc, command),
                                        STATE(Fdc, phase),
                                        STATE(Fdc, interrupts),
                                        STATE(Fdc, st0),
                                        STATE(Fdc, seek_done),
                                        STATE_ARRAY(Fdc, specify),
                                        STATE_ARRAY(Fdc, configure),
                                        STATE(Fdc, perpendicular),
                                        STATE(Fdc, lock_bit),
                                        STATE(Fdc, last_sector),
                                        STATE(Fdc, op),
                                        STATE(Fdc, waiting),
                                        STATE_SKIP(Fdc, running, "never while quiet"),
                                        STATE(Fdc, unit),
                                        STATE(Fdc, cylinder),
                                        STATE(Fdc, head),
                                        STATE(Fdc, sector),
                                        STATE(Fdc, eot),
                                        STATE(Fdc, multi_track),
                                        STATE(Fdc, filler),
                                        STATE(Fdc, track_end),
                                        STATE(Fdc, length),
                                        STATE(Fdc, position),
                                        STATE_ARRAY(Fdc, buffer),
                                        STATE_END };

const DeviceType isa_fdc_type = { .name = "isa-fdc",
                                  .desc = "floppy disk controller",
                                  .category = "storage",
                                  .bus = "isa",
                                  .size = sizeof(Fdc),
                                  .props = fdc_props,
                                  .state = fdc_state,
                                  .realize = fdc_realize,
                                  .unrealize = fdc_unrealize,
                                  .reset = fdc_reset,
                                  .quiesce = fdc_quiesce,
                                  .post_load = fdc_post_load };

Fdc *fdc_find(Machine *machine)
{
    for (unsigned i = 0; i < machine->buses->len; i++) {
        const Bus *bus = g_ptr_array_index(machine->buses, i);
        if (!strcmp(bus->kind, "floppy-bus"))
            return bus->state;
    }
    return NULL;
}

/* ---- drives ---- */

enum { CMOS_360 = 1, CMOS_1200 = 2, CMOS_720 = 3, CMOS_1440 = 4, CMOS_2880 = 5 };
enum { TYPE_AUTO, TYPE_144, TYPE_288, TYPE_120, TYPE_NONE };
static const char *const type_names[] = { "auto", "144", "288", "120", "none", NULL };

/* The first that an image fills exactly, else the first that holds it. */
static const FloppyFormat formats[] = {
    { 80, 2, 18, 0, CMOS_1440 }, { 80, 2, 36, 3, CMOS_2880 }, { 80, 2, 9, 2, CMOS_1440 },  { 80, 2, 15, 0, CMOS_1200 },
    { 40, 2, 9, 2, CMOS_1200 },  { 40, 2, 8, 2, CMOS_1200 },  { 40, 1, 9, 2, CMOS_1200 },  { 40, 1, 8, 2, CMOS_1200 },
    { 80, 2, 20, 0, CMOS_1440 }, { 80, 2, 21, 0, CMOS_1440 }, { 82, 2, 21, 0, CMOS_1440 }, { 83, 2, 21, 0, CMOS_1440 },
};

static const FloppyFormat *find_format(const BlockNode *node)
{
    uint64_t sectors = node ? node->size / SECTOR : 0;
    for (unsigned i = 0; sectors && i < G_N_ELEMENTS(formats); i++) {
        if (sectors == (uint64_t)formats[i].tracks * formats[i].heads * formats[i].sectors)
            return &formats[i];
    }
    return sectors ? &formats[sectors > 2880] : NULL;
}

unsigned fdc_cmos_type(const Fdc *s, unsigned unit)
{
    static const uint8_t types[] = { CMOS_2880, CMOS_1440, CMOS_2880, CMOS_1200, 0 };
    const Floppy *f = drive_of(s, unit);
    if (!f)
        return 0;
    return f->drive_type == TYPE_AUTO && f->format ? f->format->cmos : types[f->drive_type];
}

static bool slot_locked(void *opaque)
{
    return false;
}

static void slot_set_medium(void *opaque, BlockNode *node)
{
    Floppy *f = opaque;
    disk_io_pause(&f->io);
    g_mutex_lock(&f->fdc->lock);
    f->drive = node;
    f->format = find_format(node);
    f->changed = 1;
    disk_io_set_node(&f->io, node);
    g_mutex_unlock(&f->fdc->lock);
    disk_io_resume(&f->io);
}

static const BlockSlotOps slot_ops = { .locked = slot_locked, .set_medium = slot_set_medium };

static bool floppy_realize(Device *dev, GError **err)
{
    Floppy *f = (Floppy *)dev;
    const char *user = dev->id ? dev->id : dev->type->name;
    g_autofree char *name = f->drive && f->drive->drive ? g_strdup(f->drive->drive) : NULL;
    if (f->drive && !block_claim_removable(f->drive, user, err))
        return false;
    if (f->drive && block_is_empty(f->drive))
        f->drive = NULL;
    if (!disk_io_init(&f->io, dev, f->drive, &f->fdc->lock, floppy_ready, f, err)) {
        if (f->drive)
            block_release(f->drive);
        return false;
    }
    f->slot = block_slot_new(name, user, f->drive, &slot_ops, f);
    f->format = find_format(f->drive);
    g_mutex_lock(&f->fdc->lock);
    f->fdc->drives[f->unit] = f;
    g_mutex_unlock(&f->fdc->lock);
    return true;
}

static void floppy_unrealize(Device *dev)
{
    Floppy *f = (Floppy *)dev;
    g_mutex_lock(&f->fdc->lock);
    f->fdc->drives[f->unit] = NULL;
    g_mutex_unlock(&f->fdc->lock);
    disk_io_destroy(&f->io);
    block_slot_free(f->slot);
    if (f->drive)
        block_release(f->drive);
}

static void floppy_reset(Device *dev)
{
    Floppy *f = (Floppy *)dev;
    g_mutex_lock(&f->fdc->lock);
    f->track = 0;
    f->changed = 1;
    f->io.stopped = false;
    g_mutex_unlock(&f->fdc->lock);
}

static const Prop floppy_props[] = {
    PROP(Floppy, DRIVE, "drive", drive, .help = "id of -drive, or node-name of -blockdev"),
    PROP(Floppy, U8, "unit", unit_prop, .fallback = "255", .help = "0 or 1; 255: what is free"),
    PROP(Floppy, U32, "bootindex", bootindex, .fallback = "4294967295", .help = "the least is booted first"),
    PROP(Floppy, ENUM, "drive-type", drive_type, .names = type_names, .help = "what the BIOS is told"),
    PROP(Floppy, ENUM, "werror", io.write_error, .names = disk_error_names, .help = "when a write fails"),
    PROP(Floppy, ENUM, "rerror", io.read_error, .names = disk_error_names, .help = "when a read fails"),
    PROP_END,
};
static const StateField floppy_state[] = { STATE_SKIP(Floppy, fdc, "wiring"),
                                           STATE_SKIP(Floppy, unit, "property"),
                                           STATE_SKIP(Floppy, io, "wiring; nothing is under way while quiet"),
                                           STATE_SKIP(Floppy, slot, "wiring"),
                                           STATE_SKIP(Floppy, format, "the medium's"),
                                           STATE(Floppy, track),
                                           STATE(Floppy, changed),
                                           STATE_END };

const DeviceType floppy_type = { .name = "floppy",
                                 .desc = "floppy disk drive",
                                 .category = "storage",
                                 .bus = "floppy-bus",
                                 .size = sizeof(Floppy),
                                 .props = floppy_props,
                                 .state = floppy_state,
                                 .realize = floppy_realize,
                                 .unrealize = floppy_unrealize,
                                 .reset = floppy_reset };
