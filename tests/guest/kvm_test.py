#!/usr/bin/env python3
"""Guests on Linux' KVM: the bare-metal programs of metal/pc with each kind of interrupt controllers, SeaBIOS and what it
boots, pictures, what is said where KVM cannot be had, and guests that fail.

    kvm_test.py RHEA TEST|list

Skipped where /dev/kvm is missing or cannot be used. Some kernels have one without the processor's VMX or SVM: they
emulate what level 0 does; what they do in another way is found out when the test runs, and said.

SPDX-License-Identifier: MIT
"""
import os, re, shlex, socket, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pc_metal, session
from session import EMULATOR, Session, expect, skip
from x86_screen_test import Picture

DEVICE = "/dev/kvm"
HANG = 600  # seconds, for a guest that hangs, not for a busy host


def need_kvm():
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as e:
        skip(f"{DEVICE}: {e.strerror}")


def emulated():
    """Whether the kernel has KVM without a processor that can run guests."""
    with open("/proc/cpuinfo") as f:
        return not re.search(r"^flags\s.*\b(vmx|svm)\b", f.read(), re.M)


def rhea(*args, target="x86_64", prefix=()):
    """Run to the end; returns (status, output)."""
    command = [*prefix, *EMULATOR, "-target", target, *map(str, args)]
    try:
        p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANG)
    except subprocess.TimeoutExpired as e:
        expect(False, f"{shlex.join(command)} ends", (e.stdout or b"").decode(errors="replace"))
    return p.returncode, p.stdout.decode(errors="replace")


class Guest(Session):
    """A PC with a monitor and what else has a socket in tmp."""

    def __init__(self, tmp, *args, sockets=("monitor",)):
        self.tmp = tempfile.mkdtemp(dir=tmp)
        options = [o for s in sockets for o in (f"-{s}", f"unix:{self.tmp}/{s},server=on,wait=off")]
        super().__init__([*EMULATOR, "-target", "x86_64", "-display", "none", *options, *args])
        self.sockets = {s: self.connect(f"{self.tmp}/{s}") for s in sockets}
        self.answer()

    def connect(self, path):
        s = socket.socket(socket.AF_UNIX)
        while True:
            try:
                s.connect(path)
                return s
            except OSError:
                if self.process.poll() is not None:
                    expect(False, "the emulator starts", self.end()[1])
                time.sleep(0.02)

    def answer(self):
        """What the monitor says up to its next prompt."""
        out = b""
        while not re.search(rb"\(rhea\) (\x1b\[K)?$", out):
            got = self.sockets["monitor"].recv(4096)
            if not got:
                expect(False, "the monitor answers", out.decode(errors="replace"))
            out += got
        return out.decode(errors="replace")

    def tell(self, command):
        self.sockets["monitor"].sendall(f"{command}\n".encode())
        return self.answer()

    def picture(self):
        self.tell(f"screendump {self.tmp}/screen.ppm")
        with open(f"{self.tmp}/screen.ppm", "rb") as f:
            return Picture(f.read())

    def quit(self):
        self.sockets["monitor"].sendall(b"quit\n")
        return self.end()


# ---- bare metal ----

def metal(irqchip):
    need_kvm()
    lenient = emulated()
    with tempfile.TemporaryDirectory() as tmp:
        for name, cpus, status in ("pc64", 2, 0), ("pc32", 4, 0), ("real", 1, 33):
            built = pc_metal.build(tmp, name)
            image = ["-bios", built] if name in pc_metal.REAL else ["-kernel", built, "-append", "lenient" if lenient else ""]
            got, out = rhea(*pc_metal.MACHINE, *pc_metal.DEVICES, "-accel", f"kvm,kernel-irqchip={irqchip}", "-cpu", "max", "-smp", cpus, *image)
            wrong = pc_metal.complaint(got, out, status, skips=lenient)
            for line in sorted(set(re.findall(r"^skip .*", out, re.M))):
                print(f"{name}: {line}")
            expect(not wrong, f"{name}, kernel-irqchip={irqchip}: {wrong or str(len(re.findall('^ok', out, re.M))) + ' checks'}", out)


def metal_on():
    metal("on")


def metal_split():
    metal("split")


def metal_off():
    metal("off")


def unplug():
    """Devices go while other processors are in accesses to them."""
    need_kvm()
    with tempfile.TemporaryDirectory() as tmp:
        got, out = rhea(*pc_metal.MACHINE, *pc_metal.UNPLUG, "-accel", "kvm", "-kernel", pc_metal.build(tmp, "pc64"), "-append", "unplug")
        wrong = pc_metal.complaint(got, out, 33, skips=False)
        expect(not wrong, f"devices go: {wrong or str(len(re.findall('^ok', out, re.M))) + ' checks'}", out)


# ---- pictures ----

def drawn(step):
    """What io.c's test_screen has drawn, 3 bytes a pixel."""
    rows = [[0x204060] * 320 for _ in range(200)]
    rows[100] = [x * 0x010305 & 0xffffff for x in range(320)]
    if step >= 2:
        for y in range(7, 200, 48):
            rows[y][y:] = [y << 16 | x for x in range(y, 320)]
    if step >= 3:
        rows[199][319] = 0xffffff
    return b"".join(p.to_bytes(3, "big") for row in rows for p in row)


def screen():
    """The display learns of all that is drawn: at once, of some lines, of one pixel."""
    need_kvm()
    with tempfile.TemporaryDirectory() as tmp:
        elf = pc_metal.build(tmp, "pc64")
        for accel in "kvm", "tcg":
            g = Guest(tmp, *pc_metal.MACHINE, *pc_metal.DEVICES, "-accel", accel, "-kernel", elf, "-append", "screen", sockets=("monitor", "serial"))
            for step, name in enumerate(("first", "second", "third"), 1):
                g.wait_for(f"{name} picture", HANG)
                p = g.picture()
                expect((p.width, p.height) == (320, 200) and p.rgb == drawn(step), f"{accel}: the {name} picture")
                g.sockets["serial"].sendall(b"x")
            expect(g.end()[0] == 33, f"{accel}: the end")


# ---- SeaBIOS ----

def boot(tmp, accel, *args, want):
    """Boot; returns the picture that is there when the boot sector has said want."""
    g = Guest(tmp, "-M", "pc", "-m", "64", "-accel", accel, "-serial", "stdio", "-no-reboot", *args)
    g.wait_for(want, HANG)
    g.wait_for("\n")
    picture = g.picture()
    g.send("x")
    status, out = g.end()
    expect(status == 0, f"{accel}: {want}", out)
    return picture


def boot_both(tmp, *args, want):
    """By KVM and by the JIT: the same to the last pixel."""
    need_kvm()
    a, b = (boot(tmp, accel, "-nic", "none", *args, want=want) for accel in ("kvm", "tcg"))
    expect(want in a.text(), "it is on the screen", a.text())
    expect(a.rgb == b.rgb and a.width == b.width, "KVM and JIT show the same", f"{a.text()}\n\n{b.text()}")


def boot_disk():
    with tempfile.TemporaryDirectory() as tmp:
        with open(pc_metal.build(tmp, "boot"), "rb") as f, open(f"{tmp}/disk", "wb") as disk:
            disk.write((f.read().ljust(16 * 512, b"\0") + b"\1MBR01").ljust(1 << 20, b"\0"))
        boot_both(tmp, "-drive", f"file={tmp}/disk,format=raw", want="Rhea's boot sector from drive 0x80, which has MBR01.")


def boot_cd():
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(f"{tmp}/files")
        os.rename(pc_metal.build(tmp, "boot"), f"{tmp}/files/boot.img")
        subprocess.run(["genisoimage", "-quiet", "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "1", "-o", f"{tmp}/cd.iso", f"{tmp}/files"], check=True)
        boot_both(tmp, "-cdrom", f"{tmp}/cd.iso", want="Rhea's boot sector from drive 0xe0, which has CD001.")


def network(irqchip):
    """SeaBIOS starts the network card's iPXE, which gets a lease and by TFTP the boot sector. A kernel that emulates the processor needs minutes to
    unpack iPXE; what it cannot emulate, and interrupts that it loses, is done here."""
    need_kvm()
    if not os.path.exists("/usr/lib/ipxe/qemu/efi-virtio.rom"):
        skip("Debian's package ipxe-qemu is not installed")
    with tempfile.TemporaryDirectory() as tmp:
        files = tempfile.mkdtemp(dir=tmp)
        pc_metal.build(files, "boot")
        g = Guest(tmp, "-M", "pc", "-m", "64", "-accel", f"kvm,kernel-irqchip={irqchip}", "-serial", "stdio", "-no-reboot", "-boot", "n",
                  "-netdev", f"user,id=n,tftp={files},bootfile=boot", "-device", "virtio-net-pci,netdev=n")
        limit = time.monotonic() + HANG
        while "starting execution" not in (text := g.picture().text()):
            if time.monotonic() > limit:
                expect(False, "iPXE starts", text)
            time.sleep(0.5)
        print("ok: iPXE starts", flush=True)
        g.wait_for("Rhea's boot sector", HANG)
        g.wait_for("\n")
        text = g.picture().text()
        expect("10.0.2.15" in text and "Rhea's boot sector" in text, "the lease and the boot sector are on the screen", text)
        g.send("x")
        expect(g.end()[0] == 0, "the end")


def boot_network():
    network("on")


def boot_network_split():
    network("split")


def boot_network_off():
    network("off")


# ---- where KVM cannot be had ----

def guest_rom(tmp):
    """A ROM that ends at once by isa-debug-exit: status 33."""
    with open(f"{tmp}/rom", "wb") as f:
        f.write(bytes.fromhex("b010 e6f4 f4").rjust(0xfff5, b"\x90").ljust(1 << 16, b"\x90"))
    return ["-M", "pc", "-m", "16", "-nodefaults", "-display", "none", "-device", "isa-debug-exit,iobase=0xf4", "-no-reboot", "-bios", f"{tmp}/rom"]


def in_namespace(script):
    """A command's beginning that runs it where script has changed what is mounted; skipped where that may not be done."""
    prefix = ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh"]
    p = subprocess.run([*prefix, "true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        skip(f"no mount namespace: {p.stdout.strip()}")
    return prefix


# Which of the four: how it is brought about, and what is said.
NO_DEVICE = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9", "KVM: there is no /dev/kvm: load the module kvm-intel or kvm-amd"
NO_EXTENSION = f"{NO_DEVICE[0]} && mknod -m 666 /dev/kvm c 511 255", "KVM: the processor's virtualisation (VMX, SVM) is missing or switched off"
NO_KVM = "mount --bind /dev/null /dev/kvm", "KVM: the kernel's interface has version"
NO_FEATURE = "KVM: the kernel's has not KVM_CAP_XCRS; a newer kernel is needed"
NO_VM = "KVM: the processor's virtualisation is in use by another hypervisor"
# A kernel that lacks it, or with VM that cannot make a VM.
OTHER_KERNEL = r"""
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
#ifdef VM
    if (request == KVM_CREATE_VM) {
        errno = EBUSY;
        return -1;
    }
#else
    if (request == KVM_CHECK_EXTENSION && (unsigned long)arg == KVM_CAP_XCRS)
        return 0;
#endif
    return ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(fd, request, arg);
}
"""


def other_kernel(tmp, lacks):
    subprocess.run(["gcc", "-D_GNU_SOURCE", f"-D{lacks}", "-shared", "-fPIC", "-x", "c", "-", "-o", f"{tmp}/{lacks}.so"], input=OTHER_KERNEL, text=True, check=True)
    return ["env", f"LD_PRELOAD={tmp}/{lacks}.so"]


def messages():
    """No device, no permission, no extension of the processor, no feature: each has a line of its own."""
    with tempfile.TemporaryDirectory() as tmp:
        os.chmod(tmp, 0o755)
        rom = guest_rom(tmp)
        if os.getuid():
            skip("only root can take devices away")
        cases = [("device", in_namespace(NO_DEVICE[0]), NO_DEVICE[1]), ("extension", in_namespace(NO_EXTENSION[0]), NO_EXTENSION[1])]
        nobody = "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
        private = f"{NO_DEVICE[0]} && mknod -m 600 /dev/kvm c 10 232"
        if subprocess.run([*nobody, *EMULATOR, "--version"], capture_output=True).returncode == 0:
            cases.append(("permission", [*in_namespace(private), *nobody], "KVM: no permission to open /dev/kvm"))
        else:
            print(f"left out: nobody may not run {EMULATOR[0]}")
        if os.path.exists(DEVICE):
            cases.append(("KVM", in_namespace(NO_KVM[0]), NO_KVM[1]))
            try:
                os.close(os.open(DEVICE, os.O_RDWR))
                cases += [("feature", other_kernel(tmp, "FEATURE"), NO_FEATURE), ("VM", other_kernel(tmp, "VM"), NO_VM)]
            except OSError:
                print("left out: a kernel that lacks a feature")
        for name, prefix, message in cases:
            status, out = rhea("-accel", "kvm", *rom, prefix=prefix)
            expect(status == 1 and message in out and out.count("\n") == 1, f"no {name}: {out.strip()}", out)
            for chain in ["-accel", "kvm", "-accel", "tcg"], ["-machine", "pc,accel=kvm:tcg"]:
                status, out = rhea(*rom, *chain, prefix=prefix)
                expect(status == 33 and message in out and out.count("\n") == 1 and "the next -accel is tried" in out, f"no {name}: {' '.join(chain)}", out)
            status, out = rhea("-accel", "help", prefix=prefix)
            expect(status == 0 and re.search(r"^tcg  ", out, re.M) and f"not here: {message}" in out, f"no {name}: -accel help", out)


def options():
    """The names it has, and guests that it cannot run."""
    status, out = rhea("-accel", "kvm", "-M", "virt", "-display", "none", target="riscv64")
    expect(status == 1 and "KVM: this host runs x86_64 and i386 guests, not riscv64" in out, "a guest of another kind", out)
    need_kvm()
    with tempfile.TemporaryDirectory() as tmp:
        rom = guest_rom(tmp)
        for args in (["-accel", "kvm"], ["-enable-kvm"], ["-machine", "pc,accel=kvm"], ["-machine", "pc,accel=kvm:tcg"], ["-accel", "kvm,kernel-irqchip=split"],
                     ["-machine", "pc,accel=kvm,kernel-irqchip=off"], ["-accel", "kvm", "-accel", "tcg"]):
            status, out = rhea(*rom, *args)
            expect(status == 33 and not out, " ".join(args), out)
        status, out = rhea(*rom, "-accel", "kvm,kernel-irqchip=maybe")
        expect(status == 1 and "on, split, off" in out, f"kernel-irqchip=maybe: {out.strip()}", out)
        status, out = rhea(*rom, "-accel", "kvm", "-icount", "shift=1")
        expect(status == 1 and out.count("\n") == 1, f"-icount: {out.strip()}", out)
        status, out = rhea("-accel", "help")
        expect(status == 0 and re.search(r"^kvm  ", out, re.M) and "not here" not in out, "-accel help", out)


# ---- guests that fail ----

def failures():
    """A guest that the processor or the kernel cannot go on with: the emulator lives, says why, and a reset starts it anew."""
    need_kvm()
    with tempfile.TemporaryDirectory() as tmp:
        elf = pc_metal.build(tmp, "pc64")
        program = [*pc_metal.MACHINE, *pc_metal.DEVICES, "-accel", "kvm", "-kernel", elf, "-append"]
        g = Guest(tmp, *program, "triple-fault")
        g.wait_for("now\n", HANG)
        g.wait_for("now\n", HANG)
        expect("running" in g.tell("info status"), "a triple fault resets, again and again")
        g.quit()
        g = Guest(tmp, *program, "triple-fault", "-no-reboot")
        expect(g.end()[0] == 0, "a triple fault ends it with -no-reboot")
        g = Guest(tmp, *program, "internal-error")
        g.wait_for("now\n", HANG)
        g.wait_for("KVM: vCPU 0 stops", HANG)
        g.wait_for("rip=", HANG)
        while "internal-error" not in (status := g.tell("info status")):
            if "running" not in status:
                expect(False, "an internal error stops it", status)
        print(status)
        expect("rip" in g.tell("info registers"), "its registers can be seen")
        g.tell("system_reset")
        while "running" not in g.tell("info status"):  # the reset comes a little later
            print(g.tell("cont"))
        g.wait_for("now\n", HANG)
        expect(True, "a reset starts it anew")
        g.quit()


TESTS = {f.__name__: f for f in (metal_on, metal_split, metal_off, unplug, screen, boot_disk, boot_cd, boot_network, boot_network_split, boot_network_off,
                                 messages, options, failures)}

if __name__ == "__main__":
    session.main(TESTS, __doc__)
