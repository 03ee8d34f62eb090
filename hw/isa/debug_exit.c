/*
 * isa-debug-exit: a write of n to its ports ends the emulator with status n << 1 | 1.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/isa.h"
#include "util/error.h"

typedef struct DebugExit {
    Device dev;
    MemRegion ports;
    uint32_t iobase, iosize;
} DebugExit;

static uint64_t exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    machine_request_shutdown(((DebugExit *)opaque)->dev.machine, SHUTDOWN_HOST_QUIT, (value << 1 | 1) & 0xff);
}

static const MemOps exit_ops = { .read = exit_read, .write = exit_write, .max_size = 4, .unaligned = true };

static bool realize(Device *dev, GError **err)
{
    DebugExit *s = (DebugExit *)dev;
    if (!s->iosize || s->iosize > 8)
        return error_set(err, "iosize=%u: 1 to 8 ports are possible", s->iosize);
    mem_io_init(&s->ports, dev->machine, "isa-debug-exit", s->iosize, &exit_ops, s);
    return isa_map_ports(dev->bus, s->iobase, &s->ports, "iobase", err);
}

static const Prop props[] = {
    PROP(DebugExit, U32, "iobase", iobase, .fallback = "0x501", .help = "first port"),
    PROP(DebugExit, U32, "iosize", iosize, .fallback = "2", .help = "ports"),
    PROP_END,
};
static const StateField state[] = { STATE_SKIP(DebugExit, ports, "wiring"), STATE_END };

extern const DeviceType isa_debug_exit_type;
const DeviceType isa_debug_exit_type = {
    .name = "isa-debug-exit",
    .desc = "a port that ends the emulator",
    .category = "misc",
    .bus = "isa",
    .size = sizeof(DebugExit),
    .props = props,
    .state = state,
    .realize = realize,
};
