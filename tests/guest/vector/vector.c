/*
 * Vectors in Linux user mode: several processes at once fill all vector registers, are switched away from, and look
 * whether they have kept them; loads and stores run over pages that come only when they are touched; a strlen reads
 * beyond the end of memory with a fault-only-first load; arithmetic agrees with scalar code.
 * SPDX-License-Identifier: MIT
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 5, ROUNDS = 2000, N = 3001 };
static uint8_t in[32 * 128], out[32 * 128];

static void fail(const char *what)
{
    printf("FAILED: %s\n", what);
    exit(1);
}

/* All registers, vl and vtype across timer interrupts that give the processor away. */
static void keep_registers(unsigned seed)
{
    unsigned long vlenb, vl;
    __asm__ volatile("csrr %0, vlenb" : "=r"(vlenb));
    for (unsigned i = 0; i < 32 * vlenb; i++)
        in[i] = i * 7 + seed;
    /* a system call need not keep them, a timer interrupt must: spin */
    __asm__ volatile("mv t0, %1\n vl8r.v v0, (t0)\n add t0, t0, %3\n vl8r.v v8, (t0)\n add t0, t0, %3\n vl8r.v v16, (t0)\n"
                     "add t0, t0, %3\n vl8r.v v24, (t0)\n vsetivli x0, 3, e16, m1, ta, ma\n li t1, 3000\n"
                     "1: addi t1, t1, -1\n bnez t1, 1b\n csrr %0, vl\n"
                     "mv t0, %2\n vs8r.v v0, (t0)\n add t0, t0, %3\n vs8r.v v8, (t0)\n add t0, t0, %3\n vs8r.v v16, (t0)\n"
                     "add t0, t0, %3\n vs8r.v v24, (t0)"
                     : "=&r"(vl)
                     : "r"(in), "r"(out), "r"(8 * vlenb)
                     : "t0", "t1", "memory");
    if (vl != 3 || memcmp(in, out, 32 * vlenb))
        fail("registers after a context switch");
}

static void saxpy(unsigned seed)
{
    static float x[N], y[N], want[N];
    float a = 1.5f + seed;
    for (int i = 0; i < N; i++) {
        x[i] = i * 0.37f - seed;
        y[i] = 1000.0f / (i + 1);
        want[i] = __builtin_fmaf(a, x[i], y[i]);
    }
    for (unsigned long left = N, i = 0, vl; left; left -= vl, i += vl)
        __asm__ volatile("vsetvli %0, %1, e32, m4, ta, ma\n vle32.v v8, (%2)\n vle32.v v16, (%3)\n"
                         "vfmacc.vf v16, %4, v8\n vse32.v v16, (%3)"
                         : "=&r"(vl)
                         : "r"(left), "r"(x + i), "r"(y + i), "f"(a)
                         : "memory");
    if (memcmp(y, want, sizeof y))
        fail("saxpy");
}

static void fresh_pages(unsigned seed)
{
    enum { SIZE = 64 * 4096 };
    uint8_t *p = mmap(NULL, SIZE + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p + SIZE, 4096, PROT_NONE);
    for (unsigned long at = 5, vl; at < SIZE - 5; at += vl) /* not aligned: groups cross into pages that are not there */
        __asm__ volatile("vsetvli %0, %1, e8, m8, ta, ma\n vmv.v.x v8, %2\n vid.v v16\n vadd.vv v8, v8, v16\n vse8.v v8, (%3)"
                         : "=&r"(vl)
                         : "r"(SIZE - 5 - at), "r"((at + seed) & 0xff), "r"(p + at)
                         : "memory");
    for (unsigned at = 5; at < SIZE - 5; at++)
        if (p[at] != (uint8_t)(at + seed))
            fail("stores to fresh pages");
    memset(p + SIZE - 100, 'x', 100);
    p[SIZE - 1] = 0;
    unsigned long length = 0, vl;
    for (long found = -1; found < 0;) { /* strlen */
        __asm__ volatile("vsetvli %0, x0, e8, m8, ta, ma\n vle8ff.v v8, (%2)\n csrr %0, vl\n"
                         "vmseq.vi v1, v8, 0\n vfirst.m %1, v1"
                         : "=&r"(vl), "=&r"(found)
                         : "r"(p + SIZE - 100 + length)
                         : "memory");
        length += found < 0 ? vl : (unsigned long)found;
    }
    if (length != 99)
        fail("strlen at the end of memory");
    munmap(p, SIZE + 4096);
}

int main(void)
{
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (fork())
            continue;
        for (unsigned i = 0; i < ROUNDS; i++) {
            keep_registers(p * 16 + i);
            if (i % 50 == 0) {
                saxpy(p + i);
                fresh_pages(p + i);
            }
        }
        return 0;
    }
    int status, bad = 0;
    while (wait(&status) > 0)
        bad |= status;
    printf(bad ? "vectors: FAILED\n" : "vectors: all right\n");
    return bad != 0;
}
