/*
 * The human monitor: a command line on a character device, to look into a machine and to control it.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_MONITOR_MONITOR_H
#define UI_MONITOR_MONITOR_H

#include "hw/core/machine.h"
#include "ui/chardev/chardev.h"

typedef struct Monitor Monitor;

/* Main loop's thread, machine lock not held, for all of these. */
/* A monitor on chardev. It is made before the machine, whose serial port then has the focus of a shared chardev. */
Monitor *monitor_new(Chardev *chardev, GError **err);
/* What all monitors look at: before the main loop runs. */
void monitor_set_machine(Machine *machine);
void monitor_free_all(void);
/* Run one command line; what it prints, errors included, is appended to out. */
void monitor_run(Monitor *monitor, const char *line, GString *out);

#endif
