/*
 * Options: parsing of "key=value,..." and JSON into an ordered list of pairs, and typed reads from it.
 * SPDX-License-Identifier: MIT
 */
#include "util/options.h"
#include "util/error.h"
#include "util/library.h"
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <string.h>

typedef struct Pair {
    char *key, *value;
    bool read;
} Pair;

struct Opts {
    char *name;
    GPtrArray *pairs; /* Pair *, in order */
};

static void pair_free(void *data)
{
    Pair *pair = data;
    g_free(pair->key);
    g_free(pair->value);
    g_free(pair);
}

Opts *opts_new(const char *name)
{
    Opts *opts = g_new0(Opts, 1);
    opts->name = g_strdup(name);
    opts->pairs = g_ptr_array_new_with_free_func(pair_free);
    return opts;
}

void opts_free(Opts *opts)
{
    if (!opts)
        return;
    g_ptr_array_unref(opts->pairs);
    g_free(opts->name);
    g_free(opts);
}

const char *opts_name(const Opts *opts)
{
    return opts->name;
}

/* Takes both strings. */
static void opts_take(Opts *opts, char *key, char *value)
{
    Pair *pair = g_new0(Pair, 1);
    pair->key = key;
    pair->value = value;
    g_ptr_array_add(opts->pairs, pair);
}

void opts_add(Opts *opts, const char *key, const char *value)
{
    opts_take(opts, g_strdup(key), g_strdup(value));
}

/* ---- key=value text ---- */

/* The value at *text up to a single comma, with ",," made ','; *text moves behind the comma. */
static char *value_parse(const char **text)
{
    GString *value = g_string_new(NULL);
    const char *p = *text;
    for (; *p; p++) {
        if (*p == ',' && *++p != ',')
            break;
        g_string_append_c(value, *p);
    }
    *text = p;
    return g_string_free(value, FALSE);
}

static bool opts_parse_pairs(Opts *opts, const char *text, const char *implied, GError **err)
{
    for (bool first = true; *text; first = false) {
        size_t key_len = strcspn(text, "=,");
        if (first && implied && text[key_len] != '=') {
            opts_take(opts, g_strdup(implied), value_parse(&text));
            continue;
        }
        if (!key_len)
            return error_set(err, "%s: a key is missing before '%s'", opts->name, text);
        char *key = g_strndup(text, key_len);
        text += key_len;
        if (*text == '=') {
            text++;
            opts_take(opts, key, value_parse(&text));
        } else {
            opts_take(opts, key, g_strdup("on"));
            text += *text == ',';
        }
    }
    return true;
}

/* ---- JSON: by json-glib, which brings a dozen libraries that no other option needs ---- */

#define SONAME "libjson-glib-1.0.so.0"
/* clang-format off */
#define CALLS \
    X(object_iter_init_ordered) X(object_iter_next_ordered) X(array_get_length) X(array_get_element) \
    X(node_get_node_type) X(node_get_object) X(node_get_array) X(node_get_value_type) X(node_get_string) \
    X(node_get_boolean) X(node_get_int) X(node_get_double) X(parser_new_immutable) \
    X(parser_load_from_data) X(parser_get_root)
/* clang-format on */

static struct {
#define X(name) __typeof__(json_##name) *name;
    CALLS
#undef X
    __typeof__(g_object_unref) *unref;
} json;

static bool load_json(GError **err)
{
    static const LibraryCall calls[] = {
#define X(name) { "json_" #name, G_STRUCT_OFFSET(__typeof__(json), name) },
        CALLS
#undef X
        { "g_object_unref", G_STRUCT_OFFSET(__typeof__(json), unref) }
    };
    return json.unref || library_load(SONAME, calls, G_N_ELEMENTS(calls), &json, err);
}

static bool holds(JsonNodeType type, JsonNode *node)
{
    return json.node_get_node_type(node) == type;
}

static bool opts_flatten(Opts *opts, const char *key, JsonNode *node, GError **err);

static char *key_join(const char *prefix, const char *key)
{
    return *prefix ? g_strdup_printf("%s.%s", prefix, key) : g_strdup(key);
}

static bool opts_flatten_object(Opts *opts, const char *prefix, JsonObject *object, GError **err)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;
    json.object_iter_init_ordered(&iter, object);
    while (json.object_iter_next_ordered(&iter, &name, &member)) {
        g_autofree char *key = key_join(prefix, name);
        if (!*name)
            return error_set(err, "%s: a key in the JSON is empty", opts->name);
        if (!opts_flatten(opts, key, member, err))
            return false;
    }
    return true;
}

static bool opts_flatten_array(Opts *opts, const char *prefix, JsonArray *array, GError **err)
{
    for (unsigned i = 0; i < json.array_get_length(array); i++) {
        g_autofree char *index = g_strdup_printf("%u", i);
        g_autofree char *key = key_join(prefix, index);
        if (!opts_flatten(opts, key, json.array_get_element(array, i), err))
            return false;
    }
    return true;
}

static bool opts_flatten(Opts *opts, const char *key, JsonNode *node, GError **err)
{
    if (holds(JSON_NODE_OBJECT, node))
        return opts_flatten_object(opts, key, json.node_get_object(node), err);
    if (holds(JSON_NODE_ARRAY, node))
        return opts_flatten_array(opts, key, json.node_get_array(node), err);
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    switch (json.node_get_value_type(node)) {
    case G_TYPE_STRING:
        opts_add(opts, key, json.node_get_string(node));
        return true;
    case G_TYPE_BOOLEAN:
        opts_add(opts, key, json.node_get_boolean(node) ? "on" : "off");
        return true;
    case G_TYPE_INT64:
        opts_take(opts, g_strdup(key), g_strdup_printf("%" G_GINT64_FORMAT, json.node_get_int(node)));
        return true;
    case G_TYPE_DOUBLE:
        opts_add(opts, key, g_ascii_dtostr(number, sizeof(number), json.node_get_double(node)));
        return true;
    default:
        return error_set(err, "%s: key '%s' has no value (null) in the JSON", opts->name, key);
    }
}

static bool parse_document(Opts *opts, JsonParser *parser, const char *text, GError **err)
{
    g_autoptr(GError) why = NULL;
    if (!json.parser_load_from_data(parser, text, -1, &why))
        return error_set(err, "%s: bad JSON: %s", opts->name, why->message);
    JsonNode *root = json.parser_get_root(parser);
    if (!root || !holds(JSON_NODE_OBJECT, root))
        return error_set(err, "%s: the JSON is not an object", opts->name);
    return opts_flatten_object(opts, "", json.node_get_object(root), err);
}

static bool opts_parse_json(Opts *opts, const char *text, GError **err)
{
    if (!load_json(err))
        return false;
    JsonParser *parser = json.parser_new_immutable();
    bool ok = parse_document(opts, parser, text, err);
    json.unref(parser);
    return ok;
}

Opts *opts_parse(const char *name, const char *text, const char *implied, GError **err)
{
    Opts *opts = opts_new(name);
    bool ok = *text == '{' ? opts_parse_json(opts, text, err) : opts_parse_pairs(opts, text, implied, err);
    if (!ok)
        g_clear_pointer(&opts, opts_free);
    return opts;
}

/* ---- reads ---- */

bool opts_has(const Opts *opts, const char *key)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        const Pair *pair = g_ptr_array_index(opts->pairs, i);
        if (!strcmp(pair->key, key))
            return true;
    }
    return false;
}

const char *opts_string(Opts *opts, const char *key, const char *fallback)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        Pair *pair = g_ptr_array_index(opts->pairs, i);
        if (!strcmp(pair->key, key)) {
            pair->read = true;
            fallback = pair->value;
        }
    }
    return fallback;
}

const char **opts_strings(Opts *opts, const char *key)
{
    GPtrArray *values = g_ptr_array_new();
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        Pair *pair = g_ptr_array_index(opts->pairs, i);
        if (!strcmp(pair->key, key)) {
            pair->read = true;
            g_ptr_array_add(values, pair->value);
        }
    }
    g_ptr_array_add(values, NULL);
    return (const char **)g_ptr_array_free(values, FALSE);
}

/* Say which option and key a parse error is about; returns ok. */
static bool opts_result(Opts *opts, const char *key, bool ok, GError **err)
{
    if (!ok)
        g_prefix_error(err, "%s: %s: ", opts->name, key);
    return ok;
}

bool opts_bool(Opts *opts, const char *key, bool *value, GError **err)
{
    const char *text = opts_string(opts, key, NULL);
    return !text || opts_result(opts, key, parse_bool(text, value, err), err);
}

static bool opts_range(Opts *opts, const char *key, bool parsed, uint64_t number, uint64_t min, uint64_t max,
                       uint64_t *value, GError **err)
{
    if (parsed && (number < min || number > max))
        parsed =
            error_set(err, "%" PRIu64 " is out of range, %" PRIu64 " to %" PRIu64 " is accepted", number, min, max);
    if (parsed)
        *value = number;
    return opts_result(opts, key, parsed, err);
}

bool opts_uint(Opts *opts, const char *key, uint64_t *value, uint64_t min, uint64_t max, GError **err)
{
    const char *text = opts_string(opts, key, NULL);
    uint64_t number = 0;
    if (!text)
        return true;
    bool parsed = parse_uint(text, &number, err);
    return opts_range(opts, key, parsed, number, min, max, value, err);
}

bool opts_size(Opts *opts, const char *key, uint64_t *value, uint64_t min, uint64_t max, GError **err)
{
    const char *text = opts_string(opts, key, NULL);
    uint64_t number = 0;
    if (!text)
        return true;
    bool parsed = parse_size(text, 1, &number, err);
    return opts_range(opts, key, parsed, number, min, max, value, err);
}

bool opts_enum(Opts *opts, const char *key, const char *const *names, unsigned *value, GError **err)
{
    const char *text = opts_string(opts, key, NULL);
    if (!text)
        return true;
    for (unsigned i = 0; names[i]; i++) {
        if (!strcmp(names[i], text)) {
            *value = i;
            return true;
        }
    }
    return opts_result(opts, key, error_unknown_name(err, "value", text, names), err);
}

Opts *opts_take_prefix(Opts *opts, const char *prefix)
{
    Opts *taken = NULL;
    size_t len = strlen(prefix);
    for (unsigned i = 0; i < opts->pairs->len;) {
        Pair *pair = g_ptr_array_index(opts->pairs, i);
        if (strncmp(pair->key, prefix, len) || pair->key[len] != '.') {
            i++;
            continue;
        }
        if (!taken) {
            g_autofree char *name = g_strdup_printf("%s: %s", opts->name, prefix);
            taken = opts_new(name);
        }
        opts_add(taken, pair->key + len + 1, pair->value);
        g_ptr_array_remove_index(opts->pairs, i);
    }
    return taken;
}

bool opts_foreach(Opts *opts, bool (*fn)(void *opaque, const char *key, const char *value, GError **err), void *opaque,
                  GError **err)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        Pair *pair = g_ptr_array_index(opts->pairs, i);
        pair->read = true;
        if (!fn(opaque, pair->key, pair->value, err))
            return false;
    }
    return true;
}

bool opts_finish(Opts *opts, const char *const *known, GError **err)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        const Pair *pair = g_ptr_array_index(opts->pairs, i);
        if (pair->read)
            continue;
        const char *near = known ? nearest_name(pair->key, known) : NULL;
        if (near && strcmp(near, pair->key))
            return error_set(err, "%s: unknown key '%s'; did you mean '%s'?", opts->name, pair->key, near);
        g_autofree char *list = known ? g_strjoinv(", ", (char **)known) : NULL;
        if (near)
            return error_set(err, "%s: key '%s' has no meaning with the other keys given", opts->name, pair->key);
        if (list && *list)
            return error_set(err, "%s: unknown key '%s'; known are: %s", opts->name, pair->key, list);
        return error_set(err, "%s: unknown key '%s'", opts->name, pair->key);
    }
    return true;
}

/* ---- single values ---- */

bool parse_bool(const char *text, bool *value, GError **err)
{
    static const char *const words[] = { "off", "on", "no", "yes", "false", "true", "n", "y" };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (!strcmp(text, words[i])) {
            *value = i & 1;
            return true;
        }
    }
    return error_set(err, "'%s' is not a switch: give on or off", text);
}

bool parse_uint(const char *text, uint64_t *value, GError **err)
{
    char *end;
    if (!g_ascii_isdigit(*text))
        return error_set(err, "'%s' is not a number", text);
    errno = 0;
    uint64_t number = g_ascii_strtoull(text, &end, 0);
    if (errno == ERANGE)
        return error_set(err, "'%s' is too great a number", text);
    if (*end)
        return error_set(err, "'%s' is not a number", text);
    *value = number;
    return true;
}

/* Bytes that suffix c counts; 0: not a suffix. */
static uint64_t size_unit(char c)
{
    static const char suffixes[] = "BKMGTPE";
    const char *place = c ? strchr(suffixes, g_ascii_toupper(c)) : NULL;
    return place ? UINT64_C(1) << (10 * (place - suffixes)) : 0;
}

bool parse_size(const char *text, uint64_t default_unit, uint64_t *value, GError **err)
{
    const char *form = "a size: give a number with an optional suffix k, M, G, T, P or E";
    const char *p = text;
    char *end;
    if (!g_ascii_isdigit(*p))
        return error_set(err, "'%s' is not %s", text, form);
    bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    errno = 0;
    unsigned __int128 whole = g_ascii_strtoull(p, &end, hex ? 16 : 10);
    bool overflow = errno == ERANGE;
    /* 18 digits of fraction are as exact as the value can be */
    uint64_t fraction = 0, scale = 1;
    if (*end == '.' && !hex) {
        for (end++; g_ascii_isdigit(*end); end++) {
            if (scale < UINT64_C(1000000000000000000)) {
                fraction = fraction * 10 + (*end - '0');
                scale *= 10;
            }
        }
    }
    uint64_t unit = *end ? size_unit(*end) : default_unit;
    if (!unit || (*end && end[1]))
        return error_set(err, "'%s' is not %s", text, form);
    unsigned __int128 bytes = whole * unit + (unsigned __int128)fraction * unit / scale;
    if (overflow || bytes > UINT64_MAX)
        return error_set(err, "'%s' is too great a size", text);
    *value = bytes;
    return true;
}
