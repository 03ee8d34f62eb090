/*
 * Interrupts by the 8259 pair, the I/O APIC (edge and level), messages and the local APIC, and both privilege levels.
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum { ID = 0x20, TPR = 0x80, SVR = 0xf0, ICR = 0x300, ICR_HIGH = 0x310, LVT_TIMER = 0x320, LVT_LINT0 = 0x350 };
enum { INITIAL_COUNT = 0x380, DIVIDE = 0x3e0, SELF = 0x40000, PERIODIC = 0x20000, BY_1 = 0xb };
enum { HPET_ENABLE = 4, HPET_LEVEL = 2, HPET_FSB = 0x4000, HPET_CAN_FSB = 0x8000, HPET_PIN = 2, MS = 100000 };

/* ---- waiting ---- */

bool wait_for(unsigned vector, uint32_t n)
{
    while (counts[vector] < n)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    return true;
}

/* Kernels that emulate the processor may look at what waits behind an interrupt, or behind CR8, only when the guest has
 * been left. */
void breathe(void)
{
    __asm__ volatile("sti" : : : "memory");
    for (volatile unsigned i = 0; i < 300; i++)
        ;
    if (lenient) {
        inb(0x80);
        for (volatile unsigned i = 0; i < 30; i++)
            ;
    }
    __asm__ volatile("cli" : : : "memory");
}

/* By the HPET, which nothing else uses meanwhile. */
static void wait_ms(uint32_t n)
{
    REG32(HPET + 0x10) = 1;
    for (uint32_t start = REG32(HPET + 0xf0); REG32(HPET + 0xf0) - start < n * MS;)
        ;
    REG32(HPET + 0x10) = 0;
}

/* ---- 8259 ---- */

static void set_up_pic(void)
{
    static const uint8_t words[][2] = { { PIC0, 0x11 },     { PIC0 + 1, V_PIC },     { PIC0 + 1, 4 }, { PIC0 + 1, 1 },
                                        { PIC1, 0x11 },     { PIC1 + 1, V_PIC + 8 }, { PIC1 + 1, 2 }, { PIC1 + 1, 1 },
                                        { PIC0 + 1, 0xff }, { PIC1 + 1, 0xff } };
    for (unsigned i = 0; i < sizeof(words) / 2; i++)
        outb(words[i][0], words[i][1]);
}

static void set_pit(uint16_t divisor)
{
    outb(PIT_CONTROL, 0x34); /* channel 0, rate generator */
    outb(PIT, (uint8_t)divisor);
    outb(PIT, divisor >> 8);
}

static void test_pic(void)
{
    set_up_pic();
    REG32(APIC + SVR) = 0x1ff;
    REG32(APIC + LVT_LINT0) = 0x700; /* ExtINT */
    set_pit(1193182 / 200);
    outb(PIC0 + 1, 0xfe);
    check("8254 through the 8259, halted between", wait_for(V_PIC, 6), true);
    outb(PIC0 + 1, 0xff);
    breathe();
    uint32_t now = counts[V_PIC];
    wait_ms(6); /* a tick comes every 5 */
    breathe();
    check("8259 masked", counts[V_PIC], now);
}

/* The RTC's periodic interrupt comes by the second 8259; reading register C ends it. */
static void test_pic_slave(void)
{
    outb(0x70, 0x0a);
    outb(0x71, 0x28); /* 256 Hz */
    outb(0x70, 0x0b);
    outb(0x71, 0x42);
    outb(PIC0 + 1, 0xfb);
    outb(PIC1 + 1, 0xfe);
    counts[V_RTC] = 0;
    for (unsigned n = 1; n <= 3; n++) {
        outb(0x70, 0x0c);
        inb(0x71);
        wait_for(V_RTC, n);
    }
    check("RTC through the second 8259", counts[V_RTC], 3);
    outb(0x70, 0x0b);
    outb(0x71, 0x02);
    outb(0x70, 0x0c);
    inb(0x71);
    outb(PIC0 + 1, 0xff);
    outb(PIC1 + 1, 0xff);
    breathe();
    REG32(APIC + LVT_LINT0) = MASKED;
}

/* ---- I/O APIC ---- */

void ioapic_write(unsigned reg, uint32_t value)
{
    REG32(IOAPIC) = reg;
    REG32(IOAPIC + 0x10) = value;
}

static uint32_t ioapic_read(unsigned reg)
{
    REG32(IOAPIC) = reg;
    return REG32(IOAPIC + 0x10);
}

void set_pin(unsigned pin, uint32_t low)
{
    ioapic_write(0x11 + 2 * pin, REG32(APIC + ID));
    ioapic_write(0x10 + 2 * pin, low);
}

/* By the book it is stopped from a control word on until a count comes, and its output low; KVM's goes on with the old
 * count until then. So it gets a long one, which ends what was before, a short one whose interrupt comes, and another
 * control word. */
void stop_pit(void)
{
    set_pin(2, V_IOAPIC);
    do {
        outb(PIT_CONTROL, 0x30); /* one shot */
        outb(PIT, 0xff);
        outb(PIT, 0xff);
        breathe();
        counts[V_IOAPIC] = 0;
        outb(PIT_CONTROL, 0xe2); /* read back the status: bit 7 is the output */
    } while (inb(PIT) & 0x80);
    outb(PIT, 16);
    outb(PIT, 0);
    wait_for(V_IOAPIC, 1);
    outb(PIT_CONTROL, 0x30);
    set_pin(2, MASKED | V_IOAPIC);
    counts[V_IOAPIC] = 0;
}

static void test_ioapic(void)
{
    counts[V_IOAPIC] = 0;
    set_pit(1193182 / 200);
    set_pin(2, V_IOAPIC);
    check("8254 through the I/O APIC", wait_for(V_IOAPIC, 6), true);
    set_pin(2, MASKED | V_IOAPIC);
    breathe();
    counts[V_IOAPIC] = 0;
    breathe();
    check("I/O APIC masked", counts[V_IOAPIC], 0);
    for (unsigned n = 1; n <= 4; n++) { /* ticks that came meanwhile do not keep later ones away */
        set_pin(2, V_IOAPIC);
        wait_for(V_IOAPIC, n);
        set_pin(2, MASKED | V_IOAPIC);
        wait_ms(6);
    }
    check("8254 through the I/O APIC, masked between", counts[V_IOAPIC] >= 4, true);
    stop_pit();
}

/* ---- HPET's timer 0: by a pin, level-triggered, and by messages ---- */

static void start_hpet(uint32_t config, uint32_t clocks)
{
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0x20) = 1;
    REG32(HPET + 0xf0) = 0;
    REG32(HPET + 0xf4) = 0;
    REG32(HPET + 0x100) = config;
    REG32(HPET + 0x108) = clocks;
    REG32(HPET + 0x10c) = 0;
    REG32(HPET + 0x10) = 1;
}

static void stop_hpet(void)
{
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0x100) = 0;
}

/* Some kernels' emulation ends an interrupt when it gives it to the processor: what holds otherwise is not so there. */
bool early_end;
static uint32_t remote, turns, in_service;

static void in_service_hook(void)
{
    in_service = REG32(APIC + 0x100 + 0x10 * (V_SELF / 32)) >> V_SELF % 32 & 1;
}

static void test_in_service(void)
{
    hooks[V_SELF] = in_service_hook;
    REG32(APIC + ICR) = SELF | V_SELF;
    breathe();
    hooks[V_SELF] = 0;
    early_end = !in_service && lenient;
    if (early_end)
        skip("in service while it is handled", "the kernel ends interrupts when it gives them");
    else
        check("in service while it is handled", in_service, 1);
}

/* The first two times, the line stays up: the end of interrupt makes it interrupt again. */
static void level_hook(void)
{
    remote += ioapic_read(0x10 + 2 * HPET_PIN) >> 14 & 1;
    if (++turns % 3 == 0)
        REG32(HPET + 0x20) = 1;
}

/* It comes until it is cleared, and only so often; with early_end once more, as that was before it was cleared. */
static void check_level(const char *name)
{
    wait_for(V_LEVEL, 3);
    breathe();
    uint32_t now = counts[V_LEVEL];
    check(name, early_end ? 3 : now, 3);
    breathe();
    check("level-triggered, no more of them", counts[V_LEVEL], now);
}

static void test_level(void)
{
    remote = turns = counts[V_LEVEL] = 0;
    hooks[V_LEVEL] = level_hook;
    set_pin(HPET_PIN, V_LEVEL | LEVEL);
    start_hpet(HPET_ENABLE | HPET_LEVEL | HPET_PIN << 9, MS);
    check_level("level-triggered, until it is cleared");
    check("level-triggered, remote IRR", early_end ? 3 : remote, 3);
    check("level-triggered, end of interrupt", ioapic_read(0x10 + 2 * HPET_PIN) & 0x4000, 0);
    set_pin(HPET_PIN, V_LEVEL | LEVEL | MASKED);
    turns = counts[V_LEVEL] = 0;
    start_hpet(HPET_ENABLE | HPET_LEVEL | HPET_PIN << 9, MS);
    while (!(REG32(HPET + 0x20) & 1))
        ;
    breathe();
    check("level-triggered, masked", counts[V_LEVEL], 0);
    set_pin(HPET_PIN, V_LEVEL | LEVEL);
    check_level("level-triggered, no longer masked");
    set_pin(HPET_PIN, MASKED);
    stop_hpet();
}

/* Masked by its handler, before its end of interrupt; it comes again when it is no longer masked. */
static void mask_hook(void)
{
    if (counts[V_LEVEL] == 1)
        ioapic_write(0x10 + 2 * HPET_PIN, V_LEVEL | LEVEL | MASKED);
    else
        REG32(HPET + 0x20) = 1;
}

static void test_level_masked_in_service(void)
{
    counts[V_LEVEL] = 0;
    hooks[V_LEVEL] = mask_hook;
    set_pin(HPET_PIN, V_LEVEL | LEVEL);
    start_hpet(HPET_ENABLE | HPET_LEVEL | HPET_PIN << 9, MS);
    wait_for(V_LEVEL, 1);
    breathe();
    check("level-triggered, masked while in service", counts[V_LEVEL], early_end ? counts[V_LEVEL] : 1);
    ioapic_write(0x10 + 2 * HPET_PIN, V_LEVEL | LEVEL);
    wait_for(V_LEVEL, 2);
    breathe();
    check("level-triggered, masked in service and again", counts[V_LEVEL], early_end ? counts[V_LEVEL] : 2);
    set_pin(HPET_PIN, MASKED);
    stop_hpet();
}

/* Periodic, each cleared. */
static void clear_hook(void)
{
    REG32(HPET + 0x20) = 1;
}

static void test_level_periodic(void)
{
    enum { HPET_PERIODIC = 8, SET_VALUE = 0x40 };
    counts[V_LEVEL] = 0;
    hooks[V_LEVEL] = clear_hook;
    set_pin(HPET_PIN, V_LEVEL | LEVEL);
    start_hpet(HPET_LEVEL | HPET_PERIODIC | SET_VALUE | HPET_PIN << 9, 5 * MS);
    REG32(HPET + 0x108) = 5 * MS;
    REG32(HPET + 0x100) = HPET_ENABLE | HPET_LEVEL | HPET_PERIODIC | HPET_PIN << 9;
    check("HPET, periodic and level-triggered", wait_for(V_LEVEL, 4), true);
    set_pin(HPET_PIN, MASKED);
    stop_hpet();
    breathe();
    hooks[V_LEVEL] = 0;
}

static void test_message(void)
{
    if (!(REG32(HPET + 0x100) & HPET_CAN_FSB)) {
        skip("message", "the HPET sends none");
        return;
    }
    REG32(HPET + 0x110) = V_MSI;
    REG32(HPET + 0x114) = APIC | REG32(APIC + ID) >> 12;
    start_hpet(HPET_ENABLE | HPET_FSB, MS);
    check("message", wait_for(V_MSI, 1), true);
    stop_hpet();
}

/* ---- local APIC ---- */

void send_ipi(uint32_t destination, uint32_t command)
{
    REG32(APIC + ICR_HIGH) = destination << 24;
    REG32(APIC + ICR) = command;
    while (REG32(APIC + ICR) & 0x1000)
        ;
}

static void set_priority(bool by_cr8, uint32_t value)
{
#ifdef __x86_64__
    if (by_cr8) {
        __asm__ volatile("mov %0, %%cr8" : : "r"((Word)value >> 4) : "memory");
        return;
    }
#else
    (void)by_cr8;
#endif
    REG32(APIC + TPR) = value;
}

static void test_priority(bool by_cr8)
{
    counts[V_SELF] = 0;
    set_priority(by_cr8, 0);
    REG32(APIC + ICR) = SELF | V_SELF;
    breathe();
    check("interrupt to itself", counts[V_SELF], 1);
    set_priority(by_cr8, 0xf0);
    check("task priority is seen", REG32(APIC + TPR), 0xf0);
    REG32(APIC + ICR) = SELF | V_SELF;
    breathe();
    check("task priority above it", counts[V_SELF], 1);
    set_priority(by_cr8, 0x40);
    breathe();
    check("task priority lowered", counts[V_SELF], 2);
    set_priority(by_cr8, 0);
}

/* The higher vector first; both while interrupts are off. */
static uint32_t order;

static void order_low(void)
{
    order = order << 4 | 1;
}
static void order_high(void)
{
    order = order << 4 | 2;
}

static void test_order(void)
{
    order = 0;
    hooks[V_SELF] = order_low;
    hooks[V_PING] = order_high;
    REG32(APIC + ICR) = SELF | V_SELF;
    REG32(APIC + ICR) = SELF | V_PING;
    breathe();
    check("the more urgent first", order, 0x21);
    hooks[V_SELF] = hooks[V_PING] = 0;
}

/* ---- x2APIC (SDM 3A, 11.12) ---- */

void test_x2apic(void)
{
    enum { APIC_BASE_MSR = 0x1b, ENABLED = 0x800, EXTENDED = 0x400 };
    uint32_t features[4], id = REG32(APIC + ID) >> 24;
    cpuid(1, features);
    if (!(features[2] >> 21 & 1)) {
        skip("x2APIC", "the processor has none");
        return;
    }
    uint64_t base = read_msr(APIC_BASE_MSR);
    write_msr(APIC_BASE_MSR, base | EXTENDED);
    x2apic = true;
    check("x2APIC, ID", (uint32_t)read_msr(0x802), id);
    counts[V_SELF] = counts[V_TIMER] = 0;
    write_msr(0x83f, V_SELF);
    breathe();
    check("x2APIC, interrupt to itself", counts[V_SELF], 1);
    write_msr(0x830, (uint64_t)id << 32 | V_SELF);
    breathe();
    check("x2APIC, interrupt command", counts[V_SELF], 2);
    write_msr(0x83e, BY_1);
    write_msr(0x832, V_TIMER);
    write_msr(0x838, 1000000);
    check("x2APIC, timer", wait_for(V_TIMER, 1), true);
    write_msr(APIC_BASE_MSR, base & ~(uint64_t)(EXTENDED | ENABLED));
    write_msr(APIC_BASE_MSR, base);
    x2apic = false;
}

/* ---- level 3: what is done there ends by an undefined instruction ---- */

static volatile uint32_t user_saw;

static void user_memory(void)
{
    user_saw = REG32(HPET) & 0xffff00ff;
    __asm__ volatile("ud2");
}

static void user_ports(void)
{
    outl(CONFIG_ADDRESS, 0x80000000); /* IOPL is 3 */
    user_saw = inl(CONFIG_DATA);
    __asm__ volatile("ud2");
}

static void user_system_call(void)
{
    __asm__ volatile("int $0x80; int $0x81" : : : "memory");
}

/* Nothing leaves the guest here but the interrupt. */
static void user_interrupted(void)
{
    while (counts[V_TIMER] < 3)
        ;
    user_saw = 1;
    __asm__ volatile("ud2");
}

static void check_user(const char *name, void (*function)(void), uint32_t wanted, const char *why)
{
    user_saw = 0;
    user(function);
    if (why && lenient && user_saw != wanted)
        skip(name, why);
    else
        check(name, user_saw, wanted);
}

void test_user(void)
{
    set_gate(6, (Word)user_return, 0x8e00);
    set_gate(13, (Word)user_return, 0x8e00);
    check_user("level 3, memory", user_memory, 0x80860001, 0);
    check_user("level 3, ports", user_ports, 0x12378086, "the kernel raises #GP there without asking");
    counts[V_SYSTEM] = 0;
    __asm__ volatile("int $0x80" : : : "memory");
    check("level 0, system call", counts[V_SYSTEM], 1);
    counts[V_SYSTEM] = 0;
    user(user_system_call);
    if (lenient && !counts[V_SYSTEM])
        skip("level 3, system call", "the kernel raises #GP there without asking");
    else
        check("level 3, system call", counts[V_SYSTEM], 1);
    counts[V_TIMER] = 0;
    REG32(APIC + SVR) = 0x1ff;
    REG32(APIC + DIVIDE) = BY_1;
    REG32(APIC + LVT_TIMER) = V_TIMER | PERIODIC;
    REG32(APIC + INITIAL_COUNT) = 10000000;
    check_user("level 3, interrupted", user_interrupted, 1, 0);
    REG32(APIC + LVT_TIMER) = MASKED;
    REG32(APIC + INITIAL_COUNT) = 0;
    breathe();
    set_gate(6, (Word)entries + 16 * 6, 0x8e00);
    set_gate(13, (Word)entries + 16 * 13, 0x8e00);
}

/* ---- */

void test_again(void)
{
    test_pic();
    test_in_service();
    test_ioapic();
    test_level();
}

void test_interrupts(void)
{
    test_pic();
    test_pic_slave();
    test_in_service();
    test_ioapic();
    test_level();
    test_level_masked_in_service();
    test_level_periodic();
    test_message();
    test_priority(false);
    test_priority(true);
    test_order();
}
