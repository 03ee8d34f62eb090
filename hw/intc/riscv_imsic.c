/*
 * Incoming MSI controller (RISC-V AIA 1.0, chapter 3): an interrupt file of 255 identities. A message is a write of an
 * identity to the file's page; the hart sees the lowest that is pending and enabled.
 *
 * It has a lock of its own: messages come from the threads of disks too, and the hart's accesses take no machine lock.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/riscv_imsic.h"
#include "target/riscv/aia.h"
#include <string.h>

enum { SETEIPNUM_LE = 0, SETEIPNUM_BE = 4 };

/* The identity to be taken: the lowest one wins; those from the threshold on are held back. 0: none. */
static unsigned find_top(const RiscvImsic *s)
{
    for (unsigned w = 0; w < RISCV_IMSIC_IDS / 32; w++) {
        uint32_t m = s->pending[w] & s->enable[w];
        if (m) {
            unsigned id = w * 32 + __builtin_ctz(m);
            return s->threshold && id >= s->threshold ? 0 : id;
        }
    }
    return 0;
}

static void update(RiscvImsic *s)
{
    irq_set(&s->irq, s->delivery && find_top(s));
}

/* ---- registers of the hart ---- */

static uint64_t get_bits(const uint32_t *words, unsigned n, unsigned xlen)
{
    if (n >= RISCV_IMSIC_IDS / 32)
        return 0;
    return xlen == 64 ? words[n] | (uint64_t)words[n + 1] << 32 : words[n];
}

static void set_bits(uint32_t *words, unsigned n, unsigned xlen, uint64_t v)
{
    if (n >= RISCV_IMSIC_IDS / 32)
        return;
    words[n] = n ? v : v & ~1u; /* there is no identity 0 */
    if (xlen == 64)
        words[n + 1] = v >> 32;
}

static uint64_t file_read(const RiscvImsic *s, unsigned reg, unsigned xlen)
{
    unsigned top = find_top(s);
    if (reg == RISCV_FILE_TOPEI)
        return top << 16 | top;
    if (reg == RISCV_FILE_EIDELIVERY)
        return s->delivery;
    if (reg == RISCV_FILE_EITHRESHOLD)
        return s->threshold;
    if (reg >= RISCV_FILE_EIE0)
        return get_bits(s->enable, reg - RISCV_FILE_EIE0, xlen);
    return reg >= RISCV_FILE_EIP0 ? get_bits(s->pending, reg - RISCV_FILE_EIP0, xlen) : 0;
}

static void file_write(RiscvImsic *s, unsigned reg, unsigned xlen, uint64_t v)
{
    unsigned top = find_top(s);
    if (reg == RISCV_FILE_TOPEI) /* whatever is written: what a read gives is claimed */
        s->pending[top / 32] &= ~(1u << top % 32);
    else if (reg == RISCV_FILE_EIDELIVERY)
        s->delivery = v < 2 ? v : s->delivery; /* delivery from an APLIC (0x40000000) is not there */
    else if (reg == RISCV_FILE_EITHRESHOLD)
        s->threshold = v & (RISCV_IMSIC_IDS - 1);
    else if (reg >= RISCV_FILE_EIE0)
        set_bits(s->enable, reg - RISCV_FILE_EIE0, xlen, v);
    else if (reg >= RISCV_FILE_EIP0)
        set_bits(s->pending, reg - RISCV_FILE_EIP0, xlen, v);
}

void riscv_imsic_access(void *opaque, unsigned reg, unsigned xlen, bool write, uint64_t value, uint64_t mask,
                        uint64_t *old)
{
    RiscvImsic *s = opaque;
    g_mutex_lock(&s->lock);
    *old = file_read(s, reg, xlen);
    if (write) {
        file_write(s, reg, xlen, (*old & ~mask) | (value & mask));
        update(s);
    }
    g_mutex_unlock(&s->lock);
}

/* ---- the page ---- */

static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void page_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    RiscvImsic *s = opaque;
    uint32_t id = offset == SETEIPNUM_BE ? GUINT32_SWAP_LE_BE((uint32_t)value) : value;
    if (offset > SETEIPNUM_BE || !id || id >= RISCV_IMSIC_IDS)
        return; /* ignored (section 3.5) */
    g_mutex_lock(&s->lock);
    s->pending[id / 32] |= 1u << id % 32;
    update(s);
    g_mutex_unlock(&s->lock);
}

static const MemOps page_ops = {
    .read = page_read, .write = page_write, .min_size = 4, .max_size = 4, .lock_free = true
};

bool riscv_imsic_owns(const MemRegion *region)
{
    return region->kind == MEM_IO && region->ops == &page_ops;
}

/* ---- the device ---- */

static bool imsic_realize(Device *dev, GError **err)
{
    RiscvImsic *s = (RiscvImsic *)dev;
    g_mutex_init(&s->lock);
    mem_io_init(&s->mmio, dev->machine, "riscv.imsic", RISCV_IMSIC_SIZE, &page_ops, s);
    return true;
}

static void imsic_unrealize(Device *dev)
{
    RiscvImsic *s = (RiscvImsic *)dev;
    mem_destroy(&s->mmio);
    g_mutex_clear(&s->lock);
}

static void imsic_reset(Device *dev)
{
    RiscvImsic *s = (RiscvImsic *)dev;
    g_mutex_lock(&s->lock);
    s->delivery = s->threshold = 0;
    memset(s->pending, 0, sizeof(s->pending));
    memset(s->enable, 0, sizeof(s->enable));
    update(s);
    g_mutex_unlock(&s->lock);
}

static void imsic_post_load(Device *dev)
{
    RiscvImsic *s = (RiscvImsic *)dev;
    s->delivery &= 1; /* whatever a snapshot says */
    s->threshold &= RISCV_IMSIC_IDS - 1;
    s->pending[0] &= ~1u;
    s->enable[0] &= ~1u;
    update(s);
}

static const Prop props[] = { PROP_END };
static const StateField state[] = { STATE(RiscvImsic, delivery),
                                    STATE(RiscvImsic, threshold),
                                    STATE_ARRAY(RiscvImsic, pending),
                                    STATE_ARRAY(RiscvImsic, enable),
                                    STATE_SKIP(RiscvImsic, lock, "a lock"),
                                    STATE_SKIP(RiscvImsic, mmio, "wiring"),
                                    STATE_SKIP(RiscvImsic, irq, "wiring"),
                                    STATE_END };

const DeviceType riscv_imsic_type = {
    .name = "riscv.imsic",
    .desc = "RISC-V incoming MSI controller: an interrupt file",
    .category = "misc",
    .size = sizeof(RiscvImsic),
    .props = props,
    .state = state,
    .realize = imsic_realize,
    .unrealize = imsic_unrealize,
    .reset = imsic_reset,
    .post_load = imsic_post_load,
};
