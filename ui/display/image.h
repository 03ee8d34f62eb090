/*
 * Pictures of surfaces in files: PNG (ISO 15948) and PPM (Netpbm's P6).
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_DISPLAY_IMAGE_H
#define UI_DISPLAY_IMAGE_H

#include "ui/display/console.h"

/* Write it to path as "png" or "ppm" (NULL: ppm). False and *err, which names the path or the formats there are. */
bool image_write(const Surface *surface, const char *path, const char *format, GError **err);

#endif
