/*
 * Encodings that the opcode tables do not give: prefixes that do not belong there, reserved fields of VEX, registers
 * where there must be memory, digits that are not defined. Which of them are instructions, and which are #UD, the host
 * says; the decoder under test only helps to prepare inputs.
 * SPDX-License-Identifier: MIT
 */
#include "x86_gen.h"
#include <string.h>

static X86Form forms[SLOTS];

static unsigned prefix_bytes(const X86Encoding *e)
{
    unsigned n = 0;
    while (n < e->length && memchr("\x66\x67\xf0\xf2\xf3\x26\x2e\x36\x3e\x64\x65", e->bytes[n], 11))
        n++;
    return n;
}

/* With a VEX prefix: of features that hosts have and Rhea does not, masks of AVX-512 among them. */
static bool of_other_features(const X86Encoding *e)
{
    const uint8_t *p = e->bytes + prefix_bytes(e);
    if ((*p & 0xf0) == 0x40)
        p++;
    bool three = *p == 0xc4;
    unsigned map = three ? p[1] & 31 : 1, op = p[three ? 3 : 2];
    switch (map) {
    case 1:
        return (op >= 0x41 && op <= 0x4b) || (op >= 0x90 && op <= 0x93) || op == 0x98 || op == 0x99;
    case 2:
        return (op >= 0x49 && op <= 0x53) || op == 0x72 || (op >= 0xb0 && op <= 0xb5) || op == 0xcf ||
               (op >= 0xdb && op <= 0xdf);
    default: /* of vpermq and vpermpd AMD's processors ignore W */
        return op <= 0x01 || (op >= 0x30 && op <= 0x33) || op == 0x44 || op == 0xce || op == 0xcf;
    }
}

static void insert(X86Encoding *e, unsigned at, uint8_t byte)
{
    memmove(e->bytes + at + 1, e->bytes + at, e->length - at);
    e->bytes[at] = byte;
    e->length++;
}

/* R, X, B and the map; or W, vvvv, L and the prefix. */
static void change_vex(X86Encoding *e, X86Rng *r)
{
    unsigned at = prefix_bytes(e);
    bool three = e->bytes[at] == 0xc4;
    unsigned last = at + 1 + three;
    static const uint8_t masks[] = { 0x80, 0x78, 0x04, 0x03 }; /* W or R, vvvv, L, the prefix */
    if (three && x86_percent(r, 15))
        e->bytes[at + 1] = (uint8_t)((e->bytes[at + 1] & 0xe0) | (1 + x86_below(r, 3)));
    else
        e->bytes[last] ^= (uint8_t)x86_random(r) & masks[x86_below(r, 4)];
}

/* A register instead of memory, or another digit. */
static void change_modrm(X86Encoding *e, X86Rng *r, unsigned at, unsigned address_bytes)
{
    if (e->memory && x86_percent(r, 60)) {
        e->bytes[at] |= 0xc0;
        memmove(e->bytes + at + 1, e->bytes + at + 1 + address_bytes, e->length - at - 1 - address_bytes);
        e->length -= (uint8_t)address_bytes;
    } else {
        e->bytes[at] ^= (uint8_t)(x86_below(r, 8) << 3);
    }
}

/* What the instruction is now. False: one that is left out, or not what it seems to be. */
static bool identify(X86Encoding *e, uint64_t features, X86Form *form)
{
    X86Insn i;
    x86_decode(e->bits, features, true, e->bytes, e->length, &i);
    bool svm = e->form->map == 1 && e->form->opcode == 0x01; /* vmrun and its like: #GP where a hypervisor hides them */
    if (!i.row && svm)
        return false;
    if (!i.row)
        return i.length != 0 || i.too_long; /* #UD: the form stays what it was */
    *form = (X86Form){ i.map, i.opcode, i.row, x86_policy_of(i.row->name), x86_group_of(i.row) };
    bool changes_flow = false;
    for (unsigned k = 0; k < 4; k++)
        changes_flow |= i.row->operands[k].kind == OPERAND_REL || i.row->operands[k].kind == OPERAND_FAR;
    if (i.length != e->length || form->policy->prepare == PREPARE_SKIP || form->policy->prepare == PREPARE_INT ||
        changes_flow || i.row->flags & X86_F64)
        return false;
    e->form = form;
    e->operand_size = i.operand_size;
    e->address_size = i.address_size;
    e->modrm_present = i.row->flags & X86_MODRM;
    e->memory = e->modrm_present && i.mod != 3;
    e->modrm = i.modrm;
    e->vsib = i.row->flags & X86_VSIB;
    e->lock = i.lock;
    e->vex = i.vex;
    e->w = i.w;
    e->vector_l = i.vector_size == 32;
    e->repeat = i.repeat;
    e->reg = i.reg;
    e->rm = i.rm;
    e->vvvv = i.vvvv;
    e->rip_relative = i.base == X86_RIP;
    e->base = i.base == X86_RIP ? X86_NO_REG : i.base;
    e->index = i.index;
    e->scale = i.scale;
    e->segment = i.segment;
    e->disp = i.disp;
    e->imm = i.imm;
    e->imm2 = i.imm2;
    return true;
}

bool x86_mutate(X86Encoding *e, X86Rng *r, const X86Layout *layout, uint64_t features, unsigned slot)
{
    static const uint8_t prefixes[] = { 0x66, 0x66, 0x67, 0xf0, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x64, 0x65, 0x48, 0x41 };
    unsigned kind = x86_below(r, 4);
    if (e->form->map == 1 && e->form->opcode == 0x0d) /* a register is #UD to AMD only */
        return false;
    if (kind == 1 && e->vex)
        change_vex(e, r);
    else if (kind >= 2 && e->modrm_present)
        change_modrm(e, r, layout->modrm_at, layout->address_bytes);
    else if (e->length < 15)
        insert(e, x86_below(r, prefix_bytes(e) + 1), prefixes[x86_below(r, e->bits == 64 ? 13 : 11)]);
    bool vex = e->vex;
    return !(vex && of_other_features(e)) && identify(e, features, &forms[slot]);
}
