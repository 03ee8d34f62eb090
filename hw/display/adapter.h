/*
 * The graphics adapter that -vga chooses, for machines that have a place for one (see adapter.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_DISPLAY_ADAPTER_H
#define HW_DISPLAY_ADAPTER_H

#include "hw/core/machine.h"

/* In a machine's init, when its buses are there and its own functions have their slots: adds what -vga says, or without
 * it fallback ("std"; NULL or "none": nothing). On the PCI bus if there is one, else on ISA. */
bool vga_add_adapter(Machine *machine, const char *fallback, GError **err);
/* Is this a name that -vga takes? Else *err says which are. */
bool vga_check(const char *name, GError **err);
char *vga_help(void);

#endif
