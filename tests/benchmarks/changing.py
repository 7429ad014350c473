"""One ablation on the shown view against the forward pass from that layer on, and how soon a changed pass can be
cancelled."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.heads import Hand, large_folder
from tests.benchmarks.measure import Row, ms
from tui.engine.jobs import Ablation, Job, Open, Pattern, Run

TOKENS, LAYER, ROUNDS = 16, 6, 12


class Kept(Hand):
    """Every job once, as the engine's cache has it."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[Job, Any] = {}
        self.checked: list[float] = []

    def get(self, job: Job) -> Any:
        if job not in self.values:
            self.values[job] = super().get(job)
        return self.values[job]

    def check(self) -> None:
        self.checked.append(time.perf_counter())


def main() -> list[Row]:
    """In turns, each time another head of the layer."""
    import torch

    from tui.circuits.forward import Tape

    with tempfile.TemporaryDirectory() as folder:
        hand = Kept()
        info = hand.get(Open(str(large_folder(Path(folder))), device="cpu", dtype="float32"))
        ids = tuple(range(17, 17 + TOKENS))
        clean = Run(info.key, ids, False)
        shown = hand.get(Pattern(clean, LAYER + 2, 3))
        live = hand.bench.live
        reach, forward = live.reach(TOKENS), live.forward
        start = live.trace(list(ids)).resid_pre[LAYER][None]
        ours, plain, gaps = [], [], []
        for turn in range(ROUNDS):
            changed = Run(info.key, ids, False, (Ablation(f"L{LAYER}H{turn % info.n_heads}"),))
            hand.checked = [time.perf_counter()]
            begun = time.perf_counter()
            result = hand.get(Pattern(changed, LAYER + 2, 3))
            ours.append(1000 * (time.perf_counter() - begun))
            gaps.append(1000 * max(b - a for a, b in zip(hand.checked, hand.checked[1:], strict=False)))
            with torch.inference_mode():
                begun = time.perf_counter()
                final = forward.run(start, reach, LAYER, keep=Tape(), patterns=range(LAYER, info.n_layers))
                forward.logits(final[0])
                plain.append(1000 * (time.perf_counter() - begun))
            assert (result.values != shown.values).any(), "the view shows the change"
        hand.bench.close()
    mine, theirs = statistics.median(ours), statistics.median(plain)
    million = info.n_parameters / 1e6
    return [
        Row(f"one head knocked out: the pattern shown, {TOKENS} tokens, {million:.0f} M parameters", ms(mine),
            f"forward from that layer on {ms(theirs)}", mine / theirs, "≤ 1.2 ×", mine / theirs <= 1.2),
        Row("the same: longest time without a place to cancel", ms(max(gaps)), "", None, "≤ 100 ms", max(gaps) <= 100),
    ]  # fmt: skip
