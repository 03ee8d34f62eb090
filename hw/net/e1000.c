/*
 * Intel 82540EM Gigabit Ethernet Controller (see e1000.h): registers, interrupts and the PCI function.
 *
 * Not modelled: flash, wake-up, pause frames, the packet buffer's diagnostic window.
 * SPDX-License-Identifier: MIT
 */
#include "hw/net/e1000.h"
#include "util/error.h"
#include "util/mainloop.h"
#include "util/trace.h"
#include <string.h>

enum { MMIO_SIZE = 0x20000, IO_SIZE = 64, IO_ADDRESS = 0, IO_DATA = 4 };
enum { CTRL_RESET = 1 << 26, CTRL_PHY_RESET = 1u << 31, CTRL_INITIAL = 0x241 }; /* full duplex, 1000, link up */
enum { EXT_RESET_EEPROM = 1 << 13 };
enum { STATUS_LINK = 0x2, STATUS_INITIAL = 0x281, TXCW_INITIAL = 0, RDTR_FLUSH = 1u << 31 };
enum { TXDCTL_INITIAL = 0x01000000, PBA_INITIAL = 0x30, VLAN_TYPE = 0x8100, LED_INITIAL = 0x07061302 };
#define DELAY_UNIT    1024 /* nanoseconds, of RDTR, RADV, TIDV, TADV */
#define THROTTLE_UNIT 256  /* of ITR */

/* ---- interrupts (13.4.17 to 13.4.21) ---- */

static int64_t now(const E1000 *s)
{
    return clock_now(s->pci.dev.machine->clocks, CLOCK_VIRTUAL_NS);
}

/* The line rises no more often than ITR says. */
static void update_irq(E1000 *s)
{
    bool pending = e1000_get(s, E1000_ICR) & e1000_get(s, E1000_IMS);
    if (pending && !s->irq_level) {
        uint32_t interval = e1000_get(s, E1000_ITR);
        if (timer_armed(&s->itr_timer))
            return;
        if (interval)
            timer_set(&s->itr_timer, now(s) + (int64_t)interval * THROTTLE_UNIT);
    }
    if (pending != s->irq_level) {
        s->irq_level = pending;
        pci_set_irq(&s->pci, pending);
    }
}

static void throttle_ended(void *opaque)
{
    update_irq(opaque);
}

void e1000_raise(E1000 *s, uint32_t causes)
{
    *e1000_reg(s, E1000_ICR) |= causes;
    update_irq(s);
}

void e1000_raise_later(E1000 *s, uint32_t cause, uint16_t delay, uint16_t limit)
{
    bool rx = cause == E1000_INT_RXT0;
    int64_t *last = rx ? &s->rx_limit : &s->tx_limit, at = now(s) + (int64_t)delay * DELAY_UNIT;
    if (limit && *last == TIMER_NEVER)
        *last = now(s) + (int64_t)limit * DELAY_UNIT;
    timer_set(rx ? &s->rx_timer : &s->tx_timer, MIN(at, *last));
}

static void rx_due(void *opaque)
{
    E1000 *s = opaque;
    s->rx_limit = TIMER_NEVER;
    e1000_raise(s, E1000_INT_RXT0);
}

static void tx_due(void *opaque)
{
    E1000 *s = opaque;
    s->tx_limit = TIMER_NEVER;
    e1000_raise(s, E1000_INT_TXDW);
}

/* The driver does not want to wait for what is delayed. */
static void flush(E1000 *s, Timer *timer)
{
    if (!timer_armed(timer))
        return;
    timer_cancel(timer);
    timer->callback(s);
}

/* ---- statistics (13.7) ---- */

void e1000_count(E1000 *s, unsigned offset, uint32_t n)
{
    uint32_t *counter = e1000_reg(s, offset);
    *counter = n > UINT32_MAX - *counter ? UINT32_MAX : *counter + n;
}

void e1000_count_wide(E1000 *s, unsigned offset, uint32_t n)
{
    uint32_t *low = e1000_reg(s, offset), *high = e1000_reg(s, offset + 4);
    uint64_t value = (uint64_t)*high << 32 | *low;
    value = n > UINT64_MAX - value ? UINT64_MAX : value + n;
    *low = value;
    *high = value >> 32;
}

void e1000_count_size(E1000 *s, unsigned first, size_t len)
{
    static const uint16_t ends[] = { 65, 128, 256, 512, 1024 };
    unsigned i = 0;
    while (i < G_N_ELEMENTS(ends) && len >= ends[i])
        i++;
    e1000_count(s, first + 4 * i, 1);
}

static uint32_t read_counter(E1000 *s, unsigned offset)
{
    uint32_t value = e1000_get(s, offset);
    bool low = offset == E1000_GORCL || offset == E1000_GOTCL || offset == E1000_TORL || offset == E1000_TOTL;
    if (!low)
        *e1000_reg(s, offset) = 0; /* the upper half clears both */
    if (offset == E1000_GORCL + 4 || offset == E1000_GOTCL + 4 || offset == E1000_TORL + 4 || offset == E1000_TOTL + 4)
        *e1000_reg(s, offset - 4) = 0;
    return value;
}

/* ---- link ---- */

bool e1000_link_up(const E1000 *s)
{
    return s->netdev && net_link_up(s->netdev);
}

static void link_changed(void *opaque, bool up)
{
    e1000_raise(opaque, E1000_INT_LSC);
}

/* ---- registers ---- */

/* Registers that are there, in order, and their bits that can be written as memory. */
static const struct {
    uint16_t first, last;
    uint32_t writable;
} registers[] = {
    { E1000_CTRL, E1000_CTRL, ~(CTRL_RESET | CTRL_PHY_RESET) },
    { E1000_CTRL + 4, E1000_CTRL + 4, ~(CTRL_RESET | CTRL_PHY_RESET) }, /* its copy */
    { E1000_STATUS, E1000_STATUS, 0 },
    { E1000_EECD, E1000_EECD, 0 },
    { E1000_EERD, E1000_EERD, 0 },
    { E1000_CTRL_EXT, E1000_CTRL_EXT, ~(uint32_t)EXT_RESET_EEPROM },
    { E1000_MDIC, E1000_MDIC, 0 },
    { E1000_FCAL, E1000_FCAL, ~0u },
    { E1000_FCAH, E1000_FCT, 0xffff },
    { E1000_VET, E1000_VET, 0xffff },
    { E1000_ICR, E1000_ICR, 0 },
    { E1000_ITR, E1000_ITR, 0xffff },
    { E1000_ICS, E1000_ICS, 0 },
    { E1000_IMS, E1000_IMS, 0 },
    { E1000_IMC, E1000_IMC, 0 },
    { E1000_RCTL, E1000_RCTL, 0x06dfb3fe },
    { E1000_FCTTV, E1000_FCTTV, 0xffff },
    { E1000_TXCW, E1000_TXCW, 0xc000ffff },
    { E1000_RXCW, E1000_RXCW, 0 },
    { E1000_TCTL, E1000_TCTL, 0x01fffffa },
    { E1000_TIPG, E1000_TIPG, 0x3fffffff },
    { E1000_AIFS, E1000_AIFS, 0xffff },
    { E1000_LEDCTL, E1000_LEDCTL, ~0u },
    { E1000_PBA, E1000_PBA, 0xffff },
    { E1000_FCRTL, E1000_FCRTL, 0x8000fff8 },
    { E1000_FCRTH, E1000_FCRTH, 0xfff8 },
    { E1000_RDFH, E1000_RDFPC, 0x1fff },
    { E1000_RDBAL, E1000_RDBAL, ~15u },
    { E1000_RDBAH, E1000_RDBAH, ~0u },
    { E1000_RDLEN, E1000_RDLEN, 0xfff80 },
    { E1000_RDH, E1000_RDH, 0xffff },
    { E1000_RDT, E1000_RDT, 0xffff },
    { E1000_RDTR, E1000_RDTR, 0xffff },
    { E1000_RXDCTL, E1000_RXDCTL, ~0u },
    { E1000_RADV, E1000_RADV, 0xffff },
    { E1000_RSRPD, E1000_RSRPD, 0xfff },
    { E1000_TXDMAC, E1000_TXDMAC, 1 },
    { E1000_TDFH, E1000_TDFPC, 0x1fff },
    { E1000_TDBAL, E1000_TDBAL, ~15u },
    { E1000_TDBAH, E1000_TDBAH, ~0u },
    { E1000_TDLEN, E1000_TDLEN, 0xfff80 },
    { E1000_TDH, E1000_TDH, 0xffff },
    { E1000_TDT, E1000_TDT, 0xffff },
    { E1000_TIDV, E1000_TIDV, 0xffff },
    { E1000_TXDCTL, E1000_TXDCTL, ~0u },
    { E1000_TADV, E1000_TADV, 0xffff },
    { E1000_TSPMT, E1000_TSPMT, ~0u },
    { E1000_STATS, E1000_STATS_LAST, 0 },
    { E1000_RXCSUM, E1000_RXCSUM, 0x7ff },
    { E1000_MTA, E1000_MTA_LAST, ~0u },
    { E1000_RA, E1000_RA_LAST, ~0u },
    { E1000_VFTA, E1000_VFTA_LAST, ~0u },
    { E1000_WUC, E1000_WAKE_LAST, ~0u },
};

static bool find_register(unsigned offset, uint32_t *writable)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(registers) && registers[i].first <= offset; i++) {
        if (offset <= registers[i].last) {
            bool high = registers[i].first == E1000_RA && offset & 4;
            *writable = high ? 0x8003ffff : registers[i].writable;
            return true;
        }
    }
    return false;
}

static void reset_registers(E1000 *s)
{
    static const struct {
        uint16_t offset;
        uint32_t value;
    } initial[] = { { E1000_CTRL, CTRL_INITIAL },  { E1000_STATUS, STATUS_INITIAL }, { E1000_PBA, PBA_INITIAL },
                    { E1000_LEDCTL, LED_INITIAL }, { E1000_VET, VLAN_TYPE },         { E1000_TXDCTL, TXDCTL_INITIAL },
                    { E1000_MDIC, 1u << 28 } };
    memset(s->regs, 0, sizeof(s->regs));
    for (unsigned i = 0; i < G_N_ELEMENTS(initial); i++)
        *e1000_reg(s, initial[i].offset) = initial[i].value;
    *e1000_reg(s, E1000_RA) = pci_get32(s->mac);
    *e1000_reg(s, E1000_RA + 4) = pci_get16(s->mac + 4) | 1u << 31;
}

/* CTRL.RST, or the whole machine's. The PHY has a reset of its own. */
static void reset_mac(E1000 *s)
{
    timer_cancel(&s->itr_timer);
    timer_cancel(&s->rx_timer);
    timer_cancel(&s->tx_timer);
    s->rx_limit = s->tx_limit = TIMER_NEVER;
    reset_registers(s);
    e1000_tx_reset(s);
    update_irq(s);
    net_accept_input(s->netdev); /* frames that waited for descriptors go nowhere */
}

static uint32_t read_register(E1000 *s, unsigned offset)
{
    uint32_t writable, value;
    switch (offset) {
    case E1000_CTRL + 4:
        return e1000_get(s, E1000_CTRL);
    case E1000_STATUS:
        return e1000_get(s, E1000_STATUS) | (e1000_link_up(s) ? STATUS_LINK : 0);
    case E1000_EECD:
        return e1000_eecd_read(s);
    case E1000_ICR:
        value = e1000_get(s, E1000_ICR);
        *e1000_reg(s, E1000_ICR) = 0;
        update_irq(s);
        return value;
    case E1000_ICS:
    case E1000_IMC:
        return 0;
    default:
        if (offset >= E1000_STATS && offset <= E1000_STATS_LAST)
            return read_counter(s, offset);
        if (find_register(offset, &writable))
            return e1000_get(s, offset);
        guest_error(&s->pci.dev, "read of 0x%x, where no register is", offset);
        return 0;
    }
}

static void ctrl_written(E1000 *s, uint32_t value)
{
    if (value & CTRL_PHY_RESET)
        e1000_phy_reset(s);
    if (value & CTRL_RESET)
        reset_mac(s);
}

/* What a write does besides. */
static void written(E1000 *s, unsigned offset, uint32_t value)
{
    switch (offset) {
    case E1000_CTRL:
    case E1000_CTRL + 4:
        ctrl_written(s, value);
        break;
    case E1000_EECD:
        e1000_eecd_write(s, value);
        break;
    case E1000_EERD:
        e1000_eerd_write(s, value);
        break;
    case E1000_MDIC:
        e1000_mdic_write(s, value);
        break;
    case E1000_ICR:
        *e1000_reg(s, E1000_ICR) &= ~value;
        update_irq(s);
        break;
    case E1000_ICS:
        e1000_raise(s, value & E1000_INT_ALL);
        break;
    case E1000_IMS:
        *e1000_reg(s, E1000_IMS) |= value & E1000_INT_ALL;
        update_irq(s);
        break;
    case E1000_IMC:
        *e1000_reg(s, E1000_IMS) &= ~value;
        update_irq(s);
        break;
    case E1000_RDTR:
        if (value & RDTR_FLUSH)
            flush(s, &s->rx_timer);
        break;
    case E1000_TIDV:
        if (value & RDTR_FLUSH)
            flush(s, &s->tx_timer);
        break;
    case E1000_RCTL:
    case E1000_RDT:
    case E1000_RDH:
    case E1000_RDLEN:
        net_accept_input(s->netdev);
        break;
    case E1000_TCTL:
    case E1000_TDT:
        e1000_transmit(s);
        break;
    }
}

static void write_register(E1000 *s, unsigned offset, uint32_t value)
{
    uint32_t writable;
    if (!find_register(offset, &writable)) {
        guest_error(&s->pci.dev, "write of 0x%x to 0x%x, where no register is", value, offset);
        return;
    }
    uint32_t *reg = e1000_reg(s, offset == E1000_CTRL + 4 ? E1000_CTRL : offset);
    *reg = (*reg & ~writable) | (value & writable);
    written(s, offset, value);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    uint32_t value = read_register(opaque, offset);
    TRACE(e1000_reg_read, "0x%05x: 0x%x", (unsigned)offset, value);
    return value;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    TRACE(e1000_reg_write, "0x%05x: 0x%x", (unsigned)offset, (uint32_t)value);
    write_register(opaque, offset, value);
}

/* Ports: an address, and the register there (13.2.2). */
static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    E1000 *s = opaque;
    if (offset == IO_ADDRESS)
        return s->io_address;
    return offset == IO_DATA && s->io_address < MMIO_SIZE ? read_register(s, s->io_address & ~3u) : 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    E1000 *s = opaque;
    if (offset == IO_ADDRESS)
        s->io_address = value;
    else if (offset == IO_DATA && s->io_address < MMIO_SIZE)
        write_register(s, s->io_address & ~3u, value);
}

static const MemOps mmio_ops = { .read = mmio_read, .write = mmio_write, .max_size = 8, .impl_min = 4, .impl_max = 4 },
                    io_ops = { .read = io_read, .write = io_write, .max_size = 4, .impl_min = 4, .impl_max = 4 };

/* ---- netdev ---- */

static bool receive(void *opaque, const uint8_t *frame, size_t len, bool checked)
{
    E1000 *s = opaque;
    return !s->paused && e1000_receive(s, frame, len, checked);
}

static void writable(void *opaque)
{
    E1000 *s = opaque;
    if (s->paused)
        return;
    s->waiting = false;
    e1000_transmit(s);
}

static void machine_changed(void *opaque, Machine *machine)
{
    E1000 *s = opaque;
    s->paused = machine->state != RUN_RUNNING;
    if (!s->paused) {
        writable(s);
        net_accept_input(s->netdev);
    }
}

/* ---- life cycle ---- */

static void master_changed(PciDevice *pci, bool on)
{
    E1000 *s = (E1000 *)pci;
    if (on) {
        e1000_transmit(s);
        net_accept_input(s->netdev);
    }
}

static bool connect(E1000 *s, GError **err)
{
    static const NetClient client = { receive, NULL, writable, link_changed };
    static const uint8_t none[6];
    Device *dev = &s->pci.dev;
    if (s->mac[0] & 1)
        return error_set(err, "mac: the address of a group, not of a device");
    if (s->netdev && !net_attach(s->netdev, dev->machine, dev->id ? dev->id : dev->type->name, &client, s, err))
        return false;
    if (!memcmp(s->mac, none, 6))
        net_mac_choose(s->mac);
    net_mac_claim(s->mac);
    return true;
}

static bool realize(Device *dev, GError **err)
{
    E1000 *s = (E1000 *)dev;
    if (!connect(s, err))
        return false;
    e1000_board_init(s);
    pci_set_ids(&s->pci, 0x8086, 0x100e, 0x020000, 3);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    pci_set_interrupt_pin(&s->pci, 1);
    s->pci.master_changed = master_changed;
    timer_init(&s->itr_timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, throttle_ended, s);
    timer_init(&s->rx_timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, rx_due, s);
    timer_init(&s->tx_timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, tx_due, s);
    mem_io_init(&s->mmio, dev->machine, "e1000-mmio", MMIO_SIZE, &mmio_ops, s);
    mem_io_init(&s->io, dev->machine, "e1000-io", IO_SIZE, &io_ops, s);
    pci_add_bar(&s->pci, 0, 0, &s->mmio);
    pci_add_bar(&s->pci, 1, PCI_BAR_IO, &s->io);
    machine_add_state_hook(dev->machine, machine_changed, s);
    return true;
}

static void unrealize(Device *dev)
{
    E1000 *s = (E1000 *)dev;
    machine_remove_hooks(dev->machine, s);
    mainloop_cancel(s);
    if (s->netdev)
        net_attach(s->netdev, NULL, NULL, NULL, NULL, NULL);
    net_mac_release(s->mac);
}

static void reset(Device *dev)
{
    E1000 *s = (E1000 *)dev;
    s->io_address = 0;
    e1000_board_reset(s);
    reset_mac(s);
}

static void post_load(Device *dev)
{
    E1000 *s = (E1000 *)dev;
    e1000_tx_sanitize(s);
    s->irq_level = s->pci.irq_level;
    update_irq(s);
}

static const Prop props[] = {
    PROP(E1000, NETDEV, "netdev", netdev, .help = "id of -netdev"),
    PROP(E1000, MAC, "mac", mac, .help = "address; 52:54:00:12:34:56 and up if it is not given"),
    PROP_BOOTINDEX(E1000, bootindex),
    PROP(E1000, STRING, "romfile", pci.romfile, .fallback = "efi-e1000.rom",
         .help = "iPXE, which firmware boots from the network with; empty: none"),
    PROP_END,
};
/* clang-format off */
#define STATE_WORDS(field)                                                                                             \
    { #field, STATE_KIND_BYTES, offsetof(E1000, field), sizeof(((E1000 *)0)->field), 4, NULL }
/* clang-format on */
static const StateField state[] = { STATE_ARRAY(E1000, regs),
                                    STATE(E1000, io_address),
                                    STATE_ARRAY(E1000, phy),
                                    STATE(E1000, microwire.in),
                                    STATE(E1000, microwire.out),
                                    STATE(E1000, microwire.bits),
                                    STATE(E1000, microwire.active),
                                    STATE(E1000, microwire.level),
                                    STATE_SKIP(E1000, irq_level, "the PCI function has it"),
                                    STATE_TIMER(E1000, itr_timer),
                                    STATE_TIMER(E1000, rx_timer),
                                    STATE_TIMER(E1000, tx_timer),
                                    STATE(E1000, rx_limit),
                                    STATE(E1000, tx_limit),
                                    STATE_WORDS(tx.context),
                                    STATE_WORDS(tx.desc),
                                    STATE(E1000, tx.done),
                                    STATE(E1000, tx.len),
                                    STATE(E1000, tx.header_len),
                                    STATE(E1000, tx.payload),
                                    STATE(E1000, tx.segments),
                                    STATE(E1000, tx.vlan),
                                    STATE(E1000, tx.options),
                                    STATE(E1000, tx.busy),
                                    STATE(E1000, tx.started),
                                    STATE(E1000, tx.segmenting),
                                    STATE(E1000, tx.uncut),
                                    STATE(E1000, tx.tagged),
                                    STATE(E1000, tx.sum_start),
                                    STATE(E1000, tx.sum_at),
                                    STATE(E1000, tx.dropped),
                                    STATE(E1000, tx.ready),
                                    STATE(E1000, tx.last),
                                    STATE_ARRAY(E1000, tx.header),
                                    STATE_ARRAY(E1000, tx.frame),
                                    STATE_SKIP(E1000, mmio, "wiring"),
                                    STATE_SKIP(E1000, io, "wiring"),
                                    STATE_SKIP(E1000, eeprom, "follows from mac"),
                                    STATE_SKIP(E1000, waiting, "ends when the machine goes on"),
                                    STATE_SKIP(E1000, paused, "follows the machine"),
                                    STATE_END };

const DeviceType e1000_type = {
    .name = "e1000",
    .desc = "Intel 82540EM Gigabit Ethernet",
    .category = "network",
    .bus = "pci",
    .parent = &pci_device_type,
    .size = sizeof(E1000),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
