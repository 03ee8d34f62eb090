/*
 * x86: every name in the opcode tables has something that makes it IR; one opcode table row per name at least.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/translate.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86/table/translated", test_all_translated);
    g_test_add_func("/x86/table/decoder", test_decoder);
    return g_test_run();
}
