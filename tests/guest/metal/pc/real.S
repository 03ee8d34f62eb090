/*
 * A firmware ROM of 64 KiB in real mode, into protected mode and back: ports, string instructions, interrupts by INT
 * and by the 8254 through the 8259 out of HLT, stores to the ROM. Output as that of main.c.
 * SPDX-License-Identifier: MIT
 */
    .code16
    .globl _start
    .set RAM, 0x1000            /* buffer of string instructions */
    .set TICKS, 0x500           /* counted by interrupts */
    .set CALLS, 0x504

    /* check name, a, b: 32 bits each */
    .macro check name, got, wanted
    mov \got, %eax
    mov \wanted, %ebx
    mov $9f, %si
    call report
    jmp 8f
9:  .asciz "\name\n"
8:
    .endm

_start:
main:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %sp

    /* ports */
    mov $0xcf8, %dx
    mov $0x80000000, %eax
    out %eax, %dx
    mov $0xcfc, %dx
    in %dx, %eax
    check "real mode, port 32", %eax, $0x12378086
    mov $0xcfe, %dx
    in %dx, %ax
    movzx %ax, %eax
    check "real mode, port 16", %eax, $0x1237
    mov $0xcfd, %dx
    in %dx, %al
    movzx %al, %eax
    check "real mode, port 8", %eax, $0x80

    /* fw_cfg's signature upwards and downwards */
    mov $0x510, %dx
    xor %ax, %ax
    out %ax, %dx
    inc %dx
    mov $RAM, %di
    mov $4, %cx
    rep insb
    check "real mode, rep insb", RAM, $0x554d4551
    movzx %di, %eax
    check "real mode, rep insb, pointer", %eax, $RAM + 4
    mov $0x510, %dx
    xor %ax, %ax
    out %ax, %dx
    inc %dx
    mov $RAM + 3, %di
    mov $4, %cx
    std
    rep insb
    cld
    check "real mode, rep insb downwards", RAM, $0x51454d55
    mov $0xcfc, %dx
    mov $RAM + 0xffd, %di       /* over the end of a page */
    mov $3, %cx
    rep insl
    check "real mode, rep insl", RAM + 0xffd + 8, $0x12378086
    mov $0x8000003c, %eax
    mov $0xcf8, %dx
    out %eax, %dx
    movl $0x44332211, RAM
    mov $RAM, %si
    mov $4, %cx
    mov $0xcfc, %dx
    rep outsb
    in %dx, %al
    movzx %al, %eax
    check "real mode, rep outsb", %eax, $0x44

    /* a store to the ROM changes nothing */
    mov $0xf000, %ax
    mov %ax, %fs
    mov %fs:0xfff0, %ecx
    movl $0x12345678, %fs:0xfff0
    check "real mode, ROM", %fs:0xfff0, %ecx

    /* INT */
    movw $called, 4 * 0x60
    movw $0xf000, 4 * 0x60 + 2
    movl $0, CALLS
    int $0x60
    int $0x60
    check "real mode, INT", CALLS, $2

    /* protected mode, for the HPET and the local APIC, and back */
    lgdtl %cs:gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $0x08, $protected + 0xf0000
back:
    mov %cr0, %eax
    and $~1, %al
    mov %eax, %cr0
    ljmp $0xf000, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    check "protected mode, memory", RAM, $0x80860001

    /* 8254 */
    movw $tick, 4 * 0x20
    movw $0xf000, 4 * 0x20 + 2
    movl $0, TICKS
    mov $0x11, %al
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $0xfe, %al
    out %al, $0x21
    mov $0x34, %al
    out %al, $0x43
    mov $0x40, %al              /* 200 Hz */
    out %al, $0x40
    mov $0x17, %al
    out %al, $0x40
1:  sti
    hlt
    cli
    cmpl $5, TICKS
    jb 1b
    check "real mode, 8254 through the 8259", $1, $1

    mov $last, %si
    call put
    mov $0x10, %al
    out %al, $0xf4
1:  hlt
    jmp 1b

    .code32
protected:
    mov $0x10, %ax
    mov %ax, %ds
    mov 0xfed00000, %eax
    and $0xffff00ff, %eax
    mov %eax, RAM
    movl $0x1ff, 0xfee000f0     /* local APIC on, LINT0: ExtINT */
    movl $0x700, 0xfee00350
    mov $0x20, %ax              /* 64 KiB, 16 bits, as real mode has it */
    mov %ax, %ds
    mov %ax, %ss
    ljmp $0x18, $back
    .code16

called:
    incl %ss:CALLS
    iret

tick:
    push %ax
    incl %ss:TICKS
    mov $0x20, %al
    out %al, $0x20
    pop %ax
    iret

/* eax is what there is, ebx what is wanted, cs:si the name. */
report:
    push %si
    mov $good, %si
    cmp %eax, %ebx
    je 1f
    mov $bad, %si
1:  call put
    pop %si
put:
    mov %cs:(%si), %al
    inc %si
    test %al, %al
    jz 1f
    out %al, $0xe9
    jmp put
1:  ret

good: .asciz "ok "
bad: .asciz "not ok "
last: .asciz "end\n"

    .align 8
gdt:                            /* all marked as accessed: that cannot be written here */
    .quad 0
    .quad 0x00cf9b000000ffff    /* 08: code, 32 bits */
    .quad 0x00cf93000000ffff    /* 10: data */
    .quad 0x00009b0f0000ffff    /* 18: code, 16 bits, at 0xf0000 */
    .quad 0x000093000000ffff    /* 20: data, 64 KiB */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt + 0xf0000

    .org 0xfff0
    ljmp $0xf000, $main
    .org 0x10000
