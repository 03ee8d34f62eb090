/*
 * See iasl.h.
 * SPDX-License-Identifier: MIT
 */
#include "iasl.h"
#include <glib/gstdio.h>
#include <string.h>

char *iasl_folder(void)
{
    return g_dir_make_tmp("rhea-acpi-XXXXXX", NULL);
}

void iasl_remove(char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
}

static void run_iasl(const char *folder, const char *options, const char *file, const char *pattern)
{
    g_autofree char *command = g_strdup_printf("sh -c 'cd %s && iasl %s %s 2>&1'", folder, options, file), *out = NULL;
    int status;
    g_assert_true(g_spawn_command_line_sync(command, &out, NULL, &status, NULL));
    bool good = !status && !strstr(out, "arning:") && !strstr(out, "rror:") && !strstr(out, "nvalid") &&
                (!pattern || strstr(out, pattern));
    if (!good)
        g_printerr("%s\n", out);
    g_assert_true(good);
}

void iasl_check(const char *folder, const char *signature, const uint8_t *table)
{
    g_autofree char *path = g_strdup_printf("%s/%s.dat", folder, signature),
                    *file = g_strdup_printf("%s.dat", signature), *source = g_strdup_printf("%s.dsl", signature);
    g_autofree char *iasl = g_find_program_in_path("iasl");
    uint32_t length;
    memcpy(&length, table + 4, 4);
    g_assert_true(g_file_set_contents(path, (const char *)table, GUINT32_FROM_LE(length), NULL));
    if (!iasl)
        return;
    run_iasl(folder, "-d", file, NULL);
    run_iasl(folder, "-ve", source, "0 Errors, 0 Warnings");
}
