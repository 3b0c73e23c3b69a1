"""Writes the figures of bench.json into README.md: python3 bench/figures.py bench.json README.md

Only between the two marks, only medians that were measured, and with the day of the run: no figure is ever written by hand."""

import datetime
import json
import os
import re
import sys

START, END = "<!-- figures: bench/figures.py -->", "<!-- end of figures -->"

COLUMNS = {
    "Coracle, `intercept`": ("coracle-intercept", "coracle-init", "coracle"),
    "Coracle, `inherit`": ("coracle-inherit",),
    "Coracle, `proxy`": ("coracle-proxy",),
    "bare unit": ("bare",),
    "systemd's sandbox": ("sandbox",),
    "systemd-socket-proxyd": ("proxyd",),
    "crun": ("crun",),
    "Podman Quadlet": ("podman", "quadlet"),
    "Podman's `-p`": ("podman-port",),
}

ROWS = {
    "cold_start": "cold start, connection to first byte",
    "warm": "requests per second, warm",
    "warm_p99": "99th percentile of the wait for an answer, warm",
    "resident_pss": "memory that stays beside the payload, ten running (PSS)",
    "generator_1": "generator, 1 definition",
    "generator_100": "generator, 100 definitions",
    "generator_1000": "generator, 1,000 definitions",
}


# What the columns do not say of themselves.
NOTES = """

The program behind systemd-socket-proxyd is a plain unit, in no container. Podman Quadlet's has a socket unit written by hand, for a
program that knows `LISTEN_FDS`. By `-p` netavark forwards to it, and no client starts it: its cold start is that of `systemctl start`,
until the first answer."""


def shown(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"
    return number if unit == "requests/s" else f"{number} {unit}"


def table(result: dict, day: str) -> str:
    found: dict[tuple[str, str], str] = {}
    for row in result["rows"]:
        # "podman (conmon)" names what was weighed.
        subject = re.sub(r" \(.*\)$", "", row["subject"])
        if row["median"] is not None:
            found[row["figure"], subject] = shown(row["median"], row["unit"])
    lines = ["| figure | " + " | ".join(COLUMNS) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for figure, words in ROWS.items():
        cells = [next((found[figure, name] for name in names if (figure, name) in found), "–") for names in COLUMNS.values()]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    ratios = result["ratios"]
    names = ("cold_start_minus_bare_ms", "cold_start_minus_bare_low_ms", "cold_start_minus_bare_high_ms")
    middle, low, high = (ratios.get(name) for name in names)
    spread = "" if None in (middle, low, high) else (
        f"\n\nA cold start takes {middle:.1f} ms more than the bare unit's, by the median of the differences of each round (95 % interval {low:.1f} to "
        f"{high:.1f} ms)."
    )
    middle, low, high = (ratios.get(f"warm_p99_vs_bare{end}") for end in ("", "_low", "_high"))
    spread += "" if None in (middle, low, high) else (
        f"\nThe slowest hundredth of the requests waits {middle:.2f} times as long as there ({low:.2f} to {high:.2f})."
    )
    return f"Measured on {day}, medians.\n\n" + "\n".join(lines) + spread + NOTES


def distance(result: dict) -> str:
    """The audit of default containers as a table: what the payload itself sees."""

    def row(words: str, cell) -> str:
        return f"| {words} | " + " | ".join(cell(result["audit"][name]) for name in ("coracle", "podman")) + " |"

    def value(lines: list[str], word: str) -> str:
        return next((line[len(word) :].strip() for line in lines if line.startswith(f"{word} ")), "–")

    def all_of(lines: list[str], word: str) -> str:
        return ", ".join(line[len(word) :].strip() for line in lines if line.startswith(f"{word} ")) or "none"

    def root(lines: list[str]) -> str:
        outside = value(lines, "identities").split()[1]
        return "the host's root" if outside == "0" else f"user {outside}"

    rows = [
        row("root inside is, on the host", root),
        row("capabilities it can have", lambda lines: str(int(value(lines, "CapBnd"), 16).bit_count())),
        row("`no_new_privs`", lambda lines: value(lines, "NoNewPrivs")),
        row("seccomp mode", lambda lines: value(lines, "Seccomp")),
        row("network interfaces", lambda lines: all_of(lines, "interface")),
        row("processes it sees", lambda lines: value(lines, "processes")),
        row("open descriptors", lambda lines: value(lines, "descriptors")),
        row("may make a new user namespace", lambda lines: value(lines, "new user namespace:")),
    ]
    return "\n".join(["| a default container | Coracle | Podman |", "| --- | --- | --- |", *rows])


def main() -> None:
    source, target = sys.argv[1:3]
    with open(source, encoding="utf-8") as file:
        result = json.load(file)
    day = datetime.date.fromtimestamp(os.stat(source).st_mtime).isoformat()
    with open(target, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(START)
    _, after = rest.split(END)
    with open(target, "w", encoding="utf-8") as file:
        file.write(f"{before}{START}\n{table(result, day)}\n\n{distance(result)}\n{END}{after}")


if __name__ == "__main__":
    main()
