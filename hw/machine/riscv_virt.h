/*
 * What the files of the RISC-V machine `virt` share: its memory map, interrupt numbers and parts (see riscv_virt.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_MACHINE_RISCV_VIRT_H
#define HW_MACHINE_RISCV_VIRT_H

#include "accel/vcpu.h"
#include "block/block.h"
#include "hw/core/machine.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/intc/riscv_aclint.h"
#include "hw/intc/riscv_aplic.h"
#include "hw/intc/riscv_imsic.h"
#include "hw/intc/sifive_plic.h"
#include "hw/pci/gpex.h"

typedef struct RiscvVirt {
    Machine machine;
    MemRegion ram, mrom;
    MemRegion node_ram[NUMA_NODES]; /* with -numa node,memdev=: what ram consists of */
    RiscvAclint *aclint;
    SifivePlic *plic;                /* NULL with aia */
    RiscvAplic *aplic[2];            /* of M, of S */
    void (*wire)(void *, int, bool); /* how a source's level is set ... */
    void *wire_opaque;               /* ... and whose: the PLIC's, the APLIC's */
    GpexHost *pci;
    FwCfg *fw_cfg;
    BlockNode *flash[2];             /* properties pflash0, pflash1 */
    unsigned acpi, aclint_mode, aia; /* properties: only what is there can be chosen */
    uint32_t aia_guests;
    uint64_t pci_high, pci_high_size; /* the 64-bit window for BARs */
    uint64_t kernel_entry, fdt_addr;
    bool dumped;
} RiscvVirt;

enum { ACLINT_OFF, ACLINT_ON };
enum { ACPI_AUTO, ACPI_ON, ACPI_OFF };
enum { AIA_NONE, AIA_APLIC, AIA_IMSIC };
enum {
    MROM,
    TEST,
    RTC,
    CLINT,
    SSWI,
    PCI_PIO,
    PLIC,
    APLIC_M,
    APLIC_S,
    UART0,
    VIRTIO,
    FW_CFG,
    FLASH,
    IMSIC_M,
    IMSIC_S,
    PCI_ECAM,
    PCI_MMIO,
    DRAM
};
typedef struct RiscvVirtRange {
    uint64_t base, size;
} RiscvVirtRange;
extern const RiscvVirtRange riscv_virt_map[];
enum { VIRTIO_IRQ = 1, VIRTIO_SLOTS = 8, UART0_IRQ = 10, RTC_IRQ = 11, PCI_IRQ = 32 };
enum { UART0_HZ = 3686400 };
enum { LEVEL_HIGH = 4 }; /* of an interrupt's specifier */

static inline RiscvVirt *riscv_virt(Machine *machine)
{
    return (RiscvVirt *)machine;
}
static inline CpuState *riscv_virt_cpu(Machine *machine, unsigned n)
{
    return ((Vcpu *)machine->vcpus->pdata[n])->state;
}

/* The device tree, in a new buffer; *size is what it takes. */
void *riscv_virt_make_fdt(RiscvVirt *v, uint64_t initrd, uint64_t initrd_size, uint64_t *size);
/* Offer ACPI tables to the firmware. The machine is complete but for what -device adds. */
bool riscv_virt_offer_acpi(RiscvVirt *v, GError **err);
#define RISCV_VIRT_FDT_ROOM (2u << 20) /* more than it ever takes */

#endif
