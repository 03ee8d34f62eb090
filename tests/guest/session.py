"""A running emulator whose output is read as it comes, and what all guest tests say when one is right, wrong or not possible here.

SPDX-License-Identifier: MIT
"""
import atexit, os, select, socket, subprocess, sys, time

SKIP = 77


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
