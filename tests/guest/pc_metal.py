"""The programs of metal/pc: what is built of them, and what a run has to say. For x86_test.py and kvm_test.py.

SPDX-License-Identifier: MIT
"""
import os, re, subprocess

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "metal", "pc")
SOURCES = "start.S", "main.c", "io.c", "interrupts.c", "timers.c", "smp.c", "virtio.c", "power.c", "unplug.c"
FLAGS = ("-ffreestanding -nostdlib -static -fno-pic -no-pie -mgeneral-regs-only -mno-red-zone -O1 -fno-stack-protector -fno-tree-loop-distribute-patterns "
         "-fno-asynchronous-unwind-tables -fcf-protection=none -fno-delete-null-pointer-checks -Wall -Wextra -Werror -Wno-array-bounds").split()
MACHINE = ["-M", "pc", "-m", "64", "-nodefaults", "-display", "none"]
# What the program uses beyond that.
DEVICES = ["-vga", "std", "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-device", "virtio-rng-pci", "-global", "hpet.msi=on"]
# ... for its word "unplug".
UNPLUG = ["-vga", "none", "-nic", "none", "-smp", 3, "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
          *(8 * ["-device", "e1000,romfile="]), *(8 * ["-device", "secondary-vga"])]
REAL = {"real": 0, "boot": 0x7c00}  # programs of one source in real mode, and where they begin


def build(tmp, name):
    """pc32, pc64, real or boot, in tmp; returns the path."""
    out = f"{tmp}/{name}"
    if name in REAL:
        subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie", f"-Wl,-Ttext={REAL[name]:#x},--oformat=binary,--build-id=none",
                        f"{HERE}/{name}.S", "-o", out], check=True)
        return out
    bits = name[2:]
    subprocess.run(["gcc", f"-m{bits}", *FLAGS, f"-Wl,-T{HERE}/link.ld,--build-id=none,-z,noexecstack,--no-warn-rwx-segments",
                    *(f"{HERE}/{s}" for s in SOURCES), "-o", out], check=True)
    if bits == "64":  # Multiboot loaders take a 32-bit ELF
        subprocess.run(["objcopy", "-O", "elf32-i386", out, out], check=True)
    return out


def complaint(status, out, wanted, skips):
    """What is wrong with a run, or None. skips: whether the program may leave out what the accelerator cannot."""
    if bad := re.findall("^not ok.*", out, re.M):
        return "; ".join(bad)
    if "\nend\n" not in out:
        return "it did not come to its end"
    if status != wanted:
        return f"status {status}, not {wanted}"
    if not skips and (left := re.search("^skip.*", out, re.M)):
        return f"left out: {left[0]}"
    return None
