/*
 * Where random numbers come from: -object rng-builtin (the host's own generator) and rng-random (a device or pipe).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_RNG_BACKEND_H
#define HW_VIRTIO_RNG_BACKEND_H

#include "util/options.h"
#include <sys/types.h>

typedef struct RngBackend RngBackend;

bool rng_backend_is_type(const char *type);
/* -object rng-...,id=[,filename=]. False and *err on failure. */
bool rng_backend_add(Opts *opts, GError **err);
/* NULL and *err if there is none of this ID. */
RngBackend *rng_backend_find(const char *id, GError **err);
/* Up to len bytes; 0: none now, or no more at all. backend NULL: builtin. Never blocks. */
size_t rng_backend_read(RngBackend *backend, void *buf, size_t len);
/* Its file, to be polled where it had no bytes; -1: builtin, or at its end. */
int rng_backend_fd(const RngBackend *backend);
void rng_backend_remove_all(void);

#endif
