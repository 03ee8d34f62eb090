#!/usr/bin/env python3
"""Devices of Rhea's PCs under Debian's drivers: network cards, PCI hot-plug, suspend to RAM.

    x86_devices_test.py RHEA TEST|list

SPDX-License-Identifier: MIT
"""
import hashlib, os, random, re, socket, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fixtures, images, session
from session import EMULATOR, skip


class Guest:
    """A Debian kernel with a script as its init; the monitor is on a pipe, the serial port in a file."""

    def __init__(self, arch, script, *args, modules=(), append=""):
        self.tmp = tempfile.TemporaryDirectory()
        self.serial = f"{self.tmp.name}/serial"
        self.log = f"{self.tmp.name}/monitor"
        found = images.modules(arch, modules) if modules else []
        load = "".join(f"insmod /lib/{os.path.basename(p)}\n" for p in found)
        initrd = images.initramfs(arch, load + script, f"{self.tmp.name}/initrd", {f"lib/{os.path.basename(p)}": p for p in found})
        with open(self.log, "wb") as log:
            self.p = subprocess.Popen([*EMULATOR, "-target", "x86_64", "-display", "none", "-serial", f"file:{self.serial}", "-monitor", "stdio",
                                       "-m", "512", "-no-reboot", "-kernel", images.kernel(arch), "-initrd", initrd,
                                       "-append", f"{fixtures.KERNEL_OPTIONS} {append}", *map(str, args)],
                                      stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

    def output(self):
        return open(self.serial, errors="replace").read() if os.path.exists(self.serial) else ""

    def fail(self, why):
        self.p.kill()
        monitor = open(self.log, errors="replace").read()
        sys.exit(f"{self.output()}\n{monitor}\n{why}")

    def wait_for(self, pattern, timeout=600):
        """The time is for a guest that hangs, not for a busy host."""
        deadline = time.time() + timeout
        while not re.search(pattern, self.output()):
            if self.p.poll() is not None or time.time() > deadline:
                self.fail(f"{pattern!r} did not come")
            time.sleep(0.1)

    def monitor(self, *commands):
        for command in commands:
            self.p.stdin.write(f"{command}\n".encode())
        self.p.stdin.flush()

    def told(self, text):
        """How often the monitor has said it."""
        return open(self.log, errors="replace").read().count(text)

    def ask(self, command, wanted):
        """Again and again until the monitor answers what is wanted."""
        while True:
            start = os.path.getsize(self.log)
            self.monitor(command, "info status")
            while "VM status" not in (answer := open(self.log, errors="replace").read()[start:]):
                time.sleep(0.1)
                if self.p.poll() is not None:
                    self.fail("it is gone")
            if wanted(answer):
                return
            time.sleep(0.2)

    def finish(self, status=0, timeout=600):
        """Wait for its end; returns what it said."""
        try:
            self.p.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.fail("it does not end")
        if self.p.returncode != status:
            self.fail(f"status {self.p.returncode}")
        return self.output()


def expect(out, *patterns):
    for pattern in patterns:
        if not re.search(pattern, out):
            sys.exit(f"{out}\n{pattern!r} is not in the output")


# ---- network cards ----

def listen(serve):
    """A server for one connection on the loopback; returns its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def run():
        connection = server.accept()[0]
        with connection:
            serve(connection)

    threading.Thread(target=run, daemon=True).start()
    return server.getsockname()[1]


def transfer(machine, card, driver):
    """8 MB from the host and back, with checksums; nothing is lost on the way."""
    if "user" not in subprocess.run([*EMULATOR, "-netdev", "help"], capture_output=True, text=True, timeout=60).stdout:
        skip("built without libslirp")
    data, back = random.Random(1).randbytes(8 << 20), bytearray()

    def collect(connection):
        while block := connection.recv(1 << 16):
            back.extend(block)
        connection.sendall(b"got it")

    down, up = listen(lambda connection: connection.sendall(data)), listen(collect)
    out = Guest("i386", f"""
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo "driver $(basename $(readlink /sys/class/net/eth0/device/driver)) address $(cat /sys/class/net/eth0/address)"
nc 10.0.2.2 {down} < /dev/null > /tmp/data
echo "DOWN $(sha256sum < /tmp/data)"
echo "UP $(nc 10.0.2.2 {up} < /tmp/data)"
ping -c 3 -s 1400 10.0.2.2 | grep transmitted
grep eth0 /proc/net/dev
dmesg | grep -E "BUG|Oops|Tx Unit Hang" | sed 's/^/complaint: /'
poweroff -f
""", "-M", machine, "-nic", f"user{card}", modules=[driver]).finish()
    expect(out, f"driver {driver} address 52:54:00:12:34:56", f"DOWN {hashlib.sha256(data).hexdigest()}", "UP got it", "3 packets received",
           r"eth0: *\d+ +\d+ +0 +0 +0 +0 +0 +\d+ +\d+ +\d+ +0 +0 ")
    if back != data or "complaint" in out:
        sys.exit(f"{out}\n{len(back)} bytes came back")


def net_e1000():
    """The default network card of pc."""
    transfer("pc", "", "e1000")


# ---- hot-plug ----

# Says whenever something has changed; ends when the disk has come for the second time.
HOTPLUG = r"""
before=
disks=0
echo "READY"
while [ $disks -lt 2 ]; do
    now="STATE $(for d in /sys/bus/virtio/devices/*; do [ -e $d/driver ] && basename $(readlink $d/driver); done | sort | tr '\n' ' ')"
    [ "$now" = "$before" ] || echo "$now"
    case "$now" in *blk*) case "$before" in *blk*) ;; *)
        disks=$((disks+1))
        until [ -b /dev/vda ]; do sleep 0.1; done
        echo "DISK $(sha256sum < /dev/vda)" ;; esac ;; esac
    before="$now"
    sleep 0.2
done
dmesg | grep -E "BUG|Oops|(acpi|pci).*([Ee]rror|fail|conflict)" | grep -v MMCONFIG | sed 's/^/complaint: /'
poweroff -f
"""


def hotplug_on(machine):
    with tempfile.TemporaryDirectory() as tmp:
        data = random.Random(2).randbytes(1 << 20)
        with open(f"{tmp}/disk", "wb") as f:
            f.write(data)
        guest = Guest("x86_64", HOTPLUG, "-M", machine, "-nic", "none", "-smp", 2, modules=["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng"])
        digest = hashlib.sha256(data).hexdigest()
        guest.wait_for("READY")
        guest.monitor("device_add virtio-rng-pci,id=rng", "netdev_add user,id=n", "device_add virtio-net-pci,netdev=n,id=nic")
        guest.wait_for("STATE virtio_net virtio_rng")
        guest.monitor(f"drive_add 0 if=none,id=d,format=raw,file={tmp}/disk", "device_add virtio-blk-pci,drive=d,id=disk,addr=1c")
        guest.wait_for(f"STATE virtio_blk virtio_net virtio_rng *\\s+DISK {digest}")
        guest.monitor("device_del nic")
        guest.wait_for("STATE virtio_blk virtio_rng")
        guest.monitor("device_del disk", "device_del rng")
        guest.wait_for("STATE virtio_blk virtio_rng *\r?\n(.*\n)*STATE *\r?\n")
        guest.ask("info block", lambda answer: "file" not in answer)
        guest.monitor("info pci", "device_del host", "device_add virtio-rng-pci,addr=1", "netdev_del n",
                      f"drive_add 0 if=none,id=e,format=raw,file={tmp}/disk", "device_add virtio-blk-pci,drive=e,id=disk")
        out = guest.finish()
        monitor = open(guest.log, errors="replace").read()
        expect(monitor, "Host bridge: PCI device 8086", "there is no device 'host'", "addr=1: what is added while")
        if out.count(digest) != 2 or "complaint" in out or "netdev 'n'" in monitor:
            sys.exit(f"{out}\n{monitor}")


def hotplug():
    """Devices come to a running guest and are taken away again; what they used is free then."""
    hotplug_on("pc")
    hotplug_on("q35")


# ---- suspend to RAM ----

# Sleeps four times; says how it was woken, which a file outlives. An alarm in two seconds is the last.
SUSPEND = r"""
echo kept > /tmp/kept
echo "STATES $(cat /sys/power/state)"
for i in 1 2 3; do
    echo "SLEEP $i"
    echo mem > /sys/power/state && echo "AWAKE $i $(cat /tmp/kept) $(sha256sum < /dev/vda) cpus=$(nproc)"
done
echo 0 > /sys/class/rtc/rtc0/wakealarm
echo "+2" > /sys/class/rtc/rtc0/wakealarm
echo mem > /sys/power/state && echo "AWAKE 4 $(cat /tmp/kept) $(sha256sum < /dev/vda) cpus=$(nproc)"
dmesg | grep -E "BUG|Oops|WARN|ACPI.*([Ee]rror|xception)" | sed 's/^/complaint: /'
poweroff -f
"""


def suspend(*args):
    with tempfile.TemporaryDirectory() as tmp:
        data = random.Random(3).randbytes(1 << 20)
        with open(f"{tmp}/disk", "wb") as f:
            f.write(data)
        guest = Guest("x86_64", SUSPEND, *args, "-nic", "none", "-drive", f"if=virtio,format=raw,file={tmp}/disk",
                      modules=["button", "virtio_pci", "virtio_blk"])
        for i, command in (1, "system_wakeup"), (2, "system_powerdown"), (3, "system_wakeup"):
            guest.wait_for(f"SLEEP {i}")
            before = guest.told("(suspended)")
            while guest.told("(suspended)") == before:
                guest.monitor("info status")
                time.sleep(0.2)
                if guest.p.poll() is not None:
                    guest.fail("it is gone")
            guest.monitor(command)
            guest.wait_for(f"AWAKE {i}")
        out = guest.finish()
        digest = hashlib.sha256(data).hexdigest()
        if len(re.findall(f"AWAKE . kept {digest}", out)) != 4 or "complaint" in out:
            sys.exit(f"{out}\n{args}: not as it should be")


def suspend_direct():
    """The kernel goes on where its waking vector says."""
    suspend("-M", "pc")
    suspend("-M", "q35", "-smp", 2)


def suspend_seabios():
    """SeaBIOS finds out that it is no start, and goes on there."""
    suspend("-M", "pc", "-smp", 2, "-bios", "bios-256k.bin")
    suspend("-M", "q35", "-bios", "bios-256k.bin")


TESTS = {f.__name__: f for f in (net_e1000, hotplug, suspend_direct, suspend_seabios)}

if __name__ == "__main__":
    session.main(TESTS, __doc__, lambda: images.prepare("x86_64", "i386"))
