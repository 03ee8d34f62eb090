/*
 * Virtio network device (VIRTIO 1.2, 5.1): one pair of queues and the control queue.
 *
 * All of it runs under the machine lock. Frames from the driver are copied to the netdev's queue; when that is full
 * they stay in the ring until it has room. Frames to the driver that find no buffers wait in the netdev until the
 * driver adds some. The driver's checksums are completed here, so that what goes out is whole. TCP segments that are
 * the device's to cut (HOST_TSO4) are offered only where the netdev takes them uncut.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_net.h"
#include "hw/virtio/virtio_pci.h"
#include "net/checksum.h"
#include "net/net.h"
#include "util/error.h"
#include "util/mainloop.h"
#include "util/trace.h"
#include <string.h>

enum { /* 5.1.3 */
       F_CSUM = 1 << 0,
       F_GUEST_CSUM = 1 << 1,
       F_MTU = 1 << 3,
       F_MAC = 1 << 5,
       F_HOST_TSO4 = 1 << 11,
       F_MRG_RXBUF = 1 << 15,
       F_STATUS = 1 << 16,
       F_CTRL_VQ = 1 << 17,
       F_CTRL_RX = 1 << 18,
       F_CTRL_VLAN = 1 << 19,
       F_CTRL_RX_EXTRA = 1 << 20,
       F_CTRL_MAC_ADDR = 1 << 23
};
enum { RX, TX, CONTROL };
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MAX_PAIRS = 8, CONFIG_MTU = 10, CONFIG_SIZE = 12 };
enum { STATUS_LINK_UP = 1 };
enum { HDR_FLAGS = 0, HDR_GSO_TYPE = 1, HDR_CSUM_START = 6, HDR_CSUM_OFFSET = 8, HDR_BUFFERS = 10, HDR_SIZE = 12 };
enum { FLAG_NEEDS_CSUM = 1, FLAG_DATA_VALID = 2 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1 };
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { VLAN_ADD = 0, VLAN_DEL = 1 };
enum { ACK_OK = 0, ACK_ERR = 1 };
enum { ETH_HEADER = 14, ETH_TYPE = 12, ETH_P_8021Q = 0x8100, VLANS = 4096 };
#define PARTS_MAX 128 /* buffers of one frame */
#define TABLE_MAX 64  /* addresses of one table */

/* 5.1.6.5.1: what each command of class RX sets, and the feature it needs. */
typedef enum { PROMISC, ALL_MULTI, ALL_UNI, NO_MULTI, NO_UNI, NO_BCAST, RX_MODES } RxMode;

/* All bytes, as in the saved state. */
typedef struct MacTable {
    uint8_t overflow; /* more than fit were asked for: all pass */
    uint8_t count;
    uint8_t addresses[TABLE_MAX][6];
} MacTable;

typedef struct VirtioNet {
    VirtioDevice v;
    Netdev *netdev;
    uint8_t mac[6]; /* property */
    uint16_t rx_size, tx_size, host_mtu;
    bool offer_csum, offer_guest_csum, offer_mrg_rxbuf, offer_status, offer_ctrl_vq, offer_ctrl_rx, offer_ctrl_vlan,
        offer_ctrl_rx_extra, offer_ctrl_mac_addr, offer_host_tso4;
    uint8_t address[6]; /* what the driver made of mac */
    uint8_t modes[RX_MODES];
    MacTable unicast, multicast;
    uint32_t vlans[VLANS / 32];
    bool waiting; /* the transmit queue is left alone until the netdev has room or the main loop its turn */
    bool paused;  /* by the machine */
    VirtElement element;
    VirtElement *parts[PARTS_MAX]; /* made when needed */
    uint8_t *frame;                /* NET_FRAME_MAX bytes, to complete checksums in */
    uint32_t bootindex;            /* property */
} VirtioNet;

/* ---- filters (5.1.6.5) ---- */

static bool in_table(const MacTable *table, const uint8_t *address)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (!memcmp(table->addresses[i], address, 6))
            return true;
    }
    return table->overflow;
}

static bool passes(const VirtioNet *s, const uint8_t *frame, size_t len)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    if (len < ETH_HEADER)
        return false;
    if (s->modes[PROMISC])
        return true;
    if (virtio_accepted(&s->v, F_CTRL_VLAN) && len >= ETH_HEADER + 2 &&
        (frame[ETH_TYPE] << 8 | frame[ETH_TYPE + 1]) == ETH_P_8021Q) {
        unsigned vlan = (frame[ETH_HEADER] << 8 | frame[ETH_HEADER + 1]) % VLANS;
        if (!(s->vlans[vlan / 32] >> vlan % 32 & 1))
            return false;
    }
    if (!memcmp(frame, broadcast, 6))
        return !s->modes[NO_BCAST];
    if (frame[0] & 1)
        return !s->modes[NO_MULTI] && (s->modes[ALL_MULTI] || in_table(&s->multicast, frame));
    return !s->modes[NO_UNI] && (s->modes[ALL_UNI] || !memcmp(frame, s->address, 6) || in_table(&s->unicast, frame));
}

static uint8_t set_rx_mode(VirtioNet *s, uint8_t mode, const uint8_t *data, size_t len)
{
    bool basic = mode <= ALL_MULTI;
    if (mode >= RX_MODES || len < 1 || data[0] > 1 || !virtio_accepted(&s->v, basic ? F_CTRL_RX : F_CTRL_RX_EXTRA))
        return ACK_ERR;
    s->modes[mode] = data[0];
    return ACK_OK;
}

/* A table at data; returns its bytes, or 0 if it is cut short. */
static size_t set_table(MacTable *table, const uint8_t *data, size_t len)
{
    uint64_t count = len >= 4 ? pci_get32(data) : 0;
    if (len < 4 || (len - 4) / 6 < count)
        return 0;
    table->overflow = count > TABLE_MAX;
    table->count = table->overflow ? 0 : count;
    memcpy(table->addresses, data + 4, 6 * table->count);
    return 4 + 6 * count;
}

static uint8_t set_mac(VirtioNet *s, uint8_t command, const uint8_t *data, size_t len)
{
    MacTable unicast = { 0 }, multicast = { 0 };
    if (command == MAC_ADDR_SET && len >= 6 && virtio_accepted(&s->v, F_CTRL_MAC_ADDR)) {
        memcpy(s->address, data, 6);
        return ACK_OK;
    }
    if (command != MAC_TABLE_SET || !virtio_accepted(&s->v, F_CTRL_RX))
        return ACK_ERR;
    size_t first = set_table(&unicast, data, len);
    if (!first || !set_table(&multicast, data + first, len - first))
        return ACK_ERR;
    s->unicast = unicast;
    s->multicast = multicast;
    return ACK_OK;
}

static uint8_t set_vlan(VirtioNet *s, uint8_t command, const uint8_t *data, size_t len)
{
    unsigned vlan = len >= 2 ? pci_get16(data) : VLANS;
    if (vlan >= VLANS || command > VLAN_DEL || !virtio_accepted(&s->v, F_CTRL_VLAN))
        return ACK_ERR;
    if (command == VLAN_ADD)
        s->vlans[vlan / 32] |= 1u << vlan % 32;
    else
        s->vlans[vlan / 32] &= ~(1u << vlan % 32);
    return ACK_OK;
}

static uint8_t command(VirtioNet *s, const uint8_t *data, size_t len)
{
    uint8_t class = len < 2 ? UINT8_MAX : data[0], ack = ACK_ERR;
    if (class == CLASS_RX)
        ack = set_rx_mode(s, data[1], data + 2, len - 2);
    else if (class == CLASS_MAC)
        ack = set_mac(s, data[1], data + 2, len - 2);
    else if (class == CLASS_VLAN)
        ack = set_vlan(s, data[1], data + 2, len - 2);
    TRACE(virtio_net_control, "class %u command %u: %s", class, len < 2 ? 0 : data[1], ack ? "refused" : "done");
    if (ack)
        guest_error(&s->v.dev, "control command of class %u, %zu bytes, is refused", class, len);
    return ack;
}

static void run_control(VirtioNet *s)
{
    VirtQueue *queue = &s->v.queues[CONTROL];
    VirtElement *e = &s->element;
    /* One command waits for the other's answer: there are no more than the ring holds. */
    for (unsigned n = 0; n < queue->max_size && virtq_pop(queue, e); n++) {
        size_t len = MIN(e->out_bytes, NET_FRAME_MAX);
        uint8_t ack; /* a command longer than that is cut, and refused */
        if (!e->in_bytes) {
            virtio_broken(&s->v, "control command without room for its answer");
            return;
        }
        iov_read(e->out, e->out_count, 0, s->frame, len);
        ack = command(s, s->frame, len);
        iov_write(e->in, e->in_count, 0, &ack, 1);
        virtq_push(queue, e, 1);
    }
    virtq_notify(queue);
}

/* ---- to the driver ---- */

/* How many of parts are taken so that they hold need bytes; 0: there are too few now, or (*never) they never will be.
 */
static unsigned take_parts(VirtioNet *s, size_t need, bool *never)
{
    VirtQueue *rx = &s->v.queues[RX];
    unsigned limit = virtio_accepted(&s->v, F_MRG_RXBUF) ? PARTS_MAX : 1, n = 0;
    size_t room = 0;
    *never = false;
    while (room < need && n < limit) {
        if (!s->parts[n])
            s->parts[n] = g_new(VirtElement, 1);
        if (!virtq_pop(rx, s->parts[n])) {
            virtq_want_kicks(rx, true);
            if (!virtq_pop(rx, s->parts[n]))
                break;
        }
        room += s->parts[n++]->in_bytes;
    }
    if (room >= need && s->parts[0]->in_bytes >= HDR_SIZE)
        return n;
    *never = n && (n == limit || s->parts[0]->in_bytes < HDR_SIZE);
    while (n)
        virtq_unpop(rx, s->parts[--n]);
    return 0;
}

static void fill_parts(VirtioNet *s, unsigned count, const uint8_t *frame, size_t len, bool checked)
{
    uint8_t header[HDR_SIZE] = { 0 };
    uint32_t written[PARTS_MAX];
    size_t done = 0;
    if (checked && virtio_accepted(&s->v, F_GUEST_CSUM))
        header[HDR_FLAGS] = FLAG_DATA_VALID;
    pci_put16(header + HDR_BUFFERS, count);
    for (unsigned i = 0; i < count; i++) {
        const VirtElement *e = s->parts[i];
        size_t head = i ? 0 : iov_write(e->in, e->in_count, 0, header, HDR_SIZE);
        size_t here = iov_write(e->in, e->in_count, head, frame + done, len - done);
        written[i] = head + here;
        done += here;
    }
    virtq_push_all(&s->v.queues[RX], s->parts, written, count);
}

static bool receive(void *opaque, const uint8_t *frame, size_t len, bool checked)
{
    VirtioNet *s = opaque;
    bool never;
    if (s->paused)
        return false;
    if (!virtio_running(&s->v) || !passes(s, frame, len))
        return true; /* nobody hears it */
    unsigned count = take_parts(s, HDR_SIZE + len, &never);
    if (count) {
        fill_parts(s, count, frame, len, checked);
        if (!s->v.queues[RX].quiet)
            virtq_want_kicks(&s->v.queues[RX], false);
    } else if (never) {
        guest_error(&s->v.dev, "the receive buffers are too small for a frame of %zu bytes: it is lost", len);
    }
    return count || never || !virtio_running(&s->v);
}

static void received(void *opaque)
{
    VirtioNet *s = opaque;
    virtq_notify(&s->v.queues[RX]);
}

/* ---- from the driver ---- */

/* The sum of the pseudo header is in its place already (5.1.6.2). */
static bool complete_checksum(VirtioNet *s, const uint8_t *header, size_t len)
{
    size_t start = pci_get16(header + HDR_CSUM_START), at = start + pci_get16(header + HDR_CSUM_OFFSET);
    if (at + 2 > len)
        return false;
    uint16_t sum = net_checksum(s->frame + start, len - start);
    sum = sum ? sum : 0xffff; /* 0 means "none" in UDP; in ones' complement it is the same */
    memcpy(s->frame + at, &sum, 2);
    return true;
}

/* Make of e's out segments those of the frame behind the header. */
static void skip_header(VirtElement *e)
{
    size_t left = HDR_SIZE;
    while (left) {
        size_t here = MIN(left, e->out->iov_len);
        e->out->iov_base = (uint8_t *)e->out->iov_base + here;
        e->out->iov_len -= here;
        left -= here;
        if (!e->out->iov_len) {
            e->out++;
            e->out_count--;
        }
    }
}

/* False: the netdev has no room, and e is as it was for virtq_unpop. */
static bool send_frame(VirtioNet *s, VirtElement *e)
{
    uint8_t header[HDR_SIZE];
    size_t len = e->out_bytes - HDR_SIZE;
    if (e->out_bytes < HDR_SIZE + ETH_HEADER || len > NET_FRAME_MAX) {
        guest_error(&s->v.dev, "a frame of %u bytes with its header is not sent", e->out_bytes);
        return true;
    }
    iov_read(e->out, e->out_count, 0, header, HDR_SIZE);
    bool sum = header[HDR_FLAGS] & FLAG_NEEDS_CSUM && virtio_accepted(&s->v, F_CSUM);
    if (header[HDR_GSO_TYPE] != GSO_NONE &&
        (header[HDR_GSO_TYPE] != GSO_TCPV4 || !sum || !virtio_accepted(&s->v, F_HOST_TSO4))) {
        guest_error(&s->v.dev, "a frame of GSO type 0x%x is not sent: the driver may not ask for that here",
                    header[HDR_GSO_TYPE]);
        return true;
    }
    skip_header(e);
    if (!sum)
        return net_send(s->netdev, e->out, e->out_count);
    struct iovec flat = { s->frame, len };
    iov_read(e->out, e->out_count, 0, s->frame, len);
    if (complete_checksum(s, header, len))
        return net_send(s->netdev, &flat, 1);
    guest_error(&s->v.dev, "the checksum of a frame of %zu bytes lies behind its end: it is not sent", len);
    return true;
}

static void transmit_again(void *opaque);

/* At most a ring of frames at once, lest a driver that adds more all the time keeps the lock. */
static void transmit(VirtioNet *s)
{
    VirtQueue *tx = &s->v.queues[TX];
    VirtElement *e = &s->element;
    unsigned n = 0;
    virtq_want_kicks(tx, false);
    while (!s->waiting) {
        if (!virtq_pop(tx, e)) {
            virtq_want_kicks(tx, true);
            if (!virtq_available(tx))
                break;
            virtq_want_kicks(tx, false);
        } else if (!send_frame(s, e)) {
            virtq_unpop(tx, e);
            s->waiting = true;
        } else {
            virtq_push(tx, e, 0);
            if (++n == tx->max_size) {
                s->waiting = true;
                mainloop_post(transmit_again, s);
            }
        }
    }
    virtq_notify(tx);
}

/* The netdev has room, or the main loop its turn, or the machine goes on. */
static void go_on(VirtioNet *s)
{
    if (s->paused)
        return;
    s->waiting = false;
    if (virtio_running(&s->v))
        transmit(s);
}

static void writable(void *opaque)
{
    go_on(opaque);
}

static void transmit_again(void *opaque)
{
    VirtioNet *s = opaque;
    machine_lock(s->v.dev.machine);
    go_on(s);
    machine_unlock(s->v.dev.machine);
}

/* ---- virtio ---- */

static void kick(VirtioDevice *v, VirtQueue *queue)
{
    VirtioNet *s = (VirtioNet *)v;
    if (queue->index == RX) {
        virtq_want_kicks(queue, false);
        net_accept_input(s->netdev);
    } else if (queue->index == CONTROL) {
        run_control(s);
    } else if (!s->waiting) {
        transmit(s);
    }
}

static uint64_t features(VirtioDevice *v)
{
    const VirtioNet *s = (VirtioNet *)v;
    uint64_t control = F_CTRL_VQ | (s->offer_ctrl_rx ? F_CTRL_RX : 0) | (s->offer_ctrl_vlan ? F_CTRL_VLAN : 0) |
                       (s->offer_ctrl_rx_extra ? F_CTRL_RX_EXTRA : 0) | (s->offer_ctrl_mac_addr ? F_CTRL_MAC_ADDR : 0);
    return F_MAC | (s->offer_csum ? F_CSUM : 0) | (s->offer_guest_csum ? F_GUEST_CSUM : 0) | (s->host_mtu ? F_MTU : 0) |
           (s->offer_csum && s->offer_host_tso4 && net_takes_large(s->netdev) ? F_HOST_TSO4 : 0) |
           (s->offer_mrg_rxbuf ? F_MRG_RXBUF : 0) | (s->offer_status ? F_STATUS : 0) | (s->offer_ctrl_vq ? control : 0);
}

static void get_config(VirtioDevice *v, uint8_t *config)
{
    const VirtioNet *s = (VirtioNet *)v;
    memcpy(config + CONFIG_MAC, s->address, 6);
    pci_put16(config + CONFIG_STATUS, s->netdev && net_link_up(s->netdev) ? STATUS_LINK_UP : 0);
    pci_put16(config + CONFIG_MAX_PAIRS, 1);
    pci_put16(config + CONFIG_MTU, s->host_mtu);
}

static void net_reset(VirtioDevice *v)
{
    VirtioNet *s = (VirtioNet *)v;
    memcpy(s->address, s->mac, 6);
    memset(s->modes, 0, sizeof(s->modes));
    s->modes[PROMISC] = 1; /* a driver without the control queue gets all */
    s->unicast = s->multicast = (MacTable){ 0 };
    memset(s->vlans, 0, sizeof(s->vlans));
    s->waiting = false;
    net_accept_input(s->netdev); /* frames that waited for the driver go nowhere */
}

static const VirtioOps ops = {
    .id = 1,
    .pci_class = 0x020000,
    .config_size = CONFIG_SIZE,
    .features = features,
    .get_config = get_config,
    .kick = kick,
    .reset = net_reset,
};

/* ---- type ---- */

static void link_changed(void *opaque, bool up)
{
    virtio_notify_config(opaque);
}

static void machine_changed(void *opaque, Machine *machine)
{
    VirtioNet *s = opaque;
    s->paused = machine->state != RUN_RUNNING;
    if (!s->paused) {
        go_on(s);
        net_accept_input(s->netdev);
    }
}

static bool check_size(const char *name, unsigned size, GError **err)
{
    return (size >= 16 && size <= VIRTIO_QUEUE_SIZE_MAX && !(size & (size - 1))) ||
           error_set(err, "%s=%u: a power of two from 16 to %u is needed", name, size, VIRTIO_QUEUE_SIZE_MAX);
}

static bool realize(Device *dev, GError **err)
{
    static const NetClient client = { receive, received, writable, link_changed };
    static const uint8_t none[6];
    VirtioNet *s = (VirtioNet *)dev;
    const Device *named = dev->id ? dev : s->v.transport ? s->v.transport->owner : dev;
    if (!check_size("rx_queue_size", s->rx_size, err) || !check_size("tx_queue_size", s->tx_size, err))
        return false;
    if (s->mac[0] & 1)
        return error_set(err, "mac: the address of a group, not of a device");
    if (s->host_mtu && s->host_mtu < 68)
        return error_set(err, "host_mtu=%u: 68 to 65535 are possible, and 0: not told", s->host_mtu);
    if (s->netdev && !net_attach(s->netdev, dev->machine, named->id ? named->id : named->type->name, &client, s, err))
        return false;
    if (!memcmp(s->mac, none, 6))
        net_mac_choose(s->mac);
    net_mac_claim(s->mac);
    s->frame = g_malloc0(NET_FRAME_MAX);
    virtio_init(&s->v, &ops);
    virtio_add_queue(&s->v, s->rx_size);
    virtio_add_queue(&s->v, s->tx_size);
    if (s->offer_ctrl_vq)
        virtio_add_queue(&s->v, 64);
    machine_add_state_hook(dev->machine, machine_changed, s);
    return true;
}

static void unrealize(Device *dev)
{
    VirtioNet *s = (VirtioNet *)dev;
    machine_remove_hooks(dev->machine, s);
    mainloop_cancel(s);
    if (s->netdev)
        net_attach(s->netdev, NULL, NULL, NULL, NULL, NULL);
    net_mac_release(s->mac);
    for (unsigned i = 0; i < PARTS_MAX; i++)
        g_free(s->parts[i]);
    g_free(s->frame);
}

#define OFFER(text, member) PROP(VirtioNet, BOOL, text, member, .fallback = "on", .help = "offer the feature")
static const Prop props[] = {
    PROP(VirtioNet, NETDEV, "netdev", netdev, .help = "id of -netdev"),
    PROP(VirtioNet, MAC, "mac", mac, .help = "address; 52:54:00:12:34:56 and up if it is not given"),
    PROP_BOOTINDEX(VirtioNet, bootindex),
    PROP(VirtioNet, U16, "rx_queue_size", rx_size, .fallback = "256", .help = "entries of the receive queue"),
    PROP(VirtioNet, U16, "tx_queue_size", tx_size, .fallback = "256", .help = "entries of the transmit queue"),
    PROP(VirtioNet, U16, "host_mtu", host_mtu, .help = "tell the driver this MTU"),
    OFFER("csum", offer_csum),
    OFFER("guest_csum", offer_guest_csum),
    OFFER("host_tso4", offer_host_tso4),
    OFFER("mrg_rxbuf", offer_mrg_rxbuf),
    OFFER("status", offer_status),
    OFFER("ctrl_vq", offer_ctrl_vq),
    OFFER("ctrl_rx", offer_ctrl_rx),
    OFFER("ctrl_vlan", offer_ctrl_vlan),
    OFFER("ctrl_rx_extra", offer_ctrl_rx_extra),
    OFFER("ctrl_mac_addr", offer_ctrl_mac_addr),
    PROP_END,
};
/* clang-format off */
#define STATE_TABLE(field)                                                                                             \
    { #field, STATE_KIND_BYTES, offsetof(VirtioNet, field), sizeof(MacTable), 1, NULL }
/* clang-format on */
static const StateField state[] = { STATE_ARRAY(VirtioNet, address),
                                    STATE_ARRAY(VirtioNet, modes),
                                    STATE_TABLE(unicast),
                                    STATE_TABLE(multicast),
                                    STATE_ARRAY(VirtioNet, vlans),
                                    STATE_SKIP(VirtioNet, waiting, "ends when the machine goes on"),
                                    STATE_SKIP(VirtioNet, paused, "follows the machine"),
                                    STATE_SKIP(VirtioNet, element, "used within a call"),
                                    STATE_SKIP(VirtioNet, parts, "used within a call"),
                                    STATE_SKIP(VirtioNet, frame, "used within a call"),
                                    STATE_END };

const DeviceType virtio_net_type = {
    .name = "virtio-net-device",
    .desc = "virtio network card",
    .category = "network",
    .bus = "virtio",
    .parent = &virtio_device_type,
    .size = sizeof(VirtioNet),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
};

static const Prop pci_props[] = {
    PROP(VirtioPci, STRING, "romfile", pci.romfile, .fallback = "efi-virtio.rom",
         .help = "iPXE, which firmware boots from the network with; empty: none"),
    PROP_END,
};
VIRTIO_PCI_TYPE(virtio_net_pci_type, "virtio-net-pci", virtio_net_type, "network", "virtio network card on PCI",
                .props = pci_props);
