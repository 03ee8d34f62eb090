/*
 * A window by SDL 2: shows a console, sends keys and the mouse to the guest. Ctrl-Alt-G (or a click) gives the mouse to
 * the guest, Ctrl-Alt-G takes it back; Ctrl-Alt-F changes to the whole screen; closing it ends the machine.
 *
 * SDL belongs to the main loop's thread, where a timer looks after its events.
 * SPDX-License-Identifier: MIT
 */
#include "ui/display/console.h"
#include "ui/display/input.h"
#include "ui/display/window.h"
#include "util/error.h"
#include "util/library.h"
#include <SDL.h>
#include <string.h>

#define REFRESH_MS 30

typedef struct Window {
    ConsoleListener listener;
    Machine *machine;
    Console *console;
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    unsigned width, height; /* of the texture */
    guint timer;
    bool grabbed, changed;
    bool down[KEY_COUNT]; /* keys that the guest believes to be pressed */
} Window;

static Window *the_window;

/* ---- SDL itself, which brings dozens of libraries: loaded when a window is opened ---- */

#define SONAME "libSDL2-2.0.so.0"
/* clang-format off */
#define CALLS \
    X(CreateRenderer) X(CreateTexture) X(CreateWindow) X(DestroyRenderer) X(DestroyTexture) \
    X(DestroyWindow) X(GetCurrentVideoDriver) X(GetError) X(GetWindowFlags) X(Init) X(PollEvent) X(Quit) \
    X(RenderClear) X(RenderCopy) X(RenderPresent) X(RenderSetLogicalSize) X(SetHint) \
    X(SetRelativeMouseMode) X(SetWindowFullscreen) X(SetWindowGrab) X(SetWindowSize) X(SetWindowTitle) \
    X(UpdateTexture)
/* clang-format on */

static struct {
#define X(name) __typeof__(SDL_##name) *name;
    CALLS
#undef X
} sdl;

static bool load(GError **err)
{
    static const LibraryCall calls[] = {
#define X(name) { "SDL_" #name, G_STRUCT_OFFSET(__typeof__(sdl), name) },
        CALLS
#undef X
    };
    g_autoptr(GError) why = NULL;
    return library_load(SONAME, calls, G_N_ELEMENTS(calls), &sdl, &why) ||
           error_set(err, "-display sdl: %s", why->message);
}

/* ---- drawing ---- */

static void resized(ConsoleListener *listener, const Surface *s)
{
    Window *w = (Window *)listener;
    if (w->texture)
        sdl.DestroyTexture(w->texture);
    w->texture =
        sdl.CreateTexture(w->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING, s->width, s->height);
    w->width = s->width;
    w->height = s->height;
    sdl.RenderSetLogicalSize(w->renderer, s->width, s->height);
    if (!(sdl.GetWindowFlags(w->window) & SDL_WINDOW_FULLSCREEN_DESKTOP))
        sdl.SetWindowSize(w->window, s->width, s->height);
    w->changed = true;
}

static void updated(ConsoleListener *listener, const Surface *s, unsigned x, unsigned y, unsigned width,
                    unsigned height)
{
    Window *w = (Window *)listener;
    const SDL_Rect rect = { x, y, width, height };
    if (w->texture)
        sdl.UpdateTexture(w->texture, &rect, s->pixels + (size_t)y * s->width + x, s->width * sizeof(uint32_t));
    w->changed = true;
}

static void show(Window *w)
{
    if (!w->changed || !w->texture)
        return;
    w->changed = false;
    sdl.RenderClear(w->renderer);
    sdl.RenderCopy(w->renderer, w->texture, NULL, NULL);
    sdl.RenderPresent(w->renderer);
}

/* ---- keys ---- */

/* SDL's scancodes are places on the keyboard (USB HID usages), as ours are. */
static const struct {
    SDL_Scancode scancode;
    KeyCode key;
} keys[] = {
    { SDL_SCANCODE_RETURN, KEY_ret },
    { SDL_SCANCODE_ESCAPE, KEY_esc },
    { SDL_SCANCODE_BACKSPACE, KEY_backspace },
    { SDL_SCANCODE_TAB, KEY_tab },
    { SDL_SCANCODE_SPACE, KEY_spc },
    { SDL_SCANCODE_MINUS, KEY_minus },
    { SDL_SCANCODE_EQUALS, KEY_equal },
    { SDL_SCANCODE_LEFTBRACKET, KEY_bracket_left },
    { SDL_SCANCODE_RIGHTBRACKET, KEY_bracket_right },
    { SDL_SCANCODE_BACKSLASH, KEY_backslash },
    { SDL_SCANCODE_NONUSHASH, KEY_backslash },
    { SDL_SCANCODE_SEMICOLON, KEY_semicolon },
    { SDL_SCANCODE_APOSTROPHE, KEY_apostrophe },
    { SDL_SCANCODE_GRAVE, KEY_grave_accent },
    { SDL_SCANCODE_COMMA, KEY_comma },
    { SDL_SCANCODE_PERIOD, KEY_dot },
    { SDL_SCANCODE_SLASH, KEY_slash },
    { SDL_SCANCODE_CAPSLOCK, KEY_caps_lock },
    { SDL_SCANCODE_PRINTSCREEN, KEY_print },
    { SDL_SCANCODE_SCROLLLOCK, KEY_scroll_lock },
    { SDL_SCANCODE_PAUSE, KEY_pause },
    { SDL_SCANCODE_INSERT, KEY_insert },
    { SDL_SCANCODE_HOME, KEY_home },
    { SDL_SCANCODE_PAGEUP, KEY_pgup },
    { SDL_SCANCODE_DELETE, KEY_delete },
    { SDL_SCANCODE_END, KEY_end },
    { SDL_SCANCODE_PAGEDOWN, KEY_pgdn },
    { SDL_SCANCODE_RIGHT, KEY_right },
    { SDL_SCANCODE_LEFT, KEY_left },
    { SDL_SCANCODE_DOWN, KEY_down },
    { SDL_SCANCODE_UP, KEY_up },
    { SDL_SCANCODE_NUMLOCKCLEAR, KEY_num_lock },
    { SDL_SCANCODE_KP_DIVIDE, KEY_kp_divide },
    { SDL_SCANCODE_KP_MULTIPLY, KEY_kp_multiply },
    { SDL_SCANCODE_KP_MINUS, KEY_kp_subtract },
    { SDL_SCANCODE_KP_PLUS, KEY_kp_add },
    { SDL_SCANCODE_KP_ENTER, KEY_kp_enter },
    { SDL_SCANCODE_KP_0, KEY_kp_0 },
    { SDL_SCANCODE_KP_PERIOD, KEY_kp_decimal },
    { SDL_SCANCODE_KP_COMMA, KEY_kp_comma },
    { SDL_SCANCODE_NONUSBACKSLASH, KEY_less },
    { SDL_SCANCODE_APPLICATION, KEY_menu },
    { SDL_SCANCODE_F11, KEY_f11 },
    { SDL_SCANCODE_F12, KEY_f12 },
    { SDL_SCANCODE_INTERNATIONAL1, KEY_ro },
    { SDL_SCANCODE_INTERNATIONAL2, KEY_hiragana },
    { SDL_SCANCODE_INTERNATIONAL3, KEY_yen },
    { SDL_SCANCODE_INTERNATIONAL4, KEY_henkan },
    { SDL_SCANCODE_INTERNATIONAL5, KEY_muhenkan },
    { SDL_SCANCODE_LCTRL, KEY_ctrl },
    { SDL_SCANCODE_LSHIFT, KEY_shift },
    { SDL_SCANCODE_LALT, KEY_alt },
    { SDL_SCANCODE_LGUI, KEY_meta_l },
    { SDL_SCANCODE_RCTRL, KEY_ctrl_r },
    { SDL_SCANCODE_RSHIFT, KEY_shift_r },
    { SDL_SCANCODE_RALT, KEY_alt_r },
    { SDL_SCANCODE_RGUI, KEY_meta_r },
};

static KeyCode key_of(SDL_Scancode scancode)
{
    char name[8] = "";
    if (scancode >= SDL_SCANCODE_A && scancode <= SDL_SCANCODE_Z)
        g_snprintf(name, sizeof(name), "%c", 'a' + scancode - SDL_SCANCODE_A);
    else if (scancode >= SDL_SCANCODE_1 && scancode <= SDL_SCANCODE_0)
        g_snprintf(name, sizeof(name), "%d", (scancode - SDL_SCANCODE_1 + 1) % 10);
    else if (scancode >= SDL_SCANCODE_F1 && scancode <= SDL_SCANCODE_F10)
        g_snprintf(name, sizeof(name), "f%d", scancode - SDL_SCANCODE_F1 + 1);
    else if (scancode >= SDL_SCANCODE_KP_1 && scancode <= SDL_SCANCODE_KP_9)
        g_snprintf(name, sizeof(name), "kp_%d", scancode - SDL_SCANCODE_KP_1 + 1);
    if (*name)
        return key_find(name);
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].scancode == scancode)
            return keys[i].key;
    }
    return KEY_COUNT;
}

static void release_all(Window *w)
{
    for (KeyCode key = 0; key < KEY_COUNT; key++) {
        if (w->down[key])
            input_key(w->machine, key, false);
        w->down[key] = false;
    }
}

/* ---- the mouse ---- */

static void set_title(Window *w)
{
    const char *name = w->machine->config.name ? w->machine->config.name : "Rhea";
    g_autofree char *title = g_strdup_printf("%s%s", name, w->grabbed ? " - Ctrl-Alt-G releases the mouse" : "");
    sdl.SetWindowTitle(w->window, title);
}

static void grab(Window *w, bool on)
{
    w->grabbed = on;
    sdl.SetRelativeMouseMode(on && !input_is_absolute(w->machine));
    sdl.SetWindowGrab(w->window, on);
    set_title(w);
}

static void button(Window *w, unsigned number, bool down)
{
    static const int buttons[] = { [SDL_BUTTON_LEFT] = BUTTON_LEFT,
                                   [SDL_BUTTON_MIDDLE] = BUTTON_MIDDLE,
                                   [SDL_BUTTON_RIGHT] = BUTTON_RIGHT,
                                   [SDL_BUTTON_X1] = BUTTON_SIDE,
                                   [SDL_BUTTON_X2] = BUTTON_EXTRA };
    if (!w->grabbed && !input_is_absolute(w->machine)) {
        grab(w, true); /* the click is for us */
        return;
    }
    if (number >= SDL_BUTTON_LEFT && number < G_N_ELEMENTS(buttons))
        input_button(w->machine, buttons[number], down);
}

static void motion(Window *w, const SDL_MouseMotionEvent *e)
{
    if (input_is_absolute(w->machine))
        input_position(w->machine, (uint64_t)MAX(e->x, 0) * INPUT_ABSOLUTE_MAX / MAX(w->width - 1, 1),
                       (uint64_t)MAX(e->y, 0) * INPUT_ABSOLUTE_MAX / MAX(w->height - 1, 1));
    else if (w->grabbed)
        input_move(w->machine, e->xrel, e->yrel, 0);
}

/* ---- events ---- */

/* Keys with Ctrl and Alt that are the window's own. */
static bool own_key(Window *w, const SDL_KeyboardEvent *e)
{
    if (!(e->keysym.mod & KMOD_CTRL) || !(e->keysym.mod & KMOD_ALT) || e->type != SDL_KEYDOWN)
        return false;
    if (e->keysym.scancode == SDL_SCANCODE_G) {
        grab(w, !w->grabbed);
    } else if (e->keysym.scancode == SDL_SCANCODE_F) {
        bool full = sdl.GetWindowFlags(w->window) & SDL_WINDOW_FULLSCREEN_DESKTOP;
        sdl.SetWindowFullscreen(w->window, full ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
    } else {
        return false;
    }
    release_all(w);
    return true;
}

static void key(Window *w, const SDL_KeyboardEvent *e)
{
    KeyCode code = key_of(e->keysym.scancode);
    bool down = e->type == SDL_KEYDOWN;
    if (own_key(w, e) || code == KEY_COUNT || (!down && !w->down[code]))
        return;
    w->down[code] = down;
    input_key(w->machine, code, down); /* the host repeats keys */
}

static void window_event(Window *w, const SDL_WindowEvent *e)
{
    if (e->event == SDL_WINDOWEVENT_FOCUS_LOST) {
        release_all(w);
        grab(w, false);
    } else if (e->event == SDL_WINDOWEVENT_EXPOSED || e->event == SDL_WINDOWEVENT_SIZE_CHANGED) {
        w->changed = true;
    }
}

static void event(Window *w, const SDL_Event *e)
{
    switch (e->type) {
    case SDL_QUIT:
        machine_request_shutdown(w->machine, SHUTDOWN_HOST_QUIT, 0);
        break;
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        key(w, &e->key);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        if (w->grabbed || e->type == SDL_MOUSEBUTTONDOWN || input_is_absolute(w->machine))
            button(w, e->button.button, e->type == SDL_MOUSEBUTTONDOWN);
        break;
    case SDL_MOUSEMOTION:
        motion(w, &e->motion);
        break;
    case SDL_MOUSEWHEEL:
        if (w->grabbed)
            input_move(w->machine, 0, 0, e->wheel.y);
        break;
    case SDL_WINDOWEVENT:
        window_event(w, &e->window);
        break;
    }
}

static gboolean tick(gpointer opaque)
{
    Window *w = opaque;
    SDL_Event e;
    machine_lock(w->machine);
    for (unsigned i = 0; i < 1000 && sdl.PollEvent(&e); i++)
        event(w, &e);
    console_refresh(w->console);
    machine_unlock(w->machine);
    show(w);
    return G_SOURCE_CONTINUE;
}

/* ---- life ---- */

static bool open_window(Window *w, GError **err)
{
    static const char *const unseen[] = { "offscreen", "dummy", NULL }; /* what SDL falls back to */
    if (!load(err))
        return false;
    sdl.SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    sdl.SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    if (sdl.Init(SDL_INIT_VIDEO))
        return error_set(err, "-display sdl: %s; DISPLAY or WAYLAND_DISPLAY says where a screen is", sdl.GetError());
    if (!g_getenv("SDL_VIDEODRIVER") && g_strv_contains(unseen, sdl.GetCurrentVideoDriver()))
        return error_set(err, "-display sdl: there is no screen; DISPLAY or WAYLAND_DISPLAY says where one is");
    const Surface *s = console_surface(w->console);
    w->window = sdl.CreateWindow("Rhea", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, s->width, s->height,
                                 SDL_WINDOW_RESIZABLE);
    w->renderer = w->window ? sdl.CreateRenderer(w->window, -1, 0) : NULL;
    return w->renderer || error_set(err, "-display sdl: %s", sdl.GetError());
}

bool sdl_window_open(Machine *machine, GError **err)
{
    Window *w = the_window = g_new0(Window, 1);
    w->listener = (ConsoleListener){ resized, updated };
    w->machine = machine;
    machine_lock(machine);
    w->console = console_find(machine, NULL, err);
    bool ok = w->console && open_window(w, err);
    if (ok) {
        console_add_listener(w->console, &w->listener);
        set_title(w);
        w->timer = g_timeout_add(REFRESH_MS, tick, w);
    }
    machine_unlock(machine);
    if (!ok)
        sdl_window_close();
    return ok;
}

void sdl_window_close(void)
{
    Window *w = g_steal_pointer(&the_window);
    if (!w)
        return;
    if (w->timer) {
        g_source_remove(w->timer);
        machine_lock(w->machine);
        console_del_listener(w->console, &w->listener);
        machine_unlock(w->machine);
    }
    if (w->texture)
        sdl.DestroyTexture(w->texture);
    if (w->renderer)
        sdl.DestroyRenderer(w->renderer);
    if (w->window)
        sdl.DestroyWindow(w->window);
    if (sdl.Quit)
        sdl.Quit();
    g_free(w);
}
