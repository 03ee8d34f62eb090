/*
 * Character devices, internal: what a back end is.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CHARDEV_BACKEND_H
#define UI_CHARDEV_BACKEND_H

#include "ui/chardev/chardev.h"
#include "util/mainloop.h"
#include <stdbool.h>

typedef struct ChardevType {
    const char *name, *desc;
    const char *const *keys;                                 /* of -chardev, ends with NULL */
    bool (*open)(Chardev *c, Opts *opts, GError **err);      /* sets in_fd and out_fd, non-blocking */
    void (*close)(Chardev *c);                               /* may be NULL */
    size_t (*filter)(Chardev *c, uint8_t *data, size_t len); /* input on its way, in place; may be NULL */
} ChardevType;

struct Chardev {
    const ChardevType *type;
    char *id;
    int in_fd, out_fd;
    guint in_watch, out_watch;
    bool ended;
    GMutex lock;       /* leaf: guards queue and out_watch */
    GByteArray *queue; /* output that did not go at once */
    Machine *machine;
    const ChardevClient *client;
    void *opaque;
    bool escape; /* stdio: Ctrl-A was typed */
};

extern const ChardevType chardev_null, chardev_stdio, chardev_file;

#endif
