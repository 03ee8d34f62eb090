/*
 * Virtio console device (VIRTIO 1.2, 5.3): a bus of ports, each a console (virtconsole) or a named byte channel
 * (virtserialport).
 *
 * All of it runs under the machine lock: ports are slow, and their characters come from the main loop.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_serial.h"
#include "hw/virtio/virtio_pci.h"
#include "ui/chardev/chardev.h"
#include "util/error.h"
#include "util/trace.h"
#include <string.h>

enum { F_MULTIPORT = 1 << 1, F_EMERG_WRITE = 1 << 2 };
enum { /* 5.3.6.2 */
       DEVICE_READY,
       PORT_ADD,
       PORT_REMOVE,
       PORT_READY,
       CONSOLE_PORT,
       RESIZE,
       PORT_OPEN,
       PORT_NAME
};
enum { CONTROL_TO_DRIVER = 2, CONTROL_FROM_DRIVER = 3 };
enum { CONFIG_MAX_PORTS = 4, CONFIG_EMERG_WRITE = 8, CONFIG_SIZE = 12 };
#define MAX_PORTS 31

typedef struct VirtSerialPort VirtSerialPort;

typedef struct VirtioSerial {
    VirtioDevice v;
    VirtSerialPort *ports[MAX_PORTS];
    uint32_t max_ports;
    VirtElement element;
} VirtioSerial;

struct VirtSerialPort {
    Device dev;
    VirtioSerial *serial;
    Chardev *chardev;
    char *name;
    uint32_t number; /* UINT32_MAX before it is plugged: the first that is free */
    uint32_t sent;   /* bytes of the buffer at the head of the queue that the chardev has taken already */
    uint8_t guest_open, host_open;
};

static bool is_console(const VirtSerialPort *p)
{
    return p->dev.type == &virtconsole_type;
}

/* Port 0 has queues 0 and 1, port n has 2 + 2n and 3 + 2n. */
static VirtQueue *port_queue(const VirtSerialPort *p, bool from_driver)
{
    return &p->serial->v.queues[(p->number ? 2 + 2 * p->number : 0) + from_driver];
}

static bool multiport(const VirtioSerial *s)
{
    return virtio_accepted(&s->v, F_MULTIPORT);
}

/* ---- control messages ---- */

static void send_control(VirtioSerial *s, uint32_t port, uint16_t event, uint16_t value, const char *text)
{
    uint8_t message[8];
    VirtQueue *queue = &s->v.queues[CONTROL_TO_DRIVER];
    if (!multiport(s) || !virtio_running(&s->v))
        return;
    if (!virtq_pop(queue, &s->element)) {
        guest_error(&s->v.dev, "no buffer for control message %u to port %u: it is lost", event, port);
        return;
    }
    TRACE(virtio_serial_control_out, "port %u event %u value %u", port, event, value);
    pci_put32(message, port);
    pci_put16(message + 4, event);
    pci_put16(message + 6, value);
    size_t n = iov_write(s->element.in, s->element.in_count, 0, message, sizeof(message));
    if (text)
        n += iov_write(s->element.in, s->element.in_count, n, text, strlen(text));
    virtq_push(queue, &s->element, n);
    virtq_notify(queue);
}

static void port_is_ready(VirtioSerial *s, VirtSerialPort *p)
{
    if (is_console(p))
        send_control(s, p->number, CONSOLE_PORT, 1, NULL);
    if (p->name)
        send_control(s, p->number, PORT_NAME, 1, p->name);
    if (p->host_open)
        send_control(s, p->number, PORT_OPEN, 1, NULL);
}

static void set_guest_open(VirtSerialPort *p, bool open)
{
    p->guest_open = open;
    if (open && p->chardev)
        chardev_accept_input(p->chardev);
}

static void handle_control(VirtioSerial *s, uint32_t number, uint16_t event, uint16_t value)
{
    TRACE(virtio_serial_control_in, "port %u event %u value %u", number, event, value);
    if (event == DEVICE_READY) {
        for (unsigned i = 0; i < s->max_ports && value; i++) {
            if (s->ports[i])
                send_control(s, i, PORT_ADD, 1, NULL);
        }
        return;
    }
    VirtSerialPort *p = number < s->max_ports ? s->ports[number] : NULL;
    if (!p)
        guest_error(&s->v.dev, "control message %u for port %u, which is not there", event, number);
    else if (event == PORT_READY && value)
        port_is_ready(s, p);
    else if (event == PORT_OPEN)
        set_guest_open(p, value);
    else if (event != PORT_READY)
        guest_error(&s->v.dev, "control message %u means nothing to the device", event);
}

static void run_control(VirtioSerial *s)
{
    VirtQueue *queue = &s->v.queues[CONTROL_FROM_DRIVER];
    uint8_t message[8];
    /* The ring bounds the work: the driver cannot add to it while the machine lock keeps its notifications waiting. */
    for (unsigned n = 0; n < queue->max_size && virtq_pop(queue, &s->element); n++) {
        size_t got = iov_read(s->element.out, s->element.out_count, 0, message, sizeof(message));
        virtq_push(queue, &s->element, 0);
        if (got == sizeof(message))
            handle_control(s, pci_get32(message), pci_get16(message + 4), pci_get16(message + 6));
        else
            guest_error(&s->v.dev, "control message of %zu bytes", got);
    }
    virtq_notify(queue);
}

/* ---- data ---- */

/* Hand what the driver sent to the chardev; what it does not take now stays in the ring. */
static void transmit(VirtSerialPort *p)
{
    VirtioSerial *s = p->serial;
    VirtQueue *queue = port_queue(p, true);
    uint8_t chunk[4096];
    for (unsigned n = 0; n < queue->max_size && virtq_pop(queue, &s->element); n++) {
        size_t len, taken = 0;
        while ((len = iov_read(s->element.out, s->element.out_count, p->sent, chunk, sizeof(chunk)))) {
            taken = chardev_write(p->chardev, chunk, len);
            p->sent += taken;
            if (taken < len)
                break;
        }
        if (len && taken < len) {
            virtq_unpop(queue, &s->element);
            break;
        }
        p->sent = 0;
        virtq_push(queue, &s->element, 0);
    }
    virtq_notify(queue);
}

static bool port_takes_input(const VirtSerialPort *p)
{
    const VirtioSerial *s = p->serial;
    return s && virtio_running(&s->v) && (multiport(s) ? p->guest_open : !p->number);
}

static size_t port_can_read(void *opaque)
{
    VirtSerialPort *p = opaque;
    VirtElement *e = p->serial ? &p->serial->element : NULL;
    if (!port_takes_input(p) || !virtq_pop(port_queue(p, false), e))
        return 0;
    virtq_unpop(port_queue(p, false), e);
    return e->in_bytes;
}

static void port_read(void *opaque, const uint8_t *data, size_t len)
{
    VirtSerialPort *p = opaque;
    VirtElement *e = &p->serial->element;
    VirtQueue *queue = port_queue(p, false);
    while (len && virtq_pop(queue, e)) {
        size_t n = iov_write(e->in, e->in_count, 0, data, len);
        virtq_push(queue, e, n);
        data += n;
        len -= n;
    }
    virtq_notify(queue);
}

static void port_event(void *opaque, ChardevEvent event)
{
    VirtSerialPort *p = opaque;
    if ((event != CHARDEV_OPENED && event != CHARDEV_CLOSED) || is_console(p))
        return;
    p->host_open = event == CHARDEV_OPENED;
    if (p->serial)
        send_control(p->serial, p->number, PORT_OPEN, p->host_open, NULL);
}

static void port_writable(void *opaque)
{
    VirtSerialPort *p = opaque;
    if (p->serial && virtio_running(&p->serial->v))
        transmit(p);
}

static void kick(VirtioDevice *v, VirtQueue *queue)
{
    VirtioSerial *s = (VirtioSerial *)v;
    unsigned number = queue->index < 2 ? 0 : queue->index / 2 - 1;
    VirtSerialPort *p = number < s->max_ports ? s->ports[number] : NULL;
    if (queue->index == CONTROL_FROM_DRIVER)
        run_control(s);
    else if (queue->index == CONTROL_TO_DRIVER || !p)
        return;
    else if (queue->index & 1)
        transmit(p);
    else if (p->chardev)
        chardev_accept_input(p->chardev);
}

/* ---- virtio ---- */

static uint64_t features(VirtioDevice *v)
{
    return F_EMERG_WRITE | (((VirtioSerial *)v)->max_ports > 1 ? F_MULTIPORT : 0);
}

static void get_config(VirtioDevice *v, uint8_t *config)
{
    pci_put32(config + CONFIG_MAX_PORTS, ((VirtioSerial *)v)->max_ports);
    pci_put32(config + CONFIG_EMERG_WRITE, 0);
}

static void set_config(VirtioDevice *v, uint8_t *config)
{
    const VirtSerialPort *p = ((VirtioSerial *)v)->ports[0];
    if (config[CONFIG_EMERG_WRITE] && p)
        chardev_write(p->chardev, config + CONFIG_EMERG_WRITE, 1);
}

static void serial_reset(VirtioDevice *v)
{
    VirtioSerial *s = (VirtioSerial *)v;
    for (unsigned i = 0; i < MAX_PORTS; i++) {
        if (s->ports[i])
            s->ports[i]->guest_open = s->ports[i]->sent = 0;
    }
}

static const VirtioOps ops = {
    .id = 3,
    .pci_class = 0x078000,
    .config_size = CONFIG_SIZE,
    .features = features,
    .get_config = get_config,
    .set_config = set_config,
    .kick = kick,
    .reset = serial_reset,
};

/* ---- ports and their bus ---- */

static bool plug(Bus *bus, Device *dev, GError **err)
{
    VirtioSerial *s = bus->state;
    VirtSerialPort *p = (VirtSerialPort *)dev;
    unsigned number = p->number;
    if (number == UINT32_MAX) { /* port 0 is for consoles: drivers without multiport take it for one */
        for (number = is_console(p) ? 0 : 1; number < s->max_ports && s->ports[number];)
            number++;
    }
    if (number >= s->max_ports)
        return error_set(err, "bus '%s' has no port for it: max_ports is %u", bus->name, s->max_ports);
    if (s->ports[number])
        return error_set(err, "nr=%u: the port is taken", number);
    if (!number && !is_console(p))
        return error_set(err, "nr=0: port 0 is for a virtconsole");
    p->number = number;
    p->serial = s;
    s->ports[number] = p;
    return true;
}

static void unplug(Bus *bus, Device *dev)
{
    VirtSerialPort *p = (VirtSerialPort *)dev;
    send_control(p->serial, p->number, PORT_REMOVE, 1, NULL);
    p->serial->ports[p->number] = NULL;
    p->serial = NULL;
}

static void describe(Bus *bus, Device *dev, GString *out)
{
    const VirtSerialPort *p = (VirtSerialPort *)dev;
    g_string_append_printf(out, "port %u, guest %s, host %s", p->number, p->guest_open ? "on" : "off",
                           p->host_open ? "on" : "off");
}

static bool port_realize(Device *dev, GError **err)
{
    static const ChardevClient client = { port_can_read, port_read, port_event, port_writable };
    VirtSerialPort *p = (VirtSerialPort *)dev;
    p->host_open = is_console(p) || p->chardev;
    if (p->chardev && !chardev_attach(p->chardev, dev->machine, &client, p, err))
        return false;
    send_control(p->serial, p->number, PORT_ADD, 1, NULL);
    return true;
}

static void port_unrealize(Device *dev)
{
    VirtSerialPort *p = (VirtSerialPort *)dev;
    if (p->chardev)
        chardev_attach(p->chardev, NULL, NULL, p, NULL);
}

static const Prop port_props[] = {
    PROP(VirtSerialPort, CHARDEV, "chardev", chardev, .help = "ID of the character device to use"),
    PROP(VirtSerialPort, STRING, "name", name, .help = "what the guest calls it"),
    PROP(VirtSerialPort, U32, "nr", number, .fallback = "0xffffffff", .help = "number of the port"), PROP_END
};
static const StateField port_state[] = { STATE(VirtSerialPort, sent), STATE(VirtSerialPort, guest_open),
                                         STATE_SKIP(VirtSerialPort, host_open, "follows the chardev"),
                                         STATE_SKIP(VirtSerialPort, serial, "wiring"), STATE_END };

#define PORT_TYPE(symbol, text, about)  \
    const DeviceType symbol = {         \
        .name = text,                   \
        .desc = about,                  \
        .category = "input",            \
        .bus = "virtio-serial-bus",     \
        .size = sizeof(VirtSerialPort), \
        .props = port_props,            \
        .state = port_state,            \
        .realize = port_realize,        \
        .unrealize = port_unrealize,    \
    }
PORT_TYPE(virtconsole_type, "virtconsole", "console on a virtio-serial bus");
PORT_TYPE(virtserialport_type, "virtserialport", "named channel on a virtio-serial bus");

/* ---- type ---- */

static bool realize(Device *dev, GError **err)
{
    VirtioSerial *s = (VirtioSerial *)dev;
    const Device *named = dev->id ? dev : s->v.transport->owner;
    unsigned number = 0;
    if (!s->max_ports || s->max_ports > MAX_PORTS)
        return error_set(err, "max_ports: 1 to %u are possible", MAX_PORTS);
    for (unsigned i = 0; i < dev->machine->buses->len; i++)
        number += !strcmp(((Bus *)dev->machine->buses->pdata[i])->kind, "virtio-serial-bus");
    g_autofree char *name =
        named->id ? g_strdup_printf("%s.0", named->id) : g_strdup_printf("virtio-serial-bus.%u", number);
    virtio_init(&s->v, &ops);
    for (unsigned i = 0; i < (s->max_ports > 1 ? 2 * (s->max_ports + 1) : 2); i++)
        virtio_add_queue(&s->v, i / 2 == 1 ? 32 : 128);
    Bus *bus = bus_new(dev, "virtio-serial-bus", name);
    bus->state = s;
    bus->max_devices = s->max_ports;
    bus->plug = plug;
    bus->unplug = unplug;
    bus->describe = describe;
    return true;
}

static const Prop props[] = {
    PROP(VirtioSerial, U32, "max_ports", max_ports, .fallback = "31", .help = "greatest number of ports"), PROP_END
};
static const StateField state[] = { STATE_SKIP(VirtioSerial, ports, "wiring"),
                                    STATE_SKIP(VirtioSerial, element, "used within a call"), STATE_END };

const DeviceType virtio_serial_type = {
    .name = "virtio-serial-device",
    .desc = "virtio console and channels",
    .category = "input",
    .bus = "virtio",
    .parent = &virtio_device_type,
    .size = sizeof(VirtioSerial),
    .props = props,
    .state = state,
    .realize = realize,
};
VIRTIO_PCI_TYPE(virtio_serial_pci_type, "virtio-serial-pci", virtio_serial_type, "input",
                "virtio console and channels on PCI");
