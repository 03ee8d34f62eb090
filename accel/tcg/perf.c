/*
 * Names of generated code for Linux' perf: -accel tcg,perfmap=on (/tmp/perf-PID.map, as its documentation
 * "jit-interface.txt" says) and jitdump=on (/tmp/jit-PID.dump with the code itself, "jitdump-specification.txt",
 * version 1; perf inject --jit reads it).
 *
 * A unit is called guest-PC-m-MODE: where the guest had it when it was translated. Written under the translator's lock.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "util/error.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct TcgPerf {
    FILE *map, *dump;
    void *marker; /* an executable mapping of the dump: perf records it, and so finds the file */
    size_t marker_size;
    uint64_t code_index;
};

enum { JITDUMP_MAGIC = 0x4a695444, JITDUMP_VERSION = 1, JIT_CODE_LOAD = 0, JIT_CODE_CLOSE = 3 };

typedef struct DumpHeader {
    uint32_t magic, version, total_size, elf_machine, unused, pid;
    uint64_t timestamp, flags;
} DumpHeader;

typedef struct DumpRecord {
    uint32_t id, total_size;
    uint64_t timestamp;
} DumpRecord;

typedef struct DumpCode {
    DumpRecord record;
    uint32_t pid, tid;
    uint64_t vma, address, size, index;
} DumpCode;

/* perf record -k mono */
static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

static FILE *open_file(const char *kind, const char *path, GError **err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (!file)
        error_set_errno(err, errno, "-accel tcg: %s: cannot write '%s'", kind, path);
    return file;
}

static bool open_dump(TcgPerf *p, GError **err)
{
    g_autofree char *path = g_strdup_printf("/tmp/jit-%d.dump", getpid());
    DumpHeader header = { .magic = JITDUMP_MAGIC,
                          .version = JITDUMP_VERSION,
                          .total_size = sizeof(header),
                          .elf_machine = EM_X86_64,
                          .pid = getpid(),
                          .timestamp = now() };
    p->dump = open_file("jitdump", path, err);
    if (!p->dump)
        return false;
    p->marker_size = sysconf(_SC_PAGESIZE);
    p->marker = mmap(NULL, p->marker_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(p->dump), 0);
    if (p->marker == MAP_FAILED) {
        p->marker = NULL;
        return error_set_errno(err, errno, "-accel tcg: jitdump: cannot map '%s'", path);
    }
    fwrite(&header, sizeof(header), 1, p->dump);
    return true;
}

TcgPerf *tcg_perf_open(bool map, bool dump, GError **err)
{
    TcgPerf *p = g_new0(TcgPerf, 1);
    g_autofree char *path = g_strdup_printf("/tmp/perf-%d.map", getpid());
    if ((!map || (p->map = open_file("perfmap", path, err))) && (!dump || open_dump(p, err)))
        return p;
    tcg_perf_close(p);
    return NULL;
}

void tcg_perf_close(TcgPerf *p)
{
    if (!p)
        return;
    if (p->marker)
        munmap(p->marker, p->marker_size);
    if (p->dump && p->code_index) {
        DumpRecord close_record = { JIT_CODE_CLOSE, sizeof(close_record), now() };
        fwrite(&close_record, sizeof(close_record), 1, p->dump);
    }
    if (p->dump)
        fclose(p->dump);
    if (p->map)
        fclose(p->map);
    g_free(p);
}

void tcg_perf_unit(TcgPerf *p, const Unit *u, const uint8_t *code, uint64_t pc)
{
    char name[64];
    int length = g_snprintf(name, sizeof(name), "guest-%" PRIx64 "-m-%x", pc, u->mode) + 1;
    if (p->map) {
        fprintf(p->map, "%" PRIx64 " %x %s\n", (uint64_t)(uintptr_t)u->code, u->code_size, name);
        fflush(p->map); /* perf may read it before we end */
    }
    if (!p->dump)
        return;
    DumpCode d = { .record = { JIT_CODE_LOAD, sizeof(d) + length + u->code_size, now() },
                   .pid = getpid(),
                   .tid = gettid(),
                   .vma = (uintptr_t)u->code,
                   .address = (uintptr_t)u->code,
                   .size = u->code_size,
                   .index = p->code_index++ };
    fwrite(&d, sizeof(d), 1, p->dump);
    fwrite(name, length, 1, p->dump);
    fwrite(code, u->code_size, 1, p->dump);
    fflush(p->dump);
}
