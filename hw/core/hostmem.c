/*
 * Host memory objects (see hostmem.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/hostmem.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };
static GPtrArray *all; /* HostMemory * */

static bool open_file(HostMemory *m, Opts *opts, GError **err)
{
    const char *path = opts_string(opts, "mem-path", NULL);
    struct stat st;
    if (!path)
        return error_set(err, "mem-path= is missing: a file, or a folder to make an unnamed one in");
    bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    m->fd = folder ? open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    if (m->fd < 0 || fstat(m->fd, &st))
        return error_set_errno(err, errno, "mem-path=%s", path);
    if (!folder && st.st_size && (uint64_t)st.st_size < m->size)
        return error_set(err, "mem-path=%s: the file has %" G_GUINT64_FORMAT " bytes, size= says %" G_GUINT64_FORMAT,
                         path, (uint64_t)st.st_size, m->size);
    if ((uint64_t)st.st_size < m->size && ftruncate(m->fd, m->size))
        return error_set_errno(err, errno, "mem-path=%s: cannot make it %" G_GUINT64_FORMAT " bytes long", path,
                               m->size);
    return true;
}

static bool open_memfd(HostMemory *m, Opts *opts, GError **err)
{
    bool seal = true;
    if (!opts_bool(opts, "seal", &seal, err))
        return false;
    m->fd = memfd_create("guest-memory", MFD_CLOEXEC | (seal ? MFD_ALLOW_SEALING : 0));
    if (m->fd < 0 || ftruncate(m->fd, m->size))
        return error_set_errno(err, errno, "cannot make a memfd of %" G_GUINT64_FORMAT " bytes", m->size);
    if (seal && fcntl(m->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        return error_set_errno(err, errno, "cannot seal the memfd");
    return true;
}

static const char *const file_keys[] = { "mem-path", NULL }, *const memfd_keys[] = { "seal", NULL };
static const struct Type {
    const char *name;
    bool share; /* default */
    const char *const *keys;
    bool (*open)(HostMemory *m, Opts *opts, GError **err);
} types[] = { { "memory-backend-ram", false, NULL, NULL },
              { "memory-backend-file", false, file_keys, open_file },
              { "memory-backend-memfd", true, memfd_keys, open_memfd } };

static const struct Type *find_type(const char *name)
{
    for (unsigned i = 0; name && i < G_N_ELEMENTS(types); i++) {
        if (!strcmp(types[i].name, name))
            return &types[i];
    }
    return NULL;
}

bool hostmem_is_type(const char *name)
{
    return find_type(name);
}

HostMemory *hostmem_find(const char *id)
{
    for (guint i = 0; all && i < all->len; i++) {
        HostMemory *m = all->pdata[i];
        if (!strcmp(m->id, id))
            return m;
    }
    return NULL;
}

HostMemory *hostmem_take(const char *what, const char *id, GError **err)
{
    HostMemory *m = hostmem_find(id);
    if (!m || m->used) {
        error_set(err,
                  m ? "%s%s: this memory is used already" : "%s%s: there is no -object memory-backend-... with this id",
                  what, id);
        return NULL;
    }
    m->used = true;
    return m;
}

static void hostmem_free(HostMemory *m)
{
    if (m->fd >= 0)
        close(m->fd);
    g_free(m->id);
    g_free(m);
}

void hostmem_remove_all(void)
{
    for (guint i = 0; all && i < all->len; i++)
        hostmem_free(all->pdata[i]);
    g_clear_pointer(&all, g_ptr_array_unref);
}

/* merge and dump only advise the host; what they are by default is what they stay. */
static bool read_keys(HostMemory *m, const struct Type *type, Opts *opts, GError **err)
{
    static const char *const common[] = { "qom-type", "id", "size", "share", "prealloc" };
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(common); i++)
        g_ptr_array_add(known, (char *)common[i]);
    for (const char *const *key = type->keys; key && *key; key++)
        g_ptr_array_add(known, (char *)*key);
    g_ptr_array_add(known, NULL);
    m->share = type->share;
    if (!opts_size(opts, "size", &m->size, 1, INT64_MAX, err) || !opts_bool(opts, "share", &m->share, err) ||
        !opts_bool(opts, "prealloc", &m->prealloc, err))
        return false;
    if (!m->size || m->size % PAGE)
        return error_set(err, "size= is needed, a multiple of %u bytes, as in size=512M", PAGE);
    return (!type->open || type->open(m, opts, err)) && opts_finish(opts, (const char *const *)known->pdata, err);
}

bool hostmem_add(Opts *opts, GError **err)
{
    const char *name = opts_string(opts, "qom-type", NULL), *id = opts_string(opts, "id", NULL);
    const struct Type *type = find_type(name);
    if (!id || !*id || hostmem_find(id))
        return error_set(err, "-object %s: an id= that no other has is needed, as in id=mem0", name);
    HostMemory *m = g_new0(HostMemory, 1);
    m->id = g_strdup(id);
    m->fd = -1;
    if (!read_keys(m, type, opts, err)) {
        g_prefix_error(err, "-object %s: ", name);
        hostmem_free(m);
        return false;
    }
    if (!all)
        all = g_ptr_array_new();
    g_ptr_array_add(all, m);
    return true;
}

char *hostmem_describe(void)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; all && i < all->len; i++) {
        const HostMemory *m = all->pdata[i];
        g_string_append_printf(out, "memory backend: %s\n  size: %" G_GUINT64_FORMAT "\n  share: %s\n  prealloc: %s\n",
                               m->id, m->size, m->share ? "true" : "false", m->prealloc ? "true" : "false");
    }
    return g_string_free(out, FALSE);
}
