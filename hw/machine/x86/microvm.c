/*
 * Machine microvm: a PC without PCI and most of what is old: virtio over MMIO, one serial port, ACPI without fixed
 * hardware (or, with acpi=off, a MultiProcessor Specification 1.4 table), kernels started directly or by qboot.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/ged.h"
#include "hw/machine/x86/x86_machine.h"
#include "hw/timer/i8254.h"
#include "hw/virtio/virtio_mmio.h"
#include "target/x86/x86.h"
#include "util/error.h"
#include <inttypes.h>
#include <string.h>

enum { SLOTS = 8, VIRTIO_IRQ_ACPI = 16, VIRTIO_IRQ_ISA = 5, IRQ_RTC = 8 };
enum { MP_AT = 0xf2000, MP_PROCESSOR = 0, MP_BUS = 1, MP_IOAPIC = 2, MP_INTERRUPT = 3, MP_LOCAL = 4 };

typedef struct Microvm {
    X86Machine x;
    unsigned has_rtc, has_pit, has_pic; /* properties: SWITCH_* */
    bool has_serial, cmdline;           /* properties */
    Ged *ged;
    IsaBridge *bridge;
} Microvm;

static bool has_acpi(const Microvm *m)
{
    return m->x.acpi != SWITCH_OFF;
}

static unsigned virtio_irq(const Microvm *m)
{
    return has_acpi(m) ? VIRTIO_IRQ_ACPI : VIRTIO_IRQ_ISA;
}

/* ---- devices ---- */

static bool add_isa(Microvm *m, GError **err)
{
    X86Machine *x = &m->x;
    Pit *pit = NULL;
    if (!(m->bridge = x86_place(x, &isabus_bridge_type, NULL, NULL, err)))
        return false;
    for (unsigned n = 0; n < ISA_IRQS; n++)
        m->bridge->isa.irqs[n] = gsi_input(&x->gsi, n);
    if (m->has_pit != SWITCH_OFF && !(pit = x86_place(x, &i8254_type, NULL, NULL, err)))
        return false;
    if (pit)
        pit->irq = gsi_input(&x->gsi, 0);
    if (m->has_rtc != SWITCH_OFF && !(x->rtc = x86_place(x, &mc146818rtc_type, NULL, NULL, err)))
        return false;
    if (x->rtc)
        x->rtc->irq = isa_irq(m->bridge->isa.bus, IRQ_RTC);
    return !m->has_serial || x86_add_serials(x, m->bridge->isa.bus, err);
}

static bool add_virtio(Microvm *m, GError **err)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        VirtioMmio *slot = x86_place(&m->x, &virtio_mmio_type, NULL, NULL, err);
        if (!slot)
            return false;
        slot->irq = gsi_input(&m->x.gsi, virtio_irq(m) + i);
        mem_add(&m->x.machine.root, PC_VIRTIO_BASE + i * PC_VIRTIO_SIZE, &slot->mmio, 1);
    }
    return true;
}

static bool add_ged(Microvm *m, GError **err)
{
    if (!has_acpi(m))
        return true;
    if (!(m->ged = x86_place(&m->x, &ged_type, NULL, NULL, err)))
        return false;
    m->ged->irq = gsi_input(&m->x.gsi, PC_GED_IRQ);
    mem_add(&m->x.machine.root, PC_GED_BASE, &m->ged->mmio, 1);
    return true;
}

static void describe(X86Machine *x, PcAcpiInfo *info)
{
    const Microvm *m = (const Microvm *)x;
    info->virtio_slots = SLOTS;
    info->virtio_irq = virtio_irq(m);
}

/* ---- MultiProcessor Specification 1.4, chapter 4 ---- */

typedef struct MpTable {
    uint8_t bytes[8192];
    unsigned length, entries;
} MpTable;

static void mp_put(MpTable *t, uint64_t value, unsigned bytes)
{
    g_assert(t->length + bytes <= sizeof(t->bytes));
    value = GUINT64_TO_LE(value);
    memcpy(t->bytes + t->length, &value, bytes);
    t->length += bytes;
}

static uint8_t mp_checksum(const uint8_t *p, unsigned length)
{
    uint8_t sum = 0;
    while (length--)
        sum += *p++;
    return -sum;
}

static void mp_interrupt(MpTable *t, unsigned entry, unsigned kind, unsigned irq, unsigned apic, unsigned pin)
{
    mp_put(t, entry, 1);
    mp_put(t, kind, 1);
    mp_put(t, 0, 2); /* as the bus has it */
    mp_put(t, 0, 1); /* bus 0 */
    mp_put(t, irq, 1);
    mp_put(t, apic, 1);
    mp_put(t, pin, 1);
    t->entries++;
}

static void mp_processors(MpTable *t, const X86Machine *x)
{
    enum { ENABLED = 1, BOOTSTRAP = 2, VERSION = 0x14 };
    for (unsigned i = 0; i < x->machine.config.cpus; i++) {
        uint32_t cpuid[4];
        x86_cpuid(((Vcpu *)x->machine.vcpus->pdata[i])->state, 1, 0, cpuid);
        mp_put(t, MP_PROCESSOR, 1);
        mp_put(t, x->apic_ids[i], 1);
        mp_put(t, VERSION, 1);
        mp_put(t, ENABLED | (i ? 0 : BOOTSTRAP), 1);
        mp_put(t, cpuid[0], 4);
        mp_put(t, cpuid[3], 4);
        mp_put(t, 0, 8);
        t->entries++;
    }
}

static void mp_head(MpTable *t, uint8_t ioapic_id)
{
    mp_put(t, MP_BUS, 1);
    mp_put(t, 0, 1);
    memcpy(t->bytes + t->length, "ISA   ", 6);
    t->length += 6;
    mp_put(t, MP_IOAPIC, 1);
    mp_put(t, ioapic_id, 1);
    mp_put(t, 0x11, 1);
    mp_put(t, 1, 1); /* enabled */
    mp_put(t, IOAPIC_BASE, 4);
    t->entries += 2;
}

/* The floating pointer at MP_AT, the table behind it. */
static bool place_mp_table(X86Machine *x, GError **err)
{
    enum { POINTER = 16, HEADER = 44, INT = 0, NMI = 1, EXTINT = 3 };
    static const char ids[] = "PCMP.. .RHEA    MICROVM     ";
    MpTable t = { .length = POINTER };
    uint8_t ioapic_id = x->apic_ids[x->machine.config.cpus - 1] + 1;
    memcpy(t.bytes, "_MP_", 4);
    t.bytes[5] = (MP_AT + POINTER) >> 8 & 0xff;
    t.bytes[4] = (MP_AT + POINTER) & 0xff;
    t.bytes[6] = (MP_AT + POINTER) >> 16;
    t.bytes[8] = 1; /* of 16 bytes */
    t.bytes[9] = 4; /* 1.4 */
    t.bytes[10] = mp_checksum(t.bytes, POINTER);
    uint8_t *head = t.bytes + POINTER;
    memcpy(head, ids, 28);
    t.length += HEADER;
    mp_processors(&t, x);
    mp_head(&t, ioapic_id);
    for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
        if (irq != 2)
            mp_interrupt(&t, MP_INTERRUPT, INT, irq, ioapic_id, irq ? irq : 2);
    }
    mp_interrupt(&t, MP_LOCAL, EXTINT, 0, 0, 0);
    mp_interrupt(&t, MP_LOCAL, NMI, 0, 0xff, 1);
    uint16_t length = GUINT16_TO_LE(t.length - POINTER), entries = GUINT16_TO_LE(t.entries);
    memcpy(head + 4, &length, 2);
    head[6] = 4;
    head[7] = 0;
    memcpy(head + 34, &entries, 2);
    memcpy(head + 36, &(uint32_t){ GUINT32_TO_LE(PC_LAPIC_BASE) }, 4);
    head[7] = mp_checksum(head, t.length - POINTER);
    return as_load_image(&x->machine.memory, MP_AT, t.bytes, t.length, err);
}

/* The command line tells Linux the time stamp counter's frequency: there is only the 8254 to measure it with, which it
 * polls for a few ms without being disturbed, or it has no clock and hangs. On a busy host it would be disturbed.
 * Without ACPI it tells where virtio devices are, too. */
static void add_to_cmdline(Microvm *m)
{
    MachineConfig *config = &m->x.machine.config;
    const CpuState *cpu = ((Vcpu *)m->x.machine.vcpus->pdata[0])->state;
    GString *line = g_string_new(config->append);
    if (!strstr(line->str, "tsc_early_khz="))
        g_string_append_printf(line, "%stsc_early_khz=%" PRIu64, line->len ? " " : "", x86_tsc_frequency(cpu) / 1000);
    for (unsigned i = 0; !has_acpi(m) && i < SLOTS; i++)
        g_string_append_printf(line, " virtio_mmio.device=%u@0x%x:%u", PC_VIRTIO_SIZE,
                               (unsigned)(PC_VIRTIO_BASE + i * PC_VIRTIO_SIZE), virtio_irq(m) + i);
    config->append = g_intern_string(line->str);
    g_string_free(line, TRUE);
}

/* ---- machine ---- */

static bool microvm_init(Machine *machine, GError **err)
{
    Microvm *m = (Microvm *)machine;
    X86Machine *x = &m->x;
    x->board = PC_MICROVM;
    x->describe = describe;
    x->rom_space = &machine->root;
    if (m->has_pic == SWITCH_OFF && m->has_pit == SWITCH_ON)
        return error_set(err, "-machine: pit=on needs pic=on: the timer's interrupt goes there");
    if (!x86_add_ram(x, 0xc0000000, 0xc0000000, err) || !x86_add_hub(x, err) || !x86_add_cpus(x, err))
        return false;
    if (machine->config.kernel && m->cmdline)
        add_to_cmdline(m);
    return add_isa(m, err) && add_virtio(m, err) && add_ged(m, err) && x86_add_fw_cfg(x, err) &&
           x86_add_interrupts(x, m->has_pic != SWITCH_OFF, true, err) &&
           x86_add_firmware(x, has_acpi(m) ? "bios-microvm.bin" : "qboot.rom", err);
}

static bool microvm_load(Machine *machine, GError **err)
{
    Microvm *m = (Microvm *)machine;
    return x86_load(machine, err) && (has_acpi(m) || !m->x.direct || place_mp_table(&m->x, err));
}

static void powerdown(Machine *machine)
{
    Microvm *m = (Microvm *)machine;
    if (m->ged)
        ged_power_button(m->ged);
}

static const Prop props[] = {
    X86_PROPS(Microvm),
    PROP(Microvm, ENUM, "rtc", has_rtc, .names = x86_switch_names, .help = "real-time clock"),
    PROP(Microvm, ENUM, "pit", has_pit, .names = x86_switch_names, .help = "8254 timer"),
    PROP(Microvm, ENUM, "pic", has_pic, .names = x86_switch_names, .help = "8259 interrupt controllers"),
    PROP(Microvm, BOOL, "isa-serial", has_serial, .fallback = "on", .help = "serial port"),
    PROP(Microvm, BOOL, "auto-kernel-cmdline", cmdline, .fallback = "on",
         .help = "tell the kernel the time stamp counter's frequency and, with acpi=off, of virtio devices"),
    PROP_END,
};

const MachineType microvm_machine = {
    .name = "microvm",
    .desc = "microvm (i386)",
    .target = "x86_64|i386",
    .default_ram = 128 << 20,
    .max_cpus = 255,
    .default_cpu = "",
    .props = props,
    .has_boot_options = true,
    .size = sizeof(Microvm),
    .init = microvm_init,
    .load = microvm_load,
    .powerdown = powerdown,
};
