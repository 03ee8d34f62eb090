/*
 * ACPI tables of PCs: what they are made of (see pc_acpi.c). A description, not the machine: it can be made at any
 * time.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_MACHINE_X86_PC_ACPI_H
#define HW_MACHINE_X86_PC_ACPI_H

#include "hw/acpi/tables.h"
#include "hw/core/numa.h"

typedef enum PcBoard { PC_I440FX, PC_Q35, PC_MICROVM, PC_ISA } PcBoard;

#define PC_PM_BASE        0x600 /* where firmware puts the power management ports */
#define PC_SERIALS        4
#define PC_ECAM_BASE      UINT64_C(0xb0000000)
#define PC_ECAM_SIZE      UINT64_C(0x10000000)
#define PC_IOAPIC_BASE    UINT64_C(0xfec00000)
#define PC_HPET_BASE      UINT64_C(0xfed00000)
#define PC_LAPIC_BASE     UINT64_C(0xfee00000)
#define PC_GED_BASE       UINT64_C(0xfea00000)
#define PC_VIRTIO_BASE    UINT64_C(0xfeb00000)
#define PC_VIRTIO_SIZE    0x200
#define PC_SCI            9
#define PC_GED_IRQ        9
#define PC_HOTPLUG_I440FX 0xae00
#define PC_HOTPLUG_Q35    0x0cc0
#define PC_GPE_I440FX     0xafe0

typedef struct PcAcpiInfo {
    PcBoard board;
    const uint32_t *apic_ids; /* of cpus processors, by number */
    unsigned cpus;
    uint64_t ram_low, ram_high;   /* bytes below, and from 4 GiB on */
    uint64_t hole64, hole64_size; /* the 64-bit window for BARs */
    uint16_t pm_base;             /* where firmware has put the power management ports */
    bool hpet, i8042, rtc, floppy, parallel;
    bool s3, s4;        /* sleep states that the guest is told of */
    uint8_t s4_type;    /* what is written for S4 */
    bool hotplug;       /* PCI slots can be plugged through ports */
    bool irq0_override; /* the timer is input 2 of the I/O APIC */
    bool serial[PC_SERIALS];
    uint8_t floppy_types[2];           /* CMOS codes, 0: none */
    unsigned virtio_slots, virtio_irq; /* microvm */
    const Numa *numa;                  /* or NULL */
    const GPtrArray *extra;            /* GByteArray *: -acpitable; or NULL */
} PcAcpiInfo;

/* All tables, RSDP and script. */
AcpiFiles pc_acpi_make(const PcAcpiInfo *info);
/* The DSDT's byte code, for pc_acpi_make. */
GByteArray *pc_acpi_dsdt(const PcAcpiInfo *info);

#endif
