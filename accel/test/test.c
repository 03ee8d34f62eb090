/*
 * The test accelerator: a machine whose vCPUs never run. Devices are driven by register accesses, virtual time by
 * clock_step.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"

static bool test_init(Machine *machine, Opts *opts, GError **err)
{
    return true;
}

static void test_destroy(Machine *machine) {}

static bool test_vcpu_init(Vcpu *vcpu, GError **err)
{
    return true;
}

static void test_vcpu_destroy(Vcpu *vcpu) {}

extern const AccelType accel_test;
const AccelType accel_test = {
    .name = "test",
    .desc = "no CPU: for tests of devices",
    .manual_clock = true,
    .option_names = (const char *const[]){ NULL },
    .init = test_init,
    .destroy = test_destroy,
    .vcpu_init = test_vcpu_init,
    .vcpu_destroy = test_vcpu_destroy,
};
