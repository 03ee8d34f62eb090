/*
 * The 16550A by the PC16550D data sheet: divisor latch, FIFO and its trigger levels, interrupt priorities and what
 * clears them, loopback, modem status, overrun, break, character timeout; and flow to and from a character device.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/char/serial_16550.h"
#include "ui/chardev/backend.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE UINT64_C(0x10000000)

enum { RBR = 0, THR = 0, DLL = 0, IER, DLM = 1, IIR, FCR = 2, LCR, MCR, LSR, MSR, SCR };
enum { IIR_MODEM = 0, IIR_NONE = 1, IIR_THRE = 2, IIR_DATA = 4, IIR_LINE = 6, IIR_TIMEOUT = 0xc };
enum { LSR_DR = 1, LSR_OE = 2, LSR_BI = 0x10, LSR_IDLE = 0x60, LSR_FIFO_ERROR = 0x80 };

typedef struct Fixture {
    DevMachine *m;
    Serial16550 *uart;
    Chardev *chardev;
    DevIrq irq;
} Fixture;

/* text: the short form of its character device. */
static Fixture *serial_new(const char *text)
{
    GError *err = NULL;
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    chardev_from_short("port", text, &f->chardev, &err);
    g_assert_no_error(err);
    f->uart = devm_add(f->m, &serial_16550_type, f->chardev ? "chardev=port" : NULL);
    devm_realize(f->m, f->uart);
    devm_map(f->m, &f->uart->mmio, BASE);
    f->uart->irq = devirq_init(&f->irq);
    return f;
}

static void serial_free(Fixture *f)
{
    devm_free(f->m);
    devm_poll(NULL, NULL); /* nothing posted is left behind */
    chardev_remove_all();
    g_free(f);
}

static uint8_t get(Fixture *f, unsigned reg)
{
    return r8(f->m, BASE + reg);
}
static void put(Fixture *f, unsigned reg, uint8_t value)
{
    w8(f->m, BASE + reg, value);
}
static unsigned iir(Fixture *f)
{
    return get(f, IIR) & 0xf;
}

/* What the back end does. */
static size_t room(Fixture *f)
{
    size_t n;
    DEVM_LOCKED(f->m, n = f->chardev->front.client->can_read(f->chardev->front.opaque));
    return n;
}
static void input(Fixture *f, const char *text)
{
    g_assert_cmpuint(strlen(text), <=, room(f));
    DEVM_LOCKED(f->m, f->chardev->front.client->read(f->chardev->front.opaque, (const uint8_t *)text, strlen(text)));
}
static void line_break(Fixture *f)
{
    DEVM_LOCKED(f->m, f->chardev->front.client->event(f->chardev->front.opaque, CHARDEV_BREAK));
}

static void test_registers(void)
{
    Fixture *f = serial_new("null");
    static const uint8_t fresh[] = { 0, 0, IIR_NONE, 0, 0, LSR_IDLE, 0xb0, 0 }; /* CTS, DSR and DCD are there */
    for (unsigned i = 0; i < 8; i++)
        g_assert_cmphex(get(f, i), ==, fresh[i]);
    put(f, IER, 0xf0); /* the high bits are not there */
    g_assert_cmphex(get(f, IER), ==, 0);
    put(f, MCR, 0xe0);
    g_assert_cmphex(get(f, MCR), ==, 0);
    put(f, LCR, 0x5b);
    g_assert_cmphex(get(f, LCR), ==, 0x5b);
    put(f, SCR, 0xa5);
    g_assert_cmphex(get(f, SCR), ==, 0xa5);
    put(f, LSR, 0xff); /* read-only */
    put(f, MSR, 0xff);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    g_assert_cmphex(get(f, MSR), ==, 0xb0);
    g_assert_cmphex(r32(f->m, BASE + 4), ==, 0xa5b06000); /* greater accesses go over the registers */
    devm_reset(f->m);
    g_assert_cmphex(get(f, SCR), ==, 0);
    serial_free(f);
}

static void test_divisor(void)
{
    Fixture *f = serial_new("null");
    put(f, IER, 0x0a);
    put(f, LCR, 0x83);
    put(f, DLL, 0x34);
    put(f, DLM, 0x12);
    g_assert_cmphex(get(f, DLL), ==, 0x34);
    g_assert_cmphex(get(f, DLM), ==, 0x12);
    input(f, "x");
    g_assert_cmphex(get(f, DLL), ==, 0x34); /* does not take the character */
    put(f, LCR, 0x03);
    g_assert_cmphex(get(f, IER), ==, 0x0a);
    g_assert_cmphex(get(f, RBR), ==, 'x');
    put(f, LCR, 0x83);
    g_assert_cmphex(get(f, DLM), ==, 0x12);
    serial_free(f);
}

static void test_transmit(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "rhea-16550-XXXXXX", NULL), *text = NULL;
    int fd = g_mkstemp(path);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_autofree char *file = g_strconcat("file:", path, NULL);
    Fixture *f = serial_new(file);
    put(f, THR, 'a');
    put(f, LCR, 0x80);
    put(f, THR, '?'); /* the divisor's */
    put(f, LCR, 0);
    put(f, THR, 'b');
    put(f, MCR, 0x10);
    put(f, THR, '?'); /* loopback: the line stays idle */
    put(f, MCR, 0);
    put(f, FCR, 7);
    for (const char *c = "cdefghijklmnopqrstuvwxyz"; *c; c++) {
        g_assert_cmphex(get(f, LSR) & LSR_IDLE, ==, LSR_IDLE);
        put(f, THR, *c);
    }
    serial_free(f);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "abcdefghijklmnopqrstuvwxyz");
    g_unlink(path);
}

/* Set by ETBEI when the holding register is empty, and by its becoming empty; cleared by the IIR that names it. */
static void test_thre(void)
{
    Fixture *f = serial_new("null");
    put(f, THR, 'x');
    g_assert_false(f->irq.level);
    put(f, IER, 2);
    g_assert_true(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_THRE);
    g_assert_false(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_NONE);
    put(f, IER, 2); /* no edge of ETBEI */
    g_assert_false(f->irq.level);
    put(f, THR, 'x');
    g_assert_true(f->irq.level);
    put(f, IER, 0);
    g_assert_false(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_NONE);
    put(f, IER, 2);
    g_assert_true(f->irq.level);
    input(f, "c"); /* an IIR that names another one does not clear it */
    put(f, IER, 3);
    g_assert_cmphex(iir(f), ==, IIR_DATA);
    g_assert_cmphex(iir(f), ==, IIR_DATA);
    get(f, RBR);
    g_assert_cmphex(iir(f), ==, IIR_THRE);
    g_assert_cmphex(iir(f), ==, IIR_NONE);
    g_assert_false(f->irq.level);
    serial_free(f);
}

/* Without FIFO: one character, which the next one destroys. */
static void test_no_fifo(void)
{
    Fixture *f = serial_new("null");
    put(f, IER, 1);
    g_assert_cmpuint(room(f), ==, 1);
    input(f, "a");
    g_assert_cmpuint(room(f), ==, 0);
    g_assert_true(f->irq.level);
    g_assert_cmphex(get(f, IIR), ==, IIR_DATA); /* bits 6 and 7 tell of FIFOs */
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    g_assert_cmphex(get(f, RBR), ==, 'a');
    g_assert_false(f->irq.level);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    put(f, MCR, 0x10);
    put(f, THR, 'b');
    put(f, THR, 'c');
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_OE);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    g_assert_cmphex(get(f, RBR), ==, 'c');
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    serial_free(f);
}

static void test_fifo_levels(void)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    Fixture *f = serial_new("null");
    put(f, IER, 1);
    for (unsigned i = 0; i < 4; i++) {
        put(f, FCR, i << 6 | 1);
        g_assert_cmphex(get(f, IIR), ==, 0xc0 | IIR_NONE);
        g_assert_cmpuint(room(f), ==, 16);
        for (unsigned n = 1; n <= 16; n++) {
            input(f, (char[]){ 'a' + n, 0 });
            g_assert_cmphex(get(f, IIR), ==, 0xc0 | (n < levels[i] ? IIR_TIMEOUT : IIR_DATA));
        }
        g_assert_cmpuint(room(f), ==, 0);
        for (unsigned n = 16; n; n--) {
            g_assert_cmphex(iir(f), ==, n < levels[i] ? IIR_TIMEOUT : IIR_DATA);
            g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
            g_assert_cmphex(get(f, RBR), ==, 'a' + 17 - n);
        }
        g_assert_false(f->irq.level);
        g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
        g_assert_cmphex(get(f, RBR), ==, 0);
    }
    serial_free(f);
}

static void test_fcr(void)
{
    Fixture *f = serial_new("null");
    put(f, FCR, 0xc0); /* without bit 0 the rest does not count */
    g_assert_cmphex(get(f, IIR), ==, IIR_NONE);
    input(f, "a");
    put(f, FCR, 0x02);
    g_assert_cmphex(get(f, RBR), ==, 'a');
    input(f, "a");
    put(f, FCR, 0x81); /* a change of mode clears the FIFOs */
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    input(f, "abcdefgh");
    put(f, IER, 1);
    g_assert_cmphex(iir(f), ==, IIR_DATA);
    put(f, FCR, 0xc1); /* another level keeps the FIFO */
    g_assert_cmphex(iir(f), ==, IIR_TIMEOUT);
    put(f, FCR, 0xc5); /* the transmitter's clear is not the receiver's */
    g_assert_cmphex(get(f, RBR), ==, 'a');
    put(f, FCR, 0xc3);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    g_assert_cmphex(get(f, IIR), ==, 0xc0 | IIR_NONE); /* bit 1 clears itself, bits 6, 7 and 0 stay */
    input(f, "xy");
    put(f, FCR, 0);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    g_assert_cmphex(get(f, IIR), ==, IIR_NONE);
    g_assert_cmpuint(room(f), ==, 1);
    serial_free(f);
}

/* A full FIFO keeps what it has; the error is told at once. */
static void test_overrun(void)
{
    Fixture *f = serial_new("null");
    put(f, FCR, 1);
    put(f, MCR, 0x10);
    put(f, IER, 4);
    for (unsigned i = 0; i < 16; i++)
        put(f, THR, 'a' + i);
    g_assert_false(f->irq.level);
    put(f, THR, 'X');
    g_assert_true(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_LINE);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_OE); /* not an error in the FIFO */
    g_assert_false(f->irq.level);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(get(f, RBR), ==, 'a' + i);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    serial_free(f);
}

/* A break is a zero character that shows its error when it is the next in the FIFO. */
static void test_break(void)
{
    Fixture *f = serial_new("null");
    put(f, IER, 4);
    line_break(f); /* without FIFO: at once */
    g_assert_true(f->irq.level);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_BI);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    g_assert_cmphex(get(f, RBR), ==, 0);
    put(f, FCR, 1);
    input(f, "ab");
    line_break(f);
    input(f, "c");
    line_break(f);
    g_assert_false(f->irq.level);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_FIFO_ERROR);
    g_assert_cmphex(get(f, RBR), ==, 'a');
    g_assert_cmphex(get(f, RBR), ==, 'b');
    g_assert_true(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_LINE);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_BI | LSR_FIFO_ERROR);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_FIFO_ERROR); /* the second one */
    g_assert_false(f->irq.level);
    g_assert_cmphex(get(f, RBR), ==, 0);
    g_assert_cmphex(get(f, RBR), ==, 'c');
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR | LSR_BI | LSR_FIFO_ERROR);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    g_assert_cmphex(get(f, RBR), ==, 0);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    input(f, "x");
    line_break(f);
    put(f, FCR, 3); /* cleared with the FIFO */
    input(f, "yz");
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    g_assert_cmphex(get(f, RBR), ==, 'y');
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    put(f, MCR, 0x10); /* loopback: the receiver is off the line */
    get(f, RBR);
    line_break(f);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE);
    serial_free(f);
}

/* Table IV of the data sheet: line status, then data or timeout, then THRE, then modem status. */
static void test_priorities(void)
{
    Fixture *f = serial_new("null");
    put(f, FCR, 0x41);
    put(f, IER, 0xf);
    line_break(f);
    input(f, "abcde");
    put(f, MCR, 0x10);
    put(f, MCR, 0x1f); /* CTS and more changed */
    g_assert_cmphex(iir(f), ==, IIR_LINE);
    get(f, LSR);
    g_assert_cmphex(iir(f), ==, IIR_DATA);
    while (get(f, LSR) & LSR_DR) {
        unsigned id = iir(f);
        g_assert_true(id == IIR_DATA || id == IIR_TIMEOUT);
        get(f, RBR);
    }
    g_assert_cmphex(iir(f), ==, IIR_THRE);
    g_assert_cmphex(iir(f), ==, IIR_MODEM);
    g_assert_true(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_MODEM);
    get(f, MSR);
    g_assert_cmphex(iir(f), ==, IIR_NONE);
    g_assert_false(f->irq.level);
    g_assert_cmpuint(f->irq.rises, ==, 1);
    serial_free(f);
}

static void test_loopback(void)
{
    Fixture *f = serial_new("null");
    put(f, FCR, 1);
    put(f, MCR, 0x10);
    g_assert_cmpuint(room(f), ==, 0); /* the line is not heard */
    put(f, IER, 1);
    put(f, THR, 'q');
    g_assert_true(f->irq.level);
    g_assert_cmphex(get(f, LSR), ==, LSR_IDLE | LSR_DR);
    g_assert_cmphex(get(f, RBR), ==, 'q');
    put(f, MCR, 0);
    g_assert_cmpuint(room(f), ==, 16);
    /* DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD */
    static const uint8_t lines[] = { 0x20, 0x10, 0x40, 0x80 };
    for (unsigned i = 0; i < 16; i++) {
        uint8_t want = 0;
        for (unsigned line = 0; line < 4; line++)
            want |= i >> line & 1 ? lines[line] : 0;
        put(f, MCR, 0x10 | i);
        g_assert_cmphex(get(f, MSR) & 0xf0, ==, want);
    }
    put(f, MCR, 0);
    g_assert_cmphex(get(f, MSR) & 0xf0, ==, 0xb0);
    serial_free(f);
}

static void test_modem(void)
{
    Fixture *f = serial_new("null");
    put(f, MCR, 0x10); /* CTS, DSR, DCD go */
    g_assert_cmphex(get(f, MSR), ==, 0x0b);
    g_assert_cmphex(get(f, MSR), ==, 0); /* a read clears the deltas */
    put(f, IER, 8);
    g_assert_false(f->irq.level);
    put(f, MCR, 0x14); /* RI begins: no delta, only its end is one */
    g_assert_false(f->irq.level);
    g_assert_cmphex(get(f, MSR), ==, 0x40);
    put(f, MCR, 0x10);
    g_assert_true(f->irq.level);
    g_assert_cmphex(iir(f), ==, IIR_MODEM);
    g_assert_cmphex(get(f, MSR), ==, 0x04);
    g_assert_false(f->irq.level);
    put(f, MCR, 0x12);
    g_assert_true(f->irq.level);
    put(f, MCR, 0x10); /* there and back is still a change */
    g_assert_true(f->irq.level);
    g_assert_cmphex(get(f, MSR), ==, 0x01);
    g_assert_false(f->irq.level);
    serial_free(f);
}

/* Below the level, characters are told of when the line has been silent; their read takes it back. */
static void test_timeout(void)
{
    Fixture *f = serial_new("null");
    put(f, FCR, 0xc1);
    put(f, IER, 1);
    input(f, "ab");
    devm_step(f->m, 1000000000);
    g_assert_true(f->irq.level);
    g_assert_cmphex(get(f, IIR), ==, 0xc0 | IIR_TIMEOUT);
    g_assert_cmphex(get(f, IIR), ==, 0xc0 | IIR_TIMEOUT); /* IIR does not clear it */
    get(f, RBR);
    devm_step(f->m, 1000000000);
    g_assert_cmphex(get(f, IIR), ==, 0xc0 | IIR_TIMEOUT); /* one left */
    get(f, RBR);
    g_assert_false(f->irq.level);
    devm_step(f->m, 1000000000);
    g_assert_cmphex(get(f, IIR), ==, 0xc0 | IIR_NONE);
    serial_free(f);
}

static void test_stride(void)
{
    DevMachine *m = devm_new();
    Serial16550 *uart = devm_add(m, &serial_16550_type, "reg-shift=2"); /* nobody at the other end */
    devm_realize(m, uart);
    devm_map(m, &uart->mmio, BASE);
    w32(m, BASE + 4 * SCR, 0x77);
    g_assert_cmphex(r8(m, BASE + 4 * SCR), ==, 0x77);
    g_assert_cmphex(r8(m, BASE + 4 * LSR), ==, LSR_IDLE);
    w32(m, BASE + 4 * FCR, 1);
    w32(m, BASE + 4 * MCR, 0x10);
    w32(m, BASE, 'x');
    w8(m, BASE + 1, 'y'); /* between registers */
    w32(m, BASE, 'z');
    g_assert_cmphex(r32(m, BASE), ==, 'x'); /* one character by each read */
    g_assert_cmphex(r32(m, BASE), ==, 'z');
    g_assert_cmphex(r8(m, BASE + 4 * LSR), ==, LSR_IDLE);
    bad_read(m, BASE + 32, 1);
    devm_free(m);
}

static void test_state(void)
{
    Fixture *f = serial_new("null");
    DevMachine *other = devm_new();
    Serial16550 *twin = devm_add(other, &serial_16550_type, NULL);
    DevIrq irq;
    devm_realize(other, twin);
    devm_map(other, &twin->mmio, BASE);
    twin->irq = devirq_init(&irq);
    put(f, FCR, 1);
    put(f, IER, 5);
    input(f, "ab");
    line_break(f);
    get(f, RBR);
    devm_check_covered(&f->uart->dev);
    DEVM_LOCKED(other, devm_check_twin(&f->uart->dev, &twin->dev));
    g_assert_true(irq.level);
    g_assert_cmphex(r8(other, BASE + RBR), ==, 'b');
    g_assert_cmphex(r8(other, BASE + LSR), ==, LSR_IDLE | LSR_DR | LSR_BI | LSR_FIFO_ERROR);
    devm_free(other);
    serial_free(f);
}

static bool has_data(void *opaque)
{
    return ((Fixture *)opaque)->uart->fifo_count;
}

/* Wait for input and take it all. */
static void expect_input(Fixture *f, const char *want)
{
    while (*want) {
        devm_poll(has_data, f);
        while (get(f, LSR) & LSR_DR)
            g_assert_cmphex(get(f, RBR), ==, *want++);
    }
}

/* A port that was full, in loopback or reset hears the rest afterwards. Standard input is a pipe here. */
static void test_flow(void)
{
    int pipes[2], old = dup(0);
    g_assert_cmpint(pipe(pipes), ==, 0);
    g_assert_cmpint(dup2(pipes[0], 0), ==, 0);
    Fixture *f = serial_new("stdio");
    g_assert_cmpint(write(pipes[1], "0123456789", 10), ==, 10);
    expect_input(f, "0123456789");
    put(f, FCR, 1);
    g_assert_cmpint(write(pipes[1], "abcdefghijklmnopqrstuvwxyz", 26), ==, 26);
    devm_poll(has_data, f);
    devm_poll(NULL, NULL); /* it finds that there is no room */
    g_assert_cmpuint(f->uart->fifo_count, ==, 16);
    put(f, FCR, 3); /* the first 16 are lost */
    expect_input(f, "qrstuvwxyz");
    put(f, MCR, 0x10);
    g_assert_cmpint(write(pipes[1], "loop", 4), ==, 4);
    devm_poll(NULL, NULL);
    g_assert_false(has_data(f));
    put(f, MCR, 0);
    expect_input(f, "loop");
    g_assert_cmpint(write(pipes[1], "reset", 5), ==, 5);
    put(f, FCR, 0);
    devm_poll(has_data, f);
    devm_poll(NULL, NULL);
    devm_reset(f->m); /* the one that was in the port is lost */
    expect_input(f, "eset");
    serial_free(f);
    dup2(old, 0);
    close(old);
    close(pipes[0]);
    close(pipes[1]);
}

/* A reader that does not read: the transmitter fills up and says so; once there is room all comes, in order. */
static void test_slow_reader(void)
{
    g_autofree char *folder = g_dir_make_tmp("rhea-serial-XXXXXX", NULL), *path = g_strdup_printf("%s/p.out", folder),
                    *in = g_strdup_printf("%s/p.in", folder), *text = g_strdup_printf("pipe:%s/p", folder);
    g_assert_cmpint(mkfifo(path, 0600) | mkfifo(in, 0600), ==, 0);
    int fd = open(path, O_RDWR | O_NONBLOCK);
    Fixture *f = serial_new(text);
    uint32_t sent = 0, got = 0;
    put(f, FCR, 1);
    put(f, IER, 2);
    while (sent < 4 << 20 && get(f, LSR) & 0x20)
        put(f, THR, sent++ % 251);
    g_assert_cmpuint(sent, <, 4 << 20);
    g_assert_cmphex(get(f, LSR) & LSR_IDLE, ==, 0);
    g_assert_cmphex(iir(f), ==, IIR_NONE);
    for (unsigned i = 0; i < 15; i++)
        put(f, THR, sent++ % 251);
    put(f, THR, 'X'); /* there is no place for it */
    gint64 limit = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;
    while (got < sent && g_get_monotonic_time() < limit) {
        uint8_t bytes[4096];
        ssize_t n = read(fd, bytes, sizeof(bytes));
        for (ssize_t i = 0; i < n; i++)
            g_assert_cmphex(bytes[i], ==, got++ % 251);
        devm_poll(NULL, NULL);
    }
    g_assert_cmpuint(got, ==, sent);
    g_assert_cmphex(get(f, LSR) & LSR_IDLE, ==, LSR_IDLE);
    g_assert_cmphex(iir(f), ==, IIR_THRE);
    serial_free(f);
    close(fd);
    g_unlink(path);
    g_unlink(in);
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/serial-16550/registers", test_registers);
    g_test_add_func("/serial-16550/divisor", test_divisor);
    g_test_add_func("/serial-16550/transmit", test_transmit);
    g_test_add_func("/serial-16550/thre", test_thre);
    g_test_add_func("/serial-16550/no-fifo", test_no_fifo);
    g_test_add_func("/serial-16550/fifo-levels", test_fifo_levels);
    g_test_add_func("/serial-16550/fcr", test_fcr);
    g_test_add_func("/serial-16550/overrun", test_overrun);
    g_test_add_func("/serial-16550/break", test_break);
    g_test_add_func("/serial-16550/priorities", test_priorities);
    g_test_add_func("/serial-16550/loopback", test_loopback);
    g_test_add_func("/serial-16550/modem", test_modem);
    g_test_add_func("/serial-16550/timeout", test_timeout);
    g_test_add_func("/serial-16550/stride", test_stride);
    g_test_add_func("/serial-16550/state", test_state);
    g_test_add_func("/serial-16550/flow", test_flow);
    g_test_add_func("/serial-16550/slow-reader", test_slow_reader);
    return g_test_run();
}
