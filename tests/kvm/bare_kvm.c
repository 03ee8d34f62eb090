/*
 * See bare_kvm.h.
 * SPDX-License-Identifier: MIT
 */
#include "bare_kvm.h"
#include "accel/accel.h"
#include "accel/vcpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

enum { SKIPPED = 77 };

static void fail(const char *what, GError *err)
{
    fprintf(stderr, "KVM: %s: %s\n", what, err ? err->message : "it is not there");
    exit(1);
}

int bare_kvm_missing(void)
{
    g_autoptr(GError) err = NULL;
    if (accel_find("kvm")->usable("x86_64", &err))
        return 0;
    printf("skipped: %s\n", err->message);
    return SKIPPED;
}

BareKvm *bare_kvm_new(const char *options, const char *model, uint64_t ram_bytes)
{
    GError *err = NULL;
    MachineConfig config = { .target = "x86_64", .ram_size = ram_bytes, .cpus = 1, .max_cpus = 1 };
    BareKvm *b = g_new0(BareKvm, 1);
    g_autoptr(Opts) opts = options ? opts_parse("-accel", options, NULL, &err) : NULL;
    b->machine = machine_new(NULL, accel_find("kvm"), opts, &config, &err);
    if (!b->machine)
        fail("machine", err);
    b->machine->target = target_find("x86_64");
    machine_lock(b->machine);
    if (!mem_ram_init(&b->ram, b->machine, "ram", ram_bytes, &err))
        fail("memory", err);
    mem_add(&b->machine->root, 0, &b->ram, 0);
    b->machine->ram = &b->ram;
    b->vcpu = vcpu_new(b->machine, model, &err);
    if (!b->vcpu || !machine_prepare(b->machine, &err))
        fail("vCPU", err);
    machine_unlock(b->machine);
    b->k = b->vcpu->accel;
    b->s = x86(b->vcpu->state);
    b->host = b->ram.host;
    return b;
}

void bare_kvm_free(BareKvm *b)
{
    machine_free(b->machine);
    g_free(b);
}

bool bare_kvm_add_avx(BareKvm *b)
{
    enum { MOST = 256, XSAVE = 1 << 26, OSXSAVE = 1 << 27, AVX = 1 << 28, AVX_STATE = 7 };
    const struct kvm_cpuid2 *from = b->k->kvm->supported;
    g_autofree struct kvm_cpuid2 *list = g_malloc0(sizeof(*list) + MOST * sizeof(struct kvm_cpuid_entry2));
    bool known = false;
    list->nent = MIN(from->nent, MOST);
    for (unsigned i = 0; i < list->nent; i++) {
        struct kvm_cpuid_entry2 *e = &list->entries[i];
        *e = from->entries[i];
        if (e->function == 1)
            e->ecx |= XSAVE | AVX;
        if (e->function == 0xd && e->index == 0) {
            known = (e->eax & AVX_STATE) == AVX_STATE;
            e->eax = AVX_STATE;
        }
    }
    if (!known || ioctl(b->k->fd, KVM_SET_CPUID2, list) < 0)
        return false;
    b->k->has_xsave = true;
    return true;
}
