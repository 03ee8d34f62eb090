/*
 * KVM: the accelerator: /dev/kvm, the VM, its vCPUs' file descriptors (see kvm.h).
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "target/target.h"
#include "target/x86/cpu.h"
#include "target/x86/x86.h"
#include "util/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"
/* Three pages for a TSS and one for page tables that Intel processors need in real mode: below the firmware, as where
 * no machine has anything else. */
#define IDENTITY_MAP UINT64_C(0xfeffc000)
#define TSS          UINT64_C(0xfeffd000)

/* ---- can it be had ---- */

static bool open_error(int e, GError **err)
{
    switch (e) {
    case ENOENT:
        return error_set(err, "KVM: there is no " KVM_DEVICE ": load the module kvm-intel or kvm-amd, and in a virtual "
                              "machine or container have it passed through");
    case EACCES:
    case EPERM:
        return error_set(err, "KVM: no permission to open " KVM_DEVICE ": become a member of the group that owns it "
                              "(usually kvm)");
    case ENODEV:
    case ENXIO:
    case EOPNOTSUPP:
        return error_set(err, "KVM: the processor's virtualisation (VMX, SVM) is missing or switched off: enable it in "
                              "the firmware's set-up");
    default:
        return error_set_errno(err, e, "KVM: cannot open " KVM_DEVICE);
    }
}

static bool has_capabilities(int fd, GError **err)
{
    static const struct {
        int number;
        const char *name;
    } needed[] = { { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
                   { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
                   { KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM" },
                   { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
                   { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
                   { KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS" },
                   { KVM_CAP_XSAVE, "KVM_CAP_XSAVE" },
                   { KVM_CAP_XCRS, "KVM_CAP_XCRS" } };
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return error_set(err, "KVM: the kernel's interface has version %d; %d is needed", version, KVM_API_VERSION);
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].number) <= 0)
            return error_set(err, "KVM: the kernel's has not %s; a newer kernel is needed", needed[i].name);
    }
    return true;
}

static int open_device(GError **err)
{
    int fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        open_error(errno, err);
        return -1;
    }
    if (has_capabilities(fd, err))
        return fd;
    close(fd);
    return -1;
}

static bool is_x86(const char *target)
{
    return !strcmp(target, "x86_64") || !strcmp(target, "i386");
}

/* A new VM, or -1. */
static int open_vm(int fd, GError **err)
{
    int vm;
    do {
        vm = ioctl(fd, KVM_CREATE_VM, 0);
    } while (vm < 0 && errno == EINTR);
    if (vm < 0 && (errno == ENODEV || errno == EOPNOTSUPP))
        open_error(errno, err);
    else if (vm < 0 && errno == EBUSY)
        error_set(err, "KVM: the processor's virtualisation is in use by another hypervisor");
    else if (vm < 0)
        error_set_errno(err, errno, "KVM: cannot create a virtual machine");
    return vm;
}

/* Some kernels say only of a VM that the processor cannot have one. */
static bool kvm_usable(const char *target, GError **err)
{
    if (target && !is_x86(target))
        return error_set(err, "KVM: this host runs x86_64 and i386 guests, not %s", target);
    int fd = open_device(err);
    if (fd < 0)
        return false;
    int vm = open_vm(fd, err);
    if (vm >= 0)
        close(vm);
    close(fd);
    return vm >= 0;
}

/* ---- the VM ---- */

static bool create_vm(KvmState *kvm, GError **err)
{
    kvm->vm = open_vm(kvm->fd, err);
    if (kvm->vm < 0)
        return false;
    uint64_t identity = IDENTITY_MAP;
    if (ioctl(kvm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(kvm->vm, KVM_SET_TSS_ADDR, TSS) < 0)
        return error_set_errno(err, errno, "KVM: cannot place the pages for real mode");
    return true;
}

/* A list whose length the kernel tells by E2BIG. */
static void *get_list(int fd, unsigned long request, size_t head, size_t entry, GError **err)
{
    for (uint32_t n = 256; n <= 65536; n *= 2) {
        uint32_t *list = g_malloc0(head + n * entry);
        list[0] = n; /* nent or nmsrs */
        if (ioctl(fd, request, list) == 0)
            return list;
        int e = errno;
        g_free(list);
        if (e != E2BIG)
            return error_set_errno(err, e, "KVM: cannot get the list of %s",
                                   request == KVM_GET_MSR_INDEX_LIST ? "MSRs" : "CPUID leaves"),
                   NULL;
    }
    error_set(err, "KVM: the kernel's lists are too long");
    return NULL;
}

static bool get_lists(KvmState *kvm, GError **err)
{
    kvm->supported =
        get_list(kvm->fd, KVM_GET_SUPPORTED_CPUID, sizeof(struct kvm_cpuid2), sizeof(struct kvm_cpuid_entry2), err);
    if (!kvm->supported)
        return false;
    kvm->msrs = get_list(kvm->fd, KVM_GET_MSR_INDEX_LIST, sizeof(struct kvm_msr_list), sizeof(uint32_t), err);
    kvm->has_tsc_deadline = ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    int bytes = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    kvm->xsave_bytes = MAX((size_t)MAX(bytes, 0), sizeof(struct kvm_xsave));
    return kvm->msrs;
}

static void kvm_destroy(Machine *machine)
{
    KvmState *kvm = machine->accel_state;
    if (!kvm)
        return;
    machine->irqchip = NULL;
    machine_remove_hooks(machine, kvm);
    kvm_slots_free(kvm);
    kvm_routes_free(kvm);
    if (kvm->breakpoints)
        g_array_free(kvm->breakpoints, TRUE);
    if (kvm->vm >= 0)
        close(kvm->vm);
    if (kvm->fd >= 0)
        close(kvm->fd);
    g_free(kvm->supported);
    g_free(kvm->msrs);
    g_mutex_clear(&kvm->lock);
    g_cond_clear(&kvm->resumed);
    g_free(kvm);
    machine->accel_state = NULL;
}

static bool build(KvmState *kvm, GError **err)
{
    kvm->fd = open_device(err);
    if (kvm->fd < 0 || !create_vm(kvm, err) || !get_lists(kvm, err))
        return false;
    int bytes = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof(struct kvm_run))
        return error_set(err, "KVM: the kernel's vCPU area has only %d bytes", bytes);
    kvm->run_bytes = (size_t)bytes;
    kvm_signals_init();
    kvm_state_init_vm(kvm);
    kvm_clock_init(kvm);
    return kvm_slots_init(kvm, err);
}

/* Of -accel kvm, or -machine as before there was that. */
static bool choose_irqchip(Machine *machine, Opts *opts, unsigned *mode, GError **err)
{
    static const char *const names[] = { "on", "split", "off", NULL };
    Opts *machine_opts = machine->config.machine_opts;
    if (machine_opts && opts_has(machine_opts, "kernel-irqchip") &&
        !opts_enum(machine_opts, "kernel-irqchip", names, mode, err))
        return false;
    return !opts || opts_enum(opts, "kernel-irqchip", names, mode, err);
}

static bool kvm_init(Machine *machine, Opts *opts, GError **err)
{
    unsigned irqchip = KVM_IRQCHIP_WHOLE;
    if (machine->config.icount)
        return error_set(err, "-accel kvm: nothing counts instructions there: -icount needs -accel tcg");
    if (machine->target && !is_x86(machine->target->name))
        return kvm_usable(machine->target->name, err);
    if (!choose_irqchip(machine, opts, &irqchip, err))
        return false;
    KvmState *kvm = g_new0(KvmState, 1);
    machine->accel_state = kvm;
    kvm->machine = machine;
    kvm->vm = -1;
    g_mutex_init(&kvm->lock);
    g_cond_init(&kvm->resumed);
    if (build(kvm, err) && kvm_irqchip_init(kvm, irqchip, err))
        return true;
    kvm_destroy(machine);
    return false;
}

/* ---- vCPUs ---- */

static void vcpu_unmap(KvmVcpu *k)
{
    kvm_coalesced_vcpu_gone(k);
    if (k->run)
        munmap(k->run, k->kvm->run_bytes);
    if (k->fd >= 0)
        close(k->fd);
    kvm_state_free(k);
    g_free((void *)k->debug.request.points);
    tcg_step_free(k->interpreter);
    for (unsigned i = 0; i < KVM_SPACES; i++) {
        if (k->views[i])
            view_put(k->views[i]);
    }
    k->vcpu->accel = NULL;
    g_free(k);
}

static bool vcpu_map(KvmVcpu *k, GError **err)
{
    KvmState *kvm = k->kvm;
    k->fd = ioctl(kvm->vm, KVM_CREATE_VCPU, (unsigned long)x86_apic_id(k->vcpu->state));
    if (k->fd < 0)
        return error_set_errno(err, errno, "KVM: cannot create vCPU %u", k->vcpu->index);
    void *run = mmap(NULL, kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
    if (run == MAP_FAILED)
        return error_set_errno(err, errno, "KVM: cannot map vCPU %u", k->vcpu->index);
    k->run = run;
    kvm_coalesced_vcpu(k);
    return kvm_state_init(k, err);
}

static bool kvm_vcpu_init(Vcpu *vcpu, GError **err)
{
    KvmVcpu *k = g_new0(KvmVcpu, 1);
    k->vcpu = vcpu;
    k->kvm = vcpu->machine->accel_state;
    k->fd = -1;
    k->state_here = k->was_reset = true;
    vcpu->accel = k;
    for (unsigned i = 0; i < KVM_SPACES; i++)
        k->views[i] = view_get(k->kvm->spaces[i].as);
    if (vcpu_map(k, err))
        return true;
    vcpu_unmap(k);
    return false;
}

static void kvm_vcpu_destroy(Vcpu *vcpu)
{
    if (vcpu->accel)
        vcpu_unmap(vcpu->accel);
}

static void kvm_vcpu_read_state(Vcpu *vcpu)
{
    g_autoptr(GError) err = NULL;
    KvmVcpu *k = kvm_vcpu(vcpu);
    if (!k->state_here && !kvm_fetch_state(k, &err))
        g_printerr("rhea: vCPU %u: %s\n", vcpu->index, err->message);
    k->state_here = true;
}

static void kvm_vcpu_was_reset(Vcpu *vcpu)
{
    KvmVcpu *k = kvm_vcpu(vcpu);
    k->state_here = k->was_reset = true;
    k->broken = k->unfinished = false;
    if (!vcpu->machine->irqchip)
        return;
    __atomic_store_n(&vcpu->halted, false, __ATOMIC_SEQ_CST); /* who waits for a start-up IPI does so in the kernel */
    /* INIT and start-up may come before its thread runs; given then, this state would make the kernel forget them. */
    if (x86(vcpu->state)->waiting)
        k->state_here = !kvm_put_state(k, KVM_PUT_RESET, NULL); /* if not, its thread will say why */
}

static void kvm_cpuid(Machine *machine, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    kvm_supported_cpuid(machine->accel_state, leaf, subleaf, out);
}

extern const AccelType accel_kvm;
const AccelType accel_kvm = {
    .name = "kvm",
    .desc = "the host's processor, by Linux' KVM",
    .no_smm = true,
    .option_names = (const char *const[]){ "kernel-irqchip", NULL },
    .usable = kvm_usable,
    .init = kvm_init,
    .destroy = kvm_destroy,
    .vcpu_init = kvm_vcpu_init,
    .vcpu_destroy = kvm_vcpu_destroy,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_read_state = kvm_vcpu_read_state,
    .vcpu_was_reset = kvm_vcpu_was_reset,
    .vcpu_debug = kvm_vcpu_debug,
    .cpuid = kvm_cpuid,
    .info_kvm = kvm_info,
};
