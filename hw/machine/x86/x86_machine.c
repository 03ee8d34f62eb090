/*
 * Parts that the PCs and microvm have in common (see x86_machine.h). RAM that does not fit below the hole for devices
 * under 4 GiB continues above; firmware lies at the end of the first 4 GiB, its last 128 KiB again at the end of the
 * first MiB.
 * SPDX-License-Identifier: MIT
 */
#include "hw/machine/x86/x86_machine.h"
#include "hw/char/isa_serial.h"
#include "hw/firmware/loader.h"
#include "hw/intc/apic_x86.h"
#include "hw/intc/irqchip.h"
#include "target/target.h"
#include "target/x86/x86.h"
#include "util/error.h"
#include <inttypes.h>
#include <string.h>

#define GIB ((uint64_t)1 << 30)
enum { BIOS_UNIT = 64 << 10, BIOS_MAX = 16 << 20, ISA_BIOS_MAX = 128 << 10, FLASH_SECTOR = 4096 };

const char *const x86_switch_names[] = { "auto", "on", "off", NULL };

static bool set_prop(void *dev, const char *key, const char *value, GError **err)
{
    return device_set(dev, key, value, err);
}

void *x86_place(X86Machine *x, const DeviceType *type, Bus *bus, const char *props, GError **err)
{
    Device *dev = device_new(&x->machine, type);
    g_autoptr(Opts) opts = opts_parse(type->name, props ? props : "", NULL, err);
    if (opts && opts_foreach(opts, set_prop, dev, err) && device_realize(dev, bus, err))
        return dev;
    device_free(dev);
    return NULL;
}

/* ---- memory ---- */

static bool make_ram(X86Machine *x, GError **err)
{
    Machine *machine = &x->machine;
    const MachineConfig *config = &machine->config;
    HostMemory *memory = NULL;
    for (unsigned n = 0; config->numa && n < config->numa->count; n++) {
        if (config->numa->nodes[n].memory)
            return error_set(err, "-numa: machine '%s' takes mem=, not memdev=; -machine memory-backend= is possible",
                             machine->type->name);
    }
    if (!config->ram_memory)
        return mem_ram_init(&x->ram, machine, "pc.ram", config->ram_size, err);
    if (!(memory = hostmem_take("-machine: memory-backend=", config->ram_memory, err)))
        return false;
    if (memory->size != config->ram_size)
        return error_set(err, "-machine: memory-backend=%s has %" PRIu64 " MiB, -m says %" PRIu64, memory->id,
                         memory->size >> 20, config->ram_size >> 20);
    return mem_ram_init_backed(&x->ram, machine, "pc.ram", memory, err);
}

bool x86_add_ram(X86Machine *x, uint64_t split, uint64_t hole, GError **err)
{
    Machine *machine = &x->machine;
    const uint64_t size = machine->config.ram_size, limit = x->max_ram_below_4g;
    if (limit && (limit < 1 << 20 || limit > 4 * GIB - BIOS_MAX))
        return error_set(err, "-machine: max-ram-below-4g: 1M to 4080M are possible");
    if (machine->target->bits == 32 && size > 64 * GIB)
        return error_set(err, "-m: a processor of 32 bits reaches at most 65536 MiB");
    if (size > UINT64_C(1) << 40)
        return error_set(err, "-m: machine '%s' takes at most %u MiB", machine->type->name, 1u << 20);
    x->ram_low = size < split ? size : hole;
    if (limit && x->ram_low > limit)
        x->ram_low = limit;
    x->ram_high = size - x->ram_low;
    if (!make_ram(x, err))
        return false;
    machine->ram = &x->ram;
    mem_alias_init(&x->low, machine, "ram-below-4g", &x->ram, 0, x->ram_low);
    mem_add(&machine->root, 0, &x->low, 0);
    if (!x->ram_high)
        return true;
    mem_alias_init(&x->high, machine, "ram-above-4g", &x->ram, x->ram_low, x->ram_high);
    mem_add(&machine->root, 4 * GIB, &x->high, 0);
    return true;
}

bool x86_add_fw_cfg(X86Machine *x, GError **err)
{
    x->fw_cfg = x86_place(x, &fw_cfg_io_type, NULL, NULL, err);
    if (!x->fw_cfg)
        return false;
    mem_add(isa_ports(&x->machine), FW_CFG_PORT, &x->fw_cfg->mmio, 0);
    return true;
}

/* ---- processors ---- */

bool x86_add_hub(X86Machine *x, GError **err)
{
    if (!(x->hub = x86_place(x, &apic_hub_type, NULL, NULL, err)))
        return false;
    mem_add(&x->machine.root, APIC_BASE, &x->hub->mmio, 1);
    return true;
}

bool x86_add_interrupts(X86Machine *x, bool pic, bool ioapic, GError **err)
{
    Machine *machine = &x->machine;
    if (machine->irqchip && machine->irqchip->has_chips) {
        gsi_init_elsewhere(&x->gsi, machine);
        return true;
    }
    if (pic) {
        if (!(x->pic = x86_place(x, &i8259_type, NULL, NULL, err)))
            return false;
        x->pic->intr = apic_extint_input(x->hub);
        x->hub->pic = x->pic;
        x->hub->pic_acknowledge = (int (*)(void *))i8259_acknowledge;
        if (machine->irqchip) {
            machine->irqchip->pic_acknowledge = x->hub->pic_acknowledge;
            machine->irqchip->pic = x->pic;
        }
    }
    if (ioapic) {
        Device *dev = device_new(machine, &ioapic_type);
        x->ioapic = (IoApic *)dev;
        x->ioapic->hub = x->hub;
        if (!device_realize(dev, NULL, err)) {
            device_free(dev);
            return false;
        }
        mem_add(&machine->root, IOAPIC_BASE, &x->ioapic->mmio, 1);
        if (machine->irqchip) {
            machine->irqchip->eoi = x->hub->eoi;
            machine->irqchip->eoi_opaque = x->hub->eoi_opaque;
        }
    }
    gsi_init(&x->gsi, x->pic, x->ioapic);
    return true;
}

bool x86_add_cpus(X86Machine *x, GError **err)
{
    Machine *machine = &x->machine;
    const MachineConfig *config = &machine->config;
    for (unsigned i = 0; i < config->cpus; i++) {
        Vcpu *vcpu = vcpu_new(machine, config->cpu_model, err);
        if (!vcpu || (!machine->irqchip && !apic_x86_new(x->hub, vcpu, err)))
            return false;
        x->apic_ids[i] = x86_apic_id(vcpu->state);
    }
    return true;
}

void x86_set_a20_all(void *opaque, int n, bool level)
{
    const Machine *machine = opaque;
    for (unsigned i = 0; i < machine->vcpus->len; i++)
        x86_set_a20(((Vcpu *)machine->vcpus->pdata[i])->state, level);
}

/* ---- firmware ---- */

/* Without shadow RAM there is plain RAM below 1 MiB, and firmware, which keeps its variables there, is copied into it.
 */
static void place_isa_bios(X86Machine *x, MemRegion *rom)
{
    uint64_t size = MIN(rom->size, ISA_BIOS_MAX);
    if (x->rom_space == &x->machine.root) {
        x->copied_bios = rom;
        return;
    }
    mem_alias_init(&x->isa_bios, &x->machine, "isa-bios", rom, rom->size - size, size);
    x->isa_bios.readonly = true;
    mem_add(x->rom_space, (1 << 20) - size, &x->isa_bios, 1);
}

bool x86_copy_bios(X86Machine *x, GError **err)
{
    const MemRegion *rom = x->copied_bios;
    uint64_t size = rom ? MIN(rom->size, ISA_BIOS_MAX) : 0;
    return !rom || as_load_image(&x->machine.memory, (1 << 20) - size, rom->host + rom->size - size, size, err);
}

static bool in_smm(void)
{
    const Vcpu *vcpu = vcpu_current();
    return vcpu && x86_in_smm(vcpu->state);
}

static bool add_flash(X86Machine *x, unsigned unit, uint64_t *top, GError **err)
{
    BlockNode *drive = x->flash_drive[unit];
    uint64_t sectors = drive->size / FLASH_SECTOR;
    if (!sectors || drive->size % FLASH_SECTOR || drive->size > BIOS_MAX)
        return error_set(err,
                         "pflash%u: %" PRIu64 " bytes are not a flash of this machine: a multiple of 4096 up to 16 MiB",
                         unit, drive->size);
    Device *dev = device_new(&x->machine, &pflash_cfi01_type);
    PflashCfi01 *flash = (PflashCfi01 *)dev;
    flash->drive = drive;
    flash->privileged = in_smm;
    flash->name = g_strdup_printf("system.flash%u", unit);
    flash->sectors = sectors;
    flash->sector_size = FLASH_SECTOR;
    flash->bank_width = flash->chip_width = 1;
    if (!device_realize(dev, NULL, err)) {
        g_prefix_error(err, "pflash%u: ", unit);
        device_free(dev);
        return false;
    }
    x->flash[unit] = flash;
    *top -= drive->size;
    mem_add(x->rom_space, *top, &flash->mmio, 0);
    return true;
}

static bool add_bios(X86Machine *x, const char *what, const char *path, GError **err)
{
    uint64_t size;
    g_autofree uint8_t *data = read_whole_file(what, path, &size, err);
    if (!data)
        return false;
    if (!size || size % BIOS_UNIT || size > BIOS_MAX)
        return error_set(err, "%s: '%s' has %" PRIu64 " bytes; firmware has a multiple of 64 KiB, up to 16 MiB", what,
                         path, size);
    if (!mem_rom_init(&x->bios, &x->machine, "pc.bios", size, NULL, NULL, err))
        return false;
    memcpy(x->bios.host, data, size);
    mem_add(x->rom_space, 4 * GIB - size, &x->bios, 0);
    place_isa_bios(x, &x->bios);
    x->has_rom_bios = true;
    return true;
}

bool x86_add_firmware(X86Machine *x, const char *name, GError **err)
{
    const MachineConfig *config = &x->machine.config;
    uint64_t top = 4 * GIB;
    for (unsigned unit = 0; unit < 2; unit++) {
        BlockNode *named = block_drive_find("pflash", unit);
        x->flash_drive[unit] = named ? named : x->flash_drive[unit];
    }
    if (x->flash_drive[1] && !x->flash_drive[0])
        return error_set(err, "pflash1: there is no pflash0, which has to hold the firmware");
    for (unsigned unit = 0; unit < 2 && x->flash_drive[unit]; unit++) {
        if (!add_flash(x, unit, &top, err))
            return false;
    }
    if (x->flash[0]) {
        place_isa_bios(x, &x->flash[0]->array);
        return true;
    }
    if (config->firmware && !strcmp(config->firmware, "none")) {
        x->direct = config->kernel;
        return true;
    }
    x->direct = config->kernel && !config->firmware;
    g_autofree char *found = firmware_find(config->firmware ? config->firmware : name);
    if (x->direct)
        return true;
    if (!found && !config->firmware)
        return error_set(err,
                         "the firmware '%s' is in none of %s; Debian's packages seabios and qemu-system-data have it",
                         name, firmware_places());
    return add_bios(x, "-bios", found ? found : config->firmware, err);
}

/* ---- serial ports ---- */

bool x86_add_serials(X86Machine *x, Bus *isa, GError **err)
{
    GSList *link = x->machine.serials;
    for (unsigned i = 0; link; i++, link = link->next) {
        if (!link->data)
            continue;
        if (i >= PC_SERIALS)
            return error_set(err, "-serial: machine '%s' has %d serial ports", x->machine.type->name, PC_SERIALS);
        Device *dev = device_new(&x->machine, &isa_serial_type);
        IsaSerial *serial = (IsaSerial *)dev;
        serial->uart.chardev = link->data;
        serial->index = i;
        if (!device_realize(dev, isa, err)) {
            device_free(dev);
            return false;
        }
        x->serial[i] = true;
    }
    return true;
}
