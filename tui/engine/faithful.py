"""A circuit's faithfulness, completeness and minimality beside random circuits of its size. Worker thread only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from ..circuits.errors import Refusal
from ..circuits.faithful import (
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
from ..circuits.patching import Measured
from ..names import in_order, part_at
from ..results import Header, Scalar, Table, head_name
from . import words
from .bench import Context
from .effects import bytes_of, tokens
from .jobs import CircuitScores
from .many import about, aims
from .opened import OpenModel
from .references import References

COLUMNS = ("score", "circuit", "random mean", "random min", "random max", "at")
NEAR = 1e-3
"""Of its own size: F(full) and F(empty) that differ by less are no scale."""


def circuit_scores(job: CircuitScores, bench: OpenModel, ctx: Context) -> Table:
    _refuse(job, bench)
    model, value = whole(bench.live.forward), Known(lambda sets: _values(job, sets, bench, ctx))
    circuit = nodes_of(job.nodes, model, bench)
    drawn = random_circuits(circuit, model, job.seed)
    full, empty = value([model, frozenset()])
    if abs(full - empty) <= NEAR * max(abs(full), abs(empty)):
        raise Refusal(
            f"The logit difference is {full:.4g} in the whole model and {empty:.4g} with every part at its mean: there "
            "is nothing to be faithful to.", "Choose prompts and answers that the model knows, or another reference.",
        )  # fmt: skip
    rows: list[tuple[Scalar, ...]] = [("F(full)", full, None, None, None, "")]
    rows.append(_row("F(circuit)", value([circuit])[0], value(drawn)))
    rows.append(("F(empty)", empty, None, None, None, ""))
    alike = [faithfulness(value, parts, full, empty) for parts in drawn]
    rows.append(_row("faithfulness", faithfulness(value, circuit, full, empty), alike))
    header = _header(job, len(circuit), bench)
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


def _values(job: CircuitScores, sets: Sequence[Parts], bench: OpenModel, ctx: Context) -> list[float]:
    """F of each set: the mean over the prompts, in float64."""
    forward, prompts, sums = bench.live.forward, job.prompts, torch.zeros(len(sets), dtype=torch.float64)
    for indices in _groups(job, bench):
        runs = [prompts.runs[index] for index in indices]
        n = len(runs[0].ids)
        ids = torch.stack([bench.index(run.ids) for run in runs])
        z, mlp_out = (_means(job, n, point, bench, ctx) for point in ("z", "mlp_out"))
        size = max(1, _room(job, n, bench) // len(runs))
        for start in range(0, len(sets), size):
            ctx.check()
            some = sets[start : start + size]
            final = with_means(forward, ids, bench.live.reach(n), some, z, mlp_out, ctx.check)
            for at, index in enumerate(indices):
                target = prompts.targets[index]
                assert target is not None
                value = Measured(forward, "logit difference", target.answers, target.distractors)
                sums[start : start + len(some)] += value(final[:, at]).double().cpu()
    return [float(total) / len(prompts) for total in sums]


def _room(job: CircuitScores, n: int, bench: OpenModel) -> int:
    """Runs of n tokens that one batch takes."""
    return max(1, min(tokens(bench) // n, job.memory * 2**20 // bytes_of(n, bench)))


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
            circuit=", ".join(in_order(job.nodes)),
            kind="mean",
            mean=how if own in (set(), lengths) else "per position where the reference has the prompt's length",
            reference=f"{job.reference.name}, {len(job.reference)} prompts",
            **about(job.prompts),
            **aims(job.prompts, bench, distractors=True),
            seed=job.seed,
        ),
        details={"random": "ten circuits with as many heads and as many MLPs, drawn by the seed"},
    )
