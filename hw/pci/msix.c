/*
 * MSI-X (PCI 3.0, 6.8.2): a table of message addresses and data, one entry each vector, and a bit for each that is
 * pending while masked.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/msix.h"
#include "hw/intc/irqchip.h"
#include "util/error.h"
#include "util/trace.h"
#include <string.h>

enum { CONTROL = 2, CONTROL_ENABLE = 0x80, CONTROL_MASK_ALL = 0x40 }; /* high byte of message control */
enum { VECTOR_MASKED = 1 };
#define PBA_OFFSET     0x800
#define MESSAGES       0xfee00000 /* to local APICs: 1 MiB */
#define MESSAGE_WINDOW 0x100000

/* A vector's message that the accelerator keeps ready; of use while the table says the same. */
typedef struct MsixReady {
    IrqMessage *message; /* NULL: none yet */
    MsixVector is;       /* what it sends; under the bus's lock */
    bool set;
} MsixReady;

static uint8_t control(const PciDevice *dev)
{
    return dev->config[dev->msix_cap + CONTROL + 1];
}

/* These under the bus's lock. */
static bool enabled(const PciDevice *dev)
{
    return dev->msix_cap && control(dev) & CONTROL_ENABLE;
}

static bool masked(const PciDevice *dev, unsigned vector)
{
    bool master = dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER; /* or there are no writes to memory */
    return !master || !enabled(dev) || control(dev) & CONTROL_MASK_ALL || dev->msix[vector].control & VECTOR_MASKED;
}

bool msix_enabled(const PciDevice *dev)
{
    g_mutex_lock(&dev->pci->lock);
    bool on = enabled(dev);
    g_mutex_unlock(&dev->pci->lock);
    return on;
}

/* Messages go to RAM and to interrupt controllers, which have their own locks. Any other register would need the
 * machine lock, which whoever waits for this thread (a reset, say) may hold. */
void pci_send_message(PciDevice *dev, uint64_t address, uint32_t data)
{
    FlatView *view = view_get(&dev->dev.machine->memory);
    const FlatRange *range = view_find(view, address);
    bool takes = range && (range->region->kind != MEM_IO || range->region->ops->lock_free);
    if (!takes || range_store(range, address, 4, data) != MEM_OK)
        guest_error(&dev->dev, "MSI: nothing takes messages at 0x%" G_GINT64_MODIFIER "x", address);
    view_put(view);
}

/* ---- messages that are kept ready ---- */

void msix_keep_ready(PciDevice *dev)
{
    const Irqchip *chip = dev->dev.machine->irqchip;
    if (dev->msix_count && chip && chip->message_new)
        dev->msix_ready = g_new0(MsixReady, dev->msix_count);
}

void msix_exit(PciDevice *dev)
{
    g_mutex_lock(&dev->pci->lock);
    g_autofree MsixReady *ready = g_steal_pointer(&dev->msix_ready);
    g_mutex_unlock(&dev->pci->lock);
    for (unsigned vector = 0; ready && vector < dev->msix_count; vector++) {
        if (ready[vector].message)
            dev->dev.machine->irqchip->message_free(ready[vector].message);
    }
}

static bool same_message(const MsixVector *a, const MsixVector *b)
{
    return a->address == b->address && a->data == b->data;
}

/* The vector can send from now on: have its message ready. What is sent meanwhile goes the long way. Machine lock held.
 */
static void make_ready(PciDevice *dev, unsigned vector)
{
    const Irqchip *chip = dev->dev.machine->irqchip;
    MsixReady *r = &dev->msix_ready[vector];
    g_mutex_lock(&dev->pci->lock);
    MsixVector entry = dev->msix[vector];
    bool wanted = !masked(dev, vector) && !(r->set && same_message(&r->is, &entry)) &&
                  (uint32_t)entry.address - MESSAGES < MESSAGE_WINDOW;
    if (wanted)
        r->set = false;
    g_mutex_unlock(&dev->pci->lock);
    if (!wanted)
        return;
    if (!r->message)
        r->message = chip->message_new(dev->dev.machine);
    if (!r->message || !chip->message_set(r->message, entry.address, entry.data))
        return;
    g_mutex_lock(&dev->pci->lock);
    r->is = entry;
    r->set = true;
    g_mutex_unlock(&dev->pci->lock);
}

static void make_all_ready(PciDevice *dev)
{
    for (unsigned vector = 0; dev->msix_ready && vector < dev->msix_count; vector++)
        make_ready(dev, vector);
}

/* ---- sending ---- */

/* The write itself goes out without the bus's lock. */
void msix_notify(PciDevice *dev, unsigned vector)
{
    if (vector >= dev->msix_count)
        return;
    g_mutex_lock(&dev->pci->lock);
    MsixVector entry = dev->msix[vector];
    const MsixReady *r = dev->msix_ready ? &dev->msix_ready[vector] : NULL;
    IrqMessage *ready = r && r->set && same_message(&r->is, &entry) ? r->message : NULL;
    bool hold = masked(dev, vector);
    if (hold)
        dev->msix_pending[vector / 32] |= 1u << vector % 32;
    else
        dev->msix_pending[vector / 32] &= ~(1u << vector % 32);
    g_mutex_unlock(&dev->pci->lock);
    if (hold)
        return;
    TRACE(msix_notify, "%s vector %u", dev->dev.type->name, vector);
    if (ready)
        dev->dev.machine->irqchip->message_send(ready);
    else
        pci_send_message(dev, entry.address, entry.data);
}

static void send_pending(PciDevice *dev)
{
    for (unsigned vector = 0; vector < dev->msix_count; vector++) {
        g_mutex_lock(&dev->pci->lock);
        bool due = dev->msix_pending[vector / 32] >> vector % 32 & 1 && !masked(dev, vector);
        g_mutex_unlock(&dev->pci->lock);
        if (due)
            msix_notify(dev, vector);
    }
}

void msix_control_written(PciDevice *dev)
{
    if (msix_enabled(dev))
        pci_set_irq(dev, false);
    make_all_ready(dev);
    send_pending(dev);
}

static uint64_t table_read(void *opaque, uint64_t offset, unsigned size)
{
    PciDevice *dev = opaque;
    const MsixVector *entry = &dev->msix[offset / 16];
    const uint32_t words[] = { entry->address, entry->address >> 32, entry->data, entry->control };
    return words[offset / 4 % 4];
}

static void table_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciDevice *dev = opaque;
    MsixVector *entry = &dev->msix[offset / 16];
    g_mutex_lock(&dev->pci->lock);
    switch (offset / 4 % 4) {
    case 0:
        entry->address = (entry->address >> 32 << 32) | (value & ~3ull);
        break;
    case 1:
        entry->address = (entry->address & UINT32_MAX) | value << 32;
        break;
    case 2:
        entry->data = value;
        break;
    default:
        entry->control = value & VECTOR_MASKED;
    }
    g_mutex_unlock(&dev->pci->lock);
    if (dev->msix_ready)
        make_ready(dev, offset / 16);
    send_pending(dev);
}

static uint64_t pba_read(void *opaque, uint64_t offset, unsigned size)
{
    PciDevice *dev = opaque;
    g_mutex_lock(&dev->pci->lock);
    uint32_t pending = dev->msix_pending[offset / 4];
    g_mutex_unlock(&dev->pci->lock);
    return pending;
}

static void pba_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    guest_error(opaque, "write to the MSI-X pending bits, which are read-only");
}

static const MemOps table_ops = { .read = table_read,
                                  .write = table_write,
                                  .min_size = 4,
                                  .max_size = 8,
                                  .impl_min = 4,
                                  .impl_max = 4 },
                    pba_ops = {
                        .read = pba_read, .write = pba_write, .min_size = 4, .max_size = 8, .impl_min = 4, .impl_max = 4
                    };

bool msix_init(PciDevice *dev, unsigned count, unsigned bar, GError **err)
{
    Machine *machine = dev->dev.machine;
    if (!dev->pci->msi || !count)
        return true;
    if (count > MSIX_MAX)
        return error_set(err, "vectors=%u: at most %u are possible", count, MSIX_MAX);
    unsigned at = pci_add_capability(dev, PCI_CAP_MSIX, 12);
    pci_put16(dev->config + at + 2, count - 1);
    dev->writable[at + 3] = CONTROL_ENABLE | CONTROL_MASK_ALL;
    pci_put32(dev->config + at + 4, bar);
    pci_put32(dev->config + at + 8, PBA_OFFSET | bar);
    dev->msix_cap = at;
    dev->msix_count = count;
    mem_container_init(&dev->msix_bar, machine, "msix", 0x1000);
    mem_io_init(&dev->msix_table, machine, "msix-table", (uint64_t)16 * count, &table_ops, dev);
    mem_io_init(&dev->msix_pba, machine, "msix-pba", MSIX_MAX / 8, &pba_ops, dev);
    mem_add(&dev->msix_bar, 0, &dev->msix_table, 0);
    mem_add(&dev->msix_bar, PBA_OFFSET, &dev->msix_pba, 0);
    pci_add_bar(dev, bar, 0, &dev->msix_bar);
    return true;
}

void msix_reset(PciDevice *dev) /* under the bus's lock */
{
    for (unsigned vector = 0; vector < dev->msix_count; vector++)
        dev->msix[vector] = (MsixVector){ .control = VECTOR_MASKED };
    memset(dev->msix_pending, 0, sizeof(dev->msix_pending));
}
