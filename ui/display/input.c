/*
 * Input (see input.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/display/input.h"
#include "util/error.h"
#include <string.h>

#define QUEUE_MAX   1024 /* events of sendkey that wait */
#define KEYS_MAX    16   /* pressed together */
#define HOLD_MS_MAX 60000
#define GAP_NS      (2 * 1000 * 1000) /* between the keys of one sendkey: an 8042 has no room for all at once */

typedef struct Client {
    const InputHandler *handler;
    void *opaque;
    unsigned index; /* in info mice */
} Client;

/* A step of sendkey: the key, and how long after it the next one comes. */
typedef struct Step {
    KeyCode key;
    bool down;
    int64_t pause_ns;
} Step;

typedef struct InputState {
    GSList *clients; /* Client *: the first that fits is the one that gets an event */
    unsigned next_index;
    GQueue steps; /* Step * */
    Timer timer;
    bool waiting; /* for the timer */
} InputState;

/* ---- devices ---- */

static void run_steps(void *opaque);

void input_add(Machine *machine, const InputHandler *handler, void *opaque)
{
    InputState *s = machine->input;
    if (!s) {
        s = machine->input = g_new0(InputState, 1);
        g_queue_init(&s->steps);
        timer_init(&s->timer, machine->clocks, CLOCK_VIRTUAL_NS, run_steps, machine);
    }
    Client client = { handler, opaque, s->next_index++ };
    s->clients = g_slist_prepend(s->clients, g_memdup2(&client, sizeof(client)));
}

static GSList *link_of(const InputState *s, const void *opaque)
{
    for (GSList *link = s ? s->clients : NULL; link; link = link->next) {
        if (((Client *)link->data)->opaque == opaque)
            return link;
    }
    return NULL;
}

void input_remove(Machine *machine, void *opaque)
{
    InputState *s = machine->input;
    for (GSList *link; (link = link_of(s, opaque));) {
        g_free(link->data);
        s->clients = g_slist_delete_link(s->clients, link);
    }
    if (!s || s->clients)
        return;
    timer_cancel(&s->timer);
    g_queue_clear_full(&s->steps, g_free);
    g_free(s);
    machine->input = NULL;
}

void input_activate(Machine *machine, void *opaque)
{
    InputState *s = machine->input;
    GSList *link = link_of(s, opaque);
    if (!link)
        return;
    s->clients = g_slist_remove_link(s->clients, link);
    s->clients = g_slist_concat(link, s->clients);
}

/* ---- events ---- */

static bool takes_key(const InputHandler *h)
{
    return h->key;
}
static bool takes_movement(const InputHandler *h)
{
    return h->move;
}
static bool takes_position(const InputHandler *h)
{
    return h->position;
}
static bool is_pointer(const InputHandler *h)
{
    return h->move || h->position;
}

static const Client *first_that(Machine *machine, bool (*takes)(const InputHandler *h))
{
    for (GSList *link = machine->input ? machine->input->clients : NULL; link; link = link->next) {
        const Client *client = link->data;
        if (takes(client->handler))
            return client;
    }
    return NULL;
}

static void sync_client(const Client *c)
{
    if (c->handler->sync)
        c->handler->sync(c->opaque);
}

bool input_key(Machine *machine, KeyCode key, bool down)
{
    const Client *c = first_that(machine, takes_key);
    if (c)
        c->handler->key(c->opaque, key, down);
    return c;
}

bool input_move(Machine *machine, int dx, int dy, int wheel)
{
    const Client *c = first_that(machine, takes_movement);
    if (!c)
        return false;
    c->handler->move(c->opaque, dx, dy, wheel);
    sync_client(c);
    return true;
}

bool input_position(Machine *machine, unsigned x, unsigned y)
{
    const Client *c = first_that(machine, takes_position);
    if (!c)
        return false;
    c->handler->position(c->opaque, MIN(x, INPUT_ABSOLUTE_MAX), MIN(y, INPUT_ABSOLUTE_MAX));
    sync_client(c);
    return true;
}

bool input_button(Machine *machine, Button button, bool down)
{
    const Client *c = first_that(machine, is_pointer);
    if (!c || !c->handler->button)
        return false;
    c->handler->button(c->opaque, button, down);
    sync_client(c);
    return true;
}

bool input_is_absolute(Machine *machine)
{
    const Client *c = first_that(machine, is_pointer);
    return c && c->handler->position;
}

/* ---- sendkey ---- */

/* Until one wants a pause. Each step may end the machine's input (no), but never adds one. */
static void run_steps(void *opaque)
{
    Machine *machine = opaque;
    InputState *s = machine->input;
    s->waiting = false;
    while (!s->waiting && !g_queue_is_empty(&s->steps)) {
        g_autofree Step *step = g_queue_pop_head(&s->steps);
        input_key(machine, step->key, step->down);
        if (step->pause_ns) {
            s->waiting = true;
            timer_set(&s->timer, clock_now(machine->clocks, CLOCK_VIRTUAL_NS) + step->pause_ns);
        }
    }
}

static void add_step(InputState *s, KeyCode key, bool down, int64_t pause_ns)
{
    Step step = { key, down, pause_ns };
    g_queue_push_tail(&s->steps, g_memdup2(&step, sizeof(step)));
}

static bool parse_key(const char *text, KeyCode *key, GError **err)
{
    const char *names[KEY_COUNT + 1] = { NULL };
    uint64_t code;
    *key = key_find(text);
    if (*key != KEY_COUNT)
        return true;
    for (KeyCode k = 0; k < KEY_COUNT; k++) {
        names[k] = key_name(k);
        if (g_str_has_prefix(text, "0x") && parse_uint(text, &code, NULL) && code && key_scancode(k, 1) == code) {
            *key = k;
            return true;
        }
    }
    const char *near = nearest_name(text, names);
    return error_set(err, "there is no key '%s'; %s%s%s", text,
                     near ? "did you mean '" : "as in ctrl-alt-delete, a, ret, f1, or its code of set 1, as in 0x1c",
                     near ? near : "", near ? "'?" : "");
}

bool input_send_keys(Machine *machine, const char *keys, uint64_t hold_ms, GError **err)
{
    InputState *s = machine->input;
    g_auto(GStrv) names = g_strsplit(keys, "-", -1);
    unsigned count = g_strv_length(names);
    KeyCode codes[KEYS_MAX];
    if (!count || count > KEYS_MAX)
        return error_set(err, "1 to %u keys may be pressed together", KEYS_MAX);
    if (!hold_ms || hold_ms > HOLD_MS_MAX)
        return error_set(err, "keys are held for 1 to %u milliseconds", HOLD_MS_MAX);
    for (unsigned i = 0; i < count; i++) {
        if (!parse_key(names[i], &codes[i], err))
            return false;
    }
    if (!first_that(machine, takes_key))
        return error_set(err, "the machine has no keyboard");
    if (s->steps.length + 2 * count > QUEUE_MAX)
        return error_set(err, "too many keys wait for the guest already");
    for (unsigned i = 0; i < count; i++)
        add_step(s, codes[i], true, i + 1 == count ? (int64_t)hold_ms * 1000000 : GAP_NS);
    for (unsigned i = count; i--;)
        add_step(s, codes[i], false, GAP_NS);
    if (!s->waiting)
        run_steps(machine);
    return true;
}

/* ---- mice ---- */

void input_describe_mice(Machine *machine, GString *out)
{
    const Client *current = first_that(machine, is_pointer);
    if (!current)
        g_string_append(out, "No mouse devices connected\n");
    for (unsigned i = 0; current && i < machine->input->next_index; i++) {
        for (GSList *link = machine->input->clients; link; link = link->next) {
            const Client *c = link->data;
            if (c->index == i && is_pointer(c->handler))
                g_string_append_printf(out, "%c Mouse #%u: %s%s\n", c == current ? '*' : ' ', i, c->handler->name,
                                       c->handler->position ? " (absolute)" : "");
        }
    }
}

bool input_choose_mouse(Machine *machine, unsigned index, GError **err)
{
    for (GSList *link = machine->input ? machine->input->clients : NULL; link; link = link->next) {
        const Client *c = link->data;
        if (c->index == index && is_pointer(c->handler)) {
            input_activate(machine, c->opaque);
            return true;
        }
    }
    return error_set(err, "there is no mouse %u; info mice lists them", index);
}

/* ---- tables ---- */

typedef struct Key {
    const char *name;
    uint16_t codes[3];
} Key;

static const Key keys[] = {
#define KEY(name, set1, set2, set3) { #name, { set1, set2, set3 } },
#include "ui/display/keys.def"
#undef KEY
};

const char *key_name(KeyCode key)
{
    return keys[key].name;
}

KeyCode key_find(const char *name)
{
    KeyCode key = 0;
    while (key < KEY_COUNT && strcmp(keys[key].name, name))
        key++;
    return key;
}

uint16_t key_scancode(KeyCode key, unsigned set)
{
    g_assert(key < KEY_COUNT && set >= 1 && set <= 3);
    return keys[key].codes[set - 1];
}
