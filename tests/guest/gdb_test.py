#!/usr/bin/env python3
"""The debugger's stub: GDB itself with small bare-metal programs on each target, and a client of its own where several processors stop,
or where a kernel's KVM may not report what it is asked for.

    gdb_test.py RHEA TEST|list

SPDX-License-Identifier: MIT
"""
import os, re, shutil, socket, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pc_metal, session
from session import EMULATOR, Session, expect, skip

HERE = os.path.dirname(os.path.abspath(__file__))
METAL = os.path.join(HERE, "metal")
HANG = 600  # seconds, for what hangs, not for a busy host
PATIENCE = 20  # seconds for a kernel to report what its processor meets at once

# target: its names of what the program loads to and counts with
REGISTERS = {"x86_64": ("eax", "rbx"), "i386": ("eax", "ebx"), "riscv64": ("a0", "s1"), "riscv32": ("a0", "s1")}


def build(tmp, target):
    """The program in tmp; its path and {symbol: address}."""
    out, plain = f"{tmp}/program", "-nostdlib -static -Wl,--build-id=none -Wl,--no-warn-rwx-segments".split()
    if target.startswith("riscv"):
        cc, bits = "riscv64-linux-gnu-gcc", target[5:]
        if not shutil.which(cc):
            skip(f"{cc} (package gcc-riscv64-linux-gnu) is missing")
        abi = {"64": ["-march=rv64imac_zicsr", "-mabi=lp64"], "32": ["-march=rv32imac_zicsr", "-mabi=ilp32"]}[bits]
        command = [cc, *abi, "-mcmodel=medany", *plain, f"-Wl,-T{METAL}/link.ld", f"{METAL}/gdb/riscv.S", "-o", out]
    else:
        command = ["gcc", "-m32", "-no-pie", *plain, f"-Wl,-T{METAL}/pc/link.ld", "-Wl,-z,noexecstack", f"{METAL}/gdb/x86.S", "-o", out]
    subprocess.run(command, check=True)
    with open(out, "rb") as f:
        elf = f.read()
    return out, symbols(elf)


def symbols(elf):
    """Of an ELF file: {name: address}, of its symbol table."""
    wide = elf[4] == 2
    word, half = (8, 2) if wide else (4, 2)
    number = lambda at, size: int.from_bytes(elf[at:at + size], "little")
    table, size, count = number(40 if wide else 32, word), number(58 if wide else 46, half), number(60 if wide else 48, half)
    sections = [table + size * i for i in range(count)]
    found = {}
    for s in sections:
        if number(s + 4, 4) != 2:  # SHT_SYMTAB
            continue
        at, length, link = number(s + (24 if wide else 16), word), number(s + (32 if wide else 20), word), number(s + (40 if wide else 24), 4)
        names, each = number(sections[link] + (24 if wide else 16), word), 24 if wide else 16
        for entry in range(at, at + length, each):
            name = names + number(entry, 4)
            found[elf[name:elf.index(b"\0", name)].decode()] = number(entry + (8 if wide else 4), word)
    return found


class Guest(Session):
    """The program, stopped before its first instruction, with the stub on a port."""

    def __init__(self, tmp, target, *args):
        self.target = target
        self.program, self.at = build(tmp, target)
        self.port = session.free_port()
        machine = ["-M", "virt", "-bios", "none", "-display", "none"] if target.startswith("riscv") else pc_metal.MACHINE
        super().__init__([*EMULATOR, "-target", target, *machine, "-kernel", self.program, "-serial", "none", "-monitor", "none", "-S", "-gdb",
                          f"tcp:127.0.0.1:{self.port}", *args])

    def connect(self):
        limit = time.monotonic() + HANG
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=HANG)
            except OSError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    expect(False, "the emulator listens", self.end()[1])
                time.sleep(0.05)

    def gdb(self, *commands):
        """Run GDB with these commands; its output."""
        self.connect().close()  # it listens
        script = ["set pagination off", "set confirm off", "set remotetimeout 300", "set tcp connect-timeout 300", f"target remote 127.0.0.1:{self.port}"]
        command = ["gdb-multiarch", "-nx", "-batch", *(x for c in [*script, *commands] for x in ("-ex", c))]
        try:
            p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANG)
        except subprocess.TimeoutExpired as e:
            expect(False, "gdb comes to its end", (e.stdout or b"").decode(errors="replace"))
        return p.stdout.decode(errors="replace")


class Client:
    """The protocol, without GDB."""

    def __init__(self, guest):
        self.s = guest.connect()
        self.rest = b""
        expect(self.ask("QStartNoAckMode") == "OK", "the stub answers")
        self.s.sendall(b"+")

    def send(self, text):
        data = text.encode()
        self.s.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def reply(self, seconds=HANG):
        """The next packet; None if none comes."""
        limit = time.monotonic() + seconds
        while not (m := re.search(rb"\$([^#]*)#..", self.rest, re.S)):
            left = limit - time.monotonic()
            if left <= 0:
                return None
            self.s.settimeout(left)
            try:
                got = self.s.recv(65536)
            except socket.timeout:
                return None
            if not got:
                expect(False, "the stub is there")
            self.rest += got
        self.rest = self.rest[m.end():]
        return m[1].decode()

    def ask(self, text):
        self.send(text)
        return self.reply()

    def register(self, number, thread=1):
        if self.ask(f"Hg{thread:x}") != "OK":
            expect(False, f"thread {thread}")
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def stop(self):
        self.s.sendall(b"\3")
        return self.reply()


def need_gdb():
    if not shutil.which("gdb-multiarch"):
        skip("gdb-multiarch (package gdb-multiarch) is missing")


def session_script(g):
    """What is done in the first session, and what its output must have."""
    a, (load, turns) = g.at, REGISTERS[g.target]
    at, count = 'printf "%s %x\\n", (unsigned int)$pc', f'printf "count %d\\n", *(int*){a["counter"]:#x}'
    # GDB takes RISC-V's watchpoints to stop in front of the access, and makes a step by itself
    stored, loaded = (a["after"], a["loaded"] + 4) if "riscv" in g.target else (a["ticked"], a["loaded"])
    steps = [
        ([at.replace("%s", "start")], f"start (1000|fff0|{a['_start']:x})\n"),
        ([f"break *{a['tick']:#x}", "continue", at.replace("%s", "break"), count], f"break {a['tick']:x}\ncount 0\n"),
        (["continue", at.replace("%s", "break"), count], f"break {a['tick']:x}\ncount 1\n"),
        (["delete", f"hbreak *{a['again']:#x}", "continue", at.replace("%s", "hbreak")], f"hbreak {a['again']:x}\n"),
        (["delete", "stepi", at.replace("%s", "step")], f"step {a['tick']:x}\n"),
        ([f"watch *(int*){a['counter']:#x}", "continue", at.replace("%s", "watch")], f"Old value = 2\nNew value = 3\n(.|\n)*watch {stored:x}\n"),
        (["delete", f"rwatch *(int*){a['seen']:#x}", "continue", at.replace("%s", "rwatch")], f"rwatch {loaded:x}\n"),
        (["delete", f"awatch *(int*){a['counter']:#x}", "continue", "delete", count], "count "),
        ([f"set var *(int*){a['seen']:#x} = 0x55aa", f"set var ${turns} = 0x1234", f"hbreak *{a['loaded']:#x}", "continue",
          f'printf "read %x turns %x\\n", ${load}, ${turns}'], "read 55aa turns 1234\n"),
        (["delete", "stepi", f'printf "turns %x\\n", ${turns}'], "turns 1235\n"),
        (["monitor info status"], r"VM status: paused \(debug\)\n"),
        (["monitor nonsense"], "unknown command: 'nonsense'"),
        (["info threads"], r"\* 1 +Thread 1 \(CPU#0 \[running\]\)"),
        (["info all-registers"], "mxcsr" if "86" in g.target else "mstatus"),
        (["detach"], r"\[Inferior 1 \(.*\) detached\]"),
    ]
    return [c for commands, _ in steps for c in commands], [wanted for _, wanted in steps]


def debug(target, *args):
    need_gdb()
    with tempfile.TemporaryDirectory() as tmp:
        g = Guest(tmp, target, *args)
        commands, wanted = session_script(g)
        out, place = g.gdb(*commands), 0
        for pattern in wanted:
            m = re.compile(pattern).search(out, place)
            expect(m, f"{pattern!r} from gdb", out)
            place = m.end()
        count = f'printf "count %d\\n", *(int*){g.at["counter"]:#x}'
        out = g.gdb(count, "monitor info status", f"break *{g.at['tick']:#x}", "continue", 'printf "break %x\\n", (unsigned int)$pc', "kill")
        m = re.search(r"count (\d+)\nVM status: paused\n(.|\n)*break (\w+)\n", out)
        expect(m and int(m[3], 16) == g.at["tick"], "a second session finds the guest, which had gone on", out)
        status, out = g.end()
        expect(status == 0, "kill ends the emulator", out)


def test_x86_64():
    debug("x86_64", "-accel", "tcg")


def test_x86_64_interpreter():
    debug("x86_64", "-accel", "tcg,jit=off")


def test_i386():
    debug("i386", "-accel", "tcg")


def test_riscv64():
    debug("riscv64", "-accel", "tcg")


def test_riscv64_single():
    debug("riscv64", "-accel", "tcg,thread=single")


def test_riscv64_icount():
    debug("riscv64", "-accel", "tcg", "-icount", "shift=1")


def test_riscv32():
    debug("riscv32", "-accel", "tcg")


PC, TURNS, HARTS = 32, 9, 2


def smp(*args):
    """Each hart meets the breakpoint once in each of its turns, however they come together."""
    with tempfile.TemporaryDirectory() as tmp:
        g = Guest(tmp, "riscv64", "-smp", HARTS, *args)
        c, turns, told = Client(g), {}, [0] * (HARTS + 1)
        expect(c.ask("qfThreadInfo") == "m01,02" and c.ask("qsThreadInfo") == "l", "threads")
        expect(c.ask(f"Z1,{g.at['tick']:x},4") == "OK", "a breakpoint")
        limit, n = time.monotonic() + HANG, 0
        while n < 400 or (min(told[1:]) < 20 and time.monotonic() < limit):
            n += 1
            stop = c.ask("c" if n % 3 else "vCont;c")
            thread = int(re.match("T05thread:(..);", stop)[1], 16)
            if c.register(PC, thread) != g.at["tick"]:
                expect(False, "the breakpoint's place", stop)
            now = c.register(TURNS, thread)
            if now != turns.get(thread, -1) + 1:
                expect(False, "each turn's breakpoint", f"hart {thread}: {turns} {now}")
            turns[thread] = now
            told[thread] += 1
        expect(all(told[1:]), f"both harts were told, {told[1:]} times; each time once in a turn")
        expect(c.ask(f"z1,{g.at['tick']:x},4") == "OK", "without breakpoint")
        before = [c.register(PC, t) for t in (1, 2)]
        expect(c.ask("vCont;s:2").startswith("T05thread:02;"), "a step of the second hart")
        expect(c.register(PC, 1) == before[0] and c.register(PC, 2) != before[1], "which the first has not made")
        c.send("vCont;c")
        expect(re.match("T02thread:0[12];", c.stop()), "Ctrl-C")
        c.s.close()  # in the middle: the next one finds all
        c = Client(g)
        expect(c.ask("D") == "OK", "detach")
        c.send("k")
        status, out = g.end()
        expect(status == 0, "the end", out)


def test_smp():
    smp("-accel", "tcg")


def test_smp_single():
    smp("-accel", "tcg,thread=single")


def test_kvm():
    """Kernels without the processor's help do not report all of it: what there is is used."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        skip(f"/dev/kvm: {e.strerror}")
    with tempfile.TemporaryDirectory() as tmp:
        g = Guest(tmp, "x86_64", "-accel", "kvm", "-cpu", "max")
        c, rip, missing = Client(g), 16, []
        c.send("c")
        expect(c.reply(2) is None and c.stop().startswith("T02"), "it runs, and Ctrl-C stops it")
        expect(g.at["_start"] <= c.register(rip) < g.at["_start"] + 0x100, "in the program")
        counter = lambda: int.from_bytes(bytes.fromhex(c.ask(f"m{g.at['counter']:x},4")), "little")
        expect(counter() > 0 and c.ask(f"M{g.at['seen']:x},4:aa550000") == "OK", "its memory")
        before = c.register(rip)
        c.send("s")
        stop = c.reply(PATIENCE)
        if stop is None:
            missing.append("single steps")
            c.stop()
        else:
            expect(stop.startswith("T05") and c.register(rip) != before, "a step")
        for what, point, place in (("hardware breakpoints", "1,{tick:x},1", "tick"), ("watchpoints", "2,{counter:x},4", "ticked"),
                                   ("software breakpoints", "0,{again:x},1", "again")):
            point = point.format(**g.at)
            expect(c.ask("Z" + point) == "OK", what)
            c.send("c")
            stop = c.reply(PATIENCE)
            if stop is None or stop.startswith("T06"):  # the guest had int3 itself, which may be its end
                missing.append(what)
                if stop is None:
                    c.stop()
            else:
                expect(stop.startswith("T05") and c.register(rip) == g.at[place], f"{what}: {stop}")
            expect(c.ask("z" + point) == "OK", f"{what}: taken out")
        expect(c.ask("D") == "OK", "detach")
        c.s.close()
        c = Client(g)
        c.send("k")
        status, out = g.end()
        expect(status == 0, "the end", out)
    if missing:
        skip(f"this kernel does not report {', '.join(missing)}")
    debug("x86_64", "-accel", "kvm", "-cpu", "max")


if __name__ == "__main__":
    session.main(session.named(globals()), __doc__)
