/*
 * Register banks: accesses to registers that a table describes.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/device.h"
#include "util/trace.h"
#include <inttypes.h>
#include <string.h>

typedef struct BankRegion {
    MemOps ops;
    Device *dev;
    const RegBank *bank;
} BankRegion;

static uint64_t width_mask(unsigned bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * bytes)) - 1;
}

static const Reg *bank_find(const RegBank *bank, uint64_t offset)
{
    for (unsigned i = 0; i < bank->count; i++) {
        if (bank->regs[i].offset == offset)
            return &bank->regs[i];
    }
    return NULL;
}

/* ---- members ---- */

static uint64_t member_get(const Device *dev, const Reg *reg)
{
    const void *member = (const char *)dev + reg->member;
    switch (reg->bytes) {
    case 1:
        return *(const uint8_t *)member;
    case 2:
        return *(const uint16_t *)member;
    case 4:
        return *(const uint32_t *)member;
    case 8:
        return *(const uint64_t *)member;
    default:
        return 0;
    }
}

static void member_set(Device *dev, const Reg *reg, uint64_t value)
{
    void *member = (char *)dev + reg->member;
    switch (reg->bytes) {
    case 1:
        *(uint8_t *)member = value;
        break;
    case 2:
        *(uint16_t *)member = value;
        break;
    case 4:
        *(uint32_t *)member = value;
        break;
    case 8:
        *(uint64_t *)member = value;
        break;
    }
}

void reg_bank_reset(Device *dev, const RegBank *bank)
{
    for (unsigned i = 0; i < bank->count; i++)
        member_set(dev, &bank->regs[i], bank->regs[i].reset);
}

/* ---- one register ---- */

static uint64_t reg_get(Device *dev, const Reg *reg)
{
    return (reg->read ? reg->read(dev, reg) : member_get(dev, reg)) & ~reg->rsvd;
}

/* Write the bits in lanes. */
static void reg_put(Device *dev, const Reg *reg, uint64_t value, uint64_t lanes)
{
    uint64_t old = member_get(dev, reg), clear = value & lanes & reg->w1c, plain;
    if (reg->write && !reg->bytes && lanes != UINT64_MAX && reg->read)
        old = reg->read(dev, reg); /* part of a register that is all functions: the rest stays as it reads */
    plain = ((value & lanes) | (old & ~lanes)) & ~(reg->ro | reg->rsvd | reg->w1c);
    if (reg->write)
        reg->write(dev, reg, plain | clear | (reg->bytes ? old & reg->ro : 0));
    else
        member_set(dev, reg, plain | (old & (reg->ro | (reg->w1c & ~clear)) & ~reg->rsvd));
    if (reg->post_write)
        reg->post_write(dev, reg);
}

static uint64_t word_read(Device *dev, const RegBank *bank, uint64_t offset)
{
    const Reg *reg = bank_find(bank, offset);
    if (!reg) {
        guest_error(dev, "read of offset 0x%" PRIx64 ", where no register is", offset);
        return 0;
    }
    uint64_t value = reg_get(dev, reg) & width_mask(bank->width);
    TRACE(reg_read, "%s %s 0x%" PRIx64, dev->type->name, reg->name, value);
    return value;
}

static void word_write(Device *dev, const RegBank *bank, uint64_t offset, uint64_t value, uint64_t lanes)
{
    const Reg *reg = bank_find(bank, offset);
    if (!reg) {
        guest_error(dev, "write of 0x%" PRIx64 " to offset 0x%" PRIx64 ", where no register is", value, offset);
        return;
    }
    TRACE(reg_write, "%s %s 0x%" PRIx64, dev->type->name, reg->name, value);
    reg_put(dev, reg, value, lanes);
}

/* ---- accesses: cut at register borders ---- */

/* Place in the value of an access of size bytes where the part of take bytes at done goes. */
static unsigned part_shift(const RegBank *bank, unsigned size, unsigned done, unsigned take)
{
    return 8 * (bank->big_endian ? size - done - take : done);
}

uint64_t reg_bank_read(Device *dev, const RegBank *bank, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned done = 0, take; done < size; done += take) {
        unsigned lane = (offset + done) % bank->width;
        take = MIN(size - done, bank->width - lane);
        uint64_t word = word_read(dev, bank, offset + done - lane) >> part_shift(bank, bank->width, lane, take);
        value |= (word & width_mask(take)) << part_shift(bank, size, done, take);
    }
    return value;
}

void reg_bank_write(Device *dev, const RegBank *bank, uint64_t offset, uint64_t value, unsigned size)
{
    for (unsigned done = 0, take; done < size; done += take) {
        unsigned lane = (offset + done) % bank->width;
        take = MIN(size - done, bank->width - lane);
        unsigned shift = part_shift(bank, bank->width, lane, take);
        uint64_t part = value >> part_shift(bank, size, done, take) & width_mask(take);
        bool whole = take == bank->width;
        word_write(dev, bank, offset + done - lane, part << shift, whole ? UINT64_MAX : width_mask(take) << shift);
    }
}

/* ---- region ---- */

static uint64_t bank_region_read(void *opaque, uint64_t offset, unsigned size)
{
    const BankRegion *region = opaque;
    return reg_bank_read(region->dev, region->bank, offset, size);
}

static void bank_region_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const BankRegion *region = opaque;
    reg_bank_write(region->dev, region->bank, offset, value, size);
}

void reg_bank_init(MemRegion *region, Device *dev, const RegBank *bank, const char *name, uint64_t size)
{
    BankRegion *own = g_new0(BankRegion, 1);
    own->dev = dev;
    own->bank = bank;
    own->ops = (MemOps){ .read = bank_region_read,
                         .write = bank_region_write,
                         .min_size = bank->min_access ? bank->min_access : bank->width,
                         .max_size = bank->max_access ? bank->max_access : bank->width,
                         .big_endian = bank->big_endian };
    mem_io_init(region, dev->machine, name, size, &own->ops, own);
    region->owned = own;
}
