/*
 * PIIX4 power management function (82371AB data sheet, chapter 7): see piix4_pm.h. The general-purpose events are at
 * port afe0, where the board's ACPI tables say.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/piix4_pm.h"
#include "hw/isa/isa.h"

enum { PMBA = 0x40, DEVACTB = 0x58, PMREGMISC = 0x80, SMBBA = 0x90, SMBHSTCFG = 0xd2 };
enum { PORTS_SIZE = 64, BASE_MASK = 0xffc0, ENABLE = 1, DEVACTB_APMC = 2 /* of its byte 3 */, GPE_BYTES = 2 };
enum { ACPI_ENABLE = 0xf1, ACPI_DISABLE = 0xf0 };

/* Place region where base (of config) says, if enable's bit is set. */
static void map(Piix4Pm *s, MemRegion *region, bool *mapped, unsigned base, unsigned enable)
{
    bool on = s->pci.config[enable] & ENABLE;
    uint32_t at = pci_get32(s->pci.config + base) & BASE_MASK;
    if (*mapped && (!on || region->addr != at)) {
        mem_del(region);
        *mapped = false;
    }
    if (on && !*mapped) {
        mem_add(isa_ports(s->pci.dev.machine), at, region, 0);
        *mapped = true;
    }
}

static void update_ports(Piix4Pm *s)
{
    memory_begin(s->pci.dev.machine);
    map(s, &s->pm_ports, &s->pm_mapped, PMBA, PMREGMISC);
    map(s, &s->smbus.ports, &s->smbus_mapped, SMBBA, SMBHSTCFG);
    memory_commit(s->pci.dev.machine);
}

static void config_written(PciDevice *dev, uint32_t offset, unsigned size)
{
    update_ports((Piix4Pm *)dev);
}

static void apm_written(void *opaque, uint8_t value)
{
    Piix4Pm *s = opaque;
    if (value == ACPI_ENABLE || value == ACPI_DISABLE)
        acpi_pm_set_sci_enabled(&s->pm, value == ACPI_ENABLE);
    if (s->smm && s->pci.config[DEVACTB + 3] & DEVACTB_APMC) {
        irq_set(&s->smi, true);
        irq_set(&s->smi, false);
    }
}

static bool realize(Device *dev, GError **err)
{
    Piix4Pm *s = (Piix4Pm *)dev;
    PciDevice *pci = &s->pci;
    pci_set_ids(pci, 0x8086, 0x7113, 0x068000, 3);
    pci_set_subsystem(pci, 0x1af4, 0x1100);
    pci_set_interrupt_pin(pci, 1);
    pci->config[PCI_STATUS] = 0x80;
    pci->config[PCI_STATUS + 1] = 0x02;
    pci->config[PMBA] = pci->config[SMBBA] = PCI_BAR_IO;
    pci_put16(pci->writable + PMBA, BASE_MASK);
    pci_put16(pci->writable + SMBBA, BASE_MASK);
    pci_put32(pci->writable + DEVACTB, UINT32_MAX);
    pci->writable[PMREGMISC] = ENABLE;
    pci->writable[SMBHSTCFG] = 0x0f;
    if (!s->smm)
        pci->config[DEVACTB + 3] = DEVACTB_APMC; /* firmware takes it as a sign that somebody has set up SMM */
    pci->config_written = config_written;
    mem_container_init(&s->pm_ports, dev->machine, "piix4-pm", PORTS_SIZE);
    acpi_pm_init(&s->pm, dev, &s->pm_ports, GPE_BYTES);
    mem_add(isa_ports(dev->machine), PIIX4_GPE_BASE, &s->pm.gpe, 0);
    apm_init(&s->apm, dev->machine, apm_written, s);
    smbus_init(&s->smbus, dev);
    return true;
}

static void unrealize(Device *dev)
{
    timer_cancel(&((Piix4Pm *)dev)->pm.timer);
}

static void reset(Device *dev)
{
    Piix4Pm *s = (Piix4Pm *)dev;
    s->apm.control = s->apm.status = 0;
    acpi_pm_reset(&s->pm);
    smbus_reset(&s->smbus);
    update_ports(s);
}

static void post_load(Device *dev)
{
    Piix4Pm *s = (Piix4Pm *)dev;
    acpi_pm_update(&s->pm);
    smbus_update(&s->smbus);
    update_ports(s);
}

static const Prop props[] = { ACPI_PM_PROPS(Piix4Pm, pm),
                              PROP(Piix4Pm, BOOL, "smm-enabled", smm, .help = "firmware may use SMM"), PROP_END };

static const StateField state[] = { ACPI_PM_STATE(Piix4Pm, pm),
                                    APM_STATE(Piix4Pm, apm),
                                    SMBUS_STATE(Piix4Pm, smbus),
                                    STATE_SKIP(Piix4Pm, pm_ports, "wiring"),
                                    STATE_SKIP(Piix4Pm, pm_mapped, "follows from config"),
                                    STATE_SKIP(Piix4Pm, smbus_mapped, "follows from config"),
                                    STATE_SKIP(Piix4Pm, smi, "wiring"),
                                    STATE_END };

const DeviceType piix4_pm_type = {
    .name = "PIIX4_PM",
    .desc = "82371AB power management",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(Piix4Pm),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
