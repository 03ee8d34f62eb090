#!/usr/bin/env python3
"""Soak: many boots in a row, and a whole Debian under stress-ng for a long time. Not part of the test run.

    soak.py RHEA [--boots 200] [--stress SECONDS]

The boots take turns among the machine's variants. Prints a line for each hundred boots and for each quarter of an hour,
and ends with status 1 at the first failure, whose output it shows.
SPDX-License-Identifier: MIT
"""
import argparse, collections, shlex, shutil, sys, tempfile, time

import debian, riscv_test, session
from riscv_test import DEBIAN_ROOT, Session, boot, expect, linux

VARIANTS = [["-smp", "1"], ["-smp", "2"], ["-smp", "4"], ["-smp", "2", "-cpu", "max"], ["-smp", "4", "-accel", "tcg,tb-size=8"],
            ["-smp", "2", "-device", "virtio-rng-pci", "-nic", "user"]]
STRESSORS = "cpu fp vecmath vm atomic matrix"


def boots(count):
    started, slowest = time.monotonic(), collections.defaultdict(float)
    for i in range(count):
        variant = VARIANTS[i % len(VARIANTS)]
        start = time.monotonic()
        status, out = riscv_test.boot("uname -a\nsleep 0.1\npoweroff -f\n", "-m", "512", *variant, timeout=300)
        name = " ".join(variant)
        slowest[name] = max(slowest[name], time.monotonic() - start)
        if status or "riscv64 GNU/Linux" not in out or "Oops" in out or "BUG:" in out or "WARNING:" in out:
            expect(False, f"boot {i + 1} ({name})", f"status {status}\n{out}")
        if (i + 1) % 100 == 0 or i + 1 == count:
            print(f"ok: {i + 1} boots in {time.monotonic() - started:.0f} s", flush=True)
    for name, seconds in slowest.items():
        print(f"slowest with {name}: {seconds:.1f} s")


def stress(seconds):
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(debian.riscv64_image(boot), f"{tmp}/disk")
        s = Session(*linux(DEBIAN_ROOT, ["virtio_blk", "ext4", "crc32c_generic"], tmp),
                    "-m", 2048, "-smp", 2, "-nographic", "-drive", f"file={tmp}/disk,format=raw,if=virtio")
        s.wait_for("login: ", 900)
        s.send("root\r")
        s.wait_for(":~# ", 300)
        load = " ".join(f"--{m} 1" for m in STRESSORS.split())
        start = time.monotonic()
        while (left := seconds - (time.monotonic() - start)) > 0:
            part = max(1, min(900, int(left)))
            s.send(f"stress-ng --verify {load} --vm-bytes 64M --timeout {part} --metrics-brief; echo STA''TUS $?; dmesg -l err,crit,alert,emerg | wc -l\r")
            s.wait_for("STATUS ", part + 900)
            s.wait_for(":~# ", 300)
            report = s.seen[:s.place].rsplit(b"STATUS ", 1)[1].decode()
            expect(report.split()[0] == "0", f"stress-ng --verify, {time.monotonic() - start:.0f} s so far; kernel errors: {report.split()[1]}",
                   s.seen.decode(errors="replace"))
            sys.stdout.flush()
        print("\n".join(line for line in s.seen.decode(errors="replace").splitlines() if "metrc:" in line))
        s.send("poweroff\r")
        status, out = s.end()
        expect(status == 0 and "Oops" not in out and "BUG:" not in out, "power-off with status 0 and no kernel complaint", out)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("rhea")
    a.add_argument("--boots", type=int, default=0)
    a.add_argument("--stress", type=int, default=0)
    o = a.parse_args()
    session.EMULATOR[:] = shlex.split(o.rhea)
    boots(o.boots)
    if o.stress:
        stress(o.stress)


if __name__ == "__main__":
    main()
