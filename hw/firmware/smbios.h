/*
 * SMBIOS tables (see smbios.c) and -smbios.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_FIRMWARE_SMBIOS_H
#define HW_FIRMWARE_SMBIOS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SMBIOS_FILE_TABLES "etc/smbios/smbios-tables"
#define SMBIOS_FILE_ANCHOR "etc/smbios/smbios-anchor"
#define SMBIOS_ANCHOR_SIZE 31

typedef struct Smbios Smbios; /* what -smbios said */

/* One -smbios: type=N,KEY=VALUE... or file=FILE. *s is made by the first. */
bool smbios_option(Smbios **s, const char *text, GError **err);
void smbios_free(Smbios *s);

typedef struct SmbiosMachine {
    const char *manufacturer, *product, *version; /* where -smbios says nothing */
    const char *uuid;                             /* of -uuid, or NULL */
    unsigned sockets, cores, threads;             /* of each socket, of each core */
    uint32_t cpu_signature, cpu_features;         /* CPUID leaf 1, EAX and EDX */
    uint64_t ram_low, ram_high;                   /* bytes below and from 4 GiB on */
    bool without_firmware;                        /* nobody else makes the table of the BIOS */
} SmbiosMachine;

/* All structures, and the 2.8 entry point, whose address of them is 0. s may be NULL. False and *err: they are too
 * long.
 */
bool smbios_build(const Smbios *s, const SmbiosMachine *machine, GByteArray **tables, GByteArray **anchor,
                  GError **err);
/* Say in the entry point where the tables are. */
void smbios_link(GByteArray *anchor, uint32_t tables);

#endif
