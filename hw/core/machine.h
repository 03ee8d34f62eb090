/*
 * Machine: a whole computer: its memory, clocks, devices, vCPUs, one lock, and its run state.
 *
 * Lock order (ranks, asserted in debug builds): machine < device < interrupt controller < leaf. The machine lock is not
 * recursive; dispatchers take it, device code runs under it. vCPU threads run guest code without it.
 * Several machines may live in one process (tests do).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_MACHINE_H
#define HW_CORE_MACHINE_H

#include "hw/core/device.h"
#include "hw/core/memory.h"
#include "hw/core/numa.h"
#include "util/clock.h"
#include "util/options.h"
#include <glib.h>

typedef struct Target Target;
typedef struct Vcpu Vcpu;
typedef struct AccelType AccelType;
typedef struct MachineType MachineType;
typedef struct Smbios Smbios;

typedef enum {
    RUN_PRELAUNCH, /* built, not started (-S) */
    RUN_RUNNING,
    RUN_PAUSED,   /* stop, or an action */
    RUN_SHUTDOWN, /* guest is off, -no-shutdown */
    RUN_INTERNAL_ERROR,
    RUN_IO_ERROR,  /* a disk failed, and its werror= or rerror= says stop */
    RUN_WATCHDOG,  /* a watchdog has run out, and -action watchdog=pause */
    RUN_SUSPENDED, /* the guest sleeps (ACPI S3): machine_request_wakeup */
    RUN_DEBUG,     /* a debugger stopped it */
} RunState;

typedef enum {
    SHUTDOWN_GUEST_OFF,
    SHUTDOWN_GUEST_RESET,
    SHUTDOWN_GUEST_PANIC,
    SHUTDOWN_HOST_QUIT,
    SHUTDOWN_HOST_SIGNAL
} ShutdownCause;

typedef struct MachineConfig {
    const char *target; /* name of the guest, or NULL: the first that the machine type names */
    uint64_t ram_size;  /* bytes */
    unsigned cpus, max_cpus, sockets, cores, threads;
    const char *cpu_model;                                           /* text of -cpu, or NULL */
    const char *kernel, *initrd, *append, *dtb, *dumpdtb, *firmware; /* paths and text, or NULL; firmware "none" */
    const char *uuid, *name;
    Opts *rtc;              /* -rtc, or NULL */
    Opts *icount;           /* -icount, or NULL */
    Numa *numa;             /* -numa, or NULL: one node */
    const char *ram_memory; /* ID of the -object that RAM is made of, or NULL */
    Opts *boot;             /* -boot, or NULL */
    Smbios *smbios;         /* -smbios, or NULL */
    GPtrArray *acpi_tables; /* GByteArray *: -acpitable; or NULL */
    const char *vga;        /* -vga, or NULL */
    bool nographic, nodefaults;
    bool no_reboot, no_shutdown, start_paused;
    enum { ACTION_RESET, ACTION_SHUTDOWN_ON_RESET } on_reboot;
    enum { ACTION_POWEROFF, ACTION_PAUSE_ON_SHUTDOWN } on_shutdown;
    enum { PANIC_SHUTDOWN, PANIC_PAUSE, PANIC_EXIT_FAILURE, PANIC_NONE } on_panic;
    enum {
        WATCHDOG_RESET,
        WATCHDOG_SHUTDOWN,
        WATCHDOG_POWEROFF,
        WATCHDOG_PAUSE,
        WATCHDOG_INJECT_NMI,
        WATCHDOG_DEBUG,
        WATCHDOG_NONE
    } on_watchdog;
    GSList *serials;    /* Chardev *: -serial in order (data NULL: none); the machine takes the list */
    Opts *machine_opts; /* keys of -machine that are the machine type's own */
} MachineConfig;

struct MachineType {
    const char *name, *desc; /* "virt" */
    const char *alias;       /* another name, or NULL */
    const char *target;      /* "riscv64" ...: which guests it is for; a "|"-separated list */
    uint64_t default_ram;
    unsigned max_cpus;
    const char *default_cpu; /* by target; "" lets the target choose */
    const Prop *props;       /* of -machine; offsets in Machine-derived struct of size */
    bool has_boot_options;   /* -boot, -smbios, -acpitable, -vga mean something */
    size_t size;             /* of the struct that embeds Machine first */
    /* What -hda, -cdrom and -drive without if= are: "ide"; NULL: "virtio". */
    const char *block_interface;
    unsigned ide_units; /* drives of each bus ide.0, ide.1 ... that if=ide means; 0: it has none */
    /* An empty CD-ROM drive (if=ide,index=2), a floppy drive without a disk (if=floppy,index=0), unless -nodefaults */
    bool default_cdrom, default_floppy;
    /* Build everything: RAM, vCPUs (vcpu_new), devices. Machine lock held. */
    bool (*init)(Machine *machine, GError **err);
    /* Put firmware, kernel, device tree in memory and set where vCPUs start. After init and -device, and at each reset.
     */
    bool (*load)(Machine *machine, GError **err);
    void (*powerdown)(Machine *machine); /* press the power button; NULL: not there */
    bool (*wakeup)(Machine *machine);    /* end the guest's sleep; false: it does not sleep. NULL: it never does */
    void (*nmi)(Machine *machine);       /* non-maskable interrupt to all vCPUs; NULL: there is none */
    const char *default_nic; /* what there is on -netdev user unless the command line says anything of NICs, or NULL */
};

struct Machine {
    const MachineType *type;
    const Target *target;
    const AccelType *accel;
    void *accel_state;
    struct Irqchip *irqchip; /* interrupt controllers of the accelerator's own (hw/intc/irqchip.h); NULL: none */
    bool single_thread;      /* all vCPUs run in turn on one thread; by the accelerator's init */
    MachineConfig config;
    Clocks *clocks;
    struct Icount *icount;   /* -icount; NULL: off */
    MemRegion root, io_root; /* memory, ports (size 0: none) */
    AddressSpace memory, io;
    MemRegion *ram;  /* main RAM */
    GPtrArray *rams; /* MemRegion *: RAM and ROM by ram_addr */
    uint64_t next_ram_addr;
    GPtrArray *address_spaces;
    unsigned memory_depth; /* memory_begin nesting */
    bool memory_changed;
    GSList *old_memories; /* OldMemory: to be freed at the end of the transaction */
    GPtrArray *devices;   /* Device *: those without a bus, in order of creation */
    GPtrArray *buses;     /* Bus *: all, for bus=NAME */
    GPtrArray *vcpus;     /* Vcpu * */
    GSList *serials;      /* Chardev *: -serial in order (data NULL: none) */
    struct {
        ClockId clock;
        int64_t offset;       /* nanoseconds since 1970, less clock */
    } rtc;                    /* -rtc */
    Device *fw_cfg;           /* if the machine has one */
    Device *balloon;          /* likewise */
    GSList *consoles;         /* Console *: in order of creation */
    struct InputState *input; /* keyboards and mice; NULL: none */
    RunState state;
    GSList *reset_hooks, *state_hooks;
    GHashTable *regions; /* MemRegion *: all that are initialised */
    bool prepared;       /* machine_prepare has run */
    bool waking;         /* the reset that is going on ends RUN_SUSPENDED: RAM stays as it is */
    struct {
        GMutex lock; /* leaf: guards the members below */
        bool reset, shutdown, stop, wake, posted;
        RunState stop_state;
        ShutdownCause cause;
        int status;
    } pending; /* requests that the main loop has yet to act on */
    GMutex lock;
    void *lock_owner;                            /* thread, for assertions */
    void (*ended)(Machine *machine, int status); /* when it is time to leave; set by main */
};

const MachineType *const *machine_types(void); /* ends with NULL */
const MachineType *machine_type_find(const char *name, const char *target);

void machine_lock(Machine *machine);
void machine_unlock(Machine *machine);
bool machine_locked(const Machine *machine); /* by this thread */

/* Allocate (no type: an empty machine for tests), build, free. machine_new takes config by value; strings stay the
 * caller's. */
Machine *machine_new(const MachineType *type, const AccelType *accel, Opts *accel_opts, const MachineConfig *config,
                     GError **err);
void machine_free(Machine *machine);

/* Once, after -device and before machine_start (which does it otherwise): resets everything and calls type->load. Lock
 * held. */
bool machine_prepare(Machine *machine, GError **err);

/* Run control, from the main loop's thread with the lock held. machine_start does nothing in RUN_SHUTDOWN and
 * RUN_INTERNAL_ERROR: machine_reset first. */
void machine_start(Machine *machine);              /* cont */
void machine_stop(Machine *machine, RunState why); /* stop: returns when no vCPU runs guest code */
/* Reset everything and load again; runs on if it was running, else is left in RUN_PAUSED (RUN_PRELAUNCH stays). */
void machine_reset(Machine *machine);
/* From any thread; acted on by the main loop, by what -no-reboot, -no-shutdown and -action say. status: exit status. */
void machine_request_shutdown(Machine *machine, ShutdownCause cause, int status);
void machine_request_reset(Machine *machine, ShutdownCause cause);
/* Pause for this reason. From any thread. */
void machine_request_stop(Machine *machine, RunState why);
/* The same request, if it has not been acted on yet, is none any more. From any thread. */
void machine_cancel_stop(Machine *machine, RunState why);
/* End RUN_SUSPENDED: a reset that leaves RAM alone, and the guest runs on. From any thread. */
void machine_request_wakeup(Machine *machine);
void machine_powerdown(Machine *machine);
/* A watchdog of the machine has run out: what -action watchdog= says. Lock held. */
void machine_watchdog(Machine *machine);
const char *run_state_name(RunState state);

typedef void MachineHook(void *opaque, Machine *machine);
/* Called at each reset, before devices; and at each start or stop (see machine->state). */
void machine_add_reset_hook(Machine *machine, MachineHook *hook, void *opaque);
void machine_add_state_hook(Machine *machine, MachineHook *hook, void *opaque);
/* Forget all hooks with this opaque. Not from a hook. */
void machine_remove_hooks(Machine *machine, void *opaque);

#endif
