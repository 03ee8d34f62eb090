/*
 * Consoles: what a display device shows. The device draws rows of pixels; the core finds out what has changed and tells
 * listeners (a window) of the rectangles.
 *
 * A device draws only when somebody looks (ConsoleOps.refresh). Guests write to video memory at full speed: nothing is
 * logged there; a row that is drawn again is compared with what it showed. All functions run under the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_DISPLAY_CONSOLE_H
#define UI_DISPLAY_CONSOLE_H

#include "hw/core/device.h"

#define CONSOLE_MAX_SIZE 16384 /* pixels in each direction */

typedef struct Console Console;

/* Pixels 0x00RRGGBB, in host byte order, rows one after another. */
typedef struct Surface {
    unsigned width, height;
    uint32_t *pixels;
} Surface;

typedef struct ConsoleOps {
    /* Draw it: console_resize, then console_put_row for each row (or for those that may have changed). */
    void (*refresh)(void *opaque);
} ConsoleOps;

typedef struct ConsoleListener {
    void (*resized)(struct ConsoleListener *listener, const Surface *surface);
    void (*updated)(struct ConsoleListener *listener, const Surface *surface, unsigned x, unsigned y, unsigned width,
                    unsigned height);
} ConsoleListener;

/* ---- for devices: new in realize, free in unrealize ---- */
Console *console_new(Device *owner, const ConsoleOps *ops, void *opaque);
void console_free(Console *console);
/* Sizes outside 1 to CONSOLE_MAX_SIZE are brought there. A change makes all of it black. */
void console_resize(Console *console, unsigned width, unsigned height);
/* Row y (nothing happens behind the last one) shows these pixels, as many as the surface is wide; bits 24-31 do not
 * count. */
void console_put_row(Console *console, unsigned y, const uint32_t *pixels);

/* ---- for who looks ---- */
/* Of the device with this id; NULL: the machine's first. NULL and *err if there is none. */
Console *console_find(Machine *machine, const char *device, GError **err);
/* Have the device draw, tell listeners. */
void console_refresh(Console *console);
const Surface *console_surface(const Console *console);
Device *console_owner(const Console *console);
/* Is told at once of the size and of all pixels. */
void console_add_listener(Console *console, ConsoleListener *listener);
void console_del_listener(Console *console, ConsoleListener *listener);

#endif
