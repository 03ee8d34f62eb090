/*
 * Random programs: short instructions that begin with what they need and end wherever they like. For level 0, or for
 * level 3 of 64-bit code (PROGRAM_USER), with x87, SSE and AVX.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_KVM_CROSSCHECK_PROGRAMS_H
#define TESTS_KVM_CROSSCHECK_PROGRAMS_H

#include <stdbool.h>
#include <stdint.h>

enum { PROGRAM_BYTES = 0x700, PROGRAM_PIECES = 128 };
enum { PROGRAM_MMIO = 0xa0000, PROGRAM_PORTS = 0x80, PROGRAM_PORT_COUNT = 16 };

typedef enum { PROGRAM_REAL, PROGRAM_PROTECTED, PROGRAM_LONG, PROGRAM_USER } ProgramMode;

typedef struct Program {
    uint8_t code[PROGRAM_BYTES];
    unsigned bytes, pieces, halts;
    struct {
        uint16_t at;
        const char *name;
    } piece[PROGRAM_PIECES];            /* where each instruction with its preparation begins */
    uint32_t undefined[PROGRAM_PIECES]; /* by halt: flags that the manuals leave undefined there */
} Program;

/* data: address of 4 KiB that it may read and write; selector: of a data segment from 0 on. */
typedef struct ProgramPlaces {
    ProgramMode mode;
    uint32_t data;
    uint16_t code_selector, data_selector;
    uint32_t code; /* where it will stand */
    bool avx;
} ProgramPlaces;
void program_make(Program *p, const ProgramPlaces *places, uint64_t seed);
uint64_t program_random(uint64_t *state);
/* Of the piece that this offset is in. */
const char *program_name_at(const Program *p, uint64_t offset);

#endif
