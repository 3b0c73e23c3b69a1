"""Measures Coracle beside its peers, inside one machine, in turn; writes rows and ratios as JSON.

Usage: measure.py OUTPUT [RUNS]. Called by bench/run in a booted machine with everything in /opt/bench.
"""

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import peers
import subjects
from peers import PEERS
from subjects import CLOSE, COLD, Subject, run, write

GENERATOR = "/usr/lib/systemd/system-generators/coracle-generator"
QUADLET = "/usr/libexec/podman/quadlet"

# How many more rounds than the others the subjects get whose difference matters.
CLOSE_ROUNDS = 6


class Rows:
    """Samples by figure and subject, in the order in which they came."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, figure: str, subject: str, unit: str, value: float) -> None:
        self.samples[figure, subject, unit].append(value)

    def expect(self, figure: str, unit: str) -> None:
        """Fixes the order of the table, whatever the order of the runs."""
        for subject in COLD + PEERS:
            self.samples.setdefault((figure, subject.name, unit), [])

    def of(self, figure: str, subject: str) -> list[float]:
        return next((values for key, values in self.samples.items() if key[:2] == (figure, subject)), [])

    def median(self, figure: str, subject: str) -> float | None:
        values = self.of(figure, subject)
        return statistics.median(values) if values else None

    def rows(self) -> list[dict]:
        return [
            {
                "figure": figure,
                "subject": subject,
                "runs": len(values),
                "min": round(min(values), 3),
                "median": round(statistics.median(values), 3),
                "max": round(max(values), 3),
                "unit": unit,
            }
            for (figure, subject, unit), values in self.samples.items()
            if values
        ]


def said(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def property_of(unit: str, name: str) -> str:
    return run("systemctl", "show", "--value", "-p", name, unit).strip()


def connect(port: int) -> float:
    return float(run("/opt/test/client", "first", str(port)))


def stop(subject: Subject) -> None:
    run("systemctl", "stop", f"{subject.name}.service")
    deadline = time.monotonic() + 20
    while property_of(f"{subject.name}.service", "ActiveState") not in ("inactive", "failed"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{subject.name} does not stop")
        time.sleep(0.02)
    run("systemctl", "reset-failed")


def cold_start(rows: Rows, runs: int) -> None:
    """From connect to the first byte, the service inactive before; one round takes every subject once.

    The bare unit and ours go on by themselves for many more rounds. What is wanted of them is a difference of 2 or 3 ms, and every start, the
    bare one too, waits 5 to 25 ms for the kernel while systemd moves the new process into its control group.
    """
    rows.expect("cold_start", "ms")
    said(f"cold start, {runs} rounds of {len(COLD)} subjects")
    rounds(rows, range(runs + 1), COLD)
    said(f"cold start, {CLOSE_ROUNDS * runs} rounds more of {len(CLOSE)} subjects")
    rounds(rows, range(runs + 1, (CLOSE_ROUNDS + 1) * runs + 1), CLOSE)


def rounds(rows: Rows, numbers: range, cast: list[Subject]) -> None:
    """The order is another one in each round: what a subject leaves to the kernel to clear away is not always the same one's burden."""
    for round_ in numbers:
        for subject in random.Random(round_).sample(cast, len(cast)):
            time.sleep(0.05)
            took = wake(subject)
            if round_ > 0:  # The first round reads everything from disk.
                rows.add("cold_start", subject.name, "ms", took / 1000)
            stop(subject)


def cold_start_of_peers(rows: Rows, runs: int) -> None:
    """The same for those with something between the port and the program; one that nothing wakes is started by hand."""
    said(f"cold start, {runs} rounds of {len(PEERS)} peers")
    rounds(rows, range(runs + 1), PEERS)


def wake(subject: Subject) -> float:
    return peers.start_and_ask(subject) if subject == peers.PODMAN_PORT else connect(subject.port)


def whole_start(rows: Rows, runs: int) -> None:
    """The commands by themselves, without systemd: start a payload that exits 3 at once (init holds a 0 back), and wait for it.

    The shim hands its container to its own parent, so what is waited for is every child. What it leaves behind is removed by another command,
    systemd's `ExecStopPost=`, which is timed apart; crun removes what it made before it ends. It gets what `crun spec` writes, with no user
    namespace and no filter of system calls, and the same plan that the shim carries out.
    """
    said(f"whole commands, {runs} rounds")
    write("/etc/coracle/trivial.toml", '[Container]\nImage = "localhost/payload"\nExec = ["exit", "3"]\n')
    run("systemctl", "daemon-reload")
    plain = subjects.bundle("plain", "exit", "3")
    alike = subjects.bundle_alike("trivial")
    environment = {"PATH": os.environ["PATH"]}
    shim, unit = "/usr/libexec/coracle/coracle-shim", "trivial.service"
    commands = {
        "bare": ([subjects.PAYLOAD, "exit", "3"], 3),
        "coracle": ([shim, "/run/systemd/generator/trivial.json", unit], 3),
        "coracle-cleanup": ([shim, "--cleanup", unit], 0),
        "crun": (["/usr/bin/crun", "run", f"--bundle={plain}", "plain"], 3),
        "crun-alike": (["/usr/bin/crun", "run", f"--bundle={alike}", "alike"], 3),
    }
    for round_ in range(runs + 1):
        for subject, (command, expected) in commands.items():
            start = time.perf_counter()
            os.posix_spawn(command[0], command, environment)
            statuses = list(children())
            took = (time.perf_counter() - start) * 1000
            if max(os.waitstatus_to_exitcode(status) for status in statuses) != expected:
                raise RuntimeError(f"{subject}: wait statuses {statuses}")
            if round_ > 0:
                rows.add("whole_start", subject, "ms", took)
    for start, cleanup in zip(rows.of("whole_start", "coracle"), rows.of("whole_start", "coracle-cleanup")):
        rows.add("whole_start", "coracle-with-cleanup", "ms", start + cleanup)
    os.unlink("/etc/coracle/trivial.toml")


def children() -> Iterator[int]:
    """The statuses of all children, as they end."""
    while True:
        try:
            yield os.wait()[1]
        except ChildProcessError:
            return


def warm(rows: Rows, rounds: int, seconds: int) -> None:
    """Requests per second of the running payload over the loopback, wrk with 32 connections."""
    cast = COLD + PEERS
    rows.expect("warm", "requests/s")
    said(f"warm requests, {rounds} rounds of {seconds} s")
    for subject in cast:
        wake(subject)
    for round_ in range(rounds):
        for subject in random.Random(round_).sample(cast, len(cast)):
            out = run("wrk", "-t1", "-c32", f"-d{seconds}s", f"http://127.0.0.1:{subject.port}/")
            rows.add("warm", subject.name, "requests/s", float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]))
    slowest(rows, range(rounds // 2), cast)
    slowest(rows, range(rounds // 2, 4 * rounds), CLOSE)
    for subject in cast:
        stop(subject)


def slowest(rows: Rows, numbers: range, cast: list[Subject]) -> None:
    """How long the slowest hundredth of the requests takes where the program has little to do: 4,000 a second, each counted from when it was due.

    At full load that would be a measure of the scheduler, since client and program then fight for the processors. A moment of the machine's own
    is still much in a hundredth of half a second; so it is the median of many rounds.
    """
    rows.expect("warm_p99", "ms")
    said(f"the slowest hundredth, {len(numbers)} rounds of {len(cast)} subjects")
    for round_ in numbers:
        for subject in random.Random(round_).sample(cast, len(cast)):
            _, p99 = run("/opt/test/client", "pace", str(subject.port), "4000", "2000").split()
            rows.add("warm_p99", subject.name, "ms", float(p99) / 1000)


def pss(pid: int) -> dict[str, int]:
    """Proportional set size, and the private dirty part of it, in KiB (proc_pid_smaps(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) for key in ("Pss", "Private_Dirty")}


def processes(unit: str) -> dict[int, str]:
    """The processes of a service and their names, children of the main one included."""
    group = property_of(unit, "ControlGroup")
    pids = [
        int(pid)
        for file in Path(f"/sys/fs/cgroup{group}").rglob("cgroup.procs")
        for pid in file.read_text().split()
    ]
    return {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}


def beside_payload(units: Iterable[str]) -> dict[int, str]:
    """The processes of these services and their names, the payload's own left out."""
    return {pid: name for unit in units for pid, name in processes(unit).items() if name != "payload"}


def programs(beside: dict[int, str]) -> str:
    return "+".join(sorted(set(beside.values()))) or "nothing"


def add_resident(rows: Rows, subject: str, beside: dict[int, str]) -> None:
    sizes = [pss(pid) for pid in beside]
    rows.add("resident_pss", subject, "KiB", sum(size["Pss"] for size in sizes))
    rows.add("resident_private_dirty", subject, "KiB", sum(size["Private_Dirty"] for size in sizes))


def resident(rows: Rows, count: int) -> None:
    """What stays in memory beside the payload, count containers running: init, conmon, or crun itself."""
    said(f"resident memory, {count} running")
    made: list[tuple[str, str]] = []
    for i in range(count):
        subjects.coracle(f"many-coracle-{i}", 9100 + i, "intercept")
        subjects.podman(f"many-podman-{i}", 9200 + i)
        subjects.crun(f"many-crun-{i}", 9300 + i)
        made += [(kind, f"many-{kind}-{i}") for kind in ("coracle", "podman", "crun")]
    run("systemctl", "daemon-reload")
    for kind, port in (("coracle", 9100), ("podman", 9200), ("crun", 9300)):
        for i in range(count):
            run("systemctl", "start", f"many-{kind}-{i}.socket")
            connect(port + i)
    for kind, name in made:
        beside = beside_payload([f"{name}.service"])
        add_resident(rows, "coracle-init" if kind == "coracle" else f"{kind} ({programs(beside)})", beside)
    for kind, name in made:
        run("systemctl", "stop", f"{name}.socket", f"{name}.service")
        for path in (f"/etc/coracle/{name}.toml", f"/etc/containers/systemd/{name}.container"):
            Path(path).unlink(missing_ok=True)
    run("systemctl", "daemon-reload")


def resident_of_peers(rows: Rows, count: int) -> None:
    """The same for the peers, whose copiers stay as well."""
    said(f"resident memory of peers, {count} running")
    made = [(kind.name, f"many-{kind.name}-{i}", kind.port + 100 * (j + 4) + i) for j, kind in enumerate(PEERS) for i in range(count)]
    units = {name: peers.make(kind, name, port) for kind, name, port in made}
    run("systemctl", "daemon-reload")
    for kind, name, port in made:
        peers.listen(kind, name)
        connect(port)
    for kind, name, _ in made:
        beside = beside_payload(units[name])
        add_resident(rows, f"{kind} ({programs(beside)})", beside)
    for kind, name, _ in made:
        run("systemctl", "stop", *peers.sockets(kind, name), f"{name}.service")


def generators(rows: Rows, runs: int) -> None:
    """The generators alone, on a tmpfs, in turn; both read the same containers."""
    if not os.path.exists(QUADLET):
        said(f"no '{QUADLET}': its generator is left out")
    for count in (1, 100, 1000):
        said(f"generators, {count} definitions, {runs} rounds")
        shutil.rmtree("/etc/coracle", ignore_errors=True)
        shutil.rmtree("/dev/shm/quadlet", ignore_errors=True)
        for i in range(count):
            write(
                f"/etc/coracle/web-{i:04}.toml",
                '[Container]\nImage = "docker.io/library/nginx:1.27"\n'
                f'PublishPort = "{10000 + i}:80"\n\n[Service]\nMemoryMax = "256M"\n',
            )
            write(
                f"/dev/shm/quadlet/web-{i:04}.container",
                "[Container]\nImage=docker.io/library/nginx:1.27\n"
                f"PublishPort={10000 + i}:80\n\n[Service]\nMemoryMax=256M\n",
            )
        for round_ in range(runs + 1):
            for subject, command, environment in (
                ("coracle", [GENERATOR, *(f"/dev/shm/out/{name}" for name in ("normal", "early", "late"))], {}),
                ("quadlet", [QUADLET, "-no-kmsg-log", "/dev/shm/out/normal"], {"QUADLET_UNIT_DIRS": "/dev/shm/quadlet"}),
            ):
                shutil.rmtree("/dev/shm/out", ignore_errors=True)
                for name in ("normal", "early", "late"):
                    os.makedirs(f"/dev/shm/out/{name}")
                if not os.path.exists(command[0]):
                    continue
                start = time.perf_counter()
                done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
                took = (time.perf_counter() - start) * 1000
                made = sum(len(files) for _, _, files in os.walk("/dev/shm/out"))
                if done.returncode != 0 or made < count:
                    raise RuntimeError(f"{command[0]}: {made} files for {count} definitions: {done.stderr[-500:]}")
                if round_ > 0:
                    rows.add(f"generator_{count}", subject, "ms", took)
    shutil.rmtree("/dev/shm/out", ignore_errors=True)


def audit() -> dict[str, list[str]]:
    """How far from the host a container is by default, as the payload sees it, with us and with Podman."""
    said("audit of default containers")
    write("/etc/coracle/audit.toml", '[Container]\nImage = "localhost/payload"\nExec = ["audit"]\n[Service]\nRestart = "no"\n')
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "audit.service")
    deadline = time.monotonic() + 10
    while property_of("audit.service", "ActiveState") != "inactive" and time.monotonic() < deadline:
        time.sleep(0.05)
    ours = run("journalctl", "-b", "-o", "cat", "_COMM=payload", "SYSLOG_IDENTIFIER=audit")
    os.unlink("/etc/coracle/audit.toml")
    theirs = run("podman", "run", "--rm", "--network=none", "--pull=never", "localhost/bench:latest", "audit")
    return {"coracle": ours.splitlines(), "podman": theirs.splitlines()}


def ratios(rows: Rows) -> dict[str, float | None]:
    """The figures that the goals are set in. A figure whose parts were not measured is null, never a guess."""

    def divided(figure: str, over: str, under: str) -> float | None:
        a, b = rows.median(figure, over), rows.median(figure, under)
        return round(a / b, 3) if a is not None and b else None

    def minus_bare(subject: str) -> list[float]:
        """The differences of each round, in order."""
        return sorted(a - b for a, b in zip(rows.of("cold_start", subject), rows.of("cold_start", "bare")))

    def median(differences: list[float]) -> float | None:
        return round(statistics.median(differences), 3) if differences else None

    def quotients(figure: str, over: str, under: str) -> list[float]:
        """Those of each round, which a busy moment of the machine hurts less, in order."""
        return sorted(a / b for a, b in zip(rows.of(figure, over), rows.of(figure, under)))

    def bound(differences: list[float], side: int) -> float | None:
        """One end of the interval that has the true median in 95 of 100 runs, whatever the distribution: an order statistic."""
        count = len(differences)
        rank = round(count / 2 + side * 0.98 * count**0.5)
        return round(differences[rank], 3) if 0 <= rank < count else None

    p99, p99_inherit = (quotients("warm_p99", name, "bare") for name in ("coracle-intercept", "coracle-inherit"))
    intercept, inherit = minus_bare("coracle-intercept"), minus_bare("coracle-inherit")
    return {
        "cold_start_minus_bare_ms": median(intercept),
        "cold_start_minus_bare_low_ms": bound(intercept, -1),
        "cold_start_minus_bare_high_ms": bound(intercept, 1),
        "cold_start_inherit_minus_bare_ms": median(inherit),
        "cold_start_vs_podman": divided("cold_start", "coracle-intercept", "podman"),
        "cold_start_vs_sandbox": divided("cold_start", "coracle-intercept", "sandbox"),
        "cold_start_vs_crun": divided("cold_start", "coracle-intercept", "crun"),
        "whole_start_vs_crun": divided("whole_start", "coracle", "crun-alike"),
        "whole_start_with_cleanup_vs_crun": divided("whole_start", "coracle-with-cleanup", "crun-alike"),
        "whole_start_vs_crun_spec": divided("whole_start", "coracle", "crun"),
        "warm_rps_vs_bare": median(quotients("warm", "coracle-intercept", "bare")),
        "warm_rps_inherit_vs_bare": median(quotients("warm", "coracle-inherit", "bare")),
        "warm_p99_vs_bare": median(p99),
        "warm_p99_vs_bare_low": bound(p99, -1),
        "warm_p99_vs_bare_high": bound(p99, 1),
        "warm_p99_inherit_vs_bare": median(p99_inherit),
        "warm_rps_proxy_vs_proxyd": median(quotients("warm", "coracle-proxy", "proxyd")),
        "resident_pss_kib": rows.median("resident_pss", "coracle-init"),
        "generator_1000_ms": rows.median("generator_1000", "coracle"),
        "generator_1000_vs_quadlet": divided("generator_1000", "coracle", "quadlet"),
    }


def main() -> None:
    output, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40
    rows = Rows()
    said("setting up the subjects")
    subjects.set_up()
    peers.set_up()
    cold_start(rows, runs)
    cold_start_of_peers(rows, runs // 2)
    whole_start(rows, 4 * runs)
    warm(rows, 15, 1)
    resident(rows, 10)
    resident_of_peers(rows, 10)
    generators(rows, runs)
    result = {"rows": rows.rows(), "ratios": ratios(rows), "audit": audit()}
    partial = output.with_suffix(".new")
    partial.write_text(json.dumps(result, indent=2) + "\n")
    partial.rename(output)


if __name__ == "__main__":
    main()
