"""``python -m tests.benchmarks [--write | --markdown] [NAME …]``: the budgets, measured; by default all of them.

``--write`` keeps the rows in results.json beside this file, ``--markdown`` prints what is kept as the README has it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.measure import Row, machine, table
from tui.terminal import LIBRARIES

TOPICS = (
    "start", "unloaded", "load", "drawing", "keys", "link", "prompt", "remote", "heads", "long", "depth", "finding",
    "changing", "patching", "large", "memory", "cluster",
)  # fmt: skip
KEPT = Path(__file__).with_name("results.json")


def main(arguments: list[str]) -> int:
    """Exit code 1 where a budget is not met."""
    if "--markdown" in arguments:
        print(markdown())
        return 0
    names = [name for name in arguments if not name.startswith("--")] or list(TOPICS)
    unknown = set(names) - set(TOPICS)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(TOPICS)}", file=sys.stderr)
        return 2
    os.environ.update({name: value for name, value in LIBRARIES.items() if name not in os.environ})
    every: list[Row] = []
    measured: dict[str, list[dict[str, object]]] = {}
    for name in names:
        rows = importlib.import_module(f"tests.benchmarks.{name}").main()
        print(table(rows), "\n", flush=True)
        every += rows
        measured[name] = [asdict(row) for row in rows]
    where = machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    if "--write" in arguments:
        kept = json.loads(KEPT.read_text())["rows"] if KEPT.exists() else {}
        kept |= measured
        ordered = {name: kept[name] for name in TOPICS if name in kept}
        KEPT.write_text(json.dumps({"machine": where, "rows": ordered}, indent=1, ensure_ascii=False) + "\n")
    return 0 if all(row.met for row in every) else 1


def markdown() -> str:
    """The kept rows as one table, and the machine in a sentence."""
    kept = json.loads(KEPT.read_text())
    rows = [Row(**row) for rows in kept["rows"].values() for row in rows]
    where = dict(kept["machine"])
    cpu, cores = where.pop("cpu"), where.pop("cores")
    versions = ", ".join(f"{name} {value}" for name, value in where.items() if name != "system")
    return f"{table(rows)}\n\nMedians, measured on {cores} shared cores of {cpu} ({where['system']}), {versions}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
