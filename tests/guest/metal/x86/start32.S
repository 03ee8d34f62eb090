/*
 * Entry of the 32-bit program (Multiboot), the handlers of its IDT, and the ways into what is tested: run() by iret, and
 * run_real(), which leaves protected mode.
 * SPDX-License-Identifier: MIT
 */
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .globl _start, run, run_real, stubs, descend
_start:
    cli
    cld
    mov $stack_top, %esp
    push $0
    popf
    call main
1:  hlt
    jmp 1b

/* Each 16 bytes apart. */
    .align 16
stubs:
    .set n, 0
    .rept 256
    .align 16
    .if !(n == 8 || (n >= 10 && n <= 14) || n == 17)
    pushl $0
    .endif
    pushl $n
    jmp trap
    .set n, n + 1
    .endr

/* On the stack as Context has it from vector on. */
trap:
    cld
    push %ds
    push %es
    push %fs
    push %gs
    pushal
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov $got, %edi
    xor %ecx, %ecx
1:  mov (%esp, %ecx, 4), %eax
    stosl
    inc %ecx
    cmp $23, %ecx
    jb 1b
    mov %ss, %ebx
    lea 68(%esp), %ecx                  /* behind eflags */
    testl $0x20000, 64(%esp)
    jnz 2f
    testb $3, 60(%esp)
    jnz 2f
    mov %ecx, got + 68                  /* the same level: the stack was in use */
    mov %ebx, got + 72
2:  mov %cr2, %eax
    mov %eax, got_cr2
    mov %dr6, %eax
    mov %eax, got_dr6
    mov $0x10, %eax
    mov %eax, %ss
    mov monitor_esp, %esp
    popal
    ret

/* Go on with *(Context *)eax until an exception or interrupt. */
run:
    mov 4(%esp), %eax
    pushal
    mov %esp, monitor_esp
    testl $0x20000, 64(%eax)
    jnz 1f
    testb $3, 60(%eax)
    jnz 1f
    lss 68(%eax), %esp                  /* the same level: the frame goes to its own stack */
    push 64(%eax)
    push 60(%eax)
    push 56(%eax)
    mov %eax, %ebx
    jmp 2f
1:  lea -128(%esp), %esp
    mov $9, %ecx
3:  push 52(%eax, %ecx, 4)              /* gs fs ds es ss esp eflags cs eip */
    loop 3b
    mov %eax, %ebx
2:  push 32(%ebx)
    push 36(%ebx)
    push 40(%ebx)
    push 44(%ebx)
    push 28(%ebx)                       /* eax */
    push 24(%ebx)
    push 20(%ebx)
    push 16(%ebx)
    push 12(%ebx)
    push 8(%ebx)
    push 4(%ebx)
    push 0(%ebx)
    popal
    pop %ds
    pop %es
    pop %fs
    pop %gs
    iretl

/* void run_real(void): low memory has at 0x1000 what is between real_code and real_end; see there. */
run_real:
    pushal
    mov %esp, monitor_esp
    sidt saved_idt
    lidt real_idt
    ljmp $0x40, $real_16 - real_code + 0x1000

    .globl real_code, real_end
    .code16
real_code:
real_16:                                /* 16-bit protected mode, flat in the first 64 KiB */
    mov $0x48, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov %cr0, %eax
    and $~1, %al
    mov %eax, %cr0
    ljmp $0, $real_17 - real_code + 0x1000
real_17:                                /* the Context is at 0x800 */
    xor %ax, %ax
    mov %ax, %ds
    mov 0x800 + 76, %es
    mov 0x800 + 84, %fs
    mov 0x800 + 88, %gs
    lssl 0x800 + 68, %esp
    pushw 0x800 + 64
    pushw 0x800 + 60
    pushw 0x800 + 56
    mov 0x800 + 0, %edi
    mov 0x800 + 4, %esi
    mov 0x800 + 8, %ebp
    mov 0x800 + 16, %ebx
    mov 0x800 + 20, %edx
    mov 0x800 + 24, %ecx
    mov 0x800 + 28, %eax
    mov 0x800 + 80, %ds
    iretw
/* Handlers: call near from 256 small entries at 0x1200; the vector follows from the return address. */
    .globl real_trap
real_trap:
    cli
    push %ds
    pushw $0
    pop %ds
    popw 0x900 + 80                     /* ds */
    popw 0x900 + 48                     /* 3 * (vector + 1) + 0x1200 */
    mov %es, 0x900 + 76
    mov %fs, 0x900 + 84
    mov %gs, 0x900 + 88
    mov %edi, 0x900 + 0
    mov %esi, 0x900 + 4
    mov %ebp, 0x900 + 8
    mov %ebx, 0x900 + 16
    mov %edx, 0x900 + 20
    mov %ecx, 0x900 + 24
    mov %eax, 0x900 + 28
    popw 0x900 + 56
    popw 0x900 + 60
    popw 0x900 + 64
    mov %esp, 0x900 + 68
    mov %ss, 0x900 + 72
    lgdtl 0xa00
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $real_back
real_end:
    .code32
real_back:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov monitor_esp, %esp
    lidt saved_idt
    popal
    ret

    .section .rodata
real_idt:
    .word 0x3ff
    .long 0

    .bss
    .globl got, got_cr2, got_dr6, monitor_esp
    .align 16
    .skip 65536
stack_top:
got:    .skip 96
got_cr2: .skip 4
got_dr6: .skip 4
monitor_esp: .skip 4
saved_idt: .skip 8
