#!/usr/bin/env python3
"""Random RISC-V instructions: JIT and interpreter against qemu-user, an executor with its own arithmetic.

    insn_test.py RISCV_GEN VECTOR_GEN RHEA [--xlen 64] [--vlen N] [--count N] [--seed S] [--culprits]
    insn_test.py RISCV_GEN VECTOR_GEN RHEA --all --count 20000000
    insn_test.py RISCV_GEN VECTOR_GEN RHEA --coverage

Each seed makes one program (see riscv_gen.c; with --vlen, vector_gen.c) that runs on all three; their outputs must be the same byte for
byte. The table at the end says how many instances of how many kinds each extension had, and what they were compared with. RHEA_INSN_COUNT
is another --count. --coverage: every extension of `-cpu max` is in one of the tables, or in ELSEWHERE.
SPDX-License-Identifier: MIT
"""
import argparse, os, re, shutil, subprocess, sys, tempfile

# What the oracle knows of the extensions that are off by default there; others have models in the generators.
SCALAR_CPU = "rv{},zbc=true,zbkb=true,zbkc=true,zbkx=true,zkn=true,zks=true,Zfh=true"
VECTOR_CPU = "rv{},v=true,vext_spec=v1.0,vlen={}"
EXECUTORS = {"jit": "tcg", "interpreter": "tcg,jit=off"}
# For --all: XLEN, VLEN (0: scalar), share in percent.
RUNS = [(64, 0, 30), (32, 0, 15), (64, 128, 10), (64, 256, 10), (64, 512, 10), (64, 1024, 10), (32, 128, 4), (32, 256, 4), (32, 512, 4), (32, 1024, 3)]
# Instances of a program for each block, and the most blocks.
SHAPE = {False: (100, 20000), True: (200, 5000)}
VECTOR_PASSES = 20
# Instructions that are those of another extension; promises, state and controls (guest-riscv-metal* looks at those that can be seen); and zvk*, for
# which guest-riscv-metal_crypto does the examples of the standards.
SAME_AS = {"a": "zaamo", "zbkc": "zbc", "zvkb": "zvbb", "zvfhmin": "zvfh"}
ELSEWHERE = re.compile("[hsu]|s[a-z0-9]+|za64rs|zic64b|zicc[a-z]+|zkr|zkt|zvkt|zvk(g|ned|nhb|sed|sh)")


class Run:
    def __init__(self, o, xlen, vlen):
        self.o, self.xlen, self.vlen = o, xlen, vlen
        self.name = f"rv{xlen}" + (f" vlen {vlen}" if vlen else "")
        self.generator = [o.vector_gen, "--xlen", str(xlen), "--vlen", str(vlen)] if vlen else [o.riscv_gen, "--xlen", str(xlen)]

    def generate(self, *args):
        return subprocess.run([*self.generator, *args], stdout=subprocess.PIPE, check=True, text=True).stdout

    def table(self, args):
        """(extension, oracle): (kinds, instances)"""
        rows = (line.split("\t") for line in self.generate(*args, "--count").splitlines())
        return {(ext, oracle): (int(kinds), int(n)) for ext, kinds, n, oracle in rows}

    def output(self, tmp, args, executor):
        """What the program prints, or a text that says how it failed."""
        path, out, machine = f"{tmp}/{executor}.elf", f"{tmp}/{executor}.out", executor != "oracle"
        self.generate(*args, *(["--machine"] if machine else []), path)
        os.chmod(path, 0o755)
        if not machine:
            cpu = VECTOR_CPU.format(self.xlen, self.vlen) if self.vlen else SCALAR_CPU.format(self.xlen)
            return subprocess.run([f"qemu-riscv{self.xlen}", "-cpu", cpu, path], stdout=subprocess.PIPE, check=True).stdout
        cmd = [self.o.rhea, "-target", f"riscv{self.xlen}", "-accel", EXECUTORS[executor], "-cpu", "max" + (f",vlen={self.vlen}" if self.vlen else ""), "-M",
               "virt", "-m", "512", "-bios", "none", "-kernel", path, "-display", "none", "-monitor", "none", "-serial", f"file:{out}"]
        p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        if p.returncode:
            return f"exit status {p.returncode} (an exception's cause, or an error): {p.stdout.decode(errors='replace')}".encode()
        with open(out, "rb") as f:
            return f.read()

    def difference(self, want, got):
        word = self.xlen // 8
        at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
        text = f"first difference in result {at // word} ({len(got)} bytes, {len(want)} expected)"
        return text if len(got) > 1000 else got.decode(errors="replace")

    def culprits(self, tmp, executor):
        bad = []
        for name in dict.fromkeys(self.generate("--list").split()):
            args = ["--seed", "3", "--blocks", "60", "--passes", "3", "--only", name]
            try:
                if self.output(tmp, args, "oracle") != self.output(tmp, args, executor):
                    bad.append(name)
            except (subprocess.SubprocessError, OSError):
                pass
        return bad

    def helper_calls(self, tmp, args):
        """How many vector instructions of one pass are not inline: each leaves a line of the trace."""
        path = f"{tmp}/traced.elf"
        self.generate(*args, "--passes", "1", "--machine", path)
        cmd = [self.o.rhea, "-target", f"riscv{self.xlen}", "-cpu", f"max,vlen={self.vlen}", "-M", "virt", "-m", "512", "-bios", "none", "-kernel", path,
               "-display", "none", "-monitor", "none", "-serial", "null", "-trace", "riscv_vector_helper"]
        return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600).stdout.count(b"riscv_vector_helper")

    def some_inline(self):
        """Is the inline code of vector instructions tested at all? With longer registers what fills and hashes them is in C, too, and hides it."""
        args = ["--seed", str(self.o.seed), "--blocks", "100"]
        total = sum(n for _, n in self.table([*args, "--passes", "1"]).values())
        with tempfile.TemporaryDirectory() as tmp:
            inline = total - (self.helper_calls(tmp, args) - self.helper_calls(tmp, [*args, "--length", "0"]))
        print(f"{self.name}: {inline} of {total} instances of one pass are inline", flush=True)
        return inline > 0 or "avx2" not in open("/proc/cpuinfo").read()

    def compare(self, count, totals):
        """Programs until there were count instances; adds to totals. False: something differed."""
        each, most = SHAPE[bool(self.vlen)]
        done, seed, good = 0, self.o.seed, True
        with tempfile.TemporaryDirectory() as tmp:
            while done < count:
                blocks = max(20, min(most, (count - done) // each + 1))
                args = ["--seed", str(seed), "--blocks", str(blocks), *(["--passes", str(VECTOR_PASSES)] if self.vlen else [])]
                want = self.output(tmp, args, "oracle")
                for executor in EXECUTORS:
                    got = self.output(tmp, args, executor)
                    if got != want:
                        good = False
                        alone = f"; alone, these differ: {self.culprits(tmp, executor)}" if self.o.culprits else ""
                        print(f"{self.name} seed {seed} blocks {blocks} {executor}: {self.difference(want, got)}{alone}", flush=True)
                for key, (kinds, n) in self.table(args).items():
                    most_kinds, total = totals.get(key, (0, 0))
                    totals[key] = max(kinds, most_kinds), total + n
                    done += n
                seed += 1
        print(f"{self.name}: {done} instances on {', '.join(EXECUTORS)}: {'all as the oracle' if good else 'DIFFERENCES'}", flush=True)
        return good and (self.vlen not in (128, 256) or self.some_inline())


def print_table(totals):
    print(f"{'extension':<12} {'kinds':>5} {'instances':>10}  oracle")
    for (ext, oracle), (kinds, n) in sorted(totals.items()):
        print(f"{ext:<12} {kinds:>5} {n:>10}  {oracle}")
    print(f"{'all':<12} {'':>5} {sum(n for _, n in totals.values()):>10}")


def coverage(o):
    text = subprocess.run([o.rhea, "-target", "riscv64", "-cpu", "help"], stdout=subprocess.PIPE, check=True, text=True).stdout
    features = re.findall(r"^  ([a-z0-9]+) ", text[text.index("Features"):], re.M)
    groups = set(re.findall(r"^  ([a-z]+) +[a-z0-9]+, [a-z0-9, ]+$", text, re.M))
    covered = {ext for run in (Run(o, 64, 0), Run(o, 32, 0), Run(o, 64, 128)) for ext, _ in run.table(["--blocks", "1000"])}
    missing = [f for f in features if f not in groups and SAME_AS.get(f, f) not in covered and not ELSEWHERE.fullmatch(f)]
    print(f"{len(features)} features, {len(covered)} with random instructions" + (f"; no test of {', '.join(missing)}" if missing else ""))
    return not missing


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("riscv_gen", "vector_gen", "rhea"):
        a.add_argument(name)
    a.add_argument("--xlen", type=int, default=64)
    a.add_argument("--vlen", type=int, default=0, help="vector instructions with this VLEN")
    a.add_argument("--count", type=int, default=1000000, help="instances, at least")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--all", action="store_true", help="share the instances among XLEN 32, 64 and VLEN 128 .. 1024")
    a.add_argument("--coverage", action="store_true")
    a.add_argument("--culprits", action="store_true", help="after a difference, try each kind alone (minutes)")
    o = a.parse_args()
    if o.coverage:
        sys.exit(not coverage(o))
    if not shutil.which(f"qemu-riscv{o.xlen}"):
        print(f"skipped: qemu-riscv{o.xlen} (package qemu-user) is the oracle and is not installed")
        sys.exit(77)
    count = int(os.environ.get("RHEA_INSN_COUNT", o.count))
    runs = RUNS if o.all else [(o.xlen, o.vlen, 100)]
    totals = {}
    good = [Run(o, xlen, vlen).compare(count * share // 100, totals) for xlen, vlen, share in runs]
    print_table(totals)
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
