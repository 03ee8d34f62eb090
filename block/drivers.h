/*
 * The block drivers.
 * SPDX-License-Identifier: MIT
 */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/block.h"

extern const BlockDriver block_file_driver, block_null_driver, block_raw_driver, block_overlay_driver;
extern const BlockDriver block_empty_driver; /* of -drive without file= */

/* What block_describe says of removable media (slot.c). */
void block_slots_describe(GString *out);
bool block_slot_holds(const BlockNode *node);
/* Forget a node of -drive that nobody uses any more (node.c). */
void block_drop(BlockNode *node);

#endif
