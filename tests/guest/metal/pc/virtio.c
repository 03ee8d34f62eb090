/*
 * A virtio entropy device (virtio 1.2, 4.1 and 5.4): its doorbell, and its interrupts by a level-triggered pin and by
 * MSI-X.
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum { MODERN = 0x10441af4, TRANSITIONAL = 0x10051af4, PIRQ_GSI = 10, SIZE = 8, REQUESTS = 20, BYTES = 16 };
enum { COMMON = 1, NOTIFY, ISR };
enum { STATUS_DRIVER = 3, STATUS_FEATURES = 8, STATUS_GO = 4, NO_VECTOR = 0xffff };

typedef struct {
    uint64_t address;
    uint32_t len;
    uint16_t flags, next;
} Descriptor;

static struct {
    Descriptor table[SIZE];
    uint16_t flags, available, ring[SIZE], event;
} driver __attribute__((aligned(16)));
static struct {
    uint16_t flags, used;
    struct {
        uint32_t id, len;
    } ring[SIZE];
    uint16_t event;
} device_area __attribute__((aligned(16)));
static uint8_t numbers[BYTES];
static uint32_t common, isr, doorbell;
static unsigned device, msix;

static void find_parts(void)
{
    uint32_t notify = 0, multiplier = 0, bars[6] = { 0 };
    msix = 0;
    for (unsigned at = pci_read(device, 0x34) & 0xfc; at; at = pci_read(device, at) >> 8 & 0xfc) {
        uint32_t head = pci_read(device, at);
        if ((head & 0xff) == 0x11)
            msix = at;
        if ((head & 0xff) != 9 || head >> 24 > 3)
            continue;
        unsigned n = pci_read(device, at + 4) & 7;
        if (n < 6 && !bars[n])
            bars[n] = pci_bar(device, n, 0xfb100000 + n * 0x10000);
        uint32_t where = (n < 6 ? bars[n] : 0) + pci_read(device, at + 8);
        if (head >> 24 == COMMON)
            common = where;
        else if (head >> 24 == ISR)
            isr = where;
        else if (head >> 24 == NOTIFY)
            notify = where, multiplier = pci_read(device, at + 16);
    }
    REG16(common + 0x16) = 0;
    doorbell = notify + REG16(common + 0x1e) * multiplier;
}

static void start(uint16_t vector)
{
    driver.flags = driver.available = 0;
    device_area.flags = device_area.used = 0;
    REG8(common + 0x14) = 0;
    while (REG8(common + 0x14))
        ;
    REG8(common + 0x14) = STATUS_DRIVER;
    REG32(common + 0x08) = 1;
    REG32(common + 0x0c) = 1; /* VIRTIO_F_VERSION_1 */
    REG8(common + 0x14) = STATUS_DRIVER | STATUS_FEATURES;
    REG16(common + 0x16) = 0;
    REG16(common + 0x18) = SIZE;
    REG16(common + 0x1a) = vector;
    REG32(common + 0x20) = (uint32_t)(Word)driver.table;
    REG32(common + 0x24) = 0;
    REG32(common + 0x28) = (uint32_t)(Word)&driver.flags;
    REG32(common + 0x2c) = 0;
    REG32(common + 0x30) = (uint32_t)(Word)&device_area;
    REG32(common + 0x34) = 0;
    REG16(common + 0x1c) = 1;
    REG8(common + 0x14) = STATUS_DRIVER | STATUS_FEATURES | STATUS_GO;
}

/* One request after another, halted until each is answered. */
static void ask(const char *name)
{
    counts[V_PCI] = 0;
    for (unsigned n = 1; n <= REQUESTS; n++) {
        driver.table[0] = (Descriptor){ (Word)numbers, BYTES, 2, 0 };
        driver.ring[(n - 1) % SIZE] = 0;
        __atomic_store_n(&driver.available, n, __ATOMIC_SEQ_CST);
        REG16(doorbell) = 0;
        while (__atomic_load_n(&device_area.used, __ATOMIC_SEQ_CST) != n || counts[V_PCI] < n)
            __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
    breathe();
    check(name, early_end && hooks[V_PCI] ? REQUESTS : counts[V_PCI], REQUESTS);
}

static void read_isr(void)
{
    REG8(isr);
}

static void test_pin(void)
{
    unsigned bridge = pci_find(0x70008086);
    pci_write(bridge, 0x60, PIRQ_GSI * 0x01010101u);
    outb(0x4d1, 1 << (PIRQ_GSI - 8)); /* ELCR */
    set_pin(PIRQ_GSI, V_PCI | LEVEL);
    hooks[V_PCI] = read_isr;
    start(NO_VECTOR);
    ask("virtio by a level-triggered pin");
    REG8(common + 0x14) = 0;
    hooks[V_PCI] = 0;
    set_pin(PIRQ_GSI, MASKED);
}

static void test_msix(void)
{
    uint32_t table = pci_read(device, msix + 4);
    uint32_t at = pci_bar(device, table & 7, 0xfb100000 + (table & 7) * 0x10000) + (table & ~7u);
    REG32(at) = APIC;
    REG32(at + 4) = 0;
    REG32(at + 8) = V_PCI;
    REG32(at + 12) = 0;
    pci_write(device, msix, pci_read(device, msix) | 0x80000000u);
    start(0);
    ask("virtio by MSI-X");
    REG32(at + 12) = 1; /* masked: it waits */
    counts[V_PCI] = 0;
    uint16_t n = driver.available + 1;
    driver.ring[(n - 1) % SIZE] = 0;
    __atomic_store_n(&driver.available, n, __ATOMIC_SEQ_CST);
    REG16(doorbell) = 0;
    while (__atomic_load_n(&device_area.used, __ATOMIC_SEQ_CST) != n)
        __asm__ volatile("pause");
    breathe();
    check("MSI-X masked", counts[V_PCI], 0);
    REG32(at + 12) = 0;
    check("MSI-X no longer masked", wait_for(V_PCI, 1), true);
    REG8(common + 0x14) = 0;
    pci_write(device, msix, pci_read(device, msix) & 0x7fffffffu);
}

void test_virtio(void)
{
    device = pci_find(MODERN);
    if (!device)
        device = pci_find(TRANSITIONAL);
    if (!device) {
        skip("virtio", "no entropy device");
        return;
    }
    find_parts();
    test_pin();
    if (msix)
        test_msix();
    else
        skip("virtio by MSI-X", "the device has none");
}
