"""The same sweeps on one worker of a cluster and on two, on a model of GPT-2's size with random weights: equal numbers.

Workers have one CPU thread each, so that two of them have twice the computing where two cores are free, and no more
than one has where they are not: the ratio is always reported, and has a budget where nothing else runs.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.heads import large_folder
from tests.benchmarks.measure import Row, ms, seconds
from tui.cluster.bench import ClusterBench
from tui.cluster.joining import Wish
from tui.engine.jobs import HeadScores, LensOver, NextTokens, Open, Prompts, Repeats, Run, Target
from tui.export import InPlace
from tui.results import Grid, ModelKey, Table

PROMPTS, TOKENS, ROWS = 48, 32, 40
LEAST = 0.75
"""Of the time of one worker: with two cores of their own two take half, and what they wait for each other."""


def main() -> list[Row]:
    """Pattern scores of all heads and the lens over a file; what a small job takes on its way."""
    free = os.getloadavg()[0] < 1 < len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        path = str(large_folder(Path(folder)))
        one, two = (_measured(path, count) for count in (1, 2))
    rows = []
    for name, what in (("scores", f"pattern scores of all heads, {ROWS} × 101 tokens"),
                       ("lens", f"lens over {PROMPTS} prompts of {TOKENS} tokens")):  # fmt: skip
        assert one["values"][name] == two["values"][name], f"{name}: two workers give other numbers than one"
        share = two[name] / one[name]
        peer = f"one worker {seconds(one[name])}{'' if free else ', beside other programs'}"
        rows.append(Row(f"{what}, two workers, equal bit for bit", seconds(two[name]), peer, share,
                        f"≤ {LEAST} ×" if free else "", share <= LEAST or not free))  # fmt: skip
    small = 1000 * min(one["small"], two["small"])
    rows.append(Row("a job that is known on a worker, there and back", ms(small), "", None, "≤ 50 ms", small <= 50))
    return rows


def _measured(path: str, workers: int) -> dict[str, Any]:
    """Seconds of each sweep, and their numbers."""
    bench = ClusterBench(Wish("local", workers, threads=1))
    try:
        context = InPlace(bench, None)
        key = context.get(Open(path, device="cpu", dtype="float32", threads=1)).key
        out: dict[str, Any] = {"values": {}}
        context.get(HeadScores(key, Repeats(seed=1, rows=2 * workers)))  # libraries and hooks are there
        context.get(LensOver(key, _file(key, 2 * workers, "warm")))
        sweeps = {"scores": HeadScores(key, Repeats(rows=ROWS)), "lens": LensOver(key, _file(key, PROMPTS))}
        for name, job in sweeps.items():
            start = time.perf_counter()
            got: Grid | Table = context.get(job)
            out[name] = time.perf_counter() - start
            out["values"][name] = got.values.tobytes() if isinstance(got, Grid) else repr(got.rows)
        run = Run(key, tuple(range(5, 5 + TOKENS)), False)
        context.get(NextTokens(run, -1, 5))
        taken = []
        for place in range(TOKENS - 1):
            start = time.perf_counter()
            context.get(NextTokens(run, place, 5))
            taken.append(time.perf_counter() - start)
        out["small"] = sorted(taken)[len(taken) // 2]
    finally:
        bench.close()
    return out


def _file(key: ModelKey, count: int, name: str = "file") -> Prompts:
    runs = tuple(Run(key, tuple((7 + 389 * i + 17 * n) % 50257 for i in range(TOKENS)), False) for n in range(count))
    return Prompts(name, name, runs, (Target((262,)),) * count, ("",) * count)
