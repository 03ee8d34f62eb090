/*
 * Instructions that are executed in place of the kernel (kvm_emulate): what they do to registers, memory, dirty logs
 * and devices, what they raise, what a debugger sees of them, and that nothing of one is left for the next. Which the
 * kernel at hand cannot emulate does not matter: the vCPU is put in front of one, and not entered.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "accel/vcpu.h"
#include "bare_kvm.h"
#include <string.h>
#include <time.h>

enum { RAM_BYTES = 1 << 20, GDT = 0x500, IDT = 0x600, TSS = 0x700, CODE = 0x1000, HANDLER = 0x1100, PAGES = 0x2000 };
enum { STACK = 0x9000, USER_STACK = 0xa000, DATA = 0xb000, DEVICE = 0x200000, PORT = 0x500 };
enum { CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x1b, DATA3 = 0x23, TASK = 0x28, CODE64 = 0x30, IOPL3 = 3 << 12 };

static BareKvm *b;
static MemRegion device, ports;
static struct {
    unsigned count, size;
    uint64_t offset, value;
} seen;

/* ---- devices ---- */

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x1122334455667788;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    seen.count++;
    seen.size = size;
    seen.offset = offset;
    seen.value = value;
}
static const MemOps device_ops = { .read = device_read, .write = device_write };

/* ---- a vCPU at CODE, in 32 bits ---- */

static void put_gate(unsigned vector, unsigned level, bool present)
{
    uint32_t gate[2] = { CODE0 << 16 | HANDLER, (present ? 0x8e00 : 0x0e00) | level << 13 };
    memcpy(b->host + IDT + 8 * vector, gate, sizeof(gate));
}

static void put_word(uint32_t address, uint32_t value)
{
    memcpy(b->host + address, &value, 4);
}

static uint32_t word(uint64_t address)
{
    uint32_t value;
    memcpy(&value, b->host + address, 4);
    return value;
}

static void put_tables(void)
{
    static const uint64_t gdt[] = { 0,
                                    0x00cf9b000000ffff,
                                    0x00cf93000000ffff,
                                    0x00cffb000000ffff,
                                    0x00cff3000000ffff,
                                    0x00008b0000000067 | (uint64_t)TSS << 16,
                                    0x00af9b000000ffff };
    memcpy(b->host + GDT, gdt, sizeof(gdt));
    for (unsigned vector = 0; vector < 32; vector++)
        put_gate(vector, 0, true);
    put_word(TSS + 4, STACK);
    put_word(TSS + 8, DATA0);
}

static void put_code(const char *code, size_t bytes)
{
    memcpy(b->host + CODE, code, bytes);
}
#define PUT_CODE(code) put_code(code, sizeof(code) - 1)

/* The kernel has what b->s says. */
static void give(void)
{
    g_autoptr(GError) err = NULL;
    x86_mode_changed(b->s);
    if (!kvm_put_state(b->k, KVM_PUT_CHANGES, &err))
        g_error("%s", err->message);
    b->k->state_here = false;
}

static void look(void)
{
    b->machine->accel->vcpu_read_state(b->vcpu);
}

static void user_segments(void)
{
    for (unsigned i = 0; i < 6; i++) {
        b->s->segment[i].selector = i == X86_CS ? CODE3 : DATA3;
        b->s->segment[i].attributes |= 3 << DESC_DPL_SHIFT;
    }
    b->s->gpr[RSP] = USER_STACK;
}

static void begin_at(const X86Entry *entry, const char *irqchip)
{
    g_autoptr(GError) err = NULL;
    b = bare_kvm_new(irqchip, "max", RAM_BYTES);
    machine_lock(b->machine);
    mem_io_init(&device, b->machine, "device", 4096, &device_ops, NULL);
    mem_add(&b->machine->root, DEVICE, &device, 0);
    mem_io_init(&ports, b->machine, "ports", 8, &device_ops, NULL);
    b->machine->io_root.size = 1 << 16;
    mem_add(&b->machine->io_root, PORT, &ports, 0);
    x86_set_entry(&b->s->cs, entry);
    machine_reset(b->machine);
    machine_unlock(b->machine);
    put_tables();
    if (!kvm_put_state(b->k, KVM_PUT_RESET, &err))
        g_error("%s", err->message);
    b->s->idt = (X86Table){ IDT, 32 * 8 - 1 };
    b->s->tr = (X86SegmentReg){ .base = TSS, .limit = 0x67, .selector = TASK, .attributes = DESC_P | GATE_TSS_BUSY };
    memset(&seen, 0, sizeof(seen));
}

static void begin(const char *irqchip)
{
    static const X86Entry entry = {
        .bits = 32, .cs = CODE0, .ds = DATA0, .rip = CODE, .rsp = STACK, .gdt_base = GDT, .gdt_limit = 0x37
    };
    begin_at(&entry, irqchip);
}

static void finish(void)
{
    bare_kvm_free(b);
}

/* One instruction, and what the kernel has then. */
static void step(void)
{
    g_autoptr(GError) err = NULL;
    uint64_t before = b->k->emulated;
    if (!kvm_emulate(b->k, &err))
        g_error("%s", err->message);
    g_assert_cmpuint(b->k->emulated, ==, before + 1);
    look();
}

/* ---- tests ---- */

/* To a handler and back; the frame is in memory that a display watches. */
static void test_interrupt(void)
{
    uint8_t dirty[RAM_BYTES / 4096];
    begin("kernel-irqchip=off");
    machine_lock(b->machine);
    mem_log_start(&b->ram);
    mem_log_take(&b->ram, 0, RAM_BYTES, dirty);
    g_assert_false(mem_log_take(&b->ram, 0, RAM_BYTES, dirty));
    machine_unlock(b->machine);
    PUT_CODE("\xcd\x10"); /* int 0x10 */
    b->s->eflags |= FLAG_IF;
    give();
    step();
    g_assert_cmphex(b->s->cs.pc, ==, HANDLER);
    g_assert_cmphex(b->s->gpr[RSP], ==, STACK - 12);
    g_assert_cmphex(word(STACK - 12), ==, CODE + 2);
    g_assert_cmphex(word(STACK - 8), ==, CODE0);
    g_assert_true(word(STACK - 4) & FLAG_IF);
    g_assert_false(b->s->eflags & FLAG_IF);
    machine_lock(b->machine);
    g_assert_true(mem_log_take(&b->ram, 0, RAM_BYTES, dirty));
    for (unsigned i = 0; i < G_N_ELEMENTS(dirty); i++)
        g_assert_cmpuint(dirty[i] != 0, ==, i == (STACK - 12) / 4096);
    machine_unlock(b->machine);
    b->host[HANDLER] = 0xcf; /* iret */
    give();
    step();
    g_assert_cmphex(b->s->cs.pc, ==, CODE + 2);
    g_assert_cmphex(b->s->gpr[RSP], ==, STACK);
    g_assert_true(b->s->eflags & FLAG_IF);
    for (unsigned i = 0; i < RAM_BYTES / 4096; i++) /* it has left no marks */
        g_assert_false(b->ram.page_flags[i] & (RAM_CODE | RAM_FAST_WRITES));
    finish();
}

/* iret to level 3, int back: both stacks. */
static void test_levels(void)
{
    static const uint32_t frame[] = { CODE, CODE3, FLAG_1 | IOPL3, USER_STACK, DATA3 };
    begin("kernel-irqchip=off");
    memcpy(b->host + STACK - sizeof(frame), frame, sizeof(frame));
    PUT_CODE("\xcd\x10");
    put_gate(0x10, 3, true);
    b->host[HANDLER] = 0xcf;
    b->s->cs.pc = HANDLER;
    b->s->gpr[RSP] = STACK - sizeof(frame);
    give();
    step();
    g_assert_cmphex(b->s->cs.pc, ==, CODE);
    g_assert_cmphex(b->s->segment[X86_CS].selector, ==, CODE3);
    g_assert_cmphex(b->s->segment[X86_SS].selector, ==, DATA3);
    g_assert_cmphex(b->s->gpr[RSP], ==, USER_STACK);
    give();
    step();
    g_assert_cmphex(b->s->cs.pc, ==, HANDLER);
    g_assert_cmphex(b->s->segment[X86_SS].selector, ==, DATA0);
    g_assert_cmphex(b->s->gpr[RSP], ==, STACK - sizeof(frame));
    g_assert_cmphex(word(STACK - 8), ==, USER_STACK);
    g_assert_cmphex(word(STACK - 20), ==, CODE + 2);
    finish();
}

/* A gate that is not there: its error code, to the handler of that. */
static void test_exception(void)
{
    begin("kernel-irqchip=off");
    PUT_CODE("\xcd\x10");
    put_gate(0x10, 0, false);
    give();
    step();
    g_assert_cmphex(b->s->cs.pc, ==, HANDLER);
    g_assert_cmphex(word(STACK - 16), ==, 0x10 * 8 + 2);
    g_assert_cmphex(word(STACK - 12), ==, CODE);
    finish();
}

/* The kernel's page tables are those of now: a fault says where, and what is mapped later is found. In 64 bits: there
 * are kernels that have pages in no other mode. */
static void test_pages(void)
{
    enum { LINEAR = 0x40000000, TABLE = 3, LARGE = 0x83, FRAME = STACK - 48 };
    static const X86Entry entry = { .bits = 64,
                                    .cs = CODE64,
                                    .ds = DATA0,
                                    .rip = CODE,
                                    .rsp = STACK,
                                    .cr3 = PAGES,
                                    .gdt_base = GDT,
                                    .gdt_limit = 0x37 };
    begin_at(&entry, "kernel-irqchip=off");
    put_word(PAGES, (PAGES + 0x1000) | TABLE);
    put_word(PAGES + 0x1000, (PAGES + 0x2000) | TABLE);
    put_word(PAGES + 0x2000, LARGE);
    put_word(IDT + 16 * VECTOR_PF, CODE64 << 16 | HANDLER);
    put_word(IDT + 16 * VECTOR_PF + 4, 0x8e00);
    put_word(IDT + 16 * VECTOR_PF + 8, 0);
    PUT_CODE("\xc7\x04\x25\x10\x00\x00\x40\x05\x00\x00\x00"); /* mov dword [LINEAR + 0x10], 5 */
    give();
    step();
    g_assert_cmphex(b->s->cs.pc, ==, HANDLER);
    g_assert_cmphex(b->s->cr2, ==, LINEAR + 0x10);
    g_assert_cmphex(b->s->gpr[RSP], ==, FRAME);
    g_assert_cmphex(word(FRAME), ==, PF_W);
    g_assert_cmphex(word(FRAME + 8), ==, CODE);
    put_word(PAGES + 0x1008, (PAGES + 0x3000) | TABLE);
    put_word(PAGES + 0x3000, (PAGES + 0x4000) | TABLE);
    for (unsigned n = 1; n <= 2; n++) { /* each time elsewhere */
        put_word(PAGES + 0x4000, (DATA + 0x1000 * n) | TABLE);
        put_word(CODE + 7, n);
        b->s->cs.pc = CODE;
        give();
        step();
        g_assert_cmphex(b->s->cs.pc, ==, CODE + 11);
        g_assert_cmphex(word(DATA + 0x1000 * n + 0x10), ==, n);
    }
    finish();
}

/* One access, as wide as the instruction's; at level 3 ports as IOPL allows. */
static void test_devices(void)
{
    begin("kernel-irqchip=on");
    PUT_CODE("\xa3\x08\x00\x20\x00"); /* mov [DEVICE + 8], eax */
    b->s->gpr[RAX] = 0x12345678;
    give();
    step();
    g_assert_cmpuint(seen.count, ==, 1);
    g_assert_cmpuint(seen.size, ==, 4);
    g_assert_cmphex(seen.offset, ==, 8);
    g_assert_cmphex(seen.value, ==, 0x12345678);
    PUT_CODE("\x66\xef\xec"); /* out dx, ax; in al, dx */
    user_segments();
    b->s->cs.pc = CODE;
    b->s->gpr[RDX] = PORT + 2;
    b->s->eflags |= IOPL3;
    give();
    step();
    g_assert_cmpuint(seen.count, ==, 2);
    g_assert_cmpuint(seen.size, ==, 2);
    g_assert_cmphex(seen.offset, ==, 2);
    g_assert_cmphex(seen.value, ==, 0x5678);
    step();
    g_assert_cmphex(b->s->gpr[RAX], ==, 0x12345688);
    g_assert_cmphex(b->s->cs.pc, ==, CODE + 3);
    finish();
}

static void expect_refused(const char *code, size_t bytes, const char *why)
{
    g_autoptr(GError) err = NULL;
    put_code(code, bytes);
    b->s->cs.pc = CODE;
    give();
    g_assert_false(kvm_emulate(b->k, &err));
    g_assert_nonnull(strstr(err->message, why));
    look();
    g_assert_cmphex(b->s->cs.pc, ==, CODE);
}

/* What the kernel alone has is not answered for it. */
static void test_refused(void)
{
    begin("kernel-irqchip=on");
    expect_refused("\x0f\x32", 2, "rdmsr");
    expect_refused("\x0f\x31", 2, "rdtsc");
    expect_refused("\xe6\x20", 2, "out at port 0x20");
    expect_refused("\xe5\x3f", 2, "in at port 0x3f");    /* four bytes, to the 8254's */
    expect_refused("\xa1\x20\x00\xe0\xfe", 5, "device"); /* the local APIC */
    expect_refused("\xa3\x00\x00\xc0\xfe", 5, "device"); /* the I/O APIC */
    finish();
}

static void stopped(Vcpu *vcpu, const DebugPoint *point, void *opaque)
{
    const DebugPoint **hit = opaque;
    *hit = point;
    seen.count++;
}

/* A debugger's step ends behind it; a watchpoint on what it writes is hit. */
static void test_debugger(void)
{
    const DebugPoint *hit = NULL, watch = { DEBUG_WRITE, DATA, 4 };
    DebugRequest requests[] = { { .step = true, .stopped = stopped, .opaque = &hit },
                                { .points = &watch, .count = 1, .stopped = stopped, .opaque = &hit } };
    begin("kernel-irqchip=off");
    PUT_CODE("\xa3\x00\xb0\x00\x00"); /* mov [DATA], eax */
    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        g_autoptr(GError) err = NULL;
        b->s->cs.pc = CODE;
        b->s->gpr[RAX] = i + 1;
        give();
        machine_lock(b->machine);
        if (!kvm_vcpu_debug(b->vcpu, &requests[i], &err))
            g_error("%s", err->message);
        machine_unlock(b->machine);
        give();
        step();
        g_assert_cmpuint(seen.count, ==, i + 1);
        g_assert_cmphex(word(DATA), ==, i + 1);
        g_assert_cmphex(b->s->cs.pc, ==, CODE + 5);
        g_assert_cmpuint(hit ? hit->address : 0, ==, i ? DATA : 0);
    }
    finish();
}

static void *count_up(void *opaque)
{
    enum { TIMES = 20000 };
    for (unsigned i = 0; i < TIMES; i++)
        __atomic_fetch_add((uint32_t *)opaque, 1, __ATOMIC_SEQ_CST);
    return GUINT_TO_POINTER(TIMES);
}

static uint64_t processor_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Locked, against who else has the memory; in a loop, without a look between. It also says what one costs. */
static void test_locked(void)
{
    enum { TIMES = 5000 };
    g_autoptr(GError) err = NULL;
    begin("kernel-irqchip=on");
    PUT_CODE("\xf0\xff\x05\x00\xb0\x00\x00\xeb\xf7"); /* lock inc dword [DATA]; jmp back */
    give();
    GThread *other = g_thread_new("other", count_up, b->host + DATA);
    uint64_t start = processor_time();
    for (unsigned i = 0; i < 2 * TIMES; i++)
        g_assert_true(kvm_emulate(b->k, &err));
    g_test_message("%.2f us each", (double)(processor_time() - start) / (2 * TIMES) / 1000);
    unsigned others = GPOINTER_TO_UINT(g_thread_join(other));
    g_assert_cmpuint(word(DATA), ==, TIMES + others);
    look();
    g_assert_cmphex(b->s->cs.pc, ==, CODE);
    finish();
}

/* A string instruction comes to its end, whatever pieces it is done in. */
static void test_string(void)
{
    begin("kernel-irqchip=off");
    PUT_CODE("\xf3\xa5\x90"); /* rep movsd */
    for (unsigned i = 0; i < 4096; i++)
        b->host[DATA + i] = (uint8_t)(i * 7);
    b->s->gpr[RSI] = DATA;
    b->s->gpr[RDI] = DATA + 0x2800;
    b->s->gpr[RCX] = 1024;
    give();
    while (b->s->cs.pc == CODE)
        step();
    g_assert_cmphex(b->s->cs.pc, ==, CODE + 2);
    g_assert_cmpuint(b->s->gpr[RCX], ==, 0);
    g_assert_cmpmem(b->host + DATA, 4096, b->host + DATA + 0x2800, 4096);
    finish();
}

/* The kernel has an interrupt for the guest that has not arrived. */
static void pend(unsigned vector)
{
    b->k->rest.events.interrupt.injected = 1;
    b->k->rest.events.interrupt.nr = (uint8_t)vector;
    give();
    b->k->rest.events.interrupt.injected = 0;
}

/* The guest was shut down: by an event that arrives when it is delivered here; for nothing that is known; by one that
 * finds no handler. */
static void test_shut_down(void)
{
    begin("kernel-irqchip=off");
    b->host[CODE] = 0x90;
    b->s->eflags |= FLAG_IF;
    pend(0x10);
    g_assert_true(kvm_deliver_again(b->k));
    look();
    g_assert_cmphex(b->s->cs.pc, ==, HANDLER);
    g_assert_cmphex(word(STACK - 12), ==, CODE);
    g_assert_false(b->k->rest.events.interrupt.injected);
    g_assert_false(b->k->broken);
    give();
    g_assert_false(kvm_deliver_again(b->k));
    look();
    b->s->idt.limit = 0;
    pend(0x10);
    g_assert_true(kvm_deliver_again(b->k));
    g_assert_true(b->k->broken);
    finish();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } tests[] = { { "interrupt", test_interrupt }, { "levels", test_levels },   { "exception", test_exception },
                  { "pages", test_pages },         { "devices", test_devices }, { "refused", test_refused },
                  { "debugger", test_debugger },   { "locked", test_locked },   { "string", test_string },
                  { "shut-down", test_shut_down } };
    int missing = bare_kvm_missing();
    g_test_init(&argc, &argv, NULL);
    if (missing)
        return missing;
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/kvm/emulate/%s", tests[i].name);
        g_test_add_func(path, tests[i].function);
    }
    return g_test_run();
}
