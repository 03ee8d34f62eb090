/*
 * A debugger's end of a machine: GDB's remote serial protocol on a character device (-gdb, -s, monitor: gdbserver).
 * One for the process. Main loop's thread, machine lock not held, for all of these.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_GDBSTUB_H
#define UI_GDBSTUB_H

#include "hw/core/machine.h"

#define GDBSTUB_DEFAULT "tcp::1234"

/* Listen on this device (a short form of a character device; "none": on none any more) in place of the one before. */
bool gdbstub_open(Machine *machine, const char *device, GError **err);
/* The session ends; breakpoints are taken out. */
void gdbstub_close(void);

#endif
