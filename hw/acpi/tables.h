/*
 * ACPI tables and how firmware gets them: through fw_cfg, as files with a script that says where they refer to each
 * other (etc/acpi/tables, etc/acpi/rsdp, etc/table-loader, which EDK2 and SeaBIOS know).
 *
 * A machine makes an AcpiTables, writes each table between acpi_begin and acpi_end, and gives all to acpi_finish.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_TABLES_H
#define HW_ACPI_TABLES_H

#include "hw/acpi/aml.h"
#include "hw/firmware/fw_cfg.h"

typedef struct AcpiTables AcpiTables;

/* A register's address (ACPI 6.5, 5.2.3.2): in memory, width bits. */
#define ACPI_GAS_MEMORY 0

AcpiTables *acpi_new(void);
/* A table: its header, then what acpi_put and acpi_bytes append, up to acpi_end. */
void acpi_begin(AcpiTables *t, const char *signature, unsigned revision);
void acpi_end(AcpiTables *t);
/* bytes (1 to 8) of value, little-endian. */
void acpi_put(AcpiTables *t, uint64_t value, unsigned bytes);
void acpi_bytes(AcpiTables *t, const void *data, size_t len);
void acpi_zeros(AcpiTables *t, size_t len);
/* A generic address structure of a register in memory. */
void acpi_address(AcpiTables *t, uint64_t address, unsigned width_bits, unsigned access_bytes);
/* Offset from the beginning of the table at which the next byte goes. */
size_t acpi_offset(const AcpiTables *t);
/* Replace bytes at an offset that has been written. */
void acpi_set(AcpiTables *t, size_t offset, uint64_t value, unsigned bytes);
/* The DSDT, from its byte code (freed). */
void acpi_dsdt(AcpiTables *t, GByteArray *code);
/* The FADT of a machine without ACPI's fixed hardware (5.2.9); refers to the DSDT, which comes before it. */
void acpi_fadt_reduced(AcpiTables *t);
/* XSDT, RSDP and script; the files are in f. Frees t. */
bool acpi_finish(AcpiTables *t, FwCfg *f, GError **err);

#endif
