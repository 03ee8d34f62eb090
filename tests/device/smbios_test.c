/*
 * SMBIOS tables: dmidecode reads back what -smbios said; what is wrong with options and files is told.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/smbios.h"
#include "util/error.h"
#include <glib/gstdio.h>
#include <string.h>

static const SmbiosMachine machine = { .manufacturer = "QEMU",
                                       .product = "Standard PC",
                                       .version = "pc",
                                       .sockets = 2,
                                       .cores = 300,
                                       .threads = 2,
                                       .cpu_signature = 0x000006f1,
                                       .cpu_features = 0x078bfbfd,
                                       .ram_low = UINT64_C(3) << 30,
                                       .ram_high = UINT64_C(30) << 30,
                                       .without_firmware = true };

static void take(Smbios **s, const char *text)
{
    g_autoptr(GError) err = NULL;
    bool ok = smbios_option(s, text, &err);
    g_assert_no_error(err);
    g_assert_true(ok);
}

/* What dmidecode says of a dump: the entry point at 0, the tables at 32. NULL: there is no dmidecode. */
static char *decode(const Smbios *s)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *dmidecode = g_find_program_in_path("dmidecode"), *path = NULL, *out = NULL, *errors = NULL;
    GByteArray *tables, *anchor;
    int status, fd = g_file_open_tmp("rhea-smbios-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(smbios_build(s, &machine, &tables, &anchor, &err));
    g_assert_cmpuint(anchor->len, ==, SMBIOS_ANCHOR_SIZE);
    smbios_link(anchor, 32);
    g_byte_array_append(anchor, (const guint8 *)"", 1);
    g_byte_array_append(anchor, tables->data, tables->len);
    g_assert_true(g_file_set_contents(path, (const char *)anchor->data, anchor->len, NULL));
    g_byte_array_unref(tables);
    g_byte_array_unref(anchor);
    char *argv[] = { dmidecode, "--from-dump", path, NULL };
    if (dmidecode) {
        g_assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, &errors, &status, NULL));
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpstr(errors, ==, "");
    }
    g_unlink(path);
    return g_steal_pointer(&out);
}

static void expect(const char *out, const char *want)
{
    if (out && !strstr(out, want))
        g_error("dmidecode does not say '%s', but\n%s", want, out);
}

static void test_defaults(void)
{
    g_autofree char *out = decode(NULL);
    static const char *const wants[] = { "SMBIOS 2.8 present.",
                                         "BIOS Information\n\tVendor: Rhea",
                                         "System Information\n\tManufacturer: QEMU\n\tProduct Name: Standard PC",
                                         "Chassis Information",
                                         "ID: F1 06 00 00 FD FB 8B 07",
                                         "Core Count: 300",
                                         "Thread Count: 600",
                                         "Maximum Capacity: 33 GB",
                                         "Number Of Devices: 3",
                                         "Size: 16 GB",
                                         "Size: 1 GB",
                                         "Starting Address: 0x00100000000",
                                         "Ending Address: 0x0087FFFFFFF",
                                         "System Boot Information\n\tStatus: No errors detected",
                                         "End Of Table" };
    for (unsigned i = 0; i < G_N_ELEMENTS(wants); i++)
        expect(out, wants[i]);
    g_assert_true(!out || !strstr(out, "Base Board"));
    g_assert_true(!out || !strstr(out, "truncated"));
}

static void test_options(void)
{
    Smbios *s = NULL;
    take(&s, "type=0,vendor=Acme,release=3.14,uefi=on");
    take(&s, "type=1,serial=first,uuid=550e8400-e29b-41d4-a716-446655440000");
    take(&s, "type=1,serial=second,,with a comma,sku=k,family=f");
    take(&s, "type=2,asset=board");
    take(&s, "type=3,sku=c");
    take(&s, "type=4,sock_pfx=S,part=p,max-speed=4321,processor-id=0x1122334455667788");
    take(&s, "type=8,internal_reference=J1,external_reference=Net,connector_type=0x0b,port_type=0x1f");
    take(&s, "type=11,value=one,value=two");
    take(&s, "type=17,loc_pfx=Slot,bank=b,speed=3200");
    g_autofree char *out = decode(s);
    static const char *const wants[] = { "Vendor: Acme",
                                         "BIOS Revision: 3.14",
                                         "UEFI is supported",
                                         "Serial Number: second,with a comma",
                                         "UUID: 550e8400-e29b-41d4-a716-446655440000",
                                         "SKU Number: k\n\tFamily: f",
                                         "Base Board Information",
                                         "Asset Tag: board",
                                         "SKU Number: c",
                                         "Socket Designation: S 0",
                                         "Max Speed: 4321 MHz",
                                         "ID: 88 77 66 55 44 33 22 11",
                                         "Internal Reference Designator: J1",
                                         "External Connector Type: RJ-45",
                                         "String 1: one\n\tString 2: two",
                                         "Locator: Slot 0\n\tBank Locator: b",
                                         "Speed: 3200 MT/s" };
    for (unsigned i = 0; i < G_N_ELEMENTS(wants); i++)
        expect(out, wants[i]);
    smbios_free(s);
}

static void refuse(Smbios **s, const char *text, const char *message)
{
    g_autoptr(GError) err = NULL;
    g_assert_false(smbios_option(s, text, &err));
    g_assert_nonnull(strstr(err->message, message));
    g_assert_null(strchr(err->message, '\n'));
}

static void test_file(void)
{
    static const uint8_t good[] = { 1, 8, 0x34, 0x12, 1, 0, 0, 0, 'F', 'i', 'l', 'e', 0, 0 };
    g_autofree char *path = NULL, *option = NULL, *out = NULL;
    Smbios *s = NULL;
    int fd = g_file_open_tmp("rhea-smbios-XXXXXX", &path, NULL);
    g_close(fd, NULL);
    option = g_strdup_printf("file=%s", path);
    for (unsigned len = 0; len < sizeof(good); len++) {
        g_assert_true(g_file_set_contents(path, (const char *)good, len, NULL));
        refuse(&s, option, "is not one SMBIOS structure");
    }
    g_assert_true(g_file_set_contents(path, (const char *)good, sizeof(good), NULL));
    take(&s, option);
    refuse(&s, "type=1,serial=x", "a file= has the structure");
    out = decode(s);
    expect(out, "Manufacturer: File");
    g_assert_true(!out || !strstr(out, "Standard PC"));
    smbios_free(s);
    g_unlink(path);
}

static void test_errors(void)
{
    static const char *const bad[][2] = {
        { "", "type=NUMBER or file=FILE is missing" },
        { "type=5", "type=5: 0, 1, 2, 3, 4, 8, 11 and 17 have keys" },
        { "type=200", "type=200" },
        { "type=x", "type" },
        { "type=1,serail=x", "did you mean 'serial'" },
        { "type=0,release=1", "release=1: two numbers" },
        { "type=0,release=1.256", "release=1.256" },
        { "type=0,uefi=perhaps", "uefi" },
        { "type=1,uuid=1234", "uuid=1234 is not a UUID" },
        { "type=4,max-speed=65536", "max-speed" },
        { "type=11,path=/does/not/exist", "/does/not/exist" },
        { "file=/does/not/exist", "/does/not/exist" },
        { "file=/dev/null,type=1", "type" },
    };
    Smbios *s = NULL;
    g_autoptr(GError) err = NULL;
    GByteArray *tables, *anchor;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        refuse(&s, bad[i][0], bad[i][1]);
    g_autoptr(GString) text = g_string_new("type=1,serial=");
    for (unsigned i = 0; i < 66000; i++)
        g_string_append_c(text, 'x');
    take(&s, text->str);
    g_assert_false(smbios_build(s, &machine, &tables, &anchor, &err));
    g_assert_nonnull(strstr(err->message, "65535 are possible"));
    smbios_free(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/smbios/defaults", test_defaults);
    g_test_add_func("/smbios/options", test_options);
    g_test_add_func("/smbios/file", test_file);
    g_test_add_func("/smbios/errors", test_errors);
    return g_test_run();
}
