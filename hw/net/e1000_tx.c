/*
 * The transmitter of an 8254x (3.3 to 3.5): legacy, context and data descriptors, checksums, segmentation, VLAN tags.
 *
 * A packet is put together piece by piece, so that it can stop anywhere when the netdev has no room or others want the
 * lock. What is to be segmented is cut here, unless the netdev takes it whole. The hardware's FCS is nobody's concern:
 * IFCS is taken to be set.
 * SPDX-License-Identifier: MIT
 */
#include "hw/net/e1000.h"
#include "net/checksum.h"
#include "util/mainloop.h"
#include "util/trace.h"
#include <string.h>

enum {
    CMD_EOP = 0x01,
    CMD_CHECKSUM = 0x04,
    CMD_TSE = 0x04,
    CMD_RS = 0x08,
    CMD_DEXT = 0x20,
    CMD_VLE = 0x40,
    CMD_IDE = 0x80
};
enum { TUCMD_TCP = 0x01, TUCMD_IPV4 = 0x02 };
enum { TYPE_CONTEXT = 0, TYPE_DATA = 1 };
enum { OPTION_IP = 1, OPTION_TCP = 2 }; /* POPTS: IXSM, TXSM */
enum { STATUS_DONE = 1, STATUS_OFFSET = 12 };
enum { TCTL_ENABLE = 0x2, TCTL_PAD = 0x8 };
enum { TCP_FIN_PSH = 0x09 };
#define PLAIN_MAX 16288 /* bytes of a packet that is not segmented (3.3) */
#define UNCUT_MAX 65535 /* of one that the netdev takes whole */
#define STEPS     512   /* at once, before others have their turn */

/* ---- fields of descriptors ---- */

static unsigned desc_command(const E1000Tx *tx)
{
    return tx->desc[2] >> 24;
}

static bool is_extended(const E1000Tx *tx)
{
    return desc_command(tx) & CMD_DEXT;
}

static unsigned desc_type(const E1000Tx *tx)
{
    return tx->desc[2] >> 20 & 15;
}

static uint32_t desc_length(const E1000Tx *tx)
{
    return is_extended(tx) ? tx->desc[2] & 0xfffff : tx->desc[2] & 0xffff;
}

static const E1000Context *context_of(const E1000Tx *tx)
{
    return &tx->context[tx->segmenting];
}

static uint32_t mss_of(const E1000Tx *tx)
{
    return tx->context[1].mss >> 16;
}

static uint32_t headers_of(const E1000Tx *tx)
{
    return tx->context[1].mss >> 8 & 0xff;
}

/* ---- checksums and segments ---- */

static void put_be16(uint8_t *p, uint16_t value)
{
    p[0] = value >> 8;
    p[1] = value;
}

static uint16_t get_be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* start, offset and last byte are a context's words: css, cso, cse; last 0: the packet's end. */
static void put_sum(E1000Tx *tx, uint32_t words, bool zero_is_none)
{
    unsigned start = words & 0xff, at = words >> 8 & 0xff, last = words >> 16;
    unsigned end = last && last < tx->len ? last + 1 : tx->len;
    if (start >= end || at + 2 > tx->len)
        return;
    uint16_t sum = net_checksum(tx->frame + start, end - start);
    sum = sum || !zero_is_none ? sum : 0xffff; /* the same in ones' complement */
    memcpy(tx->frame + at, &sum, 2);
}

/* The headers of one segment (3.5.8). Offsets that lie behind the frame change nothing. */
static void fix_headers(E1000Tx *tx)
{
    const E1000Context *c = &tx->context[1];
    unsigned ip = c->ip & 0xff, tcp = c->tcp & 0xff, sum = c->tcp >> 8 & 0xff, command = c->length >> 24;
    if (ip + 20 <= tx->len && command & TUCMD_IPV4) {
        put_be16(tx->frame + ip + 2, tx->len - ip);
        put_be16(tx->frame + ip + 4, get_be16(tx->frame + ip + 4) + tx->segments);
    } else if (ip + 40 <= tx->len) {
        put_be16(tx->frame + ip + 4, tx->len - ip - 40);
    }
    if (command & TUCMD_TCP && tcp + 20 <= tx->len) {
        uint32_t sequence;
        memcpy(&sequence, tx->frame + tcp + 4, 4);
        sequence = GUINT32_TO_BE(GUINT32_FROM_BE(sequence) + tx->payload);
        memcpy(tx->frame + tcp + 4, &sequence, 4);
        if (!tx->last)
            tx->frame[tcp + 13] &= ~TCP_FIN_PSH;
    } else if (!(command & TUCMD_TCP) && tcp + 8 <= tx->len) {
        put_be16(tx->frame + tcp + 4, tx->len - tcp);
    }
    if (tx->options & OPTION_TCP && sum + 2 <= tx->len && tcp <= tx->len) { /* the driver left the length out */
        uint32_t pseudo = get_be16(tx->frame + sum) + (tx->len - tcp);
        put_be16(tx->frame + sum, (pseudo & 0xffff) + (pseudo >> 16));
    }
}

/* The frame is complete: all that the device puts in is put in. */
static void finish(E1000Tx *tx, bool last)
{
    tx->last = last;
    tx->ready = 1;
    if (tx->segmenting)
        fix_headers(tx);
    if (tx->options & OPTION_TCP)
        put_sum(tx, context_of(tx)->tcp, true);
    if (tx->options & OPTION_IP)
        put_sum(tx, context_of(tx)->ip, false);
    if (tx->sum_at)
        put_sum(tx, tx->sum_start | tx->sum_at << 8, true);
}

/* ---- sending ---- */

static void count_sent(E1000 *s, const uint8_t *frame, size_t len)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    e1000_count(s, E1000_TPT, 1);
    e1000_count(s, E1000_GPTC, 1);
    e1000_count_wide(s, E1000_GOTCL, len + E1000_FCS);
    e1000_count_wide(s, E1000_TOTL, len + E1000_FCS);
    e1000_count_size(s, E1000_PTC64, len + E1000_FCS);
    if (!memcmp(frame, broadcast, 6))
        e1000_count(s, E1000_BPTC, 1);
    else if (frame[0] & 1)
        e1000_count(s, E1000_MPTC, 1);
}

/* Whether frames come back to ourselves (RCTL.LBM, or the PHY's). */
static bool loops(const E1000 *s)
{
    enum { LOOPBACK = 0x40 };
    return e1000_get(s, E1000_RCTL) & LOOPBACK || e1000_phy_loopback(s);
}

static void loop_back(E1000 *s, const struct iovec *iov, unsigned count, size_t len)
{
    g_autofree uint8_t *frame = g_malloc(len);
    for (size_t i = 0, at = 0; i < count; at += iov[i++].iov_len)
        memcpy(frame + at, iov[i].iov_base, iov[i].iov_len);
    if (!e1000_receive(s, frame, len, false)) {
        e1000_count(s, E1000_MPC, 1);
        e1000_raise(s, E1000_INT_RXO);
    }
}

/* False: the netdev has no room. */
static bool send_frame(E1000 *s)
{
    static const uint8_t zeros[E1000_ETH_MIN];
    E1000Tx *tx = &s->tx;
    uint16_t ethertype = GUINT16_TO_BE(e1000_get(s, E1000_VET)), tag = GUINT16_TO_BE(tx->vlan);
    struct iovec iov[5] = { { tx->frame, tx->len } };
    unsigned count = 1;
    size_t len = tx->len;
    if (tx->tagged && e1000_get(s, E1000_CTRL) & E1000_CTRL_VME) {
        iov[0].iov_len = 12;
        iov[count++] = (struct iovec){ &ethertype, 2 };
        iov[count++] = (struct iovec){ &tag, 2 };
        iov[count++] = (struct iovec){ tx->frame + 12, tx->len - 12 };
        len += E1000_VLAN_TAG;
    }
    if (len < E1000_ETH_MIN && e1000_get(s, E1000_TCTL) & TCTL_PAD) {
        iov[count++] = (struct iovec){ (uint8_t *)zeros, E1000_ETH_MIN - len };
        len = E1000_ETH_MIN;
    }
    if (loops(s))
        loop_back(s, iov, count, len);
    else if (e1000_link_up(s) && !net_send(s->netdev, iov, count))
        return false;
    TRACE(e1000_send, "%zu bytes", len);
    count_sent(s, tx->frame, len);
    return true;
}

static void packet_ends(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    if (tx->segmenting && !tx->dropped)
        e1000_count(s, E1000_TSCTC, 1);
    tx->started = tx->segmenting = tx->uncut = tx->tagged = tx->dropped = tx->options = 0;
    tx->sum_start = tx->sum_at = 0;
    tx->len = tx->header_len = tx->payload = tx->segments = 0;
}

/* The frame has gone: the packet is done, or its next segment begins with the same headers. */
static void frame_ends(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    tx->ready = 0;
    if (tx->last) {
        packet_ends(s);
        return;
    }
    tx->payload += tx->len - tx->header_len;
    tx->segments++;
    memcpy(tx->frame, tx->header, tx->header_len);
    tx->len = tx->header_len;
}

/* ---- descriptors ---- */

static void packet_begins(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    tx->started = 1;
    if (!is_extended(tx))
        return;
    tx->options = tx->desc[3] >> 8 & (OPTION_IP | OPTION_TCP);
    tx->segmenting = (desc_command(tx) & CMD_TSE) != 0;
    if (!tx->segmenting)
        return;
    uint32_t total = headers_of(tx) + (tx->context[1].length & 0xfffff);
    unsigned command = tx->context[1].length >> 24;
    tx->uncut = (command & TUCMD_TCP) && (command & TUCMD_IPV4) && tx->options & OPTION_TCP &&
                net_takes_large(s->netdev) && total <= UNCUT_MAX && !loops(s);
    if (!mss_of(tx) || !headers_of(tx) || headers_of(tx) + mss_of(tx) > E1000_FRAME_MAX) {
        guest_error(&s->pci.dev, "segmentation into %u bytes of data behind %u of headers: not sent", mss_of(tx),
                    headers_of(tx));
        tx->dropped = 1;
    }
}

static uint32_t room_of(const E1000Tx *tx)
{
    if (!tx->segmenting)
        return PLAIN_MAX;
    return tx->uncut ? UNCUT_MAX : headers_of(tx) + mss_of(tx);
}

/* Some of the descriptor's bytes come to the frame; or, if that is full, the frame is complete. */
static void take_data(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    uint32_t left = desc_length(tx) - tx->done, room = room_of(tx);
    uint64_t from = ((uint64_t)tx->desc[1] << 32 | tx->desc[0]) + tx->done;
    if (!tx->dropped && left && tx->len >= room && tx->segmenting && !tx->uncut) {
        finish(tx, false);
        return;
    }
    uint32_t n = tx->dropped || tx->len >= room ? left : MIN(left, room - tx->len);
    if (!tx->dropped && tx->len >= room && left) {
        guest_error(&s->pci.dev, "a packet of more than %u bytes is not sent", room);
        tx->dropped = 1;
    }
    /* Headers stand in one piece at the front of each segment: they are kept for the next. */
    if (tx->segmenting && tx->len < headers_of(tx))
        n = MIN(n, headers_of(tx) - tx->len);
    if (!tx->dropped && n && dma_read(&s->pci.dev, from, tx->frame + tx->len, n) != MEM_OK) {
        guest_error(&s->pci.dev, "there is no memory at 0x%" G_GINT64_MODIFIER "x, where a packet should be", from);
        tx->dropped = 1;
    }
    tx->done += n;
    if (tx->dropped)
        return;
    tx->len += n;
    if (tx->segmenting && !tx->header_len && tx->len == headers_of(tx)) {
        tx->header_len = tx->len;
        memcpy(tx->header, tx->frame, tx->len);
    }
}

static void take_context(E1000Tx *tx)
{
    bool segmentation = desc_command(tx) & CMD_TSE;
    tx->context[segmentation] = (E1000Context){ tx->desc[0], tx->desc[1], tx->desc[2], tx->desc[3] };
}

static uint64_t ring_base(const E1000 *s)
{
    return (uint64_t)e1000_get(s, E1000_TDBAH) << 32 | e1000_get(s, E1000_TDBAL);
}

static uint32_t ring_size(const E1000 *s)
{
    return e1000_get(s, E1000_TDLEN) / E1000_DESCRIPTOR;
}

/* Tell the driver, and go on to the next one. */
static void descriptor_ends(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    uint32_t head = e1000_get(s, E1000_TDH), size = ring_size(s), command = desc_command(tx);
    tx->busy = 0;
    if (command & CMD_RS && head < size) {
        uint8_t status = (tx->desc[3] & 0xff) | STATUS_DONE;
        dma_write(&s->pci.dev, ring_base(s) + (uint64_t)E1000_DESCRIPTOR * head + STATUS_OFFSET, &status, 1);
        if (command & CMD_IDE)
            e1000_raise_later(s, E1000_INT_TXDW, e1000_get(s, E1000_TIDV), e1000_get(s, E1000_TADV));
        else
            e1000_raise(s, E1000_INT_TXDW);
    }
    head = head + 1 >= size ? 0 : head + 1;
    *e1000_reg(s, E1000_TDH) = head;
    uint32_t tail = e1000_get(s, E1000_TDT), left = tail >= head ? tail - head : tail + size - head;
    uint32_t low = e1000_get(s, E1000_TXDCTL) >> 25 << 3;
    if (low && left == low)
        e1000_raise(s, E1000_INT_TXD_LOW);
    if (!left)
        e1000_raise(s, E1000_INT_TXQE);
}

/* The driver's tags and legacy checksum are those of the last descriptor. */
static void packet_complete(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    if (desc_command(tx) & CMD_VLE) {
        tx->tagged = 1;
        tx->vlan = tx->desc[3] >> 16;
    }
    if (!is_extended(tx) && desc_command(tx) & CMD_CHECKSUM) {
        tx->sum_start = tx->desc[3] >> 8 & 0xff;
        tx->sum_at = tx->desc[2] >> 16 & 0xff;
    }
    if (tx->len < E1000_ETH_HEADER || tx->dropped) {
        packet_ends(s);
        return;
    }
    finish(tx, true);
}

static void work_off(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    if (is_extended(tx) && desc_type(tx) == TYPE_CONTEXT) {
        take_context(tx);
        descriptor_ends(s);
        return;
    }
    if (is_extended(tx) && desc_type(tx) != TYPE_DATA) {
        guest_error(&s->pci.dev, "a descriptor of type %u is passed over", desc_type(tx));
        descriptor_ends(s);
        return;
    }
    if (!tx->started)
        packet_begins(s);
    if (desc_command(tx) & CMD_VLE) {
        tx->tagged = 1;
        tx->vlan = tx->desc[3] >> 16;
    }
    if (tx->done < desc_length(tx)) {
        take_data(s);
    } else {
        if (desc_command(tx) & CMD_EOP)
            packet_complete(s);
        if (!tx->ready)
            descriptor_ends(s);
    }
}

static bool fetch(E1000 *s)
{
    uint32_t head = e1000_get(s, E1000_TDH), tail = e1000_get(s, E1000_TDT), size = ring_size(s);
    uint8_t bytes[E1000_DESCRIPTOR];
    if (head == tail || head >= size || tail >= size)
        return false;
    if (dma_read(&s->pci.dev, ring_base(s) + (uint64_t)E1000_DESCRIPTOR * head, bytes, sizeof(bytes)) != MEM_OK)
        return false;
    for (unsigned i = 0; i < 4; i++)
        s->tx.desc[i] = pci_get32(bytes + 4 * i);
    s->tx.busy = 1;
    s->tx.done = 0;
    return true;
}

void e1000_transmit(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    if (s->waiting || s->paused)
        return;
    for (unsigned steps = 0; e1000_get(s, E1000_TCTL) & TCTL_ENABLE; steps++) {
        if (steps == STEPS) {
            s->waiting = true;
            mainloop_post(e1000_transmit_again, s);
            return;
        }
        if (tx->ready) {
            bool last = tx->last;
            if (!send_frame(s)) {
                s->waiting = true;
                return;
            }
            frame_ends(s);
            if (last)
                descriptor_ends(s);
        } else if (tx->busy) {
            work_off(s);
        } else if (!fetch(s)) {
            return;
        }
    }
}

void e1000_transmit_again(void *opaque)
{
    E1000 *s = opaque;
    machine_lock(s->pci.dev.machine);
    if (!s->paused) {
        s->waiting = false;
        e1000_transmit(s);
    }
    machine_unlock(s->pci.dev.machine);
}

void e1000_tx_reset(E1000 *s)
{
    memset(&s->tx, 0, sizeof(s->tx));
    s->waiting = false;
}

void e1000_tx_sanitize(E1000 *s)
{
    E1000Tx *tx = &s->tx;
    if (tx->len > E1000_FRAME_MAX || tx->header_len > sizeof(tx->header) || tx->done > desc_length(tx) ||
        tx->segmenting > 1 || tx->header_len > tx->len || (tx->ready && (!tx->busy || tx->len < E1000_ETH_HEADER)))
        e1000_tx_reset(s);
}
