/*
 * VGA: memory as the CPU sees it from 0xa0000 to 0xbffff, through the graphics controller (IBM PS/2 Hardware Interface
 * Technical Reference, "Video Memory Read/Write Operations"; see vga.h for the order of the planes).
 *
 * Addresses are counted as the CRT controller counts them: an odd/even address is its half in two planes, a chained one
 * its quarter in one of four. Hardware leaves holes instead; the difference shows only if a mode is left without
 * clearing.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/ram_access.h"
#include "hw/display/vga.h"

enum { SEQ_MASK = 2, SEQ_MODE = 4, SEQ_SEQUENTIAL = 4, SEQ_CHAIN4 = 8 };
enum { GFX_SET = 0, GFX_SET_ENABLE, GFX_COMPARE, GFX_FUNCTION, GFX_READ_PLANE, GFX_MODE, GFX_MISC, GFX_CARE, GFX_BITS };
enum { GFX_MODE_WRITE = 3, GFX_MODE_COMPARE = 8, GFX_MODE_ODD_EVEN = 0x10 };
enum { MISC_MEMORY = 2 };
#define ALL_BYTES 0x01010101u

/* What of the window shows memory: gfx[6] bits 2 and 3. */
static const struct {
    uint32_t base, size;
} maps[] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };

static unsigned map_of(const Vga *vga)
{
    return vga->s.gfx[GFX_MISC] >> 2 & 3;
}

/* Bytes of the planes whose bits are set. */
static uint32_t plane_mask(unsigned planes)
{
    return ((planes & 1) | (planes & 2) << 7 | (planes & 4) << 14 | (planes & 8) << 21) * 0xffu;
}

/* False: nothing is there. *addr is the byte that the offset in the window means. */
static bool locate(const Vga *vga, uint64_t offset, uint64_t *addr)
{
    unsigned map = map_of(vga);
    if (!(vga->s.misc & MISC_MEMORY) || offset < maps[map].base || offset - maps[map].base >= maps[map].size)
        return false;
    *addr = offset - maps[map].base + (map < 2 ? (uint64_t)vga->vbe[VBE_BANK] << 16 : 0);
    return true;
}

/* ---- the four planes at an address ---- */

static uint32_t planes_get(const Vga *vga, uint64_t at)
{
    return at < vga->vram.size / 4 ? ram_get(vga->vram.host + at * 4, 4) : UINT32_MAX;
}

static void planes_put(Vga *vga, uint64_t at, uint32_t value)
{
    if (at >= vga->vram.size / 4)
        return;
    ram_put(vga->vram.host + at * 4, 4, value);
    ram_written(&vga->vram, at * 4, 4);
}

static uint32_t latch_get(const Vga *vga)
{
    return ram_get_unaligned(vga->s.latch, 4);
}

/* ---- reads ---- */

/* A bit of the result is set where all planes that one cares about have the colour that is looked for. */
static uint8_t colour_compare(const Vga *vga, uint32_t latch)
{
    uint32_t differs = (latch ^ plane_mask(vga->s.gfx[GFX_COMPARE])) & plane_mask(vga->s.gfx[GFX_CARE]);
    return ~(differs | differs >> 8 | differs >> 16 | differs >> 24);
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    Vga *vga = opaque;
    uint64_t addr;
    if (!locate(vga, offset, &addr))
        return 0xff;
    unsigned plane = vga->s.gfx[GFX_READ_PLANE] & 3;
    if (vga->s.seq[SEQ_MODE] & SEQ_CHAIN4) {
        plane = addr & 3;
        addr >>= 2;
    } else if (vga->s.gfx[GFX_MODE] & GFX_MODE_ODD_EVEN) {
        plane = (plane & 2) | (addr & 1);
        addr >>= 1;
    }
    uint32_t latch = planes_get(vga, addr);
    ram_put_unaligned(vga->s.latch, 4, latch);
    return vga->s.gfx[GFX_MODE] & GFX_MODE_COMPARE ? colour_compare(vga, latch) : latch >> (8 * plane) & 0xff;
}

/* ---- writes ---- */

static uint8_t rotate(const Vga *vga, uint8_t value)
{
    unsigned by = vga->s.gfx[GFX_FUNCTION] & 7;
    return (value >> by | value << 8 >> by) & 0xff;
}

static uint32_t combine(const Vga *vga, uint32_t value, uint32_t latch)
{
    switch (vga->s.gfx[GFX_FUNCTION] >> 3) {
    case 1:
        return value & latch;
    case 2:
        return value | latch;
    case 3:
        return value ^ latch;
    default:
        return value;
    }
}

/* What a byte of the CPU becomes in the four planes (write modes 0 to 3). */
static uint32_t work_out(const Vga *vga, uint8_t byte)
{
    uint32_t latch = latch_get(vga), set = plane_mask(vga->s.gfx[GFX_SET]), value;
    uint32_t bits = vga->s.gfx[GFX_BITS] * ALL_BYTES;
    switch (vga->s.gfx[GFX_MODE] & GFX_MODE_WRITE) {
    case 0: {
        uint32_t fixed = plane_mask(vga->s.gfx[GFX_SET_ENABLE]);
        value = (rotate(vga, byte) * ALL_BYTES & ~fixed) | (set & fixed);
        break;
    }
    case 1:
        return latch;
    case 2:
        value = plane_mask(byte);
        break;
    default:
        bits &= rotate(vga, byte) * ALL_BYTES;
        value = set;
        break;
    }
    return (combine(vga, value, latch) & bits) | (latch & ~bits);
}

static void window_write(void *opaque, uint64_t offset, uint64_t byte, unsigned size)
{
    Vga *vga = opaque;
    uint64_t addr;
    uint32_t value;
    unsigned planes = vga->s.seq[SEQ_MASK];
    if (!locate(vga, offset, &addr))
        return;
    if (vga->s.seq[SEQ_MODE] & SEQ_CHAIN4) {
        planes &= 1u << (addr & 3);
        addr >>= 2;
        value = (uint8_t)byte * ALL_BYTES;
    } else {
        if (!(vga->s.seq[SEQ_MODE] & SEQ_SEQUENTIAL)) {
            planes &= addr & 1 ? 0xa : 0x5;
            addr >>= 1;
        }
        value = work_out(vga, byte);
    }
    uint32_t mask = plane_mask(planes);
    planes_put(vga, addr, (value & mask) | (planes_get(vga, addr) & ~mask));
}

const MemOps vga_window_ops = {
    .read = window_read, .write = window_write, .min_size = 1, .max_size = 8, .impl_max = 1, .unaligned = true
};

/* ---- chained planes: RAM ---- */

void vga_window_changed(Vga *vga)
{
    unsigned map = map_of(vga);
    bool straight = vga->s.misc & MISC_MEMORY && vga->s.seq[SEQ_MODE] & SEQ_CHAIN4 && vga->s.seq[SEQ_MASK] == 0x0f &&
                    !(vga->s.gfx[GFX_MODE] & GFX_MODE_COMPARE);
    uint64_t from = map < 2 ? (uint64_t)vga->vbe[VBE_BANK] << 16 : 0;
    uint64_t room = MIN(maps[map].size, vga->vram.size - from);
    uint64_t key = straight ? from << 3 | map << 1 | 1 : 0;
    if (key == vga->chain4_key)
        return;
    memory_begin(vga->dev->machine);
    mem_destroy(&vga->chain4);
    if (key) {
        mem_alias_init(&vga->chain4, vga->dev->machine, "vga.chain4", &vga->vram, from, room);
        mem_add(&vga->window, maps[map].base, &vga->chain4, 1);
    }
    vga->chain4_key = key;
    memory_commit(vga->dev->machine);
}
