"""What activations are over a reference: a file of prompts that mean, noise and resample ablations read. Worker thread
only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..circuits.errors import Refusal
from ..circuits.forward import Edit
from ..circuits.over import Running
from ..circuits.tensors import Trace
from .bench import Context
from .jobs import ReferenceMoments
from .opened import OpenModel


@dataclass(frozen=True, eq=False)
class References:
    """What a point is over a reference; a tensor a layer, ``[n or 1, …]`` float32."""

    means: tuple[Tensor, ...]
    spreads: tuple[Tensor, ...]
    per_position: bool
    count: int
    """Rows of the reference."""


def of_trace(trace: Trace, point: str, layer: int, bench: OpenModel) -> Tensor:
    """``[n, …]``: an activation of another run."""
    if point == "z":
        return trace.z[layer]
    if point == "mlp_out":
        assert trace.mlp_out is not None
        return trace.mlp_out[layer]
    stream = trace.resid_pre[layer] if trace.resid_mid is None else trace.resid_mid[layer]
    return bench.mlp(layer).activations(stream)


def reference_moments(job: ReferenceMoments, bench: OpenModel, ctx: Context) -> References:
    """One pass over the reference for all layers: prompts of one length together, unpadded."""
    runs = job.reference.runs
    if not runs:
        raise Refusal(f"There is no prompt in {job.reference.name}.", "Write one a line.")
    per_position = job.length > 0 and job.reference.all_of(job.length)
    sums = [Running() for _ in range(bench.info.n_layers)]

    def read(layer: int, value: Tensor) -> None:
        for row in value:
            for part in (row,) if per_position else row.unbind(0):
                sums[layer] = sums[layer].add(part)

    done = 0
    for batch in batches([run.ids for run in runs]):
        over(batch, job.point, read, bench, ctx)
        done += len(batch)
        ctx.progress("reference", done, len(runs))
    device = bench.live.device

    def laid(values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple((value if per_position else value[None]).float().to(device) for value in values)

    return References(
        laid([one.mean for one in sums]), laid([one.spread for one in sums]), per_position, len(runs)
    )  # fmt: skip


def over(
    ids: Sequence[Sequence[int]], point: str, read: Callable[[int, Tensor], None], bench: OpenModel, ctx: Context
) -> None:
    """One forward pass of prompts of one length: ``read(layer, [b, n, …])`` gets each layer's activation."""
    if bench.info.capabilities.plain:
        for trace in bench.live.traces(list(ids), (), ctx.check):
            for layer in range(bench.info.n_layers):
                read(layer, of_trace(trace, point, layer, bench)[None])
        return

    def look(layer: int) -> Edit:
        def seen(value: Tensor) -> Tensor:
            read(layer, value)
            return value

        return seen

    forward = bench.live.forward
    index = torch.stack([bench.index(tuple(row)) for row in ids])
    edits = {(point, layer): look(layer) for layer in range(bench.info.n_layers)}
    forward.run(forward.embed(index), bench.live.reach(index.shape[1]), 0, edits, ctx.check)


BATCH = 2048
"""Tokens of a forward pass over a reference."""


def batches(ids: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Prompts of one length, those of each length in their order, as many as one forward pass takes."""
    by_length: dict[int, list[Sequence[int]]] = {}
    for row in ids:
        by_length.setdefault(len(row), []).append(row)
    for n, rows in by_length.items():
        size = max(1, BATCH // n)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
