/*
 * Serial ATA AHCI 1.3 host bus adapter: "ich9-ahci" (8086:2922) and "ahci", six ports, a drive each.
 *
 * q35 makes it at 1f.2: device_new(machine, &ich9_ahci_type), addr=1f.2, multifunction=on as its neighbours,
 * device_realize on the PCI bus. Buses ide.0 to ide.5 where the device has no id, else ID.0 to ID.5.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_IDE_AHCI_H
#define HW_IDE_AHCI_H

#include "hw/ide/ide.h"
#include "hw/pci/pci.h"

#define AHCI_PORTS 6
#define AHCI_SLOTS 32

typedef struct Ahci Ahci;

/* Where a command's list of physical regions is read. */
typedef struct AhciCursor {
    uint64_t table;
    uint32_t entries, index, offset; /* next byte: offset in entry index */
} AhciCursor;

typedef struct AhciNcq {
    AhciCursor cursor;
    uint64_t lba;
    uint32_t left;
    uint8_t write, fua;
} AhciNcq;

typedef struct AhciPort {
    Ahci *hba;
    IdeBus ide;
    uint32_t command_list[2], fis_base[2]; /* low, high */
    uint32_t is, ie, cmd, tfd, sig, sctl, serr, sact, ci;
    uint32_t running;  /* queued commands that the drive has */
    uint8_t slot;      /* of the other kind of command, or AHCI_SLOTS */
    uint8_t failed;    /* nothing is started until PxCMD.ST is cleared */
    uint8_t in_reset;  /* software reset: SRST was set */
    uint8_t pio_reply; /* the command under way sends PIO data */
    uint32_t moved;    /* bytes of the command under way */
    AhciCursor cursor;
    AhciNcq ncq[AHCI_SLOTS];
} AhciPort;

struct Ahci {
    PciDevice pci;
    GMutex lock; /* of the ports and their drives */
    MemRegion mmio, idp;
    uint32_t ghc, is, idp_index;
    unsigned msi_cap;
    AhciPort ports[AHCI_PORTS];
};

extern const DeviceType ahci_type, ich9_ahci_type;

#endif
