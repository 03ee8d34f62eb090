/*
 * Format "raw": the bytes of the child, or a part of them.
 * SPDX-License-Identifier: MIT
 */
#include "block/drivers.h"
#include "util/error.h"

typedef struct RawState {
    uint64_t offset; /* of our byte 0 in the child */
} RawState;

static uint64_t place(const BlockNode *node, uint64_t offset)
{
    return ((RawState *)node->state)->offset + offset;
}

static bool raw_open(BlockNode *node, Opts *opts, GError **err)
{
    RawState *s = node->state;
    uint64_t room = node->child->size, size = 0;
    if (!opts_size(opts, "offset", &s->offset, 0, UINT64_MAX, err) ||
        !opts_size(opts, "size", &size, 0, UINT64_MAX, err))
        return false;
    if (s->offset > room || size > room - s->offset)
        return error_set(err,
                         "%s: offset and size reach behind the end of the image, which has %" G_GUINT64_FORMAT " bytes",
                         opts_name(opts), room);
    node->size = size ? size : room - s->offset;
    return true;
}

static int raw_read(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return node->child->driver->read(node->child, place(node, offset), iov, count, length);
}

static int raw_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return node->child->driver->write(node->child, place(node, offset), iov, count, length);
}

static int raw_flush(BlockNode *node)
{
    return block_flush(node->child);
}

static int raw_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    return block_discard(node->child, place(node, offset), length);
}

static int raw_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, bool unmap)
{
    return block_write_zeroes(node->child, place(node, offset), length, unmap);
}

static bool raw_map(BlockNode *node, uint64_t offset, uint64_t length, bool write, BlockMapping *m)
{
    return block_map(node->child, place(node, offset), length, write, m);
}

const BlockDriver block_raw_driver = {
    .name = "raw",
    .desc = "bytes as they are: file=, offset=, size=",
    .keys = (const char *const[]){ "offset", "size", NULL },
    .state_size = sizeof(RawState),
    .open = raw_open,
    .read = raw_read,
    .write = raw_write,
    .flush = raw_flush,
    .discard = raw_discard,
    .write_zeroes = raw_write_zeroes,
    .map = raw_map,
};
