/*
 * What the host bridges of PCs share: configuration by ports cf8 and cfc, the reset control register cf9, shadow RAM
 * (PAM) and system management RAM. hw/pci/i440fx.h and hw/pci/q35.h are the two.
 *
 *     PcHost *host = device_new(machine, &i440fx_host_type);   device_realize(host, NULL, err)
 * with machine->ram set up: RAM at 0 is the start of machine->ram, placed in machine->root by the board with priority
 * 0. The bridge itself places, in machine->root, the PCI memory (host->memory, priority -1: what the board adds to it
 * lies behind RAM: the firmware's ROM, VGA at 0xa0000) and the PAM and SMRAM parts; in machine->io_root its ports.
 * Functions are added to host->pci.bus. BARs in I/O space are ports of machine->io_root.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_PC_HOST_H
#define HW_PCI_PC_HOST_H

#include "hw/pci/pci.h"

#define PAM_REGISTERS 7
#define PAM_AREAS     13 /* 16 KiB each from 0xc0000, and 64 KiB at 0xf0000 */

typedef struct PcHost PcHost;

typedef struct PamArea {
    MemRegion views[4]; /* by mode, one enabled: PCI, RAM read-only, reads of PCI and writes to RAM, RAM */
    uint32_t base;
    PcHost *host;
} PamArea;

struct PcHost {
    Device dev;
    PciBus pci;
    MemRegion memory; /* PCI's memory space; legacy: nothing of 0xa0000 to 0xfffff is RAM */
    MemRegion legacy;
    AddressSpace pci_space; /* the same, for reads behind RAM */
    MemRegion config_address, config_data;
    uint32_t address;                     /* port cf8 */
    uint8_t reset_control;                /* port cf9 */
    uint8_t pam_registers[PAM_REGISTERS]; /* as they were set last */
    PamArea pam[PAM_AREAS];
    /* System management: smm is what x86_set_smm_space wants. smram_open shows the RAM behind VGA to everybody,
     * tseg_hole hides the TSEG from all but it. */
    AddressSpace smm;
    MemRegion smm_root, smm_memory, smm_low, smm_high, smm_tseg, vga, smram_open, tseg_hole;
    PciDevice *function; /* 00.0 */
};

/* For the bridges: bus_name "pci.0"; function_type becomes 00.0. */
bool pc_host_realize(PcHost *host, const char *bus_name, const DeviceType *function_type, GError **err);
void pc_host_unrealize(PcHost *host);
/* The host bridge that a function sits behind. */
PcHost *pc_host_of(PciDevice *function);
/* registers: PAM0 to PAM6, of function 00.0. A reset: they keep what they were where the guest wakes from a sleep, as
 * firmware expects of the reference, whose copy of itself in shadow RAM knows how to go on. */
void pc_host_reset_pam(PcHost *host, uint8_t registers[PAM_REGISTERS]);
void pc_host_set_pam(PcHost *host, const uint8_t registers[PAM_REGISTERS]);
/* The 128 KiB behind VGA: seen by SMM; by everybody; and at 0xfeda0000 by SMM. TSEG: at base, size bytes (0: none). */
void pc_host_set_smram(PcHost *host, bool smm, bool open, bool high, uint64_t tseg_base, uint64_t tseg_size);
extern const DeviceType pc_host_type; /* parent of the bridges */

#endif
