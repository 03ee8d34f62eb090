/*
 * Bare-metal tests of x86's modes: tables, output and the order of the groups (modes.h).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

uint64_t gdt[64], idt[256], ldt[16];
Tss tss, df_tss;
uint8_t user_stack[4096] __attribute__((aligned(16))), other_stack[4096] __attribute__((aligned(16)));
static uint8_t trap_stack[8192] __attribute__((aligned(16))), df_stack[4096] __attribute__((aligned(16)));

/* ---- output ---- */

static unsigned checks, wrong, wrong_before;
static const char *group_name;

static void put_char(char c)
{
    while (!(in8(0x3fd) & 0x20)) {
    }
    out8(0x3f8, (uint8_t)c);
}

void put_string(const char *text)
{
    while (*text)
        put_char(*text++);
}

void put_hex(uint32_t value)
{
    bool started = false;
    for (int shift = 28; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;
        started |= digit || !shift;
        if (started)
            put_char("0123456789abcdef"[digit]);
    }
}

static void end_group(void)
{
    if (!group_name)
        return;
    put_string(wrong == wrong_before ? "ok " : "failed ");
    put_string(group_name);
    put_string(" ");
    put_hex(checks);
    put_string("\n");
}

void group(const char *name)
{
    end_group();
    group_name = name;
    checks = 0;
    wrong_before = wrong;
}

void expect(const char *what, uint32_t value, uint32_t wanted)
{
    checks++;
    if (value == wanted)
        return;
    wrong++;
    put_string("not ok ");
    put_string(group_name);
    put_string(": ");
    put_string(what);
    put_string(": got ");
    put_hex(value);
    put_string(", wanted ");
    put_hex(wanted);
    put_string("\n");
}

/* ---- descriptors ---- */

uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

uint64_t gate(unsigned selector, uint32_t offset, unsigned access, unsigned parameters)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)parameters << 32 | (uint64_t)access << 40 |
           (uint64_t)(offset >> 16) << 48;
}

static void load_tables(void)
{
    struct {
        uint16_t limit;
        const void *base;
    } __attribute__((packed)) g = { sizeof(gdt) - 1, gdt }, i = { sizeof(idt) - 1, idt };
    gdt[1] = descriptor(0, 0xfffff, CODE, BIG | GRANULAR);
    gdt[2] = descriptor(0, 0xfffff, DATA, BIG | GRANULAR);
    gdt[3] = descriptor(0, 0xfffff, CODE | USER, BIG | GRANULAR);
    gdt[4] = descriptor(0, 0xfffff, DATA | USER, BIG | GRANULAR);
    gdt[5] = descriptor((uint32_t)&tss, sizeof(tss) - 1, 0x89, 0);
    gdt[6] = descriptor((uint32_t)ldt, sizeof(ldt) - 1, 0x82, 0);
    gdt[7] = descriptor((uint32_t)&df_tss, 103, 0x89, 0);
    gdt[8] = descriptor(0, 0xffff, CODE, 0);
    gdt[9] = descriptor(0, 0xffff, DATA, 0);
    tss.esp0 = (uint32_t)(trap_stack + sizeof(trap_stack));
    tss.ss0 = KDATA;
    tss.esp1 = tss.esp2 = (uint32_t)(other_stack + sizeof(other_stack));
    tss.map = offsetof(Tss, ports);
    for (unsigned n = 0; n < sizeof(tss.ports); n++)
        tss.ports[n] = 0xff;
    for (unsigned n = 0; n < 256; n++) /* the program may call those that no exception has */
        idt[n] = gate(KCODE, (uint32_t)stubs + 16 * n, n == DONE || n == BP || n == OF ? 0xee : 0x8e, 0);
    df_tss = (Tss){ .esp = (uint32_t)(df_stack + sizeof(df_stack)),
                    .ss = KDATA,
                    .ds = KDATA,
                    .es = KDATA,
                    .cs = KCODE,
                    .eip = (uint32_t)stubs + 16 * DF,
                    .eflags = 2 };
    __asm__ volatile("lgdt %0; lidt %1; ljmp $8, $1f; 1: mov %2, %%ds; mov %2, %%es; mov %2, %%ss; mov %2, %%fs;"
                     "mov %2, %%gs; ltr %3"
                     :
                     : "m"(g), "m"(i), "r"(KDATA), "r"((uint16_t)TSS)
                     : "memory");
}

/* ---- running ---- */

Context user(uint32_t code)
{
    return (Context){ .ip = code,
                      .cs = UCODE,
                      .flags = 2,
                      .sp = (uint32_t)(user_stack + sizeof(user_stack)),
                      .ss = UDATA,
                      .ds = UDATA,
                      .es = UDATA,
                      .fs = UDATA,
                      .gs = UDATA };
}

Context kernel(uint32_t code)
{
    return (Context){ .ip = code,
                      .cs = KCODE,
                      .flags = 2,
                      .sp = (uint32_t)(user_stack + sizeof(user_stack)),
                      .ss = KDATA,
                      .ds = KDATA,
                      .es = KDATA,
                      .fs = KDATA,
                      .gs = KDATA };
}

uint32_t go(Context *c)
{
    run(c);
    *c = got;
    return EVENT(c->vector, c->error);
}

void ends(const char *what, Context *c, uint32_t event)
{
    uint32_t ip = c->ip, happened = go(c);
    expect(what, happened, event);
    if (happened == event && (event & 0xff) != DONE && (event & 0xff) != DB)
        expect(what, c->ip, ip);
}

void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = (uint8_t)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

int main(void)
{
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
    load_tables();
    test_segments();
    test_gates();
    test_tasks();
    test_v86();
    test_real();
    test_debug();
    test_paging();
    test_system();
    end_group();
    put_string(wrong ? "failed\n" : "all passed\n");
    out32(0xf4, wrong ? 1 : 0);
    for (;;)
        __asm__ volatile("cli; hlt");
}
