/*
 * ICH9 LPC bridge (Intel I/O Controller Hub 9 data sheet, chapter 13; RCBA: chapter 10): see ich9_lpc.h.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/ich9_lpc.h"
#include <string.h>

enum { PMBASE = 0x40, ACPI_CNTL = 0x44, PIRQ_A = 0x60, PIRQ_E = 0x68, GEN_PMCON_1 = 0xa0, RCBA = 0xf0 };
enum { PMBASE_MASK = 0xff80, ACPI_ENABLED = 0x80, SCI_SELECT = 7, SMI_LOCK = 0x10, RCBA_ENABLE = 1 };
enum { PIRQS = 8, ROUTE_OFF = 0x80, ROUTE_IRQ = 0x0f };
enum { PM_SIZE = 128, PM_GPE = 0x20, PM_SMI = 0x30, PM_TCO = 0x60, GPE_BYTES = 8 };
enum { SMI_ENABLE_ALL = 1, SMI_APMC = 0x20, SMI_TCO = 0x2000 };
enum { APM_ACPI_ENABLE = 2, APM_ACPI_DISABLE = 3 };
enum { RCBA_IRQ_FIRST = 0x3140, RCBA_IRQ_LAST = 0x3150, RCBA_IRQ_DEFAULT = 0x3210, GCS = 0x3410, GCS_NO_REBOOT = 0x20 };
enum { FEATURE_BROADCAST = 1 };
#define RCBA_MASK 0xffffc000u
#define ROUTABLE  0xdef8 /* ISA lines that a PIRQ may go to */

/* ---- interrupts ---- */

/* The interrupt route registers of RCBA stay at their defaults: INTA to INTD of the chip's functions are PIRQA to
 * PIRQD; other slots are swizzled over PIRQE to PIRQH, which ACPI tables of the board say as well. */
static unsigned map_intx(unsigned slot, unsigned pin)
{
    if (slot == 30)
        return 4 + pin;
    return slot >= 25 ? pin : 4 + (slot + pin) % 4;
}

static uint8_t route(const Ich9Lpc *s, unsigned n)
{
    return __atomic_load_n(&s->pci.config[n < 4 ? PIRQ_A + n : PIRQ_E + n - 4], __ATOMIC_RELAXED);
}

/* The GSI of the SCI: ACPI_CNTL bits 2:0. */
static unsigned sci_gsi(const Ich9Lpc *s)
{
    static const uint8_t gsis[] = { 9, 10, 11, 9, 20, 21, 9, 9 };
    return gsis[__atomic_load_n(&s->pci.config[ACPI_CNTL], __ATOMIC_RELAXED) & SCI_SELECT];
}

static void update_lines(Ich9Lpc *s)
{
    g_mutex_lock(&s->lock);
    unsigned sci = s->sci_level ? sci_gsi(s) : UINT32_MAX;
    for (unsigned n = 0; n < ISA_IRQS; n++) {
        bool level = sci == n;
        for (unsigned i = 0; i < PIRQS; i++)
            level = level || (!(route(s, i) & ROUTE_OFF) && (route(s, i) & ROUTE_IRQ) == n && s->levels >> i & 1);
        if (ROUTABLE >> n & 1)
            irq_set(&s->lines[n], level);
    }
    for (unsigned i = 0; i < PIRQS; i++)
        irq_set(&s->gsi[i], s->levels >> i & 1 || sci == ICH9_GSI_FIRST + i);
    g_mutex_unlock(&s->lock);
}

static void pirq_set(void *opaque, int n, bool level)
{
    Ich9Lpc *s = opaque;
    g_mutex_lock(&s->lock);
    s->levels = level ? s->levels | 1u << n : s->levels & ~(1u << n);
    g_mutex_unlock(&s->lock);
    update_lines(s);
}

static void sci_set(void *opaque, int n, bool level)
{
    Ich9Lpc *s = opaque;
    g_mutex_lock(&s->lock);
    s->sci_level = level;
    g_mutex_unlock(&s->lock);
    update_lines(s);
}

/* ---- SMI ---- */

static void pulse(const Irq *irq)
{
    irq_set(irq, true);
    irq_set(irq, false);
}

static void raise_smi(Ich9Lpc *s, uint32_t event, bool all)
{
    uint32_t needed = SMI_ENABLE_ALL | event;
    s->smi_status |= event;
    if (s->smm && (s->smi_enable & needed) == needed)
        pulse(all ? &s->smi_all : &s->smi);
}

static void apm_written(void *opaque, uint8_t value)
{
    Ich9Lpc *s = opaque;
    if (value == APM_ACPI_ENABLE || value == APM_ACPI_DISABLE)
        acpi_pm_set_sci_enabled(&s->pm, value == APM_ACPI_ENABLE);
    raise_smi(s, SMI_APMC, s->smi_features & FEATURE_BROADCAST);
}

static void tco_timeout(void *opaque)
{
    raise_smi(opaque, SMI_TCO, false);
}

static bool tco_no_reboot(void *opaque)
{
    return ((Ich9Lpc *)opaque)->chipset[GCS / 4] & GCS_NO_REBOOT;
}

static uint64_t smi_read(void *opaque, uint64_t offset, unsigned size)
{
    const Ich9Lpc *s = opaque;
    return offset ? s->smi_status : s->smi_enable;
}

/* Locked, the enable bit of all stays. */
static void smi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ich9Lpc *s = opaque;
    uint32_t kept = s->pci.config[GEN_PMCON_1] & SMI_LOCK ? SMI_ENABLE_ALL : 0;
    if (offset)
        s->smi_status &= ~value;
    else
        s->smi_enable = (s->smi_enable & kept) | (value & ~kept);
}

static const MemOps smi_ops = { .read = smi_read, .write = smi_write, .max_size = 4, .impl_min = 4, .impl_max = 4 };

/* ---- features of the SMI: firmware writes what it wants, and selects features-ok to hear whether it has it ---- */

#define SMI_SUPPORTED "etc/smi/supported-features"
#define SMI_REQUESTED "etc/smi/requested-features"
#define SMI_OK        "etc/smi/features-ok"

static void requested_written(void *opaque, const uint8_t *data, size_t len)
{
    Ich9Lpc *s = opaque;
    s->smi_requested = pci_get32(data) | (uint64_t)pci_get32(data + 4) << 32;
}

/* What was granted stays until a reset. */
static void ok_selected(void *opaque)
{
    Ich9Lpc *s = opaque;
    if (s->smi_features_ok || s->smi_requested & ~(uint64_t)FEATURE_BROADCAST)
        return;
    s->smi_features = s->smi_requested;
    s->smi_features_ok = 1;
    fw_cfg_set_file(s->fw_cfg, SMI_OK, &s->smi_features_ok, 1, NULL);
}

static const FwCfgFileOps requested_ops = { .written = requested_written }, ok_ops = { .selected = ok_selected };

static void set_smi_files(Ich9Lpc *s)
{
    uint64_t requested = GUINT64_TO_LE(s->smi_requested);
    if (!s->fw_cfg)
        return;
    fw_cfg_set_file(s->fw_cfg, SMI_REQUESTED, &requested, sizeof(requested), NULL);
    fw_cfg_set_file(s->fw_cfg, SMI_OK, &s->smi_features_ok, 1, NULL);
}

bool ich9_lpc_add_smi_files(Ich9Lpc *lpc, FwCfg *fw_cfg, GError **err)
{
    static const uint8_t supported[8] = { FEATURE_BROADCAST }, none[8];
    if (!lpc->smm || !fw_cfg)
        return true;
    lpc->fw_cfg = fw_cfg;
    return fw_cfg_set_file(fw_cfg, SMI_SUPPORTED, supported, sizeof(supported), err) &&
           fw_cfg_set_active_file(fw_cfg, SMI_REQUESTED, none, sizeof(none), &requested_ops, lpc, err) &&
           fw_cfg_set_active_file(fw_cfg, SMI_OK, none, 1, &ok_ops, lpc, err);
}

/* ---- RCBA: memory for software, but for the interrupt routes ---- */

static uint64_t rcba_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((Ich9Lpc *)opaque)->chipset[offset / 4];
}

static void rcba_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ich9Lpc *s = opaque;
    if (offset >= RCBA_IRQ_FIRST && offset <= RCBA_IRQ_LAST) {
        if (value != s->chipset[offset / 4])
            unimplemented(&s->pci.dev, "interrupt route 0x%x at RCBA offset 0x%x", (unsigned)value, (unsigned)offset);
        return;
    }
    s->chipset[offset / 4] = value;
}

static const MemOps rcba_ops = { .read = rcba_read, .write = rcba_write, .max_size = 8, .impl_min = 4, .impl_max = 4 };

static void reset_rcba(Ich9Lpc *s)
{
    memset(s->chipset, 0, sizeof(s->chipset));
    for (unsigned offset = RCBA_IRQ_FIRST; offset <= RCBA_IRQ_LAST; offset += 4)
        s->chipset[offset / 4] = RCBA_IRQ_DEFAULT | RCBA_IRQ_DEFAULT << 16;
    s->chipset[GCS / 4] = GCS_NO_REBOOT;
}

/* ---- configuration space ---- */

static void place(MemRegion *parent, MemRegion *region, bool *mapped, uint64_t at, bool on)
{
    if (*mapped)
        mem_del(region);
    if (on)
        mem_add(parent, at, region, 1);
    *mapped = on;
}

static void update_regions(Ich9Lpc *s)
{
    const uint8_t *config = s->pci.config;
    Machine *machine = s->pci.dev.machine;
    uint32_t rcba = pci_get32(config + RCBA);
    memory_begin(machine);
    place(isa_ports(machine), &s->pm_ports, &s->pm_mapped, pci_get16(config + PMBASE) & PMBASE_MASK,
          config[ACPI_CNTL] & ACPI_ENABLED);
    place(&machine->root, &s->rcba, &s->rcba_mapped, rcba & RCBA_MASK, rcba & RCBA_ENABLE);
    memory_commit(machine);
}

static void config_written(PciDevice *dev, uint32_t offset, unsigned size)
{
    Ich9Lpc *s = (Ich9Lpc *)dev;
    if (dev->config[GEN_PMCON_1] & SMI_LOCK)
        dev->writable[GEN_PMCON_1] &= ~SMI_LOCK;
    update_regions(s);
    update_lines(s);
}

/* ---- life cycle ---- */

static void init_config(PciDevice *pci)
{
    pci_set_ids(pci, 0x8086, 0x2918, 0x060100, 2);
    pci_set_subsystem(pci, 0x1af4, 0x1100);
    pci->config[PCI_COMMAND] = 0x07;
    pci->writable[PCI_COMMAND] &= ~7;
    pci->config[PCI_STATUS + 1] = 0x02;
    pci_put32(pci->config + PMBASE, PCI_BAR_IO);
    pci_put16(pci->writable + PMBASE, PMBASE_MASK);
    pci->writable[ACPI_CNTL] = ACPI_ENABLED | SCI_SELECT;
    for (unsigned n = 0; n < PIRQS; n++) {
        unsigned at = n < 4 ? PIRQ_A + n : PIRQ_E + n - 4;
        pci->config[at] = ROUTE_OFF;
        pci->writable[at] = ROUTE_OFF | ROUTE_IRQ;
    }
    pci_put32(pci->writable + 0x48, 0x0000ffc0); /* GPIO base and control, of which there is no more */
    pci->writable[0x4c] = 0x1f;
    pci_put32(pci->writable + 0x80, UINT32_MAX); /* decodes of LPC: memory for software */
    pci_put32(pci->writable + 0xa0, 0x00ff3fff);
    pci->writable[0xa4] = 0xff;
    pci_put32(pci->writable + RCBA, RCBA_MASK | RCBA_ENABLE);
    pci->config_written = config_written;
}

static bool realize(Device *dev, GError **err)
{
    Ich9Lpc *s = (Ich9Lpc *)dev;
    Machine *machine = dev->machine;
    PciBus *bus = s->pci.pci;
    init_config(&s->pci);
    g_mutex_init(&s->lock);
    s->isa.io = bus->io;
    s->isa.memory = bus->memory;
    isa_bus_init(&s->isa, dev, "isa.0");
    for (unsigned n = 0; n < ISA_IRQS; n++)
        s->lines[n] = isa_irq(s->isa.bus, n);
    mem_container_init(&s->pm_ports, machine, "ich9-pm", PM_SIZE);
    acpi_pm_init(&s->pm, dev, &s->pm_ports, GPE_BYTES);
    mem_add(&s->pm_ports, PM_GPE, &s->pm.gpe, 0);
    mem_io_init(&s->smi_ports, machine, "acpi-smi", 8, &smi_ops, s);
    mem_add(&s->pm_ports, PM_SMI, &s->smi_ports, 0);
    tco_init(&s->tco, dev);
    mem_add(&s->pm_ports, PM_TCO, &s->tco.ports, 0);
    mem_io_init(&s->rcba, machine, "lpc-rcrb-mmio", ICH9_RCBA_SIZE, &rcba_ops, s);
    s->pm.sci = (Irq){ sci_set, s, 0 };
    s->tco.timeout = tco_timeout;
    s->tco.no_reboot = tco_no_reboot;
    s->tco.opaque = s;
    apm_init(&s->apm, machine, apm_written, s);
    bus->map_intx = map_intx;
    for (unsigned i = 0; i < PIRQS; i++)
        bus->intx[i] = (Irq){ pirq_set, s, i };
    return true;
}

static void unrealize(Device *dev)
{
    Ich9Lpc *s = (Ich9Lpc *)dev;
    for (unsigned i = 0; i < PIRQS; i++)
        s->pci.pci->intx[i] = (Irq){ 0 };
    isa_bus_destroy(&s->isa);
    g_mutex_clear(&s->lock);
}

static void reset(Device *dev)
{
    Ich9Lpc *s = (Ich9Lpc *)dev;
    s->pci.writable[GEN_PMCON_1] |= SMI_LOCK;
    s->apm.control = s->apm.status = 0;
    s->smi_enable = s->smm ? 0 : SMI_APMC; /* firmware takes it as a sign that somebody has set up SMM */
    s->smi_status = 0;
    s->smi_requested = s->smi_features = s->smi_features_ok = 0;
    set_smi_files(s);
    reset_rcba(s);
    acpi_pm_reset(&s->pm);
    tco_reset(&s->tco);
    update_regions(s);
    update_lines(s);
}

static void post_load(Device *dev)
{
    Ich9Lpc *s = (Ich9Lpc *)dev;
    if (s->pci.config[GEN_PMCON_1] & SMI_LOCK)
        s->pci.writable[GEN_PMCON_1] &= ~SMI_LOCK;
    acpi_pm_update(&s->pm);
    set_smi_files(s);
    update_regions(s);
    update_lines(s);
}

static const Prop props[] = {
    ACPI_PM_PROPS(Ich9Lpc, pm), PROP(Ich9Lpc, BOOL, "smm-enabled", smm, .help = "firmware may use SMM"),
    PROP(Ich9Lpc, BOOL, "noreboot", tco.strap_no_reboot, .fallback = "on", .help = "the TCO watchdog does not reset"),
    PROP_END
};

static const StateField state[] = { STATE(Ich9Lpc, levels),
                                    STATE(Ich9Lpc, sci_level),
                                    STATE(Ich9Lpc, smi_enable),
                                    STATE(Ich9Lpc, smi_status),
                                    STATE(Ich9Lpc, smi_requested),
                                    STATE(Ich9Lpc, smi_features),
                                    STATE(Ich9Lpc, smi_features_ok),
                                    STATE_SKIP(Ich9Lpc, fw_cfg, "wiring"),
                                    STATE_ARRAY(Ich9Lpc, chipset),
                                    ACPI_PM_STATE(Ich9Lpc, pm),
                                    APM_STATE(Ich9Lpc, apm),
                                    TCO_STATE(Ich9Lpc, tco),
                                    STATE_SKIP(Ich9Lpc, isa, "follows from its devices"),
                                    STATE_SKIP(Ich9Lpc, pm_ports, "wiring"),
                                    STATE_SKIP(Ich9Lpc, smi_ports, "wiring"),
                                    STATE_SKIP(Ich9Lpc, rcba, "wiring"),
                                    STATE_SKIP(Ich9Lpc, pm_mapped, "follows from config"),
                                    STATE_SKIP(Ich9Lpc, rcba_mapped, "follows from config"),
                                    STATE_SKIP(Ich9Lpc, lock, "no state"),
                                    STATE_SKIP(Ich9Lpc, lines, "wiring"),
                                    STATE_SKIP(Ich9Lpc, gsi, "wiring"),
                                    STATE_SKIP(Ich9Lpc, smi, "wiring"),
                                    STATE_SKIP(Ich9Lpc, smi_all, "wiring"),
                                    STATE_END };

const DeviceType ich9_lpc_type = {
    .name = "ICH9-LPC",
    .desc = "ICH9 LPC bridge",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(Ich9Lpc),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
