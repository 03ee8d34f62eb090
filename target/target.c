/*
 * The guest instruction sets there are (target/targets.def).
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include <string.h>

#define TARGET(symbol) extern const Target symbol;
#include "target/targets.def"
#undef TARGET

const Target *const *targets(void)
{
    static const Target *const list[] = {
#define TARGET(symbol) &symbol,
#include "target/targets.def"
#undef TARGET
        NULL
    };
    return list;
}

const Target *target_find(const char *name)
{
    for (const Target *const *t = targets(); *t; t++)
        if (!strcmp((*t)->name, name))
            return *t;
    return NULL;
}
