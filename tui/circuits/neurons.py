"""One layer's MLP as a sum over its neurons.

    MLP(x) = post_norm(Σ_n act_n W_out[n] + b_out)
    effect of a neuron at one position: act_n · (W_out[n] · g'),  g' = g through the post-norm's frozen scale

``act_n`` is what goes into the down projection: after the activation function, times the gate's partner where the MLP
is gated. Activations are recomputed from the cached stream for the positions that are looked at, one layer at a time.
Source: definitions.md, "Residual stream".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .fold import in_stream
from .normalise import double
from .residual import backwards, frozen
from .tensors import MLP, Norm, Trace


def stream(trace: Trace, layer: int) -> Tensor:
    """``[n, d_model]``: what reaches the layer's MLP; in parallel blocks what reaches attention too."""
    return (trace.resid_pre if trace.resid_mid is None else trace.resid_mid)[layer]


@dataclass(frozen=True, eq=False)
class Effects:
    """What an MLP adds in one direction at one position, neuron by neuron."""

    neurons: Tensor
    """``[d_mlp]`` float64 on the CPU."""
    bias: float
    """The effect of ``b_out`` (and of the post-norm's own b)."""


def effects(mlp: MLP, acts: Tensor, g: Tensor) -> Effects:
    """``acts [d_mlp]`` of one position and a direction ``g [d_model]`` of the stream there."""
    inner = backwards(mlp.post_norm, g, mlp.post_norm.scale(_sum(mlp, acts)))
    bias = double(mlp.b_out) @ double(inner)
    if mlp.post_norm.b is not None:
        bias = bias + double(mlp.post_norm.b) @ double(g)
    return Effects(double(acts) * double(mlp.W_out @ inner), float(bias))


def lengths(mlp: MLP, acts: Tensor) -> Tensor:
    """``acts [d_mlp]`` of one position → ``[d_mlp]``: length of what each neuron writes."""
    writes = frozen(mlp.post_norm, mlp.W_out, mlp.post_norm.scale(_sum(mlp, acts)))
    out: Tensor = acts.abs() * torch.linalg.vector_norm(writes, dim=-1)
    return out


def output(mlp: MLP, acts: Tensor) -> Tensor:
    """``acts [d_mlp]`` → ``[d_model]``: what all neurons and the bias write together."""
    return mlp.post_norm(_sum(mlp, acts))


def direction(mlp: MLP, neuron: int, norm: Norm, processed: bool) -> Tensor:
    """``W_out[n] [d_model]``; processed: centred for a LayerNorm stream, w of the post-norm in it, as in W_O."""
    row = mlp.W_out[neuron]
    if processed and mlp.post_norm.w is not None:
        row = row * mlp.post_norm.w
    return in_stream(row, norm, processed)


def largest(values: Tensor, k: int) -> list[int]:
    """Indices of the k values that are largest whatever their sign, largest first; ties in order."""
    return values.abs().argsort(descending=True, stable=True)[:k].tolist()


def _sum(mlp: MLP, acts: Tensor) -> Tensor:
    return acts @ mlp.W_out + mlp.b_out
