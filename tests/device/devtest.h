/*
 * Device tests: a machine without a CPU, driven by reads and writes. Everything here ends the test on failure.
 *
 *     DevMachine *m = devm_new();
 *     Uart *uart = devm_add(m, &uart_type, "prop=value,other=1");   (not realized before devm_realize)
 *     devm_realize(m, &uart->dev);
 *     DevIrq irq;  uart->irq = devirq_init(&irq);
 *     devm_map(m, &uart->mmio, 0x10000000);
 *     w8(m, 0x10000000, 'A');  g_assert_true(irq.level);
 *     devm_step(m, 1000);  devm_free(m);
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_DEVTEST_H
#define TESTS_DEVTEST_H

#include "hw/core/machine.h"

#define DEVM_RAM_BASE UINT64_C(0x80000000)
#define DEVM_RAM_SIZE (UINT64_C(16) << 20)

typedef struct DevMachine {
    bool busy; /* devm_busy */
    int64_t busy_time;
    Machine *machine;
    MemRegion ram;      /* DEVM_RAM_SIZE bytes at DEVM_RAM_BASE; not there in a machine of devm_build */
    uint64_t next_dma;  /* of devm_dma */
    GPtrArray *devices; /* Device * of devm_add that are not realized yet */
} DevMachine;

/* An empty machine with RAM, under the test accelerator. Virtual time stands at 0. */
DevMachine *devm_new(void);
/* A whole machine of this type for this guest under the test accelerator, not loaded; NULL if it cannot be built (err).
 */
DevMachine *devm_build(const MachineType *type, const char *target, GError **err);
void devm_free(DevMachine *m);

/* A device with properties ("key=value,...", may be NULL). Cast the result to its struct. */
void *devm_add(DevMachine *m, const DeviceType *type, const char *props);
/* Realize it without a bus, and reset it. Its failure ends the test. */
void devm_realize(DevMachine *m, void *dev);
/* What -device does. */
Device *devm_device_add(DevMachine *m, const char *text, GError **err);
/* A device of this type, with what it cannot do without: a drive (of zeros), a bus. */
Device *devm_device_add_type(DevMachine *m, const char *type, GError **err);
/* Whether devm_device_add_type finds a bus for it. */
bool devm_takes_type(const DevMachine *m, const DeviceType *type);
/* Place a region in the machine's memory. */
void devm_map(DevMachine *m, MemRegion *region, uint64_t addr);
/* Device functions are called under the machine lock: so must a test that calls them directly. */
#define DEVM_LOCKED(m, ...)           \
    do {                              \
        machine_lock((m)->machine);   \
        __VA_ARGS__;                  \
        machine_unlock((m)->machine); \
    } while (0)

/* Accesses that must succeed. */
uint8_t r8(DevMachine *m, uint64_t addr);
uint16_t r16(DevMachine *m, uint64_t addr);
uint32_t r32(DevMachine *m, uint64_t addr);
uint64_t r64(DevMachine *m, uint64_t addr);
void w8(DevMachine *m, uint64_t addr, uint8_t value);
void w16(DevMachine *m, uint64_t addr, uint16_t value);
void w32(DevMachine *m, uint64_t addr, uint32_t value);
void w64(DevMachine *m, uint64_t addr, uint64_t value);
/* Accesses that must be refused. */
void bad_read(DevMachine *m, uint64_t addr, unsigned size);
void bad_write(DevMachine *m, uint64_t addr, unsigned size, uint64_t value);

/* The same of ports. */
uint32_t in(DevMachine *m, uint16_t port, unsigned size);
void out(DevMachine *m, uint16_t port, unsigned size, uint32_t value);

/* Guest RAM for DMA, zeroed, aligned; never reused. Returns its guest address. */
uint64_t devm_dma(DevMachine *m, uint64_t size, uint64_t align);
void devm_put(DevMachine *m, uint64_t addr, const void *data, size_t len);
void devm_get(DevMachine *m, uint64_t addr, void *data, size_t len);

/* Advance virtual time, firing timers. */
void devm_step(DevMachine *m, int64_t ns);
/* From now on (before any timer is armed) a microsecond passes between any two looks at virtual time, as on a host that
 * is so busy that it takes the processor away anywhere. */
void devm_busy(DevMachine *m);
/* Reset the whole machine (without its vCPUs). */
void devm_reset(DevMachine *m);
/* Run the main loop's pending work, until done (may be NULL: until nothing is pending) or after a second fail. */
void devm_poll(bool (*done)(void *opaque), void *opaque);

/* An interrupt input that remembers. */
typedef struct DevIrq {
    bool level;
    unsigned rises, falls;
} DevIrq;
Irq devirq_init(DevIrq *irq);

/* ---- over all devices of a machine ---- */

/* Call fn for each device, parents first. */
void devm_foreach(DevMachine *m, void (*fn)(Device *dev, void *opaque), void *opaque);
/* Save dev, load it into twin, compare what both save. */
void devm_check_twin(Device *dev, Device *twin);
/* Every byte of the type's struct is in a state list, a property, or padding (whose bytes in dev are zero). */
void devm_check_covered(const Device *dev);
/* count random accesses, of all sizes, near and on registers, to every I/O region of all address spaces. */
void devm_fuzz(DevMachine *m, GRand *rand, unsigned count);

/* Two machines alike: random accesses to the first; each device's state moves to the second; every byte of the structs
 * is accounted for; reset brings back the state of the first reset. */
void devm_check_machines(DevMachine *m, DevMachine *twin);

#endif
