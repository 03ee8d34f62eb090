/*
 * The host's side: a child process that loads all registers, jumps to the instruction and catches what comes of it: a
 * jump to an exit, or a signal. Exits and signal handlers find what they need at fixed addresses, since no register is
 * theirs; 32-bit and 16-bit code is reached by far jumps, its segments are in the process's LDT.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "x86_insn.h"
#include <asm/ldt.h>
#include <cpuid.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* Where the asm below finds things. */
#define SCRATCH 0x3a5a0000
typedef struct Scratch {
    X86Regs in, out;
    uint64_t host_rsp, host_fs, host_gs, common_exit, target;
    struct {
        uint32_t offset;
        uint16_t selector;
    } far;
    uint16_t is_far, steps;
    uint64_t frame[5]; /* of an iret */
    uint8_t stack[512] __attribute__((aligned(64)));
    uint8_t clean_fx[832] __attribute__((aligned(64)));
} Scratch;
#define scratch ((Scratch *)(uintptr_t)SCRATCH)

const struct X86TestSegment x86_ldt[X86_LDT_ENTRIES] = {
    [SEL_DATA16 >> 3] = { BASE, 0xffff, 0xf3 },          [SEL_CODE16 >> 3] = { BASE, 0xffff, 0xfb },
    [SEL_LIMITED >> 3] = { BASE, LIMITED_LAST, 0x40f3 }, [SEL_EXPAND >> 3] = { BASE, EXPAND_LIMIT, 0x40f7 },
    [SEL_READ_ONLY >> 3] = { BASE, 0xffff, 0x40f1 },     [SEL_SHIFTED >> 3] = { SHIFTED_BASE, 0xfffff, 0xc0f3 },
    [SEL_ABSENT >> 3] = { BASE, 0xffff, 0x4073 },        [SEL_CODE_READ >> 3] = { 0, 0xfffff, 0xc0fb },
    [SEL_EXECUTE >> 3] = { 0, 0xfffff, 0xc0f9 },
};

void x86_native_enter(void);
void x86_native_leave(void);
void x86_native_exit(void);
void x86_native_signal(int sig, siginfo_t *info, void *context);
void x86_native_caught(int sig, siginfo_t *info, void *context);
extern const char x86_native_begin[], x86_native_end[];

#define LOAD_GPRS                                                                                        \
    "movq %c[in]+%c[gpr]+0, %%rax\n movq %c[in]+%c[gpr]+8, %%rcx\n movq %c[in]+%c[gpr]+16, %%rdx\n"      \
    "movq %c[in]+%c[gpr]+24, %%rbx\n movq %c[in]+%c[gpr]+40, %%rbp\n movq %c[in]+%c[gpr]+48, %%rsi\n"    \
    "movq %c[in]+%c[gpr]+56, %%rdi\n movq %c[in]+%c[gpr]+64, %%r8\n movq %c[in]+%c[gpr]+72, %%r9\n"      \
    "movq %c[in]+%c[gpr]+80, %%r10\n movq %c[in]+%c[gpr]+88, %%r11\n movq %c[in]+%c[gpr]+96, %%r12\n"    \
    "movq %c[in]+%c[gpr]+104, %%r13\n movq %c[in]+%c[gpr]+112, %%r14\n movq %c[in]+%c[gpr]+120, %%r15\n" \
    "movq %c[in]+%c[gpr]+32, %%rsp\n"
#define SAVE_GPRS                                                                                          \
    "movq %%rax, %c[out]+%c[gpr]+0\n movq %%rcx, %c[out]+%c[gpr]+8\n movq %%rdx, %c[out]+%c[gpr]+16\n"     \
    "movq %%rbx, %c[out]+%c[gpr]+24\n movq %%rsp, %c[out]+%c[gpr]+32\n movq %%rbp, %c[out]+%c[gpr]+40\n"   \
    "movq %%rsi, %c[out]+%c[gpr]+48\n movq %%rdi, %c[out]+%c[gpr]+56\n movq %%r8, %c[out]+%c[gpr]+64\n"    \
    "movq %%r9, %c[out]+%c[gpr]+72\n movq %%r10, %c[out]+%c[gpr]+80\n movq %%r11, %c[out]+%c[gpr]+88\n"    \
    "movq %%r12, %c[out]+%c[gpr]+96\n movq %%r13, %c[out]+%c[gpr]+104\n movq %%r14, %c[out]+%c[gpr]+112\n" \
    "movq %%r15, %c[out]+%c[gpr]+120\n"
#define SAVE_SEGMENTS                                                                              \
    "movw %%es, %c[out]+%c[seg]+0\n movw %%ss, %c[out]+%c[seg]+4\n movw %%ds, %c[out]+%c[seg]+6\n" \
    "movw %%fs, %c[out]+%c[seg]+8\n movw %%gs, %c[out]+%c[seg]+10\n"                               \
    "rdfsbase %%rax\n movq %%rax, %c[out]+%c[fs_base]\n rdgsbase %%rax\n movq %%rax, %c[out]+%c[gs_base]\n"

/* Not a function: it holds those whose names it defines. */
void x86_native_asm(void);
__attribute__((used, naked)) void x86_native_asm(void)
{
    __asm__ volatile(
        ".globl x86_native_begin, x86_native_end, x86_native_enter, x86_native_leave, x86_native_exit, "
        "x86_native_signal\n"
        "x86_native_begin:\n"
        "x86_native_enter:\n"
        "push %%rbx\n push %%rbp\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
        "movq %%rsp, %c[host_rsp]\n"
        "movl $7, %%eax\n xorl %%edx, %%edx\n xrstor %c[in]\n"
        "movw %c[in]+%c[seg]+0, %%es\n movw %c[in]+%c[seg]+6, %%ds\n"
        "movw %c[in]+%c[seg]+8, %%fs\n movw %c[in]+%c[seg]+10, %%gs\n"
        "cmpw $0, %c[steps]\n jne 2f\n"
        "cmpw $0, %c[is_far]\n jne 1f\n"
        "movq %c[in]+%c[fs_base], %%rax\n wrfsbase %%rax\n movq %c[in]+%c[gs_base], %%rax\n wrgsbase %%rax\n"
        "movq $%c[stack], %%rsp\n pushq %c[in]+%c[rflags]\n popfq\n" LOAD_GPRS "jmpq *%c[target]\n"
        "1:\n"
        "movw %c[in]+%c[seg]+4, %%ss\n"
        "movq $%c[stack], %%rsp\n pushq %c[in]+%c[rflags]\n popfq\n" LOAD_GPRS "ljmpl *%c[far]\n"
        /* with TF everything has to be there at once, so that the instruction is the first that traps */
        "2:\n"
        "cmpw $0, %c[is_far]\n jne 1f\n"
        "movq %c[in]+%c[fs_base], %%rax\n wrfsbase %%rax\n movq %c[in]+%c[gs_base], %%rax\n wrgsbase %%rax\n"
        "1:\n" LOAD_GPRS "movq $%c[frame], %%rsp\n iretq\n"
        /* all exits meet here */
        "x86_native_exit:\n" SAVE_GPRS
        "movq $%c[stack], %%rsp\n pushfq\n popq %c[out]+%c[rflags]\n pushq $0x202\n popfq\n" SAVE_SEGMENTS
        "movl $7, %%eax\n xorl %%edx, %%edx\n xsave %c[out]\n"
        "x86_native_leave:\n"
        "movl $7, %%eax\n xorl %%edx, %%edx\n xrstor %c[clean]\n"
        "movl $0x2b, %%eax\n movw %%ax, %%ss\n movq %c[host_rsp], %%rsp\n"
        "xorl %%eax, %%eax\n movw %%ax, %%ds\n movw %%ax, %%es\n movw %%ax, %%fs\n movw %%ax, %%gs\n"
        "movq %c[host_fs], %%rax\n wrfsbase %%rax\n movq %c[host_gs], %%rax\n wrgsbase %%rax\n"
        "pushq $0x202\n popfq\n"
        "pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbp\n pop %%rbx\n ret\n"
        /* the timer's signal may come anywhere: what it interrupts is an instance's, or goes on */
        "x86_native_signal:\n"
        "pushq $0x202\n popfq\n" /* not with AC */
        "cmpl $14, %%edi\n jne 1f\n movq %c[rip](%%rdx), %%rax\n shrq $16, %%rax\n cmpq %[base], %%rax\n je 1f\n ret\n"
        "1:\n" SAVE_SEGMENTS "movq %c[host_fs], %%rax\n wrfsbase %%rax\n jmp x86_native_caught\n"
        "x86_native_end:\n"
        :
        : [in] "i"(SCRATCH + offsetof(Scratch, in)), [out] "i"(SCRATCH + offsetof(Scratch, out)),
          [gpr] "i"(offsetof(X86Regs, gpr)), [seg] "i"(offsetof(X86Regs, seg)), [rflags] "i"(offsetof(X86Regs, rflags)),
          [fs_base] "i"(offsetof(X86Regs, fs_base)), [gs_base] "i"(offsetof(X86Regs, gs_base)),
          [host_rsp] "i"(SCRATCH + offsetof(Scratch, host_rsp)), [host_fs] "i"(SCRATCH + offsetof(Scratch, host_fs)),
          [host_gs] "i"(SCRATCH + offsetof(Scratch, host_gs)), [is_far] "i"(SCRATCH + offsetof(Scratch, is_far)),
          [target] "i"(SCRATCH + offsetof(Scratch, target)), [far] "i"(SCRATCH + offsetof(Scratch, far)),
          [stack] "i"(SCRATCH + offsetof(Scratch, stack) + sizeof(scratch->stack)),
          [steps] "i"(SCRATCH + offsetof(Scratch, steps)), [frame] "i"(SCRATCH + offsetof(Scratch, frame)),
          [clean] "i"(SCRATCH + offsetof(Scratch, clean_fx)), [base] "i"(BASE >> 16),
          [rip] "i"(offsetof(ucontext_t, uc_mcontext.gregs) + 8 * REG_RIP));
}

static X86Batch *batch;
static uint8_t *code_alias, *exits_alias, *read_only_alias;
static int to_child = -1, from_child = -1;
static pid_t child;

static void die(const char *what)
{
    perror(what);
    _exit(3);
}

/* On the alternate stack, with the host's FS. The C library's TLS is there again, but this may interrupt anything. */
__attribute__((no_sanitize("address", "undefined", "thread"))) void x86_native_caught(int sig, siginfo_t *info,
                                                                                      void *context)
{
    const ucontext_t *uc = context;
    const greg_t *g = uc->uc_mcontext.gregs;
    static const int order[] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    uint64_t rip = (uint64_t)g[REG_RIP];
    bool hangs = sig == SIGALRM;
    if (rip >= (uintptr_t)x86_native_begin && rip < (uintptr_t)x86_native_end && !hangs) {
        static const char text[] = "x86 native: the registers of an instance cannot be loaded\n";
        if (write(2, text, sizeof(text) - 1) < 0)
            _exit(4);
        _exit(3);
    }
    X86Regs *out = &scratch->out;
    for (unsigned i = 0; i < 16; i++)
        out->gpr[i] = (uint64_t)g[order[i]];
    out->rip = rip;
    out->rflags = (uint64_t)g[REG_EFL];
    out->seg[X86_SS] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
    out->seg[X86_CS] = (uint16_t)g[REG_CSGSFS];
    out->vector = hangs ? VECTOR_HANGS : (uint8_t)g[REG_TRAPNO];
    out->error = (uint32_t)g[REG_ERR];
    out->address = (uint64_t)g[REG_CR2];
    __builtin_memcpy(out->fx, uc->uc_mcontext.fpregs, sizeof(out->fx));
    x86_native_leave();
}

static void *map_at(uint64_t at, uint64_t size, int prot, int fd)
{
    void *want = (void *)(uintptr_t)at;
    void *p = mmap(want, size, prot,
                   MAP_FIXED_NOREPLACE | MAP_POPULATE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), fd, 0);
    if (p != want)
        die("x86 native: mmap");
    return p;
}

/* A page at `at` with this protection; returns where it can be written. */
static uint8_t *map_twice(uint64_t at, int prot)
{
    int fd = memfd_create("x86-insn", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 4096))
        die("x86 native: memfd");
    map_at(at, 4096, prot, fd);
    uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        die("x86 native: mmap");
    close(fd);
    return p;
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

void x86_make_exits(uint8_t *page)
{
    for (unsigned mark = 0; mark < MARKS; mark++) {
        uint8_t *p = page + EXIT_OF(64, mark) - EXITS; /* mov byte [out.mark], mark; jmp [common_exit] */
        memcpy(p, "\xc6\x04\x25", 3);
        put32(p + 3, SCRATCH + offsetof(Scratch, out) + offsetof(X86Regs, mark));
        p[7] = (uint8_t)mark;
        memcpy(p + 8, "\xff\x24\x25", 3);
        put32(p + 11, SCRATCH + offsetof(Scratch, common_exit));
        p = page + EXIT_OF(32, mark) - EXITS; /* jmpf SEL_CODE64:EXIT_OF(64) */
        memcpy(p, "\xea\0\0\0\0\x33\0", 7);
        put32(p + 1, EXIT_OF(64, mark));
        p = page + EXIT_OF(16, mark) - EXITS;
        memcpy(p, "\x66\xea\0\0\0\0\x33\0", 8);
        put32(p + 2, EXIT_OF(64, mark));
    }
}

static void make_ldt(void)
{
    for (unsigned i = 0; i < X86_LDT_ENTRIES; i++) {
        uint16_t a = x86_ldt[i].attributes;
        struct user_desc d = { .entry_number = i,
                               .base_addr = x86_ldt[i].base,
                               .limit = x86_ldt[i].limit,
                               .seg_32bit = a >> 14 & 1,
                               .contents = a >> 2 & 3,
                               .read_exec_only = !(a & 2),
                               .limit_in_pages = a >> 15,
                               .seg_not_present = !(a & 0x80) };
        if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
            die("x86 native: modify_ldt");
    }
}

static void set_up(void)
{
    static const int caught[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    code_alias = map_twice(CODE, PROT_READ | PROT_EXEC);
    exits_alias = map_twice(EXITS, PROT_READ | PROT_EXEC);
    read_only_alias = map_twice(READ_ONLY, PROT_READ);
    map_at(DATA, DATA_END - DATA, PROT_READ | PROT_WRITE, -1);
    map_at(SCRATCH, (sizeof(Scratch) + 4095) & ~4095ul, PROT_READ | PROT_WRITE, -1);
    for (uint64_t at = CODE; at < DATA_END; at += at == EXITS ? 0x2000 : 0x1000) /* present from the beginning */
        (void)*(volatile uint8_t *)(uintptr_t)at;
    make_ldt();
    scratch->common_exit = (uintptr_t)x86_native_exit;
    __asm__ volatile("rdfsbase %0\n\trdgsbase %1" : "=r"(scratch->host_fs), "=r"(scratch->host_gs));
    scratch->clean_fx[FX_FCW] = 0x7f;
    scratch->clean_fx[FX_FCW + 1] = 3;
    put32(scratch->clean_fx + FX_MXCSR, 0x1f80);
    stack_t stack = { .ss_sp = malloc(1 << 18), .ss_size = 1 << 18 };
    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(caught); i++) {
        struct sigaction sa = { .sa_sigaction = x86_native_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
        sigaction(caught[i], &sa, NULL);
    }
}

static void run_case(const X86Encoding *e, const X86Case *in, X86Case *out)
{
    uint32_t entry = CODE + e->slot + e->at;
    scratch->in = in->regs;
    scratch->out.vector = VECTOR_MARK;
    scratch->out.error = 0;
    scratch->out.address = 0;
    scratch->out.rip = 0;
    scratch->out.seg[X86_CS] = in->regs.seg[X86_CS];
    scratch->is_far = e->bits != 64;
    scratch->target = entry;
    scratch->far.offset = e->bits == 16 ? entry - BASE : entry;
    scratch->far.selector = in->regs.seg[X86_CS];
    scratch->steps = (in->regs.rflags & FLAG_TF) != 0;
    scratch->frame[0] = e->bits == 16 ? entry - BASE : entry;
    scratch->frame[1] = in->regs.seg[X86_CS];
    scratch->frame[2] = in->regs.rflags;
    scratch->frame[3] = in->regs.gpr[RSP];
    scratch->frame[4] = in->regs.seg[X86_SS];
    memcpy((void *)(uintptr_t)WINDOW, in->window, WINDOW_BYTES);
    x86_native_enter();
    out->regs = scratch->out;
    x86_settle(&out->regs);
    memcpy(out->window, (void *)(uintptr_t)WINDOW, WINDOW_BYTES);
    memcpy(out->edge, (void *)(uintptr_t)(DATA_END - EDGE_BYTES), EDGE_BYTES);
    memcpy((void *)(uintptr_t)DATA, batch->data, ENDS_BYTES);
    memcpy((void *)(uintptr_t)(DATA_END - ENDS_BYTES), batch->data + sizeof(batch->data) - ENDS_BYTES, ENDS_BYTES);
}

static void run_batch(void)
{
    uint32_t eax = 0, ebx, ecx = 0, edx;
    struct itimerval timer = { .it_interval = { .tv_usec = 200000 }, .it_value = { .tv_usec = 200000 } };
    memcpy(code_alias, batch->code, 4096);
    memcpy(exits_alias, batch->code + 4096, 4096);
    x86_make_exits(exits_alias);
    memcpy(read_only_alias, batch->read_only, 4096);
    memcpy((void *)(uintptr_t)DATA, batch->data, DATA_END - DATA);
    __cpuid(0, eax, ebx, ecx, edx); /* code has changed at another address: serialise */
    setitimer(ITIMER_REAL, &timer, NULL);
    for (unsigned i = 0; i < batch->cases; i++)
        run_case(&batch->encoding[i / STATES], &batch->in[i], &batch->native[i]);
    memset(&timer, 0, sizeof(timer));
    setitimer(ITIMER_REAL, &timer, NULL);
    memcpy(batch->native_data, (void *)(uintptr_t)DATA, DATA_END - DATA);
}

static void serve(int in, int out)
{
    char byte;
    set_up();
    while (read(in, &byte, 1) == 1) {
        run_batch();
        if (write(out, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

bool x86_native_start(X86Batch *b)
{
    int in[2], out[2];
    batch = b;
    if (pipe(in) || pipe(out))
        return false;
    child = fork();
    if (!child) {
        close(in[1]);
        close(out[0]);
        serve(in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    to_child = in[1];
    from_child = out[0];
    return child > 0;
}

void x86_native_post(void)
{
    if (write(to_child, "b", 1) != 1)
        perror("x86 native");
}

bool x86_native_wait(void)
{
    char byte;
    return read(from_child, &byte, 1) == 1;
}

void x86_native_stop(void)
{
    close(to_child);
    close(from_child);
    waitpid(child, NULL, 0);
}
