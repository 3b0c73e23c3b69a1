# Looks for processes that somebody else has put into this container, as fast as it can, and tries to take them over before they are what they
# are to be: by ptrace(2), by opening their program for writing, by what they have open, by their memory (CVE-2016-9962, CVE-2019-5736,
# CVE-2024-21626).
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
own, seen, met = os.getpid(), {1}, 0


def is_ours(pid):
    """Whether it is a program of the container by now, and fair game."""
    try:
        return os.readlink(f"/proc/{pid}/exe").startswith(("/usr/bin/", "/bin/"))
    except FileNotFoundError:
        return True
    except OSError:
        return False


def tried(what, attempt, pid):
    try:
        found = attempt()
    except OSError:
        return
    if not is_ours(pid):
        print(f"TAKEN {what} {found}", flush=True)


def seize(pid):
    if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    taken = not is_ours(pid)
    # A tracer that does not wait keeps its tracee from ever being gone.
    libc.ptrace(PTRACE_INTERRUPT, pid, 0, 0)
    os.waitpid(pid, WALL)
    libc.ptrace(PTRACE_DETACH, pid, 0, 0)
    if taken:
        print("TAKEN by ptrace", flush=True)


def write(path):
    os.close(os.open(path, os.O_WRONLY))


def outside(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if os.path.exists(f"/proc/{pid}/fd/{name}/etc/coracle"):
            return target
    raise OSError


print("lurking", flush=True)
while True:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (own, 1):
            continue
        pid = int(name)
        if pid not in seen:
            seen.add(pid)
            met += 1
            if met % 10 == 0:
                print(f"met {met}", flush=True)
        tried("exe", lambda: write(f"/proc/{pid}/exe"), pid)
        tried("memory", lambda: write(f"/proc/{pid}/mem"), pid)
        tried("descriptors", lambda: outside(pid), pid)
        tried("cwd", lambda: os.listdir(f"/proc/{pid}/cwd/etc/coracle"), pid)
        tried("ptrace", lambda: seize(pid), pid)
