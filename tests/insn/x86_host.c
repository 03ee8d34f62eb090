/*
 * What the host's processor has, as Linux says.
 * SPDX-License-Identifier: MIT
 */
#include "x86_insn.h"
#include <glib.h>
#include <string.h>

/* As /proc/cpuinfo calls it, where that is not our name in lower case. */
static const char *host_name(const char *feature)
{
    static const char *const names[][2] = {
        { "X87", "fpu" },   { "SSE3", "pni" },     { "LZCNT", "abm" },       { "SHA", "sha_ni" },
        { "FXSR", "fxsr" }, { "CX8", "cx8" },      { "CX16", "cx16" },       { "MONITOR", "fpu" },
        { "SMAP", "smap" }, { "WBNOINVD", "fpu" }, { "SYSCALL", "syscall" }, { "SEP", "sep" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!strcmp(names[i][0], feature))
            return names[i][1];
    }
    return NULL;
}

uint64_t x86_host_features(void)
{
    static const char *const features[] = {
#define FEATURE(name) #name,
        X86_DECODE_FEATURES(FEATURE)
#undef FEATURE
    };
    g_autofree char *text = NULL;
    uint64_t set = 1;
    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
        return 0;
    char *flags = strstr(text, "\nflags");
    char *end = flags ? strchr(flags + 1, '\n') : NULL;
    if (!end)
        return 0;
    *end = 0;
    g_auto(GStrv) words = g_strsplit_set(flags, " \t", -1);
    for (unsigned i = 1; i < G_N_ELEMENTS(features); i++) {
        g_autofree char *lower = g_ascii_strdown(features[i], -1);
        const char *name = host_name(features[i]);
        if (g_strv_contains((const char *const *)words, name ? name : lower))
            set |= 1ull << i;
    }
    return set;
}
