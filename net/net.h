/*
 * Network back ends ("netdevs"): where the Ethernet frames of a NIC go on the host. One front end (NIC) each.
 *
 * Frames have no FCS and are at most NET_FRAME_MAX bytes long. Both directions are queues with a bound: net_send says
 * when its one is full, and the front end goes on when writable is called; a front end that has no room says so, and
 * the back end's frames wait until net_accept_input; more than the bound are dropped, as on a wire.
 *
 * Locking: back ends run on the main loop's thread; front-end callbacks are called there with the machine lock held,
 * which the front end holds when it calls net_send and net_accept_input. The rest: main loop's thread.
 * SPDX-License-Identifier: MIT
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "util/options.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define NET_FRAME_MAX (65536 + 18)

typedef struct Netdev Netdev;
typedef struct Machine Machine;

typedef struct NetClient {
    /* A frame from the back end. False: no room now, it comes again after net_accept_input. checked: its checksums are
     * known to be right. */
    bool (*receive)(void *opaque, const uint8_t *frame, size_t len, bool checked);
    void (*received)(void *opaque);      /* after some frames: the time to tell the driver of them. May be NULL */
    void (*writable)(void *opaque);      /* after net_send returned false */
    void (*link)(void *opaque, bool up); /* it was plugged in or pulled. May be NULL */
} NetClient;

/* Devices find netdevs by ID from now on; net_add does it, too. */
void net_init(void);
/* -netdev type,id=ID,...: creates and registers. NULL and *err on failure. */
Netdev *net_add(Opts *opts, GError **err);
Netdev *net_find(const char *id);
bool net_delete(const char *id, GError **err); /* not while a NIC uses it */
void net_remove_all(void);
char *net_help(void);     /* -netdev help. Free with g_free */
char *net_describe(void); /* info network. Free with g_free */
char *net_unused(void);   /* IDs of those without a front end, "'a', 'b'". Free with g_free */
const char *net_id(const Netdev *netdev);

/* Connect the front end; NULL client disconnects. name is whose, for net_describe; machine is whose lock callbacks
 * take. False and *err if another one is connected. Lock held. */
bool net_attach(Netdev *netdev, Machine *machine, const char *name, const NetClient *client, void *opaque,
                GError **err);
/* A frame from the front end, copied. False: the queue is full. A NULL netdev, or one whose link is down, takes all. */
bool net_send(Netdev *netdev, const struct iovec *iov, unsigned count);
/* TCP segments over IPv4 may be as long as a frame can be. */
bool net_takes_large(const Netdev *netdev);
/* The front end has room again. */
void net_accept_input(Netdev *netdev);
/* Pull or plug in the cable. Lock of the front end's machine not held. */
void net_set_link(Netdev *netdev, bool up);
bool net_link_up(const Netdev *netdev); /* any thread */

/* Add a rule as in hostfwd=, or remove it ("tcp:[addr]:port"); id NULL: of the first back end that can. */
bool net_forward(const char *id, const char *rule, bool add, GError **err);

/* MAC addresses 52:54:00:12:34:56 and up: one that no device has, or that is all used up. Lock held. */
void net_mac_choose(uint8_t mac[6]);
void net_mac_claim(const uint8_t mac[6]);
void net_mac_release(const uint8_t mac[6]);

#endif
