/*
 * x86-64 back end: guest memory. The fast path finds the page in the first-level soft TLB and touches host memory;
 * everything else (miss, page crossing, misalignment where it matters, device, watched page) is one cold jump to a stub
 * that calls a shared thunk.
 *
 * The scratch registers are rcx and rdx; in the stub rcx is the address and rdx the value, and only rax, rsi, rdi need
 * saving.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

#define TLB_READ  offsetof(ContextSet, read)
#define TLB_WRITE offsetof(ContextSet, write)

/* Where the guest address is: a register with zeros above 32 bits for narrow guests, plus a displacement. */
typedef struct Address {
    int reg;
    int32_t disp;
} Address;

/* rcx and rdx must be reserved. */
static Address fetch_address(Emit *e, IrTmp t, int64_t imm)
{
    bool narrow = e->u->tmps[t].type == IR_I32;
    Address at = { use_gpr(e, t), imm };

    if (!narrow && imm == (int32_t)imm && imm <= INT32_MAX - 64)
        return at;
    if (narrow && !imm && value_of(e, t)->type == IR_I32)
        return at;
    int sum = scratch_gpr(e);
    if (narrow) {
        asm_rm(&e->a, I_LEA, sum, mem_at(at.reg, imm));
    } else {
        asm_mov_imm(&e->a, sum, imm);
        asm_rr(&e->a, ALU_LOAD(ALU_ADD) | W64, sum, at.reg);
    }
    e->locked &= ~(1u << at.reg); /* it has served */
    return (Address){ sum, 0 };
}

/* Find the page: rcx becomes host address - guest address. Returns the cold jump. */
static uint8_t *probe(Emit *e, Address at, size_t table, unsigned size, bool aligned)
{
    Asm *a = &e->a;
    if (at.disp) {
        asm_rm(a, I_LEA, RCX, mem_at(at.reg, at.disp));
        asm_shift_imm(a, 0, SHIFT_SHR, RCX, GUEST_PAGE_BITS - 4);
    } else if (host_features.bmi2) {
        asm_vex_rr(a, I_RORX, RCX, 0, at.reg);
        asm_u8(a, GUEST_PAGE_BITS - 4);
    } else {
        asm_mov(a, 0, RCX, at.reg);
        asm_shift_imm(a, 0, SHIFT_SHR, RCX, GUEST_PAGE_BITS - 4);
    }
    asm_alu_imm(a, 0, ALU_AND, RCX, (TLB_SIZE - 1) << 4);
    /* The last byte must be in the same page; or, where alignment is asked for, the low bits must be zero. */
    int32_t last = at.disp + (aligned ? 0 : (int32_t)size - 1);
    if (last)
        asm_rm(a, I_LEA | W64, RDX, mem_at(at.reg, last));
    else
        asm_mov(a, W64, RDX, at.reg);
    asm_alu_imm(a, W64, ALU_AND, RDX, aligned ? -GUEST_PAGE_SIZE | (int32_t)(size - 1) : -GUEST_PAGE_SIZE);
    asm_rm(a, ALU_LOAD(ALU_CMP) | W64, RDX, mem_index(R15, RCX, table));
    uint8_t *cold = asm_jcc_forward(a, CC_NE);
    asm_rm(a, I_MOV_LOAD | W64, RCX, mem_index(R15, RCX, table + offsetof(TlbEntry, addend)));
    return cold;
}

/* rcx = the address */
static void stub_begin(Emit *e, const Stub *s)
{
    asm_patch(s->from, e->a.p);
    if (s->disp)
        asm_rm(&e->a, I_LEA | W64, RCX, mem_at(s->r0, s->disp));
    else
        asm_mov(&e->a, W64, RCX, s->r0);
}

static Stub *memory_stub(Emit *e, void (*emit)(Emit *e, const Stub *s), uint8_t *cold, const IrInsn *insn, Address at,
                         int value)
{
    Stub *s = new_stub(e, emit, cold, insn);
    s->r0 = at.reg;
    s->disp = at.disp;
    s->r1 = value;
    s->xmm_live = xmm_live(e);
    return s;
}

static uint32_t describe(const Stub *s, unsigned kind)
{
    return s->insn->aux | kind << 8 | (uint32_t)s->pc << 16;
}

/* ---- loads ---- */

/* r1: the destination */
static void stub_load(Emit *e, const Stub *s)
{
    IrType type = s->insn->type;
    stub_begin(e, s);
    call_thunk(e, THUNK_LOAD + (s->xmm_live ? THUNK_XMM : 0), describe(s, 0));
    if (s->r1 >= XMM0)
        asm_rr(&e->a, I_MOVD_TO_XMM | (type == IR_F64 ? W64 : 0), s->r1 & 15, RCX);
    else
        emit_extend(e, width(type), s->insn->aux, s->r1, (Operand){ .reg = RCX });
    asm_jmp(&e->a, s->back);
}

/* Bytes reversed: in a register, so that the result may be extended or moved on. */
static void load_swapped(Emit *e, unsigned memop, int dst, Mem m)
{
    unsigned size = memop & MO_SIZE, w = size == MO_64 ? W64 : 0;
    if (host_features.movbe && size != MO_16) {
        asm_rm(&e->a, I_MOVBE_LOAD | w, dst, m);
        return;
    }
    asm_rm(&e->a, size == MO_16 ? I_MOVZX16 : I_MOV_LOAD | w, dst, m);
    asm_opcode(&e->a, 0xc8 | (dst & 7) | M_0F | w, 0, 0, dst);
    if (size == MO_16)
        asm_shift_imm(&e->a, 0, SHIFT_SHR, dst, 16);
}

static void emit_load(Emit *e, const IrInsn *insn)
{
    bool xmm = insn->type >= IR_F32;
    unsigned memop = insn->aux, size = MO_BYTES(memop), w = width(insn->type);

    reserve_gpr(e, RCX);
    reserve_gpr(e, RDX);
    Address at = fetch_address(e, insn->arg[0], insn->imm);
    int dst = xmm ? result_xmm(e, insn->dst, 0) : result_gpr(e, insn->dst, insn->arg[0]);
    uint8_t *cold = probe(e, at, TLB_READ, size, (memop & MO_ALIGN) && size > 1);
    Mem m = mem_index(RCX, at.reg, at.disp);
    if ((memop & MO_BIG_ENDIAN) && size > 1) {
        load_swapped(e, memop, xmm ? RCX : dst, m);
        if (xmm)
            asm_rr(&e->a, I_MOVD_TO_XMM | (insn->type == IR_F64 ? W64 : 0), dst & 15, RCX);
        else if (memop & MO_SIGNED)
            emit_extend(e, w, memop, dst, (Operand){ .reg = dst });
    } else if (xmm) {
        asm_rm(&e->a, insn->type == IR_F64 ? I_MOVQ_LOAD : I_FMOV_LOAD | P_F3, dst & 15, m);
    } else {
        emit_extend(e, w, memop, dst, (Operand){ .reg = NO_REG, .mem = m });
    }
    memory_stub(e, stub_load, cold, insn, at, dst);
    bind(e, insn->dst, insn->type, dst);
    e->out->loads++;
}

/* ---- stores ---- */

/* r1: the value, or NO_REG: imm */
static void stub_store(Emit *e, const Stub *s)
{
    stub_begin(e, s);
    if (s->r1 == NO_REG)
        asm_mov_imm(&e->a, RDX, s->imm);
    else if (s->r1 >= XMM0)
        asm_rr(&e->a, I_MOVD_FROM_XMM | ((s->insn->aux & MO_SIZE) == MO_64 ? W64 : 0), s->r1 & 15, RDX);
    else
        asm_mov(&e->a, W64, RDX, s->r1);
    call_thunk(e, THUNK_STORE + (s->xmm_live ? THUNK_XMM : 0), describe(s, 0));
    asm_jmp(&e->a, s->back);
}

static void store_imm(Emit *e, unsigned size, Mem m, int32_t imm)
{
    switch (size) {
    case MO_8:
        asm_rm_imm(&e->a, 0xc6, 0, m, 1);
        asm_u8(&e->a, imm);
        break;
    case MO_16:
        asm_rm_imm(&e->a, 0xc7 | P_66, 0, m, 2);
        asm_u8(&e->a, imm);
        asm_u8(&e->a, imm >> 8);
        break;
    default:
        asm_rm_imm(&e->a, 0xc7 | (size == MO_64 ? W64 : 0), 0, m, 4);
        asm_u32(&e->a, imm);
        break;
    }
}

static void store_swapped(Emit *e, unsigned size, Mem m, int value)
{
    unsigned w = size == MO_64 ? W64 : 0;
    if (host_features.movbe) {
        asm_rm(&e->a, I_MOVBE_STORE | w | (size == MO_16 ? P_66 : 0), value, m);
        return;
    }
    asm_mov(&e->a, W64, RDX, value);
    asm_opcode(&e->a, 0xc8 | RDX | M_0F | w, 0, 0, RDX);
    if (size == MO_16)
        asm_shift_imm(&e->a, 0, SHIFT_SHR, RDX, 16);
    asm_rm(&e->a, I_MOV_STORE | w | (size == MO_16 ? P_66 : 0), RDX, m);
}

static void emit_store(Emit *e, const IrInsn *insn)
{
    IrTmp source = insn->arg[1];
    unsigned memop = insn->aux, size = memop & MO_SIZE;
    bool xmm = value_of(e, source)->type >= IR_F32, swapped = (memop & MO_BIG_ENDIAN) && size != MO_8;
    int32_t imm = 0;

    reserve_gpr(e, RCX);
    reserve_gpr(e, RDX);
    Address at = fetch_address(e, insn->arg[0], insn->imm);
    bool immediate = !xmm && !swapped && value_of(e, source)->reg == NO_REG &&
                     is_imm32(e, size == MO_64 ? IR_I64 : IR_I32, source, &imm);
    int value = immediate ? NO_REG : xmm ? use_xmm(e, source) : use_gpr(e, source);
    uint8_t *cold = probe(e, at, TLB_WRITE, MO_BYTES(memop), (memop & MO_ALIGN) && size != MO_8);
    Mem m = mem_index(RCX, at.reg, at.disp);
    if (immediate) {
        store_imm(e, size, m, imm);
    } else if (swapped) {
        if (xmm)
            asm_rr(&e->a, I_MOVD_FROM_XMM | (size == MO_64 ? W64 : 0), value & 15, RDX);
        store_swapped(e, size, m, xmm ? RDX : value);
    } else if (xmm) {
        asm_rm(&e->a, size == MO_64 ? I_MOVQ_STORE : I_FMOV_STORE | P_F3, value & 15, m);
    } else {
        asm_rm(&e->a,
               size == MO_8 ? I_MOV_STORE8
                            : I_MOV_STORE | (size == MO_16   ? P_66
                                             : size == MO_64 ? W64
                                                             : 0),
               value, m);
    }
    memory_stub(e, stub_store, cold, insn, at, value)->imm = imm;
    e->out->stores++;
}

/* ---- atomics: the page must be writable and the address naturally aligned ---- */

enum { LOCK = 0xf0 };

static unsigned sized(unsigned size)
{
    return size == MO_16 ? P_66 : size == MO_64 ? W64 : 0;
}
/* The 8-bit form of most opcodes is one less. */
static uint32_t sized_op(uint32_t op, unsigned size)
{
    return size == MO_8 ? ((op - 1) | BYTE_REG) : (op | sized(size));
}
static void lock_prefix(Emit *e)
{
    asm_begin(&e->a);
    asm_u8(&e->a, LOCK);
}

/* r1: value; result in rax */
static void stub_amo(Emit *e, const Stub *s)
{
    stub_begin(e, s);
    asm_mov(&e->a, W64, RDX, s->r1);
    if (s->insn->op == OP_cas) {
        call_thunk(e, THUNK_CAS + (s->xmm_live ? THUNK_XMM : 0), describe(s, 0));
    } else {
        call_thunk(e, THUNK_AMO + (s->xmm_live ? THUNK_XMM : 0), describe(s, s->insn->imm));
    }
    asm_mov(&e->a, W64, RAX, RCX);
    asm_jmp(&e->a, s->back);
}

/* rcx = host address of the aligned, writable guest memory. Swapped bytes are left to C. */
static uint8_t *probe_atomic(Emit *e, Address at, unsigned memop)
{
    if ((memop & MO_BIG_ENDIAN) && MO_BYTES(memop) > 1)
        return asm_jmp_forward(&e->a);
    uint8_t *cold = probe(e, at, TLB_WRITE, MO_BYTES(memop), MO_BYTES(memop) > 1);
    asm_rr(&e->a, ALU_LOAD(ALU_ADD) | W64, RCX, at.reg);
    return cold;
}

/* The old value is in rax. */
static void finish_atomic(Emit *e, const IrInsn *insn, uint8_t *cold, Address at, int value)
{
    memory_stub(e, stub_amo, cold, insn, at, value);
    int hint = alloc_hint(e, insn->dst), dst = hint == NO_REG ? RAX : hint;
    emit_extend(e, width(insn->type), insn->aux, dst, (Operand){ .reg = RAX });
    bind(e, insn->dst, insn->type, dst);
    e->out->loads++;
    e->out->stores++;
}

/* Read, compute into rdx, compare and exchange, until nobody came between. */
static void amo_loop(Emit *e, unsigned size, unsigned kind, int value)
{
    static const uint8_t alu[] = { [AMO_AND] = ALU_AND, [AMO_OR] = ALU_OR, [AMO_XOR] = ALU_XOR };
    /* take the new value when the old one is ... than it */
    static const uint8_t take[] = { [AMO_MIN] = CC_G, [AMO_MAX] = CC_L, [AMO_MINU] = CC_A, [AMO_MAXU] = CC_B };

    asm_rm(&e->a, size == MO_8 ? 0x8a | BYTE_REG : I_MOV_LOAD | sized(size), RAX, mem_at(RCX, 0));
    uint8_t *again = e->a.p;
    if (kind <= AMO_XOR) {
        asm_mov(&e->a, W64, RDX, RAX);
        asm_rr(&e->a, ALU_LOAD(alu[kind]) | W64, RDX, value);
    } else {
        asm_rr(&e->a, size == MO_8 ? 0x3a | BYTE_REG | BYTE_RM : ALU_LOAD(ALU_CMP) | sized(size), RAX, value);
        asm_mov(&e->a, W64, RDX, RAX);
        asm_rr(&e->a, 0x40 | M_0F | W64 | take[kind], RDX, value);
    }
    lock_prefix(e);
    asm_rm(&e->a, sized_op(0xb1, size) | M_0F, RDX, mem_at(RCX, 0));
    asm_jcc(&e->a, CC_NE, again);
}

static void emit_amo(Emit *e, const IrInsn *insn)
{
    unsigned size = insn->aux & MO_SIZE, kind = insn->imm;
    reserve_gpr(e, RAX);
    reserve_gpr(e, RCX);
    reserve_gpr(e, RDX);
    Address at = fetch_address(e, insn->arg[0], 0);
    int value = use_gpr(e, insn->arg[1]);
    uint8_t *cold = probe_atomic(e, at, insn->aux);
    switch (kind) {
    case AMO_SWAP:
        asm_mov(&e->a, W64, RAX, value);
        asm_rm(&e->a, sized_op(I_XCHG, size), RAX, mem_at(RCX, 0));
        break;
    case AMO_ADD:
        asm_mov(&e->a, W64, RAX, value);
        lock_prefix(e);
        asm_rm(&e->a, sized_op(0xc1, size) | M_0F, RAX, mem_at(RCX, 0));
        break;
    default:
        amo_loop(e, size, kind, value);
        break;
    }
    finish_atomic(e, insn, cold, at, value);
}

static void emit_cas(Emit *e, const IrInsn *insn)
{
    unsigned size = insn->aux & MO_SIZE;
    reserve_with(e, RAX, insn->arg[1]);
    reserve_gpr(e, RCX);
    reserve_gpr(e, RDX);
    /* arguments that were the same temporary, and died in rax, are still there */
    Address at = fetch_address(e, insn->arg[0], 0);
    int value = use_gpr(e, insn->arg[2]);
    uint8_t *cold = probe_atomic(e, at, insn->aux);
    lock_prefix(e);
    asm_rm(&e->a, sized_op(0xb1, size) | M_0F, value, mem_at(RCX, 0));
    finish_atomic(e, insn, cold, at, value);
}

/* x86 orders everything but a store before a later load (volume 3A, 8.2.2). */
static void emit_fence(Emit *e, const IrInsn *insn)
{
    if (!(insn->imm & FENCE_STORE_LOAD))
        return;
    lock_prefix(e);
    asm_alu_mem_imm(&e->a, 0, ALU_OR, mem_at(RSP, FRAME_SOFT), 0);
}

void emit_mem_op(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_ld:
        emit_load(e, insn);
        break;
    case OP_st:
        emit_store(e, insn);
        break;
    case OP_amo:
        emit_amo(e, insn);
        break;
    case OP_cas:
        emit_cas(e, insn);
        break;
    default:
        emit_fence(e, insn);
        break;
    }
}
