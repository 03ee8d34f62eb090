/*
 * 8042 keyboard controller of the PC/AT and PS/2 (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller"), with its keyboard and mouse, address line 20 and the reset line.
 *
 * Commands take no time: the input buffer is always empty. The byte that a device sends goes into the output buffer as
 * soon as that is empty, and the interrupt line goes down between two bytes.
 * SPDX-License-Identifier: MIT
 */
#include "hw/input/i8042.h"
#include "util/trace.h"
#include <string.h>

enum { STATUS_FULL = 1, STATUS_SYSTEM = 4, STATUS_COMMAND = 8, STATUS_UNLOCKED = 0x10, STATUS_MOUSE = 0x20 };
enum {
    MODE_KEYBOARD_IRQ = 1,
    MODE_MOUSE_IRQ = 2,
    MODE_SYSTEM = 4,
    MODE_KEYBOARD_OFF = 0x10,
    MODE_MOUSE_OFF = 0x20,
    MODE_TRANSLATE = 0x40
};
enum { OUT_NO_RESET = 1, OUT_A20 = 2, OUT_KEYBOARD_IRQ = 0x10, OUT_MOUSE_IRQ = 0x20, OUT_ALWAYS = 0xcc };
enum {
    READ_RAM = 0x20,
    WRITE_RAM = 0x60,
    MOUSE_OFF = 0xa7,
    MOUSE_ON = 0xa8,
    TEST_MOUSE = 0xa9,
    SELF_TEST = 0xaa,
    TEST_KEYBOARD = 0xab,
    KEYBOARD_OFF = 0xad,
    KEYBOARD_ON = 0xae,
    READ_INPORT = 0xc0,
    READ_OUTPORT = 0xd0,
    WRITE_OUTPORT = 0xd1,
    FROM_KEYBOARD = 0xd2,
    FROM_MOUSE = 0xd3,
    TO_MOUSE = 0xd4,
    A20_OFF = 0xdd,
    A20_ON = 0xdf,
    PULSE = 0xf0
};

#define ANSWER_KEYBOARD STATUS_FULL
#define ANSWER_MOUSE    (STATUS_FULL | STATUS_MOUSE)

/* ---- output buffer and interrupts ---- */

/* Set 2 to set 1. */
static const uint8_t translation[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65, 0x38, 0x2a,
    0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05,
    0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a,
    0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26,
    0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63,
    0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53,
    0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54
};

/* False: it was the prefix of a break, which becomes a bit of the next byte. */
static bool translate(I8042 *s, uint8_t *byte)
{
    if (!(s->ram[0] & MODE_TRANSLATE))
        return true;
    if (*byte == 0xf0) {
        s->escaped = true;
        return false;
    }
    uint8_t code = *byte < 0x80 ? translation[*byte] : *byte == 0x83 ? 0x41 : *byte == 0x84 ? 0x54 : *byte;
    *byte = s->escaped ? code | 0x80 : code;
    s->escaped = false;
    return true;
}

static void update_irqs(I8042 *s)
{
    bool full = s->status & STATUS_FULL, mouse = s->status & STATUS_MOUSE;
    irq_set(&s->irq_keyboard, full && !mouse && s->ram[0] & MODE_KEYBOARD_IRQ);
    irq_set(&s->irq_mouse, full && mouse && s->ram[0] & MODE_MOUSE_IRQ);
}

static void fill(I8042 *s, uint8_t byte, uint8_t from)
{
    s->output = byte;
    s->status = (s->status & ~STATUS_MOUSE) | from;
}

/* If the output buffer is empty, the next byte: the controller's, the keyboard's, the mouse's. */
static void update(I8042 *s)
{
    uint8_t byte;
    if (!(s->status & STATUS_FULL) && s->answering) {
        fill(s, s->answer, s->answering);
        s->answering = 0;
    }
    while (!(s->status & STATUS_FULL) && !(s->ram[0] & MODE_KEYBOARD_OFF) && ps2_take(&s->keyboard.queue, &byte)) {
        if (translate(s, &byte))
            fill(s, byte, ANSWER_KEYBOARD);
    }
    if (!s->mouse.queue.count)
        ps2_mouse_report(&s->mouse);
    if (!(s->status & STATUS_FULL) && !(s->ram[0] & MODE_MOUSE_OFF) && ps2_take(&s->mouse.queue, &byte))
        fill(s, byte, ANSWER_MOUSE);
    update_irqs(s);
}

static void answer(I8042 *s, uint8_t byte, uint8_t from)
{
    s->answer = byte;
    s->answering = from;
}

/* ---- output port ---- */

static void write_outport(I8042 *s, uint8_t value)
{
    bool reset = s->outport & OUT_NO_RESET && !(value & OUT_NO_RESET);
    s->outport = value | OUT_ALWAYS;
    irq_set(&s->a20, value & OUT_A20);
    if (!reset)
        return;
    if (s->reset.set) {
        irq_set(&s->reset, true);
        irq_set(&s->reset, false);
    } else {
        machine_request_reset(s->dev.machine, SHUTDOWN_GUEST_RESET);
    }
}

static uint8_t read_outport(const I8042 *s)
{
    uint8_t value = s->outport & ~(OUT_KEYBOARD_IRQ | OUT_MOUSE_IRQ);
    if (!(s->status & STATUS_FULL))
        return value;
    return value | (s->status & STATUS_MOUSE ? OUT_MOUSE_IRQ : OUT_KEYBOARD_IRQ);
}

/* ---- commands ---- */

static void write_mode(I8042 *s, uint8_t value)
{
    s->ram[0] = value;
    s->status = (s->status & ~STATUS_SYSTEM) | (value & MODE_SYSTEM);
}

/* Those that have nothing to do with controller memory. */
static void special_command(I8042 *s, uint8_t command)
{
    switch (command) {
    case MOUSE_OFF:
        s->ram[0] |= MODE_MOUSE_OFF;
        break;
    case MOUSE_ON:
        s->ram[0] &= ~MODE_MOUSE_OFF;
        break;
    case TEST_MOUSE:
    case TEST_KEYBOARD:
        answer(s, 0, ANSWER_KEYBOARD);
        break;
    case SELF_TEST:
        s->status |= STATUS_SYSTEM;
        answer(s, 0x55, ANSWER_KEYBOARD);
        break;
    case KEYBOARD_OFF:
        s->ram[0] |= MODE_KEYBOARD_OFF;
        break;
    case KEYBOARD_ON:
        s->ram[0] &= ~MODE_KEYBOARD_OFF;
        break;
    case READ_INPORT:
        answer(s, 0x80, ANSWER_KEYBOARD); /* not locked */
        break;
    case READ_OUTPORT:
        answer(s, read_outport(s), ANSWER_KEYBOARD);
        break;
    case WRITE_OUTPORT:
    case FROM_KEYBOARD:
    case FROM_MOUSE:
    case TO_MOUSE:
        s->pending = command;
        break;
    case A20_OFF:
        write_outport(s, s->outport & ~OUT_A20);
        break;
    case A20_ON:
        write_outport(s, s->outport | OUT_A20);
        break;
    default:
        guest_error(&s->dev, "command 0x%02x is not known", command);
        break;
    }
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *s = opaque;
    uint8_t command = value;
    TRACE(i8042_command, "0x%02x", command);
    s->status |= STATUS_COMMAND;
    s->pending = 0;
    if ((command & 0xe0) == READ_RAM) {
        answer(s, s->ram[command & 31], ANSWER_KEYBOARD);
    } else if ((command & 0xe0) == WRITE_RAM) {
        s->pending = command;
    } else if (command >= PULSE) { /* bits that are 0 go low for a moment; bit 0 is the reset line, address 20 stays */
        if (!(command & OUT_NO_RESET)) {
            write_outport(s, s->outport & ~OUT_NO_RESET);
            s->outport |= OUT_NO_RESET;
        }
    } else {
        special_command(s, command);
    }
    update(s);
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *s = opaque;
    return s->status;
}

/* ---- data ---- */

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *s = opaque;
    uint8_t command = s->pending, byte = value;
    TRACE(i8042_data, "0x%02x for 0x%02x", byte, command);
    s->status &= ~STATUS_COMMAND;
    s->pending = 0;
    if (command == WRITE_RAM)
        write_mode(s, byte);
    else if ((command & 0xe0) == WRITE_RAM)
        s->ram[command & 31] = byte;
    else if (command == WRITE_OUTPORT)
        write_outport(s, byte);
    else if (command == FROM_KEYBOARD)
        answer(s, byte, ANSWER_KEYBOARD);
    else if (command == FROM_MOUSE)
        answer(s, byte, ANSWER_MOUSE);
    else if (command == TO_MOUSE) {
        s->ram[0] &= ~MODE_MOUSE_OFF;
        ps2_mouse_write(&s->mouse, byte);
    } else {
        s->ram[0] &= ~MODE_KEYBOARD_OFF;
        ps2_keyboard_write(&s->keyboard, byte);
    }
    update(s);
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *s = opaque;
    uint8_t byte = s->output;
    s->status &= ~(STATUS_FULL | STATUS_MOUSE);
    update_irqs(s); /* down, before the next byte comes */
    update(s);
    return byte;
}

static const MemOps data_ops = { .read = data_read, .write = data_write, .max_size = 1 },
                    command_ops = { .read = command_read, .write = command_write, .max_size = 1 };

/* ---- what the hands do ---- */

static I8042 *of_mouse(void *opaque)
{
    return (I8042 *)((char *)opaque - offsetof(I8042, mouse));
}

static void key(void *opaque, KeyCode code, bool down)
{
    I8042 *s = opaque;
    ps2_keyboard_key(&s->keyboard, code, down);
    update(s);
}

static void move(void *opaque, int dx, int dy, int wheel)
{
    ps2_mouse_move(opaque, dx, dy, wheel);
}

static void button(void *opaque, Button code, bool down)
{
    ps2_mouse_button(opaque, code, down);
}

static void sync_mouse(void *opaque)
{
    ps2_mouse_report(opaque);
    update(of_mouse(opaque));
}

static const InputHandler keyboard_handler = { .name = "PS/2 Keyboard", .key = key },
                          mouse_handler = { .name = "PS/2 Mouse", .move = move, .button = button, .sync = sync_mouse };

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    I8042 *s = (I8042 *)dev;
    mem_io_init(&s->data, dev->machine, "i8042-data", 1, &data_ops, s);
    mem_io_init(&s->command, dev->machine, "i8042-cmd", 1, &command_ops, s);
    if (dev->bus) {
        s->irq_keyboard = isa_irq(dev->bus, 1);
        s->irq_mouse = isa_irq(dev->bus, 12);
        if (!isa_map_ports(dev->bus, 0x60, &s->data, "iobase", err) ||
            !isa_map_ports(dev->bus, 0x64, &s->command, "iobase", err))
            return false;
    }
    input_add(dev->machine, &keyboard_handler, s);
    input_add(dev->machine, &mouse_handler, &s->mouse);
    return true;
}

static void unrealize(Device *dev)
{
    I8042 *s = (I8042 *)dev;
    input_remove(dev->machine, s);
    input_remove(dev->machine, &s->mouse);
}

static void reset(Device *dev)
{
    I8042 *s = (I8042 *)dev;
    ps2_keyboard_reset(&s->keyboard);
    s->mouse.buttons = 0;
    ps2_mouse_reset(&s->mouse);
    memset(s->ram, 0, sizeof(s->ram));
    s->ram[0] = MODE_KEYBOARD_IRQ | MODE_MOUSE_IRQ;
    s->status = STATUS_COMMAND | STATUS_UNLOCKED;
    s->output = s->pending = s->answer = s->answering = 0;
    s->escaped = false;
    s->outport = OUT_ALWAYS | OUT_A20 | OUT_NO_RESET;
    irq_set(&s->a20, true);
    update(s);
}

static void post_load(Device *dev)
{
    I8042 *s = (I8042 *)dev;
    Ps2Queue *queues[] = { &s->keyboard.queue, &s->mouse.queue };
    for (unsigned i = 0; i < G_N_ELEMENTS(queues); i++) {
        queues[i]->first %= PS2_QUEUE;
        queues[i]->count = MIN(queues[i]->count, PS2_QUEUE);
    }
    s->keyboard.set = CLAMP(s->keyboard.set, 1, 3);
    irq_set(&s->a20, s->outport & OUT_A20);
    update_irqs(s);
}

static const StateField state[] = { STATE_ARRAY(I8042, ram),
                                    STATE(I8042, status),
                                    STATE(I8042, output),
                                    STATE(I8042, outport),
                                    STATE(I8042, pending),
                                    STATE(I8042, answer),
                                    STATE(I8042, answering),
                                    STATE(I8042, escaped),
                                    STATE(I8042, keyboard),
                                    STATE(I8042, mouse),
                                    STATE_SKIP(I8042, data, "wiring"),
                                    STATE_SKIP(I8042, command, "wiring"),
                                    STATE_SKIP(I8042, irq_keyboard, "wiring"),
                                    STATE_SKIP(I8042, irq_mouse, "wiring"),
                                    STATE_SKIP(I8042, a20, "wiring"),
                                    STATE_SKIP(I8042, reset, "wiring"),
                                    STATE_END };

const DeviceType i8042_type = {
    .name = "i8042",
    .desc = "PC keyboard controller with keyboard and mouse",
    .category = "input",
    .bus = "isa",
    .size = sizeof(I8042),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
