/*
 * The debugger's protocol against a machine of two processors: framing, what packets do, packets that are wrong, random
 * bytes, and clients that go away in the middle. With the JIT and with the interpreter.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/core/machine.h"
#include "target/x86/cpu.h"
#include "ui/chardev/chardev.h"
#include "ui/gdbstub/gdbstub.h"
#include "ui/gdbstub/packet.h"
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RAM_BYTES = 1 << 20, CODE = 0x1000, VALUE = 0x900, CPUS = 2 };

/* 1000 inc byte [VALUE]; 1004 nop; 1005 inc ax; 1006 mov bl, [VALUE + 1]; 100a jmp 1000 */
static const uint8_t code[] = { 0xfe, 0x06, 0x00, 0x09, 0x90, 0x40, 0x8a, 0x1e, 0x01, 0x09, 0xeb, 0xf4 };

static struct {
    Machine *machine;
    MemRegion ram;
    char *folder, *path;
    int fd;
    PacketReader reader;
} t;

/* ---- the machine, and the other end of the socket ---- */

static void connect_client(void)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    g_strlcpy(to.sun_path, t.path, sizeof(to.sun_path));
    t.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(t.fd, (struct sockaddr *)&to, sizeof(to)), ==, 0);
    packet_reader_restart(&t.reader);
}

static void begin(const char *accel)
{
    static const X86Entry entry = { .bits = 16, .cs = 0, .rip = CODE, .rsp = 0x800 };
    GError *err = NULL;
    MachineConfig config = { .target = "x86_64", .ram_size = RAM_BYTES, .cpus = CPUS, .max_cpus = CPUS };
    g_autoptr(Opts) opts = opts_parse("-accel", accel, NULL, &err);
    t.machine = machine_new(NULL, accel_find("tcg"), opts, &config, &err);
    g_assert_no_error(err);
    t.machine->target = target_find("x86_64");
    machine_lock(t.machine);
    g_assert_true(mem_ram_init(&t.ram, t.machine, "ram", RAM_BYTES, &err));
    mem_add(&t.machine->root, 0, &t.ram, 0);
    t.machine->ram = &t.ram;
    for (unsigned i = 0; i < CPUS; i++)
        x86_set_entry(vcpu_new(t.machine, "max", &err)->state, &entry);
    memcpy(t.ram.host + CODE, code, sizeof(code));
    g_assert_true(machine_prepare(t.machine, &err));
    machine_unlock(t.machine);
    t.folder = g_dir_make_tmp("gdbstub-XXXXXX", &err);
    t.path = g_build_filename(t.folder, "gdb", NULL);
    g_autofree char *device = g_strdup_printf("unix:%s,server=on,wait=off", t.path);
    g_assert_true(gdbstub_open(t.machine, device, &err));
    packet_reader_init(&t.reader);
    connect_client();
}

static void finish(void)
{
    close(t.fd);
    gdbstub_close();
    chardev_remove_all();
    machine_lock(t.machine);
    machine_stop(t.machine, RUN_PAUSED);
    machine_unlock(t.machine);
    machine_free(t.machine);
    packet_reader_clear(&t.reader);
    g_unlink(t.path);
    g_rmdir(t.folder);
    g_free(t.path);
    g_free(t.folder);
}

static void put(const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(t.fd, (const char *)data + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        g_assert_true(n > 0 || errno == EAGAIN);
        done += n > 0 ? n : 0;
        g_main_context_iteration(NULL, FALSE);
    }
}

/* What comes next; of a packet its text. */
static PacketEvent get(void)
{
    for (gint64 end = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;;) {
        uint8_t byte;
        g_main_context_iteration(NULL, FALSE);
        if (recv(t.fd, &byte, 1, MSG_DONTWAIT) != 1) {
            g_assert_cmpint(g_get_monotonic_time(), <, end);
            continue;
        }
        PacketEvent event = packet_read(&t.reader, byte);
        if (event != PACKET_NOTHING)
            return event;
    }
}

static void ask(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    packet_write(out, text, strlen(text));
    put(out->str, out->len);
    g_assert_cmpint(get(), ==, PACKET_ACK);
}

static const char *reply(void)
{
    g_assert_cmpint(get(), ==, PACKET_COMPLETE);
    return (const char *)t.reader.text->data;
}

static void expect(const char *packet, const char *answer)
{
    ask(packet);
    g_assert_cmpstr(reply(), ==, answer);
}

/* It answers as ever. */
static void sane(void)
{
    expect("m1000,4", "fe060009");
}

/* ---- tests ---- */

static void test_wrong(gconstpointer accel)
{
    static const char *const bad[] = { "m",
                                       "m,",
                                       "m1000",
                                       "m1000,",
                                       "mzz,1",
                                       "m11111111111111111,1",
                                       "m1000,1x",
                                       "M1000,4:00",
                                       "M1000,1:zz",
                                       "M1000,ffffffffffffffff:00",
                                       "X1000,5:ab",
                                       "X1000,ffffffffffffffff:",
                                       "p",
                                       "pffffffff",
                                       "p41",
                                       "P",
                                       "P0",
                                       "P0=",
                                       "P0=00",
                                       "Pffff=0011223344556677",
                                       "Z",
                                       "Z0",
                                       "Z5,0,0",
                                       "Z2,900,0",
                                       "Z2,900,ffffffffffffffff",
                                       "Z0,1000",
                                       "z9,0,0",
                                       "H",
                                       "Hx1",
                                       "Hg3",
                                       "Hgzz",
                                       "T0",
                                       "T3",
                                       "T",
                                       "vCont;",
                                       "vCont;x",
                                       "vCont;c:3",
                                       "vCont;c:",
                                       "vCont;C",
                                       "vCont;cc",
                                       "c1x",
                                       "C",
                                       "Czz",
                                       "qXfer:features:read:target.xml:",
                                       "qRcmd,6",
                                       "qRcmd,zz",
                                       "qThreadExtraInfo,9",
                                       "qThreadExtraInfo,",
                                       "G00",
                                       "Gzz" };
    begin(accel);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        expect(bad[i], "E22");
    expect("m200000,4", "E14");
    expect("M200000,1:00", "E14");
    expect("qXfer:features:read:other.xml:0,100", "E00");
    expect("qXfer:features:read:target.xml:ffffff,100", "l");
    expect("bogus", "");
    expect("qCRC:0,1", "");
    expect("gg", "");
    expect("", "");
    expect("m1000,0", "");
    sane();
    g_autofree char *large = g_strnfill(3 * PACKET_MAX, 'm');
    g_autoptr(GString) out = g_string_new(NULL);
    packet_write(out, large, strlen(large));
    put(out->str, out->len);
    g_assert_cmpint(get(), ==, PACKET_NAK);
    put("$m1000,4#00", 11);
    g_assert_cmpint(get(), ==, PACKET_NAK);
    sane();
    put("-", 1); /* once more */
    g_assert_cmpstr(reply(), ==, "fe060009");
    finish();
}

static void test_run(gconstpointer accel)
{
    begin(accel);
    expect("?", "T05thread:01;");
    expect("qfThreadInfo", "m01,02");
    expect("qsThreadInfo", "l");
    expect("Z0,1005,1", "OK");
    ask("vCont;c");
    g_assert_true(g_str_has_prefix(reply(), "T05thread:0"));
    expect("p10", "0510000000000000");
    g_assert_cmpint(t.machine->state, ==, RUN_DEBUG);
    ask("c"); /* off the breakpoint, and the other one gets there, or it does again */
    g_assert_true(g_str_has_prefix(reply(), "T05thread:0"));
    expect("p10", "0510000000000000");
    expect("z0,1005,1", "OK");
    expect("Hc1", "OK");
    expect("Hg1", "OK");
    expect("P10=0010000000000000", "OK");
    for (unsigned i = 0; i < 5; i++) {
        static const char *const at[] = { "0410000000000000", "0510000000000000", "0610000000000000",
                                          "0a10000000000000", "0010000000000000" };
        ask("vCont;s:1");
        g_assert_cmpstr(reply(), ==, "T05thread:01;");
        expect("p10", at[i]);
    }
    expect("Z4,901,1", "OK");
    expect("Z2,900,1", "OK");
    ask("vCont;c:1");
    g_assert_cmpstr(reply(), ==, "T05thread:01;watch:900;");
    expect("p10", "0410000000000000");
    ask("vCont;c:1");
    g_assert_cmpstr(reply(), ==, "T05thread:01;awatch:901;");
    expect("p10", "0a10000000000000");
    expect("z4,901,1", "OK");
    expect("z2,900,1", "OK");
    expect("M1004,1:f4", "OK"); /* hlt: code that has been translated */
    ask("c");
    put("\3", 1);
    g_assert_true(g_str_has_prefix(reply(), "T02thread:0"));
    expect("D", "OK");
    g_assert_cmpint(t.machine->state, ==, RUN_RUNNING);
    finish();
}

/* Gone in the middle: breakpoints go, and the next one finds all as it should be. */
static void test_reconnect(gconstpointer accel)
{
    static const char *const last[] = { "", "$", "$m1000", "$m1000,4#", "$m1000,4#0", "$}", "$vCont;c#a8", "$c#63\3" };
    begin(accel);
    for (unsigned i = 0; i < G_N_ELEMENTS(last); i++) {
        expect("Z0,1004,1", "OK");
        put(last[i], strlen(last[i]));
        close(t.fd);
        for (unsigned n = 0; n < 50; n++)
            g_main_context_iteration(NULL, FALSE);
        connect_client();
        sane();
        machine_lock(t.machine);
        machine_reset(t.machine); /* while it is stopped */
        memcpy(t.ram.host + CODE, code, sizeof(code));
        machine_unlock(t.machine);
        expect("p10", "0010000000000000");
    }
    expect("QStartNoAckMode", "OK");
    put("+$m1000,4#8e", 12);
    g_assert_cmpstr(reply(), ==, "fe060009");
    finish();
}

/* One at a time: who comes second is turned away, and the first does not notice. */
static void test_second(gconstpointer accel)
{
    begin(accel);
    sane();
    int first = t.fd;
    uint8_t byte;
    connect_client();
    ssize_t n;
    while ((n = recv(t.fd, &byte, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN)
        g_main_context_iteration(NULL, FALSE);
    g_assert_cmpint(n, <=, 0);
    close(t.fd);
    t.fd = first;
    sane();
    finish();
}

/* The monitor's gdbserver: on the same device anew, and on none. */
static void test_reopen(gconstpointer accel)
{
    GError *err = NULL;
    begin(accel);
    sane();
    g_autofree char *device = g_strdup_printf("unix:%s,server=on,wait=off", t.path);
    int first = t.fd;
    uint8_t byte;
    g_assert_true(gdbstub_open(t.machine, device, &err));
    g_assert_cmpint(recv(first, &byte, 1, 0), ==, 0);
    close(first);
    connect_client();
    sane();
    g_assert_true(gdbstub_open(t.machine, "none", &err));
    g_assert_false(gdbstub_open(t.machine, "bogus", &err));
    g_assert_nonnull(strstr(err->message, "'bogus' is not a character device"));
    g_clear_error(&err);
    finish();
}

static void test_random(gconstpointer accel)
{
    static const char letters[] = "$#}mMXpPGgcsCSvCont;:HTZz?qXferRcmd,0123456789abcdef+-\3";
    begin(accel);
    for (unsigned round = 0; round < 300; round++) {
        g_autoptr(GString) text = g_string_new(NULL), out = g_string_new(NULL);
        unsigned len = g_test_rand_int_range(0, 60);
        for (unsigned i = 0; i < len; i++)
            g_string_append_c(text, round % 2 ? letters[g_test_rand_int_range(0, sizeof(letters) - 1)]
                                              : (char)g_test_rand_int_range(0, 256));
        if (strchr("kv", text->str[0]) || g_str_has_prefix(text->str, "qRcmd"))
            continue; /* these may end the test */
        if (round % 4 < 2)
            packet_write(out, text->str, text->len);
        else
            g_string_append_len(out, text->str, text->len);
        put(out->str, out->len);
        for (unsigned n = 0; n < 20; n++)
            g_main_context_iteration(NULL, FALSE);
    }
    close(t.fd);
    for (unsigned n = 0; n < 50; n++)
        g_main_context_iteration(NULL, FALSE);
    connect_client();
    ask("?");
    g_assert_cmpint(*reply(), ==, 'T');
    finish();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(gconstpointer accel);
    } tests[] = { { "wrong", test_wrong },   { "run", test_run },       { "reconnect", test_reconnect },
                  { "second", test_second }, { "reopen", test_reopen }, { "random", test_random } };
    static const char *const accels[] = { "jit=on", "jit=off", "thread=single" };
    g_test_init(&argc, &argv, NULL);
    for (unsigned a = 0; a < G_N_ELEMENTS(accels); a++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
            g_autofree char *path = g_strdup_printf("/gdbstub/%s/%s", accels[a], tests[i].name);
            g_test_add_data_func(path, accels[a], tests[i].run);
        }
    }
    return g_test_run();
}
