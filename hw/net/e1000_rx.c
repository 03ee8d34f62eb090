/*
 * The receiver of an 8254x (3.2): filters (13.5, 13.4.22), checksums, VLAN tags, descriptors. Pause frames are frames
 * like others.
 * SPDX-License-Identifier: MIT
 */
#include "hw/net/e1000.h"
#include "net/checksum.h"
#include "util/trace.h"
#include <string.h>
#include <zlib.h>

enum { /* RCTL */
       ENABLE = 1 << 1,
       UNICAST_ALL = 1 << 3,
       MULTICAST_ALL = 1 << 4,
       LONG_PACKETS = 1 << 5,
       BROADCAST = 1 << 15,
       VLAN_FILTER = 1 << 18,
       CFI_FILTER = 1 << 19,
       CFI = 1 << 20,
       BIG_BUFFERS = 1 << 25,
       STRIP_FCS = 1 << 26
};
enum { THRESHOLD_SHIFT = 8, HASH_SHIFT = 12, SIZE_SHIFT = 16 };
enum { SUM_START = 0xff, SUM_IP = 0x100, SUM_TCP = 0x200 }; /* RXCSUM */
enum {                                                      /* status */
       DONE = 0x01,
       LAST = 0x02,
       IGNORE_SUMS = 0x04,
       TAGGED = 0x08,
       TCP_CHECKED = 0x20,
       IP_CHECKED = 0x40,
       INEXACT = 0x80
};
enum { TCP_ERROR = 0x20, IP_ERROR = 0x40 }; /* errors */
enum { RAH_VALID = 1u << 31, RAH_SOURCE = 1 << 16, ADDRESSES = 16 };
enum { LENGTH_AT = 8, SUM_AT = 10, STATUS_AT = 12, ERRORS_AT = 13, SPECIAL_AT = 14 };
enum { FRAME_PLAIN = 1518, FRAME_LONG = 16384 }; /* with FCS, without VLAN tag */
enum { IPV4 = 0x0800, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static unsigned get_be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* ---- filters ---- */

typedef enum { NO_MATCH, EXACT_MATCH, INEXACT_MATCH } Match;

static bool is_tagged(const E1000 *s, const uint8_t *frame, size_t len)
{
    return len >= E1000_ETH_HEADER + E1000_VLAN_TAG && get_be16(frame + 12) == e1000_get(s, E1000_VET);
}

static bool vlan_passes(const E1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t rctl = e1000_get(s, E1000_RCTL);
    if (!(rctl & VLAN_FILTER) || !is_tagged(s, frame, len))
        return true;
    unsigned tag = get_be16(frame + E1000_ETH_HEADER), id = tag & 0xfff;
    bool cfi = tag & 0x1000;
    if (rctl & CFI_FILTER && cfi != !!(rctl & CFI))
        return false;
    return e1000_get(s, E1000_VFTA + id / 32 * 4) >> id % 32 & 1;
}

static bool exact_match(const E1000 *s, const uint8_t *frame)
{
    for (unsigned i = 0; i < ADDRESSES; i++) {
        uint32_t high = e1000_get(s, E1000_RA + 8 * i + 4), low = e1000_get(s, E1000_RA + 8 * i);
        const uint8_t *address = high & RAH_SOURCE ? frame + 6 : frame;
        if (high & RAH_VALID && pci_get32(address) == low && pci_get16(address + 4) == (high & 0xffff))
            return true;
    }
    return false;
}

/* 13.5.1: twelve of the address's upper bits choose a bit of the table. */
static bool hash_match(const E1000 *s, const uint8_t *frame)
{
    static const uint8_t shifts[] = { 4, 3, 2, 0 };
    unsigned shift = shifts[e1000_get(s, E1000_RCTL) >> HASH_SHIFT & 3];
    unsigned bit = pci_get16(frame + 4) >> shift & 0xfff;
    return e1000_get(s, E1000_MTA + bit / 32 * 4) >> bit % 32 & 1;
}

static Match filter(const E1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t rctl = e1000_get(s, E1000_RCTL);
    if (len < E1000_ETH_HEADER || !vlan_passes(s, frame, len))
        return NO_MATCH;
    if (exact_match(s, frame))
        return EXACT_MATCH;
    if (!memcmp(frame, broadcast, 6) && rctl & BROADCAST)
        return EXACT_MATCH;
    if (frame[0] & 1)
        return rctl & MULTICAST_ALL || hash_match(s, frame) ? INEXACT_MATCH : NO_MATCH;
    return rctl & UNICAST_ALL ? INEXACT_MATCH : NO_MATCH;
}

/* ---- checksums ---- */

static bool tcp_sum_right(const uint8_t *ip, size_t header, size_t total)
{
    const uint8_t pseudo[] = { 0, ip[9], (total - header) >> 8, total - header };
    uint16_t sum = net_sum(net_sum(0, ip + 12, 8), pseudo, sizeof(pseudo));
    return net_sum(sum, ip + header, total - header) == 0xffff;
}

/* What the descriptor of a packet's end says of its checksums: status, errors << 8 (3.2.9). IPv4 only. */
static unsigned checksum_status(const E1000 *s, const uint8_t *frame, size_t len, bool checked)
{
    uint32_t wanted = e1000_get(s, E1000_RXCSUM);
    const uint8_t *ip = frame + E1000_ETH_HEADER;
    if (!(wanted & (SUM_IP | SUM_TCP)) || len < E1000_ETH_HEADER + 20 || get_be16(frame + 12) != IPV4)
        return IGNORE_SUMS;
    size_t header = (ip[0] & 15) * 4, total = get_be16(ip + 2), room = len - E1000_ETH_HEADER;
    if (ip[0] >> 4 != 4 || header < 20 || header > room || total < header || total > room)
        return IGNORE_SUMS;
    unsigned result = 0;
    if (wanted & SUM_IP)
        result |= IP_CHECKED | (net_sum(0, ip, header) == 0xffff ? 0 : IP_ERROR << 8);
    bool fragment = get_be16(ip + 6) & 0x3fff, tcp = ip[9] == PROTOCOL_TCP && total >= header + 20;
    bool udp = ip[9] == PROTOCOL_UDP && total >= header + 8 && get_be16(ip + header + 6);
    if (wanted & SUM_TCP && !fragment && (tcp || udp))
        result |= TCP_CHECKED | (checked || tcp_sum_right(ip, header, total) ? 0 : TCP_ERROR << 8);
    return result;
}

/* ---- descriptors ---- */

/* A frame on its way into memory. */
typedef struct Incoming {
    const uint8_t *parts[3]; /* what is left of addresses, the rest, padding and FCS */
    size_t sizes[3];
    size_t left;
    uint16_t sum, tag;
    unsigned status; /* of the last descriptor, errors << 8 */
} Incoming;

static uint32_t buffer_size(const E1000 *s)
{
    static const uint16_t sizes[2][4] = { { 2048, 1024, 512, 256 }, { 2048, 16384, 8192, 4096 } };
    uint32_t rctl = e1000_get(s, E1000_RCTL);
    return sizes[(rctl & BIG_BUFFERS) != 0][rctl >> SIZE_SHIFT & 3];
}

static uint32_t ring_size(const E1000 *s)
{
    return e1000_get(s, E1000_RDLEN) / E1000_DESCRIPTOR;
}

/* Descriptors that the device has; none if the ring is nonsense. */
static uint32_t descriptors(const E1000 *s)
{
    uint32_t head = e1000_get(s, E1000_RDH), tail = e1000_get(s, E1000_RDT), size = ring_size(s);
    if (head >= size || tail >= size)
        return 0;
    return tail >= head ? tail - head : tail + size - head;
}

static void put_data(E1000 *s, Incoming *in, uint64_t to, size_t n)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(in->parts) && n; i++) {
        size_t here = MIN(n, in->sizes[i]);
        if (here && dma_write(&s->pci.dev, to, in->parts[i], here) != MEM_OK)
            guest_error(&s->pci.dev, "a receive buffer at 0x%" G_GINT64_MODIFIER "x is not in memory", to);
        in->parts[i] += here;
        in->sizes[i] -= here;
        to += here;
        n -= here;
    }
}

/* One descriptor's share. Its status is written last: drivers look at it first. False: there is no such memory. */
static bool fill_descriptor(E1000 *s, Incoming *in)
{
    uint32_t head = e1000_get(s, E1000_RDH);
    uint64_t base = (uint64_t)e1000_get(s, E1000_RDBAH) << 32 | e1000_get(s, E1000_RDBAL);
    uint64_t at = base + (uint64_t)E1000_DESCRIPTOR * head;
    uint8_t desc[E1000_DESCRIPTOR];
    if (dma_read(&s->pci.dev, at, desc, sizeof(desc)) != MEM_OK)
        return false;
    uint64_t buffer = (uint64_t)pci_get32(desc + 4) << 32 | pci_get32(desc);
    size_t n = buffer ? MIN(in->left, buffer_size(s)) : 0; /* 3.2.3: null descriptors are passed over */
    put_data(s, in, buffer, n);
    in->left -= n;
    bool last = !in->left;
    uint8_t status = buffer ? DONE | (last ? LAST | (in->status & 0xff) : in->status & TAGGED) : DONE;
    memset(desc + LENGTH_AT, 0, 8);
    pci_put16(desc + LENGTH_AT, n);
    if (buffer) {
        pci_put16(desc + SUM_AT, in->sum);
        desc[ERRORS_AT] = last ? in->status >> 8 : 0;
        pci_put16(desc + SPECIAL_AT, in->tag);
    }
    dma_write(&s->pci.dev, at + LENGTH_AT, desc + LENGTH_AT, 8);
    dma_write(&s->pci.dev, at + STATUS_AT, &status, 1);
    *e1000_reg(s, E1000_RDH) = head + 1 >= ring_size(s) ? 0 : head + 1;
    return true;
}

static void count_received(E1000 *s, const uint8_t *frame, size_t len)
{
    e1000_count(s, E1000_TPR, 1);
    e1000_count(s, E1000_GPRC, 1);
    e1000_count_wide(s, E1000_GORCL, len);
    e1000_count_wide(s, E1000_TORL, len);
    e1000_count_size(s, E1000_PRC64, len);
    if (!memcmp(frame, broadcast, 6))
        e1000_count(s, E1000_BPRC, 1);
    else if (frame[0] & 1)
        e1000_count(s, E1000_MPRC, 1);
}

static void tell_driver(E1000 *s, bool small)
{
    unsigned shift = (e1000_get(s, E1000_RCTL) >> THRESHOLD_SHIFT & 3) + 1;
    uint32_t causes = descriptors(s) <= ring_size(s) >> shift ? E1000_INT_RXDMT0 : 0;
    if (small)
        causes |= E1000_INT_SRPD;
    if (!e1000_get(s, E1000_RDTR) || small)
        causes |= E1000_INT_RXT0;
    else
        e1000_raise_later(s, E1000_INT_RXT0, e1000_get(s, E1000_RDTR), e1000_get(s, E1000_RADV));
    if (causes)
        e1000_raise(s, causes);
}

static void overrun(E1000 *s)
{
    e1000_count(s, E1000_MPC, 1);
    e1000_count(s, E1000_RNBC, 1);
    e1000_raise(s, E1000_INT_RXO);
}

/* The frame as it came over the wire, less its tag: size is all of it that goes to memory. */
static void fill_ring(E1000 *s, Incoming *in)
{
    size_t size = in->left;
    /* The driver that has queued null descriptors only gets nothing. */
    for (uint32_t n = descriptors(s); n && in->left; n--) {
        if (!fill_descriptor(s, in))
            break;
    }
    if (in->left)
        overrun(s);
    else
        tell_driver(s, size <= e1000_get(s, E1000_RSRPD));
}

static size_t frame_limit(const E1000 *s, bool tagged)
{
    return e1000_get(s, E1000_RCTL) & LONG_PACKETS ? FRAME_LONG : FRAME_PLAIN + (tagged ? E1000_VLAN_TAG : 0);
}

/* tail: padding and FCS, of tail_len bytes. */
static Incoming incoming(const E1000 *s, const uint8_t *frame, size_t len, const uint8_t *tail, size_t tail_len)
{
    bool strip = e1000_get(s, E1000_CTRL) & E1000_CTRL_VME && is_tagged(s, frame, len);
    size_t skip = 12 + (strip ? E1000_VLAN_TAG : 0), start = e1000_get(s, E1000_RXCSUM) & SUM_START;
    Incoming in = { .parts = { frame, frame + skip, tail }, .sizes = { 12, len - skip, tail_len } };
    in.left = 12 + len - skip + tail_len;
    start += strip && start >= 12 ? E1000_VLAN_TAG : 0;
    in.sum = start < len ? net_checksum(frame + start, len - start) : 0;
    in.tag = strip ? get_be16(frame + E1000_ETH_HEADER) : 0;
    in.status = strip ? TAGGED : 0;
    return in;
}

/* False: it waits for descriptors, which a ring that is large enough will have. */
static bool has_room(E1000 *s, size_t size, bool *never)
{
    uint32_t need = (size + buffer_size(s) - 1) / buffer_size(s);
    *never = ring_size(s) && need >= ring_size(s);
    return descriptors(s) >= need;
}

bool e1000_receive(E1000 *s, const uint8_t *frame, size_t len, bool checked)
{
    uint32_t rctl = e1000_get(s, E1000_RCTL);
    uint8_t tail[E1000_ETH_MIN + E1000_FCS] = { 0 };
    size_t padding = len < E1000_ETH_MIN ? E1000_ETH_MIN - len : 0, whole = len + padding + E1000_FCS;
    Match match = rctl & ENABLE ? filter(s, frame, len) : NO_MATCH;
    if (match == NO_MATCH)
        return true;
    if (whole > frame_limit(s, is_tagged(s, frame, len))) {
        e1000_count(s, E1000_ROC, 1);
        return true;
    }
    uint32_t crc = crc32(crc32(0, frame, len), tail, padding);
    pci_put32(tail + padding, crc);
    Incoming in = incoming(s, frame, len, tail, padding + (rctl & STRIP_FCS ? 0 : E1000_FCS));
    bool never;
    if (!has_room(s, in.left, &never)) {
        if (never)
            overrun(s);
        return never;
    }
    in.status |= checksum_status(s, frame, len, checked) | (match == INEXACT_MATCH ? INEXACT : 0);
    TRACE(e1000_receive, "%zu bytes, status 0x%x", len, in.status);
    count_received(s, frame, whole);
    fill_ring(s, &in);
    return true;
}
