/*
 * Monitor commands x and xp: show guest memory.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "ui/monitor/command.h"
#include "util/error.h"
#include <inttypes.h>
#include <string.h>

typedef struct Fetch {
    uint64_t addr;
    size_t length;
    uint8_t *data;
    uint64_t failed; /* address that is not there */
    bool ok;
} Fetch;

/* Virtual memory, page by page, as the vCPU's address space has it now. */
static void fetch_virtual(Vcpu *vcpu, void *opaque)
{
    Fetch *f = opaque;
    const Target *t = vcpu->target;
    uint64_t page = UINT64_C(1) << t->page_bits;
    f->ok = true;
    for (size_t done = 0; done < f->length;) {
        uint64_t va = f->addr + done;
        size_t n = MIN(f->length - done, page - (va & (page - 1)));
        Walk w;
        if (!t->walk(vcpu->state, va, ACCESS_LOAD, vcpu->state->mmu_index, false, &w) ||
            as_read(&vcpu->machine->memory, w.phys, f->data + done, n) != MEM_OK) {
            f->failed = va;
            f->ok = false;
            return;
        }
        done += n;
    }
}

static void put_item(GString *out, const uint8_t *p, unsigned size, char format)
{
    uint64_t value = 0;
    memcpy(&value, p, size);
    value = GUINT64_FROM_LE(value);
    int64_t number = (int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size);
    switch (format) {
    case 'x':
        g_string_append_printf(out, " 0x%0*" PRIx64, 2 * size, value);
        break;
    case 'd':
        g_string_append_printf(out, " %" PRId64, number);
        break;
    case 'u':
        g_string_append_printf(out, " %" PRIu64, value);
        break;
    case 'o':
        g_string_append_printf(out, " %#" PRIo64, value);
        break;
    default:
        g_string_append_printf(out, g_ascii_isprint(value) ? " '%c'" : " '\\x%02x'", (unsigned)(value & 0xff));
    }
}

typedef struct Listing {
    uint64_t addr;
    unsigned count;
    bool physical;
    GString *out;
    uint64_t failed;
    bool ok;
} Listing;

/* On the vCPU's thread, whose state says how to decode. */
static void list_code(Vcpu *vcpu, void *opaque)
{
    enum { LONGEST = 16 };
    Listing *l = opaque;
    for (; l->count; l->count--) {
        uint8_t bytes[LONGEST] = { 0 };
        Fetch f = { .addr = l->addr, .data = bytes };
        for (f.ok = true; f.length < LONGEST && f.ok;) { /* as much as is there */
            f.length++;
            if (l->physical)
                f.ok = as_read(&vcpu->machine->memory, f.addr, bytes, f.length) == MEM_OK;
            else
                fetch_virtual(vcpu, &f);
        }
        unsigned available = f.ok ? f.length : f.length - 1;
        g_autoptr(GString) line = g_string_new(NULL);
        unsigned n = vcpu->target->disassemble(vcpu->state, l->addr, bytes, available, line);
        l->ok = n;
        l->failed = l->addr + available;
        if (!n)
            return;
        g_string_append_printf(l->out, "0x%016" PRIx64 ": %s\n", l->addr, line->str);
        l->addr += n;
    }
}

static bool show_code(Monitor *m, const MonitorArg *args, bool physical, GString *out, GError **err)
{
    Listing l = { .addr = args[1].number, .count = MAX(args[0].display.count, 1), .physical = physical, .out = out };
    if (!m->machine->target->disassemble)
        return error_set(err, "x: there is no disassembler for %s", m->machine->target->name);
    monitor_on_cpu(m, m->cpu, list_code, &l);
    return l.ok || error_set(err, "cannot access memory at address 0x%" PRIx64, l.failed);
}

static bool show(Monitor *m, const MonitorArg *args, bool physical, GString *out, GError **err)
{
    char format = args[0].display.format ? args[0].display.format : 'x';
    unsigned size = args[0].display.size ? args[0].display.size : format == 'c' ? 1 : 4;
    unsigned count = args[0].display.count ? args[0].display.count : 1, per_line = format == 'c' ? 8 : 16 / size;
    g_autofree uint8_t *data = g_malloc((size_t)size * count);
    Fetch f = { .addr = args[1].number, .length = (size_t)size * count, .data = data };
    if (format == 'i')
        return show_code(m, args, physical, out, err);
    if (physical)
        f.ok = as_read(&m->machine->memory, f.addr, data, f.length) == MEM_OK;
    else
        monitor_on_cpu(m, m->cpu, fetch_virtual, &f);
    if (!f.ok)
        return error_set(err, "cannot access memory at address 0x%" PRIx64, physical ? f.addr : f.failed);
    for (unsigned i = 0; i < count; i++) {
        if (i % per_line == 0)
            g_string_append_printf(out, "%s%016" PRIx64 ":", i ? "\n" : "", f.addr + (uint64_t)i * size);
        put_item(out, data + (size_t)i * size, size, format);
    }
    g_string_append_c(out, '\n');
    return true;
}

bool command_x(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    return show(m, args, false, out, err);
}

bool command_xp(Monitor *m, const MonitorArg *args, GString *out, GError **err)
{
    return show(m, args, true, out, err);
}
