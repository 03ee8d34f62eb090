/*
 * Vcpu: one virtual CPU as its machine sees it: thread, run state, requests. Its registers are the target's CpuState.
 *
 * Requests are bits that any thread may set; the vCPU looks at them at its next poll and between units. A halted or
 * stopped vCPU sleeps on vcpu->wake (a futex underneath) without the machine lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_VCPU_H
#define ACCEL_VCPU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Machine Machine;
typedef struct Target Target;
typedef struct CpuState CpuState;
typedef struct Vcpu Vcpu;

enum {
    VCPU_STOP = 1 << 0,      /* pause until the bit is cleared */
    VCPU_EXIT = 1 << 1,      /* end the thread */
    VCPU_INTERRUPT = 1 << 2, /* interrupt inputs changed: ask the target whether one is deliverable */
    VCPU_RESET = 1 << 3,     /* reset the registers before going on */
    VCPU_WORK = 1 << 4,      /* functions posted by vcpu_post */
};

struct Vcpu {
    Machine *machine;
    const Target *target;
    unsigned index;
    CpuState *state;
    void *accel;       /* the accelerator's own */
    GThread *thread;   /* NULL: runner's thread runs it */
    Vcpu *runner;      /* itself; or the first vCPU, whose thread runs all (machine->single_thread) */
    GPtrArray *group;  /* runner: Vcpu * that its thread runs, in order; guarded by its lock */
    uint32_t standing; /* the runner's: requests that do not wake it from sleep */
    uint32_t requests; /* atomic: VCPU_* */
    GMutex lock;       /* leaf: guards the members below */
    GCond wake, settled;
    bool
        halted; /* atomic: the guest waits for an interrupt (WFI, HLT); set by the vCPU, which then leaves guest code */
    bool stopped;  /* has seen VCPU_STOP and runs no guest code */
    bool sleeping; /* atomic: waits on wake, or is about to */
    bool held;     /* atomic: a debugger keeps it stopped while others run; changed while the machine is stopped */
    bool was_held; /* at the last vcpus_start; machine lock */
    bool gone;     /* atomic: its thread has ended. If nobody asked for that, a reset makes a new one */
    GQueue work;   /* posted functions */
};

/* Machine lock held. Creates state by the target, registers it in machine->vcpus, makes the thread (stopped). model as
 * in -cpu, may be NULL. */
Vcpu *vcpu_new(Machine *machine, const char *model, GError **err);
void vcpu_free(Vcpu *vcpu);
/* Reset the registers of a vCPU that is stopped (or has no thread). Machine lock held. Others: vcpu_request(vcpu,
 * VCPU_RESET). */
void vcpu_reset(Vcpu *vcpu);
/* Set request bits and kick. Any thread. Nothing but atomic operations if the vCPU neither sleeps nor runs. */
void vcpu_request(Vcpu *vcpu, uint32_t bits);
void vcpu_clear(Vcpu *vcpu, uint32_t bits);
/* Run fn on the vCPU's thread between units (or here, if the accelerator has no threads). vcpu_post returns at once;
 * vcpu_call waits until it ran (not with the machine lock held, not from a vCPU thread). */
void vcpu_post(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);
void vcpu_call(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);
/* On the vCPU's own thread: handle STOP, RESET, WORK; sleep while stopped, or while halted and the target has no work.
 * False: VCPU_EXIT. It clears cs->poll before it looks at anything, and VCPU_INTERRUPT: an accelerator's loop is "while
 * (vcpu_attend) { its own mailboxes; target->deliver_interrupt; run until poll }". */
bool vcpu_attend(Vcpu *vcpu);
/* The same for an accelerator whose thread runs several vCPUs (those of runner->group), which must not sleep for one of
 * them: handle what is asked, and say what the vCPU may do. It becomes the current one. */
typedef enum { VCPU_RUNS, VCPU_HALTED, VCPU_STOPPED, VCPU_GONE } VcpuStanding;
VcpuStanding vcpu_look(Vcpu *vcpu);
/* vCPU number index of the group, NULL behind the last. On the runner's thread. */
Vcpu *vcpu_group_at(Vcpu *runner, unsigned index);
/* vcpu was told to exit (VCPU_GONE): take it out of the group. The pointer is not valid after that. */
void vcpu_group_leave(Vcpu *vcpu);
/* Sleep until one of the group is asked for something, at most timeout_ns (negative: for ever). False: the time is
 * over. */
bool vcpu_group_sleep(Vcpu *runner, int64_t timeout_ns);
/* No vCPU is current: what the thread does next (timers) is nobody's access. */
void vcpu_none_current(void);
/* Machine lock held: let all run; stop all and wait until none runs guest code (drops and retakes the lock while
 * waiting). */
void vcpus_start(Machine *machine);
void vcpus_stop(Machine *machine);
/* The vCPU that this thread runs, or NULL. */
Vcpu *vcpu_current(void);

#endif
