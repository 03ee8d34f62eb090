/*
 * The device core by a sample device: properties, register bank, state, reset, interrupts, timers, buses, -device.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "util/log.h"
#include <glib/gstdio.h>
#include <string.h>

/* ---- the sample: a parent type with a control register, a child type with more ---- */

typedef struct Base {
    Device dev;
    char *label;
    uint32_t control;
} Base;

typedef struct Sample {
    Base base;
    MemRegion mmio;
    Irq irq;
    Timer alarm;
    uint64_t period;
    uint32_t status, data;
    uint16_t half;
    uint8_t mac[6];
    unsigned mode;
    bool fast;
    uint8_t depth;
    unsigned realized, resets, reads;
} Sample;

static void sample_update(Device *dev, const Reg *reg)
{
    Sample *s = (Sample *)dev;
    irq_set(&s->irq, s->status & 1);
}

static uint64_t sample_count(Device *dev, const Reg *reg)
{
    return ++((Sample *)dev)->reads;
}

static void sample_arm(Device *dev, const Reg *reg, uint64_t value)
{
    Sample *s = (Sample *)dev;
    s->period = value;
    timer_set(&s->alarm, value ? clock_now(dev->machine->clocks, CLOCK_VIRTUAL_NS) + (int64_t)value : TIMER_NEVER);
}

static void sample_alarm(void *opaque)
{
    Sample *s = opaque;
    g_assert_true(machine_locked(s->base.dev.machine));
    s->status |= 1;
    irq_set(&s->irq, true);
    timer_set(&s->alarm, clock_now(s->base.dev.machine->clocks, CLOCK_VIRTUAL_NS) + (int64_t)s->period);
}

static const Reg sample_regs[] = {
    { 0x00, "CONTROL", REG(Base, control), .reset = 0x11, .ro = 0x10, .rsvd = 0xff000000 },
    { 0x04, "STATUS", REG(Sample, status), .reset = 0x80, .w1c = 0xff, .ro = 0xffffff00, .post_write = sample_update },
    { 0x08, "DATA", REG(Sample, data) },
    { 0x0c, "COUNT", .read = sample_count, .ro = ~0u },
    { 0x10, "ALARM", .write = sample_arm },
    { 0x14, "HALF", REG(Sample, half) },
};
static const RegBank sample_bank = REG_BANK(sample_regs, .width = 4, .min_access = 1, .max_access = 8);

static bool base_realize(Device *dev, GError **err)
{
    g_assert_cmpuint(((Sample *)dev)->realized, ==, 0);
    return true;
}

static bool sample_realize(Device *dev, GError **err)
{
    Sample *s = (Sample *)dev;
    s->realized = 1;
    timer_init(&s->alarm, dev->machine->clocks, CLOCK_VIRTUAL_NS, sample_alarm, s);
    reg_bank_init(&s->mmio, dev, &sample_bank, "sample", 0x100);
    return true;
}

static void sample_reset(Device *dev)
{
    Sample *s = (Sample *)dev;
    s->period = 0;
    s->resets++;
    timer_cancel(&s->alarm);
}

static const Prop base_props[] = { PROP(Base, STRING, "label", label, .fallback = "none"), PROP_END };
static const char *const modes[] = { "slow", "quick", NULL };
static const Prop sample_props[] = {
    PROP(Sample, MAC, "mac", mac, .fallback = "52:54:00:12:34:56"),
    PROP(Sample, ENUM, "mode", mode, .names = modes, .fallback = "quick"),
    PROP(Sample, BOOL, "fast", fast, .help = "go faster"),
    PROP(Sample, U8, "depth", depth, .max = 100, .fallback = "8"),
    PROP_END,
};
static const StateField base_state[] = { STATE(Base, control), STATE_END };
static const StateField sample_state[] = {
    STATE(Sample, status),
    STATE(Sample, data),
    STATE(Sample, half),
    STATE(Sample, period),
    STATE(Sample, reads),
    STATE_TIMER(Sample, alarm),
    STATE_SKIP(Sample, mmio, "fixed"),
    STATE_SKIP(Sample, irq, "fixed"),
    STATE_SKIP(Sample, realized, "of the test"),
    STATE_SKIP(Sample, resets, "of the test"),
    STATE_END,
};
static const DeviceType base_type = {
    .name = "base", .size = sizeof(Base), .props = base_props, .state = base_state, .realize = base_realize
};
static const DeviceType sample_type = { .name = "sample",
                                        .desc = "a sample",
                                        .category = "misc",
                                        .bus = "samplebus",
                                        .parent = &base_type,
                                        .size = sizeof(Sample),
                                        .props = sample_props,
                                        .state = sample_state,
                                        .regs = &sample_bank,
                                        .realize = sample_realize,
                                        .reset = sample_reset };

#define BASE 0x10000000

static Sample *sample_new(DevMachine *m, const char *props)
{
    Sample *s = devm_add(m, &sample_type, props);
    devm_realize(m, s);
    devm_map(m, &s->mmio, BASE);
    return s;
}

/* ---- tests ---- */

static void test_props(void)
{
    DevMachine *m = devm_new();
    Sample *s = devm_add(m, &sample_type, "label=a,,b,fast=on,depth=0x20,mode=slow,mac=01:02:03:04:05:0f");
    static const uint8_t mac[] = { 1, 2, 3, 4, 5, 15 };
    g_assert_cmpstr(s->base.label, ==, "a,b");
    g_assert_true(s->fast);
    g_assert_cmpuint(s->depth, ==, 0x20);
    g_assert_cmpuint(s->mode, ==, 0);
    g_assert_cmpmem(s->mac, 6, mac, 6);
    static const struct {
        const char *name, *value, *message;
    } bad[] = {
        { "depth", "101", "sample: depth: 101 is out of range, 0 to 100 is accepted" },
        { "depth", "many", "sample: depth: 'many' is not a number" },
        { "fast", "maybe", "sample: fast: 'maybe' is not a switch: give on or off" },
        { "mode", "quik", "sample: mode: value 'quik' is not known; did you mean 'quick'?" },
        { "mac", "1:2:3", "sample: mac: '1:2:3' is not a MAC address like 52:54:00:12:34:56" },
        { "lable", "x", "sample: property 'lable' is not known; did you mean 'label'?" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_false(device_set(&s->base.dev, bad[i].name, bad[i].value, &err));
        g_assert_cmpstr(err->message, ==, bad[i].message);
    }
    g_assert_true(device_has_prop(&sample_type, "label"));
    g_assert_false(device_has_prop(&base_type, "fast"));
    g_autofree char *help = device_help(&sample_type);
    g_assert_nonnull(strstr(help, "fast=<bool>"));
    g_assert_nonnull(strstr(help, "go faster"));
    g_assert_nonnull(strstr(help, "label=<str>"));
    devm_free(m);
}

static void test_registers(void)
{
    DevMachine *m = devm_new();
    sample_new(m, NULL);
    g_assert_cmphex(r32(m, BASE), ==, 0x11);
    w32(m, BASE, 0xffffffef);
    g_assert_cmphex(r32(m, BASE), ==, 0x00ffffff); /* bit 4 is read-only, the top byte reserved */
    w8(m, BASE + 1, 0);
    g_assert_cmphex(r32(m, BASE), ==, 0x00ff00ff);
    g_assert_cmphex(r8(m, BASE + 2), ==, 0xff);
    w64(m, BASE + 8, 0x1122334455667788);
    g_assert_cmphex(r32(m, BASE + 8), ==, 0x55667788);
    g_assert_cmphex(r64(m, BASE + 8) & 0xffffffff, ==, 0x55667788);
    w32(m, BASE + 0x14, 0x12345);
    g_assert_cmphex(r32(m, BASE + 0x14), ==, 0x2345);
    g_assert_cmphex(r16(m, BASE + 0xa), ==, 0x5566);
    g_assert_cmphex(r32(m, BASE + 0x80), ==, 0); /* no register: logged, reads 0 */
    w32(m, BASE + 0x80, 1);
    bad_read(m, BASE + 2, 4);
    bad_write(m, BASE + 0x100, 4, 0);
    devm_free(m);
}

static void test_w1c(void)
{
    DevMachine *m = devm_new();
    Sample *s = sample_new(m, NULL);
    DevIrq irq;
    s->irq = devirq_init(&irq);
    s->status = 0xab0f;
    w32(m, BASE + 4, 0x05);
    g_assert_cmphex(s->status, ==, 0xab0a);
    w8(m, BASE + 5, 0xff); /* another lane: clears nothing */
    g_assert_cmphex(s->status, ==, 0xab0a);
    w8(m, BASE + 4, 0x08);
    g_assert_cmphex(s->status, ==, 0xab02);
    g_assert_false(irq.level);
    devm_free(m);
}

static void test_timer_irq_reset(void)
{
    DevMachine *m = devm_new();
    Sample *s = sample_new(m, NULL);
    DevIrq irq;
    s->irq = devirq_init(&irq);
    w32(m, BASE + 0x10, 100);
    devm_step(m, 99);
    g_assert_false(irq.level);
    devm_step(m, 1);
    g_assert_true(irq.level);
    w32(m, BASE + 4, 1);
    g_assert_false(irq.level);
    devm_step(m, 1000); /* ten more, at their own times */
    g_assert_true(irq.level);
    g_assert_cmpuint(irq.rises, ==, 2);
    g_assert_cmpint(s->alarm.deadline_ns, ==, 1200);
    devm_reset(m);
    g_assert_cmphex(r32(m, BASE), ==, 0x11);
    g_assert_cmphex(s->status, ==, 0x80);
    g_assert_false(timer_armed(&s->alarm));
    g_assert_cmpuint(s->resets, ==, 2);
    devm_free(m);
}

static void test_state(void)
{
    DevMachine *m = devm_new(), *other = devm_new();
    Sample *s = sample_new(m, NULL), *twin = sample_new(other, NULL);
    w32(m, BASE + 8, 0xdeadbeef);
    w32(m, BASE, 0x7);
    w32(m, BASE + 0x10, 5000);
    devm_check_covered(&s->base.dev);
    devm_check_twin(&s->base.dev, &twin->base.dev);
    g_assert_cmphex(r32(other, BASE + 8), ==, 0xdeadbeef);
    g_assert_cmpint(twin->alarm.deadline_ns, ==, 5000);
    devm_step(other, 5000);
    g_assert_cmphex(twin->status & 1, ==, 1);
    devm_free(m);
    devm_free(other);
}

static void test_bus(void)
{
    DevMachine *m = devm_new();
    Sample *owner_sample = sample_new(m, NULL);
    Base *owner = &owner_sample->base;
    GError *err = NULL;
    machine_lock(m->machine);
    Bus *bus = bus_new(&owner->dev, "samplebus", "sample.0");
    bus->max_devices = 1;
    Device *dev = device_new(m->machine, &sample_type);
    g_assert_true(device_realize(dev, bus, &err));
    g_assert_cmpuint(bus->devices->len, ==, 1);
    g_autofree char *tree = device_tree_describe(m->machine);
    g_assert_nonnull(strstr(tree, "bus: sample.0"));
    g_assert_nonnull(strstr(tree, "dev: sample"));
    g_assert_nonnull(strstr(tree, "depth = 8"));
    device_reset(&owner->dev);
    g_assert_cmpuint(((Sample *)dev)->resets, ==, 1);
    device_free(dev);
    g_assert_cmpuint(bus->devices->len, ==, 0);
    g_assert_true(device_realize(device_new(m->machine, &sample_type), bus, &err)); /* freed with its bus */
    machine_unlock(m->machine);
    devm_free(m);
}

static void test_device_add_errors(void)
{
    DevMachine *m = devm_new();
    static const struct {
        const char *text, *message;
    } bad[] = {
        { "id=x", "-device: driver= is missing" },
        { "no-such-thing-at-all", "-device: 'no-such-thing-at-all' is not a device; '-device help' lists them" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(Opts) opts = opts_parse("-device", bad[i].text, strchr(bad[i].text, '=') ? NULL : "driver", NULL);
        DEVM_LOCKED(m, g_assert_null(device_add(m->machine, opts, &err)));
        g_assert_cmpstr(err->message, ==, bad[i].message);
    }
    devm_free(m);
}

/* What the fuzzer and the test over all types stand on: random accesses reach registers, and the same seed makes the
 * same. */
static void test_fuzz(void)
{
    unsigned reads[2];
    uint32_t data[2];
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(10);
        DevMachine *m = devm_new();
        Sample *s = sample_new(m, NULL);
        devm_fuzz(m, rand, 5000);
        reads[i] = s->reads;
        data[i] = s->data;
        devm_free(m);
    }
    g_assert_cmpuint(reads[0], >, 10);
    g_assert_cmpuint(data[0], !=, 0);
    g_assert_cmpuint(reads[0], ==, reads[1]);
    g_assert_cmpuint(data[0], ==, data[1]);
}

static void test_guest_error(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "rhea-core-XXXXXX", NULL), *text = NULL;
    int fd = g_mkstemp(path);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(log_set_file(path, NULL) && log_set("guest_errors", NULL));
    DevMachine *m = devm_new();
    sample_new(m, NULL);
    r32(m, BASE + 0x40);
    devm_free(m);
    log_set(NULL, NULL);
    log_set_file(NULL, NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "sample: read of offset 0x40, where no register is\n");
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/device/props", test_props);
    g_test_add_func("/device/registers", test_registers);
    g_test_add_func("/device/w1c", test_w1c);
    g_test_add_func("/device/timer-irq-reset", test_timer_irq_reset);
    g_test_add_func("/device/state", test_state);
    g_test_add_func("/device/bus", test_bus);
    g_test_add_func("/device/device-add-errors", test_device_add_errors);
    g_test_add_func("/device/fuzz", test_fuzz);
    g_test_add_func("/device/guest-error", test_guest_error);
    return g_test_run();
}
