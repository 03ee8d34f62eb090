/*
 * Single steps, breakpoints on code, data and ports, RF, DR6 and DR7, what follows mov ss and sti, alignment checks,
 * NMI (SDM volume 3, chapter 19 and sections 7.8.1, 7.8.3 and 7.13).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

enum { TF = 0x100, RF = 0x10000, ALIGN = 0x40000, BS = 0x4000, BD = 0x2000, NO_HITS = 0xffff0ff0 };
static uint32_t memory[64] __attribute__((aligned(64)));

static void set_dr(uint32_t dr0, uint32_t dr7)
{
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr6; mov %2, %%dr7" : : "r"(dr0), "r"(NO_HITS), "r"(dr7 | 0x400));
}

/* Expect #DB at code + offset with these bits in DR6. */
static void traps(const char *what, Context *c, uint32_t offset, uint32_t dr6)
{
    uint32_t code = c->ip;
    expect(what, go(c), DB);
    expect("ip", c->ip - code, offset);
    expect("DR6", got_dr6 ^ NO_HITS, dr6);
    __asm__ volatile("mov %0, %%dr6" : : "r"(NO_HITS));
}

static void test_steps(void)
{
    group("single steps");
    set_dr(0, 0);
    Context c = user(CODE32("nop; nop"));
    c.flags |= TF;
    traps("nop", &c, 1, BS);
    expect("TF in the frame", c.flags & TF, TF);
    c = user(CODE32("jmp 1f; nop; nop; 1: nop"));
    c.flags |= TF;
    traps("jump", &c, 4, BS);
    c = user(CODE32("rep movsb"));
    c.flags |= TF;
    c.si = c.di = (uint32_t)memory;
    c.cx = 3;
    traps("rep: first", &c, 0, BS);
    expect("rep: count", c.cx, 2);
    c = user(CODE32("rep movsb"));
    c.flags |= TF;
    c.cx = 1;
    c.si = c.di = (uint32_t)memory;
    traps("rep: last", &c, 2, BS);
    c = user(CODE32("push %%ebx; popf; nop; nop"));
    c.bx = TF | 2;
    traps("popf sets it", &c, 3, BS);
    c = user(CODE32("pushf; andl $~0x100, (%%esp); popf; nop"));
    c.ip += 8;
    c.sp -= 4;
    *(uint32_t *)c.sp = 2;
    c.flags |= TF;
    traps("popf clears it", &c, 1, BS);
    c = kernel(CODE32("mov %%bx, %%ss; nop; nop"));
    c.bx = KDATA;
    c.flags |= TF;
    traps("mov ss", &c, 3, BS);
    c = kernel(CODE32("push %%ebx; pop %%ss; nop; nop"));
    c.ip += 1;
    c.sp -= 4;
    *(uint32_t *)c.sp = KDATA;
    c.flags |= TF;
    traps("pop ss", &c, 2, BS);
    c = kernel(CODE32("mov %%bx, %%ds; nop"));
    c.bx = KDATA;
    c.flags |= TF;
    traps("mov ds", &c, 2, BS);
    c = user(CODE32("int3"));
    c.flags |= TF;
    expect("int3", go(&c), BP);
    c = user(CODE32("ud2"));
    c.flags |= TF;
    ends("a fault goes first", &c, UD);
    expect("RF", c.flags & RF, RF);
    c = user(CODE32("cpuid; nop"));
    c.flags |= TF;
    traps("cpuid", &c, 2, BS);
    c = user(CODE32("call 1f; 1: nop"));
    c.flags |= TF;
    traps("call", &c, 5, BS);
    c = user(CODE32("int $0x20"));
    expect("RF of int", (go(&c), c.flags & RF), 0);
}

static void test_code(void)
{
    uint32_t code = CODE32("nop; inc %%ebx; inc %%ebx");
    group("breakpoints on code");
    for (unsigned k = 0; k < 2; k++) {
        set_dr(code + 1, k ? 2 : 1);
        Context c = user(code);
        traps("at the instruction", &c, 1, 1);
        expect("before it", c.bx, 0);
        c.vector = 0;
        c.flags |= RF;
        expect("RF goes over it", go(&c), DONE);
        expect("once", c.bx, 2);
    }
    code = CODE32("mov $1, %%ebx; nop");
    set_dr(code + 1, 1);
    Context c = user(code);
    ends("inside an instruction", &c, DONE);
    code = CODE32("mov %%bx, %%ss; nop; nop");
    set_dr(code + 2, 1);
    c = kernel(code);
    c.bx = KDATA;
    ends("behind mov ss", &c, DONE);
    code = CODE32("rep movsb; nop");
    set_dr(code, 1);
    c = user(code);
    c.cx = 3;
    c.si = c.di = (uint32_t)memory;
    c.flags |= RF;
    ends("RF lasts for a whole rep", &c, DONE);
    set_dr(0, 0);
}

static void test_data(void)
{
    uint32_t at = (uint32_t)(memory + 4);
    uint32_t load = CODE32("mov (%%ebx), %%eax; nop"), store = CODE32("mov %%eax, (%%ebx); nop");
    group("breakpoints on data");
    for (unsigned len = 0; len < 4; len++) {
        if (len == 2)
            continue; /* 8 bytes: of 64-bit processors */
        for (unsigned kind = 1; kind < 4; kind += 2) {
            set_dr(at, 2 | kind << 16 | len << 18);
            for (int offset = -4; offset <= (int)len + 1; offset++) {
                bool hit = offset + 4 > 0 && offset <= (int)len;
                Context c = user(store);
                c.bx = at + (uint32_t)offset;
                if (hit)
                    traps("store", &c, 2, 1);
                else
                    ends("store", &c, DONE);
                c = user(load);
                c.bx = at + (uint32_t)offset;
                if (hit && kind == 3)
                    traps("load", &c, 2, 1);
                else
                    ends("load", &c, DONE);
            }
        }
    }
    set_dr(at, 2 | 3 << 16 | 3 << 18);
    Context c = user(CODE32("addl $1, (%%ebx); nop"));
    c.bx = at;
    traps("read-modify-write", &c, 3, 1);
    c = user(CODE32("push (%%ebx); nop"));
    c.bx = at;
    traps("push", &c, 2, 1);
    c = user(CODE32("rep stosl; nop"));
    c.di = at - 4;
    c.cx = 3;
    traps("string", &c, 0, 1);
    expect("string: count", c.cx, 1);
    c = user(CODE32("lock xaddl %%eax, (%%ebx); nop"));
    c.bx = at;
    traps("locked", &c, 4, 1);
    c = user(store);
    c.bx = at;
    c.flags |= TF;
    traps("with a step", &c, 2, 1 | BS);
    set_dr(0, 0);
    memory[4] = KDATA;
    c = kernel(CODE32("mov (%%ebx), %%ss; nop; nop"));
    set_dr(at, 2 | 3 << 16 | 3 << 18);
    c.bx = at;
    traps("mov ss", &c, 3, 1);
    set_dr(at, 2 | 3 << 16 | 3 << 18);
    c = user(CODE32("mov $4, %%ecx; 1: mov %%ecx, -4(%%ebx); loop 1b"));
    c.bx = at;
    ends("a loop beside it", &c, DONE);
    set_dr(0, 0);
}

static void test_registers(void)
{
    group("debug registers");
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x2400));
    Context c = kernel(CODE32("mov %%dr0, %%eax"));
    traps("GD", &c, 0, BD);
    uint32_t dr7;
    __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
    expect("GD is off", dr7, 0x400);
    c = kernel(CODE32(
        "mov %%eax, %%dr7; mov %%dr7, %%ebx; mov %%eax, %%dr6; mov %%dr6, %%ecx; mov %%edx, %%dr7; mov %%edx, %%dr6"));
    c.ax = 0xffffd0ff & ~0xff;
    c.dx = 0;
    ends("write", &c, DONE);
    expect("DR7", c.bx, 0xffffd400 & ~0x1000 & ~0xc000);
    expect("DR6", c.cx & 0xfffefff0, 0xfffedff0 & 0xffffcff0);
    c = kernel(CODE32("mov %%dr4, %%eax; mov %%dr5, %%ebx"));
    ends("DR4 is DR6", &c, DONE);
    expect("DR5 is DR7", c.bx, 0x400);
    write_cr4(8);
    c = kernel(CODE32("mov %%dr4, %%eax"));
    ends("DR4 with DE", &c, UD);
    /* ports */
    set_dr(0x80, 2 | 2 << 16);
    c = kernel(CODE32("out %%al, $0x80; nop"));
    traps("out", &c, 2, 1);
    c = kernel(CODE32("in $0x80, %%al; nop"));
    traps("in", &c, 2, 1);
    c = kernel(CODE32("in $0x81, %%al; nop"));
    ends("another port", &c, DONE);
    c = kernel(CODE32("in $0x7f, %%ax; nop"));
    traps("word", &c, 3, 1);
    c = kernel(CODE32("rep outsb; nop"));
    c.dx = 0x80;
    c.cx = 2;
    c.si = (uint32_t)memory;
    traps("string", &c, 0, 1);
    expect("string: count", c.cx, 1);
    set_dr(0, 0);
    c = kernel(CODE32("out %%al, $0x80; nop"));
    ends("off", &c, DONE);
    write_cr4(0);
}

static void test_alignment(void)
{
    uint32_t load4 = CODE32("mov (%%ebx), %%eax"), load2 = CODE32("mov (%%ebx), %%ax"),
             load1 = CODE32("mov (%%ebx), %%al");
    group("alignment");
    write_cr0(read_cr0() | 1 << 18);
    for (unsigned offset = 0; offset < 4; offset++) {
        for (unsigned k = 0; k < 2; k++) {
            Context c = user(load4);
            c.flags |= k ? ALIGN : 0;
            c.bx = (uint32_t)memory + offset;
            ends("4 bytes", &c, k && offset ? EVENT(AC, 0) : DONE);
            c = user(load2);
            c.flags |= k ? ALIGN : 0;
            c.bx = (uint32_t)memory + offset;
            ends("2 bytes", &c, k && offset & 1 ? EVENT(AC, 0) : DONE);
            c = user(load1);
            c.flags |= k ? ALIGN : 0;
            c.bx = (uint32_t)memory + offset;
            ends("1 byte", &c, DONE);
            c = kernel(load4);
            c.flags |= k ? ALIGN : 0;
            c.bx = (uint32_t)memory + offset;
            ends("level 0", &c, DONE);
        }
    }
    Context c = user(CODE32("push %%eax"));
    c.flags |= ALIGN;
    c.sp -= 2;
    ends("push", &c, EVENT(AC, 0));
    c = user(CODE32("lock addl %%eax, (%%ebx)"));
    c.flags |= ALIGN;
    c.bx = (uint32_t)memory + 1;
    ends("locked", &c, EVENT(AC, 0));
    c = user(CODE32("mov %%eax, (%%ebx)"));
    c.flags |= ALIGN;
    c.bx = (uint32_t)memory + 2;
    ends("store", &c, EVENT(AC, 0));
    c = user(CODE32("fldl (%%ebx)"));
    c.flags |= ALIGN;
    c.bx = (uint32_t)memory + 4;
    ends("8 bytes", &c, EVENT(AC, 0));
    write_cr0(read_cr0() & ~(1u << 18));
    c = user(load4);
    c.flags |= ALIGN;
    c.bx = (uint32_t)memory + 1;
    ends("without AM", &c, DONE);
}

void test_debug(void)
{
    test_steps();
    test_code();
    test_data();
    test_registers();
    test_alignment();
}
