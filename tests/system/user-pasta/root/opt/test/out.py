# Looks at the world outside, and then serves what it has seen.
import socket
import urllib.request

import serve


def attempt(what, act):
    try:
        return f"{what}: {act()}"
    except OSError as error:
        return f"{what}: refused {error}"


def fetch(url):
    return urllib.request.urlopen(url, timeout=5).read().decode().strip()


def loopback():
    with socket.create_connection(("127.0.0.1", 8081), timeout=2):
        return "DONE"


def gateway():
    with open("/proc/net/route") as routes:
        fields = next(line.split() for line in routes if line.split()[1] == "00000000")
    address = socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])
    with socket.create_connection((address, 8081), timeout=2):
        return "DONE"


serve.serve([
    "interfaces: " + " ".join(name for _, name in socket.if_nameindex()),
    attempt("far", lambda: fetch("http://198.51.100.2:8000/")),
    attempt("name", lambda: socket.gethostbyname("far.test")),
    attempt("the host's loopback", loopback),
    attempt("the gateway's", gateway),
])
