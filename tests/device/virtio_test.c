/*
 * Virtio as drivers use it: both rings, indirect descriptors, event indexes, both transports; disk, entropy, console.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "ui/chardev/backend.h"
#include "util/error.h"
#include "vdriver.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define SECTOR    512
#define DISK_SIZE (UINT64_C(1) << 20)
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2, S_NONE = 0xee };
enum { F_RO = 1 << 5, F_FLUSH = 1 << 9, F_CONFIG_WCE = 1 << 11 };

/* ---- a disk ---- */

typedef struct Disk {
    Driver *d;
    char *path;
    uint8_t *model; /* what it must hold */
} Disk;

static void *find_drive(const char *id, GError **err)
{
    BlockNode *node = block_find(id);
    if (!node)
        error_set(err, "no drive '%s'", id);
    return node;
}

static Disk disk_new(Transport transport, const char *drive, const char *props)
{
    Disk k = { .model = g_malloc(DISK_SIZE) };
    GError *err = NULL;
    int fd = g_file_open_tmp("rhea-disk-XXXXXX", &k.path, &err);
    g_assert_no_error(err);
    for (unsigned i = 0; i < DISK_SIZE; i++)
        k.model[i] = i / SECTOR * 7 + i;
    g_assert_cmpint(write(fd, k.model, DISK_SIZE), ==, DISK_SIZE);
    close(fd);
    g_autofree char *text = g_strdup_printf("file=%s,format=raw,id=d0%s", k.path, drive);
    g_autoptr(Opts) opts = opts_parse("-drive", text, NULL, &err);
    g_assert_no_error(err);
    block_add_drive(opts, false, &err);
    g_assert_no_error(err);
    g_autofree char *all = g_strdup_printf(",drive=d0,serial=SN-12345%s", props);
    k.d = driver_new(transport, "virtio-blk", all);
    return k;
}

static void disk_free(Disk *k)
{
    driver_free(k->d);
    block_close_all();
    g_unlink(k->path);
    g_free(k->path);
    g_free(k->model);
}

static void check_file(const Disk *k)
{
    g_autofree char *data = NULL;
    gsize len;
    g_assert_true(g_file_get_contents(k->path, &data, &len, NULL));
    g_assert_cmpuint(len, ==, DISK_SIZE);
    for (unsigned i = 0; i < DISK_SIZE; i++) {
        if ((uint8_t)data[i] != k->model[i])
            g_error("byte 0x%x of the file is 0x%02x, not 0x%02x", i, (uint8_t)data[i], k->model[i]);
    }
}

/* ---- requests ---- */

typedef struct Req {
    uint64_t header, data, own_status; /* guest addresses */
    uint64_t status;                   /* own_status, or behind the data */
    uint32_t len;                      /* of data */
    int id;
} Req;

static Req req_new(Disk *k, uint32_t room)
{
    uint64_t header = devm_dma(k->d->m, 16, 16), data = devm_dma(k->d->m, room + 1, 512);
    return (Req){ .header = header, .data = data, .own_status = devm_dma(k->d->m, 1, 1) };
}

static void req_header(Disk *k, const Req *r, uint32_t type, uint64_t sector)
{
    uint32_t first[] = { GUINT32_TO_LE(type), 0 };
    uint64_t second = GUINT64_TO_LE(sector);
    memcpy(driver_ram(k->d, r->header), first, 8);
    memcpy(driver_ram(k->d, r->header + 8), &second, 8);
}

/* Where the parts are cut: each is at least one byte. */
static unsigned cut(Seg *segs, uint64_t addr, uint32_t len, bool in, unsigned parts, GRand *rand)
{
    unsigned n = 0;
    while (len) {
        uint32_t here = n + 1 < parts && len > 1 ? (uint32_t)g_rand_int_range(rand, 1, len) : len;
        segs[n++] = (Seg){ addr, here, in };
        addr += here;
        len -= here;
    }
    return n;
}

/* Queue a request; the status byte follows the data directly if joined. */
static void req_add(Disk *k, DriverQueue *q, Req *r, bool in, unsigned parts, bool joined, bool indirect, GRand *rand)
{
    Seg segs[16];
    unsigned n = cut(segs, r->header, 16, false, parts > 2 ? 2 : 1, rand);
    n += cut(segs + n, r->data, r->len, in, parts, rand);
    if (joined && in && r->len) {
        segs[n - 1].len++;
        r->status = r->data + r->len;
    } else {
        segs[n++] = (Seg){ r->own_status, 1, true };
        r->status = r->own_status;
    }
    *driver_ram(k->d, r->status) = S_NONE;
    r->id = dq_add(q, segs, n, indirect);
}

static uint8_t req_status(Disk *k, const Req *r)
{
    return *driver_ram(k->d, r->status);
}

/* One request, to its end. */
static uint8_t do_request(Disk *k, Req *r, uint32_t type, uint64_t sector, uint32_t len, uint32_t *used)
{
    uint32_t bytes;
    r->len = len;
    req_header(k, r, type, sector);
    req_add(k, &k->d->q[0], r, type == T_IN || type == T_GET_ID, 1, false, false, NULL);
    g_assert_cmpint(r->id, >=, 0);
    dq_kick(&k->d->q[0]);
    g_assert_cmpint(dq_wait(&k->d->q[0], &bytes), ==, r->id);
    if (used)
        *used = bytes;
    return req_status(k, r);
}

/* ---- all variants of rings and transports ---- */

typedef struct Variant {
    char *name;
    Transport transport;
    bool packed, event, indirect;
} Variant;

static uint64_t variant_features(const Variant *v)
{
    return DRIVER_ALL & ~(v->event ? 0 : VIRTIO_F_EVENT_IDX) & ~(v->indirect ? 0 : VIRTIO_F_INDIRECT_DESC);
}

enum { BATCH = 8, SPAN = DISK_SIZE / SECTOR / BATCH };

/* Requests at once, each in its own part of the disk, of random size and shape. */
static void run_batch(Disk *k, const Variant *v, Req *reqs, GRand *rand)
{
    DriverQueue *q = &k->d->q[0];
    uint32_t sector[BATCH], type[BATCH], used;
    unsigned sent = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        Req *r = &reqs[i];
        type[i] = g_rand_boolean(rand) ? T_IN : T_OUT;
        r->len = SECTOR * g_rand_int_range(rand, 1, 17);
        sector[i] = i * SPAN + g_rand_int_range(rand, 0, SPAN - 16);
        for (uint32_t at = 0; at < r->len; at += 4) {
            uint32_t word = g_rand_int(rand);
            memcpy(driver_ram(k->d, r->data + at), &word, 4);
        }
        req_header(k, r, type[i], sector[i]);
        req_add(k, q, r, type[i] == T_IN, g_rand_int_range(rand, 1, 5), g_rand_boolean(rand),
                v->indirect && g_rand_boolean(rand), rand);
        if (r->id < 0)
            break;
        sent++;
        if (g_rand_boolean(rand))
            dq_kick(q);
    }
    dq_kick(q);
    for (unsigned n = 0; n < sent; n++) {
        int id = dq_wait(q, &used);
        unsigned i = 0;
        while (i < sent && reqs[i].id != id)
            i++;
        g_assert_cmpuint(i, <, sent);
        Req *r = &reqs[i];
        uint8_t *data = driver_ram(k->d, r->data), *model = k->model + sector[i] * SECTOR;
        g_assert_cmpuint(req_status(k, r), ==, S_OK);
        g_assert_cmpuint(used, ==, (type[i] == T_IN ? r->len : 0) + 1);
        if (type[i] == T_IN)
            g_assert_cmpmem(data, r->len, model, r->len);
        else
            memcpy(model, data, r->len);
        r->id = -1;
    }
    driver_irq(k->d, k->d->messages ? 1 : 0);
}

static void test_blk(gconstpointer data)
{
    const Variant *v = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    Disk k = disk_new(v->transport, "", v->packed ? ",packed=on" : "");
    driver_start(k.d, variant_features(v), v->packed ? 27 : 32); /* a packed ring may have any size */
    g_assert_cmpint(!!(k.d->features & VIRTIO_F_RING_PACKED), ==, v->packed);
    Req reqs[BATCH];
    for (unsigned i = 0; i < BATCH; i++)
        reqs[i] = req_new(&k, 16 * SECTOR);
    for (unsigned n = 0; n < 400; n++)
        run_batch(&k, v, reqs, rand);
    g_assert_cmpuint(k.d->q[0].kicks, >, 0);
    Req flush = req_new(&k, SECTOR);
    g_assert_cmpuint(do_request(&k, &flush, T_FLUSH, 0, 0, NULL), ==, S_OK);
    check_file(&k);
    disk_free(&k);
}

/* ---- kinds of requests ---- */

static void put_range(Disk *k, const Req *r, uint64_t sector, uint32_t count, uint32_t flags)
{
    uint32_t words[] = { GUINT32_TO_LE((uint32_t)sector), GUINT32_TO_LE((uint32_t)(sector >> 32)), GUINT32_TO_LE(count),
                         GUINT32_TO_LE(flags) };
    memcpy(driver_ram(k->d, r->data), words, sizeof(words));
}

static void test_requests(gconstpointer data)
{
    uint32_t used;
    Disk k = disk_new(TRANSPORT_MMIO, ",discard=unmap", data);
    driver_start(k.d, DRIVER_ALL, 16);
    Req r = req_new(&k, 8192);
    uint8_t *bytes = driver_ram(k.d, r.data);
    g_assert_cmpuint(r32(k.d->m, driver_config_addr(k.d, 0)), ==, DISK_SIZE / SECTOR);

    g_assert_cmpuint(do_request(&k, &r, T_GET_ID, 0, 20, &used), ==, S_OK);
    g_assert_cmpuint(used, ==, 21);
    g_assert_cmpmem(bytes, 20, "SN-12345\0\0\0\0\0\0\0\0\0\0\0\0", 20);

    /* at the end, behind the end, far behind it, not whole sectors */
    const uint64_t sectors = DISK_SIZE / SECTOR;
    g_assert_cmpuint(do_request(&k, &r, T_IN, sectors - 1, SECTOR, NULL), ==, S_OK);
    g_assert_cmpuint(do_request(&k, &r, T_IN, sectors - 1, 2 * SECTOR, &used), ==, S_IOERR);
    g_assert_cmpuint(used, ==, 1);
    g_assert_cmpuint(do_request(&k, &r, T_OUT, sectors, SECTOR, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_OUT, UINT64_MAX, SECTOR, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_IN, UINT64_MAX / SECTOR, SECTOR, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_IN, (UINT64_C(1) << 55), SECTOR, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_OUT, 0, 100, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_IN, 0, SECTOR + 1, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_IN, 0, 0, NULL), ==, S_OK);
    g_assert_cmpuint(do_request(&k, &r, 0x777, 0, 0, &used), ==, S_UNSUPP);
    g_assert_cmpuint(do_request(&k, &r, T_FLUSH, 0, 0, NULL), ==, S_OK);
    check_file(&k);

    put_range(&k, &r, 100, 24, 0);
    g_assert_cmpuint(do_request(&k, &r, T_WRITE_ZEROES, 0, 16, NULL), ==, S_OK);
    memset(k.model + 100 * SECTOR, 0, 24 * SECTOR);
    put_range(&k, &r, 200, 1, 1);
    g_assert_cmpuint(do_request(&k, &r, T_WRITE_ZEROES, 0, 16, NULL), ==, S_OK);
    memset(k.model + 200 * SECTOR, 0, SECTOR);
    put_range(&k, &r, 512, 64, 0);
    g_assert_cmpuint(do_request(&k, &r, T_DISCARD, 0, 16, NULL), ==, S_OK);
    memset(k.model + 512 * SECTOR, 0, 64 * SECTOR); /* a hole in a file reads as zeros */
    put_range(&k, &r, 300, 1, 1);
    g_assert_cmpuint(do_request(&k, &r, T_DISCARD, 0, 16, NULL), ==, S_UNSUPP); /* unmap is not for discards */
    put_range(&k, &r, 300, 1, 2);
    g_assert_cmpuint(do_request(&k, &r, T_WRITE_ZEROES, 0, 16, NULL), ==, S_UNSUPP);
    put_range(&k, &r, sectors - 1, 2, 0);
    g_assert_cmpuint(do_request(&k, &r, T_WRITE_ZEROES, 0, 16, NULL), ==, S_IOERR);
    put_range(&k, &r, 0, UINT32_MAX, 0);
    g_assert_cmpuint(do_request(&k, &r, T_DISCARD, 0, 16, NULL), ==, S_IOERR);
    put_range(&k, &r, 300, 1, 0);
    g_assert_cmpuint(do_request(&k, &r, T_DISCARD, 0, 15, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_DISCARD, 0, 32, NULL), ==, S_UNSUPP); /* two ranges */
    check_file(&k);
    disk_free(&k);
}

static void test_read_only(void)
{
    Disk k = disk_new(TRANSPORT_MMIO, ",readonly=on", "");
    driver_start(k.d, DRIVER_ALL, 16);
    g_assert_true(k.d->features & F_RO);
    Req r = req_new(&k, 8192);
    g_assert_cmpuint(do_request(&k, &r, T_OUT, 0, SECTOR, NULL), ==, S_IOERR);
    put_range(&k, &r, 0, 1, 0);
    g_assert_cmpuint(do_request(&k, &r, T_WRITE_ZEROES, 0, 16, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_DISCARD, 0, 16, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_IN, 0, SECTOR, NULL), ==, S_OK);
    g_assert_cmpmem(driver_ram(k.d, r.data), SECTOR, k.model, SECTOR);
    g_assert_cmpuint(do_request(&k, &r, T_FLUSH, 0, 0, NULL), ==, S_OK);
    check_file(&k);
    disk_free(&k);
}

static void test_block_sizes(void)
{
    Disk k = disk_new(TRANSPORT_MMIO, "", ",logical_block_size=4096,physical_block_size=8192");
    driver_start(k.d, DRIVER_ALL, 16);
    g_assert_cmpuint(r32(k.d->m, driver_config_addr(k.d, 20)), ==, 4096);
    g_assert_cmpuint(r8(k.d->m, driver_config_addr(k.d, 24)), ==, 1);
    Req r = req_new(&k, 8192);
    g_assert_cmpuint(do_request(&k, &r, T_IN, 8, 4096, NULL), ==, S_OK);
    g_assert_cmpmem(driver_ram(k.d, r.data), 4096, k.model + 4096, 4096);
    g_assert_cmpuint(do_request(&k, &r, T_IN, 1, 4096, NULL), ==, S_IOERR);
    g_assert_cmpuint(do_request(&k, &r, T_IN, 0, 512, NULL), ==, S_IOERR);
    disk_free(&k);
}

/* The driver may turn the write cache off, and on again; only if it accepted the feature. */
static void test_write_cache(void)
{
    Disk k = disk_new(TRANSPORT_MMIO, "", "");
    Req r = req_new(&k, 8192);
    const uint64_t writeback = driver_config_addr(k.d, 32);
    driver_start(k.d, DRIVER_ALL, 16);
    g_assert_cmpuint(r8(k.d->m, writeback), ==, 1);
    for (unsigned i = 0; i < 6; i++) {
        w8(k.d->m, writeback, i & 1);
        g_assert_cmpuint(r8(k.d->m, writeback), ==, i & 1);
        memset(driver_ram(k.d, r.data), 0x30 + i, SECTOR);
        memset(k.model + i * SECTOR, 0x30 + i, SECTOR);
        g_assert_cmpuint(do_request(&k, &r, T_OUT, i, SECTOR, NULL), ==, S_OK);
        put_range(&k, &r, 64 + i, 1, 0);
        memset(k.model + (64 + i) * SECTOR, 0, SECTOR);
        g_assert_cmpuint(do_request(&k, &r, T_WRITE_ZEROES, 0, 16, NULL), ==, S_OK);
    }
    driver_set_status(k.d, 0);
    g_assert_cmpuint(r8(k.d->m, writeback), ==, 1);
    driver_start(k.d, ~(uint64_t)F_CONFIG_WCE, 16);
    w8(k.d->m, writeback, 0);
    g_assert_cmpuint(r8(k.d->m, writeback), ==, 1);
    check_file(&k);
    disk_free(&k);
}

/* ---- many at once, resets ---- */

static void test_full_ring(gconstpointer data)
{
    const Variant *v = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);
    uint32_t used;
    Req reqs[64];
    Disk k = disk_new(v->transport, "", v->packed ? ",packed=on,queue-size=128" : ",queue-size=128");
    driver_start(k.d, variant_features(v), 128);
    for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++)
        reqs[i] = req_new(&k, 2 * SECTOR);
    for (unsigned round = 0; round < 40; round++) {
        unsigned sent = 0;
        for (; sent < G_N_ELEMENTS(reqs); sent++) { /* until the ring is full */
            Req *r = &reqs[sent];
            r->len = 2 * SECTOR;
            memset(driver_ram(k.d, r->data), round + sent, r->len);
            req_header(&k, r, T_OUT, 2 * sent);
            req_add(&k, &k.d->q[0], r, false, 1, false, v->indirect, rand);
            if (r->id < 0)
                break;
            memset(k.model + 2 * sent * SECTOR, round + sent, r->len);
        }
        g_assert_cmpuint(sent, ==, v->indirect ? 64 : 128 / 3);
        dq_kick(&k.d->q[0]);
        for (unsigned n = 0; n < sent; n++)
            dq_wait(&k.d->q[0], &used);
        for (unsigned i = 0; i < sent; i++)
            g_assert_cmpuint(req_status(&k, &reqs[i]), ==, S_OK);
    }
    check_file(&k);
    disk_free(&k);
}

/* Resets with requests under way: nothing of them is seen afterwards, and the device works. */
static void test_reset_in_flight(gconstpointer data)
{
    const Variant *v = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    Disk k = disk_new(v->transport, "", v->packed ? ",packed=on" : "");
    Req reqs[16], one = req_new(&k, SECTOR);
    for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++)
        reqs[i] = req_new(&k, 16 * SECTOR);
    for (unsigned round = 0; round < 60; round++) {
        driver_start(k.d, variant_features(v), 64);
        for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++) {
            reqs[i].len = 16 * SECTOR;
            req_header(&k, &reqs[i], T_IN, 16 * i);
            req_add(&k, &k.d->q[0], &reqs[i], true, 1, false, false, rand);
        }
        dq_kick(&k.d->q[0]);
        if (round & 1)
            g_usleep(g_rand_int_range(rand, 0, 200));
        if (round % 3 == 0)
            devm_reset(k.d->m);
        else
            driver_set_status(k.d, 0);
        if (k.d->mmio || round % 3) { /* else the BARs are gone too */
            g_assert_false(__atomic_load_n(&k.d->irq.level, __ATOMIC_SEQ_CST));
            g_assert_cmpuint(driver_ack(k.d), ==, 0);
        } else {
            w16(k.d->m, DRIVER_ECAM_BASE + (k.d->slot << 12) + PCI_COMMAND, 0);
            driver_free(k.d);
            k.d = driver_new(v->transport, "virtio-blk", v->packed ? ",drive=d0,packed=on" : ",drive=d0");
            one = req_new(&k, SECTOR);
            for (unsigned i = 0; i < G_N_ELEMENTS(reqs); i++)
                reqs[i] = req_new(&k, 16 * SECTOR);
        }
        driver_start(k.d, variant_features(v), 64);
        g_assert_cmpuint(do_request(&k, &one, T_IN, 3, SECTOR, NULL), ==, S_OK);
        g_assert_cmpmem(driver_ram(k.d, one.data), SECTOR, k.model + 3 * SECTOR, SECTOR);
    }
    disk_free(&k);
}

static void test_queue_reenable(void)
{
    Disk k = disk_new(TRANSPORT_MMIO, "", "");
    Req r = req_new(&k, SECTOR);
    driver_start(k.d, DRIVER_ALL, 16);
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpuint(do_request(&k, &r, T_IN, i, SECTOR, NULL), ==, S_OK);
        g_assert_cmpmem(driver_ram(k.d, r.data), SECTOR, k.model + i * SECTOR, SECTOR);
        if (i % 4)
            continue;
        driver_ready(k.d, 0, false);
        g_assert_cmpuint(r32(k.d->m, DRIVER_MMIO_BASE + 0x44), ==, 0);
        driver_notify(k.d, 0);
        driver_setup_queue(k.d, 0, i % 8 ? 16 : 8);
        g_assert_cmpuint(r32(k.d->m, DRIVER_MMIO_BASE + 0x44), ==, 1);
    }
    disk_free(&k);
}

/* ---- negotiation ---- */

static void test_negotiation(gconstpointer data)
{
    const Transport *transport = data;
    Driver *d = driver_new(*transport, "virtio-rng", "");
    uint64_t offered = driver_offered(d);
    g_assert_true(offered & VIRTIO_F_VERSION_1 && offered & VIRTIO_F_EVENT_IDX && offered & VIRTIO_F_INDIRECT_DESC);
    g_assert_false(offered & VIRTIO_F_RING_PACKED);
    g_assert_false(driver_negotiate(d, offered | VIRTIO_F_RING_PACKED)); /* not offered */
    g_assert_false(driver_negotiate(d, offered & ~VIRTIO_F_VERSION_1));
    g_assert_false(driver_negotiate(d, offered | UINT64_C(1) << 50));
    driver_set_status(d, 15); /* it goes on all the same */
    g_assert_cmphex(driver_status(d) & 12, ==, 0);
    g_assert_true(driver_negotiate(d, VIRTIO_F_VERSION_1));
    driver_accept(d, offered); /* too late */
    driver_start(d, DRIVER_ALL, 8);
    driver_set_status(d, 3); /* bits are never taken back but by a reset */
    g_assert_cmphex(driver_status(d), ==, 15);
    g_assert_cmpuint(driver_queue_max(d, 1), ==, 0);
    driver_set_status(d, 0);
    g_assert_cmphex(driver_status(d), ==, 0);
    g_assert_cmpuint(driver_queue_max(d, 0), ==, 8);
    driver_free(d);
}

/* ---- entropy: its kick does all the work, so interrupts can be counted ---- */

static bool one_buffer(Driver *d, uint64_t addr)
{
    uint32_t len;
    Seg seg = { addr, 16, true };
    memset(driver_ram(d, addr), 0, 16);
    int id = dq_add(&d->q[0], &seg, 1, false);
    g_assert_cmpint(id, >=, 0);
    g_assert_true(dq_kick(&d->q[0]));
    g_assert_cmpint(dq_take(&d->q[0], &len), ==, id);
    g_assert_cmpuint(len, ==, 16);
    static const uint8_t zeros[16];
    g_assert_cmpint(memcmp(driver_ram(d, addr), zeros, 16), !=, 0);
    return driver_irq(d, d->messages ? 1 : 0);
}

static void test_interrupts(gconstpointer data)
{
    const Variant *v = data;
    Driver *d = driver_new(v->transport, "virtio-rng", v->packed ? ",packed=on" : "");
    driver_start(d, variant_features(v), 8);
    uint64_t addr = devm_dma(d->m, 16, 16);
    for (unsigned i = 0; i < 20; i++) { /* one each */
        dq_interrupt_after(&d->q[0], 1);
        g_assert_true(one_buffer(d, addr));
        g_assert_false(driver_irq(d, d->messages ? 1 : 0));
    }
    dq_no_interrupts(&d->q[0]);
    for (unsigned i = 0; i < 7; i++) {
        /* a split ring's event index cannot say never: it names the entry before this one, 65535 away. A packed ring
         * may tell once more at its wrap only by event index. */
        g_assert_false(one_buffer(d, addr));
    }
    if (v->event && !v->packed) {
        for (unsigned n = 2; n < 30; n++) { /* after n, and then not again */
            dq_interrupt_after(&d->q[0], n);
            for (unsigned i = 1; i < n; i++)
                g_assert_false(one_buffer(d, addr));
            g_assert_true(one_buffer(d, addr));
            g_assert_false(one_buffer(d, addr));
        }
    }
    driver_free(d);
}

/* Packed rings: within one round of the ring the event index is exact. */
static void test_packed_event(void)
{
    Driver *d = driver_new(TRANSPORT_PCI_MSIX, "virtio-rng", ",packed=on");
    driver_start(d, DRIVER_ALL, 8);
    uint64_t addr = devm_dma(d->m, 16, 16);
    unsigned count = 0;
    dq_interrupt_after(&d->q[0], 1);
    g_assert_true(one_buffer(d, addr));
    dq_interrupt_after(&d->q[0], 5);
    for (unsigned i = 0; i < 4; i++)
        g_assert_false(one_buffer(d, addr));
    g_assert_true(one_buffer(d, addr));
    for (unsigned i = 0; i < 1000; i++) { /* every fifth is asked for; at most one more at each wrap */
        if (i % 5 == 0)
            dq_interrupt_after(&d->q[0], 5);
        bool irq = one_buffer(d, addr);
        g_assert_true(irq || i % 5 != 4);
        count += irq;
    }
    g_assert_cmpuint(count, >=, 200);
    g_assert_cmpuint(count, <=, 200 + 1000 / 8 + 1);
    driver_free(d);
}

/* INTx: up until ISR is read, masked by the command register; MSI-X: masked vectors are pending. */
static void test_intx(void)
{
    Driver *d = driver_new(TRANSPORT_PCI, "virtio-rng", "");
    driver_start(d, DRIVER_ALL & ~VIRTIO_F_EVENT_IDX, 8);
    uint64_t addr = devm_dma(d->m, 16, 16), config = DRIVER_ECAM_BASE + (d->slot << 12);
    Seg seg = { addr, 16, true };
    g_assert_cmpuint(r8(d->m, config + PCI_INTERRUPT_PIN), ==, 1);
    for (unsigned i = 0; i < 3; i++) {
        dq_add(&d->q[0], &seg, 1, false);
        driver_notify(d, 0);
        g_assert_true(d->irq.level);
        g_assert_cmphex(d->lines, ==, 1u << (d->slot >> 3) % 4);
        g_assert_true(r16(d->m, config + PCI_STATUS) & PCI_STATUS_INTERRUPT);
    }
    g_assert_cmpuint(d->irq.rises, ==, 1);
    w16(d->m, config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    g_assert_false(d->irq.level);
    g_assert_true(r16(d->m, config + PCI_STATUS) & PCI_STATUS_INTERRUPT);
    w16(d->m, config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_true(d->irq.level);
    g_assert_cmpuint(r8(d->m, d->isr), ==, VIRTIO_ISR_QUEUE);
    g_assert_false(d->irq.level);
    g_assert_cmpuint(r8(d->m, d->isr), ==, 0);
    g_assert_false(r16(d->m, config + PCI_STATUS) & PCI_STATUS_INTERRUPT);
    driver_free(d);
}

static void test_rng_quota(void)
{
    Driver *d = driver_new(TRANSPORT_MMIO, "virtio-rng", ",max-bytes=100,period=1000");
    uint32_t len;
    driver_start(d, DRIVER_ALL, 8);
    uint64_t addr = devm_dma(d->m, 256, 16);
    Seg segs[] = { { addr, 30, true }, { addr + 30, 34, true } };
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpint(dq_add(&d->q[0], segs, 2, false), >=, 0);
    dq_kick(&d->q[0]);
    g_assert_cmpint(dq_take(&d->q[0], &len), >=, 0);
    g_assert_cmpuint(len, ==, 64);
    g_assert_cmpint(dq_take(&d->q[0], &len), >=, 0);
    g_assert_cmpuint(len, ==, 36); /* what is left */
    g_assert_cmpint(dq_take(&d->q[0], &len), <, 0);
    devm_step(d->m, 999999999);
    g_assert_cmpint(dq_take(&d->q[0], &len), <, 0);
    devm_step(d->m, 1);
    g_assert_cmpint(dq_take(&d->q[0], &len), >=, 0);
    g_assert_cmpuint(len, ==, 64);
    driver_free(d);
}

/* ---- console ---- */

enum { RECEIVE, TRANSMIT, CONTROL_IN, CONTROL_OUT };

typedef struct Console {
    Driver *d;
    char *path;
    uint64_t addr, control; /* buffers */
    Chardev *chardev;
} Console;

static Console console_new(const Variant *v, const char *port)
{
    Console c = { 0 };
    GError *err = NULL;
    close(g_file_open_tmp("rhea-console-XXXXXX", &c.path, &err));
    g_autofree char *text = g_strdup_printf("backend=file,id=c0,path=%s", c.path);
    g_autoptr(Opts) opts = opts_parse("-chardev", text, NULL, NULL);
    c.chardev = chardev_add(opts, &err);
    g_assert_no_error(err);
    c.d = driver_new(v->transport, "virtio-serial", v->packed ? ",packed=on" : "");
    devm_device_add(c.d->m, port, &err);
    g_assert_no_error(err);
    c.addr = devm_dma(c.d->m, 8192, 16);
    c.control = devm_dma(c.d->m, 64 * 32, 16);
    return c;
}

static void console_free(Console *c)
{
    driver_free(c->d);
    devm_poll(NULL, NULL); /* what is posted for the chardev */
    chardev_remove_all();
    g_unlink(c->path);
    g_free(c->path);
}

static void send_control(Console *c, uint32_t port, uint16_t event, uint16_t value)
{
    uint8_t message[8];
    uint32_t len;
    pci_put32(message, port);
    pci_put16(message + 4, event);
    pci_put16(message + 6, value);
    memcpy(driver_ram(c->d, c->addr), message, 8);
    Seg seg = { c->addr, 8, false };
    int id = dq_add(&c->d->q[CONTROL_OUT], &seg, 1, false);
    dq_kick(&c->d->q[CONTROL_OUT]);
    g_assert_cmpint(dq_take(&c->d->q[CONTROL_OUT], &len), ==, id);
}

static void offer_control(Console *c)
{
    for (unsigned i = 0; i < 8; i++) {
        Seg seg = { c->control + 64 * i, 64, true };
        dq_add(&c->d->q[CONTROL_IN], &seg, 1, false);
    }
    dq_kick(&c->d->q[CONTROL_IN]);
}

/* The n-th control message from the device is this one. */
static void expect_control(Console *c, unsigned n, uint32_t port, uint16_t event, const char *text)
{
    uint32_t len;
    const uint8_t *p = driver_ram(c->d, c->control + 64 * n);
    g_assert_cmpint(dq_take(&c->d->q[CONTROL_IN], &len), >=, 0);
    g_assert_cmpuint(len, ==, 8 + strlen(text));
    g_assert_cmpuint(pci_get32(p), ==, port);
    g_assert_cmpuint(pci_get16(p + 4), ==, event);
    g_assert_cmpuint(pci_get16(p + 6), ==, 1);
    g_assert_cmpmem(p + 8, len - 8, text, strlen(text));
}

static void console_transmit(Console *c, const char *text)
{
    uint32_t len, n = strlen(text);
    memcpy(driver_ram(c->d, c->addr), text, n);
    Seg segs[] = { { c->addr, 1, false }, { c->addr + 1, n - 1, false } };
    int id = dq_add(&c->d->q[TRANSMIT], segs, n > 1 ? 2 : 1, false);
    dq_kick(&c->d->q[TRANSMIT]);
    g_assert_cmpint(dq_take(&c->d->q[TRANSMIT], &len), ==, id);
    g_assert_cmpuint(len, ==, 0);
}

/* What the back end does when the host types. */
static void console_type(Console *c, const char *text)
{
    machine_lock(c->d->m->machine);
    while (*text) {
        size_t room = c->chardev->front.client->can_read(c->chardev->front.opaque), n = MIN(room, strlen(text));
        g_assert_cmpuint(n, >, 0);
        c->chardev->front.client->read(c->chardev->front.opaque, (const uint8_t *)text, n);
        text += n;
    }
    g_assert_cmpuint(c->chardev->front.client->can_read(c->chardev->front.opaque), ==, 0);
    machine_unlock(c->d->m->machine);
}

static void test_console(gconstpointer data)
{
    const Variant *v = data;
    uint32_t len;
    Console c = console_new(v, "virtconsole,chardev=c0,name=tty0");
    driver_start(c.d, variant_features(v), 16);
    offer_control(&c);
    send_control(&c, 0, 0, 1); /* DEVICE_READY */
    expect_control(&c, 0, 0, 1, "");
    send_control(&c, 0, 3, 1); /* PORT_READY */
    expect_control(&c, 1, 0, 4, "");
    expect_control(&c, 2, 0, 7, "tty0");
    expect_control(&c, 3, 0, 6, "");
    DEVM_LOCKED(c.d->m, g_assert_cmpuint(c.chardev->front.client->can_read(c.chardev->front.opaque), ==, 0)); /* not open */
    send_control(&c, 0, 6, 1);                                                                    /* PORT_OPEN */
    send_control(&c, 9, 6, 1);                                                                    /* not there */
    send_control(&c, 0, 99, 1);
    for (unsigned i = 0; i < 100; i++)
        console_transmit(&c, i % 10 == 9 ? "\n" : "hello ");
    Seg in[] = { { c.addr + 4096, 3, true }, { c.addr + 4099, 2, true } };
    for (unsigned round = 0; round < 40; round++) {
        dq_add(&c.d->q[RECEIVE], in, 2, false);
        dq_add(&c.d->q[RECEIVE], in + 1, 1, false);
        dq_kick(&c.d->q[RECEIVE]);
        console_type(&c, "abcdefg");
        g_assert_cmpint(dq_take(&c.d->q[RECEIVE], &len), >=, 0);
        g_assert_cmpuint(len, ==, 5);
        g_assert_cmpint(dq_take(&c.d->q[RECEIVE], &len), >=, 0);
        g_assert_cmpuint(len, ==, 2);
        g_assert_cmpmem(driver_ram(c.d, c.addr + 4096), 5, "abcfg", 5);
    }
    w8(c.d->m, driver_config_addr(c.d, 8), '!'); /* emergency write */
    devm_poll(NULL, NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(c.path, &text, NULL, NULL));
    g_assert_true(g_str_has_prefix(text, "hello hello hello hello hello hello hello hello hello \nhello "));
    g_assert_cmpuint(strlen(text), ==, 90 * 6 + 10 + 1);
    g_assert_cmpint(text[strlen(text) - 1], ==, '!');
    console_free(&c);
}

/* Without multiport there is port 0 and no control queue. */
static void test_console_single(void)
{
    static const Variant v = { .transport = TRANSPORT_MMIO };
    uint32_t len;
    Console c = console_new(&v, "virtconsole,chardev=c0");
    driver_start(c.d, DRIVER_ALL & ~(uint64_t)2, 16);
    console_transmit(&c, "plain");
    Seg in = { c.addr + 4096, 16, true };
    dq_add(&c.d->q[RECEIVE], &in, 1, false);
    dq_kick(&c.d->q[RECEIVE]);
    console_type(&c, "xyz");
    g_assert_cmpint(dq_take(&c.d->q[RECEIVE], &len), >=, 0);
    g_assert_cmpuint(len, ==, 3);
    devm_poll(NULL, NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(c.path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "plain");
    console_free(&c);
}

/* ---- the list ---- */

static void variant_free(gpointer data)
{
    g_free(((Variant *)data)->name);
    g_free(data);
}

static void add_variants(const char *path, void (*test)(gconstpointer data))
{
    static const char *const transports[] = { "mmio", "pci", "msix" };
    for (unsigned i = 0; i < 24; i++) {
        Variant *v = g_new0(Variant, 1);
        *v = (Variant){ .transport = i / 8, .packed = i & 1, .event = i & 2, .indirect = i & 4 };
        v->name = g_strdup_printf("%s/%s%s%s%s", path, transports[i / 8], v->packed ? "-packed" : "-split",
                                  v->event ? "-event" : "", v->indirect ? "-indirect" : "");
        g_test_add_data_func_full(v->name, v, test, variant_free);
    }
}

int main(int argc, char **argv)
{
    static const Transport transports[] = { TRANSPORT_MMIO, TRANSPORT_PCI };
    g_test_init(&argc, &argv, NULL);
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    add_variants("/virtio/interrupts", test_interrupts);
    add_variants("/virtio/console", test_console);
    add_variants("/virtio/blk", test_blk);
    add_variants("/virtio/full-ring", test_full_ring);
    add_variants("/virtio/reset-in-flight", test_reset_in_flight);
    g_test_add_data_func("/virtio/requests/uring", "", test_requests);
    g_test_add_func("/virtio/read-only", test_read_only);
    g_test_add_func("/virtio/block-sizes", test_block_sizes);
    g_test_add_func("/virtio/write-cache", test_write_cache);
    g_test_add_func("/virtio/queue-reenable", test_queue_reenable);
    g_test_add_data_func("/virtio/negotiation/mmio", &transports[0], test_negotiation);
    g_test_add_data_func("/virtio/negotiation/pci", &transports[1], test_negotiation);
    g_test_add_func("/virtio/packed-event", test_packed_event);
    g_test_add_func("/virtio/intx", test_intx);
    g_test_add_func("/virtio/rng-quota", test_rng_quota);
    g_test_add_func("/virtio/console-single", test_console_single);
    return g_test_run();
}
