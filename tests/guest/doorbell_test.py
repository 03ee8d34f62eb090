#!/usr/bin/env python3
"""Doorbells and interrupts of a virtio device on PCI: by the JIT, and by KVM with its interrupt controllers in the kernel, split
and here, each with and without ioeventfd.

    doorbell_test.py RHEA [NAME]      NAME: one of those that "ok NAME" says; then its cycles are shown, too

SPDX-License-Identifier: MIT
"""
import os, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HANG = 300  # seconds, for a guest that hangs, not for a busy host
EXPECTED = 12


def build(tmp):
    rom = f"{tmp}/rom"
    for name in "doorbell_start.S", "doorbell.c":
        subprocess.run(["gcc", "-m32", "-O2", "-march=i686", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fcf-protection=none",
                        "-Wall", "-Wextra", "-Werror", "-c", "-o", f"{tmp}/{name}.o", f"{HERE}/{name}"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-T", f"{HERE}/doorbell.ld", "--oformat", "binary", "-o", rom, f"{tmp}/doorbell_start.S.o",
                    f"{tmp}/doorbell.c.o"], check=True)
    assert os.path.getsize(rom) == 0x10000
    return rom


def run(emulator, rom, accel, device):
    command = [*emulator, "-accel", accel, "-M", "pc", "-m", "16", "-nodefaults", "-display", "none", "-vga", "none", "-bios", rom,
               "-debugcon", "stdio", "-device", f"virtio-rng-pci,{device}", "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot"]
    try:
        p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode() + "not ok: it hangs\n", (e.stderr or b"").decode()
    return p.stdout.decode(), p.stderr.decode()


def main():
    emulator, only, bad = [sys.argv[1], "-target", "x86_64"], sys.argv[2:], 0
    if os.path.basename(sys.argv[1]).startswith("qemu"):
        emulator = [sys.argv[1]]
    usable = subprocess.run([*emulator, "-accel", "kvm", "-M", "pc", "-nodefaults", "-vga", "none", "-display", "none", "-S", "-monitor",
                             "stdio"], input=b"q\n", capture_output=True)
    with tempfile.TemporaryDirectory() as tmp:
        rom = build(tmp)
        for accel in "tcg", "kvm", "kvm,kernel-irqchip=split", "kvm,kernel-irqchip=off":
            for device in ("ioeventfd=on", "ioeventfd=off", "vectors=0") if accel != "tcg" else ("ioeventfd=on",):
                name = f"{accel} {device}"
                if only and name not in only:
                    continue
                if usable.returncode and accel != "tcg":
                    print(f"skipped: {name}: {usable.stderr.decode().strip()}")
                    continue
                out, err = run(emulator, rom, accel, device)
                lines = out.splitlines()
                good = [line for line in lines if line.startswith("ok ")]
                wanted = EXPECTED - (7 if device == "vectors=0" else 0)
                fine = len(good) == wanted and not any(line.startswith("not ok") for line in lines)
                bad += not fine
                print(f"{'ok' if fine else 'not ok'} {name}")
                if not fine or only:
                    print(out + err)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
