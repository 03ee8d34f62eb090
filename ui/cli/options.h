/*
 * The command line: parsed into one Config, by one table (options.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CLI_OPTIONS_H
#define UI_CLI_OPTIONS_H

#include "accel/accel.h"
#include "hw/core/machine.h"

typedef struct CommandLine {
    const char *target; /* from the program's name or -target */
    const char *machine;
    GPtrArray *accels;  /* Opts *: -accel in order */
    GPtrArray *devices; /* Opts * */
    GPtrArray *drives;  /* Opts *: -drive */
    bool snapshot;
    GPtrArray *fw_cfg;             /* Opts * */
    GPtrArray *serials, *monitors; /* const char *: short forms of character devices */
    const char *pidfile;
    const char *gdb; /* -gdb: short form of a character device, or NULL */
    const char *display;  /* -display, or NULL */
    bool daemonize, done; /* done: help or version was printed */
    MachineConfig config;
} CommandLine;

/* False and *err on anything that is not understood. Strings point into argv or live until the process ends. */
bool command_line_parse(CommandLine *c, int argc, char **argv, GError **err);
void command_line_free(CommandLine *c);

#endif
