/*
 * fw_cfg (the "QEMU Firmware Configuration Device" interface, as its Linux driver and binding qemu,fw-cfg-mmio know
 * it): numbered items, some with file names, read byte by byte or by DMA; registers in memory, or ports of a PC. Files
 * that have someone to hear of it can be written, by DMA.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/fw_cfg.h"
#include "hw/core/ram_access.h"
#include "util/error.h"
#include "util/trace.h"
#include <string.h>

enum { DATA = 0x00, SELECTOR = 0x08, DMA = 0x10 };
enum { PORT_SELECTOR_DATA = 0, PORT_DMA = 4, PORT_BYTES = 12 };
enum { ID_TRADITIONAL = 1, ID_DMA = 2 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { NAME_BYTES = 56, FILES_MAX = 64, DIR_ENTRY = 64, ZEROS_MAX = 1 << 20 };
#define DMA_SIGNATURE UINT64_C(0x51454d5520434647) /* "QEMU CFG" */

typedef struct FwCfgItem {
    uint16_t key;
    char *name; /* of a file, or NULL */
    uint8_t *data;
    size_t len;
    const FwCfgFileOps *ops; /* of a file, or NULL */
    void *opaque;
} FwCfgItem;

static FwCfgItem *find(const FwCfg *f, uint16_t key)
{
    for (unsigned i = 0; i < f->items->len; i++) {
        FwCfgItem *item = f->items->pdata[i];
        if (item->key == key)
            return item;
    }
    return NULL;
}

static void item_free(gpointer data)
{
    FwCfgItem *item = data;
    g_free(item->name);
    g_free(item->data);
    g_free(item);
}

/* ---- for the machine ---- */

static FwCfgItem *set(FwCfg *f, uint16_t key, const void *data, size_t len)
{
    FwCfgItem *item = find(f, key);
    if (!item) {
        item = g_new0(FwCfgItem, 1);
        item->key = key;
        g_ptr_array_add(f->items, item);
    }
    g_free(item->data);
    item->data = g_memdup2(data, len);
    item->len = len;
    return item;
}

void fw_cfg_set(FwCfg *f, uint16_t key, const void *data, size_t len)
{
    set(f, key, data, len);
}

void fw_cfg_set_integer(FwCfg *f, uint16_t key, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    set(f, key, &value, bytes);
}

/* Count, then size, key, 0 and name of each file; big-endian. */
static void make_directory(FwCfg *f)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint32_t count = 0;
    g_byte_array_set_size(out, 4);
    for (unsigned i = 0; i < f->items->len; i++) {
        const FwCfgItem *item = f->items->pdata[i];
        uint8_t entry[DIR_ENTRY] = { 0 };
        uint32_t len = GUINT32_TO_BE(item->len);
        uint16_t key = GUINT16_TO_BE(item->key);
        if (!item->name)
            continue;
        memcpy(entry, &len, 4);
        memcpy(entry + 4, &key, 2);
        memcpy(entry + 8, item->name, strlen(item->name));
        g_byte_array_append(out, entry, sizeof(entry));
        count++;
    }
    count = GUINT32_TO_BE(count);
    memcpy(out->data, &count, 4);
    set(f, FW_CFG_FILE_DIR, out->data, out->len);
}

static FwCfgItem *find_file(const FwCfg *f, const char *name)
{
    for (unsigned i = 0; i < f->items->len; i++) {
        FwCfgItem *item = f->items->pdata[i];
        if (item->name && !strcmp(item->name, name))
            return item;
    }
    return NULL;
}

bool fw_cfg_set_file(FwCfg *f, const char *name, const void *data, size_t len, GError **err)
{
    uint16_t key = FW_CFG_FILE_FIRST;
    for (unsigned i = 0; i < f->items->len; i++) {
        const FwCfgItem *item = f->items->pdata[i];
        if (item->name && !strcmp(item->name, name)) {
            key = item->key;
            break;
        }
        key = item->name ? MAX(key, item->key + 1) : key;
    }
    if (strlen(name) >= NAME_BYTES)
        return error_set(err, "fw_cfg: the name '%s' is longer than %u bytes", name, NAME_BYTES - 1);
    if (key >= FW_CFG_FILE_FIRST + FILES_MAX)
        return error_set(err, "fw_cfg: there are more than %u files", FILES_MAX);
    FwCfgItem *item = set(f, key, data, len);
    g_free(item->name);
    item->name = g_strdup(name);
    make_directory(f);
    return true;
}

bool fw_cfg_set_active_file(FwCfg *f, const char *name, const void *data, size_t len, const FwCfgFileOps *ops,
                            void *opaque, GError **err)
{
    if (!fw_cfg_set_file(f, name, data, len, err))
        return false;
    FwCfgItem *item = find_file(f, name);
    item->ops = ops;
    item->opaque = opaque;
    return true;
}

const uint8_t *fw_cfg_file(const FwCfg *f, const char *name, size_t *len)
{
    const FwCfgItem *item = find_file(f, name);
    *len = item ? item->len : 0;
    return item ? item->data : NULL;
}

/* ---- registers: big-endian ---- */

static void select_item(FwCfg *f, uint16_t key)
{
    const FwCfgItem *item = find(f, key);
    TRACE(fw_cfg_select, "0x%x", key);
    f->selected = key;
    f->offset = 0;
    if (item && item->ops && item->ops->selected)
        item->ops->selected(item->opaque);
}

static uint8_t next_byte(FwCfg *f)
{
    const FwCfgItem *item = find(f, f->selected);
    return item && f->offset < item->len ? item->data[f->offset++] : 0;
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | next_byte(opaque);
    return value;
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    guest_error(&((FwCfg *)opaque)->dev, "write to the data register: items are read-only");
}

static uint64_t selector_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((FwCfg *)opaque)->selected;
}

static void selector_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    select_item(opaque, value);
}

/* ---- DMA ---- */

/* len bytes to guest RAM, from data, or zeros where it is NULL. Registers take none: that would be slow without a
 * bound, and the machine's lock is held. */
static bool to_ram(FwCfg *f, uint64_t addr, const uint8_t *data, uint64_t len)
{
    while (len) {
        uint64_t n = len;
        uint8_t *host = dma_map(&f->dev, addr, &n, true);
        if (!host)
            return false;
        if (data)
            ram_copy(host, data, n);
        else
            memset(host, 0, n);
        dma_unmap(&f->dev, host, n);
        data = data ? data + n : NULL;
        addr += n;
        len -= n;
    }
    return true;
}

/* Copy len bytes of the selected item to addr; what is behind its end is zero, and not much. */
static bool dma_copy(FwCfg *f, uint64_t addr, uint32_t len)
{
    const FwCfgItem *item = find(f, f->selected);
    uint32_t left = item && f->offset < item->len ? item->len - f->offset : 0, n = MIN(left, len);
    if (len - n > ZEROS_MAX || addr + len < addr)
        return false;
    if (!to_ram(f, addr, left ? item->data + f->offset : NULL, n))
        return false;
    f->offset += n;
    return to_ram(f, addr + n, NULL, len - n);
}

/* To a file that takes it; what would be behind its end, not. */
static bool dma_take(FwCfg *f, uint64_t addr, uint32_t len)
{
    const FwCfgItem *item = find(f, f->selected);
    if (!item || !item->ops || !item->ops->written || f->offset > item->len || len > item->len - f->offset)
        return false;
    if (dma_read(&f->dev, addr, item->data + f->offset, len) != MEM_OK)
        return false;
    f->offset += len;
    item->ops->written(item->opaque, item->data, item->len);
    return true;
}

static void dma_run(FwCfg *f, uint64_t descriptor)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } d;
    uint32_t result = 0;
    if (dma_read(&f->dev, descriptor, &d, sizeof(d)) != MEM_OK) {
        guest_error(&f->dev, "no memory at 0x%" G_GINT64_MODIFIER "x, where the DMA descriptor should be", descriptor);
        result = GUINT32_TO_BE(DMA_ERROR);
        dma_write(&f->dev, descriptor, &result, sizeof(result));
        return;
    }
    uint32_t control = GUINT32_FROM_BE(d.control), length = GUINT32_FROM_BE(d.length);
    if (control & DMA_SELECT)
        select_item(f, control >> 16);
    if (control & DMA_READ) {
        result = dma_copy(f, GUINT64_FROM_BE(d.address), length) ? 0 : DMA_ERROR;
        if (result)
            guest_error(&f->dev, "DMA of %u bytes to 0x%" G_GINT64_MODIFIER "x: no RAM, or far more than the item has",
                        length, GUINT64_FROM_BE(d.address));
    } else if (control & DMA_WRITE) {
        result = dma_take(f, GUINT64_FROM_BE(d.address), length) ? 0 : DMA_ERROR;
        if (result)
            guest_error(&f->dev, "DMA of %u bytes to item 0x%x, which takes none or is shorter", length, f->selected);
    } else if (control & DMA_SKIP) {
        f->offset += MIN(length, UINT32_MAX - f->offset);
    }
    TRACE(fw_cfg_dma, "control 0x%x length %u: %u", control, length, result);
    result = GUINT32_TO_BE(result);
    dma_write(&f->dev, descriptor, &result, sizeof(result));
}

static uint64_t dma_register_read(void *opaque, uint64_t offset, unsigned size)
{
    return size == 8 ? DMA_SIGNATURE : offset ? (uint32_t)DMA_SIGNATURE : DMA_SIGNATURE >> 32;
}

/* The low half starts it. */
static void dma_register_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    FwCfg *f = opaque;
    if (size == 4 && !offset) {
        f->dma_address = value << 32;
        return;
    }
    uint64_t descriptor = size == 8 ? value : f->dma_address | value;
    f->dma_address = 0;
    dma_run(f, descriptor);
}

static const MemOps
    data_ops = { .read = data_read, .write = data_write, .min_size = 1, .max_size = 8, .big_endian = true },
    selector_ops = { .read = selector_read, .write = selector_write, .min_size = 2, .max_size = 2, .big_endian = true },
    dma_ops = {
        .read = dma_register_read, .write = dma_register_write, .min_size = 4, .max_size = 8, .big_endian = true
    };

/* ---- ports: a word at the first selects, bytes at either are data ---- */

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return next_byte(opaque);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    if (size == 2)
        select_item(opaque, value);
    else
        data_write(opaque, offset, value, size);
}

static const MemOps port_ops = {
    .read = port_read, .write = port_write, .min_size = 1, .max_size = 2, .impl_min = 1, .impl_max = 2
};

/* ---- types ---- */

static void realize_items(FwCfg *f)
{
    Machine *machine = f->dev.machine;
    f->items = g_ptr_array_new_with_free_func(item_free);
    fw_cfg_set(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_integer(f, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
    fw_cfg_set_integer(f, FW_CFG_RAM_SIZE, machine->config.ram_size, 8);
    fw_cfg_set_integer(f, FW_CFG_NB_CPUS, machine->config.cpus, 2);
    fw_cfg_set_integer(f, FW_CFG_MAX_CPUS, machine->config.max_cpus, 2);
    fw_cfg_set_integer(f, FW_CFG_NOGRAPHIC, 1, 2);
    make_directory(f);
    machine->fw_cfg = &f->dev;
}

static bool realize(Device *dev, GError **err)
{
    FwCfg *f = (FwCfg *)dev;
    Machine *machine = dev->machine;
    realize_items(f);
    mem_container_init(&f->mmio, machine, "fwcfg", FW_CFG_SIZE);
    mem_io_init(&f->data, machine, "fwcfg.data", 8, &data_ops, f);
    mem_io_init(&f->selector, machine, "fwcfg.ctl", 2, &selector_ops, f);
    mem_io_init(&f->dma, machine, "fwcfg.dma", 8, &dma_ops, f);
    mem_add(&f->mmio, DATA, &f->data, 0);
    mem_add(&f->mmio, SELECTOR, &f->selector, 0);
    mem_add(&f->mmio, DMA, &f->dma, 0);
    return true;
}

static bool realize_ports(Device *dev, GError **err)
{
    FwCfg *f = (FwCfg *)dev;
    realize_items(f);
    mem_container_init(&f->mmio, dev->machine, "fwcfg", PORT_BYTES);
    mem_io_init(&f->data, dev->machine, "fwcfg.io", 2, &port_ops, f);
    mem_io_init(&f->dma, dev->machine, "fwcfg.dma", 8, &dma_ops, f);
    mem_add(&f->mmio, PORT_SELECTOR_DATA, &f->data, 0);
    mem_add(&f->mmio, PORT_DMA, &f->dma, 0);
    return true;
}

static void unrealize(Device *dev)
{
    dev->machine->fw_cfg = NULL;
    g_ptr_array_unref(((FwCfg *)dev)->items);
}

static void reset(Device *dev)
{
    FwCfg *f = (FwCfg *)dev;
    f->dma_address = 0;
    select_item(f, 0);
}

static const StateField state[] = { STATE(FwCfg, selected),
                                    STATE(FwCfg, offset),
                                    STATE(FwCfg, dma_address),
                                    STATE_SKIP(FwCfg, mmio, "wiring"),
                                    STATE_SKIP(FwCfg, data, "wiring"),
                                    STATE_SKIP(FwCfg, selector, "wiring"),
                                    STATE_SKIP(FwCfg, dma, "wiring"),
                                    STATE_SKIP(FwCfg, items, "set by the machine"),
                                    STATE_END };

const DeviceType fw_cfg_type = {
    .name = "fw_cfg_mem",
    .desc = "firmware configuration, memory-mapped",
    .category = "misc",
    .size = sizeof(FwCfg),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};

const DeviceType fw_cfg_io_type = {
    .name = "fw_cfg_io",
    .desc = "firmware configuration, ports",
    .category = "misc",
    .size = sizeof(FwCfg),
    .state = state,
    .realize = realize_ports,
    .unrealize = unrealize,
    .reset = reset,
};
