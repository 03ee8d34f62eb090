/*
 * A small virtual machine monitor over Linux's KVM for RISC-V, for a nested guest (Documentation/virt/kvm/api.rst):
 *
 *   kvm code                                   a few instructions: registers, MMIO in both directions, shutdown
 *   kvm linux CPUS IMAGE DTB INITRD [aia]      a Linux with a serial port (polled); aia: IMSICs, by KVM
 *
 * RAM is at 0x80000000, the tree says the rest. Ends with 0 after the guest's power-off.
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* <linux/kvm.h> and <asm/kvm.h> since Linux 6.5 */
enum { DEVICE_AIA = 11, AIA_CONFIG = 0, AIA_ADDRESS = 1, AIA_CONTROL = 2 };
enum { CONFIG_MODE, CONFIG_IDS, CONFIG_SOURCES, CONFIG_HART_BITS = 5, MODE_HARDWARE = 1, CONTROL_INIT = 0, ADDRESS_IMSIC = 1 };

enum { RAM = 0x80000000, RAM_SIZE = 256 << 20, UART = 0x10000000, IMSIC = 0x28000000, PAGE = 4096 };
static int kvm, vm;
static char *ram;
static int run_size;

static long check(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(2);
    }
    return result;
}

static void add_ram(void)
{
    ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct kvm_userspace_memory_region region = { .guest_phys_addr = RAM, .memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram };
    check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

/* Put a file into RAM at offset; its size. */
static uint64_t load(const char *path, uint64_t offset)
{
    int fd = check(open(path, O_RDONLY), path);
    struct stat st;
    check(fstat(fd, &st), path);
    for (uint64_t done = 0; done < (uint64_t)st.st_size;)
        done += check(read(fd, ram + offset + done, st.st_size - done), path);
    close(fd);
    return st.st_size;
}

/* ---- the serial port: writes go out, nothing comes in, no interrupt ---- */
static void uart(struct kvm_run *run)
{
    static uint8_t regs[8];
    unsigned reg = run->mmio.phys_addr - UART;
    int divisor = regs[3] & 0x80 && reg < 2;
    if (run->mmio.is_write) {
        if (reg == 0 && !divisor) {
            putchar(run->mmio.data[0]);
            if (run->mmio.data[0] == '\n')
                fflush(stdout);
        }
        regs[reg] = run->mmio.data[0];
    } else {
        memset(run->mmio.data, 0, sizeof(run->mmio.data));
        run->mmio.data[0] = reg == 5 ? 0x60 : reg == 6 ? 0xb0 : reg == 2 ? 1 : reg == 0 ? 0 : regs[reg];
    }
}

/* ---- vCPUs ---- */
static void set_register(int vcpu, uint64_t number, uint64_t value)
{
    struct kvm_one_reg reg = { KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | number, (uintptr_t)&value };
    check(ioctl(vcpu, KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

typedef struct Cpu {
    int fd;
    struct kvm_run *run;
    pthread_t thread;
} Cpu;

static Cpu cpu_new(int n)
{
    Cpu c = { .fd = check(ioctl(vm, KVM_CREATE_VCPU, n), "KVM_CREATE_VCPU") };
    c.run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
    return c;
}

static void *cpu_loop(void *opaque)
{
    struct kvm_run *run = ((Cpu *)opaque)->run;
    for (;;) {
        check(ioctl(((Cpu *)opaque)->fd, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr - UART < 8) {
            uart(run);
        } else if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
            printf("\nkvm: system event %u\n", run->system_event.type);
            exit(run->system_event.type != KVM_SYSTEM_EVENT_SHUTDOWN);
        } else if (run->exit_reason == KVM_EXIT_RISCV_SBI) {
            run->riscv_sbi.ret[0] = -2; /* SBI_ERR_NOT_SUPPORTED */
        } else {
            printf("kvm: exit %u, address %llx\n", run->exit_reason, run->mmio.phys_addr);
            exit(1);
        }
    }
}

/* ---- interrupt files ---- */
static void aia_attribute(int dev, unsigned group, unsigned attribute, void *value)
{
    struct kvm_device_attr attr = { .group = group, .attr = attribute, .addr = (uintptr_t)value };
    check(ioctl(dev, KVM_SET_DEVICE_ATTR, &attr), "KVM_SET_DEVICE_ATTR of the AIA");
}

static void add_aia(int cpus)
{
    struct kvm_create_device create = { .type = DEVICE_AIA };
    const uint32_t config[][2] = {
        { CONFIG_MODE, MODE_HARDWARE }, { CONFIG_IDS, 255 }, { CONFIG_SOURCES, 0 }, { CONFIG_HART_BITS, cpus > 1 }
    };
    check(ioctl(vm, KVM_CREATE_DEVICE, &create), "KVM_CREATE_DEVICE of the AIA");
    for (unsigned i = 0; i < sizeof config / sizeof *config; i++) {
        uint32_t value = config[i][1];
        aia_attribute(create.fd, AIA_CONFIG, config[i][0], &value);
    }
    for (int i = 0; i < cpus; i++) {
        uint64_t at = IMSIC + i * PAGE;
        aia_attribute(create.fd, AIA_ADDRESS, ADDRESS_IMSIC + i, &at);
    }
    aia_attribute(create.fd, AIA_CONTROL, CONTROL_INIT, NULL);
    puts("kvm: guest interrupt files");
}

/* ---- what runs ---- */
static int run_code(void)
{
    static const uint32_t code[] = {
        0x02a00293, /* li t0, 42 */
        0x00552023, /* sw t0, 0(a0) */
        0x00452303, /* lw t1, 4(a0) */
        0x00130313, /* addi t1, t1, 1 */
        0x00652423, /* sw t1, 8(a0) */
        0x00000513, /* li a0, 0 */
        0x535258b7, 0x35488893, /* li a7, 0x53525354 */ 0x00000813, /* li a6, 0 */
        0x00000593, /* li a1, 0 */
        0x00000073, /* ecall: shutdown */
    };
    uint64_t written[2] = { 0 };
    Cpu c = cpu_new(0);
    memcpy(ram, code, sizeof(code));
    set_register(c.fd, KVM_REG_RISCV_CORE_REG(regs.pc), RAM);
    set_register(c.fd, KVM_REG_RISCV_CORE_REG(regs.a0), UART);
    for (;;) {
        check(ioctl(c.fd, KVM_RUN, 0), "KVM_RUN");
        if (c.run->exit_reason == KVM_EXIT_SYSTEM_EVENT)
            break;
        if (c.run->exit_reason != KVM_EXIT_MMIO || c.run->mmio.len != 4) {
            printf("kvm: exit %u\n", c.run->exit_reason);
            return 1;
        }
        uint32_t v = 1000;
        if (c.run->mmio.is_write)
            memcpy(&written[c.run->mmio.phys_addr == UART + 8], c.run->mmio.data, 4);
        else
            memcpy(c.run->mmio.data, &v, 4);
    }
    printf("kvm: code wrote %llu and %llu\n", (unsigned long long)written[0], (unsigned long long)written[1]);
    return !(written[0] == 42 && written[1] == 1001);
}

static int run_linux(int cpus, const char *image, const char *dtb, const char *initrd, int aia)
{
    enum { KERNEL = 2 << 20, DTB = 96 << 20, INITRD = 128 << 20 }; /* the tree gives the kernel initrd's start, and an end beyond it */
    static Cpu cpu[8];
    load(image, KERNEL);
    load(dtb, DTB);
    load(initrd, INITRD);
    for (int i = 0; i < cpus; i++)
        cpu[i] = cpu_new(i);
    if (aia)
        add_aia(cpus);
    set_register(cpu[0].fd, KVM_REG_RISCV_CORE_REG(regs.pc), (uint64_t)RAM + KERNEL);
    set_register(cpu[0].fd, KVM_REG_RISCV_CORE_REG(regs.a0), 0);
    set_register(cpu[0].fd, KVM_REG_RISCV_CORE_REG(regs.a1), (uint64_t)RAM + DTB);
    for (int i = 0; i < cpus; i++)
        check(-pthread_create(&cpu[i].thread, NULL, cpu_loop, &cpu[i]), "pthread_create");
    pthread_join(cpu[0].thread, NULL);
    return 1;
}

int main(int argc, char **argv)
{
    kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm");
    printf("kvm: API %d\n", ioctl(kvm, KVM_GET_API_VERSION, 0));
    run_size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    add_ram();
    if (argc == 2 && !strcmp(argv[1], "code"))
        return run_code();
    if (argc >= 6 && !strcmp(argv[1], "linux"))
        return run_linux(atoi(argv[2]), argv[3], argv[4], argv[5], argc > 6 && !strcmp(argv[6], "aia"));
    fputs("usage: kvm code | kvm linux CPUS IMAGE DTB INITRD [aia]\n", stderr);
    return 2;
}
