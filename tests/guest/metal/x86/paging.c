/*
 * Paging of 32-bit processors, 2-level with pages of 4 MiB and PAE: rights, error codes, CR2, accessed and dirty bits,
 * reserved bits, global pages (SDM volume 3, chapter 5).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

enum {
    P = 1,
    W = 2,
    U = 4,
    A = 0x20,
    D = 0x40,
    PS = 0x80,
    G = 0x100,
    VA = 0x40000000,
    PSE = 0x10,
    PAE = 0x20,
    PGE = 0x80
};
#define PG (1u << 31)
#define WP (1u << 16)
static uint32_t directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static uint64_t pointers[4] __attribute__((aligned(32))), pae[4][512] __attribute__((aligned(4096))),
    pae_table[512] __attribute__((aligned(4096)));
static uint32_t page[2][1024] __attribute__((aligned(4096)));

static void begin(uint32_t cr4, uint32_t cr0)
{
    write_cr4(cr4);
    write_cr3(cr4 & PAE ? (uint32_t)pointers : (uint32_t)directory);
    write_cr0((read_cr0() & ~(PG | WP)) | PG | cr0);
}
static void end(void)
{
    write_cr0(read_cr0() & ~(PG | WP));
    write_cr4(0);
}
static void flush(void)
{
    __asm__ volatile("invlpg (%0)" : : "r"(VA) : "memory");
}

static void test_rights(void)
{
    const uint32_t load = CODE32("mov (%%ebx), %%eax"), store = CODE32("mov %%eax, (%%ebx)");
    group("paging: rights");
    for (unsigned i = 0; i < 1024; i++)
        directory[i] = i < 32 ? i << 22 | PS | U | W | P : 0;
    begin(PSE, 0);
    for (unsigned n = 0; n < 8 * 8 * 8; n++) { /* directory, table; level, write, WP */
        unsigned pde = n & 7, pte = n >> 3 & 7, user_mode = n >> 6 & 1, write = n >> 7 & 1, wp = n >> 8 & 1;
        write_cr0((read_cr0() & ~WP) | (wp ? WP : 0));
        directory[VA >> 22] = (uint32_t)table | pde;
        table[0] = (uint32_t)page[0] | pte;
        flush();
        bool present = pde & pte & P, good = present;
        if (user_mode)
            good = good && pde & pte & U && (!write || pde & pte & W);
        else
            good = good && (!write || !wp || pde & pte & W);
        Context c = user_mode ? user(write ? store : load) : kernel(write ? store : load);
        c.bx = VA + 0x124;
        uint32_t happened = go(&c), error = (present ? 1 : 0) | write << 1 | user_mode << 2;
        expect("access", happened | n << 20, (good ? DONE : EVENT(PF, error)) | n << 20);
        if (!good && (happened & 0xff) == PF)
            expect("CR2", got_cr2, VA + 0x124);
        expect("A, D of the table", table[0] & (A | D), good ? A | (write ? D : 0) : table[0] & A);
        expect("A of the directory", directory[VA >> 22] & A, good ? A : directory[VA >> 22] & A);
    }
    /* execution of a page that is not there; a load that crosses into one */
    table[0] = 0;
    directory[VA >> 22] = (uint32_t)table | U | W | P;
    flush();
    Context c = user(VA + 0x10);
    ends("execution", &c, EVENT(PF, 4));
    expect("CR2", got_cr2, VA + 0x10);
    table[0] = (uint32_t)page[0] | U | W | P;
    table[1] = 0;
    flush();
    page[0][1023] = 0x11223344;
    c = user(store);
    c.ax = 0x55667788;
    c.bx = VA + 0xffe;
    ends("store across", &c, EVENT(PF, 6));
    expect("CR2 is in the second", got_cr2, VA + 0x1000);
    expect("nothing is stored", page[0][1023], 0x11223344);
    /* the stack pointer stays where push faults */
    c = user(CODE32("push %%eax"));
    c.sp = VA + 0x1004;
    uint32_t sp = c.sp;
    ends("push", &c, EVENT(PF, 6));
    expect("its SP", c.sp, sp);
    end();
}

static void test_large(void)
{
    const uint32_t load = CODE32("mov (%%ebx), %%eax"), store = CODE32("mov %%eax, (%%ebx)");
    group("paging: large and global pages, PAE");
    begin(PSE, 0);
    directory[VA >> 22] = ((uint32_t)page & 0xffc00000) | PS | U | W | P;
    flush();
    page[1][7] = 0x7654321;
    Context c = user(load);
    c.bx = VA + ((uint32_t)&page[1][7] & 0x3fffff);
    ends("4 MiB", &c, DONE);
    expect("4 MiB: value", c.ax, 0x7654321);
    expect("4 MiB: A", directory[VA >> 22] & (A | D), A);
    c = user(store);
    c.bx = VA + ((uint32_t)&page[1][7] & 0x3fffff);
    ends("4 MiB, store", &c, DONE);
    expect("4 MiB: D", directory[VA >> 22] & (A | D), A | D);
    directory[VA >> 22] |= 1 << 21;
    flush();
    c = user(load);
    c.bx = VA;
    ends("reserved bit 21", &c, EVENT(PF, 13));
    end();
    begin(PSE | PGE, 0);
    directory[VA >> 22] = (uint32_t)table | U | W | P;
    table[0] = (uint32_t)page[0] | G | U | W | P;
    flush();
    page[0][0] = 1;
    page[1][0] = 2;
    c = user(load);
    c.bx = VA;
    ends("global", &c, DONE);
    table[0] = (uint32_t)page[1] | G | U | W | P;
    write_cr4(PSE);
    write_cr4(PSE | PGE);
    c = user(load);
    c.bx = VA;
    ends("PGE off and on", &c, DONE);
    expect("flushes", c.ax, 2);
    end();
    for (unsigned i = 0; i < 4; i++) {
        pointers[i] = (uint32_t)pae[i] | P;
        for (unsigned k = 0; k < 512; k++)
            pae[i][k] = !i && k < 64 ? (uint64_t)k << 21 | PS | U | W | P : 0;
    }
    begin(PAE, 0);
    pae[1][0] = (uint32_t)pae_table | U | W | P;
    static const struct {
        uint64_t bits;
        uint32_t event;
    } list[] = { { U | W | P, DONE },
                 { W | P, EVENT(PF, 5) },
                 { U, EVENT(PF, 4) },
                 { U | P | 1ull << 63, EVENT(PF, 13) },
                 { U | P | 1ull << 62, EVENT(PF, 13) },
                 { U | P | 1ull << 52, EVENT(PF, 13) } };
    for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        pae_table[0] = (uint32_t)page[0] | list[i].bits;
        flush();
        c = user(load);
        c.bx = VA;
        ends("PAE", &c, list[i].event);
    }
    pae[1][0] = PS | U | W | P | 1 << 13;
    flush();
    c = user(load);
    c.bx = VA;
    ends("2 MiB, reserved bit", &c, EVENT(PF, 13));
    __asm__ volatile("wrmsr" : : "c"(0xc0000080), "a"(1 << 11), "d"(0)); /* NXE */
    pae[1][0] = (uint32_t)pae_table | U | W | P;
    *(uint16_t *)page[0] = 0x20cd;
    for (unsigned nx = 0; nx < 2; nx++) {
        pae_table[0] = (uint32_t)page[0] | U | P | (uint64_t)nx << 63;
        flush();
        c = user(VA);
        ends("NX", &c, nx ? EVENT(PF, 0x15) : DONE);
    }
    __asm__ volatile("wrmsr" : : "c"(0xc0000080), "a"(0), "d"(0));
    pointers[1] |= 2;
    c = kernel(CODE32("mov %%eax, %%cr3"));
    c.ax = (uint32_t)pointers;
    ends("reserved bit of a pointer", &c, EVENT(GP, 0));
    pointers[1] = 0;
    pae_table[0] = (uint32_t)page[0] | U | P;
    flush();
    pointers[1] = 0;
    c = user(load);
    c.bx = VA;
    ends("pointers are loaded by CR3 only", &c, DONE);
    write_cr3((uint32_t)pointers);
    c = user(load);
    c.bx = VA;
    ends("pointer not present", &c, EVENT(PF, 4));
    end();
}

void test_paging(void)
{
    test_rights();
    test_large();
}
