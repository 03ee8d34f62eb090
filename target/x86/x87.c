/*
 * x87 instructions as helpers: the guest's whole x87 state goes into the host's, which executes the very instruction
 * and gives the state back (SDM volume 1, chapter 8; volume 2). That is exact in everything, tags, condition codes,
 * stack faults and unmasked exceptions included, and slow: the frequent ones are inline, see insn_x87.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/translate.h"
#include "tcg/emit.h"
#include "util/error.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* ---- the host's x87 ---- */

/* What fnsave stores in 64-bit mode without prefix. */
typedef struct Image {
    uint32_t control, status, tags, ip, selectors, operand, operand_selector;
    uint8_t st[8][10];
} __attribute__((packed)) Image;

enum { STUB_BYTES = 32, FORMS = 8 * 64 + 8 * 8 };
typedef uint64_t Stub(Image *image, void *operand, uint64_t flags);
static uint8_t *stubs;

/* frstor [rdi]; push rdx; popfq; the instruction, its operand at rsi; pushfq; pop rax; fnsave [rdi]; ret */
bool x87_init(GError **err)
{
    if (stubs)
        return true;
    size_t size = (size_t)FORMS * STUB_BYTES;
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return error_set_errno(err, errno, "cannot map memory for x87 instructions");
    for (unsigned n = 0; n < FORMS; n++) {
        unsigned escape = n < 512 ? n >> 6 : (n - 512) >> 3, modrm = n < 512 ? 0xc0 | (n & 63) : (n & 7) << 3 | 6;
        const uint8_t code[] = { 0xdd, 0x27, 0x52, 0x9d, (uint8_t)(0xd8 | escape), (uint8_t)modrm, 0x9c,
                                 0x58, 0xdd, 0x37, 0xc3 };
        memcpy(p + (size_t)n * STUB_BYTES, code, sizeof(code));
    }
    if (mprotect(p, size, PROT_READ | PROT_EXEC) < 0) {
        int e = errno;
        munmap(p, size);
        return error_set_errno(err, e, "cannot make memory for x87 instructions executable");
    }
    stubs = p;
    return true;
}

static uint64_t run(unsigned opcode, Image *image, void *operand, uint64_t flags)
{
    unsigned escape = opcode >> 8 & 7, modrm = opcode & 0xff;
    unsigned n = modrm >= 0xc0 ? escape << 6 | (modrm & 63) : 512 + (escape << 3 | (modrm >> 3 & 7));
    Stub *stub;
    uintptr_t address = (uintptr_t)stubs + (size_t)n * STUB_BYTES;
    memcpy(&stub, &address, sizeof(stub));
    return stub(image, operand, flags | 0x202);
}

/* Exceptions that inline instructions have left in the host's status word and in x87_flags. */
static void merge_flags(X86State *s)
{
    uint16_t status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    if (status & X87_FLAGS)
        __asm__ volatile("fnclex");
    s->fpu.status |= (s->cs.x87_flags | status) & X87_FLAGS;
    s->cs.x87_flags = 0;
}

/* The host's control word while generated code runs is the guest's. */
static void set_host_control(X86State *s)
{
    uint16_t control = s->cs.fp_live ? s->cs.x87_control : X87_CONTROL_DEFAULT;
    __asm__ volatile("fldcw %0" : : "m"(control));
}

static void find_pending(X86State *s)
{
    s->fpu.pending = (s->fpu.status & ~s->fpu.control & X87_EXCEPTIONS) != 0;
    s->fpu.status &= (uint16_t) ~(X87_ES | X87_BUSY);
    if (s->fpu.pending)
        s->fpu.status |= X87_ES | X87_BUSY;
}

void x87_set_control(X86State *s, uint16_t control)
{
    merge_flags(s);
    s->fpu.control = (uint16_t)((control & 0x1f3f) | 0x40);
    s->fpu.unmasked = (control & X87_EXCEPTIONS) != X87_EXCEPTIONS;
    s->cs.x87_control = (uint16_t)(s->fpu.control | X87_EXCEPTIONS);
    find_pending(s);
    set_host_control(s);
}

uint16_t x87_status(X86State *s)
{
    merge_flags(s);
    return (uint16_t)(s->fpu.status | s->fpu.top << 11);
}

void x87_set_status(X86State *s, uint16_t status)
{
    merge_flags(s);
    s->fpu.top = status >> 11 & 7;
    s->fpu.status = status & (X87_FLAGS | X87_CONDITIONS);
    find_pending(s);
}

void x87_reset(X86State *s)
{
    x87_set_control(s, X87_CONTROL_DEFAULT);
    s->fpu.status = s->fpu.top = s->fpu.used = s->fpu.pending = 0;
    s->fpu.opcode = 0;
    s->fpu.instruction = s->fpu.operand = 0;
}

/* ---- between the guest's state and an image ---- */

static unsigned tag_of(const uint8_t *reg)
{
    uint64_t fraction;
    uint16_t exponent;
    memcpy(&fraction, reg, 8);
    memcpy(&exponent, reg + 8, 2);
    exponent &= 0x7fff;
    if (exponent == 0 && fraction == 0)
        return 1;
    return exponent == 0x7fff || exponent == 0 || !(fraction >> 63) ? 2 : 0;
}

uint16_t x87_tags(const X86State *s)
{
    unsigned tags = 0;
    for (unsigned i = 0; i < 8; i++)
        tags |= (s->fpu.used >> i & 1 ? tag_of(s->fpu.reg[i]) : 3) << 2 * i;
    return (uint16_t)tags;
}

static void set_tags(X86State *s, unsigned tags)
{
    s->fpu.used = 0;
    for (unsigned i = 0; i < 8; i++)
        s->fpu.used |= (uint8_t)((tags >> 2 * i & 3) != 3) << i;
}

static void to_image(X86State *s, Image *m)
{
    *m = (Image){ .control = s->fpu.control, .status = x87_status(s), .tags = x87_tags(s) };
    for (unsigned i = 0; i < 8; i++)
        memcpy(m->st[i], s->fpu.reg[(s->fpu.top + i) & 7], 10);
}

static void from_image(X86State *s, const Image *m)
{
    s->fpu.top = m->status >> 11 & 7;
    s->fpu.status = m->status & (X87_FLAGS | X87_CONDITIONS);
    set_tags(s, m->tags);
    for (unsigned i = 0; i < 8; i++)
        memcpy(s->fpu.reg[(s->fpu.top + i) & 7], m->st[i], 10);
    find_pending(s);
}

/* ---- memory ---- */

unsigned x87_operand_bytes(unsigned opcode)
{
    static const uint8_t bytes[8][8] = {
        { 4, 4, 4, 4, 4, 4, 4, 4 },   { 4, 0, 4, 4, 0, 2, 0, 2 },   { 4, 4, 4, 4, 4, 4, 4, 4 },
        { 4, 4, 4, 4, 0, 10, 0, 10 }, { 8, 8, 8, 8, 8, 8, 8, 8 },   { 8, 8, 8, 8, 0, 0, 0, 2 },
        { 2, 2, 2, 2, 2, 2, 2, 2 },   { 2, 2, 2, 2, 10, 8, 10, 8 },
    };
    return bytes[opcode >> 8 & 7][opcode >> 3 & 7];
}

bool x87_is_store(unsigned opcode)
{
    static const uint8_t digits[8] = { 0, 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7,
                                       0, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 7,
                                       0, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7,
                                       0, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7 };
    return digits[opcode >> 8 & 7] >> (opcode >> 3 & 7) & 1;
}

/* MO_ALIGN where a program's accesses are checked. */
static uint32_t checked(const X86State *s)
{
    return s->cs.mode & MODE_ALIGN ? MO_ALIGN : 0;
}

/* Of an operand of so many bytes; of an environment so much as its words are. False: raised. */
static bool aligned(X86State *s, uint64_t address, unsigned bytes, Access access)
{
    unsigned to = bytes == 10 ? 8 : bytes == 14 || bytes == 94 ? 2 : bytes == 28 || bytes == 108 ? 4 : bytes;
    if (!checked(s) || !(address & (to - 1)))
        return true;
    x86_raise_misaligned(&s->cs, address, access);
    return false;
}

static bool load_bytes(X86State *s, uint64_t address, uint8_t *out, unsigned bytes)
{
    if (!aligned(s, address, bytes, ACCESS_LOAD))
        return false;
    for (unsigned i = 0; i < bytes;) {
        unsigned size = bytes - i >= 8 ? 8 : bytes - i >= 4 ? 4 : 2;
        uint64_t v = tcg_load(&s->cs, address + i, (uint32_t)__builtin_ctz(size));
        if (s->cs.raised)
            return false;
        memcpy(out + i, &v, size);
        i += size;
    }
    return true;
}

/* All of it or, if an exception is raised, nothing where a store crosses into another page. */
static bool store_bytes(X86State *s, uint64_t address, const uint8_t *in, unsigned bytes)
{
    if (!aligned(s, address, bytes, ACCESS_STORE) || (bytes > 8 && !x86_check_write(s, address, bytes)))
        return false;
    for (unsigned i = 0; i < bytes;) {
        unsigned size = bytes - i >= 8 ? 8 : bytes - i >= 4 ? 4 : 2;
        uint64_t v = 0;
        memcpy(&v, in + i, size);
        tcg_store_again(&s->cs, address + i, v, (uint32_t)__builtin_ctz(size));
        if (s->cs.raised)
            return false;
        i += size;
    }
    return true;
}

/* Environments (SDM volume 1, figures 8-9 to 8-12): seven words or double words. Returns its bytes. */
static unsigned put_environment(X86State *s, uint8_t *out, bool is_short)
{
    bool real = !x86_protected(s);
    uint32_t ip = (uint32_t)s->fpu.instruction, op = (uint32_t)s->fpu.operand;
    uint32_t words[7] = { s->fpu.control, x87_status(s), x87_tags(s), ip, 0, op, 0 };
    if (real) {
        words[3] = ip & 0xffff;
        words[4] = (is_short ? ip >> 4 & 0xf000 : ip >> 4 & 0xffff000) | s->fpu.opcode;
        words[5] = op & 0xffff;
        words[6] = is_short ? op >> 4 & 0xf000 : op >> 4 & 0xffff000;
    } else {
        words[4] = is_short ? 0 : (uint32_t)s->fpu.opcode << 16;
    }
    for (unsigned i = 0; i < 7; i++) {
        bool half = i < 3 || i == 6 || (real && i != 4); /* sixteen bits, ones above */
        uint32_t word = words[i] | (half && !(real && i == 6) ? 0xffff0000 : 0);
        memcpy(out + (is_short ? 2 : 4) * i, &word, is_short ? 2 : 4);
    }
    return is_short ? 14 : 28;
}

static void get_environment(X86State *s, const uint8_t *in, bool is_short)
{
    uint16_t words[3];
    for (unsigned i = 0; i < 3; i++)
        memcpy(&words[i], in + (is_short ? 2 : 4) * i, 2);
    x87_set_control(s, words[0]);
    x87_set_status(s, words[1]);
    set_tags(s, words[2]);
}

static void save_environment(X86State *s, uint64_t address, bool is_short, bool whole)
{
    uint8_t area[108];
    unsigned bytes = put_environment(s, area, is_short);
    for (unsigned i = 0; i < 8 && whole; i++, bytes += 10)
        memcpy(area + bytes, s->fpu.reg[(s->fpu.top + i) & 7], 10);
    if (!store_bytes(s, address, area, bytes))
        return;
    if (whole)
        x87_reset(s);
    else
        x87_set_control(s, s->fpu.control | X87_EXCEPTIONS);
}

static void load_environment(X86State *s, uint64_t address, bool is_short, bool whole)
{
    uint8_t area[108];
    unsigned bytes = is_short ? 14 : 28;
    if (!load_bytes(s, address, area, bytes + (whole ? 80 : 0)))
        return;
    get_environment(s, area, is_short);
    for (unsigned i = 0; i < 8 && whole; i++)
        memcpy(s->fpu.reg[(s->fpu.top + i) & 7], area + bytes + 10 * i, 10);
}

/* ---- execution ---- */

bool x87_wait(X86State *s)
{
    if (!s->fpu.pending)
        return true;
    if (s->cr0 & CR0_NE) {
        x86_raise(s, VECTOR_MF, 0);
        return false;
    }
    irq_set(&s->ferr, true); /* the board interrupts, and the handler clears what is pending */
    return true;
}

/* Instructions on control and environment. True: it was one. */
static bool control(X86State *s, unsigned opcode, uint64_t address, bool is_short)
{
    unsigned escape = opcode >> 8 & 7, digit = opcode >> 3 & 7;
    bool memory = (opcode & 0xff) < 0xc0;
    if (memory) {
        switch (escape << 4 | digit) {
        case 0x14:
            if (x87_wait(s))
                load_environment(s, address, is_short, false);
            return true;
        case 0x15:
            if (x87_wait(s)) {
                uint64_t v = tcg_load(&s->cs, address, MO_16 | checked(s));
                if (!s->cs.raised)
                    x87_set_control(s, (uint16_t)v);
            }
            return true;
        case 0x16:
            save_environment(s, address, is_short, false);
            return true;
        case 0x17:
            tcg_store_again(&s->cs, address, s->fpu.control, MO_16 | checked(s));
            return true;
        case 0x54:
            if (x87_wait(s))
                load_environment(s, address, is_short, true);
            return true;
        case 0x56:
            save_environment(s, address, is_short, true);
            return true;
        case 0x57:
            tcg_store_again(&s->cs, address, x87_status(s), MO_16 | checked(s));
            return true;
        default:
            return false;
        }
    }
    switch (opcode & 0x7ff) {
    case 0x3e0: /* feni, fdisi, fsetpm: nothing any more */
    case 0x3e1:
    case 0x3e4:
        return true;
    case 0x3e2:
        x87_set_status(s, x87_status(s) & (X87_CONDITIONS | 7 << 11));
        return true;
    case 0x3e3:
        x87_reset(s);
        return true;
    case 0x7e0:
        s->gpr[RAX] = (s->gpr[RAX] & ~UINT64_C(0xffff)) | x87_status(s);
        return true;
    default:
        return false;
    }
}

uint64_t x87_execute(X86State *s, uint64_t opcode, uint64_t address, bool is_short)
{
    enum { EFLAGS = FLAG_CF | FLAG_PF | FLAG_ZF };
    uint8_t operand[16] = { 0 };
    Image m;
    bool memory = (opcode & 0xff) < 0xc0, store = memory && x87_is_store((unsigned)opcode);
    if (control(s, (unsigned)opcode, address, is_short))
        return 0;
    if (!x87_wait(s))
        return 0;
    s->fpu.opcode = (uint16_t)(opcode & 0x7ff);
    s->fpu.instruction = x86_ip(s);
    if (memory) {
        s->fpu.operand = address;
        if (!store && !load_bytes(s, address, operand, x87_operand_bytes((unsigned)opcode)))
            return 0;
    }
    unsigned escape = opcode >> 8 & 7, modrm = opcode & 0xff;
    bool flags = modrm >= 0xc0 && (escape == 2 || escape == 3 || (escape == 7 && modrm >= 0xe8));
    uint32_t before = flags ? x86_flags_of(s->cc_op, s->cc_result, s->cc_source) : 0;
    to_image(s, &m);
    if (s->fpu.pending) /* FERR# was asked for, and it goes on */
        m.status &= ~(uint32_t)(X87_EXCEPTIONS | X87_ES | X87_BUSY);
    uint64_t after = run((unsigned)opcode, &m, operand, before & EFLAGS);
    set_host_control(s);
    enum { PRECISION = 0x20 }; /* which is raised after the store, others instead of it if it would not fault */
    bool stored = !(m.status & ~m.control & X87_EXCEPTIONS & ~PRECISION);
    unsigned bytes = x87_operand_bytes((unsigned)opcode);
    if (store && !(stored ? store_bytes(s, address, operand, bytes)
                          : aligned(s, address, bytes, ACCESS_STORE) && x86_check_write(s, address, bytes)))
        return 0;
    from_image(s, &m);
    if (flags && escape != 2 && modrm >= 0xe8) { /* fcomi and its like */
        s->cc_op = CC_EFLAGS << 2;
        s->cc_result = after & EFLAGS;
    }
    return 0;
}
