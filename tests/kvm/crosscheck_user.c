/*
 * Level 3: the random instructions of tests/insn, each with random registers and memory, which the host's processor
 * runs itself wherever KVM is. Each one leaves by an exception, at the latest by that of a hlt behind it, into a
 * handler of level 0, which writes to a port and halts.
 * SPDX-License-Identifier: MIT
 */
#include "crosscheck.h"
#include "x86_insn.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { HANDLER_PORT = 0x80 };

/* What a kernel does where the processor has no help for it; found by trying. */
enum {
    KERNEL_NO_PORTS = 1, /* shuts the guest down where level 3 touches a port */
    KERNEL_FAULTS = 2,   /* has its emulator look at instructions that fault */
    KERNEL_ALL = 4,      /* emulates code of this size altogether */
    KERNEL_TABLES = 8,   /* level 3 sees the host's descriptor tables */
};

typedef struct User {
    BareKvm *kvm;
    X86World *world, *jit;
    X86Batch *batch;
    bool skipped[SLOTS * STATES];
    unsigned kernel; /* EMULATES_* */
    uint64_t outs;
} User;

static void count_port(void *opaque, bool out, unsigned port, void *data, unsigned size)
{
    ((User *)opaque)->outs += out && port == HANDLER_PORT;
}

static void no_memory(void *opaque, bool write, uint64_t address, void *data, unsigned size)
{
    memset(data, 0xff, size);
}

static CrossEnd run(User *u)
{
    const CrossDevices devices = { count_port, no_memory, u };
    return cross_run(u->kvm, &devices);
}

/* ---- the world ---- */

static void put_handlers(User *u)
{
    static const uint8_t code[] = { 0xe6, HANDLER_PORT, 0xf4 }; /* out; hlt */
    for (unsigned v = 0; v < 256; v++)
        memcpy(u->kvm->host + X86_WORLD_HANDLERS + 16 * v, code, sizeof(code));
}

static void put_exits(User *u)
{
    static const unsigned bits[] = { 64, 32, 16 };
    for (unsigned i = 0; i < G_N_ELEMENTS(bits) * MARKS; i++) {
        uint64_t at = EXIT_OF(bits[i / MARKS], i % MARKS);
        u->kvm->host[X86_WORLD_EXITS + (at - EXITS)] = 0xf4;
    }
}

/* The handler has gone on to behind its hlt. */
static void store(User *u, X86Case *out)
{
    u->kvm->s->cs.pc &= ~15ull;
    x86_world_store(u->world, out);
}

/* What one instruction at level 3 comes to; -1: it does not come back. */
static int try(User *u, unsigned bits, const char *bytes, unsigned length, X86Case *out)
{
    X86Batch *b = u->batch;
    X86Case in = { .regs = { .rflags = 2 } };
    X86Encoding e = { .bits = (uint8_t)bits, .at = INSN_AT, .length = (uint8_t)length };
    static const uint8_t usual[] = { [FX_FCW] = 0x7f, 3, [FX_MXCSR] = 0x80, 0x1f };
    static const uint16_t code[] = { SEL_CODE16, SEL_CODE32, SEL_CODE64 };
    in.regs.seg[X86_CS] = code[bits / 32];
    in.regs.seg[X86_SS] = in.regs.seg[X86_DS] = in.regs.seg[X86_ES] = SEL_DATA;
    in.regs.gpr[RSP] = WINDOW;
    in.regs.gpr[RAX] = WINDOW + 1;
    in.regs.gpr[RCX] = SEL_DATA16;
    memcpy(in.regs.fx, usual, sizeof(usual));
    memset(b->code, 0xf4, sizeof(b->code));
    memcpy(b->code + INSN_AT, bytes, length);
    x86_world_begin(u->world, b);
    put_exits(u);
    x86_world_load(u->world, &e, &in);
    if (run(u) != CROSS_HALTED)
        return -1;
    store(u, out);
    return out->regs.vector;
}

/* What of level 3 this kernel does not leave to the processor. With one that virtualises: nothing. */
static bool probe(User *u, unsigned bits)
{
    X86Case out;
    if (try(u, 64, "\xf4", 1, &out) != VECTOR_GP) {
        puts("skipped: level 3: hlt does not come to its handler");
        return false;
    }
    if (try(u, 64, "\xec", 1, &out) != VECTOR_GP)
        u->kernel |= KERNEL_NO_PORTS;
    if (try(u, 64, "\x0f\x58\x00", 3, &out) != VECTOR_GP) /* addps xmm0, [rax], not aligned */
        u->kernel |= KERNEL_FAULTS;
    if (try(u, bits, "\xd9\xd0", 2, &out) != VECTOR_GP) /* fnop, then hlt */
        u->kernel |= KERNEL_ALL;
    if (try(u, bits, "\x0f\x00\xe1", 3, &out) != VECTOR_GP || !(out.regs.rflags & FLAG_ZF)) /* verr cx */
        u->kernel |= KERNEL_TABLES;
    return true;
}

/* CR4 bits whose features the kernel does not let guests have are cleared, and what needs them is left out. */
static uint64_t settle_features(User *u, uint64_t features)
{
    static const struct {
        uint64_t cr4;
        uint8_t needing[4];
    } rows[] = { { CR4_FSGSBASE, { X86_FSGSBASE } }, { CR4_OSXSAVE, { X86_AVX, X86_AVX2, X86_XSAVE, X86_FMA } } };
    X86State *s = u->kvm->s;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kvm_sregs r;
        uint64_t cr4 = rows[i].cr4;
        ioctl(u->kvm->k->fd, KVM_GET_SREGS, &r);
        r.cr4 |= cr4;
        bool taken = ioctl(u->kvm->k->fd, KVM_SET_SREGS, &r) == 0;
        for (unsigned f = 0; f < 4 && !taken; f++)
            features &= ~(rows[i].needing[f] ? 1ull << rows[i].needing[f] : 0);
        if (!taken)
            s->cr4 &= ~cr4;
        r.cr4 &= ~cr4;
        ioctl(u->kvm->k->fd, KVM_SET_SREGS, &r);
    }
    if (!(s->cr4 & CR4_OSXSAVE))
        features &= ~(1ull << X86_F16C | 1ull << X86_XSAVEOPT | 1ull << X86_XSAVEC | 1ull << X86_XSAVES);
    return features;
}

static bool begin(User *u)
{
    u->kvm = bare_kvm_new("kernel-irqchip=off", "max", X86_WORLD_BYTES);
    if (!bare_kvm_add_avx(u->kvm))
        puts("the kernel keeps no AVX state: without");
    g_autoptr(GError) err = NULL;
    if (!kvm_put_state(u->kvm->k, KVM_PUT_RESET, &err) || !kvm_get_state(u->kvm->k, &err))
        g_error("%s", err->message);
    u->world = x86_world_on(u->kvm->s, u->kvm->host);
    u->jit = x86_world_new(true);
    u->batch = g_new0(X86Batch, 1);
    put_handlers(u);
    return true;
}

static void end(User *u)
{
    g_free(u->batch);
    x86_world_free(u->world);
    x86_world_free(u->jit);
    bare_kvm_free(u->kvm);
}

/* ---- batches ---- */

/* Where kernels are known to differ from processors, by instruction. */
static const struct {
    unsigned kernel; /* any of these */
    const char *names, *reason;
} quirks[] = {
    { KERNEL_NO_PORTS, "in inb insb insz out outsb outsz", "level 3 that touches a port shuts the guest down" },
    { KERNEL_TABLES, "lar lsl verr verw movs pop push lds les lfs lgs lss", "selectors are the host's" },
    { KERNEL_FAULTS | KERNEL_ALL, "iret", "is not emulated at level 3" },
    { KERNEL_FAULTS | KERNEL_ALL, "fxrstor", "of one that faults, an address of 32 bits is used as one of 64" },
    { KERNEL_FAULTS | KERNEL_ALL, "callf", "the target is checked before the return address is pushed" },
    { KERNEL_FAULTS | KERNEL_ALL, "movcr movdr", "registers that do not exist are #GP at level 3" },
    { KERNEL_FAULTS | KERNEL_ALL, "movq movd", "one that faults has x87's tags set" },
    { KERNEL_ALL, "tzcnt lzcnt", "are emulated as bsf and bsr" },
    { KERNEL_ALL, "aam aad", "SF and ZF are those of the whole accumulator" },
};

/* What KVM did is no evidence. */
static bool quirk(const User *u, const X86Encoding *e, const X86Case *in, const X86Case *kvm, const X86Case *jit)
{
    unsigned got = kvm->regs.vector, want = jit->regs.vector;
    for (unsigned i = 0; i < G_N_ELEMENTS(quirks); i++) {
        g_auto(GStrv) names = g_strsplit(quirks[i].names, " ", -1);
        if (u->kernel & quirks[i].kernel && g_strv_contains((const char *const *)names, e->form->row->name))
            return true;
    }
    /* Its emulator gives #UD for what it does not know. */
    if (u->kernel & (KERNEL_FAULTS | KERNEL_ALL) && got == VECTOR_UD && want != VECTOR_UD)
        return true;
    /* Nor does it check alignment. */
    if (u->kernel & (KERNEL_FAULTS | KERNEL_ALL) && want == VECTOR_AC)
        return true;
    /* It steps over repetitions as a whole, and looks in an order of its own for what faults. */
    return u->kernel & KERNEL_ALL &&
           (got != VECTOR_MARK || want != VECTOR_MARK || in->regs.rflags & (FLAG_TF | FLAG_AC));
}

static void run_case(User *u, CrossTally *tally, unsigned i)
{
    X86Batch *b = u->batch;
    const X86Encoding *e = &b->encoding[i / STATES];
    x86_world_load(u->world, e, &b->in[i]);
    CrossEnd how = run(u);
    u->skipped[i] = how == CROSS_UNEMULATED || (how == CROSS_SHUT_DOWN && u->kernel & KERNEL_NO_PORTS);
    if (how == CROSS_HALTED)
        store(u, &b->native[i]);
    else
        b->native[i].regs.vector = VECTOR_HANGS;
    tally->unemulated += how == CROSS_UNEMULATED;
    tally->shut_down += how == CROSS_SHUT_DOWN && u->skipped[i];
    if (u->skipped[i])
        cross_count(tally->skipped, e->form->row->name);
}

static void report(User *u, unsigned i, uint64_t seed)
{
    const X86Encoding *e = &u->batch->encoding[i / STATES];
    const X86Regs *want = &u->batch->native[i].regs;
    printf("differs: %s (%u-bit), instance %u of --mode user --bits %u --seed %" PRIu64 " --count 1\n    ",
           e->form->row->name, e->bits, i, e->bits, seed);
    for (unsigned k = 0; k < e->length; k++)
        printf("%02x ", e->bytes[k]);
    printf("\n    \"host\" is KVM: vector %u error %x rip %" PRIx64 " address %" PRIx64 "; operand %" PRIx64 "\n",
           want->vector, want->error, want->rip, want->address, u->batch->in[i].operand);
    x86_differs(e, &u->batch->in[i], &u->batch->native[i], &u->batch->rhea[0][i], stdout);
}

static void compare_case(User *u, CrossTally *tally, unsigned i, uint64_t seed, unsigned *most_shown)
{
    X86Batch *b = u->batch;
    const X86Encoding *e = &b->encoding[i / STATES];
    const X86Case *in = &b->in[i], *kvm = &b->native[i], *jit = &b->rhea[0][i];
    const char *name = e->form->row->name;
    bool differs = x86_differs(e, in, kvm, jit, NULL);
    if (differs && quirk(u, e, in, kvm, jit)) {
        tally->unemulated++;
        cross_count(tally->skipped, name);
        return;
    }
    tally->run++;
    if (!differs)
        return;
    if (x86_known(e, in, kvm, jit)) {
        tally->known++;
        return;
    }
    bool first = !g_hash_table_contains(tally->failed, name);
    tally->differing++;
    cross_count(tally->failed, name);
    if (*most_shown && first) {
        --*most_shown;
        report(u, i, seed);
    }
}

bool cross_user(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown)
{
    g_autofree User *u = g_new0(User, 1);
    const X86Form *forms = NULL;
    X86Options o = { .bits = bits, .plain = true };
    begin(u);
    uint64_t features = settle_features(u, x86_host_features() & x86_world_features(u->jit));
    bool good = probe(u, bits);
    tally->share = u->kernel & KERNEL_ALL ? 20 : 80;
    unsigned n = good ? x86_forms(&o, features, &forms) : 0;
    for (uint64_t done = 0; n && done < count; done += u->batch->cases, seed++) {
        x86_generate(u->batch, forms, n, seed, bits);
        x86_world_begin(u->world, u->batch);
        put_exits(u);
        for (unsigned i = 0; i < u->batch->cases; i++)
            run_case(u, tally, i);
        x86_world_run(u->jit, u->batch, u->batch->rhea[0], u->batch->rhea_data[0]);
        for (unsigned i = 0; i < u->batch->cases; i++) {
            if (!u->skipped[i])
                compare_case(u, tally, i, seed, &most_shown);
        }
    }
    g_free((void *)forms);
    end(u);
    return good;
}
