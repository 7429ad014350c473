"""The residual stream and what comes out of it: how jobs about the whole model are answered. Worker thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from ..circuits import residual
from ..circuits.normalise import double
from ..circuits.ranking import ranking
from ..circuits.tensors import Trace
from ..results import Axis, Grid, Scalar, Table, head_name
from . import targets, words
from .bench import Context
from .experts import mlp_parts
from .grids import grid
from .jobs import HeadInput, NextTokens, Residual, ResidualParts, StreamUnit, Weights
from .opened import OpenModel, place, refuse_set
from .states import in_stream, stream_form

SUM = "max |stream − Σ parts|"
RELATIVE = "max |stream − Σ parts| / max |stream|"
LOGIT = "max |Σ parts − logit|"


def next_tokens(job: NextTokens, bench: OpenModel, ctx: Context) -> Table:
    at = place(job.run, job.position)
    logits = bench.trace(job.run, None, ctx).logits[at]
    top = ranking(logits.float().cpu().numpy(), job.k)
    ids = top.ids.tolist()
    chances = (logits.double() if logits.device.type != "mps" else logits).softmax(-1)[ids]
    rows = zip(top.ranks.tolist(), bench.output_texts(ids), ids, chances.tolist(), top.values.tolist(), strict=True)
    header = words.header(
        "next",
        "output class" if bench.info.classes else "next token",
        "softmax(logits)",
        explanation="the likeliest classes, read at this position"
        if bench.info.classes
        else "the likeliest next tokens after this position",
        convention=words.convention(bench.info, job.run),
        details={"position": at},
    )
    return Table(header, ("rank", "token", "id", "probability", "logit"), tuple(rows), bar="probability")


def residual_grid(job: Residual, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    trace = bench.trace(job.run, None, ctx)
    towards = targets.direction(bench, job.target) if job.measure == "answer" else None
    names, rows, total = [], [], torch.zeros_like(trace.embed)
    for name, part in residual.components(trace, _writers(bench, job.unit), mlps=_mlps(job, bench, trace)):
        ctx.check()
        total = total + part
        names.append(name)
        rows.append(_measure(part, trace.resid_pre[-1], towards, bench, job.weights))
    rounding = trace.resid_pre[-1] - total
    checks = {
        SUM: float(rounding.abs().max()),
        RELATIVE: float(rounding.abs().max() / trace.resid_pre[-1].abs().max()),
    }
    values = torch.stack(rows)
    if towards is not None and job.target is not None:
        rest = residual.attribution(bench.ends, rounding, trace.resid_pre[-1], towards) + towards.bias
        wanted = targets.value(bench, trace, slice(None), job.target)
        checks[LOGIT] = float((double(values.sum(0) + rest) - wanted).abs().max())
    header = words.header(
        "residual",
        "what each component writes" if towards is None else "direct logit attribution",
        "‖part‖" if towards is None else "frozen norm(part) · direction",
        unit="" if towards is None else "logit",
        explanation=_explain(job, bench),
        convention=_convention(job, bench, job.unit),
        checks=checks,
        details=_details(job, bench),
    )
    components = Axis("component", tuple(names))
    return grid(header, values, components, bench.axis("position", job.run.ids), diverging=towards is not None)


def residual_parts(job: ResidualParts, bench: OpenModel, ctx: Context) -> Table:
    bench.need("residual")
    trace, at = bench.trace(job.run, None, ctx), place(job.run, job.position)
    here = slice(at, at + 1)
    parts = residual.split(trace, _writers(bench, job.unit), positions=here, mlps=_mlps(job, bench, trace, here))
    ctx.check()
    values = torch.cat([parts.values, parts.rounding[None]])[:, 0]
    norms = _lengths(values, bench, job.weights).tolist()
    rounding = float(parts.rounding.abs().max())
    checks = {SUM: rounding, RELATIVE: rounding / float(parts.stream.abs().max())}
    names = [*parts.names, "rounding"]
    columns: tuple[str, ...] = ("part", "norm")
    rows: list[tuple[Scalar, ...]] = list(zip(names, norms, strict=True))
    if job.target is not None:
        towards = targets.direction(bench, job.target)
        shares = residual.attribution(bench.ends, values, parts.stream, towards)
        wanted = targets.value(bench, trace, slice(at, at + 1), job.target)
        checks[LOGIT] = abs(float(shares.sum()) + towards.bias - float(wanted))
        columns = ("part", "norm", "answer")
        # The bias writes nothing to the stream: norm 0.
        rows = [*zip(names, norms, shares.tolist(), strict=True), ("unembed.bias", 0.0, towards.bias)]
    header = words.header(
        "residual",
        f"parts of the stream at position {at}",
        "stream = embed + pos + Σ z_h W_O^h + Σ biases + Σ MLPs",
        explanation=_explain(job, bench),
        convention=_convention(job, bench, job.unit) | {"position": at},
        checks=checks,
        details=_details(job, bench),
    )
    return Table(
        header, columns, tuple(rows), bar="answer" if job.measure == "answer" and job.target is not None else "norm"
    )


def head_input(job: HeadInput, bench: OpenModel, ctx: Context) -> Table:
    bench.need("residual")
    if job.side != "v":
        bench.need("qk")
    trace, head = bench.trace(job.run, None, ctx), bench.head(job.layer, job.head, "raw")
    at = place(job.run, job.position)
    parts = residual.split(trace, _writers(bench, job.unit), job.layer, slice(at, at + 1))
    ctx.check()
    names, shares = residual.head_input(head, parts, job.side, at)
    side = words.SIDES[job.side]
    header = words.header(
        "residual",
        f"what the {side} reads at position {at}",
        f"share = {job.side}(part)·{job.side} / ‖{job.side}‖²",
        head=head_name(job.layer, job.head),
        explanation=f"the head's {side} split by the earlier components that it comes from; shares sum to 1",
        convention=words.convention(
            bench.info, job.run, weights=job.weights, unit=job.unit, side=job.side, position=at
        ),
        checks={"|Σ shares − 1|": abs(float(shares.sum()) - 1.0)},
    )
    return Table(header, ("part", "share"), tuple(zip(names, shares.tolist(), strict=True)), bar="share")


def _mlps(
    job: Residual | ResidualParts, bench: OpenModel, trace: Trace, positions: slice = slice(None)
) -> Callable[[int], Iterable[tuple[str, Tensor]] | None] | None:
    """What MLPs are made of, where parts are experts."""
    if job.unit != "expert":
        return None
    for layer in range(bench.info.n_layers):
        refuse_set(job.run, ("mlp_out",), layer, None, f"L{layer}'s experts are not what its MLP writes")
    return mlp_parts(bench, trace, positions)


def _writers(bench: OpenModel, unit: StreamUnit) -> Callable[[int], Sequence[Tensor]] | None:
    """Every head's W_O of a layer, where parts are heads."""
    return None if unit == "component" else bench.writers


def _measure(
    part: Tensor, stream: Tensor, towards: residual.Direction | None, bench: OpenModel, weights: Weights
) -> Tensor:
    """``part [p, d_model] → [p]``."""
    if towards is None:
        return _lengths(part, bench, weights)
    return residual.attribution(bench.ends, part, stream, towards)


def _lengths(x: Tensor, bench: OpenModel, weights: Weights) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(in_stream(bench, x, weights), dim=-1)
    return lengths


def _explain(job: Residual | ResidualParts, bench: OpenModel) -> str:
    where = "row = component, column = position: " if isinstance(job, Residual) else ""
    if job.measure == "norm" or job.target is None:
        return f"{where}length of what it adds to the stream"
    return f"{where}push toward {targets.toward(bench, job.target)} at the final norm's frozen scale"


def _convention(job: Residual | ResidualParts, bench: OpenModel, unit: StreamUnit) -> dict[str, Scalar]:
    target = job.target if isinstance(job, ResidualParts) or job.measure == "answer" else None
    return words.convention(
        bench.info,
        job.run,
        weights=job.weights,
        measure=job.measure,
        unit=unit,
        **targets.convention(bench, target),
        stream=stream_form(bench, job.weights),
    )


def _details(job: Residual | ResidualParts, bench: OpenModel) -> dict[str, Scalar]:
    return {} if job.target is None else targets.details(bench)
