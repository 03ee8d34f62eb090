/*
 * What packets ask for (GDB manual, appendix E.2 to E.7): registers, memory, threads, going on. What is not known gets
 * an empty answer; what is wrong an error number.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "ui/gdbstub/stub.h"
#include "ui/monitor/command.h"
#include <inttypes.h>
#include <string.h>

#define BAD_PACKET "E22" /* EINVAL */
#define BAD_MEMORY "E14" /* EFAULT */

static uint64_t address_of(const Stub *s, uint64_t v)
{
    return s->machine->target->bits == 32 ? (uint32_t)v : v;
}

static bool skip(const char **text, char c)
{
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

/* Registers of the vCPU that the debugger looks at. Machine lock held. */
static CpuState *look(Stub *s)
{
    return stub_state(s, s->cpu);
}

/* ---- registers ---- */

static void read_registers(Stub *s, const char *text, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    const Target *t = s->machine->target;
    uint8_t value[GDB_REG_BYTES];
    machine_lock(s->machine);
    CpuState *cs = look(s);
    for (unsigned n = 0; t->gdb_read && n < t->gdb_core_count; n++)
        hex_encode(out, value, t->gdb_read(cs, n, value));
    machine_unlock(s->machine);
    stub_reply(s, out->str);
}

static void write_registers(Stub *s, const char *text, size_t len)
{
    const Target *t = s->machine->target;
    uint8_t value[GDB_REG_BYTES];
    bool ok = true;
    machine_lock(s->machine);
    CpuState *cs = look(s);
    for (unsigned n = 0; t->gdb_read && n < t->gdb_core_count && *text && ok; n++) {
        unsigned bytes = t->gdb_read(cs, n, value);
        ok = hex_decode(text, value, bytes);
        if (ok && !t->gdb_write(cs, n, value))
            ok = true; /* what cannot be written stays: GDB writes all for the sake of one */
        text += ok ? 2 * bytes : 0;
    }
    machine_unlock(s->machine);
    stub_reply(s, ok ? "OK" : BAD_PACKET);
}

static void read_register(Stub *s, const char *text, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    const Target *t = s->machine->target;
    uint8_t value[GDB_REG_BYTES];
    uint64_t n;
    if (hex_number(&text, &n) && n < UINT32_MAX && t->gdb_read) {
        machine_lock(s->machine);
        hex_encode(out, value, t->gdb_read(look(s), n, value));
        machine_unlock(s->machine);
    }
    stub_reply(s, out->len ? out->str : BAD_PACKET);
}

static void write_register(Stub *s, const char *text, size_t len)
{
    const Target *t = s->machine->target;
    uint8_t value[GDB_REG_BYTES];
    uint64_t n;
    bool ok = false;
    if (hex_number(&text, &n) && n < UINT32_MAX && skip(&text, '=') && t->gdb_read) {
        machine_lock(s->machine);
        CpuState *cs = look(s);
        unsigned bytes = t->gdb_read(cs, n, value);
        ok = bytes && strlen(text) == 2 * bytes && hex_decode(text, value, bytes) && t->gdb_write(cs, n, value);
        machine_unlock(s->machine);
    }
    stub_reply(s, ok ? "OK" : BAD_PACKET);
}

/* ---- memory ---- */

/* What the vCPU has at va, page by page. Returns how much of it is there. Machine lock held. */
static size_t access_memory(Stub *s, uint64_t va, uint8_t *data, size_t len, bool write)
{
    CpuState *cs = look(s);
    const Target *t = s->machine->target;
    uint64_t page = UINT64_C(1) << t->page_bits;
    size_t done = 0;
    while (done < len) {
        uint64_t at = address_of(s, va + done);
        size_t n = MIN(len - done, page - (at & (page - 1)));
        Walk w;
        if (!t->walk(cs, at, ACCESS_LOAD, cs->mmu_index, false, &w) &&
            !t->walk(cs, at, ACCESS_FETCH, cs->mmu_index, false, &w))
            break;
        AddressSpace *as = &s->machine->memory;
        if ((write ? as_write(as, w.phys, data + done, n) : as_read(as, w.phys, data + done, n)) != MEM_OK)
            break;
        done += n;
    }
    return done;
}

static void read_memory(Stub *s, const char *text, size_t len)
{
    uint64_t va, n;
    if (!hex_number(&text, &va) || !skip(&text, ',') || !hex_number(&text, &n) || *text) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    n = MIN(n, PACKET_MAX / 2);
    g_autofree uint8_t *data = g_malloc(n + 1);
    g_autoptr(GString) out = g_string_new(NULL);
    machine_lock(s->machine);
    size_t there = access_memory(s, va, data, n, false);
    machine_unlock(s->machine);
    hex_encode(out, data, there);
    stub_reply(s, there || !n ? out->str : BAD_MEMORY);
}

static void store(Stub *s, uint64_t va, uint8_t *data, size_t n)
{
    machine_lock(s->machine);
    size_t there = access_memory(s, va, data, n, true);
    machine_unlock(s->machine);
    stub_reply(s, there == n ? "OK" : BAD_MEMORY);
}

static void write_memory(Stub *s, const char *text, size_t len)
{
    uint64_t va, n;
    const char *end = text + len;
    if (!hex_number(&text, &va) || !skip(&text, ',') || !hex_number(&text, &n) || !skip(&text, ':') || n > PACKET_MAX ||
        (size_t)(end - text) != 2 * n) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    g_autofree uint8_t *data = g_malloc(n + 1);
    if (hex_decode(text, data, n))
        store(s, va, data, n);
    else
        stub_reply(s, BAD_PACKET);
}

static void write_binary(Stub *s, const char *text, size_t len)
{
    uint64_t va, n;
    const char *end = text + len;
    if (!hex_number(&text, &va) || !skip(&text, ',') || !hex_number(&text, &n) || !skip(&text, ':') ||
        n != (uint64_t)(end - text)) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    g_autofree uint8_t *data = g_memdup2(text, n + 1);
    store(s, va, data, n);
}

/* ---- threads: each vCPU is one, from 1 on ---- */

/* 0: any; -1: all. False: it is no thread. */
static bool parse_thread(Stub *s, const char **text, int *thread)
{
    uint64_t n;
    if (g_str_has_prefix(*text, "-1")) {
        *text += 2;
        *thread = -1;
        return true;
    }
    if (!hex_number(text, &n) || n > s->machine->vcpus->len)
        return false;
    *thread = (int)n;
    return true;
}

static void choose_thread(Stub *s, const char *text, size_t len)
{
    char what = *text;
    int thread;
    text += !!what;
    if ((what != 'g' && what != 'c') || !parse_thread(s, &text, &thread)) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    if (thread > 0 && what == 'g')
        s->cpu = thread - 1;
    else if (thread > 0)
        s->run_cpu = thread - 1;
    stub_reply(s, "OK");
}

static void is_alive(Stub *s, const char *text, size_t len)
{
    int thread;
    stub_reply(s, parse_thread(s, &text, &thread) && thread > 0 ? "OK" : BAD_PACKET);
}

static void tell_threads(Stub *s, const char *text, size_t len)
{
    g_autoptr(GString) out = g_string_new(NULL);
    while (s->threads_told < s->machine->vcpus->len && out->len < PACKET_MAX / 2)
        g_string_append_printf(out, "%c%02x", out->len ? ',' : 'm', ++s->threads_told);
    stub_reply(s, out->len ? out->str : "l");
}

static void first_threads(Stub *s, const char *text, size_t len)
{
    s->threads_told = 0;
    tell_threads(s, text, len);
}

static void describe_thread(Stub *s, const char *text, size_t len)
{
    int thread;
    if (!parse_thread(s, &text, &thread) || thread < 1) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    const Vcpu *vcpu = stub_vcpu(s, thread - 1);
    g_autofree char *name = g_strdup_printf("CPU#%u [%s]", vcpu->index,
                                            __atomic_load_n(&vcpu->halted, __ATOMIC_RELAXED) ? "halted" : "running");
    g_autoptr(GString) out = g_string_new(NULL);
    hex_encode(out, name, strlen(name));
    stub_reply(s, out->str);
}

static void current_thread(Stub *s, const char *text, size_t len)
{
    g_autofree char *out = g_strdup_printf("QC%02x", s->cpu + 1);
    stub_reply(s, out);
}

/* ---- going on ---- */

static void set_pc(Stub *s, unsigned cpu, uint64_t pc)
{
    machine_lock(s->machine);
    stub_state(s, cpu)->pc = address_of(s, pc);
    machine_unlock(s->machine);
}

/* c, s [address]; C, S signal[;address] */
static void go_on(Stub *s, const char *text, bool step, bool signal)
{
    uint64_t value;
    bool ok = true;
    if (signal)
        ok = hex_number(&text, &value) && (!*text || skip(&text, ';'));
    if (ok && *text) {
        ok = hex_number(&text, &value) && !*text;
        if (ok)
            set_pc(s, s->run_cpu, value);
    }
    if (!ok) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    g_clear_pointer(&s->actions, g_free);
    if (step) {
        s->actions = g_new0(StubAction, s->machine->vcpus->len);
        s->actions[s->run_cpu] = STUB_STEP;
    }
    stub_resume(s);
}

static void cmd_continue(Stub *s, const char *text, size_t len)
{
    go_on(s, text, false, false);
}

static void cmd_continue_signal(Stub *s, const char *text, size_t len)
{
    go_on(s, text, false, true);
}

static void cmd_step(Stub *s, const char *text, size_t len)
{
    go_on(s, text, true, false);
}

static void cmd_step_signal(Stub *s, const char *text, size_t len)
{
    go_on(s, text, true, true);
}

/* One action of vCont, for the vCPUs that none before it was for. */
static bool read_action(Stub *s, const char **text, bool *taken)
{
    char what = **text;
    uint64_t signal;
    int thread = -1;
    if (!strchr("cCsS", what) || !what)
        return false;
    (*text)++;
    if ((what == 'C' || what == 'S') && !hex_number(text, &signal))
        return false;
    if (skip(text, ':') && !parse_thread(s, text, &thread))
        return false;
    for (guint i = 0; i < s->machine->vcpus->len; i++) {
        bool meant = thread < 0 || (thread == 0 ? i == s->run_cpu : i + 1 == (unsigned)thread);
        if (!meant || taken[i])
            continue;
        taken[i] = true;
        s->actions[i] = what == 's' || what == 'S' ? STUB_STEP : STUB_RUN;
    }
    return !**text || **text == ';';
}

static void cmd_vcont(Stub *s, const char *text, size_t len)
{
    guint count = s->machine->vcpus->len;
    g_autofree bool *taken = g_new0(bool, count);
    bool ok = true, some = false;
    g_free(s->actions);
    s->actions = g_new(StubAction, count);
    for (guint i = 0; i < count; i++)
        s->actions[i] = STUB_HOLD;
    do
        ok = read_action(s, &text, taken);
    while (ok && skip(&text, ';'));
    for (guint i = 0; i < count; i++)
        some |= taken[i];
    if (ok && some && !*text) {
        stub_resume(s);
        return;
    }
    g_clear_pointer(&s->actions, g_free);
    stub_reply(s, BAD_PACKET);
}

static void cmd_detach(Stub *s, const char *text, size_t len)
{
    stub_reply(s, "OK");
    stub_detach(s);
    stub_attach(s);
    machine_lock(s->machine);
    machine_start(s->machine);
    machine_unlock(s->machine);
}

static void cmd_kill(Stub *s, const char *text, size_t len)
{
    machine_request_shutdown(s->machine, SHUTDOWN_HOST_QUIT, 0);
}

static void cmd_vkill(Stub *s, const char *text, size_t len)
{
    stub_reply(s, "OK");
    cmd_kill(s, text, len);
}

/* ---- breakpoints ---- */

static bool parse_point(Stub *s, const char *text, DebugPoint *point)
{
    uint64_t kind;
    if (!hex_number(&text, &kind) || kind > DEBUG_ACCESS || !skip(&text, ',') || !hex_number(&text, &point->address) ||
        !skip(&text, ',') || !hex_number(&text, &point->length))
        return false;
    point->kind = kind;
    point->address = address_of(s, point->address);
    return kind < DEBUG_WRITE || (point->length && point->length <= PACKET_MAX);
}

static void insert_point(Stub *s, const char *text, size_t len)
{
    g_autoptr(GError) err = NULL;
    DebugPoint point;
    stub_reply(s, parse_point(s, text, &point) && stub_insert(s, &point, &err) ? "OK" : BAD_PACKET);
}

static void remove_point(Stub *s, const char *text, size_t len)
{
    DebugPoint point;
    bool ok = parse_point(s, text, &point);
    if (ok)
        stub_remove(s, &point);
    stub_reply(s, ok ? "OK" : BAD_PACKET);
}

/* ---- queries ---- */

static void supported(Stub *s, const char *text, size_t len)
{
    g_autofree char *out = g_strdup_printf("PacketSize=%x;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+%s",
                                           PACKET_MAX, s->machine->target->gdb_xml ? ";qXfer:features:read+" : "");
    s->says_why = strstr(text, "swbreak+");
    stub_reply(s, out);
}

static void read_features(Stub *s, const char *text, size_t len)
{
    uint64_t from, n;
    g_autoptr(GString) out = g_string_new(NULL);
    if (!s->machine->target->gdb_xml || !g_str_has_prefix(text, "target.xml:")) {
        stub_reply(s, "E00");
        return;
    }
    text += strlen("target.xml:");
    if (!hex_number(&text, &from) || !skip(&text, ',') || !hex_number(&text, &n)) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    machine_lock(s->machine);
    g_autofree char *xml = s->machine->target->gdb_xml(look(s));
    machine_unlock(s->machine);
    size_t size = strlen(xml);
    from = MIN(from, size);
    n = MIN(MIN(n, PACKET_MAX / 2), size - from);
    g_string_append_c(out, from + n < size ? 'm' : 'l');
    g_string_append_len(out, xml + from, n);
    stub_send(s, out->str, out->len);
}

/* A monitor command; what it prints comes in pieces. */
static void monitor_command(Stub *s, const char *text, size_t len)
{
    enum { PIECE = 2048 };
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *line = g_malloc0(len / 2 + 1);
    if (len % 2 || !hex_decode(text, (uint8_t *)line, len / 2)) {
        stub_reply(s, BAD_PACKET);
        return;
    }
    Monitor monitor = { .machine = s->machine, .cpu = s->cpu };
    Machine *machine = s->machine;
    monitor_run(&monitor, line, out);
    if (s->machine != machine || !s->chardev)
        return; /* it was gdbserver */
    for (size_t at = 0; at < out->len; at += PIECE) {
        g_autoptr(GString) piece = g_string_new("O");
        hex_encode(piece, out->str + at, MIN(PIECE, out->len - at));
        stub_reply(s, piece->str);
    }
    stub_reply(s, "OK");
}

static void no_acks(Stub *s, const char *text, size_t len)
{
    stub_reply(s, "OK");
    s->no_acks = true;
}

static void cmd_vcont_what(Stub *s, const char *text, size_t len)
{
    stub_reply(s, "vCont;c;C;s;S");
}

static void attached(Stub *s, const char *text, size_t len)
{
    stub_reply(s, "1");
}

static void cmd_why(Stub *s, const char *text, size_t len)
{
    machine_lock(s->machine);
    stub_tell_stop(s);
    machine_unlock(s->machine);
}

/* By what packets begin with; longer ones first. */
static const struct {
    const char *name;
    void (*run)(Stub *s, const char *text, size_t len); /* what follows the name */
    bool whole;                                         /* nothing does */
} commands[] = {
    { "qSupported", supported },
    { "qXfer:features:read:", read_features },
    { "qRcmd,", monitor_command },
    { "qfThreadInfo", first_threads, .whole = true },
    { "qsThreadInfo", tell_threads, .whole = true },
    { "qThreadExtraInfo,", describe_thread },
    { "qAttached", attached },
    { "qC", current_thread, .whole = true },
    { "QStartNoAckMode", no_acks, .whole = true },
    { "vCont?", cmd_vcont_what, .whole = true },
    { "vCont;", cmd_vcont },
    { "vKill;", cmd_vkill },
    { "?", cmd_why, .whole = true },
    { "c", cmd_continue },
    { "C", cmd_continue_signal },
    { "s", cmd_step },
    { "S", cmd_step_signal },
    { "D", cmd_detach, .whole = true },
    { "D;", cmd_detach },
    { "k", cmd_kill, .whole = true },
    { "g", read_registers, .whole = true },
    { "G", write_registers },
    { "p", read_register },
    { "P", write_register },
    { "m", read_memory },
    { "M", write_memory },
    { "X", write_binary },
    { "H", choose_thread },
    { "T", is_alive },
    { "Z", insert_point },
    { "z", remove_point },
};

void stub_command(Stub *s, const char *text, size_t len)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        size_t n = strlen(commands[i].name);
        bool fits = commands[i].whole ? len == n : len >= n;
        if (fits && !memcmp(text, commands[i].name, n)) {
            commands[i].run(s, text + n, len - n);
            return;
        }
    }
    stub_reply(s, "");
}
