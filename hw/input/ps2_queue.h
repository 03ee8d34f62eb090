/*
 * What PS/2 devices send: bytes that wait for the controller (ps2_queue.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INPUT_PS2_QUEUE_H
#define HW_INPUT_PS2_QUEUE_H

#include "hw/input/ps2.h"

enum { PS2_ACK = 0xfa, PS2_RESEND = 0xfe, PS2_SELF_TEST_PASSED = 0xaa };

void ps2_clear(Ps2Queue *queue);
/* All of it or nothing (false). */
bool ps2_put(Ps2Queue *queue, const uint8_t *bytes, unsigned count);
/* The same of an answer (ints): what does not leave room for it goes. */
void ps2_reply(Ps2Queue *queue, unsigned count, ...);

#endif
