/*
 * Requests of disk controllers (see disk_io.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/block/disk_io.h"
#include "util/trace.h"
#include <errno.h>
#include <string.h>

const char *const disk_error_names[] = { "auto", "enospc", "report", "ignore", "stop", NULL };

static bool stops(const DiskIo *io, const BlockRequest *block, int error)
{
    bool read = block->op == BLOCK_OP_READ;
    unsigned own = read ? io->read_error : io->write_error;
    BlockOnError action = own ? own - 1 : read ? io->node->on_read_error : io->node->on_write_error;
    return action == ON_ERROR_STOP || (action == ON_ERROR_ENOSPC && error == ENOSPC);
}

static bool ignored(const DiskIo *io, const BlockRequest *block)
{
    bool read = block->op == BLOCK_OP_READ;
    unsigned own = read ? io->read_error : io->write_error;
    return (own ? own - 1 : read ? io->node->on_read_error : io->node->on_write_error) == ON_ERROR_IGNORE;
}

/* What was started under the lock goes to the queue without it: a queue in step calls done at once. */
static void submit_all(DiskIo *io, DiskRequest *r)
{
    while (r) {
        DiskRequest *next = r->next;
        block_queue_submit(io->queue, &r->block);
        r = next;
    }
}

static void stop_machine(DiskIo *io, int error)
{
    g_printerr("rhea: %s: %s; the machine is paused\n", io->dev->id ? io->dev->id : io->dev->type->name,
               g_strerror(error));
    machine_request_stop(io->dev->machine, RUN_IO_ERROR);
}

/* With the lock, on the thread: what is wanted until nothing is. */
static void work(DiskIo *io)
{
    while (!io->stopped && disk_io_take_wanted(io))
        io->ready(io->opaque);
}

static void block_done(BlockRequest *block, int error)
{
    DiskRequest *r = (DiskRequest *)block;
    DiskIo *io = r->io;
    if (!error && r->flush_after) {
        r->flush_after = false;
        block->op = BLOCK_OP_FLUSH;
        block_queue_submit(io->queue, block);
        return;
    }
    if (error)
        TRACE(disk_error, "op %d offset %" G_GUINT64_FORMAT ": %s", block->op, block->offset, g_strerror(error));
    bool stop = error && stops(io, block, error);
    if (error && ignored(io, block))
        error = 0;
    g_mutex_lock(io->lock);
    io->stopped = io->stopped || stop;
    r->done(r, stop ? DISK_STOPPED : error);
    disk_io_discard(r);
    work(io);
    DiskRequest *next = g_steal_pointer(&io->starting);
    g_mutex_unlock(io->lock);
    if (stop)
        stop_machine(io, error);
    submit_all(io, next);
}

static void kicked(void *opaque)
{
    DiskIo *io = opaque;
    g_mutex_lock(io->lock);
    io->wanted = true;
    work(io);
    DiskRequest *r = g_steal_pointer(&io->starting);
    g_mutex_unlock(io->lock);
    submit_all(io, r);
}

DiskRequest *disk_io_request(DiskIo *io, void *owner, void (*done)(DiskRequest *r, int error))
{
    DiskRequest *r = io->free;
    if (r)
        io->free = r->next;
    else
        r = g_new(DiskRequest, 1); /* as many as are ever under way */
    r->io = io;
    r->owner = owner;
    r->done = done;
    r->flush_after = false;
    return r;
}

void disk_io_discard(DiskRequest *r)
{
    r->next = r->io->free;
    r->io->free = r;
}

void disk_io_start(DiskRequest *r, BlockOp op, uint64_t offset, uint64_t length, unsigned iov_count)
{
    r->block = (BlockRequest){
        .op = op, .offset = offset, .length = length, .iov = r->iov, .iov_count = iov_count, .done = block_done
    };
    r->next = r->io->starting;
    r->io->starting = r;
}

void disk_io_kick(DiskIo *io)
{
    block_queue_kick(io->queue);
}

void disk_io_pause(DiskIo *io)
{
    block_queue_pause(io->queue);
}

void disk_io_resume(DiskIo *io)
{
    block_queue_resume(io->queue);
}

void disk_io_set_node(DiskIo *io, BlockNode *node)
{
    io->node = node;
    block_queue_set_node(io->queue, node);
}

static void machine_changed(void *opaque, Machine *machine)
{
    DiskIo *io = opaque;
    bool pause = machine->state != RUN_RUNNING;
    if (!pause) {
        g_mutex_lock(io->lock);
        io->stopped = false;
        g_mutex_unlock(io->lock);
    }
    if (pause && !io->paused)
        disk_io_pause(io);
    else if (!pause && io->paused)
        disk_io_resume(io);
    io->paused = pause;
}

bool disk_io_init(DiskIo *io, Device *dev, BlockNode *node, GMutex *lock, void (*ready)(void *opaque), void *opaque,
                  GError **err)
{
    io->dev = dev;
    io->node = node;
    io->lock = lock;
    io->ready = ready;
    io->opaque = opaque;
    io->queue = block_queue_new(node, kicked, io, err);
    if (io->queue)
        machine_add_state_hook(dev->machine, machine_changed, io);
    return io->queue;
}

void disk_io_destroy(DiskIo *io)
{
    machine_remove_hooks(io->dev->machine, io);
    disk_io_pause(io);
    block_queue_free(io->queue);
    while (io->free) {
        DiskRequest *r = io->free;
        io->free = r->next;
        g_free(r);
    }
}

/* ---- guest memory ---- */

uint32_t disk_map(Device *dev, uint64_t addr, uint32_t bytes, bool to_memory, struct iovec *iov, unsigned max,
                  unsigned *count, bool *failed)
{
    uint32_t done = 0;
    while (done < bytes && *count < max) {
        uint64_t here = bytes - done;
        void *host = dma_map(dev, addr + done, &here, to_memory);
        if (!host) {
            *failed = true;
            break;
        }
        iov[(*count)++] = (struct iovec){ host, here };
        done += here;
    }
    return done;
}

static bool ram_copy_all(Device *dev, uint64_t addr, uint8_t *buffer, uint32_t bytes, bool to_memory)
{
    while (bytes) {
        uint64_t here = bytes;
        uint8_t *host = dma_map(dev, addr, &here, to_memory);
        if (!host)
            return false;
        if (to_memory) {
            memcpy(host, buffer, here);
            dma_unmap(dev, host, here);
        } else {
            memcpy(buffer, host, here);
        }
        addr += here;
        buffer += here;
        bytes -= here;
    }
    return true;
}

bool disk_ram_read(Device *dev, uint64_t addr, void *buffer, uint32_t bytes)
{
    return ram_copy_all(dev, addr, buffer, bytes, false);
}

bool disk_ram_write(Device *dev, uint64_t addr, const void *buffer, uint32_t bytes)
{
    return ram_copy_all(dev, addr, (uint8_t *)buffer, bytes, true);
}
