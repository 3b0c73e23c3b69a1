# Says what it is called to SELinux, what its files are, and what it may do with them.
import ctypes
import os
import sys
import time


def label(path):
    return os.getxattr(path, "security.selinux").decode().rstrip("\0")


def attempt(what, act):
    try:
        print(what, act(), flush=True)
    except OSError as error:
        print(what, error.strerror, flush=True)


def read(path):
    with open(path) as file:
        return file.read().strip()


def write(path):
    with open(path, "w") as file:
        file.write("written")
    return label(path)


print("context", read("/proc/self/attr/current").rstrip("\0"), flush=True)
# AT_SECURE: whether the loader ignores LD_LIBRARY_PATH and its kind.
print("secure", ctypes.CDLL(None).getauxval(23), flush=True)
for place in ["/", "/dev", "/dev/null", "/dev/shm", "/etc/hosts"]:
    attempt("label of " + place, lambda: label(place))
for place in sys.argv[1:]:
    attempt("read " + place, lambda: read(place + "/file"))
    attempt("written " + place, lambda: write(place + "/" + os.uname().nodename))
attempt("secret", lambda: read("/run/secrets/token"))
print("done", flush=True)
time.sleep(1000)
