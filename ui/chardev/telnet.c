/*
 * The telnet protocol for sockets (see telnet.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/telnet.h"
#include <string.h>
#include <unistd.h>

enum { SE = 240, BRK = 243, SB = 250, WILL = 251, WONT, DO, DONT, IAC };
enum { OPTION_BINARY = 0, OPTION_ECHO = 1, OPTION_SGA = 3 };

void telnet_begin(Telnet *t, int fd)
{
    static const uint8_t offers[] = { IAC, WILL, OPTION_ECHO,   IAC, WILL, OPTION_SGA,
                                      IAC, WILL, OPTION_BINARY, IAC, DO,   OPTION_BINARY };
    t->at = TELNET_DATA;
    if (write(fd, offers, sizeof(offers)) < 0)
        return; /* gone already: reading finds out */
}

/* The byte after IAC. True if it is data. */
static bool command(Telnet *t, uint8_t byte, bool *brk)
{
    t->at = byte == SB ? TELNET_SUB : byte >= WILL && byte <= DONT ? TELNET_OPTION : TELNET_DATA;
    *brk = byte == BRK;
    return byte == IAC;
}

/* True if the byte is data. */
static bool input(Telnet *t, uint8_t byte, bool *brk)
{
    switch (t->at) {
    case TELNET_DATA:
        if (byte != IAC)
            return true;
        t->at = TELNET_COMMAND;
        return false;
    case TELNET_COMMAND:
        return command(t, byte, brk);
    case TELNET_OPTION: /* whatever is agreed to or refused, we go on as we began */
        t->at = TELNET_DATA;
        return false;
    case TELNET_SUB:
        if (byte == IAC)
            t->at = TELNET_SUB_COMMAND;
        return false;
    case TELNET_SUB_COMMAND:
        t->at = byte == SE ? TELNET_DATA : TELNET_SUB;
        return false;
    }
    return false;
}

size_t telnet_filter(Telnet *t, Chardev *c, uint8_t *data, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        bool brk = false;
        if (input(t, data[i], &brk))
            data[kept++] = data[i];
        if (!brk)
            continue;
        chardev_deliver(c, data, kept);
        kept = 0;
        front_event(&c->front, CHARDEV_BREAK);
    }
    return kept;
}

size_t telnet_write(Chardev *c, const uint8_t *data, size_t len)
{
    static const uint8_t twice[] = { IAC, IAC };
    size_t done = 0;
    while (done < len) {
        const uint8_t *iac = memchr(data + done, IAC, len - done);
        size_t run = iac ? (size_t)(iac - (data + done)) : len - done;
        size_t n = chardev_output(c, data + done, run, false);
        done += n;
        if (n < run || done == len)
            break;
        /* Both or none: the queue may exceed its limit by them, but only if it has not reached it. */
        if (!chardev_has_room(c))
            break;
        chardev_output(c, twice, sizeof(twice), true);
        done++;
    }
    return done;
}
