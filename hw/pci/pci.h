/*
 * PCI and PCI Express functions and their bus (PCI Local Bus 3.0; PCI Express Base 4.0, chapter 7).
 *
 * A function embeds PciDevice first. Its realize describes it: pci_set_ids, pci_add_bar, pci_add_capability, msix_init.
 * The bus finds it a slot (addr=), maps its BARs when the guest programs them, and carries its interrupts. Locking:
 * configuration under the machine lock; pci_set_irq, msi_notify and msix_notify from any thread (leaf lock of the bus).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "hw/core/machine.h"

#define PCI_SLOTS        32
#define PCI_BARS         6
#define PCI_CONFIG_SIZE  256
#define PCIE_CONFIG_SIZE 4096
#define MSIX_MAX         128
#define PCI_INTX_LINES   8

/* Configuration space header, type 0 (PCI 3.0, 6.1) */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09, /* programming interface, subclass, class */
    PCI_CACHE_LINE = 0x0c,
    PCI_LATENCY = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};
enum { PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4, PCI_COMMAND_INTX_DISABLE = 0x400 };
enum { PCI_ROM_ENABLE = 1 };
enum { PCI_STATUS_INTERRUPT = 8, PCI_STATUS_CAPABILITIES = 0x10 };
enum { PCI_CAP_MSI = 0x05, PCI_CAP_VENDOR = 0x09, PCI_CAP_EXPRESS = 0x10, PCI_CAP_MSIX = 0x11 };
enum { PCI_BAR_IO = 1, PCI_BAR_MEM64 = 4, PCI_BAR_PREFETCH = 8 };

typedef struct PciDevice PciDevice;

typedef struct PciBar {
    MemRegion *region; /* NULL: not there */
    uint8_t type;      /* PCI_BAR_* */
    bool mapped;
} PciBar;

/* Who tells the guest of functions that come and go, by slot. */
typedef struct PciHotplug {
    void (*plugged)(void *opaque, unsigned slot);
    void (*request)(void *opaque, unsigned slot); /* the function is to be freed when the guest agrees */
} PciHotplug;

typedef struct PciBus {
    Bus *bus;
    PciDevice *devices[256];                           /* by device and function number */
    MemRegion *memory, *io;                            /* what BARs are mapped in; io may be NULL */
    Irq intx[PCI_INTX_LINES];                          /* INTA..INTD of the host bridge; more where map_intx says so */
    unsigned (*map_intx)(unsigned slot, unsigned pin); /* line of a pin (0: INTA); NULL: four, swizzled by slot */
    bool msi;                                          /* message-signalled interrupts reach an interrupt controller */
    bool express;                                      /* functions have extended configuration space */
    const PciHotplug *hotplug;                         /* NULL: functions do not come or go */
    void *hotplug_opaque;
    uint32_t hotplug_slots; /* those that take part */
    GMutex lock;            /* leaf but for what intx leads to: guards raised and the functions' interrupt state */
    unsigned raised[PCI_INTX_LINES]; /* functions that assert each of intx */
} PciBus;

typedef struct MsixVector {
    uint64_t address;
    uint32_t data;
    uint32_t control; /* bit 0: masked */
} MsixVector;

struct PciDevice {
    Device dev;
    PciBus *pci;
    int32_t addr;       /* device << 3 | function */
    char *addr_text;    /* property: "DD[.F]", or NULL */
    bool multifunction; /* property, of function 0: there may be others in its slot */
    uint32_t config_size;
    uint8_t config[PCIE_CONFIG_SIZE];
    uint8_t initial[PCIE_CONFIG_SIZE]; /* config after reset */
    uint8_t writable[PCIE_CONFIG_SIZE], write_one_clear[PCIE_CONFIG_SIZE];
    uint16_t capabilities_end; /* first free byte */
    PciBar bars[PCI_BARS];
    bool irq_level;    /* what the function asserts */
    bool irq_asserted; /* what the bus sees (INTx not disabled) */
    /* MSI-X */
    uint8_t msix_cap; /* offset; 0: none */
    uint16_t msix_count;
    MsixVector msix[MSIX_MAX];
    uint32_t msix_pending[MSIX_MAX / 32];
    struct MsixReady *msix_ready; /* msix_keep_ready: for each vector; or NULL */
    MemRegion msix_table, msix_pba, msix_bar;
    char *romfile; /* property: the expansion ROM's file, or NULL or "": none */
    bool rombar;   /* property: the guest sees the expansion ROM */
    bool rom_mapped;
    MemRegion rom;
    /* called after configuration space was written (bytes at offset .. offset + size); may be NULL */
    void (*config_written)(PciDevice *dev, uint32_t offset, unsigned size);
    /* called before configuration space is read; may be NULL */
    void (*config_reading)(PciDevice *dev, uint32_t offset, unsigned size);
    /* the bus master bit was written; off: the function has to be out of memory on return. May be NULL */
    void (*master_changed)(PciDevice *dev, bool on);
};

extern const DeviceType pci_device_type; /* parent of all functions */

/* Make the bus of a host bridge or PCI bridge; pci is the owner's member with memory, io, msi, express set. */
void pci_bus_init(PciBus *pci, Device *owner, const char *name);
void pci_bus_destroy(PciBus *pci);
/* From now on functions may come and go in these slots (a bit each). */
void pci_set_hotplug(PciBus *pci, uint32_t slots, const PciHotplug *hotplug, void *opaque);
/* info pci: all functions of a machine. Free with g_free. */
char *pci_describe(Machine *machine);
/* An access to configuration space, of 1, 2 or 4 bytes, aligned. addr: device << 3 | function. Nobody there: all ones.
 */
uint32_t pci_config_read(PciBus *pci, unsigned addr, uint32_t offset, unsigned size);
void pci_config_write(PciBus *pci, unsigned addr, uint32_t offset, uint32_t value, unsigned size);

/* ---- for functions, in realize ---- */
void pci_set_ids(PciDevice *dev, uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision);
void pci_set_subsystem(PciDevice *dev, uint16_t vendor, uint16_t device);
void pci_set_interrupt_pin(PciDevice *dev, unsigned pin); /* 1: INTA */
/* region (its size a power of two, at least 16) is mapped where the guest programs BAR n (two BARs if PCI_BAR_MEM64).
 */
void pci_add_bar(PciDevice *dev, unsigned n, uint8_t type, MemRegion *region);
/* A capability of size bytes (header included), zero but for its header. Returns its offset. */
unsigned pci_add_capability(PciDevice *dev, uint8_t id, unsigned size);
/* A PCI Express capability of a root complex integrated endpoint; nothing where the bus is not PCI Express. */
void pcie_add_endpoint_capability(PciDevice *dev);
/* Table and pending bits of count vectors in BAR n, a bar of their own. */
bool msix_init(PciDevice *dev, unsigned count, unsigned bar, GError **err);

/* ---- for functions, at run time ---- */
void pci_set_irq(PciDevice *dev, bool level);
/* In realize, after msix_init: its vectors' messages are kept ready by the accelerator, where that can. */
void msix_keep_ready(PciDevice *dev);
bool msix_enabled(const PciDevice *dev);
/* Send vector, or remember it while it is masked. */
void msix_notify(PciDevice *dev, unsigned vector);

static inline uint16_t pci_get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}
static inline uint32_t pci_get32(const uint8_t *p)
{
    return pci_get16(p) | (uint32_t)pci_get16(p + 2) << 16;
}
static inline void pci_put16(uint8_t *p, uint16_t value)
{
    p[0] = value;
    p[1] = value >> 8;
}
static inline void pci_put32(uint8_t *p, uint32_t value)
{
    pci_put16(p, value);
    pci_put16(p + 2, value >> 16);
}

#endif
