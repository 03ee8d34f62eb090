/*
 * Shared libraries that are loaded when they are needed (see library.h).
 * SPDX-License-Identifier: MIT
 */
#include "util/library.h"
#include "util/error.h"
#include <dlfcn.h>

bool library_load(const char *soname, const LibraryCall *calls, unsigned count, void *table, GError **err)
{
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, "%s", dlerror());
    for (unsigned i = 0; i < count; i++) {
        void *call = dlsym(library, calls[i].name);
        if (!call) {
            dlclose(library);
            return error_set(err, "%s has no %s", soname, calls[i].name);
        }
        *(void **)((char *)table + calls[i].offset) = call;
    }
    return true;
}

#ifdef HAVE_CAPSTONE
const Capstone *capstone(void)
{
    static const LibraryCall calls[] = { { "cs_open", offsetof(Capstone, open) },
                                         { "cs_disasm", offsetof(Capstone, disasm) },
                                         { "cs_free", offsetof(Capstone, free) },
                                         { "cs_close", offsetof(Capstone, close) } };
    static Capstone table;
    static bool there;
    static gsize done;
    if (g_once_init_enter(&done)) {
        there = library_load("libcapstone.so." G_STRINGIFY(CS_API_MAJOR), calls, G_N_ELEMENTS(calls), &table, NULL);
        g_once_init_leave(&done, 1);
    }
    return there ? &table : NULL;
}
#endif
