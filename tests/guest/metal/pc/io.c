/*
 * Ports, registers in memory and video memory: loads, stores and string instructions of all sizes.
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum { HOST_BRIDGE = 0x12378086, VGA = 0x11111234, SIGNATURE = 0x554d4551 /* "QEMU" */ };
enum { FILE_DIRECTORY = 0x19, DIRECTORY_BYTES = 256 };

/* ---- PCI configuration by mechanism 1 ---- */

uint32_t pci_read(unsigned device, unsigned reg)
{
    outl(CONFIG_ADDRESS, 0x80000000 | device | reg);
    return inl(CONFIG_DATA);
}

void pci_write(unsigned device, unsigned reg, uint32_t value)
{
    outl(CONFIG_ADDRESS, 0x80000000 | device | reg);
    outl(CONFIG_DATA, value);
}

unsigned pci_find(uint32_t id)
{
    for (unsigned n = 1; n < 256; n++) {
        if (pci_read(n << 8, 0) == id)
            return n << 8;
    }
    return 0;
}

uint32_t pci_bar(unsigned device, unsigned n, uint32_t place)
{
    unsigned reg = 0x10 + 4 * n;
    if (!(pci_read(device, reg) & ~15u))
        pci_write(device, reg, place);
    pci_write(device, 4, (pci_read(device, 4) & 0xffff) | 7);
    return pci_read(device, reg) & ~15u;
}

/* ---- ports ---- */

static void test_ports(void)
{
    outl(CONFIG_ADDRESS, 0x80000000);
    check("port 32", inl(CONFIG_DATA), HOST_BRIDGE);
    check("port 16", inw(CONFIG_DATA + 2), 0x1237);
    check("port 8", inb(CONFIG_DATA + 1), 0x80);
    outl(CONFIG_ADDRESS, 0x8000003c); /* interrupt line: keeps what is written */
    outb(CONFIG_DATA, 0x5a);
    check("port write 8", inl(CONFIG_DATA) & 0xff, 0x5a);
    outw(CONFIG_DATA, 0x00a5);
    check("port write 16", inl(CONFIG_DATA) & 0xff, 0xa5);
    check("nothing there, 32", inl(0x5678), UINT32_MAX);
    check("nothing there, 16", inw(0x5678), UINT16_MAX);
    check("nothing there, 8", inb(0x5678), UINT8_MAX);
}

/* What an INS or OUTS left: the pointer's way, the count. */
#define STRING_IO(instruction, pointer, address, count, port) \
    __asm__ volatile(instruction : pointer(address), "+c"(count) : "d"(port) : "memory", "cc")

static uint8_t around[8192 + 4096] __attribute__((aligned(4096)));

static void select_file(uint16_t key)
{
    outw(FW_CFG_SELECT, key);
}

static void test_string_in(void)
{
    uint32_t text = 0;
    void *to = &text;
    Word count = 4;
    select_file(0);
    STRING_IO("rep insb", "+D", to, count, FW_CFG_DATA);
    check("rep insb", text, SIGNATURE);
    check("rep insb, pointer and count", to == &text + 1 && !count, true);
    to = (uint8_t *)&text + 3;
    count = 4;
    select_file(0);
    STRING_IO("std; rep insb; cld", "+D", to, count, FW_CFG_DATA);
    check("rep insb downwards", text, __builtin_bswap32(SIGNATURE));
    check("rep insb downwards, pointer", to == (uint8_t *)&text - 1 && !count, true);
    text = 0x12345678;
    to = &text;
    count = 0;
    STRING_IO("rep insb", "+D", to, count, FW_CFG_DATA);
    check("rep insb of none", text == 0x12345678 && to == &text && !count, true);
    outl(CONFIG_ADDRESS, 0x80000000);
    uint16_t pair[3] = { 1, 2, 3 };
    to = pair;
    count = 2;
    STRING_IO("rep insw", "+D", to, count, CONFIG_DATA);
    check("rep insw", pair[0] == 0x8086 && pair[1] == 0x8086 && pair[2] == 3 && to == pair + 2, true);
    uint32_t words[3] = { 1, 2, 3 };
    to = words + 2;
    count = 2;
    STRING_IO("std; rep insl; cld", "+D", to, count, CONFIG_DATA);
    check("rep insl downwards", words[0] == 1 && words[1] == HOST_BRIDGE && words[2] == HOST_BRIDGE && to == words,
          true);
    to = words;
    count = 7;
    STRING_IO("insl", "+D", to, count, CONFIG_DATA);
    check("insl", words[0] == HOST_BRIDGE && to == words + 1 && count == 7, true);
}

static void test_string_out(void)
{
    static const uint32_t words[3] = { 0x80000000, 0x80000800, 0x8000003c };
    const void *from = words;
    Word count = 3;
    STRING_IO("rep outsl", "+S", from, count, CONFIG_ADDRESS);
    check("rep outsl", inl(CONFIG_ADDRESS), 0x8000003c);
    check("rep outsl, pointer and count", from == words + 3 && !count, true);
    static const uint8_t bytes[3] = { 0x11, 0x22, 0x33 };
    from = bytes + 2;
    count = 3;
    STRING_IO("std; rep outsb; cld", "+S", from, count, CONFIG_DATA);
    check("rep outsb downwards", inb(CONFIG_DATA), 0x11);
    check("rep outsb downwards, pointer", from == bytes - 1 && !count, true);
    static const uint16_t halves[2] = { 0x44, 0x55 };
    from = halves;
    count = 2;
    STRING_IO("rep outsw", "+S", from, count, CONFIG_DATA);
    check("rep outsw", inb(CONFIG_DATA), 0x55);
    count = 0;
    from = bytes;
    STRING_IO("rep outsb", "+S", from, count, CONFIG_DATA);
    check("rep outsb of none", inb(CONFIG_DATA) == 0x55 && from == bytes, true);
}

/* Over the end of a page, and 4096 bytes and more at once: accelerators hand over so much at most. */
static void test_string_pages(void)
{
    static uint8_t wanted[DIRECTORY_BYTES];
    unsigned wrong = 0;
    select_file(FILE_DIRECTORY);
    for (unsigned i = 0; i < DIRECTORY_BYTES; i++)
        wanted[i] = inb(FW_CFG_DATA);
    void *to = around + 4096 - 37;
    Word count = DIRECTORY_BYTES;
    select_file(FILE_DIRECTORY);
    STRING_IO("rep insb", "+D", to, count, FW_CFG_DATA);
    for (unsigned i = 0; i < DIRECTORY_BYTES; i++)
        wrong += around[4096 - 37 + i] != wanted[i];
    check("rep insb over the end of a page", wrong, 0);
    to = around + 1;
    count = 2051;
    outl(CONFIG_ADDRESS, 0x80000000);
    STRING_IO("rep insl", "+D", to, count, CONFIG_DATA);
    for (unsigned i = 0; i < 2051; i++)
        wrong += *(uint32_t __attribute__((aligned(1), may_alias)) *)(around + 1 + 4 * i) != HOST_BRIDGE;
    check("rep insl of two pages", wrong, 0);
    check("rep insl of two pages, what is around", around[0] | around[1 + 4 * 2051], 0);
    for (unsigned i = 0; i < sizeof(around); i++)
        around[i] = (uint8_t)i;
    const void *from = around + 4090;
    count = 1030;
    outl(CONFIG_ADDRESS, 0x8000003c);
    STRING_IO("rep outsb", "+S", from, count, CONFIG_DATA);
    check("rep outsb over the end of a page", inb(CONFIG_DATA), (4090 + 1029) & 0xff);
}

/* ---- registers in memory ---- */

/* HPET: 8-byte registers that take 4 and 8 bytes; its ID says what it is. */
static void test_memory(void)
{
    check("memory 32", REG32(HPET) & 0xffff00ff, 0x80860001);
    check("memory period", REG32(HPET + 4) != 0, true);
    REG32(HPET + 0x108) = 0x12345678;
    check("memory write 32", REG32(HPET + 0x108), 0x12345678);
    uint32_t value = 0x01020304;
    __asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(REG32(HPET + 0x108)));
    check("memory xchg", value, 0x12345678);
    __asm__ volatile("addl $1, %0" : "+m"(REG32(HPET + 0x108)) : : "cc");
    __asm__ volatile("lock orl $0x10, %0" : "+m"(REG32(HPET + 0x108)) : : "cc");
    check("memory read and write", REG32(HPET + 0x108), 0x01020315);
#ifdef __x86_64__
    REG64(HPET + 0x108ul) = 0x1122334455667788ul;
    check("memory write 64, low", REG32(HPET + 0x108), 0x55667788);
    check("memory 64", (uint32_t)(REG64(HPET + 0x108ul) >> 32), 0x11223344);
#endif
    uint32_t regs[4] = { 0 }, *to = regs, *from = (uint32_t *)(Word)HPET;
    Word count = 2;
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    check("rep movsl from a device", regs[0] & 0xffff00ff, 0x80860001);
    regs[0] = 0x0a0b0c0d;
    regs[1] = 0x00010203;
    to = (uint32_t *)(Word)(HPET + 0x10c);
    from = regs + 1;
    count = 2;
    __asm__ volatile("std; rep movsl; cld" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    check("rep movsl to a device downwards", REG32(HPET + 0x108), 0x0a0b0c0d);
    REG32(HPET + 0x108) = REG32(HPET + 0x10c) = UINT32_MAX;
}

/* The display's ports in memory: those of VGA, which have 8 bits, and those of the Bochs interface, 16. */
static void test_small_memory(void)
{
    unsigned device = pci_find(VGA);
    if (!device) {
        skip("memory 8, 16", "no display");
        return;
    }
    uint32_t ports = pci_bar(device, 2, 0xfb000000), sequencer = ports + 0x404, bochs = ports + 0x500;
    check("memory 16", REG16(bochs) & 0xfff0, 0xb0c0);
    REG16(bochs + 2) = 640;
    check("memory write 16", REG16(bochs + 2), 640);
    REG8(sequencer) = 2;
    REG8(sequencer + 1) = 0x0f;
    check("memory 8", REG8(sequencer) | (uint32_t)REG8(sequencer + 1) << 8, 0x0f02);
    REG16(sequencer) = 0x0502; /* index and data at once */
    check("memory 16 of two registers", REG8(sequencer + 1), 0x05);
    uint32_t a, b;
    __asm__ volatile("movzbl %1, %0" : "=r"(a) : "m"(REG8(sequencer)));
    __asm__ volatile("movswl %1, %0" : "=r"(b) : "m"(REG16(bochs)));
    check("memory, zeros and signs before it", a == 2 && b == (uint32_t)(int16_t)REG16(bochs), true);
}

/* ---- the picture ---- */

enum { WIDTH = 320, HEIGHT = 200, XRES = 1, YRES, DEPTH, ENABLE };

static void bochs_write(uint16_t index, uint16_t value)
{
    outw(0x1ce, index);
    outw(0x1cf, value);
}

static uint32_t start_display(void)
{
    uint32_t at = pci_bar(pci_find(VGA), 0, 0xfc000000);
    bochs_write(ENABLE, 0);
    bochs_write(XRES, WIDTH);
    bochs_write(YRES, HEIGHT);
    bochs_write(DEPTH, 32);
    bochs_write(ENABLE, 0x41); /* with the linear frame buffer */
    outb(0x3c0, 0x20);         /* the screen is on */
    return at;
}

static void wait_for_key(const char *what)
{
    put(what);
    while (!(inb(SERIAL + 5) & 1))
        ;
    inb(SERIAL);
}

/* A picture, and when a byte has come by the serial port, another in some of its lines: both are to be seen. */
void test_screen(void)
{
    uint32_t *picture = (uint32_t *)(Word)start_display();
    uint32_t *to = picture;
    Word count = WIDTH * HEIGHT;
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(0x204060) : "memory");
    for (unsigned x = 0; x < WIDTH; x++)
        *(volatile uint32_t *)&picture[100 * WIDTH + x] = x * 0x010305;
    wait_for_key("first picture\n");
    for (unsigned y = 7; y < HEIGHT; y += 48) {
        for (unsigned x = y; x < WIDTH; x++)
            *(volatile uint32_t *)&picture[y * WIDTH + x] = y << 16 | x;
    }
    wait_for_key("second picture\n");
    *(volatile uint32_t *)&picture[HEIGHT * WIDTH - 1] = 0xffffff;
    wait_for_key("third picture\n");
}

static void test_frame_buffer(void)
{
    if (!pci_find(VGA)) {
        skip("frame buffer", "no display");
        return;
    }
    uint32_t at = pci_bar(pci_find(VGA), 0, 0xfc000000), sum = 0;
    for (unsigned i = 0; i < 512; i++)
        REG32(at + 4 * i) = i * 0x01010101u;
    for (unsigned i = 0; i < 512; i++)
        sum += REG32(at + 4 * i) ^ i * 0x01010101u;
    check("frame buffer keeps", sum, 0);
}

/* The firmware's ROM below 4 GiB: stores change nothing. */
static void test_rom(void)
{
    uint32_t before = REG32(0xfffffff0u);
    REG32(0xfffffff0u) = ~before;
    check("ROM", REG32(0xfffffff0u), before);
}

void test_io(void)
{
    test_ports();
    test_string_in();
    test_string_out();
    test_string_pages();
    test_memory();
    test_small_memory();
    test_frame_buffer();
    test_rom();
}
