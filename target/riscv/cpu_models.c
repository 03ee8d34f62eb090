/*
 * RISC-V CPU models: one row each, and what else `-cpu` takes. Profiles are the mandatory extensions of the RVA22 and
 * RVA23 profile documents. Sources of the named cores: their manuals; extensions of vendors are not there.
 * The C906's mimpid is not its own 0, by which Linux knows that page tables have T-Head's bits.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/cpu_models.h"
#include "util/error.h"
#include "util/options.h"
#include <inttypes.h>
#include <string.h>

#define G       "i m a f d c zicsr zifencei "
#define GENERIC G "h s u zicntr zihpm zihintpause zba zbb zbs sdtrig sstc svadu svinval svvptc "
#define RVA22U                                                                                                         \
    "i m a f d c u zicsr zicntr zihpm zihintpause ziccamoa ziccif zicclsm ziccrse zic64b zicbom zicbop zicboz za64rs " \
    "zfhmin zba zbb zbs zkt "
#define RVA22S "s zifencei ssccptr sscounterenw sstvala sstvecd svade svbare svinval svpbmt "
#define RVA23U RVA22U "v zicond zihintntl zimop zawrs zcb zcmop zfa zvbb zvfhmin zvkt supm "
#define RVA23S                                                                                                      \
    RVA22S "h sha shcounterenw shgatpa shtvala shvsatpa shvstvala shvstvecd sscofpmf ssnpm ssstateen sstc ssu64xl " \
           "svnapot "
#define SIFIVE 0x489

/* satp: the largest mode; pmp: entries. A name that no table knows is an extension that is not implemented. */
static const struct Model {
    const char *name, *desc;
    unsigned xlen; /* 0: both */
    const char *extensions;
    unsigned satp, pmp;
    uint64_t mvendorid, marchid, mimpid;
} models[] = {
    { "rv64", "generic 64-bit CPU", 64, GENERIC, SATP_SV57, 16, 0, 0, 0 },
    { "rv32", "generic 32-bit CPU", 32, GENERIC, SATP_SV32, 16, 0, 0, 0 },
    { "max", "all that is implemented, but svade and zkr", 0, NULL, SATP_SV57, 16, 0, 0, 0 },
    { "rv64i", "64-bit base; all else is added by name", 64, "i zicsr", SATP_SV57, 16, 0, 0, 0 },
    { "rv32i", "32-bit base; all else is added by name", 32, "i zicsr", SATP_SV32, 16, 0, 0, 0 },
    { "rva22u64", "profile RVA22U64", 64, RVA22U, SATP_BARE, 16, 0, 0, 0 },
    { "rva22s64", "profile RVA22S64", 64, RVA22U RVA22S, SATP_SV39, 16, 0, 0, 0 },
    { "rva23u64", "profile RVA23U64", 64, RVA23U, SATP_BARE, 16, 0, 0, 0 },
    { "rva23s64", "profile RVA23S64", 64, RVA23U RVA23S, SATP_SV39, 16, 0, 0, 0 },
    { "sifive-e31", "SiFive E31", 32, "i m a c u zicsr zifencei zicntr zihpm", SATP_BARE, 8, SIFIVE, 0, 0 },
    { "sifive-e34", "SiFive E34", 32, "i m a f c u zicsr zifencei zicntr zihpm", SATP_BARE, 8, SIFIVE, 0, 0 },
    { "sifive-u34", "SiFive U34", 32, G "s u zicntr zihpm", SATP_SV32, 8, SIFIVE, 0, 0 },
    { "sifive-e51", "SiFive E51", 64, "i m a c u zicsr zifencei zicntr zihpm", SATP_BARE, 8, SIFIVE, 0, 0 },
    { "sifive-u54", "SiFive U54", 64, G "s u zicntr zihpm", SATP_SV39, 8, SIFIVE, 0, 0 },
    { "shakti-c", "SHAKTI C-class", 64, G "s u zicntr zihpm", SATP_SV39, 8, 0, 0, 0 },
    { "lowrisc-ibex", "lowRISC Ibex", 32, "i m c u zicsr zifencei zicntr zihpm smepmp", SATP_BARE, 16, 0, 22, 0 },
    { "thead-c906", "T-Head C906, without the vendor's extensions", 64, G "s u zicntr zihpm zfh zfhmin", SATP_SV39, 8,
      0x5b7, 0, 1 },
    { "veyron-v1", "Ventana Veyron V1, without the vendor's extensions", 64,
      G "h s u zicntr zihpm zicbom zicboz zba zbb zbc zbs smaia smstateen ssaia sscofpmf sstc svinval svnapot svpbmt",
      SATP_SV48, 16, 0x61f, 0x8000000000010000, 0x111 },
};

/* Words of list that name no extension, or (absent NULL) turn those on that do. */
static void each_word(RiscvState *s, const char *list, GString *absent)
{
    g_auto(GStrv) words = g_strsplit(list, " ", -1);
    RiscvState nothing = { 0 };
    for (char **w = words; *w; w++) {
        if (**w && !riscv_set_extension(absent ? &nothing : s, *w, true) && absent)
            g_string_append_printf(absent, " %s", *w);
    }
}

bool riscv_set_model(RiscvState *s, const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(models) + 1] = { NULL };
    const struct Model *m = NULL;
    for (unsigned i = 0, n = 0; i < G_N_ELEMENTS(models); i++) {
        if (models[i].xlen && models[i].xlen != s->xlen)
            continue;
        names[n++] = models[i].name;
        if (!strcmp(name, models[i].name))
            m = &models[i];
    }
    if (!m)
        return error_unknown_name(err, "-cpu: model", name, names);
    if (m->extensions)
        each_word(s, m->extensions, NULL);
    else
        riscv_set_all_extensions(s);
    s->max_satp = s->xlen == 32 ? MIN(m->satp, (unsigned)SATP_SV32) : m->satp;
    s->pmp_count = m->pmp;
    s->mvendorid = m->mvendorid;
    s->marchid = m->marchid;
    s->mimpid = m->mimpid;
    s->cbom_size = s->cbop_size = s->cboz_size = RISCV_CACHE_BLOCK;
    s->vlenb = VLEN_MIN / 8;
    s->pmu.present = 0xffffull << 3; /* pmu-num=16 */
    return true;
}

void riscv_model_help(GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        g_autoptr(GString) absent = g_string_new(NULL);
        if (models[i].extensions)
            each_word(NULL, models[i].extensions, absent);
        g_string_append_printf(out, "  %-12s %s%s%s%s\n", models[i].name, models[i].desc,
                               absent->len ? ", without" : "", absent->str, models[i].xlen == 32 ? " (32-bit)" : "");
    }
}

/* ---- properties with a value ---- */

static bool set_vlen(RiscvState *s, uint64_t v)
{
    s->vlenb = v / 8;
    return true;
}
static bool set_elen(RiscvState *s, uint64_t v)
{
    return true; /* there is one */
}
static bool set_pmu_num(RiscvState *s, uint64_t v)
{
    s->pmu.present = ((1u << v) - 1) << 3;
    return true;
}
static bool set_pmu_mask(RiscvState *s, uint64_t v)
{
    s->pmu.present = v;
    return !(v & 7);
}
static bool set_vendor(RiscvState *s, uint64_t v)
{
    s->mvendorid = v;
    return true;
}
static bool set_arch(RiscvState *s, uint64_t v)
{
    s->marchid = v;
    return s->xlen == 64 || v <= UINT32_MAX;
}
static bool set_implementation(RiscvState *s, uint64_t v)
{
    s->mimpid = v;
    return s->xlen == 64 || v <= UINT32_MAX;
}
static bool block_size(RiscvState *s, uint16_t *size, uint64_t v)
{
    *size = v;
    if (v != RISCV_CACHE_BLOCK)
        s->feat &= ~FEAT_ZIC64B;
    return true;
}
static bool set_cbom(RiscvState *s, uint64_t v)
{
    return block_size(s, &s->cbom_size, v);
}
static bool set_cbop(RiscvState *s, uint64_t v)
{
    return block_size(s, &s->cbop_size, v);
}
static bool set_cboz(RiscvState *s, uint64_t v)
{
    return block_size(s, &s->cboz_size, v);
}

static const struct Number {
    const char *name;
    uint64_t min, max;
    bool power;                             /* of two */
    const char *wants;                      /* "must be ..." */
    bool (*set)(RiscvState *s, uint64_t v); /* false: not this value */
    const char *help;
} numbers[] = {
    { "vlen", VLEN_MIN, VLEN_MAX, true, "128, 256, 512 or 1024", set_vlen, "bits of a vector register (default 128)" },
    { "elen", 64, 64, true, "64", set_elen, "bits of the largest vector element" },
    { "pmu-num", 0, 29, false, "0 to 29", set_pmu_num, "performance counters from the third on (default 16)" },
    { "pmu-mask", 0, UINT32_MAX, false, "a mask of counters 3 to 31", set_pmu_mask, "which performance counters" },
    { "mvendorid", 0, UINT32_MAX, false, "a 32-bit number", set_vendor, "what these CSRs read as" },
    { "marchid", 0, UINT64_MAX, false, "a number of XLEN bits", set_arch, NULL },
    { "mimpid", 0, UINT64_MAX, false, "a number of XLEN bits", set_implementation, NULL },
    { "cbom_blocksize", 8, 2048, true, "a power of two from 8 to 2048", set_cbom,
      "bytes of a cache block (default 64)" },
    { "cbop_blocksize", 8, 2048, true, "a power of two from 8 to 2048", set_cbop, NULL },
    { "cboz_blocksize", 8, 2048, true, "a power of two from 8 to 2048", set_cboz, NULL },
};

bool riscv_set_number(RiscvState *s, const char *name, const char *value, bool *found, GError **err)
{
    *found = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const struct Number *n = &numbers[i];
        uint64_t v;
        if (strcmp(name, n->name))
            continue;
        *found = true;
        if (!parse_uint(value, &v, NULL) || v < n->min || v > n->max || (n->power && v & (v - 1)) || !n->set(s, v))
            return error_set(err, "-cpu: %s must be %s, not '%s'", name, n->wants, value);
        return true;
    }
    static const char *const specs[][3] = { { "priv_spec", "v1.12.0", "v1.13.0" }, { "vext_spec", "v1.0", "v1.0" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(specs); i++) {
        if (strcmp(name, specs[i][0]))
            continue;
        *found = true;
        if (strcmp(value, specs[i][1]) && strcmp(value, specs[i][2]))
            return error_set(err, "-cpu: %s must be %s or %s, not '%s'", name, specs[i][1], specs[i][2], value);
    }
    return true;
}

unsigned riscv_number_names(const char **names)
{
    unsigned n = 0;
    for (; n < G_N_ELEMENTS(numbers); n++)
        names[n] = numbers[n].name;
    names[n++] = "priv_spec";
    names[n++] = "vext_spec";
    return n;
}

void riscv_number_help(GString *out)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *name = g_strdup_printf("%s=N", numbers[i].name);
        g_string_append_printf(out, "  %-17s %s%s%s\n", name, numbers[i].help ? numbers[i].help : "",
                               numbers[i].help ? ": " : "", numbers[i].wants);
    }
    g_string_append(out, "  priv_spec=v1.12.0, v1.13.0; vext_spec=v1.0\n");
}
