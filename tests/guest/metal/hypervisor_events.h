/*
 * More of the hypervisor tests: interrupts, the guest's timer, what henvcfg, menvcfg and the state enables control,
 * AIA.
 * SPDX-License-Identifier: MIT
 */
/* ---- interrupts ---- */
CODE(spin, "1: j 1b");
CODE(set_enable, "csrsi sstatus, 2\n1: j 1b");
CODE(wait, "wfi");
#define INTERRUPT (1ul << (XLEN - 1))
static void interrupt_is(int by, ulong n, const char *what)
{
    is(got.by, by, what);
    is(got.cause, INTERRUPT | n, what);
}
static void test_interrupts(void)
{
    static const struct {
        int bit;
        const char *name;
    } irqs[] = { { 2, "VSSI" }, { 6, "VSTI" }, { 10, "VSEI" } };
    for (int i = 0; i < 3; i++) {
        ulong bit = 1ul << irqs[i].bit;
        csr_write(hideleg, 0);
        csr_write(hie, bit);
        csr_write(hvip, bit);
        csr_write(vsstatus, 0x6000);
        run(VS, spin, 0, 0);
        interrupt_is(HS, irqs[i].bit, irqs[i].name);
        is(got.v, 1, "SPV");
        is(got.tval, 0, "stval");
        run(VU, spin, 0, 0);
        interrupt_is(HS, irqs[i].bit, irqs[i].name);
        csr_clear(sstatus, 2);
        run(HS, call, 0, 0);
        expect(M, 9, "not in HS without SIE");
        run(HS, set_enable, 0, 0);
        interrupt_is(HS, irqs[i].bit, "in HS with SIE");
        csr_clear(sstatus, 2);
        csr_write(hideleg, bit);
        csr_set(sstatus, 2);
        run(HS, call, 0, 0);
        expect(M, 9, "not in HS where it is delegated");
        csr_clear(sstatus, 2);
        run(VS, call, 0, 0);
        expect(M, 10, "not in VS without SIE");
        run(VS, set_enable, 0, 0);
        interrupt_is(VS, irqs[i].bit - 1, "in VS with SIE");
        is(csr_read(vsstatus) & 0x122, 0x120, "vsstatus after it");
        csr_write(vsstatus, 0x6000);
        run(VU, spin, 0, 0);
        interrupt_is(VS, irqs[i].bit - 1, "in VU");
        csr_write(vstvec, (ulong)in_guest - 4 * (irqs[i].bit - 1) + 1);
        if (!((ulong)in_guest & 2)) {
            run(VU, spin, 0, 0);
            interrupt_is(VS, irqs[i].bit - 1, "with vectors");
        }
        csr_write(vstvec, in_guest);
        run(VS, wait, 0, 0);
        expect(M, 10, "wfi ends for it");
    }
    csr_write(hideleg, 0x444);
    csr_write(hie, 0x444);
    csr_write(hvip, 0x444);
    run(VU, spin, 0, 0);
    interrupt_is(VS, REFERENCE && !AIA ? 1 : 9, "external first");
    csr_write(hvip, 0x44);
    run(VU, spin, 0, 0);
    interrupt_is(VS, 1, "then software");
    csr_write(hideleg, 0x400);
    csr_write(hvip, 0x404);
    run(VU, spin, 0, 0);
    interrupt_is(HS, 2, "HS before VS");
    csr_write(hie, 0);
    csr_write(hvip, 0);
}

/* ---- the guest's timer ---- */
CODE(write_stimecmp, "csrw 0x14d, a0");
static void test_timer(void)
{
    ulong now;
#if XLEN == 64
    csr_set(0x30a, 1ul << 63); /* menvcfg.STCE */
    if (!(csr_read(0x30a) >> 63))
        return; /* no Sstc */
    csr_write(0x60a, 0);
    run(VS, write_stimecmp, 0, 0);
    expect(M, 22, "stimecmp without henvcfg.STCE");
    csr_set(0x60a, 1ul << 63);
#else
    csr_set(0x31a, 1ul << 31);
    if (!(csr_read(0x31a) >> 31))
        return;
    csr_write(0x61a, 0);
    run(VS, write_stimecmp, 0, 0);
    expect(M, 22, "stimecmp without henvcfg.STCE");
    csr_set(0x61a, 1ul << 31);
    csr_write(0x25d, 0);
#endif
    csr_write(0x24d, ~0ul);
    is(csr_read(hip), 0, "vstimecmp in the future");
    run(VS, write_stimecmp, 1, 0);
    is(csr_read(0x24d), 1, "stimecmp in VS is vstimecmp");
    is(csr_read(hip), 0x40, "vstimecmp in the past");
    is(csr_read(hvip), 0, "is not hvip");
    csr_write(hideleg, 0x40);
    is(csr_read(vsip), REFERENCE ? 0 : 0x20, "in vsip");
    csr_write(hie, 0x40);
    run(VU, spin, 0, 0);
    interrupt_is(VS, 5, "the guest's timer");
    now = csr_read(time);
    csr_write(0x24d, now + 2000); /* 200 us */
    is(csr_read(hip) == 0 || csr_read(time) - now >= 2000, 1, "in the future again");
    run(VU, spin, 0, 0);
    interrupt_is(VS, 5, "after some time");
    is(csr_read(time) - now >= 2000, 1, "not too early");
    /* an hour later where the guest is: 36e9 ticks do not fit RV32's low half, 0x60000000 do */
    now = csr_read(time);
    csr_write(0x24d, now + 0x50000000);
    is(csr_read(hip), 0, "in the future");
    csr_write(htimedelta, 0x60000000);
    is(csr_read(hip), REFERENCE ? 0 : 0x40, "the guest's time is later");
    csr_write(htimedelta, 0);
    is(csr_read(hip), 0, "and now again not");
    csr_write(0x24d, ~0ul);
    csr_write(hcounteren, 0);
    run(VS, write_stimecmp, 0, 0);
    expect(M, 22, "stimecmp without hcounteren.TM");
}

/* ---- what henvcfg says of the first stage, menvcfg of the second ---- */
#if XLEN == 64
#define HENVCFG_HIGH(v) csr_write(0x60a, (ulong)(v) << 32)
#define MENVCFG_HIGH(v) csr_write(0x30a, (ulong)(v) << 32)
#define HENVCFG_SHOWS   (csr_read(0x60a) >> 32)
#else
#define HENVCFG_HIGH(v) csr_write(0x61a, v)
#define MENVCFG_HIGH(v) csr_write(0x31a, v)
#define HENVCFG_SHOWS   csr_read(0x61a)
#endif
static void test_environment(void)
{
    const ulong adue = 1ul << 29, pbmte = 1ul << 30;
    if (REFERENCE)
        return; /* always updates A and D, with no control for it */
    MENVCFG_HIGH(adue);
    HENVCFG_HIGH(0);
    *guest_leaf &= ~(ulong)DI;
    fence();
    run(VS, store, VA, 0);
    expect(M, 15, "D is not set without henvcfg.ADUE");
    *guest_leaf |= DI;
    *second_leaf &= ~(ulong)AD;
    fence();
    run(VS, store, VA, 0);
    expect(M, 10, "but in the second stage, by menvcfg.ADUE");
    is(*second_leaf & AD, AD, "A and D of the second stage");
    HENVCFG_HIGH(adue);
    MENVCFG_HIGH(0);
    is(HENVCFG_SHOWS & adue, 0, "henvcfg.ADUE is zero without menvcfg's");
    *second_leaf &= ~(ulong)AD;
    fence();
    run(VS, load, VA, 0);
    expect(M, 21, "A of the second stage is not set without menvcfg.ADUE");
    *second_leaf |= AD;
    MENVCFG_HIGH(adue);
    HENVCFG_HIGH(adue);
    fence();
#if XLEN == 64 && STATEEN /* -cpu max */
    const ulong type = 1ul << 61, napot = 1ul << 63;
    *guest_leaf |= type;
    fence();
    run(VS, load, VA, 0);
    expect(M, 13, "a memory type in the first stage without henvcfg.PBMTE");
    *guest_leaf &= ~type;
    *second_leaf |= type;
    fence();
    run(VS, load, VA, 0);
    expect(M, 21, "and in the second without menvcfg.PBMTE");
    MENVCFG_HIGH(adue | pbmte);
    run(VS, load, VA, 0);
    expect(M, 10, "in the second with menvcfg.PBMTE");
    *guest_leaf |= type;
    fence();
    run(VS, load, VA, 0);
    expect(M, 13, "in the first that is not enough");
    HENVCFG_HIGH(adue | pbmte);
    run(VS, load, VA, 0);
    expect(M, 10, "both with both");
    /* ranges of 64 KiB: 15 pages on, in each stage */
    static uint8_t range[2 << 16] __attribute__((aligned(1 << 16)));
    *(uint32_t *)(range + 0xf008) = 0x5678;
    for (int i = 0; i < 16; i++) {
        *entry(guest_root, VA + i * 4096, 0) = leaf(GPA | 0x8000, V | RWX | AD | napot);
        *entry(second_root, GPA + i * 4096, 0) = leaf((ulong)range | 0x8000, V | RWX | AD | US | napot);
    }
    fence();
    run(VS, load, VA + 0xf008, 0);
    is(got.a2, 0x5678, "ranges of pages in both stages");
    *entry(second_root, GPA + 0xf000, 0) = leaf((ulong)range | 0x4000, V | RWX | AD | US | napot);
    fence();
    run(VS, load, VA + 0xf008, 0);
    expect(M, 21, "a size of range that is not there");
    translate();
#endif
    (void)pbmte;
}

#if STATEEN
/* ---- Smstateen ---- */
CODE(read_henvcfg, "csrr a2, 0x60a");
CODE(read_hstateen, "csrr a2, 0x60c");
CODE(read_sstateen, "csrr a2, 0x10c");
CODE(read_sstateen1, "csrr a2, 0x10d");
CODE(read_siselect, "csrr a2, 0x150");
CODE(read_stopi, "csrr a2, 0xdb0");
CODE(read_scontext, "csrr a2, 0x5a8");
static void test_stateen(void)
{
    static const struct {
        const uint32_t *code;
        const char *name;
        ulong bit;
        int to_guests; /* of what VS-mode may have: 10 is its ecall */
    } gated[] = { { read_senvcfg, "senvcfg", 1ul << 30, 1 },    { read_henvcfg, "henvcfg", 1ul << 30, 0 },
                  { read_sstateen, "sstateen0", 1ul << 31, 1 }, { read_hstateen, "hstateen0", 1ul << 31, 0 },
                  { read_siselect, "siselect", 1ul << 28, 1 },  { read_stopi, "stopi", 1ul << 27, 1 },
                  { read_scontext, "scontext", 1ul << 25, 1 } };
    for (unsigned i = 0; i < sizeof gated / sizeof *gated; i++) {
        set_stateen(~gated[i].bit, ~0ul);
        run(HS, gated[i].code, 0, 0);
        expect(M, 2, gated[i].name);
        run(VS, gated[i].code, 0, 0);
        expect(M, 2, "in VS what M does not grant");
        set_stateen(gated[i].bit, 0);
        run(HS, gated[i].code, 0, 0);
        expect(M, 9, "in HS what M grants");
        run(VS, gated[i].code, 0, 0);
        expect(M, 22, "in VS what HS does not grant");
        set_stateen(gated[i].bit, gated[i].bit);
        run(VS, gated[i].code, 0, 0);
        expect(M, gated[i].to_guests ? 10 : 22, "in VS what HS grants");
    }
    set_stateen(1ul << 30, ~0ul);
    is(HSTATEEN_HIGH, 1ul << 30, "hstateen has what mstateen grants");
    run(HS, read_sstateen1, 0, 0);
    expect(M, 2, "sstateen1");
    set_stateen(~0ul, ~0ul);
}

/* Shlcofideleg: the counters' overflow interrupt keeps its number. */
static void test_overflow(void)
{
    const ulong bit = 1ul << 13;
    csr_write(mideleg, bit);
    csr_write(mie, bit);
    csr_write(mip, bit);
    run(VU, spin, 0, 0);
    interrupt_is(HS, 13, "not delegated to the guest");
    is(csr_read(vsip) & bit, 0, "vsip shows nothing");
    csr_write(hideleg, bit);
    is(csr_read(vsip) & csr_read(vsie) & bit, bit, "delegated, vsip and vsie show it");
    run(VU, spin, 0, 0);
    interrupt_is(VS, 13, "and it is the guest's");
    csr_write(vsip, 0);
    is(csr_read(mip) & bit, 0, "which can clear it");
    csr_write(mie, 0);
}
#define TEST_STATEEN(T) T(stateen) T(overflow)
#else
#define TEST_STATEEN(T)
#endif

#if AIA
/* ---- a guest's interrupt file, hvictl: -M virt,aia=aplic-imsic,aia-guests=2 ---- */
CODE(read_stopi, "csrr a2, 0xdb0");
CODE(claim, "csrrw a2, 0x15c, x0");
CODE(select_read, "csrw 0x150, a0\n csrr a2, 0x151");
CODE(select_write, "csrw 0x150, a0\n csrw 0x151, a1");
static void file_write(ulong reg, ulong v)
{
    csr_write(0x250, reg);
    csr_write(0x251, v);
}
static void test_aia(void)
{
    volatile uint32_t *file1 = (uint32_t *)0x28001000, *file2 = (uint32_t *)0x28002000;
    csr_write(hgeie, -1ul);
    is(csr_read(hgeie), 6, "two guest files");
    csr_write(hgeie, 0);
    csr_write(hideleg, 0x444);
    csr_write(hie, 0x444);
    run(VS, select_read, 0x80, 0);
    expect(M, 22, "sireg without a guest file");
    run(VS, claim, 0, 0);
    expect(M, 22, "stopei without a guest file");
    csr_write(hstatus, 1 << 12);
    is(csr_read(hstatus) >> 12 & 63, 1, "VGEIN");
    run(VS, select_read, 0x30, 0);
    expect(M, 22, "a guest's iprio array is not there");
    file_write(0x70, 1);
    file_write(0x72, 0);
    file_write(0xc0, 0x1fe);
    *file1 = 5;
    *file2 = 6;
    is(csr_read(hgeip), 2, "hgeip: file 1 is delivering");
    is(csr_read(hip), 0x400, "VSEIP");
    run(VS, select_read, 0x80, 0);
    is(got.a2, 1 << 5, "eip0 in VS is that of file 1");
    run(VS, read_stopi, 0, 0);
    is(got.a2, 9 << 16 | 1, "stopi in VS");
    csr_write(hvictl, 1 << 8);
    run(VS, read_stopi, 0, 0);
    is(got.a2, 9 << 16 | 5, "stopi in VS with IPRIOM");
    run(VU, spin, 0, 0);
    interrupt_is(VS, 9, "the message interrupts the guest");
    run(VS, claim, 0, 0);
    is(got.a2, 5 << 16 | 5, "stopei");
    is(csr_read(hip) | csr_read(hgeip), 0, "no longer pending");
    run(VS, claim, 0, 0);
    is(got.a2, 0, "nothing to claim");
    csr_write(hgeie, 2);
    csr_write(hstatus, 0);
    *file1 = 7;
    is(csr_read(hip), 0x1000, "SGEIP, not VSEIP, for a guest that does not run");
    csr_write(hie, 0x1000);
    run(VS, spin, 0, 0);
    interrupt_is(HS, 12, "HS hears of it");
    csr_write(hie, 0);
    csr_write(hstatus, 1 << 12);
    run(VS, claim, 0, 0);
    is(csr_read(hip), 0, "claimed");
    csr_write(hstatus, 2 << 12);
    file_write(0x70, 1);
    file_write(0xc0, 0x1fe);
    is(csr_read(hgeip), 4, "file 2 kept its message");
    csr_write(hstatus, 0);
    csr_write(hgeie, 0);
    csr_write(hie, 0x444);
    if (REFERENCE)
        return; /* knows nothing of interrupts from hvip here */
    csr_write(hvip, 0x444);
    csr_write(hvictl, 1 << 8);
    run(VS, read_stopi, 0, 0);
    is(got.a2, 9 << 16 | 255, "external by default order");
    csr_write(0x646, (ulong)20 << 8 | (ulong)10 << 24);
    run(VS, read_stopi, 0, 0);
    is(got.a2, 5 << 16 | 10, "the timer by hviprio1");
    csr_write(hvictl, 9 << 16 | 1 << 8 | 3);
    run(VS, read_stopi, 0, 0);
    is(got.a2, 9 << 16 | 3, "external by hvictl");
    run(VU, spin, 0, 0);
    interrupt_is(VS, 9, "is what is taken");
    csr_write(0x646, 0);
    csr_write(hvip, 0);
    csr_write(hvictl, 1 << 30 | 35 << 16 | 1 << 8 | 77);
    run(VS, read_stopi, 0, 0);
    is(got.a2, 35 << 16 | 77, "an interrupt made by hvictl.VTI");
    run(VU, spin, 0, 0);
    interrupt_is(VS, 35, "is taken");
    run(VS, read_sie, 0, 0);
    expect(M, 22, "sie with VTI");
    csr_write(hvictl, 0);
    csr_write(hie, 0);
}
#define TEST_AIA(T) T(aia)
#else
#define TEST_AIA(T)
#endif
