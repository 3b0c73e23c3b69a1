"""The other ways to a container's port, beside those in subjects.py: through a copier, and by address translation.

They stand in the same table, but each has a part that is no socket of systemd's with the program behind it, so they are set up, woken and
weighed by themselves: systemd-socket-proxyd(8) before a plain program, our own proxy of the same kind (`Activation=proxy`), and
Podman's `-p`, which forwards packets by netavark's rules and starts nothing.
"""

import socket
import subprocess
import time

from subjects import PAYLOAD, Subject, coracle, run, service_unit, socket_unit, write

COPIER = "/usr/lib/systemd/systemd-socket-proxyd"

CORACLE_PROXY = Subject("coracle-proxy", 9007)
PROXYD = Subject("proxyd", 9008)
PODMAN_PORT = Subject("podman-port", 9009)
PEERS = [CORACLE_PROXY, PROXYD, PODMAN_PORT]

# Where the plain programs behind systemd-socket-proxyd listen.
BEHIND = 1000


def proxyd(name: str, port: int) -> None:
    """As its manual page has it. The program says when it listens, or the copier would come too early."""
    socket_unit(name, port)
    write(
        f"/etc/systemd/system/{name}.service",
        f"[Unit]\nStartLimitIntervalSec=0\nRequires={name}-program.service\nAfter={name}-program.service\n"
        f"[Service]\nType=notify\nExecStart={COPIER} 127.0.0.1:{port + BEHIND}\n",
    )
    write(
        f"/etc/systemd/system/{name}-program.service",
        f"[Unit]\nStartLimitIntervalSec=0\nPartOf={name}.service\n"
        f"[Service]\nType=notify\nExecStart={PAYLOAD} store {port + BEHIND}\n",
    )


def podman_port(name: str, port: int) -> None:
    """On Podman's own bridge, rootful, as a Quadlet that nobody's connection starts."""
    write(
        f"/etc/containers/systemd/{name}.container",
        "[Unit]\nStartLimitIntervalSec=0\n"
        f"[Container]\nImage=localhost/bench:latest\nExec=serve 8080\nPublishPort={port}:8080\nPull=never\n"
        "[Service]\nRestart=no\n",
    )


def make(kind: str, name: str, port: int) -> list[str]:
    """Sets one up; the services in which there is something of it."""
    if kind == CORACLE_PROXY.name:
        coracle(name, port, "proxy")
        return [f"{name}.service", f"{name}-proxy.service"]
    if kind == PROXYD.name:
        proxyd(name, port)
        return [f"{name}.service", f"{name}-program.service"]
    podman_port(name, port)
    return [f"{name}.service"]


def sockets(kind: str, name: str) -> list[str]:
    """The socket units that wake it, if anything does."""
    return [] if kind == PODMAN_PORT.name else [f"{name}.socket"]


def listen(kind: str, name: str) -> None:
    """Whatever there is to be done before the first client."""
    run("systemctl", "start", *(sockets(kind, name) or [f"{name}.service"]))


def set_up() -> None:
    """All three, sockets listening where there are any, nothing running."""
    for subject in PEERS:
        make(subject.name, subject.name, subject.port)
    run("systemctl", "daemon-reload")
    for subject in (CORACLE_PROXY, PROXYD):
        listen(subject.name, subject.name)


def start_and_ask(subject: Subject) -> float:
    """Microseconds from `systemctl start` to the first byte, for one that no connection starts."""
    start = time.perf_counter()
    starting = subprocess.Popen(["systemctl", "start", f"{subject.name}.service"])
    while not answers(subject.port):
        if time.perf_counter() - start > 20:
            raise RuntimeError(f"'{subject.name}' does not answer")
        time.sleep(0.001)
    took = time.perf_counter() - start
    if starting.wait() != 0:
        raise RuntimeError(f"'{subject.name}' does not start")
    return took * 1e6


def answers(port: int) -> bool:
    """In no time or not at all: what is sent while the way is being made may be lost, and would be sent again after a second."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            return len(connection.recv(1)) == 1
    except OSError:
        return False
