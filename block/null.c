/*
 * Protocol "null-co": a disk of zeros that forgets what is written, to measure everything else.
 * SPDX-License-Identifier: MIT
 */
#include "block/drivers.h"
#include <string.h>

static bool null_open(BlockNode *node, Opts *opts, GError **err)
{
    node->size = (uint64_t)1 << 30;
    return opts_size(opts, "size", &node->size, 0, (uint64_t)1 << 62, err);
}

static int null_read(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    for (unsigned i = 0; i < count; i++)
        memset(iov[i].iov_base, 0, iov[i].iov_len);
    return 0;
}

static int null_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return 0;
}

static int null_flush(BlockNode *node)
{
    return 0;
}

const BlockDriver block_null_driver = {
    .name = "null-co",
    .desc = "zeros; what is written is forgotten: size=",
    .keys = (const char *const[]){ "size", NULL },
    .protocol = true,
    .open = null_open,
    .read = null_read,
    .write = null_write,
    .flush = null_flush,
};
