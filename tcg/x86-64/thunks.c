/*
 * x86-64 back end: the shared code at the start of the cache: entry, exit, look-up, slow paths, helper calls.
 *
 * In a unit rsp is 16-byte aligned. Slow-path thunks keep every register; the result is in the frame. All thunks that
 * call C first store the pinned registers to the state, so that C sees exact registers and exceptions are precise.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/softfloat.h"
#include "tcg/x86-64/regs.h"

ThunkTable thunk_table;

/* Data behind the code of the thunks, found RIP-relatively. */
typedef struct ThunkData {
    uint64_t constants[CONST_COUNT][2];
    void *slow_load, *slow_store, *slow_amo, *slow_cas, *find_code, *soft_fp, *text;
    uint8_t host_flags[64]; /* MXCSR's exception bits as IR_FP_* */
    uint32_t mxcsr[8];      /* control word by IrRound */
    uint32_t default_mxcsr;
} ThunkData;

typedef struct Thunks {
    Asm a;
    const GuestReg *regs;
    unsigned reg_count;
    ThunkData *data;
} Thunks;

#define DATA(t, member) ((const uint8_t *)&(t)->data->member)

static void fill_data(ThunkData *d, const EmitRuntime *runtime)
{
    static const uint64_t constants[CONST_COUNT][2] = {
        [CONST_BOX32] = { 0xffffffff00000000 },  [CONST_SIGN32] = { 0x80000000 },
        [CONST_SIGN64] = { 0x8000000000000000 }, [CONST_ABS32] = { 0x7fffffff },
        [CONST_ABS64] = { 0x7fffffffffffffff },  [CONST_NAN32] = { 0x7fc00000 },
        [CONST_NAN64] = { 0x7ff8000000000000 },
    };
    static const uint8_t rounding[] = { 0, 3, 1, 2, 0, 0, 0, 0 };
    memcpy(d->constants, constants, sizeof(constants));
    d->slow_load = (void *)runtime->slow_load;
    d->slow_store = (void *)runtime->slow_store;
    d->slow_amo = (void *)runtime->slow_amo;
    d->slow_cas = (void *)runtime->slow_cas;
    d->find_code = (void *)runtime->find_code;
    d->soft_fp = (void *)soft_fp;
    d->text = (void *)emit_unit;
    for (unsigned m = 0; m < 64; m++)
        d->host_flags[m] = (m & 1 ? IR_FP_NV : 0) | (m & 4 ? IR_FP_DZ : 0) | (m & 8 ? IR_FP_OF : 0) |
                           (m & 16 ? IR_FP_UF : 0) | (m & 32 ? IR_FP_NX : 0);
    d->default_mxcsr = 0x1f80;
    for (unsigned r = 0; r < 8; r++)
        d->mxcsr[r] = 0x1f80 | rounding[r] << 13;
}

/* Every pinned register to the state (store) or back. callee_saved: those that C keeps, too. */
static void pinned_all(Thunks *t, bool store, bool callee_saved)
{
    for (unsigned i = 0; i < t->reg_count; i++) {
        int host = pinned_host(&t->regs[i]);
        Mem m = state_mem(t->regs[i].offset);
        if (host == NO_REG || (!callee_saved && (host == RBX || (host >= R12 && host <= R14))))
            continue;
        if (is_xmm(host))
            op_rm(&t->a, P_F2 | P_0F | (store ? 0x11 : 0x10), host - XMM0, m, false);
        else
            op_rm(&t->a, store ? 0x89 : 0x8b, host, m, t->regs[i].type == IR_I64);
    }
}

static void push(Asm *a, int reg)
{
    put_opcode(a, 0x50 | (reg & 7), reg >> 3 ? 0x41 : 0);
}
static void pop(Asm *a, int reg)
{
    put_opcode(a, 0x58 | (reg & 7), reg >> 3 ? 0x41 : 0);
}

static const uint8_t callee_saved[] = { RBX, RBP, R12, R13, R14, R15 };

static void emit_enter(Thunks *t)
{
    Asm *a = &t->a;
    for (unsigned i = 0; i < sizeof(callee_saved); i++)
        push(a, callee_saved[i]);
    alu_imm(a, ALU_SUB, RSP, FRAME_SIZE + 8, true);
    lea(a, RBP, mem(RDI, CPU_BIAS), true);
    mov_rr(a, RAX, RSI, true);
    mov_load(a, R15, CPU_FIELD(set), true);
    mov_load(a, RCX, CPU_FIELD(pc), true);
    alu_imm(a, ALU_AND, RCX, -GUEST_PAGE_SIZE, true);
    mov_store(a, CPU_FIELD(pc_base), RCX, true);
    op_rm(a, P_0F | 0xb6, RCX, CPU_FIELD(fp_round), false);
    shift_imm(a, SHIFT_SHL, RCX, 2, false);
    op_rip(a, 0x8d, RDX, DATA(t, mxcsr), true);
    op_rm(a, P_0F | 0xae, 2, mem_index(RDX, RCX, 0), false); /* ldmxcsr */
    op_rm(a, 0xc6, 0, CPU_FIELD(fp_live), false);
    put_byte(a, 1);
    pinned_all(t, false, true);
    op_rr(a, 0xff, 4, RAX, false); /* jmp rax */
}

/* rax: reason. From raw on, cs->pc is set and the pinned registers are live. */
static const uint8_t *emit_exit(Thunks *t)
{
    Asm *a = &t->a;
    alu_load(a, ALU_ADD, RCX, CPU_FIELD(pc_base), true);
    mov_store(a, CPU_FIELD(pc), RCX, true);
    const uint8_t *raw = a->p;
    pinned_all(t, true, true);
    op_rm(a, P_0F | 0xae, 3, mem(RSP, FRAME_VA), false); /* stmxcsr */
    mov_load(a, RCX, mem(RSP, FRAME_VA), false);
    alu_imm(a, ALU_AND, RCX, 63, false);
    op_rip(a, 0x8d, RDX, DATA(t, host_flags), true);
    op_rm(a, P_0F | 0xb6, RCX, mem_index(RDX, RCX, 0), false);
    op_rm(a, 0x08, RCX, CPU_FIELD(fp_flags), false); /* or byte [], cl */
    op_rip(a, P_0F | 0xae, 2, DATA(t, default_mxcsr), false);
    op_rm(a, 0xc6, 0, CPU_FIELD(fp_live), false);
    put_byte(a, 0);
    alu_imm(a, ALU_ADD, RSP, FRAME_SIZE + 8, true);
    for (unsigned i = sizeof(callee_saved); i--;)
        pop(a, callee_saved[i]);
    put_byte(a, 0xc3);
    return raw;
}

/* look-up: at cs->pc; jump: at rax; both poll and probe the jump cache, then ask find_code. */
static void emit_lookup(Thunks *t, const uint8_t *exit_raw)
{
    Asm *a = &t->a;
    thunk_table.at[THUNK_LOOKUP] = a->p - thunk_table.base;
    op_rm(a, 0xc6, 0, CPU_FIELD(raised), false);
    put_byte(a, 0);
    mov_load(a, R15, CPU_FIELD(set), true);
    mov_load(a, RAX, CPU_FIELD(pc), true);
    thunk_table.at[THUNK_JUMP] = a->p - thunk_table.base;
    alu_mem_imm(a, ALU_CMP, CPU_FIELD(poll), 0, false);
    uint8_t *no_poll = jcc_short(a, CC_E);
    mov_store(a, CPU_FIELD(pc), RAX, true);
    mov_imm(a, RAX, EXIT_POLL);
    jmp_to(a, exit_raw);
    patch_short(no_poll, a->p);
    mov_rr(a, RCX, RAX, false);
    shift_imm(a, SHIFT_SHL, RCX, 3, false);
    alu_imm(a, ALU_AND, RCX, (JUMP_CACHE_SIZE - 1) << 4, false);
    alu_load(a, ALU_CMP, RAX, mem_index(R15, RCX, offsetof(ContextSet, jumps)), true);
    uint8_t *miss = jcc_short(a, CC_NE);
    alu_imm(a, ALU_AND, RAX, -GUEST_PAGE_SIZE, true);
    mov_store(a, CPU_FIELD(pc_base), RAX, true);
    op_rm(a, 0xff, 4, mem_index(R15, RCX, offsetof(ContextSet, jumps) + 8), false);
    patch_short(miss, a->p);
    mov_store(a, CPU_FIELD(pc), RAX, true);
    pinned_all(t, true, true);
    lea(a, RDI, mem(RBP, -CPU_BIAS), true);
    op_rip(a, 0xff, 2, DATA(t, find_code), false); /* call [] */
    test_rr(a, RAX, RAX, true);
    uint8_t *found = jcc_short(a, CC_NE);
    mov_imm(a, RAX, EXIT_LOOKUP);
    pinned_all(t, false, false);
    jmp_to(a, exit_raw);
    patch_short(found, a->p);
    pinned_all(t, false, false);
    mov_load(a, R15, CPU_FIELD(set), true);
    mov_load(a, RCX, CPU_FIELD(pc), true);
    alu_imm(a, ALU_AND, RCX, -GUEST_PAGE_SIZE, true);
    mov_store(a, CPU_FIELD(pc_base), RCX, true);
    op_rr(a, 0xff, 4, RAX, false);
}

enum { SAVED = 64 + 5 * 8 + 8 }; /* xmm0-7, five temporaries, the return address */
static const uint8_t saved_temps[] = { RAX, RCX, RDX, RSI, RDI };

static Mem frame(int slot)
{
    return mem(RSP, SAVED + slot);
}

static void slow_begin(Thunks *t)
{
    Asm *a = &t->a;
    for (unsigned i = 0; i < sizeof(saved_temps); i++)
        push(a, saved_temps[i]);
    alu_imm(a, ALU_SUB, RSP, 64, true);
    for (int i = 0; i < 8; i++)
        op_rm(a, P_F2 | P_0F | 0x11, i, mem(RSP, i * 8), false);
    pinned_all(t, true, true);
}

/* reg: an instruction's place as Emit.insn_offset has it. Only the offset stays; scratch is lost. */
static void split_place(Asm *a, int reg, int scratch)
{
    if (!thunk_table.counted)
        return;
    mov_rr(a, scratch, reg, false);
    shift_imm(a, SHIFT_SHR, scratch, INSN_REST_SHIFT, false);
    op_rm(a, P_66 | 0x89, scratch, CPU_FIELD(icount_rest), false);
    alu_imm(a, ALU_AND, reg, GUEST_PAGE_SIZE - 1, false);
}

static void slow_pc(Thunks *t)
{
    Asm *a = &t->a;
    op_rm(a, P_0F | 0xb7, RAX, mem(RSP, SAVED + FRAME_INFO + 2), false);
    split_place(a, RAX, RCX);
    alu_load(a, ALU_ADD, RAX, CPU_FIELD(pc_base), true);
    mov_store(a, CPU_FIELD(pc), RAX, true);
}

static void slow_end(Thunks *t, const void *function, bool raises)
{
    Asm *a = &t->a;
    lea(a, RDI, mem(RBP, -CPU_BIAS), true);
    mov_load(a, RSI, frame(FRAME_VA), true);
    op_rip(a, 0xff, 2, function, false);
    mov_store(a, frame(FRAME_RESULT), RAX, true);
    pinned_all(t, false, false);
    uint8_t *trap = NULL;
    if (raises) {
        op_rm(a, 0x80, ALU_CMP, CPU_FIELD(raised), false);
        put_byte(a, 0);
        trap = jcc_forward(a, CC_NE);
    }
    for (int i = 0; i < 8; i++)
        op_rm(a, P_F2 | P_0F | 0x10, i, mem(RSP, i * 8), false);
    alu_imm(a, ALU_ADD, RSP, 64, true);
    for (unsigned i = sizeof(saved_temps); i--;)
        pop(a, saved_temps[i]);
    put_byte(a, 0xc3);
    if (trap) {
        patch_to(trap, a->p);
        alu_imm(a, ALU_ADD, RSP, SAVED, true);
        jmp_to(a, thunk(THUNK_LOOKUP));
    }
}

static void emit_slow(Thunks *t, int which)
{
    Asm *a = &t->a;
    thunk_table.at[which] = a->p - thunk_table.base;
    slow_begin(t);
    if (which != THUNK_SOFT)
        slow_pc(t);
    if (which != THUNK_LOAD)
        mov_load(a, RDX, frame(FRAME_VALUE), true);
    switch (which) {
    case THUNK_LOAD:
    case THUNK_STORE:
        op_rm(a, P_0F | 0xb7, RCX, frame(FRAME_INFO), false);
        slow_end(t, which == THUNK_LOAD ? DATA(t, slow_load) : DATA(t, slow_store), true);
        break;
    case THUNK_AMO:
        op_rm(a, P_0F | 0xb7, RCX, frame(FRAME_INFO), false);
        mov_load(a, R8, frame(FRAME_VALUE2), true);
        slow_end(t, DATA(t, slow_amo), true);
        break;
    case THUNK_CAS:
        mov_load(a, RCX, frame(FRAME_VALUE2), true);
        op_rm(a, P_0F | 0xb7, R8, frame(FRAME_INFO), false);
        slow_end(t, DATA(t, slow_cas), true);
        break;
    default:
        mov_load(a, RCX, frame(FRAME_VALUE2), true);
        mov_load(a, R8, frame(FRAME_INFO), false);
        slow_end(t, DATA(t, soft_fp), false);
    }
}

/* Of a group of accesses that has no page in the TLB, one access: it may have, where the group crosses into another
 * page. */
static void emit_retry(Thunks *t, bool store)
{
    Asm *a = &t->a;
    enum { DEPTH = 32 };
    size_t table = store ? offsetof(ContextSet, write) : offsetof(ContextSet, read);
    Mem va = mem(RSP, DEPTH + FRAME_VA), memop = mem(RSP, DEPTH + FRAME_INFO);
    thunk_table.at[store ? THUNK_RETRY_STORE : THUNK_RETRY_LOAD] = a->p - thunk_table.base;
    push(a, RAX);
    push(a, RCX);
    push(a, RDX);
    mov_load(a, RCX, memop, false);
    alu_imm(a, ALU_AND, RCX, MO_SIZE, false);
    mov_imm(a, RDX, 1);
    shift_cl(a, SHIFT_SHL, RDX, false);
    mov_load(a, RAX, va, true);
    lea(a, RDX, (Mem){ RAX, RDX, -1 }, true);
    alu_imm(a, ALU_AND, RDX, -GUEST_PAGE_SIZE, true);
    mov_rr(a, RCX, RAX, false);
    shift_imm(a, SHIFT_SHR, RCX, GUEST_PAGE_BITS - 4, false);
    alu_imm(a, ALU_AND, RCX, (TLB_SIZE - 1) << 4, false);
    alu_load(a, ALU_CMP, RDX, mem_index(R15, RCX, table), true);
    uint8_t *miss = jcc_forward(a, CC_NE);
    alu_load(a, ALU_ADD, RAX, mem_index(R15, RCX, table + 8), true);
    mov_load(a, RCX, memop, false);
    if (store)
        mov_load(a, RDX, mem(RSP, DEPTH + FRAME_VALUE), true);
    alu_imm(a, ALU_AND, RCX, store ? MO_SIZE : MO_SIZE | MO_SIGNED, false);
    static const uint32_t stores[] = { 0x88, P_66 | 0x89, 0x89, 0x89 };
    static const uint32_t loads[] = { P_0F | 0xb6, P_0F | 0xb7, 0x8b, 0x8b, P_0F | 0xbe, P_0F | 0xbf, 0x63, 0x8b };
    for (int kind = store ? 3 : 7; kind >= 0; kind--) {
        alu_imm(a, ALU_CMP, RCX, kind, false);
        uint8_t *other = jcc_short(a, CC_NE);
        op_rm(a, store ? stores[kind] : loads[kind], RDX, mem(RAX, 0), store ? kind == MO_64 : kind >= MO_64);
        patch_short(other, a->p);
    }
    if (!store)
        mov_store(a, mem(RSP, DEPTH + FRAME_RESULT), RDX, true);
    pop(a, RDX);
    pop(a, RCX);
    pop(a, RAX);
    put_byte(a, 0xc3);
    patch_to(miss, a->p);
    pop(a, RDX);
    pop(a, RCX);
    pop(a, RAX);
    jmp_to(a, thunk(store ? THUNK_STORE : THUNK_LOAD));
}

/* Canonical NaNs in those xmm registers that FRAME_EXTRA names. Every other register stays. */
static void emit_nans(Thunks *t)
{
    Asm *a = &t->a;
    thunk_table.at[THUNK_NANS] = a->p - thunk_table.base;
    for (int reg = 0; reg < 16; reg++) {
        op_rm(a, 0xf7, 0, mem(RSP, 8 + FRAME_EXTRA), false); /* test dword [], bit */
        put_u32(a, 1u << reg);
        uint8_t *other = jcc_short(a, CC_E);
        op_rr(a, P_66 | P_0F | 0x2e, reg, reg, false); /* ucomisd */
        uint8_t *number = jcc_short(a, CC_NP);
        op_rip(a, P_0F | 0x28, reg, constant(CONST_NAN64), false);
        patch_short(other, a->p);
        patch_short(number, a->p);
    }
    put_byte(a, 0xc3);
}

/* Helper at rax (relative to the program's text), arguments in rsi, rdx, rcx and FRAME_VALUE; FRAME_INFO: pc offset. */
static void emit_call_thunk(Thunks *t)
{
    Asm *a = &t->a;
    enum { DEPTH = 16 };
    thunk_table.at[THUNK_CALL] = a->p - thunk_table.base;
    alu_imm(a, ALU_SUB, RSP, 8, true);
    pinned_all(t, true, true);
    mov_load(a, RDI, mem(RSP, DEPTH + FRAME_INFO), false);
    split_place(a, RDI, R8);
    alu_load(a, ALU_ADD, RDI, CPU_FIELD(pc_base), true);
    mov_store(a, CPU_FIELD(pc), RDI, true);
    mov_load(a, R8, mem(RSP, DEPTH + FRAME_VALUE), true);
    lea(a, RDI, mem(RBP, -CPU_BIAS), true);
    put_opcode(a, ALU_ADD << 3 | 3, 8); /* add rax, [rip + text] */
    put_byte(a, RAX << 3 | 5);
    put_u32(a, DATA(t, text) - (a->p + 4));
    op_rr(a, 0xff, 2, RAX, false); /* call rax */
    mov_store(a, mem(RSP, DEPTH + FRAME_RESULT), RAX, true);
    pinned_all(t, false, true);
    mov_load(a, R15, CPU_FIELD(set), true);
    alu_imm(a, ALU_ADD, RSP, 8, true);
    op_rm(a, 0x80, ALU_CMP, CPU_FIELD(raised), false);
    put_byte(a, 0);
    uint8_t *trap = jcc_short(a, CC_NE);
    put_byte(a, 0xc3);
    patch_short(trap, a->p);
    alu_imm(a, ALU_ADD, RSP, 8, true);
    jmp_to(a, thunk(THUNK_LOOKUP));
}

bool emit_thunks(const EmitRuntime *runtime, const GuestReg *regs, unsigned reg_count, uint8_t *buf, uint32_t room,
                 ptrdiff_t exec_offset, EmitThunks *out)
{
    if (room < 4 * ASM_STRETCH)
        return false;
    Thunks t = { .a = { buf + sizeof(ThunkData), buf + room, false },
                 .regs = regs,
                 .reg_count = reg_count,
                 .data = (ThunkData *)buf };
    thunk_table = (ThunkTable){ .base = buf,
                                .constants = offsetof(ThunkData, constants),
                                .parallel = runtime->parallel,
                                .counted = runtime->counted };
    fill_data(t.data, runtime);
    const uint8_t *enter = t.a.p;
    emit_enter(&t);
    thunk_table.at[THUNK_EXIT] = t.a.p - buf;
    const uint8_t *raw = emit_exit(&t);
    emit_lookup(&t, raw);
    for (int which = THUNK_LOAD; which <= THUNK_SOFT; which++)
        emit_slow(&t, which);
    emit_call_thunk(&t);
    emit_retry(&t, false);
    emit_retry(&t, true);
    emit_nans(&t);
    uintptr_t address = (uintptr_t)enter + exec_offset;
    memcpy(&out->enter, &address, sizeof(address));
    out->size = (t.a.p - buf + 63) & ~63u;
    return !t.a.full;
}
