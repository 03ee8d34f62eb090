/*
 * Intel 82Q35 memory controller hub (Intel 3 series data sheet, chapter 5): identification, ECAM (PCIEXBAR), PAM, SMRAM
 * with TSEG. EXT_TSEG_MBYTES (offset 50) is QEMU's: written with ones it tells how large a TSEG of size code 3 is.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/q35.h"
#include <string.h>

enum { EXT_TSEG = 0x50, PCIEXBAR = 0x60, PAM0 = 0x90, SMRAM = 0x9d, ESMRAMC = 0x9e };
enum { PCIEXBAR_ENABLE = 1, EXT_TSEG_QUERY = 0xffff };
enum { SMRAM_OPEN = 0x40, SMRAM_CLOSED = 0x20, SMRAM_LOCKED = 0x10, SMRAM_ENABLE = 8, SMRAM_BASE = 2 };
enum { SMRAM_WRITABLE = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCKED | SMRAM_ENABLE };
enum { ESMRAMC_HIGH = 0x80, ESMRAMC_ERROR = 0x40, ESMRAMC_FIXED = 0x38, ESMRAMC_TSEG = 1 };
#define PCIEXBAR_MASK UINT64_C(0xffffff0000000) /* with 256 MiB; the two bits below with less */
#define MIB           (UINT64_C(1) << 20)

/* Registers that are memory for firmware: OVMF keeps in TSEGMB and TOLUD where the TSEG is. */
static const struct {
    uint8_t first, count;
} memory_registers[] = {
    { 0x40, 16 }, { 0x52, 2 }, { 0x68, 8 }, { 0xa0, 20 }
}; /* EPBAR, MCHBAR; GGC; DMIBAR; TOM to TOLUD */

static Q35Host *host_of(PciDevice *dev)
{
    return (Q35Host *)pc_host_of(dev);
}

/* ---- ECAM (PCI Express Base 4.0, 7.2.2): bus 0 only ---- */

static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    Q35Host *s = opaque;
    return offset >> 20 ? UINT64_MAX : pci_config_read(&s->host.pci, offset >> 12, offset & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Q35Host *s = opaque;
    if (!(offset >> 20))
        pci_config_write(&s->host.pci, offset >> 12, offset & 0xfff, value, size);
}

static const MemOps ecam_ops = {
    .read = ecam_read, .write = ecam_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4
};

static void update_ecam(PciDevice *dev)
{
    MemRegion *ecam = &host_of(dev)->ecam;
    uint64_t value = pci_get32(dev->config + PCIEXBAR) | (uint64_t)pci_get32(dev->config + PCIEXBAR + 4) << 32;
    unsigned length = value >> 1 & 3;
    uint64_t size = (256 * MIB) >> length,
             mask = PCIEXBAR_MASK | (length ? 128 * MIB : 0) | (length == 2 ? 64 * MIB : 0);
    bool on = value & PCIEXBAR_ENABLE && length < 3;
    memory_begin(dev->dev.machine);
    mem_set_enabled(ecam, false);
    if (on) {
        ecam->size = size;
        mem_set_addr(ecam, value & mask);
        mem_set_enabled(ecam, true);
    }
    memory_commit(dev->dev.machine);
}

/* ---- SMRAM ---- */

static uint64_t tseg_size(PciDevice *dev)
{
    static const uint8_t mebibytes[] = { 1, 2, 8 };
    unsigned code = dev->config[ESMRAMC] >> 1 & 3;
    return (code < 3 ? mebibytes[code] : host_of(dev)->extended_tseg) * MIB;
}

/* Locked: nothing of it can be written until a reset, and it is not open. */
static void update_smram(PciDevice *dev)
{
    Q35Host *s = host_of(dev);
    bool locked = dev->config[SMRAM] & SMRAM_LOCKED;
    if (locked)
        dev->config[SMRAM] &= ~SMRAM_OPEN;
    dev->writable[SMRAM] = locked ? 0 : SMRAM_WRITABLE;
    dev->writable[ESMRAMC] = locked ? 0 : ESMRAMC_HIGH | 7;
    bool on = dev->config[SMRAM] & SMRAM_ENABLE;
    uint64_t size = on && dev->config[ESMRAMC] & ESMRAMC_TSEG ? tseg_size(dev) : 0;
    if (size > s->below_4g)
        size = 0;
    pc_host_set_smram(&s->host, on, on && dev->config[SMRAM] & SMRAM_OPEN, dev->config[ESMRAMC] & ESMRAMC_HIGH,
                      s->below_4g - size, size);
}

static void answer_query(PciDevice *dev)
{
    if (pci_get16(dev->config + EXT_TSEG) == EXT_TSEG_QUERY)
        pci_put16(dev->config + EXT_TSEG, host_of(dev)->extended_tseg);
}

static bool touches(uint32_t offset, unsigned size, unsigned first, unsigned count)
{
    return offset < first + count && offset + size > first;
}

static void config_written(PciDevice *dev, uint32_t offset, unsigned size)
{
    if (touches(offset, size, PAM0, PAM_REGISTERS))
        pc_host_set_pam(pc_host_of(dev), dev->config + PAM0);
    if (touches(offset, size, PCIEXBAR, 8)) {
        if (dev->config[PCIEXBAR] & PCIEXBAR_ENABLE)
            memcpy(host_of(dev)->pciexbar, dev->config + PCIEXBAR, 8);
        update_ecam(dev);
    }
    if (touches(offset, size, SMRAM, 2))
        update_smram(dev);
    if (touches(offset, size, EXT_TSEG, 2))
        answer_query(dev);
}

static void update(Device *dev)
{
    PciDevice *pci = (PciDevice *)dev;
    Q35Host *host = host_of(pci);
    pc_host_reset_pam(pc_host_of(pci), pci->config + PAM0);
    if (dev->machine->waking) /* SeaBIOS sets the window up through the window, which it knows from its start */
        memcpy(pci->config + PCIEXBAR, host->pciexbar, 8);
    else
        memcpy(host->pciexbar, pci->config + PCIEXBAR, 8);
    update_ecam(pci);
    update_smram(pci);
}

static bool mch_realize(Device *dev, GError **err)
{
    PciDevice *pci = (PciDevice *)dev;
    pci_set_ids(pci, 0x8086, 0x29c0, 0x060000, 2);
    pci_set_subsystem(pci, 0x1af4, 0x1100);
    pci_put32(pci->config + PCIEXBAR, Q35_ECAM_BASE);
    pci_put32(pci->writable + PCIEXBAR, 0xfc000007);
    pci_put32(pci->writable + PCIEXBAR + 4, 0xf);
    pci->config[SMRAM] = SMRAM_BASE;
    pci->config[ESMRAMC] = ESMRAMC_FIXED;
    pci->write_one_clear[ESMRAMC] = ESMRAMC_ERROR;
    if (host_of(pci)->extended_tseg)
        pci_put16(pci->writable + EXT_TSEG, 0xffff);
    for (unsigned i = 0; i < G_N_ELEMENTS(memory_registers); i++)
        memset(pci->writable + memory_registers[i].first, 0xff, memory_registers[i].count);
    for (unsigned i = 0; i < PAM_REGISTERS; i++)
        pci->writable[PAM0 + i] = i ? 0x33 : 0x30;
    pci->config_written = config_written;
    return true;
}

static const StateField mch_state[] = { STATE_END };

const DeviceType q35_mch_type = {
    .name = "mch",
    .desc = "82Q35 memory controller hub, function 00.0",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(PciDevice),
    .state = mch_state,
    .realize = mch_realize,
    .reset = update,
    .post_load = update,
};

static bool host_realize(Device *dev, GError **err)
{
    Q35Host *s = (Q35Host *)dev;
    mem_io_init(&s->ecam, dev->machine, "pcie-mmcfg-mmio", 256 * MIB, &ecam_ops, s);
    s->ecam.enabled = false;
    mem_add(&dev->machine->root, Q35_ECAM_BASE, &s->ecam, 0);
    s->host.pci.express = true;
    return pc_host_realize(&s->host, "pcie.0", &q35_mch_type, err);
}

static const Prop props[] = { PROP(Q35Host, U16, "extended-tseg-mbytes", extended_tseg, .fallback = "16", .max = 0xfff,
                                   .help = "size of the TSEG of size code 3, in MiB; 0: there is none"),
                              PROP_END };
static const StateField host_state[] = { STATE_SKIP(Q35Host, ecam, "follows from function 00.0"),
                                         STATE_SKIP(Q35Host, below_4g, "wiring"),
                                         STATE_SKIP(Q35Host, pciexbar, "follows from function 00.0"), STATE_END };

const DeviceType q35_host_type = {
    .name = "q35-pcihost",
    .desc = "82Q35 host bridge",
    .category = "bridge",
    .parent = &pc_host_type,
    .size = sizeof(Q35Host),
    .props = props,
    .state = host_state,
    .realize = host_realize,
};
