/*
 * The virtio balloon by its specification (VIRTIO 1.2, 5.5): pages of anonymous memory that went back to the host read
 * as zero, those beside them keep what they hold; statistics; what a hostile driver sends.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_balloon.h"
#include "vdriver.h"
#include <string.h>

#define PAGE    4096u
#define STATS   (1u << 1)
#define POISON  (1u << 4)
#define REPORTS (1u << 5)

typedef struct Fixture {
    Driver *d;
    uint64_t pages; /* guest address of four, filled with 0xa5 */
    uint64_t list;  /* and of a page for page numbers */
} Fixture;

static Fixture start(const char *props)
{
    Fixture f = { .d = driver_new(TRANSPORT_PCI, "virtio-balloon", props) };
    driver_start(f.d, DRIVER_ALL, 8);
    f.pages = devm_dma(f.d->m, 4 * PAGE, PAGE);
    f.list = devm_dma(f.d->m, PAGE, PAGE);
    memset(driver_ram(f.d, f.pages), 0xa5, 4 * PAGE);
    return f;
}

static bool page_is(const Fixture *f, unsigned page, uint8_t value)
{
    const uint8_t *p = driver_ram(f->d, f->pages + page * PAGE);
    return p[0] == value && !memcmp(p, p + 1, PAGE - 1);
}

static void send(Fixture *f, unsigned queue, Seg seg)
{
    uint32_t len;
    int id = dq_add(&f->d->q[queue], &seg, 1, false);
    g_assert_cmpint(id, >=, 0);
    g_assert_true(dq_kick(&f->d->q[queue]));
    g_assert_cmpint(dq_take(&f->d->q[queue], &len), ==, id);
    g_assert_cmpuint(len, ==, 0);
}

static void put_pfns(Fixture *f, const uint32_t *pfns, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t pfn = GUINT32_TO_LE(pfns[i]);
        memcpy(driver_ram(f->d, f->list + 4 * i), &pfn, 4);
    }
}

static void test_inflate(void)
{
    Fixture f = start("");
    const uint32_t first = f.pages / PAGE, pfns[] = { first + 2, 1 /* no RAM */, first, 0xffffffff };
    put_pfns(&f, pfns, 4);
    send(&f, 0, (Seg){ f.list, 16, false });
    g_assert_true(page_is(&f, 0, 0) && page_is(&f, 1, 0xa5) && page_is(&f, 2, 0) && page_is(&f, 3, 0xa5));
    memset(driver_ram(f.d, f.pages), 0x11, PAGE);
    send(&f, 1, (Seg){ f.list, 16, false }); /* deflate: nothing is taken */
    g_assert_true(page_is(&f, 0, 0x11));
    send(&f, 0, (Seg){ f.list, 3, false }); /* less than a number */
    put_pfns(&f, (const uint32_t[]){ first + 1 }, 1);
    send(&f, 0, (Seg){ f.list, 6, false }); /* one and a half */
    g_assert_true(page_is(&f, 1, 0) && page_is(&f, 3, 0xa5));
    send(&f, 0, (Seg){ f.pages, 4 * PAGE, false }); /* page numbers that are none, from what is given away */
    driver_free(f.d);
}

/* Whole pages in what is reported go; with a poison they have to stay. */
static void test_report(void)
{
    Fixture f = start(",free-page-reporting=on");
    g_assert_true(f.d->features & REPORTS && f.d->features & POISON);
    send(&f, 3, (Seg){ f.pages + 100, 3 * PAGE, true });
    g_assert_true(page_is(&f, 1, 0) && page_is(&f, 2, 0) && page_is(&f, 3, 0xa5));
    g_assert_cmphex(driver_ram(f.d, f.pages)[PAGE - 1], ==, 0xa5);
    memset(driver_ram(f.d, f.pages), 0xa5, 4 * PAGE);
    w32(f.d->m, driver_config_addr(f.d, 12), 0xa5a5a5a5);
    send(&f, 3, (Seg){ f.pages, 4 * PAGE, true });
    g_assert_true(page_is(&f, 0, 0xa5) && page_is(&f, 3, 0xa5));
    driver_free(f.d);
    f = start("");
    g_assert_false(f.d->features & REPORTS);
    g_assert_cmpuint(driver_queue_max(f.d, 3), ==, 0);
    driver_free(f.d);
}

static char *describe(Fixture *f)
{
    GString *out = g_string_new(NULL);
    DEVM_LOCKED(f->d->m, g_assert_true(virtio_balloon_describe(f->d->m->machine, out, NULL)));
    return g_string_free(out, FALSE);
}

static void test_target(void)
{
    Fixture f = start("");
    Machine *machine = f.d->m->machine;
    machine->config.ram_size = 64 << 20;
    g_assert_cmphex(r32(f.d->m, driver_config_addr(f.d, 0)), ==, 0);
    while (driver_irq(f.d, 0))
        ;
    DEVM_LOCKED(f.d->m, g_assert_true(virtio_balloon_set(machine, 40 << 20, NULL)));
    g_assert_true(driver_irq(f.d, 0));
    g_assert_cmpuint(r32(f.d->m, driver_config_addr(f.d, 0)), ==, (24 << 20) / PAGE);
    w32(f.d->m, driver_config_addr(f.d, 4), (8 << 20) / PAGE); /* actual */
    g_autofree char *text = describe(&f);
    g_assert_cmpstr(text, ==, "balloon: actual=56\n");
    DEVM_LOCKED(f.d->m, g_assert_true(virtio_balloon_set(machine, UINT64_MAX, NULL)));
    g_assert_cmpuint(r32(f.d->m, driver_config_addr(f.d, 0)), ==, 0);
    w32(f.d->m, driver_config_addr(f.d, 4), 0xffffffff); /* more than there is */
    g_autofree char *none = describe(&f);
    g_assert_cmpstr(none, ==, "balloon: actual=0\n");
    driver_free(f.d);
}

/* The driver's buffer stays with the device until new statistics are wanted. */
static void test_stats(void)
{
    Fixture f = start(",guest-stats-polling-interval=2");
    static const uint8_t stats[] = { 4, 0, 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 99, 0, 1, 1, 1, 1, 1, 1, 1, 1, 5, 0, 7 };
    uint32_t len;
    g_assert_true(f.d->features & STATS);
    memcpy(driver_ram(f.d, f.list), stats, sizeof(stats));
    Seg seg = { f.list, sizeof(stats), false };
    int id = dq_add(&f.d->q[2], &seg, 1, false);
    dq_kick(&f.d->q[2]);
    g_assert_cmpint(dq_take(&f.d->q[2], &len), ==, -1);
    g_autofree char *text = describe(&f);
    g_assert_nonnull(strstr(text, "free-memory=305419896\n"));
    g_assert_null(strstr(text, "total-memory")); /* cut off */
    devm_step(f.d->m, INT64_C(2100000000));
    g_assert_cmpint(dq_take(&f.d->q[2], &len), ==, id);
    devm_step(f.d->m, INT64_C(2100000000)); /* without a buffer */
    g_assert_cmpint(dq_take(&f.d->q[2], &len), ==, -1);
    driver_free(f.d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/balloon/inflate", test_inflate);
    g_test_add_func("/balloon/report", test_report);
    g_test_add_func("/balloon/target", test_target);
    g_test_add_func("/balloon/stats", test_stats);
    return g_test_run();
}
