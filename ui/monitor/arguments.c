/*
 * Arguments of monitor commands: words, formats, expressions over numbers and registers (see command.h).
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "ui/monitor/command.h"
#include "util/error.h"
#include <string.h>

/* ---- expressions ---- */

typedef struct Expression {
    Monitor *m;
    const char *at;
    unsigned depth;
    GError **err;
} Expression;

#define DEPTH_MAX 64

static bool parse_level(Expression *x, unsigned level, uint64_t *value);

typedef struct RegisterRead {
    const char *name;
    size_t length;
    uint64_t value;
    bool found;
} RegisterRead;

static void read_register(Vcpu *vcpu, void *opaque)
{
    RegisterRead *r = opaque;
    const Target *t = vcpu->target;
    if (r->length == 2 && !strncmp(r->name, "pc", 2)) {
        r->value = vcpu->state->pc;
        r->found = true;
    }
    for (unsigned i = 0; i < t->reg_count && !r->found; i++) {
        if (strlen(t->regs[i].name) == r->length && !strncmp(t->regs[i].name, r->name, r->length)) {
            memcpy(&r->value, (char *)vcpu->state + t->regs[i].offset, sizeof(r->value));
            r->found = true;
        }
    }
    if (t->bits == 32)
        r->value = (uint32_t)r->value;
}

static bool parse_register(Expression *x, uint64_t *value)
{
    RegisterRead r = { .name = x->at, .length = strspn(x->at, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.") };
    monitor_on_cpu(x->m, x->m->cpu, read_register, &r);
    if (!r.found)
        return error_set(x->err, "there is no register '$%.*s'", (int)r.length, x->at);
    x->at += r.length;
    *value = r.value;
    return true;
}

static bool parse_number(Expression *x, uint64_t *value)
{
    char *end;
    *value = g_ascii_strtoull(x->at, &end, 0);
    if (end == x->at || *x->at == '-' || *x->at == '+')
        return error_set(x->err, *x->at ? "a number is expected at '%s'" : "an expression ends too early%s", x->at);
    x->at = end;
    return true;
}

static void skip_spaces(Expression *x)
{
    x->at += strspn(x->at, " \t");
}

static bool parse_unary(Expression *x, uint64_t *value)
{
    skip_spaces(x);
    if (++x->depth > DEPTH_MAX)
        return error_set(x->err, "the expression is too deep");
    char c = *x->at;
    bool ok;
    if (c == '-' || c == '~' || c == '+') {
        x->at++;
        ok = parse_unary(x, value);
        *value = c == '-' ? -*value : c == '~' ? ~*value : *value;
    } else if (c == '(') {
        x->at++;
        ok = parse_level(x, 0, value);
        skip_spaces(x);
        if (ok && *x->at != ')')
            ok = error_set(x->err, "')' is missing in the expression");
        else if (ok)
            x->at++;
    } else if (c == '$') {
        x->at++;
        ok = parse_register(x, value);
    } else {
        ok = parse_number(x, value);
    }
    x->depth--;
    return ok;
}

/* Operators by how tightly they bind. */
static bool parse_level(Expression *x, unsigned level, uint64_t *value)
{
    static const char *const operators[] = { "|&^", "+-", "*/%" };
    if (level == G_N_ELEMENTS(operators))
        return parse_unary(x, value);
    if (!parse_level(x, level + 1, value))
        return false;
    while (true) {
        uint64_t right;
        skip_spaces(x);
        char c = *x->at;
        if (!c || !strchr(operators[level], c))
            return true;
        x->at++;
        if (!parse_level(x, level + 1, &right))
            return false;
        if ((c == '/' || c == '%') && !right)
            return error_set(x->err, "division by zero");
        *value = c == '|'   ? *value | right
                 : c == '&' ? *value & right
                 : c == '^' ? *value ^ right
                 : c == '+' ? *value + right
                 : c == '-' ? *value - right
                 : c == '*' ? *value * right
                 : c == '/' ? *value / right
                            : *value % right;
    }
}

bool monitor_evaluate(Monitor *m, const char *text, uint64_t *value, GError **err)
{
    Expression x = { m, text, 0, err };
    if (!parse_level(&x, 0, value))
        return false;
    skip_spaces(&x);
    return !*x.at || error_set(err, "'%s' does not belong to the expression", x.at);
}

/* ---- formats ---- */

/* "/count format size", each may be missing. */
static bool parse_format(const char **text, MonitorArg *arg, GError **err)
{
    const char *at = *text + 1;
    uint64_t count = 0;
    if (g_ascii_isdigit(*at)) {
        char *end;
        count = g_ascii_strtoull(at, &end, 10);
        at = end;
        if (!count || count > 65536)
            return error_set(err, "format: a count of 1 to 65536 is possible");
    }
    for (; *at && *at != ' ' && *at != '\t'; at++) {
        static const char sizes[] = "bhwg";
        const char *size = strchr(sizes, *at);
        if (size)
            arg->display.size = 1u << (size - sizes);
        else if (strchr("xduoci", *at))
            arg->display.format = *at;
        else
            return error_set(err, "format: '%c' is none of x, d, u, o, c, i (how) and b, h, w, g (1, 2, 4, 8 bytes)",
                             *at);
    }
    arg->display.count = count;
    arg->given = true;
    *text = at;
    return true;
}

/* ---- arguments ---- */

static char *take_word(const char **text, GPtrArray *words)
{
    size_t n = strcspn(*text, " \t");
    char *word = g_strndup(*text, n);
    *text += n;
    g_ptr_array_add(words, word);
    return word;
}

static bool parse_one(Monitor *m, const char *type, const char **text, MonitorArg *arg, GPtrArray *words, GError **err)
{
    arg->given = true;
    switch (*type) {
    case '/':
        return parse_format(text, arg, err);
    case 'S':
        g_ptr_array_add(words, g_strdup(*text));
        arg->text = words->pdata[words->len - 1];
        *text += strlen(*text);
        return true;
    case 'l':
        arg->text = *text;
        *text += strlen(*text);
        return monitor_evaluate(m, arg->text, &arg->number, err);
    case 'i':
        return parse_uint(take_word(text, words), &arg->number, err);
    case '-':
        arg->text = take_word(text, words);
        if (type[2] != 's')
            return true;
        *text += strspn(*text, " \t");
        if (!**text)
            return error_set(err, "%s: a word has to follow", arg->text);
        arg->text = take_word(text, words);
        return true;
    default:
        arg->text = take_word(text, words);
        return true;
    }
}

/* Is what follows there, and what this kind of argument may be? */
static bool present(const char *type, const char *text)
{
    if (*type == '/')
        return *text == '/';
    if (*type == '-')
        return text[0] == '-' && text[1] == type[1];
    return *text;
}

bool command_parse(Monitor *m, const Command *command, const char *text, MonitorArg args[MONITOR_ARGS],
                   GPtrArray *words, GError **err)
{
    g_auto(GStrv) specs = g_strsplit(command->args ? command->args : "", " ", -1);
    unsigned n = 0;
    for (char **spec = specs; *spec && **spec; spec++, n++) {
        const char *type = strchr(*spec, ':') + 1;
        bool optional = (*spec)[strlen(*spec) - 1] == '?';
        text += strspn(text, " \t");
        if (present(type, text)) {
            if (!parse_one(m, type, &text, &args[n], words, err)) {
                g_prefix_error(err, "%s: ", command->name);
                return false;
            }
        } else if (!optional) {
            return error_set(err, "%s: %.*s is missing; 'help %s' says what it takes", command->name,
                             (int)(type - 1 - *spec), *spec, command->name);
        }
    }
    text += strspn(text, " \t");
    return !*text ||
           error_set(err, "%s: '%s' is too much; 'help %s' says what it takes", command->name, text, command->name);
}
