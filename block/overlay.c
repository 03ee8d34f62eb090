/*
 * Format "overlay", for -snapshot: what is written goes to a temporary file that nobody else sees, and is gone at the
 * end.
 *
 * A cluster is wholly in the temporary file (at the same offset; the file is sparse) or wholly in the child. A cluster
 * moves there when it is first written; bits only ever go from 0 to 1, so readers need no lock.
 * SPDX-License-Identifier: MIT
 */
#include "block/drivers.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER (UINT64_C(64) << 10)

typedef struct OverlayState {
    int fd;
    uint64_t *present; /* atomic words; bit n: cluster n is in the temporary file */
    GMutex lock;       /* held while a cluster moves */
} OverlayState;

static bool present(const OverlayState *s, uint64_t cluster)
{
    return __atomic_load_n(&s->present[cluster / 64], __ATOMIC_ACQUIRE) >> cluster % 64 & 1;
}

static void set_present(OverlayState *s, uint64_t cluster)
{
    __atomic_fetch_or(&s->present[cluster / 64], UINT64_C(1) << cluster % 64, __ATOMIC_RELEASE);
}

static bool overlay_open(BlockNode *node, Opts *opts, GError **err)
{
    OverlayState *s = node->state;
    const char *folder = g_getenv("TMPDIR");
    g_autofree char *path = g_strdup_printf("%s/rhea-XXXXXX", folder ? folder : "/var/tmp");
    node->size = node->child->size;
    s->fd = mkostemp(path, O_CLOEXEC);
    if (s->fd < 0)
        return error_set_errno(err, errno, "-snapshot: cannot make a temporary file '%s'", path);
    unlink(path);
    s->present = g_new0(uint64_t, node->size / CLUSTER / 64 + 1);
    g_mutex_init(&s->lock);
    return true;
}

static void overlay_close(BlockNode *node)
{
    OverlayState *s = node->state;
    if (s->fd < 0)
        return;
    close(s->fd);
    g_free(s->present);
    g_mutex_clear(&s->lock);
}

/* Bytes from offset on, at most length, that all lie on the same side; *in: in the temporary file. */
static uint64_t run_at(const BlockNode *node, uint64_t offset, uint64_t length, bool *in)
{
    const OverlayState *s = node->state;
    uint64_t cluster = offset / CLUSTER, end = offset + length;
    *in = present(s, cluster);
    while (++cluster * CLUSTER < end && present(s, cluster) == *in)
        continue;
    return MIN(end, cluster * CLUSTER) - offset;
}

static int temporary_rw(int fd, bool write, uint64_t offset, uint8_t *data, uint64_t length)
{
    for (uint64_t done = 0; done < length;) {
        ssize_t n = write ? pwrite(fd, data + done, length - done, offset + done)
                          : pread(fd, data + done, length - done, offset + done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (!n && write)
            return ENOSPC;
        if (!n) {
            memset(data + done, 0, length - done);
            return 0;
        }
        done += n;
    }
    return 0;
}

static int copy_cluster(BlockNode *node, uint64_t cluster)
{
    OverlayState *s = node->state;
    uint64_t at = cluster * CLUSTER, length = MIN(CLUSTER, node->size - at);
    g_autofree uint8_t *data = g_malloc(length);
    struct iovec iov = { data, length };
    g_mutex_lock(&s->lock);
    int error = present(s, cluster) ? 0 : block_read(node->child, at, &iov, 1, length);
    if (!error && !present(s, cluster))
        error = temporary_rw(s->fd, true, at, data, length);
    if (!error)
        set_present(s, cluster);
    g_mutex_unlock(&s->lock);
    return error;
}

/* Cut [offset, offset + length) out of iov, as a new array. */
static struct iovec *slice(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t length, unsigned *out_count)
{
    struct iovec *out = g_new(struct iovec, count);
    *out_count = 0;
    for (unsigned i = 0; i < count && length; i++) {
        uint64_t from = MIN(skip, iov[i].iov_len), take = MIN(iov[i].iov_len - from, length);
        skip -= from;
        length -= take;
        if (take)
            out[(*out_count)++] = (struct iovec){ (char *)iov[i].iov_base + from, take };
    }
    return out;
}

static int overlay_read(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    const OverlayState *s = node->state;
    for (uint64_t done = 0; done < length;) {
        bool in;
        unsigned n;
        int error = 0;
        uint64_t run = run_at(node, offset + done, length - done, &in), at = offset + done;
        g_autofree struct iovec *part = slice(iov, count, done, run, &n);
        if (!in)
            error = block_read(node->child, at, part, n, run);
        for (unsigned i = 0; in && i < n && !error; i++) {
            error = temporary_rw(s->fd, false, at, part[i].iov_base, part[i].iov_len);
            at += part[i].iov_len;
        }
        if (error)
            return error;
        done += run;
    }
    return 0;
}

static int overlay_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    OverlayState *s = node->state;
    uint64_t end = offset + length, at = offset;
    int error = 0;
    for (uint64_t cluster = offset / CLUSTER; cluster * CLUSTER < end && !error; cluster++) {
        if (!present(s, cluster))
            error = copy_cluster(node, cluster);
    }
    for (unsigned i = 0; i < count && !error; i++) {
        error = temporary_rw(s->fd, true, at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return error;
}

static int overlay_flush(BlockNode *node)
{
    return 0; /* nothing outlives us */
}

static bool overlay_map(BlockNode *node, uint64_t offset, uint64_t length, bool write, BlockMapping *m)
{
    const OverlayState *s = node->state;
    bool in;
    uint64_t run = run_at(node, offset, length, &in);
    if (!in)
        return !write && block_map(node->child, offset, run, false, m);
    *m = (BlockMapping){ s->fd, offset, run };
    return true;
}

const BlockDriver block_overlay_driver = {
    .name = "overlay",
    .desc = "changes go to a temporary file: file=",
    .keys = (const char *const[]){ NULL },
    .state_size = sizeof(OverlayState),
    .open = overlay_open,
    .close = overlay_close,
    .read = overlay_read,
    .write = overlay_write,
    .flush = overlay_flush,
    .map = overlay_map,
};
