/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3 and 4.8.4), as in PIIX4 and ICH9: PM1 event and control registers, a 24-bit PM
 * timer, one general-purpose event block.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/pm.h"
#include <string.h>

enum { EVENT = 0, CONTROL = 4, TIMER = 8 };
enum { CONTROL_SCI = 1, CONTROL_RELEASE = 4, CONTROL_TYPE_SHIFT = 10, CONTROL_SLEEP = 0x2000 };
enum { TYPE_OFF, TYPE_SUSPEND };
#define STATUS_BITS (ACPI_PM1_TIMER | ACPI_PM1_GLOBAL | ACPI_PM1_POWER_BUTTON | ACPI_PM1_RTC)
#define TIMER_HALF  (1u << 23) /* counts between changes of the timer's top bit */
#define SECOND      INT64_C(1000000000)

/* ---- PM timer ---- */

static uint64_t ticks(const AcpiPm *pm)
{
    return (unsigned __int128)clock_now(pm->dev->machine->clocks, CLOCK_VIRTUAL_NS) * ACPI_PM_HZ / SECOND;
}

/* The status bit is set when the top bit changes: found out when somebody looks, by timer if there is an interrupt. */
static void notice_timer(AcpiPm *pm)
{
    if (ticks(pm) / TIMER_HALF > pm->halves)
        pm->status |= ACPI_PM1_TIMER;
}

static void arm(AcpiPm *pm)
{
    unsigned __int128 next = ((unsigned __int128)pm->halves + 1) * TIMER_HALF;
    unsigned __int128 at = (next * SECOND + ACPI_PM_HZ - 1) / ACPI_PM_HZ;
    bool on = pm->enable & ACPI_PM1_TIMER && !(pm->status & ACPI_PM1_TIMER) && at < INT64_MAX;
    timer_set(&pm->timer, on ? (int64_t)at : TIMER_NEVER);
}

/* ---- SCI ---- */

void acpi_pm_update(AcpiPm *pm)
{
    notice_timer(pm);
    bool level = pm->status & pm->enable & STATUS_BITS;
    for (unsigned i = 0; i < pm->gpe_bytes; i++)
        level = level || pm->gpe_status[i] & pm->gpe_enable[i];
    irq_set(&pm->sci, level);
    arm(pm);
}

static void timer_fired(void *opaque)
{
    acpi_pm_update(opaque);
}

void acpi_pm_set_sci_enabled(AcpiPm *pm, bool on)
{
    pm->control_value = on ? pm->control_value | CONTROL_SCI : pm->control_value & ~CONTROL_SCI;
}

bool acpi_pm_wake(AcpiPm *pm, uint16_t status)
{
    if (!pm->asleep)
        return false;
    pm->wake_status = ACPI_PM1_WAKE | status;
    machine_request_wakeup(pm->dev->machine);
    return true;
}

void acpi_pm_power_button(AcpiPm *pm)
{
    if (acpi_pm_wake(pm, ACPI_PM1_POWER_BUTTON))
        return;
    pm->status |= ACPI_PM1_POWER_BUTTON;
    acpi_pm_update(pm);
}

void acpi_pm_alarm(AcpiPm *pm)
{
    if (pm->enable & ACPI_PM1_RTC && acpi_pm_wake(pm, ACPI_PM1_RTC))
        return;
    pm->status |= ACPI_PM1_RTC;
    acpi_pm_update(pm);
}

void acpi_pm_gpe(AcpiPm *pm, unsigned event)
{
    g_assert(event / 8 < pm->gpe_bytes);
    pm->gpe_status[event / 8] |= 1u << event % 8;
    acpi_pm_update(pm);
}

/* ---- registers ---- */

static uint64_t event_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPm *pm = opaque;
    notice_timer(pm);
    return offset ? pm->enable : pm->status;
}

static void event_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    notice_timer(pm);
    if (offset)
        pm->enable = value;
    else
        pm->status &= ~value;
    if (!offset && value & ACPI_PM1_TIMER)
        pm->halves = ticks(pm) / TIMER_HALF;
    acpi_pm_update(pm);
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((AcpiPm *)opaque)->control_value;
}

static void sleep_now(AcpiPm *pm, unsigned type)
{
    if (type == TYPE_OFF || (type == pm->s4_type && !pm->s4_disabled)) {
        machine_request_shutdown(pm->dev->machine, SHUTDOWN_GUEST_OFF, 0);
    } else if (type == TYPE_SUSPEND && !pm->s3_disabled) {
        pm->asleep = true;
        machine_request_stop(pm->dev->machine, RUN_SUSPENDED);
    } else {
        guest_error(pm->dev, "there is no sleep type %u", type);
    }
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    pm->control_value = value & ~(CONTROL_SLEEP | CONTROL_RELEASE);
    if (value & CONTROL_SLEEP)
        sleep_now(pm, value >> CONTROL_TYPE_SHIFT & 7);
}

static uint64_t timer_read(void *opaque, uint64_t offset, unsigned size)
{
    return ticks(opaque) & 0xffffff;
}

static void timer_write(void *opaque, uint64_t offset, uint64_t value, unsigned size) {}

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    const AcpiPm *pm = opaque;
    return offset < pm->gpe_bytes ? pm->gpe_status[offset] : pm->gpe_enable[offset - pm->gpe_bytes];
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    if (offset < pm->gpe_bytes)
        pm->gpe_status[offset] &= ~value;
    else
        pm->gpe_enable[offset - pm->gpe_bytes] = value;
    acpi_pm_update(pm);
}

/* A byte of a write-one-to-clear register must not bring the other byte's ones along. */
static void event_write_bytes(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    unsigned shift = offset % 2 * 8;
    if (size == 1 && offset < 2)
        event_write(opaque, 0, value << shift, 2);
    else if (size == 1)
        event_write(opaque, 2, (pm->enable & ~(0xffu << shift)) | value << shift, 2);
    else
        event_write(opaque, offset, value, size);
}

static uint64_t event_read_bytes(void *opaque, uint64_t offset, unsigned size)
{
    return event_read(opaque, offset & 2, 2) >> (offset & 1) * 8;
}

static const MemOps
    event_ops = { .read = event_read_bytes, .write = event_write_bytes, .max_size = 4, .impl_max = 2 },
    control_ops = { .read = control_read, .write = control_write, .max_size = 2, .impl_min = 2, .impl_max = 2 },
    timer_ops = { .read = timer_read, .write = timer_write, .max_size = 4, .impl_min = 4, .impl_max = 4 },
    gpe_ops = { .read = gpe_read, .write = gpe_write, .max_size = 4, .impl_max = 1 };

/* ---- life cycle ---- */

void acpi_pm_init(AcpiPm *pm, Device *dev, MemRegion *ports, unsigned gpe_bytes)
{
    Machine *machine = dev->machine;
    g_assert(gpe_bytes <= ACPI_GPE_BYTES);
    pm->dev = dev;
    pm->gpe_bytes = gpe_bytes;
    timer_init(&pm->timer, machine->clocks, CLOCK_VIRTUAL_NS, timer_fired, pm);
    mem_io_init(&pm->event, machine, "acpi-evt", 4, &event_ops, pm);
    mem_io_init(&pm->control, machine, "acpi-cnt", 2, &control_ops, pm);
    mem_io_init(&pm->timer_ports, machine, "acpi-tmr", 4, &timer_ops, pm);
    mem_io_init(&pm->gpe, machine, "acpi-gpe0", 2 * gpe_bytes, &gpe_ops, pm);
    mem_add(ports, EVENT, &pm->event, 0);
    mem_add(ports, CONTROL, &pm->control, 0);
    mem_add(ports, TIMER, &pm->timer_ports, 0);
}

void acpi_pm_reset(AcpiPm *pm)
{
    pm->status = pm->wake_status;
    pm->enable = pm->control_value = pm->wake_status = 0;
    pm->asleep = false;
    pm->halves = ticks(pm) / TIMER_HALF;
    memset(pm->gpe_status, 0, sizeof(pm->gpe_status));
    memset(pm->gpe_enable, 0, sizeof(pm->gpe_enable));
    acpi_pm_update(pm);
}
