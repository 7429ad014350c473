"""Activation patching over a file of prompt pairs: ratio of means, spread, agreement in sign. Worker thread only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..circuits.errors import Refusal
from ..circuits.forward import Tape
from ..circuits.over import Running
from ..circuits.patching import STREAM, Cell
from ..results import Axis, Grid, Header, Scalar
from . import words
from .bench import Context
from .grids import grid
from .jobs import PatchedPair, Patching, PatchingOver, Recorded, Run, Target
from .opened import OpenModel
from .patching import (
    FORMULA,
    NEAR,
    PARTS,
    TOWARD,
    check_pair,
    estimated,
    exists,
    head_names,
    recorded,
    sweep_of,
    why_no_estimate,
)


def over(job: PatchingOver, bench: OpenModel, ctx: Context) -> Grid:
    """Each pair by itself, its runs forgotten afterwards."""
    if job.estimate and (why := why_no_estimate(job, bench)):
        raise Refusal(why, "Leave the estimate out.")
    if bench.info.capabilities.plain:
        raise Refusal(bench.info.capabilities.plain, "Patch one pair at a time.")
    if job.site == "neuron":
        raise Refusal("Over pairs nodes are heads or layers.", "Choose another site.")
    exists(job.site, bench)
    names, _ = _nodes(job.site, bench)
    effects, scales = Running(), Running()
    signs: list[Tensor] = []
    count = len(job.pairs)
    ctx.progress("pairs", 0, count)

    def result(done: int) -> Grid:
        scale = float(scales.mean)
        ratio, spread = effects.mean / scale, effects.spread / abs(scale)
        agree = (torch.stack(signs) == effects.mean.sign()).double().mean(0)
        unchanged = 0.0 if job.toward == "denoise" else 1.0
        header = _over_header(job, bench, scale, done, count)
        made = grid(header, torch.stack([unchanged + ratio, spread, agree], 1), Axis("part", names),
                    Axis("statistic", ("ratio of means", "spread", "same sign")), not unchanged)  # fmt: skip
        return replace(made, column_limits=(None, None, (0.0, 1.0)))

    for index, (scale, *each) in enumerate(ctx.each([PatchedPair(job, index) for index in range(count)])):
        effect = torch.tensor(each, dtype=torch.float64)
        effects, scales = effects.add(effect), scales.add(torch.tensor(scale, dtype=torch.float64))
        signs.append(effect.sign())
        ctx.progress("pairs", index + 1, count)
        if index + 1 < count and float(scales.mean):
            ctx.partial(result(index + 1))
    if abs(float(scales.mean)) <= NEAR * float(scales.spread + scales.mean.abs()):
        raise Refusal(f"On average the {job.metric} is the same in clean and corrupted prompts.",
                      "Choose another metric, or other pairs.")  # fmt: skip
    return result(count)


def _nodes(site: str, bench: OpenModel) -> tuple[tuple[str, ...], list[Cell]]:
    layers = range(bench.info.n_layers)
    if site in STREAM:
        return tuple(f"L{layer}{PARTS[site]}" for layer in layers), [Cell(layer) for layer in layers]
    heads = head_names(site, bench)
    return (
        tuple(f"L{layer}{head}" for layer in layers for head in heads),
        [Cell(layer, index) for layer in layers for index in range(len(heads))],
    )


def one_pair(job: PatchedPair, bench: OpenModel, ctx: Context) -> tuple[float, ...]:
    """The metric's difference between the prompts of a pair, then what each node's patch changes of it."""
    try:
        effects, scale = _patched(job.of, job.index, bench, ctx)
    except Refusal as error:
        raise Refusal(f"Pair {job.index + 1} of {job.of.pairs.name}: {error.message}", error.hint) from None
    return (scale, *effects.tolist())


def _patched(job: PatchingOver, index: int, bench: OpenModel, ctx: Context) -> tuple[Tensor, float]:
    """``[nodes]`` float64, and the difference."""
    _, cells = _nodes(job.site, bench)
    clean, corrupted = job.pairs.runs[index], job.pairs.corrupted[index]
    check_pair(clean, corrupted, bench)
    tapes = {run: recorded(Recorded(run), bench, ctx) for run in (clean, corrupted)}
    target = job.pairs.targets[index] or likeliest(tapes[clean], tapes[corrupted], bench)
    one = Patching(clean, corrupted, target, job.site, "head", job.metric, job.toward, memory=job.memory)
    held = _Held(ctx, tapes)
    swept = sweep_of(one, bench, held)
    base, other = (float(value) for value in swept.ends(ctx.check))
    scale = other - base if job.toward == "denoise" else base - other
    if job.estimate:
        return estimated(one, cells, bench, held).double().cpu(), scale
    out = torch.zeros(len(cells), dtype=torch.float64)
    places = {cell: i for i, cell in enumerate(cells)}
    for batch in swept.batches(job.site, cells):
        ctx.check()
        out[[places[cell] for cell in batch]] = swept.values(job.site, batch, ctx.check).double().cpu() - base
    return out, scale


class _Held(Context):
    """A context whose recorded runs are at hand and in no cache."""

    def __init__(self, ctx: Context, tapes: dict[Run, Tape]) -> None:
        self._ctx, self._tapes = ctx, tapes

    def get(self, job: Any) -> Any:
        return self._tapes[job.run]

    def check(self) -> None:
        self._ctx.check()

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None: ...

    def partial(self, result: Any) -> None: ...


def likeliest(clean: Tape, corrupted: Tape, bench: OpenModel) -> Target:
    """The likeliest token after the clean prompt, against that after the corrupted one where it is another."""
    forward = bench.live.forward
    answer, other = (int(forward.logits(tape.pre[-1][-1]).argmax()) for tape in (clean, corrupted))
    return Target((answer,), (other,) if other != answer else ())


def _over_header(job: PatchingOver, bench: OpenModel, scale: float, done: int, count: int) -> Header:
    details: dict[str, Scalar] = {"mean difference between clean and corrupted": scale}
    if done < count:
        details["so far"] = f"{done} of {count} pairs"
    kind = "attribution patching, estimate" if job.estimate else "activation patching"
    return words.header(
        "patching",
        f"{kind} over pairs: {job.site}, {TOWARD[job.toward]}",
        FORMULA.replace("metric", "mean metric"),
        explanation=f"{job.toward}, {TOWARD[job.toward]}: mean {job.metric} recovered over the mean difference; spread "
        "over the pairs, and the share of pairs with the sign of the mean",
        convention=words.convention(
            bench.info, job.pairs.runs[0], site=job.site, metric=job.metric, toward=job.toward, position="all",
            pairs=f"{count} of {job.pairs.name}",
        ),
        details=details,
        partial=done < count,
    )  # fmt: skip
