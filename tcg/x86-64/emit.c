/*
 * x86-64 back end: one unit, and control flow (see tcg/emit.h and regs.h). Cold stubs follow the unit's code.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"
#include <cpuid.h>

HostFeatures host_features;

bool emit_available(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return false;
    bool os_avx = (c & bit_OSXSAVE) && (c & bit_AVX);
    host_features = (HostFeatures){ .popcnt = c & bit_POPCNT,
                                    .movbe = c & bit_MOVBE,
                                    .sse41 = c & bit_SSE4_1,
                                    .avx = os_avx,
                                    .avx2 = os_avx && __builtin_cpu_supports("avx2") && (c & bit_FMA),
                                    .fma = (c & bit_FMA) && os_avx };
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        host_features.bmi1 = (b & bit_BMI) && os_avx; /* VEX-encoded: the system must save AVX state */
        host_features.bmi2 = (b & bit_BMI2) && os_avx;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        host_features.lzcnt = c & bit_LZCNT;
    return host_features.popcnt && host_features.sse41;
}

bool emit_vectors(void)
{
    return host_features.avx2;
}

/* ---- exits ---- */

static void add_exit(Emit *e, uint8_t *field, int64_t target)
{
    EmitResult *out = e->out;
    ColdStub *s = new_stub(e, STUB_CHAIN);
    if (out->exit_count == EMIT_MAX_EXITS) {
        e->failed = true;
        return;
    }
    s->from = field;
    s->info = out->exit_count;
    out->exits[out->exit_count++] = (EmitExit){ .jump = field - e->start, .target = target };
}

/* No-ops until the field that follows `opcode_bytes` of opcode is 4-byte aligned. */
static void align_field(Asm *a, unsigned opcode_bytes)
{
    static const uint8_t nops[4][3] = { { 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
    unsigned n = -(uintptr_t)(a->p + opcode_bytes) & 3;
    for (unsigned i = 0; i < n; i++)
        put_byte(a, nops[n][i]);
}

/* rest: instructions to give back to the count, as the present one is done over. */
static void emit_poll_check(Emit *e, int64_t offset, unsigned rest)
{
    alu_mem_imm(&e->a, ALU_CMP, CPU_FIELD(poll), 0, false);
    ColdStub *s = new_stub(e, STUB_POLL);
    s->from = jcc_forward(&e->a, CC_NE);
    s->disp = offset;
    s->info = rest;
    note_deferred(e, s);
}

static void emit_icount(Emit *e, const IrInsn *insn)
{
    alu_mem_imm(&e->a, ALU_SUB, CPU_FIELD(icount), insn->aux, false);
    ColdStub *s = new_stub(e, STUB_ICOUNT);
    s->from = jcc_forward(&e->a, CC_S);
    s->disp = insn->imm;
    s->info = insn->aux;
}

/* Go to the virtual address in rax: poll, probe the jump cache. rcx and rdx are lost. */
static void emit_jump_to_rax(Emit *e)
{
    Asm *a = &e->a;
    alu_mem_imm(a, ALU_CMP, CPU_FIELD(poll), 0, false);
    ColdStub *s = new_stub(e, STUB_MISS);
    s->from_misaligned = jcc_forward(a, CC_NE);
    mov_rr(a, RCX, RAX, false);
    shift_imm(a, SHIFT_SHL, RCX, 3, false);
    alu_imm(a, ALU_AND, RCX, (JUMP_CACHE_SIZE - 1) << 4, false);
    alu_load(a, ALU_CMP, RAX, mem_index(R15, RCX, offsetof(ContextSet, jumps)), true);
    s->from = jcc_forward(a, CC_NE);
    alu_imm(a, ALU_AND, RAX, -GUEST_PAGE_SIZE, true);
    mov_store(a, CPU_FIELD(pc_base), RAX, true);
    op_rm(a, 0xff, 4, mem_index(R15, RCX, offsetof(ContextSet, jumps) + 8), false); /* jmp [] */
}

static void emit_jump(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    if (insn->imm >= 0 && insn->imm < GUEST_PAGE_SIZE) {
        if (insn->aux)
            emit_poll_check(e, insn->imm, 0);
        align_field(a, 1);
        add_exit(e, jmp_forward(a), insn->imm);
        return;
    }
    mov_load(a, RAX, CPU_FIELD(pc_base), true);
    if (insn->imm == (int32_t)insn->imm) {
        alu_imm(a, ALU_ADD, RAX, insn->imm, true);
    } else {
        mov_imm(a, RCX, insn->imm);
        alu_rr(a, ALU_ADD, RAX, RCX, true);
    }
    emit_jump_to_rax(e);
}

static void emit_jump_ind(Emit *e, const IrInsn *insn)
{
    bool wide = insn->type == IR_I64;
    int x = use_reg(e, insn->arg[0]);
    if (x != RAX || !wide)
        mov_rr(&e->a, RAX, x, wide);
    emit_jump_to_rax(e);
}

static void emit_brjump(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    int cc = emit_compare(e, insn);
    if (deferred_mask(e, 0) && insn->imm >= 0 && insn->imm < GUEST_PAGE_SIZE) {
        ColdStub *s = new_stub(e, STUB_SETTLE_JUMP);
        s->from = jcc_forward(a, cc);
        s->disp = insn->imm;
        note_deferred(e, s);
    } else if (insn->imm >= 0 && insn->imm < GUEST_PAGE_SIZE) {
        align_field(a, 2);
        add_exit(e, jcc_forward(a, cc), insn->imm);
    } else {
        ColdStub *s = new_stub(e, STUB_POLL_IND);
        s->from = jcc_forward(a, cc);
        s->disp = insn->imm;
        note_deferred(e, s);
    }
}

static void branch_to_label(Emit *e, uint8_t *field, unsigned label)
{
    if (e->slow_turn && e->labels[label]) {
        bool back = e->u->label_insn[label] < e->index && e->u->label_insn[label] >= e->slow_head;
        patch_to(field, back ? e->labels[label] : e->entries[label]);
    } else if (e->labels[label]) {
        patch_to(field, e->index < e->u->cold_from ? e->labels[label] : e->entries[label]);
    } else if (e->fixup_count < MAX_FIXUPS) {
        e->fixups[e->fixup_count].field = field;
        e->fixups[e->fixup_count++].label = label;
    } else {
        e->failed = true;
    }
}

/* To this distance from the page's start, as if it were an indirect jump. */
static void jump_by_cache(Asm *a, int64_t disp)
{
    mov_load(a, RAX, CPU_FIELD(pc_base), true);
    if (disp == (int32_t)disp) {
        alu_imm(a, ALU_ADD, RAX, disp, true);
    } else {
        mov_imm(a, RCX, disp);
        alu_rr(a, ALU_ADD, RAX, RCX, true);
    }
    jmp_to(a, thunk(THUNK_JUMP));
}

static void emit_stub(Emit *e, ColdStub *s)
{
    Asm *a = &e->a;
    switch (s->kind) {
    case STUB_SETTLE:
        patch_to(s->from, a->p);
        put_deferred(e, s, true);
        jmp_to(a, e->entries[s->info]);
        break;
    case STUB_SETTLE_JUMP: {
        int64_t target = s->disp;
        patch_to(s->from, a->p);
        put_deferred(e, s, true);
        align_field(a, 1);
        add_exit(e, jmp_forward(a), target);
        break;
    }
    case STUB_POLL:
    case STUB_ICOUNT:
        patch_to(s->from, a->p);
        put_deferred(e, s, true);
        if (s->info)
            alu_mem_imm(a, ALU_ADD, CPU_FIELD(icount), s->info, false);
        mov_imm(a, RCX, s->disp);
        mov_imm(a, RAX, s->kind == STUB_POLL ? EXIT_POLL : EXIT_ICOUNT);
        jmp_to(a, thunk(THUNK_EXIT));
        break;
    case STUB_CHAIN: {
        EmitExit *exit = &e->out->exits[s->info];
        exit->stub = a->p - e->start;
        patch_to(s->from, a->p);
        mov_imm(a, RCX, exit->target);
        mov_imm(a, RAX, EXIT_CHAIN | ((uint64_t)e->unit_id * EMIT_MAX_EXITS + s->info) << 8);
        jmp_to(a, thunk(THUNK_EXIT));
        exit->other = 0;
        if (exit->target >= EMIT_CROSSING) {
            exit->other = a->p - e->start;
            jump_by_cache(a, exit->target);
        }
        break;
    }
    case STUB_MISS:
        patch_to(s->from, a->p);
        patch_to(s->from_misaligned, a->p);
        jmp_to(a, thunk(THUNK_JUMP));
        break;
    case STUB_POLL_IND:
        patch_to(s->from, a->p);
        put_deferred(e, s, true);
        jump_by_cache(a, s->disp);
        break;
    case STUB_GUARD:
        patch_to(s->from, a->p);
        emit_stub_nans(e, s);
        put_deferred(e, s, false);
        mov_imm(a, RSI, s->info);
        mov_mem_imm(a, mem(RSP, FRAME_INFO), s->insn, false);
        mov_imm(a, RAX, (intptr_t)e->u->helpers[s->value].fn - (intptr_t)emit_unit);
        call_to(a, thunk(THUNK_CALL)); /* does not return */
        break;
    case STUB_PROBE:
        patch_to(s->from, a->p);
        alu_rr(a, ALU_XOR, s->dst, s->dst, false);
        jmp_to(a, s->back);
        break;
    case STUB_X87: {
        X87Place p = { .held = 1 };
        patch_to(s->from, a->p);
        x87_drop(a, &p);
        jmp_to(a, e->entries[s->info]);
        break;
    }
    case STUB_GUESS:
        emit_guess_stub(e, s);
        break;
    case STUB_STREAM:
        emit_stream_stub(e, s);
        break;
    case STUB_LOOP:
        emit_loop_stub(e, s);
        break;
    case STUB_NAN:
    case STUB_FMA:
    case STUB_SOFT:
        emit_float_stub(e, s);
        break;
    default:
        emit_memory_stub(e, s);
    }
}

/* ---- state and helpers ---- */

/* The comparison that is next does it. */
static bool is_for_test(const Emit *e, const IrInsn *insn)
{
    const IrUnit *u = e->u;
    unsigned i = u->tmps[insn->dst].last_use;
    if (insn->aux != MO_8 || i >= u->count || !ir_tests_state(u, &u->insns[i]))
        return false;
    while (--i > e->index)
        if (u->insns[i].op != OP_nop && u->insns[i].op != OP_const)
            return false;
    return true;
}

static int test_state(Emit *e, const IrInsn *insn)
{
    op_rm(&e->a, 0x80, ALU_CMP, state_mem(e->u->insns[e->u->tmps[insn->arg[0]].def].imm), false);
    put_byte(&e->a, 0);
    return insn->aux == COND_NE ? CC_NE : CC_E;
}

static void emit_ldstate(Emit *e, const IrInsn *insn)
{
    if (is_for_test(e, insn)) {
        e->place[insn->dst].where = AT_NOWHERE;
        return;
    }
    static const uint32_t zero[] = { P_0F | 0xb6, P_0F | 0xb7, 0x8b, 0x8b };
    static const uint32_t sign[] = { P_0F | 0xbe, P_0F | 0xbf, 0x63, 0x8b };
    unsigned size = insn->aux & MO_SIZE;
    bool wide = insn->type == IR_I64, is_signed = insn->aux & MO_SIGNED && (size != MO_32 || wide);
    int dst = def_reg(e, insn->dst, 0);
    op_rm(&e->a, is_signed ? sign[size] : zero[size], dst, state_mem(insn->imm), is_signed ? wide : size == MO_64);
    def_done(e, insn->dst, dst);
}

static void emit_ststate(Emit *e, const IrInsn *insn)
{
    Mem m = state_mem(insn->imm);
    unsigned size = insn->aux & MO_SIZE;
    int32_t imm;
    if (is_imm32(e, insn->arg[0], &imm) && size != MO_16) {
        if (size == MO_8) {
            op_rm(&e->a, 0xc6, 0, m, false);
            put_byte(&e->a, imm);
        } else {
            mov_mem_imm(&e->a, m, imm, size == MO_64);
        }
        return;
    }
    int x = use_reg(e, insn->arg[0]);
    if (size == MO_8)
        op_rm(&e->a, 0x88 | BYTE_REG, x, m, false);
    else
        op_rm(&e->a, size == MO_16 ? P_66 | 0x89 : 0x89, x, m, size == MO_64);
}

static void emit_call(Emit *e, const IrInsn *insn)
{
    static const uint8_t where[] = { RSI, RDX, RCX };
    Asm *a = &e->a;
    const HelperDesc *h = &e->u->helpers[insn->imm];
    spill_all(e, h->flags & HELPER_WRITES);
    if (insn->arg[3]) {
        move_place(e, RAX, insn->arg[3]);
        mov_store(a, mem(RSP, FRAME_VALUE), RAX, true);
    }
    for (unsigned k = 0; k < 3; k++) {
        if (insn->arg[k])
            move_place(e, where[k], insn->arg[k]);
    }
    if (e->wide_vectors && !thunk_table.pinned_vectors)
        vzeroupper(a);
    mov_mem_imm(a, mem(RSP, FRAME_INFO), e->insn_offset, false);
    mov_imm(a, RAX, (intptr_t)h->fn - (intptr_t)emit_unit);
    call_to(a, thunk(THUNK_CALL));
    regs_forget_guests(e);
    if (insn->dst && e->u->tmps[insn->dst].uses) {
        int dst = def_reg(e, insn->dst, 0);
        mov_load(a, dst, mem(RSP, FRAME_RESULT), true);
        def_done(e, insn->dst, dst);
    }
}

/* ---- driver ---- */

/* Does it change the state that is in the x87's st(0)? */
static bool writes_held(const Emit *e, const IrInsn *insn)
{
    return (insn->op == OP_ststate || insn->op == OP_vststate) && insn->imm < e->x87.held + 16 &&
           insn->imm + 32 > e->x87.held;
}

/* What must be in the state before the instruction. Forward branches have stubs for that: they are not always taken. */
static void settle_before(Emit *e, const IrInsn *insn, bool forward)
{
    if (insn->op == OP_brcond && (!forward || e->x87.held))
        store_deferred(e, deferred_mask(e, e->u->dead_at[insn->imm]));
    else if (ir_op_traits[insn->op] & IR_LAST ||
             (insn->op == OP_call && e->u->helpers[insn->imm].flags & (HELPER_READS | HELPER_WRITES | HELPER_RAISES)))
        settle_deferred(e, 0);
}

static inline void emit_insn(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    unsigned traits = ir_op_traits[insn->op];
    if (G_UNLIKELY(e->any_deferred || e->x87.held)) {
        bool forward = insn->op == OP_brcond && !e->labels[insn->imm];
        if (e->any_deferred)
            settle_before(e, insn, forward);
        if (e->x87.held && ((traits & IR_LEAVES && !forward) || writes_held(e, insn)))
            x87_drop(a, &e->x87);
    }
    if (traits & IR_LEAVES) {
        if (e->unchecked)
            check_later_nans(e);
        if (traits & IR_LAST && e->wide_vectors && !thunk_table.pinned_vectors)
            vzeroupper(a); /* what runs next is code for SSE, which old upper halves slow down on some hosts */
    }
    switch (insn->op) {
    case OP_getreg:
        emit_getreg(e, insn);
        break;
    case OP_setreg:
        emit_setreg(e, insn);
        break;
    case OP_ldstate:
        emit_ldstate(e, insn);
        break;
    case OP_ststate:
        emit_ststate(e, insn);
        break;
    case OP_getpc: {
        int dst = def_reg(e, insn->dst, 0);
        mov_load(a, dst, CPU_FIELD(pc_base), true);
        if (insn->imm == (int32_t)insn->imm) {
            alu_imm(a, ALU_ADD, dst, insn->imm, true);
        } else {
            int t = dst == RAX ? RCX : RAX;
            evict(e, t);
            mov_imm(a, t, insn->imm);
            alu_rr(a, ALU_ADD, dst, t, true);
        }
        def_done(e, insn->dst, dst);
        break;
    }
    case OP_label:
        settle_deferred(e, e->u->dead_at[insn->imm]);
        regs_begin_segment(e);
        e->entries[insn->imm] = a->p;
        if (insn->group)
            emit_stream_resets(e, insn->group);
        e->labels[insn->imm] = a->p;
        if (insn->aux)
            emit_loop_head(e, insn);
        break;
    case OP_br:
        settle_deferred(e, e->u->dead_at[insn->imm]);
        branch_to_label(e, jmp_forward(a), insn->imm);
        break;
    case OP_brcond: {
        bool state = ir_tests_state(e->u, insn) && e->place[insn->arg[0]].where == AT_NOWHERE;
        uint8_t *field = jcc_forward(a, state ? test_state(e, insn) : emit_compare(e, insn));
        if (deferred_mask(e, e->u->dead_at[insn->imm])) {
            ColdStub *s = new_stub(e, STUB_SETTLE);
            s->from = field;
            s->info = (uint32_t)insn->imm;
            note_deferred(e, s);
        } else if (e->x87.held) { /* the stack is empty where it goes */
            ColdStub *s = new_stub(e, STUB_X87);
            s->from = field;
            s->info = (uint32_t)insn->imm;
        } else {
            branch_to_label(e, field, insn->imm);
        }
        break;
    }
    case OP_brjump:
        emit_brjump(e, insn);
        break;
    case OP_poll:
        emit_poll_check(e, insn->imm, e->insn_offset >> INSN_REST_SHIFT);
        break;
    case OP_icount:
        emit_icount(e, insn);
        break;
    case OP_jump:
        emit_jump(e, insn);
        break;
    case OP_jump_ind:
        emit_jump_ind(e, insn);
        break;
    case OP_lookup:
        jmp_to(a, thunk(THUNK_LOOKUP));
        break;
    case OP_exit:
        mov_imm(a, RCX, insn->imm);
        mov_imm(a, RAX, insn->aux);
        jmp_to(a, thunk(THUNK_EXIT));
        break;
    case OP_call:
        emit_call(e, insn);
        break;
    case OP_guard: {
        op_rm(a, 0x80, ALU_CMP, state_mem((uint32_t)insn->imm), false);
        put_byte(a, 0);
        ColdStub *s = new_stub(e, STUB_GUARD);
        s->from = jcc_forward(a, CC_NE);
        s->info = insn->imm >> 32;
        s->value = insn->aux;
        note_deferred(e, s);
        break;
    }
    default:
        if (!emit_integer(e, insn) && !emit_memory(e, insn) && !emit_float(e, insn) && !emit_host(e, insn) &&
            !emit_x87(e, insn) && !emit_vector(e, insn))
            e->failed = true;
    }
}

static bool not_in_fast_copy(const IrInsn *insn)
{
    return insn->op == OP_guard || insn->op == OP_brcond
               ? insn->flags & IR_LOOP_GIVEN
               : insn->flags & IR_LOOP_DEAD && insn->op != OP_ld && insn->op != OP_st;
}

static void emit_code(Emit *e, const IrInsn *insn, unsigned i)
{
    if (G_UNLIKELY(!asm_room(&e->a))) {
        e->failed = true;
        return;
    }
    e->index = i;
    e->busy = 0;
    if (G_UNLIKELY(e->loop != NULL) && not_in_fast_copy(insn))
        e->place[insn->dst].where = AT_NOWHERE;
    else
        emit_insn(e, insn);
    release_dead(e, insn);
    if (G_UNLIKELY(e->loop != NULL) && i == e->loop->last) {
        e->loop = NULL;
        e->reserved = 0;
    }
}

/* Half of the IR is what makes no code: it is done with here. */
static inline void emit_one(Emit *e, unsigned i)
{
    const IrInsn *insn = &e->u->insns[i];
    if (insn->op == OP_insn)
        e->insn_offset = insn->imm | insn->flags << INSN_REST_SHIFT;
    else if (insn->op == OP_const)
        e->place[insn->dst] = (Place){ AT_CONST, NO_REG, 0 };
    else if (insn->op != OP_nop)
        emit_code(e, insn, i);
}

/* The copy of a loop with probes: its segment once more. */
static void emit_slow_turn(Emit *e, unsigned loop)
{
    const IrUnit *u = e->u;
    unsigned i = u->loops[loop].head;
    e->slow_turns[loop] = e->a.p;
    e->slow_head = i;
    regs_begin_segment(e);
    while (++i < u->count && u->insns[i].op != OP_label && !e->failed)
        emit_one(e, i);
    x87_drop(&e->a, &e->x87);
    if (i < u->count && u->insns[i].op == OP_label)
        settle_deferred(e, u->dead_at[u->insns[i].imm]);
    if (i < u->count && u->insns[i].op == OP_label)
        branch_to_label(e, jmp_forward(&e->a), (unsigned)u->insns[i].imm);
}

static void emit_all(Emit *e)
{
    const IrUnit *u = e->u;
    e->fixup_count = e->stub_count = e->guess_count = 0;
    e->failed = e->slow_turn = e->vectors = e->wide_vectors = false;
    e->clock = 0;
    e->x87 = (X87Place){ .base = RBP, .bias = CPU_BIAS, .keep = true };
    e->loop = NULL;
    e->reserved = 0;
    memset(e->labels, 0, u->label_count * sizeof(e->labels[0]));
    e->out->size = e->out->exit_count = e->out->loads = e->out->stores = 0;
    regs_begin_unit(e);
    regs_begin_segment(e);
    for (unsigned i = 0, count = u->count; i < count && !e->failed; i++)
        emit_one(e, i);
    e->slow_turn = true;
    for (unsigned i = 0; i < u->loop_count && asm_room(&e->a) && !e->failed; i++)
        emit_slow_turn(e, i);
    for (unsigned i = 0; i < e->fixup_count && !e->failed; i++) {
        if (e->labels[e->fixups[i].label])
            patch_to(e->fixups[i].field, e->entries[e->fixups[i].label]);
        else
            e->failed = true;
    }
    for (unsigned i = 0; i < e->stub_count && !e->failed && asm_room(&e->a); i++)
        emit_stub(e, &e->stubs[i]);
}

void emit_unit(const IrUnit *u, uint32_t unit_id, uint8_t *buf, uint32_t room, ptrdiff_t exec_offset,
               const EmitThunks *thunks, EmitResult *out)
{
    static _Thread_local Emit emit;
    Emit *e = &emit;
    e->u = u;
    e->thunks = thunks;
    e->out = out;
    e->start = buf;
    e->unit_id = unit_id;
    e->keep_none = false;
    do {
        e->a = (Asm){ buf, buf + room, false };
        emit_all(e);
    } while (e->failed && !e->a.full && u->loop_count &&
             (e->keep_none = !e->keep_none)); /* once more, with all registers */
    out->size = e->a.full || e->failed ? 0 : e->a.p - buf;
}

void emit_link(uint8_t *buf, ptrdiff_t exec_offset, const EmitExit *exit, const void *destination)
{
    int32_t *field = (int32_t *)(buf + exit->jump);
    intptr_t from = (intptr_t)(field + 1) + exec_offset;
    __atomic_store_n(field, (int32_t)((intptr_t)destination - from), __ATOMIC_RELEASE);
}
