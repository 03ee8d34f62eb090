/*
 * A writer of AML, the byte code of ACPI's DSDT (ACPI Specification 6.5, chapter 20).
 *
 * AML is prefix code, so terms are written in the order in which they stand: what contains others is opened by a
 * function (aml_device, aml_if, aml_package ...) and closed by aml_end; an operator is followed by its operands:
 *
 *     aml_device(a, "COM0");
 *     aml_name_string(a, "_HID", "RSCV0003");
 *     aml_end(a);
 *     aml_op(a, AML_STORE); aml_integer(a, 1); aml_local(a, 0);        Local0 = 1
 *
 * Names are paths: "_HID", "PCI0.GSI0", "\\_SB"; segments are filled up with '_'. Mistakes of the caller (a path that
 * is none, a missing aml_end) are assertions.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_AML_H
#define HW_ACPI_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Aml Aml;

/* Operators: 20.2.5.3, 20.2.5.4 */
typedef enum AmlOp {
    AML_STORE = 0x70,              /* source, target */
    AML_ADD = 0x72,                /* two operands, target */
    AML_SUBTRACT = 0x74,           /* as ADD */
    AML_SHIFT_LEFT = 0x79,         /* value, count, target */
    AML_SHIFT_RIGHT = 0x7a,        /* as SHIFT_LEFT */
    AML_AND = 0x7b,                /* two operands, target */
    AML_OR = 0x7d,                 /* as AND */
    AML_NOTIFY = 0x86,             /* device, value */
    AML_CREATE_DWORD_FIELD = 0x8a, /* buffer, offset in bytes, new name */
    AML_NOT = 0x92,                /* logical: one operand; with AML_EQUAL behind it, "not equal" */
    AML_EQUAL = 0x93,              /* logical: two operands */
    AML_GREATER = 0x94,            /* as EQUAL */
    AML_LESS = 0x95,               /* as EQUAL */
    AML_RETURN = 0xa4,             /* value */
    AML_ACQUIRE = 0x5b23,          /* mutex; aml_word (the timeout in ms) */
    AML_RELEASE = 0x5b27,          /* mutex */
} AmlOp;

Aml *aml_new(void);
/* The byte code, once all is closed; frees a. Free with g_byte_array_unref. */
GByteArray *aml_finish(Aml *a);

/* ---- what contains others, up to aml_end ---- */
void aml_scope(Aml *a, const char *path);
void aml_device(Aml *a, const char *path);
/* A method that is serialized: it may create names. */
void aml_method(Aml *a, const char *path, unsigned arguments);
void aml_if(Aml *a); /* the condition comes first */
void aml_else(Aml *a);
void aml_package(Aml *a); /* at most 255 elements, which are counted */
void aml_end(Aml *a);

/* ---- terms ---- */
void aml_op(Aml *a, AmlOp op);
void aml_path(Aml *a, const char *path); /* a reference */
void aml_local(Aml *a, unsigned n);
void aml_arg(Aml *a, unsigned n);
void aml_word(Aml *a, uint16_t value); /* 16 bits as they are, where an operator wants them */
void aml_mutex(Aml *a, const char *path);
void aml_no_target(Aml *a); /* of an operator whose result is not kept */
void aml_integer(Aml *a, uint64_t value);
void aml_string(Aml *a, const char *text);
void aml_eisa_id(Aml *a, const char *id); /* "PNP0A08" as the number that stands for it */
void aml_buffer(Aml *a, const void *data, size_t len);
void aml_uuid(Aml *a, const char *text); /* "33db4d5b-1ff7-401c-9657-7441c03dd766", as a buffer */
/* Name (path, ...): a term that is its value follows. */
void aml_name(Aml *a, const char *path);
void aml_name_integer(Aml *a, const char *path, uint64_t value);
void aml_name_string(Aml *a, const char *path, const char *text);
void aml_name_eisa_id(Aml *a, const char *path, const char *id);

/* ---- registers (20.2.5.2) ---- */
typedef enum AmlSpace { AML_SPACE_MEMORY, AML_SPACE_IO, AML_SPACE_PCI_CONFIG } AmlSpace;
typedef enum AmlAccess { AML_ACCESS_ANY, AML_ACCESS_BYTE, AML_ACCESS_WORD, AML_ACCESS_DWORD } AmlAccess;
/* OperationRegion (path, ...). */
void aml_region(Aml *a, const char *path, AmlSpace space, uint64_t offset, uint64_t length);
/* Field (path, ...): its units follow, up to aml_end; what a write leaves of a unit is zero (zeros) or stays. */
void aml_field(Aml *a, const char *path, AmlAccess access, bool zeros);
void aml_field_unit(Aml *a, const char *name, unsigned bits); /* name NULL: a gap */

/* ---- resources (6.4), for _CRS and _PRS ---- */
typedef enum AmlRange { AML_RANGE_MEMORY, AML_RANGE_IO, AML_RANGE_BUS } AmlRange;
GByteArray *aml_resources_new(void);
/* Memory32Fixed, read and write. */
void aml_resource_memory(GByteArray *r, uint32_t base, uint32_t size);
/* Extended interrupt: level, active high. */
void aml_resource_interrupt(GByteArray *r, uint32_t gsi, bool shared);
/* One of several, level, active high, shared: what a link device can be set to. */
void aml_resource_interrupt_choice(GByteArray *r, const uint32_t *gsis, unsigned count);
/* Ports of ISA devices; 16 bits are decoded. */
void aml_resource_ports(GByteArray *r, uint16_t first, uint16_t last, unsigned align, unsigned count);
void aml_resource_isa_irq(GByteArray *r, unsigned irq); /* edge, active high */
void aml_resource_isa_dma(GByteArray *r, unsigned channel);
/* What a bridge passes on as it is, in numbers of width bytes (2, 4 or 8). Memory may be cacheable. */
void aml_resource_range(GByteArray *r, AmlRange kind, unsigned width, uint64_t base, uint64_t size, bool cacheable);
/* What a bridge passes on: [base, base + size), at base + offset on this side. Words for buses, else 64 bits. */
void aml_resource_window(GByteArray *r, AmlRange kind, uint64_t base, uint64_t size, uint64_t offset);
/* Name (path, ResourceTemplate () {...}); frees r. */
void aml_name_resources(Aml *a, const char *path, GByteArray *r);

#endif
