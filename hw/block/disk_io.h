/*
 * What disk controllers with a lock of their own share: a drive's queue, its requests, werror= and rerror=, pauses.
 *
 * The device's registers belong to its lock (rank: device), not to the machine lock. A register access that has work
 * for the disk sets io->wanted; who gives the lock back then calls disk_io_kick, without the lock. The queue's thread
 * takes the lock and calls ready, which starts requests (disk_io_start); done is called under the lock, too. A request
 * that has to wait for "cont" (DISK_STOPPED) is done: the device remembers the command and starts it again in ready.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_BLOCK_DISK_IO_H
#define HW_BLOCK_DISK_IO_H

#include "block/block.h"
#include "hw/core/machine.h"

#define DISK_SEGMENTS 1024
#define DISK_STOPPED  (-1) /* the machine stops for this error: try again in ready */

typedef struct DiskIo DiskIo;
typedef struct DiskRequest DiskRequest;

struct DiskRequest {
    BlockRequest block;
    DiskIo *io;
    DiskRequest *next;
    bool flush_after;                        /* set before disk_io_start: the data are to be on the disk when done */
    void (*done)(DiskRequest *r, int error); /* errno, 0 or DISK_STOPPED; the request is not the device's any more */
    void *owner;                             /* the device's own */
    unsigned tag;                            /* likewise */
    uint64_t lba;                            /* likewise */
    struct iovec iov[DISK_SEGMENTS];
};

struct DiskIo {
    Device *dev;
    BlockNode *node; /* NULL: no medium */
    BlockQueue *queue;
    GMutex *lock;
    void (*ready)(void *opaque);
    void *opaque;
    unsigned write_error, read_error; /* properties: 0 is the drive's */
    bool wanted;                      /* the thread is to be kicked */
    bool stopped;                     /* after an error, until the machine goes on */
    bool paused;                      /* by the machine */
    DiskRequest *starting, *free;
};

/* Names of werror= and rerror=, for PROP_ENUM on write_error and read_error. */
extern const char *const disk_error_names[];

/* In realize and unrealize. node is claimed by the caller. lock may be shared by several. */
bool disk_io_init(DiskIo *io, Device *dev, BlockNode *node, GMutex *lock, void (*ready)(void *opaque), void *opaque,
                  GError **err);
void disk_io_destroy(DiskIo *io);
/* With the lock: a request to fill in; start it, or give it back. */
DiskRequest *disk_io_request(DiskIo *io, void *owner, void (*done)(DiskRequest *r, int error));
void disk_io_discard(DiskRequest *r);
void disk_io_start(DiskRequest *r, BlockOp op, uint64_t offset, uint64_t length, unsigned iov_count);
/* Without the lock. Wakes the thread if wanted (which the caller has taken: see disk_io_take_wanted). */
void disk_io_kick(DiskIo *io);
static inline bool disk_io_take_wanted(DiskIo *io)
{
    bool wanted = io->wanted;
    io->wanted = false;
    return wanted;
}
/* Without the lock: no request is under way from pause to resume. Not on the queue's thread. */
void disk_io_pause(DiskIo *io);
void disk_io_resume(DiskIo *io);
/* With the lock, while paused. */
void disk_io_set_node(DiskIo *io, BlockNode *node);

/* Guest RAM for DMA from any thread: nothing but RAM, since a disk's thread must not wait for the machine lock. */
bool disk_ram_read(Device *dev, uint64_t addr, void *buffer, uint32_t bytes);
bool disk_ram_write(Device *dev, uint64_t addr, const void *buffer, uint32_t bytes);
/* Append bytes at addr to iov[*count], of which max are there. Returns how many bytes; fewer: *failed (no RAM), or no
 * room. */
uint32_t disk_map(Device *dev, uint64_t addr, uint32_t bytes, bool to_memory, struct iovec *iov, unsigned max,
                  unsigned *count, bool *failed);

#endif
