/*
 * 16550A UART (National Semiconductor PC16550D data sheet, section 8). Characters take no time; those that the back end
 * does not take at once wait in the transmitter, which is empty when all have gone.
 * SPDX-License-Identifier: MIT
 */
#include "hw/char/serial_16550.h"
#include <string.h>

enum { RBR_THR_DLL, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { IER_RX = 1, IER_TX = 2, IER_LINE = 4, IER_MODEM = 8 };
enum { IIR_NONE = 1, IIR_MODEM = 0, IIR_TX = 2, IIR_RX = 4, IIR_LINE = 6, IIR_TIMEOUT = 12, IIR_FIFOS = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4 };
enum { LCR_DLAB = 0x80, MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 };
enum { LSR_READY = 1, LSR_OVERRUN = 2, LSR_BREAK = 0x10, LSR_TX_EMPTY = 0x20, LSR_IDLE = 0x40, LSR_FIFO_ERROR = 0x80 };
enum { MSR_DELTAS = 0x0f, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

static unsigned capacity(const Serial16550 *s)
{
    return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static unsigned trigger(const Serial16550 *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

static unsigned interrupt_id(const Serial16550 *s)
{
    if (s->ier & IER_LINE && s->lsr_errors)
        return IIR_LINE;
    if (s->ier & IER_RX && s->fifo_count >= trigger(s))
        return IIR_RX;
    if (s->ier & IER_RX && s->fifo_count && s->timeout_pending)
        return IIR_TIMEOUT;
    if (s->ier & IER_TX && s->tx_empty_pending)
        return IIR_TX;
    if (s->ier & IER_MODEM && s->msr & MSR_DELTAS)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update(Serial16550 *s)
{
    irq_set(&s->irq, interrupt_id(s) != IIR_NONE);
}

/* Errors belong to characters: LSR shows a break when it is the next to be read. */
static void reveal(Serial16550 *s)
{
    uint16_t next = 1u << s->fifo_first;
    if (s->fifo_count && s->breaks & next)
        s->lsr_errors |= LSR_BREAK;
    s->breaks &= ~next;
}

/* A full FIFO loses the new character; without FIFO the new one replaces the old. */
static void receive(Serial16550 *s, uint8_t c, bool is_break)
{
    bool full = s->fifo_count == capacity(s);
    if (full)
        s->lsr_errors |= LSR_OVERRUN;
    if (!full || !(s->fcr & FCR_ENABLE)) {
        unsigned place = (s->fifo_first + (full ? 0 : s->fifo_count++)) % SERIAL_FIFO;
        s->fifo[place] = c;
        s->breaks = (s->breaks & ~(1u << place)) | (unsigned)is_break << place;
        s->timeout_pending = s->fcr & FCR_ENABLE; /* characters take no time, so the line falls silent at once */
        reveal(s);
    }
    update(s);
}

/* The FIFO has become empty, or loopback has ended: the back end may have something that it could not give. */
static void accept_input(Serial16550 *s)
{
    if (s->chardev && s->dev.realized)
        chardev_accept_input(s->chardev);
}

static uint8_t take(Serial16550 *s)
{
    uint8_t c = s->fifo[s->fifo_first];
    if (!s->fifo_count)
        return 0;
    s->fifo_first = (s->fifo_first + 1) % SERIAL_FIFO;
    if (!--s->fifo_count)
        accept_input(s);
    reveal(s);
    update(s);
    return c;
}

static void clear_fifo(Serial16550 *s)
{
    bool had = s->fifo_count;
    s->fifo_count = s->timeout_pending = s->breaks = 0;
    if (had)
        accept_input(s);
}

/* Give the back end what it takes now. The interrupt is for the moment when nothing is left. */
static void drain(Serial16550 *s)
{
    unsigned done = chardev_write(s->chardev, s->tx, s->tx_count);
    s->tx_count -= done;
    memmove(s->tx, s->tx + done, s->tx_count);
    s->tx_empty_pending = !s->tx_count;
    update(s);
}

/* Into a full transmitter: the newest is lost, as a driver that does not look at LSR deserves. */
static void transmit(Serial16550 *s, uint8_t c)
{
    if (s->mcr & MCR_LOOP) {
        s->tx_empty_pending = !s->tx_count;
        receive(s, c, false);
        return;
    }
    bool waits = s->tx_count;
    if (s->tx_count < capacity(s))
        s->tx[s->tx_count++] = c;
    s->tx_empty_pending = 0;
    if (waits)
        update(s); /* writable goes on */
    else
        drain(s);
}

static void clear_tx(Serial16550 *s)
{
    s->tx_empty_pending |= s->tx_count != 0;
    s->tx_count = 0;
}

/* The modem's lines as MSR has them: a modem that is always there, or in loopback our own outputs. */
static uint8_t modem_lines(const Serial16550 *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) | (s->mcr & MCR_OUT1 ? MSR_RI : 0) |
           (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* MSR's low half notes which lines changed since it was read; of RI, only its end. */
static void write_mcr(Serial16550 *s, uint8_t value)
{
    uint8_t before = modem_lines(s), left = s->mcr & ~value;
    s->mcr = value & 0x1f;
    uint8_t after = modem_lines(s), changed = (before ^ after) & ~(after & MSR_RI);
    s->msr |= changed >> 4;
    update(s);
    if (left & MCR_LOOP)
        accept_input(s);
}

/* The other bits count only in a write that has FCR_ENABLE. */
static void write_fcr(Serial16550 *s, uint8_t value)
{
    if ((value ^ s->fcr) & FCR_ENABLE || (value & FCR_ENABLE && value & FCR_CLEAR_RX))
        clear_fifo(s);
    if ((value ^ s->fcr) & FCR_ENABLE || (value & FCR_ENABLE && value & FCR_CLEAR_TX))
        clear_tx(s);
    s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    update(s);
}

static uint8_t read_lsr(Serial16550 *s)
{
    uint8_t value = (s->tx_count ? 0 : LSR_TX_EMPTY | LSR_IDLE) | s->lsr_errors | (s->fifo_count ? LSR_READY : 0);
    if (s->fcr & FCR_ENABLE && (s->breaks || s->lsr_errors & LSR_BREAK))
        value |= LSR_FIFO_ERROR;
    s->lsr_errors = 0;
    update(s);
    return value;
}

/* Registers are bytes: where they are further apart, an access of 4 bytes must not do the register's work 4 times. */
static bool between_registers(const Serial16550 *s, uint64_t offset)
{
    return offset & ((1u << s->reg_shift) - 1);
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    Serial16550 *s = opaque;
    uint8_t value;
    if (between_registers(s, offset))
        return 0;
    switch (offset >> s->reg_shift) {
    case RBR_THR_DLL:
        return s->lcr & LCR_DLAB ? s->divisor & 0xff : take(s);
    case IER_DLM:
        return s->lcr & LCR_DLAB ? s->divisor >> 8 : s->ier;
    case IIR_FCR:
        value = interrupt_id(s);
        if (value == IIR_TX) {
            s->tx_empty_pending = 0;
            update(s);
        }
        return value | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
    case LCR:
        return s->lcr;
    case MCR:
        return s->mcr;
    case LSR:
        return read_lsr(s);
    case MSR:
        value = modem_lines(s) | s->msr;
        s->msr = 0;
        update(s);
        return value;
    case SCR:
        return s->scr;
    default:
        return 0;
    }
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Serial16550 *s = opaque;
    if (between_registers(s, offset))
        return;
    switch (offset >> s->reg_shift) {
    case RBR_THR_DLL:
        if (s->lcr & LCR_DLAB)
            s->divisor = (s->divisor & 0xff00) | (value & 0xff);
        else
            transmit(s, value);
        break;
    case IER_DLM:
        if (s->lcr & LCR_DLAB) {
            s->divisor = (s->divisor & 0xff) | (value & 0xff) << 8;
            break;
        }
        if (value & ~s->ier & IER_TX && !s->tx_count)
            s->tx_empty_pending = 1; /* enabling the interrupt raises it */
        s->ier = value & 0x0f;
        update(s);
        break;
    case IIR_FCR:
        write_fcr(s, value);
        break;
    case LCR:
        s->lcr = value;
        break;
    case MCR:
        write_mcr(s, value);
        break;
    case SCR:
        s->scr = value;
        break;
    }
}

static const MemOps serial_ops = { .read = serial_read,
                                   .write = serial_write,
                                   .min_size = 1,
                                   .max_size = 8,
                                   .impl_min = 1,
                                   .impl_max = 1,
                                   .unaligned = true };

/* ---- back end ---- */

static size_t serial_can_read(void *opaque)
{
    Serial16550 *s = opaque;
    return s->mcr & MCR_LOOP ? 0 : capacity(s) - s->fifo_count;
}

static void serial_input(void *opaque, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        receive(opaque, data[i], false);
}

static void serial_event(void *opaque, ChardevEvent event)
{
    Serial16550 *s = opaque;
    if (event == CHARDEV_BREAK && !(s->mcr & MCR_LOOP))
        receive(s, 0, true);
}

static void serial_writable(void *opaque)
{
    Serial16550 *s = opaque;
    if (s->tx_count)
        drain(s);
}

static bool serial_realize(Device *dev, GError **err)
{
    static const ChardevClient client = { serial_can_read, serial_input, serial_event, serial_writable };
    Serial16550 *s = (Serial16550 *)dev;
    if (s->chardev && !chardev_attach(s->chardev, dev->machine, &client, s, err))
        return false;
    mem_io_init(&s->mmio, dev->machine, "serial", 8u << s->reg_shift, &serial_ops, s);
    return true;
}

static void serial_unrealize(Device *dev)
{
    Serial16550 *s = (Serial16550 *)dev;
    if (s->chardev)
        chardev_attach(s->chardev, NULL, NULL, s, NULL);
    mem_destroy(&s->mmio);
}

static void serial_reset(Device *dev)
{
    Serial16550 *s = (Serial16550 *)dev;
    bool waits = s->fifo_count || s->mcr & MCR_LOOP;
    s->ier = s->fcr = s->lcr = s->mcr = s->msr = s->scr = s->lsr_errors = 0;
    s->tx_empty_pending = s->timeout_pending = s->tx_count = s->fifo_count = s->fifo_first = s->breaks = 0;
    memset(s->fifo, 0, sizeof(s->fifo));
    memset(s->tx, 0, sizeof(s->tx));
    s->divisor = 12;
    update(s);
    if (waits)
        accept_input(s);
}

static void serial_post_load(Device *dev)
{
    Serial16550 *s = (Serial16550 *)dev;
    s->fifo_first %= SERIAL_FIFO; /* whatever a snapshot says */
    s->fifo_count = MIN(s->fifo_count, capacity(s));
    s->tx_count = MIN(s->tx_count, capacity(s));
    if (s->tx_count)
        drain(s);
    update(s);
}

static const Prop props[] = {
    PROP(Serial16550, CHARDEV, "chardev", chardev, .help = "ID of the character device to use"),
    PROP(Serial16550, U32, "reg-shift", reg_shift, .max = 3, .help = "registers are 2 to this power bytes apart"),
    PROP_END,
};
static const StateField state[] = { STATE(Serial16550, ier),
                                    STATE(Serial16550, fcr),
                                    STATE(Serial16550, lcr),
                                    STATE(Serial16550, mcr),
                                    STATE(Serial16550, msr),
                                    STATE(Serial16550, scr),
                                    STATE(Serial16550, lsr_errors),
                                    STATE(Serial16550, tx_empty_pending),
                                    STATE(Serial16550, timeout_pending),
                                    STATE(Serial16550, divisor),
                                    STATE_ARRAY(Serial16550, fifo),
                                    STATE(Serial16550, fifo_count),
                                    STATE(Serial16550, fifo_first),
                                    STATE(Serial16550, breaks),
                                    STATE_ARRAY(Serial16550, tx),
                                    STATE(Serial16550, tx_count),
                                    STATE_SKIP(Serial16550, mmio, "wiring"),
                                    STATE_SKIP(Serial16550, chardev, "property"),
                                    STATE_SKIP(Serial16550, reg_shift, "property"),
                                    STATE_SKIP(Serial16550, irq, "wiring"),
                                    STATE_END };

const DeviceType serial_16550_type = {
    .name = "serial-mm",
    .desc = "16550A UART",
    .category = "input",
    .size = sizeof(Serial16550),
    .props = props,
    .state = state,
    .realize = serial_realize,
    .unrealize = serial_unrealize,
    .reset = serial_reset,
    .post_load = serial_post_load,
};
