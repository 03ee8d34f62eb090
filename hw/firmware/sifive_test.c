/*
 * Test finisher "sifive,test1": one register whose write powers off, fails with a code, or resets (SiFive test device,
 * as used by Linux' syscon-poweroff and syscon-reboot nodes).
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/sifive_test.h"

enum { FINISHER_FAIL = 0x3333, FINISHER_PASS = 0x5555, FINISHER_RESET = 0x7777 };

static void finish(Device *dev, const Reg *reg, uint64_t value)
{
    switch (value & 0xffff) {
    case FINISHER_FAIL:
        machine_request_shutdown(dev->machine, SHUTDOWN_GUEST_OFF, value >> 16 & 0xffff);
        break;
    case FINISHER_PASS:
        machine_request_shutdown(dev->machine, SHUTDOWN_GUEST_OFF, 0);
        break;
    case FINISHER_RESET:
        machine_request_reset(dev->machine, SHUTDOWN_GUEST_RESET);
        break;
    default:
        guest_error(dev, "value 0x%x means nothing to the finisher", (unsigned)value);
    }
}

static const Reg regs[] = { { 0x00, "FINISHER", .write = finish } };
static const RegBank bank = REG_BANK(regs, .width = 4, .min_access = 2);

static bool sifive_test_realize(Device *dev, GError **err)
{
    SifiveTest *s = (SifiveTest *)dev;
    reg_bank_init(&s->mmio, dev, &bank, "sifive.test", 0x1000);
    return true;
}

static void sifive_test_unrealize(Device *dev)
{
    mem_destroy(&((SifiveTest *)dev)->mmio);
}

static const StateField state[] = { STATE_SKIP(SifiveTest, mmio, "wiring"), STATE_END };

const DeviceType sifive_test_type = {
    .name = "riscv.sifive.test",
    .desc = "SiFive test finisher: power-off, failure and reset by a register write",
    .category = "misc",
    .size = sizeof(SifiveTest),
    .state = state,
    .regs = &bank,
    .realize = sifive_test_realize,
    .unrealize = sifive_test_unrealize,
};
