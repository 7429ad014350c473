"""A circuit of edges against the same run written out in float64, against TransformerLens, and at both of its ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.circuits.conftest import EVERY, IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.desk import Desk
from tests.circuits.reference import Array
from tests.circuits.test_faithful import OTHER, TARGETS, THIRD, job_of, prompts_of, value_of
from tests.models.folders import gpt2_folder
from tui.circuits.edged import Edges, Means, edges_of, random_edges, with_edges
from tui.circuits.errors import Refusal
from tui.engine.faithful import BY_EDGES, edges_named
from tui.engine.jobs import CircuitScores, Target
from tui.engine.paths import receiver_name, sender_name
from tui.names import Edge

SOME = (("embed", "L0H1.q"), ("embed", "L0H1.k"), ("embed", "L0H1.v"), ("embed", "L0H2.v"), ("L0H1", "L0.mlp"),
        ("L0H1", "L1H2.q"), ("L0.mlp", "L1H2.k"), ("L0H2", "L1H0.v"), ("L0.mlp", "L1.mlp"), ("L1H2", "L1.mlp"),
        ("L1H2", "logits"), ("L1.mlp", "logits"), ("embed", "logits"))  # fmt: skip


# --- by hand ---


class ByHand:
    """F of a set of edges in the reference, receiver by receiver."""

    def __init__(self, models: Models, rows: Sequence[tuple[int, ...]], shared: int) -> None:
        """``shared``: query heads that share keys and values, which are named by the first of them."""
        self.want, self.rows, self.shared = models.want, rows, shared
        runs = [self.want.forward(list(ids)) for ids in rows]
        self.means: dict[tuple[str, int], Array] = {}
        for run in runs:
            run.parts[0] = ("embed", run.stream[0])
        for name in (part for part, _ in runs[0].parts if part != "pos"):
            of = [dict(run.parts)[name] for run in runs]
            for n in map(len, rows):
                alike = len({len(ids) for ids in rows}) == 1
                self.means[name, n] = np.mean(of, 0) if alike else np.broadcast_to(
                    np.concatenate(of).mean(0), (n, of[0].shape[1])
                )  # fmt: skip

    def __call__(self, edges: set[Edge]) -> float:
        return float(np.mean([self.one(ids, target, edges) for ids, target in zip(self.rows, TARGETS, strict=False)]))

    def one(self, ids: tuple[int, ...], target: Target, edges: set[Edge]) -> float:
        want, n, names = self.want, len(ids), list[str]()
        wrote = {"embed": want.W_E[list(ids)] + (0 if want.W_pos is None else want.W_pos[:n])}
        biases = np.zeros_like(wrote["embed"])

        def read(receiver: str) -> Array:
            x = biases.copy()
            for sender, value in wrote.items():
                x = x + (value if (sender, receiver) in edges else self.means[sender, n])
            return x

        for layer, heads in enumerate(want.heads):
            made = {}
            for index, head in enumerate(heads):
                first = index // self.shared * self.shared
                q, k, v = (
                    want.norms[layer](read(f"L{layer}H{at}.{side}")) @ W + b
                    for side, at, W, b in (("q", index, head.W_Q, head.b_Q), ("k", first, head.W_K, head.b_K),
                                           ("v", first, head.W_V, head.b_V))
                )  # fmt: skip
                if want.rope is not None:
                    q, k = want.rope(q, np.arange(n)), want.rope(k, np.arange(n))
                scores = np.where(np.tril(np.ones((n, n), dtype=bool)), q @ k.T / want.attn_scale, -np.inf)
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                made[f"L{layer}H{index}"] = weights / weights.sum(-1, keepdims=True) @ v @ head.W_O
            wrote |= made
            biases = biases + want.b_O[layer]
            wrote[f"L{layer}.mlp"] = want.mlp(layer, read(f"L{layer}.mlp"))
            names += made
        logits = (want.final(read("logits")) @ want.W_U)[-1]
        other = logits[list(target.distractors)].mean() if target.distractors else logits.mean()
        return float(logits[list(target.answers)].mean() - other)


def by_name(edges: Edges, desk: Desk) -> set[Edge]:
    return {(sender_name(sender), receiver_name(receiver, desk.bench)) for sender, receiver in edges}  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [(IDS, OTHER), (IDS, OTHER, THIRD)], ids=["per position", "over positions"])
def test_every_score_is_the_definition_in_the_reference(pair: Models, rows: Sequence[tuple[int, ...]]) -> None:
    desk, info = pair.desk, pair.desk.info
    table = desk.get(job_of(desk, rows, edges=SOME))
    value = ByHand(pair, rows, info.n_heads // info.n_key_value_heads)
    circuit = edges_named(SOME, desk.bench)  # type: ignore[arg-type]
    full, empty, own = (value(edges) for edges in (
        by_name(frozenset(edges_of(desk.bench.live.forward)), desk), set(), by_name(circuit, desk)
    ))  # fmt: skip
    near = 2e-5 * abs(full) + 2e-5
    assert value_of(table, "F(full)")[0] == pytest.approx(full, abs=near), "all edges are the model"
    assert value_of(table, f"F(empty) {BY_EDGES}")[0] == pytest.approx(empty, abs=near)
    got, *random = value_of(table, f"F(circuit) {BY_EDGES}")
    assert got == pytest.approx(own, abs=near)
    drawn = [value(by_name(edges, desk)) for edges in
             random_edges(circuit, edges_of(desk.bench.live.forward), 0)]  # fmt: skip
    assert random[:3] == pytest.approx([np.mean(drawn), min(drawn), max(drawn)], abs=near)
    share = value_of(table, f"faithfulness {BY_EDGES}")[:4]
    want = [(F - empty) / (full - empty) for F in (own, np.mean(drawn), min(drawn), max(drawn))]
    assert share[0] == pytest.approx(want[0], rel=1e-3, abs=1e-3)
    assert sorted(share[1:]) == pytest.approx(sorted(want[1:]), rel=1e-3, abs=1e-3)
    assert len({round(F, 4) for F in (full, empty, own, *drawn)}) > 8, "they are not all the same"
    plain = desk.get(job_of(desk, rows))
    assert [row for row in table.rows if BY_EDGES not in row[0]] == list(plain.rows), "parts are as without edges"


@pytest.mark.parametrize("name", EVERY)
def test_all_edges_are_the_model(name: str, desk_of: Callable[[str, str], Desk]) -> None:
    """Whatever the means are; and with none no prompt differs from another."""
    desk = desk_of(name, "float32")
    forward, info = desk.bench.live.forward, desk.info
    rows = tuple(tuple(token % info.d_vocab for token in ids) for ids in (IDS, OTHER))
    post = any(forward.block(layer).post_norm.kind != "none" for layer in range(info.n_layers))
    if info.capabilities.plain or post:
        with pytest.raises(Refusal, match=r"plain tensors|a norm between attention and stream"):
            desk.get(CircuitScores(desk.key, prompts_of(desk, rows), ("L0H1",), prompts_of(desk, rows),
                                   edges=(("embed", "logits"),)))  # fmt: skip
        return
    ids, draw = torch.tensor(rows), torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(len(IDS), *shape, generator=draw) / 10

    means = Means(random(info.d_model), [random(info.n_heads, info.d_head) for _ in range(info.n_layers)],
                  [random(info.d_model) for _ in range(info.n_layers)])  # fmt: skip
    reach = desk.bench.live.reach(len(IDS))
    with torch.no_grad():
        model = forward.run(forward.embed(ids), reach)[:, -1]
        every, none = with_edges(forward, ids, reach, [frozenset(edges_of(forward)), frozenset()], means)
    assert torch.allclose(every, model, atol=2e-5 * float(model.abs().max()) + 2e-5)
    assert torch.allclose(none[0], none[1], atol=1e-6)


def test_memory_changes_no_number(pair: Models) -> None:
    large, small = (pair.desk.get(job_of(pair.desk, (IDS, OTHER), edges=SOME, memory=memory)) for memory in (1024, 1))
    for one, two in zip(large.rows, small.rows, strict=True):
        assert [v for v in one if isinstance(v, float)] == pytest.approx(
            [v for v in two if isinstance(v, float)], abs=1e-4
        )


def test_random_edges_are_as_many_of_each_kind(pair: Models) -> None:
    forward = pair.desk.bench.live.forward
    circuit, there = edges_named(SOME, pair.desk.bench), edges_of(forward)  # type: ignore[arg-type]

    def kinds(edges: Edges) -> list[tuple[Any, ...]]:
        return sorted((a.layer is None, a.layer is not None and a.head is None, b.kind) for a, b in edges)

    drawn = random_edges(circuit, there, 3)
    assert drawn == random_edges(circuit, there, 3)
    assert all(kinds(edges) == kinds(circuit) for edges in drawn)
    assert len(set(drawn)) == 10
    assert all(edges <= set(there) for edges in drawn)


# --- against TransformerLens ---


def test_transformer_lens_has_the_same(tmp_path: Path) -> None:
    """Its ``faithfulness`` with means: of one prompt, the reference others, edges at all positions."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.tools.analysis.attribution_patching import FaithfulnessConfig, Node, faithfulness

    folder = gpt2_folder(tmp_path / "tiny")
    desk, model = Desk(folder), TransformerBridge.boot_transformers(str(folder), device="cpu")
    reference = (OTHER, (70, 65, 257, 260, 259, 3, 258), (3, 70, 259, 261, 65, 257, 257))
    table = desk.get(job_of(desk, (IDS,), reference=reference, edges=SOME))
    last = desk.info.n_layers - 1

    def node(name: str, position: int, receives: bool) -> Node:
        if name in ("embed", "logits"):
            return Node(name, position, last if receives else None)  # type: ignore[arg-type]
        layer = int(name[1])
        if name[2] == ".":
            return Node("mlp_in" if receives else "mlp_out", position, layer)
        return Node(f"{name[-1]}_input" if receives else "attn_head_out", position, layer, int(name[3]))  # type: ignore[arg-type]

    circuit = [(node(a, at, False), node(b, at, True)) for a, b in SOME for at in range(len(IDS))]

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[0, -1, 257] - logits[0, -1, 260]

    clean, corrupt, means = (torch.tensor(ids) for ids in ([IDS], [(65, 257, 259, 260, 70, 257, 65)], reference))
    for edges, name in ((circuit, "F(circuit)"), ([], "F(empty)")):
        found = faithfulness(model, clean, corrupt, metric, edges, FaithfulnessConfig("mean"), mean_tokens=means)
        F = found.corrupt_metric + found.recovered * (found.full_metric - found.corrupt_metric)
        assert value_of(table, f"{name} {BY_EDGES}")[0] == pytest.approx(F, abs=2e-5), name
    assert value_of(table, "F(full)")[0] == pytest.approx(found.full_metric, abs=2e-5)


# --- refusals ---


@pytest.mark.parametrize(
    ("edge", "sentence"),
    [(("L9H1", "logits"), "L9H1 → logits is no edge of"), (("embed", "L7H1.q"), "L7H1.q does not exist"),
     (("L1H1", "L0H1.q"), "L1H1 → L0H1.q is no edge of"), (("L0.attn", "logits"), "is no edge of")],
)  # fmt: skip
def test_what_is_no_edge(pair: Models, edge: Edge, sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        pair.desk.get(job_of(pair.desk, (IDS, OTHER), edges=(edge,)))
