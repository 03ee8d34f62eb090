/*
 * A virtio driver for tests: it finds one device on virtio-mmio or virtio-pci, negotiates, and keeps split or packed
 * rings, as a guest's driver does. It sees the device only through registers and guest memory.
 *
 *     Driver *d = driver_new(TRANSPORT_PCI_MSIX, "virtio-rng", "");
 *     driver_start(d, DRIVER_ALL, 8);              (all features that are offered; queues of 8)
 *     Seg seg = { addr, 64, true };
 *     uint16_t id = dq_add(&d->q[0], &seg, 1, false);
 *     dq_kick(&d->q[0]);  dq_wait(&d->q[0], &len);  driver_free(d);
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_VDRIVER_H
#define TESTS_VDRIVER_H

#include "devtest.h"
#include "hw/pci/gpex.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio_mmio.h"

typedef enum { TRANSPORT_MMIO, TRANSPORT_PCI, TRANSPORT_PCI_MSIX } Transport;

#define DRIVER_MMIO_BASE   UINT64_C(0x10001000)
#define DRIVER_ECAM_BASE   UINT64_C(0x30000000)
#define DRIVER_WINDOW_BASE UINT64_C(0x40000000)
#define DRIVER_WINDOW_SIZE UINT64_C(0x20000000)
#define DRIVER_ALL         UINT64_MAX
#define DRIVER_QUEUE_MAX   256
#define DRIVER_TABLE_MAX   64 /* descriptors of an indirect table */
#define DRIVER_TIMEOUT_US  (120 * G_USEC_PER_SEC)

typedef struct Driver Driver;

/* A part of a buffer; in: the device writes it. */
typedef struct Seg {
    uint64_t addr;
    uint32_t len;
    bool in;
} Seg;

typedef struct DriverQueue {
    Driver *d;
    unsigned index;
    uint16_t size;
    uint64_t desc, avail, used, tables; /* guest addresses; of a packed ring: ring, driver area, device area */
    uint16_t next_avail, next_used;     /* split: counting up; packed: slot */
    bool avail_wrap, used_wrap;
    uint16_t free_count, free[DRIVER_QUEUE_MAX]; /* free descriptors (split), buffer ids (packed) */
    uint16_t slots[DRIVER_QUEUE_MAX];            /* by id: entries that it holds */
    uint16_t links[DRIVER_QUEUE_MAX];            /* split, by descriptor: the next one */
    unsigned packed_room;                        /* packed: free entries */
    uint16_t kicked;                             /* split: next_avail at the last kick; packed: entries since */
    unsigned kicks;                              /* doorbells rung */
} DriverQueue;

struct Driver {
    DevMachine *m;
    Transport transport;
    VirtioMmio *mmio;
    GpexHost *host;
    unsigned slot;                                 /* PCI device << 3 */
    uint64_t common, doorbell, isr, config, table; /* guest addresses of the areas; table: MSI-X */
    uint32_t doorbell_step;
    unsigned vectors;  /* MSI-X: how many there are */
    uint64_t messages; /* MSI-X: a word in RAM for each vector */
    DevIrq irq;        /* mmio: the line; pci: any of the four */
    unsigned lines;    /* pci: those that are up */
    uint64_t features; /* accepted */
    DriverQueue q[VIRTIO_QUEUES];
};

/* A machine with one device NAME-device or NAME-pci (props: ",key=value..." or ""). */
Driver *driver_new(Transport transport, const char *name, const char *props);
void driver_free(Driver *d);
/* Reset, negotiate features & offered, set up all queues with at most size entries, DRIVER_OK. */
void driver_start(Driver *d, uint64_t features, unsigned size);
/* The steps of it. */
uint64_t driver_offered(Driver *d);
bool driver_negotiate(Driver *d, uint64_t features); /* resets first; false: FEATURES_OK does not stay */
void driver_setup_queue(Driver *d, unsigned index, unsigned size);
void driver_ready(Driver *d, unsigned index, bool ready);
uint8_t driver_status(Driver *d);
void driver_set_status(Driver *d, uint8_t status);
void driver_accept(Driver *d, uint64_t features);
void driver_select(Driver *d, unsigned index);
unsigned driver_queue_max(Driver *d, unsigned index); /* 0: not there */
void driver_set_size(Driver *d, unsigned size);       /* of the selected queue */
void driver_set_areas(Driver *d, uint64_t desc, uint64_t avail, uint64_t used);
void driver_notify(Driver *d, unsigned index);
uint64_t driver_config_addr(const Driver *d, unsigned offset);

/* Interrupts: how many were raised since the last call (lines: acknowledged by reading ISR). vector: MSI-X only. */
bool driver_irq(Driver *d, unsigned vector);
bool driver_wait_irq(Driver *d, unsigned vector); /* with a deadline; false: none came */
uint32_t driver_ack(Driver *d);                   /* read (and acknowledge) the interrupt status */

/* Make a buffer available; returns its id, or -1 if there is no room. indirect: through a table. */
int dq_add(DriverQueue *q, const Seg *segs, unsigned count, bool indirect);
/* Ring the doorbell if the device wants it. */
bool dq_kick(DriverQueue *q);
/* The next used buffer's id, or -1. */
int dq_take(DriverQueue *q, uint32_t *len);
int dq_wait(DriverQueue *q, uint32_t *len);
/* Interrupts: never; or (event index) when count more buffers are used; or (without it) for each. */
void dq_no_interrupts(DriverQueue *q);
void dq_interrupt_after(DriverQueue *q, unsigned count);

/* After a reset of the machine: find the device once more, program BARs and MSI-X. */
void driver_probe(Driver *d);
/* A descriptor at any address; third and fourth are its last two fields. */
void driver_put_desc(const Driver *d, uint64_t at, const Seg *seg, uint16_t third, uint16_t fourth);

/* Host memory of guest RAM. */
uint8_t *driver_ram(const Driver *d, uint64_t addr);

#endif
