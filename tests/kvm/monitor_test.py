"""The monitor while the guest runs, and after it could not go on; the same under each accelerator. usage: monitor_test.py RHEA"""
import re
import subprocess
import sys
import tempfile
import threading

LIMIT = 120
# mov ax, 0; mov ds, ax; mov dword [0x504], 0x12345678; inc dword [0x500]; jmp back to inc
LOOPS = bytes.fromhex("b800008ed866c706040578563412" "66ff060005" "ebf9")
# mov cx, 1000; out 0x80, al; loop back to out; hlt; jmp back to hlt
OUTS = bytes.fromhex("b9e803" "e680" "e2fc" "f4" "ebfd")
# The debug port says that it begins; then where there is neither memory nor a device
LOST = bytes.fromhex("ba0204b041ee" "ea1000ffff")


def image(code, path):
    bios = bytearray(b"\xf4" * 0x10000)
    bios[0xe000:0xe000 + len(code)] = code
    bios[0xfff0:0xfff5] = bytes.fromhex("ea00e000f0")  # jmpf 0xf000:0xe000
    open(path, "wb").write(bios)
    return path


class Monitor:
    def __init__(self, rhea, accel, *more):
        self.p = subprocess.Popen([rhea, "-target", "x86_64", "-M", "pc", "-m", "1", "-accel", accel, "-nodefaults", "-display", "none", "-vga", "none",
                                   "-monitor", "stdio", *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.timer = threading.Timer(LIMIT, self.p.kill)
        self.timer.start()
        self.ask("")

    def ask(self, command):
        """The answer: what comes before the next command that cannot be mistaken."""
        self.p.stdin.write(command + "\nhelp quit\n")
        self.p.stdin.flush()
        text = ""
        while "quit" not in (line := self.p.stdout.readline()) or "help quit" in line:
            if not line:
                raise SystemExit(f"FAILED: {command}: the process has ended: {text}{self.p.stderr.read()}")
            text += line
        return text

    def wait_for(self, command, pattern):
        while not (found := re.search(pattern, text := self.ask(command))):
            if not self.timer.is_alive():
                raise SystemExit(f"FAILED: {command} never gives {pattern}: {text}")
        return found

    def quit(self):
        self.p.stdin.write("quit\n")
        self.p.stdin.flush()
        errors = self.p.communicate()[1]
        self.timer.cancel()
        if self.p.returncode:
            raise SystemExit(f"FAILED: status {self.p.returncode}: {errors}")
        return errors


def running(rhea, accel, tmp):
    m = Monitor(rhea, accel, "-bios", image(LOOPS, f"{tmp}/loops"))
    m.wait_for("xp /1xw 0x504", "0x12345678")
    for _ in range(20):
        m.wait_for("info registers", r"rip=000000000000e0(0|1).*\n(.*\n)*CS +=f000 00000000000f0000")
    count = lambda: int(m.wait_for("xp /1xw 0x500", r"500: *(0x\w+)").group(1), 16)
    first = count()
    while count() == first:
        pass
    m.ask("stop")
    m.wait_for("info status", "paused")
    stopped = count()
    m.ask("info registers")
    assert count() == stopped
    m.ask("cont")
    m.wait_for("info status", "running")
    while count() == stopped:
        pass
    m.ask("system_reset")
    m.wait_for("xp /1xw 0x504", "0x12345678")
    m.quit()


def exits(rhea, accel, tmp):
    m = Monitor(rhea, accel, "-smp", "2", "-bios", image(OUTS, f"{tmp}/outs"))
    if accel == "kvm":
        m.wait_for("info kvm", r"kvm support: enabled\s+CPU #0: exits=1\d\d\d io=1000\b.*\s+CPU #1: exits=")
    else:
        assert re.search(r"kvm support: disabled\s", text := m.ask("info kvm")) and "CPU #" not in text, text
    m.quit()


def lost(rhea, tmp):
    log = f"{tmp}/debugcon"
    m = Monitor(rhea, "kvm", "-bios", image(LOST, f"{tmp}/lost"), "-chardev", f"file,id=d,path={log}", "-device", "isa-debugcon,iobase=0x402,chardev=d")
    m.wait_for("info status", r"paused \(internal-error\)")
    m.wait_for("info registers", "CS +=ffff")
    assert "system_reset" in m.ask("cont")
    m.wait_for("info status", r"paused \(internal-error\)")
    m.ask("system_reset")
    m.wait_for("info status", r"paused\s*$|paused\s*\n")
    m.ask("cont")
    m.wait_for("info status", r"paused \(internal-error\)")
    errors = m.quit()
    assert errors.count("rhea: KVM: vCPU 0 stops") == 2 and "CS  =ffff" in errors, errors
    assert open(log).read() == "AA"


def main(rhea):
    with tempfile.TemporaryDirectory() as tmp:
        running(rhea, "tcg", tmp)
        exits(rhea, "tcg", tmp)
        kvm = subprocess.run([rhea, "-target", "x86_64", "-accel", "kvm", "-M", "pc", "-nodefaults", "-display", "none", "-monitor", "stdio", "-S"], input="quit\n",
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        if kvm.returncode:
            print("without KVM:", kvm.stderr)
            return
        running(rhea, "kvm", tmp)
        exits(rhea, "kvm", tmp)
        lost(rhea, tmp)


main(sys.argv[1])
