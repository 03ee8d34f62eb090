/*
 * x86-64 back end: guest memory. The fast path probes the soft TLB inline (tcg/runtime.h); everything else goes through
 * a cold stub that passes the address in the frame and calls a shared thunk, which keeps all registers but the result.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

#define READ_TABLE  offsetof(ContextSet, read)
#define WRITE_TABLE offsetof(ContextSet, write)

static uint32_t stub_info(const Emit *e, const IrInsn *insn)
{
    return insn->aux | (uint32_t)e->insn_offset << 16;
}

typedef struct Address {
    int base; /* host register of the address temporary */
    int32_t disp;
    bool narrow; /* 32-bit address: base is already the whole address, zero-extended */
} Address;

/* The address in a register, with a displacement that fits. */
static inline Address use_address(Emit *e, const IrInsn *insn, int64_t disp)
{
    IrTmp t = insn->arg[0];
    uint32_t busy = e->busy;
    int base = use_reg(e, t);
    if (e->u->tmps[t].type == IR_I32) {
        int va = scratch_int(e);
        lea(&e->a, va, mem(base, disp), false);
        e->busy = busy | 1u << va;
        return (Address){ va, 0, true };
    }
    if (disp != (int32_t)disp || disp + 8 != (int32_t)(disp + 8)) {
        int va = scratch_int(e);
        mov_imm(&e->a, va, disp);
        alu_rr(&e->a, ALU_ADD, va, base, true);
        e->busy = busy | 1u << va;
        return (Address){ va, 0, false };
    }
    return (Address){ base, disp, false };
}

static Mem guess_mem(uint32_t slot, size_t member)
{
    return mem(R15, offsetof(ContextSet, guesses) + slot * sizeof(AddendGuess) + member);
}

/*
 * The addend, for a load whose address waits for its own last result: from a fixed place instead of the entry that was
 * found with the address, which is only compared. So the chain of such loads goes through the address and the value
 * alone, and the probe runs beside it.
 */
static void guess_addend(Emit *e, int index, int addend)
{
    Asm *a = &e->a;
    ColdStub *s = new_stub(e, STUB_GUESS);
    s->info = (e->unit_id * 5 + e->guess_count++) % GUESS_SLOTS; /* those of a unit, and of its neighbours, differ */
    s->va = index;
    s->dst = addend;
    mov_load(a, addend, guess_mem(s->info, offsetof(AddendGuess, addend)), true);
    alu_load(a, ALU_CMP, addend, mem_index(R15, index, READ_TABLE + 8), true);
    s->from = jcc_forward(a, CC_NE);
    s->back = a->p;
}

/* Take the entry's addend, and guess it from now on, unless too many guesses were wrong. */
void emit_guess_stub(Emit *e, const ColdStub *s)
{
    Asm *a = &e->a;
    Mem budget = guess_mem(s->info, offsetof(AddendGuess, budget)),
        addend = guess_mem(s->info, offsetof(AddendGuess, addend));
    patch_to(s->from, a->p);
    mov_load(a, s->dst, mem_index(R15, s->va, READ_TABLE + 8), true);
    alu_mem_imm(a, ALU_CMP, budget, 0, false);
    patch_to(jcc_forward(a, CC_E), s->back);
    alu_mem_imm(a, ALU_SUB, budget, 1, false);
    mov_store(a, addend, s->dst, true);
    patch_to(jcc_forward(a, CC_NE), s->back);
    mov_mem_imm(a, addend, (int32_t)GUESS_NEVER, true);
    mov_mem_imm(a, mem(R15, offsetof(ContextSet, guesses_spent)), 1, false);
    jmp_to(a, s->back);
}

/* The bytes that a probe answers for: those of the access, or of all its group; relative to at.base. */
typedef struct Span {
    int32_t first, last;
} Span;

static bool leads_group(const Emit *e, const IrInsn *insn)
{
    return insn->group && e->u->groups[insn->group].count > 1 && e->u->groups[insn->group].last > e->index;
}

static inline Span span_of(const Emit *e, Address at, const IrInsn *insn)
{
    Span s = { at.disp, at.disp + (int32_t)ir_access_bytes(insn) - 1 };
    if (leads_group(e, insn)) { /* a load or store */
        const IrGroup *g = &e->u->groups[insn->group];
        int64_t own;
        ir_address_root(e->u, insn, &own);
        s.first = at.disp + (int32_t)(g->low - own);
        s.last = at.disp + (int32_t)(g->high - 1 - own);
    }
    return s;
}

/* The page was found by another access of the group: see whether it was. */
static void check_group(Emit *e, Address at, int addend, ColdStub *stub)
{
    op_rr(&e->a, 0xf6 | BYTE_REG, 0, addend, false); /* test addend8, ADDEND_UNKNOWN */
    put_byte(&e->a, ADDEND_UNKNOWN);
    stub->from = jcc_forward(&e->a, CC_NE);
    note_deferred(e, stub);
    stub->va = at.base;
    stub->disp = at.disp;
    stub->retry = true;
}

/* A temporary register becomes the offset of the entry: shr index, 8; and index, (TLB_SIZE - 1) << 4. */
static void put_entry_offset(Asm *a, int index)
{
    G_STATIC_ASSERT(GUEST_PAGE_BITS - 4 == 8 && TLB_SIZE <= 1 << 20);
    put_bytes(a, 0x0000e08108e8c1 | (uint64_t)index << 8 | (uint64_t)index << 32 | (uint64_t)(TLB_SIZE - 1) << 44, 8);
    put_byte(a, 0);
}

/* and tag, -GUEST_PAGE_SIZE; cmp tag, the entry's */
static void put_tag_compare(Asm *a, int tag, int index, size_t table)
{
    G_STATIC_ASSERT(GUEST_PAGE_SIZE == 0x1000);
    uint64_t operands = (uint64_t)tag << 19 | 4 << 16 | (uint64_t)index << 27 | 7 << 24;
    put_bytes(a, 0xfffff000e08148 | (uint64_t)tag << 16, 7);
    if (table)
        put_bytes(a, 0x803b49 | operands | (uint64_t)table << 32, 8);
    else
        put_bytes(a, 0x3b49 | operands, 4);
}

/*
 * Probe the TLB. What follows until the stub's `back` runs only on the fast path: registers are to be taken before, as
 * taking one may spill another. Returns the register with the addend; the stub is jumped to on a miss.
 */
static inline int probe(Emit *e, Address at, const IrInsn *insn, size_t table, bool aligned, ColdStub *stub)
{
    Asm *a = &e->a;
    unsigned size = MO_BYTES(insn->aux);
    int index = scratch_int(e), tag = scratch_int(e);
    Span span = span_of(e, at, insn);
    if (span.first)
        lea(a, index, mem(at.base, span.first), false);
    else
        mov_rr(a, index, at.base, false);
    if (aligned && size > 1) {
        op_rr(a, 0xf6 | BYTE_REG, 0, index, false); /* test index8, size - 1 */
        put_byte(a, size - 1);
        stub->from_misaligned = jcc_forward(a, CC_NE);
    }
    put_entry_offset(a, index);
    int32_t last = aligned ? at.disp : span.last;
    if (last)
        lea(a, tag, mem(at.base, last), true);
    else
        mov_rr(a, tag, at.base, true);
    put_tag_compare(a, tag, index, table);
    stub->from = jcc_forward(a, CC_NE);
    note_deferred(e, stub);
    if (insn->op == OP_ld && insn->flags & IR_LD_RECURRENT)
        guess_addend(e, index, tag);
    else
        mov_load(a, tag, mem_index(R15, index, table + 8), true);
    e->busy &= ~(1u << index);
    stub->va = at.base;
    stub->disp = at.disp;
    return tag;
}

/* Floating-point registers have no swapping loads and stores. */
static bool swaps_float(const IrInsn *insn)
{
    return fp_type(insn->type) && insn->aux & MO_BIG_ENDIAN;
}

/* ---- streams ---- */

/*
 * What is known of a stream's page is in the frame. Going up: the addend holds for addresses below a limit. Going down:
 * for those above one. Otherwise: for a length of addresses from a start. An address here is the host register's value,
 * and all bytes of the access, or of its group, are in the page.
 */
enum { STREAM_LIMIT = 0, STREAM_ADDEND = 8, STREAM_LENGTH = 16 };

static Mem stream_mem(unsigned stream, int member)
{
    return mem(RSP, FRAME_STREAMS + (int)stream * STREAM_SIZE + member);
}

/* Nothing is known: no address is below 0, above the greatest, or one of none. */
static void reset_stream(Emit *e, unsigned stream)
{
    bool down = stream >= IR_STREAM_DOWN && stream < IR_STREAM_ANY;
    mov_mem_imm(&e->a, stream_mem(stream, stream < IR_STREAM_ANY ? STREAM_LIMIT : STREAM_LENGTH), down ? -1 : 0, true);
}

void emit_stream_resets(Emit *e, unsigned streams)
{
    for (; streams; streams &= streams - 1)
        reset_stream(e, (unsigned)__builtin_ctz(streams));
}

/* Instead of a probe: is the address still in the page that was found? Returns the register with the addend. */
static int check_stream(Emit *e, Address at, const IrInsn *insn, size_t table, ColdStub *look, ColdStub *stub)
{
    Asm *a = &e->a;
    unsigned stream = (unsigned)ir_stream(insn->flags);
    int index = scratch_int(e), addend = scratch_int(e);
    Span span = span_of(e, at, insn);
    if (stream < IR_STREAM_ANY) {
        alu_load(a, ALU_CMP, at.base, stream_mem(stream, STREAM_LIMIT), true);
        look->from = jcc_forward(a, stream < IR_STREAM_DOWN ? CC_AE : CC_BE);
    } else {
        mov_rr(a, addend, at.base, true);
        alu_load(a, ALU_SUB, addend, stream_mem(stream, STREAM_LIMIT), true);
        alu_load(a, ALU_CMP, addend, stream_mem(stream, STREAM_LENGTH), true);
        look->from = jcc_forward(a, CC_AE);
    }
    mov_load(a, addend, stream_mem(stream, STREAM_ADDEND), true);
    look->back = a->p;
    look->va = at.base;
    look->value = index;
    look->dst = addend;
    look->info = stream | (uint32_t)(table == WRITE_TABLE) << 8;
    look->disp = (int64_t)((uint64_t)span.last << 32 | (uint32_t)span.first);
    e->busy &= ~(1u << index);
    stub->va = at.base;
    stub->disp = at.disp;
    note_deferred(e, stub);
    return addend;
}

/* t: the page, where bytes first to last from the address were found. Note for which other addresses that holds: up,
 * while the last byte is before the next page; down, while the first is not before the page. One-way streams stop 64
 * KiB before the end of the address space, farther than they go in a turn: there each turn looks. */
static void note_stream(Emit *e, unsigned stream, int t, int32_t first, int32_t last)
{
    Asm *a = &e->a;
    if (stream >= IR_STREAM_ANY) {
        alu_imm(a, ALU_SUB, t, first, true);
        mov_store(a, stream_mem(stream, STREAM_LIMIT), t, true);
        mov_mem_imm(a, stream_mem(stream, STREAM_LENGTH), GUEST_PAGE_SIZE - (last - first), true);
        return;
    }
    bool up = stream < IR_STREAM_DOWN;
    alu_imm(a, ALU_ADD, t, up ? GUEST_PAGE_SIZE - last : -first - 1, true);
    mov_store(a, stream_mem(stream, STREAM_LIMIT), t, true);
    alu_imm(a, ALU_CMP, t, up ? -65536 : 65536, true);
    uint8_t *far = jcc_short(a, up ? CC_BE : CC_AE);
    reset_stream(e, stream);
    patch_short(far, a->p);
}

/* Look the page up; a miss goes to the access's own stub, which is next. */
void emit_stream_stub(Emit *e, ColdStub *s)
{
    Asm *a = &e->a;
    int index = s->value, t = s->dst;
    int32_t first = (int32_t)s->disp, last = (int32_t)(s->disp >> 32);
    unsigned stream = s->info & 0xff;
    size_t table = s->info >> 8 ? WRITE_TABLE : READ_TABLE;
    patch_to(s->from, a->p);
    lea(a, index, mem(s->va, first), false);
    put_entry_offset(a, index);
    lea(a, t, mem(s->va, last), true);
    alu_imm(a, ALU_AND, t, -GUEST_PAGE_SIZE, true);
    alu_load(a, ALU_CMP, t, mem_index(R15, index, table), true);
    s[1].from = jcc_forward(a, CC_NE);
    note_stream(e, stream, t, first, last);
    mov_load(a, t, mem_index(R15, index, table + 8), true);
    mov_store(a, stream_mem(stream, STREAM_ADDEND), t, true);
    jmp_to(a, s->back);
}

/* The stub of a stream's look-up, before that of its access; NULL: not a stream. */
static ColdStub *stream_stub(Emit *e, const IrInsn *insn, int known)
{
    return known == NO_REG && !e->slow_turn && ir_stream(insn->flags) >= 0 && !swaps_float(insn)
               ? new_stub(e, STUB_STREAM)
               : NULL;
}

static ColdStub *memory_stub(Emit *e, const IrInsn *insn, int kind)
{
    ColdStub *s = new_stub(e, kind);
    s->info = stub_info(e, insn);
    s->value = s->value2 = s->dst = NO_REG;
    return s;
}

static void load_swapped(Emit *e, int dst, Mem m, unsigned memop)
{
    Asm *a = &e->a;
    unsigned size = memop & MO_SIZE;
    if (size == MO_16) {
        op_rm(a, P_0F | 0xb7, dst, m, false);
        put_opcode(a, P_66 | 0xc1, dst >> 3);
        put_byte(a, 0xc0 | (dst & 7)); /* rol dst16, 8 */
        put_byte(a, 8);
        if (memop & MO_SIGNED)
            op_rr(a, P_0F | 0xbf, dst, dst, true);
        return;
    }
    mov_load(a, dst, m, size == MO_64);
    put_opcode(a, P_0F | 0xc8 | (dst & 7), (size == MO_64 ? 8 : 0) | dst >> 3);
    if (memop & MO_SIGNED && size == MO_32)
        op_rr(a, 0x63, dst, dst, true);
}

static void load_plain(Emit *e, int dst, Mem m, unsigned memop, bool wide)
{
    static const uint32_t zero[] = { P_0F | 0xb6, P_0F | 0xb7, 0x8b, 0x8b };
    static const uint32_t sign[] = { P_0F | 0xbe, P_0F | 0xbf, 0x63, 0x8b };
    unsigned size = memop & MO_SIZE;
    if (memop & MO_SIGNED && (size != MO_32 || wide))
        op_rm(&e->a, sign[size], dst, m, wide);
    else
        op_rm(&e->a, zero[size], dst, m, size == MO_64);
}

/* The access always takes the stub. */
static void emit_by_stub(Emit *e, Address at, ColdStub *s)
{
    s->va = at.base;
    s->disp = at.disp;
    s->from = jmp_forward(&e->a);
    note_deferred(e, s);
}

/* The access of the stub has found the page of its group. */
static void lead_group(Emit *e, const IrInsn *insn, int addend, ColdStub *stub)
{
    keep_addend(e, insn->group, addend);
    stub->addend = addend;
    stub->retry = true;
}

static void load_value(Emit *e, const IrInsn *insn, int dst, Mem m)
{
    if (ir_is_vector(insn->type))
        load_vector(&e->a, dst, m, insn->aux & IR_VECTOR_SIZE);
    else if (fp_type(insn->type))
        op_rm(&e->a, (MO_BYTES(insn->aux) == 4 ? P_F3 : P_F2) | P_0F | 0x10, dst - XMM0, m, false);
    else if (insn->aux & MO_BIG_ENDIAN && insn->aux & MO_SIZE)
        load_swapped(e, dst, m, insn->aux);
    else
        load_plain(e, dst, m, insn->aux, insn->type == IR_I64);
}

static bool in_fast_loop(const Emit *e, const IrInsn *insn)
{
    return e->loop && ir_stream(insn->flags) >= 0;
}

/* In the fast copy of a loop: the page is known. */
static void emit_fast_load(Emit *e, const IrInsn *insn)
{
    Address at = use_address(e, insn, insn->imm);
    int dst = def_reg(e, insn->dst, 0), addend = walk_addend(e, insn);
    load_value(e, insn, dst, mem_index(at.base, addend, at.disp));
    def_done(e, insn->dst, dst);
}

/* Vectors use slow paths that keep whole vectors. */
static int load_stub(Emit *e, const IrInsn *insn)
{
    e->vectors |= ir_is_vector(insn->type);
    return ir_is_vector(insn->type) ? STUB_LOAD_VECTOR : STUB_LOAD;
}

/* Has this segment seen that the access is aligned? From now on it has. */
static bool known_aligned(Emit *e, const IrInsn *insn, unsigned mask)
{
    int64_t offset;
    IrTmp root = ir_address_root(e->u, insn, &offset);
    uint8_t phase = (uint8_t)(offset & mask);
    for (unsigned i = 0; i < G_N_ELEMENTS(e->aligned); i++)
        if (e->aligned[i].root == root && e->aligned[i].mask >= mask && (e->aligned[i].phase & mask) == phase)
            return true;
    unsigned next = e->aligned_next++ % G_N_ELEMENTS(e->aligned);
    e->aligned[next].root = root;
    e->aligned[next].phase = phase;
    e->aligned[next].mask = (uint8_t)mask;
    return false;
}

/* Of a vector: whatever tells its page, the address must be a multiple of its size. */
static void check_alignment(Emit *e, Address at, const IrInsn *insn, ColdStub *s)
{
    Asm *a = &e->a;
    if (!ir_is_vector(insn->type) || !(insn->aux & MO_ALIGN))
        return;
    unsigned mask = ir_access_bytes(insn) - 1;
    if (known_aligned(e, insn, mask))
        return;
    store_deferred(e, UINT_MAX); /* registers may change between this jump to the stub and the other */
    if (at.disp & (int32_t)mask) {
        uint32_t busy = e->busy;
        int t = scratch_int(e);
        lea(a, t, mem(at.base, at.disp), false);
        test_imm(a, t, (int32_t)mask);
        e->busy = busy;
    } else {
        op_rr(a, 0xf6 | BYTE_REG, 0, at.base, false); /* test base8, mask */
        put_byte(a, mask);
    }
    s->from_misaligned = jcc_forward(a, CC_NE);
    s->va = at.base;
    s->disp = at.disp;
}

static void emit_load(Emit *e, const IrInsn *insn)
{
    if (in_fast_loop(e, insn)) {
        emit_fast_load(e, insn);
        return;
    }
    int known = group_addend(e, insn);
    Address at = use_address(e, insn, insn->imm);
    ColdStub *look = stream_stub(e, insn, known), *s = memory_stub(e, insn, load_stub(e, insn));
    bool aligned = insn->aux & MO_ALIGN && !ir_is_vector(insn->type);
    check_alignment(e, at, insn, s);
    if (swaps_float(insn)) {
        s->dst = def_reg(e, insn->dst, 0);
        emit_by_stub(e, at, s);
        s->back = e->a.p;
        def_done(e, insn->dst, s->dst);
        return;
    }
    int dst = def_reg(e, insn->dst, 0);
    bool leads = known == NO_REG && leads_group(e, insn);
    int addend = known;
    if (known != NO_REG)
        check_group(e, at, known, s);
    else if (look)
        addend = check_stream(e, at, insn, READ_TABLE, look, s);
    else
        addend = probe(e, at, insn, READ_TABLE, aligned, s);
    load_value(e, insn, dst, mem_index(at.base, addend, at.disp));
    s->back = e->a.p;
    s->dst = dst;
    def_done(e, insn->dst, dst);
    if (leads)
        lead_group(e, insn, addend, s);
}

static void store_value(Emit *e, Mem m, int value, unsigned memop)
{
    Asm *a = &e->a;
    switch (memop & MO_SIZE) {
    case MO_8:
        op_rm(a, 0x88 | BYTE_REG, value, m, false);
        break;
    case MO_16:
        op_rm(a, P_66 | 0x89, value, m, false);
        break;
    default:
        mov_store(a, m, value, (memop & MO_SIZE) == MO_64);
    }
}

static void emit_fast_store(Emit *e, const IrInsn *insn)
{
    int value = use_reg(e, insn->arg[1]);
    check_later_nan(e, value);
    Address at = use_address(e, insn, insn->imm);
    int addend = walk_addend(e, insn);
    Mem m = mem_index(at.base, addend, at.disp);
    if (ir_is_vector(insn->type))
        store_vector(&e->a, value, m, insn->aux & IR_VECTOR_SIZE);
    else if (fp_type(insn->type))
        op_rm(&e->a, (MO_BYTES(insn->aux) == 4 ? P_F3 : P_F2) | P_0F | 0x11, value - XMM0, m, false);
    else
        store_value(e, m, value, insn->aux);
}

static void emit_store(Emit *e, const IrInsn *insn)
{
    if (in_fast_loop(e, insn)) {
        emit_fast_store(e, insn);
        return;
    }
    bool vector = ir_is_vector(insn->type);
    unsigned size = ir_access_bytes(insn);
    bool swap = insn->aux & MO_BIG_ENDIAN && size > 1 && !vector;
    int known = group_addend(e, insn);
    int value = use_reg(e, insn->arg[1]);
    check_later_nan(e, value);
    Address at = use_address(e, insn, insn->imm);
    ColdStub *look = stream_stub(e, insn, known), *s = memory_stub(e, insn, vector ? STUB_STORE_VECTOR : STUB_STORE);
    e->vectors |= vector;
    s->value = value;
    check_alignment(e, at, insn, s);
    if (swaps_float(insn)) {
        emit_by_stub(e, at, s);
        s->back = e->a.p;
        return;
    }
    int t = swap ? scratch_int(e) : NO_REG;
    int addend = known;
    if (known != NO_REG)
        check_group(e, at, known, s);
    else if (look)
        addend = check_stream(e, at, insn, WRITE_TABLE, look, s);
    else
        addend = probe(e, at, insn, WRITE_TABLE, insn->aux & MO_ALIGN && !vector, s);
    Mem m = mem_index(at.base, addend, at.disp);
    if (vector) {
        store_vector(&e->a, value, m, insn->aux & IR_VECTOR_SIZE);
    } else if (fp_type(insn->type)) {
        op_rm(&e->a, (size == 4 ? P_F3 : P_F2) | P_0F | 0x11, value - XMM0, m, false);
    } else if (swap) {
        mov_rr(&e->a, t, value, true);
        put_opcode(&e->a, P_0F | 0xc8 | (t & 7), 8 | t >> 3);
        if (size < 8)
            shift_imm(&e->a, SHIFT_SHR, t, 64 - 8 * size, true);
        store_value(e, m, t, insn->aux);
    } else {
        store_value(e, m, value, insn->aux);
    }
    s->back = e->a.p;
    if (known == NO_REG && leads_group(e, insn))
        lead_group(e, insn, addend, s);
}

/* lock op [m], value: where nobody wants the old value */
static bool amo_without_result(const Emit *e, const IrInsn *insn)
{
    return !e->u->tmps[insn->dst].uses &&
           (insn->imm == AMO_ADD || insn->imm == AMO_AND || insn->imm == AMO_OR || insn->imm == AMO_XOR);
}

static void extend_old(Emit *e, int dst, unsigned memop, bool wide)
{
    if ((memop & MO_SIZE) < MO_32) { /* movzx, movsx */
        unsigned op = 0xb6 | (memop & MO_SIZE) | (memop & MO_SIGNED ? 8 : 0);
        op_rr(&e->a, P_0F | op | ((memop & MO_SIZE) ? 0 : BYTE_REG), dst, dst, memop & MO_SIGNED && wide);
    } else if ((memop & MO_SIZE) == MO_32 && wide) {
        if (memop & MO_SIGNED)
            op_rr(&e->a, 0x63, dst, dst, true);
        else
            mov_rr(&e->a, dst, dst, false);
    }
}

/* Other threads than the one vCPU never change what guests use atomics on. */
static void lock_prefix(Emit *e)
{
    if (thunk_table.parallel)
        put_byte(&e->a, 0xf0);
}

/* An opcode for operands of 2, 4 or 8 bytes as that for `size`. */
static uint32_t sized_op(uint32_t op, unsigned size)
{
    return size == 1 ? (op & ~1u) | BYTE_REG : size == 2 ? op | P_66 : op;
}

/* What has no host instruction always takes the stub. */
static void emit_amo(Emit *e, const IrInsn *insn)
{
    static const uint8_t lock_op[] = {
        [AMO_ADD] = ALU_ADD, [AMO_AND] = ALU_AND, [AMO_OR] = ALU_OR, [AMO_XOR] = ALU_XOR
    };
    unsigned size = MO_BYTES(insn->aux);
    bool silent = amo_without_result(e, insn), is64 = size == 8;
    int value = use_reg(e, insn->arg[1]);
    Address at = use_address(e, insn, 0);
    ColdStub *s = memory_stub(e, insn, STUB_AMO);
    s->value = value;
    uint8_t kind = insn->imm;
    if (!(insn->aux & MO_BIG_ENDIAN) && (silent || kind == AMO_SWAP || kind == AMO_ADD)) {
        int dst = silent ? NO_REG : scratch_int(e), addend = probe(e, at, insn, WRITE_TABLE, true, s);
        Mem m = mem_index(at.base, addend, at.disp);
        if (silent) {
            lock_prefix(e);
            op_rm(&e->a, sized_op(lock_op[kind] << 3 | 1, size), value, m, is64);
        } else {
            if (kind == AMO_SWAP && !thunk_table.parallel && size >= 4) { /* xchg always locks */
                mov_load(&e->a, dst, m, is64);
                mov_store(&e->a, m, value, is64);
            } else {
                mov_rr(&e->a, dst, value, is64);
                if (kind == AMO_ADD)
                    lock_prefix(e);
                op_rm(&e->a, sized_op(kind == AMO_ADD ? P_0F | 0xc1 : 0x87, size), dst, m, is64); /* lock xadd, xchg */
            }
            extend_old(e, dst, insn->aux, insn->type == IR_I64);
        }
        s->dst = dst;
        s->back = e->a.p;
        if (dst != NO_REG)
            def_done(e, insn->dst, dst);
        else
            e->place[insn->dst].where = AT_NOWHERE;
    } else {
        s->dst = def_reg(e, insn->dst, 0);
        emit_by_stub(e, at, s);
        s->back = e->a.p;
        def_done(e, insn->dst, s->dst);
    }
    s->value2 = kind; /* a number here, not a register */
}

static void emit_cas(Emit *e, const IrInsn *insn)
{
    unsigned size = MO_BYTES(insn->aux);
    bool is64 = size == 8;
    evict(e, RAX); /* what cmpxchg compares with and leaves the old value in; all five temporaries are needed */
    e->busy |= 1u << RAX;
    int value = use_reg(e, insn->arg[2]);
    Address at = use_address(e, insn, 0);
    move_place(e, RAX, insn->arg[1]);
    ColdStub *s = memory_stub(e, insn, STUB_CAS);
    s->value = RAX;
    s->value2 = value;
    s->dst = RAX;
    if (!(insn->aux & MO_BIG_ENDIAN)) {
        int addend = probe(e, at, insn, WRITE_TABLE, true, s);
        lock_prefix(e);
        op_rm(&e->a, sized_op(P_0F | 0xb1, size), value, mem_index(at.base, addend, at.disp), is64); /* lock cmpxchg */
        extend_old(e, RAX, insn->aux, insn->type == IR_I64);
    } else {
        emit_by_stub(e, at, s);
    }
    s->back = e->a.p;
    e->host[RAX] = (HostReg){ 0, -1, 0 };
    def_done(e, insn->dst, RAX);
}

static void frame_store(Emit *e, int32_t slot, int reg)
{
    uint64_t operands = 0x24000048 | (uint64_t)(reg >> 3 & 1) << 2 | (uint64_t)(reg & 7) << 19;
    if (is_xmm(reg))
        op_rm(&e->a, P_F2 | P_0F | 0x11, reg - XMM0, mem(RSP, slot), false);
    else if (slot)
        put_bytes(&e->a, operands | 0x448900 | (uint64_t)slot << 32, 5);
    else
        put_bytes(&e->a, operands | 0x048900, 4);
}

void emit_memory_stub(Emit *e, const ColdStub *s)
{
    static const uint8_t thunks[][2] = { [STUB_LOAD] = { THUNK_REFILL_LOAD, THUNK_RETRY_LOAD },
                                         [STUB_STORE] = { THUNK_REFILL_STORE, THUNK_RETRY_STORE },
                                         [STUB_LOAD_VECTOR] = { THUNK_REFILL_LOAD_VECTOR, THUNK_RETRY_LOAD_VECTOR },
                                         [STUB_STORE_VECTOR] = { THUNK_REFILL_STORE_VECTOR, THUNK_RETRY_STORE_VECTOR },
                                         [STUB_AMO] = { THUNK_AMO },
                                         [STUB_CAS] = { THUNK_CAS } };
    Asm *a = &e->a;
    const uint8_t *here = a->p;
    patch_to(s->from, here);
    if (s->from_misaligned)
        patch_to(s->from_misaligned, here);
    if (s->nans)
        emit_stub_nans(e, s);
    put_deferred(e, s, false);
    unsigned size = s->info & IR_VECTOR_SIZE;
    bool vector = s->kind == STUB_LOAD_VECTOR || s->kind == STUB_STORE_VECTOR;
    if (s->kind == STUB_STORE_VECTOR)
        store_vector(a, s->value, mem(RSP, FRAME_BUFFER), size);
    else if (s->value != NO_REG)
        frame_store(e, FRAME_VALUE, s->value);
    if (s->kind == STUB_CAS)
        frame_store(e, FRAME_VALUE2, s->value2);
    if (s->kind == STUB_AMO)
        mov_mem_imm(a, mem(RSP, FRAME_VALUE2), s->value2, true);
    frame_store(e, FRAME_VA, s->va);
    if (s->disp)
        alu_mem_imm(a, ALU_ADD, mem(RSP, FRAME_VA), s->disp, true);
    put_bytes(a, 0x2444c7 | FRAME_INFO << 24 | (uint64_t)s->info << 32, 8); /* mov dword [rsp + FRAME_INFO], info */
    call_to(a, slow_thunk(e, thunks[s->kind][s->retry]));
    if (s->addend != NO_REG)
        mov_imm(a, s->addend, ADDEND_UNKNOWN);
    if (s->dst != NO_REG) {
        if (vector)
            load_vector(a, s->dst, mem(RSP, FRAME_BUFFER), size);
        else if (is_xmm(s->dst))
            op_rm(a, P_F2 | P_0F | 0x10, s->dst - XMM0, mem(RSP, FRAME_RESULT), false);
        else
            mov_load(a, s->dst, mem(RSP, FRAME_RESULT), true);
    }
    jmp_to(a, s->back);
}

/* The host address, or 0 by a stub. */
static void emit_probe(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    Address at = use_address(e, insn, 0);
    size_t table = insn->aux ? WRITE_TABLE : READ_TABLE;
    int index = scratch_int(e), dst = scratch_int(e);
    mov_rr(a, index, at.base, false);
    put_entry_offset(a, index);
    lea(a, dst, mem(at.base, (int32_t)insn->imm - 1), true);
    alu_imm(a, ALU_AND, dst, -GUEST_PAGE_SIZE, true);
    alu_load(a, ALU_CMP, dst, mem_index(R15, index, table), true);
    ColdStub *s = new_stub(e, STUB_PROBE);
    s->from = jcc_forward(a, CC_NE);
    mov_load(a, dst, mem_index(R15, index, table + 8), true);
    alu_rr(a, ALU_ADD, dst, at.base, true);
    s->back = a->p;
    s->dst = dst;
    def_done(e, insn->dst, dst);
}

bool emit_memory(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_ld:
        e->out->loads++;
        emit_load(e, insn);
        break;
    case OP_st:
        e->out->stores++;
        emit_store(e, insn);
        break;
    case OP_amo:
        emit_amo(e, insn);
        break;
    case OP_cas:
        emit_cas(e, insn);
        break;
    case OP_probe:
        emit_probe(e, insn);
        break;
    case OP_fence:
        if (insn->imm & FENCE_STORE_LOAD) { /* lock or dword [rsp - 8], 0: cheaper than mfence */
            put_byte(&e->a, 0xf0);
            alu_mem_imm(&e->a, ALU_OR, mem(RSP, -8), 0, false);
        }
        break;
    default:
        return false;
    }
    return true;
}
