#!/usr/bin/env python3
"""What an exit from KVM costs: the reference emulator, Rhea and a bare KVM_RUN loop alternately run the ROM of exits.S.

    tests/bench/exits.py [--rhea PATH] [--reference COMMAND] [--rounds 5] [--option kernel-irqchip=off]

Prints nanoseconds of each exit: OUT, IN, load from and store to the HPET, HLT ended by a timer, and a round of two
processors that wake each other (which the kernel does alone, unless kernel-irqchip=off). Each round gives the least of
many blocks of exits; the table has the least of the rounds. Then each emulator's part (less the bare loop's), and Rhea's
over the reference's. With --instructions (by valgrind) those of the emulator's process for an exit: what noise of the host
is not in. Then the time from process start to the first instruction that a guest executes, its first OUT,
which another ROM does at once: median and least.
SPDX-License-Identifier: MIT
"""
import argparse, os, re, shlex, statistics, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = 16  # as in exits.S
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


def assemble(source, rom):
    subprocess.run(["gcc", "-m32", "-c", "-o", f"{rom}.o", source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0xf0000", "--oformat", "binary", "-o", rom, f"{rom}.o"], check=True)
    assert os.path.getsize(rom) == 0x10000
    return rom


def build(folder):
    with open(f"{folder}/first.S", "w") as f:
        f.write(FIRST)
    bare = f"{folder}/bare"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", bare, f"{HERE}/exits_bare.c"], check=True)
    return assemble(f"{HERE}/exits.S", f"{folder}/rom"), assemble(f"{folder}/first.S", f"{folder}/first"), bare


def cycles_per_second():
    """By the kernel's own reckoning."""
    for line in open("/proc/cpuinfo"):
        if line.startswith("cpu MHz"):
            return float(line.split(":")[1]) * 1e6
    sys.exit("no cpu MHz in /proc/cpuinfo")


def run_emulator(command, option, rom, count):
    """The first bytes at port 0xe9, and seconds from the start of the process to the first."""
    cmd = [*shlex.split(command), "-accel", "kvm" + option, "-M", "pc", "-smp", "2", "-m", "16", "-nodefaults", "-display", "none",
           "-vga", "none", "-bios", rom, "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot"]
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
        sys.exit(f"{command}: only {len(data)} bytes\n{text}")
    return data, first


def instructions(command, option, folder, insn):
    """Of the process, for one exit: of a run with many less one with few."""
    total = []
    for times in 1000, 11000:
        with open(f"{folder}/count.S", "w") as f:
            f.write(COUNT.replace("TIMES", str(times)).replace("INSN", insn))
        rom = assemble(f"{folder}/count.S", f"{folder}/count")
        subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={folder}/log",
                        *shlex.split(command), "-accel", "kvm" + option, "-M", "pc", "-m", "16", "-nodefaults", "-display", "none",
                        "-vga", "none", "-bios", rom, "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        total.append(int(re.search(r"Collected : (\d+)", open(f"{folder}/log").read())[1]))
    return (total[1] - total[0]) / 10000


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rhea", default=f"{HERE}/../../build/rhea -target x86_64")
    p.add_argument("--reference", default="qemu-system-x86_64")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--starts", type=int, default=15)
    p.add_argument("--instructions", action="store_true")
    p.add_argument("--option", help="of -accel kvm")
    o = p.parse_args()
    hertz = cycles_per_second()
    option = "," + o.option if o.option else ""
    emulators = {"rhea": o.rhea, "reference": o.reference}
    results = {"bare": [], "rhea": [], "reference": []}
    starts = {"rhea": [], "reference": []}
    with tempfile.TemporaryDirectory() as folder:
        rom, first, bare = build(folder)
        for _ in range(o.rounds):
            out = subprocess.run([bare, rom], check=True, capture_output=True, text=True).stdout
            results["bare"].append([int(line) for line in out.split()])
            for name, command in emulators.items():
                data, _ = run_emulator(command, option, rom, 8 * len(NAMES))
                results[name].append(list(struct.unpack(f"<{len(NAMES)}Q", data)))
        if o.instructions:
            for what, insn in COUNTED.items():
                rhea, ref = (instructions(c, option, folder, insn) for c in emulators.values())
                print(f"instructions of the process, {what}: rhea {rhea:.0f}, reference {ref:.0f}, ratio {rhea / ref:.2f}")
        for _ in range(o.starts):
            for name, command in emulators.items():
                starts[name].append(run_emulator(command, option, first, 1)[1] * 1e3)
    print(f"{'ns an exit':12}{'bare':>10}{'rhea':>10}{'reference':>10}{'of rhea':>10}{'of ref.':>10}{'ratio':>8}")
    for i, name in enumerate(NAMES):
        bare, rhea, ref = (min(r[i] for r in results[e]) / BLOCK / hertz * 1e9 for e in ("bare", "rhea", "reference"))
        print(f"{name:12}{bare:10.0f}{rhea:10.0f}{ref:10.0f}{rhea - bare:10.0f}{ref - bare:10.0f}{(rhea - bare) / (ref - bare):8.2f}")
    for what, of in ("median", statistics.median), ("least", min):
        rhea, ref = of(starts["rhea"]), of(starts["reference"])
        print(f"start to the guest's first instruction, ms, {what}: rhea {rhea:.1f}, reference {ref:.1f}, ratio {rhea / ref:.2f}")


if __name__ == "__main__":
    main()
