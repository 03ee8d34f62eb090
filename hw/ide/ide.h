/*
 * ATA and ATAPI drives (ATA8-ACS, INCITS 452; ATA/ATAPI-6 for PATA signals and CHS) and the bus between them and their
 * controller.
 *
 * A controller embeds an IdeBus for each channel or port and gives it an IdeHost. Everything of a bus and its drives
 * belongs to the bus's lock, not to the machine lock: registers are lock-free regions, completions come on the drives'
 * threads (hw/block/disk_io.h). A command has one of three data phases: a reply from the drive's buffer, bytes
 * received into it, or a transfer between medium and guest. PATA hosts do them by PIO or by bus-master DMA as the
 * command says; a host with all_dma (AHCI) always moves bytes itself.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_IDE_IDE_H
#define HW_IDE_IDE_H

#include "hw/block/disk_io.h"

#define IDE_BUFFER         65536
#define IDE_SECTOR         512
#define IDE_CD_SECTOR      2048
#define IDE_CD_RAW         2352
#define IDE_BUFFER_SECTORS (IDE_BUFFER / IDE_SECTOR)

/* Status and error registers (ATA/ATAPI-6, 7.15 and 7.9) */
enum { IDE_ERR = 0x01, IDE_DRQ = 0x08, IDE_DSC = 0x10, IDE_DF = 0x20, IDE_DRDY = 0x40, IDE_BSY = 0x80 };
enum { IDE_ABRT = 0x04, IDE_IDNF = 0x10, IDE_UNC = 0x40 };
enum { IDE_CTL_NIEN = 0x02, IDE_CTL_SRST = 0x04, IDE_CTL_HOB = 0x80 };
enum { IDE_DEV_LBA = 0x40, IDE_DEV_DRIVE1 = 0x10 };
enum { IDE_CD = 1, IDE_IO = 2 }; /* interrupt reason */

typedef struct IdeBus IdeBus;
typedef struct IdeDrive IdeDrive;

/* Guest memory of the command under way: called with the lock, on any thread. */
typedef struct IdeHost {
    void (*irq)(IdeBus *bus, bool level); /* INTRQ */
    /* DMA can go on now; PATA: the bus master is started. A host that says no calls ide_dma_go later. */
    bool (*dma_ready)(IdeBus *bus, bool to_memory);
    /* Map the next want bytes or fewer, in at most max segments (*count); *failed: there is no RAM. Nothing moves on
     * before dma_advance. */
    uint32_t (*dma_map)(IdeBus *bus, struct iovec *iov, unsigned max, unsigned *count, uint32_t want, bool to_memory,
                        bool *failed);
    void (*dma_advance)(IdeBus *bus, uint32_t bytes);
    /* The DMA data phase is over; short_list: the guest's list ended too early; failed: there was no RAM. */
    void (*dma_end)(IdeBus *bus, bool short_list, bool failed);
    /* Hosts with all_dma: the 12 or 16 bytes of an ATAPI command; the command is complete (status, error). */
    void (*packet)(IdeBus *bus, uint8_t *bytes);
    void (*complete)(IdeBus *bus);
    void (*ready)(IdeBus *bus); /* on the drive's thread: start more; may be NULL */
    bool all_dma;
} IdeHost;

struct IdeBus {
    Bus *bus;
    const IdeHost *host;
    void *opaque; /* the controller's */
    GMutex *lock;
    unsigned index;  /* among the controller's */
    unsigned number; /* in the controller's machine: default serial numbers */
    IdeDrive *drives[2];
    uint8_t select; /* device register's DEV bit: who answers */
    uint8_t control;
    uint8_t intrq; /* a drive asserts it, though nIEN may hide it */
};

/* What a drive does with its medium, and the data phase of its command. */
enum { IDE_OP_NONE, IDE_OP_READ, IDE_OP_WRITE, IDE_OP_VERIFY, IDE_OP_FLUSH, IDE_OP_TRIM };
enum { IDE_PHASE_NONE, IDE_PHASE_REPLY, IDE_PHASE_RECEIVE, IDE_PHASE_MEDIUM };

typedef struct IdeRegs {
    uint16_t feature, count, low, mid, high; /* low byte: current; high byte: previous (48-bit commands) */
    uint8_t device, error, status, command;
} IdeRegs;

struct IdeDrive {
    Device dev;
    IdeBus *ide;
    BlockNode *drive;
    char *serial, *model, *version;
    uint8_t unit_prop; /* 255: the first that is free */
    uint64_t wwn;
    uint32_t logical_block_size, physical_block_size, rotation_rate;
    uint32_t cylinders, heads, sectors;
    uint32_t bootindex; /* UINT32_MAX: none */
    DiskIo io;
    BlockSlot *slot;
    unsigned unit;
    bool is_cd;
    /* registers */
    IdeRegs regs;
    uint8_t multiple; /* sectors of a DRQ block of READ MULTIPLE; 0: off */
    uint8_t dma_mode; /* of SET FEATURES 03h */
    uint8_t write_cache, look_ahead, smart_on;
    uint16_t current_heads, current_sectors; /* INITIALIZE DEVICE PARAMETERS */
    uint64_t visible;                        /* sectors: SET MAX ADDRESS */
    /* the command under way */
    uint8_t phase, op, dma, waiting, running, lba48, after;
    uint8_t fua;        /* this write is to be on the disk when it is done */
    uint8_t ncq_failed; /* 80h: none; else the tag of the queued command that failed: log 10h */
    uint8_t raw;        /* CD: what READ CD wants of a sector: 2352 bytes */
    uint32_t left;      /* sectors of the medium to do */
    uint64_t lba;
    uint32_t position, length, block; /* in buffer: next byte of PIO, end, bytes of a DRQ block */
    uint32_t block_end;
    uint32_t range; /* TRIM: next of the buffer's */
    /* ATAPI */
    uint8_t packet[16];
    uint8_t sense, asc, ascq, tray_open, locked, media_event, eject_event, attention;
    uint16_t byte_limit;
    uint8_t buffer[IDE_BUFFER];
};

/* ---- the bus (core.c) ---- */
/* Make bus n of owner; its name is "ID.n" of owner's id, or ide.N with the next N of the machine. drives: 1 or 2. */
void ide_bus_init(IdeBus *ide, Device *owner, unsigned n, unsigned drives, GMutex *lock, const IdeHost *host,
                  void *opaque);
/* Signatures and all: power-on of the bus. With its lock; its drives' own reset does the rest. */
void ide_bus_reset(IdeBus *ide);
void ide_lock(IdeBus *ide);
void ide_unlock(IdeBus *ide); /* and wakes drives that have work */
/* Without the lock: nothing of the bus's drives is under way from pause to resume. */
void ide_pause(IdeBus *ide);
void ide_resume(IdeBus *ide);

/* ---- PATA's registers (pata.c): command block (8 ports), control block (1 port). Lock-free regions. ---- */
void ide_ports_init(IdeBus *ide, Device *owner, MemRegion *command, MemRegion *control);

/* ---- for hosts, with the lock ---- */
IdeDrive *ide_selected(IdeBus *ide);    /* or NULL */
void ide_execute(IdeDrive *d);          /* the command in its registers */
void ide_dma_go(IdeBus *ide);           /* the host is ready for DMA */
bool ide_dma_active(const IdeBus *ide); /* a drive is in a DMA data phase */
void ide_cancel(IdeDrive *d);           /* forget the command; while the bus is paused */
void ide_signature(IdeDrive *d);        /* registers after a reset */
void ide_soft_reset(IdeDrive *d);

/* Geometry for a PC's firmware: false if there is no disk. */
bool ide_geometry(const IdeBus *ide, unsigned unit, unsigned *cylinders, unsigned *heads, unsigned *sectors);
/* The bus of this kind with this name ("ide.0") and its drive, or NULL. */
IdeBus *ide_bus_find(Machine *machine, const char *name);

extern const DeviceType ide_hd_type, ide_cd_type;

#endif
