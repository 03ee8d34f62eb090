/*
 * Kernels that start without firmware: what lies where afterwards, by the formats' specifications, and files that are
 * damaged. The files are made here.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/machine/x86/boot.h"
#include <elf.h>
#include <glib/gstdio.h>
#include <string.h>

#define MIB    (UINT64_C(1) << 20)
#define RAM    (128 * MIB)
#define KERNEL 0x300000

typedef struct World {
    DevMachine *m;
    MemRegion low; /* RAM at 0 */
    X86Boot boot;
    X86Entry entry;
    char *kernel, *initrd;
} World;

static const E820Entry map[] = { { 0, 0x9fc00, E820_RAM },
                                 { 0xf0000, 0x10000, E820_RESERVED },
                                 { MIB, RAM - 2 * MIB, E820_RAM },
                                 { RAM - MIB, MIB, E820_ACPI } };

static char *make_file(const void *data, size_t len)
{
    char *path = NULL;
    int fd = g_file_open_tmp("rhea-boot-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, data, len, NULL));
    return path;
}

static World *world_new(const void *kernel, size_t len)
{
    World *w = g_new0(World, 1);
    GError *err = NULL;
    w->m = devm_new();
    DEVM_LOCKED(w->m, mem_ram_init(&w->low, w->m->machine, "low", RAM, &err);
                mem_add(&w->m->machine->root, 0, &w->low, 0));
    g_assert_no_error(err);
    w->kernel = make_file(kernel, len);
    w->boot = (X86Boot){ .as = &w->m->machine->memory,
                         .long_mode = true,
                         .kernel = w->kernel,
                         .map = map,
                         .map_count = G_N_ELEMENTS(map),
                         .limit = RAM - MIB,
                         .rsdp = 0xf1230 };
    return w;
}

static void set_initrd(World *w, size_t len)
{
    g_autofree uint8_t *data = g_malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = i * 13 + 1;
    w->initrd = make_file(data, len);
    w->boot.initrd = w->initrd;
}

static void load(World *w)
{
    GError *err = NULL;
    bool ok;
    DEVM_LOCKED(w->m, ok = x86_boot_load(&w->boot, &w->entry, &err));
    g_assert_no_error(err);
    g_assert_true(ok);
}

static void refuse(World *w, const char *message)
{
    g_autoptr(GError) err = NULL;
    bool ok;
    DEVM_LOCKED(w->m, ok = x86_boot_load(&w->boot, &w->entry, &err));
    g_assert_false(ok);
    if (!strstr(err->message, message))
        g_error("'%s' does not have '%s'", err->message, message);
    g_assert_null(strchr(err->message, '\n'));
}

static void world_free(World *w)
{
    g_unlink(w->kernel);
    g_free(w->kernel);
    if (w->initrd)
        g_unlink(w->initrd);
    g_free(w->initrd);
    devm_free(w->m);
    g_free(w);
}

static void expect_text(World *w, uint64_t at, const char *want)
{
    char text[256] = { 0 };
    devm_get(w->m, at, text, strlen(want) + 1);
    g_assert_cmpstr(text, ==, want);
}

static void set(uint8_t *p, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    memcpy(p, &value, bytes);
}

/* ---- Linux ---- */

enum { SECTORS = 3, SETUP = (SECTORS + 1) * 512, CODE = 5000 };

/* Protocol 2.15, for 64 bits. */
static void make_linux(uint8_t *k)
{
    memset(k, 0, SETUP + CODE);
    k[0x1f1] = SECTORS;
    set(k + 0x1fe, 0xaa55, 2);
    k[0x201] = 0x6a;
    memcpy(k + 0x202, "HdrS", 4);
    set(k + 0x206, 0x20f, 2);
    k[0x211] = 1;
    set(k + 0x22c, 0x7fffffff, 4);
    set(k + 0x230, 0x200000, 4);
    k[0x234] = 1;
    set(k + 0x236, 1, 2);
    set(k + 0x238, 100, 4);
    set(k + 0x258, 16 * MIB, 8);
    set(k + 0x260, 32 * MIB, 4);
    for (unsigned i = 0; i < CODE; i++)
        k[SETUP + i] = i * 7 + 3;
}

static void test_linux(void)
{
    uint8_t k[SETUP + CODE], got[CODE];
    make_linux(k);
    World *w = world_new(k, sizeof(k));
    DevMachine *m = w->m;
    set_initrd(w, 10000);
    w->boot.append = "console=ttyS0 quiet";
    w->boot.text_screen = true;
    load(w);
    g_assert_cmpuint(w->entry.bits, ==, 64);
    g_assert_cmphex(w->entry.rip, ==, 16 * MIB + 0x200);
    g_assert_cmphex(w->entry.cs, ==, 0x10);
    g_assert_cmphex(w->entry.ds, ==, 0x18);
    devm_get(m, 16 * MIB, got, CODE);
    g_assert_cmpmem(got, CODE, k + SETUP, CODE);
    uint64_t params = w->entry.rsi;
    g_assert_cmphex(r16(m, params + 0x06), ==, 0x5003); /* mode 3, 80 columns */
    g_assert_cmphex(r16(m, params + 0x0e), ==, 0x0119); /* 25 lines, VGA */
    g_assert_cmphex(r32(m, params + 0x202), ==, 0x53726448);
    g_assert_cmphex(r64(m, params + 0x70), ==, 0xf1230);
    g_assert_cmphex(r8(m, params + 0x210), ==, 0xff);
    g_assert_cmphex(r32(m, params + 0x214), ==, 16 * MIB);
    expect_text(w, r32(m, params + 0x228), "console=ttyS0 quiet");
    uint32_t initrd = r32(m, params + 0x218);
    g_assert_cmphex(initrd, ==, (RAM - MIB - 10000) & ~0xfffull);
    g_assert_cmphex(r32(m, params + 0x21c), ==, 10000);
    g_assert_cmphex(r8(m, initrd + 9999), ==, (uint8_t)(9999 * 13 + 1));
    g_assert_cmphex(r8(m, params + 0x1e8), ==, G_N_ELEMENTS(map));
    g_assert_cmphex(r64(m, params + 0x2d0 + 40), ==, MIB);
    g_assert_cmphex(r64(m, params + 0x2d0 + 48), ==, RAM - 2 * MIB);
    g_assert_cmphex(r32(m, params + 0x2d0 + 3 * 20 + 16), ==, E820_ACPI);
    g_assert_cmphex(r32(m, params + 0x1e0), ==, (RAM - 2 * MIB) >> 10);
    uint64_t seed = r64(m, params + 0x250);
    g_assert_cmphex(r32(m, seed + 8), ==, 9);
    g_assert_cmphex(r32(m, seed + 12), ==, 32);
    /* 4 GiB are mapped as they are, and the segments are flat */
    for (uint64_t va = 0; va < UINT64_C(1) << 32; va += 0x3fe00000) {
        uint64_t pml4 = r64(m, w->entry.cr3), pdpt = r64(m, (pml4 & ~0xfffull) + (va >> 30) * 8),
                 pd = r64(m, (pdpt & ~0xfffull) + (va >> 21 & 511) * 8);
        g_assert_cmphex(pml4 & pdpt & pd & 3, ==, 3);
        g_assert_cmphex(pd & 0x80, ==, 0x80);
        g_assert_cmphex(pd & ~0x1fffffull, ==, va & ~0x1fffffull);
    }
    g_assert_cmphex(r64(m, w->entry.gdt_base + 0x10), ==, UINT64_C(0x00af9b000000ffff));
    g_assert_cmphex(r64(m, w->entry.gdt_base + 0x18), ==, UINT64_C(0x00cf93000000ffff));
    g_assert_cmphex(w->entry.gdt_limit, ==, 0x1f);
    world_free(w);
}

/* Kernels of 32 bits, and older protocols. */
static void test_linux_32(void)
{
    uint8_t k[SETUP + CODE];
    make_linux(k);
    set(k + 0x236, 0, 2);
    World *w = world_new(k, sizeof(k));
    w->boot.long_mode = false;
    load(w);
    g_assert_cmpuint(w->entry.bits, ==, 32);
    g_assert_cmphex(w->entry.rip, ==, 16 * MIB);
    g_assert_cmphex(w->entry.rsi, !=, 0);
    g_assert_cmphex(w->entry.rbp | w->entry.rdi | w->entry.rbx, ==, 0);
    g_assert_cmphex(r64(w->m, w->entry.gdt_base + 0x10), ==, UINT64_C(0x00cf9b000000ffff));
    world_free(w);
    set(k + 0x206, 0x204, 2); /* no place of its own, no limits in the header */
    w = world_new(k, sizeof(k));
    load(w);
    g_assert_cmphex(w->entry.rip, ==, MIB);
    world_free(w);
}

static void test_linux_errors(void)
{
    uint8_t k[SETUP + CODE];
    g_autofree char *line = g_strnfill(101, 'x');
    make_linux(k);
    World *w = world_new(k, sizeof(k));
    w->boot.append = line;
    refuse(w, "at most 100 characters, not 101");
    w->boot.append = line + 1;
    load(w);
    w->boot.long_mode = false;
    refuse(w, "is a 64-bit kernel");
    w->boot.long_mode = true;
    w->boot.limit = 47 * MIB;
    refuse(w, "takes 32 MiB from address 0x1000000 on, but RAM ends at 0x2f00000");
    w->boot.limit = 48 * MIB;
    load(w);
    set_initrd(w, 4096);
    refuse(w, "only room for 0 above the kernel");
    w->boot.limit = 48 * MIB + 4096;
    load(w);
    w->boot.initrd = "/does/not/exist";
    refuse(w, "-initrd: cannot read '/does/not/exist'");
    world_free(w);
    for (unsigned len = 0; len < sizeof(k); len += len < 4 ? 1 : 123) { /* none may be read beyond its end */
        w = world_new(k, len);
        if (len <= SETUP)
            refuse(w, "-kernel: ");
        else
            load(w);
        world_free(w);
    }
    set(k + 0x206, 0x203, 2);
    w = world_new(k, sizeof(k));
    refuse(w, "protocol 2.04");
    world_free(w);
    for (unsigned i = 0; i < 64; i++) { /* headers of all ones */
        make_linux(k);
        memset(k + 0x210 + i, 0xff, 4);
        w = world_new(k, sizeof(k));
        GError *err = NULL;
        DEVM_LOCKED(w->m, x86_boot_load(&w->boot, &w->entry, &err));
        g_clear_error(&err);
        world_free(w);
    }
}

static void test_firmware(void)
{
    uint8_t k[SETUP + CODE];
    GError *err = NULL;
    make_linux(k);
    World *w = world_new(k, sizeof(k));
    FwCfg *f = devm_add(w->m, &fw_cfg_type, NULL);
    devm_realize(w->m, f);
    devm_map(w->m, &f->mmio, 0xf0000000);
    set_initrd(w, 10000);
    w->boot.append = "abc";
    bool ok;
    DEVM_LOCKED(w->m, ok = x86_boot_offer(&w->boot, f, &err));
    g_assert_no_error(err);
    g_assert_true(ok);
    static const struct {
        uint16_t key;
        uint32_t value;
    } numbers[] = { { FW_CFG_KERNEL_ADDR, 0x100000 }, { FW_CFG_KERNEL_SIZE, CODE },
                    { FW_CFG_SETUP_ADDR, 0x10000 },   { FW_CFG_SETUP_SIZE, SETUP },
                    { FW_CFG_CMDLINE_ADDR, 0x20000 }, { FW_CFG_CMDLINE_SIZE, 4 },
                    { FW_CFG_INITRD_SIZE, 10000 },    { FW_CFG_INITRD_ADDR, (RAM - MIB - 0x28000 - 10000) & ~0xfffu } };
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        w16(w->m, 0xf0000008, GUINT16_SWAP_LE_BE(numbers[i].key));
        g_assert_cmphex(r32(w->m, 0xf0000000), ==, numbers[i].value);
    }
    w16(w->m, 0xf0000008, GUINT16_SWAP_LE_BE(FW_CFG_KERNEL_DATA));
    g_assert_cmphex(r8(w->m, 0xf0000000), ==, 3);
    w16(w->m, 0xf0000008, GUINT16_SWAP_LE_BE(FW_CFG_SETUP_DATA));
    for (unsigned i = 0; i < 0x228; i++)
        r8(w->m, 0xf0000000);
    g_assert_cmphex(r32(w->m, 0xf0000000), ==, 0x20000); /* cmd_line_ptr */
    world_free(w);
}

/* ---- ELF ---- */

/* A program of one segment at address, and a note (type 0: none). Returns its length. */
static size_t make_elf(uint8_t *out, bool wide, uint64_t address, uint64_t entry, uint32_t note)
{
    enum { HEADER = 64, AT = 0x200, LEN = 100 };
    static const uint8_t code[LEN] = "program";
    memset(out, 0, AT + LEN);
    memcpy(out + AT, code, LEN);
    if (wide) {
        Elf64_Ehdr e = { .e_type = ET_EXEC,
                         .e_machine = EM_X86_64,
                         .e_entry = entry,
                         .e_phoff = HEADER,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = note ? 2 : 1 };
        Elf64_Phdr p[2] = { { .p_type = PT_LOAD,
                              .p_offset = AT,
                              .p_vaddr = address + UINT64_C(0xffffffff80000000),
                              .p_paddr = address,
                              .p_filesz = LEN,
                              .p_memsz = 2 * LEN },
                            { .p_type = PT_NOTE, .p_offset = 0x100, .p_filesz = 20 } };
        memcpy(e.e_ident, "\177ELF\2\1\1", 7);
        memcpy(out, &e, sizeof(e));
        memcpy(out + HEADER, p, sizeof(p));
    } else {
        Elf32_Ehdr e = { .e_type = ET_EXEC,
                         .e_machine = EM_386,
                         .e_entry = entry,
                         .e_phoff = HEADER,
                         .e_phentsize = sizeof(Elf32_Phdr),
                         .e_phnum = note ? 2 : 1 };
        Elf32_Phdr p[2] = { { .p_type = PT_LOAD,
                              .p_offset = AT,
                              .p_vaddr = address,
                              .p_paddr = address,
                              .p_filesz = LEN,
                              .p_memsz = 2 * LEN },
                            { .p_type = PT_NOTE, .p_offset = 0x100, .p_filesz = 20 } };
        memcpy(e.e_ident, "\177ELF\1\1\1", 7);
        memcpy(out, &e, sizeof(e));
        memcpy(out + HEADER, p, sizeof(p));
    }
    set(out + 0x100, 4, 4);
    set(out + 0x104, 4, 4);
    set(out + 0x108, note, 4);
    memcpy(out + 0x10c, "Xen", 4);
    set(out + 0x110, KERNEL + 8, 4);
    return AT + LEN;
}

static void test_elf(void)
{
    uint8_t k[1024];
    for (unsigned wide = 0; wide < 2; wide++) {
        size_t len = make_elf(k, wide, KERNEL, KERNEL + 4, 0);
        World *w = world_new(k, len);
        load(w);
        g_assert_cmpuint(w->entry.bits, ==, wide ? 64 : 32);
        g_assert_cmphex(w->entry.rip, ==, KERNEL + 4);
        g_assert_cmphex(r32(w->m, KERNEL), ==, 0x676f7270);
        g_assert_cmphex(r8(w->m, w->entry.rsi + 0x1e8), ==, G_N_ELEMENTS(map));
        w->boot.long_mode = false;
        if (wide)
            refuse(w, "not for this machine's processors");
        world_free(w);
        len = make_elf(k, wide, BOOT_END - 1, BOOT_END, 0);
        w = world_new(k, len);
        refuse(w, "wants memory at 0x2ffff");
        world_free(w);
        for (unsigned cut = 4; cut < len; cut += 9) {
            w = world_new(k, cut);
            refuse(w, "truncated");
            world_free(w);
        }
    }
    size_t len = make_elf(k, true, KERNEL, KERNEL + UINT64_C(0xffffffff80000010), 0); /* an entry that is virtual */
    World *w = world_new(k, len);
    load(w);
    g_assert_cmphex(w->entry.rip, ==, KERNEL + 0x10);
    world_free(w);
}

static void test_pvh(void)
{
    uint8_t k[1024];
    for (unsigned wide = 0; wide < 2; wide++) {
        World *w = world_new(k, make_elf(k, wide, KERNEL, KERNEL, 18));
        DevMachine *m = w->m;
        set_initrd(w, 5000);
        w->boot.append = "one two";
        load(w);
        g_assert_cmpuint(w->entry.bits, ==, 32);
        g_assert_cmphex(w->entry.rip, ==, KERNEL + 8);
        uint64_t info = w->entry.rbx, modules = r64(m, info + 16), memory = r64(m, info + 40);
        g_assert_cmphex(r32(m, info), ==, 0x336ec578);
        g_assert_cmpuint(r32(m, info + 4), ==, 1);
        g_assert_cmpuint(r32(m, info + 12), ==, 1);
        expect_text(w, r64(m, info + 24), "one two");
        g_assert_cmphex(r64(m, info + 32), ==, 0xf1230);
        g_assert_cmpuint(r32(m, info + 48), ==, G_N_ELEMENTS(map));
        g_assert_cmphex(r64(m, modules), ==, (RAM - MIB - 5000) & ~0xfffull);
        g_assert_cmpuint(r64(m, modules + 8), ==, 5000);
        g_assert_cmphex(r64(m, memory + 2 * 24), ==, MIB);
        g_assert_cmphex(r64(m, memory + 2 * 24 + 8), ==, RAM - 2 * MIB);
        g_assert_cmphex(r32(m, memory + 3 * 24 + 16), ==, E820_ACPI);
        world_free(w);
    }
    for (unsigned at = 0x100; at < 0x114; at++) { /* a damaged note is none, or is one */
        make_elf(k, true, KERNEL, KERNEL, 18);
        memset(k + at, 0xff, 4);
        World *w = world_new(k, 0x264);
        load(w);
        world_free(w);
    }
}

/* ---- Multiboot ---- */

static void put_header(uint8_t *p, uint32_t flags)
{
    set(p, 0x1badb002, 4);
    set(p + 4, flags, 4);
    set(p + 8, -(uint32_t)(0x1badb002 + flags), 4);
}

static void check_multiboot(World *w)
{
    DevMachine *m = w->m;
    g_assert_cmpuint(w->entry.bits, ==, 32);
    g_assert_cmphex(w->entry.rax, ==, 0x2badb002);
    uint64_t info = w->entry.rbx;
    g_assert_cmphex(r32(m, info) & 0x45, ==, 0x45);
    g_assert_cmpuint(r32(m, info + 4), ==, 639);
    g_assert_cmpuint(r32(m, info + 8), ==, (RAM - 2 * MIB) >> 10);
    g_autofree char *line = g_strdup_printf("%s one two", w->kernel);
    expect_text(w, r32(m, info + 16), line);
    g_assert_cmpuint(r32(m, info + 44), ==, 24 * G_N_ELEMENTS(map));
    uint32_t memory = r32(m, info + 48);
    g_assert_cmpuint(r32(m, memory), ==, 20);
    g_assert_cmphex(r64(m, memory + 2 * 24 + 4), ==, MIB);
    expect_text(w, r32(m, info + 64), "rhea");
}

static void test_multiboot(void)
{
    uint8_t k[2048] = { 0 };
    size_t len = make_elf(k, false, KERNEL, KERNEL + 4, 0);
    put_header(k + 0x180, 0);
    World *w = world_new(k, len);
    w->boot.append = "one two";
    load(w);
    g_assert_cmphex(w->entry.rip, ==, KERNEL + 4);
    check_multiboot(w);
    g_assert_cmpuint(r32(w->m, w->entry.rbx + 20), ==, 0);
    set_initrd(w, 3000);
    g_autofree char *list = g_strdup_printf("%s first,%s second one", w->initrd, w->initrd);
    w->boot.initrd = list;
    load(w);
    uint64_t info = w->entry.rbx, modules = r32(w->m, info + 24);
    g_assert_cmpuint(r32(w->m, info + 20), ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t start = r32(w->m, modules + 16 * i), text = r32(w->m, modules + 16 * i + 8);
        g_autofree char *want = g_strdup_printf("%s %s", w->initrd, i ? "second one" : "first");
        g_assert_cmpuint(r32(w->m, modules + 16 * i + 4), ==, start + 3000);
        g_assert_cmphex(start & 0xfff, ==, 0);
        g_assert_cmphex(r8(w->m, start + 1), ==, 14);
        expect_text(w, text, want);
    }
    world_free(w);
}

/* The header says where things go. */
static void test_multiboot_addresses(void)
{
    uint8_t k[1000];
    for (unsigned i = 0; i < sizeof(k); i++)
        k[i] = i;
    put_header(k + 64, 1 << 16);
    const uint32_t good[] = { KERNEL + 32, KERNEL, KERNEL + 500, KERNEL + 5000, KERNEL + 96 };
    for (unsigned i = 0; i < 5; i++)
        set(k + 76 + 4 * i, good[i], 4);
    World *w = world_new(k, sizeof(k));
    w->boot.append = "one two";
    w8(w->m, KERNEL + 500, 0xcc);
    load(w);
    check_multiboot(w);
    g_assert_cmphex(w->entry.rip, ==, KERNEL + 96);
    g_assert_cmphex(r8(w->m, KERNEL), ==, 32);
    g_assert_cmphex(r8(w->m, KERNEL + 499), ==, (uint8_t)(32 + 499));
    g_assert_cmphex(r8(w->m, KERNEL + 500), ==, 0);
    world_free(w);
    static const uint32_t odd[] = { 0, 1, 31, 33, KERNEL, KERNEL + 10000, 0x7fffffff, 0xfffffffe, UINT32_MAX };
    for (unsigned i = 0; i < 5 * G_N_ELEMENTS(odd); i++) { /* any may be refused, none may be believed */
        g_autofree uint8_t *bad = g_memdup2(k, sizeof(k));
        GError *err = NULL;
        set(bad + 76 + 4 * (i % 5), odd[i / 5], 4);
        w = world_new(bad, sizeof(k));
        DEVM_LOCKED(w->m, x86_boot_load(&w->boot, &w->entry, &err));
        g_clear_error(&err);
        world_free(w);
    }
    w = world_new(k, 90);
    refuse(w, "truncated: its Multiboot header");
    world_free(w);
    w = world_new("nothing of the kind", 20);
    refuse(w, "neither a Linux bzImage nor an ELF file nor a Multiboot kernel");
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/x86-boot/linux", test_linux);
    g_test_add_func("/x86-boot/linux-32", test_linux_32);
    g_test_add_func("/x86-boot/linux-errors", test_linux_errors);
    g_test_add_func("/x86-boot/firmware", test_firmware);
    g_test_add_func("/x86-boot/elf", test_elf);
    g_test_add_func("/x86-boot/pvh", test_pvh);
    g_test_add_func("/x86-boot/multiboot", test_multiboot);
    g_test_add_func("/x86-boot/multiboot-addresses", test_multiboot_addresses);
    return g_test_run();
}
