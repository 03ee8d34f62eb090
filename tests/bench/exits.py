#!/usr/bin/env python3
"""What an exit from KVM costs: the reference emulator, Rhea and a bare KVM_RUN loop alternately run the ROM of exits.S.

    tests/bench/exits.py [--rhea PATH] [--reference COMMAND] [--rounds 40] [--option kernel-irqchip=off]

Two measures of the exits OUT, IN, load from and store to the HPET, HLT ended by a timer, and of a round of two processors that
wake each other (which the kernel does alone; not with kernel-irqchip=off, where the reference does not start the second).

1. Cycles of the emulator's own code: from KVM_RUN's return to the next KVM_RUN, by a preloaded exits_between.c; the medians over
   all exits of a round, then over the rounds. What the kernel does, and its noise, are not in it.
2. As the guest sees it: each round runs all three, each for a tenth of a second, and has the least of 100 blocks of 16 exits.
   Shown are the least of all rounds, its differences to bare, and the medians over rounds of the differences to bare in the same round.

With --instructions (by valgrind) those of the emulator's process for an exit. Then the time from process start to the first
instruction that a guest executes, its first OUT, which another ROM does at once: median and least.
SPDX-License-Identifier: MIT
"""
import argparse, os, re, shlex, statistics, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = 16  # as in exits.S
BETWEEN = ["OUT", "IN", "load", "store", "HLT"]
NAMES = ["OUT", "IN", "load", "store", "HLT, timer", "HLT, 2 CPUs"]
FIRST = ".code16\n.globl _start\n_start: out %al, $0xe9\n1: hlt\njmp 1b\n.org 0xfff0\nljmp $0xf000, $0\n.org 0x10000\n"
COUNTED = {"OUT": "out %al, $0x80", "IN": "in $0x80, %al", "OUT, no device": "out %al, %dx", "load": "mov 0xfed00000, %eax",
           "store": "mov %eax, 0xfed00000"}
# In protected mode, flat; accessed bits are set, as the tables are in ROM.
COUNT = """.code16
.globl _start
_start: cli
lgdtl %cs:pointer - _start
mov %cr0, %eax
or $1, %al
mov %eax, %cr0
ljmpl $8, $flat
.code32
flat: mov $16, %eax
mov %eax, %ds
mov $TIMES, %ecx
mov $0x1230, %dx
1: INSN
dec %ecx
jnz 1b
mov $0, %al
out %al, $0xf4
2: hlt
jmp 2b
.align 8
gdt: .quad 0, 0xcf9b000000ffff, 0xcf93000000ffff
pointer: .word 23
.long gdt
.org 0xfff0
.code16
ljmp $0xf000, $0
.org 0x10000
"""


def assemble(source, rom, *defines):
    subprocess.run(["gcc", "-m32", *defines, "-c", "-o", f"{rom}.o", source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0xf0000", "--oformat", "binary", "-o", rom, f"{rom}.o"], check=True)
    assert os.path.getsize(rom) == 0x10000
    return rom


def build(folder, off):
    """The ROM, that of the start, the bare loop, what is preloaded."""
    with open(f"{folder}/first.S", "w") as f:
        f.write(FIRST)
    bare = f"{folder}/bare"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", bare, f"{HERE}/exits_bare.c"], check=True)
    between = f"{folder}/between.so"
    subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", between, f"{HERE}/exits_between.c"], check=True)
    rom = assemble(f"{HERE}/exits.S", f"{folder}/rom", *(["-DONE"] if off else []))
    return rom, assemble(f"{folder}/first.S", f"{folder}/first"), bare, between


def cycles_per_second():
    """By the kernel's own reckoning."""
    for line in open("/proc/cpuinfo"):
        if line.startswith("cpu MHz"):
            return float(line.split(":")[1]) * 1e6
    sys.exit("no cpu MHz in /proc/cpuinfo")


def command_line(command, option, rom, cpus, debugcon):
    return [*shlex.split(command), "-accel", "kvm" + option, "-M", "pc", "-smp", str(cpus), "-m", "16", "-nodefaults", "-display", "none",
            "-vga", "none", "-bios", rom, "-debugcon", debugcon, "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot"]


def run_emulator(cmd, count):
    """The first bytes at port 0xe9, and seconds from the start of the process to the first."""
    start = time.monotonic()
    proc = subprocess.Popen(cmd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    data = b""
    first = None
    while len(data) < count:
        part = os.read(proc.stdout.fileno(), count - len(data))
        if not part:
            break
        first = first or time.monotonic() - start
        data += part
    proc.kill()
    text = proc.communicate()[1].decode()
    if len(data) < count:
        sys.exit(f"{cmd}: only {len(data)} bytes\n{text}")
    return data, first


def run_between(cmd, preload):
    """{kind of exit: median cycles between two KVM_RUNs}."""
    err = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "LD_PRELOAD": preload}).stderr
    found = {m[1]: int(m[2]) for m in re.finditer(r"between (\S+) \d+ \d+ (\d+)", err)}
    return found or sys.exit(f"{cmd}:\n{err}")


def instructions(command, option, folder, insn):
    """Of the process, for one exit: of a run with many less one with few."""
    total = []
    for times in 1000, 11000:
        with open(f"{folder}/count.S", "w") as f:
            f.write(COUNT.replace("TIMES", str(times)).replace("INSN", insn))
        rom = assemble(f"{folder}/count.S", f"{folder}/count")
        subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={folder}/log",
                        *command_line(command, option, rom, 1, "null")],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        total.append(int(re.search(r"Collected : (\d+)", open(f"{folder}/log").read())[1]))
    return (total[1] - total[0]) / 10000


def print_between(cycles, hertz):
    print(f"{'ns of its own':14}{'bare':>8}{'rhea':>8}{'reference':>10}{'of rhea':>9}{'of ref.':>9}{'ratio':>7}")
    for kind in BETWEEN:
        if all(kind in r for of in cycles.values() for r in of):
            bare, rhea, ref = (statistics.median(r[kind] for r in cycles[e]) / hertz * 1e9 for e in ("bare", "rhea", "reference"))
            print(f"{kind:14}{bare:8.0f}{rhea:8.0f}{ref:10.0f}{rhea - bare:9.0f}{ref - bare:9.0f}{(rhea - bare) / (ref - bare):7.2f}")


def print_guest(results, names, hertz):
    print(f"{'ns an exit':14}{'bare':>8}{'rhea':>8}{'reference':>10}{'of rhea':>9}{'of ref.':>9}{'medians: rhea':>15}{'ref.':>7}")
    for i, name in enumerate(names):
        ns = {e: [r[i] / BLOCK / hertz * 1e9 for r in results[e]] for e in results}
        bare, rhea, ref = (min(ns[e]) for e in ("bare", "rhea", "reference"))
        medians = [statistics.median(a - b for a, b in zip(ns[e], ns["bare"])) for e in ("rhea", "reference")]
        print(f"{name:14}{bare:8.0f}{rhea:8.0f}{ref:10.0f}{rhea - bare:9.0f}{ref - bare:9.0f}{medians[0]:15.0f}{medians[1]:7.0f}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rhea", default=f"{HERE}/../../build/rhea -target x86_64")
    p.add_argument("--reference", default="qemu-system-x86_64")
    p.add_argument("--rounds", type=int, default=40)
    p.add_argument("--starts", type=int, default=15)
    p.add_argument("--instructions", action="store_true")
    p.add_argument("--option", help="of -accel kvm")
    o = p.parse_args()
    hertz = cycles_per_second()
    option = "," + o.option if o.option else ""
    off = "kernel-irqchip=off" in option
    names, cpus = (NAMES[:-1], 1) if off else (NAMES, 2)
    emulators = {"rhea": o.rhea, "reference": o.reference}
    results, cycles = ({"bare": [], "rhea": [], "reference": []} for _ in range(2))
    starts = {"rhea": [], "reference": []}
    with tempfile.TemporaryDirectory() as folder:
        rom, first, bare, between = build(folder, off)
        loop = [bare, rom, *(["off"] if off else [])]
        for _ in range(o.rounds):
            out = subprocess.run(loop, check=True, capture_output=True, text=True).stdout
            results["bare"].append([int(line) for line in out.split()])
            cycles["bare"].append(run_between(loop, between))
            for name, command in emulators.items():
                data, _ = run_emulator(command_line(command, option, rom, cpus, "stdio"), 8 * len(names))
                results[name].append(list(struct.unpack(f"<{len(names)}Q", data)))
                cycles[name].append(run_between(command_line(command, option, rom, cpus, "null"), between))
        if o.instructions:
            for what, insn in COUNTED.items():
                rhea, ref = (instructions(c, option, folder, insn) for c in emulators.values())
                print(f"instructions of the process, {what}: rhea {rhea:.0f}, reference {ref:.0f}, ratio {rhea / ref:.2f}")
        for _ in range(o.starts):
            for name, command in emulators.items():
                starts[name].append(run_emulator(command_line(command, option, first, 2, "stdio"), 1)[1] * 1e3)
    print_between(cycles, hertz)
    print_guest(results, names, hertz)
    for what, of in ("median", statistics.median), ("least", min):
        if o.starts:
            rhea, ref = of(starts["rhea"]), of(starts["reference"])
            print(f"start to the guest's first instruction, ms, {what}: rhea {rhea:.1f}, reference {ref:.1f}, ratio {rhea / ref:.2f}")


if __name__ == "__main__":
    main()
