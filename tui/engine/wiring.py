"""The edges of a circuit with their effects: what its graph is drawn from. Worker thread only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..circuits.errors import Refusal
from ..circuits.faithful import whole
from ..circuits.paths import Paths, Sender, senders
from ..names import EMBED, Edge, circuit, edge_at, edge_name, head_at, receiver_at
from ..results import Grid, Header, Scalar, Table
from . import targets, words
from .bench import Context
from .faithful import nodes_of
from .jobs import CircuitComposition, CircuitPaths, Composition, PathGrid
from .opened import OpenModel
from .patching import FORMULA, check_pair, ends_of, sweep_of
from .paths import SAYS, receiver_of, sender_name

SIDES = ("q", "k", "v")


def circuit_paths(job: CircuitPaths, bench: OpenModel, ctx: Context) -> Table:
    """Only the paths that are drawn are patched."""
    check_pair(job.clean, job.corrupted, bench)
    if bench.info.capabilities.plain:
        raise Refusal(f"Paths need the forward pass from plain tensors. {bench.info.capabilities.plain}")
    nodes_of(job.parts, whole(bench.live.forward), bench)
    wanted = job.edges or _between((EMBED, *job.parts), (*job.parts, "logits"))
    of = PathGrid(job.clean, job.corrupted, job.target, metric=job.metric, memory=job.memory).patching
    clean, corrupted = ends_of(of, bench, ctx)
    paths, found = Paths(sweep_of(of, bench, ctx)), dict[Edge, float | None]()
    for done, (name, names) in enumerate((by := _by_receiver(wanted)).items()):
        ctx.progress("paths", done, len(by))
        receiver = receiver_of(name, bench)
        there = {sender_name(sender): sender for sender in senders(bench.live.forward, receiver)}
        known = [sender for sender in names if sender in there]  # attention and MLP of a parallel block are no edge
        batch: list[Sender] = [there[sender] for sender in known]
        for start in range(0, len(batch), size := max(1, paths.most // len(job.clean.ids))):
            ctx.check()
            some = slice(start, start + size)
            values = paths.values(receiver, batch[some], "direct", ctx.check).double()
            shares = ((values - corrupted) / (clean - corrupted)).tolist()
            found |= {(sender, name): share for sender, share in zip(known[some], shares, strict=True)}
    convention = words.convention(
        bench.info, job.clean, circuit=_written(job.parts, job.edges), variant="direct", metric=job.metric,
        **targets.convention(bench, job.target),
    )  # fmt: skip
    header = words.header(
        "circuit-graph", "edges of a circuit by path patching", FORMULA,
        explanation=f"share of the {job.metric} that comes back by one edge alone; direct: {SAYS['direct']}",
        convention=convention, details={f"{job.metric} clean": clean, "corrupted": corrupted},
    )  # fmt: skip
    return _table(header, found, "recovered")


def circuit_composition(job: CircuitComposition, bench: OpenModel, ctx: Context) -> Table:
    nodes_of(job.parts, whole(bench.live.forward), bench)
    heads = [part for part in job.parts if head_at(part)]
    found: dict[Edge, float | None] = {}
    for name, names in _by_receiver(job.edges or _between(heads, heads)).items():
        at = receiver_at(name)
        assert at is not None
        before = {sender: head_at(sender) for sender in names}
        known = {sender for sender, head in before.items() if head is not None}
        if known and at.layer is not None and at.head is not None:
            grid: Grid = ctx.get(Composition(job.model, at.layer, at.head, at.kind, "from"))  # type: ignore[arg-type]
            z = dict(zip(grid.rows.labels, grid.values[:, grid.cols.labels.index("z")].tolist(), strict=True))
        found |= {(sender, name): z[sender] if sender in known and at.head is not None else None for sender in names}
    convention = words.convention(bench.info, circuit=_written(job.parts, job.edges))
    header = words.header(
        "circuit-graph", "edges of a circuit by composition", "(‖W_OV1 W_2‖² − mean) / standard deviation",
        explanation="z of the composition of two heads against random rotations, from the weights alone",
        convention=convention,
    )  # fmt: skip
    return _table(header, found, "z")


def _between(first: Sequence[str], then: Sequence[str]) -> tuple[Edge, ...]:
    """Every edge from one of the first to one of the others, to each side of a head."""
    made = []
    for part in then:
        receivers = [f"{part}.{side}" for side in SIDES] if head_at(part) else [part]
        made += [edge for sender in first for name in receivers
                 if not isinstance(edge := edge_at(edge_name((sender, name))), str)]  # fmt: skip
    return circuit((), made).edges


def _by_receiver(edges: Iterable[Edge]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for sender, receiver in edges:
        out.setdefault(receiver, []).append(sender)
    return out


def _written(parts: Iterable[str], edges: Iterable[Edge]) -> str:
    return ", ".join((*parts, *map(edge_name, edges)))


def _table(header: Header, found: Mapping[Edge, float | None], column: str) -> Table:
    """The strongest first; equal ones stay in the model's order."""
    ranked = sorted(found.items(), key=lambda one: -abs(one[1]) if one[1] is not None else 1.0)
    rows: list[tuple[Scalar, ...]] = [(*edge, effect) for edge, effect in ranked]
    return Table(header, ("sender", "receiver", column), tuple(rows), bar=column)
