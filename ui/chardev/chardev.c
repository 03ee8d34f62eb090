/*
 * Character devices: the registry and -chardev (see chardev.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/device.h"
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const ChardevType *const types[] = { &chardev_null,    &chardev_stdio,  &chardev_file,
                                            &chardev_ringbuf, &chardev_pipe,   &chardev_pty,
                                            &chardev_serial,  &chardev_socket, NULL };
static GPtrArray *all; /* Chardev *; main loop's thread */

static void *find_by_id(const char *id, GError **err)
{
    Chardev *c = chardev_find(id);
    if (!c)
        error_set(err, "there is no -chardev with id '%s'", id);
    return c;
}

static const char *name_of(const void *object)
{
    return ((const Chardev *)object)->id;
}

Chardev *chardev_register(const ChardevType *type, const char *id)
{
    if (!all) {
        all = g_ptr_array_new();
        device_set_resolver(PROP_CHARDEV, find_by_id, name_of);
    }
    Chardev *c = g_new0(Chardev, 1);
    c->type = type;
    c->id = g_strdup(id);
    c->in_fd = c->out_fd = c->log_fd = -1;
    c->opened = true;
    c->queue = g_byte_array_new();
    g_mutex_init(&c->lock);
    g_ptr_array_add(all, c);
    return c;
}

static void chardev_close(Chardev *c)
{
    if (c->in_watch)
        g_source_remove(c->in_watch);
    if (c->out_watch)
        g_source_remove(c->out_watch);
    mainloop_cancel(c);
    chardev_finish_output(c);
    if (c->type->close)
        c->type->close(c);
    if (c->log_fd >= 0)
        close(c->log_fd);
    g_byte_array_free(c->queue, TRUE);
    g_mutex_clear(&c->lock);
    g_free(c->id);
    g_free(c);
}

void chardev_refuse_others(Chardev *chardev)
{
    chardev->exclusive = true;
}

void chardev_remove(Chardev *chardev)
{
    g_ptr_array_remove(all, chardev);
    chardev_close(chardev);
}

void chardev_remove_all(void)
{
    for (guint i = 0; all && i < all->len; i++)
        chardev_close(all->pdata[i]);
    if (all)
        g_ptr_array_set_size(all, 0);
    chardev_restore_terminal();
}

Chardev *chardev_find(const char *id)
{
    for (guint i = 0; all && i < all->len; i++) {
        Chardev *c = all->pdata[i];
        if (!strcmp(c->id, id))
            return c;
    }
    return NULL;
}

bool chardev_is_mux(const Chardev *chardev)
{
    return chardev->type->attach;
}

const char *chardev_id(const Chardev *chardev)
{
    return chardev->id;
}

char *chardev_help(void)
{
    GString *out = g_string_new("Available chardev backend types:\n");
    for (const ChardevType *const *t = types; *t; t++)
        g_string_append_printf(out, "  %-8s %s\n", (*t)->name, (*t)->desc);
    return g_string_free(out, FALSE);
}

static const ChardevType *find_type(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const ChardevType *const *t = types; *t; t++) {
        if (!strcmp((*t)->name, name) || ((*t)->alias && !strcmp((*t)->alias, name)))
            return *t;
        g_ptr_array_add(names, (char *)(*t)->name);
        if ((*t)->alias)
            g_ptr_array_add(names, (char *)(*t)->alias);
    }
    g_ptr_array_add(names, NULL);
    error_unknown_name(err, "-chardev: back end", name, (const char *const *)names->pdata);
    return NULL;
}

bool chardev_keys_done(const ChardevType *type, Opts *opts, GError **err)
{
    static const char *const common[] = { "backend", "id", "mux", "logfile", "logappend" };
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    for (const char *const *key = type->keys; key && *key; key++)
        g_ptr_array_add(keys, (char *)*key);
    for (unsigned i = 0; i < G_N_ELEMENTS(common); i++)
        g_ptr_array_add(keys, (char *)common[i]);
    g_ptr_array_add(keys, NULL);
    return opts_finish(opts, (const char *const *)keys->pdata, err);
}

static bool open_log(Chardev *c, const char *path, bool append, GError **err)
{
    if (path)
        c->log_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | (append ? O_APPEND : O_TRUNC), 0644);
    return !path || c->log_fd >= 0 || error_set_errno(err, errno, "-chardev: logfile: cannot open '%s'", path);
}

Chardev *chardev_create(const char *backend, const char *id, Opts *opts, GError **err)
{
    const ChardevType *type = find_type(backend, err);
    const char *log = opts_string(opts, "logfile", NULL);
    bool mux = false, append = false;
    if (!type || !opts_bool(opts, "mux", &mux, err) || (log && !opts_bool(opts, "logappend", &append, err)))
        return NULL;
    g_autofree char *name = mux ? g_strdup_printf("%s-base", id) : g_strdup(id);
    if (chardev_find(id) || chardev_find(name)) {
        error_set(err, "-chardev: there is a character device '%s' already", id);
        return NULL;
    }
    Chardev *c = chardev_register(type, name);
    if (type->open(c, opts, err) && chardev_keys_done(type, opts, err) && open_log(c, log, append, err))
        return mux ? chardev_mux_new(id, c) : c;
    g_ptr_array_remove(all, c);
    chardev_close(c);
    return NULL;
}

Chardev *chardev_add(Opts *opts, GError **err)
{
    const char *backend = opts_string(opts, "backend", NULL), *id = opts_string(opts, "id", NULL);
    if (!backend || !id) {
        error_set(err, "-chardev: needs a back end and an id, as in -chardev file,id=log,path=log.txt");
        return NULL;
    }
    return chardev_create(backend, id, opts, err);
}
