/*
 * Options: syntax, JSON, typed reads, and what is said about mistakes.
 * SPDX-License-Identifier: MIT
 */
#include "util/error.h"
#include "util/options.h"
#include <inttypes.h>
#include <string.h>

static bool append_pair(void *opaque, const char *key, const char *value, GError **err)
{
    g_string_append_printf(opaque, "%s=%s;", key, value);
    return true;
}

static void test_syntax(void)
{
    static const struct {
        const char *text, *implied, *pairs;
    } good[] = {
        { "virt,dumpdtb=x", "type", "type=virt;dumpdtb=x;" },
        { "a=1,b=2,a=3", NULL, "a=1;b=2;a=3;" },
        { "file=a,,b,,,c=d=e", NULL, "file=a,b,;c=d=e;" },
        { "path,,with,x", "file", "file=path,with;x=on;" },
        { "key,nokey", NULL, "key=on;nokey=on;" },
        { "", "type", "" },
        { "a=", "type", "a=;" },
        { "a=1,", NULL, "a=1;" },
        { "{\"driver\":\"x\",\"n\":-3,\"on\":true,\"f\":{\"g\":{\"h\":\"i\"},\"l\":[1,\"z\"]}}", "driver",
          "driver=x;n=-3;on=on;f.g.h=i;f.l.0=1;f.l.1=z;" },
        { "{}", NULL, "" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        GError *err = NULL;
        g_autoptr(Opts) opts = opts_parse("-x", good[i].text, good[i].implied, &err);
        g_assert_no_error(err);
        g_autoptr(GString) pairs = g_string_new(NULL);
        g_assert_true(opts_foreach(opts, append_pair, pairs, NULL));
        g_assert_cmpstr(pairs->str, ==, good[i].pairs);
        g_assert_true(opts_finish(opts, NULL, NULL));
    }
    static const char *const bad[] = { "=x", "a=1,=2", "{", "{\"a\":null}", "{\"\":1}", "{\"a\":1}x", "a,=" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(opts_parse("-x", bad[i], NULL, &err));
        g_assert_nonnull(err);
        g_assert_true(g_str_has_prefix(err->message, "-x: "));
        g_assert_null(strchr(err->message, '\n'));
    }
}

static void test_values(void)
{
    static const struct {
        const char *text;
        uint64_t unit, value;
    } sizes[] = {
        { "0", 1, 0 },
        { "512", 1, 512 },
        { "4", 1 << 20, 4 << 20 },
        { "1k", 1 << 20, 1024 },
        { "1.5G", 1, 3 << 29 },
        { "0.5k", 1, 512 },
        { "0x1000", 1, 4096 },
        { "2M", 1, 2 << 20 },
        { "1T", 1, 1ull << 40 },
        { "15E", 1, 15ull << 60 },
        { "010", 1, 10 },
        { "7b", 1 << 20, 7 },
        { "18446744073709551615", 1, UINT64_MAX },
    };
    GError *err = NULL;
    uint64_t value;
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_true(parse_size(sizes[i].text, sizes[i].unit, &value, &err));
        g_assert_no_error(err);
        g_assert_cmpuint(value, ==, sizes[i].value);
    }
    static const char *const bad_sizes[] = { "",
                                             "k",
                                             "-1",
                                             "+1",
                                             " 1",
                                             "1 ",
                                             "1kk",
                                             "1q",
                                             "16E",
                                             "0x",
                                             "1e3x",
                                             "99999999999999999999",
                                             "18446744073709551616",
                                             "nan" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_sizes); i++)
        g_assert_false(parse_size(bad_sizes[i], 1, &value, NULL));
    g_assert_true(parse_uint("0x1F", &value, NULL) && value == 31);
    g_assert_true(parse_uint("010", &value, NULL) && value == 8);
    static const char *const bad_numbers[] = { "", "-1", "1x", "0x", "0xg", "08", " 1", "99999999999999999999", "1.5" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_numbers); i++)
        g_assert_false(parse_uint(bad_numbers[i], &value, NULL));
    bool on = false;
    g_assert_true(parse_bool("yes", &on, NULL) && on);
    g_assert_true(parse_bool("off", &on, NULL) && !on);
    g_assert_false(parse_bool("ON", &on, NULL));
}

static void expect_message(bool ok, GError **err, const char *message)
{
    g_assert_false(ok);
    g_assert_cmpstr((*err)->message, ==, message);
    g_clear_error(err);
}

static void test_typed(void)
{
    static const char *const modes[] = { "native", "threads", NULL };
    g_autoptr(Opts) opts =
        opts_parse("-drive", "a=1,a=2,size=1M,on=yes,aio=threadz,n=70000,bad=x,m=threads", NULL, NULL);
    GError *err = NULL;
    uint64_t value = 9;
    bool on = false;
    unsigned mode = 7;
    g_assert_true(opts_uint(opts, "none", &value, 0, 1, &err) && value == 9);
    g_assert_true(opts_uint(opts, "a", &value, 0, 10, &err) && value == 2);
    g_assert_true(opts_size(opts, "size", &value, 0, UINT64_MAX, &err) && value == 1 << 20);
    g_assert_true(opts_bool(opts, "on", &on, &err) && on);
    g_assert_true(opts_enum(opts, "m", modes, &mode, &err) && mode == 1);
    g_assert_cmpstr(opts_string(opts, "none", "fallback"), ==, "fallback");
    g_autofree const char **all = opts_strings(opts, "a"), **none = opts_strings(opts, "none");
    g_assert_cmpstr(all[0], ==, "1");
    g_assert_cmpstr(all[1], ==, "2");
    g_assert_true(!all[2] && !none[0]);
    expect_message(opts_uint(opts, "n", &value, 0, 65535, &err), &err,
                   "-drive: n: 70000 is out of range, 0 to 65535 is accepted");
    expect_message(opts_uint(opts, "bad", &value, 0, 1, &err), &err, "-drive: bad: 'x' is not a number");
    expect_message(opts_enum(opts, "aio", modes, &mode, &err), &err,
                   "-drive: aio: value 'threadz' is not known; did you mean 'threads'?");
    g_assert_true(opts_finish(opts, NULL, NULL));
}

static void test_unread(void)
{
    static const char *const known[] = { "file", "format", NULL };
    g_autoptr(Opts) opts = opts_parse("-drive", "fil=x,zzzzzz=1,format=raw", NULL, NULL);
    GError *err = NULL;
    expect_message(opts_finish(opts, known, &err), &err, "-drive: unknown key 'fil'; did you mean 'file'?");
    opts_string(opts, "fil", NULL);
    expect_message(opts_finish(opts, known, &err), &err, "-drive: unknown key 'zzzzzz'; known are: file, format");
    g_assert_true(opts_has(opts, "format"));
    opts_string(opts, "zzzzzz", NULL);
    expect_message(opts_finish(opts, known, &err), &err,
                   "-drive: key 'format' has no meaning with the other keys given");
    expect_message(opts_finish(opts, NULL, &err), &err, "-drive: unknown key 'format'");
}

static void test_prefix(void)
{
    g_autoptr(Opts) opts = opts_parse("-blockdev", "driver=raw,file.driver=file,file.filename=x,filex=1", NULL, NULL);
    g_autoptr(Opts) file = opts_take_prefix(opts, "file");
    g_assert_nonnull(file);
    g_assert_cmpstr(opts_string(file, "driver", NULL), ==, "file");
    g_assert_cmpstr(opts_string(file, "filename", NULL), ==, "x");
    g_assert_false(opts_has(opts, "file.driver"));
    g_assert_true(opts_has(opts, "filex"));
    g_assert_null(opts_take_prefix(opts, "file"));
}

static void test_nearest(void)
{
    static const char *const names[] = { "virt", "virtio-blk-pci", "virtio-blk-device", "e1000", NULL };
    g_assert_cmpstr(nearest_name("virtt", names), ==, "virt");
    g_assert_cmpstr(nearest_name("vrit", names), ==, "virt");
    g_assert_cmpstr(nearest_name("virtio-blk", names), ==, "virtio-blk-pci");
    g_assert_cmpstr(nearest_name("virtio-bkl-device", names), ==, "virtio-blk-device");
    g_assert_null(nearest_name("x", names));
    g_assert_null(nearest_name("", names));
    g_assert_null(nearest_name("something-else", names));
    g_autofree char *endless = g_strnfill(100000, 'v');
    g_assert_null(nearest_name(endless, names));
}

/* Texts of random characters that mean something: no crash, no leak, one line of message. */
static void test_random(void)
{
    static const char alphabet[] = "ab=,.{}[]\":0123xkM-+ \\nulltrue";
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    for (unsigned round = 0; round < 50000; round++) {
        char text[24];
        unsigned len = g_rand_int_range(rand, 0, sizeof(text));
        for (unsigned i = 0; i < len; i++)
            text[i] = alphabet[g_rand_int_range(rand, 0, sizeof(alphabet) - 1)];
        text[len] = 0;
        g_autoptr(GError) err = NULL;
        g_autoptr(Opts) opts = opts_parse("-x", text, round & 1 ? "implied" : NULL, &err);
        g_assert_true(!opts == !!err);
        uint64_t value;
        parse_size(text, 1, &value, NULL);
        parse_uint(text, &value, NULL);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/syntax", test_syntax);
    g_test_add_func("/options/values", test_values);
    g_test_add_func("/options/typed", test_typed);
    g_test_add_func("/options/unread", test_unread);
    g_test_add_func("/options/prefix", test_prefix);
    g_test_add_func("/options/nearest", test_nearest);
    g_test_add_func("/options/random", test_random);
    return g_test_run();
}
