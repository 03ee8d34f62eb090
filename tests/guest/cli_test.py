#!/usr/bin/env python3
"""Bad command lines: one line on standard error that says what is wrong, exit status 1. And orderly ends.

    cli_test.py RHEA

SPDX-License-Identifier: MIT
"""
import fcntl, os, pty, resource, signal, socket, struct, subprocess, sys, tempfile, termios, time

LIMIT = 300  # seconds within which anything has to happen, on a slow machine, too
TARGET = ["-target", "riscv64", "-display", "none", "-serial", "null"]
# (options, what the line must contain); {tmp} holds truncated.elf, truncated.gz, truncated.img, big
BAD = [
    (["-kernel", "/nonexistent"], "-kernel: cannot read '/nonexistent'"),
    (["-kernel", "{tmp}/truncated.elf"], "truncated"),
    (["-kernel", "{tmp}/truncated.gz"], "truncated or damaged gzip"),
    (["-kernel", "{tmp}/truncated.img"], "truncated or damaged"),
    (["-m", "128", "-initrd", "{tmp}/big"], "use a greater -m"),
    (["-bios", "/nonexistent"], "-bios: cannot read"),
    (["-dtb", "{tmp}/truncated.elf"], "is not a device tree blob"),
    (["-M", "virtt"], "did you mean 'virt'?"),
    (["-M", "virt,foo=1"], "'foo'"),
    (["-device", "foo"], "'foo' is not a device"),
    (["-cpu", "rv65"], "did you mean 'rv64'?"),
    (["-cpu", "rv64,+zbz"], "did you mean 'zba'?"),
    (["-cpu", "rv64,d=maybe"], "-cpu: d"),
    (["-cpu", "max,-zfhmin"], "'zfh' needs 'zfhmin'"),
    (["-cpu", "rv64,+zcb,-c"], "'zcb' needs 'c'"),
    (["-cpu", "rv64,v=on,vlen=100"], "vlen must be 128, 256, 512 or 1024"),
    (["-cpu", "rv64,v=on,d=off"], "'v' needs 'd'"),
    (["-cpu", "sifive-u55"], "did you mean 'sifive-u54'?"),
    (["-cpu", "rva23s46"], "did you mean 'rva23s64'?"),
    (["-cpu", "sifive-e31"], "model 'sifive-e31'"),
    (["-cpu", "sifive-u54,foo=1"], "feature 'foo'"),
    (["-cpu", "max,sscofpfm=on"], "did you mean 'sscofpmf'?"),
    (["-cpu", "rv64,pmu-nmu=3"], "did you mean 'pmu-num'?"),
    (["-cpu", "rv64,pmu-num=30"], "pmu-num must be 0 to 29, not '30'"),
    (["-cpu", "rv64,pmu-mask=7"], "pmu-mask must be a mask of counters 3 to 31"),
    (["-cpu", "rv64,pmu-num=x"], "pmu-num must be 0 to 29, not 'x'"),
    (["-cpu", "rv64,cboz_blocksize=48"], "cboz_blocksize must be a power of two from 8 to 2048, not '48'"),
    (["-cpu", "rv64,cboz_blocksize=4096"], "cboz_blocksize must be"),
    (["-cpu", "rv64,mvendorid=0x100000000"], "mvendorid must be a 32-bit number"),
    (["-cpu", "rv64,elen=32"], "elen must be 64"),
    (["-cpu", "rv64,priv_spec=v1.9.1"], "priv_spec must be v1.12.0 or v1.13.0"),
    (["-cpu", "rv64,mmu=maybe"], "-cpu: mmu: "),
    (["-cpu", "rv64i,sscofpmf=on"], "'sscofpmf' needs 's'"),
    (["-target", "riscv32", "-cpu", "rv32,smnpm=on"], "'smnpm' is for 64-bit CPUs"),
    (["-m", "0"], "-m:"),
    (["-m", "1X"], "is not a size"),
    (["-m", "99999G"], "-m:"),
    (["-smp", "9999"], "takes up to 64"),
    (["-smp", "0"], "-smp"),
    (["-smp", "cpus=x"], "is not a number"),
    (["-smp", "2,foo=1"], "foo"),
    (["-smp", "8,sockets=2,cores=3"], "sockets=2 x cores=3 x threads=1 is not the number of CPUs (8)"),
    (["-m", "128", "-numa", "node,mem=64"], "64 MiB of memory together, -m says 128"),
    (["-m", "128", "-numa", "node,nodeid=1,mem=128"], "node 0 is missing"),
    (["-m", "128", "-numa", "node,mem=128,cpus=1"], "node 0 has CPU 1, but -smp says 1"),
    (["-numa", "node,cpus=3-1"], "a number or a range"),
    (["-numa", "node,cpus=1", "-numa", "node,cpus=0-2"], "CPU 1 is in node 0 already"),
    (["-numa", "node,memdev=x"], "memdev=x: there is no -object"),
    (["-numa", "nod"], "did you mean 'node'?"),
    (["-numa", "dist,src=0,dst=1,val=20"], "there is no node 0"),
    (["-numa", "node", "-numa", "node", "-numa", "dist,src=0,dst=1,val=10"], "a node is 10 from itself"),
    (["-numa", "cpu,node-id=0,core-id=0"], "there is no node 0"),
    (["-object", "memory-backend-rma,id=a,size=1M"], "did you mean 'memory-backend-ram'?"),
    (["-object", "memory-backend-ram,id=a"], "size= is needed"),
    (["-object", "memory-backend-ram,size=1M"], "id="),
    (["-object", "memory-backend-file,id=a,size=1M"], "mem-path= is missing"),
    (["-object", "memory-backend-file,id=a,size=1M,mem-path=/nonexistent/x"], "/nonexistent/x"),
    (["-object", "memory-backend-ram,id=a,size=64M", "-m", "128", "-M", "virt,memory-backend=a"], "has 64 MiB, -m says 128"),
    (["-object", "memory-backend-ram,id=a,size=64M", "-m", "128", "-numa", "node,memdev=a", "-numa", "node,memdev=a"], "used already"),
    (["-accel", "kvmm"], "-accel"),
    (["-accel", "tcg,jitt=off"], "jit"),
    (["-machin", "virt"], "did you mean '-machine'?"),
    (["-append"], "needs an argument"),
    (["-serial", "foo:bar"], "foo:bar"),
    (["-chardev", "file,id=a"], "needs path="),
    (["-chardev", "file,id=a,path=/nonexistent/x"], "cannot open"),
    (["-d", "foo"], "foo"),
    (["-display", "gtk"], "known are: none"),
    (["-vga", "cirrus"], "known are: none, std"),
    (["-device", "VGA,romfile=no-such.bin"], "no file 'no-such.bin'"),
    (["-device", "bochs-display,vgamem=3M"], "a power of two"),
    (["stray"], "'stray' is not an option"),
    (["-drive", "file=/nonexistent,format=raw"], "cannot open '/nonexistent'"),
    (["-drive", "file={tmp},format=raw"], "Is a directory"),
    (["-drive", "file={tmp}/image.qcow2"], "qcow2 image, which is not supported"),
    (["-drive", "file={tmp}/disk,format=rwa"], "did you mean 'raw'?"),
    (["-drive", "file={tmp}/disk,format=raw,cahce=none"], "did you mean 'cache'?"),
    (["-drive", "file={tmp}/disk,format=raw,cache=fast"], "cache"),
    (["-drive", "file={tmp}/disk,format=raw,if=ide"], "no place for if=ide"),
    (["-drive", "format=raw,if=virtio"], "file= is missing"),
    (["-drive", "if=none,id=a", "-device", "virtio-blk-pci,drive=a"], "drive 'a' has no medium"),
    (["-hda", "{tmp}/disk", "-drive", "file={tmp}/disk,format=raw,index=0"], "if=virtio,index=0 already"),
    (["-fda", "{tmp}/disk"], "no place for if=floppy"),
    (["-drive", "file={tmp}/disk,format=raw,if=ide,index=1,unit=1"], "bus= and unit= cannot be given too"),
    (["-drive", "file={tmp}/disk,format=raw,if=ide,unit=2"], "a bus of if=ide takes 2 drives"),
    (["-device", "ide-hd,drive=a"], "needs a bus of kind ide"),
    (["-device", "ich9-ahci", "-device", "ide-hd"], "drive= is missing"),
    (["-device", "ich9-ahci", "-device", "ide-cd,unit=1"], "takes 1 drive"),
    (["-drive", "file={tmp}/disk,format=raw,if=none,id=a", "-device", "ich9-ahci", "-device", "ide-hd,drive=a,serial=012345678901234567890"], "at most 20 characters"),
    (["-drive", "file={tmp}/disk,format=raw,if=none,id=a", "-device", "ich9-ahci", "-device", "ide-hd,drive=a,logical_block_size=4096"], "IDE disks have 512"),
    (["-drive", "file={tmp}/disk,format=raw,id=a", "-drive", "file={tmp}/disk,format=raw,id=a"], "'a' already"),
    (["-drive", "file={tmp}/disk,format=raw,if=none,id=a", "-device", "virtio-blk-pci,drive=a", "-device", "virtio-blk-pci,drive=a"],
     "in use by 'virtio-blk-device'"),
    (["-drive", "file={tmp}/disk,format=raw", "-drive", "file={tmp}/disk,format=raw"], "in use by another process"),
    (["-blockdev", "driver=raw,node-name=a"], "which node is it on?"),
    (["-blockdev", "driver=raw,file=b,node-name=a"], "no block node 'b'"),
    (["-blockdev", "file,filename={tmp}/disk"], "node-name= is missing"),
    (["-blockdev", '{"driver":"file","filename":"{tmp}/disk","node-name":"a"'], "-blockdev"),
    (["-device", "virtio-blk-pci"], "drive= is missing"),
    (["-device", "virtio-blk-pci,drive=a"], "no -drive with id 'a'"),
    (["-device", "virtio-blk-pci,drvie=a"], "did you mean 'drive'?"),
    (["-device", "virtio-blk-pcii"], "did you mean 'virtio-blk-pci'?"),
    (["-device", "virtio-rng-pci,addr=40"], "a PCI address is a slot 00 to 1f"),
    (["-device", "virtio-rng-pci,addr=1", "-device", "virtio-rng-pci,addr=1.0"], "is taken"),
    (["-device", "virtio-rng-pci,bus=pci.7"], "did you mean 'pcie.0'?"),
    (["-device", "virtio-rng-device,bus=pcie.0"], "is of kind pci"),
    (["-device", "virtconsole"], "needs a bus of kind virtio-serial-bus"),
    (["-device", "virtio-rng-pci,max-bytes=0"], "max-bytes"),
    (["-device", "virtio-rng-pci,id=1x"], "id '1x'"),
    (["-device", "virtio-rng,rng=a"], "rng=a: there is no -object"),
    (["-object", "rng-random,id=a,filename={tmp}/big"], "a device or a pipe is needed"),
    (["-object", "rng-random,id=a,filename=/nonexistent"], "filename=/nonexistent"),
    (["-object", "rng-random,id=a,file=/dev/urandom"], "did you mean 'filename'?"),
    (["-device", "virtio-balloon", "-device", "virtio-balloon-device"], "only one balloon"),
    (["-device", "virtio-balloom"], "did you mean 'virtio-balloon-pci'?"),
    (["-global", "virtio-rng-pci.perod=1"], "no property 'perod'"),
    (["-global", "virtio-rng-pci"], "DRIVER.PROPERTY=VALUE"),
    (["-rtc", "base=yesterday"], "utc, localtime or a date"),
    (["-icount", "11"], "0 to 10, or auto"),
    (["-icount", "shift=fast"], "0 to 10, or auto"),
    (["-icount", "sleep=off"], "shift= is missing"),
    (["-icount", "shift=1,slepp=off"], "did you mean 'sleep'?"),
    (["-icount", "shift=1,align=perhaps"], "align"),
    (["-icount", "auto,align=on"], "shift=auto and align=on"),
    (["-icount", "auto,sleep=off"], "shift=auto and sleep=off"),
    (["-icount", "1,align=on,sleep=off"], "align=on and sleep=off"),
    (["-icount", "1,rr=record,rrfile=x"], "record and replay are not offered"),
    (["-icount", "1", "-accel", "tcg,thread=multi"], "thread=multi cannot be used with -icount"),
    (["-icount", "1", "-accel", "test"], "does not count instructions"),
    (["-accel", "tcg,thread=double"], "single"),
    (["-seed", "grass"], "is not a number"),
    (["-rtc", "clok=vm"], "did you mean 'clock'?"),
    (["-chardev", "socket,id=a,path=/nonexistent/x,server=on,wait=off"], "/nonexistent/x"),
    (["-chardev", "socket,id=a,host=127.0.0.1,port={port},server=on,wait=off"], "Address already in use"),
    (["-monitor", "telnet:127.0.0.1:{port},server=on,wait=off"], "Address already in use"),
    (["-monitor", "stdio", "-serial", "stdio"], "stdio"),
    (["-mon", "chardev=a"], "no -chardev with id 'a'"),
    (["-debugcon", "bogus"], "-debugcon: 'bogus' is not a character device"),
    (["-debugcon", "null"], "-debugcon: 'isa-debugcon' needs a bus of kind isa"),
    (["-parallel", "null"], "-parallel: 'isa-parallel' needs a bus of kind isa"),
    (["-mon", "chardev=a,mode=control"], "mode"),
    (["-gdb", "bogus"], "-gdb: 'bogus' is not a character device"),
    (["-gdb", "tcp:127.0.0.1:{port}"], "Address already in use"),
    (["-netdev", "usr,id=a"], "did you mean 'user'?"),
    (["-netdev", "user"], "needs a back end and an id"),
    (["-netdev", "socket,id=a"], "one of listen="),
    (["-net", "nic"], "there is no other -net"),
    (["-net", "nic,mac=52:54:00:12:34:56"], "did you mean 'macaddr'?"),
    (["-net", "usr"], "did you mean 'user'?"),
    (["-net", "nic,model=virtio-net-pc"], "did you mean 'virtio-net-pci'?"),
    (["-netdev", "user,id=a", "-netdev", "user,id=a"], "'a' already"),
    (["-netdev", "user,id=a,hostfw=tcp::1-:1"], "did you mean 'hostfwd'?"),
    (["-netdev", "user,id=a,hostfwd=tcp:127.0.0.1:{port}-:22"], " is in use"),
    (["-nic", "user,hostfwd=tcp::5555"], "-nic user: hostfwd: 'tcp::5555' is not [tcp|udp]:[addr]:port-[addr]:port"),
    (["-netdev", "user,id=a,hostfwd=sctp::5555-:22"], "'sctp' is not a protocol"),
    (["-netdev", "user,id=a,hostfwd=tcp:localhost:5555-:22"], "'localhost' is not an IPv4 address"),
    (["-netdev", "user,id=a,hostfwd=tcp::70000-:22"], "'70000' is not a port"),
    (["-netdev", "user,id=a,hostfwd=tcp::5555-:0"], "'0' is not a port"),
    (["-netdev", "user,id=a,net=10.0.2/24"], "net: '10.0.2' is not an IPv4 address"),
    (["-netdev", "user,id=a,net=10.0.2.0/31"], "a mask of 4 to 29 bits"),
    (["-netdev", "user,id=a,net=10.0.2.0/255.0.255.0"], "a mask of 4 to 29 bits"),
    (["-netdev", "user,id=a,host=10.0.3.2"], "10.0.3.2 is not the address of a host in 10.0.2.0/24"),
    (["-netdev", "user,id=a,host=10.0.2.255"], "10.0.2.255 is not the address of a host"),
    (["-netdev", "user,id=a,dns=10.0.2.2"], "host= and dns= must be different"),
    (["-netdev", "user,id=a,tftp=/nonexistent"], "'/nonexistent' is not a folder"),
    (["-netdev", "user,id=a,ipv4=off,ipv6=off"], "leave nothing"),
    (["-netdev", "user,id=a,restrict=maybe"], "restrict"),
    (["-nic", "user,model=e1000x"], "-nic: model 'e1000x'"),
    (["-nic", "user,mac=1:2:3"], "is not a MAC address"),
    (["-nic", "none,mac=52:54:00:12:34:56"], "unknown key 'mac'"),
    (["-device", "virtio-net-pci,netdev=a"], "no -netdev with id 'a'"),
    (["-netdev", "user,id=a", "-device", "virtio-net-pci,netdev=a", "-device", "virtio-net-pci,netdev=a"], "is used by virtio-net-pci already"),
    (["-device", "virtio-net-pci,rx_queue_size=3"], "power of two from 16"),
    (["-uuid", "x"], "is not a UUID"),
    (["-echr", "x"], "-echr"),
    (["-M", "virt,dumpdtb=/nonexistent/x"], "dumpdtb: cannot write '/nonexistent/x'"),
    (["-M", "virt,dumpdtb=/dev/full"], "No space left on device"),
    (["-fw_cfg", "opt/a"], "either file= or string="),
    (["-fw_cfg", "opt/a,file=/nonexistent"], "cannot read '/nonexistent'"),
    (["-nographic", "-daemonize"], "cannot be used with -daemonize"),
]


def prepare(tmp):
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (243).to_bytes(2, "little") + bytes(12) + (64).to_bytes(8, "little")
    elf += bytes(14) + (56).to_bytes(2, "little") + (3).to_bytes(2, "little") + bytes(6)
    image = bytearray(4096)
    image[16:24] = (64 << 20).to_bytes(8, "little")
    image[56:60] = b"RSC\x05"
    for name, data in {"truncated.elf": elf[:64], "truncated.gz": b"\x1f\x8b\x08" + bytes(20), "truncated.img": bytes(image), "big": bytes(200 << 20),
                       "disk": bytes(1 << 20), "image.qcow2": b"QFI\xfb" + bytes(1020)}.items():
        with open(f"{tmp}/{name}", "wb") as f:
            f.write(data)


def until(condition):
    """Wait for it; is it so?"""
    limit = time.monotonic() + LIMIT
    while not (so := condition()) and time.monotonic() < limit:
        time.sleep(0.02)
    return so


def catches(p, *numbers):
    """Has the process handlers for the signals, or has it ended?"""
    if p.poll() is not None:
        return True
    with open(f"/proc/{p.pid}/status") as f:
        caught = int(next(line for line in f if line.startswith("SigCgt")).split()[1], 16)
    return all(caught >> number - 1 & 1 for number in numbers)


def written(path, wanted):
    """Does the file exist, and is its text as wanted?"""
    try:
        with open(path) as f:
            return wanted(f.read())
    except FileNotFoundError:
        return False


def bad_lines(rhea, tmp):
    failed = 0
    busy = socket.create_server(("127.0.0.1", 0))
    user = " user " in subprocess.run([rhea, "-netdev", "help"], stdout=subprocess.PIPE, text=True).stdout
    for options, want in BAD:
        if not user and any(o.startswith(("user", "usr")) for o in options):  # built without libslirp
            continue
        cmd = [rhea, *TARGET, *(o.replace("{tmp}", tmp).replace("{port}", str(busy.getsockname()[1])) for o in options)]
        try:
            p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
            ok = p.returncode == 1 and p.stderr.count("\n") == 1 and p.stderr.startswith("rhea: ") and want in p.stderr
            said = f"status {p.returncode}: {p.stderr.strip()}"
        except subprocess.TimeoutExpired:
            ok, said = False, "still runs"
        if not ok:
            failed += 1
            print(f"FAILED {' '.join(options)}: wanted '{want}', got {said}")
    return failed


def few_files(rhea):
    """Without descriptors it does not start, and says why; nothing aborts."""
    for limit in 8, 9, 10, 11:
        p = subprocess.run([rhea, "-target", "x86_64", "-smp", "4", "-display", "none", "-serial", "none", "-monitor", "none"],
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        if p.returncode != 1 or len(p.stdout.splitlines()) != 1:
            print(f"FAILED with {limit} descriptors: status {p.returncode}: {p.stdout}")
            return 1
    return 0


def signals(rhea, tmp):
    failed = 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        pidfile = f"{tmp}/pid"
        p = subprocess.Popen([rhea, *TARGET, "-bios", "none", "-pidfile", pidfile], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(lambda: p.poll() is not None or written(pidfile, lambda text: text.strip() == str(p.pid)))
        time.sleep(0.2)
        p.send_signal(number)
        _, said = p.communicate(timeout=LIMIT)
        if p.returncode or os.path.exists(pidfile) or f"terminating on signal {int(number)}" not in said:
            failed += 1
            print(f"FAILED {number.name}: status {p.returncode}, pidfile {'left' if os.path.exists(pidfile) else 'removed'}, {said}")
    return failed


def terminal_ways(rhea):
    """Ways out of a terminal session: (what is done, options, status)."""
    idle = ["-target", "riscv64", "-bios", "none", "-nographic"]
    plain = ["-target", "riscv64", "-bios", "none", "-display", "none", "-serial", "stdio"]
    return [("Ctrl-A x", idle, lambda p, fd: os.write(fd, b"\1x"), 0), ("quit", idle, lambda p, fd: os.write(fd, b"\1cquit\r"), 0),
            ("Ctrl-C", plain, lambda p, fd: os.write(fd, b"\3"), 0), ("SIGTERM", idle, lambda p, fd: p.send_signal(signal.SIGTERM), 0),
            ("SIGSEGV", idle, lambda p, fd: p.send_signal(signal.SIGSEGV), -signal.SIGSEGV),
            ("SIGABRT", idle, lambda p, fd: p.send_signal(signal.SIGABRT), -signal.SIGABRT)]


def terminals(rhea):
    """The terminal is as it was after every way out; a closed terminal ends it."""
    failed = 0
    for what, options, act, status in terminal_ways(rhea):
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        p = subprocess.Popen([rhea, *options], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        changed = until(lambda: p.poll() is not None or (termios.tcgetattr(slave) != before and catches(p, signal.SIGTERM, signal.SIGINT)))
        changed = changed and p.poll() is None
        act(p, master)
        got = p.wait(timeout=LIMIT)
        sanitized = status < 0 and got == 1  # a sanitizer's handler came first
        if not changed or (not sanitized and (got != status or termios.tcgetattr(slave) != before)):
            failed += 1
            print(f"FAILED terminal, {what}: status {got}, terminal {'as before' if termios.tcgetattr(slave) == before else 'changed'}")
        os.close(slave)
        os.close(master)
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([rhea, "-target", "riscv64", "-bios", "none", "-nographic"], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL,
                         start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    until(lambda: p.poll() is not None or (termios.tcgetattr(slave) != before and catches(p, signal.SIGHUP)))
    os.close(slave)
    os.close(master)
    try:
        status = p.wait(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        p.kill()
        status = "still runs"
    if status:
        failed += 1
        print(f"FAILED closed terminal: {status}")
    return failed


def daemon(rhea, tmp):
    """-daemonize: status 0 once the machine runs, 1 with the message if it cannot be built."""
    pidfile, port = f"{tmp}/daemon.pid", f"unix:{tmp}/monitor,server=on,wait=off"
    p = subprocess.run([rhea, "-target", "riscv64", "-bios", "none", "-display", "none", "-daemonize", "-pidfile", pidfile, "-monitor", port],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT)
    said = p.stdout
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{tmp}/monitor")
            s.settimeout(LIMIT)
            s.sendall(b"info status\nquit\n")
            while data := s.recv(4096):
                said += data.decode()
        until(lambda: not os.path.exists(pidfile))
    except OSError as e:
        said += f" {e}"
    bad = subprocess.run([rhea, *TARGET, "-daemonize", "-kernel", "/nonexistent"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    if p.returncode or "VM status: running" not in said or os.path.exists(pidfile) or bad.returncode != 1 or "/nonexistent" not in bad.stderr:
        print(f"FAILED -daemonize: status {p.returncode}, {said}; bad: {bad.returncode} {bad.stderr}")
        return 1
    return 0


def fall_back(rhea):
    """The first accelerator that can be had is taken, with a notice."""
    p = subprocess.run([rhea, *TARGET, "-accel", "nothing", "-accel", "tcg", "-M", "virt,dumpdtb=/dev/null"], stdin=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True, timeout=LIMIT)
    if p.returncode or p.stderr.count("\n") != 1 or "'nothing'" not in p.stderr:
        print(f"FAILED accelerators: status {p.returncode}, {p.stderr}")
        return 1
    return 0


def dump(rhea, tmp):
    """dumpdtb= writes into what its path names: a link stays a link."""
    os.symlink(f"{tmp}/tree", f"{tmp}/link")
    p = subprocess.run([rhea, *TARGET, "-M", f"virt,dumpdtb={tmp}/link"], stdin=subprocess.DEVNULL, timeout=LIMIT)
    if p.returncode or not os.path.islink(f"{tmp}/link") or open(f"{tmp}/tree", "rb").read(4) != b"\xd0\x0d\xfe\xed":
        print(f"FAILED dumpdtb: status {p.returncode}")
        return 1
    return 0


# RISC-V models: (XLEN, extensions that the device tree must name, and must not; translation)
MODELS = {
    "rv64": (64, "i m a f d c h zicsr zihpm sdtrig", "v sscofpmf", "riscv,sv57"),
    "rv32": (32, "i m a f d c h zicsr zihpm sdtrig", "v svpbmt", "riscv,sv32"),
    "max": (64, "v h sscofpmf smepmp ssnpm smcntrpmf svadu", "svade", "riscv,sv57"),
    "rv64i": (64, "i zicsr", "m a f d c zicntr zihpm sdtrig", "riscv,none"),
    "rv32i": (32, "i zicsr", "m a f d c zicntr zihpm sdtrig", "riscv,none"),
    "rva22u64": (64, "ziccif za64rs zicboz zfhmin zkt zbs", "zifencei v svpbmt", "riscv,none"),
    "rva22s64": (64, "zifencei zfhmin svade svpbmt svinval sscounterenw", "v svnapot sstc svadu", "riscv,sv39"),
    "rva23u64": (64, "v zicond zcb zcmop zfa zawrs zimop supm", "zifencei svpbmt", "riscv,none"),
    "rva23s64": (64, "v h zifencei svnapot sstc sscofpmf ssnpm ssu64xl svade", "smaia zfh", "riscv,sv39"),
    "sifive-e31": (32, "i m a c", "f d", "riscv,none"),
    "sifive-e34": (32, "i m a f c", "d", "riscv,none"),
    "sifive-u34": (32, "i m a f d c", "zba", "riscv,sv32"),
    "sifive-e51": (64, "i m a c", "f d", "riscv,none"),
    "sifive-u54": (64, "i m a f d c", "zba sstc", "riscv,sv39"),
    "shakti-c": (64, "i m a f d c", "zba sstc", "riscv,sv39"),
    "lowrisc-ibex": (32, "i m c smepmp", "a f d", "riscv,none"),
    "thead-c906": (64, "i m a f d c zfh", "v", "riscv,sv39"),
    "veyron-v1": (64, "h zicbom zicboz zbc smaia ssaia sscofpmf svpbmt", "v zfh", "riscv,sv48"),
}


def properties(blob):
    """All properties of a device tree, {name: value}; of a name that occurs more than once, the first."""
    structure, strings = struct.unpack_from(">II", blob, 8)
    found, at = {}, structure
    while (token := struct.unpack_from(">I", blob, at)[0]) != 9:
        at += 4
        if token == 1:
            at = (blob.index(b"\0", at) + 4) & ~3
        elif token == 3:
            length, name = struct.unpack_from(">II", blob, at)
            at += 8
            found.setdefault(blob[strings + name:blob.index(b"\0", strings + name)].decode(), blob[at:at + length])
            at += (length + 3) & ~3
    return found


def cpus(rhea, tmp):
    """Each model starts, and its device tree says what it is; -cpu help lists them and no others."""
    failed = 0
    listed = subprocess.run([rhea, *TARGET, "-cpu", "help"], stdout=subprocess.PIPE, text=True, timeout=LIMIT).stdout.split("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()[1:]]
    if sorted(names) != sorted(MODELS):
        failed += 1
        print(f"FAILED -cpu help: {names}")
    for model, (xlen, wanted, unwanted, mmu) in MODELS.items():
        p = subprocess.run([rhea, "-target", f"riscv{xlen}", "-bios", "none", "-display", "none", "-serial", "null", "-cpu", model, "-M",
                            f"virt,dumpdtb={tmp}/cpu.dtb"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        tree = properties(open(f"{tmp}/cpu.dtb", "rb").read()) if not p.returncode else {}
        have = tree.get("riscv,isa-extensions", b"").decode().split("\0")[:-1]
        isa = tree.get("riscv,isa", b"\0")[:-1].decode()
        single = "".join(e for e in have if len(e) == 1)
        ok = p.returncode == 0 and set(wanted.split()) <= set(have) and not set(unwanted.split()) & set(have) and len(have) == len(set(have))
        ok = ok and isa == f"rv{xlen}{single}" + "".join("_" + e for e in have if len(e) > 1) and tree["mmu-type"] == mmu.encode() + b"\0"
        ok = ok and tree["riscv,isa-base"] == b"rv%di\0" % xlen
        for e in "zicbom", "zicbop", "zicboz":
            ok = ok and (tree.get(f"riscv,{e[2:]}-block-size") == (b"\0\0\0\x40" if e in have else None))
        ok = ok and ("riscv,event-to-mhpmcounters" in tree) == ("zihpm" in have)
        if not ok:
            failed += 1
            print(f"FAILED -cpu {model}: status {p.returncode} {p.stderr}, {isa}, {tree.get('mmu-type')}, has {wanted}, lacks {unwanted}")
    return failed


def perf(rhea):
    """perfmap=on and jitdump=on: every unit is in both files, with the same address, size and name."""
    p = subprocess.Popen([rhea, *TARGET, "-accel", "tcg,perfmap=on,jitdump=on"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    paths = [f"/tmp/perf-{p.pid}.map", f"/tmp/jit-{p.pid}.dump"]
    until(lambda: p.poll() is not None or (written(paths[0], lambda text: text.count("\n") >= 200) and catches(p, signal.SIGTERM)))
    p.terminate()
    status = p.wait(timeout=LIMIT)
    named = [(int(a, 16), int(b, 16), c) for a, b, c in (line.split() for line in open(paths[0]))]
    dump = open(paths[1], "rb").read()
    magic, version, size, _, _, pid, _, _ = struct.unpack_from("<IIIIIIQQ", dump)
    dumped, at = [], size
    while at < len(dump):
        kind, length, _ = struct.unpack_from("<IIQ", dump, at)
        if kind == 0:
            _, _, vma, _, code, _ = struct.unpack_from("<IIQQQQ", dump, at + 16)
            name = dump[at + 56:].split(b"\0", 1)[0]
            dumped.append((vma, code, name.decode()))
            length -= 0 if length == 56 + len(name) + 1 + code else 1 << 30  # ends the loop: a wrong record
        at += length
    for path in paths:
        os.unlink(path)
    if status or magic != 0x4a695444 or version != 1 or pid != p.pid or at != len(dump) or len(named) < 100 or named != dumped:
        print(f"FAILED perfmap and jitdump: status {status}, {len(named)} and {len(dumped)} units, {at} of {len(dump)} bytes")
        return 1
    return 0


with tempfile.TemporaryDirectory() as folder:
    prepare(folder)
    program = sys.argv[1]
    parts = [bad_lines(program, folder), signals(program, folder), terminals(program), daemon(program, folder), fall_back(program), dump(program, folder), perf(program), cpus(program, folder), few_files(program)]
    total = len(BAD) + 3 + len(terminal_ways(program)) + 1 + 4 + 1 + 1 + len(MODELS)
    print(f"{total - sum(parts)} as they should be, {sum(parts)} not")
    sys.exit(sum(parts) > 0)
