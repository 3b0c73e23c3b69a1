# Connects to an abstract socket of the host, and to one of its own.
import socket
import time


def reach(name):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(name)


own = socket.socket(socket.AF_UNIX)
own.bind("\0own" + str(time.time()))
own.listen()
for what, name in ("the host's", "\0of-the-host"), ("its own", own.getsockname()):
    try:
        reach(name)
        print(what, "reached", flush=True)
    except OSError as error:
        print(what, error.strerror, flush=True)
print("done", flush=True)
time.sleep(1000)
