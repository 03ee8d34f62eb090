/*
 * Call gates, far returns, interrupt gates, iret between levels, and what of it faults (SDM volume 3, chapters 6 and
 * 7).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

static struct {
    uint32_t offset;
    uint16_t selector;
} far_pointer;
enum { GATE = T, CODE1 = T + 8, STACK1 = T + 16, OTHER = T + 24, DATA1 = T + 32, HANDLER = 0x40 };

static uint32_t *const inner = (uint32_t *)(other_stack + sizeof(other_stack));

/* Descriptors of level 1 and a call gate to it. */
static void set_up(unsigned level, uint32_t target, unsigned access, unsigned parameters)
{
    gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0x9b | level << 5, BIG | GRANULAR);
    gdt[STACK1 / 8] = descriptor(0, 0xfffff, 0x93 | level << 5, BIG | GRANULAR);
    gdt[DATA1 / 8] = descriptor(0, 0xfffff, 0xb3, BIG | GRANULAR);
    gdt[GATE / 8] = gate(CODE1 | level, target, access, parameters);
    tss.ss1 = STACK1 | 1;
    tss.esp1 = (uint32_t)inner;
}

static Context caller(uint32_t code)
{
    Context c = user(code);
    far_pointer.offset = 0xdead;
    far_pointer.selector = GATE | 3;
    c.bx = (uint32_t)&far_pointer;
    return c;
}

static void test_call_gates(void)
{
    uint32_t call = CODE32("lcall *(%%ebx)"), jump = CODE32("ljmp *(%%ebx)"), target = CODE32("nop");
    group("call gates");
    set_up(1, target, 0xec, 2);
    Context c = caller(call);
    uint32_t *stack = (uint32_t *)c.sp;
    stack[-2] = 0x11111111;
    stack[-1] = 0x22222222;
    c.sp -= 8;
    uint32_t sp = c.sp;
    expect("to level 1", go(&c), DONE);
    expect("CS", c.cs, CODE1 | 1);
    expect("SS", c.ss, STACK1 | 1);
    expect("SP", c.sp, (uint32_t)inner - 24);
    expect("old SS", inner[-1], UDATA);
    expect("old SP", inner[-2], sp);
    expect("parameter 2", inner[-3], 0x22222222);
    expect("parameter 1", inner[-4], 0x11111111);
    expect("old CS", inner[-5], UCODE);
    expect("old IP", inner[-6], call + 2);
    set_up(1, target & 0xffff, 0xe4, 1); /* 16 bits */
    gdt[CODE1 / 8] = descriptor(target & 0xffff0000, 0xffff, 0xbb, BIG);
    c = caller(call);
    c.sp -= 8;
    stack[-2] = 0x33334444;
    expect("16-bit gate", go(&c), DONE);
    expect("16-bit gate: SP", c.sp, (uint32_t)inner - 10);
    expect("16-bit gate: old SS and SP", inner[-1], UDATA << 16 | (sp & 0xffff));
    expect("16-bit gate: parameter, CS", inner[-2], 0x44440000 | UCODE);
    expect("16-bit gate: IP", inner[-3] >> 16, (call + 2) & 0xffff);
    gdt[CODE1 / 8] = 0;
    set_up(3, target, 0xec, 3); /* the same level: nothing is copied */
    c = caller(call);
    sp = c.sp;
    expect("to the same level", go(&c), DONE);
    expect("same level: SP", c.sp, sp - 8);
    expect("same level: CS", c.cs, CODE1 | 3);
    c = caller(jump);
    expect("jump to the same level", go(&c), DONE);
    expect("jump: SP", c.sp, sp);
    set_up(1, target, 0xec, 0);
    c = caller(jump);
    ends("jump to another level", &c, EVENT(GP, CODE1));
    gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0x9f, BIG | GRANULAR);
    c = caller(call);
    expect("conforming", go(&c), DONE);
    expect("conforming: CS", c.cs, CODE1 | 3);
    c = caller(jump);
    expect("jump, conforming", go(&c), DONE);
}

static void test_gate_faults(void)
{
    uint32_t call = CODE32("lcall *(%%ebx)"), target = CODE32("nop");
    group("call gate faults");
    set_up(1, target, 0x8c, 0);
    Context c = caller(call);
    ends("DPL of the gate", &c, EVENT(GP, GATE));
    set_up(1, target, 0xac, 0);
    c = caller(call);
    ends("RPL against DPL of the gate", &c, EVENT(GP, GATE));
    set_up(1, target, 0x6c, 0);
    c = caller(call);
    ends("gate not present", &c, EVENT(NP, GATE));
    set_up(1, target, 0xec, 0);
    gdt[GATE / 8] = gate(3, target, 0xec, 0);
    c = caller(call);
    ends("null code segment", &c, EVENT(GP, 0));
    gdt[GATE / 8] = gate(STACK1, target, 0xec, 0);
    c = caller(call);
    ends("not a code segment", &c, EVENT(GP, STACK1));
    gdt[GATE / 8] = gate(sizeof(gdt) + 8, target, 0xec, 0);
    c = caller(call);
    ends("code beyond the table", &c, EVENT(GP, sizeof(gdt) + 8));
    set_up(1, target, 0xec, 0);
    gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0x3b, BIG | GRANULAR);
    c = caller(call);
    ends("code not present", &c, EVENT(NP, CODE1));
    set_up(1, target, 0xec, 0);
    gdt[CODE1 / 8] = descriptor(0, 0xf, 0xbb, BIG);
    c = caller(call);
    ends("target beyond the limit", &c, EVENT(GP, 0));
    set_up(1, target, 0xec, 0);
    tss.ss1 = 0;
    c = caller(call);
    ends("null SS", &c, EVENT(TS, 0));
    tss.ss1 = STACK1;
    c = caller(call);
    ends("RPL of SS", &c, EVENT(TS, STACK1));
    tss.ss1 = KDATA | 1;
    c = caller(call);
    ends("DPL of SS", &c, EVENT(TS, KDATA));
    tss.ss1 = CODE1 | 1;
    c = caller(call);
    ends("SS is code", &c, EVENT(TS, CODE1));
    tss.ss1 = (sizeof(gdt) + 16) | 1;
    c = caller(call);
    ends("SS beyond the table", &c, EVENT(TS, sizeof(gdt) + 16));
    set_up(1, target, 0xec, 0);
    gdt[STACK1 / 8] = descriptor(0, 0xfffff, 0x33, BIG | GRANULAR);
    c = caller(call);
    ends("SS not present", &c, EVENT(SS, STACK1));
    set_up(1, target, 0xec, 0);
    gdt[STACK1 / 8] = descriptor(0, 0xfffff, 0xb1, BIG | GRANULAR);
    c = caller(call);
    ends("SS read-only", &c, EVENT(TS, STACK1));
    set_up(1, target, 0xec, 0);
    gdt[STACK1 / 8] = descriptor((uint32_t)other_stack, 0xff, 0xb3, BIG);
    tss.esp1 = 0x108;
    c = caller(call);
    ends("limit of the new stack", &c, EVENT(SS, STACK1));
    /* a TSS that ends too early */
    set_up(1, target, 0xec, 0);
    gdt[OTHER / 8] = descriptor((uint32_t)&tss, 15, 0x89, 0);
    c = kernel(CODE32("ltr %%ax"));
    c.ax = OTHER;
    expect("ltr", go(&c), DONE);
    c = caller(call);
    ends("TSS too small", &c, EVENT(TS, OTHER));
    gdt[TSS / 8] &= ~(2ull << 40);
    c = kernel(CODE32("ltr %%ax"));
    c.ax = TSS;
    expect("ltr", go(&c), DONE);
}

static void test_returns(void)
{
    uint32_t target = CODE32("nop");
    group("far returns");
    set_up(1, target, 0xec, 0);
    uint32_t *stack = (uint32_t *)(user_stack + 3000);
    Context c = kernel(CODE32("lret $8"));
    stack[0] = target;
    stack[1] = UCODE;
    stack[4] = (uint32_t)stack + 100;
    stack[5] = UDATA;
    c.sp = (uint32_t)stack;
    c.ds = KDATA;
    c.es = DATA1 | 1;
    c.fs = UDATA;
    gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x9f, BIG | GRANULAR);
    c.gs = OTHER; /* conforming code stays */
    expect("to level 3", go(&c), DONE);
    expect("CS", c.cs, UCODE);
    expect("SS", c.ss, UDATA);
    expect("SP", c.sp, (uint32_t)stack + 108);
    expect("DS", c.ds, 0);
    expect("ES", c.es, 0);
    expect("FS", c.fs, UDATA);
    expect("GS", c.gs, OTHER);
    struct {
        uint16_t cs, ss;
        uint32_t event;
    } bad[] = {
        { 0, 0, EVENT(GP, 0) },
        { KDATA, 0, EVENT(GP, KDATA) },
        { UCODE, 0, EVENT(GP, 0) },
        { UCODE, KDATA | 3, EVENT(GP, KDATA) },
        { UCODE, UDATA & ~3, EVENT(GP, UDATA & ~3) },
        { UCODE, UCODE, EVENT(GP, UCODE & ~3) },
        { CODE1 | 3, UDATA, EVENT(GP, CODE1) },
        { UCODE & ~3, UDATA, EVENT(GP, UCODE & ~3) },
        { sizeof(gdt) + 8, 0, EVENT(GP, sizeof(gdt) + 8) },
    };
    for (unsigned k = 0; k < 2; k++) {
        uint32_t code = k ? CODE32("iret") : CODE32("lret");
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            c = kernel(code);
            c.sp = (uint32_t)stack;
            stack[0] = target;
            stack[1] = bad[i].cs;
            stack[2] = k ? 2 : (uint32_t)stack;
            stack[3] = k ? (uint32_t)stack : bad[i].ss;
            stack[4] = bad[i].ss;
            uint32_t happened = go(&c);
            expect(k ? "iret" : "lret", happened, bad[i].event);
            expect("IP", c.ip, code);
            expect("SP", c.sp, (uint32_t)stack);
        }
        gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x7b, BIG | GRANULAR);
        stack[1] = OTHER | 3;
        c = kernel(code);
        c.sp = (uint32_t)stack;
        ends("code not present", &c, EVENT(NP, OTHER));
        gdt[OTHER / 8] = descriptor(0, 0xfffff, 0x73, BIG | GRANULAR);
        stack[1] = UCODE;
        stack[3 + k] = OTHER | 3;
        c = kernel(code);
        c.sp = (uint32_t)stack;
        ends("stack not present", &c, EVENT(SS, OTHER));
        gdt[OTHER / 8] = descriptor(0, 0xf, 0xfb, BIG);
        stack[1] = OTHER | 3;
        stack[3 + k] = UDATA;
        c = kernel(code);
        c.sp = (uint32_t)stack;
        ends("beyond the limit", &c, EVENT(GP, 0));
        c = user(code);
        c.sp = (uint32_t)stack;
        stack[1] = KCODE;
        ends("inwards", &c, EVENT(GP, KCODE));
    }
    /* what iret may change of the flags */
    uint32_t code = CODE32("iret");
    for (unsigned level = 0; level < 4; level += 3) {
        for (unsigned iopl = 0; iopl < 4; iopl += 3) {
            c = level ? user(code) : kernel(code);
            c.sp = (uint32_t)stack;
            c.flags = 2 | iopl << 12;
            stack[0] = target;
            stack[1] = level ? UCODE : KCODE;
            stack[2] = 0x247ed7 & ~0x100;
            expect("iret in the level", go(&c), DONE);
            uint32_t wanted = 0x244cd7 | (level > iopl ? 0 : 0x200) | (level ? iopl << 12 : 0x3000);
            expect("its flags", c.flags & ~0x10000, wanted & ~0x10000);
        }
    }
}

static void test_interrupts(void)
{
    uint32_t call = CODE32("int $0x40"), target = CODE32("pushf; pop %%ebx");
    uint32_t *kstack = (uint32_t *)tss.esp0;
    group("interrupt gates");
    for (unsigned k = 0; k < 2; k++) {
        idt[HANDLER] = gate(KCODE, target, k ? 0xef : 0xee, 0);
        Context c = user(call);
        c.flags = 0x4202;
        uint32_t sp = c.sp;
        expect("int", go(&c), DONE);
        expect("IF, NT, TF", c.bx & 0x4300, k ? 0x200 : 0);
        expect("frame: IP", kstack[-5], call + 2);
        expect("frame: CS", kstack[-4], UCODE);
        expect("frame: flags", kstack[-3], 0x4202);
        expect("frame: SP", kstack[-2], sp);
        expect("frame: SS", kstack[-1], UDATA);
        expect("SP", c.sp, (uint32_t)kstack - 20);
    }
    gdt[CODE1 / 8] = descriptor(target & 0xffff0000, 0xffff, 0x9b, BIG);
    idt[HANDLER] = gate(CODE1, target & 0xffff, 0xe6, 0);
    Context c = user(call);
    expect("16-bit gate", go(&c), DONE);
    expect("16-bit frame: SP", c.sp, (uint32_t)kstack - 10);
    expect("16-bit frame: IP", (uint16_t)kstack[-3] << 16 | kstack[-3] >> 16,
           (uint32_t)(uint16_t)kstack[-3] << 16 | ((call + 2) & 0xffff));
    idt[HANDLER] = gate(KCODE, target, 0x8e, 0);
    c = user(call);
    ends("DPL", &c, EVENT(GP, HANDLER * 8 + 2));
    idt[HANDLER] = gate(KCODE, target, 0x6e, 0);
    c = user(call);
    ends("not present", &c, EVENT(NP, HANDLER * 8 + 2));
    idt[HANDLER] = gate(0, target, 0xee, 0);
    c = user(call);
    ends("null code", &c, EVENT(GP, 0));
    idt[HANDLER] = gate(KDATA, target, 0xee, 0);
    c = user(call);
    ends("data", &c, EVENT(GP, KDATA));
    idt[HANDLER] = gate(KCODE, target, 0xec, 0);
    c = user(call);
    ends("a call gate", &c, EVENT(GP, HANDLER * 8 + 2));
    gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0x1b, BIG | GRANULAR);
    idt[HANDLER] = gate(CODE1, target, 0xee, 0);
    c = user(call);
    ends("code not present", &c, EVENT(NP, CODE1));
    gdt[CODE1 / 8] = descriptor(0, 0xf, 0x9b, BIG);
    c = user(call);
    ends("beyond the limit", &c, EVENT(GP, 0));
    idt[HANDLER] = gate(UCODE, target, 0xee, 0);
    c = kernel(call);
    ends("outwards", &c, EVENT(GP, UCODE & ~3));
    gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0x9f, BIG | GRANULAR);
    idt[HANDLER] = gate(CODE1, target, 0xee, 0);
    c = user(call);
    expect("conforming", go(&c), DONE);
    expect("conforming: CS", c.cs, CODE1 | 3);
    gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0x9a, BIG | GRANULAR);
    c = user(call);
    expect("accessed", go(&c), DONE);
    expect("accessed: descriptor", gdt[CODE1 / 8] >> 40 & 1, 1);
    /* an exception whose gate is bad: EXT */
    uint64_t before = idt[UD];
    idt[UD] = gate(KCODE, target, 0x0e, 0);
    c = user(CODE32("ud2"));
    ends("exception, gate not present", &c, EVENT(NP, UD * 8 + 3));
    idt[UD] = gate(KDATA, target, 0x8e, 0);
    c = user(CODE32("ud2"));
    ends("exception, not code", &c, EVENT(GP, KDATA | 1));
    idt[UD] = before;
    /* contributory pairs */
    before = idt[GP];
    uint64_t before_df = idt[DF];
    idt[GP] = gate(KCODE, target, 0x0e, 0);
    c = user(CODE32("cli"));
    ends("#GP and #NP make #DF", &c, EVENT(DF, 0));
    idt[GP] = before;
    before = idt[DE];
    idt[DE] = gate(KCODE, target, 0x0e, 0);
    c = user(CODE32("xor %%ecx, %%ecx; div %%ecx"));
    uint32_t happened = go(&c);
    expect("#DE and #NP make #DF", happened, EVENT(DF, 0));
    idt[DE] = before;
    idt[DF] = before_df;
}

static void test_instructions(void)
{
    group("int, into, bound, int1");
    uint32_t code = CODE32("int3");
    Context c = user(code);
    expect("int3", go(&c), BP);
    expect("int3: IP", c.ip, code + 1);
    code = CODE32("into");
    c = user(code);
    c.flags = 2 | 1 << 11;
    expect("into", go(&c), OF);
    expect("into: IP", c.ip, code + 1);
    c = user(code);
    expect("into without OF", go(&c), DONE);
    static const int32_t bounds[2] = { -5, 7 };
    static const int32_t tries[] = { -6, -5, 7, 8 };
    for (unsigned i = 0; i < 4; i++) {
        c = user(CODE32("bound %%eax, (%%ebx)"));
        c.ax = (uint32_t)tries[i];
        c.bx = (uint32_t)bounds;
        ends("bound", &c, i == 0 || i == 3 ? BR : DONE);
    }
    code = CODE32(".byte 0xf1");
    c = user(code);
    expect("int1 asks for no privilege", go(&c), DB);
    expect("int1: IP", c.ip, code + 1);
    code = CODE32("int $1");
    c = user(code);
    ends("int 1 does", &c, EVENT(GP, DB * 8 + 2));
    c = user(code);
    expect("int 1: IP", (go(&c), c.ip), code);
    c = user(CODE32("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"));
    uint32_t ip = c.ip;
    expect("division", go(&c), DE);
    expect("division: IP", c.ip, ip + 9);
    c = user(CODE32("hlt"));
    ends("hlt", &c, EVENT(GP, 0));
    c = user(CODE32("mov %%cr0, %%eax"));
    ends("mov cr0", &c, EVENT(GP, 0));
    c = user(CODE32("mov %%dr7, %%eax"));
    ends("mov dr7", &c, EVENT(GP, 0));
    c = user(CODE32("lgdt (%%esp)"));
    ends("lgdt", &c, EVENT(GP, 0));
    c = user(CODE32("invlpg (%%esp)"));
    ends("invlpg", &c, EVENT(GP, 0));
    c = user(CODE32("rdmsr"));
    ends("rdmsr", &c, EVENT(GP, 0));
    c = user(CODE32("clts"));
    ends("clts", &c, EVENT(GP, 0));
    c = user(CODE32("wbinvd"));
    ends("wbinvd", &c, EVENT(GP, 0));
    c = user(CODE32(".byte 0xf0; addl %%eax, %%ebx"));
    ends("lock of a register", &c, UD);
    c = user(CODE32(".fill 15, 1, 0x66; nop"));
    ends("16 bytes", &c, EVENT(GP, 0));
    c = user(CODE32("in $0x60, %%al"));
    ends("in", &c, EVENT(GP, 0));
    tss.ports[0x60 / 8] &= ~1u;
    c = user(CODE32("in $0x60, %%al"));
    ends("in allowed", &c, DONE);
    c = user(CODE32("in $0x60, %%ax"));
    ends("in half allowed", &c, EVENT(GP, 0));
    tss.ports[0x60 / 8] |= 1;
    c = user(CODE32("in $0x60, %%al"));
    c.flags = 0x3002;
    ends("in with IOPL 3", &c, DONE);
    tss.ports[0xffff / 8] &= 0x7f;
    c = user(CODE32("mov $0xffff, %%edx; in %%dx, %%al"));
    ends("port ffff", &c, DONE);
    tss.ports[0xffff / 8] = 0xff;
}

void test_gates(void)
{
    test_call_gates();
    test_gate_faults();
    test_returns();
    test_interrupts();
    test_instructions();
}
