/*
 * Devices: life cycle, buses, the -device option, saved state. Properties are in props.c, register banks in regbank.c.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/device.h"
#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include "util/error.h"
#include "util/log.h"
#include <string.h>

/* ---- types ---- */

#define DEVICE(symbol) extern const DeviceType symbol;
#include "hw/core/devices.def"
#undef DEVICE

static const DeviceType *const all_types[] = {
#define DEVICE(symbol) &symbol,
#include "hw/core/devices.def"
#undef DEVICE
    NULL
};

const DeviceType *const *device_types(void)
{
    return all_types;
}

const DeviceType *device_type_find(const char *name)
{
    for (const DeviceType *const *type = all_types; *type; type++) {
        if (!strcmp((*type)->name, name))
            return *type;
    }
    return NULL;
}

static const Bus *bus_of_name(const Machine *machine, const char *name)
{
    for (unsigned i = 0; machine && name && i < machine->buses->len; i++) {
        const Bus *bus = g_ptr_array_index(machine->buses, i);
        if (!strcmp(bus->name, name))
            return bus;
    }
    return NULL;
}

static bool has_bus(const Machine *machine, const char *kind)
{
    for (unsigned i = 0; machine && i < machine->buses->len; i++) {
        if (!strcmp(((const Bus *)g_ptr_array_index(machine->buses, i))->kind, kind))
            return true;
    }
    return !machine;
}

const DeviceType *device_type_resolve(const Machine *machine, const char *name, const char *bus_name)
{
    static const char *const transports[] = { "pci", "device" };
    const DeviceType *exact = device_type_find(name);
    const Bus *bus = bus_of_name(machine, bus_name);
    for (unsigned i = 0; !exact && g_str_has_prefix(name, "virtio-") && i < G_N_ELEMENTS(transports); i++) {
        g_autofree char *full = g_strdup_printf("%s-%s", name, transports[i]);
        const DeviceType *type = device_type_find(full);
        if (type && type->bus && (bus ? !strcmp(bus->kind, type->bus) : has_bus(machine, type->bus)))
            return type;
    }
    return exact;
}

/* ---- life cycle ---- */

static void type_set_defaults(const DeviceType *type, Device *dev)
{
    if (type->parent)
        type_set_defaults(type->parent, dev);
    if (type->props)
        props_set_defaults(type->props, dev);
}

typedef struct Global {
    const DeviceType *type;
    char *name, *value;
} Global;

static GSList *globals; /* Global *; of the command line, so they last as long as the process */

bool device_add_global(const char *type_name, const char *name, const char *value, GError **err)
{
    const DeviceType *type = device_type_resolve(NULL, type_name, NULL);
    if (!type)
        return error_set(err, "-global: '%s' is not a device (property '%s')", type_name, name);
    if (!device_has_prop(type, name))
        return error_set(err, "-global: '%s' has no property '%s'; -device %s,help lists them", type_name, name,
                         type_name);
    Global *global = g_new(Global, 1);
    *global = (Global){ type, g_strdup(name), g_strdup(value) };
    globals = g_slist_append(globals, global);
    return true;
}

static bool type_is_a(const DeviceType *type, const DeviceType *parent)
{
    while (type && type != parent)
        type = type->parent;
    return type;
}

static void set_globals(Device *dev)
{
    for (GSList *link = globals; link && !dev->error; link = link->next) {
        const Global *global = link->data;
        if (type_is_a(dev->type, global->type) && !device_set(dev, global->name, global->value, &dev->error))
            g_prefix_error(&dev->error, "-global: ");
    }
}

Device *device_new(Machine *machine, const DeviceType *type)
{
    g_assert(type->size >= sizeof(Device));
    Device *dev = g_malloc0(type->size);
    dev->type = type;
    dev->machine = machine;
    type_set_defaults(type, dev);
    if (type->child)
        dev->child = device_new(machine, type->child);
    set_globals(dev);
    return dev;
}

/* Parents first; a failure undoes the parents. */
static bool type_realize(const DeviceType *type, Device *dev, GError **err)
{
    if (type->parent && !type_realize(type->parent, dev, err))
        return false;
    if (!type->realize || type->realize(dev, err))
        return true;
    for (const DeviceType *parent = type->parent; parent; parent = parent->parent) {
        if (parent->unrealize)
            parent->unrealize(dev);
    }
    return false;
}

static void device_unplug(Device *dev)
{
    Bus *bus = dev->bus;
    if (!bus)
        return;
    if (bus->unplug)
        bus->unplug(bus, dev);
    g_ptr_array_remove(bus->devices, dev);
    dev->bus = NULL;
}

bool device_realize(Device *dev, Bus *bus, GError **err)
{
    if (dev->error) {
        g_propagate_error(err, g_steal_pointer(&dev->error));
        return false;
    }
    memory_begin(dev->machine); /* the guest sees the device whole or not at all */
    dev->bus = bus;
    bool ok = true;
    if (bus) {
        g_ptr_array_add(bus->devices, dev);
        ok = !bus->plug || bus->plug(bus, dev, err);
        if (!ok) {
            g_ptr_array_remove(bus->devices, dev);
            dev->bus = NULL;
        }
    }
    if (ok && !type_realize(dev->type, dev, err)) {
        device_unplug(dev);
        ok = false;
    }
    if (ok) {
        dev->realized = true;
        if (!bus)
            g_ptr_array_add(dev->machine->devices, dev);
    }
    memory_commit(dev->machine);
    return ok;
}

static void type_reset(const DeviceType *type, Device *dev)
{
    if (type->parent)
        type_reset(type->parent, dev);
    if (type->regs)
        reg_bank_reset(dev, type->regs);
    if (type->reset)
        type->reset(dev);
}

void device_reset(Device *dev)
{
    type_reset(dev->type, dev);
    for (GSList *link = dev->buses; link; link = link->next) {
        Bus *bus = link->data;
        for (unsigned i = 0; i < bus->devices->len; i++)
            device_reset(g_ptr_array_index(bus->devices, i));
    }
}

static void bus_free(Bus *bus)
{
    while (bus->devices->len)
        device_free(g_ptr_array_index(bus->devices, bus->devices->len - 1));
    g_ptr_array_remove(bus->owner->machine->buses, bus);
    g_ptr_array_unref(bus->devices);
    g_free(bus->name);
    g_free(bus);
}

static bool device_holds(const Device *dev, const void *member)
{
    return (uintptr_t)member - (uintptr_t)dev < dev->type->size;
}

/* What the struct holds that others point to must not be left behind. */
static void device_withdraw(Device *dev)
{
    Machine *machine = dev->machine;
    for (const DeviceType *type = dev->type; type; type = type->parent) {
        for (const StateField *field = type->state; field && field->name; field++) {
            if (field->kind == STATE_KIND_TIMER)
                timer_cancel((Timer *)((char *)dev + field->offset));
        }
    }
    for (unsigned i = machine->address_spaces->len; i--;) {
        AddressSpace *as = g_ptr_array_index(machine->address_spaces, i);
        if (device_holds(dev, as))
            as_destroy(as);
    }
    GHashTableIter iter;
    g_autoptr(GSList) regions = NULL;
    gpointer region;
    g_hash_table_iter_init(&iter, machine->regions);
    while (g_hash_table_iter_next(&iter, &region, NULL)) {
        if (device_holds(dev, region))
            regions = g_slist_prepend(regions, region);
    }
    for (GSList *link = regions; link; link = link->next)
        mem_destroy(link->data);
}

void device_free(Device *dev)
{
    Machine *machine = dev->machine;
    memory_begin(machine);
    if (dev->child && !dev->child->bus)
        device_free(dev->child); /* else its bus frees it */
    while (dev->buses) {
        bus_free(dev->buses->data);
        dev->buses = g_slist_delete_link(dev->buses, dev->buses);
    }
    for (const DeviceType *type = dev->realized ? dev->type : NULL; type; type = type->parent) {
        if (type->unrealize)
            type->unrealize(dev);
    }
    device_unplug(dev);
    g_ptr_array_remove(machine->devices, dev);
    device_withdraw(dev);
    memory_commit(machine);
    for (const DeviceType *type = dev->type; type; type = type->parent) {
        if (type->props)
            props_clear(type->props, dev);
    }
    g_clear_error(&dev->error);
    g_free(dev->id);
    g_free(dev);
}

static void (*drive_unused)(void *drive);

void device_set_drive_unused(void (*unused)(void *drive))
{
    drive_unused = unused;
}

static void collect_drives(const Device *dev, GPtrArray *drives)
{
    for (const DeviceType *type = dev->type; type; type = type->parent) {
        for (const Prop *prop = type->props; prop && prop->name; prop++) {
            void *drive = NULL;
            if (prop->type == PROP_DRIVE)
                memcpy(&drive, (const char *)dev + prop->offset, sizeof(drive));
            if (drive && !g_ptr_array_find(drives, drive, NULL))
                g_ptr_array_add(drives, drive);
        }
    }
    for (GSList *link = dev->buses; link; link = link->next) {
        const Bus *bus = link->data;
        for (unsigned i = 0; i < bus->devices->len; i++)
            collect_drives(g_ptr_array_index(bus->devices, i), drives);
    }
}

void device_remove(Device *dev)
{
    g_autoptr(GPtrArray) drives = g_ptr_array_new();
    collect_drives(dev, drives);
    device_free(dev);
    for (unsigned i = 0; drive_unused && i < drives->len; i++)
        drive_unused(g_ptr_array_index(drives, i));
}

/* ---- buses ---- */

Bus *bus_new(Device *owner, const char *kind, const char *name)
{
    Bus *bus = g_new0(Bus, 1);
    bus->kind = kind;
    bus->name = g_strdup(name);
    bus->owner = owner;
    bus->devices = g_ptr_array_new();
    owner->buses = g_slist_append(owner->buses, bus);
    g_ptr_array_add(owner->machine->buses, bus);
    return bus;
}

static bool bus_has_room(const Bus *bus)
{
    return !bus->max_devices || bus->devices->len < bus->max_devices;
}

static Bus *bus_find_named(Machine *machine, const DeviceType *type, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < machine->buses->len; i++) {
        Bus *bus = g_ptr_array_index(machine->buses, i);
        g_ptr_array_add(names, bus->name);
        if (strcmp(bus->name, name))
            continue;
        if (strcmp(bus->kind, type->bus)) {
            error_set(err, "bus '%s' is of kind %s, '%s' needs one of kind %s", name, bus->kind, type->name, type->bus);
            return NULL;
        }
        if (!bus_has_room(bus)) {
            error_set(err, "bus '%s' is full: it takes %u device%s", name, bus->max_devices,
                      bus->max_devices == 1 ? "" : "s");
            return NULL;
        }
        return bus;
    }
    g_ptr_array_add(names, NULL);
    error_unknown_name(err, "bus", name, (const char *const *)names->pdata);
    return NULL;
}

/* The first bus of the kind that type needs, with room. */
static Bus *bus_find_free(Machine *machine, const DeviceType *type, GError **err)
{
    bool any = false;
    for (unsigned i = 0; i < machine->buses->len; i++) {
        Bus *bus = g_ptr_array_index(machine->buses, i);
        if (strcmp(bus->kind, type->bus))
            continue;
        any = true;
        if (bus_has_room(bus))
            return bus;
    }
    if (any)
        error_set(err, "all buses of kind %s are full", type->bus);
    else
        error_set(err, "'%s' needs a bus of kind %s, which this machine has not", type->name, type->bus);
    return NULL;
}

/* ---- -device ---- */

/* Names of all types that -device takes, ends with NULL. Free the array only. */
static const char **creatable_names(void)
{
    GPtrArray *names = g_ptr_array_new();
    for (const DeviceType *const *type = all_types; *type; type++) {
        if ((*type)->bus)
            g_ptr_array_add(names, (void *)(*type)->name);
    }
    g_ptr_array_add(names, NULL);
    return (const char **)g_ptr_array_free(names, FALSE);
}

static const DeviceType *creatable_find(const Machine *machine, const char *name, const char *bus, GError **err)
{
    const DeviceType *type = device_type_resolve(machine, name, bus);
    if (type && type->bus)
        return type;
    if (type) {
        error_set(err, "'%s' is part of its machine and cannot be added", name);
        return NULL;
    }
    g_autofree const char **names = creatable_names();
    const char *near = nearest_name(name, names);
    if (near)
        error_set(err, "'%s' is not a device; did you mean '%s'?", name, near);
    else
        error_set(err, "'%s' is not a device; '-device help' lists them", name);
    return NULL;
}

static Device *find_among(const GPtrArray *devices, const char *id)
{
    Device *found = NULL;
    for (unsigned i = 0; i < devices->len && !found; i++) {
        Device *dev = g_ptr_array_index(devices, i);
        found = dev->id && !strcmp(dev->id, id) ? dev : NULL;
        for (GSList *link = dev->buses; link && !found; link = link->next)
            found = find_among(((Bus *)link->data)->devices, id);
    }
    return found;
}

Device *device_find(const Machine *machine, const char *id)
{
    return find_among(machine->devices, id);
}

static bool device_id_check(Machine *machine, const char *id, GError **err)
{
    if (!g_ascii_isalpha(*id) || id[strspn(id, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._")])
        return error_set(err, "id '%s' is not one: a letter, then letters, digits, '-', '.', '_'", id);
    if (device_find(machine, id))
        return error_set(err, "id '%s' is taken", id);
    return true;
}

static bool device_add_prop(void *opaque, const char *key, const char *value, GError **err)
{
    if (!strcmp(key, "driver") || !strcmp(key, "id") || !strcmp(key, "bus"))
        return true;
    return device_set(opaque, key, value, err);
}

static Device *device_build(Machine *machine, Opts *opts, GError **err)
{
    const char *driver = opts_string(opts, "driver", NULL), *id = opts_string(opts, "id", NULL);
    const char *bus_name = opts_string(opts, "bus", NULL);
    if (!driver) {
        error_set(err, "driver= is missing");
        return NULL;
    }
    const DeviceType *type = creatable_find(machine, driver, bus_name, err);
    if (!type || (id && !device_id_check(machine, id, err)))
        return NULL;
    Bus *bus = bus_name ? bus_find_named(machine, type, bus_name, err) : bus_find_free(machine, type, err);
    if (!bus)
        return NULL;
    if (machine->prepared && !bus->plugged) {
        error_set(err, "bus '%s' takes no devices while the machine runs", bus->name);
        return NULL;
    }
    Device *dev = device_new(machine, type);
    dev->id = g_strdup(id);
    bool set = opts_foreach(opts, device_add_prop, dev, err);
    if (set && device_realize(dev, bus, err)) {
        device_reset(dev);
        if (machine->prepared)
            bus->plugged(bus, dev);
        return dev;
    }
    if (set)
        g_prefix_error(err, "%s: ", type->name);
    device_free(dev);
    return NULL;
}

Device *device_add(Machine *machine, Opts *opts, GError **err)
{
    Device *dev = device_build(machine, opts, err);
    if (!dev)
        g_prefix_error(err, "%s: ", opts_name(opts));
    return dev;
}

bool device_request_unplug(Device *dev, GError **err)
{
    const char *name = dev->id ? dev->id : dev->type->name;
    if (!dev->bus || !dev->bus->request_unplug)
        return error_set(err, "'%s' cannot be taken out while the machine runs", name);
    return dev->bus->request_unplug(dev->bus, dev, err);
}

/* ---- saved state ---- */

static void bytes_swap(uint8_t *bytes, size_t len, unsigned element)
{
    if (G_BYTE_ORDER == G_LITTLE_ENDIAN || (element != 2 && element != 4 && element != 8))
        return;
    for (size_t at = 0; at + element <= len; at += element) {
        for (unsigned i = 0; i < element / 2; i++) {
            uint8_t byte = bytes[at + i];
            bytes[at + i] = bytes[at + element - 1 - i];
            bytes[at + element - 1 - i] = byte;
        }
    }
}

static void type_save(const DeviceType *type, Device *dev, GByteArray *out)
{
    if (type->parent)
        type_save(type->parent, dev, out);
    for (const StateField *field = type->state; field && field->name; field++) {
        const uint8_t *member = (const uint8_t *)dev + field->offset;
        if (field->kind == STATE_KIND_TIMER) {
            int64_t deadline = GINT64_TO_LE(((const Timer *)member)->deadline_ns);
            g_byte_array_append(out, (const uint8_t *)&deadline, sizeof(deadline));
        } else if (field->kind == STATE_KIND_BYTES) {
            g_byte_array_append(out, member, field->size);
            bytes_swap(out->data + out->len - field->size, field->size, field->element);
        }
    }
}

static void type_quiesce(const DeviceType *type, Device *dev, bool on)
{
    if (type->parent)
        type_quiesce(type->parent, dev, on);
    if (type->quiesce)
        type->quiesce(dev, on);
}

GByteArray *device_save(Device *dev)
{
    GByteArray *out = g_byte_array_new();
    type_quiesce(dev->type, dev, true);
    type_save(dev->type, dev, out);
    type_quiesce(dev->type, dev, false);
    return out;
}

static size_t type_state_size(const DeviceType *type)
{
    size_t size = type->parent ? type_state_size(type->parent) : 0;
    for (const StateField *field = type->state; field && field->name; field++) {
        if (field->kind == STATE_KIND_TIMER)
            size += sizeof(int64_t);
        else if (field->kind == STATE_KIND_BYTES)
            size += field->size;
    }
    return size;
}

static const uint8_t *type_load(const DeviceType *type, Device *dev, const uint8_t *data)
{
    if (type->parent)
        data = type_load(type->parent, dev, data);
    for (const StateField *field = type->state; field && field->name; field++) {
        uint8_t *member = (uint8_t *)dev + field->offset;
        if (field->kind == STATE_KIND_TIMER) {
            int64_t deadline;
            memcpy(&deadline, data, sizeof(deadline));
            if (((Timer *)member)->clocks)
                timer_set((Timer *)member, GINT64_FROM_LE(deadline));
            data += sizeof(deadline);
        } else if (field->kind == STATE_KIND_BYTES) {
            memcpy(member, data, field->size);
            bytes_swap(member, field->size, field->element);
            data += field->size;
        }
    }
    return data;
}

static void type_post_load(const DeviceType *type, Device *dev)
{
    if (type->parent)
        type_post_load(type->parent, dev);
    if (type->post_load)
        type->post_load(dev);
}

bool device_load(Device *dev, const uint8_t *data, size_t len, GError **err)
{
    size_t size = type_state_size(dev->type);
    if (len != size)
        return error_set(err, "state of '%s' has %zu bytes, %zu are needed", dev->type->name, len, size);
    type_quiesce(dev->type, dev, true);
    type_load(dev->type, dev, data);
    type_post_load(dev->type, dev);
    type_quiesce(dev->type, dev, false);
    return true;
}

/* ---- what the guest does ---- */

static void device_log(Device *dev, const char *format, va_list args)
{
    g_autofree char *text = g_strdup_vprintf(format, args);
    log_write("%s%s%s: %s", dev->type->name, dev->id ? " " : "", dev->id ? dev->id : "", text);
}

void guest_error(Device *dev, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (log_on(LOG_GUEST_ERRORS))
        device_log(dev, format, args);
    va_end(args);
}

void unimplemented(Device *dev, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (log_on(LOG_UNIMP))
        device_log(dev, format, args);
    va_end(args);
}

static bool dma_blocked(const Device *dev)
{
    return __atomic_load_n(&dev->dma_blocked, __ATOMIC_RELAXED);
}

MemResult dma_read(Device *dev, uint64_t addr, void *buf, uint64_t len)
{
    if (dma_blocked(dev)) {
        memset(buf, 0, len);
        return MEM_UNMAPPED;
    }
    return as_read(&dev->machine->memory, addr, buf, len);
}

MemResult dma_write(Device *dev, uint64_t addr, const void *buf, uint64_t len)
{
    return dma_blocked(dev) ? MEM_UNMAPPED : as_write(&dev->machine->memory, addr, buf, len);
}

void *dma_map(Device *dev, uint64_t addr, uint64_t *len, bool write)
{
    return dma_blocked(dev) ? NULL : as_map(&dev->machine->memory, addr, len, write);
}

void dma_unmap(Device *dev, void *host, uint64_t written)
{
    as_unmap(&dev->machine->memory, host, written);
}
