/*
 * What a processor does with a PC's devices, without an operating system: ports and registers in memory by accesses of
 * all sizes, interrupts by every way there is, timers, HLT, other processors, both privilege levels. The same program
 * for every accelerator; devices of a plain -M pc with two processors. Writes "ok NAME" or "not ok NAME: ..." for each
 * to port 0xe9, and ends by port 0xf4.
 * SPDX-License-Identifier: MIT
 */
#include <stdbool.h>
#include <stdint.h>

typedef uintptr_t Word;

extern uint32_t counts[256];
extern uint64_t gdt[];
extern char handlers[], trampoline[], trampoline_end[], stack_top[], user_return[];
void user(void (*function)(void));
void main(void);

#define STARTED   0x7000 /* where the trampoline counts */
#define REG32(at) (*(volatile uint32_t *)(Word)(at))

enum { DEBUG = 0xe9, END = 0xf4, PIC0 = 0x20, PIC1 = 0xa0, PIT = 0x40, PIT_CONTROL = 0x43 };
enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, FW_CFG_SELECT = 0x510, FW_CFG_DATA = 0x511 };
enum { APIC = 0xfee00000u, IOAPIC = 0xfec00000u, HPET = 0xfed00000u, FRAME_BUFFER = 0xfc000000u };
enum {
    V_PIC = 0x20,
    V_IOAPIC = 0x50,
    V_LEVEL = 0x51,
    V_TIMER = 0x52,
    V_SELF = 0x53,
    V_MSI = 0x54,
    V_SYSTEM = 0x80,
    V_BACK
};

/* ---- ports ---- */

static void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
static uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

/* ---- output ---- */

static void put(const char *s)
{
    while (*s)
        outb(DEBUG, (uint8_t)*s++);
}

static void put_hex(uint32_t v)
{
    for (int i = 28; i >= 0; i -= 4)
        outb(DEBUG, (uint8_t) "0123456789abcdef"[v >> i & 15]);
}

static void check(const char *name, uint32_t got, uint32_t wanted)
{
    put(got == wanted ? "ok " : "not ok ");
    put(name);
    if (got != wanted) {
        put(": ");
        put_hex(got);
        put(", not ");
        put_hex(wanted);
    }
    put("\n");
}

/* ---- the processor's tables ---- */

static struct {
    uint16_t low, selector, flags, middle;
#ifdef __x86_64__
    uint32_t high, zero;
#endif
} idt[256];
static uint32_t tss[26];

static void set_gate(unsigned vector, Word to, uint16_t flags)
{
    idt[vector].low = (uint16_t)to;
    idt[vector].middle = (uint16_t)(to >> 16);
    idt[vector].flags = flags;
#ifdef __x86_64__
    idt[vector].selector = 0x18;
    idt[vector].high = 0;
#else
    idt[vector].selector = 0x08;
#endif
}

static void load_tables(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } pointer = { sizeof(idt) - 1, (Word)idt };
    Word base = (Word)tss;
    for (unsigned n = 0; n < 256; n++)
        set_gate(n, (Word)handlers + 16 * n, n >= V_SYSTEM ? 0xee00 : 0x8e00);
    set_gate(V_BACK, (Word)user_return, 0xee00);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    tss[1] = (uint32_t)(Word)stack_top - 4096; /* esp0, rsp0 */
    tss[2] = sizeof(Word) == 4 ? 0x10 : 0;
    gdt[7] = 0x0000890000000067ull | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(base >> 24 & 0xff) << 56;
    __asm__ volatile("ltr %w0" : : "r"(0x38));
}

/* ---- waiting ---- */

/* Until counts[vector] is at least n, halted between interrupts. */
static bool wait_for(unsigned vector, uint32_t n)
{
    volatile uint32_t *count = &counts[vector];
    for (unsigned turns = 0; *count < n && turns < 1000; turns++)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    return *count >= n;
}

/* Let what is pending in. */
static void breathe(void)
{
    __asm__ volatile("sti" : : : "memory");
    for (volatile unsigned i = 0; i < 1000; i++)
        ;
    __asm__ volatile("cli" : : : "memory");
}

/* ---- devices ---- */

static void test_ports(void)
{
    outl(CONFIG_ADDRESS, 0x80000000);
    check("port 32", inl(CONFIG_DATA), 0x12378086);
    check("port 16", inw(CONFIG_DATA + 2), 0x1237);
    check("port 8", inb(CONFIG_DATA + 1), 0x80);
    outl(CONFIG_ADDRESS, 0x8000003c); /* interrupt line: keeps what is written */
    outb(CONFIG_DATA, 0x5a);
    check("port write 8", inl(CONFIG_DATA) & 0xff, 0x5a);
    outw(CONFIG_DATA, 0x00a5);
    check("port write 16", inl(CONFIG_DATA) & 0xff, 0xa5);
    check("nothing there", inl(0x5678), UINT32_MAX);
}

static void test_string_ports(void)
{
    uint32_t text = 0, words[3] = { 0x80000000, 0x80000800, 0x80000000 }, *from = words;
    void *to = &text;
    Word count = 4;
    outw(FW_CFG_SELECT, 0);
    __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(FW_CFG_DATA) : "memory");
    check("rep insb", text, 0x554d4551); /* "QEMU" */
    count = 3;
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(CONFIG_ADDRESS) : "memory");
    check("rep outsl", inl(CONFIG_DATA), 0x12378086);
    uint16_t pair[2] = { 0, 0 };
    to = pair;
    count = 2;
    __asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(CONFIG_DATA) : "memory");
    check("rep insw", pair[0] | (uint32_t)pair[1] << 16, 0x80868086);
}

/* HPET: 8-byte registers that take 4 and 8 bytes; its ID says what it is. */
static void test_memory(void)
{
    check("memory 32", REG32(HPET) & 0xffff00ff, 0x80860001);
    check("memory period", REG32(HPET + 4) != 0, true);
    REG32(HPET + 0x108) = 0x12345678;
    check("memory write 32", REG32(HPET + 0x108), 0x12345678);
#ifdef __x86_64__
    *(volatile uint64_t *)(HPET + 0x108ul) = 0x1122334455667788ul;
    check("memory write 64, low", REG32(HPET + 0x108), 0x55667788);
    check("memory 64", (uint32_t)(*(volatile uint64_t *)(HPET + 0x108ul) >> 32), 0x11223344);
#endif
    uint32_t regs[4] = { 0 }, *to = regs, *from = (uint32_t *)(Word)HPET;
    Word count = 2;
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
    check("rep movsl from a device", regs[0] & 0xffff00ff, 0x80860001);
    outl(CONFIG_ADDRESS, 0x80000000);
}

/* Stores to video memory arrive, and stay. */
static void test_frame_buffer(void)
{
    uint32_t bar = 0;
    for (unsigned slot = 0; slot < 32 && !bar; slot++) {
        outl(CONFIG_ADDRESS, 0x80000000 | slot << 11);
        if (inl(CONFIG_DATA) != 0x11111234)
            continue;
        outl(CONFIG_ADDRESS, 0x80000010 | slot << 11);
        outl(CONFIG_DATA, FRAME_BUFFER);
        bar = inl(CONFIG_DATA) & ~15u;
        outl(CONFIG_ADDRESS, 0x80000004 | slot << 11);
        outl(CONFIG_DATA, inl(CONFIG_DATA) | 3);
    }
    for (unsigned i = 0; i < 1024; i++)
        REG32(FRAME_BUFFER + 4 * i) = i * 0x01010101u;
    uint32_t sum = 0;
    for (unsigned i = 0; i < 1024; i++)
        sum += REG32(FRAME_BUFFER + 4 * i) ^ i * 0x01010101u;
    check("frame buffer", bar, FRAME_BUFFER);
    check("frame buffer keeps", sum, 0);
}

/* ---- interrupts ---- */

static void set_pit(uint16_t divisor)
{
    outb(PIT_CONTROL, 0x34); /* channel 0, rate generator */
    outb(PIT, (uint8_t)divisor);
    outb(PIT, divisor >> 8);
}

static void test_pic(void)
{
    static const uint8_t words[][2] = { { PIC0, 0x11 },     { PIC0 + 1, V_PIC },     { PIC0 + 1, 4 }, { PIC0 + 1, 1 },
                                        { PIC1, 0x11 },     { PIC1 + 1, V_PIC + 8 }, { PIC1 + 1, 2 }, { PIC1 + 1, 1 },
                                        { PIC0 + 1, 0xfe }, { PIC1 + 1, 0xff } };
    for (unsigned i = 0; i < sizeof(words) / 2; i++)
        outb(words[i][0], words[i][1]);
    REG32(APIC + 0xf0) = 0x1ff;
    REG32(APIC + 0x350) = 0x700; /* LINT0: ExtINT */
    set_pit(1193);               /* 1000 a second */
    check("8254 through the 8259, halted between", wait_for(V_PIC, 10), true);
    outb(PIC0 + 1, 0xff);
    breathe();
    uint32_t now = counts[V_PIC];
    for (volatile unsigned i = 0; i < 100000; i++)
        ;
    breathe();
    check("8259 masked", counts[V_PIC], now);
    REG32(APIC + 0x350) = 0x10000;
}

static void ioapic_write(unsigned reg, uint32_t value)
{
    REG32(IOAPIC) = reg;
    REG32(IOAPIC + 0x10) = value;
}

static void test_ioapic(void)
{
    ioapic_write(0x11 + 2 * 2, 0);
    ioapic_write(0x10 + 2 * 2, V_IOAPIC);
    check("8254 through the I/O APIC", wait_for(V_IOAPIC, 10), true);
    ioapic_write(0x10 + 2 * 2, 0x10000);
}

/* HPET timer 0 by pin 2, level-triggered; the handler does not take the cause away: it comes until that is done here.
 */
static void test_level(void)
{
    enum { ENABLE = 4, LEVEL = 2 };
    ioapic_write(0x11 + 2 * 2, 0);
    ioapic_write(0x10 + 2 * 2, V_LEVEL | 0x8000);
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0xf0) = 0;
    REG32(HPET + 0xf4) = 0;
    REG32(HPET + 0x108) = 10000; /* 0.1 ms */
    REG32(HPET + 0x10c) = 0;
    REG32(HPET + 0x100) = ENABLE | LEVEL | 2 << 9;
    REG32(HPET + 0x10) = 1;
    check("level-triggered", wait_for(V_LEVEL, 3), true);
    REG32(HPET + 0x100) = 0;
    REG32(HPET + 0x20) = 1;
    breathe();
    uint32_t now = counts[V_LEVEL];
    breathe();
    check("level-triggered, gone", counts[V_LEVEL], now);
    ioapic_write(0x10 + 2 * 2, 0x10000);
    REG32(HPET + 0x10) = 0;
}

static void test_message(void)
{
    if (!(REG32(HPET + 0x100) & 0x8000)) {
        put("no messages from the HPET\n");
        return;
    }
    REG32(HPET + 0xf0) = 0;
    REG32(HPET + 0xf4) = 0;
    REG32(HPET + 0x108) = 10000;
    REG32(HPET + 0x10c) = 0;
    REG32(HPET + 0x110) = V_MSI;
    REG32(HPET + 0x114) = APIC;
    REG32(HPET + 0x100) = 4 | 0x4000;
    REG32(HPET + 0x10) = 1;
    check("message", wait_for(V_MSI, 1), true);
    REG32(HPET + 0x100) = 0;
    REG32(HPET + 0x10) = 0;
}

static void test_local_apic(void)
{
    REG32(APIC + 0x80) = 0;
    REG32(APIC + 0x300) = 0x40000 | V_SELF;
    breathe();
    check("interrupt to itself", counts[V_SELF], 1);
    REG32(APIC + 0x80) = 0xf0; /* task priority above it */
    REG32(APIC + 0x300) = 0x40000 | V_SELF;
    breathe();
    check("task priority", counts[V_SELF], 1);
    REG32(APIC + 0x80) = 0;
    breathe();
    check("task priority lowered", counts[V_SELF], 2);
    REG32(APIC + 0x3e0) = 0xb;               /* divide by 1 */
    REG32(APIC + 0x320) = V_TIMER | 0x20000; /* periodic */
    REG32(APIC + 0x380) = 1000000;
    check("local timer", wait_for(V_TIMER, 5), true);
    REG32(APIC + 0x320) = 0x10000;
    REG32(APIC + 0x380) = 0;
    breathe();
}

static volatile bool user_done;
static uint32_t user_saw;

static void in_user(void)
{
    outl(CONFIG_ADDRESS, 0x80000000);
    user_saw = inl(CONFIG_DATA); /* IOPL is 3 */
    __asm__ volatile("int $0x80" : : : "memory");
    user_done = true;
    __asm__ volatile("int $0x81");
}

static void test_user(void)
{
    user(in_user);
    check("level 3", user_done, true);
    check("level 3, ports", user_saw, 0x12378086);
    check("level 3, system call", counts[V_SYSTEM], 1);
}

static void test_start_up(void)
{
    char *to = (char *)0x8000;
    REG32(STARTED) = 0;
    for (char *from = trampoline; from < trampoline_end; from++)
        *to++ = *from;
    __asm__ volatile("" : : : "memory");
    REG32(APIC + 0x310) = 1u << 24;
    REG32(APIC + 0x300) = 0x4500; /* INIT */
    for (volatile unsigned i = 0; i < 10000; i++)
        ;
    REG32(APIC + 0x310) = 1u << 24;
    REG32(APIC + 0x300) = 0x4608; /* start-up at 0x8000 */
    for (unsigned i = 0; i < 2000 && !REG32(STARTED); i++) {
        REG32(APIC + 0x380) = 1000000;
        REG32(APIC + 0x320) = V_TIMER;
        counts[V_TIMER] = 0;
        wait_for(V_TIMER, 1);
    }
    check("INIT and start-up", REG32(STARTED), 1);
}

void main(void)
{
    load_tables();
    test_ports();
    test_string_ports();
    test_memory();
    test_frame_buffer();
    test_pic();
    test_ioapic();
    test_level();
    test_message();
    test_local_apic();
    test_user();
    test_start_up();
    put("end\n");
    outb(END, 0x10);
}
