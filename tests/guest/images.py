#!/usr/bin/env python3
"""Guest images made from Debian packages, in a cache folder ($RHEA_CACHE, default ~/.cache/rhea).

    images.py kernel|busybox|initramfs|package|source ARCH [NAME]     prints the path

ARCH: riscv64. Packages are fetched by a private apt that knows only that architecture; nothing is installed on the host.
SPDX-License-Identifier: MIT
"""
import contextlib, fcntl, glob, gzip, os, re, shutil, stat, subprocess, sys, tempfile, time

CACHE = os.environ.get("RHEA_CACHE", os.path.expanduser("~/.cache/rhea"))
# architecture: (Debian's name for it, suite, kernel package)
GUESTS = {"riscv64": ("riscv64", "trixie", "linux-image-riscv64"), "x86_64": ("amd64", "bookworm", "linux-image-cloud-amd64"),
          "i386": ("i386", "bookworm", "linux-image-686"), "x86_64-trixie": ("amd64", "trixie", "linux-image-cloud-amd64")}
LISTS_SECONDS = 6 * 3600  # so long a list of packages is good
INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /tmp /mnt
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
"""


HELD = {}  # {name of a lock: (how often this process holds it, file)}


class Failed(Exception):
    pass


def attempt(*cmd, **kw):
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if p.returncode:
        raise Failed(f"images.py: {' '.join(cmd[:2])} ... failed with status {p.returncode}:\n{p.stderr.strip() or p.stdout.strip()}")
    return p.stdout


def run(*cmd, **kw):
    try:
        return attempt(*cmd, **kw)
    except Failed as e:
        sys.exit(str(e))


def fetch(*cmd, before=lambda: None, **kw):
    """A command that needs the network, which may be away for a minute."""
    for pause in 5, 60:
        before()
        try:
            return attempt(*cmd, **kw)
        except Failed as e:
            print(f"{e}\nimages.py: once more in {pause} s ...", file=sys.stderr)
            time.sleep(pause)
    before()
    return run(*cmd, **kw)


def apt_folder(arch):
    """That of an architecture; its other suites have others."""
    debarch, suite, _ = GUESTS[arch]
    return f"{CACHE}/apt-{debarch}" + (f"-{suite}" if arch.endswith(suite) else "")


def private_apt(arch, kind="deb"):
    """Options of an apt that knows the architecture's packages, or with deb-src those that they are made from."""
    debarch, suite, _ = GUESTS[arch]
    d = apt_folder(arch) + ("" if kind == "deb" else "-source")
    for s in ("lists/partial", "cache/archives/partial"):
        os.makedirs(f"{d}/{s}", exist_ok=True)
    open(f"{d}/status", "a").close()
    host = "".join(open(f).read() for f in glob.glob("/etc/apt/sources.list.d/*.sources") + glob.glob("/etc/apt/sources.list"))
    uri = re.search(r"^URIs:\s*(\S*debian\S*)$|^deb\s+(?:\[.*?\]\s+)?(\S*debian\S*)\s", host, re.M)
    uri = (uri[1] or uri[2]) if uri else "http://deb.debian.org/debian"
    with open(f"{d}/sources.list", "w") as f:
        f.write(f"{kind} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {uri} {suite} main\n")
    options = ["-qq", "-oAPT::Sandbox::User=root", "-oAcquire::Retries=3", "-oAPT::Update::Error-Mode=any", f"-oAPT::Architecture={debarch}", f"-oAPT::Architectures={debarch}",
               f"-oDir::Etc::SourceList={d}/sources.list", "-oDir::Etc::SourceParts=/dev/null", f"-oDir::State::Lists={d}/lists",
               f"-oDir::Cache={d}/cache", f"-oDir::State::status={d}/status"]
    update_lists(d, options, f"Debian's list of {suite} {f'packages for {debarch}' if kind == 'deb' else 'source packages'}")
    return options


def update_lists(folder, options, what):
    """Packages that an old list names are no longer on the server, but with what is there of one it can be tried."""
    stamp, have = f"{folder}/updated", glob.glob(f"{folder}/lists/*_Packages*") + glob.glob(f"{folder}/lists/*_Sources*")
    if have and os.path.exists(stamp) and time.time() - os.path.getmtime(stamp) < LISTS_SECONDS:
        return
    print(f"images.py: fetching {what} ...", file=sys.stderr)
    try:
        (attempt if have else fetch)("apt-get", *options, "update")
    except Failed as e:
        print(f"{e}\nimages.py: going on with the list of last time", file=sys.stderr)
        return
    open(stamp, "w").close()


def package(arch, name):
    """The folder that the package (a metapackage: the kernel it depends on) is unpacked in."""
    out = f"{CACHE}/{arch}/{name}"
    if os.path.isdir(out):
        return out
    with lock():
        if not os.path.isdir(out):
            unpack(arch, name, out)
    return out


def unpack(arch, name, out):
    options = private_apt(arch)
    real = re.search(r"Depends: (linux-image-\d\S+)", run("apt-cache", *options[1:], "depends", name))
    real = real[1] if real else name
    print(f"images.py: fetching {real} ...", file=sys.stderr)
    new = f"{out}.new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    fetch("apt-get", *options, "download", real, cwd=new)
    [deb] = glob.glob(f"{new}/*.deb")
    run("dpkg", "-x", deb, new)
    os.unlink(deb)
    os.rename(new, out)


def source(arch, name):
    """The .dsc of the source package, in a folder with the files that it names."""
    out = f"{CACHE}/{arch}/source-{name}"
    with lock():
        if not os.path.isdir(out):
            options, new = private_apt(arch, "deb-src"), f"{out}.new"
            print(f"images.py: fetching the source of {name} ...", file=sys.stderr)
            fetch("apt-get", *options, "--download-only", "source", name, cwd=new,
                  before=lambda: (shutil.rmtree(new, ignore_errors=True), os.makedirs(new)))
            os.rename(new, out)
    [dsc] = glob.glob(f"{out}/*.dsc")
    return dsc


def kernel(arch, name=None):
    """Of the package with that name, or the one that is used for arch."""
    return glob.glob(package(arch, name or GUESTS[arch][2]) + "/boot/vmlinu*")[0]


def modules(arch, names):
    """Paths of kernel modules and what they depend on, in loading order, unpacked from .xz."""
    root, ordered = package(arch, GUESTS[arch][2]), []
    files = {re.sub(r"\.ko.*", "", os.path.basename(p)).replace("-", "_"): p for p in sorted(glob.glob(root + "/**/*.ko*", recursive=True), reverse=True)}

    def add(name):
        name = name.replace("-", "_")
        if name not in files:
            sys.exit(f"images.py: the {arch} kernel package has no module '{name}'")
        path = files[name]
        if path.endswith(".xz"):
            if not os.path.exists(path[:-3]):
                with open(f"{path}.new", "wb") as f:
                    subprocess.run(["xz", "-dc", path], stdout=f, check=True)
                os.rename(f"{path}.new", path[:-3])
            path = path[:-3]
        if path in ordered:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", open(path, "rb").read())
        for d in filter(None, (depends[1].decode() if depends else "").split(",")):
            add(d)
        ordered.append(path)

    for name in names:
        add(name)
    return ordered


def busybox(arch):
    root = package(arch, "busybox-static")
    return (glob.glob(root + "/usr/bin/busybox") + glob.glob(root + "/bin/busybox"))[0]


def cpio(entries):
    """A newc archive of {name: (mode, bytes)}."""
    out = bytearray()
    for ino, (name, (mode, data)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))], 1):
        head = [ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % x for x in head) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def initramfs(arch, script, path, files={}):
    """Write an initramfs to path: busybox, /init that sets up and then runs script, and files {name: host path}."""
    entries = {d: (stat.S_IFDIR | 0o755, b"") for d in ("bin", "dev", "lib")}
    entries["bin/busybox"] = (stat.S_IFREG | 0o755, open(busybox(arch), "rb").read())
    entries["init"] = (stat.S_IFREG | 0o755, (INIT + script).encode())
    for name, host in files.items():
        entries[name] = (stat.S_IFREG | 0o755, open(host, "rb").read())
    tmp = f"{path}.{os.getpid()}"
    with open(tmp, "wb") as f:
        f.write(gzip.compress(cpio(entries), 1, mtime=0))
    os.rename(tmp, path)
    return path


def debian_root(arch, packages, out, foreign=False):
    """The folder out: a minimal Debian with packages; foreign: unpacked but not configured (that takes code of arch). Needs root."""
    debarch, suite, _ = GUESTS[arch]
    with lock():
        private_apt(arch)
    uri = re.search(r"\] (\S+) ", open(f"{apt_folder(arch)}/sources.list").read())[1]
    print(f"images.py: unpacking Debian {suite} for {arch} ...", file=sys.stderr)
    fetch("debootstrap", *(["--foreign"] if foreign else []), f"--arch={debarch}", "--variant=minbase", "--include=" + ",".join(packages), suite, out, uri,
          before=lambda: shutil.rmtree(out, ignore_errors=True))


def packages_for(arch, names, status, out):
    """Fetch names and what they depend on, beyond what the dpkg status file says is installed, into the folder out."""
    options = [o for o in private_apt(arch) if "Dir::State::status" not in o and "Dir::Cache=" not in o]
    os.makedirs(f"{out}/partial")
    print(f"images.py: fetching {' '.join(names)} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as tmp:
        fetch("apt-get", *options, f"-oDir::Cache={tmp}", f"-oDir::Cache::archives={out}", f"-oDir::State::status={status}",
            "-oAPT::Install-Recommends=false", "-oDebug::NoLocking=true", "-y", "--download-only", "install", *names)
    os.rmdir(f"{out}/partial")


@contextlib.contextmanager
def lock(name="lock"):
    """Only one process fills the cache at a time (with another name: makes that image). Who holds it may take it again."""
    depth, f = HELD.get(name, (0, None))
    if not depth:
        os.makedirs(CACHE, exist_ok=True)
        f = open(f"{CACHE}/{name}", "w")
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"images.py: waiting for another process that fills {CACHE} ...", file=sys.stderr)
            fcntl.flock(f, fcntl.LOCK_EX)
    HELD[name] = depth + 1, f
    try:
        yield
    finally:
        HELD[name] = depth, f
        if not depth:
            f.close()


def prepare(*archs):
    """Fetch what guests of these architectures are made of before several tests want it at once."""
    with lock():
        for arch in archs:
            kernel(arch), busybox(arch)


def make(what, arch, rest):
    if what == "initramfs":
        print(initramfs(arch, "echo; uname -a; echo 'This is a shell in the guest; poweroff -f leaves.'\nexec setsid cttyhack sh\n",
                        f"{CACHE}/{arch}/shell.cpio.gz"))
    elif what in ("kernel", "busybox"):
        print(globals()[what](arch))
    elif what in ("package", "source") and rest:
        print(globals()[what](arch, rest[0]))
    else:
        sys.exit(__doc__)


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in GUESTS:
        sys.exit(__doc__)
    what, arch, *rest = sys.argv[1:]
    with lock():
        make(what, arch, rest)


if __name__ == "__main__":
    main()
