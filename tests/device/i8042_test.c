/*
 * 8042 keyboard controller, PS/2 keyboard and mouse, and what the monitor's sendkey, mouse_move and mouse_button send
 * them.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/input/i8042.h"
#include "ui/display/input.h"
#include <string.h>

#define DATA    0x60
#define COMMAND 0x64

typedef struct World {
    DevMachine *m;
    I8042 *s;
    DevIrq irqs[ISA_IRQS], a20, reset;
} World;

static World *world_new(void)
{
    GError *err = NULL;
    World *w = g_new0(World, 1);
    w->m = devm_new();
    IsaBridge *bridge = devm_add(w->m, &isabus_bridge_type, NULL);
    devm_realize(w->m, bridge);
    for (unsigned i = 0; i < ISA_IRQS; i++)
        bridge->isa.irqs[i] = devirq_init(&w->irqs[i]);
    w->s = (I8042 *)devm_device_add(w->m, "i8042", &err);
    g_assert_no_error(err);
    w->s->a20 = devirq_init(&w->a20);
    w->s->reset = devirq_init(&w->reset);
    devm_reset(w->m);
    return w;
}

static void world_free(World *w)
{
    devm_free(w->m);
    g_free(w);
}

static void command(World *w, uint8_t byte)
{
    out(w->m, COMMAND, 1, byte);
}
static void data(World *w, uint8_t byte)
{
    out(w->m, DATA, 1, byte);
}
static uint8_t status(World *w)
{
    return in(w->m, COMMAND, 1);
}

/* The bytes that come, from the keyboard (or the controller) or from the mouse, and no more. */
static void expect_from(World *w, bool mouse, const char *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        g_assert_cmphex(status(w) & 0x21, ==, mouse ? 0x21 : 0x01);
        g_assert_cmphex(in(w->m, DATA, 1), ==, (uint8_t)bytes[i]);
    }
    g_assert_cmphex(status(w) & 0x21, ==, 0);
}
#define EXPECT(w, bytes)       expect_from(w, false, bytes, sizeof(bytes) - 1)
#define EXPECT_MOUSE(w, bytes) expect_from(w, true, bytes, sizeof(bytes) - 1)

static void press(World *w, KeyCode key, bool down)
{
    DEVM_LOCKED(w->m, g_assert_true(input_key(w->m->machine, key, down)));
}

static void mouse(World *w, uint8_t byte)
{
    command(w, 0xd4);
    data(w, byte);
}

static void set_mode(World *w, uint8_t mode)
{
    command(w, 0x60);
    data(w, mode);
}

/* ---- controller ---- */

static void test_controller(void)
{
    World *w = world_new();
    g_assert_cmphex(status(w), ==, 0x18);
    command(w, 0xaa);
    g_assert_cmphex(status(w), ==, 0x1d);
    EXPECT(w, "\x55");
    command(w, 0xab);
    EXPECT(w, "\0");
    command(w, 0xa9);
    EXPECT(w, "\0");
    command(w, 0x20);
    EXPECT(w, "\x03");
    set_mode(w, 0x61);
    command(w, 0x20);
    EXPECT(w, "\x61");
    g_assert_cmphex(status(w) & 4, ==, 0); /* the system flag is the mode's */
    command(w, 0x7f);
    data(w, 0x42);
    command(w, 0x3f);
    EXPECT(w, "\x42");
    command(w, 0xad);
    command(w, 0xa7);
    command(w, 0x20);
    EXPECT(w, "\x71");
    command(w, 0xae);
    command(w, 0xa8);
    command(w, 0x20);
    EXPECT(w, "\x41");
    command(w, 0xc0);
    EXPECT(w, "\x80");
    command(w, 0xd2);
    data(w, 0x1c); /* as if the keyboard had sent it, not translated */
    EXPECT(w, "\x1c");
    command(w, 0xd3);
    data(w, 0x99);
    EXPECT_MOUSE(w, "\x99");
    command(w, 0x01); /* no command */
    g_assert_cmphex(status(w) & 1, ==, 0);
    world_free(w);
}

static void test_lines(void)
{
    World *w = world_new();
    g_assert_true(w->a20.level);
    command(w, 0xdd);
    g_assert_false(w->a20.level);
    command(w, 0xdf);
    g_assert_true(w->a20.level);
    command(w, 0xd1);
    data(w, 0x01);
    g_assert_false(w->a20.level);
    command(w, 0xd0);
    g_assert_cmphex(in(w->m, DATA, 1), ==, 0xcd);
    g_assert_cmpuint(w->reset.rises, ==, 0);
    command(w, 0xff); /* pulses nothing */
    g_assert_cmpuint(w->reset.rises, ==, 0);
    command(w, 0xfe);
    g_assert_cmpuint(w->reset.rises, ==, 1);
    g_assert_false(w->reset.level);
    command(w, 0xf0);
    g_assert_cmpuint(w->reset.rises, ==, 2);
    command(w, 0xd1);
    data(w, 0x02);
    g_assert_cmpuint(w->reset.rises, ==, 3);
    devm_reset(w->m);
    g_assert_true(w->a20.level);
    w->s->reset = (Irq){ 0 };
    g_assert_false(w->m->machine->pending.reset);
    command(w, 0xfe); /* nobody has taken the line: the machine's */
    g_assert_true(w->m->machine->pending.reset);
    world_free(w);
}

static void test_interrupts(void)
{
    World *w = world_new();
    press(w, KEY_a, true);
    press(w, KEY_a, false); /* 1c f0 1c wait */
    g_assert_true(w->irqs[1].level);
    g_assert_cmpuint(w->irqs[1].rises, ==, 1);
    EXPECT(w, "\x1c\xf0\x1c");
    g_assert_false(w->irqs[1].level);
    g_assert_cmpuint(w->irqs[1].rises, ==, 3); /* one for each byte */
    mouse(w, 0xf2);
    g_assert_true(w->irqs[12].level);
    g_assert_false(w->irqs[1].level);
    EXPECT_MOUSE(w, "\xfa\0");
    g_assert_cmpuint(w->irqs[12].rises, ==, 2);
    set_mode(w, 0x40);
    press(w, KEY_a, true);
    g_assert_false(w->irqs[1].level);
    g_assert_cmphex(status(w) & 1, ==, 1);
    set_mode(w, 0x41);
    g_assert_true(w->irqs[1].level);
    EXPECT(w, "\x1e");
    command(w, 0xad); /* the keyboard waits */
    press(w, KEY_b, true);
    g_assert_cmphex(status(w) & 1, ==, 0);
    command(w, 0xae);
    EXPECT(w, "\x30");
    world_free(w);
}

/* ---- keyboard ---- */

static void test_keyboard_commands(void)
{
    World *w = world_new();
    data(w, 0xff);
    EXPECT(w, "\xfa\xaa");
    data(w, 0xee);
    EXPECT(w, "\xee");
    data(w, 0xf2);
    EXPECT(w, "\xfa\xab\x83");
    data(w, 0xed);
    EXPECT(w, "\xfa");
    data(w, 0x07);
    EXPECT(w, "\xfa");
    g_assert_cmphex(w->s->keyboard.leds, ==, 7);
    data(w, 0xf3);
    EXPECT(w, "\xfa");
    data(w, 0x20);
    EXPECT(w, "\xfa");
    data(w, 0xf0);
    EXPECT(w, "\xfa");
    data(w, 0x00);
    EXPECT(w, "\xfa\x02");
    data(w, 0xf0);
    EXPECT(w, "\xfa");
    data(w, 0x04); /* there is no such set */
    EXPECT(w, "\xfe");
    data(w, 0xe0);
    EXPECT(w, "\xfe");
    data(w, 0xf5);
    EXPECT(w, "\xfa");
    press(w, KEY_a, true);
    EXPECT(w, "");
    data(w, 0xf4);
    EXPECT(w, "\xfa");
    press(w, KEY_a, true);
    EXPECT(w, "\x1c");
    data(w, 0xfe);
    EXPECT(w, "\x1c");
    data(w, 0xed); /* a command instead of the byte */
    data(w, 0xee);
    EXPECT(w, "\xfa\xee");
    set_mode(w, 0x41); /* translated */
    data(w, 0xf2);
    EXPECT(w, "\xfa\xab\x41");
    world_free(w);
}

static void test_scancodes(void)
{
    World *w = world_new();
    press(w, KEY_up, true);
    press(w, KEY_up, false);
    EXPECT(w, "\xe0\x75\xe0\xf0\x75");
    press(w, KEY_f7, true);
    press(w, KEY_f7, false);
    EXPECT(w, "\x83\xf0\x83");
    press(w, KEY_pause, true);
    press(w, KEY_pause, false);
    EXPECT(w, "\xe1\x14\x77\xe1\xf0\x14\xf0\x77");
    set_mode(w, 0x41);
    press(w, KEY_up, true);
    press(w, KEY_up, false);
    EXPECT(w, "\xe0\x48\xe0\xc8");
    press(w, KEY_pause, true);
    EXPECT(w, "\xe1\x1d\x45\xe1\x9d\xc5");
    press(w, KEY_f7, true);
    press(w, KEY_f7, false);
    EXPECT(w, "\x41\xc1");
    set_mode(w, 0x01);
    data(w, 0xf0);
    data(w, 0x01);
    EXPECT(w, "\xfa\xfa");
    press(w, KEY_delete, true);
    press(w, KEY_delete, false);
    EXPECT(w, "\xe0\x53\xe0\xd3");
    data(w, 0xf0);
    data(w, 0x03);
    EXPECT(w, "\xfa\xfa");
    press(w, KEY_delete, true);
    press(w, KEY_delete, false);
    EXPECT(w, "\x64\xf0\x64");
    world_free(w);
}

/* The three sets are from different tables, the controller's translation from a fourth: they agree for all keys. */
static void test_all_keys(void)
{
    World *w = world_new();
    set_mode(w, 0x41);
    for (KeyCode key = 0; key < KEY_COUNT; key++) {
        uint16_t set1 = key_scancode(key, 1), set2 = key_scancode(key, 2);
        g_assert_cmphex(set1 >> 8, ==, set2 >> 8);
        g_assert_true(key_find(key_name(key)) == key);
        for (unsigned down = 2; key != KEY_pause && down--;) {
            char bytes[2] = { set1 >> 8, down ? set1 : set1 | 0x80 };
            unsigned skip = !(set1 >> 8);
            press(w, key, down);
            expect_from(w, false, bytes + skip, 2 - skip);
        }
    }
    g_assert_true(key_find("nothing") == KEY_COUNT);
    world_free(w);
}

static void test_overrun(void)
{
    World *w = world_new();
    unsigned bytes = 0, last = 0;
    for (unsigned i = 0; i < 40; i++)
        press(w, KEY_a, true);
    for (; status(w) & 1; bytes++)
        last = in(w->m, DATA, 1);
    g_assert_cmpuint(bytes, ==, 17); /* one in the controller, 16 in the keyboard */
    g_assert_cmphex(last, ==, 0x1c);
    for (unsigned i = 0; i < 6; i++)
        press(w, KEY_up, false); /* three bytes each: no room for the sixth */
    for (bytes = 0; status(w) & 1; bytes++)
        last = in(w->m, DATA, 1);
    g_assert_cmpuint(bytes, ==, 16);
    g_assert_cmphex(last, ==, 0); /* overrun */
    for (unsigned i = 0; i < 17; i++)
        press(w, KEY_a, true);
    data(w, 0xf2); /* an answer comes all the same */
    while (status(w) & 1)
        last = in(w->m, DATA, 1);
    g_assert_cmphex(last, ==, 0x83);
    world_free(w);
}

/* ---- mouse ---- */

static void move(World *w, int dx, int dy, int wheel)
{
    DEVM_LOCKED(w->m, g_assert_true(input_move(w->m->machine, dx, dy, wheel)));
}

static void button(World *w, Button b, bool down)
{
    DEVM_LOCKED(w->m, g_assert_true(input_button(w->m->machine, b, down)));
}

static void set_rates(World *w, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[] = { a, b, c };
    for (unsigned i = 0; i < 3; i++) {
        mouse(w, 0xf3);
        EXPECT_MOUSE(w, "\xfa");
        mouse(w, rates[i]);
        EXPECT_MOUSE(w, "\xfa");
    }
}

static void test_mouse(void)
{
    World *w = world_new();
    mouse(w, 0xff);
    EXPECT_MOUSE(w, "\xfa\xaa\0");
    move(w, 5, 5, 0); /* not enabled */
    EXPECT_MOUSE(w, "");
    mouse(w, 0xf4);
    EXPECT_MOUSE(w, "\xfa");
    move(w, 5, 3, 1); /* down is negative; no wheel yet */
    EXPECT_MOUSE(w, "\x28\x05\xfd");
    move(w, -300, 0, 0); /* more than one packet can say */
    EXPECT_MOUSE(w, "\x18\x01\0\x18\xd3\0");
    button(w, BUTTON_LEFT, true);
    button(w, BUTTON_RIGHT, true);
    button(w, BUTTON_MIDDLE, true);
    button(w, BUTTON_SIDE, true);
    EXPECT_MOUSE(w, "\x09\0\0\x0b\0\0\x0f\0\0");
    mouse(w, 0xe9);
    EXPECT_MOUSE(w, "\xfa\x27\x02\x64");
    mouse(w, 0xe7);
    EXPECT_MOUSE(w, "\xfa");
    move(w, 4, -10, 0); /* scaled 2:1 */
    EXPECT_MOUSE(w, "\x0f\x06\x14");
    mouse(w, 0xe6);
    mouse(w, 0xf0);
    EXPECT_MOUSE(w, "\xfa\xfa");
    move(w, 1, -2, 0); /* remote: only when asked */
    EXPECT_MOUSE(w, "");
    mouse(w, 0xeb);
    EXPECT_MOUSE(w, "\xfa\x0f\x01\x02");
    mouse(w, 0xee);
    EXPECT_MOUSE(w, "\xfa");
    mouse(w, 0xf2); /* wrapped */
    EXPECT_MOUSE(w, "\xf2");
    mouse(w, 0xec);
    EXPECT_MOUSE(w, "\xfa");
    mouse(w, 0x42);
    EXPECT_MOUSE(w, "\xfe");
    world_free(w);
}

static void test_wheel(void)
{
    World *w = world_new();
    set_rates(w, 200, 200, 80); /* not from a plain mouse */
    mouse(w, 0xf2);
    EXPECT_MOUSE(w, "\xfa\0");
    set_rates(w, 200, 100, 80);
    mouse(w, 0xf2);
    EXPECT_MOUSE(w, "\xfa\x03");
    mouse(w, 0xf4);
    EXPECT_MOUSE(w, "\xfa");
    move(w, 0, 0, 1);
    EXPECT_MOUSE(w, "\x08\0\0\xff");
    set_rates(w, 200, 200, 80);
    mouse(w, 0xf2);
    EXPECT_MOUSE(w, "\xfa\x04");
    move(w, 1, 0, -1);
    button(w, BUTTON_EXTRA, true);
    EXPECT_MOUSE(w, "\x08\x01\0\x01\x08\0\0\x20");
    world_free(w);
}

static void test_mouse_full(void)
{
    World *w = world_new();
    unsigned bytes = 0;
    int x = 0;
    mouse(w, 0xf4);
    EXPECT_MOUSE(w, "\xfa");
    for (unsigned i = 0; i < 100; i++)
        move(w, 20, 0, 0);
    for (; status(w) & 1; bytes++) {
        uint8_t byte = in(w->m, DATA, 1);
        x += bytes % 3 == 1 ? byte : 0;
    }
    g_assert_cmpuint(bytes % 3, ==, 0);
    g_assert_cmpint(x, ==, 2000); /* nothing is lost, it came in fewer packets */
    g_assert_cmpuint(bytes, <, 60);
    world_free(w);
}

/* ---- the monitor ---- */

static void test_sendkey(void)
{
    World *w = world_new();
    GError *err = NULL;
    Machine *machine = w->m->machine;
    set_mode(w, 0x41);
    DEVM_LOCKED(w->m, g_assert_true(input_send_keys(machine, "ctrl-alt-delete", 100, &err)));
    devm_step(w->m, 10 * 1000000);
    EXPECT(w, "\x1d\x38\xe0\x53");
    DEVM_LOCKED(w->m, g_assert_true(input_send_keys(machine, "0x1e", 50, &err))); /* waits for its turn */
    EXPECT(w, "");
    devm_step(w->m, 85 * 1000000);
    EXPECT(w, "");
    devm_step(w->m, 20 * 1000000);
    EXPECT(w, "\xe0\xd3\xb8\x9d\x1e");
    devm_step(w->m, 60 * 1000000);
    EXPECT(w, "\x9e");
    const struct {
        const char *keys;
        uint64_t hold;
        const char *message;
    } bad[] = { { "ctrl-alt-dleete", 100, "did you mean 'delete'" },
                { "", 100, "1 to 16 keys" },
                { "a-", 100, "there is no key ''" },
                { "0x7777", 100, "there is no key" },
                { "a", 0, "1 to 60000" },
                { "a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a", 1, "1 to 16 keys" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        DEVM_LOCKED(w->m, g_assert_false(input_send_keys(machine, bad[i].keys, bad[i].hold, &err)));
        g_assert_nonnull(strstr(err->message, bad[i].message));
        g_clear_error(&err);
    }
    bool full = false;
    for (unsigned i = 0; i < 1000 && !full; i++)
        DEVM_LOCKED(w->m, full = !input_send_keys(machine, "a", 60000, NULL));
    g_assert_true(full);
    world_free(w); /* with keys still waiting */
}

static void test_mice(void)
{
    World *w = world_new();
    g_autoptr(GString) text = g_string_new(NULL);
    GError *err = NULL;
    machine_lock(w->m->machine);
    input_describe_mice(w->m->machine, text);
    g_assert_cmpstr(text->str, ==, "* Mouse #1: PS/2 Mouse\n");
    g_assert_true(input_choose_mouse(w->m->machine, 1, &err));
    g_assert_false(input_choose_mouse(w->m->machine, 0, &err)); /* a keyboard */
    g_clear_error(&err);
    g_assert_false(input_is_absolute(w->m->machine));
    g_assert_false(input_position(w->m->machine, 1, 1));
    device_free(&w->s->dev);
    g_assert_false(input_key(w->m->machine, KEY_a, true));
    g_assert_false(input_send_keys(w->m->machine, "a", 1, &err));
    g_clear_error(&err);
    g_string_truncate(text, 0);
    input_describe_mice(w->m->machine, text);
    g_assert_cmpstr(text->str, ==, "No mouse devices connected\n");
    machine_unlock(w->m->machine);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i8042/controller", test_controller);
    g_test_add_func("/i8042/lines", test_lines);
    g_test_add_func("/i8042/interrupts", test_interrupts);
    g_test_add_func("/i8042/keyboard-commands", test_keyboard_commands);
    g_test_add_func("/i8042/scancodes", test_scancodes);
    g_test_add_func("/i8042/all-keys", test_all_keys);
    g_test_add_func("/i8042/overrun", test_overrun);
    g_test_add_func("/i8042/mouse", test_mouse);
    g_test_add_func("/i8042/wheel", test_wheel);
    g_test_add_func("/i8042/mouse-full", test_mouse_full);
    g_test_add_func("/i8042/sendkey", test_sendkey);
    g_test_add_func("/i8042/mice", test_mice);
    return g_test_run();
}
