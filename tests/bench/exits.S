/*
 * What an exit costs: a ROM of 64 KiB that counts the processor's cycles over blocks of exits and leaves the least count
 * of a block (8 bytes, least first) at port 0xe9: what disturbs single blocks on a busy host is not in it. Lines: OUT to
 * port 0x80, IN from there, a load from and a store to the HPET's read-only capabilities, HLT that the local APIC's timer
 * ends, and HLT of two processors that wake each other by interrupts. Then it ends by port 0xf4. See exits.py, which
 * assembles it, and exits_bare.c, which runs it without an emulator.
 *
 * With BLOCKS, how many there are of each line; with ONE the last line, for which another processor must start, is not
 * there.
 *
 * In protected mode with paging off. Handlers drop their frame and jump back: some kernels cannot emulate IRET there.
 * SPDX-License-Identifier: MIT
 */
    .set BLOCK, 16
#ifndef BLOCKS
#define BLOCKS 100
#endif
    .set HPET, 0xfed00000
    .set APIC, 0xfee00000
    .set APIC_EOI, APIC + 0xb0
    .set APIC_SVR, APIC + 0xf0
    .set APIC_ICR, APIC + 0x300
    .set APIC_ICR_HIGH, APIC + 0x310
    .set APIC_TIMER, APIC + 0x320
    .set APIC_COUNT, APIC + 0x380
    .set APIC_DIVIDE, APIC + 0x3e0
    .set BASE, 0xf0000
    /* in RAM */
    .set BEST, 0x1000
    .set COME, 0x1004
    .set UP, 0x1008

    .macro begin
    movl $-1, BEST
    mov $BLOCKS, %ebp
10: mov $BLOCK, %ecx
    rdtsc
    mov %eax, %esi
    mov %edx, %edi
    .endm

    .macro end
    rdtsc
    sub %esi, %eax
    sbb %edi, %edx
    jnz 11f
    cmp BEST, %eax
    jae 11f
    mov %eax, BEST
11: dec %ebp
    jnz 10b
    call report
    .endm

    .code16
    .globl _start
_start: /* a start-up IPI begins here, too */
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
    movl $0x1ff, APIC_SVR
#ifndef ONE
    mov $0x1b, %ecx /* IA32_APIC_BASE: bit 8 is set for the first processor */
    rdmsr
    test $0x100, %eax
    jz second
#endif
    mov $0x8000, %esp

    begin
1:  out %al, $0x80
    dec %ecx
    jnz 1b
    end

    begin
1:  in $0x80, %al
    dec %ecx
    jnz 1b
    end

    begin
1:  mov HPET, %eax
    dec %ecx
    jnz 1b
    end

    begin
1:  mov %eax, HPET
    dec %ecx
    jnz 1b
    end

    movl $0xb, APIC_DIVIDE
    movl $0x40, APIC_TIMER
    begin
1:  movl $0, COME
    movl $100, APIC_COUNT
    call wait
    dec %ecx
    jnz 1b
    end

#ifndef ONE
    movl $0, UP
    movl $0xc4500, APIC_ICR /* INIT, start-up: all but itself */
    mov $1000, %ecx
1:  dec %ecx
    jnz 1b
    movl $0xc4600 + (BASE >> 12), APIC_ICR
1:  cmpl $0, UP
    je 1b
    begin
1:  movl $0, COME
    movl $1 << 24, APIC_ICR_HIGH
    movl $0x41, APIC_ICR
    call wait
    dec %ecx
    jnz 1b
    end
#endif

    xor %al, %al
    out %al, $0xf4
1:  hlt
    jmp 1b

wait:
    cmpl $0, COME
    jne 1f
    sti
    hlt
    cli
    jmp wait
1:  ret

report:
    mov BEST, %eax
    xor %edx, %edx
    mov $8, %ecx
1:  out %al, $0xe9
    shrd $8, %edx, %eax
    shr $8, %edx
    dec %ecx
    jnz 1b
    ret

second:
    mov $0x7000, %esp
    movl $1, UP
1:  sti
    hlt
    cli
    jmp 1b

here:   /* vector 0x40: what the first processor waits for */
    movl $1, COME
    movl $0, APIC_EOI
    jmp back
there:  /* vector 0x41: the second is called, and answers */
    movl $0, APIC_EOI
    movl $0, APIC_ICR_HIGH
    movl $0x40, APIC_ICR
back:
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
    .macro gate handler
    .word \handler - _start
    .word 8, 0x8e00, BASE >> 16
    .endm
    gate here
    gate there
idt_pointer:
    .word . - idt - 1
    .long idt

    .org 0xfff0
    .code16
    ljmp $0xf000, $0
    .org 0x10000
