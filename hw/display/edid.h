/*
 * EDID: what a monitor says of itself (VESA E-EDID 1.4).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_DISPLAY_EDID_H
#define HW_DISPLAY_EDID_H

#include "hw/core/device.h"

#define EDID_SIZE 128

/* Properties of display devices that have a monitor. */
typedef struct Edid {
    bool on;
    uint32_t xres, yres; /* preferred */
    uint32_t xmax, ymax; /* 0: no limit is told */
    uint8_t data[EDID_SIZE];
} Edid;
/* clang-format off */
#define EDID_PROPS(Type)                                                                                               \
    PROP(Type, BOOL, "edid", edid.on, .fallback = "on", .help = "the monitor describes itself"),                       \
    PROP(Type, U32, "xres", edid.xres, .fallback = "1280", .max = 4095, .help = "width that the monitor prefers"),     \
    PROP(Type, U32, "yres", edid.yres, .fallback = "800", .max = 4095, .help = "height that the monitor prefers"),     \
    PROP(Type, U32, "xmax", edid.xmax, .max = 4095, .help = "greatest width of the modes it lists"),                   \
    PROP(Type, U32, "ymax", edid.ymax, .max = 4095, .help = "greatest height of the modes it lists")
/* clang-format on */

/* Make data from the properties; zeros if it is off. */
void edid_make(Edid *edid);

#endif
