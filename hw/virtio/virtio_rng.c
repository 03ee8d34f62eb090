/*
 * Virtio entropy device (VIRTIO 1.2, 5.4): fills buffers from the host's random number generator (or that of -seed),
 * max-bytes in each period.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_rng.h"
#include "hw/virtio/virtio_pci.h"
#include "util/error.h"
#include "util/guest_random.h"

typedef struct VirtioRng {
    VirtioDevice v;
    uint64_t max_bytes; /* property */
    uint32_t period_ms; /* property */
    uint64_t quota;     /* bytes left in this period */
    Timer timer;        /* end of the period */
    VirtElement element;
} VirtioRng;

static uint32_t fill(VirtElement *e, uint64_t limit)
{
    uint32_t done = 0;
    for (unsigned i = 0; i < e->in_count && done < limit; i++) {
        size_t want = MIN(MIN(e->in[i].iov_len, limit - done), 256 << 10), n = guest_random(e->in[i].iov_base, want);
        done += n;
        if (n < e->in[i].iov_len)
            break;
    }
    return done;
}

static void run(VirtioRng *s)
{
    VirtQueue *queue = &s->v.queues[0];
    bool any = false;
    while (s->quota && virtq_pop(queue, &s->element)) {
        if (!timer_armed(&s->timer) && s->max_bytes != INT64_MAX)
            timer_set(&s->timer,
                      clock_now(s->v.dev.machine->clocks, CLOCK_VIRTUAL_NS) + s->period_ms * INT64_C(1000000));
        uint32_t done = fill(&s->element, s->quota);
        s->quota -= s->max_bytes != INT64_MAX ? done : 0;
        virtq_push(queue, &s->element, done);
        any = true;
    }
    if (any)
        virtq_notify(queue);
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
}

static const VirtioOps ops = { .id = 4, .pci_class = 0x00ff00, .kick = kick, .reset = rng_reset };

static bool realize(Device *dev, GError **err)
{
    VirtioRng *s = (VirtioRng *)dev;
    if (!s->max_bytes || s->max_bytes > INT64_MAX || !s->period_ms)
        return error_set(err, "max-bytes and period must be greater than 0");
    virtio_init(&s->v, &ops);
    virtio_add_queue(&s->v, 8);
    timer_init(&s->timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, new_period, s);
    return true;
}

static const Prop props[] = { PROP(VirtioRng, U64, "max-bytes", max_bytes, .fallback = "0x7fffffffffffffff",
                                   .help = "bytes given in each period"),
                              PROP(VirtioRng, U32, "period", period_ms, .fallback = "65536", .help = "milliseconds"),
                              PROP_END };
static const StateField state[] = { STATE(VirtioRng, quota), STATE_TIMER(VirtioRng, timer),
                                    STATE_SKIP(VirtioRng, element, "used within a call"), STATE_END };

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
};
VIRTIO_PCI_TYPE(virtio_rng_pci_type, "virtio-rng-pci", virtio_rng_type, "misc", "virtio entropy source on PCI");
