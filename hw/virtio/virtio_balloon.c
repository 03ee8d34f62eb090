/*
 * Virtio traditional memory balloon (VIRTIO 1.2, 5.5): pages that the driver puts into it, or reports as free, go back
 * to the host. With statistics, deflation when the guest runs out of memory, page poisoning and free page reporting;
 * without free page hints, which are for migration.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_balloon.h"
#include "hw/virtio/virtio_pci.h"
#include "util/error.h"
#include "util/trace.h"
#include <inttypes.h>
#include <string.h>

enum { PAGE_SHIFT = 12, PAGE_SIZE = 1 << PAGE_SHIFT };
enum { F_STATS = 1 << 1, F_DEFLATE_ON_OOM = 1 << 2, F_PAGE_POISON = 1 << 4, F_REPORTING = 1 << 5 };
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_POISON = 12, CONFIG_SIZE = 16 };
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, QUEUE_REPORTING };
enum { PAGES_MAX = 65536, STAT_BYTES = 10, STATS_MAX = 64 /* that are looked at */ };

static const char *const stat_names[] = {
    "swap-in",          "swap-out",     "major-faults",        "minor-faults",     "free-memory", "total-memory",
    "available-memory", "disk-caches",  "hugetlb-allocations", "hugetlb-failures", "oom-kills",   "alloc-stalls",
    "async-scans",      "direct-scans", "async-reclaims",      "direct-reclaims"
};
#define STATS G_N_ELEMENTS(stat_names)

typedef struct VirtioBalloon {
    VirtioDevice v;
    bool deflate_on_oom, reporting, poison; /* properties */
    uint32_t poll_seconds;                  /* property; 0: never */
    uint32_t pages, actual, poison_value;   /* wanted, had; what free pages are filled with */
    uint64_t stats[STATS];                  /* by tag; UINT64_MAX: not told */
    Timer poll;
    VirtElement element;
} VirtioBalloon;

/* ---- giving memory back ---- */

static void discard_page(VirtioBalloon *s, uint32_t pfn)
{
    uint64_t len = PAGE_SIZE;
    void *host = dma_map(&s->v.dev, (uint64_t)pfn << PAGE_SHIFT, &len, true);
    if (!host || len < PAGE_SIZE)
        guest_error(&s->v.dev, "page 0x%x for the balloon is not RAM", pfn);
    else
        ram_discard(s->v.dev.machine, host, PAGE_SIZE);
}

static void inflate(VirtioBalloon *s, const VirtElement *e)
{
    uint32_t pfns[256], count = e->out_bytes / 4;
    if (count > PAGES_MAX)
        guest_error(&s->v.dev, "%u pages at once: only %u are taken", count, PAGES_MAX);
    count = MIN(count, PAGES_MAX);
    for (uint32_t at = 0; at < count; at += G_N_ELEMENTS(pfns)) {
        uint32_t n = MIN(count - at, G_N_ELEMENTS(pfns));
        iov_read(e->out, e->out_count, (size_t)4 * at, pfns, (size_t)4 * n);
        for (uint32_t i = 0; i < n; i++)
            discard_page(s, GUINT32_FROM_LE(pfns[i]));
    }
}

/* The segments are the free memory itself. It has to read as the poison afterwards, if there is one. */
static void report(VirtioBalloon *s, const VirtElement *e)
{
    for (unsigned i = 0; i < e->in_count && !s->poison_value; i++)
        ram_discard(s->v.dev.machine, e->in[i].iov_base, e->in[i].iov_len);
}

static void parse_stats(VirtioBalloon *s, const VirtElement *e)
{
    uint8_t entry[STAT_BYTES];
    for (size_t at = 0; at < STAT_BYTES * STATS_MAX; at += STAT_BYTES) {
        if (iov_read(e->out, e->out_count, at, entry, sizeof(entry)) < sizeof(entry))
            break;
        uint64_t value;
        unsigned tag = pci_get16(entry);
        memcpy(&value, entry + 2, sizeof(value));
        if (tag < STATS)
            s->stats[tag] = GUINT64_FROM_LE(value);
    }
}

/* ---- queues ---- */

static void run_pages(VirtioBalloon *s, VirtQueue *queue)
{
    bool any = false;
    while (virtq_pop(queue, &s->element)) {
        if (queue->index == QUEUE_INFLATE)
            inflate(s, &s->element);
        else if (queue->index == QUEUE_REPORTING)
            report(s, &s->element);
        TRACE(virtio_balloon, "queue %u: %u bytes", queue->index, s->element.out_bytes + s->element.in_bytes);
        virtq_push(queue, &s->element, 0);
        any = true;
    }
    if (any)
        virtq_notify(queue);
}

/* The driver's buffer of statistics stays in the queue until new ones are wanted (5.5.6.3). */
static void read_stats(VirtioBalloon *s)
{
    VirtQueue *queue = &s->v.queues[QUEUE_STATS];
    if (!virtq_pop(queue, &s->element))
        return;
    parse_stats(s, &s->element);
    virtq_unpop(queue, &s->element);
}

static void arm(VirtioBalloon *s)
{
    if (s->poll_seconds)
        timer_set(&s->poll,
                  clock_now(s->v.dev.machine->clocks, CLOCK_VIRTUAL_NS) + s->poll_seconds * INT64_C(1000000000));
}

static void poll_stats(void *opaque)
{
    VirtioBalloon *s = opaque;
    VirtQueue *queue = &s->v.queues[QUEUE_STATS];
    arm(s);
    if (virtio_running(&s->v) && virtio_accepted(&s->v, F_STATS) && virtq_pop(queue, &s->element)) {
        virtq_push(queue, &s->element, 0);
        virtq_notify(queue);
    }
}

static void kick(VirtioDevice *v, VirtQueue *queue)
{
    VirtioBalloon *s = (VirtioBalloon *)v;
    if (queue->index == QUEUE_STATS)
        read_stats(s);
    else
        run_pages(s, queue);
}

/* ---- configuration ---- */

static uint64_t features(VirtioDevice *v)
{
    const VirtioBalloon *s = (VirtioBalloon *)v;
    return F_STATS | (s->deflate_on_oom ? F_DEFLATE_ON_OOM : 0) | (s->poison ? F_PAGE_POISON : 0) |
           (s->reporting ? F_REPORTING : 0);
}

static void get_config(VirtioDevice *v, uint8_t *config)
{
    const VirtioBalloon *s = (VirtioBalloon *)v;
    pci_put32(config + CONFIG_NUM_PAGES, s->pages);
    pci_put32(config + CONFIG_ACTUAL, s->actual);
    pci_put32(config + CONFIG_POISON, s->poison_value);
}

static void set_config(VirtioDevice *v, uint8_t *config)
{
    VirtioBalloon *s = (VirtioBalloon *)v;
    s->actual = pci_get32(config + CONFIG_ACTUAL);
    if (virtio_accepted(v, F_PAGE_POISON))
        s->poison_value = pci_get32(config + CONFIG_POISON);
}

/* What is wanted outlives a reset of the device; what the driver said does not. */
static void driver_gone(VirtioDevice *v)
{
    VirtioBalloon *s = (VirtioBalloon *)v;
    s->actual = s->poison_value = 0;
    memset(s->stats, 0xff, sizeof(s->stats));
    arm(s);
}

static const VirtioOps ops = { .id = 5,
                               .pci_class = 0x00ff00,
                               .config_size = CONFIG_SIZE,
                               .features = features,
                               .get_config = get_config,
                               .set_config = set_config,
                               .kick = kick,
                               .reset = driver_gone };

/* ---- the monitor ---- */

static VirtioBalloon *find(Machine *machine, GError **err)
{
    if (!machine->balloon)
        error_set(err, "the machine has no balloon; -device virtio-balloon-pci makes one");
    return (VirtioBalloon *)machine->balloon;
}

bool virtio_balloon_set(Machine *machine, uint64_t bytes, GError **err)
{
    VirtioBalloon *s = find(machine, err);
    if (!s)
        return false;
    s->pages = (machine->config.ram_size - MIN(bytes, machine->config.ram_size)) >> PAGE_SHIFT;
    virtio_notify_config(&s->v);
    return true;
}

bool virtio_balloon_describe(Machine *machine, GString *out, GError **err)
{
    const VirtioBalloon *s = find(machine, err);
    if (!s)
        return false;
    int64_t has = (int64_t)machine->config.ram_size - ((int64_t)s->actual << PAGE_SHIFT);
    g_string_append_printf(out, "balloon: actual=%" PRId64 "\n", MAX(has, 0) >> 20);
    for (unsigned i = 0; i < STATS; i++) {
        if (s->stats[i] != UINT64_MAX)
            g_string_append_printf(out, "  %s=%" PRIu64 "\n", stat_names[i], s->stats[i]);
    }
    return true;
}

/* ---- type ---- */

static bool realize(Device *dev, GError **err)
{
    VirtioBalloon *s = (VirtioBalloon *)dev;
    if (dev->machine->balloon)
        return error_set(err, "a machine can have only one balloon");
    virtio_init(&s->v, &ops);
    for (unsigned i = 0; i < (s->reporting ? QUEUE_REPORTING + 1 : QUEUE_STATS + 1); i++)
        virtio_add_queue(&s->v, i == QUEUE_REPORTING ? 32 : 128);
    timer_init(&s->poll, dev->machine->clocks, CLOCK_VIRTUAL_NS, poll_stats, s);
    dev->machine->balloon = dev;
    return true;
}

static void unrealize(Device *dev)
{
    timer_cancel(&((VirtioBalloon *)dev)->poll);
    if (dev->machine->balloon == dev)
        dev->machine->balloon = NULL;
}

static void reset(Device *dev)
{
    ((VirtioBalloon *)dev)->pages = 0;
}

static const Prop props[] = {
    PROP(VirtioBalloon, BOOL, "deflate-on-oom", deflate_on_oom,
         .help = "the guest may take pages out when it needs them"),
    PROP(VirtioBalloon, BOOL, "free-page-reporting", reporting, .help = "the guest tells which pages are free"),
    PROP(VirtioBalloon, BOOL, "page-poison", poison, .fallback = "on", .help = "the guest tells what free pages hold"),
    PROP(VirtioBalloon, U32, "guest-stats-polling-interval", poll_seconds, .max = 1000000,
         .help = "seconds between questions for statistics (info balloon); 0: none"),
    PROP_END
};
static const StateField state[] = { STATE(VirtioBalloon, pages),
                                    STATE(VirtioBalloon, actual),
                                    STATE(VirtioBalloon, poison_value),
                                    STATE_ARRAY(VirtioBalloon, stats),
                                    STATE_TIMER(VirtioBalloon, poll),
                                    STATE_SKIP(VirtioBalloon, element, "used within a call"),
                                    STATE_END };

const DeviceType virtio_balloon_type = {
    .name = "virtio-balloon-device",
    .desc = "virtio memory balloon",
    .category = "misc",
    .bus = "virtio",
    .parent = &virtio_device_type,
    .size = sizeof(VirtioBalloon),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};
VIRTIO_PCI_TYPE(virtio_balloon_pci_type, "virtio-balloon-pci", virtio_balloon_type, "misc",
                "virtio memory balloon on PCI");
