/*
 * gdbstub, internal: the session, run control (run.c), and what packets ask for (commands.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_GDBSTUB_STUB_H
#define UI_GDBSTUB_STUB_H

#include "accel/accel.h"
#include "ui/chardev/chardev.h"
#include "ui/gdbstub/gdbstub.h"
#include "ui/gdbstub/packet.h"

#define STUB_POINTS 256 /* breakpoints and watchpoints at once */

/* What a vCPU is to do when the machine goes on. */
typedef enum { STUB_RUN, STUB_STEP, STUB_HOLD } StubAction;

typedef struct Stub {
    Machine *machine;
    Chardev *chardev;
    PacketReader reader;
    GString *pending; /* output that the chardev did not take yet */
    GString *last;    /* the last packet sent, for a NAK */
    bool connected, no_acks;
    bool says_why;         /* stop replies may have swbreak and hwbreak */
    bool owes_stop;        /* the debugger waits for a stop reply */
    bool quiet;            /* it is not to hear of this stop */
    unsigned cpu, run_cpu; /* Hg, Hc: index of the vCPU */
    unsigned threads_told; /* qfThreadInfo, qsThreadInfo */
    GArray *points;        /* DebugPoint */
    StubAction *actions;   /* of each vCPU, once: NULL: all run */
    bool stepping_over;    /* the step goes off a breakpoint; the machine then goes on, */
    bool goes_on;          /* now */
    bool owned;            /* the chardev was made for this */
    struct {
        GMutex lock; /* leaf: guards the members below */
        bool there;  /* some vCPU has stopped since the machine was started */
        bool step;
        unsigned cpu;
        DebugPoint point;
    } hit;
    struct {
        bool there;
        unsigned cpu;
        uint64_t pc;
    } at_break; /* what was told last: this vCPU stopped for a breakpoint here */
} Stub;

/* ---- gdbstub.c ---- */
void stub_send(Stub *s, const void *data, size_t len);
void stub_reply(Stub *s, const char *text);
Vcpu *stub_vcpu(Stub *s, unsigned index);
/* Its registers as they are, and may be changed. Machine lock held, the vCPU stopped. */
CpuState *stub_state(Stub *s, unsigned index);

/* ---- run.c: machine lock not held ---- */
void stub_attach(Stub *s);           /* hears of starts and stops */
void stub_detach(Stub *s);           /* does not any more; nothing is asked of the accelerator */
void stub_resume(Stub *s);           /* by s->actions; a stop reply is owed */
void stub_halt(Stub *s, bool quiet); /* if it runs */
/* Take a point in or out. False: *err says why not. */
bool stub_insert(Stub *s, const DebugPoint *point, GError **err);
void stub_remove(Stub *s, const DebugPoint *point);
void stub_tell_stop(Stub *s); /* the reply to "?", too */

/* ---- commands.c ---- */
/* A packet; it is answered. Machine lock not held, the machine stopped. */
void stub_command(Stub *s, const char *text, size_t len);

#endif
