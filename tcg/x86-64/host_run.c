/*
 * One instruction of the host on values in memory (tcg/ir_host.h), for the interpreter and for helpers that look at
 * what an instruction does to MXCSR. The instruction stands in a little function, made when it is first asked for: each
 * thread has its own place for a few hundred of them, so that nobody runs what another writes.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir_host.h"
#include "tcg/x86-64/regs.h"
#include <cpuid.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 512, SLOT_BYTES = 96 };

typedef struct Frame {
    IrVector v[3], out;
    uint64_t t[3], result;
} Frame;

typedef struct Slots {
    uint8_t *writable, *executable;
    int64_t what[SLOTS];
    uint16_t types[SLOTS]; /* which operands are vectors, and the result; of the x87 aux and result; 0: empty */
} Slots;

/* Those that no thread has at present. A thread gives its own back when it ends. */
static GMutex pool_lock;
static GSList *pool;
static _Thread_local Slots *slots;

static void slots_release(gpointer data)
{
    g_mutex_lock(&pool_lock);
    pool = g_slist_prepend(pool, data);
    g_mutex_unlock(&pool_lock);
}
static GPrivate owner = G_PRIVATE_INIT(slots_release);

static bool slots_map(Slots *s, GError **err)
{
    int fd = memfd_create("host-run", MFD_CLOEXEC);
    size_t size = SLOTS * SLOT_BYTES;
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0) {
        s->writable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        s->executable = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    }
    bool ok = s->writable != MAP_FAILED && s->executable != MAP_FAILED;
    int e = errno;
    if (s->writable != MAP_FAILED && !ok)
        munmap(s->writable, size);
    if (fd >= 0)
        close(fd);
    if (!ok)
        g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(e), "cannot map memory for the host's instructions: %s",
                    g_strerror(e));
    return ok;
}

bool ir_host_reserve(GError **err)
{
    Slots *s = g_new0(Slots, 1);
    s->writable = s->executable = MAP_FAILED;
    if (!slots_map(s, err)) {
        g_free(s);
        return false;
    }
    slots_release(s);
    return true;
}

/* Only a thread that no vCPU was made for can find none: tests. */
static Slots *slots_take(void)
{
    g_autoptr(GError) err = NULL;
    for (;;) {
        g_mutex_lock(&pool_lock);
        Slots *s = pool ? pool->data : NULL;
        pool = g_slist_delete_link(pool, pool);
        g_mutex_unlock(&pool_lock);
        if (s) {
            g_private_set(&owner, s);
            return s;
        }
        if (!ir_host_reserve(&err))
            g_error("%s", err->message);
    }
}

static bool type_is_vector(unsigned types, unsigned i)
{
    return types >> i & 1;
}

/* rdi: the Frame. Vectors in xmm0-3, integers in rcx, rdx, rsi, rax. */
static void make_host(uint8_t *place, int64_t what, unsigned types)
{
    static const int8_t integers[] = { RCX, RDX, RSI, RAX };
    enum { VMOVDQU = VEX_0F | VEX_F3 | 0x6f, VMOVDQU_STORE = VEX_0F | VEX_F3 | 0x7f };
    Asm a = { place, place + SLOT_BYTES, false };
    int arg[3];
    unsigned form = what >> IR_HOST_FORM & 7;
    for (int i = 0; i < (int)ir_host_inputs(what); i++) {
        arg[i] = type_is_vector(types, (unsigned)i) ? i : integers[i];
        if (type_is_vector(types, (unsigned)i))
            vec_rm(&a, VMOVDQU, true, i, 0, mem(RDI, i * 32));
        else
            mov_load(&a, arg[i], mem(RDI, (int)offsetof(Frame, t) + i * 8), true);
    }
    int dst = form == IR_HOST_FMA ? arg[0] : type_is_vector(types, 3) ? 3 : RAX;
    put_host(&a, what, dst, arg);
    if (form == IR_HOST_TEST)
        put_test_flags(&a);
    if (type_is_vector(types, 3))
        vec_rm(&a, VMOVDQU_STORE, true, dst, 0, mem(RDI, offsetof(Frame, out)));
    else
        mov_store(&a, mem(RDI, offsetof(Frame, result)), RAX, true);
    vzeroupper(&a);
    put_byte(&a, 0xc3);
}

/* rdi: the state. */
static void make_x87(uint8_t *place, int64_t what, unsigned types)
{
    Asm a = { place, place + SLOT_BYTES, false };
    X87Place p = { .base = RDI };
    put_x87(&a, &p, what, types & 0xff, types >> 8 & 3);
    put_byte(&a, 0xc3);
}

/* A place for it, made once. */
static uintptr_t code_for(int64_t what, unsigned types, void (*make)(uint8_t *place, int64_t what, unsigned types))
{
    if (!slots)
        slots = slots_take();
    unsigned n = (unsigned)(((uint64_t)what * UINT64_C(0x9e3779b97f4a7c15) + types * 77) >> 40) % SLOTS;
    if (slots->what[n] != what || slots->types[n] != types) {
        unsigned a, b, c, d;
        make(slots->writable + n * SLOT_BYTES, what, types);
        slots->what[n] = what;
        slots->types[n] = (uint16_t)types;
        __cpuid(0, a, b, c, d); /* code that was changed at another address: SDM volume 3, section 9.1.3 */
    }
    return (uintptr_t)slots->executable + n * SLOT_BYTES;
}

uint64_t ir_host_run(int64_t what, IrType type, const bool vector[3], const IrVector *const v[3], const uint64_t t[3],
                     IrVector *out)
{
    unsigned types = 0x80 | (unsigned)ir_is_vector(type) << 3;
    Frame f = { .result = 0 };
    for (unsigned i = 0; i < ir_host_inputs(what); i++) {
        types |= (unsigned)vector[i] << i;
        if (vector[i])
            f.v[i] = *v[i];
        else
            f.t[i] = t[i];
    }
    void (*run)(Frame *);
    uintptr_t address = code_for(what, types, make_host);
    memcpy(&run, &address, sizeof(run));
    run(&f);
    *out = f.out;
    return f.result;
}

uint64_t ir_x87_run(CpuState *cs, int64_t imm, unsigned aux, unsigned result)
{
    static const uint16_t usual = 0x37f;
    enum { FLAGS = 0x7f };
    uint64_t (*run)(CpuState *);
    uint16_t status;
    uintptr_t address = code_for(imm, 1u << 15 | result << 8 | aux, make_x87);
    memcpy(&run, &address, sizeof(run));
    __asm__ volatile("fnclex; fldcw %0" : : "m"(cs->x87_control));
    uint64_t v = run(cs);
    __asm__ volatile("fnstsw %0; fnclex; fldcw %1" : "=a"(status) : "m"(usual));
    cs->x87_flags |= status & FLAGS;
    return v;
}
