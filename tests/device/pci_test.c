/*
 * PCI by a sample function behind the PCI Express host bridge: BARs, configuration space, INTx, MSI-X.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/pci/gpex.h"
#include <string.h>
#include <unistd.h>

#define ECAM    UINT64_C(0x30000000)
#define WINDOW  UINT64_C(0x40000000)
#define VECTORS 40

typedef struct Sample {
    PciDevice pci;
    MemRegion small, large, ports;
    uint32_t value[3];
} Sample;

static uint64_t sample_read(void *opaque, uint64_t offset, unsigned size)
{
    return *(uint32_t *)opaque + offset;
}

static void sample_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    *(uint32_t *)opaque = value;
}

static const MemOps sample_ops = { .read = sample_read, .write = sample_write, .min_size = 4, .max_size = 4 };

static bool sample_realize(Device *dev, GError **err)
{
    Sample *s = (Sample *)dev;
    pci_set_ids(&s->pci, 0x1234, 0x5678, 0x020304, 9);
    pci_set_subsystem(&s->pci, 0x1111, 0x2222);
    pci_set_interrupt_pin(&s->pci, 1);
    mem_io_init(&s->small, dev->machine, "small", 0x1000, &sample_ops, &s->value[0]);
    mem_io_init(&s->large, dev->machine, "large", 0x100000, &sample_ops, &s->value[1]);
    mem_io_init(&s->ports, dev->machine, "ports", 0x20, &sample_ops, &s->value[2]);
    pci_add_bar(&s->pci, 0, 0, &s->small);
    pci_add_bar(&s->pci, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &s->large);
    pci_add_bar(&s->pci, 4, PCI_BAR_IO, &s->ports);
    pcie_add_endpoint_capability(&s->pci);
    return msix_init(&s->pci, VECTORS, 1, err);
}

static const StateField sample_state[] = { STATE_END };
static const DeviceType sample_type = { .name = "pci-sample",
                                        .bus = "pci",
                                        .parent = &pci_device_type,
                                        .size = sizeof(Sample),
                                        .state = sample_state,
                                        .realize = sample_realize };

typedef struct World {
    DevMachine *m;
    GpexHost *host;
    DevIrq irq[4];
} World;

static World world_new(bool msi)
{
    World w = { .m = devm_new() };
    w.host = devm_add(w.m, &gpex_host_type, NULL);
    w.host->pci.msi = msi;
    devm_realize(w.m, w.host);
    devm_map(w.m, &w.host->ecam, ECAM);
    DEVM_LOCKED(w.m, mem_alias_init(&w.host->mmio_window, w.m->machine, "window", &w.host->mmio, WINDOW, 0x10000000));
    devm_map(w.m, &w.host->mmio_window, WINDOW);
    return w;
}

static Sample *plug(World *w, const char *addr)
{
    GError *err = NULL;
    machine_lock(w->m->machine);
    Device *dev = device_new(w->m->machine, &sample_type);
    g_assert_true(device_set(dev, addr ? "addr" : "multifunction", addr ? addr : "on", &err));
    device_realize(dev, w->host->pci.bus, &err);
    g_assert_no_error(err);
    device_reset(dev);
    machine_unlock(w->m->machine);
    return (Sample *)dev;
}

static uint64_t cfg(const Sample *s, unsigned offset)
{
    return ECAM + ((uint64_t)s->pci.addr << 12) + offset;
}

/* ---- BARs ---- */

static void test_bar_sizes(void)
{
    World w = world_new(true);
    Sample *s = plug(&w, NULL);
    static const uint32_t sizes[] = { 0xfffff000, 0xfffff000, 0xfff0000c, 0xffffffff, 0xffffffe1, 0 };
    for (unsigned n = 0; n < 6; n++) {
        uint64_t at = cfg(s, PCI_BAR0 + 4 * n);
        w32(w.m, at, UINT32_MAX);
        g_assert_cmphex(r32(w.m, at), ==, sizes[n]);
        w32(w.m, at, 0);
        g_assert_cmphex(r32(w.m, at), ==, sizes[n] & 15 & (n == 3 ? 0 : 15));
    }
    w32(w.m, cfg(s, PCI_ROM), UINT32_MAX);
    g_assert_cmphex(r32(w.m, cfg(s, PCI_ROM)), ==, 0);
    devm_free(w.m);
}

static void test_bar_mapping(void)
{
    World w = world_new(false);
    Sample *s = plug(&w, NULL);
    s->value[0] = 0x11000000;
    s->value[1] = 0x22000000;
    w32(w.m, cfg(s, PCI_BAR0), WINDOW + 0x1000);
    bad_read(w.m, WINDOW + 0x1000, 4); /* memory is not enabled */
    w16(w.m, cfg(s, PCI_COMMAND), PCI_COMMAND_MEMORY);
    g_assert_cmphex(r32(w.m, WINDOW + 0x1ff0), ==, 0x11000ff0);
    w32(w.m, cfg(s, PCI_BAR0), WINDOW + 0x5abc); /* rounded down, moved */
    bad_read(w.m, WINDOW + 0x1000, 4);
    g_assert_cmphex(r32(w.m, WINDOW + 0x5004), ==, 0x11000004);
    /* sized while enabled: it goes, and comes back */
    w32(w.m, cfg(s, PCI_BAR0), UINT32_MAX);
    bad_read(w.m, WINDOW + 0x5000, 4);
    w32(w.m, cfg(s, PCI_BAR0), WINDOW + 0x5000);
    g_assert_cmphex(r32(w.m, WINDOW + 0x5000), ==, 0x11000000);
    /* 64 bits */
    w32(w.m, cfg(s, PCI_BAR0 + 12), 1);
    w32(w.m, cfg(s, PCI_BAR0 + 8), WINDOW + 0x100000);
    bad_read(w.m, WINDOW + 0x100000, 4);
    w32(w.m, cfg(s, PCI_BAR0 + 12), 0);
    g_assert_cmphex(r32(w.m, WINDOW + 0x100010), ==, 0x22000010);
    w32(w.m, cfg(s, PCI_BAR0 + 12), UINT32_MAX); /* the end of everything */
    w32(w.m, cfg(s, PCI_BAR0 + 8), UINT32_MAX);
    bad_read(w.m, WINDOW + 0x100010, 4);
    w32(w.m, cfg(s, PCI_BAR0), 0xfffff000);
    w16(w.m, cfg(s, PCI_COMMAND), 0);
    bad_read(w.m, WINDOW + 0x5000, 4);
    devm_reset(w.m);
    g_assert_cmphex(r32(w.m, cfg(s, PCI_BAR0)), ==, 0);
    g_assert_cmphex(r32(w.m, cfg(s, PCI_BAR0 + 8)), ==, 12);
    devm_free(w.m);
}

static void test_bar_overlap(void)
{
    World w = world_new(false);
    Sample *a = plug(&w, NULL), *b = plug(&w, NULL);
    a->value[0] = 0x11000000;
    b->value[1] = 0x22000000;
    w16(w.m, cfg(a, PCI_COMMAND), PCI_COMMAND_MEMORY);
    w16(w.m, cfg(b, PCI_COMMAND), PCI_COMMAND_MEMORY);
    w32(w.m, cfg(b, PCI_BAR0 + 8), WINDOW);
    w32(w.m, cfg(a, PCI_BAR0), WINDOW + 0x8000);
    g_assert_cmphex(r32(w.m, WINDOW + 0x7ffc), ==, 0x22007ffc);
    uint32_t both = r32(w.m, WINDOW + 0x8000); /* one of the two */
    g_assert_true(both == 0x11000000 || both == 0x22008000);
    g_assert_cmphex(r32(w.m, WINDOW + 0x9000), ==, 0x22009000);
    w16(w.m, cfg(a, PCI_COMMAND), 0);
    g_assert_cmphex(r32(w.m, WINDOW + 0x8000), ==, 0x22008000);
    w16(w.m, cfg(a, PCI_COMMAND), PCI_COMMAND_MEMORY);
    w16(w.m, cfg(b, PCI_COMMAND), 0);
    g_assert_cmphex(r32(w.m, WINDOW + 0x8000), ==, 0x11000000);
    bad_read(w.m, WINDOW + 0x9000, 4);
    devm_free(w.m);
}

static Device *with_rom(World *w, const char *file)
{
    Device *dev = device_new(w->m->machine, &sample_type);
    g_assert_true(device_set(dev, "romfile", file, NULL));
    return dev;
}

static void test_rom(void)
{
    World w = world_new(false);
    g_autofree char *path = g_strdup_printf("%s/rhea-rom-%d", g_get_tmp_dir(), getpid());
    g_autoptr(GError) err = NULL;
    uint8_t data[5000];
    memset(data, 0x5a, sizeof(data));
    data[0] = 0x55;
    g_assert_true(g_file_set_contents(path, (const char *)data, sizeof(data), NULL));
    machine_lock(w.m->machine);
    Device *none = with_rom(&w, "no-such-rom.bin"), *dev = with_rom(&w, path);
    g_assert_false(device_realize(none, w.host->pci.bus, &err));
    g_assert_nonnull(strstr(err->message, "no-such-rom.bin"));
    device_free(none);
    g_assert_true(device_realize(dev, w.host->pci.bus, NULL));
    device_reset(dev);
    machine_unlock(w.m->machine);
    unlink(path);
    const Sample *s = (const Sample *)dev;
    w32(w.m, cfg(s, PCI_ROM), UINT32_MAX);
    g_assert_cmphex(r32(w.m, cfg(s, PCI_ROM)), ==, 0xffffe001); /* 8 KiB */
    w32(w.m, cfg(s, PCI_ROM), WINDOW + 0x4000);
    w16(w.m, cfg(s, PCI_COMMAND), PCI_COMMAND_MEMORY);
    bad_read(w.m, WINDOW + 0x4000, 4); /* has an enable bit of its own */
    w32(w.m, cfg(s, PCI_ROM), WINDOW + 0x4001);
    g_assert_cmphex(r32(w.m, WINDOW + 0x4000), ==, 0x5a5a5a55);
    g_assert_cmphex(r8(w.m, WINDOW + 0x4000 + 4999), ==, 0x5a);
    g_assert_cmphex(r8(w.m, WINDOW + 0x4000 + 5000), ==, 0);
    w32(w.m, WINDOW + 0x4000, 0);
    g_assert_cmphex(r32(w.m, WINDOW + 0x4000), ==, 0x5a5a5a55);
    w32(w.m, cfg(s, PCI_ROM), WINDOW + 0x8001); /* moved */
    bad_read(w.m, WINDOW + 0x4000, 4);
    g_assert_cmphex(r32(w.m, WINDOW + 0x8000), ==, 0x5a5a5a55);
    devm_reset(w.m);
    bad_read(w.m, WINDOW + 0x8000, 4);
    devm_free(w.m);
}

/* ---- configuration space ---- */

static void test_config(void)
{
    World w = world_new(true);
    Sample *s = plug(&w, "5");
    uint64_t at = cfg(s, 0);
    g_assert_cmpint(s->pci.addr, ==, 0x28);
    g_assert_cmphex(r32(w.m, at), ==, 0x56781234);
    g_assert_cmphex(r16(w.m, at + 2), ==, 0x5678);
    g_assert_cmphex(r8(w.m, at + 3), ==, 0x56);
    g_assert_cmphex(r64(w.m, at), ==, UINT64_C(0x0010000056781234));
    g_assert_cmphex(r32(w.m, at + 8), ==, 0x02030409);
    g_assert_cmphex(r32(w.m, at + 0x2c), ==, 0x22221111);
    bad_read(w.m, at + 2, 4); /* not aligned */
    bad_read(w.m, at + 1, 2);
    w32(w.m, at, 0);
    w32(w.m, at + 8, 0);
    w16(w.m, at + 0x2c, 0);
    w8(w.m, at + PCI_HEADER_TYPE, 0xff);
    w8(w.m, at + PCI_INTERRUPT_PIN, 3);
    w8(w.m, at + PCI_CAPABILITIES, 0);
    g_assert_cmphex(r64(w.m, at), ==, UINT64_C(0x0010000056781234));
    g_assert_cmphex(r32(w.m, at + 8), ==, 0x02030409);
    g_assert_cmphex(r8(w.m, at + PCI_HEADER_TYPE), ==, 0);
    g_assert_cmphex(r8(w.m, at + PCI_INTERRUPT_PIN), ==, 1);
    w8(w.m, at + PCI_INTERRUPT_LINE, 0x5a);
    g_assert_cmphex(r16(w.m, at + PCI_INTERRUPT_LINE), ==, 0x015a);
    w16(w.m, at + PCI_COMMAND, 0xffff);
    g_assert_cmphex(r16(w.m, at + PCI_COMMAND), ==, 0x0547);
    w8(w.m, at + PCI_COMMAND + 1, 0);
    g_assert_cmphex(r16(w.m, at + PCI_COMMAND), ==, 0x0047);
    w32(w.m, at + PCI_COMMAND, 0xffff0000);
    g_assert_cmphex(r32(w.m, at + PCI_COMMAND), ==, 0x00100000);
    g_assert_cmphex(r32(w.m, at + 0xffc), ==, 0); /* extended space: no capability */
    g_assert_cmphex(r32(w.m, at + 0x100), ==, 0);
    g_assert_cmphex(r32(w.m, at + 0x1000), ==, UINT32_MAX);                /* no function 5.1 */
    g_assert_cmphex(r16(w.m, ECAM + (6 << 15)), ==, 0xffff);               /* no slot 6 */
    g_assert_cmphex(r32(w.m, ECAM + (1 << 20) + 0x28000), ==, UINT32_MAX); /* no bus 1 */
    w32(w.m, ECAM + (1 << 20), 0);
    w32(w.m, ECAM + (6 << 15), 0);
    g_assert_cmphex(r32(w.m, ECAM), ==, 0x00081b36);
    devm_free(w.m);
}

static void test_capabilities(void)
{
    World w = world_new(true);
    Sample *s = plug(&w, NULL);
    unsigned seen = 0, count = 0;
    for (unsigned cap = r8(w.m, cfg(s, PCI_CAPABILITIES)); cap; cap = r8(w.m, cfg(s, cap + 1))) {
        g_assert_cmpuint(cap, >=, 0x40);
        g_assert_cmpuint(cap & 3, ==, 0);
        g_assert_cmpuint(++count, <, 10);
        uint8_t id = r8(w.m, cfg(s, cap));
        seen |= id == PCI_CAP_EXPRESS ? 1 : id == PCI_CAP_MSIX ? 2 : 4;
        if (id == PCI_CAP_MSIX) {
            g_assert_cmphex(r16(w.m, cfg(s, cap + 2)), ==, VECTORS - 1);
            w16(w.m, cfg(s, cap + 2), 0xffff);
            g_assert_cmphex(r16(w.m, cfg(s, cap + 2)), ==, 0xc000 | (VECTORS - 1));
            g_assert_cmphex(r32(w.m, cfg(s, cap + 4)), ==, 1);
        }
    }
    g_assert_cmpuint(seen, ==, 3);
    g_assert_cmpuint(count, ==, 2);
    devm_free(w.m);
}

static void test_addresses(void)
{
    World w = world_new(false);
    static const char *const bad[] = { "20", "1.8", "x", "1.", "", "1.0.0", "-1" };
    Sample *first = plug(&w, NULL), *second = plug(&w, "1.3"), *third = plug(&w, NULL);
    g_assert_cmpint(first->pci.addr, ==, 8);
    g_assert_cmpint(second->pci.addr, ==, 11);
    g_assert_cmpint(third->pci.addr, ==, 16);
    machine_lock(w.m->machine);
    for (unsigned i = 0; i <= G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        Device *dev = device_new(w.m->machine, &sample_type);
        g_assert_true(device_set(dev, "addr", i < G_N_ELEMENTS(bad) ? bad[i] : "1.3", NULL));
        g_assert_false(device_realize(dev, w.host->pci.bus, &err));
        g_assert_nonnull(strstr(err->message, i < G_N_ELEMENTS(bad) ? "a PCI address is a slot" : "is taken by"));
        device_free(dev);
    }
    device_free(&second->pci.dev);
    machine_unlock(w.m->machine);
    g_assert_cmphex(r32(w.m, ECAM + (11 << 12)), ==, UINT32_MAX);
    g_assert_cmpint(plug(&w, "1.3")->pci.addr, ==, 11);
    g_assert_cmphex(r8(w.m, cfg(first, 0x0e)), ==, 0x80);
    Sample *alone = plug(&w, "5");
    g_assert_cmphex(r8(w.m, cfg(alone, 0x0e)), ==, 0);
    machine_lock(w.m->machine);
    g_autoptr(GError) err = NULL;
    Device *dev = device_new(w.m->machine, &sample_type);
    g_assert_true(device_set(dev, "addr", "5.1", NULL));
    g_assert_false(device_realize(dev, w.host->pci.bus, &err));
    g_assert_nonnull(strstr(err->message, "has not multifunction=on"));
    device_free(dev);
    machine_unlock(w.m->machine);
    devm_free(w.m);
}

/* ---- interrupts ---- */

static void test_intx(void)
{
    World w = { .m = devm_new() };
    w.host = devm_add(w.m, &gpex_host_type, NULL);
    for (unsigned i = 0; i < 4; i++)
        w.host->pci.intx[i] = devirq_init(&w.irq[i]);
    devm_realize(w.m, w.host);
    devm_map(w.m, &w.host->ecam, ECAM);
    Sample *a = plug(&w, "2"), *b = plug(&w, "6"), *c = plug(&w, "3"); /* a and b share a line */
    pci_set_irq(&a->pci, true);
    pci_set_irq(&b->pci, true);
    g_assert_true(w.irq[2].level);
    g_assert_false(w.irq[3].level);
    pci_set_irq(&a->pci, false);
    g_assert_true(w.irq[2].level);
    w16(w.m, cfg(b, PCI_COMMAND), PCI_COMMAND_INTX_DISABLE);
    g_assert_false(w.irq[2].level);
    g_assert_cmphex(r16(w.m, cfg(b, PCI_STATUS)) & PCI_STATUS_INTERRUPT, ==, PCI_STATUS_INTERRUPT);
    pci_set_irq(&c->pci, true);
    g_assert_true(w.irq[3].level);
    w16(w.m, cfg(b, PCI_COMMAND), 0);
    g_assert_true(w.irq[2].level);
    devm_reset(w.m);
    g_assert_false(w.irq[2].level);
    g_assert_false(w.irq[3].level);
    pci_set_irq(&b->pci, true);
    DEVM_LOCKED(w.m, device_free(&b->pci.dev)); /* takes its interrupt away */
    g_assert_false(w.irq[2].level);
    devm_free(w.m);
}

static void check_pending(World *w, unsigned vector, bool pending)
{
    uint64_t pba = WINDOW + 0x800;
    g_assert_cmpint(r32(w->m, pba + vector / 32 * 4) >> vector % 32 & 1, ==, pending);
}

static void test_msix(void)
{
    World w = world_new(true);
    Sample *s = plug(&w, NULL);
    uint64_t ram = devm_dma(w.m, 4096, 4096), entry = WINDOW + 16 * 33;
    unsigned control = s->pci.msix_cap + 2;
    w32(w.m, cfg(s, PCI_BAR0 + 4), WINDOW);
    w16(w.m, cfg(s, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmphex(r32(w.m, entry + 12), ==, 1); /* masked at first */
    w64(w.m, entry, ram + 2);                     /* the low bits are not there */
    g_assert_cmphex(r64(w.m, entry), ==, ram);
    w32(w.m, entry + 8, 0xabcd);
    w32(w.m, entry + 12, UINT32_MAX);
    g_assert_cmphex(r32(w.m, entry + 12), ==, 1);
    bad_read(w.m, entry + 2, 2);
    bad_read(w.m, WINDOW + 16 * VECTORS, 4);

    msix_notify(&s->pci, 33); /* not enabled: it waits */
    check_pending(&w, 33, true);
    w16(w.m, cfg(s, control), 0x8000);
    check_pending(&w, 33, true);
    g_assert_cmphex(r32(w.m, ram), ==, 0);
    w32(w.m, WINDOW + 0x804, 0); /* read-only */
    check_pending(&w, 33, true);
    w32(w.m, entry + 12, 0);
    g_assert_cmphex(r32(w.m, ram), ==, 0xabcd);
    check_pending(&w, 33, false);
    w32(w.m, ram, 0);
    w16(w.m, cfg(s, control), 0xc000); /* all of the function */
    msix_notify(&s->pci, 33);
    g_assert_cmphex(r32(w.m, ram), ==, 0);
    check_pending(&w, 33, true);
    w16(w.m, cfg(s, control), 0x8000);
    g_assert_cmphex(r32(w.m, ram), ==, 0xabcd);
    check_pending(&w, 33, false);
    w32(w.m, ram, 0);
    msix_notify(&s->pci, VECTORS); /* not there */
    msix_notify(&s->pci, 33);
    g_assert_cmphex(r32(w.m, ram), ==, 0xabcd);
    w32(w.m, entry + 12, 1);
    msix_notify(&s->pci, 33);
    devm_reset(w.m);
    w32(w.m, cfg(s, PCI_BAR0 + 4), WINDOW);
    w16(w.m, cfg(s, PCI_COMMAND), PCI_COMMAND_MEMORY);
    g_assert_cmphex(r32(w.m, entry + 12), ==, 1);
    g_assert_cmphex(r64(w.m, entry), ==, 0);
    check_pending(&w, 33, false);
    devm_free(w.m);
}

/* What a loaded state must bring along: the same BARs and lines. */
static void test_state(void)
{
    World w = world_new(true), other = world_new(true);
    Sample *s = plug(&w, NULL), *twin = plug(&other, NULL);
    w32(w.m, cfg(s, PCI_BAR0 + 4), WINDOW);
    w16(w.m, cfg(s, PCI_COMMAND), PCI_COMMAND_MEMORY);
    w32(w.m, WINDOW + 8, 77);
    devm_check_twin(&s->pci.dev, &twin->pci.dev);
    g_assert_cmphex(r32(other.m, cfg(twin, PCI_BAR0 + 4)), ==, WINDOW);
    devm_free(w.m);
    devm_free(other.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pci/bar-sizes", test_bar_sizes);
    g_test_add_func("/pci/bar-mapping", test_bar_mapping);
    g_test_add_func("/pci/bar-overlap", test_bar_overlap);
    g_test_add_func("/pci/rom", test_rom);
    g_test_add_func("/pci/config", test_config);
    g_test_add_func("/pci/capabilities", test_capabilities);
    g_test_add_func("/pci/addresses", test_addresses);
    g_test_add_func("/pci/intx", test_intx);
    g_test_add_func("/pci/msix", test_msix);
    g_test_add_func("/pci/state", test_state);
    return g_test_run();
}
