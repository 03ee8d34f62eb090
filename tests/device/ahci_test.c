/*
 * AHCI: commands, NCQ, ATAPI against an image's contents; what guests should not do.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/ahci.h"
#include "ide_rig.h"
#include <errno.h>

/* ---- driver ---- */

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

/* ---- commands ---- */

static void test_ahci(void)
{
    static uint8_t data[128 * 512];
    ide_begin("ich9-ahci");
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
    ide_end();
}

static void test_ahci_ncq(void)
{
    static uint8_t data[8 * 512];
    ide_begin("ich9-ahci");
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
    ide_end();
}

static void test_ahci_bad(void)
{
    ide_begin("ich9-ahci");
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
    ide_end();
}

static void test_ahci_cd(void)
{
    static uint8_t data[4 * 2048];
    const uint8_t cdb[16] = { 0x28, 0, 0, 0, 0, 11, 0, 0, 4 };
    ide_begin("ahci");
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
    ide_end();
}

/* ---- errors: stop and go on ---- */

static void test_stop_ahci(void)
{
    ide_begin_errors("ich9-ahci", ON_ERROR_STOP);
    ahci_port = 0;
    ahci_start();
    ide_fail_with(EIO);
    ahci_command(4, 0x60, 100, 8, RAM + 0x200000, 4096);
    w32(m, px(P_SACT), 1 << 4);
    w32(m, px(P_CI), 1 << 4);
    ide_stop_and_go(false);
    ahci_wait(P_SACT, 1 << 4);
    g_assert_cmphex(r32(m, px(P_IS)), ==, 8);
    g_assert_cmphex(r8(m, RAM + 0x200fff), ==, 0x77);
    ide_fail_with(EIO);
    ahci_command(2, 0x35, 100, 8, RAM + 0x200000, 4096);
    w32(m, px(P_CI), 1 << 2);
    ide_stop_and_go(false);
    ahci_wait(P_CI, 1 << 2);
    g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x50);
    ide_end();
}

/* ---- anything at all, aimed at what there is ---- */

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

static void test_random(void)
{
#if __has_feature(thread_sanitizer)
    /* lists change while the drive's thread reads them: that is what is tried */
    g_test_skip("a guest that breaks the rules is not free of data races");
    return;
#endif
    for (unsigned seed = 1; seed <= 4; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        ide_begin("ich9-ahci");
        random_ahci(rand, 5000);
        devm_reset(m);
        place_bars();
        ahci_port = 0;
        ahci_start();
        ahci_command(0, 0x25, 5, 1, RAM + 0x10000, 512);
        w32(m, px(P_CI), 1);
        ahci_wait(P_CI, 1);
        g_assert_cmphex(r32(m, px(P_TFD)), ==, 0x50);
        ide_end();
    }
}

/* As with -icount: a register write returns when the disk is done. */
static void test_in_step(void)
{
    block_queues_in_step();
    test_ahci();
    test_ahci_ncq();
    test_ahci_bad();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ahci/commands", test_ahci);
    g_test_add_func("/ahci/ncq", test_ahci_ncq);
    g_test_add_func("/ahci/bad", test_ahci_bad);
    g_test_add_func("/ahci/cd", test_ahci_cd);
    g_test_add_func("/ahci/stop", test_stop_ahci);
    g_test_add_func("/ahci/random", test_random);
    g_test_add_func("/ahci/in-step", test_in_step); /* last: there is no way back */
    return ide_run_tests();
}
