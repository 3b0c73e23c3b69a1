"""Says which devices can be used, and whether more can be had."""
import os
import stat

def attempt(what, action):
    try:
        action()
        print(f"{what}: yes", flush=True)
    except OSError as error:
        print(f"{what}: {error.strerror}", flush=True)

def use(path, flags):
    os.close(os.open(path, flags))

for directory, _, names in sorted(os.walk("/dev")):
    for name in sorted(names):
        status = os.lstat(os.path.join(directory, name))
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            numbers = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
            print(f"node {directory}/{name} {numbers} {status.st_mode & 0o7777:o} {status.st_uid}:{status.st_gid}", flush=True)
for path in ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/ptmx"):
    attempt(f"use {path}", lambda: use(path, os.O_RDWR))
attempt("use a terminal", lambda: os.close(os.openpty()[1]))
attempt("read /dev/inner/boat", lambda: use("/dev/inner/boat", os.O_RDONLY))
if os.path.exists("/dev/inner/boat"):
    os.chmod("/dev/inner/boat", 0o666)
attempt("write /dev/inner/boat", lambda: use("/dev/inner/boat", os.O_WRONLY))
attempt("make /dev/other", lambda: os.mknod("/dev/other", stat.S_IFCHR | 0o666, os.makedev(10, 229)))
attempt("use /dev/other", lambda: use("/dev/other", os.O_RDWR))
print("done", flush=True)
