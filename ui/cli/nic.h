/*
 * NICs of the command line: back ends are made at once, the devices when the machine is there.
 * SPDX-License-Identifier: MIT
 */
#ifndef UI_CLI_NIC_H
#define UI_CLI_NIC_H

#include "hw/core/machine.h"

/* -netdev. False and *err on failure. */
bool net_netdev_option(const char *text, GError **err);
/* -nic [type,]model=,mac=,...: creates the back end; the device comes with net_add_nics. "none": no default NIC. */
bool net_nic_option(const char *text, GError **err);
char *net_nic_help(void); /* -nic model=help. Free with g_free */
/* -net nic[,model=,macaddr=,netdev=,name=] and -net BACKEND[,...], which belong together in the order given; none. */
bool net_legacy_option(const char *text, GError **err);
/* Make the devices of -nic and -net; or, if no option of the command line was about networks, the machine's default one.
 * Lock held. */
bool net_add_nics(Machine *machine, GError **err);
/* All devices are there: warns of back ends without a NIC. */
void net_report_unused(void);

#endif
