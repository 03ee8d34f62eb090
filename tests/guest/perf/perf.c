/*
 * A guest program that uses what `perf stat` and `perf record` use: counts of cycles, instructions and TLB misses, and
 * samples at every overflow of a cycle counter, in user mode only and in both. Ends with "perf: all right", or says
 * what was wrong.
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 16, SAMPLES = 10 };

static void fail(const char *what, uint64_t got)
{
    printf("perf: FAILED: %s, got %llu (%s)\n", what, (unsigned long long)got, strerror(errno));
    exit(1);
}

static int event(unsigned type, uint64_t config, uint64_t period, int user_only)
{
    struct perf_event_attr a = { .type = type,
                                 .size = sizeof a,
                                 .config = config,
                                 .sample_period = period,
                                 .sample_type = PERF_SAMPLE_IP,
                                 .disabled = 1,
                                 .exclude_kernel = user_only,
                                 .exclude_hv = 1 };
    int fd = syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
    if (fd < 0)
        fail("perf_event_open", config);
    return fd;
}

static uint64_t value(int fd)
{
    uint64_t v;
    if (read(fd, &v, sizeof v) != sizeof v)
        fail("read of a counter", 0);
    return v;
}

static uint64_t ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void work(uint64_t for_ns)
{
    uint64_t end = ns() + for_ns;
    volatile unsigned x = 1;
    while (ns() < end)
        for (int i = 0; i < 1000; i++)
            x = x * 3;
}

static uint64_t samples(const struct perf_event_mmap_page *page, uint64_t *in_user)
{
    const char *data = (const char *)page + getpagesize();
    uint64_t n = 0, head = page->data_head, size = (uint64_t)PAGES * getpagesize();
    for (uint64_t at = 0; at < head && head <= size;) {
        const struct perf_event_header *h = (const void *)(data + at);
        if (h->type == PERF_RECORD_SAMPLE) {
            n++;
            *in_user += *(const int64_t *)(h + 1) > 0;
        }
        at += h->size;
    }
    return n;
}

int main(void)
{
    int cycles = event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, 0, 1),
        insns = event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, 0, 0);
    int misses = event(PERF_TYPE_HW_CACHE, PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_RESULT_MISS << 16, 0, 0);
    int sampled = event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, 1000000, 1); /* a millisecond */
    struct perf_event_mmap_page *page =
        mmap(NULL, (PAGES + 1) * getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, sampled, 0);
    if (page == MAP_FAILED)
        fail("mmap of samples", 0);
    const int all[] = { cycles, insns, misses, sampled };
    for (int i = 0; i < 4; i++)
        ioctl(all[i], PERF_EVENT_IOC_ENABLE, 0);
    uint64_t start = ns(), in_user = 0;
    work(300000000);
    for (uint64_t seen = 0;
         samples(page, &seen) < SAMPLES && ns() - start < 20000000000ull;) /* the host may be busy with others */
        work(50000000);
    for (volatile char *p = malloc(64 << 20), *end = p + (64 << 20); p < end; p += 4096)
        *p = *(p + 8);
    uint64_t wall = ns() - start;
    for (int i = 0; i < 4; i++)
        ioctl(all[i], PERF_EVENT_IOC_DISABLE, 0);
    uint64_t c = value(cycles), i = value(insns), m = value(misses), n = samples(page, &in_user);
    printf("perf: %llu ns, %llu cycles in user mode, %llu instructions, %llu TLB misses, %llu samples\n",
           (unsigned long long)wall, (unsigned long long)c, (unsigned long long)i, (unsigned long long)m,
           (unsigned long long)n);
    if (c < 100000000 || c > wall * 11 / 10)
        fail("cycles in user mode", c);
    if (i < c || i > wall * 11 / 10)
        fail("instructions", i);
    if (m < 16 || m > 10000000)
        fail("TLB misses", m);
    if (n < SAMPLES || n > c / 1000000 * 2 ||
        in_user < n / 10) /* on a busy host several periods pass at once, and a tick comes first */
        fail("samples", n);
    puts("perf: all right");
    return 0;
}
