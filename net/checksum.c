/*
 * The Internet checksum (see checksum.h).
 * SPDX-License-Identifier: MIT
 */
#include "net/checksum.h"
#include <string.h>

uint16_t net_sum(uint16_t before, const uint8_t *data, size_t len)
{
    uint64_t sum = before;
    for (; len >= 4; data += 4, len -= 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        sum += word;
    }
    if (len) {
        uint32_t word = 0;
        memcpy(&word, data, len);
        sum += word;
    }
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}
