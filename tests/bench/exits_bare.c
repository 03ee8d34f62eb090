/*
 * The least that an exit costs: a bare KVM_RUN loop for each of two processors that runs the ROM of exits.S and does
 * nothing for its accesses (Linux, Documentation/virt/kvm/api.rst). Prints the counts of cycles. For
 * tests/bench/exits.py.
 *
 *     exits_bare ROM        the interrupt controllers are the kernel's
 *     exits_bare ROM off    there are none: HLT is answered at once by the timer's vector; one processor
 * SPDX-License-Identifier: MIT
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROM_BYTES = 0x10000, RAM_BYTES = 0x10000, COUNTS = 6, CPUID_LEAVES = 256, TIMER_VECTOR = 0x40 };

static int kvm, vm;

static int check(int result, const char *what)
{
    if (result < 0)
        err(1, "%s", what);
    return result;
}

static void *memory(size_t bytes)
{
    void *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        err(1, "mmap");
    return host;
}

static void map(unsigned slot, uint64_t at, void *host, size_t bytes)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = at, .memory_size = bytes, .userspace_addr = (uintptr_t)host
    };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void finish(const uint64_t *counts)
{
    for (unsigned i = 0; i < COUNTS && counts[i]; i++)
        printf("%" PRIu64 "\n", counts[i]);
    exit(0);
}

static void *processor(void *opaque)
{
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + CPUID_LEAVES * sizeof(cpuid->entries[0]));
    int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, (uintptr_t)opaque), "KVM_CREATE_VCPU");
    size_t bytes = (size_t)check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED || !cpuid)
        err(1, "mmap");
    cpuid->nent = CPUID_LEAVES;
    check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
    check(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
    uint64_t counts[COUNTS] = { 0 };
    unsigned got = 0;
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno == EAGAIN) /* it has been started */
            continue;
        if (run->exit_reason == KVM_EXIT_MMIO)
            continue;
        if (run->exit_reason == KVM_EXIT_HLT) {
            struct kvm_interrupt interrupt = { .irq = TIMER_VECTOR };
            check(ioctl(vcpu, KVM_INTERRUPT, &interrupt), "KVM_INTERRUPT");
            continue;
        }
        if (run->exit_reason != KVM_EXIT_IO)
            errx(1, "exit %u", run->exit_reason);
        if (run->io.port == 0xf4)
            finish(counts);
        if (run->io.port == 0xe9 && got < sizeof(counts))
            memcpy((char *)counts + got++, (char *)run + run->io.data_offset, 1);
    }
}

int main(int argc, char **argv)
{
    bool off = argc == 3 && !strcmp(argv[2], "off");
    if (argc != 2 && !off)
        errx(2, "usage: exits_bare ROM [off]");
    kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm");
    int file = check(open(argv[1], O_RDONLY), argv[1]);
    vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    void *rom = memory(ROM_BYTES);
    if (read(file, rom, ROM_BYTES) != ROM_BYTES)
        err(1, "%s", argv[1]);
    check(ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000ul), "KVM_SET_TSS_ADDR");
    if (!off)
        check(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    map(0, 0, memory(RAM_BYTES), RAM_BYTES);
    map(1, 0xf0000, rom, ROM_BYTES);
    map(2, 0xffff0000, rom, ROM_BYTES);
    pthread_t second;
    if (!off && pthread_create(&second, NULL, processor, (void *)1))
        err(1, "pthread_create");
    processor(NULL);
    return 0;
}
