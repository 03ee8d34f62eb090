/*
 * What a processor does with a PC's devices, without an operating system: ports and registers in memory by accesses of
 * all sizes, interrupts by every way there is, timers, HLT, other processors, both privilege levels, resets, power-off.
 * The same program for every accelerator, in 32 and in 64 bits, for -M pc. Writes "ok NAME", "not ok NAME: ..." or
 * "skip NAME: WHY" for each check to port 0xe9. Words of its command line:
 *
 *   lenient                        skip what kernels that emulate the processor do in another way
 *   screen                         only test_screen
 *   unplug                         only test_unplug
 *   internal-error, triple-fault   only that, to see what the emulator does then
 *
 * SPDX-License-Identifier: MIT
 */
#include "pc.h"

volatile uint32_t counts[256];
void (*volatile hooks[256])(void);
bool x2apic, lenient;

/* ---- output ---- */

void put(const char *s)
{
    while (*s)
        outb(DEBUG, (uint8_t)*s++);
}

static void put_hex(uint32_t v)
{
    for (int i = 28; i >= 0; i -= 4)
        outb(DEBUG, (uint8_t) "0123456789abcdef"[v >> i & 15]);
}

void check(const char *name, uint32_t got, uint32_t wanted)
{
    put(got == wanted ? "ok " : "not ok ");
    put(name);
    if (got != wanted) {
        put(": ");
        put_hex(got);
        put(", not ");
        put_hex(wanted);
    }
    put("\n");
}

void skip(const char *name, const char *why)
{
    put("skip ");
    put(name);
    put(": ");
    put(why);
    put("\n");
}

/* ---- the command line (Multiboot 0.6.96, 3.3) ---- */

bool option(const char *name)
{
    const char *s = REG32(multiboot_info) & 4 ? (const char *)(Word)REG32(multiboot_info + 16) : "";
    while (*s) {
        const char *n = name;
        while (*n && *s == *n)
            s++, n++;
        if (!*n && (!*s || *s == ' '))
            return true;
        while (*s && *s != ' ')
            s++;
        while (*s == ' ')
            s++;
    }
    return false;
}

/* ---- exceptions and interrupts ---- */

void handle(unsigned vector, const Word *frame);
void handle(unsigned vector, const Word *frame)
{
    if (vector < 0x20 && vector != V_NMI) {
        check("unexpected exception", vector, 0x100);
        for (unsigned i = 0; i < 5; i++)
            check("  its frame", (uint32_t)frame[i], 0);
        outb(END, 0x11);
    }
    __atomic_fetch_add(&counts[vector], 1, __ATOMIC_SEQ_CST);
    if (hooks[vector])
        hooks[vector]();
    if (vector >= 0x20 && vector < 0x30) {
        if (vector >= 0x28)
            outb(PIC1, 0x20);
        outb(PIC0, 0x20);
    } else if (vector >= 0x30 && vector < V_SYSTEM) {
        if (x2apic)
            write_msr(0x80b, 0);
        else
            REG32(APIC + 0xb0) = 0;
    }
}

static struct {
    uint16_t low, selector, flags, middle;
#ifdef __x86_64__
    uint32_t high, zero;
#endif
} idt[256];
static uint32_t tss[26];

void set_gate(unsigned vector, Word to, uint16_t flags)
{
    idt[vector].low = (uint16_t)to;
    idt[vector].middle = (uint16_t)(to >> 16);
    idt[vector].flags = flags;
#ifdef __x86_64__
    idt[vector].selector = 0x18;
    idt[vector].high = 0;
#else
    idt[vector].selector = 0x08;
#endif
}

void load_idt(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } pointer = { sizeof(idt) - 1, (Word)idt };
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void make_tables(void)
{
    Word base = (Word)tss;
    for (unsigned n = 0; n < 256; n++)
        set_gate(n, (Word)entries + 16 * n, n >= V_SYSTEM ? 0xee00 : 0x8e00);
    set_gate(V_BACK, (Word)user_return, 0xee00);
    load_idt();
    tss[1] = (uint32_t)(Word)level0_stack_top; /* esp0, rsp0 */
    tss[2] = sizeof(Word) == 4 ? 0x10 : 0;
    gdt[7] = 0x0000890000000067ull | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(base >> 24 & 0xff) << 56;
    __asm__ volatile("ltr %w0" : : "r"(0x38));
}

/* ---- */

static void fail_on_purpose(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } none = { 0, 0 };
    put("now\n");
    if (option("internal-error")) /* an instruction where there is neither memory nor a device */
        __asm__ volatile("jmp *%0" : : "r"((Word)0xf0000000u));
    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

void main(void);
void main(void)
{
    lenient = option("lenient");
    make_tables();
    if (option("internal-error") || option("triple-fault"))
        fail_on_purpose();
    if (option("screen")) {
        test_screen();
        outb(END, 0x10);
    }
    if (option("unplug")) {
        test_unplug();
        put("end\n");
        outb(END, 0x10);
        for (;;) /* the end comes a little later */
            __asm__ volatile("cli; hlt");
    }
    unsigned stage = power_stage();
    if (stage) {
        test_again();
    } else {
        test_io();
        test_interrupts();
        test_timers();
        test_virtio();
        test_user();
    }
    test_processors();
    test_x2apic();
    power_next(stage);
}
