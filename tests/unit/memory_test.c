/*
 * Memory: random region trees against a naive model; priorities, aliases, 2^64; access sizes; RAM flags; re-entry; the
 * lock.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/core/machine.h"
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static Machine *machine_empty(void)
{
    GError *err = NULL;
    Machine *machine = machine_new(NULL, accel_find("test"), NULL, NULL, &err);
    g_assert_no_error(err);
    return machine;
}

/* ---- trees against a model ---- */

#define REGIONS 24
#define SPAN    256 /* addresses that the model looks at */

typedef struct Tree {
    Machine *machine;
    MemRegion regions[REGIONS]; /* a region's parent or alias target has a smaller number, or is the root */
    unsigned count;
} Tree;

static const MemOps no_ops = { 0 };

/* What is at offset in region, by definition: the first that answers of its children by priority (newest first), then
 * itself. */
static MemRegion *model_find(Tree *tree, MemRegion *region, uint64_t offset, uint64_t *at)
{
    if (!region->enabled || (region->size != UINT64_MAX && offset >= region->size))
        return NULL;
    if (region->kind == MEM_ALIAS)
        return model_find(tree, region->alias, offset + region->alias_offset, at);
    for (int priority = 3; priority >= -3; priority--) {
        for (unsigned i = tree->count; i--;) {
            MemRegion *child = &tree->regions[i];
            if (child->parent != region || child->priority != priority || offset < child->addr)
                continue;
            MemRegion *found = model_find(tree, child, offset - child->addr, at);
            if (found)
                return found;
        }
    }
    *at = offset;
    return region->kind == MEM_CONTAINER ? NULL : region;
}

static void check_view(Tree *tree, AddressSpace *as)
{
    FlatView *view = view_get(as);
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i], *before = range - 1;
        g_assert_cmpuint(range->base, <=, range->last);
        if (!i)
            continue;
        g_assert_cmpuint(before->last, <, range->base);
        /* merged as far as possible */
        g_assert_false(before->last + 1 == range->base && before->region == range->region &&
                       before->offset + (range->base - before->base) == range->offset);
    }
    for (uint64_t addr = 0; addr < SPAN; addr++) {
        uint64_t offset;
        MemRegion *expected = model_find(tree, as->root, addr, &offset);
        const FlatRange *range = view_find(view, addr);
        g_assert_true((range ? range->region : NULL) == expected);
        if (expected)
            g_assert_cmpuint(addr - range->base + range->offset, ==, offset);
    }
    view_put(view);
}

static bool reaches(Tree *tree, MemRegion *from, MemRegion *to)
{
    if (from == to || (from->kind == MEM_ALIAS && reaches(tree, from->alias, to)))
        return true;
    for (unsigned i = 0; i < tree->count; i++) {
        if (tree->regions[i].parent == from && reaches(tree, &tree->regions[i], to))
            return true;
    }
    return false;
}

static void tree_grow(Tree *tree, GRand *rand)
{
    unsigned n = tree->count, p = g_rand_int_range(rand, 0, n + 1);
    MemRegion *region = &tree->regions[n], *root = &tree->machine->root;
    MemRegion *parent = p < n && tree->regions[p].kind != MEM_ALIAS ? &tree->regions[p] : root;
    uint64_t size = g_rand_int_range(rand, 0, 20) ? (uint64_t)g_rand_int_range(rand, 0, SPAN) : UINT64_MAX;
    unsigned kind = n ? g_rand_int_range(rand, 0, 4) : 0;
    if (kind == 0) {
        mem_container_init(region, tree->machine, "container", size);
    } else if (kind == 1) {
        MemRegion *target = &tree->regions[g_rand_int_range(rand, 0, n)];
        mem_alias_init(region, tree->machine, "alias", target, g_rand_int_range(rand, 0, SPAN), size);
        if (reaches(tree, target, parent))
            parent = root;
    } else {
        mem_io_init(region, tree->machine, "io", size, &no_ops, NULL);
    }
    tree->count++;
    mem_add(parent, g_rand_int_range(rand, 0, SPAN), region, g_rand_int_range(rand, -3, 4));
}

static void tree_change(Tree *tree, GRand *rand)
{
    MemRegion *region = &tree->regions[g_rand_int_range(rand, 0, tree->count)];
    if (g_rand_int_range(rand, 0, 2))
        mem_set_enabled(region, !region->enabled);
    else
        mem_set_addr(region, g_rand_int_range(rand, 0, SPAN));
}

/* A listener that keeps its own copy of the view from what it is told. */
typedef struct Mirror {
    MemListener listener;
    GArray *ranges; /* FlatRange */
} Mirror;

static void mirror_del(MemListener *listener, const FlatRange *range)
{
    GArray *ranges = ((Mirror *)listener)->ranges;
    for (unsigned i = 0; i < ranges->len; i++) {
        FlatRange *r = &g_array_index(ranges, FlatRange, i);
        if (r->base == range->base && r->last == range->last && r->region == range->region &&
            r->offset == range->offset) {
            g_array_remove_index(ranges, i);
            return;
        }
    }
    g_assert_not_reached();
}

static void mirror_add(MemListener *listener, const FlatRange *range)
{
    GArray *ranges = ((Mirror *)listener)->ranges;
    unsigned place = 0;
    for (; place < ranges->len && g_array_index(ranges, FlatRange, place).base < range->base; place++)
        g_assert_cmpuint(g_array_index(ranges, FlatRange, place).last, <, range->base);
    g_assert_true(place == ranges->len || g_array_index(ranges, FlatRange, place).base > range->last);
    g_array_insert_val(ranges, place, *range);
}

static void mirror_commit(MemListener *listener, FlatView *view)
{
    GArray *ranges = ((Mirror *)listener)->ranges;
    g_assert_cmpuint(ranges->len, ==, view->count);
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *mine = &g_array_index(ranges, FlatRange, i), *range = &view->ranges[i];
        g_assert_true(mine->base == range->base && mine->last == range->last && mine->region == range->region &&
                      mine->offset == range->offset);
    }
}

static void test_random_trees(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    for (unsigned round = 0; round < 150; round++) {
        Tree tree = { .machine = machine_empty() };
        Mirror mirror = { { mirror_del, mirror_add, mirror_commit }, g_array_new(FALSE, FALSE, sizeof(FlatRange)) };
        as_add_listener(&tree.machine->memory, &mirror.listener);
        while (tree.count < REGIONS) {
            tree_grow(&tree, rand);
            check_view(&tree, &tree.machine->memory);
        }
        for (unsigned i = 0; i < 20; i++) {
            memory_begin(tree.machine);
            tree_change(&tree, rand);
            tree_change(&tree, rand);
            memory_commit(tree.machine);
            check_view(&tree, &tree.machine->memory);
        }
        g_autofree char *text = memory_describe(tree.machine);
        g_assert_nonnull(strstr(text, "address-space: memory"));
        as_del_listener(&tree.machine->memory, &mirror.listener);
        g_array_unref(mirror.ranges);
        machine_free(tree.machine);
    }
}

/* Many regions: the time must not grow with their square (a second would mean that it does). */
static void test_many(void)
{
    enum { MANY = 20000 };
    Machine *machine = machine_empty();
    MemRegion *regions = g_new0(MemRegion, MANY);
    memory_begin(machine);
    for (unsigned i = 0; i < MANY; i++) {
        mem_io_init(&regions[i], machine, "io", 0x1000, &no_ops, NULL);
        mem_add(&machine->root, (uint64_t)i * 0x800, &regions[i], MANY - i);
    }
    clock_t begin = clock(); /* our own time: others may have the CPU meanwhile */
    memory_commit(machine);
    g_assert_cmpint(clock() - begin, <, CLOCKS_PER_SEC);
    g_assert_cmpuint(machine->memory.view->count, ==, MANY);
    machine_free(machine);
    g_free(regions);
}

static void test_whole_space(void)
{
    Machine *machine = machine_empty();
    MemRegion low, high, alias;
    mem_io_init(&low, machine, "low", UINT64_MAX, &no_ops, NULL);
    mem_io_init(&high, machine, "high", 0x1000, &no_ops, NULL);
    mem_alias_init(&alias, machine, "alias", &high, 0xfff, UINT64_MAX);
    mem_add(&machine->root, 0, &low, -1);
    mem_add(&machine->root, UINT64_MAX - 0xfff, &high, 0);
    mem_add(&machine->root, 0x100, &alias, 0);
    FlatView *view = view_get(&machine->memory);
    g_assert_cmpuint(view->count, ==, 4);
    g_assert_true(view->ranges[1].region == &high && view->ranges[1].base == 0x100 && view->ranges[1].last == 0x100 &&
                  view->ranges[1].offset == 0xfff);
    g_assert_true(view->ranges[3].region == &high && view->ranges[3].last == UINT64_MAX);
    g_assert_true(view->ranges[2].region == &low && view->ranges[2].last == UINT64_MAX - 0x1000);
    view_put(view);
    uint8_t buf[32];
    g_assert_cmpint(as_read(&machine->memory, UINT64_MAX - 3, buf, sizeof(buf)), !=, MEM_OK);
    machine_free(machine);
}

/* RAM through a read-only alias beside a plain one: neighbours of the view that differ in that only. */
static void test_readonly_alias(void)
{
    Machine *machine = machine_empty();
    MemRegion ram, rom, rest;
    uint64_t value;
    g_assert_true(mem_ram_init(&ram, machine, "ram", 0x2000, NULL));
    mem_alias_init(&rom, machine, "rom", &ram, 0, 0x1000);
    rom.readonly = true;
    mem_alias_init(&rest, machine, "rest", &ram, 0x1000, 0x1000);
    mem_add(&machine->root, 0x10000, &rom, 0);
    mem_add(&machine->root, 0x11000, &rest, 0);
    g_assert_cmpuint(machine->memory.view->count, ==, 2);
    ram.host[8] = 0x55;
    g_assert_cmpint(as_store(&machine->memory, 0x10008, 1, 0xaa), ==, MEM_OK);
    g_assert_cmpint(as_store(&machine->memory, 0x11008, 1, 0xaa), ==, MEM_OK);
    g_assert_cmpint(as_load(&machine->memory, 0x10008, 1, &value), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x55);
    g_assert_cmphex(ram.host[0x1008], ==, 0xaa);
    machine_free(machine);
}

/* A region that goes is not seen through its aliases any more. */
static void test_alias_of_nothing(void)
{
    Machine *machine = machine_empty();
    MemRegion ram, alias;
    uint64_t value;
    g_assert_true(mem_ram_init(&ram, machine, "ram", 0x2000, NULL));
    mem_alias_init(&alias, machine, "alias", &ram, 0x1000, 0x1000);
    mem_add(&machine->root, 0x10000, &alias, 0);
    g_assert_cmpint(as_load(&machine->memory, 0x10000, 1, &value), ==, MEM_OK);
    mem_destroy(&ram);
    memset(&ram, 0x5a, sizeof(ram)); /* its device is freed */
    g_assert_cmpuint(machine->memory.view->count, ==, 0);
    g_assert_cmpint(as_load(&machine->memory, 0x10000, 1, &value), ==, MEM_UNMAPPED);
    machine_free(machine);
}

/* ---- accesses ---- */

typedef struct Probe {
    MemRegion region;
    MemOps ops;
    uint8_t bytes[64]; /* what it holds, in its own byte order */
    GString *log;
} Probe;

static uint64_t probe_read(void *opaque, uint64_t offset, unsigned size)
{
    Probe *probe = opaque;
    uint64_t value = 0;
    g_string_append_printf(probe->log, "r%u@%u ", size, (unsigned)offset);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)probe->bytes[offset + i] << 8 * (probe->ops.big_endian ? size - 1 - i : i);
    return value;
}

static void probe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Probe *probe = opaque;
    g_string_append_printf(probe->log, "w%u@%u ", size, (unsigned)offset);
    for (unsigned i = 0; i < size; i++)
        probe->bytes[offset + i] = value >> 8 * (probe->ops.big_endian ? size - 1 - i : i);
}

/* Whatever sizes are implemented and in whatever byte order: the bytes seen are the same. */
static void test_sizes(void)
{
    Machine *machine = machine_empty();
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    for (unsigned round = 0; round < 16 * 2; round++) {
        Probe probe = { .ops = {
                            .read = probe_read, .write = probe_write, .big_endian = round & 1, .unaligned = true } };
        probe.ops.impl_min = 1u << (round >> 1 & 3);
        probe.ops.impl_max = 1u << MAX(round >> 3, round >> 1 & 3);
        probe.log = g_string_new(NULL);
        for (unsigned i = 0; i < sizeof(probe.bytes); i++)
            probe.bytes[i] = g_rand_int(rand);
        mem_io_init(&probe.region, machine, "probe", sizeof(probe.bytes), &probe.ops, &probe);
        mem_add(&machine->root, 0x1000, &probe.region, 0);
        for (unsigned i = 0; i < 400; i++) {
            unsigned size = 1u << g_rand_int_range(rand, 0, 4), at = g_rand_int_range(rand, 0, 48);
            uint64_t value = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand), got;
            uint8_t expected[64];
            memcpy(expected, probe.bytes, sizeof(expected));
            for (unsigned b = 0; i & 1 && b < size; b++)
                expected[at + b] = value >> 8 * b;
            if (i & 1)
                g_assert_cmpint(as_store(&machine->memory, 0x1000 + at, size, value), ==, MEM_OK);
            g_assert_cmpmem(probe.bytes, 64, expected, 64);
            g_assert_cmpint(as_load(&machine->memory, 0x1000 + at, size, &got), ==, MEM_OK);
            got = GUINT64_TO_LE(got);
            g_assert_cmpmem(&got, size, expected + at, size);
        }
        g_string_free(probe.log, TRUE);
        mem_destroy(&probe.region);
    }
    machine_free(machine);
}

static void test_refusals(void)
{
    Machine *machine = machine_empty();
    Probe probe = { .ops = { .read = probe_read, .write = probe_write, .min_size = 2, .max_size = 4, .impl_max = 2 },
                    .log = g_string_new(NULL) };
    uint64_t value;
    mem_io_init(&probe.region, machine, "probe", 64, &probe.ops, &probe);
    mem_add(&machine->root, 0x1000, &probe.region, 0);
    AddressSpace *as = &machine->memory;
    g_assert_cmpint(as_load(as, 0x1000, 1, &value), ==, MEM_REFUSED);
    g_assert_cmpint(as_load(as, 0x1000, 8, &value), ==, MEM_REFUSED);
    g_assert_cmpint(as_load(as, 0x1002, 4, &value), ==, MEM_REFUSED);
    g_assert_cmpint(as_load(as, 0x0, 4, &value), ==, MEM_UNMAPPED);
    g_assert_cmpint(as_load(as, 0x103e, 4, &value), !=, MEM_OK);
    g_assert_cmpint(as_store(as, UINT64_MAX, 8, 0), ==, MEM_UNMAPPED);
    g_assert_cmpstr(probe.log->str, ==, "r2@62 ");
    g_string_set_size(probe.log, 0);
    g_assert_cmpint(as_load(as, 0x1004, 4, &value), ==, MEM_OK);
    g_assert_cmpint(as_store(as, 0x1008, 4, 1), ==, MEM_OK);
    g_assert_cmpstr(probe.log->str, ==, "r2@4 r2@6 w2@8 w2@10 ");
    machine_free(machine);
    g_string_free(probe.log, TRUE);
}

/* ---- re-entry and the lock ---- */

static MemResult inner_result;

static uint64_t reenter_read(void *opaque, uint64_t offset, unsigned size)
{
    Machine *machine = opaque;
    uint64_t value;
    g_assert_true(machine_locked(machine));
    inner_result = as_load(&machine->memory, 0x1000, 4, &value);
    return 5;
}

static uint64_t free_read(void *opaque, uint64_t offset, unsigned size)
{
    g_assert_false(machine_locked(opaque));
    return 6;
}

static void test_reentry_and_lock(void)
{
    static const MemOps ops = { .read = reenter_read }, free_ops = { .read = free_read, .lock_free = true };
    Machine *machine = machine_empty();
    MemRegion region, unlocked;
    uint64_t value;
    mem_io_init(&region, machine, "reenter", 0x100, &ops, machine);
    mem_io_init(&unlocked, machine, "unlocked", 0x100, &free_ops, machine);
    mem_add(&machine->root, 0x1000, &region, 0);
    mem_add(&machine->root, 0x2000, &unlocked, 0);
    g_assert_cmpint(as_load(&machine->memory, 0x1000, 4, &value), ==, MEM_OK);
    g_assert_cmpuint(value, ==, 5);
    g_assert_cmpint(inner_result, ==, MEM_BUSY);
    g_assert_false(machine_locked(machine));
    machine_lock(machine);
    g_assert_cmpint(as_load(&machine->memory, 0x1000, 4, &value), ==, MEM_OK);
    g_assert_true(machine_locked(machine));
    machine_unlock(machine);
    g_assert_cmpint(as_load(&machine->memory, 0x2000, 4, &value), ==, MEM_OK);
    g_assert_cmpuint(value, ==, 6);
    machine_free(machine);
}

/* ---- RAM ---- */

static uint64_t written_addr, written_len;
static unsigned written_calls;

static void note_written(Machine *machine, uint64_t ram_addr, uint64_t len)
{
    written_addr = ram_addr;
    written_len = len;
    written_calls++;
}

static void test_ram(void)
{
    AccelType accel = *accel_find("test");
    accel.ram_written = note_written;
    Machine *machine = machine_new(NULL, &accel, NULL, NULL, NULL);
    AddressSpace *as = &machine->memory;
    MemRegion ram, second, rom, *found;
    GError *err = NULL;
    uint64_t value, len = UINT64_MAX;
    uint8_t buf[8192];
    g_assert_true(mem_ram_init(&ram, machine, "ram", 0x4000, &err));
    g_assert_true(mem_ram_init(&second, machine, "second", 4 << 20, &err));
    g_assert_true(mem_rom_init(&rom, machine, "rom", 0x1000, NULL, NULL, &err));
    g_assert_false(mem_ram_init(&rom, machine, "endless", UINT64_C(1) << 62, &err));
    g_assert_nonnull(strstr(err->message, "'endless'"));
    g_error_free(err);
    g_assert_cmpuint(second.ram_addr & 0x1fffff, ==, 0);
    g_assert_cmpuint((uintptr_t)second.host & 0x1fffff, ==, 0);
    mem_add(&machine->root, 0x10000, &ram, 0);
    mem_add(&machine->root, 0x14000, &rom, 0);
    g_assert_true(ram_host(machine, second.ram_addr + 5, &found) == second.host + 5 && found == &second);
    g_assert_null(ram_host(machine, ram.ram_addr + 0x4000, NULL));

    g_assert_cmpint(as_store(as, 0x10ffe, 8, 0x1122334455667788), ==, MEM_OK);
    g_assert_cmpint(as_load(as, 0x11000, 4, &value), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x33445566 >> 0 & 0xffffffff);
    g_assert_cmpuint(written_calls, ==, 0);
    __atomic_store_n(&ram.page_flags[1], RAM_CODE, __ATOMIC_SEQ_CST);
    as_store(as, 0x10ffe, 8, 0); /* reaches into page 1 */
    g_assert_cmpuint(written_calls, ==, 1);
    g_assert_cmpuint(written_addr, ==, ram.ram_addr + 0xffe);
    g_assert_cmpuint(written_len, ==, 8);
    as_store(as, 0x10ff8, 4, 0);
    g_assert_cmpuint(written_calls, ==, 1);
    memset(buf, 0x5a, sizeof(buf));
    g_assert_cmpint(as_write(as, 0x10800, buf, sizeof(buf)), ==, MEM_OK);
    g_assert_cmpuint(written_calls, ==, 2);

    uint8_t *host = as_map(as, 0x11000, &len, true);
    g_assert_true(host == ram.host + 0x1000 && len == 0x3000);
    as_unmap(as, host, 0);
    g_assert_cmpuint(written_calls, ==, 2);
    as_unmap(as, host, 1);
    g_assert_cmpuint(written_calls, ==, 3);
    g_assert_null(as_map(as, 0x14000, &len, true));
    g_assert_nonnull(as_map(as, 0x14000, &len, false));
    g_assert_null(as_map(as, 0x9000, &len, false));

    g_assert_cmpint(as_store(as, 0x14000, 4, 1), ==, MEM_OK); /* swallowed */
    g_assert_cmpint(as_load(as, 0x14000, 4, &value), ==, MEM_OK);
    g_assert_cmpuint(value, ==, 0);
    g_assert_true(as_load_image(as, 0x13ff0, buf, 0x20, NULL));
    g_assert_cmpint(as_load(as, 0x14000, 4, &value), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x5a5a5a5a);
    g_assert_false(as_load_image(as, 0x14ff0, buf, 0x20, &err));
    g_error_free(err);
    g_assert_cmpint(as_read(as, 0x14ff0, buf, 0x20), ==, MEM_UNMAPPED);
    g_assert_cmpuint(buf[0x10], ==, 0);
    mem_destroy(&ram);
    g_assert_cmpint(as_load(as, 0x10000, 4, &value), ==, MEM_UNMAPPED);
    machine_free(machine);
}

/* ---- threads: views change while others read through them ---- */

typedef struct Reader {
    Machine *machine;
    bool stop;
} Reader;

static void *read_repeatedly(void *opaque)
{
    Reader *reader = opaque;
    uint64_t value;
    while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED)) {
        MemResult result = as_load(&reader->machine->memory, 0x1000, 4, &value);
        g_assert_true(result == MEM_UNMAPPED || (result == MEM_OK && value == 0x1234));
    }
    return NULL;
}

static void test_threads(void)
{
    Reader reader = { .machine = machine_empty() };
    MemRegion ram;
    g_assert_true(mem_ram_init(&ram, reader.machine, "ram", 0x1000, NULL));
    mem_add(&reader.machine->root, 0x1000, &ram, 0);
    as_store(&reader.machine->memory, 0x1000, 4, 0x1234);
    GThread *threads[2];
    for (unsigned i = 0; i < 2; i++)
        threads[i] = g_thread_new("reader", read_repeatedly, &reader);
    for (unsigned i = 0; i < 3000; i++) {
        machine_lock(reader.machine);
        mem_set_enabled(&ram, i & 1);
        machine_unlock(reader.machine);
    }
    __atomic_store_n(&reader.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    machine_free(reader.machine);
}

/* ---- host memory that goes ---- */

typedef struct Watch {
    MemListener listener; /* first */
    void *host;
    unsigned told; /* while the host memory was there */
} Watch;

static bool is_mapped(void *host)
{
    unsigned char resident;
    return mincore(host, 1, &resident) == 0;
}

static void watch_commit(MemListener *listener, FlatView *view)
{
    Watch *watch = (Watch *)listener;
    g_assert_true(!watch->host || is_mapped(watch->host));
    watch->told++;
}

/* Who has shown memory to a guest learns that it is gone before it is: alone, and in transactions as an unplugged
 * device's. */
static void test_host_memory_goes_last(void)
{
    for (unsigned depth = 0; depth < 3; depth++) {
        Machine *machine = machine_empty();
        Watch watch = { .listener = { .commit = watch_commit } };
        MemRegion ram;
        g_assert_true(mem_ram_init(&ram, machine, "ram", 0x10000, NULL));
        mem_add(&machine->root, 0x10000, &ram, 0);
        as_add_listener(&machine->memory, &watch.listener);
        void *host = watch.host = ram.host;
        watch.told = 0;
        for (unsigned i = 0; i < depth; i++)
            memory_begin(machine);
        mem_destroy(&ram);
        for (unsigned i = 0; i < depth; i++) {
            g_assert_true(is_mapped(host));
            memory_commit(machine);
        }
        g_assert_cmpuint(watch.told, ==, 1);
        g_assert_false(is_mapped(host));
        as_del_listener(&machine->memory, &watch.listener);
        machine_free(machine);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory/random-trees", test_random_trees);
    g_test_add_func("/memory/many", test_many);
    g_test_add_func("/memory/whole-space", test_whole_space);
    g_test_add_func("/memory/readonly-alias", test_readonly_alias);
    g_test_add_func("/memory/alias-of-nothing", test_alias_of_nothing);
    g_test_add_func("/memory/sizes", test_sizes);
    g_test_add_func("/memory/refusals", test_refusals);
    g_test_add_func("/memory/reentry-and-lock", test_reentry_and_lock);
    g_test_add_func("/memory/ram", test_ram);
    g_test_add_func("/memory/threads", test_threads);
    g_test_add_func("/memory/host-memory-goes-last", test_host_memory_goes_last);
    return g_test_run();
}
