/*
 * What an exit costs: a ROM of 64 KiB in real mode that counts the processor's cycles over loops of exits, and leaves
 * each count (8 bytes, least first) at port 0xe9: OUT to port 0x80, IN from there, a load from 0xa0000 where nothing
 * is; then it ends by port 0xf4. See exits.py, which assembles it, and exits_bare.c, which runs it without an emulator.
 * SPDX-License-Identifier: MIT
 */
    .code16
    .globl _start
    .set TIMES, 20000

    .macro begin
    mov $TIMES, %ecx
    rdtsc
    mov %eax, %esi
    mov %edx, %edi
    .endm

    .macro end
    rdtsc
    sub %esi, %eax
    sbb %edi, %edx
    mov $8, %ecx
1:  out %al, $0xe9
    shrd $8, %edx, %eax
    shr $8, %edx
    dec %ecx
    jnz 1b
    .endm

_start:
main:
    mov $0xa000, %ax
    mov %ax, %ds
    begin
2:  out %al, $0x80
    dec %ecx
    jnz 2b
    end
    begin
3:  in $0x80, %al
    dec %ecx
    jnz 3b
    end
    begin
4:  mov 0, %al
    dec %ecx
    jnz 4b
    end
    xor %al, %al
    out %al, $0xf4
5:  hlt
    jmp 5b

    .org 0xfff0
    ljmp $0xf000, $main
    .org 0x10000
