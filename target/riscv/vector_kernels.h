/*
 * Tables of vector kernels: what vector_int.c and vector_float.c share. Both are compiled for each level of the host.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_VECTOR_KERNELS_H
#define TARGET_RISCV_VECTOR_KERNELS_H

#include "target/riscv/vector.h"

/* No turn of a loop depends on another: where operands overlap, the ISA has them lie so that going up is right. */
#ifdef __clang__
#define IVDEP /* clang looks whether operands overlap */
#else
#define IVDEP _Pragma("GCC ivdep")
#endif

#define TYPES(bits, wide)           \
    typedef uint##bits##_t U##bits; \
    typedef int##bits##_t S##bits;
TYPES(8, 16)
TYPES(16, 32)
TYPES(32, 64)
TYPES(64, 128)
typedef unsigned __int128 U128;
typedef __int128 S128;

/* Of VECTOR_ELEMENTWISE, what another file has. */
#define NO_KERNELS(name) \
    {                    \
        NULL             \
    }

/* Of each element: x from vs2, y from vs1. */
#define KERNEL(name, D, A, B, expression)                                                \
    static void name(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e) \
    {                                                                                    \
        D *d = d_;                                                                       \
        const A *a = a_;                                                                 \
        const B *b = b_;                                                                 \
        IVDEP for (unsigned i = 0; i < n; i++)                                           \
        {                                                                                \
            A x __attribute__((unused)) = a[i];                                          \
            B y __attribute__((unused)) = b[i];                                          \
            d[i] = expression;                                                           \
        }                                                                                \
    }
/* z: vd before */
#define KERNEL_OLD(name, D, A, B, expression)                                            \
    static void name(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e) \
    {                                                                                    \
        D *d = d_;                                                                       \
        const A *a = a_;                                                                 \
        const B *b = b_;                                                                 \
        const D *old = e->old;                                                           \
        IVDEP for (unsigned i = 0; i < n; i++)                                           \
        {                                                                                \
            A x __attribute__((unused)) = a[i];                                          \
            B y __attribute__((unused)) = b[i];                                          \
            D z = old[i];                                                                \
            d[i] = expression;                                                           \
        }                                                                                \
    }
#define KERNEL_UNARY(name, D, A, expression)                                             \
    static void name(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e) \
    {                                                                                    \
        D *d = d_;                                                                       \
        const A *a = a_;                                                                 \
        IVDEP for (unsigned i = 0; i < n; i++)                                           \
        {                                                                                \
            A x = a[i];                                                                  \
            d[i] = expression;                                                           \
        }                                                                                \
    }

#endif
