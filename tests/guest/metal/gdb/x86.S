/*
 * What gdb_test.py looks at: a loop by Multiboot, in 32-bit code, that calls, loads and stores.
 * SPDX-License-Identifier: MIT
 */
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .globl _start
_start:
    mov $stack_top, %esp
    xor %ebx, %ebx
again:
    call tick
after:
    mov seen, %eax
loaded:
    add $1, %ebx
    jmp again
tick:
    incl counter
ticked:
    ret

    .bss
    .align 4
counter: .skip 4
seen: .skip 4
    .skip 256
stack_top:
