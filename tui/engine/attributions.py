"""Who made the model say it: attribution by part, by source and by pairs behind a score. Worker thread only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..circuits import attribution as circuit
from ..circuits import neurons, ov, residual
from ..circuits import pattern as attention
from ..circuits.basis import read, written
from ..circuits.errors import Refusal
from ..circuits.normalise import double
from ..circuits.tensors import Trace
from ..results import Axis, Grid, Scalar, Table, head_name
from ..text import visible
from . import targets, words
from .bench import Context
from .grids import grid
from .jobs import Attribution, Grain, ScoreParts, SourceRow, Sources, Target
from .opened import OpenModel, place, refuse_set

SOURCES = "max |Σ sources − head|"
FROZEN = "through the final norm's frozen scale"


@dataclass(frozen=True, eq=False)
class Sum:
    """Parts of a number, and the number itself as the model has it."""

    names: tuple[str, ...]
    values: Tensor
    """``[parts]`` float64 on the CPU."""
    value: float

    @property
    def checks(self) -> dict[str, float]:
        total = float(self.values.sum())
        return {"value": self.value, "sum": total, "error": abs(total - self.value)}


def attribution(job: Attribution, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    at, trace = place(job.run, job.position), bench.trace(job.run, None, ctx)
    if job.unit == "neuron":
        parts = _by_neuron(job, at, bench, trace)
        whole = f"what L{job.layer}.mlp adds"
    else:
        parts = by_part(bench, trace, at, job.target, job.unit, ctx.check)
        whole = targets.whole(bench, job.target)
    header = words.header(
        "attribution",
        "direct logit attribution" if job.unit != "neuron" else f"direct logit attribution of L{job.layer}'s neurons",
        "act_n · (W_out[n] · direction)" if job.unit == "neuron" else "frozen norm(part) · direction",
        unit="logit",
        head=None if job.layer is None else head_name(job.layer),
        explanation=f"push toward {targets.toward(bench, job.target)}, {FROZEN}; parts sum to {whole}",
        convention=words.convention(
            bench.info,
            job.run,
            weights="any",
            unit=job.unit,
            position=at,
            **targets.convention(bench, job.target),
        ),
        checks=parts.checks,
        details=targets.details(bench),
    )
    return grid(header, parts.values[:, None], Axis("part", parts.names), Axis("value", ("attribution",)))


def by_part(bench: OpenModel, trace: Trace, at: int, target: Target, unit: Grain, check: Callable[[], None]) -> Sum:
    """The target's value at one position as a sum over heads or layers, biases and rounding."""
    towards = targets.direction(bench, target)
    g = circuit.directions(bench.ends, trace.resid_pre[-1, at], towards)
    names, values = circuit.effects(trace, bench.writers if unit == "head" else None, at, g, check)
    bias = torch.tensor([towards.bias], dtype=torch.float64)
    return Sum(
        (*names[:-1], "unembed.bias", "rounding"),
        torch.cat([values[:-1], bias, values[-1:]]),
        float(targets.value(bench, trace, slice(at, at + 1), target)),
    )


def _by_neuron(job: Attribution, at: int, bench: OpenModel, trace: Trace) -> Sum:
    """One MLP's effect as a sum over its neurons, the smaller ones together."""
    if job.layer is None:
        raise Refusal("Neurons belong to one layer's MLP.", "Name the layer.")
    mlp = bench.mlp(job.layer)
    refuse_set(job.run, ("act", "mlp_out"), job.layer, None, f"L{job.layer}'s neurons are not what its MLP writes")
    g = circuit.directions(bench.ends, trace.resid_pre[-1, at], targets.direction(bench, job.target))
    found = neurons.effects(mlp, mlp.activations(neurons.stream(trace, job.layer)[at : at + 1])[0], g)
    top = neurons.largest(found.neurons, job.k)
    names = [f"L{job.layer}N{n}" for n in top]
    values = [found.neurons[top]]
    if len(top) < len(found.neurons):
        names.append("others")
        values.append(found.neurons.sum()[None] - found.neurons[top].sum())
    if mlp.b_out.any() or mlp.post_norm.b is not None:
        names.append(f"L{job.layer}.mlp.bias")
        values.append(torch.tensor([found.bias], dtype=torch.float64))
    assert trace.mlp_out is not None
    return Sum(tuple(names), torch.cat(values), float(double(trace.mlp_out[job.layer, at]) @ double(g)))


def sources(job: Sources, bench: OpenModel, ctx: Context) -> Grid:
    split, whole = _sources(job, bench, ctx)
    header = words.header(
        "sources",
        "a head's attribution by source",
        "pattern[i, j] · v_j W_O · direction at i",
        unit="logit",
        head=head_name(job.layer, job.head),
        explanation="row = destination, column = source: what the head takes from there to push toward "
        f"{targets.toward(bench, job.target)}, {FROZEN}",
        convention=words.convention(bench.info, job.run, weights="any", **targets.convention(bench, job.target)),
        checks={SOURCES: float((split.nansum(-1) - whole).abs().max())},
        details=targets.details(bench),
    )
    return grid(header, split, bench.axis("destination", job.run.ids), bench.axis("source", job.run.ids))


def _sources(job: Sources | SourceRow, bench: OpenModel, ctx: Context) -> tuple[Tensor, Tensor]:
    """``[destination, source]`` with NaN where a destination cannot look, and ``[destination]``, the head's own."""
    for capability in ("pattern", "residual", "ov"):
        bench.need(capability)
    head = bench.head(job.layer, job.head, "raw")
    refuse_set(job.run, ("z",), job.layer, job.head, "what the sources give is not what the head writes")
    trace = bench.trace(job.run, job.layer, ctx)
    g = circuit.directions(bench.ends, trace.resid_pre[-1], targets.direction(bench, job.target))
    split, whole = circuit.sources(head, trace, g)
    return split.masked_fill(~attention.visible(trace, job.layer, job.head), torch.nan), whole


def source_row(job: SourceRow, bench: OpenModel, ctx: Context) -> Table:
    at = place(job.run, job.position)
    split, whole = (double(values[at]) for values in _sources(job, bench, ctx))
    trace = bench.trace(job.run, job.layer, ctx)
    head, unembed = bench.head(job.layer, job.head, job.weights), bench.unembedding(job.weights)
    x = read(written(bench.ends, "embed", bench.index(job.run.ids)), "embed", head.norm, job.weights == "processed")
    column = unembed.columns(bench.output_index(job.target.answers)).mean(1)
    if job.target.distractors:
        column = column - unembed.columns(bench.output_index(job.target.distractors)).mean(1)
    by_weights = (ov.write(head, x) @ column).tolist()
    pattern = trace.patterns[job.layer][job.head, at].tolist()
    rows = zip(bench.texts(job.run.ids), range(len(split)), split.tolist(), pattern, by_weights, strict=True)
    header = words.header(
        "sources",
        f"sources of the head's attribution at position {at}",
        "pattern[i, j] · v_j W_O · direction at i; OV: W_E W_V W_O W_U · direction",
        unit="logit",
        head=head_name(job.layer, job.head),
        explanation=f"push toward {targets.toward(bench, job.target)}: what this prompt did (contribution, pattern) "
        f"and what the {job.weights} weights say of that token (OV{_uncentred(job)})",
        convention=words.convention(
            bench.info,
            job.run,
            weights=job.weights,
            position=at,
            basis="embed",
            **targets.convention(bench, job.target),
        ),
        checks={SOURCES: abs(float(split.nansum() - whole))},
        details=targets.details(bench),
    )
    seen = (row for row in rows if not math.isnan(row[2]))
    return Table(header, ("source", "position", "contribution", "pattern", "OV"), tuple(seen), bar="contribution")


def _uncentred(job: SourceRow) -> str:
    """Raw weights leave ``W_U`` as stored, also where the contribution is against the mean logit."""
    return ", W_U as stored" if job.weights == "raw" and not job.target.distractors else ""


def score_parts(job: ScoreParts, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    bench.need("qk")
    name, head = head_name(job.layer, job.head), bench.head(job.layer, job.head, "raw")
    refuse_set(job.run, ("q", "k", "pattern"), job.layer, job.head, "its score is not made of the stream's parts")
    query, key = place(job.run, job.query), place(job.run, job.key)
    trace = bench.trace(job.run, job.layer, ctx)
    here, there = _named(job, query, bench), _named(job, key, bench)
    sees = attention.visible(trace, job.layer, job.head)[query]
    other = place(job.run, job.against) if isinstance(job.against, int) else None
    for at in (key, other):
        if at is not None and not sees[at]:
            why = "it comes later" if at > query else "it is out of the head's window"
            raise Refusal(f"In {name} the query {here} cannot see the key {_named(job, at, bench)}: {why}.",
                          "Choose a key that it can see.")  # fmt: skip
    W_O = bench.writers if job.unit == "head" else None

    def side(at: int, name: str) -> tuple[tuple[str, ...], Tensor]:
        ctx.check()
        return residual.rotated(head, residual.split(trace, W_O, job.layer, slice(at, at + 1)), name, at)

    (names, q), (_, k) = side(query, "q"), side(key, "k")
    keys = trace.keys[job.layer][:, job.head]
    whole = double(keys[key])
    for at, weight in _taken_away(trace, job, query, other).items():
        k = k - weight * side(at, "k")[1]
        whole = whole - weight * double(keys[at])
    values = q @ k.mT / head.attn_scale
    score = float(double(trace.queries[job.layer][query, job.head]) @ whole) / head.attn_scale
    total = float(double(values).sum())
    less = ", less the mean of all keys by the query's attention" if job.against == "mean" else ""
    less = less if other is None else f", less that of the key {_named(job, other, bench)}"
    header = words.header(
        "score-parts",
        "an attention score by pairs of components" + less,
        "(part_a → q)·(part_b → k) / attn_scale" if not less
        else "(part_a → q)·(part_b → k − Σ_j a_j k_j) / attn_scale",
        head=name,
        explanation=f"row = component at the query {here}, column = component at the key {there}: what the pair adds "
        f"to the score{less}, through the norms' frozen scales",
        convention=words.convention(bench.info, job.run, weights="any", unit=job.unit, query=query, key=key,
                                    against=job.against if other is None else other),
        checks={"value" if less else "score": score, "sum": total, "error": abs(total - score)},
        details=_score_details(head.soft_cap, head.attn_scale),
    )  # fmt: skip
    return grid(header, values, Axis("at the query", names), Axis("at the key", names))


def _named(job: ScoreParts, at: int, bench: OpenModel) -> str:
    return f"{visible(bench.texts((job.run.ids[at],))[0])} ({at})"


def _taken_away(trace: Trace, job: ScoreParts, query: int, other: int | None) -> dict[int, float]:
    """Keys that are taken away, each with its weight; the weights sum to 1 (attention sinks have none)."""
    if job.against is None:
        return {}
    if other is not None:
        return {other: 1.0}
    row = double(trace.patterns[job.layer][job.head, query])
    return {at: float(share / row.sum()) for at, share in enumerate(row) if share}


def _score_details(cap: float | None, scale: float) -> dict[str, Scalar]:
    out: dict[str, Scalar] = {"attn_scale": scale}
    return out if cap is None else out | {"note": f"the score before the soft cap of {cap:g}, which is not additive"}
