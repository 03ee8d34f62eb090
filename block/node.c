/*
 * Block nodes: opening (-blockdev, -drive), the registry, checked access (see block.h).
 * SPDX-License-Identifier: MIT
 */
#include "block/drivers.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>

static const BlockDriver *const drivers[] = { &block_file_driver, &block_raw_driver, &block_null_driver,
                                              &block_overlay_driver };
static GPtrArray *nodes;  /* BlockNode *: those with a name, a reference each */
static GPtrArray *drives; /* BlockDrive *, ends with NULL */
static const char *default_interface = "virtio";
static unsigned ide_units = 2;

/* ---- registry ---- */

static const BlockDriver *driver_find(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(drivers) + 1] = { NULL };
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (!strcmp(drivers[i]->name, name))
            return drivers[i];
        names[i] = drivers[i]->name;
    }
    error_unknown_name(err, "block driver", name, names);
    return NULL;
}

BlockNode *block_find(const char *name)
{
    for (guint i = 0; nodes && i < nodes->len; i++) {
        BlockNode *node = nodes->pdata[i];
        if ((node->name && !strcmp(node->name, name)) || (node->drive && !strcmp(node->drive, name)))
            return node;
    }
    return NULL;
}

static bool check_name(const char *option, const char *name, GError **err)
{
    return !block_find(name) || error_set(err, "%s: there is a drive or block node '%s' already", option, name);
}

static void register_node(BlockNode *node)
{
    if (!nodes)
        nodes = g_ptr_array_new();
    g_ptr_array_add(nodes, node);
}

char *block_driver_help(void)
{
    GString *out = g_string_new("Block drivers:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        g_string_append_printf(out, "  %-8s %s\n", drivers[i]->name, drivers[i]->desc);
    return g_string_free(out, FALSE);
}

char *block_describe(void)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; nodes && i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];
        if (block_slot_holds(node) || block_is_empty(node))
            continue;
        g_string_append_printf(
            out, "%s: %s%s%s, %" G_GUINT64_FORMAT " bytes%s\n    %s%s\n", node->drive ? node->drive : node->name,
            node->driver->name, node->child ? " on " : "", node->child ? node->child->driver->name : "", node->size,
            node->read_only ? ", read-only" : "", node->user ? "used by " : "not used", node->user ? node->user : "");
    }
    block_slots_describe(out);
    return g_string_free(out, FALSE);
}

void block_ref(BlockNode *node)
{
    node->refs++;
}

void block_unref(BlockNode *node)
{
    if (!node || --node->refs)
        return;
    if (node->driver->close)
        node->driver->close(node);
    block_unref(node->child);
    g_free(node->state);
    g_free(node->name);
    g_free(node->drive);
    g_free(node->user);
    g_free(node);
}

bool block_is_empty(const BlockNode *node)
{
    return node->driver == &block_empty_driver;
}

bool block_claim(BlockNode *node, const char *user, GError **err)
{
    if (block_is_empty(node))
        return error_set(err, "drive '%s' has no medium: its -drive needs file=", node->drive);
    return block_claim_removable(node, user, err);
}

bool block_claim_removable(BlockNode *node, const char *user, GError **err)
{
    if (node->user)
        return error_set(err, "drive '%s' is in use by '%s'", node->drive ? node->drive : node->name, node->user);
    node->user = g_strdup(user);
    return true;
}

void block_release(BlockNode *node)
{
    g_clear_pointer(&node->user, g_free);
}

int block_flush_all(void)
{
    int error = 0;
    for (guint i = 0; nodes && i < nodes->len; i++) {
        int one = block_flush(nodes->pdata[i]);
        error = one ? one : error;
    }
    return error;
}

void block_drop(BlockNode *node)
{
    for (guint i = 0; drives && i + 1 < drives->len; i++) {
        BlockDrive *drive = drives->pdata[i];
        if (drive->node == node)
            drive->node = NULL;
    }
    if (nodes && g_ptr_array_remove(nodes, node))
        block_unref(node);
}

void block_remove_drive(BlockNode *node)
{
    if (!node->drive || node->user)
        return;
    int error = block_flush(node);
    if (error)
        g_printerr("rhea: drive '%s': %s\n", node->drive, g_strerror(error));
    block_drop(node);
}

void block_close_all(void)
{
    for (guint i = 0; nodes && i < nodes->len; i++)
        block_unref(nodes->pdata[i]);
    g_clear_pointer(&nodes, g_ptr_array_unref);
    for (guint i = 0; drives && i + 1 < drives->len; i++) {
        BlockDrive *drive = drives->pdata[i];
        g_free((char *)drive->interface);
        g_free(drive);
    }
    g_clear_pointer(&drives, g_ptr_array_unref);
}

/* ---- opening ---- */

static BlockNode *open_node(Opts *opts, const BlockNode *parent, GError **err);

/* file=NAME, or file.driver=... */
static BlockNode *open_child(Opts *opts, const BlockNode *node, GError **err)
{
    const char *name = opts_string(opts, "file", NULL);
    g_autoptr(Opts) nested = opts_take_prefix(opts, "file");
    if (nested) {
        BlockNode *own = open_node(nested, node, err);
        if (own && own->name)
            block_ref(own); /* the registry has the other reference */
        return own;
    }
    BlockNode *child = name ? block_find(name) : NULL;
    if (!child)
        error_set(err, name ? "%s: file: there is no block node '%s'" : "%s: file: which node is it on?",
                  opts_name(opts), name);
    else if (child->read_only && !node->read_only)
        error_set(err, "%s: block node '%s' below is read-only", opts_name(opts), name);
    else
        block_ref(child);
    return child && child->read_only && !node->read_only ? NULL : child;
}

static bool open_options(BlockNode *node, const BlockNode *parent, Opts *opts, GError **err)
{
    static const char *const discard[] = { "ignore", "off", "unmap", "on", NULL },
                             *const detect[] = { "off", "on", "unmap", NULL },
                             *const aio[] = { "auto", "threads", "io_uring", "native", NULL };
    unsigned unmap = parent && parent->unmap ? 2 : 0, detect_zeroes = 0, how = parent ? parent->aio : BLOCK_AIO_AUTO;
    node->read_only = parent && parent->read_only;
    node->no_flush = parent && parent->no_flush;
    if (!opts_bool(opts, "read-only", &node->read_only, err) ||
        !opts_bool(opts, "cache.no-flush", &node->no_flush, err) || !opts_enum(opts, "discard", discard, &unmap, err) ||
        !opts_enum(opts, "detect-zeroes", detect, &detect_zeroes, err) || !opts_enum(opts, "aio", aio, &how, err))
        return false;
    node->unmap = unmap >= 2;
    node->detect_zeroes = detect_zeroes;
    node->aio = MIN(how, BLOCK_AIO_IO_URING);
    if (detect_zeroes == DETECT_ZEROES_UNMAP && !node->unmap)
        return error_set(err, "%s: detect-zeroes=unmap needs discard=unmap", opts_name(opts));
    return true;
}

/* Forget a child whose parent cannot be opened; nested: it was opened for the parent alone. */
static void drop_child(BlockNode *child, bool nested)
{
    if (child && child->name && nested) {
        g_ptr_array_remove(nodes, child);
        block_unref(child);
    }
    block_unref(child);
}

static BlockNode *node_new(const BlockDriver *driver)
{
    BlockNode *node = g_new0(BlockNode, 1);
    node->driver = driver;
    node->state = g_malloc0(driver->state_size + 1);
    node->write_cache = true;
    node->refs = 1;
    return node;
}

/* Opts of what is below inherit how the cache is used. */
static void inherit(Opts *opts, const char *key)
{
    g_autofree char *below = g_strdup_printf("file.%s", key);
    if (opts_has(opts, key) && opts_has(opts, "file.driver") && !opts_has(opts, below))
        opts_add(opts, below, opts_string(opts, key, NULL));
}

static BlockNode *open_node(Opts *opts, const BlockNode *parent, GError **err)
{
    const char *driver_name = opts_string(opts, "driver", NULL), *name = opts_string(opts, "node-name", NULL);
    const BlockDriver *driver = driver_name ? driver_find(driver_name, err) : NULL;
    if (!driver_name)
        error_set(err, "%s: driver= is missing", opts_name(opts));
    if (!driver || (name && !check_name(opts_name(opts), name, err)))
        return NULL;
    BlockNode *node = node_new(driver);
    bool ok = open_options(node, parent, opts, err);
    if (ok && !driver->protocol) {
        inherit(opts, "cache.direct");
        node->child = open_child(opts, node, err);
        ok = node->child;
    }
    if (ok && driver->open(node, opts, err) && opts_finish(opts, driver->keys, err)) {
        node->name = g_strdup(name);
        if (name)
            register_node(node);
        return node;
    }
    if (ok && driver->close)
        driver->close(node);
    drop_child(node->child, !opts_has(opts, "file"));
    g_free(node->state);
    g_free(node);
    return NULL;
}

BlockNode *block_add(Opts *opts, GError **err)
{
    if (!opts_has(opts, "node-name")) {
        error_set(err, "-blockdev: node-name= is missing");
        return NULL;
    }
    return open_node(opts, NULL, err);
}

/* ---- -drive ---- */

/* A file whose format was not given is taken as raw only if it does not look like something else. */
static bool check_raw(BlockNode *node, const char *path, GError **err)
{
    static const struct {
        const char *magic, *name;
        uint64_t offset;
    } formats[] = { { "QFI\xfb", "qcow2", 0 }, { "KDMV", "vmdk", 0 },         { "<<< ", "vdi", 0 },
                    { "vhdxfile", "vhdx", 0 }, { "conectix", "vpc", 0 },      { "LUKS\xba\xbe", "luks", 0 },
                    { "QED", "qed", 0 },       { "OOOO", "cloop or dmg", 0 }, { "VMDK", "vmdk", 0 } };
    uint8_t head[BLOCK_SECTOR] = { 0 };
    struct iovec iov = { head, MIN(sizeof(head), node->size) };
    if (iov.iov_len && block_read(node, 0, &iov, 1, iov.iov_len))
        return true; /* the guest will see the error */
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (!memcmp(head + formats[i].offset, formats[i].magic, strlen(formats[i].magic)))
            return error_set(err,
                             "-drive: '%s' is a %s image, which is not supported yet; format=raw uses it byte by byte",
                             path, formats[i].name);
    }
    return true;
}

static BlockNode *put_overlay(BlockNode *below, GError **err)
{
    g_autoptr(Opts) opts = opts_new("-snapshot");
    BlockNode *node = node_new(&block_overlay_driver);
    node->child = below;
    node->aio = below->aio;
    node->detect_zeroes = below->detect_zeroes;
    if (block_overlay_driver.open(node, opts, err))
        return node;
    block_unref(below);
    g_free(node->state);
    g_free(node);
    return NULL;
}

typedef struct CacheMode {
    const char *name;
    bool writeback, direct, no_flush;
} CacheMode;

static bool drive_cache(Opts *opts, Opts *node_opts, bool *writeback, GError **err)
{
    static const CacheMode modes[] = { { "writeback", true, false, false },
                                       { "none", true, true, false },
                                       { "off", true, true, false },
                                       { "unsafe", true, false, true },
                                       { "writethrough", false, false, false },
                                       { "directsync", false, true, false } };
    static const char *const names[] = { "writeback", "none", "off", "unsafe", "writethrough", "directsync", NULL };
    unsigned mode = 0;
    bool direct, no_flush;
    if (!opts_enum(opts, "cache", names, &mode, err))
        return false;
    *writeback = modes[mode].writeback;
    direct = modes[mode].direct;
    no_flush = modes[mode].no_flush;
    if (!opts_bool(opts, "cache.writeback", writeback, err) || !opts_bool(opts, "cache.direct", &direct, err) ||
        !opts_bool(opts, "cache.no-flush", &no_flush, err))
        return false;
    opts_add(node_opts, "cache.direct", direct ? "on" : "off");
    opts_add(node_opts, "cache.no-flush", no_flush ? "on" : "off");
    return true;
}

typedef struct DriveOptions {
    const char *path, *format, *id;
    bool read_only, snapshot, writeback;
    unsigned read_error, write_error;
} DriveOptions;

static void copy_key(Opts *from, Opts *to, const char *key, const char *as)
{
    const char *value = opts_string(from, key, NULL);
    if (value)
        opts_add(to, as, value);
}

/* The -blockdev that a -drive stands for: a format on a file. */
static BlockNode *open_drive_node(Opts *opts, DriveOptions *d, GError **err)
{
    g_autoptr(Opts) node_opts = opts_new("-drive");
    opts_add(node_opts, "driver", d->format ? d->format : "raw");
    if (d->format && (!strcmp(d->format, "null-co") || !strcmp(d->format, "file"))) {
        if (d->path)
            opts_add(node_opts, "filename", d->path);
    } else {
        opts_add(node_opts, "file.driver", "file");
        opts_add(node_opts, "file.filename", d->path ? d->path : "");
    }
    opts_add(node_opts, "read-only", d->read_only || d->snapshot ? "on" : "off");
    if (!drive_cache(opts, node_opts, &d->writeback, err))
        return NULL;
    if (d->format && !strcmp(d->format, "null-co"))
        opts_string(node_opts, "cache.direct", NULL); /* there is no cache to go past */
    copy_key(opts, node_opts, "aio", "aio");
    copy_key(opts, node_opts, "discard", "discard");
    copy_key(opts, node_opts, "detect-zeroes", "detect-zeroes");
    copy_key(opts, node_opts, "offset", "offset");
    copy_key(opts, node_opts, "size", "size");
    copy_key(opts, node_opts, "node-name", "node-name");
    copy_key(opts, node_opts, "file.locking", "file.locking");
    BlockNode *node = open_node(node_opts, NULL, err);
    if (node && !d->format && !check_raw(node, d->path, err)) {
        if (!node->name)
            block_unref(node); /* else it is registered */
        return NULL;
    }
    if (!node || !d->snapshot)
        return node;
    if (node->name)
        block_ref(node);
    node = put_overlay(node, err);
    if (node)
        node->read_only = d->read_only;
    return node;
}

void block_drive_defaults(const char *interface, unsigned units)
{
    default_interface = interface;
    ide_units = units;
}

unsigned block_ide_units(void)
{
    return ide_units;
}

static const BlockDrive *drive_at(const char *interface, int index)
{
    for (const BlockDrive *const *d = block_drives(); *d; d++) {
        if (!strcmp((*d)->interface, interface) && (*d)->index == index)
            return *d;
    }
    return NULL;
}

/* index=, or bus= and unit=, or the first free place (of the bus). */
static bool place_drive(BlockDrive *drive, const uint64_t *index, const uint64_t *bus, const uint64_t *unit,
                        GError **err)
{
    const char *interface = drive->interface;
    unsigned units = !strcmp(interface, "ide") ? ide_units : !strcmp(interface, "floppy") ? 2 : 0;
    bool many = !strcmp(interface, "none");
    if (index && (bus || unit))
        return error_set(err, "-drive: index=%d says the place; bus= and unit= cannot be given too", (int)*index);
    if (unit && units && *unit >= units)
        return error_set(err, "-drive: unit=%d: a bus of if=%s takes %u drive%s", (int)*unit, interface, units,
                         units == 1 ? "" : "s");
    int first = (bus ? (int)*bus : 0) * (int)(units ? units : 2);
    drive->index = index ? (int)*index : first + (unit ? (int)*unit : 0);
    if (!index && !unit) {
        while (!many && drive_at(interface, drive->index))
            drive->index++;
    }
    return many || !drive_at(interface, drive->index) ||
           error_set(err, "-drive: there is a drive with if=%s,index=%d already", interface, drive->index);
}

static bool drive_options(Opts *opts, DriveOptions *d, BlockDrive *drive, GError **err)
{
    static const char *const media[] = { "disk", "cdrom", NULL },
                             *const on_read[] = { "report", "ignore", "stop", NULL },
                             *const on_write[] = { "enospc", "report", "ignore", "stop", NULL };
    uint64_t index = 0, bus = 0, unit = 0;
    unsigned medium = 0, read_error = 0;
    d->path = opts_string(opts, "file", NULL);
    d->format = opts_string(opts, "format", NULL);
    d->id = opts_string(opts, "id", NULL);
    if (!opts_enum(opts, "media", media, &medium, err) || !opts_bool(opts, "readonly", &d->read_only, err) ||
        !opts_bool(opts, "read-only", &d->read_only, err) || !opts_bool(opts, "snapshot", &d->snapshot, err) ||
        !opts_enum(opts, "rerror", on_read, &read_error, err) ||
        !opts_enum(opts, "werror", on_write, &d->write_error, err) || !opts_uint(opts, "index", &index, 0, 255, err) ||
        !opts_uint(opts, "bus", &bus, 0, 255, err) || !opts_uint(opts, "unit", &unit, 0, 255, err))
        return false;
    d->read_error = read_error + ON_ERROR_REPORT;
    drive->cdrom = medium == 1;
    drive->interface = g_strdup(opts_string(opts, "if", default_interface));
    if (!place_drive(drive, opts_has(opts, "index") ? &index : NULL, opts_has(opts, "bus") ? &bus : NULL,
                     opts_has(opts, "unit") ? &unit : NULL, err))
        return false;
    d->read_only = d->read_only || drive->cdrom;
    if (d->id && !check_name("-drive", d->id, err))
        return false;
    bool removable = drive->cdrom || !strcmp(drive->interface, "floppy") || !strcmp(drive->interface, "none");
    return d->path || removable || (d->format && !strcmp(d->format, "null-co")) ||
           error_set(err, "-drive: file= is missing, as in -drive file=disk.img,format=raw");
}

/* The reference's name of a -drive without id=. */
static char *drive_name(const BlockDrive *drive, unsigned n)
{
    int index = drive->index;
    if (!strcmp(drive->interface, "floppy"))
        return g_strdup_printf("floppy%d", index);
    if (!strcmp(drive->interface, "ide"))
        return g_strdup_printf("ide%d-%s%d", index / (int)ide_units, drive->cdrom ? "cd" : "hd",
                               index % (int)ide_units);
    return g_strdup_printf("drive%u", n);
}

bool block_add_drive(Opts *opts, bool snapshot, GError **err)
{
    static const char *const known[] = { "file",   "format",  "if",       "id",        "index",         "bus",
                                         "unit",   "media",   "readonly", "read-only", "snapshot",      "cache",
                                         "aio",    "discard", "werror",   "rerror",    "detect-zeroes", "node-name",
                                         "offset", "size",    NULL };
    DriveOptions d = { .snapshot = snapshot };
    BlockDrive *drive = g_new0(BlockDrive, 1);
    bool ok = drive_options(opts, &d, drive, err);
    if (ok && (d.path || (d.format && !strcmp(d.format, "null-co")))) {
        drive->node = open_drive_node(opts, &d, err);
        ok = drive->node;
    } else if (ok) {
        drive->node = node_new(&block_empty_driver);
    }
    if (!ok || !opts_finish(opts, known, err)) {
        block_unref(drive->node && !drive->node->name ? drive->node : NULL);
        g_free((char *)drive->interface);
        g_free(drive);
        return false;
    }
    if (!drives) {
        drives = g_ptr_array_new();
        g_ptr_array_add(drives, NULL);
    }
    if (drive->node) {
        drive->node->drive = d.id ? g_strdup(d.id) : drive_name(drive, drives->len - 1);
        drive->node->on_read_error = d.read_error;
        drive->node->on_write_error = d.write_error;
        drive->node->write_cache = d.writeback;
        if (!drive->node->name)
            register_node(drive->node);
    }
    g_ptr_array_insert(drives, drives->len - 1, drive);
    return true;
}

const BlockDrive *const *block_drives(void)
{
    static const BlockDrive *const none[] = { NULL };
    return drives ? (const BlockDrive *const *)drives->pdata : none;
}

BlockNode *block_drive_find(const char *interface, int index)
{
    const BlockDrive *drive = drive_at(interface, index);
    return drive ? drive->node : NULL;
}

/* ---- checked access ---- */

static bool inside(const BlockNode *node, uint64_t offset, uint64_t length)
{
    return length <= node->size && offset <= node->size - length;
}

int block_read(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return inside(node, offset, length) ? node->driver->read(node, offset, iov, count, length) : EINVAL;
}

int block_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    if (!inside(node, offset, length))
        return EINVAL;
    return node->read_only ? EROFS : node->driver->write(node, offset, iov, count, length);
}

static int write_zero_bytes(BlockNode *node, uint64_t offset, uint64_t length)
{
    uint64_t chunk = MIN(length, (uint64_t)1 << 20);
    g_autofree void *zeros = g_malloc0(chunk);
    int error = 0;
    for (uint64_t done = 0; done < length && !error; done += chunk) {
        struct iovec iov = { zeros, MIN(chunk, length - done) };
        error = node->driver->write(node, offset + done, &iov, 1, iov.iov_len);
    }
    return error;
}

int block_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, bool unmap)
{
    if (!inside(node, offset, length))
        return EINVAL;
    if (node->read_only)
        return EROFS;
    if (!length)
        return 0;
    int error = node->driver->write_zeroes ? node->driver->write_zeroes(node, offset, length, unmap && node->unmap)
                                           : EOPNOTSUPP;
    return error == EOPNOTSUPP ? write_zero_bytes(node, offset, length) : error;
}

int block_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    if (!inside(node, offset, length))
        return EINVAL;
    if (node->read_only)
        return EROFS;
    return length && node->unmap && node->driver->discard ? node->driver->discard(node, offset, length) : 0;
}

int block_flush(BlockNode *node)
{
    return node->no_flush || node->read_only ? 0 : node->driver->flush(node);
}

bool block_map(BlockNode *node, uint64_t offset, uint64_t length, bool write, BlockMapping *m)
{
    return inside(node, offset, length) && length && node->driver->map &&
           node->driver->map(node, offset, length, write, m);
}
