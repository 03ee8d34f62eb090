/*
 * The e1000 as drivers use it, on a back end of the test's own: EEPROM, PHY, frames both ways, offloads, filters,
 * interrupts, back-pressure, and rings that are nonsense. What frames and checksums must be is worked out here.
 * SPDX-License-Identifier: MIT
 */
#include "hw/net/e1000.h"
#include "hw/pci/i440fx.h"
#include "net/backend.h"
#include "pcboard.h"
#include <string.h>

#define BAR     UINT64_C(0xe0000000)
#define PORTS   0xc000
#define RING    64
#define BUFFERS 2048
enum { SLOT = 3 << 3 };
enum { TCTL_ON = 0x0a, RCTL_ON = 0x04008002 }; /* enabled, padding; enabled, broadcasts, FCS stripped */
enum {
    EOP = 1 << 24,
    RS = 1 << 27,
    DEXT = 1 << 29,
    VLE = 1 << 30,
    TSE = 1 << 26,
    LEGACY_SUM = 1 << 26,
    DATA = 1 << 20
};

typedef struct Nic {
    PcBoard *board;
    DevMachine *m;
    E1000 *dev;
    Netdev *n;
    GPtrArray *sent; /* GByteArray *: what came out */
    uint64_t tx, rx, data;
    uint32_t tail, taken; /* of the rings: TDT; the next descriptor that the driver looks at */
} Nic;

/* ---- the wire ---- */

static void wire_send(Netdev *n, const uint8_t *frame, size_t len)
{
    g_ptr_array_add(((Nic *)n->state)->sent, g_byte_array_append(g_byte_array_new(), frame, len));
}

static const NetdevType large_wire = { .name = "large", .large = true, .send = wire_send };
static const NetdevType wire = { .name = "wire", .desc = "the test's end", .send = wire_send };

static void bytes_free(void *bytes)
{
    g_byte_array_unref(bytes);
}

static uint32_t get(Nic *nic, unsigned reg)
{
    return r32(nic->m, BAR + reg);
}

static void set(Nic *nic, unsigned reg, uint32_t value)
{
    w32(nic->m, BAR + reg, value);
}

static void start_rings(Nic *nic)
{
    set(nic, E1000_TDBAL, nic->tx);
    set(nic, E1000_TDLEN, RING * 16);
    set(nic, E1000_TCTL, TCTL_ON);
    for (unsigned i = 0; i < RING; i++)
        w64(nic->m, nic->rx + 16 * i, nic->data + 0x100000 + i * BUFFERS);
    set(nic, E1000_RDBAL, nic->rx);
    set(nic, E1000_RDLEN, RING * 16);
    set(nic, E1000_RDT, RING - 1);
    set(nic, E1000_RCTL, RCTL_ON);
}

static Nic *nic_new_on(const NetdevType *type)
{
    GError *err = NULL;
    Nic *nic = g_new0(Nic, 1);
    nic->board = pc_new(&i440fx_host_type);
    nic->m = nic->board->m;
    nic->n = net_register(type, "n0", nic);
    nic->sent = g_ptr_array_new_with_free_func(bytes_free);
    nic->dev = (E1000 *)devm_device_add(nic->m, "e1000,netdev=n0,addr=3.0,romfile=", &err);
    g_assert_no_error(err);
    nic->m->machine->state = RUN_RUNNING;
    set_config(nic->board, SLOT, PCI_BAR0, 4, BAR);
    set_config(nic->board, SLOT, PCI_BAR0 + 4, 4, PORTS);
    set_config(nic->board, SLOT, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    nic->tx = devm_dma(nic->m, RING * 16, 16);
    nic->rx = devm_dma(nic->m, RING * 16, 16);
    nic->data = devm_dma(nic->m, 4 << 20, 4096);
    start_rings(nic);
    return nic;
}

static Nic *nic_new(void)
{
    return nic_new_on(&wire);
}

static void nic_free(Nic *nic)
{
    pc_free(nic->board);
    devm_poll(NULL, NULL);
    net_remove(nic->n);
    g_ptr_array_unref(nic->sent);
    g_free(nic);
}

static void make_frame(uint8_t *frame, size_t len, unsigned seed)
{
    static const uint8_t addresses[] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
    for (size_t i = 0; i < len; i++)
        frame[i] = (i * 31 + seed * 97) >> (i & 3);
    memcpy(frame, addresses, MIN(len, sizeof(addresses)));
}

/* ---- the driver's side ---- */

static void put_descriptor(Nic *nic, uint64_t addr, uint32_t command, uint32_t rest)
{
    uint64_t at = nic->tx + 16 * nic->tail;
    w64(nic->m, at, addr);
    w32(nic->m, at + 8, command);
    w32(nic->m, at + 12, rest);
    nic->tail = (nic->tail + 1) % RING;
}

static void kick(Nic *nic)
{
    set(nic, E1000_TDT, nic->tail);
    devm_poll(NULL, NULL);
}

static void expect_sent(Nic *nic, unsigned n, const uint8_t *frame, size_t len)
{
    g_assert_cmpuint(nic->sent->len, >, n);
    const GByteArray *got = nic->sent->pdata[n];
    g_assert_cmpmem(got->data, got->len, frame, len);
}

static void deliver(Nic *nic, const uint8_t *frame, size_t len)
{
    net_deliver(nic->n, frame, len);
    net_flush(nic->n);
}

/* The next packet of the ring, from as many descriptors as it takes; NULL if there is none. Gives its last descriptor.
 */
static GByteArray *take(Nic *nic, uint8_t last[16])
{
    g_autoptr(GByteArray) frame = g_byte_array_new();
    for (;;) {
        uint8_t bytes[16384];
        devm_get(nic->m, nic->rx + 16 * nic->taken, last, 16);
        if (!(last[12] & 1))
            return NULL;
        devm_get(nic->m, pci_get32(last), bytes, pci_get16(last + 8));
        g_byte_array_append(frame, bytes, pci_get16(last + 8));
        w32(nic->m, nic->rx + 16 * nic->taken + 12, 0);
        set(nic, E1000_RDT, nic->taken);
        nic->taken = (nic->taken + 1) % RING;
        if (last[12] & 2)
            return g_steal_pointer(&frame);
    }
}

static bool hears(Nic *nic, const uint8_t *frame, size_t len)
{
    uint8_t last[16];
    deliver(nic, frame, len);
    g_autoptr(GByteArray) got = take(nic, last);
    return got;
}

static uint16_t sum_of(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? data[i] : data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
}

/* An Ethernet frame with a TCP packet in it whose IP checksum is right, and whose TCP checksum is if whole. */
static void make_tcp(uint8_t *frame, size_t len, bool whole)
{
    make_frame(frame, len, 5);
    put16(frame + 12, 0x0800);
    static const uint8_t ip[] = { 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2 },
                         tcp[] = { 0x10, 0, 0, 80, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0x50, 0x19, 1, 0, 0, 0, 0, 0 };
    memcpy(frame + 14, ip, 20);
    memcpy(frame + 34, tcp, 20);
    put16(frame + 16, len - 14);
    put16(frame + 24, ~sum_of(frame + 14, 20, 0));
    uint32_t pseudo = sum_of(frame + 26, 8, 6 + (len - 34));
    if (whole)
        put16(frame + 50, ~sum_of(frame + 34, len - 34, pseudo));
}

/* ---- EEPROM, PHY, link ---- */

static unsigned eecd_clock(Nic *nic, unsigned di)
{
    set(nic, E1000_EECD, 2 | di << 2);
    set(nic, E1000_EECD, 2 | di << 2 | 1);
    return get(nic, E1000_EECD) >> 3 & 1;
}

static uint16_t microwire(Nic *nic, unsigned word)
{
    uint16_t value = 0;
    unsigned bit = 0;
    set(nic, E1000_EECD, 2);
    for (int i = 8; i >= 0; i--)
        bit = eecd_clock(nic, (6u << 6 | word) >> i & 1);
    g_assert_cmpuint(bit, ==, 0); /* before the data */
    for (unsigned i = 0; i < 16; i++)
        value = value << 1 | eecd_clock(nic, 0);
    set(nic, E1000_EECD, 0);
    return value;
}

static void test_eeprom(void)
{
    Nic *nic = nic_new();
    uint16_t sum = 0;
    for (unsigned i = 0; i < 64; i++) {
        set(nic, E1000_EERD, i << 8 | 1);
        uint32_t value = get(nic, E1000_EERD);
        g_assert_true(value & 0x10);
        g_assert_cmphex(microwire(nic, i), ==, value >> 16);
        sum += value >> 16;
    }
    g_assert_cmphex(sum, ==, 0xbaba);
    g_assert_cmphex(microwire(nic, 0), ==, 0x5452);
    g_assert_cmphex(microwire(nic, 2), ==, 0x5634);
    g_assert_cmphex(get(nic, E1000_RA), ==, 0x12005452);
    g_assert_cmphex(get(nic, E1000_RA + 4), ==, 0x80005634);
    set(nic, E1000_EERD, 64 << 8 | 1);
    g_assert_cmphex(get(nic, E1000_EERD) >> 16, ==, 0xffff);
    set(nic, E1000_EECD, 0x40); /* request: granted */
    g_assert_cmphex(get(nic, E1000_EECD) & 0xc0, ==, 0xc0);
    nic_free(nic);
}

static uint32_t phy(Nic *nic, unsigned reg)
{
    set(nic, E1000_MDIC, 1 << 21 | reg << 16 | 2u << 26);
    g_assert_true(get(nic, E1000_MDIC) >> 28 & 1);
    return get(nic, E1000_MDIC) & 0xffff;
}

static void test_link(void)
{
    Nic *nic = nic_new();
    g_assert_cmphex(phy(nic, 2), ==, 0x0141);
    g_assert_cmphex(phy(nic, 3) & 0xfff0, ==, 0x0c20);
    g_assert_cmphex(phy(nic, 1) & 0x24, ==, 0x24);
    g_assert_cmphex(get(nic, E1000_STATUS) & 2, ==, 2);
    get(nic, E1000_ICR);
    net_set_link(nic->n, false);
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_LSC);
    g_assert_cmphex(get(nic, E1000_ICR), ==, 0);
    g_assert_cmphex(get(nic, E1000_STATUS) & 2, ==, 0);
    g_assert_cmphex(phy(nic, 1) & 0x24, ==, 0);
    net_set_link(nic->n, true);
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_LSC);
    set(nic, E1000_MDIC, 2 << 21 | 2u << 26); /* there is no other PHY */
    g_assert_true(get(nic, E1000_MDIC) >> 30 & 1);
    set(nic, E1000_MDIC, 1 << 21 | 4 << 16 | 1u << 26 | 1 << 29 | 0x1234); /* written, with an interrupt */
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_MDAC);
    g_assert_cmphex(phy(nic, 4), ==, 0x1234);
    out(nic->m, PORTS, 4, E1000_FCT); /* a register by the ports */
    out(nic->m, PORTS + 4, 4, 0xf8808);
    g_assert_cmphex(in(nic->m, PORTS + 4, 4), ==, 0x8808);
    g_assert_cmphex(get(nic, E1000_FCT), ==, 0x8808);
    out(nic->m, PORTS, 4, E1000_CTRL);
    out(nic->m, PORTS + 4, 4, 1 << 26); /* reset */
    g_assert_cmphex(get(nic, E1000_FCT), ==, 0);
    nic_free(nic);
}

/* ---- transmitter ---- */

static void test_send(void)
{
    static const size_t lengths[] = { 14, 42, 60, 61, 1514, 9000, 16000 };
    Nic *nic = nic_new();
    uint8_t frame[16384];
    for (unsigned round = 0; round < 40; round++) {
        size_t len = lengths[round % G_N_ELEMENTS(lengths)], parts = 1 + round % 4, at = 0;
        memset(frame, 0, 64);
        make_frame(frame, len, round);
        devm_put(nic->m, nic->data, frame, len);
        unsigned first = nic->tail;
        for (unsigned i = 0; i < parts; i++) {
            size_t here = i + 1 < parts ? len / parts : len - at;
            uint32_t kind = round & 8 ? DEXT | DATA : 0;
            put_descriptor(nic, nic->data + at, here | kind | RS | (i + 1 == parts ? EOP : 0), 0);
            at += here;
        }
        kick(nic);
        g_assert_cmpuint(nic->sent->len, ==, 1);
        expect_sent(nic, 0, frame, MAX(len, 60));
        g_ptr_array_set_size(nic->sent, 0);
        for (unsigned i = 0; i < parts; i++)
            g_assert_cmphex(r8(nic->m, nic->tx + 16 * ((first + i) % RING) + 12), ==, 1);
        g_assert_cmphex(get(nic, E1000_ICR) & 3, ==, E1000_INT_TXDW | E1000_INT_TXQE);
        g_assert_cmpuint(get(nic, E1000_TDH), ==, nic->tail);
    }
    g_assert_cmpuint(get(nic, E1000_GPTC), ==, 40);
    g_assert_cmpuint(get(nic, E1000_GPTC), ==, 0); /* a read clears it */
    nic_free(nic);
}

static void test_tags_and_sums(void)
{
    Nic *nic = nic_new();
    uint8_t frame[200], want[204];
    make_frame(frame, sizeof(frame), 1);
    devm_put(nic->m, nic->data, frame, sizeof(frame));
    set(nic, E1000_CTRL, get(nic, E1000_CTRL) | E1000_CTRL_VME);
    put_descriptor(nic, nic->data, sizeof(frame) | EOP | VLE, 0x2123u << 16);
    kick(nic);
    memcpy(want, frame, 12);
    put16(want + 12, 0x8100);
    put16(want + 14, 0x2123);
    memcpy(want + 16, frame + 12, sizeof(frame) - 12);
    expect_sent(nic, 0, want, sizeof(want));
    /* legacy: from byte 20 on, at byte 30 */
    put_descriptor(nic, nic->data, sizeof(frame) | EOP | LEGACY_SUM | 30 << 16, 20 << 8);
    kick(nic);
    memcpy(want, frame, sizeof(frame));
    put16(want + 30, ~sum_of(frame + 20, sizeof(frame) - 20, 0));
    expect_sent(nic, 1, want, sizeof(frame));
    /* a context: IP's header, TCP's packet */
    make_tcp(want, sizeof(frame), true);
    memcpy(frame, want, sizeof(frame));
    put16(frame + 24, 0);
    put16(frame + 50, sum_of(frame + 26, 8, 6 + sizeof(frame) - 34));
    devm_put(nic->m, nic->data, frame, sizeof(frame));
    put_descriptor(nic, (uint64_t)(34 | 50 << 8) << 32 | 33 << 16 | 24 << 8 | 14, DEXT, 0);
    put_descriptor(nic, nic->data, sizeof(frame) | EOP | DEXT | DATA, 0x300);
    kick(nic);
    expect_sent(nic, 2, want, sizeof(frame));
    nic_free(nic);
}

/* Segments of a TCP packet: headers in a descriptor of their own, data in two. */
static void send_segmented(Nic *nic, size_t len, unsigned mss)
{
    uint8_t frame[32768];
    make_tcp(frame, len, false);
    put16(frame + 16, 0);
    put16(frame + 24, 0);
    put16(frame + 50, sum_of(frame + 26, 8, 6)); /* without a length */
    devm_put(nic->m, nic->data, frame, len);
    put_descriptor(nic, (uint64_t)(34 | 50 << 8) << 32 | 33 << 16 | 24 << 8 | 14, (len - 54) | DEXT | TSE | 3 << 24,
                   mss << 16 | 54 << 8);
    put_descriptor(nic, nic->data, 54 | DEXT | DATA | TSE, 0x300);
    put_descriptor(nic, nic->data + 54, 1000 | DEXT | DATA | TSE, 0);
    put_descriptor(nic, nic->data + 1054, (len - 1054) | DEXT | DATA | TSE | EOP | RS, 0);
    kick(nic);
}

static void test_segments(void)
{
    for (unsigned large = 0; large < 2; large++) {
        Nic *nic = nic_new_on(large ? &large_wire : &wire);
        uint8_t whole[32768];
        const size_t len = 54 + 5 * 1460 + 7;
        size_t at = 54, mss = large ? len - 54 : 1460;
        make_tcp(whole, len, false);
        send_segmented(nic, len, 1460);
        g_assert_cmpuint(nic->sent->len, ==, large ? 1 : 6);
        for (unsigned i = 0; i < nic->sent->len; i++) {
            const GByteArray *got = nic->sent->pdata[i];
            const uint8_t *f = got->data;
            size_t n = MIN(mss, len - at);
            bool last = at + n == len;
            g_assert_cmpuint(got->len, ==, 54 + n);
            g_assert_cmpmem(f + 54, n, whole + at, n);
            g_assert_cmpuint(f[16] << 8 | f[17], ==, 40 + n);
            g_assert_cmphex(f[18] << 8 | f[19], ==, 0x1234 + i);
            uint32_t sequence = (uint32_t)f[38] << 24 | f[39] << 16 | f[40] << 8 | f[41];
            g_assert_cmphex(sequence, ==, 0xffffff00u + (uint32_t)(at - 54)); /* around its end */
            g_assert_cmphex(f[47], ==, last ? 0x19 : 0x10);
            g_assert_cmphex(sum_of(f + 14, 20, 0), ==, 0xffff);
            g_assert_cmphex(sum_of(f + 34, 20 + n, sum_of(f + 26, 8, 6 + 20 + n)), ==, 0xffff);
            at += n;
        }
        g_assert_cmpuint(at, ==, len);
        g_assert_cmpuint(get(nic, E1000_TSCTC), ==, 1);
        nic_free(nic);
    }
}

/* More than the netdev takes at once stays in the ring, in the middle of a packet, too. */
static void test_back_pressure(void)
{
    Nic *nic = nic_new();
    unsigned total = 0;
    for (unsigned i = 0; i < 15; i++) {
        uint8_t frame[16000];
        make_frame(frame, sizeof(frame), i);
        devm_put(nic->m, nic->data + i * 16384, frame, sizeof(frame));
    }
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 15; i++)
            put_descriptor(nic, nic->data + i * 16384, 16000 | EOP | RS, 0);
        set(nic, E1000_TDT, nic->tail);
    }
    for (unsigned i = 0; i < 3; i++) { /* 900 kB, and 12000 segments more */
        put_descriptor(nic, (uint64_t)(34 | 50 << 8) << 32 | 14, 16000 | DEXT | TSE | 3 << 24, 4 << 16 | 54 << 8);
        put_descriptor(nic, nic->data, 16000 | DEXT | DATA | TSE | EOP | RS, 0x200);
        total += (16000 - 54 + 3) / 4;
        set(nic, E1000_TDT, nic->tail);
        if (i == 0)
            g_assert_cmpuint(get(nic, E1000_TDH), !=, nic->tail);
        devm_poll(NULL, NULL);
    }
    devm_poll(NULL, NULL);
    g_assert_cmpuint(get(nic, E1000_TDH), ==, nic->tail);
    g_assert_cmpuint(nic->sent->len, ==, 60 + total);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t frame[16000];
        make_frame(frame, sizeof(frame), i % 15);
        expect_sent(nic, i, frame, sizeof(frame));
    }
    nic_free(nic);
}

/* ---- receiver ---- */

static void test_receive(void)
{
    static const size_t lengths[] = { 60, 61, 1514, 2048, 2049, 9000, 16000 };
    Nic *nic = nic_new();
    uint8_t frame[16384], last[16];
    set(nic, E1000_RCTL, RCTL_ON | 0x20); /* long ones, too */
    for (unsigned round = 0; round < 80; round++) {
        size_t len = lengths[round % G_N_ELEMENTS(lengths)];
        make_frame(frame, len, round);
        deliver(nic, frame, len);
        g_autoptr(GByteArray) got = take(nic, last);
        g_assert_nonnull(got);
        g_assert_cmpmem(got->data, got->len, frame, len);
        g_assert_cmphex(last[12], ==, 0x07); /* done, last, checksums not looked at */
        g_assert_true(get(nic, E1000_ICR) & E1000_INT_RXT0);
    }
    set(nic, E1000_RCTL, RCTL_ON & ~0x04000000); /* with the FCS: what is left of the CRC over all is known */
    make_frame(frame, 42, 1);
    deliver(nic, frame, 42);
    g_autoptr(GByteArray) got = take(nic, last);
    g_assert_cmpuint(got->len, ==, 64); /* padded */
    uint32_t crc = ~0u;
    for (unsigned i = 0; i < got->len * 8; i++)
        crc = crc >> 1 ^ (((crc ^ got->data[i / 8] >> i % 8) & 1) ? 0xedb88320 : 0);
    g_assert_cmphex(crc, ==, 0xdebb20e3);
    make_frame(frame, 1515, 1);
    g_assert_false(hears(nic, frame, 1515)); /* too long now */
    g_assert_cmpuint(get(nic, E1000_ROC), ==, 1);
    g_assert_cmpuint(get(nic, E1000_GPRC), ==, 81);
    nic_free(nic);
}

static void test_filters(void)
{
    Nic *nic = nic_new();
    uint8_t frame[64], last[16];
    make_frame(frame, sizeof(frame), 1);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    frame[5]++;
    g_assert_false(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RCTL, RCTL_ON | 8);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RCTL, RCTL_ON);
    set(nic, E1000_RA + 8, pci_get32(frame)); /* a second address */
    set(nic, E1000_RA + 12, 0x80000000 | pci_get16(frame + 4));
    g_assert_true(hears(nic, frame, sizeof(frame)));
    memset(frame, 0xff, 6);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RCTL, RCTL_ON & ~0x8000);
    g_assert_false(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RCTL, RCTL_ON);
    static const uint8_t group[] = { 1, 0, 0x5e, 0, 0x12, 0x34 };
    memcpy(frame, group, 6);
    g_assert_false(hears(nic, frame, sizeof(frame)));
    for (unsigned offset = 0; offset < 4; offset++) {
        static const unsigned shifts[] = { 4, 3, 2, 0 };
        unsigned bit = 0x3412 >> shifts[offset] & 0xfff;
        set(nic, E1000_RCTL, RCTL_ON | offset << 12);
        set(nic, E1000_MTA + bit / 32 * 4, 1u << bit % 32);
        deliver(nic, frame, sizeof(frame));
        g_autoptr(GByteArray) got = take(nic, last);
        g_assert_nonnull(got);
        g_assert_cmphex(last[12] & 0x80, ==, 0x80); /* perhaps not ours */
        set(nic, E1000_MTA + bit / 32 * 4, 0);
        g_assert_false(hears(nic, frame, sizeof(frame)));
    }
    set(nic, E1000_RCTL, RCTL_ON | 0x10);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    nic_free(nic);
}

static void test_tagged(void)
{
    Nic *nic = nic_new();
    uint8_t frame[100], last[16];
    make_frame(frame, sizeof(frame), 1);
    put16(frame + 12, 0x8100);
    put16(frame + 14, 0x6123);
    g_assert_true(hears(nic, frame, sizeof(frame))); /* as it is */
    set(nic, E1000_RCTL, RCTL_ON | 1 << 18);
    g_assert_false(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_VFTA + 0x123 / 32 * 4, 1u << 0x123 % 32);
    set(nic, E1000_CTRL, get(nic, E1000_CTRL) | E1000_CTRL_VME);
    deliver(nic, frame, sizeof(frame));
    g_autoptr(GByteArray) got = take(nic, last);
    g_assert_nonnull(got);
    g_assert_cmpuint(got->len, ==, sizeof(frame) - 4);
    g_assert_cmpmem(got->data, 12, frame, 12);
    g_assert_cmpmem(got->data + 12, got->len - 12, frame + 16, sizeof(frame) - 16);
    g_assert_cmphex(last[12] & 8, ==, 8);
    g_assert_cmphex(pci_get16(last + 14), ==, 0x6123);
    set(nic, E1000_RCTL, RCTL_ON | 3 << 18 | 1 << 20); /* only those with CFI */
    g_assert_false(hears(nic, frame, sizeof(frame)));
    nic_free(nic);
}

static unsigned status_of(Nic *nic, const uint8_t *frame, size_t len)
{
    uint8_t last[16];
    deliver(nic, frame, len);
    g_autoptr(GByteArray) got = take(nic, last);
    g_assert_nonnull(got);
    g_assert_cmphex(last[13], ==, last[13] & 0x60);
    return last[12] | last[13] << 8;
}

static void test_received_sums(void)
{
    Nic *nic = nic_new();
    uint8_t frame[301];
    set(nic, E1000_RXCSUM, 0x300);
    make_tcp(frame, sizeof(frame), true);
    g_assert_cmphex(status_of(nic, frame, sizeof(frame)), ==, 0x63);
    frame[100] ^= 1;
    g_assert_cmphex(status_of(nic, frame, sizeof(frame)), ==, 0x2063);
    frame[22] ^= 1;
    g_assert_cmphex(status_of(nic, frame, sizeof(frame)), ==, 0x6063);
    set(nic, E1000_RXCSUM, 0x100);
    g_assert_cmphex(status_of(nic, frame, sizeof(frame)), ==, 0x4043);
    make_tcp(frame, sizeof(frame), true);
    put16(frame + 16, 2000); /* longer than the frame: nothing to be said */
    g_assert_cmphex(status_of(nic, frame, sizeof(frame)), ==, 0x07);
    frame[14] = 0x4f;
    g_assert_cmphex(status_of(nic, frame, 60), ==, 0x07);
    nic_free(nic);
}

/* Frames that find no descriptors wait. */
static void test_full_ring(void)
{
    Nic *nic = nic_new();
    uint8_t frame[100], last[16];
    for (unsigned i = 0; i < RING + 20; i++) {
        make_frame(frame, sizeof(frame), i);
        deliver(nic, frame, sizeof(frame));
    }
    g_assert_cmpuint(get(nic, E1000_RDH), ==, RING - 1);
    g_assert_cmphex(get(nic, E1000_ICR) & E1000_INT_RXDMT0, ==, E1000_INT_RXDMT0);
    for (unsigned i = 0; i < RING + 20; i++) {
        make_frame(frame, sizeof(frame), i);
        g_autoptr(GByteArray) got = take(nic, last);
        g_assert_nonnull(got);
        g_assert_cmpmem(got->data, got->len, frame, sizeof(frame));
        devm_poll(NULL, NULL);
    }
    g_assert_false(take(nic, last));
    nic_free(nic);
}

/* ---- interrupts ---- */

static bool line(Nic *nic)
{
    return config(nic->board, SLOT, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

static void test_interrupts(void)
{
    Nic *nic = nic_new();
    uint8_t frame[64];
    make_frame(frame, sizeof(frame), 1);
    get(nic, E1000_ICR);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    g_assert_false(line(nic)); /* masked */
    set(nic, E1000_IMS, E1000_INT_RXT0);
    g_assert_true(line(nic));
    set(nic, E1000_IMC, E1000_INT_RXT0);
    g_assert_false(line(nic));
    set(nic, E1000_IMS, E1000_INT_RXT0);
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_RXT0);
    g_assert_false(line(nic));
    set(nic, E1000_ICS, E1000_INT_RXT0);
    g_assert_true(line(nic));
    set(nic, E1000_ICR, E1000_INT_RXT0); /* writing it clears it, too */
    g_assert_false(line(nic));
    set(nic, E1000_ITR, 1000); /* 256 us */
    set(nic, E1000_ICS, E1000_INT_RXT0);
    g_assert_true(line(nic));
    get(nic, E1000_ICR);
    set(nic, E1000_ICS, E1000_INT_RXT0);
    g_assert_false(line(nic));
    devm_step(nic->m, 255000);
    g_assert_false(line(nic));
    devm_step(nic->m, 2000);
    g_assert_true(line(nic));
    nic_free(nic);
}

/* RDTR starts again with each packet, RADV does not. */
static void test_delays(void)
{
    Nic *nic = nic_new();
    uint8_t frame[64];
    make_frame(frame, sizeof(frame), 1);
    set(nic, E1000_RDTR, 100);
    set(nic, E1000_RADV, 150);
    get(nic, E1000_ICR);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    devm_step(nic->m, 90 * 1024);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    devm_step(nic->m, 50 * 1024);
    g_assert_cmphex(get(nic, E1000_ICR), ==, 0);
    devm_step(nic->m, 11 * 1024);
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_RXT0);
    g_assert_true(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RDTR, 1u << 31 | 100); /* do not wait */
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_RXT0);
    devm_put(nic->m, nic->data, frame, sizeof(frame));
    set(nic, E1000_TIDV, 10);
    put_descriptor(nic, nic->data, sizeof(frame) | EOP | RS | 1u << 31, 0);
    kick(nic);
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_TXQE);
    devm_step(nic->m, 11 * 1024);
    g_assert_cmphex(get(nic, E1000_ICR), ==, E1000_INT_TXDW);
    nic_free(nic);
}

/* ---- what goes wrong ---- */

static void test_nonsense(void)
{
    Nic *nic = nic_new();
    uint8_t frame[64];
    make_frame(frame, sizeof(frame), 1);
    devm_put(nic->m, nic->data, frame, sizeof(frame));
    static const struct {
        uint64_t addr;
        uint32_t command, rest;
    } bad[] = {
        { UINT64_MAX - 20, 100 | EOP, 0 },                /* no memory */
        { 0, EOP, 0 },                                    /* nothing */
        { 0, 13 | EOP, 0 },                               /* less than a header */
        { 0, 0xfffff | EOP | DEXT | DATA, 0 },            /* more than a frame */
        { UINT64_MAX, DEXT | TSE | 0xfffff, UINT32_MAX }, /* a context of ones */
        { 0, 0xfffff | EOP | DEXT | DATA | TSE, 0x300 },  /* used */
        { 0, DEXT | TSE, 54 << 8 },                       /* no MSS */
        { 0, 100 | EOP | DEXT | DATA | TSE, 0x300 },
        { 0, DEXT | TSE, 100 << 16 }, /* no headers */
        { 0, 100 | EOP | DEXT | DATA | TSE, 0x300 },
        { 0, 100 | EOP | DEXT | 5 << 20, 0 }, /* a type that is none */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        put_descriptor(nic, bad[i].addr, bad[i].command, bad[i].rest);
    kick(nic);
    g_assert_cmpuint(get(nic, E1000_TDH), ==, nic->tail);
    g_ptr_array_set_size(nic->sent, 0);
    put_descriptor(nic, nic->data, sizeof(frame) | EOP, 0); /* it goes on */
    kick(nic);
    expect_sent(nic, 0, frame, sizeof(frame));
    /* rings */
    set(nic, E1000_TDT, RING);
    set(nic, E1000_TDT, 0xffff);
    set(nic, E1000_TDLEN, 0);
    set(nic, E1000_TDT, 5);
    set(nic, E1000_RDT, 0xffff);
    g_assert_false(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RDT, RING - 1);
    set(nic, E1000_RDLEN, 0);
    devm_poll(NULL, NULL);
    g_assert_false(hears(nic, frame, sizeof(frame)));
    set(nic, E1000_RDLEN, 8 * 16);
    set(nic, E1000_RDH, 0);
    set(nic, E1000_RDT, 7);
    devm_poll(NULL, NULL); /* those that waited */
    g_assert_cmpuint(get(nic, E1000_RDH), ==, 2);
    get(nic, E1000_ICR);
    uint8_t big[3000];
    make_frame(big, sizeof(big), 1);
    set(nic, E1000_RCTL, RCTL_ON | 0x30020); /* eight buffers of 256 bytes are never enough */
    deliver(nic, big, sizeof(big));
    g_assert_true(get(nic, E1000_ICR) & E1000_INT_RXO);
    set(nic, E1000_RDBAH, 0xffffffff);
    deliver(nic, frame, sizeof(frame));
    g_assert_true(get(nic, E1000_ICR) & E1000_INT_RXO);
    set(nic, E1000_RDBAH, 0);
    set_config(nic->board, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY); /* no bus master */
    deliver(nic, frame, sizeof(frame));
    set_config(nic->board, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmpuint(get(nic, E1000_RDH), ==, 2);
    nic_free(nic);
}

static void test_loopback(void)
{
    Nic *nic = nic_new();
    uint8_t frame[64], last[16];
    make_frame(frame, sizeof(frame), 1);
    devm_put(nic->m, nic->data, frame, sizeof(frame));
    set(nic, E1000_RCTL, RCTL_ON | 0xc0);
    put_descriptor(nic, nic->data, sizeof(frame) | EOP, 0);
    kick(nic);
    g_autoptr(GByteArray) got = take(nic, last);
    g_assert_nonnull(got);
    g_assert_cmpmem(got->data, got->len, frame, sizeof(frame));
    g_assert_cmpuint(nic->sent->len, ==, 0);
    nic_free(nic);
}

/* ---- anything at all ---- */

static void random_descriptor(Nic *nic, GRand *rand)
{
    static const uint32_t commands[] = { EOP,
                                         EOP | RS,
                                         RS,
                                         DEXT | TSE,
                                         DEXT,
                                         DEXT | DATA,
                                         DEXT | DATA | TSE,
                                         DEXT | DATA | TSE | EOP,
                                         DEXT | DATA | EOP | VLE,
                                         LEGACY_SUM | EOP | VLE };
    static const uint32_t lengths[] = { 0, 1, 13, 54, 60, 1514, 2048, 16288, 16289, 65535, 0xfffff };
    uint64_t addr = g_rand_int_range(rand, 0, 8) ? nic->data + g_rand_int_range(rand, 0, 1 << 20)
                                                 : (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    uint32_t command = commands[g_rand_int_range(rand, 0, G_N_ELEMENTS(commands))];
    uint32_t length = lengths[g_rand_int_range(rand, 0, G_N_ELEMENTS(lengths))];
    if (!(command & DATA)) /* a context's offsets, or a short packet */
        addr = g_rand_boolean(rand) ? addr : g_rand_int(rand) | (uint64_t)g_rand_int(rand) << 32;
    if (!(command & DEXT))
        length &= 0xffff;
    put_descriptor(nic, addr, command | length, g_rand_boolean(rand) ? g_rand_int(rand) : 1460u << 16 | 54 << 8 | 3);
}

static void random_register(Nic *nic, GRand *rand)
{
    static const uint16_t registers[] = { E1000_CTRL,   E1000_RCTL,  E1000_TCTL, E1000_TDLEN, E1000_TDH,    E1000_TDT,
                                          E1000_RDLEN,  E1000_RDH,   E1000_RDT,  E1000_RDTR,  E1000_RADV,   E1000_TIDV,
                                          E1000_ITR,    E1000_IMS,   E1000_IMC,  E1000_ICS,   E1000_RXCSUM, E1000_VET,
                                          E1000_TXDCTL, E1000_RSRPD, E1000_MDIC, E1000_RDBAL, E1000_TDBAL };
    unsigned reg = registers[g_rand_int_range(rand, 0, G_N_ELEMENTS(registers))];
    uint32_t value = g_rand_boolean(rand) ? g_rand_int(rand) : (uint32_t)g_rand_int_range(rand, 0, 2 * RING);
    set(nic, reg, value);
}

/* Rings in good order with anything in them, and registers changed at any time. It ends, and nothing else is touched.
 */
static void test_chaos(void)
{
    for (unsigned large = 0; large < 2; large++) {
        Nic *nic = nic_new_on(large ? &large_wire : &wire);
        g_autoptr(GRand) rand = g_rand_new_with_seed(large + 1);
        uint8_t frame[9000];
        unsigned sent = 0, segmented = 0, received = 0;
        for (unsigned step = 0; step < 4000; step++) {
            for (int n = g_rand_int_range(rand, 0, 6); n; n--)
                random_descriptor(nic, rand);
            set(nic, E1000_TDT, nic->tail);
            if (!g_rand_int_range(rand, 0, 3))
                random_register(nic, rand);
            size_t len = g_rand_int_range(rand, 0, g_rand_boolean(rand) ? 200 : sizeof(frame));
            make_tcp(frame, MAX(len, 60), true);
            for (int n = g_rand_int_range(rand, 0, 4); n; n--)
                frame[g_rand_int_range(rand, 0, 60)] = g_rand_int(rand);
            deliver(nic, frame, len);
            devm_step(nic->m, g_rand_int_range(rand, 0, 100000));
            if (!g_rand_int_range(rand, 0, 16)) {
                devm_poll(NULL, NULL);
                sent += nic->sent->len;
                segmented += get(nic, E1000_TSCTC);
                received += get(nic, E1000_GPRC);
                g_ptr_array_set_size(nic->sent, 0);
                get(nic, E1000_ICR);
            }
            if (!g_rand_int_range(rand, 0, 40)) {
                set(nic, E1000_CTRL, 1 << 26);
                start_rings(nic);
                set(nic, E1000_RCTL, RCTL_ON | (g_rand_int(rand) & 0x020330e8));
                nic->tail = 0;
            }
        }
        g_test_message("%u frames went out, of %u packets cut; %u came in", sent, segmented, received);
        g_assert_cmpuint(MIN(MIN(sent, received), segmented), >, 50);
        nic_free(nic);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/e1000/eeprom", test_eeprom);
    g_test_add_func("/e1000/link", test_link);
    g_test_add_func("/e1000/send", test_send);
    g_test_add_func("/e1000/tags-and-sums", test_tags_and_sums);
    g_test_add_func("/e1000/segments", test_segments);
    g_test_add_func("/e1000/back-pressure", test_back_pressure);
    g_test_add_func("/e1000/receive", test_receive);
    g_test_add_func("/e1000/filters", test_filters);
    g_test_add_func("/e1000/tagged", test_tagged);
    g_test_add_func("/e1000/received-sums", test_received_sums);
    g_test_add_func("/e1000/full-ring", test_full_ring);
    g_test_add_func("/e1000/interrupts", test_interrupts);
    g_test_add_func("/e1000/delays", test_delays);
    g_test_add_func("/e1000/nonsense", test_nonsense);
    g_test_add_func("/e1000/loopback", test_loopback);
    g_test_add_func("/e1000/chaos", test_chaos);
    return g_test_run();
}
