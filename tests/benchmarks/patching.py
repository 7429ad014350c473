"""Activation patching on a model of GPT-2's size with random weights, against ``transformer_lens.patching``: equal
values, in turns. A peer's grid is computed in six parts, between which ours is computed anew; of its grid by head and
position six parts are enough to extrapolate from."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.depth import Hand, extra_memory, mb
from tests.benchmarks.heads import large_folder
from tests.benchmarks.measure import Row, ms, seconds
from tui.engine.jobs import Open, PatchingGrid, Recorded, Run, Target

TOKENS, APART, ROUNDS = 16, 4, 6
"""Tokens of the prompts, the position at which the one token differs, turns."""
ANSWER, DISTRACTOR = 262, 318
CLOSE = 1e-6


class Timed(Hand):
    """Notes when there is something to see, and how long nobody asks whether to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.longest, self._asked = 0.0, 0.0, 0.0

    def begin(self) -> None:
        self.first = self.longest = 0.0
        self._asked = time.perf_counter()

    def get(self, job: Any) -> Any:
        if job not in self.kept and isinstance(job, Recorded):
            self.kept[job] = self.bench.compute(job, self)
        return super().get(job)

    def check(self) -> None:
        now = time.perf_counter()
        self.longest, self._asked = max(self.longest, now - self._asked), now

    def partial(self, result: Any) -> None:
        self.first = self.first or time.perf_counter()


def main() -> list[Row]:
    """Grids, the estimate, what is seen first, cancelling, memory."""
    with tempfile.TemporaryDirectory() as folder:
        hand = Timed()
        info = hand.get(Open(str(large_folder(Path(folder))), device="cpu", dtype="float32"))
        clean = tuple((17 + 389 * i) % info.d_vocab for i in range(TOKENS))
        corrupted = (*clean[:APART], clean[APART] + 1000, *clean[APART + 1 :])
        rows = _grids(hand, clean, corrupted)
        rows += _jobs(hand, PatchingGrid(Run(info.key, clean, False), Run(info.key, corrupted, False),
                                         Target((ANSWER,), (DISTRACTOR,))))  # fmt: skip
        hand.bench.close()
    return rows


def _grids(hand: Timed, clean: Sequence[int], corrupted: Sequence[int]) -> list[Row]:
    import torch
    import transformer_lens.patching as peers

    from tui.circuits.estimate import estimates, slopes
    from tui.circuits.patching import Cell, Measured, Pair, Sweep, record

    live, info = hand.bench.live, hand.bench.info
    bridge, forward, reach = live.bridge, live.forward, live.reach(TOKENS)
    one, other = torch.tensor(clean), torch.tensor(corrupted)
    value = Measured(forward, "logit difference", (ANSWER,), (DISTRACTOR,))
    layers, heads = range(info.n_layers), range(info.n_heads)
    cells = {
        "z": [Cell(layer, head) for layer in layers for head in heads],
        "resid_pre": [Cell(layer, None, place) for layer in layers for place in range(TOKENS)],
        "z by position": [Cell(layer, head, place) for layer in layers for head in heads for place in range(TOKENS)],
    }
    taken: dict[str, list[float]] = {}
    ours: dict[str, dict[Cell, float]] = {name: {} for name in cells}
    worst: dict[str, float] = {}

    def timed(name: str, way: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        out = way()
        taken.setdefault(name, []).append(time.perf_counter() - start)
        return out

    def sweep(name: str, part: int | None = None) -> None:
        """The whole grid from both prompts on; or every sixth batch of it."""
        pair = Pair(forward, record(forward, other, reach), record(forward, one, reach), reach)
        swept, site = Sweep(pair, value), name.split(" ")[0]
        batches = swept.batches(site, cells[name])
        for batch in batches if part is None else batches[part::ROUNDS]:
            ours[name] |= dict(zip(batch, swept.values(site, batch).tolist(), strict=True))

    def estimate() -> None:
        with torch.inference_mode(False):
            new = record(forward, one, reach)
            tape, slope = slopes(forward, other, reach, value)
            pair = Pair(forward, tape, new, reach)
            for site, which in (("z", "z by position"), ("resid_pre", "resid_pre"), ("attn_out", "resid_pre"),
                                ("mlp_out", "resid_pre"), ("q", "z"), ("k", "z"), ("v", "z")):  # fmt: skip
                estimates(pair, slope, site, cells[which])

    with torch.inference_mode():
        _, cache = bridge.run_with_cache(one[None])
        found: dict[str, dict[Cell, float]] = {name: {} for name in cells}

        def peer(name: str, setter: Any, part: Sequence[Cell]) -> None:
            import pandas

            columns = {"layer": [c.layer for c in part]}
            columns |= {"pos": [c.position for c in part]} if name != "z" else {}
            columns |= {"head": [c.node for c in part]} if name != "resid_pre" else {}
            got = peers.generic_activation_patch(
                bridge, other[None], cache, lambda logits: logits[0, -1, ANSWER] - logits[0, -1, DISTRACTOR],
                setter, name.split(" ")[0], index_df=pandas.DataFrame(columns),
            )  # fmt: skip
            found[name] |= dict(zip(part, got.tolist(), strict=True))

        setters = {"z": peers.layer_head_vector_patch_setter, "resid_pre": peers.layer_pos_patch_setter,
                   "z by position": peers.layer_pos_head_vector_patch_setter}  # fmt: skip
        sweep("z")
        estimate()
        bridge(other[None])
        for turn in range(ROUNDS):
            for name, setter in setters.items():
                part = cells[name][turn::ROUNDS]
                part = part[turn :: len(part) // 24] if name == "z by position" else part
                timed(f"peer {name}", lambda n=name, s=setter, p=part: peer(n, s, p))
                timed(name, lambda n=name, t=turn: sweep(n, t if n == "z by position" else None))
            timed("forward", lambda: bridge(other[None]))
            timed("estimate", estimate)
        size = float(bridge(other[None])[0, -1].abs().max())  # what rounding errors of a difference are measured by
    for name, values in found.items():
        worst[name] = max(abs(value - ours[name][cell]) for cell, value in values.items()) / size
        assert worst[name] <= CLOSE, f"{name}: {worst[name]:.1e} of the largest logit"
    functions = {"z": "attn_head_out_all_pos", "resid_pre": "resid_pre", "z by position": "attn_head_out_by_pos"}
    words = {"z": "all heads' z, all positions", "resid_pre": "resid_pre, 12 × 16",
             "z by position": "z by head and position, 12 × 12 × 16"}  # fmt: skip
    rows = []
    for name, least in (("z", 10), ("resid_pre", 8), ("z by position", 10)):
        mine = statistics.median(taken[name]) * (ROUNDS if name == "z by position" else 1)
        theirs = statistics.median(taken[f"peer {name}"]) * ROUNDS * len(cells[name]) / len(found[name])
        share = mine / theirs
        note = ", extrapolated" if len(found[name]) < len(cells[name]) else ""
        rows.append(Row(f"patching {words[name]}, {TOKENS} tokens, 124 M parameters, equal to {worst[name]:.0e}",
                        seconds(mine), f"get_act_patch_{functions[name]} {seconds(theirs)}{note}", share,
                        f"≥ {least} × faster", share <= 1 / least))  # fmt: skip
    guess, whole = (1000 * statistics.median(taken[name]) for name in ("estimate", "forward"))
    rows.append(Row("estimate of all nodes: z, q, k, v, the stream, what layers write", ms(guess),
                    f"one forward {ms(whole)}", guess / whole, "≤ 4 ×", guess <= 4 * whole))  # fmt: skip
    return rows


def _jobs(hand: Timed, job: PatchingGrid) -> list[Row]:
    """As the screen has it: from the key to the first estimate, and between two places where it can be cancelled."""
    seen, gaps = [], []
    for _ in range(3):
        hand.kept.clear()
        hand.begin()
        start = time.perf_counter()
        hand.get(job)
        seen.append(hand.first - start)
        gaps.append(hand.longest)
    used = extra_memory(lambda: hand.get(job))
    first, gap = statistics.median(seen), 1000 * min(gaps)
    return [
        Row("first estimate of a grid, both forward passes included", seconds(first), "", None, "≤ 1 s", first <= 1),
        Row("longest time in a sweep without a place to cancel it", ms(gap), "", None, "≤ 100 ms", gap <= 100),
        Row("memory of a sweep beside the model", mb(used), "", None, "≤ 1 GB", used <= 1 << 30),
    ]
