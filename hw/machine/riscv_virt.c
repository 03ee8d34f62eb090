/*
 * Machine `virt` for RISC-V: the memory map, interrupt numbers and device tree of the reference's machine of that name,
 * so that firmware and kernels built for it run. The device tree is in riscv_virt_fdt.c.
 * SPDX-License-Identifier: MIT
 */
#include "hw/machine/riscv_virt.h"
#include "hw/char/serial_16550.h"
#include "hw/firmware/loader.h"
#include "hw/firmware/pflash_cfi01.h"
#include "hw/firmware/sifive_test.h"
#include "hw/timer/goldfish_rtc.h"
#include "hw/virtio/virtio_mmio.h"
#include "target/riscv/cpu.h"
#include "util/error.h"
#include <errno.h>
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>

const RiscvVirtRange riscv_virt_map[] = {
    [MROM] = { 0x1000, 0xf000 },
    [TEST] = { 0x100000, 0x1000 },
    [RTC] = { 0x101000, 0x1000 },
    [CLINT] = { 0x2000000, 0x10000 },
    [SSWI] = { 0x2f00000, RISCV_ACLINT_SSWI_SIZE },
    [PLIC] = { 0xc000000, PLIC_SIZE },
    [APLIC_M] = { 0xc000000, RISCV_APLIC_SIZE },
    [APLIC_S] = { 0xd000000, RISCV_APLIC_SIZE },
    [IMSIC_M] = { 0x24000000, RISCV_IMSIC_SIZE },
    [IMSIC_S] = { 0x28000000, RISCV_IMSIC_SIZE },
    [UART0] = { 0x10000000, 0x100 },
    [VIRTIO] = { 0x10001000, 0x1000 },
    [FW_CFG] = { 0x10100000, 0x18 },
    [DRAM] = { 0x80000000, 0 },
    [PCI_PIO] = { 0x3000000, 0x10000 },
    [FLASH] = { 0x20000000, 0x4000000 },
    [PCI_ECAM] = { 0x30000000, GPEX_ECAM_SIZE },
    [PCI_MMIO] = { 0x40000000, 0x40000000 },
};

/* ---- building ---- */

static void *place(Machine *machine, const DeviceType *type, GError **err, const char *name, const char *value)
{
    Device *dev = device_new(machine, type);
    if ((name && !device_set(dev, name, value, err)) || !device_realize(dev, NULL, err)) {
        device_free(dev);
        return NULL;
    }
    return dev;
}

static RiscvImsic *add_imsic(RiscvVirt *v, unsigned level, unsigned hart, unsigned file, GError **err)
{
    RiscvImsic *imsic = place(&v->machine, &riscv_imsic_type, err, NULL, NULL);
    uint64_t page = level ? ((uint64_t)hart << riscv_virt_guest_bits(v)) + file : hart;
    if (imsic)
        mem_add(&v->machine.root, riscv_virt_map[level ? IMSIC_S : IMSIC_M].base + page * RISCV_IMSIC_SIZE,
                &imsic->mmio, 0);
    return imsic;
}

static bool add_guest_files(RiscvVirt *v, unsigned hart, CpuState *cs, GError **err)
{
    for (unsigned file = 1; riscv_cpu_has(cs, "h") && file <= v->aia_guests; file++) {
        RiscvImsic *imsic = add_imsic(v, 1, hart, file, err);
        if (!imsic)
            return false;
        imsic->irq = (Irq){ riscv_cpu_set_guest_irq, cs, file };
        riscv_cpu_add_guest_file(cs, riscv_imsic_access, imsic);
    }
    return true;
}

/* External interrupts of a hart: from the PLIC, the APLIC, or its own interrupt files. */
static bool connect_cpu(RiscvVirt *v, unsigned hart, CpuState *cs, GError **err)
{
    for (unsigned level = 0; level < 2; level++) {
        const Irq irq = { riscv_cpu_set_irq, cs, level ? IRQ_S_EXT : IRQ_M_EXT };
        if (v->aia == AIA_NONE) {
            v->plic->irq[2 * hart + level] = irq;
        } else if (v->aia == AIA_APLIC) {
            v->aplic[level]->irq[hart] = irq;
        } else {
            RiscvImsic *imsic = add_imsic(v, level, hart, 0, err);
            if (!imsic || (level && !add_guest_files(v, hart, cs, err)))
                return false;
            imsic->irq = irq;
            riscv_cpu_set_file(cs, level ? PRIV_S : PRIV_M, riscv_imsic_access, imsic);
        }
    }
    if (v->aia != AIA_NONE)
        riscv_cpu_add_aia(cs);
    return true;
}

/* What the wires of devices lead to. */
static bool add_controller(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    g_autofree char *harts = g_strdup_printf("%u", machine->config.cpus),
                    *contexts = g_strdup_printf("%u", 2 * machine->config.cpus);
    if (v->aia == AIA_NONE) {
        if (!(v->plic = place(machine, &sifive_plic_type, err, "num-contexts", contexts)))
            return false;
        mem_add(&machine->root, riscv_virt_map[PLIC].base, &v->plic->mmio, 0);
        v->wire = sifive_plic_set;
        v->wire_opaque = v->plic;
        return true;
    }
    for (unsigned level = 0; level < 2; level++) {
        Device *dev = device_new(machine, &riscv_aplic_type);
        RiscvAplic *aplic = v->aplic[level] = (RiscvAplic *)dev;
        aplic->parent = level ? v->aplic[0] : NULL;
        aplic->msi = v->aia == AIA_IMSIC;
        aplic->guests = level ? v->aia_guests : 0;
        if (!device_set(dev, "num-harts", harts, err) || !device_realize(dev, NULL, err)) {
            device_free(dev);
            return false;
        }
        mem_add(&machine->root, riscv_virt_map[level ? APLIC_S : APLIC_M].base, &aplic->mmio, 0);
    }
    v->wire = riscv_aplic_set;
    v->wire_opaque = v->aplic[0];
    return true;
}

static bool add_cpus(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    for (unsigned i = 0; i < machine->config.cpus; i++) {
        Vcpu *vcpu = vcpu_new(machine, machine->config.cpu_model, err);
        if (!vcpu)
            return false;
        v->aclint->msip[i] = (Irq){ riscv_cpu_set_irq, vcpu->state, IRQ_M_SOFT };
        v->aclint->mtip[i] = (Irq){ riscv_cpu_set_irq, vcpu->state, IRQ_M_TIMER };
        if (!connect_cpu(v, i, vcpu->state, err))
            return false;
        riscv_cpu_set_time(vcpu->state, riscv_aclint_time, v->aclint);
        riscv_cpu_set_reset_pc(vcpu->state, riscv_virt_map[MROM].base);
    }
    return true;
}

static void raise_ssip(void *opaque, unsigned hart)
{
    riscv_cpu_pulse_irq(riscv_virt_cpu(opaque, hart), IRQ_S_SOFT);
}

/* Sstc's timers compare with mtime, too. */
static void time_set(void *opaque)
{
    const Machine *machine = opaque;
    for (unsigned i = 0; i < machine->vcpus->len; i++)
        riscv_cpu_time_changed(((Vcpu *)machine->vcpus->pdata[i])->state);
}

static bool add_sswi(RiscvVirt *v, GError **err)
{
    g_autofree char *harts = g_strdup_printf("%u", v->machine.config.cpus);
    if (v->aclint_mode == ACLINT_OFF)
        return true;
    RiscvAclintSswi *sswi = place(&v->machine, &riscv_aclint_sswi_type, err, "num-harts", harts);
    if (!sswi)
        return false;
    sswi->raise = raise_ssip;
    sswi->raise_opaque = v;
    mem_add(&v->machine.root, riscv_virt_map[SSWI].base, &sswi->mmio, 0);
    return true;
}

static bool add_uart(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    Device *dev = device_new(machine, &serial_16550_type);
    Serial16550 *uart = (Serial16550 *)dev;
    uart->chardev = machine->serials ? machine->serials->data : NULL;
    uart->irq = (Irq){ v->wire, v->wire_opaque, UART0_IRQ };
    if (!device_realize(dev, NULL, err)) {
        device_free(dev);
        return false;
    }
    mem_add(&machine->root, riscv_virt_map[UART0].base, &uart->mmio, 0);
    return true;
}

static bool add_rtc(RiscvVirt *v, GError **err)
{
    GoldfishRtc *rtc = place(&v->machine, &goldfish_rtc_type, err, NULL, NULL);
    if (!rtc)
        return false;
    rtc->irq = (Irq){ v->wire, v->wire_opaque, RTC_IRQ };
    mem_add(&v->machine.root, riscv_virt_map[RTC].base, &rtc->mmio, 0);
    return true;
}

static bool add_virtio(RiscvVirt *v, GError **err)
{
    for (unsigned i = 0; i < VIRTIO_SLOTS; i++) {
        VirtioMmio *slot = place(&v->machine, &virtio_mmio_type, err, NULL, NULL);
        if (!slot)
            return false;
        slot->irq = (Irq){ v->wire, v->wire_opaque, VIRTIO_IRQ + i };
        mem_add(&v->machine.root, riscv_virt_map[VIRTIO].base + i * riscv_virt_map[VIRTIO].size, &slot->mmio, 0);
    }
    return true;
}

/* BARs above 4 GiB go behind RAM: 16 GiB there, or where 34 bits of address end, 4 GiB. */
static bool add_pci(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    const uint64_t gib = 1 << 30, ram_end = riscv_virt_map[DRAM].base + machine->config.ram_size;
    GpexHost *pci = (GpexHost *)device_new(machine, &gpex_host_type);
    pci->pci.msi = v->aia == AIA_IMSIC;
    if (!device_realize(&pci->dev, NULL, err)) {
        device_free(&pci->dev);
        return false;
    }
    v->pci = pci;
    v->pci_high_size = machine->target->bits == 64 ? 16 * gib : 4 * gib;
    v->pci_high = machine->target->bits == 64 ? (ram_end + 16 * gib - 1) & ~(16 * gib - 1) : 12 * gib;
    for (unsigned i = 0; i < 4; i++)
        pci->pci.intx[i] = (Irq){ v->wire, v->wire_opaque, PCI_IRQ + i };
    mem_alias_init(&pci->mmio_window, machine, "gpex_mmio_window", &pci->mmio, riscv_virt_map[PCI_MMIO].base,
                   riscv_virt_map[PCI_MMIO].size);
    mem_alias_init(&pci->mmio_high_window, machine, "gpex_mmio_high_window", &pci->mmio, v->pci_high, v->pci_high_size);
    mem_add(&machine->root, riscv_virt_map[PCI_ECAM].base, &pci->ecam, 0);
    mem_add(&machine->root, riscv_virt_map[PCI_PIO].base, &pci->pio, 0);
    mem_add(&machine->root, riscv_virt_map[PCI_MMIO].base, &pci->mmio_window, 0);
    mem_add(&machine->root, v->pci_high, &pci->mmio_high_window, 0);
    return true;
}

static bool add_fw_cfg(RiscvVirt *v, GError **err)
{
    FwCfg *fw_cfg = place(&v->machine, &fw_cfg_type, err, NULL, NULL);
    if (!fw_cfg)
        return false;
    mem_add(&v->machine.root, riscv_virt_map[FW_CFG].base, &fw_cfg->mmio, 0);
    v->fw_cfg = fw_cfg;
    return true;
}

/* Two of 32 MiB: firmware, and its variables. What -drive if=pflash names goes before the properties. */
static bool add_flash(RiscvVirt *v, GError **err)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        Device *dev = device_new(&v->machine, &pflash_cfi01_type);
        PflashCfi01 *flash = (PflashCfi01 *)dev;
        BlockNode *named = block_drive_find("pflash", unit);
        flash->drive = v->flash[unit] = named ? named : v->flash[unit];
        flash->name = g_strdup_printf("virt.flash%u", unit);
        if (!device_realize(dev, NULL, err)) {
            g_prefix_error(err, "pflash%u: ", unit);
            device_free(dev);
            return false;
        }
        mem_add(&v->machine.root, riscv_virt_map[FLASH].base + unit * riscv_virt_map[FLASH].size / 2, &flash->mmio, 0);
    }
    return true;
}

/* One piece, or one for each node whose memory is an object. */
static bool add_ram(RiscvVirt *v, GError **err)
{
    Machine *machine = &v->machine;
    const MachineConfig *config = &machine->config;
    const Numa *numa = config->numa;
    HostMemory *memory = NULL;
    if (config->ram_memory && !(memory = hostmem_take("-machine: memory-backend=", config->ram_memory, err)))
        return false;
    if (memory && memory->size != config->ram_size)
        return error_set(err, "-machine: memory-backend=%s has %" PRIu64 " MiB, -m says %" PRIu64, memory->id,
                         memory->size >> 20, config->ram_size >> 20);
    if (memory)
        return mem_ram_init_backed(&v->ram, machine, "riscv_virt.ram", memory, err);
    if (!numa || !numa->nodes[0].memory)
        return mem_ram_init(&v->ram, machine, "riscv_virt.ram", config->ram_size, err);
    uint64_t at = 0;
    mem_container_init(&v->ram, machine, "riscv_virt.ram", config->ram_size);
    for (unsigned n = 0; n < numa->count; n++) {
        memory = numa->nodes[n].memory;
        if (!memory)
            continue;
        if (!mem_ram_init_backed(&v->node_ram[n], machine, memory->id, memory, err))
            return false;
        mem_add(&v->ram, at, &v->node_ram[n], 0);
        at += memory->size;
    }
    return true;
}

static bool virt_init(Machine *machine, GError **err)
{
    RiscvVirt *v = riscv_virt(machine);
    g_autofree char *harts = g_strdup_printf("%u", machine->config.cpus);
    SifiveTest *test;
    if (v->aia_guests > MAX_AIA_GUESTS)
        return error_set(err, "aia-guests=%u: 0 to %d are possible", v->aia_guests, MAX_AIA_GUESTS);
    uint64_t limit = machine->target->bits == 32 ? (uint64_t)1 << 31 : (uint64_t)1 << 40;
    if (machine->config.ram_size > limit)
        return error_set(err, "-m: machine 'virt' takes at most %" PRIu64 " MiB", limit >> 20);
    if (!add_ram(v, err) ||
        !mem_rom_init(&v->mrom, machine, "riscv_virt.mrom", riscv_virt_map[MROM].size, NULL, NULL, err) ||
        !(v->aclint = place(machine, &riscv_aclint_type, err, "num-harts", harts)) || !add_controller(v, err) ||
        !(test = place(machine, &sifive_test_type, err, NULL, NULL)) || !add_cpus(v, err) || !add_sswi(v, err) ||
        !add_uart(v, err) || !add_rtc(v, err) || !add_virtio(v, err) || !add_pci(v, err) || !add_fw_cfg(v, err) ||
        !add_flash(v, err))
        return false;
    v->aclint->time_set = time_set;
    v->aclint->time_set_opaque = machine;
    machine->ram = &v->ram;
    mem_add(&machine->root, riscv_virt_map[DRAM].base, &v->ram, 0);
    mem_add(&machine->root, riscv_virt_map[MROM].base, &v->mrom, 0);
    mem_add(&machine->root, riscv_virt_map[CLINT].base, &v->aclint->mmio, 0);
    mem_add(&machine->root, riscv_virt_map[TEST].base, &test->mmio, 0);
    return true;
}

/* ---- loading ---- */

static char *default_firmware(const Machine *machine)
{
    static const char *const places[] = { "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin",
                                          "/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin" };
    for (unsigned i = 0; machine->target->bits == 64 && i < G_N_ELEMENTS(places); i++) {
        if (g_file_test(places[i], G_FILE_TEST_EXISTS))
            return g_strdup(places[i]);
    }
    return NULL;
}

/* Reset vector: a0 = hart, a1 = device tree, a2 = what fw_dynamic wants to know; jump to start. */
static bool put_reset_vector(RiscvVirt *v, uint64_t start, GError **err)
{
    bool wide = v->machine.target->bits == 64;
    uint32_t load_a1 = wide ? 0x0202b583 : 0x0202a583,
             load_t0 = wide ? 0x0182b283 : 0x0182a283; /* l[dw] a1, 32(t0); l[dw] t0, 24(t0) */
    uint32_t code[] = { 0x00000297 /* auipc t0, 0 */,
                        0x02828613 /* addi a2, t0, 40 */,
                        0xf1402573 /* csrr a0, mhartid */,
                        load_a1,
                        load_t0,
                        0x00028067 /* jr t0 */,
                        start,
                        start >> 32,
                        v->fdt_addr,
                        v->fdt_addr >> 32 };
    /* fw_dynamic_info: magic, version, next address, next mode (supervisor), options, boot hart */
    uint64_t info64[] = { 0x4942534f, 2, v->kernel_entry, 1, 0, 0 };
    uint32_t info32[] = { 0x4942534f, 2, v->kernel_entry, 1, 0, 0 };
    return as_load_image(&v->machine.memory, riscv_virt_map[MROM].base, code, sizeof(code), err) &&
           as_load_image(&v->machine.memory, riscv_virt_map[MROM].base + sizeof(code),
                         wide ? (void *)info64 : (void *)info32, wide ? sizeof(info64) : sizeof(info32), err);
}

static bool load_fdt(RiscvVirt *v, uint64_t initrd, uint64_t initrd_size, uint64_t low, GError **err)
{
    Machine *machine = &v->machine;
    const MachineConfig *config = &machine->config;
    uint64_t size, end = riscv_virt_map[DRAM].base + config->ram_size;
    g_autofree void *fdt = config->dtb ? read_whole_file("-dtb", config->dtb, &size, err)
                                       : riscv_virt_make_fdt(v, initrd, initrd_size, &size);
    if (!fdt)
        return false;
    if (config->dtb && (size < sizeof(struct fdt_header) || fdt_check_full(fdt, size)))
        return error_set(err, "-dtb: '%s' is not a device tree blob", config->dtb);
    if (config->dumpdtb && !v->dumped) {
        v->dumped = true;
        if (!write_whole_file("-machine: dumpdtb", config->dumpdtb, fdt, size, err))
            return false;
        machine_request_shutdown(machine, SHUTDOWN_HOST_QUIT, 0);
    }
    /* at the end of RAM, below 3 GiB where 32-bit code may look for it */
    uint64_t top = MIN(end, (uint64_t)3 << 30);
    v->fdt_addr = (top - size) & ~((uint64_t)RISCV_VIRT_FDT_ROOM - 1);
    if (size > top || v->fdt_addr < low)
        return error_set(err, "-m: %" PRIu64 " MiB of RAM are too few for kernel, initrd and device tree",
                         config->ram_size >> 20);
    return as_load_image(&machine->memory, v->fdt_addr, fdt, size, err);
}

/* For firmware in the flash, which starts the kernel itself: the files through fw_cfg. */
static bool offer_kernel(RiscvVirt *v, GError **err)
{
    const MachineConfig *config = &v->machine.config;
    const struct {
        const char *option, *path;
        uint16_t size_key, data_key;
    } files[] = { { "-kernel", config->kernel, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA },
                  { "-initrd", config->initrd, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA } };
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        uint64_t size;
        g_autofree uint8_t *data = files[i].path ? read_whole_file(files[i].option, files[i].path, &size, err) : NULL;
        if (files[i].path && !data)
            return false;
        if (!data)
            continue;
        fw_cfg_set_integer(v->fw_cfg, files[i].size_key, size, 4);
        fw_cfg_set(v->fw_cfg, files[i].data_key, data, size);
    }
    const char *line = config->append ? config->append : "";
    fw_cfg_set_integer(v->fw_cfg, FW_CFG_CMDLINE_SIZE, strlen(line) + 1, 4);
    fw_cfg_set(v->fw_cfg, FW_CFG_CMDLINE_DATA, line, strlen(line) + 1);
    return true;
}

static bool virt_load(Machine *machine, GError **err)
{
    RiscvVirt *v = riscv_virt(machine);
    const MachineConfig *config = &machine->config;
    if (v->acpi == ACPI_ON && !riscv_virt_offer_acpi(v, err))
        return false;
    uint64_t start = riscv_virt_map[DRAM].base, end = start + config->ram_size,
             align = machine->target->bits == 64 ? 2 << 20 : 4 << 20, low = start;
    g_autofree char *found = config->firmware ? NULL : default_firmware(machine);
    const char *firmware = config->firmware ? config->firmware : found;
    uint64_t initrd = 0, initrd_size = 0;
    LoadedImage image;
    bool has_firmware = firmware && strcmp(firmware, "none");
    if (has_firmware) {
        if (!load_executable(&machine->memory, "-bios", firmware, start, end, machine->target->bits, &image, err))
            return false;
        low = image.high;
        start = image.entry;
    }
    v->kernel_entry = v->flash[0] ? riscv_virt_map[FLASH].base : 0;
    if (v->flash[0]) {
        if (!has_firmware)
            start = riscv_virt_map[FLASH].base;
        return offer_kernel(v, err) && load_fdt(v, 0, 0, low, err) && put_reset_vector(v, start, err);
    }
    if (config->kernel) {
        uint64_t at = has_firmware ? (low + align - 1) & ~(align - 1) : riscv_virt_map[DRAM].base;
        if (!load_executable(&machine->memory, "-kernel", config->kernel, at, end, machine->target->bits, &image, err))
            return false;
        v->kernel_entry = image.entry;
        if (!has_firmware)
            start = image.entry;
        low = MAX(low, image.high);
    }
    if (config->initrd) {
        uint64_t gap = MIN(config->ram_size / 2, (uint64_t)128 << 20);
        initrd = (MAX(low, riscv_virt_map[DRAM].base + gap) + 4095) & ~4095ull;
        if (initrd >= end)
            initrd = (low + 4095) & ~4095ull;
        if (!load_file(&machine->memory, "-initrd", config->initrd, initrd, end, &initrd_size, err))
            return false;
        low = initrd + initrd_size;
    }
    return load_fdt(v, initrd, initrd_size, low, err) && put_reset_vector(v, start, err);
}

static const Prop props[] = {
    PROP(RiscvVirt, DRIVE, "pflash0", flash[0], .help = "drive with firmware"),
    PROP(RiscvVirt, DRIVE, "pflash1", flash[1], .help = "drive with its variables"),
    PROP(RiscvVirt, ENUM, "acpi", acpi, .names = (const char *const[]){ "auto", "on", "off", NULL },
         .help = "tables for firmware, which wants OpenSBI of Debian 13; auto: off"),
    PROP(RiscvVirt, ENUM, "aclint", aclint_mode, .names = (const char *const[]){ "off", "on", NULL },
         .help = "off: described as a SiFive CLINT; on: as ACLINT, with supervisor software interrupts (SSWI)"),
    PROP(RiscvVirt, ENUM, "aia", aia, .names = (const char *const[]){ "none", "aplic", "aplic-imsic", NULL },
         .help = "interrupt controllers: PLIC; APLIC with wires; with messages (MSI) to IMSICs"),
    PROP(RiscvVirt, U32, "aia-guests", aia_guests,
         .help = "with aplic-imsic: interrupt files of each hart for guests, 0 to 7"),
    PROP_END,
};

const MachineType riscv_virt_machine = {
    .name = "virt",
    .desc = "RISC-V VirtIO board",
    .target = "riscv64|riscv32",
    .default_ram = 128 << 20,
    .max_cpus = RISCV_ACLINT_HARTS,
    .default_cpu = "",
    .props = props,
    .size = sizeof(RiscvVirt),
    .init = virt_init,
    .load = virt_load,
};
