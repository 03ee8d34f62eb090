#!/usr/bin/env python3
"""Guests on Rhea's RISC-V machines: Debian's kernel boots, disks keep what is written to them, bare-metal tests pass.

    riscv_test.py RHEA TEST|list

RHEA may be another emulator's command ("qemu-system-riscv64 -cpu rv64"), to see that the test is right.

SPDX-License-Identifier: MIT
"""
import hashlib, os, re, select, shlex, shutil, signal, subprocess, sys, tempfile, time

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


def linux(script, modules, tmp):
    """Options that boot Debian's riscv64 kernel with an initramfs (made in tmp) that loads modules and runs script."""
    with images.lock():
        ordered = images.modules("riscv64", modules)
        load = "".join(f"insmod /lib/{os.path.basename(m)}\n" for m in ordered)
        initrd = images.initramfs("riscv64", load + script, f"{tmp}/initrd", {f"lib/{os.path.basename(m)}": m for m in ordered})
        return ["-M", "virt", "-no-reboot", "-kernel", images.kernel("riscv64"), "-initrd", initrd, "-append", "console=ttyS0 panic=-1"]


def boot(script, *args, modules=(), timeout=900):
    """Boot Debian's riscv64 kernel with an initramfs that loads modules and runs script."""
    with tempfile.TemporaryDirectory() as tmp:
        return rhea("riscv64", *linux(script, modules, tmp), "-nographic", *args, timeout=timeout)


class Session:
    """A running emulator whose output is read as it comes."""

    def __init__(self, *args):
        self.process = subprocess.Popen([*EMULATOR, "-target", "riscv64", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.seen, self.place = b"", 0

    def wait_for(self, text, seconds=120):
        """Read on until text comes, after what earlier calls waited for; fail if it does not."""
        limit, text = time.monotonic() + seconds, text.encode()
        while (at := self.seen.find(text, self.place)) < 0:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, limit - time.monotonic()))
            got = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            self.seen += got
            if not got:
                self.process.kill()
                expect(False, f"{text} in the output", self.seen.decode(errors="replace"))
        self.place = at + len(text)

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self):
        self.seen += self.process.communicate(timeout=60)[0]
        return self.process.returncode, self.seen.decode(errors="replace")


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


def test_end_by_signal():
    """A signal while the guest writes: what it had written is in the image, the pidfile is gone, the status is 0."""
    mark = b"written before the signal"
    script = f"""echo '{mark.decode()}' | dd of=/dev/vda bs=512 seek=8 conv=sync oflag=direct 2>/dev/null
echo WRITTEN
while true; do dd if=/dev/urandom of=/dev/vda bs=64k count=100 seek=1 oflag=direct 2>/dev/null; done
"""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with tempfile.TemporaryDirectory() as tmp:
            with open(f"{tmp}/disk", "wb") as f:
                f.truncate(16 << 20)
            s = Session(*linux(script, ["virtio_blk"], tmp), "-m", 512, "-nographic", "-drive", f"file={tmp}/disk,format=raw,if=virtio",
                        "-pidfile", f"{tmp}/pid")
            s.wait_for("WRITTEN\r")
            time.sleep(0.3)
            s.process.send_signal(number)
            status, out = s.end()
            expect(status == 0 and f"terminating on signal {int(number)}" in out, f"{number.name} ends it with status 0", f"status {status}\n{out}")
            expect(not os.path.exists(f"{tmp}/pid"), "the pidfile is gone")
            with open(f"{tmp}/disk", "rb") as f:
                f.seek(8 * 512)
                expect(f.read(len(mark)) == mark, "what was written is there")


def test_monitor():
    """Ctrl-A c and the commands on a running Linux."""
    commands = [("info status", "VM status: running"), ("info cpus", "CPU #1: pc="), ("info registers", "satp"), ("info mem", "vaddr"),
                ("info mtree", "riscv_virt.ram"), ("info qtree", 'dev: virtio-blk-pci, id "disk0"'), ("info jit", "units translated"),
                ("info irq", "riscv.sifive.plic"), ("info version", "\n"), ("info block", "d0: raw on file, 1048576 bytes"), ("stop", ""),
                ("info status", "VM status: paused"), ("xp /2xw 0x1000", "0000000000001000: 0x00000297 0x"), ("x /4xg $sp", ": 0x"),
                ("xp /2i 0x1000", "00000297  auipc      t0, 0x0"), ("x /3i $pc", "0x"),
                ("print /x 0x10 * (1 + 2)", "0x30"), ("x 0x10", "cannot access memory"), ("nonsense", "unknown command"),
                ("help", "system_powerdown"), ("cont", "")]
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/disk", "wb") as f:
            f.truncate(1 << 20)
        s = Session(*linux("echo READY; read line; echo GOT $line; sleep 1000\n", [], tmp), "-m", 512, "-smp", 2, "-nographic", "-drive",
                    f"file={tmp}/disk,format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0,id=disk0")
        s.wait_for("READY\r")
        s.send("\1c")
        s.wait_for("(rhea) ")
        for command, wanted in commands:
            s.send(command + "\r")
            s.wait_for("\n")
            s.wait_for(wanted)
            s.wait_for("(rhea) ")
        s.send("\1cto the console\r")
        s.wait_for("GOT to the console")
        s.send("\1csystem_reset\r")  # -no-reboot: it leaves
        status, out = s.end()
        expect(status == 0, f"{len(commands)} commands of the monitor; system_reset with -no-reboot leaves with status 0", f"status {status}\n{out}")


def metal(xlen, want, *args, source="metal", v=""):
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        abi = {64: ["-march=rv64gc" + v, "-mabi=lp64d"], 32: ["-march=rv32gc" + v, "-mabi=ilp32d"]}[xlen]
        subprocess.run([cc, *abi, *"-mcmodel=medany -O2 -Wall -Wextra -fno-strict-aliasing -nostdlib -nostartfiles -static -ffreestanding "
                        "-fno-pic -fno-stack-protector -Wl,--build-id=none -Wl,--no-warn-rwx-segments".split(), f"-DEXIT={want}", f"-DREFERENCE={int(len(EMULATOR) > 1)}",
                        f"-T{HERE}/metal/link.ld", f"{HERE}/metal/start.S", f"{HERE}/metal/{source}.c", "-o", f"{tmp}/metal.elf"], check=True)
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


def test_metal_vector():
    for xlen in (64, 32):
        for executor in ("tcg", "tcg,jit=off"):
            metal(xlen, 0, "-m", "128", "-cpu", f"rv{xlen},v=on", "-accel", executor, source="vector", v="v")


def vector_program(*args):
    """A program with vectors in Linux, several processes on one CPU."""
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([cc, "-march=rv64gcv", "-mabi=lp64d", "-O2", "-Wall", "-Wextra", "-ffp-contract=off", "-static",
                        f"{HERE}/vector/vector.c", "-o", f"{tmp}/vector", "-lm"], check=True)
        with images.lock():
            initrd = images.initramfs("riscv64", "grep isa /proc/cpuinfo\n/bin/vector\npoweroff -f\n", f"{tmp}/initrd", {"bin/vector": f"{tmp}/vector"})
            options = ["-M", "virt", "-no-reboot", "-kernel", images.kernel("riscv64"), "-initrd", initrd, "-append", "console=ttyS0 panic=-1"]
        status, out = rhea("riscv64", *options, "-m", "512", "-nographic", *args)
        expect(status == 0 and "vectors: all right" in out, f"vectors in Linux: {' '.join(args)}", f"status {status}\n{out}")


def test_vector():
    vector_program("-cpu", "rv64,v=on")
    vector_program("-cpu", "rv64,v=on,vlen=512", "-smp", "2")


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
