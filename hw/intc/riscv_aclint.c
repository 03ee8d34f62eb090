/*
 * ACLINT: MSWI and MTIMER (RISC-V Advanced Core Local Interruptor Specification 1.0-rc4, chapters 2 and 3), at the
 * offsets of the SiFive CLINT: msip at 0, mtimecmp at 0x4000, mtime at 0xbff8. mtime counts virtual time at 10 MHz.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/riscv_aclint.h"

enum { MSIP = 0, MTIMECMP = 0x4000, MTIME = 0xbff8, NS_PER_TICK = 1000000000 / RISCV_ACLINT_HZ };

uint64_t riscv_aclint_time(void *opaque)
{
    RiscvAclint *s = opaque;
    return clock_now(s->dev.machine->clocks, CLOCK_VIRTUAL_NS) / NS_PER_TICK +
           __atomic_load_n(&s->offset, __ATOMIC_RELAXED);
}

/* Set the interrupt line, or arm the timer for when it is to rise. */
static void update_timer(RiscvAclint *s, unsigned hart)
{
    uint64_t now = riscv_aclint_time(s), when = s->compare[hart] - s->offset;
    bool due = now >= s->compare[hart];
    irq_set(&s->mtip[hart], due);
    if (due || s->compare[hart] < s->offset || when > INT64_MAX / NS_PER_TICK)
        timer_cancel(&s->timer[hart]);
    else
        timer_set(&s->timer[hart], when * NS_PER_TICK);
}

/* One callback for all: the lines of those that are due rise. */
static void timer_fired(void *opaque)
{
    RiscvAclint *s = opaque;
    for (unsigned h = 0; h < s->harts; h++)
        update_timer(s, h);
}

static uint64_t aclint_read(void *opaque, uint64_t offset, unsigned size)
{
    RiscvAclint *s = opaque;
    unsigned hart = (offset & 0x3fff) / (offset < MTIMECMP ? 4 : 8);
    uint64_t value = 0;
    if (offset >= MTIME && offset < MTIME + 8)
        value = riscv_aclint_time(s);
    else if (offset < MTIMECMP && hart < s->harts)
        value = s->softint[hart];
    else if (offset >= MTIMECMP && offset < MTIME && hart < s->harts)
        value = s->compare[hart];
    else
        guest_error(&s->dev, "read at 0x%x: no register", (unsigned)offset);
    return size == 4 && offset & 4 && offset >= MTIMECMP ? value >> 32 : value;
}

static uint64_t merge(uint64_t old, uint64_t offset, uint64_t value, unsigned size)
{
    if (size == 8)
        return value;
    return offset & 4 ? (uint32_t)old | value << 32 : (old >> 32 << 32) | (uint32_t)value;
}

static void aclint_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    RiscvAclint *s = opaque;
    unsigned hart = (offset & 0x3fff) / (offset < MTIMECMP ? 4 : 8);
    if (offset >= MTIME && offset < MTIME + 8) {
        uint64_t now = riscv_aclint_time(s);
        __atomic_store_n(&s->offset, s->offset + merge(now, offset, value, size) - now, __ATOMIC_RELAXED);
        for (unsigned h = 0; h < s->harts; h++)
            update_timer(s, h);
    } else if (offset < MTIMECMP && hart < s->harts) {
        s->softint[hart] = value & 1;
        irq_set(&s->msip[hart], value & 1);
    } else if (offset >= MTIMECMP && offset < MTIME && hart < s->harts) {
        s->compare[hart] = merge(s->compare[hart], offset, value, size);
        update_timer(s, hart);
    } else {
        guest_error(&s->dev, "write at 0x%x: no register", (unsigned)offset);
    }
}

static const MemOps aclint_ops = { .read = aclint_read, .write = aclint_write, .min_size = 4, .max_size = 8 };

static bool aclint_realize(Device *dev, GError **err)
{
    RiscvAclint *s = (RiscvAclint *)dev;
    mem_io_init(&s->mmio, dev->machine, "riscv.aclint", RISCV_ACLINT_SIZE, &aclint_ops, s);
    for (unsigned h = 0; h < s->harts; h++)
        timer_init(&s->timer[h], dev->machine->clocks, CLOCK_VIRTUAL_NS, timer_fired, s);
    return true;
}

static void aclint_unrealize(Device *dev)
{
    RiscvAclint *s = (RiscvAclint *)dev;
    for (unsigned h = 0; h < s->harts; h++)
        timer_cancel(&s->timer[h]);
    mem_destroy(&s->mmio);
}

static void aclint_reset(Device *dev)
{
    RiscvAclint *s = (RiscvAclint *)dev;
    s->offset = 0;
    for (unsigned h = 0; h < s->harts; h++) {
        s->softint[h] = 0;
        s->compare[h] = UINT64_MAX;
        irq_set(&s->msip[h], false);
        update_timer(s, h);
    }
}

static const Prop props[] = { PROP(RiscvAclint, U32, "num-harts", harts, .fallback = "1", .max = RISCV_ACLINT_HARTS,
                                   .help = "harts served"),
                              PROP_END };
static const StateField state[] = { STATE_ARRAY(RiscvAclint, softint),
                                    STATE_ARRAY(RiscvAclint, compare),
                                    STATE(RiscvAclint, offset),
                                    STATE_SKIP(RiscvAclint, mmio, "wiring"),
                                    STATE_SKIP(RiscvAclint, harts, "property"),
                                    STATE_SKIP(RiscvAclint, timer, "follows from compare"),
                                    STATE_SKIP(RiscvAclint, msip, "wiring"),
                                    STATE_SKIP(RiscvAclint, mtip, "wiring"),
                                    STATE_END };

const DeviceType riscv_aclint_type = {
    .name = "riscv.aclint",
    .desc = "RISC-V ACLINT: machine software interrupts and timers",
    .category = "misc",
    .size = sizeof(RiscvAclint),
    .props = props,
    .state = state,
    .realize = aclint_realize,
    .unrealize = aclint_unrealize,
    .reset = aclint_reset,
};
