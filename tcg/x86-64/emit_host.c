/*
 * x86-64 back end: instructions of the host that the IR names by their encoding (tcg/ir_host.h).
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir_host.h"
#include "tcg/x86-64/regs.h"

enum { VMOVDQA = VEX_0F | VEX_66 | 0x6f, TEST_FLAGS = 0x45 /* ZF, PF, CF */ };

void put_host(Asm *a, int64_t what, int dst, const int arg[3])
{
    uint32_t op = what & 0x73ff;
    bool l256 = what & IR_HOST_256;
    dst &= 15;
    int x = arg[0] & 15, y = arg[1] & 15, z = arg[2] & 15;
    switch ((IrHostForm)(what >> IR_HOST_FORM & 7)) {
    case IR_HOST_RM:
        vec_rr(a, op, l256, dst, 0, x);
        break;
    case IR_HOST_RVM:
        vec_rr(a, op, l256, dst, x, y);
        break;
    case IR_HOST_RVMR:
        vec_rr(a, op, l256, dst, x, y);
        put_byte(a, (unsigned)z << 4);
        break;
    case IR_HOST_VM:
        vec_rr(a, op, l256, what >> IR_HOST_DIGIT & 7, dst, x);
        break;
    case IR_HOST_MR:
        vec_rr(a, op, l256, x, 0, dst);
        break;
    case IR_HOST_FMA:
        vec_rr(a, op, l256, dst, y, z);
        break;
    default: /* IR_HOST_TEST */
        vec_rr(a, op, l256, x, 0, y);
    }
    if (what & IR_HOST_HAS_IMM)
        put_byte(a, (unsigned)(what >> 32 & 0xff));
}

/* eflags after put_host of IR_HOST_TEST: rax = ZF, PF, CF. */
void put_test_flags(Asm *a)
{
    put_byte(a, 0x9f);                      /* lahf */
    op_rr(a, P_0F | 0xb6, RAX, RSP, false); /* movzx eax, ah */
    alu_imm(a, ALU_AND, RAX, TEST_FLAGS, false);
}

static void emit_test(Emit *e, const IrInsn *insn, const int arg[3])
{
    evict(e, RAX);
    e->busy |= 1u << RAX;
    put_host(&e->a, insn->imm, 0, arg);
    put_test_flags(&e->a);
    def_done(e, insn->dst, RAX);
}

/* The first operand is overwritten by the result. */
static int emit_destructive(Emit *e, const IrInsn *insn, const int arg[3])
{
    int dst = def_reg(e, insn->dst, (1u << arg[1] | 1u << arg[2]));
    e->busy |= 1u << dst;
    if (dst != arg[0])
        vec_rr(&e->a, VMOVDQA, true, dst & 15, 0, arg[0] & 15);
    return dst;
}

bool emit_host(Emit *e, const IrInsn *insn)
{
    int arg[3] = { 0, 0, 0 };
    if (insn->op != OP_vhost || !host_features.avx2)
        return false;
    e->vectors = e->wide_vectors = true;
    for (unsigned i = 0; i < 3 && insn->arg[i]; i++)
        arg[i] = use_reg(e, insn->arg[i]);
    IrHostForm form = (IrHostForm)(insn->imm >> IR_HOST_FORM & 7);
    if (form == IR_HOST_TEST) {
        emit_test(e, insn, arg);
        return true;
    }
    int dst = form == IR_HOST_FMA ? emit_destructive(e, insn, arg) : def_reg(e, insn->dst, 0);
    put_host(&e->a, insn->imm, dst, arg);
    def_done(e, insn->dst, dst);
    return true;
}
