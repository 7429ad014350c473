"""The residual stream as a sum of what components write.

    stream = embed (+ pos) + Σ heads + Σ attention biases + Σ MLPs (+ rounding)

Direct attribution freezes the final norm's scale at each position, so that
``Σ parts + rounding + bias = logit − mean logit`` (or the logit difference of two tokens, or of the means of several
answers and distractors). Processed weights put
parts in the centred stream; raw weights leave them as they are and apply the norm's own w. The two give the same
attribution and different norms. Source: "A Mathematical Framework for Transformer Circuits", "residual stream";
definitions.md, "Residual stream".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import fold, qk
from .errors import Refusal
from .normalise import double
from .tensors import Ends, HeadWeights, Norm, Trace


@dataclass(frozen=True, eq=False)
class Parts:
    """Components in model order, and the stream that they sum to. p positions."""

    names: tuple[str, ...]
    values: Tensor
    """``[parts, p, d_model]`` as written (raw stream)."""
    stream: Tensor
    """``[p, d_model]``: the model's own stream after them."""

    @property
    def rounding(self) -> Tensor:
        """``[p, d_model]``: the stream minus the sum of its parts."""
        return self.stream - self.values.sum(0)


def components(
    trace: Trace,
    W_O: Callable[[int], Sequence[Tensor]] | None,
    layers: int | None = None,
    positions: slice = slice(None),
    mlps: Callable[[int], Iterable[tuple[str, Tensor]] | None] | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Name and write ``[p, d_model]`` of each component of the stream before block ``layers`` (None: the final one).

    ``W_O(layer)``: every head's ``[d_head, d_model]`` for one part a head and one for the layer's bias; None: one
    part for a layer's whole attention. ``mlps(layer)``: name and write of what a layer's MLP is made of, at the same
    positions; None: one part. One at a time: all heads of GPT-2 at 1,024 positions are half a gigabyte.
    """
    yield "embed", trace.embed[positions]
    if trace.pos is not None:
        yield "pos", trace.pos[positions]
    depth = len(trace.attn_out) if layers is None else layers
    for layer in range(depth):
        if layer in trace.added:
            yield f"L{layer}.added", trace.added[layer][positions]
        if W_O is None:
            yield f"L{layer}.attn", trace.attn_out[layer][positions]
        else:
            yield from _attention(trace, layer, W_O(layer), positions)
        if trace.mlp_out is not None:
            inside = None if mlps is None else mlps(layer)
            yield from [(f"L{layer}.mlp", trace.mlp_out[layer][positions])] if inside is None else inside
    if depth == len(trace.attn_out) and depth in trace.added:
        yield f"L{depth}.added", trace.added[depth][positions]


def _attention(trace: Trace, layer: int, W_O: Sequence[Tensor], positions: slice) -> Iterator[tuple[str, Tensor]]:
    """What each head writes, and the output bias, through the post-norm's frozen scale where there is one."""
    z = trace.z[layer][positions]
    post = None if trace.attn_post_scale is None else trace.attn_post_scale[layer][positions]
    for head, weight in enumerate(W_O):
        write = z[:, head] @ weight
        yield f"L{layer}H{head}", write if post is None else write * post
    bias = trace.b_O[layer]
    if bias.any():
        write = bias.expand(len(z), -1)
        yield f"L{layer}.bias", write if post is None else write * post


def split(
    trace: Trace,
    W_O: Callable[[int], Sequence[Tensor]] | None,
    layers: int | None = None,
    positions: slice = slice(None),
    mlps: Callable[[int], Iterable[tuple[str, Tensor]] | None] | None = None,
) -> Parts:
    """All ``components`` of a few positions at once."""
    names, values = zip(*components(trace, W_O, layers, positions, mlps), strict=True)
    depth = len(trace.attn_out) if layers is None else layers
    return Parts(names, torch.stack(values), trace.resid_pre[depth][positions])


def frozen(norm: Norm, x: Tensor, scale: Tensor) -> Tensor:
    """The norm as a linear map of x: centred (LayerNorm), over a given scale, times w; its b belongs to nobody."""
    if norm.kind == "none":
        return x
    x = (fold.centred(x) if norm.kind == "LayerNorm" else x) / scale
    return x if norm.w is None else x * norm.w


def backwards(norm: Norm, column: Tensor, scale: Tensor) -> Tensor:
    """``[p, d_model]`` g such that ``frozen(norm, x, scale) · column = x · g``: the norm's map, transposed."""
    if norm.kind == "none":
        return column.expand(*scale.shape[:-1], -1)
    column = column if norm.w is None else column * norm.w
    return (fold.centred(column) if norm.kind == "LayerNorm" else column) / scale


@dataclass(frozen=True, eq=False)
class Direction:
    """Answers (minus distractors) as a direction in what the final norm puts out."""

    column: Tensor
    """``[d_model]`` of ``W_U``, w of the norm left out."""
    bias: float
    """Its share of ``b_U`` and of the final norm's b."""


def direction(
    ends: Ends, answers: Sequence[int], distractors: Sequence[int] = (), mean: Tensor | None = None
) -> Direction:
    """Mean of ``W_U[:, answers]`` minus that of ``W_U[:, distractors]``; without distractors minus ``mean``.

    ``mean [d_model]`` is the mean column of ``W_U``; None for soft-capped logits, which are not centred: the direction
    then gives the logit before the cap.
    """
    ids = torch.tensor([*answers, *distractors], device=ends.W_U.device)
    columns, bias = ends.W_U[:, ids], fold.unembedding_bias(ends, ids, mean)
    split = len(answers)
    column, share = columns[:, :split].mean(1), bias[:split].mean()
    if distractors:
        return Direction(column - columns[:, split:].mean(1), float(share - bias[split:].mean()))
    return Direction(column if mean is None else column - mean, float(share))


def attribution(ends: Ends, x: Tensor, stream: Tensor, towards: Direction) -> Tensor:
    """``x [parts, p, d_model]`` through the final norm frozen at ``stream [p, d_model]`` → ``[parts, p]`` logits."""
    return frozen(ends.final_norm, x, ends.final_norm.scale(stream)) @ towards.column


def target(
    ends: Ends, stream: Tensor, logits: Tensor, answers: Sequence[int], distractors: Sequence[int] = ()
) -> Tensor:
    """What attributions must sum to, ``logits [p, d_vocab] → [p]`` float64 on the CPU: centred logit or difference.

    Soft-capped: before the cap, from the final ``stream [p, d_model]``. A logit that came close to the cap no longer
    says what it was: in bfloat16 it is the cap itself.
    """

    def mean(ids: Sequence[int]) -> Tensor:
        return double(chosen_logits(ends, stream, logits, ids)).mean(-1)

    if distractors:
        return mean(answers) - mean(distractors)
    return mean(answers) - (0.0 if ends.logit_cap else double(logits.mean(-1)))


def chosen_logits(ends: Ends, stream: Tensor, logits: Tensor, ids: Sequence[int]) -> Tensor:
    """``[p, len(ids)]``: the model's own logits; soft-capped ones before the cap."""
    at = torch.tensor(list(ids), device=logits.device)
    if not ends.logit_cap:
        return logits[..., at]
    own = ends.final_norm(stream) @ ends.W_U[:, at]
    return own if ends.b_U is None else own + ends.b_U[at]


def projected(head: HeadWeights, parts: Parts, side: str, at: int) -> tuple[tuple[str, ...], Tensor]:
    """A head's q, k or v at position ``at``, before rotation, as a sum: names and vectors ``[parts + 2, d_head]``.

    ``parts`` holds that position of the stream before the head's block, ``head`` the stored weights. Every norm on the
    way has its scale frozen. ``rounding`` and ``bias`` (the projection's and the norms' own) close the sum; a
    shortformer's ``pos`` is in it besides.
    """
    W, b, inner, positions = {
        "q": (head.W_Q, head.b_Q, head.q_norm, head.q_positions),
        "k": (head.W_K, head.b_K, head.k_norm, head.k_positions),
        "v": (head.W_V, head.b_V, None, None),
    }[side]
    stream = parts.stream[0]
    pieces = torch.cat([parts.values[:, 0], parts.rounding])
    made = frozen(head.norm, pieces, head.norm.scale(stream)) @ W
    bias = b if head.norm.b is None else b + head.norm.b @ W
    vectors = torch.cat([made, bias[None]])
    if inner is not None:
        vectors = frozen(inner, vectors, inner.scale(vectors.sum(0)))
        if inner.b is not None:
            vectors[-1] = vectors[-1] + inner.b
    if positions is None:
        return (*parts.names, "rounding", "bias"), vectors
    with_positions = torch.cat([vectors[:-1], positions[at][None], vectors[-1:]])
    return (*parts.names, "rounding", "pos", "bias"), with_positions


def head_input(head: HeadWeights, parts: Parts, side: str, at: int) -> tuple[tuple[str, ...], Tensor]:
    """How much of a head's q, k or v at position ``at`` each earlier component makes: names and shares that sum to 1.

    As ``projected``; rotation keeps dot products, so it is left out.
    """
    names, vectors = projected(head, parts, side, at)
    whole = vectors.sum(0)
    if not whole.any():
        raise Refusal(f"This head's {side} is zero here: there is nothing to split.", "Choose another head.")
    return names, vectors @ whole / whole.dot(whole)


def rotated(head: HeadWeights, parts: Parts, side: str, at: int) -> tuple[tuple[str, ...], Tensor]:
    """A head's q or k at one position as it enters the score, as ``projected``: an attention score before a soft cap is

        score = Σ_a Σ_b R_query(part_a → q) · R_key(part_b → k) / attn_scale

    R is the model's own rotation, which is linear.
    """
    names, vectors = projected(head, parts, side, at)
    return names, qk.rotated(head, vectors, at)
