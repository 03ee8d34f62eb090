/*
 * What the parts of this program share: ports, registers in memory, vectors, output (main.c), waiting (interrupts.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef PC_H
#define PC_H

#include <stdbool.h>
#include <stdint.h>

typedef uintptr_t Word;

#define REG8(at)  (*(volatile uint8_t *)(Word)(at))
#define REG16(at) (*(volatile uint16_t *)(Word)(at))
#define REG32(at) (*(volatile uint32_t *)(Word)(at))
#define REG64(at) (*(volatile uint64_t *)(Word)(at))

enum { DEBUG = 0xe9, END = 0xf4, PIC0 = 0x20, PIC1 = 0xa0, PIT = 0x40, PIT_CONTROL = 0x43, SERIAL = 0x3f8 };
enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, FW_CFG_SELECT = 0x510, FW_CFG_DATA = 0x511 };
enum { APIC = 0xfee00000u, IOAPIC = 0xfec00000u, HPET = 0xfed00000u };
enum { V_NMI = 2, V_PIC = 0x20, V_RTC = V_PIC + 8 };
enum { V_IOAPIC = 0x50, V_LEVEL, V_TIMER, V_SELF, V_MSI, V_PCI, V_BACK_HERE, V_PING = 0x60, V_SYSTEM = 0x80, V_BACK };
enum { MASKED = 0x10000, LEVEL = 0x8000 };

/* ---- start.S ---- */
extern uint64_t gdt[];
extern char entries[], trampoline[], trampoline_end[], level0_stack_top[], user_return[];
extern uint32_t multiboot_info;
void user(void (*function)(void));

/* ---- main.c ---- */
extern volatile uint32_t counts[256]; /* of interrupts by vector */
extern void (*volatile hooks[256])(void);
extern bool x2apic;
extern bool lenient; /* the host's processor cannot run guests: what its kernel does in another way is skipped */
void put(const char *s);
void check(const char *name, uint32_t got, uint32_t wanted);
void skip(const char *name, const char *why);
bool option(const char *name); /* of the command line */
void load_idt(void);
void set_gate(unsigned vector, Word to, uint16_t flags);

/* ---- io.c ---- */
uint32_t pci_read(unsigned device, unsigned reg);
void pci_write(unsigned device, unsigned reg, uint32_t value);
unsigned pci_find(uint32_t id); /* of bus 0, as bits 15:8 of the address; 0: none */
/* Where a BAR in memory is; it goes to place if it is nowhere yet. */
uint32_t pci_bar(unsigned device, unsigned n, uint32_t place);
void test_io(void);
void test_screen(void);

/* ---- interrupts.c ---- */
extern bool early_end;                      /* interrupts end when they are given */
bool wait_for(unsigned vector, uint32_t n); /* until counts[vector] is at least n, halted between interrupts */
void breathe(void);                         /* let what is pending in */
void ioapic_write(unsigned reg, uint32_t value);
void set_pin(unsigned pin, uint32_t low);
void stop_pit(void);
void send_ipi(uint32_t destination, uint32_t command);
void test_interrupts(void);
void test_again(void); /* after a reset */
void test_x2apic(void);
void test_user(void);

/* ---- timers.c, smp.c, virtio.c, power.c, unplug.c ---- */
void test_timers(void);
unsigned start_others(void); /* all that there are; each answers its V_PING */
void test_processors(void);
void test_virtio(void);
void test_unplug(void);
uint16_t pm_base(void);
unsigned power_stage(void); /* how often this program has reset the machine */
void power_next(unsigned stage);

/* ---- ports ---- */

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t v;
    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}

/* ---- the processor ---- */

static inline void cpuid(uint32_t leaf, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}
static inline void write_msr(uint32_t n, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(n), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t read_msr(uint32_t n)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(n) : "memory");
    return low | (uint64_t)high << 32;
}
static inline uint64_t read_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | (uint64_t)high << 32;
}

#endif
