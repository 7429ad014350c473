"""Searches over a whole vocabulary: a token's best partners, a head's strongest pairs, nearest tokens. Worker only."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..circuits import pairs as circuit
from ..circuits import partners as one_token
from ..circuits.basis import BLOCK
from ..circuits.errors import Refusal
from ..circuits.exact import Factors
from ..circuits.normalise import double
from ..circuits.ranking import ranking
from ..circuits.tensors import HeadWeights
from ..results import Header, Scalar, Table, head_name
from ..text import visible
from . import words
from .bench import Context
from .grids import ov_details, refuse_basis, refuse_offset
from .jobs import Basis, Circuit, Nearest, Partners, PartnerSide, TokenFilter, TopPairs, Weights
from .jobs.finding import side_of
from .jobs.parts import AllowedTokens, VocabularySide
from .opened import OpenModel

CPU_SIDE, ACCELERATOR_SIDE, LEAST_SIDE = 1024, 4096, 16
"""A tile has as many products as a square of this side: on a CPU 4 MB, which stay in its cache."""
OTHER: dict[PartnerSide, PartnerSide] = {"query": "key", "key": "query", "source": "output", "output": "source"}
"""The side that a side is multiplied with."""
TILE_BYTES = 32
"""What a product of a tile costs at most while its best are picked: the product, a mark, two copies and indices."""
CHECKED = 4096
"""Tokens whose texts are filtered between two checks."""
SIDES: dict[PartnerSide, tuple[str, str]] = {
    "query": ("keys", "the keys that {} as query seeks most"),
    "key": ("queries", "the queries that seek {} as key most"),
    "source": ("outputs", "the outputs that the head promotes most when it attends fully to {}"),
    "output": ("sources", "the sources that promote {} most when the head attends fully to them"),
}
"""What is ranked, and in words."""


def refuse(bench: OpenModel, kind: Circuit, basis: Basis, layer: int | None, offset: int) -> None:
    """What no search over the vocabulary can be asked for; ``layer`` None: all of them."""
    bench.need(kind)
    if basis == "prompt":
        raise Refusal("Basis prompt is the stream of one prompt: the vocabulary has none.", "Use basis embed.")
    refuse_basis(basis, layer)
    if kind == "qk":
        refuse_offset(bench, offset)


def qk_path(head: HeadWeights) -> words.Path:
    """What is in this head's bilinear form besides its weights, for the formula."""
    return words.Path((head.q_norm is not None, head.k_norm is not None), head.rotate is not None)


def vocabulary_side(job: VocabularySide, bench: OpenModel, ctx: Context) -> Tensor:
    sides = _sides(bench, job.layer, job.head, job.weights, job.basis, job.offset, job.side == "output")
    rows = bench.live.outputs.d_vocab if job.side == "output" else bench.info.d_vocab
    stage, total, done = f"{job.side} side of {head_name(job.layer, job.head)}", rows, 0
    out: Tensor | None = None
    for block in sides.blocks(job.side, ctx.check):
        if out is None:
            out = block.new_empty(total, block.shape[1])
        out[done : done + len(block)] = block
        done += len(block)
        ctx.progress(stage, done, total)
    assert out is not None
    return out


def _sides(
    bench: OpenModel, layer: int, head: int, weights: Weights, basis: str, offset: int, outputs: bool
) -> one_token.Sides:
    """``outputs``: whether that side is wanted; without it the unembedding is not laid out."""
    unembed, weights_of = bench.unembedding(weights) if outputs else None, bench.head(layer, head, weights)
    return one_token.Sides(bench.ends, unembed, weights_of, basis, weights == "processed", offset)


def allowed_tokens(job: AllowedTokens, bench: OpenModel, ctx: Context) -> np.ndarray:
    try:
        pattern = re.compile(job.pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise Refusal(
            f"The pattern {job.pattern!r} does not compile: {error}.", "Write a regular expression, such as ^ [A-Z]."
        ) from None
    out = np.zeros(bench.info.d_vocab, dtype=bool)
    for index, text in enumerate(bench.live.tokens.all_texts):
        if index % CHECKED == 0:
            ctx.check()
        out[index] = len(text.strip()) >= job.shortest and pattern.search(text) is not None
    return out


def _allowed(chosen: TokenFilter, job: Partners | TopPairs, bench: OpenModel, ctx: Context) -> np.ndarray | None:
    """``[d_vocab]`` bool; None where the texts may be any."""
    if chosen.shortest <= 0 and not chosen.pattern:
        return None
    out: np.ndarray = ctx.get(AllowedTokens(job.model, chosen.shortest, chosen.pattern))
    if not out.any():
        raise Refusal("No token of the vocabulary passes the filter.", "Ask for fewer characters or another pattern.")
    return out


def partners(job: Partners, bench: OpenModel, ctx: Context) -> Table:
    kind: Circuit = "qk" if job.side in ("query", "key") else "ov"
    refuse(bench, kind, job.basis, job.layer, job.offset)
    to_classes, of_class = (bool(bench.info.classes) and side == "output" for side in (OTHER[job.side], job.side))
    token = (bench.live.outputs if of_class else bench.live.tokens).text(job.token)
    sides = _sides(bench, job.layer, job.head, job.weights, job.basis, job.offset, job.side == "output")
    whole: Tensor = ctx.get(side_of(job, OTHER[job.side]))
    vector = sides.rows(job.side, slice(job.token, job.token + 1))[0]
    row = (whole @ vector).cpu().numpy()
    allowed = None if to_classes else _allowed(job.filter, job, bench, ctx)
    if job.filter.same and not (to_classes or of_class):
        allowed = np.ones(len(row), dtype=bool) if allowed is None else allowed.copy()
        allowed[job.token] = False
    found = ranking(row, job.k, allowed, Factors(_picked(whole), vector))
    texts = (bench.live.outputs if to_classes else bench.live.tokens).all_texts
    ids = found.ids.tolist()
    rows = zip(
        found.ranks.tolist(),
        (texts[i] for i in ids),
        ids,
        found.values.tolist(),
        one_token.z_scores(row, found.values).tolist(),
        strict=True,
    )
    over = "all classes" if to_classes else "the whole vocabulary"
    details: dict[str, Scalar] = {"token": token, "id": job.token}
    if allowed is not None:
        details["ranks"] = "in the whole row, before the filter"
    ranked, sentence = SIDES[job.side]
    header = _header(
        job, bench, "partners", kind, sides.head, allowed,
        quantity=f"best {ranked} of one {'class' if of_class else 'token'}, {kind.upper()} circuit",
        explanation=f"{sentence.format(token if of_class else visible(token))}; z: against its row over {over}",
        details=details,
        side=job.side,
    )  # fmt: skip
    return Table(header, ("rank", "token", "id", "value", "z"), tuple(rows), bar="value")


def top_pairs(job: TopPairs, bench: OpenModel, ctx: Context) -> Table:
    refuse(bench, job.circuit, job.basis, job.layer, job.offset)
    of_qk = job.circuit == "qk"
    sides = _sides(bench, job.layer, job.head, job.weights, job.basis, job.offset, not of_qk)
    allowed = _allowed(job.filter, job, bench, ctx)
    ids = np.arange(bench.info.d_vocab) if allowed is None else np.flatnonzero(allowed)
    left: PartnerSide = "query" if of_qk else "source"
    size, kept = _tile_side(job, bench, sides.head)
    right = _picked(ctx.get(side_of(job, OTHER[left])))

    def made(some: Tensor) -> Tensor:
        return torch.cat([sides.rows(left, part) for part in torch.split(some, size)])

    rows = _picked(ctx.get(side_of(job, left))) if kept else made
    chosen = torch.from_numpy(ids).to(bench.ends.W_E.device)
    if bench.info.classes and not of_qk:
        sweeps, n = _with_classes(rows, ctx.get(side_of(job, "output")), chosen, job.k, ctx), len(bench.info.classes)
    else:
        sweeps, n = circuit.strongest(rows, right, chosen, job.k, job.filter.same, size, ctx.check), len(ids)
    for sweep in sweeps:
        ctx.progress("strongest pairs", sweep.done, sweep.tiles)
        found = _pairs_table(job, bench, sides.head, allowed, sweep, len(ids) * n)
        if sweep.done < sweep.tiles:
            ctx.partial(found)
    return found


def _with_classes(left: circuit.Side, right: Tensor, ids: Tensor, k: int, ctx: Context) -> Iterator[circuit.Sweep]:
    """Every pair of a token and an output class: so few that all products are made, in float64."""
    nothing, n = np.zeros(0, dtype=np.int64), len(right)
    best, blocks = circuit.Best(np.zeros(0), nothing, nothing), -(-len(ids) // BLOCK)
    for done in range(blocks):
        ctx.check()
        some = ids[done * BLOCK : (done + 1) * BLOCK]
        values = (double(left(some)) @ double(right).mT).flatten().numpy()
        first = np.argsort(-values, kind="stable")[:k]
        found = circuit.Best(values[first], some.cpu().numpy()[first // n], first % n)
        best = best.merged(found, k)
        yield circuit.Sweep(best, done + 1, done + 1, blocks, min(len(ids), (done + 1) * BLOCK) * n)


def _picked(whole: Tensor) -> circuit.Side:
    return lambda ids: whole.index_select(0, ids.to(whole.device))


def _tile_side(job: TopPairs, bench: OpenModel, head: HeadWeights) -> tuple[int, bool]:
    """How large tiles may be within the job's memory, and whether both sides are kept in it: if they do not fit, the
    left one is made anew for each panel of rows, which costs d_model / d_vocab of the search."""
    d_model, d_head = head.W_K.shape
    one = 4 * bench.info.d_vocab * d_head
    side = CPU_SIDE if bench.ends.W_E.device.type == "cpu" else ACCELERATOR_SIDE
    while side >= LEAST_SIDE:
        for kept in (True, False):
            panel = 10 * d_head + (0 if kept else 12 * d_model)
            if (1 + kept) * one + side * (TILE_BYTES * side + panel) <= job.memory:
                return side, kept
        side //= 2
    raise Refusal(
        f"This search may take {job.memory / 1e6:,.0f} MB, and one side of the circuit alone has {one / 1e6:,.0f} MB.",
        "Allow it more memory.",
    )


def _pairs_table(
    job: TopPairs, bench: OpenModel, head: HeadWeights, allowed: np.ndarray | None, sweep: circuit.Sweep, pairs: int
) -> Table:
    best, texts, of_qk = sweep.best, bench.live.tokens.all_texts, job.circuit == "qk"
    right_texts = texts if of_qk else bench.live.outputs.all_texts
    one, other = ("query", "key") if of_qk else ("source", "output")
    left, right = best.left.tolist(), best.right.tolist()
    rows = zip(
        best.ranks().tolist(),
        (texts[i] for i in left),
        left,
        (right_texts[j] for j in right),
        right,
        best.values.tolist(),
        strict=True,
    )
    what = "how much the query wants the key" if of_qk else "what the source adds to the output's logit"
    header = _header(
        job, bench, "pairs", job.circuit, head, allowed,
        quantity=f"strongest pairs of tokens, {job.circuit.upper()} circuit",
        explanation=f"{what}, by the weights alone, largest of the whole vocabulary × "
        + ("vocabulary" if of_qk else bench.of_outputs("vocabulary")),
        details={
            "tiles": f"{sweep.multiplied:,} of {sweep.tiles:,} multiplied",
            "products": f"{100 * sweep.products / pairs:.3g} % of {pairs:,} made",
        },
        partial=sweep.done < sweep.tiles,
    )  # fmt: skip
    return Table(header, ("rank", one, "id", other, "id", "value"), tuple(rows), bar="value")


def _header(
    job: Partners | TopPairs,
    bench: OpenModel,
    view: str,
    kind: Circuit,
    head: HeadWeights,
    allowed: np.ndarray | None,
    *,
    quantity: str,
    explanation: str,
    details: dict[str, Scalar],
    side: str | None = None,
    partial: bool = False,
) -> Header:
    info, rotary = bench.info, kind == "qk" and head.rotate is not None
    chosen = job.filter
    if allowed is not None:
        details["tokens"] = f"{int(allowed.sum()):,} of {info.d_vocab:,} pass the filter"
    if kind == "ov":
        details |= ov_details(head, job.weights, bench)
    at = (str(job.offset or "") if rotary else "", "")
    return words.header(
        view,
        quantity,
        words.scores_formula(qk_path(head), False, at=at) if kind == "qk" else "x_i W_V W_O W_U",
        unit="" if kind == "qk" else "logit",
        head=head_name(job.layer, job.head),
        explanation=f"{explanation}; {words.ROTARY_LINE}" if rotary else explanation,
        convention=words.convention(
            info,
            circuit=kind,
            side=side,
            weights=job.weights,
            form="bilinear" if kind == "qk" else None,
            basis=job.basis,
            offset=job.offset if rotary else None,
            same="left out" if chosen.same else "kept",
            shortest=chosen.shortest or None,
            pattern=chosen.pattern or None,
        ),
        details=details,
        partial=partial,
    )


def nearest(job: Nearest, bench: OpenModel, ctx: Context) -> Table:
    ends, embedding = bench.ends, job.where == "embedding"
    at = int((bench.index if embedding else bench.output_index)((job.token,)))
    rows, named = (ends.W_E, bench.live.tokens) if embedding else (ends.W_U.mT, bench.live.outputs)

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(rows), BLOCK):
            ctx.check()
            yield rows[start : start + BLOCK]
            ctx.progress("nearest tokens", min(start + BLOCK, len(rows)), len(rows))

    cosine = one_token.cosines(blocks(), rows[at]).cpu().numpy()
    others = np.ones(len(cosine), dtype=bool)
    others[at] = False
    cosine[at] = -np.inf  # so that it takes no rank
    found = ranking(cosine, job.k, others, Factors(_picked(rows), rows[at], unit=True))
    token, texts = named.text(at), named.all_texts
    shown = visible(token) if named is bench.live.tokens else token
    stored = words.BEHIND_NORM if embedding and bench.info.embedding_norm else "as stored"
    vectors = f"{'rows of W_E' if embedding else 'columns of W_U'} {stored}, not centred"
    header = words.header(
        "nearest",
        f"nearest {'classes' if bench.info.classes and not embedding else 'tokens'} in the {job.where}",
        "x_i·x_j / (‖x_i‖ ‖x_j‖)",
        explanation=f"cosine with {shown}, which is left out: 1 = the same direction, 0 = unrelated",
        convention=words.convention(bench.info, weights="raw", where=job.where, vectors=vectors),
        details={"token": token, "id": at},
    )
    ids = found.ids.tolist()
    listed = zip(found.ranks.tolist(), (texts[i] for i in ids), ids, found.values.tolist(), strict=True)
    return Table(header, ("rank", "token", "id", "cosine"), tuple(listed), bar="cosine")
