/*
 * Floppy disk controller "isa-fdc" (82078) and its drives "floppy".
 *
 * The board makes the ISA bus and i8257_add_pair first, then isa-fdc on the ISA bus (device_new, device_realize).
 * Drives are -device floppy,unit=,drive= on its bus of kind "floppy-bus"; -fda and -drive if=floppy add them.
 * fdc_cmos_type is what byte 10h of the CMOS says of a drive.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_BLOCK_FDC_H
#define HW_BLOCK_FDC_H

#include "hw/block/disk_io.h"
#include "hw/dma/i8257.h"

#define FDC_DRIVES 2
#define FDC_BUFFER (36 * 2 * 512) /* a cylinder of 2.88 MB */

typedef struct Fdc Fdc;

typedef struct FloppyFormat {
    uint8_t tracks, heads, sectors, rate; /* rate: data rate select, 0: 500, 2: 250 (or 1: 300), 3: 1000 kbit/s */
    uint8_t cmos;                         /* of the drive that it is for */
} FloppyFormat;

typedef struct Floppy {
    Device dev;
    Fdc *fdc;
    BlockNode *drive;
    uint8_t unit_prop;
    unsigned drive_type; /* property */
    unsigned unit;
    uint32_t bootindex; /* UINT32_MAX: none */
    DiskIo io;
    BlockSlot *slot;
    const FloppyFormat *format; /* of the medium; NULL: none */
    uint8_t track, changed;
} Floppy;

struct Fdc {
    Device dev;
    GMutex lock;
    Bus *bus;
    Floppy *drives[FDC_DRIVES];
    Irq irq;
    I8257 *dma; /* NULL: none, so only programmed I/O */
    unsigned dma_channel;
    MemRegion ports, dir_port;
    uint32_t iobase, line, dma_prop;
    /* registers */
    uint8_t dor, tdr, rate, msr, level;
    uint8_t fifo[16], fifo_length, fifo_at; /* command or result bytes */
    uint8_t command, phase;
    uint8_t interrupts; /* SENSE INTERRUPTs that still answer for a reset */
    uint8_t st0;        /* of the last seek */
    uint8_t seek_done, specify[2], configure[2], perpendicular, lock_bit, last_sector;
    /* the transfer under way */
    uint8_t op, waiting, running, unit, cylinder, head, sector, eot, multi_track, filler, track_end;
    uint32_t length, position; /* bytes in buffer */
    uint8_t buffer[FDC_BUFFER];
};

extern const DeviceType isa_fdc_type, floppy_type;

/* The floppy controller of a machine, or NULL. */
Fdc *fdc_find(Machine *machine);
/* 0: no such drive, 1: 360K, 2: 1.2M, 3: 720K, 4: 1.44M, 5: 2.88M */
unsigned fdc_cmos_type(const Fdc *fdc, unsigned unit);

#endif
