/*
 * x86: the components of the extended state: which there are, how large (SDM volume 1, chapter 13).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"

typedef struct Component {
    uint16_t offset, size; /* in the standard format */
} Component;
static const Component components[] = { [2] = { 576, 256 }, [9] = { X86_XSAVE_PKRU, 8 } };
#define LEGACY_SIZE 576 /* x87, SSE and the header */

uint64_t x86_xcr0_valid(const X86State *s)
{
    if (!(s->cpuid_features[X86_WORD_1_ECX] & X86_BIT_XSAVE))
        return 0;
    return 3 | (s->cpuid_features[X86_WORD_1_ECX] & X86_BIT_AVX ? 4 : 0) |
           (s->cpuid_features[X86_WORD_7_EBX] & X86_BIT_AVX512F ? 0xe0 : 0) |
           (s->cpuid_features[X86_WORD_7_ECX] & X86_BIT_PKU ? 1ull << 9 : 0);
}

uint32_t x86_xsave_size(uint64_t wanted, bool compacted)
{
    uint32_t size = LEGACY_SIZE;
    for (unsigned i = 2; i < G_N_ELEMENTS(components); i++) {
        if (!(wanted >> i & 1))
            continue;
        size = compacted ? size + components[i].size : MAX(size, (uint32_t)components[i].offset + components[i].size);
    }
    return size;
}
