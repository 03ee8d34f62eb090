#!/usr/bin/env python3
"""What an exit from KVM costs: the reference emulator, Rhea and a bare KVM_RUN loop alternately run the ROM of exits.S.

    tests/bench/exits.py [--rhea PATH] [--reference COMMAND] [--rounds 5] [--option -accel-option]

Prints, for OUT, IN and a load from where nothing is, nanoseconds of each exit (medians of the rounds), each emulator's
part of it (less the bare loop's), and Rhea's over the reference's. Then the time from process start to the first
instruction that a guest executes: the ROM's first OUT.
SPDX-License-Identifier: MIT
"""
import argparse, os, shlex, statistics, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
TIMES = 20000
NAMES = ["OUT", "IN", "load"]


def build(folder):
    rom, bare = f"{folder}/rom", f"{folder}/bare"
    subprocess.run(["gcc", "-c", "-o", f"{folder}/rom.o", f"{HERE}/exits.S"], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", f"{folder}/rom.o", rom], check=True)
    assert os.path.getsize(rom) == 0x10000
    subprocess.run(["gcc", "-O2", "-o", bare, f"{HERE}/exits_bare.c"], check=True)
    return rom, bare


def cycles_per_second():
    """By the kernel's own reckoning."""
    for line in open("/proc/cpuinfo"):
        if line.startswith("cpu MHz"):
            return float(line.split(":")[1]) * 1e6
    sys.exit("no cpu MHz in /proc/cpuinfo")


def run_emulator(command, rom):
    """Cycles of the three loops; seconds from the start of the process to its first byte at port 0xe9 less the loops."""
    cmd = [*shlex.split(command), "-accel", "kvm", "-M", "pc", "-m", "16", "-nodefaults", "-display", "none", "-vga", "none",
           "-bios", rom, "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot"]
    start = time.monotonic()
    proc = subprocess.Popen(cmd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    data = b""
    first = None
    while len(data) < 24:
        part = os.read(proc.stdout.fileno(), 24 - len(data))
        if not part:
            break
        first = first or time.monotonic() - start
        data += part
    proc.wait(timeout=60)
    if len(data) < 24:
        sys.exit(f"{command}: only {len(data)} bytes")
    return list(struct.unpack("<3Q", data)), first


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rhea", default=f"{HERE}/../../build/rhea -target x86_64")
    p.add_argument("--reference", default="qemu-system-x86_64")
    p.add_argument("--rounds", type=int, default=5)
    o = p.parse_args()
    hertz = cycles_per_second()
    results = {"bare": [], "rhea": [], "reference": []}
    starts = {"rhea": [], "reference": []}
    with tempfile.TemporaryDirectory() as folder:
        rom, bare = build(folder)
        for _ in range(o.rounds):
            out = subprocess.run([bare, rom], check=True, capture_output=True, text=True).stdout
            results["bare"].append([int(line) for line in out.split()])
            for name, command in ("rhea", o.rhea), ("reference", o.reference):
                cycles, first = run_emulator(command, rom)
                results[name].append(cycles)
                starts[name].append(first - cycles[0] / hertz)
    print(f"{'ns an exit':12}{'bare':>10}{'rhea':>10}{'reference':>10}{'of rhea':>10}{'of ref.':>10}{'ratio':>8}")
    for i, name in enumerate(NAMES):
        bare, rhea, ref = (statistics.median(r[i] for r in results[e]) / TIMES / hertz * 1e9
                           for e in ("bare", "rhea", "reference"))
        print(f"{name:12}{bare:10.0f}{rhea:10.0f}{ref:10.0f}{rhea - bare:10.0f}{ref - bare:10.0f}{(rhea - bare) / (ref - bare):8.2f}")
    rhea, ref = (statistics.median(starts[e]) * 1e3 for e in ("rhea", "reference"))
    print(f"start to the guest's first instruction, ms: rhea {rhea:.1f}, reference {ref:.1f}, ratio {rhea / ref:.2f}")


if __name__ == "__main__":
    main()
