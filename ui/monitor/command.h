/*
 * Monitor commands: one table (commands.c). A handler gets its arguments read by type, and prints into a string.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_MONITOR_COMMAND_H
#define UI_MONITOR_COMMAND_H

#include "accel/vcpu.h"
#include "ui/monitor/monitor.h"

#define MONITOR_ARGS 4

/* An argument, as its letter in Command.args says. */
typedef struct MonitorArg {
    bool given;
    uint64_t number;  /* i, l */
    const char *text; /* s, S, - (the option's letters) */
    struct {
        unsigned count, size; /* size: bytes, 0: not given */
        char format;          /* 0: not given */
    } display;                /* / */
} MonitorArg;

typedef struct Command {
    const char *name, *alias; /* alias may be NULL */
    /*
     * "name:type ..." with types s (a word), S (the rest of the line), i (an integer), l (an expression of 64 bits,
     * registers allowed), / (a format like /10xw), -x (the option -x), -xs (the option -x with a word after it, which
     * is the text); a ? after the type: may be left out.
     */
    const char *args;
    const char *help;
    bool (*run)(Monitor *m, const MonitorArg *args, GString *out, GError **err);
    const struct Command *sub; /* instead of run: commands of the next word, ends with a NULL name */
} Command;

struct Monitor {
    Machine *machine;
    Chardev *chardev;
    unsigned cpu; /* index of the vCPU that registers and x look at */
    struct LineEditor *editor;
    GString *pending; /* output that the chardev did not take yet */
    bool greeted;
};

extern const Command monitor_commands[];

/* Split and check args by command->args, evaluate expressions. False and *err says what was wrong. */
bool command_parse(Monitor *m, const Command *command, const char *text, MonitorArg args[MONITOR_ARGS],
                   GPtrArray *words, GError **err);
/* What a vCPU's registers and memory are. Evaluates "$pc + 0x10", "($sp & ~15) * 2". */
bool monitor_evaluate(Monitor *m, const char *text, uint64_t *value, GError **err);

/* Handlers of x and xp (examine.c) */
bool command_x(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_xp(Monitor *m, const MonitorArg *args, GString *out, GError **err);
/* Devices and back ends that come and go (hotplug.c) */
bool command_device_add(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_device_del(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_drive_add(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_netdev_add(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_netdev_del(Monitor *m, const MonitorArg *args, GString *out, GError **err);
bool command_info_pci(Monitor *m, const MonitorArg *args, GString *out, GError **err);
/* Run fn on the vCPU's thread, where its registers are true, and wait. */
void monitor_on_cpu(Monitor *m, unsigned cpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);

#endif
