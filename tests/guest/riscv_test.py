#!/usr/bin/env python3
"""Guests on Rhea's RISC-V machines: Debian's kernel boots, disks keep what is written to them, bare-metal tests pass.

    riscv_test.py RHEA TEST|list

RHEA may be another emulator's command ("qemu-system-riscv64 -cpu rv64"), to see that the test is right.

SPDX-License-Identifier: MIT
"""
import hashlib, http.server, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time, urllib.request, zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian, images, session
from fixtures import KERNEL_OPTIONS, nested_tree
from session import EMULATOR, expect, free_port, skip

HERE = os.path.dirname(os.path.abspath(__file__))
DISK_MB = int(os.environ.get("RHEA_TEST_DISK_MB", "500"))
# What a guest's script begins with: the kernel's notices would come in the middle of what the script prints; errors, oopses and BUGs are
# still shown at once, warnings at the end. What is in the tty's buffer when the machine goes off would be lost.
QUIET = """dmesg -n 4
leave() { dmesg | grep -E 'WARNING:|BUG:|Oops'; stty cs8; }
poweroff() { leave; /bin/poweroff "$@"; }
reboot() { leave; /bin/reboot "$@"; }
"""


def rhea(target, *args, timeout=1800):
    """Run rhea to its end; return (status, output)."""
    cmd = [*EMULATOR, *([] if len(EMULATOR) > 1 else ["-target", target]), *map(str, args)]
    try:
        p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    except subprocess.TimeoutExpired as e:
        expect(False, f"it ends within {timeout} s", (e.stdout or b"").decode(errors="replace"))
    return p.returncode, p.stdout.decode(errors="replace")


def linux(script, modules, tmp):
    """Options that boot Debian's riscv64 kernel with an initramfs (made in tmp) that loads modules and runs script."""
    with images.lock():
        ordered = images.modules("riscv64", modules)
        load = "".join(f"insmod /lib/{os.path.basename(m)}\n" for m in ordered)
        initrd = images.initramfs("riscv64", QUIET + load + script, f"{tmp}/initrd", {f"lib/{os.path.basename(m)}": m for m in ordered})
        return ["-M", "virt", "-no-reboot", "-kernel", images.kernel("riscv64"), "-initrd", initrd, "-append", KERNEL_OPTIONS]


def boot(script, *args, modules=(), timeout=1800):
    """Boot Debian's riscv64 kernel with an initramfs that loads modules and runs script."""
    with tempfile.TemporaryDirectory() as tmp:
        return rhea("riscv64", *linux(script, modules, tmp), "-nographic", *args, timeout=timeout)


class Session(session.Session):
    """A running emulator whose output is read as it comes."""

    def __init__(self, *args):
        super().__init__([*EMULATOR, "-target", "riscv64", *args])


def userland(*args, cpus=1):
    status, out = boot("uname -a\necho cpus $(nproc)\ncat /proc/cpuinfo\npoweroff -f\n", "-smp", cpus, "-m", "1024", *args)
    expect(re.search(r"Linux \(none\) 6\.\S+ .* riscv64 GNU/Linux", out), "uname in userland", out)
    expect(f"cpus {cpus}\r" in out, f"{cpus} processors online", out)
    expect("Oops" not in out and "BUG:" not in out, "no kernel complaint", out)
    expect(status == 0, "exit status 0", f"status {status}\n{out}")


def test_boot():
    userland()


def test_boot_smp4():
    userland(cpus=4)


def test_boot_evict():
    """Four CPUs share a code cache that holds a small part of what they run: right results, code goes and comes back."""
    work = """for i in 1 2 3 4; do
(gzip -c /bin/busybox | gunzip | sha256sum; seq 1 100 | sed s/7/x/ | sort -r | md5sum; awk 'BEGIN { for (i = 0; i < 300; i++) s += i % 7; print s }';
find /proc/self /bin | wc -l; expr 3 '*' 5; dd if=/bin/busybox bs=4096 2>/dev/null | cksum) | grep -v '^[0-9]*$' > /tmp/out$i & done; wait
for i in 1 2 3 4; do echo SUM $(md5sum < /tmp/out$i); done
echo READY; read line; poweroff -f
"""
    with tempfile.TemporaryDirectory() as tmp:
        s = Session(*linux(work, [], tmp), "-m", 512, "-smp", 4, "-nographic", "-accel", "tcg,tb-size=6")
        s.wait_for("READY\r", 1800)
        s.send("\1c")
        s.wait_for("(rhea) ")
        s.send("info jit\r")
        s.wait_for("messages from other CPUs")
        s.send("\1cgo on\r")
        status, out = s.end()
    count = lambda text: int(re.search(rf"(\d+) {text}", out)[1])
    sums = re.findall(r"SUM (\w{32})", out)
    expect(status == 0 and len(sums) == 4 and len(set(sums)) == 1 and "Oops" not in out and "BUG:" not in out, "four equal sums", out)
    expect(count("chunks of the cache evicted") > 100 and count("units translated again") > 1000, "chunks were evicted, code came back", out)


def test_boot_interpreter():
    userland("-accel", "tcg,jit=off")


def test_boot_max():
    """The kernel finds the extensions that are off by default, and uses some of them."""
    status, out = boot("cat /proc/cpuinfo\npoweroff -f\n", "-smp", 2, "-m", "1024", "-cpu", "max")
    isa = re.search(r"isa\s*: (\S+)", out)
    found = isa[1].split("_") if isa else []
    expect(all(e in found for e in ["zicbom", "zicboz", "zbc", "zfh", "svpbmt"]), "the extensions in /proc/cpuinfo", out)
    expect(status == 0 and "Oops" not in out and "BUG:" not in out, "boot with -cpu max", f"status {status}\n{out}")


def test_boot_models():
    """Profiles and cores: no Svadu or Sstc, Sv39 and Sv48 only, identification that the kernel has errata for."""
    for cpu in ("rva22s64", "rva23s64", "sifive-u54", "thead-c906", "veyron-v1", "max,svade=on"):
        status, out = boot("cat /proc/cpuinfo\npoweroff -f\n", "-m", "512", "-cpu", cpu)
        expect(status == 0 and "isa\t\t: rv64imafdc" in out and "Oops" not in out and "BUG:" not in out, f"boot with -cpu {cpu}", f"status {status}\n{out}")


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
            f.write(images.INIT.replace("/mnt", "") + QUIET + f"""
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
        modules = ["ext4", "crc32c_generic", *{"virtio-blk-device": ["virtio_blk", "virtio_mmio"], "ide-hd": ["ahci", "sd_mod"]}.get(device, ["virtio_blk"])]
        name, place = ("sda", ["-device", "ich9-ahci"]) if device == "ide-hd" else ("vda", [])
        status, out = boot(f"mknod /dev/vda b 254 0 2>/dev/null\nfor i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/{name} ] || sleep 1; done\n"
                           f"mount -t ext4 /dev/{name} /mnt && exec switch_root /mnt /init\necho NO ROOT; poweroff -f\n",
                           "-m", "1024", "-drive", f"file={image},format=raw,if=none,id=d0", *place, "-device", f"{device},drive=d0", modules=modules)
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


def test_disk_ahci():
    disk("ide-hd")


def test_ahci():
    """A disk whose free space goes back to the host (TRIM) and an ISO 9660 disc, with interrupts by MSI."""
    for tool, package in ("mkfs.ext4", "e2fsprogs"), ("genisoimage", "genisoimage"):
        if not shutil.which(tool):
            skip(f"{tool} (package {package}) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(["mkfs.ext4", "-q", f"{tmp}/disk", "64M"], check=True)
        os.makedirs(f"{tmp}/tree/folder")
        data = os.urandom(5_000_001)
        with open(f"{tmp}/tree/folder/file", "wb") as f:
            f.write(data)
        subprocess.run(["genisoimage", "-quiet", "-r", "-J", "-o", f"{tmp}/iso", f"{tmp}/tree"], check=True)
        script = """for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sda -a -b /dev/sr0 ] || sleep 1; done
mount -t ext4 /dev/sda /mnt; dd if=/dev/urandom of=/mnt/a bs=1M count=30 2>/dev/null; sync; rm /mnt/a; sync; fstrim /mnt; umount /mnt
echo DEPTH $(cat /sys/block/sda/device/queue_depth)
mount -t iso9660 -o ro /dev/sr0 /mnt; echo SUM $(sha256sum < /mnt/folder/file); umount /mnt
grep ahci /proc/interrupts
poweroff -f
"""
        status, out = boot(script, "-M", "virt,aia=aplic-imsic", "-m", 512, "-smp", 2, "-drive", f"file={tmp}/disk,format=raw,if=none,id=d0,discard=unmap",
                           "-drive", f"file={tmp}/iso,format=raw,if=none,id=c0,media=cdrom", "-device", "ich9-ahci", "-device", "ide-hd,drive=d0",
                           "-device", "ide-cd,drive=c0", modules=["ahci", "sd_mod", "sr_mod", "isofs", "ext4", "crc32c_generic"])
        expect(status == 0 and "SUM " + hashlib.sha256(data).hexdigest() in out, "a file of the disc", out)
        expect("DEPTH 32\r" in out and re.search(r"PCI-MSI\S*\s+\d+ Edge\s+ahci", out), "queued commands, interrupts by MSI", out)
        expect(os.stat(f"{tmp}/disk").st_blocks * 512 < 20 << 20, "trimmed space is the host's again", out)
        check = subprocess.run(["e2fsck", "-fn", f"{tmp}/disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(check.returncode == 0, "e2fsck -fn: clean", check.stdout)


def test_cdrom():
    """A disc by sr_mod over AHCI; the guest hears that the monitor put another one in."""
    with tempfile.TemporaryDirectory() as tmp:
        discs = [os.urandom(6 << 20), os.urandom(3 << 20)]
        for n, data in enumerate(discs):
            with open(f"{tmp}/disc{n}", "wb") as f:
                f.write(data)
        script = """for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sr0 ] || sleep 1; done
echo SUM $(sha256sum < /dev/sr0)
echo READY; read line
for i in 1 2 3 4 5; do dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null && break; sleep 1; done
echo SUM $(sha256sum < /dev/sr0)
poweroff -f
"""
        s = Session(*linux(script, ["ahci", "sr_mod"], tmp), "-m", 512, "-nographic", "-drive", f"file={tmp}/disc0,format=raw,if=none,id=cd0,media=cdrom",
                    "-device", "ich9-ahci,id=ahci", "-device", "ide-cd,drive=cd0,bus=ahci.2")
        s.wait_for("READY\r")
        s.send("\1c")
        s.wait_for("(rhea) ")
        s.send(f"change cd0 {tmp}/disc1 raw\r")
        s.wait_for("(rhea) ")
        s.send("info block\r")
        s.wait_for("cd0: raw on file, 3145728 bytes, read-only")
        s.send("\1cgo on\r")
        status, out = s.end()
    sums = re.findall(r"SUM ([0-9a-f]{64})", out)
    expect(status == 0 and sums == [hashlib.sha256(d).hexdigest() for d in discs], "both discs read right", out)


def test_devices():
    """rng, console and their drivers over PCI."""
    with tempfile.TemporaryDirectory() as tmp:
        status, out = boot("cat /sys/class/misc/hw_random/rng_available\ndd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c\n"
                           "echo through the console > /dev/hvc0\nls /sys/bus/pci/devices /sys/bus/virtio/devices\nsleep 1\npoweroff -f\n",
                           "-m", "512", "-object", "rng-random,id=r0", "-device", "virtio-rng,rng=r0,max-bytes=4096,period=100", "-chardev", f"file,id=c0,path={tmp}/out", "-device", "virtio-serial-pci",
                           "-device", "virtconsole,chardev=c0", modules=["virtio-rng"])
        expect(status == 0 and "virtio_rng" in out and "\n256\r" in out, "virtio-rng", f"status {status}\n{out}")
        expect(open(f"{tmp}/out").read().startswith("through the console"), "virtconsole", out)


def display(device):
    """Linux' bochs-drm on a display device: what the guest writes to the framebuffer is what screendump shows, in both formats."""
    with tempfile.TemporaryDirectory() as tmp:
        pattern = os.urandom(1280 * 4 * 16)
        with open(f"{tmp}/pattern", "wb") as f:
            f.write(pattern)
        with images.lock():
            ordered = images.modules("riscv64", ["bochs"])
            files = {f"lib/{os.path.basename(m)}": m for m in ordered} | {"lib/pattern": f"{tmp}/pattern"}
            load = "".join(f"insmod /lib/{os.path.basename(m)}\n" for m in ordered)
            initrd = images.initramfs("riscv64", load + """echo 0 > /sys/class/graphics/fbcon/cursor_blink; printf '\\033[?25l\\033[2J' > /dev/tty0
echo SIZE $(cat /sys/class/graphics/fb0/virtual_size) EDID $(cat /sys/class/drm/*/edid | wc -c)
dd if=/lib/pattern of=/dev/fb0 bs=10240 seek=350 2>/dev/null; sleep 1; echo READY; read line; poweroff -f
""", f"{tmp}/initrd", files)
        s = Session("-M", "virt", "-no-reboot", "-kernel", images.kernel("riscv64"), "-initrd", initrd, "-append", "console=ttyS0 panic=-1", "-m", 512,
                    "-serial", "mon:stdio", "-display", "none", "-device", f"{device},id=screen")
        s.wait_for("SIZE 1280,800 EDID 128\r", 600)
        s.wait_for("READY\r", 60)
        s.send("\1c")
        for command in (f"screendump {tmp}/a.ppm", f"screendump {tmp}/a.png -f png screen"):
            s.wait_for("(rhea)")
            s.send(command + "\n")
        s.wait_for("(rhea)")
        s.send("\1c\n")
        status, out = s.end()
        expect(status == 0, "exit status 0", out)
        head, ppm = b"P6\n1280 800\n255\n", open(f"{tmp}/a.ppm", "rb").read()
        expect(ppm.startswith(head) and len(ppm) == len(head) + 1280 * 800 * 3, "a PPM of 1280 x 800")
        pixels = ppm[len(head):]
        wanted = bytearray(len(pattern) // 4 * 3)
        for i in range(3):
            wanted[i::3] = pattern[2 - i::4]
        expect(pixels[700 * 3840:716 * 3840] == wanted, "the rows that the guest wrote")
        expect(not any(pixels[720 * 3840:]), "black below them")
        expect(png_pixels(open(f"{tmp}/a.png", "rb").read()) == pixels, "the PNG has the same pixels")


def png_pixels(data):
    """The RGB bytes of a PNG of 8 bits without interlacing (ISO 15948)."""
    at, packed, width = 8, b"", 0
    while at < len(data):
        n, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if kind == b"IHDR":
            width = int.from_bytes(data[at + 8:at + 12], "big")
        packed += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
        at += 12 + n
    raw, out, above, row = zlib.decompress(packed), bytearray(), bytes(width * 3), width * 3

    def paeth(a, b, c):
        return min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]

    for start in range(0, len(raw), row + 1):
        kind, line = raw[start], bytearray(raw[start + 1:start + 1 + row])
        for i in range(row if kind else 0):
            a, b, c = line[i - 3] if i > 2 else 0, above[i], above[i - 3] if i > 2 else 0
            line[i] = line[i] + (a, b, (a + b) // 2, paeth(a, b, c))[kind - 1] & 255
        out += line
        above = line
    return bytes(out)


def test_display_vga():
    display("VGA")


def test_display_bochs():
    display("bochs-display")


def aia(mode, *wanted):
    """Interrupts come as wanted says, to each of four processors. Firmware: trixie's, since Debian 12's knows no APLIC of machine level."""
    with images.lock():
        firmware = images.package("riscv64", "opensbi") + "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"
    with tempfile.TemporaryDirectory() as tmp:
        data = os.urandom(4 << 20)
        with open(f"{tmp}/disk", "wb") as f:
            f.write(data)
        status, out = boot('dmesg -n 1\nfor c in 0 1 2 3; do echo "SUM $(taskset $((1 << c)) sha256sum < /dev/vda)"; echo 3 > /proc/sys/vm/drop_caches; done\n'
                           "cat /proc/interrupts\npoweroff -f\n", "-M", f"virt,aia={mode}", "-smp", 4, "-m", 512, "-bios", firmware, "-drive",
                           f"file={tmp}/disk,format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0", modules=["virtio_blk"])
    expect(status == 0 and "Oops" not in out and "BUG:" not in out, f"boot with aia={mode}", f"status {status}\n{out}")
    expect(out.count("SUM " + hashlib.sha256(data).hexdigest()) == 4, "the disk read from each processor", out)
    for pattern in wanted:
        expect(re.search(pattern, out), f"{pattern} in /proc/interrupts", out)


def test_aia_aplic():
    aia("aplic", r"APLIC-DIRECT +\d+ Level +virtio0", r"[1-9]\d* .*APLIC-DIRECT +10 Level +ttyS0")


def test_aia_imsic():
    aia("aplic-imsic", r"[1-9]\d* .*PCI-MSIX\S* +\d+ Edge +virtio0-req", r"[1-9]\d* .*APLIC-MSI\S* +10 Level +\S+ +ttyS0")


def test_numa():
    """Two nodes by the device tree, their memory of two kinds; sockets and threads in the kernel's topology. Linux gives its number 0 to
    whichever hart wins the firmware's race to boot, so its numbers are taken back to harts."""
    script = """for n in 0 1; do echo NODE $n $(cat /sys/devices/system/node/node$n/cpulist) $(cat /sys/devices/system/node/node$n/distance)
grep MemTotal /sys/devices/system/node/node$n/meminfo; done
for c in 0 1 2 3; do echo CPU $c $(cat /sys/devices/system/cpu/cpu$c/topology/physical_package_id) $(cat /sys/devices/system/cpu/cpu$c/topology/thread_siblings_list); done
grep -w hart /proc/cpuinfo
poweroff -f
"""

    def harts(numbers):
        ends = [[int(n) for n in part.split("-")] for part in numbers.split(",")]
        return {hart_of[n] for first, *last in ends for n in range(first, (last or [first])[0] + 1)}

    with tempfile.TemporaryDirectory() as tmp:
        status, out = boot(script, "-m", 768, "-smp", "4,sockets=2,cores=1,threads=2", "-object", f"memory-backend-file,id=a,size=512M,mem-path={tmp}/ram,share=on",
                           "-object", "memory-backend-memfd,id=b,size=256M,prealloc=on", "-numa", "node,cpus=0-1,memdev=a", "-numa", "node,memdev=b",
                           "-numa", "cpu,node-id=1,core-id=2", "-numa", "cpu,node-id=1,core-id=3", "-numa", "dist,src=0,dst=1,val=25")
        expect(status == 0 and "Oops" not in out and "BUG:" not in out, "boot with two nodes", f"status {status}\n{out}")
        hart_of = [int(n) for n in re.findall(r"\nhart\s*: (\d)", out)]
        nodes = [(harts(cpus), distance) for cpus, distance in re.findall(r"\nNODE \d (\S+) (\d+ \d+)", out)]
        expect(sorted(hart_of) == [0, 1, 2, 3] and nodes == [({0, 1}, "10 25"), ({2, 3}, "25 10")], "CPUs and distances", out)
        sizes = [int(n) >> 10 for n in re.findall(r"MemTotal: +(\d+) kB", out)]
        expect(len(sizes) == 2 and 350 < sizes[0] <= 512 and 200 < sizes[1] <= 256, "memory of the nodes", out)
        threads = {hart_of[int(cpu)]: (int(package), harts(siblings)) for cpu, package, siblings in re.findall(r"\nCPU (\d) (\d) (\S+)\r", out)}
        packages = {threads[hart][0] for hart in (0, 1)}, {threads[hart][0] for hart in (2, 3)}
        expect(all(siblings == ({0, 1} if hart < 2 else {2, 3}) for hart, (_, siblings) in threads.items()), "threads", out)
        expect(len(threads) == 4 and all(len(p) == 1 for p in packages) and packages[0] != packages[1], "sockets", out)
        with open(f"{tmp}/ram", "rb") as f:
            expect(b"Linux version 6." in f.read(), "the file holds the guest's memory")


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1]) >> 10


def balloon_says(s, wanted):
    """Ask the monitor, again and again, until the answer has it."""
    limit = time.monotonic() + 600
    while True:
        s.send("info balloon\r")
        s.wait_for("balloon: actual=")
        start = s.place - len("actual=")
        s.wait_for("(rhea) ")
        if wanted.encode() in s.seen[start:s.place]:
            return
        if time.monotonic() > limit:
            expect(False, f"'{wanted.strip()}' in what 'info balloon' says", s.seen.decode(errors="replace"))
        time.sleep(0.5)


def test_balloon():
    """The guest's driver fills the balloon and our process gets smaller; free pages that it reports go back by themselves."""
    fill = "mount -t tmpfs -o size=700M t /mnt\ndd if=/dev/zero of=/mnt/x bs=1M count=600 2>/dev/null\nrm /mnt/x\necho FILLED\n"
    loop = "while read word; do free -m | grep Mem; echo SEEN $word; [ $word = off ] && poweroff -f; done\n"
    for device, reports in ("virtio-balloon,guest-stats-polling-interval=1", False), ("virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on", True):
        with tempfile.TemporaryDirectory() as tmp:
            s = Session(*linux(fill + loop, ["virtio_balloon", "virtio_mmio"], tmp), "-m", 1024, "-nographic", "-device", device)
            s.wait_for("FILLED\r")
            before = resident(s.process.pid)
            if reports:
                limit = time.monotonic() + 600
                while resident(s.process.pid) > before - 400 and time.monotonic() < limit:
                    time.sleep(0.5)
                after = resident(s.process.pid)
                expect(after < before - 400, f"free pages reported: {before} MiB resident, then {after}")
            else:
                s.send("\1cballoon 300\r")
                balloon_says(s, "actual=300\r")
                after = resident(s.process.pid)
                expect(after < before - 400, f"balloon 300: {before} MiB resident, then {after}", s.seen.decode(errors="replace"))
                balloon_says(s, "total-memory=")
                s.send("balloon 1024\r")
                balloon_says(s, "actual=1024\r")
                s.send("\1c")
            s.send("a\rb\r")
            s.wait_for("SEEN b")
            s.send("off\r")
            status, out = s.end()
            sizes = [int(n) for n in re.findall(r"Mem: +(\d+)", out)]
            expect(status == 0 and sizes and sizes[-1] > 900 and "Oops" not in out and "BUG:" not in out, f"{device}: the guest has its memory back",
                   f"status {status}\n{out}")


def test_smp64():
    """64 processors, with each of the interrupt controllers."""
    for options in "virt,aclint=on", "virt,aia=aplic-imsic":
        status, out = boot("echo cpus $(nproc)\nfor c in 0 31 63; do taskset -c $c true && echo RAN $c; done\npoweroff -f\n", "-M", options, "-smp", 64, "-m", 1024)
        expect(status == 0 and "cpus 64\r" in out and len(re.findall(r"RAN \d", out)) == 3 and "Oops" not in out and "BUG:" not in out, f"64 CPUs, -M {options}",
               f"status {status}\n{out}")


class Files(http.server.BaseHTTPRequestHandler):
    """What the guest fetches from the host: /data, and /back, for which the host fetches from the guest first."""

    def do_GET(self):
        body = self.server.data if self.path == "/data" else self.from_guest()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def from_guest(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.forwarded}/file", timeout=300) as reply:
            return b"host got " + hashlib.sha256(reply.read()).hexdigest().encode() + b"\n"

    def log_message(self, *args):
        pass


def serve_files(megabytes):
    """A server on the host's loopback with that much data."""
    if len(EMULATOR) == 1 and "user" not in rhea("riscv64", "-netdev", "help")[1]:
        skip("built without libslirp")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.data = random.Random(1).randbytes(megabytes << 20)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_net():
    """DHCP, a download from the host, and an upload through a forwarded port, over virtio-net and the user network."""
    server = serve_files(20)
    server.forwarded = free_port()
    url = f"http://10.0.2.2:{server.server_port}"
    status, out = boot(f"""cat > /tmp/lease <<'END'
#!/bin/sh
[ $1 = bound ] && ip addr add $ip/$mask dev $interface && ip route add default via $router && echo LEASE $ip/$mask $router $dns
END
chmod +x /tmp/lease
ip link set lo up
ip link set eth0 up
udhcpc -q -n -i eth0 -s /tmp/lease
mkdir /tmp/www
dd if=/dev/urandom of=/tmp/www/file bs=1M count=8 2>/dev/null
httpd -p 80 -h /tmp/www
cut -d ' ' -f 1 /proc/uptime
wget -q -O /tmp/data {url}/data
echo "DOWN $(sha256sum < /tmp/data) $(cut -d ' ' -f 1 /proc/uptime)"
wget -q -O - {url}/back
echo "UP $(sha256sum < /tmp/www/file) $(cut -d ' ' -f 1 /proc/uptime)"
ping -c 3 -s 1400 10.0.2.2 | grep transmitted
grep eth0 /proc/net/dev
poweroff -f
""", "-smp", "2", "-m", "512", "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{server.forwarded}-:80", "-device", "virtio-net-pci,netdev=n0",
                       modules=["virtio_net"])
    expect(status == 0, "exit status 0", f"status {status}\n{out}")
    expect("LEASE 10.0.2.15/24 10.0.2.2 10.0.2.3" in out, "a lease from the user network", out)
    expect(f"DOWN {hashlib.sha256(server.data).hexdigest()}" in out, "20 MB from the host, with its checksum", out)
    back = re.search(r"host got ([0-9a-f]{64})\s", out)
    expect(back and f"UP {back[1]}" in out, "8 MB from the guest through a forwarded port, with its checksum", out)
    expect("3 packets received" in out, "ping", out)
    expect(re.search(r"eth0: *\d+ +\d+ +0 +0 +0 +0 +0 +0 +\d+ +\d+ +0 +0 ", out), "no errors, nothing dropped", out)


def test_net_pause():
    """A connection outlives a pause of the machine; after a reset the network is as new."""
    server = serve_files(80)
    digest = hashlib.sha256(server.data).hexdigest()
    script = f"""ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo START
sum=$(wget -q -O - http://10.0.2.2:{server.server_port}/data | sha256sum)
read line
echo SUM $sum
read line
reboot -f
"""
    with tempfile.TemporaryDirectory() as tmp:
        options = linux(script, ["virtio_net"], tmp)
        options.remove("-no-reboot")
        s = Session(*options, "-m", "512", "-nographic", "-nic", "user")
        for again in True, False:  # what the guest says waits for a line: it does not come in the middle of the monitor's answers
            s.wait_for("START\r")
            time.sleep(0.3)
            s.send("\x01cstop\n")
            time.sleep(2)
            s.send("cont\ninfo status\n")
            s.wait_for("VM status: running")
            s.send("\x01c\n")
            s.wait_for("SUM " + digest)
            if again:
                s.send("\n")
        s.send("\x01c")
        port = free_port()
        for command, listens in (f"add tcp:127.0.0.1:{port}-:80", True), (f"remove nic0 tcp:127.0.0.1:{port}", False):
            s.send(f"hostfwd_{command}\nprint 1000 + 234\n")
            s.wait_for("\n1234")
            with socket.socket() as c:
                expect((c.connect_ex(("127.0.0.1", port)) == 0) == listens, f"hostfwd_{command.split()[0]}")
        s.send(f"hostfwd_remove tcp:127.0.0.1:{port}\n")
        s.wait_for("does not forward")
        s.send("\x01x")
        status, out = s.end()
        expect(status == 0, "two downloads with a pause, a reset between them", out)


def test_net_link():
    """Two guests on one wire: a TCP connection between the emulators, and a multicast group."""
    def script(n):
        return (f"ip link set eth0 up; ip addr add 10.9.0.{n}/24 dev eth0\nuntil ping -c 1 -W 1 10.9.0.{3 - n} >/dev/null; do true; done\n"
                f"echo REACHED\nhead -c 3000000 /dev/urandom > /tmp/f; (nc -l -p 5555 < /tmp/f) & echo SENT $(sha256sum < /tmp/f)\nread x\n"
                f"until nc 10.9.0.{3 - n} 5555 > /tmp/g; do sleep 1; done; echo GOT $(sha256sum < /tmp/g)\nread x\npoweroff -f\n")
    port = free_port()
    for options in ((["-netdev", f"socket,id=n,listen=127.0.0.1:{port}", "-device", "virtio-net,netdev=n,mac=52:54:00:00:00:01"],
                     ["-net", f"socket,connect=127.0.0.1:{port}", "-net", "nic,macaddr=52:54:00:00:00:02"]),
                    (["-nic", f"socket,mcast=230.0.0.72:{port},localaddr=127.0.0.1,mac=52:54:00:00:00:01"],
                     ["-nic", f"socket,mcast=230.0.0.72:{port},localaddr=127.0.0.1,mac=52:54:00:00:00:02"])):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            start = lambda n, tmp: Session(*linux(script(n), ["virtio_net"], tmp), "-m", 256, "-nographic", *options[n - 1])
            a = start(1, one)
            a.wait_for("OpenSBI")  # it listens
            b = start(2, two)
            sums = []
            for s in a, b:
                s.wait_for("REACHED\r")
                s.wait_for("SENT ")
                s.wait_for("\n")
                sums.append(re.search(rb"SENT ([0-9a-f]{64})", s.seen)[1].decode())
            for s, wanted in (a, sums[1]), (b, sums[0]):
                s.send("\r")
                s.wait_for(f"GOT {wanted}")
            for s in a, b:
                s.send("\r")
                status, out = s.end()
                expect(status == 0, f"two guests: {' '.join(options[0])}", f"status {status}\n{out}")


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
    """Ctrl-A c and the commands on a running Linux. It may be stopped anywhere: at the first instruction of a trap into the firmware
    sp is still the kernel's, which the firmware cannot read; then it runs and is stopped once more."""
    commands = [("info status", "VM status: running"), ("info cpus", "CPU #1: pc="), ("info registers", "satp"), ("info mem", "vaddr"),
                ("info mtree", "riscv_virt.ram"), ("info qtree", 'dev: virtio-blk-pci, id "disk0"'), ("info jit", "units translated"),
                ("info irq", "riscv.sifive.plic"), ("info version", "\n"), ("info block", "d0: raw on file, 1048576 bytes"), ("stop", ""),
                ("info status", "VM status: paused"), ("xp /2xw 0x1000", "0000000000001000: 0x00000297 0x"),
                ("xp /2i 0x1000", "00000297  auipc      t0, 0x0"), ("x /i $pc", ": "),
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
        for _ in range(100):
            s.send("stop\rx /4xg $sp\rcont\r")
            start = s.place
            for _ in range(3):
                s.wait_for("(rhea) ")
            if readable := len(re.findall(rb": 0x[0-9a-f]{16} 0x[0-9a-f]{16}\r", s.seen[start:s.place])) == 2:
                break
        expect(readable, "x /4xg $sp", s.seen.decode(errors="replace"))
        s.send("\1cto the console\r")
        s.wait_for("GOT to the console")
        s.send("\1csystem_reset\r")  # -no-reboot: it leaves
        status, out = s.end()
        expect(status == 0, f"{len(commands)} commands of the monitor; system_reset with -no-reboot leaves with status 0", f"status {status}\n{out}")


def flash(tmp):
    """EDK2 of Debian's package in two flash drives; the second, with the variables, is a copy in tmp."""
    with images.lock():
        folder = images.package("riscv64", "qemu-efi-riscv64") + "/usr/share/qemu-efi-riscv64"
    if not os.path.exists(f"{tmp}/vars"):
        shutil.copy(f"{folder}/RISCV_VIRT_VARS.fd", f"{tmp}/vars")
    return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={folder}/RISCV_VIRT_CODE.fd", "-drive",
            f"if=pflash,unit=1,format=raw,file={tmp}/vars"]


def test_edk2():
    """EDK2 from flash reaches its shell, keeps a variable, and starts a kernel from fw_cfg."""
    with tempfile.TemporaryDirectory() as tmp:
        for command, wanted in [("set kept inflash", ""), ("set kept", "inflash")]:
            s = Session("-M", "virt,acpi=off", "-m", 1024, "-nographic", *flash(tmp))
            s.wait_for("to skip")
            s.send("\x1b")
            s.wait_for("Shell>")
            s.send(f"{command}\r")
            s.wait_for(command)
            s.wait_for(wanted)
            s.wait_for("Shell>")
            s.send("reset -s\r")
            status, out = s.end()
            expect(status == 0, f"EDK2's shell: {command}, power-off with status 0", f"status {status}\n{out}")
        s = Session(*linux("uname -a\npoweroff -f\n", [], tmp), "-m", 1024, "-nographic", *flash(tmp))
        status, out = s.end()
        expect(status == 0 and "riscv64 GNU/Linux" in out and "EFI stub" in out, "EDK2 starts Linux from fw_cfg", f"status {status}\n{out}")


def acpi(machine, controller):
    """EDK2 with the machine's ACPI tables; Linux finds disk, console, PCI and NUMA nodes by them."""
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/disk", "wb") as f:
            f.truncate(1 << 20)
        options = linux("dmesg | grep -i -E 'ACPI|spcr|SRAT|printk: .*console'\ncat /proc/cmdline; [ -d /sys/firmware/devicetree/base/soc ] || echo NO TREE\n"
                        "ls /sys/firmware/acpi/tables\necho NODES $(ls -d /sys/devices/system/node/node?)\n"
                        "cat /sys/devices/system/node/node0/distance\nmdev -s\nfor d in vda vdb; do dd if=/dev/$d bs=1M of=/dev/null; done\n"
                        "cat /proc/interrupts\nls /sys/bus/pci/devices\npoweroff -f\n", ["virtio_blk", "virtio_mmio"], tmp)
        options[options.index("virt")] = f"virt,{machine}"
        options[options.index("-append") + 1] += " acpi=force earlycon"
        with images.lock():
            firmware = images.package("riscv64", "opensbi") + "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"
        s = Session(*options, "-bios", firmware, "-m", 1024, "-smp", 4, "-numa", "node,mem=512,cpus=0-1", "-numa", "node,mem=512,cpus=2-3", "-numa",
                    "dist,src=0,dst=1,val=30", "-nographic", *flash(tmp), "-drive", f"file={tmp}/disk,format=raw,if=none,id=d0,file.locking=off", "-device",
                    "virtio-blk-pci,drive=d0", "-drive", f"file={tmp}/disk,format=raw,if=none,id=d1,file.locking=off", "-device", "virtio-blk-device,drive=d1")
        status, out = s.end()
        expect(status == 0 and "Oops" not in out and "BUG:" not in out, f"boot by ACPI ({machine})", f"status {status}\n{out}")
        expect("NO TREE" in out and re.search(r"ACPI: SPCR: console: uart,mmio,0x10000000", out), "no device tree; the console of the SPCR", out)
        expect(out.count("1+0 records out") == 2, "disks on PCI and virtio-mmio", out)
        expect(re.search(controller, out), controller, out)
        expect("node0 /sys/devices/system/node/node1" in out and re.search(r"^10 30\r?$", out, re.M), "two NUMA nodes and their distance", out)


def test_acpi():
    acpi("acpi=on", r"[1-9]\d* .*PLIC\S* +10 \S+ +ttyS0")


def test_acpi_aia():
    acpi("acpi=on,aia=aplic-imsic", r"PCI-MSIX\S* +\d+ Edge +virtio\d-req")


def test_uboot():
    """U-Boot as OpenSBI's payload and as the firmware itself, to its prompt; it reads a virtio disk."""
    with tempfile.TemporaryDirectory() as tmp:
        with images.lock():
            folder = images.package("riscv64", "u-boot-qemu") + "/usr/lib/u-boot"
        with open(f"{tmp}/disk", "wb") as f:
            f.write(b"sector 0 of the disk".ljust(1 << 20, b"\0"))
        for options in (["-kernel", f"{folder}/qemu-riscv64_smode/uboot.elf"], ["-bios", f"{folder}/qemu-riscv64/u-boot.bin"]):
            s = Session("-M", "virt", "-m", 512, "-nographic", *options, "-drive", f"file={tmp}/disk,format=raw,if=virtio")
            s.wait_for("Hit any key")
            s.send(" ")
            s.wait_for("=> ")
            for command, wanted in [("virtio scan", "=> "), ("virtio read 0x88000000 0 1", "1 blocks read: OK"), ("md.b 0x88000000 0x14", "sector 0 of the")]:
                s.send(command + "\r")
                s.wait_for(wanted)
            s.send("\1x")
            status, out = s.end()
            expect(status == 0, f"U-Boot ({options[0]}) reads a disk", f"status {status}\n{out}")


DEBIAN_ROOT = "mount -t ext4 /dev/vda /mnt && exec switch_root /mnt /sbin/init\n"


def test_debian():
    """A whole Debian: systemd's login, the network, sshd, apt, stress-ng and self-checks; the disk is clean afterwards."""
    with tempfile.TemporaryDirectory() as tmp, debian.repository("riscv64") as url:
        subprocess.run(["cp", "--sparse=always", debian.riscv64_image(boot), f"{tmp}/disk"], check=True)
        port = free_port()
        s = Session(*linux(DEBIAN_ROOT, ["virtio_blk", "virtio_net", "ext4", "crc32c_generic"], tmp), "-m", 2048, "-smp", 2, "-nographic",
                    "-drive", f"file={tmp}/disk,format=raw,if=virtio", "-nic", f"user,hostfwd=tcp:127.0.0.1:{port}-:22")
        debian.login(s)
        for what, command in [debian.CONTENT, *debian.network_checks(url), debian.stress(cpu=200, fp=200, vecmath=200, atomic=200, matrix=200), *debian.SELF_CHECKS]:
            debian.check(s, what, command)
        with socket.create_connection(("127.0.0.1", port), 900) as c:
            expect(c.recv(8) == b"SSH-2.0-", "sshd through hostfwd")
        debian.power_off(s, f"{tmp}/disk", esp=False)


def debian_from_disk(*args, seconds=1800):
    """Firmware finds GRUB on the disk's ESP, GRUB starts Debian's kernel with its initrd; systemd's login; the disk is clean afterwards."""
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(["cp", "--sparse=always", debian.riscv64_disk(boot), f"{tmp}/disk"], check=True)
        s = Session(*args, "-m", 2048, "-smp", 2, "-nographic", "-no-reboot", "-drive", f"file={tmp}/disk,format=raw,if=virtio")
        for text in "GNU GRUB", "EFI stub":
            s.wait_for(text, seconds)
        debian.login(s, seconds)
        debian.check(s, "the kernel's notices are silenced", "dmesg -n 4")
        debian.check(s, *debian.CONTENT, seconds)
        debian.check(s, "started by EFI from the disk", "grep BOOT_IMAGE /proc/cmdline && [ -d /sys/firmware/efi ] && findmnt /boot/efi", seconds)
        debian.power_off(s, f"{tmp}/disk")


def test_debian_grub():
    """EDK2 in flash, GRUB."""
    with tempfile.TemporaryDirectory() as tmp:
        debian_from_disk("-M", "virt,acpi=off", *flash(tmp))


def test_debian_uboot():
    """U-Boot as OpenSBI's payload, its EFI loader, GRUB."""
    with images.lock():
        folder = images.package("riscv64", "u-boot-qemu") + "/usr/lib/u-boot"
    debian_from_disk("-M", "virt", "-kernel", f"{folder}/qemu-riscv64_smode/uboot.elf")


def metal(xlen, want, *args, define=(), source="metal", v="", echo=False):
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        abi = {64: ["-march=rv64gc" + v, "-mabi=lp64d"], 32: ["-march=rv32gc" + v, "-mabi=ilp32d"]}[xlen]
        subprocess.run([cc, *abi, *"-mcmodel=medany -O2 -Wall -Wextra -fno-strict-aliasing -nostdlib -nostartfiles -static -ffreestanding "
                        "-fno-pic -fno-stack-protector -Wl,--build-id=none -Wl,--no-warn-rwx-segments".split(), f"-DEXIT={want}", f"-DREFERENCE={int(len(EMULATOR) > 1)}", *define,
                        f"-T{HERE}/metal/link.ld", f"{HERE}/metal/start.S", f"{HERE}/metal/{source}.c", "-o", f"{tmp}/metal.elf"], check=True)
        status, out = rhea(f"riscv{xlen}", "-M", "virt", "-smp", "2", "-bios", "none", "-kernel", f"{tmp}/metal.elf", "-nographic",
                           "-monitor", "none", "-serial", "stdio", *args, timeout=1800)
        if echo:
            print(out)
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


def test_metal_vector():
    for xlen in (64, 32):
        for executor in ("tcg", "tcg,jit=off"):
            metal(xlen, 0, "-m", "128", "-cpu", f"rv{xlen},v=on", "-accel", executor, source="vector", v="v")
        for half, parts in ((1, "zfhmin,zvfhmin,zvkb"), (2, "zfh,zvfh,zvbb")):
            metal(xlen, 0, "-m", "128", "-cpu", f"rv{xlen},+v,+{parts.replace(',', ',+')}", define=[f"-DHALF={half}"], source="vector", v="v")


def test_metal_crypto():
    for xlen in (64, 32):
        for executor in ("tcg", "tcg,jit=off"):
            metal(xlen, 0, "-m", "128", "-cpu", "max", "-accel", executor, source="crypto", v="v")


def test_litmus():
    """What two harts may see of each other's stores; $RHEA_LITMUS_SECONDS for each of the four runs."""
    seconds = os.environ.get("RHEA_LITMUS_SECONDS", "3")
    for xlen in (64, 32):
        for executor in ("tcg", "tcg,jit=off"):
            metal(xlen, 0, "-m", "128", "-accel", executor, source="litmus", define=[f"-DSECONDS={seconds}"], echo=True)


def test_metal_privileged():
    for xlen in (64, 32):
        metal(xlen, 0, "-m", "512", "-cpu", "max,zkr=on", source="privileged")
        metal(xlen, 0, "-m", "512", "-cpu", "max,zkr=on", "-accel", "tcg,jit=off", "-M", "virt,aia=aplic-imsic", define=["-DIMSIC"], source="privileged")


def test_metal_trigger():
    for xlen in (64, 32):
        metal(xlen, 0, source="trigger")
        metal(xlen, 0, "-accel", "tcg,jit=off", source="trigger")


def test_metal_hypervisor():
    """Each emulator runs what it can: the reference is one program per XLEN."""
    for xlen in (64, 32) if len(EMULATOR) == 1 else (int(re.search(r"riscv(32|64)", EMULATOR[0])[1]),):
        for executor in ("tcg", "tcg,jit=off") if len(EMULATOR) == 1 else ("tcg",):
            metal(xlen, 0, "-cpu", f"rv{xlen},h=true", "-accel", executor, source="hypervisor")
            metal(xlen, 0, "-cpu", f"rv{xlen},h=true", "-accel", executor, "-M", "virt,aia=aplic-imsic,aia-guests=2", source="hypervisor", define=["-DAIA=1"])
        if len(EMULATOR) == 1:  # the reference's 7.2 has no smstateen
            metal(xlen, 0, "-cpu", "max", source="hypervisor", define=["-DSTATEEN=1"])


def program(source, wanted, march, *args, libraries=()):
    """A program of our own in Linux, which says that all is well."""
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([cc, f"-march={march}", "-mabi=lp64d", "-O2", "-Wall", "-Wextra", "-ffp-contract=off", "-static",
                        f"{HERE}/{source}", "-o", f"{tmp}/program", *libraries], check=True)
        with images.lock():
            initrd = images.initramfs("riscv64", QUIET + "grep isa /proc/cpuinfo\n/bin/program\ngrep -i pmu /proc/interrupts\npoweroff -f\n", f"{tmp}/initrd",
                                      {"bin/program": f"{tmp}/program"})
            options = ["-M", "virt", "-no-reboot", "-kernel", images.kernel("riscv64"), "-initrd", initrd, "-append", KERNEL_OPTIONS]
        status, out = rhea("riscv64", *options, "-m", "512", "-nographic", *args)
        expect(status == 0 and wanted in out, f"{source} in Linux: {' '.join(map(str, args))}", f"status {status}\n{out}")


def test_vector():
    program("vector/vector.c", "vectors: all right", "rv64gcv", "-cpu", "rv64,v=on", libraries=["-lm"])
    program("vector/vector.c", "vectors: all right", "rv64gcv", "-cpu", "rv64,v=on,vlen=512", "-smp", "2", libraries=["-lm"])


def test_perf():
    """Linux's driver finds the counters, counts with them and gets samples."""
    with images.lock():
        firmware = images.package("riscv64", "opensbi") + "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"
    for cpu in ("rv64,sscofpmf=on", "max"):
        program("perf/perf.c", "perf: all right", "rv64gc", "-cpu", cpu, "-smp", 2, "-bios", firmware)


def nested(cpus, *args, aia=False, firmware=()):
    """Linux with KVM runs first a few instructions, then a whole Linux."""
    for tool in ("riscv64-linux-gnu-gcc", "dtc"):
        if not shutil.which(tool):
            skip(f"{tool} (package {'device-tree-compiler' if tool == 'dtc' else 'gcc-riscv64-linux-gnu'}) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run(["riscv64-linux-gnu-gcc", "-O2", "-Wall", "-Wextra", "-static", f"{HERE}/kvm/kvm.c", "-o", f"{tmp}/kvm", "-lpthread"], check=True)
        with images.lock():
            inner = images.initramfs("riscv64", "(echo NESTED $(uname -a), $(nproc) processors; cat /proc/interrupts) | while read l; do echo $l > /dev/kmsg; done\npoweroff -f\n", f"{tmp}/inner")
            nested_tree(f"{tmp}/tree", inner, cpus, aia)
            [module] = images.modules("riscv64", ["kvm"])
            files = {"lib/kvm.ko": module, "bin/kvm": f"{tmp}/kvm", "image": images.kernel("riscv64"), "tree": f"{tmp}/tree", "inner": inner}
            script = (f"insmod /lib/kvm.ko\ndmesg | grep -i kvm\nkvm code && echo CODE RUNS\nkvm linux {cpus} /image /tree /inner {'aia' if aia else ''} && "
                      "echo LINUX RAN\ncat /proc/interrupts\npoweroff -f\n")
            outer = images.initramfs("riscv64", QUIET + script, f"{tmp}/outer", files)
        status, out = rhea("riscv64", "-M", "virt" + (",aia=aplic-imsic,aia-guests=3" if aia else ""), *firmware, "-no-reboot", "-kernel",
                           images.kernel("riscv64"), "-initrd", outer, "-append", KERNEL_OPTIONS + " loglevel=6", "-m", 1024, "-nographic", *args)
        expect("hypervisor extension available" in out, "KVM finds the hypervisor extension", out)
        expect("\nCODE RUNS" in out, "a few instructions in a virtual machine", out)
        expect(re.search(rf"NESTED Linux .* riscv64 GNU/Linux, {cpus} processors", out), f"a nested Linux with {cpus} processors", out)
        expect("\nLINUX RAN" in out and status == 0, "it powers off, and so does the outer one", f"status {status}\n{out}")
        expect("Oops" not in out and "BUG:" not in out, "no kernel complaint", out)
    return out


def test_kvm():
    nested(1)
    nested(2, "-smp", 2)


def test_kvm_aia():
    """The nested Linux gets its interrupts through guest interrupt files."""
    with images.lock():
        firmware = images.package("riscv64", "opensbi") + "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"
    out = nested(2, "-smp", 2, aia=True, firmware=["-bios", firmware])
    expect("AIA available with 3 guest external interrupts" in out and "kvm: guest interrupt files" in out, "KVM uses guest interrupt files", out)
    expect("imsics@28000000: providing IPIs" in out, "the nested Linux has an IMSIC", out)
    sent = re.search(r"IPI1: (\d+) (\d+) Function call", out)
    expect(sent and int(sent[1]) and int(sent[2]), "through which its processors interrupt each other", out)
    expect(re.search(r"RISC-V INTC +12 Edge +riscv-kvm", out), "and wake each other", out)


if __name__ == "__main__":
    session.main(session.named(globals()), __doc__)
