/*
 * ACLINT: MSWI and MTIMER (RISC-V Advanced Core Local Interruptor Specification 1.0-rc4, chapters 2 to 4), the first
 * two at the offsets of the SiFive CLINT: msip at 0, mtimecmp at 0x4000, mtime at 0xbff8. mtime counts virtual time at
 * 10 MHz.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/riscv_aclint.h"

enum { MTIMECMP = RISCV_ACLINT_MTIMER, MTIME = RISCV_ACLINT_MTIME, NS_PER_TICK = 1000000000 / RISCV_ACLINT_HZ };

uint64_t riscv_aclint_time(void *opaque)
{
    RiscvAclint *s = opaque;
    return clock_now(s->dev.machine->clocks, CLOCK_VIRTUAL_NS) / NS_PER_TICK +
           __atomic_load_n(&s->offset, __ATOMIC_RELAXED);
}

/* Set the interrupt line, and arm the timer for when it is to change: when mtime reaches compare, or wraps to 0. */
static void update_timer(RiscvAclint *s, unsigned hart)
{
    uint64_t ticks = clock_now(s->dev.machine->clocks, CLOCK_VIRTUAL_NS) / NS_PER_TICK;
    uint64_t now = ticks + s->offset, compare = s->compare[hart];
    bool due = now >= compare;
    uint64_t wait = due ? -now : compare - now; /* mtime's own arithmetic: offset may be "negative" */
    irq_set(&s->mtip[hart], due);
    if (!wait || wait > INT64_MAX / NS_PER_TICK - ticks)
        timer_cancel(&s->timer[hart]);
    else
        timer_set(&s->timer[hart], (ticks + wait) * NS_PER_TICK);
}

/* One callback for all: the lines of those that are due rise. */
static void timer_fired(void *opaque)
{
    RiscvAclint *s = opaque;
    for (unsigned h = 0; h < s->harts; h++)
        update_timer(s, h);
}

/* Which hart's register is at offset; harts is returned for none, and for mtime. */
static unsigned hart_at(const RiscvAclint *s, uint64_t offset)
{
    uint64_t hart = offset < MTIMECMP ? offset / 4 : (offset - MTIMECMP) / 8;
    return offset < MTIME && hart < s->harts ? hart : s->harts;
}

static uint64_t aclint_read(void *opaque, uint64_t offset, unsigned size)
{
    RiscvAclint *s = opaque;
    unsigned hart = hart_at(s, offset);
    uint64_t value = 0;
    if (offset < MTIMECMP && size == 8) /* two registers of 4 bytes */
        return aclint_read(s, offset, 4) | aclint_read(s, offset + 4, 4) << 32;
    if (offset >= MTIME && offset < MTIME + 8)
        value = riscv_aclint_time(s);
    else if (hart < s->harts)
        value = offset < MTIMECMP ? s->softint[hart] : s->compare[hart];
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

static void set_offset(RiscvAclint *s, uint64_t offset)
{
    __atomic_store_n(&s->offset, offset, __ATOMIC_RELAXED); /* riscv_aclint_time takes no lock */
    for (unsigned h = 0; h < s->harts; h++)
        update_timer(s, h);
}

static void aclint_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    RiscvAclint *s = opaque;
    unsigned hart = hart_at(s, offset);
    if (offset < MTIMECMP && size == 8) {
        aclint_write(s, offset, (uint32_t)value, 4);
        aclint_write(s, offset + 4, value >> 32, 4);
    } else if (offset >= MTIME && offset < MTIME + 8) {
        uint64_t now = riscv_aclint_time(s);
        set_offset(s, s->offset + merge(now, offset, value, size) - now);
        if (s->time_set)
            s->time_set(s->time_set_opaque);
    } else if (hart < s->harts && offset < MTIMECMP) {
        s->softint[hart] = value & 1;
        irq_set(&s->msip[hart], value & 1);
    } else if (hart < s->harts) {
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
    for (unsigned h = 0; h < s->harts; h++) {
        s->softint[h] = 0;
        s->compare[h] = UINT64_MAX;
        irq_set(&s->msip[h], false);
    }
    set_offset(s, s->offset - riscv_aclint_time(s)); /* mtime is 0 (section 3.1) */
}

static void aclint_post_load(Device *dev)
{
    RiscvAclint *s = (RiscvAclint *)dev;
    for (unsigned h = 0; h < s->harts; h++) {
        irq_set(&s->msip[h], s->softint[h]);
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
                                    STATE_SKIP(RiscvAclint, time_set, "wiring"),
                                    STATE_SKIP(RiscvAclint, time_set_opaque, "wiring"),
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
    .post_load = aclint_post_load,
};

/* ---- SSWI: SETSSIP registers read 0; writing 1 is an edge ---- */

static uint64_t sswi_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void sswi_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    RiscvAclintSswi *s = opaque;
    uint64_t hart = offset / 4;
    if (hart >= s->harts)
        guest_error(&s->dev, "write at 0x%x: no register", (unsigned)offset);
    else if (value & 1 && s->raise)
        s->raise(s->raise_opaque, hart);
}

static const MemOps sswi_ops = { .read = sswi_read, .write = sswi_write, .min_size = 4, .max_size = 4 };

static bool sswi_realize(Device *dev, GError **err)
{
    RiscvAclintSswi *s = (RiscvAclintSswi *)dev;
    mem_io_init(&s->mmio, dev->machine, "riscv.aclint.sswi", RISCV_ACLINT_SSWI_SIZE, &sswi_ops, s);
    return true;
}

static const Prop sswi_props[] = { PROP(RiscvAclintSswi, U32, "num-harts", harts, .fallback = "1",
                                        .max = RISCV_ACLINT_HARTS, .help = "harts served"),
                                   PROP_END };
static const StateField sswi_state[] = { STATE_SKIP(RiscvAclintSswi, mmio, "wiring"),
                                         STATE_SKIP(RiscvAclintSswi, harts, "property"),
                                         STATE_SKIP(RiscvAclintSswi, raise, "wiring"),
                                         STATE_SKIP(RiscvAclintSswi, raise_opaque, "wiring"), STATE_END };

const DeviceType riscv_aclint_sswi_type = {
    .name = "riscv.aclint.sswi",
    .desc = "RISC-V ACLINT: supervisor software interrupts",
    .category = "misc",
    .size = sizeof(RiscvAclintSswi),
    .props = sswi_props,
    .state = sswi_state,
    .realize = sswi_realize,
};
