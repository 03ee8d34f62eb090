/*
 * Dirty logs (hw/core/memory_log.c): what was written is given out once, by every way that writes; what was not costs
 * nothing; pages that a soft TLB may still write to are given out again.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/core/machine.h"
#include <string.h>

enum { PAGES = 8, PAGE = 1 << RAM_PAGE_BITS };

static struct {
    MemListener listener;
    unsigned started, stopped, synced, revoked;
    uint64_t unseen; /* page + 1 that log_sync tells of */
    bool unsettled;
} heard;

static void log_changed(MemListener *listener, MemRegion *region, bool on)
{
    *(on ? &heard.started : &heard.stopped) += 1;
}

static void log_sync(MemListener *listener, MemRegion *region)
{
    heard.synced++;
    if (heard.unseen)
        mem_log_written(region, (heard.unseen - 1) * PAGE, 1);
    heard.unseen = 0;
}

static void log_page(MemListener *listener, MemRegion *region, uint64_t offset)
{
    heard.revoked++;
}

static bool log_settled(MemListener *listener)
{
    return !heard.unsettled;
}

/* The dirty pages as bits. */
static unsigned take(MemRegion *region)
{
    uint8_t dirty[PAGES];
    unsigned bits = 0;
    bool any = mem_log_take(region, 0, region->size, dirty);
    for (unsigned i = 0; i < PAGES; i++)
        bits |= (unsigned)dirty[i] << i;
    g_assert_cmpint(any, ==, bits != 0);
    return bits;
}

static void test_log(void)
{
    Machine *machine = machine_new(NULL, accel_find("test"), NULL, NULL, NULL);
    AddressSpace *as = &machine->memory;
    MemRegion ram;
    uint64_t len = PAGE;
    uint8_t part[2];
    g_assert_true(mem_ram_init(&ram, machine, "ram", PAGES * PAGE, NULL));
    mem_add(&machine->root, 0x10000, &ram, 0);
    memset(&heard, 0, sizeof(heard));
    heard.listener =
        (MemListener){ .log = log_changed, .log_sync = log_sync, .log_page = log_page, .log_settled = log_settled };
    as_add_listener(as, &heard.listener);
    mem_log_start(&ram);
    mem_log_start(&ram);
    g_assert_cmpuint(heard.started, ==, 1);
    g_assert_cmphex(take(&ram), ==, 0xff); /* nobody knows */
    g_assert_cmphex(take(&ram), ==, 0);
    as_store(as, 0x11ffe, 4, 1); /* pages 1 and 2 */
    g_assert_cmphex(take(&ram), ==, 6);
    g_assert_cmphex(take(&ram), ==, 0);
    as_write(as, 0x13000, "a", 1);
    as_unmap(as, as_map(as, 0x15000, &len, true), 1);
    as_unmap(as, as_map(as, 0x16000, &len, true), 0);
    g_assert_cmphex(take(&ram), ==, 0x28);
    heard.unseen = 7 + 1;
    g_assert_cmphex(take(&ram), ==, 0x80);
    as_store(as, 0x12000, 1, 1);
    as_store(as, 0x14000, 1, 1);
    g_assert_true(mem_log_take(&ram, 2 * PAGE, 2 * PAGE, part)); /* a part: the rest stays */
    g_assert_cmpuint(part[0], ==, 1);
    g_assert_cmpuint(part[1], ==, 0);
    g_assert_cmphex(take(&ram), ==, 0x10);
    g_assert_cmpuint(heard.revoked, ==, 0);
    /* a soft TLB has an entry for page 3, and takes its time */
    mem_log_written(&ram, 3 * PAGE, 1);
    __atomic_fetch_or(&ram.page_flags[3], RAM_FAST_WRITES, __ATOMIC_SEQ_CST);
    heard.unsettled = true;
    g_assert_cmphex(take(&ram), ==, 8);
    g_assert_cmpuint(heard.revoked, ==, 1);
    g_assert_cmphex(take(&ram), ==, 8);
    g_assert_cmphex(take(&ram), ==, 8);
    heard.unsettled = false;
    g_assert_cmphex(take(&ram), ==, 8);
    g_assert_cmphex(take(&ram), ==, 0);
    g_assert_cmpuint(heard.revoked, ==, 1);
    mem_log_stop(&ram);
    g_assert_cmpuint(heard.stopped, ==, 1);
    g_assert_cmpuint(ram.page_flags[0], ==, 0);
    as_del_listener(as, &heard.listener);
    mem_destroy(&ram);
    machine_free(machine);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory_log/log", test_log);
    return g_test_run();
}
