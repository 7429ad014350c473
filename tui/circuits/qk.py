"""The QK circuit: ``QK[i, j] = x_i W_QK x_jᵀ``, how much destination token i wants source token j.

Always from the factors q and k of d_head numbers; ``W_QK`` itself is never built. In order:

    q = x_i W_Q (+ b_Q)   k = x_j W_K (+ b_K)      biases in the scaled form only
    q, k through the query/key norm                where the model has one
    q rotated at position ``offset``, k at 0       rotary models; at the real positions with basis ``prompt``
    bilinear: q·k
    scaled:   cap(q·k / attn_scale) (+ ALiBi)      soft cap and ALiBi where the model has them

Source: "A Mathematical Framework for Transformer Circuits", "Splitting attention head terms into circuits":
``W_E^T W_QK^h W_E``; definitions.md, "QK circuit".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .basis import BLOCK
from .normalise import Baseline, double, streamed_baseline
from .tensors import HeadWeights


def queries(head: HeadWeights, x: Tensor, form: str, at: Tensor | int = 0) -> Tensor:
    """``x [n, d_model] → q [n, d_head]``, rotated at position(s) ``at``; a shortformer's positions belong to it where
    they are real ones (a tensor)."""
    q = x @ head.W_Q
    if head.q_positions is not None and isinstance(at, Tensor):
        q = q + head.q_positions[at]
    if form == "scaled":
        q = q + head.b_Q
    if head.q_norm is not None:
        q = head.q_norm(q)
    return rotated(head, q, at)


def keys(head: HeadWeights, x: Tensor, form: str, at: Tensor | int = 0) -> Tensor:
    """``x [n, d_model] → k [n, d_head]``, as ``queries``."""
    k = x @ head.W_K
    if head.k_positions is not None and isinstance(at, Tensor):
        k = k + head.k_positions[at]
    if form == "scaled":
        k = k + head.b_K
    if head.k_norm is not None:
        k = head.k_norm(k)
    return rotated(head, k, at)


def of_positions(head: HeadWeights, side: str, count: int | None, form: str) -> Tensor:
    """``[count, d_head]``: the query (``side`` q) or key of positions 0 … count−1 (None: all) of a shortformer."""
    made, b = (head.q_positions, head.b_Q) if side == "q" else (head.k_positions, head.b_K)
    assert made is not None, "a head of a shortformer"
    return made[:count] + b if form == "scaled" else made[:count]


def rotated(head: HeadWeights, x: Tensor, at: Tensor | int) -> Tensor:
    """``x [n, d_head]`` as it stands at position(s) ``at``; x itself without rotary positions."""
    if head.rotate is None:
        return x
    if isinstance(at, int):
        at = torch.full((len(x),), at, dtype=torch.int64, device=x.device)
    return head.rotate(x, at)


def scores(head: HeadWeights, q: Tensor, k: Tensor, form: str, score_bias: Tensor | None = None) -> Tensor:
    """``[n, m]`` from the factors; ``score_bias [n, m]`` (ALiBi) belongs to the scaled form at real positions."""
    out = q @ k.mT
    if form == "bilinear":
        return out
    out = out / head.attn_scale
    if head.soft_cap is not None:
        out = head.soft_cap * torch.tanh(out / head.soft_cap)
    return out if score_bias is None else out + score_bias


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of vectors over a whole vocabulary, float64 on the CPU: every row's baseline, exactly."""

    mean: Tensor
    """``[d]``."""
    cov: Tensor
    """``[d, d]``, population."""

    def baseline(self, q: Tensor, scale: float = 1.0) -> Baseline:
        """Mean ``q_i·k̄`` and variance ``q_i Cov(k) q_iᵀ`` of each row of ``q K ᵀ / scale``."""
        q = double(q) / scale
        variance = ((q @ self.cov) * q).sum(-1).clamp(min=0)
        return Baseline(q @ self.mean, variance.sqrt())

    def through(self, W: Tensor, b: Tensor) -> Moments:
        """The moments of ``x W + b``."""
        W = double(W)
        return Moments(self.mean @ W + double(b), W.mT @ self.cov @ W)


@dataclass(frozen=True, eq=False)
class BlockMoments:
    """What ``merged`` reads of some rows."""

    count: int
    mean: Tensor
    """``[d]``, float64."""
    squares: Tensor
    """``[d, d]``: sum of outer products around the mean."""


def block_moments(block: Tensor, check: Callable[[], None] = lambda: None) -> BlockMoments:
    """Of rows ``[n, d]``."""
    mean = double(block).mean(0)
    squares = torch.zeros(())
    step = BLOCK // 4  # a cancel waits for one product
    for start in range(0, len(block), step):
        check()
        apart = block[start : start + step] - mean.to(block)
        # Products in the block's own precision (float64 is 2 to 60 times slower), sums over blocks in float64.
        squares = squares.to(block) + apart.mT @ apart
    return BlockMoments(len(block), mean, squares)


def merged(blocks: Iterable[BlockMoments]) -> Moments:
    """Of all rows: merged around each block's own mean so that a common offset costs no digits."""
    count = 0
    mean = cov = torch.zeros(())
    for block in blocks:
        n, squares = block.count, double(block.squares)
        if count == 0:
            mean, cov = block.mean, squares
        else:
            delta = block.mean - mean
            mean = mean + delta * (n / (count + n))
            cov = cov + squares + torch.outer(delta, delta) * (count * n / (count + n))
        count += n
    return Moments(mean, cov / max(count, 1))


def moments(blocks: Iterable[Tensor]) -> Moments:
    """Of row blocks ``[≤ block, d]``."""
    return merged(map(block_moments, blocks))


def vocabulary_keys(head: HeadWeights, blocks: Iterable[Tensor], form: str) -> Tensor:
    """``k [d_vocab, d_head]`` at position 0 from blocks of X: small enough to keep (13 MB for GPT-2's vocabulary)."""
    return torch.cat([keys(head, x, form) for x in blocks])


def from_moments(head: HeadWeights, form: str, how: str) -> bool:
    """Whether the moments of the keys are enough: scores linear in k, and no softmax."""
    return how != "softmax" and (form == "bilinear" or head.soft_cap is None)


def streamed(head: HeadWeights, q: Tensor, k: Tensor, form: str, check: Callable[[], None]) -> Baseline:
    """Statistics of rows of ``scores`` over ``k [m, d_head]``, softmax and soft cap included."""
    blocks = (scores(head, q, k[start : start + BLOCK], form) for start in range(0, len(k), BLOCK))
    return streamed_baseline(blocks, check)


def by_distance(head: HeadWeights, x_query: Tensor, x_key: Tensor, form: str, max_offset: int) -> Tensor:
    """``[max_offset + 1]``: the score of one pair (``x`` are ``[d_model]``) against rotary distance 0 … max_offset."""
    offsets = torch.arange(max_offset + 1, device=x_query.device)
    q = queries(head, x_query.expand(max_offset + 1, -1), form, offsets)
    return scores(head, q, keys(head, x_key[None], form), form)[:, 0]


def rank(left: Tensor, right: Tensor) -> int:
    """Numerical rank of ``left rightᵀ`` (both ``[d_model, d_head]``) from its d_head × d_head core.

    Singular values below ``max(d_model, d_head) · ε(float32)`` of the largest count as zero: weights are float32.
    """
    core = double(torch.linalg.qr(left, mode="r").R) @ double(torch.linalg.qr(right, mode="r").R).mT
    values = torch.linalg.svdvals(core)
    return int((values > values.max() * max(left.shape) * torch.finfo(torch.float32).eps).sum())
