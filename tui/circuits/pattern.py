"""Attention on a prompt, and the two identities that tie it to the weights.

    softmax(scaled + mask) = pattern                      the QK form on the stream gives the model's own attention
    concat(z) W_O = Σ_h z_h W_O^h                         the layer's output is the plain sum over its heads

Source: "A Mathematical Framework for Transformer Circuits", "Attention heads are independent and additive".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import qk
from .forward import with_sink
from .normalise import double
from .tensors import HeadWeights, Trace


def visible(trace: Trace, layer: int, head: int) -> Tensor:
    """``[n, n]`` bool: which keys each query may see."""
    mask = trace.visible[layer]
    return mask if mask.ndim == 2 else mask[head]


def score_bias(trace: Trace, layer: int, head: int) -> Tensor | None:
    """``[n, n]`` added to scaled scores (ALiBi); None without."""
    bias = trace.score_bias.get(layer)
    return None if bias is None else bias[head]


def scaled_on_prompt(head: HeadWeights, trace: Trace) -> Tensor:
    """``[n, n]``: the scaled form from the stream and the weights, at real positions, before the mask."""
    x = head.norm(trace.resid_pre[head.layer])
    at = torch.arange(len(x), device=x.device)
    q, k = qk.queries(head, x, "scaled", at), qk.keys(head, x, "scaled", at)
    return qk.scores(head, q, k, "scaled", score_bias(trace, head.layer, head.head))


def activation_scores(head: HeadWeights, trace: Trace) -> Tensor:
    """``[n, n]``: scores from the queries and keys that the model itself used, as it scales them, before the mask."""
    q, k = trace.queries[head.layer][:, head.head], trace.keys[head.layer][:, head.head]
    return qk.scores(head, q, k, "scaled", score_bias(trace, head.layer, head.head))


def softmax_error(scores: Tensor, trace: Trace, head: HeadWeights) -> float:
    """``max |softmax(scores + mask) − pattern|`` over visible cells, the head's sink in the softmax."""
    layer, index = head.layer, head.head
    mask = visible(trace, layer, index)
    sink = None if head.sink is None else torch.tensor(head.sink, dtype=torch.float64)
    rebuilt = with_sink(double(scores).masked_fill(~mask.cpu(), -torch.inf), sink)
    apart = (rebuilt - double(trace.patterns[layer][index])).abs()
    return float(apart[mask.cpu()].max())


def value_weighted(head: HeadWeights, trace: Trace) -> Tensor:
    """``[n, n]``: ``‖pattern[i, j] · v_j W_O‖`` with ``b_V`` inside v, after the post-norm where there is one."""
    pattern = trace.patterns[head.layer][head.head]
    moved = trace.values[head.layer][:, head.head] @ head.W_O
    if trace.attn_post_scale is None:
        size: Tensor = torch.linalg.vector_norm(moved, dim=-1)
    else:
        # ‖(v_j W_O) · s_i‖² = Σ_d (v_j W_O)_d² s_id²: the destination's post-norm scale differs a row.
        size = (trace.attn_post_scale[head.layer].pow(2) @ moved.pow(2).mT).sqrt()
    return pattern * size


def head_sum_errors(
    W_O: Sequence[Tensor], trace: Trace, layer: int, joined: Tensor | None = None
) -> tuple[float, float]:
    """``max |concat(z) W_O − Σ_h z_h W_O^h|``, and ``max |Σ_h z_h W_O^h + b_O − attention's own output|``.

    ``W_O`` holds every head's ``[d_head, d_model]``; ``joined [heads · d_head, d_model]``: all of them as they are
    stored, where they are. The second is measured after the post-norm where there is one.
    """
    z = trace.z[layer]
    total = torch.zeros_like(trace.attn_out[layer])
    for head, weight in enumerate(W_O):
        total = total + z[:, head] @ weight
    whole = z.flatten(1) @ (torch.cat(list(W_O)) if joined is None else joined)
    own = total + trace.b_O[layer]
    if trace.attn_post_scale is not None:
        own = own * trace.attn_post_scale[layer]
    return float((whole - total).abs().max()), float((own - trace.attn_out[layer]).abs().max())
