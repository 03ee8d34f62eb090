// SPDX-License-Identifier: MIT
// Guest benchmarks for system emulators: "bench [-s scale] name..." prints "BENCH name seconds checksum".
// "bench exec NAME cmd..." times one command. No name: all that apply to this architecture.
#define _GNU_SOURCE
#include <pthread.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef uint32_t u32;
typedef uint64_t u64;
static double scale = 1;
static u32 seed;
static u32 rnd(void) { seed ^= seed << 13; seed ^= seed >> 17; return seed ^= seed << 5; }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static u64 reps(double n) { n *= scale; return n < 1 ? 1 : (u64)n; }
#define NOINLINE __attribute__((noinline))

// ---- integer
static u64 b_sieve(void) {
    enum { N = 1 << 20 };
    char *a = malloc(N);
    u64 c = 0;
    for (u64 r = reps(150); r--;) {
        memset(a, 1, N);
        for (u32 i = 2; i * i < N; i++)
            if (a[i]) for (u32 j = i * i; j < N; j += i) a[j] = 0;
        for (u32 i = 2; i < N; i++) c += a[i];
    }
    free(a);
    return c;
}
static NOINLINE void qs(u32 *a, long n) {
    while (n > 1) {
        u32 p = a[n / 2], t;
        long i = 0, j = n - 1;
        for (;; i++, j--) {
            while (a[i] < p) i++;
            while (a[j] > p) j--;
            if (i >= j) break;
            t = a[i]; a[i] = a[j]; a[j] = t;
        }
        qs(a, j + 1 < i ? j + 1 : i);
        a += i; n -= i;
        if (j >= i) { a++; n--; }
    }
}
static u64 b_qsort(void) {
    enum { N = 1 << 20 };
    u32 *a = malloc(N * 4);
    u64 c = 0;
    for (u64 r = reps(4); r--;) {
        for (int i = 0; i < N; i++) a[i] = rnd();
        qs(a, N);
        c += a[N / 3];
    }
    free(a);
    return c;
}
static u64 b_hash(void) {
    struct node { struct node *next; u32 key, val; };
    enum { B = 1 << 16, N = 200000 };
    u64 c = 0;
    for (u64 r = reps(4); r--;) {
        struct node **h = calloc(B, sizeof *h);
        for (int i = 0; i < N; i++) {
            struct node *n = malloc(sizeof *n);
            n->key = rnd() % (4 * N); n->val = i;
            u32 b = n->key * 2654435761u >> 16;
            n->next = h[b]; h[b] = n;
        }
        for (int i = 0; i < 4 * N; i++) {
            u32 k = rnd() % (4 * N);
            for (struct node *n = h[k * 2654435761u >> 16]; n; n = n->next)
                if (n->key == k) { c += n->val; break; }
        }
        for (int i = 0; i < B; i++)
            for (struct node *n = h[i], *x; n; n = x) { x = n->next; free(n); }
        free(h);
    }
    return c;
}
static u64 b_crc32(void) {
    static u32 t[256];
    enum { N = 1 << 20 };
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
        t[i] = c;
    }
    unsigned char *a = malloc(N);
    for (int i = 0; i < N; i++) a[i] = rnd();
    u32 c = ~0u;
    for (u64 r = reps(150); r--;)
        for (int i = 0; i < N; i++) c = t[(c ^ a[i]) & 255] ^ c >> 8;
    free(a);
    return c;
}
// A bytecode machine: 8 registers, one op per word; the program counts down with some arithmetic and a branch.
enum { ADD, SUB, XOR, MUL, SHR, LDI, JNZ, JODD, HALT };
struct ins { unsigned char op, a, b; signed char imm; };
static const struct ins prog[] = {
    {LDI, 1, 0, 7}, {LDI, 2, 0, 1}, {LDI, 3, 0, 3},
    {ADD, 4, 1, 0}, {MUL, 4, 3, 0}, {XOR, 5, 4, 0}, {JODD, 5, 0, 2}, {SHR, 5, 0, 1}, {ADD, 1, 2, 0},
    {XOR, 6, 5, 0}, {JODD, 4, 0, 2}, {ADD, 6, 3, 0}, {SUB, 0, 2, 0}, {JNZ, 0, 0, -10}, {HALT, 0, 0, 0},
};
static NOINLINE u64 run_switch(u64 n) {
    u64 r[8] = {n};
    for (const struct ins *p = prog;;) switch (p->op) {
        case ADD: r[p->a] += r[p->b]; p++; break;
        case SUB: r[p->a] -= r[p->b]; p++; break;
        case XOR: r[p->a] ^= r[p->b]; p++; break;
        case MUL: r[p->a] *= r[p->b]; p++; break;
        case SHR: r[p->a] >>= p->imm; p++; break;
        case LDI: r[p->a] = p->imm; p++; break;
        case JNZ: p += r[p->a] ? p->imm : 1; break;
        case JODD: p += r[p->a] & 1 ? p->imm : 1; break;
        case HALT: return r[6];
        }
}
typedef const struct ins *opfn(const struct ins *, u64 *);
#define OP(n, e) static const struct ins *f_##n(const struct ins *p, u64 *r) { e; return p + 1; }
OP(add, r[p->a] += r[p->b]) OP(sub, r[p->a] -= r[p->b]) OP(xor, r[p->a] ^= r[p->b]) OP(mul, r[p->a] *= r[p->b])
OP(shr, r[p->a] >>= p->imm) OP(ldi, r[p->a] = p->imm)
static const struct ins *f_jnz(const struct ins *p, u64 *r) { return p + (r[p->a] ? p->imm : 1); }
static const struct ins *f_jodd(const struct ins *p, u64 *r) { return p + (r[p->a] & 1 ? p->imm : 1); }
static opfn *const ops[] = {f_add, f_sub, f_xor, f_mul, f_shr, f_ldi, f_jnz, f_jodd};
static u64 b_interp_switch(void) { return run_switch(reps(4e6)); }
static u64 b_interp_fptr(void) {
    u64 r[8] = {reps(3e6)};
    for (const struct ins *p = prog; p->op != HALT;) p = ops[p->op](p, r);
    return r[6];
}
static NOINLINE u32 fib(u32 n) { u32 r = n < 2 ? n : fib(n - 1) + fib(n - 2); __asm__("" : "+r"(r)); return r; }
static u64 b_fib(void) { u64 c = 0; for (u64 r = reps(6); r--;) c += fib(32); return c; }
static u64 b_string(void) {
    enum { N = 1 << 12 };
    static char s[N], d[N];
    u64 c = 0;
    for (u64 r = reps(40000); r--;)
        for (int i = 0; i < 64; i++) {
            u32 n = 16 + (i * 37 & 511);
            memset(s, 'a' + (i & 7), n); s[n] = 0;
            memcpy(d, s, n + 1);
            c += strlen(d) + (strcmp(s, d) == 0) + (strchr(d, 0) - d);
            c += (char *)memchr(s, 0, N) - s;
        }
    return c;
}
static const u32 K[64] = {
    0x428a2f98,0x71374491,0xb5c0fbcf,0xe9b5dba5,0x3956c25b,0x59f111f1,0x923f82a4,0xab1c5ed5,0xd807aa98,0x12835b01,0x243185be,
    0x550c7dc3,0x72be5d74,0x80deb1fe,0x9bdc06a7,0xc19bf174,0xe49b69c1,0xefbe4786,0x0fc19dc6,0x240ca1cc,0x2de92c6f,0x4a7484aa,
    0x5cb0a9dc,0x76f988da,0x983e5152,0xa831c66d,0xb00327c8,0xbf597fc7,0xc6e00bf3,0xd5a79147,0x06ca6351,0x14292967,0x27b70a85,
    0x2e1b2138,0x4d2c6dfc,0x53380d13,0x650a7354,0x766a0abb,0x81c2c92e,0x92722c85,0xa2bfe8a1,0xa81a664b,0xc24b8b70,0xc76c51a3,
    0xd192e819,0xd6990624,0xf40e3585,0x106aa070,0x19a4c116,0x1e376c08,0x2748774c,0x34b0bcb5,0x391c0cb3,0x4ed8aa4a,0x5b9cca4f,
    0x682e6ff3,0x748f82ee,0x78a5636f,0x84c87814,0x8cc70208,0x90befffa,0xa4506ceb,0xbef9a3f7,0xc67178f2};
static u64 b_sha256(void) {
    u32 h[8] = {0x6a09e667,0xbb67ae85,0x3c6ef372,0xa54ff53a,0x510e527f,0x9b05688c,0x1f83d9ab,0x5be0cd19}, w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = rnd();
#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))
    for (u64 r = reps(250e3); r--;) {
        for (int i = 16; i < 64; i++)
            w[i] = w[i-16] + (ROR(w[i-15],7) ^ ROR(w[i-15],18) ^ w[i-15] >> 3) + w[i-7] + (ROR(w[i-2],17) ^ ROR(w[i-2],19) ^ w[i-2] >> 10);
        memcpy(s, h, sizeof s);
        for (int i = 0; i < 64; i++) {
            u32 a = s[0], e = s[4];
            u32 t1 = s[7] + (ROR(e,6) ^ ROR(e,11) ^ ROR(e,25)) + (s[6] ^ (e & (s[5] ^ s[6]))) + K[i] + w[i];
            u32 t2 = (ROR(a,2) ^ ROR(a,13) ^ ROR(a,22)) + ((a & s[1]) | (s[2] & (a | s[1])));
            s[7] = s[6]; s[6] = s[5]; s[5] = e; s[4] = s[3] + t1;
            s[3] = s[2]; s[2] = s[1]; s[1] = a; s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) h[i] += s[i];
        w[r & 15] ^= h[0];
    }
    return h[0];
}
// ---- floating point
static double out(double d) { return d * 1e6; }
#define NBODY(name, T, SQRT, n) \
static u64 name(void) { \
    T p[5][7]; \
    for (int i = 0; i < 5; i++) { for (int k = 0; k < 6; k++) p[i][k] = (T)(i * 3 + k * 1.25 + 1) * (k < 3 ? 1 : 0.01); p[i][6] = 1 + i; } \
    for (u64 r = reps(n); r--;) { \
        for (int i = 0; i < 5; i++) for (int j = i + 1; j < 5; j++) { \
            T x = p[i][0] - p[j][0], y = p[i][1] - p[j][1], z = p[i][2] - p[j][2], d = x * x + y * y + z * z; \
            T m = (T)0.001 / (d * SQRT(d)); \
            p[i][3] -= x * p[j][6] * m; p[i][4] -= y * p[j][6] * m; p[i][5] -= z * p[j][6] * m; \
            p[j][3] += x * p[i][6] * m; p[j][4] += y * p[i][6] * m; p[j][5] += z * p[i][6] * m; \
        } \
        for (int i = 0; i < 5; i++) for (int k = 0; k < 3; k++) p[i][k] += (T)0.001 * p[i][k + 3]; \
    } \
    return (u64)out(p[0][0] * p[0][0]); \
}
NBODY(b_nbody, double, __builtin_sqrt, 1000e3)
#ifdef __x86_64__
NBODY(b_x87, long double, __builtin_sqrtl, 100e3)
#endif
static u64 b_mandel(void) {
    u64 c = 0;
    for (u64 r = reps(10); r--;)
        for (int y = 0; y < 200; y++) for (int x = 0; x < 200; x++) {
            double a = x / 80.0 - 2, b = y / 100.0 - 1, u = 0, v = 0, t;
            int i = 0;
            for (; i < 200 && u * u + v * v < 4; i++) { t = u * u - v * v + a; v = 2 * u * v + b; u = t; }
            c += i;
        }
    return c;
}
static u64 b_matmul(void) {
    enum { N = 160 };
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) a[i][j] = i + j * 0.5, b[i][j] = i * 0.25 - j;
    for (u64 r = reps(20); r--;)
        for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) {
            double s = 0;
            for (int k = 0; k < N; k++) s += a[i][k] * b[k][j];
            c[i][j] = s; a[j][i] += 1e-9;
        }
    return (u64)out(c[7][9] > 0 ? c[7][9] : -c[7][9]);
}
u64 simd_f32(u64), simd_u8(u64), simd_f32_avx2(u64), simd_u8_avx2(u64);
static u64 b_simd_f32(void) { return simd_f32(reps(30e3)); }
static u64 b_simd_u8(void) { return simd_u8(reps(100e3)); }
#ifdef __x86_64__
static u64 b_avx2_f32(void) { return __builtin_cpu_supports("avx2") ? simd_f32_avx2(reps(30e3)) : 0; }
static u64 b_avx2_u8(void) { return __builtin_cpu_supports("avx2") ? simd_u8_avx2(reps(100e3)) : 0; }
#endif
// ---- memory
static u64 b_membw(void) {
    enum { N = 16 << 20 };
    char *a = malloc(N), *b = malloc(N);
    memset(a, 1, N); memset(b, 2, N);
    u64 c = 0;
    for (u64 r = reps(150); r--;) { memcpy(a, b, N); a[r] = 3; memcpy(b, a, N); c += b[N - 1]; }
    free(a); free(b);
    return c;
}
static u64 b_chase(void) {  // random walk over 128 MiB: TLB and cache misses
    enum { N = 128 << 20 >> 6 };
    struct line { u32 next, pad[15]; } *a = malloc(N * sizeof *a);
    for (u32 i = 0; i < N; i++) a[i].next = i;
    for (u32 i = N - 1; i; i--) { u32 j = rnd() % i, t = a[i].next; a[i].next = a[j].next; a[j].next = t; }
    u32 p = 0;
    for (u64 r = reps(3e6); r--;) p = a[p].next;
    free(a);
    return p;
}
static u64 b_fault(void) {
    u64 c = 0;
    for (u64 r = reps(80); r--;) {
        enum { N = 4 << 20 };
        char *a = mmap(0, N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(a, N, MADV_NOHUGEPAGE);
        for (int i = 0; i < N; i += 4096) a[i] = 1, c++;
        munmap(a, N);
    }
    return c;
}
static u64 b_tmpfs(void) {
    static char buf[1 << 16];
    int f = open("/tmp/bench.dat", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (f < 0) { perror("tmpfs"); return 0; }
    for (int i = 0; i < 256; i++) if (write(f, buf, sizeof buf) < 0) return 0;
    u64 c = 0;
    for (u64 r = reps(50); r--;) {
        lseek(f, 0, SEEK_SET);
        for (long n; (n = read(f, buf, sizeof buf)) > 0;) c += n;
    }
    close(f); unlink("/tmp/bench.dat");
    return c;
}
static u64 b_blkrand(void) {  // random 4 KiB O_DIRECT reads of the disk, one at a time; only by name
    int f = open("/dev/vda", O_RDONLY | O_DIRECT);
    u64 c = 0, n = lseek(f, 0, SEEK_END) >> 12;
    void *m = aligned_alloc(4096, 4096);
    if (f < 0 || !n || n == ~0ul >> 12) return 0;
    for (u64 r = reps(5000); r--;) c += pread(f, m, 4096, (u64)(rnd() % n) << 12);
    close(f);
    return c;
}
// ---- kernel
static u64 b_syscall(void) { u64 c = 0; for (u64 r = reps(1.2e6); r--;) c += syscall(SYS_getppid) >= 0; return c; }
static u64 b_pipe(void) {
    int p[2], q[2];
    char x = 1;
    u64 n = reps(50e3), c = 0;
    if (pipe(p) || pipe(q)) return 0;
    pid_t k = fork();
    if (!k) { close(p[1]); while (read(p[0], &x, 1) == 1 && write(q[1], &x, 1) == 1); _exit(0); }
    while (n--) c += write(p[1], &x, 1) + read(q[0], &x, 1);
    close(p[1]); waitpid(k, 0, 0);
    close(p[0]); close(q[0]); close(q[1]);
    return c;
}
static u64 b_fork(void) {
    u64 c = 0;
    for (u64 r = reps(600); r--;) {
        pid_t k = fork();
        int st = 1;
        if (!k) { execl("/proc/self/exe", "bench", "nop", (char *)0); _exit(1); }
        waitpid(k, &st, 0);
        c += st == 0;
    }
    return c;
}
static u64 b_jitcode(void) {  // new machine code on one page, run at once: self-modifying code for the emulator
    u32 *m = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u64 c = 0;
    for (u64 r = reps(25e3); r--;) {
        u32 v = r & 0x7ff, *p = m + (r % 64) * 4;
#if defined __x86_64__
        ((char *)p)[0] = (char)0xb8; memcpy((char *)p + 1, &v, 4); ((char *)p)[5] = (char)0xc3;
#elif defined __aarch64__
        p[0] = 0x52800000 | v << 5; p[1] = 0xd65f03c0;
#else
        p[0] = 0x00000513 | v << 20; p[1] = 0x00008067;
#endif
        __builtin___clear_cache((char *)p, (char *)p + 16);
        c += ((u32 (*)(void))p)();
    }
    munmap(m, 4096);
    return c;
}
// ---- threads
static u64 ctr;
static u64 b_atomic(void) { for (u64 r = reps(40e6); r--;) __atomic_fetch_add(&ctr, 1, __ATOMIC_SEQ_CST); return ctr; }
static void *par_sieve(void *x) { b_sieve(); return x; }
static void *par_atomic(void *x) { for (u64 r = reps(10e6); r--;) __atomic_fetch_add(&ctr, 1, __ATOMIC_SEQ_CST); return x; }
static u64 two(void *(*f)(void *)) {
    pthread_t t[2];
    for (int i = 0; i < 2; i++) pthread_create(&t[i], 0, f, 0);
    for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
    return ctr;
}
static u64 b_par_sieve(void) { return two(par_sieve); }
static u64 b_par_atomic(void) { return two(par_atomic); }

#define B(x) {#x, b_##x}
static const struct { const char *name; u64 (*fn)(void); } list[] = {
    B(sieve), B(qsort), B(hash), B(crc32), B(interp_switch), B(interp_fptr), B(fib), B(string), B(sha256),
    B(nbody), B(mandel), B(matmul), B(simd_f32), B(simd_u8),
#ifdef __x86_64__
    B(x87), B(avx2_f32), B(avx2_u8),
#endif
    B(membw), B(chase), B(fault), B(tmpfs), B(syscall), B(pipe), B(fork), B(jitcode), B(atomic), B(par_sieve), B(par_atomic), B(blkrand),
};
static void report(const char *n, double t, u64 c) { printf("BENCH %s %.3f %llx\n", n, t, (unsigned long long)c); fflush(stdout); }
int main(int ac, char **av) {
    if (ac > 1 && !strcmp(av[1], "nop")) return 0;
    if (ac > 3 && !strcmp(av[1], "exec")) {
        double t = now();
        pid_t k = fork();
        int st = 0;
        if (!k) { execvp(av[3], av + 3); _exit(127); }
        waitpid(k, &st, 0);
        report(av[2], now() - t, st);
        return st != 0;
    }
    if (ac > 2 && !strcmp(av[1], "-s")) { scale = atof(av[2]); ac -= 2; av += 2; }
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++) {
        int hit = ac == 1 && list[i].fn != b_blkrand;
        for (int a = 1; a < ac; a++) hit |= !strcmp(av[a], list[i].name);
        if (!hit) continue;
        seed = 12345; ctr = 0;
        double t = now();
        u64 c = list[i].fn();
        report(list[i].name, now() - t, c);
    }
    return 0;
}
