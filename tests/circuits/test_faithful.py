"""A circuit's scores from the definitions, by the float64 reference and by brute force over made-up values of F."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests.circuits.conftest import IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.desk import Desk
from tests.circuits.reference import Array
from tui.circuits.errors import Refusal
from tui.circuits.faithful import Known, Node, Parts, faithfulness, gaps, minimality, random_circuits, whole
from tui.engine.jobs import CircuitScores, Prompts, Target
from tui.names import circuit_at, circuits_at, in_order

OTHER, THIRD = (65, 257, 259, 257, 70, 65, 3), (66, 261, 259, 262, 71)
NODES = ("L0H1", "L0.mlp", "L1H2", "L1H0")
TARGETS = (Target((257,), (260,)), Target((259, 258), (261,)), Target((262,)))


def prompts_of(desk: Desk, rows: Sequence[tuple[int, ...]], name: str = "some.txt", answers: bool = True) -> Prompts:
    runs = tuple(desk.run(*ids) for ids in rows)
    targets = TARGETS[: len(rows)] if answers else (None,) * len(rows)
    return Prompts(repr((rows, answers)), name, runs, targets, tuple(map(str, rows)))


def job_of(desk: Desk, rows: Sequence[tuple[int, ...]], nodes: Sequence[str] = NODES, **options: Any) -> CircuitScores:
    reference = prompts_of(desk, options.pop("reference", rows), "mean.txt", False)
    return CircuitScores(desk.key, prompts_of(desk, rows), tuple(nodes), reference, **options)


def value_of(table: Any, name: str) -> tuple[Any, ...]:
    return next(row[1:] for row in table.rows if row[0] == name)


# --- by hand ---


class ByHand:
    """F in the reference, per position where all rows of the reference are as long."""

    def __init__(self, models: Models, rows: Sequence[tuple[int, ...]], reference: Sequence[tuple[int, ...]]) -> None:
        self.want, self.rows = models.want, rows
        runs = [self.want.forward(list(ids)) for ids in reference]
        lengths = {len(ids) for ids in reference}

        def mean(of: list[Array], n: int) -> Array:
            if lengths == {n}:
                return np.mean(of, 0)
            return np.broadcast_to(np.concatenate(of).mean(0), (n, of[0].shape[1]))

        self.z = {(at, n): mean([run.z[at] for run in runs], n) for at in runs[0].z for n in map(len, rows)}
        self.mlp = {(layer, n): mean([run.mlp[layer] for run in runs], n) for layer in range(2) for n in map(len, rows)}

    def __call__(self, sets: Sequence[Parts]) -> list[float]:
        return [float(np.mean([self.one(ids, target, parts) for ids, target in zip(self.rows, TARGETS, strict=False)]))
                for parts in sets]  # fmt: skip

    def one(self, ids: tuple[int, ...], target: Target, parts: Parts) -> float:
        def change(point: str, layer: int, head: int, value: Array) -> Array:
            if point == "z" and Node(layer, head) not in parts:
                return self.z[(layer, head), len(ids)]
            return self.mlp[layer, len(ids)] if point == "mlp" and Node(layer) not in parts else value

        logits = self.want.forward(list(ids), change).logits[-1]
        other = logits[list(target.distractors)].mean() if target.distractors else logits.mean()
        return float(logits[list(target.answers)].mean() - other)


@pytest.mark.parametrize("rows", [(IDS, OTHER), (IDS, OTHER, THIRD)], ids=["per position", "over positions"])
def test_every_score_is_the_definition_in_the_reference(pair: Models, rows: Sequence[tuple[int, ...]]) -> None:
    desk = pair.desk
    table = desk.get(job_of(desk, rows))
    value, model = Known(ByHand(pair, rows, rows)), whole(desk.bench.live.forward)
    circuit = frozenset({Node(0, 1), Node(0), Node(1, 2), Node(1, 0)})
    full, empty, own = value([model, frozenset(), circuit])
    for name, want in (("F(full)", full), ("F(circuit)", own), ("F(empty)", empty)):
        assert value_of(table, name)[0] == pytest.approx(want, abs=2e-5 * abs(full) + 2e-5), name
    drawn = random_circuits(circuit, model, 0)
    shares = [(value([parts])[0] - empty) / (full - empty) for parts in drawn]
    score, *random = value_of(table, "faithfulness")
    assert score == pytest.approx((own - empty) / (full - empty), rel=1e-4, abs=1e-4)
    assert random[:3] == pytest.approx([np.mean(shares), min(shares), max(shares)], rel=1e-3, abs=1e-3)
    found = gaps(value, circuit, model)
    gap, *beside = value_of(table, "completeness")
    assert gap == pytest.approx(max(found.values()), abs=1e-4 * abs(full) + 1e-4)
    assert beside[1] <= beside[0] <= beside[2]
    least = minimality(value, circuit, found, full - empty)
    for node, (change, _) in least.items():
        name = f"L{node.layer}.mlp" if node.head < 0 else f"L{node.layer}H{node.head}"
        assert value_of(table, f"minimality of {name}")[0] == pytest.approx(change, rel=1e-3, abs=1e-3)
    assert value_of(table, "minimality")[0] == min(value_of(table, f"minimality of {name}")[0] for name in NODES)
    said = table.header.convention["mean"]
    assert said == ("per position" if len(rows) == 2 else "over positions")


def test_the_whole_model_is_faithful_and_complete(pair: Models) -> None:
    desk = pair.desk
    every = [f"L{layer}{part}" for layer in range(2) for part in (*(f"H{head}" for head in range(4)), ".mlp")]
    table = desk.get(job_of(desk, (IDS, OTHER), every))
    assert value_of(table, "faithfulness")[:4] == (1.0, 1.0, 1.0, 1.0), "and so is every random circuit of that size"
    assert value_of(table, "completeness")[0] == 0.0


def test_random_circuits_are_drawn_by_the_seed(pair: Models) -> None:
    desk = pair.desk
    one, same, other = (desk.get(job_of(desk, (IDS, OTHER), seed=seed)) for seed in (3, 3, 4))
    assert one.rows == same.rows
    assert value_of(one, "faithfulness")[1:] != value_of(other, "faithfulness")[1:]
    assert value_of(one, "faithfulness")[0] == value_of(other, "faithfulness")[0]
    model = whole(desk.bench.live.forward)
    circuit = frozenset({Node(0, 1), Node(0), Node(1, 2)})
    drawn = random_circuits(circuit, model, 5)
    assert drawn == random_circuits(circuit, model, 5)
    assert [sum(node.head < 0 for node in parts) for parts in drawn] == [1] * 10, "as many MLPs"
    assert {len(parts) for parts in drawn} == {3}
    assert len(set(drawn)) > 5


def test_memory_changes_no_number(pair: Models) -> None:
    desk = pair.desk
    large, small = (desk.get(job_of(desk, (IDS, OTHER), memory=memory)) for memory in (1024, 1))
    for one, two in zip(large.rows, small.rows, strict=True):
        assert [v for v in one if isinstance(v, float)] == pytest.approx(
            [v for v in two if isinstance(v, float)], abs=1e-4
        )


def test_a_baseline_stands_beside_the_first_number_that_is_shown(pair: Models) -> None:
    desk = pair.desk
    desk.partials.clear()
    desk.get(job_of(desk, (IDS, OTHER), seed=77))
    first = desk.partials[0]
    assert first.header.partial  # type: ignore[union-attr]
    assert all(None not in row for row in first.rows if row[0] in ("F(circuit)", "faithfulness"))  # type: ignore[union-attr]


# --- the sets ---


def made_up(parts: Parts) -> float:
    """Two parts that make up for each other, one that does something by itself, one that does nothing."""
    a, b, c = (Node(0, head) in parts for head in range(3))
    return 2.0 * (a or b) + 1.0 * c


def test_sets_are_the_single_parts_and_greedy_ones() -> None:
    model = frozenset(Node(0, head) for head in range(4))
    value = Known(lambda sets: [made_up(parts) for parts in sets])
    circuit = frozenset({Node(0, 0), Node(0, 2)})
    found = gaps(value, circuit, model)
    assert found[Node(0, 0),] == 2.0, "the model still has the other one"
    assert found[Node(0, 2),] == 0.0
    assert len([K for K in found if len(K) == 2]) == 1
    assert max(map(len, gaps(value, model, model, 3))) == 3
    whole_of_it = gaps(value, model, model)
    assert set(whole_of_it.values()) == {0.0}
    least = minimality(value, model, whole_of_it, 3.0)
    assert least[Node(0, 3)][0] == 0.0
    assert least[Node(0, 2)][0] == pytest.approx(1 / 3)
    assert least[Node(0, 0)] == (pytest.approx(2 / 3), (Node(0, 1),)), "only without the part that makes up for it"
    one = frozenset({Node(0, 2)})
    assert minimality(value, one, gaps(value, one, model), 3.0) == {Node(0, 2): (pytest.approx(1 / 3), ())}
    assert faithfulness(value, circuit, 3.0, 0.0) == 1.0


def test_each_set_is_computed_once() -> None:
    asked: list[Parts] = []

    def value(sets: Sequence[Parts]) -> list[float]:
        asked.extend(sets)
        return [made_up(parts) for parts in sets]

    known, model = Known(value), frozenset(Node(0, head) for head in range(4))
    minimality(known, model, gaps(known, model, model), 3.0)
    assert len(asked) == len(set(asked))
    every = {frozenset(some) for size in range(5) for some in combinations(model, size)}
    assert set(asked) <= every


# --- refusals ---


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [((), "The circuit is empty"), (("L9H1",), "L9H1 is no head and no MLP"), (("L0.attn",), "is no head and no MLP"),
     (("L0H7",), "its heads are L0H0 to L1H3")],
)  # fmt: skip
def test_what_is_no_circuit(pair: Models, nodes: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        pair.desk.get(job_of(pair.desk, (IDS, OTHER), nodes))


def test_no_reference_no_answers_and_nothing_to_be_faithful_to(pair: Models) -> None:
    desk = pair.desk
    with pytest.raises(Refusal, match=r"no prompt in mean\.txt"):
        desk.get(job_of(desk, (IDS,), reference=()))
    with pytest.raises(Refusal, match=r"no prompt in some\.txt"):
        desk.get(job_of(desk, (), reference=(IDS,)))
    unanswered = CircuitScores(desk.key, prompts_of(desk, (IDS,), answers=False), NODES, prompts_of(desk, (IDS,)))
    with pytest.raises(Refusal, match=r"Prompt 1 of some\.txt has no answer"):
        desk.get(unanswered)
    with pytest.raises(Refusal, match="nothing to be faithful to"):
        desk.get(job_of(desk, (IDS,), reference=(IDS,)))  # the mean is the prompt's own


# --- as it is written ---


def test_a_file_of_parts() -> None:
    text = "# the induction circuit\nL1H2  # the induction head\n\n l0h2\nL0.MLP\nL0H2\n"
    assert circuit_at(text) == (("L0H2", "L0.mlp", "L1H2"), ())
    assert circuit_at("# nothing\n") == ((), ())
    edges = "l1h2 -> LOGITS\nL0H2 → l1h2.K # to its key\nembed->L0.mlp\nL0H2 -> L1H2.k\n"
    assert circuit_at(edges) == (
        ("L0H2", "L0.mlp", "L1H2"), (("embed", "L0.mlp"), ("L0H2", "L1H2.k"), ("L1H2", "logits"))
    )  # fmt: skip
    several = circuit_at("L0H2\n[ioi]\nL0H1\n")
    assert isinstance(several, str)
    assert several.startswith("there are 2 circuits in it, one without a name, ioi: ")
    assert circuits_at("[a]\nL0H2\n[b c]\n") == {"a": (("L0H2",), ()), "b c": ((), ())}
    assert circuits_at("[a]\n[a]\n") == "line 2: there are two circuits a"
    assert in_order(["L1.mlp", "L10H2", "L1H3", "L1H3", "embed"]) == ("L1H3", "L1.mlp", "L10H2")


@pytest.mark.parametrize("line", ["L1", "L1.attn", "L1N3", "L1H2@3", "L1H2, L1H3", "heads", "L1H2 -> L0H1.q",
                                  "L1H2 -> L1H3.k", "L1H2 -> L0H1", "L1.attn -> logits", "L0H1@2 -> logits",
                                  "-> logits", "L0H1 ->"])
def test_lines_that_are_no_part(line: str) -> None:
    said = circuit_at(f"L0H1\n{line}\n")
    assert isinstance(said, str)
    assert said.startswith("line 2: ")
