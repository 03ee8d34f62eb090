/*
 * Single accesses to guest RAM, which vCPUs and devices reach at once: atomic where they are aligned, so that nobody
 * sees half of one. What the guest's own code orders, generated code does, where ThreadSanitizer does not look: hence
 * nothing here is a race for it.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_RAM_ACCESS_H
#define HW_CORE_RAM_ACCESS_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t __attribute__((aligned(1), may_alias)) RamAny16;
typedef uint32_t __attribute__((aligned(1), may_alias)) RamAny32;
typedef uint64_t __attribute__((aligned(1), may_alias)) RamAny64;

/* One host access each; not atomic where the host's are not. */
__attribute__((no_sanitize("thread"))) static inline uint64_t ram_get_unaligned(const void *host, unsigned size)
{
    switch (size) {
    case 2:
        return GUINT16_FROM_LE(*(const RamAny16 *)host);
    case 4:
        return GUINT32_FROM_LE(*(const RamAny32 *)host);
    default:
        return GUINT64_FROM_LE(*(const RamAny64 *)host);
    }
}

__attribute__((no_sanitize("thread"))) static inline void ram_put_unaligned(void *host, unsigned size, uint64_t value)
{
    switch (size) {
    case 2:
        *(RamAny16 *)host = GUINT16_TO_LE((uint16_t)value);
        break;
    case 4:
        *(RamAny32 *)host = GUINT32_TO_LE((uint32_t)value);
        break;
    default:
        *(RamAny64 *)host = GUINT64_TO_LE(value);
        break;
    }
}

/* Little-endian value of 1, 2, 4 or 8 bytes. */
static inline uint64_t ram_get(const void *host, unsigned size)
{
    if ((uintptr_t)host & (size - 1))
        return ram_get_unaligned(host, size);
    switch (size) {
    case 1:
        return __atomic_load_n((const uint8_t *)host, __ATOMIC_RELAXED);
    case 2:
        return GUINT16_FROM_LE(__atomic_load_n((const uint16_t *)host, __ATOMIC_RELAXED));
    case 4:
        return GUINT32_FROM_LE(__atomic_load_n((const uint32_t *)host, __ATOMIC_RELAXED));
    default:
        return GUINT64_FROM_LE(__atomic_load_n((const uint64_t *)host, __ATOMIC_RELAXED));
    }
}

static inline void ram_put(void *host, unsigned size, uint64_t value)
{
    if ((uintptr_t)host & (size - 1)) {
        ram_put_unaligned(host, size, value);
        return;
    }
    switch (size) {
    case 1:
        __atomic_store_n((uint8_t *)host, (uint8_t)value, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((uint16_t *)host, GUINT16_TO_LE((uint16_t)value), __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)host, GUINT32_TO_LE((uint32_t)value), __ATOMIC_RELAXED);
        break;
    default:
        __atomic_store_n((uint64_t *)host, GUINT64_TO_LE(value), __ATOMIC_RELAXED);
        break;
    }
}

/* memcpy from or to guest RAM. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RAM_COPY_UNSEEN
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define RAM_COPY_UNSEEN
#endif
#ifdef RAM_COPY_UNSEEN
void ram_copy(void *to, const void *from, size_t len); /* util/tsan.c */
#else
static inline void ram_copy(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
}
#endif

#endif
