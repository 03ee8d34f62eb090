/*
 * Pair of 8259A interrupt controllers (Intel 8259A data sheet; edge/level control registers as in the 82371SB data
 * sheet, 2.5.4). The slave's output is the master's input 2.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/i8259.h"
#include "hw/isa/isa.h"

enum { MASTER, SLAVE, CASCADE = 2, SPURIOUS = 7 };
enum { ICW1 = 0x10, ICW1_IC4 = 1, ICW1_SINGLE = 2, ICW1_LEVEL = 8 };
enum { ICW4_AUTO_EOI = 2, ICW4_FULLY_NESTED = 0x10 };
enum { OCW3 = 8, OCW3_READ = 2, OCW3_ISR = 1, OCW3_POLL = 4, OCW3_SET_MASK_MODE = 0x40, OCW3_MASK_MODE = 0x20 };
enum {
    EOI_ROTATE_AUTO_OFF,
    EOI,
    EOI_NONE,
    EOI_SPECIFIC,
    EOI_ROTATE_AUTO,
    EOI_ROTATE,
    EOI_PRIORITY,
    EOI_ROTATE_SPECIFIC
};

static const uint8_t elcr_writable[] = { 0xf8, 0xde }; /* not the timer, keyboard, cascade, RTC, FPU */

/* ---- priorities; all under the lock ---- */

/* The input of highest priority among bits, or -1. */
static int highest(const I8259Chip *chip, uint8_t bits)
{
    for (unsigned i = 1; i <= 8; i++) {
        unsigned n = (chip->lowest + i) & 7;
        if (bits >> n & 1)
            return n;
    }
    return -1;
}

static unsigned rank(const I8259Chip *chip, int n)
{
    return n < 0 ? 8 : (n - chip->lowest - 1) & 7;
}

/* The input that the chip interrupts for, or -1. */
static int pending(const I8259 *s, unsigned which)
{
    const I8259Chip *chip = &s->chips[which];
    uint8_t service = chip->isr;
    if (chip->special_mask)
        service &= ~chip->imr;
    if (which == MASTER && chip->icw4 & ICW4_FULLY_NESTED)
        service &= ~(1u << CASCADE);
    int n = highest(chip, chip->irr & ~chip->imr);
    return n >= 0 && rank(chip, n) < rank(chip, highest(chip, service)) ? n : -1;
}

static bool level_triggered(const I8259Chip *chip, unsigned n)
{
    return chip->icw1 & ICW1_LEVEL || chip->elcr >> n & 1;
}

static void set_bit(uint8_t *bits, unsigned n, bool on)
{
    *bits = (*bits & ~(1u << n)) | (unsigned)on << n;
}

static void update(I8259 *s)
{
    set_bit(&s->chips[MASTER].irr, CASCADE, pending(s, SLAVE) >= 0);
    irq_set(&s->intr, pending(s, MASTER) >= 0);
}

static void input_set(void *opaque, int n, bool level)
{
    I8259 *s = opaque;
    I8259Chip *chip = &s->chips[n >> 3];
    unsigned bit = n & 7;
    g_mutex_lock(&s->lock);
    if (level_triggered(chip, bit))
        set_bit(&chip->irr, bit, level);
    else if (level && !(chip->lines >> bit & 1))
        chip->irr |= 1u << bit;
    set_bit(&chip->lines, bit, level);
    update(s);
    g_mutex_unlock(&s->lock);
}

Irq i8259_input(I8259 *pic, unsigned n)
{
    g_assert(n < 16 && n != CASCADE);
    return (Irq){ input_set, pic, n };
}

/* ---- acknowledging ---- */

static void take(I8259Chip *chip, unsigned n)
{
    if (!(chip->icw4 & ICW4_AUTO_EOI))
        chip->isr |= 1u << n;
    else if (chip->rotate_auto)
        chip->lowest = n;
    if (!level_triggered(chip, n))
        chip->irr &= ~(1u << n);
}

static int acknowledge(I8259 *s, unsigned which)
{
    I8259Chip *chip = &s->chips[which];
    int n = pending(s, which);
    if (n < 0)
        return chip->base + SPURIOUS;
    if (which == MASTER && n == CASCADE) {
        int vector = acknowledge(s, SLAVE);
        take(chip, n);
        return vector;
    }
    take(chip, n);
    return chip->base + n;
}

int i8259_acknowledge(I8259 *pic)
{
    g_mutex_lock(&pic->lock);
    int vector = acknowledge(pic, MASTER);
    update(pic);
    g_mutex_unlock(&pic->lock);
    return vector;
}

/* ---- registers ---- */

static void write_icw1(I8259Chip *chip, uint8_t value)
{
    chip->icw1 = value;
    chip->irr &= chip->elcr; /* edges are forgotten */
    chip->lines &= chip->elcr;
    chip->imr = chip->isr = 0;
    chip->lowest = 7;
    chip->special_mask = chip->read_isr = chip->rotate_auto = chip->poll = 0;
    chip->icw4 = 0;
    chip->init_step = 2;
}

static void end_of_interrupt(I8259Chip *chip, int n, bool rotate)
{
    if (n < 0)
        return;
    chip->isr &= ~(1u << n);
    if (rotate)
        chip->lowest = n;
}

static void write_ocw2(I8259Chip *chip, uint8_t value)
{
    unsigned command = value >> 5, n = value & 7;
    switch (command) {
    case EOI_ROTATE_AUTO_OFF:
    case EOI_ROTATE_AUTO:
        chip->rotate_auto = command == EOI_ROTATE_AUTO;
        break;
    case EOI:
    case EOI_ROTATE:
        end_of_interrupt(chip, highest(chip, chip->isr), command == EOI_ROTATE);
        break;
    case EOI_SPECIFIC:
    case EOI_ROTATE_SPECIFIC:
        end_of_interrupt(chip, n, command == EOI_ROTATE_SPECIFIC);
        break;
    case EOI_PRIORITY:
        chip->lowest = n;
        break;
    }
}

static void write_ocw3(I8259Chip *chip, uint8_t value)
{
    chip->poll = value & OCW3_POLL;
    if (value & OCW3_READ)
        chip->read_isr = value & OCW3_ISR;
    if (value & OCW3_SET_MASK_MODE)
        chip->special_mask = value & OCW3_MASK_MODE;
}

/* ICW2 to ICW4 while the chip is initialised, else the mask (OCW1). */
static void write_high(I8259Chip *chip, uint8_t value)
{
    switch (chip->init_step) {
    case 2:
        chip->base = value & 0xf8;
        chip->init_step = chip->icw1 & ICW1_SINGLE ? (chip->icw1 & ICW1_IC4 ? 4 : 0) : 3;
        break;
    case 3: /* the cascade is wired */
        chip->init_step = chip->icw1 & ICW1_IC4 ? 4 : 0;
        break;
    case 4:
        chip->icw4 = value;
        chip->init_step = 0;
        break;
    default:
        chip->imr = value;
    }
}

static void chip_write(I8259 *s, unsigned which, unsigned offset, uint8_t value)
{
    I8259Chip *chip = &s->chips[which];
    g_mutex_lock(&s->lock);
    if (offset)
        write_high(chip, value);
    else if (value & ICW1)
        write_icw1(chip, value);
    else if (value & OCW3)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
    update(s);
    g_mutex_unlock(&s->lock);
}

/* The read after a poll command is the acknowledge: 0x80 and the input's number. */
static uint8_t poll(I8259 *s, unsigned which)
{
    int n = pending(s, which);
    s->chips[which].poll = 0;
    if (n < 0)
        return 0;
    take(&s->chips[which], n);
    update(s);
    return 0x80 | n;
}

static uint8_t chip_read(I8259 *s, unsigned which, unsigned offset)
{
    I8259Chip *chip = &s->chips[which];
    g_mutex_lock(&s->lock);
    uint8_t value = chip->poll ? poll(s, which) : offset ? chip->imr : chip->read_isr ? chip->isr : chip->irr;
    g_mutex_unlock(&s->lock);
    return value;
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, MASTER, offset);
}

static void master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    chip_write(opaque, MASTER, offset, value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, SLAVE, offset);
}

static void slave_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    chip_write(opaque, SLAVE, offset, value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((I8259 *)opaque)->chips[offset].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8259 *s = opaque;
    g_mutex_lock(&s->lock);
    s->chips[offset].elcr = value & elcr_writable[offset];
    g_mutex_unlock(&s->lock);
}

/* The processor comes here at each interrupt: without the machine lock. */
static const MemOps master_ops = { .read = master_read, .write = master_write, .impl_max = 1, .lock_free = true },
                    slave_ops = { .read = slave_read, .write = slave_write, .impl_max = 1, .lock_free = true },
                    elcr_ops = {
                        .read = elcr_read, .write = elcr_write, .impl_max = 1, .max_size = 2, .lock_free = true
                    };

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    I8259 *s = (I8259 *)dev;
    MemRegion *ports = isa_ports(dev->machine);
    g_mutex_init(&s->lock);
    mem_io_init(&s->ports[MASTER], dev->machine, "pic", 2, &master_ops, s);
    mem_io_init(&s->ports[SLAVE], dev->machine, "pic", 2, &slave_ops, s);
    mem_io_init(&s->elcr, dev->machine, "elcr", 2, &elcr_ops, s);
    mem_add(ports, 0x20, &s->ports[MASTER], 0);
    mem_add(ports, 0xa0, &s->ports[SLAVE], 0);
    mem_add(ports, 0x4d0, &s->elcr, 0);
    return true;
}

static void unrealize(Device *dev)
{
    g_mutex_clear(&((I8259 *)dev)->lock);
}

/* Until they are initialised both chips are silent. */
static void reset(Device *dev)
{
    I8259 *s = (I8259 *)dev;
    g_mutex_lock(&s->lock);
    for (unsigned i = 0; i < 2; i++)
        s->chips[i] = (I8259Chip){ .imr = 0xff, .lowest = 7 };
    update(s);
    g_mutex_unlock(&s->lock);
}

static void post_load(Device *dev)
{
    I8259 *s = (I8259 *)dev;
    g_mutex_lock(&s->lock);
    for (unsigned i = 0; i < 2; i++)
        s->chips[i].lowest &= 7;
    update(s);
    g_mutex_unlock(&s->lock);
}

static void describe_irqs(Device *dev, GString *out)
{
    I8259 *s = (I8259 *)dev;
    g_mutex_lock(&s->lock);
    for (unsigned i = 0; i < 2; i++) {
        const I8259Chip *c = &s->chips[i];
        g_string_append_printf(out, "pic%u: irr=%02x imr=%02x isr=%02x elcr=%02x base=%02x lowest=%u\n", i, c->irr,
                               c->imr, c->isr, c->elcr, c->base, c->lowest);
    }
    g_mutex_unlock(&s->lock);
}

static const StateField state[] = { STATE_ARRAY(I8259, chips),         STATE_SKIP(I8259, ports, "wiring"),
                                    STATE_SKIP(I8259, elcr, "wiring"), STATE_SKIP(I8259, lock, "no state"),
                                    STATE_SKIP(I8259, intr, "wiring"), STATE_END };

const DeviceType i8259_type = {
    .name = "isa-i8259",
    .desc = "the PC's pair of 8259A interrupt controllers",
    .category = "misc",
    .size = sizeof(I8259),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
    .describe_irqs = describe_irqs,
};
