/*
 * x86: system instructions (SDM volume 2; volume 3, chapters 2 to 6 and 19).
 *
 * Each function raises and returns, or has done what its instruction does; then the address is that of the next one,
 * unless the function is a transfer and has set it.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/system.h"
#include "accel/vcpu.h"
#include "target/x86/cpu.h"
#include "target/x86/rep.h"
#include "util/guest_random.h"
#include <string.h>

static uint64_t gp(X86State *s)
{
    x86_raise(s, VECTOR_GP, 0);
    return 0;
}

static uint64_t ud(X86State *s)
{
    x86_raise(s, VECTOR_UD, 0);
    return 0;
}

static bool vm86(const X86State *s)
{
    return s->eflags & FLAG_VM && s->cr0 & CR0_PE;
}

/* Is the program privileged? Else #GP is raised. */
static bool privileged(X86State *s)
{
    if (!x86_cpl(s))
        return true;
    gp(s);
    return false;
}

static unsigned iopl(const X86State *s)
{
    return s->eflags >> 12 & 3;
}

/* ---- transfers ---- */

static uint64_t sys_far_jump(X86State *s, uint64_t a, uint64_t offset, unsigned length)
{
    x86_far_jump(s, (uint16_t)a, offset, (unsigned)(a >> 16), length);
    return 0;
}

static uint64_t sys_far_call(X86State *s, uint64_t a, uint64_t offset, unsigned length)
{
    x86_far_call(s, (uint16_t)a, offset, (unsigned)(a >> 16), length);
    return 0;
}

static uint64_t sys_far_return(X86State *s, uint64_t size, uint64_t pop_bytes, unsigned length)
{
    x86_far_return(s, (unsigned)size, (unsigned)pop_bytes);
    return 0;
}

static uint64_t sys_iret(X86State *s, uint64_t size, uint64_t b, unsigned length)
{
    x86_iret(s, (unsigned)size, length);
    if (!s->cs.raised)
        s->nmi_blocked = false;
    return 0;
}

static uint64_t sys_interrupt(X86State *s, uint64_t vector, uint64_t by_opcode, unsigned length)
{
    if (vm86(s) && !by_opcode) {
        if (x86_redirected_interrupt(s, (unsigned)vector, length))
            return 0;
        if (iopl(s) < 3)
            return gp(s);
    }
    x86_software_interrupt(s, (unsigned)vector, length, by_opcode);
    return 0;
}

/* a: segment register, 256: an interrupt shadow follows. */
static uint64_t sys_load_segment(X86State *s, uint64_t a, uint64_t selector, unsigned length)
{
    X86Segment segment = a & 0xff;
    if (!x86_load_segment(s, segment, (uint16_t)selector))
        return 0;
    if (segment == X86_SS && a & 256) {
        s->shadow = SHADOW_SS;
        s->shadow_pc = s->cs.pc + length;
    }
    return 0;
}

/* ---- flags ---- */

static uint64_t sys_pushf(X86State *s, uint64_t size, uint64_t b, unsigned length)
{
    uint32_t flags = x86_eflags(s) & ~(uint32_t)(FLAG_RF | FLAG_VM);
    if (vm86(s) && iopl(s) < 3) {
        if (!(s->cr4 & CR4_VME) || size != 2)
            return gp(s);
        flags = (flags & ~(uint32_t)FLAG_IF) | FLAG_IOPL | (s->eflags & FLAG_VIF ? FLAG_IF : 0);
    }
    return flags;
}

static uint64_t sys_popf(X86State *s, uint64_t size, uint64_t value, unsigned length)
{
    uint32_t mask = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT, flags = (uint32_t)value;
    unsigned cpl = x86_cpl(s);
    if (vm86(s) && iopl(s) < 3) {
        if (!(s->cr4 & CR4_VME) || size != 2 || flags & FLAG_TF || (flags & FLAG_IF && s->eflags & FLAG_VIP))
            return gp(s);
        flags |= flags & FLAG_IF ? FLAG_VIF : 0;
        x86_set_eflags(s, flags, mask | FLAG_VIF);
        return 0;
    }
    if (size > 2)
        mask |= FLAG_AC | FLAG_ID | FLAG_RF;
    if (cpl <= iopl(s) || vm86(s))
        mask |= FLAG_IF;
    if (!cpl)
        mask |= FLAG_IOPL;
    uint32_t before = s->eflags;
    if (s->cs.mode & MODE_TF)
        s->watch_hit |= before & FLAG_TF ? DR6_BS : NO_STEP;
    x86_put_eflags(s, flags & ~(uint32_t)FLAG_RF, mask);
    x86_eflags_changed(s, before);
    return 0;
}

/* cli and sti where IOPL does not allow them. True: the virtual flag was meant and has been changed. */
static bool virtual_if(X86State *s, bool set)
{
    bool there = vm86(s) ? s->cr4 & CR4_VME : x86_cpl(s) == 3 && s->cr4 & CR4_PVI;
    if (!there || (set && s->eflags & FLAG_VIP)) {
        gp(s);
        return false;
    }
    s->eflags = (s->eflags & ~(uint32_t)FLAG_VIF) | (set ? FLAG_VIF : 0);
    return true;
}

static bool may_change_if(const X86State *s)
{
    return !(s->cr0 & CR0_PE) || (vm86(s) ? iopl(s) == 3 : x86_cpl(s) <= iopl(s));
}

static uint64_t sys_cli(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (may_change_if(s))
        s->eflags &= ~(uint32_t)FLAG_IF;
    else
        virtual_if(s, false);
    return 0;
}

static uint64_t sys_sti(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!may_change_if(s)) {
        virtual_if(s, true);
        return 0;
    }
    if (!(s->eflags & FLAG_IF)) {
        s->shadow = SHADOW_STI;
        s->shadow_pc = s->cs.pc + length;
    }
    s->eflags |= FLAG_IF;
    if (__atomic_load_n(&s->inputs, __ATOMIC_SEQ_CST))
        __atomic_store_n(&s->cs.poll, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static uint64_t sys_hlt(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    privileged(s);
    return 0;
}

/* Nothing but the check: for what has no effect here (invd, wbinvd). */
static uint64_t sys_privileged(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    privileged(s);
    return 0;
}

/* clac, stac */
static uint64_t sys_ac(X86State *s, uint64_t set, uint64_t b, unsigned length)
{
    if (x86_cpl(s))
        return ud(s);
    uint32_t before = s->eflags;
    s->eflags = (before & ~(uint32_t)FLAG_AC) | (set ? FLAG_AC : 0);
    x86_eflags_changed(s, before);
    return 0;
}

/* ---- ports ---- */

static uint64_t sys_in(X86State *s, uint64_t port, uint64_t size, unsigned length)
{
    return x86_port_allowed(s, (uint16_t)port, (unsigned)size) ? x86_port_in(s, (uint16_t)port, (unsigned)size) : 0;
}

static uint64_t sys_out(X86State *s, uint64_t port, uint64_t b, unsigned length)
{
    if (x86_port_allowed(s, (uint16_t)port, (unsigned)(b >> 32)))
        x86_port_out(s, (uint16_t)port, (unsigned)(b >> 32), (uint32_t)b);
    return 0;
}

/* ---- identification, time, MSRs ---- */

static uint64_t sys_cpuid(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    uint32_t out[4];
    x86_cpuid(&s->cs, (uint32_t)s->gpr[RAX], (uint32_t)s->gpr[RCX], out);
    s->gpr[RAX] = out[0];
    s->gpr[RBX] = out[1];
    s->gpr[RCX] = out[2];
    s->gpr[RDX] = out[3];
    return 0;
}

static void put_edx_eax(X86State *s, uint64_t value)
{
    s->gpr[RAX] = (uint32_t)value;
    s->gpr[RDX] = value >> 32;
}

static uint64_t sys_rdtsc(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (s->cr4 & CR4_TSD && x86_cpl(s))
        return gp(s);
    put_edx_eax(s, x86_tsc(&s->cs));
    return 0;
}

static uint64_t sys_rdtscp(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    sys_rdtsc(s, 0, 0, length);
    if (!s->cs.raised)
        s->gpr[RCX] = (uint32_t)s->tsc_aux;
    return 0;
}

static uint64_t sys_rdpid(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    return s->tsc_aux;
}

static uint64_t sys_rdpmc(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!(s->cr4 & CR4_PCE) && x86_cpl(s))
        return gp(s);
    return gp(s); /* there are no counters */
}

static uint64_t sys_rdmsr(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    uint64_t value;
    if (!privileged(s))
        return 0;
    if (!x86_read_msr(s, (uint32_t)s->gpr[RCX], &value))
        return gp(s);
    put_edx_eax(s, value);
    return 0;
}

static uint64_t sys_wrmsr(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!privileged(s))
        return 0;
    if (!x86_write_msr(s, (uint32_t)s->gpr[RCX], (uint32_t)s->gpr[RAX] | s->gpr[RDX] << 32))
        return gp(s);
    x86_mode_changed(s);
    return 0;
}

/* ---- control registers ---- */

static bool write_cr0(X86State *s, uint64_t value)
{
    uint64_t old = s->cr0;
    if (value >> 32)
        return false;
    value = (value & 0xe005003f) | CR0_ET;
    if ((value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        return false;
    if (!(value & CR0_WP) && s->cr4 & 1u << 23) /* CET */
        return false;
    if (value & CR0_PG && !(old & CR0_PG)) {
        if (s->efer & EFER_LME) {
            bool tss16 =
                (s->tr.attributes & (DESC_P | DESC_TYPE)) == (DESC_P | GATE_TSS16_BUSY) && s->tr.selector & 0xfffc;
            if (!(s->cr4 & CR4_PAE) || s->segment[X86_CS].attributes & DESC_L || tss16)
                return false;
            s->efer |= EFER_LMA;
        } else if (s->cr4 & CR4_PAE && !x86_load_pdptes(s, s->cr3)) {
            return false;
        }
    } else if (!(value & CR0_PG) && old & CR0_PG) {
        if (x86_code_bits(s) == 64 || s->cr4 & CR4_PCIDE)
            return false;
        s->efer &= ~(uint64_t)EFER_LMA;
    }
    s->cr0 = value;
    if ((value ^ old) & (CR0_PG | CR0_PE | CR0_WP))
        tcg_flush_all(&s->cs);
    return true;
}

static bool write_cr3(X86State *s, uint64_t value)
{
    bool keep = s->cr4 & CR4_PCIDE && value >> 63;
    if (s->cr4 & CR4_PCIDE)
        value &= ~(1ull << 63);
    if (x86_long(s) && value >> s->physical_bits)
        return false;
    if (s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !x86_long(s) && !x86_load_pdptes(s, value))
        return false;
    s->cr3 = value;
    if (!keep) {
        bool pcid = s->cr4 & CR4_PCIDE;
        tcg_flush_spaces(&s->cs, (SpaceMatch){ pcid ? 0xfff : UINT64_MAX, pcid ? value & 0xfff : x86_space(s), 0, 0 });
    }
    return true;
}

static uint64_t cr4_valid(const X86State *s)
{
    const uint32_t *f = s->cpuid_features;
    uint64_t valid = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE;
    valid |= s->decode_features >> X86_FXSR & 1 ? CR4_OSFXSR : 0;
    valid |= s->decode_features >> X86_SSE & 1 ? CR4_OSXMMEXCPT : 0;
    valid |= f[X86_WORD_7_ECX] & X86_BIT_UMIP ? CR4_UMIP : 0;
    valid |= f[X86_WORD_7_ECX] & X86_BIT_LA57 ? CR4_LA57 : 0;
    valid |= f[X86_WORD_7_EBX] & X86_BIT_FSGSBASE ? CR4_FSGSBASE : 0;
    valid |= f[X86_WORD_1_ECX] & X86_BIT_PCID ? CR4_PCIDE : 0;
    valid |= f[X86_WORD_1_ECX] & X86_BIT_XSAVE ? CR4_OSXSAVE : 0;
    valid |= f[X86_WORD_7_EBX] & X86_BIT_SMEP ? CR4_SMEP : 0;
    valid |= f[X86_WORD_7_EBX] & X86_BIT_SMAP ? CR4_SMAP : 0;
    valid |= f[X86_WORD_7_ECX] & X86_BIT_PKU ? CR4_PKE : 0;
    return valid;
}

static bool write_cr4(X86State *s, uint64_t value)
{
    uint64_t old = s->cr4, changed = old ^ value;
    if (value & ~cr4_valid(s) || (x86_long(s) && (!(value & CR4_PAE) || changed & CR4_LA57)))
        return false;
    if (value & CR4_PCIDE && !(old & CR4_PCIDE) && (!x86_long(s) || s->cr3 & 0xfff))
        return false;
    bool paging = changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_LA57 | CR4_PKE);
    s->cr4 = value;
    if (paging && s->cr0 & CR0_PG && value & CR4_PAE && !x86_long(s) && !x86_load_pdptes(s, s->cr3)) {
        s->cr4 = old;
        return false;
    }
    if (paging)
        tcg_flush_all(&s->cs);
    if (changed & CR4_DE)
        x86_watch_changed(s);
    return true;
}

/* Moves of CR2, CR3, CR8 need no new translation of what follows, but are rare. */
static uint64_t sys_write_cr(X86State *s, uint64_t n, uint64_t value, unsigned length)
{
    bool ok = true;
    if (!privileged(s))
        return 0;
    switch (n) {
    case 0:
        ok = write_cr0(s, value);
        break;
    case 2:
        s->cr2 = value;
        break;
    case 3:
        ok = write_cr3(s, value);
        break;
    case 4:
        ok = write_cr4(s, value);
        break;
    case 8:
        ok = !(value >> 4);
        if (ok && s->apic)
            s->apic->set_tpr(s->apic_opaque, (uint8_t)(value << 4));
        s->cr8 = ok ? value : s->cr8;
        break;
    default:
        return ud(s);
    }
    if (!ok)
        return gp(s);
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_read_cr(X86State *s, uint64_t n, uint64_t b, unsigned length)
{
    if (!privileged(s))
        return 0;
    switch (n) {
    case 0:
        return s->cr0;
    case 2:
        return s->cr2;
    case 3:
        return s->cr3;
    case 4:
        return s->cr4;
    case 8:
        return s->apic ? s->apic->get_tpr(s->apic_opaque) >> 4 : s->cr8;
    default:
        return ud(s);
    }
}

static uint64_t sys_lmsw(X86State *s, uint64_t value, uint64_t b, unsigned length)
{
    if (!privileged(s))
        return 0;
    uint64_t low = (value & 15) | (s->cr0 & CR0_PE); /* it cannot be cleared here */
    write_cr0(s, (s->cr0 & ~15ull) | low);
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_clts(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!privileged(s))
        return 0;
    s->cr0 &= ~(uint64_t)CR0_TS;
    x86_mode_changed(s);
    return 0;
}

/* ---- debug registers ---- */

static bool debug_register(X86State *s, uint64_t *n)
{
    if (!privileged(s))
        return false;
    if (*n == 4 || *n == 5) {
        if (s->cr4 & CR4_DE) {
            ud(s);
            return false;
        }
        *n += 2;
    }
    if (*n > 7) {
        ud(s);
        return false;
    }
    if (s->dr[7] & 1 << 13) { /* general detect */
        x86_debug_trap(s, DR6_BD);
        return false;
    }
    return true;
}

static uint64_t sys_read_dr(X86State *s, uint64_t n, uint64_t b, unsigned length)
{
    return debug_register(s, &n) ? s->dr[n] : 0;
}

static uint64_t sys_write_dr(X86State *s, uint64_t n, uint64_t value, unsigned length)
{
    if (!debug_register(s, &n))
        return 0;
    if (n >= 6 && value >> 32)
        return gp(s);
    s->dr[n] = n == 6 ? (value & 0xe00f) | DR6_RESET : n == 7 ? (value & 0xffff2fff) | DR7_RESET : value;
    x86_watch_changed(s);
    x86_mode_changed(s);
    return 0;
}

/* Instruction breakpoints: at each instruction while there are any. */
static uint64_t sys_code_break(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    uint64_t hit = 0;
    if (s->shadow == SHADOW_SS && s->shadow_pc == s->cs.pc)
        return 0;
    if (s->eflags & FLAG_RF) {
        s->eflags &= ~(uint32_t)FLAG_RF;
        return 0;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (s->dr[7] >> (2 * i) & 3 && !(s->dr[7] >> (16 + 4 * i) & 3) && s->dr[i] == s->cs.pc)
            hit |= 1u << i;
    }
    if (hit)
        x86_debug_trap(s, hit);
    return 0;
}

/* ---- tables ---- */

/* UMIP: user programs must not look at these. */
static bool umip(X86State *s)
{
    if (!(s->cr4 & CR4_UMIP) || !x86_cpl(s))
        return false;
    gp(s);
    return true;
}

static unsigned base_bytes(const X86State *s)
{
    return x86_code_bits(s) == 64 ? 8 : 4;
}

/* a: linear address; b: operand size. */
static uint64_t load_table(X86State *s, X86Table *t, uint64_t va, uint64_t size)
{
    if (!privileged(s))
        return 0;
    uint64_t limit = tcg_load(&s->cs, va, MO_16);
    if (s->cs.raised)
        return 0;
    uint64_t base = tcg_load(&s->cs, va + 2, base_bytes(s) == 8 ? MO_64 : MO_32);
    if (s->cs.raised)
        return 0;
    if (base_bytes(s) == 8 && !x86_canonical(s, base))
        return gp(s);
    t->limit = (uint16_t)limit;
    t->base = base_bytes(s) == 4 && size == 2 ? base & 0xffffff : base;
    return 0;
}

static uint64_t store_table(X86State *s, const X86Table *t, uint64_t va)
{
    if (umip(s))
        return 0;
    tcg_store(&s->cs, va, t->limit, MO_16);
    if (!s->cs.raised)
        tcg_store(&s->cs, va + 2, t->base, base_bytes(s) == 8 ? MO_64 : MO_32);
    return 0;
}

static uint64_t sys_lgdt(X86State *s, uint64_t va, uint64_t size, unsigned length)
{
    return load_table(s, &s->gdt, va, size);
}
static uint64_t sys_lidt(X86State *s, uint64_t va, uint64_t size, unsigned length)
{
    return load_table(s, &s->idt, va, size);
}
static uint64_t sys_sgdt(X86State *s, uint64_t va, uint64_t size, unsigned length)
{
    return store_table(s, &s->gdt, va);
}
static uint64_t sys_sidt(X86State *s, uint64_t va, uint64_t size, unsigned length)
{
    return store_table(s, &s->idt, va);
}

static uint64_t bad_selector(X86State *s, unsigned vector, uint64_t selector)
{
    x86_raise(s, vector, (uint32_t)selector & 0xfffc);
    return 0;
}

static uint64_t sys_lldt(X86State *s, uint64_t selector, uint64_t b, unsigned length)
{
    X86Descriptor d;
    X86SegmentReg r;
    if (!privileged(s))
        return 0;
    if (!(selector & 0xfffc)) {
        s->ldt = (X86SegmentReg){ .selector = (uint16_t)selector };
        return 0;
    }
    if (selector & 4)
        return bad_selector(s, VECTOR_GP, selector);
    if (!x86_read_descriptor(s, (uint16_t)selector, VECTOR_GP, &d))
        return 0;
    x86_segment_from(&r, (uint16_t)selector, &d);
    if ((r.attributes & (DESC_S | DESC_TYPE)) != GATE_LDT)
        return bad_selector(s, VECTOR_GP, selector);
    if (!(r.attributes & DESC_P))
        return bad_selector(s, VECTOR_NP, selector);
    s->ldt = r;
    return 0;
}

static uint64_t sys_ltr(X86State *s, uint64_t selector, uint64_t b, unsigned length)
{
    X86Descriptor d;
    X86SegmentReg r;
    if (!privileged(s))
        return 0;
    if (!(selector & 0xfffc) || selector & 4)
        return bad_selector(s, VECTOR_GP, selector);
    if (!x86_read_descriptor(s, (uint16_t)selector, VECTOR_GP, &d))
        return 0;
    x86_segment_from(&r, (uint16_t)selector, &d);
    unsigned type = r.attributes & (DESC_S | DESC_TYPE);
    if (type != GATE_TSS && (type != GATE_TSS16 || x86_long(s)))
        return bad_selector(s, VECTOR_GP, selector);
    if (!(r.attributes & DESC_P))
        return bad_selector(s, VECTOR_NP, selector);
    r.attributes |= 2; /* busy */
    if (!x86_system_store(s, s->gdt.base + (selector & 0xfff8) + 4, 4, d.high | 2 << 8))
        return 0;
    s->tr = r;
    return 0;
}

static uint64_t sys_store_system(X86State *s, uint64_t what, uint64_t b, unsigned length)
{
    if (umip(s))
        return 0;
    return what == STORE_LDT ? s->ldt.selector : what == STORE_TR ? s->tr.selector : s->cr0;
}

/* ---- looks at descriptors ---- */

/* The descriptor that selector names, for instructions that only look. False: there is none. */
static bool look(X86State *s, uint64_t selector, X86SegmentReg *r)
{
    uint64_t value, upper = 0;
    const uint64_t base = selector & 4 ? s->ldt.base : s->gdt.base;
    uint32_t limit = selector & 4 ? s->ldt.limit : s->gdt.limit;
    if (!(selector & 0xfffc) || (selector & 4 && !(s->ldt.selector & 0xfffc)) || (selector & 0xfff8) + 7 > limit ||
        !x86_system_load(s, base + (selector & 0xfff8), 8, &value))
        return false;
    X86Descriptor d = { (uint32_t)value, (uint32_t)(value >> 32), (uint32_t)upper };
    x86_segment_from(r, (uint16_t)selector, &d);
    return true;
}

static bool visible(const X86State *s, uint64_t selector, const X86SegmentReg *r)
{
    unsigned a = r->attributes, dpl = a >> DESC_DPL_SHIFT & 3;
    bool conforming = (a & (DESC_S | DESC_CODE | DESC_EXPAND_DOWN)) == (DESC_S | DESC_CODE | DESC_EXPAND_DOWN);
    return conforming || (dpl >= x86_cpl(s) && dpl >= (selector & 3));
}

/* verr, verw: ZF. */
static uint64_t sys_verify(X86State *s, uint64_t selector, uint64_t write, unsigned length)
{
    X86SegmentReg r;
    if (!look(s, selector, &r) || s->cs.raised)
        return 0;
    unsigned a = r.attributes;
    bool ok = a & DESC_S && visible(s, selector, &r);
    ok = ok && (write ? (a & (DESC_CODE | DESC_WRITABLE)) == DESC_WRITABLE : !(a & DESC_CODE) || a & DESC_WRITABLE);
    return ok;
}

/* lar, lsl: value, and in bit 32 ZF. */
static uint64_t sys_lar(X86State *s, uint64_t selector, uint64_t limit, unsigned length)
{
    const uint32_t types =
        limit ? 1u << GATE_TSS16 | 1u << GATE_LDT | 1u << GATE_TSS16_BUSY | 1u << GATE_TSS | 1u << GATE_TSS_BUSY
              : 1u << GATE_TSS16 | 1u << GATE_LDT | 1u << GATE_TSS16_BUSY | 1u << GATE_CALL16 | 1u << GATE_TASK |
                    1u << GATE_TSS | 1u << GATE_TSS_BUSY | 1u << GATE_CALL;
    const uint32_t long_types = 1u << GATE_LDT | 1u << GATE_TSS | 1u << GATE_TSS_BUSY | (limit ? 0 : 1u << GATE_CALL);
    X86SegmentReg r;
    if (!look(s, selector, &r) || s->cs.raised)
        return 0;
    unsigned a = r.attributes;
    if (!(a & DESC_S) && !((x86_long(s) ? types & long_types : types) >> (a & DESC_TYPE) & 1))
        return 0;
    if (!visible(s, selector, &r))
        return 0;
    uint64_t raw_limit = r.limit >> (a & DESC_G ? 12 : 0);
    uint64_t value = limit ? r.limit : (uint64_t)(a & 0xf0ff) << 8 | (raw_limit & 0xf0000);
    return value | 1ull << 32;
}

static uint64_t sys_arpl(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    return (a & 3) < (b & 3) ? (a & ~3ull) | (b & 3) | 1 << 16 : a;
}

/* ---- TLB ---- */

static uint64_t sys_invlpg(X86State *s, uint64_t va, uint64_t b, unsigned length)
{
    if (privileged(s))
        tcg_flush_page(&s->cs, va, (SpaceMatch){ 0, 0, 0, 0 });
    return 0;
}

static uint64_t sys_invpcid(X86State *s, uint64_t type, uint64_t va, unsigned length)
{
    uint64_t pcid, address;
    if (!privileged(s))
        return 0;
    pcid = tcg_load(&s->cs, va, MO_64);
    if (s->cs.raised)
        return 0;
    address = tcg_load(&s->cs, va + 8, MO_64);
    if (s->cs.raised)
        return 0;
    if (type > 3 || (type < 2 && pcid >> 12) || (type < 2 && pcid && !(s->cr4 & CR4_PCIDE)) ||
        (type == 0 && !x86_canonical(s, address)))
        return gp(s);
    if (type == 0)
        tcg_flush_page(&s->cs, address, (SpaceMatch){ 0xfff, pcid, 0, 0 });
    else if (type == 1)
        tcg_flush_spaces(&s->cs, (SpaceMatch){ 0xfff, pcid, 0, 0 });
    else
        tcg_flush_all(&s->cs);
    return 0;
}

/* ---- fast system calls ---- */

static void flat_segment(X86SegmentReg *r, unsigned selector, unsigned attributes)
{
    *r = (X86SegmentReg){ .limit = UINT32_MAX, .selector = (uint16_t)selector, .attributes = (uint16_t)attributes };
}

#define CODE_FLAT  (DESC_P | DESC_S | DESC_CODE | DESC_WRITABLE | DESC_ACCESSED | DESC_G)
#define STACK_FLAT (DESC_P | DESC_S | DESC_WRITABLE | DESC_ACCESSED | DESC_G | DESC_DB)
#define USER       (3 << DESC_DPL_SHIFT)

static uint64_t sys_syscall_(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    uint64_t next = x86_ip(s) + length;
    unsigned selector = s->star >> 32 & 0xfffc;
    if (!(s->efer & EFER_SCE) || !(s->cr0 & CR0_PE))
        return ud(s);
    if (x86_long(s)) {
        bool from64 = x86_code_bits(s) == 64;
        s->gpr[RCX] = next;
        s->gpr[R11] = x86_eflags(s) & ~(uint32_t)FLAG_RF;
        flat_segment(&s->segment[X86_CS], selector, CODE_FLAT | DESC_L);
        flat_segment(&s->segment[X86_SS], selector + 8, STACK_FLAT);
        x86_put_eflags(s, 0, (uint32_t)s->fmask | FLAG_RF);
        s->cs.pc = from64 ? s->lstar : s->cstar;
    } else {
        s->gpr[RCX] = (uint32_t)next;
        flat_segment(&s->segment[X86_CS], selector, CODE_FLAT | DESC_DB);
        flat_segment(&s->segment[X86_SS], selector + 8, STACK_FLAT);
        x86_put_eflags(s, 0, FLAG_IF | FLAG_VM | FLAG_RF);
        s->cs.pc = (uint32_t)s->star;
    }
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_sysret(X86State *s, uint64_t size, uint64_t b, unsigned length)
{
    unsigned selector = s->star >> 48 & 0xffff;
    if (!(s->efer & EFER_SCE) || !(s->cr0 & CR0_PE))
        return ud(s);
    if (!privileged(s))
        return 0;
    bool to64 = x86_long(s) && size == 8;
    if (to64 && !x86_canonical(s, s->gpr[RCX]))
        return gp(s);
    flat_segment(&s->segment[X86_CS], (to64 ? selector + 16 : selector) | 3,
                 CODE_FLAT | USER | (to64 ? DESC_L : DESC_DB));
    flat_segment(&s->segment[X86_SS], (selector + 8) | 3, STACK_FLAT | USER);
    s->cs.pc = to64 ? s->gpr[RCX] : (uint32_t)s->gpr[RCX];
    if (x86_long(s))
        x86_put_eflags(s, (uint32_t)s->gpr[R11], 0x3c7fd7 & ~(uint32_t)FLAG_RF);
    else
        x86_put_eflags(s, FLAG_IF, FLAG_IF);
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_sysenter(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    unsigned selector = s->sysenter_cs & 0xfffc;
    if (!(s->cr0 & CR0_PE) || !selector)
        return gp(s);
    x86_set_eflags(s, 0, FLAG_VM | FLAG_IF | FLAG_RF);
    flat_segment(&s->segment[X86_CS], selector, CODE_FLAT | (x86_long(s) ? DESC_L : DESC_DB));
    flat_segment(&s->segment[X86_SS], selector + 8, STACK_FLAT);
    s->gpr[RSP] = x86_long(s) ? s->sysenter_esp : (uint32_t)s->sysenter_esp;
    s->cs.pc = x86_long(s) ? s->sysenter_eip : (uint32_t)s->sysenter_eip;
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_sysexit(X86State *s, uint64_t size, uint64_t b, unsigned length)
{
    unsigned selector = s->sysenter_cs & 0xfffc;
    if (!(s->cr0 & CR0_PE) || !selector || x86_cpl(s))
        return gp(s);
    bool to64 = x86_long(s) && size == 8;
    if (to64 && (!x86_canonical(s, s->gpr[RCX]) || !x86_canonical(s, s->gpr[RDX])))
        return gp(s);
    flat_segment(&s->segment[X86_CS], (selector + (to64 ? 32 : 16)) | 3, CODE_FLAT | USER | (to64 ? DESC_L : DESC_DB));
    flat_segment(&s->segment[X86_SS], (selector + (to64 ? 40 : 24)) | 3, STACK_FLAT | USER);
    s->gpr[RSP] = to64 ? s->gpr[RCX] : (uint32_t)s->gpr[RCX];
    s->cs.pc = to64 ? s->gpr[RDX] : (uint32_t)s->gpr[RDX];
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_swapgs(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!privileged(s))
        return 0;
    uint64_t base = s->segment[X86_GS].base;
    s->segment[X86_GS].base = s->kernel_gs_base;
    s->kernel_gs_base = base;
    return 0;
}

/* rdfsbase and its like: a: segment, 256: write; b: the value, 4 or 8 bytes already. */
static uint64_t sys_bases(X86State *s, uint64_t a, uint64_t value, unsigned length)
{
    X86SegmentReg *r = &s->segment[a & 0xff];
    if (!(s->cr4 & CR4_FSGSBASE))
        return ud(s);
    if (!(a & 256))
        return r->base;
    if (!x86_canonical(s, value))
        return gp(s);
    r->base = value;
    return 0;
}

/* ---- others ---- */

static uint64_t sys_monitor(X86State *s, uint64_t va, uint64_t b, unsigned length)
{
    if (x86_cpl(s))
        return ud(s);
    if ((uint32_t)s->gpr[RCX])
        return gp(s);
    tcg_load(&s->cs, va, MO_8);
    return 0;
}

static uint64_t sys_mwait(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (x86_cpl(s))
        return ud(s);
    if ((uint32_t)s->gpr[RCX] > 1)
        return gp(s);
    return 0;
}

static uint64_t sys_rdpkru(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!(s->cr4 & CR4_PKE))
        return ud(s);
    if ((uint32_t)s->gpr[RCX])
        return gp(s);
    put_edx_eax(s, s->pkru);
    return 0;
}

static uint64_t sys_wrpkru(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!(s->cr4 & CR4_PKE))
        return ud(s);
    if ((uint32_t)s->gpr[RCX] || (uint32_t)s->gpr[RDX])
        return gp(s);
    x86_set_pkru(s, (uint32_t)s->gpr[RAX]);
    return 0;
}

static uint64_t sys_xgetbv(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!(s->cr4 & CR4_OSXSAVE))
        return ud(s);
    if ((uint32_t)s->gpr[RCX] > 1 || ((uint32_t)s->gpr[RCX] == 1 && !(s->cpuid_features[X86_WORD_D_1_EAX] & 4)))
        return gp(s);
    put_edx_eax(s, s->xcr0);
    return 0;
}

static uint64_t sys_xsetbv(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    uint64_t value = (uint32_t)s->gpr[RAX] | s->gpr[RDX] << 32;
    if (!(s->cr4 & CR4_OSXSAVE))
        return ud(s);
    if (!privileged(s))
        return 0;
    if ((uint32_t)s->gpr[RCX] || !(value & 1) || value & ~x86_xcr0_valid(s) || (value & 6) == 4)
        return gp(s);
    s->xcr0 = value;
    x86_mode_changed(s);
    return 0;
}

static uint64_t sys_rsm(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    if (!s->smm)
        return ud(s);
    x86_leave_smm(s);
    return 0;
}

static uint64_t sys_random_(X86State *s, uint64_t a, uint64_t b, unsigned length)
{
    uint64_t value;
    guest_random(&value, sizeof(value));
    return value;
}

/* ---- dispatch ---- */

typedef uint64_t System(X86State *s, uint64_t a, uint64_t b, unsigned length);
static System *const systems[] = {
#define SYSTEM(name, function) sys_##function,
    X86_SYSTEMS(SYSTEM)
#undef SYSTEM
};

#define TRANSFERS                                                                                          \
    (1ull << SYSTEM_FAR_JUMP | 1ull << SYSTEM_FAR_CALL | 1ull << SYSTEM_FAR_RETURN | 1ull << SYSTEM_IRET | \
     1ull << SYSTEM_INTERRUPT | 1ull << SYSTEM_SYSCALL | 1ull << SYSTEM_SYSRET | 1ull << SYSTEM_SYSENTER | \
     1ull << SYSTEM_SYSEXIT | 1ull << SYSTEM_RSM | 1ull << SYSTEM_CODE_BREAK)
#define CLEAR_TF (1ull << SYSTEM_INTERRUPT | 1ull << SYSTEM_SYSCALL | 1ull << SYSTEM_SYSENTER | 1ull << SYSTEM_RSM)
G_STATIC_ASSERT(SYSTEM_COUNT <= 64);

uint64_t x86_system(X86State *s, unsigned what, uint64_t a, uint64_t b, unsigned length)
{
    unsigned n = what & 0xff;
    bool to_ss = n == SYSTEM_LOAD_SEGMENT && a == (X86_SS | 256); /* the trap comes after the next instruction */
    bool tf = s->eflags & FLAG_TF && !(CLEAR_TF >> n & 1);
    uint64_t pc = s->cs.pc;
    bool code64 = x86_code_bits(s) == 64;
    uint64_t value = systems[n](s, a, b, length);
    if (s->cs.raised)
        return value;
    if (!(TRANSFERS >> n & 1))
        s->cs.pc = code64 ? pc + length : (uint32_t)(pc + length);
    uint64_t bits = s->watch_hit | (tf ? DR6_BS : 0);
    if (bits && what & X86_SYSTEM_ENDS && !to_ss) {
        s->watch_hit = 0;
        x86_debug_trap(s, bits);
    }
    return value;
}
