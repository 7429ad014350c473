"""The plain tensors that circuits are computed from.

``models`` reads them off a loaded model; ``circuits`` knows nothing of TransformerLens. Row vectors, weights on the
right. Everything is float32 or better whatever dtype the model runs in, on the model's device.
Sources: "A Mathematical Framework for Transformer Circuits" (its matrices are the transposes of these).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Norm:
    """A norm as stored: LayerNorm ``(x − mean)/√(var + eps)·w + b``, RMSNorm ``x/√(mean x² + eps)·w``, or none."""

    kind: str
    """``LayerNorm``, ``RMSNorm`` or ``none``."""
    w: Tensor | None
    """``[d]``; for Gemma the stored weight plus one."""
    b: Tensor | None
    """``[d]``; LayerNorm only."""
    eps: float

    def scale(self, x: Tensor) -> Tensor:
        """``[…, 1]``: what x is divided by (LayerNorm: after centring)."""
        if self.kind == "none":
            return torch.ones_like(x[..., :1])
        if self.kind == "LayerNorm":
            x = x - x.mean(-1, keepdim=True)
        return (x.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def normalise(self, x: Tensor) -> Tensor:
        """Mean (LayerNorm) and scale only, no w and b: what processed weights read."""
        if self.kind == "none":
            return x
        centred = x - x.mean(-1, keepdim=True) if self.kind == "LayerNorm" else x
        return centred / self.scale(x)

    def __call__(self, x: Tensor) -> Tensor:
        """The whole norm, w and b included: what raw weights read."""
        y = self.normalise(x)
        if self.w is not None:
            y = y * self.w
        return y if self.b is None else y + self.b


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """One attention head as stored (raw). Grouped keys and values are already those of this query head."""

    layer: int
    head: int
    W_Q: Tensor
    """``[d_model, d_head]``; the query half only where q_proj is gated."""
    b_Q: Tensor
    """``[d_head]``; zeros where the model has none."""
    W_K: Tensor
    b_K: Tensor
    W_V: Tensor
    b_V: Tensor
    W_O: Tensor
    """``[d_head, d_model]``, in the scale in which it writes into the stream (Granite's multiplier included)."""
    norm: Norm
    """The norm that this layer's attention reads through."""
    attn_scale: float
    """Scores are divided by it; read from the model."""
    soft_cap: float | None = None
    """Scores become ``cap·tanh(score/cap)``."""
    q_norm: Norm | None = None
    k_norm: Norm | None = None
    """Query/key norm over d_head (Qwen3, Gemma 3), applied before rotation."""
    rotate: Callable[[Tensor, Tensor], Tensor] | None = None
    """``rotate(x [n, d_head], positions [n] int64) → [n, d_head]`` by the model's own code; None without rotary."""
    post_w: Tensor | None = None
    """``[d_model]``: w of the RMSNorm between attention's output and the stream (Gemma 2 and 3, OLMo 2); else None."""
    sink: float | None = None
    """A score beside those of the keys, whose share of the pattern's row goes nowhere (GPT-OSS); else None."""
    q_positions: Tensor | None = None
    """``[n_ctx, d_head]``: what each position adds to the query, and ``k_positions`` to the key, where positions reach
    them behind the norm and nothing else (shortformer); else None."""
    k_positions: Tensor | None = None


@dataclass(frozen=True, eq=False)
class MLP:
    """One layer's MLP as a sum over neurons: ``post_norm(Σ_n act_n W_out[n] + b_out)`` is what it writes."""

    activations: Callable[[Tensor], Tensor]
    """``x [p, d_model]`` of the stream that reaches it → ``[p, d_mlp]``: what each neuron puts out, after the MLP's
    own input norm; gated MLPs: gate times value."""
    W_out: Tensor
    """``[d_mlp, d_model]``."""
    b_out: Tensor
    """``[d_model]``; zeros where the model has none."""
    post_norm: Norm
    """The norm between its output and the stream (Gemma 2 and 3, OLMo 2); else none."""


@dataclass(frozen=True, eq=False)
class Ends:
    """Both ends of the stream: embedding and unembedding, as stored (raw)."""

    W_E: Tensor
    """``[d_vocab, d_model]`` as it enters the stream: Gemma's √d_model, Granite's multiplier, Bloom's norm included."""
    W_pos: Tensor | None
    """``[n_ctx, d_model]``; None without learned positions."""
    W_U: Tensor
    """``[d_model, d_vocab]``, in the scale of the logits (Granite's and Cohere's factor included)."""
    b_U: Tensor | None
    """``[d_vocab]``."""
    final_norm: Norm
    logit_cap: float | None = None
    """Logits become ``cap·tanh(logit/cap)``."""
    layer0_mlp: Callable[[Tensor], Tensor] | None = None
    """``x [n, d_model] → MLP0(ln2₀(x)) [n, d_model]`` for basis ``effective`` (parallel blocks: their input norm)."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward pass left behind, float32 copies of only what views show. n = prompt length; where only some
    positions of the stream were kept, its tensors, ``z`` and the logits have those instead of n."""

    ids: Tensor
    """``[n]`` int64."""
    embed: Tensor
    """``[n, d_model]`` token embedding as it enters the stream."""
    pos: Tensor | None
    """``[n, d_model]`` learned positions; None without."""
    resid_pre: Tensor
    """``[n_layers + 1, n, d_model]``: the stream before each block; the last one is the final stream."""
    resid_mid: Tensor | None
    """``[n_layers, n, d_model]`` between attention and MLP; None with parallel blocks."""
    attn_out: Tensor
    """``[n_layers, n, d_model]``: what attention adds to the stream (after a post-norm where there is one)."""
    mlp_out: Tensor | None
    """``[n_layers, n, d_model]``; None for attention-only models."""
    z: Tensor
    """``[n_layers, n, n_heads, d_head]``: pattern-weighted values."""
    b_O: Tensor
    """``[n_layers, d_model]``: attention output bias (zeros without)."""
    attn_post_scale: Tensor | None
    """``[n_layers, n, d_model]``: with post-norms a head's write is ``(z_h W_O^h) * attn_post_scale``; else None."""
    logits: Tensor
    """``[n, d_vocab]`` the model's own output."""
    patterns: Mapping[int, Tensor]
    """layer → ``[n_heads, n, n]``, the model's own attention pattern; for the layers that were asked for."""
    queries: Mapping[int, Tensor]
    keys: Mapping[int, Tensor]
    values: Mapping[int, Tensor]
    """layer → ``[n, n_heads, d_head]`` as attention used them: after q/k norm and rotation, one for each query head."""
    visible: Mapping[int, Tensor]
    """layer → ``[n, n]`` bool (or ``[n_heads, n, n]``): which keys a query may see (causal, sliding window); of every
    layer, one tensor where neighbours see the same."""
    score_bias: Mapping[int, Tensor]
    """layer → ``[n_heads, n, n]`` added to the scaled scores (ALiBi); absent without."""
    calls: Mapping[int, tuple[Any, Any]] = field(default_factory=dict)
    """layer → what the model's own attention was called with, where its pattern may be asked for later."""
    added: Mapping[int, Tensor] = field(default_factory=dict)
    """layer → ``[n, d_model]`` that interventions added to the stream before the block (the number of layers: to the
    final stream); absent without."""
