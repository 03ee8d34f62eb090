/*
 * RISC-V CPU models and numeric properties of `-cpu`, for cpu.c.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_CPU_MODELS_H
#define TARGET_RISCV_CPU_MODELS_H

#include "target/riscv/cpu.h"

enum { RISCV_NUMBER_NAMES = 16 };

/* Everything of the model of this name; s->xlen is known. */
bool riscv_set_model(RiscvState *s, const char *name, GError **err);
/* name=value; *found: is it a property with a value that is no truth value? */
bool riscv_set_number(RiscvState *s, const char *name, const char *value, bool *found, GError **err);
/* Their names, at most RISCV_NUMBER_NAMES; returns how many. */
unsigned riscv_number_names(const char **names);
void riscv_model_help(GString *out);
void riscv_number_help(GString *out);

/* cpu.c: turn an extension, or a group of them, on or off. False: there is none of this name. */
bool riscv_set_extension(RiscvState *s, const char *name, bool on);
/* All that fit XLEN. */
void riscv_set_all_extensions(RiscvState *s);

#endif
