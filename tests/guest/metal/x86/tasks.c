/*
 * Task switches: by jump, call, iret, gate and interrupt; busy bits, links, faults in the new task, the T bit (SDM
 * volume 3, chapter 8).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

static struct {
    uint32_t offset;
    uint16_t selector;
} far_pointer;
enum { NEW = T, GATE = T + 8, OTHER = T + 16, SMALL = T + 24, HANDLER = 0x41, TRAPS = T + 30 * 8 };
static Tss new_tss;
static Tss16 small_tss;

static unsigned type_of(unsigned selector)
{
    return gdt[selector / 8] >> 40 & 31;
}

/* The task that is switched to; code: where it begins. */
static void set_up(uint32_t code)
{
    new_tss = (Tss){ .eip = code,
                     .cs = KCODE,
                     .ss = KDATA,
                     .ds = KDATA,
                     .es = KDATA,
                     .fs = UDATA,
                     .gs = UDATA,
                     .esp = (uint32_t)(other_stack + sizeof(other_stack)),
                     .eflags = 0x202,
                     .eax = 1,
                     .ecx = 2,
                     .edx = 3,
                     .ebx = 4,
                     .ebp = 5,
                     .esi = 6,
                     .edi = 7,
                     .esp0 = tss.esp0,
                     .ss0 = KDATA,
                     .map = sizeof(Tss) };
    gdt[NEW / 8] = descriptor((uint32_t)&new_tss, 103, 0x89, 0);
    gdt[GATE / 8] = gate(NEW, 0, 0xe5, 0);
    gdt[TSS / 8] = descriptor((uint32_t)&tss, sizeof(tss) - 1, 0x8b, 0);
    small_tss = (Tss16){
        .ip = (uint16_t)code, .cs = SMALL + 8, .ss = KDATA, .ds = KDATA, .es = KDATA, .flags = 2, .sp = 0x8000, .ax = 1
    };
    gdt[SMALL / 8] = descriptor((uint32_t)&small_tss, 43, 0x81, 0);
    gdt[SMALL / 8 + 1] = descriptor(code & 0xffff0000, 0xffff, 0x9b, BIG);
    far_pointer.selector = NEW;
}

/* The monitor is in the main task again, whatever the test has left. */
static void back(void)
{
    gdt[TSS / 8] &= ~(2ull << 40);
    __asm__ volatile("ltr %0; lldt %1" : : "r"((uint16_t)TSS), "r"((uint16_t)0));
    __asm__ volatile("clts; push $2; popf");
}

static uint32_t in_task(Context *c)
{
    uint32_t happened = go(c);
    back();
    return happened;
}

static void test_switches(void)
{
    uint32_t jump = CODE32("ljmp *(%%ebx)"), call = CODE32("lcall *(%%ebx)"), target = CODE32("nop");
    group("task switches");
    for (unsigned k = 0; k < 4; k++) { /* jump or call, directly or by a gate */
        set_up(target);
        far_pointer.selector = k & 2 ? GATE : NEW;
        Context c = kernel(k & 1 ? call : jump);
        c.bx = (uint32_t)&far_pointer;
        c.cx = 0x1234;
        uint32_t code = c.ip, sp = c.sp;
        uint32_t happened = go(&c), busy_old = type_of(TSS), busy_new = type_of(NEW);
        uint16_t tr;
        __asm__ volatile("str %0" : "=r"(tr));
        uint32_t ts = read_cr0() & 8;
        back();
        expect("switch", happened, DONE);
        expect("TR", tr, NEW);
        expect("TS", ts, 8);
        expect("old is busy", busy_old, k & 1 ? 11 : 9);
        expect("new is busy", busy_new, 11);
        expect("eax", c.ax, 1);
        expect("edi", c.di, 7);
        expect("fs", c.fs, UDATA);
        expect("flags", c.flags, k & 1 ? 0x4202 : 0x202);
        expect("sp", c.sp, (uint32_t)(other_stack + sizeof(other_stack)));
        expect("saved ip", tss.eip, code + 2);
        expect("saved ecx", tss.ecx, 0x1234);
        expect("saved esp", tss.esp, sp);
        expect("saved cs", tss.cs & 0xffff, KCODE);
        expect("link", new_tss.link & 0xffff, k & 1 ? TSS : 0);
    }
    /* there and back */
    set_up(CODE32("mov $77, %%esi; iret; mov $78, %%esi"));
    Context c = kernel(CODE32("lcall *(%%ebx); mov %%esp, %%edx"));
    c.bx = (uint32_t)&far_pointer;
    c.si = 5;
    expect("call and iret", go(&c), DONE);
    uint16_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    uint32_t busy = type_of(NEW);
    back();
    expect("TR", tr, TSS);
    expect("not busy", busy, 9);
    expect("own registers", c.si, 5);
    expect("NT is clear", c.flags & 0x4000, 0);
    expect("the task's registers were saved", new_tss.esi, 77);
    expect("NT of the saved is clear", new_tss.eflags & 0x4000, 0);
    /* a program uses the gate */
    set_up(target);
    far_pointer.selector = GATE | 3;
    c = user(call);
    c.bx = (uint32_t)&far_pointer;
    expect("by a program", in_task(&c), DONE);
    expect("level", c.cs, KCODE);
    expect("saved SS", tss.ss & 0xffff, UDATA);
    /* an interrupt, and an exception with an error code */
    set_up(target);
    idt[HANDLER] = gate(NEW, 0, 0xe5, 0);
    uint32_t code = CODE32("int $0x41");
    c = user(code);
    expect("int", in_task(&c), DONE);
    expect("saved ip", tss.eip, code + 2);
    expect("nested", c.flags & 0x4000, 0x4000);
    set_up(target);
    uint64_t before = idt[GP];
    idt[GP] = gate(NEW, 0, 0x85, 0);
    code = CODE32("mov %%eax, %%cr3");
    c = user(code);
    expect("exception", in_task(&c), DONE);
    idt[GP] = before;
    expect("saved ip", tss.eip, code);
    expect("error code", *(uint32_t *)c.sp, 0);
    expect("sp", c.sp, (uint32_t)(other_stack + sizeof(other_stack)) - 4);
    /* 16 bits */
    set_up(target);
    far_pointer.selector = SMALL;
    c = kernel(call);
    c.bx = (uint32_t)&far_pointer;
    expect("16-bit task", in_task(&c), DONE);
    expect("ax", c.ax & 0xffff, 1);
    expect("fs", c.fs, 0);
    expect("link", small_tss.link, TSS);
}

static void test_faults(void)
{
    uint32_t jump = CODE32("ljmp *(%%ebx)"), target = CODE32("nop"), iret = CODE32("iret");
    struct {
        const char *what;
        uint64_t descriptor;
        uint32_t event;
    } bad[] = {
        { "busy", descriptor((uint32_t)&new_tss, 103, 0x8b, 0), EVENT(GP, NEW) },
        { "not present", descriptor((uint32_t)&new_tss, 103, 0x09, 0), EVENT(NP, NEW) },
        { "too small", descriptor((uint32_t)&new_tss, 102, 0x89, 0), EVENT(TS, NEW) },
        { "LDT", descriptor((uint32_t)&new_tss, 103, 0x82, 0), EVENT(GP, NEW) },
    };
    group("task faults in the old task");
    for (unsigned i = 0; i < 4; i++) {
        set_up(target);
        gdt[NEW / 8] = bad[i].descriptor;
        Context c = kernel(jump);
        c.bx = (uint32_t)&far_pointer;
        expect(bad[i].what, in_task(&c), bad[i].event);
        expect("ip", c.ip, jump);
    }
    set_up(target);
    Context c = user(jump);
    far_pointer.selector = NEW | 3;
    c.bx = (uint32_t)&far_pointer;
    ends("DPL of the TSS", &c, EVENT(GP, NEW));
    ldt[2] = gdt[NEW / 8];
    c = kernel(CODE32("lldt %%ax; ljmp *(%%ebx)"));
    c.ax = LDT;
    far_pointer.selector = 0x14;
    c.bx = (uint32_t)&far_pointer;
    expect("a TSS in the LDT", in_task(&c), EVENT(GP, 0x14));
    set_up(target);
    gdt[GATE / 8] = gate(0x14, 0, 0xe5, 0);
    far_pointer.selector = GATE;
    c = kernel(jump);
    c.bx = (uint32_t)&far_pointer;
    expect("a gate to the LDT", in_task(&c), EVENT(GP, 0x14));
    set_up(target);
    gdt[GATE / 8] = gate(NEW, 0, 0x65, 0);
    far_pointer.selector = GATE;
    c = kernel(jump);
    c.bx = (uint32_t)&far_pointer;
    expect("gate not present", in_task(&c), EVENT(NP, GATE));
    idt[HANDLER] = gate(0x14, 0, 0xe5, 0);
    c = user(CODE32("int $0x41"));
    expect("interrupt gate to the LDT", in_task(&c), EVENT(GP, 0x14));
    idt[HANDLER] = gate(NEW, 0, 0xe5, 0);
    gdt[NEW / 8] |= 2ull << 40;
    c = user(CODE32("int $0x41"));
    expect("interrupt gate to a busy task", in_task(&c), EVENT(GP, NEW));
    /* iret with a bad link */
    set_up(target);
    c = kernel(iret);
    c.flags = 0x4002;
    tss.link = NEW;
    expect("iret to a task that is not busy", in_task(&c), EVENT(TS, NEW));
    c = kernel(iret);
    c.flags = 0x4002;
    tss.link = 0x14;
    expect("iret to the LDT", in_task(&c), EVENT(TS, 0x14));
    tss.link = 0;
}

static void test_new_faults(void)
{
    uint32_t jump = CODE32("ljmp *(%%ebx)"), target = CODE32("nop");
    struct {
        const char *what;
        uint32_t offset, value, event;
    } bad[] = {
        { "LDT is not one", offsetof(Tss, ldt), KDATA, EVENT(TS, KDATA) },
        { "LDT in the LDT", offsetof(Tss, ldt), 0x14, EVENT(TS, 0x14) },
        { "LDT not present", offsetof(Tss, ldt), OTHER, EVENT(TS, OTHER) },
        { "null CS", offsetof(Tss, cs), 0, EVENT(TS, 0) },
        { "CS is data", offsetof(Tss, cs), KDATA, EVENT(TS, KDATA) },
        { "CS of another level", offsetof(Tss, cs), KCODE | 3, EVENT(TS, KCODE) },
        { "CS not present", offsetof(Tss, cs), OTHER + 64, EVENT(NP, OTHER + 64) },
        { "null SS", offsetof(Tss, ss), 0, EVENT(TS, 0) },
        { "SS of another level", offsetof(Tss, ss), UDATA, EVENT(TS, UDATA & ~3) },
        { "SS is code", offsetof(Tss, ss), KCODE, EVENT(TS, KCODE) },
        { "SS not present", offsetof(Tss, ss), OTHER + 72, EVENT(SS, OTHER + 72) },
        { "DS is a TSS", offsetof(Tss, ds), TSS, EVENT(TS, TSS) },
        { "DS not present", offsetof(Tss, ds), OTHER + 72, EVENT(NP, OTHER + 72) },
        { "ES beyond the table", offsetof(Tss, es), sizeof(gdt), EVENT(TS, sizeof(gdt)) },
        { "FS of another level", offsetof(Tss, fs), KDATA | 3, EVENT(TS, KDATA) },
        { "IP beyond the limit", offsetof(Tss, cs), OTHER + 80, EVENT(GP, 0) },
    };
    static Tss traps[5];
    static uint8_t trap_stack[1024];
    static const uint8_t vectors[] = { TS, NP, SS, GP, DF };
    uint64_t before[5];
    group("task faults in the new task");
    /* the handlers are tasks, as the new one may have no stack */
    for (unsigned i = 0; i < 5; i++) {
        before[i] = idt[vectors[i]];
        idt[vectors[i]] = gate(TRAPS + 8 * i, 0, 0x85, 0);
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_up(target);
        gdt[OTHER / 8] = descriptor(0, 0xff, 0x02, 0);
        gdt[OTHER / 8 + 8] = descriptor(0, 0xfffff, 0x1b, BIG | GRANULAR);
        gdt[OTHER / 8 + 9] = descriptor(0, 0xfffff, 0x13, BIG | GRANULAR);
        gdt[OTHER / 8 + 10] = descriptor(0, 0xff, 0x9b, BIG);
        for (unsigned k = 0; k < 5; k++) {
            traps[k] = (Tss){ .eip = (uint32_t)stubs + 16 * vectors[k],
                              .cs = KCODE,
                              .ss = KDATA,
                              .ds = KDATA,
                              .es = KDATA,
                              .eflags = 2,
                              .esp = (uint32_t)(trap_stack + 800) };
            gdt[TRAPS / 8 + k] = descriptor((uint32_t)&traps[k], 103, 0x89, 0);
        }
        *(uint32_t *)((uint8_t *)&new_tss + bad[i].offset) = bad[i].value;
        Context c = kernel(jump);
        c.bx = (uint32_t)&far_pointer;
        expect(bad[i].what, in_task(&c), bad[i].event);
        expect("ip", new_tss.eip, target);
        expect("eax is the new task's", new_tss.eax, 1);
    }
    for (unsigned i = 0; i < 5; i++)
        idt[vectors[i]] = before[i];
    /* T */
    set_up(target);
    new_tss.trap = 1;
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
    Context c = kernel(jump);
    c.bx = (uint32_t)&far_pointer;
    expect("T bit", in_task(&c), DB);
    expect("T bit: ip", c.ip, target);
    expect("T bit: DR6", got_dr6, 0xffff8ff0);
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
}

void test_tasks(void)
{
    test_switches();
    test_faults();
    test_new_faults();
}
