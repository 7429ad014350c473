"""Weights and attention: how each job about a head is answered, from the tensors to a Result. Worker thread only.

Each function checks the options, calls ``circuits``, and writes down what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..circuits import ov as ov_circuit
from ..circuits import pattern as attention
from ..circuits import qk as qk_circuit
from ..circuits.basis import positions, read, written
from ..circuits.errors import Refusal
from ..circuits.normalise import Baseline, normalise
from ..circuits.tensors import HeadWeights
from ..results import Curve, Gallery, Grid, Scalar, Table, frozen, head_name
from . import words
from .bench import Context
from .grids import fits, grid, numbers, ov_details, ranked_table, refuse_basis, refuse_offset
from .jobs import OV, QK, LayerPatterns, OVRow, Pattern, QKDistance
from .jobs.changes import set_by
from .jobs.parts import HeadSum, KeyMoments, Rank, VocabularyKeys
from .opened import OpenModel, place, refuse_set

SOFTMAX = "max |softmax(scaled) − pattern|"
SOFTMAX_OF_SCORES = "max |softmax(scores) − pattern|"
HEADS = "max |concat(z) W_O − Σ z_h W_O^h|"
OUTPUT = "max |Σ z_h W_O^h + b_O − attention output|"


def pattern(job: Pattern, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("scores" if job.kind == "scores" else "pattern")
    trace, head = bench.trace(job.run, job.layer, ctx), bench.head(job.layer, job.head, "raw")
    visible = attention.visible(trace, job.layer, job.head)
    if job.kind == "pattern":
        values = trace.patterns[job.layer][job.head]
    elif job.kind == "scores":
        values = attention.activation_scores(head, trace)
    else:
        refuse_set(job.run, ("z",), job.layer, job.head, "what the head moves is not what it writes")
        values = attention.value_weighted(head, trace)
    checks: dict[str, float] = {}
    if not bench.info.capabilities.scores and set_by(job.run, ("q", "k", "pattern"), job.layer, job.head) is None:
        # From the weights and the stream; where one head has no QK circuit of its own, from the model's q and k.
        of_weights = not bench.info.capabilities.qk
        scores = (attention.scaled_on_prompt if of_weights else attention.activation_scores)(head, trace)
        name = SOFTMAX if of_weights else SOFTMAX_OF_SCORES
        checks[name] = attention.softmax_error(scores, trace, head)
    whole, output = ctx.get(HeadSum(job.run, job.layer))
    checks |= {HEADS: whole, OUTPUT: output}
    rank = Rank(job.run.model, job.layer, job.head, "raw", "QK")
    header = words.pattern(job, bench.info, _path(head, bench), checks, _qk_details(bench, head, rank, ctx))
    queries, keys = bench.axis("query", job.run.ids), bench.axis("key", job.run.ids)
    return grid(header, values.masked_fill(~visible, torch.nan), queries, keys, diverging=job.kind == "scores")


def head_sum(job: HeadSum, bench: OpenModel, ctx: Context) -> tuple[float, float]:
    joined = None if bench.info.capabilities.plain else bench.live.forward.block(job.layer).W_O
    trace = bench.trace(job.run, job.layer, ctx)
    return attention.head_sum_errors(bench.writers(job.layer), trace, job.layer, joined)


def rank(job: Rank, bench: OpenModel, ctx: Context) -> int:
    head = bench.head(job.layer, job.head, job.weights)
    return qk_circuit.rank(*((head.W_Q, head.W_K) if job.circuit == "QK" else (head.W_V, head.W_O.mT)))


def layer_patterns(job: LayerPatterns, bench: OpenModel, ctx: Context) -> Gallery:
    bench.need("pattern")
    trace = bench.trace(job.run, job.layer, ctx)
    queries, keys = bench.axis("query", job.run.ids), bench.axis("key", job.run.ids)
    whole, output = ctx.get(HeadSum(job.run, job.layer))
    checks = {HEADS: whole, OUTPUT: output}
    path = _path(bench.head(job.layer, 0, "raw"), bench)
    grids = []
    for index in range(bench.info.n_heads):
        ctx.check()
        one = Pattern(job.run, job.layer, index)
        values = trace.patterns[job.layer][index].masked_fill(~attention.visible(trace, job.layer, index), torch.nan)
        grids.append(grid(words.pattern(one, bench.info, path, checks, {}), values, queries, keys, diverging=False))
    return Gallery(words.pattern(job, bench.info, path, checks, {}), tuple(grids))


def qk(job: QK, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("qk")
    head = bench.head(job.layer, job.head, job.weights)
    _refuse(job, bench)
    details = _qk_details(bench, head, Rank(job.model, job.layer, job.head, job.weights, "QK"), ctx)
    if job.basis == "prompt":
        return _qk_on_prompt(job, head, details, bench, ctx)
    at_query, at_key = (side == "position" for side in job.term.split("-"))
    offset = job.offset if head.rotate is not None else 0
    apart = head.q_positions is not None  # positions that go through no norm: a shortformer's
    if at_query and apart:
        q = qk_circuit.of_positions(head, "q", len(job.rows), job.form)
    else:
        q = qk_circuit.queries(head, _seen(job, head, bench, job.rows, at_query), job.form, offset)
    if at_key and apart:
        k = qk_circuit.of_positions(head, "k", len(job.cols), job.form)
    else:
        k = qk_circuit.keys(head, _seen(job, head, bench, job.cols, at_key), job.form)
    values = qk_circuit.scores(head, q, k, job.form)
    baseline: Baseline | None = None
    other = ""
    if job.normalize != "none" and job.baseline == "vocabulary":
        baseline, other = _key_baseline(job, head, q, at_key, bench, ctx)
    header = words.qk(job, bench.info, _path(head, bench), {}, details, other)
    return grid(
        header,
        normalise(values, job.normalize, baseline),
        bench.positions("query", len(job.rows)) if at_query else bench.axis("query", job.rows),
        bench.positions("key", len(job.cols)) if at_key else bench.axis("key", job.cols),
        diverging=job.normalize != "softmax",
    )


def _refuse(job: QK, bench: OpenModel) -> None:
    fits(len(job.rows), len(job.cols))
    if job.basis == "prompt" and job.term != "token-token":
        raise Refusal("Basis prompt has no position terms: the stream holds both.", "Choose basis embed.")
    if job.basis == "prompt" and job.normalize != "none" and job.baseline == "vocabulary":
        raise Refusal(
            "Basis prompt has no vocabulary baseline: its keys are positions of the prompt.",
            "Use the baseline of the shown cells.",
        )
    refuse_basis(job.basis, job.layer)
    if job.term != "token-token":
        bench.need("position_terms")
    refuse_offset(bench, job.offset)


def _seen(job: QK | QKDistance, head: HeadWeights, bench: OpenModel, ids: tuple[int, ...], position: bool) -> Tensor:
    """What the head reads for listed tokens, or for as many positions."""
    ends = bench.ends
    x = positions(ends, len(ids), job.basis) if position else written(ends, job.basis, bench.index(ids))
    return read(x, job.basis, head.norm, job.weights == "processed")


def _key_baseline(
    job: QK, head: HeadWeights, q: Tensor, at_key: bool, bench: OpenModel, ctx: Context
) -> tuple[Baseline, str]:
    """Row statistics over all keys there are, and those keys in words."""
    if at_key:
        if head.k_positions is not None:
            k = qk_circuit.of_positions(head, "k", None, job.form)
        else:
            x = read(positions(bench.ends, None, job.basis), job.basis, head.norm, job.weights == "processed")
            k = qk_circuit.keys(head, x, job.form)
        return qk_circuit.streamed(head, q, k, job.form, ctx.check), "all positions"
    part = VocabularyKeys(job.model, job.layer, job.head, job.weights, job.basis, job.form)
    if qk_circuit.from_moments(head, job.form, job.normalize):
        scale = head.attn_scale if job.form == "scaled" else 1.0
        return ctx.get(KeyMoments(part)).baseline(q, scale), ""
    return qk_circuit.streamed(head, q, ctx.get(part), job.form, ctx.check), ""


def _qk_on_prompt(job: QK, head: HeadWeights, details: Mapping[str, Scalar], bench: OpenModel, ctx: Context) -> Grid:
    if job.run is None:
        raise Refusal("Basis prompt needs a prompt.", "Type one, or choose basis embed for a token list.")
    bench.need("scores")
    trace = bench.trace(job.run, job.layer, ctx)
    x = head.norm(trace.resid_pre[job.layer])
    at = torch.arange(len(x), device=x.device)
    q, k = qk_circuit.queries(head, x, job.form, at), qk_circuit.keys(head, x, job.form, at)
    values = qk_circuit.scores(head, q, k, job.form, attention.score_bias(trace, job.layer, job.head))
    checks = {}
    if job.form == "scaled":
        checks[SOFTMAX] = attention.softmax_error(values, trace, head)
    return grid(
        words.qk(job, bench.info, _path(head, bench), checks, details, ""),
        normalise(values, job.normalize, visible=attention.visible(trace, job.layer, job.head)),
        bench.axis("query", job.run.ids),
        bench.axis("key", job.run.ids),
        diverging=job.normalize != "softmax",
    )


def _path(head: HeadWeights, bench: OpenModel) -> words.Path:
    """What is in this head's scores besides its weights, for the formula."""
    joint = bool(bench.info.capabilities.qk and bench.live.joins_heads())
    normed = (joint or head.q_norm is not None, joint or head.k_norm is not None)
    return words.Path(normed, head.rotate is not None, head.soft_cap)


def _qk_details(bench: OpenModel, head: HeadWeights, rank: Rank, ctx: Context) -> dict[str, Scalar]:
    d = bench.info.d_model
    if any(_path(head, bench).normed):
        return {"attn_scale": head.attn_scale, "W_QK": "not one form: queries and keys are normalised on the way"}
    return {"attn_scale": head.attn_scale, "W_QK": f"[{d}, {d}], rank {ctx.get(rank)}"}


def qk_distance(job: QKDistance, bench: OpenModel, ctx: Context) -> Curve:
    bench.need("qk")
    bench.need("offset")
    if job.basis == "prompt":
        raise Refusal("Basis prompt stands at its real positions.", "Choose basis embed.")
    head = bench.head(job.layer, job.head, job.weights)
    stop = min(job.max_offset, bench.info.n_ctx - 1)
    x_query, x_key = (_seen(job, head, bench, (token,), False)[0] for token in (job.row, job.col))
    values = qk_circuit.by_distance(head, x_query, x_key, job.form, stop)
    query, key = bench.texts((job.row, job.col))
    header = words.header(
        "qk",
        f"QK circuit by distance, {job.form}",
        words.qk_formula(job, _path(head, bench)),
        head=head_name(job.layer, job.head),
        explanation=f"how much {query!r} wants {key!r} standing so many positions before it, by the weights alone",
        convention=words.convention(bench.info, weights=job.weights, form=job.form, basis=job.basis),
    )
    return Curve(header, "distance", "score", frozen(np.arange(stop + 1)), {f"{query} → {key}": numbers(values)})


def ov(job: OV, bench: OpenModel, ctx: Context) -> Grid:
    bench.need("ov")
    y, head = _source(job, bench, ctx)
    whole = job.outputs is None or bool(bench.info.classes)
    columns, axis = bench.output_columns(job.outputs)
    fits(len(y), len(columns))
    unembed = bench.unembedding(job.weights)
    if whole:
        values = ov_circuit.all_outputs(unembed, y, ctx.check)
    else:
        values = ov_circuit.outputs(unembed, y, bench.output_index(columns))
    over_all = job.normalize != "none" and job.baseline == "vocabulary" and not whole
    baseline = ov_circuit.vocabulary_baseline(unembed, y, ctx.check) if over_all else None
    details: dict[str, Scalar] = {}
    if head is not None:
        d, rank = bench.info.d_model, ctx.get(Rank(job.model, job.layer, head.head, job.weights, "OV"))
        details["W_OV"] = f"[{d}, {d}], rank {rank}"
    details |= ov_details(head, job.weights, bench)
    return grid(
        words.ov(job, bench.info, details),
        normalise(values, job.normalize, baseline),
        bench.axis("source", job.sources if job.basis != "prompt" or job.run is None else job.run.ids),
        axis,
        diverging=job.normalize != "softmax",
    )


def _source(job: OV | OVRow, bench: OpenModel, ctx: Context) -> tuple[Tensor, HeadWeights | None]:
    """``x W_V W_O [n, d_model]`` of the sources (x itself on the direct path), and the head."""
    processed, ends = job.weights == "processed", bench.ends
    if job.head is None:
        bench.need("one_vocabulary")  # bigrams: a token, and the token after it
    head = None if job.head is None else bench.head(job.layer, job.head, job.weights)
    norm = bench.final_norm(job.weights) if head is None else head.norm
    if job.basis == "prompt":
        if job.run is None or head is None:
            raise Refusal(
                "The direct path has no basis prompt." if head is None else "Basis prompt needs a prompt.",
                "Choose basis embed.",
            )
        x = bench.trace(job.run, None, ctx).resid_pre[job.layer]
        if isinstance(job, OVRow):
            x = x[place(job.run, -1 if job.position is None else job.position)][None]
    else:
        refuse_basis(job.basis, None if head is None else job.layer)
        ids = job.sources if isinstance(job, OV) else (job.source,)
        x = written(ends, job.basis, bench.index(ids))
    return ov_circuit.write(head, read(x, job.basis, norm, processed)), head


def ov_row(job: OVRow, bench: OpenModel, ctx: Context) -> Table:
    bench.need("ov")
    y, head = _source(job, bench, ctx)
    shown = bench.output_columns(job.outputs)[0]
    bench.output_index(shown)
    row = ov_circuit.ranked(bench.unembedding(job.weights), y[0], job.k, shown, ctx.check)
    header = words.ov(
        OV(job.model, job.layer, job.head, (job.source,), None, job.weights, basis=job.basis, run=job.run),
        bench.info,
        {"source": bench.texts((job.source,))[0], **ov_details(head, job.weights, bench)},
    )
    return ranked_table(header, row, bench, shown)
