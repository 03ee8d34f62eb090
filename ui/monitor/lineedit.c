/*
 * Line editor: cursor keys, Emacs keys, history, completion (see lineedit.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/monitor/lineedit.h"
#include <stdbool.h>
#include <string.h>

#define LINE_MAX_BYTES 4096
#define HISTORY_LINES  100

struct LineEditor {
    const char *prompt;
    void (*done)(void *opaque, const char *line);
    char **(*complete)(void *opaque, const char *text);
    void *opaque;
    GString *line;
    size_t cursor;
    GPtrArray *history;
    unsigned place; /* in history; history->len: the line being typed */
    char *typed;    /* it, while history is looked at */
    enum { PLAIN, ESCAPE, BRACKET } state;
    unsigned parameter; /* of an escape sequence */
    bool after_return;  /* a line feed that follows is part of it */
};

LineEditor *line_editor_new(const char *prompt, void (*done)(void *opaque, const char *line),
                            char **(*complete)(void *opaque, const char *text), void *opaque)
{
    LineEditor *e = g_new0(LineEditor, 1);
    e->prompt = prompt;
    e->done = done;
    e->complete = complete;
    e->opaque = opaque;
    e->line = g_string_new(NULL);
    e->history = g_ptr_array_new_with_free_func(g_free);
    return e;
}

void line_editor_free(LineEditor *e)
{
    g_string_free(e->line, TRUE);
    g_ptr_array_unref(e->history);
    g_free(e->typed);
    g_free(e);
}

void line_editor_show(LineEditor *e, GString *out)
{
    g_string_append_printf(out, "\r%s%s\033[K", e->prompt, e->line->str);
    if (e->line->len > e->cursor)
        g_string_append_printf(out, "\033[%zuD", e->line->len - e->cursor);
}

static void set_line(LineEditor *e, const char *text)
{
    g_string_assign(e->line, text);
    e->cursor = e->line->len;
}

static void browse(LineEditor *e, int step)
{
    if ((step < 0 && !e->place) || (step > 0 && e->place >= e->history->len))
        return;
    if (e->place == e->history->len) {
        g_free(e->typed);
        e->typed = g_strdup(e->line->str);
    }
    e->place += step;
    set_line(e, e->place == e->history->len ? e->typed : e->history->pdata[e->place]);
}

static void erase(LineEditor *e, size_t from, size_t to)
{
    g_string_erase(e->line, from, to - from);
    e->cursor = from;
}

static size_t word_start(const LineEditor *e)
{
    size_t at = e->cursor;
    while (at && e->line->str[at - 1] == ' ')
        at--;
    while (at && e->line->str[at - 1] != ' ')
        at--;
    return at;
}

static size_t shared_length(char **words)
{
    size_t n = strlen(words[0]);
    for (char **w = words + 1; *w; w++) {
        size_t same = 0;
        while (same < n && words[0][same] == (*w)[same])
            same++;
        n = same;
    }
    return n;
}

/* What all candidates share is typed for the user; several are listed. */
static void complete(LineEditor *e, GString *out)
{
    g_autofree char *text = g_strndup(e->line->str, e->cursor);
    g_auto(GStrv) words = e->complete ? e->complete(e->opaque, text) : NULL;
    if (!words || !words[0])
        return;
    size_t have = e->cursor - (strrchr(text, ' ') ? (size_t)(strrchr(text, ' ') + 1 - text) : 0),
           shared = shared_length(words);
    if (shared > have) {
        g_string_insert_len(e->line, e->cursor, words[0] + have, shared - have);
        e->cursor += shared - have;
    }
    if (!words[1]) {
        g_string_insert_c(e->line, e->cursor++, ' ');
        return;
    }
    g_string_append(out, "\r\n");
    for (char **w = words; *w; w++)
        g_string_append_printf(out, "%s%s", *w, w[1] ? "  " : "\r\n");
}

static void finish(LineEditor *e, GString *out)
{
    g_autofree char *line = g_strdup(e->line->str);
    bool again = e->history->len && !strcmp(e->history->pdata[e->history->len - 1], line);
    if (*line && !again) {
        if (e->history->len == HISTORY_LINES)
            g_ptr_array_remove_index(e->history, 0);
        g_ptr_array_add(e->history, g_strdup(line));
    }
    e->place = e->history->len;
    set_line(e, "");
    g_string_append(out, "\r\n");
    e->done(e->opaque, line);
}

/* The last byte of an escape sequence. */
static void escape_key(LineEditor *e, uint8_t byte)
{
    switch (byte) {
    case 'A':
        browse(e, -1);
        break;
    case 'B':
        browse(e, 1);
        break;
    case 'C':
        e->cursor = MIN(e->cursor + 1, e->line->len);
        break;
    case 'D':
        e->cursor -= e->cursor > 0;
        break;
    case 'H':
        e->cursor = 0;
        break;
    case 'F':
        e->cursor = e->line->len;
        break;
    case '~':
        if (e->parameter == 3 && e->cursor < e->line->len)
            g_string_erase(e->line, e->cursor, 1);
        else if (e->parameter == 1 || e->parameter == 7)
            e->cursor = 0;
        else if (e->parameter == 4 || e->parameter == 8)
            e->cursor = e->line->len;
    }
}

static void control_key(LineEditor *e, uint8_t byte, GString *out)
{
    switch (byte) {
    case 'A' - '@':
        e->cursor = 0;
        break;
    case 'B' - '@':
        e->cursor -= e->cursor > 0;
        break;
    case 'D' - '@':
        if (e->cursor < e->line->len)
            g_string_erase(e->line, e->cursor, 1);
        break;
    case 'E' - '@':
        e->cursor = e->line->len;
        break;
    case 'F' - '@':
        e->cursor = MIN(e->cursor + 1, e->line->len);
        break;
    case '\t':
        complete(e, out);
        break;
    case 'K' - '@':
        g_string_truncate(e->line, e->cursor);
        break;
    case 'L' - '@':
        g_string_append(out, "\033[2J\033[H");
        break;
    case 'N' - '@':
        browse(e, 1);
        break;
    case 'P' - '@':
        browse(e, -1);
        break;
    case 'U' - '@':
        erase(e, 0, e->cursor);
        break;
    case 'W' - '@':
        erase(e, word_start(e), e->cursor);
        break;
    case '\b':
    case 127:
        if (e->cursor)
            erase(e, e->cursor - 1, e->cursor);
    }
}

/* True if the byte belongs to an escape sequence. */
static bool escape_sequence(LineEditor *e, uint8_t byte)
{
    switch (e->state) {
    case PLAIN:
        e->state = byte == 27 ? ESCAPE : PLAIN;
        return byte == 27;
    case ESCAPE:
        e->state = byte == '[' || byte == 'O' ? BRACKET : PLAIN;
        e->parameter = 0;
        return true;
    default:
        if (g_ascii_isdigit(byte)) {
            e->parameter = MIN(e->parameter * 10 + byte - '0', 1000);
        } else {
            e->state = PLAIN;
            escape_key(e, byte);
        }
        return true;
    }
}

void line_editor_input(LineEditor *e, uint8_t byte, GString *out)
{
    bool line_feed_of_return = byte == '\n' && e->after_return;
    e->after_return = byte == '\r';
    if (line_feed_of_return)
        return;
    if (!escape_sequence(e, byte)) {
        if (byte == '\r' || byte == '\n') {
            finish(e, out);
            return;
        }
        if (byte < 32 || byte == 127) {
            control_key(e, byte, out);
        } else if (e->line->len < LINE_MAX_BYTES) {
            g_string_insert_c(e->line, e->cursor++, byte);
            if (e->cursor == e->line->len) { /* by far the most frequent: no need to show all again */
                g_string_append_c(out, byte);
                return;
            }
        }
    }
    if (e->state == PLAIN)
        line_editor_show(e, out);
}
