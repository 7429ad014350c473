"""Finding heads on a model of GPT-2's size with random weights, and the peers: the plain forward pass and
TransformerLens, in turns; extra memory as the peak of the process above what it held before."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.benchmarks.depth import extra_memory, mb
from tests.benchmarks.heads import Hand, large_folder
from tests.benchmarks.measure import Row, median_times, ms, seconds
from tui.engine.jobs import AllComposition, Composition, CopyingScores, HeadScores, Open, Repeats

HEADS, D_MODEL, D_HEAD, LAYERS = 32, 4096, 128, 9
"""A layer of a large model, and enough of them that as many cores are kept as ever are."""


def main() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        hand = Hand()
        hand.get(Open(str(large_folder(Path(folder))), device="cpu", dtype="float32"))
        rows = pattern_scores(hand) + composition(hand) + copying(hand)
        hand.bench.close()
    return rows + large_composition()


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
