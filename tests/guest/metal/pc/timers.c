/*
 * Timers: 8254, HPET, the local APIC's in its three modes, ACPI's PM timer. What they count is compared only by what
 * holds however long the host takes.
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum { LVT_TIMER = 0x320, INITIAL_COUNT = 0x380, CURRENT_COUNT = 0x390, DIVIDE = 0x3e0, BY_1 = 0xb };
enum { PERIODIC = 0x20000, DEADLINE = 0x40000, DEADLINE_MSR = 0x6e0 };

static void test_pit_one_shot(void)
{
    stop_pit();
    set_pin(2, V_IOAPIC);
    outb(PIT_CONTROL, 0x30);
    outb(PIT, 0x00);
    outb(PIT, 0x10);
    wait_for(V_IOAPIC, 1);
    outb(PIT_CONTROL, 0xe2); /* read back: the status of channel 0 */
    check("8254, one shot, has ended", inb(PIT) & 0xbf, 0xb0);
    breathe();
    check("8254, one shot", counts[V_IOAPIC], 1);
    stop_pit();
}

static void test_hpet(void)
{
    enum { ENABLE = 4, LEGACY = 2, MS = 100000 };
    set_pin(2, V_IOAPIC);
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0xf0) = REG32(HPET + 0xf4) = 0;
    REG32(HPET + 0x100) = ENABLE | 2 << 9;
    REG32(HPET + 0x108) = MS;
    REG32(HPET + 0x10c) = 0;
    REG32(HPET + 0x10) = 1;
    wait_for(V_IOAPIC, 1);
    breathe();
    check("HPET, one shot", counts[V_IOAPIC], 1);
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0xf0) = 0;
    REG32(HPET + 0x100) = ENABLE;
    REG32(HPET + 0x10) = 1 | LEGACY; /* in the 8254's place */
    wait_for(V_IOAPIC, 2);
    breathe();
    check("HPET in the place of the 8254", counts[V_IOAPIC], 2);
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0x100) = 0;
    set_pin(2, MASKED);
}

static void test_local_one_shot(void)
{
    counts[V_TIMER] = 0;
    REG32(APIC + DIVIDE) = BY_1;
    REG32(APIC + LVT_TIMER) = V_TIMER;
    REG32(APIC + INITIAL_COUNT) = 1000000;
    wait_for(V_TIMER, 1);
    breathe();
    check("local timer, one shot", counts[V_TIMER], 1);
    check("local timer, at its end", REG32(APIC + CURRENT_COUNT), 0);
    REG32(APIC + LVT_TIMER) = V_TIMER | MASKED;
    REG32(APIC + INITIAL_COUNT) = UINT32_MAX;
    uint32_t first = REG32(APIC + CURRENT_COUNT), second = REG32(APIC + CURRENT_COUNT);
    check("local timer counts down", second <= first && first && second != UINT32_MAX, true);
    REG32(APIC + INITIAL_COUNT) = 0;
}

static void test_local_periodic(void)
{
    counts[V_TIMER] = 0;
    REG32(APIC + LVT_TIMER) = V_TIMER | PERIODIC;
    REG32(APIC + INITIAL_COUNT) = 3000000;
    check("local timer, periodic", wait_for(V_TIMER, 5), true);
    REG32(APIC + LVT_TIMER) = MASKED;
    REG32(APIC + INITIAL_COUNT) = 0;
    breathe();
}

static void test_deadline(void)
{
    uint32_t features[4];
    cpuid(1, features);
    if (!(features[2] >> 24 & 1)) {
        skip("TSC deadline", "the processor has none");
        return;
    }
    counts[V_TIMER] = 0;
    REG32(APIC + LVT_TIMER) = V_TIMER | DEADLINE;
    uint64_t at = 0;
    for (unsigned n = 1; n <= 3; n++) {
        at = read_tsc() + 1000000;
        write_msr(DEADLINE_MSR, at);
        wait_for(V_TIMER, n);
    }
    check("TSC deadline, not before", read_tsc() >= at, true);
    check("TSC deadline, over", read_msr(DEADLINE_MSR) == 0, true);
    write_msr(DEADLINE_MSR, 1); /* passed long ago */
    check("TSC deadline in the past", wait_for(V_TIMER, 4), true);
    write_msr(DEADLINE_MSR, read_tsc() + (UINT64_C(1) << 40));
    write_msr(DEADLINE_MSR, 0);
    breathe();
    check("TSC deadline taken back", counts[V_TIMER], 4);
    REG32(APIC + LVT_TIMER) = MASKED;
}

/* 3.579545 MHz against the HPET's 100 MHz, each read between two readings of the other. */
static void test_pm_timer(void)
{
    enum { MASK = 0xffffff };
    uint16_t port = pm_base() + 8;
    REG32(HPET + 0x10) = 0;
    REG32(HPET + 0xf0) = REG32(HPET + 0xf4) = 0;
    REG32(HPET + 0x10) = 1;
    uint32_t h0 = REG32(HPET + 0xf0), p0 = inl(port), h1 = REG32(HPET + 0xf0);
    while (REG32(HPET + 0xf0) < 3000000)
        ;
    uint32_t h2 = REG32(HPET + 0xf0), p1 = inl(port), h3 = REG32(HPET + 0xf0);
    uint32_t ticks = (p1 - p0) & MASK, least = (h2 - h1) / 28 * 99 / 100, most = (h3 - h0) / 27 * 101 / 100;
    check("PM timer, not too slow", ticks >= least, true);
    check("PM timer, not too fast", ticks <= most || h3 - h0 > 200000000, true);
    REG32(HPET + 0x10) = 0;
}

void test_timers(void)
{
    test_pit_one_shot();
    test_hpet();
    test_local_one_shot();
    test_local_periodic();
    test_deadline();
    test_pm_timer();
}
