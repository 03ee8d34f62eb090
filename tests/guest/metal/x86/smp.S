/*
 * Entry of the program for several processors: the first by Multiboot, the others by a start-up IPI to 0x8000, where
 * what is between other_code and other_end is copied.
 * SPDX-License-Identifier: MIT
 */
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .globl _start, other_code, other_end
_start:
    cli
    cld
    lgdt table
    mov $first_stack, %esp
    ljmp $8, $1f
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    call first
2:  hlt
    jmp 2b

    .code16
other_code:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl table_here - other_code
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $other_32
table_here:
    .word 23
    .long gdt
other_end:
    .code32
other_32:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $1, %eax
    lock xaddl %eax, next
    mov %eax, %ecx
    shl $12, %ecx
    lea stacks(%ecx), %esp
    push %eax
    call other
3:  cli
    hlt
    jmp 3b

    .data
    .align 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table:
    .word 23
    .long gdt
next:
    .long 1

    .bss
    .align 4096
stacks:
    .skip 65536
first_stack:
