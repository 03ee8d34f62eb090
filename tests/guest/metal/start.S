/*
 * Bare-metal RISC-V start-up and trap entry, RV32 and RV64, machine mode. Each hart gets its own stack; hart 0 runs
 * main(), the others run secondary(hart). A trap saves the integer registers in a struct Trap and calls trap().
 * SPDX-License-Identifier: MIT
 */
#if __riscv_xlen == 64
#define REG_S sd
#define REG_L ld
#define REG_BYTES 8
#else
#define REG_S sw
#define REG_L lw
#define REG_BYTES 4
#endif
    .section .text.start
    .globl _start
_start:
    la      sp, stacks
    csrr    a0, mhartid
    addi    t0, a0, 1
    slli    t0, t0, 14
    add     sp, sp, t0
    li      t0, 0x6000              /* FS dirty */
    csrs    mstatus, t0
    la      t0, trap_entry
    csrw    mtvec, t0
    addi    t0, sp, -512            /* the upper half of the stack is for traps: their frame and what is below it */
    csrw    mscratch, t0
    li      t0, -8192
    add     sp, sp, t0
    bnez    a0, 1f
    call    main
    j       finish
1:  call    secondary
2:  wfi
    j       2b

    .align 4
trap_entry:
    csrrw   t6, mscratch, t6
    .irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    REG_S   x\r, \r*REG_BYTES(t6)
    .endr
    csrr    t0, mscratch
    REG_S   t0, 31*REG_BYTES(t6)
    csrw    mscratch, t6
    mv      a0, t6
    csrr    t0, mepc
    REG_S   t0, 0(t6)
    addi    sp, t6, -64
    andi    sp, sp, -16
    call    trap
    csrr    t6, mscratch
    REG_L   t0, 0(t6)
    csrw    mepc, t0
    .irp r, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    REG_L   x\r, \r*REG_BYTES(t6)
    .endr
    mret

/* long mid_block(long *ok, long *bad): stores and register writes around a fault. Returns a1 (trap() skips the faulting load). */
    .globl mid_block, mid_block_fault
mid_block:
    li      t1, 11
    li      t2, 22
    sw      t1, 0(a0)
    addi    t1, t1, 1
mid_block_fault:
    lw      t2, 0(a1)
    addi    t1, t1, 1
    sw      t1, 4(a0)
    mv      a0, t2
    ret

    .bss
    .align 12
stacks:
    .space 8 << 14
