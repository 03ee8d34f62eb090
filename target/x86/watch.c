/*
 * x86: breakpoints on data and ports, by the debug registers (SDM volume 3, section 19.2). Pages that have one get no
 * TLB entries, so that every access to them comes here.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"

enum { KIND_CODE, KIND_WRITE, KIND_IO, KIND_ACCESS };

static bool enabled(const X86State *s, unsigned i)
{
    return s->dr[7] >> (2 * i) & 3;
}

static unsigned kind(const X86State *s, unsigned i)
{
    return s->dr[7] >> (16 + 4 * i) & 3;
}

static uint64_t length(const X86State *s, unsigned i)
{
    static const uint8_t bytes[] = { 1, 2, 8, 4 };
    return bytes[s->dr[7] >> (18 + 4 * i) & 3];
}

void x86_watch_changed(X86State *s)
{
    bool watching = false;
    for (unsigned i = 0; i < 4; i++)
        watching |= enabled(s, i) && (kind(s, i) == KIND_IO ? (s->cr4 & CR4_DE) != 0 : kind(s, i) != KIND_CODE);
    if (!watching && !s->cs.watching)
        return;
    s->cs.watching = watching;
    tcg_flush_all(&s->cs);
}

void x86_watch_port(X86State *s, uint16_t port, unsigned size)
{
    for (unsigned i = 0; i < 4 && s->cs.watching; i++) {
        uint64_t first = s->dr[i] & ~(length(s, i) - 1);
        if (enabled(s, i) && kind(s, i) == KIND_IO && s->cr4 & CR4_DE && port < first + length(s, i) &&
            port + size > first)
            s->watch_hit |= (uint16_t)(1u << i);
    }
}

bool x86_watched_page(const X86State *s, uint64_t va)
{
    for (unsigned i = 0; i < 4 && s->cs.watching; i++) {
        if (enabled(s, i) && (kind(s, i) & 1) && !((s->dr[i] ^ va) & GUEST_PAGE_MASK))
            return true;
    }
    return false;
}

/* #DB is a trap: the access is made, and what it hit is raised behind the instruction (which is executed as in
 * single-stepping while there are such breakpoints). */
bool x86_watch(CpuState *cs, uint64_t va, unsigned size, unsigned access, const uint64_t *value)
{
    X86State *s = x86(cs);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t first = s->dr[i] & ~(length(s, i) - 1), last = first + length(s, i) - 1;
        bool wanted = kind(s, i) == KIND_ACCESS || (kind(s, i) == KIND_WRITE && access == ACCESS_STORE);
        if (!enabled(s, i) || !wanted || va > last || va + size - 1 < first)
            continue;
        s->watch_hit |= (uint16_t)(1u << i);
    }
    return true;
}
