/*
 * PS/2 keyboard (IBM PS/2 Hardware Interface Technical Reference, "Keyboards (101- and 102-Key)"): commands, and scan
 * codes in the three sets. Keys do not repeat by themselves: the host's keyboard does that, or does not.
 * SPDX-License-Identifier: MIT
 */
#include "hw/input/ps2_queue.h"
#include <string.h>

enum {
    SET_LEDS = 0xed,
    ECHO = 0xee,
    SCANCODE_SET = 0xf0,
    IDENTIFY = 0xf2,
    SET_RATE = 0xf3,
    ENABLE = 0xf4,
    DEFAULTS_OFF = 0xf5,
    DEFAULTS = 0xf6,
    ALL_KEYS_FIRST = 0xf7,
    ALL_KEYS_LAST = 0xfa,
    KEY_TYPE_FIRST = 0xfb,
    KEY_TYPE_LAST = 0xfd,
    RESEND = 0xfe,
    RESET = 0xff
};
#define BREAK       0xf0 /* before the code, in sets 2 and 3 */
#define RATE_NORMAL 0x2b

static void set_defaults(Ps2Keyboard *k)
{
    k->command = 0;
    k->set = 2;
    k->rate = RATE_NORMAL;
}

void ps2_keyboard_reset(Ps2Keyboard *k)
{
    memset(k, 0, sizeof(*k));
    set_defaults(k);
    k->enabled = true;
}

/* ---- commands ---- */

static void parameter(Ps2Keyboard *k, uint8_t byte)
{
    uint8_t command = k->command;
    k->command = 0;
    switch (command) {
    case SET_LEDS:
        k->leds = byte & 7;
        break;
    case SET_RATE:
        k->rate = byte & 0x7f;
        break;
    case SCANCODE_SET:
        if (byte > 3) {
            ps2_reply(&k->queue, 1, PS2_RESEND);
            return;
        }
        if (!byte) {
            ps2_reply(&k->queue, 2, PS2_ACK, k->set);
            return;
        }
        k->set = byte;
        break;
    default: /* a key that is to send breaks, or to repeat, or not: all do both */
        break;
    }
    ps2_reply(&k->queue, 1, PS2_ACK);
}

static void command(Ps2Keyboard *k, uint8_t byte)
{
    switch (byte) {
    case SET_LEDS:
    case SCANCODE_SET:
    case SET_RATE:
    case KEY_TYPE_FIRST ... KEY_TYPE_LAST:
        k->command = byte;
        ps2_reply(&k->queue, 1, PS2_ACK);
        break;
    case ECHO:
        ps2_reply(&k->queue, 1, ECHO);
        break;
    case IDENTIFY:
        ps2_reply(&k->queue, 3, PS2_ACK, 0xab, 0x83);
        break;
    case ENABLE:
        ps2_clear(&k->queue);
        k->enabled = true;
        ps2_reply(&k->queue, 1, PS2_ACK);
        break;
    case DEFAULTS_OFF:
    case DEFAULTS:
        ps2_clear(&k->queue);
        set_defaults(k);
        k->enabled = byte == DEFAULTS;
        ps2_reply(&k->queue, 1, PS2_ACK);
        break;
    case ALL_KEYS_FIRST ... ALL_KEYS_LAST:
        ps2_reply(&k->queue, 1, PS2_ACK);
        break;
    case RESEND:
        ps2_reply(&k->queue, 1, k->queue.last);
        break;
    case RESET:
        ps2_keyboard_reset(k);
        ps2_reply(&k->queue, 2, PS2_ACK, PS2_SELF_TEST_PASSED);
        break;
    default:
        ps2_reply(&k->queue, 1, PS2_RESEND);
        break;
    }
}

void ps2_keyboard_write(Ps2Keyboard *k, uint8_t byte)
{
    if (k->command && byte < SET_LEDS)
        parameter(k, byte);
    else
        command(k, byte); /* also instead of the byte that one waited for */
}

/* ---- keys ---- */

typedef struct Codes {
    uint8_t bytes[8];
    unsigned count;
} Codes;

/* Pause sends its break with its make. */
static void pause_codes(unsigned set, bool down, Codes *c)
{
    static const Codes codes[] = { { { 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5 }, 6 },
                                   { { 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77 }, 8 } };
    if (down)
        *c = codes[set - 1];
}

static void key_codes(KeyCode key, unsigned set, bool down, Codes *c)
{
    uint16_t code = key_scancode(key, set);
    if (key == KEY_pause && set != 3) {
        pause_codes(set, down, c);
        return;
    }
    if (!code)
        return;
    if (code >> 8)
        c->bytes[c->count++] = code >> 8;
    if (!down && set != 1)
        c->bytes[c->count++] = BREAK;
    c->bytes[c->count++] = !down && set == 1 ? code | 0x80 : code;
}

void ps2_keyboard_key(Ps2Keyboard *k, KeyCode key, bool down)
{
    Codes c = { .count = 0 };
    if (!k->enabled)
        return;
    key_codes(key, k->set, down, &c);
    if (c.count && !ps2_put(&k->queue, c.bytes, c.count))
        ps2_put(&k->queue, (const uint8_t[]){ k->set == 1 ? 0xff : 0x00 }, 1); /* overrun */
}
