/*
 * virtio-net as drivers use it, on a back end of the test's own: frames both ways, mergeable buffers, filters, the
 * link, back-pressure, and drivers that break the rules. What frames and checksums must be is worked out here.
 * SPDX-License-Identifier: MIT
 */
#include "net/backend.h"
#include "vdriver.h"
#include <string.h>

enum {
    F_CSUM = 1 << 0,
    F_GUEST_CSUM = 1 << 1,
    F_MTU = 1 << 3,
    F_MAC = 1 << 5,
    F_HOST_TSO4 = 1 << 11,
    F_MRG_RXBUF = 1 << 15,
    F_STATUS = 1 << 16,
    F_CTRL_VQ = 1 << 17,
    F_CTRL_VLAN = 1 << 19
};
enum { RX, TX, CONTROL };
enum { HEADER = 12 };
#define QUEUE_SIZE 32
#define EVERY      DRIVER_ALL

/* ---- the wire ---- */

typedef struct Nic {
    Driver *d;
    Netdev *n;
    GPtrArray *sent;                    /* GByteArray *: what came out of the device */
    uint64_t rx_addr[DRIVER_QUEUE_MAX]; /* by id of the buffer */
    uint64_t tx_addr, control_addr;     /* room for a frame, for a command */
} Nic;

static void wire_send(Netdev *n, const uint8_t *frame, size_t len)
{
    Nic *nic = n->state;
    g_ptr_array_add(nic->sent, g_byte_array_append(g_byte_array_new(), frame, len));
}

static const NetdevType large_wire = { .name = "large", .large = true, .send = wire_send };
static const NetdevType wire = { .name = "wire", .desc = "the test's end", .checked = true, .send = wire_send };

static void bytes_free(void *bytes)
{
    g_byte_array_unref(bytes);
}

static Nic *nic_new_on(const NetdevType *type, Transport transport, const char *props)
{
    Nic *nic = g_new0(Nic, 1);
    g_autofree char *all = g_strdup_printf(",netdev=n0%s", props);
    nic->n = net_register(type, "n0", nic);
    nic->sent = g_ptr_array_new_with_free_func(bytes_free);
    nic->d = driver_new(transport, "virtio-net", all);
    nic->tx_addr = devm_dma(nic->d->m, 128 << 10, 16);
    nic->control_addr = devm_dma(nic->d->m, 8 << 10, 16);
    return nic;
}

static Nic *nic_new(Transport transport, const char *props)
{
    return nic_new_on(&wire, transport, props);
}

static void nic_free(Nic *nic)
{
    driver_free(nic->d);
    devm_poll(NULL, NULL);
    net_remove(nic->n);
    g_ptr_array_unref(nic->sent);
    g_free(nic);
}

static void start(Nic *nic, uint64_t features)
{
    driver_start(nic->d, features, QUEUE_SIZE);
}

/* A frame to this address, of len bytes that depend on seed. */
static void make_frame(uint8_t *frame, size_t len, const char *to, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        frame[i] = (i * 31 + seed * 97) >> (i & 3);
    for (unsigned i = 0; i < 6; i++)
        frame[i] = g_ascii_xdigit_value(to[3 * i]) << 4 | g_ascii_xdigit_value(to[3 * i + 1]);
    frame[12] = 0x08;
    frame[13] = 0x00;
}

#define OWN "52:54:00:12:34:56"

static void deliver(Nic *nic, const uint8_t *frame, size_t len)
{
    net_deliver(nic->n, frame, len);
    net_flush(nic->n);
}

/* ---- the driver's side ---- */

/* Make a receive buffer available: one of len bytes in parts. */
static void rx_add(Nic *nic, uint32_t len, unsigned parts, bool indirect)
{
    Seg segs[8];
    uint64_t addr = devm_dma(nic->d->m, len, 4);
    for (unsigned i = 0; i < parts; i++)
        segs[i] = (Seg){ addr + len / parts * i, i + 1 < parts ? len / parts : len - len / parts * i, true };
    int id = dq_add(&nic->d->q[RX], segs, parts, indirect);
    g_assert_cmpint(id, >=, 0);
    nic->rx_addr[id] = addr;
}

static void rx_kick(Nic *nic)
{
    dq_kick(&nic->d->q[RX]);
    devm_poll(NULL, NULL);
}

/* The next frame that the driver sees, or NULL; header gets what is before it. All its buffers must be there. */
static GByteArray *rx_take(Nic *nic, uint8_t header[HEADER])
{
    uint32_t len;
    int id = dq_take(&nic->d->q[RX], &len);
    if (id < 0)
        return NULL;
    GByteArray *frame = g_byte_array_new();
    g_assert_cmpuint(len, >=, HEADER);
    memcpy(header, driver_ram(nic->d, nic->rx_addr[id]), HEADER);
    g_byte_array_append(frame, driver_ram(nic->d, nic->rx_addr[id]) + HEADER, len - HEADER);
    for (unsigned left = pci_get16(header + 10); left > 1; left--) {
        id = dq_take(&nic->d->q[RX], &len);
        g_assert_cmpint(id, >=, 0);
        g_byte_array_append(frame, driver_ram(nic->d, nic->rx_addr[id]), len);
    }
    return frame;
}

static void rx_expect(Nic *nic, const uint8_t *frame, size_t len, unsigned buffers)
{
    uint8_t header[HEADER];
    g_autoptr(GByteArray) got = rx_take(nic, header);
    g_assert_nonnull(got);
    g_assert_cmpmem(got->data, got->len, frame, len);
    g_assert_cmpuint(pci_get16(header + 10), ==, buffers);
    g_assert_cmphex(header[0], ==, nic->d->features & F_GUEST_CSUM ? 2 : 0);
    for (unsigned i = 1; i < 10; i++)
        g_assert_cmphex(header[i], ==, 0);
}

static void rx_expect_none(Nic *nic)
{
    uint8_t header[HEADER];
    g_assert_null(rx_take(nic, header));
}

/* Whether the filters let a frame to this address through. */
static bool hears(Nic *nic, const char *to, int vlan)
{
    uint8_t frame[64], header[HEADER];
    make_frame(frame, sizeof(frame), to, 1);
    if (vlan >= 0) {
        frame[12] = 0x81;
        frame[13] = 0x00;
        frame[14] = 0xe0 | vlan >> 8; /* with a priority */
        frame[15] = vlan;
    }
    rx_add(nic, 256, 1, false);
    rx_kick(nic);
    deliver(nic, frame, sizeof(frame));
    g_autoptr(GByteArray) got = rx_take(nic, header);
    return got;
}

static int tx_add(Nic *nic, uint64_t addr, uint32_t len, unsigned parts, bool indirect)
{
    Seg segs[8];
    uint32_t at = 0;
    for (unsigned i = 0; i < parts; i++) { /* the first one is cut inside the header */
        uint32_t here = i + 1 == parts ? len - at : i ? len / parts : MIN(5, len);
        segs[i] = (Seg){ addr + at, here, false };
        at += here;
    }
    return dq_add(&nic->d->q[TX], segs, parts, indirect);
}

/* Send header and frame; the buffer must come back. */
static void tx(Nic *nic, const uint8_t *header, const uint8_t *frame, size_t len, unsigned parts, bool indirect)
{
    uint32_t written;
    devm_put(nic->d->m, nic->tx_addr, header, HEADER);
    devm_put(nic->d->m, nic->tx_addr + HEADER, frame, len);
    int id = tx_add(nic, nic->tx_addr, HEADER + len, parts, indirect);
    dq_kick(&nic->d->q[TX]);
    g_assert_cmpint(dq_wait(&nic->d->q[TX], &written), ==, id);
    devm_poll(NULL, NULL);
}

static void tx_expect(Nic *nic, const uint8_t *frame, size_t len)
{
    g_assert_cmpuint(nic->sent->len, ==, 1);
    const GByteArray *got = nic->sent->pdata[0];
    g_assert_cmpmem(got->data, got->len, frame, len);
    g_ptr_array_set_size(nic->sent, 0);
}

/* A control command; returns its acknowledgement. */
static uint8_t control(Nic *nic, uint8_t class, uint8_t command, const void *data, uint32_t len)
{
    uint64_t at = nic->control_addr;
    uint32_t written;
    uint8_t head[] = { class, command };
    devm_put(nic->d->m, at, head, 2);
    devm_put(nic->d->m, at + 2, data, len);
    w8(nic->d->m, at + 7000, 0xee);
    Seg segs[] = { { at, 2, false }, { at + 2, len, false }, { at + 7000, 1, true } };
    if (!len)
        segs[1] = segs[2];
    int id = dq_add(&nic->d->q[CONTROL], segs, len ? 3 : 2, false);
    dq_kick(&nic->d->q[CONTROL]);
    g_assert_cmpint(dq_wait(&nic->d->q[CONTROL], &written), ==, id);
    return r8(nic->d->m, at + 7000);
}

static uint8_t control_byte(Nic *nic, uint8_t class, uint8_t command, uint8_t byte)
{
    return control(nic, class, command, &byte, 1);
}

/* ---- tests ---- */

static void test_config(void)
{
    Nic *nic = nic_new(TRANSPORT_PCI, ",host_mtu=1400");
    DevMachine *m = nic->d->m;
    GError *err = NULL;
    start(nic, EVERY);
    uint64_t config = driver_config_addr(nic->d, 0);
    g_assert_true(nic->d->features & F_MTU);
    static const uint8_t mac[] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
    for (unsigned i = 0; i < 6; i++)
        g_assert_cmphex(r8(m, config + i), ==, mac[i]);
    g_assert_cmpuint(r16(m, config + 6), ==, 1);
    g_assert_cmpuint(r16(m, config + 8), ==, 1);
    g_assert_cmpuint(r16(m, config + 10), ==, 1400);
    w8(m, config, 0x66); /* read-only */
    g_assert_cmphex(r8(m, config), ==, 0x52);
    static const char *const bad[][2] = { { "virtio-net-pci,netdev=n0", "used by dev already" },
                                          { "virtio-net-pci,netdev=n1", "no -netdev with id 'n1'" },
                                          { "virtio-net-pci,mac=53:54:00:12:34:56", "group" },
                                          { "virtio-net-pci,mac=52:54:00:12:34", "is not a MAC address" },
                                          { "virtio-net-pci,rx_queue_size=100", "power of two" },
                                          { "virtio-net-pci,tx_queue_size=2048", "power of two" },
                                          { "virtio-net-pci,host_mtu=50", "68 to 65535" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(devm_device_add(m, bad[i][0], &err));
        g_assert_nonnull(strstr(err->message, bad[i][1]));
        g_clear_error(&err);
    }
    g_autofree char *text = net_describe();
    g_assert_cmpstr(text, ==, "n0: type=wire,link=up\n \\ dev\n");
    nic_free(nic);
}

/* Addresses count up, and one that is free again is used again. */
static void test_mac(void)
{
    uint8_t mac[6], second[6];
    net_mac_choose(mac);
    g_assert_cmphex(mac[5], ==, 0x56);
    net_mac_claim(mac);
    net_mac_choose(second);
    g_assert_cmphex(second[5], ==, 0x57);
    net_mac_claim(second);
    net_mac_release(mac);
    net_mac_choose(mac);
    g_assert_cmphex(mac[5], ==, 0x56);
    net_mac_release(second);
}

typedef struct Variant {
    const char *name;
    Transport transport;
    const char *props;
    uint64_t features;
} Variant;
static const Variant variants[] = { { "mmio", TRANSPORT_MMIO, "", EVERY },
                                    { "pci", TRANSPORT_PCI, "", EVERY },
                                    { "msix", TRANSPORT_PCI_MSIX, "", EVERY },
                                    { "packed", TRANSPORT_PCI_MSIX, ",packed=on", EVERY },
                                    { "packed-plain", TRANSPORT_MMIO, ",packed=on", ~VIRTIO_F_EVENT_IDX },
                                    { "plain", TRANSPORT_PCI, "", ~(VIRTIO_F_EVENT_IDX | F_CTRL_VQ) },
                                    { "unmerged", TRANSPORT_PCI, "", ~(uint64_t)F_MRG_RXBUF } };

static void test_frames(gconstpointer data)
{
    const Variant *v = data;
    static const uint8_t header[HEADER];
    static const size_t lengths[] = { 14, 42, 60, 61, 1514, 1518, 9000, 65550 };
    Nic *nic = nic_new(v->transport, v->props);
    g_autofree uint8_t *frame = g_malloc(NET_FRAME_MAX);
    start(nic, v->features);
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        make_frame(frame, lengths[i], OWN, i);
        tx(nic, header, frame, lengths[i], 1 + i % 4, i & 1);
        tx_expect(nic, frame, lengths[i]);
        if (lengths[i] > 20000)
            continue;
        driver_irq(nic->d, 1 + RX);
        dq_interrupt_after(&nic->d->q[RX], 1);
        rx_add(nic, HEADER + lengths[i] + i % 3, 1 + i % 4, i & 1);
        rx_kick(nic);
        deliver(nic, frame, lengths[i]);
        g_assert_true(driver_irq(nic->d, 1 + RX));
        rx_expect(nic, frame, lengths[i], 1);
    }
    nic_free(nic);
}

/* Frames over several buffers, around the ends of the ring; the rest of what was not needed stays available. */
static void test_merge(gconstpointer data)
{
    const Variant *v = data;
    uint8_t frame[4000];
    Nic *nic = nic_new(v->transport, v->props);
    start(nic, v->features);
    for (unsigned round = 0; round < 60; round++) {
        size_t len = 100 + round * 61 % 3900;
        unsigned buffers = (HEADER + len + 499) / 500;
        make_frame(frame, len, OWN, round);
        for (unsigned i = 0; i < buffers; i++)
            rx_add(nic, 500, 1 + (round + i) % 3, false);
        rx_kick(nic);
        deliver(nic, frame, len);
        rx_expect(nic, frame, len, buffers);
        rx_expect_none(nic);
    }
    nic_free(nic);
}

/* A frame waits for as many buffers as it needs, and those behind it wait in order. */
static void test_wait(gconstpointer data)
{
    const Variant *v = data;
    uint8_t big[1000], small[100];
    Nic *nic = nic_new(v->transport, v->props);
    start(nic, v->features);
    make_frame(big, sizeof(big), OWN, 1);
    make_frame(small, sizeof(small), OWN, 2);
    for (unsigned round = 0; round < 40; round++) {
        deliver(nic, big, sizeof(big));
        deliver(nic, small, sizeof(small));
        for (unsigned i = 0; i < 2; i++) {
            rx_add(nic, 400, 1, false);
            rx_kick(nic);
            rx_expect_none(nic);
        }
        rx_add(nic, 400, 1, false);
        g_assert_true(dq_kick(&nic->d->q[RX])); /* the device wants to know */
        devm_poll(NULL, NULL);
        rx_expect(nic, big, sizeof(big), 3);
        rx_expect_none(nic);
        rx_add(nic, 400, 1, false);
        rx_kick(nic);
        rx_expect(nic, small, sizeof(small), 1);
    }
    nic_free(nic);
}

/* What finds no room in the queue is lost, the rest comes in order; a reset forgets what waited. */
static void test_rx_bound(void)
{
    Nic *nic = nic_new(TRANSPORT_PCI, "");
    uint8_t frame[1400], header[HEADER];
    unsigned last = 0, count = 0;
    start(nic, EVERY);
    for (unsigned i = 0; i < 2000; i++) {
        make_frame(frame, sizeof(frame), OWN, 0);
        pci_put32(frame + 100, i);
        deliver(nic, frame, sizeof(frame));
    }
    g_assert_false(net_has_room(nic->n));
    g_autofree char *text = net_describe();
    g_assert_nonnull(strstr(text, ",dropped="));
    for (unsigned round = 0; round < 100; round++) {
        rx_add(nic, 1500, 1, false);
        rx_kick(nic);
        g_autoptr(GByteArray) got = rx_take(nic, header);
        g_assert_nonnull(got);
        g_assert_cmpuint(pci_get32(got->data + 100), ==, last + (count > 0));
        last = pci_get32(got->data + 100);
        count++;
    }
    driver_set_status(nic->d, 0);
    devm_poll(NULL, NULL);
    g_assert_true(net_has_room(nic->n));
    start(nic, EVERY);
    rx_add(nic, 1500, 1, false);
    rx_kick(nic);
    rx_expect_none(nic);
    nic_free(nic);
}

/* The netdev's queue is full: frames stay in the ring, and all come in order once it has room. */
static void test_tx_bound(void)
{
    enum { COUNT = 200, LEN = 16000 };
    Nic *nic = nic_new(TRANSPORT_PCI_MSIX, "");
    DriverQueue *q = &nic->d->q[TX];
    static uint8_t bytes[HEADER + LEN];
    unsigned added = 0, done = 0;
    uint64_t addr = devm_dma(nic->d->m, QUEUE_SIZE * sizeof(bytes), 16), of[DRIVER_QUEUE_MAX];
    for (unsigned i = 0; i < QUEUE_SIZE; i++)
        of[i] = addr + i * sizeof(bytes);
    start(nic, EVERY);
    while (added < COUNT) {
        uint32_t len;
        bool any = false;
        while (added < COUNT && added - done < QUEUE_SIZE) { /* ids come back in order */
            make_frame(bytes + HEADER, LEN, OWN, added);
            pci_put32(bytes + 200, added);
            devm_put(nic->d->m, of[added % QUEUE_SIZE], bytes, sizeof(bytes));
            g_assert_cmpint(tx_add(nic, of[added % QUEUE_SIZE], sizeof(bytes), 1, true), >=, 0);
            added++;
        }
        dq_kick(q);
        for (; dq_take(q, &len) >= 0; any = true)
            done++;
        if (!any) { /* the queue is full, and nothing has run the main loop */
            g_assert_cmpuint(done * LEN, >, 500000);
            g_assert_cmpuint(done * LEN, <, 1200000);
            break;
        }
    }
    g_assert_cmpuint(added, <, COUNT);
    g_assert_cmpuint(nic->sent->len, ==, 0);
    devm_poll(NULL, NULL);
    g_assert_cmpuint(nic->sent->len, ==, added);
    for (unsigned i = 0; i < added; i++) {
        const GByteArray *got = nic->sent->pdata[i];
        g_assert_cmpuint(got->len, ==, LEN);
        g_assert_cmpuint(pci_get32(got->data + 200 - HEADER), ==, i);
    }
    nic_free(nic);
}

static void test_filters(void)
{
    Nic *nic = nic_new(TRANSPORT_PCI, "");
    static const uint8_t other[] = { 0x02, 0, 0, 0, 0, 1 }, five[] = { 5, 0 }, high[] = { 0xff, 0x0f },
                         none[] = { 0, 0x10 };
    static const uint8_t table[] = { 1, 0, 0, 0,    2, 0, 0, 0,    0,    9, 2, 0, 0,
                                     0, 1, 0, 0x5e, 0, 0, 1, 0x33, 0x33, 0, 0, 0, 1 };
    start(nic, ~(uint64_t)F_CTRL_VLAN);
    g_assert_true(hears(nic, "02:00:00:00:00:07", -1)); /* promiscuous until it is told */
    g_assert_cmpuint(control_byte(nic, 0, 0, 0), ==, 0);
    g_assert_false(hears(nic, "02:00:00:00:00:07", -1));
    g_assert_true(hears(nic, OWN, -1));
    g_assert_true(hears(nic, OWN, 5)); /* VLANs are no matter */
    g_assert_true(hears(nic, "ff:ff:ff:ff:ff:ff", -1));
    g_assert_false(hears(nic, "01:00:5e:00:00:01", -1));
    g_assert_cmpuint(control_byte(nic, 0, 1, 1), ==, 0); /* all multicast */
    g_assert_true(hears(nic, "01:00:5e:00:00:02", -1));
    g_assert_cmpuint(control_byte(nic, 0, 1, 0), ==, 0);
    g_assert_cmpuint(control(nic, 1, 0, table, sizeof(table)), ==, 0);
    g_assert_true(hears(nic, "02:00:00:00:00:09", -1));
    g_assert_true(hears(nic, "33:33:00:00:00:01", -1));
    g_assert_false(hears(nic, "33:33:00:00:00:02", -1));
    g_assert_false(hears(nic, "02:00:00:00:00:08", -1));
    g_assert_cmpuint(control_byte(nic, 0, 2, 1), ==, 0); /* all unicast */
    g_assert_true(hears(nic, "02:00:00:00:00:08", -1));
    g_assert_cmpuint(control_byte(nic, 0, 2, 0), ==, 0);
    g_assert_cmpuint(control(nic, 1, 1, other, 6), ==, 0); /* another address of its own */
    g_assert_true(hears(nic, "02:00:00:00:00:01", -1));
    g_assert_false(hears(nic, OWN, -1));
    g_assert_cmphex(r8(nic->d->m, driver_config_addr(nic->d, 5)), ==, 1);
    for (uint8_t mode = 3; mode < 6; mode++)
        g_assert_cmpuint(control_byte(nic, 0, mode, 1), ==, 0); /* no multicast, no unicast, no broadcast */
    g_assert_false(hears(nic, "33:33:00:00:00:01", -1) || hears(nic, "02:00:00:00:00:01", -1) ||
                   hears(nic, "ff:ff:ff:ff:ff:ff", -1));
    start(nic, EVERY); /* a reset forgets all of it */
    g_assert_cmphex(r8(nic->d->m, driver_config_addr(nic->d, 5)), ==, 0x56);
    g_assert_cmpuint(control_byte(nic, 0, 0, 0), ==, 0);
    g_assert_true(hears(nic, OWN, -1));
    g_assert_false(hears(nic, OWN, 5));
    g_assert_cmpuint(control(nic, 2, 0, five, 2), ==, 0);
    g_assert_cmpuint(control(nic, 2, 0, high, 2), ==, 0);
    g_assert_true(hears(nic, OWN, 5) && hears(nic, OWN, 4095));
    g_assert_false(hears(nic, OWN, 4) || hears(nic, OWN, 37));
    g_assert_cmpuint(control(nic, 2, 1, five, 2), ==, 0);
    g_assert_false(hears(nic, OWN, 5));
    g_assert_true(hears(nic, OWN, 4095));
    g_assert_cmpuint(control(nic, 2, 0, none, 2), ==, 1);
    nic_free(nic);
}

/* More addresses than the device keeps: it lets all of that kind through. */
static void test_table_overflow(void)
{
    Nic *nic = nic_new(TRANSPORT_MMIO, "");
    uint8_t table[8 + 100 * 6] = { 100 };
    for (unsigned i = 0; i < 100; i++)
        table[4 + 6 * i] = 2;
    start(nic, EVERY);
    g_assert_cmpuint(control_byte(nic, 0, 0, 0), ==, 0);
    g_assert_cmpuint(control(nic, 1, 0, table, sizeof(table)), ==, 0);
    g_assert_true(hears(nic, "02:00:00:00:00:08", -1));
    g_assert_false(hears(nic, "33:33:00:00:00:02", -1));
    memset(table, 0, sizeof(table));
    g_assert_cmpuint(control(nic, 1, 0, table, 8), ==, 0);
    g_assert_false(hears(nic, "02:00:00:00:00:08", -1));
    nic_free(nic);
}

/* Commands that are none are refused, and change nothing. */
static void test_bad_commands(void)
{
    Nic *nic = nic_new(TRANSPORT_PCI, "");
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    static const uint8_t zero[8];
    uint8_t data[64];
    start(nic, EVERY);
    g_assert_cmpuint(control_byte(nic, 0, 0, 0), ==, 0);
    g_assert_cmpuint(control(nic, 0, 0, zero, 0), ==, 1);
    g_assert_cmpuint(control_byte(nic, 0, 0, 2), ==, 1);
    g_assert_cmpuint(control_byte(nic, 0, 6, 1), ==, 1);
    g_assert_cmpuint(control_byte(nic, 9, 0, 1), ==, 1);
    g_assert_cmpuint(control(nic, 1, 1, zero, 5), ==, 1);
    g_assert_cmpuint(control(nic, 1, 2, zero, 8), ==, 1);
    g_assert_cmpuint(control(nic, 1, 0, zero, 7), ==, 1);
    g_assert_cmpuint(control(nic, 1, 0, "\2\0\0\0\2\0\0\0\0\1\0\0\0\0", 14), ==, 1);
    g_assert_cmpuint(control(nic, 1, 0, "\xff\xff\xff\xff\0\0\0\0", 8), ==, 1);
    g_assert_cmpuint(control(nic, 1, 0, "\xab\xaa\xaa\x2a\0\0\0\0", 8), ==, 1); /* times 6 it is 2 in 32 bits */
    g_assert_cmpuint(control(nic, 2, 0, zero, 1), ==, 1);
    g_assert_cmpuint(control(nic, 2, 2, zero, 2), ==, 1);
    g_assert_false(hears(nic, "02:00:00:00:00:08", -1));
    g_assert_true(hears(nic, OWN, -1));
    for (unsigned i = 0; i < 2000; i++) {
        unsigned len = g_rand_int_range(rand, 1, sizeof(data));
        for (unsigned at = 0; at < len; at++)
            data[at] = g_rand_boolean(rand) ? 0 : g_rand_int(rand);
        control(nic, g_rand_int_range(rand, 0, 6), g_rand_int_range(rand, 0, 6), data, len);
    }
    nic_free(nic);
}

/* The checksum of frame from begin on, at at: byte pairs added up. */
static void put_checksum(uint8_t *frame, size_t len, size_t begin, size_t at)
{
    uint64_t sum = 0;
    for (size_t i = begin; i < len; i++)
        sum += (i - begin) & 1 ? frame[i] : frame[i] << 8;
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    sum = sum == 0xffff ? 0xffff : 0xffff - sum;
    frame[at] = sum >> 8;
    frame[at + 1] = sum;
}

static void test_checksum(void)
{
    Nic *nic = nic_new(TRANSPORT_PCI, "");
    uint8_t frame[1500], header[HEADER] = { 1 };
    start(nic, EVERY);
    for (unsigned len = 60; len < sizeof(frame); len += 1 + len / 7) {
        unsigned begin = 34, at = begin + 16;
        make_frame(frame, len, OWN, len);
        if (len == 60) /* a sum of 0 is sent as 0xffff */
            memset(frame + begin, 0, len - begin);
        if (len == 60)
            frame[begin] = frame[begin + 1] = 0xff;
        pci_put16(header + 6, begin);
        pci_put16(header + 8, 16);
        tx(nic, header, frame, len, 3, false);
        put_checksum(frame, len, begin, at);
        tx_expect(nic, frame, len);
    }
    pci_put16(header + 8, 1500 - 34 - 1); /* one byte behind the end */
    tx(nic, header, frame, 1500, 1, false);
    pci_put16(header + 6, 0xffff);
    tx(nic, header, frame, 1500, 1, false);
    header[0] = 0;
    header[1] = 1; /* GSO was not offered */
    tx(nic, header, frame, 1500, 1, false);
    g_assert_cmpuint(nic->sent->len, ==, 0);
    rx_add(nic, 1600, 1, false);
    rx_kick(nic);
    deliver(nic, frame, 100);
    g_autoptr(GByteArray) got = rx_take(nic, header);
    g_assert_nonnull(got);
    g_assert_cmphex(header[0], ==, 2); /* the wire's checksums are right, and the driver wants to know */
    nic_free(nic);
}

/* Segments that the device is to cut: only where the netdev takes them whole, and with their checksum. */
static void test_large(void)
{
    Nic *nic = nic_new_on(&large_wire, TRANSPORT_PCI, "");
    uint8_t header[HEADER] = { 1, 1 };
    g_autofree uint8_t *frame = g_malloc(65549);
    pci_put16(header + 2, 54);
    pci_put16(header + 4, 1460);
    pci_put16(header + 6, 34);
    pci_put16(header + 8, 16);
    make_frame(frame, 65549, OWN, 3);
    start(nic, EVERY);
    g_assert_true(nic->d->features & F_HOST_TSO4);
    tx(nic, header, frame, 65549, 2, false);
    put_checksum(frame, 65549, 34, 50);
    tx_expect(nic, frame, 65549);
    header[0] = 0; /* without a checksum to complete, or of another kind */
    tx(nic, header, frame, 65549, 2, false);
    for (unsigned type = 2; type < 256; type++) {
        header[0] = 1;
        header[1] = type;
        tx(nic, header, frame, 100, 1, false);
    }
    header[1] = 1;
    start(nic, ~(uint64_t)F_HOST_TSO4);
    tx(nic, header, frame, 65549, 2, false);
    g_assert_cmpuint(nic->sent->len, ==, 0);
    nic_free(nic);
    nic = nic_new(TRANSPORT_PCI, "");
    g_assert_false(driver_offered(nic->d) & F_HOST_TSO4);
    nic_free(nic);
}

static void test_sizes(void)
{
    static const uint8_t header[HEADER];
    Nic *nic = nic_new(TRANSPORT_PCI, "");
    uint32_t len;
    g_autofree uint8_t *frame = g_malloc(NET_FRAME_MAX + 1);
    make_frame(frame, NET_FRAME_MAX + 1, OWN, 1);
    start(nic, ~(uint64_t)F_MRG_RXBUF);
    tx(nic, header, frame, NET_FRAME_MAX + 1, 1, false);
    tx(nic, header, frame, 13, 1, false);
    tx(nic, header, frame, 0, 1, false);
    g_assert_cmpint(tx_add(nic, nic->tx_addr, 7, 1, false), >=, 0);
    dq_kick(&nic->d->q[TX]);
    g_assert_cmpint(dq_wait(&nic->d->q[TX], &len), >=, 0);
    devm_poll(NULL, NULL);
    g_assert_cmpuint(nic->sent->len, ==, 0);
    tx(nic, header, frame, NET_FRAME_MAX, 2, false);
    tx_expect(nic, frame, NET_FRAME_MAX);
    /* a buffer that is too small loses the frame, not the buffer */
    rx_add(nic, 200, 1, false);
    rx_kick(nic);
    deliver(nic, frame, 189);
    rx_expect_none(nic);
    deliver(nic, frame, 188);
    rx_expect(nic, frame, 188, 1);
    deliver(nic, frame, 5); /* no Ethernet frame */
    deliver(nic, frame, 188);
    rx_add(nic, 200, 1, false);
    rx_kick(nic);
    rx_expect(nic, frame, 188, 1);
    g_assert_cmphex(driver_status(nic->d), ==, 15);
    nic_free(nic);
}

/* Chains that no driver makes: the device needs a reset, and then works. */
static void test_broken(void)
{
    static const uint8_t header[HEADER];
    Nic *nic = nic_new(TRANSPORT_PCI, "");
    uint8_t frame[100];
    Seg outside[] = { { 0x1000, 100, false }, { 0x1000, 100, true } };
    Seg no_answer[] = { { nic->control_addr, 3, false } };
    make_frame(frame, sizeof(frame), OWN, 1);
    for (unsigned i = 0; i < 4; i++) {
        start(nic, EVERY);
        if (i == 0) {
            dq_add(&nic->d->q[TX], outside, 1, false);
            dq_kick(&nic->d->q[TX]);
        } else if (i == 1) {
            dq_add(&nic->d->q[RX], outside + 1, 1, false);
            rx_kick(nic);
            deliver(nic, frame, sizeof(frame));
        } else if (i == 2) {
            dq_add(&nic->d->q[CONTROL], no_answer, 1, false);
            dq_kick(&nic->d->q[CONTROL]);
        } else { /* the second part of a frame */
            rx_add(nic, 50, 1, false);
            dq_add(&nic->d->q[RX], outside + 1, 1, false);
            rx_kick(nic);
            deliver(nic, frame, sizeof(frame));
        }
        g_assert_cmphex(driver_status(nic->d), ==, 15 | VIRTIO_NEEDS_RESET);
        deliver(nic, frame, sizeof(frame));
    }
    /* a receive buffer to read, and a transmit buffer to write: no use, no harm */
    start(nic, EVERY);
    Seg readable = { nic->tx_addr, 1000, false }, writable = { nic->tx_addr, 1000, true };
    uint32_t len;
    dq_add(&nic->d->q[RX], &readable, 1, false);
    dq_add(&nic->d->q[TX], &writable, 1, false);
    rx_kick(nic);
    dq_kick(&nic->d->q[TX]);
    g_assert_cmpint(dq_wait(&nic->d->q[TX], &len), >=, 0);
    deliver(nic, frame, sizeof(frame));
    start(nic, EVERY);
    tx(nic, header, frame, sizeof(frame), 1, false);
    tx_expect(nic, frame, sizeof(frame));
    nic_free(nic);
}

static void test_link(void)
{
    static const uint8_t header[HEADER];
    Nic *nic = nic_new(TRANSPORT_PCI_MSIX, "");
    uint8_t frame[100];
    make_frame(frame, sizeof(frame), OWN, 1);
    start(nic, EVERY);
    uint64_t status = driver_config_addr(nic->d, 6);
    rx_add(nic, 200, 1, false);
    rx_kick(nic);
    driver_irq(nic->d, 0);
    net_set_link(nic->n, false);
    g_assert_true(driver_irq(nic->d, 0)); /* the configuration changed */
    g_assert_cmpuint(r16(nic->d->m, status), ==, 0);
    deliver(nic, frame, sizeof(frame));
    rx_expect_none(nic);
    tx(nic, header, frame, sizeof(frame), 1, false);
    g_assert_cmpuint(nic->sent->len, ==, 0);
    net_set_link(nic->n, false);
    g_assert_false(driver_irq(nic->d, 0));
    net_set_link(nic->n, true);
    g_assert_true(driver_irq(nic->d, 0));
    g_assert_cmpuint(r16(nic->d->m, status), ==, 1);
    deliver(nic, frame, sizeof(frame));
    rx_expect(nic, frame, sizeof(frame), 1);
    tx(nic, header, frame, sizeof(frame), 1, false);
    tx_expect(nic, frame, sizeof(frame));
    nic_free(nic);
}

/* A machine that stands still has a guest that sees nothing; frames wait for it. */
static void test_pause(void)
{
    Nic *nic = nic_new(TRANSPORT_MMIO, "");
    Machine *machine = nic->d->m->machine;
    uint8_t frame[100];
    make_frame(frame, sizeof(frame), OWN, 1);
    DEVM_LOCKED(nic->d->m, machine_start(machine)); /* for the first time: resets all */
    start(nic, EVERY);
    rx_add(nic, 200, 1, false);
    rx_kick(nic);
    DEVM_LOCKED(nic->d->m, machine_stop(machine, RUN_PAUSED));
    deliver(nic, frame, sizeof(frame));
    devm_poll(NULL, NULL);
    rx_expect_none(nic);
    DEVM_LOCKED(nic->d->m, machine_start(machine));
    devm_poll(NULL, NULL);
    rx_expect(nic, frame, sizeof(frame), 1);
    DEVM_LOCKED(nic->d->m, machine_stop(machine, RUN_PAUSED));
    nic_free(nic);
}

static void test_no_netdev(void)
{
    Driver *d = driver_new(TRANSPORT_PCI, "virtio-net", "");
    Seg seg = { devm_dma(d->m, 200, 16), 200, false };
    uint32_t len;
    driver_start(d, EVERY, QUEUE_SIZE);
    g_assert_cmpuint(r16(d->m, driver_config_addr(d, 6)), ==, 0);
    dq_add(&d->q[TX], &seg, 1, false);
    dq_kick(&d->q[TX]);
    g_assert_cmpint(dq_wait(&d->q[TX], &len), >=, 0);
    driver_free(d);
}

/* The saved state has the filters. */
static void test_state(void)
{
    Nic *nic = nic_new(TRANSPORT_MMIO, "");
    static const uint8_t table[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0 };
    start(nic, EVERY);
    g_assert_cmpuint(control_byte(nic, 0, 0, 0), ==, 0);
    g_assert_cmpuint(control(nic, 1, 0, table, sizeof(table)), ==, 0);
    Device *dev = (Device *)nic->d->mmio->transport.vdev;
    g_autoptr(GByteArray) saved = device_save(dev);
    g_assert_cmpuint(control_byte(nic, 0, 0, 1), ==, 0);
    g_assert_cmpuint(control(nic, 1, 0, "\0\0\0\0\0\0\0\0", 8), ==, 0);
    g_autoptr(GByteArray) now = device_save(dev);
    g_assert_cmpuint(now->len, ==, saved->len);
    g_assert_true(memcmp(now->data, saved->data, saved->len));
    devm_check_covered(dev);
    nic_free(nic);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-net/config", test_config);
    g_test_add_func("/virtio-net/mac", test_mac);
    for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autofree char *frames = g_strdup_printf("/virtio-net/frames/%s", variants[i].name);
        g_autofree char *merge = g_strdup_printf("/virtio-net/merge/%s", variants[i].name);
        g_autofree char *wait = g_strdup_printf("/virtio-net/wait/%s", variants[i].name);
        g_test_add_data_func(frames, &variants[i], test_frames);
        if (variants[i].features & F_MRG_RXBUF) {
            g_test_add_data_func(merge, &variants[i], test_merge);
            g_test_add_data_func(wait, &variants[i], test_wait);
        }
    }
    g_test_add_func("/virtio-net/rx-bound", test_rx_bound);
    g_test_add_func("/virtio-net/tx-bound", test_tx_bound);
    g_test_add_func("/virtio-net/filters", test_filters);
    g_test_add_func("/virtio-net/table-overflow", test_table_overflow);
    g_test_add_func("/virtio-net/bad-commands", test_bad_commands);
    g_test_add_func("/virtio-net/checksum", test_checksum);
    g_test_add_func("/virtio-net/large", test_large);
    g_test_add_func("/virtio-net/sizes", test_sizes);
    g_test_add_func("/virtio-net/broken", test_broken);
    g_test_add_func("/virtio-net/link", test_link);
    g_test_add_func("/virtio-net/pause", test_pause);
    g_test_add_func("/virtio-net/no-netdev", test_no_netdev);
    g_test_add_func("/virtio-net/state", test_state);
    return g_test_run();
}
