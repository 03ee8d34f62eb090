/*
 * RISC-V CPUs: models, register tables, creation, reset, printing, and what machines and the device tree ask for.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include "target/riscv/cpu_models.h"
#include "target/riscv/hypervisor.h"
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

static const struct {
    uint64_t bit;
    const char *name;
} features[] = {
#define E(upper, name, help) { FEAT_##upper, #name },
    RISCV_FEATURES(E)
#undef E
};

#define EXT_ALL (UINT64_MAX >> (64 - EXT_COUNT))
/* Not in max: svade is svadu's opposite; the kernel takes zkr's seed without asking whether firmware allows it, and
 * older firmware does not. */
#define FEAT_NOT_IN_MAX (FEAT_SVADE | FEAT_ZKR)
#define FEAT_RV64ONLY   (FEAT_SMMPM | FEAT_SMNPM | FEAT_SSNPM | FEAT_SUPM | FEAT_SSU64XL | FEAT_SVNAPOT | FEAT_SVPBMT)
/* What sha has in it, and all that h is needed for. */
#define FEAT_SHA_PARTS \
    (FEAT_SHCOUNTERENW | FEAT_SHGATPA | FEAT_SHTVALA | FEAT_SHVSATPA | FEAT_SHVSTVALA | FEAT_SHVSTVECD | FEAT_SSSTATEEN)
#define FEAT_OF_H ((FEAT_SHA_PARTS & ~FEAT_SSSTATEEN) | FEAT_SHA | FEAT_SHLCOFIDELEG)

#define EXT_ZVKN (EXT_ZVKB | EXT_ZVKNED | EXT_ZVKNHB)
#define EXT_ZVKS (EXT_ZVKB | EXT_ZVKSED | EXT_ZVKSH)
/* Names for several. */
static const struct {
    const char *name;
    uint64_t ext;
    const char *help;
} groups[] = {
    { "b", EXT_ZBA | EXT_ZBB | EXT_ZBS, "zba, zbb, zbs" },
    { "zkn", EXT_ZBKB | EXT_ZBKC | EXT_ZBKX | EXT_ZKND | EXT_ZKNE | EXT_ZKNH, "zbkb, zbkc, zbkx, zknd, zkne, zknh" },
    { "zvkn", EXT_ZVKN, "zvkb, zvkned, zvknhb" },
    { "zvknc", EXT_ZVKN | EXT_ZVBC, "zvbc, zvkb, zvkned, zvknhb" },
    { "zvkng", EXT_ZVKN | EXT_ZVKG, "zvkb, zvkg, zvkned, zvknhb" },
    { "zvks", EXT_ZVKS, "zvkb, zvksed, zvksh" },
    { "zvksc", EXT_ZVKS | EXT_ZVBC, "zvbc, zvkb, zvksed, zvksh" },
    { "zvksg", EXT_ZVKS | EXT_ZVKG, "zvkb, zvkg, zvksed, zvksh" },
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
    NEEDS(D, d, F, f),
    NEEDS(S, s, U, u),
    NEEDS(ZCB, zcb, C, c),
    NEEDS(ZCMOP, zcmop, C, c),
    NEEDS(ZFA, zfa, F, f),
    NEEDS(ZFBFMIN, zfbfmin, F, f),
    NEEDS(ZFHMIN, zfhmin, F, f),
    NEEDS(ZFH, zfh, ZFHMIN, zfhmin),
    NEEDS(V, v, D, d),
    NEEDS(H, h, S, s),
    NEEDS(ZVBB, zvbb, V, v),
    NEEDS(ZVBC, zvbc, V, v),
    NEEDS(ZVKB, zvkb, V, v),
    NEEDS(ZVFHMIN, zvfhmin, V, v),
    NEEDS(ZVFBFMIN, zvfbfmin, V, v),
    NEEDS(ZVFBFWMA, zvfbfwma, ZFBFMIN, zfbfmin),
    NEEDS(ZVFH, zvfh, ZFHMIN, zfhmin),
    NEEDS(ZVFBFWMA, zvfbfwma, ZVFBFMIN, zvfbfmin),
    NEEDS(ZVKG, zvkg, V, v),
    NEEDS(ZVKNED, zvkned, V, v),
    NEEDS(ZVKNHB, zvknhb, V, v),
    NEEDS(ZVKSED, zvksed, V, v),
    NEEDS(ZVKSH, zvksh, V, v),
    { EXT_ZACAS, EXT_A | EXT_ZAAMO, "zacas", "zaamo" },
    { EXT_ZABHA, EXT_A | EXT_ZAAMO, "zabha", "zaamo" },
    { EXT_ZAWRS, EXT_A | EXT_ZALRSC, "zawrs", "zalrsc" },
};

/* What has others in it: they come with it. */
static const struct {
    uint64_t ext, parts;
} contents[] = {
    { EXT_ZFH, EXT_ZFHMIN },
    { EXT_ZVBB, EXT_ZVKB },
    { EXT_ZVFH, EXT_ZVFHMIN },
    { EXT_ZVFBFWMA, EXT_ZVFBFMIN },
};
static const struct {
    uint64_t feat, parts;
} feature_contents[] = {
    { FEAT_SHA, FEAT_SHA_PARTS },
    { FEAT_SMSTATEEN, FEAT_SSSTATEEN },
};

/* The same for features, all of which want only extensions. */
static const struct {
    uint64_t feat, needs;
    const char *needs_name;
} feature_requirements[] = {
    { FEAT_SSCOFPMF, EXT_S, "s" },
    { FEAT_SSCOFPMF, EXT_ZIHPM, "zihpm" },
    { FEAT_SHA, EXT_H, "h" },
    { FEAT_SHCOUNTERENW, EXT_H, "h" },
    { FEAT_SHGATPA, EXT_H, "h" },
    { FEAT_SHLCOFIDELEG, EXT_H, "h" },
    { FEAT_SHTVALA, EXT_H, "h" },
    { FEAT_SHVSATPA, EXT_H, "h" },
    { FEAT_SHVSTVALA, EXT_H, "h" },
    { FEAT_SHVSTVECD, EXT_H, "h" },
    { FEAT_SMNPM, EXT_U, "u" },
    { FEAT_SSAIA, EXT_S, "s" },
    { FEAT_SSSTATEEN, EXT_S, "s" },
    { FEAT_SVNAPOT, EXT_S, "s" },
    { FEAT_SVPBMT, EXT_S, "s" },
    { FEAT_SSNPM, EXT_S, "s" },
    { FEAT_SSCSRIND, EXT_S, "s" },
    { FEAT_SVADE, EXT_S, "s" },
    { FEAT_SMCNTRPMF, EXT_ZICNTR, "zicntr" },
};

static uint64_t switched(uint64_t all, uint64_t bits, bool on)
{
    return on ? all | bits : all & ~bits;
}

bool riscv_set_extension(RiscvState *s, const char *name, bool on)
{
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if (strcmp(name, extensions[i].name))
            continue;
        s->ext = switched(s->ext, extensions[i].bit, on);
        for (unsigned k = 0; on && k < G_N_ELEMENTS(contents); k++)
            s->ext |= contents[k].ext == extensions[i].bit ? contents[k].parts : 0;
        if (!on && extensions[i].bit == EXT_S) /* what has it by default cannot be there without */
            s->ext &= ~EXT_H;
        if (!riscv_has(s, EXT_H))
            s->feat &= ~FEAT_OF_H;
        return true;
    }
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        if (!strcmp(name, features[i].name)) {
            s->feat = switched(s->feat, features[i].bit, on);
            for (unsigned k = 0; on && k < G_N_ELEMENTS(feature_contents); k++)
                s->feat |= feature_contents[k].feat == features[i].bit ? feature_contents[k].parts : 0;
            return true;
        }
    }
    for (unsigned g = 0; g < G_N_ELEMENTS(groups); g++) {
        if (!strcmp(name, groups[g].name)) {
            s->ext = switched(s->ext, groups[g].ext, on);
            return true;
        }
    }
    return false;
}

void riscv_set_all_extensions(RiscvState *s)
{
    s->ext = EXT_ALL;
    s->feat = (s->xlen == 64 ? FEAT_ALL : FEAT_ALL & ~FEAT_RV64ONLY) & ~FEAT_NOT_IN_MAX;
}

static const char *const satp_modes[] = { "sv39", "sv48", "sv57" };

/* What is no extension but on or off. */
static bool set_switch(RiscvState *s, const char *name, bool on)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(satp_modes); m++) {
        if (!strcmp(name, satp_modes[m]) && s->xlen == 64) {
            s->max_satp = on ? SATP_SV39 + m : MIN(s->max_satp, (unsigned)SATP_SV39 + m - 1);
            return true;
        }
    }
    if (!strcmp(name, "mmu"))
        s->max_satp = !on ? SATP_BARE : s->max_satp ? s->max_satp : s->xlen == 64 ? SATP_SV57 : SATP_SV32;
    else if (!strcmp(name, "pmp"))
        s->pmp_count = on ? PMP_ENTRIES : 0;
    else if (!strcmp(name, "debug"))
        s->feat = switched(s->feat, FEAT_SDTRIG, on);
    else
        return false;
    return true;
}

static bool unknown_feature(const RiscvState *s, const char *name, GError **err)
{
    const char
        *names[EXT_COUNT + FEAT_COUNT + G_N_ELEMENTS(groups) + G_N_ELEMENTS(satp_modes) + RISCV_NUMBER_NAMES + 4];
    unsigned n = 0;
    for (unsigned i = 0; i < EXT_COUNT; i++)
        names[n++] = extensions[i].name;
    for (unsigned i = 0; i < FEAT_COUNT; i++)
        names[n++] = features[i].name;
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++)
        names[n++] = groups[i].name;
    for (unsigned i = 0; i < G_N_ELEMENTS(satp_modes) && s->xlen == 64; i++)
        names[n++] = satp_modes[i];
    names[n++] = "mmu";
    names[n++] = "pmp";
    names[n++] = "debug";
    n += riscv_number_names(names + n);
    names[n] = NULL;
    return error_unknown_name(err, "-cpu: feature", name, names);
}

/* +NAME, -NAME, NAME=VALUE or NAME */
static bool apply_word(RiscvState *s, char *word, GError **err)
{
    char *equals = strchr(word, '=');
    bool on = true, number;
    if (*word == '+' || *word == '-') {
        on = *word++ == '+';
    } else if (equals) {
        *equals = 0;
        if (!riscv_set_number(s, word, equals + 1, &number, err))
            return false;
        if (number)
            return true;
        if (!parse_bool(equals + 1, &on, NULL)) {
            RiscvState scratch = { .xlen = s->xlen };
            if (!riscv_set_extension(&scratch, word, on) && !set_switch(&scratch, word, on))
                return unknown_feature(s, word, err);
            parse_bool(equals + 1, &on, err);
            g_prefix_error(err, "-cpu: %s: ", word);
            return false;
        }
    }
    return riscv_set_extension(s, word, on) || set_switch(s, word, on) || unknown_feature(s, word, err);
}

static bool check_requirements(const RiscvState *s, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(requirements); i++) {
        if (riscv_has(s, requirements[i].ext) && !riscv_has(s, requirements[i].needs))
            return error_set(err, "-cpu: '%s' needs '%s'", requirements[i].name, requirements[i].needs_name);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_requirements); i++) {
        uint64_t feat = feature_requirements[i].feat;
        if (s->feat & feat && !riscv_has(s, feature_requirements[i].needs))
            return error_set(err, "-cpu: '%s' needs '%s'", features[__builtin_ctzll(feat)].name,
                             feature_requirements[i].needs_name);
    }
    for (unsigned i = 0; i < FEAT_COUNT && s->xlen == 32; i++) {
        if (s->feat & features[i].bit & FEAT_RV64ONLY)
            return error_set(err, "-cpu: '%s' is for 64-bit CPUs", features[i].name);
    }
    if (!riscv_has(s, EXT_I) || !riscv_has(s, EXT_ZICSR))
        return error_set(err, "-cpu: 'i' and 'zicsr' cannot be turned off");
    if (s->xlen == 64 && s->max_satp && s->max_satp < SATP_SV39)
        return error_set(err, "-cpu: 'sv39' cannot be turned off; use 'mmu=off' for a CPU without translation");
    return true;
}

static void stimer_fired(void *opaque)
{
    riscv_update_timers(opaque);
}

static bool cpu_init(Vcpu *vcpu, CpuState *cs, const char *model, GError **err)
{
    RiscvState *s = riscv(cs);
    unsigned xlen = vcpu->target == &target_riscv32 ? 32 : 64;
    g_auto(GStrv) words = g_strsplit(model ? model : xlen == 64 ? "rv64" : "rv32", ",", -1);
    s->xlen = xlen;
    s->hart = vcpu->index;
    riscv_crypto_init();
    if (!riscv_set_model(s, words[0] ? words[0] : "", err))
        return false;
    for (char **word = words + 1; words[0] && *word; word++) {
        if (!apply_word(s, *word, err))
            return false;
    }
    if (!check_requirements(s, err))
        return false;
    riscv_pmu_init(s, vcpu->machine->clocks);
    g_mutex_init(&s->stimer_lock);
    g_mutex_init(&s->guest_lock);
    timer_init(&s->stimer, vcpu->machine->clocks, CLOCK_VIRTUAL_NS, stimer_fired, s);
    timer_init(&s->vstimer, vcpu->machine->clocks, CLOCK_VIRTUAL_NS, stimer_fired, s);
    return true;
}

static void cpu_free(CpuState *cs)
{
    timer_cancel(&riscv(cs)->stimer);
    riscv_pmu_free(riscv(cs));
    timer_cancel(&riscv(cs)->vstimer);
    g_mutex_clear(&riscv(cs)->stimer_lock);
    g_mutex_clear(&riscv(cs)->guest_lock);
    riscv_vector_free(riscv(cs));
}

static void cpu_reset(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    timer_cancel(&s->stimer);
    timer_cancel(&s->vstimer);
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
    s->menvcfg = s->feat & FEAT_SVADU && !(s->feat & FEAT_SVADE) ? MENVCFG_ADUE : 0;
    s->stimecmp = UINT64_MAX;
    riscv_pmu_reset(s);
    riscv_trigger_reset(s);
    s->mideleg = riscv_has(s, EXT_H) ? H_INTERRUPTS : 0;
    riscv_hypervisor_reset(s);
    s->miselect = s->siselect = 0;
    memset(s->iprio, 0, sizeof(s->iprio));
    memset(s->iprio_used, 0, sizeof(s->iprio_used));
    memset(s->mstateen, 0, sizeof(s->mstateen));
    memset(s->hstateen, 0, sizeof(s->hstateen));
    memset(s->pmpcfg, 0, sizeof(s->pmpcfg));
    memset(s->pmpaddr, 0, sizeof(s->pmpaddr));
    s->pmp_active = 0;
    s->mseccfg = 0;
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
    if (riscv_has(s, EXT_H))
        riscv_hypervisor_dump(s, out);
    g_string_append_printf(out, " %-8s %s%c\n", "priv", s->virt ? "V" : "", "US?M"[s->priv]);
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
    riscv_model_help(out);
    g_string_append(out, "\nFeatures (-cpu MODEL,+NAME,-NAME,NAME=on|off):\n");
#define E(upper, name, help) g_string_append_printf(out, "  %-12s %s\n", #name, help);
    RISCV_EXTENSIONS(E)
    RISCV_FEATURES(E)
#undef E
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++)
        g_string_append_printf(out, "  %-12s %s\n", groups[i].name, groups[i].help);
    riscv_number_help(out);
    g_string_append(out, "  mmu, pmp           address translation; physical memory protection\n");
    g_string_append(out, "  sv39, sv48, sv57   largest address translation scheme (64-bit; default sv57)\n");
    return g_string_free(out, FALSE);
}

/* ---- for machines ---- */

void riscv_cpu_set_time(CpuState *cs, uint64_t (*fn)(void *opaque), void *opaque)
{
    riscv(cs)->time = fn;
    riscv(cs)->time_opaque = opaque;
}

void riscv_cpu_add_guest_file(CpuState *cs, RiscvFileAccess *access, void *opaque)
{
    RiscvState *s = riscv(cs);
    g_assert(riscv_has(s, EXT_H) && s->guest_files < RISCV_MAX_GUEST_FILES);
    s->guest_file[++s->guest_files] = (RiscvFile){ access, opaque };
}

void riscv_cpu_set_reset_pc(CpuState *cs, uint64_t pc)
{
    riscv(cs)->reset_pc = pc;
    cs->pc = pc;
}

void riscv_cpu_add_aia(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    s->feat |= FEAT_SMAIA | (riscv_has(s, EXT_S) ? FEAT_SSAIA : 0);
}

void riscv_cpu_set_file(CpuState *cs, unsigned priv, RiscvFileAccess *access, void *opaque)
{
    riscv(cs)->file[priv == PRIV_M] = (RiscvFile){ access, opaque };
}

bool riscv_cpu_has(CpuState *cs, const char *extension)
{
    RiscvState one = { .xlen = riscv(cs)->xlen };
    return riscv_set_extension(&one, extension, true) && !(one.ext & ~riscv(cs)->ext) && !(one.feat & ~riscv(cs)->feat);
}

unsigned riscv_cpu_block_size(CpuState *cs, const char *extension)
{
    const RiscvState *s = riscv(cs);
    if (!riscv_cpu_has(cs, extension))
        return 0;
    return !strcmp(extension, "zicbom") ? s->cbom_size : !strcmp(extension, "zicbop") ? s->cbop_size : s->cboz_size;
}

/* Canonical order (unprivileged ISA, chapter "ISA Extension Naming Conventions"): single letters, those of Z by the
 * letter after it, those of S; each kind by the alphabet. */
static int compare_names(const void *a, const void *b)
{
    static const char letters[] = "imafdqlcbkjtpvh";
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    unsigned kind[2];
    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? y : x, *place = strchr(letters, name[*name == 'z' && name[1]]);
        unsigned letter = place ? place - letters : 30;
        kind[i] = !name[1] ? letter : *name == 'z' ? 32 + letter : 64;
    }
    return kind[0] != kind[1] ? (int)kind[0] - (int)kind[1] : strcmp(x, y);
}

/* Names of what there is, in order. Returns how many. */
static unsigned isa_names(const RiscvState *s, const char *names[EXT_COUNT + FEAT_COUNT])
{
    unsigned n = 0;
    for (unsigned i = 0; i < EXT_COUNT; i++) {
        if (riscv_has(s, extensions[i].bit) && extensions[i].bit != EXT_S && extensions[i].bit != EXT_U)
            names[n++] = extensions[i].name;
    }
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        if (s->feat & features[i].bit)
            names[n++] = features[i].name;
    }
    qsort(names, n, sizeof(*names), compare_names);
    return n;
}

char *riscv_cpu_isa_string(CpuState *cs)
{
    const char *names[EXT_COUNT + FEAT_COUNT];
    unsigned n = isa_names(riscv(cs), names);
    GString *out = g_string_new(NULL);
    g_string_printf(out, "rv%u", riscv(cs)->xlen);
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(out, "%s%s", names[i][1] ? "_" : "", names[i]);
    return g_string_free(out, FALSE);
}

char *riscv_cpu_isa_extensions(CpuState *cs)
{
    const char *names[EXT_COUNT + FEAT_COUNT];
    unsigned n = isa_names(riscv(cs), names);
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < n; i++)
        g_string_append_len(out, names[i], strlen(names[i]) + 1);
    return g_string_free(out, FALSE);
}

const char *riscv_cpu_mmu_type(CpuState *cs)
{
    static const char *const types[] = { "riscv,sv39", "riscv,sv48", "riscv,sv57" };
    RiscvState *s = riscv(cs);
    return !riscv_has(s, EXT_S) || !s->max_satp ? "riscv,none"
           : s->xlen == 32                      ? "riscv,sv32"
                                                : types[s->max_satp - SATP_SV39];
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
    .raise_bus_error = raise_bus_error, .raise_misaligned = raise_misaligned, .watch = riscv_trigger_access,        \
    .scan = riscv_scan, .translate = riscv_translate, .info_mem = riscv_info_mem, .disassemble = riscv_disassemble, \
    .gdb_xml = riscv_gdb_xml, .gdb_read = riscv_gdb_read, .gdb_write = riscv_gdb_write, .gdb_core_count = 33

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
