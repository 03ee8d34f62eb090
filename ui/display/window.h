/*
 * Windows: what -display opens.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_DISPLAY_WINDOW_H
#define UI_DISPLAY_WINDOW_H

#include "hw/core/machine.h"

/* A window on the machine's first display device, with keyboard and mouse. On the main loop's thread, before it runs;
 * without the machine lock. False and *err: there is no such device, or no screen. */
bool display_open(Machine *machine, const char *name, GError **err);
/* Before the machine is freed. */
void display_close(void);
/* Is this a name that -display takes? Else *err says which are. */
bool display_check(const char *name, GError **err);
char *display_help(void);

#ifdef HAVE_SDL
/* window_sdl.c */
bool sdl_window_open(Machine *machine, GError **err);
void sdl_window_close(void);
#endif

#endif
