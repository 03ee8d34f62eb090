/*
 * Monitor commands for displays, keyboards and mice.
 * SPDX-License-Identifier: MIT
 */
#include "ui/monitor/display.h"
#include "ui/display/console.h"
#include "ui/display/image.h"
#include "ui/display/input.h"
#include "util/error.h"
#include <string.h>

/* ---- displays ---- */

/* Drawn under the lock, written without it. */
bool command_screendump(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    Console *console = console_find(m->machine, args[2].given ? args[2].text : NULL, err);
    Surface copy = { 0 };
    if (console) {
        console_refresh(console);
        copy = *console_surface(console);
        copy.pixels = g_memdup2(copy.pixels, (size_t)copy.width * copy.height * sizeof(uint32_t));
    }
    machine_unlock(m->machine);
    bool ok = console && image_write(&copy, args[0].text, args[1].given ? args[1].text : NULL, err);
    g_free(copy.pixels);
    return ok;
}

/* ---- keyboard ---- */

bool command_sendkey(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    bool ok = input_send_keys(m->machine, args[0].text, args[1].given ? args[1].number : 100, err);
    machine_unlock(m->machine);
    return ok;
}

/* ---- mice ---- */

#define MOVE_MAX 32767

static bool parse_movement(const MonitorArg *arg, int *value, GError **err)
{
    char *end;
    gint64 number = arg->given ? g_ascii_strtoll(arg->text, &end, 0) : 0;
    *value = number;
    if (arg->given && (end == arg->text || *end || number < -MOVE_MAX || number > MOVE_MAX))
        return error_set(err, "'%s' is not a movement, a number of -%d to %d", arg->text, MOVE_MAX, MOVE_MAX);
    return true;
}

static bool done(bool taken, GError **err)
{
    return taken || error_set(err, "the machine has no mouse");
}

bool command_mouse_move(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    int move[3];
    for (unsigned i = 0; i < 3; i++) {
        if (!parse_movement(&args[i], &move[i], err))
            return false;
    }
    machine_lock(m->machine);
    bool taken = input_is_absolute(m->machine) ? input_position(m->machine, MAX(move[0], 0), MAX(move[1], 0))
                                               : input_move(m->machine, move[0], move[1], move[2]);
    machine_unlock(m->machine);
    return done(taken, err);
}

/* The buttons that are down: 1 left, 2 right, 4 middle. */
bool command_mouse_button(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    static const Button buttons[] = { BUTTON_LEFT, BUTTON_RIGHT, BUTTON_MIDDLE };
    bool taken = false;
    if (args[0].number > 7)
        return error_set(err, "buttons are a sum of 1 (left), 2 (right) and 4 (middle)");
    machine_lock(m->machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(buttons); i++)
        taken = input_button(m->machine, buttons[i], args[0].number >> i & 1);
    machine_unlock(m->machine);
    return done(taken, err);
}

bool command_mouse_set(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    bool ok = input_choose_mouse(m->machine, MIN(args[0].number, UINT_MAX), err);
    machine_unlock(m->machine);
    return ok;
}

bool command_info_mice(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    input_describe_mice(m->machine, out);
    machine_unlock(m->machine);
    return true;
}
