/*
 * Resets by port 0xcf9 (82371SB data sheet, RC), the keyboard controller and a triple fault, one after another, then
 * power-off by ACPI (6.4, 4.8.3.2: PM1 control). What is to come next is kept in the RTC's RAM.
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum { CMOS_MAGIC = 0x70, CMOS_STAGE = 0x71, MAGIC = 0xa5, UNDER_WAY = 0x80 };
static const char *const names[] = { "reset by port 0xcf9", "reset by the keyboard controller",
                                     "reset by a triple fault" };

static uint8_t cmos_read(uint8_t at)
{
    outb(0x70, at);
    return inb(0x71);
}

static void cmos_write(uint8_t at, uint8_t value)
{
    outb(0x70, at);
    outb(0x71, value);
}

unsigned power_stage(void)
{
    unsigned stage = cmos_read(CMOS_MAGIC) == MAGIC ? cmos_read(CMOS_STAGE) : 0;
    if (stage > 0 && stage <= 3)
        check(names[stage - 1], true, true);
    if (stage & UNDER_WAY) {
        check("no other resets", stage, 0);
        outb(END, 0x11);
    }
    cmos_write(CMOS_MAGIC, MAGIC);
    cmos_write(CMOS_STAGE, (uint8_t)(stage | UNDER_WAY));
    return stage;
}

/* 82371AB: the power management function's ports, enabled. */
uint16_t pm_base(void)
{
    unsigned device = pci_find(0x71138086);
    if (!(pci_read(device, 0x40) & 0xffc0))
        pci_write(device, 0x40, 0x600);
    pci_write(device, 0x80, pci_read(device, 0x80) | 1);
    return pci_read(device, 0x40) & 0xffc0;
}

static void triple_fault(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } none = { 0, 0 };
    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

void power_next(unsigned stage)
{
    cmos_write(CMOS_STAGE, (uint8_t)(stage + 1));
    switch (stage) {
    case 0:
        outb(0xcf9, 2);
        outb(0xcf9, 6);
        break;
    case 1:
        outb(0x64, 0xfe);
        break;
    case 2:
        triple_fault();
        break;
    default:
        put("end\n");
        outw(pm_base() + 4, 0x2000); /* SLP_EN; SLP_TYP 0 is S5 here */
        break;
    }
    for (;;) /* until it takes effect */
        __asm__ volatile("cli; hlt");
}
