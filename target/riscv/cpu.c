/*
 * RISC-V CPUs: models, register tables, creation, reset, printing, and what machines and the device tree ask for.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include "target/riscv/translate.h"
#include "util/error.h"
#include "util/options.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- registers ---- */

/* Pinned: what compiled code uses most (counted in the benchmarks' and the kernel's code). */
#define X(n, name, pin)                                  \
    {                                                    \
        name, offsetof(RiscvState, x) + 8 * (n), XT, pin \
    }
#define F(n, name, pin)                                      \
    {                                                        \
        name, offsetof(RiscvState, f) + 8 * (n), IR_F64, pin \
    }
#define REGISTERS                                                                                                     \
    X(1, "ra", 0), X(2, "sp", 7), X(3, "gp", 0), X(4, "tp", 0), X(5, "t0", 0), X(6, "t1", 0), X(7, "t2", 0),          \
        X(8, "s0", 8), X(9, "s1", 0), X(10, "a0", 1), X(11, "a1", 2), X(12, "a2", 3), X(13, "a3", 4), X(14, "a4", 5), \
        X(15, "a5", 6), X(16, "a6", 0), X(17, "a7", 0), X(18, "s2", 0), X(19, "s3", 0), X(20, "s4", 0),               \
        X(21, "s5", 0), X(22, "s6", 0), X(23, "s7", 0), X(24, "s8", 0), X(25, "s9", 0), X(26, "s10", 0),              \
        X(27, "s11", 0), X(28, "t3", 0), X(29, "t4", 0), X(30, "t5", 0), X(31, "t6", 0), F(0, "ft0", 7),              \
        F(1, "ft1", 8), F(2, "ft2", 0), F(3, "ft3", 0), F(4, "ft4", 0), F(5, "ft5", 0), F(6, "ft6", 0),               \
        F(7, "ft7", 0), F(8, "fs0", 0), F(9, "fs1", 0), F(10, "fa0", 1), F(11, "fa1", 2), F(12, "fa2", 3),            \
        F(13, "fa3", 4), F(14, "fa4", 5), F(15, "fa5", 6), F(16, "fa6", 0), F(17, "fa7", 0), F(18, "fs2", 0),         \
        F(19, "fs3", 0), F(20, "fs4", 0), F(21, "fs5", 0), F(22, "fs6", 0), F(23, "fs7", 0), F(24, "fs8", 0),         \
        F(25, "fs9", 0), F(26, "fs10", 0), F(27, "fs11", 0), F(28, "ft8", 0), F(29, "ft9", 0), F(30, "ft10", 0),      \
        F(31, "ft11", 0)
#define XT IR_I64
static const GuestReg regs64[RISCV_REG_COUNT] = { REGISTERS };
#undef XT
#define XT IR_I32
static const GuestReg regs32[RISCV_REG_COUNT] = { REGISTERS };
#undef XT

/* ---- models ---- */

static const struct {
    uint64_t bit;
    const char *name;
} extensions[] = {
#define E(upper, name, help) { EXT_##upper, #name },
    RISCV_EXTENSIONS(E)
#undef E
};

/* What rv64 and rv32 have; others are asked for by name, so that a guest of today finds the same CPU tomorrow. */
#define EXT_GENERIC                                                                                          \
    (EXT_I | EXT_M | EXT_A | EXT_F | EXT_D | EXT_C | EXT_S | EXT_U | EXT_ZICSR | EXT_ZIFENCEI | EXT_ZICNTR | \
     EXT_ZIHPM | EXT_ZIHINTPAUSE | EXT_ZBA | EXT_ZBB | EXT_ZBS | EXT_SSTC | EXT_SVADU | EXT_SVINVAL | EXT_SVVPTC)
#define EXT_ALL      (UINT64_MAX >> (64 - EXT_COUNT))
#define EXT_RV64ONLY (EXT_SVNAPOT | EXT_SVPBMT)

typedef struct Model {
    const char *name, *desc;
    unsigned xlen; /* 0: both */
    uint64_t ext;
} Model;
static const Model models[] = {
    { "rv64", "generic 64-bit CPU", 64, EXT_GENERIC },
    { "rv32", "generic 32-bit CPU", 32, EXT_GENERIC },
    { "max", "all that is implemented", 0, EXT_ALL },
};

/* Names for several. */
static const struct {
    const char *name;
    uint64_t ext;
    const char *help;
} groups[] = {
    { "b", EXT_ZBA | EXT_ZBB | EXT_ZBS, "zba, zbb, zbs" },
    { "zkn", EXT_ZBKB | EXT_ZBKC | EXT_ZBKX | EXT_ZKND | EXT_ZKNE | EXT_ZKNH, "zbkb, zbkc, zbkx, zknd, zkne, zknh" },
    { "zks", EXT_ZBKB | EXT_ZBKC | EXT_ZBKX | EXT_ZKSED | EXT_ZKSH, "zbkb, zbkc, zbkx, zksed, zksh" },
};

/* What does nothing, or has no meaning, without another. */
static const struct {
    uint64_t ext, needs;
    const char *name, *needs_name;
} requirements[] = {
#define NEEDS(upper, name, needs_upper, needs_name)        \
    {                                                      \
        EXT_##upper, EXT_##needs_upper, #name, #needs_name \
    }
    NEEDS(D, d, F, f),           NEEDS(S, s, U, u),
    NEEDS(ZACAS, zacas, A, a),   NEEDS(SVNAPOT, svnapot, S, s),
    NEEDS(SVPBMT, svpbmt, S, s), NEEDS(ZAWRS, zawrs, A, a),
    NEEDS(ZCB, zcb, C, c),       NEEDS(ZCMOP, zcmop, C, c),
    NEEDS(ZFA, zfa, F, f),       NEEDS(ZFBFMIN, zfbfmin, F, f),
    NEEDS(ZFHMIN, zfhmin, F, f), NEEDS(ZFH, zfh, ZFHMIN, zfhmin),
    NEEDS(V, v, D, d),           NEEDS(SSAIA, ssaia, S, s),
};

/* vlen=N: bits of a vector register. */
static bool set_vlen(RiscvState *s, const char *value, GError **err)
{
    char *end;
    unsigned long v = strtoul(value, &end, 10);
    if (!g_ascii_isdigit(*value) || *end || v < VLEN_MIN || v > VLEN_MAX || v & (v - 1))
        return error_set(err, "-cpu: vlen must be 128, 256, 512 or 1024, not '%s'", value);
    s->vlenb = v / 8;
    return true;
}

static bool set_feature(RiscvState *s, const char *name, bool on, GError **err)
{
    const char *names[EXT_COUNT + G_N_ELEMENTS(groups) + 6];
    unsigned n = 0;
    for (; n < EXT_COUNT; n++) {
        names[n] = extensions[n].name;
        if (!strcmp(name, names[n])) {
            s->ext = on ? s->ext | extensions[n].bit : s->ext & ~extensions[n].bit;
            if (on && extensions[n].bit == EXT_ZFH) /* a part of it */
                s->ext |= EXT_ZFHMIN;
            return true;
        }
    }
    for (unsigned g = 0; g < G_N_ELEMENTS(groups); g++) {
        names[n++] = groups[g].name;
        if (!strcmp(name, groups[g].name)) {
            s->ext = on ? s->ext | groups[g].ext : s->ext & ~groups[g].ext;
            return true;
        }
    }
    static const char *const modes[] = { "sv39", "sv48", "sv57" };
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        names[n++] = modes[m];
        if (!strcmp(name, modes[m]) && s->xlen == 64) {
            s->max_satp = on ? SATP_SV39 + m : MIN(s->max_satp, (unsigned)SATP_SV39 + m - 1);
            return true;
        }
    }
    names[n++] = "vlen=N";
    names[n] = NULL;
    return error_unknown_name(err, "-cpu: feature", name, names);
}

static bool apply_features(RiscvState *s, char **words, GError **err)
{
    for (; *words; words++) {
        char *word = *words, *equals = strchr(word, '=');
        bool on = true;
        if (g_str_has_prefix(word, "vlen=")) {
            if (!set_vlen(s, equals + 1, err))
                return false;
            continue;
        }
        if (*word == '+' || *word == '-') {
            on = *word++ == '+';
        } else if (equals) {
            *equals = 0;
            if (!parse_bool(equals + 1, &on, err)) {
                g_prefix_error(err, "-cpu: %s: ", word);
                return false;
            }
        }
        if (!set_feature(s, word, on, err))
            return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(requirements); i++) {
        if (riscv_has(s, requirements[i].ext) && !riscv_has(s, requirements[i].needs))
            return error_set(err, "-cpu: '%s' needs '%s'", requirements[i].name, requirements[i].needs_name);
    }
    for (unsigned i = 0; i < EXT_COUNT && s->xlen == 32; i++) {
        if (s->ext & extensions[i].bit & EXT_RV64ONLY)
            return error_set(err, "-cpu: '%s' is for 64-bit CPUs", extensions[i].name);
    }
    if (!riscv_has(s, EXT_I) || !riscv_has(s, EXT_ZICSR))
        return error_set(err, "-cpu: 'i' and 'zicsr' cannot be turned off");
    if (s->xlen == 64 && s->max_satp < SATP_SV39)
        return error_set(err, "-cpu: 'sv39' cannot be turned off; use '-s' for a CPU without supervisor mode");
    return true;
}

static void stimer_fired(void *opaque)
{
    riscv_update_stimer(opaque);
}

static bool cpu_init(Vcpu *vcpu, CpuState *cs, const char *model, GError **err)
{
    RiscvState *s = riscv(cs);
    unsigned xlen = vcpu->target == &target_riscv32 ? 32 : 64;
    g_auto(GStrv) words = g_strsplit(model ? model : xlen == 64 ? "rv64" : "rv32", ",", -1);
    const char *names[G_N_ELEMENTS(models) + 1] = { NULL };
    const Model *found = NULL;
    for (unsigned i = 0, n = 0; i < G_N_ELEMENTS(models); i++) {
        if (models[i].xlen && models[i].xlen != xlen)
            continue;
        names[n++] = models[i].name;
        if (words[0] && !strcmp(words[0], models[i].name))
            found = &models[i];
    }
    if (!found)
        return error_unknown_name(err, "-cpu: model", words[0] ? words[0] : "", names);
    s->xlen = xlen;
    s->ext = found->ext & (xlen == 64 ? EXT_ALL : ~EXT_RV64ONLY);
    s->vlenb = VLEN_MIN / 8;
    s->max_satp = xlen == 64 ? SATP_SV57 : SATP_SV32;
    s->hart = vcpu->index;
    riscv_crypto_init();
    if (!apply_features(s, words + 1, err))
        return false;
    g_mutex_init(&s->stimer_lock);
    timer_init(&s->stimer, vcpu->machine->clocks, CLOCK_VIRTUAL_NS, stimer_fired, s);
    return true;
}

static void cpu_free(CpuState *cs)
{
    timer_cancel(&riscv(cs)->stimer);
    g_mutex_clear(&riscv(cs)->stimer_lock);
    riscv_vector_free(riscv(cs));
}

static void cpu_reset(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    timer_cancel(&s->stimer);
    memset(s->x, 0, sizeof(s->x));
    memset(s->f, 0, sizeof(s->f));
    s->mstatus = s->xlen == 64 ? 2ull << 32 | 2ull << 34 : 0;
    s->priv = PRIV_M;
    s->frm = s->fp_dirty = 0;
    s->satp = s->mepc = s->mcause = s->mtval = s->mtvec = s->mscratch = s->medeleg = s->mideleg = s->mie = 0;
    s->sepc = s->scause = s->stval = s->stvec = s->sscratch = 0;
    s->mip_soft = 0;
    __atomic_store_n(&s->mip_pulses, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->mip, __atomic_load_n(&s->mip_inputs, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    s->mcounteren = s->scounteren = s->mcountinhibit = s->senvcfg = 0;
    s->menvcfg = riscv_has(s, EXT_SVADU) ? MENVCFG_ADUE : 0;
    s->stimecmp = UINT64_MAX;
    s->cycle_offset = s->instret_offset = 0;
    s->miselect = s->siselect = 0;
    memset(s->pmpcfg, 0, sizeof(s->pmpcfg));
    memset(s->pmpaddr, 0, sizeof(s->pmpaddr));
    s->pmp_active = 0;
    riscv_vector_reset(s);
    cs->pc = s->reset_pc;
    cs->raised = cs->fp_flags = 0;
    cs->reserve_addr = UINT64_MAX;
    riscv_mode_changed(s);
    tcg_flush_all(cs);
}

static void cpu_dump(CpuState *cs, GString *out)
{
    RiscvState *s = riscv(cs);
    int digits = s->xlen / 4;
    uint64_t mask = s->xlen == 32 ? UINT32_MAX : UINT64_MAX;
    const struct {
        const char *name;
        uint64_t value;
    } system[] = {
        { "pc", cs->pc },          { "mhartid", s->hart },      { "mstatus", riscv_mstatus(s) },
        { "mip", s->mip },         { "mie", s->mie },           { "mideleg", s->mideleg },
        { "medeleg", s->medeleg }, { "mtvec", s->mtvec },       { "mepc", s->mepc },
        { "mcause", s->mcause },   { "mtval", s->mtval },       { "mscratch", s->mscratch },
        { "stvec", s->stvec },     { "sepc", s->sepc },         { "scause", s->scause },
        { "stval", s->stval },     { "sscratch", s->sscratch }, { "satp", s->satp },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(system); i++)
        g_string_append_printf(out, " %-8s %0*" PRIx64 "\n", system[i].name, digits, system[i].value & mask);
    g_string_append_printf(out, " %-8s %c\n", "priv", "US?M"[s->priv]);
    for (unsigned r = 0; r < 32; r++)
        g_string_append_printf(out, " x%-2u/%-4s %0*" PRIx64 "%s", r, r ? regs64[r - 1].name : "zero", digits,
                               s->x[r] & mask, r % 4 == 3 ? "\n" : "");
    for (unsigned r = 0; r < 32; r++)
        g_string_append_printf(out, " f%-2u/%-4s %016" PRIx64 "%s", r, regs64[RISCV_REG_F0 + r].name, s->f[r],
                               r % 4 == 3 ? "\n" : "");
    if (riscv_has(s, EXT_V))
        riscv_vector_dump(s, out);
}

static char *cpu_help(void)
{
    GString *out = g_string_new("Available CPUs:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++)
        g_string_append_printf(out, "  %-8s %s\n", models[i].name, models[i].desc);
    g_string_append(out, "\nFeatures (-cpu MODEL,+NAME,-NAME,NAME=on|off):\n");
#define E(upper, name, help) g_string_append_printf(out, "  %-12s %s\n", #name, help);
    RISCV_EXTENSIONS(E)
#undef E
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++)
        g_string_append_printf(out, "  %-12s %s\n", groups[i].name, groups[i].help);
    g_string_append(out, "  vlen=N             bits of a vector register: 128 (default), 256, 512, 1024\n");
    g_string_append(out, "  sv39, sv48, sv57   largest address translation scheme (64-bit; default sv57)\n");
    return g_string_free(out, FALSE);
}

/* ---- for machines ---- */

void riscv_cpu_set_time(CpuState *cs, uint64_t (*fn)(void *opaque), void *opaque)
{
    riscv(cs)->time = fn;
    riscv(cs)->time_opaque = opaque;
}

void riscv_cpu_set_reset_pc(CpuState *cs, uint64_t pc)
{
    riscv(cs)->reset_pc = pc;
    cs->pc = pc;
}

void riscv_cpu_add_aia(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    s->ext |= EXT_SMAIA | (riscv_has(s, EXT_S) ? EXT_SSAIA : 0);
}

void riscv_cpu_set_file(CpuState *cs, unsigned priv, RiscvFileAccess *access, void *opaque)
{
    riscv(cs)->file[priv == PRIV_M] = (RiscvFile){ access, opaque };
}

bool riscv_cpu_has(CpuState *cs, const char *extension)
{
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if (!strcmp(extensions[i].name, extension))
            return riscv_has(riscv(cs), extensions[i].bit);
    }
    return false;
}

static bool in_isa_string(unsigned i)
{
    return extensions[i].bit != EXT_S && extensions[i].bit != EXT_U;
}

char *riscv_cpu_isa_string(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    GString *out = g_string_new(NULL);
    g_string_printf(out, "rv%u", s->xlen);
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if (riscv_has(s, extensions[i].bit) && in_isa_string(i))
            g_string_append_printf(out, "%s%s", extensions[i].name[1] ? "_" : "", extensions[i].name);
    }
    return g_string_free(out, FALSE);
}

char *riscv_cpu_isa_extensions(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if (riscv_has(s, extensions[i].bit) && in_isa_string(i))
            g_string_append_len(out, extensions[i].name, strlen(extensions[i].name) + 1);
    }
    return g_string_free(out, FALSE);
}

const char *riscv_cpu_mmu_type(CpuState *cs)
{
    static const char *const types[] = { "riscv,sv39", "riscv,sv48", "riscv,sv57" };
    RiscvState *s = riscv(cs);
    return !riscv_has(s, EXT_S) ? "riscv,none" : s->xlen == 32 ? "riscv,sv32" : types[s->max_satp - SATP_SV39];
}

/* ---- the targets ---- */

static void raise_bus_error(CpuState *cs, uint64_t va, Access access)
{
    static const uint8_t cause[] = { CAUSE_LOAD_ACCESS, CAUSE_STORE_ACCESS, CAUSE_FETCH_ACCESS };
    riscv_raise(riscv(cs), cause[access], va);
}

static void raise_misaligned(CpuState *cs, uint64_t va, Access access)
{
    static const uint8_t cause[] = { CAUSE_LOAD_MISALIGNED, CAUSE_STORE_MISALIGNED, CAUSE_FETCH_MISALIGNED };
    riscv_raise(riscv(cs), cause[access], va);
}

#define TARGET_COMMON                                                                                               \
    .default_machine = "virt", .page_bits = 12, .insn_align = 2, .reg_count = RISCV_REG_COUNT,                      \
    .helpers = riscv_helpers, .helper_count = HELPER_COUNT, .state_size = sizeof(RiscvState), .cpu_init = cpu_init, \
    .cpu_free = cpu_free, .cpu_reset = cpu_reset, .cpu_dump = cpu_dump, .cpu_help = cpu_help,                       \
    .has_work = riscv_has_work, .deliver_interrupt = riscv_deliver_interrupt, .walk = riscv_walk,                   \
    .raise_bus_error = raise_bus_error, .raise_misaligned = raise_misaligned, .scan = riscv_scan,                   \
    .translate = riscv_translate, .info_mem = riscv_info_mem, .disassemble = riscv_disassemble

const Target target_riscv64 = {
    .name = "riscv64",
    .bits = 64,
    .default_cpu = "rv64",
    .regs = regs64,
    TARGET_COMMON,
};
const Target target_riscv32 = {
    .name = "riscv32",
    .bits = 32,
    .default_cpu = "rv32",
    .regs = regs32,
    TARGET_COMMON,
};
