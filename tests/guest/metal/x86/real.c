/*
 * Real mode: segments of 64 KiB, their limits, the interrupt table, big real mode, what is not allowed there (SDM
 * volume 3, chapter 21).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

extern const uint8_t real_code[], real_end[], real_trap[];
void run_real(void);
enum { BASE = 0x20000 }; /* where tests' segments are */

static volatile uint8_t *low(uint32_t at)
{
    __asm__("" : "+r"(at));
    return (volatile uint8_t *)at;
}
static void put16(uint32_t at, uint16_t value)
{
    *(volatile uint16_t *)low(at) = value;
}
static void put32(uint32_t at, uint32_t value)
{
    *(volatile uint32_t *)low(at) = value;
}
static uint16_t get16(uint32_t at)
{
    return *(volatile uint16_t *)low(at);
}

static void set_up(void)
{
    for (uint32_t i = 0; i < (uint32_t)(real_end - real_code); i++)
        *low(0x1000 + i) = real_code[i];
    for (unsigned n = 0; n < 256; n++) {
        put32(4 * n, 0x1200 + 3 * n);
        *low(0x1200 + 3 * n) = 0xe8;
        put16(0x1201 + 3 * n, (uint16_t)(0x1000 + (real_trap - real_code) - (0x1203 + 3 * n)));
    }
    put16(0xa00, sizeof(gdt) - 1);
    put32(0xa02, (uint32_t)gdt);
}

/* The piece of code is put at ip of segment BASE. */
static Context at(uint32_t code, uint16_t ip)
{
    for (uint32_t i = 0; i < 128; i++)
        *low(BASE + (ip + i)) = ((const uint8_t *)code)[i];
    return (Context){ .ip = ip,
                      .cs = BASE / 16,
                      .flags = 2,
                      .sp = 0x8000,
                      .ss = 0x3000,
                      .ds = 0x4000,
                      .es = 0x5000,
                      .fs = 0x6000,
                      .gs = 0x7000 };
}

static uint32_t go_real(Context *c)
{
    set_up();
    c->v86_es = c->es;
    c->v86_ds = c->ds;
    c->v86_fs = c->fs;
    c->v86_gs = c->gs;
    for (unsigned i = 0; i < sizeof(*c) / 4; i++) {
        put32(0x800 + 4 * i, ((uint32_t *)c)[i]);
        put32(0x900 + 4 * i, 0);
    }
    run_real();
    for (unsigned i = 0; i < sizeof(*c) / 4; i++)
        ((uint32_t *)c)[i] = *(volatile uint32_t *)low(0x900 + 4 * i);
    c->vector = (c->vector - 0x1203) / 3;
    return c->vector;
}

static void ends_real(const char *what, Context *c, uint32_t vector)
{
    uint32_t ip = c->ip;
    expect(what, go_real(c), vector);
    if (vector != DONE && c->vector == vector)
        expect(what, c->ip, ip);
}

static void test_limits(void)
{
    group("real mode");
    Context c = at(CODE16("mov %%eax, (%%bx)"), 0x100);
    c.ax = 0x12345678;
    c.bx = 0xfffc;
    ends_real("the last word", &c, DONE);
    expect("it was written", *(volatile uint32_t *)low(0x4fffc), 0x12345678);
    c = at(CODE16("mov %%eax, (%%bx)"), 0x100);
    c.bx = 0xfffd;
    ends_real("across the end", &c, GP);
    c = at(CODE16("mov (%%bx), %%ax"), 0x100);
    c.bx = 0xffff;
    ends_real("word at ffff", &c, GP);
    c = at(CODE16("mov (%%bx), %%al"), 0x100);
    c.bx = 0xffff;
    ends_real("byte at ffff", &c, DONE);
    c = at(CODE16("mov 1(%%bx), %%al"), 0x100);
    c.bx = 0xffff;
    *low(0x40000) = 0x5a;
    ends_real("16-bit addresses wrap", &c, DONE);
    expect("to 0", c.ax & 0xff, 0x5a);
    c = at(CODE16("mov (%%ebx), %%al"), 0x100);
    c.bx = 0x10000;
    ends_real("32-bit addresses do not", &c, GP);
    c = at(CODE16("mov %%ss:(%%bx), %%ax"), 0x100);
    c.bx = 0xffff;
    ends_real("limit of SS", &c, SS);
    c = at(CODE16("push %%ax"), 0x100);
    c.ax = 0x4321;
    c.sp = 0;
    ends_real("push at 0", &c, DONE);
    expect("push at 0: SP", c.sp, 0xfffe);
    expect("push at 0: value", get16(0x3fffe), 0x4321);
    c = at(CODE16("pop %%ax; mov $0x8000, %%sp"), 0x100);
    c.sp = 0xfffe;
    c.ss = 0x3000;
    put16(0x3fffe, 0x6789);
    ends_real("pop at fffe", &c, DONE);
    expect("pop at fffe: value", c.ax & 0xffff, 0x6789);
    c = at(CODE16("mov %%cs:(0x20), %%al; mov %%al, %%cs:(0x21)"), 0x100);
    *low(BASE + 0x20) = 0x77;
    ends_real("CS may be written", &c, DONE);
    expect("and was", *low(BASE + 0x21), 0x77);
    c = at(CODE16("mov $0xf800, %%cx; mov $0xffff, %%si; mov $0, %%di; mov $2, %%cx; rep movsb"), 0x100);
    *low(0x4ffff) = 0x11;
    *low(0x40000) = 0x22;
    ends_real("string wraps", &c, DONE);
    expect("string: bytes", get16(0x50000), 0x2211);
    expect("string: SI", c.si & 0xffff, 1);
    c = at(CODE16("rep movsw"), 0x100);
    c.si = 0xfffd;
    c.cx = 3;
    expect("string across the end", go_real(&c), GP);
    expect("its SI", c.si & 0xffff, 0xffff);
    expect("its CX", c.cx & 0xffff, 2);
    expect("its IP", c.ip, 0x100);
    /* code at the end of the segment */
    c = at(CODE16("nop"), 0xfffd); /* nop; int 20h at fffe */
    ends_real("code up to the end", &c, DONE);
    c = at(CODE16("nop"), 0xfffe);
    expect("code across the end", go_real(&c), GP);
    expect("code across the end: ip", c.ip, 0xffff);
    c = at(CODE16("nop; nop"), 0xfffe);
    expect("code beyond the end", go_real(&c), GP);
    c = at(CODE16("jmp 1f; .skip 16; 1: nop"), 0xfff0);
    for (unsigned i = 0; i < 32; i++)
        *low(BASE + i) = *low(BASE + 0x10000 + i);
    ends_real("jump wraps", &c, DONE);
    expect("jump wraps: ip", c.ip, 0xfff0 + 2 + 16 + 1 + 2 - 0x10000);
    c = at(CODE16("mov $0x10000, %%eax; .byte 0x66, 0xff, 0xe0"), 0x100);
    expect("32-bit jump beyond", go_real(&c), GP);
    expect("32-bit jump beyond: ip", c.ip, 0x106);
}

static void test_others(void)
{
    Context c = at(CODE16("int $0x77"), 0x100);
    c.flags = 0x202 | 0xcd5;
    expect("int", go_real(&c), 0x77);
    expect("int: ip", c.ip, 0x102);
    expect("int: flags", c.flags, 0x202 | 0xcd5);
    c = at(CODE16("xor %%cx, %%cx; mov $1, %%ax; .byte 0xd4, 0"), 0x100);
    expect("aam 0", go_real(&c), DE);
    expect("aam 0: ip", c.ip, 0x105);
    static const struct {
        const char *name;
        uint8_t code[4];
    } undefined[] = {
        { "arpl", { 0x63, 0xc3 } },       { "lldt", { 0x0f, 0x00, 0xd0 } }, { "ltr", { 0x0f, 0x00, 0xd8 } },
        { "sldt", { 0x0f, 0x00, 0xc0 } }, { "str", { 0x0f, 0x00, 0xc8 } },  { "verr", { 0x0f, 0x00, 0xe0 } },
        { "verw", { 0x0f, 0x00, 0xe8 } }, { "lar", { 0x0f, 0x02, 0xc0 } },  { "lsl", { 0x0f, 0x03, 0xc0 } },
        { "mov cs", { 0x8e, 0xc8 } },     { "lock nop", { 0xf0, 0x90 } },   { "les r", { 0xc4, 0xc0 } },
        { "rsm", { 0x0f, 0xaa } },
    };
    for (unsigned i = 0; i < sizeof(undefined) / sizeof(undefined[0]); i++) {
        c = at((uint32_t)undefined[i].code, 0x100);
        ends_real(undefined[i].name, &c, UD);
    }
    c = at(CODE16("sysenter"), 0x100);
    ends_real("sysenter", &c, GP);
    c = at(CODE16("lcall $0x2000, $0x140; .skip 0x3b; 1: mov %%cs, %%ax"), 0x100);
    ends_real("far call", &c, DONE);
    expect("far call: CS on the stack", get16(0x37ffe), 0x2000);
    expect("far call: IP on the stack", get16(0x37ffc), 0x105);
    /* big real mode: 4 GiB limits stay when PE is cleared */
    gdt[T / 8] = descriptor(0, 0xfffff, DATA, GRANULAR);
    c = at(CODE16("lgdtl %%cs:0x80; mov %%cr0, %%eax; or $1, %%al; mov %%eax, %%cr0; mov $0x80, %%bx; mov %%bx, %%ds;"
                  "and $0xfe, %%al; mov %%eax, %%cr0; mov $0x1000, %%bx; mov %%bx, %%ds; mov (%%ecx), %%edx"),
           0x100);
    put16(BASE + 0x80, sizeof(gdt) - 1);
    put32(BASE + 0x82, (uint32_t)gdt);
    static uint32_t far_away = 0x89abcdef;
    c.cx = (uint32_t)&far_away - 0x10000;
    ends_real("big real mode", &c, DONE);
    expect("big real mode: value", c.dx, 0x89abcdef);
    /* the interrupt table's limit */
    c = at(CODE16("lidtl %%cs:0x90; int $0x21; nop"), 0x100);
    put16(BASE + 0x90, 0x21 * 4 + 2);
    put32(BASE + 0x92, 0);
    expect("beyond the interrupt table", go_real(&c), GP);
    expect("beyond the interrupt table: ip", c.ip, 0x107);
    /* single step, and DS at the top: A20 */
    c = at(CODE16("nop"), 0x100);
    c.flags = 0x102;
    expect("TF", go_real(&c), DB);
    expect("TF: ip", c.ip, 0x101);
    uint8_t port92 = in8(0x92);
    *low(0x500) = 0x11;
    uint8_t keep = *low(0x100500);
    *low(0x100500) = 0x22;
    c = at(
        CODE16(
            "mov %%bl, %%al; out %%al, $0x92; mov (0x510), %%cl; mov %%bh, %%al; out %%al, $0x92; mov (0x510), %%ch"),
        0x100);
    c.ds = 0xffff;
    c.bx = (port92 & ~3u) | ((port92 & ~1u) | 2) << 8;
    ends_real("port 92", &c, DONE);
    expect("A20 off, on", c.cx & 0xffff, 0x2211);
    *low(0x100500) = keep;
}

void test_real(void)
{
    test_limits();
    test_others();
}
