#!/usr/bin/env python3
"""Random RISC-V instructions: JIT and interpreter against qemu-user, an executor with its own soft-float arithmetic.

    riscv_insn_test.py GENERATOR RHEA [--xlen 64] [--blocks N] [--seeds N] [--seed S]

Each seed makes one program (see riscv_gen.c) that runs on all three; their outputs must be the same byte for byte. After a
difference every kind of instruction is tried alone, so that the failing ones are named.
SPDX-License-Identifier: MIT
"""
import argparse, os, shutil, subprocess, sys, tempfile

# What the oracle knows of the extensions that are off by default there; others have models in riscv_gen_ext.c.
ORACLE_CPU = "rv{},zbc=true,zbkb=true,zbkc=true,zbkx=true,zkn=true,zks=true,Zfh=true"
EXECUTORS = {"jit": "tcg", "interpreter": "tcg,jit=off"}


def generate(o, path, args, machine):
    subprocess.run([o.generator, "--xlen", str(o.xlen), *args, *(["--machine"] if machine else []), path], check=True)
    os.chmod(path, 0o755)


def run(o, tmp, args, executor):
    """The program's output, or a text that says how it failed."""
    path, out = f"{tmp}/{executor}.elf", f"{tmp}/{executor}.out"
    generate(o, path, args, executor != "oracle")
    if executor == "oracle":
        return subprocess.run([f"qemu-riscv{o.xlen}", "-cpu", ORACLE_CPU.format(o.xlen), path], stdout=subprocess.PIPE, check=True).stdout
    cmd = [o.rhea, "-target", f"riscv{o.xlen}", "-accel", EXECUTORS[executor], "-cpu", "max", "-M", "virt", "-m", "512", "-bios", "none", "-kernel", path,
           "-display", "none", "-monitor", "none", "-serial", f"file:{out}"]
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    if p.returncode:
        return f"exit status {p.returncode} (an exception's cause, or an error): {p.stdout.decode(errors='replace')}".encode()
    with open(out, "rb") as f:
        return f.read()


def first_difference(o, want, got):
    word = o.xlen // 8
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return f"first difference in block {at // word} ({len(got)} bytes, {len(want)} expected)" if len(got) >= word else got.decode(errors="replace")


def culprits(o, tmp, executor):
    names = subprocess.run([o.generator, "--xlen", str(o.xlen), "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    bad = []
    for name in names:
        args = ["--seed", "3", "--blocks", "60", "--passes", "3", "--only", name]
        try:
            if run(o, tmp, args, "oracle") != run(o, tmp, args, executor):
                bad.append(name)
        except (subprocess.SubprocessError, OSError):
            pass
    return bad


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("generator")
    a.add_argument("rhea")
    a.add_argument("--xlen", type=int, default=64)
    a.add_argument("--blocks", type=int, default=20000)
    a.add_argument("--seeds", type=int, default=1)
    a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    if not shutil.which(f"qemu-riscv{o.xlen}"):
        print(f"skipped: qemu-riscv{o.xlen} (package qemu-user) is the oracle and is not installed")
        sys.exit(77)
    total, failed = 0, False
    with tempfile.TemporaryDirectory() as tmp:
        for seed in range(o.seed, o.seed + o.seeds):
            args = ["--seed", str(seed), "--blocks", str(o.blocks)]
            count = subprocess.run([o.generator, "--xlen", str(o.xlen), *args, "--count"], stdout=subprocess.PIPE, check=True, text=True).stdout
            want = run(o, tmp, args, "oracle")
            for executor in EXECUTORS:
                got = run(o, tmp, args, executor)
                if got != want:
                    failed = True
                    print(f"rv{o.xlen} seed {seed} {executor}: {first_difference(o, want, got)}; alone, these differ: {culprits(o, tmp, executor)}")
            total += int(count.split()[0])
            kinds = count.split()[3]
    print(f"rv{o.xlen}: {total} instances of {kinds} kinds on {', '.join(EXECUTORS)}: {'DIFFERENCES' if failed else 'all as the oracle'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
