"""Finding heads on a model of GPT-2's size with random weights, and the peers: the plain forward pass and
TransformerLens, in turns; extra memory as the peak of the process above what it held before."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.depth import extra_memory, mb
from tests.benchmarks.heads import Hand, large_folder
from tests.benchmarks.measure import Row, median_times, ms, seconds
from tui.engine.bench import Context
from tui.engine.jobs import (
    AllComposition,
    Composition,
    CopyingScores,
    HeadScores,
    Job,
    Open,
    PairSearch,
    Partners,
    Repeats,
    TopPairs,
)
from tui.engine.jobs.parts import VocabularyKeys

HEADS, D_MODEL, D_HEAD, LAYERS = 32, 4096, 128, 9
"""A layer of a large model, and enough of them that as many cores are kept as ever are."""


class Keeper(Context):
    """The context of a bench that computes each part once, as the engine's cache would, and the searches every time."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.kept: dict[Job, Any] = {}

    def get(self, job: Job) -> Any:
        value = self.kept.get(job)
        if value is None:
            value = self.bench.compute(job, self)
            if not isinstance(job, Partners | TopPairs):
                self.kept[job] = value
        return value

    def check(self) -> None: ...
    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...
    def partial(self, result: Any) -> None: ...


def main() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        hand = Hand()
        hand.get(Open(str(large_folder(Path(folder))), device="cpu", dtype="float32"))
        rows = pattern_scores(hand) + composition(hand) + copying(hand) + pair_search(hand) + partners(hand)
        rows += strongest_pairs(hand)
        hand.bench.close()
    return rows + large_composition() + every_head_of_the_demo()


def pattern_scores(hand: Hand) -> list[Row]:
    """Every pattern score of every head against a pass that shows nothing."""
    import torch

    live, n = hand.bench.live, 101
    job = HeadScores(hand.bench.info.key, Repeats(rows=1))
    tokens = torch.arange(n)[None]

    def plain() -> None:
        with torch.inference_mode():
            live.bridge(tokens)

    times = median_times({"scores": lambda: hand.get(job), "plain": plain}, rounds=9)
    extra, bare = extra_memory(lambda: hand.get(job)), extra_memory(plain)
    kept = 4 * live.info.n_layers * live.info.n_heads * n**2
    share = times["scores"] / times["plain"]
    return [
        Row(f"all pattern scores, {live.info.n_layers * live.info.n_heads} heads, {n} tokens", ms(times["scores"]),
            f"plain forward {ms(times['plain'])}", share, "≤ 1.2 ×", share <= 1.2),
        Row("the same, extra memory", mb(extra), f"plain forward {mb(bare)}; all patterns would be {mb(kept)}", None,
            "", True),
    ]  # fmt: skip


def composition(hand: Hand) -> list[Row]:
    """Composition of all pairs, K; TransformerLens' once: it takes long."""
    import torch

    info = hand.bench.info
    extra = extra_memory(lambda: hand.get(AllComposition(info.key, "k")))
    ours = []
    for _ in range(3):
        start = time.perf_counter()
        hand.get(AllComposition(info.key, "k"))
        ours.append(time.perf_counter() - start)
    taken = sorted(ours)[1]
    theirs = 0.0

    def peer() -> None:
        nonlocal theirs
        start = time.perf_counter()
        with torch.inference_mode():
            hand.bench.live.bridge.all_composition_scores("K")
        theirs = time.perf_counter() - start

    their_extra = extra_memory(peer)
    one = median_times({"one": lambda: hand.get(Composition(info.key, info.n_layers - 1, 0))}, rounds=5)["one"]
    name = "TransformerLens' all_composition_scores"
    return [
        Row(f"composition of all pairs, {info.n_layers} × {info.n_heads} heads, d_model {info.d_model}", seconds(taken),
            f"{name} {seconds(theirs)}", taken / theirs, "≤ 0.2 ×", taken <= theirs / 5),
        Row("the same, extra memory", mb(extra), f"{name} {mb(their_extra)}", extra / their_extra, "≤ 200 MB",
            extra <= 200e6),
        Row("what feeds one head of the last layer, score and z", ms(one), "", None, "", True),
    ]  # fmt: skip


def copying(hand: Hand) -> list[Row]:
    """Copying scores of every head; nothing to hold it against: TransformerLens has the eigenvalues only."""
    info = hand.bench.info
    kept: dict[object, object] = {}
    compute = hand.get

    def once(job: object) -> object:
        if job not in kept:
            kept[job] = compute(job)  # type: ignore[arg-type]
        return kept[job]

    hand.get = once  # type: ignore[method-assign, assignment]
    start = time.perf_counter()
    hand.get(CopyingScores(info.key))
    taken = time.perf_counter() - start
    del hand.get  # type: ignore[method-assign]
    return [
        Row(f"copying scores of {info.n_layers * info.n_heads} heads, 1,000 of {info.d_vocab:,} tokens, in idle time",
            seconds(taken), "", None, "", True),
    ]  # fmt: skip


def pair_search(hand: Hand) -> list[Row]:
    """Five pairs, both ways, over all heads; TransformerLens' products of each head read once, statistics by head."""
    import torch

    info, bridge = hand.bench.info, hand.bench.live.bridge
    pairs = tuple((100 * i + 5, 777 * i + 9) for i in range(1, 6))
    rows = [first for first, _ in pairs] + [second for _, second in pairs]
    cols = rows[5:] + rows[:5]
    heads = info.n_layers * info.n_heads
    out = []
    for kind in ("qk", "ov"):
        job = PairSearch(info.key, pairs, kind, "raw")  # type: ignore[arg-type]

        def peer(kind: str = kind) -> None:
            with torch.inference_mode():
                W_E, W_U = bridge.embed.W_E, bridge.unembed.W_U
                product, end = (bridge.QK, W_E.mT) if kind == "qk" else (bridge.OV, W_U)
                for layer in range(info.n_layers):
                    for head in range(info.n_heads):
                        row = (W_E[rows] @ product[layer, head] @ end).AB
                        value = row[range(10), cols]
                        (value - row.mean(1)) / row.std(1, correction=0)
                        1 + (row > value[:, None]).sum(1)

        times = median_times({"ours": lambda job=job: hand.get(job), "peer": peer}, rounds=3)
        extra = extra_memory(lambda job=job: hand.get(job))
        share, circuit = times["ours"] / times["peer"], kind.upper()
        out += [
            Row(f"pair search in {circuit}, 5 pairs and their reverses, {heads} heads, {info.d_vocab:,} tokens",
                seconds(times["ours"] / 1000), f"loop over model.{circuit}[l, h] {seconds(times['peer'] / 1000)}",
                share, "≤ 0.2 ×", share <= 0.2),
            Row("the same, extra memory", mb(extra), "", None, "", True),
        ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        half = Hand()
        key = half.get(Open(str(large_folder(Path(folder), n_layer=info.n_layers // 2)), "cpu", "float32")).key
        ours = {"half": lambda: half.get(PairSearch(key, pairs)), "all": lambda: hand.get(PairSearch(info.key, pairs))}
        times = median_times(ours, rounds=5)
        half.bench.close()
    share = times["all"] / times["half"]
    return [
        *out,
        Row(f"pair search over {heads} heads", seconds(times["all"] / 1000),
            f"over {heads // 2} heads {seconds(times['half'] / 1000)}", share, "≤ 2.2 × (linear)", share <= 2.2),
    ]  # fmt: skip


def partners(hand: Hand) -> list[Row]:
    """Eight heads in turn, so that their keys come from memory as they do when heads are stepped through."""
    import torch

    info, n, keeper = hand.bench.info, 0, Keeper(hand.bench)
    for head in range(8):
        keeper.get(Partners(info.key, 1, head, 300, "query"))
    keys = [keeper.get(VocabularyKeys(info.key, 1, head, "processed", "embed", "bilinear")) for head in range(8)]
    q = torch.randn(info.d_head)

    def step() -> int:
        nonlocal n
        n += 1
        return n

    def product() -> None:
        with torch.inference_mode():
            keys[step() % 8] @ q

    def job() -> None:
        keeper.get(Partners(info.key, 1, step() % 8, 300 + n, "query"))

    times = median_times({"job": job, "product": product}, rounds=301)
    share = times["job"] / times["product"]
    return [
        Row(f"best 20 partners of one token among {info.d_vocab:,}, E·W_K of 8 heads kept", f"{times['job']:.2f} ms",
            f"matrix-vector product alone {times['product']:.2f} ms", share, "≤ 1.5 ×", share <= 1.5),
    ]  # fmt: skip


def least_times(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least milliseconds of each way, taken in turns: rates that the machine reaches, whatever its neighbours do."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: min(times) for name, times in taken.items()}


def strongest_pairs(hand: Hand) -> list[Row]:
    """Rows of equal length, so that nothing can be skipped; then a head of random weights as a job, memory included."""
    import torch

    from tui.circuits.pairs import strongest

    info = hand.bench.info
    n, d, k = info.d_vocab, info.d_head, 64
    side = 2048
    square, product = torch.randn(side, side), torch.empty(side, side)
    left, right = (torch.nn.functional.normalize(torch.randn(n, d), dim=1) for _ in range(2))
    small = 8192

    def search(count: int) -> None:
        with torch.inference_mode():
            *_, last = strongest(
                lambda ids: left.index_select(0, ids), lambda ids: right.index_select(0, ids), torch.arange(count), k,
                True, 1024, lambda: None,
            )  # fmt: skip
        assert last.products == count**2

    def peer() -> None:
        (left[:small] @ right[:small].mT).flatten().topk(k)

    times = least_times(
        {
            "all": lambda: search(n),
            "gemm": lambda: torch.mm(square, square, out=product),
            "small": lambda: search(small),
            "peer": peer,
        },
        rounds=5,
    )
    gemm, ours = 2e-6 * side**3 / times["gemm"], 2e-6 * d * n**2 / times["all"]
    job = TopPairs(info.key, 1, 1)
    # What the allocator happens to hold comes on top: the smallest peak is the search's own.
    extra = min(extra_memory(lambda: Keeper(hand.bench).get(job)) for _ in range(3))
    keeper = Keeper(hand.bench)
    keeper.get(job)
    start = time.perf_counter()
    table = keeper.get(job)
    taken = time.perf_counter() - start
    times_small = times["small"] / times["peer"]
    whole = times["peer"] / 1000 * (n / small) ** 2
    return [
        Row(f"{k} strongest of all {n:,}² pairs, d_head {d}, lengths equal: nothing skipped",
            f"{seconds(times['all'] / 1000)}, {ours:.0f} GFLOP/s", f"product of {side:,}² matrices {gemm:.0f} GFLOP/s",
            ours / gemm, "≥ 0.7 ×", ours >= 0.7 * gemm),
        Row(f"the same of {small:,}² pairs", ms(times["small"]),
            f"materialised and torch.topk {ms(times['peer'])} (of all pairs: {seconds(whole)} and {mb(4 * n**2)})",
            times_small, "≤ 1 ×", times_small <= 1),
        Row("strongest pairs of a head with random weights, from the weights on: extra memory", mb(extra),
            f"all products would be {mb(4 * n**2)}", None, "≤ 100 MB", extra <= 100e6),
        Row("the same, both sides kept: time", seconds(taken), str(table.header.details["products"]), None, "", True),
    ]  # fmt: skip


def every_head_of_the_demo() -> list[Row]:
    """How much the lengths of trained rows save."""
    hand = Hand()
    info = hand.get(Open("demo", "cpu", "float32"))
    times, shares = [], []
    for kind in ("qk", "ov"):
        for layer in range(info.n_layers):
            for head in range(info.n_heads):
                job = TopPairs(info.key, layer, head, kind)  # type: ignore[arg-type]
                start = time.perf_counter()
                table = hand.get(job)
                times.append(1000 * (time.perf_counter() - start))
                shares.append(float(str(table.header.details["products"]).partition(" %")[0]))
    hand.bench.close()
    shares.sort()
    return [
        Row(f"strongest pairs of each QK and OV of the demo model, {info.d_vocab:,}²: median time",
            ms(sorted(times)[len(times) // 2]),
            f"products made: median {shares[len(shares) // 2]:.0f} %, {shares[0]:.0f} to {shares[-1]:.0f} %", None, "",
            True),
    ]  # fmt: skip


def large_composition() -> list[Row]:
    """Every pair of layers of a large model: one layer's weights stand for all."""
    import torch

    from tui.circuits import composition as circuit
    from tui.circuits.tensors import HeadWeights, Norm

    torch.manual_seed(0)
    norm, none = Norm("RMSNorm", None, None, 1e-5), torch.zeros(D_HEAD)
    heads = [
        HeadWeights(
            0, index, *(part for _ in "QKV" for part in (torch.randn(D_MODEL, D_HEAD), none)),
            torch.randn(D_HEAD, D_MODEL), norm, D_HEAD**0.5,
        )
        for index in range(HEADS)
    ]  # fmt: skip

    def writers(layer: int) -> torch.Tensor:
        return torch.stack([circuit.writer(head) for head in heads])

    def readers(layer: int) -> torch.Tensor:
        return torch.stack([circuit.reader(head, "k") for head in heads])

    def work() -> None:
        with torch.inference_mode():
            for _ in circuit.all_pairs(LAYERS, writers, readers, lambda: None):
                pass

    start = time.perf_counter()
    extra = extra_memory(work)
    pairs = LAYERS * (LAYERS - 1) // 2
    each = (time.perf_counter() - start) / pairs
    return [
        Row(f"composition, layers of {HEADS} heads, d_model {D_MODEL}: extra memory, the same for any number of layers",
            mb(extra), f"{seconds(each)} a pair of layers", None, "≤ 2 GB", extra <= 2e9),
    ]  # fmt: skip
