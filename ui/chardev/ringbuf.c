/*
 * Back end ringbuf: keeps the last size= bytes of output in memory, for the monitor to read. No input.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <string.h>

typedef struct Ring {
    uint8_t *data;
    size_t size;             /* a power of two */
    uint64_t written, taken; /* bytes since the beginning; Chardev.lock guards them */
} Ring;

static bool ringbuf_open(Chardev *c, Opts *opts, GError **err)
{
    uint64_t size = 64 << 10;
    if (!opts_size(opts, "size", &size, 1, 1u << 30, err))
        return false;
    if (size & (size - 1))
        return error_set(err, "-chardev ringbuf: size must be a power of two, not %" G_GUINT64_FORMAT, size);
    Ring *r = c->state = g_new0(Ring, 1);
    r->size = size;
    r->data = g_malloc(size);
    return true;
}

static void ringbuf_close(Chardev *c)
{
    Ring *r = c->state;
    if (r)
        g_free(r->data);
    g_free(r);
}

static size_t ringbuf_write(Chardev *c, const uint8_t *data, size_t len)
{
    Ring *r = c->state;
    size_t skip = len > r->size ? len - r->size : 0; /* overwritten by the end of the same text */
    g_mutex_lock(&c->lock);
    r->written += skip;
    for (size_t done = skip; done < len;) {
        size_t at = r->written & (r->size - 1), n = MIN(len - done, r->size - at);
        memcpy(r->data + at, data + done, n);
        r->written += n;
        done += n;
    }
    if (r->written - r->taken > r->size)
        r->taken = r->written - r->size;
    g_mutex_unlock(&c->lock);
    return len;
}

bool chardev_is_ringbuf(const Chardev *c)
{
    return c->type == &chardev_ringbuf;
}

size_t chardev_ringbuf_read(Chardev *c, void *buf, size_t len)
{
    if (!chardev_is_ringbuf(c))
        return 0;
    Ring *r = c->state;
    g_mutex_lock(&c->lock);
    len = MIN(len, r->written - r->taken);
    for (size_t done = 0; done < len;) {
        size_t at = r->taken & (r->size - 1), n = MIN(len - done, r->size - at);
        memcpy((uint8_t *)buf + done, r->data + at, n);
        r->taken += n;
        done += n;
    }
    g_mutex_unlock(&c->lock);
    return len;
}

const ChardevType chardev_ringbuf = { .name = "ringbuf",
                                      .alias = "memory",
                                      .desc = "the last size= bytes of output, for the monitor (64K)",
                                      .keys = (const char *const[]){ "size", NULL },
                                      .open = ringbuf_open,
                                      .close = ringbuf_close,
                                      .write = ringbuf_write };
