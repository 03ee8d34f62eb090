/*
 * Character devices: where bytes of serial ports, consoles and monitors go on the host. Back ends: null, stdio, file,
 * pipe, pty, serial, socket (tcp, unix, server, telnet), ringbuf. One front end each; mux=on: several.
 *
 * Locking: back ends run on the main loop's thread; front-end callbacks are called there with the machine lock held.
 * chardev_write may be called from any thread; it never blocks on a slow peer: what cannot be written at once is queued
 * up to a limit, then chardev_write takes less than len (the front end retries when writable is called).
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CHARDEV_H
#define UI_CHARDEV_H

#include "util/options.h"
#include <glib.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Chardev Chardev;
typedef struct Machine Machine;
typedef enum { CHARDEV_OPENED, CHARDEV_CLOSED, CHARDEV_BREAK, CHARDEV_MUX_IN, CHARDEV_MUX_OUT } ChardevEvent;

typedef struct ChardevClient {
    size_t (*can_read)(void *opaque);                            /* bytes it takes now */
    void (*read)(void *opaque, const uint8_t *data, size_t len); /* at most can_read bytes */
    void (*event)(void *opaque, ChardevEvent event);             /* may be NULL */
    void (*writable)(void *opaque);                              /* after a short write; may be NULL */
} ChardevClient;

/* -chardev backend,id=ID,...: creates and registers under its id. NULL and *err on failure. */
Chardev *chardev_add(Opts *opts, GError **err);
/* The short forms of -serial and -monitor ("stdio", "mon:stdio", "file:x", "tcp:...", "chardev:ID", "none", "null"
 * ...). label becomes its id. *out is NULL for "none". */
bool chardev_from_short(const char *label, const char *text, Chardev **out, GError **err);
Chardev *chardev_find(const char *id);
/* A server is to turn away who comes while somebody is there, not to let them wait. Before it is attached. */
void chardev_refuse_others(Chardev *chardev);
/* No front end is connected, none will be; not a mux. Not from its own callbacks. */
void chardev_remove(Chardev *chardev);
void chardev_remove_all(void); /* flushes, closes, restores the terminal */
char *chardev_help(void);

/* Connect the front end. machine (may be NULL) is whose lock callbacks take. False if taken. The caller may hold that
 * lock: CHARDEV_OPENED comes later, from the main loop, if the other end is there. A mux takes up to 4 front ends; the
 * one connected last has the focus. NULL client disconnects: at a mux the one with this opaque (NULL: the last one that
 * has a machine, or if none has, the last). Main loop's thread. */
bool chardev_attach(Chardev *chardev, Machine *machine, const ChardevClient *client, void *opaque, GError **err);
size_t chardev_write(Chardev *chardev, const void *data, size_t len); /* any thread; NULL chardev swallows all */
void chardev_accept_input(Chardev *chardev);                          /* can_read has grown */
const char *chardev_id(const Chardev *chardev);
/* It is shared (mux=on): front ends hear CHARDEV_MUX_IN and CHARDEV_MUX_OUT when they get and lose the focus. */
bool chardev_is_mux(const Chardev *chardev);
/* Put the terminal back as it was; safe in a signal handler and at exit, any number of times. */
void chardev_restore_terminal(void);

/* mux=on and mon: (mux.c). The escape key, 1 (Ctrl-A) unless changed; -1: none. */
void chardev_set_escape(int c);
/* What the escape key and s does: save all disk data. Called on the main loop's thread without a lock. */
void chardev_set_sync(void (*sync)(void));
/* ringbuf: take up to len bytes out, the oldest first; how many there were. 0 for any other back end. Any thread. */
size_t chardev_ringbuf_read(Chardev *chardev, void *buf, size_t len);
bool chardev_is_ringbuf(const Chardev *chardev);

#endif
