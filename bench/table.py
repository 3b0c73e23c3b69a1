"""Prints bench.json as a table: python3 bench/table.py bench.json"""

import json
import sys


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        result = json.load(file)
    columns = ("figure", "subject", "runs", "min", "median", "max", "unit")
    lines = [columns] + [tuple(shown(row[column]) for column in columns) for row in result["rows"]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    before = ""
    for line in lines:
        if line[0] != before:
            print()
        cells = ["" if line[0] == before else line[0], *line[1:]]
        right = {2, 3, 4, 5}
        print("  ".join(f"{cell:>{w}}" if i in right else f"{cell:<{w}}" for i, (cell, w) in enumerate(zip(cells, widths))))
        before = line[0]
    print()
    for name, value in result["ratios"].items():
        print(f"{name:<34} {'not measured' if value is None else shown(value)}")


def shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 100 else f"{value:.2f}"
    return str(value)


if __name__ == "__main__":
    main()
