/*
 * The IDE bus and the drives on it as devices: ide-hd and ide-cd (see ide.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/internal.h"
#include "util/error.h"
#include <string.h>

/* ---- bus ---- */

IdeDrive *ide_selected(IdeBus *ide)
{
    return ide->drives[ide->select != 0];
}

void ide_lock(IdeBus *ide)
{
    g_mutex_lock(ide->lock);
}

void ide_unlock(IdeBus *ide)
{
    DiskIo *kick[2];
    unsigned count = 0;
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = ide->drives[i];
        if (d && disk_io_take_wanted(&d->io))
            kick[count++] = &d->io;
    }
    g_mutex_unlock(ide->lock);
    while (count)
        disk_io_kick(kick[--count]);
}

void ide_pause(IdeBus *ide)
{
    for (unsigned i = 0; i < 2; i++) {
        if (ide->drives[i])
            disk_io_pause(&ide->drives[i]->io);
    }
}

void ide_resume(IdeBus *ide)
{
    for (unsigned i = 0; i < 2; i++) {
        if (ide->drives[i])
            disk_io_resume(&ide->drives[i]->io);
    }
}

void ide_bus_reset(IdeBus *ide)
{
    ide->select = ide->control = ide->intrq = 0;
    ide->host->irq(ide, false);
}

static bool plug(Bus *bus, Device *dev, GError **err)
{
    IdeBus *ide = bus->state;
    IdeDrive *d = (IdeDrive *)dev;
    unsigned unit = d->unit_prop;
    if (unit == 255)
        unit = ide->drives[0] ? 1 : 0;
    if (unit >= bus->max_devices)
        return error_set(err, "unit=%u: bus '%s' takes %u drive%s", unit, bus->name, bus->max_devices,
                         bus->max_devices == 1 ? "" : "s");
    if (ide->drives[unit])
        return error_set(err, "unit=%u of bus '%s' is taken", unit, bus->name);
    d->ide = ide;
    d->unit = unit;
    return true;
}

static void unplug(Bus *bus, Device *dev) {}

static bool name_taken(const Machine *machine, const char *name)
{
    for (unsigned i = 0; i < machine->buses->len; i++) {
        if (!strcmp(((const Bus *)g_ptr_array_index(machine->buses, i))->name, name))
            return true;
    }
    return false;
}

static unsigned count_buses(const Machine *machine)
{
    unsigned n = 0;
    for (unsigned i = 0; i < machine->buses->len; i++)
        n += !strcmp(((const Bus *)g_ptr_array_index(machine->buses, i))->kind, "ide");
    return n;
}

void ide_bus_init(IdeBus *ide, Device *owner, unsigned n, unsigned drives, GMutex *lock, const IdeHost *host,
                  void *opaque)
{
    ide->number = count_buses(owner->machine);
    g_autofree char *name = owner->id ? g_strdup_printf("%s.%u", owner->id, n) : g_strdup_printf("ide.%u", ide->number);
    for (unsigned i = ide->number + 1; name_taken(owner->machine, name) && !owner->id; i++) {
        g_free(name);
        name = g_strdup_printf("ide.%u", i);
    }
    ide->index = n;
    ide->host = host;
    ide->opaque = opaque;
    ide->lock = lock;
    ide->bus = bus_new(owner, "ide", name);
    ide->bus->state = ide;
    ide->bus->max_devices = drives;
    ide->bus->plug = plug;
    ide->bus->unplug = unplug;
}

IdeBus *ide_bus_find(Machine *machine, const char *name)
{
    for (unsigned i = 0; i < machine->buses->len; i++) {
        const Bus *bus = g_ptr_array_index(machine->buses, i);
        if (!strcmp(bus->kind, "ide") && !strcmp(bus->name, name))
            return bus->state;
    }
    return NULL;
}

bool ide_geometry(const IdeBus *ide, unsigned unit, unsigned *cylinders, unsigned *heads, unsigned *sectors)
{
    const IdeDrive *d = unit < 2 ? ide->drives[unit] : NULL;
    if (!d || d->is_cd)
        return false;
    *cylinders = d->cylinders;
    *heads = d->heads;
    *sectors = d->sectors;
    return true;
}

/* ---- drives ---- */

static bool check_disk(IdeDrive *d, GError **err)
{
    uint32_t physical = d->physical_block_size;
    uint64_t sectors = d->drive->size / IDE_SECTOR;
    if (d->logical_block_size != IDE_SECTOR)
        return error_set(err, "logical_block_size=%u: IDE disks have 512", d->logical_block_size);
    if (physical < IDE_SECTOR || physical > 32768 || physical & (physical - 1))
        return error_set(err, "physical_block_size=%u: a power of two from 512 to 32768 is needed", physical);
    if (!sectors)
        return error_set(err, "drive '%s' is empty: a disk has at least 512 bytes",
                         d->drive->drive ? d->drive->drive : d->drive->name);
    if (!d->heads != !d->sectors || !d->heads != !d->cylinders)
        return error_set(err, "cyls=, heads= and secs= belong together");
    if (d->heads > 16 || d->sectors > 63 || d->cylinders > 65535)
        return error_set(err, "a disk has at most cyls=65535, heads=16, secs=63");
    if (!d->heads) {
        d->heads = 16;
        d->sectors = 63;
        d->cylinders = CLAMP(sectors / (16 * 63), 1, 16383);
    }
    return true;
}

static void default_text(char **text, const char *value)
{
    if (!*text)
        *text = g_strdup(value);
}

/* Property texts that IDENTIFY has no room for are refused, not cut. */
static bool check_texts(const IdeDrive *d, GError **err)
{
    if (strlen(d->serial) > 20)
        return error_set(err, "serial=%s: at most 20 characters", d->serial);
    if (strlen(d->model) > 40)
        return error_set(err, "model=%s: at most 40 characters", d->model);
    return strlen(d->version) <= 8 || error_set(err, "ver=%s: at most 8 characters", d->version);
}

static bool realize(Device *dev, GError **err)
{
    IdeDrive *d = (IdeDrive *)dev;
    const char *user = dev->id ? dev->id : dev->type->name;
    g_autofree char *serial = g_strdup_printf("QM%05u", 2 * d->ide->number + d->unit + 1);
    d->is_cd = dev->type == &ide_cd_type;
    default_text(&d->serial, serial);
    default_text(&d->model, d->is_cd ? "QEMU DVD-ROM" : "QEMU HARDDISK");
    default_text(&d->version, "2.5+");
    if (!check_texts(d, err))
        return false;
    if (!d->drive && !d->is_cd)
        return error_set(err, "drive= is missing: which -drive or -blockdev is it for?");
    g_autofree char *slot_name = d->is_cd && d->drive && d->drive->drive ? g_strdup(d->drive->drive) : NULL;
    if (d->drive && (d->is_cd ? !block_claim_removable(d->drive, user, err) : !block_claim(d->drive, user, err)))
        return false;
    if (d->is_cd && d->drive && block_is_empty(d->drive))
        d->drive = NULL;
    if ((!d->is_cd && !check_disk(d, err)) || !ide_drive_init_io(d, err)) {
        if (d->drive)
            block_release(d->drive);
        return false;
    }
    if (d->is_cd)
        d->slot = block_slot_new(slot_name, user, d->drive, &atapi_slot_ops, d);
    ide_lock(d->ide);
    d->ide->drives[d->unit] = d;
    ide_unlock(d->ide);
    return true;
}

static void unrealize(Device *dev)
{
    IdeDrive *d = (IdeDrive *)dev;
    ide_lock(d->ide);
    d->ide->drives[d->unit] = NULL;
    ide_unlock(d->ide);
    disk_io_destroy(&d->io);
    if (d->slot)
        block_slot_free(d->slot);
    if (d->drive)
        block_release(d->drive);
}

static void reset(Device *dev)
{
    IdeDrive *d = (IdeDrive *)dev;
    disk_io_pause(&d->io);
    ide_lock(d->ide);
    d->io.stopped = d->io.wanted = false;
    d->regs = (IdeRegs){ 0 };
    d->multiple = d->is_cd ? 0 : 16;
    d->dma_mode = 0x45; /* Ultra DMA 5, as firmware would choose */
    d->write_cache = !d->io.node || d->io.node->write_cache;
    d->look_ahead = d->smart_on = 1;
    d->current_heads = MAX(d->heads, 1);
    d->current_sectors = MAX(d->sectors, 1);
    d->visible = d->is_cd ? 0 : ide_sectors(d);
    d->waiting = d->running = 0;
    ide_soft_reset(d);
    d->lba48 = d->fua = d->raw = d->after = 0;
    d->lba = 0;
    d->position = d->length = d->block = d->block_end = d->range = 0;
    d->byte_limit = 0;
    d->ncq_failed = 0x80;
    d->tray_open = d->media_event = d->eject_event = d->attention = 0;
    memset(d->packet, 0, sizeof(d->packet));
    memset(d->buffer, 0, sizeof(d->buffer));
    ide_unlock(d->ide);
    disk_io_resume(&d->io);
}

static void quiesce(Device *dev, bool on)
{
    IdeDrive *d = (IdeDrive *)dev;
    if (on)
        disk_io_pause(&d->io);
    else
        disk_io_resume(&d->io);
}

/* What the code relies on. */
static void post_load(Device *dev)
{
    IdeDrive *d = (IdeDrive *)dev;
    ide_lock(d->ide);
    d->length = MIN(d->length, IDE_BUFFER);
    d->block_end = MIN(d->block_end, d->length);
    d->position = MIN(d->position, d->block_end);
    d->visible = MIN(d->visible, ide_sectors(d));
    d->current_heads = MAX(d->current_heads, 1);
    d->current_sectors = MAX(d->current_sectors, 1);
    d->io.wanted = true;
    ide_unlock(d->ide);
}

static const Prop props[] = {
    PROP(IdeDrive, DRIVE, "drive", drive, .help = "id of -drive, or node-name of -blockdev"),
    PROP(IdeDrive, U8, "unit", unit_prop, .fallback = "255", .help = "0: master, 1: slave; 255: what is free"),
    PROP(IdeDrive, STRING, "serial", serial, .help = "serial number, at most 20 characters"),
    PROP(IdeDrive, STRING, "model", model, .help = "at most 40 characters"),
    PROP(IdeDrive, STRING, "ver", version, .help = "firmware version, at most 8 characters"),
    PROP(IdeDrive, U64, "wwn", wwn, .help = "world-wide name"),
    PROP(IdeDrive, U32, "bootindex", bootindex, .fallback = "4294967295", .help = "the least is booted first"),
    PROP(IdeDrive, U32, "logical_block_size", logical_block_size, .fallback = "512", .help = "bytes"),
    PROP(IdeDrive, U32, "physical_block_size", physical_block_size, .fallback = "512", .help = "bytes"),
    PROP(IdeDrive, ENUM, "werror", io.write_error, .names = disk_error_names, .help = "when a write fails"),
    PROP(IdeDrive, ENUM, "rerror", io.read_error, .names = disk_error_names, .help = "when a read fails"),
    PROP_END,
};
static const Prop disk_props[] = {
    PROP(IdeDrive, U32, "cyls", cylinders, .help = "cylinders that the disk reports; 0: by its size"),
    PROP(IdeDrive, U32, "heads", heads),
    PROP(IdeDrive, U32, "secs", sectors),
    PROP(IdeDrive, U32, "rotation_rate", rotation_rate, .max = 0xfffe, .help = "per minute; 1: it does not turn"),
    PROP_END,
};

static const StateField state[] = {
    STATE_SKIP(IdeDrive, ide, "wiring"),
    STATE_SKIP(IdeDrive, io, "wiring; nothing is under way while quiet"),
    STATE_SKIP(IdeDrive, slot, "wiring"),
    STATE_SKIP(IdeDrive, unit, "property"),
    STATE_SKIP(IdeDrive, is_cd, "type"),
    STATE_SKIP(IdeDrive, rotation_rate, "property"),
    STATE_SKIP(IdeDrive, cylinders, "property"),
    STATE_SKIP(IdeDrive, heads, "property"),
    STATE_SKIP(IdeDrive, sectors, "property"),
    STATE(IdeDrive, regs.feature),
    STATE(IdeDrive, regs.count),
    STATE(IdeDrive, regs.low),
    STATE(IdeDrive, regs.mid),
    STATE(IdeDrive, regs.high),
    STATE(IdeDrive, regs.device),
    STATE(IdeDrive, regs.error),
    STATE(IdeDrive, regs.status),
    STATE(IdeDrive, regs.command),
    STATE(IdeDrive, multiple),
    STATE(IdeDrive, dma_mode),
    STATE(IdeDrive, write_cache),
    STATE(IdeDrive, look_ahead),
    STATE(IdeDrive, smart_on),
    STATE(IdeDrive, current_heads),
    STATE(IdeDrive, current_sectors),
    STATE(IdeDrive, visible),
    STATE(IdeDrive, phase),
    STATE(IdeDrive, op),
    STATE(IdeDrive, dma),
    STATE(IdeDrive, waiting),
    STATE_SKIP(IdeDrive, running, "never while quiet"),
    STATE(IdeDrive, lba48),
    STATE(IdeDrive, after),
    STATE(IdeDrive, fua),
    STATE(IdeDrive, ncq_failed),
    STATE(IdeDrive, raw),
    STATE(IdeDrive, left),
    STATE(IdeDrive, lba),
    STATE(IdeDrive, position),
    STATE(IdeDrive, length),
    STATE(IdeDrive, block),
    STATE(IdeDrive, block_end),
    STATE(IdeDrive, range),
    STATE_ARRAY(IdeDrive, packet),
    STATE(IdeDrive, sense),
    STATE(IdeDrive, asc),
    STATE(IdeDrive, ascq),
    STATE(IdeDrive, tray_open),
    STATE(IdeDrive, locked),
    STATE(IdeDrive, media_event),
    STATE(IdeDrive, eject_event),
    STATE(IdeDrive, attention),
    STATE(IdeDrive, byte_limit),
    STATE_ARRAY(IdeDrive, buffer),
    STATE_END,
};

static const DeviceType ide_device_type = {
    .name = "ide-device",
    .desc = "IDE drive",
    .size = sizeof(IdeDrive),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .quiesce = quiesce,
    .post_load = post_load,
};
static const StateField disk_state[] = { STATE_END };

const DeviceType ide_hd_type = { .name = "ide-hd",
                                 .desc = "ATA disk",
                                 .category = "storage",
                                 .bus = "ide",
                                 .parent = &ide_device_type,
                                 .size = sizeof(IdeDrive),
                                 .props = disk_props,
                                 .state = disk_state };
const DeviceType ide_cd_type = { .name = "ide-cd",
                                 .desc = "ATAPI CD-ROM drive",
                                 .category = "storage",
                                 .bus = "ide",
                                 .parent = &ide_device_type,
                                 .size = sizeof(IdeDrive) };
