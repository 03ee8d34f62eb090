/*
 * Input: keys and pointers, from a window or the monitor to the keyboards and mice of the guest.
 *
 * A device is an InputHandler. A key goes to the newest active keyboard, a movement to the newest active pointer that
 * takes this kind of movement (mouse_set makes one the first). All functions run under the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_DISPLAY_INPUT_H
#define UI_DISPLAY_INPUT_H

#include "hw/core/machine.h"

typedef enum {
#define KEY(name, set1, set2, set3) KEY_##name,
#include "ui/display/keys.def"
#undef KEY
    KEY_COUNT
} KeyCode;

typedef enum { BUTTON_LEFT, BUTTON_MIDDLE, BUTTON_RIGHT, BUTTON_SIDE, BUTTON_EXTRA, BUTTON_COUNT } Button;

#define INPUT_ABSOLUTE_MAX 0x7fff

/* What a device takes: members that are NULL say what it is not. Calls of one movement end with sync. */
typedef struct InputHandler {
    const char *name; /* in info mice */
    void (*key)(void *opaque, KeyCode key, bool down);
    void (*move)(void *opaque, int dx, int dy, int wheel);  /* right and down are positive; wheel up is positive */
    void (*position)(void *opaque, unsigned x, unsigned y); /* 0 to INPUT_ABSOLUTE_MAX */
    void (*button)(void *opaque, Button button, bool down);
    void (*sync)(void *opaque);
} InputHandler;

/* ---- for devices ---- */
void input_add(Machine *machine, const InputHandler *handler, void *opaque);
void input_remove(Machine *machine, void *opaque);
/* The guest has begun to use this device: it comes before the others. */
void input_activate(Machine *machine, void *opaque);

/* ---- for windows and the monitor. False: no device takes it. ---- */
bool input_key(Machine *machine, KeyCode key, bool down);
bool input_move(Machine *machine, int dx, int dy, int wheel);
bool input_position(Machine *machine, unsigned x, unsigned y);
bool input_button(Machine *machine, Button button, bool down);
/* Do pointers go by positions now? */
bool input_is_absolute(Machine *machine);

/* Press keys together for hold milliseconds of virtual time, after those of earlier calls were released: "ctrl-alt-f1",
 * names or codes of set 1 ("0x1d", as in 0xe01d with their prefix). False and *err: a name is unknown, or nothing takes
 * keys. */
bool input_send_keys(Machine *machine, const char *keys, uint64_t hold_ms, GError **err);
/* info mice, mouse_set */
void input_describe_mice(Machine *machine, GString *out);
bool input_choose_mouse(Machine *machine, unsigned index, GError **err);

/* ---- tables ---- */
const char *key_name(KeyCode key);
/* Of this name; KEY_COUNT: none. */
KeyCode key_find(const char *name);
/* Make code in set 1 to 3 (keys.def); 0: none. */
uint16_t key_scancode(KeyCode key, unsigned set);

#endif
