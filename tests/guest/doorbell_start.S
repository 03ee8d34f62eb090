/*
 * The first and the last of doorbell.c's ROM: protected mode, a stack, an IDT. Vector 0x40 adds 1 to COUNT, 0x41 adds 100,
 * and ends its interrupt. It drops its frame and jumps back with interrupts off, since some kernels cannot emulate IRET there: only
 * wait_interrupt, which gives up EAX, lets it come.
 * SPDX-License-Identifier: MIT
 */
    .set COUNT, 0x1000
    .set APIC_EOI, 0xfee000b0

    .section .start, "ax"
    .code16
    .globl _start
_start:
    cli
    lgdtl %cs:gdt_pointer - _start
    lidtl %cs:idt_pointer - _start
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $flat

    .code32
flat:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x8000, %esp
    call main
1:  hlt
    jmp 1b

/* Until an interrupt, if there has been none since COUNT was the argument. */
    .globl wait_interrupt
wait_interrupt:
    mov 4(%esp), %eax
    cmp %eax, COUNT
    jne 1f
    sti
    hlt
    cli
1:  ret

    .globl let_interrupts
let_interrupts:
    sti
    nop
    nop
    cli
    ret

second:
    addl $99, COUNT
handler:
    incl COUNT
    movl $0, APIC_EOI
    pop %eax
    add $8, %esp
    jmp *%eax

    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long gdt
    .balign 8
idt:
    .fill 0x40, 8, 0
    .word handler - _start, 8, 0x8e00, 0xf
    .word second - _start, 8, 0x8e00, 0xf
idt_pointer:
    .word . - idt - 1
    .long idt

    .section .reset, "ax"
    .code16
    ljmp $0xf000, $0
    .balign 16
