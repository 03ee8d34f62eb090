/*
 * The PCs: machine pc (440FX, PIIX3, PIIX4 power management), q35 (82Q35, ICH9) and isapc (no PCI), with the devices,
 * their places and interrupts as in QEMU, which SeaBIOS and EDK2 are built for.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/acpi/hotplug.h"
#include "hw/acpi/piix4_pm.h"
#include "hw/block/fdc.h"
#include "hw/char/parallel.h"
#include "hw/display/adapter.h"
#include "hw/dma/i8257.h"
#include "hw/ide/ahci.h"
#include "hw/ide/piix.h"
#include "hw/input/i8042.h"
#include "hw/intc/irqchip.h"
#include "hw/isa/ich9_lpc.h"
#include "hw/isa/pc_ports.h"
#include "hw/isa/piix3.h"
#include "hw/machine/x86/x86_machine.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/q35.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "target/x86/x86.h"
#include "util/error.h"

typedef struct Pc {
    X86Machine x;
    unsigned vmport, smm;                                       /* properties: SWITCH_* */
    bool has_hpet, has_pit, has_i8042, has_sata, usb, graphics; /* properties */
    unsigned kernel_irqchip;                                    /* property; for KVM */
    PcHost *host;                                               /* or NULL */
    Bus *isa;
    IsaBus *lines; /* the same */
    Ich9Lpc *lpc;
    Piix4Pm *piix4;
    AcpiPm *pm; /* of either */
    Pit *pit;
    Hpet *hpet;
    AcpiPciHotplug *hotplug;
} Pc;

#define GIB ((uint64_t)1 << 30)
enum { IRQ_RTC = 8, IRQ_FPU = 13 };

/* ---- what is on each board ---- */

static bool has_kernel_pit(const X86Machine *x)
{
    return x->machine.irqchip && x->machine.irqchip->has_chips;
}

static void disable_kernel_pit(void *opaque, int n, bool level)
{
    Machine *machine = opaque;
    machine->irqchip->pit_disable(machine, level);
}

static bool add_hpet(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    if (!pc->has_hpet || x->board == PC_ISA)
        return true;
    pc->hpet = x86_place(x, &hpet_type, NULL, x->board == PC_Q35 ? "hpet-intcap=0xff0104" : "hpet-intcap=0x4", err);
    if (!pc->hpet)
        return false;
    mem_add(&x->machine.root, HPET_BASE, &pc->hpet->mmio, 1);
    for (unsigned n = 0; n < GSI_COUNT; n++)
        pc->hpet->irqs[n] = gsi_input(&x->gsi, n);
    if (pc->pit)
        pc->hpet->legacy = pit_disable_input(pc->pit);
    else if (has_kernel_pit(x))
        pc->hpet->legacy = (Irq){ disable_kernel_pit, &x->machine, 0 };
    return true;
}

static void alarm_rings(void *opaque, int n, bool level)
{
    acpi_pm_alarm(opaque);
}

static bool add_clocks(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    if (pc->has_pit && !has_kernel_pit(x) && !(pc->pit = x86_place(x, &i8254_type, NULL, NULL, err)))
        return false;
    if (pc->pit)
        pc->pit->irq = gsi_input(&x->gsi, 0);
    if (!add_hpet(pc, err) || !(x->rtc = x86_place(x, &mc146818rtc_type, NULL, NULL, err)))
        return false;
    if (pc->pm)
        x->rtc->wake = (Irq){ alarm_rings, pc->pm, 0 };
    x->rtc->irq = pc->hpet ? hpet_rtc_input(pc->hpet) : isa_irq(pc->isa, IRQ_RTC);
    return true;
}

static void set_ignne(void *opaque, int n, bool level)
{
    const Machine *machine = opaque;
    for (unsigned i = 0; i < machine->vcpus->len; i++)
        x86_set_ignne(((Vcpu *)machine->vcpus->pdata[i])->state, level);
}

/* Keyboard controller, board ports, coprocessor error. */
static bool add_board_ports(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    Machine *machine = &x->machine;
    const Irq a20 = { x86_set_a20_all, machine, 0 };
    PcPorts *ports = x86_place(x, &pc_ports_type, NULL, NULL, err);
    if (!ports)
        return false;
    ports->a20 = a20;
    ports->fpu_irq = isa_irq(pc->isa, IRQ_FPU);
    ports->ignne = (Irq){ set_ignne, machine, 0 };
    x86_set_ferr(((Vcpu *)machine->vcpus->pdata[0])->state, pc_ports_ferr_input(ports));
    if (!pc->has_i8042)
        return true;
    I8042 *keyboard = x86_place(x, &i8042_type, pc->isa, NULL, err);
    if (keyboard)
        keyboard->a20 = a20;
    return keyboard;
}

static bool add_isa_devices(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    return add_clocks(pc, err) && add_board_ports(pc, err) && x86_add_serials(x, pc->isa, err) &&
           i8257_add_pair(pc->isa, err);
}

static void connect_lines(Pc *pc)
{
    for (unsigned n = 0; n < ISA_IRQS; n++)
        pc->lines->irqs[n] = gsi_input(&pc->x.gsi, n);
    pc->isa = pc->lines->bus;
}

/* ---- chip sets ---- */

static bool has_smm(const Pc *pc)
{
    return pc->smm != SWITCH_OFF && !pc->x.machine.accel->no_smm;
}

static bool add_piix(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    Piix3 *piix = x86_place(x, &piix3_type, x->pci->bus, "addr=01.0,multifunction=on", err);
    if (!piix)
        return false;
    pc->lines = &piix->isa;
    connect_lines(pc);
    if (!x86_place(x, &piix3_ide_type, x->pci->bus, "addr=01.1", err))
        return false;
    Device *dev = device_new(&x->machine, &piix4_pm_type);
    pc->piix4 = (Piix4Pm *)dev;
    pc->piix4->smm = has_smm(pc);
    if (!device_set(dev, "addr", "01.3", err) || !device_realize(dev, x->pci->bus, err)) {
        device_free(dev);
        return false;
    }
    pc->pm = &pc->piix4->pm;
    pc->pm->sci = isa_irq(pc->isa, PC_SCI);
    pc->piix4->smi = apic_smi_input(x->hub);
    return true;
}

static bool add_ich9(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    const char *props = has_smm(pc) ? "addr=1f.0,multifunction=on,smm-enabled=on" : "addr=1f.0,multifunction=on";
    Ich9Lpc *lpc = pc->lpc = x86_place(x, &ich9_lpc_type, x->pci->bus, props, err);
    if (!lpc)
        return false;
    pc->lines = &lpc->isa;
    connect_lines(pc);
    for (unsigned i = 0; i < G_N_ELEMENTS(lpc->gsi); i++)
        lpc->gsi[i] = gsi_input(&x->gsi, ICH9_GSI_FIRST + i);
    lpc->smi = apic_smi_input(x->hub);
    lpc->smi_all = apic_smi_all_input(x->hub);
    pc->pm = &lpc->pm;
    return (!pc->has_sata || x86_place(x, &ich9_ahci_type, x->pci->bus, "addr=1f.2,multifunction=on", err)) &&
           x86_place(x, &ich9_smbus_type, x->pci->bus, "addr=1f.3,multifunction=on", err);
}

static bool add_host(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    bool q35 = x->board == PC_Q35;
    Device *dev = device_new(&x->machine, q35 ? &q35_host_type : &i440fx_host_type);
    if (q35)
        ((Q35Host *)dev)->below_4g = x->ram_low;
    if (!device_realize(dev, NULL, err)) {
        device_free(dev);
        return false;
    }
    pc->host = (PcHost *)dev;
    x->pci = &pc->host->pci;
    x->rom_space = &pc->host->memory;
    x->pci_hole64 = q35 ? 32 * GIB : 2 * GIB;
    return q35 ? add_ich9(pc, err) : add_piix(pc, err);
}

/* No PCI: a plain ISA bus. */
static bool add_plain_isa(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    IsaBridge *bridge = x86_place(x, &isabus_bridge_type, NULL, NULL, err);
    if (!bridge)
        return false;
    x->rom_space = &x->machine.root;
    pc->lines = &bridge->isa;
    connect_lines(pc);
    const DeviceType *ide = device_type_find("isa-ide");
    return x86_place(x, ide, pc->isa, NULL, err) &&
           x86_place(x, ide, pc->isa, "iobase=0x170,iobase2=0x376,irq=15", err);
}

/* ---- machine ---- */

static void describe(X86Machine *x, PcAcpiInfo *info)
{
    const Pc *pc = (const Pc *)x;
    info->pm_base = pci_get16(pc->lpc ? pc->lpc->pci.config + 0x40 : pc->piix4->pci.config + 0x40) & 0xffc0;
    info->pm_base = info->pm_base ? info->pm_base : PC_PM_BASE;
    info->hpet = pc->hpet;
    info->i8042 = pc->has_i8042;
    info->hotplug = pc->hotplug;
    info->s3 = pc->pm && !pc->pm->s3_disabled;
    info->s4 = pc->pm && !pc->pm->s4_disabled;
    info->s4_type = pc->pm ? pc->pm->s4_type : 0;
    for (unsigned i = 0; i < pc->isa->devices->len; i++) {
        const DeviceType *type = ((const Device *)pc->isa->devices->pdata[i])->type;
        info->parallel = info->parallel || type == &isa_parallel_type;
        info->floppy = info->floppy || type == &isa_fdc_type;
    }
}

typedef struct ConfigWrite {
    uint8_t slot, function, offset, size;
    uint32_t value;
} ConfigWrite;

/* What firmware leaves behind: shadow RAM, power management ports, ECAM; the rest the kernel does. */
static void set_up(X86Machine *x)
{
    static const ConfigWrite i440fx[] = { { 0, 0, 0x59, 1, 0x30 },       { 0, 0, 0x5a, 2, 0x3333 },
                                          { 0, 0, 0x5c, 4, 0x33333333 }, { 1, 3, 0x40, 4, PC_PM_BASE | 1 },
                                          { 1, 3, 0x80, 1, 1 },          { 1, 3, 0x3c, 1, PC_SCI } },
                             q35[] = { { 0, 0, 0x90, 1, 0x30 },
                                       { 0, 0, 0x91, 1, 0x33 },
                                       { 0, 0, 0x92, 2, 0x3333 },
                                       { 0, 0, 0x94, 2, 0x3333 },
                                       { 0, 0, 0x96, 1, 0x33 },
                                       { 0, 0, 0x64, 4, 0 },
                                       { 0, 0, 0x60, 4, PC_ECAM_BASE | 1 },
                                       { 0x1f, 0, 0x40, 4, PC_PM_BASE | 1 },
                                       { 0x1f, 0, 0x44, 1, 0x80 },
                                       { 0x1f, 0, 0xf0, 4, 0xfed1c001 } };
    const ConfigWrite *list = x->board == PC_Q35 ? q35 : i440fx;
    unsigned count = x->board == PC_Q35 ? G_N_ELEMENTS(q35) : G_N_ELEMENTS(i440fx);
    for (unsigned i = 0; i < count; i++)
        pci_config_write(x->pci, list[i].slot << 3 | list[i].function, list[i].offset, list[i].value, list[i].size);
}

static bool check_props(const Pc *pc, GError **err)
{
    if (pc->usb)
        return error_set(err, "-machine: usb=on: there is no USB yet");
    if (pc->vmport == SWITCH_ON)
        return error_set(err, "-machine: vmport=on: there is no VMware port");
    return true;
}

/* Slots that can be plugged, and which processors there are. */
static bool add_hotplug(Pc *pc, GError **err)
{
    X86Machine *x = &pc->x;
    bool q35 = x->board == PC_Q35;
    if (!x->pci)
        return true;
    Device *slots = device_new(&x->machine, &acpi_pci_hotplug_type);
    pc->hotplug = (AcpiPciHotplug *)slots;
    pc->hotplug->base = q35 ? ICH9_PCI_HOTPLUG : PIIX4_PCI_HOTPLUG;
    pc->hotplug->pci = x->pci;
    pc->hotplug->pm = pc->pm;
    pc->hotplug->fixed = q35 ? 1u << 31 | 1 : 3;
    if (!device_realize(slots, NULL, err)) {
        device_free(slots);
        return false;
    }
    Device *dev = device_new(&x->machine, &acpi_cpu_hotplug_type);
    AcpiCpuHotplug *cpus = (AcpiCpuHotplug *)dev;
    cpus->base = q35 ? ICH9_CPU_HOTPLUG : PIIX4_CPU_HOTPLUG;
    cpus->ids = x->apic_ids;
    cpus->count = x->machine.config.cpus;
    if (device_realize(dev, NULL, err))
        return true;
    device_free(dev);
    return false;
}

static bool add_processors(Pc *pc, GError **err)
{
    Machine *machine = &pc->x.machine;
    if (!x86_add_cpus(&pc->x, err))
        return false;
    for (unsigned i = 0; pc->host && i < machine->vcpus->len; i++)
        x86_set_smm_space(((Vcpu *)machine->vcpus->pdata[i])->state, &pc->host->smm);
    return true;
}

static bool init_board(Pc *pc, PcBoard board, const char *bios, GError **err)
{
    X86Machine *x = &pc->x;
    Machine *machine = &x->machine;
    x->board = board;
    x->describe = describe;
    x->set_up = board == PC_ISA ? NULL : set_up;
    const uint64_t split = board == PC_Q35 ? 0xb0000000 : 0xe0000000, hole = board == PC_Q35 ? 0x80000000 : 0xc0000000;
    if (!check_props(pc, err) || !x86_add_ram(x, split, hole, err) || !x86_add_hub(x, err) ||
        !(board == PC_ISA ? add_plain_isa(pc, err) : add_host(pc, err)) || !add_processors(pc, err) ||
        !add_isa_devices(pc, err) || !add_hotplug(pc, err) || !x86_add_fw_cfg(x, err) ||
        (pc->lpc && !ich9_lpc_add_smi_files(pc->lpc, x->fw_cfg, err)) ||
        !x86_add_interrupts(x, true, board != PC_ISA, err) || !x86_add_firmware(x, bios, err))
        return false;
    return vga_add_adapter(machine, machine->config.nodefaults || !pc->graphics ? NULL : "std", err);
}

static bool i440fx_init(Machine *machine, GError **err)
{
    return init_board((Pc *)machine, PC_I440FX, "bios-256k.bin", err);
}

static bool q35_init(Machine *machine, GError **err)
{
    return init_board((Pc *)machine, PC_Q35, "bios-256k.bin", err);
}

static bool isapc_init(Machine *machine, GError **err)
{
    return init_board((Pc *)machine, PC_ISA, "bios.bin", err);
}

static void powerdown(Machine *machine)
{
    Pc *pc = (Pc *)machine;
    if (pc->pm)
        acpi_pm_power_button(pc->pm);
}

static bool wakeup(Machine *machine)
{
    Pc *pc = (Pc *)machine;
    return pc->pm && acpi_pm_wake(pc->pm, 0);
}

static void nmi(Machine *machine)
{
    const Irq line = apic_nmi_input(((Pc *)machine)->x.hub);
    irq_set(&line, true);
    irq_set(&line, false);
}

static const char *const irqchip_names[] = { "on", "off", "split", NULL };
static const Prop props[] = {
    X86_PROPS(Pc),
    PROP(Pc, ENUM, "vmport", vmport, .names = x86_switch_names, .help = "VMware's port: there is none"),
    PROP(Pc, ENUM, "smm", smm, .names = x86_switch_names, .help = "system management mode for firmware"),
    PROP(Pc, BOOL, "hpet", has_hpet, .fallback = "on", .help = "high precision event timer"),
    PROP(Pc, BOOL, "pit", has_pit, .fallback = "on", .help = "8254 timer"),
    PROP(Pc, BOOL, "i8042", has_i8042, .fallback = "on", .help = "keyboard controller"),
    PROP(Pc, BOOL, "sata", has_sata, .fallback = "on", .help = "AHCI controller of q35"),
    PROP(Pc, BOOL, "usb", usb, .help = "off: there is none"),
    PROP(Pc, BOOL, "graphics", graphics, .fallback = "on", .help = "VGA unless -vga says otherwise"),
    PROP(Pc, ENUM, "kernel-irqchip", kernel_irqchip, .names = irqchip_names, .help = "for accelerators that have one"),
    PROP_END,
};

/* clang-format off */
#define PC_TYPE                                                                                                        \
    .target = "x86_64|i386", .default_ram = 128 << 20, .default_cpu = "", .props = props, .has_boot_options = true,    \
    .size = sizeof(Pc), .block_interface = "ide", .default_cdrom = true, .default_floppy = true, .load = x86_load,     \
    .powerdown = powerdown, .wakeup = wakeup, .nmi = nmi
/* clang-format on */

const MachineType pc_machine = {
    .name = "pc",
    .alias = "pc-i440fx",
    .desc = "Standard PC (i440FX + PIIX, 1996)",
    PC_TYPE,
    .max_cpus = 255,
    .ide_units = 2,
    .init = i440fx_init,
    .default_nic = "e1000",
};

const MachineType q35_machine = {
    .name = "q35",
    .alias = "pc-q35",
    .desc = "Standard PC (Q35 + ICH9, 2009)",
    PC_TYPE,
    .max_cpus = X86_CPUS_MAX,
    .ide_units = 1,
    .init = q35_init,
    .default_nic = "virtio-net-pci",
};

const MachineType isapc_machine = {
    .name = "isapc",
    .desc = "ISA-only PC",
    PC_TYPE,
    .max_cpus = 1,
    .ide_units = 2,
    .init = isapc_init,
};
