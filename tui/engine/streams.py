"""The residual stream and what comes out of it: how jobs about the whole model are answered. Worker thread only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..circuits import fold, residual
from ..circuits.errors import Refusal
from ..results import Axis, Grid, Scalar, Table, head_name
from ..text import visible
from . import words
from .answers import grid
from .jobs import HeadInput, NextTokens, Residual, ResidualParts, Unit
from .opened import Context, OpenModel

SUM = "max |stream − Σ parts|"
RELATIVE = "max |stream − Σ parts| / max |stream|"
LOGIT = "max |Σ parts − logit|"
CAPPED = "soft-capped logits are not additive: these parts sum to the logit before the cap"


def next_tokens(job: NextTokens, bench: OpenModel, ctx: Context) -> Table:
    logits = bench.trace(job.run, None, ctx).logits[job.position]
    top = logits.topk(min(job.k, len(logits)))
    chances = (logits.double() if logits.device.type != "mps" else logits).softmax(-1)[top.indices]
    ids = top.indices.tolist()
    ranks = (1 + (logits[None] > top.values[:, None]).sum(1)).tolist()
    rows = zip(ranks, bench.texts(ids), ids, chances.tolist(), top.values.tolist(), strict=True)
    header = words.header(
        "next",
        "next token",
        "softmax(logits)",
        explanation="the likeliest next tokens after this position",
        convention=words.convention(bench.info, job.run),
        details={"position": job.position % len(job.run.ids)},
    )
    return Table(header, ("rank", "token", "id", "probability", "logit"), tuple(rows), bar="probability")


def residual_grid(job: Residual, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    trace = bench.trace(job.run, None, ctx)
    processed, ends = job.weights == "processed", bench.ends
    towards = _direction(job, bench) if job.measure == "answer" else None
    names, rows, total = [], [], torch.zeros_like(trace.embed)
    for name, part in residual.components(trace, _writers(bench, job.unit)):
        ctx.check()
        total = total + part
        names.append(name)
        rows.append(_measure(part, trace.resid_pre[-1], towards, bench, processed))
    rounding = trace.resid_pre[-1] - total
    checks = {
        SUM: float(rounding.abs().max()),
        RELATIVE: float(rounding.abs().max() / trace.resid_pre[-1].abs().max()),
    }
    values = torch.stack(rows)
    if towards is not None and job.answer is not None:
        rest = residual.attribution(ends, rounding, trace.resid_pre[-1], towards) + towards.bias
        wanted = residual.target(ends, trace.logits, job.answer, job.distractor)
        checks[LOGIT] = float((values.sum(0) + rest - wanted).abs().max())
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
    trace, processed, ends = bench.trace(job.run, None, ctx), job.weights == "processed", bench.ends
    at = job.position % len(job.run.ids)
    parts = residual.split(trace, _writers(bench, job.unit), positions=slice(at, at + 1))
    ctx.check()
    values = torch.cat([parts.values, parts.rounding[None]])[:, 0]
    norms = _lengths(values, bench, processed).tolist()
    rounding = float(parts.rounding.abs().max())
    checks = {SUM: rounding, RELATIVE: rounding / float(parts.stream.abs().max())}
    names = [*parts.names, "rounding"]
    columns: tuple[str, ...] = ("part", "norm")
    rows: list[tuple[Scalar, ...]] = list(zip(names, norms, strict=True))
    if job.answer is not None:
        towards = _direction(job, bench)
        shares = residual.attribution(ends, values, parts.stream, towards)
        wanted = residual.target(ends, trace.logits[at], job.answer, job.distractor)
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
        header, columns, tuple(rows), bar="answer" if job.measure == "answer" and job.answer is not None else "norm"
    )


def head_input(job: HeadInput, bench: OpenModel, ctx: Context) -> Table:
    bench.need("residual")
    if job.side != "v":
        bench.need("qk")
    trace, head = bench.trace(job.run, None, ctx), bench.head(job.layer, job.head, "raw")
    at = job.position % len(job.run.ids)
    parts = residual.split(trace, _writers(bench, job.unit), job.layer, slice(at, at + 1))
    ctx.check()
    names, shares = residual.head_input(head, parts, job.side)
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


def _writers(bench: OpenModel, unit: Unit) -> Callable[[int], Sequence[Tensor]] | None:
    """Every head's W_O of a layer, where parts are heads."""
    return bench.writers if unit == "head" else None


def _measure(
    part: Tensor, stream: Tensor, towards: residual.Direction | None, bench: OpenModel, processed: bool
) -> Tensor:
    """``part [p, d_model] → [p]``."""
    if towards is None:
        return _lengths(part, bench, processed)
    return residual.attribution(bench.ends, part, stream, towards)


def _lengths(x: Tensor, bench: OpenModel, processed: bool) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(fold.in_stream(x, bench.ends.final_norm, processed), dim=-1)
    return lengths


def _direction(job: Residual | ResidualParts, bench: OpenModel) -> residual.Direction:
    if job.answer is None:
        raise Refusal("The answer's direction needs an answer.", "Name the token that the prompt should end in.")
    bench.index((job.answer,) if job.distractor is None else (job.answer, job.distractor))
    return residual.direction(bench.ends, bench.unembedding("processed"), job.answer, job.distractor)


def _explain(job: Residual | ResidualParts, bench: OpenModel) -> str:
    where = "row = component, column = position: " if isinstance(job, Residual) else ""
    if job.measure == "norm" or job.answer is None:
        return f"{where}length of what it adds to the stream"
    toward = f"push toward {visible(bench.texts((job.answer,))[0])}"
    if job.distractor is not None:
        toward += f", away from {visible(bench.texts((job.distractor,))[0])}"
    elif not bench.ends.logit_cap:
        toward += " against the mean logit"
    return f"{where}{toward} at the final norm's frozen scale"


def _convention(job: Residual | ResidualParts, bench: OpenModel, unit: Unit) -> dict[str, Scalar]:
    answer = job.answer if isinstance(job, ResidualParts) or job.measure == "answer" else None
    return words.convention(
        bench.info,
        job.run,
        weights=job.weights,
        measure=job.measure,
        unit=unit,
        answer=None if answer is None else bench.texts((answer,))[0],
        distractor=None if answer is None or job.distractor is None else bench.texts((job.distractor,))[0],
        stream="centred" if job.weights == "processed" and bench.ends.final_norm.kind == "LayerNorm" else "as it is",
    )


def _details(job: Residual | ResidualParts, bench: OpenModel) -> dict[str, Scalar]:
    return {"note": CAPPED} if bench.ends.logit_cap and job.answer is not None else {}
