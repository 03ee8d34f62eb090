/*
 * Windows: which kinds there are (see window.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/display/window.h"
#include "util/error.h"
#include <string.h>

typedef struct WindowType {
    const char *name;
    bool (*open)(Machine *machine, GError **err); /* NULL: none */
    void (*close)(void);
} WindowType;

static const WindowType types[] = { { "none", NULL, NULL },
#ifdef HAVE_SDL
                                    { "sdl", sdl_window_open, sdl_window_close }
#endif
};
static const WindowType *opened;

static const WindowType *find(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(types) + 1] = { NULL };
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        names[i] = types[i].name;
        if (!strcmp(types[i].name, name))
            return &types[i];
    }
    error_unknown_name(err, "-display: display", name, names);
    return NULL;
}

bool display_open(Machine *machine, const char *name, GError **err)
{
    const WindowType *type = find(name, err);
    if (!type || (type->open && !type->open(machine, err)))
        return false;
    opened = type;
    return true;
}

void display_close(void)
{
    if (opened && opened->close)
        opened->close();
    opened = NULL;
}

bool display_check(const char *name, GError **err)
{
    return find(name, err);
}

char *display_help(void)
{
    GString *out = g_string_new("Available display backend types:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        g_string_append_printf(out, "%s\n", types[i].name);
    return g_string_free(out, FALSE);
}
