/*
 * Loading kernels and firmware: ELF (System V ABI, chapter 4), Linux Image for RISC-V
 * (Documentation/arch/riscv/boot-image-header.rst), gzip (RFC 1952) around either.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/loader.h"
#include "util/error.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MAX_UNPACKED ((uint64_t)1 << 30)

uint8_t *read_whole_file(const char *what, const char *path, uint64_t *size, GError **err)
{
    g_autoptr(GError) why = NULL;
    char *data;
    gsize len;
    if (!g_file_get_contents(path, &data, &len, &why)) {
        error_set(err, "%s: cannot read '%s': %s", what, path,
                  g_strerror(why->code == G_FILE_ERROR_NOENT   ? ENOENT
                             : why->code == G_FILE_ERROR_ACCES ? EACCES
                             : why->code == G_FILE_ERROR_ISDIR ? EISDIR
                                                               : EIO));
        return NULL;
    }
    *size = len;
    return (uint8_t *)data;
}

#define FIRMWARE_FOLDERS "/usr/share/seabios:/usr/share/qemu:/usr/share/vgabios:/usr/lib/ipxe/qemu:/usr/share/OVMF"

char *firmware_find(const char *name)
{
    g_auto(GStrv) folders = g_strsplit(FIRMWARE_FOLDERS, ":", -1);
    if (g_file_test(name, G_FILE_TEST_EXISTS))
        return g_strdup(name);
    for (char **folder = folders; *folder && !strchr(name, '/'); folder++) {
        g_autofree char *path = g_build_filename(*folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&path);
    }
    return NULL;
}

const char *firmware_places(void)
{
    return FIRMWARE_FOLDERS;
}

/* Unpack gzip in place of *data. */
static bool unpack(const char *what, const char *path, uint8_t **data, uint64_t *size, GError **err)
{
    z_stream z = { .next_in = *data, .avail_in = *size };
    uint64_t room = MAX((uint64_t)4 << 20, *size * 3), used = 0;
    uint8_t *out = g_malloc(room);
    int status = inflateInit2(&z, 16 + MAX_WBITS);
    while (status == Z_OK) {
        if (used == room && room < MAX_UNPACKED)
            out = g_realloc(out, room *= 2);
        z.next_out = out + used;
        z.avail_out = room - used;
        status = inflate(&z, Z_NO_FLUSH);
        used = z.next_out - out;
        if (used >= MAX_UNPACKED || (status == Z_OK && !z.avail_in && z.avail_out))
            break;
    }
    inflateEnd(&z);
    if (status != Z_STREAM_END) {
        g_free(out);
        return error_set(err, "%s: '%s' is a truncated or damaged gzip file", what, path);
    }
    g_free(*data);
    *data = out;
    *size = used;
    return true;
}

typedef struct Segment {
    uint64_t type, offset, file_size, memory_size, address, virtual;
} Segment;

static bool segment_at(const uint8_t *data, uint64_t size, uint64_t at, bool wide, Segment *s)
{
    if (wide) {
        Elf64_Phdr p;
        if (at > size || size - at < sizeof(p))
            return false;
        memcpy(&p, data + at, sizeof(p));
        *s = (Segment){ p.p_type, p.p_offset, p.p_filesz, p.p_memsz, p.p_paddr, p.p_vaddr };
    } else {
        Elf32_Phdr p;
        if (at > size || size - at < sizeof(p))
            return false;
        memcpy(&p, data + at, sizeof(p));
        *s = (Segment){ p.p_type, p.p_offset, p.p_filesz, p.p_memsz, p.p_paddr, p.p_vaddr };
    }
    return true;
}

static bool load_segment(AddressSpace *as, const uint8_t *data, uint64_t size, const Segment *s, uint64_t limit,
                         LoadedImage *out, GError **err)
{
    if (s->offset > size || s->file_size > size - s->offset || s->file_size > s->memory_size)
        return error_set(err, "truncated: a segment ends behind the end of the file");
    if (s->address > limit || s->memory_size > limit - s->address)
        return error_set(err, "does not fit in memory: a segment ends at 0x%" PRIx64 ", memory at 0x%" PRIx64,
                         s->address + s->memory_size, limit);
    if (!as_load_image(as, s->address, data + s->offset, s->file_size, err))
        return false;
    uint64_t clear = s->memory_size - s->file_size, at = s->address + s->file_size;
    static const uint8_t zeros[4096];
    while (clear) {
        uint64_t piece = MIN(clear, sizeof(zeros));
        if (!as_load_image(as, at, zeros, piece, err))
            return false;
        at += piece;
        clear -= piece;
    }
    out->low = MIN(out->low, s->address);
    out->high = MAX(out->high, s->address + s->memory_size);
    return true;
}

/* The header of either class, as that of 64 bits. False: the file is shorter. */
static bool elf_header(const uint8_t *data, uint64_t size, Elf64_Ehdr *e)
{
    bool wide = size > EI_CLASS && data[EI_CLASS] == ELFCLASS64;
    if (size < (wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return false;
    if (wide) {
        memcpy(e, data, sizeof(*e));
    } else {
        Elf32_Ehdr small;
        memcpy(&small, data, sizeof(small));
        memcpy(e->e_ident, small.e_ident, sizeof(e->e_ident));
        e->e_machine = small.e_machine;
        e->e_entry = small.e_entry;
        e->e_phoff = small.e_phoff;
        e->e_phnum = small.e_phnum;
        e->e_phentsize = small.e_phentsize;
    }
    return true;
}

static bool load_segments(AddressSpace *as, const uint8_t *data, uint64_t size, uint64_t limit, const Elf64_Ehdr *e,
                          LoadedImage *out, GError **err)
{
    bool physical = false;
    *out = (LoadedImage){ .entry = e->e_entry, .low = UINT64_MAX };
    for (unsigned i = 0; i < e->e_phnum; i++) {
        Segment s;
        if (!segment_at(data, size, e->e_phoff + (uint64_t)i * e->e_phentsize, e->e_ident[EI_CLASS] == ELFCLASS64, &s))
            return error_set(err, "truncated: the program headers are behind the end of the file");
        if (s.type != PT_LOAD || !s.memory_size)
            continue;
        if (!load_segment(as, data, size, &s, limit, out, err))
            return false;
        physical = physical || (e->e_entry >= s.address && e->e_entry - s.address < s.memory_size);
        if (!physical && e->e_entry >= s.virtual && e->e_entry - s.virtual < s.memory_size)
            out->entry = e->e_entry - s.virtual + s.address;
    }
    if (physical)
        out->entry = e->e_entry;
    return out->low == UINT64_MAX ? error_set(err, "an ELF file with nothing to load") : true;
}

static bool load_elf(AddressSpace *as, const uint8_t *data, uint64_t size, uint64_t limit, unsigned bits,
                     LoadedImage *out, GError **err)
{
    Elf64_Ehdr e = { 0 };
    if (!elf_header(data, size, &e))
        return error_set(err, "truncated: shorter than an ELF header");
    if (data[EI_DATA] != ELFDATA2LSB || e.e_machine != EM_RISCV || (data[EI_CLASS] == ELFCLASS64) != (bits == 64))
        return error_set(err, "an ELF file, but not for a little-endian RV%u machine", bits);
    if (!load_segments(as, data, size, limit, &e, out, err))
        return false;
    out->entry = e.e_entry;
    return true;
}

bool load_elf_program(AddressSpace *as, const uint8_t *data, uint64_t size, uint64_t limit, const uint16_t *machines,
                      LoadedImage *out, GError **err)
{
    Elf64_Ehdr e = { 0 };
    if (!elf_header(data, size, &e))
        return error_set(err, "truncated: shorter than an ELF header");
    while (*machines && *machines != e.e_machine)
        machines++;
    if (data[EI_DATA] != ELFDATA2LSB || !*machines)
        return error_set(err, "an ELF file, but not for this machine's processors");
    return load_segments(as, data, size, limit, &e, out, err);
}

/* Among the notes at p. */
static const uint8_t *find_note(const uint8_t *p, uint64_t size, const char *name, uint32_t type, uint32_t *len)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr n;
        memcpy(&n, p, sizeof(n));
        uint64_t name_room = ((uint64_t)n.n_namesz + 3) & ~3ull, room = ((uint64_t)n.n_descsz + 3) & ~3ull;
        size -= sizeof(n);
        p += sizeof(n);
        if (name_room > size || n.n_descsz > size - name_room)
            return NULL;
        *len = n.n_descsz;
        if (n.n_type == type && n.n_namesz == strlen(name) + 1 && !memcmp(p, name, n.n_namesz))
            return p + name_room;
        uint64_t whole = MIN(name_room + room, size);
        p += whole;
        size -= whole;
    }
    return NULL;
}

const uint8_t *elf_note(const uint8_t *data, uint64_t size, const char *name, uint32_t type, uint32_t *len)
{
    Elf64_Ehdr e = { 0 };
    if (!elf_header(data, size, &e))
        return NULL;
    for (unsigned i = 0; i < e.e_phnum; i++) {
        Segment s;
        if (!segment_at(data, size, e.e_phoff + (uint64_t)i * e.e_phentsize, data[EI_CLASS] == ELFCLASS64, &s))
            return NULL;
        if (s.type != PT_NOTE || s.offset > size || s.file_size > size - s.offset)
            continue;
        const uint8_t *note = find_note(data + s.offset, s.file_size, name, type, len);
        if (note)
            return note;
    }
    return NULL;
}

/* A Linux Image says how much memory it takes; other files take their length. */
static bool load_image(AddressSpace *as, const uint8_t *data, uint64_t size, uint64_t address, uint64_t limit,
                       LoadedImage *out, GError **err)
{
    uint64_t takes = size;
    if (size >= 64 && !memcmp(data + 56, "RSC\5", 4)) {
        uint64_t text_offset, image_size;
        memcpy(&text_offset, data + 8, 8);
        memcpy(&image_size, data + 16, 8);
        if (image_size && image_size < size)
            takes = size;
        else if (image_size)
            takes = image_size;
        if (takes / 4 > size)
            return error_set(err, "truncated or damaged: its header says that it takes 0x%" PRIx64 " bytes",
                             image_size);
    }
    if (address > limit || takes > limit - address)
        return error_set(err, "takes %" PRIu64 " bytes, but there is only room for %" PRIu64, takes,
                         limit > address ? limit - address : 0);
    *out = (LoadedImage){ address, address, address + takes };
    return as_load_image(as, address, data, size, err);
}

uint8_t *read_program(const char *what, const char *path, uint64_t *size, GError **err)
{
    g_autofree uint8_t *data = read_whole_file(what, path, size, err);
    if (!data || (*size > 2 && data[0] == 0x1f && data[1] == 0x8b && !unpack(what, path, &data, size, err)))
        return NULL;
    if (*size < 4) {
        error_set(err, "%s: '%s' is too short to be a program", what, path);
        return NULL;
    }
    return g_steal_pointer(&data);
}

bool load_executable(AddressSpace *as, const char *what, const char *path, uint64_t address, uint64_t limit,
                     unsigned bits, LoadedImage *out, GError **err)
{
    uint64_t size;
    g_autofree uint8_t *data = read_program(what, path, &size, err);
    if (!data)
        return false;
    bool elf = !memcmp(data, ELFMAG, SELFMAG);
    if (elf ? load_elf(as, data, size, limit, bits, out, err) : load_image(as, data, size, address, limit, out, err))
        return true;
    g_prefix_error(err, "%s: '%s': ", what, path);
    return false;
}

bool load_file(AddressSpace *as, const char *what, const char *path, uint64_t address, uint64_t limit, uint64_t *size,
               GError **err)
{
    g_autofree uint8_t *data = read_whole_file(what, path, size, err);
    if (!data)
        return false;
    if (address > limit || *size > limit - address)
        return error_set(
            err, "%s: '%s' takes %" PRIu64 " bytes, but there is only room for %" PRIu64 " in RAM; use a greater -m",
            what, path, *size, limit > address ? limit - address : 0);
    return as_load_image(as, address, data, *size, err);
}

bool write_whole_file(const char *what, const char *path, const void *data, uint64_t size, GError **err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0;
    for (uint64_t done = 0; ok && done < size;) {
        ssize_t n = write(fd, (const char *)data + done, size - done);
        ok = n > 0 || (n < 0 && errno == EINTR);
        done += MAX(n, 0);
    }
    int e = errno;
    if (fd >= 0 && close(fd) && ok) { /* a full disk may show only now */
        e = errno;
        ok = false;
    }
    return ok || error_set_errno(err, e, "%s: cannot write '%s'", what, path);
}
