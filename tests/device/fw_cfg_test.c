/*
 * fw_cfg: items by bytes and by DMA, the directory of files, what firmware may get wrong.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/firmware/fw_cfg.h"
#include <string.h>

#define BASE UINT64_C(0x10100000)
enum { DATA = 0, SELECTOR = 8, DMA = 16 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };

static FwCfg *fw_cfg_new(DevMachine *m)
{
    m->machine->config.ram_size = UINT64_C(0x123456789);
    m->machine->config.cpus = 3;
    m->machine->config.max_cpus = 5;
    FwCfg *f = devm_add(m, &fw_cfg_type, NULL);
    devm_realize(m, f);
    devm_map(m, &f->mmio, BASE);
    return f;
}

static void select_key(DevMachine *m, uint16_t key)
{
    w16(m, BASE + SELECTOR, GUINT16_SWAP_LE_BE(key));
}

static void check_bytes(DevMachine *m, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        g_assert_cmphex(r8(m, BASE + DATA), ==, ((const uint8_t *)data)[i]);
}

static void test_items(void)
{
    DevMachine *m = devm_new();
    FwCfg *f = fw_cfg_new(m);
    select_key(m, FW_CFG_SIGNATURE);
    check_bytes(m, "QEMU\0\0\0", 7); /* zeros behind the end */
    select_key(m, FW_CFG_ID);
    check_bytes(m, "\3\0\0\0", 4);
    select_key(m, FW_CFG_RAM_SIZE);
    g_assert_cmphex(r64(m, BASE + DATA), ==, UINT64_C(0x123456789)); /* any width, bytes in order */
    select_key(m, FW_CFG_NB_CPUS);
    g_assert_cmphex(r16(m, BASE + DATA), ==, 3);
    select_key(m, FW_CFG_MAX_CPUS);
    g_assert_cmphex(r32(m, BASE + DATA), ==, 5);
    select_key(m, 0x7777); /* nothing */
    g_assert_cmphex(r64(m, BASE + DATA), ==, 0);
    w8(m, BASE + DATA, 1); /* ignored */
    fw_cfg_set(f, 0x7777, "abc", 3);
    fw_cfg_set(f, 0x7777, "defg", 4);
    select_key(m, 0x7777);
    check_bytes(m, "defg", 5);
    g_assert_cmphex(r16(m, BASE + SELECTOR), ==, 0x7777);
    devm_reset(m);
    check_bytes(m, "QEMU", 4);
    bad_write(m, BASE + SELECTOR, 4, 0);
    bad_write(m, BASE + SELECTOR, 1, 0);
    bad_read(m, BASE + FW_CFG_SIZE, 1);
    devm_free(m);
}

static void test_files(void)
{
    DevMachine *m = devm_new();
    FwCfg *f = fw_cfg_new(m);
    uint8_t entry[64], want[64] = { 0 };
    GError *err = NULL;
    select_key(m, FW_CFG_FILE_DIR);
    g_assert_cmphex(r32(m, BASE + DATA), ==, 0);
    g_assert_true(fw_cfg_set_file(f, "etc/first", "one", 3, NULL));
    g_assert_true(fw_cfg_set_file(f, "etc/second", "twotwo", 6, NULL));
    g_assert_true(fw_cfg_set_file(f, "etc/first", "another", 7, NULL)); /* keeps its number */
    select_key(m, FW_CFG_FILE_DIR);
    g_assert_cmphex(r32(m, BASE + DATA), ==, GUINT32_SWAP_LE_BE(2));
    for (unsigned i = 0; i < 64; i++)
        entry[i] = r8(m, BASE + DATA);
    want[3] = 7;
    want[5] = FW_CFG_FILE_FIRST;
    strcpy((char *)want + 8, "etc/first");
    g_assert_cmpmem(entry, 64, want, 64);
    select_key(m, FW_CFG_FILE_FIRST + 1);
    check_bytes(m, "twotwo", 7);
    select_key(m, FW_CFG_FILE_FIRST);
    check_bytes(m, "another", 7);
    char name[57];
    memset(name, 'n', 56);
    name[56] = 0;
    g_assert_false(fw_cfg_set_file(f, name, "", 0, &err));
    g_assert_nonnull(strstr(err->message, "is longer than 55 bytes"));
    g_clear_error(&err);
    g_assert_true(fw_cfg_set_file(f, name + 1, "", 0, NULL));
    for (unsigned i = 3; i < 64; i++) {
        g_autofree char *file = g_strdup_printf("f%u", i);
        g_assert_true(fw_cfg_set_file(f, file, &i, 4, NULL));
    }
    g_assert_false(fw_cfg_set_file(f, "too many", "", 0, &err));
    g_assert_cmpstr(err->message, ==, "fw_cfg: there are more than 64 files");
    g_clear_error(&err);
    g_assert_true(fw_cfg_set_file(f, "f63", "replaced", 8, NULL));
    select_key(m, FW_CFG_FILE_FIRST + 63);
    check_bytes(m, "replaced", 8);
    devm_free(m);
}

/* ---- DMA ---- */

static uint32_t dma(DevMachine *m, uint64_t at, uint32_t control, uint32_t length, uint64_t address, bool halves)
{
    uint32_t words[] = { GUINT32_TO_BE(control), GUINT32_TO_BE(length) };
    address = GUINT64_TO_BE(address);
    devm_put(m, at, words, 8);
    devm_put(m, at + 8, &address, 8);
    if (halves) {
        w32(m, BASE + DMA, GUINT32_SWAP_LE_BE(at >> 32));
        w32(m, BASE + DMA + 4, GUINT32_SWAP_LE_BE((uint32_t)at));
    } else {
        w64(m, BASE + DMA, GUINT64_SWAP_LE_BE(at));
    }
    return GUINT32_SWAP_LE_BE(r32(m, at));
}

static void test_dma(void)
{
    DevMachine *m = devm_new();
    FwCfg *f = fw_cfg_new(m);
    uint64_t at = devm_dma(m, 16, 16), buf = devm_dma(m, 65536, 16);
    uint8_t got[32], data[20000];
    g_assert_cmphex(GUINT64_SWAP_LE_BE(r64(m, BASE + DMA)), ==, UINT64_C(0x51454d5520434647));
    g_assert_cmphex(GUINT32_SWAP_LE_BE(r32(m, BASE + DMA)), ==, 0x51454d55);
    g_assert_cmphex(GUINT32_SWAP_LE_BE(r32(m, BASE + DMA + 4)), ==, 0x20434647);
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = i * 7 + (i >> 8);
    fw_cfg_set(f, 0x40, data, sizeof(data));
    for (unsigned halves = 0; halves < 2; halves++) {
        g_assert_cmphex(dma(m, at, 0x400000 | DMA_SELECT | DMA_READ, 10, buf, halves), ==, 0);
        devm_get(m, buf, got, 16);
        g_assert_cmpmem(got, 10, data, 10);
        g_assert_cmphex(got[10], ==, halves ? 0xff : 0);
        g_assert_cmphex(dma(m, at, DMA_SKIP, 90, 0, halves), ==, 0);
        g_assert_cmphex(dma(m, at, DMA_READ, 3, buf, halves), ==, 0);
        devm_get(m, buf, got, 3);
        g_assert_cmpmem(got, 3, data + 100, 3);
        g_assert_cmphex(r8(m, BASE + DATA), ==, data[103]); /* one position for both */
        memset(got, 0xff, sizeof(got));
        devm_put(m, buf, got, sizeof(got));
        memset(got, 0, sizeof(got));
    }
    g_assert_cmphex(dma(m, at, 0x400000 | DMA_SELECT, 0, 0, false), ==, 0);
    g_assert_cmphex(dma(m, at, DMA_READ, 40000, buf, false), ==, 0);
    g_autofree uint8_t *all = g_malloc(40000);
    devm_get(m, buf, all, 40000);
    g_assert_cmpint(memcmp(all, data, sizeof(data)), ==, 0);
    for (unsigned i = sizeof(data); i < 40000; i++)
        g_assert_cmphex(all[i], ==, 0);
    /* what goes wrong */
    g_assert_cmphex(dma(m, at, 0x400000 | DMA_SELECT | DMA_WRITE, 4, buf, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, DMA_READ, 4, 0, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, DMA_READ, 64, DEVM_RAM_BASE + DEVM_RAM_SIZE - 4, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, DMA_READ, UINT32_MAX, UINT64_MAX - 3, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, DMA_READ, 8, BASE + DMA, false), ==, DMA_ERROR); /* its own registers */
    g_assert_cmphex(dma(m, at, DMA_READ, 64 << 20, buf, false), ==, DMA_ERROR); /* far behind the item's end */
    devm_get(m, buf, got, 8);
    g_assert_cmpmem(got, 8, data, 8); /* nothing was written */
    g_assert_cmphex(dma(m, at, DMA_SKIP, UINT32_MAX, 0, false), ==, 0);
    g_assert_cmphex(dma(m, at, DMA_SKIP, UINT32_MAX, 0, false), ==, 0);
    g_assert_cmphex(r8(m, BASE + DATA), ==, 0);
    g_assert_cmphex(dma(m, at, DMA_SELECT | 0x99990000, 0, 0, false), ==, 0);
    w64(m, BASE + DMA, GUINT64_SWAP_LE_BE(UINT64_C(0x10))); /* no memory there */
    w64(m, BASE + DMA, GUINT64_SWAP_LE_BE(BASE));           /* registers */
    w64(m, BASE + DMA, UINT64_MAX);
    select_key(m, 0);
    check_bytes(m, "QEMU", 4);
    devm_free(m);
}

/* ---- a PC's ports ---- */

static void test_ports(void)
{
    enum { PORT = FW_CFG_PORT };
    DevMachine *m = devm_new();
    FwCfg *f = devm_add(m, &fw_cfg_io_type, NULL);
    uint64_t at = devm_dma(m, 16, 16), buf = devm_dma(m, 16, 16);
    devm_realize(m, f);
    m->machine->io_root.size = 1 << 16;
    DEVM_LOCKED(m, mem_add(&m->machine->io_root, PORT, &f->mmio, 0));
    out(m, PORT, 2, FW_CFG_SIGNATURE);
    for (const char *c = "QEMU"; *c; c++)
        g_assert_cmphex(in(m, PORT + 1, 1), ==, *c);
    g_assert_cmphex(in(m, PORT + 1, 1), ==, 0);
    fw_cfg_set(f, 0x7777, "ab", 2);
    out(m, PORT, 2, 0x7777);
    g_assert_cmphex(in(m, PORT, 1), ==, 'a'); /* either port gives data */
    out(m, PORT, 1, 1);                       /* and neither takes any */
    g_assert_cmphex(in(m, PORT + 1, 1), ==, 'b');
    g_assert_cmphex(GUINT32_SWAP_LE_BE(in(m, PORT + 4, 4)), ==, 0x51454d55);
    uint32_t descriptor[] = { GUINT32_TO_BE(0x77770000 | DMA_SELECT | DMA_READ), GUINT32_TO_BE(4), 0,
                              GUINT32_TO_BE((uint32_t)buf) };
    w32(m, buf, 0xffffffff);
    devm_put(m, at, descriptor, sizeof(descriptor));
    out(m, PORT + 4, 4, 0);
    out(m, PORT + 8, 4, GUINT32_SWAP_LE_BE((uint32_t)at));
    g_assert_cmphex(r32(m, at), ==, 0);
    g_assert_cmphex(r32(m, buf), ==, 'a' | 'b' << 8);
    devm_free(m);
}

/* ---- files that are written, and that are made when they are looked at ---- */

typedef struct Heard {
    FwCfg *f;
    unsigned selected, written;
    uint8_t data[8];
} Heard;

static void hear_selected(void *opaque)
{
    Heard *h = opaque;
    char text[9];
    g_snprintf(text, sizeof(text), "seen %03u", ++h->selected);
    g_assert_true(fw_cfg_set_file(h->f, "etc/made", text, 8, NULL));
}

static void hear_written(void *opaque, const uint8_t *data, size_t len)
{
    Heard *h = opaque;
    h->written++;
    g_assert_cmpuint(len, ==, sizeof(h->data));
    memcpy(h->data, data, len);
}

static void test_active(void)
{
    static const FwCfgFileOps made = { .selected = hear_selected }, taken = { .written = hear_written };
    DevMachine *m = devm_new();
    FwCfg *f = fw_cfg_new(m);
    Heard h = { .f = f };
    uint64_t at = devm_dma(m, 16, 16), buf = devm_dma(m, 64, 16);
    size_t len;
    g_assert_true(fw_cfg_set_active_file(f, "etc/made", "nothing.", 8, &made, &h, NULL));
    g_assert_true(fw_cfg_set_active_file(f, "etc/taken", "\0\0\0\0\0\0\0", 8, &taken, &h, NULL));
    const uint32_t made_key = FW_CFG_FILE_FIRST << 16, taken_key = (FW_CFG_FILE_FIRST + 1) << 16;
    select_key(m, FW_CFG_FILE_FIRST);
    check_bytes(m, "seen 001", 8);
    g_assert_cmphex(dma(m, at, made_key | DMA_SELECT | DMA_READ, 8, buf, false), ==, 0);
    g_assert_cmphex(r8(m, buf + 7), ==, '2');
    w64(m, buf, UINT64_C(0x1122334455667788));
    g_assert_cmphex(dma(m, at, taken_key | DMA_SELECT | DMA_WRITE, 4, buf + 4, false), ==, 0);
    g_assert_cmphex(dma(m, at, DMA_WRITE, 4, buf, false), ==, 0);
    g_assert_cmpuint(h.written, ==, 2);
    g_assert_cmphex(h.data[0] | h.data[3] << 8 | h.data[4] << 16, ==, 0x881144);
    g_assert_cmphex(fw_cfg_file(f, "etc/taken", &len)[7], ==, 0x55);
    g_assert_cmpuint(len, ==, 8);
    g_assert_null(fw_cfg_file(f, "etc/none", &len));
    /* what goes wrong */
    g_assert_cmphex(dma(m, at, DMA_WRITE, 1, buf, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, taken_key | DMA_SELECT | DMA_WRITE, 9, buf, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, taken_key | DMA_SELECT | DMA_WRITE, 8, 0, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, DMA_SKIP, UINT32_MAX, 0, false), ==, 0);
    g_assert_cmphex(dma(m, at, DMA_WRITE, 1, buf, false), ==, DMA_ERROR);
    g_assert_cmphex(dma(m, at, made_key | DMA_SELECT | DMA_WRITE, 4, buf, false), ==, DMA_ERROR);
    g_assert_cmpuint(h.written, ==, 2);
    devm_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fw-cfg/items", test_items);
    g_test_add_func("/fw-cfg/files", test_files);
    g_test_add_func("/fw-cfg/dma", test_dma);
    g_test_add_func("/fw-cfg/ports", test_ports);
    g_test_add_func("/fw-cfg/active", test_active);
    return g_test_run();
}
