/*
 * A boot sector, for a hard disk or an El Torito CD without emulation: says by the BIOS (screen) and by the serial port
 * from which drive it comes and what sector 16 of that has in bytes 1 to 5, waits for a byte from the serial port, and
 * resets by the keyboard controller.
 * SPDX-License-Identifier: MIT
 */
    .code16
    .globl _start
    .set SECTOR, 0x8000
_start:
    ljmp $0, $1f
1:  cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    sti
    cld
    mov %dl, drive
    mov $0x0100, %ax            /* no cursor: it would blink */
    mov $0x2000, %cx
    int $0x10
    mov $text, %si
    call put
    mov drive, %al
    shr $4, %al
    call put_digit
    mov drive, %al
    and $15, %al
    call put_digit
    mov $packet, %si
    mov $0x42, %ah
    mov drive, %dl
    int $0x13
    jc 1f
    mov $found, %si
    call put
    movb $0, SECTOR + 6
    mov $SECTOR + 1, %si
    call put
1:  mov $end, %si
    call put
    mov $0x3fd, %dx
2:  in %dx, %al
    test $1, %al
    jz 2b
    mov $0xfe, %al
    out %al, $0x64
3:  hlt
    jmp 3b

put_digit:
    add $'0', %al
    cmp $'9', %al
    jbe put_character
    add $'a' - '9' - 1, %al
put_character:
    push %dx
    mov $0x3f8, %dx
    out %al, %dx
    pop %dx
    mov $0x0e, %ah
    mov $7, %bx
    int $0x10
    ret
put:
    lodsb
    test %al, %al
    jz 1f
    call put_character
    jmp put
1:  ret

text: .asciz "\r\nRhea's boot sector from drive 0x"
found: .asciz ", which has "
end: .asciz ".\r\n"
drive: .byte 0
    .align 4
packet:
    .byte 16, 0
    .word 1, SECTOR, 0
    .quad 16

    .org 510
    .word 0xaa55
