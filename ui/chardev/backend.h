/*
 * Character devices, internal: what a back end is, and what the core (chardev.c, io.c) does for it.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CHARDEV_BACKEND_H
#define UI_CHARDEV_BACKEND_H

#include "ui/chardev/chardev.h"
#include "util/mainloop.h"
#include <stdbool.h>

typedef struct ChardevType {
    const char *name, *alias, *desc; /* alias may be NULL */
    const char *const *keys;         /* of -chardev, its own, ends with NULL; may be NULL */
    /* Reads its keys, calls chardev_keys_done, then acts; sets in_fd and out_fd, non-blocking. */
    bool (*open)(Chardev *c, Opts *opts, GError **err);
    void (*close)(Chardev *c);                                    /* also after an open that failed; may be NULL */
    size_t (*filter)(Chardev *c, uint8_t *data, size_t len);      /* input on its way, in place; may be NULL */
    size_t (*write)(Chardev *c, const uint8_t *data, size_t len); /* any thread; NULL: chardev_output */
    /* The other end has gone. ended: all its input has been read; else a write failed, or hup_watch saw it. NULL: input
     * just ends. */
    void (*hup)(Chardev *c, bool ended);
    bool hup_watch; /* notice a hang-up also while the front end takes no input */
    /* mux only: chardev_attach; and what chardev_accept_input does on the main loop's thread. */
    bool (*attach)(Chardev *c, Machine *machine, const ChardevClient *client, void *opaque, GError **err);
    void (*accept_input)(Chardev *c);
} ChardevType;

/* A front end that is connected. Its functions take its machine's lock; main loop's thread, lock not held. */
typedef struct ChardevFront {
    Machine *machine;
    const ChardevClient *client; /* NULL: none */
    void *opaque;
    bool opened, focused; /* what it was told last */
} ChardevFront;

size_t front_can_read(ChardevFront *f);
void front_read(ChardevFront *f, const uint8_t *data, size_t len);
void front_event(ChardevFront *f, ChardevEvent event);
void front_writable(ChardevFront *f);
void front_tell_opened(ChardevFront *f, bool opened); /* if it does not know yet */

struct Chardev {
    const ChardevType *type;
    char *id;
    void *state; /* the back end's */
    ChardevFront front;
    bool opened;    /* somebody is at the other end */
    int in_fd;      /* -1: none */
    guint in_watch; /* waits for in_condition on in_fd */
    gint in_condition;
    bool ended;     /* nothing more comes from in_fd */
    bool hung_up;   /* hup_watch has reported */
    bool exclusive; /* chardev_refuse_others */
    gint stalled;   /* atomic: the front end took nothing, chardev_accept_input goes on */
    GMutex lock;    /* guards what follows, and what a type's write needs; mux before its back end */
    int out_fd;     /* -1: output is dropped */
    guint out_watch;
    GByteArray *queue; /* output that did not go at once */
    bool short_write;  /* somebody waits for writable */
    bool broken;       /* a write failed, hup will be called */
    int log_fd;        /* logfile=, -1: none; set before use, not guarded */
};

/* Create from -chardev's keys, with mux=on under a mux. NULL and *err on failure. */
Chardev *chardev_create(const char *backend, const char *id, Opts *opts, GError **err);
/* False and *err if some key was not read, before anything is done that others would notice. */
bool chardev_keys_done(const ChardevType *type, Opts *opts, GError **err);
Chardev *chardev_register(const ChardevType *type, const char *id);
/* New file descriptors (-1: none); the caller closes the old ones after. What was queued is dropped. Main loop's
 * thread. */
void chardev_set_fds(Chardev *c, int in_fd, int out_fd);
void chardev_set_opened(Chardev *c, bool opened);                            /* tells the front end */
void chardev_update_input(void *chardev);                                    /* watch in_fd, or stop */
void chardev_deliver(Chardev *c, const uint8_t *data, size_t len);           /* from filter */
size_t chardev_output(Chardev *c, const void *data, size_t len, bool whole); /* whole: all, whatever the limit */
bool chardev_has_room(Chardev *c);      /* the queue has not reached its limit; else writable will come */
void chardev_finish_output(Chardev *c); /* write what is queued, within reason */
bool chardev_nonblocking(int fd);
Chardev *chardev_mux_new(const char *id, Chardev *base);

extern const ChardevType chardev_null, chardev_stdio, chardev_file, chardev_ringbuf, chardev_pipe, chardev_pty,
    chardev_serial, chardev_socket;

#endif
