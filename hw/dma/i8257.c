/*
 * DMA controller (Intel 8237A/8257 as in PCs; IBM PC AT Technical Reference). Modes single, block and demand are one:
 * the device is served as it asks. Memory-to-memory transfers and rotating priority, which no PC uses, are not
 * modelled.
 * SPDX-License-Identifier: MIT
 */
#include "hw/dma/i8257.h"
#include "hw/block/disk_io.h"
#include "hw/isa/isa.h"

enum { MODE_DOWN = 0x20, MODE_AUTO = 0x10, MODE_KIND = 0x0c, MODE_TO_MEMORY = 0x04, MODE_FROM_MEMORY = 0x08 };
enum { COMMAND_DISABLED = 4 };

/* ---- transfers ---- */

bool i8257_ready(I8257 *s, unsigned channel)
{
    g_mutex_lock(&s->lock);
    bool ready = !(s->mask >> channel & 1) && !(s->command & COMMAND_DISABLED);
    g_mutex_unlock(&s->lock);
    return ready;
}

static uint64_t address_of(const I8257 *s, const I8257Channel *c)
{
    return s->shift ? (c->page & 0xfeu) << 16 | (uint32_t)c->address << 1 : (uint32_t)c->page << 16 | c->address;
}

static void count_down(I8257 *s, unsigned n, bool *end)
{
    I8257Channel *c = &s->channels[n];
    c->address += c->mode & MODE_DOWN ? -1 : 1;
    if (c->count--)
        return;
    *end = true;
    s->status |= 1u << n;
    if (c->mode & MODE_AUTO) {
        c->address = c->base_address;
        c->count = c->base_count;
    } else {
        s->mask |= 1u << n;
    }
}

uint32_t i8257_transfer(I8257 *s, unsigned n, uint8_t *data, uint32_t bytes, bool to_memory, bool *end)
{
    I8257Channel *c = &s->channels[n];
    unsigned unit = 1u << s->shift;
    uint32_t done = 0;
    *end = false;
    g_mutex_lock(&s->lock);
    bool moves = (c->mode & MODE_KIND) == (to_memory ? MODE_TO_MEMORY : MODE_FROM_MEMORY);
    while (done + unit <= bytes && !*end && !(s->mask >> n & 1) && !(s->command & COMMAND_DISABLED)) {
        uint64_t at = address_of(s, c);
        if (moves && to_memory)
            disk_ram_write(&s->dev, at, data + done, unit);
        else if (moves)
            disk_ram_read(&s->dev, at, data + done, unit);
        count_down(s, n, end);
        done += unit;
    }
    g_mutex_unlock(&s->lock);
    return done;
}

/* ---- registers ---- */

/* Address and count: two bytes each, low first. */
static uint8_t read_channel(I8257 *s, unsigned n)
{
    const I8257Channel *c = &s->channels[n >> 1];
    uint16_t value = n & 1 ? c->count : c->address;
    s->flip_flop ^= 1;
    return s->flip_flop ? value : value >> 8;
}

static void write_channel(I8257 *s, unsigned n, uint8_t value)
{
    I8257Channel *c = &s->channels[n >> 1];
    uint16_t *base = n & 1 ? &c->base_count : &c->base_address;
    *base = s->flip_flop ? (*base & 0xff) | value << 8 : (*base & 0xff00) | value;
    *(n & 1 ? &c->count : &c->address) = *base;
    s->flip_flop ^= 1;
}

static void master_clear(I8257 *s)
{
    s->command = s->status = s->flip_flop = 0;
    s->mask = 15;
}

static void write_control(I8257 *s, unsigned n, uint8_t value)
{
    switch (n) {
    case 0x8:
        s->command = value;
        break;
    case 0xa:
        s->mask = value & 4 ? s->mask | 1u << (value & 3) : s->mask & ~(1u << (value & 3));
        break;
    case 0xb:
        s->channels[value & 3].mode = value & 0xfc;
        break;
    case 0xc:
        s->flip_flop = 0;
        break;
    case 0xd:
        master_clear(s);
        break;
    case 0xe:
        s->mask = 0;
        break;
    case 0xf:
        s->mask = value & 15;
        break;
    default: /* software requests: nobody answers them */
        break;
    }
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    I8257 *s = opaque;
    unsigned n = offset >> s->shift;
    uint8_t value = 0;
    g_mutex_lock(&s->lock);
    if (n < 8) {
        value = read_channel(s, n);
    } else if (n == 8) {
        value = s->status;
        s->status &= 0xf0;
    } else if (n == 15) {
        value = s->mask;
    }
    g_mutex_unlock(&s->lock);
    return value;
}

static void registers_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8257 *s = opaque;
    unsigned n = offset >> s->shift;
    g_mutex_lock(&s->lock);
    if (n < 8)
        write_channel(s, n, value);
    else
        write_control(s, n, value);
    g_mutex_unlock(&s->lock);
}

/* Ports 81h, 82h, 83h, 87h: channels 2, 3, 1, 0; and so at 89h... */
static int page_channel(uint64_t offset)
{
    static const int8_t channels[8] = { -1, 2, 3, 1, -1, -1, -1, 0 };
    return channels[offset & 7];
}

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    I8257 *s = opaque;
    int n = page_channel(offset);
    return n < 0 ? 0 : s->channels[n].page;
}

static void page_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8257 *s = opaque;
    int n = page_channel(offset);
    g_mutex_lock(&s->lock);
    if (n >= 0)
        s->channels[n].page = value;
    g_mutex_unlock(&s->lock);
}

static const MemOps register_ops = { .read = registers_read,
                                     .write = registers_write,
                                     .impl_min = 1,
                                     .impl_max = 1,
                                     .max_size = 4,
                                     .unaligned = true,
                                     .lock_free = true };
static const MemOps page_ops = { .read = page_read,
                                 .write = page_write,
                                 .impl_min = 1,
                                 .impl_max = 1,
                                 .max_size = 4,
                                 .unaligned = true,
                                 .lock_free = true };

/* ---- type ---- */

static bool realize(Device *dev, GError **err)
{
    I8257 *s = (I8257 *)dev;
    g_mutex_init(&s->lock);
    mem_io_init(&s->registers, dev->machine, "i8257", 16u << s->shift, &register_ops, s);
    mem_io_init(&s->pages, dev->machine, "i8257-page", 8, &page_ops, s);
    return isa_map_ports(dev->bus, s->base, &s->registers, "base", err) &&
           isa_map_ports(dev->bus, s->page_base, &s->pages, "page-base", err);
}

static void unrealize(Device *dev)
{
    g_mutex_clear(&((I8257 *)dev)->lock);
}

static void reset(Device *dev)
{
    I8257 *s = (I8257 *)dev;
    g_mutex_lock(&s->lock);
    master_clear(s);
    for (unsigned i = 0; i < 4; i++)
        s->channels[i] = (I8257Channel){ 0 };
    g_mutex_unlock(&s->lock);
}

static void post_load(Device *dev)
{
    I8257 *s = (I8257 *)dev;
    s->flip_flop &= 1;
}

static const Prop props[] = { PROP(I8257, U32, "base", base, .help = "ports"),
                              PROP(I8257, U32, "page-base", page_base, .help = "ports of the pages"),
                              PROP(I8257, U32, "dshift", shift, .max = 1, .help = "1: words"), PROP_END };
#define CHANNEL_STATE(n)                                                                                             \
    STATE(I8257, channels[n].base_address), STATE(I8257, channels[n].base_count), STATE(I8257, channels[n].address), \
        STATE(I8257, channels[n].count), STATE(I8257, channels[n].mode), STATE(I8257, channels[n].page)
static const StateField state[] = { STATE_SKIP(I8257, lock, "wiring"),
                                    STATE_SKIP(I8257, registers, "fixed"),
                                    STATE_SKIP(I8257, pages, "fixed"),
                                    STATE(I8257, command),
                                    STATE(I8257, status),
                                    STATE(I8257, mask),
                                    STATE(I8257, flip_flop),
                                    STATE_SKIP(I8257, channels, "listed"),
                                    CHANNEL_STATE(0),
                                    CHANNEL_STATE(1),
                                    CHANNEL_STATE(2),
                                    CHANNEL_STATE(3),
                                    STATE_END };

const DeviceType i8257_type = { .name = "i8257",
                                .desc = "DMA controller of a PC",
                                .category = "misc",
                                .size = sizeof(I8257),
                                .props = props,
                                .state = state,
                                .realize = realize,
                                .unrealize = unrealize,
                                .reset = reset,
                                .post_load = post_load };

bool i8257_add_pair(Bus *isa, GError **err)
{
    static const char *const pair[2][3] = { { "0x00", "0x80", "0" }, { "0xc0", "0x88", "1" } };
    for (unsigned i = 0; i < 2; i++) {
        Device *dev = device_new(isa->owner->machine, &i8257_type);
        bool ok = device_set(dev, "base", pair[i][0], err) && device_set(dev, "page-base", pair[i][1], err) &&
                  device_set(dev, "dshift", pair[i][2], err) && device_realize(dev, isa, err);
        if (!ok) {
            device_free(dev);
            return false;
        }
        device_reset(dev);
    }
    return true;
}

I8257 *i8257_find(Bus *isa, unsigned channel)
{
    for (unsigned i = 0; i < isa->devices->len; i++) {
        Device *dev = g_ptr_array_index(isa->devices, i);
        if (dev->type == &i8257_type && ((I8257 *)dev)->shift == channel / 4)
            return (I8257 *)dev;
    }
    return NULL;
}
