"""A circuit's faithfulness, completeness and minimality beside random circuits of its size. Worker thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..circuits.edged import Edge, Edges, Means, edges_of, random_edges, with_edges
from ..circuits.errors import Refusal
from ..circuits.faithful import (
    C,
    Known,
    Node,
    Parts,
    faithfulness,
    gaps,
    minimality,
    random_circuits,
    whole,
    with_means,
)
from ..circuits.over import Running
from ..circuits.patching import Measured
from ..names import edge_name, in_order, part_at
from ..results import Header, Scalar, Table, head_name
from . import words
from .bench import Context
from .effects import bytes_of, tokens
from .jobs import CircuitScores
from .many import about, aims
from .opened import OpenModel
from .paths import receiver_of, sender_name
from .references import References

COLUMNS = ("score", "circuit", "random mean", "random min", "random max", "at")
BY_EDGES = "by edges"
"""What stands after the name of a score of the circuit's edges."""
NEAR = 1e-3
"""Of its own size: F(full) and F(empty) that differ by less are no scale."""


def circuit_scores(job: CircuitScores, bench: OpenModel, ctx: Context) -> Table:
    _refuse(job, bench)
    model, value = whole(bench.live.forward), Known[Parts](lambda sets: _values(job, sets, _parts, bench, ctx))
    circuit = nodes_of(job.nodes, model, bench)
    drawn = random_circuits(circuit, model, job.seed)
    edges = edges_named(job.edges, bench)
    full, empty = value([model, frozenset()])
    _refuse_near(full, empty, "every part")
    rows: list[tuple[Scalar, ...]] = [("F(full)", full, None, None, None, "")]
    rows.append(_row("F(circuit)", value([circuit])[0], value(drawn)))
    rows.append(("F(empty)", empty, None, None, None, ""))
    alike = [faithfulness(value, parts, full, empty) for parts in drawn]
    rows.append(_row("faithfulness", faithfulness(value, circuit, full, empty), alike))
    header = _header(job, len(circuit), bench)
    ctx.partial(_table(replace(header, partial=True), rows))
    if edges:
        rows += _by_edges(job, edges, full, bench, ctx)
        ctx.partial(_table(replace(header, partial=True), rows))

    found: list[dict[tuple[Node, ...], float]] = []
    smallest: list[dict[Node, tuple[float, tuple[Node, ...]]]] = []
    for done, parts in enumerate((circuit, *drawn)):
        ctx.progress("circuits", done, 1 + len(drawn))
        found.append(gaps(value, parts, model))
        smallest.append(minimality(value, parts, found[-1], full - empty))
    largest = [max(apart, key=lambda K, apart=apart: apart[K]) for apart in found]  # type: ignore[misc]
    gap = [apart[K] for apart, K in zip(found, largest, strict=True)]
    rows.append(_row("completeness", gap[0], gap[1:], f"without {named(largest[0])}"))
    least = [min(each.values()) for each in smallest]
    part = min(smallest[0], key=lambda node: smallest[0][node][0])
    rows.append(_row("minimality", least[0][0], [one[0] for one in least[1:]], named([part])))
    others = [one[0] for each in smallest[1:] for one in each.values()]
    by_name = {named([node]): found_of for node, found_of in smallest[0].items()}
    for name in in_order(by_name):
        change, K = by_name[name]
        rows.append(_row(f"minimality of {name}", change, others, f"without {named(K)}" if K else ""))
    return _table(header, rows)


def _by_edges(
    job: CircuitScores, edges: Edges, full: float, bench: OpenModel, ctx: Context
) -> Iterator[tuple[Scalar, ...]]:
    """F and faithfulness of the edges."""
    value = Known[Edges](lambda sets: _values(job, sets, _edged, bench, ctx))
    drawn = random_edges(edges, edges_of(bench.live.forward), job.seed)
    (empty,) = value([frozenset()])
    _refuse_near(full, empty, "every sender")
    yield _row(f"F(circuit) {BY_EDGES}", value([edges])[0], value(drawn))
    yield f"F(empty) {BY_EDGES}", empty, None, None, None, ""
    own, *others = (faithfulness(value, some, full, empty) for some in (edges, *drawn))
    yield _row(f"faithfulness {BY_EDGES}", own, others)


def _refuse_near(full: float, empty: float, what: str) -> None:
    if abs(full - empty) <= NEAR * max(abs(full), abs(empty)):
        raise Refusal(
            f"The logit difference is {full:.4g} in the whole model and {empty:.4g} with {what} at its mean: there "
            "is nothing to be faithful to.", "Choose prompts and answers that the model knows, or another reference.",
        )  # fmt: skip


def _row(name: str, own: float, others: Sequence[float], at: str = "") -> tuple[Scalar, ...]:
    return name, own, sum(others) / len(others), min(others), max(others), at


def _table(header: Header, rows: Iterable[tuple[Scalar, ...]]) -> Table:
    return Table(header, COLUMNS, tuple(rows))


def named(parts: Iterable[Node]) -> str:
    """``L0H1, L2.mlp``, in the model's order."""
    return ", ".join(in_order(f"L{node.layer}.mlp" if node.head < 0 else head_name(*node) for node in parts))


def nodes_of(names: Iterable[str], model: Parts, bench: OpenModel) -> Parts:
    """Parts by their names; Refusal for one that the model does not have."""
    out = []
    for name in names:
        part = part_at(name)
        node = None if part is None else Node(part.layer, -1 if part.head is None else part.head)
        if node not in model or (part is not None and part.kind not in ("head", "mlp")):
            info = bench.info
            last = info.n_layers - 1
            mlps = f"its MLPs L0.mlp to L{last}.mlp" if info.has_mlp else "and it has no MLPs"
            raise Refusal(f"{name} is no head and no MLP of {info.name}: its heads are L0H0 to "
                          f"{head_name(last, info.n_heads - 1)}, {mlps}.")  # fmt: skip
        assert node is not None
        out.append(node)
    return frozenset(out)


def edges_named(names: Iterable[tuple[str, str]], bench: OpenModel) -> Edges:
    """Edges by the names of sender and receiver; Refusal for one that the model does not have. A key or value that
    heads share is one receiver."""
    if not names:
        return frozenset()
    blocks = [bench.live.forward.block(layer) for layer in range(bench.info.n_layers)]
    if any(block.post_norm.kind != "none" for block in blocks):
        raise Refusal(
            f"{bench.info.name} has a norm between attention and stream: what one head writes depends on the others, "
            "so its edges have no means of their own.", "Take the edges out: the parts have scores by themselves.",
        )  # fmt: skip
    by_name: dict[tuple[str, str], Edge] = {}
    for edge in edges_of(bench.live.forward):
        by_name[sender_name(edge[0]), repr(edge[1])] = edge
    out = []
    for sender, receiver in names:
        found = by_name.get((sender, repr(receiver_of(receiver, bench))))
        if found is None:
            raise Refusal(f"{edge_name((sender, receiver))} is no edge of {bench.info.name}: {sender} is not there, or "
                          f"writes nothing that {receiver} reads.", "Take it out.")  # fmt: skip
        out.append(found)
    return frozenset(out)


def _refuse(job: CircuitScores, bench: OpenModel) -> None:
    if bench.info.capabilities.plain:
        raise Refusal(f"Circuits need the forward pass from plain tensors. {bench.info.capabilities.plain}")
    if not job.nodes:
        raise Refusal("The circuit is empty.", "Name its heads and MLPs, one a line.")
    if not len(job.prompts):
        raise Refusal(f"There is no prompt in {job.prompts.name}.", "Write one a line.")
    if not len(job.reference):
        raise Refusal(f"There is no prompt in {job.reference.name}: a mean is over some.", "Write one a line.")
    for number, target in enumerate(job.prompts.targets, 1):
        if target is None:
            raise Refusal(f"Prompt {number} of {job.prompts.name} has no answer: F is its logit difference.",
                          "Write answers into the file, or give one for all.")  # fmt: skip
        bench.output_index((*target.answers, *target.distractors))


Final = Callable[[CircuitScores, Sequence[C], Tensor, OpenModel, Context], Tensor]
"""Sets, ``ids [p, n]`` → ``[sets, p, d_model]``: the final stream at the last position."""


def _values(job: CircuitScores, sets: Sequence[C], final_of: Final[C], bench: OpenModel, ctx: Context) -> list[float]:
    """F of each set: the mean over the prompts, in float64."""
    forward, prompts, sums = bench.live.forward, job.prompts, torch.zeros(len(sets), dtype=torch.float64)
    for indices in _groups(job, bench):
        runs = [prompts.runs[index] for index in indices]
        n = len(runs[0].ids)
        ids = torch.stack([bench.index(run.ids) for run in runs])
        room = _room(job, n, bench)
        if final_of is _edged:  # what every sender writes is held beside
            room = max(1, min(room, job.memory * 2**20 // (4 * n * bench.info.d_model * 2 * _senders(bench))))
        size = max(1, room // len(runs))
        for start in range(0, len(sets), size):
            ctx.check()
            some = sets[start : start + size]
            final = final_of(job, some, ids, bench, ctx)
            for at, index in enumerate(indices):
                target = prompts.targets[index]
                assert target is not None
                value = Measured(forward, "logit difference", target.answers, target.distractors)
                sums[start : start + len(some)] += value(final[:, at]).double().cpu()
    return [float(total) / len(prompts) for total in sums]


def _parts(job: CircuitScores, sets: Sequence[Parts], ids: Tensor, bench: OpenModel, ctx: Context) -> Tensor:
    n = ids.shape[1]
    z, mlp_out = (_means(job, n, point, bench, ctx) for point in ("z", "mlp_out"))
    return with_means(bench.live.forward, ids, bench.live.reach(n), sets, z, mlp_out, ctx.check)


def _edged(job: CircuitScores, sets: Sequence[Edges], ids: Tensor, bench: OpenModel, ctx: Context) -> Tensor:
    n, forward = ids.shape[1], bench.live.forward
    z, mlp_out = (_means(job, n, point, bench, ctx) for point in ("z", "mlp_out"))
    embed, alike = Running(), job.reference.all_of(n)
    for run in job.reference.runs:
        (x,) = forward.embed(bench.index(run.ids)[None])
        for part in (x,) if alike else x:
            embed = embed.add(part)
    mean = embed.mean.float().to(ids.device)
    means = Means(mean if alike else mean[None], z, mlp_out)
    return with_edges(forward, ids, bench.live.reach(n), sets, means, ctx.check)


def _room(job: CircuitScores, n: int, bench: OpenModel) -> int:
    """Runs of n tokens that one batch takes."""
    return max(1, min(tokens(bench) // n, job.memory * 2**20 // bytes_of(n, bench)))


def _senders(bench: OpenModel) -> int:
    return 1 + bench.info.n_layers * (bench.info.n_heads + bench.info.has_mlp)


def _groups(job: CircuitScores, bench: OpenModel) -> Iterator[list[int]]:
    """Prompts of one length, as many as one batch takes."""
    by_length: dict[int, list[int]] = {}
    for index, run in enumerate(job.prompts.runs):
        by_length.setdefault(len(run.ids), []).append(index)
    for n, indices in by_length.items():
        size = _room(job, n, bench)
        yield from (indices[start : start + size] for start in range(0, len(indices), size))


def _means(job: CircuitScores, n: int, point: str, bench: OpenModel, ctx: Context) -> tuple[torch.Tensor, ...]:
    """A tensor a layer; nothing for MLPs that there are not."""
    if point == "mlp_out" and not bench.info.has_mlp:
        return ()
    found: References = ctx.get(job.moments(n, point))
    return found.means


def _header(job: CircuitScores, count: int, bench: OpenModel) -> Header:
    lengths = {len(run.ids) for run in job.prompts.runs}
    own = {length for length in lengths if job.reference.all_of(length)}
    how = "per position" if own == lengths else "over positions"
    return words.header(
        "circuit",
        f"a circuit of {count} parts beside random ones of its size",
        "faithfulness (F(circuit) − F(empty)) / (F(full) − F(empty)); completeness max |F(C∖K) − F(M∖K)|; minimality "
        "max |F(C∖K) − F(C∖(K∪{v}))| / |F(full) − F(empty)|",
        unit="logit",
        explanation="F: mean logit difference with every head and MLP outside at its mean; full: the model, empty: all "
        "at their means · K: each single part and greedy sets of up to 5 · minimality: the part that is missed least",
        convention=words.convention(
            bench.info,
            job.prompts.runs[0],
            circuit=", ".join((*in_order(job.nodes), *map(edge_name, job.edges))),
            kind="mean",
            mean=how if own in (set(), lengths) else "per position where the reference has the prompt's length",
            reference=f"{job.reference.name}, {len(job.reference)} prompts",
            **about(job.prompts),
            **aims(job.prompts, bench, distractors=True),
            seed=job.seed,
        ),
        details={"random": "ten circuits with as many heads and as many MLPs, drawn by the seed"} | ({
            BY_EDGES: "each receiver reads what the circuit's edges bring it and the mean of what every other sender "
            "writes, the embedding too; random: ten sets of as many edges of each kind of sender and receiver",
        } if job.edges else {}),
    )
