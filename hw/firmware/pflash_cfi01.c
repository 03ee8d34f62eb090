/*
 * Parallel NOR flash with the Intel command set (JEDEC JESD68.01, Common Flash Interface; Intel StrataFlash P30
 * datasheet, "Command set" and "Status register").
 *
 * One or more chips side by side make up a bus word; all get the same command. Operations take no time. Programming
 * clears bits, erasing a sector sets all of its bits; both are written to the drive before the status says ready.
 * As in the reference, "clear status" clears "ready" too, until the next operation: OVMF takes the zero as the sign
 * that it has a flash and neither RAM nor ROM, without which it keeps its variables in RAM.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/pflash_cfi01.h"
#include "hw/core/ram_access.h"
#include "util/error.h"
#include "util/trace.h"
#include <string.h>

enum { READ_ARRAY, READ_STATUS, READ_ID, READ_CFI };
enum { IDLE, PROGRAM, ERASE, LOCK, BUFFER_COUNT, BUFFER_DATA, BUFFER_CONFIRM };
enum {
    COMMAND_PROGRAM_ALTERNATE = 0x10,
    COMMAND_ERASE = 0x20,
    COMMAND_PROGRAM = 0x40,
    COMMAND_CLEAR_STATUS = 0x50,
    COMMAND_LOCK = 0x60,
    COMMAND_READ_STATUS = 0x70,
    COMMAND_READ_ID = 0x90,
    COMMAND_READ_CFI = 0x98,
    COMMAND_CONFIRM = 0xd0,
    COMMAND_BUFFERED = 0xe8,
    COMMAND_RESET = 0xf0,
    COMMAND_READ_ARRAY = 0xff
};
enum { STATUS_LOCKED = 0x02, STATUS_PROGRAM_ERROR = 0x10, STATUS_ERASE_ERROR = 0x20, STATUS_READY = 0x80 };
enum { MANUFACTURER_INTEL = 0x89, DEVICE_28F128 = 0x18 };

static void set_read_mode(PflashCfi01 *s, uint8_t mode)
{
    if ((s->read_mode == READ_ARRAY) != (mode == READ_ARRAY))
        mem_set_enabled(&s->registers, mode != READ_ARRAY);
    s->read_mode = mode;
}

/* The same byte from each chip. */
static uint64_t from_all_chips(const PflashCfi01 *s, uint8_t byte)
{
    uint64_t word = 0;
    for (unsigned lane = 0; lane < s->bank_width; lane += s->chip_width)
        word |= (uint64_t)byte << (8 * lane);
    return word;
}

/* secure=on: others see the array, whatever the mode, and write nothing. */
static bool trusted(const PflashCfi01 *s)
{
    return !s->secure || (s->privileged && s->privileged());
}

static uint64_t flash_read(void *opaque, uint64_t offset, unsigned size)
{
    static const uint8_t id[] = { MANUFACTURER_INTEL, DEVICE_28F128 };
    PflashCfi01 *s = opaque;
    if (!trusted(s))
        return ram_get(s->array.host + offset, size);
    unsigned word = offset / s->bank_width & 0xff;
    uint8_t byte = s->status;
    if (s->read_mode == READ_ID)
        byte = word < sizeof(id) ? id[word] : 0;
    else if (s->read_mode == READ_CFI)
        byte = word < sizeof(s->cfi) ? s->cfi[word] : 0;
    return from_all_chips(s, byte) >> (8 * (offset % s->bank_width));
}

/* ---- changing the array ---- */

/* The bytes from offset on have changed: to the drive. */
static bool save(PflashCfi01 *s, uint64_t offset, uint64_t length)
{
    struct iovec iov = { s->array.host + offset, length };
    ram_written(&s->array, offset, length);
    int error = s->drive ? block_write(s->drive, offset, &iov, 1, length) : 0;
    if (error)
        g_printerr("rhea: flash %s: %s\n", s->name ? s->name : "", g_strerror(error));
    return !error;
}

static bool writable(PflashCfi01 *s, uint8_t error)
{
    if (!s->drive || !s->drive->read_only)
        return true;
    s->status |= error | STATUS_LOCKED;
    guest_error(&s->dev, "the flash is read-only");
    return false;
}

static void program(PflashCfi01 *s, uint64_t offset, const uint8_t *data, uint64_t length)
{
    if (!writable(s, STATUS_PROGRAM_ERROR))
        return;
    for (uint64_t i = 0; i < length; i++)
        s->array.host[offset + i] &= data[i];
    if (!save(s, offset, length))
        s->status |= STATUS_PROGRAM_ERROR;
}

static void erase(PflashCfi01 *s, uint64_t offset)
{
    uint64_t sector = offset - offset % s->sector_size;
    if (!writable(s, STATUS_ERASE_ERROR))
        return;
    memset(s->array.host + sector, 0xff, s->sector_size);
    if (!save(s, sector, s->sector_size))
        s->status |= STATUS_ERASE_ERROR;
}

/* ---- commands ---- */

static void first_cycle(PflashCfi01 *s, uint8_t command)
{
    set_read_mode(s, READ_STATUS);
    switch (command) {
    case COMMAND_PROGRAM:
    case COMMAND_PROGRAM_ALTERNATE:
        s->state = PROGRAM;
        break;
    case COMMAND_ERASE:
        s->state = ERASE;
        break;
    case COMMAND_CLEAR_STATUS: /* with "ready", which comes back with the next operation: see above */
        s->status = 0;
        break;
    case COMMAND_LOCK:
        s->state = LOCK;
        break;
    case COMMAND_READ_STATUS:
        break;
    case COMMAND_READ_ID:
        set_read_mode(s, READ_ID);
        break;
    case COMMAND_READ_CFI:
        set_read_mode(s, READ_CFI);
        break;
    case COMMAND_BUFFERED:
        s->status |= STATUS_READY;
        s->state = BUFFER_COUNT;
        break;
    default:
        guest_error(&s->dev, "command 0x%02x is not there", command);
        set_read_mode(s, READ_ARRAY);
        break;
    case COMMAND_RESET:
    case COMMAND_READ_ARRAY:
        set_read_mode(s, READ_ARRAY);
    }
}

/* A sequence that is no command (StrataFlash P30, "Status register", bits 4 and 5). */
static void sequence_error(PflashCfi01 *s)
{
    guest_error(&s->dev, "wrong command sequence");
    s->status |= STATUS_READY | STATUS_PROGRAM_ERROR | STATUS_ERASE_ERROR;
    s->state = IDLE;
}

static void buffer_data(PflashCfi01 *s, uint64_t offset, const uint8_t *data, unsigned size)
{
    if (!s->buffer_used)
        s->buffer_first = offset;
    uint64_t at = offset - s->buffer_first;
    if (offset < s->buffer_first || at + size > sizeof(s->buffer) || offset + size > s->mmio.size ||
        offset / s->sector_size != s->buffer_first / s->sector_size) {
        sequence_error(s);
        return;
    }
    memcpy(s->buffer + at, data, size);
    s->buffer_used = MAX(s->buffer_used, at + size);
    if (!s->count--)
        s->state = BUFFER_CONFIRM;
}

static void flash_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PflashCfi01 *s = opaque;
    uint8_t command = value, data[8];
    uint64_t little = GUINT64_TO_LE(value);
    memcpy(data, &little, sizeof(data));
    TRACE(pflash_write, "offset 0x%" G_GINT64_MODIFIER "x value 0x%" G_GINT64_MODIFIER "x state %u", offset, value,
          s->state);
    if (!trusted(s)) {
        guest_error(&s->dev, "a write from outside of system management mode");
        return;
    }
    switch (s->state) {
    case IDLE:
        first_cycle(s, command);
        return;
    case PROGRAM:
        program(s, offset, data, size);
        break;
    case ERASE:
        if (command != COMMAND_CONFIRM) {
            sequence_error(s);
            return;
        }
        erase(s, offset);
        break;
    case LOCK: /* sectors are never locked one by one */
        break;
    case BUFFER_COUNT:
        s->count = value & 0xff;
        s->buffer_used = 0;
        memset(s->buffer, 0xff, sizeof(s->buffer));
        s->state = BUFFER_DATA;
        return;
    case BUFFER_DATA:
        buffer_data(s, offset, data, size);
        return;
    case BUFFER_CONFIRM:
        if (command != COMMAND_CONFIRM) {
            sequence_error(s);
            return;
        }
        program(s, s->buffer_first, s->buffer, s->buffer_used);
        break;
    }
    s->status |= STATUS_READY;
    s->state = IDLE;
}

/* Writes may be of any size up to a bus word; the array itself is read by the memory core. */
static const MemOps ops = {
    .read = flash_read, .write = flash_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4
};

/* ---- type ---- */

/* JESD68.01: query identification, system interface, geometry; Intel's extended query at 0x31. */
static void make_cfi(PflashCfi01 *s)
{
    unsigned chips = s->bank_width / s->chip_width;
    uint64_t chip = s->mmio.size / chips;
    uint32_t sector = s->sector_size / chips / 256;
    const uint8_t fixed[] = { 'Q',  'R', 'Y', 0x01, 0x00, 0x31, 0x00, 0, 0, 0, 0, 0x45,
                              0x55, 0,   0,   7,    7,    10,   0,    4, 4, 4, 0 };
    const uint8_t geometry[] = {
        g_bit_nth_msf(chip, -1), 2,      0,          11 - g_bit_nth_msf(chips, -1), 0, 1, s->sectors - 1,
        (s->sectors - 1) >> 8,   sector, sector >> 8
    };
    const uint8_t extended[] = { 'P', 'R', 'I', '1', '0' };
    memcpy(s->cfi + 0x10, fixed, sizeof(fixed));
    memcpy(s->cfi + 0x27, geometry, sizeof(geometry));
    memcpy(s->cfi + 0x31, extended, sizeof(extended));
}

static bool read_drive(PflashCfi01 *s, GError **err)
{
    struct iovec iov = { s->array.host, s->mmio.size };
    if (s->drive->size != s->mmio.size)
        return error_set(err, "drive '%s' has %" G_GUINT64_FORMAT " bytes, the flash has %" G_GUINT64_FORMAT,
                         s->drive->drive ? s->drive->drive : s->drive->name, s->drive->size, s->mmio.size);
    if (!block_claim(s->drive, s->name ? s->name : s->dev.type->name, err))
        return false;
    int error = block_read(s->drive, 0, &iov, 1, s->mmio.size);
    if (error)
        block_release(s->drive);
    return !error || error_set_errno(err, error, "reading the drive");
}

static bool realize(Device *dev, GError **err)
{
    PflashCfi01 *s = (PflashCfi01 *)dev;
    uint64_t size = (uint64_t)s->sectors * s->sector_size;
    bool widths = (s->bank_width == 1 || s->bank_width == 2 || s->bank_width == 4) && s->chip_width &&
                  s->bank_width % s->chip_width == 0;
    if (!size || size > (uint64_t)1 << 32 || s->sector_size % 4096 || !widths)
        return error_set(err, "num-blocks, sector-length, width and device-width do not make a flash");
    mem_container_init(&s->mmio, dev->machine, s->name ? s->name : "pflash", size);
    if (!mem_rom_init(&s->array, dev->machine, s->name ? s->name : "pflash.array", size, &ops, s, err))
        return false;
    mem_io_init(&s->registers, dev->machine, "pflash.registers", size, &ops, s);
    mem_set_enabled(&s->registers, false);
    mem_add(&s->mmio, 0, &s->array, 0);
    mem_add(&s->mmio, 0, &s->registers, 1);
    make_cfi(s);
    return !s->drive || read_drive(s, err);
}

static void unrealize(Device *dev)
{
    PflashCfi01 *s = (PflashCfi01 *)dev;
    if (s->drive)
        block_release(s->drive);
}

/* The array stays: that is what it is for. */
static void reset(Device *dev)
{
    PflashCfi01 *s = (PflashCfi01 *)dev;
    set_read_mode(s, READ_ARRAY);
    s->state = IDLE;
    s->status = STATUS_READY;
    s->count = s->buffer_first = s->buffer_used = 0;
    memset(s->buffer, 0, sizeof(s->buffer));
}

static void post_load(Device *dev)
{
    PflashCfi01 *s = (PflashCfi01 *)dev;
    mem_set_enabled(&s->registers, s->read_mode != READ_ARRAY);
    s->buffer_used = MIN(s->buffer_used, sizeof(s->buffer));
    s->buffer_first = s->buffer_first <= s->mmio.size - s->buffer_used ? s->buffer_first : 0;
}

static const Prop props[] = {
    PROP(PflashCfi01, DRIVE, "drive", drive, .help = "what it holds"),
    PROP(PflashCfi01, STRING, "name", name),
    PROP(PflashCfi01, U32, "num-blocks", sectors, .fallback = "128"),
    PROP(PflashCfi01, U32, "sector-length", sector_size, .fallback = "262144"),
    PROP(PflashCfi01, U8, "width", bank_width, .fallback = "4", .help = "bytes of a bus word"),
    PROP(PflashCfi01, U8, "device-width", chip_width, .fallback = "2", .help = "bytes of a chip's part of it"),
    PROP(PflashCfi01, BOOL, "secure", secure, .help = "only system management mode writes to it"),
    PROP_END,
};
static const StateField state[] = { STATE(PflashCfi01, read_mode),
                                    STATE(PflashCfi01, state),
                                    STATE(PflashCfi01, status),
                                    STATE(PflashCfi01, count),
                                    STATE(PflashCfi01, buffer_first),
                                    STATE(PflashCfi01, buffer_used),
                                    STATE_ARRAY(PflashCfi01, buffer),
                                    STATE_SKIP(PflashCfi01, cfi, "follows from the properties"),
                                    STATE_SKIP(PflashCfi01, mmio, "wiring"),
                                    STATE_SKIP(PflashCfi01, privileged, "wiring"),
                                    STATE_SKIP(PflashCfi01, array, "memory"),
                                    STATE_SKIP(PflashCfi01, registers, "wiring"),
                                    STATE_END };

const DeviceType pflash_cfi01_type = {
    .name = "cfi.pflash01",
    .desc = "parallel NOR flash, Intel command set",
    .category = "storage",
    .size = sizeof(PflashCfi01),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
