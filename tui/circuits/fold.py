"""Folding a norm into the weights that read through it, one head at a time.

    LayerNorm: ``W' = C diag(w) W``, ``b' = b + b_ln W``, ``W_O' = W_O C``, ``W_E' = W_E C``   (C centres over d_model)
    RMSNorm:   ``W' = diag(w) W``; nothing is centred, there is no bias
    post-norm: ``W_O' = W_O diag(w)``; its scale depends on the text and is left out, as the final norm's is
    none:      nothing to fold
    unembedding: ``W_U' = C diag(w) W_U`` centred over the vocabulary, ``b_U' = b_U + b_ln W_U`` centred too;
    not over the vocabulary where logits are soft-capped (a shift before tanh is not free)

The model's output does not change; only how it is split does. Source: definitions.md, "Conventions that must be
visible"; the same rules as TransformerLens' ``fold_ln``, ``center_writing_weights`` and ``center_unembed``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .tensors import Ends, HeadWeights, Norm


def centred(x: Tensor, dim: int = -1) -> Tensor:
    """x minus its mean over ``dim``."""
    return x - x.mean(dim, keepdim=True)


def bare(norm: Norm) -> Norm:
    """The norm after its w and b went into the weights: mean and scale only."""
    return replace(norm, w=None, b=None)


def fold_reading(norm: Norm, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``W [d_model, k]``, ``b [k]`` that give the same from ``bare(norm)`` as the stored ones give from ``norm``."""
    if norm.b is not None:
        b = b + norm.b @ W
    if norm.w is not None:
        W = norm.w[:, None] * W
    return (centred(W, 0), b) if norm.kind == "LayerNorm" else (W, b)


def fold_head(head: HeadWeights) -> HeadWeights:
    """Processed weights of one head: norm folded, reading and writing weights centred where the norm is a LayerNorm."""
    W_Q, b_Q = fold_reading(head.norm, head.W_Q, head.b_Q)
    W_K, b_K = fold_reading(head.norm, head.W_K, head.b_K)
    W_V, b_V = fold_reading(head.norm, head.W_V, head.b_V)
    W_O = centred(head.W_O) if head.norm.kind == "LayerNorm" else head.W_O
    if head.post_w is not None:
        W_O = W_O * head.post_w
    return replace(head, W_Q=W_Q, b_Q=b_Q, W_K=W_K, b_K=b_K, W_V=W_V, b_V=b_V, W_O=W_O, norm=bare(head.norm))


def in_stream(x: Tensor, norm: Norm, processed: bool) -> Tensor:
    """Something written to the stream, ``[…, d_model]``: in the centred stream for processed LayerNorm weights."""
    return centred(x) if processed and norm.kind == "LayerNorm" else x


@dataclass(frozen=True, eq=False)
class Unembedding:
    """``W_U`` under one convention, kept as stored: folding and centring are applied to what is multiplied with it.

    A folded copy of a 50,257 × 768 matrix costs 154 MB; ``C diag(w) W_U`` minus its vocabulary mean is the same
    linear map, since ``y (C diag(w) W_U) = ((y C) w) W_U``.
    """

    W_U: Tensor
    """``[d_model, d_vocab]`` as stored."""
    gain: Tensor | None
    """``[d_model]`` final norm's w; None with raw weights or without one."""
    centre: bool
    """Whether ``W_U`` is centred over d_model."""
    mean: Tensor | None
    """``[d_model]`` mean column of ``W_U``, taken off; None: not centred over the vocabulary."""
    by_token: Tensor | None = None
    """``[d_vocab, d_model]``: the same numbers where they lie by token, if they do: columns are gathered ten times as
    fast there."""

    def stored(self, ids: Tensor) -> Tensor:
        """``[len(ids), d_model]``: columns of ``W_U`` as stored."""
        ids = ids.to(self.W_U.device)
        return self.W_U[:, ids].mT if self.by_token is None else self.by_token[ids]

    def columns(self, ids: Tensor) -> Tensor:
        """``[d_model, len(ids)]``: the directions that write these logits."""
        W = self.W_U[:, ids]
        if self.mean is not None:
            W = W - self.mean[:, None]
        if self.gain is not None:
            W = self.gain[:, None] * W
        return centred(W, 0) if self.centre else W

    def reading(self, y: Tensor) -> Tensor:
        """``y [n, d_model]`` as it is multiplied with the stored ``W_U``: centred and scaled where that is."""
        if self.centre:
            y = centred(y)
        return y if self.gain is None else y * self.gain

    def logits(self, y: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """``y [n, d_model] → y W_U [n, stop − start]`` over a block of the vocabulary (default: all of it), no bias."""
        y = self.reading(y)
        W = self.W_U if start == 0 and stop is None else self.W_U[:, start:stop]
        # One row: a matrix-vector product reads W_U once at memory speed.
        out = (W.mT @ y[0])[None] if y.shape[0] == 1 else y @ W
        return out if self.mean is None else out - (y @ self.mean)[:, None]


def unembedding(ends: Ends, processed: bool) -> Unembedding:
    """``W_U`` folded and centred (processed) or as stored (raw)."""
    if not processed:
        return Unembedding(ends.W_U, gain=None, centre=False, mean=None)
    norm = ends.final_norm
    return Unembedding(
        ends.W_U,
        gain=norm.w,
        centre=norm.kind == "LayerNorm",
        mean=None if ends.logit_cap else ends.W_U.mean(1),
    )


def unembedding_bias(ends: Ends, ids: Tensor, mean: Tensor | None) -> Tensor:
    """``b_U' [len(ids)]``: ``b_U + b_ln W_U``; ``mean`` is ``W_U``'s mean column where it is centred (else None)."""
    out = torch.zeros(len(ids), dtype=ends.W_U.dtype, device=ends.W_U.device)
    if ends.b_U is not None:
        out = out + ends.b_U[ids] - (0.0 if mean is None else ends.b_U.mean())
    if ends.final_norm.b is not None:
        W = ends.W_U[:, ids]
        out = out + ends.final_norm.b @ (W if mean is None else W - mean[:, None])
    return out
