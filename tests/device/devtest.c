/*
 * Helpers of device tests (see devtest.h).
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "accel/accel.h"
#include "block/block.h"
#include "hw/acpi/hotplug.h"
#include <string.h>

/* ---- machines ---- */

static DevMachine *devm_wrap(Machine *machine)
{
    DevMachine *m = g_new0(DevMachine, 1);
    m->machine = machine;
    m->next_dma = DEVM_RAM_BASE + DEVM_RAM_SIZE / 2;
    m->devices = g_ptr_array_new();
    return m;
}

DevMachine *devm_new(void)
{
    GError *err = NULL;
    DevMachine *m = devm_wrap(machine_new(NULL, accel_find("test"), NULL, NULL, &err));
    g_assert_no_error(err);
    mem_ram_init(&m->ram, m->machine, "ram", DEVM_RAM_SIZE, &err);
    g_assert_no_error(err);
    devm_map(m, &m->ram, DEVM_RAM_BASE);
    m->machine->ram = &m->ram;
    return m;
}

DevMachine *devm_build(const MachineType *type, const char *target, GError **err)
{
    MachineConfig config = { .target = target, .ram_size = 64 << 20, .firmware = "none" };
    config.cpus = MIN(type->max_cpus, 3); /* per-CPU registers come more than once */
    Machine *machine = machine_new(type, accel_find("test"), NULL, &config, err);
    return machine ? devm_wrap(machine) : NULL;
}

void devm_free(DevMachine *m)
{
    DEVM_LOCKED(m, while (m->devices->len) device_free(g_ptr_array_remove_index(m->devices, 0)));
    g_ptr_array_unref(m->devices);
    machine_free(m->machine);
    g_free(m);
}

static bool devm_set_prop(void *dev, const char *key, const char *value, GError **err)
{
    return device_set(dev, key, value, err);
}

void *devm_add(DevMachine *m, const DeviceType *type, const char *props)
{
    GError *err = NULL;
    Device *dev = device_new(m->machine, type);
    g_autoptr(Opts) opts = opts_parse(type->name, props ? props : "", NULL, &err);
    g_assert_no_error(err);
    opts_foreach(opts, devm_set_prop, dev, &err);
    g_assert_no_error(err);
    g_ptr_array_add(m->devices, dev);
    return dev;
}

void devm_realize(DevMachine *m, void *dev)
{
    GError *err = NULL;
    machine_lock(m->machine);
    bool ok = device_realize(dev, NULL, &err);
    g_assert_no_error(err);
    g_assert_true(ok);
    device_reset(dev);
    g_ptr_array_remove(m->devices, dev);
    machine_unlock(m->machine);
}

Device *devm_device_add(DevMachine *m, const char *text, GError **err)
{
    g_autoptr(Opts) opts = opts_parse("-device", text, "driver", err);
    if (!opts)
        return NULL;
    machine_lock(m->machine);
    Device *dev = device_add(m->machine, opts, err);
    machine_unlock(m->machine);
    return dev;
}

static void *find_drive(const char *id, GError **err)
{
    return block_find(id);
}

static const struct {
    const char *type, *before; /* a device that has the bus it needs */
    bool drive;
} needs[] = { { "virtio-blk-pci", NULL, true },
              { "virtio-blk-device", NULL, true },
              { "ide-hd", "ich9-ahci", true },
              { "ide-cd", "ich9-ahci", true },
              { "virtconsole", "virtio-serial-pci", false },
              { "virtserialport", "virtio-serial-pci", false } };

/* before: "TYPE" or "TYPE,..." */
static bool devm_takes_before(const DevMachine *m, const char *before)
{
    g_autofree char *name = g_strndup(before, strcspn(before, ","));
    const DeviceType *type = device_type_find(name);
    return type && devm_takes_type(m, type);
}

bool devm_takes_type(const DevMachine *m, const DeviceType *type)
{
    bool takes = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(needs) && !takes; i++)
        takes = needs[i].before && !strcmp(needs[i].type, type->name) && devm_takes_before(m, needs[i].before);
    for (unsigned i = 0; i < m->machine->buses->len && !takes; i++)
        takes = !strcmp(((const Bus *)g_ptr_array_index(m->machine->buses, i))->kind, type->bus);
    return takes;
}

Device *devm_device_add_type(DevMachine *m, const char *type, GError **err)
{
    static unsigned drives;
    g_autofree char *text = g_strdup(type);
    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++) {
        if (strcmp(needs[i].type, type))
            continue;
        if (needs[i].before && devm_takes_before(m, needs[i].before) && !devm_device_add(m, needs[i].before, err))
            return NULL;
        if (!needs[i].drive)
            continue;
        g_autofree char *node = g_strdup_printf("driver=null-co,node-name=drive%u,size=1M", drives);
        g_autoptr(Opts) opts = opts_parse("-blockdev", node, NULL, NULL);
        g_assert_nonnull(block_add(opts, NULL));
        device_set_resolver(PROP_DRIVE, find_drive, NULL);
        g_free(text);
        text = g_strdup_printf("%s,drive=drive%u", type, drives++);
    }
    return devm_device_add(m, text, err);
}

void devm_map(DevMachine *m, MemRegion *region, uint64_t addr)
{
    DEVM_LOCKED(m, mem_add(&m->machine->root, addr, region, 0));
}

/* ---- accesses ---- */

static uint64_t load(DevMachine *m, uint64_t addr, unsigned size)
{
    uint64_t value;
    MemResult result = as_load(&m->machine->memory, addr, size, &value);
    g_assert_cmpint(result, ==, MEM_OK);
    return value;
}

static void store(DevMachine *m, uint64_t addr, unsigned size, uint64_t value)
{
    MemResult result = as_store(&m->machine->memory, addr, size, value);
    g_assert_cmpint(result, ==, MEM_OK);
}

uint8_t r8(DevMachine *m, uint64_t addr)
{
    return load(m, addr, 1);
}

uint16_t r16(DevMachine *m, uint64_t addr)
{
    return load(m, addr, 2);
}

uint32_t r32(DevMachine *m, uint64_t addr)
{
    return load(m, addr, 4);
}

uint64_t r64(DevMachine *m, uint64_t addr)
{
    return load(m, addr, 8);
}

void w8(DevMachine *m, uint64_t addr, uint8_t value)
{
    store(m, addr, 1, value);
}

void w16(DevMachine *m, uint64_t addr, uint16_t value)
{
    store(m, addr, 2, value);
}

void w32(DevMachine *m, uint64_t addr, uint32_t value)
{
    store(m, addr, 4, value);
}

void w64(DevMachine *m, uint64_t addr, uint64_t value)
{
    store(m, addr, 8, value);
}

void bad_read(DevMachine *m, uint64_t addr, unsigned size)
{
    uint64_t value;
    MemResult result = as_load(&m->machine->memory, addr, size, &value);
    g_assert_cmpint(result, !=, MEM_OK);
    g_assert_cmpuint(value, ==, 0);
}

void bad_write(DevMachine *m, uint64_t addr, unsigned size, uint64_t value)
{
    MemResult result = as_store(&m->machine->memory, addr, size, value);
    g_assert_cmpint(result, !=, MEM_OK);
}

uint32_t in(DevMachine *m, uint16_t port, unsigned size)
{
    uint64_t value;
    MemResult result = as_load(&m->machine->io, port, size, &value);
    g_assert_cmpint(result, ==, MEM_OK);
    return value;
}

void out(DevMachine *m, uint16_t port, unsigned size, uint32_t value)
{
    MemResult result = as_store(&m->machine->io, port, size, value);
    g_assert_cmpint(result, ==, MEM_OK);
}

/* ---- guest memory ---- */

uint64_t devm_dma(DevMachine *m, uint64_t size, uint64_t align)
{
    uint64_t addr = (m->next_dma + align - 1) & ~(align - 1);
    m->next_dma = addr + size;
    g_assert_cmpuint(m->next_dma, <=, DEVM_RAM_BASE + DEVM_RAM_SIZE);
    return addr;
}

void devm_put(DevMachine *m, uint64_t addr, const void *data, size_t len)
{
    MemResult result = as_write(&m->machine->memory, addr, data, len);
    g_assert_cmpint(result, ==, MEM_OK);
}

void devm_get(DevMachine *m, uint64_t addr, void *data, size_t len)
{
    MemResult result = as_read(&m->machine->memory, addr, data, len);
    g_assert_cmpint(result, ==, MEM_OK);
}

/* ---- time, reset, main loop ---- */

static int64_t busy_now(void *opaque)
{
    return ((DevMachine *)opaque)->busy_time += 1000;
}

static void busy_set(void *opaque, int64_t ns) {}
static void busy_earlier(void *opaque) {}

void devm_busy(DevMachine *m)
{
    static const ClockDriver driver = { busy_now, busy_set, busy_earlier };
    m->busy_time = clock_now(m->machine->clocks, CLOCK_VIRTUAL_NS);
    m->busy = true;
    clock_drive(m->machine->clocks, &driver, m);
}

void devm_step(DevMachine *m, int64_t ns)
{
    if (!m->busy) {
        clock_step(m->machine->clocks, ns);
        return;
    }
    for (int64_t end = m->busy_time + ns; m->busy_time < end;)
        clock_fire_due(m->machine->clocks);
}

void devm_reset(DevMachine *m)
{
    machine_lock(m->machine);
    for (unsigned i = 0; i < m->machine->devices->len; i++)
        device_reset(g_ptr_array_index(m->machine->devices, i));
    machine_unlock(m->machine);
}

void devm_poll(bool (*done)(void *opaque), void *opaque)
{
    int64_t limit = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;
    if (!done) {
        while (g_main_context_iteration(NULL, FALSE))
            ;
        return;
    }
    while (!done(opaque)) {
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(100);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
}

static void devirq_set(void *opaque, int n, bool level)
{
    DevIrq *irq = opaque;
    bool was = __atomic_exchange_n(&irq->level, level, __ATOMIC_SEQ_CST); /* some devices have threads */
    irq->rises += level && !was;
    irq->falls += !level && was;
}

Irq devirq_init(DevIrq *irq)
{
    *irq = (DevIrq){ 0 };
    return (Irq){ devirq_set, irq, 0 };
}

/* ---- over all devices ---- */

static void devices_foreach(GPtrArray *devices, void (*fn)(Device *dev, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        fn(dev, opaque);
        for (GSList *link = dev->buses; link; link = link->next)
            devices_foreach(((Bus *)link->data)->devices, fn, opaque);
    }
}

void devm_foreach(DevMachine *m, void (*fn)(Device *dev, void *opaque), void *opaque)
{
    devices_foreach(m->machine->devices, fn, opaque);
}

void devm_check_twin(Device *dev, Device *twin)
{
    GError *err = NULL;
    g_assert_true(dev->type == twin->type);
    g_autoptr(GByteArray) saved = device_save(dev);
    device_load(twin, saved->data, saved->len, &err);
    g_assert_no_error(err);
    g_autoptr(GByteArray) again = device_save(twin);
    g_assert_cmpuint(saved->len, ==, again->len);
    for (unsigned at = 0; at < saved->len; at++) {
        if (saved->data[at] != again->data[at])
            g_error("%s: byte %u of its saved state is 0x%02x, 0x%02x after loading", dev->type->name, at,
                    saved->data[at], again->data[at]);
    }
    g_assert_false(device_load(twin, saved->data, saved->len + 1, NULL));
}

/* What covers a byte of a device struct. */
enum { BYTE_PADDING, BYTE_COVERED };

static size_t prop_size(const Prop *prop)
{
    static const size_t sizes[] = { [PROP_BOOL] = sizeof(bool),
                                    [PROP_U8] = 1,
                                    [PROP_U16] = 2,
                                    [PROP_U32] = 4,
                                    [PROP_U64] = 8,
                                    [PROP_SIZE] = 8,
                                    [PROP_STRING] = sizeof(char *),
                                    [PROP_ENUM] = sizeof(unsigned),
                                    [PROP_MAC] = 6,
                                    [PROP_DRIVE] = sizeof(void *),
                                    [PROP_CHARDEV] = sizeof(void *),
                                    [PROP_NETDEV] = sizeof(void *) };
    return sizes[prop->type];
}

void devm_check_covered(const Device *dev)
{
    size_t size = dev->type->size;
    g_autofree uint8_t *kind = g_malloc0(size);
    memset(kind, BYTE_COVERED, sizeof(Device));
    for (const DeviceType *type = dev->type; type; type = type->parent) {
        for (const StateField *field = type->state; field && field->name; field++) {
            g_assert_cmpuint(field->offset + field->size, <=, type->size);
            memset(kind + field->offset, BYTE_COVERED, field->size);
        }
        for (const Prop *prop = type->props; prop && prop->name; prop++)
            memset(kind + prop->offset, BYTE_COVERED, prop_size(prop));
    }
    for (size_t at = 0; at < size; at++) {
        size_t end = at;
        while (end < size && kind[end] == BYTE_PADDING)
            end++;
        /* padding is shorter than the alignment of what comes after it, which is at most 8, and never written */
        bool padding = end - at < 8 && end - at < (end & -end);
        for (size_t i = at; i < end; i++)
            padding = padding && !((const uint8_t *)dev)[i];
        if (end > at && !padding)
            g_error("%s: bytes %zu to %zu of its struct are in no STATE, STATE_SKIP or property", dev->type->name, at,
                    end - 1);
        at = end;
    }
}

/* ---- random accesses ---- */

static uint64_t rand64(GRand *rand)
{
    return (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
}

/* Values that devices stumble over: small, one bit, all ones, addresses in RAM, anything. */
static uint64_t interesting_value(GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
        return g_rand_int_range(rand, 0, 16);
    case 1:
        return UINT64_C(1) << g_rand_int_range(rand, 0, 64);
    case 2:
        return UINT64_MAX;
    case 3:
        return DEVM_RAM_BASE + (rand64(rand) & 0x1fffff);
    case 4:
        return g_rand_int(rand);
    default:
        return rand64(rand);
    }
}

/* Register blocks lie at multiples of powers of two, and the last one may end there. */
static uint64_t block_offset(GRand *rand, uint64_t size)
{
    unsigned bits = g_bit_storage(size - 1), shift = g_rand_int_range(rand, 0, bits + 1);
    uint64_t block = rand64(rand) & 15, low = rand64(rand) & 0x3f;
    return (block << shift) + low - (g_rand_boolean(rand) ? 64 : 0);
}

/* Offsets: mostly among the first registers or about such blocks, sometimes at the region's end, sometimes anywhere. */
static uint64_t interesting_offset(GRand *rand, uint64_t size, unsigned access)
{
    uint64_t offset;
    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        offset = rand64(rand);
        break;
    case 1:
        offset = size - 1 - g_rand_int_range(rand, 0, 64);
        break;
    case 2:
        offset = rand64(rand) & 0xfff;
        break;
    case 3:
        offset = rand64(rand) & 0x3f;
        break;
    case 4:
    case 5:
    case 6:
        offset = block_offset(rand, size);
        break;
    default:
        offset = rand64(rand) & 0x1ff;
        break;
    }
    offset %= size;
    return g_rand_int_range(rand, 0, 16) ? offset & ~(uint64_t)(access - 1) : offset;
}

/* False: the address space has no I/O. */
static bool fuzz_access(DevMachine *m, GRand *rand, AddressSpace *as)
{
    FlatView *view = view_get(as);
    unsigned first = view->count ? g_rand_int_range(rand, 0, view->count) : 0;
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[(first + i) % view->count];
        if (range->region->kind != MEM_IO)
            continue;
        unsigned size = 1u << g_rand_int_range(rand, 0, 4);
        uint64_t span = range->last - range->base, value;
        uint64_t addr = range->base + interesting_offset(rand, span == UINT64_MAX ? span : span + 1, size);
        if (g_rand_int_range(rand, 0, 3))
            as_store(as, addr, size, interesting_value(rand));
        else
            as_load(as, addr, size, &value);
        view_put(view);
        return true;
    }
    view_put(view);
    return false;
}

/* The devices that a test looks at have to stay: no access may throw them out. */
static void keep_slots(Device *dev, void *opaque)
{
    if (dev->type == &acpi_pci_hotplug_type)
        ((AcpiPciHotplug *)dev)->fixed = UINT32_MAX;
}

void devm_fuzz(DevMachine *m, GRand *rand, unsigned count)
{
    devm_foreach(m, keep_slots, NULL);
    for (unsigned i = 0; i < count; i++) {
        GPtrArray *spaces = m->machine->address_spaces;
        unsigned first = g_rand_int_range(rand, 0, spaces->len);
        for (unsigned n = 0; n < spaces->len; n++) {
            if (fuzz_access(m, rand, g_ptr_array_index(spaces, (first + n) % spaces->len)))
                break;
        }
        if (!(i & 255)) {
            devm_step(m, g_rand_int_range(rand, 0, 1000000));
            while (g_main_context_iteration(NULL, FALSE))
                ;
        }
    }
}

/* ---- all of it ---- */

#define ACCESSES 20000

/* Types whose state outlives a reset, as the hardware's does, or is not the same after it: the ACLINT's mtime starts
 * anew by an offset from virtual time, which goes on (aclint_test.c looks at its reset). */
static const char *const keeps_state[] = { "goldfish-rtc", "mc146818rtc",  "i6300esb",
                                           "cfi.pflash01", "riscv.aclint", NULL };

typedef struct Collected {
    GPtrArray *devices; /* Device * */
    GPtrArray *fresh;   /* GByteArray *: state after the first reset */
} Collected;

static void collect(Device *dev, void *opaque)
{
    Collected *c = opaque;
    g_ptr_array_add(c->devices, dev);
    g_ptr_array_add(c->fresh, device_save(dev));
}

static Collected collect_all(DevMachine *m)
{
    Collected c = { g_ptr_array_new(), g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref) };
    devm_reset(m);
    devm_foreach(m, collect, &c);
    return c;
}

static void collected_free(Collected *c)
{
    g_ptr_array_unref(c->devices);
    g_ptr_array_unref(c->fresh);
}

static void check_reset(const Collected *c)
{
    for (unsigned i = 0; i < c->devices->len; i++) {
        Device *dev = g_ptr_array_index(c->devices, i);
        const GByteArray *fresh = g_ptr_array_index(c->fresh, i);
        g_autoptr(GByteArray) now = device_save(dev);
        if (g_strv_contains(keeps_state, dev->type->name))
            continue;
        g_assert_cmpuint(now->len, ==, fresh->len);
        for (unsigned at = 0; at < now->len; at++) {
            if (now->data[at] != fresh->data[at])
                g_error("%s: byte %u of its saved state is 0x%02x after reset, was 0x%02x", dev->type->name, at,
                        now->data[at], fresh->data[at]);
        }
    }
}

void devm_check_machines(DevMachine *m, DevMachine *twin)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    Collected a = collect_all(m), b = collect_all(twin);
    g_assert_cmpuint(a.devices->len, ==, b.devices->len);
    devm_fuzz(m, rand, ACCESSES);
    machine_lock(m->machine);
    machine_lock(twin->machine);
    for (unsigned i = 0; i < a.devices->len; i++) {
        Device *dev = g_ptr_array_index(a.devices, i);
        devm_check_covered(dev);
        devm_check_twin(dev, g_ptr_array_index(b.devices, i));
    }
    machine_unlock(twin->machine);
    machine_unlock(m->machine);
    devm_reset(m);
    check_reset(&a);
    collected_free(&a);
    collected_free(&b);
}
