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

/* A register's address (ACPI 6.5, 5.2.3.2): in memory, in ports. */
enum { ACPI_GAS_MEMORY = 0, ACPI_GAS_IO = 1 };

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP   "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"

AcpiTables *acpi_new(void);
/* The same for firmware that may be 32-bit and guests older than the XSDT: there is an RSDT, too. */
AcpiTables *acpi_new_below_4g(void);
/* A table: its header, then what acpi_put and acpi_bytes append, up to acpi_end. */
void acpi_begin(AcpiTables *t, const char *signature, unsigned revision);
void acpi_end(AcpiTables *t);
/* bytes (1 to 8) of value, little-endian. */
void acpi_put(AcpiTables *t, uint64_t value, unsigned bytes);
void acpi_bytes(AcpiTables *t, const void *data, size_t len);
void acpi_zeros(AcpiTables *t, size_t len);
/* A generic address structure of a register in memory, or anywhere. */
void acpi_address(AcpiTables *t, uint64_t address, unsigned width_bits, unsigned access_bytes);
void acpi_address_in(AcpiTables *t, unsigned space, uint64_t address, unsigned width_bits, unsigned access_bytes);
/* Offset from the beginning of the table at which the next byte goes. */
size_t acpi_offset(const AcpiTables *t);
/* Replace bytes at an offset that has been written. */
void acpi_set(AcpiTables *t, size_t offset, uint64_t value, unsigned bytes);
/* The DSDT, from its byte code (freed). */
void acpi_dsdt(AcpiTables *t, GByteArray *code);
/* The FADT of a machine without ACPI's fixed hardware (5.2.9); refers to the DSDT, which comes before it. */
void acpi_fadt_reduced(AcpiTables *t);
/* The FADT of a PC (5.2.9): power management in ports. Refers to FACS and DSDT, which come before it. */
typedef struct AcpiFadt {
    uint16_t pm_base;                      /* of events, control (at 4), timer (at 8) */
    uint16_t gpe_base, gpe_bytes;          /* status and enable registers together */
    uint16_t smi_port;                     /* 0: there is no SMI; ACPI is always on */
    uint8_t acpi_enable, acpi_disable;     /* what to write there */
    uint8_t sci;                           /* its interrupt */
    bool i8042, many_cpus, platform_clock; /* platform_clock: use the timer, not the TSC */
    uint8_t century;                       /* its byte in the RTC */
} AcpiFadt;
void acpi_facs(AcpiTables *t); /* the first table */
void acpi_fadt(AcpiTables *t, const AcpiFadt *fadt);
/* The reduced FADT with what GED machines have: sleep control and reset registers in memory (0: none). */
void acpi_fadt_reduced_with(AcpiTables *t, uint64_t sleep_control, uint64_t sleep_status, uint64_t reset,
                            uint8_t reset_value);
/* A table that is complete: header, length and checksum are right. */
void acpi_table(AcpiTables *t, const void *data, size_t len);

/* What becomes of tables. */
typedef struct AcpiFiles {
    GByteArray *tables, *rsdp, *script;
} AcpiFiles;
/* XSDT (and RSDT), RSDP and script; tables is filled up with zeros to a multiple of room (0: not), so that they may be
 * made again. Frees t. */
AcpiFiles acpi_files(AcpiTables *t, size_t room);
void acpi_files_clear(AcpiFiles *files);
bool acpi_offer(const AcpiFiles *files, FwCfg *f, const FwCfgFileOps *ops, void *opaque, GError **err);
/* Do what the script says for tables at one address and the RSDP at another: what firmware does otherwise. */
void acpi_link(AcpiFiles *files, uint64_t tables, uint64_t rsdp);
/* acpi_files and acpi_offer in one. */
bool acpi_finish(AcpiTables *t, FwCfg *f, GError **err);

#endif
