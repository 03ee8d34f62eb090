#!/usr/bin/env python3
"""Bad command lines: one line on standard error that says what is wrong, exit status 1. And orderly ends.

    cli_test.py RHEA

SPDX-License-Identifier: MIT
"""
import os, signal, subprocess, sys, tempfile, time

TARGET = ["-target", "riscv64", "-display", "none", "-serial", "null"]
# (options, what the line must contain); {tmp} holds truncated.elf, truncated.gz, truncated.img, big
BAD = [
    (["-kernel", "/nonexistent"], "-kernel: cannot read '/nonexistent'"),
    (["-kernel", "{tmp}/truncated.elf"], "truncated"),
    (["-kernel", "{tmp}/truncated.gz"], "truncated or damaged gzip"),
    (["-kernel", "{tmp}/truncated.img"], "truncated or damaged"),
    (["-m", "128", "-initrd", "{tmp}/big"], "use a greater -m"),
    (["-bios", "/nonexistent"], "-bios: cannot read"),
    (["-dtb", "{tmp}/truncated.elf"], "is not a device tree blob"),
    (["-M", "virtt"], "did you mean 'virt'?"),
    (["-M", "virt,foo=1"], "'foo'"),
    (["-device", "foo"], "'foo' is not a device"),
    (["-cpu", "rv65"], "did you mean 'rv64'?"),
    (["-cpu", "rv64,+zbz"], "did you mean 'zba'?"),
    (["-cpu", "rv64,d=maybe"], "-cpu: d"),
    (["-cpu", "max,-zfhmin"], "'zfh' needs 'zfhmin'"),
    (["-cpu", "rv64,+zcb,-c"], "'zcb' needs 'c'"),
    (["-m", "0"], "-m:"),
    (["-m", "1X"], "is not a size"),
    (["-m", "99999G"], "-m:"),
    (["-smp", "9999"], "takes up to 64"),
    (["-smp", "0"], "-smp"),
    (["-smp", "cpus=x"], "is not a number"),
    (["-smp", "2,foo=1"], "foo"),
    (["-accel", "kvmm"], "-accel"),
    (["-accel", "tcg,jitt=off"], "jit"),
    (["-machin", "virt"], "did you mean '-machine'?"),
    (["-append"], "needs an argument"),
    (["-serial", "foo:bar"], "foo:bar"),
    (["-chardev", "file,id=a"], "needs path="),
    (["-chardev", "file,id=a,path=/nonexistent/x"], "cannot open"),
    (["-d", "foo"], "foo"),
    (["-display", "sdl"], "-display"),
    (["stray"], "'stray' is not an option"),
]


def prepare(tmp):
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (243).to_bytes(2, "little") + bytes(12) + (64).to_bytes(8, "little")
    elf += bytes(14) + (56).to_bytes(2, "little") + (3).to_bytes(2, "little") + bytes(6)
    image = bytearray(4096)
    image[16:24] = (64 << 20).to_bytes(8, "little")
    image[56:60] = b"RSC\x05"
    for name, data in {"truncated.elf": elf[:64], "truncated.gz": b"\x1f\x8b\x08" + bytes(20), "truncated.img": bytes(image), "big": bytes(200 << 20)}.items():
        with open(f"{tmp}/{name}", "wb") as f:
            f.write(data)


def bad_lines(rhea, tmp):
    failed = 0
    for options, want in BAD:
        cmd = [rhea, *TARGET, *(o.replace("{tmp}", tmp) for o in options)]
        try:
            p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
            ok = p.returncode == 1 and p.stderr.count("\n") == 1 and p.stderr.startswith("rhea: ") and want in p.stderr
            said = f"status {p.returncode}: {p.stderr.strip()}"
        except subprocess.TimeoutExpired:
            ok, said = False, "still runs"
        if not ok:
            failed += 1
            print(f"FAILED {' '.join(options)}: wanted '{want}', got {said}")
    return failed


def signals(rhea, tmp):
    failed = 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        pidfile = f"{tmp}/pid"
        p = subprocess.Popen([rhea, *TARGET, "-bios", "none", "-pidfile", pidfile], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(100):
            if os.path.exists(pidfile) and open(pidfile).read().strip() == str(p.pid):
                break
            time.sleep(0.05)
        time.sleep(0.2)
        p.send_signal(number)
        _, said = p.communicate(timeout=20)
        if p.returncode or os.path.exists(pidfile) or f"terminating on signal {int(number)}" not in said:
            failed += 1
            print(f"FAILED {number.name}: status {p.returncode}, pidfile {'left' if os.path.exists(pidfile) else 'removed'}, {said}")
    return failed


with tempfile.TemporaryDirectory() as folder:
    prepare(folder)
    count = bad_lines(sys.argv[1], folder) + signals(sys.argv[1], folder)
    print(f"{len(BAD) + 3 - count} as they should be, {count} not")
    sys.exit(count > 0)
