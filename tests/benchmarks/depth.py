"""The stream in depth on a model of GPT-2's size with random weights: attribution, the logit lens, and their peers in
TransformerLens, in turns; extra memory as the peak of the process above what it held before."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.heads import large_folder
from tests.benchmarks.measure import Row, median_times, ms
from tui.engine.bench import Context
from tui.engine.jobs import Attribution, Job, Lens, LensCurve, LensTop, NextTokens, Open, Run, Sources, Target
from tui.engine.jobs.parts import Forward

TOKENS = 128
ANSWER, DISTRACTOR = 262, 318


class Hand(Context):
    """A bench and the context it computes in; ``kept`` jobs are computed once, and forward passes are counted."""

    def __init__(self) -> None:
        from tui.engine.run import Bench

        self.bench = Bench()
        self.kept: dict[Job, Any] = {}
        self.forwards = 0

    def get(self, job: Job) -> Any:
        if job in self.kept:
            return self.kept[job]
        value = self.bench.compute(job, self)
        if isinstance(job, Forward):
            self.forwards += 1
            self.kept[job] = value
        return value

    def check(self) -> None: ...
    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...
    def partial(self, result: Any) -> None: ...


def main() -> list[Row]:
    """Attribution at one position, the lens grid, one lens position, positions without a forward pass."""
    with tempfile.TemporaryDirectory() as folder:
        hand = Hand()
        info = hand.get(Open(str(large_folder(Path(folder))), device="cpu", dtype="float32"))
        ids = tuple((17 + 389 * i) % info.d_vocab for i in range(TOKENS))
        rows = _attribution(hand, Run(info.key, ids, False)) + _lens(hand, Run(info.key, ids, False))
        hand.bench.close()
    return rows


def _attribution(hand: Hand, run: Run) -> list[Row]:
    import torch

    bridge, tokens = hand.bench.live.bridge, torch.tensor([run.ids])
    target = Target((ANSWER,), (DISTRACTOR,))
    job = Attribution(run, TOKENS - 1, target)

    def plain() -> None:
        with torch.inference_mode():
            bridge(tokens)

    def whole() -> None:
        hand.kept.clear()
        hand.get(job)

    def peer() -> None:
        with torch.inference_mode():
            read_out(bridge.run_with_cache(tokens)[1])

    def read_out(cache: Any) -> None:
        with torch.inference_mode():
            heads, _ = cache.stack_head_results(layer=-1, pos_slice=-1, return_labels=True)
            cache.logit_attrs(heads, tokens=ANSWER, incorrect_tokens=DISTRACTOR, pos_slice=-1, has_batch_dim=True)

    hand.get(job)
    with torch.inference_mode():
        caches = [bridge.run_with_cache(tokens)[1]]
    ours, theirs = extra_memory(lambda: hand.get(job)), extra_memory(lambda: read_out(caches[0]))
    caches.clear()
    times = median_times({"plain": plain, "whole": whole, "peer": peer}, rounds=7)
    alone = []
    hand.get(job)
    for position in range(0, TOKENS, 2):
        start = time.perf_counter()
        hand.get(Attribution(run, position, target))
        alone.append(1000 * (time.perf_counter() - start))
    taken = statistics.median(alone)
    forwards = hand.forwards
    for position in (3, 40, 127):
        for other in (LensTop(run, "L3.pre", position), Attribution(run, position, target), NextTokens(run, position)):
            hand.get(other)
    hand.get(Sources(run, 3, 4, target))
    again = hand.forwards - forwards
    name = "TransformerLens' stack_head_results + logit_attrs"
    share = times["whole"] / times["plain"]
    return [
        Row(f"attribution by head at one position, {TOKENS} tokens, 124 M parameters", ms(taken), "", None, "≤ 10 ms",
            taken <= 10),
        Row("the same with the forward pass that it needs", ms(times["whole"]), f"plain forward {ms(times['plain'])}",
            share, "≤ 1.2 ×", share <= 1.2),
        Row("the same against its peer", ms(times["whole"]), f"{name} {ms(times['peer'])}",
            times["whole"] / times["peer"], "≤ 1 ×", times["whole"] <= times["peer"]),
        Row("the same, memory beside the forward pass and its activations", mb(ours), f"{name} {mb(theirs)}",
            ours / theirs, "≤ 0.2 ×", ours <= theirs / 5),
        Row("other positions of lens, attribution and sources: forward passes", str(again), "", None, "none",
            again == 0),
    ]  # fmt: skip


def _lens(hand: Hand, run: Run) -> list[Row]:
    import torch
    from transformer_lens.tools.analysis import logit_lens

    bridge, tokens = hand.bench.live.bridge, torch.tensor([run.ids])

    def whole() -> None:
        hand.kept.clear()
        hand.get(Lens(run, "probability"))

    def peer() -> None:
        with torch.inference_mode():
            logit_lens(bridge, tokens, positions=None, top_k=1, return_type="probs")

    hand.get(Lens(run, "probability"))
    extra = extra_memory(lambda: hand.get(Lens(run, "probability")))
    times = median_times({"whole": whole, "peer": peer}, rounds=5)
    one = []
    for position in range(0, TOKENS, 8):
        start = time.perf_counter()
        hand.get(LensTop(run, "L5.pre", position))
        hand.get(LensCurve(run, position, Target((ANSWER,))))
        one.append(1000 * (time.perf_counter() - start))
    taken = statistics.median(one)
    size = f"{TOKENS} tokens × {hand.bench.info.n_layers} layers × {hand.bench.info.d_vocab:,} vocabulary"
    return [
        Row(f"logit lens, {size}, forward pass included", ms(times["whole"]),
            f"tools.analysis.logit_lens {ms(times['peer'])}", times["whole"] / times["peer"], "≤ 1 ×",
            times["whole"] <= times["peer"]),
        Row("the same, extra memory", mb(extra), "", None, "≤ 200 MB", extra <= 200e6),
        Row("one position of the lens: top tokens and the answer over the layers", ms(taken), "", None, "≤ 100 ms",
            taken <= 100),
    ]  # fmt: skip


def mb(count: float) -> str:
    return f"{count / 1e6:.0f} MB"


def extra_memory(work: Callable[[], object]) -> float:
    """Bytes by which the process grew at most while ``work`` ran (Linux)."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not hide what is taken now
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    work()
    return max(0.0, _status("VmHWM") - before)


def _status(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024.0 * int(line.split()[1])
