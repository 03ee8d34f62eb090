/*
 * What the integer operations of the IR compute (tcg/ops.def), once: the builders fold constants with it and the
 * interpreter executes with it.
 *
 * Values are 64-bit words; an I32 value is kept sign-extended, which preserves both the signed and the unsigned order,
 * so that comparisons need no type.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_EVAL_H
#define TCG_EVAL_H

#include "tcg/ir.h"

/* The form in which a value of this integer type is kept. */
static inline int64_t ir_canonical(IrType type, uint64_t value)
{
    return type == IR_I32 ? (int32_t)value : (int64_t)value;
}

/* Low MO_BYTES(memop) bytes of value, extended as memop says. */
static inline int64_t ir_extend(unsigned memop, uint64_t value)
{
    unsigned shift = 64 - 8 * MO_BYTES(memop);
    value <<= shift;
    return memop & MO_SIGNED ? (int64_t)value >> shift : (int64_t)(value >> shift);
}

static inline bool ir_compare(IrCond cond, int64_t a, int64_t b)
{
    uint64_t ua = a, ub = b;
    switch (cond) {
    case COND_EQ:
        return a == b;
    case COND_NE:
        return a != b;
    case COND_LT:
        return a < b;
    case COND_GE:
        return a >= b;
    case COND_LTU:
        return ua < ub;
    case COND_GEU:
        return ua >= ub;
    case COND_LE:
        return a <= b;
    case COND_GT:
        return a > b;
    case COND_LEU:
        return ua <= ub;
    case COND_GTU:
        return ua > ub;
    }
    return false;
}

/* Divisions that the host would trap on have the results that ops.def names. */
static inline int64_t ir_eval_division(IrOp op, IrType type, int64_t a, int64_t b)
{
    int64_t lowest = type == IR_I32 ? INT32_MIN : INT64_MIN;
    uint64_t ua = type == IR_I32 ? (uint32_t)a : (uint64_t)a, ub = type == IR_I32 ? (uint32_t)b : (uint64_t)b;
    switch (op) {
    case OP_divs:
        return b == 0 ? -1 : a == lowest && b == -1 ? a : a / b;
    case OP_rems:
        return b == 0 ? a : b == -1 ? 0 : a % b;
    case OP_divu:
        return ub == 0 ? -1 : (int64_t)(ua / ub);
    default:
        return ub == 0 ? a : (int64_t)(ua % ub);
    }
}

static inline int64_t ir_eval_multiply_high(IrOp op, IrType type, int64_t a, int64_t b)
{
    if (type == IR_I32) {
        int64_t x = op == OP_mulhu ? (int64_t)(uint32_t)a : a, y = op == OP_mulhs ? b : (int64_t)(uint32_t)b;
        return (int64_t)((uint64_t)x * (uint64_t)y) >> 32;
    }
    __int128 x = op == OP_mulhu ? (__int128)(uint64_t)a : a, y = op == OP_mulhs ? b : (__int128)(uint64_t)b;
    return (int64_t)((unsigned __int128)x * (unsigned __int128)y >> 64);
}

static inline int64_t ir_eval_shift(IrOp op, IrType type, int64_t a, int64_t b)
{
    unsigned width = type == IR_I32 ? 32 : 64, count = (unsigned)b & (width - 1), back = (width - count) & (width - 1);
    uint64_t ua = type == IR_I32 ? (uint32_t)a : (uint64_t)a;
    switch (op) {
    case OP_shl:
        return (int64_t)(ua << count);
    case OP_shr:
        return (int64_t)(ua >> count);
    case OP_sar:
        return a >> count;
    case OP_rotl:
        return (int64_t)(ua << count | ua >> back);
    default:
        return (int64_t)(ua >> count | ua << back);
    }
}

/* add .. rotr, on canonical inputs; canonical result. */
static inline int64_t ir_eval_binary(IrOp op, IrType type, int64_t a, int64_t b)
{
    int64_t result = 0;
    switch (op) {
    case OP_add:
        result = (int64_t)((uint64_t)a + (uint64_t)b);
        break;
    case OP_sub:
        result = (int64_t)((uint64_t)a - (uint64_t)b);
        break;
    case OP_mul:
        result = (int64_t)((uint64_t)a * (uint64_t)b);
        break;
    case OP_and:
        result = a & b;
        break;
    case OP_or:
        result = a | b;
        break;
    case OP_xor:
        result = a ^ b;
        break;
    case OP_andc:
        result = a & ~b;
        break;
    case OP_mulhs:
    case OP_mulhu:
    case OP_mulhsu:
        result = ir_eval_multiply_high(op, type, a, b);
        break;
    case OP_divs:
    case OP_divu:
    case OP_rems:
    case OP_remu:
        result = ir_eval_division(op, type, a, b);
        break;
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rotl:
    case OP_rotr:
        result = ir_eval_shift(op, type, a, b);
        break;
    default:
        g_assert_not_reached();
    }
    return ir_canonical(type, (uint64_t)result);
}

/* clz ctz popcnt bswap trunc. */
static inline int64_t ir_eval_unary(IrOp op, IrType type, int64_t a)
{
    bool narrow = type == IR_I32;
    uint64_t ua = narrow ? (uint32_t)a : (uint64_t)a;
    switch (op) {
    case OP_clz:
        return ua ? __builtin_clzll(ua) - (narrow ? 32 : 0) : narrow ? 32 : 64;
    case OP_ctz:
        return ua ? __builtin_ctzll(ua) : narrow ? 32 : 64;
    case OP_popcnt:
        return __builtin_popcountll(ua);
    case OP_bswap:
        return narrow ? (int32_t)__builtin_bswap32((uint32_t)ua) : (int64_t)__builtin_bswap64(ua);
    case OP_trunc:
        return (int32_t)ua;
    default:
        g_assert_not_reached();
    }
}

#endif
