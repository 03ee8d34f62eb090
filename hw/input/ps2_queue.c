/*
 * The queues of PS/2 devices, 16 bytes as keyboards have them.
 * SPDX-License-Identifier: MIT
 */
#include "hw/input/ps2_queue.h"
#include <stdarg.h>

void ps2_clear(Ps2Queue *q)
{
    q->first = q->count = 0;
}

bool ps2_put(Ps2Queue *q, const uint8_t *bytes, unsigned count)
{
    if (q->count + count > PS2_QUEUE)
        return false;
    for (unsigned i = 0; i < count; i++)
        q->bytes[(q->first + q->count++) % PS2_QUEUE] = bytes[i];
    return true;
}

void ps2_reply(Ps2Queue *q, unsigned count, ...)
{
    uint8_t bytes[4];
    va_list args;
    g_assert(count <= sizeof(bytes));
    va_start(args, count);
    for (unsigned i = 0; i < count; i++)
        bytes[i] = va_arg(args, int);
    va_end(args);
    if (!ps2_put(q, bytes, count)) {
        ps2_clear(q);
        ps2_put(q, bytes, count);
    }
}

bool ps2_take(Ps2Queue *q, uint8_t *byte)
{
    if (!q->count)
        return false;
    *byte = q->last = q->bytes[q->first % PS2_QUEUE];
    q->first = (q->first + 1) % PS2_QUEUE;
    q->count--;
    return true;
}
