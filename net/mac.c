/*
 * MAC addresses of NICs that were given none (see net.h).
 * SPDX-License-Identifier: MIT
 */
#include "net/net.h"
#include <string.h>

static const uint8_t mac_base[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
static uint16_t mac_users[256]; /* by the last byte */

static bool mac_is_ours(const uint8_t mac[6])
{
    return !memcmp(mac, mac_base, 5);
}

void net_mac_choose(uint8_t mac[6])
{
    memcpy(mac, mac_base, 6);
    while (mac_users[mac[5]] && mac[5] < 0xff)
        mac[5]++;
}

void net_mac_claim(const uint8_t mac[6])
{
    mac_users[mac[5]] += mac_is_ours(mac);
}

void net_mac_release(const uint8_t mac[6])
{
    mac_users[mac[5]] -= mac_is_ours(mac);
}
