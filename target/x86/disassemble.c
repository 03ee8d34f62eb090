/*
 * x86 disassembly for people (-d in_asm, x/i): by Capstone where it is there, else the name of the opcode's row.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "util/library.h"

static void put_text(const X86State *s, uint64_t pc, const uint8_t *bytes, const X86Insn *i, GString *out)
{
#ifdef HAVE_CAPSTONE
    static const uint8_t modes[] = { CS_MODE_16, CS_MODE_32, CS_MODE_64 };
    const Capstone *cs = capstone();
    csh handle;
    cs_insn *insn = NULL;
    size_t count = 0;
    if (cs && cs->open(CS_ARCH_X86, modes[s->cs.mode >> MODE_BITS_SHIFT & 3], &handle) == CS_ERR_OK) {
        count = cs->disasm(handle, bytes, i->length, pc, 1, &insn);
        if (count)
            g_string_append_printf(out, "%s %s", insn->mnemonic, insn->op_str);
        cs->free(insn, count);
        cs->close(&handle);
    }
    if (count)
        return;
#endif
    g_string_append(out, i->row ? i->row->name : "(undefined)");
}

unsigned x86_disassemble(const CpuState *cs, uint64_t pc, const uint8_t *bytes, unsigned available, GString *out)
{
    const X86State *s = (const X86State *)cs;
    X86Insn i;
    x86_decode(x86_code_bits(s), s->decode_features, true, bytes, MIN(available, 16u), &i);
    if (!i.length)
        return 0;
    for (unsigned n = 0; n < 10; n++)
        g_string_append_printf(out, n < i.length ? "%02x" : "  ", n < i.length ? bytes[n] : 0);
    g_string_append_c(out, ' ');
    put_text(s, pc, bytes, &i, out);
    return i.length;
}
