/*
 * What an emulator does between two KVM_RUNs: preloaded (LD_PRELOAD) into its process, takes its ioctl() and counts the
 * cycles from KVM_RUN's return to the next one of that thread, by what the first returned for; what the kernel does
 * within KVM_RUN, and its noise, are not in it. At an access of port 0xf4 prints a line of each kind of exit to
 * standard error: "between", kind, how many, their least and median cycles, requests to KVM other than KVM_RUN by that
 * thread (Linux, Documentation/virt/kvm/api.rst). For tests/bench/exits.py.
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

enum { VCPUS = 2, KEPT = 4096, FDS = 1024, END_PORT = 0xf4, BUSY_PORT = 0x80, HPET = 0xfed00000u >> 12 };
enum { OUT, IN, LOAD, STORE, HALT, OTHER, KINDS };

static const char *const names[KINDS] = { "OUT", "IN", "load", "store", "HLT", "other" };

typedef struct Processor {
    struct kvm_run *run;
    uint64_t left; /* cycles when KVM_RUN last returned; 0: not yet */
    int kind;
    uint32_t cycles[KINDS][KEPT];
    unsigned count[KINDS], requests[KINDS];
} Processor;

static Processor processors[VCPUS];
static Processor *of_fd[FDS];

static int kind_of(const struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        if (run->io.port != BUSY_PORT)
            return OTHER;
        return run->io.direction == KVM_EXIT_IO_OUT ? OUT : IN;
    case KVM_EXIT_MMIO:
        if (run->mmio.phys_addr >> 12 != HPET)
            return OTHER;
        return run->mmio.is_write ? STORE : LOAD;
    case KVM_EXIT_HLT:
        return HALT;
    default:
        return OTHER;
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void print(Processor *p)
{
    for (int kind = 0; kind < KINDS; kind++) {
        unsigned n = p->count[kind] < KEPT ? p->count[kind] : KEPT;
        if (!n)
            continue;
        qsort(p->cycles[kind], n, sizeof(uint32_t), compare);
        fprintf(stderr, "between %s %u %u %u %u\n", names[kind], p->count[kind], p->cycles[kind][0],
                p->cycles[kind][n / 2], p->requests[kind]);
    }
}

static int run(Processor *p, int fd)
{
    if (p->left) {
        uint64_t cycles = __rdtsc() - p->left;
        p->cycles[p->kind][p->count[p->kind]++ % KEPT] = cycles < UINT32_MAX ? (uint32_t)cycles : UINT32_MAX;
    }
    int result = (int)syscall(SYS_ioctl, fd, KVM_RUN, 0);
    int error = errno;
    p->kind = result < 0 ? OTHER : kind_of(p->run);
    if (result >= 0 && p->run->exit_reason == KVM_EXIT_IO && p->run->io.port == END_PORT)
        print(p);
    errno = error;
    p->left = __rdtsc();
    return result;
}

int ioctl(int fd, unsigned long request, ...)
{
    static __thread Processor *self; /* which this thread runs */
    va_list list;
    va_start(list, request);
    unsigned long argument = va_arg(list, unsigned long);
    va_end(list);
    Processor *p = fd >= 0 && fd < FDS ? of_fd[fd] : NULL;
    if (request == KVM_RUN && p) {
        self = p;
        return run(p, fd);
    }
    int result = (int)syscall(SYS_ioctl, fd, request, argument);
    if (self && _IOC_TYPE(request) == KVMIO)
        self->requests[self->kind]++;
    if (request == KVM_CREATE_VCPU && result >= 0 && result < FDS && argument < VCPUS)
        of_fd[result] = &processors[argument];
    return result;
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *host = (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
    if (fd >= 0 && fd < FDS && of_fd[fd] && offset == 0 && host != MAP_FAILED)
        of_fd[fd]->run = host;
    return host;
}

void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return mmap(at, bytes, protection, flags, fd, offset);
}
