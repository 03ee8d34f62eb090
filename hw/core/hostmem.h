/*
 * Host memory with a name, for RAM that the command line describes (-object memory-backend-ram, -file, -memfd).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_HOSTMEM_H
#define HW_CORE_HOSTMEM_H

#include "util/options.h"

typedef struct HostMemory {
    char *id;
    uint64_t size; /* bytes, a multiple of the page size */
    int fd;        /* of the file or memfd; -1: anonymous */
    bool share;    /* others see what the guest writes */
    bool prealloc; /* all of it is there before the guest runs */
    bool used;     /* some RAM is made of it: set by who uses it */
} HostMemory;

bool hostmem_is_type(const char *type);
/* -object memory-backend-...,id=,size=[,...]. False and *err on failure. */
bool hostmem_add(Opts *opts, GError **err);
HostMemory *hostmem_find(const char *id);
/* The one with this ID, for use: *err if there is none or it is used already. what names the option. */
HostMemory *hostmem_take(const char *what, const char *id, GError **err);
/* info memdev. Free with g_free. */
char *hostmem_describe(void);
void hostmem_remove_all(void);

#endif
