/*
 * KVM: a vCPU's thread: what it is to do before KVM_RUN, what KVM_RUN returned for, kicks (kvm.h).
 *
 * A kick is never lost: who kicks sets immediate_exit, then looks whether the vCPU may be in KVM_RUN, and sends a
 * signal if so; the vCPU clears immediate_exit, looks at what it was asked for, says that it goes in, and goes in. The
 * signal's handler does nothing: the kernel has looked at immediate_exit before, and returns for the signal after.
 *
 * Interrupts, with all controllers in this process: as the local APIC asks (x86_set_intr), by KVM_INTERRUPT where the
 * guest takes one now, else KVM is asked to return when it does.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include "util/log.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

enum { KICK_SIGNAL = SIGUSR1, HOLD_POLL_US = 20 };

/* ---- kicks ---- */

static void kicked(int number) {}

void kvm_signals_init(void)
{
    struct sigaction action = { .sa_handler = kicked };
    sigaction(KICK_SIGNAL, &action, NULL);
}

static void kick(KvmVcpu *k)
{
    __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&k->running, __ATOMIC_SEQ_CST))
        pthread_kill(k->thread, KICK_SIGNAL);
}

void kvm_vcpu_kick(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
    if (vcpu->accel)
        kick(vcpu->accel);
}

void kvm_hold(KvmState *kvm)
{
    __atomic_store_n(&kvm->held, 1, __ATOMIC_SEQ_CST);
    for (guint i = 0; i < kvm->machine->vcpus->len; i++) {
        KvmVcpu *k = kvm_vcpu(kvm->machine->vcpus->pdata[i]);
        while (__atomic_load_n(&k->running, __ATOMIC_SEQ_CST) && !__atomic_load_n(&k->vcpu->gone, __ATOMIC_SEQ_CST)) {
            kvm_vcpu_kick(k->vcpu);
            g_usleep(HOLD_POLL_US);
        }
    }
}

void kvm_resume(KvmState *kvm)
{
    g_mutex_lock(&kvm->lock);
    __atomic_store_n(&kvm->held, 0, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&kvm->resumed);
    g_mutex_unlock(&kvm->lock);
}

static void wait_while_held(KvmState *kvm)
{
    g_mutex_lock(&kvm->lock);
    while (__atomic_load_n(&kvm->held, __ATOMIC_SEQ_CST))
        g_cond_wait(&kvm->resumed, &kvm->lock);
    g_mutex_unlock(&kvm->lock);
}

/* What vCPUs wrote before this exit comes before it. */
static void do_coalesced(KvmState *kvm)
{
    bool lock = !machine_locked(kvm->machine);
    if (lock)
        machine_lock(kvm->machine);
    kvm_coalesced_done(kvm);
    if (lock)
        machine_unlock(kvm->machine);
}

/* Another thread may read it (info kvm). */
static void add_one(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* KVM_RUN; 0, or a negative errno. */
static int enter(KvmVcpu *k)
{
    __atomic_store_n(&k->running, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&k->kvm->held, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&k->running, 0, __ATOMIC_SEQ_CST);
        wait_while_held(k->kvm);
        __atomic_store_n(&k->running, 1, __ATOMIC_SEQ_CST);
    }
    int result = ioctl(k->fd, KVM_RUN, 0) < 0 ? -errno : 0;
    __atomic_store_n(&k->running, 0, __ATOMIC_RELEASE);
    k->unfinished = false;
    add_one(&k->exits);
    if (kvm_coalesced_any(k->kvm))
        do_coalesced(k->kvm);
    return result;
}

/* ---- what cannot go on ---- */

/* No guest code runs until a reset. */
static void give_up(KvmVcpu *k)
{
    k->broken = true;
    __atomic_store_n(&k->vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
}

static void internal_error(KvmVcpu *k, const char *what)
{
    g_autoptr(GString) text = g_string_new(NULL);
    k->vcpu->machine->accel->vcpu_read_state(k->vcpu);
    k->vcpu->target->cpu_dump(k->vcpu->state, text);
    g_printerr("rhea: KVM: vCPU %u stops: %s\n%s", k->vcpu->index, what, text->str);
    machine_request_stop(k->vcpu->machine, RUN_INTERNAL_ERROR);
    give_up(k);
}

static void failed_inside(KvmVcpu *k)
{
    const struct kvm_run *run = k->run;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
        if (kvm_emulate(k, &err))
            return;
        g_string_append_printf(text, "the kernel cannot emulate an instruction, nor can this process (%s)",
                               err->message);
        if (run->internal.ndata >= 3 &&
            run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
            g_string_append(text, ":");
            for (unsigned i = 0; i < MIN(run->emulation_failure.insn_size, 15); i++)
                g_string_append_printf(text, " %02x", run->emulation_failure.insn_bytes[i]);
        }
    } else {
        g_string_append_printf(text, "the kernel's internal error %u", run->internal.suberror);
        for (unsigned i = 0; i < MIN(run->internal.ndata, G_N_ELEMENTS(run->internal.data)); i++)
            g_string_append_printf(text, " %" PRIx64, (uint64_t)run->internal.data[i]);
    }
    internal_error(k, text->str);
}

/* ---- device accesses ---- */

/* One access of the device there? Else it is cut up. */
static bool is_whole(const FlatRange *range, uint64_t addr, unsigned size)
{
    return range->last - addr >= size - 1 && (size & (size - 1)) == 0;
}

/* What nothing answers reads as ones. */
static void load(KvmVcpu *k, unsigned space, uint64_t addr, void *data, unsigned size)
{
    uint64_t value = UINT64_MAX;
    const FlatRange *range = kvm_find(k, space, addr);
    if (range && (is_whole(range, addr, size) ? range_load(range, addr, size, &value)
                                              : as_read(k->kvm->spaces[space].as, addr, &value, size)) != MEM_OK)
        value = UINT64_MAX;
    memcpy(data, &value, size);
}

static void store(KvmVcpu *k, unsigned space, uint64_t addr, const void *data, unsigned size)
{
    uint64_t value = 0;
    const FlatRange *range = kvm_find(k, space, addr);
    if (!range)
        return;
    memcpy(&value, data, size);
    if (is_whole(range, addr, size))
        range_store(range, addr, size, value);
    else
        as_write(k->kvm->spaces[space].as, addr, data, size);
}

static void port_access(KvmVcpu *k)
{
    const struct kvm_run *run = k->run;
    uint8_t *data = (uint8_t *)k->run + run->io.data_offset;
    unsigned size = run->io.size;
    uint16_t port = run->io.port;
    bool out = run->io.direction == KVM_EXIT_IO_OUT;
    for (uint32_t n = run->io.count; n; n--, data += size) {
        if (out)
            store(k, KVM_SPACE_IO, port, data, size);
        else
            load(k, KVM_SPACE_IO, port, data, size);
    }
    k->unfinished = true;
}

static void memory_access(KvmVcpu *k)
{
    struct kvm_run *run = k->run;
    if (run->mmio.is_write)
        store(k, KVM_SPACE_MEMORY, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    else
        load(k, KVM_SPACE_MEMORY, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
    k->unfinished = true;
}

/* ---- exits ---- */

static void triple_fault(KvmVcpu *k)
{
    if (log_on(LOG_INT)) {
        g_autoptr(GString) text = g_string_new(NULL);
        k->vcpu->machine->accel->vcpu_read_state(k->vcpu);
        k->vcpu->target->cpu_dump(k->vcpu->state, text);
        log_write("x86: triple fault\n%s", text->str);
    }
    machine_request_reset(k->vcpu->machine, SHUTDOWN_GUEST_RESET);
    give_up(k);
}

static void system_event(KvmVcpu *k)
{
    switch (k->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        machine_request_shutdown(k->vcpu->machine, SHUTDOWN_GUEST_OFF, 0);
        break;
    case KVM_SYSTEM_EVENT_RESET:
        machine_request_reset(k->vcpu->machine, SHUTDOWN_GUEST_RESET);
        break;
    default:
        machine_request_shutdown(k->vcpu->machine, SHUTDOWN_GUEST_PANIC, 0);
        break;
    }
    give_up(k);
}

static void halt(KvmVcpu *k)
{
    X86State *s = x86(k->vcpu->state); /* whether it may be woken is asked of this */
    s->eflags = (s->eflags & ~(uint32_t)FLAG_IF) | (k->run->if_flag ? FLAG_IF : 0);
    __atomic_store_n(&k->vcpu->halted, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&k->vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
}

/* Split: of a pin's route. */
static void end_of_interrupt(KvmVcpu *k)
{
    const KvmState *kvm = k->kvm;
    if (kvm->irqchip.eoi)
        kvm->irqchip.eoi(kvm->irqchip.eoi_opaque, k->run->eoi.vector);
}

static void handle_exit(KvmVcpu *k)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    add_one(&k->reasons[MIN(k->run->exit_reason, KVM_REASONS - 1)]);
    switch (k->run->exit_reason) {
    case KVM_EXIT_IO:
        port_access(k);
        break;
    case KVM_EXIT_MMIO:
        memory_access(k);
        break;
    case KVM_EXIT_HLT:
        halt(k);
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
        __atomic_store_n(&k->vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
        break;
    case KVM_EXIT_SET_TPR:
        break;
    case KVM_EXIT_IOAPIC_EOI:
        end_of_interrupt(k);
        break;
    case KVM_EXIT_SHUTDOWN:
        if (!kvm_deliver_again(k))
            triple_fault(k);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        system_event(k);
        break;
    case KVM_EXIT_DEBUG:
        if (!kvm_debug_exit(k, &err))
            internal_error(k, err->message);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        failed_inside(k);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        text = g_strdup_printf("the processor does not enter the guest (reason 0x%" PRIx64 ")",
                               (uint64_t)k->run->fail_entry.hardware_entry_failure_reason);
        internal_error(k, text);
        break;
    default:
        text = g_strdup_printf("unknown exit %u", k->run->exit_reason);
        internal_error(k, text);
        break;
    }
    k->given = 0;
}

static void run_failed(KvmVcpu *k, int e)
{
    g_autofree char *text = NULL;
    if (e == EINTR || e == EAGAIN)
        return;
    text = g_strdup_printf("KVM_RUN: %s", g_strerror(e));
    internal_error(k, text);
}

/* ---- before the guest ---- */

/* INIT, start-up: what changes registers. The target does that to the state, which is fetched for it. */
static void deliver_by_state(KvmVcpu *k)
{
    k->vcpu->machine->accel->vcpu_read_state(k->vcpu);
    if (__atomic_load_n(&x86(k->vcpu->state)->inputs, __ATOMIC_SEQ_CST) & INPUT_INIT)
        kvm_forget_events(k);
    k->vcpu->target->deliver_interrupt(k->vcpu->state);
}

/* The local APIC's vector; where that is the kernel's, the 8259's. */
static int acknowledge(KvmVcpu *k, X86State *s)
{
    const Irqchip *chip = &k->kvm->irqchip;
    if (k->vcpu->machine->irqchip)
        return chip->pic_acknowledge ? chip->pic_acknowledge(chip->pic) : -1;
    return s->apic ? s->apic->acknowledge(s->apic_opaque) : -1;
}

static void inject_interrupt(KvmVcpu *k, X86State *s)
{
    k->run->request_interrupt_window = 1;
    if (!k->run->ready_for_interrupt_injection || !k->run->if_flag)
        return;
    int vector = acknowledge(k, s);
    if (vector >= 0) {
        struct kvm_interrupt interrupt = { .irq = (uint32_t)vector };
        ioctl(k->fd, KVM_INTERRUPT, &interrupt);
        k->given = interrupt.irq + 1;
        k->run->ready_for_interrupt_injection = 0;
    }
    /* another may wait behind it */
    k->run->request_interrupt_window = __atomic_load_n(&s->inputs, __ATOMIC_SEQ_CST) & INPUT_INTR ? 1 : 0;
}

static void take_inputs(KvmVcpu *k)
{
    X86State *s = x86(k->vcpu->state);
    uint32_t inputs = __atomic_load_n(&s->inputs, __ATOMIC_SEQ_CST);
    k->run->request_interrupt_window = 0;
    if (!inputs)
        return;
    if (inputs & (INPUT_INIT | INPUT_SIPI))
        deliver_by_state(k);
    if (inputs & INPUT_NMI) {
        ioctl(k->fd, KVM_NMI, 0);
        __atomic_fetch_and(&s->inputs, ~(uint32_t)INPUT_NMI, __ATOMIC_SEQ_CST);
    }
    /* There is no gate for address line 20, and no SMM without the kernel's. */
    __atomic_fetch_and(&s->inputs, ~(uint32_t)(INPUT_A20 | INPUT_SMI), __ATOMIC_SEQ_CST);
    if (inputs & INPUT_INTR)
        inject_interrupt(k, s);
}

/* The access that it left with is to be over before registers are looked at: KVM goes in for that only. */
static void finish_access(KvmVcpu *k)
{
    while (k->unfinished) {
        __atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        int result = enter(k);
        if (result)
            run_failed(k, -result);
        else
            handle_exit(k);
    }
}

bool kvm_fetch_state(KvmVcpu *k, GError **err)
{
    finish_access(k);
    return kvm_get_state(k, err);
}

static bool give_state(KvmVcpu *k)
{
    g_autoptr(GError) err = NULL;
    if (!k->state_here)
        return true;
    k->state_here = false;
    if (kvm_put_state(k, k->was_reset ? KVM_PUT_RESET : KVM_PUT_CHANGES, &err))
        return true;
    k->state_here = true;
    internal_error(k, err->message);
    return false;
}

/* The guest takes now what waits for it: it need not go in to be told so. */
static bool window_open(const KvmVcpu *k)
{
    const struct kvm_run *run = k->run;
    return run->request_interrupt_window && run->ready_for_interrupt_injection && run->if_flag;
}

/* Run the guest until something is asked of the vCPU. */
static void run_guest(KvmVcpu *k)
{
    X86State *s = x86(k->vcpu->state);
    if (!give_state(k))
        return;
    uint8_t tpr = s->apic ? s->apic->get_tpr(s->apic_opaque) >> 4 : 0;
    int result;
    do {
        k->run->cr8 = tpr;
        result = enter(k);
        if (s->apic && k->run->cr8 != tpr)
            s->apic->set_tpr(s->apic_opaque, (uint8_t)(k->run->cr8 << 4));
        if (result)
            run_failed(k, -result);
        else
            handle_exit(k);
        if (s->apic)
            tpr = s->apic->get_tpr(s->apic_opaque) >> 4;
    } while (!result && !__atomic_load_n(&k->vcpu->state->poll, __ATOMIC_RELAXED) && !window_open(k));
}

void kvm_vcpu_run(Vcpu *vcpu)
{
    KvmVcpu *k = kvm_vcpu(vcpu);
    k->thread = pthread_self();
    __atomic_store_n(&k->running, 0, __ATOMIC_SEQ_CST);
    for (;;) {
        __atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (!vcpu_attend(vcpu))
            return;
        if (__atomic_load_n(&k->run->immediate_exit, __ATOMIC_RELAXED)) /* it was woken: KVM_RUN would only return */
            continue;
        if (k->broken) {
            vcpu_group_sleep(vcpu, -1);
            continue;
        }
        take_inputs(k);
        if (!__atomic_load_n(&vcpu->halted, __ATOMIC_RELAXED)) /* INIT halts */
            run_guest(k);
    }
}
