/*
 * Intel ICH9 LPC bridge: function 1f.0 of machine q35; PIRQ routing, ACPI fixed hardware, SMI, reset, TCO timer, RCBA.
 *
 *     Ich9Lpc *lpc = device_new(machine, &ich9_lpc_type);  addr=1f.0, multifunction=on;
 *     device_realize(lpc, host->pci.bus);  lpc->isa.irqs[n] = gsi_input(gsi, n);  lpc->gsi[i] = gsi_input(gsi, 16 + i)
 *     lpc->smi = apic_smi_input(hub);  lpc->smi_all = apic_smi_all_input(hub)
 *     powerdown: acpi_pm_power_button(&lpc->pm)
 * Slots 0 to 24 and 30 use PIRQE to PIRQH (swizzled by slot), 25 to 29 and 31 PIRQA to PIRQD.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ISA_ICH9_LPC_H
#define HW_ISA_ICH9_LPC_H

#include "hw/acpi/apm.h"
#include "hw/acpi/pm.h"
#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

#define ICH9_RCBA_SIZE 0x4000
#define ICH9_GSI_FIRST 16

typedef struct Ich9Lpc {
    PciDevice pci;
    IsaBus isa;
    AcpiPm pm;
    Apm apm;
    MemRegion pm_ports, smi_ports, tco_ports, rcba;
    bool pm_mapped, rcba_mapped;
    GMutex lock;    /* device: guards levels and what goes to lines */
    uint8_t levels; /* of PIRQA to PIRQH */
    bool sci_level;
    Irq lines[ISA_IRQS], gsi[8];
    Irq smi, smi_all;
    uint32_t smi_enable, smi_status;
    uint32_t chipset[ICH9_RCBA_SIZE / 4]; /* RCBA registers that are plain memory */
    /* TCO (ICH9 datasheet, 13.9) */
    uint16_t tco_reload, tco_timer, tco_status1, tco_status2, tco_control1, tco_control2;
    uint8_t tco_message[2], tco_watchdog, tco_data[2];
    uint8_t tco_expired; /* timeouts since the last reload */
    Timer tco;
    bool no_reboot_strap;  /* property noreboot: the TCO timer does not reset */
    uint64_t smi_features; /* negotiated: bit 0 broadcast (fw_cfg etc/smi/...) */
} Ich9Lpc;

extern const DeviceType ich9_lpc_type;

#endif
