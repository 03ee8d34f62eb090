#!/usr/bin/env python3
"""A whole Debian amd64 on Rhea's PCs, started as a newcomer does, from its disk.

    x86_debian_test.py RHEA TEST|list

RHEA may also be another emulator's command, to see that the test is right. Part of the test run is `debian`; the others take
long: `boots` (drives, firmware, processors), `selftests` ($RHEA_PYTHON_TESTS: which of python's) and `stress`
($RHEA_STRESS_SECONDS, 600 if not said).

SPDX-License-Identifier: MIT
"""
import os, shutil, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian, session
from session import EMULATOR, expect, free_port, skip
from x86_test import OVMF

SSH = "ssh -q -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 -p".split()
# What a kernel says when it finds the machine or its drivers wrong.
COMPLAINTS = r"BUG:|WARNING:|Oops|Call Trace|unchecked MSR|soft lockup|detected stalls|I/O error|timed out|exception Emask"


def start(*args):
    return session.Session([*EMULATOR, *([] if len(EMULATOR) > 1 else ["-target", "x86_64"]), "-m", 2048, "-nographic", "-no-reboot", *args])


def copy_of_disk(tmp):
    disk = f"{tmp}/disk.img"
    subprocess.run(["cp", "--sparse=always", debian.x86_64_disk(start), disk], check=True)
    return disk


def content(s):
    """systemd has started all it wants; the kernel has nothing to complain of."""
    debian.check(s, "the kernel's notices are silenced", "dmesg -n 1")
    debian.check(s, *debian.CONTENT)
    no_complaints(s)


def no_complaints(s):
    debian.check(s, "the kernel does not complain", f"! dmesg | grep -E '{COMPLAINTS}'")


def ssh(port, command, data=b""):
    """Run a command in the guest with these bytes as its input; returns its output."""
    p = subprocess.run([*SSH, str(port), command], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900)
    expect(p.returncode == 0, f"ssh: {command}", p.stdout.decode(errors="replace"))
    return p.stdout


# ---- in the test run ----

def test_debian():
    """`-hda disk.img`: SeaBIOS, GRUB, the default network card. Files go both ways by ssh, one is read back from the powered-off disk."""
    debian.need(("ssh", "openssh-client"))
    with tempfile.TemporaryDirectory() as tmp, debian.repository("x86_64") as url:
        disk, port, data = copy_of_disk(tmp), free_port(), os.urandom(5_000_003)
        s = start("-hda", disk, "-smp", 2, "-nic", f"user,hostfwd=tcp:127.0.0.1:{port}-:22")
        s.wait_for("GNU GRUB")
        debian.login(s)
        content(s)
        for what, command in [*debian.network_checks(url), debian.stress(cpu=60, fp=40, vecmath=40, atomic=40, str=40), *debian.SELF_CHECKS,
                              ("gcc's program", "echo 'int main(void) { volatile double x = 6; return x * 7 != 42; }' > /tmp/a.c && gcc -O2 /tmp/a.c -o /tmp/a && /tmp/a"),
                              ("perl's arithmetic", "perl -e '$s += $_ ** 3 for 1 .. 1000; exit($s != 250500250000)'")]:
            debian.check(s, what, command)
        ssh(port, "cat > /root/file && sync", data)
        expect(ssh(port, "cat /root/file") == data, "a file to the guest and back by ssh")
        no_complaints(s)
        debian.power_off(s, disk)
        subprocess.run(["debugfs", "-R", f"dump /root/file {tmp}/file", f"{disk}?offset={1 + debian.ESP_MB << 20}"], check=True, capture_output=True)
        with open(f"{tmp}/file", "rb") as f:
            expect(f.read() == data, "it is on the disk")


# ---- drives, firmware, processors ----

def seabios(tmp):
    return []


def ovmf(tmp):
    if not all(map(os.path.exists, OVMF)):
        skip("Debian's package ovmf is not installed")
    shutil.copyfile(OVMF[1], f"{tmp}/vars.fd")  # afresh: one that knows the drives of another PC has the shell before what is new
    return ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF[0]}", "-drive", f"if=pflash,format=raw,file={tmp}/vars.fd"]


def direct(tmp):
    """The disk's kernel and initrd, started without firmware."""
    if not os.path.exists(f"{tmp}/vmlinuz"):
        at = f"{debian.x86_64_disk(start)}?offset={1 + debian.ESP_MB << 20}"
        names = subprocess.run(["debugfs", "-R", "ls -p /boot", at], check=True, capture_output=True, text=True).stdout.split("/")
        for name in "vmlinuz", "initrd.img":
            [full] = {n for n in names if n.startswith(f"{name}-")}
            subprocess.run(["debugfs", "-R", f"dump /boot/{full} {tmp}/{name}", at], check=True, capture_output=True)
    return ["-kernel", f"{tmp}/vmlinuz", "-initrd", f"{tmp}/initrd.img", "-append", f"{debian.X86_64_OPTIONS} root=LABEL=root ro"]


# (how it starts, machine, drive, processors)
BOOTS = [(seabios, "pc", "hda", 1), (seabios, "pc", "virtio", 2), (seabios, "q35", "hda", 4), (seabios, "q35", "virtio", 1), (ovmf, "pc", "hda", 2),
         (ovmf, "q35", "hda", 1), (ovmf, "q35", "virtio", 4), (direct, "pc", "hda", 4), (direct, "pc", "virtio", 1), (direct, "q35", "hda", 2),
         (direct, "q35", "virtio", 2)]


def boot_to_login(how, machine, drive, cpus, tmp):
    disk, name = copy_of_disk(tmp), f"{how.__name__}, {machine}, {drive}, {cpus} CPUs"
    began = time.monotonic()
    s = start("-M", machine, "-smp", cpus, *how(tmp), *(["-hda", disk] if drive == "hda" else ["-drive", f"if=virtio,format=raw,file={disk}"]))
    if how is not direct:
        s.wait_for("GNU GRUB", 1800)
    debian.login(s)
    print(f"{name}: login after {time.monotonic() - began:.0f} s", flush=True)
    content(s)
    debian.check(s, f"{cpus} CPUs", f"[ $(nproc) = {cpus} ]")
    debian.check(s, "the firmware", f"{'' if how is ovmf else '! '}[ -d /sys/firmware/efi ]")
    debian.check(s, "the root", f"findmnt -no SOURCE / | grep {'/dev/sda2' if drive == 'hda' else '/dev/vda2'}")
    debian.power_off(s, disk)


def test_boots():
    with tempfile.TemporaryDirectory() as tmp:
        for boot in BOOTS:
            boot_to_login(*boot, tmp)


# ---- self-tests ----

CPU = ["-cpu", "max"]  # all the instructions there are

# The image has neither; tests of sockets look them up.
NAMES = "echo 127.0.0.1 localhost > /etc/hosts; for s in daytime:13 domain:53 http:80; do for p in tcp udp; do echo ${s%:*} ${s#*:}/$p; done; done > /etc/services"
PYTHON_TESTS = """test_array test_binascii test_builtin test_bytes test_bz2 test_cmath test_complex test_ctypes test_datetime test_decimal test_dict test_float
test_fractions test_gzip test_hashlib test_hmac test_int test_json test_list test_long test_lzma test_math test_memoryview test_mmap test_pickle test_pow
test_random test_re test_set test_signal test_socket test_sort test_statistics test_strtod test_struct test_subprocess test_thread test_threading test_time
test_unicode test_zlib"""
# Each option's program has to print what -O0's prints.
GCC_PROGRAM = r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
static uint32_t seed = 1;
static uint32_t next(void) { return seed = seed * 1664525u + 1013904223u; }
int main(void)
{
    static double a[64][64], b[64][64], c[64][64];
    static float f[1000];
    static uint32_t u[4099]; static int16_t h[4099]; static uint8_t t[4099];
    uint64_t sum = 0; double d = 0; long double l = 0;
    for (int i = 0; i < 64; i++) for (int j = 0; j < 64; j++) a[i][j] = next() / 65536.0 - 3e4, b[i][j] = next() * 1e-7;
    for (int i = 0; i < 64; i++) for (int j = 0; j < 64; j++) for (int k = 0; k < 64; k++) c[i][j] += a[i][k] * b[k][j];
    for (int i = 0; i < 64; i++) d += sqrt(fabs(c[i][63 - i])) / (i + 0.5), l += (long double)c[i][i] / 3;
    for (int i = 0; i < 1000; i++) f[i] = (float)(int32_t)next() / 3.0f, d += (int)f[i] + floor(f[i] * 1e-3) + rint(f[i]);
    for (int i = 0; i < 4099; i++) u[i] = next() >> (i & 31), h[i] = next(), t[i] = next();
    for (int r = 0; r < 9; r++) for (int i = 0; i < 4099; i++) {
        u[i] = (u[i] ^ u[i] >> 7) * 2654435761u + (u[i] << (r + 1) | u[i] >> (31 - r)), h[i] = h[i] * 3 + (h[i] > t[i] ? h[i] : -t[i]);
        t[i] = t[i] > 200 ? 255 : t[i] + 55; sum += __builtin_popcount(u[i]) + __builtin_clz(u[i] | 1) * (__builtin_ctz(u[i] | 1u << 30) + 1) + (h[i] < 0);
    }
    for (int i = 0; i < 4099; i++) sum = sum * 31 + u[i] + h[i] + t[i];
    t[4098] = 0;
    printf("%llx %.17g %.20Lg %zu\n", (unsigned long long)sum, d, l, strlen((char *)memset(t, 'x', 4098)));
    return 0;
}
"""
GCC_OPTIONS = ["-O1", "-O2", "-O3", "-Os", "-O2 -march=native", "-O3 -march=native", "-O3 -march=native -mprefer-vector-width=128", "-O3 -mavx2", "-O3 -msse4.2",
               "-O3 -mavx2 -flto"]
OPENSSL = ["openssl list -digest-algorithms -cipher-algorithms > /dev/null", "printf abc | openssl dgst -sha1 | grep a9993e364706816aba3e25717850c26c9cd0d89d",
           "printf abc | openssl dgst -sha256 | grep ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
           "printf abc | openssl dgst -sha512 | grep ddaf35a193617abacc417349ae204131",
           "printf abc | openssl dgst -sha3-256 | grep 3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
           # FIPS 197, appendix C: AES-128, -256
           "perl -e 'print map chr($_ * 17), 0 .. 15' | openssl enc -aes-128-ecb -nopad -K 000102030405060708090a0b0c0d0e0f | od -An -tx1 | tr -d ' ' | "
           "grep 69c4e0d86a7b0430d8cdb78070b4c55a",
           "perl -e 'print map chr($_ * 17), 0 .. 15' | openssl enc -aes-256-ecb -nopad -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f | "
           "od -An -tx1 | tr -d ' ' | grep 8ea2b7ca516745bfeafc49904b496089",
           "openssl speed -seconds 1 -bytes 1024 sha256 aes-128-cbc > /dev/null", "openssl speed -seconds 1 -evp aes-256-gcm > /dev/null",
           "for c in prime256v1 secp384r1; do openssl ecparam -name $c -genkey -noout -out k && openssl ec -in k -pubout -out p && openssl dgst -sha256 -sign k -out s "
           "/bin/ls && openssl dgst -sha256 -verify p -signature s /bin/ls || exit 1; done",
           "for c in ed25519 x448 ed448; do openssl genpkey -algorithm $c -out k && openssl pkey -in k -check -noout || exit 1; done",
           "openssl prime 170141183460469231731687303715884105727 | grep 'is prime'"]
# OPENSSL_ia32cap: all; without AES-NI and PCLMUL; without AVX; without SHA; without AVX2 and SHA. What they work out has to be the same.
OPENSSL_PATHS = ["", "~0x200000200000000", "~0x1000000000000000", ":~0x20000000", ":~0x20000020"]
PACKERS = ["zstd -1", "zstd -9", "zstd -19 --long=27", "zstd --ultra -22", "zstd -T2 -5", "zstd --fast=5", "xz -6", "xz -T2 -1", "gzip -9", "bzip2"]


def gcc_commands():
    yield "gcc -O0", "gcc -w -O0 -ffp-contract=off a.c -lm -o a0 && ./a0 > want && cat want"
    for options in GCC_OPTIONS:
        yield f"gcc {options}", f"gcc -w {options} -ffp-contract=off a.c -lm -o a && ./a | diff want -"


def selftest_commands():
    yield from gcc_commands()
    for command in OPENSSL:
        yield f"openssl: {command[:60]}", command
    for path in OPENSSL_PATHS:
        yield (f"openssl's sums with OPENSSL_ia32cap={path}", f"{f'export OPENSSL_ia32cap={path}; ' if path else ''}"
               "(for a in md5 sha1 sha224 sha256 sha512 sha3-512 blake2b512; do openssl dgst -$a data; done; "
               "for a in aes-128-cbc aes-256-ctr chacha20 camellia-192-cbc aria-128-ctr; do openssl enc -$a -pbkdf2 -k a -S 0102030405060708 -in data | cksum; done) "
               "> sums; [ -e sums0 ] || cp sums sums0; grep -c . sums && diff sums0 sums")
    for packer in PACKERS:
        unpack = "zstd --long=27" if packer.startswith("zstd") else packer.split()[0]
        yield f"{packer}'s round trip", f"{packer} -c < data > packed && {unpack} -t < packed && {unpack} -dc < packed | cmp - data"
    yield "zstd's benchmark with its checks", "zstd -b1 -e7 -i1 data"
    yield "names", NAMES
    for name in os.environ.get("RHEA_PYTHON_TESTS", PYTHON_TESTS).split():
        yield f"python3 -m test {name}", f"python3 -m test --timeout 3000 {name}"


def test_selftests():
    with tempfile.TemporaryDirectory() as tmp:
        disk, port = copy_of_disk(tmp), free_port()
        s = start("-drive", f"if=virtio,format=raw,file={disk}", "-smp", 2, *CPU, "-nic", f"user,hostfwd=tcp:127.0.0.1:{port}-:22",
                  "-m", 4096)  # zstd --ultra -22 asks for more than 2 GiB, which Linux does not promise where there is not that much
        debian.login(s)
        content(s)
        ssh(port, "cat > a.c; cat /usr/bin/perl > data", GCC_PROGRAM.encode())
        for what, command in selftest_commands():
            began = time.monotonic()
            debian.check(s, what, f"({command})", 3600)
            print(f"    {time.monotonic() - began:.0f} s", flush=True)
        no_complaints(s)
        debian.power_off(s, disk)


# ---- stress-ng ----

# Where a stressor has methods it goes through all of them.
STRESSORS = """cpu fp vecmath vecfp vecwide vecshuf atomic matrix matrix-3d str wcs memcpy memthrash funccall longjmp stack qsort heapsort radixsort crypt
hash goto branch mutex futex sem pipe fork clone mmap mremap madvise tsc rdrand cacheline membarrier switch signal timer poll zlib""".split()


def test_stress():
    """All groups in turn, two of each at a time, then vm with all its methods, until the time is over."""
    seconds = int(os.environ.get("RHEA_STRESS_SECONDS", "600"))
    part = max(2, seconds // (len(STRESSORS) + 4))
    with tempfile.TemporaryDirectory() as tmp:
        disk = copy_of_disk(tmp)
        s = start("-hda", disk, "-smp", 2, *CPU)
        debian.login(s)
        content(s)
        for name in STRESSORS:
            debian.check(s, f"stress-ng --verify --{name}", f"stress-ng --verify --{name} 2 --timeout {part}", part + 3600)
        debian.check(s, "stress-ng --verify --vm", f"stress-ng --verify --vm 2 --vm-bytes 64M --vm-method all --timeout {part * 4}", part * 4 + 3600)
        no_complaints(s)
        debian.power_off(s, disk)


if __name__ == "__main__":
    session.main(session.named(globals()), __doc__)
