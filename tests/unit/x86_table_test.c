/*
 * x86: every name in the opcode tables has something that makes it IR; one opcode table row per name at least.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "target/x86/cpu.h"
#include "target/x86/cpu_models.h"
#include "target/x86/translate.h"
#include <string.h>

static void test_all_translated(void)
{
    x86_translate_init();
    g_autofree const char **names = x86_untranslated();
    for (unsigned i = 0; names[i]; i++)
        g_test_message("no translator: %s", names[i]);
    g_assert_null(names[0]);
}

/* A few encodings of each length, and what is cut short. */
static void test_decoder(void)
{
    static const struct {
        unsigned bits;
        const char *bytes;
        unsigned count, length;
        const char *name; /* NULL: none */
    } rows[] = {
        { 64, "\x48\x89\xd8", 3, 3, "mov" },
        { 64, "\x48\x89", 2, 0, NULL }, /* cut short */
        { 64, "\xf3\x41\x90", 3, 3, "xchg" },
        { 64, "\xf3\x90", 2, 2, "pause" },
        { 64, "\x06", 1, 1, NULL },
        { 32, "\x06", 1, 1, "push" },
        { 16, "\x66\xea\1\2\3\4\5\6", 8, 8, "jmpf" },
        { 64, "\xf0\x01\xd8", 3, 3, NULL }, /* lock without memory */
        { 64, "\xf0\x01\x18", 3, 3, "add" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        X86Insn insn;
        x86_decode(rows[i].bits, UINT64_MAX, true, (const uint8_t *)rows[i].bytes, rows[i].count, &insn);
        g_assert_cmpuint(insn.length, ==, rows[i].length);
        g_assert_cmpstr(insn.row && insn.length ? insn.row->name : NULL, ==, rows[i].name);
    }
}

/* Versions of models, their other names, and what they take away. */
static void test_models(void)
{
    static const struct {
        const char *text;
        unsigned word;
        uint32_t bit;
        bool on;
    } cases[] = { { "Haswell", X86_WORD_7_EBX, 1u << 5, true },
                  { "haswell-v1", X86_WORD_7_EBX, 1u << 5, true },
                  { "Haswell-noTSX-IBRS", X86_WORD_7_EBX, 1u << 5, true },
                  { "Skylake-Server", X86_WORD_7_EBX, 1u << 23, true },
                  { "Skylake-Server-IBRS", X86_WORD_7_EBX, 1u << 23, false },
                  { "Skylake-Server-v5", X86_WORD_D_1_EAX, 1u << 3, true },
                  { "Denverton", X86_WORD_D_1_EAX, 1u << 3, false },
                  { "Denverton-v3", X86_WORD_D_1_EAX, 1u << 3, true },
                  { "Denverton-v3", X86_WORD_1_ECX, 1u << 3, false },
                  { "EPYC", X86_WORD_1_ECX, 1u << 3, true },
                  { "Dhyana-v2,-avx2", X86_WORD_7_EBX, 1u << 5, false } };
    g_autofree X86State *s = g_new0(X86State, 1);
    g_autoptr(GError) err = NULL;
    Machine machine = { .accel = accel_find("test") };
    Vcpu vcpu = { .machine = &machine };
    s->cs.vcpu = &vcpu;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_true(x86_set_model(s, cases[i].text, true, &err));
        if (!!(s->cpuid_features[cases[i].word] & cases[i].bit) != cases[i].on)
            g_error("%s: word %u bit 0x%x", cases[i].text, cases[i].word, cases[i].bit);
    }
    g_assert_false(x86_set_model(s, "Haswell-v9", true, &err));
    g_assert_nonnull(strstr(err->message, "Haswell-v9"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86/table/translated", test_all_translated);
    g_test_add_func("/x86/table/decoder", test_decoder);
    g_test_add_func("/x86/table/models", test_models);
    return g_test_run();
}
