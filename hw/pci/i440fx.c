/*
 * Intel 82441FX host bridge (82441FX data sheet, chapter 3): identification, PAM, SMRAM. The registers that set up
 * DRAM are not there: firmware is told the size of memory by fw_cfg and CMOS.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/i440fx.h"

enum { PAM0 = 0x59, SMRAM = 0x72 };
enum { SMRAM_OPEN = 0x40, SMRAM_CLOSED = 0x20, SMRAM_LOCKED = 0x10, SMRAM_ENABLE = 8, SMRAM_BASE = 2 };
enum { SMRAM_WRITABLE = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCKED | SMRAM_ENABLE };

/* Locked: nothing of it can be written until a reset, and it is not open. */
static void update_smram(PciDevice *dev)
{
    bool locked = dev->config[SMRAM] & SMRAM_LOCKED;
    if (locked)
        dev->config[SMRAM] &= ~SMRAM_OPEN;
    dev->writable[SMRAM] = locked ? 0 : SMRAM_WRITABLE;
    bool on = dev->config[SMRAM] & SMRAM_ENABLE;
    pc_host_set_smram(pc_host_of(dev), on, on && dev->config[SMRAM] & SMRAM_OPEN, false, 0, 0);
}

static void config_written(PciDevice *dev, uint32_t offset, unsigned size)
{
    if (offset + size > PAM0 && offset < PAM0 + PAM_REGISTERS)
        pc_host_set_pam(pc_host_of(dev), dev->config + PAM0);
    if (offset + size > SMRAM && offset <= SMRAM)
        update_smram(dev);
}

static void update(Device *dev)
{
    PciDevice *pci = (PciDevice *)dev;
    pc_host_reset_pam(pc_host_of(pci), pci->config + PAM0);
    update_smram(pci);
}

static bool realize(Device *dev, GError **err)
{
    PciDevice *pci = (PciDevice *)dev;
    pci_set_ids(pci, 0x8086, 0x1237, 0x060000, 2);
    pci_set_subsystem(pci, 0x1af4, 0x1100);
    pci->config[SMRAM] = SMRAM_BASE;
    for (unsigned i = 0; i < PAM_REGISTERS; i++)
        pci->writable[PAM0 + i] = i ? 0x33 : 0x30;
    pci->config_written = config_written;
    return true;
}

static const StateField state[] = { STATE_END };

const DeviceType i440fx_type = {
    .name = "i440FX",
    .desc = "82441FX host bridge, function 00.0",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(PciDevice),
    .state = state,
    .realize = realize,
    .reset = update,
    .post_load = update,
};

static bool host_realize(Device *dev, GError **err)
{
    return pc_host_realize((PcHost *)dev, "pci.0", &i440fx_type, err);
}

const DeviceType i440fx_host_type = {
    .name = "i440FX-pcihost",
    .desc = "82441FX host bridge",
    .category = "bridge",
    .parent = &pc_host_type,
    .size = sizeof(I440fxHost),
    .state = state,
    .realize = host_realize,
};
