"""Composition: how much of what head 1 writes into the stream is what head 2, in a later layer, reads there.

    Q   ‖W_OV1 W_QK2‖    K   ‖W_OV1 W_QK2ᵀ‖    V   ‖W_OV1 W_OV2‖       (Frobenius, over the product of both norms)

Exactly, and without a d_model × d_model matrix: for ``W1 = A1 B1`` and ``W2 = A2 B2``

    ‖W1 W2‖² = tr((A1ᵀA1)(B1 A2)(B2 B2ᵀ)(B1 A2)ᵀ) = ‖C1 C2ᵀ‖²    C1 = R(A1) B1, C2 = R(B2ᵀ) A2ᵀ  [d_head, d_model]

where ``R(A)`` is the triangle of A's QR: it has A's Gram matrix, with the digits that squaring A in float32 would lose.
The norms are those of the cores: ``‖W1‖ = ‖C1‖``, ``‖W2‖ = ‖C2‖``.

How unusual a score is: against the same two heads turned to each other at random. With ``X = ‖C1 O C2ᵀ‖²``, O uniform
over the rotations of n dimensions, and the Gram matrices ``G = CᵀC``,

    E[X] = tr G1 tr G2 / n
    Var[X] = 2 (tr G1² − (tr G1)²/n) (tr G2² − (tr G2)²/n) / ((n − 1)(n + 2))        (exact)
    z = (X − E[X]) / √Var[X]

n is the number of dimensions that the weights live in: d_model, or d_model − 1 where a LayerNorm is folded, because
what is read and written is then centred. The root mean square of a score under rotations is 1/√n.
Source: "A Mathematical Framework for Transformer Circuits", "Path expansion of attention scores QK circuit".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from .normalise import double
from .tensors import HeadWeights

CELLS = 4_000_000
"""Products worked on at once: 16 MB."""
KEPT = 512 << 20
"""Bytes of cores that are kept while all pairs are compared; beyond, a layer's are made again for each later layer."""


def _times(gram_of: Tensor, other: Tensor) -> Tensor:
    """``R(gram_of) other``: ``[d_head, d_model]`` with the length of every product of ``gram_of`` with ``other``."""
    triangle: Tensor = torch.linalg.qr(double(gram_of), mode="r").R
    return triangle.to(other) @ other


def writer(head: HeadWeights) -> Tensor:
    """C1 of a (folded) head: what it writes into the stream, ``[d_head, d_model]``."""
    return _times(head.W_V, head.W_O)


def reader(head: HeadWeights, kind: str) -> Tensor:
    """C2 of a (folded) head: what its ``q``, ``k`` or ``v`` side reads of the stream, ``[d_head, d_model]``."""
    if kind == "q":
        return _times(head.W_K, head.W_Q.mT)
    if kind == "k":
        return _times(head.W_Q, head.W_K.mT)
    return _times(head.W_O.mT, head.W_V.mT)


def dimensions(head: HeadWeights) -> int:
    """n: how many dimensions of the stream a folded head can read."""
    return len(head.W_V) - (head.norm.kind == "LayerNorm")


def shared(one: Tensor, two: Tensor) -> Tensor:
    """``‖C1 C2ᵀ‖² [a, b]`` of cores ``one [a, d_head, d_model]`` and ``two [b, d_head, d_model]``."""
    a, b = len(one), len(two)
    product = one.flatten(0, 1) @ two.flatten(0, 1).mT
    return product.square_().view(a, one.shape[1], b, two.shape[1]).sum((1, 3))


def _sizes(cores: Tensor) -> Tensor:
    """``‖C‖² [a]``."""
    return cores.square().sum((1, 2))


def scores(found: Tensor, one: Tensor, two: Tensor) -> Tensor:
    """``[a, b]`` from ``shared``; NaN for a head that reads or writes nothing."""
    return (found / (_sizes(one)[:, None] * _sizes(two)[None])).sqrt()


def z_scores(found: Tensor, one: Tensor, two: Tensor, n: int) -> Tensor:
    """``[a, b]`` float64: the squared score against random rotations of ``n`` dimensions; NaN where all are alike."""
    trace_1, apart_1 = _moments(one, n)
    trace_2, apart_2 = _moments(two, n)
    mean = trace_1[:, None] * trace_2[None] / n
    variance = 2 * apart_1[:, None] * apart_2[None] / ((n - 1) * (n + 2))
    return torch.where(variance > 0, (double(found) - mean) / variance.sqrt(), torch.nan)


def _moments(cores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """``tr G`` and ``tr G² − (tr G)²/n``, ``[a]`` float64, by the small Gram matrix ``C Cᵀ``."""
    small = double(cores)
    small = small @ small.mT
    trace = small.diagonal(dim1=1, dim2=2).sum(1)
    flat = trace**2 / n
    apart = small.square().sum((1, 2)) - flat
    return trace, torch.where(apart > 1e-12 * flat, apart, 0.0)  # below: rounding of a multiple of the identity


def all_pairs(
    n_layers: int, writers: Callable[[int], Tensor], readers: Callable[[int], Tensor], check: Callable[[], None]
) -> Iterator[tuple[int, int, Tensor]]:
    """``(layer 1, layer 2, scores [n_heads, n_heads])`` of every pair of layers, by later layer.

    ``writers`` and ``readers`` give the cores of a layer ``[n_heads, d_head, d_model]``. Memory: ``KEPT`` at most, the
    cores of two layers, and ``CELLS``.
    """
    if n_layers < 2:
        return
    first = writers(0)
    kept = lru_cache(maxsize=max(1, KEPT // first.nbytes))(writers)
    step = max(1, CELLS // (first.shape[0] * first.shape[1] ** 2))
    for later in range(1, n_layers):
        two = readers(later)
        for earlier in range(later):
            one = kept(earlier)
            blocks = []
            for start in range(0, len(two), step):
                check()
                some = two[start : start + step]
                blocks.append(scores(shared(one, some), one, some))
            yield earlier, later, torch.cat(blocks, 1)
