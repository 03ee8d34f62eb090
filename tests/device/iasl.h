/*
 * iasl (package acpica-tools) takes an ACPI table apart and compiles it again: without errors and warnings.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_IASL_H
#define TESTS_IASL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A folder for iasl_check; remove it with its files. */
char *iasl_folder(void);
void iasl_remove(char *folder);
/* Where there is no iasl, nothing is checked. */
void iasl_check(const char *folder, const char *signature, const uint8_t *table);

#endif
