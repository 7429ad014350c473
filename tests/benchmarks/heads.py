"""Head switches on a model of GPT-2's size with random weights: computing only, as the worker does it."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Row, ms, percentile
from tui.engine.bench import Context
from tui.engine.jobs import OV, QK, Job, Open, OVRow, Words

TOKENS = 64


class Hand(Context):
    """A bench and the context it computes in, without the engine's thread."""

    def __init__(self) -> None:
        from tui.engine.run import Bench

        self.bench = Bench()

    def get(self, job: Job) -> Any:
        return self.bench.compute(job, self)

    def check(self) -> None: ...
    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...
    def partial(self, result: Any) -> None: ...


def main() -> list[Row]:
    """Every head is new: its weights are folded within the time. In turns: QK, OV, one full row."""
    with tempfile.TemporaryDirectory() as folder:
        hand = Hand()
        info = hand.get(Open(str(large_folder(Path(folder))), device="cpu", dtype="float32"))
        ids = hand.get(Words(info.key, f"0:{TOKENS}")).ids
        for weights in ("processed", "raw"):  # what is made once: W_U laid out
            hand.get(OVRow(info.key, 0, 0, ids[0], ids, weights=weights))
        assert (info.d_vocab, len(ids)) == (50257, TOKENS)
        times: dict[str, list[float]] = {"QK": [], "OV": [], "row": []}
        for layer in range(1, info.n_layers):
            for head in range(info.n_heads):
                jobs: dict[str, Job] = {
                    "QK": QK(info.key, layer, head, ids, ids),
                    "OV": OV(info.key, layer, head, ids, ids),
                    "row": OVRow(info.key, layer, head, ids[head], ids),
                }
                order = list(jobs) if head % 2 else ["OV", "QK", "row"]  # the first one folds the head
                for name in order:
                    start = time.perf_counter()
                    hand.get(jobs[name])
                    times[name].append(1000 * (time.perf_counter() - start))
        million = info.n_parameters / 1e6
        hand.bench.close()
    out = []
    words = {
        "QK": f"head switch in QK, {TOKENS}×{TOKENS} tokens", "OV": f"head switch in OV, {TOKENS}×{TOKENS} tokens",
        "row": "one OV row over 50,257 tokens",
    }  # fmt: skip
    for name, limit in (("QK", 5), ("OV", 5), ("row", 20)):
        taken = statistics.median(times[name])
        figure = f"{ms(taken)}, p95 {ms(percentile(times[name], 0.95))}"
        out.append(Row(f"{words[name]}, {million:.0f} M parameters", figure, "", None, f"≤ {limit} ms", taken <= limit))
    return out


def large_folder(path: Path, n_layer: int = 12) -> Path:
    """GPT-2's shape with random weights: 12 layers × 12 heads, d_model 768, 50,257 tokens."""
    import torch

    from tests.models.folders import gpt2_folder

    threads = torch.get_num_threads()
    shape = {"n_positions": 1024, "n_embd": 768, "n_layer": n_layer, "n_head": 12, "vocab_size": 50257}
    folder = gpt2_folder(path, **shape, initializer_range=0.02)
    torch.set_num_threads(threads)
    return folder
