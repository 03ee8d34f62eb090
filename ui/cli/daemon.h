/*
 * -daemonize.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CLI_DAEMON_H
#define UI_CLI_DAEMON_H

#include <glib.h>
#include <stdbool.h>

/* Go on in a child, before any thread is made. The parent waits until the child calls daemon_ready (status 0) or ends
 * (1). */
bool daemon_begin(GError **err);
/* The machine is built: let go of the terminal and of the parent. */
void daemon_ready(void);

#endif
