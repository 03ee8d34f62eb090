/*
 * IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA8-ACS, 7.16 and 7.17). Words and texts are what drivers and firmware
 * of PCs look at; defaults of the names are the reference's.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/internal.h"
#include <string.h>

static void put(uint16_t *words, unsigned n, unsigned value)
{
    words[n] = GUINT16_TO_LE(value);
}

/* Two characters a word, the first in the high byte; blanks at the end. */
static void put_text(uint16_t *words, unsigned first, unsigned count, const char *text)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned high = *text ? (uint8_t)*text++ : ' ', low = *text ? (uint8_t)*text++ : ' ';
        put(words, first + i, high << 8 | low);
    }
}

static void put_modes(const IdeDrive *d, uint16_t *words)
{
    unsigned kind = d->dma_mode >> 3, bit = 1u << (8 + (d->dma_mode & 7));
    put(words, 53, 7); /* words 54-58, 64-70 and 88 are valid */
    if (!d->ide->host->dma_map)
        return;                                   /* PIO 0-2 */
    put(words, 63, 0x07 | (kind == 4 ? bit : 0)); /* multiword DMA 0-2 */
    put(words, 64, 3);                            /* PIO 3 and 4 */
    for (unsigned n = 65; n <= 68; n++)
        put(words, n, 120);                       /* cycle times, ns */
    put(words, 88, 0x3f | (kind == 8 ? bit : 0)); /* Ultra DMA 0-5 */
    put(words, 93, 0x6001);                       /* 80-conductor cable */
}

static void put_names(const IdeDrive *d, uint16_t *words)
{
    put_text(words, 10, 10, d->serial);
    put(words, 20, 3);
    put(words, 21, 512);
    put(words, 22, 4);
    put_text(words, 23, 4, d->version);
    put_text(words, 27, 20, d->model);
}

static void put_checksum(uint16_t *words)
{
    const uint8_t *bytes = (const uint8_t *)words;
    uint8_t sum = 0xa5;
    for (unsigned i = 0; i < 510; i++)
        sum += bytes[i];
    put(words, 255, (uint8_t)-sum << 8 | 0xa5);
}

static void put_sata(const IdeDrive *d, uint16_t *words, bool ncq)
{
    if (!d->ide->host->all_dma)
        return;
    put(words, 75, ncq ? 31 : 0);               /* queue depth less one */
    put(words, 76, 0x0002 | (ncq ? 0x100 : 0)); /* 1.5 Gb/s; NCQ */
    put(words, 93, 0);
    put(words, 222, 0x1020);
}

static void identify_packet(const IdeDrive *d, uint16_t *words)
{
    put(words, 0, 0x85c0); /* CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    put_names(d, words);
    put(words, 48, 1);
    put(words, 49, d->ide->host->dma_map ? 0x0b00 : 0x0a00); /* IORDY, LBA, DMA */
    put_modes(d, words);
    put(words, 71, 30);
    put(words, 72, 30);
    put_sata(d, words, false);
    put(words, 80, 0xf0);   /* ATA/ATAPI-4 to -7 */
    put(words, 82, 0x4214); /* NOP, DEVICE RESET, PACKET, removable */
    put(words, 83, 0x4000);
    put(words, 84, 0x4000);
    put(words, 85, 0x4214);
    put(words, 87, 0x4000);
}

static void put_sizes(const IdeDrive *d, uint16_t *words)
{
    uint64_t all = d->visible, lba28 = MIN(all, 0x0fffffff);
    unsigned heads = d->current_heads, sectors = d->current_sectors;
    unsigned cylinders = MIN(all / (heads * sectors), 65535);
    uint32_t chs = cylinders * heads * sectors;
    put(words, 1, d->cylinders);
    put(words, 3, d->heads);
    put(words, 6, d->sectors);
    put(words, 54, cylinders);
    put(words, 55, heads);
    put(words, 56, sectors);
    put(words, 57, chs);
    put(words, 58, chs >> 16);
    put(words, 60, lba28);
    put(words, 61, lba28 >> 16);
    for (unsigned i = 0; i < 4; i++)
        put(words, 100 + i, all >> (16 * i));
    unsigned exponent = g_bit_nth_msf(d->physical_block_size / d->logical_block_size, -1);
    put(words, 106, 0x4000 | (exponent ? 0x2000 | exponent : 0));
}

static void identify_disk(const IdeDrive *d, uint16_t *words)
{
    unsigned wwn = d->wwn ? 0x100 : 0;
    put(words, 0, 0x0040); /* fixed disk */
    put_names(d, words);
    put(words, 47, 0x8010); /* 16 sectors of READ MULTIPLE */
    put(words, 48, 0x4000); /* valid, no Trusted Computing */
    put(words, 49, d->ide->host->dma_map ? 0x0b00 : 0x0a00);
    put(words, 51, 0x200);
    put(words, 52, 0x200);
    put(words, 59, d->multiple ? 0x100 | d->multiple : 0);
    put_modes(d, words);
    put_sizes(d, words);
    put_sata(d, words, true);
    put(words, 80, 0x1f0);        /* ATA/ATAPI-4 to ATA8-ACS */
    put(words, 82, 0x4461);       /* NOP, HPA, look-ahead, write cache, SMART */
    put(words, 83, 0x7400);       /* FLUSH CACHE (EXT), 48 bits */
    put(words, 84, 0x4060 | wwn); /* FUA writes, logs */
    put(words, 85, 0x4400 | (d->look_ahead ? 0x40 : 0) | (d->write_cache ? 0x20 : 0) | d->smart_on);
    put(words, 86, 0x3400);
    put(words, 87, 0x4060 | wwn);
    put(words, 105, 1); /* blocks of DATA SET MANAGEMENT */
    for (unsigned i = 0; i < 4 && wwn; i++)
        put(words, 108 + i, d->wwn >> (48 - 16 * i));
    put(words, 169, 1); /* TRIM */
    put(words, 217, d->rotation_rate);
}

void ide_identify(const IdeDrive *d, uint16_t *words)
{
    memset(words, 0, 512);
    if (d->is_cd)
        identify_packet(d, words);
    else
        identify_disk(d, words);
    put_checksum(words);
}
