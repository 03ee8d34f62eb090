/*
 * A ROM of 64 KiB for screen_log_test.py: sets a mode of 640 x 200 with 8 bits by the Bochs interface, then draws as bytes
 * from the serial port say: 'a' and a byte: that byte becomes pixel 0 and 0x8000 of the bank; 'b' and a byte: that bank of
 * 64 KiB is shown at 0xa0000 from now on; 'p': the interrupt mask of the 8259 becomes 0xff, which reaches no memory; 'c' and
 * a byte: colour 7 becomes that, and the guest does nothing else until it is reset. Each command is answered by its letter,
 * 'c' before.
 * 'o': text mode's planes are written through the graphics controller with its bit mask, a register that makes the vCPU leave
 * the guest, changed between the writes, which need not; the answer is 'o' if all came in this order, else 'x'.
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
    cmp $'c', %al
    je colour
    cmp $'o', %al
    je order
    mov $0xff, %al
    out %al, $0x21
    jmp answer

colour:
    call get
    mov %al, %cl
    mov $COM, %dx
    mov $'c', %al
    out %al, %dx
1:  mov $COM + 5, %dx /* until it is sent: then no access exits for long */
    in %dx, %al
    test $0x40, %al
    jz 1b
    mov $0x3c8, %dx
    mov $7, %al
    out %al, %dx
    inc %dx
    mov %cl, %al
    out %al, %dx
    xor %al, %al
    out %al, %dx
    out %al, %dx
1:  jmp 1b

    .macro index port, register, value
    mov $\port, %dx
    mov $\value << 8 | \register, %ax
    out %ax, %dx
    .endm

order:
    mov $0x1ce, %dx
    mov $4, %ax
    out %ax, %dx
    inc %dx
    xor %ax, %ax
    out %ax, %dx
    index 0x3c4, 4, 6    /* neither odd and even nor chained */
    index 0x3c4, 2, 0xf  /* all planes */
    index 0x3ce, 5, 0    /* write mode 0 */
    index 0x3ce, 6, 5    /* 64 KiB at 0xa0000 */
    index 0x3ce, 1, 0
    index 0x3ce, 3, 0
    index 0x3ce, 4, 0
    xor %si, %si
    mov $0x3ce, %dx
1:  mov $0xff08, %ax     /* 0x00, then one more bit of 0xff each time: what was before is latched by a read */
    out %ax, %dx
    movb $0, (%si)
    mov $1, %cl
2:  mov (%si), %al       /* the latches */
    mov %cl, %ah
    mov $8, %al
    out %ax, %dx
    movb $0xff, (%si)
    movb $0xff, 1(%si)
    movb $0x5a, 1(%si)
    shl $1, %cl
    jnz 2b
    mov $0xff08, %ax
    out %ax, %dx
    mov (%si), %al
    cmp $0xff, %al
    jne 3f
    add $2, %si
    cmp $600, %si        /* more than the ring holds, over all */
    jb 1b
    xor %si, %si
4:  mov %si, %ax
    mov %al, (%si)
    inc %si
    cmp $1000, %si
    jb 4b
    xor %si, %si
5:  mov %si, %ax
    cmp %al, (%si)
    jne 3f
    inc %si
    cmp $1000, %si
    jb 5b
    mov $'o', %bl
    jmp answer
3:  mov $'x', %bl
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
