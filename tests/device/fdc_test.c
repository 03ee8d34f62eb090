/*
 * The floppy controller with its DMA controller, and isa-ide, on an ISA bus: against image contents.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "devtest.h"
#include "hw/block/fdc.h"
#include "hw/ide/ide.h"
#include "hw/isa/isa.h"
#include "util/error.h"
#include <glib/gstdio.h>
#include <string.h>

#define DMA_BUFFER 0x10000u

static DevMachine *m;
static MemRegion low;
static IsaBridge *bridge;
static DevIrq irq6, irq14;
static char *path;

static void *find_drive(const char *id, GError **err)
{
    BlockNode *node = block_find(id);
    if (!node)
        error_set(err, "no drive '%s'", id);
    return node;
}

static void write_image(unsigned sectors)
{
    g_autofree uint8_t *data = g_malloc0(sectors * 512);
    for (unsigned i = 0; i < sectors; i++) {
        data[512 * i] = i;
        data[512 * i + 1] = i >> 8;
        data[512 * i + 511] = 0x5a;
    }
    g_assert_true(g_file_set_contents(path, (char *)data, sectors * 512, NULL));
}

static void add_drive(const char *id)
{
    GError *err = NULL;
    g_autofree char *text = g_strdup_printf("if=none,format=raw,id=%s,file=%s", id, path);
    g_autoptr(Opts) opts = opts_parse("-drive", text, NULL, &err);
    block_add_drive(opts, false, &err);
    g_assert_no_error(err);
}

static void begin(unsigned sectors)
{
    GError *err = NULL;
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    write_image(sectors);
    add_drive("d0");
    m = devm_new();
    g_assert_true(mem_ram_init(&low, m->machine, "low", 1 << 20, &err));
    devm_map(m, &low, 0);
    bridge = devm_add(m, &isabus_bridge_type, NULL);
    devm_realize(m, bridge);
    DEVM_LOCKED(m, g_assert_true(i8257_add_pair(bridge->isa.bus, &err)));
    bridge->isa.irqs[6] = devirq_init(&irq6);
    bridge->isa.irqs[14] = devirq_init(&irq14);
}

static void add_device(const char *text)
{
    GError *err = NULL;
    devm_device_add(m, text, &err);
    g_assert_no_error(err);
}

static void end(void)
{
    DEVM_LOCKED(m, mem_del(&low));
    devm_free(m);
    block_close_all();
}

/* ---- driver ---- */

static void wait_msr(uint8_t bits)
{
    int64_t limit = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while ((in(m, 0x3f4, 1) & 0xc0) != bits) {
        g_usleep(50);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
}

/* Returns the number of result bytes; execution without DMA is not for this. */
static unsigned command(const uint8_t *bytes, unsigned count, uint8_t *result, bool interrupts)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        wait_msr(0x80);
        out(m, 0x3f5, 1, bytes[i]);
    }
    int64_t limit = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while (interrupts && !__atomic_load_n(&irq6.level, __ATOMIC_SEQ_CST)) {
        g_usleep(50);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
    while (in(m, 0x3f4, 1) & 0x40)
        result[n++] = in(m, 0x3f5, 1);
    return n;
}
#define COMMAND(result, interrupts, ...) \
    command((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), result, interrupts)

static void dma_setup(unsigned bytes, bool to_memory)
{
    out(m, 0x0a, 1, 6); /* mask channel 2 */
    out(m, 0x0c, 1, 0);
    out(m, 0x0b, 1, to_memory ? 0x46 : 0x4a);
    out(m, 0x04, 1, DMA_BUFFER & 0xff);
    out(m, 0x04, 1, DMA_BUFFER >> 8 & 0xff);
    out(m, 0x81, 1, DMA_BUFFER >> 16);
    out(m, 0x05, 1, (bytes - 1) & 0xff);
    out(m, 0x05, 1, (bytes - 1) >> 8);
    out(m, 0x0a, 1, 2);
}

static void seek(unsigned track)
{
    uint8_t result[16];
    COMMAND(result, true, 0x0f, 0, track);
    g_assert_cmpuint(COMMAND(result, false, 0x08), ==, 2);
    g_assert_cmphex(result[0], ==, 0x20);
    g_assert_cmpuint(result[1], ==, track);
    g_assert_false(irq6.level);
}

static void reset_controller(void)
{
    uint8_t result[16];
    out(m, 0x3f2, 1, 0x08);
    out(m, 0x3f2, 1, 0x1c);
    g_assert_true(irq6.level);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(COMMAND(result, false, 0x08), ==, 2);
        g_assert_cmphex(result[0], ==, 0xc0 | i);
    }
    g_assert_cmpuint(COMMAND(result, false, 0x08), ==, 1);
    g_assert_cmphex(result[0], ==, 0x80);
    out(m, 0x3f7, 1, 0); /* 500 kbit/s */
    COMMAND(result, false, 0x03, 0xdf, 0x02);
}

static void check(unsigned offset, unsigned sector)
{
    uint8_t data[512];
    devm_get(m, DMA_BUFFER + offset, data, sizeof(data));
    g_assert_cmpuint(data[0] | data[1] << 8, ==, sector);
    g_assert_cmphex(data[511], ==, 0x5a);
}

static void test_read(void)
{
    uint8_t result[16];
    begin(2880);
    add_device("isa-fdc");
    add_device("floppy,drive=d0");
    Fdc *fdc = fdc_find(m->machine);
    g_assert_cmpuint(fdc_cmos_type(fdc, 0), ==, 4);
    g_assert_cmpuint(fdc_cmos_type(fdc, 1), ==, 0);
    reset_controller();
    g_assert_cmpuint(COMMAND(result, false, 0x10), ==, 1);
    g_assert_cmphex(result[0], ==, 0x90);
    g_assert_cmphex(in(m, 0x3f7, 1), ==, 0x80); /* the disk is new */
    seek(3);
    g_assert_cmphex(in(m, 0x3f7, 1), ==, 0);
    dma_setup(4 * 512, true);
    g_assert_cmpuint(COMMAND(result, true, 0xe6, 4, 3, 1, 5, 2, 18, 0x1b, 0xff), ==, 7);
    g_assert_cmphex(result[0], ==, 4);
    g_assert_cmpuint(result[5], ==, 9);
    for (unsigned i = 0; i < 4; i++)
        check(512 * i, (3 * 2 + 1) * 18 + 4 + i);
    g_assert_cmphex(in(m, 0x08, 1) & 15, ==, 4); /* terminal count */
    dma_setup(36 * 512, true);                   /* a cylinder */
    COMMAND(result, true, 0xe6, 0, 3, 0, 1, 2, 18, 0x1b, 0xff);
    g_assert_cmphex(result[0], ==, 0);
    check(35 * 512, 3 * 36 + 35);
    g_assert_cmpuint(result[3], ==, 4);
    dma_setup(3 * 512, true); /* more than there is on the track */
    COMMAND(result, true, 0x46, 0, 3, 0, 17, 2, 18, 0x1b, 0xff);
    g_assert_cmphex(result[0], ==, 0x40);
    g_assert_cmphex(result[1], ==, 0x80);
    COMMAND(result, true, 0x46, 0, 9, 0, 1, 2, 18, 0x1b, 0xff); /* not where the head is */
    g_assert_cmphex(result[1], ==, 4);
    out(m, 0x3f7, 1, 2); /* another rate finds nothing */
    COMMAND(result, true, 0x4a, 0);
    g_assert_cmphex(result[0], ==, 0x40);
    g_assert_cmpuint(COMMAND(result, false, 0x1f), ==, 1); /* no such command */
    g_assert_cmphex(result[0], ==, 0x80);
    end();
}

static void test_write(void)
{
    uint8_t result[16], data[1024];
    begin(1440); /* 720K */
    add_device("isa-fdc");
    add_device("floppy,drive=d0");
    reset_controller();
    out(m, 0x3f7, 1, 2); /* 250 kbit/s */
    seek(10);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = i * 3 + 1;
    devm_put(m, DMA_BUFFER, data, sizeof(data));
    dma_setup(sizeof(data), false);
    COMMAND(result, true, 0x45, 0, 10, 0, 4, 2, 9, 0x1b, 0xff);
    g_assert_cmphex(result[0], ==, 0);
    g_autofree char *all = NULL;
    g_assert_true(g_file_get_contents(path, &all, NULL, NULL));
    g_assert_cmpmem(all + (10 * 18 + 3) * 512, sizeof(data), data, sizeof(data));
    uint8_t ids[36];
    for (unsigned i = 0; i < 9; i++)
        memcpy(ids + 4 * i, (uint8_t[]){ 10, 1, i + 1, 2 }, 4);
    devm_put(m, DMA_BUFFER, ids, sizeof(ids));
    dma_setup(sizeof(ids), false);
    COMMAND(result, true, 0x4d, 4, 2, 9, 0x54, 0xf6);
    g_assert_cmphex(result[0], ==, 4);
    g_free(all);
    g_assert_true(g_file_get_contents(path, &all, NULL, NULL));
    g_assert_cmphex((uint8_t)all[(10 * 18 + 9) * 512], ==, 0xf6);
    g_assert_cmphex((uint8_t)all[(10 * 18 + 18) * 512 - 1], ==, 0xf6);
    g_assert_cmphex((uint8_t)all[(10 * 18 + 18) * 512], ==, (10 * 18 + 18) & 0xff);
    end();
}

/* Without DMA: byte by byte. */
static void test_pio(void)
{
    uint8_t result[16];
    begin(2880);
    add_device("isa-fdc");
    add_device("floppy,drive=d0");
    reset_controller();
    COMMAND(result, false, 0x03, 0xdf, 0x03);
    const uint8_t bytes[] = { 0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff };
    for (unsigned i = 0; i < sizeof(bytes); i++)
        out(m, 0x3f5, 1, bytes[i]);
    wait_msr(0xc0);
    for (unsigned i = 0; i < 512; i++) {
        uint8_t byte = in(m, 0x3f5, 1);
        if (i == 0)
            g_assert_cmpuint(byte, ==, 17);
    }
    g_assert_true(irq6.level);
    for (unsigned i = 0; in(m, 0x3f4, 1) & 0x40; i++)
        result[i & 15] = in(m, 0x3f5, 1);
    g_assert_cmphex(result[0], ==, 0);
    end();
}

static void test_change(void)
{
    GError *err = NULL;
    uint8_t result[16];
    begin(2880);
    add_device("isa-fdc");
    add_device("floppy,drive=d0,id=a");
    reset_controller();
    seek(1);
    g_assert_cmphex(in(m, 0x3f7, 1), ==, 0);
    DEVM_LOCKED(m, g_assert_true(block_slot_eject("d0", false, &err)));
    g_assert_cmphex(in(m, 0x3f7, 1), ==, 0x80);
    dma_setup(512, true);
    COMMAND(result, true, 0x46, 0, 1, 0, 1, 2, 18, 0x1b, 0xff);
    g_assert_cmphex(result[0] & 0xc0, ==, 0x40);
    write_image(5760);
    DEVM_LOCKED(m, g_assert_true(block_slot_change("a", path, "raw", "read-only", false, &err)));
    seek(0);
    g_assert_cmphex(in(m, 0x3f7, 1), ==, 0);
    out(m, 0x3f7, 1, 3); /* 1 Mbit/s */
    dma_setup(512, true);
    COMMAND(result, true, 0x46, 0, 0, 0, 36, 2, 36, 0x1b, 0xff);
    g_assert_cmphex(result[0], ==, 0);
    check(0, 35);
    COMMAND(result, true, 0x45, 0, 0, 0, 1, 2, 36, 0x1b, 0xff);
    g_assert_cmphex(result[1], ==, 2); /* write protected */
    end();
}

static void test_isa_ide(void)
{
    uint16_t words[256];
    begin(2880);
    add_device("isa-ide");
    add_device("ide-hd,drive=d0");
    out(m, 0x1f6, 1, 0xe0);
    out(m, 0x1f7, 1, 0xec);
    g_assert_true(irq14.level);
    g_assert_cmphex(in(m, 0x1f7, 1), ==, 0x58);
    g_assert_false(irq14.level);
    for (unsigned i = 0; i < 256; i++)
        words[i] = in(m, 0x1f0, 2);
    g_assert_cmpuint(words[60], ==, 2880);
    g_assert_cmphex(words[49] & 0x100, ==, 0); /* no DMA */
    out(m, 0x1f7, 1, 0xc8);
    g_assert_cmphex(in(m, 0x1f7, 1) & 1, ==, 1);
    IdeBus *bus = ide_bus_find(m->machine, "ide.0");
    unsigned cylinders, heads, sectors;
    g_assert_true(ide_geometry(bus, 0, &cylinders, &heads, &sectors));
    g_assert_cmpuint(cylinders, ==, 2);
    end();
}

static void collect(Device *dev, void *opaque)
{
    g_ptr_array_add(opaque, dev);
}

/* As for the types that the test over all types finds: these need an ISA bus. */
static void test_fuzz(void)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_autoptr(GPtrArray) devices = g_ptr_array_new(), fresh = g_ptr_array_new();
        begin(2880);
        add_device("isa-fdc");
        add_device("floppy,drive=d0");
        add_device("isa-ide");
        devm_reset(m);
        devm_foreach(m, collect, devices);
        for (unsigned i = 0; i < devices->len; i++)
            g_ptr_array_add(fresh, device_save(devices->pdata[i]));
        devm_fuzz(m, rand, 30000);
        for (unsigned i = 0; i < 30000; i++) { /* most ports are nobody's: aim */
            unsigned port = 0x3f0 + g_rand_int_range(rand, 0, 8);
            if (g_rand_int_range(rand, 0, 4))
                out(m, port == 0x3f6 ? 0x0a : port, 1, g_rand_int(rand) & (g_rand_boolean(rand) ? 0xff : 0x4f));
            else
                in(m, port == 0x3f6 ? 0x08 : port, 1);
        }
        devm_reset(m);
        for (unsigned i = 0; i < devices->len; i++) {
            devm_check_covered(devices->pdata[i]);
            g_autoptr(GByteArray) was = fresh->pdata[i], now = device_save(devices->pdata[i]);
            g_assert_cmpmem(was->data, was->len, now->data, now->len);
        }
        end();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    path = g_strdup_printf("%s/rhea-fdc-%d.img", g_get_tmp_dir(), g_random_int_range(0, 1 << 30));
    g_test_add_func("/fdc/read", test_read);
    g_test_add_func("/fdc/write", test_write);
    g_test_add_func("/fdc/pio", test_pio);
    g_test_add_func("/fdc/change", test_change);
    g_test_add_func("/isa-ide/identify", test_isa_ide);
    g_test_add_func("/isa/fuzz", test_fuzz);
    int status = g_test_run();
    g_unlink(path);
    g_free(path);
    return status;
}
