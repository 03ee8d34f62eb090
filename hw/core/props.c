/*
 * Properties: from text to struct members and back, and the help and info texts made from their tables.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/device.h"
#include "hw/core/machine.h"
#include "util/error.h"
#include <inttypes.h>
#include <string.h>

typedef struct PropKind {
    const char *name; /* in help */
    uint8_t bytes;    /* of an integer member, else 0 */
} PropKind;

static const PropKind prop_kinds[] = {
    [PROP_BOOL] = { "bool" },
    [PROP_U8] = { "uint8", 1 },
    [PROP_U16] = { "uint16", 2 },
    [PROP_U32] = { "uint32", 4 },
    [PROP_U64] = { "uint64", 8 },
    [PROP_SIZE] = { "size", 8 },
    [PROP_STRING] = { "str" },
    [PROP_ENUM] = { "enum" },
    [PROP_MAC] = { "str" },
    [PROP_DRIVE] = { "str (ID of a drive)" },
    [PROP_CHARDEV] = { "str (ID of a chardev)" },
    [PROP_NETDEV] = { "str (ID of a netdev)" },
};

static struct {
    void *(*find)(const char *id, GError **err);
    const char *(*name)(const void *object);
} resolvers[G_N_ELEMENTS(prop_kinds)];

void device_set_resolver(PropType type, void *(*find)(const char *id, GError **err),
                         const char *(*name)(const void *object))
{
    resolvers[type].find = find;
    resolvers[type].name = name;
}

/* ---- setting ---- */

static bool prop_set_number(const Prop *prop, void *member, const char *text, GError **err)
{
    unsigned bytes = prop_kinds[prop->type].bytes;
    uint64_t number, max = prop->max ? prop->max : UINT64_MAX >> (64 - 8 * bytes);
    bool parsed = prop->type == PROP_SIZE ? parse_size(text, 1, &number, err) : parse_uint(text, &number, err);
    if (!parsed)
        return false;
    if (number > max)
        return error_set(err, "%s is out of range, 0 to %" PRIu64 " is accepted", text, max);
    if (bytes == 1)
        *(uint8_t *)member = number;
    else if (bytes == 2)
        *(uint16_t *)member = number;
    else if (bytes == 4)
        *(uint32_t *)member = number;
    else
        *(uint64_t *)member = number;
    return true;
}

static bool prop_set_enum(const Prop *prop, unsigned *member, const char *text, GError **err)
{
    for (unsigned i = 0; prop->names[i]; i++) {
        if (!strcmp(prop->names[i], text)) {
            *member = i;
            return true;
        }
    }
    return error_unknown_name(err, "value", text, prop->names);
}

static bool prop_set_mac(uint8_t *member, const char *text, GError **err)
{
    uint8_t mac[6];
    bool ok = strlen(text) == 17;
    for (unsigned i = 0; ok && i < 6; i++) {
        int high = g_ascii_xdigit_value(text[3 * i]), low = g_ascii_xdigit_value(text[3 * i + 1]);
        char end = text[3 * i + 2];
        ok = high >= 0 && low >= 0 && (i == 5 ? !end : end == ':' || end == '-');
        mac[i] = high << 4 | low;
    }
    if (!ok)
        return error_set(err, "'%s' is not a MAC address like 52:54:00:12:34:56", text);
    memcpy(member, mac, sizeof(mac));
    return true;
}

static bool prop_set_object(const Prop *prop, void **member, const char *id, GError **err)
{
    if (!resolvers[prop->type].find)
        return error_set(err, "nothing has the ID '%s'", id);
    void *object = resolvers[prop->type].find(id, err);
    if (object)
        *member = object;
    return object;
}

static bool prop_set_member(const Prop *prop, void *member, const char *text, GError **err)
{
    switch (prop->type) {
    case PROP_BOOL:
        return parse_bool(text, member, err);
    case PROP_STRING:
        g_free(*(char **)member);
        *(char **)member = g_strdup(text);
        return true;
    case PROP_ENUM:
        return prop_set_enum(prop, member, text, err);
    case PROP_MAC:
        return prop_set_mac(member, text, err);
    case PROP_DRIVE:
    case PROP_CHARDEV:
    case PROP_NETDEV:
        return prop_set_object(prop, member, text, err);
    default:
        return prop_set_number(prop, member, text, err);
    }
}

bool props_set(const Prop *prop, void *object, const char *owner, const char *value, GError **err)
{
    if (prop_set_member(prop, (char *)object + prop->offset, value, err))
        return true;
    g_prefix_error(err, "%s: %s: ", owner, prop->name);
    return false;
}

void props_set_defaults(const Prop *props, void *object)
{
    for (const Prop *prop = props; prop->name; prop++) {
        if (prop->fallback) {
            bool ok = prop_set_member(prop, (char *)object + prop->offset, prop->fallback, NULL);
            g_assert(ok);
        }
    }
}

void props_clear(const Prop *props, void *object)
{
    for (const Prop *prop = props; prop->name; prop++) {
        if (prop->type == PROP_STRING)
            g_clear_pointer((char **)((char *)object + prop->offset), g_free);
    }
}

static const Prop *type_prop(const DeviceType *type, const char *name)
{
    for (; type; type = type->parent) {
        for (const Prop *prop = type->props; prop && prop->name; prop++) {
            if (!strcmp(prop->name, name))
                return prop;
        }
    }
    return NULL;
}

bool device_has_prop(const DeviceType *type, const char *name)
{
    return type_prop(type, name) || (type->child && device_has_prop(type->child, name));
}

static void type_prop_names(const DeviceType *type, GPtrArray *names)
{
    for (const DeviceType *t = type; t; t = t->parent) {
        for (const Prop *prop = t->props; prop && prop->name; prop++)
            g_ptr_array_add(names, (void *)prop->name);
    }
    if (type->child)
        type_prop_names(type->child, names);
}

bool device_set(Device *dev, const char *name, const char *value, GError **err)
{
    const Prop *prop = type_prop(dev->type, name);
    if (prop)
        return props_set(prop, dev, dev->type->name, value, err);
    if (dev->child && device_has_prop(dev->child->type, name))
        return device_set(dev->child, name, value, err);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    type_prop_names(dev->type, names);
    g_ptr_array_add(names, NULL);
    g_autofree char *what = g_strdup_printf("%s: property", dev->type->name);
    return error_unknown_name(err, what, name, (const char *const *)names->pdata);
}

/* ---- as text ---- */

char *prop_describe(const Prop *prop, const void *object)
{
    const void *member = (const char *)object + prop->offset;
    const uint8_t *mac = member;
    const void *pointer;
    uint64_t number = 0;
    switch (prop->type) {
    case PROP_BOOL:
        return g_strdup(*(const bool *)member ? "true" : "false");
    case PROP_STRING:
        return g_strdup_printf("\"%s\"", *(char *const *)member ? *(char *const *)member : "");
    case PROP_ENUM:
        return g_strdup_printf("\"%s\"", prop->names[*(const unsigned *)member]);
    case PROP_MAC:
        return g_strdup_printf("\"%02x:%02x:%02x:%02x:%02x:%02x\"", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    case PROP_DRIVE:
    case PROP_CHARDEV:
    case PROP_NETDEV:
        pointer = *(void *const *)member;
        return g_strdup_printf("\"%s\"",
                               pointer && resolvers[prop->type].name ? resolvers[prop->type].name(pointer) : "");
    case PROP_U8:
        return g_strdup_printf("%u", *(const uint8_t *)member);
    case PROP_U16:
        return g_strdup_printf("%u", *(const uint16_t *)member);
    case PROP_U32:
        return g_strdup_printf("%" PRIu32, *(const uint32_t *)member);
    default:
        memcpy(&number, member, sizeof(number));
        return g_strdup_printf("%" PRIu64, number);
    }
}

static void prop_help(const Prop *prop, GString *out)
{
    g_autoptr(GString) left = g_string_new(NULL);
    g_string_printf(left, "  %s=<%s>", prop->name, prop_kinds[prop->type].name);
    g_string_append_printf(out, "%-30s - ", left->str);
    if (prop->help)
        g_string_append_printf(out, "%s ", prop->help);
    if (prop->names) {
        g_autofree char *names = g_strjoinv("|", (char **)prop->names);
        g_string_append_printf(out, "%s ", names);
    }
    if (prop->fallback)
        g_string_append_printf(out, "(default: %s)", prop->fallback);
    while (out->str[out->len - 1] == ' ')
        g_string_truncate(out, out->len - 1);
    g_string_append_c(out, '\n');
}

static char *type_help(const DeviceType *type)
{
    GString *out = g_string_new(NULL);
    g_string_append_printf(out, "%s options:\n", type->name);
    for (const DeviceType *t = type; t; t = t->child) {
        for (const DeviceType *p = t; p; p = p->parent) {
            for (const Prop *prop = p->props; prop && prop->name; prop++)
                prop_help(prop, out);
        }
    }
    return g_string_free(out, FALSE);
}

char *device_help(const DeviceType *type_or_null)
{
    if (type_or_null)
        return type_help(type_or_null);
    g_autoptr(GPtrArray) categories = g_ptr_array_new();
    GString *out = g_string_new(NULL);
    for (const DeviceType *const *type = device_types(); *type; type++) {
        const char *category = (*type)->category ? (*type)->category : "uncategorized";
        if ((*type)->bus && !g_ptr_array_find_with_equal_func(categories, category, g_str_equal, NULL))
            g_ptr_array_add(categories, (void *)category);
    }
    for (unsigned i = 0; i < categories->len; i++) {
        const char *category = g_ptr_array_index(categories, i);
        g_string_append_printf(out, "%s%c%s devices:\n", i ? "\n" : "", g_ascii_toupper(*category), category + 1);
        for (const DeviceType *const *type = device_types(); *type; type++) {
            const DeviceType *t = *type;
            if (!t->bus || strcmp(t->category ? t->category : "uncategorized", category))
                continue;
            g_string_append_printf(out, "name \"%s\", bus %s", t->name, t->bus);
            if (t->desc)
                g_string_append_printf(out, ", desc \"%s\"", t->desc);
            g_string_append_c(out, '\n');
        }
    }
    return g_string_free(out, FALSE);
}

static void device_describe(Device *dev, unsigned depth, GString *out)
{
    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", depth, "", dev->type->name, dev->id ? dev->id : "");
    if (dev->bus && dev->bus->describe) {
        g_string_append_printf(out, "%*s", depth + 2, "");
        dev->bus->describe(dev->bus, dev, out);
        g_string_append_c(out, '\n');
    }
    for (const DeviceType *type = dev->type; type; type = type->parent) {
        for (const Prop *prop = type->props; prop && prop->name; prop++) {
            g_autofree char *value = prop_describe(prop, dev);
            g_string_append_printf(out, "%*s%s = %s\n", depth + 2, "", prop->name, value);
        }
    }
    for (GSList *link = dev->buses; link; link = link->next) {
        Bus *bus = link->data;
        g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", depth + 2, "", bus->name, depth + 4, "", bus->kind);
        for (unsigned i = 0; i < bus->devices->len; i++)
            device_describe(g_ptr_array_index(bus->devices, i), depth + 4, out);
    }
}

char *device_tree_describe(Machine *machine)
{
    GString *out = g_string_new("bus: main-system-bus\n  type System\n");
    for (unsigned i = 0; i < machine->devices->len; i++)
        device_describe(g_ptr_array_index(machine->devices, i), 2, out);
    return g_string_free(out, FALSE);
}
