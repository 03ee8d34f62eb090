/*
 * x86-64 back end: one unit, and control flow. See tcg/emit.h for the interface and regs.h for how values and registers
 * are kept. The body comes first, then its cold stubs.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"
#include <cpuid.h>

HostFeatures host_features;

/* What x86-64-v2 promises, as far as it is used here. */
static bool detect(HostFeatures *f)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return false;
    bool required = (c & bit_SSE4_2) && (c & bit_SSE4_1) && (c & bit_POPCNT);
    bool os_saves_avx = false;
    if (c & bit_OSXSAVE) {
        unsigned low, high;
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        os_saves_avx = (low & 6) == 6;
    }
    f->movbe = c & bit_MOVBE;
    f->avx = (c & bit_AVX) && os_saves_avx;
    f->fma = (c & bit_FMA) && os_saves_avx;
    if (__get_cpuid_count(7, 0, &a, &b, &c,
                          &d)) { /* VEX-encoded general-purpose instructions need the same permission */
        f->bmi1 = (b & bit_BMI) && os_saves_avx;
        f->bmi2 = (b & bit_BMI2) && os_saves_avx;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        f->lzcnt = c & bit_LZCNT;
    return required;
}

bool emit_available(void)
{
    HostFeatures f = { 0 };
    return detect(&f);
}

void host_features_detect(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        detect(&host_features);
        g_once_init_leave(&once, 1);
    }
}

/* ---- stubs ---- */

Stub *new_stub(Emit *e, void (*emit)(Emit *e, const Stub *s), uint8_t *from, const IrInsn *insn)
{
    if (e->stub_count == MAX_STUBS) {
        e->failed = true;
        e->stub_count--;
    }
    Stub *s = &e->stubs[e->stub_count++];
    *s = (Stub){ .emit = emit,
                 .from = from,
                 .back = e->a.p,
                 .insn = insn,
                 .pc = e->pc,
                 .r0 = NO_REG,
                 .r1 = NO_REG,
                 .r2 = NO_REG,
                 .r3 = NO_REG };
    return s;
}

void call_thunk(Emit *e, unsigned which, uint32_t description)
{
    asm_call(&e->a, thunk(e, which));
    asm_begin(&e->a);
    asm_u8(&e->a, 0xa9); /* test eax, imm32 */
    asm_u32(&e->a, description);
}

/* ---- ways out ---- */

/* imm: number of the exit */
static void stub_chain(Emit *e, const Stub *s)
{
    EmitExit *exit = &e->out->exits[s->imm];
    asm_patch(s->from, e->a.p);
    exit->stub = e->a.p - e->a.start;
    asm_mov_imm(&e->a, RAX, exit->target);
    asm_mov_imm(&e->a, RDX, (int64_t)e->unit_id * EMIT_MAX_EXITS + s->imm);
    asm_jmp(&e->a, thunk(e, THUNK_CHAIN));
}

/* Note the exit whose jump field ends here. */
static void add_exit(Emit *e, const IrInsn *insn, uint8_t *field_end)
{
    if (e->out->exit_count == EMIT_MAX_EXITS) {
        e->failed = true;
        return;
    }
    unsigned n = e->out->exit_count++;
    e->out->exits[n] = (EmitExit){ .jump = field_end - 4 - e->a.start, .target = insn->imm };
    new_stub(e, stub_chain, field_end, insn)->imm = n;
}

static bool in_page(const IrInsn *insn)
{
    return insn->imm >= 0 && insn->imm < GUEST_PAGE_SIZE;
}

/* rax = pc_base + offset, as wide as the guest's addresses */
static void load_pc(Emit *e, int64_t offset)
{
    asm_rm(&e->a, I_MOV_LOAD | W64, RAX, STATE(pc_base));
    if (offset != (int32_t)offset) {
        asm_mov_imm(&e->a, RCX, offset);
        asm_rr(&e->a, ALU_LOAD(ALU_ADD) | W64, RAX, RCX);
    } else if (offset) {
        asm_alu_imm(&e->a, e->narrow ? 0 : W64, ALU_ADD, RAX, offset);
    }
}

/* To another page: the target's place in the page, and with it its jump-cache entry, is known. rax = pc. */
static void jump_through_cache(Emit *e, int64_t offset)
{
    int32_t entry = ((uint64_t)offset << JUMP_SHIFT) & ((JUMP_CACHE_SIZE - 1) << 4);
    _Static_assert(JUMP_CACHE_BITS + 1 <= GUEST_PAGE_BITS,
                   "the jump cache is indexed by bits of the place in the page");
    asm_rm(&e->a, ALU_LOAD(ALU_CMP) | W64, RAX, mem_at(R15, JUMP_PC + entry));
    asm_jcc(&e->a, CC_NE, thunk(e, THUNK_MISS));
    asm_alu_imm(&e->a, W64, ALU_AND, RAX, -GUEST_PAGE_SIZE);
    asm_rm(&e->a, I_MOV_STORE | W64, RAX, STATE(pc_base));
    asm_rm(&e->a, 0xff, 4, mem_at(R15, JUMP_CODE + entry));
}

static void stub_jump_out(Emit *e, const Stub *s)
{
    asm_patch(s->from, e->a.p);
    load_pc(e, s->insn->imm);
    jump_through_cache(e, s->insn->imm);
}

static void stub_poll(Emit *e, const Stub *s)
{
    asm_patch(s->from, e->a.p);
    asm_mov_imm(&e->a, RAX, s->insn->imm);
    asm_jmp(&e->a, thunk(e, THUNK_POLL));
}

static void emit_poll(Emit *e, const IrInsn *insn)
{
    asm_alu_mem_imm(&e->a, 0, ALU_CMP, STATE(poll), 0);
    new_stub(e, stub_poll, asm_jcc_forward(&e->a, CC_NE), insn);
}

static void emit_jump(Emit *e, const IrInsn *insn)
{
    if (in_page(insn)) {
        if (insn->aux)
            emit_poll(e, insn);
        asm_align(&e->a, 1, 4);
        add_exit(e, insn, asm_jmp_forward(&e->a));
        return;
    }
    load_pc(e, insn->imm);
    if (insn->aux) {
        asm_alu_mem_imm(&e->a, 0, ALU_CMP, STATE(poll), 0);
        asm_jcc(&e->a, CC_NE, thunk(e, THUNK_POLL_AT));
    }
    jump_through_cache(e, insn->imm);
}

static void emit_brjump(Emit *e, const IrInsn *insn)
{
    IrCond cond = insn->aux;
    emit_compare(e, e->u->tmps[insn->arg[0]].type, insn->arg[0], insn->arg[1], &cond);
    if (in_page(insn)) {
        asm_align(&e->a, 2, 4);
        add_exit(e, insn, asm_jcc_forward(&e->a, condition_code(cond)));
    } else {
        new_stub(e, stub_jump_out, asm_jcc_forward(&e->a, condition_code(cond)), insn);
    }
}

static void emit_jump_ind(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    reserve_with(e, RAX, insn->arg[0]);
    if (e->u->tmps[insn->arg[0]].type == IR_I32 && value_of(e, insn->arg[0])->type != IR_I32)
        asm_rr(a, I_MOV_LOAD, RAX, RAX);
    asm_alu_mem_imm(a, 0, ALU_CMP, STATE(poll), 0);
    asm_jcc(a, CC_NE, thunk(e, THUNK_POLL_AT));
    emit_jump_index(a, RCX, RAX);
    asm_rm(a, ALU_LOAD(ALU_CMP) | W64, RAX, mem_index(R15, RCX, JUMP_PC));
    asm_jcc(a, CC_NE, thunk(e, THUNK_MISS));
    asm_alu_imm(a, W64, ALU_AND, RAX, -GUEST_PAGE_SIZE);
    asm_rm(a, I_MOV_STORE | W64, RAX, STATE(pc_base));
    asm_rm(a, 0xff, 4, mem_index(R15, RCX, JUMP_CODE));
}

static void emit_exit(Emit *e, const IrInsn *insn)
{
    asm_mov_imm(&e->a, RAX, insn->imm);
    asm_mov_imm(&e->a, RDX, insn->aux);
    asm_jmp(&e->a, thunk(e, THUNK_EXIT));
}

/* ---- labels ---- */

static void branch_to(Emit *e, unsigned label, int cc)
{
    if (e->label[label]) {
        if (cc < 0)
            asm_jmp(&e->a, e->label[label]);
        else
            asm_jcc(&e->a, cc, e->label[label]);
        return;
    }
    if (e->fixup_count == MAX_FIXUPS) {
        e->failed = true;
        return;
    }
    uint8_t *from = cc < 0 ? asm_jmp_forward(&e->a) : asm_jcc_forward(&e->a, cc);
    e->fixups[e->fixup_count].from = from;
    e->fixups[e->fixup_count++].label = label;
}

static void emit_brcond(Emit *e, const IrInsn *insn)
{
    IrCond cond = insn->aux;
    emit_compare(e, e->u->tmps[insn->arg[0]].type, insn->arg[0], insn->arg[1], &cond);
    branch_to(e, insn->imm, condition_code(cond));
}

static void emit_control(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_insn:
        e->pc = insn->imm;
        break;
    case OP_label:
        alloc_reset(e);
        e->label[insn->imm] = e->a.p;
        break;
    case OP_br:
        branch_to(e, insn->imm, -1);
        break;
    case OP_brcond:
        emit_brcond(e, insn);
        break;
    case OP_brjump:
        emit_brjump(e, insn);
        break;
    case OP_poll:
        emit_poll(e, insn);
        break;
    case OP_jump:
        emit_jump(e, insn);
        break;
    case OP_jump_ind:
        emit_jump_ind(e, insn);
        break;
    case OP_lookup:
        asm_jmp(&e->a, thunk(e, THUNK_LOOKUP));
        break;
    case OP_exit:
        emit_exit(e, insn);
        break;
    default:
        g_assert_not_reached();
    }
}

static void emit_value(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_const:
        value_constant(e, insn->dst, insn->type, insn->imm);
        break;
    case OP_getreg:
        value_getreg(e, insn->dst, insn->imm);
        break;
    case OP_setreg:
        value_setreg(e, insn->imm, insn->arg[0]);
        break;
    default:
        value_alias(e, insn->dst, insn->arg[0]);
        break; /* trunc: the low half in place */
    }
}

/* ---- one unit ---- */

typedef void EmitOp(Emit *e, const IrInsn *insn);
static EmitOp *const emitters[OP_COUNT] = {
    [OP_const] = emit_value,        [OP_getreg] = emit_value,        [OP_setreg] = emit_value,
    [OP_trunc] = emit_value,        [OP_ldstate] = emit_int_op,      [OP_ststate] = emit_int_op,
    [OP_getpc] = emit_int_op,       [OP_add] = emit_int_op,          [OP_sub] = emit_int_op,
    [OP_and] = emit_int_op,         [OP_or] = emit_int_op,           [OP_xor] = emit_int_op,
    [OP_andc] = emit_int_op,        [OP_shl] = emit_int_op,          [OP_shr] = emit_int_op,
    [OP_sar] = emit_int_op,         [OP_rotl] = emit_int_op,         [OP_rotr] = emit_int_op,
    [OP_ext] = emit_int_op,         [OP_clz] = emit_int_op,          [OP_ctz] = emit_int_op,
    [OP_popcnt] = emit_int_op,      [OP_bswap] = emit_int_op,        [OP_setcond] = emit_int_op,
    [OP_select] = emit_int_op,      [OP_mul] = emit_mul_div_op,      [OP_mulhs] = emit_mul_div_op,
    [OP_mulhu] = emit_mul_div_op,   [OP_mulhsu] = emit_mul_div_op,   [OP_divs] = emit_mul_div_op,
    [OP_divu] = emit_mul_div_op,    [OP_rems] = emit_mul_div_op,     [OP_remu] = emit_mul_div_op,
    [OP_ld] = emit_mem_op,          [OP_st] = emit_mem_op,           [OP_amo] = emit_mem_op,
    [OP_cas] = emit_mem_op,         [OP_fence] = emit_mem_op,        [OP_insn] = emit_control,
    [OP_label] = emit_control,      [OP_br] = emit_control,          [OP_brcond] = emit_control,
    [OP_brjump] = emit_control,     [OP_poll] = emit_control,        [OP_jump] = emit_control,
    [OP_jump_ind] = emit_control,   [OP_lookup] = emit_control,      [OP_exit] = emit_control,
    [OP_call] = emit_call_op,       [OP_fadd] = emit_fp_op,          [OP_fsub] = emit_fp_op,
    [OP_fmul] = emit_fp_op,         [OP_fdiv] = emit_fp_op,          [OP_fsqrt] = emit_fp_op,
    [OP_fma] = emit_fp_op,          [OP_fmin] = emit_fp_op,          [OP_fmax] = emit_fp_op,
    [OP_fcmp] = emit_fp_op,         [OP_fbits] = emit_fp_op,         [OP_fofbits] = emit_fp_op,
    [OP_fbox] = emit_fp_op,         [OP_funbox] = emit_fp_op,        [OP_fsgn] = emit_fp_op,
    [OP_fcvt] = emit_fp_convert_op, [OP_fftoi] = emit_fp_convert_op, [OP_fitof] = emit_fp_convert_op,
};

static void emit_body(Emit *e)
{
    const IrUnit *u = e->u;
    for (e->index = 0; e->index < u->count; e->index++) {
        const IrInsn *insn = &u->insns[e->index];
        emitters[insn->op](e, insn);
        alloc_end(e, insn);
        if (G_UNLIKELY(e->a.full || e->failed))
            return;
    }
    for (unsigned i = 0; i < e->fixup_count; i++)
        asm_patch(e->fixups[i].from, e->label[e->fixups[i].label]);
    for (unsigned i = 0; i < e->stub_count && !e->a.full; i++)
        e->stubs[i].emit(e, &e->stubs[i]);
}

void emit_unit(const IrUnit *u, uint32_t unit_id, uint8_t *buf, uint32_t room, ptrdiff_t exec_offset,
               const EmitThunks *thunks, EmitResult *out)
{
    Emit e; /* large; the tables that need no initial value get none */

    out->size = out->exit_count = out->loads = out->stores = 0;
    if (room < 2 * ASM_MARGIN || u->reg_count > MAX_GUEST_REGS)
        return;
    e.pool = (const uint8_t *)(uintptr_t)thunks->enter - POOL_SIZE;
    e.a = (Asm){ .p = buf, .start = buf, .limit = buf + room - ASM_MARGIN, .cache = (uint8_t *)e.pool - exec_offset };
    e.u = u;
    e.pc = 0;
    e.narrow = u->regs[0].type == IR_I32;
    e.failed = false;
    e.unit_id = unit_id;
    e.out = out;
    e.stub_count = e.fixup_count = 0;
    memset(e.label, 0, sizeof e.label);
    memset(&e.values[0], 0, sizeof e.values[0]); /* temporary 0, none: dead */
    alloc_reset(&e);
    emit_body(&e);
    if (!e.a.full && !e.failed)
        out->size = e.a.p - buf;
}

void emit_link(uint8_t *buf, ptrdiff_t exec_offset, const EmitExit *exit, const void *destination)
{
    int32_t *field = (int32_t *)(buf + exit->jump);
    int32_t distance = (const uint8_t *)destination - ((const uint8_t *)field + exec_offset + 4);
    __atomic_store_n(field, distance, __ATOMIC_RELEASE);
}
