/*
 * Bare-metal RISC-V tests of privileged extensions (RV32 and RV64, -cpu max,zkr=on -m 512): performance counters (Sscofpmf, Smcntrpmf), Zkr,
 * pointer masking, Smepmp, interrupt priorities of the AIA; with -DIMSIC and -M virt,aia=aplic-imsic those of external interrupts, too. Expectations are from
 * the specifications.
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

/* ---- performance counters ---- */
#define OF 63
#define MINH 62
#define SINH 61
#define UINH 60
#define LCOF (1ul << 13)
enum { CYCLES = 1, DTLB_READ_MISS = 0x10019 };

static void set_event(unsigned number, uint64_t flags) /* of counter 3 */
{
#if XLEN == 64
    csr_write(0x323, number | flags);
#else
    csr_write(0x323, number);
    csr_write(0x723, flags >> 32);
#endif
}
static ulong event_flags(void) /* the upper word */
{
#if XLEN == 64
    return csr_read(0x323) >> 32;
#else
    return csr_read(0x723);
#endif
}
static void set_counter(int64_t v) /* 3 */
{
    ulong inhibit = csr_read(mcountinhibit);
    csr_set(mcountinhibit, 8);
    csr_write(0xb03, v);
#if XLEN == 32
    csr_write(0xb83, v >> 32);
#endif
    csr_write(mcountinhibit, inhibit);
}
static NOINLINE void spend(void) /* a while */
{
    for (volatile int i = 0; i < 3000; i++)
        ;
}
#define ADVANCES(csr)               \
    ({                              \
        ulong before_ = csr_read(csr); \
        spend();                    \
        csr_read(csr) != before_;   \
    })

static void test_counters(void)
{
    csr_write(mcountinhibit, ~0ul);
    is(csr_read(mcountinhibit), 0x7fffd, "mcountinhibit has the counters that there are");
    is(ADVANCES(mcycle) | ADVANCES(minstret), 0, "inhibited counters stand still");
    csr_write(mcycle, 12345);
    is(csr_read(mcycle), 12345, "mcycle is writable");
    csr_write(mcountinhibit, 0);
    check(ADVANCES(mcycle) && ADVANCES(minstret) && csr_read(mcycle) > 12345, "they count", csr_read(mcycle));
    is(ADVANCES(0xb03), 0, "no event counts nothing");
    set_event(CYCLES, 0);
    is(ADVANCES(0xb03), 1, "mhpmcounter3 counts cycles");
    csr_write(mcountinhibit, 8);
    set_counter(77);
    is(ADVANCES(0xb03), 0, "inhibited");
    is(csr_read(0xb03), 77, "mhpmcounter3 is writable");
    csr_write(mcountinhibit, 0);
    csr_write(0x333, CYCLES);
    csr_write(0xb13, 5);
    is(csr_read(0x333) | csr_read(0xb13), 0, "a counter that is not there");
    is(CAUSE_OF(csr_write(0xc03, 0)), 2, "hpmcounter3 is read-only");
    csr_write(mcounteren, 0);
    csr_write(scounteren, 0);
    IN(S, is(CAUSE_OF(csr_read(0xc03)), 2, "hpmcounter3 in S without mcounteren"));
    csr_write(mcounteren, 8);
    IN(S, is(CAUSE_OF(csr_read(0xc03)), -1ul, "with it"));
    IN(U, is(CAUSE_OF(csr_read(0xc03)), 2, "in U without scounteren"));
    csr_write(scounteren, 8);
    IN(U, is(CAUSE_OF(csr_read(0xc03)), -1ul, "with it"));
    IN(U, is(CAUSE_OF(csr_read(0xc04)), 2, "another one"));
}

static void test_filters(void)
{
    static const struct {
        unsigned mode, bit;
    } modes[] = { { M, MINH }, { S, SINH }, { U, UINH } };
    csr_write(mcounteren, 9);
    csr_write(scounteren, 9);
    for (int f = 0; f < 3; f++) {
        set_event(CYCLES, 1ull << modes[f].bit);
        is(event_flags(), 1ul << (modes[f].bit - 32), "the filter's bit");
        is(ADVANCES(0xb03), f != 0, "counts in M unless MINH");
        IN(S, is(ADVANCES(0xc03), f != 1, "counts in S unless SINH"));
        IN(U, is(ADVANCES(0xc03), f != 2, "counts in U unless UINH"));
    }
    set_event(CYCLES, 0);
    /* Smcntrpmf */
#if XLEN == 64
    csr_write(0x321, 1ul << MINH | 1ul << OF | 1);
    is(csr_read(0x321), 1ul << MINH, "mcyclecfg has no OF and no event");
#else
    csr_write(0x321, 1);
    csr_write(0x721, 1ul << (MINH - 32) | 1ul << (OF - 32));
    is(csr_read(0x721), 1ul << (MINH - 32), "mcyclecfgh has no OF");
    is(csr_read(0x321), 0, "mcyclecfg has nothing on RV32");
#endif
    is(ADVANCES(mcycle), 0, "mcycle stands still in M");
    IN(U, is(ADVANCES(cycle), 1, "and counts in U"));
#if XLEN == 64
    csr_write(0x321, 0);
#else
    csr_write(0x721, 0);
#endif
}

static void test_overflow(void)
{
    set_event(CYCLES, 0);
    csr_write(mcounteren, 0);
    csr_write(mip, 0);
    set_counter(-200000); /* 200 us */
    csr_set(mie, LCOF);
    csr_set(mstatus, 8);
    for (int i = 0; i < 100000 && !interrupts[13]; i++)
        spend();
    is(interrupts[13], 1, "an interrupt when the counter overflows");
    is(event_flags() >> 31, 1, "OF is set");
    check(csr_read(mip) & LCOF, "LCOFIP stays until it is cleared", csr_read(mip));
    is(csr_read(0xda0), 8, "scountovf in M");
    IN(S, is(csr_read(0xda0), 0, "scountovf in S without mcounteren"));
    csr_write(mcounteren, 8);
    IN(S, is(csr_read(0xda0), 8, "with it"));
    csr_clear(mip, LCOF);
    is(csr_read(mip) & LCOF, 0, "LCOFIP can be cleared");
    set_counter(-1000);
    spend();
    is(csr_read(mip) & LCOF, 0, "no interrupt while OF is set");
    set_event(CYCLES, 0);
    set_counter(-200000);
    csr_set(mie, LCOF);
    csr_set(mstatus, 8);
    while (interrupts[13] == 1)
        __asm__ volatile("wfi");
    is(interrupts[13], 2, "an interrupt ends WFI");
    csr_clear(mip, LCOF);
    csr_clear(mstatus, 8);
    set_event(CYCLES, 0);
    csr_set(mideleg, LCOF);
    set_counter(-2);
    for (int i = 0; i < 100000 && !(csr_read(mip) & LCOF); i++) /* by a timer of the host's */
        spend();
    IN(S, is(csr_read(sip), LCOF, "LCOFIP in sip when it is delegated"));
    IN(S, csr_clear(sip, LCOF));
    is(csr_read(mip) & LCOF, 0, "S clears it");
    csr_clear(mideleg, LCOF);
    set_event(0, 0);
}

static void test_misses(void)
{
    static volatile uint8_t pages[64 * 4096];
    csr_write(mcounteren, 8);
    set_counter(0);
    set_event(DTLB_READ_MISS, 1ull << MINH);
    csr_write(satp, identity(0));
    to_mode(S);
    __asm__ volatile("sfence.vma" ::: "memory");
    ulong before = csr_read(0xc03);
    (void)pages[4096];
    ulong after = csr_read(0xc03);
    (void)pages[4100];
    ulong again = csr_read(0xc03);
    to_machine();
    csr_write(satp, 0);
    check(after > before, "a load after SFENCE.VMA misses the TLB", after - before);
    is(again, after, "the next one does not");
    csr_clear(mip, LCOF);
    set_counter(-1);
    csr_write(satp, identity(0));
    IN(S, { __asm__ volatile("sfence.vma" ::: "memory"); (void)pages[8192]; });
    csr_write(satp, 0);
    check(csr_read(mip) & LCOF, "the overflow of such a counter", csr_read(mip));
    csr_clear(mip, LCOF);
    set_event(0, 0);
}

/* ---- Zkr ---- */
#define SEED_WRITE ({ ulong v_; __asm__ volatile("csrrw %0, 0x015, zero" : "=r"(v_)); v_; })
static void test_seed(void)
{
    ulong different = 0, first = SEED_WRITE;
    for (int i = 0; i < 20; i++) {
        ulong v = SEED_WRITE;
        is(v >> 30, 2, "seed is ES16");
        is(v & 0x3fff0000, 0, "its reserved bits");
        different += v != first;
    }
    check(different > 15, "entropy", different);
    is(CAUSE_OF(csr_read(0x015)), 2, "seed must be written");
    is(CAUSE_OF(csr_set(0x015, 0)), -1ul, "csrrs with a register is a write");
    IN(S, is(CAUSE_OF(SEED_WRITE), 2, "seed in S without SSEED"));
    IN(U, is(CAUSE_OF(SEED_WRITE), 2, "seed in U without USEED"));
    csr_write(0x747, 0x200);
    IN(S, is(CAUSE_OF(SEED_WRITE), -1ul, "with SSEED"));
    IN(U, is(CAUSE_OF(SEED_WRITE), 2, "in U with SSEED"));
    csr_write(0x747, 0x100);
    IN(U, is(CAUSE_OF(SEED_WRITE), -1ul, "with USEED"));
    IN(S, is(CAUSE_OF(SEED_WRITE), 2, "in S with USEED"));
    csr_write(0x747, 0);
}

/* ---- interrupt priorities ---- */
#define SELECTED(select, reg, n) ({ csr_write(select, n); csr_read(reg); })
#define SET_SELECTED(select, reg, n, v) ({ csr_write(select, n); csr_write(reg, v); })
/* iprio: the byte of interrupt n */
#define IPRIO(n) (0x30 + (n) / (XLEN / 8) * (XLEN / 32)), (ulong)0xff << (n) % (XLEN / 8) * 8
static void set_iprio(int machine, int n, ulong v)
{
    const ulong at[] = { IPRIO(n) };
    ulong shifted = v << n % (XLEN / 8) * 8;
    csr_write(0x350, at[0]);
    csr_write(0x150, at[0]);
    if (machine) {
        csr_clear(0x351, at[1]);
        csr_set(0x351, shifted);
    } else {
        csr_clear(0x151, at[1]);
        csr_set(0x151, shifted);
    }
}
static ulong iprio(int machine, int n)
{
    const ulong at[] = { IPRIO(n) };
    csr_write(0x350, at[0]);
    csr_write(0x150, at[0]);
    return ((machine ? csr_read(0x351) : csr_read(0x151)) & at[1]) >> n % (XLEN / 8) * 8;
}
#define MTOPI csr_read(0xfb0)
#define STOPI csr_read(0xdb0)
#define TOP(irq, priority) ((ulong)(irq) << 16 | (priority))

static void test_priorities(void)
{
    csr_write(mie, 0x222);
    csr_write(mip, 0x222);
    csr_write(mideleg, 0);
    is(MTOPI, TOP(9, 255), "default order: S external first");
    set_iprio(1, 5, 3);
    set_iprio(1, 1, 5);
    is(iprio(1, 5), 3, "a byte of iprio");
    is(iprio(1, 1), 5, "another");
    is(MTOPI, TOP(5, 3), "the least number goes first");
    set_iprio(1, 9, 3);
    is(MTOPI, TOP(9, 3), "the default order among equals");
    set_iprio(1, 11, 9);
    set_iprio(1, 2, 9);
    is(iprio(1, 11) | iprio(1, 2), 0, "external and absent interrupts have no byte");
    set_iprio(1, 1, 1);
    taken = 0;
    csr_set(mstatus, 8);
    csr_clear(mstatus, 8);
    is(taken, 3, "three interrupts");
    check(order[0] == 1 && order[1] == 9 && order[2] == 5, "in the order of their priorities", order[0] << 8 | order[1] << 4 | order[2]);
    csr_write(mie, 0x222);
    csr_write(mideleg, 0x222);
    is(MTOPI, 0, "what is delegated is not in mtopi");
    is(STOPI, TOP(9, 255), "but in stopi");
    set_iprio(0, 5, 200);
    is(STOPI, TOP(5, 200), "the supervisor's own array");
    set_iprio(0, 9, 100);
    is(iprio(0, 9), 0, "S external has no byte there");
    IN(S, is(STOPI, TOP(5, 200), "stopi in S"));
    csr_write(mip, 0);
    is(STOPI, 0, "nothing pending");
    csr_write(0x309, 2);
    is(csr_read(mip) & 2, 2, "mvip sets SSIP");
    is(csr_read(0x309), 2, "and shows it");
    is(csr_read(0x308), 0, "mvien is zero");
    csr_write(0x309, 0);
    csr_write(0x150, 0x20);
    is(CAUSE_OF(csr_read(0x151)), 2, "nothing is selected by 0x20");
    csr_write(0x150, 0x31);
    is(CAUSE_OF(csr_read(0x151)), XLEN == 64 ? 2 : -1ul, "odd numbers on RV64");
    is(CAUSE_OF(csr_read(0x152)), 2, "sireg2");
    csr_write(mideleg, 0);
    csr_write(mie, 0);
    for (int i = 0; i < 14; i++) {
        set_iprio(0, i, 0);
        set_iprio(1, i, 0);
    }
}

#ifdef IMSIC
static void test_files(void)
{
    volatile uint32_t *machine = (void *)0x24000000, *supervisor = (void *)0x28000000;
    is(csr_read(0x35c), 0, "mtopei when nothing is pending");
    SET_SELECTED(0x350, 0x351, 0x70, 1);
    is(SELECTED(0x350, 0x351, 0x70), 1, "eidelivery");
    SET_SELECTED(0x350, 0x351, 0xc0, 0x70);
    is(SELECTED(0x350, 0x351, 0xc0), 0x70, "eie0");
    *machine = 6;
    *machine = 4;
    is(csr_read(0x35c), TOP(4, 4), "mtopei: the least identity");
    csr_write(mie, 0x802);
    csr_write(mip, 2);
    is(MTOPI, TOP(11, 4), "mtopi has the file's priority");
    set_iprio(1, 1, 3);
    is(MTOPI, TOP(1, 3), "an interrupt before it");
    set_iprio(1, 1, 4);
    is(MTOPI, TOP(11, 4), "the external one first among equals");
    set_iprio(1, 1, 5);
    csr_write(0x35c, 0);
    is(csr_read(0x35c), TOP(6, 6), "claimed");
    is(MTOPI, TOP(1, 5), "the next identity is behind the interrupt");
    SET_SELECTED(0x350, 0x351, 0x72, 6);
    is(csr_read(0x35c), 0, "eithreshold");
    SET_SELECTED(0x350, 0x351, 0x72, 0);
    csr_write(0x35c, 0);
    csr_write(mie, 0x222);
    csr_write(mideleg, 0x222);
    SET_SELECTED(0x150, 0x151, 0x70, 1);
    SET_SELECTED(0x150, 0x151, 0xc0, 0x10);
    *supervisor = 4;
    is(csr_read(0x15c), TOP(4, 4), "stopei");
    is(STOPI, TOP(9, 4), "stopi has the file's priority");
    csr_write(0x15c, 0);
    csr_write(mideleg, 0);
    csr_write(mie, 0);
    csr_write(mip, 0);
    set_iprio(1, 1, 0);
}
#endif

/* ---- pointer masking ---- */
#if XLEN == 64
enum { PMM_OFF = 0, PMM_7 = 2, PMM_16 = 3 };
static ulong data[16] __attribute__((aligned(64)));
static ulong load(ulong at)
{
    ulong v;
    __asm__ volatile("ld %0, 8(%1)" : "=r"(v) : "r"(at - 8) : "memory");
    return v;
}
static ulong probe(ulong at) /* the cause of a load's exception */
{
    return CAUSE_OF(load(at));
}
static void check_accesses(ulong tag) /* all kinds */
{
    ulong at = (ulong)data | tag, v, old;
    double d;
    data[0] = 0x3ff0000000000000;
    trap_count = 0;
    __asm__ volatile("ld %0, -16(%1)" : "=r"(v) : "r"(at + 16) : "memory");
    is(v, data[0], "ld");
    __asm__ volatile("fld %0, 0(%1)" : "=f"(d) : "r"(at) : "memory");
    is(d == 1.0, 1, "fld");
    __asm__ volatile("fsd %0, 8(%1)" ::"f"(d), "r"(at) : "memory");
    is(data[1], data[0], "fsd");
    __asm__ volatile("sd zero, 24(%0)\n sb %1, 24(%0)" ::"r"(at), "r"(5ul) : "memory");
    is(data[3], 5, "sd and sb");
    __asm__ volatile("amoadd.d %0, %1, (%2)" : "=r"(old) : "r"(7ul), "r"(at + 24) : "memory");
    is(old + data[3], 17, "amoadd.d");
    __asm__ volatile("1: lr.d %0, (%2)\n addi %0, %0, 1\n sc.d %1, %0, (%2)\n bnez %1, 1b" : "=&r"(v), "=&r"(old) : "r"(at + 24) : "memory");
    is(data[3], 13, "lr.d and sc.d");
    __asm__ volatile(".option push\n .option arch, +v\n vsetivli x0, 2, e64, m1, ta, ma\n vle64.v v1, (%0)\n vse64.v v1, (%1)\n .option pop"
                     ::"r"(at), "r"(at + 32) : "memory");
    is(data[4] ^ data[5], 0, "vle64.v and vse64.v");
    is(data[4], data[0], "what they copied");
    __asm__ volatile("mv a0, %0\n .word 0x0045200f" ::"r"(at + 64) : "a0", "memory"); /* cbo.zero */
    is(data[8] | trap_count, 0, "cbo.zero");
    data[8] = 1;
}
static void test_masking(void)
{
    const ulong at = (ulong)data, tag7 = 0x5aul << 57, tag16 = 0x1234ul << 48, high = 0xfffffffful << 32;
    csr_set(mstatus, 3 << 9 | 3 << 13);
    csr_write(0x30a, 0xf0);
    csr_write(0x10a, 0xf0);
    is(probe(at | tag7), 5, "a tagged pointer in M");
    csr_write(0x747, (ulong)PMM_7 << 32);
    check_accesses(tag7);
    is(probe(at | tag16), 5, "more tag than is ignored");
    csr_write(0x747, (ulong)PMM_16 << 32);
    check_accesses(tag16);
    csr_write(0x747, 1ul << 32);
    is(csr_read(0x747) >> 32, PMM_16, "a reserved mode of masking");
    is(CAUSE_OF(((void (*)(ulong))(tag16 | (ulong)probe))(0)), 1, "fetches are not masked");
    is(CAUSE_OF(load(tag16 | 0x70000000)), 5, "a load from nowhere");
    is(trap_tval, 0x70000000, "the address in mtval is masked");
    IN(S, is(probe(at | tag16), 5, "S is not what mseccfg is for"));
    csr_set(0x30a, (ulong)PMM_16 << 32);
    IN(S, check_accesses(tag16));
    IN(U, is(probe(at | tag16), 5, "nor U what menvcfg is for"));
    csr_set(0x10a, (ulong)PMM_7 << 32);
    IN(U, check_accesses(tag7));
    csr_write(satp, identity(0));
    IN(S, { check_accesses(tag16); is(load(((at | high) & ~(0xfffful << 48)) | tag16), data[0], "a sign is extended"); });
    csr_set(mstatus, 1 << 19);
    IN(S, is(probe(at | tag16), 13, "MXR turns masking off"));
    csr_clear(mstatus, 1 << 19);
    csr_write(0x747, 0);
    is(probe(at | tag16), 5, "M again");
    csr_clear(mstatus, 3 << 11);
    csr_set(mstatus, 1 << 11 | 1 << 17);
    ulong v = load(at | tag16);
    csr_clear(mstatus, 1 << 17);
    is(v, data[0], "MPRV: as S does");
    csr_write(satp, 0);
    csr_write(0x30a, 0xf0);
    csr_write(0x10a, 0xf0);
}
#endif

/* ---- Smepmp ---- */
enum { PR = 1, PW = 2, PX = 4, TOR = 8, NAPOT = 0x18, LOCK = 0x80, MML = 1, MMWP = 2, RLB = 4 };
extern char data_start[];
static uint32_t page[1024] __attribute__((aligned(4096)));
static ulong napot(const void *at)
{
    return (ulong)at >> 2 | 0x1ff;
}
/* entry 0: the page; 1, 2: code that all may run; 3: what all may read and write */
static void set_entries(unsigned first)
{
    csr_write(pmpcfg0, first | (LOCK | PW | PX | TOR) << 16 | (ulong)(PW | PX | NAPOT) << 24);
}
static unsigned rights(void) /* to the page, in this mode */
{
    unsigned r = 0;
    r |= CAUSE_OF((void)*(volatile uint32_t *)&page[8]) == -1ul ? PR : 0;
    r |= CAUSE_OF(*(volatile uint32_t *)&page[8] = 1) == -1ul ? PW : 0;
    r |= CAUSE_OF(((void (*)(void))page)()) == -1ul ? PX : 0;
    return r;
}
static void test_lockdown(void)
{
    /* by L, X, W, R: what M may, what others may (Smepmp 1.0, section 2.1) */
    static const uint8_t may[16][2] = { { 0, 0 },       { 0, PR },       { PR | PW, PR },      { 0, PR | PW },
                                        { 0, PX },      { 0, PR | PX },  { PR | PW, PR | PW }, { 0, PR | PW | PX },
                                        { 0, 0 },       { PR, 0 },       { PX, PX },           { PR | PW, 0 },
                                        { PX, 0 },      { PR | PX, 0 },  { PR | PX, PX },      { PR, PR } };
    for (int i = 0; i < 8; i++)
        page[i] = 0x00008067; /* ret */
    fence_i();
    csr_write(0x747, RLB);
    is(csr_read(0x747), RLB, "mseccfg.RLB");
    csr_write(pmpcfg0, 0);
    csr_write(pmpaddr0, napot(page));
    csr_write(pmpaddr1, 0x80000000ul >> 2);
    csr_write(pmpaddr2, (ulong)data_start >> 2);
    csr_write(pmpaddr3, 0x80000000ul >> 2 | 0x1ffffff); /* 256 MiB */
    csr_write(pmpcfg0, (LOCK | PR | PX | TOR) << 16); /* what is shared can be said only under lockdown */
    csr_write(0x747, RLB | MML);
    is(csr_read(0x747), RLB | MML, "mseccfg.MML");
    for (unsigned i = 0; i < 16; i++) {
        set_entries((i & 7) | (i & 8 ? LOCK : 0) | NAPOT);
        is(rights(), may[i][0], "rights of M under lockdown");
        IN(S, is(rights(), may[i][1], "rights of S under lockdown"));
        IN(U, is(rights(), may[i][1], "rights of U under lockdown"));
    }
    csr_write(0x747, RLB);
    is(csr_read(0x747), RLB | MML, "MML stays");
    set_entries(LOCK | NAPOT | PR);
    csr_write(0x747, 0);
    is(csr_read(0x747), MML, "RLB goes");
    csr_write(0x747, RLB);
    is(csr_read(0x747), MML, "and does not come back while an entry is locked");
    set_entries(0);
    is(csr_read(pmpcfg0) & 0xff, LOCK | NAPOT | PR, "a locked entry stays");
    csr_write(pmpaddr0, 0);
    is(csr_read(pmpaddr0), napot(page), "and so does its address");
#if XLEN == 64
    csr_write(pmpcfg2, LOCK | PX | PR | NAPOT);
    is(csr_read(pmpcfg2), 0, "no new code for M");
    csr_write(pmpcfg2, PX | PR);
    is(csr_read(pmpcfg2), PX | PR, "but for the others");
#endif
    csr_write(0x747, MMWP);
    is(csr_read(0x747), MML | MMWP, "MMWP");
    is(CAUSE_OF((void)*(volatile uint8_t *)(UART + 5)), 5, "M may not go where no entry is");
    csr_write(pmpaddr3, 0x1ffffffful); /* 4 GiB */
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    { "counters", test_counters },
    { "filters", test_filters },
    { "overflow", test_overflow },
    { "TLB misses", test_misses },
    { "seed", test_seed },
    { "priorities", test_priorities },
#ifdef IMSIC
    { "interrupt files", test_files },
#endif
#if XLEN == 64
    { "pointer masking", test_masking },
#endif
    { "lockdown", test_lockdown }, /* the last: it cannot be undone */
};

int main(void)
{
    pmp_open();
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        print(tests[i].name);
        print("\n");
        tests[i].run();
    }
    print("all passed\n");
    return EXIT;
}
