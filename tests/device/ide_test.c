/*
 * IDE drives on PATA controllers: PIO, DMA, CHS, LBA48, ATAPI against an image's contents; what guests should not do.
 * The PIIX sits on the PCI bus of a RISC-V board, whose port window stands for a PC's ports.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "devtest.h"
#include "hw/ide/ahci.h"
#include "hw/ide/piix.h"
#include "hw/pci/pci.h"
#include "util/error.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#define PORTS     0x3000000ull
#define ECAM      0x30000000ull
#define BMDMA     0xc000u
#define AHCI_BASE 0x40000000ull
#define RAM       DEVM_RAM_BASE
#define SECTORS   4096u

enum { DATA = 0x1f0, FEATURE, COUNT, LOW, MID, HIGH, DEVICE, COMMAND, CONTROL = 0x3f6 };

static char *folder;
static DevMachine *m;

/* ---- a disk that refuses ---- */

static int failure;      /* atomic: errno of every request, or 0 */
static unsigned refused; /* atomic: how many failed */

static int fail_rw(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    int error = __atomic_load_n(&failure, __ATOMIC_SEQ_CST);
    if (error)
        __atomic_fetch_add(&refused, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < count && !error; i++)
        memset(iov[i].iov_base, 0x77, iov[i].iov_len);
    return error;
}

static int accept_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return fail_rw(node, 0, NULL, 0, 0);
}

static int fail_flush(BlockNode *node)
{
    return fail_rw(node, 0, NULL, 0, 0);
}

static const BlockDriver fail_driver = { .name = "fail", .read = fail_rw, .write = accept_write, .flush = fail_flush };
static BlockNode fail_node = { .driver = &fail_driver, .name = (char *)"bad", .size = 2 << 20, .refs = 1 };

static void fail_with(int error)
{
    __atomic_store_n(&failure, error, __ATOMIC_SEQ_CST);
    __atomic_store_n(&refused, 0, __ATOMIC_SEQ_CST);
}

static void *find_drive(const char *id, GError **err)
{
    BlockNode *node = !strcmp(id, "bad") ? &fail_node : block_find(id);
    if (!node)
        error_set(err, "no drive '%s'", id);
    return node;
}

/* ---- images: every sector begins with its number ---- */

static char *image(const char *name, unsigned sectors, unsigned size)
{
    g_autofree uint8_t *data = g_malloc0((size_t)sectors * size);
    for (unsigned i = 0; i < sectors; i++) {
        uint32_t n = GUINT32_TO_LE(i);
        memcpy(data + (size_t)i * size, &n, 4);
        data[(size_t)i * size + size - 1] = 0x5a;
    }
    char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, (char *)data, (gssize)sectors * size, NULL));
    return path;
}

static void add_drive(const char *id, const char *path, bool cdrom)
{
    GError *err = NULL;
    g_autofree char *text =
        path ? g_strdup_printf("if=none,format=raw,id=%s,file=%s%s", id, path, cdrom ? ",media=cdrom" : "")
             : g_strdup_printf("if=none,id=%s,media=cdrom", id);
    g_autoptr(Opts) opts = opts_parse("-drive", text, NULL, &err);
    block_add_drive(opts, false, &err);
    g_assert_no_error(err);
}

static void add_device(const char *text)
{
    GError *err = NULL;
    devm_device_add(m, text, &err);
    g_assert_no_error(err);
}

static void config_write(unsigned slot, unsigned offset, unsigned size, uint32_t value)
{
    g_assert_cmpint(as_store(&m->machine->memory, ECAM + (slot << 15) + offset, size, value), ==, MEM_OK);
}

static void place_bars(void)
{
    config_write(5, PCI_BAR0 + 16, 4, BMDMA);
    config_write(5, PCI_BAR0 + 20, 4, AHCI_BASE);
    config_write(5, PCI_COMMAND, 2, 7);
}

static const char *disk_drive = "d0"; /* what ide-hd is on */

static void begin(const char *controller)
{
    GError *err = NULL;
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    m = devm_build(machine_type_find("virt", "riscv64"), "riscv64", &err);
    g_assert_no_error(err);
    g_autofree char *disk = image("disk", SECTORS, 512), *cd = image("cd", 300, 2048);
    add_drive("d0", disk, false);
    add_drive("c0", cd, true);
    g_autofree char *text = g_strdup_printf("%s,id=ide,addr=05.0", controller);
    add_device(text);
    g_autofree char *hd = g_strdup_printf("ide-hd,drive=%s,bus=ide.0,unit=0,serial=TEST1,id=disk", disk_drive);
    add_device(hd);
    add_device(strstr(controller, "ahci") ? "ide-cd,drive=c0,bus=ide.1,id=cd"
                                          : "ide-cd,drive=c0,bus=ide.1,unit=0,id=cd");
    devm_reset(m);
    place_bars();
}

static void end(void)
{
    devm_free(m);
    block_close_all();
}

/* ---- PATA driver ---- */

static unsigned channel; /* 0 or 1 */

static uint64_t port(unsigned n)
{
    return PORTS + n - (channel ? 0x80 : 0);
}

static uint8_t status(void)
{
    return r8(m, port(CONTROL));
}

static uint8_t wait_idle(void)
{
    int64_t limit = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while (status() & IDE_BSY) {
        g_usleep(50);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
    return status();
}

static void task(uint64_t lba, unsigned count, unsigned device, bool ext)
{
    w8(m, port(DEVICE), device | (ext ? 0 : lba >> 24 & 15));
    if (ext) {
        w8(m, port(COUNT), count >> 8);
        w8(m, port(LOW), lba >> 24);
        w8(m, port(MID), lba >> 32);
        w8(m, port(HIGH), lba >> 40);
    }
    w8(m, port(COUNT), count);
    w8(m, port(LOW), lba);
    w8(m, port(MID), lba >> 8);
    w8(m, port(HIGH), lba >> 16);
}

static void pio_in(void *data, unsigned bytes, unsigned width)
{
    uint8_t *to = data;
    for (unsigned i = 0; i < bytes; i += width) {
        uint32_t value = width == 4 ? r32(m, port(DATA)) : r16(m, port(DATA));
        memcpy(to + i, &value, width);
    }
}

static void pio_out(const void *data, unsigned bytes, unsigned width)
{
    const uint8_t *from = data;
    for (unsigned i = 0; i < bytes; i += width) {
        uint32_t value = 0;
        memcpy(&value, from + i, width);
        if (width == 4)
            w32(m, port(DATA), value);
        else
            w16(m, port(DATA), value);
    }
}

static void read_pio(unsigned command, uint64_t lba, unsigned count, unsigned block, void *data, unsigned width)
{
    bool ext = command == 0x24 || command == 0x29;
    task(lba, count, 0xe0, ext);
    w8(m, port(COMMAND), command);
    for (unsigned done = 0; done < count; done += block) {
        unsigned n = MIN(block, count - done);
        g_assert_cmphex(wait_idle() & (IDE_DRQ | IDE_ERR), ==, IDE_DRQ);
        pio_in((uint8_t *)data + done * 512, n * 512, width);
    }
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC);
}

static void check_sector(const uint8_t *data, uint32_t n, unsigned size)
{
    uint32_t value;
    memcpy(&value, data, 4);
    g_assert_cmpuint(GUINT32_FROM_LE(value), ==, n);
    g_assert_cmphex(data[size - 1], ==, 0x5a);
}

static void test_pio(void)
{
    static uint8_t data[300 * 512];
    uint16_t words[256];
    begin("piix3-ide");
    channel = 0;
    g_assert_cmphex(status(), ==, IDE_DRDY | IDE_DSC);
    task(0, 0, 0xa0, false);
    w8(m, port(COMMAND), 0xec);
    g_assert_cmphex(wait_idle() & (IDE_DRQ | IDE_ERR), ==, IDE_DRQ);
    pio_in(words, 512, 2);
    g_assert_cmphex(words[0], ==, 0x40);
    g_assert_cmphex(
        words[48], ==,
        0x4000); /* its bit 0 was "32-bit I/O" once and is Trusted Computing in ATA-8, which word 80 claims */
    g_assert_cmphex(words[80] & 0x100, ==, 0x100);
    g_assert_cmpuint(words[60] | words[61] << 16, ==, SECTORS);
    g_assert_cmpuint(words[100], ==, SECTORS);
    g_assert_cmphex(words[10], ==, 'T' << 8 | 'E');
    uint8_t sum = 0;
    for (unsigned i = 0; i < 512; i++)
        sum += ((uint8_t *)words)[i];
    g_assert_cmpuint(sum, ==, 0);
    g_assert_cmphex(status(), ==, IDE_DRDY | IDE_DSC);
    read_pio(0x20, 100, 5, 1, data, 2);
    for (unsigned i = 0; i < 5; i++)
        check_sector(data + 512 * i, 100 + i, 512);
    read_pio(0x24, 77, 300, 1, data, 4); /* more than the buffer holds */
    for (unsigned i = 0; i < 300; i++)
        check_sector(data + 512 * i, 77 + i, 512);
    read_pio(0xc4, 10, 40, 16, data, 4);
    check_sector(data + 512 * 39, 49, 512);
    read_pio(0x20, 0, 256, 1, data, 4); /* count 0 */
    check_sector(data + 512 * 255, 255, 512);
    /* CHS: cylinder 1, head 2, sector 3 of 16 heads, 63 sectors */
    w8(m, port(DEVICE), 0xa2);
    w8(m, port(COUNT), 1);
    w8(m, port(LOW), 3);
    w8(m, port(MID), 1);
    w8(m, port(HIGH), 0);
    w8(m, port(COMMAND), 0x20);
    wait_idle();
    pio_in(data, 512, 2);
    check_sector(data, (16 + 2) * 63 + 2, 512);
    end();
}

static void check_image(const char *name, unsigned sector, const void *want, unsigned bytes)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *all = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &all, &size, NULL));
    g_assert_cmpmem(all + 512 * sector, bytes, want, bytes);
}

static void test_pio_write(void)
{
    static uint8_t data[200 * 512];
    begin("piix3-ide");
    channel = 0;
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = i * 7 + i / 512;
    task(1000, 200, 0xe0, false);
    w8(m, port(COMMAND), 0x30);
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmphex(wait_idle() & (IDE_DRQ | IDE_ERR), ==, IDE_DRQ);
        pio_out(data + 512 * i, 512, i & 1 ? 2 : 4);
    }
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC);
    w8(m, port(COMMAND), 0xe7);
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC);
    check_image("disk", 1000, data, sizeof(data));
    /* Behind the end; unknown commands; a multiple that is off. */
    task(SECTORS - 1, 2, 0xe0, false);
    w8(m, port(COMMAND), 0x30);
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC | IDE_ERR);
    g_assert_cmphex(r8(m, port(FEATURE)), ==, IDE_IDNF);
    w8(m, port(COMMAND), 0x45);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, IDE_ERR);
    g_assert_cmphex(r8(m, port(FEATURE)), ==, IDE_ABRT);
    w8(m, port(COUNT), 0);
    w8(m, port(COMMAND), 0xc6);
    w8(m, port(COUNT), 1);
    w8(m, port(COMMAND), 0xc4);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, IDE_ERR);
    /* Native size, and less of it. */
    w8(m, port(COMMAND), 0xf8);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, 0);
    g_assert_cmphex(r8(m, port(LOW)) | r8(m, port(MID)) << 8, ==, SECTORS - 1);
    task(99, 0, 0xe0, false);
    w8(m, port(COMMAND), 0xf9);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, 0);
    task(100, 1, 0xe0, false);
    w8(m, port(COMMAND), 0x20);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, IDE_ERR);
    end();
}

/* ---- bus master ---- */

static uint64_t bm(unsigned n)
{
    return PORTS + BMDMA + n + 8 * channel;
}

static uint8_t dma(unsigned command, uint64_t lba, unsigned count, uint64_t table)
{
    bool ext = command == 0x25 || command == 0x35, write = command == 0xca || command == 0x35;
    w32(m, bm(4), table);
    w8(m, bm(2), 6);
    w8(m, bm(0), write ? 0 : 8);
    task(lba, count, 0xe0, ext);
    w8(m, port(COMMAND), command);
    w8(m, bm(0), write ? 1 : 9);
    int64_t limit = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while (!(r8(m, bm(2)) & 4) && r8(m, bm(2)) & 1) {
        g_usleep(50);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
    uint8_t result = r8(m, bm(2));
    w8(m, bm(0), 0);
    return result & 7;
}

static void prd(uint64_t at, uint32_t address, uint32_t bytes, bool last)
{
    w32(m, at, address);
    w32(m, at + 4, (bytes & 0xffff) | (last ? 1u << 31 : 0));
}

static void test_dma(void)
{
    static uint8_t data[256 * 512];
    begin("piix3-ide");
    channel = 0;
    uint64_t table = RAM + 0x1000, buffer = RAM + 0x10000;
    prd(table, buffer, 0x200 + 2, false);
    prd(table + 8, buffer + 0x202, 0x3fe, false);
    prd(table + 16, buffer + 0x100000, 0, false); /* 64 KiB */
    prd(table + 24, buffer + 0x110000, 0xfa00, true);
    g_assert_cmphex(dma(0xc8, 500, 256, table), ==, 4); /* all used: not active any more */
    devm_get(m, buffer, data, 0x600);
    for (unsigned i = 0; i < 3; i++)
        check_sector(data + 512 * i, 500 + i, 512);
    devm_get(m, buffer + 0x100000, data, 253 * 512);
    for (unsigned i = 0; i < 253; i++)
        check_sector(data + 512 * i, 503 + i, 512);
    prd(table, buffer + 0x100000, 0x400, false);
    g_assert_cmphex(dma(0x35, 2000, 2, table), ==, 5); /* the table is longer */
    check_image("disk", 2000, data, 1024);
    /* Too short a table: no interrupt, not active. */
    prd(table, buffer, 0x200, true);
    g_assert_cmphex(dma(0x25, 0, 2, table), ==, 0);
    wait_idle();
    /* No RAM: an error. */
    prd(table, 0x10, 0x200, true);
    g_assert_cmphex(dma(0x25, 0, 1, table) & 6, ==, 6);
    g_assert_cmphex(dma(0x25, 0, 1, 0x20) & 6, ==, 6);
    /* A table of the smallest entries, without end; the bus master bit off. */
    for (unsigned i = 0; i < 8192; i++)
        prd(RAM + 0x20000 + 8 * i, RAM + 0x80000 + 2 * i, 2, false);
    g_assert_cmphex(dma(0x25, 0, 64, RAM + 0x20000) & 2, ==, 0);
    wait_idle();
    prd(table, buffer, 0x200, true);
    config_write(5, PCI_COMMAND, 2, 3);
    g_assert_cmphex(dma(0x25, 0, 1, table) & 2, ==, 2);
    config_write(5, PCI_COMMAND, 2, 7);
    g_assert_cmphex(dma(0x25, 9, 1, table), ==, 4);
    check_sector((devm_get(m, buffer, data, 512), data), 9, 512);
    end();
}

static void test_reset(void)
{
    begin("piix4-ide");
    channel = 0;
    w8(m, port(CONTROL), 4);
    g_assert_cmphex(status() & IDE_BSY, ==, IDE_BSY);
    w8(m, port(CONTROL), 0);
    wait_idle();
    g_assert_cmphex(r8(m, port(FEATURE)), ==, 1);
    g_assert_cmphex(r8(m, port(MID)) | r8(m, port(HIGH)) << 8, ==, 0);
    channel = 1;
    w8(m, port(CONTROL), 4);
    w8(m, port(CONTROL), 0);
    wait_idle();
    g_assert_cmphex(r8(m, port(MID)) | r8(m, port(HIGH)) << 8, ==, 0xeb14);
    w8(m, port(DEVICE), 0xb0); /* nobody there */
    g_assert_cmphex(status(), ==, 0);
    end();
}

/* ---- ATAPI ---- */

/* Returns the bytes that came; *error is the error register. */
static unsigned packet(const uint8_t *cdb, unsigned bytes, void *data, unsigned limit, uint8_t *error)
{
    unsigned done = 0;
    w8(m, port(DEVICE), 0xa0);
    w8(m, port(FEATURE), 0);
    w8(m, port(MID), limit);
    w8(m, port(HIGH), limit >> 8);
    w8(m, port(COMMAND), 0xa0);
    g_assert_cmphex(wait_idle() & IDE_DRQ, ==, IDE_DRQ);
    g_assert_cmphex(r8(m, port(COUNT)), ==, IDE_CD);
    uint8_t padded[12] = { 0 };
    memcpy(padded, cdb, bytes);
    pio_out(padded, 12, 2);
    while (wait_idle() & IDE_DRQ) {
        unsigned n = r8(m, port(MID)) | r8(m, port(HIGH)) << 8;
        g_assert_cmphex(r8(m, port(COUNT)), ==, IDE_IO);
        g_assert_cmpuint(n, <=, limit);
        pio_in((uint8_t *)data + done, n, 2);
        done += n;
    }
    g_assert_cmphex(r8(m, port(COUNT)), ==, IDE_IO | IDE_CD);
    *error = status() & IDE_ERR ? r8(m, port(FEATURE)) : 0;
    return done;
}
#define PACKET(data, error, ...) \
    packet((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), data, 0x1000, error)

static void expect_sense(uint8_t sense, uint8_t asc)
{
    uint8_t data[32], error;
    g_assert_cmpuint(PACKET(data, &error, 0x03, 0, 0, 0, 18), ==, 18);
    g_assert_cmphex(data[2], ==, sense);
    g_assert_cmphex(data[12], ==, asc);
}

static void test_atapi(void)
{
    static uint8_t data[64 * 2352];
    uint8_t error;
    GError *err = NULL;
    begin("piix3-ide");
    channel = 1;
    g_assert_cmpuint(PACKET(data, &error, 0x12, 0, 0, 0, 36), ==, 36);
    g_assert_cmphex(data[0], ==, 5);
    PACKET(data, &error, 0x00);
    g_assert_cmphex(error, ==, 0);
    g_assert_cmpuint(PACKET(data, &error, 0x25), ==, 8);
    g_assert_cmpuint(data[2] << 8 | data[3], ==, 299);
    g_assert_cmpuint(PACKET(data, &error, 0x28, 0, 0, 0, 0, 7, 0, 0, 50), ==, 50 * 2048);
    for (unsigned i = 0; i < 50; i++)
        check_sector(data + 2048 * i, 7 + i, 2048);
    g_assert_cmpuint(PACKET(data, &error, 0xbe, 0, 0, 0, 0, 3, 0, 0, 2, 0xf8), ==, 2 * 2352);
    check_sector(data + 16, 3, 2048);
    check_sector(data + 2352 + 16, 4, 2048);
    g_assert_cmphex(data[1], ==, 0xff);
    g_assert_cmpuint(data[14], ==, 3);
    g_assert_cmpuint(PACKET(data, &error, 0x43, 0, 0, 0, 0, 0, 0, 0, 100), ==, 20);
    g_assert_cmpuint(PACKET(data, &error, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 100), ==, 30);
    PACKET(data, &error, 0x28, 0, 0, 0, 1, 43, 0, 0, 2); /* behind the end */
    g_assert_cmphex(error >> 4, ==, 5);
    expect_sense(5, 0x21);
    PACKET(data, &error, 0xff);
    expect_sense(5, 0x20);
    /* IDENTIFY is not for it: the signature */
    w8(m, port(COMMAND), 0xec);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, IDE_ERR);
    g_assert_cmphex(r8(m, port(MID)) | r8(m, port(HIGH)) << 8, ==, 0xeb14);
    /* Locked: the monitor cannot take it, and the guest hears of the wish. */
    PACKET(data, &error, 0x1e, 0, 0, 0, 1);
    machine_lock(m->machine);
    g_assert_false(block_slot_eject("cd", false, &err));
    g_clear_error(&err);
    machine_unlock(m->machine);
    PACKET(data, &error, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
    g_assert_cmphex(data[4], ==, 1);
    PACKET(data, &error, 0x1e);
    PACKET(data, &error, 0x1b, 0, 0, 0, 2); /* the guest opens the tray */
    g_assert_cmphex(error, ==, 0);
    PACKET(data, &error, 0x00);
    g_assert_cmphex(error >> 4, ==, 2);
    expect_sense(2, 0x3a);
    g_autofree char *other = image("cd2", 20, 2048);
    machine_lock(m->machine);
    g_assert_true(block_slot_change("c0", other, NULL, NULL, false, &err));
    machine_unlock(m->machine);
    g_assert_no_error(err);
    PACKET(data, &error, 0x00); /* once: it has changed */
    g_assert_cmphex(error >> 4, ==, 6);
    PACKET(data, &error, 0x00);
    g_assert_cmphex(error, ==, 0);
    PACKET(data, &error, 0x25);
    g_assert_cmpuint(data[3], ==, 19);
    g_autofree char *text = block_describe();
    g_assert_nonnull(strstr(text, "c0: raw on file, 40960 bytes, read-only"));
    end();
}

static void test_atapi_dma(void)
{
    static uint8_t data[20 * 2048];
    begin("piix3-ide");
    channel = 1;
    uint64_t table = RAM + 0x1000, buffer = RAM + 0x10000;
    const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 20 };
    prd(table, buffer, 1000, false);
    prd(table + 8, buffer + 1000, 20 * 2048 - 1000, true);
    w32(m, bm(4), table);
    w8(m, bm(2), 6);
    w8(m, port(FEATURE), 1);
    w8(m, port(COMMAND), 0xa0);
    pio_out(cdb, 12, 2);
    w8(m, bm(0), 9);
    while (!(r8(m, bm(2)) & 4))
        g_usleep(50);
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY);
    w8(m, bm(0), 0);
    devm_get(m, buffer, data, sizeof(data));
    for (unsigned i = 0; i < 20; i++)
        check_sector(data + 2048 * i, 9 + i, 2048);
    end();
}

/* ---- AHCI ---- */

enum {
    PORT0 = 0x100,
    P_CLB = 0,
    P_FB = 8,
    P_IS = 0x10,
    P_IE = 0x14,
    P_CMD = 0x18,
    P_TFD = 0x20,
    P_SIG = 0x24,
    P_SACT = 0x34,
    P_CI = 0x38
};
#define LIST  (RAM + 0x100000)
#define FISES (RAM + 0x101000)

static unsigned ahci_port;

static uint64_t px(unsigned n)
{
    return AHCI_BASE + PORT0 + 0x80 * ahci_port + n;
}

static uint64_t table_of(unsigned slot)
{
    return RAM + 0x110000 + 0x1000 * slot;
}

static void ahci_start(void)
{
    w32(m, AHCI_BASE + 4, 0x80000002);
    w32(m, px(P_CLB), LIST);
    w32(m, px(P_FB), FISES);
    w32(m, px(P_IE), 0xfdc000ff);
    w32(m, px(P_CMD), 0x10);
    w32(m, px(P_CMD), 0x11);
}

/* A command in a slot: count of sectors; bytes of data in two regions of which the second has all but 512. */
static void ahci_command(unsigned slot, uint8_t command, uint64_t lba, unsigned count, uint64_t data, uint32_t bytes)
{
    bool ncq = command == 0x60 || command == 0x61;
    uint8_t fis[20] = { 0x27, 0x80, command, 0, lba, lba >> 8, lba >> 16, 0x40, lba >> 24, lba >> 32, lba >> 40 };
    fis[ncq ? 3 : 12] = count;
    fis[ncq ? 11 : 13] = count >> 8;
    if (ncq)
        fis[12] = slot << 3;
    devm_put(m, table_of(slot), fis, sizeof(fis));
    unsigned regions = bytes > 512 ? 2 : bytes ? 1 : 0;
    uint32_t entries[8] = { data, data >> 32, 0, MIN(bytes, 512) - 1, data + 512, data >> 32, 0, bytes - 513 };
    devm_put(m, table_of(slot) + 0x80, entries, sizeof(entries));
    uint32_t header[4] = { 5 | (command == 0x61 || command == 0x35 ? 0x40 : 0) | regions << 16, 0, table_of(slot), 0 };
    devm_put(m, LIST + 32 * slot, header, sizeof(header));
}

static void ahci_wait(uint32_t register_offset, uint32_t bits)
{
    int64_t limit = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while (r32(m, px(register_offset)) & bits && !(r32(m, px(P_IS)) & 1 << 30)) {
        g_usleep(50);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
}

static void test_ahci(void)
{
    static uint8_t data[128 * 512];
    begin("ich9-ahci");
    ahci_port = 0;
    g_assert_cmphex(r32(m, AHCI_BASE) & 0xc0041f1f, ==, 0xc0041f05);
    g_assert_cmphex(r32(m, px(P_SIG)), ==, 0x101);
    ahci_start();
    ahci_command(0, 0xec, 0, 0, RAM + 0x10000, 512);
    w32(m, px(P_CI), 1);
    ahci_wait(P_CI, 1);
    g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x50);
    g_assert_cmphex(r32(m, px(P_IS)), ==, 3); /* PIO setup and D2H */
    g_assert_cmphex(r32(m, AHCI_BASE + 8), ==, 1);
    w32(m, px(P_IS), 3);
    w32(m, AHCI_BASE + 8, 1);
    g_assert_cmphex(r32(m, AHCI_BASE + 8), ==, 0);
    g_assert_cmpuint(r16(m, RAM + 0x10000 + 2 * 75), ==, 31);
    g_assert_cmpuint(r32(m, LIST + 4), ==, 512); /* bytes moved */
    ahci_command(3, 0x25, 1234, 128, RAM + 0x10002, sizeof(data));
    w32(m, px(P_CI), 8);
    ahci_wait(P_CI, 8);
    devm_get(m, RAM + 0x10002, data, sizeof(data));
    for (unsigned i = 0; i < 128; i++)
        check_sector(data + 512 * i, 1234 + i, 512);
    ahci_command(0, 0x35, 0, 128, RAM + 0x10002, sizeof(data));
    w32(m, px(P_CI), 1);
    ahci_wait(P_CI, 1);
    check_image("disk", 0, data, sizeof(data));
    /* An error stops the port until it is started again. */
    ahci_command(1, 0x25, SECTORS, 1, RAM + 0x10000, 512);
    ahci_command(2, 0x25, 1, 1, RAM + 0x10000, 512);
    w32(m, px(P_CI), 6);
    ahci_wait(P_CI, 6);
    g_assert_cmphex(r32(m, px(P_TFD)), ==, IDE_IDNF << 8 | IDE_DRDY | IDE_DSC | IDE_ERR);
    g_assert_cmphex(r32(m, px(P_CI)), ==, 6);
    w32(m, px(P_CMD), 0x10);
    g_assert_cmphex(r32(m, px(P_CI)), ==, 0);
    w32(m, px(P_IS), ~0u);
    w32(m, px(P_CMD), 0x11);
    w32(m, px(P_CI), 4);
    ahci_wait(P_CI, 4);
    g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x50);
    end();
}

static void test_ahci_ncq(void)
{
    static uint8_t data[8 * 512];
    begin("ich9-ahci");
    ahci_port = 0;
    ahci_start();
    for (unsigned tag = 0; tag < 32; tag++)
        ahci_command(tag, 0x60, 100 * tag, 8, RAM + 0x200000 + 0x1000 * tag, sizeof(data));
    w32(m, px(P_SACT), ~0u);
    w32(m, px(P_CI), ~0u);
    ahci_wait(P_SACT, ~0u);
    g_assert_cmphex(r32(m, px(P_IS)), ==, 8);
    for (unsigned tag = 0; tag < 32; tag++) {
        devm_get(m, RAM + 0x200000 + 0x1000 * tag, data, sizeof(data));
        for (unsigned i = 0; i < 8; i++)
            check_sector(data + 512 * i, 100 * tag + i, 512);
    }
    ahci_command(5, 0x61, 3000, 8, RAM + 0x200000 + 0x1000 * 31, sizeof(data));
    w32(m, px(P_SACT), 1 << 5);
    w32(m, px(P_CI), 1 << 5);
    ahci_wait(P_SACT, 1 << 5);
    check_image("disk", 3000, data, sizeof(data));
    /* One that fails: log 10h has its tag. */
    ahci_command(7, 0x60, SECTORS - 1, 2, RAM + 0x200000, 1024);
    w32(m, px(P_SACT), 1 << 7);
    w32(m, px(P_CI), 1 << 7);
    ahci_wait(P_SACT, 1 << 7);
    g_assert_cmphex(r32(m, px(P_IS)) & 1 << 30, ==, 1 << 30);
    g_assert_cmphex(r32(m, px(P_SACT)), ==, 1 << 7);
    w32(m, px(P_CMD), 0x10);
    w32(m, px(P_IS), ~0u);
    w32(m, px(P_CMD), 0x11);
    ahci_command(0, 0x2f, 0x10, 1, RAM + 0x200000, 512);
    w32(m, px(P_CI), 1);
    ahci_wait(P_CI, 1);
    g_assert_cmphex(r8(m, RAM + 0x200000), ==, 7);
    end();
}

static void test_ahci_bad(void)
{
    begin("ich9-ahci");
    ahci_port = 0;
    ahci_start();
    /* No list, no FIS, no RAM for data, a list that is too short, one of 65535 entries of two bytes */
    w32(m, px(P_CLB), 0x400);
    w32(m, px(P_CI), 1);
    ahci_wait(P_CI, 1);
    for (unsigned i = 0; i < 5; i++) {
        w32(m, px(P_CMD), 0x10);
        w32(m, px(P_CLB), LIST);
        w32(m, px(P_IS), ~0u);
        w32(m, px(P_CMD), 0x11);
        ahci_command(0, i & 1 ? 0x60 : 0x25, 0, 8, i < 2 ? 0x10 : RAM + 0x200000, i < 4 ? 1024 : 4096);
        if (i == 4) {
            w32(m, LIST, 5 | 65535u << 16);
            for (unsigned n = 0; n < 65535; n++) {
                uint32_t entry[4] = { RAM + 0x800000, 0, 0, 1 };
                devm_put(m, RAM + 0x300000 + 0x80 + 16 * n, entry, sizeof(entry));
            }
            uint8_t fis[20] = { 0x27, 0x80, 0x25, 0, 0, 0, 0, 0x40 };
            fis[13] = 1; /* 256 sectors: the list has 255 and a half */
            devm_put(m, RAM + 0x300000, fis, sizeof(fis));
            w32(m, LIST + 8, RAM + 0x300000);
        }
        w32(m, px(P_SACT), 1);
        w32(m, px(P_CI), 1);
        ahci_wait(P_CI, 1);
        ahci_wait(P_SACT, 1);
        g_assert_cmphex(r32(m, px(P_IS)) & 1 << 30, ==, 1 << 30);
        g_assert_cmphex(r32(m, px(P_TFD)) & IDE_ERR, ==, IDE_ERR);
    }
    devm_reset(m);
    config_write(5, PCI_BAR0 + 20, 4, AHCI_BASE);
    config_write(5, PCI_COMMAND, 2, 6);
    ahci_start();
    ahci_command(0, 0x25, 5, 1, RAM + 0x10000, 512);
    w32(m, px(P_CI), 1);
    ahci_wait(P_CI, 1);
    g_assert_cmpuint(r32(m, RAM + 0x10000), ==, 5);
    end();
}

static void test_ahci_cd(void)
{
    static uint8_t data[4 * 2048];
    const uint8_t cdb[16] = { 0x28, 0, 0, 0, 0, 11, 0, 0, 4 };
    begin("ahci");
    ahci_port = 1;
    g_assert_cmphex(r32(m, px(P_SIG)), ==, 0xeb140101);
    ahci_start();
    ahci_command(0, 0xa0, 0, 0, RAM + 0x10000, sizeof(data));
    w8(m, table_of(0) + 3, 1); /* DMA */
    devm_put(m, table_of(0) + 0x40, cdb, sizeof(cdb));
    w32(m, px(P_CI), 1);
    ahci_wait(P_CI, 1);
    g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x40);
    devm_get(m, RAM + 0x10000, data, sizeof(data));
    for (unsigned i = 0; i < 4; i++)
        check_sector(data + 2048 * i, 11 + i, 2048);
    end();
}

/* ---- errors: report, stop and go on ---- */

static bool has_stopped(void *opaque)
{
    bool stopped;
    DEVM_LOCKED(m, stopped = m->machine->state == RUN_IO_ERROR);
    return stopped;
}

/* The command fails once, the machine stops; it goes on and the command is done, or a reset forgets it. */
static void stop_and_go(bool reset)
{
    devm_poll(has_stopped, NULL);
    g_assert_cmpuint(__atomic_load_n(&refused, __ATOMIC_SEQ_CST), ==, 1);
    fail_with(0);
    if (reset)
        devm_reset(m);
    DEVM_LOCKED(m, machine_start(m->machine));
}

static void begin_errors(const char *controller, BlockOnError on_error)
{
    disk_drive = "bad";
    fail_node.on_read_error = fail_node.on_write_error = on_error;
    fail_node.write_cache = true;
    fail_with(0);
    begin(controller);
    disk_drive = "d0";
    DEVM_LOCKED(m, machine_start(m->machine)); /* resets it */
    place_bars();
}

static void test_report(void)
{
    begin_errors("piix3-ide", ON_ERROR_REPORT);
    channel = 0;
    fail_with(EIO);
    task(5, 1, 0xe0, false);
    w8(m, port(COMMAND), 0x20);
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC | IDE_ERR);
    g_assert_cmphex(r8(m, port(FEATURE)), ==, IDE_UNC);
    g_assert_cmpuint(r8(m, port(LOW)), ==, 5);
    prd(RAM + 0x1000, RAM + 0x10000, 512, true);
    g_assert_cmphex(dma(0x35, 7, 1, RAM + 0x1000) & 4, ==, 4);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, IDE_ERR);
    w8(m, port(COMMAND), 0xe7);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, IDE_ERR);
    fail_with(0);
    w8(m, port(COMMAND), 0xe7);
    g_assert_cmphex(wait_idle() & IDE_ERR, ==, 0);
    end();
}

static void test_stop(void)
{
    uint8_t data[512];
    begin_errors("piix3-ide", ON_ERROR_STOP);
    channel = 0;
    fail_with(EIO);
    task(5, 1, 0xe0, false);
    w8(m, port(COMMAND), 0x20);
    stop_and_go(false);
    g_assert_cmphex(wait_idle() & (IDE_DRQ | IDE_ERR), ==, IDE_DRQ);
    pio_in(data, 512, 2);
    g_assert_cmphex(data[100], ==, 0x77);
    fail_with(EIO);
    prd(RAM + 0x1000, RAM + 0x10000, 512, false);
    prd(RAM + 0x1008, RAM + 0x20000, 512, true);
    w32(m, bm(4), RAM + 0x1000);
    task(5, 2, 0xe0, false);
    w8(m, port(COMMAND), 0xc8);
    w8(m, bm(0), 9);
    stop_and_go(false);
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC);
    g_assert_cmphex(r8(m, bm(2)) & 7, ==, 4);
    g_assert_cmphex(r8(m, RAM + 0x10000), ==, 0x77);
    g_assert_cmphex(r8(m, RAM + 0x201ff), ==, 0x77);
    fail_with(EIO);
    w8(m, port(COMMAND), 0xe7);
    stop_and_go(true);
    g_assert_cmphex(wait_idle(), ==, IDE_DRDY | IDE_DSC);
    end();
}

static void test_stop_ahci(void)
{
    begin_errors("ich9-ahci", ON_ERROR_STOP);
    ahci_port = 0;
    ahci_start();
    fail_with(EIO);
    ahci_command(4, 0x60, 100, 8, RAM + 0x200000, 4096);
    w32(m, px(P_SACT), 1 << 4);
    w32(m, px(P_CI), 1 << 4);
    stop_and_go(false);
    ahci_wait(P_SACT, 1 << 4);
    g_assert_cmphex(r32(m, px(P_IS)), ==, 8);
    g_assert_cmphex(r8(m, RAM + 0x200fff), ==, 0x77);
    fail_with(EIO);
    ahci_command(2, 0x35, 100, 8, RAM + 0x200000, 4096);
    w32(m, px(P_CI), 1 << 2);
    stop_and_go(false);
    ahci_wait(P_CI, 1 << 2);
    g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x50);
    end();
}

/* ---- anything at all, aimed at what there is ---- */

static void random_pata(GRand *rand, unsigned steps)
{
    static const uint8_t likely[] = { 0x06, 0x08, 0x20, 0x25, 0x30, 0x35, 0x90, 0x91, 0xa0, 0xa0, 0xa0,
                                      0xb0, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xec, 0xef, 0xf9, 0x2f },
                         packets[] = { 0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x42,
                                       0x43, 0x46, 0x4a, 0x51, 0x55, 0x5a, 0xa8, 0xbd, 0xbe };
    for (unsigned i = 0; i < steps; i++) {
        channel = g_rand_boolean(rand);
        switch (g_rand_int_range(rand, 0, 9)) {
        case 0:
            w8(m, port(COMMAND), g_rand_boolean(rand) ? likely[g_rand_int(rand) % sizeof(likely)] : g_rand_int(rand));
            break;
        case 1:
        case 2:
            w8(m, port(FEATURE + g_rand_int_range(rand, 0, 6)), g_rand_int(rand) & (g_rand_boolean(rand) ? 3 : 0xff));
            break;
        case 3:
            for (unsigned n = g_rand_int_range(rand, 0, 600); n--;)
                r16(m, port(DATA));
            break;
        case 4:
            w16(m, port(DATA), packets[g_rand_int(rand) % sizeof(packets)]);
            for (unsigned n = g_rand_int_range(rand, 0, 300); n--;)
                w16(m, port(DATA), g_rand_int(rand) & 0x101);
            break;
        case 5:
            if (!g_rand_int_range(rand, 0, 8))
                w8(m, port(CONTROL), g_rand_int(rand));
            w8(m, port(CONTROL), 0);
            break;
        case 6:
            w32(m, bm(4), RAM + (g_rand_int(rand) & 0xffff));
            w8(m, bm(0), g_rand_int(rand) & 9);
            break;
        case 7:
            w8(m, bm(2), g_rand_int(rand));
            r8(m, port(COMMAND));
            break;
        default:
            prd(RAM + (g_rand_int(rand) & 0xfffc),
                g_rand_boolean(rand) ? RAM + (g_rand_int(rand) & 0xffffff) : g_rand_int(rand),
                g_rand_int(rand) & (g_rand_boolean(rand) ? 0xff : 0xffff), g_rand_boolean(rand));
            break;
        }
    }
}

static void random_ahci(GRand *rand, unsigned steps)
{
    static const uint8_t likely[] = { 0x06, 0x20, 0x25, 0x30, 0x35, 0x60, 0x60, 0x61,
                                      0xa0, 0xa1, 0xe7, 0xec, 0xef, 0x2f, 0x90, 0x08 };
    for (unsigned i = 0; i < steps; i++) {
        ahci_port = g_rand_int_range(rand, 0, 3);
        unsigned slot = g_rand_int_range(rand, 0, 32);
        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
        case 1:
        case 2:
            ahci_command(slot, likely[g_rand_int(rand) % sizeof(likely)], g_rand_int(rand) % (SECTORS + 10),
                         g_rand_int(rand) & (g_rand_boolean(rand) ? 7 : 0xffff), RAM + (g_rand_int(rand) & 0x1ffffff),
                         g_rand_int(rand) & (g_rand_boolean(rand) ? 0xffff : 0x3fffff));
            if (!g_rand_int_range(rand, 0, 3)) /* spoil a byte */
                w8(m, table_of(slot) + g_rand_int_range(rand, 0, 0xa0), g_rand_int(rand));
            if (!g_rand_int_range(rand, 0, 5))
                w8(m, LIST + 32 * slot + g_rand_int_range(rand, 0, 16), g_rand_int(rand));
            w32(m, px(P_SACT), 1u << slot);
            w32(m, px(P_CI), 1u << slot);
            break;
        case 3:
            w32(m, px(P_CI), g_rand_int(rand));
            break;
        case 4:
            w32(m, px(4 * g_rand_int_range(rand, 4, 16)), g_rand_int(rand));
            break;
        case 5:
            if (!g_rand_int_range(rand, 0, 20))
                w32(m, AHCI_BASE + 4, 1);
            break;
        default:
            w32(m, px(P_CMD), 0x10);
            ahci_start();
            w32(m, px(P_IS), ~0u);
            break;
        }
    }
}

static void test_random(gconstpointer data)
{
    bool ahci = strstr(data, "ahci");
#if __has_feature(thread_sanitizer)
    if (ahci) { /* lists change while the drive's thread reads them: that is what is tried */
        g_test_skip("a guest that breaks the rules is not free of data races");
        return;
    }
#endif
    for (unsigned seed = 1; seed <= 4; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        begin(data);
        if (ahci)
            random_ahci(rand, 5000);
        else
            random_pata(rand, 20000);
        devm_reset(m);
        place_bars();
        if (ahci) {
            ahci_port = 0;
            ahci_start();
            ahci_command(0, 0x25, 5, 1, RAM + 0x10000, 512);
            w32(m, px(P_CI), 1);
            ahci_wait(P_CI, 1);
            g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x50);
        } else {
            uint8_t sector[512];
            channel = 0;
            read_pio(0x20, 5, 1, 1, sector, 2);
        }
        end();
    }
}

/* As with -icount: a register write returns when the disk is done. */
static void test_in_step(void)
{
    block_queues_in_step();
    test_pio();
    test_pio_write();
    test_dma();
    test_atapi();
    test_ahci();
    test_ahci_ncq();
    test_ahci_bad();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("rhea-ide-XXXXXX", NULL);
    g_test_add_func("/ide/pio", test_pio);
    g_test_add_func("/ide/pio-write", test_pio_write);
    g_test_add_func("/ide/dma", test_dma);
    g_test_add_func("/ide/reset", test_reset);
    g_test_add_func("/ide/atapi", test_atapi);
    g_test_add_func("/ide/atapi-dma", test_atapi_dma);
    g_test_add_func("/ahci/commands", test_ahci);
    g_test_add_func("/ahci/ncq", test_ahci_ncq);
    g_test_add_func("/ahci/bad", test_ahci_bad);
    g_test_add_func("/ahci/cd", test_ahci_cd);
    g_test_add_func("/ide/report", test_report);
    g_test_add_func("/ide/stop", test_stop);
    g_test_add_func("/ahci/stop", test_stop_ahci);
    g_test_add_data_func("/ide/random", "piix3-ide", test_random);
    g_test_add_data_func("/ahci/random", "ich9-ahci", test_random);
    g_test_add_func("/in-step/all", test_in_step); /* last: there is no way back */
    int status = g_test_run();
    for (const char *const *name = (const char *const[]){ "disk", "cd", "cd2", NULL }; *name; name++) {
        g_autofree char *path = g_build_filename(folder, *name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
    return status;
}
