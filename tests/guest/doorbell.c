/*
 * A driver of a virtio entropy device (VIRTIO 1.2, 4.1 and 5.4) in a ROM, for doorbell_test.py: doorbells of each size,
 * the device's interrupts by MSI-X (masked and not, moved to another place in memory) and by its pin, and what a
 * doorbell costs. Writes "ok NAME", "not ok NAME: ..." and "least NAME CYCLES" to port 0xe9 and ends by port 0xf4. It
 * has no variables but in RAM at fixed places.
 * SPDX-License-Identifier: MIT
 */
#include <stdint.h>

#define REG8(at)  (*(volatile uint8_t *)(at))
#define REG16(at) (*(volatile uint16_t *)(at))
#define REG32(at) (*(volatile uint32_t *)(at))
#define COUNT     REG32(0x1000)

enum { RING = 0x2000, DESCRIPTORS = RING, DRIVER = RING + 0x100, DEVICE = RING + 0x200, NUMBERS = 0x3000, SIZE = 8 };
enum { BARS = 0xfe000000u, APIC = 0xfee00000u, IOAPIC = 0xfec00000u, VECTOR = 0x40, PIN = 10 };
enum { COMMON = 1, NOTIFY, ISR, NO_VECTOR = 0xffff };
enum { BLOCKS = 400, BLOCK = 16, REQUESTS = 30 };

void main(void);
void wait_interrupt(uint32_t seen);
void let_interrupts(void);

typedef struct Device {
    uint32_t address, common, isr, doorbell, table;
    unsigned msix;
    uint16_t available;
} Device;

/* ---- ports, output ---- */

static void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static void put(const char *s)
{
    while (*s)
        outb(0xe9, (uint8_t)*s++);
}

static void put_number(uint32_t v)
{
    if (v >= 10)
        put_number(v / 10);
    outb(0xe9, (uint8_t)('0' + v % 10));
}

static void check(const char *name, uint32_t got, uint32_t wanted)
{
    put(got == wanted ? "ok " : "not ok ");
    put(name);
    if (got != wanted) {
        put(": ");
        put_number(got);
        put(", not ");
        put_number(wanted);
    }
    put("\n");
}

/* ---- PCI ---- */

static uint32_t pci_read(uint32_t function, unsigned at)
{
    outl(0xcf8, 0x80000000u | function << 8 | (at & 0xfc));
    return inl(0xcfc);
}

static void pci_write(uint32_t function, unsigned at, uint32_t value)
{
    outl(0xcf8, 0x80000000u | function << 8 | (at & 0xfc));
    outl(0xcfc, value);
}

static uint32_t find(uint32_t id, uint32_t other)
{
    for (uint32_t function = 0; function < 256; function++) {
        uint32_t is = pci_read(function, 0);
        if (is == id || is == other)
            return function;
    }
    return 0;
}

/* Memory BARs at 64 KiB each from base on. */
static void place(Device *d, uint32_t base)
{
    uint32_t notify = 0, multiplier = 0;
    pci_write(d->address, 4, 0);
    for (unsigned n = 0; n < 6; n++) {
        uint32_t bar = pci_read(d->address, 0x10 + 4 * n);
        if (bar & 1)
            continue;
        pci_write(d->address, 0x10 + 4 * n, base + n * 0x10000);
        if ((bar & 6) == 4)
            pci_write(d->address, 0x10 + 4 * ++n, 0);
    }
    pci_write(d->address, 4, 6);
    d->msix = 0;
    for (unsigned at = pci_read(d->address, 0x34) & 0xfc; at; at = pci_read(d->address, at) >> 8 & 0xfc) {
        uint32_t head = pci_read(d->address, at), table = pci_read(d->address, at + 4);
        uint32_t where = base + (table & 7) * 0x10000 + pci_read(d->address, at + 8);
        if ((head & 0xff) == 0x11) {
            d->msix = at;
            d->table = base + (table & 7) * 0x10000 + (table & ~7u);
        } else if ((head & 0xff) == 9 && head >> 24 == COMMON) {
            d->common = where;
        } else if ((head & 0xff) == 9 && head >> 24 == ISR) {
            d->isr = where;
        } else if ((head & 0xff) == 9 && head >> 24 == NOTIFY) {
            notify = where;
            multiplier = pci_read(d->address, at + 16);
        }
    }
    REG16(d->common + 0x16) = 0;
    d->doorbell = notify + REG16(d->common + 0x1e) * multiplier;
}

/* ---- the device ---- */

static void start(Device *d, uint16_t vector)
{
    REG8(d->common + 0x14) = 0;
    while (REG8(d->common + 0x14))
        ;
    for (uint32_t at = RING; at < RING + 0x300; at += 4)
        REG32(at) = 0;
    d->available = 0;
    REG8(d->common + 0x14) = 3;
    REG32(d->common + 0x08) = 1;
    REG32(d->common + 0x0c) = 1; /* VIRTIO_F_VERSION_1 */
    REG8(d->common + 0x14) = 3 | 8;
    REG16(d->common + 0x16) = 0;
    REG16(d->common + 0x18) = SIZE;
    REG16(d->common + 0x1a) = vector;
    REG32(d->common + 0x20) = DESCRIPTORS;
    REG32(d->common + 0x24) = 0;
    REG32(d->common + 0x28) = DRIVER;
    REG32(d->common + 0x2c) = 0;
    REG32(d->common + 0x30) = DEVICE;
    REG32(d->common + 0x34) = 0;
    REG16(d->common + 0x1c) = 1;
    REG8(d->common + 0x14) = 3 | 8 | 4;
    REG32(DESCRIPTORS) = NUMBERS;
    REG32(DESCRIPTORS + 8) = 16;
    REG16(DESCRIPTORS + 12) = 2;
}

static void give(Device *d)
{
    REG16(DRIVER + 4 + 2 * (d->available % SIZE)) = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    REG16(DRIVER + 2) = ++d->available;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void answered(const Device *d)
{
    while (REG16(DEVICE + 2) != d->available)
        __asm__ volatile("pause");
}

/* Requests that are rung for by a write of size bytes, one after another. */
static void test_polled(Device *d, const char *name, unsigned size)
{
    start(d, NO_VECTOR);
    REG16(DRIVER) = 1; /* no interrupts, please */
    for (unsigned n = 0; n < REQUESTS; n++) {
        give(d);
        if (size == 1)
            REG8(d->doorbell) = 0;
        else if (size == 2)
            REG16(d->doorbell) = 0;
        else
            REG32(d->doorbell) = 0;
        answered(d);
    }
    check(name, d->available, REQUESTS);
}

static void test_interrupts(Device *d, const char *name, uint16_t vector)
{
    start(d, vector);
    COUNT = 0;
    for (unsigned n = 1; n <= REQUESTS; n++) {
        give(d);
        REG16(d->doorbell) = 0;
        while (COUNT != n)
            wait_interrupt(n - 1);
        if (vector == NO_VECTOR) {
            REG8(d->isr); /* it goes low, and the I/O APIC may say so again */
            REG32(IOAPIC) = 0x10 + 2 * PIN;
        }
        answered(d);
        if (COUNT != n)
            COUNT = n;
    }
    check(name, COUNT, REQUESTS);
}

static void set_vector(const Device *d, uint32_t data, uint32_t control)
{
    REG32(d->table) = APIC;
    REG32(d->table + 4) = 0;
    REG32(d->table + 8) = data;
    REG32(d->table + 12) = control;
}

static void breathe(void)
{
    for (unsigned n = 0; n < 2000; n++)
        inl(0xcf8);
    let_interrupts();
}

static void test_masked(Device *d)
{
    start(d, 0);
    COUNT = 0;
    set_vector(d, VECTOR, 1);
    give(d);
    REG16(d->doorbell) = 0;
    answered(d);
    breathe();
    check("MSI-X: nothing comes while it is masked", COUNT, 0);
    set_vector(d, VECTOR, 0);
    wait_interrupt(0);
    check("MSI-X: it comes after", COUNT, 1);
    breathe();
    check("MSI-X: once", COUNT, 1);
}

/* Another message of the vector: at once with it masked, and without. */
static void test_changed(Device *d)
{
    start(d, 0);
    for (unsigned masked = 0; masked < 2; masked++) {
        COUNT = 0;
        set_vector(d, VECTOR + !masked, masked);
        set_vector(d, VECTOR + !masked, 0);
        give(d);
        REG16(d->doorbell) = 0;
        wait_interrupt(0);
        answered(d);
        breathe();
        check(masked ? "MSI-X: changed back while masked" : "MSI-X: changed", COUNT, masked ? 1 : 100);
    }
}

/* ---- what it costs ---- */

static uint32_t cycles(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low;
}

static void measure(Device *d)
{
    uint32_t least = ~0u;
    start(d, NO_VECTOR);
    for (unsigned block = 0; block < BLOCKS; block++) {
        uint32_t from = cycles();
        for (unsigned n = 0; n < BLOCK; n++)
            REG16(d->doorbell) = 0;
        uint32_t took = (cycles() - from) / BLOCK;
        least = took < least ? took : least;
    }
    put("least doorbell ");
    put_number(least);
    put("\n");
    least = ~0u;
    REG16(DRIVER) = 1;
    for (unsigned n = 0; n < BLOCKS; n++) {
        give(d);
        uint32_t from = cycles();
        REG16(d->doorbell) = 0;
        answered(d);
        uint32_t took = cycles() - from;
        least = took < least ? took : least;
    }
    put("least answer ");
    put_number(least);
    put("\n");
}

void main(void)
{
    Device d = { .address = find(0x10441af4, 0x10051af4) };
    REG32(APIC + 0xf0) = 0x1ff;
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    place(&d, BARS);
    test_polled(&d, "doorbell of 8 bits", 1);
    test_polled(&d, "doorbell of 16 bits", 2);
    test_polled(&d, "doorbell of 32 bits", 4);
    place(&d, BARS + 0x800000);
    test_polled(&d, "doorbell at another place", 2);
    if (d.msix) {
        set_vector(&d, VECTOR, 0);
        pci_write(d.address, d.msix, pci_read(d.address, d.msix) | 0x80000000u);
        test_interrupts(&d, "interrupts by MSI-X", 0);
        test_masked(&d);
        test_changed(&d);
        test_interrupts(&d, "interrupts by MSI-X after that", 0);
        pci_write(d.address, d.msix, pci_read(d.address, d.msix) & 0x7fffffffu);
    }
    pci_write(find(0x70008086, 0x70008086), 0x60, PIN * 0x01010101u);
    REG32(IOAPIC) = 0x10 + 2 * PIN;
    REG32(IOAPIC + 0x10) = VECTOR | 0x8000; /* level; sent to processor 0 */
    test_interrupts(&d, "interrupts by the pin", NO_VECTOR);
    REG32(IOAPIC + 0x10) = 0x10000;
    measure(&d);
    outb(0xf4, 0);
}
