/*
 * Sources of the virtio entropy device: a pipe that has bytes only later, and that ends; the limit of a period. And
 * what the bus master bit does to a virtio device on PCI.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/rng_backend.h"
#include "vdriver.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void turn_main_loop(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void expect_bytes(Driver *d, uint64_t addr, int id, const char *text)
{
    uint32_t len;
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, id);
    g_assert_cmpmem(driver_ram(d, addr), len, text, strlen(text));
}

static void test_pipe(void)
{
    g_autofree char *folder = g_dir_make_tmp("rhea-rng-XXXXXX", NULL), *path = g_strdup_printf("%s/fifo", folder),
                    *text = g_strdup_printf("rng-random,id=r,filename=%s", path);
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    int keep = open(path, O_RDWR); /* a writer, so that the pipe has not ended */
    g_autoptr(Opts) opts = opts_parse("-object", text, "qom-type", NULL);
    g_assert_true(rng_backend_add(opts, NULL));
    Driver *d = driver_new(TRANSPORT_MMIO, "virtio-rng", ",rng=r,max-bytes=12,period=1000");
    driver_start(d, DRIVER_ALL, 8);
    uint64_t addr = devm_dma(d->m, 64, 64);
    Seg seg = { addr, 8, true };
    uint32_t len;
    int id = dq_add(&d->q[0], &seg, 1, false);
    dq_kick(&d->q[0]);
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, -1);
    turn_main_loop();
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, -1);
    g_assert_cmpint(write(keep, "hello", 5), ==, 5);
    turn_main_loop();
    expect_bytes(d, addr, id, "hello");
    g_assert_cmpint(write(keep, "abcdefghijkl", 12), ==, 12);
    id = dq_add(&d->q[0], &seg, 1, false);
    dq_kick(&d->q[0]);
    expect_bytes(d, addr, id, "abcdefg"); /* 5 and 7 are the period's 12 */
    id = dq_add(&d->q[0], &seg, 1, false);
    dq_kick(&d->q[0]);
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, -1);
    devm_step(d->m, INT64_C(1100000000));
    expect_bytes(d, addr, id, "hijkl");
    id = dq_add(&d->q[0], &seg, 1, false);
    dq_kick(&d->q[0]);
    close(keep); /* ends while somebody waits */
    turn_main_loop();
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, -1);
    devm_reset(d->m);
    driver_free(d);
    rng_backend_remove_all();
    g_unlink(path);
    g_rmdir(folder);
}

/* Without the bit nothing is taken and no message sent; with it, what was left is done. */
static void test_master(void)
{
    Driver *d = driver_new(TRANSPORT_PCI_MSIX, "virtio-rng", "");
    const uint64_t command = DRIVER_ECAM_BASE + (d->slot << 12) + PCI_COMMAND;
    uint64_t addr = devm_dma(d->m, 16, 16);
    Seg seg = { addr, 16, true };
    uint32_t len;
    driver_start(d, DRIVER_ALL, 8);
    w16(d->m, command, PCI_COMMAND_MEMORY);
    memset(driver_ram(d, addr), 0, 16);
    int id = dq_add(&d->q[0], &seg, 1, false);
    driver_notify(d, 0);
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, -1);
    w16(d->m, command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, id);
    g_assert_cmpuint(len, ==, 16);
    g_assert_true(driver_irq(d, 1));
    w16(d->m, command, PCI_COMMAND_MEMORY);
    PciDevice *function = d->host->pci.devices[d->slot];
    DEVM_LOCKED(d->m, msix_notify(function, 1));
    g_assert_false(driver_irq(d, 1)); /* pending */
    w16(d->m, command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_true(driver_irq(d, 1));
    driver_free(d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rng/pipe", test_pipe);
    g_test_add_func("/rng/master", test_master);
    return g_test_run();
}
