/*
 * Devices: one static const DeviceType per device, and one table each for properties, registers and state.
 *
 * Life cycle: device_new (zeroed, defaults set) - properties - device_realize (parent first: type->parent's realize,
 * then its own) - device_reset - seen by the guest; device_free, which calls unrealize (its own, then the parent's),
 * cancels timers of the state table, and destroys the regions and address spaces in the struct that unrealize has left.
 * A device embeds its parent type's struct first. Types are listed in hw/core/devices.def. All of it happens under the
 * machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "hw/core/irq.h"
#include "hw/core/memory.h"
#include "util/options.h"
#include <glib.h>

typedef struct Device Device;
typedef struct DeviceType DeviceType;
typedef struct Bus Bus;

/* ---- properties ---- */
typedef enum {
    PROP_BOOL,
    PROP_U8,
    PROP_U16,
    PROP_U32,
    PROP_U64,
    PROP_SIZE,
    PROP_STRING,
    PROP_ENUM,
    PROP_MAC,
    PROP_DRIVE,   /* BlockNode * (drive=ID of -drive or -blockdev) */
    PROP_CHARDEV, /* Chardev * (chardev=ID) */
    PROP_NETDEV,
} PropType;

typedef struct Prop {
    const char *name, *help;
    PropType type;
    size_t offset;            /* of the member in the device struct */
    const char *fallback;     /* default, as text; NULL: zero */
    uint64_t max;             /* integers: the greatest value taken (0: what the type holds) */
    const char *const *names; /* PROP_ENUM: names, ends with NULL; the member is an unsigned */
} Prop;
/* clang-format off */
#define PROP(Type, kind, text, member, ...)                                                                            \
    { .name = text, .type = PROP_##kind, .offset = offsetof(Type, member), __VA_ARGS__ }
/* clang-format on */
/* How PROP_DRIVE, PROP_CHARDEV, PROP_NETDEV find the object of an ID: set once at start-up by who owns such objects.
 * find returns NULL and sets *err (which need not name the device). name tells an object's ID, for info qtree; may be
 * NULL. */
void device_set_resolver(PropType type, void *(*find)(const char *id, GError **err),
                         const char *(*name)(const void *object));
/* What becomes of a drive whose device is removed (device_remove). */
void device_set_drive_unused(void (*unused)(void *drive));
/* Properties of anything that has a Prop table (devices and machines). owner names it in messages. */
void props_set_defaults(const Prop *props, void *object);
bool props_set(const Prop *prop, void *object, const char *owner, const char *value, GError **err);
void props_clear(const Prop *props, void *object);         /* frees strings */
char *prop_describe(const Prop *prop, const void *object); /* its value as text. Free with g_free */
/* clang-format off */
#define PROP_END { .name = NULL }
/* clang-format on */
/* Of devices that firmware can boot from: which comes first. The member is a uint32_t. */
#define BOOTINDEX_NONE UINT32_MAX
/* clang-format off */
#define PROP_BOOTINDEX(Type, member)                                                                                   \
    PROP(Type, U32, "bootindex", member, .fallback = "4294967295", .help = "firmware boots from the lowest first")
/* clang-format on */

/* ---- registers as data ---- */
typedef struct Reg {
    uint64_t offset; /* in the bank */
    const char *name;
    size_t member; /* REG(Type, field): where the value is */
    uint8_t bytes; /* of the member: 0 where there is none */
    uint64_t reset;
    uint64_t ro, rsvd, w1c;                               /* masks: read-only, reserved (read 0), write one to clear */
    uint64_t (*read)(Device *dev, const struct Reg *reg); /* instead of the member */
    /* Instead of the member. value: reserved bits 0, read-only bits as the member has them (0 without one), w1c bits as
     * written */
    void (*write)(Device *dev, const struct Reg *reg, uint64_t value);
    void (*post_write)(Device *dev, const struct Reg *reg);
} Reg;
#define REG(Type, field) .member = offsetof(Type, field), .bytes = sizeof(((Type *)0)->field)

typedef struct RegBank {
    const Reg *regs;
    unsigned count;
    uint8_t width;                  /* bytes of one register */
    uint8_t min_access, max_access; /* 0: width */
    bool big_endian;
} RegBank;
/* clang-format off */
#define REG_BANK(table, ...) { .regs = table, .count = G_N_ELEMENTS(table), __VA_ARGS__ }
/* clang-format on */

/* An I/O region of size bytes whose accesses go through bank; unlisted offsets are logged (guest_errors), read 0. */
void reg_bank_init(MemRegion *region, Device *dev, const RegBank *bank, const char *name, uint64_t size);
uint64_t reg_bank_read(Device *dev, const RegBank *bank, uint64_t offset, unsigned size);
void reg_bank_write(Device *dev, const RegBank *bank, uint64_t offset, uint64_t value, unsigned size);
/* Put the members at their reset values (device_reset does it for type->regs). */
void reg_bank_reset(Device *dev, const RegBank *bank);

/* ---- state: what reset checks, snapshots and migration see ---- */
typedef enum { STATE_KIND_BYTES, STATE_KIND_TIMER, STATE_KIND_SKIP } StateKind;
typedef struct StateField {
    const char *name;
    StateKind kind;
    size_t offset, size; /* bytes in the struct */
    uint8_t element;     /* size of one number, for byte order; 1: plain bytes */
    const char *why;     /* STATE_SKIP */
} StateField;
/* clang-format off */
#define STATE(Type, field)                                                                                             \
    { #field, STATE_KIND_BYTES, offsetof(Type, field), sizeof(((Type *)0)->field), sizeof(((Type *)0)->field), NULL }
#define STATE_ARRAY(Type, field)                                                                                       \
    { #field, STATE_KIND_BYTES, offsetof(Type, field), sizeof(((Type *)0)->field), sizeof(((Type *)0)->field[0]), NULL }
#define STATE_TIMER(Type, field)                                                                                       \
    { #field, STATE_KIND_TIMER, offsetof(Type, field), sizeof(((Type *)0)->field), 0, NULL }
#define STATE_SKIP(Type, field, reason)                                                                                \
    { #field, STATE_KIND_SKIP, offsetof(Type, field), sizeof(((Type *)0)->field), 0, reason }
#define STATE_END { NULL }
/* clang-format on */

/* ---- types and devices ---- */
struct DeviceType {
    const char *name, *desc;
    const char *category;     /* for -device help: "storage", "network", "input", "display", "misc", ... */
    const char *bus;          /* kind of bus it plugs into ("pci", "virtio", ...); NULL: placed by its machine only */
    const DeviceType *parent; /* its struct comes first in ours; its properties and state are ours too */
    /* A transport's function: made with the device, whose property names include its own; realize plugs it into a bus
     * of the device's (virtio-blk-pci is a PCI function with a virtio-blk-device). */
    const DeviceType *child;
    size_t size;
    const Prop *props;
    const StateField *state;
    const RegBank *regs; /* the main bank, for info and fuzzing */
    bool (*realize)(Device *dev, GError **err);
    void (*unrealize)(Device *dev);
    void (*reset)(Device *dev); /* must put back every member that the guest can change */
    /* on: nothing but the caller touches the state until off, whatever threads the device has. Around save and load.
     * May be NULL. */
    void (*quiesce)(Device *dev, bool on);
    /* The state list was loaded: set what follows from it. The parent's is called first. May be NULL. */
    void (*post_load)(Device *dev);
    void (*describe_irqs)(Device *dev, GString *out); /* info irq, of an interrupt controller; may be NULL */
};

struct Device {
    const DeviceType *type;
    Machine *machine;
    char *id;      /* of -device id=, or NULL */
    Bus *bus;      /* it sits on, or NULL */
    Device *child; /* of type->child, or NULL */
    GError *error; /* a -global that it does not take: realize fails with it */
    GSList *buses; /* Bus * that it provides */
    bool realized;
    bool dma_blocked; /* atomic: it may not reach memory (PCI's bus master bit is clear) */
};
/* clang-format off */
#define DEVICE_STATE_SKIP STATE_SKIP(Device, type, "fixed at creation") /* the core skips the whole Device head itself */
/* clang-format on */

struct Bus {
    const char *kind; /* matches DeviceType.bus */
    char *name;       /* unique: "pcie.0", "virtio-mmio-bus.3" */
    Device *owner;
    void *state;          /* what its kind keeps for it: PciBus *, VirtioTransport * ... */
    unsigned max_devices; /* 0: any number */
    GPtrArray *devices;   /* Device *, in order */
    /* Find it a place and connect it: called by device_realize before type->realize, undone before free. May be NULL.
     */
    bool (*plug)(Bus *bus, Device *dev, GError **err);
    void (*unplug)(Bus *bus, Device *dev);
    /* Tell the guest that dev has come while the machine runs; ask it to give dev up, after which dev is freed. NULL:
     * devices of this bus do not come or go. */
    void (*plugged)(Bus *bus, Device *dev);
    bool (*request_unplug)(Bus *bus, Device *dev, GError **err);
    /* Text for info qtree ("addr 01.0"), appended. May be NULL. */
    void (*describe)(Bus *bus, Device *dev, GString *out);
};

const DeviceType *device_type_find(const char *name);
/* The same, where virtio-X stands for virtio-X-pci or virtio-X-device: what plugs into the bus of this name (NULL: into
 * any that the machine has; machine NULL: the first). */
const DeviceType *device_type_resolve(const Machine *machine, const char *name, const char *bus);
/* All types, ends with NULL. */
const DeviceType *const *device_types(void);
/* Zeroed struct with the defaults. */
Device *device_new(Machine *machine, const DeviceType *type);
/* Set one property from text. The message names device, property, what is wrong and what would be accepted. */
bool device_set(Device *dev, const char *name, const char *value, GError **err);
bool device_has_prop(const DeviceType *type, const char *name);
/* -global: every device made from now on has this value instead of its default. */
bool device_add_global(const char *type, const char *name, const char *value, GError **err);
/* Plugs it into bus (may be NULL) and realizes it. After a failure device_free it. */
bool device_realize(Device *dev, Bus *bus, GError **err);
/* Registers of type->regs to their reset values, type->reset (the parent's first), then the devices on its buses. */
void device_reset(Device *dev);
/* Takes it off its bus and frees it, its buses and all on them. */
void device_free(Device *dev);
/* It has left the machine while that ran: as device_free, and the drives of -drive that it had go too. vCPUs are
 * stopped, as one may be in an access to it or have its memory in a TLB. */
void device_remove(Device *dev);
/* Do -device: driver=, id=, bus=, and properties; finds a bus with room. Once the machine is prepared, the bus has to
 * be one for hot-plug. NULL and *err on failure. */
Device *device_add(Machine *machine, Opts *opts, GError **err);
/* The device of this id, or NULL. */
Device *device_find(const Machine *machine, const char *id);
/* Ask the guest to give up a device; it is freed when the guest has done so. */
bool device_request_unplug(Device *dev, GError **err);
/* "-device help" and "-device X,help". Free with g_free. */
char *device_help(const DeviceType *type_or_null);
/* info qtree. Free with g_free. */
char *device_tree_describe(Machine *machine);

/* Made in the owner's realize; freed with the owner. */
Bus *bus_new(Device *owner, const char *kind, const char *name);

/* Save the state list into bytes (little-endian, in table order), or load it. Load fails on a wrong length. */
GByteArray *device_save(Device *dev);
bool device_load(Device *dev, const uint8_t *data, size_t len, GError **err);

/* The guest did something wrong: logged under -d guest_errors with the device's name. */
void guest_error(Device *dev, const char *format, ...) G_GNUC_PRINTF(2, 3);
void unimplemented(Device *dev, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* DMA of a device without an IOMMU: the machine's memory. Nothing is there while dev->dma_blocked. */
MemResult dma_read(Device *dev, uint64_t addr, void *buf, uint64_t len);
MemResult dma_write(Device *dev, uint64_t addr, const void *buf, uint64_t len);
void *dma_map(Device *dev, uint64_t addr, uint64_t *len, bool write);
void dma_unmap(Device *dev, void *host, uint64_t written);

#endif
