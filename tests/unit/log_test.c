/*
 * Log and trace points: masks, files, help, patterns, whole lines from several threads.
 * SPDX-License-Identifier: MIT
 */
#include "util/log.h"
#include "util/trace.h"
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static char *log_path;

static void log_to_file(void)
{
    g_assert_true(log_set_file(log_path, NULL));
}

/* What is in the log by now. */
static char *log_text(void)
{
    char *text = NULL;
    log_set_file(NULL, NULL);
    g_assert_true(g_file_get_contents(log_path, &text, NULL, NULL));
    return text;
}

static void test_mask(void)
{
    log_to_file();
    g_assert_true(log_set("int,guest_errors", NULL));
    g_assert_cmphex(log_mask, ==, LOG_INT | LOG_GUEST_ERRORS);
    log_printf(LOG_INT, "seen %d", 1);
    log_printf(LOG_MMU, "not seen");
    log_printf(LOG_GUEST_ERRORS | LOG_MMU, "seen too\n");
    g_assert_true(log_set(NULL, NULL));
    g_assert_cmphex(log_mask, ==, 0);
    g_autofree char *text = log_text();
    g_assert_cmpstr(text, ==, "seen 1\nseen too\n");
}

static void test_errors(void)
{
    g_autoptr(GError) unknown = NULL, help = NULL, path = NULL;
    g_assert_true(log_set("mmu", NULL));
    g_assert_false(log_set("int,in_asn", &unknown));
    g_assert_nonnull(strstr(unknown->message, "did you mean 'in_asm'?"));
    g_assert_cmphex(log_mask, ==, LOG_MMU);
    g_assert_false(log_set("help", &help));
    g_assert_nonnull(strstr(help->message, "guest_errors"));
    g_assert_false(log_set_file("/no/such/folder/log", &path));
    g_assert_nonnull(strstr(path->message, "'/no/such/folder/log'"));
    log_set(NULL, NULL);
}

static void test_pid(void)
{
    g_autofree char *pattern = g_strconcat(log_path, ".%d", NULL);
    g_autofree char *name = g_strdup_printf("%s.%d", log_path, (int)getpid());
    g_assert_true(log_set_file(pattern, NULL));
    log_set_file(NULL, NULL);
    g_assert_cmpint(g_unlink(name), ==, 0);
}

static void emit(void)
{
    TRACE(test_alpha, "value=%d", 5);
    TRACE(test_beta, "text=%s", "x");
}

static void test_trace(void)
{
    g_autoptr(GError) err = NULL, none = NULL;
    log_to_file();
    emit();
    g_assert_true(trace_set("test_a*", true, NULL));
    emit();
    g_assert_true(trace_set("*", false, NULL));
    emit();
    g_assert_true(log_set("trace:test_beta", NULL));
    emit();
    g_assert_true(log_set(NULL, NULL)); /* all off */
    emit();
    g_autofree char *text = log_text();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    g_assert_true(g_str_has_suffix(lines[0], ":test_alpha value=5"));
    g_assert_true(g_str_has_suffix(lines[1], ":test_beta text=x"));
    g_assert_false(trace_set("test_alphq", true, &err));
    g_assert_nonnull(strstr(err->message, "did you mean 'test_alpha'?"));
    g_assert_false(trace_set("zzz*", true, &none));
    g_autofree char *help = trace_help();
    g_assert_nonnull(strstr(help, "test_alpha\ntest_beta\n"));
}

#define THREADS 4
#define LINES   500

static void *writer(void *opaque)
{
    for (unsigned i = 0; i < LINES; i++)
        log_write("%s %s %s %s", (char *)opaque, (char *)opaque, (char *)opaque, (char *)opaque);
    return NULL;
}

static void test_threads(void)
{
    static const char *const words[THREADS] = { "aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd" };
    GThread *threads[THREADS];
    log_to_file();
    for (unsigned i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("writer", writer, (void *)words[i]);
    for (unsigned i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_autofree char *text = log_text();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, THREADS * LINES + 1);
    for (unsigned i = 0; i < THREADS * LINES; i++) {
        g_assert_cmpuint(strlen(lines[i]), ==, 35);
        g_assert_cmpmem(lines[i], 8, lines[i] + 27, 8);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_path = g_build_filename(g_get_tmp_dir(), "rhea-log-XXXXXX", NULL);
    close(g_mkstemp(log_path));
    g_test_add_func("/log/mask", test_mask);
    g_test_add_func("/log/errors", test_errors);
    g_test_add_func("/log/pid", test_pid);
    g_test_add_func("/log/trace", test_trace);
    g_test_add_func("/log/threads", test_threads);
    int status = g_test_run();
    g_unlink(log_path);
    g_free(log_path);
    return status;
}
