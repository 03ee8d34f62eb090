/*
 * PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference, "Mouse"), with what Microsoft's IntelliMouse and
 * IntelliMouse Explorer add: a driver that sets three sample rates in a row gets a wheel, and two more buttons.
 * SPDX-License-Identifier: MIT
 */
#include "hw/input/ps2_queue.h"
#include <string.h>

enum {
    SCALING_1 = 0xe6,
    SCALING_2 = 0xe7,
    SET_RESOLUTION = 0xe8,
    STATUS = 0xe9,
    STREAM = 0xea,
    READ_DATA = 0xeb,
    WRAP_OFF = 0xec,
    WRAP = 0xee,
    REMOTE = 0xf0,
    IDENTIFY = 0xf2,
    SET_RATE = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    DEFAULTS = 0xf6,
    RESEND = 0xfe,
    RESET = 0xff
};
enum { TYPE_PLAIN = 0, TYPE_WHEEL = 3, TYPE_EXPLORER = 4 };
#define MOVED_MAX 2047

static void set_defaults(Ps2Mouse *m)
{
    m->command = 0;
    m->rate = 100;
    m->resolution = 2;
    m->enabled = m->remote = m->wrap = m->scaling = false;
    m->dx = m->dy = m->dz = 0;
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    uint8_t buttons = m->buttons; /* they are where the hand has them */
    memset(m, 0, sizeof(*m));
    m->buttons = m->reported = buttons;
    set_defaults(m);
}

/* ---- packets ---- */

/* Take as much of a counter as one packet can say. */
static int take_moved(int16_t *moved, int limit)
{
    int part = CLAMP(*moved, -limit, limit);
    *moved -= part;
    return part;
}

static int scaled(int moved)
{
    static const uint8_t table[] = { 0, 1, 1, 3, 6, 9 };
    int size = ABS(moved), out = size < (int)G_N_ELEMENTS(table) ? table[size] : MIN(size * 2, 255);
    return moved < 0 ? -out : out;
}

static bool send_packet(Ps2Mouse *m, bool stream)
{
    uint8_t bytes[4];
    unsigned count = m->type == TYPE_PLAIN ? 3 : 4;
    if (m->queue.count + count > PS2_QUEUE)
        return false;
    int x = take_moved(&m->dx, 255), y = take_moved(&m->dy, 255), z = take_moved(&m->dz, 7);
    if (stream && m->scaling) {
        x = scaled(x);
        y = scaled(y);
    }
    bytes[0] = (m->buttons & 7) | 8 | (x < 0) << 4 | (y < 0) << 5;
    bytes[1] = x;
    bytes[2] = y;
    bytes[3] = m->type == TYPE_EXPLORER ? (z & 15) | (m->buttons >> 3 & 3) << 4 : z;
    m->reported = m->buttons;
    return ps2_put(&m->queue, bytes, count);
}

static bool anything_new(const Ps2Mouse *m)
{
    uint8_t seen = m->type == TYPE_EXPLORER ? 0x1f : 7;
    return m->dx || m->dy || (m->dz && m->type != TYPE_PLAIN) || ((m->buttons ^ m->reported) & seen);
}

void ps2_mouse_report(Ps2Mouse *m)
{
    while (m->enabled && !m->remote && !m->wrap && anything_new(m) && send_packet(m, true))
        ;
}

/* ---- commands ---- */

static void send_status(Ps2Mouse *m)
{
    uint8_t buttons = (m->buttons & 1) << 2 | (m->buttons & 4) >> 1 | (m->buttons & 2) >> 1;
    uint8_t flags = m->remote << 6 | m->enabled << 5 | m->scaling << 4 | buttons;
    ps2_reply(&m->queue, 4, PS2_ACK, flags, m->resolution, m->rate);
}

/* 200, 100, 80 asks for a wheel; then 200, 200, 80 for five buttons. */
static void set_rate(Ps2Mouse *m, uint8_t rate)
{
    m->rate = rate;
    m->rates[0] = m->rates[1];
    m->rates[1] = m->rates[2];
    m->rates[2] = rate;
    if (m->rates[0] != 200 || m->rates[2] != 80)
        return;
    if (m->rates[1] == 100 && m->type == TYPE_PLAIN)
        m->type = TYPE_WHEEL;
    else if (m->rates[1] == 200 && m->type == TYPE_WHEEL)
        m->type = TYPE_EXPLORER;
}

static void parameter(Ps2Mouse *m, uint8_t byte)
{
    if (m->command == SET_RATE)
        set_rate(m, byte);
    else
        m->resolution = byte & 3;
    m->command = 0;
    ps2_reply(&m->queue, 1, PS2_ACK);
}

/* Commands that are one setting, or none. False: byte is not one of them. */
static bool simple_command(Ps2Mouse *m, uint8_t byte)
{
    switch (byte) {
    case SCALING_1:
    case SCALING_2:
        m->scaling = byte == SCALING_2;
        break;
    case SET_RESOLUTION:
    case SET_RATE:
        m->command = byte;
        break;
    case STREAM:
    case REMOTE:
        m->remote = byte == REMOTE;
        break;
    case WRAP_OFF:
        break;
    case WRAP:
        m->wrap = true;
        break;
    case ENABLE:
    case DISABLE:
        m->enabled = byte == ENABLE;
        m->dx = m->dy = m->dz = 0;
        break;
    case DEFAULTS:
        set_defaults(m);
        break;
    default:
        return false;
    }
    ps2_reply(&m->queue, 1, PS2_ACK);
    return true;
}

void ps2_mouse_write(Ps2Mouse *m, uint8_t byte)
{
    if (m->wrap && byte != WRAP_OFF && byte != RESET) {
        ps2_reply(&m->queue, 1, byte);
        return;
    }
    m->wrap = false;
    if (m->command) {
        parameter(m, byte);
        return;
    }
    if (byte != RESEND) /* a command ends what was being sent */
        ps2_clear(&m->queue);
    if (simple_command(m, byte))
        return;
    switch (byte) {
    case STATUS:
        send_status(m);
        break;
    case READ_DATA:
        ps2_reply(&m->queue, 1, PS2_ACK);
        send_packet(m, false);
        break;
    case IDENTIFY:
        ps2_reply(&m->queue, 2, PS2_ACK, m->type);
        break;
    case RESEND:
        ps2_reply(&m->queue, 1, m->queue.last);
        break;
    case RESET:
        ps2_mouse_reset(m);
        ps2_reply(&m->queue, 3, PS2_ACK, PS2_SELF_TEST_PASSED, TYPE_PLAIN);
        break;
    default:
        ps2_reply(&m->queue, 1, PS2_RESEND);
        break;
    }
}

/* ---- what the hand does ---- */

static void move(int16_t *moved, int by)
{
    *moved = CLAMP(*moved + CLAMP(by, -MOVED_MAX, MOVED_MAX), -MOVED_MAX, MOVED_MAX);
}

/* Up is positive in packets, the wheel's up is negative. */
void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int wheel)
{
    if (!m->enabled && !m->remote)
        return;
    move(&m->dx, dx);
    move(&m->dy, -CLAMP(dy, -MOVED_MAX, MOVED_MAX));
    move(&m->dz, -CLAMP(wheel, -MOVED_MAX, MOVED_MAX));
}

void ps2_mouse_button(Ps2Mouse *m, Button button, bool down)
{
    static const uint8_t bits[BUTTON_COUNT] = { 1, 4, 2, 8, 16 };
    m->buttons = (m->buttons & ~bits[button]) | (down ? bits[button] : 0);
}
