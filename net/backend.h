/*
 * Network back ends, internal: what one is, and what the core (net.c) does for it.
 * SPDX-License-Identifier: MIT
 */
#ifndef NET_BACKEND_H
#define NET_BACKEND_H

#include "net/net.h"

typedef struct NetdevType {
    const char *name, *desc;
    const char *const *keys; /* of -netdev, its own, ends with NULL; may be NULL */
    bool checked;            /* checksums of the frames that it delivers are right */
    bool large;              /* takes TCP over IPv4 in frames of any length, as a network without an MTU would */
    bool (*open)(Netdev *n, Opts *opts, GError **err);         /* reads its keys, calls net_keys_done, then acts */
    void (*close)(Netdev *n);                                  /* also after an open that failed; may be NULL */
    void (*send)(Netdev *n, const uint8_t *frame, size_t len); /* from the front end; main loop's thread, no lock */
    void (*sent)(Netdev *n); /* after some of them, which may have led to net_deliver. May be NULL */
    /* The monitor's hostfwd_add and hostfwd_remove. NULL: cannot be done */
    bool (*forward)(Netdev *n, const char *rule, bool add, GError **err);
    void (*describe)(Netdev *n, GString *out); /* for info network: ",key=value...". May be NULL */
} NetdevType;

typedef struct NetFrame {
    struct NetFrame *next;
    size_t len;
    uint8_t data[];
} NetFrame;

typedef struct NetQueue {
    NetFrame *head, *tail;
    size_t bytes;
} NetQueue;

struct Netdev {
    const NetdevType *type;
    char *id;
    void *state; /* the back end's */
    Machine *machine;
    const NetClient *client; /* NULL: none */
    void *opaque;
    char *client_name;
    NetQueue in;         /* to the front end; main loop's thread */
    bool down;           /* atomic: the link is */
    bool stalled;        /* atomic: the front end took nothing; net_accept_input goes on */
    uint64_t dropped;    /* frames that in had no room for */
    int64_t time;        /* net_time's last answer */
    GMutex lock;         /* guards what follows */
    NetQueue out;        /* from the front end */
    bool posted, refuse; /* run_out is on its way; writable is to be called */
};

/* What -netdev makes, without it. state is for the back end's. */
Netdev *net_register(const NetdevType *type, const char *id, void *state);
void net_remove(Netdev *n);
/* False and *err if some key was not read. */
bool net_keys_done(const NetdevType *type, Opts *opts, GError **err);
/* A frame for the front end; it goes with net_flush. Main loop's thread, lock not held. */
void net_deliver(Netdev *n, const uint8_t *frame, size_t len);
void net_flush(Netdev *n);
/* False: the front end is behind. A back end that can wait does; it looks again in each turn of the main loop. */
bool net_has_room(const Netdev *n);
/* Nanoseconds that the front end's machine has run; stands still without one. */
int64_t net_time(Netdev *n);

/* A descriptor in the main loop: ready is called with what poll says of it. It is looked at for input while the front
 * end has room (net_has_room), for output while *pending is set. */
typedef struct NetPoll NetPoll;
NetPoll *net_poll_new(Netdev *n, int fd, void (*ready)(Netdev *n, GIOCondition condition), const bool *pending);
void net_poll_free(NetPoll *poll); /* NULL: nothing happens */

extern const NetdevType net_user, net_socket, net_stream, net_dgram, net_tap;

#endif
