/*
 * Devices that are taken away while other processors use them: one loads from registers, one stores to video memory.
 * The eject register is that of ACPI PCI hot-plug (docs/specs/acpi_pci_hotplug of QEMU).
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

enum {
    E1000 = 0x100e8086,
    SECONDARY_VGA = 0x11111234,
    EJECT = 0xae08,
    TURNS = 100,
    PLACE = 0xe0000000u,
    FAR = 0x2000000
};

static volatile uint32_t at[2], turns[2];

static void load(void)
{
    for (; at[0]; turns[0]++)
        (void)REG32(at[0] + 8);
}

static void store(void)
{
    for (; at[1]; turns[1]++)
        REG32(at[1] + turns[1] % 0x1000 * 4) = turns[1];
}

static void wait_for_turns(unsigned n)
{
    uint32_t before = turns[n];
    while (turns[n] - before < TURNS)
        __asm__ volatile("pause");
}

static unsigned take_away(unsigned n, uint32_t id, uint32_t place)
{
    unsigned device, gone = 0;
    while ((device = pci_find(id))) {
        at[n] = pci_bar(device, 0, place + gone * FAR);
        if (!gone++)
            send_ipi(1 + n, 0x4000 | (V_PING + n));
        wait_for_turns(n);
        outl(EJECT, 1u << (device >> 11));
        while (pci_read(device, 0) != UINT32_MAX)
            __asm__ volatile("pause");
        wait_for_turns(n);
    }
    at[n] = 0;
    return gone;
}

void test_unplug(void)
{
    start_others();
    hooks[V_PING] = load;
    hooks[V_PING + 1] = store;
    check("devices taken away from a processor that loads", take_away(0, E1000, PLACE), 8);
    check("from one that stores to their memory", take_away(1, SECONDARY_VGA, PLACE), 8);
}
