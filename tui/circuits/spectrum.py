"""Singular values and directions of a head's ``W_QK = W_Q W_Kᵀ`` or ``W_OV = W_V W_O``, from its factors.

    left rightᵀ = Q_l (R_l R_rᵀ) Q_rᵀ = (Q_l u) σ (Q_r v)ᵀ

Only the d_head × d_head core is decomposed, in float64. A pair of directions is what the circuit reads on its left and
on its right side: ``W = Σ_k σ_k u_k v_kᵀ``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .normalise import double
from .tensors import HeadWeights


@dataclass(frozen=True, eq=False)
class Spectrum:
    """``W = U diag(S) Vᵀ``, float64 on the CPU."""

    U: Tensor
    """``[d_model, r]``, columns of length 1: queries, or sources."""
    S: Tensor
    """``[r]``, largest first; r = d_head, or d_model where that is less."""
    V: Tensor
    """``[d_model, r]``, columns of length 1: keys, or outputs."""


def factors(head: HeadWeights, circuit: str) -> tuple[Tensor, Tensor]:
    """``left, right [d_model, d_head]`` of ``W = left rightᵀ``, circuit ``qk`` or ``ov``."""
    return (head.W_Q, head.W_K) if circuit == "qk" else (head.W_V, head.W_O.mT)


def spectrum(left: Tensor, right: Tensor) -> Spectrum:
    """Of ``left rightᵀ``."""
    Q_l, R_l = torch.linalg.qr(double(left))
    Q_r, R_r = torch.linalg.qr(double(right))
    u, S, v = torch.linalg.svd(R_l @ R_r.mT, full_matrices=False)
    return Spectrum(Q_l @ u, S, Q_r @ v.mT)


def frobenius(left: Tensor, right: Tensor) -> float:
    """``‖left rightᵀ‖`` by the Gram matrices of its factors: no decomposition."""
    return float(((double(left).mT @ double(left)) * (double(right).mT @ double(right))).sum().sqrt())


def sign(values: Tensor) -> float:
    """1 or −1, what makes the entry of ``values [n]`` that is largest without its sign positive; of several as large
    but for rounding the first one counts."""
    size = values.abs()
    first = int((size >= size.max() * (1 - 1e-5)).nonzero()[0, 0])
    return -1.0 if float(values[first]) < 0 else 1.0
