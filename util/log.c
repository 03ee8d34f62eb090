/*
 * Log: the mask that -d sets, and whole lines to standard error or a file.
 * SPDX-License-Identifier: MIT
 */
#include "util/log.h"
#include "util/error.h"
#include "util/trace.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

uint32_t log_mask;

static GMutex log_lock; /* leaf: guards log_fd, and keeps a line's parts together after a short write */
static int log_fd = STDERR_FILENO;

static const struct {
    const char *name, *help;
    uint32_t mask;
} log_items[] = {
#define LOG_ROW(name, upper, help) { #name, help, LOG_##upper },
    LOG_ITEMS(LOG_ROW)
#undef LOG_ROW
};

void log_write(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_append_vprintf(line, format, args);
    va_end(args);
    if (!line->len || line->str[line->len - 1] != '\n')
        g_string_append_c(line, '\n');
    g_mutex_lock(&log_lock);
    for (size_t done = 0; done < line->len;) {
        ssize_t n = write(log_fd, line->str + done, line->len - done);
        if (n < 0 && errno != EINTR)
            break; /* there is nowhere to say that the log is full */
        done += MAX(n, 0);
    }
    g_mutex_unlock(&log_lock);
}

static bool log_item_find(const char *name, uint32_t *mask)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(log_items); i++) {
        if (!strcmp(log_items[i].name, name)) {
            *mask |= log_items[i].mask;
            return true;
        }
    }
    return false;
}

static bool log_item_unknown(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(log_items) + 1];
    for (unsigned i = 0; i < G_N_ELEMENTS(log_items); i++)
        names[i] = log_items[i].name;
    names[G_N_ELEMENTS(log_items)] = NULL;
    return error_unknown_name(err, "-d: log item", name, names);
}

bool log_set(const char *items, GError **err)
{
    uint32_t mask = 0;
    g_auto(GStrv) names = g_strsplit(items ? items : "", ",", -1);
    if (!items && trace_count())
        trace_set("*", false, NULL);
    for (char **name = names; *name; name++) {
        if (!strcmp(*name, "help")) {
            g_autofree char *help = log_help();
            return error_set(err, "%s", help);
        }
        if (g_str_has_prefix(*name, "trace:")) {
            if (!trace_set(*name + strlen("trace:"), true, err))
                return false;
        } else if (!log_item_find(*name, &mask)) {
            return log_item_unknown(*name, err);
        }
    }
    __atomic_store_n(&log_mask, mask, __ATOMIC_RELAXED);
    return true;
}

bool log_set_file(const char *path, GError **err)
{
    int fd = STDERR_FILENO;
    if (path) {
        g_auto(GStrv) parts = g_strsplit(path, "%d", 2);
        g_autofree char *name =
            parts[0] && parts[1] ? g_strdup_printf("%s%d%s", parts[0], (int)getpid(), parts[1]) : g_strdup(path);
        fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
        if (fd < 0)
            return error_set_errno(err, errno, "-D: cannot write log file '%s'", name);
    }
    g_mutex_lock(&log_lock);
    int old = log_fd;
    log_fd = fd;
    g_mutex_unlock(&log_lock);
    if (old != STDERR_FILENO)
        close(old);
    return true;
}

char *log_help(void)
{
    GString *out = g_string_new("Log items (comma separated):\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(log_items); i++)
        g_string_append_printf(out, "%-15s %s\n", log_items[i].name, log_items[i].help);
    g_string_append_printf(out, "%-15s %s\n", "trace:PATTERN", "trace points whose names match PATTERN");
    return g_string_free(out, FALSE);
}
