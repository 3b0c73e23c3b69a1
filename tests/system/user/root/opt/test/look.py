# What a container of a user can do to the user, and to the host: whom things belong to, and what is refused.
import os
import socket


def owner(path):
    found = os.stat(path)
    print("owner", path, found.st_uid, found.st_gid, flush=True)


def attempt(what, act):
    try:
        act()
        print("DONE:", what, flush=True)
    except OSError as error:
        print("refused:", what, error.errno, flush=True)


def connect(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        datagram.sendto(b"MAINPID=1", path)


for path in ["/", "/etc", "/usr/bin/python3", "/dev", "/dev/null", "/dev/shm", "/shared", "/shared/mine", "/shared/roots"]:
    owner(path)
for path in ["/shared/made", "/root/made", "/etc/made"]:
    open(path, "w").close()
    os.chown(path, 1234, 1234)
    owner(path)
os.remove("/usr/bin/python3")
os.mkdir("/usr/bin/python3")
print("null", os.stat("/dev/null").st_rdev == os.makedev(1, 3), open("/dev/zero", "rb").read(2), flush=True)
attempt("init's files", lambda: os.listdir("/proc/1/fd"))
attempt("init's memory", lambda: open("/proc/1/mem", "rb"))
attempt("a device", lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(254, 0)))
attempt("the manager's socket", lambda: connect("/run/user/1000/systemd/notify"))
attempt("the control group", lambda: open("/sys/fs/cgroup/cgroup.procs", "w"))
attempt("a file of root's", lambda: open("/shared/roots", "w"))
attempt("the user's other files", lambda: os.listdir("/srv/home/anna"))
attempt("a sibling's root", lambda: os.listdir("/proc/1/root/../srv/home"))
attempt("the host's name", lambda: open("/proc/sys/kernel/hostname", "w").write("pwned"))
print("groups", os.getgroups(), flush=True)
print("done", flush=True)
