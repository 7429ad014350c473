"""The logit lens: what the model would say if it stopped at a state. Worker thread only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..circuits import lens as circuit
from ..circuits.errors import Refusal
from ..circuits.ranking import ranking
from ..circuits.tensors import Trace
from ..results import Axis, Curve, Grid, Header, Scalar, Table, frozen
from . import targets, words
from .bench import Context
from .grids import numbers
from .jobs import Lens, LensCurve, LensMeasure, LensTop, Run, Target
from .jobs.parts import LensState
from .opened import OpenModel, place
from .states import state_at, state_names

LAST = "max |lens of the last state − logits|"
LENS: dict[LensMeasure, tuple[str, str, str, str]] = {
    "probability": (
        "probability of the likeliest token",
        "max {}",
        "probability",
        "probability of the likeliest next token if the model stopped there",
    ),
    "answer": (
        "probability of the answer",
        "{}[answer]",
        "probability",
        "probability of {} if the model stopped there",
    ),
    "rank": (
        "rank of the answer",
        "1 + #(p > p[answer]), p = {}",
        "rank",
        "rank of {} (1 = likeliest) if the model stopped there",
    ),
    "entropy": (
        "entropy",
        "−Σ p log p, p = {}",
        "nats",
        "how undecided the next token is (0 = certain) if the model stopped there",
    ),
    "kl": (
        "KL(final ‖ lens)",
        "Σ q (log q − log p), p = {}, q the model's own",
        "nats",
        "how far the state is from what the model says in the end (0 = the same)",
    ),
}
"""Quantity, formula (around that of the distribution), unit and explanation."""


def lens(job: Lens, bench: OpenModel, ctx: Context) -> Grid:
    """Row by row from the last: what is nearest to the model's output is there first."""
    names = state_names(bench, job.mids)
    answers = _answers(bench, job.target) if job.measure in ("answer", "rank") else ()
    rows, cols = Axis("state", names), bench.axis("position", job.run.ids)
    values = np.full((len(names), len(cols)), np.nan, dtype=np.float32)
    text = [("",) * len(cols)] * len(names)
    checks: dict[str, float] = {}
    for done, index in enumerate(reversed(range(len(names))), 1):
        ctx.check()
        reading: circuit.Reading = ctx.get(LensState(job.run, names[index], answers))
        values[index] = numbers(_measured(reading, job.measure))
        text[index] = bench.output_texts(reading.top.tolist())
        if done == 1:
            checks[LAST] = float(reading.gap.max())
        header = _lens_header(job, bench, checks, partial=index > 0)
        found = Grid(header, frozen(values), rows, cols, diverging=False, text=tuple(text))
        ctx.progress("logit lens", done, len(names))
        if index > 0:
            ctx.partial(found)
    return found


def lens_state(job: LensState, bench: OpenModel, ctx: Context) -> circuit.Reading:
    trace = bench.trace(job.run, None, ctx)
    return _read(bench, circuit.state(trace, job.state), trace.logits, job.answers, ctx)


def _read(bench: OpenModel, x: Tensor, final: Tensor, ids: Sequence[int], ctx: Context) -> circuit.Reading:
    return circuit.read(bench.ends, bench.unembedding("raw"), x, final, bench.output_index(ids), ctx.check)


def _measured(reading: circuit.Reading, measure: LensMeasure) -> Tensor:
    """``[p]``; probabilities and ranks of several answers are averaged."""
    match measure:
        case "probability":
            return reading.probability
        case "entropy":
            return reading.entropy
        case "kl":
            return reading.divergence
        case "answer":
            return reading.answers.mean(1)
        case "rank":
            return reading.ranks.float().mean(1)


def lens_top(job: LensTop, bench: OpenModel, ctx: Context) -> Table:
    x, final, at = state_at(bench, job.run, job.state, job.position, ctx)
    logits = circuit.logits(bench.ends, bench.unembedding("raw"), x[None])
    top = ranking(logits[0].cpu().numpy(), job.k)
    ids = top.ids.tolist()
    chances = logits[0].log_softmax(-1)[ids].exp().tolist()
    last = job.state == state_names(bench, mids=False)[-1]
    header = words.header(
        "lens",
        bench.of_outputs("logit lens, likeliest tokens"),
        distribution(bench),
        explanation=bench.of_outputs("the likeliest next tokens if the model stopped at this state"),
        convention=lens_convention(bench, job.run, state=job.state, position=at),
        checks={LAST: float((logits[0] - final).abs().max())} if last else {},
    )
    rows = zip(top.ranks.tolist(), bench.output_texts(ids), ids, chances, top.values.tolist(), strict=True)
    return Table(header, ("rank", "token", "id", "probability", "logit"), tuple(rows), bar="probability")


def lens_curve(job: LensCurve, bench: OpenModel, ctx: Context) -> Curve:
    """All states at one position in one product."""
    names, answers = state_names(bench, job.mids), _answers(bench, job.target)
    trace, at = bench.trace(job.run, None, ctx), place(job.run, job.position)
    reading = at_position(bench, trace, at, names, (*answers, *job.target.distractors), ctx)
    found = reading.answers if job.measure == "probability" else reading.ranks.float()
    series = {f"answer {targets.listed(bench, answers)}": found[:, : len(answers)]}
    if job.target.distractors:
        series[f"distractor {targets.listed(bench, job.target.distractors)}"] = found[:, len(answers) :]
    measure: LensMeasure = "answer" if job.measure == "probability" else "rank"
    _, formula, unit, _ = LENS[measure]
    header = words.header(
        "lens",
        f"logit lens by layer, {job.measure}",
        formula.format(distribution(bench)),
        unit=unit,
        explanation=f"x = layers behind the state: {job.measure} of the answer if the model stopped there",
        convention=lens_convention(bench, job.run, position=at, measure=job.measure, **_target(bench, job.target)),
        checks={LAST: float(reading.gap[-1])},
    )
    depths = frozen(np.array([circuit.depth(name) for name in names]))
    averaged = {name: numbers(values.mean(1)) for name, values in series.items()}
    return Curve(header, "layers", job.measure, depths, averaged)


def at_position(
    bench: OpenModel, trace: Trace, at: int, names: Sequence[str], ids: Sequence[int], ctx: Context
) -> circuit.Reading:
    """The lens at one position of the states named, a row each."""
    x = torch.stack([circuit.state(trace, name)[at] for name in names])
    return _read(bench, x, trace.logits[at].expand(len(names), -1), ids, ctx)


def _answers(bench: OpenModel, target: Target | None) -> tuple[int, ...]:
    if target is None or not target.answers:
        raise Refusal(
            "The answer's probability and rank need an answer.", "Name the token that the prompt should end in."
        )
    bench.output_index((*target.answers, *target.distractors))
    return target.answers


def lens_logits(bench: OpenModel) -> str:
    """The lens's logits on this model, before a soft cap."""
    bias = "" if bench.ends.b_U is None else " + b_U"
    return f"{through(bench, 'norm', 'x')} W_U{bias}"


def through(bench: OpenModel, norm: str, what: str) -> str:
    return what if bench.ends.final_norm.kind == "none" else f"{norm}({what})"


def distribution(bench: OpenModel) -> str:
    """The lens's distribution on this model."""
    logits, cap = lens_logits(bench), bench.ends.logit_cap
    return f"softmax({cap:g}·tanh(({logits}) / {cap:g}))" if cap else f"softmax({logits})"


def _target(bench: OpenModel, target: Target) -> dict[str, Scalar]:
    several = max(len(target.answers), len(target.distractors)) > 1
    return targets.convention(bench, target) | (
        {"averaged": bench.of_outputs("over the tokens of a side")} if several else {}
    )


def lens_convention(bench: OpenModel, run: Run, **options: Scalar) -> dict[str, Scalar]:
    """Folding changes no state's logits: any weights."""
    norm = None if bench.ends.final_norm.kind == "none" else "each state's own statistics"
    return words.convention(bench.info, run, weights="any", norm=norm, **options)


def _lens_header(job: Lens, bench: OpenModel, checks: dict[str, float], partial: bool) -> Header:
    quantity, formula, unit, what = LENS[job.measure]
    what = bench.of_outputs(what)
    told: dict[str, Scalar] = {}
    if job.target is not None and job.measure in ("answer", "rank"):
        what = what.format(targets.listed(bench, job.target.answers))
        told = _target(bench, Target(job.target.answers))
    return words.header(
        "lens",
        bench.of_outputs(f"logit lens, {quantity}"),
        formula.format(distribution(bench)),
        unit=unit,
        explanation=f"row = state, column = position: {what}",
        convention=lens_convention(bench, job.run, measure=job.measure, **told),
        checks=checks,
        partial=partial,
    )
