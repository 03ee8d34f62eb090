/*
 * ACPI fixed hardware (ACPI 6.4, chapter 4.8): PM1 event and control, PM timer, general-purpose events. Embedded in the
 * chips that have it. Machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_PM_H
#define HW_ACPI_PM_H

#include "hw/core/machine.h"

#define ACPI_GPE_BYTES 8
#define ACPI_PM_HZ     3579545

enum {
    ACPI_PM1_TIMER = 1,
    ACPI_PM1_GLOBAL = 0x20,
    ACPI_PM1_POWER_BUTTON = 0x100,
    ACPI_PM1_RTC = 0x400,
    ACPI_PM1_WAKE = 0x8000
};
enum { ACPI_GPE_PCI_HOTPLUG = 1, ACPI_GPE_CPU_HOTPLUG = 2, ACPI_GPE_MEMORY_HOTPLUG = 3 };

typedef struct AcpiPm {
    Device *dev; /* whose it is */
    MemRegion event, control, timer_ports, gpe;
    uint16_t status, enable, control_value;
    uint8_t gpe_bytes, gpe_status[ACPI_GPE_BYTES], gpe_enable[ACPI_GPE_BYTES];
    uint64_t halves; /* half turns of the PM timer that the timer status has seen */
    Timer timer;     /* the next one, while it is to interrupt */
    Irq sci;
    bool s3_disabled, s4_disabled; /* properties of the chip */
    bool asleep;                   /* S3 has been entered: until the next reset */
    uint16_t wake_status;          /* status after that reset: why it came */
    uint8_t s4_type;               /* property */
} AcpiPm;

#define ACPI_PM_STATE(Type, pm)                                                                            \
    STATE(Type, pm.status), STATE(Type, pm.enable), STATE(Type, pm.control_value), STATE(Type, pm.halves), \
        STATE_ARRAY(Type, pm.gpe_status), STATE_ARRAY(Type, pm.gpe_enable), STATE_TIMER(Type, pm.timer),   \
        STATE_SKIP(Type, pm.dev, "wiring"), STATE_SKIP(Type, pm.event, "wiring"),                          \
        STATE_SKIP(Type, pm.control, "wiring"), STATE_SKIP(Type, pm.timer_ports, "wiring"),                \
        STATE_SKIP(Type, pm.gpe, "wiring"), STATE_SKIP(Type, pm.sci, "wiring"), STATE(Type, pm.asleep),    \
        STATE(Type, pm.wake_status), STATE_SKIP(Type, pm.gpe_bytes, "fixed at realize")
#define ACPI_PM_PROPS(Type, pm)                                                                \
    PROP(Type, BOOL, "disable_s3", pm.s3_disabled, .help = "the guest is not told of S3"),     \
        PROP(Type, BOOL, "disable_s4", pm.s4_disabled, .help = "the guest is not told of S4"), \
        PROP(Type, U8, "s4_val", pm.s4_type, .fallback = "2", .max = 7, .help = "sleep type that is S4")

/* Place the registers in ports at their PIIX4 and ICH9 offsets: event 0, control 4, timer 8; GPE block of gpe_bytes
 * (status, then enable) is left to the caller to place. */
void acpi_pm_init(AcpiPm *pm, Device *dev, MemRegion *ports, unsigned gpe_bytes);
void acpi_pm_reset(AcpiPm *pm);
void acpi_pm_update(AcpiPm *pm); /* after loading */
void acpi_pm_set_sci_enabled(AcpiPm *pm, bool on);
/* Events. They wake a guest that sleeps, the alarm if it is enabled. */
void acpi_pm_power_button(AcpiPm *pm);
void acpi_pm_alarm(AcpiPm *pm);
bool acpi_pm_wake(AcpiPm *pm, uint16_t status); /* for this reason. False: it does not sleep */
void acpi_pm_gpe(AcpiPm *pm, unsigned event);

#endif
