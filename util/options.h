/*
 * Options: "driver,key=value,..." or JSON, kept in order, then read by type. Every value that nobody has read is an
 * error at the end (opts_finish), so no option is ever ignored.
 *
 * Syntax as the reference's: ",," is a comma in a value; "key" alone is key=on, "nokey" is not special; the first item may
 * be a bare value of the implied key. Booleans: on|off|yes|no|true|false|y|n. Sizes: suffix b k M G T P E (powers of
 * 1024, either case), a fraction is allowed. Integers: C notation (0x, 0).
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_OPTIONS_H
#define UTIL_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Opts Opts;

/* Parse text. name says which option it is, in messages ("-device"); implied may be NULL. Text that begins with '{' is
 * JSON: nested objects become dotted keys ("file.filename"), arrays "key.0", "key.1". NULL and *err on bad syntax. */
Opts *opts_parse(const char *name, const char *text, const char *implied, GError **err);
Opts *opts_new(const char *name);
void opts_free(Opts *opts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Opts, opts_free)

const char *opts_name(const Opts *opts);
/* Append key=value (copied). */
void opts_add(Opts *opts, const char *key, const char *value);
/* True if key is there. Does not count as reading it. */
bool opts_has(const Opts *opts, const char *key);
/* The last value of key, or fallback; marks key as read. The pointer lives as long as opts and its key. */
const char *opts_string(Opts *opts, const char *key, const char *fallback);
/* All values of key in order, ends with NULL; marks them as read. Free the array with g_free. */
const char **opts_strings(Opts *opts, const char *key);
/* Typed reads: leave *value alone if key is absent; false and *err if the value is malformed or out of range. */
bool opts_bool(Opts *opts, const char *key, bool *value, GError **err);
bool opts_uint(Opts *opts, const char *key, uint64_t *value, uint64_t min, uint64_t max, GError **err);
bool opts_size(Opts *opts, const char *key, uint64_t *value, uint64_t min, uint64_t max, GError **err);
/* names ends with NULL; *value is the index. */
bool opts_enum(Opts *opts, const char *key, const char *const *names, unsigned *value, GError **err);
/* Move all "prefix.x" keys into new Opts with keys "x"; NULL if there are none. */
Opts *opts_take_prefix(Opts *opts, const char *prefix);
/* Call fn for each pair in order; marks all as read; stops and returns false when fn does. */
bool opts_foreach(Opts *opts, bool (*fn)(void *opaque, const char *key, const char *value, GError **err), void *opaque,
                  GError **err);
/* False and *err if some key was never read: "-drive: unknown key 'fil'; did you mean 'file'?". known (may be NULL) lists the keys. */
bool opts_finish(Opts *opts, const char *const *known, GError **err);

/* Single values, for options that are not key=value lists. */
bool parse_bool(const char *text, bool *value, GError **err);
bool parse_uint(const char *text, uint64_t *value, GError **err);
/* default_unit: what a bare number counts (1, or 1 MiB for -m). */
bool parse_size(const char *text, uint64_t default_unit, uint64_t *value, GError **err);

#endif
