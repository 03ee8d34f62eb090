/*
 * What people see of the JIT: -d in_asm (through the target's disassembler) and out_asm (through capstone where it is
 * there), info jit.
 * SPDX-License-Identifier: MIT
 */
#include "util/log.h"
#include "accel/tcg/tcg.h"
#include "util/library.h"
#include <inttypes.h>

static void hex_dump(GString *out, const uint8_t *bytes, size_t len, uint64_t address)
{
    for (size_t i = 0; i < len; i++) {
        if (i % 16 == 0)
            g_string_append_printf(out, "%s0x%016" PRIx64 ": ", i ? "\n" : "", address + i);
        g_string_append_printf(out, "%02x ", bytes[i]);
    }
    g_string_append_c(out, '\n');
}

void tcg_log_guest(TcgCpu *c, const Unit *unit, const uint8_t *bytes, uint64_t pc)
{
    const Target *target = c->vcpu->target;
    g_autoptr(GString) out = g_string_new(NULL);
    unsigned done = 0, n;
    do {
        g_string_append_printf(out, "0x%016" PRIx64 ": ", pc + done);
        n = target->disassemble ? target->disassemble(c->cs, pc + done, bytes + done, unit->bytes - done, out) : 0;
        g_string_append_c(out, '\n');
        done += n;
    } while (n && done < unit->bytes);
    if (done < unit->bytes)
        hex_dump(out, bytes + done, unit->bytes - done, pc + done);
    log_write("IN: %u instructions, mode %x\n%s\n", unit->insns, unit->mode, out->str);
}

#ifdef HAVE_CAPSTONE
static size_t disassemble_host(GString *out, const uint8_t *bytes, size_t len, uint64_t address)
{
    const Capstone *cs = capstone();
    csh handle;
    cs_insn *insns;
    if (!cs || cs->open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
        return 0;
    size_t n = cs->disasm(handle, bytes, len, address, 0, &insns), done = 0;
    for (size_t i = 0; i < n; i++) {
        g_string_append_printf(out, "0x%016" PRIx64 ": %s %s\n", insns[i].address, insns[i].mnemonic, insns[i].op_str);
        done = insns[i].address - address + insns[i].size;
    }
    if (n)
        cs->free(insns, n);
    cs->close(&handle);
    return done;
}
#else
static size_t disassemble_host(GString *out, const uint8_t *bytes, size_t len, uint64_t address)
{
    return 0;
}
#endif

void tcg_log_host(const Unit *unit, const uint8_t *code)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uintptr_t at = (uintptr_t)unit->code;
    size_t done = disassemble_host(out, code, unit->code_size, at);
    if (done < unit->code_size)
        hex_dump(out, code + done, unit->code_size - done, at + done);
    log_write("OUT: %u bytes\n%s\n", unit->code_size, out->str);
}

static void info_cache(TcgState *t, GString *out)
{
    size_t used = 0, live = 0, units = 0;
    g_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->chunk_count; i++) {
        used += t->chunks[i].used;
        live += t->chunks[i].live;
        units += t->chunks[i].units->len;
    }
    g_string_append_printf(out, "executor: %s\n", t->jit ? "x86-64 code" : "interpreter");
    if (t->jit)
        g_string_append_printf(out, "%16zu of %zu bytes of code cache used\n", used, t->size);
    g_string_append_printf(out, "%16u chunks of the cache, %u free, %u waiting to be\n", t->chunk_count, t->free.length,
                           t->retired.length);
    g_string_append_printf(out, "%16zu units, %zu valid, %u pages with code\n", units, live,
                           g_hash_table_size(t->pages));
    g_string_append_printf(out, "%16" PRIu64 " units invalidated by devices\n", t->invalidated_dma);
    g_mutex_unlock(&t->lock);
}

static void info_times(TcgState *t, GString *out)
{
    static const char *const texts[] = {
#define PHASE(name, text) text,
        TCG_PHASES(PHASE)
#undef PHASE
    };
    uint64_t us[PHASES];
    tcg_sample_sums(t, us);
    for (unsigned p = 0; p < PHASES; p++)
        g_string_append_printf(out, "%16.2f s %s\n", us[p] / 1e6, texts[p]);
}

void tcg_info_jit(Machine *machine, GString *out)
{
    static const char *const texts[] = {
#define STAT(name, text) text,
        TCG_STATS(STAT)
#undef STAT
    };
    TcgState *t = machine->accel_state;
    TcgStats sums = { 0 };
    uint64_t *sum = (uint64_t *)&sums, refills = 0;
    for (guint v = 0; v < machine->vcpus->len; v++) {
        const TcgCpu *c = ((Vcpu *)machine->vcpus->pdata[v])->accel;
        const uint64_t *one = (const uint64_t *)&c->stats;
        for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
            sum[i] += __atomic_load_n(&one[i], __ATOMIC_RELAXED);
        for (unsigned i = 0; i < c->set_count; i++)
            refills += __atomic_load_n(&c->sets[i]->refills, __ATOMIC_RELAXED);
    }
    info_cache(t, out);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_string_append_printf(out, "%16" PRIu64 " %s\n", sum[i], texts[i]);
    g_string_append_printf(out, "%16" PRIu64 " TLB refills from the second level by generated code\n", refills);
    g_string_append_printf(out, "%16.2f host bytes for a guest byte\n", sums.code_bytes / MAX(sums.guest_bytes, 1.));
    info_times(t, out);
}
