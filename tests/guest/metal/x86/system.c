/*
 * Code that changes while it runs, what system registers refuse, and system management mode with the ways of SMRAM
 * (SDM volume 3, sections 9.1.3, 2.5 and chapter 33; Intel 440FX data sheet, SMRAM).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

/* ---- self-modifying code ---- */

static uint8_t place[8192] __attribute__((aligned(4096)));

/* Each piece writes 0x43 (inc ebx) over the instruction 0x90 that comes next, whose address is in edi, by one kind of
 * store; ebx counts. */
static void test_own_code(void)
{
    static uint8_t inc[64];
    struct {
        const char *name;
        uint32_t code;
        uint32_t ax; /* also cx and dx */
    } list[] = {
        { "movb", CODE32("movb %%al, (%%edi); jmp 1f; 1: .byte 0x90, 0xcd, 0x20"), 0x43 },
        { "movl", CODE32("movl %%eax, (%%edi); jmp 1f; 1: .byte 0x90, 0xcd, 0x20, 0x90"), 0x9020cd43 },
        { "straight", CODE32("movb %%al, (%%edi); .byte 0x90, 0xcd, 0x20"), 0x43 },
        { "xchg", CODE32("xchg %%al, (%%edi); .byte 0x90, 0xcd, 0x20"), 0x43 },
        { "lock xor", CODE32("lock xorb %%al, (%%edi); .byte 0x90, 0xcd, 0x20"), 0x43 ^ 0x90 },
        { "lock cmpxchg", CODE32("lock cmpxchgb %%cl, (%%edi); .byte 0x90, 0xcd, 0x20"), 0x90 },
        { "lock xadd", CODE32("lock xaddb %%al, (%%edi); .byte 0x90, 0xcd, 0x20"), (0x43 - 0x90) & 0xff },
        { "or", CODE32("orb $0x43, (%%edi); andb $0x43, (%%edi); .byte 0x90, 0xcd, 0x20"), 0 },
        { "stosb", CODE32("stosb; .byte 0x90, 0xcd, 0x20"), 0x43 },
        { "rep stosb", CODE32("mov $1, %%ecx; rep stosb; .byte 0x90, 0xcd, 0x20"), 0x43 },
        { "rep movsb", CODE32("mov $1, %%ecx; rep movsb; .byte 0x90, 0xcd, 0x20"), 0x43 },
        { "push", CODE32("lea 4(%%edi), %%esp; push %%eax; .byte 0x90, 0xcd, 0x20, 0x90"), 0x9020cd43 },
        { "fist", CODE32("fninit; push %%eax; fildl (%%esp); fistpl (%%edi); .byte 0x90, 0xcd, 0x20, 0x90"),
          0x1020cd43 },
        { "movd", CODE32("movd %%eax, %%xmm0; movd %%xmm0, (%%edi); .byte 0x90, 0xcd, 0x20, 0x90"), 0x9020cd43 },
        { "movups", CODE32("movups (%%esi), %%xmm0; movups %%xmm0, (%%edi); .byte 0x90, 0xcd, 0x20, 0x90; .skip 16"),
          0x43 },
        { "setcc", CODE32("stc; setc (%%edi); xorb $0x42, (%%edi); .byte 0x90, 0xcd, 0x20"), 0 },
    };
    group("code that changes itself");
    uint32_t cr0 = read_cr0(), cr4 = read_cr4();
    write_cr0(cr0 & ~0xcu);
    write_cr4(cr4 | 0x600);
    inc[0] = 0x43;
    inc[1] = 0xcd;
    inc[2] = 0x20;
    for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        for (unsigned k = 0; k < 3; k++) { /* in the middle of a page; the changed byte begins the next; twice over */
            const uint8_t *code = (const uint8_t *)list[i].code;
            unsigned at = 0;
            while (code[at] != 0x90 || code[at + 1] != 0xcd)
                at++;
            uint32_t start = (uint32_t)place + (k == 1 ? 4096 - at : 256);
            if (k < 2) {
                for (unsigned n = 0; n < 48; n++)
                    ((volatile uint8_t *)start)[n] = code[n];
            } else { /* what it is now, once more made a nop */
                *(volatile uint8_t *)(start + at) = 0x90;
            }
            Context c = user(start);
            c.ax = list[i].ax;
            c.cx = 0x43;
            c.di = start + at;
            c.si = (uint32_t)inc;
            uint32_t happened = go(&c);
            expect(list[i].name, happened, DONE);
            expect(list[i].name, c.bx << 4 | k, 1 << 4 | k);
        }
    }
    /* a loop that increases its own immediate */
    Context c = user(CODE32("mov $10, %%ecx; 1: mov $5, %%eax; add %%eax, %%ebx; incl -6(%%edi); loop 1b"));
    uint32_t code = c.ip;
    for (unsigned n = 0; n < 32; n++)
        place[512 + n] = ((const uint8_t *)code)[n];
    c.ip = (uint32_t)place + 512;
    c.di = c.ip + 12;
    expect("a loop", go(&c), DONE);
    expect("a loop: sum", c.bx, 5 * 10 + 45);
    write_cr0(cr0);
    write_cr4(cr4);
}

/* ---- what is refused ---- */

static void test_refusals(void)
{
    uint32_t wrmsr = CODE32("wrmsr"), cr0 = CODE32("mov %%eax, %%cr0"), cr4 = CODE32("mov %%eax, %%cr4");
    struct {
        uint32_t index, low, high;
        bool fine;
    } msrs[] = {
        { 0x277, 0x00070406, 0x00070406, true },
        { 0x277, 0x00070402, 0, false },
        { 0x277, 0x08, 0, false },
        { 0x200, 0x00000006, 0, true },
        { 0x200, 0x00000002, 0, false },
        { 0x200, 0x106, 0, false },
        { 0x250, 0x06060606, 0, true },
        { 0x250, 0x02, 0, false },
        { 0x2ff, 0xc06, 0, true },
        { 0x2ff, 0x1000, 0, false },
        { 0x2ff, 0, 0, true },
        { 0xfe, 0, 0, false },
        { 0x179, 0, 0, false },
        { 0x401, 0, 0, true },
        { 0x401, 1, 0, false },
        { 0xc0000080, 0x2, 0, false },
        { 0xc0000080, 0, 0, true },
        { 0x1b, 0xfee00900, 0xffff0000, false },
    };
    group("refusals");
    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
        Context c = kernel(wrmsr);
        c.cx = msrs[i].index;
        c.ax = msrs[i].low;
        c.dx = msrs[i].high;
        expect("wrmsr", go(&c) | i << 24, (msrs[i].fine ? DONE : EVENT(GP, 0)) | i << 24);
    }
    static const struct {
        uint32_t value;
        bool fine;
    } of_cr0[] = { { 0x80000010, false }, { 0x20000011, false }, { 0x60000011, true }, { 0x11, true } },
      of_cr4[] = { { 1u << 31, false }, { 1 << 15, false }, { 1 << 17, false }, { 0, true } };
    for (unsigned i = 0; i < 4; i++) {
        Context c = kernel(cr0);
        c.ax = of_cr0[i].value;
        ends("cr0", &c, of_cr0[i].fine ? DONE : EVENT(GP, 0));
        c = kernel(cr4);
        c.ax = of_cr4[i].value;
        ends("cr4", &c, of_cr4[i].fine ? DONE : EVENT(GP, 0));
    }
    Context c = kernel(CODE32(".byte 0x0f, 0x22, 0xc8")); /* cr1 */
    ends("cr1", &c, UD);
    c = user(CODE32("rdtsc"));
    ends("rdtsc", &c, DONE);
    write_cr4(4);
    c = user(CODE32("rdtsc"));
    ends("rdtsc with TSD", &c, EVENT(GP, 0));
    c = kernel(CODE32("rdtsc"));
    ends("rdtsc with TSD, level 0", &c, DONE);
    write_cr4(0);
    c = user(CODE32("rdpmc"));
    ends("rdpmc", &c, EVENT(GP, 0));
    c = user(CODE32("monitor"));
    ends("monitor", &c, UD);
    c = user(CODE32("mwait"));
    ends("mwait", &c, UD);
    c = kernel(CODE32("monitor"));
    c.cx = 1;
    c.ax = (uint32_t)place;
    ends("monitor with hints", &c, EVENT(GP, 0));
    c = kernel(CODE32("xgetbv"));
    ends("xgetbv without OSXSAVE", &c, UD);
    c = kernel(CODE32("movups %%xmm0, %%xmm1"));
    ends("SSE without OSFXSR", &c, UD);
    write_cr4(1 << 18 | 1 << 9);
    c = kernel(CODE32("xsetbv"));
    c.ax = 4;
    ends("xsetbv without x87", &c, EVENT(GP, 0));
    c = kernel(CODE32("xsetbv"));
    c.ax = 5;
    ends("AVX without SSE", &c, EVENT(GP, 0));
    c = user(CODE32("xsetbv"));
    c.ax = 1;
    ends("xsetbv of a program", &c, EVENT(GP, 0));
    c = kernel(CODE32("fxsave (%%ebx)"));
    c.bx = (uint32_t)place + 8;
    ends("fxsave, alignment", &c, EVENT(GP, 0));
    c = kernel(CODE32("xsave (%%ebx)"));
    c.bx = (uint32_t)place + 16;
    ends("xsave, alignment", &c, EVENT(GP, 0));
    static const uint32_t bad_mxcsr = 0x10000;
    c = kernel(CODE32("ldmxcsr (%%ebx)"));
    c.bx = (uint32_t)&bad_mxcsr;
    ends("ldmxcsr", &c, EVENT(GP, 0));
    c = kernel(CODE32("movaps (%%ebx), %%xmm0"));
    c.bx = (uint32_t)place + 8;
    ends("movaps, alignment", &c, EVENT(GP, 0));
    write_cr0(read_cr0() | 8);
    c = kernel(CODE32("movaps %%xmm1, %%xmm0"));
    ends("SSE with TS", &c, NM);
    c = kernel(CODE32("fnop"));
    ends("x87 with TS", &c, NM);
    c = kernel(CODE32("fwait"));
    ends("fwait with TS, without MP", &c, DONE);
    write_cr0(read_cr0() | 2);
    c = kernel(CODE32("fwait"));
    ends("fwait with TS and MP", &c, NM);
    write_cr0((read_cr0() & ~10u) | 4);
    c = kernel(CODE32("movaps %%xmm1, %%xmm0"));
    ends("SSE with EM", &c, UD);
    c = kernel(CODE32("fnop"));
    ends("x87 with EM", &c, NM);
    c = kernel(CODE32("emms"));
    ends("MMX with EM", &c, UD);
    write_cr0(read_cr0() & ~4u);
    write_cr4(0);
    /* sysenter */
    c = user(CODE32("sysenter"));
    __asm__ volatile("wrmsr" : : "c"(0x174), "a"(0), "d"(0));
    ends("sysenter without a segment", &c, EVENT(GP, 0));
    uint32_t target = CODE32("pushf; pop %%eax");
    __asm__ volatile("wrmsr" : : "c"(0x174), "a"(KCODE), "d"(0));
    __asm__ volatile("wrmsr" : : "c"(0x175), "a"(user_stack + 1024), "d"(0));
    __asm__ volatile("wrmsr" : : "c"(0x176), "a"(target), "d"(0));
    c = user(CODE32("sysenter"));
    c.flags = 0x202;
    expect("sysenter", go(&c), DONE);
    expect("sysenter: CS, SS", c.cs << 16 | c.ss, KCODE << 16 | KDATA);
    expect("sysenter: SP", c.sp, (uint32_t)user_stack + 1024);
    expect("sysenter: IF", c.ax & 0x200, 0);
    c = kernel(CODE32("sysexit"));
    c.dx = target;
    c.cx = (uint32_t)user_stack + 512;
    expect("sysexit", go(&c), DONE);
    expect("sysexit: CS, SS", c.cs << 16 | c.ss, UCODE << 16 | UDATA);
    expect("sysexit: SP", c.sp, (uint32_t)user_stack + 512);
    c = user(CODE32("sysexit"));
    ends("sysexit of a program", &c, EVENT(GP, 0));
}

/* ---- system management mode ---- */

enum {
    COUNT = 0x700,
    CR0_THERE = 0x704,
    OPEN = 0x708,
    CLOSED = 0x70c,
    AGAIN = 0x710,
    WHERE = 0x714,
    MARK = 0x5a5a0001
};

static uint32_t low(uint32_t at)
{
    __asm__("" : "+r"(at));
    return *(volatile uint32_t *)at;
}
static void put_low(uint32_t at, uint32_t value)
{
    __asm__("" : "+r"(at));
    *(volatile uint32_t *)at = value;
}
static uint8_t smram(int value)
{
    out32(0xcf8, 0x80000070);
    if (value >= 0)
        out8(0xcfe, (uint8_t)value);
    return in8(0xcfe);
}

static void test_smm(void)
{
    uint32_t handler = CODE16(
        "incl 0x700; mov %%cr0, %%eax; mov %%eax, 0x704; mov %%cs, 0x714; mov $0xa0010, %%ebx;"
        "mov (%%ebx), %%eax; mov %%eax, 0x708; mov %%cs, %%ax; cmp $0x3000, %%ax; jne 1f;"
        "mov $0xcf8, %%dx; mov $0x80000070, %%eax; out %%eax, %%dx; mov $0xcfe, %%dx; mov $2, %%al; out %%al, %%dx;"
        "mov (%%ebx), %%eax; mov %%eax, 0x70c; mov $0x0a, %%al; out %%al, %%dx; mov (%%ebx), %%eax;"
        "mov %%eax, 0x710; 1: rsm");
    group("system management mode");
    smram(0x4a);
    expect("SMRAM is open", smram(-1) & 0x48, 0x48);
    for (uint32_t n = 0; n < 128; n += 4) {
        put_low(0x38000 + n, *(const uint32_t *)(handler + n));
        put_low(0xa8000 + n, *(const uint32_t *)(handler + n));
    }
    put_low(0xa0010, MARK);
    expect("open", low(0xa0010), MARK);
    smram(0x0a);
    expect("closed", low(0xa0010) == MARK, 0);
    smram(0x4a);
    expect("open again", low(0xa0010), MARK);
    smram(0x0a);
    out32(0xcf8, 0x80000b58); /* SMI by port B2 */
    out32(0xcfc, in32(0xcfc) | 1u << 25);
    for (uint32_t n = 1; n < 4; n++) {
        put_low(COUNT, n - 1);
        put_low(CLOSED, 0);
        put_low(AGAIN, MARK);
        Context c = kernel(CODE32("stc; out %%al, $0xb2; nop; adc $0, %%edi"));
        c.cx = 0x11111111;
        c.di = 5;
        expect("goes on", go(&c), DONE);
        expect("registers", c.cx, 0x11111111);
        expect("flags", c.di, 6);
        expect("came", low(COUNT), n);
        expect("CR0", low(CR0_THERE) & 0x80000001, 0);
        expect("SMRAM in it", low(OPEN), MARK);
        if ((low(WHERE) & 0xffff) == 0x3000) {
            expect("disabled in it", low(CLOSED) == MARK, 0);
            expect("enabled in it", low(AGAIN), MARK);
        }
        expect("closed behind it", low(0xa0010) == MARK, 0);
    }
    Context c = kernel(CODE32("rsm"));
    ends("rsm outside", &c, UD);
    smram(0x5a); /* locked: it closes, and nothing can be changed */
    expect("locked", smram(-1) & 0x58, 0x18);
    smram(0x4a);
    expect("stays locked", smram(-1) & 0x58, 0x18);
    expect("stays closed", low(0xa0010) == MARK, 0);
}

void test_system(void)
{
    test_own_code();
    test_refusals();
    test_smm();
}
