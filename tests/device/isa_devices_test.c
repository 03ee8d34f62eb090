/*
 * Small devices of ISA: serial and parallel ports, debug console and exit, ports 80, 92 and f0, pvpanic.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/char/isa_serial.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/isa/isa.h"
#include "hw/isa/pc_ports.h"

typedef struct Fixture {
    DevMachine *m;
    IsaBridge *bridge;
    DevIrq irqs[ISA_IRQS];
    Chardev *out;
} Fixture;

static void *find_chardev(const char *id, GError **err)
{
    return chardev_find(id);
}

static Fixture *isa_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autoptr(Opts) opts = opts_parse("-chardev", "ringbuf,id=out", "backend", NULL);
    f->m = devm_new();
    f->bridge = devm_add(f->m, &isabus_bridge_type, NULL);
    devm_realize(f->m, f->bridge);
    for (unsigned n = 0; n < ISA_IRQS; n++)
        f->bridge->isa.irqs[n] = devirq_init(&f->irqs[n]);
    f->out = chardev_add(opts, NULL);
    device_set_resolver(PROP_CHARDEV, find_chardev, NULL);
    return f;
}

static void isa_free(Fixture *f)
{
    devm_free(f->m);
    chardev_remove_all();
    g_free(f);
}

static Device *add(Fixture *f, const char *text)
{
    GError *err = NULL;
    Device *dev = devm_device_add(f->m, text, &err);
    g_assert_no_error(err);
    return dev;
}

static void expect_error(Fixture *f, const char *text, const char *message)
{
    GError *err = NULL;
    g_assert_null(devm_device_add(f->m, text, &err));
    g_assert_cmpstr(err->message, ==, message);
    g_error_free(err);
}

static void expect_output(Fixture *f, const char *want)
{
    char text[64] = { 0 };
    size_t len = chardev_ringbuf_read(f->out, text, sizeof(text) - 1);
    g_assert_cmpstr(text, ==, want);
    g_assert_cmpuint(len, ==, strlen(want));
}

static void test_serial(void)
{
    Fixture *f = isa_new();
    static const uint16_t ports[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    static const uint8_t lines[] = { 4, 3, 4, 3 };
    add(f, "isa-serial,chardev=out");
    for (unsigned i = 1; i < ISA_SERIALS; i++)
        add(f, "isa-serial");
    expect_error(f, "isa-serial",
                 "-device: isa-serial: index=4: 0 to 3 have a usual place; others need iobase= and irq=");
    add(f, "isa-serial,iobase=0x1000,irq=5");
    out(f->m, 0x3f8, 1, 'h');
    out(f->m, 0x3f8, 1, 'i');
    expect_output(f, "hi");
    for (unsigned i = 0; i < ISA_SERIALS; i++) {
        out(f->m, ports[i] + 7, 1, 0x50 + i);
        g_assert_cmphex(in(f->m, ports[i] + 7, 1), ==, 0x50 + i);
        g_assert_false(f->irqs[lines[i]].level);
        out(f->m, ports[i] + 1, 1, 2); /* transmitter empty */
        g_assert_true(f->irqs[lines[i]].level);
        g_assert_cmphex(in(f->m, ports[i] + 2, 1), ==, 2);
        g_assert_false(f->irqs[lines[i]].level);
    }
    out(f->m, 0x1001, 1, 2);
    g_assert_true(f->irqs[5].level);
    expect_error(f, "isa-serial,iobase=0xfffc,irq=5",
                 "-device: isa-serial: iobase=0xfffc: its ports have to end at 0xffff; 0xfff8 is the greatest");
    isa_free(f);
}

static void test_parallel(void)
{
    Fixture *f = isa_new();
    add(f, "isa-parallel,chardev=out");
    g_assert_cmphex(in(f->m, 0x379, 1), ==, 0xdf);
    g_assert_cmphex(in(f->m, 0x37a, 1), ==, 0xcc);
    out(f->m, 0x37a, 1, 0x1c);
    for (const char *p = "print"; *p; p++) {
        out(f->m, 0x378, 1, *p);
        g_assert_cmphex(in(f->m, 0x378, 1), ==, *p);
        out(f->m, 0x37a, 1, 0x1d);
        g_assert_cmphex(in(f->m, 0x379, 1) & 0x80, ==, 0);
        g_assert_false(f->irqs[7].level);
        out(f->m, 0x37a, 1, 0x1c);
        g_assert_true(f->irqs[7].level);
        g_assert_cmphex(in(f->m, 0x379, 1) & 0xc0, ==, 0x80);
        g_assert_cmphex(in(f->m, 0x379, 1) & 0xc0, ==, 0xc0);
    }
    expect_output(f, "print");
    isa_free(f);
}

static void test_debug(void)
{
    Fixture *f = isa_new();
    add(f, "isa-debugcon,chardev=out");
    g_assert_cmphex(in(f->m, 0xe9, 1), ==, 0xe9);
    out(f->m, 0xe9, 1, 'B');
    expect_output(f, "B");
    add(f, "isa-debugcon,iobase=0x402,readback=0x99");
    g_assert_cmphex(in(f->m, 0x402, 1), ==, 0x99);
    add(f, "isa-debug-exit,iobase=0xf4,iosize=4");
    expect_error(f, "isa-debug-exit,iosize=0", "-device: isa-debug-exit: iosize=0: 1 to 8 ports are possible");
    g_assert_cmphex(in(f->m, 0xf4, 4), ==, 0);
    out(f->m, 0xf4, 4, 0x10);
    g_assert_true(f->m->machine->pending.shutdown);
    g_assert_cmpint(f->m->machine->pending.status, ==, 0x21);
    isa_free(f);
}

static void test_ports(void)
{
    Fixture *f = isa_new();
    PcPorts *ports = devm_add(f->m, &pc_ports_type, NULL);
    DevIrq a20, fpu, ignne;
    ports->a20 = devirq_init(&a20);
    ports->fpu_irq = devirq_init(&fpu);
    ports->ignne = devirq_init(&ignne);
    devm_realize(f->m, ports);
    g_assert_true(a20.level);
    out(f->m, 0x80, 1, 0x55);
    g_assert_cmphex(in(f->m, 0x92, 1), ==, 2);
    out(f->m, 0x92, 1, 0);
    g_assert_false(a20.level);
    out(f->m, 0x92, 1, 2);
    g_assert_true(a20.level);
    g_assert_false(f->m->machine->pending.reset);
    out(f->m, 0x92, 1, 3);
    g_assert_true(f->m->machine->pending.reset);
    Irq ferr = pc_ports_ferr_input(ports);
    irq_set(&ferr, true);
    g_assert_true(fpu.level && !ignne.level);
    out(f->m, 0xf0, 1, 0);
    g_assert_true(!fpu.level && ignne.level);
    irq_set(&ferr, false);
    g_assert_false(ignne.level);
    isa_free(f);
}

static void test_pvpanic(void)
{
    Fixture *f = isa_new();
    add(f, "pvpanic");
    g_assert_cmphex(in(f->m, 0x505, 1), ==, 3);
    out(f->m, 0x505, 1, 2); /* the crash kernel comes: nothing to do */
    g_assert_false(f->m->machine->pending.shutdown);
    out(f->m, 0x505, 1, 1);
    g_assert_true(f->m->machine->pending.shutdown);
    g_assert_cmpint(f->m->machine->pending.cause, ==, SHUTDOWN_GUEST_PANIC);
    isa_free(f);
}

static void test_vmcoreinfo(void)
{
    Fixture *f = isa_new();
    expect_error(f, "vmcoreinfo", "-device: vmcoreinfo: the machine has no fw_cfg, in which its file would be");
    FwCfg *fw_cfg = devm_add(f->m, &fw_cfg_io_type, NULL);
    devm_realize(f->m, fw_cfg);
    f->m->machine->fw_cfg = &fw_cfg->dev;
    add(f, "vmcoreinfo");
    expect_error(f, "vmcoreinfo", "-device: vmcoreinfo: there can be only one");
    size_t len;
    const uint8_t *file = fw_cfg_file(fw_cfg, "etc/vmcoreinfo", &len);
    static const uint8_t fresh[16] = { 1 };
    g_assert_cmpmem(file, len, fresh, sizeof(fresh));
    isa_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/isa-devices/serial", test_serial);
    g_test_add_func("/isa-devices/parallel", test_parallel);
    g_test_add_func("/isa-devices/debug", test_debug);
    g_test_add_func("/isa-devices/ports", test_ports);
    g_test_add_func("/isa-devices/pvpanic", test_pvpanic);
    g_test_add_func("/isa-devices/vmcoreinfo", test_vmcoreinfo);
    return g_test_run();
}
