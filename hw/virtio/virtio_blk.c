/*
 * Virtio block device (VIRTIO 1.2, 5.2).
 *
 * Doorbells need no lock: they wake the drive's thread (block_queue), which takes requests off the rings, runs them and
 * gives them back. That thread owns the rings; resets and pauses quiesce it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_blk.h"
#include "block/block.h"
#include "hw/virtio/virtio_pci.h"
#include "util/error.h"
#include "util/trace.h"
#include <errno.h>
#include <string.h>

enum { /* 5.2.3 */
       F_SEG_MAX = 1 << 2,
       F_RO = 1 << 5,
       F_BLK_SIZE = 1 << 6,
       F_FLUSH = 1 << 9,
       F_TOPOLOGY = 1 << 10,
       F_CONFIG_WCE = 1 << 11,
       F_MQ = 1 << 12,
       F_DISCARD = 1 << 13,
       F_WRITE_ZEROES = 1 << 14
};
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { ZEROES_UNMAP = 1 };
enum { ID_BYTES = 20, HEADER_BYTES = 16, RANGE_BYTES = 16 };
#define MAX_SECTORS 0x3fffff /* of one discard or write-zeroes: under 2 GiB */

/* 5.2.4; little-endian */
typedef struct __attribute__((packed)) Config {
    uint64_t capacity; /* in sectors of 512 bytes */
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
    uint8_t physical_block_exp, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
    uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
} Config;

typedef struct Request {
    BlockRequest block;
    struct VirtioBlk *s;
    VirtQueue *queue;
    struct Request *next; /* in free or failed */
    uint32_t written;     /* bytes for the driver, without the status */
    bool flush_after;     /* write-through: the flush is still to come */
    VirtElement element;
} Request;

typedef struct VirtioBlk {
    VirtioDevice v;
    BlockNode *drive;
    char *serial;
    uint32_t logical_block_size, physical_block_size, min_io_size, opt_io_size;
    uint16_t queue_size, num_queues;
    bool config_wce, offer_discard, offer_write_zeroes;
    unsigned write_error, read_error; /* properties: 0 is the drive's */
    uint8_t write_cache;              /* what the driver chose */
    bool paused;                      /* paused: by the machine */
    BlockQueue *io;
    uint8_t retry;          /* atomic: the machine went on, so what failed is tried again */
    Request *free, *failed; /* the I/O thread's */
    uint32_t bootindex;     /* property */
} VirtioBlk;

/* ---- finishing (I/O thread) ---- */

static void finish(Request *r, uint8_t status)
{
    VirtioBlk *s = r->s;
    VirtElement *e = &r->element;
    const struct iovec *last = &e->in[e->in_count]; /* split off by take_status */
    *(uint8_t *)last->iov_base = status;
    e->in_count++;
    virtq_push(r->queue, e, status == S_OK ? r->written + 1 : 1);
    virtq_notify(r->queue);
    r->next = s->free;
    s->free = r;
}

static BlockOnError on_error(const VirtioBlk *s, bool read)
{
    unsigned own = read ? s->read_error : s->write_error;
    return own ? own - 1 : read ? s->drive->on_read_error : s->drive->on_write_error;
}

static void done(BlockRequest *block, int error)
{
    Request *r = (Request *)block;
    VirtioBlk *s = r->s;
    if (error) {
        BlockOnError action = on_error(s, block->op == BLOCK_OP_READ);
        TRACE(virtio_blk_error, "op %d offset %" G_GUINT64_FORMAT ": %s", block->op, block->offset, g_strerror(error));
        if (action == ON_ERROR_STOP || (action == ON_ERROR_ENOSPC && error == ENOSPC)) {
            g_printerr("rhea: %s: %s; the machine is paused\n",
                       s->v.dev.id       ? s->v.dev.id
                       : s->drive->drive ? s->drive->drive
                                         : "disk",
                       g_strerror(error));
            r->next = s->failed;
            s->failed = r;
            machine_request_stop(s->v.dev.machine, RUN_IO_ERROR);
            return;
        }
        finish(r, action == ON_ERROR_IGNORE ? S_OK : S_IOERR);
        return;
    }
    if (r->flush_after) {
        r->flush_after = false;
        block->op = BLOCK_OP_FLUSH;
        block_queue_submit(s->io, block);
        return;
    }
    finish(r, S_OK);
}

/* ---- starting (I/O thread) ---- */

static void submit(Request *r, BlockOp op, uint64_t offset, uint64_t length, const struct iovec *iov, unsigned count)
{
    r->block =
        (BlockRequest){ .op = op, .offset = offset, .length = length, .iov = iov, .iov_count = count, .done = done };
    block_queue_submit(r->s->io, &r->block);
}

static bool in_range(const VirtioBlk *s, uint64_t sector, uint64_t bytes)
{
    uint64_t size = s->drive->size & ~(uint64_t)(BLOCK_SECTOR - 1);
    return !(bytes % s->logical_block_size) && !(sector % (s->logical_block_size / BLOCK_SECTOR)) &&
           sector <= size / BLOCK_SECTOR && bytes <= size - sector * BLOCK_SECTOR;
}

static bool write_through(const VirtioBlk *s)
{
    return !__atomic_load_n(&s->write_cache, __ATOMIC_RELAXED) || !virtio_accepted(&s->v, F_FLUSH);
}

static void start_transfer(Request *r, bool write, uint64_t sector)
{
    VirtioBlk *s = r->s;
    VirtElement *e = &r->element;
    uint64_t bytes = write ? e->out_bytes - HEADER_BYTES : e->in_bytes - 1;
    if (!in_range(s, sector, bytes) || (write && s->drive->read_only)) {
        finish(r, S_IOERR);
        return;
    }
    r->written = write ? 0 : bytes;
    r->flush_after = write && write_through(s);
    if (!bytes)
        finish(r, S_OK);
    else if (write)
        submit(r, BLOCK_OP_WRITE, sector * BLOCK_SECTOR, bytes, e->out, e->out_count);
    else
        submit(r, BLOCK_OP_READ, sector * BLOCK_SECTOR, bytes, e->in, e->in_count);
}

/* One range a request, as max_*_seg says. */
static void start_range(Request *r, bool discard)
{
    VirtioBlk *s = r->s;
    VirtElement *e = &r->element;
    uint8_t bytes[RANGE_BYTES];
    uint64_t sector;
    uint32_t sectors, flags;
    if (e->out_bytes != HEADER_BYTES + RANGE_BYTES ||
        iov_read(e->out, e->out_count, 0, bytes, sizeof(bytes)) != sizeof(bytes)) {
        finish(r, e->out_bytes > HEADER_BYTES + RANGE_BYTES ? S_UNSUPP : S_IOERR);
        return;
    }
    memcpy(&sector, bytes, 8);
    memcpy(&sectors, bytes + 8, 4);
    memcpy(&flags, bytes + 12, 4);
    sector = GUINT64_FROM_LE(sector);
    sectors = GUINT32_FROM_LE(sectors);
    flags = GUINT32_FROM_LE(flags);
    if (flags & ~(discard ? 0u : ZEROES_UNMAP)) {
        finish(r, S_UNSUPP);
        return;
    }
    uint64_t length = (uint64_t)sectors * BLOCK_SECTOR;
    if (sectors > MAX_SECTORS || !in_range(s, sector, length) || s->drive->read_only) {
        finish(r, S_IOERR);
        return;
    }
    r->flush_after = !discard && write_through(s);
    submit(r,
           discard                ? BLOCK_OP_DISCARD
           : flags & ZEROES_UNMAP ? BLOCK_OP_WRITE_ZEROES_UNMAP
                                  : BLOCK_OP_WRITE_ZEROES,
           sector * BLOCK_SECTOR, length, NULL, 0);
}

static void start_get_id(Request *r)
{
    char id[ID_BYTES] = { 0 };
    VirtElement *e = &r->element;
    const char *serial = r->s->serial ? r->s->serial : "";
    memcpy(id, serial, MIN(strlen(serial), sizeof(id)));
    r->written = iov_write(e->in, e->in_count, 0, id, sizeof(id));
    finish(r, S_OK);
}

/* The last byte that the device may write is for the status: take it off the in segments (finish puts it back). */
static bool take_status(VirtElement *e)
{
    if (!e->in_bytes || e->in_count + e->out_count >= VIRTIO_SEGMENTS_MAX)
        return false;
    struct iovec *last = &e->in[e->in_count - 1];
    while (!last->iov_len) {
        last--;
        e->in_count--;
    }
    last->iov_len--;
    last[1] = (struct iovec){ (uint8_t *)last->iov_base + last->iov_len, 1 };
    if (!last->iov_len) { /* a segment of its own */
        *last = last[1];
        e->in_count--;
    }
    return true;
}

static void drop_front(VirtElement *e, size_t bytes)
{
    while (bytes) {
        size_t here = MIN(bytes, e->out->iov_len);
        e->out->iov_base = (uint8_t *)e->out->iov_base + here;
        e->out->iov_len -= here;
        bytes -= here;
        if (!e->out->iov_len && e->out_count) {
            e->out++;
            e->out_count--;
        }
    }
}

static void start(Request *r)
{
    VirtElement *e = &r->element;
    uint8_t header[HEADER_BYTES];
    uint32_t type;
    uint64_t sector;
    r->written = 0;
    r->flush_after = false;
    if (iov_read(e->out, e->out_count, 0, header, sizeof(header)) != sizeof(header) || !take_status(e)) {
        virtio_broken(&r->s->v, "request with %u readable and %u writable bytes", e->out_bytes, e->in_bytes);
        r->next = r->s->free;
        r->s->free = r;
        return;
    }
    drop_front(e, sizeof(header));
    memcpy(&type, header, 4);
    memcpy(&sector, header + 8, 8);
    type = GUINT32_FROM_LE(type);
    sector = GUINT64_FROM_LE(sector);
    TRACE(virtio_blk_request, "type %u sector %" G_GUINT64_FORMAT, type, sector);
    switch (type) {
    case T_IN:
    case T_OUT:
        start_transfer(r, type == T_OUT, sector);
        break;
    case T_FLUSH:
        submit(r, BLOCK_OP_FLUSH, 0, 0, NULL, 0);
        break;
    case T_GET_ID:
        start_get_id(r);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        start_range(r, type == T_DISCARD);
        break;
    default:
        finish(r, S_UNSUPP);
    }
}

static void run_queue(VirtioBlk *s, VirtQueue *queue)
{
    do {
        virtq_want_kicks(queue, false);
        while (true) {
            Request *r = s->free;
            if (r)
                s->free = r->next;
            else
                r = g_new(Request, 1); /* as many as are ever under way */
            r->s = s;
            r->queue = queue;
            if (!virtq_pop(queue, &r->element)) {
                r->next = s->free;
                s->free = r;
                break;
            }
            start(r);
        }
        virtq_want_kicks(queue, true);
    } while (virtq_available(queue));
}

static void kicked(void *opaque)
{
    VirtioBlk *s = opaque;
    Request *r = NULL;
    if (__atomic_exchange_n(&s->retry, 0, __ATOMIC_RELAXED)) {
        r = s->failed;
        s->failed = NULL;
    }
    while (r) {
        Request *next = r->next;
        block_queue_submit(s->io, &r->block);
        r = next;
    }
    for (unsigned i = 0; i < s->v.queue_count && virtio_running(&s->v); i++)
        run_queue(s, &s->v.queues[i]);
}

/* ---- virtio ---- */

static uint64_t features(VirtioDevice *v)
{
    const VirtioBlk *s = (VirtioBlk *)v;
    return F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | (s->config_wce ? F_CONFIG_WCE : 0) |
           (s->num_queues > 1 ? F_MQ : 0) |
           (s->drive->read_only ? F_RO
                                : (s->offer_discard ? F_DISCARD : 0) | (s->offer_write_zeroes ? F_WRITE_ZEROES : 0));
}

static void get_config(VirtioDevice *v, uint8_t *bytes)
{
    const VirtioBlk *s = (VirtioBlk *)v;
    unsigned exponent = g_bit_nth_msf(s->physical_block_size / s->logical_block_size, -1);
    Config c = {
        .capacity = GUINT64_TO_LE(s->drive->size / BLOCK_SECTOR),
        .seg_max = GUINT32_TO_LE(MIN(s->queue_size, 256) - 2),
        .blk_size = GUINT32_TO_LE(s->logical_block_size),
        .physical_block_exp = exponent,
        .min_io_size = GUINT16_TO_LE(s->min_io_size / s->logical_block_size),
        .opt_io_size = GUINT32_TO_LE(s->opt_io_size / s->logical_block_size),
        .writeback = s->write_cache,
        .num_queues = GUINT16_TO_LE(s->num_queues),
        .max_discard_sectors = GUINT32_TO_LE(MAX_SECTORS),
        .max_discard_seg = GUINT32_TO_LE(1),
        .discard_sector_alignment = GUINT32_TO_LE(s->logical_block_size / BLOCK_SECTOR),
        .max_write_zeroes_sectors = GUINT32_TO_LE(MAX_SECTORS),
        .max_write_zeroes_seg = GUINT32_TO_LE(1),
        .write_zeroes_may_unmap = s->drive->unmap,
    };
    memcpy(bytes, &c, sizeof(c));
}

static void set_config(VirtioDevice *v, uint8_t *bytes)
{
    VirtioBlk *s = (VirtioBlk *)v;
    if (virtio_accepted(v, F_CONFIG_WCE))
        __atomic_store_n(&s->write_cache, bytes[offsetof(Config, writeback)] != 0, __ATOMIC_RELAXED);
}

static void kick(VirtioDevice *v, VirtQueue *queue)
{
    block_queue_kick(((VirtioBlk *)v)->io);
}

static int kick_event(VirtioDevice *v, VirtQueue *queue)
{
    return block_queue_event(((VirtioBlk *)v)->io);
}

static void quiesce(VirtioDevice *v, bool on)
{
    VirtioBlk *s = (VirtioBlk *)v;
    if (on)
        block_queue_pause(s->io);
    else
        block_queue_resume(s->io);
}

static void free_requests(Request **list)
{
    while (*list) {
        Request *r = *list;
        *list = r->next;
        g_free(r);
    }
}

static void blk_reset(VirtioDevice *v)
{
    VirtioBlk *s = (VirtioBlk *)v;
    free_requests(&s->failed);
    s->write_cache = s->drive->write_cache;
}

static const VirtioOps ops = {
    .id = 2,
    .pci_class = 0x010000, /* SCSI storage controller, as the reference's */
    .config_size = sizeof(Config),
    .features = features,
    .get_config = get_config,
    .set_config = set_config,
    .kick = kick,
    .kick_event = kick_event,
    .kick_unlocked = true,
    .quiesce = quiesce,
    .reset = blk_reset,
};

/* ---- type ---- */

static void machine_changed(void *opaque, Machine *machine)
{
    VirtioBlk *s = opaque;
    bool pause = machine->state != RUN_RUNNING;
    if (!pause)
        __atomic_store_n(&s->retry, 1, __ATOMIC_RELAXED);
    if (pause != s->paused)
        quiesce(&s->v, pause);
    s->paused = pause;
}

static bool check_sizes(const VirtioBlk *s, GError **err)
{
    uint32_t logical = s->logical_block_size, physical = s->physical_block_size;
    if (logical < BLOCK_SECTOR || logical > 32768 || logical & (logical - 1))
        return error_set(err, "logical_block_size=%u: a power of two from 512 to 32768 is needed", logical);
    if (physical < logical || physical > 2 << 20 || physical & (physical - 1))
        return error_set(err, "physical_block_size=%u: a power of two from logical_block_size to 2 MiB is needed",
                         physical);
    if (s->queue_size < 4 || s->queue_size > VIRTIO_QUEUE_SIZE_MAX || s->queue_size & (s->queue_size - 1))
        return error_set(err, "queue-size=%u: a power of two from 4 to %u is needed", s->queue_size,
                         VIRTIO_QUEUE_SIZE_MAX);
    return s->num_queues <= VIRTIO_QUEUES ||
           error_set(err, "num-queues=%u: at most %u are possible", s->num_queues, VIRTIO_QUEUES);
}

static bool realize(Device *dev, GError **err)
{
    VirtioBlk *s = (VirtioBlk *)dev;
    if (!s->drive)
        return error_set(err, "drive= is missing: which -drive or -blockdev is it for?");
    if (!s->num_queues)
        s->num_queues = MIN(MAX(dev->machine->config.cpus, 1), 16);
    if (!check_sizes(s, err) || !block_claim(s->drive, dev->id ? dev->id : dev->type->name, err))
        return false;
    s->io = block_queue_new(s->drive, kicked, s, err);
    if (!s->io) {
        block_release(s->drive);
        return false;
    }
    virtio_init(&s->v, &ops);
    for (unsigned i = 0; i < s->num_queues; i++)
        virtio_add_queue(&s->v, s->queue_size);
    machine_add_state_hook(dev->machine, machine_changed, s);
    return true;
}

static void unrealize(Device *dev)
{
    VirtioBlk *s = (VirtioBlk *)dev;
    virtio_leave(&s->v);
    machine_remove_hooks(dev->machine, s);
    block_queue_pause(s->io);
    block_queue_free(s->io);
    free_requests(&s->failed);
    free_requests(&s->free);
    block_release(s->drive);
}

static const char *const write_errors[] = { "auto", "enospc", "report", "ignore", "stop", NULL };
static const Prop props[] = {
    PROP(VirtioBlk, DRIVE, "drive", drive, .help = "id of -drive, or node-name of -blockdev"),
    PROP_BOOTINDEX(VirtioBlk, bootindex),
    PROP(VirtioBlk, STRING, "serial", serial, .help = "serial number, at most 20 characters"),
    PROP(VirtioBlk, U32, "logical_block_size", logical_block_size, .fallback = "512", .help = "bytes"),
    PROP(VirtioBlk, U32, "physical_block_size", physical_block_size, .fallback = "512", .help = "bytes"),
    PROP(VirtioBlk, U32, "min_io_size", min_io_size, .help = "bytes"),
    PROP(VirtioBlk, U32, "opt_io_size", opt_io_size, .help = "bytes"),
    PROP(VirtioBlk, U16, "queue-size", queue_size, .fallback = "256", .help = "entries of a queue"),
    PROP(VirtioBlk, U16, "num-queues", num_queues, .help = "0: one for each CPU"),
    PROP(VirtioBlk, BOOL, "config-wce", config_wce, .fallback = "on", .help = "let the driver choose the write cache"),
    PROP(VirtioBlk, BOOL, "discard", offer_discard, .fallback = "on"),
    PROP(VirtioBlk, BOOL, "write-zeroes", offer_write_zeroes, .fallback = "on"),
    PROP(VirtioBlk, ENUM, "werror", write_error, .names = write_errors, .help = "when a write fails"),
    PROP(VirtioBlk, ENUM, "rerror", read_error, .names = write_errors, .help = "when a read fails"),
    PROP_END,
};
static const StateField state[] = { STATE(VirtioBlk, write_cache),
                                    STATE_SKIP(VirtioBlk, paused, "follows the machine"),
                                    STATE_SKIP(VirtioBlk, io, "wiring"),
                                    STATE_SKIP(VirtioBlk, retry, "of failed"),
                                    STATE_SKIP(VirtioBlk, free, "a pool"),
                                    STATE_SKIP(VirtioBlk, failed, "empty unless a disk failed"),
                                    STATE_END };

const DeviceType virtio_blk_type = {
    .name = "virtio-blk-device",
    .desc = "virtio disk",
    .category = "storage",
    .bus = "virtio",
    .parent = &virtio_device_type,
    .size = sizeof(VirtioBlk),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
};
VIRTIO_PCI_TYPE(virtio_blk_pci_type, "virtio-blk-pci", virtio_blk_type, "storage", "virtio disk on PCI");
