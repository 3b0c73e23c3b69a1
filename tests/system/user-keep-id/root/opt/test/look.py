# Who the user is in here, and whom things belong to.
import os
import socket

import serve

SEEN = [f"I am {os.getuid()}:{os.getgid()} {os.getgroups()}"]
for path in ["/", "/etc/passwd", "/usr/bin/python3", "/var/mail", "/dev", "/shared", "/shared/mine"]:
    found = os.stat(path)
    SEEN.append(f"owner {path} {found.st_uid}:{found.st_gid}")
for path in ["/etc/made", "/tmp/made", "/shared/made-" + socket.gethostname()]:
    try:
        open(path, "w").close()
        SEEN.append(f"made {path}")
    except OSError as error:
        SEEN.append(f"refused {path} {error.errno}")
SEEN.append(open("/proc/self/status").read().split("CapEff:")[1].split()[0])
serve.serve(SEEN)
