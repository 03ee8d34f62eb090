#!/usr/bin/env python3
"""Each byte that a guest writes to video memory is on the screen: drawn after the last picture, in a bank that was switched
since, again in the same page; and nothing changes where nothing is written. Writes that an accelerator puts aside are seen, and
in order. By every accelerator there is here.

    screen_log_test.py RHEA

SPDX-License-Identifier: MIT
"""
import os, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
HANG = 60  # seconds, for what never comes, not for a busy host


def build(tmp):
    rom = f"{tmp}/rom"
    subprocess.run(["gcc", "-m32", "-c", "-o", f"{rom}.o", f"{HERE}/screen_log.S"], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", f"{rom}.o", rom], check=True)
    return rom


class Pc:
    def __init__(self, rhea, accel, rom, tmp):
        self.tmp = tmp
        server = socket.socket(socket.AF_UNIX)
        os.mkdir(tmp)
        path = f"{tmp}/sock"
        server.bind(path)
        server.listen(1)
        server.settimeout(60)
        self.process = subprocess.Popen([rhea, "-target", "x86_64", "-accel", accel, "-M", "pc", "-m", "16", "-nodefaults", "-vga", "std",
                                         "-display", "none", "-bios", rom, "-serial", f"unix:{path}", "-monitor", "stdio"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.serial = server.accept()[0]
        self.serial.settimeout(60)
        self.seen = b""
        self.prompt()
        assert self.serial.recv(1) == b"r"

    def prompt(self):
        while b"(rhea) " not in self.seen:
            part = os.read(self.process.stdout.fileno(), 4096)
            assert part, self.seen
            self.seen += part
        self.seen = b""

    def order(self, text):
        self.serial.sendall(text)
        assert self.serial.recv(1) == text[:1]

    def picture(self):
        path = f"{self.tmp}/picture"
        self.process.stdin.write(f"screendump {path}\n".encode())
        self.process.stdin.flush()
        self.prompt()
        with open(path, "rb") as f:
            magic, size, depth, rgb = f.read().split(b"\n", 3)
        assert magic == b"P6" and size == b"640 200", size
        return rgb

    def end(self):
        self.process.stdin.write(b"q\n")
        self.process.stdin.flush()
        assert self.process.wait(60) == 0


def red(picture, at):
    return picture[at * 3] >> 2


def check(name, got, wanted):
    print(f"{'ok' if got == wanted else 'not ok'} {name}" + ("" if got == wanted else f": {got}, not {wanted}"), flush=True)
    return got == wanted


def run(pc, accel):
    ok = True
    before = pc.picture()
    ok &= check(f"{accel}: nothing is drawn yet", red(before, 0), 0)
    for colour in 5, 6, 7:
        pc.order(b"a%c" % colour)
        after = pc.picture()
        ok &= check(f"{accel}: colour {colour}", (red(after, 0), red(after, 0x8000)), (colour, colour))
        ok &= check(f"{accel}: the same again", pc.picture() == after, True)
    pc.order(b"b\1")
    pc.order(b"a\11")
    after = pc.picture()
    ok &= check(f"{accel}: another bank", (red(after, 0), red(after, 0x10000), red(after, 0x18000)), (7, 9, 9))
    pc.order(b"a\12")  # and away before anybody looks
    pc.order(b"b\0")
    after = pc.picture()
    ok &= check(f"{accel}: a bank that was switched", (red(after, 0x10000), red(after, 0x18000)), (10, 10))
    pc.order(b"p")
    ok &= check(f"{accel}: a command that draws nothing", pc.picture() == after, True)
    pc.order(b"c\23")  # nothing makes the processor leave the guest after that
    for _ in range(HANG * 10):
        if red(pc.picture(), 0) == 0x13:
            break
        time.sleep(0.1)
    ok &= check(f"{accel}: a colour that is changed last of all", red(pc.picture(), 0), 0x13)
    return ok


def run_order(pc, accel):
    pc.serial.sendall(b"o")
    return check(f"{accel}: writes are done in order", pc.serial.recv(1), b"o")


def main():
    rhea, ok = sys.argv[1], True
    with tempfile.TemporaryDirectory() as tmp:
        rom = build(tmp)
        usable = subprocess.run([rhea, "-target", "x86_64", "-accel", "kvm", "-M", "pc", "-nodefaults", "-vga", "none", "-display", "none", "-S", "-monitor", "stdio"],
                                input=b"q\n", capture_output=True)
        if usable.returncode:
            print("skipped: kvm:", usable.stderr.decode().strip())
        for accel in ["tcg"] + ([] if usable.returncode else ["kvm"]):
            for part in run, run_order:
                pc = Pc(rhea, accel, rom, f"{tmp}/{accel}{part.__name__}")
                try:
                    ok &= part(pc, accel)
                    pc.end()
                finally:
                    pc.process.kill()
    sys.exit(not ok)


if __name__ == "__main__":
    main()
