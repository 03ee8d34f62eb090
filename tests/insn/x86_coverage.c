/*
 * Which forms of x86 instructions were executed, and how: for --coverage.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "x86_insn.h"
#include <glib.h>

/* Ways to encode a form. */
static const char *const ways[] = { "register",       "memory",
                                    "16-bit operand", "32-bit operand",
                                    "64-bit operand", "16-bit address",
                                    "32-bit address", "64-bit address",
                                    "lock",           "rep",
                                    "repne",          "128 bits",
                                    "256 bits",       "segment override" };
enum {
    WAY_REGISTER,
    WAY_MEMORY,
    WAY_OPERAND,
    WAY_ADDRESS = WAY_OPERAND + 3,
    WAY_LOCK = WAY_ADDRESS + 3,
    WAY_REP,
    WAY_REPNE,
    WAY_128,
    WAY_256,
    WAY_SEGMENT,
    WAYS
};
G_STATIC_ASSERT(G_N_ELEMENTS(ways) == WAYS);

typedef struct Cover {
    uint32_t tried, done; /* bit: way */
    uint64_t executed;
} Cover;
static Cover *covers;
static const X86Form *first;
static unsigned count;

void x86_coverage_begin(const X86Form *forms, unsigned n)
{
    first = forms;
    count = n;
    covers = g_new0(Cover, n);
}

static uint32_t ways_of(const X86Encoding *e)
{
    uint32_t w = 1u << (WAY_OPERAND + e->operand_size / 4);
    if (e->modrm_present)
        w |= 1u << (e->memory ? WAY_MEMORY : WAY_REGISTER);
    if (e->memory)
        w |= 1u << (WAY_ADDRESS + e->address_size / 4);
    if (e->memory && e->bits == 64 && e->segment >= X86_FS && e->segment != X86_NO_SEGMENT)
        w |= 1u << WAY_SEGMENT;
    if (e->vex)
        w |= 1u << (e->vector_l ? WAY_256 : WAY_128);
    return w | (e->lock && e->memory && e->form->row->flags & X86_LOCK ? 1u << WAY_LOCK : 0) |
           (e->repeat == 0xf3 ? 1u << WAY_REP
            : e->repeat       ? 1u << WAY_REPNE
                              : 0);
}

void x86_coverage_add(const X86Encoding *e, const X86Case *native)
{
    if (!covers || e->form < first || e->form >= first + count)
        return; /* an encoding that is none of the tables' */
    Cover *c = &covers[e->form - first];
    uint32_t w = ways_of(e);
    bool done = native->regs.vector == VECTOR_MARK || native->regs.vector == VECTOR_DB;
    c->tried |= w;
    c->done |= done ? w : 0;
    c->executed += done;
}

static void print_form(const X86Form *f, unsigned bits)
{
    printf("    %u-bit %-10s %u:%02x %s", bits, f->group, f->map, f->opcode, f->row->name);
    if (f->row->digit >= 0)
        printf(" /%d", f->row->digit);
}

void x86_coverage_end(unsigned bits)
{
    unsigned executed = 0;
    printf("forms of %u-bit code that were not executed, or not in each way, without an exception:\n", bits);
    for (unsigned i = 0; i < count; i++) {
        uint32_t missing = covers[i].tried & ~covers[i].done;
        executed += covers[i].executed != 0;
        if (covers[i].executed && !missing)
            continue;
        print_form(&first[i], bits);
        if (!covers[i].executed)
            printf(": %s", covers[i].tried ? "only exceptions" : "not generated");
        for (unsigned w = 0; covers[i].executed && w < WAYS; w++) {
            if (missing >> w & 1)
                printf(", %s", ways[w]);
        }
        puts("");
    }
    printf("%u of %u forms executed\n", executed, count);
    g_free(covers);
    covers = NULL;
}
