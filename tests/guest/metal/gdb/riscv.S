/*
 * What gdb_test.py looks at: a loop of each hart that calls, loads and stores. s1 counts its turns.
 * SPDX-License-Identifier: MIT
 */
    .section .text.start, "ax"
    .option norvc
    .globl _start
_start:
    csrr s0, mhartid
    li s1, 0
    la s2, counter
    la s3, seen
again:
    jal ra, tick
after:
    lw a0, 0(s3)
loaded:
    addi s1, s1, 1
    j again
tick:
    lw t1, 0(s2)
    addi t1, t1, 1
    sw t1, 0(s2)
ticked:
    ret

    .bss
    .align 4
counter: .skip 4
seen: .skip 4
