/*
 * "ramfb": a framebuffer in the guest's memory, which firmware tells of through fw_cfg (see ramfb.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_DISPLAY_RAMFB_H
#define HW_DISPLAY_RAMFB_H

#include "ui/display/console.h"

typedef struct Ramfb {
    Device dev;
    Console *console;
    uint32_t *line;
    uint64_t address; /* 0: not set */
    uint32_t format, width, height, stride;
} Ramfb;

extern const DeviceType ramfb_type;

#endif
