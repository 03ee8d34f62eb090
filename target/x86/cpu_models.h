/*
 * x86: features that CPUID names, and the models of -cpu.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_CPU_MODELS_H
#define TARGET_X86_CPU_MODELS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Words of feature bits: leaf (and subleaf), register. */
enum {
    X86_WORD_1_EDX,
    X86_WORD_1_ECX,
    X86_WORD_7_EBX,
    X86_WORD_7_ECX,
    X86_WORD_7_EDX,
    X86_WORD_6_EAX,
    X86_WORD_D_1_EAX,
    X86_WORD_8000_0001_EDX,
    X86_WORD_8000_0001_ECX,
    X86_WORD_8000_0007_EDX,
    X86_WORD_8000_0008_EBX,
    X86_WORD_KVM, /* 0x40000001 EAX: what KVM does for guests that know it */
    X86_WORD_COUNT
};

/* Bits that the code asks for. */
#define X86_BIT_PAE        (1u << 6) /* 1_EDX */
#define X86_BIT_APIC       (1u << 9)
#define X86_BIT_MTRR       (1u << 12)
#define X86_BIT_MCA        (1u << 14)
#define X86_BIT_PCID       (1u << 17) /* 1_ECX */
#define X86_BIT_X2APIC     (1u << 21)
#define X86_BIT_XSAVE      (1u << 26)
#define X86_BIT_OSXSAVE    (1u << 27)
#define X86_BIT_AVX        (1u << 28)
#define X86_BIT_HYPERVISOR (1u << 31)
#define X86_BIT_FSGSBASE   (1u << 0) /* 7_EBX */
#define X86_BIT_SMEP       (1u << 7)
#define X86_BIT_AVX512F    (1u << 16)
#define X86_BIT_SMAP       (1u << 20)
#define X86_BIT_UMIP       (1u << 2) /* 7_ECX */
#define X86_BIT_PKU        (1u << 3)
#define X86_BIT_OSPKE      (1u << 4)
#define X86_BIT_LA57       (1u << 16)
#define X86_BIT_CR8LEGACY  (1u << 4)  /* 8000_0001_ECX */
#define X86_BIT_SYSCALL    (1u << 11) /* 8000_0001_EDX */
#define X86_BIT_NX         (1u << 20)
#define X86_BIT_FXSR_OPT   (1u << 25)
#define X86_BIT_PDPE1GB    (1u << 26)
#define X86_BIT_RDTSCP     (1u << 27)
#define X86_BIT_LM         (1u << 29)

typedef struct X86State X86State;

/* Apply the text of -cpu: a model and features. long_mode: the target has 64 bits. What is asked for and not there stays
 * off: with a warning (check, the default), or as an error (enforce). */
bool x86_set_model(X86State *s, const char *text, bool long_mode, GError **err);
bool x86_is_amd(const X86State *s);
char *x86_cpu_help(void);

#endif
