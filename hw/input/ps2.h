/*
 * PS/2 devices: a keyboard and a mouse, which send bytes to their controller and take commands from it (see
 * ps2_keyboard.c and ps2_mouse.c). They are parts of a controller's device, not devices of their own. Machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include "ui/display/input.h"

#define PS2_QUEUE 16

/* What a device has to say. All of it is state of the guest. */
typedef struct Ps2Queue {
    uint8_t bytes[PS2_QUEUE];
    uint8_t first, count;
    uint8_t last; /* sent, for the resend command */
} Ps2Queue;

typedef struct Ps2Keyboard {
    Ps2Queue queue;
    uint8_t command; /* that waits for its byte, 0: none */
    uint8_t set;     /* of scan codes, 1 to 3 */
    uint8_t leds, rate;
    uint8_t enabled;
} Ps2Keyboard;

typedef struct Ps2Mouse {
    Ps2Queue queue;
    int16_t dx, dy, dz; /* not reported yet; up is positive */
    uint8_t command;
    uint8_t type; /* 0: two or three buttons, 3: with a wheel, 4: and five buttons */
    uint8_t rate, resolution;
    uint8_t rates[3]; /* the last that were set: they identify a driver that knows wheels */
    uint8_t buttons;  /* bit 0 left, 1 right, 2 middle, 3 side, 4 extra */
    uint8_t reported; /* buttons */
    uint8_t enabled, remote, wrap, scaling;
} Ps2Mouse;

/* Take the next byte for the controller. False: there is none. */
bool ps2_take(Ps2Queue *queue, uint8_t *byte);

/* Power-on state, nothing to say. */
void ps2_keyboard_reset(Ps2Keyboard *keyboard);
/* A byte from the controller. */
void ps2_keyboard_write(Ps2Keyboard *keyboard, uint8_t byte);
void ps2_keyboard_key(Ps2Keyboard *keyboard, KeyCode key, bool down);

void ps2_mouse_reset(Ps2Mouse *mouse);
void ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte);
void ps2_mouse_move(Ps2Mouse *mouse, int dx, int dy, int wheel);
void ps2_mouse_button(Ps2Mouse *mouse, Button button, bool down);
/* Movement and buttons go into a packet if there is room. */
void ps2_mouse_report(Ps2Mouse *mouse);

#endif
