"""How long the event loop stands still while torch and the model load in their thread, and afterwards.

A ticker of 5 ms runs in the app's loop; another one runs in a bare app at the same time, for what is the machine's.
"""

from __future__ import annotations

import statistics
import time

from tests.benchmarks.measure import Row, ms
from tests.benchmarks.screen import Child, shown

ROUNDS = 3


def main() -> list[Row]:
    """Medians over cold starts of the longest stall of each phase."""
    phases: dict[str, list[float]] = {"torch": [], "loading": [], "rest": [], "walk": []}
    noise: dict[str, list[float]] = {name: [] for name in phases}
    for _ in range(ROUNDS):
        with Child("stalls") as child, Child("idle") as beside:
            child.open()
            rest = time.monotonic()
            time.sleep(3)
            walk = time.monotonic()
            for key in "}]{[" * 2:  # the worker computes what no head has shown yet
                before = shown(child.text).title
                child.press(key)
                time.sleep(0.25)
                assert shown(child.text).title != before, f"{key} showed no other head:\n{child.text}"
            time.sleep(0.5)
            times = {words[0]: [float(word) for word in words[1:]] for words in child.noted() if words[0] != "stall"}
            starts = {"torch": times["torch"], "loading": [times["torch"][1], times["opened"][0]]}
            starts |= {"rest": [rest, walk], "walk": [walk, time.monotonic()]}
            for name, (begin, end) in starts.items():
                phases[name].append(longest(child, begin, end))
                noise[name].append(longest(beside, begin, end))
    limits = {
        "torch": ("import torch itself", 500), "loading": ("the model loads", 50), "rest": ("afterwards", 30),
        "walk": ("heads are walked: a frame is drawn", 0),
    }  # fmt: skip
    out = []
    for name, (words, limit) in limits.items():
        taken, idle = (1000 * statistics.median(values[name]) for values in (phases, noise))
        what = f"longest stall of the event loop, {words}"
        budget = f"≤ {limit} ms" if limit else ""
        out.append(Row(what, ms(taken), f"bare app beside it {ms(idle)}", None, budget, not limit or taken <= limit))
    return out


def longest(child: Child, begin: float, end: float) -> float:
    """The longest stall that overlaps a stretch of time; less than 10 ms is none."""
    stalls = [(float(words[1]), float(words[2])) for words in child.noted() if words[0] == "stall"]
    return max((length for start, length in stalls if start < end and start + length > begin), default=0.0)
