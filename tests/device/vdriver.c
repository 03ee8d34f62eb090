/*
 * A virtio driver for tests (see vdriver.h).
 * SPDX-License-Identifier: MIT
 */
#include "vdriver.h"
#include <string.h>

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_AVAIL = 1 << 7, DESC_USED = 1 << 15 };

uint8_t *driver_ram(const Driver *d, uint64_t addr)
{
    g_assert_true(addr >= DEVM_RAM_BASE && addr < DEVM_RAM_BASE + DEVM_RAM_SIZE);
    return d->m->ram.host + (addr - DEVM_RAM_BASE);
}

static uint16_t get16(const Driver *d, uint64_t addr)
{
    return GUINT16_FROM_LE(__atomic_load_n((uint16_t *)driver_ram(d, addr), __ATOMIC_ACQUIRE));
}

static void set16(const Driver *d, uint64_t addr, uint16_t value)
{
    __atomic_store_n((uint16_t *)driver_ram(d, addr), GUINT16_TO_LE(value), __ATOMIC_RELEASE);
}

/* ---- finding the device ---- */

static uint64_t cfg(const Driver *d, unsigned offset)
{
    return DRIVER_ECAM_BASE + ((uint64_t)d->slot << 12) + offset;
}

static void any_line(void *opaque, int n, bool level)
{
    Driver *d = opaque;
    unsigned before = d->lines;
    d->lines = level ? before | 1u << n : before & ~(1u << n);
    __atomic_fetch_add(&d->irq.rises, d->lines && !before, __ATOMIC_SEQ_CST);
    __atomic_store_n(&d->irq.level, d->lines != 0, __ATOMIC_SEQ_CST);
}

static void make_pci(Driver *d)
{
    d->host = devm_add(d->m, &gpex_host_type, NULL);
    for (int i = 0; i < 4; i++)
        d->host->pci.intx[i] = (Irq){ any_line, d, i };
    d->host->pci.msi = d->transport == TRANSPORT_PCI_MSIX;
    devm_realize(d->m, d->host);
    devm_map(d->m, &d->host->ecam, DRIVER_ECAM_BASE);
    DEVM_LOCKED(d->m, mem_alias_init(&d->host->mmio_window, d->m->machine, "window", &d->host->mmio, DRIVER_WINDOW_BASE,
                                     DRIVER_WINDOW_SIZE));
    devm_map(d->m, &d->host->mmio_window, DRIVER_WINDOW_BASE);
}

static void place_bars(Driver *d, uint64_t *bars)
{
    uint64_t at = DRIVER_WINDOW_BASE;
    for (unsigned n = 0; n < 6; n++) {
        w32(d->m, cfg(d, 0x10 + 4 * n), UINT32_MAX);
        uint32_t low = r32(d->m, cfg(d, 0x10 + 4 * n));
        uint64_t size = (uint32_t) - (low & ~15u);
        if (!low)
            continue;
        at = (at + size - 1) & ~(size - 1);
        bars[n] = at;
        w32(d->m, cfg(d, 0x10 + 4 * n), at);
        if (low & 4) {
            w32(d->m, cfg(d, 0x14 + 4 * n), at >> 32);
            n++;
        }
        at += size;
    }
    w16(d->m, cfg(d, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void find_areas(Driver *d, const uint64_t *bars)
{
    for (unsigned cap = r8(d->m, cfg(d, PCI_CAPABILITIES)); cap; cap = r8(d->m, cfg(d, cap + 1))) {
        unsigned id = r8(d->m, cfg(d, cap)), type = r8(d->m, cfg(d, cap + 3));
        if (id == PCI_CAP_MSIX) {
            uint32_t where = r32(d->m, cfg(d, cap + 4));
            d->table = bars[where & 7] + (where & ~7u);
            d->vectors = (r16(d->m, cfg(d, cap + 2)) & 0x7ff) + 1;
            w16(d->m, cfg(d, cap + 2), r16(d->m, cfg(d, cap + 2)) | 0x8000);
        }
        if (id != PCI_CAP_VENDOR || type < 1 || type > 4)
            continue;
        uint64_t addr = bars[r8(d->m, cfg(d, cap + 4))] + r32(d->m, cfg(d, cap + 8));
        *(type == 1 ? &d->common : type == 2 ? &d->doorbell : type == 3 ? &d->isr : &d->config) = addr;
        if (type == 2)
            d->doorbell_step = r32(d->m, cfg(d, cap + 16));
    }
    g_assert_true(d->common && d->doorbell && d->isr && d->config);
    g_assert_true(!d->table == (d->transport != TRANSPORT_PCI_MSIX));
}

static void set_messages(Driver *d)
{
    if (!d->messages)
        d->messages = devm_dma(d->m, 4 * 128, 4096);
    memset(driver_ram(d, d->messages), 0, 4 * 128);
    for (unsigned i = 0; i < d->vectors; i++) {
        w32(d->m, d->table + 16 * i, d->messages + 4 * i);
        w32(d->m, d->table + 16 * i + 8, 0x1000 + i);
        w32(d->m, d->table + 16 * i + 12, 0);
    }
}

void driver_probe(Driver *d)
{
    uint64_t bars[6] = { 0 };
    if (d->mmio) {
        g_assert_cmphex(r32(d->m, DRIVER_MMIO_BASE), ==, 0x74726976);
        return;
    }
    d->common = d->doorbell = d->isr = d->config = d->table = 0;
    for (d->slot = 8; d->slot < 256 && r16(d->m, cfg(d, 0)) != 0x1af4; d->slot += 8)
        g_assert_cmphex(r32(d->m, cfg(d, 0)), ==, UINT32_MAX);
    g_assert_cmpuint(d->slot, <, 256);
    place_bars(d, bars);
    find_areas(d, bars);
    if (d->table)
        set_messages(d);
}

Driver *driver_new(Transport transport, const char *name, const char *props)
{
    GError *err = NULL;
    Driver *d = g_new0(Driver, 1);
    d->m = devm_new();
    d->transport = transport;
    if (transport == TRANSPORT_MMIO) {
        d->mmio = devm_add(d->m, &virtio_mmio_type, NULL);
        devm_realize(d->m, d->mmio);
        d->mmio->irq = devirq_init(&d->irq);
        devm_map(d->m, &d->mmio->mmio, DRIVER_MMIO_BASE);
    } else {
        make_pci(d);
    }
    g_autofree char *text =
        g_strdup_printf("%s-%s,id=dev%s", name, transport == TRANSPORT_MMIO ? "device" : "pci", props);
    devm_device_add(d->m, text, &err);
    g_assert_no_error(err);
    devm_reset(d->m);
    driver_probe(d);
    return d;
}

void driver_free(Driver *d)
{
    devm_free(d->m);
    g_free(d);
}

/* ---- registers: offsets of virtio-mmio and of the PCI common configuration ---- */

static uint64_t reg(const Driver *d, unsigned mmio, unsigned pci)
{
    return d->mmio ? DRIVER_MMIO_BASE + mmio : d->common + pci;
}

uint8_t driver_status(Driver *d)
{
    return d->mmio ? r32(d->m, reg(d, 0x70, 0)) : r8(d->m, reg(d, 0, 20));
}

void driver_set_status(Driver *d, uint8_t status)
{
    if (d->mmio)
        w32(d->m, reg(d, 0x70, 0), status);
    else
        w8(d->m, reg(d, 0, 20), status);
}

uint64_t driver_offered(Driver *d)
{
    uint64_t features = 0;
    for (unsigned word = 0; word < 2; word++) {
        w32(d->m, reg(d, 0x14, 0), word);
        features |= (uint64_t)r32(d->m, reg(d, 0x10, 4)) << (32 * word);
    }
    return features;
}

void driver_accept(Driver *d, uint64_t features)
{
    for (unsigned word = 0; word < 2; word++) {
        w32(d->m, reg(d, 0x24, 8), word);
        w32(d->m, reg(d, 0x20, 12), features >> (32 * word));
    }
}

void driver_select(Driver *d, unsigned index)
{
    if (d->mmio)
        w32(d->m, reg(d, 0x30, 0), index);
    else
        w16(d->m, reg(d, 0, 22), index);
}

unsigned driver_queue_max(Driver *d, unsigned index)
{
    driver_select(d, index);
    return d->mmio ? r32(d->m, reg(d, 0x34, 0)) : r16(d->m, reg(d, 0, 24));
}

void driver_set_size(Driver *d, unsigned size)
{
    if (d->mmio)
        w32(d->m, reg(d, 0x38, 0), size);
    else
        w16(d->m, reg(d, 0, 24), size);
}

void driver_set_areas(Driver *d, uint64_t desc, uint64_t avail, uint64_t used)
{
    const uint64_t areas[] = { desc, avail, used };
    for (unsigned i = 0; i < 3; i++) {
        w32(d->m, reg(d, 0x80 + 16 * i, 32 + 8 * i), areas[i]);
        w32(d->m, reg(d, 0x84 + 16 * i, 36 + 8 * i), areas[i] >> 32);
    }
}

void driver_ready(Driver *d, unsigned index, bool ready)
{
    driver_select(d, index);
    if (d->mmio)
        w32(d->m, reg(d, 0x44, 0), ready);
    else
        w16(d->m, reg(d, 0, 28), ready);
}

void driver_notify(Driver *d, unsigned index)
{
    if (d->mmio)
        w32(d->m, reg(d, 0x50, 0), index);
    else
        w16(d->m, d->doorbell + (uint64_t)d->doorbell_step * index, index);
}

uint64_t driver_config_addr(const Driver *d, unsigned offset)
{
    return d->mmio ? DRIVER_MMIO_BASE + 0x100 + offset : d->config + offset;
}

bool driver_negotiate(Driver *d, uint64_t features)
{
    driver_set_status(d, 0);
    g_assert_cmphex(driver_status(d), ==, 0);
    driver_set_status(d, VIRTIO_ACKNOWLEDGE);
    driver_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
    d->features = features;
    driver_accept(d, features);
    driver_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
    return driver_status(d) & VIRTIO_FEATURES_OK;
}

void driver_start(Driver *d, uint64_t features, unsigned size)
{
    g_assert_true(driver_negotiate(d, driver_offered(d) & features));
    for (unsigned i = 0; driver_queue_max(d, i); i++)
        driver_setup_queue(d, i, MIN(size, driver_queue_max(d, i)));
    driver_set_status(d, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    g_assert_cmphex(driver_status(d), ==, 15);
}

/* ---- interrupts ---- */

uint32_t driver_ack(Driver *d)
{
    if (!d->mmio)
        return r8(d->m, d->isr);
    uint32_t isr = r32(d->m, reg(d, 0x60, 0));
    w32(d->m, reg(d, 0x64, 0), isr);
    return isr;
}

bool driver_irq(Driver *d, unsigned vector)
{
    if (d->messages) {
        uint32_t message = r32(d->m, d->messages + 4 * vector);
        g_assert_true(!message || message == 0x1000 + vector);
        w32(d->m, d->messages + 4 * vector, 0);
        return message;
    }
    return __atomic_load_n(&d->irq.level, __ATOMIC_SEQ_CST) && driver_ack(d);
}

bool driver_wait_irq(Driver *d, unsigned vector)
{
    int64_t limit = g_get_monotonic_time() + DRIVER_TIMEOUT_US;
    while (!driver_irq(d, vector)) {
        if (g_get_monotonic_time() > limit)
            return false;
        g_usleep(20);
    }
    return true;
}

/* ---- queues ---- */

static bool has(const Driver *d, uint64_t feature)
{
    return d->features & feature;
}

static bool packed(const DriverQueue *q)
{
    return has(q->d, VIRTIO_F_RING_PACKED);
}

static void clear_queue(DriverQueue *q)
{
    memset(driver_ram(q->d, q->desc), 0, 16 * q->size);
    memset(driver_ram(q->d, q->avail), 0, 6 + 2 * q->size);
    memset(driver_ram(q->d, q->used), 0, 6 + 8 * q->size);
    q->next_avail = q->next_used = q->kicked = 0;
    q->avail_wrap = q->used_wrap = true;
    q->free_count = q->packed_room = q->size;
    for (unsigned i = 0; i < q->size; i++)
        q->free[i] = q->size - 1 - i;
}

void driver_setup_queue(Driver *d, unsigned index, unsigned size)
{
    DriverQueue *q = &d->q[index];
    g_assert_cmpuint(size, <=, DRIVER_QUEUE_MAX);
    if (!q->desc || q->size < size) {
        q->desc = devm_dma(d->m, 16 * size, 16);
        q->avail = devm_dma(d->m, 6 + 2 * size, 4);
        q->used = devm_dma(d->m, 6 + 8 * size, 4);
        q->tables = devm_dma(d->m, 16 * DRIVER_TABLE_MAX * size, 16);
    }
    q->d = d;
    q->index = index;
    q->size = size;
    clear_queue(q);
    driver_select(d, index);
    driver_set_size(d, size);
    driver_set_areas(d, q->desc, q->avail, q->used);
    if (!d->mmio) {
        w16(d->m, reg(d, 0, 26), d->messages ? index + 1 : VIRTIO_NO_VECTOR);
        g_assert_cmphex(r16(d->m, reg(d, 0, 26)), ==, d->messages ? index + 1 : VIRTIO_NO_VECTOR);
        w16(d->m, reg(d, 0, 16), d->messages ? 0 : VIRTIO_NO_VECTOR);
    }
    driver_ready(d, index, true);
}

void driver_put_desc(const Driver *d, uint64_t at, const Seg *seg, uint16_t third, uint16_t fourth)
{
    uint64_t addr = GUINT64_TO_LE(seg->addr);
    uint32_t len = GUINT32_TO_LE(seg->len);
    uint8_t *p = driver_ram(d, at);
    memcpy(p, &addr, 8);
    memcpy(p + 8, &len, 4);
    set16(d, at + 12, third);
    set16(d, at + 14, fourth);
}

/* Fill the table of id; *table becomes the descriptor's contents. */
static void fill_table(DriverQueue *q, uint16_t id, const Seg *segs, unsigned count, Seg *table)
{
    *table = (Seg){ q->tables + (uint64_t)16 * DRIVER_TABLE_MAX * id, 16 * count, false };
    g_assert_cmpuint(count, <=, DRIVER_TABLE_MAX);
    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = (segs[i].in ? DESC_WRITE : 0) | (!packed(q) && i + 1 < count ? DESC_NEXT : 0);
        driver_put_desc(q->d, table->addr + 16 * i, &segs[i], packed(q) ? 0 : flags, packed(q) ? flags : i + 1);
    }
}

static int add_split(DriverQueue *q, const Seg *segs, unsigned count, uint16_t extra)
{
    uint16_t head = q->free[q->free_count - 1], at = head;
    q->slots[head] = count;
    for (unsigned i = 0; i < count; i++) {
        q->free_count--;
        uint16_t next = i + 1 < count ? q->free[q->free_count - 1] : 0;
        uint16_t flags = extra | (segs[i].in ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0);
        driver_put_desc(q->d, q->desc + 16 * at, &segs[i], flags, next);
        q->links[at] = next;
        at = next;
    }
    set16(q->d, q->avail + 4 + 2 * (q->next_avail % q->size), head);
    set16(q->d, q->avail + 2, ++q->next_avail);
    return head;
}

static int add_packed(DriverQueue *q, const Seg *segs, unsigned count, uint16_t extra)
{
    uint16_t id = q->free[--q->free_count], head = q->next_avail, head_flags = 0;
    q->slots[id] = count;
    q->packed_room -= count;
    q->kicked += count;
    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = extra | (segs[i].in ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0) |
                         (q->avail_wrap ? DESC_AVAIL : DESC_USED);
        uint64_t at = q->desc + 16 * q->next_avail;
        driver_put_desc(q->d, at, &segs[i], id, i ? flags : get16(q->d, at + 14));
        head_flags = i ? head_flags : flags;
        if (++q->next_avail == q->size) {
            q->next_avail = 0;
            q->avail_wrap = !q->avail_wrap;
        }
    }
    set16(q->d, q->desc + 16 * head + 14, head_flags); /* makes all of it available */
    return id;
}

int dq_add(DriverQueue *q, const Seg *segs, unsigned count, bool indirect)
{
    Seg table;
    unsigned need = indirect ? 1 : count;
    if (packed(q) ? !q->free_count || q->packed_room < need : q->free_count < need)
        return -1;
    if (indirect)
        fill_table(q, q->free[q->free_count - 1], segs, count, &table);
    const Seg *chain = indirect ? &table : segs;
    uint16_t extra = indirect ? DESC_INDIRECT : 0;
    return packed(q) ? add_packed(q, chain, need, extra) : add_split(q, chain, need, extra);
}

static bool wants_kick(DriverQueue *q)
{
    Driver *d = q->d;
    if (!packed(q)) {
        uint16_t old = q->kicked, new = q->next_avail;
        q->kicked = new;
        if (!has(d, VIRTIO_F_EVENT_IDX))
            return !(get16(d, q->used) & 1);
        uint16_t event = get16(d, q->used + 4 + 8 * q->size);
        return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
    }
    uint16_t event = get16(d, q->used), flags = get16(d, q->used + 2) & 3, since = q->kicked;
    q->kicked = 0;
    if (flags != 2)
        return flags == 0;
    uint16_t new = q->next_avail, at = event & 0x7fff;
    if (q->avail_wrap != event >> 15)
        at -= q->size;
    return (uint16_t)(new - at - 1) < since;
}

bool dq_kick(DriverQueue *q)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was made available, before the device's wish is read */
    if (!wants_kick(q))
        return false;
    q->kicks++;
    driver_notify(q->d, q->index);
    return true;
}

static int take_packed(DriverQueue *q, uint32_t *len)
{
    uint64_t at = q->desc + 16 * q->next_used;
    uint16_t flags = get16(q->d, at + 14);
    if (!!(flags & DESC_AVAIL) != q->used_wrap || !!(flags & DESC_USED) != q->used_wrap)
        return -1;
    uint16_t id = get16(q->d, at + 12);
    g_assert_cmpuint(id, <, q->size);
    g_assert_cmpuint(q->slots[id], >, 0);
    memcpy(len, driver_ram(q->d, at + 8), 4);
    q->next_used += q->slots[id];
    q->packed_room += q->slots[id];
    if (q->next_used >= q->size) {
        q->next_used -= q->size;
        q->used_wrap = !q->used_wrap;
    }
    q->free[q->free_count++] = id;
    q->slots[id] = 0;
    return id;
}

int dq_take(DriverQueue *q, uint32_t *len)
{
    uint32_t pair[2];
    if (packed(q))
        return take_packed(q, len);
    if (get16(q->d, q->used + 2) == q->next_used)
        return -1;
    memcpy(pair, driver_ram(q->d, q->used + 4 + 8 * (q->next_used % q->size)), sizeof(pair));
    q->next_used++;
    g_assert_cmpuint(pair[0], <, q->size);
    g_assert_cmpuint(q->slots[pair[0]], >, 0);
    *len = pair[1];
    for (unsigned n = q->slots[pair[0]], at = pair[0]; n; n--, at = q->links[at])
        q->free[q->free_count++] = at;
    q->slots[pair[0]] = 0;
    return pair[0];
}

int dq_wait(DriverQueue *q, uint32_t *len)
{
    int64_t limit = g_get_monotonic_time() + DRIVER_TIMEOUT_US;
    int id;
    while ((id = dq_take(q, len)) < 0) {
        if (g_get_monotonic_time() > limit)
            g_error("queue %u: nothing is used (status 0x%x)", q->index, driver_status(q->d));
        g_usleep(5);
    }
    return id;
}

void dq_no_interrupts(DriverQueue *q)
{
    if (packed(q))
        set16(q->d, q->avail + 2, 1);
    else if (has(q->d, VIRTIO_F_EVENT_IDX))
        set16(q->d, q->avail + 4 + 2 * q->size, q->next_used - 1);
    else
        set16(q->d, q->avail, 1);
}

void dq_interrupt_after(DriverQueue *q, unsigned count)
{
    if (packed(q)) {
        unsigned at = q->next_used + count - 1;
        bool wrap = q->used_wrap ^ (at >= q->size);
        set16(q->d, q->avail, at % q->size | wrap << 15);
        set16(q->d, q->avail + 2, has(q->d, VIRTIO_F_EVENT_IDX) ? 2 : 0);
    } else if (has(q->d, VIRTIO_F_EVENT_IDX)) {
        set16(q->d, q->avail + 4 + 2 * q->size, q->next_used + count - 1);
    } else {
        set16(q->d, q->avail, 0);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
