#!/usr/bin/env python3
"""Random RISC-V vector instructions: JIT and interpreter against qemu-user with V 1.0.

    vector_insn_test.py GENERATOR RHEA [--xlen 64] [--vlen N] [--blocks N] [--passes N] [--seeds N] [--seed S]

See vector_gen.c and riscv_insn_test.py. After a difference --culprits tries every kind of instruction alone.
SPDX-License-Identifier: MIT
"""
import argparse, os, re, shutil, subprocess, sys, tempfile

EXECUTORS = {"jit": "tcg", "interpreter": "tcg,jit=off"}


def run(o, tmp, args, executor):
    """The program's output, or a text that says how it failed."""
    path, out = f"{tmp}/{executor}.elf", f"{tmp}/{executor}.out"
    machine = executor != "oracle"
    subprocess.run([o.generator, "--xlen", str(o.xlen), "--vlen", str(o.vlen), *args, *(["--machine"] if machine else []), path], check=True)
    os.chmod(path, 0o755)
    if not machine:
        cmd = [f"qemu-riscv{o.xlen}", "-cpu", f"rv{o.xlen},v=true,vext_spec=v1.0,vlen={o.vlen}", path]
        return subprocess.run(cmd, stdout=subprocess.PIPE, check=True).stdout
    cmd = [o.rhea, "-target", f"riscv{o.xlen}", "-cpu", f"rv{o.xlen},+v,vlen={o.vlen}", "-accel", EXECUTORS[executor], "-M", "virt", "-m", "512",
           "-bios", "none", "-kernel", path, "-display", "none", "-monitor", "none", "-serial", f"file:{out}"]
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    if p.returncode:
        return f"exit status {p.returncode} (an exception's cause, or an error): {p.stdout.decode(errors='replace')}".encode()
    with open(out, "rb") as f:
        return f.read()


def helper_calls(o, tmp, args):
    """How many vector instructions of one pass are not inline: each leaves a line of the trace."""
    path = f"{tmp}/traced.elf"
    subprocess.run([o.generator, "--xlen", str(o.xlen), "--vlen", str(o.vlen), *args, "--passes", "1", "--machine", path], check=True)
    p = subprocess.run([o.rhea, "-target", f"riscv{o.xlen}", "-cpu", f"rv{o.xlen},+v,vlen={o.vlen}", "-M", "virt", "-m", "512", "-bios", "none",
                        "-kernel", path, "-display", "none", "-monitor", "none", "-serial", "null", "-trace", "riscv_vector_helper"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    return p.stdout.count(b"riscv_vector_helper")


def first_difference(o, want, got):
    word = o.xlen // 8
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return f"first difference in block {at // word - 1} ({len(got)} bytes, {len(want)} expected)" if len(got) >= word else got.decode(errors="replace")


def culprits(o, tmp, executor):
    names = dict.fromkeys(re.findall(r'\{ "([a-z0-9.]+)"', open(os.path.join(os.path.dirname(__file__), "vector_gen.c")).read()))
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
    a.add_argument("--vlen", type=int, default=128)
    a.add_argument("--blocks", type=int, default=2000)
    a.add_argument("--passes", type=int, default=100)
    a.add_argument("--seeds", type=int, default=1)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--culprits", action="store_true", help="after a difference, try each kind alone (minutes)")
    o = a.parse_args()
    if not shutil.which(f"qemu-riscv{o.xlen}"):
        print(f"skipped: qemu-riscv{o.xlen} (package qemu-user) is the oracle and is not installed")
        sys.exit(77)
    total, calls, failed = 0, 0, False
    with tempfile.TemporaryDirectory() as tmp:
        for seed in range(o.seed, o.seed + o.seeds):
            args = ["--seed", str(seed), "--blocks", str(o.blocks), "--passes", str(o.passes)]
            count = subprocess.run([o.generator, "--xlen", str(o.xlen), "--vlen", str(o.vlen), *args, "--count"], stdout=subprocess.PIPE, check=True,
                                   text=True).stdout
            want = run(o, tmp, args, "oracle")
            for executor in EXECUTORS:
                got = run(o, tmp, args, executor)
                if got != want:
                    failed = True
                    print(f"rv{o.xlen} vlen {o.vlen} seed {seed} {executor}: {first_difference(o, want, got)}; " + (f"alone, these differ: {culprits(o, tmp, executor)}" if o.culprits else ""))
            total += int(count.split()[0])
            calls += helper_calls(o, tmp, args) - helper_calls(o, tmp, [*args, "--length", "0"])
            kinds = count.split()[3]
    print(f"rv{o.xlen} vlen {o.vlen}: {total} instances of {kinds} kinds on {', '.join(EXECUTORS)}: {'DIFFERENCES' if failed else 'all as the oracle'}")
    inline = total // o.passes - calls
    print(f"inline in one pass: {inline} of {total // o.passes} instances ({100 * inline * o.passes // total} %)")
    if not inline and "avx2" in open("/proc/cpuinfo").read():
        print("nothing was inline")
        failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
