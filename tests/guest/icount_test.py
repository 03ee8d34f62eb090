#!/usr/bin/env python3
"""-icount: runs are the same, instruction for instruction, and counters and timers are exact. -accel tcg,thread=single.

    icount_test.py RHEA TEST|list

SPDX-License-Identifier: MIT
"""
import os, re, shutil, subprocess, tempfile

import riscv_test, session
from riscv_test import HERE, expect, images, linux, rhea, skip

SAME = ["-rtc", "base=2026-01-01,clock=vm", "-seed", "1", "-d", "icount", "-D"]


def counted(tmp, *args, target="riscv64"):
    """Run to the end; (status, output of the guest, (instructions, virtual time))."""
    status, out = rhea(target, *args, "-nographic", "-monitor", "none", "-serial", "stdio", *SAME, f"{tmp}/log")
    with open(f"{tmp}/log") as f:
        line = f.read()
    count = re.fullmatch(r"icount: (\d+) instructions, shift .*?, (\d+) ns of virtual time, of which \d+ ns were skipped\n", line)
    expect(count, "the count at the end", line + out)
    return status, out, (int(count[1]), int(count[2]))


def twice(tmp, options, wanted, before=lambda: None, other=()):
    """Two runs, the second with other besides, give the same output and the same count."""
    runs = []
    for extra in [], list(other):
        before()
        runs.append(counted(tmp, *options, *extra))
        status, out, count = runs[-1]
        expect(status == 0 and re.search(wanted, out), f"{wanted} in a run of {count[0]} instructions, {count[1]} ns", f"status {status}\n{out}")
    lines = [r[1].splitlines() for r in runs]
    first = next((f"{a}\n{b}" for a, b in zip(*lines) if a != b), "")
    expect(runs[0][1] == runs[1][1], "the same output, byte for byte", first)
    expect(runs[0][2] == runs[1][2], "the same number of instructions", f"{runs[0][2]} {runs[1][2]}")


def boot_twice(*args, other=()):
    with tempfile.TemporaryDirectory() as tmp:
        script = "uname -a\ndd if=/dev/urandom bs=1k count=4 2>/dev/null | sha256sum\ndate\nsleep 1\ncat /proc/interrupts /proc/uptime\npoweroff -f\n"
        twice(tmp, [*linux(script, [], tmp), "-m", "512", *args], "Linux .* riscv64", other=other)


def test_boot():
    boot_twice("-icount", "shift=0,sleep=off")


def test_boot_smp2():
    """Waiting in real time does not change it, either."""
    boot_twice("-icount", "shift=1,sleep=off", "-smp", 2, other=["-icount", "shift=1"])


def test_disk():
    """A root on a disk: requests are complete when the doorbell returns."""
    if not shutil.which("mkfs.ext4"):
        skip("mkfs.ext4 (package e2fsprogs) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        root, image = f"{tmp}/root", f"{tmp}/disk.img"
        for d in ("bin", "proc", "sys", "dev", "tmp"):
            os.makedirs(f"{root}/{d}")
        shutil.copy(images.busybox("riscv64"), f"{root}/bin/busybox")
        with open(f"{root}/init", "w") as f:
            f.write(images.INIT.replace("/mnt", "") + riscv_test.QUIET + "dd if=/dev/urandom of=/data bs=64k count=100 2>/dev/null\nsync\n"
                    "echo 3 > /proc/sys/vm/drop_caches\nsha256sum /data\nls -l /data\nsync\nmount -o remount,ro /\ncat /proc/interrupts /proc/diskstats\npoweroff -f\n")
        os.chmod(f"{root}/init", 0o755)
        subprocess.run(["mkfs.ext4", "-q", "-d", root, image, "64M"], check=True)
        options = linux("mknod /dev/vda b 254 0 2>/dev/null\nmount -t ext4 /dev/vda /mnt && exec switch_root /mnt /init\necho NO ROOT; poweroff -f\n",
                        ["virtio_blk", "ext4", "crc32c_generic"], tmp)
        twice(tmp, [*options, "-m", "512", "-smp", 2, "-icount", "shift=1,sleep=off", "-drive", f"file={tmp}/copy,format=raw,if=none,id=d0", "-device",
                    "virtio-blk-pci,drive=d0"], r"[0-9a-f]{64}  /data", before=lambda: shutil.copy(image, f"{tmp}/copy"))


def metal(xlen, shift, *args):
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    counts = []
    with tempfile.TemporaryDirectory() as tmp:
        abi = {64: ["-march=rv64gc", "-mabi=lp64d"], 32: ["-march=rv32gc", "-mabi=ilp32d"]}[xlen]
        subprocess.run([cc, *abi, *"-mcmodel=medany -O2 -Wall -Wextra -fno-strict-aliasing -nostdlib -nostartfiles -static -ffreestanding "
                        "-fno-pic -fno-stack-protector -Wl,--build-id=none -Wl,--no-warn-rwx-segments".split(), f"-DSHIFT={shift}",
                        f"-T{HERE}/metal/link.ld", f"{HERE}/metal/start.S", f"{HERE}/metal/icount.c", "-o", f"{tmp}/metal.elf"], check=True)
        for how in ["-accel", "tcg"], ["-accel", "tcg,jit=off"]:
            status, out, count = counted(tmp, "-M", "virt", "-bios", "none", "-kernel", f"{tmp}/metal.elf", *args, *how, target=f"riscv{xlen}")
            expect("all passed" in out and status == 0, f"RV{xlen} {' '.join([*args, *how])}: {count[0]} instructions", f"status {status}\n{out}")
            counts.append(count[0])
    expect(counts[0] == counts[1], "the interpreter counts as the JIT does", str(counts))


def test_metal():
    for xlen in 64, 32:
        metal(xlen, 0, "-icount", "shift=0,sleep=off")
        metal(xlen, 5, "-icount", "5")


def test_extensions():
    """What the tests of the executors know of faults, counters, triggers and guests holds where instructions are counted."""
    for xlen in 64, 32:
        for how in ["-icount", "shift=0,sleep=off"], ["-icount", "3", "-accel", "tcg,jit=off"]:
            riscv_test.metal(xlen, 0, "-cpu", f"rv{xlen},h=true", *how, source="hypervisor")
            riscv_test.metal(xlen, 0, *how, source="trigger")
            riscv_test.metal(xlen, 0, "-m", "512", "-cpu", "max,zkr=on", *how, source="privileged")


def test_single():
    """All processors on one thread, without and with a count; a pause in the middle."""
    for how in ["-accel", "tcg,thread=single"], ["-icount", "auto"]:
        riscv_test.userland(*how, cpus=4)
    with tempfile.TemporaryDirectory() as tmp:
        options = linux("echo READY; read line; echo GOT $line; sleep 1000\n", [], tmp)
        for how in ["-accel", "tcg,thread=single"], ["-icount", "2,align=on"]:
            s = riscv_test.Session(*options, "-m", 512, "-smp", 3, "-nographic", *how)
            s.wait_for("READY\r")
            s.send("\1c")
            for command, wanted in [("stop", ""), ("info status", "paused"), ("info registers -a", "CPU#2"), ("cont", ""), ("info status", "running"),
                                    ("info icount", "not counted" if "tcg" in how[1] else "instructions, shift 2")]:
                s.wait_for("(rhea) ")
                s.send(command + "\r")
                s.wait_for(wanted)
            s.send("\1cto the console\r")
            s.wait_for("GOT to the console")
            s.send("\1cquit\r")
            status, out = s.end()
            expect(status == 0, f"a pause and registers: {' '.join(how)}", out)


if __name__ == "__main__":
    session.main(session.named(globals()), __doc__)
