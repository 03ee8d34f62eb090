/*
 * Block nodes and queues: files, raw, overlay, direct I/O, locks, what -drive and -blockdev refuse, errors through
 * virtio-blk, queues under load from several threads.
 * SPDX-License-Identifier: MIT
 */
#include "../device/vdriver.h"
#include "block/block.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder; /* of this test's files */

static char *path_of(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* A file of pseudo-random bytes; returns them too. */
static uint8_t *make_file(const char *name, size_t size)
{
    g_autofree char *path = path_of(name);
    uint8_t *data = g_malloc(size + 1);
    uint32_t x = 12345;
    for (size_t i = 0; i < size; i++)
        data[i] = (x = x * 1103515245 + 12345) >> 16;
    g_assert_true(g_file_set_contents(path, (char *)data, size, NULL));
    return data;
}

/* $ in text is the folder. */
static char *expand(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "$", -1);
    return g_strjoinv(folder, parts);
}

static char *add_drive(const char *text)
{
    GError *err = NULL;
    g_autofree char *full = expand(text);
    g_autoptr(Opts) opts = opts_parse("-drive", full, NULL, &err);
    g_assert_no_error(err);
    bool ok = block_add_drive(opts, false, &err);
    g_assert_true(ok == !err);
    char *message = err ? g_strdup(err->message) : NULL;
    g_clear_error(&err);
    return message;
}

static BlockNode *drive(const char *text)
{
    g_autofree char *message = add_drive(text);
    g_assert_cmpstr(message, ==, NULL);
    BlockNode *node = NULL;
    for (const BlockDrive *const *d = block_drives(); *d; d++)
        node = (*d)->node;
    g_assert_nonnull(node);
    return node;
}

static char *add_blockdev(const char *text)
{
    GError *err = NULL;
    g_autofree char *full = expand(text);
    g_autoptr(Opts) opts = opts_parse("-blockdev", full, "driver", &err);
    g_assert_no_error(err);
    BlockNode *node = block_add(opts, &err);
    g_assert_true(!node == !!err);
    char *message = err ? g_strdup(err->message) : NULL;
    g_clear_error(&err);
    return message;
}

static BlockNode *blockdev(const char *text, const char *name)
{
    g_autofree char *message = add_blockdev(text);
    g_assert_cmpstr(message, ==, NULL);
    g_assert_nonnull(block_find(name));
    return block_find(name);
}

static int read_at(BlockNode *node, uint64_t at, void *data, size_t len)
{
    struct iovec iov[] = { { data, len / 3 }, { (char *)data + len / 3, len - len / 3 } };
    return block_read(node, at, iov, 2, len);
}

static int write_at(BlockNode *node, uint64_t at, const void *data, size_t len)
{
    struct iovec iov[] = { { (void *)data, len / 2 }, { (char *)data + len / 2, len - len / 2 } };
    return block_write(node, at, iov, 2, len);
}

/* The node holds these bytes. */
static void check_node(BlockNode *node, const uint8_t *data, size_t len)
{
    g_autofree uint8_t *got = g_malloc(len + 1);
    g_assert_cmpuint(node->size, ==, len);
    g_assert_cmpint(read_at(node, 0, got, len), ==, 0);
    for (size_t i = 0; i < len; i++) {
        if (got[i] != data[i])
            g_error("byte 0x%zx is 0x%02x, not 0x%02x", i, got[i], data[i]);
    }
}

/* ---- one thread ---- */

/* Random operations on a node and on a model. */
static void exercise(BlockNode *node, uint8_t *model, unsigned count, GRand *rand)
{
    g_autofree uint8_t *buf = g_malloc(300000);
    for (unsigned n = 0; n < count; n++) {
        size_t at = g_rand_int_range(rand, 0, node->size), room = node->size - at;
        size_t most = g_rand_int_range(rand, 0, 4) ? 9000 : 299999;
        size_t len = g_rand_int_range(rand, 0, MIN(room, most) + 1);
        switch (g_rand_int_range(rand, 0, 4)) {
        case 0:
            memset(buf, n, len);
            g_assert_cmpint(write_at(node, at, buf, len), ==, 0);
            memset(model + at, n, len);
            break;
        case 1:
            g_assert_cmpint(block_write_zeroes(node, at, len, n & 1), ==, 0);
            memset(model + at, 0, len);
            break;
        default:
            g_assert_cmpint(read_at(node, at, buf, len), ==, 0);
            g_assert_cmpint(memcmp(buf, model + at, len), ==, 0);
        }
    }
    g_assert_cmpint(block_flush(node), ==, 0);
    check_node(node, model, node->size);
}

static void check_limits(BlockNode *node)
{
    uint8_t byte[2] = { 0 };
    g_assert_cmpint(read_at(node, node->size, byte, 0), ==, 0);
    g_assert_cmpint(read_at(node, node->size, byte, 1), ==, EINVAL);
    g_assert_cmpint(read_at(node, node->size - 1, byte, 2), ==, EINVAL);
    g_assert_cmpint(read_at(node, UINT64_MAX, byte, 2), ==, EINVAL);
    g_assert_cmpint(write_at(node, UINT64_MAX - 1, byte, 2), ==, EINVAL);
    g_assert_cmpint(block_write_zeroes(node, node->size, 1, false), ==, EINVAL);
    g_assert_cmpint(block_discard(node, 1, UINT64_MAX), ==, EINVAL);
}

static void test_formats(gconstpointer data)
{
    static const size_t sizes[] = { 1 << 20, 700001, 65536 * 3 + 512, 100, 513 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree uint8_t *model = make_file("disk", sizes[i]), *before = g_memdup2(model, sizes[i]);
        BlockNode *node = drive(data);
        check_limits(node);
        check_node(node, model, sizes[i]);
        exercise(node, model, 400, rand);
        block_close_all();
        bool kept = strstr(data, "snapshot=on");
        g_autofree char *path = path_of("disk"), *file = NULL;
        gsize len;
        g_assert_true(g_file_get_contents(path, &file, &len, NULL));
        g_assert_cmpuint(len, ==, sizes[i]);
        g_assert_cmpint(memcmp(file, kept ? before : model, len), ==, 0);
    }
}

static void test_parts(void)
{
    g_autofree uint8_t *data = make_file("disk", 10000), *model = g_memdup2(data + 1000, 3000);
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    BlockNode *node =
        blockdev("raw,node-name=part,offset=1000,size=3000,file.driver=file,file.filename=$/disk", "part");
    check_limits(node);
    check_node(node, data + 1000, 3000);
    exercise(node, model, 300, rand);
    block_close_all();
    memcpy(data + 1000, model, 3000);
    node = blockdev("raw,node-name=all,file.driver=file,file.filename=$/disk", "all");
    check_node(node, data, 10000);
    block_close_all();
    node = blockdev("raw,node-name=rest,offset=9000,file.driver=file,file.filename=$/disk", "rest");
    check_node(node, data + 9000, 1000);
    block_close_all();
    static const char *const bad[] = { "offset=10001", "offset=1000,size=9001", "size=18446744073709551615,offset=1" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("raw,node-name=x,%s,file.driver=file,file.filename=$/disk", bad[i]);
        g_autofree char *message = add_blockdev(text);
        g_assert_nonnull(strstr(message, "behind the end of the image, which has 10000 bytes"));
    }
}

static void test_read_only(void)
{
    g_autofree uint8_t *data = make_file("disk", 5000);
    uint8_t byte = 0;
    BlockNode *node = drive("file=$/disk,format=raw,readonly=on");
    g_assert_cmpint(write_at(node, 0, &byte, 1), ==, EROFS);
    g_assert_cmpint(block_write_zeroes(node, 0, 1, false), ==, EROFS);
    g_assert_cmpint(block_discard(node, 0, 1), ==, EROFS);
    check_node(node, data, 5000);
    block_close_all();
}

/* Nodes with names at every level: each is known, and closing frees each once. */
static void test_names(void)
{
    g_autofree uint8_t *data = make_file("disk", 5000);
    blockdev("raw,node-name=top,file.driver=file,file.node-name=bottom,file.filename=$/disk", "top");
    BlockNode *bottom = block_find("bottom");
    g_assert_nonnull(bottom);
    check_node(bottom, data, 5000);
    g_autofree char *twice = add_blockdev("raw,node-name=bottom,file=top");
    g_assert_cmpstr(twice, ==, "-blockdev: there is a drive or block node 'bottom' already");
    blockdev("raw,node-name=other,file=bottom", "other");
    check_node(block_find("other"), data, 5000);
    block_close_all();
    g_assert_null(block_find("bottom"));
    /* the upper one fails after the lower one was opened */
    g_autofree char *message =
        add_blockdev("raw,node-name=top,offset=1M,file.driver=file,file.node-name=bottom,file.filename=$/disk");
    g_assert_nonnull(message);
    g_assert_null(block_find("top"));
    block_close_all();
    drive("file=$/disk,format=raw,node-name=named,snapshot=on,id=d");
    check_node(block_find("named"), data, 5000);
    check_node(block_find("d"), data, 5000);
    block_close_all();
    BlockNode *overlay = drive("file=$/disk,format=raw,snapshot=on,aio=threads,detect-zeroes=on");
    g_assert_cmpint(overlay->aio, ==, BLOCK_AIO_THREADS);
    g_assert_cmpint(overlay->detect_zeroes, ==, DETECT_ZEROES_ON);
    block_close_all();
}

/* ---- messages ---- */

static void check_messages(const char *const (*table)[2], unsigned count, char *(*add)(const char *text))
{
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *message = add(table[i][0]), *want = expand(table[i][1]);
        g_assert_cmpstr(message, ==, want);
    }
}

static void test_messages(void)
{
    static const char *const drives[][2] = {
        { "file=$/none,format=raw", "cannot open '$/none' for reading and writing: No such file or directory" },
        { "file=$/none,format=raw,readonly=on", "cannot open '$/none': No such file or directory" },
        { "file=$,format=raw", "cannot open '$' for reading and writing: Is a directory" },
        { "format=raw", "-drive: file= is missing, as in -drive file=disk.img,format=raw" },
        { "file=$/disk,format=rew", "block driver 'rew' is not known; did you mean 'raw'?" },
        { "file=$/disk,format=raw,chache=none", "-drive: unknown key 'chache'; did you mean 'cache'?" },
        { "file=$/disk,format=raw,werror=foo", "-drive: werror: value 'foo' is not known; known are: enospc, report, "
                                               "ignore, stop" },
        { "file=$/qcow", "-drive: '$/qcow' is a qcow2 image, which is not supported yet; format=raw uses it byte by "
                         "byte" },
    };
    static const char *const nodes[][2] = {
        { "file,filename=$/disk", "-blockdev: node-name= is missing" },
        { "raw,node-name=a", "-blockdev: file: which node is it on?" },
        { "raw,node-name=a,file=b", "-blockdev: file: there is no block node 'b'" },
        { "file,node-name=a", "-blockdev: a file name is missing" },
        { "file,node-name=a,filename=$/disk,lokcing=on", "-blockdev: unknown key 'lokcing'; did you mean 'locking'?" },
        { "file,node-name=a,filename=$/disk,detect-zeroes=unmap",
          "-blockdev: detect-zeroes=unmap needs discard=unmap" },
    };
    g_free(make_file("disk", 5000));
    g_autofree char *qcow = path_of("qcow"), *disk = path_of("disk");
    g_assert_true(g_file_set_contents(qcow,
                                      "QFI\xfb"
                                      "0123456789",
                                      -1, NULL));
    check_messages(drives, G_N_ELEMENTS(drives), add_drive);
    check_messages(nodes, G_N_ELEMENTS(nodes), add_blockdev);
    if (geteuid()) { /* root reads everything */
        g_chmod(disk, 0);
        g_autofree char *message = add_drive("file=$/disk,format=raw,readonly=on");
        g_assert_nonnull(strstr(message, "Permission denied"));
        g_chmod(disk, 0600);
    }
    BlockNode *node = drive("file=$/disk,format=raw,id=d");
    g_autofree char *twice = add_drive("file=$/disk,format=raw,id=e"), *id = add_drive("format=null-co,id=d");
    g_assert_nonnull(strstr(twice, "/disk' is in use"));
    g_assert_cmpstr(id, ==, "-drive: there is a drive or block node 'd' already");
    g_autoptr(GError) err = NULL;
    g_assert_true(block_claim(node, "first", NULL));
    g_assert_false(block_claim(node, "second", &err));
    g_assert_cmpstr(err->message, ==, "drive 'd' is in use by 'first'");
    block_release(node);
    block_close_all();
}

/* ---- locks ---- */

static int run_tool(const char *text)
{
    g_autofree char *full = expand(text), *line = g_strdup_printf("%s >/dev/null 2>&1", full);
    return system(line);
}

/* With the reference's tool holding the file, these drives are refused or not. */
static void check_held(const char *tool, const char *text, bool refused)
{
    g_autofree char *full = expand(tool), *line = g_strdup_printf("%s >/dev/null 2>&1", full), *message = NULL;
    FILE *pipe = popen(line, "w"); /* it waits for commands, the file open */
    g_assert_nonnull(pipe);
    for (unsigned i = 0; i < (refused ? 2000 : 5); i++) {
        g_free(message);
        message = add_drive(text);
        block_close_all();
        if (message)
            break;
        g_usleep(50000);
    }
    g_assert_true(!!message == refused);
    g_assert_true(!message || strstr(message, "in use by another process"));
    pclose(pipe);
}

static void test_locks(void)
{
    g_free(make_file("disk", 65536));
    g_autofree char *tool = g_find_program_in_path("qemu-io");
    if (!tool) {
        g_test_skip("no qemu-io");
        return;
    }
    g_assert_cmpint(run_tool("qemu-io -f raw -c 'write 0 512' $/disk"), ==, 0);
    drive("file=$/disk,format=raw");
    g_assert_cmpint(run_tool("qemu-io -f raw -c 'read 0 512' $/disk"), !=, 0);
    g_assert_cmpint(run_tool("qemu-img resize -f raw $/disk 1M"), !=, 0);
    g_assert_cmpint(run_tool("qemu-io -r -f raw -c 'read 0 512' $/disk"), ==, 0); /* as when its own guest writes */
    g_assert_cmpint(run_tool("qemu-img info $/disk"), ==, 0);
    block_close_all();
    drive("file=$/disk,format=raw,readonly=on");
    g_assert_cmpint(run_tool("qemu-io -r -f raw -c 'read 0 512' $/disk"), ==, 0);
    g_assert_cmpint(run_tool("qemu-io -f raw -c 'write 0 512' $/disk"), !=, 0);
    block_close_all();
    drive("file=$/disk,format=raw,snapshot=on"); /* reads only */
    g_assert_cmpint(run_tool("qemu-io -r -f raw -c 'read 0 512' $/disk"), ==, 0);
    block_close_all();
    g_assert_cmpint(run_tool("qemu-io -f raw -c 'write 0 512' $/disk"), ==, 0);
    blockdev("file,node-name=n,filename=$/disk,locking=off", "n");
    g_assert_cmpint(run_tool("qemu-io -f raw -c 'write 0 512' $/disk"), ==, 0);
    block_close_all();
    check_held("qemu-io -f raw $/disk", "file=$/disk,format=raw", true);
    check_held("qemu-io -f raw $/disk", "file=$/disk,format=raw,readonly=on", true);
    check_held("qemu-io -r -f raw $/disk", "file=$/disk,format=raw", false); /* it lets others write */
    check_held("qemu-io -r -f raw $/disk", "file=$/disk,format=raw,readonly=on", false);
}

/* ---- several threads on one node ---- */

enum { THREADS = 4, SHARE = 100003 }; /* bytes of each: clusters are shared */

typedef struct Worker {
    BlockNode *node;
    uint8_t *model; /* its own part */
    uint64_t base;
    unsigned seed;
} Worker;

static gpointer worker_run(gpointer opaque)
{
    Worker *w = opaque;
    g_autoptr(GRand) rand = g_rand_new_with_seed(w->seed);
    g_autofree uint8_t *buf = g_malloc(SHARE);
    for (unsigned n = 0; n < 1500; n++) {
        size_t at = g_rand_int_range(rand, 0, SHARE);
        size_t len = g_rand_int_range(rand, 0, MIN(SHARE - at, 20000) + 1);
        switch (g_rand_int_range(rand, 0, 3)) {
        case 0:
            memset(buf, n ^ w->seed, len);
            g_assert_cmpint(write_at(w->node, w->base + at, buf, len), ==, 0);
            memcpy(w->model + at, buf, len);
            break;
        case 1:
            g_assert_cmpint(block_write_zeroes(w->node, w->base + at, len, true), ==, 0);
            memset(w->model + at, 0, len);
            break;
        default:
            g_assert_cmpint(read_at(w->node, w->base + at, buf, len), ==, 0);
            g_assert_cmpint(memcmp(buf, w->model + at, len), ==, 0);
        }
    }
    return NULL;
}

static void test_threads(gconstpointer data)
{
    g_autofree uint8_t *model = make_file("disk", THREADS * SHARE);
    BlockNode *node = drive(data);
    GThread *threads[THREADS];
    Worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (Worker){ node, model + i * SHARE, i * SHARE, i + 1 };
        threads[i] = g_thread_new("worker", worker_run, &workers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    check_node(node, model, THREADS * SHARE);
    block_close_all();
}

/* ---- queues ---- */

enum { REQUESTS = 24, REQUEST_BYTES = 3000 };

typedef struct QueueTest {
    BlockQueue *queue;
    BlockNode *node;
    struct QueueRequest {
        BlockRequest block;
        struct QueueTest *t;
        struct iovec iov[2];
        uint8_t *data, *model;
        bool busy, writing;
    } requests[REQUESTS];
    unsigned in_flight, done, kicks; /* atomic */
    bool stop;                       /* atomic */
    GRand *rand;                     /* the queue's thread's */
} QueueTest;

static void queue_done(BlockRequest *block, int error)
{
    struct QueueRequest *r = (struct QueueRequest *)block;
    g_assert_cmpint(error, ==, 0);
    if (block->op == BLOCK_OP_READ)
        g_assert_cmpint(memcmp(r->data, r->model, REQUEST_BYTES), ==, 0);
    else if (block->op == BLOCK_OP_WRITE_ZEROES)
        memset(r->model, 0, REQUEST_BYTES);
    r->busy = false;
    __atomic_fetch_add(&r->t->done, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&r->t->in_flight, 1, __ATOMIC_SEQ_CST);
}

static void queue_kicked(void *opaque)
{
    static const BlockOp ops[] = { BLOCK_OP_READ,  BLOCK_OP_READ,  BLOCK_OP_WRITE,
                                   BLOCK_OP_WRITE, BLOCK_OP_FLUSH, BLOCK_OP_WRITE_ZEROES };
    QueueTest *t = opaque;
    __atomic_fetch_add(&t->kicks, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct QueueRequest *r = &t->requests[i];
        if (r->busy)
            continue;
        BlockOp op = ops[g_rand_int_range(t->rand, 0, G_N_ELEMENTS(ops))];
        if (op == BLOCK_OP_WRITE) {
            memset(r->data, g_rand_int(t->rand), REQUEST_BYTES);
            memcpy(r->model, r->data, REQUEST_BYTES);
        }
        r->iov[0] = (struct iovec){ r->data, 1000 };
        r->iov[1] = (struct iovec){ r->data + 1000, REQUEST_BYTES - 1000 };
        r->block = (BlockRequest){ .op = op,
                                   .offset = (uint64_t)i * REQUEST_BYTES,
                                   .length = REQUEST_BYTES,
                                   .iov = r->iov,
                                   .iov_count = 2,
                                   .done = queue_done };
        r->busy = true;
        __atomic_fetch_add(&t->in_flight, 1, __ATOMIC_SEQ_CST);
        block_queue_submit(t->queue, &r->block);
    }
}

static gpointer kicker_run(gpointer opaque)
{
    QueueTest *t = opaque;
    while (!__atomic_load_n(&t->stop, __ATOMIC_SEQ_CST)) {
        block_queue_kick(t->queue);
        g_usleep(20);
    }
    return NULL;
}

/* While it is paused nothing runs. */
static gpointer pauser_run(gpointer opaque)
{
    QueueTest *t = opaque;
    for (unsigned n = 0; !__atomic_load_n(&t->stop, __ATOMIC_SEQ_CST); n++) {
        block_queue_pause(t->queue);
        g_assert_cmpuint(__atomic_load_n(&t->in_flight, __ATOMIC_SEQ_CST), ==, 0);
        unsigned kicks = __atomic_load_n(&t->kicks, __ATOMIC_SEQ_CST);
        block_queue_kick(t->queue);
        if (n % 7 == 0)
            g_usleep(300);
        g_assert_cmpuint(__atomic_load_n(&t->kicks, __ATOMIC_SEQ_CST), ==, kicks);
        g_assert_cmpuint(__atomic_load_n(&t->in_flight, __ATOMIC_SEQ_CST), ==, 0);
        block_queue_resume(t->queue);
        g_usleep(n % 5 * 50);
    }
    return NULL;
}

static void test_queue(gconstpointer data)
{
    GError *err = NULL;
    GThread *threads[4];
    QueueTest t = { .rand = g_rand_new_with_seed(3) };
    g_autofree uint8_t *model = make_file("disk", REQUESTS * REQUEST_BYTES),
                       *buffers = g_memdup2(model, REQUESTS * REQUEST_BYTES);
    t.node = drive(data);
    for (unsigned i = 0; i < REQUESTS; i++) {
        t.requests[i].t = &t;
        t.requests[i].data = buffers + i * REQUEST_BYTES;
        t.requests[i].model = model + i * REQUEST_BYTES;
    }
    t.queue = block_queue_new(t.node, queue_kicked, &t, &err);
    g_assert_no_error(err);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("stress", i < 2 ? kicker_run : pauser_run, &t);
    int64_t limit = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;
    do
        g_usleep(G_USEC_PER_SEC);
    while (__atomic_load_n(&t.done, __ATOMIC_SEQ_CST) <= 100 && g_get_monotonic_time() < limit);
    __atomic_store_n(&t.stop, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    block_queue_pause(t.queue);
    g_assert_cmpuint(t.done, >, 100);
    /* and it still runs after a resume alone */
    unsigned done = t.done;
    block_queue_resume(t.queue);
    limit = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;
    while (__atomic_load_n(&t.done, __ATOMIC_SEQ_CST) == done && g_get_monotonic_time() < limit)
        g_usleep(100);
    block_queue_pause(t.queue);
    g_assert_cmpuint(t.done, >, done);
    block_queue_free(t.queue);
    check_node(t.node, model, REQUESTS * REQUEST_BYTES);
    g_rand_free(t.rand);
    block_close_all();
}

/* ---- errors through virtio-blk ---- */

static int failure;      /* atomic: errno of every request, or 0 */
static unsigned refused; /* atomic: how many failed */

static int fail_rw(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    int error = __atomic_load_n(&failure, __ATOMIC_SEQ_CST);
    if (error)
        __atomic_fetch_add(&refused, 1, __ATOMIC_SEQ_CST);
    return error;
}

static int fail_flush(BlockNode *node)
{
    return fail_rw(node, 0, NULL, 0, 0);
}

static const BlockDriver fail_driver = { .name = "fail", .read = fail_rw, .write = fail_rw, .flush = fail_flush };
static BlockNode fail_node = { .driver = &fail_driver,
                               .name = (char *)"bad",
                               .size = 1 << 20,
                               .refs = 1,
                               .write_cache = true,
                               .on_read_error = ON_ERROR_REPORT };

static void *find_drive(const char *id, GError **err)
{
    return !strcmp(id, "bad") ? &fail_node : block_find(id);
}

typedef struct ErrorTest {
    Driver *d;
    uint64_t addr; /* header, status at 16, data at 512 */
} ErrorTest;

static ErrorTest error_test_new(const char *props)
{
    ErrorTest t = { .d = driver_new(TRANSPORT_MMIO, "virtio-blk", props) };
    t.addr = devm_dma(t.d->m, 4096, 512);
    DEVM_LOCKED(t.d->m, machine_start(t.d->m->machine));
    driver_start(t.d, DRIVER_ALL, 16);
    return t;
}

static void send(ErrorTest *t, uint32_t type, uint64_t sector)
{
    uint8_t *header = driver_ram(t->d, t->addr);
    memset(header, 0, 16);
    header[0] = type;
    memcpy(header + 8, &sector, 8);
    header[16] = 0xee;
    Seg segs[] = { { t->addr, 16, false }, { t->addr + 512, 512, !type }, { t->addr + 16, 1, true } };
    g_assert_cmpint(dq_add(&t->d->q[0], segs, 3, false), >=, 0);
    dq_kick(&t->d->q[0]);
}

static unsigned status(ErrorTest *t)
{
    uint32_t len;
    dq_wait(&t->d->q[0], &len);
    return *driver_ram(t->d, t->addr + 16);
}

static bool has_stopped(void *opaque)
{
    const ErrorTest *t = opaque;
    bool stopped;
    DEVM_LOCKED(t->d->m, stopped = t->d->m->machine->state == RUN_IO_ERROR);
    return stopped;
}

static void fail_with(int error)
{
    __atomic_store_n(&failure, error, __ATOMIC_SEQ_CST);
    __atomic_store_n(&refused, 0, __ATOMIC_SEQ_CST);
}

static void test_report_ignore(void)
{
    ErrorTest t = error_test_new(",drive=bad,werror=report,rerror=ignore");
    fail_with(ENOSPC);
    send(&t, 1, 0);
    g_assert_cmpuint(status(&t), ==, 1);
    send(&t, 0, 0);
    g_assert_cmpuint(status(&t), ==, 0);
    send(&t, 4, 0);
    g_assert_cmpuint(status(&t), ==, 1);
    fail_with(0);
    send(&t, 1, 0);
    g_assert_cmpuint(status(&t), ==, 0);
    devm_poll(NULL, NULL);
    g_assert_cmpint(t.d->m->machine->state, ==, RUN_RUNNING);
    driver_free(t.d);
    t = error_test_new(",drive=bad"); /* enospc: other errors are reported */
    fail_with(EIO);
    send(&t, 1, 0);
    g_assert_cmpuint(status(&t), ==, 1);
    send(&t, 0, 0);
    g_assert_cmpuint(status(&t), ==, 1);
    driver_free(t.d);
}

static void test_stop_and_go(gconstpointer data)
{
    uint32_t len;
    ErrorTest t = error_test_new(data);
    for (unsigned i = 0; i < 5; i++) {
        fail_with(ENOSPC);
        send(&t, 1, i);
        while (!__atomic_load_n(&refused, __ATOMIC_SEQ_CST))
            g_usleep(10);
        for (unsigned n = 0; n < 20; n++) { /* it is not tried again before the machine goes on */
            driver_notify(t.d, 0);
            g_usleep(100);
        }
        g_assert_cmpuint(__atomic_load_n(&refused, __ATOMIC_SEQ_CST), ==, 1);
        devm_poll(has_stopped, &t);
        g_assert_cmpint(dq_take(&t.d->q[0], &len), ==, -1);
        if (i == 1) { /* still no space: it stops once more */
            DEVM_LOCKED(t.d->m, machine_start(t.d->m->machine));
            devm_poll(has_stopped, &t);
        }
        fail_with(0);
        if (i == 3) { /* a reset forgets it */
            driver_start(t.d, DRIVER_ALL, 16);
            send(&t, 1, i);
        }
        DEVM_LOCKED(t.d->m, machine_start(t.d->m->machine));
        g_assert_cmpuint(status(&t), ==, 0);
        g_assert_cmpint(dq_take(&t.d->q[0], &len), ==, -1);
    }
    fail_with(ENOSPC); /* freed while one is waiting */
    send(&t, 1, 0);
    devm_poll(has_stopped, &t);
    driver_free(t.d);
}

/* A file system that is really full. */
static void test_full_disk(void)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", folder, "tmpfs", 0, "size=64k")) {
        g_test_skip("cannot mount a small file system");
        return;
    }
    g_autofree char *path = path_of("small");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    g_assert_cmpint(ftruncate(fd, 1 << 20), ==, 0);
    close(fd);
    drive("file=$/small,format=raw,id=small,werror=report");
    ErrorTest t = error_test_new(",drive=small");
    unsigned failed = 0;
    for (unsigned i = 0; i < 64; i++) {
        send(&t, 1, i * 32);
        failed += status(&t);
        send(&t, 0, i * 32);
        g_assert_cmpuint(status(&t), ==, 0);
    }
    g_assert_cmpuint(failed, >, 32);
    g_assert_cmpuint(failed, <, 64);
    driver_free(t.d);
    block_close_all();
    g_unlink(path);
    g_assert_cmpint(umount(folder), ==, 0);
}

int main(int argc, char **argv)
{
    static const char *const drives[] = { "file=$/disk,format=raw",
                                          "file=$/disk,format=raw,snapshot=on",
                                          "file=$/disk,format=raw,cache=none",
                                          "file=$/disk,format=raw,cache=none,snapshot=on",
                                          "file=$/disk,format=raw,discard=unmap,detect-zeroes=unmap",
                                          "file=$/disk,format=raw,cache=writethrough,aio=threads" };
    static const char *const queues[] = { "file=$/disk,format=raw,aio=threads", "file=$/disk,format=raw,aio=io_uring",
                                          "file=$/disk,format=raw,snapshot=on",
                                          "file=$/disk,format=raw,snapshot=on,aio=threads",
                                          "file=$/disk,format=raw,cache=none,detect-zeroes=on" };
    g_test_init(&argc, &argv, NULL);
    device_set_resolver(PROP_DRIVE, find_drive, NULL);
    folder = g_dir_make_tmp("rhea-block-XXXXXX", NULL);
    g_assert_nonnull(folder);
    for (unsigned i = 0; i < G_N_ELEMENTS(drives); i++) {
        g_autofree char *format = g_strdup_printf("/block/format/%s", drives[i] + 7),
                        *threads = g_strdup_printf("/block/threads/%s", drives[i] + 7);
        g_test_add_data_func(format, drives[i], test_formats);
        g_test_add_data_func(threads, drives[i], test_threads);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(queues); i++) {
        g_autofree char *path = g_strdup_printf("/block/queue/%s", queues[i] + 7);
        g_test_add_data_func(path, queues[i], test_queue);
    }
    g_test_add_func("/block/parts", test_parts);
    g_test_add_func("/block/read-only", test_read_only);
    g_test_add_func("/block/names", test_names);
    g_test_add_func("/block/messages", test_messages);
    g_test_add_func("/block/locks", test_locks);
    g_test_add_func("/block/errors/report-ignore", test_report_ignore);
    g_test_add_data_func("/block/errors/stop", ",drive=bad,werror=stop", test_stop_and_go);
    g_test_add_data_func("/block/errors/enospc", ",drive=bad", test_stop_and_go);
    g_test_add_func("/block/errors/full-disk", test_full_disk);
    int result = g_test_run();
    g_autofree char *disk = path_of("disk"), *qcow = path_of("qcow");
    g_unlink(disk);
    g_unlink(qcow);
    g_rmdir(folder);
    g_free(folder);
    return result;
}
