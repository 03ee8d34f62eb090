/*
 * KVM: instructions that the kernel cannot emulate (api.rst: KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION,
 * KVM_CAP_EXIT_ON_EMULATION_FAILURE). Processors without unrestricted guests, and kernels that have KVM without the
 * processor's help, come to them.
 *
 * Such an instruction is executed by the target on the state that the kernel has left, with all that it raises. What
 * the kernel alone knows is not asked of the target: the clocks, MSRs, and the devices that the kernel has; what wants
 * those stops the guest.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "target/x86/cpu.h"
#include "util/error.h"
#include "util/log.h"
#include <inttypes.h>
#include <sys/ioctl.h>

enum { APIC_ISR = 0x100 };
#define APIC_PAGE        UINT64_C(4096)
#define IOAPIC_BASE      UINT64_C(0xfec00000)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2APIC (1u << 10)

/* ---- what the kernel has ---- */

static bool kernel_has_memory(Vcpu *vcpu, uint64_t address)
{
    const X86State *s = x86(vcpu->state);
    const Irqchip *chip = vcpu->machine->irqchip;
    bool xapic = (s->apic_base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
    uint64_t page = address & ~(APIC_PAGE - 1);
    if (!chip)
        return false;
    return (xapic && page == (s->apic_base & ~(APIC_PAGE - 1))) || (chip->has_chips && page == IOAPIC_BASE);
}

static bool kernel_has_port(const Machine *machine, unsigned port, unsigned size)
{
    /* the 8259 pair, the 8254, port 61 */
    static const struct {
        uint16_t first, last;
    } ports[] = { { 0x20, 0x21 }, { 0xa0, 0xa1 }, { 0x4d0, 0x4d1 }, { 0x40, 0x43 }, { 0x61, 0x61 } };
    for (unsigned i = 0; machine->irqchip && machine->irqchip->has_chips && i < G_N_ELEMENTS(ports); i++) {
        if (port <= ports[i].last && port + size > ports[i].first)
            return true;
    }
    return false;
}

/* The port that it accesses, and *size; -1: none. */
static int port_of(const X86State *s, const X86Insn *i, unsigned *size)
{
    bool immediate = i->opcode >= 0xe4 && i->opcode <= 0xe7, dx = i->opcode >= 0xec && i->opcode <= 0xef;
    bool string = i->opcode >= 0x6c && i->opcode <= 0x6f;
    if (i->map || !(immediate || dx || string))
        return -1;
    *size = !(i->opcode & 1) ? 1 : i->operand_size == 2 ? 2 : 4;
    return immediate ? (uint8_t)i->imm : (uint16_t)s->gpr[RDX];
}

/* rdtsc, rdtscp, rdpmc, rdmsr, wrmsr */
static bool asks_the_kernel(const X86Insn *i)
{
    return i->map == 1 && ((i->opcode >= 0x30 && i->opcode <= 0x33) || (i->opcode == 0x01 && i->modrm == 0xf9));
}

/* ---- what is at the instruction pointer ---- */

/* Does it leave all but kvm_get_core's part of the state alone? Those of one byte but for x87's. */
static bool core_only(const X86Insn *i)
{
    return !i->map && !i->vex && i->opcode != 0x9b && (i->opcode < 0xd8 || i->opcode > 0xdf);
}

static bool may_be_done(KvmVcpu *k, bool *core, GError **err)
{
    const X86State *s = x86(k->vcpu->state);
    uint8_t bytes[16];
    unsigned count = sizeof(bytes), size = 0;
    X86Insn i = { 0 };
    if (!tcg_step_peek(k->interpreter, bytes, &count))
        return error_set(err, "there is no memory");
    if (count)
        x86_decode(x86_code_bits(s), s->decode_features, true, bytes, count, &i);
    *core = !i.length || !i.row || core_only(&i);
    if (!i.length || !i.row) /* it will raise */
        return true;
    int port = port_of(s, &i, &size);
    if (port >= 0 && kernel_has_port(k->vcpu->machine, (unsigned)port, size))
        return error_set(err, "%s at port 0x%x, which the kernel has", i.row->name, (unsigned)port);
    if (asks_the_kernel(&i))
        return error_set(err, "%s, which only the kernel knows", i.row->name);
    log_printf(LOG_INT, "KVM: vCPU %u: %s at %" PRIx64 " is executed here\n", k->vcpu->index, i.row->name, s->cs.pc);
    return true;
}

/* Kernels that do not only tell of it let it be an undefined instruction, too. */
static bool take_back_exception(KvmVcpu *k, GError **err)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    if (!e->exception.injected && !e->exception.pending)
        return true;
    if (e->exception.nr != VECTOR_UD)
        return error_set(err, "exception %u is under way", e->exception.nr);
    e->exception.injected = e->exception.pending = 0;
    return true;
}

/* ---- */

/* The state for it, all or the core, if it can be done. */
static bool fetch(KvmVcpu *k, bool *core, GError **err)
{
    X86State *s = x86(k->vcpu->state);
    if (!kvm_get_core(k, err))
        return false;
    s->a20_mask = UINT64_MAX; /* there is no gate */
    if (!may_be_done(k, core, err) || (!*core && !kvm_get_state(k, err)) || !take_back_exception(k, err))
        return false;
    x86_watch_changed(s);
    x86_mode_changed(s);
    return true;
}

static void halted(KvmVcpu *k)
{
    struct kvm_mp_state halted = { KVM_MP_STATE_HALTED };
    if (k->vcpu->machine->irqchip) {
        ioctl(k->fd, KVM_SET_MP_STATE, &halted);
        return;
    }
    __atomic_store_n(&k->vcpu->halted, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&k->vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
}

static TcgCpu *interpreter(KvmVcpu *k)
{
    if (!k->interpreter)
        k->interpreter = tcg_step_new(k->vcpu, kernel_has_memory);
    return k->interpreter;
}

bool kvm_emulate(KvmVcpu *k, GError **err)
{
    const DebugPoint *hit;
    bool core = false;
    interpreter(k);
    if (!fetch(k, &core, err))
        return false;
    bool ran = !__atomic_load_n(&k->vcpu->halted, __ATOMIC_RELAXED);
    TcgStep done = tcg_step(k->interpreter, &k->debug.request, &hit);
    __atomic_store_n(&k->emulated, k->emulated + 1, __ATOMIC_RELAXED);
    k->broken = ran && __atomic_load_n(&k->vcpu->halted, __ATOMIC_RELAXED); /* a triple fault, which resets */
    if (!(core ? kvm_put_core(k, err) : kvm_put_state(k, KVM_PUT_CHANGES, err)))
        return false;
    if (done == TCG_STEP_REFUSED)
        return error_set(err, "it accesses a device that the kernel has");
    if (done == TCG_STEP_HALTED)
        halted(k);
    kvm_debug_stepped(k, hit);
    return true;
}

/* ---- events ---- */

/* What was given to the processor and has not arrived. */
static void deliver(CpuState *cs, void *opaque)
{
    X86State *s = x86(cs);
    struct kvm_vcpu_events *e = opaque;
    log_printf(LOG_INT, "KVM: vCPU %u: an event at %" PRIx64 " is delivered here\n", cs->vcpu->index, cs->pc);
    if (e->exception.injected) {
        x86_raise(s, e->exception.nr, e->exception.error_code);
    } else {
        x86_external_interrupt(s, e->nmi.injected ? VECTOR_NMI : e->interrupt.nr);
        s->nmi_blocked |= e->nmi.injected;
    }
    e->exception.injected = e->nmi.injected = e->interrupt.injected = 0;
    e->triple_fault.pending = 0;
}

/* The guest's controllers have this interrupt acknowledged, and wait for its end. */
static bool in_service(KvmVcpu *k, unsigned vector)
{
    struct kvm_lapic_state lapic;
    const Irqchip *irqchip = k->vcpu->machine->irqchip;
    for (unsigned n = 0; irqchip && irqchip->has_chips && n < 2; n++) {
        struct kvm_irqchip chip = { .chip_id = n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER };
        if (ioctl(k->kvm->vm, KVM_GET_IRQCHIP, &chip) == 0 && vector - chip.chip.pic.irq_base < 8 &&
            chip.chip.pic.isr >> (vector - chip.chip.pic.irq_base) & 1)
            return true;
    }
    return irqchip && ioctl(k->fd, KVM_GET_LAPIC, &lapic) == 0 &&
           lapic.regs[APIC_ISR + vector / 32 * 16 + vector % 32 / 8] >> vector % 8 & 1;
}

/* Kernels without the processor's help push an interrupt's frame to ESP without SS's base. Where there is no memory
 * they then call it a triple fault, and have forgotten that it was on its way. */
static bool lost_interrupt(KvmVcpu *k)
{
    const X86State *s = x86(k->vcpu->state);
    bool based = s->cr0 & CR0_PE && !x86_long(s) && !(s->eflags & FLAG_VM) && s->segment[X86_SS].base;
    if (!based || !(s->eflags & FLAG_IF))
        return false;
    if (k->given)
        k->rest.events.interrupt.nr = (uint8_t)(k->given - 1);
    return k->given || in_service(k, k->rest.events.interrupt.nr);
}

bool kvm_deliver_again(KvmVcpu *k)
{
    struct kvm_vcpu_events *e = &k->rest.events;
    g_autoptr(GError) err = NULL;
    if (!kvm_get_core(k, &err))
        return false;
    bool interrupt = e->interrupt.injected && !e->interrupt.soft; /* else: how long the instruction is is not known */
    if (!e->exception.injected && !e->nmi.injected && !interrupt && !lost_interrupt(k))
        return false;
    x86(k->vcpu->state)->a20_mask = UINT64_MAX;
    bool ran = !__atomic_load_n(&k->vcpu->halted, __ATOMIC_RELAXED);
    tcg_step_call(interpreter(k), deliver, e);
    __atomic_store_n(&k->emulated, k->emulated + 1, __ATOMIC_RELAXED);
    k->broken = ran && __atomic_load_n(&k->vcpu->halted, __ATOMIC_RELAXED); /* it is one, and the reset is asked for */
    return kvm_put_core(k, &err);
}
