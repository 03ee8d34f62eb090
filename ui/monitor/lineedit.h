/*
 * A line editor for a terminal that only sends and shows bytes (ANSI X3.64 / VT100 keys).
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_MONITOR_LINEEDIT_H
#define UI_MONITOR_LINEEDIT_H

#include <glib.h>
#include <stdint.h>

typedef struct LineEditor LineEditor;

/* done is called with each line; complete (may be NULL) gives what could follow text up to the cursor: words, ends with
 * NULL, freed with g_strfreev. */
LineEditor *line_editor_new(const char *prompt, void (*done)(void *opaque, const char *line),
                            char **(*complete)(void *opaque, const char *text), void *opaque);
void line_editor_free(LineEditor *e);
/* One byte from the terminal; what is to be shown is appended to out before done is called. */
void line_editor_input(LineEditor *e, uint8_t byte, GString *out);
/* Show prompt and line anew. */
void line_editor_show(LineEditor *e, GString *out);

#endif
