/*
 * Virtio entropy device (VIRTIO 1.2, 5.4): fills buffers from the host's random number generator (or that of -seed), or
 * from what rng= names, max-bytes in each period.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_rng.h"
#include "hw/virtio/rng_backend.h"
#include "hw/virtio/virtio_pci.h"
#include "util/error.h"
#include <glib-unix.h>

typedef struct VirtioRng {
    VirtioDevice v;
    uint64_t max_bytes; /* property */
    uint32_t period_ms; /* property */
    uint64_t quota;     /* bytes left in this period */
    Timer timer;        /* end of the period */
    char *rng;          /* property: ID of an object */
    RngBackend *source; /* NULL: builtin */
    guint watch;        /* main loop's source while source has no bytes; 0: none */
    VirtElement element;
} VirtioRng;

static uint32_t fill(VirtioRng *s, const VirtElement *e, uint64_t limit)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < e->in_count && done < limit; i++) {
        size_t n = rng_backend_read(s->source, e->in[i].iov_base, MIN(e->in[i].iov_len, limit - done));
        done += n;
        if (n < e->in[i].iov_len)
            break;
    }
    return done;
}

static gboolean source_ready(int fd, GIOCondition condition, gpointer opaque);

/* The source has no bytes: go on when it has. */
static void wait_for_source(VirtioRng *s)
{
    int fd = rng_backend_fd(s->source);
    if (fd >= 0 && !s->watch)
        s->watch = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP | G_IO_ERR, source_ready, s);
}

static void run(VirtioRng *s)
{
    VirtQueue *queue = &s->v.queues[0];
    bool any = false;
    while (s->quota && !s->watch && virtq_pop(queue, &s->element)) {
        uint32_t done = fill(s, &s->element, s->quota);
        if (!done && s->element.in_bytes) {
            virtq_unpop(queue, &s->element);
            wait_for_source(s);
            break;
        }
        if (!timer_armed(&s->timer) && s->max_bytes != INT64_MAX)
            timer_set(&s->timer,
                      clock_now(s->v.dev.machine->clocks, CLOCK_VIRTUAL_NS) + s->period_ms * INT64_C(1000000));
        s->quota -= s->max_bytes != INT64_MAX ? done : 0;
        virtq_push(queue, &s->element, done);
        any = true;
    }
    if (any)
        virtq_notify(queue);
}

static gboolean source_ready(int fd, GIOCondition condition, gpointer opaque)
{
    VirtioRng *s = opaque;
    Machine *machine = s->v.dev.machine;
    machine_lock(machine);
    s->watch = 0;
    if (virtio_running(&s->v))
        run(s);
    machine_unlock(machine);
    return G_SOURCE_REMOVE;
}

static void new_period(void *opaque)
{
    VirtioRng *s = opaque;
    s->quota = s->max_bytes;
    if (virtio_running(&s->v))
        run(s);
}

static void kick(VirtioDevice *v, VirtQueue *queue)
{
    run((VirtioRng *)v);
}

static void rng_reset(VirtioDevice *v)
{
    VirtioRng *s = (VirtioRng *)v;
    s->quota = s->max_bytes;
    timer_cancel(&s->timer);
    g_clear_handle_id(&s->watch, g_source_remove);
}

static const VirtioOps ops = { .id = 4, .pci_class = 0x00ff00, .kick = kick, .reset = rng_reset };

static bool realize(Device *dev, GError **err)
{
    VirtioRng *s = (VirtioRng *)dev;
    if (!s->max_bytes || s->max_bytes > INT64_MAX || !s->period_ms)
        return error_set(err, "max-bytes and period must be greater than 0");
    if (s->rng && !(s->source = rng_backend_find(s->rng, err)))
        return false;
    virtio_init(&s->v, &ops);
    virtio_add_queue(&s->v, 8);
    timer_init(&s->timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, new_period, s);
    return true;
}

static void unrealize(Device *dev)
{
    VirtioRng *s = (VirtioRng *)dev;
    g_clear_handle_id(&s->watch, g_source_remove);
}

static const Prop props[] = {
    PROP(VirtioRng, U64, "max-bytes", max_bytes, .fallback = "0x7fffffffffffffff",
         .help = "bytes given in each period"),
    PROP(VirtioRng, U32, "period", period_ms, .fallback = "65536", .help = "milliseconds"),
    PROP(VirtioRng, STRING, "rng", rng, .help = "id of an -object rng-...; else the host's generator"), PROP_END
};
static const StateField state[] = { STATE(VirtioRng, quota),
                                    STATE_TIMER(VirtioRng, timer),
                                    STATE_SKIP(VirtioRng, element, "used within a call"),
                                    STATE_SKIP(VirtioRng, source, "fixed at realize"),
                                    STATE_SKIP(VirtioRng, watch, "the main loop's"),
                                    STATE_END };

const DeviceType virtio_rng_type = {
    .name = "virtio-rng-device",
    .desc = "virtio entropy source",
    .category = "misc",
    .bus = "virtio",
    .parent = &virtio_device_type,
    .size = sizeof(VirtioRng),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
};
VIRTIO_PCI_TYPE(virtio_rng_pci_type, "virtio-rng-pci", virtio_rng_type, "misc", "virtio entropy source on PCI");
