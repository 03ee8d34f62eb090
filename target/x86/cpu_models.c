/*
 * x86: -cpu: models, features by name, and what CPUID says (SDM volume 2, CPUID; AMD64 APM volume 3, appendix E).
 * Model names, families and features follow the reference emulator's; of what a model has, what is not there stays off.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu_models.h"
#include "accel/accel.h"
#include "hw/core/machine.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include <string.h>

enum { X86_NEVER = 0xff };

typedef struct Feature {
    const char *name;
    uint8_t word, bit, decode;
} Feature;
static const Feature features[] = {
#define FEATURE(name, word, bit, decode) { name, X86_WORD_##word, bit, X86_##decode },
#include "target/x86/features.def"
#undef FEATURE
};

typedef enum { INTEL, AMD, HYGON } Vendor;

typedef struct X86Model {
    const char *name;
    const char *base;     /* another model, whose features it has too; NULL */
    const char *features; /* more than base; with a minus sign: not */
    Vendor vendor;
    uint8_t family, model, stepping;
    uint32_t level, extended_level;
    const char *text;
} X86Model;

#define PPRO "fpu de pse tsc msr pae mce cx8 pge cmov pat fxsr mmx sse sse2 sep apic"
static const X86Model models[] = {
    { "486", NULL, "fpu vme pse", INTEL, 4, 8, 0, 1, 0, "" },
    { "pentium", "486", "de tsc msr mce cx8 mmx", INTEL, 5, 4, 3, 1, 0, "" },
    { "pentium2", "pentium", "pae sep mtrr pge mca cmov pat pse36 fxsr", INTEL, 6, 5, 2, 2, 0, "" },
    { "pentium3", "pentium2", "sse", INTEL, 6, 7, 3, 3, 0, "" },
    { "athlon", "pentium2", "apic sse sse2 mmxext 3dnow 3dnowext", AMD, 6, 2, 3, 2, 0x80000008,
      "QEMU Virtual CPU version 2.5+" },
    { "qemu32", NULL, PPRO " pni", INTEL, 6, 6, 3, 4, 0x80000004, "QEMU Virtual CPU version 2.5+" },
    { "kvm32", NULL, PPRO " vme mtrr clflush mca pse36 pni", INTEL, 15, 6, 1, 5, 0x80000008,
      "Common 32-bit KVM processor" },
    { "coreduo", NULL, PPRO " vme mtrr clflush mca acpi ss pni monitor nx", INTEL, 6, 14, 8, 10, 0x80000008,
      "Genuine Intel(R) CPU           T2600  @ 2.16GHz" },
    { "n270", "coreduo", "ssse3 movbe lahf-lm", INTEL, 6, 28, 2, 10, 0x80000008,
      "Intel(R) Atom(TM) CPU N270   @ 1.60GHz" },
    { "qemu64", NULL, PPRO " mtrr clflush mca pse36 pni cx16 lm syscall nx lahf-lm svm", AMD, 15, 107, 1, 0xd,
      0x8000000a, "QEMU Virtual CPU version 2.5+" },
    { "kvm64", NULL, PPRO " vme mtrr clflush mca pse36 pni cx16 lm syscall nx", INTEL, 15, 6, 1, 0xd, 0x80000008,
      "Common KVM processor" },
    { "phenom", "qemu64", "vme ht monitor popcnt pdpe1gb fxsr-opt mmxext rdtscp 3dnow 3dnowext abm sse4a", AMD, 16, 2,
      3, 5, 0x8000001a, "AMD Phenom(tm) 9550 Quad-Core Processor" },
    { "core2duo", NULL, PPRO " vme mtrr clflush mca acpi ss pse36 pni monitor ssse3 cx16 lm syscall nx lahf-lm", INTEL,
      6, 15, 11, 10, 0x80000008, "Intel(R) Core(TM)2 Duo CPU     T7700  @ 2.40GHz" },
    { "Conroe", NULL, PPRO " vme mtrr clflush mca pse36 pni ssse3 lm syscall nx lahf-lm", INTEL, 6, 15, 3, 10,
      0x80000008, "Intel Celeron_4x0 (Conroe/Merom Class Core 2)" },
    { "Penryn", "Conroe", "cx16 sse4.1", INTEL, 6, 23, 3, 10, 0x80000008,
      "Intel Core 2 Duo P9xxx (Penryn Class Core 2)" },
    { "Nehalem", "Penryn", "sse4.2 popcnt", INTEL, 6, 26, 3, 11, 0x80000008,
      "Intel Core i7 9xx (Nehalem Class Core i7)" },
    { "Westmere", "Nehalem", "aes pclmulqdq arat", INTEL, 6, 44, 1, 11, 0x80000008,
      "Westmere E56xx/L56xx/X56xx (Nehalem-C)" },
    { "SandyBridge", "Westmere", "avx xsave xsaveopt x2apic tsc-deadline rdtscp", INTEL, 6, 42, 1, 0xd, 0x80000008,
      "Intel Xeon E312xx (Sandy Bridge)" },
    { "IvyBridge", "SandyBridge", "f16c rdrand fsgsbase smep erms", INTEL, 6, 58, 9, 0xd, 0x80000008,
      "Intel Xeon E3-12xx v2 (Ivy Bridge)" },
    { "Haswell", "IvyBridge", "fma movbe pcid bmi1 bmi2 avx2 invpcid abm hle rtm", INTEL, 6, 60, 4, 0xd, 0x80000008,
      "Intel Core Processor (Haswell)" },
    { "Broadwell", "Haswell", "rdseed adx smap 3dnowprefetch", INTEL, 6, 61, 2, 0xd, 0x80000008,
      "Intel Core Processor (Broadwell)" },
    { "Skylake-Client", "Broadwell", "xsavec xgetbv1", INTEL, 6, 94, 3, 0xd, 0x80000008,
      "Intel Core Processor (Skylake)" },
    { "Skylake-Server", "Skylake-Client", "pdpe1gb clflushopt clwb avx512f avx512dq avx512bw avx512cd avx512vl pku",
      INTEL, 6, 85, 4, 0xd, 0x80000008, "Intel Xeon Processor (Skylake)" },
    { "Cascadelake-Server", "Skylake-Server", "avx512vnni spec-ctrl ssbd", INTEL, 6, 85, 6, 0xd, 0x80000008,
      "Intel Xeon Processor (Cascadelake)" },
    { "Cooperlake", "Cascadelake-Server", "stibp arch-capabilities", INTEL, 6, 85, 10, 0xd, 0x80000008,
      "Intel Xeon Processor (Cooperlake)" },
    { "Icelake-Server", "Skylake-Server",
      "wbnoinvd umip avx512vbmi avx512vbmi2 gfni vaes vpclmulqdq avx512vnni avx512bitalg avx512-vpopcntdq la57 "
      "spec-ctrl ssbd",
      INTEL, 6, 134, 0, 0xd, 0x80000008, "Intel Xeon Processor (Icelake)" },
    { "SapphireRapids", "Icelake-Server", "sha-ni rdpid fsrm xsaves waitpkg serialize", INTEL, 6, 143, 4, 0x20,
      0x80000008, "Intel Xeon Processor (SapphireRapids)" },
    { "Denverton", "Westmere",
      "movbe tsc-deadline xsave x2apic rdrand fsgsbase smep erms rdseed smap clflushopt sha-ni xsaveopt xsavec xgetbv1 "
      "monitor rdtscp pdpe1gb 3dnowprefetch",
      INTEL, 6, 95, 1, 21, 0x80000008, "Intel Atom Processor (Denverton)" },
    { "Snowridge", "Denverton", "umip clwb cldemote movdiri movdir64b", INTEL, 6, 134, 1, 27, 0x80000008,
      "Intel Atom Processor (SnowRidge)" },
    { "Opteron_G1", NULL, PPRO " vme mtrr clflush mca pse36 pni lm syscall nx", AMD, 15, 6, 1, 5, 0x80000008,
      "AMD Opteron 240 (Gen 1 Class Opteron)" },
    { "Opteron_G2", "Opteron_G1", "cx16 lahf-lm svm", AMD, 15, 6, 1, 5, 0x80000008,
      "AMD Opteron 22xx (Gen 2 Class Opteron)" },
    { "Opteron_G3", "Opteron_G2", "popcnt monitor abm sse4a misalignsse rdtscp", AMD, 16, 2, 3, 5, 0x80000008,
      "AMD Opteron 23xx (Gen 3 Class Opteron)" },
    { "Opteron_G4", "Opteron_G2",
      "popcnt abm sse4a misalignsse rdtscp ssse3 sse4.1 sse4.2 pclmulqdq aes xsave avx pdpe1gb 3dnowprefetch xop fma4",
      AMD, 21, 1, 2, 0xd, 0x8000001a, "AMD Opteron 62xx class CPU" },
    { "Opteron_G5", "Opteron_G4", "fma f16c tbm", AMD, 21, 2, 0, 0xd, 0x8000001a, "AMD Opteron 63xx class CPU" },
    { "EPYC", "Opteron_G2",
      "monitor popcnt abm sse4a misalignsse rdtscp ssse3 sse4.1 sse4.2 pclmulqdq aes xsave avx pdpe1gb 3dnowprefetch "
      "fma f16c "
      "movbe rdrand fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt sha-ni xsaveopt xsavec xgetbv1 arat mmxext "
      "fxsr-opt cr8legacy osvw topoext",
      AMD, 23, 1, 2, 0xd, 0x8000001e, "AMD EPYC Processor" },
    { "EPYC-Rome", "EPYC", "clwb rdpid umip wbnoinvd clzero xsaveerptr", AMD, 23, 49, 0, 0xd, 0x8000001e,
      "AMD EPYC-Rome Processor" },
    { "EPYC-Milan", "EPYC-Rome", "pcid invpcid pku erms fsrm xsaves", AMD, 25, 1, 1, 0xd, 0x8000001e,
      "AMD EPYC-Milan Processor" },
    { "EPYC-Genoa", "EPYC-Milan", "la57 avx512f gfni vaes vpclmulqdq", AMD, 25, 17, 0, 0xd, 0x80000022,
      "AMD EPYC-Genoa Processor" },
    /* Versions: what they have more, or with a minus sign have not. */
    { "Nehalem-v2", "Nehalem", "spec-ctrl", INTEL, 6, 26, 3, 11, 0x80000008,
      "Intel Core i7 9xx (Nehalem Core i7, IBRS update)" },
    { "Westmere-v2", "Westmere", "spec-ctrl", INTEL, 6, 44, 1, 11, 0x80000008,
      "Westmere E56xx/L56xx/X56xx (IBRS update)" },
    { "SandyBridge-v2", "SandyBridge", "spec-ctrl", INTEL, 6, 42, 1, 0xd, 0x80000008,
      "Intel Xeon E312xx (Sandy Bridge, IBRS update)" },
    { "IvyBridge-v2", "IvyBridge", "spec-ctrl", INTEL, 6, 58, 9, 0xd, 0x80000008,
      "Intel Xeon E3-12xx v2 (Ivy Bridge, IBRS)" },
    { "Haswell-v2", "Haswell", "-hle -rtm", INTEL, 6, 60, 1, 0xd, 0x80000008,
      "Intel Core Processor (Haswell, no TSX)" },
    { "Haswell-v3", "Haswell", "spec-ctrl", INTEL, 6, 60, 4, 0xd, 0x80000008, "Intel Core Processor (Haswell, IBRS)" },
    { "Haswell-v4", "Haswell", "spec-ctrl -hle -rtm", INTEL, 6, 60, 1, 0xd, 0x80000008,
      "Intel Core Processor (Haswell, no TSX, IBRS)" },
    { "Broadwell-v2", "Broadwell", "-hle -rtm", INTEL, 6, 61, 2, 0xd, 0x80000008,
      "Intel Core Processor (Broadwell, no TSX)" },
    { "Broadwell-v3", "Broadwell", "spec-ctrl", INTEL, 6, 61, 2, 0xd, 0x80000008,
      "Intel Core Processor (Broadwell, IBRS)" },
    { "Broadwell-v4", "Broadwell", "spec-ctrl -hle -rtm", INTEL, 6, 61, 2, 0xd, 0x80000008,
      "Intel Core Processor (Broadwell, no TSX, IBRS)" },
    { "Skylake-Client-v2", "Skylake-Client", "spec-ctrl", INTEL, 6, 94, 3, 0xd, 0x80000008,
      "Intel Core Processor (Skylake, IBRS)" },
    { "Skylake-Client-v3", "Skylake-Client-v2", "-hle -rtm", INTEL, 6, 94, 3, 0xd, 0x80000008,
      "Intel Core Processor (Skylake, IBRS, no TSX)" },
    { "Skylake-Client-v4", "Skylake-Client-v3", "xsaves", INTEL, 6, 94, 3, 0xd, 0x80000008,
      "Intel Core Processor (Skylake, IBRS, no TSX)" },
    { "Skylake-Server-v2", "Skylake-Server", "spec-ctrl -clflushopt", INTEL, 6, 85, 4, 0xd, 0x80000008,
      "Intel Xeon Processor (Skylake, IBRS)" },
    { "Skylake-Server-v3", "Skylake-Server-v2", "-hle -rtm", INTEL, 6, 85, 4, 0xd, 0x80000008,
      "Intel Xeon Processor (Skylake, IBRS, no TSX)" },
    { "Skylake-Server-v4", "Skylake-Server-v3", "", INTEL, 6, 85, 4, 0xd, 0x80000008,
      "Intel Xeon Processor (Skylake, IBRS, no TSX)" },
    { "Skylake-Server-v5", "Skylake-Server-v4", "xsaves", INTEL, 6, 85, 4, 0xd, 0x80000008,
      "Intel Xeon Processor (Skylake, IBRS, no TSX)" },
    { "Cascadelake-Server-v2", "Cascadelake-Server", "arch-capabilities", INTEL, 6, 85, 6, 0xd, 0x80000008,
      "Intel Xeon Processor (Cascadelake)" },
    { "Cascadelake-Server-v3", "Cascadelake-Server-v2", "-hle -rtm", INTEL, 6, 85, 6, 0xd, 0x80000008,
      "Intel Xeon Processor (Cascadelake)" },
    { "Cascadelake-Server-v4", "Cascadelake-Server-v3", "", INTEL, 6, 85, 6, 0xd, 0x80000008,
      "Intel Xeon Processor (Cascadelake)" },
    { "Cascadelake-Server-v5", "Cascadelake-Server-v4", "xsaves", INTEL, 6, 85, 6, 0xd, 0x80000008,
      "Intel Xeon Processor (Cascadelake)" },
    { "Cooperlake-v2", "Cooperlake", "xsaves", INTEL, 6, 85, 10, 0xd, 0x80000008, "Intel Xeon Processor (Cooperlake)" },
    { "Icelake-Server-v2", "Icelake-Server", "-hle -rtm", INTEL, 6, 134, 0, 0xd, 0x80000008,
      "Intel Xeon Processor (Icelake)" },
    { "Icelake-Server-v3", "Icelake-Server-v2", "arch-capabilities", INTEL, 6, 134, 0, 0xd, 0x80000008,
      "Intel Xeon Processor (Icelake)" },
    { "Icelake-Server-v4", "Icelake-Server-v3", "sha-ni rdpid fsrm", INTEL, 6, 106, 0, 0xd, 0x80000008,
      "Intel Xeon Processor (Icelake)" },
    { "Icelake-Server-v5", "Icelake-Server-v4", "xsaves", INTEL, 6, 106, 0, 0xd, 0x80000008,
      "Intel Xeon Processor (Icelake)" },
    { "Icelake-Server-v6", "Icelake-Server-v5", "", INTEL, 6, 106, 0, 0xd, 0x80000008,
      "Intel Xeon Processor (Icelake)" },
    { "KnightsMill", "Westmere",
      "ss movbe fma f16c rdrand avx xsave xsaveopt x2apic tsc-deadline rdtscp fsgsbase bmi1 avx2 smep bmi2 erms rdseed "
      "adx pdpe1gb abm 3dnowprefetch avx512f",
      INTEL, 6, 133, 0, 0xd, 0x80000008, "Intel Xeon Phi Processor (Knights Mill)" },
    { "Denverton-v2", "Denverton", "-monitor", INTEL, 6, 95, 1, 21, 0x80000008, "Intel Atom Processor (Denverton)" },
    { "Denverton-v3", "Denverton-v2", "xsaves", INTEL, 6, 95, 1, 21, 0x80000008, "Intel Atom Processor (Denverton)" },
    { "Snowridge-v2", "Snowridge", "", INTEL, 6, 134, 1, 27, 0x80000008, "Intel Atom Processor (Snowridge, no MPX)" },
    { "Snowridge-v3", "Snowridge-v2", "xsaves", INTEL, 6, 134, 1, 27, 0x80000008,
      "Intel Atom Processor (Snowridge, no MPX)" },
    { "Snowridge-v4", "Snowridge-v3", "", INTEL, 6, 134, 1, 27, 0x80000008,
      "Intel Atom Processor (Snowridge, no MPX)" },
    { "EPYC-v2", "EPYC", "ibpb", AMD, 23, 1, 2, 0xd, 0x8000001e, "AMD EPYC Processor (with IBPB)" },
    { "EPYC-v3", "EPYC-v2", "clzero xsaveerptr xsaves", AMD, 23, 1, 2, 0xd, 0x8000001e, "AMD EPYC Processor" },
    { "EPYC-Rome-v2", "EPYC-Rome", "amd-ssbd", AMD, 23, 49, 0, 0xd, 0x8000001e, "AMD EPYC-Rome Processor" },
    { "Dhyana", "EPYC", "-pclmulqdq -aes -sha-ni", HYGON, 24, 0, 1, 0xd, 0x8000001e, "Hygon Dhyana Processor" },
    { "Dhyana-v2", "Dhyana", "xsaves", HYGON, 24, 0, 1, 0xd, 0x8000001e, "Hygon Dhyana Processor" },
    { "max", NULL, "*", AMD, 6, 6, 3, 0xd, 0x8000000a, "QEMU TCG CPU version 2.5+" },
};

/* -cpu host: what the accelerator's processor is, once it was asked for. */
static X86Model host_model = { .name = "host" };

/* Other names of versions; besides, every model's first version is itself. */
static const struct {
    const char *name, *model;
} aliases[] = { { "Nehalem-IBRS", "Nehalem-v2" },
                { "Westmere-IBRS", "Westmere-v2" },
                { "SandyBridge-IBRS", "SandyBridge-v2" },
                { "IvyBridge-IBRS", "IvyBridge-v2" },
                { "Haswell-noTSX", "Haswell-v2" },
                { "Haswell-IBRS", "Haswell-v3" },
                { "Haswell-noTSX-IBRS", "Haswell-v4" },
                { "Broadwell-noTSX", "Broadwell-v2" },
                { "Broadwell-IBRS", "Broadwell-v3" },
                { "Broadwell-noTSX-IBRS", "Broadwell-v4" },
                { "Skylake-Client-IBRS", "Skylake-Client-v2" },
                { "Skylake-Client-noTSX-IBRS", "Skylake-Client-v3" },
                { "Skylake-Server-IBRS", "Skylake-Server-v2" },
                { "Skylake-Server-noTSX-IBRS", "Skylake-Server-v3" },
                { "Cascadelake-Server-noTSX", "Cascadelake-Server-v3" },
                { "Icelake-Server-noTSX", "Icelake-Server-v2" },
                { "EPYC-IBPB", "EPYC-v2" } };

static const X86Model *find_model(const char *name)
{
    g_autofree char *first = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (!g_ascii_strcasecmp(aliases[i].name, name))
            name = aliases[i].model;
    }
    if (g_str_has_suffix(name, "-v1"))
        name = first = g_strndup(name, strlen(name) - 3);
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (!g_ascii_strcasecmp(models[i].name, name))
            return &models[i];
    }
    return NULL;
}

static const Feature *find_feature(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (!strcmp(features[i].name, name))
            return &features[i];
    }
    return NULL;
}

/* Where CPUID has the words: leaf, subleaf, register. */
static const struct {
    uint32_t leaf;
    uint8_t subleaf, reg;
} words_at[X86_WORD_COUNT] = { [X86_WORD_1_EDX] = { 1, 0, 3 },
                               [X86_WORD_1_ECX] = { 1, 0, 2 },
                               [X86_WORD_7_EBX] = { 7, 0, 1 },
                               [X86_WORD_7_ECX] = { 7, 0, 2 },
                               [X86_WORD_7_EDX] = { 7, 0, 3 },
                               [X86_WORD_6_EAX] = { 6, 0, 0 },
                               [X86_WORD_D_1_EAX] = { 0xd, 1, 0 },
                               [X86_WORD_8000_0001_EDX] = { 0x80000001, 0, 3 },
                               [X86_WORD_8000_0001_ECX] = { 0x80000001, 0, 2 },
                               [X86_WORD_8000_0007_EDX] = { 0x80000007, 0, 3 },
                               [X86_WORD_8000_0008_EBX] = { 0x80000008, 0, 1 },
                               [X86_WORD_KVM] = { 0x40000001, 0, 0 } };

/* The accelerator's processor, where that is not the target's own code; false: it is. */
static bool accel_cpuid(const X86State *s, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    Machine *machine = s->cs.vcpu->machine;
    if (!machine->accel->cpuid)
        return false;
    machine->accel->cpuid(machine, leaf, subleaf, out);
    return true;
}

static bool is_there(const X86State *s, const Feature *f)
{
    uint32_t out[4];
    if (!accel_cpuid(s, words_at[f->word].leaf, words_at[f->word].subleaf, out))
        return f->decode != X86_NEVER;
    return out[words_at[f->word].reg] >> f->bit & 1;
}

/* What -cpu asks for, on its way into the state. */
typedef struct Choice {
    X86State *s;
    bool check, enforce;
    uint32_t missing[X86_WORD_COUNT]; /* asked for, and not there */
} Choice;

static void switch_feature(Choice *c, const Feature *f, bool on)
{
    uint32_t bit = 1u << f->bit;
    c->missing[f->word] &= ~bit;
    if (!on)
        c->s->cpuid_features[f->word] &= ~bit;
    else if (is_there(c->s, f))
        c->s->cpuid_features[f->word] |= bit;
    else
        c->missing[f->word] |= bit;
}

/* All of this name: some are several bits. */
static void switch_features(Choice *c, const char *name, bool on)
{
    for (const Feature *f = features; f < features + G_N_ELEMENTS(features); f++) {
        if (!strcmp(f->name, name))
            switch_feature(c, f, on);
    }
}

/* Models have these by their nature, which guests of an emulator do not expect. */
static bool goes_without_saying(const X86State *s, const char *name)
{
    static const char *const always[] = { "svm", NULL }, *const kvm[] = { "svm", "monitor", "acpi", NULL };
    return g_strv_contains(s->cs.vcpu->machine->accel->cpuid ? kvm : always, name);
}

static void add_model(Choice *c, const X86Model *m)
{
    if (m->base)
        add_model(c, find_model(m->base));
    if (!strcmp(m->features, "*")) {
        for (unsigned i = 0; i < G_N_ELEMENTS(features); i++)
            switch_feature(c, &features[i], true);
        memset(c->missing, 0, sizeof(c->missing)); /* all that there is */
        return;
    }
    g_auto(GStrv) words = g_strsplit(m->features, " ", -1);
    for (char **word = words; *word; word++) {
        const char *name = *word + (**word == '-');
        g_assert(find_feature(name) || !*name);
        if (!goes_without_saying(c->s, name))
            switch_features(c, name, **word != '-');
    }
}

/* Services of KVM's that a named model has if they are there. */
static void add_kvm_services(X86State *s)
{
    static const char *const names[] = { "kvmclock",   "kvm-nopiodelay",      "kvm-asyncpf", "kvm-steal-time",
                                         "kvm-pv-eoi", "kvmclock-stable-bit", "x2apic" };
    Choice c = { .s = s };
    for (unsigned i = 0; s->cs.vcpu->machine->accel->cpuid && i < G_N_ELEMENTS(names); i++)
        switch_features(&c, names[i], true);
}

/* The features that name an opcode decide what the decoder knows. */
static void derive_decoding(X86State *s)
{
    s->decode_features = 1ull << X86_ALWAYS;
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        const Feature *f = &features[i];
        if (f->decode != X86_NEVER && s->cpuid_features[f->word] >> f->bit & 1)
            s->decode_features |= 1ull << f->decode;
    }
}

static void drop_long_mode(Choice *c)
{
    static const char *const needs[] = { "lm", "lahf-lm", "cx16", "pdpe1gb", "la57", "pcid", "fsgsbase", "syscall" };
    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++)
        switch_features(c, needs[i], false);
}

/* As the manuals write it: CPUID.07H:EBX.avx2 [bit 5]. */
static char *describe_bit(unsigned word, unsigned bit)
{
    static const char *const regs[] = { "EAX", "EBX", "ECX", "EDX" };
    const char *name = "";
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (features[i].word == word && features[i].bit == bit) {
            name = features[i].name;
            break;
        }
    }
    return g_strdup_printf("CPUID.%02XH:%s.%s [bit %u]", words_at[word].leaf, regs[words_at[word].reg], name, bit);
}

/* Warn, or refuse. All vCPUs are alike: the first one speaks. */
static bool check_missing(const Choice *c, GError **err)
{
    const Machine *machine = c->s->cs.vcpu->machine;
    const char *who = machine->accel->cpuid ? "host" : "TCG";
    bool warns = c->check && !c->enforce && !c->s->cs.vcpu->index && machine->config.cpu_model;
    g_autoptr(GString) all = g_string_new(NULL);
    for (unsigned word = 0; word < X86_WORD_COUNT; word++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            if (!(c->missing[word] >> bit & 1))
                continue;
            g_autofree char *text = describe_bit(word, bit);
            g_string_append_printf(all, "%s%s", all->len ? ", " : "", text);
            if (warns)
                g_printerr("rhea: warning: -cpu: %s doesn't support requested feature: %s\n", who, text);
        }
    }
    return !c->enforce || !all->len ||
           error_set(err, "-cpu: enforce: %s doesn't support requested features: %s", who, all->str);
}

/* Not a feature of the processor, but what is to be done about them. */
static bool *find_switch(Choice *c, const char *name, bool *inverted)
{
    *inverted = !strcmp(name, "kvm");
    return !strcmp(name, "check")     ? &c->check
           : !strcmp(name, "enforce") ? &c->enforce
           : *inverted                ? &c->s->hides_kvm
                                      : NULL;
}

/* "name", "+name", "-name", "name=on|off". */
static bool apply_feature(Choice *c, const char *word, GError **err)
{
    bool on = true, inverted;
    g_auto(GStrv) parts = g_strsplit(word, "=", 2);
    char *name = parts[0];
    if (!name)
        return error_set(err, "-cpu: empty feature name");
    if (*name == '+' || *name == '-') {
        on = *name == '+';
        name++;
    } else if (parts[0] && parts[1]) {
        if (strcmp(parts[1], "on") && strcmp(parts[1], "off") && strcmp(parts[1], "true") && strcmp(parts[1], "false"))
            return error_set(err, "-cpu: '%s' must be on or off, not '%s'", name, parts[1]);
        on = parts[1][0] == 't' || !strcmp(parts[1], "on");
    }
    g_strdelimit(name, "_", '-');
    bool *control = find_switch(c, name, &inverted);
    if (control)
        *control = on != inverted;
    else if (!find_feature(name))
        return error_set(err, "-cpu: unknown feature '%s'; see -cpu help", name);
    switch_features(c, name, on);
    return true;
}

/* The same for all vCPUs of this process: the host does not change. */
static void find_host(const X86State *s)
{
    static char text[3 * 16 + 1];
    uint32_t out[4], text_words[12];
    accel_cpuid(s, 0, 0, out);
    host_model.level = out[0];
    host_model.vendor = out[2] == 0x444d4163 ? AMD : INTEL; /* "cAMD" */
    accel_cpuid(s, 1, 0, out);
    host_model.family = (uint8_t)((out[0] >> 8 & 15) + (out[0] >> 20 & 0xff));
    host_model.model = (uint8_t)((out[0] >> 4 & 15) | (out[0] >> 12 & 0xf0));
    host_model.stepping = out[0] & 15;
    accel_cpuid(s, 0x80000000, 0, out);
    host_model.extended_level = out[0];
    for (unsigned i = 0; i < 3; i++)
        accel_cpuid(s, 0x80000002 + i, 0, &text_words[4 * i]);
    memcpy(text, text_words, sizeof(text_words));
    host_model.text = text;
}

static void add_host(X86State *s)
{
    find_host(s);
    for (unsigned word = 0; word < X86_WORD_COUNT; word++) {
        uint32_t out[4];
        accel_cpuid(s, words_at[word].leaf, words_at[word].subleaf, out);
        s->cpuid_features[word] = words_at[word].leaf ? out[words_at[word].reg] : 0;
    }
}

static bool is_host(const X86State *s)
{
    return s->model == &host_model;
}

/* "host", and with it "max", are the accelerator's processor where it has one. */
static const X86Model *choose_model(const X86State *s, const char *name)
{
    bool host = name && !strcmp(name, "host"), max = name && !strcmp(name, "max");
    if ((host || max) && s->cs.vcpu->machine->accel->cpuid)
        return &host_model;
    return name ? find_model(name) : NULL;
}

bool x86_set_model(X86State *s, const char *text, bool long_mode, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    const X86Model *m = choose_model(s, words[0]);
    if (!m && words[0] && !strcmp(words[0], "host"))
        return error_set(err, "-cpu host: needs -accel kvm; 'max' is all that there is here");
    if (!m)
        return error_set(err, "-cpu: unknown model '%s'; see -cpu help", words[0] ? words[0] : "");
    Choice c = { .s = s, .check = true };
    s->model = m;
    s->hides_kvm = false;
    memset(s->cpuid_features, 0, sizeof(s->cpuid_features));
    if (is_host(s))
        add_host(s);
    else
        add_model(&c, m);
    if (!is_host(s))
        add_kvm_services(s);
    s->cpuid_features[X86_WORD_1_ECX] |= X86_BIT_HYPERVISOR;
    if (!long_mode)
        drop_long_mode(&c);
    for (char **word = words + 1; *word; word++) {
        if (!apply_feature(&c, *word, err))
            return false;
    }
    if (!check_missing(&c, err))
        return false;
    s->physical_bits = s->cpuid_features[X86_WORD_8000_0001_EDX] & X86_BIT_LM ? 40
                       : s->cpuid_features[X86_WORD_1_EDX] & X86_BIT_PAE      ? 36
                                                                              : 32;
    uint32_t out[4];
    if (is_host(s) && accel_cpuid(s, 0x80000008, 0, out) && out[0])
        s->physical_bits = (uint8_t)out[0];
    derive_decoding(s);
    return true;
}

bool x86_is_amd(const X86State *s)
{
    return s->model->vendor != INTEL;
}

char *x86_cpu_help(void)
{
    GString *out = g_string_new("Available CPUs:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++)
        g_string_append_printf(out, "  %-26s %s\n", models[i].name, models[i].text);
    g_string_append_printf(out, "  %-26s %s\n", host_model.name, "the host's processor (-accel kvm)");
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++)
        g_string_append_printf(out, "  %-26s (alias of %s)\n", aliases[i].name, aliases[i].model);
    g_string_append(
        out,
        "\nFeatures (-cpu MODEL,+NAME,-NAME,NAME=on|off); those in parentheses are known, but not there without KVM.\n"
        "check (on) warns of those that are asked for and not there, enforce refuses; kvm=off hides KVM:\n");
    for (unsigned i = 0, column = 0; i < G_N_ELEMENTS(features); i++) {
        bool there = features[i].decode != X86_NEVER;
        g_string_append_printf(out, "%s%s%s%s", column ? " " : "  ", there ? "" : "(", features[i].name,
                               there ? "" : ")");
        column += (unsigned)strlen(features[i].name) + 3;
        if (column > 90 || i + 1 == G_N_ELEMENTS(features)) {
            g_string_append_c(out, '\n');
            column = 0;
        }
    }
    return g_string_free(out, FALSE);
}

/* ---- CPUID ---- */

typedef struct Topology {
    unsigned threads, cores, thread_bits, core_bits;
} Topology;

static unsigned bits_for(unsigned n)
{
    return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

static Topology topology(const X86State *s)
{
    const MachineConfig *config = &s->cs.vcpu->machine->config;
    Topology t = { .threads = MAX(config->threads, 1u), .cores = MAX(config->cores, 1u) };
    t.thread_bits = bits_for(t.threads);
    t.core_bits = bits_for(t.cores);
    return t;
}

static void put_text(uint32_t out[4], const char *text, unsigned from)
{
    char part[16] = { 0 };
    size_t length = strlen(text);
    if (length > from)
        memcpy(part, text + from, MIN(length - from, 16u));
    memcpy(out, part, 16);
}

static void leaf_0(const X86State *s, uint32_t out[4])
{
    static const char *const vendors[] = { "GenuineIntel", "AuthenticAMD", "HygonGenuine" };
    const char *v = vendors[s->model->vendor];
    out[0] = s->model->level;
    memcpy(&out[1], v, 4);
    memcpy(&out[3], v + 4, 4);
    memcpy(&out[2], v + 8, 4);
}

static uint32_t signature(const X86Model *m)
{
    unsigned family = MIN(m->family, 15u);
    return m->stepping | (m->model & 15u) << 4 | family << 8 | (m->model >> 4) << 16 | (m->family - family) << 20;
}

static void leaf_1(const X86State *s, uint32_t out[4])
{
    Topology t = topology(s);
    unsigned logical = 1u << (t.thread_bits + t.core_bits);
    out[0] = signature(s->model);
    out[1] = s->apic_id << 24 | (logical & 0xff) << 16 | 8 << 8;
    out[2] = s->cpuid_features[X86_WORD_1_ECX] & ~X86_BIT_OSXSAVE;
    out[2] |= s->cr4 & CR4_OSXSAVE ? X86_BIT_OSXSAVE : 0;
    out[3] = s->cpuid_features[X86_WORD_1_EDX];
    if (!(s->apic_base & 1 << 11)) /* switched off */
        out[3] &= ~X86_BIT_APIC;
    if (t.threads * t.cores > 1)
        out[3] |= 1u << 28;
}

/* Deterministic cache parameters: 32 KiB data and code, 4 MiB unified, 16 MiB shared. */
static void leaf_4(const X86State *s, uint32_t subleaf, uint32_t out[4])
{
    static const struct {
        uint8_t type, level, ways;
        uint16_t sets;
    } caches[] = { { 1, 1, 8, 64 }, { 2, 1, 8, 64 }, { 3, 2, 16, 4096 }, { 3, 3, 16, 16384 } };
    Topology t = topology(s);
    if (subleaf >= G_N_ELEMENTS(caches))
        return;
    unsigned sharing = caches[subleaf].level == 3 ? 1u << (t.thread_bits + t.core_bits) : 1u << t.thread_bits;
    out[0] = caches[subleaf].type | (uint32_t)caches[subleaf].level << 5 | 1 << 8 | (sharing - 1) << 14 |
             ((1u << t.core_bits) - 1) << 26;
    out[1] = 63 | (caches[subleaf].ways - 1u) << 22;
    out[2] = caches[subleaf].sets - 1u;
    out[3] = 1;
}

static void leaf_b(const X86State *s, uint32_t subleaf, uint32_t out[4])
{
    Topology t = topology(s);
    out[2] = subleaf & 0xff;
    out[3] = s->apic_id;
    if (subleaf == 0) {
        out[0] = t.thread_bits;
        out[1] = t.threads;
        out[2] |= 1 << 8;
    } else if (subleaf == 1) {
        out[0] = t.thread_bits + t.core_bits;
        out[1] = t.threads * t.cores;
        out[2] |= 2 << 8;
    }
}

/* Components: offset and size in the standard format. */
static void leaf_d(const X86State *s, uint32_t subleaf, uint32_t out[4])
{
    uint64_t valid = x86_xcr0_valid(s);
    if (!(s->cpuid_features[X86_WORD_1_ECX] & X86_BIT_XSAVE))
        return;
    if (accel_cpuid(s, 0xd, subleaf, out)) { /* sizes and places are its own */
        if (subleaf == 0)
            out[0] &= (uint32_t)valid, out[3] = 0;
        else if (subleaf == 1)
            out[0] = s->cpuid_features[X86_WORD_D_1_EAX];
        else if (subleaf > 63 || !(valid >> subleaf & 1))
            memset(out, 0, 16);
        return;
    }
    if (subleaf == 0) {
        out[0] = (uint32_t)valid;
        out[1] = x86_xsave_size(s->xcr0, false);
        out[2] = x86_xsave_size(valid, false);
        out[3] = (uint32_t)(valid >> 32);
    } else if (subleaf == 1) {
        out[0] = s->cpuid_features[X86_WORD_D_1_EAX];
        out[1] = x86_xsave_size(s->xcr0 | s->xss, true);
    } else if (subleaf == 2 && valid & 4) {
        out[0] = 256;
        out[1] = 576;
    } else if (subleaf == 9 && valid >> 9 & 1) {
        out[0] = 8;
        out[1] = X86_XSAVE_PKRU;
    }
}

static void basic_leaf(const X86State *s, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    switch (leaf) {
    case 0:
        leaf_0(s, out);
        break;
    case 1:
        leaf_1(s, out);
        break;
    case 2:
        memcpy(out, (const uint32_t[]){ 0x00000001, 0, 0x0000004d, 0x002c307d }, 16);
        break;
    case 4:
        if (s->model->vendor == INTEL)
            leaf_4(s, subleaf, out);
        break;
    case 5:
        out[2] = s->decode_features >> X86_MONITOR & 1 ? 3 : 0;
        break;
    case 6:
        out[0] = s->cpuid_features[X86_WORD_6_EAX];
        break;
    case 7:
        if (subleaf == 0) {
            out[1] = s->cpuid_features[X86_WORD_7_EBX];
            out[2] = s->cpuid_features[X86_WORD_7_ECX] | (s->cr4 & CR4_PKE ? X86_BIT_OSPKE : 0);
            out[3] = s->cpuid_features[X86_WORD_7_EDX];
        }
        break;
    case 0xb:
        leaf_b(s, subleaf, out);
        break;
    case 0xd:
        leaf_d(s, subleaf, out);
        break;
    }
}

static void extended_leaf(const X86State *s, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    Topology t = topology(s);
    unsigned count = t.threads * t.cores;
    switch (leaf) {
    case 0x80000000:
        leaf_0(s, out);
        out[0] = s->model->extended_level;
        break;
    case 0x80000001:
        out[0] = signature(s->model);
        out[2] = s->cpuid_features[X86_WORD_8000_0001_ECX] | (count > 1 && s->model->vendor != INTEL ? 2 : 0);
        out[3] = s->cpuid_features[X86_WORD_8000_0001_EDX];
        if (s->model->vendor == AMD) /* the bits that are as in leaf 1 */
            out[3] |= s->cpuid_features[X86_WORD_1_EDX] & 0x0183f3ff;
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        put_text(out, s->model->text, 16 * (leaf - 0x80000002));
        break;
    case 0x80000005:
        memcpy(out, (const uint32_t[]){ 0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140 }, 16);
        break;
    case 0x80000006:
        memcpy(out, (const uint32_t[]){ 0, 0x42004200, 0x02008140, 0x00808140 }, 16);
        break;
    case 0x80000007:
        out[3] = s->cpuid_features[X86_WORD_8000_0007_EDX];
        break;
    case 0x80000008:
        out[0] = s->physical_bits;
        if (s->cpuid_features[X86_WORD_8000_0001_EDX] & X86_BIT_LM)
            out[0] |= (s->cpuid_features[X86_WORD_7_ECX] & X86_BIT_LA57 ? 57u : 48u) << 8;
        out[1] = s->cpuid_features[X86_WORD_8000_0008_EBX];
        if (count > 1)
            out[2] = (count - 1) | (t.thread_bits + t.core_bits) << 12;
        break;
    case 0x8000001e:
        out[0] = s->apic_id;
        out[1] = (s->apic_id >> t.thread_bits & 0xff) | (t.threads - 1) << 8;
        break;
    }
}

/* Leaves that a host's processor has of its own. */
static bool is_of_caches(uint32_t leaf)
{
    return leaf == 2 || leaf == 4 || leaf == 0x80000005 || leaf == 0x80000006 || leaf == 0x8000001d;
}

void x86_cpuid(const CpuState *cs, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const X86State *s = (const X86State *)cs;
    memset(out, 0, 16);
    if (is_host(s) && is_of_caches(leaf) && accel_cpuid(s, leaf, subleaf, out))
        return;
    if (leaf >= 0x80000000) {
        if (leaf <= MAX(s->model->extended_level, 0x80000000u))
            extended_leaf(s, leaf, subleaf, out);
        return;
    }
    if (leaf >> 24 == 0x40) { /* for hypervisors */
        if (leaf == 0x40000000)
            memcpy(out, (const uint32_t[]){ 0x40000001, 0x54474354, 0x43544743, 0x47435447 }, 16);
        return;
    }
    basic_leaf(s, MIN(leaf, MAX(s->model->level, 1u)), subleaf, out);
}
