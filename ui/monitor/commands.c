/*
 * Monitor commands. Names, arguments and effects are the reference's where it has them.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "accel/icount.h"
#include "block/block.h"
#include "hw/virtio/virtio_balloon.h"
#include "net/net.h"
#include "target/target.h"
#include "ui/gdbstub/gdbstub.h"
#include "ui/monitor/command.h"
#include "ui/monitor/display.h"
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"
#include <string.h>
#include <unistd.h>

static void with_lock(Monitor *m, void (*fn)(Machine *machine))
{
    machine_lock(m->machine);
    fn(m->machine);
    machine_unlock(m->machine);
}

static void take_text(GString *out, char *text)
{
    g_string_append(out, text);
    g_free(text);
}

/* ---- run control ---- */

static bool quit(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_request_shutdown(m->machine, SHUTDOWN_HOST_QUIT, 0);
    return true;
}

static void stop_machine(Machine *machine)
{
    if (machine->state == RUN_RUNNING)
        machine_stop(machine, RUN_PAUSED);
}

static bool stop(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    with_lock(m, stop_machine);
    return true;
}

static bool cont(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (m->machine->state == RUN_SUSPENDED)
        return error_set(err, "the guest sleeps; system_wakeup wakes it");
    with_lock(m, machine_start);
    return m->machine->state == RUN_RUNNING ||
           error_set(err, "the machine is off (%s): system_reset it first", run_state_name(m->machine->state));
}

static bool gdbserver(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const char *device = args[0].given ? args[0].text : GDBSTUB_DEFAULT;
    if (!m->chardev)
        return error_set(err, "gdbserver: not from the debugger, which it would cut off");
    if (!gdbstub_open(m->machine, device, err))
        return false;
    if (!strcmp(device, "none"))
        g_string_append(out, "Disabled gdbserver\n");
    else
        g_string_append_printf(out, "Waiting for gdb connection on device '%s'\n", device);
    return true;
}

static bool system_reset(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_request_reset(m->machine, SHUTDOWN_HOST_QUIT);
    return true;
}

static bool nmi(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (!m->machine->type || !m->machine->type->nmi)
        return error_set(err, "machine '%s' has no NMI", m->machine->type ? m->machine->type->name : "none");
    with_lock(m, m->machine->type->nmi);
    return true;
}

static bool system_powerdown(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (!m->machine->type || !m->machine->type->powerdown)
        return error_set(err, "machine '%s' has no power button", m->machine->type ? m->machine->type->name : "none");
    with_lock(m, machine_powerdown);
    return true;
}

static bool system_wakeup(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const MachineType *type = m->machine->type;
    machine_lock(m->machine);
    bool ok = type && type->wakeup && type->wakeup(m->machine);
    machine_unlock(m->machine);
    return ok || error_set(err, "the guest does not sleep");
}

/* ---- info ---- */

static bool info_status(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    RunState state = m->machine->state;
    g_string_append_printf(out, "VM status: %s", state == RUN_RUNNING ? "running" : "paused");
    if (state != RUN_RUNNING && state != RUN_PAUSED)
        g_string_append_printf(out, " (%s)", run_state_name(state));
    g_string_append_c(out, '\n');
    return true;
}

void monitor_on_cpu(Monitor *m, unsigned cpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    if (cpu < m->machine->vcpus->len)
        vcpu_call(m->machine->vcpus->pdata[cpu], fn, opaque);
}

static void dump_cpu(Vcpu *vcpu, void *opaque)
{
    g_string_append_printf(opaque, "\nCPU#%u\n", vcpu->index);
    vcpu->target->cpu_dump(vcpu->state, opaque);
}

static bool info_registers(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    for (unsigned i = 0; i < m->machine->vcpus->len; i++) {
        if (args[0].given || i == m->cpu)
            monitor_on_cpu(m, i, dump_cpu, out);
    }
    return true;
}

static void dump_mem(Vcpu *vcpu, void *opaque)
{
    if (vcpu->target->info_mem)
        vcpu->target->info_mem(vcpu->state, opaque);
}

static bool info_mem(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    monitor_on_cpu(m, m->cpu, dump_mem, out);
    return true;
}

static bool info_mtree(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    take_text(out, memory_describe(m->machine));
    machine_unlock(m->machine);
    return true;
}

static bool info_qtree(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    take_text(out, device_tree_describe(m->machine));
    machine_unlock(m->machine);
    return true;
}

typedef struct CpuLine {
    uint64_t pc;
    pid_t thread;
} CpuLine;

static void describe_cpu(Vcpu *vcpu, void *opaque)
{
    *(CpuLine *)opaque = (CpuLine){ vcpu->state->pc, gettid() };
}

static bool info_cpus(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    for (unsigned i = 0; i < m->machine->vcpus->len; i++) {
        const Vcpu *vcpu = m->machine->vcpus->pdata[i];
        CpuLine line = { 0 };
        bool halted = __atomic_load_n(&vcpu->halted, __ATOMIC_RELAXED);
        monitor_on_cpu(m, i, describe_cpu, &line);
        g_string_append_printf(out, "%c CPU #%u: pc=0x%016" G_GINT64_MODIFIER "x thread_id=%d%s\n",
                               i == m->cpu ? '*' : ' ', i, line.pc, (int)line.thread, halted ? " (halted)" : "");
    }
    return true;
}

static bool info_jit(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const AccelType *accel = m->machine->accel;
    if (!accel->info_jit)
        return error_set(err, "accelerator '%s' translates nothing", accel->name);
    accel->info_jit(m->machine, out);
    return true;
}

static bool info_kvm(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const AccelType *accel = m->machine->accel;
    g_string_append_printf(out, "kvm support: %s\n", accel->info_kvm ? "enabled" : "disabled");
    if (accel->info_kvm)
        accel->info_kvm(m->machine, out);
    return true;
}

static void describe_irqs(Device *dev, GString *out)
{
    if (dev->type->describe_irqs) {
        g_string_append_printf(out, "%s:\n", dev->type->name);
        dev->type->describe_irqs(dev, out);
    }
    for (GSList *link = dev->buses; link; link = link->next) {
        const Bus *bus = link->data;
        for (unsigned i = 0; i < bus->devices->len; i++)
            describe_irqs(bus->devices->pdata[i], out);
    }
}

static bool info_icount(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (!m->machine->icount)
        return error_set(err, "instructions are not counted; -icount does that");
    icount_info(m->machine->icount, out);
    return true;
}

static bool info_irq(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    for (unsigned i = 0; i < m->machine->devices->len; i++)
        describe_irqs(m->machine->devices->pdata[i], out);
    machine_unlock(m->machine);
    return true;
}

static bool info_version(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    g_string_append(out, RHEA_VERSION "\n");
    return true;
}

static bool info_name(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const char *name = m->machine->config.name;
    g_string_append_printf(out, "%s\n", name ? name : "");
    return true;
}

static bool info_uuid(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const char *uuid = m->machine->config.uuid;
    g_string_append_printf(out, "%s\n", uuid ? uuid : "00000000-0000-0000-0000-000000000000");
    return true;
}

static bool info_block(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    take_text(out, block_describe());
    return true;
}

/* What the guest has of the medium is under the machine lock, or stops under it. */
static bool eject(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    bool ok = block_slot_eject(args[1].text, args[0].given, err);
    machine_unlock(m->machine);
    return ok;
}

static bool change(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    bool ok = block_slot_change(args[0].text, args[1].text, args[2].given ? args[2].text : NULL,
                                args[3].given ? args[3].text : NULL, false, err);
    machine_unlock(m->machine);
    return ok;
}

static bool info_balloon(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    machine_lock(m->machine);
    bool ok = virtio_balloon_describe(m->machine, out, err);
    machine_unlock(m->machine);
    return ok;
}

static bool balloon(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (!args[0].number || args[0].number > UINT64_MAX >> 20)
        return error_set(err, "balloon: the guest's memory in MiB is needed, as in balloon 512");
    machine_lock(m->machine);
    bool ok = virtio_balloon_set(m->machine, args[0].number << 20, err);
    machine_unlock(m->machine);
    return ok;
}

static bool info_memdev(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    take_text(out, hostmem_describe());
    return true;
}

static bool info_numa(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    const MachineConfig *config = &m->machine->config;
    const Numa *numa = config->numa;
    g_string_append_printf(out, "%u nodes\n", numa ? numa->count : 0);
    for (unsigned n = 0; numa && n < numa->count; n++) {
        g_string_append_printf(out, "node %u cpus:", n);
        for (unsigned cpu = 0; cpu < config->cpus; cpu++) {
            if (numa_node_of_cpu(numa, cpu) == n)
                g_string_append_printf(out, " %u", cpu);
        }
        g_string_append_printf(out, "\nnode %u size: %" G_GUINT64_FORMAT " MB\n", n, numa->nodes[n].size >> 20);
    }
    return true;
}

static bool info_network(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    take_text(out, net_describe());
    return true;
}

static bool forward(const MonitorArg *args, bool add, GError **err)
{
    bool named = args[1].given;
    return net_forward(named ? args[0].text : NULL, args[named].text, add, err);
}

static bool hostfwd_add(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    return forward(args, true, err);
}

static bool hostfwd_remove(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    return forward(args, false, err);
}

static bool set_link(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    Netdev *n = net_find(args[0].text);
    bool up;
    if (!n)
        return error_set(err, "there is no netdev '%s'; info network lists them", args[0].text);
    if (!parse_bool(args[1].text, &up, err))
        return false;
    net_set_link(n, up);
    return true;
}

/* ---- looking around ---- */

static bool select_cpu(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (args[0].number >= m->machine->vcpus->len)
        return error_set(err, "cpu: there are CPUs 0 to %u", m->machine->vcpus->len - 1);
    m->cpu = args[0].number;
    return true;
}

static bool print_value(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    static const char *const formats[] = { "x%#" G_GINT64_MODIFIER "x\n", "d%" G_GINT64_FORMAT "\n",
                                           "u%" G_GUINT64_FORMAT "\n", "o%#" G_GINT64_MODIFIER "o\n" };
    char format = args[0].display.format ? args[0].display.format : 'd';
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (*formats[i] == format) {
            g_string_append_printf(out, formats[i] + 1, args[1].number);
            return true;
        }
    }
    return error_set(err, "print: one of the formats x, d, u, o is possible");
}

static bool set_log(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    if (!strcmp(args[0].text, "help")) {
        take_text(out, log_help());
        return true;
    }
    return log_set(strcmp(args[0].text, "none") ? args[0].text : NULL, err);
}

static bool set_log_file(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    return log_set_file(args[0].given ? args[0].text : NULL, err);
}

static bool set_trace(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    bool on;
    return parse_bool(args[1].text, &on, err) && trace_set(args[0].text, on, err);
}

static bool read_ringbuf(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    Chardev *chardev = chardev_find(args[0].text);
    if (!chardev || !chardev_is_ringbuf(chardev))
        return error_set(err, "ringbuf_read: there is no ringbuf '%s'", args[0].text);
    g_autofree char *buffer = g_malloc(MIN(args[1].number, 1 << 20));
    size_t n = chardev_ringbuf_read(chardev, buffer, MIN(args[1].number, 1 << 20));
    for (size_t i = 0; i < n; i++) {
        if (buffer[i] == '\\')
            g_string_append(out, "\\\\");
        else if (g_ascii_isprint(buffer[i]) || buffer[i] == '\n' || buffer[i] == '\t')
            g_string_append_c(out, buffer[i]);
        else
            g_string_append_printf(out, "\\u%04x", (uint8_t)buffer[i]);
    }
    g_string_append_c(out, '\n');
    return true;
}

/* ---- help and the table ---- */

static void help_line(const Command *c, const char *prefix, GString *out)
{
    g_autoptr(GString) head = g_string_new(prefix);
    g_string_append_printf(head, "%s%s%s", c->name, c->alias ? "|" : "", c->alias ? c->alias : "");
    g_auto(GStrv) specs = g_strsplit(c->args ? c->args : "", " ", -1);
    for (char **spec = specs; *spec && **spec; spec++) {
        const char *type = strchr(*spec, ':');
        bool optional = (*spec)[strlen(*spec) - 1] == '?';
        g_string_append_printf(head, optional ? " [%s%.*s]" : " %s%.*s", type[1] == '-' ? "-" : "", (int)(type - *spec),
                               *spec);
    }
    g_string_append_printf(out, "%s -- %s\n", head->str, c->help);
}

static bool help(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    bool found = false;
    for (const Command *c = monitor_commands; c->name; c++) {
        bool wanted =
            args[0].given && (!strcmp(c->name, args[0].text) || (c->alias && !strcmp(c->alias, args[0].text)));
        if (args[0].given && !wanted)
            continue;
        found = true;
        if (!wanted || !c->sub)
            help_line(c, "", out);
        for (const Command *s = wanted ? c->sub : NULL; s && s->name; s++)
            help_line(s, "info ", out);
    }
    return found || error_set(err, "there is no command '%s'; 'help' lists them", args[0].text);
}

static const Command info_commands[] = {
    { "balloon", NULL, NULL, "what the guest has of its memory (virtio-balloon)", info_balloon },
    { "block", NULL, NULL, "disks", info_block },
    { "cpus", NULL, NULL, "CPUs", info_cpus },
    { "icount", NULL, NULL, "instructions and virtual time (-icount)", info_icount },
    { "irq", NULL, NULL, "interrupt controllers: what is pending, how often it came", info_irq },
    { "jit", NULL, NULL, "what the translator did", info_jit },
    { "kvm", NULL, NULL, "whether KVM runs the guest, and what it returned for", info_kvm },
    { "mem", NULL, NULL, "virtual memory mappings", info_mem },
    { "memdev", NULL, NULL, "memory objects (-object memory-backend-...)", info_memdev },
    { "mice", NULL, NULL, "mice: which one is used, and how", command_info_mice },
    { "mtree", NULL, NULL, "memory regions and flat views", info_mtree },
    { "name", NULL, NULL, "name of the machine (-name)", info_name },
    { "network", NULL, NULL, "network back ends", info_network },
    { "numa", NULL, NULL, "NUMA nodes", info_numa },
    { "pci", NULL, NULL, "PCI functions and their BARs", command_info_pci },
    { "qtree", NULL, NULL, "devices and buses", info_qtree },
    { "registers", NULL, "a:-a?", "registers of the CPU, or with -a of all", info_registers },
    { "status", NULL, NULL, "is it running?", info_status },
    { "uuid", NULL, NULL, "UUID of the machine (-uuid)", info_uuid },
    { "version", NULL, NULL, "version of Rhea", info_version },
    { NULL },
};

const Command monitor_commands[] = {
    { "balloon", NULL, "target:i", "ask the guest to get along with this many MiB", balloon },
    { "change", NULL, "device:s filename:s format:s? mode:s?",
      "put another medium into a drive; mode: retain, read-only, read-write", change },
    { "cont", "c", NULL, "go on", cont },
    { "cpu", NULL, "index:i", "choose the CPU that info registers, x and $registers mean", select_cpu },
    { "device_add", NULL, "device:S", "add a device: driver[,id=ID][,property=value ...], as -device; help lists them",
      command_device_add },
    { "device_del", NULL, "id:s", "ask the guest to give up a device", command_device_del },
    { "drive_add", NULL, "address:s options:S",
      "add a disk for a device to come: dummy if=none,id=ID,file=..., as -drive", command_drive_add },
    { "eject", NULL, "force:-f? device:s", "take the medium out of a drive; -f: even if the guest has locked it",
      eject },
    { "gdbserver", NULL, "device:s?", "wait for a debugger on a device, tcp::1234 if none is given; none: no more",
      gdbserver },
    { "help", "?", "name:s?", "this list, or one command", help },
    { "hostfwd_add", NULL, "netdev_id_or_rule:s rule:s?", "forward a port: [tcp|udp]:[addr]:port-[addr]:port",
      hostfwd_add },
    { "hostfwd_remove", NULL, "netdev_id_or_rule:s rule:s?", "forward it no more: [tcp|udp]:[addr]:port",
      hostfwd_remove },
    { "info", NULL, NULL, "show something; 'help info' lists what", NULL, info_commands },
    { "log", NULL, "items:s", "log these items (see -d), or none", set_log },
    { "logfile", NULL, "filename:s?", "log to a file, or to standard error", set_log_file },
    { "mouse_button", NULL, "state:i", "press these mouse buttons: 1 left, 2 right, 4 middle", command_mouse_button },
    { "mouse_move", NULL, "dx:s dy:s dz:s?", "move the mouse (a tablet: to this place), turn its wheel",
      command_mouse_move },
    { "mouse_set", NULL, "index:i", "use this mouse of info mice", command_mouse_set },
    { "netdev_add", NULL, "netdev:S", "add a network back end: type,id=ID[,...], as -netdev", command_netdev_add },
    { "netdev_del", NULL, "id:s", "remove a network back end", command_netdev_del },
    { "nmi", NULL, NULL, "non-maskable interrupt to all CPUs", nmi },
    { "print", "p", "fmt:/? expr:l", "value of an expression ($reg is a register)", print_value },
    { "quit", "q", NULL, "leave", quit },
    { "ringbuf_read", NULL, "device:s size:i", "take characters out of a ringbuf character device", read_ringbuf },
    { "screendump", NULL, "filename:s format:-fs? device:s?", "write the screen (of a device) to a file: ppm or png",
      command_screendump },
    { "sendkey", NULL, "keys:s hold_time:i?", "press keys together, as in ctrl-alt-f1, for 100 or so many ms",
      command_sendkey },
    { "set_link", NULL, "name:s up:s", "plug in (on) or pull (off) the cable of a network back end", set_link },
    { "stop", "s", NULL, "pause", stop },
    { "system_powerdown", NULL, NULL, "press the power button", system_powerdown },
    { "system_reset", NULL, NULL, "reset the machine", system_reset },
    { "system_wakeup", NULL, NULL, "wake the guest from its sleep (suspend to RAM)", system_wakeup },
    { "trace-event", NULL, "name:s option:s", "turn trace points on or off", set_trace },
    { "x", NULL, "fmt:/? addr:l", "memory at a virtual address: /COUNT FORMAT SIZE, as in x /8xg $sp", command_x },
    { "xp", NULL, "fmt:/? addr:l", "memory at a physical address", command_xp },
    { NULL },
};
