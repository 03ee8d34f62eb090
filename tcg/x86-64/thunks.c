/*
 * x86-64 back end: the start of the code cache. Constants, then the thunks that all units share: the way in and out,
 * look-up, slow memory accesses, helper calls, software floating point. See regs.h for the registers they take and
 * keep.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/softfloat.h"
#include "tcg/x86-64/regs.h"

/* MXCSR (Intel SDM volume 1, 10.2.3): exceptions masked; bits 13-14 round to nearest, down, up, zero. */
enum { MXCSR_MASKED = 0x1f80, MXCSR_DOWN = 1 << 13, MXCSR_UP = 2 << 13, MXCSR_ZERO = 3 << 13 };

typedef struct Thunks {
    Asm a;
    const GuestReg *regs;
    unsigned reg_count;
    uint8_t *base;
    uint8_t *at[THUNK_COUNT];
} Thunks;

/* ---- constants ---- */

static void put64(uint8_t *pool, unsigned offset, uint64_t v)
{
    memcpy(pool + offset, &v, 8);
}
static void put_address(uint8_t *pool, unsigned offset, const void *p)
{
    put64(pool, offset, (uintptr_t)p);
}
static void put_bits(uint8_t *pool, unsigned offset, double v)
{
    memcpy(pool + offset, &v, 8);
}

/* MXCSR: bit 0 invalid, 1 denormal operand, 2 divide by zero, 3 overflow, 4 underflow, 5 inexact */
static uint8_t flags_of_mxcsr(unsigned status)
{
    return (status & 1 ? IR_FP_NV : 0) | (status & 4 ? IR_FP_DZ : 0) | (status & 8 ? IR_FP_OF : 0) |
           (status & 16 ? IR_FP_UF : 0) | (status & 32 ? IR_FP_NX : 0);
}

static void fill_pool(uint8_t *pool, const EmitRuntime *runtime)
{
    static const uint32_t mxcsr[] = {
        [FROUND_RNE] = MXCSR_MASKED,
        [FROUND_RTZ] = MXCSR_MASKED | MXCSR_ZERO,
        [FROUND_RDN] = MXCSR_MASKED | MXCSR_DOWN,
        [FROUND_RUP] = MXCSR_MASKED | MXCSR_UP,
        [FROUND_RMM] = MXCSR_MASKED,
        [FROUND_DYN] = MXCSR_MASKED,
        MXCSR_MASKED,
        MXCSR_MASKED,
    };
    uint64_t i32_max;
    memset(pool, 0, POOL_SIZE);
    put_address(pool, POOL_SLOW_LOAD, (void *)(uintptr_t)runtime->slow_load);
    put_address(pool, POOL_SLOW_STORE, (void *)(uintptr_t)runtime->slow_store);
    put_address(pool, POOL_SLOW_AMO, (void *)(uintptr_t)runtime->slow_amo);
    put_address(pool, POOL_SLOW_CAS, (void *)(uintptr_t)runtime->slow_cas);
    put_address(pool, POOL_FIND_CODE, (void *)(uintptr_t)runtime->find_code);
    put_address(pool, POOL_SOFT_FP, (void *)(uintptr_t)soft_fp);
    put_address(pool, POOL_ANCHOR, (void *)(uintptr_t)emit_thunks);
    put64(pool, POOL_C_MXCSR, MXCSR_MASKED);
    memcpy(pool + POOL_MXCSR, mxcsr, sizeof mxcsr);
    put64(pool, POOL_NAN64, 0x7ff8000000000000);
    put64(pool, POOL_NAN32, 0x7fc00000);
    put64(pool, POOL_SIGN64, 1ull << 63);
    put64(pool, POOL_SIGN32, 1ull << 31);
    put64(pool, POOL_ABS64, INT64_MAX);
    put64(pool, POOL_ABS32, INT32_MAX);
    put64(pool, POOL_BOX, 0xffffffff00000000);
    put_bits(pool, POOL_U32_MAX64, UINT32_MAX);
    put_bits(pool, POOL_I32_MAX64, INT32_MAX);
    memcpy(&i32_max, pool + POOL_I32_MAX64, 8);
    put64(pool, POOL_I32_MAX64, 2 * i32_max);
    put_bits(pool, POOL_2_63_F64, 0x1p63);
    for (unsigned i = 0; i < 64; i++)
        pool[POOL_FLAGS + i] = flags_of_mxcsr(i);
}

/* ---- pieces ---- */

static void load(Thunks *t, int dst, Mem m)
{
    asm_rm(&t->a, I_MOV_LOAD | W64, dst, m);
}
static void store(Thunks *t, Mem m, int src)
{
    asm_rm(&t->a, I_MOV_STORE | W64, src, m);
}
static void push(Thunks *t, int reg)
{
    asm_opcode(&t->a, 0x50 | (reg & 7), 0, 0, reg);
}
static void pop(Thunks *t, int reg)
{
    asm_opcode(&t->a, 0x58 | (reg & 7), 0, 0, reg);
}
static void adjust_stack(Thunks *t, int32_t by)
{
    asm_rm(&t->a, I_LEA | W64, RSP, mem_at(RSP, by));
}
static void call_pool(Thunks *t, unsigned offset)
{
    asm_rm(&t->a, 0xff, 2, mem_cache(offset));
}
static void jump_register(Thunks *t, int reg)
{
    asm_rr(&t->a, 0xff, 4, reg);
}
static void ret(Thunks *t)
{
    asm_begin(&t->a);
    asm_u8(&t->a, 0xc3);
}
/* rdi = the CpuState */
static void state_argument(Thunks *t)
{
    asm_rm(&t->a, I_LEA | W64, RDI, mem_at(RBP, -CPU_BIAS));
}

/* Registers that C may change, among the pinned ones. */
#define C_CHANGES  (1u << R8 | 1u << R9 | 1u << R10 | 1u << R11 | XMM_PINNED)
#define ALL_PINNED (GPR_PINNED | XMM_PINNED)

/* Move the pinned registers of a set to (or from) their places in the state. */
static void transfer_pinned(Thunks *t, uint32_t set, bool to_state)
{
    for (unsigned i = 0; i < t->reg_count; i++) {
        const GuestReg *reg = &t->regs[i];
        int host = pin_of(reg);
        Mem m = state_at(reg->offset);
        if (host == NO_REG || !(set >> host & 1))
            continue;
        if (host >= XMM0)
            asm_rm(&t->a, to_state ? I_MOVQ_STORE : I_MOVQ_LOAD, host, m);
        else
            asm_rm(&t->a, (to_state ? I_MOV_STORE : I_MOV_LOAD) | width(reg->type), host, m);
    }
}

/* Save (or restore) xmm0-7 at the top of the stack. */
static void transfer_xmm_temps(Thunks *t, bool save)
{
    if (save)
        adjust_stack(t, -64);
    for (int i = 0; i < 8; i++)
        asm_rm(&t->a, save ? I_MOVQ_STORE : I_MOVQ_LOAD, i, mem_at(RSP, 8 * i));
    if (!save)
        adjust_stack(t, 64);
}

/* pc_base = page of pc, which is in reg; reg is lost */
static void set_pc_base(Thunks *t, int reg)
{
    asm_alu_imm(&t->a, W64, ALU_AND, reg, -GUEST_PAGE_SIZE);
    store(t, STATE(pc_base), reg);
}

/* ---- in and out ---- */

static const int8_t saved[] = { RBX, RBP, R12, R13, R14, R15 };

static void thunk_enter(Thunks *t)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(saved); i++)
        push(t, saved[i]);
    adjust_stack(t, -FRAME_SIZE);
    asm_rm(&t->a, I_LEA | W64, RBP, mem_at(RDI, CPU_BIAS));
    asm_rm(&t->a, I_MOVZX8, RAX, STATE(fp_round));
    asm_rm(&t->a, I_LEA | W64, RCX, mem_cache(POOL_MXCSR));
    asm_rm(&t->a, 0xae | M_0F, 2, (Mem){ .base = RCX, .index = RAX, .scale = 2 }); /* ldmxcsr */
    asm_rm_imm(&t->a, 0xc6, 0, STATE(fp_live), 1);
    asm_u8(&t->a, 1);
    load(t, R15, STATE(set));
    load(t, RAX, STATE(pc));
    set_pc_base(t, RAX);
    transfer_pinned(t, ALL_PINNED, false);
    jump_register(t, RSI);
}

/* Leave with rdx; pc is exact. */
static void leave(Thunks *t)
{
    Asm *a = &t->a;
    transfer_pinned(t, ALL_PINNED, true);
    asm_rm(a, 0xae | M_0F, 3, mem_at(RSP, FRAME_MXCSR)); /* stmxcsr */
    asm_rm(a, I_MOV_LOAD, RAX, mem_at(RSP, FRAME_MXCSR));
    asm_alu_imm(a, 0, ALU_AND, RAX, 63);
    asm_rm(a, I_LEA | W64, RCX, mem_cache(POOL_FLAGS));
    asm_rm(a, I_MOVZX8, RAX, mem_index(RCX, RAX, 0));
    asm_rm(a, 0x08 | BYTE_REG, RAX, STATE(fp_flags)); /* or */
    asm_rm_imm(a, 0xc6, 0, STATE(fp_live), 1);
    asm_u8(a, 0);
    asm_rm(a, 0xae | M_0F, 2, mem_cache(POOL_C_MXCSR));
    asm_mov(a, W64, RAX, RDX);
    adjust_stack(t, FRAME_SIZE);
    for (unsigned i = G_N_ELEMENTS(saved); i--;)
        pop(t, saved[i]);
    ret(t);
}

static void thunk_exits(Thunks *t)
{
    Asm *a = &t->a;

    t->at[THUNK_CHAIN] = a->p;
    asm_shift_imm(a, W64, SHIFT_SHL, RDX, 8);
    asm_alu_imm(a, W64, ALU_OR, RDX, EXIT_CHAIN);
    uint8_t *exit = asm_jmp_forward(a);
    t->at[THUNK_POLL] = a->p;
    asm_mov_imm(a, RDX, EXIT_POLL);
    asm_patch(exit, a->p);
    t->at[THUNK_EXIT] = a->p;
    asm_rm(a, ALU_LOAD(ALU_ADD) | W64, RAX, STATE(pc_base));
    uint8_t *at = asm_jmp_forward(a);
    t->at[THUNK_POLL_AT] = a->p;
    asm_mov_imm(a, RDX, EXIT_POLL);
    asm_patch(at, a->p);
    store(t, STATE(pc), RAX);
    leave(t);
}

/* ---- look-up ---- */

void emit_jump_index(Asm *a, int dst, int pc)
{
    if (host_features.bmi2) {
        asm_vex_rr(a, I_RORX, dst, 0, pc);
        asm_u8(a, 32 - JUMP_SHIFT);
    } else {
        asm_mov(a, 0, dst, pc);
        asm_shift_imm(a, 0, SHIFT_SHL, dst, JUMP_SHIFT);
    }
    asm_alu_imm(a, 0, ALU_AND, dst, (JUMP_CACHE_SIZE - 1) << 4);
}

static void thunk_lookup(Thunks *t)
{
    Asm *a = &t->a;

    t->at[THUNK_RAISED] = a->p;
    asm_rm_imm(a, 0xc6, 0, STATE(raised), 1);
    asm_u8(a, 0);
    transfer_pinned(t, ALL_PINNED, false);
    t->at[THUNK_LOOKUP] = a->p;
    load(t, RAX, STATE(pc));
    load(t, R15, STATE(set));
    asm_alu_mem_imm(a, 0, ALU_CMP, STATE(poll), 0);
    asm_jcc(a, CC_NE, t->at[THUNK_POLL_AT]);
    emit_jump_index(a, RCX, RAX);
    asm_rm(a, ALU_LOAD(ALU_CMP) | W64, RAX, mem_index(R15, RCX, JUMP_PC));
    uint8_t *miss = asm_jcc_forward(a, CC_NE);
    set_pc_base(t, RAX);
    asm_rm(a, 0xff, 4, mem_index(R15, RCX, JUMP_CODE));

    t->at[THUNK_MISS] = a->p;
    store(t, STATE(pc), RAX);
    asm_patch(miss, a->p);
    /* find_code may walk page tables and raise: registers are in the state meanwhile */
    transfer_pinned(t, ALL_PINNED, true);
    state_argument(t);
    call_pool(t, POOL_FIND_CODE);
    transfer_pinned(t, ALL_PINNED, false);
    load(t, R15, STATE(set));
    asm_rr(a, I_TEST | W64, RAX, RAX);
    uint8_t *none = asm_jcc_short(a, CC_E);
    load(t, RCX, STATE(pc));
    set_pc_base(t, RCX);
    jump_register(t, RAX);
    asm_patch_short(none, a->p);
    asm_mov_imm(a, RDX, EXIT_LOOKUP);
    asm_alu_mem_imm(a, 0, ALU_CMP, STATE(poll), 0);
    uint8_t *calm = asm_jcc_short(a, CC_E);
    asm_mov_imm(a, RDX, EXIT_POLL);
    asm_patch_short(calm, a->p);
    leave(t);
}

/* ---- called by units ---- */

/* cs->pc = pc_base + the upper half of the description that follows the call; the return address is at [rsp + depth].
 * The lower half is left in ecx, zero-extended. */
static void exact_pc(Thunks *t, int32_t depth)
{
    load(t, RAX, mem_at(RSP, depth));
    asm_rm(&t->a, I_MOVZX16, RCX, mem_at(RAX, 1));
    asm_rm(&t->a, I_MOVZX16, RAX, mem_at(RAX, 3));
    asm_rm(&t->a, ALU_LOAD(ALU_ADD) | W64, RAX, STATE(pc_base));
    store(t, STATE(pc), RAX);
}

/* An exception was raised: forget the unit's call (depth: bytes down to and including the return address) and go on at
 * the handler. */
static void check_raised(Thunks *t, int32_t depth)
{
    asm_alu_mem8_imm(&t->a, ALU_CMP, STATE(raised), 0);
    uint8_t *fine = asm_jcc_short(&t->a, CC_E);
    adjust_stack(t, depth);
    asm_jmp(&t->a, t->at[THUNK_RAISED]);
    asm_patch_short(fine, t->a.p);
}

/* A slow memory access: see the Thunk list. Keeps rax, rsi, rdi, and xmm0-7 if told to. */
static void thunk_memory(Thunks *t, Thunk which, unsigned function, bool xmm)
{
    Asm *a = &t->a;
    int32_t depth = 24 + (xmm ? 64 : 0);

    t->at[which + (xmm ? THUNK_XMM : 0)] = a->p;
    push(t, RAX);
    push(t, RSI);
    push(t, RDI);
    if (xmm)
        transfer_xmm_temps(t, true);
    transfer_pinned(t, ALL_PINNED, true);
    asm_mov(a, W64, RSI, RCX);
    if (which == THUNK_CAS) {
        asm_mov(a, W64, RDI, RDX);
        asm_mov(a, W64, RDX, RAX);
    }
    exact_pc(t, depth);
    if (which == THUNK_AMO) { /* value, memop, kind */
        asm_mov(a, 0, R8, RCX);
        asm_shift_imm(a, 0, SHIFT_SHR, R8, 8);
        asm_rr(a, I_MOVZX8, RCX, RCX);
    } else if (which == THUNK_CAS) { /* expected, new, memop */
        asm_mov(a, 0, R8, RCX);
        asm_mov(a, W64, RCX, RDI);
    }
    state_argument(t);
    call_pool(t, function);
    check_raised(t, depth + 8);
    asm_mov(a, W64, RCX, RAX);
    transfer_pinned(t, C_CHANGES, false);
    if (xmm)
        transfer_xmm_temps(t, false);
    pop(t, RDI);
    pop(t, RSI);
    pop(t, RAX);
    ret(t);
}

static void thunk_soft(Thunks *t)
{
    static const int8_t kept[] = { RAX, RCX, RDX, RSI, RDI };
    const int32_t depth = 8 * G_N_ELEMENTS(kept) + 64; /* up to the return address */
    Asm *a = &t->a;

    t->at[THUNK_SOFT] = a->p;
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++)
        push(t, kept[i]);
    transfer_xmm_temps(t, true);
    transfer_pinned(t, C_CHANGES, true);
    load(t, RAX, mem_at(RSP, depth));
    asm_rm(a, I_MOV_LOAD, R8, mem_at(RAX, 1));
    load(t, RSI, mem_at(RSP, depth + 8 + FRAME_SOFT));
    load(t, RDX, mem_at(RSP, depth + 8 + FRAME_SOFT + 8));
    load(t, RCX, mem_at(RSP, depth + 8 + FRAME_SOFT + 16));
    state_argument(t);
    call_pool(t, POOL_SOFT_FP);
    store(t, mem_at(RSP, depth + 8 + FRAME_SOFT), RAX);
    transfer_pinned(t, C_CHANGES, false);
    transfer_xmm_temps(t, false);
    for (unsigned i = G_N_ELEMENTS(kept); i--;)
        pop(t, kept[i]);
    ret(t);
}

/* A helper with these flags. Its registers are stored if it, or an exception's handler, may look at them or change
 * them. */
static void thunk_call(Thunks *t, unsigned flags)
{
    Asm *a = &t->a;
    bool all = flags & (HELPER_READS | HELPER_WRITES | HELPER_RAISES);

    t->at[THUNK_CALL + flags] = a->p;
    push(t, RAX);
    transfer_pinned(t, all ? ALL_PINNED : C_CHANGES, true);
    asm_mov(a, W64, R8, RDI);
    if (flags & HELPER_RAISES) {
        asm_mov(a, W64, RDI, RCX);
        exact_pc(t, 8);
        asm_mov(a, W64, RCX, RDI);
    }
    asm_rm(a, I_MOVSXD, RAX, mem_at(RSP, 0));
    asm_rm(a, ALU_LOAD(ALU_ADD) | W64, RAX, mem_cache(POOL_ANCHOR));
    state_argument(t);
    asm_rr(a, 0xff, 2, RAX); /* call */
    if (flags & HELPER_RAISES)
        check_raised(t, 16);
    if (flags & HELPER_CONTEXT)
        load(t, R15, STATE(set));
    transfer_pinned(t, flags & HELPER_WRITES ? ALL_PINNED : C_CHANGES, false);
    adjust_stack(t, 8);
    ret(t);
}

bool emit_thunks(const EmitRuntime *runtime, const GuestReg *regs, unsigned reg_count, uint8_t *buf, uint32_t room,
                 ptrdiff_t exec_offset, EmitThunks *out)
{
    Thunks t = { .regs = regs, .reg_count = reg_count };

    host_features_detect();
    if (room < POOL_SIZE + 2 * ASM_MARGIN || reg_count > MAX_GUEST_REGS)
        return false;
    t.a = (Asm){ .p = buf + POOL_SIZE, .start = buf + POOL_SIZE, .limit = buf + room - ASM_MARGIN, .cache = buf };
    t.at[THUNK_ENTER] = t.a.p;
    thunk_enter(&t);
    thunk_exits(&t);
    thunk_lookup(&t);
    for (int xmm = 0; xmm < 2; xmm++) {
        thunk_memory(&t, THUNK_LOAD, POOL_SLOW_LOAD, xmm);
        thunk_memory(&t, THUNK_STORE, POOL_SLOW_STORE, xmm);
        thunk_memory(&t, THUNK_AMO, POOL_SLOW_AMO, xmm);
        thunk_memory(&t, THUNK_CAS, POOL_SLOW_CAS, xmm);
    }
    thunk_soft(&t);
    for (unsigned flags = 0; flags < 16; flags++)
        thunk_call(&t, flags);
    if (t.a.full)
        return false;
    fill_pool(buf, runtime);
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        uint32_t offset = t.at[i] - buf;
        memcpy(buf + POOL_THUNKS + 4 * i, &offset, 4);
    }
    /* data to function pointer: through an integer */
    out->enter = (uint64_t(*)(CpuState *, void *))(uintptr_t)(buf + POOL_SIZE + exec_offset);
    out->size = (t.a.p - buf + 63) & ~63u;
    return out->size <= room;
}
