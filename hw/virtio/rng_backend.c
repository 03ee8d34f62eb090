/*
 * Sources of random numbers (see rng_backend.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/rng_backend.h"
#include "util/error.h"
#include "util/guest_random.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct RngBackend {
    char *id;
    int fd; /* -1: guest_random */
    bool ended;
};

static GPtrArray *all; /* RngBackend * */

bool rng_backend_is_type(const char *type)
{
    return !strcmp(type, "rng-builtin") || !strcmp(type, "rng-random");
}

static RngBackend *find(const char *id)
{
    for (guint i = 0; all && i < all->len; i++) {
        RngBackend *b = all->pdata[i];
        if (!strcmp(b->id, id))
            return b;
    }
    return NULL;
}

RngBackend *rng_backend_find(const char *id, GError **err)
{
    RngBackend *b = find(id);
    if (!b)
        error_set(err, "rng=%s: there is no -object rng-builtin or rng-random with this id", id);
    return b;
}

static int open_source(const char *path, GError **err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        error_set_errno(err, errno, "-object rng-random: filename=%s", path);
    } else if (!S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode)) {
        error_set(err, "-object rng-random: filename=%s: a device or a pipe is needed, as /dev/urandom", path);
        close(fd);
        fd = -1;
    }
    return fd;
}

bool rng_backend_add(Opts *opts, GError **err)
{
    static const char *const builtin[] = { "qom-type", "id", NULL }, *const random[] = { "qom-type", "id", "filename",
                                                                                         NULL };
    const char *type = opts_string(opts, "qom-type", ""), *id = opts_string(opts, "id", NULL);
    bool from_file = !strcmp(type, "rng-random");
    if (!id || !*id || find(id))
        return error_set(err, "-object %s: an id= that no other has is needed, as in id=rng0", type);
    const char *path = from_file ? opts_string(opts, "filename", "/dev/urandom") : NULL;
    if (!opts_finish(opts, from_file ? random : builtin, err))
        return false;
    int fd = path ? open_source(path, err) : -1;
    if (path && fd < 0)
        return false;
    RngBackend *b = g_new0(RngBackend, 1);
    b->id = g_strdup(id);
    b->fd = fd;
    if (!all)
        all = g_ptr_array_new();
    g_ptr_array_add(all, b);
    return true;
}

size_t rng_backend_read(RngBackend *b, void *buf, size_t len)
{
    ssize_t n = b && b->fd >= 0 ? read(b->fd, buf, len) : (ssize_t)guest_random(buf, MIN(len, 256 << 10));
    if (b && b->fd >= 0)
        b->ended = !n || (n < 0 && errno != EAGAIN && errno != EINTR);
    return MAX(n, 0);
}

int rng_backend_fd(const RngBackend *b)
{
    return b && !b->ended ? b->fd : -1;
}

void rng_backend_remove_all(void)
{
    for (guint i = 0; all && i < all->len; i++) {
        RngBackend *b = all->pdata[i];
        if (b->fd >= 0)
            close(b->fd);
        g_free(b->id);
        g_free(b);
    }
    g_clear_pointer(&all, g_ptr_array_unref);
}
