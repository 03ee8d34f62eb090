/*
 * The command line's options: one table gives parsing and -h. Names and meanings are the reference's (qemu(1)).
 * SPDX-License-Identifier: MIT
 */
#include "ui/cli/options.h"
#include "block/block.h"
#include "hw/acpi/acpitable.h"
#include "hw/display/adapter.h"
#include "hw/firmware/smbios.h"
#include "hw/virtio/rng_backend.h"
#include "net/net.h"
#include "target/target.h"
#include "ui/chardev/chardev.h"
#include "ui/cli/drives.h"
#include "ui/cli/nic.h"
#include "ui/display/window.h"
#include "ui/gdbstub/gdbstub.h"
#include "util/error.h"
#include "util/guest_random.h"
#include "util/log.h"
#include "util/trace.h"
#include <stdio.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)

typedef struct Option {
    const char *names[3];
    const char *argument; /* NULL: none */
    const char *help;
    bool (*set)(CommandLine *c, const char *value, GError **err);
    size_t text; /* instead of set: offset of a const char * */
} Option;

static bool is_help(const char *value)
{
    return !strcmp(value, "help") || !strcmp(value, "?");
}

static bool print_text(CommandLine *c, char *text)
{
    fputs(text, stdout);
    g_free(text);
    c->done = true;
    return true;
}

static const Target *target_of(const CommandLine *c)
{
    return c->target ? target_find(c->target) : NULL;
}

/* ---- handlers ---- */

static bool set_target(CommandLine *c, const char *value, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Target *const *t = targets(); *t; t++)
        g_ptr_array_add(names, (char *)(*t)->name);
    g_ptr_array_add(names, NULL);
    if (!target_find(value))
        return error_unknown_name(err, "-target: guest", value, (const char *const *)names->pdata);
    c->target = value;
    return true;
}

static bool add_accel(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value)) {
        GString *out = g_string_new("Accelerators supported:\n");
        for (const AccelType *const *t = accel_types(); *t; t++) {
            g_autoptr(GError) why = NULL;
            g_string_append_printf(out, "%-6s %s\n", (*t)->name, (*t)->desc);
            if ((*t)->usable && !(*t)->usable(c->target, &why))
                g_string_append_printf(out, "       not here: %s\n", why->message);
        }
        return print_text(c, g_string_free(out, FALSE));
    }
    Opts *opts = opts_parse("-accel", value, "accel", err);
    if (!opts)
        return false;
    g_ptr_array_add(c->accels, opts);
    return true;
}

static bool enable_kvm(CommandLine *c, const char *value, GError **err)
{
    return add_accel(c, "kvm", err);
}

static char *machine_help(const CommandLine *c)
{
    GString *out = g_string_new("Supported machines are:\n");
    for (const MachineType *const *t = machine_types(); *t; t++) {
        if (!c->target || machine_type_find((*t)->name, c->target))
            g_string_append_printf(out, "%-20s %s\n", (*t)->name, (*t)->desc);
    }
    return g_string_free(out, FALSE);
}

static bool take_machine_key(void *opaque, const char *key, const char *value, GError **err)
{
    CommandLine *c = opaque;
    const struct {
        const char *key;
        const char **text;
    } texts[] = { { "type", &c->machine },
                  { "kernel", &c->config.kernel },
                  { "initrd", &c->config.initrd },
                  { "append", &c->config.append },
                  { "dtb", &c->config.dtb },
                  { "dumpdtb", &c->config.dumpdtb },
                  { "firmware", &c->config.firmware },
                  { "memory-backend", &c->config.ram_memory } };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (!strcmp(key, texts[i].key)) {
            *texts[i].text = g_intern_string(value);
            return true;
        }
    }
    if (!strcmp(key, "accel")) {
        g_auto(GStrv) names = g_strsplit(value, ":", -1);
        for (char **n = names; *n; n++) {
            if (!add_accel(c, *n, err))
                return false;
        }
        return true;
    }
    if (!c->config.machine_opts)
        c->config.machine_opts = opts_new("-machine");
    opts_add(c->config.machine_opts, key, value);
    return true;
}

static bool set_machine(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value))
        return print_text(c, machine_help(c));
    g_autoptr(Opts) opts = opts_parse("-machine", value, "type", err);
    return opts && opts_foreach(opts, take_machine_key, c, err);
}

static bool set_cpu(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value)) {
        const Target *t = target_of(c);
        return t ? print_text(c, t->cpu_help()) : error_set(err, "-cpu help: which guest? Give -target before it");
    }
    c->config.cpu_model = value;
    return true;
}

/* What is not given follows from the rest, cores before sockets before threads, as the reference has it. */
static bool check_topology(uint64_t *cpus, uint64_t *max, uint64_t *sockets, uint64_t *cores, uint64_t *threads,
                           GError **err)
{
    uint64_t known = *max ? *max : *cpus;
    if (known && !*cores) {
        *sockets = MAX(*sockets, 1);
        *threads = MAX(*threads, 1);
        *cores = known / (*sockets * *threads);
    } else if (known && !*sockets) {
        *threads = MAX(*threads, 1);
        *sockets = known / (*cores * *threads);
    }
    *sockets = *sockets || known ? *sockets : 1;
    *cores = *cores || known ? *cores : 1;
    *threads = *threads ? *threads : known && *sockets && *cores ? known / (*sockets * *cores) : 1;
    uint64_t product = *sockets * *cores * *threads;
    *max = *max ? *max : *cpus ? *cpus : product;
    *cpus = *cpus ? *cpus : *max;
    if (*max < *cpus)
        return error_set(err, "-smp: maxcpus=%u is less than cpus=%u", (unsigned)*max, (unsigned)*cpus);
    return product == *max || error_set(err, "-smp: sockets=%u x cores=%u x threads=%u is not the number of CPUs (%u)",
                                        (unsigned)*sockets, (unsigned)*cores, (unsigned)*threads, (unsigned)*max);
}

static bool set_smp(CommandLine *c, const char *value, GError **err)
{
    static const char *const known[] = { "cpus", "maxcpus", "sockets", "cores", "threads", NULL };
    g_autoptr(Opts) opts = opts_parse("-smp", value, "cpus", err);
    uint64_t cpus = 0, max = 0, sockets = 0, cores = 0, threads = 0;
    if (!opts || !opts_uint(opts, "cpus", &cpus, 1, 65535, err) || !opts_uint(opts, "maxcpus", &max, 1, 65535, err) ||
        !opts_uint(opts, "sockets", &sockets, 1, 65535, err) || !opts_uint(opts, "cores", &cores, 1, 65535, err) ||
        !opts_uint(opts, "threads", &threads, 1, 65535, err) || !opts_finish(opts, known, err))
        return false;
    if (!check_topology(&cpus, &max, &sockets, &cores, &threads, err))
        return false;
    c->config.cpus = cpus;
    c->config.max_cpus = max;
    c->config.sockets = sockets;
    c->config.cores = cores;
    c->config.threads = threads;
    return true;
}

static bool set_memory(CommandLine *c, const char *value, GError **err)
{
    static const char *const known[] = { "size", NULL };
    g_autoptr(Opts) opts = opts_parse("-m", value, "size", err);
    if (!opts)
        return false;
    const char *size = opts_string(opts, "size", NULL);
    if (!size || !parse_size(size, MIB, &c->config.ram_size, err)) {
        g_prefix_error(err, "-m: ");
        return size ? false : error_set(err, "-m: needs a size, as in -m 512 or -m 2G");
    }
    c->config.ram_size = (c->config.ram_size + 4095) & ~4095ull;
    if (!c->config.ram_size)
        return error_set(err, "-m: a machine needs some memory, as in -m 512");
    return opts_finish(opts, known, err);
}

static bool add_numa(CommandLine *c, const char *value, GError **err)
{
    return numa_option(&c->config.numa, value, err);
}

static bool add_object(CommandLine *c, const char *value, GError **err)
{
    static const char *const names[] = { "memory-backend-file", "memory-backend-memfd", "memory-backend-ram",
                                         "rng-builtin",         "rng-random",           NULL };
    if (is_help(value)) {
        g_autofree char *list = g_strjoinv("\n  ", (char **)names);
        return print_text(c, g_strdup_printf("Objects that can be made:\n  %s\n", list));
    }
    g_autoptr(Opts) opts = opts_parse("-object", value, "qom-type", err);
    if (!opts)
        return false;
    const char *type = opts_string(opts, "qom-type", "");
    if (hostmem_is_type(type))
        return hostmem_add(opts, err);
    return rng_backend_is_type(type) ? rng_backend_add(opts, err)
                                     : error_unknown_name(err, "-object: type", type, names);
}

static bool add_device(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value))
        return print_text(c, device_help(NULL));
    g_autofree char *name = g_strndup(value, strcspn(value, ","));
    if (g_str_has_suffix(value, ",help") || g_str_has_suffix(value, ",?")) {
        const DeviceType *type = device_type_resolve(NULL, name, NULL);
        return type ? print_text(c, device_help(type))
                    : error_set(err, "-device: '%s' is not a device; -device help lists them", name);
    }
    Opts *opts = opts_parse("-device", value, "driver", err);
    if (!opts)
        return false;
    g_ptr_array_add(c->devices, opts);
    return true;
}

static bool add_chardev(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value))
        return print_text(c, chardev_help());
    g_autoptr(Opts) opts = opts_parse("-chardev", value, "backend", err);
    return opts && chardev_add(opts, err);
}

static bool add_blockdev(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value))
        return print_text(c, block_driver_help());
    g_autoptr(Opts) opts = opts_parse("-blockdev", value, "driver", err);
    return opts && block_add(opts, err);
}

/* Opened once all options are known: -snapshot may follow. */
static bool add_drive(CommandLine *c, const char *value, GError **err)
{
    Opts *opts = opts_parse("-drive", value, "file", err);
    if (!opts)
        return false;
    g_ptr_array_add(c->drives, opts);
    return true;
}

#define SHORT_DRIVE(option)                                                   \
    static bool set_##option(CommandLine *c, const char *value, GError **err) \
    {                                                                         \
        return drives_short_option(c, #option, value, err);                   \
    }
SHORT_DRIVE(hda)
SHORT_DRIVE(hdb)
SHORT_DRIVE(hdc)
SHORT_DRIVE(hdd)
SHORT_DRIVE(cdrom)
SHORT_DRIVE(fda)
SHORT_DRIVE(fdb)
SHORT_DRIVE(pflash)

static bool set_snapshot(CommandLine *c, const char *value, GError **err)
{
    c->snapshot = true;
    return true;
}

static bool set_rtc(CommandLine *c, const char *value, GError **err)
{
    opts_free(c->config.rtc);
    c->config.rtc = opts_parse("-rtc", value, NULL, err);
    return c->config.rtc;
}

static bool set_icount(CommandLine *c, const char *value, GError **err)
{
    opts_free(c->config.icount);
    c->config.icount = opts_parse("-icount", value, "shift", err);
    return c->config.icount;
}

static bool set_seed(CommandLine *c, const char *value, GError **err)
{
    uint64_t seed;
    if (!parse_uint(value, &seed, NULL))
        return error_set(err, "-seed: '%s' is not a number from 0 to 2^64-1", value);
    guest_random_seed(seed);
    return true;
}

/* DRIVER.PROPERTY=VALUE, or driver=,property=,value= */
static bool add_global(CommandLine *c, const char *value, GError **err)
{
    static const char *const known[] = { "driver", "property", "value", NULL };
    const char *dot = strchr(value, '.'), *equals = strchr(value, '=');
    if (dot && equals && dot < equals) {
        g_autofree char *driver = g_strndup(value, dot - value), *name = g_strndup(dot + 1, equals - dot - 1);
        return device_add_global(driver, name, equals + 1, err);
    }
    g_autoptr(Opts) opts = opts_parse("-global", value, NULL, err);
    if (!opts)
        return false;
    const char *driver = opts_string(opts, "driver", NULL), *name = opts_string(opts, "property", NULL),
               *text = opts_string(opts, "value", NULL);
    if (!driver || !name || !text)
        return error_set(err, "-global: DRIVER.PROPERTY=VALUE is needed, as in virtio-blk-pci.num-queues=2");
    return opts_finish(opts, known, err) && device_add_global(driver, name, text, err);
}

static bool add_netdev(CommandLine *c, const char *value, GError **err)
{
    return is_help(value) ? print_text(c, net_help()) : net_netdev_option(value, err);
}

static bool add_nic(CommandLine *c, const char *value, GError **err)
{
    bool help = is_help(value) || g_str_has_suffix(value, "model=help");
    return help ? print_text(c, net_nic_help()) : net_nic_option(value, err);
}

static bool set_net(CommandLine *c, const char *value, GError **err)
{
    return net_legacy_option(value, err);
}

/* -debugcon and -parallel: a character device of DEV's kind, and the ISA device that writes to it. */
static bool add_isa_console(CommandLine *c, const char *option, const char *driver, const char *value, GError **err)
{
    static unsigned count;
    g_autofree char *label = g_strdup_printf("%s%u", option + 1, count++);
    Chardev *chardev;
    if (!chardev_from_short(label, value, &chardev, err)) {
        g_prefix_error(err, "%s: ", option);
        return false;
    }
    if (!chardev)
        return true; /* none */
    Opts *opts = opts_new(option);
    opts_add(opts, "driver", driver);
    opts_add(opts, "chardev", chardev_id(chardev));
    g_ptr_array_add(c->devices, opts);
    return true;
}

static bool add_debugcon(CommandLine *c, const char *value, GError **err)
{
    return add_isa_console(c, "-debugcon", "isa-debugcon", value, err);
}

static bool add_parallel(CommandLine *c, const char *value, GError **err)
{
    return add_isa_console(c, "-parallel", "isa-parallel", value, err);
}

static bool add_serial(CommandLine *c, const char *value, GError **err)
{
    g_ptr_array_add(c->serials, (char *)value);
    return true;
}

static bool add_monitor(CommandLine *c, const char *value, GError **err)
{
    g_ptr_array_add(c->monitors, (char *)value);
    return true;
}

/* [chardev=]ID[,mode=readline] */
static bool add_mon(CommandLine *c, const char *value, GError **err)
{
    static const char *const known[] = { "chardev", "mode", NULL }, *const modes[] = { "readline", NULL };
    g_autoptr(Opts) opts = opts_parse("-mon", value, "chardev", err);
    unsigned mode;
    const char *id = opts ? opts_string(opts, "chardev", NULL) : NULL;
    if (!opts || !opts_enum(opts, "mode", modes, &mode, err) || !opts_finish(opts, known, err))
        return false;
    if (!id)
        return error_set(err, "-mon: chardev= is missing: the id of a -chardev");
    g_autofree char *text = g_strdup_printf("chardev:%s", id);
    return add_monitor(c, g_intern_string(text), err);
}

static bool set_gdb(CommandLine *c, const char *value, GError **err)
{
    c->gdb = GDBSTUB_DEFAULT;
    return true;
}

static bool set_escape(CommandLine *c, const char *value, GError **err)
{
    uint64_t key;
    if (!parse_uint(value, &key, err) || key > 255) {
        g_clear_error(err);
        return error_set(err, "-echr: '%s': the code of a character is needed, as in 0x14 for Ctrl-T", value);
    }
    chardev_set_escape(key);
    return true;
}

static bool set_daemonize(CommandLine *c, const char *value, GError **err)
{
    c->daemonize = true;
    return true;
}

/* [name=]NAME,file=FILE or string=TEXT */
static bool add_fw_cfg(CommandLine *c, const char *value, GError **err)
{
    Opts *opts = opts_parse("-fw_cfg", value, "name", err);
    if (!opts)
        return false;
    g_ptr_array_add(c->fw_cfg, opts);
    return true;
}

static bool set_boot(CommandLine *c, const char *value, GError **err)
{
    static const char *const known[] = { "order",       "once",           "menu",   "splash",
                                         "splash-time", "reboot-timeout", "strict", NULL };
    g_autoptr(Opts) opts = opts_parse("-boot", value, "order", err);
    bool flag;
    uint64_t time;
    if (!opts)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        const char *order = opts_string(opts, known[i], "");
        for (const char *drive = order; *drive; drive++) {
            if (*drive < 'a' || *drive > 'p' || strchr(order, *drive) < drive)
                return error_set(err,
                                 "-boot: %s=%s: letters are needed, each once: a floppy, c disk, d CD-ROM, n network",
                                 known[i], order);
        }
    }
    opts_string(opts, "splash", NULL);
    if (!opts_bool(opts, "menu", &flag, err) || !opts_bool(opts, "strict", &flag, err) ||
        !opts_uint(opts, "splash-time", &time, 0, UINT16_MAX, err) ||
        !opts_uint(opts, "reboot-timeout", &time, 0, UINT16_MAX, err) || !opts_finish(opts, known, err))
        return false;
    opts_free(c->config.boot);
    c->config.boot = g_steal_pointer(&opts);
    return true;
}

static bool add_smbios(CommandLine *c, const char *value, GError **err)
{
    return smbios_option(&c->config.smbios, value, err);
}

static bool add_acpitable(CommandLine *c, const char *value, GError **err)
{
    GByteArray *table = acpitable_option(value, err);
    if (!table)
        return false;
    if (!c->config.acpi_tables)
        c->config.acpi_tables = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    g_ptr_array_add(c->config.acpi_tables, table);
    return true;
}

static bool set_vga(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value))
        return print_text(c, vga_help());
    c->config.vga = value;
    return vga_check(value, err);
}

static bool set_name(CommandLine *c, const char *value, GError **err)
{
    static const char *const known[] = { "guest", NULL };
    g_autoptr(Opts) opts = opts_parse("-name", value, "guest", err);
    if (!opts)
        return false;
    c->config.name = g_intern_string(opts_string(opts, "guest", ""));
    return opts_finish(opts, known, err);
}

static bool set_uuid(CommandLine *c, const char *value, GError **err)
{
    if (!g_uuid_string_is_valid(value))
        return error_set(err, "-uuid: '%s' is not a UUID, as in 550e8400-e29b-41d4-a716-446655440000", value);
    c->config.uuid = value;
    return true;
}

static bool set_nographic(CommandLine *c, const char *value, GError **err)
{
    c->config.nographic = true;
    return true;
}
static bool set_display(CommandLine *c, const char *value, GError **err)
{
    if (is_help(value))
        return print_text(c, display_help());
    c->display = value;
    return display_check(value, err);
}
static bool set_no_reboot(CommandLine *c, const char *value, GError **err)
{
    c->config.no_reboot = true;
    return true;
}
static bool set_no_shutdown(CommandLine *c, const char *value, GError **err)
{
    c->config.no_shutdown = true;
    return true;
}
static bool set_nodefaults(CommandLine *c, const char *value, GError **err)
{
    c->config.nodefaults = true;
    return true;
}
static bool set_action(CommandLine *c, const char *value, GError **err)
{
    static const char *const reboot[] = { "reset", "shutdown", NULL },
                             *const shutdown[] = { "poweroff", "pause", NULL },
                             *const panic[] = { "shutdown", "pause", "exit-failure", "none", NULL },
                             *const watchdog[] = { "reset",      "shutdown", "poweroff", "pause",
                                                   "inject-nmi", "debug",    "none",     NULL },
                             *const known[] = { "reboot", "shutdown", "panic", "watchdog", NULL };
    g_autoptr(Opts) opts = opts_parse("-action", value, NULL, err);
    unsigned r = c->config.on_reboot, s = c->config.on_shutdown, p = c->config.on_panic, w = c->config.on_watchdog;
    if (!opts || !opts_enum(opts, "reboot", reboot, &r, err) || !opts_enum(opts, "shutdown", shutdown, &s, err) ||
        !opts_enum(opts, "panic", panic, &p, err) || !opts_enum(opts, "watchdog", watchdog, &w, err) ||
        !opts_finish(opts, known, err))
        return false;
    c->config.on_reboot = r;
    c->config.on_shutdown = s;
    c->config.on_panic = p;
    c->config.on_watchdog = w;
    return true;
}
static bool set_paused(CommandLine *c, const char *value, GError **err)
{
    c->config.start_paused = true;
    return true;
}
static bool set_log(CommandLine *c, const char *value, GError **err)
{
    return is_help(value) ? print_text(c, log_help()) : log_set(value, err);
}
static bool set_log_file(CommandLine *c, const char *value, GError **err)
{
    return log_set_file(value, err);
}
static bool set_trace(CommandLine *c, const char *value, GError **err)
{
    return is_help(value) ? print_text(c, trace_help()) : trace_set(value, true, err);
}
static bool print_version(CommandLine *c, const char *value, GError **err)
{
    return print_text(c, g_strdup("Rhea " RHEA_VERSION "\n"));
}
static bool print_help(CommandLine *c, const char *value, GError **err);

#define TEXT(field) .text = offsetof(CommandLine, field)
static const Option options[] = {
    { { "h", "help" }, NULL, "this help", print_help },
    { { "version" }, NULL, "version", print_version },
    { { "target" }, "NAME", "guest: riscv64, riscv32, x86_64, i386 (else by the program's name)", set_target },
    { { "M", "machine" }, "[type=]NAME[,KEY=VALUE...]", "machine; help lists them", set_machine },
    { { "enable-kvm" }, NULL, "the same as -accel kvm", enable_kvm },
    { { "accel" },
      "[accel=]NAME[,KEY=VALUE...]",
      "accelerator; help lists them; repeated: the first that works",
      add_accel },
    { { "cpu" }, "MODEL[,+FEATURE,-FEATURE]", "CPU model; help lists them", set_cpu },
    { { "smp" }, "[cpus=]N[,maxcpus=,sockets=,cores=,threads=]", "number of CPUs", set_smp },
    { { "m" }, "[size=]SIZE", "RAM, in MiB if no suffix is given", set_memory },
    { { "numa" },
      "node[,nodeid=,cpus=,mem=,memdev=] | cpu,node-id=,core-id= | dist,src=,dst=,val=",
      "which CPUs and which memory are near each other",
      add_numa },
    { { "object" }, "TYPE,id=ID[,KEY=VALUE...]", "make an object; help lists the types", add_object },
    { { "kernel" }, "FILE", "kernel to start", .text = offsetof(CommandLine, config.kernel) },
    { { "initrd" }, "FILE", "initial RAM disk for it", .text = offsetof(CommandLine, config.initrd) },
    { { "append" }, "TEXT", "its command line", .text = offsetof(CommandLine, config.append) },
    { { "dtb" }, "FILE", "device tree instead of the machine's own", .text = offsetof(CommandLine, config.dtb) },
    { { "bios" }, "FILE", "firmware; none: start the kernel directly", .text = offsetof(CommandLine, config.firmware) },
    { { "boot" },
      "[order=]DRIVES[,once=,menu=,splash=,splash-time=,reboot-timeout=,strict=]",
      "what firmware boots from: a floppy, c disk, d CD-ROM, n network",
      set_boot },
    { { "smbios" }, "type=NUMBER,KEY=VALUE... | file=FILE", "fields of SMBIOS tables, or a whole one", add_smbios },
    { { "acpitable" },
      "[sig=,rev=,oem_id=,oem_table_id=,oem_rev=,asl_compiler_id=,asl_compiler_rev=,]data=FILE[:FILE] | file=FILE",
      "add an ACPI table, without or with its header",
      add_acpitable },
    { { "vga" }, "NAME", "graphics adapter; help lists them", set_vga },
    { { "drive" },
      "file=FILE[,format=raw,if=,id=,media=,readonly=,snapshot=,cache=,aio=,discard=,werror=,rerror=]",
      "add a disk; if=none: for a -device",
      add_drive },
    { { "hda" }, "FILE", "a disk, the first of the machine's default interface", set_hda },
    { { "hdb" }, "FILE", "the second", set_hdb },
    { { "hdc" }, "FILE", "the third", set_hdc },
    { { "hdd" }, "FILE", "the fourth", set_hdd },
    { { "cdrom" }, "FILE", "a CD-ROM, in the third one's place", set_cdrom },
    { { "fda" }, "FILE", "a floppy disk", set_fda },
    { { "fdb" }, "FILE", "a second floppy disk", set_fdb },
    { { "pflash" }, "FILE", "flash memory of the machine's firmware", set_pflash },
    { { "blockdev" },
      "DRIVER,node-name=NAME[,KEY=VALUE...]",
      "add a block node; help lists the drivers",
      add_blockdev },
    { { "snapshot" }, NULL, "keep what is written to disks in temporary files", set_snapshot },
    { { "netdev" }, "BACKEND,id=ID[,KEY=VALUE...]", "add a network back end; help lists them", add_netdev },
    { { "nic" },
      "[BACKEND,model=MODEL,mac=MAC][,KEY=VALUE...]",
      "add a network back end and its device; none: no default one; help lists the models",
      add_nic },
    { { "net" },
      "nic[,model=,macaddr=,netdev=] | BACKEND[,KEY=VALUE...] | none",
      "the old form of -nic: the first NIC belongs to the first back end, and so on",
      set_net },
    { { "global" }, "DRIVER.PROPERTY=VALUE", "default of a property for all devices of a type", add_global },
    { { "rtc" }, "[base=utc|localtime|DATE][,clock=host|rt|vm]", "what time real-time clocks show", set_rtc },
    { { "icount" },
      "[shift=]N|auto[,align=on|off][,sleep=on|off]",
      "virtual time counts instructions, each 2^N ns",
      set_icount },
    { { "seed" }, "NUMBER", "random numbers that guests get follow from it", set_seed },
    { { "device" }, "DRIVER[,KEY=VALUE...]", "add a device; help lists them, DRIVER,help its properties", add_device },
    { { "chardev" }, "BACKEND,id=ID[,KEY=VALUE...]", "add a character device; help lists the back ends", add_chardev },
    { { "serial" },
      "DEV",
      "serial port: stdio, null, none, vc, pty[:LINK], file:PATH, pipe:PATH, tcp:[HOST]:PORT[,...], telnet:..., "
      "unix:PATH[,...], /dev/TTY, chardev:ID; mon:DEV shares it",
      add_serial },
    { { "parallel" }, "DEV", "parallel port of a PC: any of -serial's", add_parallel },
    { { "debugcon" }, "DEV", "debug console of a PC (port e9): any of -serial's", add_debugcon },
    { { "monitor" }, "DEV", "monitor there: any of -serial's", add_monitor },
    { { "mon" }, "[chardev=]ID[,mode=readline]", "monitor on a -chardev", add_mon },
    { { "echr" }, "CODE", "escape key of mux=on and mon: instead of 1 (Ctrl-A)", set_escape },
    { { "nographic" }, NULL, "no window; serial port on the terminal", set_nographic },
    { { "display" }, "none|sdl", "a window or none; help lists them", set_display },
    { { "nodefaults" }, NULL, "no default devices", set_nodefaults },
    { { "no-reboot" }, NULL, "leave instead of resetting", set_no_reboot },
    { { "no-shutdown" }, NULL, "stop instead of leaving when the guest powers off", set_no_shutdown },
    { { "action" },
      "EVENT=ACTION",
      "reboot=reset|shutdown, shutdown=poweroff|pause, panic=shutdown|pause|exit-failure|none, "
      "watchdog=reset|shutdown|poweroff|pause|inject-nmi|debug|none",
      set_action },
    { { "S" }, NULL, "do not start until told to", set_paused },
    { { "gdb" }, "DEV", "wait for a debugger there: tcp::1234, or any of -serial's", TEXT(gdb) },
    { { "s" }, NULL, "short for -gdb " GDBSTUB_DEFAULT, set_gdb },
    { { "name" }, "[guest=]TEXT", "name of the machine", set_name },
    { { "uuid" }, "UUID", "UUID of the machine", set_uuid },
    { { "fw_cfg" }, "[name=]NAME,file=FILE|string=TEXT", "a file for the firmware and the guest", add_fw_cfg },
    { { "d" }, "ITEM,...", "log; help lists the items", set_log },
    { { "D" }, "FILE", "log to a file", set_log_file },
    { { "trace" }, "PATTERN", "turn on trace points; help lists them", set_trace },
    { { "daemonize" }, NULL, "go on in the background once the machine is built", set_daemonize },
    { { "pidfile" }, "FILE", "write the process ID there", TEXT(pidfile) },
};

static bool print_help(CommandLine *c, const char *value, GError **err)
{
    printf("Rhea " RHEA_VERSION
           ": system emulator\nusage: rhea -target GUEST [OPTIONS]   or   rhea-system-GUEST [OPTIONS]\n\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        const Option *o = &options[i];
        g_autofree char *head = g_strdup_printf("-%s%s%s %s", o->names[0], o->names[1] ? ", -" : "",
                                                o->names[1] ? o->names[1] : "", o->argument ? o->argument : "");
        printf("%-46s %s\n", head, o->help);
    }
    c->done = true;
    return true;
}

static const Option *find_option(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        for (unsigned n = 0; n < 3 && options[i].names[n]; n++) {
            if (!strcmp(options[i].names[n], name))
                return &options[i];
        }
    }
    return NULL;
}

static bool unknown_option(const char *word, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        for (unsigned n = 0; n < 3 && options[i].names[n]; n++)
            g_ptr_array_add(names, (char *)options[i].names[n]);
    }
    g_ptr_array_add(names, NULL);
    const char *near = nearest_name(word + strspn(word, "-"), (const char *const *)names->pdata);
    return error_set(err, "%s: no such option%s%s%s", word, near ? "; did you mean '-" : "; -h lists them",
                     near ? near : "", near ? "'?" : "");
}

bool command_line_parse(CommandLine *c, int argc, char **argv, GError **err)
{
    const char *system = strstr(argv[0], "-system-");
    *c = (CommandLine){ .accels = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free),
                        .devices = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free),
                        .drives = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free),
                        .fw_cfg = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free),
                        .monitors = g_ptr_array_new(),
                        .serials = g_ptr_array_new() };
    c->config.cpus = c->config.max_cpus = 1;
    if (system && target_find(system + strlen("-system-")))
        c->target = system + strlen("-system-");
    for (int i = 1; i < argc && !c->done; i++) {
        const char *word = argv[i];
        if (*word != '-')
            return error_set(err, "'%s' is not an option; -h lists them", word);
        const Option *o = find_option(word + 1 + (word[1] == '-'));
        if (!o)
            return unknown_option(word, err);
        if (o->argument && i + 1 == argc)
            return error_set(err, "-%s: needs an argument: %s", o->names[0], o->argument);
        const char *value = o->argument ? argv[++i] : NULL;
        if (o->set && !o->set(c, value, err))
            return false;
        if (!o->set)
            *(const char **)((char *)c + o->text) = value;
    }
    return true;
}

void command_line_free(CommandLine *c)
{
    if (!c->accels)
        return;
    g_ptr_array_free(c->accels, TRUE);
    g_ptr_array_free(c->devices, TRUE);
    g_ptr_array_free(c->drives, TRUE);
    opts_free(c->config.rtc);
    opts_free(c->config.icount);
    opts_free(c->config.boot);
    smbios_free(c->config.smbios);
    if (c->config.acpi_tables)
        g_ptr_array_unref(c->config.acpi_tables);
    g_ptr_array_free(c->fw_cfg, TRUE);
    g_ptr_array_free(c->monitors, TRUE);
    g_ptr_array_free(c->serials, TRUE);
    opts_free(c->config.machine_opts);
    g_free(c->config.numa);
    hostmem_remove_all();
    rng_backend_remove_all();
}
