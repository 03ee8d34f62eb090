/*
 * The session: bytes of the character device become packets and back (see gdbstub.h).
 * SPDX-License-Identifier: MIT
 */
#include "ui/gdbstub/stub.h"
#include "util/error.h"
#include "util/mainloop.h"
#include <string.h>

static Stub stub;

/* ---- output ---- */

static void flush(Stub *s)
{
    size_t taken = chardev_write(s->chardev, s->pending->str, s->pending->len);
    g_string_erase(s->pending, 0, taken);
}

void stub_send(Stub *s, const void *data, size_t len)
{
    if (!s->connected)
        return;
    g_string_truncate(s->last, 0);
    packet_write(s->last, data, len);
    g_string_append_len(s->pending, s->last->str, s->last->len);
    flush(s);
}

void stub_reply(Stub *s, const char *text)
{
    stub_send(s, text, strlen(text));
}

Vcpu *stub_vcpu(Stub *s, unsigned index)
{
    return s->machine->vcpus->pdata[index];
}

CpuState *stub_state(Stub *s, unsigned index)
{
    Vcpu *vcpu = stub_vcpu(s, index);
    if (s->machine->accel->vcpu_read_state)
        s->machine->accel->vcpu_read_state(vcpu);
    return vcpu->state;
}

/* ---- input ---- */

static void take_packet(Stub *s)
{
    g_autofree char *text = g_memdup2(s->reader.text->data, s->reader.text->len + 1);
    if (!s->no_acks)
        g_string_append_c(s->pending, '+');
    stub_halt(s, true);
    s->owes_stop = false;
    stub_command(s, text, s->reader.text->len);
}

static void take_byte(Stub *s, uint8_t byte)
{
    switch (packet_read(&s->reader, byte)) {
    case PACKET_COMPLETE:
        take_packet(s);
        break;
    case PACKET_BAD:
        if (s->no_acks)
            stub_reply(s, "E22");
        else
            g_string_append_c(s->pending, '-');
        break;
    case PACKET_NAK:
        if (!s->no_acks && s->pending->len < PACKET_MAX)
            g_string_append_len(s->pending, s->last->str, s->last->len);
        break;
    case PACKET_INTERRUPT:
        stub_halt(s, false);
        break;
    case PACKET_NOTHING:
    case PACKET_ACK:
        break;
    }
}

/* Nothing more from who does not take the answers. */
static size_t can_read(void *opaque)
{
    const Stub *s = opaque;
    return s->pending->len ? 0 : 4096;
}

static void input(void *opaque, const uint8_t *data, size_t len)
{
    Stub *s = opaque;
    for (size_t i = 0; i < len && s->chardev; i++)
        take_byte(s, data[i]);
    if (s->chardev)
        flush(s);
}

static void writable(void *opaque)
{
    Stub *s = opaque;
    flush(s);
    if (!s->pending->len)
        chardev_accept_input(s->chardev);
}

static void event(void *opaque, ChardevEvent event)
{
    Stub *s = opaque;
    if (event != CHARDEV_OPENED && event != CHARDEV_CLOSED)
        return;
    packet_reader_restart(&s->reader);
    g_string_truncate(s->pending, 0);
    g_string_truncate(s->last, 0);
    s->no_acks = s->says_why = false;
    s->cpu = s->run_cpu = 0;
    if (event == CHARDEV_OPENED) {
        s->connected = true;
        stub_halt(s, true);
    } else if (s->connected) { /* gone without a word: the machine stays as it is, without breakpoints */
        s->connected = false;
        stub_detach(s);
        stub_attach(s);
    }
}

/* ---- opening and closing ---- */

void gdbstub_close(void)
{
    Stub *s = &stub;
    if (!s->machine)
        return;
    if (s->owes_stop)
        stub_reply(s, "W00"); /* there is nothing to wait for any more */
    stub_detach(s);
    mainloop_cancel(s);
    if (s->chardev)
        chardev_attach(s->chardev, NULL, NULL, s, NULL);
    if (s->chardev && s->owned)
        chardev_remove(s->chardev);
    s->chardev = NULL;
    s->machine = NULL;
    s->connected = false;
    packet_reader_clear(&s->reader);
    g_string_free(s->pending, TRUE);
    g_string_free(s->last, TRUE);
    g_array_free(s->points, TRUE);
    g_mutex_clear(&s->hit.lock);
}

bool gdbstub_open(Machine *machine, const char *device, GError **err)
{
    static const ChardevClient client = { can_read, input, event, writable };
    static unsigned count;
    Stub *s = &stub;
    bool tcp = g_str_has_prefix(device, "tcp:");
    g_autofree char *text = tcp ? g_strdup_printf("%s,wait=off,nodelay=on,server=on", device) : g_strdup(device);
    g_autofree char *label = g_strdup_printf("gdb%u", count++);
    Chardev *chardev;
    gdbstub_close();
    if (!machine->vcpus->len)
        return error_set(err, "gdb: there is no CPU to debug");
    if (!chardev_from_short(label, text, &chardev, err)) {
        g_prefix_error(err, "gdb: ");
        return false;
    }
    if (!chardev)
        return true;
    *s = (Stub){ .machine = machine, .chardev = chardev };
    s->owned = !g_str_has_prefix(device, "chardev:") && !chardev_is_mux(chardev);
    packet_reader_init(&s->reader);
    s->pending = g_string_new(NULL);
    s->last = g_string_new(NULL);
    s->points = g_array_new(FALSE, FALSE, sizeof(DebugPoint));
    g_mutex_init(&s->hit.lock);
    stub_attach(s);
    chardev_refuse_others(chardev);
    if (chardev_attach(chardev, NULL, &client, s, err))
        return true;
    s->chardev = NULL;
    gdbstub_close();
    return false;
}
