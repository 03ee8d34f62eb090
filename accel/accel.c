/*
 * The accelerators there are (accel/accels.def).
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include <string.h>

#define ACCEL(symbol) extern const AccelType symbol;
#include "accel/accels.def"
#undef ACCEL

const AccelType *const *accel_types(void)
{
    static const AccelType *const types[] = {
#define ACCEL(symbol) &symbol,
#include "accel/accels.def"
#undef ACCEL
        NULL
    };
    return types;
}

const AccelType *accel_find(const char *name)
{
    for (const AccelType *const *t = accel_types(); *t; t++)
        if (!strcmp((*t)->name, name))
            return *t;
    return NULL;
}
