/*
 * Errors for people: one GError domain, and "did you mean" for names.
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <glib.h>
#include <stdbool.h>

#define RHEA_ERROR g_quark_from_static_string("rhea-error")

/* Set *err (if err is not NULL) and return false, so that "return error_set(err, ...)" reads well. */
bool error_set(GError **err, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The same, with ": " and the text of errno value e appended. */
bool error_set_errno(GError **err, int e, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The candidate nearest to name, or NULL if none is near. candidates ends with NULL. */
const char *nearest_name(const char *name, const char *const *candidates);
/* Set *err to "<what> '<name>' is not known; did you mean 'x'?" or with the list of candidates; returns false. */
bool error_unknown_name(GError **err, const char *what, const char *name, const char *const *candidates);

#endif
