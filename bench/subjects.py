"""What is measured: the same static server behind a socket, in every way that this machine knows.

Each subject is a socket unit on a port of its own and a service of the same name. All are set up inside the machine and
started by nothing but their sockets.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

PAYLOAD = "/opt/bench/payload"
ROOT = "/opt/bench/root"


@dataclass(frozen=True)
class Subject:
    """A name for the table, and the port of its socket; the units bear the same name."""

    name: str
    port: int


COLD = [
    Subject("bare", 9001),
    Subject("coracle-intercept", 9002),
    Subject("coracle-inherit", 9003),
    Subject("sandbox", 9004),
    Subject("crun", 9005),
    Subject("podman", 9006),
]

# Those of which not only an order of magnitude is wanted.
CLOSE = COLD[:3]

# systemd's own sandbox, as far as it goes: what an administrator would write for a service that only serves a socket.
SANDBOX = f"""\
RootDirectory={ROOT}
MountAPIVFS=yes
PrivateNetwork=yes
PrivateDevices=yes
PrivateTmp=yes
PrivateIPC=yes
DynamicUser=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
"""


def run(*command: str) -> str:
    """Runs a command; its standard output. What it says when it fails is shown."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def socket_unit(name: str, port: int) -> None:
    write(
        f"/etc/systemd/system/{name}.socket",
        f"[Socket]\nListenStream={port}\nBacklog=4096\nTriggerLimitIntervalSec=0\n",
    )


def service_unit(name: str, start: str, more: str = "") -> None:
    write(
        f"/etc/systemd/system/{name}.service",
        f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={start}\n{more}",
    )


def coracle(name: str, port: int, activation: str) -> None:
    """The payload's image is in the store already: localhost/payload, its entrypoint /payload."""
    write(
        f"/etc/coracle/{name}.toml",
        "[Container]\n"
        'Image = "localhost/payload"\n'
        'Exec = ["serve", "8080"]\n'
        f'PublishPort = "{port}:8080"\n'
        f'Activation = "{activation}"\n'
        "[Socket]\n"
        "Backlog = 4096\n"
        "TriggerLimitIntervalSec = 0\n",
    )


def bundle(name: str, *arguments: str) -> str:
    """An OCI bundle of the payload, as `crun spec` makes it."""
    directory = f"/opt/bench/bundle-{name}"
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["crun", "spec"], cwd=directory, check=True)
    config = json.loads(Path(f"{directory}/config.json").read_text())
    config["process"].update(terminal=False, args=["/payload", *arguments], cwd="/")
    config["root"] = {"path": ROOT, "readonly": True}
    write(f"{directory}/config.json", json.dumps(config))
    return directory


def bundle_alike(name: str) -> str:
    """An OCI bundle of the definition's own plan: the same namespaces, mounts, rights and filter, over a plain directory."""
    directory = f"/opt/bench/bundle-alike-{name}"
    config = json.loads(run("coracle", "show", name, "--plan"))
    config["root"] = {"path": ROOT, "readonly": False}
    # Which range it is only follows when the container starts.
    extents = [{"containerID": 0, "hostID": 600_000_000, "size": 65536}]
    config["linux"] |= {"uidMappings": extents, "gidMappings": extents}
    write(f"{directory}/config.json", json.dumps(config))
    return directory


def crun(name: str, port: int) -> None:
    """crun takes LISTEN_FDS itself and passes the sockets on from descriptor 3."""
    directory = bundle(name, "serve-fd", "3")
    socket_unit(name, port)
    service_unit(name, f"crun run --bundle={directory} {name}", f"ExecStopPost=-crun delete --force {name}\n")


def podman(name: str, port: int) -> None:
    """Quadlet makes the service; the socket beside it is written by hand, as Podman's manual says."""
    socket_unit(name, port)
    write(
        f"/etc/containers/systemd/{name}.container",
        "[Unit]\nStartLimitIntervalSec=0\n"
        f"[Container]\nImage=localhost/bench:latest\nExec=serve-fd 3\nNetwork=none\nPull=never\n"
        "[Service]\nRestart=no\n",
    )


def podman_image() -> None:
    """Gives Podman the same payload, without asking any registry."""
    # The machine has no pids controller, where Podman would set its default limit; that it is spared that is to its good.
    write("/etc/containers/containers.conf", "[containers]\npids_limit = 0\n")
    archive = "/tmp/payload.tar"
    run("tar", "-C", ROOT, "-cf", archive, ".")
    run("podman", "import", "--change", 'ENTRYPOINT ["/payload"]', archive, "localhost/bench:latest")


def set_up() -> None:
    """All subjects of the cold start, sockets listening, nothing running."""
    service_unit("bare", f"{PAYLOAD} serve")
    socket_unit("bare", 9001)
    coracle("coracle-intercept", 9002, "intercept")
    coracle("coracle-inherit", 9003, "inherit")
    service_unit("sandbox", "/payload serve", SANDBOX)
    socket_unit("sandbox", 9004)
    crun("crun", 9005)
    podman_image()
    podman("podman", 9006)
    run("systemctl", "daemon-reload")
    for subject in COLD:
        run("systemctl", "start", f"{subject.name}.socket")
