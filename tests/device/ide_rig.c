/*
 * See ide_rig.h.
 * SPDX-License-Identifier: MIT
 */
#include "ide_rig.h"
#include "hw/pci/pci.h"
#include "util/error.h"
#include <glib/gstdio.h>
#include <string.h>

#define ECAM 0x30000000ull

DevMachine *m;
static char *folder;

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

void ide_fail_with(int error)
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

char *ide_image(const char *name, unsigned sectors, unsigned size)
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

void add_drive(const char *id, const char *path, bool cdrom)
{
    GError *err = NULL;
    g_autofree char *text =
        path ? g_strdup_printf("if=none,format=raw,id=%s,file=%s%s", id, path, cdrom ? ",media=cdrom" : "")
             : g_strdup_printf("if=none,id=%s,media=cdrom", id);
    g_autoptr(Opts) opts = opts_parse("-drive", text, NULL, &err);
    block_add_drive(opts, false, &err);
    g_assert_no_error(err);
}

void add_device(const char *text)
{
    GError *err = NULL;
    devm_device_add(m, text, &err);
    g_assert_no_error(err);
}

void config_write(unsigned slot, unsigned offset, unsigned size, uint32_t value)
{
    g_assert_cmpint(as_store(&m->machine->memory, ECAM + (slot << 15) + offset, size, value), ==, MEM_OK);
}

void place_bars(void)
{
    config_write(5, PCI_BAR0 + 16, 4, BMDMA);
    config_write(5, PCI_BAR0 + 20, 4, AHCI_BASE);
    config_write(5, PCI_COMMAND, 2, 7);
}

static const char *disk_drive = "d0"; /* what ide-hd is on */

void ide_begin(const char *controller)
{
    GError *err = NULL;
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    m = devm_build(machine_type_find("virt", "riscv64"), "riscv64", &err);
    g_assert_no_error(err);
    g_autofree char *disk = ide_image("disk", SECTORS, 512), *cd = ide_image("cd", 300, 2048);
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

void ide_end(void)
{
    devm_free(m);
    block_close_all();
}

void check_sector(const uint8_t *data, uint32_t n, unsigned size)
{
    uint32_t value;
    memcpy(&value, data, 4);
    g_assert_cmpuint(GUINT32_FROM_LE(value), ==, n);
    g_assert_cmphex(data[size - 1], ==, 0x5a);
}

void check_image(const char *name, unsigned sector, const void *want, unsigned bytes)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *all = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &all, &size, NULL));
    g_assert_cmpmem(all + 512 * sector, bytes, want, bytes);
}

/* ---- errors: report, stop and go on ---- */

static bool has_stopped(void *opaque)
{
    bool stopped;
    DEVM_LOCKED(m, stopped = m->machine->state == RUN_IO_ERROR);
    return stopped;
}

/* The command fails once, the machine stops; it goes on and the command is done, or a reset forgets it. */
void ide_stop_and_go(bool reset)
{
    devm_poll(has_stopped, NULL);
    g_assert_cmpuint(__atomic_load_n(&refused, __ATOMIC_SEQ_CST), ==, 1);
    ide_fail_with(0);
    if (reset)
        devm_reset(m);
    DEVM_LOCKED(m, machine_start(m->machine));
}

void ide_begin_errors(const char *controller, BlockOnError on_error)
{
    disk_drive = "bad";
    fail_node.on_read_error = fail_node.on_write_error = on_error;
    fail_node.write_cache = true;
    ide_fail_with(0);
    ide_begin(controller);
    disk_drive = "d0";
    DEVM_LOCKED(m, machine_start(m->machine)); /* resets it */
    place_bars();
}

int ide_run_tests(void)
{
    int status;
    folder = g_dir_make_tmp("rhea-ide-XXXXXX", NULL);
    status = g_test_run();
    for (const char *const *name = (const char *const[]){ "disk", "cd", "cd2", NULL }; *name; name++) {
        g_autofree char *path = g_build_filename(folder, *name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
    return status;
}
