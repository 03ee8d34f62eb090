/*
 * The telnet protocol (RFC 854, 856, 857, 858) as far as a serial line needs it: binary, a character at a time, echoed
 * by us; and break.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CHARDEV_TELNET_H
#define UI_CHARDEV_TELNET_H

#include "ui/chardev/backend.h"

typedef struct Telnet {
    enum { TELNET_DATA, TELNET_COMMAND, TELNET_OPTION, TELNET_SUB, TELNET_SUB_COMMAND } at; /* where input stands */
} Telnet;

/* A new connection: what is said first. */
void telnet_begin(Telnet *t, int fd);
/* Takes commands out of the input, in place; a break becomes CHARDEV_BREAK, after what came before it. What is left. */
size_t telnet_filter(Telnet *t, Chardev *c, uint8_t *data, size_t len);
size_t telnet_write(Chardev *c, const uint8_t *data, size_t len); /* 255 becomes 255 255 */

#endif
