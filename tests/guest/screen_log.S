/*
 * A ROM of 64 KiB for screen_log_test.py: sets a mode of 640 x 200 with 8 bits by the Bochs interface, then draws as bytes
 * from the serial port say: 'a' and a byte: that byte becomes pixel 0 and 0x8000 of the bank; 'b' and a byte: that bank of
 * 64 KiB is shown at 0xa0000 from now on; 'p': the interrupt mask of the 8259 becomes 0xff, which reaches no memory. Each
 * command is answered by its letter.
 * SPDX-License-Identifier: MIT
 */
    .code16
    .globl _start
    .set COM, 0x3f8

    .macro vbe index, value
    mov $0x1ce, %dx
    mov $\index, %ax
    out %ax, %dx
    inc %dx
    mov $\value, %ax
    out %ax, %dx
    .endm

_start:
    cli
    vbe 1, 640
    vbe 2, 200
    vbe 3, 8
    vbe 4, 0x41
    mov $0xa000, %ax
    mov %ax, %ds
    /* colour n of the palette is n, 0, 0 */
    mov $0x3c8, %dx
    mov $0, %al
    out %al, %dx
    inc %dx
    xor %cx, %cx
1:  mov %cl, %al
    out %al, %dx
    mov $0, %al
    out %al, %dx
    out %al, %dx
    inc %cl
    jnz 1b
    mov $'r', %bl
    jmp answer

command:
    call get
    mov %al, %bl
    cmp $'a', %al
    je draw
    cmp $'b', %al
    je bank
    mov $0xff, %al
    out %al, $0x21
    jmp answer
draw:
    call get
    mov %al, 0
    mov %al, 0x8000
    jmp answer
bank:
    call get
    mov %al, %cl
    mov $0x1ce, %dx
    mov $5, %ax
    out %ax, %dx
    inc %dx
    xor %ah, %ah
    mov %cl, %al
    out %ax, %dx
answer:
    mov $COM, %dx
    mov %bl, %al
    out %al, %dx
    jmp command

get:
    mov $COM + 5, %dx
1:  in %dx, %al
    test $1, %al
    jz 1b
    mov $COM, %dx
    in %dx, %al
    ret

    .org 0xfff0
    ljmp $0xf000, $0
    .org 0x10000
