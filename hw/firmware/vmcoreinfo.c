/*
 * vmcoreinfo: a fw_cfg file (QEMU's "VMCoreInfo device" specification) in which the guest's kernel says where its
 * VMCOREINFO note is, for programs that look at a dump of its memory. Without the device there is no such file.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/fw_cfg.h"
#include "hw/pci/pci.h"
#include "util/error.h"
#include <string.h>

enum { HOST_FORMAT = 0, GUEST_FORMAT = 2, NOTE_SIZE = 4, NOTE_ADDRESS = 8, FILE_SIZE = 16 };
enum { FORMAT_NONE, FORMAT_ELF };
#define FILE_NAME "etc/vmcoreinfo"

typedef struct Vmcoreinfo {
    Device dev;
    uint64_t address; /* of the note, guest-physical */
    uint32_t size;
    uint16_t format; /* FORMAT_NONE: the guest has not said */
} Vmcoreinfo;

static void written(void *opaque, const uint8_t *data, size_t len)
{
    Vmcoreinfo *s = opaque;
    s->format = pci_get16(data + GUEST_FORMAT);
    s->size = pci_get32(data + NOTE_SIZE);
    s->address = pci_get32(data + NOTE_ADDRESS) | (uint64_t)pci_get32(data + NOTE_ADDRESS + 4) << 32;
    if (s->format != FORMAT_NONE && s->format != FORMAT_ELF)
        guest_error(&s->dev, "format %u: there is only 1 (ELF)", s->format);
}

static const FwCfgFileOps file_ops = { .written = written };

static bool set_file(Vmcoreinfo *s, GError **err)
{
    uint8_t file[FILE_SIZE] = { 0 };
    pci_put16(file + HOST_FORMAT, FORMAT_ELF);
    pci_put16(file + GUEST_FORMAT, s->format);
    pci_put32(file + NOTE_SIZE, s->size);
    pci_put32(file + NOTE_ADDRESS, s->address);
    pci_put32(file + NOTE_ADDRESS + 4, s->address >> 32);
    return fw_cfg_set_active_file((FwCfg *)s->dev.machine->fw_cfg, FILE_NAME, file, sizeof(file), &file_ops, s, err);
}

static bool realize(Device *dev, GError **err)
{
    size_t len;
    if (!dev->machine->fw_cfg)
        return error_set(err, "the machine has no fw_cfg, in which its file would be");
    if (fw_cfg_file((FwCfg *)dev->machine->fw_cfg, FILE_NAME, &len))
        return error_set(err, "there can be only one");
    return set_file((Vmcoreinfo *)dev, err);
}

static void reset(Device *dev)
{
    Vmcoreinfo *s = (Vmcoreinfo *)dev;
    s->address = s->size = s->format = 0;
    set_file(s, NULL);
}

static void post_load(Device *dev)
{
    set_file((Vmcoreinfo *)dev, NULL);
}

static const StateField state[] = { STATE(Vmcoreinfo, address), STATE(Vmcoreinfo, size), STATE(Vmcoreinfo, format),
                                    STATE_END };

extern const DeviceType vmcoreinfo_type;
const DeviceType vmcoreinfo_type = {
    .name = "vmcoreinfo",
    .desc = "where the guest's kernel says what it knows about a dump of it",
    .category = "misc",
    .bus = "isa",
    .size = sizeof(Vmcoreinfo),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
