#!/usr/bin/env python3
"""Guests on Rhea's RISC-V machines: Debian's kernel boots, disks keep what is written to them, bare-metal tests pass.

    riscv_test.py RHEA TEST|list

RHEA may be another emulator's command ("qemu-system-riscv64 -cpu rv64"), to see that the test is right.

SPDX-License-Identifier: MIT
"""
import functools, hashlib, http.server, os, random, re, select, shlex, shutil, signal, socket, subprocess, sys, tempfile, threading, time, urllib.request

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
        s.wait_for("READY\r", 600)
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
    with socket.create_server(("127.0.0.1", 0)) as s:
        server.forwarded = s.getsockname()[1]
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
wget -q -O - http://10.0.2.2:{server.server_port}/data | sha256sum
echo END
reboot -f
"""
    with tempfile.TemporaryDirectory() as tmp:
        options = linux(script, ["virtio_net"], tmp)
        options.remove("-no-reboot")
        s = Session(*options, "-m", "512", "-nographic", "-nic", "user")
        for _ in range(2):
            s.wait_for("START")
            time.sleep(0.3)
            s.send("\x01cstop\n")
            time.sleep(2)
            s.send("cont\n\x01c")
            s.wait_for(digest)
            s.wait_for("END")
        s.send("\x01c")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
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


DEBIAN = "systemd-sysv udev dbus login iproute2 openssh-server wget openssl zstd python3-minimal stress-ng".split()


def debian_image():
    """An ext4 image with a configured Debian, in the cache; the first time it is made, the guest itself configures it (some minutes)."""
    if not shutil.which("debootstrap") or os.geteuid():
        skip("debootstrap is missing" if not os.geteuid() else "root is needed to unpack a Debian with its owners and devices")
    image = f"{images.CACHE}/riscv64/debian-{hashlib.sha256(' '.join(DEBIAN).encode()).hexdigest()[:8]}.img"
    if os.path.exists(image):
        return image
    new = f"{image}.new"
    with images.lock(), tempfile.TemporaryDirectory() as tmp:
        images.debian_first_stage("riscv64", DEBIAN, f"{tmp}/root")
        subprocess.run(["mkfs.ext4", "-q", "-F", "-d", f"{tmp}/root", new, "3G"], check=True)
    script = f"""date -s @{int(time.time())}
mount -t ext4 /dev/vda /mnt
for d in proc sys dev; do mount -o bind /$d /mnt/$d; done
chroot /mnt /bin/sh -c 'PATH=/usr/sbin:/usr/bin:/sbin:/bin /debootstrap/debootstrap --second-stage' && chroot /mnt /usr/bin/passwd -d root && echo CONFIGURED
echo rhea > /mnt/etc/hostname
echo '/dev/vda / ext4 defaults 0 1' > /mnt/etc/fstab
echo virtio_net > /mnt/etc/modules
printf '[Match]\\nName=e*\\n[Network]\\nDHCP=yes\\n' > /mnt/etc/systemd/network/wired.network
ln -s /usr/lib/systemd/system/systemd-networkd.service /mnt/etc/systemd/system/multi-user.target.wants/
for d in proc sys dev; do umount /mnt/$d; done
umount /mnt; sync; poweroff -f
"""
    status, out = boot(script, "-m", 2048, "-smp", 2, "-drive", f"file={new},format=raw,if=virtio,cache=unsafe",
                       modules=["virtio_blk", "ext4", "crc32c_generic"], timeout=1800)
    expect(status == 0 and "\nCONFIGURED\r" in out, "a Debian configured in the guest", f"status {status}\n{out}")
    os.rename(new, image)
    return image


def package_repository(folder):
    """A package of our own and the list of it."""
    os.makedirs(f"{folder}/p/DEBIAN")
    os.makedirs(f"{folder}/p/usr/bin")
    with open(f"{folder}/p/DEBIAN/control", "w") as f:
        f.write("Package: rhea-test\nVersion: 1\nArchitecture: riscv64\nMaintainer: none\nDescription: a test\n")
    with open(f"{folder}/p/usr/bin/rhea-test", "w") as f:
        f.write("#!/bin/sh\necho installed by apt\n")
    os.chmod(f"{folder}/p/usr/bin/rhea-test", 0o755)
    subprocess.run(["dpkg-deb", "--build", f"{folder}/p", f"{folder}/rhea-test.deb"], check=True, stdout=subprocess.DEVNULL)
    data = open(f"{folder}/rhea-test.deb", "rb").read()
    with open(f"{folder}/Packages", "w") as f:
        f.write(open(f"{folder}/p/DEBIAN/control").read() + f"Filename: ./rhea-test.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n")


class QuietServer(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_debian():
    """A whole Debian: systemd's login, the network, sshd, apt, stress-ng and self-checks; the disk is clean afterwards."""
    with tempfile.TemporaryDirectory() as tmp:
        shutil.copy(debian_image(), f"{tmp}/disk")
        os.makedirs(f"{tmp}/repository")
        package_repository(f"{tmp}/repository")
        handler = functools.partial(QuietServer, directory=f"{tmp}/repository")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        s = Session(*linux("mount -t ext4 /dev/vda /mnt && exec switch_root /mnt /sbin/init\n", ["virtio_blk", "virtio_net", "ext4", "crc32c_generic"], tmp),
                    "-m", 2048, "-smp", 2, "-nographic", "-drive", f"file={tmp}/disk,format=raw,if=virtio", "-nic",
                    f"user,hostfwd=tcp:127.0.0.1:{port}-:22")
        s.wait_for("login: ", 600)
        s.send("root\r")
        s.wait_for(":~# ")
        stress = " ".join(f"--{m} 2 --{m}-ops {n}" for m, n in [("cpu", 200), ("fp", 200), ("vecmath", 200), ("atomic", 200), ("matrix", 200)])
        for what, command in [
                ("systemd is content", "systemctl is-system-running --wait; systemctl --failed --no-legend"),
                ("an address by DHCP", "until ip -4 addr show | grep -q 10.0.2.15; do sleep 0.2; done"),
                ("apt installs from the host", f"echo 'deb [trusted=yes] http://10.0.2.2:{server.server_port} ./' > /etc/apt/sources.list && "
                 "apt-get -q update && apt-get -qy install rhea-test && rhea-test | grep 'installed by apt'"),
                ("stress-ng --verify", f"stress-ng --verify {stress} --vm 2 --vm-bytes 32M --vm-ops 1000"),
                ("openssl's arithmetic", "openssl genrsa -out /tmp/k 2048 && openssl rsa -in /tmp/k -check -noout && seq 100000 > /tmp/s && "
                 "openssl enc -aes-256-ctr -pbkdf2 -k a -in /tmp/s -out /tmp/e && openssl enc -d -aes-256-ctr -pbkdf2 -k a -in /tmp/e | cmp - /tmp/s"),
                ("zstd's round trip", "zstd -qk -19 /usr/bin/openssl -o /tmp/z && zstd -qdc /tmp/z | cmp - /usr/bin/openssl"),
                ("python3's arithmetic", "python3 -c 'import math,hashlib; assert sum(i*i for i in range(10**6)) == 333332833333500000; "
                 "assert math.fsum([.1]*10) == 1.0; print(hashlib.sha256(b\"a\").hexdigest())'")]:
            s.send(f"{command}; echo STA''TUS $?\r")
            s.wait_for("STATUS ", 600)
            s.wait_for("\n")
            good = s.seen[:s.place].rsplit(b"STATUS ", 1)[1].startswith(b"0\r")
            expect(good, what, s.seen.decode(errors="replace"))
            s.wait_for(":~# ")
        with socket.create_connection(("127.0.0.1", port), 60) as c:
            expect(c.recv(8) == b"SSH-2.0-", "sshd through hostfwd")
        s.send("poweroff\r")
        status, out = s.end()
        expect(status == 0, "power-off with status 0", f"status {status}\n{out}")
        check = subprocess.run(["e2fsck", "-fn", f"{tmp}/disk"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(check.returncode == 0, "e2fsck -fn: clean", check.stdout)


def metal(xlen, want, *args, define=(), source="metal", v=""):
    cc = shutil.which("riscv64-linux-gnu-gcc")
    if not cc:
        skip("riscv64-linux-gnu-gcc (package gcc-riscv64-linux-gnu) is missing")
    with tempfile.TemporaryDirectory() as tmp:
        abi = {64: ["-march=rv64gc" + v, "-mabi=lp64d"], 32: ["-march=rv32gc" + v, "-mabi=ilp32d"]}[xlen]
        subprocess.run([cc, *abi, *"-mcmodel=medany -O2 -Wall -Wextra -fno-strict-aliasing -nostdlib -nostartfiles -static -ffreestanding "
                        "-fno-pic -fno-stack-protector -Wl,--build-id=none -Wl,--no-warn-rwx-segments".split(), f"-DEXIT={want}", f"-DREFERENCE={int(len(EMULATOR) > 1)}", *define,
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
