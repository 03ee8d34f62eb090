/*
 * From the command line to a machine that is ready to run.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CLI_START_H
#define UI_CLI_START_H

#include "ui/cli/options.h"

/* Open disks, consoles and monitors, build the machine and its devices, load it. NULL and *err on failure; what was
 * opened by then is still to be closed. */
Machine *start_machine(CommandLine *c, GError **err);

#endif
