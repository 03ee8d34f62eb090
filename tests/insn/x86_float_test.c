/*
 * Loops of x87, SSE and AVX code, and of flags, run by the host's CPU and by Rhea on equal data: what they leave in
 * memory must be equal. With --bench, nanoseconds a turn; --native leaves Rhea out (to be run by another emulator for
 * comparison).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/x86.h"
#include "x86_bare.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    CODE = 0x100000,
    STACK = 0x180000,
    DATA = 0x200000,
    DATA_BYTES = 0x10000,
    GDT = 0x1000,
    PML4 = 0x2000,
    PDPT = 0x3000,
    PD = 0x4000,
    RAM_BYTES = 4 << 20,
    TURNS = 1000
};

/* Each: rdi data, rsi turns; all may be changed but rbx, rbp, r12 to r15. Data: doubles from 0 on, singles from 0x4000
 * on, results from 0x8000 on. */
#define KERNEL(name, text)                                                                       \
    __asm__(".pushsection .text\n" #name "_begin:\n" text "\nret\n" #name "_end:\n.popsection"); \
    extern const uint8_t name##_begin[], name##_end[];

KERNEL(x87_dot, "fldz; xor %eax,%eax\n1: fldl (%rdi,%rax,8); fmull 0x2000(%rdi,%rax,8); faddp\n"
                "inc %eax; cmp %esi,%eax; jb 1b; fstpl 0x8000(%rdi)\n"
                "fnstsw %ax; and $0xfdff,%eax; mov %ax,0x8008(%rdi)")
KERNEL(x87_mixed,
       "fld1; fldpi; xor %eax,%eax\n1: fxch; fadds 0x4000(%rdi,%rax,4); fsqrt; fld %st(0); fsub %st(2),%st\n"
       "fistl 0x8000(%rdi,%rax,4); fabs; fcomip %st(2),%st; setb 0x9000(%rdi,%rax); fchs; fstl 0xa000(%rdi,%rax,8)\n"
       "fabs; inc %eax; cmp %esi,%eax; jb 1b; fstpt 0x9800(%rdi); fstpt 0x9810(%rdi)")
/* With instructions that are helpers in between. */
KERNEL(x87_sine,
       "xor %eax,%eax\n1: fldl (%rdi,%rax,8); fsincos; fpatan; fld1; faddp; fldl (%rdi,%rax,8); fprem; fmulp\n"
       "fstpl 0x8000(%rdi,%rax,8); inc %eax; cmp %esi,%eax; jb 1b")
KERNEL(sse_sum, "xorps %xmm0,%xmm0; xor %eax,%eax\n1: addsd (%rdi,%rax,8),%xmm0; inc %eax; cmp %esi,%eax; jb 1b\n"
                "movsd %xmm0,0x8000(%rdi)")
KERNEL(sse_axpy, "movaps 0x4000(%rdi),%xmm2; xor %eax,%eax\n1: movups 0x4001(%rdi,%rax,4),%xmm0; mulps %xmm2,%xmm0\n"
                 "addps 0x5000(%rdi,%rax,4),%xmm0; movaps %xmm0,0x8000(%rdi,%rax,4); add $4,%eax; cmp %esi,%eax; jb 1b")
KERNEL(sse_integer,
       "movdqa 0x4000(%rdi),%xmm9; pxor %xmm1,%xmm1; xor %eax,%eax\n1: movdqu 0x3(%rdi,%rax,8),%xmm0\n"
       "pshufb %xmm9,%xmm0; paddd %xmm0,%xmm1; psrlw $3,%xmm0; pmaddwd %xmm9,%xmm0; pxor %xmm0,%xmm1\n"
       "pmovmskb %xmm1,%ecx; mov %ecx,0x8000(%rdi,%rax,4); inc %eax; cmp %esi,%eax; jb 1b; movdqa %xmm1,0xa000(%rdi)")
KERNEL(avx_axpy, "vbroadcastss 0x4004(%rdi),%ymm7; xor %eax,%eax\n1: vmovups 0x4001(%rdi,%rax,4),%ymm0\n"
                 "vfmadd213ps 0x5000(%rdi,%rax,4),%ymm7,%ymm0; vmovups %ymm0,0x8004(%rdi,%rax,4); add $8,%eax\n"
                 "cmp %esi,%eax; jb 1b; vzeroupper")
KERNEL(avx_sum,
       "vxorps %xmm0,%xmm0,%xmm0; vxorps %xmm9,%xmm9,%xmm9; xor %eax,%eax\n"
       "1: vaddps 0x4000(%rdi,%rax,4),%ymm0,%ymm0; vpaddd (%rdi,%rax,8),%ymm9,%ymm9; inc %eax; cmp %esi,%eax; jb 1b\n"
       "vmovups %ymm0,0x8000(%rdi); vmovdqu %ymm9,0x8020(%rdi); vzeroupper")
/* Legacy instructions while upper halves are not zero. */
KERNEL(mixed,
       "vmovups 0x4000(%rdi),%ymm1; vmovups 0x4020(%rdi),%ymm12; xor %eax,%eax\n1: addps 0x4000(%rdi),%xmm1\n"
       "cvtps2pd %xmm1,%xmm12; vaddpd %ymm12,%ymm1,%ymm3; sqrtss %xmm3,%xmm12; ucomiss %xmm1,%xmm12\n"
       "seta 0x8000(%rdi,%rax); cvttsd2si %xmm3,%rdx; mov %rdx,0xa000(%rdi,%rax,8); vmovups %ymm12,0x9000(%rdi)\n"
       "inc %eax; cmp %esi,%eax; jb 1b; vmovups %ymm1,0x9020(%rdi); vmovups %ymm3,0x9040(%rdi); vzeroupper")
KERNEL(mmx, "movq (%rdi),%mm1; xor %eax,%eax\n1: movq (%rdi,%rax,8),%mm0; paddw %mm0,%mm1; punpckhbw %mm1,%mm0; "
            "packsswb %mm0,%mm1\n"
            "movq %mm1,0x8000(%rdi,%rax,8); inc %eax; cmp %esi,%eax; jb 1b; emms; fldl (%rdi); fstpl 0xf000(%rdi)")
/* Flags of which a later instruction changes some only. */
KERNEL(part_of_flags,
       "xor %eax,%eax\n1: mov (%rdi,%rax,8),%rcx; mov 0x2000(%rdi,%rax,8),%rdx; lea 0x8000(%rdi,%rax,8),%r8\n"
       "cmp %ecx,%edx; rol $1,%edx; setg (%r8); setbe 1(%r8); cmp %ecx,%edx; ror $1,%rdx; pushf; pop %r9\n"
       "and $0x8d5,%r9d; mov %r9w,2(%r8); add %ecx,%edx; bt $5,%ecx; sete 4(%r8); adc $0,%edx\n"
       "sub %ecx,%edx; bts %rdx,%rcx; ja 2f; notb 5(%r8)\n2: add %rdx,%rcx; rol $1,%ecx; bt $7,%ecx; jc 3f\n"
       "sub $3,%edx\n3: sets 6(%r8); setbe 7(%r8); ror $9,%ecx; stc; cmc; rcl $1,%edx; xor %ecx,%edx; stc\n"
       "setbe %cl; rol %cl,%edx; setc %r9b; clc; adc %edx,%r9d; xor %r9d,(%r8); inc %eax; cmp %esi,%eax; jb 1b")

static const struct {
    const char *name;
    const uint8_t *begin, *end;
} kernels[] = {
#define ROW(name)                       \
    {                                   \
#name, name##_begin, name##_end \
    }
    ROW(x87_dot),  ROW(x87_mixed), ROW(x87_sine), ROW(sse_sum), ROW(sse_axpy),      ROW(sse_integer),
    ROW(avx_axpy), ROW(avx_sum),   ROW(mixed),    ROW(mmx),     ROW(part_of_flags),
};

static uint8_t native[DATA_BYTES] __attribute__((aligned(64)));

static void fill(uint8_t *data)
{
    for (unsigned i = 0; i < 0x800; i++) {
        double v = 1.0 + i * 0.37 - (i % 7) * 2.25;
        memcpy(data + 8 * i, &v, 8);
    }
    for (unsigned i = 0; i < 0x1000; i++) {
        float v = (float)(i % 97) * 0.125f + 0.3f;
        memcpy(data + 0x4000 + 4 * i, &v, 4);
    }
    memset(data + 0x8000, 0, DATA_BYTES - 0x8000);
}

static void set_up(X86Bare *b)
{
    x86_bare_put(b, PML4, PDPT | 7, 8);
    x86_bare_put(b, PDPT, PD | 7, 8);
    for (unsigned i = 0; i < 2; i++)
        x86_bare_put(b, PD + 8 * i, (uint64_t)i << 21 | 0x87, 8);
    x86_bare_put(b, GDT + 8, 0x00af9b000000ffff, 8);
    x86_bare_put(b, GDT + 16, 0x00cf93000000ffff, 8);
}

/* The kernel, called so many times from a loop. */
static void run_rhea(X86Bare *b, unsigned kernel, unsigned times)
{
    static const uint8_t caller[] = { 0x41, 0xff, 0xd6,   /* call r14 */
                                      0x4c, 0x89, 0xfe,   /* mov rsi, r15 */
                                      0xff, 0xcb,         /* dec ebx */
                                      0x75, 0xf6, 0xf4 }; /* jnz; hlt */
    size_t size = (size_t)(kernels[kernel].end - kernels[kernel].begin);
    memcpy(b->host + CODE, caller, sizeof(caller));
    memcpy(b->host + CODE + 0x40, kernels[kernel].begin, size);
    x86_bare_code_written(b, CODE, 0x1000);
    X86State *s = b->s;
    const X86Entry entry = { .bits = 64,
                             .cs = 8,
                             .ds = 16,
                             .rip = CODE,
                             .rsp = STACK,
                             .cr3 = PML4,
                             .gdt_base = GDT,
                             .gdt_limit = 23,
                             .rdi = DATA,
                             .rsi = TURNS,
                             .rbx = times };
    x86_set_entry(&s->cs, &entry);
    b->machine->target->cpu_reset(&s->cs);
    s->gpr[R14] = CODE + 0x40;
    s->gpr[R15] = TURNS;
    s->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s->xcr0 = 7;
    x87_reset(s);
    x86_mode_changed(s);
    while (!x86_bare_run(b))
        ;
    g_assert_cmphex(s->gpr[RBX], ==, 0);
}

static void run_native(unsigned kernel)
{
    register uint8_t *data __asm__("rdi") = native;
    register uint64_t turns __asm__("rsi") = TURNS;
    __asm__ volatile("fninit; call *%2"
                     : "+r"(data), "+r"(turns)
                     : "r"(kernels[kernel].begin)
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3",
                       "xmm7", "xmm9", "xmm12", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bench(X86Bare *b, unsigned kernel)
{
    enum { TIMES = 300 };
    double t = cpu_ns();
    for (unsigned i = 0; i < TIMES; i++)
        run_native(kernel);
    double host = (cpu_ns() - t) / TIMES / TURNS;
    if (!b) {
        printf("%-12s %8.2f ns\n", kernels[kernel].name, host);
        return;
    }
    run_rhea(b, kernel, 2);
    t = cpu_ns();
    run_rhea(b, kernel, TIMES);
    printf("%-12s host %8.2f  rhea %8.2f ns\n", kernels[kernel].name, host, (cpu_ns() - t) / TIMES / TURNS);
}

static bool check(X86Bare *b, unsigned kernel, const char *executor)
{
    fill(native);
    run_native(kernel);
    fill(b->host + DATA);
    run_rhea(b, kernel, 1);
    for (unsigned i = 0; i < DATA_BYTES; i++) {
        if (native[i] != b->host[DATA + i]) {
            fprintf(stderr, "%s (%s): byte 0x%x is %02x, on the host %02x\n", kernels[kernel].name, executor, i,
                    b->host[DATA + i], native[i]);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    bool only_host = argc > 1 && !strcmp(argv[1], "--native"),
         timed = only_host || (argc > 1 && !strcmp(argv[1], "--bench"));
    bool ok = true;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 77;
    fill(native);
    for (unsigned jit = only_host ? 2 : timed ? 1 : 0; jit < 2; jit++) {
        X86Bare *b = x86_bare_new(jit, RAM_BYTES);
        set_up(b);
        for (unsigned k = 0; k < G_N_ELEMENTS(kernels); k++) {
            ok &= check(b, k, jit ? "jit" : "interpreter");
            if (timed)
                bench(b, k);
        }
        x86_bare_free(b);
    }
    for (unsigned k = 0; k < G_N_ELEMENTS(kernels) && only_host; k++)
        bench(NULL, k);
    return !ok;
}
