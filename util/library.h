/*
 * Shared libraries that few runs need: they are loaded when they are, so that the others start without them (docs/
 * performance.md, "Start").
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_LIBRARY_H
#define UTIL_LIBRARY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct LibraryCall {
    const char *name;
    size_t offset; /* of the pointer to it in the table */
} LibraryCall;

/* Fill table with the functions of the library with this soname; it stays loaded. False and *err: it is not there, or
 * lacks one. */
bool library_load(const char *soname, const LibraryCall *calls, unsigned count, void *table, GError **err);

#ifdef HAVE_CAPSTONE
#include <capstone/capstone.h>

typedef struct Capstone {
    __typeof__(cs_open) *open;
    __typeof__(cs_disasm) *disasm;
    __typeof__(cs_free) *free;
    __typeof__(cs_close) *close;
} Capstone;

/* The disassembler, or NULL where this host has it not. Any thread. */
const Capstone *capstone(void);
#endif

#endif
