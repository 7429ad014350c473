"""What the benchmarks share: rows of the table, medians, turns taken with a peer, the machine's name."""

from __future__ import annotations

import gc
import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    peer: str
    """What it was measured against in the same run, with its figure; empty where the budget is absolute."""
    ratio: float | None
    budget: str
    """Empty where there is none, and the figure only explains another."""
    met: bool


COLUMNS = ("what", "measured", "peer", "ratio", "budget", "met")


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is printed."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    met = "" if not row.budget else "yes" if row.met else "NO"
    return row.what, row.measured, row.peer, ratio, row.budget, met


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table with columns that stand."""
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)) + " |" for line in lines
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_times(ways: Mapping[str, Callable[[], object]], rounds: int = 15) -> dict[str, float]:
    """Median milliseconds of each way, taken in turns so that a busy neighbour slows all alike."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    gc.disable()
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - start) * 1000)
    gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def ms(value: float) -> str:
    """Milliseconds in two digits or more."""
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def size(count: float) -> str:
    """Bytes."""
    return f"{count:.0f} B" if count < 1000 else f"{count / 1000:.1f} kB"


def machine() -> dict[str, str]:
    """Where the figures were measured."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    versions = {name: importlib.metadata.version(name) for name in ("torch", "textual", "plotext", "transformer-lens")}
    return {
        "cpu": model or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }
