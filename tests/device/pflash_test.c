/*
 * The flash by its command set: reading modes, programming, erasing, buffered writes, what the drive then holds, a
 * read-only drive, one for system management mode.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "devtest.h"
#include "hw/firmware/pflash_cfi01.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BASE   UINT64_C(0x20000000)
#define SECTOR UINT64_C(0x10000)
#define SIZE   (4 * SECTOR)
#define READY  0x00800080u

typedef struct Fixture {
    DevMachine *m;
    PflashCfi01 *flash;
    char *path;
} Fixture;

static void *find_drive(const char *id, GError **err)
{
    return block_find(id);
}

static Fixture fixture_new(bool read_only)
{
    Fixture f = { .m = devm_new(), .path = g_build_filename(g_get_tmp_dir(), "rhea-pflash-XXXXXX", NULL) };
    int fd = g_mkstemp(f.path);
    g_autofree uint8_t *data = g_malloc(SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        data[i] = i < SECTOR ? i % 251 : 0xff;
    g_assert_cmpint(write(fd, data, SIZE), ==, SIZE);
    close(fd);
    g_autofree char *text =
        g_strdup_printf("driver=file,node-name=flash,filename=%s,read-only=%s", f.path, read_only ? "on" : "off");
    g_autoptr(Opts) opts = opts_parse("-blockdev", text, NULL, NULL);
    g_assert_nonnull(block_add(opts, NULL));
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    f.flash = devm_add(f.m, &pflash_cfi01_type, "drive=flash,num-blocks=4,sector-length=0x10000");
    devm_realize(f.m, f.flash);
    devm_map(f.m, &f.flash->mmio, BASE);
    return f;
}

static void fixture_free(Fixture *f)
{
    devm_free(f->m);
    block_close_all();
    unlink(f->path);
    g_free(f->path);
}

static void check_file(const Fixture *f, uint64_t offset, uint32_t want)
{
    uint32_t got;
    int fd = open(f->path, O_RDONLY);
    g_assert_cmpint(pread(fd, &got, sizeof(got), offset), ==, sizeof(got));
    close(fd);
    g_assert_cmphex(GUINT32_FROM_LE(got), ==, want);
}

static void command(Fixture *f, uint64_t offset, uint8_t byte)
{
    w32(f->m, BASE + offset, byte | byte << 16);
}

static void test_reading(void)
{
    Fixture f = fixture_new(false);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x03020100);
    g_assert_cmphex(r8(f.m, BASE + 7), ==, 7);
    command(&f, 0, 0x90);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x00890089);
    g_assert_cmphex(r32(f.m, BASE + 4), ==, 0x00180018);
    command(&f, 0, 0x98);
    g_assert_cmphex(r32(f.m, BASE + 4 * 0x10), ==, 'Q' << 16 | 'Q');
    g_assert_cmphex(r16(f.m, BASE + 4 * 0x12), ==, 'Y');
    g_assert_cmphex(r8(f.m, BASE + 4 * 0x27), ==, 17); /* each chip has 128 KiB */
    g_assert_cmphex(r8(f.m, BASE + 4 * 0x2d), ==, 3);  /* sectors less one */
    g_assert_cmphex(r8(f.m, BASE + 4 * 0x2f), ==, SECTOR / 2 / 256);
    command(&f, 0, 0x70);
    g_assert_cmphex(r32(f.m, BASE + 0x100), ==, READY);
    command(&f, 0, 0xff);
    g_assert_cmphex(r32(f.m, BASE + 4), ==, 0x07060504);
    fixture_free(&f);
}

static void test_programming(void)
{
    Fixture f = fixture_new(false);
    command(&f, SECTOR, 0x40);
    w32(f.m, BASE + SECTOR, 0x12345678);
    g_assert_cmphex(r32(f.m, BASE), ==, READY);
    command(&f, SECTOR, 0x40);
    w32(f.m, BASE + SECTOR, 0xffff0000); /* bits are only ever cleared */
    command(&f, 0, 0xff);
    g_assert_cmphex(r32(f.m, BASE + SECTOR), ==, 0x12340000);
    check_file(&f, SECTOR, 0x12340000);
    command(&f, SECTOR + 8, 0x20);
    command(&f, SECTOR + 8, 0xd0);
    command(&f, 0, 0xff);
    g_assert_cmphex(r32(f.m, BASE + SECTOR), ==, 0xffffffff);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x03020100); /* the sector before is as it was */
    check_file(&f, SECTOR, 0xffffffff);
    command(&f, 0, 0x20);
    command(&f, 0, 0x00); /* not confirmed */
    g_assert_cmphex(r32(f.m, BASE), ==, 0x00b000b0);
    command(&f, 0, 0x50);
    command(&f, 0, 0x70);
    g_assert_cmphex(r32(f.m, BASE), ==, 0); /* by which OVMF knows it for a flash */
    command(&f, 0, 0x20);
    command(&f, 0, 0xd0);
    g_assert_cmphex(r32(f.m, BASE), ==, READY);
    fixture_free(&f);
}

static void test_buffered(void)
{
    Fixture f = fixture_new(false);
    command(&f, SECTOR, 0xe8);
    command(&f, SECTOR, 3);
    for (unsigned i = 0; i < 4; i++)
        w32(f.m, BASE + SECTOR + 64 + 4 * i, 0xabcd0000 + i);
    g_assert_cmphex(r32(f.m, BASE), ==, READY);
    check_file(&f, SECTOR + 64, 0xffffffff); /* not before it is confirmed */
    command(&f, SECTOR, 0xd0);
    command(&f, 0, 0xff);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(r32(f.m, BASE + SECTOR + 64 + 4 * i), ==, 0xabcd0000 + i);
    check_file(&f, SECTOR + 76, 0xabcd0003);
    command(&f, SECTOR, 0xe8); /* a buffer that leaves its sector */
    command(&f, SECTOR, 1);
    w32(f.m, BASE + 2 * SECTOR - 4, 0);
    w32(f.m, BASE + 2 * SECTOR, 0);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x00b000b0);
    check_file(&f, 2 * SECTOR - 4, 0xffffffff);
    devm_reset(f.m);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x03020100);
    fixture_free(&f);
}

static void test_read_only(void)
{
    Fixture f = fixture_new(true);
    command(&f, 0, 0x40);
    w32(f.m, BASE, 0);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x00920092); /* locked, program error */
    command(&f, 0, 0xff);
    g_assert_cmphex(r32(f.m, BASE), ==, 0x03020100);
    fixture_free(&f);
}

static bool in_smm;

static bool privileged(void)
{
    return in_smm;
}

static void test_secure(void)
{
    Fixture f = fixture_new(false);
    f.flash->secure = true;
    command(&f, 0, 0x90); /* nobody is privileged */
    g_assert_cmphex(r32(f.m, BASE), ==, 0x03020100);
    f.flash->privileged = privileged;
    command(&f, SECTOR, 0x40);
    w32(f.m, BASE + SECTOR, 0);
    g_assert_cmphex(r32(f.m, BASE + SECTOR), ==, 0xffffffff);
    in_smm = true;
    command(&f, SECTOR, 0x40);
    w32(f.m, BASE + SECTOR, 0x12345678);
    g_assert_cmphex(r32(f.m, BASE), ==, READY);
    in_smm = false; /* whatever mode it was left in */
    g_assert_cmphex(r32(f.m, BASE + SECTOR), ==, 0x12345678);
    command(&f, 0, 0xff);
    in_smm = true;
    g_assert_cmphex(r32(f.m, BASE), ==, READY);
    check_file(&f, SECTOR, 0x12345678);
    fixture_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pflash/reading", test_reading);
    g_test_add_func("/pflash/programming", test_programming);
    g_test_add_func("/pflash/buffered", test_buffered);
    g_test_add_func("/pflash/read-only", test_read_only);
    g_test_add_func("/pflash/secure", test_secure);
    return g_test_run();
}
