#!/usr/bin/env python3
"""Guests on Rhea's RISC-V machines: Debian's kernel boots, disks keep what is written to them, bare-metal tests pass.

    riscv_test.py RHEA TEST|list

RHEA may be another emulator's command ("qemu-system-riscv64 -cpu rv64"), to see that the test is right.

SPDX-License-Identifier: MIT
"""
import hashlib, os, re, shlex, shutil, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images

HERE = os.path.dirname(os.path.abspath(__file__))
SKIP = 77
DISK_MB = int(os.environ.get("RHEA_TEST_DISK_MB", "500"))


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)


def rhea(target, *args, timeout=900):
    """Run rhea to its end; return (status, output)."""
    cmd = [*EMULATOR, *([] if len(EMULATOR) > 1 else ["-target", target]), *map(str, args)]
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    return p.returncode, p.stdout.decode(errors="replace")


def expect(ok, what, output=""):
    if not ok:
        print(output[-6000:])
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}")


def boot(script, *args, modules=(), timeout=900):
    """Boot Debian's riscv64 kernel with an initramfs that loads modules and runs script."""
    held = images.lock()
    with tempfile.TemporaryDirectory() as tmp:
        ordered = images.modules("riscv64", modules)
        load = "".join(f"insmod /lib/{os.path.basename(m)}\n" for m in ordered)
        initrd = images.initramfs("riscv64", load + script, f"{tmp}/initrd", {f"lib/{os.path.basename(m)}": m for m in ordered})
        kernel = images.kernel("riscv64")
        held.close()
        return rhea("riscv64", "-M", "virt", "-nographic", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append",
                    "console=ttyS0 panic=-1", *args, timeout=timeout)


def userland(*args, cpus=1):
    status, out = boot("uname -a\necho cpus $(nproc)\ncat /proc/cpuinfo\nsleep 1\npoweroff -f\n", "-smp", cpus, "-m", "1024", *args)
    expect(re.search(r"Linux \(none\) 6\.\S+ .* riscv64 GNU/Linux", out), "uname in userland", out)
    expect(f"cpus {cpus}\r" in out, f"{cpus} processors online", out)
    expect("Oops" not in out and "BUG:" not in out, "no kernel complaint", out)
    expect(status == 0, "exit status 0", f"status {status}\n{out}")


def test_boot():
    userland()


def test_boot_smp4():
    userland(cpus=4)


def test_boot_interpreter():
    userland("-accel", "tcg,jit=off")


def test_boot_max():
    """The kernel finds the extensions that are off by default, and uses some of them."""
    status, out = boot("cat /proc/cpuinfo\npoweroff -f\n", "-smp", 2, "-m", "1024", "-cpu", "max")
    isa = re.search(r"isa\s*: (\S+)", out)
    found = isa[1].split("_") if isa else []
    expect(all(e in found for e in ["zicbom", "zicboz", "zbc", "zfh", "svpbmt"]), "the extensions in /proc/cpuinfo", out)
    expect(status == 0 and "Oops" not in out and "BUG:" not in out, "boot with -cpu max", f"status {status}\n{out}")


def test_reboot():
    status, out = boot("echo RUNNING\nreboot -f\n", "-m", "512")
    expect(status == 0 and out.count("RUNNING") == 1, "-no-reboot ends at a reset with status 0", out)


def disk(device):
    """An ext4 root: boot from it, write, sync, power off; the file system is clean and the data are there."""
    for tool in ("mkfs.ext4", "e2fsck", "debugfs"):
        if not shutil.which(tool):
            skip(f"{tool} (package e2fsprogs) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        root, image = f"{tmp}/root", f"{tmp}/disk.img"
        for d in ("bin", "proc", "sys", "dev", "tmp"):
            os.makedirs(f"{root}/{d}")
        shutil.copy(images.busybox("riscv64"), f"{root}/bin/busybox")
        with open(f"{root}/init", "w") as f:
            f.write(images.INIT.replace("/mnt", "") + f"""
dd if=/dev/urandom of=/data bs=1M count=8 2>/dev/null
for i in $(seq {DISK_MB // 8 - 1}); do dd if=/data of=/data bs=1M count=8 seek=$((i * 8)) conv=notrunc 2>/dev/null; done
dd if=/dev/urandom of=/data bs=4099 count=50 seek=777 conv=notrunc 2>/dev/null
sync
echo "SUM $(sha256sum < /data)"
mount -o remount,ro /
poweroff -f
""")
        os.chmod(f"{root}/init", 0o755)
        subprocess.run(["mkfs.ext4", "-q", "-d", root, image, f"{DISK_MB + 200}M"], check=True)
        modules = ["virtio_blk", "ext4", "crc32c_generic", *(["virtio_mmio"] if device == "virtio-blk-device" else [])]
        status, out = boot("mknod /dev/vda b 254 0 2>/dev/null\nmount -t ext4 /dev/vda /mnt && exec switch_root /mnt /init\necho NO ROOT; poweroff -f\n",
                           "-m", "1024", "-drive", f"file={image},format=raw,if=none,id=d0", "-device", f"{device},drive=d0", modules=modules)
        expect(status == 0, "exit status 0", f"status {status}\n{out}")
        got = re.search(r"SUM ([0-9a-f]{64})", out)
        expect(got, f"{DISK_MB} MB written to an ext4 root on {device}", out)
        check = subprocess.run(["e2fsck", "-fn", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(check.returncode == 0, "e2fsck -fn: clean", check.stdout)
        subprocess.run(["debugfs", "-R", f"dump /data {tmp}/data", image], check=True, capture_output=True)
        digest = hashlib.sha256(open(f"{tmp}/data", "rb").read()).hexdigest()
        expect(digest == got[1] and os.path.getsize(f"{tmp}/data") >= (DISK_MB // 8) * 8 << 20, "the checksums match", digest)


def test_disk_pci():
    disk("virtio-blk-pci")


def test_disk_mmio():
    disk("virtio-blk-device")


def test_devices():
    """rng, console and their drivers over PCI."""
    with tempfile.TemporaryDirectory() as tmp:
        status, out = boot("cat /sys/class/misc/hw_random/rng_available\ndd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c\n"
                           "echo through the console > /dev/hvc0\nls /sys/bus/pci/devices /sys/bus/virtio/devices\nsleep 1\npoweroff -f\n",
                           "-m", "512", "-device", "virtio-rng-pci", "-chardev", f"file,id=c0,path={tmp}/out", "-device", "virtio-serial-pci",
                           "-device", "virtconsole,chardev=c0", modules=["virtio-rng"])
        expect(status == 0 and "virtio_rng" in out and "\n256\r" in out, "virtio-rng", f"status {status}\n{out}")
        expect(open(f"{tmp}/out").read().startswith("through the console"), "virtconsole", out)


def metal(xlen, want, *args, define=()):
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        abi = {64: ["-march=rv64gc", "-mabi=lp64d"], 32: ["-march=rv32gc", "-mabi=ilp32d"]}[xlen]
        subprocess.run([cc, *abi, *"-mcmodel=medany -O2 -Wall -Wextra -fno-strict-aliasing -nostdlib -nostartfiles -static -ffreestanding "
                        "-fno-pic -fno-stack-protector -Wl,--build-id=none -Wl,--no-warn-rwx-segments".split(), f"-DEXIT={want}", f"-DREFERENCE={int(len(EMULATOR) > 1)}", *define,
                        f"-T{HERE}/metal/link.ld", f"{HERE}/metal/start.S", f"{HERE}/metal/metal.c", "-o", f"{tmp}/metal.elf"], check=True)
        status, out = rhea(f"riscv{xlen}", "-M", "virt", "-smp", "2", "-bios", "none", "-kernel", f"{tmp}/metal.elf", "-nographic",
                           "-monitor", "none", "-serial", "stdio", *args, timeout=300)
        expect("all passed" in out and status == want, f"bare-metal RV{xlen} {' '.join(args)}: exit status {want} through the finisher",
               f"status {status}\n{out}")


def test_metal64():
    metal(64, 0)


def test_metal64_interpreter():
    metal(64, 3, "-accel", "tcg,jit=off")


def test_metal32():
    metal(32, 42)


def test_metal32_interpreter():
    metal(32, 42, "-accel", "tcg,jit=off")


def test_metal64_max():
    metal(64, 5, "-cpu", "max", define=["-DEXTENSIONS"])
    metal(64, 5, "-cpu", "max", "-accel", "tcg,jit=off", define=["-DEXTENSIONS"])


def test_metal32_max():
    metal(32, 5, "-cpu", "max", define=["-DEXTENSIONS"])
    metal(32, 5, "-cpu", "max", "-accel", "tcg,jit=off", define=["-DEXTENSIONS"])


def main():
    global EMULATOR
    tests = {n[5:]: f for n, f in globals().items() if n.startswith("test_")}
    if len(sys.argv) < 3 or sys.argv[2] not in tests:
        print(*tests, sep="\n")
        sys.exit(len(sys.argv) < 3 or sys.argv[2] != "list")
    EMULATOR = shlex.split(sys.argv[1])
    tests[sys.argv[2]]()


if __name__ == "__main__":
    main()
