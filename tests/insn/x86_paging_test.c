/*
 * Paging rights of x86: all combinations of rights in the last two levels, control registers, privilege and access, in
 * each paging mode, against a model (Intel 64 and IA-32 Architectures Software Developer's Manual, December 2024,
 * volume 3, sections 5.6 to 5.8): page faults, their error codes and addresses, accessed and dirty bits.
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include <string.h>

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80 };
#define NX (1ull << 63)

/* Physical addresses, at which these are mapped, too; the page under test has an address of its own. */
enum {
    GDT = 0x1000,
    IDT = 0x2000,
    TSS = 0x3000,
    HANDLERS = 0x4000,
    STACK_TOP = 0x6000,
    KERNEL_CODE = 0x6000,
    USER_CODE = 0x7000,
    USER_STACK_TOP = 0x9000,
    TARGET = 0x9000,
    TABLES = 0x10000,
    RAM_BYTES = 1 << 20,
    PAGE = 0x00800000, /* in no large page with them */
};
enum {
    KERNEL_CS32 = 0x08,
    KERNEL_DS = 0x10,
    USER_CS32 = 0x1b,
    USER_DS = 0x23,
    KERNEL_CS64 = 0x28,
    USER_CS64 = 0x33,
    TSS_SEL = 0x40
};

typedef struct Mode {
    const char *name;
    unsigned levels, index_bits, entry_bytes;
    uint32_t cr4;
    uint32_t efer;
} Mode;
static const Mode modes[] = {
    { "32-bit", 2, 10, 4, 0, 0 },
    { "pae", 3, 9, 8, CR4_PAE, EFER_NXE },
    { "4-level", 4, 9, 8, CR4_PAE, EFER_NXE | EFER_LME | EFER_LMA },
    { "5-level", 5, 9, 8, CR4_PAE | CR4_LA57, EFER_NXE | EFER_LME | EFER_LMA },
};

static X86Bare *b;
static const Mode *mode;
static uint64_t next_table, root, pde_at, pte_at;

static bool long_mode(void)
{
    return mode->efer & EFER_LMA;
}

/* ---- tables ---- */

/* Map a page; remembers where its last two entries are. */
static void map(uint64_t va, uint64_t physical, uint64_t rights)
{
    uint64_t table = root;
    for (unsigned level = mode->levels; level--;) {
        unsigned shift = 12 + level * mode->index_bits;
        uint64_t at = table + (va >> shift & ((1u << mode->index_bits) - 1)) * mode->entry_bytes;
        if (level == 1)
            pde_at = at;
        if (!level) {
            pte_at = at;
            x86_bare_put(b, at, physical | rights, mode->entry_bytes);
            return;
        }
        uint64_t entry = x86_bare_get(b, at, mode->entry_bytes);
        if (!(entry & P)) {
            bool pdpte = mode->levels == 3 && level == 2;
            entry = next_table | (pdpte ? P : P | W | U);
            next_table += 4096;
            x86_bare_put(b, at, entry, mode->entry_bytes);
        }
        table = entry & ~0xfffull;
    }
}

static void make_gate(unsigned vector)
{
    unsigned at = IDT + vector * (long_mode() ? 16 : 8), offset = HANDLERS + 16 * vector;
    unsigned selector = long_mode() ? KERNEL_CS64 : KERNEL_CS32;
    x86_bare_put(b, at, offset | selector << 16, 4);
    x86_bare_put(b, at + 4, 0x8e00, 4);
    if (long_mode())
        x86_bare_put(b, at + 8, 0, 8);
    b->host[HANDLERS + 16 * vector] = 0xf4; /* hlt */
}

static void make_tables(void)
{
    static const uint64_t gdt[] = { 0,
                                    0x00cf9b000000ffff,
                                    0x00cf93000000ffff,
                                    0x00cffb000000ffff,
                                    0x00cff3000000ffff,
                                    0x00af9b000000ffff,
                                    0x00affb000000ffff };
    memset(b->host, 0, RAM_BYTES);
    memcpy(b->host + GDT, gdt, sizeof(gdt));
    for (unsigned v = 0; v < 32; v++)
        make_gate(v);
    if (long_mode()) {
        x86_bare_put(b, TSS + 4, STACK_TOP, 8);
    } else {
        x86_bare_put(b, TSS + 4, STACK_TOP, 4);
        x86_bare_put(b, TSS + 8, KERNEL_DS, 4);
    }
    root = TABLES;
    next_table = TABLES + 4096;
    for (unsigned page = GDT; page < RAM_BYTES / 2; page += 4096)
        map(page, page, page == USER_CODE || page == USER_CODE + 0x1000 ? P | W | U : P | W);
    map(PAGE, TARGET, P);
}

/* ---- one access ---- */

typedef struct Try {
    uint64_t pde, pte; /* rights */
    Access access;
    bool user, wp, smep, smap, ac;
    unsigned key; /* rights of protection key 3, bits 1: no access, 2: no write */
} Try;

typedef struct Outcome {
    bool fault;
    uint32_t error;
    bool accessed, dirty;
} Outcome;

static Outcome expect(const Try *t)
{
    bool present = t->pte & P && t->pde & P, writable = t->pde & t->pte & W, user_page = t->pde & t->pte & U;
    bool nx = mode->efer & EFER_NXE && (t->pde | t->pte) & NX, store = t->access == ACCESS_STORE;
    bool data = t->access != ACCESS_FETCH, rights, by_key = false;
    if (t->user)
        rights = user_page && (data || !nx) && (!store || writable);
    else if (data)
        rights = (!store || writable || !t->wp) && !(user_page && t->smap && !t->ac);
    else
        rights = !nx && !(user_page && t->smep);
    if (long_mode() && data && user_page && present)
        by_key = t->key & 1 || (t->key & 2 && store && (t->user || t->wp));
    Outcome o = { .fault = !present || !rights || by_key };
    if (o.fault) {
        o.error = (present ? PF_P : 0) | (store ? PF_W : 0) | (t->user ? PF_U : 0) | (by_key ? PF_PK : 0);
        if (!data && (mode->efer & EFER_NXE || t->smep))
            o.error |= PF_I;
    } else {
        o.accessed = true;
        o.dirty = store;
    }
    return o;
}

static void set_segment(unsigned segment, uint16_t selector)
{
    uint64_t d = x86_bare_get(b, GDT + (selector & ~7u), 8);
    X86Descriptor words = { .low = (uint32_t)d, .high = (uint32_t)(d >> 32) };
    x86_segment_from(&b->s->segment[segment], selector, &words);
}

static void set_state(const Try *t)
{
    static const uint8_t data[] = { X86_ES, X86_SS, X86_DS, X86_FS, X86_GS };
    X86State *s = b->s;
    memset(s->gpr, 0, sizeof(s->gpr));
    s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | (t->wp ? CR0_WP : 0);
    s->cr4 = mode->cr4 | CR4_PSE | (t->smep ? CR4_SMEP : 0) | (t->smap ? CR4_SMAP : 0) | (long_mode() ? CR4_PKE : 0);
    s->cr3 = root;
    s->cr2 = 0;
    s->efer = mode->efer;
    s->pkru = t->key << 6;
    s->gdt = (X86Table){ GDT, 0x7f };
    s->idt = (X86Table){ IDT, 0x1ff };
    s->tr = (X86SegmentReg){ .base = TSS, .limit = 0x67, .selector = TSS_SEL, .attributes = 0x8b };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
        set_segment(data[i], t->user ? USER_DS : KERNEL_DS);
    set_segment(X86_CS, long_mode() ? (t->user ? USER_CS64 : KERNEL_CS64) : t->user ? USER_CS32 : KERNEL_CS32);
    s->cc_op = CC_EFLAGS << 2;
    s->cc_result = 0;
    s->eflags = FLAG_1 | (t->ac ? FLAG_AC : 0);
    s->gpr[RSP] = t->user ? USER_STACK_TOP : STACK_TOP;
    s->gpr[RBX] = PAGE + 0x123;
    s->gpr[RAX] = 0xf4; /* so that stores leave the hlt there */
    s->cs.pc = (t->user ? USER_CODE : KERNEL_CODE) + 16 * t->access;
    if (mode->levels == 3)
        x86_load_pdptes(s, s->cr3);
    x86_mode_changed(s);
    tcg_flush_all(&s->cs);
}

static unsigned tries, differing;

static void report(const Try *t, const Outcome *want, unsigned vector, uint64_t error, bool accessed, bool dirty)
{
    static const char *const names[] = { "load", "store", "fetch" };
    if (differing++ < 10)
        g_printerr("%s: pde %#" G_GINT64_MODIFIER "x pte %#" G_GINT64_MODIFIER
                   "x %s cpl %u wp %d smep %d smap %d ac %d key %u: vector %u error %#x accessed %d dirty %d; expected "
                   "%s error %#x accessed %d dirty %d\n",
                   mode->name, t->pde, t->pte, names[t->access], t->user ? 3 : 0, t->wp, t->smep, t->smap, t->ac,
                   t->key, vector, (unsigned)error, accessed, dirty, want->fault ? "a page fault" : "none", want->error,
                   want->accessed, want->dirty);
}

/* Behind the access is a hlt: outside the kernel that is #GP. */
static void try_one(const Try *t)
{
    X86State *s = b->s;
    Outcome want = expect(t);
    uint64_t table = x86_bare_get(b, pde_at, mode->entry_bytes) & ~(NX | 0xfff);
    x86_bare_put(b, pde_at, table | t->pde, mode->entry_bytes);
    x86_bare_put(b, pte_at, TARGET | t->pte | (long_mode() ? 3ull << 59 : 0), mode->entry_bytes);
    set_state(t);
    bool halted = x86_bare_go(b, NULL, 20);
    unsigned vector = s->cs.pc > HANDLERS && s->cs.pc < HANDLERS + 0x200 ? (unsigned)(s->cs.pc - HANDLERS) / 16 : 0;
    uint64_t pte = x86_bare_get(b, pte_at, mode->entry_bytes), error = 0;
    if (vector == VECTOR_PF)
        error = x86_bare_get(b, s->gpr[RSP], 4);
    bool fault_right = want.fault ? vector == VECTOR_PF && error == want.error && s->cr2 == s->gpr[RBX]
                                  : vector == (t->user ? VECTOR_GP : 0);
    bool bits_right = want.fault || (!(pte & A) == !want.accessed && !(pte & D) == !want.dirty);
    bool dirty_wrong = want.fault && pte & D;
    tries++;
    if (!halted || !fault_right || !bits_right || dirty_wrong)
        report(t, &want, halted ? vector : 255, error, pte & A, pte & D);
}

/* ---- all of them ---- */

static uint64_t rights_of(unsigned n)
{
    return (n & 1 ? W : 0) | (n & 2 ? U : 0) | (n & 4 ? NX : 0) | (n & 8 ? 0 : P);
}

static void try_rights(uint64_t pde, uint64_t pte)
{
    for (unsigned i = 0; i < 3 * 2 * 2 * 2 * 3; i++) {
        Try t = {
            .pde = pde, .pte = pte, .access = (Access)(i % 3), .user = i / 3 & 1, .wp = i / 6 & 1, .smep = i / 12 & 1
        };
        t.smap = i / 24 > 0;
        t.ac = i / 24 == 2;
        for (t.key = 0; t.key < (long_mode() ? 4 : 1); t.key++)
            try_one(&t);
    }
}

static void run_all(Vcpu *vcpu, void *opaque)
{
    static const char code[3][8] = { "\x8a\x03\xf4", "\x88\x03\xf4",
                                     "\xff\xe3" }; /* mov al,[rbx]; mov [rbx],al; jmp rbx */
    tcg_enter(vcpu->accel);
    make_tables();
    for (unsigned i = 0; i < 3; i++) {
        memcpy(b->host + KERNEL_CODE + 16 * i, code[i], 8);
        memcpy(b->host + USER_CODE + 16 * i, code[i], 8);
    }
    b->host[TARGET + 0x123] = 0xf4;
    for (unsigned pde = 0; pde < 16; pde++) {
        for (unsigned pte = 0; pte < 16; pte++) {
            bool no_nx = !(mode->efer & EFER_NXE);
            if (!(no_nx && (pde | pte) & 4))
                try_rights(rights_of(pde), rights_of(pte));
        }
    }
    tcg_leave(vcpu->accel, TCG_RUN_ON);
}

static void test_rights(const void *data)
{
    mode = data;
    tries = differing = 0;
    for (unsigned jit = 0; jit < 2; jit++) {
        b = x86_bare_new(jit, RAM_BYTES);
        vcpu_call(b->vcpu, run_all, NULL);
        x86_bare_free(b);
    }
    g_test_message("%s: %u accesses, %u differing", mode->name, tries, differing);
    g_assert_cmpuint(tries, >, 5000);
    g_assert_cmpuint(differing, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *path = g_strdup_printf("/x86/paging/%s", modes[i].name);
        g_test_add_data_func(path, &modes[i], test_rights);
    }
    return g_test_run();
}
