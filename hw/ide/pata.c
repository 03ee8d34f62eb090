/*
 * Command and control block registers of a PATA channel (ATA/ATAPI-6, clause 7).
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/internal.h"

enum { DATA, FEATURE, COUNT, LOW, MID, HIGH, DEVICE, COMMAND };

static uint8_t read_status(IdeDrive *d)
{
    return d ? d->regs.status : 0;
}

static uint8_t read_register(IdeBus *ide, unsigned n)
{
    IdeDrive *d = ide_selected(ide);
    if (!d)
        return 0; /* pulled down */
    const IdeRegs *r = &d->regs;
    unsigned shift = ide->control & IDE_CTL_HOB ? 8 : 0;
    switch (n) {
    case FEATURE:
        return r->error;
    case COUNT:
        return r->count >> shift;
    case LOW:
        return r->low >> shift;
    case MID:
        return r->mid >> shift;
    case HIGH:
        return r->high >> shift;
    case DEVICE:
        return (r->device & ~IDE_DEV_DRIVE1) | 0xa0 | ide->select;
    case COMMAND:
        ide_interrupt(d, false);
        return read_status(d);
    default:
        return ide_data_read(d, 1);
    }
}

/* Both drives take what is written, but only if it is not in the middle of a command. */
static void write_task(IdeBus *ide, unsigned n, uint8_t value)
{
    ide->control &= ~IDE_CTL_HOB;
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = ide->drives[i];
        if (!d || d->regs.status & (IDE_BSY | IDE_DRQ))
            continue;
        uint16_t *const regs[] = { NULL, &d->regs.feature, &d->regs.count, &d->regs.low, &d->regs.mid, &d->regs.high };
        if (n == DEVICE)
            d->regs.device = value;
        else
            *regs[n] = (uint16_t)(*regs[n] << 8) | value;
    }
    if (n == DEVICE)
        ide->select = value & IDE_DEV_DRIVE1;
}

static void write_command(IdeBus *ide, uint8_t value)
{
    IdeDrive *d = ide_selected(ide);
    if (!d)
        return;
    bool reset = value == 0x08 && d->is_cd;
    if (d->regs.status & (IDE_BSY | IDE_DRQ) && !reset)
        return;
    ide_interrupt(d, false);
    d->regs.command = value;
    ide_execute(d);
}

static void write_register(IdeBus *ide, unsigned n, uint8_t value)
{
    IdeDrive *d = ide_selected(ide);
    if (n == COMMAND)
        write_command(ide, value);
    else if (n != DATA)
        write_task(ide, n, value);
    else if (d)
        ide_data_write(d, value, 1);
}

/* A reset while a drive's thread is at work waits for it. True: it is at rest, until ide_resume if *paused. */
static void rest(IdeBus *ide, bool *paused)
{
    *paused = false;
    for (unsigned i = 0; i < 2; i++)
        *paused = *paused || (ide->drives[i] && ide->drives[i]->running);
    if (!*paused)
        return;
    ide_unlock(ide);
    ide_pause(ide);
    ide_lock(ide);
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    IdeBus *ide = opaque;
    uint32_t value = 0;
    ide_lock(ide);
    IdeDrive *d = ide_selected(ide);
    if (offset == DATA) {
        value = d ? ide_data_read(d, size) : 0;
    } else {
        for (unsigned i = 0; i < size && offset + i <= COMMAND; i++)
            value |= (uint32_t)read_register(ide, offset + i) << (8 * i);
    }
    ide_unlock(ide);
    return value;
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    IdeBus *ide = opaque;
    bool paused = false;
    ide_lock(ide);
    IdeDrive *d = ide_selected(ide);
    if (offset == DATA) {
        if (d)
            ide_data_write(d, value, size);
    } else {
        if (offset + size > COMMAND && (value >> (8 * (COMMAND - offset)) & 0xff) == 0x08)
            rest(ide, &paused);
        for (unsigned i = 0; i < size && offset + i <= COMMAND; i++)
            write_register(ide, offset + i, value >> (8 * i));
    }
    ide_unlock(ide);
    if (paused)
        ide_resume(ide);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    IdeBus *ide = opaque;
    ide_lock(ide);
    uint8_t status = read_status(ide_selected(ide));
    ide_unlock(ide);
    return status;
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    IdeBus *ide = opaque;
    bool paused = false;
    ide_lock(ide);
    bool reset = value & IDE_CTL_SRST, was = ide->control & IDE_CTL_SRST;
    if (reset && !was)
        rest(ide, &paused);
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = ide->drives[i];
        if (d && reset && !was) {
            ide_soft_reset(d);
            d->regs.status = IDE_BSY;
        } else if (d && was && !reset) {
            ide_soft_reset(d);
        }
    }
    if (reset) {
        ide->select = 0;
        ide->intrq = 0;
    }
    ide->control = value;
    ide->host->irq(ide, ide->intrq && !(value & IDE_CTL_NIEN));
    ide_unlock(ide);
    if (paused)
        ide_resume(ide);
}

static const MemOps command_ops = {
    .read = command_read, .write = command_write, .min_size = 1, .max_size = 4, .unaligned = true, .lock_free = true
};
static const MemOps control_ops = { .read = control_read, .write = control_write, .max_size = 1, .lock_free = true };

void ide_ports_init(IdeBus *ide, Device *owner, MemRegion *command, MemRegion *control)
{
    mem_io_init(command, owner->machine, "ide-command", 8, &command_ops, ide);
    mem_io_init(control, owner->machine, "ide-control", 1, &control_ops, ide);
}
