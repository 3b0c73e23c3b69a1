# Looks for what is the user's who runs this container, and is its root: files, sockets, other processes, keys.
import ctypes
import os
import socket
import time

libc = ctypes.CDLL(None, use_errno=True)


def connect(address):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(address)


def tell(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(text, "/run/user/1000/systemd/notify")


def read_keys():
    KEYCTL_READ, SESSION = 11, -3
    if libc.syscall(250, KEYCTL_READ, SESSION, ctypes.create_string_buffer(4096), 4096, 0) < 0:
        raise OSError(ctypes.get_errno(), "keyctl")


def loosen(path):
    with open(path, "w") as file:
        file.write("max")


ATTEMPTS = {
    "home": lambda: os.listdir("/srv/home/anna"),
    "runtime directory": lambda: os.listdir("/run/user/1000"),
    "bus": lambda: connect("/run/user/1000/bus"),
    "manager": lambda: connect("/run/user/1000/systemd/private"),
    "notify socket": lambda: tell(b"MAINPID=1"),
    "variables": lambda: (_ for _ in ()).throw(OSError(0, "none")) if not {"XDG_RUNTIME_DIR", "NOTIFY_SOCKET"} & set(os.environ) else None,
    "keys": read_keys,
    "limit of tasks": lambda: loosen("/sys/fs/cgroup/pids.max"),
    "other groups": lambda: os.mkdir("/sys/fs/cgroup/other"),
    "processes": lambda: os.kill(int(open("/pid").read()), 0) if os.path.exists("/pid") else os.kill(4000000, 0),
    "core size": lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NOFILE, (1 << 20, 1 << 20)),
}

for what, attempt in ATTEMPTS.items():
    try:
        attempt()
        print("DONE:", what, flush=True)
    except OSError as error:
        print("refused:", what, error.errno, flush=True)
    except ValueError as error:
        print("refused:", what, error, flush=True)
print("pids", *sorted(filter(str.isdigit, os.listdir("/proc")), key=int), flush=True)
print("done", flush=True)
time.sleep(1000)
