/*
 * What tests of IDE and AHCI controllers stand on: a RISC-V board, whose PCI port window stands for a PC's ports, with
 * a controller, a disk and a CD whose sectors begin with their numbers, and a disk that refuses.
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_DEVICE_IDE_RIG_H
#define TESTS_DEVICE_IDE_RIG_H

#include "block/block.h"
#include "devtest.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#define PORTS     0x3000000ull
#define BMDMA     0xc000u
#define AHCI_BASE 0x40000000ull
#define RAM       DEVM_RAM_BASE
#define SECTORS   4096u

extern DevMachine *m;

/* A machine with this controller at slot 5, a disk "d0" (bus ide.0) and a CD "c0" (ide.1). */
void ide_begin(const char *controller);
void ide_end(void);
/* As firmware does: after ide_begin, and after a reset. */
void place_bars(void);
void config_write(unsigned slot, unsigned offset, unsigned size, uint32_t value);
/* Makes an image; every sector begins with its number. Free with g_free. */
char *ide_image(const char *name, unsigned sectors, unsigned size);
/* path NULL: a drive without a medium. */
void add_drive(const char *id, const char *path, bool cdrom);
void add_device(const char *text);
/* data is sector n of an image with sectors of so many bytes. */
void check_sector(const uint8_t *data, uint32_t n, unsigned size);
/* An image's bytes from a sector of 512 on. */
void check_image(const char *name, unsigned sector, const void *want, unsigned bytes);

/* The same with a disk whose requests fail with an errno; 0: with none. */
void ide_begin_errors(const char *controller, BlockOnError on_error);
void ide_fail_with(int error);
/* The command fails once, the machine stops; it goes on and the command is done, or a reset forgets it. */
void ide_stop_and_go(bool reset);

/* g_test_run, with a folder for images. */
int ide_run_tests(void);

#endif
