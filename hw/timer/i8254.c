/*
 * 8254 programmable interval timer (Intel 8254 data sheet) as PCs have it: 1.193182 MHz, channel 0 is IRQ 0, channel 2
 * the speaker with its gate in port 61 (82371SB data sheet, 2.5.3).
 *
 * Counts follow from the time since they were loaded. Of channel 0's output only rises are made into interrupts: the
 * line falls just before.
 * SPDX-License-Identifier: MIT
 */
#include "hw/timer/i8254.h"
#include "hw/isa/isa.h"

enum { MODE_TERMINAL, MODE_ONE_SHOT, MODE_RATE, MODE_SQUARE, MODE_STROBE, MODE_TRIGGERED };
enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum { READ_BACK = 3, READ_BACK_NO_COUNT = 0x20, READ_BACK_NO_STATUS = 0x10 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
enum { PORT61_GATE = 1, PORT61_SPEAKER = 2, PORT61_WRITABLE = 0x0f, PORT61_REFRESH = 0x10, PORT61_OUT2 = 0x20 };
#define REFRESH_NS  15085
#define INTERVAL_NS 20000 /* interrupts are at least this far apart, whatever the guest asks for */
#define SECOND      INT64_C(1000000000)

static unsigned mode(const PitChannel *c)
{
    unsigned m = c->control >> 1 & 7;
    return m > MODE_TRIGGERED ? m - 4 : m; /* 6 and 7 are 2 and 3 */
}

static bool periodic(const PitChannel *c)
{
    return mode(c) == MODE_RATE || mode(c) == MODE_SQUARE;
}

static unsigned access_kind(const PitChannel *c)
{
    return c->control >> 4 & 3;
}

/* Each access and each interrupt happens at one time, whatever the host does meanwhile: a count cannot end between its
 * start and the look when that will be. */
static void look_at_clock(Pit *s)
{
    s->now = clock_now(s->dev.machine->clocks, CLOCK_VIRTUAL_NS);
}

/* Clocks since the count was loaded. */
static uint64_t elapsed(const Pit *s, const PitChannel *c)
{
    int64_t ns = (c->stopped >= 0 ? c->stopped : s->now) - c->start;
    return ns < 0 ? 0 : (unsigned __int128)ns * PIT_HZ / SECOND;
}

static int64_t time_of(const PitChannel *c, uint64_t clocks)
{
    return c->start + (int64_t)(((unsigned __int128)clocks * SECOND + PIT_HZ - 1) / PIT_HZ);
}

static bool output(const Pit *s, const PitChannel *c)
{
    uint64_t d = elapsed(s, c);
    if (!c->loaded)
        return mode(c) != MODE_TERMINAL;
    switch (mode(c)) {
    case MODE_TERMINAL:
    case MODE_ONE_SHOT:
        return d >= c->count;
    case MODE_RATE:
        return d % c->count != c->count - 1;
    case MODE_SQUARE:
        return d % c->count < (c->count + 1) / 2;
    default:
        return d != c->count;
    }
}

static unsigned to_bcd(unsigned n)
{
    return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
}

static unsigned from_bcd(unsigned n)
{
    return (n & 15) + (n >> 4 & 15) * 10 + (n >> 8 & 15) * 100 + (n >> 12 & 15) * 1000;
}

/* The counting element as it reads. */
static uint16_t counter(const Pit *s, const PitChannel *c)
{
    uint64_t d = elapsed(s, c);
    bool bcd = c->control & 1;
    uint32_t whole = bcd ? 10000 : 0x10000, value;
    if (mode(c) == MODE_SQUARE)
        value = c->count - 2 * d % c->count;
    else if (mode(c) == MODE_RATE)
        value = c->count - d % c->count;
    else
        value = (c->count + whole - d % whole) % whole;
    value %= whole;
    return bcd ? to_bcd(value) : value;
}

/* ---- channel 0's interrupt ---- */

static void arm(Pit *s)
{
    const PitChannel *c = &s->channels[0];
    uint64_t d = elapsed(s, c);
    int64_t at = TIMER_NEVER;
    if (c->loaded && c->stopped < 0 && periodic(c))
        at = MAX(time_of(c, (d / c->count + 1) * c->count), s->now + INTERVAL_NS);
    else if (c->loaded && c->stopped < 0 && d < c->count)
        at = time_of(c, c->count);
    timer_set(&s->timer, at);
}

static void fire(void *opaque)
{
    Pit *s = opaque;
    look_at_clock(s);
    irq_set(&s->irq, false);
    irq_set(&s->irq, !s->irq_off);
    arm(s);
}

static void disable_set(void *opaque, int n, bool level)
{
    Pit *s = opaque;
    s->irq_off = level;
    if (level)
        irq_set(&s->irq, false);
}

Irq pit_disable_input(Pit *pit)
{
    return (Irq){ disable_set, pit, 0 };
}

/* ---- channels ---- */

static void start(Pit *s, PitChannel *c)
{
    c->start = s->now;
    c->stopped = c->gate ? -1 : c->start;
    if (c == &s->channels[0])
        arm(s);
}

static void load_count(Pit *s, PitChannel *c, unsigned value)
{
    bool bcd = c->control & 1;
    c->count = bcd ? from_bcd(value) : value;
    if (!c->count)
        c->count = bcd ? 10000 : 0x10000;
    c->loaded = true;
    if (c == &s->channels[0] && mode(c) == MODE_TERMINAL)
        irq_set(&s->irq, false);
    start(s, c);
}

/* A gate that falls holds the count, except of a one-shot; one that rises starts anew, or lets it go on. */
static void set_gate(Pit *s, PitChannel *c, bool gate)
{
    bool rises = gate && !c->gate, triggered = mode(c) == MODE_ONE_SHOT || mode(c) == MODE_TRIGGERED;
    if (!gate && c->gate && !triggered)
        c->stopped = s->now;
    c->gate = gate;
    if (rises && (triggered || periodic(c))) {
        start(s, c);
    } else if (rises && c->stopped >= 0) {
        c->start += s->now - c->stopped;
        c->stopped = -1;
    }
}

static void latch_count(Pit *s, PitChannel *c)
{
    if (c->latch_left)
        return; /* the first one stays until it is read */
    c->latched = counter(s, c);
    c->latch_left = access_kind(c) == ACCESS_BOTH ? 2 : 1;
}

static void read_back(Pit *s, uint8_t value)
{
    for (unsigned i = 0; i < 3; i++) {
        PitChannel *c = &s->channels[i];
        if (!(value >> (i + 1) & 1))
            continue;
        if (!(value & READ_BACK_NO_COUNT))
            latch_count(s, c);
        if (!(value & READ_BACK_NO_STATUS) && !c->status_latched) {
            c->status = (output(s, c) ? STATUS_OUT : 0) | (c->loaded ? 0 : STATUS_NULL) | (c->control & 0x3f);
            c->status_latched = true;
        }
    }
}

static void write_control(Pit *s, uint8_t value)
{
    unsigned n = value >> 6;
    if (n == READ_BACK) {
        read_back(s, value);
        return;
    }
    PitChannel *c = &s->channels[n];
    if ((value >> 4 & 3) == ACCESS_LATCH) {
        latch_count(s, c);
        return;
    }
    c->control = value & 0x3f;
    c->read_high = c->write_high = c->latch_left = c->status_latched = c->loaded = 0;
    if (!n) {
        irq_set(&s->irq, false);
        arm(s);
    }
}

static void write_count(Pit *s, PitChannel *c, uint8_t value)
{
    switch (access_kind(c)) {
    case ACCESS_LOW:
        load_count(s, c, value);
        break;
    case ACCESS_HIGH:
        load_count(s, c, value << 8);
        break;
    default:
        if (c->write_high)
            load_count(s, c, c->low_taken | value << 8);
        c->low_taken = value;
        c->write_high = !c->write_high;
    }
}

static uint8_t read_count(Pit *s, PitChannel *c)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    uint16_t value = c->latch_left ? c->latched : counter(s, c);
    bool high = access_kind(c) == ACCESS_HIGH || (access_kind(c) == ACCESS_BOTH && c->read_high);
    if (access_kind(c) == ACCESS_BOTH)
        c->read_high = !c->read_high;
    if (c->latch_left)
        c->latch_left--;
    return high ? value >> 8 : value;
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    Pit *s = opaque;
    look_at_clock(s);
    return offset < 3 ? read_count(s, &s->channels[offset]) : 0;
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Pit *s = opaque;
    look_at_clock(s);
    if (offset < 3)
        write_count(s, &s->channels[offset], value);
    else
        write_control(s, value);
}

static uint64_t speaker_read(void *opaque, uint64_t offset, unsigned size)
{
    Pit *s = opaque;
    look_at_clock(s);
    return s->control | (s->now / REFRESH_NS & 1 ? PORT61_REFRESH : 0) | (output(s, &s->channels[2]) ? PORT61_OUT2 : 0);
}

static void speaker_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Pit *s = opaque;
    look_at_clock(s);
    s->control = value & PORT61_WRITABLE;
    set_gate(s, &s->channels[2], value & PORT61_GATE);
}

static const MemOps pit_ops = { .read = pit_read, .write = pit_write, .impl_max = 1 },
                    speaker_ops = { .read = speaker_read, .write = speaker_write, .impl_max = 1 };

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    Pit *s = (Pit *)dev;
    timer_init(&s->timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, fire, s);
    mem_io_init(&s->ports, dev->machine, "pit", 4, &pit_ops, s);
    mem_io_init(&s->speaker, dev->machine, "pcspk", 1, &speaker_ops, s);
    mem_add(isa_ports(dev->machine), 0x40, &s->ports, 0);
    mem_add(isa_ports(dev->machine), 0x61, &s->speaker, 0);
    return true;
}

static void reset(Device *dev)
{
    Pit *s = (Pit *)dev;
    look_at_clock(s);
    s->control = 0;
    s->irq_off = false;
    for (unsigned i = 0; i < 3; i++)
        s->channels[i] = (PitChannel){
            .count = 0x10000, .control = ACCESS_BOTH << 4 | MODE_SQUARE << 1, .stopped = i == 2 ? 0 : -1, .gate = i != 2
        };
    irq_set(&s->irq, false);
    arm(s);
}

static void post_load(Device *dev)
{
    Pit *s = (Pit *)dev;
    for (unsigned i = 0; i < 3; i++) {
        PitChannel *c = &s->channels[i];
        c->count = CLAMP(c->count, 1, 0x10000);
        c->start = CLAMP(c->start, 0, INT64_MAX / 2);
        c->stopped = CLAMP(c->stopped, -1, INT64_MAX / 2);
    }
}

#define CHANNEL_STATE(n)                                                                                            \
    STATE(Pit, channels[n].start), STATE(Pit, channels[n].stopped), STATE(Pit, channels[n].count),                  \
        STATE(Pit, channels[n].latched), STATE(Pit, channels[n].latch_left), STATE(Pit, channels[n].status),        \
        STATE(Pit, channels[n].status_latched), STATE(Pit, channels[n].control), STATE(Pit, channels[n].read_high), \
        STATE(Pit, channels[n].low_taken), STATE(Pit, channels[n].write_high), STATE(Pit, channels[n].gate),        \
        STATE(Pit, channels[n].loaded)
static const StateField state[] = { CHANNEL_STATE(0),
                                    CHANNEL_STATE(1),
                                    CHANNEL_STATE(2),
                                    STATE_TIMER(Pit, timer),
                                    STATE(Pit, irq_off),
                                    STATE(Pit, control),
                                    STATE_SKIP(Pit, now, "time of an access"),
                                    STATE_SKIP(Pit, ports, "wiring"),
                                    STATE_SKIP(Pit, speaker, "wiring"),
                                    STATE_SKIP(Pit, irq, "wiring"),
                                    STATE_END };

const DeviceType i8254_type = {
    .name = "isa-pit",
    .desc = "8254 interval timer and speaker port",
    .category = "misc",
    .size = sizeof(Pit),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
