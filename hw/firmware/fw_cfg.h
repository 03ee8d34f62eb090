/*
 * fw_cfg: what the machine tells its firmware (see fw_cfg.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_FIRMWARE_FW_CFG_H
#define HW_FIRMWARE_FW_CFG_H

#include "hw/core/machine.h"

typedef struct FwCfg {
    Device dev;
    MemRegion mmio, data, selector, dma;
    GPtrArray *items; /* FwCfgItem * */
    uint16_t selected;
    uint32_t offset; /* of the next byte in the selected item */
    uint64_t dma_address;
} FwCfg;

enum {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_X86_IRQ0_OVERRIDE = 0x8002,
};
#define FW_CFG_SIZE 0x18
#define FW_CFG_PORT 0x510 /* of a PC */

/* mmio is where its registers are: memory of FW_CFG_SIZE bytes, or the ports at FW_CFG_PORT. */
extern const DeviceType fw_cfg_type, fw_cfg_io_type;

/* What becomes of a file that is more than bytes; either may be NULL. Machine lock held. */
typedef struct FwCfgFileOps {
    void (*selected)(void *opaque); /* before it is read: fw_cfg_set_file may change its bytes, not its length */
    void (*written)(void *opaque, const uint8_t *data, size_t len); /* the guest may write it, and has; data: all of it
                                                                     */
} FwCfgFileOps;

/* Set an item (copied), replacing what it was. Before the machine runs, or at a reset. */
void fw_cfg_set(FwCfg *f, uint16_t key, const void *data, size_t len);
void fw_cfg_set_integer(FwCfg *f, uint16_t key, uint64_t value, unsigned bytes); /* little-endian */
/* Set a file of this name (at most 55 bytes). False and *err: too many, or too long a name. */
bool fw_cfg_set_file(FwCfg *f, const char *name, const void *data, size_t len, GError **err);
/* The same of a file that the guest may write, or that is made when it looks. ops stays the caller's. */
bool fw_cfg_set_active_file(FwCfg *f, const char *name, const void *data, size_t len, const FwCfgFileOps *ops,
                            void *opaque, GError **err);
/* Its bytes now, valid until it is set again; NULL: there is none. */
const uint8_t *fw_cfg_file(const FwCfg *f, const char *name, size_t *len);

#endif
