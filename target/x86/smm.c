/*
 * x86: system management mode: entry, and rsm (SDM volume 3, chapter 33; the state save area is that of AMD64
 * processors, APM volume 2, section 10.2, as 64-bit firmware expects it).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include <string.h>

/* Places in the save area, from smbase + 0x8000 on. */
typedef struct Saved {
    uint16_t at;
    uint8_t bytes;
    uint32_t offset; /* in the state */
} Saved;
#define S(at, bytes, member)                  \
    {                                         \
        at, bytes, offsetof(X86State, member) \
    }
#define SEGMENT(at, member)                                                                     \
    S(at, 2, member.selector), S((at) + 2, 2, member.attributes), S((at) + 4, 4, member.limit), \
        S((at) + 8, 8, member.base)
static const Saved saved64[] = {
    SEGMENT(0x7e00, segment[X86_ES]),
    SEGMENT(0x7e10, segment[X86_CS]),
    SEGMENT(0x7e20, segment[X86_SS]),
    SEGMENT(0x7e30, segment[X86_DS]),
    SEGMENT(0x7e40, segment[X86_FS]),
    SEGMENT(0x7e50, segment[X86_GS]),
    S(0x7e64, 2, gdt.limit),
    S(0x7e68, 8, gdt.base),
    SEGMENT(0x7e70, ldt),
    S(0x7e84, 2, idt.limit),
    S(0x7e88, 8, idt.base),
    SEGMENT(0x7e90, tr),
    S(0x7ed0, 8, efer),
    S(0x7f48, 8, cr4),
    S(0x7f50, 8, cr3),
    S(0x7f58, 8, cr0),
    S(0x7f60, 8, dr[7]),
    S(0x7f68, 8, dr[6]),
    S(0x7f80, 8, gpr[R15]),
    S(0x7f88, 8, gpr[R14]),
    S(0x7f90, 8, gpr[R13]),
    S(0x7f98, 8, gpr[R12]),
    S(0x7fa0, 8, gpr[R11]),
    S(0x7fa8, 8, gpr[R10]),
    S(0x7fb0, 8, gpr[R9]),
    S(0x7fb8, 8, gpr[R8]),
    S(0x7fc0, 8, gpr[RDI]),
    S(0x7fc8, 8, gpr[RSI]),
    S(0x7fd0, 8, gpr[RBP]),
    S(0x7fd8, 8, gpr[RSP]),
    S(0x7fe0, 8, gpr[RBX]),
    S(0x7fe8, 8, gpr[RDX]),
    S(0x7ff0, 8, gpr[RCX]),
    S(0x7ff8, 8, gpr[RAX]),
};
static const Saved saved32[] = {
    S(0x7ffc, 4, cr0),          S(0x7ff8, 4, cr3),       S(0x7fec, 4, gpr[RDI]),  S(0x7fe8, 4, gpr[RSI]),
    S(0x7fe4, 4, gpr[RBP]),     S(0x7fe0, 4, gpr[RSP]),  S(0x7fdc, 4, gpr[RBX]),  S(0x7fd8, 4, gpr[RDX]),
    S(0x7fd4, 4, gpr[RCX]),     S(0x7fd0, 4, gpr[RAX]),  S(0x7fcc, 4, dr[6]),     S(0x7fc8, 4, dr[7]),
    S(0x7fc4, 2, tr.selector),  S(0x7f64, 4, tr.base),   S(0x7f60, 4, tr.limit),  S(0x7f5c, 2, tr.attributes),
    S(0x7fc0, 2, ldt.selector), S(0x7f80, 4, ldt.base),  S(0x7f7c, 4, ldt.limit), S(0x7f78, 2, ldt.attributes),
    S(0x7f74, 4, gdt.base),     S(0x7f70, 2, gdt.limit), S(0x7f58, 4, idt.base),  S(0x7f54, 2, idt.limit),
    S(0x7f14, 4, cr4),
};
#define SEGMENT32(i, selector_at, at)                                                                          \
    S(selector_at, 2, segment[i].selector), S((at) + 8, 4, segment[i].base), S((at) + 4, 4, segment[i].limit), \
        S(at, 2, segment[i].attributes)
static const Saved segments32[] = {
    SEGMENT32(X86_ES, 0x7fa8, 0x7f84), SEGMENT32(X86_CS, 0x7fac, 0x7f90), SEGMENT32(X86_SS, 0x7fb0, 0x7f9c),
    SEGMENT32(X86_DS, 0x7fb4, 0x7f2c), SEGMENT32(X86_FS, 0x7fb8, 0x7f38), SEGMENT32(X86_GS, 0x7fbc, 0x7f44),
};

static bool long_format(const X86State *s)
{
    return s->cpuid_features[X86_WORD_8000_0001_EDX] & X86_BIT_LM;
}

static void store(X86State *s, unsigned at, unsigned bytes, uint64_t value)
{
    tcg_phys_store(&s->cs, s->smbase + 0x8000 + at, bytes, value);
}

static uint64_t load(X86State *s, unsigned at, unsigned bytes)
{
    uint64_t value = 0;
    tcg_phys_load(&s->cs, s->smbase + 0x8000 + at, bytes, &value);
    return value;
}

static uint64_t get(const X86State *s, const Saved *e)
{
    uint64_t v = 0;
    memcpy(&v, (const char *)s + e->offset, e->bytes);
    return v;
}

static void put(X86State *s, const Saved *e, uint64_t v)
{
    memcpy((char *)s + e->offset, &v, e->bytes);
}

static void save(X86State *s, const Saved *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        store(s, list[i].at, list[i].bytes, get(s, &list[i]));
}

static void restore(X86State *s, const Saved *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put(s, &list[i], load(s, list[i].at, list[i].bytes));
}

void x86_enter_smm(X86State *s)
{
    uint64_t ip = x86_ip(s);
    uint32_t flags = x86_eflags(s);
    s->smm = true;
    s->nmi_was_blocked = s->nmi_blocked;
    s->nmi_blocked = true;
    tcg_set_memory(&s->cs, s->smm_space);
    if (long_format(s)) {
        save(s, saved64, G_N_ELEMENTS(saved64));
        store(s, 0x7f78, 8, ip);
        store(s, 0x7f70, 4, flags);
        store(s, 0x7efc, 4, 0x00020064); /* revision: I/O restart, SMBASE relocation, AMD64 */
        store(s, 0x7f00, 4, s->smbase);
    } else {
        save(s, saved32, G_N_ELEMENTS(saved32));
        save(s, segments32, G_N_ELEMENTS(segments32));
        store(s, 0x7ff0, 4, ip);
        store(s, 0x7ff4, 4, flags);
        store(s, 0x7efc, 4, 0x00020000);
        store(s, 0x7ef8, 4, s->smbase);
    }
    s->efer = 0;
    s->cr0 &= ~(uint64_t)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    s->cr4 = 0;
    s->dr[7] = DR7_RESET;
    for (unsigned i = 0; i < 6; i++)
        s->segment[i] = (X86SegmentReg){ .limit = UINT32_MAX,
                                         .attributes = DESC_P | DESC_S | DESC_WRITABLE | DESC_ACCESSED | DESC_G };
    s->segment[X86_CS].base = s->smbase;
    s->segment[X86_CS].selector = (uint16_t)(s->smbase >> 4);
    s->cs.pc = (uint32_t)s->smbase + 0x8000;
    x86_set_eflags(s, 0, ~(uint32_t)FLAG_1);
    x86_watch_changed(s);
    x86_mode_changed(s);
    tcg_flush_all(&s->cs);
}

bool x86_leave_smm(X86State *s)
{
    uint64_t ip;
    uint32_t flags, revision = (uint32_t)load(s, 0x7efc, 4);
    bool wide = long_format(s);
    if (wide) {
        restore(s, saved64, G_N_ELEMENTS(saved64));
        ip = load(s, 0x7f78, 8);
        flags = (uint32_t)load(s, 0x7f70, 4);
    } else {
        restore(s, saved32, G_N_ELEMENTS(saved32));
        restore(s, segments32, G_N_ELEMENTS(segments32));
        ip = load(s, 0x7ff0, 4);
        flags = (uint32_t)load(s, 0x7ff4, 4);
    }
    if (revision & 1 << 17)
        s->smbase = load(s, wide ? 0x7f00 : 0x7ef8, 4);
    s->smm = false;
    s->nmi_blocked = s->nmi_was_blocked;
    tcg_set_memory(&s->cs, NULL);
    x86_set_eflags(s, flags & X86_FLAGS_ALL, ~(uint32_t)FLAG_1);
    x86_watch_changed(s);
    bool code64 = x86_long(s) && s->segment[X86_CS].attributes & DESC_L;
    s->cs.pc = code64 ? ip : (uint32_t)(s->segment[X86_CS].base + ip);
    if (s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !x86_long(s))
        x86_load_pdptes(s, s->cr3);
    x86_mode_changed(s);
    tcg_flush_all(&s->cs);
    return true;
}
