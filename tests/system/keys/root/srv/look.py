"""Says what a container's keys have made of it."""
import os
import resource
import time

def read(path):
    try:
        with open(path) as file:
            return file.read().strip().replace("\n", " | ")
    except OSError as error:
        return error.strerror

def write(path):
    try:
        with open(path, "w") as file:
            file.write("4096")
        return "yes"
    except OSError as error:
        return error.strerror

shm = os.statvfs("/dev/shm")
print("shm", shm.f_blocks * shm.f_frsize, flush=True)
print("nofile", *resource.getrlimit(resource.RLIMIT_NOFILE), "core", *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
print("groups", *sorted(os.getgroups()), flush=True)
print("zone", time.strftime("%z"), os.environ.get("TZ"), flush=True)
for name in ("FIRST", "SECOND", "THIRD"):
    print(f"env {name}={os.environ.get(name)}", flush=True)
for path in ("/etc/hosts", "/etc/resolv.conf", "/proc/cmdline", "/etc/debian_version", "/proc/sys/kernel/domainname",
             "/proc/sys/kernel/msgmax", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv4/ip_unprivileged_port_start"):
    print(f"read {path}: {read(path)}", flush=True)
print("list /opt/masked:", *os.listdir("/opt/masked"), flush=True)
for path in ("/run/x", "/tmp/x", "/var/tmp/x", "/dev/shm/x", "/x", "/proc/sys/kernel/msgmax"):
    print(f"write {path}: {write(path)}", flush=True)
