/*
 * The ISA bus by a sample device: ports, shared lines, -device.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/isa/isa.h"

typedef struct Card {
    Device dev;
    MemRegion ports;
    Irq irq;
    uint32_t iobase, line;
    uint8_t value;
} Card;

static const Reg card_regs[] = { { 0, "VALUE", REG(Card, value) } };
static const RegBank card_bank = REG_BANK(card_regs, .width = 1);

static bool card_realize(Device *dev, GError **err)
{
    Card *c = (Card *)dev;
    if (!isa_check_irq(c->line, "irq", err))
        return false;
    reg_bank_init(&c->ports, dev, &card_bank, "card", 8);
    c->irq = isa_irq(dev->bus, c->line);
    return isa_map_ports(dev->bus, c->iobase, &c->ports, "iobase", err);
}

static const Prop card_props[] = { PROP(Card, U32, "iobase", iobase), PROP(Card, U32, "irq", line), PROP_END };
static const DeviceType card_type = {
    .name = "card", .bus = "isa", .size = sizeof(Card), .props = card_props, .regs = &card_bank, .realize = card_realize
};

static Card *add_card(DevMachine *m, IsaBus *isa, const char *iobase, const char *irq, GError **err)
{
    machine_lock(m->machine);
    Device *dev = device_new(m->machine, &card_type);
    g_assert_true(device_set(dev, "iobase", iobase, NULL) && device_set(dev, "irq", irq, NULL));
    if (!device_realize(dev, isa->bus, err)) {
        device_free(dev);
        dev = NULL;
    }
    machine_unlock(m->machine);
    return (Card *)dev;
}

static void test_bus(void)
{
    GError *err = NULL;
    DevMachine *m = devm_new();
    IsaBridge *bridge = devm_add(m, &isabus_bridge_type, NULL);
    devm_realize(m, bridge);
    Card *a = add_card(m, &bridge->isa, "0x3f8", "4", &err), *b = add_card(m, &bridge->isa, "0xfff8", "4", &err);
    g_assert_no_error(err);
    DevIrq line;
    bridge->isa.irqs[4] = devirq_init(&line);
    out(m, 0x3f8, 1, 0x55);
    g_assert_cmphex(in(m, 0x3f8, 1), ==, 0x55);
    g_assert_cmphex(in(m, 0xfff8, 1), ==, 0);
    irq_set(&a->irq, true);
    irq_set(&b->irq, true);
    irq_set(&a->irq, false);
    g_assert_true(line.level);
    irq_set(&b->irq, false);
    g_assert_false(line.level);
    g_assert_cmpuint(line.rises, ==, 1);
    devm_free(m);
}

static void test_refused(void)
{
    GError *err = NULL;
    DevMachine *m = devm_new();
    IsaBridge *bridge = devm_add(m, &isabus_bridge_type, NULL);
    devm_realize(m, bridge);
    g_assert_null(add_card(m, &bridge->isa, "0xfff9", "4", &err));
    g_assert_cmpstr(err->message, ==, "iobase=0xfff9: its ports have to end at 0xffff; 0xfff8 is the greatest");
    g_clear_error(&err);
    g_assert_null(add_card(m, &bridge->isa, "0x10", "16", &err));
    g_assert_cmpstr(err->message, ==, "irq=16: the ISA bus has lines 0 to 15");
    g_clear_error(&err);
    devm_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/isa/bus", test_bus);
    g_test_add_func("/isa/refused", test_refused);
    return g_test_run();
}
