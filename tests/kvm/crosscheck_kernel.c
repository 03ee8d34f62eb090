/*
 * Level 0 in real, protected and long mode, and level 3 of the latter: random programs (crosscheck_programs.c) that
 * halt after every few instructions, access ports and a device's registers in between, and end in a handler. At each
 * halt registers, tables, flags, memory and what the devices were asked are the same. At level 3 a hlt is an exception
 * whose handler halts: the program is put back behind it.
 * SPDX-License-Identifier: MIT
 */
#include "crosscheck.h"
#include "crosscheck_programs.h"
#include "x86_system.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Event {
    uint64_t address, value;
    uint8_t size;
    bool port, write;
} Event;

/* Of one executor: what it was asked. Answers depend on how many there were before. */
typedef struct Asked {
    MemRegion memory, ports;
    Event events[64];
    unsigned count;
} Asked;

static struct Kernel {
    BareKvm *kvm;
    Asked of_kvm, of_jit;
    Program program;
    CrossTally *tally;
    ProgramMode mode;
    uint64_t seed;
    unsigned most_shown;
    bool differs, shows, avx;
    bool emulates_faults; /* the kernel's emulator looks at what faults at level 3, and gives #UD for what it does not
                             know */
    unsigned from;        /* offset in the program, of what ran last */
} k;

/* ---- devices ---- */

static uint64_t device_access(Asked *d, bool is_port, bool write, uint64_t address, uint64_t value, unsigned size)
{
    uint64_t answers = d->count * 977 + k.seed;
    uint64_t mask = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
    value = (write ? value : program_random(&answers)) & mask;
    if (d->count < G_N_ELEMENTS(d->events))
        d->events[d->count] = (Event){ address, value, (uint8_t)size, is_port, write };
    d->count++;
    return value;
}

static uint64_t jit_memory_read(void *opaque, uint64_t offset, unsigned size)
{
    return device_access(&k.of_jit, false, false, PROGRAM_MMIO + offset, 0, size);
}
static void jit_memory_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    device_access(&k.of_jit, false, true, PROGRAM_MMIO + offset, value, size);
}
static uint64_t jit_port_read(void *opaque, uint64_t offset, unsigned size)
{
    return device_access(&k.of_jit, true, false, PROGRAM_PORTS + offset, 0, size);
}
static void jit_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    device_access(&k.of_jit, true, true, PROGRAM_PORTS + offset, value, size);
}

static void kvm_access(bool is_port, bool write, uint64_t address, void *data, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, data, size);
    value = device_access(&k.of_kvm, is_port, write, address, value, size);
    if (!write)
        memcpy(data, &value, size);
}
static void kvm_port(void *opaque, bool out, unsigned port, void *data, unsigned size)
{
    kvm_access(true, out, port, data, size);
}
static void kvm_memory(void *opaque, bool write, uint64_t address, void *data, unsigned size)
{
    kvm_access(false, write, address, data, size);
}

static void add_device(Machine *machine, Asked *d)
{
    static const MemOps memory = { jit_memory_read, jit_memory_write, .min_size = 1, .max_size = 8, .unaligned = true };
    static const MemOps ports = { jit_port_read, jit_port_write, .min_size = 1, .max_size = 4, .unaligned = true };
    machine_lock(machine);
    machine->io_root.size = 1 << 16;
    mem_io_init(&d->memory, machine, "device", 4096, &memory, d);
    mem_io_init(&d->ports, machine, "ports", PROGRAM_PORT_COUNT, &ports, d);
    mem_add(&machine->root, PROGRAM_MMIO, &d->memory, 1);
    mem_add(&machine->io_root, PROGRAM_PORTS, &d->ports, 0);
    machine_unlock(machine);
}

/* ---- the worlds ---- */

static void make_world(void)
{
    static void (*const modes[])(unsigned cpl) = { NULL, sys_protected_mode, sys_long_mode, sys_long_mode };
    uint64_t r = k.seed;
    bool user = k.mode == PROGRAM_USER;
    if (k.mode == PROGRAM_REAL)
        sys_real_mode();
    else
        modes[k.mode](user ? 3 : 0);
    sys_cpu->cr4 |= CR4_OSFXSR | (user && k.avx ? CR4_OSXSAVE : 0);
    sys_cpu->xcr0 = user && k.avx ? 7 : 1;
    if (user) /* some kernels have it set there whatever the guest says */
        sys_cpu->eflags |= FLAG_IF;
    x87_reset(sys_cpu);
    memset(sys_cpu->fpu.reg, 0, sizeof(sys_cpu->fpu.reg));
    x86_set_mxcsr(sys_cpu, 0x1f80);
    sys_cpu->gpr[RSP] = sys_cpu->gpr[RBP] = (user ? STACK3 : STACK0) - 0x100;
    for (unsigned i = 0; i < 16; i++) {
        if (i != RSP && i != RBP)
            sys_cpu->gpr[i] = k.mode >= PROGRAM_LONG ? program_random(&r) : (uint32_t)program_random(&r);
        for (unsigned n = 0; n < 4; n++)
            sys_cpu->xmm[i][n] = n < 2 ? program_random(&r) : 0;
    }
    for (unsigned i = 0; i < 0x1000; i += 8)
        sys_put(DATA + i, program_random(&r), 8);
    memcpy(sys_bare->host + CODE, k.program.code, k.program.bytes);
}

static void copy_registers(void)
{
    X86State *to = k.kvm->s;
    const X86State *from = sys_cpu;
#define COPY(member) memcpy(&to->member, &from->member, sizeof(to->member))
    COPY(gpr);
    COPY(segment);
    COPY(ldt);
    COPY(tr);
    COPY(gdt);
    COPY(idt);
    COPY(cr0);
    COPY(cr2);
    COPY(cr3);
    COPY(cr4);
    COPY(efer);
    COPY(dr);
    COPY(xmm);
    COPY(avx_dirty);
    COPY(xcr0);
    COPY(shadow);
    to->cs.pc = from->cs.pc;
#undef COPY
    x86_put_eflags(to, x86_eflags(sys_cpu), UINT32_MAX);
    x86_mode_changed(to);
}

/* Back to level 3, behind the hlt that came to the handler we are in. False: something else did. */
static bool resume_user(void)
{
    uint64_t ip = sys_word(1);
    if (sys_vector() != VECTOR_GP || sys_word(2) != CS64_3 || sys_get(ip, 1) != 0xf4)
        return false;
    uint32_t flags = (uint32_t)sys_word(3);
    sys_cpu->cs.pc = ip + 1;
    sys_cpu->gpr[RSP] = sys_word(4);
    sys_load(X86_CS, CS64_3);
    sys_load(X86_SS, DS64_3);
    x86_put_eflags(sys_cpu, flags & ~(uint32_t)FLAG_RF, UINT32_MAX);
    return true;
}

static void go_on(Vcpu *vcpu, void *opaque)
{
    x86_mode_changed(sys_cpu);
}

static void first_run(Vcpu *vcpu, void *opaque)
{
    x86_mode_changed(sys_cpu);
    tcg_flush_all(&sys_cpu->cs);
    x86_bare_code_written(sys_bare, 0, RAM_BYTES);
}

/* ---- comparisons ---- */

/* Where the program is; or the handler was come to from. */
static uint64_t place(void)
{
    return sys_vector() == VECTOR_GP ? sys_word(1) - CODE
           : sys_vector() != 255     ? sys_word(0) - CODE
                                     : sys_cpu->cs.pc - CODE;
}

static void print_code(void)
{
    printf("    ");
    for (uint64_t i = k.from; i < MIN(place() + 1, k.program.bytes); i++)
        printf("%02x ", k.program.code[i]);
    puts("");
}

static void report(const char *what, unsigned n, uint64_t kvm, uint64_t jit)
{
    bool first = !k.differs && k.shows;
    if (first)
        printf("differs: --mode %s --bits %s --seed %" PRIu64 " --count 1, %s, stopped at 0x%" PRIx64 "\n",
               k.mode == PROGRAM_USER ? "sequence" : "kernel", (const char *const[]){ "16", "32", "64", "64" }[k.mode],
               k.seed, program_name_at(&k.program, place()), (uint64_t)sys_cpu->cs.pc);
    if (first)
        print_code();
    k.differs = true;
    if (k.shows)
        printf("    %s %x: KVM %016" PRIx64 " JIT %016" PRIx64 "\n", what, n, kvm, jit);
}

static void same(const char *what, unsigned n, uint64_t kvm, uint64_t jit)
{
    if (kvm != jit)
        report(what, n, kvm, jit);
}

static void compare_segments(const X86State *a, const X86State *b)
{
    for (unsigned i = 0; i < 6; i++) {
        same("selector", i, a->segment[i].selector, b->segment[i].selector);
        if (!(b->segment[i].attributes & DESC_P))
            continue; /* not usable */
        same("base", i, a->segment[i].base, b->segment[i].base);
        same("limit", i, a->segment[i].limit, b->segment[i].limit);
        same("attributes", i, a->segment[i].attributes, b->segment[i].attributes);
    }
}

static void compare_devices(void)
{
    same("device accesses", 0, k.of_kvm.count, k.of_jit.count);
    for (unsigned i = 0; i < MIN(k.of_kvm.count, G_N_ELEMENTS(k.of_kvm.events)) && !k.differs; i++) {
        const Event *a = &k.of_kvm.events[i], *b = &k.of_jit.events[i];
        same("device address", i, a->address, b->address);
        same("device value", i, a->value, b->value);
        same("device size", i, a->size, b->size);
        same("device write", i, a->write, b->write);
    }
}

static void compare_memory(void)
{
    const uint8_t *a = k.kvm->host, *b = sys_bare->host;
    if (!memcmp(a, b, PROGRAM_MMIO))
        return;
    for (unsigned i = 0, shown = 0; i < PROGRAM_MMIO && shown < 8; i++) {
        bool frame = k.mode == PROGRAM_USER && i >= STACK0 - 64 && i < STACK0; /* of the exception: with all flags */
        if (a[i] != b[i] && !frame)
            report("memory", i, a[i], b[i]), shown++;
    }
}

/* C1 is not what inline arithmetic keeps. */
static void compare_floats(X86State *a, X86State *b)
{
    enum { C1 = 0x200 };
    same("mxcsr", 0, x86_mxcsr(a), x86_mxcsr(b));
    same("fsw", 0, x87_status(a) & ~C1, x87_status(b) & ~C1);
    same("ftw", 0, a->fpu.used, b->fpu.used);
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(a->fpu.reg[i], b->fpu.reg[i], 10))
            report("x87 register", i, *(uint64_t *)(void *)a->fpu.reg[i], *(uint64_t *)(void *)b->fpu.reg[i]);
    }
    for (unsigned i = 0; i < 16; i++) {
        same("ymm", i, a->xmm[i][2], b->xmm[i][2]);
        same("ymm high", i, a->xmm[i][3], b->xmm[i][3]);
    }
}

static void compare(uint32_t undefined)
{
    X86State *a = k.kvm->s, *b = sys_cpu;
    uint64_t mask = k.mode >= PROGRAM_LONG ? UINT64_MAX : UINT32_MAX;
    uint32_t flags = X86_FLAGS_ALL & ~(uint32_t)(FLAG_RF | undefined);
    for (unsigned i = 0; i < (k.mode >= PROGRAM_LONG ? 16 : 8); i++)
        same("gpr", i, a->gpr[i] & mask, b->gpr[i] & mask);
    same("pc", 0, a->cs.pc, b->cs.pc);
    same("flags", undefined, x86_eflags(a) & flags, x86_eflags(b) & flags);
    same("cr0", 0, a->cr0, b->cr0);
    same("cr2", 0, a->cr2, b->cr2);
    same("cr3", 0, a->cr3, b->cr3);
    same("cr4", 0, a->cr4, b->cr4);
    for (unsigned i = 0; i < 8; i++) {
        if (i != 4 && i != 5)
            same("dr", i, a->dr[i], b->dr[i]);
    }
    for (unsigned i = 0; i < (k.mode >= PROGRAM_LONG ? 16 : 8); i++) {
        same("xmm", i, a->xmm[i][0], b->xmm[i][0]);
        same("xmm high", i, a->xmm[i][1], b->xmm[i][1]);
    }
    same("gdt", 0, a->gdt.base, b->gdt.base);
    same("idt", 0, a->idt.base, b->idt.base);
    compare_segments(a, b);
    if (k.mode == PROGRAM_USER)
        compare_floats(a, b);
    compare_devices();
    compare_memory();
}

/* ---- programs ---- */

/* KVM is in its handler of #UD, and the JIT is not. */
static bool not_known(void)
{
    return k.emulates_faults && k.kvm->s->cs.pc == HANDLERS + 16 * VECTOR_UD + 1 && sys_vector() != VECTOR_UD;
}

static void not_run(CrossEnd end, unsigned stretches)
{
    k.tally->unemulated += stretches;
    cross_count(k.tally->skipped, end == CROSS_SHUT_DOWN
                                      ? "shut down"
                                      : program_name_at(&k.program, not_known() ? sys_get(STACK0 - 40, 8) - CODE
                                                                                : k.kvm->s->cs.pc - CODE));
}

static const CrossDevices devices = { kvm_port, kvm_memory, NULL };

static void begin_program(void)
{
    make_world();
    vcpu_call(sys_bare->vcpu, first_run, NULL);
    copy_registers();
    x87_reset(k.kvm->s);
    memset(k.kvm->s->fpu.reg, 0, sizeof(k.kvm->s->fpu.reg));
    x86_set_mxcsr(k.kvm->s, 0x1f80);
    memcpy(k.kvm->host, sys_bare->host, RAM_BYTES);
    k.of_kvm.count = k.of_jit.count = 0;
    k.differs = false;
}

/* An operand that is not aligned is #GP. */
static void probe(void)
{
    static const uint8_t code[] = { 0xbe, 1, DATA >> 8, 0, 0, 0x0f, 0x58, 0x06, 0xf4 }; /* addps xmm0, [DATA + 1] */
    memcpy(k.program.code, code, sizeof(code));
    k.program.bytes = sizeof(code);
    begin_program();
    k.emulates_faults = cross_run(k.kvm, &devices) == CROSS_HALTED && k.kvm->s->cs.pc == HANDLERS + 16 * VECTOR_UD + 1;
}

/* One halt after the other; each stretch between them counts. */
static void run_program(void)
{
    begin_program();
    for (unsigned n = 0; n < k.program.halts && !k.differs; n++) {
        k.from = (unsigned)(sys_cpu->cs.pc - CODE);
        bool halted = x86_bare_run(sys_bare);
        CrossEnd end = cross_run(k.kvm, &devices);
        if (end == CROSS_UNEMULATED || end == CROSS_SHUT_DOWN || not_known()) {
            not_run(end, k.program.halts - n);
            return;
        }
        same("ended", n, end, halted ? CROSS_HALTED : CROSS_HANGS);
        compare(k.program.undefined[n]);
        k.tally->run++;
        if (k.mode == PROGRAM_USER ? !resume_user() : sys_vector() != 255)
            break; /* an exception, or the last one */
        if (k.mode == PROGRAM_USER)
            vcpu_call(sys_bare->vcpu, go_on, NULL);
        copy_registers(); /* with flags that are undefined */
    }
    k.tally->differing += k.differs;
    if (k.differs)
        cross_count(k.tally->failed, program_name_at(&k.program, place()));
    k.most_shown -= k.differs && k.most_shown;
}

static bool check(CrossTally *tally, ProgramMode mode, uint64_t count, uint64_t seed, unsigned most_shown)
{
    g_autoptr(GError) err = NULL;
    memset(&k, 0, sizeof(k));
    k.tally = tally;
    tally->share = 50;
    k.mode = mode;
    k.most_shown = most_shown;
    k.kvm = bare_kvm_new("kernel-irqchip=off", "max", RAM_BYTES);
    k.avx = bare_kvm_add_avx(k.kvm) && __builtin_cpu_supports("avx");
    add_device(k.kvm->machine, &k.of_kvm);
    if (!kvm_put_state(k.kvm->k, KVM_PUT_RESET, &err) || !kvm_get_state(k.kvm->k, &err))
        g_error("%s", err->message);
    sys_bare = x86_bare_new(true, RAM_BYTES);
    sys_cpu = sys_bare->s;
    add_device(sys_bare->machine, &k.of_jit);
    if (mode == PROGRAM_USER)
        probe();
    ProgramPlaces places = { mode, DATA, mode == PROGRAM_REAL ? 0 : CS32, DS32, CODE, k.avx };
    for (uint64_t i = 0; i < count; i++) {
        k.seed = seed + i;
        k.shows = k.most_shown;
        program_make(&k.program, &places, k.seed);
        run_program();
    }
    x86_bare_free(sys_bare);
    bare_kvm_free(k.kvm);
    return true;
}

bool cross_kernel(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown)
{
    return check(tally,
                 bits == 16   ? PROGRAM_REAL
                 : bits == 32 ? PROGRAM_PROTECTED
                              : PROGRAM_LONG,
                 count, seed, most_shown);
}

bool cross_sequence(CrossTally *tally, unsigned bits, uint64_t count, uint64_t seed, unsigned most_shown)
{
    return check(tally, PROGRAM_USER, count, seed, most_shown);
}
