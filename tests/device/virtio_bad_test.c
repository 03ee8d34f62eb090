/*
 * Virtio against drivers that break the rules: nothing may crash or hang, and a reset brings the device back.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "ui/chardev/chardev.h"
#include "util/error.h"
#include "vdriver.h"
#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 1 << 7 };
#define RAM_END      (DEVM_RAM_BASE + DEVM_RAM_SIZE)
#define DRIVER_GOOD  (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK)
#define QUEUE_SIZE   16
#define RANDOM_STEPS 20000

typedef enum { RNG, BLK, SERIAL } Kind;
static const char *const kinds[] = { "virtio-rng", "virtio-blk", "virtio-serial" };

typedef struct Setup {
    Kind kind;
    Transport transport;
    bool packed;
} Setup;

static void *find_drive(const char *id, GError **err)
{
    BlockNode *node = block_find(id);
    if (!node)
        error_set(err, "no drive '%s'", id);
    return node;
}

static Driver *setup_new(const Setup *s)
{
    GError *err = NULL;
    g_autofree char *props =
        g_strdup_printf("%s%s", s->kind == BLK ? ",drive=d0,num-queues=2" : "", s->packed ? ",packed=on" : "");
    if (s->kind == BLK) {
        g_autoptr(Opts) opts = opts_parse("-drive", "format=null-co,size=1M,id=d0", NULL, NULL);
        block_add_drive(opts, false, &err);
        g_assert_no_error(err);
    } else if (s->kind == SERIAL) {
        g_autoptr(Opts) opts = opts_parse("-chardev", "backend=null,id=c0", NULL, NULL);
        chardev_add(opts, &err);
        g_assert_no_error(err);
    }
    Driver *d = driver_new(s->transport, kinds[s->kind], props);
    if (s->kind == SERIAL) {
        g_assert_nonnull(devm_device_add(d->m, "virtconsole,chardev=c0,name=c", NULL));
        g_assert_nonnull(devm_device_add(d->m, "virtserialport,name=p", NULL));
    }
    return d;
}

static void setup_free(Driver *d)
{
    driver_free(d);
    devm_poll(NULL, NULL); /* what is posted for the chardev */
    block_close_all();
    chardev_remove_all();
}

/* A proper request gets a proper answer. */
static void check_works(Driver *d, const Setup *s)
{
    uint32_t len;
    static uint64_t addr = DEVM_RAM_BASE + 0x1000;
    memset(driver_ram(d, addr), 0, 64);
    Seg rng[] = { { addr, 32, true } };
    Seg blk[] = { { addr, 16, false }, { addr + 512, 512, true }, { addr + 16, 1, true } };
    Seg serial[] = { { addr, 20, false } };
    DriverQueue *q = &d->q[s->kind == SERIAL];
    *driver_ram(d, addr + 16) = 0xee;
    driver_start(d, DRIVER_ALL, QUEUE_SIZE);
    int id = s->kind == RNG   ? dq_add(q, rng, 1, false)
             : s->kind == BLK ? dq_add(q, blk, 3, true)
                              : dq_add(q, serial, 1, false);
    dq_kick(q);
    g_assert_cmpint(dq_wait(q, &len), ==, id);
    g_assert_cmpuint(len, ==, s->kind == RNG ? 32 : s->kind == BLK ? 513 : 0);
    if (s->kind == BLK)
        g_assert_cmpuint(*driver_ram(d, addr + 16), ==, 0);
}

/* ---- rings by hand ---- */

static DriverQueue *target(Driver *d, const Setup *s)
{
    return &d->q[s->kind == SERIAL];
}

static void desc(DriverQueue *q, unsigned n, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
    Seg seg = { addr, len, false };
    bool packed = q->d->features & VIRTIO_F_RING_PACKED;
    driver_put_desc(q->d, q->desc + 16 * n, &seg, packed ? next : flags, packed ? flags | AVAIL : next);
}

static void publish(DriverQueue *q, unsigned head, unsigned count)
{
    uint8_t *avail = driver_ram(q->d, q->avail);
    if (!(q->d->features & VIRTIO_F_RING_PACKED)) {
        for (unsigned i = 0; i < q->size; i++)
            pci_put16(avail + 4 + 2 * i, head);
        pci_put16(avail + 2, count);
    }
    driver_notify(q->d, q->index);
}

/* What is asked of the device, and whether it must say that it needs a reset. */
typedef bool BadCase(Driver *d, DriverQueue *q);

static bool bad_loop(Driver *d, DriverQueue *q)
{
    for (unsigned i = 0; i < q->size; i++)
        desc(q, i, DEVM_RAM_BASE, 4, NEXT, (i + 1) % q->size);
    publish(q, 0, 1);
    return true;
}

static bool bad_self_loop(Driver *d, DriverQueue *q)
{
    desc(q, 0, DEVM_RAM_BASE, 4, NEXT | WRITE, 0);
    publish(q, 0, 1);
    return !(d->features & VIRTIO_F_RING_PACKED);
}

static bool bad_head(Driver *d, DriverQueue *q)
{
    publish(q, 0xffff, 1);
    return !(d->features & VIRTIO_F_RING_PACKED);
}

static bool bad_next(Driver *d, DriverQueue *q)
{
    desc(q, 0, DEVM_RAM_BASE, 4, NEXT, 0x8000);
    publish(q, 0, 1);
    return !(d->features & VIRTIO_F_RING_PACKED);
}

static bool bad_jump(Driver *d, DriverQueue *q)
{
    desc(q, 0, DEVM_RAM_BASE, 64, WRITE, 0);
    publish(q, 0, 0x9000);
    return !(d->features & VIRTIO_F_RING_PACKED);
}

static bool bad_order(Driver *d, DriverQueue *q)
{
    desc(q, 0, DEVM_RAM_BASE, 64, WRITE | NEXT, 1);
    desc(q, 1, DEVM_RAM_BASE, 64, 0, 0);
    publish(q, 0, 1);
    return true;
}

static bool bad_huge(Driver *d, DriverQueue *q)
{
    for (unsigned i = 0; i < q->size; i++)
        desc(q, i, DEVM_RAM_BASE, UINT32_MAX, NEXT | WRITE, i + 1);
    publish(q, 0, 1);
    return true;
}

static bool address(DriverQueue *q, uint64_t addr, uint32_t len, unsigned flags)
{
    desc(q, 0, addr, len, flags, 0);
    publish(q, 0, 1);
    return true;
}

static bool bad_zero_address(Driver *d, DriverQueue *q)
{
    return address(q, 0, 64, WRITE);
}
static bool bad_wrap(Driver *d, DriverQueue *q)
{
    return address(q, UINT64_MAX - 15, 64, WRITE);
}
static bool bad_ram_end(Driver *d, DriverQueue *q)
{
    return address(q, RAM_END - 16, 17, WRITE);
}
static bool bad_registers(Driver *d, DriverQueue *q)
{
    return address(q, d->mmio ? DRIVER_MMIO_BASE : d->common, 16, WRITE);
}
static bool bad_registers_out(Driver *d, DriverQueue *q)
{
    return address(q, d->mmio ? DRIVER_MMIO_BASE : d->isr, 16, 0);
}
static bool bad_no_bytes(Driver *d, DriverQueue *q)
{
    address(q, DEVM_RAM_BASE, 0, WRITE);
    return false;
}

static bool table(Driver *d, DriverQueue *q, uint64_t addr, uint32_t len, unsigned extra)
{
    address(q, addr, len, INDIRECT | extra);
    return true;
}

static bool bad_table_size(Driver *d, DriverQueue *q)
{
    return table(d, q, DEVM_RAM_BASE, 17, 0);
}
static bool bad_table_empty(Driver *d, DriverQueue *q)
{
    return table(d, q, DEVM_RAM_BASE, 0, 0);
}
static bool bad_table_huge(Driver *d, DriverQueue *q)
{
    return table(d, q, DEVM_RAM_BASE, 0xfffffff0, 0);
}
static bool bad_table_end(Driver *d, DriverQueue *q)
{
    memset(driver_ram(d, RAM_END - 16), 0, 16);
    *driver_ram(d, RAM_END - 16 + (d->features & VIRTIO_F_RING_PACKED ? 14 : 12)) = NEXT;
    *driver_ram(d, RAM_END - 16 + (d->features & VIRTIO_F_RING_PACKED ? 12 : 14)) = 1;
    return table(d, q, RAM_END - 16, 32, 0);
}
static bool bad_table_registers(Driver *d, DriverQueue *q)
{
    return table(d, q, d->mmio ? DRIVER_MMIO_BASE : d->common, 16, 0);
}
static bool bad_table_wrap(Driver *d, DriverQueue *q)
{
    return table(d, q, UINT64_MAX - 7, 32, 0);
}
static bool bad_table_next(Driver *d, DriverQueue *q)
{
    return table(d, q, DEVM_RAM_BASE, 32, NEXT);
}

static bool bad_table_nested(Driver *d, DriverQueue *q)
{
    Seg seg = { DEVM_RAM_BASE + 4096, 16, false };
    driver_put_desc(d, DEVM_RAM_BASE, &seg, INDIRECT, INDIRECT);
    return table(d, q, DEVM_RAM_BASE, 16, 0);
}

static bool bad_table_loop(Driver *d, DriverQueue *q)
{
    Seg seg = { DEVM_RAM_BASE + 4096, 16, true };
    for (unsigned i = 0; i < 4; i++)
        driver_put_desc(d, DEVM_RAM_BASE + 16 * i, &seg, NEXT | WRITE, 0);
    table(d, q, DEVM_RAM_BASE, 64, 0);
    return !(d->features & VIRTIO_F_RING_PACKED);
}

/* Far more segments than an element holds. */
static bool bad_table_long(Driver *d, DriverQueue *q)
{
    Seg seg = { DEVM_RAM_BASE + 65536, 1, true };
    for (unsigned i = 0; i < 1024; i++)
        driver_put_desc(d, DEVM_RAM_BASE + 16 * i, &seg, NEXT | WRITE, i < 1023 ? i + 1 : 0);
    for (unsigned i = 0; i < 2; i++)
        desc(q, i, DEVM_RAM_BASE, 8, NEXT | WRITE, i + 1);
    desc(q, 2, DEVM_RAM_BASE, 16384, INDIRECT, 0);
    publish(q, 0, 1);
    return true;
}

static bool bad_message_targets(Driver *d, DriverQueue *q)
{
    const uint64_t targets[] = { d->doorbell, d->table, d->common, 0, DRIVER_ECAM_BASE, RAM_END - 4, UINT64_MAX - 3 };
    for (unsigned i = 0; d->table && i < G_N_ELEMENTS(targets); i++) {
        for (unsigned vector = 0; vector < d->vectors; vector++) {
            w32(d->m, d->table + 16 * vector, targets[i]);
            w32(d->m, d->table + 16 * vector + 4, targets[i] >> 32);
        }
        desc(q, i, DEVM_RAM_BASE, 64, WRITE, i);
        publish(q, i, i + 1);
        g_usleep(1000);
    }
    return false;
}

static bool bad_doorbells(Driver *d, DriverQueue *q)
{
    const uint32_t numbers[] = { 0, 1, 2, 3, 63, 64, 65, 200, 0x3ff };
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++)
        driver_notify(d, numbers[i]);
    if (d->mmio) {
        driver_notify(d, UINT32_MAX);
        driver_notify(d, 0x80000000);
    }
    driver_select(d, 0xffff);
    driver_set_size(d, 4);
    driver_set_areas(d, 1, 2, 3);
    driver_ready(d, 0xffff, true);
    return false;
}

static const struct {
    const char *name;
    BadCase *fn;
} cases[] = {
    { "loop", bad_loop },
    { "self-loop", bad_self_loop },
    { "head", bad_head },
    { "next", bad_next },
    { "jump", bad_jump },
    { "order", bad_order },
    { "huge", bad_huge },
    { "zero-address", bad_zero_address },
    { "wrap", bad_wrap },
    { "ram-end", bad_ram_end },
    { "registers", bad_registers },
    { "registers-out", bad_registers_out },
    { "no-bytes", bad_no_bytes },
    { "table-size", bad_table_size },
    { "table-empty", bad_table_empty },
    { "table-huge", bad_table_huge },
    { "table-end", bad_table_end },
    { "table-registers", bad_table_registers },
    { "table-wrap", bad_table_wrap },
    { "table-next", bad_table_next },
    { "table-nested", bad_table_nested },
    { "table-loop", bad_table_loop },
    { "table-long", bad_table_long },
    { "message-targets", bad_message_targets },
    { "doorbells", bad_doorbells },
};

static bool wait_needs_reset(Driver *d)
{
    for (unsigned i = 0; i < 600000; i++) {
        if (driver_status(d) & VIRTIO_NEEDS_RESET)
            return true;
        g_usleep(100);
    }
    return false;
}

static void test_cases(gconstpointer data)
{
    const Setup *s = data;
    Driver *d = setup_new(s);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        driver_probe(d);
        driver_start(d, DRIVER_ALL, QUEUE_SIZE);
        bool must = cases[i].fn(d, target(d, s));
        if (must && !wait_needs_reset(d))
            g_error("%s: the device does not ask for a reset", cases[i].name);
        driver_set_status(d, 0);
        if (d->table)
            devm_reset(d->m);
        driver_probe(d);
        check_works(d, s);
    }
    setup_free(d);
}

/* A reset under the machine lock waits for the disk's thread: that must not wait for the lock, whatever it is led to.
 */
static void test_reset_waits(gconstpointer data)
{
    const Setup *s = data;
    Driver *d = setup_new(s);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        driver_probe(d);
        driver_start(d, DRIVER_ALL, QUEUE_SIZE);
        machine_lock(d->m->machine);
        cases[i].fn(d, target(d, s));
        g_usleep(2000);
        driver_set_status(d, 0);
        machine_unlock(d->m->machine);
        check_works(d, s);
    }
    setup_free(d);
}

/* ---- areas ---- */

static void try_areas(Driver *d, const Setup *s, uint64_t descriptors, uint64_t avail, uint64_t used)
{
    g_assert_true(driver_negotiate(d, driver_offered(d)));
    DriverQueue *q = target(d, s);
    q->index = s->kind == SERIAL;
    driver_select(d, q->index);
    driver_set_size(d, QUEUE_SIZE);
    driver_set_areas(d, descriptors, avail, used);
    driver_ready(d, q->index, true);
    driver_set_status(d, DRIVER_GOOD | VIRTIO_DRIVER_OK);
    driver_notify(d, q->index);
    if (!wait_needs_reset(d))
        g_error("areas at 0x%" G_GINT64_MODIFIER "x, 0x%" G_GINT64_MODIFIER "x, 0x%" G_GINT64_MODIFIER "x are taken",
                descriptors, avail, used);
    driver_set_status(d, 0);
    check_works(d, s);
}

static void test_areas(gconstpointer data)
{
    const Setup *s = data;
    Driver *d = setup_new(s);
    const uint64_t good = DEVM_RAM_BASE + 0x10000;
    const uint64_t bad[] = { 0,
                             4,
                             UINT64_MAX & ~15ull,
                             UINT64_C(1) << 63,
                             RAM_END,
                             DEVM_RAM_BASE - 16,
                             d->mmio ? DRIVER_MMIO_BASE : d->common,
                             d->mmio ? DRIVER_MMIO_BASE + 0x100 : DRIVER_ECAM_BASE,
                             good + 1 };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        try_areas(d, s, bad[i], good, good + 0x1000);
        try_areas(d, s, good, bad[i], good + 0x1000);
        try_areas(d, s, good, good + 0x1000, bad[i]);
    }
    try_areas(d, s, RAM_END - 16, good, good + 0x1000);
    setup_free(d);
}

/* A queue that is enabled before the features are chosen: its areas are checked for the rings that are really used. */
static void test_areas_then_features(gconstpointer data)
{
    const Setup *s = data;
    Driver *d = setup_new(s);
    uint64_t offered = driver_offered(d);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t first = i ? offered : offered & ~VIRTIO_F_RING_PACKED;
        driver_set_status(d, 0);
        driver_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
        driver_accept(d, first);
        target(d, s)->index = s->kind == SERIAL;
        driver_select(d, target(d, s)->index);
        driver_set_size(d, QUEUE_SIZE);
        /* room for a packed ring's 4 bytes of each, not for a split ring's */
        driver_set_areas(d, DEVM_RAM_BASE, RAM_END - 8, RAM_END - 4);
        driver_ready(d, target(d, s)->index, true);
        driver_accept(d, offered & ~VIRTIO_F_RING_PACKED);
        driver_set_status(d, DRIVER_GOOD);
        driver_set_status(d, DRIVER_GOOD | VIRTIO_DRIVER_OK);
        driver_notify(d, target(d, s)->index);
        g_assert_true(wait_needs_reset(d));
        check_works(d, s);
    }
    setup_free(d);
}

static void test_sizes(gconstpointer data)
{
    const Setup *s = data;
    Driver *d = setup_new(s);
    const uint32_t bad[] = { 0, 3, 12, 4096, 0x8000, 0xffff, 0x10000 };
    g_assert_true(driver_negotiate(d, driver_offered(d) & ~VIRTIO_F_RING_PACKED));
    unsigned max = driver_queue_max(d, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        driver_set_size(d, bad[i]);
        if (!d->mmio)
            g_assert_cmpuint(driver_queue_max(d, 0), ==, max); /* what it still has */
    }
    driver_setup_queue(d, 0, 8);
    driver_set_size(d, 4); /* it is in use */
    driver_set_status(d, DRIVER_GOOD | VIRTIO_DRIVER_OK);
    driver_notify(d, 0);
    driver_set_status(d, 0);
    check_works(d, s);
    setup_free(d);
}

/* ---- anything ---- */

static uint64_t random_address(Driver *d, GRand *rand)
{
    uint64_t big = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        return big;
    case 1:
        return RAM_END - g_rand_int_range(rand, 0, 64);
    case 2:
        return (d->mmio ? DRIVER_MMIO_BASE : DRIVER_WINDOW_BASE) + (big & 0x7fff);
    default:
        return DEVM_RAM_BASE + (big & 0x1fffff);
    }
}

/* Descriptors with some sense in them, over the whole ring. */
static void random_rings(Driver *d, GRand *rand)
{
    DriverQueue *q = &d->q[g_rand_int_range(rand, 0, 5)];
    if (!q->desc || q->desc < DEVM_RAM_BASE)
        return;
    for (unsigned i = 0; i < q->size; i++) {
        uint32_t len = g_rand_int_range(rand, 0, 16) ? (uint32_t)g_rand_int_range(rand, 0, 2048) : g_rand_int(rand);
        Seg seg = { random_address(d, rand), len & ~(g_rand_boolean(rand) ? 15u : 0), false };
        uint16_t flags = g_rand_int(rand) & (g_rand_boolean(rand) ? 0x8083 : 0x8087), other = g_rand_int(rand) & 15;
        driver_put_desc(d, q->desc + 16 * i, &seg, d->features & VIRTIO_F_RING_PACKED ? other : flags,
                        d->features & VIRTIO_F_RING_PACKED ? flags : other);
        __atomic_store_n((uint16_t *)driver_ram(d, q->avail + 4 + 2 * i), g_rand_int(rand) & 15, __ATOMIC_RELAXED);
    }
    uint16_t *index = (uint16_t *)driver_ram(d, q->avail + 2);
    __atomic_store_n(index, *index + g_rand_int_range(rand, 0, q->size), __ATOMIC_RELEASE);
    as_store(&d->m->machine->memory, d->mmio ? DRIVER_MMIO_BASE + 0x50 : d->doorbell + d->doorbell_step * q->index, 4,
             q->index); /* its BAR may be gone */
}

static void random_store(Driver *d, GRand *rand)
{
    static const uint32_t spans[] = { 0x40, 0x1000, 0x4000, 0x6000 };
    unsigned size = 1u << g_rand_int_range(rand, 0, 4);
    uint64_t value = g_rand_boolean(rand)   ? (uint64_t)g_rand_int_range(rand, 0, 16)
                     : g_rand_boolean(rand) ? random_address(d, rand)
                                            : (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    uint64_t base = d->mmio ? DRIVER_MMIO_BASE : d->common;
    uint64_t offset = g_rand_int(rand) % (d->mmio ? 0x200 : spans[g_rand_int_range(rand, 0, 4)]);
    if (!d->mmio && !g_rand_int_range(rand, 0, 16))
        base = DRIVER_ECAM_BASE + ((uint64_t)d->slot << 12) + (g_rand_boolean(rand) ? 0x40 : 0);
    as_store(&d->m->machine->memory, base + (offset & ~(size - 1ull)), size, value);
}

static void test_random(gconstpointer data)
{
    const Setup *s = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(11 + s->kind);
    uint64_t value;
    Driver *d = setup_new(s);
    driver_start(d, DRIVER_ALL, QUEUE_SIZE);
    for (unsigned n = 0; n < RANDOM_STEPS; n++) {
        random_store(d, rand);
        if (!(n & 7))
            random_rings(d, rand);
        if (!(n & 3))
            as_load(&d->m->machine->memory, (d->mmio ? DRIVER_MMIO_BASE : d->common) + (g_rand_int(rand) & 0x1fc), 4,
                    &value);
        if (n % 25 == 24) { /* back into a state where rings are read */
            DEVM_LOCKED(d->m, device_reset(d->mmio ? &d->mmio->dev : &d->host->dev));
            driver_probe(d);
            driver_start(d, n & 64 ? DRIVER_ALL : DRIVER_ALL & ~VIRTIO_F_EVENT_IDX, QUEUE_SIZE);
            devm_step(d->m, 1000000);
            random_rings(d, rand);
            random_rings(d, rand);
        }
    }
    devm_reset(d->m);
    devm_poll(NULL, NULL);
    driver_probe(d);
    check_works(d, s);
    setup_free(d);
}

int main(int argc, char **argv)
{
    static const char *const transports[] = { "mmio", "pci", "msix" };
    static Setup setups[18];
    static const struct {
        const char *name;
        void (*fn)(gconstpointer data);
    } tests[] = { { "cases", test_cases }, { "reset-waits", test_reset_waits },
                  { "areas", test_areas }, { "areas-then-features", test_areas_then_features },
                  { "sizes", test_sizes }, { "random", test_random } };
#if __has_feature(thread_sanitizer)
    return 77; /* skipped: such drivers change rings while the device reads them */
#endif
    g_test_init(&argc, &argv, NULL);
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(setups); i++) {
        setups[i] = (Setup){ i % 3, i / 3 % 3, i / 9 };
        for (unsigned t = 0; t < G_N_ELEMENTS(tests); t++) {
            g_autofree char *path = g_strdup_printf("/virtio-bad/%s/%s-%s%s", tests[t].name, kinds[i % 3],
                                                    transports[i / 3 % 3], i / 9 ? "-packed" : "");
            g_test_add_data_func(path, &setups[i], tests[t].fn);
        }
    }
    return g_test_run();
}
