"""Chosen parts changed together and one by one, over one prompt or a file of them. Worker thread only.

Prompts of one length are a batch; each row of the table is one more pass of the batch, from the first layer that it
changes. Edits act on whole batches: what depends on the prompt (a resampled row, noise) differs from row to row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..circuits.errors import Refusal
from ..circuits.forward import Edit, Edits, lowest, merged
from ..circuits.metrics import METRICS
from ..results import Header, Scalar, Table
from . import words
from .bench import Context
from .changes import ablated, hooks_of, order_of, positions, replaced, touched
from .effects import (
    HOOKED,
    SELF_REPAIR,
    about_ablation,
    bytes_of,
    mean_loss,
    measured,
    per_position,
    refuse_kind,
    tokens,
)
from .jobs import Ablation, AblationTable, Prompts, Run, Target
from .many import about, aims
from .opened import OpenModel

STAGE = "prompts"
CLEAN, ALL = "clean", "all"
STRIDE = 1_000_003
"""Seeds of two prompts' noise are apart by this: as of single runs with such seeds."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts of one length."""

    indices: tuple[int, ...]
    runs: tuple[Run, ...]
    turns: tuple[int, ...]
    """Which of the prompts of its length each is: whose turn it is to take a row of the reference."""
    at: int
    """The position that is read."""

    @property
    def length(self) -> int:
        return len(self.runs[0].ids)

    def ids(self, bench: OpenModel) -> Tensor:
        """``[b, n]``."""
        return torch.stack([bench.index(run.ids) for run in self.runs])

    def longer(self, continuation: tuple[int, ...]) -> Batch:
        """With more tokens after each prompt."""
        return replace(self, runs=tuple(replace(run, ids=(*run.ids, *continuation)) for run in self.runs))


def ablation_table(job: AblationTable, bench: OpenModel, ctx: Context) -> Table:
    _refuse(job, bench)
    prompts, header = job.prompts, _header(job, bench)
    variants: dict[str, tuple[Ablation, ...]] = {CLEAN: (), ALL: job.changes}
    if job.each:
        variants |= {name_of(change): (change,) for change in job.changes}
    width = len(METRICS) + bool(job.continuation)
    sums = {name: torch.zeros(width, dtype=torch.float64) for name in variants}
    done = 0
    ctx.progress(STAGE, 0, len(prompts))
    for batch in _batches(job, bench):
        for name, values in _of_batch(job, batch, variants, bench, ctx).items():
            sums[name] += values.sum(0)
        done += len(batch.indices)
        ctx.progress(STAGE, done, len(prompts))
        if done < len(prompts):
            details = {**header.details, "so far": f"{done} of {len(prompts)} prompts"}
            ctx.partial(_table(job, replace(header, details=details, partial=True), sums, done))
    return _table(job, header, sums, done)


def name_of(change: Ablation) -> str:
    """As it is typed: ``L0H1@4``, ``L0H1@2-5``."""
    if change.positions is None:
        return change.part
    first, last = change.positions[0], change.positions[-1]
    return f"{change.part}@{first}" if first == last else f"{change.part}@{first}-{last}"


def _table(job: AblationTable, header: Header, sums: Mapping[str, Tensor], count: int) -> Table:
    means = {name: (values / count).tolist() for name, values in sums.items()}
    columns = ("part", *METRICS, *(("loss",) if job.continuation else ()))
    at = columns.index(job.metric) - 1
    change = f"change of {job.metric}"
    rows = tuple((name, *values, values[at] - means[CLEAN][at]) for name, values in means.items())
    checks = {f"logit_difference_{said}": means[name][0] for said, name in (("clean", CLEAN), ("ablated", ALL))}
    return Table(replace(header, checks=checks), (*columns, change), rows, bar=change)


def _refuse(job: AblationTable, bench: OpenModel) -> None:
    """What can be refused before anything is run."""
    if not job.changes:
        raise Refusal("No part is named.", "Name one, such as L1H3 or L1.mlp.")
    lengths = sorted({len(run.ids) for run in job.prompts.runs})
    if not -lengths[0] <= job.position < lengths[0]:
        raise Refusal(f"Position {job.position} is not in the prompt: its positions are 0 to {lengths[0] - 1}.")
    for change in job.changes:
        list(touched(change.part, bench))
        refuse_kind(change)
        for length in lengths:
            positions(change.positions, length)
            if change.how == "resample":
                order_of(change, length)
        if change.how == "resample" and job.continuation:
            raise Refusal("The loss on a continuation cannot be resampled: the reference's rows end with the prompt.",
                          "Choose mean, or leave the continuation out.")  # fmt: skip


def _batches(job: AblationTable, bench: OpenModel) -> Iterator[Batch]:
    by_length: dict[int, list[int]] = {}
    for index, run in enumerate(job.prompts.runs):
        by_length.setdefault(len(run.ids), []).append(index)
    for n, indices in by_length.items():
        whole = n + len(job.continuation)
        size = max(1, min(tokens(bench) // whole, job.memory * 2**20 // bytes_of(whole, bench)))
        for start in range(0, len(indices), size):
            some = tuple(indices[start : start + size])
            runs, turns = tuple(job.prompts.runs[index] for index in some), tuple(range(start, start + len(some)))
            yield Batch(some, runs, turns, job.position % n)


def _of_batch(
    job: AblationTable, batch: Batch, variants: Mapping[str, Sequence[Ablation]], bench: OpenModel, ctx: Context
) -> dict[str, Tensor]:
    """Name of a row → ``[b, metrics]`` float64."""
    edits = _edits(variants, batch, bench, ctx)
    logits = passes(batch, edits, slice(batch.at, batch.at + 1), bench, ctx)
    clean = logits[CLEAN][:, 0]
    aimed = _targets(job.prompts, batch, clean)
    out = {name: measured(values[:, 0], clean, aimed) for name, values in logits.items()}
    if job.continuation:
        losses = _losses(job, batch, variants, bench, ctx)
        out = {name: torch.cat([rows, losses[name][:, None]], 1) for name, rows in out.items()}
    return out


def _losses(
    job: AblationTable, batch: Batch, variants: Mapping[str, Sequence[Ablation]], bench: OpenModel, ctx: Context
) -> dict[str, Tensor]:
    """Name of a row → ``[b]``: mean ``−log p`` of the continuation's tokens, in nats."""
    n, k = batch.length, len(job.continuation)
    bench.need("one_vocabulary")
    ids, longer = bench.index(job.continuation), batch.longer(job.continuation)
    placed = {name: [_in_prompt(change, n) for change in changes] for name, changes in variants.items()}
    edits = _edits(placed, longer, bench, ctx)
    logits = passes(longer, edits, slice(n - 1, n + k - 1), bench, ctx)
    return {name: mean_loss(values, ids) for name, values in logits.items()}


def _in_prompt(change: Ablation, n: int) -> Ablation:
    """With positions that count from the prompt's end counted from its start: there are tokens behind it."""
    return change if change.positions is None else replace(change, positions=tuple(positions(change.positions, n)))


def _targets(prompts: Prompts, batch: Batch, clean: Tensor) -> list[Target]:
    """One a row; a prompt without one aims at the clean run's likeliest output."""
    best = clean.argmax(-1).tolist()
    return [prompts.targets[index] or Target((best[row],)) for row, index in enumerate(batch.indices)]


# --- passes of a batch ---


def passes(
    batch: Batch, edits: Mapping[str, Edits], where: slice, bench: OpenModel, ctx: Context
) -> dict[str, Tensor]:
    """Name → logits ``[b, positions of where, outputs]`` with its edits; each starts at the first layer it touches."""
    ids = batch.ids(bench)
    if bench.info.capabilities.plain:
        return {name: _hooked(ids, own, where, bench, ctx) for name, own in edits.items()}
    reach, forward = bench.live.reach(ids.shape[1]), bench.live.forward
    streams: dict[int, Tensor] = {}
    starts = {name: lowest(own) for name, own in edits.items()}

    def keep(layer: int) -> Edit:
        def seen(value: Tensor) -> Tensor:
            return streams.setdefault(layer, value)

        return seen

    looks = {("resid_pre", layer): keep(layer) for layer in sorted(set(starts.values()))}
    clean = forward.run(forward.embed(ids), reach, 0, looks, ctx.check)[:, where]
    out = {}
    for name, own in edits.items():
        final = clean
        if own:
            final = forward.run(streams[starts[name]], reach, starts[name], own, ctx.check)[:, where]
        out[name] = forward.logits(final)
    return out


def _look(ids: Tensor, looks: Edits, bench: OpenModel, ctx: Context) -> None:
    """One pass for what is seen on its way."""
    if bench.info.capabilities.plain:
        _hooked(ids, looks, slice(0, 1), bench, ctx)
        return
    reach, forward = bench.live.reach(ids.shape[1]), bench.live.forward
    forward.run(forward.embed(ids), reach, 0, looks, ctx.check)


def _hooked(ids: Tensor, edits: Edits, where: slice, bench: OpenModel, ctx: Context) -> Tensor:
    hooks = hooks_of(edits, bench)
    return torch.stack([trace.logits for trace in bench.live.traces(list(ids), (), ctx.check, hooks, where)])


def _edits(
    variants: Mapping[str, Sequence[Ablation]], batch: Batch, bench: OpenModel, ctx: Context
) -> dict[str, Edits]:
    """What each row of the table does to a batch; a part that stands in two rows is looked up once."""
    made: dict[Ablation, Edits] = {}
    for change in (change for changes in variants.values() for change in changes):
        if change not in made:
            ctx.check()
            made[change] = edits_of_batch(change, batch, bench, ctx)
    return {name: merged(*(made[change] for change in changes)) for name, changes in variants.items()}


def edits_of_batch(change: Ablation, batch: Batch, bench: OpenModel, ctx: Context) -> Edits:
    """What an ablation does to a batch."""
    if change.how == "resample":
        return _resampled(change, batch, bench, ctx)
    if change.how != "noise":
        return ablated(change, batch.runs[0], bench, ctx)
    own = [replace(change, seed=change.seed + STRIDE * index) for index in batch.indices]
    return by_row([ablated(one, run, bench, ctx) for one, run in zip(own, batch.runs, strict=True)])


def by_row(rows: Sequence[Edits]) -> Edits:
    """Edits at the same points, each for its own row of the batch."""

    def of(point: tuple[str, int]) -> Edit:
        return lambda value: torch.cat([row[point](value[at : at + 1]) for at, row in enumerate(rows)])

    return {point: of(point) for point in rows[0]}


def _resampled(change: Ablation, batch: Batch, bench: OpenModel, ctx: Context) -> Edits:
    order = order_of(change, batch.length)
    sources = replace(batch, runs=tuple(order[turn % len(order)] for turn in batch.turns))
    seen: dict[tuple[str, int], Tensor] = {}

    def look(point: tuple[str, int]) -> Edit:
        def kept(value: Tensor) -> Tensor:
            return seen.setdefault(point, value.clone())

        return kept

    sites = list(touched(change.part, bench))
    _look(sources.ids(bench), {(point, layer): look((point, layer)) for point, layer, _ in sites}, bench, ctx)
    at = positions(change.positions, batch.length)

    def other(point: tuple[str, int]) -> Edit:
        return lambda value: seen[point].to(value)

    return merged(*({(point, layer): replaced(which, at, other((point, layer)))} for point, layer, which in sites))


# --- in words ---


def _header(job: AblationTable, bench: OpenModel) -> Header:
    prompts, first = job.prompts, job.changes[0]
    lengths = [len(run.ids) for run in prompts.runs]
    details: dict[str, Scalar] = {"lower bound": SELF_REPAIR}
    if reason := bench.info.capabilities.plain:
        details["hooks"] = f"{HOOKED}: {reason}"
    if first.how == "noise":
        details["noise"] = f"seed of the i-th prompt: seed + {STRIDE} i"
    if first.how == "resample":
        details["resample"] = "prompts of one length take the reference's rows of that length in a shuffled order"
    if job.continuation:
        details["loss"] = "mean −log p of the continuation's tokens, in nats"
        if any(change.positions is None for change in job.changes):
            details["positions of the loss"] = "the continuation's too, where no positions are named"
        longer = [length + len(job.continuation) for length in lengths]
        if first.how == "mean" and (of_loss := per_position(first, longer)) != per_position(first, lengths):
            whole = "the length of prompt and continuation"
            details["mean of the loss"] = of_loss.replace("the prompt's length", whole)
    texts = "".join(bench.texts(job.continuation)) if job.continuation else None
    over = len(prompts) > 1
    return words.header(
        "ablation",
        f"metrics with parts changed, {first.how}",
        "metric(parts changed)",
        explanation="row = what is changed: mean over the prompts of each metric, and its change against the clean run"
        if over
        else "row = what is changed: each metric, and its change against the clean run",
        convention=words.convention(
            bench.info,
            prompts.runs[0],
            ablate=", ".join(map(name_of, job.changes)),
            **about_ablation(first, lengths),
            **about(prompts),
            position="last" if job.position == -1 else job.position,
            metric=job.metric,
            continuation=texts,
            **aims(prompts, bench, distractors=True),
        ),
        details=details,
    )
