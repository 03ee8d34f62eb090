"""A whole Debian as a guest: images of it, made once and kept in the cache, and what is done in one that runs.

The host unpacks the packages; code of another architecture is configured by the guest itself. Roots have no password on the serial console.

SPDX-License-Identifier: MIT
"""
import contextlib, functools, glob, hashlib, http.server, os, shutil, subprocess, tempfile, threading, time

import images
from fixtures import KERNEL_OPTIONS
from session import expect, skip

NETWORK = "systemd-sysv udev dbus login iproute2 openssh-server wget openssl zstd"
RISCV64 = f"{NETWORK} python3-minimal stress-ng".split()
RISCV64_DISK = "linux-image-riscv64 initramfs-tools grub-efi-riscv64 e2fsprogs dosfstools".split()
X86_64 = (f"{NETWORK} xz-utils bzip2 procps kmod python3 libpython3.11-testsuite perl gcc libc6-dev make stress-ng linux-image-amd64 initramfs-tools "
          "grub-pc-bin grub-efi-amd64-bin grub2-common e2fsprogs dosfstools").split()
ESP_MB = 64
X86_64_DISK_MB = 4096


# ---- images ----

def digest(packages):
    return hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]


def need(*tools):
    for tool, package in tools:
        if not shutil.which(tool):
            skip(f"{tool} (package {package}) is missing")


def cached(image, make):
    """The image's path; make(path) makes it if it is not there. Another test that wants it at the same time waits."""
    if os.geteuid():
        skip("root is needed to unpack a Debian with its owners and devices")
    need(("debootstrap", "debootstrap"), ("sfdisk", "fdisk"), ("mkfs.vfat", "dosfstools"), ("debugfs", "e2fsprogs"))
    with images.lock("debian.lock"):
        if not os.path.exists(image):
            make(f"{image}.new")
            os.rename(f"{image}.new", image)
    return image


def riscv64_image(boot):
    """An ext4 image with a configured Debian. boot is riscv_test's: the guest itself configures it, which takes some minutes."""
    return cached(f"{images.CACHE}/riscv64/debian-{digest(RISCV64)}.img", functools.partial(make_riscv64_image, boot))


def make_riscv64_image(boot, new):
    with tempfile.TemporaryDirectory() as tmp:
        images.debian_root("riscv64", RISCV64, f"{tmp}/root", foreign=True)
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
                       modules=["virtio_blk", "ext4", "crc32c_generic"], timeout=7200)
    expect(status == 0 and "\nCONFIGURED\r" in out, "a Debian configured in the guest", f"status {status}\n{out}")


def riscv64_disk(boot):
    """A disk with riscv64_image's root as its second partition, in which the guest has installed Debian's kernel and GRUB."""
    root = riscv64_image(boot)
    return cached(root.replace("debian-", f"debian-disk-{digest(RISCV64_DISK)}-"), functools.partial(make_riscv64_disk, boot, root))


def partition(path, label, esp, linux, megabytes):
    """A disk with an ESP and behind it room for a Linux root."""
    with open(path, "wb") as f:
        f.truncate(megabytes << 20)
    table = f"label: {label}\nstart=1MiB, size={ESP_MB}MiB, type={esp}\nstart={1 + ESP_MB}MiB, type={linux}\n"
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True)
    subprocess.run(["mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", "--offset", "2048", path, str(ESP_MB << 10)], check=True, stdout=subprocess.DEVNULL)


def make_riscv64_disk(boot, root, new):
    start = 1 + ESP_MB
    with tempfile.TemporaryDirectory() as tmp:
        with images.lock():
            subprocess.run(["debugfs", "-R", f"dump /var/lib/dpkg/status {tmp}/status", root], check=True, capture_output=True)
            images.packages_for("riscv64", RISCV64_DISK, f"{tmp}/status", f"{tmp}/debs")
        partition(new, "gpt", "uefi", "linux", (os.path.getsize(root) >> 20) + start + 1)
        subprocess.run(["dd", f"if={root}", f"of={new}", "bs=1M", f"seek={start}", "conv=sparse,notrunc", "status=none"], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-d", f"{tmp}/debs", f"{tmp}/debs.img", "400M"], check=True)
        script = f"""date -s @{int(time.time())}
mount -t ext4 /dev/vda2 /mnt
for d in proc sys dev; do mount -o bind /$d /mnt/$d; done
mkdir -p /mnt/boot/efi /mnt/media/debs
mount -t vfat /dev/vda1 /mnt/boot/efi
mount -t ext4 -o ro /dev/vdb /mnt/media/debs
printf '/dev/vda2 / ext4 defaults 0 1\n/dev/vda1 /boot/efi vfat umask=0077 0 2\n' > /mnt/etc/fstab
cat > /mnt/install <<'END'
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/initramfs-tools/conf.d /usr/share/initramfs-tools/modules.d
echo MODULES=list > /etc/initramfs-tools/conf.d/list
printf 'virtio_blk\\nvirtio_mmio\\next4\\ncrc32c_generic\\n' > /usr/share/initramfs-tools/modules.d/virtio
apt-get -q -y --no-install-recommends install /media/debs/*.deb
sed -i 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0 systemd.default_device_timeout_sec=900"/; s/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' /etc/default/grub
grub-install --removable --no-nvram --efi-directory=/boot/efi
update-grub
END
chroot /mnt /bin/sh /install && echo INSTALLED
rm /mnt/install
umount /mnt/media/debs /mnt/boot/efi
for d in proc sys dev; do umount /mnt/$d; done
umount /mnt; sync; poweroff -f
"""
        status, out = boot(script, "-m", 2048, "-smp", 2, "-drive", f"file={new},format=raw,if=virtio,cache=unsafe", "-drive",
                           f"file={tmp}/debs.img,format=raw,if=virtio,readonly=on",
                           modules=["virtio_blk", "ext4", "crc32c_generic", "vfat", "nls_ascii", "nls_cp437"], timeout=7200)
    expect(status == 0 and "\nINSTALLED\r" in out, "kernel and GRUB installed in the guest", f"status {status}\n{out}")


# What GRUB's own installer does, in the guest itself: firmware of both kinds finds it.
X86_64_INSTALL = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
dmesg -n 4
mount /dev/vda1 /boot/efi && grub-install --target=i386-pc /dev/vda &&
    grub-install --target=x86_64-efi --removable --no-nvram --efi-directory=/boot/efi && update-grub && echo INSTALLED
umount /boot/efi
exec sh -c 'rm /install; sync; mount -o remount,ro /; stty cs8 < /dev/console; exec poweroff -ff'
"""
# Without a look whether the timer ticks: a busy host may well take the processor away for the time that the kernel waits for four ticks.
# Nor with a TSC measured by the PIT: away between the count's start and the first look at the TSC, the kernel takes that for many times too slow,
# and its time runs as much too fast.
X86_64_OPTIONS = f"{KERNEL_OPTIONS} no_timer_check tsc_early_khz=1000000 systemd.default_device_timeout_sec=900"
X86_64_FILES = {
    "install": X86_64_INSTALL,
    "etc/hostname": "rhea\n",
    "etc/fstab": "LABEL=root / ext4 defaults 0 1\nLABEL=ESP /boot/efi vfat umask=0077 0 2\n",
    "etc/systemd/network/wired.network": "[Match]\nName=e*\n[Network]\nDHCP=yes\n",
    "etc/ssh/sshd_config.d/test.conf": "PermitRootLogin yes\nPermitEmptyPasswords yes\nUseDNS no\n",
    "etc/default/grub": f'GRUB_TIMEOUT=1\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX="{X86_64_OPTIONS}"\n'
                        'GRUB_TERMINAL="serial console"\nGRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"\nGRUB_DISABLE_OS_PROBER=true\n',
}


def x86_64_disk(session):
    """A disk with a configured Debian, its kernel, and GRUB in the MBR and on the ESP. session(*args) starts the emulator."""
    what = [*X86_64, *(f"{name}={text}" for name, text in X86_64_FILES.items())]
    return cached(f"{images.CACHE}/x86_64/debian-{digest(what)}.img", functools.partial(make_x86_64_disk, session))


def make_x86_64_disk(session, new):
    partition(new, "dos", "ef", "83", X86_64_DISK_MB)
    with tempfile.TemporaryDirectory() as tmp:
        root = f"{tmp}/root"
        images.debian_root("x86_64", X86_64, root)
        for name, text in X86_64_FILES.items():
            with open(f"{root}/{name}", "w") as f:
                f.write(text)
        os.chmod(f"{root}/install", 0o755)
        os.makedirs(f"{root}/boot/efi", exist_ok=True)
        images.run("chroot", root, "passwd", "-d", "root")
        images.run("chroot", root, "systemctl", "enable", "systemd-networkd")
        images.run("sh", "-c", f"rm -f {root}/var/cache/apt/archives/*.deb {root}/var/lib/apt/lists/*_*")
        start = 1 + ESP_MB
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "root", "-d", root, "-E", f"offset={start << 20}", new, f"{X86_64_DISK_MB - start - 1}M"], check=True)
        [kernel], [initrd] = (glob.glob(f"{root}/boot/{name}-*") for name in ("vmlinuz", "initrd.img"))
        s = session("-m", 1024, "-nographic", "-no-reboot", "-drive", f"file={new},format=raw,if=virtio,cache=unsafe", "-kernel", kernel,
                    "-initrd", initrd, "-append", f"{X86_64_OPTIONS} root=/dev/vda2 rw init=/install")
        status, out = s.end(7200)
    expect(status == 0 and "\nINSTALLED\r" in out, "GRUB installed in the guest", f"status {status}\n{out}")
    fsck(new)


# ---- what is done in one that runs ----

def login(s, seconds=1800):
    """Wait for systemd's login on the serial console and log in."""
    s.wait_for("login: ", seconds, again="\r")
    s.send("root\r")
    s.wait_for(":~# ", seconds, again="\r")


def check(s, what, command, seconds=1800):
    """A command that has to end with status 0; returns what it printed."""
    start = s.place
    s.send(f"{command}; echo STA''TUS $?\r")
    s.wait_for("STATUS ", seconds)
    s.wait_for("\n")
    printed = s.seen[start:s.place].decode(errors="replace")
    expect(printed.rsplit("STATUS ", 1)[1].startswith("0\r"), what, printed)
    s.wait_for(":~# ")
    return printed


CONTENT = "systemd is content", "systemctl is-system-running --wait; systemctl --failed --no-legend"
# Round trips and known answers that take seconds.
SELF_CHECKS = [
    ("openssl's arithmetic", "openssl genrsa -out /tmp/k 2048 && openssl rsa -in /tmp/k -check -noout && seq 100000 > /tmp/s && "
     "openssl enc -aes-256-ctr -pbkdf2 -k a -in /tmp/s -out /tmp/e && openssl enc -d -aes-256-ctr -pbkdf2 -k a -in /tmp/e | cmp - /tmp/s"),
    ("zstd's round trip", "zstd -qk -19 /usr/bin/openssl -o /tmp/z && zstd -qdc /tmp/z | cmp - /usr/bin/openssl"),
    ("python3's arithmetic", "python3 -c 'import math,hashlib; assert sum(i*i for i in range(10**6)) == 333332833333500000; "
     "assert math.fsum([.1]*10) == 1.0; print(hashlib.sha256(b\"a\").hexdigest())'")]


def stress(**stressors):
    """stress-ng's command line for so many operations of each stressor, by two processes each."""
    each = " ".join(f"--{m} 2 --{m}-ops {n}" for m, n in stressors.items())
    return "stress-ng --verify", f"stress-ng --verify {each} --vm 2 --vm-bytes 32M --vm-ops 1000"


class QuietServer(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def repository(arch):
    """The address, as the guest sees it, of a repository on the host's loopback with a package of our own."""
    with tempfile.TemporaryDirectory() as folder:
        package_repository(folder, images.GUESTS[arch][0])
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietServer, directory=folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://10.0.2.2:{server.server_port}"
            server.shutdown()


def package_repository(folder, architecture):
    """A package of our own and the list of it."""
    os.makedirs(f"{folder}/p/DEBIAN")
    os.makedirs(f"{folder}/p/usr/bin")
    with open(f"{folder}/p/DEBIAN/control", "w") as f:
        f.write(f"Package: rhea-test\nVersion: 1\nArchitecture: {architecture}\nMaintainer: none\nDescription: a test\n")
    with open(f"{folder}/p/usr/bin/rhea-test", "w") as f:
        f.write("#!/bin/sh\necho installed by apt\n")
    os.chmod(f"{folder}/p/usr/bin/rhea-test", 0o755)
    subprocess.run(["dpkg-deb", "--build", f"{folder}/p", f"{folder}/rhea-test.deb"], check=True, stdout=subprocess.DEVNULL)
    data = open(f"{folder}/rhea-test.deb", "rb").read()
    with open(f"{folder}/Packages", "w") as f:
        f.write(open(f"{folder}/p/DEBIAN/control").read() + f"Filename: ./rhea-test.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n")


def network_checks(url):
    """A lease from the user network, then apt with the repository at url."""
    return [("an address by DHCP", "until ip -4 addr show | grep -q 10.0.2.15; do sleep 0.2; done"),
            ("apt installs from the host", f"echo 'deb [trusted=yes] {url} ./' > /etc/apt/sources.list && "
             "apt-get -q update && apt-get -qy install rhea-test && rhea-test | grep 'installed by apt'")]


def power_off(s, image, esp=True):
    """The machine ends with status 0 and its file systems are clean."""
    s.send("poweroff\r")
    status, out = s.end()
    expect(status == 0, "power-off with status 0", f"status {status}\n{out}")
    fsck(image, esp)
    return out


def fsck(image, esp=True):
    """Check the file system that fills the image, or (esp) its partition table, the ESP and the root behind it."""
    with tempfile.TemporaryDirectory() as tmp:
        commands = [["e2fsck", "-fn", f"{image}?offset={1 + ESP_MB << 20}" if esp else image]]
        if esp:
            subprocess.run(["dd", f"if={image}", f"of={tmp}/esp", "bs=1M", "skip=1", f"count={ESP_MB}", "status=none"], check=True)
            commands += [["sfdisk", "--verify", "-q", image], ["fsck.fat", "-n", f"{tmp}/esp"]]
        for command in commands:
            p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            expect(p.returncode == 0, f"{command[0]}: clean", p.stdout)
