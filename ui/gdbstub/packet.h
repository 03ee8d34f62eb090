/*
 * Packets of GDB's remote protocol (GDB manual, appendix E.1): "$text#checksum", with bytes escaped by '}'.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_GDBSTUB_PACKET_H
#define UI_GDBSTUB_PACKET_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 16384 /* bytes between $ and # */

typedef enum {
    PACKET_NOTHING,   /* more bytes are needed, or it is noise */
    PACKET_COMPLETE,  /* reader->text is one */
    PACKET_BAD,       /* its checksum is wrong, or it is too long */
    PACKET_ACK,       /* + */
    PACKET_NAK,       /* - */
    PACKET_INTERRUPT, /* Ctrl-C */
} PacketEvent;

typedef struct PacketReader {
    enum { PACKET_OUTSIDE, PACKET_TEXT, PACKET_ESCAPED, PACKET_SUM1, PACKET_SUM2 } at;
    bool too_long;
    uint8_t sum, digit;
    GByteArray *text; /* without escapes; a 0 follows that is not counted */
} PacketReader;

void packet_reader_init(PacketReader *r);
void packet_reader_clear(PacketReader *r);
/* The other end is another one: what has come of a packet is forgotten. */
void packet_reader_restart(PacketReader *r);
PacketEvent packet_read(PacketReader *r, uint8_t byte);
/* Append a packet of these bytes, escaped. */
void packet_write(GString *out, const void *data, size_t len);

/* Hexadecimal. False: text is not 2 * len digits. */
bool hex_decode(const char *text, uint8_t *to, size_t len);
void hex_encode(GString *out, const void *data, size_t len);
/* A number at *text, which moves behind it. False: there is none, or it is too large. */
bool hex_number(const char **text, uint64_t *value);

#endif
