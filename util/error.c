/*
 * Errors for people: one GError domain, and "did you mean" by edit distance with transpositions.
 * SPDX-License-Identifier: MIT
 */
#include "util/error.h"
#include <string.h>

#define NAME_LIMIT 64 /* longer names get no suggestion */

bool error_set(GError **err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (err)
        *err = g_error_new_valist(RHEA_ERROR, 0, format, args);
    va_end(args);
    return false;
}

bool error_set_errno(GError **err, int e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (err) {
        g_autofree char *text = g_strdup_vprintf(format, args);
        *err = g_error_new(RHEA_ERROR, e, "%s: %s", text, g_strerror(e));
    }
    va_end(args);
    return false;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. Case does not count. */
static unsigned name_distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_LIMIT + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NAME_LIMIT || b_len > NAME_LIMIT)
        return G_MAXUINT;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);
            row[j] = MIN(above[j - 1] + (x != y), MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) && y == g_ascii_tolower(a[i - 2]))
                row[j] = MIN(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *nearest_name(const char *name, const char *const *candidates)
{
    size_t len = strlen(name);
    unsigned best = len / 3 + 1; /* a third of the letters wrong: no longer a misspelling */
    const char *nearest = NULL, *extended = NULL;
    for (; *candidates; candidates++) {
        unsigned distance = name_distance(name, *candidates);
        if (distance <= best && distance < MAX(len, 2)) {
            if (distance < best || !nearest)
                nearest = *candidates;
            best = distance;
        }
        if (len >= 3 && !extended && g_str_has_prefix(*candidates, name))
            extended = *candidates;
    }
    return nearest ? nearest : extended;
}

bool error_unknown_name(GError **err, const char *what, const char *name, const char *const *candidates)
{
    const char *near = nearest_name(name, candidates);
    if (near)
        return error_set(err, "%s '%s' is not known; did you mean '%s'?", what, name, near);
    g_autofree char *list = g_strjoinv(", ", (char **)candidates);
    if (!*list)
        return error_set(err, "%s '%s' is not known; there are none", what, name);
    return error_set(err, "%s '%s' is not known; known are: %s", what, name, list);
}
