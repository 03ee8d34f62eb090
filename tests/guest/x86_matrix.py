#!/usr/bin/env python3
"""Debian's kernels on every PC, with every firmware, one processor and four: each boots a busybox initramfs, says what is
there, and powers off by ACPI with exit status 0.

    x86_matrix.py RHEA [--subset] [--jobs N] [--repeat N] [WORD ...]

Prints a table. --subset: one row of cells that has each kernel, machine and firmware. A WORD leaves only the cells with it:
686 q35 ovmf smp4. RHEA may also be another emulator's command.

SPDX-License-Identifier: MIT
"""
import argparse, concurrent.futures, itertools, os, shlex, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images, session, x86_test

# name: (images' architecture, package)
KERNELS = {
    "cloud-6.1": ("x86_64", "linux-image-cloud-amd64"),
    "cloud-6.12": ("x86_64-trixie", "linux-image-cloud-amd64"),
    "amd64": ("x86_64", "linux-image-amd64"),
    "686": ("i386", "linux-image-686"),
    "686-pae": ("i386", "linux-image-686-pae"),
}
MACHINES = {"pc": x86_test.PC, "q35": x86_test.Q35, "microvm": ["product=microvm"]}
FIRMWARE = "direct", "seabios", "ovmf"
# Those that show each kernel, machine and firmware once: for every change. The rest of what CI boots is in x86_test.py.
SUBSET = {("cloud-6.12", "pc", "direct", 4), ("amd64", "q35", "seabios", 1), ("686-pae", "microvm", "seabios", 1), ("cloud-6.12", "q35", "ovmf", 4),
          ("686-pae", "q35", "direct", 4)}
HUNG = 1800  # seconds that no boot takes, however busy the host is


def arguments(machine, firmware, smp, folder):
    args = ["-M", machine, "-smp", smp]
    if firmware == "ovmf":
        return args + x86_test.ovmf(folder)
    if firmware == "seabios":
        return args + ["-bios", "bios-microvm.bin" if machine == "microvm" else "bios-256k.bin"]
    return args


def why_not(kernel, machine, firmware):
    """The reference emulator does not boot these either."""
    if firmware == "ovmf" and machine == "microvm":
        return "Debian's ovmf has no build for microvm"
    if firmware == "ovmf" and KERNELS[kernel][0] == "i386":
        return "firmware of 64 bits starts no kernel of 32"
    return None


def run_cell(cell):
    """(cell, seconds, what is wrong or None)"""
    kernel, machine, firmware, smp = cell
    arch, package = KERNELS[kernel]
    start, said = time.monotonic(), None
    try:
        with tempfile.TemporaryDirectory() as folder:
            want = [rf"arch={'i686' if arch == 'i386' else 'x86_64'} cpus={smp} ", *MACHINES[machine], f"efi={'yes' if firmware == 'ovmf' else 'no'}"]
            x86_test.boot(arch, *arguments(machine, firmware, smp, folder), kernel=package, want=want, target="x86_64", timeout=HUNG)
    except SystemExit as e:
        said = str(e)
    return cell, time.monotonic() - start, said


def table(results):
    """A line for each kernel and machine, a column for each firmware and number of processors."""
    columns = list(itertools.product(FIRMWARE, (1, 4)))
    print(f"{'':22}" + "".join(f"{f + ' smp' + str(n):>14}" for f, n in columns))
    for kernel, machine in itertools.product(KERNELS, MACHINES):
        shown = [results.get((kernel, machine, f, n), ["n/a" if why_not(kernel, machine, f) else "-"]) for f, n in columns]
        if any(s != ["-"] and s != ["n/a"] for s in shown):
            print(f"{kernel:12}{machine:10}" + "".join(f"{' '.join(s):>14}" for s in shown))


def chosen(args):
    for cell in itertools.product(KERNELS, MACHINES, FIRMWARE, (1, 4)):
        words = {*cell[:3], f"smp{cell[3]}"}
        if not why_not(*cell[:3]) and set(args.words) <= words and (not args.subset or cell in SUBSET):
            yield cell


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("rhea")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--subset", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    session.EMULATOR[:] = shlex.split(args.rhea)
    with images.lock():
        for arch, package in KERNELS.values():
            images.kernel(arch, package), images.busybox(arch)
    results, failed = {}, 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for cell, seconds, wrong in pool.map(run_cell, [c for c in chosen(args) for _ in range(args.repeat)]):
            results.setdefault(cell, []).append("FAILED" if wrong else f"{seconds:.1f}s")
            failed += wrong is not None
            print(*cell, wrong or f"ok {seconds:.1f} s", flush=True)
    table(results)
    for kernel, machine, firmware in itertools.product(KERNELS, MACHINES, FIRMWARE):
        if why_not(kernel, machine, firmware) and not args.words and not args.subset:
            print(f"n/a {kernel} {machine} {firmware}: {why_not(kernel, machine, firmware)}")
    print(f"{sum(map(len, results.values())) - failed} passed, {failed} failed")
    sys.exit(failed > 0 or not results)


if __name__ == "__main__":
    main()
