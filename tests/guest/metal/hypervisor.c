/*
 * Bare-metal RISC-V hypervisor tests (RV32 and RV64, -M virt -bios none): machine mode enters HS-, U-, VS- and VU-mode,
 * and looks at who takes the trap and with what. What is right is from the privileged ISA (20240411, chapter 18). With
 * -DREFERENCE=1 what qemu-system 7.2 does otherwise is left out. The exit status is that of the first check that
 * failed, 0 if none did.
 * SPDX-License-Identifier: MIT
 */
#include "hypervisor.h"

/* ---- registers ---- */
static void test_registers(void)
{
    is(csr_read(misa) >> 7 & 1, 1, "misa.H");
    csr_write(medeleg, ~0ul);
    is(csr_read(medeleg) & 0xf0f7ff, 0xf0b7ff, "medeleg");
    csr_write(hedeleg, ~0ul);
    is(csr_read(hedeleg) & 0xf0ffff, 0x00b1ff, "hedeleg");
    csr_write(hideleg, ~0ul);
    is(csr_read(hideleg), STATEEN ? 0x2444 : 0x444, "hideleg"); /* with Shlcofideleg */
    csr_write(mideleg, 0);
    is(csr_read(mideleg), 0x1444, "mideleg: guests' interrupts are always delegated");
    csr_write(hie, ~0ul);
    is(csr_read(hie), 0x1444, "hie");
    is(csr_read(mie) & 0x1444, 0x1444, "hie is part of mie");
    is(csr_read(vsie), 0x222, "vsie shows those of hie that are delegated");
    csr_write(hideleg, 0x40);
    is(csr_read(vsie), 0x20, "vsie with one delegated");
    csr_write(vsie, 0);
    is(csr_read(hie), 0x1404, "a write of vsie changes those");
    csr_write(hie, 0);
    is(csr_read(mie) & 0x1444, 0, "clearing hie");
    csr_write(hideleg, 0x444);
    csr_write(hvip, ~0ul);
    is(csr_read(hvip), 0x444, "hvip");
    is(csr_read(hip), 0x444, "hip shows hvip");
    is(csr_read(vsip), REFERENCE ? 2 : 0x222, "vsip shows hip"); /* reference: only the writable bit */
    csr_write(vsip, 0);
    is(csr_read(hvip), 0x440, "vsip.SSIP is hvip.VSSIP, the others are read-only");
    csr_write(vsip, 2);
    csr_write(hip, 0);
    is(csr_read(hvip), 0x440, "hip.VSSIP is hvip.VSSIP");
    csr_write(hvip, 0);
    csr_write(vsstatus, ~0ul);
    is(csr_read(vsstatus) & ~(3ul << 9),
       REFERENCE ? csr_read(vsstatus) & ~(3ul << 9) : (XLEN == 64 ? 0x80000002000c6122 : 0x800c6122), "vsstatus");
    is(csr_read(hstatus) >> 16 >> 16, XLEN == 64 ? 2 : 0, "hstatus.VSXL");
    csr_write(hstatus, -1ul);
    is(csr_read(hstatus) & 0x7003c0, 0x7003c0, "hstatus");
#if !REFERENCE /* has all bits */
    csr_write(vstvec, 0x80001003);
    is(csr_read(vstvec) & 2, 0, "vstvec has modes 0 and 1");
    is(csr_read(hstatus) >> 12 & 63, 0, "hstatus.VGEIN without guest interrupt files");
    csr_write(hgatp, (XLEN == 64 ? ATP_MODE : 0) | 7);
    is(csr_read(hgatp) & 7, 4, "hgatp: the root table has 16 KiB");
#if XLEN == 64
    csr_write(hgatp, (ulong)5 << 60 | VMID(3));
    is(csr_read(hgatp), ATP_MODE | VMID(3), "hgatp: an unknown mode, the other fields are written");
#endif
#endif
    csr_write(hgatp, VMID(XLEN == 64 ? 0x3fff : 0x7f));
    is(csr_read(hgatp) & VMID(XLEN == 64 ? 0x3fff : 0x7f), VMID(XLEN == 64 ? 0x3fff : 0x7f), "hgatp.VMID");
    csr_write(hgatp, 0);
}

/* ---- environment calls, delegation ---- */
CODE(call, "nop");
CODE(illegal, ".word 0xfffff0ff");
CODE(load, "lw a2, 0(a0)");
CODE(store, "sw a1, 0(a0)");
CODE(jump, "jr a0");
CODE(breakpoint, "ebreak");
static void test_calls(void)
{
    static const struct {
        int mode, cause;
    } calls[] = { { U, 8 }, { HS, 9 }, { VU, 8 }, { VS, 10 } };
    for (int i = 0; i < 4; i++) {
        int mode = calls[i].mode;
        run(mode, call, 0, 0);
        expect(M, calls[i].cause, mode_names[mode]);
        is(got.v, mode >> 2, "MPV");
        is(got.priv, mode & 3, "MPP");
        is(got.gva, 0, "GVA");
        is(got.tval, 0, "mtval");
        is(got.pc, (ulong)(call + 1) + (mode & 1 ? 0 : ALIAS), "mepc");
    }
    csr_write(medeleg, 1 << 8 | 1 << 10);
    run(VS, call, 0, 0);
    expect(HS, 10, "a call from VS to HS");
    is(got.v, 1, "SPV");
    is(got.priv, 1, "SPP");
    is(got.spvp, 1, "SPVP");
    run(VU, call, 0, 0);
    expect(HS, 8, "a call from VU to HS");
    is(got.v, 1, "SPV");
    is(got.priv, 0, "SPP");
    is(got.spvp, 0, "SPVP");
    csr_set(hstatus, 1 << 8);
    run(U, call, 0, 0);
    expect(HS, 8, "a call from U to HS");
    is(got.v, 0, "SPV");
    is(got.spvp, 1, "SPVP stays after a trap from U");
    csr_write(medeleg, 1 << 8);
    csr_write(hedeleg, 1 << 8);
    run(VU, call, 0, 0);
    expect(VS, 8, "a call from VU to VS");
    is(got.priv, 0, "vsstatus.SPP");
    run(U, call, 0, 0);
    expect(HS, 8, "hedeleg concerns guests only");
    csr_write(medeleg, 1 << 2 | 1 << 3);
    for (int to_guest = 0; to_guest < 2; to_guest++) {
        csr_write(hedeleg, to_guest ? 1 << 2 | 1 << 3 : 0);
        run(VS, illegal, 0, 0);
        expect(to_guest ? VS : HS, 2 - (REFERENCE && to_guest), "an illegal instruction"); /* takes 2 for VSSI */
        is(got.tval, insn_at(illegal), "its tval");
        is(got.priv, 1, "SPP");
        run(VS, breakpoint, 0, 0);
        expect(to_guest ? VS : HS, 3, "a breakpoint");
#if !REFERENCE /* leaves tval 0 */
        is(got.tval, (ulong)breakpoint, "its tval");
        is(got.gva, to_guest ? ~0ul : 1, "its GVA");
#endif
    }
}

/* ---- returns ---- */
CODE(sret, "sret");
CODE(mret, "mret");
static void test_returns(void)
{
    csr_write(sepc, (ulong)call);
    csr_write(hstatus, 1 << 7);
    csr_set(sstatus, 1 << 8);
    run(HS, sret, 0, 0);
    expect(M, 10, "sret with SPV and SPP is to VS");
    is(csr_read(hstatus) >> 7 & 1, 0, "SPV after sret");
    csr_write(sepc, (ulong)call + ALIAS);
    csr_write(hstatus, 1 << 7);
    csr_clear(sstatus, 1 << 8);
    run(HS, sret, 0, 0);
    expect(M, 8, "sret with SPV is to VU");
    is(got.v, 1, "MPV");
    csr_write(sepc, (ulong)call);
    csr_set(sstatus, 1 << 8);
    run(HS, sret, 0, 0);
    expect(M, 9, "sret without SPV");
    csr_write(vsepc, (ulong)call + ALIAS);
    csr_write(vsstatus, 0);
    run(VS, sret, 0, 0);
    expect(M, 8, "sret in VS is by vsstatus");
    is(got.v, 1, "MPV");
    is(csr_read(vsstatus) & 0x122, 0x20, "vsstatus after sret");
#if !REFERENCE /* does not */
    with_status = 1 << 17;
    run(VS, call, 0, 0);
    with_status = 0;
    is(csr_read(mstatus) >> 17 & 1, 0, "mret to VS clears MPRV");
#endif
}

/* ---- instructions and CSRs that a guest may not use ---- */
CODE(wfi, "wfi");
CODE(sfence, "sfence.vma");
CODE(hlv_w, ".insn r 0x73, 4, 0x34, a2, a0, x0");
CODE(hlvx_hu, ".insn r 0x73, 4, 0x32, a2, a0, x3");
CODE(hlvx_wu, ".insn r 0x73, 4, 0x34, a2, a0, x3");
CODE(hsv_w, ".insn r 0x73, 4, 0x35, x0, a0, a1");
CODE(hfence_v, ".insn r 0x73, 0, 0x11, x0, x0, x0");
CODE(hfence_g, ".insn r 0x73, 0, 0x31, x0, x0, x0");
#define CSR_READS(R)                                                                                      \
    R(sstatus, 0x100)                                                                                     \
    R(satp, 0x180) R(senvcfg, 0x10a) R(hstatus, 0x600) R(hgatp, 0x680) R(vsstatus, 0x200) R(vsatp, 0x280) \
        R(mstatus, 0x300) R(mtval2, 0x34b) R(cycle, 0xc00) R(time, 0xc01) R(none, 0x6c0) R(hvip, 0x645)
#define R(name, number) CODE(read_##name, "csrr a2, " #number);
CSR_READS(R)
#undef R
CODE(write_cycle, "csrw cycle, x0");
CODE(write_hgeip, "csrw 0xe12, x0");
CODE(write_satp, "csrw satp, a0");
enum { RUNS, ILL = 2, VIRT = 22 };

static void test_refused(void)
{
    static const struct {
        const uint32_t *code;
        const char *name;
        uint8_t u, hs, vu, vs; /* cause in each mode; 0: it runs */
    } table[] = {
        { wfi, "wfi", ILL, 99, VIRT, 99 },
        { sret, "sret", ILL, 99, VIRT, 99 },
        { mret, "mret", ILL, ILL, ILL, ILL },
        { sfence, "sfence.vma", ILL, RUNS, VIRT, RUNS },
        { hlv_w, "hlv.w", ILL, RUNS, VIRT, VIRT },
        { hlvx_wu, "hlvx.wu", ILL, RUNS, VIRT, VIRT },
        { hsv_w, "hsv.w", ILL, RUNS, VIRT, VIRT },
        { hfence_v, "hfence.vvma", ILL, RUNS, VIRT, VIRT },
        { hfence_g, "hfence.gvma", ILL, RUNS, VIRT, VIRT },
        { read_sstatus, "sstatus", ILL, RUNS, VIRT, RUNS },
        { read_satp, "satp", ILL, RUNS, VIRT, RUNS },
        { read_senvcfg, "senvcfg", ILL, RUNS, VIRT, RUNS },
        { read_hstatus, "hstatus", ILL, RUNS, VIRT, VIRT },
        { read_hgatp, "hgatp", ILL, RUNS, VIRT, VIRT },
        { read_hvip, "hvip", ILL, RUNS, VIRT, VIRT },
        { read_vsstatus, "vsstatus", ILL, RUNS, VIRT, VIRT },
        { read_vsatp, "vsatp", ILL, RUNS, VIRT, VIRT },
        { read_mstatus, "mstatus", ILL, ILL, ILL, ILL },
        { read_mtval2, "mtval2", ILL, ILL, ILL, ILL },
        { read_cycle, "cycle", RUNS, RUNS, RUNS, RUNS },
        { read_none, "a CSR that is not there", ILL, ILL, ILL, ILL },
        { write_cycle, "a write of cycle", ILL, ILL, ILL, ILL },
        { write_hgeip, "a write of hgeip", ILL, ILL, ILL, ILL },
    };
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
        const int modes[] = { U, HS, VU, VS }, causes[] = { table[i].u, table[i].hs, table[i].vu, table[i].vs };
        for (int m = 0; m < 4; m++) {
            ulong call_cause = modes[m] == VS ? 10 : 8 + (modes[m] & 3);
            if (causes[m] == 99 || (REFERENCE && modes[m] == VU && causes[m] == VIRT))
                continue; /* reference: illegal where VU-mode gets a virtual-instruction exception */
            csr_set(hstatus, 1 << 8);
            run(modes[m], table[i].code, VA, 0);
            print(causes[m] == (int)got.cause || (!causes[m] && got.cause == call_cause) ? "" : mode_names[modes[m]]);
            expect(M, causes[m] ? (ulong)causes[m] : call_cause, table[i].name);
            if (causes[m] && (!REFERENCE || *table[i].code >> 12 & 3)) /* reference: CSRs only */
                is(got.tval, insn_at(table[i].code), "mtval of a refused instruction");
        }
    }
    csr_write(medeleg, 1 << 22);
    csr_write(hedeleg, ~0ul);
    run(VS, read_hstatus, 0, 0);
    expect(HS, 22, "virtual instructions are not the guest's");
    is(got.tval, insn_at(read_hstatus), "stval");
    is(got.gva, 0, "GVA");
}

/* What CSR numbers of a guest mean. */
CODE(rw_scratch, "csrrw a2, sscratch, a0");
CODE(write_stvec, "csrw stvec, a0");
CODE(read_sie, "csrr a2, sie");
CODE(set_sie, "csrs sie, a0");
CODE(set_sstatus, "csrs sstatus, a0");
static void test_guest_registers(void)
{
    csr_write(sscratch, 1);
    csr_write(vsscratch, 2);
    run(VS, rw_scratch, 3, 0);
    is(got.a2, 2, "sscratch in VS is vsscratch");
    is(csr_read(vsscratch), 3, "and written there");
    run(HS, rw_scratch, 4, 0);
    is(got.a2, 1, "sscratch in HS");
    is(csr_read(vsscratch) * 16 + csr_read(sscratch), 0x34, "both");
    ulong before = csr_read(stvec);
    run(VS, write_stvec, 0x1000, 0);
    is(csr_read(vstvec), 0x1000, "stvec in VS");
    is(csr_read(stvec), before, "stvec of HS");
    csr_write(vstvec, in_guest);
    csr_write(hideleg, 0x444);
    run(VS, set_sie, ~0ul, 0);
    is(csr_read(vsie), 0x222, "sie in VS");
    is(csr_read(mie) & ~0x1444ul, 0, "is not that of HS");
    run(VS, read_sie, 0, 0);
    is(got.a2, REFERENCE ? 0 : 0x222, "sie read in VS");
    csr_write(vsie, 0);
    csr_write(vsstatus, 0);
    run(VS, set_sstatus, 1 << 18 | 1 << 19, 0);
    is(csr_read(vsstatus) >> 18 & 3, 3, "sstatus in VS");
    is(csr_read(sstatus) >> 18 & 3, 0, "sstatus of HS");
    run(VS, read_satp, 0, 0);
    is(got.a2, csr_read(vsatp), "satp in VS");
}

static void test_controls(void)
{
    csr_write(hstatus, 1 << 20);
    run(VS, sfence, 0, 0);
    expect(M, 22, "sfence.vma with VTVM");
    run(VS, read_satp, 0, 0);
    expect(M, REFERENCE ? 10 : 22, "satp with VTVM");
    run(HS, read_satp, 0, 0);
    expect(M, 9, "VTVM does not concern HS");
    csr_write(hstatus, 1 << 21);
    run(VS, wfi, 0, 0);
    expect(M, 22, "wfi with VTW");
    csr_set(mstatus, 1 << 21);
    run(VS, wfi, 0, 0);
    expect(M, 2, "wfi with TW");
    run(VU, wfi, 0, 0);
    expect(M, REFERENCE ? 22 : 2, "wfi in VU with TW");
    csr_clear(mstatus, 1 << 21);
    csr_write(hstatus, 1 << 22);
    run(VS, sret, 0, 0);
    expect(M, 22, "sret with VTSR");
    csr_write(hstatus, 0);
    csr_set(mstatus, 1 << 22);
    csr_write(vsepc, (ulong)call);
    csr_set(vsstatus, 1 << 8);
    run(VS, sret, 0, 0);
    expect(M, REFERENCE ? 2 : 10, "TSR does not concern VS");
    csr_clear(mstatus, 1 << 22);
    csr_set(mstatus, 1 << 20);
    run(HS, read_hgatp, 0, 0);
    expect(M, REFERENCE ? 9 : 2, "hgatp with TVM");
    run(HS, hfence_g, 0, 0);
    expect(M, 2, "hfence.gvma with TVM");
    run(HS, hfence_v, 0, 0);
    expect(M, 9, "hfence.vvma with TVM");
    run(VS, sfence, 0, 0);
    expect(M, REFERENCE ? 2 : 10, "TVM does not concern VS");
    csr_clear(mstatus, 1 << 20);
    csr_write(hcounteren, 0);
    run(VS, read_cycle, 0, 0);
    expect(M, 22, "a counter that hcounteren forbids");
    csr_write(mcounteren, 0);
    run(VS, read_cycle, 0, 0);
    expect(M, 2, "a counter that mcounteren forbids");
    csr_write(mcounteren, 7);
    csr_write(hcounteren, 7);
    csr_write(scounteren, 0);
    run(VS, read_cycle, 0, 0);
    expect(M, 10, "scounteren does not concern VS");
    run(VU, read_cycle, 0, 0);
    expect(M, 22, "a counter that scounteren forbids in VU");
    csr_write(htimedelta, 0x40000000);
    run(VS, read_time, 0, 0);
    ulong guest = got.a2;
    run(HS, read_time, 0, 0);
    is(guest - got.a2 + 0x20000000 >= 0x40000000 && guest - got.a2 <= 0x40000000, 1, "time in VS is htimedelta later");
    csr_write(htimedelta, 0);
}

/* ---- floating point ---- */
CODE(fmv, "fmv.w.x ft0, x0");
static void test_float(void)
{
    csr_set(mstatus, 0x6000);
    csr_write(vsstatus, 0);
    run(VS, fmv, 0, 0);
    expect(M, 2, "floating point that vsstatus.FS forbids");
    csr_write(vsstatus, 0x2000);
    csr_clear(mstatus, 0x6000);
    run(VS, fmv, 0, 0);
    expect(M, 2, "floating point that mstatus.FS forbids");
    csr_set(mstatus, 0x2000);
    run(VS, fmv, 0, 0);
    expect(M, 10, "floating point that both allow");
    is(csr_read(vsstatus) >> 13 & 3, 3, "vsstatus.FS is dirty");
    is(csr_read(mstatus) >> 13 & 3, 3, "mstatus.FS is dirty");
    is(csr_read(vsstatus) >> (XLEN - 1), !REFERENCE, "vsstatus.SD");
    csr_write(vsstatus, 0);
    run(HS, fmv, 0, 0);
    expect(M, 9, "vsstatus.FS does not concern HS");
    is(csr_read(vsstatus) >> 13 & 3, 0, "vsstatus.FS stays");
}

/* ---- faults of both stages ---- */
CODE(load_near, "lw a2, 12(a0)");
CODE(store_far, "sw a1, -8(a0)");
CODE(swap, "amoswap.w a2, a1, (a0)");
CODE(load_reserved, "lr.w a2, (a0)");
CODE(load_half, "lh a2, 0(a0)");
CODE(store_byte, "sb a1, 1(a0)");
CODE(float_load, "flw ft1, 4(a0)");
CODE(float_store, "fsd ft1, 8(a0)");
extern const uint16_t short_load[], short_store[], short_stack[];
__asm__(".pushsection .text\n.option push\n.option rvc\nshort_load: c.lw a2, 8(a0)\n ecall\nshort_store: c.sw a1, "
        "4(a0)\n ecall\n"
        "short_stack: mv a3, sp\n mv sp, a0\n c.lwsp a2, 0(sp)\n ecall\n.option pop\n.popsection");

static void test_faults(void)
{
    static const struct {
        const void *code;
        const char *name;
        int store;
        long offset;
        uint32_t tinst;
    } accesses[] = {
        { load_near, "lw", 0, 12, 0x00002603 },   { store_far, "sw", 1, -8, 0x00b02023 },
        { swap, "amoswap.w", 1, 0, 0x08b0262f },  { load_reserved, "lr.w", 0, 0, 0x1000262f },
        { load_half, "lh", 0, 0, 0x00001603 },    { store_byte, "sb", 1, 1, 0x00b00023 },
        { float_load, "flw", 0, 4, 0x00002087 },  { float_store, "fsd", 1, 8, 0x00103027 },
        { short_load, "c.lw", 0, 8, 0x00002601 }, { short_store, "c.sw", 1, 4, 0x00b02021 },
    };
    csr_write(medeleg, 1 << 12 | 1 << 13 | 1 << 15 | 0xb00000);
    csr_set(mstatus, 0x6000);
    for (unsigned i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        int store = accesses[i].store;
        ulong at = VA + 0x100, va = at + accesses[i].offset;
        run(VS, accesses[i].code, at, 7);
        expect(M, 10, "an access to what both stages map");
        *second_leaf &= ~(ulong)V;
        fence();
        run(VS, accesses[i].code, at, 7);
        print(REFERENCE || got.tinst == accesses[i].tinst ? "" : accesses[i].name);
        expect(HS, store ? 23 : 21, "a guest page fault");
        is(got.tval, va, "stval");
        is(got.tval2, (GPA + (va & 4095)) >> 2, "htval");
        is(got.gva, 1, "GVA");
        is(got.v, 1, "SPV");
        is(got.spvp, 1, "SPVP");
        tinst_is(accesses[i].tinst);
        is(got.pc, (ulong)accesses[i].code, "sepc");
        *second_leaf |= V;
        *guest_leaf &= ~(ulong)V;
        fence();
        csr_write(hedeleg, 0);
        run(VS, accesses[i].code, at, 7);
        expect(HS, store ? 15 : 13, "a page fault of the first stage");
        is(got.tval, va, "stval");
        is(got.tval2, 0, "htval");
        is(got.gva, 1, "GVA");
        tinst_is(accesses[i].tinst);
        csr_write(hedeleg, 1 << 13 | 1 << 15);
        run(VS, accesses[i].code, at, 7);
        expect(VS, store ? 15 : 13, "a page fault that the guest handles");
        is(got.tval, va, "vstval");
        *guest_leaf |= V;
        fence();
    }
    *second_leaf &= ~(ulong)V;
    fence();
    run(VS, jump, VA + 8, 0);
    expect(HS, 20, "a guest page fault of a fetch");
    is(got.tval, VA + 8, "stval");
    is(got.tval2, (GPA + 8) >> 2, "htval");
    is(got.tinst, 0, "htinst");
    is(got.gva, 1, "GVA");
    csr_write(medeleg, 0);
    run(VS, load, VA + 16, 0);
    expect(M, 21, "a guest page fault that is not delegated");
    is(got.tval, VA + 16, "mtval");
    is(got.tval2, (GPA + 16) >> 2, "mtval2");
    tinst_is(0x00002603);
    is(got.gva, 1, "mstatus.GVA");
    is(got.v, 1, "mstatus.MPV");
    run(HS, load, 0x30000000, 0);
    expect(M, 13, "a page fault of HS");
    is(got.gva, REFERENCE, "its GVA");
    is(got.tval2, 0, "its mtval2");
    *second_leaf |= V;
    fence();
}

/* The guest's tables lie in guest-physical memory too. */
static void test_implicit(void)
{
    enum { TABLE = 0x60000000 };
    ulong *moved = entry(second_root, TABLE, 0), table = (ulong)guest_leaf & ~4095ul, within = (ulong)guest_leaf & 4095;
    csr_write(medeleg, 0xb00000);
    *moved = leaf(table, V | RWX | AD | US);
    *entry(guest_root, VA, 1) = leaf(TABLE, V);
    fence();
    data[4] = 0x1234;
    run(VS, load, VA + 16, 0);
    expect(M, 10, "tables behind the second stage");
    is(got.a2, 0x1234, "what it loads");
    *moved &= ~(ulong)V;
    fence();
    run(VS, load, VA + 16, 0);
    expect(HS, 21, "a table's entry that the second stage does not map, a load");
    is(got.tval, VA + 16, "stval");
    is(got.tval2, (TABLE + within) >> 2, "htval is that of the entry");
    is(got.tinst, IMPLICIT_READ, "htinst: a read for the first stage");
    run(VS, store, VA + 16, 0);
    expect(HS, REFERENCE ? 21 : 23, "the same, a store");
    is(got.tinst, IMPLICIT_READ, "htinst");
    run(VS, jump, VA + 16, 0);
    expect(HS, REFERENCE ? 21 : 20, "the same, a fetch");
    is(got.tinst, IMPLICIT_READ, "htinst");
    run(HS, hlv_w, VA + 16, 0);
    expect(HS, 21, "the same, hlv");
    is(got.tinst, IMPLICIT_READ, "htinst");
    is(got.v, 0, "SPV");
    is(got.gva, 1, "GVA");
    *moved |= V;
    /* A and D of the first stage are written through the second */
    *guest_leaf &= ~(ulong)AD;
    *moved &= ~(ulong)AD;
    fence();
    run(VS, store, VA + 16, 0);
    expect(M, 10, "a store that sets A and D");
    is(*guest_leaf & AD, AD, "of the first stage");
#if !REFERENCE /* does not look at the second stage for that */
    is(*moved & AD, AD, "and of its table's page in the second");
    *guest_leaf &= ~(ulong)AD;
    *moved &= ~(ulong)WR;
    fence();
    run(VS, load, VA + 16, 0);
    expect(HS, 21, "setting A where the second stage lets nothing be written");
    is(got.tval2, (TABLE + within) >> 2, "htval");
    is(got.tinst, IMPLICIT_READ | 0x20, "htinst: a write for the first stage");
#endif
    *second_leaf &= ~(ulong)AD;
    *guest_leaf |= AD;
    *moved |= WR | AD;
    fence();
    run(VS, load, VA + 16, 0);
    is(*second_leaf & AD, AC, "A of the second stage");
    run(VS, store, VA + 16, 0);
    is(*second_leaf & AD, AD, "D of the second stage");
    translate();
}

/* ---- permissions ---- */
enum { LOAD, STORE, FETCH, HLV, HSV, HLVX };
/* Is it a fault, and which stage's? 0, 1, 2 */
static int model(int access, int user, ulong guest, ulong second, int sum, int mxr, int host_mxr)
{
    int execute = access == FETCH || access == HLVX, write = access == STORE || access == HSV;
    int readable = guest & RD || ((mxr || host_mxr) && guest & EX),
        readable2 = second & RD || (host_mxr && second & EX);
    if (!(guest & V) || (guest & (RD | WR)) == WR)
        return 1;
    if (user ? !(guest & US) : guest & US && (access == FETCH || !sum))
        return 1;
    if (!(execute ? (guest & EX) != 0 : write ? (guest & WR) != 0 : readable))
        return 1;
    if (!(second & V) || !(second & US) || (second & (RD | WR)) == WR)
        return 2;
    return (execute ? (second & EX) != 0 : write ? (second & WR) != 0 : readable2) ? 0 : 2;
}
static void test_permissions(void)
{
    static const ulong perms[] = { 0, V | RD, V | RD | WR, V | EX, V | RD | EX, V | RWX, V | WR | EX };
    enum { PERMS = sizeof perms / sizeof *perms };
    static const void *const codes[] = { load, store, jump, hlv_w, hsv_w, hlvx_wu };
    static const uint8_t causes[3][6] = { { 0 }, { 13, 15, 12, 13, 15, 13 }, { 21, 23, 20, 21, 23, 21 } };
    *(uint32_t *)data = 0x73; /* ecall, where a fetch goes */
    for (int n = 0; n < PERMS * PERMS * 6 * 2 * 4; n++) {
        int access = n % 6, user = n / 6 % 2, shared = n / 12 % 2, sum = n / 24 % 2, rest = n / 48;
        ulong guest = perms[rest % PERMS], second = perms[rest / PERMS];
        guest |= guest && shared ? US : 0;
        second |= second && n % 37 ? US : 0;
        int mxr = n % 5 == 0, host_mxr = n % 7 == 0, by_host = access >= HLV;
        *guest_leaf = leaf(GPA, guest | (guest ? AD : 0));
        *second_leaf = leaf((ulong)data, second | (second ? AD : 0));
        csr_write(vsstatus, 0x6000 | sum << 18 | mxr << 19);
        csr_clear(sstatus, 1 << 19);
        csr_set(sstatus, host_mxr << 19);
        csr_write(hstatus, user ? 0 : 1 << 8);
        fence();
        if (REFERENCE && (access == HLVX || (by_host && shared) || mxr || host_mxr))
            continue; /* hlvx is like hlv, and that knows nothing of vsstatus.SUM; vsstatus.MXR counts for both stages
                       */
        int fault = model(access, user, guest, second, sum, mxr, host_mxr);
        run(by_host ? HS : user ? VU : VS, codes[access], VA, 0x73);
        ulong want = fault ? causes[fault][access] : by_host ? 9 : user ? 8 : 10;
        if (got.cause != want) {
            print("access ");
            print_hex(access);
            print(" guest ");
            print_hex(guest);
            print(" second ");
            print_hex(second);
            print(user ? " user" : "");
            print(sum ? " SUM" : "");
            print(mxr ? " MXR" : "");
            print(host_mxr ? " HS-MXR\n" : "\n");
        }
        expect(M, want, "permissions of both stages");
        if (fault == 2)
            is(got.tval2, GPA >> 2, "mtval2");
    }
    csr_clear(sstatus, 1 << 19);
    translate();
}

/* ---- hlv, hsv ---- */
CODE(hlv_b, ".insn r 0x73, 4, 0x30, a2, a0, x0");
CODE(hlv_bu, ".insn r 0x73, 4, 0x30, a2, a0, x1");
CODE(hlv_h, ".insn r 0x73, 4, 0x32, a2, a0, x0");
CODE(hlv_hu, ".insn r 0x73, 4, 0x32, a2, a0, x1");
CODE(hsv_b, ".insn r 0x73, 4, 0x31, x0, a0, a1");
CODE(hsv_h, ".insn r 0x73, 4, 0x33, x0, a0, a1");
CODE(hlv_wu, ".insn r 0x73, 4, 0x34, a2, a0, x1");
CODE(hlv_d, ".insn r 0x73, 4, 0x36, a2, a0, x0");
CODE(hsv_d, ".insn r 0x73, 4, 0x37, x0, a0, a1");
static void test_hlv(void)
{
    data[0] = 0x89abcdef;
    data[1] = 0x80000001;
    csr_write(hstatus, 1 << 8);
    static const struct {
        const void *code;
        ulong want;
    } loads[] = {
        { hlv_b, -0x11 },
        { hlv_bu, 0xef },
        { hlv_h, -0x3211 },
        { hlv_hu, 0xcdef },
        { hlvx_hu, 0xcdef },
        { hlv_w, (long)(int32_t)0x89abcdef },
        { hlvx_wu, 0x89abcdef },
#if XLEN == 64
        { hlv_wu, 0x89abcdef },
        { hlv_d, 0x8000000189abcdef }
#endif
    };
    for (unsigned i = 0; i < sizeof loads / sizeof *loads; i++) {
        run(HS, loads[i].code, VA, 0);
        expect(M, 9, "a load for the guest");
        is(got.a2, loads[i].want, "what it loads");
        run(M, loads[i].code, VA, 0);
        expect(M, 11, "the same in M");
        is(got.a2, loads[i].want, "what it loads");
    }
    run(HS, hsv_b, VA + 1, 0x11);
    run(HS, hsv_h, VA + 2, 0x2233);
    is(data[0], 0x223311ef, "hsv.b, hsv.h");
    run(HS, hsv_w, VA + 4, 0x44556677);
    is(data[1], 0x44556677, "hsv.w");
#if XLEN == 64
    run(HS, hsv_d, VA + 8, 0x123456789abcdef0);
    is(*(ulong *)&data[2], 0x123456789abcdef0, "hsv.d");
#endif
    *second_leaf = leaf(UART, V | RWX | AD | US);
    fence();
    run(HS, hlv_bu, VA + 5, 0);
    expect(M, 9, "a load from a device for the guest"); /* what follows it is fetched as HS does */
    is(got.a2 & 0x20, 0x20, "what it loads");
    *second_leaf = leaf((ulong)data, V | RWX | AD | US);
    fence();
    run(U, hlv_w, VA, 0);
    expect(M, 2, "hlv in U without HU");
    csr_write(hstatus, 1 << 8 | 1 << 9);
    run(U, hlv_w, VA, 0);
    expect(M, 8, "hlv in U with HU");
    is(got.a2, data[0], "what it loads");
    csr_write(hstatus, 1 << 9); /* SPVP: as VU */
    run(U, hlv_w, VA, 0);
    expect(M, 13, "hlv as VU of a page of VS");
    is(got.gva, 1, "GVA");
    is(got.v, 0, "MPV");
    tinst_is(0x68004673);
    csr_write(hstatus, 1 << 8);
    *second_leaf &= ~(ulong)V;
    fence();
    run(HS, hsv_w, VA + 4, 1);
    expect(M, 23, "hsv to what the second stage does not map");
    is(got.tval2, (GPA + 4) >> 2, "mtval2");
    tinst_is(0x6ab04073);
    *second_leaf |= V;
    fence();
    /* MPRV with MPV */
    csr_set(mstatus, 1 << 17);
    csr_clear(mstatus, 3 << 11);
    csr_set(mstatus, 1 << 11);
    set_mpv(1);
    ulong v;
    __asm__ volatile("lw %0, 0(%1)" : "=r"(v) : "r"(VA) : "memory");
    csr_clear(mstatus, 1 << 17);
    is((uint32_t)v, data[0], "a load in M with MPRV, MPV and MPP of S");
    csr_set(mstatus, 3 << 11);
    set_mpv(0);
}

/* ---- fences ---- */
CODE(fence_page, ".insn r 0x73, 0, 0x11, x0, a0, x0"); /* hfence.vvma a0 */
CODE(fence_asid, ".insn r 0x73, 0, 0x11, x0, x0, a1");
CODE(fence_vmid, ".insn r 0x73, 0, 0x31, x0, x0, a1");
CODE(fence_gpa, ".insn r 0x73, 0, 0x31, x0, a0, x0");
CODE(guest_fence, "sfence.vma a0, x0");
static void test_fences(void)
{
    const struct {
        const void *code;
        const char *name;
        int mode, second;
        ulong a0, a1;
    } fences[] = { { fence_page, "hfence.vvma with an address", HS, 0, VA, 0 },
                   { fence_asid, "with an ASID", HS, 0, 0, 5 },
                   { hfence_v, "hfence.vvma", HS, 0, 0, 0 },
                   { guest_fence, "sfence.vma in VS", VS, 0, VA, 0 },
                   { sfence, "all by sfence.vma in VS", VS, 0, 0, 0 },
                   { fence_vmid, "hfence.gvma with a VMID", HS, 1, 0, 1 },
                   { fence_gpa, "with an address", HS, 1, GPA >> 2, 0 },
                   { hfence_g, "hfence.gvma", HS, 1, 0, 0 } };
    data[0] = 0x1111;
    other[0] = 0x2222;
    csr_write(vsatp, ATP_MODE | ASID(5) | (ulong)guest_root >> 12);
    *entry(second_root, GPA + 4096, 0) = leaf((ulong)other, V | RWX | AD | US);
    for (unsigned i = 0; i < sizeof fences / sizeof *fences; i++) {
        for (int turn = 0; turn < 4; turn++) {
            if (fences[i].second)
                *second_leaf = leaf((ulong)(turn & 1 ? other : data), V | RWX | AD | US);
            else
                *guest_leaf = leaf(GPA + (turn & 1 ? 4096 : 0), V | RWX | AD);
            run(fences[i].mode, fences[i].code, fences[i].a0, fences[i].a1);
            run(VS, load, VA, 0);
            expect(M, 10, fences[i].name);
            is(got.a2, turn & 1 ? 0x2222 : 0x1111, "the new page is seen");
        }
        *second_leaf = leaf((ulong)data, V | RWX | AD | US);
        *guest_leaf = leaf(GPA, V | RWX | AD);
        fence();
    }
    /* another VMID is another guest at once */
    static ulong second_other[4 * ENTRIES] __attribute__((aligned(16384)));
    for (int i = 0; i < 4 * ENTRIES; i++)
        second_other[i] = second_root[i];
    pool[15][0] = pool[15][1] = 0;
    ulong *e = &second_other[GPA >> (12 + INDEX_BITS * (LEVELS - 1))];
    ulong *low = (ulong *)(*e >> 10 << 12);
    for (int level = LEVELS - 2, n = 14;; level--, n--) { /* tables of its own on the way to the page */
        for (int i = 0; i < ENTRIES; i++)
            pool[n][i] = low[i];
        *e = leaf((ulong)pool[n], V);
        e = &pool[n][GPA >> (12 + INDEX_BITS * level) & (ENTRIES - 1)];
        if (!level)
            break;
        low = (ulong *)(*e >> 10 << 12);
    }
    *e = leaf((ulong)other, V | RWX | AD | US);
    for (int turn = 0; turn < 6; turn++) {
        csr_write(hgatp, ATP_MODE | VMID(1 + (turn & 1)) | (ulong)(turn & 1 ? second_other : second_root) >> 12);
        run(VS, load, VA, 0);
        is(got.a2, turn & 1 ? 0x2222 : 0x1111, "each VMID has its own");
    }
    /* Bare in either stage */
    csr_write(hgatp, ATP_MODE | VMID(1) | (ulong)second_root >> 12);
    csr_write(vsatp, 0);
    fence();
    run(VS, load, GPA, 0);
    is(got.a2, 0x1111, "a guest without paging");
    run(VS, load, VA, 0);
    expect(M, 21, "a guest without paging, nothing there");
    is(got.tval2, VA >> 2, "mtval2");
#if XLEN == 64
    run(VS, load, 1ul << 41, 0);
    expect(M, 21, "more address than Sv39x4 has");
    is(got.tval2, 1ul << 39, "mtval2");
#endif
    csr_write(hgatp, 0);
    run(VS, load, (ulong)data, 0);
    expect(M, 10, "a guest without any translation");
    is(got.a2, 0x1111, "what it loads");
    translate();
}

#include "hypervisor_events.h"

#define TESTS(T)                                                                                                       \
    T(registers)                                                                                                       \
    T(calls) T(returns) T(refused) T(guest_registers) T(controls) T(float) T(faults) T(implicit) T(permissions) T(hlv) \
        T(fences) T(interrupts) T(timer) T(environment) TEST_STATEEN(T) TEST_AIA(T)

int main(void)
{
#define T(name) { #name, test_##name },
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = { TESTS(T) };
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        group = tests[i].name;
        print(group);
        print("\n");
        defaults();
        tests[i].run();
    }
    print_hex(checks);
    print(" checks, all passed\n");
    return EXIT;
}
