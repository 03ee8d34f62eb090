#!/usr/bin/env python3
"""Guests on Rhea's PCs: Debian's kernels boot, without firmware and through SeaBIOS and OVMF, see what is there, and
power off by ACPI.

    x86_test.py RHEA TEST|list

RHEA may also be another emulator's command, to see that the test is right.

SPDX-License-Identifier: MIT
"""
import os, re, shlex, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fixtures, images, pc_metal, session
from session import EMULATOR, skip

# Time that follows the guest's instructions: kernels calibrate timers against each other, which a busy host disturbs.
STEADY = "-icount", "shift=1,sleep=off"
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
# What the guest tells of itself; then it powers off, which ACPI does, or without ACPI resets.
REPORT = r"""
echo "arch=$(uname -m) cpus=$(nproc) memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)"
echo "product=$(cat /sys/class/dmi/id/product_name)"
echo "acpi=$(ls /sys/firmware/acpi/tables 2>/dev/null | tr '\n' ' ')"
echo "clock=$(cat /sys/devices/system/clocksource/clocksource0/available_clocksource)"
for d in /sys/bus/pci/devices/*; do [ -e $d ] && echo "pci ${d##*/} $(cat $d/vendor):$(cat $d/device)"; done
echo "virtio=$(ls /sys/bus/virtio/devices 2>/dev/null | wc -l) efi=$([ -d /sys/firmware/efi ] && echo yes || echo no)"
grep -E "acpi|ttyS0|timer|rtc" /proc/interrupts | sed 's/  */ /g'
dmesg | grep -iE "acpi.*(error|exception)|bios bug|BUG:|Oops:|spurious" | sed 's/^/complaint: /'
cat /proc/cmdline | grep -q reboot-please && reboot -f
poweroff -f
"""


def rhea(target, *args, timeout=1800):
    """Run rhea to its end; return (status, output). The time is for one that hangs, not for a busy host."""
    cmd = [*EMULATOR, *([] if len(EMULATOR) > 1 else ["-target", target]), *map(str, args)]
    try:
        p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    except subprocess.TimeoutExpired as e:
        sys.exit(f"{(e.stdout or b'').decode(errors='replace')}\n{shlex.join(cmd)} is not at its end after {timeout} s")
    return p.returncode, p.stdout.decode(errors="replace")


def boot(arch, *args, append="", want=(), deny=("complaint:", "Kernel panic"), status=0, target=None, kernel=None, timeout=1800):
    """Boot Debian's kernel (of a package with another name) with the report as its init; check what it says and how it ends."""
    with tempfile.TemporaryDirectory() as tmp:
        initrd = images.initramfs(arch, REPORT, f"{tmp}/initrd")
        got, out = rhea(target or arch, "-m", 512, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
                        "-kernel", images.kernel(arch, kernel), "-initrd", initrd,
                        "-append", f"{fixtures.KERNEL_OPTIONS} {append}", *args, timeout=timeout)
    for pattern in want:
        if not re.search(pattern, out):
            sys.exit(f"{out}\n{pattern!r} is not in the output")
    for pattern in deny:
        found = re.search(f".*{pattern}.*", out)
        if found:
            sys.exit(f"{out}\n{found[0]!r} is in the output")
    if got != status:
        sys.exit(f"{out}\nstatus {got}, not {status}")


def ovmf(tmp, code=OVMF[0], variables=OVMF[1]):
    if not (os.path.exists(code) and os.path.exists(variables)):
        skip("Debian's package ovmf is not installed")
    with open(f"{tmp}/vars.fd", "wb") as f:
        f.write(open(variables, "rb").read())
    return ["-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-drive", f"if=pflash,format=raw,file={tmp}/vars.fd"]


# ---- without firmware ----

PC = r"product=Standard PC \(i440FX \+ PIIX, 1996\)", r"pci 0000:00:00.0 0x8086:0x1237", r"pci 0000:00:01.1 0x8086:0x7010"
Q35 = r"product=Standard PC \(Q35 \+ ICH9, 2009\)", r"pci 0000:00:00.0 0x8086:0x29c0", r"pci 0000:00:1f.2 0x8086:0x2922"


def direct_pc():
    boot("x86_64", want=["arch=x86_64 cpus=1", *PC, "acpi=.*APIC.*HPET.*WAET", "clock=.*hpet.*acpi_pm"])


def direct_pc_smp():
    boot("x86_64", "-smp", "4,sockets=2,cores=2", *STEADY, want=["cpus=4", *PC])


def direct_q35():
    boot("x86_64", "-M", "q35", want=["cpus=1", *Q35, "acpi=.*MCFG"])


def direct_q35_smp():
    boot("x86_64", "-M", "q35", "-smp", "4", *STEADY, want=["cpus=4", *Q35])


def direct_microvm():
    boot("x86_64", "-M", "microvm", *STEADY, want=["cpus=1", "product=microvm", "acpi=APIC DSDT FACP"])


def direct_microvm_smp():
    boot("x86_64", "-M", "microvm", "-smp", "4", *STEADY, want=["cpus=4"])


def direct_microvm_mptable():
    """Without ACPI there is no power switch; a triple fault resets, which ends it. The cloud kernel knows no MP tables."""
    boot("i386", "-M", "microvm,acpi=off", "-smp", "2", *STEADY, append="reboot-please reboot=t",
         want=["cpus=2", r"acpi=\r?\n", "IO-APIC 2-edge timer"], deny=["Kernel panic"])


def direct_isapc():
    boot("i386", "-M", "isapc", *STEADY, append="reboot-please", want=["cpus=1", r"acpi=\r?\n", "XT-PIC"], deny=["Kernel panic"])


def direct_i386():
    boot("i386", *STEADY, want=["arch=i686 cpus=1", *PC])


def direct_i386_on_64():
    """A kernel of 32 bits where the processor has 64."""
    boot("i386", *STEADY, target="x86_64", want=["arch=i686 cpus=1", *PC])


def no_64_on_i386():
    status, out = rhea("i386", "-display", "none", "-serial", "none", "-kernel", images.kernel("x86_64"))
    if status != 1 or "is a 64-bit kernel; this guest's processor has 32 bits" not in out:
        sys.exit(f"{out}\nstatus {status}")


def big_memory():
    """RAM on both sides of the hole, and what the NUMA tables say of it."""
    boot("x86_64", "-m", "5G", "-smp", "2", *STEADY, "-numa", "node,cpus=0,mem=2G", "-numa", "node,cpus=1,mem=3G",
         want=["cpus=2", r"memory=(49|50)\d\d", "acpi=.*SLIT.*SRAT"])


# ---- through firmware ----

def seabios_pc():
    boot("x86_64", "-bios", "bios-256k.bin", want=[r"DMI: .* BIOS \S*1\.\d+\.\d", "cpus=1", *PC])


def seabios_q35():
    boot("x86_64", "-M", "q35", "-smp", "2", *STEADY, "-bios", "bios-256k.bin", want=[r"DMI: .* BIOS \S*1\.\d+\.\d", "cpus=2", *Q35])


def ovmf_pc():
    with tempfile.TemporaryDirectory() as tmp:
        boot("x86_64", *ovmf(tmp), want=["cpus=1", "efi=yes", *PC])


def ovmf_q35():
    with tempfile.TemporaryDirectory() as tmp:
        boot("x86_64", "-M", "q35", *ovmf(tmp), want=["cpus=1", "efi=yes", *Q35])


def ovmf_smm():
    """The builds whose variables only system management mode writes: each processor's SMBASE moves into the TSEG. They do not start without SMM."""
    for arch, build, cpus, time in ("x86_64", "OVMF", 1, STEADY), ("x86_64", "OVMF", 4, ()), ("i386", "OVMF32", 2, STEADY):
        with tempfile.TemporaryDirectory() as tmp:
            parts = f"/usr/share/OVMF/{build}_CODE_4M.secboot.fd", f"/usr/share/OVMF/{build}_VARS_4M.fd"
            boot(arch, "-M", "q35", "-smp", cpus, *time, "-global", "driver=cfi.pflash01,property=secure,value=on", *ovmf(tmp, *parts), target="x86_64",
                 want=[f"cpus={cpus}", "efi=yes", *Q35], deny=["Kernel panic"])


# ---- from disks ----

def boot_sector(text):
    """Each character is put into the instruction that comes next; then the keyboard controller resets."""
    code = bytes.fromhex("fa 31c0 8ed8 ba f803")  # cli; ds = 0; dx = the serial port
    for ch in text.encode():
        imm = 0x7c00 + len(code) + 6
        code += bytes([0xC6, 0x06, imm & 255, imm >> 8, ch, 0xB0, ord("?"), 0xEE])  # mov [imm], ch; mov al, '?'; out dx, al
    code += bytes.fromhex("b0fe e664 f4")  # out 64h, feh; hlt
    return code.ljust(510, b"\0") + b"\x55\xaa"


def boot_disks():
    """A disk by IDE and AHCI, a floppy, with shadow RAM and without; what bootindex= says goes before the usual order."""
    with tempfile.TemporaryDirectory() as tmp:
        for name, size in ("Disk", 1 << 20), ("Floppy", 1440 << 10):
            with open(f"{tmp}/{name}", "wb") as f:
                f.write(boot_sector(f"This is {name}\n").ljust(size, b"\0"))
        disk, floppy = f"{tmp}/Disk", f"{tmp}/Floppy"
        drives = ["-drive", f"if=none,format=raw,id=d,file={disk}", "-fda", floppy]
        for want, args in (("Disk", ["-hda", disk]), ("Disk", ["-M", "q35", "-hda", disk]), ("Floppy", ["-fda", floppy]), ("Floppy", ["-M", "isapc", "-fda", floppy]),
                           ("Floppy", [*drives, "-device", "ide-hd,drive=d", "-boot", "a"]),
                           ("Disk", [*drives, "-device", "ide-hd,drive=d,bootindex=1", "-boot", "a"])):
            status, out = rhea("x86_64", "-m", 64, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", *args)
            if status or f"This is {want}" not in out:
                sys.exit(f"{args}: status {status}, not from {want}:\n{out}")


def seabios_smp():
    """The firmware starts the other processors by INIT and a start-up IPI behind it; between the two they execute nothing."""
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/disk", "wb") as f:
            f.write(boot_sector("Here\n").ljust(1 << 20, b"\0"))
        for machine, cpus, *accel in (("pc", 4), ("q35", 4), ("pc", 4, "-accel", "tcg,thread=single"), ("pc", 4, "-icount", "shift=1,sleep=off"),
                                      ("pc", 255), ("q35", 288)):
            status, out = rhea("x86_64", "-M", machine, *accel, "-m", 128, "-smp", cpus, "-display", "none", "-serial", "stdio", "-monitor", "none",
                               "-no-reboot", "-hda", f"{tmp}/disk", "-debugcon", f"file:{tmp}/log", "-global", "isa-debugcon.iobase=0x402")
            with open(f"{tmp}/log", errors="replace") as f:
                log = f.read()
            if status or "Here" not in out or f"Found {cpus} cpu(s)" not in log:
                sys.exit(f"{machine} {accel}: status {status}:\n{out}\n{log}")


def boot_network():
    """SeaBIOS starts the network card's iPXE, which gets a lease and by TFTP a script; the script resets."""
    if not os.path.exists("/usr/lib/ipxe/qemu/efi-virtio.rom"):
        skip("Debian's package ipxe-qemu is not installed")
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/boot.ipxe", "w") as f:
            f.write("#!ipxe\nisset ${net0/ip} && iseq ${net0/ip} 10.0.2.15 && reboot\n")
        for machine, card in ("pc", "virtio-net-pci"), ("q35", "virtio-net-pci"), ("pc", "e1000"):
            status, out = rhea("x86_64", "-M", machine, "-m", 128, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-boot", "n",
                               "-netdev", f"user,id=n,tftp={tmp},bootfile=boot.ipxe", "-device", f"{card},netdev=n", timeout=300)
            if status:
                sys.exit(f"{machine}, {card}: {out}\nstatus {status}")


# ---- bare metal ----

METAL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "metal", "x86")
MODES = "modes", "segments", "gates", "tasks", "v86", "real", "debug", "paging", "system"


def metal(name, sources, *args):
    """A program of metal/x86. It says which checks fail; 1 is the status of isa-debug-exit for 0."""
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(["gcc", "-m32", "-march=i686", "-mgeneral-regs-only", "-O1", "-ffreestanding", "-fno-pic", "-no-pie", "-nostdlib",
                        "-static", "-fno-stack-protector", "-fno-delete-null-pointer-checks", "-fno-tree-loop-distribute-patterns",
                        "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-Wall", "-Wextra", "-Werror", "-Wno-array-bounds",
                        f"-Wl,-T{METAL}/link32.ld,--build-id=none,-z,noexecstack,--no-warn-rwx-segments",
                        *(f"{METAL}/{source}" for source in sources), "-o", f"{tmp}/{name}.elf"], check=True)
        status, out = rhea("x86_64", "-cpu", "max", "-m", 64, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
                           "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", f"{tmp}/{name}.elf", *args)
    if status != 1 or "all passed" not in out:
        sys.exit(f"{out}\n{name} {args}: status {status}")


def modes(*args):
    metal("modes", ["start32.S", *(f"{name}.c" for name in MODES)], *args)


def metal_modes():
    modes()
    modes("-icount", "shift=1,sleep=off")


def metal_modes_interpreter():
    modes("-accel", "tcg,jit=off")


def metal_smp():
    """x86-TSO and locked operations under contention, by the JIT and the interpreter, and by one thread."""
    for accel in [], ["-accel", "tcg,jit=off"], ["-accel", "tcg,thread=single"]:
        metal("smp", ["smp.S", "smp.c"], "-smp", 4, *accel)


def metal_pc_by(*args):
    """The programs of metal/pc, which kvm_test.py runs by KVM. Nothing is left out; resets are part of it."""
    with tempfile.TemporaryDirectory() as tmp:
        for name, cpus, status in ("pc64", 2, 0), ("pc32", 4, 0), ("real", 1, 33):
            image = ["-bios" if name in pc_metal.REAL else "-kernel", pc_metal.build(tmp, name)]
            got, out = rhea("x86_64", *pc_metal.MACHINE, *pc_metal.DEVICES, "-cpu", "max", "-smp", cpus, *image, *args)
            if wrong := pc_metal.complaint(got, out, status, skips=len(EMULATOR) > 1):
                sys.exit(f"{out}\n{name} {args}: {wrong}")


def metal_pc():
    metal_pc_by()


def metal_pc_interpreter():
    metal_pc_by("-accel", "tcg,jit=off")


def metal_pc_unplug():
    """Devices go while other processors are in accesses to them."""
    with tempfile.TemporaryDirectory() as tmp:
        image = pc_metal.build(tmp, "pc64")
        for accel in "tcg", "tcg,jit=off":
            got, out = rhea("x86_64", *pc_metal.MACHINE, *pc_metal.UNPLUG, "-accel", accel, "-kernel", image, "-append", "unplug")
            if wrong := pc_metal.complaint(got, out, 33, skips=False):
                sys.exit(f"{out}\n{accel}: {wrong}")


# ---- the front panel ----

BUTTONS = r"""
insmod /lib/button.ko
echo READY
n=0
while [ $n -lt 300 ]; do
    sleep 0.2; n=$((n+1))
    grep -qE "NMI: +1 " /proc/interrupts && grep -qE " [1-9][0-9]* .*acpi" /proc/interrupts && { echo "NMI and SCI came"; break; }
done
poweroff -f
"""


def buttons():
    """The monitor's nmi and system_powerdown arrive as an NMI and as the power button's ACPI interrupt."""
    for machine in "pc", "q35":
        with tempfile.TemporaryDirectory() as tmp:
            serial = f"{tmp}/serial"
            initrd = images.initramfs("x86_64", BUTTONS, f"{tmp}/initrd", {"lib/button.ko": images.modules("x86_64", ["button"])[0]})
            p = subprocess.Popen([*EMULATOR, "-target", "x86_64", "-M", machine, "-m", "256", "-display", "none", "-serial", f"file:{serial}",
                                  "-monitor", "stdio", "-kernel", images.kernel("x86_64"), "-initrd", initrd, "-append", "console=ttyS0"],
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            deadline = time.time() + 300
            while p.poll() is None and time.time() < deadline and not (os.path.exists(serial) and "READY" in open(serial, errors="replace").read()):
                time.sleep(0.2)
            try:
                p.stdin.write(b"nmi\nsystem_powerdown\n")
                p.stdin.flush()  # and stays open: the end of it would end the monitor
                p.wait(timeout=120)
            finally:
                p.kill()
            out = open(serial, errors="replace").read()
            if p.returncode or "NMI and SCI came" not in out:
                sys.exit(f"{out}\n{machine}: status {p.returncode}")


TESTS = {f.__name__: f for f in (direct_pc, direct_pc_smp, direct_q35, direct_q35_smp, direct_microvm, direct_microvm_smp,
                                 direct_microvm_mptable, direct_isapc, direct_i386, direct_i386_on_64, no_64_on_i386, big_memory,
                                 seabios_pc, seabios_q35, ovmf_pc, ovmf_q35, ovmf_smm, seabios_smp, boot_disks, boot_network, metal_modes, metal_modes_interpreter, metal_smp,
                                 metal_pc, metal_pc_interpreter, metal_pc_unplug,
                                 buttons)}

if __name__ == "__main__":
    session.main(TESTS, __doc__, lambda: images.prepare("x86_64", "i386"))
