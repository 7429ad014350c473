"""Direct logit attribution at one position, and where a head's share of it comes from.

    g_i = C (w ∘ direction) / scale_i             the final norm frozen at position i, transposed (RMSNorm: no C)
    part     write · g
    head     z_h · (W_O^h (s ∘ g))                s: the post-norm's frozen scale (Gemma 2 and 3, OLMo 2), else 1
    source   pattern[i, j] · v_j · (W_O^h (s_i ∘ g_i))     b_V is in v_j; the sum over j is the head's
    rounding (stream − Σ parts) · g

Σ parts + rounding + bias = the centred logit or the logit difference. Weights are multiplied with the direction, so no
write of d_model numbers is ever made: 2 ms for all 144 heads of GPT-2. Sums are float64. Source: definitions.md,
"Residual stream"; "A Mathematical Framework for Transformer Circuits", "Attention heads are independent and additive".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .normalise import double
from .residual import Direction, backwards
from .tensors import Ends, HeadWeights, Trace


def directions(ends: Ends, stream: Tensor, towards: Direction) -> Tensor:
    """``stream [p, d_model]``, the final one → g ``[p, d_model]``: what a write's dot product with is its effect."""
    return backwards(ends.final_norm, towards.column, ends.final_norm.scale(stream))


def effects(
    trace: Trace,
    W_O: Callable[[int], Sequence[Tensor]] | None,
    at: int,
    g: Tensor,
    check: Callable[[], None] = lambda: None,
) -> tuple[tuple[str, ...], Tensor]:
    """Names of the stream's components and their effects ``[parts]`` float64 at one position, ``rounding`` last.

    In the order of ``residual.components`` and, as there, with ``W_O`` a part a head, without one part for a layer's
    attention. ``g [d_model]``: the direction at that position.
    """
    near = double(g)

    def effect(write: Tensor) -> Tensor:
        return double(write) @ near

    attention = effect(trace.attn_out[:, at])
    mlps = None if trace.mlp_out is None else effect(trace.mlp_out[:, at])
    names, values = ["embed"], [effect(trace.embed[at])[None]]
    if trace.pos is not None:
        names.append("pos")
        values.append(effect(trace.pos[at])[None])
    for layer in range(len(attention)):
        check()
        if W_O is None:
            names.append(f"L{layer}.attn")
            values.append(attention[layer : layer + 1])
        else:
            before = g if trace.attn_post_scale is None else g * trace.attn_post_scale[layer, at]
            heads = torch.stack([weight @ before for weight in W_O(layer)])
            names += [f"L{layer}H{head}" for head in range(len(heads))]
            values.append((double(trace.z[layer, at]) * double(heads)).sum(-1))
            if trace.b_O[layer].any():
                names.append(f"L{layer}.bias")
                values.append((double(trace.b_O[layer]) @ double(before))[None])
        if mlps is not None:
            names.append(f"L{layer}.mlp")
            values.append(mlps[layer : layer + 1])
    parts = torch.cat(values)
    rounding = effect(trace.resid_pre[-1, at]) - parts.sum()
    return (*names, "rounding"), torch.cat([parts, rounding[None]])


def sources(head: HeadWeights, trace: Trace, g: Tensor) -> tuple[Tensor, Tensor]:
    """``[destination, source]``: a head's effect at each destination by source, and ``[destination]``: all of it, from
    z. ``g [n, d_model]``: the direction at each destination; ``trace`` has the layer's pattern and values."""
    layer, index = head.layer, head.head
    before = g if trace.attn_post_scale is None else g * trace.attn_post_scale[layer]
    wanted = before @ head.W_O.mT
    split = trace.patterns[layer][index] * (wanted @ trace.values[layer][:, index].mT)
    return split, (trace.z[layer][:, index] * wanted).sum(-1)
