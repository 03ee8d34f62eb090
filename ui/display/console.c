/*
 * Consoles (see console.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/display/console.h"
#include "hw/core/machine.h"
#include "util/error.h"
#include <string.h>

#define FIRST_WIDTH  640 /* before the device has drawn anything */
#define FIRST_HEIGHT 480

struct Console {
    Device *owner;
    const ConsoleOps *ops;
    void *opaque;
    Surface surface;
    GSList *listeners;
    struct {
        unsigned left, right, top, bottom; /* right and bottom are behind it; top == bottom: empty */
    } dirty;                               /* changed rows that lie together and were not told of yet */
};

static void fresh_surface(Console *c, unsigned width, unsigned height)
{
    g_free(c->surface.pixels);
    c->surface = (Surface){ width, height, g_new0(uint32_t, (size_t)width * height) };
    c->dirty.top = c->dirty.bottom = 0;
}

Console *console_new(Device *owner, const ConsoleOps *ops, void *opaque)
{
    Machine *machine = owner->machine;
    Console *c = g_new0(Console, 1);
    c->owner = owner;
    c->ops = ops;
    c->opaque = opaque;
    fresh_surface(c, FIRST_WIDTH, FIRST_HEIGHT);
    machine->consoles = g_slist_append(machine->consoles, c);
    return c;
}

void console_free(Console *c)
{
    Machine *machine = c->owner->machine;
    machine->consoles = g_slist_remove(machine->consoles, c);
    g_slist_free(c->listeners);
    g_free(c->surface.pixels);
    g_free(c);
}

/* ---- drawing ---- */

static void tell(Console *c)
{
    unsigned left = c->dirty.left, top = c->dirty.top, width = c->dirty.right - left, height = c->dirty.bottom - top;
    c->dirty.top = c->dirty.bottom = 0;
    for (GSList *link = height ? c->listeners : NULL; link; link = link->next) {
        ConsoleListener *listener = link->data;
        listener->updated(listener, &c->surface, left, top, width, height);
    }
}

static void mark(Console *c, unsigned y, unsigned left, unsigned right)
{
    if (c->dirty.bottom != y)
        tell(c);
    if (c->dirty.top == c->dirty.bottom) {
        c->dirty.left = left;
        c->dirty.right = right;
        c->dirty.top = y;
    }
    c->dirty.left = MIN(c->dirty.left, left);
    c->dirty.right = MAX(c->dirty.right, right);
    c->dirty.bottom = y + 1;
}

void console_resize(Console *c, unsigned width, unsigned height)
{
    width = CLAMP(width, 1, CONSOLE_MAX_SIZE);
    height = CLAMP(height, 1, CONSOLE_MAX_SIZE);
    if (width == c->surface.width && height == c->surface.height)
        return;
    fresh_surface(c, width, height);
    for (GSList *link = c->listeners; link; link = link->next) {
        ConsoleListener *listener = link->data;
        listener->resized(listener, &c->surface);
    }
}

void console_put_row(Console *c, unsigned y, const uint32_t *pixels)
{
    const uint32_t colour = 0xffffff;
    unsigned left = 0, right = c->surface.width;
    if (y >= c->surface.height)
        return;
    uint32_t *row = c->surface.pixels + (size_t)y * right;
    while (left < right && row[left] == (pixels[left] & colour))
        left++;
    while (right > left && row[right - 1] == (pixels[right - 1] & colour))
        right--;
    if (left == right)
        return;
    for (unsigned x = left; x < right; x++)
        row[x] = pixels[x] & colour;
    mark(c, y, left, right);
}

/* ---- looking ---- */

Console *console_find(Machine *machine, const char *device, GError **err)
{
    for (GSList *link = machine->consoles; link; link = link->next) {
        Console *c = link->data;
        if (!device || (c->owner->id && !strcmp(c->owner->id, device)))
            return c;
    }
    if (device && machine->consoles)
        error_set(err, "there is no display device with id '%s'", device);
    else
        error_set(err, "the machine has no display device; -device VGA or bochs-display adds one");
    return NULL;
}

void console_refresh(Console *c)
{
    memory_settle(c->owner->machine);
    c->ops->refresh(c->opaque);
    tell(c);
}

const Surface *console_surface(const Console *c)
{
    return &c->surface;
}

Device *console_owner(const Console *c)
{
    return c->owner;
}

void console_add_listener(Console *c, ConsoleListener *listener)
{
    c->listeners = g_slist_append(c->listeners, listener);
    listener->resized(listener, &c->surface);
    listener->updated(listener, &c->surface, 0, 0, c->surface.width, c->surface.height);
}

void console_del_listener(Console *c, ConsoleListener *listener)
{
    c->listeners = g_slist_remove(c->listeners, listener);
}
