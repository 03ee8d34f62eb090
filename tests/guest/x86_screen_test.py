#!/usr/bin/env python3
"""What guests of PCs show on the screen: text mode from the start, Debian's installer, GRUB's menu, memtest86+.

    x86_screen_test.py RHEA TEST|list [KEEP]     KEEP: a folder for the pictures

SPDX-License-Identifier: MIT
"""
import atexit, collections, os, re, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import images, session, x86_test
from session import EMULATOR, skip

HANG = 1800  # seconds, for a guest that hangs, not for a busy host
INSTALLER = "/usr/lib/debian-installer/images/12/amd64"
VGA_BIOS = "/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/qemu/vgabios-stdvga.bin"
FULL = 0xDB  # the block in code page 437; the lower half of one comes next


def font():
    """{16 rows of bits: character}, of the VGA BIOS: 256 characters with blanks and blocks where code page 437 has them."""
    path = next(filter(os.path.exists, VGA_BIOS), None) or skip("Debian's package seabios is not installed")
    with open(path, "rb") as f:
        rom = f.read()
    at = rom.find(b"\xff" * 16 + bytes(7))
    while at >= 0:
        start = at - FULL * 16
        if start >= 0 and not any(rom[start:start + 16]) and not any(rom[start + 512:start + 528]):
            return {rom[start + c * 16:start + c * 16 + 16]: chr(c) for c in reversed(range(32, 127))}
        at = rom.find(b"\xff" * 16 + bytes(7), at + 1)
    sys.exit(f"no font of 16 rows is in {path}")


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


class Picture:
    def __init__(self, ppm):
        magic, size, depth, self.rgb = ppm.split(b"\n", 3)
        self.width, self.height = map(int, size.split())
        assert magic == b"P6" and depth == b"255" and len(self.rgb) == self.width * self.height * 3

    def pixel(self, x, y):
        at = (y * self.width + x) * 3
        return tuple(self.rgb[at:at + 3])

    def colours(self, top, bottom):
        """How much of these rows each colour takes, of 1."""
        rows = memoryview(self.rgb)[top * self.width * 3:bottom * self.width * 3]
        count = collections.Counter(zip(rows[::3], rows[1::3], rows[2::3]))
        return {c: n / (len(rows) // 3) for c, n in count.items()}

    def cell(self, x, y):
        """The character's rows as bits: ink is what differs from the corner at the left bottom."""
        paper, rows = self.pixel(x, y + 15), bytearray(16)
        for row in range(16):
            for column in range(8):
                if self.pixel(x + column, y + row) != paper:
                    rows[row] |= 0x80 >> column
        return bytes(rows)

    def text(self):
        """The characters in the font of the BIOS, in text mode (9 pixels wide) and on a kernel's framebuffer console (8)."""
        known, step = font(), 9 if self.width == 720 else 8
        return "\n".join("".join(known.get(self.cell(x, y), "?") for x in range(0, self.width - 7, step)) for y in range(0, self.height - 15, 16))


class Pc:
    """A PC with a monitor."""

    def __init__(self, tmp, *args):
        self.tmp, self.seen = tmp, b""
        command = [*EMULATOR, "-target", "x86_64", "-display", "none", "-monitor", "stdio", "-no-reboot", *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        atexit.register(self.process.kill)  # nothing once it has ended
        self.answer()

    def answer(self):
        """What the monitor says up to its next prompt."""
        out = b""
        while not out.endswith((b"(rhea) ", b"(rhea) \x1b[K")):
            got = os.read(self.process.stdout.fileno(), 4096)
            if not got:
                sys.exit(f"{out.decode(errors='replace')}\nthe emulator ended with status {self.process.wait()}")
            out += got
        return out.decode(errors="replace")

    def tell(self, command):
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        return self.answer()

    def picture(self):
        self.tell(f"screendump {self.tmp}/screen.ppm")
        with open(f"{self.tmp}/screen.ppm", "rb") as f:
            return Picture(f.read())

    def wait(self, what, there, pause=1):
        """Look at the screen until there(picture); keep that picture."""
        limit = time.monotonic() + HANG
        while not there(picture := self.picture()):
            if time.monotonic() > limit:
                self.keep(what)
                sys.exit(f"the screen does not show {what}:\n{picture.text()}")
            time.sleep(pause)
        self.keep(what)
        return picture

    def wait_text(self, text, pause=1):
        return self.wait(text, lambda p: text in p.text(), pause)

    def keep(self, name):
        for folder in sys.argv[3:]:
            self.tell(f"screendump {folder}/{sys.argv[2]}-{name.replace(' ', '-')}.png -f png")

    def end(self):
        self.process.stdin.write(b"quit\n")
        self.process.stdin.flush()
        self.expect_end()

    def expect_end(self):
        try:
            status = self.process.wait(HANG)
        except subprocess.TimeoutExpired:
            self.keep("hang")
            sys.exit(f"it does not end:\n{self.picture().text()}")
        if status:
            sys.exit(f"exit status {status}")


# ---- the text screen ----

SCREEN = r"""
echo 0 > /proc/sys/kernel/printk
echo "Hello, text screen" > /dev/tty0
read -r line < /dev/tty0
[ "$line" = ok ] && poweroff -f
"""


def text_console():
    """A kernel that starts without firmware has a text screen, from its first message on, and a keyboard."""
    for machine, kernel in ("pc", "linux-image-cloud-amd64"), ("q35", "linux-image-amd64"):
        with tempfile.TemporaryDirectory() as tmp:
            initrd = images.initramfs("x86_64", SCREEN, f"{tmp}/initrd")
            pc = Pc(tmp, "-M", machine, "-m", 512, "-serial", "none", "-kernel", images.kernel("x86_64", kernel), "-initrd", initrd, "-append", "console=tty0")
            pc.wait_text("Hello, text screen")
            for key in "o", "k", "ret":
                pc.tell(f"sendkey {key}")
            pc.expect_end()


# ---- Debian's installer ----

def part(colours, colour, near=24):
    """How much is of about this colour."""
    return sum(share for c, share in colours.items() if all(abs(a - b) <= near for a, b in zip(c, colour)))


def pxelinux_menu(picture):
    """Debian's dark background, the bar of the selected entry, white letters."""
    if (picture.width, picture.height) != (640, 480):
        return False
    colours = picture.colours(0, 480)
    return part(colours, (5, 71, 92)) > 0.3 and 0.01 < part(colours, (113, 155, 191)) < 0.1 and 0.005 < part(colours, (255, 255, 255)) < 0.1


def newt_dialog(picture):
    """Grey dialog with a red selection on blue."""
    if picture.height < 600:
        return False
    colours = picture.colours(0, picture.height)
    return part(colours, (0, 0, 170)) > 0.04 and part(colours, (170, 170, 170)) > 0.1 and 0.0005 < part(colours, (170, 0, 0)) < 0.1


def gtk_dialog(picture):
    """Debian's dark banner; below it grey with a title, a white list of dark letters and in it the bar of the selected line, and buttons."""
    if picture.height < 600:
        return False
    body, title, buttons = (picture.colours(*rows) for rows in ((120, picture.height - 60), (80, 110), (picture.height - 50, picture.height)))
    dark, grey = lambda colours: sum(share for c, share in colours.items() if sum(c) < 200), (237, 233, 227)
    return (part(picture.colours(0, 70), (4, 70, 90), 60) > 0.5 and part(body, (255, 255, 255), 4) > 0.5 and 0.01 < part(body, (41, 135, 125)) < 0.1
            and 0.005 < dark(body) < 0.2 and part(title, grey) > 0.8 and dark(title) > 0.002 and part(buttons, grey) > 0.5 and dark(buttons) > 0.002)


def installer_text():
    """From the network: SeaBIOS, iPXE, PXELINUX and its graphical menu, a kernel in a VESA mode, the list of languages."""
    folder = images.package("x86_64", "debian-installer-12-netboot-amd64") + INSTALLER + "/text"
    with tempfile.TemporaryDirectory() as tmp:
        pc = Pc(tmp, "-m", 1024, "-serial", "none", "-boot", "n", "-netdev", f"user,id=n,tftp={folder},bootfile=pxelinux.0", "-device", "virtio-net-pci,netdev=n")
        pc.wait("menu", pxelinux_menu)
        pc.tell("sendkey ret")
        pc.wait("language", newt_dialog, 5)
        pc.end()


def installer_gtk():
    folder = images.package("x86_64", "debian-installer-12-netboot-amd64") + INSTALLER + "/gtk/debian-installer/amd64"
    with tempfile.TemporaryDirectory() as tmp:
        pc = Pc(tmp, "-M", "q35", "-m", 1024, "-serial", "none", "-kernel", f"{folder}/linux", "-initrd", f"{folder}/initrd.gz")
        pc.wait("language", gtk_dialog, 5)
        pc.end()


# ---- GRUB ----

GRUB = """
set timeout=-1
menuentry "First entry" { true }
menuentry "The second one resets" { reboot }
"""


def start_grub(tmp, *args):
    os.makedirs(f"{tmp}/iso/boot/grub")
    with open(f"{tmp}/iso/boot/grub/grub.cfg", "w") as f:
        f.write(GRUB)
    images.run("grub-mkrescue", "-o", f"{tmp}/grub.iso", f"{tmp}/iso")
    return Pc(tmp, "-m", 256, "-cdrom", f"{tmp}/grub.iso", *args)


def choose_second(pc):
    for key in "down", "ret":
        pc.tell(f"sendkey {key}")
    pc.expect_end()


def grub_seabios():
    for machine in "pc", "q35":
        with tempfile.TemporaryDirectory() as tmp:
            pc = start_grub(tmp, "-M", machine, "-serial", "none")
            pc.wait("the menu", lambda p: re.search(r"GNU GRUB  version(.*\n)+.*\*First entry.*\n.* The second one resets", p.text()))
            choose_second(pc)


def grub_ovmf():
    """The firmware's console is the screen, in a font of its own, and the serial port, where its characters can be read."""
    for machine in "pc", "q35":
        with tempfile.TemporaryDirectory() as tmp:
            pc = start_grub(tmp, "-M", machine, "-serial", f"file:{tmp}/serial", *x86_test.ovmf(tmp))
            pc.wait("the menu", lambda p: re.search(r"GNU GRUB .*First entry.*The second one resets", read(f"{tmp}/serial"), re.S))
            choose_second(pc)


# ---- memtest86+ ----

def memtest(bits):
    """A pass over 24 MiB: minutes, of which nearly three are waiting for bits to fade."""
    iso = images.package("x86_64", "memtest86+") + f"/usr/lib/memtest86+/memtest86+{bits}.iso"
    with tempfile.TemporaryDirectory() as tmp:
        pc = Pc(tmp, "-m", 24, "-serial", "none", "-cdrom", iso)
        picture = pc.wait("a pass", lambda p: re.search(r"Pass: +[1-9]", p.text()) or re.search(r"Errors: *[1-9]", p.text()), 10)
        print(picture.text())
        if not re.search(r"Errors: 0 ", picture.text()):
            sys.exit("memtest86+ found errors")
        pc.end()


def memtest_x64():
    memtest("x64")


def memtest_ia32():
    memtest("ia32")


TESTS = {f.__name__: f for f in (text_console, installer_text, installer_gtk, grub_seabios, grub_ovmf, memtest_x64, memtest_ia32)}

if __name__ == "__main__":
    session.main(TESTS, __doc__)
