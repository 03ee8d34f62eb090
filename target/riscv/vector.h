/*
 * RISC-V vectors, internal (unprivileged ISA 20240411, chapter "V"): the list of operations, kernels, and what the
 * vector_*.c files share.
 *
 * An instruction is one call of a helper. Elementwise ones go through one driver (vector.c) that checks what the ISA
 * says may not be, broadcasts a scalar, and calls a kernel: a loop over whole arrays that the host's compiler
 * vectorises. Masks and vstart are not the kernels' business: they then run on a copy of the operands in which inactive
 * elements are harmless, into a buffer that is merged with the destination. Tail and inactive elements stay as they
 * are, which the agnostic policies allow.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_VECTOR_H
#define TARGET_RISCV_VECTOR_H

#include "target/riscv/cpu.h"

/* How wide an elementwise operation's operands are, and what it needs. */
enum {
    VO_WIDE = 1,        /* result of 2 * SEW */
    VO_MASK = 2,        /* result is a mask */
    VO_WIDE2 = 4,       /* vs2 is of 2 * SEW */
    VO_UNARY = 8,       /* no vs1: its field is part of the opcode */
    VO_OLD = 16,        /* reads vd */
    VO_CARRY = 32,      /* v0 is an operand, not a mask */
    VO_UIMM = 64,       /* the immediate is unsigned */
    VO_FLOAT = 128,     /* floating point */
    VO_INTS = 256,      /* floating point with integers in vs2 */
    VO_HALF2 = 512,     /* vs2 is of SEW / 2, */
    VO_QUARTER2 = 1024, /* SEW / 4, */
    VO_EIGHTH2 = 2048,  /* SEW / 8 */
    VO_BRAIN = 4096,    /* floating point with bfloat16 for half-precision */
};

/* Elementwise operations: V(name, forms, kernels, VO_*). Forms are sets of instructions, see insn_vector.c; kernels say
 * for which SEW there is one: K4 all, K3 8 to 32 (widening), KF 32 and 64, KW 32, and so on; vector_half.c has those of
 * KF, KW and KI for half-precision. */
#define VECTOR_ELEMENTWISE(V)                                        \
    V(add, VXI, K4, 0)                                               \
    V(sub, VX, K4, 0)                                                \
    V(rsub, XI, K4, 0)                                               \
    V(minu, VX, K4, 0)                                               \
    V(min, VX, K4, 0)                                                \
    V(maxu, VX, K4, 0)                                               \
    V(max, VX, K4, 0)                                                \
    V(and, VXI, K4, 0)                                               \
    V(or, VXI, K4, 0)                                                \
    V(xor, VXI, K4, 0)                                               \
    V(sll, VXI, K4, VO_UIMM)                                         \
    V(srl, VXI, K4, VO_UIMM)                                         \
    V(sra, VXI, K4, VO_UIMM)                                         \
    V(zext_vf2, N, KX2, VO_UNARY | VO_HALF2)                         \
    V(sext_vf2, N, KX2, VO_UNARY | VO_HALF2)                         \
    V(zext_vf4, N, KX4, VO_UNARY | VO_QUARTER2)                      \
    V(sext_vf4, N, KX4, VO_UNARY | VO_QUARTER2)                      \
    V(zext_vf8, N, KX8, VO_UNARY | VO_EIGHTH2)                       \
    V(sext_vf8, N, KX8, VO_UNARY | VO_EIGHTH2)                       \
    V(adc, VXIM, K4, VO_CARRY)                                       \
    V(sbc, VXM, K4, VO_CARRY)                                        \
    V(madc, VXIMV, K4, VO_CARRY | VO_MASK)                           \
    V(msbc, VXMV, K4, VO_CARRY | VO_MASK)                            \
    V(merge, VXIM, K4, VO_CARRY)                                     \
    V(mv_v, MOVE, K4, 0)                                             \
    V(mseq, VXI, K4, VO_MASK)                                        \
    V(msne, VXI, K4, VO_MASK)                                        \
    V(msltu, VX, K4, VO_MASK)                                        \
    V(mslt, VX, K4, VO_MASK)                                         \
    V(msleu, VXI, K4, VO_MASK)                                       \
    V(msle, VXI, K4, VO_MASK)                                        \
    V(msgtu, XI, K4, VO_MASK)                                        \
    V(msgt, XI, K4, VO_MASK)                                         \
    V(mul, VX, K4, 0)                                                \
    V(mulh, VX, K4, 0)                                               \
    V(mulhu, VX, K4, 0)                                              \
    V(mulhsu, VX, K4, 0)                                             \
    V(divu, VX, K4, 0)                                               \
    V(div, VX, K4, 0)                                                \
    V(remu, VX, K4, 0)                                               \
    V(rem, VX, K4, 0)                                                \
    V(macc, VX, K4, VO_OLD)                                          \
    V(nmsac, VX, K4, VO_OLD)                                         \
    V(madd, VX, K4, VO_OLD)                                          \
    V(nmsub, VX, K4, VO_OLD)                                         \
    V(waddu, VX, K3, VO_WIDE)                                        \
    V(wadd, VX, K3, VO_WIDE)                                         \
    V(wsubu, VX, K3, VO_WIDE)                                        \
    V(wsub, VX, K3, VO_WIDE)                                         \
    V(waddu_w, W, K3, VO_WIDE | VO_WIDE2)                            \
    V(wadd_w, W, K3, VO_WIDE | VO_WIDE2)                             \
    V(wsubu_w, W, K3, VO_WIDE | VO_WIDE2)                            \
    V(wsub_w, W, K3, VO_WIDE | VO_WIDE2)                             \
    V(wmulu, VX, K3, VO_WIDE)                                        \
    V(wmulsu, VX, K3, VO_WIDE)                                       \
    V(wmul, VX, K3, VO_WIDE)                                         \
    V(wmaccu, VX, K3, VO_WIDE | VO_OLD)                              \
    V(wmacc, VX, K3, VO_WIDE | VO_OLD)                               \
    V(wmaccsu, VX, K3, VO_WIDE | VO_OLD)                             \
    V(wmaccus, X, K3, VO_WIDE | VO_OLD)                              \
    V(nsrl, NARROW, K3, VO_WIDE2 | VO_UIMM)                          \
    V(nsra, NARROW, K3, VO_WIDE2 | VO_UIMM)                          \
    V(nclipu, NARROW, K3, VO_WIDE2 | VO_UIMM)                        \
    V(nclip, NARROW, K3, VO_WIDE2 | VO_UIMM)                         \
    V(saddu, VXI, K4, 0)                                             \
    V(sadd, VXI, K4, 0)                                              \
    V(ssubu, VX, K4, 0)                                              \
    V(ssub, VX, K4, 0)                                               \
    V(aaddu, VX, K4, 0)                                              \
    V(aadd, VX, K4, 0)                                               \
    V(asubu, VX, K4, 0)                                              \
    V(asub, VX, K4, 0)                                               \
    V(smul, VX, K4, 0)                                               \
    V(ssrl, VXI, K4, VO_UIMM)                                        \
    V(ssra, VXI, K4, VO_UIMM)                                        \
    V(fadd, VF, KF, VO_FLOAT)                                        \
    V(fsub, VF, KF, VO_FLOAT)                                        \
    V(frsub, F, KF, VO_FLOAT)                                        \
    V(fmul, VF, KF, VO_FLOAT)                                        \
    V(fdiv, VF, KF, VO_FLOAT)                                        \
    V(frdiv, F, KF, VO_FLOAT)                                        \
    V(fmin, VF, KF, VO_FLOAT)                                        \
    V(fmax, VF, KF, VO_FLOAT)                                        \
    V(fsgnj, VF, KF, VO_FLOAT)                                       \
    V(fsgnjn, VF, KF, VO_FLOAT)                                      \
    V(fsgnjx, VF, KF, VO_FLOAT)                                      \
    V(fmacc, VF, KF, VO_FLOAT | VO_OLD)                              \
    V(fnmacc, VF, KF, VO_FLOAT | VO_OLD)                             \
    V(fmsac, VF, KF, VO_FLOAT | VO_OLD)                              \
    V(fnmsac, VF, KF, VO_FLOAT | VO_OLD)                             \
    V(fmadd, VF, KF, VO_FLOAT | VO_OLD)                              \
    V(fnmadd, VF, KF, VO_FLOAT | VO_OLD)                             \
    V(fmsub, VF, KF, VO_FLOAT | VO_OLD)                              \
    V(fnmsub, VF, KF, VO_FLOAT | VO_OLD)                             \
    V(fwadd, VF, KW, VO_FLOAT | VO_WIDE)                             \
    V(fwsub, VF, KW, VO_FLOAT | VO_WIDE)                             \
    V(fwadd_w, WF, KW, VO_FLOAT | VO_WIDE | VO_WIDE2)                \
    V(fwsub_w, WF, KW, VO_FLOAT | VO_WIDE | VO_WIDE2)                \
    V(fwmul, VF, KW, VO_FLOAT | VO_WIDE)                             \
    V(fwmacc, VF, KW, VO_FLOAT | VO_WIDE | VO_OLD)                   \
    V(fwnmacc, VF, KW, VO_FLOAT | VO_WIDE | VO_OLD)                  \
    V(fwmsac, VF, KW, VO_FLOAT | VO_WIDE | VO_OLD)                   \
    V(fwnmsac, VF, KW, VO_FLOAT | VO_WIDE | VO_OLD)                  \
    V(fsqrt_v, N, KF, VO_FLOAT | VO_UNARY)                           \
    V(frsqrt7_v, N, KF, VO_FLOAT | VO_UNARY)                         \
    V(frec7_v, N, KF, VO_FLOAT | VO_UNARY)                           \
    V(fclass_v, N, KF, VO_FLOAT | VO_UNARY)                          \
    V(fmerge, FM, KF, VO_FLOAT | VO_CARRY)                           \
    V(fmv_v_f, N, KF, VO_FLOAT)                                      \
    V(mfeq, VF, KF, VO_FLOAT | VO_MASK)                              \
    V(mfne, VF, KF, VO_FLOAT | VO_MASK)                              \
    V(mflt, VF, KF, VO_FLOAT | VO_MASK)                              \
    V(mfle, VF, KF, VO_FLOAT | VO_MASK)                              \
    V(mfgt, F, KF, VO_FLOAT | VO_MASK)                               \
    V(mfge, F, KF, VO_FLOAT | VO_MASK)                               \
    V(fcvt_xu_f_v, N, KF, VO_FLOAT | VO_UNARY)                       \
    V(fcvt_x_f_v, N, KF, VO_FLOAT | VO_UNARY)                        \
    V(fcvt_rtz_xu_f_v, N, KF, VO_FLOAT | VO_UNARY)                   \
    V(fcvt_rtz_x_f_v, N, KF, VO_FLOAT | VO_UNARY)                    \
    V(fcvt_f_xu_v, N, KF, VO_FLOAT | VO_UNARY | VO_INTS)             \
    V(fcvt_f_x_v, N, KF, VO_FLOAT | VO_UNARY | VO_INTS)              \
    V(fwcvt_xu_f_v, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE)            \
    V(fwcvt_x_f_v, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE)             \
    V(fwcvt_rtz_xu_f_v, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE)        \
    V(fwcvt_rtz_x_f_v, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE)         \
    V(fwcvt_f_xu_v, N, KI, VO_FLOAT | VO_UNARY | VO_WIDE | VO_INTS)  \
    V(fwcvt_f_x_v, N, KI, VO_FLOAT | VO_UNARY | VO_WIDE | VO_INTS)   \
    V(fwcvt_f_f_v, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE)             \
    V(fncvt_xu_f_w, N, KI, VO_FLOAT | VO_UNARY | VO_WIDE2)           \
    V(fncvt_x_f_w, N, KI, VO_FLOAT | VO_UNARY | VO_WIDE2)            \
    V(fncvt_rtz_xu_f_w, N, KI, VO_FLOAT | VO_UNARY | VO_WIDE2)       \
    V(fncvt_rtz_x_f_w, N, KI, VO_FLOAT | VO_UNARY | VO_WIDE2)        \
    V(fncvt_f_xu_w, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE2 | VO_INTS) \
    V(fncvt_f_x_w, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE2 | VO_INTS)  \
    V(fncvt_f_f_w, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE2)            \
    V(fncvt_rod_f_f_w, N, KW, VO_FLOAT | VO_UNARY | VO_WIDE2)        \
    VECTOR_BITS(V)                                                   \
    VECTOR_BRAIN(V)
/* Zvbb, Zvbc: KB all SEW, KB3 8 to 32, KC 64 */
#define VECTOR_BITS(V)                   \
    V(andn, VX, KB, 0)                   \
    V(brev_v, N, KB, VO_UNARY)           \
    V(brev8_v, N, KB, VO_UNARY)          \
    V(rev8_v, N, KB, VO_UNARY)           \
    V(clz_v, N, KB, VO_UNARY)            \
    V(ctz_v, N, KB, VO_UNARY)            \
    V(cpop_v, N, KB, VO_UNARY)           \
    V(rol, VX, KB, 0)                    \
    V(ror, VXI, KB, VO_UIMM)             \
    V(wsll, VXI, KB3, VO_WIDE | VO_UIMM) \
    V(clmul, VX, KC, 0)                  \
    V(clmulh, VX, KC, 0)
/* Zvfbfmin, Zvfbfwma: KH 16 */
#define VECTOR_BRAIN(V)                                                  \
    V(fwcvtbf16_f_f_v, N, KH, VO_FLOAT | VO_UNARY | VO_WIDE | VO_BRAIN)  \
    V(fncvtbf16_f_f_w, N, KH, VO_FLOAT | VO_UNARY | VO_WIDE2 | VO_BRAIN) \
    V(fwmaccbf16, VF, KH, VO_FLOAT | VO_WIDE | VO_OLD | VO_BRAIN)

/* The others: S(name of the instruction, function, scalar operands and result: see insn_vector.c). */
#define VECTOR_SPECIAL(S)                   \
    S(redsum_vs, reduction, NONE)           \
    S(redand_vs, reduction, NONE)           \
    S(redor_vs, reduction, NONE)            \
    S(redxor_vs, reduction, NONE)           \
    S(redminu_vs, reduction, NONE)          \
    S(redmin_vs, reduction, NONE)           \
    S(redmaxu_vs, reduction, NONE)          \
    S(redmax_vs, reduction, NONE)           \
    S(wredsumu_vs, wide_reduction, NONE)    \
    S(wredsum_vs, wide_reduction, NONE)     \
    S(fredusum_vs, float_reduction, FLOAT)  \
    S(fredosum_vs, float_reduction, FLOAT)  \
    S(fredmin_vs, float_reduction, FLOAT)   \
    S(fredmax_vs, float_reduction, FLOAT)   \
    S(fwredusum_vs, float_reduction, FLOAT) \
    S(fwredosum_vs, float_reduction, FLOAT) \
    S(mandn_mm, mask_logical, NONE)         \
    S(mand_mm, mask_logical, NONE)          \
    S(mor_mm, mask_logical, NONE)           \
    S(mxor_mm, mask_logical, NONE)          \
    S(morn_mm, mask_logical, NONE)          \
    S(mnand_mm, mask_logical, NONE)         \
    S(mnor_mm, mask_logical, NONE)          \
    S(mxnor_mm, mask_logical, NONE)         \
    S(cpop_m, count, RESULT)                \
    S(first_m, count, RESULT)               \
    S(msbf_m, mask_set, NONE)               \
    S(msof_m, mask_set, NONE)               \
    S(msif_m, mask_set, NONE)               \
    S(iota_m, iota, NONE)                   \
    S(id_v, iota, NONE)                     \
    S(mv_x_s, move_from, RESULT)            \
    S(mv_s_x, move_to, SCALAR)              \
    S(fmv_f_s, move_from, FRESULT)          \
    S(fmv_s_f, move_to, FSCALAR)            \
    S(slideup_vx, slide, SCALAR)            \
    S(slideup_vi, slide, NONE)              \
    S(slidedown_vx, slide, SCALAR)          \
    S(slidedown_vi, slide, NONE)            \
    S(slide1up_vx, slide, SCALAR)           \
    S(slide1down_vx, slide, SCALAR)         \
    S(fslide1up_vf, slide, FSCALAR)         \
    S(fslide1down_vf, slide, FSCALAR)       \
    S(rgather_vv, gather, NONE)             \
    S(rgatherei16_vv, gather, NONE)         \
    S(rgather_vx, gather, SCALAR)           \
    S(rgather_vi, gather, NONE)             \
    S(compress_vm, compress, NONE)          \
    S(mv1r_v, move_whole, NONE)             \
    S(mv2r_v, move_whole, NONE)             \
    S(mv4r_v, move_whole, NONE)             \
    S(mv8r_v, move_whole, NONE)             \
    S(setvli, set_vl, SETVL)                \
    S(setivli, set_vl, SETIVL)              \
    S(setvl, set_vl, SETVL)                 \
    S(le, unit_stride, ADDRESS)             \
    S(se, unit_stride, ADDRESS)             \
    S(leff, fault_first, ADDRESS)           \
    S(lm, unit_stride, ADDRESS)             \
    S(sm, unit_stride, ADDRESS)             \
    S(lr, unit_stride, ADDRESS)             \
    S(sr, unit_stride, ADDRESS)             \
    S(lse, strided, ADDRESS)                \
    S(sse, strided, ADDRESS)                \
    S(lxei, indexed, ADDRESS)               \
    S(sxei, indexed, ADDRESS)               \
    VECTOR_CRYPTO(S)
/* vector_crypto.c */
#define VECTOR_CRYPTO(S)         \
    S(aesdf_vv, aes_round, NONE) \
    S(aesdf_vs, aes_round, NONE) \
    S(aesdm_vv, aes_round, NONE) \
    S(aesdm_vs, aes_round, NONE) \
    S(aesef_vv, aes_round, NONE) \
    S(aesef_vs, aes_round, NONE) \
    S(aesem_vv, aes_round, NONE) \
    S(aesem_vs, aes_round, NONE) \
    S(aesz_vs, aes_round, NONE)  \
    S(aeskf1_vi, aes_key, NONE)  \
    S(aeskf2_vi, aes_key, NONE)  \
    S(sha2ms_vv, sha2, NONE)     \
    S(sha2ch_vv, sha2, NONE)     \
    S(sha2cl_vv, sha2, NONE)     \
    S(sm4k_vi, sm4, NONE)        \
    S(sm4r_vv, sm4, NONE)        \
    S(sm4r_vs, sm4, NONE)        \
    S(sm3me_vv, sm3, NONE)       \
    S(sm3c_vi, sm3, NONE)        \
    S(ghsh_vv, ghash, NONE)      \
    S(gmul_vv, ghash, NONE)

enum {
#define V(name, forms, kernels, flags) VOP_##name,
    VECTOR_ELEMENTWISE(V)
#undef V
        VOP_ELEMENTWISE,
    VOP_BEFORE_SPECIAL = VOP_ELEMENTWISE - 1,
#define S(name, fn, scalar) VOP_##name,
    VECTOR_SPECIAL(S)
#undef S
        VOP_COUNT
};

typedef struct KernelEnv {
    CpuState *cs;
    const void *old;      /* VO_OLD: vd before */
    const uint8_t *carry; /* VO_CARRY: a byte, 0 or 1, for each element */
    uint8_t vxrm;
    bool soft;      /* round to nearest, ties away: not on the host's unit */
    bool saturated; /* out */
    uint8_t flags;  /* out: IR_FP_* that the host's unit has not accrued */
} KernelEnv;

/* d[i] = op(s2[i], s1[i]) for i < n; masks are bytes 0 or 1. d may be one of the sources, or overlap as the ISA allows.
 */
typedef void VectorKernel(void *d, const void *s2, const void *s1, unsigned n, KernelEnv *e);
typedef VectorKernel *VectorKernels[VOP_ELEMENTWISE][4];
/* The same source compiled for the baseline and for AVX2 and FMA. */
extern const VectorKernels vector_int_kernels_base, vector_int_kernels_avx2, vector_float_kernels_base,
    vector_float_kernels_avx2, vector_half_kernels_base, vector_half_kernels_avx2, vector_bits_kernels_base,
    vector_bits_kernels_avx2;

/* RiscvState.v_ready, which is 0 if mstatus.VS is not Dirty, vtype is not legal, or vstart is not 0. */
enum { V_READY = 0x200, V_WHOLE = 0x100 /* vl is VLMAX */ }; /* bits 7:0 are vtype */

/* Operands of an elementwise instruction: VO_*. Is it legal under this vtype? */
unsigned v_operands(unsigned op);
bool v_legal(uint64_t vtype, uint32_t bits, unsigned op);

/* Is this vtype, without vill, one that there is? */
bool v_type_legal(uint64_t vtype);

/* Fields of an instruction. */
static inline unsigned v_d(uint32_t bits)
{
    return bits >> 7 & 31;
}
static inline unsigned v_s1(uint32_t bits)
{
    return bits >> 15 & 31;
}
static inline unsigned v_s2(uint32_t bits)
{
    return bits >> 20 & 31;
}
static inline bool v_masked(uint32_t bits)
{
    return !(bits >> 25 & 1);
}

/* vtype: log2 of SEW in bytes, and of LMUL (-3 .. 3). */
static inline unsigned v_sew_of(uint64_t vtype)
{
    return vtype >> 3 & 7;
}
static inline int v_lmul_of(uint64_t vtype)
{
    return (int)(vtype << 29 & 0xe0000000) >> 29;
}
static inline unsigned v_sew(const RiscvState *s)
{
    return v_sew_of(s->vtype);
}
static inline int v_lmul(const RiscvState *s)
{
    return v_lmul_of(s->vtype);
}
static inline unsigned v_regs(int emul)
{
    return emul <= 0 ? 1 : 1u << emul;
}
/* Elements of a group. */
static inline unsigned v_max(const RiscvState *s, int lmul, unsigned sew)
{
    unsigned bytes = s->vlenb >> sew;
    return lmul >= 0 ? bytes << lmul : bytes >> -lmul;
}
static inline uint8_t *v_reg(RiscvState *s, unsigned r)
{
    return s->v + r * s->vlenb;
}
static inline bool v_bit(const uint8_t *mask, unsigned i)
{
    return mask[i >> 3] >> (i & 7) & 1;
}
static inline void v_put_bit(uint8_t *mask, unsigned i, bool on)
{
    mask[i >> 3] = (mask[i >> 3] & ~(1u << (i & 7))) | on << (i & 7);
}
static inline bool v_aligned(unsigned r, int emul)
{
    return emul <= 3 && !(r & (v_regs(emul) - 1));
}
static inline bool v_overlap(unsigned a, unsigned a_regs, unsigned b, unsigned b_regs)
{
    return a < b + b_regs && b < a + a_regs;
}
/* Section 31.5.2: may a destination of this width (log2 bytes; -3: mask) and size lie so over a source? */
bool v_overlap_allowed(unsigned d, int d_emul, int d_eew, unsigned r, int emul, int eew);

static inline uint64_t v_get(const uint8_t *reg, unsigned i, unsigned sew)
{
    switch (sew) {
    case 0:
        return reg[i];
    case 1:
        return ((const uint16_t *)reg)[i];
    case 2:
        return ((const uint32_t *)reg)[i];
    default:
        return ((const uint64_t *)reg)[i];
    }
}
static inline void v_put(uint8_t *reg, unsigned i, unsigned sew, uint64_t value)
{
    switch (sew) {
    case 0:
        reg[i] = value;
        break;
    case 1:
        ((uint16_t *)reg)[i] = value;
        break;
    case 2:
        ((uint32_t *)reg)[i] = value;
        break;
    default:
        ((uint64_t *)reg)[i] = value;
    }
}
static inline int64_t v_sign(uint64_t value, unsigned sew)
{
    unsigned shift = 64 - (8u << sew);
    return (int64_t)(value << shift) >> shift;
}

/* A floating-point scalar as an operand of SEW: one that is not boxed is the canonical NaN. */
static inline uint64_t v_unbox(uint64_t v, unsigned sew, bool brain)
{
    if (sew == 1)
        return v >> 16 == UINT64_MAX >> 16 ? (uint16_t)v : brain ? 0x7fc0 : 0x7e00;
    return sew == 2 && v >> 32 != UINT32_MAX ? 0x7fc00000 : v;
}
/* Is there floating point of this SEW? */
static inline bool v_float_legal(const RiscvState *s, unsigned sew)
{
    return sew >= 2 || (sew == 1 && riscv_has(s, EXT_ZVFH));
}

/* Is element i to be worked on? */
static inline bool v_active(const RiscvState *s, uint32_t bits, unsigned i)
{
    return !v_masked(bits) || v_bit(s->v, i);
}

/* Host floating point in a helper: outside generated code the guest's rounding mode and flags are put there first. */
typedef struct FpBracket {
    unsigned saved;
} FpBracket;
FpBracket v_fp_begin(CpuState *cs);
void v_fp_end(CpuState *cs, FpBracket bracket);

/* One instruction: false if it is illegal. An exception may have been raised besides. a, b: its scalar operands. */
typedef struct VectorCall {
    RiscvState *s;
    uint32_t bits;
    unsigned op;
    uint64_t a, b, result;
} VectorCall;
typedef bool VectorFn(VectorCall *c);
#define S(name, fn, scalar) VectorFn vector_##fn;
VECTOR_SPECIAL(S)
#undef S
uint64_t helper_vector(CpuState *cs, uint64_t a, uint64_t b, uint64_t bits, uint64_t op);

#endif
