/*
 * Monitor commands for displays, keyboards and mice (display.c); names, arguments and effects are the reference's.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_MONITOR_DISPLAY_H
#define UI_MONITOR_DISPLAY_H

#include "ui/monitor/command.h"

bool command_screendump(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_sendkey(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_mouse_move(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_mouse_button(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_mouse_set(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_info_mice(Monitor *m, const MonitorArg *args, GString *out, GError **err);

#endif
