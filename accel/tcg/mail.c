/*
 * What vCPUs tell each other: mailboxes, and the epochs that say when all have read them. Nobody waits for an answer.
 *
 * Who posts sets the mark, then looks at the reader's epoch; the reader notes its epoch, then looks at the mark. All
 * four are sequentially consistent, so that a vCPU that is seen outside of the code reads the mail before it enters.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include <string.h>

static void obey(TcgCpu *c, const Mail *m)
{
    switch (m->kind) {
    case MAIL_JUMP:
        tcg_forget_jump(c, m->a, m->b);
        break;
    case MAIL_CODE:
        tcg_forget_code(c, m->a, m->b);
        break;
    case MAIL_WRITES:
        tcg_forget_writes(c, m->a);
        break;
    }
}

static void post(TcgCpu *c, const Mail *m)
{
    Mailbox *box = &c->mailbox;
    g_mutex_lock(&box->lock);
    if (box->count < MAILS)
        box->mails[box->count] = *m;
    if (box->count <= MAILS)
        box->count++;
    __atomic_store_n(&box->waiting, 1, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&box->lock);
    __atomic_store_n(&c->cs->poll, 1, __ATOMIC_SEQ_CST);
}

void tcg_mail_all(TcgState *t, uint64_t to, Mail mail)
{
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        Vcpu *vcpu = t->machine->vcpus->pdata[v];
        TcgCpu *c = vcpu->accel;
        if (!c || !(to >> v % 64 & 1))
            continue;
        if (vcpu == vcpu_current())
            obey(c, &mail);
        else
            post(c, &mail);
    }
}

void tcg_mail_read(TcgCpu *c)
{
    Mailbox *box = &c->mailbox;
    Mail mails[MAILS];
    if (!__atomic_load_n(&box->waiting, __ATOMIC_SEQ_CST))
        return;
    g_mutex_lock(&box->lock);
    unsigned count = box->count;
    memcpy(mails, box->mails, MIN(count, MAILS) * sizeof(Mail));
    box->count = 0;
    __atomic_store_n(&box->waiting, 0, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&box->lock);
    TCG_COUNT_ADD(&c->stats, mails, count);
    if (count > MAILS) {
        tcg_forget_code(c, 0, UINTPTR_MAX);
        tcg_forget_all_writes(c);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        obey(c, &mails[i]);
}

bool tcg_mail_all_read(TcgState *t)
{
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        TcgCpu *c = ((Vcpu *)t->machine->vcpus->pdata[v])->accel;
        if (c && __atomic_load_n(&c->epoch, __ATOMIC_SEQ_CST) != EPOCH_OUT &&
            __atomic_load_n(&c->mailbox.waiting, __ATOMIC_SEQ_CST))
            return false;
    }
    return true;
}

void tcg_enter_code(TcgCpu *c)
{
    __atomic_store_n(&c->epoch, __atomic_load_n(&c->tcg->epoch, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    tcg_mail_read(c);
}

void tcg_leave_code(TcgCpu *c)
{
    __atomic_store_n(&c->epoch, EPOCH_OUT, __ATOMIC_SEQ_CST);
}

uint64_t tcg_epoch_seen(TcgState *t, uint64_t wanted, bool kick)
{
    uint64_t least = EPOCH_OUT;
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        TcgCpu *c = ((Vcpu *)t->machine->vcpus->pdata[v])->accel;
        if (!c)
            continue;
        uint64_t epoch = __atomic_load_n(&c->epoch, __ATOMIC_SEQ_CST);
        if (kick && epoch < wanted)
            __atomic_store_n(&c->cs->poll, 1, __ATOMIC_SEQ_CST);
        least = MIN(least, epoch);
    }
    return least;
}
