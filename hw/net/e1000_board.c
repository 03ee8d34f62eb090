/*
 * What is around an 82540EM on its card: the 93C46 EEPROM, by its Microwire pins and by EERD (5), and the 88E1011 PHY
 * by MDIO (13.4.9, IEEE 802.3 clause 22). The EEPROM is write-protected; the link is always 1000 Mbit/s, full duplex.
 * SPDX-License-Identifier: MIT
 */
#include "hw/net/e1000.h"
#include <string.h>

/* ---- EEPROM ---- */

enum { CLOCK = 0x1, SELECT = 0x2, DATA_IN = 0x4, DATA_OUT = 0x8, REQUEST = 0x40, GRANT = 0x80, PRESENT = 0x100 };
enum { READ_START = 1, READ_DONE = 0x10 };
enum { OP_READ = 2, ADDRESS_BITS = 6, COMMAND_BITS = 1 + 2 + ADDRESS_BITS };
enum { WORD_ID = 0x0b, WORD_CHECKSUM = 0x3f, CHECKSUM = 0xbaba };

void e1000_board_init(E1000 *s)
{
    static const uint16_t words[] = { [WORD_ID] = 0x1100, 0x1af4, 0x100e, 0x8086, 0x3040 },
                          control = 0x4408; /* word 0a: as PCI configuration space has it here */
    uint16_t sum = 0;
    memcpy(s->eeprom, words, sizeof(words));
    for (unsigned i = 0; i < 3; i++)
        s->eeprom[i] = pci_get16(s->mac + 2 * i);
    s->eeprom[0x0a] = control;
    for (unsigned i = 0; i < WORD_CHECKSUM; i++)
        sum += s->eeprom[i];
    s->eeprom[WORD_CHECKSUM] = CHECKSUM - sum;
}

/* A bit comes with each rising clock. Reads go on with the next word as long as the chip is selected. */
static void clock_bit(E1000 *s, bool bit)
{
    if (!s->microwire.active) {
        s->microwire.active = bit;
        s->microwire.in = bit;
        s->microwire.bits = bit;
        s->microwire.level = 1;
        return;
    }
    if (s->microwire.bits < COMMAND_BITS) {
        s->microwire.in = s->microwire.in << 1 | bit;
        if (++s->microwire.bits == COMMAND_BITS && s->microwire.in >> ADDRESS_BITS == (1 << 2 | OP_READ)) {
            s->microwire.out = s->eeprom[s->microwire.in % E1000_EEPROM_WORDS];
            s->microwire.level = 0; /* a zero comes before the data */
        }
        return;
    }
    if (s->microwire.in >> ADDRESS_BITS != (1 << 2 | OP_READ))
        return;
    s->microwire.level = s->microwire.out >> 15;
    s->microwire.out <<= 1;
    if (++s->microwire.bits == COMMAND_BITS + 16) {
        unsigned next = (s->microwire.in + 1) % E1000_EEPROM_WORDS;
        s->microwire.in = (s->microwire.in & ~(E1000_EEPROM_WORDS - 1)) | next;
        s->microwire.out = s->eeprom[next];
        s->microwire.bits = COMMAND_BITS;
    }
}

uint32_t e1000_eecd_read(const E1000 *s)
{
    uint32_t value = e1000_get(s, E1000_EECD);
    bool out = value & SELECT ? s->microwire.level : 1;
    return value | PRESENT | (out ? DATA_OUT : 0) | (value & REQUEST ? GRANT : 0);
}

void e1000_eecd_write(E1000 *s, uint32_t value)
{
    uint32_t before = e1000_get(s, E1000_EECD);
    *e1000_reg(s, E1000_EECD) = value & (CLOCK | SELECT | DATA_IN | 0x30 | REQUEST);
    if (!(value & SELECT) || !(before & SELECT)) {
        memset(&s->microwire, 0, sizeof(s->microwire));
        s->microwire.level = 1;
    }
    if (value & SELECT && value & CLOCK && !(before & CLOCK))
        clock_bit(s, value & DATA_IN);
}

void e1000_eerd_write(E1000 *s, uint32_t value)
{
    unsigned address = value >> 8 & 0xff;
    if (!(value & READ_START)) {
        *e1000_reg(s, E1000_EERD) = value & 0xff00;
        return;
    }
    uint32_t data = address < E1000_EEPROM_WORDS ? s->eeprom[address] : 0xffff;
    *e1000_reg(s, E1000_EERD) = data << 16 | (value & 0xff00) | READ_DONE;
}

/* ---- PHY ---- */

enum {
    PHY_CONTROL,
    PHY_STATUS,
    PHY_ID1,
    PHY_ID2,
    PHY_ADVERTISED,
    PHY_PARTNER,
    PHY_EXPANSION,
    PHY_NEXT_PAGE,
    PHY_PARTNER_PAGE,
    PHY_1000_CONTROL,
    PHY_1000_STATUS,
    PHY_EXTENDED = 15,
    PHY_SPECIFIC_CONTROL,
    PHY_SPECIFIC_STATUS,
    PHY_INT_ENABLE,
    PHY_INT_STATUS,
    PHY_SPECIFIC_EXTENDED
};
enum { CONTROL_RESTART = 0x0200, CONTROL_LOOPBACK = 0x4000, CONTROL_RESET = 0x8000 };
enum { STATUS_LINK = 0x0004, STATUS_NEGOTIATED = 0x0020, SPECIFIC_LINK = 0x0c00 };
enum {
    MDIC_DATA = 0xffff,
    MDIC_WRITE = 1,
    MDIC_READ = 2,
    MDIC_READY = 1 << 28,
    MDIC_INT = 1 << 29,
    MDIC_ERROR = 1 << 30
};

static const struct {
    uint16_t reset, writable;
} phy_registers[E1000_PHY_REGISTERS] = {
    [PHY_CONTROL] = { 0x1140, 0x7dc0 },
    [PHY_STATUS] = { 0x7949, 0 },
    [PHY_ID1] = { 0x0141, 0 },
    [PHY_ID2] = { 0x0c20, 0 },
    [PHY_ADVERTISED] = { 0x0de1, 0xffff },
    [PHY_PARTNER] = { 0xcde1, 0 },
    [PHY_EXPANSION] = { 0x000f, 0 },
    [PHY_NEXT_PAGE] = { 0x2001, 0xbfff },
    [PHY_1000_CONTROL] = { 0x0e00, 0xff00 },
    [PHY_1000_STATUS] = { 0x3c00, 0 },
    [PHY_EXTENDED] = { 0x3000, 0 },
    [PHY_SPECIFIC_CONTROL] = { 0x0068, 0xffff },
    [PHY_SPECIFIC_STATUS] = { 0xa008, 0 },
    [PHY_INT_ENABLE] = { 0, 0xffff },
    [PHY_SPECIFIC_EXTENDED] = { 0x0d60, 0xffff },
    [29] = { 0, 0xffff }, /* page and data of the PHY's own tests */
    [30] = { 0, 0xffff },
};

void e1000_phy_reset(E1000 *s)
{
    for (unsigned i = 0; i < E1000_PHY_REGISTERS; i++)
        s->phy[i] = phy_registers[i].reset;
}

bool e1000_phy_loopback(const E1000 *s)
{
    return s->phy[PHY_CONTROL] & CONTROL_LOOPBACK;
}

static uint16_t phy_read(const E1000 *s, unsigned reg)
{
    uint16_t value = s->phy[reg];
    if (!e1000_link_up(s))
        return reg == PHY_PARTNER || reg == PHY_1000_STATUS ? 0 : value;
    if (reg == PHY_STATUS)
        value |= STATUS_LINK | STATUS_NEGOTIATED;
    else if (reg == PHY_SPECIFIC_STATUS)
        value |= SPECIFIC_LINK;
    return value;
}

/* Negotiation is over at once: there is one partner, which can do everything. */
static void phy_write(E1000 *s, unsigned reg, uint16_t value)
{
    uint16_t writable = phy_registers[reg].writable;
    if (reg == PHY_CONTROL && value & CONTROL_RESET) {
        uint16_t kept = s->phy[PHY_CONTROL];
        e1000_phy_reset(s);
        s->phy[PHY_CONTROL] = (kept & ~writable) | (value & writable & ~CONTROL_LOOPBACK);
    } else {
        s->phy[reg] = (s->phy[reg] & ~writable) | (value & writable);
    }
    if (reg == PHY_CONTROL && value & (CONTROL_RESET | CONTROL_RESTART) && e1000_link_up(s))
        e1000_raise(s, E1000_INT_LSC);
}

void e1000_mdic_write(E1000 *s, uint32_t value)
{
    unsigned reg = value >> 16 & 0x1f, phy = value >> 21 & 0x1f, op = value >> 26 & 3;
    uint32_t answer = (value & ~(uint32_t)(MDIC_ERROR | 1u << 31)) | MDIC_READY;
    if (phy != 1)
        answer |= MDIC_ERROR;
    else if (op == MDIC_READ)
        answer = (answer & ~MDIC_DATA) | phy_read(s, reg);
    else if (op == MDIC_WRITE)
        phy_write(s, reg, value & MDIC_DATA);
    else
        guest_error(&s->pci.dev, "MDIC: operation %u is neither a read nor a write", op);
    *e1000_reg(s, E1000_MDIC) = answer;
    if (value & MDIC_INT)
        e1000_raise(s, E1000_INT_MDAC);
}

void e1000_board_reset(E1000 *s)
{
    memset(&s->microwire, 0, sizeof(s->microwire));
    s->microwire.level = 1;
    e1000_phy_reset(s);
}
