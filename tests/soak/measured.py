"""What the system says of a process: memory and threads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """One process at rest."""

    inputs: int
    """Inputs before it, in this life of the process."""
    resident: float
    """MB."""
    own: float
    """MB that it has written and no other process shares. What it has mapped of files is left out: that becomes its own
    when another process ends that had mapped the same."""
    threads: tuple[tuple[str, int], ...]
    """By name, how many."""

    @property
    def count(self) -> int:
        return sum(number for _, number in self.threads)


def reading(pid: int, inputs: int) -> Reading:
    """Of a process now."""
    folder, sizes = Path(f"/proc/{pid}"), Counter[str]()
    for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
        name, size, *_ = line.split()
        sizes[name.rstrip(":")] += int(size)
    names = Counter((task / "comm").read_text().strip() for task in (folder / "task").iterdir())
    own = sizes["Private_Dirty"] / 1024
    return Reading(inputs, sizes["Rss"] / 1024, own, tuple(sorted(names.items())))


def growth(readings: list[Reading]) -> float:
    """The largest difference to the first reading, as a share; 0 where there are not two."""
    counted = [one.own for one in readings]
    return max((size / counted[0] - 1 for size in counted), key=abs, default=0.0)
