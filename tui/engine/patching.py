"""Activation patching of a prompt pair: estimates, and exact sweeps in their order. Worker thread only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from ..circuits.errors import Refusal
from ..circuits.estimate import estimates, slopes
from ..circuits.forward import Tape
from ..circuits.metrics import DIFFERENTIABLE, LOSS, METRICS, measure
from ..circuits.patching import STREAM, Cell, Everything, Loss, Measured, Pair, Sweep, record
from ..results import Axis, Grid, Header, Scalar, frozen, head_name
from ..text import visible
from . import changes, targets, words
from .bench import Context
from .effects import check_continuation
from .jobs import Patch, PatchedCells, Patching, PatchingEstimate, PatchingGrid, PatchingOver, Recorded, Run, Target
from .jobs.parts import Forward
from .opened import OpenModel, place

NEAR = 1e-3
"""Of its own size: a metric that differs by less between the prompts is no scale."""
PAUSE = 0.1
"""Seconds between two pictures of a sweep."""
TOWARD = {"denoise": "clean into corrupted", "noise": "corrupted into clean"}
FORMULA = "(metric patched − metric corrupted) / (metric clean − metric corrupted)"
ESTIMATE = "≈"
"""The mark of a cell that is an estimate."""
PARTS = {"resid_pre": ".pre", "resid_mid": ".mid", "attn_out": ".attn", "mlp_out": ".mlp"}
"""Site → what the whole of a layer is called as a part that an intervention changes."""


@dataclass(frozen=True)
class Plan:
    """The cells of a grid, row by row."""

    cells: tuple[Cell, ...]
    rows: Axis
    cols: Axis


def recorded(job: Recorded, bench: OpenModel, ctx: Context) -> Tape:
    ids = bench.index(job.run.ids)
    return record(bench.live.forward, ids, bench.live.reach(len(ids)), ctx.check)


# --- what there is to patch, and what there is not ---


def plan_of(job: Patching, bench: OpenModel) -> Plan:
    """The grid's cells and axes. Refusal for a site that cannot be taken so, or that the model does not have."""
    info, site = bench.info, job.site
    layers = Axis("layer", tuple(head_name(layer) for layer in range(info.n_layers)))
    exists(site, bench)
    if site == "neuron":
        mlp = bench.mlp(-1 if job.layer is None else job.layer)
        if job.by != "neuron":
            raise Refusal("Neurons are patched one by one.", "Take them by neuron, and name a layer.")
        at = _place(job)
        count = len(mlp.W_out)
        names = Axis("neuron", tuple(f"{head_name(job.layer or 0)}N{n}" for n in range(count)))
        return Plan(tuple(Cell(job.layer or 0, n, at) for n in range(count)), names, Axis("value", ("patched",)))
    if site in STREAM:
        if job.by != "position":
            raise Refusal(f"{site} is of a whole layer: it has no heads.", "Take it by position.")
        cells = tuple(Cell(layer, None, n) for layer in range(info.n_layers) for n in range(job.length))
        return Plan(cells, layers, _positions(job, bench))
    heads = head_names(site, bench)
    if job.by == "head":
        at = _place(job)
        cells = tuple(Cell(layer, head, at) for layer in range(info.n_layers) for head in range(len(heads)))
        return Plan(cells, layers, Axis("key/value head" if _shared(site, bench) else "head", heads))
    if job.by != "head-position":
        raise Refusal(f"{site} is of a head.", "Take it by head, or by head and position.")
    n = job.length
    rows = Axis("head", tuple(f"{head_name(layer)}{head}" for layer in range(info.n_layers) for head in heads))
    cells = tuple(
        Cell(layer, h, p) for layer in range(info.n_layers) for h in range(len(heads)) for p in range(n)
    )  # fmt: skip
    return Plan(cells, rows, _positions(job, bench))


def _place(job: Patching) -> int | None:
    """The position in the prompt that is patched alone; None: all of them."""
    prompt = replace(job.base, ids=job.base.ids[: job.length])
    return None if job.position is None else place(prompt, job.position)


def exists(site: str, bench: OpenModel) -> None:
    """Refusal for a site that the model does not have."""
    if site == "resid_mid":
        bench.need("states_mid")
    if site == "mlp_out" and not bench.info.has_mlp:
        raise Refusal(f"{bench.info.name} has no MLPs.", "Patch attn_out or resid_pre.")


def _shared(site: str, bench: OpenModel) -> bool:
    """Whether query heads share what is patched."""
    return site in ("k", "v") and bench.info.n_key_value_heads < bench.info.n_heads


def head_names(site: str, bench: OpenModel) -> tuple[str, ...]:
    """``H0``, or ``H0–1`` where query heads share keys and values."""
    info = bench.info
    if not _shared(site, bench):
        return tuple(f"H{head}" for head in range(info.n_heads))
    size = info.n_heads // info.n_key_value_heads
    return tuple(f"H{group * size}–{group * size + size - 1}" for group in range(info.n_key_value_heads))


def _positions(job: Patching, bench: OpenModel) -> Axis:
    """Each position's token; of both prompts where they differ."""
    sides = zip(bench.texts(job.clean.ids), bench.texts(job.corrupted.ids), job.clean.ids, job.corrupted.ids,
                strict=True)  # fmt: skip
    names = (visible(a) if x == y else f"{visible(a)}/{visible(b)}" for a, b, x, y in islice(sides, job.length))
    return Axis("position", tuple(names))


def check_pair(clean: Run, corrupted: Run, bench: OpenModel) -> None:
    """Refusal for prompts that cannot be patched into each other, with the place where they part."""
    if clean.interventions or corrupted.interventions:
        raise Refusal("Patching is between two runs of the unchanged model.", "Switch the interventions off.")
    bench.index((*clean.ids, *corrupted.ids))
    if clean.ids == corrupted.ids:
        raise Refusal("Both prompts are the same: there is nothing to patch.", "Change a word of one of them.")
    if len(clean.ids) != len(corrupted.ids):
        pairs = zip(clean.ids, corrupted.ids, strict=False)
        at = next((i for i, (x, y) in enumerate(pairs) if x != y), min(len(clean.ids), len(corrupted.ids)))
        sides = [
            visible(bench.texts(run.ids[at : at + 1])[0]) if at < len(run.ids) else "nothing"
            for run in (clean, corrupted)
        ]
        raise Refusal(
            f"The clean prompt has {len(clean.ids)} tokens, the corrupted one {len(corrupted.ids)}: from position {at} "
            f"on, {sides[0]} against {sides[1]}, they are not aligned.",
            "Make both equally long, such as by another word there: activations are patched position by position.",
        )


def why_no_estimate(job: Patching | PatchingOver, bench: OpenModel) -> str:
    """Why there is no gradient to estimate from, or ""."""
    if bench.info.capabilities.plain:
        return f"Estimates need the forward pass from plain tensors. {bench.info.capabilities.plain}"
    if job.metric not in DIFFERENTIABLE:
        return f"A {job.metric} has no gradient: there is no estimate of it."
    if job.metric == "KL" and job.toward == "noise":
        return "At the clean run KL(clean ‖ changed) is smallest, its gradient zero: there is no estimate of it."
    return ""


# --- one pair ---


def _tapes(job: Patching, ctx: Context) -> tuple[Tape, Tape]:
    base: Tape = ctx.get(Recorded(job.base))
    other: Tape = ctx.get(Recorded(job.other))
    return base, other


def measured(target: Target, metric: str, clean: Tape, bench: OpenModel, last: int = -1) -> Measured:
    """The metric, at a position."""
    if metric not in METRICS:
        raise Refusal(f"{metric} is not measured here.", f"Metrics are {', '.join(METRICS)}.")
    forward = bench.live.forward
    bench.output_index((*target.answers, *target.distractors))
    own = forward.logits(clean.pre[-1][last])
    return Measured(forward, metric, target.answers, target.distractors, own)


def sweep_of(job: Patching, bench: OpenModel, ctx: Context, every: bool = False) -> Sweep:
    """The pair's runs, ready to be patched; ``every``: all metrics are measured."""
    base, other = _tapes(job, ctx)
    pair = Pair(bench.live.forward, base, other, bench.live.reach(len(job.base.ids)), bench.mlp)
    value = _value(job, METRICS[0] if every else job.metric, base if job.toward == "noise" else other, bench)
    if not every:
        return Sweep(pair, value, job.memory)
    assert isinstance(value, Measured)
    return Sweep(pair, Everything(value, _loss(job, bench) if job.continuation else None), job.memory)


def _value(job: Patching, metric: str, clean: Tape, bench: OpenModel) -> Measured | Loss:
    return _loss(job, bench) if metric == LOSS else measured(job.target, metric, clean, bench, job.length - 1)


def _loss(job: Patching, bench: OpenModel) -> Loss:
    if not job.continuation:
        raise Refusal("A loss is of a text that goes on after the prompt.", "Give the continuation.")
    return Loss(bench.live.forward, job.continuation)


def patched_cells(job: PatchedCells, bench: OpenModel, ctx: Context) -> tuple[tuple[float, ...], ...]:
    of, cells = job.of, [Cell(*cell) for cell in job.cells]
    if bench.info.capabilities.plain:
        return tuple(_hooked(of, cell, bench, ctx) for cell in cells)
    return tuple(map(tuple, sweep_of(of, bench, ctx, every=True).values(of.site, cells, ctx.check).tolist()))


def _hooked(job: Patching, cell: Cell | None, bench: OpenModel, ctx: Context) -> tuple[float, ...]:
    """Every metric by the model's own forward pass with hooks; ``cell`` None: with nothing patched."""
    run = job.base
    if cell is not None:
        size = bench.info.n_heads // bench.info.n_key_value_heads if job.site in ("k", "v") else 1
        part = head_name(cell.layer, None if cell.node is None else cell.node * size)
        part += PARTS.get(job.site, "" if job.site == "z" else f".{job.site}")
        at = None if cell.position is None else (cell.position,)
        run = replace(run, interventions=(Patch(part, job.other, at),))
    every = changes.forward(Forward(run), bench, ctx).logits
    logits, clean, aim = every[[job.length - 1]], ctx.get(Forward(job.clean)).logits[job.length - 1], job.target
    out = [float(measure(metric, logits, aim.answers, aim.distractors, clean)[0]) for metric in METRICS]
    if job.continuation:
        ids = bench.index(job.continuation)[:, None]
        out.append(-float(every[job.length - 1 : -1].log_softmax(-1).gather(-1, ids).mean()))
    return tuple(out)


def ends_of(job: Patching, bench: OpenModel, ctx: Context) -> tuple[float, float]:
    """The metric of the clean and of the corrupted run. Refusal where they hardly differ."""
    if job.metric not in job.metrics:
        raise Refusal(f"{job.metric} is not measured here.", f"Metrics are {', '.join(job.metrics)}.")
    if job.continuation:
        check_continuation(len(job.clean.ids), bench)
    clean, corrupted = (end[job.metrics.index(job.metric)] for end in _all_ends(job, bench, ctx))
    if not _apart(clean, corrupted):
        raise Refusal(
            f"The {job.metric} is {clean:.4g} in the clean and {corrupted:.4g} in the corrupted prompt: there is no "
            "effect to recover.", "Choose an answer that only one of them has, or another metric.",
        )  # fmt: skip
    return clean, corrupted


def _apart(clean: float, corrupted: float) -> bool:
    """Whether the prompts differ by enough to be a scale."""
    return abs(clean - corrupted) > NEAR * max(abs(clean), abs(corrupted))


def _all_ends(job: Patching, bench: OpenModel, ctx: Context) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Every metric of the clean and of the corrupted run."""
    if bench.info.capabilities.plain:
        turned = replace(job, toward="noise" if job.toward == "denoise" else "denoise")
        base, other = _hooked(job, None, bench, ctx), _hooked(turned, None, bench, ctx)
    else:
        base, other = (tuple(end.tolist()) for end in sweep_of(job, bench, ctx, every=True).ends(ctx.check))
    return (other, base) if job.toward == "denoise" else (base, other)


def estimate(job: PatchingEstimate, bench: OpenModel, ctx: Context) -> Grid:
    """One run with gradients, one without, one pass back."""
    check_pair(job.clean, job.corrupted, bench)
    plan = plan_of(job, bench)
    if why := why_no_estimate(job, bench):
        raise Refusal(why, "Compute exact values instead.")
    clean, corrupted = ends_of(job, bench, ctx)
    ctx.progress("estimate")
    effects = estimated(job, plan.cells, bench, ctx).double().cpu().numpy()
    base = corrupted if job.toward == "denoise" else clean
    header = _header(job, bench, clean, corrupted, estimate=True)
    return _grid(header, (base + effects - corrupted) / (clean - corrupted), plan)


def estimated(job: Patching, cells: Sequence[Cell], bench: OpenModel, ctx: Context) -> Tensor:
    """``[cells]``: what each patch would add to the metric."""
    base, other = _tapes(job, ctx)
    clean = base if job.toward == "noise" else other
    with torch.inference_mode(False), torch.no_grad():
        value, live = _value(job, job.metric, clean, bench), bench.live
        if isinstance(value, Measured) and value.clean is not None:
            value = replace(value, clean=value.clean.clone())
        reach = live.reach(len(job.base.ids))
        ids = torch.tensor(job.base.ids, device=live.device)
        tape, slope = slopes(live.forward, ids, reach, value, ctx.check)
        return estimates(Pair(live.forward, tape, other, reach, bench.mlp), slope, job.site, cells, ctx.check)


def sweep(job: PatchingGrid, bench: OpenModel, ctx: Context) -> Grid:
    """Exact values batch by batch, the batch with the strongest estimate next."""
    check_pair(job.clean, job.corrupted, bench)
    plan = plan_of(job, bench)
    clean, corrupted = ends_of(job, bench, ctx)
    best, worst = (np.array(end) for end in _all_ends(job, bench, ctx))
    measurable = [k for k, name in enumerate(job.metrics) if name == job.metric or _apart(best[k], worst[k])]
    unchanged = 0.0 if job.toward == "denoise" else 1.0
    guessed = np.full(len(plan.cells), np.nan)
    if not why_no_estimate(job, bench):
        guessed = ctx.get(job.estimate).values.astype(np.float64).ravel()
    every = np.full((len(plan.cells), len(job.metrics)), np.nan)
    exact = every[:, job.metrics.index(job.metric)]
    places = {cell: i for i, cell in enumerate(plan.cells)}
    if bench.info.capabilities.plain:
        batches = [[cell] for cell in plan.cells]
    else:
        batches = sweep_of(job, bench, ctx, every=True).batches(job.site, plan.cells)
        strength = np.nan_to_num(np.abs(guessed - unchanged))
        batches.sort(key=lambda batch: -max(strength[places[cell]] for cell in batch))

    def result(done: int) -> Grid:
        known = ~np.isnan(exact)
        header = _header(job, bench, clean, corrupted, estimate=False)
        details = {**header.details, **_so_far(done, exact[known], guessed[known], guessed)}
        values = np.where(known, exact, guessed)
        text = None
        if done < len(plan.cells):
            marks = np.where(known | np.isnan(guessed), "", ESTIMATE).reshape(len(plan.rows), len(plan.cols))
            text = tuple(tuple(row) for row in marks.tolist())
        made = _grid(replace(header, details=details, partial=done < len(plan.cells)), values, plan, text)
        others = (k for k in measurable if job.metrics[k] != job.metric)
        return replace(made, beside={job.metrics[k]: frozen(every[:, k].reshape(made.values.shape)) for k in others})

    done, shown = 0, time.monotonic()
    ctx.partial(result(0))
    ctx.progress("patches", 0, len(plan.cells))
    of = job.unmeasured
    each = [PatchedCells(of, tuple((cell.layer, cell.node, cell.position) for cell in batch)) for batch in batches]
    for batch, found in zip(batches, ctx.each(each), strict=True):
        ctx.check()
        values = np.array(found)
        at = np.array([places[cell] for cell in batch])
        shares = (values - worst) / np.where(best == worst, 1.0, best - worst) + 0.0  # no −0
        every[at[:, None], measurable] = shares[:, measurable]
        done += len(batch)
        ctx.progress("patches", done, len(plan.cells))
        if time.monotonic() - shown > PAUSE and done < len(plan.cells):
            ctx.partial(result(done))
            shown = time.monotonic()
    return result(done)


def _so_far(done: int, exact: np.ndarray, guessed: np.ndarray, every: np.ndarray) -> dict[str, Scalar]:
    """How many cells are exact, and how the estimate did on them."""
    out: dict[str, Scalar] = {"exact": f"{done} of {len(every)}"}
    if np.isnan(every).all():
        return out
    if done > 2 and exact.std() > 0 and guessed.std() > 0:
        out["correlation with the estimate"] = float(np.corrcoef(exact, guessed)[0, 1])
    return out


def _grid(header: Header, values: np.ndarray, plan: Plan, text: tuple[tuple[str, ...], ...] | None = None) -> Grid:
    shaped = frozen(values.reshape(len(plan.rows), len(plan.cols)))
    around_zero = header.convention["toward"] == "denoise"
    return Grid(header, shaped, plan.rows, plan.cols, around_zero, text)


def _header(job: Patching, bench: OpenModel, clean: float, corrupted: float, estimate: bool) -> Header:
    kind = "attribution patching, estimate" if estimate else "activation patching"
    said = "0 nothing, 1 all of it" if job.toward == "denoise" else "1 no effect, 0 as broken as the corrupted prompt"
    details: dict[str, Scalar] = {f"{job.metric} clean": clean, "corrupted": corrupted}
    if estimate:
        details["estimate"] = "from one backward pass: blind where effects cancel"
    elif bench.info.capabilities.plain:
        details["slow"] = "by the model's own forward pass with hooks"
    if _shared(job.site, bench):
        details["heads"] = "those that share keys and values are one node"
    return words.header(
        "patching",
        f"{kind}: {job.site}, {TOWARD[job.toward]}",
        FORMULA if not estimate else f"{FORMULA}, its change Σ (a_other − a_base)·∂metric/∂a",
        explanation=f"{job.toward}, {TOWARD[job.toward]}: {job.metric} recovered, {said}",
        convention=words.convention(
            bench.info, job.clean, site=job.site, by=job.by, metric=job.metric, toward=job.toward,
            position="all" if job.by in ("head", "neuron") and job.position is None else job.position,
            layer=job.layer, **targets.convention(bench, job.target),
            continuation="".join(bench.texts(job.continuation)) if job.continuation else None,
        ),
        details=details,
    )  # fmt: skip
