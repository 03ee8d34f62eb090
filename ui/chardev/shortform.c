/*
 * The short forms of -serial, -monitor and the like: turned into what -chardev would have been given.
 * SPDX-License-Identifier: MIT
 */
#include "ui/chardev/backend.h"
#include "util/error.h"
#include <string.h>

/* "host:port[,key=value...]", host may be empty or in brackets. */
static Opts *parse_address(const char *text, GError **err)
{
    const char *options = strchr(text, ',');
    g_autofree char *address = options ? g_strndup(text, options - text) : g_strdup(text);
    char *colon = strrchr(address, ':');
    if (!colon || !colon[1]) {
        error_set(err, "'%s' needs a port, as in tcp:localhost:5555", text);
        return NULL;
    }
    *colon = 0;
    Opts *opts = options ? opts_parse("-chardev", options + 1, NULL, err) : opts_new("-chardev");
    if (!opts)
        return NULL;
    if (*address)
        opts_add(opts, "host", address);
    opts_add(opts, "port", colon + 1);
    return opts;
}

static Opts *one_key(const char *key, const char *value)
{
    Opts *opts = opts_new("-chardev");
    if (key)
        opts_add(opts, key, value);
    return opts;
}

/* What comes after the name of a form: nothing, a path to its end, an address, or a path with keys. */
typedef enum { PLAIN, PATH, ADDRESS, PATH_KEYS } Rest;

static const struct Form {
    const char *name, *backend;
    Rest rest;
} forms[] = {
    { "stdio", "stdio", PLAIN },      { "null", "null", PLAIN },        { "vc", "null", PLAIN },
    { "vc:", "null", PLAIN },         { "pty", "pty", PLAIN },          { "pty:", "pty", PATH },
    { "file:", "file", PATH },        { "pipe:", "pipe", PATH },        { "tcp:", "socket", ADDRESS },
    { "telnet:", "socket", ADDRESS }, { "unix:", "socket", PATH_KEYS }, { "/dev/", "serial", PATH },
};

static const struct Form *find_form(const char *text, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        const char *name = forms[i].name;
        bool prefix = name[strlen(name) - 1] == ':' || *name == '/';
        if (prefix ? g_str_has_prefix(text, name) : !strcmp(text, name))
            return &forms[i];
    }
    error_set(err,
              "'%s' is not a character device; there are stdio, null, none, vc, pty[:LINK], file:PATH, pipe:PATH, "
              "tcp:[HOST]:PORT[,KEY=VALUE...], telnet:[HOST]:PORT[,...], unix:PATH[,...], /dev/TTY, chardev:ID, and "
              "mon: before any of them",
              text);
    return NULL;
}

static Opts *parse_form(const struct Form *form, const char *text, GError **err)
{
    const char *rest = text + strlen(form->name);
    if (form->rest == PLAIN)
        return one_key(NULL, NULL);
    if (form->rest == ADDRESS)
        return parse_address(rest, err);
    if (!*rest) {
        error_set(err, "'%s' needs a path", text);
        return NULL;
    }
    return form->rest == PATH ? one_key("path", *text == '/' ? text : rest) : opts_parse("-chardev", rest, "path", err);
}

bool chardev_from_short(const char *label, const char *text, Chardev **out, GError **err)
{
    *out = NULL;
    if (!strcmp(text, "none"))
        return true;
    bool mux = g_str_has_prefix(text, "mon:");
    if (mux)
        text += 4;
    if (g_str_has_prefix(text, "chardev:")) {
        *out = chardev_find(text + 8);
        return *out || error_set(err, "there is no -chardev with id '%s'", text + 8);
    }
    const struct Form *form = find_form(text, err);
    g_autoptr(Opts) opts = form ? parse_form(form, text, err) : NULL;
    if (!opts)
        return false;
    if (!strcmp(form->name, "telnet:"))
        opts_add(opts, "telnet", "on");
    if (mux)
        opts_add(opts, "mux", "on");
    if (mux && !strcmp(form->backend, "stdio"))
        opts_add(opts, "signal", "off"); /* the monitor's quit and the escape key end the program, not Ctrl-C */
    return (*out = chardev_create(form->backend, label, opts, err)) != NULL;
}
