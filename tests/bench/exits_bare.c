/*
 * The least that an exit costs: a bare KVM_RUN loop that runs the ROM of exits.S and does nothing for its accesses
 * (Linux, Documentation/virt/kvm/api.rst). Prints the three counts of cycles. For tests/bench/exits.py.
 * SPDX-License-Identifier: MIT
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROM_BYTES = 0x10000, COUNTS = 3 };

static int check(int result, const char *what)
{
    if (result < 0)
        err(1, "%s", what);
    return result;
}

static void map(int vm, unsigned slot, uint64_t at, void *rom)
{
    struct kvm_userspace_memory_region region = { .slot = slot,
                                                  .guest_phys_addr = at,
                                                  .memory_size = ROM_BYTES,
                                                  .userspace_addr = (uintptr_t)rom };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: exits_bare ROM");
    int kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm"), file = check(open(argv[1], O_RDONLY), argv[1]);
    int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    void *rom = mmap(NULL, ROM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (rom == MAP_FAILED || read(file, rom, ROM_BYTES) != ROM_BYTES)
        err(1, "%s", argv[1]);
    check(ioctl(vm, KVM_SET_TSS_ADDR, 0xfeffd000ul), "KVM_SET_TSS_ADDR");
    map(vm, 0, 0xf0000, rom);
    map(vm, 1, 0xffff0000, rom);
    int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    size_t bytes = (size_t)check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED)
        err(1, "mmap");
    uint64_t counts[COUNTS] = { 0 };
    unsigned got = 0;
    for (;;) {
        check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)
            errx(1, "exit %u", run->exit_reason);
        if (run->exit_reason == KVM_EXIT_MMIO)
            continue;
        if (run->io.port == 0xf4)
            break;
        if (run->io.port == 0xe9 && got < sizeof(counts))
            memcpy((char *)counts + got++, (char *)run + run->io.data_offset, 1);
    }
    for (unsigned i = 0; i < COUNTS; i++)
        printf("%" PRIu64 "\n", counts[i]);
    return 0;
}
