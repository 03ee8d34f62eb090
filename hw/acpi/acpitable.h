/*
 * -acpitable: ACPI tables of the command line (see acpitable.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_ACPITABLE_H
#define HW_ACPI_ACPITABLE_H

#include <glib.h>
#include <stdbool.h>

/* The table that one -acpitable describes, with length and checksum. NULL and *err if it is none. */
GByteArray *acpitable_option(const char *text, GError **err);

#endif
