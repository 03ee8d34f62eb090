/*
 * Virtual-8086 mode: instructions that depend on IOPL, with and without VME, redirected interrupts, ways in and out
 * (SDM volume 3, chapter 22).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

enum { BASE = 0x20000, VME = 1, PVI = 2, VIF = 1 << 19, VIP = 1 << 20, VM = 1 << 17, NT = 1 << 14, IOPL3 = 0x3000 };

static volatile uint8_t *low(uint32_t at)
{
    __asm__("" : "+r"(at));
    return (volatile uint8_t *)at;
}
static uint16_t get16(uint32_t at)
{
    return *(volatile uint16_t *)low(at);
}

static Context at(uint32_t code, uint32_t flags)
{
    for (uint32_t i = 0; i < 128; i++)
        *low(BASE + 0x100 + i) = ((const uint8_t *)code)[i];
    return (Context){ .ip = 0x100,
                      .cs = BASE / 16,
                      .flags = VM | 2 | flags,
                      .sp = 0x8000,
                      .ss = 0x3000,
                      .ds = KDATA,
                      .es = KDATA,
                      .v86_ds = 0x4000,
                      .v86_es = 0x5000,
                      .v86_fs = 0x6000,
                      .v86_gs = 0x7000 };
}

/* int n for the monitor ends a test: allowed with IOPL 3 and not redirected only, so ud2 ends those of lower IOPL. */
#define V86(text) CODE16(text "\n.byte 0x0f, 0x0b")

static void test_plain(void)
{
    struct {
        const char *name;
        uint32_t code;
        uint32_t at_0, at_3; /* with IOPL 0 and 3 */
    } list[] = {
        { "cli", V86("cli"), EVENT(GP, 0), UD },
        { "sti", V86("sti"), EVENT(GP, 0), UD },
        { "pushf", V86("pushf"), EVENT(GP, 0), UD },
        { "popf", V86("popf"), EVENT(GP, 0), UD },
        { "pushfl", V86("pushfl"), EVENT(GP, 0), UD },
        { "int", V86("int $0x20"), EVENT(GP, 0), DONE },
        { "int 3", V86(".byte 0xcd, 3"), EVENT(GP, 0), BP },
        { "int3", V86("int3"), BP, BP },
        { "int1", V86(".byte 0xf1"), DB, DB },
        { "hlt", V86("hlt"), EVENT(GP, 0), EVENT(GP, 0) },
        { "clts", V86("clts"), EVENT(GP, 0), EVENT(GP, 0) },
        { "lmsw", V86("lmsw %%ax"), EVENT(GP, 0), EVENT(GP, 0) },
        { "smsw", V86("smsw %%ax"), UD, UD },
        { "mov cr0", V86("mov %%cr0, %%eax"), EVENT(GP, 0), EVENT(GP, 0) },
        { "mov dr0", V86("mov %%dr0, %%eax"), EVENT(GP, 0), EVENT(GP, 0) },
        { "lgdt", V86("lgdt (0)"), EVENT(GP, 0), EVENT(GP, 0) },
        { "sgdt", V86("sgdt (0)"), UD, UD },
        { "rdmsr", V86("rdmsr"), EVENT(GP, 0), EVENT(GP, 0) },
        { "in", V86("in $0x60, %%al"), EVENT(GP, 0), EVENT(GP, 0) },
        { "sysexit", V86("sysexit"), EVENT(GP, 0), EVENT(GP, 0) },
        { "lldt", V86("lldt %%ax"), UD, UD },
        { "arpl", V86("arpl %%ax, %%ax"), UD, UD },
        { "lar", V86("lar %%ax, %%ax"), UD, UD },
    };
    group("virtual-8086 mode");
    for (unsigned vme = 0; vme < 2; vme++) {
        write_cr4(vme ? VME : 0);
        for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
            for (unsigned k = 0; k < 2; k++) {
                Context c = at(list[i].code, k ? IOPL3 : 0);
                uint32_t wanted = k ? list[i].at_3 : list[i].at_0;
                if (vme && !k && i < 4)
                    wanted = UD;
                for (unsigned n = 0; n < 32; n++)
                    tss.redirection[n] = 0xff;
                uint32_t happened = go(&c);
                expect(list[i].name, happened | k << 24 | vme << 28, wanted | k << 24 | vme << 28);
                if ((happened & 0xff) == GP)
                    expect(list[i].name, c.ip, 0x100);
            }
        }
    }
    write_cr4(0);
    Context c = at(V86("mov %%cs, %%ax; mov %%ss, %%bx; mov %%ds, %%cx; mov %%es, %%dx; mov %%fs, %%si; mov %%gs, %%di;"
                       "mov (0xffff), %%bp"),
                   IOPL3);
    expect("limit", go(&c), EVENT(GP, 0));
    expect("segments", c.ax << 16 | (c.bx & 0xffff), 0x20003000);
    expect("segments", c.cx << 16 | (c.dx & 0xffff), 0x40005000);
    expect("segments", c.si << 16 | (c.di & 0xffff), 0x60007000);
    expect("frame: flags", c.flags & 0x37000, VM | IOPL3 | 0x10000);
    expect("frame: SS, SP", c.ss << 16 | (c.sp & 0xffff), 0x30008000);
    expect("frame: DS, ES", c.v86_ds << 16 | (c.v86_es & 0xffff), 0x40005000);
    expect("frame: FS, GS", c.v86_fs << 16 | (c.v86_gs & 0xffff), 0x60007000);
    expect("data segments are null", c.ds | c.es | c.fs | c.gs, 0);
    c = at(V86("lcall $0x2000, $0x140; .skip 0x3b; mov %%cs, %%ax"), 0);
    expect("far call", go(&c), UD);
    expect("far call: pushed", get16(0x37ffc), 0x105);
    tss.ports[0x60 / 8] &= ~1u;
    c = at(V86("in $0x60, %%al"), 0);
    expect("in allowed", go(&c), UD);
    tss.ports[0x60 / 8] |= 1;
    /* the handler has to be of level 0 */
    uint64_t before = idt[UD];
    idt[UD] = gate(UCODE, (uint32_t)stubs + 16 * UD, 0xee, 0);
    c = at(V86(""), 0);
    expect("handler of level 3", go(&c), EVENT(GP, (UCODE & ~3) | 1));
    idt[UD] = before;
    /* iret to it */
    static uint32_t frame[9];
    c = kernel(CODE32("iret"));
    c.sp = (uint32_t)frame;
    frame[0] = 0x10100;
    frame[1] = BASE / 16;
    frame[2] = VM | 2;
    frame[4] = 0x3000;
    ends("iret beyond 64 KiB", &c, EVENT(GP, 0));
    c = user(CODE32("push %%ebx; popf; pushf; pop %%eax"));
    c.bx = VM | IOPL3 | 0x200 | VIF | VIP | 2;
    expect("popf of a program", go(&c), DONE);
    expect("popf: flags", c.ax, 2);
}

static void test_vme(void)
{
    group("VME and PVI");
    write_cr4(VME | PVI);
    for (unsigned n = 0; n < 32; n++)
        tss.redirection[n] = 0xff;
    Context c = at(V86("sti; pushf; pop %%ax; cli; pushf; pop %%bx"), 0);
    expect("sti, cli", go(&c), UD);
    expect("sti, cli: pushed", (c.ax & 0x3200) << 16 | (c.bx & 0x3200), 0x32003000);
    expect("VIF, IF", c.flags & (VIF | 0x3200), 0);
    c = at(V86("sti"), 0);
    expect("sti", go(&c), UD);
    expect("VIF", c.flags & (VIF | 0x3200), VIF);
    c = at(V86("sti"), VIP);
    expect("sti with VIP", go(&c), EVENT(GP, 0));
    c = at(V86("cli"), VIP | VIF);
    expect("cli with VIP", go(&c), UD);
    expect("VIF", c.flags & VIF, 0);
    c = at(V86("push %%bx; popf"), VIP);
    c.bx = 0x202;
    expect("popf with VIP", go(&c), EVENT(GP, 0));
    c = at(V86("push %%bx; popf"), 0);
    c.bx = 0x102;
    expect("popf with TF", go(&c), EVENT(GP, 0));
    c = at(V86("push %%bx; popf"), 0);
    c.bx = 0x32d7 | NT;
    expect("popf", go(&c), UD);
    expect("popf: flags", c.flags & ~0x10000, VM | VIF | NT | 0xd7);
    c = at(V86("push %%bx; push %%cs; push $0x140; iret; .skip 0x3a"), 0);
    c.bx = 0x32d7;
    expect("iret", go(&c), UD);
    expect("iret: flags", c.flags & ~0x10000, VM | VIF | 0xd7);
    expect("iret: SP", c.sp, 0x8000);
    c = at(V86("push %%bx; push %%cs; push $0x140; iret"), VIP);
    c.bx = 0x202;
    expect("iret with VIP", go(&c), EVENT(GP, 0));
    c = at(V86("iretl"), 0);
    expect("32-bit iret", go(&c), EVENT(GP, 0));
    c = at(V86("pushfl"), 0);
    expect("32-bit pushf", go(&c), EVENT(GP, 0));
    /* interrupts of the program's own table */
    *(volatile uint16_t *)low(4 * 0x60) = 0x150;
    *(volatile uint16_t *)low(4 * 0x60 + 2) = BASE / 16;
    tss.redirection[0x60 / 8] = 0xfe;
    for (unsigned k = 0; k < 2; k++) {
        c = at(V86("sti; int $0x60"), (k ? IOPL3 : 0) | 0xd5);
        *(volatile uint16_t *)low(BASE + 0x150) = 0x0b0f;
        expect("redirected", go(&c), UD);
        expect("redirected: ip", c.ip, 0x150);
        expect("redirected: SP", c.sp, 0x7ffa);
        expect("redirected: flags on the stack", get16(0x37ffe), 0x32d7);
        expect("redirected: CS, IP on the stack", get16(0x37ffc) << 16 | get16(0x37ffa), BASE / 16 << 16 | 0x103);
        expect("redirected: flags", c.flags & ~0x10000, VM | 0xd7 | (k ? IOPL3 : 0));
    }
    c = at(V86("int $0x61"), 0);
    expect("not redirected", go(&c), EVENT(GP, 0));
    c = at(V86("int3"), 0);
    tss.redirection[0] = 0;
    expect("int3 is not", go(&c), BP);
    tss.redirection[0] = 0xff;
    /* PVI: the same for protected mode's programs */
    c = user(CODE32("sti"));
    expect("PVI: sti", go(&c), DONE);
    expect("PVI: flags", c.flags & (VIF | 0x200), VIF);
    c = user(CODE32("cli"));
    c.flags |= VIF | VIP;
    expect("PVI: cli", go(&c), DONE);
    expect("PVI: flags", c.flags & (VIF | 0x200), 0);
    c = user(CODE32("sti"));
    c.flags |= VIP;
    ends("PVI: sti with VIP", &c, EVENT(GP, 0));
    write_cr4(0);
    c = user(CODE32("sti"));
    ends("without PVI", &c, EVENT(GP, 0));
}

void test_v86(void)
{
    test_plain();
    test_vme();
}
