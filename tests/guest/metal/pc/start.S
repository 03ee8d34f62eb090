/*
 * Entry of main.c by Multiboot, for 32 bits and (with __x86_64__) for 64: stack, paging in long mode, a GDT with code
 * and data of both levels, entries of interrupts, and what a start-up IPI starts in real mode.
 * SPDX-License-Identifier: MIT
 */
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .code32
    .globl _start
_start:
    cli
    cld
    mov $stack_top, %esp
    mov %ebx, multiboot_info
    lgdt gdt_pointer
#ifdef __x86_64__
    call enter_long
    ljmp $0x18, $1f
    .code64
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_top, %rsp
#else
    ljmp $0x8, $1f
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
#endif
    call main
2:  cli
    hlt
    jmp 2b

#ifdef __x86_64__
/* The first 4 GiB, 2 MiB a page, as they are. */
    .code32
enter_long:
    mov $pdpt + 3, %eax
    mov %eax, pml4
    mov $pd + 3, %eax
    mov $pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $0x87, %eax             /* present, writable, user, large */
    mov $pd, %edi
    mov $2048, %ecx
2:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 2b
    orl $4, pml4
    orl $4, pdpt
    orl $4, pdpt + 8
    orl $4, pdpt + 16
    orl $4, pdpt + 24
enter_long_again:
    mov $pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    ret
#endif

/* ---- interrupts: handle(vector, frame) ---- */
#ifdef __x86_64__
    .code64
#else
    .code32
#endif
    .globl entries
    .align 16
entries:
    .set n, 0
    .rept 256
    .align 16
    push $n
    jmp entry
    .set n, n + 1
    .endr
entry:
    cld
#ifdef __x86_64__
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    mov 72(%rsp), %edi
    lea 80(%rsp), %rsi
    call handle
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    add $8, %rsp
    iretq
#else
    push %eax
    push %ecx
    push %edx
    lea 16(%esp), %eax
    push %eax
    push 16(%esp)
    call handle
    add $8, %esp
    pop %edx
    pop %ecx
    pop %eax
    add $4, %esp
    iret
#endif

/* ---- CPL 3: user(function) runs it there; it comes back by int 0x81 ---- */
    .globl user, user_return
user:
#ifdef __x86_64__
    push %rbx
    push %rbp
    mov %rsp, back
    push $0x33
    lea user_stack_top, %rax
    push %rax
    push $0x3202                        /* IOPL 3, interrupts on */
    push $0x2b
    push %rdi
    iretq
user_return:
    mov back, %rsp
    pop %rbp
    pop %rbx
    ret
#else
    mov 4(%esp), %eax
    push %ebx
    push %ebp
    push %esi
    push %edi
    mov %esp, back
    push $0x33
    push $user_stack_top
    push $0x3202
    push $0x23
    push %eax
    mov $0x33, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    iret
user_return:
    mov $0x10, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov back, %esp
    pop %edi
    pop %esi
    pop %ebp
    pop %ebx
    ret
#endif

/* ---- another processor: copied to 0x8000; goes to ap_main(its number from 0 on) with a stack of its own ---- */
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl 0x8000 + (1f - trampoline)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $started
1:  .word gdt_pointer - gdt - 1
    .long gdt
trampoline_end:

    .code32
started:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $1, %ebx
    lock xadd %ebx, 0x7000              /* STARTED */
    mov %ebx, %esp
    shl $13, %esp
    add $ap_stacks + 8192, %esp
#ifdef __x86_64__
    call enter_long_again
    ljmp $0x18, $1f
    .code64
1:  mov %ebx, %edi
    mov %esp, %esp
#else
    push %ebx
#endif
    call ap_main
2:  cli
    hlt
    jmp 2b

    .data
    .align 16
    .globl gdt
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff            /* 08: code, 32 bits */
    .quad 0x00cf92000000ffff            /* 10: data */
    .quad 0x00af9a000000ffff            /* 18: code, 64 bits */
    .quad 0x00cffa000000ffff            /* 20: code of level 3, 32 bits */
    .quad 0x00affa000000ffff            /* 28: code of level 3, 64 bits */
    .quad 0x00cff2000000ffff            /* 30: data of level 3 */
    .quad 0, 0                          /* 38: TSS */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt, 0

    .bss
    .align 4096
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 16384
    .globl multiboot_info, level0_stack_top
multiboot_info: .skip 4
back: .skip 8
    .align 16
    .skip 16384
stack_top:
    .skip 16384
level0_stack_top:
    .skip 16384
user_stack_top:
ap_stacks: .skip 8192 * 8
