"""Which heads feed which: composition scores, and the circuits of paths through two heads. Worker thread only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..circuits import composition as circuit
from ..circuits import ov as ov_circuit
from ..circuits import qk as qk_circuit
from ..circuits.basis import read, written
from ..circuits.errors import Refusal
from ..circuits.tensors import HeadWeights
from ..results import Axis, Grid, Header, Scalar, head_name
from . import words
from .bench import Context
from .grids import fits, grid, head_axis, write_details
from .jobs import AllComposition, Composed, Composition, HeadAt, VirtualOV, VirtualQK, Weights
from .opened import OpenModel
from .spectra import no_form

SECOND = {"q": "W_QK2", "k": "W_QK2ᵀ", "v": "W_OV2"}
"""What the write of head 1 is multiplied with."""


def composition(job: Composition, bench: OpenModel, ctx: Context) -> Grid:
    head = bench.head(job.layer, job.head, "processed")
    _needs(bench, job.kind)
    layers = range(job.layer) if job.direction == "from" else range(job.layer + 1, bench.info.n_layers)
    name = head_name(job.layer, job.head)
    if not layers:
        raise Refusal(
            f"{name} is in the first layer: no head comes before it."
            if job.direction == "from"
            else f"{name} is in the last layer: no head comes after it.",
            "Choose another head or the other direction.",
        )
    into = job.direction == "into"
    own = (circuit.writer(head) if into else circuit.reader(head, job.kind))[None]
    others = _readers(bench, job.kind) if into else _writers(bench)
    header, n = _composition_header(job, bench, head), circuit.dimensions(head)
    columns = Axis("figure", ("score", "z"))
    values = torch.full((len(layers), bench.info.n_heads, 2), torch.nan, dtype=torch.float64)
    for done, layer in enumerate(layers, 1):
        one, two = (own, others(layer, ctx)) if into else (others(layer, ctx), own)
        found = circuit.shared(one, two)
        figures = (circuit.scores(found, one, two), circuit.z_scores(found, one, two, n))
        values[done - 1] = torch.stack([figure.flatten().to(values) for figure in figures], 1)
        ctx.progress("composition", done, len(layers))
        told = replace(header, partial=done < len(layers))
        result = grid(told, values.flatten(0, 1), head_axis(bench, layers), columns)
        if told.partial:
            ctx.partial(result)
    return result


def all_composition(job: AllComposition, bench: OpenModel, ctx: Context) -> Grid:
    _needs(bench, job.kind)
    n_layers, n_heads = bench.info.n_layers, bench.info.n_heads
    if n_layers < 2:
        raise Refusal("This model has one layer: no head comes before another.", "Choose a model with more layers.")
    header = words.header(
        "composition",
        f"{job.kind.upper()}-composition of all pairs of heads",
        _formula(job.kind),
        explanation=f"row = head 1, column = head 2 of a later layer: how much of what the row writes the column reads "
        f"as its {words.SIDES[job.kind]}",
        convention=_convention(bench, kind=job.kind),
        details=_details(bench, bench.head(0, 0, "processed")),
    )
    axes = (head_axis(bench, name="head 1"), head_axis(bench, name="head 2"))
    values = torch.full((n_layers, n_heads, n_layers, n_heads), torch.nan)
    writers, readers = _writers(bench), _readers(bench, job.kind)
    total = n_layers * (n_layers - 1) // 2
    pairs = circuit.all_pairs(n_layers, lambda layer: writers(layer, ctx), lambda layer: readers(layer, ctx), ctx.check)
    for done, (earlier, later, scores) in enumerate(pairs, 1):
        values[earlier, :, later] = scores.cpu()
        ctx.progress("composition of all pairs", done, total)
        if earlier == later - 1 and done < total:
            ctx.partial(grid(replace(header, partial=True), values.flatten(2).flatten(0, 1), *axes, diverging=False))
    return grid(header, values.flatten(2).flatten(0, 1), *axes, diverging=False)


Cores = Callable[[int, Context], Tensor]
"""Layer → cores of its heads, ``[n_heads, d_head, d_model]``."""


def _writers(bench: OpenModel) -> Cores:
    return _cores(bench, circuit.writer)


def _readers(bench: OpenModel, kind: Composed) -> Cores:
    return _cores(bench, lambda head: circuit.reader(head, kind))


def _cores(bench: OpenModel, of: Callable[[HeadWeights], Tensor]) -> Cores:
    def cores(layer: int, ctx: Context) -> Tensor:
        ctx.check()
        first = of(bench.head(layer, 0, "processed"))
        out = first.new_empty((bench.info.n_heads, *first.shape))  # a list that is stacked would be a second copy
        out[0] = first
        for head in range(1, len(out)):
            ctx.check()
            out[head] = of(bench.head(layer, head, "processed"))
        return out

    return cores


def _needs(bench: OpenModel, kind: Composed) -> None:
    bench.need("ov")
    if kind != "v":
        bench.need("qk")
        no_form(bench.live.head(0, 0), "Composition")


def _formula(kind: Composed) -> str:
    return f"‖W_OV1 {SECOND[kind]}‖ / (‖W_OV1‖ ‖{SECOND[kind].removesuffix('ᵀ')}‖)"


def _convention(bench: OpenModel, **options: Scalar) -> dict[str, Scalar]:
    with_offset = options["kind"] != "v" and bench.info.positions == "rotary"
    return words.convention(bench.info, None, weights="processed", **options, offset=0 if with_offset else None)


def _details(bench: OpenModel, head: HeadWeights) -> dict[str, Scalar]:
    n = circuit.dimensions(head)
    return {"score of random rotations": round(n**-0.5, 4), **_post_norm(head, folded=True)}


def _post_norm(first: HeadWeights, folded: bool) -> dict[str, Scalar]:
    """Where head 1's write goes through a norm of its own."""
    if first.post_w is None:
        return {}
    gain = "its w is in W_O" if folded else "its w is left out as well"
    return {"post-norm": f"what head 1 writes is normalised; {gain}, the scale is left out"}


def _composition_header(job: Composition, bench: OpenModel, head: HeadWeights) -> Header:
    name, side = head_name(job.layer, job.head), words.SIDES[job.kind]
    what = (
        f"row = earlier head: how much of what it writes {name} reads as its {side}"
        if job.direction == "from"
        else f"row = later head: how much of what {name} writes it reads as its {side}"
    )
    return words.header(
        "composition",
        f"{job.kind.upper()}-composition",
        _formula(job.kind),
        head=name,
        explanation=f"{what}; z: the squared score against random rotations of the same two heads",
        convention=_convention(
            bench,
            kind=job.kind,
            direction=job.direction,
            rotations=f"of the {circuit.dimensions(head)} dimensions that the weights live in, mean and variance exact",
        ),
        details=_details(bench, head),
    )


def virtual_ov(job: VirtualOV, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("ov")
    first, second = _path(bench, job.path, job.weights)
    outputs, columns = bench.output_columns(job.outputs)
    fits(len(job.sources), len(outputs))
    ctx.check()
    moved = ov_circuit.write(second, _through(first, bench, job.sources, job.weights))
    values = ov_circuit.outputs(bench.unembedding(job.weights), moved, bench.output_index(outputs))
    one, two = (head_name(*at) for at in job.path)
    header = words.header(
        "virtual-ov",
        "OV circuit of a path of two heads",
        "x_i W_OV1 W_OV2 W_U",
        unit="logit",
        head=f"{one} → {two}",
        explanation=f"row = source, column = output: what {two} adds when it attends fully to a place where {one} "
        "attends fully to the source",
        convention=words.convention(bench.info, weights=job.weights, basis="embed", path=f"{one}, {two}"),
        details=write_details("heads" if first.post_w is not None else "", "W_O", job.weights == "processed", bench),
    )
    return grid(header, values, bench.axis("source", job.sources), columns)


def virtual_qk(job: VirtualQK, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("qk")
    bench.need("ov")
    first, second = _path(bench, job.path, job.weights)
    no_form(second, "A path")
    fits(len(job.rows), len(job.cols))
    ctx.check()
    on_key = job.side == "k"
    plain = _embedded(second, bench, job.rows if on_key else job.cols, job.weights)
    moved = _through(first, bench, job.cols if on_key else job.rows, job.weights)
    x_query, x_key = (plain, moved) if on_key else (moved, plain)
    q, k = qk_circuit.queries(second, x_query, "bilinear"), qk_circuit.keys(second, x_key, "bilinear")
    values = qk_circuit.scores(second, q, k, "bilinear")
    one, two = (head_name(*at) for at in job.path)
    header = words.header(
        "virtual-qk",
        f"QK circuit of {two} through {one}, {words.SIDES[job.side]} side",
        "x_i W_QK2 (x_j W_OV1)ᵀ" if on_key else "(x_i W_OV1) W_QK2 x_jᵀ",
        head=f"{one} → {two}",
        explanation=f"row = query, column = key: how much {two} at the query wants a place where {one} attends fully "
        "to the column's token"
        if on_key
        else f"row = query, column = key: how much {two}, at a place where {one} attends fully to the row's token, "
        "wants the key",
        convention=words.convention(
            bench.info,
            weights=job.weights,
            basis="embed",
            path=f"{one}, {two}",
            side=job.side,
            scale="attn_scale and biases left out",
            offset=0 if bench.info.positions == "rotary" else None,
        ),
        details=_post_norm(first, job.weights == "processed"),
    )
    return grid(header, values, bench.axis("query", job.rows), bench.axis("key", job.cols))


def _path(bench: OpenModel, path: tuple[HeadAt, HeadAt], weights: Weights) -> tuple[HeadWeights, HeadWeights]:
    first, second = (bench.head(layer, head, weights) for layer, head in path)
    if first.layer >= second.layer:
        one, two = (head_name(*at) for at in path)
        raise Refusal(
            f"{two} cannot read what {one} writes: it is not in a later layer.",
            "Name the head of the earlier layer first.",
        )
    return first, second


def _through(head: HeadWeights, bench: OpenModel, ids: tuple[int, ...], weights: Weights) -> Tensor:
    """``x W_V W_O [n, d_model]``: what the head moves of tokens."""
    return ov_circuit.write(head, _embedded(head, bench, ids, weights))


def _embedded(head: HeadWeights, bench: OpenModel, ids: tuple[int, ...], weights: Weights) -> Tensor:
    """``x [n, d_model]``: what the head reads of tokens in basis embed."""
    return read(written(bench.ends, "embed", bench.index(ids)), "embed", head.norm, weights == "processed")
