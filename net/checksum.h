/*
 * The Internet checksum (RFC 1071).
 * SPDX-License-Identifier: MIT
 */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The ones' complement sum of len bytes, as bytes in memory order: sum is what came before, an even number of bytes. */
uint16_t net_sum(uint16_t sum, const uint8_t *data, size_t len);
/* The same complemented: what goes into a header, by memcpy. */
static inline uint16_t net_checksum(const uint8_t *data, size_t len)
{
    return ~net_sum(0, data, len);
}

#endif
