/*
 * Advanced platform-level interrupt controller (RISC-V AIA 1.0, chapter 4): a domain of 96 sources, in direct mode
 * (a wire to each hart, claims) or with messages (writes to IMSICs). Which of the two is fixed by a property.
 *
 * It has a lock of its own, which the domains share: interrupts come from the threads of disks too.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/riscv_aplic.h"
#include "hw/intc/riscv_imsic.h"
#include <string.h>

enum {
    DOMAINCFG = 0,
    SOURCECFG = 0x4,
    MSIADDR = 0x1bc0,
    SETIP = 0x1c00,
    SETIPNUM = 0x1cdc,
    CLRIP = 0x1d00, /* read: the rectified inputs */
    CLRIPNUM = 0x1ddc,
    SETIE = 0x1e00,
    SETIENUM = 0x1edc,
    CLRIE = 0x1f00,
    CLRIENUM = 0x1fdc,
    SETIPNUM_LE = 0x2000,
    SETIPNUM_BE = 0x2004,
    GENMSI = 0x3000,
    TARGET = 0x3004,
    IDC = 0x4000,
    IDC_SIZE = 32
};
enum { IDC_DELIVERY = 0, IDC_FORCE = 4, IDC_THRESHOLD = 8, IDC_TOPI = 0x18, IDC_CLAIMI = 0x1c };
enum { DOMAIN_FIXED = 0x80000000u, DOMAIN_IE = 0x100, DOMAIN_DM = 4 };
enum { DELEGATED = 0x400, INACTIVE = 0, DETACHED = 1, EDGE1 = 4, EDGE0 = 5, LEVEL1 = 6, LEVEL0 = 7 };
#define LOCKED       (1u << 31) /* of mmsiaddrcfgh */
#define TARGET_HART  18
#define TARGET_GUEST 12
#define GUEST_MASK   0x3fu
#define EIID_MASK    0x7ffu

static bool bit(const uint32_t *words, unsigned n)
{
    return words[n / 32] >> (n % 32) & 1;
}
static void set_bit(uint32_t *words, unsigned n, bool on)
{
    words[n / 32] = (words[n / 32] & ~(1u << n % 32)) | (uint32_t)on << n % 32;
}

static RiscvAplic *root_of(RiscvAplic *s)
{
    return s->parent ? s->parent : s;
}

static bool active(const RiscvAplic *s, unsigned n)
{
    return n && n <= RISCV_APLIC_SOURCES && s->sourcecfg[n] != INACTIVE && !(s->sourcecfg[n] & DELEGATED);
}

/* The wire as the source mode reads it. */
static bool rectified(RiscvAplic *s, unsigned n)
{
    bool level = bit(root_of(s)->level, n);
    switch (s->sourcecfg[n]) {
    case EDGE1:
    case LEVEL1:
        return level;
    case EDGE0:
    case LEVEL0:
        return !level;
    default:
        return false;
    }
}

static bool level_sensitive(const RiscvAplic *s, unsigned n)
{
    return s->sourcecfg[n] == LEVEL1 || s->sourcecfg[n] == LEVEL0;
}

/* ---- what goes out ---- */

/* A message for an interrupt file of the domain's privilege (section 4.9.1). Nothing but interrupt files takes them:
 * what else is on the bus might come back here. */
static void send(RiscvAplic *s, unsigned hart, unsigned guest, uint32_t id)
{
    const uint32_t *m = root_of(s)->msiaddr, *own = s->parent ? m + 2 : m;
    unsigned low_bits = m[1] >> 12 & 15, high_bits = m[1] >> 16 & 7, high_shift = m[1] >> 24 & 31;
    uint64_t low = hart & ((1u << low_bits) - 1), high = hart >> low_bits & ((1u << high_bits) - 1);
    uint64_t page =
        ((uint64_t)(own[1] & 0xfff) << 32 | own[0]) | high << (high_shift + 12) | low << (own[1] >> 20 & 7) | guest;
    FlatView *view = view_get(&s->dev.machine->memory);
    const FlatRange *range = view_find(view, page << 12);
    if (!range || !riscv_imsic_owns(range->region) || range_store(range, page << 12, 4, id) != MEM_OK)
        guest_error(&s->dev, "message %u for hart %u: no interrupt file at 0x%" G_GINT64_MODIFIER "x", id, hart,
                    page << 12);
    view_put(view);
}

static void send_pending(RiscvAplic *s)
{
    for (unsigned w = 0; s->domaincfg & DOMAIN_IE && w < RISCV_APLIC_WORDS; w++) {
        for (uint32_t m = s->pending[w] & s->enable[w]; m; m &= m - 1) {
            unsigned n = w * 32 + __builtin_ctz(m);
            set_bit(s->pending, n, false);
            send(s, s->target[n] >> TARGET_HART, s->target[n] >> TARGET_GUEST & GUEST_MASK, s->target[n] & EIID_MASK);
        }
    }
}

static void drive(RiscvAplic *s, unsigned hart, bool always)
{
    bool level = s->domaincfg & DOMAIN_IE && s->idelivery[hart] && (s->topi[hart] || s->iforce[hart]);
    if (level == s->raised[hart] && !always)
        return;
    s->raised[hart] = level;
    irq_set(&s->irq[hart], level);
}

/* Each hart's source of the lowest priority number; the lowest source wins among equals. */
static void find_tops(RiscvAplic *s)
{
    memset(s->topi, 0, sizeof(s->topi));
    for (unsigned w = 0; w < RISCV_APLIC_WORDS; w++) {
        for (uint32_t m = s->pending[w] & s->enable[w]; m; m &= m - 1) {
            unsigned n = w * 32 + __builtin_ctz(m), hart = s->target[n] >> TARGET_HART, priority = s->target[n] & 255;
            if (s->ithreshold[hart] && priority >= s->ithreshold[hart])
                continue;
            if (!s->topi[hart] || priority < (s->topi[hart] & 255))
                s->topi[hart] = n << 16 | priority;
        }
    }
}

static void update(RiscvAplic *s)
{
    if (s->msi) {
        send_pending(s);
        return;
    }
    find_tops(s);
    for (unsigned h = 0; h < s->harts; h++)
        drive(s, h, false);
}

/* ---- sources ---- */

/* The rectified input was `before` (section 4.7). */
static void input_changed(RiscvAplic *s, unsigned n, bool before)
{
    bool now = rectified(s, n);
    if (level_sensitive(s, n) && (!s->msi || !now))
        set_bit(s->pending, n, now);
    else if (now && !before)
        set_bit(s->pending, n, true);
}

void riscv_aplic_set(void *opaque, int source, bool level)
{
    RiscvAplic *root = opaque, *s = root;
    g_mutex_lock(root->lock);
    if (s->sourcecfg[source] & DELEGATED && s->child)
        s = s->child;
    bool before = rectified(s, source);
    set_bit(root->level, source, level);
    input_changed(s, source, before);
    update(s);
    g_mutex_unlock(root->lock);
}

/* By software: where the wire alone decides, nothing happens. */
static void set_pending(RiscvAplic *s, unsigned n, bool on)
{
    if (!active(s, n) || (level_sensitive(s, n) && (!s->msi || (on && !rectified(s, n)))))
        return;
    set_bit(s->pending, n, on);
}

static void set_enable(RiscvAplic *s, unsigned n, bool on)
{
    if (active(s, n))
        set_bit(s->enable, n, on);
}

static void set_source(RiscvAplic *s, unsigned n, uint32_t v)
{
    bool was_active = active(s, n), before = rectified(s, n);
    if (v & DELEGATED)
        v = s->child ? DELEGATED : INACTIVE;
    else
        v = (v & 7) == 2 || (v & 7) == 3 ? INACTIVE : v & 7;
    if (s->child && s->sourcecfg[n] & DELEGATED && !(v & DELEGATED)) {
        set_source(s->child, n, INACTIVE); /* no recursion but this one: a child has no child */
        update(s->child);
    }
    s->sourcecfg[n] = v;
    if (!active(s, n)) {
        s->target[n] = 0;
        set_bit(s->pending, n, false);
        set_bit(s->enable, n, false);
        return;
    }
    if (!was_active)
        s->target[n] = s->msi ? 0 : 1; /* priority 0 is not legal */
    input_changed(s, n, before);
}

static void write_source(RiscvAplic *s, unsigned n, uint32_t v)
{
    if (!s->parent || s->parent->sourcecfg[n] & DELEGATED)
        set_source(s, n, v);
}

static void write_target(RiscvAplic *s, unsigned n, uint32_t v)
{
    uint32_t hart = v >> TARGET_HART < s->harts ? v >> TARGET_HART : 0, guest = v >> TARGET_GUEST & GUEST_MASK;
    if (guest > s->guests)
        guest = 0;
    if (active(s, n))
        s->target[n] = hart << TARGET_HART | (s->msi ? guest << TARGET_GUEST | (v & EIID_MASK) : v & 255 ? v & 255 : 1);
}

/* ---- registers ---- */

/* The interrupt that topi names is no longer pending, or the forced one is over (section 4.8.1.5). */
static uint32_t claim(RiscvAplic *s, unsigned hart)
{
    uint32_t top = s->topi[hart];
    if (top)
        set_pending(s, top >> 16, false);
    else
        s->iforce[hart] = 0;
    update(s);
    return top;
}

static uint64_t idc_read(RiscvAplic *s, unsigned hart, unsigned reg)
{
    if (hart >= s->harts || s->msi)
        return 0;
    switch (reg) {
    case IDC_DELIVERY:
        return s->idelivery[hart];
    case IDC_FORCE:
        return s->iforce[hart];
    case IDC_THRESHOLD:
        return s->ithreshold[hart];
    case IDC_TOPI:
        return s->topi[hart];
    case IDC_CLAIMI:
        return claim(s, hart);
    default:
        return 0;
    }
}

static void idc_write(RiscvAplic *s, unsigned hart, unsigned reg, uint32_t v)
{
    if (hart >= s->harts || s->msi)
        return;
    if (reg == IDC_DELIVERY)
        s->idelivery[hart] = v & 1;
    else if (reg == IDC_FORCE)
        s->iforce[hart] = v & 1;
    else if (reg == IDC_THRESHOLD)
        s->ithreshold[hart] = v & 255;
}

static uint64_t word_read(RiscvAplic *s, uint64_t offset)
{
    unsigned w = (offset & 0x7f) / 4;
    uint32_t inputs = 0;
    if (offset & 0x80 || w >= RISCV_APLIC_WORDS)
        return 0;
    if (offset < CLRIP)
        return s->pending[w];
    if (offset >= SETIE)
        return offset < CLRIE ? s->enable[w] : 0;
    for (unsigned n = w * 32; n < w * 32 + 32 && n <= RISCV_APLIC_SOURCES; n++)
        inputs |= (uint32_t)rectified(s, n) << n % 32;
    return inputs;
}

static void change_bit(RiscvAplic *s, unsigned block, unsigned n)
{
    if (block < SETIE)
        set_pending(s, n, block < CLRIP);
    else
        set_enable(s, n, block < CLRIE);
}

static void word_write(RiscvAplic *s, uint64_t offset, uint32_t v)
{
    if ((offset & 0xff) == (SETIPNUM & 0xff)) {
        change_bit(s, offset, v);
    } else if (!(offset & 0x80)) {
        for (; v; v &= v - 1)
            change_bit(s, offset, (offset & 0x7f) * 8 + __builtin_ctz(v));
    }
}

/* Where messages go: the root says, until it locks what it said; low and high half of M, of S. */
static void msiaddr_write(RiscvAplic *s, unsigned n, uint32_t v)
{
    static const uint32_t writable[] = { UINT32_MAX, LOCKED | 0x1f77ffff, UINT32_MAX, 0x00700fff };
    if (s->parent || !s->msi || s->msiaddr[1] & LOCKED)
        return;
    s->msiaddr[n] = v & writable[n];
}

static uint64_t register_read(RiscvAplic *s, uint64_t offset)
{
    if (offset == DOMAINCFG)
        return DOMAIN_FIXED | s->domaincfg | (s->msi ? DOMAIN_DM : 0);
    if (offset / 4 <= RISCV_APLIC_SOURCES)
        return s->sourcecfg[offset / 4];
    if (offset >= MSIADDR && offset < MSIADDR + 16)
        return s->msiaddr[(offset - MSIADDR) / 4];
    if (offset >= SETIP && offset < SETIPNUM_LE)
        return word_read(s, offset);
    if (offset == GENMSI)
        return s->genmsi;
    if (offset > GENMSI && (offset - GENMSI) / 4 <= RISCV_APLIC_SOURCES)
        return s->target[(offset - GENMSI) / 4];
    return offset >= IDC ? idc_read(s, (offset - IDC) / IDC_SIZE, offset % IDC_SIZE) : 0;
}

static void register_write(RiscvAplic *s, uint64_t offset, uint32_t v)
{
    if (offset == DOMAINCFG) {
        s->domaincfg = v & DOMAIN_IE;
    } else if (offset / 4 <= RISCV_APLIC_SOURCES) {
        write_source(s, offset / 4, v);
    } else if (offset >= MSIADDR && offset < MSIADDR + 16) {
        msiaddr_write(s, (offset - MSIADDR) / 4, v);
    } else if (offset >= SETIP && offset < SETIPNUM_LE) {
        word_write(s, offset, v);
    } else if (offset == SETIPNUM_LE || offset == SETIPNUM_BE) {
        set_pending(s, offset == SETIPNUM_BE ? GUINT32_SWAP_LE_BE(v) : v, true);
    } else if (offset == GENMSI && s->msi) {
        s->genmsi = v & (UINT32_MAX << TARGET_HART | EIID_MASK);
        send(s, v >> TARGET_HART, 0, v & EIID_MASK); /* whatever IE is; never busy */
    } else if (offset > GENMSI && (offset - GENMSI) / 4 <= RISCV_APLIC_SOURCES) {
        write_target(s, (offset - GENMSI) / 4, v);
    } else if (offset >= IDC) {
        idc_write(s, (offset - IDC) / IDC_SIZE, offset % IDC_SIZE, v);
    }
    update(s);
}

static uint64_t aplic_read(void *opaque, uint64_t offset, unsigned size)
{
    RiscvAplic *s = opaque;
    g_mutex_lock(s->lock);
    uint64_t value = register_read(s, offset);
    g_mutex_unlock(s->lock);
    return value;
}

static void aplic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    RiscvAplic *s = opaque;
    g_mutex_lock(s->lock);
    register_write(s, offset, value);
    g_mutex_unlock(s->lock);
}

static const MemOps aplic_ops = {
    .read = aplic_read, .write = aplic_write, .min_size = 4, .max_size = 4, .lock_free = true
};

/* ---- the device ---- */

static void aplic_describe(Device *dev, GString *out)
{
    RiscvAplic *s = (RiscvAplic *)dev;
    g_mutex_lock(s->lock);
    g_string_append(out, "source  mode  level  pending  enabled    target\n");
    for (unsigned n = 1; n <= RISCV_APLIC_SOURCES; n++) {
        if (active(s, n))
            g_string_append_printf(out, "%6u  %4u  %5d  %7d  %7d  %08x\n", n, s->sourcecfg[n],
                                   bit(root_of(s)->level, n), bit(s->pending, n), bit(s->enable, n), s->target[n]);
    }
    g_mutex_unlock(s->lock);
}

static bool aplic_realize(Device *dev, GError **err)
{
    RiscvAplic *s = (RiscvAplic *)dev;
    g_mutex_init(&s->own_lock);
    s->lock = s->parent ? s->parent->lock : &s->own_lock;
    if (s->parent)
        s->parent->child = s;
    mem_io_init(&s->mmio, dev->machine, "riscv.aplic", RISCV_APLIC_SIZE, &aplic_ops, s);
    return true;
}

static void aplic_unrealize(Device *dev)
{
    RiscvAplic *s = (RiscvAplic *)dev;
    mem_destroy(&s->mmio);
    if (s->parent)
        s->parent->child = NULL;
    if (s->child)
        s->child->parent = NULL;
    g_mutex_clear(&s->own_lock);
}

/* What follows from the state, anew. Lines are driven whatever they were. */
static void update_all(RiscvAplic *s)
{
    find_tops(s);
    for (unsigned h = 0; h < s->harts; h++)
        drive(s, h, true);
}

static void aplic_reset(Device *dev)
{
    RiscvAplic *s = (RiscvAplic *)dev;
    g_mutex_lock(s->lock);
    s->domaincfg = s->genmsi = 0;
    memset(s->msiaddr, 0, sizeof(s->msiaddr));
    memset(s->sourcecfg, 0, sizeof(s->sourcecfg));
    memset(s->target, 0, sizeof(s->target));
    memset(s->pending, 0, sizeof(s->pending));
    memset(s->enable, 0, sizeof(s->enable));
    memset(s->level, 0, sizeof(s->level));
    memset(s->idelivery, 0, sizeof(s->idelivery));
    memset(s->iforce, 0, sizeof(s->iforce));
    memset(s->ithreshold, 0, sizeof(s->ithreshold));
    update_all(s);
    g_mutex_unlock(s->lock);
}

/* Whatever a snapshot says: no source that is not there, no hart that is not there. */
static void aplic_post_load(Device *dev)
{
    RiscvAplic *s = (RiscvAplic *)dev;
    for (unsigned n = 0; n < RISCV_APLIC_WORDS * 32; n++) {
        if (!active(s, n)) {
            set_bit(s->pending, n, false);
            set_bit(s->enable, n, false);
        } else if (s->target[n] >> TARGET_HART >= s->harts) {
            s->target[n] &= EIID_MASK;
        }
    }
    update_all(s);
}

static const Prop props[] = { PROP(RiscvAplic, U32, "num-harts", harts, .fallback = "1", .max = RISCV_APLIC_HARTS,
                                   .help = "harts served"),
                              PROP(RiscvAplic, BOOL, "msimode", msi, .help = "send messages"), PROP_END };
static const StateField state[] = { STATE(RiscvAplic, domaincfg),
                                    STATE(RiscvAplic, genmsi),
                                    STATE_ARRAY(RiscvAplic, msiaddr),
                                    STATE_ARRAY(RiscvAplic, sourcecfg),
                                    STATE_ARRAY(RiscvAplic, target),
                                    STATE_ARRAY(RiscvAplic, pending),
                                    STATE_ARRAY(RiscvAplic, enable),
                                    STATE_ARRAY(RiscvAplic, level),
                                    STATE_ARRAY(RiscvAplic, idelivery),
                                    STATE_ARRAY(RiscvAplic, iforce),
                                    STATE_ARRAY(RiscvAplic, ithreshold),
                                    STATE_SKIP(RiscvAplic, topi, "follows from pending, enable and target"),
                                    STATE_SKIP(RiscvAplic, raised, "follows from topi"),
                                    STATE_SKIP(RiscvAplic, own_lock, "a lock"),
                                    STATE_SKIP(RiscvAplic, lock, "a lock"),
                                    STATE_SKIP(RiscvAplic, mmio, "wiring"),
                                    STATE_SKIP(RiscvAplic, parent, "wiring"),
                                    STATE_SKIP(RiscvAplic, child, "wiring"),
                                    STATE_SKIP(RiscvAplic, harts, "property"),
                                    STATE_SKIP(RiscvAplic, guests, "the machine's"),
                                    STATE_SKIP(RiscvAplic, msi, "property"),
                                    STATE_SKIP(RiscvAplic, irq, "wiring"),
                                    STATE_END };

const DeviceType riscv_aplic_type = {
    .name = "riscv.aplic",
    .desc = "RISC-V advanced platform-level interrupt controller: a domain",
    .category = "misc",
    .size = sizeof(RiscvAplic),
    .props = props,
    .state = state,
    .realize = aplic_realize,
    .unrealize = aplic_unrealize,
    .reset = aplic_reset,
    .post_load = aplic_post_load,
    .describe_irqs = aplic_describe,
};
