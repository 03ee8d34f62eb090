"""A running emulator whose output is read as it comes, the command line that all guest tests have, and what they say when one is right, wrong
or not possible here.

SPDX-License-Identifier: MIT
"""
import atexit, os, select, shlex, socket, subprocess, sys, time

SKIP = 77
EMULATOR = []  # the command that the test was called with: Rhea alone, or another emulator with its options


def named(names):
    """The tests among a module's globals(): {what follows test_: function}."""
    return {name[5:]: f for name, f in names.items() if name.startswith("test_")}


def main(tests, about, prepare=lambda: None):
    """`FILE EMULATOR NAME` runs that one of tests, {name: function}; `FILE EMULATOR list` prints the names. prepare() comes before a test."""
    if sys.argv[2:] == ["list"]:
        print(*tests, sep="\n")
        return
    if len(sys.argv) < 3 or sys.argv[2] not in tests:
        sys.exit("\n".join([about, *tests]))
    EMULATOR[:] = shlex.split(sys.argv[1])
    prepare()
    tests[sys.argv[2]]()


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)


def expect(ok, what, output=""):
    if not ok:
        print(output[-6000:])
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


def free_port():
    """A port of 127.0.0.1 that is not in use: none that the kernel gives out by itself, nor another test of this run takes at the same time."""
    for port in (20000 + (os.getpid() * 8 + n) % 12000 for n in range(12000)):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    sys.exit("no port is free")


class Session:
    """A command that runs, its input and its output."""

    def __init__(self, command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        atexit.register(self.process.kill)  # nothing once it has ended
        self.seen, self.place = b"", 0

    def wait_for(self, text, seconds=900, again=""):
        """Read on until text comes, after what earlier calls waited for; fail if it does not. What there is to send again whenever
        a minute brought nothing makes a prompt come that a message had split."""
        limit, text = time.monotonic() + seconds, text.encode()
        while (at := self.seen.find(text, self.place)) < 0:
            left = limit - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, min(60, left)))
            got = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            self.seen += got
            if (ready and not got) or left <= 0:
                why = f"within {seconds} s" if not ready else "before it ended"
                expect(False, f"{text} in the output {why}", self.seen.decode(errors="replace"))
            if not ready:
                self.send(again)
        self.place = at + len(text)

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self, seconds=900):
        try:
            self.seen += self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired as e:
            expect(False, "it ends", (self.seen + (e.stdout or b"")).decode(errors="replace"))
        return self.process.returncode, self.seen.decode(errors="replace")
