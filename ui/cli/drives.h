/*
 * Disks of the command line: -drive and its short forms become block nodes at once, and devices when the machine is
 * there.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CLI_DRIVES_H
#define UI_CLI_DRIVES_H

#include "ui/cli/options.h"

/* -hda ... -hdd, -cdrom, -fda, -fdb, -pflash: the -drive that option stands for. */
bool drives_short_option(CommandLine *c, const char *option, const char *file, GError **err);
/* Open what -drive names, and the drives that a machine of this type has by default. */
bool drives_open(CommandLine *c, const MachineType *type, bool defaults, GError **err);
/* Devices of if=ide and if=floppy, before -device; those of if=virtio after it. Lock held. */
bool drives_add_builtin(Machine *machine, GError **err);
bool drives_add_others(Machine *machine, GError **err);

#endif
