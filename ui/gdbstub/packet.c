/*
 * Packets of GDB's remote protocol: framing, checksums, hexadecimal (see packet.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/gdbstub/packet.h"
#include <string.h>

void packet_reader_init(PacketReader *r)
{
    *r = (PacketReader){ .text = g_byte_array_new() };
}

void packet_reader_clear(PacketReader *r)
{
    g_byte_array_unref(r->text);
    r->text = NULL;
}

void packet_reader_restart(PacketReader *r)
{
    r->at = PACKET_OUTSIDE;
    g_byte_array_set_size(r->text, 0);
}

static void keep(PacketReader *r, uint8_t byte)
{
    r->at = PACKET_TEXT;
    if (r->text->len < PACKET_MAX)
        g_byte_array_append(r->text, &byte, 1);
    else
        r->too_long = true;
}

static PacketEvent outside(PacketReader *r, uint8_t byte)
{
    switch (byte) {
    case '$':
        packet_reader_restart(r);
        r->at = PACKET_TEXT;
        r->sum = 0;
        r->too_long = false;
        return PACKET_NOTHING;
    case '+':
        return PACKET_ACK;
    case '-':
        return PACKET_NAK;
    case 3:
        return PACKET_INTERRUPT;
    default:
        return PACKET_NOTHING;
    }
}

static PacketEvent text(PacketReader *r, uint8_t byte)
{
    if (byte == '$') /* the one before was cut off */
        return outside(r, byte);
    if (byte == '#') {
        r->at = PACKET_SUM1;
        return PACKET_NOTHING;
    }
    r->sum += byte;
    if (r->at == PACKET_ESCAPED)
        keep(r, byte ^ 0x20);
    else if (byte == '}')
        r->at = PACKET_ESCAPED;
    else
        keep(r, byte);
    return PACKET_NOTHING;
}

static PacketEvent checked(PacketReader *r, uint8_t byte)
{
    static const uint8_t end = 0;
    int low = g_ascii_xdigit_value(byte), high = g_ascii_xdigit_value(r->digit);
    r->at = PACKET_OUTSIDE;
    if (low < 0 || high < 0 || (high << 4 | low) != r->sum || r->too_long)
        return PACKET_BAD;
    g_byte_array_append(r->text, &end, 1);
    r->text->len--;
    return PACKET_COMPLETE;
}

PacketEvent packet_read(PacketReader *r, uint8_t byte)
{
    switch (r->at) {
    case PACKET_OUTSIDE:
        return outside(r, byte);
    case PACKET_SUM1:
        r->digit = byte;
        r->at = PACKET_SUM2;
        return PACKET_NOTHING;
    case PACKET_SUM2:
        return checked(r, byte);
    default:
        return text(r, byte);
    }
}

void packet_write(GString *out, const void *data, size_t len)
{
    uint8_t sum = 0;
    g_string_append_c(out, '$');
    for (const uint8_t *p = data, *end = p + len; p < end; p++) {
        uint8_t byte = *p;
        if (byte == '$' || byte == '#' || byte == '}' || byte == '*') {
            g_string_append_c(out, '}');
            sum += '}';
            byte ^= 0x20;
        }
        g_string_append_c(out, (char)byte);
        sum += byte;
    }
    g_string_append_printf(out, "#%02x", sum);
}

/* ---- hexadecimal ---- */

bool hex_decode(const char *text, uint8_t *to, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]), low = high < 0 ? -1 : g_ascii_xdigit_value(text[2 * i + 1]);
        if (low < 0)
            return false;
        to[i] = high << 4 | low;
    }
    return true;
}

void hex_encode(GString *out, const void *data, size_t len)
{
    for (const uint8_t *p = data, *end = p + len; p < end; p++)
        g_string_append_printf(out, "%02x", *p);
}

bool hex_number(const char **text, uint64_t *value)
{
    const char *start = *text;
    *value = 0;
    for (int digit; (digit = g_ascii_xdigit_value(**text)) >= 0; (*text)++) {
        if (*value >> 60)
            return false;
        *value = *value << 4 | (unsigned)digit;
    }
    return *text != start;
}
