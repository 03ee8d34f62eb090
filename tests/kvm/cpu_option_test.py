"""-cpu MODEL,check|enforce: what is asked for and not there is named, or refused. usage: cpu_option_test.py RHEA"""
import subprocess
import sys

LIMIT = 120
TCG, KVM = ["-accel", "tcg"], ["-accel", "kvm"]
CASES = [  # accelerator, -cpu, lines of which each must hold one of these texts, does it start
    (TCG, "Haswell", ["TCG doesn't support requested feature: CPUID.07H:EBX.hle [bit 4]", "CPUID.07H:EBX.rtm [bit 11]"], True),
    (TCG, "Haswell,check=off", [], True),
    (TCG, "Haswell,enforce", ["enforce: TCG doesn't support requested features: CPUID.07H:EBX.hle [bit 4], CPUID.07H:EBX.rtm [bit 11]"], False),
    (TCG, "Haswell,-hle,rtm=off,enforce=on", [], True),
    (TCG, "qemu64", [], True),
    (TCG, "max,enforce", [], True),
    (TCG, "qemu64,+avx512f", ["CPUID.07H:EBX.avx512f [bit 16]"], True),
    (TCG, "qemu64,+kvmclock,enforce", ["CPUID.40000001H:EAX.kvmclock [bit 0], CPUID.40000001H:EAX.kvmclock [bit 3]"], False),
    (TCG, "qemu64,enforce=maybe", ["must be on or off"], False),
    (TCG, "host", ["needs -accel kvm"], False),
    (KVM, "host,enforce", [], True),
    (KVM, "max,enforce", [], True),
    (KVM, "host,kvm=off,-kvm_pv_eoi,check", [], True),
    (KVM, "max,+3dnow", ["host doesn't support requested feature: CPUID.80000001H:EDX.3dnow [bit 31]"], True),
    (KVM, "max,+3dnow,enforce", ["enforce: host doesn't support requested features: CPUID.80000001H:EDX.3dnow [bit 31]"], False),
]


def run(rhea, accel, cpu):
    command = [rhea, "-target", "x86_64", "-M", "pc", "-nodefaults", "-display", "none", "-monitor", "stdio", "-S", *accel, "-cpu", cpu]
    return subprocess.run(command, input="quit\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)


def main(rhea):
    bad = 0
    kvm = run(rhea, KVM, "max").returncode == 0
    if not kvm:
        print("without the cases of -accel kvm: it cannot be had here")
    for accel, cpu, texts, starts in CASES:
        if accel is KVM and not kvm:
            continue
        p = run(rhea, accel, cpu)
        lines = p.stderr.splitlines()
        good = len(lines) == len(texts) and all(text in line for text, line in zip(texts, lines)) and (p.returncode == 0) == starts
        if not good:
            bad += 1
            print(f"FAILED {accel[1]} -cpu {cpu}: status {p.returncode}, {lines}")
    return bool(bad)


sys.exit(main(sys.argv[1]))
