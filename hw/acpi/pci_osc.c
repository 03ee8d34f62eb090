/*
 * _OSC of a PCI Express host bridge (PCI Firmware Specification 3.3, 4.5.1; ACPI Specification 6.5, 6.2.11).
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/pci_osc.h"

void aml_pci_osc(Aml *a, unsigned granted)
{
    enum { UNKNOWN_UUID = 4, BAD_REVISION = 8, MASKED = 16 };
    aml_method(a, "_OSC", 4);
    aml_op(a, AML_CREATE_DWORD_FIELD), aml_arg(a, 3), aml_integer(a, 0), aml_path(a, "CDW1");
    aml_if(a);
    aml_op(a, AML_EQUAL), aml_arg(a, 0), aml_uuid(a, "33db4d5b-1ff7-401c-9657-7441c03dd766");
    aml_op(a, AML_CREATE_DWORD_FIELD), aml_arg(a, 3), aml_integer(a, 8), aml_path(a, "CDW3");
    aml_op(a, AML_AND), aml_path(a, "CDW3"), aml_integer(a, granted), aml_local(a, 0);
    aml_if(a), aml_op(a, AML_NOT), aml_op(a, AML_EQUAL), aml_arg(a, 1), aml_integer(a, 1);
    aml_op(a, AML_OR), aml_path(a, "CDW1"), aml_integer(a, BAD_REVISION), aml_path(a, "CDW1");
    aml_end(a);
    aml_if(a), aml_op(a, AML_NOT), aml_op(a, AML_EQUAL), aml_path(a, "CDW3"), aml_local(a, 0);
    aml_op(a, AML_OR), aml_path(a, "CDW1"), aml_integer(a, MASKED), aml_path(a, "CDW1");
    aml_end(a);
    aml_op(a, AML_STORE), aml_local(a, 0), aml_path(a, "CDW3");
    aml_end(a);
    aml_else(a);
    aml_op(a, AML_OR), aml_path(a, "CDW1"), aml_integer(a, UNKNOWN_UUID), aml_path(a, "CDW1");
    aml_end(a);
    aml_op(a, AML_RETURN), aml_arg(a, 3);
    aml_end(a);
}
