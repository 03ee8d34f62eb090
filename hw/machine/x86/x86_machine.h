/*
 * What the PCs and microvm share: RAM around the hole below 4 GiB, processors with their local APICs, firmware or none,
 * fw_cfg, and what happens at a reset (see x86_machine.c, x86_load.c, bootorder.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_MACHINE_X86_X86_MACHINE_H
#define HW_MACHINE_X86_X86_MACHINE_H

#include "accel/vcpu.h"
#include "block/block.h"
#include "hw/core/machine.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/firmware/pflash_cfi01.h"
#include "hw/intc/apic.h"
#include "hw/intc/gsi.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/isa/isa.h"
#include "hw/machine/x86/boot.h"
#include "hw/machine/x86/pc_acpi.h"
#include "hw/pci/pci.h"
#include "hw/timer/mc146818.h"

#define X86_CPUS_MAX 288
enum { SWITCH_AUTO, SWITCH_ON, SWITCH_OFF };

typedef struct X86Machine {
    Machine machine;
    PcBoard board;
    uint64_t ram_low, ram_high; /* bytes below and from 4 GiB on */
    uint64_t max_ram_below_4g;  /* property; 0: the board's own limit */
    uint64_t pci_hole64;        /* bytes of the 64-bit window, at least */
    unsigned acpi;              /* property: SWITCH_* */
    BlockNode *flash_drive[2];  /* properties pflash0, pflash1 */
    MemRegion ram, low, high;   /* all of it; its parts where the guest sees them */
    MemRegion bios, isa_bios;
    MemRegion *rom_space;         /* where ROM lies: the host bridge's memory, or, without shadow RAM, the machine's */
    const MemRegion *copied_bios; /* what x86_copy_bios copies, or NULL */
    PflashCfi01 *flash[2];
    uint32_t apic_ids[X86_CPUS_MAX]; /* by CPU */
    ApicHub *hub;
    I8259 *pic;
    IoApic *ioapic;
    Gsi gsi;
    FwCfg *fw_cfg;
    Mc146818 *rtc; /* or NULL */
    PciBus *pci;   /* or NULL */
    bool serial[PC_SERIALS];
    uint64_t facs;     /* where the direct start has put the table of the waking vector; 0: there is none */
    bool direct;       /* the kernel starts without firmware */
    bool booted_once;  /* -boot once= has been used */
    bool has_rom_bios; /* firmware is that of -bios or the default one */
    /* The board's part of what ACPI tables say. */
    void (*describe)(struct X86Machine *x, PcAcpiInfo *info);
    /* Without firmware: do what it does to the chips before a kernel starts. */
    void (*set_up)(struct X86Machine *x);
} X86Machine;

static inline X86Machine *x86_machine(Machine *machine)
{
    return (X86Machine *)machine;
}

/* ---- building, in this order; machine lock held ---- */
/* Make a device that is placed by its machine. NULL and *err. */
void *x86_place(X86Machine *x, const DeviceType *type, Bus *bus, const char *props, GError **err);
/* RAM: all below split if it fits, else up to hole, the rest from 4 GiB on. */
bool x86_add_ram(X86Machine *x, uint64_t split, uint64_t hole, GError **err);
/* fw_cfg's ports. */
bool x86_add_fw_cfg(X86Machine *x, GError **err);
/* Local APICs' hub; processors with their local APICs. */
bool x86_add_hub(X86Machine *x, GError **err);
bool x86_add_cpus(X86Machine *x, GError **err);
/* Firmware: pflash, -bios, or this file of Debian's packages. rom_space is set. */
bool x86_add_firmware(X86Machine *x, const char *name, GError **err);
/* Of -serial, on the machine's ISA bus. */
bool x86_add_serials(X86Machine *x, Bus *isa, GError **err);
void x86_set_a20_all(void *machine, int n, bool level);

/* I/O APIC and 8259 pair, if there are such, behind the GSIs. After all devices: resets come in this order, and devices
 * let go of their lines in theirs. */
bool x86_add_interrupts(X86Machine *x, bool pic, bool ioapic, GError **err);

/* ---- at each reset ---- */
bool x86_load(Machine *machine, GError **err);
/* On machines without shadow RAM: the firmware's end below 1 MiB. */
bool x86_copy_bios(X86Machine *x, GError **err);
/* fw_cfg's "bootorder". first: what comes before all devices, or NULL. NULL and *err: an index is used twice. */
char *x86_boot_order(Machine *machine, const char *first, bool strict, GError **err);

#define X86_PROPS(Type)                                                                                          \
    PROP(Type, DRIVE, "pflash0", x.flash_drive[0], .help = "drive with firmware"),                               \
        PROP(Type, DRIVE, "pflash1", x.flash_drive[1], .help = "drive with its variables"),                      \
        PROP(Type, SIZE, "max-ram-below-4g", x.max_ram_below_4g, .help = "where RAM below 4 GiB ends, at most"), \
        PROP(Type, ENUM, "acpi", x.acpi, .names = x86_switch_names, .help = "ACPI tables")
extern const char *const x86_switch_names[]; /* auto, on, off */

#endif
