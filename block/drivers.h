/*
 * The block drivers.
 * SPDX-License-Identifier: MIT
 */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/block.h"

extern const BlockDriver block_file_driver, block_null_driver, block_raw_driver, block_overlay_driver;

#endif
