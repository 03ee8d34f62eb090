/*
 * Drives with removable media: what the monitor's eject and change do (see block.h).
 * SPDX-License-Identifier: MIT
 */
#include "block/drivers.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>

struct BlockSlot {
    char *name, *user;
    BlockNode *node; /* NULL: no medium */
    const BlockSlotOps *ops;
    void *opaque;
};

static GPtrArray *slots; /* BlockSlot * */

/* ---- no medium ---- */

static bool empty_open(BlockNode *node, Opts *opts, GError **err)
{
    return true;
}
static int empty_transfer(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return ENOMEDIUM;
}
static int empty_flush(BlockNode *node)
{
    return 0;
}

const BlockDriver block_empty_driver = {
    .name = "none",
    .desc = "no medium",
    .protocol = true,
    .open = empty_open,
    .read = empty_transfer,
    .write = empty_transfer,
    .flush = empty_flush,
};

/* ---- slots ---- */

BlockSlot *block_slot_new(const char *name, const char *user, BlockNode *node, const BlockSlotOps *ops, void *opaque)
{
    BlockSlot *slot = g_new0(BlockSlot, 1);
    slot->name = g_strdup(name ? name : node && node->drive ? node->drive : user);
    slot->user = g_strdup(user);
    slot->node = node;
    slot->ops = ops;
    slot->opaque = opaque;
    if (!slots)
        slots = g_ptr_array_new();
    g_ptr_array_add(slots, slot);
    return slot;
}

void block_slot_free(BlockSlot *slot)
{
    g_ptr_array_remove(slots, slot);
    g_free(slot->name);
    g_free(slot->user);
    g_free(slot);
}

bool block_slot_holds(const BlockNode *node)
{
    for (guint i = 0; slots && i < slots->len; i++) {
        if (((const BlockSlot *)slots->pdata[i])->node == node)
            return true;
    }
    return false;
}

void block_slots_describe(GString *out)
{
    for (guint i = 0; slots && i < slots->len; i++) {
        const BlockSlot *slot = slots->pdata[i];
        const BlockNode *node = slot->node;
        if (node)
            g_string_append_printf(out, "%s: %s%s%s, %" G_GUINT64_FORMAT " bytes%s\n", slot->name, node->driver->name,
                                   node->child ? " on " : "", node->child ? node->child->driver->name : "", node->size,
                                   node->read_only ? ", read-only" : "");
        else
            g_string_append_printf(out, "%s: [not inserted]\n", slot->name);
        g_string_append_printf(out, "    used by %s\n    Removable device: %slocked", slot->user,
                               slot->ops->locked(slot->opaque) ? "" : "not ");
        if (slot->ops->tray_open)
            g_string_append_printf(out, ", tray %s", slot->ops->tray_open(slot->opaque) ? "open" : "closed");
        g_string_append_c(out, '\n');
    }
}

static BlockSlot *find(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; slots && i < slots->len; i++) {
        BlockSlot *slot = slots->pdata[i];
        if (!strcmp(slot->name, name) || !strcmp(slot->user, name))
            return slot;
        g_ptr_array_add(names, slot->name);
    }
    g_ptr_array_add(names, NULL);
    if (names->len == 1)
        error_set(err, "there is no drive with removable media");
    else
        error_unknown_name(err, "drive with removable media", name, (const char *const *)names->pdata);
    return NULL;
}

static void take_out(BlockSlot *slot)
{
    BlockNode *node = slot->node;
    slot->ops->set_medium(slot->opaque, NULL);
    slot->node = NULL;
    if (!node)
        return;
    block_release(node);
    if (node->drive) /* of -drive or change: nobody else can use it again */
        block_drop(node);
}

/* The tray is open, or there is none. */
static bool open_tray(BlockSlot *slot, bool force, GError **err)
{
    const BlockSlotOps *ops = slot->ops;
    if (ops->tray_open && ops->tray_open(slot->opaque))
        return true;
    if (ops->locked(slot->opaque) && !force) {
        if (ops->request_eject)
            ops->request_eject(slot->opaque);
        return error_set(err, "'%s' is locked by the guest, which was asked to eject; -f does not wait for it",
                         slot->name);
    }
    if (ops->set_tray)
        ops->set_tray(slot->opaque, true);
    return true;
}

bool block_slot_eject(const char *name, bool force, GError **err)
{
    BlockSlot *slot = find(name, err);
    if (!slot || !open_tray(slot, force, err))
        return false;
    take_out(slot);
    return true;
}

/* A -drive without a device: named after the slot while it is in it. */
static BlockNode *open_medium(const BlockSlot *slot, const char *file, const char *format, bool read_only, GError **err)
{
    static unsigned count;
    g_autofree char *node_name = g_strdup_printf("#medium%u", count++);
    g_autoptr(Opts) opts = opts_new("change");
    opts_add(opts, "driver", format ? format : "raw");
    opts_add(opts, "node-name", node_name);
    opts_add(opts, "file.driver", "file");
    opts_add(opts, "file.filename", file);
    opts_add(opts, "read-only", read_only ? "on" : "off");
    BlockNode *node = block_add(opts, err);
    if (node) {
        node->on_read_error = slot->node ? slot->node->on_read_error : ON_ERROR_REPORT;
        node->on_write_error = slot->node ? slot->node->on_write_error : ON_ERROR_ENOSPC;
    }
    return node;
}

bool block_slot_change(const char *name, const char *file, const char *format, const char *mode, bool force,
                       GError **err)
{
    static const char *const modes[] = { "retain", "read-only", "read-write", NULL };
    BlockSlot *slot = find(name, err);
    if (!slot)
        return false;
    if (mode && !g_strv_contains(modes, mode))
        return error_unknown_name(err, "mode", mode, modes);
    bool read_only = slot->node && slot->node->read_only;
    if (mode && strcmp(mode, "retain"))
        read_only = !strcmp(mode, "read-only");
    if (!open_tray(slot, force, err))
        return false;
    BlockNode *node = open_medium(slot, file, format, read_only || slot->ops->read_only, err);
    if (!node)
        return false;
    take_out(slot);
    node->drive = g_strdup(slot->name);
    block_claim(node, slot->user, NULL);
    slot->node = node;
    slot->ops->set_medium(slot->opaque, node);
    if (slot->ops->set_tray)
        slot->ops->set_tray(slot->opaque, false);
    return true;
}
