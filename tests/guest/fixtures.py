"""What guests find: the kernel's options and the device tree of a nested machine.

SPDX-License-Identifier: MIT
"""
import os, subprocess

# The kernel takes 20 s without progress for a bug. A slow host that is busy with others needs no bug for that; two minutes are one.
KERNEL_OPTIONS = "console=ttyS0 panic=-1 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300"


def nested_tree(path, initrd, cpus, aia):
    """The device tree of tests/guest/kvm's Linux."""
    isa = "rv64imafdc_zicsr_zifencei_zba_zbb_zbs" + ("_smaia_ssaia" if aia else "") + "_sstc"
    harts = "".join(f"""
        cpu@{i} {{
            device_type = "cpu"; reg = <{i}>; status = "okay"; compatible = "riscv"; riscv,isa = "{isa}"; mmu-type = "riscv,sv39";
            intc{i}: interrupt-controller {{ #interrupt-cells = <1>; interrupt-controller; compatible = "riscv,cpu-intc"; }};
        }};""" for i in range(cpus))
    imsics = f"""
        imsics@28000000 {{
            compatible = "riscv,imsics"; reg = <0 0x28000000 0 {cpus * 4096}>; riscv,num-ids = <255>; msi-controller; #msi-cells = <0>;
            interrupt-controller; #interrupt-cells = <0>; interrupts-extended = {", ".join(f"<&intc{i} 9>" for i in range(cpus))};
        }};"""
    with open(path + ".dts", "w") as f:
        f.write(f"""/dts-v1/;
/ {{
    #address-cells = <2>; #size-cells = <2>; compatible = "linux,dummy-virt";
    chosen {{
        bootargs = "{KERNEL_OPTIONS} earlycon=uart8250,mmio,0x10000000 loglevel=8";
        linux,initrd-start = <0 0x88000000>; linux,initrd-end = <0 {0x88000000 + os.path.getsize(initrd)}>;
        stdout-path = "/soc/serial@10000000";
    }};
    memory@80000000 {{ device_type = "memory"; reg = <0 0x80000000 0 {256 << 20}>; }};
    cpus {{ #address-cells = <1>; #size-cells = <0>; timebase-frequency = <10000000>;{harts}
    }};
    soc {{
        #address-cells = <2>; #size-cells = <2>; compatible = "simple-bus"; ranges;
        serial@10000000 {{ compatible = "ns16550a"; reg = <0 0x10000000 0 8>; clock-frequency = <3686400>; }};{imsics if aia else ""}
    }};
}};
""")
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", path + ".dts", "-o", path], check=True)
