/*
 * x86-64 back end: the shared code at the start of the cache: entry, exit, look-up, slow paths, helper calls.
 *
 * In a unit rsp is 16-byte aligned. Slow-path thunks keep every register; the result is in the frame. All thunks that
 * call C first store the pinned registers to the state, so that C sees exact registers and exceptions are precise.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir_host.h"
#include "tcg/softfloat.h"
#include "tcg/x86-64/regs.h"

ThunkTable thunk_table;

/* Data behind the code of the thunks, found RIP-relatively. */
typedef struct ThunkData {
    uint64_t constants[CONST_COUNT][2];
    uint64_t vectors[VCONST_COUNT][4];
    void *slow_load_vector, *slow_store_vector;
    void *slow_load, *slow_store, *slow_amo, *slow_cas, *find_code, *soft_fp, *text;
    uint8_t host_flags[64]; /* MXCSR's exception bits as IR_FP_* */
    uint32_t mxcsr[32];     /* control word by CpuState.fp_round */
    uint32_t default_mxcsr;
    uint16_t default_x87;
} ThunkData;

typedef struct Thunks {
    Asm a;
    const GuestReg *regs;
    unsigned reg_count;
    ThunkData *data;
    bool wide; /* those being made are for units with vectors */
} Thunks;

#define DATA(t, member) ((const uint8_t *)&(t)->data->member)

static void fill_vectors(ThunkData *d)
{
    for (unsigned size = 0; size < 4; size++) {
        unsigned bytes = 1u << size, bits = 8 * bytes;
        for (unsigned i = 0; i < 32 / bytes; i++) {
            uint64_t sign = 1ull << (bits - 1), bit = 1ull << i % bits, low = (1ull << bits / 2) - 1;
            memcpy((uint8_t *)d->vectors[VCONST_SIGN + size] + i * bytes, &sign, bytes);
            memcpy((uint8_t *)d->vectors[VCONST_BITS + size] + i * bytes, &bit, bytes);
            memcpy((uint8_t *)d->vectors[VCONST_LOW + size] + i * bytes, &low, bytes);
        }
    }
    for (unsigned i = 0; i < 32; i++) /* the byte with bit i */
        ((uint8_t *)d->vectors[VCONST_SPREAD])[i] = i / 8;
}

static void fill_data(ThunkData *d, const EmitRuntime *runtime)
{
    static const uint64_t constants[CONST_COUNT][2] = {
        [CONST_BOX32] = { 0xffffffff00000000 },  [CONST_SIGN32] = { 0x80000000 },
        [CONST_SIGN64] = { 0x8000000000000000 }, [CONST_ABS32] = { 0x7fffffff },
        [CONST_ABS64] = { 0x7fffffffffffffff },  [CONST_NAN32] = { 0x7fc00000 },
        [CONST_NAN64] = { 0x7ff8000000000000 },
    };
    memcpy(d->constants, constants, sizeof(constants));
    fill_vectors(d);
    d->slow_load = (void *)runtime->slow_load;
    d->slow_store = (void *)runtime->slow_store;
    d->slow_load_vector = (void *)runtime->slow_load_vector;
    d->slow_store_vector = (void *)runtime->slow_store_vector;
    d->slow_amo = (void *)runtime->slow_amo;
    d->slow_cas = (void *)runtime->slow_cas;
    d->find_code = (void *)runtime->find_code;
    d->soft_fp = (void *)soft_fp;
    d->text = (void *)emit_unit;
    for (unsigned m = 0; m < 64; m++)
        d->host_flags[m] = ir_host_flags(m);
    d->default_mxcsr = 0x1f80;
    d->default_x87 = 0x37f;
    for (unsigned r = 0; r < G_N_ELEMENTS(d->mxcsr); r++)
        d->mxcsr[r] = ir_host_mxcsr((uint8_t)r);
}

/* Every pinned register to the state (store) or back. callee_saved: those that C keeps, too. */
static void pinned_all(Thunks *t, bool store, bool callee_saved)
{
    for (unsigned i = 0; i < t->reg_count; i++) {
        int host = pinned_host(&t->regs[i]);
        Mem m = state_mem(t->regs[i].offset);
        if (host == NO_REG || (!callee_saved && (host == RBX || (host >= R12 && host <= R14))))
            continue;
        if (t->regs[i].type == IR_V256)
            vec_rm(&t->a, VEX_0F | VEX_F3 | (store ? 0x7f : 0x6f), true, host - XMM0, 0, m);
        else if (is_xmm(host))
            op_rm(&t->a, P_F2 | P_0F | (store ? 0x11 : 0x10), host - XMM0, m, false);
        else
            op_rm(&t->a, store ? 0x89 : 0x8b, host, m, t->regs[i].type == IR_I64);
    }
    if (store && thunk_table.pinned_vectors)
        vzeroupper(&t->a); /* C is code for SSE */
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
    if (thunk_table.pinned_vectors)
        op_rm(a, 0xd9, 5, CPU_FIELD(x87_control), false); /* fldcw */
    op_rm(a, 0xc6, 0, CPU_FIELD(fp_live), false);
    put_byte(a, 1);
    pinned_all(t, false, true);
    op_rr(a, 0xff, 4, RAX, false); /* jmp rax */
}

/* The x87's exceptions to the state; the host's control word. rax is kept, rdx lost. */
static void leave_x87(Thunks *t)
{
    Asm *a = &t->a;
    mov_rr(a, RDX, RAX, true);
    put_byte(a, 0xdf); /* fnstsw ax */
    put_byte(a, 0xe0);
    alu_imm(a, ALU_AND, RAX, 0x7f, false);
    uint8_t *none = jcc_short(a, CC_E);
    op_rm(a, P_66 | 0x09, RAX, CPU_FIELD(x87_flags), false);
    put_byte(a, 0xdb); /* fnclex */
    put_byte(a, 0xe2);
    patch_short(none, a->p);
    op_rip(a, 0xd9, 5, DATA(t, default_x87), false);
    mov_rr(a, RAX, RDX, true);
}

/* A slow path has raised: no value stays in the x87's stack. */
static void empty_x87(Thunks *t)
{
    if (thunk_table.pinned_vectors)
        put_opcode(&t->a, P_0F | 0x77, 0); /* emms */
}

/* rax: reason. From raw on, cs->pc is set and the pinned registers are live. */
static const uint8_t *emit_exit(Thunks *t)
{
    Asm *a = &t->a;
    alu_load(a, ALU_ADD, RCX, CPU_FIELD(pc_base), true);
    mov_store(a, CPU_FIELD(pc), RCX, true);
    const uint8_t *raw = a->p;
    pinned_all(t, true, true);
    if (thunk_table.pinned_vectors)
        leave_x87(t);
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
    pinned_all(t, false, true); /* fetching may have raised */
    jmp_to(a, exit_raw);
    patch_short(found, a->p);
    pinned_all(t, false, false);
    mov_load(a, R15, CPU_FIELD(set), true);
    mov_load(a, RCX, CPU_FIELD(pc), true);
    alu_imm(a, ALU_AND, RCX, -GUEST_PAGE_SIZE, true);
    mov_store(a, CPU_FIELD(pc_base), RCX, true);
    op_rr(a, 0xff, 4, RAX, false);
}

/* What slow-path thunks push: xmm0-7 (whole registers only for units that have vectors), five temporaries, the return
 * address. */
static unsigned saved_xmm(const Thunks *t)
{
    return 8 * (t->wide ? 32 : 8);
}
static unsigned saved(const Thunks *t)
{
    return saved_xmm(t) + 5 * 8 + 8;
}
static const uint8_t saved_temps[] = { RAX, RCX, RDX, RSI, RDI };

static Mem frame(const Thunks *t, int slot)
{
    return mem(RSP, saved(t) + slot);
}

static void save_xmms(Thunks *t, bool store)
{
    for (int i = 0; i < 8; i++) {
        if (t->wide)
            vec_rm(&t->a, VEX_0F | VEX_F3 | (store ? 0x7f : 0x6f), true, i, 0, mem(RSP, i * 32));
        else
            op_rm(&t->a, P_F2 | P_0F | (store ? 0x11 : 0x10), i, mem(RSP, i * 8), false);
    }
    if (store && t->wide && !thunk_table.pinned_vectors)
        vzeroupper(&t->a); /* else pinned_all does */
}

static void slow_begin(Thunks *t)
{
    Asm *a = &t->a;
    for (unsigned i = 0; i < sizeof(saved_temps); i++)
        push(a, saved_temps[i]);
    alu_imm(a, ALU_SUB, RSP, saved_xmm(t), true);
    save_xmms(t, true);
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
    op_rm(a, P_0F | 0xb7, RAX, frame(t, FRAME_INFO + 2), false);
    split_place(a, RAX, RCX);
    alu_load(a, ALU_ADD, RAX, CPU_FIELD(pc_base), true);
    mov_store(a, CPU_FIELD(pc), RAX, true);
}

static void slow_end(Thunks *t, const void *function, bool raises)
{
    Asm *a = &t->a;
    lea(a, RDI, mem(RBP, -CPU_BIAS), true);
    mov_load(a, RSI, frame(t, FRAME_VA), true);
    op_rip(a, 0xff, 2, function, false);
    mov_store(a, frame(t, FRAME_RESULT), RAX, true);
    pinned_all(t, false, false);
    uint8_t *trap = NULL;
    if (raises) {
        op_rm(a, 0x80, ALU_CMP, CPU_FIELD(raised), false);
        put_byte(a, 0);
        trap = jcc_forward(a, CC_NE);
    }
    save_xmms(t, false);
    alu_imm(a, ALU_ADD, RSP, saved_xmm(t), true);
    for (unsigned i = sizeof(saved_temps); i--;)
        pop(a, saved_temps[i]);
    put_byte(a, 0xc3);
    if (trap) {
        patch_to(trap, a->p);
        empty_x87(t);
        alu_imm(a, ALU_ADD, RSP, saved(t), true);
        pinned_all(t, false, true); /* entering a handler may change registers */
        jmp_to(a, thunk(THUNK_LOOKUP));
    }
}

static void emit_slow(Thunks *t, int which)
{
    Asm *a = &t->a;
    thunk_table.at[which + (t->wide ? THUNK_WIDE : 0)] = a->p - thunk_table.base;
    slow_begin(t);
    if (which != THUNK_SOFT)
        slow_pc(t);
    if (which != THUNK_LOAD)
        mov_load(a, RDX, frame(t, FRAME_VALUE), true);
    switch (which) {
    case THUNK_LOAD:
    case THUNK_STORE:
        op_rm(a, P_0F | 0xb7, RCX, frame(t, FRAME_INFO), false);
        slow_end(t, which == THUNK_LOAD ? DATA(t, slow_load) : DATA(t, slow_store), true);
        break;
    case THUNK_LOAD_VECTOR:
    case THUNK_STORE_VECTOR:
        op_rm(a, P_0F | 0xb7, RCX, frame(t, FRAME_INFO), false);
        lea(a, RDX, frame(t, FRAME_BUFFER), true);
        slow_end(t, which == THUNK_LOAD_VECTOR ? DATA(t, slow_load_vector) : DATA(t, slow_store_vector), true);
        break;
    case THUNK_AMO:
        op_rm(a, P_0F | 0xb7, RCX, frame(t, FRAME_INFO), false);
        mov_load(a, R8, frame(t, FRAME_VALUE2), true);
        slow_end(t, DATA(t, slow_amo), true);
        break;
    case THUNK_CAS:
        mov_load(a, RCX, frame(t, FRAME_VALUE2), true);
        op_rm(a, P_0F | 0xb7, R8, frame(t, FRAME_INFO), false);
        slow_end(t, DATA(t, slow_cas), true);
        break;
    default:
        mov_load(a, RCX, frame(t, FRAME_VALUE2), true);
        mov_load(a, R8, frame(t, FRAME_INFO), false);
        slow_end(t, DATA(t, soft_fp), false);
    }
}

/* ---- refills ---- */

static const uint8_t refill_saved[] = { RAX, RCX, RDX, RSI, RDI };
enum { DEPTH = sizeof(refill_saved) * 8 + 8, MAX_MISSES = 8 /* there are six */ };

typedef struct Refill {
    Thunks *t;
    bool store, vector;
    size_t table;
    uint8_t *slow[MAX_MISSES]; /* jumps to where C is asked */
    unsigned slow_count;
} Refill;

static void to_slow(Refill *r, int cc)
{
    r->slow[r->slow_count++] = jcc_forward(&r->t->a, cc);
}

/* A vector at rax that must be aligned, rdx: its size, rsi: the access. */
static void refuse_misaligned(Refill *r)
{
    Asm *a = &r->t->a;
    test_imm(a, RSI, MO_ALIGN);
    uint8_t *any = jcc_short(a, CC_E);
    lea(a, RCX, mem(RDX, -1), false);
    test_rr(a, RCX, RAX, false);
    to_slow(r, CC_NE);
    patch_short(any, a->p);
}

/* rax: address, rdx: its page, rcx: offset of its entry in the first level. Not what crosses pages or is special. */
static void refill_begin(Refill *r)
{
    Asm *a = &r->t->a;
    for (unsigned i = 0; i < sizeof(refill_saved); i++)
        push(a, refill_saved[i]);
    op_rm(a, P_0F | 0xb7, RCX, mem(RSP, DEPTH + FRAME_INFO), false);
    mov_load(a, RAX, mem(RSP, DEPTH + FRAME_VA), true);
    mov_imm(a, RDX, 1);
    if (r->vector) {
        mov_rr(a, RSI, RCX, false);
        alu_imm(a, ALU_AND, RCX, IR_VECTOR_SIZE, false);
        shift_cl(a, SHIFT_SHL, RDX, false);
        refuse_misaligned(r);
    } else {
        test_imm(a, RCX, 0xffff & ~(MO_SIZE | MO_SIGNED | MO_ACQUIRE | MO_RELEASE | MO_FOR_WRITE));
        to_slow(r, CC_NE);
        alu_imm(a, ALU_AND, RCX, MO_SIZE, false);
        shift_cl(a, SHIFT_SHL, RDX, false);
    }
    lea(a, RDX, (Mem){ RAX, RDX, -1 }, true);
    alu_rr(a, ALU_XOR, RDX, RAX, true);
    alu_imm(a, ALU_AND, RDX, -GUEST_PAGE_SIZE, true);
    to_slow(r, CC_NE);
    mov_rr(a, RDX, RAX, true);
    alu_imm(a, ALU_AND, RDX, -GUEST_PAGE_SIZE, true);
    mov_rr(a, RCX, RAX, false);
    shift_imm(a, SHIFT_SHR, RCX, GUEST_PAGE_BITS - 4, false);
    alu_imm(a, ALU_AND, RCX, (TLB_SIZE - 1) << 4, false);
}

/* The way of the line at rsi with tag rcx: rsi then points to it. The jumps out are in found[]. */
static void probe_ways(Refill *r, uint8_t **found)
{
    Asm *a = &r->t->a;
    for (int way = 0; way < L2_WAYS; way++) {
        mov_load(a, RDI, mem(RSI, way * 8), true);
        if (!r->store)
            alu_imm(a, ALU_AND, RDI, ~L2_WRITABLE, true);
        alu_rr(a, ALU_CMP, RDI, RCX, true);
        found[way] = jcc_forward(a, CC_E);
    }
}

/* rsi: the second-level way of the page; else C is asked. */
static void find_second(Refill *r)
{
    Asm *a = &r->t->a;
    uint8_t *found[2][L2_WAYS], *way[L2_WAYS];
    mov_rr(a, RDI, RAX, true);
    shift_imm(a, SHIFT_SHR, RDI, 63, true);
    shift_imm(a, SHIFT_SHL, RDI, 2, false);
    mov_rr(a, RSI, RDX, true);
    shift_imm(a, SHIFT_SHR, RSI, GUEST_PAGE_BITS, true);
    alu_load(a, ALU_XOR, RSI, mem_index(R15, RDI, offsetof(ContextSet, mix)), false);
    alu_imm(a, ALU_AND, RSI, L2_LINES - 1, false);
    shift_imm(a, SHIFT_SHL, RSI, __builtin_ctz(sizeof(L2Line)), false);
    alu_load(a, ALU_ADD, RSI, mem(R15, offsetof(ContextSet, l2)), true);
    mov_load(a, RCX, mem_index(R15, RDI, offsetof(ContextSet, generation)), false);
    alu_rr(a, ALU_OR, RCX, RDX, true);
    if (r->store)
        alu_imm(a, ALU_OR, RCX, L2_WRITABLE, true);
    probe_ways(r, found[0]);
    mov_load(a, RDI, mem(R15, offsetof(ContextSet, generation_change)), false);
    alu_rr(a, ALU_XOR, RCX, RDI, true);
    probe_ways(r, found[1]);
    r->slow[r->slow_count++] = jmp_forward(a);
    for (int w = L2_WAYS - 1; w >= 0; w--) {
        patch_to(found[0][w], a->p);
        patch_to(found[1][w], a->p);
        if (w) {
            alu_imm(a, ALU_ADD, RSI, w * 8, true);
            way[w] = jmp_forward(a);
        }
    }
    for (int w = 1; w < L2_WAYS; w++)
        patch_to(way[w], a->p);
}

/* Copy the way at rsi to the first level, and note that. rax: the host address. */
static void fill_first(Refill *r, const EmitRuntime *runtime)
{
    Asm *a = &r->t->a;
    if (r->store) {
        mov_load(a, RDI, mem(RSI, offsetof(L2Table, cold) + offsetof(L2Cold, flags)), true);
        op_rm(a, P_0F | 0xb6, RDI, mem(RDI, 0), false);
        alu_imm(a, ALU_AND, RDI, runtime->page_flags, false);
        alu_imm(a, ALU_CMP, RDI, runtime->writable, false);
        to_slow(r, CC_NE);
    }
    mov_load(a, RDI, mem(RSI, offsetof(L2Line, addend)), true);
    mov_rr(a, RCX, RAX, false);
    shift_imm(a, SHIFT_SHR, RCX, GUEST_PAGE_BITS - 4, false);
    alu_imm(a, ALU_AND, RCX, (TLB_SIZE - 1) << 4, false);
    mov_store(a, mem_index(R15, RCX, r->table), RDX, true);
    mov_store(a, mem_index(R15, RCX, r->table + 8), RDI, true);
    alu_rr(a, ALU_ADD, RAX, RDI, true);
    mov_load(a, RSI, mem(R15, offsetof(ContextSet, fills)), false);
    alu_imm(a, ALU_CMP, RSI, TLB_LOG, false);
    uint8_t *full = jcc_short(a, CC_AE);
    shift_imm(a, SHIFT_SHR, RCX, 4, false);
    lea(a, RDI, (Mem){ R15, RSI, 0 }, true);
    op_rm(a, P_66 | 0x89, RCX, mem_index(RDI, RSI, offsetof(ContextSet, log)), false);
    alu_imm(a, ALU_ADD, RSI, 1, false);
    uint8_t *noted = jmp_short(a);
    patch_short(full, a->p);
    mov_imm(a, RSI, TLB_LOG + 1);
    patch_short(noted, a->p);
    mov_store(a, mem(R15, offsetof(ContextSet, fills)), RSI, false);
    alu_mem_imm(a, ALU_ADD, mem(R15, offsetof(ContextSet, refills)), 1, true);
}

static void refill_end(Refill *r)
{
    Asm *a = &r->t->a;
    for (unsigned i = sizeof(refill_saved); i--;)
        pop(a, refill_saved[i]);
    put_byte(a, 0xc3);
}

/* The same with a vector, to or from the frame. One register is needed: what it has waits below the stack. */
static void access_vector(Refill *r)
{
    Asm *a = &r->t->a;
    Mem below = mem(RSP, -32), buffer = mem(RSP, DEPTH + FRAME_BUFFER);
    uint8_t *done[4];
    op_rm(a, P_0F | 0xb7, RCX, mem(RSP, DEPTH + FRAME_INFO), false);
    alu_imm(a, ALU_AND, RCX, IR_VECTOR_SIZE, false);
    store_vector(a, XMM0, below, 5);
    for (unsigned size = 5; size >= 2; size--) {
        alu_imm(a, ALU_CMP, RCX, (int32_t)size, false);
        uint8_t *other = size == 2 ? NULL : jcc_short(a, CC_NE);
        load_vector(a, XMM0, r->store ? buffer : mem(RAX, 0), size);
        store_vector(a, XMM0, r->store ? mem(RAX, 0) : buffer, size);
        done[size - 2] = jmp_forward(a);
        if (other)
            patch_short(other, a->p);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(done); i++)
        patch_to(done[i], a->p);
    load_vector(a, XMM0, below, 5);
    refill_end(r);
}

/* The access at the host address rax; back to the unit. */
static void access_memory(Refill *r)
{
    static const uint32_t stores[] = { 0x88, P_66 | 0x89, 0x89, 0x89 };
    static const uint32_t loads[] = { P_0F | 0xb6, P_0F | 0xb7, 0x8b, 0x8b, P_0F | 0xbe, P_0F | 0xbf, 0x63, 0x8b };
    static const uint8_t store_order[] = { MO_64, MO_32, MO_16, MO_8 };
    static const uint8_t load_order[] = {
        MO_64, MO_SIGNED | MO_32, MO_8, MO_32, MO_16, MO_SIGNED | MO_16, MO_SIGNED | MO_8, MO_SIGNED | MO_64
    };
    Asm *a = &r->t->a;
    uint8_t *done[8];
    unsigned count = r->store ? sizeof(store_order) : sizeof(load_order);
    op_rm(a, P_0F | 0xb7, RCX, mem(RSP, DEPTH + FRAME_INFO), false);
    alu_imm(a, ALU_AND, RCX, r->store ? MO_SIZE : MO_SIZE | MO_SIGNED, false);
    if (r->store)
        mov_load(a, RDX, mem(RSP, DEPTH + FRAME_VALUE), true);
    for (unsigned i = 0; i < count; i++) {
        unsigned kind = r->store ? store_order[i] : load_order[i];
        alu_imm(a, ALU_CMP, RCX, kind, false);
        uint8_t *other = jcc_short(a, CC_NE);
        op_rm(a, r->store ? stores[kind] : loads[kind], RDX, mem(RAX, 0), r->store ? kind == MO_64 : kind >= MO_64);
        done[i] = jmp_forward(a);
        patch_short(other, a->p);
    }
    for (unsigned i = 0; i < count; i++)
        patch_to(done[i], a->p);
    if (!r->store)
        mov_store(a, mem(RSP, DEPTH + FRAME_RESULT), RDX, true);
    refill_end(r);
}

/*
 * What missed the first level: the second is asked here, and only then C, which wants all registers in the state.
 * Retry: one access of a group that has no page in the TLB; it may have, where the group crosses into another page.
 */
static void emit_refill(Thunks *t, const EmitRuntime *runtime, bool store, bool vector)
{
    static const uint8_t kinds[2][2][3] = {
        { { THUNK_RETRY_LOAD, THUNK_REFILL_LOAD, THUNK_LOAD }, { THUNK_RETRY_STORE, THUNK_REFILL_STORE, THUNK_STORE } },
        { { THUNK_RETRY_LOAD_VECTOR, THUNK_REFILL_LOAD_VECTOR, THUNK_LOAD_VECTOR },
          { THUNK_RETRY_STORE_VECTOR, THUNK_REFILL_STORE_VECTOR, THUNK_STORE_VECTOR } }
    };
    Asm *a = &t->a;
    Refill r = { .t = t,
                 .store = store,
                 .vector = vector,
                 .table = store ? offsetof(ContextSet, write) : offsetof(ContextSet, read) };
    const uint8_t *kind = kinds[vector][store];
    unsigned wide = t->wide ? THUNK_WIDE : 0;
    thunk_table.at[wide + kind[0]] = a->p - thunk_table.base;
    refill_begin(&r);
    alu_load(a, ALU_CMP, RDX, mem_index(R15, RCX, r.table), true);
    uint8_t *second = jcc_forward(a, CC_NE);
    alu_load(a, ALU_ADD, RAX, mem_index(R15, RCX, r.table + 8), true);
    uint8_t *access = jmp_forward(a);
    thunk_table.at[wide + kind[1]] = a->p - thunk_table.base;
    refill_begin(&r);
    patch_to(second, a->p);
    find_second(&r);
    fill_first(&r, runtime);
    patch_to(access, a->p);
    if (vector)
        access_vector(&r);
    else
        access_memory(&r);
    for (unsigned i = 0; i < r.slow_count; i++)
        patch_to(r.slow[i], a->p);
    for (unsigned i = sizeof(refill_saved); i--;)
        pop(a, refill_saved[i]);
    jmp_to(a, thunk(wide + kind[2]));
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
    empty_x87(t);
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
                                .vectors = offsetof(ThunkData, vectors),
                                .parallel = runtime->parallel,
                                .counted = runtime->counted };
    for (unsigned i = 0; i < reg_count; i++)
        thunk_table.pinned_vectors |= regs[i].type == IR_V256 && regs[i].pin;
    fill_data(t.data, runtime);
    const uint8_t *enter = t.a.p;
    emit_enter(&t);
    thunk_table.at[THUNK_EXIT] = t.a.p - buf;
    const uint8_t *raw = emit_exit(&t);
    emit_lookup(&t, raw);
    for (unsigned wide = 0; wide < (host_features.avx2 ? 2 : 1); wide++) {
        t.wide = wide;
        for (int which = THUNK_LOAD; which <= THUNK_STORE_VECTOR; which++)
            emit_slow(&t, which);
        for (unsigned kind = 0; kind < (wide ? 4 : 2); kind++)
            emit_refill(&t, runtime, kind & 1, kind >> 1);
    }
    emit_call_thunk(&t);
    emit_nans(&t);
    uintptr_t address = (uintptr_t)enter + exec_offset;
    memcpy(&out->enter, &address, sizeof(address));
    out->size = (t.a.p - buf + 63) & ~63u;
    return !t.a.full;
}
