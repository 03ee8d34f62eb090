/*
 * The main loop: the default GMainContext. Threads hand work to it; nothing here nests.
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_MAINLOOP_H
#define UTIL_MAINLOOP_H

#include <glib.h>

/* Run until mainloop_quit; returns the status given to it. */
int mainloop_run(void);
/* Any thread, and signal handlers' GSources. The first status wins. */
void mainloop_quit(int status);
/* Call fn(opaque) on the main loop's thread, soon, in order of posting. Any thread. */
void mainloop_post(void (*fn)(void *opaque), void *opaque);
/* Forget what was posted with this opaque and has not begun. Then opaque may be freed. On the main loop's thread. */
void mainloop_cancel(void *opaque);

#endif
