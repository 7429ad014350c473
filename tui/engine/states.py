"""The states of the residual stream: which there are, how long, how alike, and what is written there. Worker only."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import names
from ..circuits import fold, residual
from ..circuits import lens as circuit
from ..circuits.errors import Refusal
from ..results import Axis, Grid, Scalar
from . import words
from .bench import Context
from .grids import grid
from .jobs import Run, Stream, Weights, WriteCosines
from .opened import OpenModel, place


def state_names(bench: OpenModel, mids: bool) -> tuple[str, ...]:
    """The states that this model has, in the order in which it makes them."""
    bench.need("residual")
    if mids:
        bench.need("states_mid")
    return names.state_names(bench.info.n_layers, mids)


def state_at(bench: OpenModel, run: Run, name: str, position: int, ctx: Context) -> tuple[Tensor, Tensor, int]:
    """A state ``[d_model]``, the model's own logits ``[d_vocab]`` and the position counted from the start."""
    every = names.state_names(bench.info.n_layers, mids=True)
    if name not in every:
        raise Refusal(f"There is no state {name} in {bench.info.name}.", f"States are {every[0]} to {every[-1]}.")
    state_names(bench, mids=name.endswith(".mid"))
    trace, at = bench.trace(run, None, ctx), place(run, position)
    return circuit.state(trace, name)[at], trace.logits[at], at


def stream(job: Stream, bench: OpenModel, ctx: Context) -> Grid:
    names = state_names(bench, job.mids)
    trace = bench.trace(job.run, None, ctx)
    final = in_stream(bench, trace.resid_pre[-1], job.weights)
    rows = []
    for name in names:
        ctx.check()
        x = in_stream(bench, circuit.state(trace, name), job.weights)
        rows.append(torch.linalg.vector_norm(x, dim=-1) if job.measure == "norm" else circuit.cosines(x, final))
    norm = job.measure == "norm"
    what = "length of the stream there" if norm else "cosine with the final state at that position"
    header = words.header(
        "stream",
        "norm of the stream's states" if norm else "cosine of the stream's states with the final one",
        "‖x‖" if norm else "x·final / (‖x‖ ‖final‖)",
        explanation=f"row = state, column = position: {what}",
        convention=_convention(bench, job, measure=job.measure),
    )
    columns = bench.axis("position", job.run.ids)
    return grid(header, torch.stack(rows), Axis("state", names), columns, diverging=not norm)


def write_cosines(job: WriteCosines, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("residual")
    trace, at = bench.trace(job.run, None, ctx), place(job.run, job.position)
    parts = residual.split(trace, bench.writers if job.unit == "head" else None, positions=slice(at, at + 1))
    ctx.check()
    writes = in_stream(bench, parts.values[:, 0], job.weights)
    header = words.header(
        "stream",
        f"cosines between writes at position {at}",
        "a·b / (‖a‖ ‖b‖)",
        explanation="row = component, column = component: +1 they write the same way, 0 unrelated, −1 opposite",
        convention=_convention(bench, job, unit=job.unit, position=at),
    )
    axis = Axis("component", parts.names)
    return grid(header, circuit.cosines(writes[:, None], writes[None]), axis, axis)


def in_stream(bench: OpenModel, x: Tensor, weights: Weights) -> Tensor:
    """States or writes ``[…, d_model]`` as the weights have the stream."""
    return fold.in_stream(x, bench.ends.final_norm, weights == "processed")


def _convention(bench: OpenModel, job: Stream | WriteCosines, **options: Scalar) -> dict[str, Scalar]:
    return words.convention(bench.info, job.run, weights=job.weights, stream=stream_form(bench, job.weights), **options)


def stream_form(bench: OpenModel, weights: Weights) -> str:
    """``in_stream`` in a word, for a header."""
    return "centred" if weights == "processed" and bench.ends.final_norm.kind == "LayerNorm" else "as it is"
