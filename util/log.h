/*
 * Log: what -d selects goes to standard error or to the file that -D names. Free when off: test log_on() first.
 * Lines are written whole (one write(2) each), so that threads do not mix theirs.
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* name as in -d, and what it shows: LOG(in_asm, IN_ASM, "...") */
#define LOG_ITEMS(LOG)                                                                                                 \
    LOG(in_asm, IN_ASM, "guest code of each unit translated")                                                          \
    LOG(op, OP, "intermediate code of each unit, before the passes")                                                   \
    LOG(op_opt, OP_OPT, "intermediate code after the passes")                                                          \
    LOG(out_asm, OUT_ASM, "host code of each unit translated")                                                         \
    LOG(int, INT, "interrupts and exceptions")                                                                         \
    LOG(exec, EXEC, "each unit entered from C (chaining off)")                                                         \
    LOG(cpu, CPU, "registers before each unit entered from C (chaining off)")                                          \
    LOG(mmu, MMU, "page table walks and TLB flushes")                                                                  \
    LOG(guest_errors, GUEST_ERRORS, "what the guest does wrong")                                                       \
    LOG(unimp, UNIMP, "what the guest asks for that is not implemented")                                               \
    LOG(cpu_reset, CPU_RESET, "registers at each reset")                                                               \
    LOG(icount, ICOUNT, "at the end: how many instructions -icount has counted")

enum {
#define LOG_BIT(name, upper, help) LOG_BIT_##upper,
    LOG_ITEMS(LOG_BIT)
#undef LOG_BIT
};
enum {
#define LOG_MASK(name, upper, help) LOG_##upper = 1u << LOG_BIT_##upper,
    LOG_ITEMS(LOG_MASK)
#undef LOG_MASK
};

extern uint32_t log_mask; /* LOG_* that are on; written by log_set only */

static inline bool log_on(uint32_t mask)
{
    return __builtin_expect(__atomic_load_n(&log_mask, __ATOMIC_RELAXED) & mask, 0);
}

/* Write to the log, whatever the mask says; a newline is added if the text has none at its end. */
void log_write(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Write to the log if one of mask is on. */
#define log_printf(mask, ...) (log_on(mask) ? log_write(__VA_ARGS__) : (void)0)

/* Turn on the comma-separated items ("help" and unknown names are errors whose text lists the items; "trace:PATTERN"
 * turns on trace points). NULL turns all off. */
bool log_set(const char *items, GError **err);
/* Write to this file from now on ("%d" in the name is the process ID); NULL: standard error. */
bool log_set_file(const char *path, GError **err);
/* The lines that "-d help" prints. Free with g_free. */
char *log_help(void);

#endif
