"""The lens and the stream's vectors: how jobs about states, writes and their directions are answered. Worker only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..circuits import fold, ov, residual
from ..circuits import lens as states
from ..circuits.errors import Refusal
from ..circuits.tensors import Trace
from ..results import Axis, Curve, Grid, Header, Scalar, Table, frozen, head_name
from ..text import visible
from . import targets, words
from .grids import grid, numbers, ranked_table
from .jobs import (
    Directions,
    Lens,
    LensCurve,
    LensMeasure,
    LensTop,
    PartWrite,
    Run,
    SourceWrite,
    StateAt,
    Stream,
    Target,
    WriteCosines,
)
from .opened import Context, OpenModel, place
from .parts import LensState

LAST = "max |lens of the last state − logits|"
CAPPED = "logits are soft-capped: these are before the cap"
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
        reading: states.Reading = ctx.get(LensState(job.run, names[index], answers))
        values[index] = numbers(_measured(reading, job.measure))
        text[index] = bench.texts(reading.top.tolist())
        if done == 1:
            checks[LAST] = float(reading.gap.max())
        header = _lens_header(job, bench, checks, partial=index > 0)
        found = Grid(header, frozen(values), rows, cols, diverging=False, text=tuple(text))
        ctx.progress("logit lens", done, len(names))
        if index > 0:
            ctx.partial(found)
    return found


def lens_state(job: LensState, bench: OpenModel, ctx: Context) -> states.Reading:
    trace = bench.trace(job.run, None, ctx)
    return _read(bench, states.state(trace, job.state), trace.logits, job.answers, ctx)


def _read(bench: OpenModel, x: Tensor, final: Tensor, ids: Sequence[int], ctx: Context) -> states.Reading:
    return states.read(bench.ends, bench.unembedding("raw"), x, final, bench.index(ids), ctx.check)


def _measured(reading: states.Reading, measure: LensMeasure) -> Tensor:
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
    x, final, at = _state(bench, job.run, job.state, job.position, ctx)
    logits = states.logits(bench.ends, bench.unembedding("raw"), x[None])
    top = logits[0].topk(min(job.k, logits.shape[1]))
    ids = top.indices.tolist()
    chances = logits[0].log_softmax(-1)[top.indices].exp().tolist()
    ranks = states.ranks(logits, top.values[None])[0].tolist()
    last = job.state == state_names(bench, mids=False)[-1]
    header = words.header(
        "lens",
        "logit lens, likeliest tokens",
        distribution(bench),
        explanation="the likeliest next tokens if the model stopped at this state",
        convention=lens_convention(bench, job.run, state=job.state, position=at),
        checks={LAST: float((logits[0] - final).abs().max())} if last else {},
    )
    rows = zip(ranks, bench.texts(ids), ids, chances, top.values.tolist(), strict=True)
    return Table(header, ("rank", "token", "id", "probability", "logit"), tuple(rows), bar="probability")


def lens_curve(job: LensCurve, bench: OpenModel, ctx: Context) -> Curve:
    """All states at one position in one product."""
    names, answers = state_names(bench, job.mids), _answers(bench, job.target)
    trace, at = bench.trace(job.run, None, ctx), place(job.run, job.position)
    reading = at_position(bench, trace, at, names, (*answers, *job.target.distractors), ctx)
    found = reading.answers if job.measure == "probability" else reading.ranks.float()
    series = {f"answer {_shown(bench, answers)}": found[:, : len(answers)]}
    if job.target.distractors:
        series[f"distractor {_shown(bench, job.target.distractors)}"] = found[:, len(answers) :]
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
    depths = frozen(np.array([states.depth(name) for name in names]))
    averaged = {name: numbers(values.mean(1)) for name, values in series.items()}
    return Curve(header, "layers", job.measure, depths, averaged)


def at_position(
    bench: OpenModel, trace: Trace, at: int, names: Sequence[str], ids: Sequence[int], ctx: Context
) -> states.Reading:
    """The lens at one position of the states named, a row each."""
    x = torch.stack([states.state(trace, name)[at] for name in names])
    return _read(bench, x, trace.logits[at].expand(len(names), -1), ids, ctx)


def stream(job: Stream, bench: OpenModel, ctx: Context) -> Grid:
    names = state_names(bench, job.mids)
    trace = bench.trace(job.run, None, ctx)
    final = _in_stream(bench, trace.resid_pre[-1], job.weights)
    rows = []
    for name in names:
        ctx.check()
        x = _in_stream(bench, states.state(trace, name), job.weights)
        rows.append(torch.linalg.vector_norm(x, dim=-1) if job.measure == "norm" else states.cosines(x, final))
    norm = job.measure == "norm"
    what = "length of the stream there" if norm else "cosine with the final state at that position"
    header = words.header(
        "stream",
        "norm of the stream's states" if norm else "cosine of the stream's states with the final one",
        "‖x‖" if norm else "x·final / (‖x‖ ‖final‖)",
        explanation=f"row = state, column = position: {what}",
        convention=_stream_convention(bench, job, measure=job.measure),
    )
    columns = bench.axis("position", job.run.ids)
    return grid(header, torch.stack(rows), Axis("state", names), columns, diverging=not norm)


def write_cosines(job: WriteCosines, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    trace, at = bench.trace(job.run, None, ctx), place(job.run, job.position)
    parts = residual.split(trace, bench.writers if job.unit == "head" else None, positions=slice(at, at + 1))
    ctx.check()
    writes = _in_stream(bench, parts.values[:, 0], job.weights)
    header = words.header(
        "stream",
        f"cosines between writes at position {at}",
        "a·b / (‖a‖ ‖b‖)",
        explanation="row = component, column = component: +1 they write the same way, 0 unrelated, −1 opposite",
        convention=_stream_convention(bench, job, unit=job.unit, position=at),
    )
    axis = Axis("component", parts.names)
    return grid(header, states.cosines(writes[:, None], writes[None]), axis, axis)


def directions(job: Directions, bench: OpenModel, ctx: Context) -> Table:
    bench.need("residual")
    match job.vector:
        case StateAt():
            row, header = _state_directions(job, job.vector, bench, ctx)
        case PartWrite():
            row, header = _part_directions(job, job.vector, bench, ctx)
        case SourceWrite():
            row, header = _source_directions(job, job.vector, bench, ctx)
    return ranked_table(header, ov.ranked_row(row, job.k), bench)


def _state_directions(job: Directions, vector: StateAt, bench: OpenModel, ctx: Context) -> tuple[Tensor, Header]:
    x, _, at = _state(bench, job.run, vector.state, vector.position, ctx)
    row = fold.centred(states.uncapped(bench.ends, bench.unembedding("raw"), x[None])[0])
    header = _directions_header(
        job,
        bench,
        f"lens logits of {vector.state} at position {at}",
        _logits(bench),
        "what the model would say if it stopped at this state: each token's logit against the mean logit",
        state=vector.state,
        position=at,
    )
    return row, header


def _part_directions(job: Directions, vector: PartWrite, bench: OpenModel, ctx: Context) -> tuple[Tensor, Header]:
    trace, at = bench.trace(job.run, None, ctx), place(job.run, vector.position)
    header = _directions_header(
        job,
        bench,
        f"direct effect of {vector.part} at position {at}",
        f"{_through(bench, 'frozen norm', 'part')} W_U",
        "what this write adds to each token's logit, against the mean over the vocabulary",
        head=vector.part if "H" in vector.part else None,
        part=vector.part,
        position=at,
    )
    return _effects(bench, trace, _write(bench, trace, vector.part, at), vector.part, at), header


def _source_directions(job: Directions, vector: SourceWrite, bench: OpenModel, ctx: Context) -> tuple[Tensor, Header]:
    bench.need("pattern")
    bench.need("ov")
    name, head = head_name(vector.layer, vector.head), bench.head(vector.layer, vector.head, "raw")
    source, at = place(job.run, vector.source), place(job.run, vector.destination)
    trace = bench.trace(job.run, vector.layer, ctx)
    write = states.source_write(head, trace, at, source)
    header = _directions_header(
        job,
        bench,
        f"direct effect of {name} from position {source} at position {at}",
        f"{_through(bench, 'frozen norm', 'pattern[i, j] · v_j W_O')} W_U",
        "what the head moves from this source adds to each token's logit, against the mean over the vocabulary",
        head=name,
        source=source,
        position=at,
    )
    return _effects(bench, trace, write, f"{name} from position {source}", at), header


def _effects(bench: OpenModel, trace: Trace, write: Tensor, name: str, at: int) -> Tensor:
    if not write.any():
        raise Refusal(f"{name} writes nothing at position {at}: there is no direction to read.", "Choose another cell.")
    return states.effects(bench.ends, bench.unembedding("raw"), write, trace.resid_pre[-1][at])


def _write(bench: OpenModel, trace: Trace, part: str, at: int) -> Tensor:
    """``[d_model]``: what a component, named as in ``residual.components``, writes at a position."""

    def writers(layer: int) -> Sequence[Tensor]:
        return bench.writers(layer) if part.startswith(f"L{layer}H") else ()

    whole = part.endswith(".attn")  # a layer's attention in one, else its heads and bias
    for name, write in residual.components(trace, None if whole else writers, positions=slice(at, at + 1)):
        if name == part:
            return write[0]
    raise Refusal(
        f"No part of the stream is called {part}.", "Parts are heads (L1H0), L1.attn, L1.bias, L1.mlp, embed and pos."
    )


def state_names(bench: OpenModel, mids: bool) -> tuple[str, ...]:
    """The states that this model has, in the order in which it makes them."""
    bench.need("residual")
    if mids:
        bench.need("states_mid")
    return states.state_names(bench.info.n_layers, mids)


def _state(bench: OpenModel, run: Run, name: str, position: int, ctx: Context) -> tuple[Tensor, Tensor, int]:
    """A state ``[d_model]``, the model's own logits ``[d_vocab]`` and the position counted from the start."""
    every = states.state_names(bench.info.n_layers, mids=True)
    if name not in every:
        raise Refusal(f"There is no state {name} in {bench.info.name}.", f"States are {every[0]} to {every[-1]}.")
    state_names(bench, mids=name.endswith(".mid"))
    trace, at = bench.trace(run, None, ctx), place(run, position)
    return states.state(trace, name)[at], trace.logits[at], at


def _answers(bench: OpenModel, target: Target | None) -> tuple[int, ...]:
    if target is None or not target.answers:
        raise Refusal(
            "The answer's probability and rank need an answer.", "Name the token that the prompt should end in."
        )
    bench.index((*target.answers, *target.distractors))
    return target.answers


def _shown(bench: OpenModel, ids: Sequence[int]) -> str:
    return ", ".join(visible(text) for text in bench.texts(ids))


def _in_stream(bench: OpenModel, x: Tensor, weights: str) -> Tensor:
    return fold.in_stream(x, bench.ends.final_norm, weights == "processed")


def _logits(bench: OpenModel) -> str:
    """The lens's logits on this model, before a soft cap."""
    bias = "" if bench.ends.b_U is None else " + b_U"
    return f"{_through(bench, 'norm', 'x')} W_U{bias}"


def _through(bench: OpenModel, norm: str, what: str) -> str:
    return what if bench.ends.final_norm.kind == "none" else f"{norm}({what})"


def distribution(bench: OpenModel) -> str:
    """The lens's distribution on this model."""
    logits, cap = _logits(bench), bench.ends.logit_cap
    return f"softmax({cap:g}·tanh(({logits}) / {cap:g}))" if cap else f"softmax({logits})"


def _target(bench: OpenModel, target: Target) -> dict[str, Scalar]:
    several = max(len(target.answers), len(target.distractors)) > 1
    return targets.convention(bench, target) | ({"averaged": "over the tokens of a side"} if several else {})


def lens_convention(bench: OpenModel, run: Run, **options: Scalar) -> dict[str, Scalar]:
    """Folding changes no state's logits: any weights."""
    norm = None if bench.ends.final_norm.kind == "none" else "each state's own statistics"
    return words.convention(bench.info, run, weights="any", norm=norm, **options)


def _lens_header(job: Lens, bench: OpenModel, checks: dict[str, float], partial: bool) -> Header:
    quantity, formula, unit, what = LENS[job.measure]
    told: dict[str, Scalar] = {}
    if job.target is not None and job.measure in ("answer", "rank"):
        what = what.format(_shown(bench, job.target.answers))
        told = _target(bench, Target(job.target.answers))
    return words.header(
        "lens",
        f"logit lens, {quantity}",
        formula.format(distribution(bench)),
        unit=unit,
        explanation=f"row = state, column = position: {what}",
        convention=lens_convention(bench, job.run, measure=job.measure, **told),
        checks=checks,
        partial=partial,
    )


def _stream_convention(bench: OpenModel, job: Stream | WriteCosines, **options: Scalar) -> dict[str, Scalar]:
    centred = job.weights == "processed" and bench.ends.final_norm.kind == "LayerNorm"
    return words.convention(
        bench.info, job.run, weights=job.weights, stream="centred" if centred else "as it is", **options
    )


def _directions_header(
    job: Directions, bench: OpenModel, quantity: str, formula: str, explanation: str, head: str | None = None,
    **options: Scalar,
) -> Header:  # fmt: skip
    convention = lens_convention(bench, job.run, **options)
    if "norm" in convention and not isinstance(job.vector, StateAt):
        convention["norm"] = "frozen at the position"
    return words.header(
        "directions",
        quantity,
        f"{formula} − mean over the vocabulary",
        unit="logit",
        head=head,
        explanation=explanation,
        convention=convention,
        details={"note": CAPPED} if bench.ends.logit_cap else {},
    )
