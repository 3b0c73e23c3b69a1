# What the host's own root tries from inside a container, on a kernel that has everything; each line says what came of it.
import ctypes
import os
import time

libc = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND = 32, 4096


def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def through_a_new(kind, path, text):
    os.makedirs("/tmp/new", exist_ok=True)
    call("mount", kind, b"/tmp/new", kind, 0, None)
    write(f"/tmp/new/{path}", text)


def writable(path):
    call("mount", None, path.encode(), None, MS_REMOUNT | MS_BIND, None)


def unlocked(path, text, mount):
    writable(mount)
    write(path, text)


def disk(numbers):
    if not os.path.exists("/tmp/disk"):
        os.mknod("/tmp/disk", 0o60666, os.makedev(*numbers))
    os.close(os.open("/tmp/disk", os.O_RDWR))


def leave_the_profile():
    if open("/proc/self/attr/apparmor/current").read().strip() == "unconfined":
        raise OSError(0, "there is none")
    write("/proc/self/attr/apparmor/current", "changeprofile unconfined")


ATTEMPTS = {
    "core_pattern": lambda: write("/proc/sys/kernel/core_pattern", "|/bin/false"),
    "core_pattern, remounted": lambda: unlocked("/proc/sys/kernel/core_pattern", "|/bin/false", "/proc/sys"),
    "core_pattern, elsewhere": lambda: through_a_new(b"proc", "sys/kernel/core_pattern", "|/bin/false"),
    "sysrq": lambda: write("/proc/sysrq-trigger", "b"),
    "sysrq, remounted": lambda: unlocked("/proc/sysrq-trigger", "b", "/proc/sysrq-trigger"),
    "memory.max": lambda: write("/sys/fs/cgroup/memory.max", "max"),
    "memory.max, remounted": lambda: unlocked("/sys/fs/cgroup/memory.max", "max", "/sys/fs/cgroup"),
    "memory.max, elsewhere": lambda: through_a_new(b"cgroup2", "memory.max", "max"),
    "release_agent": lambda: through_a_new(b"cgroup", "release_agent", "/bin/false"),
    "uevent_helper": lambda: write("/sys/kernel/uevent_helper", "/bin/false"),
    "securityfs": lambda: through_a_new(b"securityfs", "apparmor/.remove", "coracle-default"),
    "no profile": leave_the_profile,
    "the root disk": lambda: disk((259, int(os.environ["MINOR"]))),
    "memory": lambda: os.close(os.open("/dev/mem", os.O_RDWR)),
    "init's namespace": lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0),
}
for what, attempt in ATTEMPTS.items():
    try:
        attempt()
        print("DONE:", what, flush=True)
    except (OSError, AttributeError) as error:
        print("refused:", what, "-", error, flush=True)
print("done", len(ATTEMPTS), flush=True)
time.sleep(1000)
