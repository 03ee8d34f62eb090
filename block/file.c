/*
 * Protocol "file": a host file or block device.
 *
 * Two descriptors where the page cache is to be bypassed: requests whose place or memory O_DIRECT does not take go
 * through the other. Locks are byte ranges of the file, where the reference's tools have theirs, so that both refuse
 * what the other uses: byte 100 + p says that permission p is in use, byte 200 + p that nobody else may have it.
 * SPDX-License-Identifier: MIT
 */
#include "block/drivers.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct FileState {
    int fd, direct_fd;                  /* direct_fd: -1 unless cache.direct=on */
    unsigned alignment;                 /* of memory, offset and length for direct_fd */
    bool device, can_discard, can_zero; /* can_*: atomic, any thread finds out */
} FileState;

/* ---- locks ---- */

enum { LOCK_USED = 100, LOCK_UNSHARED = 200 };
enum { PERMISSION_READ = 0, PERMISSION_WRITE = 1, PERMISSION_RESIZE = 3 };

static bool set_lock(int fd, int command, short type, off_t at, struct flock *out)
{
    *out = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
    return !fcntl(fd, command, out);
}

/* False if another process uses the file in a way that excludes ours. File systems without locks are let pass. */
static bool lock_file(int fd, const char *path, bool write, GError **err)
{
    const int readers[] = { LOCK_USED + PERMISSION_READ, LOCK_UNSHARED + PERMISSION_WRITE,
                            LOCK_UNSHARED + PERMISSION_RESIZE },
              writers[] = { LOCK_USED + PERMISSION_WRITE, LOCK_USED + PERMISSION_RESIZE };
    const int conflicts[] = { LOCK_UNSHARED + PERMISSION_READ, LOCK_USED + PERMISSION_WRITE,
                              LOCK_USED + PERMISSION_RESIZE },
              write_conflicts[] = { LOCK_UNSHARED + PERMISSION_WRITE, LOCK_UNSHARED + PERMISSION_RESIZE };
    struct flock lock;
    bool ok = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(readers); i++)
        ok = ok && set_lock(fd, F_OFD_SETLK, F_RDLCK, readers[i], &lock);
    for (unsigned i = 0; write && i < G_N_ELEMENTS(writers); i++)
        ok = ok && set_lock(fd, F_OFD_SETLK, F_RDLCK, writers[i], &lock);
    if (!ok)
        return errno != EAGAIN && errno != EACCES ? true : error_set(err, "'%s' is locked by another process", path);
    for (unsigned i = 0; i < G_N_ELEMENTS(conflicts); i++)
        ok = ok && (!set_lock(fd, F_OFD_GETLK, F_WRLCK, conflicts[i], &lock) || lock.l_type == F_UNLCK);
    for (unsigned i = 0; write && i < G_N_ELEMENTS(write_conflicts); i++)
        ok = ok && (!set_lock(fd, F_OFD_GETLK, F_WRLCK, write_conflicts[i], &lock) || lock.l_type == F_UNLCK);
    return ok || error_set(err, "'%s' is in use by another process (%s; locking=off overrides)", path,
                           write ? "it cannot be written by two" : "which writes to it");
}

/* ---- open ---- */

static bool get_size(int fd, const char *path, bool *device, uint64_t *size, GError **err)
{
    struct stat st;
    if (fstat(fd, &st))
        return error_set_errno(err, errno, "'%s'", path);
    *device = S_ISBLK(st.st_mode);
    if (S_ISDIR(st.st_mode))
        return error_set(err, "'%s' is a folder, not an image", path);
    if (S_ISREG(st.st_mode))
        *size = st.st_size;
    else if (!*device || ioctl(fd, BLKGETSIZE64, size))
        return error_set(err, "'%s' is neither a file nor a block device", path);
    return true;
}

static bool open_direct(FileState *s, const char *path, int flags, GError **err)
{
    struct statx x;
    s->direct_fd = open(path, flags | O_DIRECT);
    if (s->direct_fd < 0)
        return error_set_errno(err, errno, "cannot open '%s' with cache.direct=on", path);
    s->alignment = 4096;
#ifdef STATX_DIOALIGN
    if (!statx(s->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &x) && x.stx_mask & STATX_DIOALIGN &&
        x.stx_dio_offset_align)
        s->alignment = MAX(x.stx_dio_mem_align, x.stx_dio_offset_align);
#else
    (void)x;
#endif
    return true;
}

static bool file_open(BlockNode *node, Opts *opts, GError **err)
{
    static const char *const lock_names[] = { "auto", "on", "off", NULL };
    FileState *s = node->state;
    const char *path = opts_string(opts, "filename", NULL);
    bool direct = false;
    unsigned locking = 0;
    int flags = O_CLOEXEC | (node->read_only ? O_RDONLY : O_RDWR);
    s->fd = s->direct_fd = -1;
    if (!path || !*path)
        return error_set(err, "%s: a file name is missing", opts_name(opts));
    if (!opts_bool(opts, "cache.direct", &direct, err) || !opts_enum(opts, "locking", lock_names, &locking, err))
        return false;
    s->fd = open(path, flags);
    if (s->fd < 0)
        return error_set_errno(err, errno, "cannot open '%s'%s", path,
                               node->read_only ? "" : " for reading and writing");
    if (!get_size(s->fd, path, &s->device, &node->size, err) || (direct && !open_direct(s, path, flags, err)))
        return false;
    s->can_discard = s->can_zero = true;
    return locking == 2 || lock_file(s->fd, path, !node->read_only, err);
}

static void file_close(BlockNode *node)
{
    FileState *s = node->state;
    if (s->fd >= 0)
        close(s->fd);
    if (s->direct_fd >= 0)
        close(s->direct_fd);
}

/* ---- transfers ---- */

static bool is_aligned(const FileState *s, uint64_t offset, const struct iovec *iov, unsigned count)
{
    uint64_t bits = offset;
    for (unsigned i = 0; i < count; i++)
        bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return !(bits & (s->alignment - 1));
}

static int zero_fill(const struct iovec *iov, unsigned count, uint64_t done)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t skip = MIN(done, iov[i].iov_len);
        memset((char *)iov[i].iov_base + skip, 0, iov[i].iov_len - skip);
        done -= skip;
    }
    return 0;
}

/* Move all bytes, however many calls it takes. What a file lacks at its end reads as zero. */
static int transfer(BlockNode *node, bool write, uint64_t offset, const struct iovec *iov, unsigned count,
                    uint64_t length)
{
    const FileState *s = node->state;
    int fd = s->direct_fd >= 0 && is_aligned(s, offset, iov, count) ? s->direct_fd : s->fd;
    g_autofree struct iovec *rest = g_memdup2(iov, count * sizeof(*iov));
    uint64_t done = 0;
    unsigned first = 0;
    while (done < length) {
        unsigned n = MIN(count - first, IOV_MAX);
        ssize_t moved =
            write ? pwritev(fd, rest + first, n, offset + done) : preadv(fd, rest + first, n, offset + done);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0 && errno == EINVAL && fd == s->direct_fd) {
            fd = s->fd;
            continue;
        }
        if (moved < 0)
            return errno;
        if (!moved)
            return write ? ENOSPC : zero_fill(iov, count, done);
        done += moved;
        for (; first < count && (size_t)moved >= rest[first].iov_len; first++)
            moved -= rest[first].iov_len;
        if (moved) {
            rest[first].iov_base = (char *)rest[first].iov_base + moved;
            rest[first].iov_len -= moved;
        }
    }
    return 0;
}

static int file_read(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return transfer(node, false, offset, iov, count, length);
}

static int file_write(BlockNode *node, uint64_t offset, const struct iovec *iov, unsigned count, uint64_t length)
{
    return transfer(node, true, offset, iov, count, length);
}

static int file_flush(BlockNode *node)
{
    return fdatasync(((FileState *)node->state)->fd) ? errno : 0;
}

static int file_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    FileState *s = node->state;
    uint64_t range[] = { offset, length };
    if (!__atomic_load_n(&s->can_discard, __ATOMIC_RELAXED))
        return 0;
    int failed = s->device ? ioctl(s->fd, BLKDISCARD, range)
                           : fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    if (failed && (errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS))
        __atomic_store_n(&s->can_discard, false, __ATOMIC_RELAXED); /* it was but advice */
    else if (failed)
        return errno;
    return 0;
}

/* EOPNOTSUPP: by writing zeros. */
static int file_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, bool unmap)
{
    FileState *s = node->state;
    uint64_t range[] = { offset, length };
    if (!s->device && unmap && !fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length))
        return 0;
    if (!__atomic_load_n(&s->can_zero, __ATOMIC_RELAXED))
        return EOPNOTSUPP;
    if (s->device ? !ioctl(s->fd, BLKZEROOUT, range) : !fallocate(s->fd, FALLOC_FL_ZERO_RANGE, offset, length))
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOTTY && errno != ENOSYS)
        return errno;
    __atomic_store_n(&s->can_zero, false, __ATOMIC_RELAXED);
    return EOPNOTSUPP;
}

static bool file_map(BlockNode *node, uint64_t offset, uint64_t length, bool write, BlockMapping *m)
{
    const FileState *s = node->state;
    if (s->direct_fd >= 0)
        return false; /* the memory's alignment decides which descriptor: see transfer */
    *m = (BlockMapping){ s->fd, offset, length };
    return true;
}

const BlockDriver block_file_driver = {
    .name = "file",
    .desc = "a host file or block device: filename=, cache.direct=, locking=auto|on|off, aio=threads|io_uring",
    .keys = (const char *const[]){ "filename", "cache.direct", "locking", NULL },
    .state_size = sizeof(FileState),
    .protocol = true,
    .open = file_open,
    .close = file_close,
    .read = file_read,
    .write = file_write,
    .flush = file_flush,
    .discard = file_discard,
    .write_zeroes = file_write_zeroes,
    .map = file_map,
};
