/*
 * Entry of devices.c by Multiboot, for 32 bits and (with __x86_64__) for 64: stack, paging in long mode, a GDT with code
 * and data of both levels, an IDT whose handlers count, and the processor that a start-up IPI starts in real mode.
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
    .globl enter_long_again
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

/* ---- interrupts: handler n adds 1 to counts[n], and writes EOI to the controllers ---- */
#ifdef __x86_64__
    .code64
#define SAVE    push %rax; push %rcx; push %rdx
#define RESTORE pop %rdx; pop %rcx; pop %rax
#define IRET    iretq
#else
    .code32
#define SAVE    push %eax; push %ecx; push %edx
#define RESTORE pop %edx; pop %ecx; pop %eax
#define IRET    iret
#endif
    .globl handlers
    .align 16
handlers:
    .set n, 0
    .rept 256
    .align 16
    SAVE
    mov $n, %ecx
    jmp counted
    .set n, n + 1
    .endr
counted:
    lock incl counts(, %ecx, 4)
    cmpl $0x30, %ecx
    jae 1f
    mov $0x20, %al                      /* 8259 */
    out %al, $0x20
    cmpl $0x28, %ecx
    jb 2f
    out %al, $0xa0
    jmp 2f
1:  cmpl $0x80, %ecx
    je 2f                               /* the system call */
    mov $0xfee000b0, %edx               /* local APIC */
#ifdef __x86_64__
    movl $0, (%rdx)
#else
    movl $0, (%edx)
#endif
2:  RESTORE
    IRET

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
    push $0x3002                        /* IOPL 3 */
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
    push $0x3002
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

/* ---- another processor: copied to 0x8000 ---- */
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lock incl 0x7000                    /* STARTED */
1:  hlt
    jmp 1b
trampoline_end:

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
    .globl gdt_pointer
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt, 0

    .bss
    .align 4096
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 16384
    .globl counts, stack_top
counts: .skip 1024
back: .skip 8
    .align 16
    .skip 16384
stack_top:
    .skip 16384
user_stack_top:
