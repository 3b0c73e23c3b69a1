# Connects to an abstract socket of the host, to one of its own, and to the one that it is told of.
import socket
import sys
import time


def reach(name):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(name)


own = socket.socket(socket.AF_UNIX)
own.bind("\0own" + str(time.time()))
own.listen()
print("named", own.getsockname()[1:].decode(), flush=True)
others = [("the container's", "\0" + name) for name in sys.argv[2:]]
for what, name in ("the host's", "\0of-the-host"), ("its own", own.getsockname()), *others:
    try:
        reach(name)
        print(what, "reached", flush=True)
    except OSError as error:
        print(what, error.strerror, flush=True)
print("done", flush=True)
if len(sys.argv) == 1:
    time.sleep(1000)
