"""The edges of a circuit: each is the path that Paths patches, or the composition that Compose shows."""

from __future__ import annotations

import pytest

from tests.circuits.conftest import IDS
from tests.circuits.conftest import Pair as Models
from tests.circuits.test_patching import ANSWERS, DISTRACTORS, OTHER
from tui.arrange import graph
from tui.circuits.errors import Refusal
from tui.engine.jobs import CircuitComposition, CircuitPaths, Composition, PathGrid, Target
from tui.results import Header, Table

PARTS = ("L0H1", "L0.mlp", "L1H2", "L1.mlp")
EDGES = (("embed", "L0H1.v"), ("L0H1", "L1H2.q"), ("L0H1", "L1H2.k"), ("L0.mlp", "L1H2.q"), ("L1H2", "logits"))


def paths_of(models: Models, **options: object) -> CircuitPaths:
    clean, corrupted = models.desk.run(*IDS), models.desk.run(*OTHER)
    return CircuitPaths(clean, corrupted, Target(ANSWERS, DISTRACTORS), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("edges", [(), EDGES], ids=["all", "its own"])
def test_every_edge_is_the_path_by_itself(pair: Models, edges: tuple[tuple[str, str], ...]) -> None:
    job = paths_of(pair, parts=PARTS, edges=edges)
    table = pair.desk.get(job)
    assert [abs(row[2]) for row in table.rows] == sorted((abs(row[2]) for row in table.rows), reverse=True)
    found = {row[:2]: row[2] for row in table.rows}
    if edges:
        assert set(found) == set(edges)
    else:
        heads = 3 * 1 + 3 * 3  # embed to L0H1; embed, L0H1, L0.mlp to L1H2
        assert len(found) == heads + 2 + 4 + 5, "MLPs and logits read every part before them, and the embedding"
    for receiver in {receiver for _, receiver in found}:
        grid = pair.desk.get(PathGrid(job.clean, job.corrupted, job.target, receiver))
        for sender in (sender for sender, to in found if to == receiver):
            want = grid.values[grid.rows.labels.index(sender), 0]
            assert found[sender, receiver] == pytest.approx(want, abs=1e-5), (sender, receiver)
    small = pair.desk.get(paths_of(pair, parts=PARTS, edges=edges, memory=1 << 20))
    assert {row[:2]: pytest.approx(row[2], abs=1e-5) for row in small.rows} == found


def test_without_a_pair_it_is_the_composition(pair: Models) -> None:
    desk = pair.desk
    table = desk.get(CircuitComposition(desk.key, PARTS))
    assert {row[:2] for row in table.rows} == {("L0H1", f"L1H2.{side}") for side in "qkv"}
    for sender, receiver, z in table.rows:
        grid = desk.get(Composition(desk.key, 1, 2, receiver[-1], "from"))
        assert z == grid.values[grid.rows.labels.index(sender), 1]
    own = desk.get(CircuitComposition(desk.key, PARTS, EDGES))
    known = {row[:2]: row[2] for row in own.rows}
    assert {edge for edge, z in known.items() if z is None} == {EDGES[0], EDGES[3], EDGES[4]}
    assert [row[2] is None for row in own.rows] == [False, False, True, True, True], "what is not known is last"


def test_a_part_that_is_not_there(pair: Models) -> None:
    with pytest.raises(Refusal, match="L7H1 is no head"):
        pair.desk.get(paths_of(pair, parts=("L7H1",)))
    with pytest.raises(Refusal, match="L7H1 is no head"):
        pair.desk.get(CircuitComposition(pair.desk.key, ("L7H1",)))


def test_edges_of_one_pair_are_one_link() -> None:
    rows = (("L0H1", "L1H2.k", -0.8), ("L0H1", "L1H2.q", 0.3), ("L1H2", "logits", 0.05), ("L0.mlp", "L1H2.v", 0.01),
            ("embed", "L0.mlp", None))  # fmt: skip
    table = Table(Header("circuit-graph", "", "", explanation="what"), ("sender", "receiver", "recovered"), rows)
    made = graph(table, ("embed", "L0H1", "L0.mlp", "L1H2", "logits"), 0.05)
    assert made.links == (
        (0, 2, (("", None),)), (1, 3, (("k", -0.8), ("q", 0.3))), (3, 4, (("", 0.05),))
    )  # fmt: skip
    assert made.header.explanation == "below 5 % of the strongest, not drawn: 1 · what"
    assert made.unit == "recovered"
