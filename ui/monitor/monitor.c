/*
 * The human monitor: sessions on character devices, and how a line becomes a command (see monitor.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/monitor/monitor.h"
#include "ui/monitor/command.h"
#include "ui/monitor/lineedit.h"
#include "util/error.h"
#include <string.h>

static GSList *monitors;

/* ---- output ---- */

/* "\n" becomes "\r\n": the other side is a terminal in raw mode. */
static void put(Monitor *m, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n' && (!m->pending->len || m->pending->str[m->pending->len - 1] != '\r'))
            g_string_append_c(m->pending, '\r');
        g_string_append_c(m->pending, *text);
    }
    size_t taken = chardev_write(m->chardev, m->pending->str, m->pending->len);
    g_string_erase(m->pending, 0, taken);
}

static void show_prompt(Monitor *m)
{
    g_autoptr(GString) out = g_string_new(NULL);
    line_editor_show(m->editor, out);
    put(m, out->str);
}

/* ---- commands ---- */

static const Command *find(const Command *table, const char *name)
{
    for (const Command *c = table; c->name; c++) {
        if (!strcmp(c->name, name) || (c->alias && !strcmp(c->alias, name)))
            return c;
    }
    return NULL;
}

static bool unknown(const Command *table, const char *prefix, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Command *c = table; c->name; c++)
        g_ptr_array_add(names, (char *)c->name);
    g_ptr_array_add(names, NULL);
    const char *near = nearest_name(name, (const char *const *)names->pdata);
    return error_set(err, "unknown command: '%s%s'; %s%s%s", prefix, name, near ? "did you mean '" : "'help",
                     near ? near : "", near ? "'?" : "' lists them");
}

static bool run_line(Monitor *m, const char *line, GString *out, GError **err)
{
    const Command *table = monitor_commands, *command = NULL;
    MonitorArg args[MONITOR_ARGS] = { 0 };
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *prefix = g_strdup("");
    while (table) {
        line += strspn(line, " \t");
        size_t n = strcspn(line, " \t/");
        g_autofree char *name = g_strndup(line, n);
        if (!n && command)
            return error_set(err, "%s: what of? 'help %s' lists what there is", command->name, command->name);
        command = find(table, name);
        if (!command)
            return unknown(table, prefix, name, err);
        g_free(prefix);
        prefix = g_strdup_printf("%s ", command->name);
        line += n;
        table = command->sub;
    }
    return command_parse(m, command, line, args, words, err) && command->run(m, args, out, err);
}

void monitor_run(Monitor *m, const char *line, GString *out)
{
    g_autoptr(GError) err = NULL;
    line += strspn(line, " \t");
    if (!*line || *line == '#')
        return;
    if (!run_line(m, line, out, &err))
        g_string_append_printf(out, "Error: %s\n", err->message);
}

static void line_done(void *opaque, const char *line)
{
    Monitor *m = opaque;
    g_autoptr(GString) out = g_string_new(NULL);
    put(m, "\n");
    monitor_run(m, line, out);
    put(m, out->str);
    show_prompt(m);
}

/* Names of commands, of what info shows, that begin with the last word. */
static char **complete(void *opaque, const char *text)
{
    const Command *table = monitor_commands;
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    unsigned n = g_strv_length(words);
    GPtrArray *out = g_ptr_array_new();
    for (unsigned i = 0; i + 1 < n && table; i++) {
        if (!*words[i])
            continue;
        const Command *c = find(table, words[i]);
        table = c && !strcmp(c->name, "help") ? monitor_commands : c ? c->sub : NULL;
    }
    for (const Command *c = table; n && c && c->name; c++) {
        if (g_str_has_prefix(c->name, words[n - 1]))
            g_ptr_array_add(out, g_strdup(c->name));
    }
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_free(out, FALSE);
}

/* ---- the character device ---- */

static size_t can_read(void *opaque)
{
    return 256;
}

static void input(void *opaque, const uint8_t *data, size_t len)
{
    Monitor *m = opaque;
    for (size_t i = 0; i < len; i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        if (data[i] == '\r' || data[i] == '\n') {
            line_editor_input(m->editor, data[i], out); /* line_done has put everything */
            continue;
        }
        line_editor_input(m->editor, data[i], out);
        put(m, out->str);
    }
}

/* On a shared character device it is the focus that counts. */
static void event(void *opaque, ChardevEvent event)
{
    Monitor *m = opaque;
    bool shared = chardev_is_mux(m->chardev);
    if (event == CHARDEV_CLOSED) {
        m->greeted = false;
        g_string_truncate(m->pending, 0);
    } else if (event == (shared ? CHARDEV_MUX_IN : CHARDEV_OPENED)) {
        if (!m->greeted)
            put(m, "Rhea " RHEA_VERSION " monitor - type 'help' for more information\n");
        m->greeted = true;
        show_prompt(m);
    } else if (event == CHARDEV_MUX_OUT) {
        put(m, "\n");
    }
}

static void writable(void *opaque)
{
    put(opaque, "");
}

Monitor *monitor_new(Chardev *chardev, GError **err)
{
    static const ChardevClient client = { can_read, input, event, writable };
    Monitor *m = g_new0(Monitor, 1);
    m->chardev = chardev;
    m->pending = g_string_new(NULL);
    m->editor = line_editor_new("(rhea) ", line_done, complete, m);
    monitors = g_slist_prepend(monitors, m);
    if (!chardev_attach(chardev, NULL, &client, m, err)) {
        m->chardev = NULL;
        return NULL;
    }
    return m;
}

void monitor_set_machine(Machine *machine)
{
    for (GSList *link = monitors; link; link = link->next)
        ((Monitor *)link->data)->machine = machine;
}

void monitor_free_all(void)
{
    for (GSList *link = monitors; link; link = link->next) {
        Monitor *m = link->data;
        if (m->chardev)
            chardev_attach(m->chardev, NULL, NULL, m, NULL);
        line_editor_free(m->editor);
        g_string_free(m->pending, TRUE);
        g_free(m);
    }
    g_clear_pointer(&monitors, g_slist_free);
}
