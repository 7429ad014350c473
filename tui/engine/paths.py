"""Path patching of a prompt pair: every sender to a receiver, exactly and estimated. Worker thread only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from ..circuits.errors import Refusal
from ..circuits.estimate import slopes
from ..circuits.patching import Pair
from ..circuits.paths import READS, SIDES, VARIANTS, Paths, Receiver, Sender, edges, receivers
from ..names import RECEIVERS, receiver_at
from ..results import Axis, Grid, Header, Scalar, Table, head_name
from . import targets, words
from .bench import Context
from .grids import grid
from .jobs import PathEdges, PathEstimate, PathGrid
from .jobs.paths import OfPair
from .opened import OpenModel
from .patching import FORMULA, check_pair, ends_of, measured, sweep_of, why_no_estimate

SAYS = {
    "direct": "clean into corrupted, through the corrupted run's frozen norm",
    "ioi": "corrupted into clean, heads between frozen, MLPs and norms computed again",
}
NO_EFFECT = {"direct": "0 nothing, 1 all of it", "ioi": "1 no effect, 0 as broken as the corrupted prompt"}
ESTIMATED = "from one backward pass: blind where effects cancel, weak where attention is saturated"


def path_grid(job: PathGrid, bench: OpenModel, ctx: Context) -> Grid:
    if job.variant not in VARIANTS:
        raise Refusal(f"{job.variant} is no way of patching a path.", f"There are {' and '.join(VARIANTS)}.")
    _refuse(job, bench)
    receiver = receiver_of(job.receiver, bench)
    clean, corrupted = ends_of(job.patching, bench, ctx)
    paths = Paths(sweep_of(job.patching, bench, ctx))
    batches = paths.batches(receiver)
    found: dict[Sender, float] = {}
    count = sum(map(len, batches))
    ctx.progress("paths", 0, count)
    for batch in batches:
        ctx.check()
        values = paths.values(receiver, batch, job.variant, ctx.check).double()
        recovered = (values - corrupted) / (clean - corrupted)
        found |= dict(zip(batch, recovered.tolist(), strict=True))
        ctx.progress("paths", len(found), count)
    header = _header(
        job, f"path patching: senders to {job.receiver}, {job.variant}", FORMULA,
        f"{job.variant}: {SAYS[job.variant]}; {job.metric} recovered, {NO_EFFECT[job.variant]}",
        bench, (clean, corrupted), receiver=job.receiver, variant=job.variant, metric=job.metric,
    )  # fmt: skip
    return _grid(header, found, "recovered", job.variant == "direct", bench)


def path_estimate(job: PathEstimate, bench: OpenModel, ctx: Context) -> Grid:
    receiver = receiver_of(job.receiver, bench)
    clean, corrupted, found = _edges(job, job.metric, [receiver], bench, ctx)
    header = _header(
        job, f"edge attribution, estimate: senders to {job.receiver}",
        "Σ (clean − corrupted)·∂metric/∂(receiver's input) / (metric clean − metric corrupted)",
        f"direct: {SAYS['direct']}; {job.metric} recovered, estimated, {NO_EFFECT['direct']}",
        bench, (clean, corrupted), receiver=job.receiver, variant="direct", metric=job.metric,
    )  # fmt: skip
    return _grid(_with(header, estimate=ESTIMATED), found[receiver], "estimate", True, bench)


def path_edges(job: PathEdges, bench: OpenModel, ctx: Context) -> Table:
    if bench.info.capabilities.plain:
        raise Refusal(bench.info.capabilities.plain)
    wanted = list(receivers(bench.live.forward))
    clean, corrupted, found = _edges(job, job.metric, wanted, bench, ctx)
    every = [(sender, receiver, effect) for receiver in wanted for sender, effect in found[receiver].items()]
    every.sort(key=lambda edge: -abs(edge[2]))  # stable: equal ones stay in the model's order
    rows = tuple((sender_name(a), receiver_name(b, bench), effect) for a, b, effect in every[: job.top])
    header = _header(
        job, "edge attribution, estimate: all edges",
        "Σ (clean − corrupted)·∂metric/∂(receiver's input) / (metric clean − metric corrupted)",
        f"the share of the {job.metric} that one part sends to one other, estimated: the strongest edges",
        bench, (clean, corrupted), variant="direct", metric=job.metric,
    )  # fmt: skip
    return Table(_with(header, estimate=ESTIMATED, edges=len(every)), ("sender", "receiver", "estimate"), rows,
                 bar="estimate")  # fmt: skip


def _edges(
    job: OfPair, metric: str, wanted: Sequence[Receiver], bench: OpenModel, ctx: Context
) -> tuple[float, float, Mapping[Receiver, Mapping[Sender, float]]]:
    """The metric at both ends, and each edge's share of the difference between them."""
    patching = PathGrid(job.clean, job.corrupted, job.target, metric=metric).patching  # type: ignore[arg-type]
    _refuse(job, bench)
    if why := why_no_estimate(patching, bench):
        raise Refusal(why, "Compute exact values instead.")
    clean, corrupted = ends_of(patching, bench, ctx)
    ctx.progress("estimate")
    other = sweep_of(patching, bench, ctx).pair.other
    # Gradients pass no tensors of inference mode, which every job runs in.
    with torch.inference_mode(False), torch.no_grad():
        live = bench.live
        value, reach = measured(job.target, metric, other, bench), live.reach(len(job.clean.ids))
        ids = torch.tensor(job.corrupted.ids, device=live.device)
        tape, slope = slopes(live.forward, ids, reach, value, ctx.check, READS)
        found = edges(Pair(live.forward, tape, other, reach), slope, wanted, value, ctx.check)
    scale = clean - corrupted
    shares = {to: {sender: effect / scale for sender, effect in row.items()} for to, row in found.items()}
    return clean, corrupted, shares


def _refuse(job: OfPair, bench: OpenModel) -> None:
    check_pair(job.clean, job.corrupted, bench)
    if bench.info.capabilities.plain:
        raise Refusal(f"Paths need the forward pass from plain tensors. {bench.info.capabilities.plain}",
                      "Patch activations instead.")  # fmt: skip


def receiver_of(name: str, bench: OpenModel) -> Receiver:
    """A receiver by its name; Refusal for one that the model does not have."""
    at, info = receiver_at(name), bench.info
    if at is None:
        raise Refusal(f"{name} receives nothing: {RECEIVERS}.")
    if at.layer is None:
        return Receiver()
    if not 0 <= at.layer < info.n_layers:
        raise Refusal(f"{name} does not exist: the layers of {info.name} are 0 to {info.n_layers - 1}.")
    if at.head is None:
        if bench.live.forward.block(at.layer).mlp is None:
            raise Refusal(f"{name} does not exist: that layer of {info.name} has no MLP.", "Choose a head or logits.")
        return Receiver("mlp", at.layer)
    if not at.head < info.n_heads:
        raise Refusal(f"{name} does not exist: the heads of {info.name} are L0H0 to "
                      f"{head_name(info.n_layers - 1, info.n_heads - 1)}.")  # fmt: skip
    size = info.n_heads // info.n_key_value_heads if at.kind in ("k", "v") else 1
    return Receiver(at.kind, at.layer, at.head // size)


def sender_name(sender: Sender) -> str:
    """``embed``, ``L0H1``, ``L0.mlp``."""
    if sender.layer is None:
        return "embed"
    return f"L{sender.layer}.mlp" if sender.head is None else head_name(sender.layer, sender.head)


def receiver_name(receiver: Receiver, bench: OpenModel) -> str:
    """``L2H1.q``; of keys and values that heads share: by the first of them, as it can be typed."""
    if receiver.kind not in SIDES or receiver.node is None or receiver.layer is None:
        return "logits" if receiver.layer is None else f"L{receiver.layer}.mlp"
    size = bench.info.n_heads // bench.info.n_key_value_heads if receiver.kind in ("k", "v") else 1
    return f"{head_name(receiver.layer, receiver.node * size)}.{receiver.kind}"


def _grid(header: Header, found: Mapping[Sender, float], column: str, around_zero: bool, bench: OpenModel) -> Grid:
    """A row for every part, also for those that come after the receiver: its picture has the same cells for all."""
    info = bench.info
    every = [Sender()]
    for layer in range(info.n_layers):
        every += [Sender(layer, head) for head in range(info.n_heads)]
        every += [Sender(layer)] if info.has_mlp else []
    values = torch.tensor([[found.get(sender, torch.nan)] for sender in every], dtype=torch.float64)
    rows = Axis("part", tuple(sender_name(sender) for sender in every))
    return grid(header, values, rows, Axis("value", (column,)), around_zero)


def _with(header: Header, **details: Scalar) -> Header:
    return replace(header, details={**header.details, **details})


def _header(
    job: OfPair, quantity: str, formula: str, explanation: str, bench: OpenModel, ends: tuple[float, float],
    **options: Scalar,
) -> Header:  # fmt: skip
    details: dict[str, Scalar] = {f"{options['metric']} clean": ends[0], "corrupted": ends[1]}
    info, at = bench.info, receiver_at(str(options.get("receiver", "")))
    if at is not None and at.kind in ("k", "v") and info.n_key_value_heads < info.n_heads and at.head is not None:
        size = info.n_heads // info.n_key_value_heads
        first = at.head // size * size
        details["shared"] = f"H{first}–{first + size - 1} share these keys and values: they are one node"
    if info.parallel_blocks:
        details["parallel blocks"] = "attention and MLP of a layer read the same stream: neither sends to the other"
    convention = words.convention(info, job.clean, **options, **targets.convention(bench, job.target))
    return words.header("paths", quantity, formula, explanation=explanation, convention=convention, details=details)
