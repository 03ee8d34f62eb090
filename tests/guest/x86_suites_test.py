#!/usr/bin/env python3
"""The test suites that perl, openssl and zstd come with, in Debian amd64 on Rhea's PC: what passes on the host's processor passes there.

    x86_suites_test.py RHEA perl|openssl|zstd|list

Debian's source packages are unpacked and built on the host, in a copy of the guest's root, and go into an image that the guest mounts.
What then fails on the host, in that root, does so for reasons that are not Rhea's and does not count; all else has to come out the same in
the guest. Both are kept in the cache. Long, and no part of the test run. RHEA may also be another emulator's command.

SPDX-License-Identifier: MIT
"""
import os, re, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import debian, images, session, x86_debian_test
from session import expect

# Each suite prints lines as perl's test harness does: "name .. ok", "name .. skipped: why", "name .. " and what went wrong.
RESULT = re.compile(r"^(\S+) \.+ ?(.*)$", re.M)
ENVIRONMENT = "env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin"
# A root of its own for the command $1, with processes and a loopback network that nobody else is in.
ENTER = f"""mount -t proc proc "$0/proc" && mount -t sysfs sys "$0/sys" && mount --rbind /dev "$0/dev" && hostname rhea && ip link set lo up &&
exec chroot "$0" {ENVIRONMENT} sh -c "$1" """

# perl's, without those that look whether the source is fit for a release.
PERL_BUILD = "sh Configure -des -Dusethreads -Doptimize=-O2 && make -j2 test_prep"
PERL_RUN = "cd t && PERL_SKIP_TTY_TEST=1 TEST_JOBS=2 ./perl harness -nre=^porting/"
# As Debian's package is made.
OPENSSL_BUILD = """tar xf debian/binary.tar && ./Configure shared no-idea no-mdc2 no-rc5 no-zlib no-ssl3 enable-unit-test no-ssl3-method enable-rfc3779 enable-cms no-capieng \\
    no-rdrand enable-ec_nistp_64_gcc_128 debian-amd64 && make -j2 build_sw && find . -name '*.o' -delete"""
OPENSSL_RUN = "HARNESS_JOBS=2 make -s run_tests"
ZSTD_BUILD = "make -j2 -C programs zstd && make -j2 -C tests datagen fullbench fuzzer zstreamtest decodecorpus poolTests invalidDictionaries legacy longmatch"
# The random ones with a fixed seed and count: the same work on both processors.
ZSTD_RUN = """cd tests
part() {
    name=$1; shift
    "$@" < /dev/null > out 2>&1; status=$?
    tr '\\r' '\\n' < out | grep -v '^ *$' | tail -n $(( status ? 40 : 1 ))
    echo "$name .. $( [ $status = 0 ] && echo ok || echo status $status )"
}
part playTests env ZSTD_BIN=../programs/zstd DATAGEN_BIN=./datagen ./playTests.sh
./cli-tests/run.py --zstd=../programs/zstd --datagen=./datagen 2>&1 | sed -En 's/^PASS: (.*)/\\1 .. ok/p; s/^FAIL: (.*\\.sh)$/\\1 .. failed/p'
part fuzzer ./fuzzer -s1 -i1000
part zstreamtest ./zstreamtest -s1 -i1000
part zstreamtest-newapi ./zstreamtest --newapi -t1 -s1 -i3000
part decodecorpus ./decodecorpus -t -s1 -n2000
for i in poolTests invalidDictionaries legacy longmatch; do part $i ./$i; done
part fullbench ./fullbench -i1
part fullbench-P0 ./fullbench -i1 -P0"""
# {its name and source package: (how it is built, how it is run)}
SUITES = {"perl": (PERL_BUILD, PERL_RUN), "openssl": (OPENSSL_BUILD, OPENSSL_RUN), "zstd": (ZSTD_BUILD, ZSTD_RUN)}
SPARE_MB = 1500  # what tests may write


def in_root(root, command, follow):
    """Run it on the host; follow is called with each line. Returns the status."""
    p = subprocess.Popen(["unshare", "--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, root, command],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    for line in p.stdout:
        follow(line)
    return p.wait()


def script(name):
    return f"cd /suites/{name} && sh ./run-suite"


def results(text):
    return {test: "ok" if how.startswith("ok") else how for test, how in RESULT.findall(text)}


def built(name):
    """The image with the built suite, and the text that it printed on the host."""
    base = f"{images.CACHE}/x86_64/suite-{name}-{debian.digest(SUITES[name])}"
    disk = debian.x86_64_disk(x86_debian_test.start)
    with images.lock(f"suite-{name}.lock"):
        if not os.path.exists(f"{base}.img"):
            if os.path.exists(f"{base}.img.new"):
                os.unlink(f"{base}.img.new")  # of one that was interrupted
            build(name, disk, f"{base}.native", f"{base}.img.new")
            os.rename(f"{base}.img.new", f"{base}.img")
    with open(f"{base}.native") as f:
        return f"{base}.img", f.read()


def build(name, disk, native, new):
    """disk: that of the Debian; native: the file for what it prints on the host; new: the image."""
    debian.need(("dpkg-source", "dpkg-dev"), ("unshare", "util-linux"))
    with tempfile.TemporaryDirectory(dir=images.CACHE) as tmp:
        root, home = f"{tmp}/root", f"{tmp}/root/suites/{name}"
        os.mkdir(root)
        subprocess.run(["debugfs", "-R", f"rdump / {root}", f"{disk}?offset={1 + debian.ESP_MB << 20}"], check=True, capture_output=True)
        os.chmod(f"{root}/tmp", 0o1777)  # debugfs leaves that bit out
        os.mkdir(f"{root}/suites")
        expect(in_root(root, x86_debian_test.NAMES, print) == 0, "a copy of the guest's root")
        images.run("dpkg-source", "--no-check", "-x", images.source("x86_64", name), home)
        print(f"building the suite of {name}: minutes ...", flush=True)
        lines = []
        expect(in_root(root, f"cd /suites/{name} && {SUITES[name][0]}", lines.append) == 0, f"{name} built", "".join(lines))
        with open(f"{home}/run-suite", "w") as f:
            f.write(SUITES[name][1])
        used = int(images.run("du", "-sm", home).split()[0])
        images.run("mkfs.ext4", "-q", "-F", "-d", f"{root}/suites", new, f"{used * 5 // 4 + SPARE_MB}M")
        print(f"running the suite of {name} on the host: minutes ...", flush=True)
        lines, began = [], time.monotonic()
        in_root(root, script(name), lambda line: (lines.append(line), print(f"    {line}", end="", flush=True)))
        lines.append(f"{time.monotonic() - began:.0f} s on the host\n")
    with open(native, "w") as f:
        f.writelines(lines)


def guest_runs(s, name):
    """The suite without a terminal, as on the host; prints its lines as they come and returns them."""
    start = s.place
    s.send(f"(setsid -w {ENVIRONMENT} sh -c '{script(name)}' < /dev/null 2>&1; echo EN''DED) | cat\r")
    while not s.seen[start:s.place].endswith(b"\nENDED\r\n"):
        at = s.place
        s.wait_for("\n", 3600)
        print("   ", s.seen[at:s.place].decode(errors="replace").rstrip(), flush=True)
    s.wait_for(":~# ")
    return s.seen[start:s.place].decode(errors="replace").replace("\r\n", "\n")


def compare(name, native, guest):
    """What passed, or had a reason not to be run, on the host does so in the guest."""
    want, got = results(native), results(guest)
    excluded = {test: how for test, how in want.items() if how != "ok" and not how.startswith("skipped")}
    for test, how in excluded.items():
        print(f"{name}: {test} does not count: on the host {how or 'it fails'}")
    wrong = {test: (how, got.get(test)) for test, how in want.items() if test not in excluded and got.get(test) != how}
    for test, (how, other) in wrong.items():
        print(f"{name}: {test}: on the host {how}, in the guest {other}")
    for where, text in ("host", native), ("guest", guest):
        print(f"{name}, {where}:", *re.findall(r"^Files=.*", text, re.M), f"{sum(how == 'ok' for how in results(text).values())} ok,",
              f"{sum(how.startswith('skipped') for how in results(text).values())} skipped,", *re.findall(r"^\d+ s .*", text, re.M), flush=True)
    expect(len(want) > len(excluded) * 20, f"{name}: nearly all pass on the host")
    expect(not wrong, f"{name}: {len(want) - len(excluded)} tests are in the guest as on the host")


def suite(name):
    image, native = built(name)
    with tempfile.TemporaryDirectory() as tmp:
        disk, data = x86_debian_test.copy_of_disk(tmp), f"{tmp}/suite.img"
        subprocess.run(["cp", "--sparse=always", image, data], check=True)
        s = x86_debian_test.start("-drive", f"if=virtio,format=raw,file={disk}", "-drive", f"if=virtio,format=raw,file={data}", "-smp", 2,
                                  *x86_debian_test.CPU, "-m", 3072)
        debian.login(s)
        x86_debian_test.content(s)
        debian.check(s, "the suite's drive", f"mkdir /suites && mount /dev/vdb /suites; {x86_debian_test.NAMES}")
        began = time.monotonic()
        guest = guest_runs(s, name) + f"\n{time.monotonic() - began:.0f} s in the guest"
        compare(name, native, guest)
        x86_debian_test.no_complaints(s)
        debian.check(s, "it is unmounted", "umount /suites")
        debian.power_off(s, disk)
        debian.fsck(data, esp=False)


def test_perl():
    suite("perl")


def test_openssl():
    suite("openssl")


def test_zstd():
    suite("zstd")


if __name__ == "__main__":
    session.main(session.named(globals()), __doc__)
