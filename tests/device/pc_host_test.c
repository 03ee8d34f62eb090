/*
 * Host bridges of PCs and the PIIX3: configuration ports, shadow RAM, SMRAM, PIRQ routing, reset control.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/ich9_lpc.h"
#include "hw/isa/piix3.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/q35.h"
#include "pcboard.h"

static void test_config(void)
{
    PcBoard *f = pc_new(&i440fx_host_type);
    g_assert_cmphex(config(f, 0, 0, 4), ==, 0x12378086);
    g_assert_cmphex(config(f, 0, 2, 2), ==, 0x1237);
    g_assert_cmphex(config(f, 0, 0xb, 1), ==, 6);
    g_assert_cmphex(config(f, 8, 0, 4), ==, UINT32_MAX);
    g_assert_cmphex(config(f, 0x100, 0, 4), ==, UINT32_MAX); /* another bus */
    g_assert_cmphex(in(f->m, 0xcf8, 4), ==, 0x80010000);
    out(f->m, 0xcf8, 1, 0); /* not an access to the address */
    g_assert_cmphex(in(f->m, 0xcf8, 4), ==, 0x80010000);
    out(f->m, 0xcf9, 1, 2);
    g_assert_cmphex(in(f->m, 0xcf8, 4), ==, 0x80010000);
    g_assert_cmphex(in(f->m, 0xcf9, 1), ==, 2);
    g_assert_false(f->m->machine->pending.reset);
    out(f->m, 0xcf9, 1, 6);
    g_assert_true(f->m->machine->pending.reset);
    out(f->m, 0xcf8, 4, 0);
    g_assert_cmphex(in(f->m, 0xcfc, 4), ==, UINT32_MAX);
    add_function(f, &piix3_type, "1.0");
    g_assert_cmphex(config(f, 8, 0, 4), ==, 0x70008086);
    g_assert_cmphex(config(f, 8, 0xe, 1), ==, 0x80);
    g_assert_cmphex(config(f, 8, 8, 4), ==, 0x06010000);
    g_assert_cmphex(config(f, 8, 0x60, 4), ==, 0x80808080);
    g_assert_cmphex(config(f, 8, 4, 2), ==, 7);
    pc_free(f);
}

/* What a read and a read after a write show in each of the four modes, in all 13 areas. */
static void check_pam(unsigned pam0, const DeviceType *type)
{
    PcBoard *f = pc_new(type);
    for (unsigned n = 0; n < PAM_AREAS; n++) {
        uint32_t at = 0xc0000 + n * 0x4000 + 0x123;
        unsigned reg = n < 12 ? pam0 + 1 + n / 2 : pam0, shift = n < 12 ? n % 2 * 4 : 4;
        g_assert_cmphex(r8(f->m, at), ==, 'P');
        w8(f->m, at, 'x');
        g_assert_cmphex(f->ram.host[at], ==, 'R');
        set_config(f, 0, reg, 1, 1 << shift);
        w8(f->m, at, 'x');
        g_assert_cmphex(r8(f->m, at), ==, 'R');
        g_assert_cmphex(f->ram.host[at], ==, 'R');
        set_config(f, 0, reg, 1, 2 << shift);
        w32(f->m, at & ~3u, 0x61616161);
        g_assert_cmphex(r8(f->m, at), ==, 'P');
        g_assert_cmphex(f->ram.host[at], ==, 'a');
        set_config(f, 0, reg, 1, 0xff);
        g_assert_cmphex(config(f, 0, reg, 1), ==, n < 12 ? 0x33 : 0x30);
        g_assert_cmphex(r8(f->m, at), ==, 'a');
        w8(f->m, at, 'b');
        g_assert_cmphex(f->ram.host[at], ==, 'b');
        g_assert_cmphex(r8(f->m, n < 12 ? at + 0x4000 : 0xbffff), ==, n % 2 ? 'P' : n < 12 ? 'R' : 0xff);
        set_config(f, 0, reg, 1, 0);
    }
    set_config(f, 0, pam0, 1, 0x30);
    devm_reset(f->m);
    g_assert_cmphex(r8(f->m, 0xfffff), ==, 'P');
    pc_free(f);
}

static void test_i440fx_pam(void)
{
    check_pam(0x59, &i440fx_host_type);
}

static void test_q35_pam(void)
{
    check_pam(0x90, &q35_host_type);
}

static uint8_t smm_read(PcBoard *f, uint64_t addr)
{
    uint64_t value;
    as_load(&f->host->smm, addr, 1, &value);
    return value;
}

static bool seen(PcBoard *f, uint64_t addr)
{
    uint64_t value;
    return as_load(&f->m->machine->memory, addr, 1, &value) == MEM_OK && value == 'R';
}

static void test_smram(void)
{
    PcBoard *f = pc_new(&i440fx_host_type);
    g_assert_cmphex(config(f, 0, 0x72, 1), ==, 2);
    g_assert_false(seen(f, 0xa0000) || seen(f, 0xbffff));
    g_assert_true(seen(f, 0x9ffff));
    set_config(f, 0, 0x72, 1, 0x4a); /* open */
    g_assert_true(seen(f, 0xa0000) && seen(f, 0xbffff));
    g_assert_cmphex(smm_read(f, 0xa0000), ==, 'R');
    set_config(f, 0, 0x72, 1, 0x0a); /* for SMM only */
    g_assert_false(seen(f, 0xa0000));
    g_assert_cmphex(smm_read(f, 0xbffff), ==, 'R');
    g_assert_cmphex(smm_read(f, 0xc0000), ==, 'P'); /* the rest is as everybody's */
    g_assert_cmphex(smm_read(f, 0x100000), ==, 'R');
    set_config(f, 0, 0x72, 1, 0x5a); /* lock: closed for good */
    g_assert_cmphex(config(f, 0, 0x72, 1), ==, 0x1a);
    set_config(f, 0, 0x72, 1, 0x4a);
    g_assert_cmphex(config(f, 0, 0x72, 1), ==, 0x1a);
    g_assert_false(seen(f, 0xa0000));
    devm_reset(f->m);
    set_config(f, 0, 0x72, 1, 0x4a);
    g_assert_true(seen(f, 0xa0000));
    pc_free(f);
}

/* A PCI function that only has an interrupt. */
static bool source_realize(Device *dev, GError **err)
{
    pci_set_ids((PciDevice *)dev, 0x1234, 0x5678, 0xff0000, 0);
    pci_set_interrupt_pin((PciDevice *)dev, 1);
    return true;
}

static const DeviceType source_type = {
    .name = "source", .parent = &pci_device_type, .size = sizeof(PciDevice), .realize = source_realize
};

static void test_pirq(void)
{
    PcBoard *f = pc_new(&i440fx_host_type);
    Piix3 *piix = (Piix3 *)add_function(f, &piix3_type, "1.0");
    PciDevice *a = (PciDevice *)add_function(f, &source_type, "3.0"); /* INTA of slot 3: PIRQC */
    PciDevice *b = (PciDevice *)add_function(f, &source_type, "4.0"); /* PIRQD */
    DevIrq irq10, irq11;
    piix->isa.irqs[10] = devirq_init(&irq10);
    piix->isa.irqs[11] = devirq_init(&irq11);
    pci_set_irq(a, true);
    g_assert_false(irq10.level || irq11.level);
    set_config(f, 8, 0x62, 1, 10); /* the line is up when it is routed */
    g_assert_true(irq10.level);
    set_config(f, 8, 0x62, 1, 11);
    g_assert_true(irq11.level && !irq10.level);
    set_config(f, 8, 0x63, 1, 11); /* shared */
    pci_set_irq(b, true);
    pci_set_irq(a, false);
    g_assert_true(irq11.level);
    pci_set_irq(b, false);
    g_assert_false(irq11.level);
    Irq serial = isa_irq(piix->isa.bus, 11); /* and with the ISA bus */
    irq_set(&serial, true);
    pci_set_irq(b, true);
    pci_set_irq(b, false);
    g_assert_true(irq11.level);
    pci_set_irq(a, true);
    devm_reset(f->m);
    g_assert_cmphex(config(f, 8, 0x62, 2), ==, 0x8080);
    pc_free(f);
}

static void test_tseg(void)
{
    PcBoard *f = pc_new(&q35_host_type);
    const uint64_t top = PCBOARD_RAM, mib = 1 << 20;
    static const unsigned sizes[] = { 1, 2 };
    g_assert_cmphex(config(f, 0, 0, 4), ==, 0x29c08086);
    g_assert_cmphex(config(f, 0, 0x9e, 1), ==, 0x38);
    for (unsigned code = 0; code < G_N_ELEMENTS(sizes); code++) {
        uint64_t base = top - sizes[code] * mib;
        set_config(f, 0, 0x9d, 1, 2);
        set_config(f, 0, 0x9e, 1, code << 1 | 1);
        g_assert_true(seen(f, base)); /* SMRAM as a whole is off */
        set_config(f, 0, 0x9d, 1, 0x0a);
        g_assert_false(seen(f, base) || seen(f, top - 1));
        g_assert_true(seen(f, base - 1));
        g_assert_cmphex(smm_read(f, base), ==, 'R');
        w8(f->m, base, 0x55);
        g_assert_cmphex(smm_read(f, base), ==, 'R');
    }
    set_config(f, 0, 0xac, 4, 0x7f000000); /* TSEGMB: OVMF reads it back */
    g_assert_cmphex(config(f, 0, 0xac, 4), ==, 0x7f000000);
    set_config(f, 0, 0x50, 2, 0xffff);
    g_assert_cmphex(config(f, 0, 0x50, 2), ==, 16);
    set_config(f, 0, 0x9e, 1, 7); /* of 16 MiB, more than there is */
    g_assert_true(seen(f, top - 1));
    set_config(f, 0, 0x9e, 1, 0x80); /* high SMRAM: at 0xa0000 is nothing of it */
    g_assert_cmphex(smm_read(f, 0xfeda0000), ==, 'R');
    g_assert_cmphex(smm_read(f, 0xa0000), ==, 0xff);
    set_config(f, 0, 0x9e, 1, 3);
    set_config(f, 0, 0x9d, 1, 0x5a);
    set_config(f, 0, 0x9d, 2, 2);
    g_assert_cmphex(config(f, 0, 0x9d, 2), ==, 0x3b1a);
    g_assert_false(seen(f, top - 1));
    devm_reset(f->m);
    g_assert_cmphex(config(f, 0, 0x9d, 2), ==, 0x3802);
    g_assert_true(seen(f, top - 1));
    pc_free(f);
}

static void test_ecam(void)
{
    PcBoard *f = pc_new(&q35_host_type);
    uint64_t value;
    add_function(f, &ich9_lpc_type, "1f.0");
    add_function(f, &ich9_smbus_type, "1f.3");
    g_assert_cmpint(as_load(&f->m->machine->memory, 0xb0000000, 4, &value), !=, MEM_OK);
    set_config(f, 0, 0x60, 4, 0xb0000001);
    g_assert_cmphex(r32(f->m, 0xb0000000), ==, 0x29c08086);
    g_assert_cmphex(r32(f->m, 0xb0000000 + (0x1f << 15)), ==, 0x29188086);
    g_assert_cmphex(r32(f->m, 0xb0000000 + (0x1f << 15 | 3 << 12)), ==, 0x29308086);
    g_assert_cmphex(r32(f->m, 0xbff00000), ==, UINT32_MAX);
    set_config(f, 0, 0x60, 4, 0xe4000005); /* 64 MiB */
    g_assert_cmphex(r32(f->m, 0xe4000000), ==, 0x29c08086);
    g_assert_cmphex(r8(f->m, 0xe7ffffff), ==, 0xff);
    g_assert_cmpint(as_load(&f->m->machine->memory, 0xe8000000, 4, &value), !=, MEM_OK);
    pc_free(f);
}

static void test_ich9_irqs(void)
{
    PcBoard *f = pc_new(&q35_host_type);
    Ich9Lpc *lpc = (Ich9Lpc *)add_function(f, &ich9_lpc_type, "1f.0");
    PciDevice *a = (PciDevice *)add_function(f, &source_type, "2.0");  /* PIRQG: GSI 22 */
    PciDevice *b = (PciDevice *)add_function(f, &source_type, "1f.2"); /* PIRQA: GSI 16 */
    DevIrq gsi16, gsi22, gsi20, irq9, irq10;
    lpc->gsi[0] = devirq_init(&gsi16);
    lpc->gsi[4] = devirq_init(&gsi20);
    lpc->gsi[6] = devirq_init(&gsi22);
    lpc->isa.irqs[9] = devirq_init(&irq9);
    lpc->isa.irqs[10] = devirq_init(&irq10);
    pci_set_irq(a, true);
    g_assert_true(gsi22.level && !gsi16.level && !irq10.level);
    set_config(f, 0xf8, 0x6a, 1, 10); /* and IRQ 10 */
    g_assert_true(gsi22.level && irq10.level);
    pci_set_irq(b, true);
    pci_set_irq(a, false);
    g_assert_true(gsi16.level && !gsi22.level && !irq10.level);
    set_config(f, 0xf8, 0x40, 4, 0x600);
    set_config(f, 0xf8, 0x44, 1, 0x80);
    out(f->m, 0x602, 2, 0x100);
    DEVM_LOCKED(f->m, acpi_pm_power_button(&lpc->pm));
    g_assert_true(irq9.level && !gsi20.level);
    set_config(f, 0xf8, 0x44, 1, 0x84); /* SCI to GSI 20 */
    g_assert_true(!irq9.level && gsi20.level);
    pc_free(f);
}

/* As OVMF asks for SMIs to all processors: by the fw_cfg files, through their ports. */
static void negotiate(PcBoard *f, Ich9Lpc *lpc)
{
    GError *err = NULL;
    FwCfg *fw_cfg = devm_add(f->m, &fw_cfg_io_type, NULL);
    devm_realize(f->m, fw_cfg);
    DEVM_LOCKED(f->m, mem_add(&f->m->machine->io_root, FW_CFG_PORT, &fw_cfg->mmio, 0));
    DEVM_LOCKED(f->m, ich9_lpc_add_smi_files(lpc, fw_cfg, &err));
    g_assert_no_error(err);
    uint64_t dma = 0x1000; /* descriptor: control, length, address; big-endian */
    static const uint8_t keys[] = { 0x21, 0x21, 0x22 }, values[] = { 3, 1 };
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t control = GUINT32_TO_BE((uint32_t)keys[i] << 16 | 8 | 16), length = GUINT32_TO_BE(8);
        const uint64_t address = GUINT64_TO_BE(0x2000), value = GUINT64_TO_LE(values[i]);
        devm_put(f->m, 0x2000, &value, 8);
        devm_put(f->m, dma, &control, 4);
        devm_put(f->m, dma + 4, &length, 4);
        devm_put(f->m, dma + 8, &address, 8);
        out(f->m, FW_CFG_PORT + 4, 4, 0);
        out(f->m, FW_CFG_PORT + 8, 4, GUINT32_TO_BE((uint32_t)dma));
        out(f->m, FW_CFG_PORT, 2, keys[2]);
        g_assert_cmpuint(in(f->m, FW_CFG_PORT + 1, 1), ==, i); /* 2 is not supported */
    }
    g_assert_cmphex(lpc->smi_features, ==, 1);
}

static void test_ich9_smi_and_tco(void)
{
    PcBoard *f = pc_new(&q35_host_type);
    Ich9Lpc *lpc = (Ich9Lpc *)add_function(f, &ich9_lpc_type, "1f.0");
    DevIrq smi, all;
    lpc->smi = devirq_init(&smi);
    lpc->smi_all = devirq_init(&all);
    lpc->smm = true;
    lpc->tco.strap_no_reboot = false;
    devm_reset(f->m);
    set_config(f, 0xf8, 0x40, 4, 0x600);
    set_config(f, 0xf8, 0x44, 1, 0x80);
    out(f->m, 0xb2, 1, 2);
    g_assert_cmpuint(smi.rises, ==, 0);
    g_assert_cmphex(in(f->m, 0x604, 2), ==, 1);
    out(f->m, 0x630, 4, 0x21);
    set_config(f, 0xf8, 0xa0, 1, 0x10); /* lock */
    out(f->m, 0x630, 4, 0x20);
    g_assert_cmphex(in(f->m, 0x630, 4), ==, 0x21);
    out(f->m, 0xb2, 1, 3);
    g_assert_cmpuint(smi.rises, ==, 1);
    negotiate(f, lpc);
    out(f->m, 0xb2, 1, 3);
    g_assert_true(smi.rises == 1 && all.rises == 1);
    g_assert_cmphex(in(f->m, 0x634, 4), ==, 0x20);
    out(f->m, 0x672, 2, 10); /* TCO: 6 s, as iTCO_wdt starts it */
    out(f->m, 0x660, 2, 1);
    out(f->m, 0x668, 2, 0);
    devm_step(f->m, INT64_C(5900000000));
    g_assert_cmphex(in(f->m, 0x664, 2), ==, 0);
    out(f->m, 0x660, 2, 1); /* keep alive */
    devm_step(f->m, INT64_C(5900000000));
    g_assert_cmphex(in(f->m, 0x664, 2), ==, 0);
    devm_step(f->m, INT64_C(200000000));
    g_assert_cmphex(in(f->m, 0x664, 1), ==, 8);
    devm_step(f->m, INT64_C(6000000000)); /* NO_REBOOT is set */
    g_assert_cmphex(in(f->m, 0x666, 2), ==, 6);
    g_assert_false(f->m->machine->pending.reset);
    set_config(f, 0xf8, 0xf0, 4, 0xfed1c001);
    g_assert_cmphex(r32(f->m, 0xfed1c000 + 0x3140), ==, 0x32103210);
    w32(f->m, 0xfed1c000 + 0x3410, 0);
    devm_step(f->m, INT64_C(12000000000));
    g_assert_true(f->m->machine->pending.reset);
    pc_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pc-host/config", test_config);
    g_test_add_func("/pc-host/i440fx-pam", test_i440fx_pam);
    g_test_add_func("/pc-host/smram", test_smram);
    g_test_add_func("/pc-host/pirq", test_pirq);
    g_test_add_func("/pc-host/q35-pam", test_q35_pam);
    g_test_add_func("/pc-host/tseg", test_tseg);
    g_test_add_func("/pc-host/ecam", test_ecam);
    g_test_add_func("/pc-host/ich9-irqs", test_ich9_irqs);
    g_test_add_func("/pc-host/ich9-smi-and-tco", test_ich9_smi_and_tco);
    return g_test_run();
}
