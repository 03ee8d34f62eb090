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
#include "hw/acpi/smbus.h"
#include "hw/acpi/tco.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

#define ICH9_RCBA_SIZE 0x4000
#define ICH9_GSI_FIRST 16

typedef struct Ich9Lpc {
    PciDevice pci;
    IsaBus isa;
    AcpiPm pm;
    Apm apm;
    MemRegion pm_ports, smi_ports, rcba;
    bool pm_mapped, rcba_mapped;
    GMutex lock;    /* device: guards levels and what goes to lines */
    uint8_t levels; /* of PIRQA to PIRQH */
    bool sci_level;
    Irq lines[ISA_IRQS], gsi[8];
    Irq smi, smi_all;
    uint32_t smi_enable, smi_status;
    uint32_t chipset[ICH9_RCBA_SIZE / 4]; /* RCBA registers that are plain memory */
    Tco tco;
    bool smm;                             /* property smm-enabled */
    FwCfg *fw_cfg;                        /* with the files of the SMI's features, or NULL */
    uint64_t smi_requested, smi_features; /* features that firmware wants; that it has */
    uint8_t smi_features_ok;              /* they were granted */
} Ich9Lpc;

/* The fw_cfg files etc/smi/..., by which OVMF asks that an SMI go to all processors. Where smm-enabled is off, or
 * fw_cfg is not there, nothing. Before the machine runs. */
bool ich9_lpc_add_smi_files(Ich9Lpc *lpc, FwCfg *fw_cfg, GError **err);

/* ICH9 SMBus: function 1f.3. */
typedef struct Ich9Smbus {
    PciDevice pci;
    Smbus smbus;
} Ich9Smbus;

extern const DeviceType ich9_lpc_type, ich9_smbus_type;

#endif
