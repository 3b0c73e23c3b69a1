# Tries what has led out of containers before, with whatever rights it was given; each line says what came of it.
import ctypes
import os
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def run_at_release():
    # CVE-2022-0492
    call("mount", b"cgroup", b"/mnt", b"cgroup", 0, b"memory")
    try:
        write("/mnt/release_agent", "/bin/false")
    finally:
        call("umount", b"/mnt")


def cover_proc():
    call("mount", b"none", b"/proc", b"tmpfs", 0, None)
    call("umount", b"/proc")


def attach_to_init():
    PTRACE_SEIZE = 0x4206
    call("ptrace", PTRACE_SEIZE, 1, 0, 0)


def join(namespace):
    descriptor = os.open(f"/proc/1/ns/{namespace}", os.O_RDONLY)
    call("setns", descriptor, 0)


def rewrite_the_shim():
    # CVE-2019-5736
    for _ in range(2000):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                os.close(os.open(f"/proc/{pid}/exe", os.O_WRONLY))
                return
            except OSError as error:
                last = error
    raise last


def reach_the_host_by_descriptor():
    # CVE-2024-21626
    for number in range(3, 64):
        if os.path.exists(f"/proc/self/fd/{number}/../../../../etc/coracle"):
            return
    raise OSError(0, "nothing")


def speak_to_the_host():
    # CVE-2020-15257
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect("\0of-the-host")


ATTEMPTS = {
    "core_pattern": lambda: write("/proc/sys/kernel/core_pattern", "|/bin/false"),
    "sysrq-trigger": lambda: write("/proc/sysrq-trigger", "s"),
    "uevent_helper": lambda: write("/sys/kernel/uevent_helper", "/bin/false"),
    "release_agent": run_at_release,
    "cgroup.procs": lambda: write("/sys/fs/cgroup/cgroup.procs", "0"),  # CVE-2023-25809
    "cgroup.kill": lambda: write("/sys/fs/cgroup/cgroup.kill", "1"),
    "ptrace of init": attach_to_init,
    "init's memory": lambda: open("/proc/1/mem", "r+b"),
    "init's descriptors": lambda: [os.readlink(f"/proc/1/fd/{number}") for number in os.listdir("/proc/1/fd")],
    "init's environment": lambda: open("/proc/1/environ", "rb").read(),
    "init's program": lambda: os.readlink("/proc/1/exe"),
    "init's mounts": lambda: join("mnt"),
    "init's users": lambda: join("user"),
    "the shim": rewrite_the_shim,
    "a way to the host": reach_the_host_by_descriptor,
    "an abstract socket": speak_to_the_host,
    "a disk": lambda: os.close(os.open("/dev/vda", os.O_RDWR)),
    "a new disk": lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(254, 0)),
    "a module": lambda: call("init_module", b"", 0, b""),
    "the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "the host's name": lambda: write("/proc/sys/kernel/hostname", "pwned"),
    "a mount over proc": cover_proc,
    "a wider root": lambda: call("chroot", b"/proc/1/root/.."),
}

ALLOWED_TO_ANY_ROOT = {"a wider root"}

for what, attempt in ATTEMPTS.items():
    try:
        attempt()
        print("harmless:" if what in ALLOWED_TO_ANY_ROOT else "DONE:", what, flush=True)
    except OSError as error:
        print("refused:", what, error.errno, flush=True)
try:
    os.kill(1, 9)
except PermissionError:
    pass
print("init lives", os.stat("/proc/1").st_uid, flush=True)
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print("out of descriptors", error.errno, flush=True)
print("done", *sys.argv[1:], flush=True)
time.sleep(1000)
