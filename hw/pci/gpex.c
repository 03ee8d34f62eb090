/*
 * Generic PCI Express host bridge: ECAM (PCI Express Base 4.0, 7.2.2) and windows for memory and ports, as Linux'
 * pci-host-ecam-generic binding describes. Function 00.0 is a host bridge that only identifies itself.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/gpex.h"

/* Offset: bus << 20 | device << 15 | function << 12 | register. There is bus 0 only. */
static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    GpexHost *host = opaque;
    return offset >> 20 ? UINT64_MAX : pci_config_read(&host->pci, offset >> 12, offset & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    GpexHost *host = opaque;
    if (!(offset >> 20))
        pci_config_write(&host->pci, offset >> 12, offset & 0xfff, value, size);
}

static const MemOps ecam_ops = {
    .read = ecam_read, .write = ecam_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4
};

static bool gpex_realize(Device *dev, GError **err)
{
    GpexHost *host = (GpexHost *)dev;
    Machine *machine = dev->machine;
    mem_container_init(&host->mmio, machine, "gpex_mmio", UINT64_MAX);
    mem_container_init(&host->pio, machine, "gpex_ioport", 64 << 10);
    mem_io_init(&host->ecam, machine, "pcie-ecam", GPEX_ECAM_SIZE, &ecam_ops, host);
    host->pci.memory = &host->mmio;
    host->pci.io = &host->pio;
    host->pci.express = true;
    pci_bus_init(&host->pci, dev, "pcie.0");
    Device *root = device_new(machine, &gpex_root_type);
    if (device_set(root, "addr", "0.0", err) && device_realize(root, host->pci.bus, err))
        return true;
    device_free(root);
    return false;
}

static void gpex_unrealize(Device *dev)
{
    pci_bus_destroy(&((GpexHost *)dev)->pci);
}

static const StateField host_state[] = { STATE_SKIP(GpexHost, pci, "follows from its functions"),
                                         STATE_SKIP(GpexHost, ecam, "wiring"),
                                         STATE_SKIP(GpexHost, mmio, "wiring"),
                                         STATE_SKIP(GpexHost, pio, "wiring"),
                                         STATE_SKIP(GpexHost, mmio_window, "wiring"),
                                         STATE_SKIP(GpexHost, mmio_high_window, "wiring"),
                                         STATE_END };

const DeviceType gpex_host_type = {
    .name = "gpex-pcihost",
    .desc = "generic PCI Express host bridge",
    .category = "bridge",
    .size = sizeof(GpexHost),
    .state = host_state,
    .realize = gpex_realize,
    .unrealize = gpex_unrealize,
};

static bool root_realize(Device *dev, GError **err)
{
    pci_set_ids((PciDevice *)dev, 0x1b36, 0x0008, 0x060000, 0); /* the number the reference's bridge has */
    pci_set_subsystem((PciDevice *)dev, 0x1af4, 0x1100);
    return true;
}

static const StateField root_state[] = { STATE_END };

const DeviceType gpex_root_type = {
    .name = "gpex-root",
    .desc = "generic PCI Express host bridge, function 00.0",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(PciDevice),
    .state = root_state,
    .realize = root_realize,
};
