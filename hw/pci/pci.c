/*
 * PCI functions and buses: configuration space, BARs, INTx (see pci.h). MSI-X is in msix.c.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/pci.h"
#include "hw/firmware/loader.h"
#include "hw/pci/msix.h"
#include "util/error.h"
#include "util/trace.h"
#include <stdlib.h>
#include <string.h>

/* ---- INTx (PCI 3.0, 2.2.6) ---- */

/* Under pci->lock. A line is shared: it is up while any function asserts it. */
static void update_intx(PciDevice *dev)
{
    PciBus *pci = dev->pci;
    unsigned pin = dev->config[PCI_INTERRUPT_PIN];
    bool disabled = pci_get16(dev->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
    bool level = dev->irq_level && !disabled && pin;
    if (dev->irq_level)
        dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        dev->config[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
    if (level == dev->irq_asserted)
        return;
    unsigned slot = dev->addr >> 3;
    unsigned line = pci->map_intx ? pci->map_intx(slot, pin - 1) : (pin - 1 + slot) % 4;
    dev->irq_asserted = level;
    pci->raised[line] += level ? 1 : -1;
    irq_set(&pci->intx[line], pci->raised[line] != 0);
}

void pci_set_irq(PciDevice *dev, bool level)
{
    g_mutex_lock(&dev->pci->lock);
    dev->irq_level = level;
    update_intx(dev);
    g_mutex_unlock(&dev->pci->lock);
}

/* ---- BARs (PCI 3.0, 6.2.5) ---- */

static uint64_t bar_address(const PciDevice *dev, unsigned n)
{
    const PciBar *bar = &dev->bars[n];
    uint32_t low = pci_get32(dev->config + PCI_BAR0 + 4 * n);
    if (bar->type & PCI_BAR_IO)
        return low & ~3u;
    uint64_t high = bar->type & PCI_BAR_MEM64 ? pci_get32(dev->config + PCI_BAR0 + 4 * n + 4) : 0;
    return high << 32 | (low & ~15u);
}

static void update_bar(PciDevice *dev, unsigned n)
{
    PciBar *bar = &dev->bars[n];
    unsigned command = pci_get16(dev->config + PCI_COMMAND);
    bool io = bar->type & PCI_BAR_IO;
    MemRegion *space = io ? dev->pci->io : dev->pci->memory;
    uint64_t at = bar_address(dev, n), size = bar->region->size;
    /* Address 0 and one whose end wraps (as when the guest sizes the BAR) are not decoded. */
    bool decoded = command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY) && space && at && at + size > at;
    bool whole = bar->type & PCI_BAR_MEM64 || at + size <= UINT64_C(1) << 32;
    decoded = decoded && whole && at + size - 1 < space->size;
    if (bar->mapped && (!decoded || bar->region->addr != at)) {
        mem_del(bar->region);
        bar->mapped = false;
    }
    if (decoded && !bar->mapped) {
        TRACE(pci_bar_map, "%s bar %u at 0x%" G_GINT64_MODIFIER "x", dev->dev.type->name, n, at);
        mem_add(space, at, bar->region, 1);
        bar->mapped = true;
    }
}

/* Without the bus master bit a function may neither reach memory nor send messages (PCI 3.0, 6.2.2). */
static void update_master(PciDevice *dev)
{
    bool blocked = !(pci_get16(dev->config + PCI_COMMAND) & PCI_COMMAND_MASTER);
    __atomic_store_n(&dev->dev.dma_blocked, blocked, __ATOMIC_RELAXED);
    if (dev->master_changed)
        dev->master_changed(dev, !blocked);
    if (dev->msix_cap && !blocked)
        msix_control_written(dev);
}

/* The expansion ROM has an enable bit of its own (PCI 3.0, 6.2.5.2). */
static void update_rom(PciDevice *dev)
{
    uint32_t bar = pci_get32(dev->config + PCI_ROM);
    uint64_t at = bar & ~(uint64_t)(dev->rom.size - 1), end = at + dev->rom.size;
    bool enabled = pci_get16(dev->config + PCI_COMMAND) & PCI_COMMAND_MEMORY && bar & PCI_ROM_ENABLE;
    bool decoded = enabled && at && end < UINT64_C(1) << 32 && end <= dev->pci->memory->size;
    if (dev->rom_mapped && (!decoded || dev->rom.addr != at)) {
        mem_del(&dev->rom);
        dev->rom_mapped = false;
    }
    if (decoded && !dev->rom_mapped) {
        mem_add(dev->pci->memory, at, &dev->rom, 1);
        dev->rom_mapped = true;
    }
}

static void update_bars(PciDevice *dev)
{
    memory_begin(dev->dev.machine);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (dev->bars[n].region)
            update_bar(dev, n);
    }
    if (dev->rom.size)
        update_rom(dev);
    memory_commit(dev->dev.machine);
}

void pci_add_bar(PciDevice *dev, unsigned n, uint8_t type, MemRegion *region)
{
    uint64_t mask = ~(region->size - 1);
    uint8_t *config = dev->config + PCI_BAR0 + 4 * n;
    g_assert(n < PCI_BARS && region->size >= 16 && !(region->size & (region->size - 1)));
    dev->bars[n] = (PciBar){ region, type, false };
    pci_put32(config, type);
    pci_put32(dev->writable + PCI_BAR0 + 4 * n, mask);
    if (type & PCI_BAR_MEM64)
        pci_put32(dev->writable + PCI_BAR0 + 4 * n + 4, mask >> 32);
}

/* ---- configuration space ---- */

static PciDevice *function_at(PciBus *pci, unsigned addr, uint32_t offset)
{
    PciDevice *dev = addr < G_N_ELEMENTS(pci->devices) ? pci->devices[addr] : NULL;
    return dev && offset < dev->config_size ? dev : NULL;
}

uint32_t pci_config_read(PciBus *pci, unsigned addr, uint32_t offset, unsigned size)
{
    PciDevice *dev = function_at(pci, addr, offset);
    uint32_t value = 0;
    if (!dev)
        return UINT32_MAX;
    if (dev->config_reading)
        dev->config_reading(dev, offset, size);
    g_mutex_lock(&pci->lock);
    for (unsigned i = 0; i < size && offset + i < dev->config_size; i++)
        value |= (uint32_t)dev->config[offset + i] << (8 * i);
    g_mutex_unlock(&pci->lock);
    TRACE(pci_config_read, "%s 0x%03x size %u: 0x%x", dev->dev.type->name, offset, size, value);
    return value;
}

static bool touches(uint32_t offset, unsigned size, uint32_t first, uint32_t length)
{
    return offset < first + length && offset + size > first;
}

void pci_config_write(PciBus *pci, unsigned addr, uint32_t offset, uint32_t value, unsigned size)
{
    PciDevice *dev = function_at(pci, addr, offset);
    if (!dev)
        return;
    TRACE(pci_config_write, "%s 0x%03x size %u: 0x%x", dev->dev.type->name, offset, size, value);
    g_mutex_lock(&pci->lock);
    for (unsigned i = 0; i < size && offset + i < dev->config_size; i++) {
        uint8_t byte = value >> (8 * i), writable = dev->writable[offset + i];
        uint8_t *config = &dev->config[offset + i];
        *config = ((*config & ~writable) | (byte & writable)) & ~(byte & dev->write_one_clear[offset + i]);
    }
    if (touches(offset, size, PCI_COMMAND, 2))
        update_intx(dev);
    g_mutex_unlock(&pci->lock);
    if (touches(offset, size, PCI_COMMAND, 2) || touches(offset, size, PCI_BAR0, 4 * PCI_BARS) ||
        touches(offset, size, PCI_ROM, 4))
        update_bars(dev);
    if (touches(offset, size, PCI_COMMAND, 2))
        update_master(dev);
    if (dev->msix_cap && touches(offset, size, dev->msix_cap, 4))
        msix_control_written(dev);
    if (dev->config_written)
        dev->config_written(dev, offset, size);
}

void pci_set_ids(PciDevice *dev, uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision)
{
    pci_put16(dev->config + PCI_VENDOR_ID, vendor);
    pci_put16(dev->config + PCI_DEVICE_ID, device);
    pci_put32(dev->config + PCI_REVISION, class_code << 8 | revision);
}

void pci_set_subsystem(PciDevice *dev, uint16_t vendor, uint16_t device)
{
    pci_put16(dev->config + PCI_SUBSYSTEM_VENDOR, vendor);
    pci_put16(dev->config + PCI_SUBSYSTEM_ID, device);
}

void pci_set_interrupt_pin(PciDevice *dev, unsigned pin)
{
    dev->config[PCI_INTERRUPT_PIN] = pin;
}

/* The list starts with the newest, as guests must not care. */
unsigned pci_add_capability(PciDevice *dev, uint8_t id, unsigned size)
{
    unsigned at = dev->capabilities_end;
    g_assert(at + size <= PCI_CONFIG_SIZE);
    dev->config[at] = id;
    dev->config[at + 1] = dev->config[PCI_CAPABILITIES];
    dev->config[PCI_CAPABILITIES] = at;
    dev->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    dev->capabilities_end = (at + size + 3) & ~3u;
    return at;
}

/* PCI Express Base 4.0, 7.5.3: version 2, root complex integrated endpoint; it has no link. */
void pcie_add_endpoint_capability(PciDevice *dev)
{
    enum { VERSION = 2, INTEGRATED_ENDPOINT = 9, ROLE_BASED_ERRORS = 1 << 15, SIZE = 0x3c };
    if (!dev->pci->express)
        return;
    unsigned at = pci_add_capability(dev, PCI_CAP_EXPRESS, SIZE);
    pci_put16(dev->config + at + 2, VERSION | INTEGRATED_ENDPOINT << 4);
    pci_put32(dev->config + at + 4, ROLE_BASED_ERRORS);
    pci_put16(dev->writable + at + 8, 0x000f | 0x00e0 | 0x7000); /* error reporting, payload and read request sizes */
    dev->write_one_clear[at + 10] = 0x0f;
}

/* ---- expansion ROM ---- */

#define ROM_MAX ((uint64_t)16 << 20)

/* The boot ROM that a network card has unless told otherwise: only who boots from it misses it. */
static bool can_do_without(const PciDevice *dev)
{
    const Prop *prop = dev->dev.type->props;
    while (prop && prop->name && strcmp(prop->name, "romfile"))
        prop++;
    return prop && prop->name && !strcmp(dev->dev.type->category, "network") && !strcmp(prop->fallback, dev->romfile);
}

static bool add_rom(PciDevice *dev, GError **err)
{
    uint64_t size, room = UINT64_C(1) << RAM_PAGE_BITS;
    if (!dev->romfile || !*dev->romfile || !dev->rombar)
        return true;
    g_autofree char *path = firmware_find(dev->romfile);
    if (!path && can_do_without(dev))
        return true;
    if (!path)
        return error_set(err, "romfile: there is no file '%s', nor one of this name in %s; romfile= does without",
                         dev->romfile, firmware_places());
    g_autofree uint8_t *data = read_whole_file("romfile", path, &size, err);
    if (!data)
        return false;
    if (!size || size > ROM_MAX)
        return error_set(err, "romfile: '%s' has %" G_GUINT64_FORMAT " bytes; 1 to %" G_GUINT64_FORMAT " are possible",
                         path, size, ROM_MAX);
    while (room < size)
        room *= 2;
    g_autofree char *name = g_strdup_printf("%s.rom", dev->dev.type->name);
    if (!mem_rom_init(&dev->rom, dev->dev.machine, name, room, NULL, NULL, err))
        return false;
    memcpy(dev->rom.host, data, size);
    pci_put32(dev->writable + PCI_ROM, ~(uint32_t)(room - 1) | PCI_ROM_ENABLE);
    return true;
}

/* ---- life cycle ---- */

static bool pci_realize(Device *dev, GError **err)
{
    PciDevice *pci = (PciDevice *)dev;
    pci->config_size = pci->pci->express ? PCIE_CONFIG_SIZE : PCI_CONFIG_SIZE;
    pci->capabilities_end = 0x40;
    pci->config[PCI_HEADER_TYPE] = pci->multifunction ? 0x80 : 0;
    pci_put16(pci->writable + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | 0x0140 |
                                               PCI_COMMAND_INTX_DISABLE); /* and parity, SERR# */
    pci_put16(pci->write_one_clear + PCI_STATUS, 0xf900);
    pci->writable[PCI_CACHE_LINE] = pci->writable[PCI_LATENCY] = pci->writable[PCI_INTERRUPT_LINE] = 0xff;
    return add_rom(pci, err);
}

/* What the guest could change goes back to what realize left there. */
static void pci_reset(Device *dev)
{
    PciDevice *pci = (PciDevice *)dev;
    if (!pci->initial[PCI_VENDOR_ID] && !pci->initial[PCI_VENDOR_ID + 1])
        memcpy(pci->initial, pci->config, sizeof(pci->config)); /* the first reset follows realize */
    g_mutex_lock(&pci->pci->lock);                              /* the function's threads may still send interrupts */
    pci->irq_level = false;
    update_intx(pci);
    memcpy(pci->config, pci->initial, sizeof(pci->config));
    msix_reset(pci);
    g_mutex_unlock(&pci->pci->lock);
    update_bars(pci);
    update_master(pci);
}

static void pci_post_load(Device *dev)
{
    PciDevice *pci = (PciDevice *)dev;
    g_mutex_lock(&pci->pci->lock);
    update_intx(pci);
    g_mutex_unlock(&pci->pci->lock);
    update_bars(pci);
    update_master(pci);
}

static void pci_unrealize(Device *dev)
{
    PciDevice *pci = (PciDevice *)dev;
    pci_set_irq(pci, false);
    msix_exit(pci);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (pci->bars[n].mapped)
            mem_del(pci->bars[n].region);
    }
    if (pci->rom_mapped)
        mem_del(&pci->rom);
}

static const Prop props[] = {
    PROP(PciDevice, STRING, "addr", addr_text, .help = "slot and function, as in 04.0"),
    PROP(PciDevice, BOOL, "multifunction", multifunction, .help = "function 0 of a slot: there may be others"),
    PROP(PciDevice, STRING, "romfile", romfile, .help = "expansion ROM, a file; empty: none"),
    PROP(PciDevice, BOOL, "rombar", rombar, .fallback = "on", .help = "the guest sees the expansion ROM"),
    PROP_END,
};
static const StateField state[] = { STATE_ARRAY(PciDevice, config),
                                    STATE(PciDevice, irq_level),
                                    STATE_SKIP(PciDevice, irq_asserted, "follows from irq_level and config"),
                                    STATE_SKIP(PciDevice, pci, "wiring"),
                                    STATE_SKIP(PciDevice, addr, "property"),
                                    STATE_SKIP(PciDevice, config_size, "fixed at realize"),
                                    STATE_SKIP(PciDevice, initial, "fixed at realize"),
                                    STATE_SKIP(PciDevice, writable, "fixed at realize"),
                                    STATE_SKIP(PciDevice, write_one_clear, "fixed at realize"),
                                    STATE_SKIP(PciDevice, capabilities_end, "fixed at realize"),
                                    STATE_SKIP(PciDevice, bars, "follows from config"),
                                    STATE_SKIP(PciDevice, msix_cap, "fixed at realize"),
                                    STATE_SKIP(PciDevice, msix_count, "fixed at realize"),
                                    STATE_ARRAY(PciDevice, msix),
                                    STATE_ARRAY(PciDevice, msix_pending),
                                    STATE_SKIP(PciDevice, msix_ready, "wiring"),
                                    STATE_SKIP(PciDevice, msix_table, "wiring"),
                                    STATE_SKIP(PciDevice, msix_pba, "wiring"),
                                    STATE_SKIP(PciDevice, msix_bar, "wiring"),
                                    STATE_SKIP(PciDevice, rom, "the file"),
                                    STATE_SKIP(PciDevice, rom_mapped, "follows from config"),
                                    STATE_SKIP(PciDevice, config_written, "fixed at realize"),
                                    STATE_SKIP(PciDevice, config_reading, "fixed at realize"),
                                    STATE_SKIP(PciDevice, master_changed, "fixed at realize"),
                                    STATE_END };

const DeviceType pci_device_type = {
    .name = "pci-device",
    .desc = "PCI function",
    .size = sizeof(PciDevice),
    .props = props,
    .state = state,
    .realize = pci_realize,
    .unrealize = pci_unrealize,
    .reset = pci_reset,
    .post_load = pci_post_load,
};

/* ---- bus ---- */

/* "DD" or "DD.F", hexadecimal as everywhere in PCI. */
static bool parse_addr(const char *text, int *addr, GError **err)
{
    char *end;
    unsigned long slot = strtoul(text, &end, 16), function = 0;
    bool ok = end > text && slot < PCI_SLOTS;
    if (ok && *end == '.') {
        const char *digit = end + 1;
        function = strtoul(digit, &end, 16);
        ok = end > digit && function < 8;
    }
    *addr = slot << 3 | function;
    return (ok && !*end) ||
           error_set(err, "addr=%s: a PCI address is a slot 00 to 1f and a function 0 to 7, as in 04.0", text);
}

static bool plug(Bus *bus, Device *dev, GError **err)
{
    PciBus *pci = bus->state;
    PciDevice *function = (PciDevice *)dev;
    const uint32_t slots = dev->machine->prepared ? pci->hotplug_slots : UINT32_MAX;
    if (function->addr_text) {
        if (!parse_addr(function->addr_text, &function->addr, err))
            return false;
        if (!(slots >> (function->addr >> 3) & 1) || (dev->machine->prepared && function->addr & 7))
            return error_set(err, "addr=%s: what is added while the machine runs is function 0 of a slot 02 to 1e",
                             function->addr_text);
        if (pci->devices[function->addr])
            return error_set(err, "addr=%s is taken by '%s'", function->addr_text,
                             pci->devices[function->addr]->dev.type->name);
        const PciDevice *first = pci->devices[function->addr & ~7];
        if (first && !first->multifunction)
            return error_set(err, "addr=%s: function 0 of the slot, '%s', has not multifunction=on",
                             function->addr_text, first->dev.type->name);
    } else {
        function->addr = 8;
        while (function->addr < 256 && (pci->devices[function->addr] || !(slots >> (function->addr >> 3) & 1)))
            function->addr += 8;
        if (function->addr == 256)
            return error_set(err, "bus '%s' has no free slot", bus->name);
    }
    function->pci = pci;
    pci->devices[function->addr] = function;
    return true;
}

static void unplug(Bus *bus, Device *dev)
{
    PciDevice *function = (PciDevice *)dev;
    function->pci->devices[function->addr] = NULL;
}

static void describe(Bus *bus, Device *dev, GString *out)
{
    const PciDevice *d = (const PciDevice *)dev;
    g_string_append_printf(out, "addr %02x.%x, pci id %04x:%04x (sub %04x:%04x)", d->addr >> 3, d->addr & 7,
                           pci_get16(d->config + PCI_VENDOR_ID), pci_get16(d->config + PCI_DEVICE_ID),
                           pci_get16(d->config + PCI_SUBSYSTEM_VENDOR), pci_get16(d->config + PCI_SUBSYSTEM_ID));
}

static void plugged(Bus *bus, Device *dev)
{
    const PciBus *pci = bus->state;
    pci->hotplug->plugged(pci->hotplug_opaque, ((PciDevice *)dev)->addr >> 3);
}

static bool request_unplug(Bus *bus, Device *dev, GError **err)
{
    const PciBus *pci = bus->state;
    unsigned slot = ((PciDevice *)dev)->addr >> 3;
    if (!(pci->hotplug_slots >> slot & 1))
        return error_set(err, "'%s' is in slot %02x, which is part of the board", dev->id ? dev->id : dev->type->name,
                         slot);
    pci->hotplug->request(pci->hotplug_opaque, slot);
    return true;
}

void pci_set_hotplug(PciBus *pci, uint32_t slots, const PciHotplug *hotplug, void *opaque)
{
    pci->hotplug = hotplug;
    pci->hotplug_opaque = opaque;
    pci->hotplug_slots = slots;
    pci->bus->plugged = plugged;
    pci->bus->request_unplug = request_unplug;
}

void pci_bus_init(PciBus *pci, Device *owner, const char *name)
{
    pci->bus = bus_new(owner, "pci", name);
    pci->bus->state = pci;
    pci->bus->plug = plug;
    pci->bus->unplug = unplug;
    pci->bus->describe = describe;
    g_mutex_init(&pci->lock);
}

void pci_bus_destroy(PciBus *pci)
{
    g_mutex_clear(&pci->lock);
}
