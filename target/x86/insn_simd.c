/*
 * x86 translation: SSE, AVX and what goes with them (see insn_simd.h). Rows of simd.opcodes say which operand is which,
 * and the opcode is the host's: the instruction follows from the row, but for moves and a few others listed here.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/insn_simd.h"
#include <string.h>

/* ---- what the files of SIMD share ---- */

bool simd_available(Ctx *c, unsigned need)
{
    static const uint32_t modes[] = { [NEED_X87] = MODE_NO_FPU,
                                      [NEED_MMX] = MODE_NO_FPU,
                                      [NEED_SSE] = MODE_NO_FPU | MODE_NO_SSE,
                                      [NEED_AVX] = MODE_NO_FPU | MODE_NO_AVX };
    if (!(c->mode & modes[need]))
        return true;
    ir_call(c->ir, IR_I64, HELPER_NO_FPU, ir_const(c->ir, IR_I64, need), 0, 0, 0);
    end_at_pc(c);
    return false;
}

static uint32_t simd_in(unsigned n)
{
    return offsetof(X86State, simd) + offsetof(X86SimdScratch, in) + n * sizeof(IrVector);
}

/* With exceptions that are to be raised before the result is written. */
static IrTmp checked_op(Ctx *c, IrType type, int64_t what, const IrTmp in[3])
{
    IrUnit *u = c->ir;
    unsigned vectors = (unsigned)ir_is_vector(type) << 3;
    for (unsigned i = 0; i < ir_host_inputs(what); i++) {
        IrType t = (IrType)u->tmps[in[i]].type;
        if (ir_is_vector(t)) {
            vectors |= 1u << i;
            ir_vststate(u, 5, simd_in(i), in[i]);
        } else {
            ir_ststate(u, simd_in(i), t == IR_I32 ? MO_32 : MO_64, in[i]);
        }
    }
    IrTmp r = ir_call(u, ir_is_vector(type) ? IR_I64 : type, HELPER_SIMD_CHECKED, ir_const(u, IR_I64, what),
                      ir_const(u, IR_I64, vectors), 0, 0);
    return ir_is_vector(type) ? ir_vldstate(u, 5, offsetof(X86State, simd) + offsetof(X86SimdScratch, out)) : r;
}

IrTmp host_op(Ctx *c, IrType type, int64_t what, bool pure, IrTmp a, IrTmp b, IrTmp d)
{
    if (pure || !(c->mode & MODE_XM))
        return ir_host(c->ir, type, what, pure, a, b, d);
    return checked_op(c, type, what, (const IrTmp[]){ a, b, d });
}

IrTmp get_xmm(Ctx *c, unsigned reg)
{
    return ir_getreg(c->ir, REG_XMM0 + reg);
}

static IrTmp as_i64(Ctx *c, IrTmp t)
{
    return c->ir->tmps[t].type == IR_I64 ? t : ir_ext(c->ir, IR_I64, MO_32, t);
}

#define DIRTY offsetof(X86State, avx_dirty)

/* Are all upper halves zero, as this segment has checked? Else the instruction must merge. */
static bool assume_clean(Ctx *c)
{
    IrUnit *u = c->ir;
    if (u->assumed & ASSUMED_CLEAN)
        return true;
    if (c->insn->cold || u->marked == DIRTY)
        return false;
    ir_brcond(u, COND_NE, ir_ldstate(u, IR_I32, DIRTY, MO_8), ir_const(u, IR_I32, 0), ir_cold(u));
    u->assumed |= ASSUMED_CLEAN;
    return true;
}

void set_xmm(Ctx *c, unsigned reg, IrTmp value, bool wide)
{
    if (wide) {
        ir_mark(c->ir, DIRTY);
        c->ir->assumed &= ~(uint32_t)ASSUMED_CLEAN;
    } else if (!c->i->vex && !assume_clean(c)) {
        value = host_move(c, HOST_66(RVM, HOST_BLEND | IR_HOST_256) | IR_HOST_IMM(0x0f), get_xmm(c, reg), value);
    }
    ir_setreg(c->ir, REG_XMM0 + reg, value);
}

static unsigned alignment(const Ctx *c, unsigned bytes)
{
    bool aligned = c->i->row->flags & X86_ALIGNED;
    if (!c->i->vex && bytes == 16)
        aligned = !(c->i->row->flags & X86_UNALIGNED);
    if (aligned && bytes >= 16)
        return MO_ALIGN;
    return c->mode & MODE_ALIGN ? MO_ALIGN | MO_ACQUIRE : 0; /* #AC, not #GP */
}

IrTmp load_vector_operand(Ctx *c, unsigned bytes)
{
    IrTmp address = memory_address(c, bytes, false);
    if (bytes < 4)
        return host_move(c, HOST(RM, HOST_FROM_INT), ir_ld(c->ir, IR_I32, data(c, bytes), address, 0), 0);
    return ir_ld(c->ir, IR_V256, log2_of(bytes) | alignment(c, bytes), address, 0);
}

void store_vector_operand(Ctx *c, unsigned bytes, IrTmp value)
{
    ir_st(c->ir, log2_of(bytes) | alignment(c, bytes), memory_address(c, bytes, true), 0, value);
}

IrTmp get_xmm_rm(Ctx *c, unsigned bytes)
{
    return c->i->mod == 3 ? get_xmm(c, c->i->rm) : load_vector_operand(c, bytes);
}

void set_test_flags(Ctx *c, IrTmp flags)
{
    ir_setreg(c->ir, REG_CC_OP, ir_const(c->ir, IR_I32, CC_EFLAGS << 2));
    ir_setreg(c->ir, REG_CC_RESULT, flags);
}

/* ---- the instruction's own encoding ---- */

/* Can it raise floating-point exceptions? */
static bool computes(const X86Insn *i)
{
    switch (i->map) {
    case 1:
        return (i->opcode >= 0x2a && i->opcode <= 0x2f && i->opcode != 0x2b) || i->opcode == 0x51 ||
               (i->opcode >= 0x58 && i->opcode <= 0x5f) || i->opcode == 0x7c || i->opcode == 0x7d ||
               i->opcode == 0xc2 || i->opcode == 0xd0 || i->opcode == 0xe6;
    case 2:
        return i->opcode == 0x13 || (i->opcode >= 0x96 && i->opcode <= 0xbf);
    default:
        return (i->opcode >= 0x08 && i->opcode <= 0x0b) || i->opcode == 0x1d || i->opcode == 0x40 || i->opcode == 0x41;
    }
}

/* Map, prefix, opcode, W and L as the guest's instruction has them. */
static int64_t encoding(const Ctx *c)
{
    static const uint16_t prefixes[] = { [PREFIX_66] = IR_HOST_66, [PREFIX_F3] = IR_HOST_F3, [PREFIX_F2] = IR_HOST_F2 };
    const X86Insn *i = c->i;
    int64_t what = i->opcode | i->map << 8 | prefixes[i->row->prefix];
    bool wide = i->row->w == 1;
    for (unsigned n = 0; n < 4; n++)
        wide |= i->row->operands[n].size == SIZE_Y && i->w;
    return what | (wide ? IR_HOST_W : 0) | (i->vector_size == 32 ? IR_HOST_256 : 0);
}

/* The row with all operands named: of a legacy instruction the VEX form, which has one more where the destination is a
 * source, too. */
static const X86Row *full_row(const X86Row *row)
{
    bool twin = row->encoding == ENCODING_LEGACY && row[1].encoding != ENCODING_LEGACY && row[1].name[0] == 'v' &&
                strcmp(row[1].name + 1, row->name) == 0;
    return twin ? row + 1 : row;
}

/* One letter for each operand. */
static void pattern_of(const X86Row *row, char *out)
{
    static const char letters[] = {
        [OPERAND_RM] = 'E',  [OPERAND_REG] = 'G',    [OPERAND_MEM] = 'M',     [OPERAND_IMM] = 'I',
        [OPERAND_XMM] = 'V', [OPERAND_XMM_RM] = 'W', [OPERAND_XMM_VEX] = 'H', [OPERAND_XMM_IMM] = 'L'
    };
    unsigned n;
    for (n = 0; n < 4 && row->operands[n].kind; n++)
        out[n] = row->operands[n].kind < sizeof(letters) && letters[row->operands[n].kind]
                     ? letters[row->operands[n].kind]
                     : '?';
    out[n] = 0;
}

static unsigned bytes_of(const Ctx *c, const X86Row *row, unsigned n)
{
    return x86_operand_bytes(c->i, row->operands[n]);
}

static IrTmp first_source(Ctx *c)
{
    return get_xmm(c, c->i->vex ? c->i->vvvv : c->i->reg);
}

static int64_t immediate(const Ctx *c, const char *pattern)
{
    bool legacy_compare = !c->i->vex && c->i->map == 1 && c->i->opcode == 0xc2; /* three bits count, of VEX five */
    return strchr(pattern, 'I') ? IR_HOST_IMM(legacy_compare ? c->i->imm & 7 : c->i->imm) : 0;
}

static bool fused(const Ctx *c)
{
    return c->i->map == 2 && c->i->opcode >= 0x96 && c->i->opcode <= 0xbf && (c->i->opcode & 15) >= 6;
}

/* Results in the register of ModRM.reg. */
static bool to_vector(Ctx *c, const X86Row *row, const char *p)
{
    int64_t what = encoding(c) | immediate(c, p);
    bool pure = !computes(c->i), wide = c->i->vector_size == 32 && row->operands[0].size == SIZE_X;
    IrTmp v;
    if (fused(c)) {
        IrTmp b = first_source(c), d = get_xmm_rm(c, bytes_of(c, row, 2));
        v = host_op(c, IR_V256, what | HOST(FMA, 0), pure, get_xmm(c, c->i->reg), b, d);
    } else if (g_str_has_prefix(p, "VHWL")) {
        IrTmp b = get_xmm_rm(c, bytes_of(c, row, 2));
        v = host_op(c, IR_V256, what | HOST(RVMR, 0), pure, first_source(c), b, get_xmm(c, (unsigned)c->i->imm));
    } else if (g_str_has_prefix(p, "VHW")) {
        IrTmp b = get_xmm_rm(c, bytes_of(c, row, 2));
        v = host_op(c, IR_V256, what | HOST(RVM, 0), pure, first_source(c), b, 0);
    } else if (g_str_has_prefix(p, "VHE")) {
        IrTmp b = get_operand(c, c->i->vex ? 2 : 1);
        v = host_op(c, IR_V256, what | HOST(RVM, 0), pure, first_source(c), b, 0);
    } else if (p[1] == 'E') {
        v = host_op(c, IR_V256, what | HOST(RM, 0), pure, get_operand(c, 1), 0, 0);
    } else {
        v = host_op(c, IR_V256, what | HOST(RM, 0), pure, get_xmm_rm(c, bytes_of(c, row, 1)), 0, 0);
    }
    set_xmm(c, c->i->reg, v, wide);
    return true;
}

static IrType int_type(int64_t what)
{
    return what & IR_HOST_W ? IR_I64 : IR_I32;
}

/* Results in a general register. */
static bool to_integer(Ctx *c, const X86Row *row, const char *p)
{
    int64_t what = encoding(c) | immediate(c, p);
    IrTmp source = get_xmm_rm(c, bytes_of(c, row, 1));
    IrTmp v = host_op(c, int_type(what), what, !computes(c->i), source, 0, 0);
    set_reg(c, c->i->reg, what & IR_HOST_W ? 8 : 4, v);
    return true;
}

/* An element of a vector to a general register or memory. */
static bool extract(Ctx *c, const char *p)
{
    int64_t what = encoding(c) | immediate(c, p);
    set_operand(c, 0, host_op(c, int_type(what), what | HOST(MR, 0), true, get_xmm(c, c->i->reg), 0, 0));
    return true;
}

/* Shifts by an immediate. */
static bool shift(Ctx *c)
{
    int64_t what = encoding(c) | (int64_t)c->i->row->digit << IR_HOST_DIGIT | IR_HOST_IMM(c->i->imm);
    IrTmp v = host_move(c, what | HOST(VM, 0), get_xmm(c, c->i->rm), 0);
    set_xmm(c, c->i->vex ? c->i->vvvv : c->i->rm, v, c->i->vector_size == 32);
    return true;
}

/* Comparisons that set flags. */
static bool simd_test(Ctx *c, unsigned arg)
{
    bool pure = !computes(c->i);
    IrTmp b = get_xmm_rm(c, bytes_of(c, c->i->row, 1));
    set_test_flags(c, host_op(c, IR_I64, encoding(c) | HOST(TEST, 0), pure, get_xmm(c, c->i->reg), b, 0));
    return true;
}

static bool by_row(Ctx *c)
{
    char p[5];
    const X86Row *row = full_row(c->i->row);
    pattern_of(row, p);
    switch (p[0]) {
    case 'V':
        return strpbrk(p, "?M") == NULL && to_vector(c, row, p);
    case 'G':
        return p[1] == 'W' && to_integer(c, row, p);
    case 'E':
        return p[1] == 'V' && extract(c, p);
    case 'H':
        return shift(c);
    default:
        return false;
    }
}

/* ---- moves ---- */

/* Whole vectors, between registers or from memory. */
static bool move_load(Ctx *c, unsigned arg)
{
    bool wide = c->i->vector_size == 32;
    IrTmp v = get_xmm_rm(c, c->i->vector_size);
    if (c->i->mod == 3 && c->i->vex && !wide)
        v = host_move(c, HOST(RM, HOST_MOVDQA), v, 0);
    set_xmm(c, c->i->reg, v, wide);
    return true;
}

static bool move_store(Ctx *c, unsigned arg)
{
    bool wide = c->i->vector_size == 32;
    IrTmp v = get_xmm(c, c->i->reg);
    if (c->i->mod != 3) {
        store_vector_operand(c, c->i->vector_size, v);
        return true;
    }
    if (c->i->vex && !wide)
        v = host_move(c, HOST(RM, HOST_MOVDQA), v, 0);
    set_xmm(c, c->i->rm, v, wide);
    return true;
}

/* Either: the row says which. */
static bool move_whole(Ctx *c, unsigned arg)
{
    return c->i->row->operands[0].kind == OPERAND_XMM ? move_load(c, 0) : move_store(c, 0);
}

/* movss, movsd; arg: bytes. */
static bool move_scalar(Ctx *c, unsigned arg)
{
    bool load = c->i->row->operands[0].kind == OPERAND_XMM;
    int64_t what = HOST(RVM, IR_HOST_0F | 0x10 | (arg == 4 ? IR_HOST_F3 : IR_HOST_F2));
    if (c->i->mod != 3) {
        if (load)
            set_xmm(c, c->i->reg, load_vector_operand(c, arg), false);
        else
            store_vector_operand(c, arg, get_xmm(c, c->i->reg));
        return true;
    }
    unsigned to = load ? c->i->reg : c->i->rm, from = load ? c->i->rm : c->i->reg;
    IrTmp a = get_xmm(c, c->i->vex ? c->i->vvvv : to);
    set_xmm(c, to, host_move(c, what, a, get_xmm(c, from)), false);
    return true;
}

/* movlps, movlpd; arg 1: movhps, movhpd. Memory only. */
static bool move_half(Ctx *c, unsigned high)
{
    if (c->i->row->operands[0].kind == OPERAND_XMM) {
        IrTmp b = load_vector_operand(c, 8);
        set_xmm(c, c->i->reg, host_move(c, HOST(RVM, high ? HOST_UNPACK_LOW : HOST_MOVSD), first_source(c), b), false);
        return true;
    }
    IrTmp v = get_xmm(c, c->i->reg);
    if (high)
        v = host_move(c, HOST(RVM, HOST_UNPACK_HIGH), v, v);
    store_vector_operand(c, 8, v);
    return true;
}

/* movd, movq of vector registers to and from general registers and memory; movq between vectors. */
static bool move_quad(Ctx *c, unsigned arg)
{
    unsigned first = c->i->row->operands[0].kind, second = c->i->row->operands[1].kind;
    unsigned bytes = bytes_of(c, c->i->row, first == OPERAND_XMM ? 1 : 0);
    if (second == OPERAND_RM && c->i->mod == 3)
        return by_row(c);
    if (first == OPERAND_RM && c->i->mod == 3)
        return extract(c, "EV");
    if (c->i->mod != 3) {
        if (first == OPERAND_XMM)
            set_xmm(c, c->i->reg, load_vector_operand(c, bytes), false);
        else
            store_vector_operand(c, bytes, get_xmm(c, c->i->reg));
        return true;
    }
    bool load = first == OPERAND_XMM;
    IrTmp v = host_move(c, HOST(RM, HOST_MOVQ), get_xmm(c, load ? c->i->rm : c->i->reg), 0);
    set_xmm(c, load ? c->i->reg : c->i->rm, v, false);
    return true;
}

/* movd and movq may be MMX's, too. */
static bool has_mmx(const X86Row *row)
{
    for (unsigned n = 0; n < 4; n++)
        if (row->operands[n].kind == OPERAND_MMX || row->operands[n].kind == OPERAND_MMX_RM)
            return true;
    return false;
}

/* 16 bytes are made of 8. */
static bool duplicate_low(Ctx *c, unsigned arg)
{
    bool wide = c->i->vector_size == 32;
    IrTmp v = get_xmm_rm(c, wide ? 32 : 8);
    set_xmm(c, c->i->reg, host_move(c, encoding(c) | HOST(RM, 0), v, 0), wide);
    return true;
}

/* arg: bytes that are stored */
static bool move_scalar_store(Ctx *c, unsigned arg)
{
    store_vector_operand(c, arg, get_xmm(c, c->i->reg));
    return true;
}

/* What the store faults for comes before the flags that its operand's computation sets. */
static void check_store(Ctx *c, unsigned bytes)
{
    IrUnit *u = c->ir;
    int fine = ir_new_label(u);
    IrTmp va = as_i64(c, memory_address(c, bytes, true));
    if (!(c->mode & MODE_ALIGN))
        ir_brcond(u, COND_NE, ir_probe(u, va, bytes, true), ir_const(u, IR_I64, 0), fine);
    ir_call(u, IR_I64, HELPER_CHECK_WRITE, va, ir_const(u, IR_I64, bytes), 0, 0);
    ir_label(u, fine);
    c->address = 0;
}

/* vextractf128, vcvtps2ph: from reg to register or memory. */
static bool extract_vector(Ctx *c, unsigned arg)
{
    unsigned bytes = bytes_of(c, c->i->row, 0);
    int64_t what = encoding(c) | HOST(MR, IR_HOST_IMM(c->i->imm));
    if (computes(c->i) && c->i->mod != 3)
        check_store(c, bytes);
    IrTmp v = host_op(c, IR_V256, what, !computes(c->i), get_xmm(c, c->i->reg), 0, 0);
    if (c->i->mod == 3)
        set_xmm(c, c->i->rm, v, false);
    else
        store_vector_operand(c, bytes, v);
    return true;
}

static bool broadcast_128(Ctx *c, unsigned arg)
{
    enum { INSERT = IR_HOST_0F3A | IR_HOST_66 | IR_HOST_256 | 0x38 };
    IrTmp v = load_vector_operand(c, 16);
    set_xmm(c, c->i->reg, host_move(c, HOST(RVM, INSERT) | IR_HOST_IMM(1), v, v), true);
    return true;
}

/* The element that the immediate selects counts only where the source is a register. */
static bool insert_single(Ctx *c, unsigned arg)
{
    int64_t imm = c->i->mod == 3 ? c->i->imm : c->i->imm & 0x3f;
    IrTmp b = get_xmm_rm(c, 4);
    set_xmm(c, c->i->reg, host_move(c, encoding(c) | HOST(RVM, IR_HOST_IMM(imm)), first_source(c), b), false);
    return true;
}

/* Legacy forms that take the mask from xmm0; arg: opcode of the VEX form. */
static bool blend_implicit(Ctx *c, unsigned arg)
{
    IrTmp b = get_xmm_rm(c, 16);
    int64_t what = HOST(RVMR, IR_HOST_0F3A | IR_HOST_66 | arg);
    set_xmm(c, c->i->reg, ir_host(c->ir, IR_V256, what, true, get_xmm(c, c->i->reg), b, get_xmm(c, 0)), false);
    return true;
}

/* vzeroupper; arg 1: vzeroall. */
static bool zero_registers(Ctx *c, unsigned all)
{
    IrUnit *u = c->ir;
    unsigned count = c->bits == 64 ? 16 : 8;
    if (!all && u->assumed & ASSUMED_CLEAN)
        return true;
    for (unsigned r = 0; r < count; r++) {
        IrTmp v = get_xmm(c, r);
        v = all ? host_move(c, HOST(RVM, HOST_XOR), v, v) : host_move(c, HOST(RM, HOST_MOVDQA), v, 0);
        ir_setreg(u, REG_XMM0 + r, v);
    }
    if (count == 16) { /* outside 64-bit mode the upper eight may not be clean */
        ir_ststate(u, DIRTY, MO_8, ir_const(u, IR_I32, 0));
        u->marked = 0;
        u->assumed |= ASSUMED_CLEAN;
    }
    return true;
}

/* ---- helpers with vectors: operands through the state ---- */

IrTmp implicit_offset(Ctx *c, uint64_t *flags)
{
    unsigned segment = c->i->segment_override == X86_NO_SEGMENT ? X86_DS : c->i->segment_override;
    *flags |= (uint64_t)segment << SIMD_SEGMENT;
    return as_i64(c, get_address_reg(c, RDI));
}

/* Offset of a memory operand; of a gather without the indices. */
static IrTmp helper_offset(Ctx *c, bool vsib)
{
    X86Insn without = *c->i;
    const X86Insn *real = c->i;
    if (vsib)
        without.index = X86_NO_REG;
    c->i = &without;
    IrTmp offset = as_i64(c, memory_offset(c));
    c->i = real;
    return offset;
}

/* arg: SIMD_*. The helper gets the operands' numbers, see SimdOperands. */
static bool by_helper(Ctx *c, unsigned what)
{
    IrUnit *u = c->ir;
    const X86Insn *i = c->i;
    SimdOperands o = { .reg = i->reg,
                       .rm = i->rm,
                       .vvvv = i->vvvv,
                       .index = i->index & 15,
                       .bytes = i->vector_size,
                       .imm = (uint8_t)i->imm,
                       .imm2 = (uint8_t)i->imm2,
                       .opcode = (uint8_t)(i->row->id == X86_OP_sha1rnds4 ? 0 : i->opcode) };
    uint64_t packed = 0, flags = (i->vex ? SIMD_VEX : 0) | (i->w || i->row->w == 1 ? SIMD_W : 0) |
                                 (i->mod == 3 ? SIMD_REGISTER : 0) | (i->address_size == 4 ? SIMD_SHORT_ADDRESS : 0) |
                                 (uint64_t)i->scale << SIMD_SCALE;
    IrTmp address = ir_const(u, IR_I64, 0);
    if (what == SIMD_GATHER && (o.reg == o.vvvv || o.reg == o.index || o.index == o.vvvv))
        return false;
    memcpy(&packed, &o, sizeof(o));
    if (what == SIMD_MASKED_STORE_BYTES) {
        address = implicit_offset(c, &flags);
    } else if (what == SIMD_GATHER || what == SIMD_MASKED_MOVE) {
        address = helper_offset(c, what == SIMD_GATHER);
        flags |= (uint64_t)i->segment << SIMD_SEGMENT;
    }
    if ((what == SIMD_COMPARE_STRINGS || what == SIMD_SHA) && i->mod != 3)
        ir_vststate(u, 5, simd_in(0), load_vector_operand(c, 16));
    ir_call(u, IR_I64, HELPER_SIMD, ir_const(u, IR_I64, (int64_t)(what | flags << 8)), address,
            ir_const(u, IR_I64, (int64_t)packed), 0);
    return true;
}

/* ---- dispatch ---- */

#define V(name, function, arg)  \
    { name, function, arg },    \
    {                           \
        "v" name, function, arg \
    }
static const X86Translator special[] = {
    V("movups", move_whole, 0),
    V("movupd", move_whole, 0),
    V("movaps", move_whole, 0),
    V("movapd", move_whole, 0),
    V("movdqa", move_whole, 0),
    V("movdqu", move_whole, 0),
    V("lddqu", move_whole, 0),
    V("movntps", move_whole, 0),
    V("movntpd", move_whole, 0),
    V("movntdq", move_whole, 0),
    V("movntdqa", move_whole, 0),
    V("movss", move_scalar, 4),
    V("movsd", move_scalar, 8),
    V("movlps", move_half, 0),
    V("movlpd", move_half, 0),
    V("movhps", move_half, 1),
    V("movhpd", move_half, 1),
    V("movd", move_quad, 0),
    V("movq", move_quad, 0),
    { "movntss", move_scalar_store, 4 },
    { "movntsd", move_scalar_store, 8 },
    V("ucomiss", simd_test, 0),
    V("ucomisd", simd_test, 0),
    V("comiss", simd_test, 0),
    V("comisd", simd_test, 0),
    V("ptest", simd_test, 0),
    V("testps", simd_test, 0),
    V("testpd", simd_test, 0),
    V("insertps", insert_single, 0),
    V("movddup", duplicate_low, 0),
    { "blendvps", blend_implicit, 0x4a },
    { "blendvpd", blend_implicit, 0x4b },
    { "pblendvb", blend_implicit, 0x4c },
    { "vextractf128", extract_vector, 0 },
    { "vextracti128", extract_vector, 0 },
    { "vcvtps2ph", extract_vector, 0 },
    { "vbroadcastf128", broadcast_128, 0 },
    { "vbroadcasti128", broadcast_128, 0 },
    { "vzeroupper", zero_registers, 0 },
    { "vzeroall", zero_registers, 1 },
    V("maskmovdqu", by_helper, SIMD_MASKED_STORE_BYTES),
    { "vmaskmovps", by_helper, SIMD_MASKED_MOVE },
    { "vmaskmovpd", by_helper, SIMD_MASKED_MOVE },
    { "vpmaskmovd", by_helper, SIMD_MASKED_MOVE },
    { "vpmaskmovq", by_helper, SIMD_MASKED_MOVE },
    { "vpgatherdd", by_helper, SIMD_GATHER },
    { "vpgatherdq", by_helper, SIMD_GATHER },
    { "vpgatherqd", by_helper, SIMD_GATHER },
    { "vpgatherqq", by_helper, SIMD_GATHER },
    { "vgatherdps", by_helper, SIMD_GATHER },
    { "vgatherdpd", by_helper, SIMD_GATHER },
    { "vgatherqps", by_helper, SIMD_GATHER },
    { "vgatherqpd", by_helper, SIMD_GATHER },
    V("pcmpestrm", by_helper, SIMD_COMPARE_STRINGS),
    V("pcmpestri", by_helper, SIMD_COMPARE_STRINGS),
    V("pcmpistrm", by_helper, SIMD_COMPARE_STRINGS),
    V("pcmpistri", by_helper, SIMD_COMPARE_STRINGS),
    { "sha1nexte", by_helper, SIMD_SHA },
    { "sha1msg1", by_helper, SIMD_SHA },
    { "sha1msg2", by_helper, SIMD_SHA },
    { "sha1rnds4", by_helper, SIMD_SHA },
    { "sha256rnds2", by_helper, SIMD_SHA },
    { "sha256msg1", by_helper, SIMD_SHA },
    { "sha256msg2", by_helper, SIMD_SHA },
    { "extrq", by_helper, SIMD_EXTRACT_BITS },
    { "insertq", by_helper, SIMD_INSERT_BITS },
};

/* special[] by X86_OP_*. */
static const X86Translator *by_id[X86_OP_COUNT];

static void fill_table(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(special); i++)
        for (unsigned id = 0; id < X86_OP_COUNT; id++)
            if (strcmp(x86_op_name(id), special[i].name) == 0)
                by_id[id] = &special[i];
}

bool x86_translate_simd(Ctx *c, unsigned arg)
{
    static gsize filled;
    if (g_once_init_enter(&filled)) {
        fill_table();
        g_once_init_leave(&filled, 1);
    }
    const X86Row *row = c->i->row;
    if (has_mmx(row) || row->id == X86_OP_emms)
        return translate_mmx(c);
    if (!simd_available(c, c->i->vex ? NEED_AVX : NEED_SSE))
        return true;
    const X86Translator *t = by_id[row->id];
    if (!c->i->vex && row->operands[0].kind == OPERAND_XMM && !(t && t->translate == simd_test))
        assume_clean(c); /* before operands are loaded, so that nothing stands between the operation and its register */
    return t ? t->translate(c, t->arg) : by_row(c);
}
