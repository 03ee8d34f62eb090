/*
 * Block layer: nodes (a format or protocol, each on top of at most one other) and queues that run requests on them.
 *
 * Nodes are opened and closed on the main loop's thread and do not change in between. Their functions block; any number
 * of threads may call them at once. A queue runs requests off a thread of its own: straight through io_uring where the
 * driver says that the bytes lie in a host file, else on worker threads. Errors of requests are errno values; 0: done.
 * SPDX-License-Identifier: MIT
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include "util/options.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLOCK_SECTOR 512

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
typedef struct BlockQueue BlockQueue;
typedef struct BlockRequest BlockRequest;

typedef enum { BLOCK_AIO_AUTO, BLOCK_AIO_THREADS, BLOCK_AIO_IO_URING } BlockAio;
typedef enum {
    ON_ERROR_ENOSPC,
    ON_ERROR_REPORT,
    ON_ERROR_IGNORE,
    ON_ERROR_STOP
} BlockOnError; /* ENOSPC: stop on ENOSPC, else report */
typedef enum { DETECT_ZEROES_OFF, DETECT_ZEROES_ON, DETECT_ZEROES_UNMAP } BlockDetectZeroes;

/* Where bytes of a node lie in a host file. */
typedef struct BlockMapping {
    int fd;
    uint64_t offset, length;
} BlockMapping;

struct BlockDriver {
    const char *name, *desc;
    const char *const *keys; /* of -blockdev that it reads, ends with NULL */
    size_t state_size;
    bool protocol;                                           /* has no child */
    bool (*open)(BlockNode *node, Opts *opts, GError **err); /* sets node->size; node->child is open already */
    void (*close)(BlockNode *node);
    /* All bytes or an error. Inside node->size. */
    int (*read)(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length);
    int (*write)(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length);
    int (*flush)(BlockNode *node);
    int (*discard)(BlockNode *node, uint64_t offset, uint64_t length);                  /* NULL: does nothing */
    int (*write_zeroes)(BlockNode *node, uint64_t offset, uint64_t length, bool unmap); /* NULL: by write */
    /* True if the bytes from offset lie in a host file: *m, its length cut to what is contiguous. Does not block. NULL:
     * never. */
    bool (*map)(BlockNode *node, uint64_t offset, uint64_t length, bool write, BlockMapping *m);
};

struct BlockNode {
    const BlockDriver *driver;
    char *name;  /* node-name, or NULL */
    char *drive; /* id of -drive, or NULL */
    BlockNode *child;
    void *state;
    uint64_t size;                   /* bytes */
    bool read_only, no_flush, unmap; /* no_flush: flushes do nothing; unmap: discards go down */
    BlockDetectZeroes detect_zeroes;
    BlockAio aio;
    unsigned refs;
    char *user; /* device that uses it, or NULL */
    /* What a device on it does by default (-drive's werror=, rerror=, cache=) */
    BlockOnError on_read_error, on_write_error;
    bool write_cache;
};

/* ---- nodes (main loop's thread) ---- */
/* -blockdev: driver=, node-name= and the driver's keys; file= names a node, file.x=y describes one. NULL and *err on
 * failure. */
BlockNode *block_add(Opts *opts, GError **err);
/* -drive: file=, format=, if=, ... Kept in order for block_drives. snapshot: of -snapshot. */
bool block_add_drive(Opts *opts, bool snapshot, GError **err);
BlockNode *block_find(const char *name); /* by node-name or -drive id */
void block_ref(BlockNode *node);
void block_unref(BlockNode *node); /* NULL is nothing */
/* One device may use a node; only one for removable media (block_slot_new) takes an empty one. */
bool block_claim_removable(BlockNode *node, const char *user, GError **err);
bool block_claim(BlockNode *node, const char *user, GError **err);
void block_release(BlockNode *node);
/* The device that had this node is gone: what -drive made is written out and forgotten, a -blockdev stays. */
void block_remove_drive(BlockNode *node);
int block_flush_all(void); /* the last error */
void block_close_all(void);
char *block_driver_help(void);
char *block_describe(void); /* info block. Free with g_free */

typedef struct BlockDrive {
    BlockNode *node;       /* without a medium: block_is_empty */
    const char *interface; /* if= */
    bool cdrom;
    int index; /* of the interface: given, or the first that is free */
} BlockDrive;
/* What -drive without if= means (default: virtio), and how many drives a bus of if=ide takes (2). Before
 * block_add_drive. */
void block_drive_defaults(const char *interface, unsigned ide_units);
unsigned block_ide_units(void);
/* Ends with NULL; const BlockDrive *. */
const BlockDrive *const *block_drives(void);
/* The medium of -drive if=interface with this index, or NULL. */
BlockNode *block_drive_find(const char *interface, int index);
/* A -drive without file=: a drive without a medium, for a device whose medium can be changed. */
bool block_is_empty(const BlockNode *node);

/* ---- removable media (main loop's thread, machine lock held) ---- */
typedef struct BlockSlot BlockSlot;
typedef struct BlockSlotOps {
    bool (*locked)(void *opaque);                      /* the guest has locked the tray */
    bool (*tray_open)(void *opaque);                   /* NULL: there is no tray */
    void (*request_eject)(void *opaque);               /* the button on the front; NULL: none */
    void (*set_medium)(void *opaque, BlockNode *node); /* NULL: none; nothing of the old one is used on return */
    void (*set_tray)(void *opaque, bool open);         /* NULL: there is no tray */
    bool read_only;                                    /* whatever is put in */
} BlockSlotOps;
/* A drive that user (a device) has; node, claimed by it, is in it, or NULL. name: of its own, or NULL: node's or
 * user's. */
BlockSlot *block_slot_new(const char *name, const char *user, BlockNode *node, const BlockSlotOps *ops, void *opaque);
/* Before the device releases its medium. */
void block_slot_free(BlockSlot *slot);
/* eject and change of the monitor. force: even if it is locked. mode: retain, read-only, read-write, or NULL. */
bool block_slot_eject(const char *name, bool force, GError **err);
bool block_slot_change(const char *name, const char *file, const char *format, const char *mode, bool force,
                       GError **err);

/* ---- blocking access (any thread): checks range and permission ---- */
int block_read(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length);
int block_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length);
int block_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, bool unmap);
int block_discard(BlockNode *node, uint64_t offset, uint64_t length);
int block_flush(BlockNode *node);
bool block_map(BlockNode *node, uint64_t offset, uint64_t length, bool write, BlockMapping *m);

/* ---- queues ---- */
typedef enum {
    BLOCK_OP_READ,
    BLOCK_OP_WRITE,
    BLOCK_OP_FLUSH,
    BLOCK_OP_DISCARD,
    BLOCK_OP_WRITE_ZEROES,
    BLOCK_OP_WRITE_ZEROES_UNMAP
} BlockOp;

/* Embedded in the caller's request; lives until done is called, on the queue's thread. */
struct BlockRequest {
    BlockOp op;
    uint64_t offset, length;
    const struct iovec *iov;
    unsigned iov_count;
    void (*done)(BlockRequest *request, int error);
    /* the queue's own */
    BlockQueue *queue;
    BlockRequest *next;
    int error;
};

/* A thread that calls kicked(opaque) after each block_queue_kick (several may become one) and runs the requests. node
 * may be NULL: a drive without a medium, which takes no requests. */
BlockQueue *block_queue_new(BlockNode *node, void (*kicked)(void *opaque), void *opaque, GError **err);
/* Queues made from now on run one request after the other, and block_queue_kick returns when what it was called for is
 * done: the guest sees no time pass (-icount). */
void block_queues_in_step(void);
/* Another medium; while the queue is paused. */
void block_queue_set_node(BlockQueue *queue, BlockNode *node);
void block_queue_free(BlockQueue *queue); /* no request may be under way */
void block_queue_kick(BlockQueue *queue); /* any thread */
/* An eventfd: whoever writes to it (the kernel, for a guest) kicks the queue. */
int block_queue_event(const BlockQueue *queue);
/* On the queue's thread, in kicked or in done. */
void block_queue_submit(BlockQueue *queue, BlockRequest *request);
/* Wait until all requests are done, and keep the thread still until resumed. Calls nest. Not on the queue's thread. */
void block_queue_pause(BlockQueue *queue);
void block_queue_resume(BlockQueue *queue); /* kicks it */

#endif
