"""First paint: a cold process on a pseudo-terminal until its first line is there, against a bare Textual app."""

from __future__ import annotations

import statistics
import time

from tests.benchmarks.measure import Row, seconds
from tests.benchmarks.screen import Child

ROUNDS = 11


def main() -> list[Row]:
    """Taken in turns, each in a new process."""
    times: dict[str, list[float]] = {"bare": [], "run": []}
    for _ in range(ROUNDS):
        for kind, taken in times.items():
            with Child(kind) as child:
                child.painted("Prompt ▸")
                taken.append(time.monotonic() - child.begun)
    bare, ours = (statistics.median(times[kind]) for kind in ("bare", "run"))
    ratio = statistics.median(b / a for a, b in zip(times["bare"], times["run"], strict=True))
    with Child("first") as child:
        child.painted("Prompt ▸")
        child.wait_for(lambda _: child.noted())
        loaded = child.noted()[0][1:]
    words = "none of torch, transformer_lens, plotext, numpy" if not loaded else ", ".join(loaded)
    return [
        Row("first paint of a cold process", seconds(ours), f"bare Textual app {seconds(bare)}", ratio, "≤ 1.75 ×",
            ratio <= 1.75),
        Row("imported by then", words, "", None, "no torch, no plotext", not loaded),
    ]  # fmt: skip
