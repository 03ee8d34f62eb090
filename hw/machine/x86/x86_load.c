/*
 * What PCs do at each reset before their processors start: tables and files for firmware, CMOS, or, without firmware, a
 * kernel in memory with the tables that firmware would have made (e820, ACPI, SMBIOS).
 * SPDX-License-Identifier: MIT
 */
#include "hw/block/fdc.h"
#include "hw/firmware/loader.h"
#include "hw/firmware/smbios.h"
#include "hw/machine/x86/x86_machine.h"
#include "target/target.h"
#include "util/error.h"
#include <string.h>

#define HIGH UINT64_C(0x100000000)
#define MIB  UINT64_C(0x100000)
enum { EBDA = 0x9fc00, LOW_END = 0xa0000, TABLES_LOW = 0xf0000, SMBIOS_AT = 0xf1000 };
#define LINUX_ROM "linuxboot_dma.bin"

/* ---- CMOS: what firmware reads before it knows fw_cfg ---- */

static void cmos16(X86Machine *x, uint8_t index, uint64_t value)
{
    value = MIN(value, UINT16_MAX);
    mc146818_set(x->rtc, index, value);
    mc146818_set(x->rtc, index + 1, value >> 8);
}

static uint8_t boot_device(char letter)
{
    static const char letters[] = "acdn";
    const char *place = letter ? strchr(letters, letter) : NULL;
    return place ? place - letters + 1 : 0;
}

static void set_floppies(X86Machine *x)
{
    const Fdc *fdc = fdc_find(&x->machine);
    unsigned first = fdc ? fdc_cmos_type(fdc, 0) : 0, second = fdc ? fdc_cmos_type(fdc, 1) : 0;
    unsigned count = (first != 0) + (second != 0);
    mc146818_set(x->rtc, 0x10, first << 4 | second);
    /* coprocessor, pointing device, number of floppy drives */
    mc146818_set(x->rtc, 0x14, 0x06 | (count ? 1 | (count - 1) << 6 : 0));
}

static void set_cmos(X86Machine *x)
{
    Opts *boot = x->machine.config.boot;
    const char *order = boot ? opts_string(boot, "order", "cad") : "cad",
               *once = boot ? opts_string(boot, "once", NULL) : NULL;
    char first[4] = { 0 };
    if (!x->rtc)
        return;
    g_strlcpy(first, once && !x->booted_once ? once : order, sizeof(first));
    x->booted_once = true;
    cmos16(x, 0x15, 640);
    cmos16(x, 0x17, (x->ram_low - MIN(x->ram_low, MIB)) >> 10);
    cmos16(x, 0x30, (x->ram_low - MIN(x->ram_low, MIB)) >> 10);
    cmos16(x, 0x34, (x->ram_low - MIN(x->ram_low, 16 * MIB)) >> 16);
    mc146818_set(x->rtc, 0x5b, x->ram_high >> 16);
    mc146818_set(x->rtc, 0x5c, x->ram_high >> 24);
    mc146818_set(x->rtc, 0x5d, x->ram_high >> 32);
    mc146818_set(x->rtc, 0x5f, x->machine.config.cpus - 1);
    set_floppies(x);
    mc146818_set(x->rtc, 0x3d, boot_device(first[1]) << 4 | boot_device(first[0]));
    mc146818_set(x->rtc, 0x38, boot_device(first[2]) << 4);
}

/* ---- tables ---- */

/* The 64-bit window has room for what firmware has placed already. */
static void set_hole64(const X86Machine *x, PcAcpiInfo *info)
{
    const uint64_t gib = UINT64_C(1) << 30;
    uint64_t start = (HIGH + x->ram_high + gib - 1) & ~(gib - 1), end = start + x->pci_hole64;
    for (unsigned i = 0; i < G_N_ELEMENTS(x->pci->devices); i++) {
        const PciDevice *dev = x->pci->devices[i];
        for (unsigned n = 0; dev && n < PCI_BARS; n++) {
            const PciBar *bar = &dev->bars[n];
            if (!bar->region || !bar->mapped || bar->type & PCI_BAR_IO || bar->region->addr < start)
                continue;
            end = MAX(end, (bar->region->addr + bar->region->size + gib - 1) & ~(gib - 1));
        }
    }
    info->hole64 = start;
    info->hole64_size = end - start;
}

static PcAcpiInfo acpi_info(X86Machine *x)
{
    const MachineConfig *config = &x->machine.config;
    PcAcpiInfo info = { .board = x->board,
                        .apic_ids = x->apic_ids,
                        .cpus = config->cpus,
                        .ram_low = x->ram_low,
                        .ram_high = x->ram_high,
                        .rtc = x->rtc,
                        .irq0_override = x->ioapic && x->pic,
                        .numa = config->numa,
                        .extra = config->acpi_tables };
    memcpy(info.serial, x->serial, sizeof(info.serial));
    if (x->pci)
        set_hole64(x, &info);
    if (x->rtc) {
        info.floppy_types[0] = mc146818_get(x->rtc, 0x10) >> 4;
        info.floppy_types[1] = mc146818_get(x->rtc, 0x10) & 15;
    }
    x->describe(x, &info);
    return info;
}

/* Firmware reads them when it has placed everything: they are made again then. */
static void tables_selected(void *opaque)
{
    X86Machine *x = opaque;
    PcAcpiInfo info = acpi_info(x);
    AcpiFiles files = pc_acpi_make(&info);
    size_t len;
    if (fw_cfg_file(x->fw_cfg, ACPI_FILE_TABLES, &len) && len == files.tables->len)
        fw_cfg_set_file(x->fw_cfg, ACPI_FILE_TABLES, files.tables->data, len, NULL);
    if (fw_cfg_file(x->fw_cfg, ACPI_FILE_LOADER, &len) && len == files.script->len)
        fw_cfg_set_file(x->fw_cfg, ACPI_FILE_LOADER, files.script->data, len, NULL);
    acpi_files_clear(&files);
}

static bool offer_acpi(X86Machine *x, GError **err)
{
    static const FwCfgFileOps ops = { .selected = tables_selected };
    PcAcpiInfo info = acpi_info(x);
    AcpiFiles files = pc_acpi_make(&info);
    bool ok = acpi_offer(&files, x->fw_cfg, &ops, x, err);
    acpi_files_clear(&files);
    return ok;
}

static bool make_smbios(X86Machine *x, GByteArray **tables, GByteArray **anchor, GError **err)
{
    const MachineConfig *config = &x->machine.config;
    uint32_t cpuid[4];
    x86_cpuid(((Vcpu *)x->machine.vcpus->pdata[0])->state, 1, 0, cpuid);
    const SmbiosMachine m = { .manufacturer = "QEMU",
                              .product = x->machine.type->desc,
                              .version = x->machine.type->name,
                              .uuid = config->uuid,
                              .sockets = MAX(config->sockets, 1),
                              .cores = config->cores ? config->cores : config->cpus,
                              .threads = MAX(config->threads, 1),
                              .cpu_signature = cpuid[0],
                              .cpu_features = cpuid[3],
                              .ram_low = x->ram_low,
                              .ram_high = x->ram_high,
                              .without_firmware = x->direct };
    return smbios_build(config->smbios, &m, tables, anchor, err);
}

static bool offer_smbios(X86Machine *x, GError **err)
{
    GByteArray *tables, *anchor;
    if (!make_smbios(x, &tables, &anchor, err))
        return false;
    bool ok = fw_cfg_set_file(x->fw_cfg, SMBIOS_FILE_TABLES, tables->data, tables->len, err) &&
              fw_cfg_set_file(x->fw_cfg, SMBIOS_FILE_ANCHOR, anchor->data, anchor->len, err);
    g_byte_array_unref(tables);
    g_byte_array_unref(anchor);
    return ok;
}

/* ---- files for firmware ---- */

static bool offer_e820(X86Machine *x, GError **err)
{
    const E820Entry entries[] = { { 0, x->ram_low, E820_RAM }, { HIGH, x->ram_high, E820_RAM } };
    uint8_t data[2 * E820_FILE_BYTES];
    e820_encode(&entries[0], data);
    e820_encode(&entries[1], data + E820_FILE_BYTES);
    return fw_cfg_set_file(x->fw_cfg, "etc/e820", data, (x->ram_high ? 2 : 1) * E820_FILE_BYTES, err);
}

static bool offer_splash(X86Machine *x, Opts *boot, GError **err)
{
    const char *path = opts_string(boot, "splash", NULL);
    uint64_t size, time;
    if (path) {
        g_autofree uint8_t *data = read_whole_file("-boot: splash", path, &size, err);
        if (!data)
            return false;
        bool bmp = size >= 2 && !memcmp(data, "BM", 2), jpeg = size >= 3 && !memcmp(data, "\xff\xd8\xff", 3);
        if (!bmp && !jpeg)
            return error_set(err, "-boot: splash: '%s' is neither a JPEG nor a BMP picture", path);
        if (!fw_cfg_set_file(x->fw_cfg, bmp ? "bootsplash.bmp" : "bootsplash.jpg", data, size, err))
            return false;
    }
    if (opts_has(boot, "splash-time") && opts_uint(boot, "splash-time", &time, 0, UINT16_MAX, NULL)) {
        uint16_t ms = GUINT16_TO_LE(time);
        return fw_cfg_set_file(x->fw_cfg, "etc/boot-menu-wait", &ms, sizeof(ms), err);
    }
    return true;
}

static bool offer_boot_options(X86Machine *x, GError **err)
{
    Opts *boot = x->machine.config.boot;
    bool menu = false, strict = false, linux_rom = !x->direct && x->machine.config.kernel && x->has_rom_bios;
    uint64_t time = UINT32_MAX;
    if (boot) {
        opts_bool(boot, "menu", &menu, NULL);
        opts_bool(boot, "strict", &strict, NULL);
        opts_uint(boot, "reboot-timeout", &time, 0, UINT16_MAX, NULL);
    }
    uint32_t wait = GUINT32_TO_LE((uint32_t)time);
    g_autofree char *order = x86_boot_order(&x->machine, linux_rom ? "/rom@genroms/" LINUX_ROM : NULL, strict, err);
    if (!order)
        return false;
    fw_cfg_set_integer(x->fw_cfg, FW_CFG_BOOT_MENU, menu, 2);
    return fw_cfg_set_file(x->fw_cfg, "bootorder", order, *order ? strlen(order) + 1 : 0, err) &&
           fw_cfg_set_file(x->fw_cfg, "etc/boot-fail-wait", &wait, sizeof(wait), err) &&
           (!boot || offer_splash(x, boot, err));
}

/* SeaBIOS starts the kernel by an option ROM, EDK2 by itself. */
static bool offer_kernel(X86Machine *x, const X86Boot *boot, GError **err)
{
    uint64_t size;
    if (!x86_boot_offer(boot, x->fw_cfg, err))
        return false;
    if (!x->has_rom_bios)
        return true;
    g_autofree char *path = firmware_find(LINUX_ROM);
    if (!path)
        return error_set(err, "the option ROM '%s' is in none of %s; Debian's package qemu-system-data has it",
                         LINUX_ROM, firmware_places());
    g_autofree uint8_t *data = read_whole_file("-kernel", path, &size, err);
    return data && fw_cfg_set_file(x->fw_cfg, "genroms/" LINUX_ROM, data, size, err);
}

static bool offer_all(X86Machine *x, GError **err)
{
    uint8_t sleep_states[] = { 128, 0, 0, 1, 2, 128 }; /* the sleep type of each; 128: it is there */
    const MachineConfig *config = &x->machine.config;
    fw_cfg_set_integer(x->fw_cfg, FW_CFG_NOGRAPHIC, config->nographic, 2);
    fw_cfg_set_integer(x->fw_cfg, FW_CFG_MAX_CPUS, x->apic_ids[config->cpus - 1] + 1, 2);
    fw_cfg_set_integer(x->fw_cfg, FW_CFG_X86_IRQ0_OVERRIDE, 1, 4);
    bool acpi = x->acpi != SWITCH_OFF && x->board != PC_ISA;
    if (acpi) {
        const PcAcpiInfo info = acpi_info(x);
        sleep_states[3] |= info.s3 ? 128 : 0;
        sleep_states[4] = info.s4 ? 128 | info.s4_type : 2;
    }
    return offer_e820(x, err) && offer_smbios(x, err) && (!acpi || offer_acpi(x, err)) && offer_boot_options(x, err) &&
           fw_cfg_set_file(x->fw_cfg, "etc/system-states", sleep_states, sizeof(sleep_states), err);
}

/* ---- without firmware ---- */

/* The tables that firmware would link and place: RSDP and SMBIOS in the last 64 KiB of the first MiB, ACPI at the end
 * of RAM below 4 GiB, whose start *limit becomes. */
static bool place_tables(X86Machine *x, uint64_t *limit, uint64_t *rsdp, GError **err)
{
    AddressSpace *as = &x->machine.memory;
    GByteArray *tables, *anchor;
    *rsdp = x->facs = 0;
    if (x->acpi != SWITCH_OFF && x->board != PC_ISA) {
        PcAcpiInfo info = acpi_info(x);
        AcpiFiles files = pc_acpi_make(&info);
        *limit = (*limit - files.tables->len) & ~UINT64_C(0xfff);
        *rsdp = TABLES_LOW;
        acpi_link(&files, *limit, *rsdp);
        x->facs = x->board == PC_MICROVM ? 0 : *limit; /* the first table */
        bool ok = as_load_image(as, *limit, files.tables->data, files.tables->len, err) &&
                  as_load_image(as, *rsdp, files.rsdp->data, files.rsdp->len, err);
        acpi_files_clear(&files);
        if (!ok)
            return false;
    }
    if (!make_smbios(x, &tables, &anchor, err))
        return false;
    bool fits = tables->len <= MIB - SMBIOS_AT - 0x100;
    smbios_link(anchor, SMBIOS_AT);
    bool ok =
        fits ? as_load_image(as, SMBIOS_AT, tables->data, tables->len, err) &&
                   as_load_image(as, TABLES_LOW + 0x100, anchor->data, anchor->len, err)
             : error_set(err, "-smbios: the tables take %u bytes; without firmware, 61184 are possible", tables->len);
    g_byte_array_unref(tables);
    g_byte_array_unref(anchor);
    return ok;
}

static unsigned make_map(const X86Machine *x, uint64_t limit, E820Entry *map)
{
    unsigned n = 0;
    map[n++] = (E820Entry){ 0, EBDA, E820_RAM };
    map[n++] = (E820Entry){ EBDA, LOW_END - EBDA, E820_RESERVED };
    map[n++] = (E820Entry){ TABLES_LOW, MIB - TABLES_LOW, E820_RESERVED };
    map[n++] = (E820Entry){ MIB, limit - MIB, E820_RAM };
    if (limit < x->ram_low)
        map[n++] = (E820Entry){ limit, x->ram_low - limit, E820_ACPI };
    if (x->board == PC_Q35)
        map[n++] = (E820Entry){ PC_ECAM_BASE, PC_ECAM_SIZE, E820_RESERVED };
    map[n++] = (E820Entry){ HIGH - 0x40000, 0x40000, E820_RESERVED }; /* where firmware would be */
    if (x->ram_high)
        map[n++] = (E820Entry){ HIGH, x->ram_high, E820_RAM };
    return n;
}

static bool load_direct(X86Machine *x, GError **err)
{
    const MachineConfig *config = &x->machine.config;
    Vcpu *first = x->machine.vcpus->pdata[0];
    E820Entry map[E820_MAX];
    X86Entry entry;
    uint64_t limit = x->ram_low, rsdp;
    if (x->ram_low < 4 * MIB)
        return error_set(err, "-m: a kernel needs at least 4 MiB");
    if (x->set_up)
        x->set_up(x);
    if (!place_tables(x, &limit, &rsdp, err))
        return false;
    const X86Boot boot = { .as = &x->machine.memory,
                           .long_mode = x->machine.target->bits == 64,
                           .text_screen = boot_set_text_mode(&x->machine.memory, &x->machine.io),
                           .kernel = config->kernel,
                           .initrd = config->initrd,
                           .append = config->append,
                           .map = map,
                           .map_count = make_map(x, limit, map),
                           .limit = limit,
                           .rsdp = rsdp };
    if (!x86_boot_load(&boot, &entry, err))
        return false;
    x86_set_entry(first->state, &entry);
    vcpu_reset(first); /* it takes effect there */
    return true;
}

/* ---- after a sleep ---- */

/* Firmware finds out by the shutdown status in CMOS memory; without it, the guest goes on in real mode where its waking
 * vector says (ACPI 16.3.1). False: it has not set one. */
static bool wake(X86Machine *x)
{
    enum { CMOS_SHUTDOWN = 0x0f, RESUME = 0xfe, FACS_VECTOR = 12 };
    Vcpu *first = x->machine.vcpus->pdata[0];
    uint8_t bytes[4];
    if (!x->direct) {
        mc146818_set(x->rtc, CMOS_SHUTDOWN, RESUME);
        return true;
    }
    if (!x->facs || as_read(&x->machine.memory, x->facs + FACS_VECTOR, bytes, sizeof(bytes)) != MEM_OK)
        return false;
    uint32_t vector = pci_get32(bytes);
    if (!vector || vector >= MIB)
        return false;
    const X86Entry entry = { .bits = 16, .cs = vector >> 4, .rip = vector & 15 };
    x->set_up(x);
    x86_set_entry(first->state, &entry);
    vcpu_reset(first);
    return true;
}

bool x86_load(Machine *machine, GError **err)
{
    X86Machine *x = x86_machine(machine);
    const MachineConfig *config = &machine->config;
    if (machine->waking && wake(x))
        return true;
    set_cmos(x);
    if (!offer_all(x, err) || !x86_copy_bios(x, err))
        return false;
    if (x->direct)
        return load_direct(x, err);
    if (!config->kernel)
        return !config->initrd || error_set(err, "-initrd: it is for a -kernel, and there is none");
    const X86Boot boot = {
        .kernel = config->kernel, .initrd = config->initrd, .append = config->append, .limit = x->ram_low
    };
    return offer_kernel(x, &boot, err);
}
