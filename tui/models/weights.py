"""One head's weights, the norms and both ends of the stream, read off a loaded model as plain float32 tensors.

Everything is raw: nothing is folded, centred or copied where a view will do. What is read here is compared with what
the model computes when it is loaded (``check``), so a convention that is misread here switches views off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..circuits.tensors import MLP, Ends, HeadWeights, Norm
from .mlps import mlp_dtype, own_mlp
from .multipliers import logit_factor, times, write_factor
from .placed import here
from .rotary import Rotate, is_native
from .sinks import sinks

NO_NORM = Norm("none", None, None, 0.0)


def plain(tensor: Tensor) -> Tensor:
    """Float32, without gradient: a view where the model already runs in float32."""
    return tensor.detach().float()


def read_norm(block: Any, name: str) -> Norm:
    """The norm called ``name`` (``ln1``, ``ln1_post``, ``q_norm``, …) of a bridge component; none where there is none.

    Gemma stores its weight minus one; OLMo and the folded ``LNPre`` have no weight at all.
    """
    bridge = block._modules.get(name)
    module = getattr(bridge, "original_component", None)
    if module is None or isinstance(module, torch.nn.Identity):
        return NO_NORM
    kind = "RMSNorm" if bridge.uses_rms_norm else "LayerNorm"
    with here(module):
        w, b = getattr(module, "weight", None), getattr(module, "bias", None)
        if w is not None:
            w = plain(w) + 1.0 if bridge.uses_weight_offset else plain(w)
        b = None if b is None or kind == "RMSNorm" else plain(b)
    eps = next(
        (e for a in ("eps", "variance_epsilon") if (e := getattr(module, a, None)) is not None), bridge.config.eps
    )
    return Norm(kind, w, b, float(eps))


def read_head(bridge: Any, layer: int, head: int, rotate: Rotate | None) -> HeadWeights:
    """Raw weights of one head, with its layer's rotation; keys and values are those that this query head reads."""
    attn, cfg = bridge.blocks[layer].attn, bridge.cfg
    group = cfg.n_heads // (cfg.n_key_value_heads or cfg.n_heads)
    shared = head // group
    W_Q, W_K, W_V = plain(attn.W_Q[head]), plain(attn.W_K[shared]), plain(attn.W_V[shared])
    q_norm, k_norm = (read_norm(attn, name) for name in ("q_norm", "k_norm"))
    post_norm = read_norm(bridge.blocks[layer], "ln1_post")
    d_head = W_Q.shape[-1]
    positions = positions_behind_norm(attn)
    return HeadWeights(
        layer=layer,
        head=head,
        W_Q=W_Q,
        b_Q=_bias(attn, "b_Q", head, W_Q),
        W_K=W_K,
        b_K=_bias(attn, "b_K", shared, W_Q),
        W_V=W_V,
        b_V=_bias(attn, "b_V", shared, W_Q),
        W_O=times(plain(attn.W_O[head]), write_factor(bridge.blocks[layer])),
        norm=read_norm(bridge.blocks[layer], "ln1"),
        attn_scale=attention_scale(attn),
        soft_cap=soft_cap(attn),
        q_norm=_per_head(q_norm, head, d_head),
        k_norm=_per_head(k_norm, shared, d_head),
        rotate=rotate,
        post_w=post_norm.w if post_norm.kind == "RMSNorm" else None,
        sink=None if (held := sinks(attn)) is None else float(held[head]),
        q_positions=None if positions is None else positions @ W_Q,
        k_positions=None if positions is None else positions @ W_K,
    )


def positions_behind_norm(attn: Any) -> Tensor | None:
    """``[n_ctx, d_model]``: what queries and keys read besides the stream, behind the norm (``native``: shortformers);
    else None."""
    if not is_native(attn.original_component):
        return None
    positions = getattr(attn._modules["q"].original_component, "positions", None)
    return None if positions is None else plain(positions)


def output_bias(block: Any, d_model: int) -> Tensor:
    """``[d_model]``: what attention adds whatever the heads do; zeros where it has no bias."""
    module = block.attn._modules["o"].original_component
    bias = getattr(module, "bias", None)
    if bias is None:
        return torch.zeros(d_model, device=module.weight.device)
    return times(plain(bias), write_factor(block))


def attention_scale(attn: Any) -> float:
    """What scores are divided by. GPT-Neo divides by 1, Gemma by its own number, some GPT-2s by the layer as well."""
    module = attn.original_component
    if type(module).__name__.startswith("GPTNeoSelf"):
        return 1.0
    if is_native(module):
        return float(module.scale)
    if (divisor := getattr(module, "scale_attn", None)) is not None:
        return float(divisor)
    if (factor := getattr(module, "scaling", None)) is not None:
        return 1.0 / float(factor)
    return math.sqrt(attn.W_Q.shape[-1])


def soft_cap(attn: Any) -> float | None:
    """The cap of ``cap·tanh(score/cap)``, where the attention has one."""
    module = attn.original_component
    cap = getattr(module, "attn_logit_softcapping", None) or getattr(module, "attn_scores_soft_cap", None)
    return float(cap) if cap is not None and cap > 0 else None


def read_ends(bridge: Any, embed_factor: float) -> Ends:
    """Embedding and unembedding. ``embed_factor``: what the stored embedding is multiplied by on its way in."""
    stored, unembed = bridge.embed.W_E, bridge.unembed.W_U
    W_E = plain(stored)
    tied = unembed.data_ptr() == stored.data_ptr()
    W_U = W_E.T if tied else plain(unembed)
    W_E, W_U = times(W_E, embed_factor), times(W_U, logit_factor(bridge))
    if (embed_norm := read_norm(bridge, "embed_ln")).kind != "none":  # Bloom's
        W_E = embed_norm(W_E)
    pos = bridge._modules.get("pos_embed")
    bias = getattr(bridge.unembed.original_component, "bias", None)
    cap = float(getattr(bridge.cfg, "output_logits_soft_cap", -1.0) or -1.0)
    return Ends(
        W_E=W_E,
        W_pos=_positions(pos, bridge.cfg.n_ctx) if pos is not None else None,
        W_U=W_U,
        b_U=plain(bias) if bias is not None and bool(bias.any()) else None,
        final_norm=read_norm(bridge, "ln_final"),
        logit_cap=cap if cap > 0 else None,
        layer0_mlp=run_mlp(bridge, 0),
    )


def _positions(pos: Any, n_ctx: int) -> Tensor:
    """``[n_ctx, d_model]``. OPT keeps two rows before position 0."""
    first = int(getattr(pos.original_component, "offset", 0))
    return plain(pos.W_pos)[first : first + n_ctx]


def run_mlp(bridge: Any, layer: int) -> Callable[[Tensor], Tensor] | None:
    """``x [n, d_model]`` of the stream → what the layer's MLP makes of it, through the norm that it reads and the norm
    that follows it, where there are any; None without an MLP."""
    block = bridge.blocks[layer]
    if (mlp := own_mlp(block)) is None:
        return None
    before, after = mlp_norms(block)
    dtype, factor = mlp_dtype(block), write_factor(block)

    def run(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return times(after(mlp(before(x).to(dtype)[None])[0].float().to(x.device)), factor)

    return run


def mlp_norms(block: Any) -> tuple[Norm, Norm]:
    """The norms that a block's MLP reads and writes through."""
    # The bridge keeps the name ``ln2`` even where a parallel block has one norm for both branches (GPT-J, Phi).
    before = "ln2" if block._modules.get("ln2") is not None or "ln2_post" in block._modules else "ln1"
    return read_norm(block, before), read_norm(block, "ln2_post")


def read_mlp(bridge: Any, layer: int) -> MLP | None:
    """A layer's MLP neuron by neuron; None where it has no one down projection (mixtures of experts)."""
    run, mlp = run_mlp(bridge, layer), bridge.blocks[layer]._modules.get("mlp")
    if run is None or mlp is None or "out" not in mlp._modules:
        return None
    factor = write_factor(bridge.blocks[layer])
    projection, W_out = mlp._modules["out"].original_component, times(plain(mlp.W_out), factor)
    bias = getattr(projection, "bias", None)

    def activations(x: Tensor) -> Tensor:
        """The down projection's input: the one place that gated MLPs, GPT-2's Conv1D and native MLPs share."""
        seen: list[Tensor] = []
        handle = projection.register_forward_pre_hook(lambda _module, args: seen.append(args[0].detach()))
        try:
            run(x)
        finally:
            handle.remove()
        return seen[-1].reshape(len(x), -1).float().to(x.device)

    return MLP(
        activations=activations,
        W_out=W_out,
        b_out=times(plain(bias), factor) if bias is not None else torch.zeros_like(W_out[0]),
        post_norm=read_norm(bridge.blocks[layer], "ln2_post"),
    )


def _bias(attn: Any, name: str, head: int, like: Tensor) -> Tensor:
    projection = attn._modules[{"b_Q": "q", "b_K": "k", "b_V": "v"}[name]].original_component
    if getattr(projection, "bias", None) is None:  # the bridge's own accessor raises
        return torch.zeros(like.shape[-1], device=like.device)
    return plain(getattr(attn, name)[head])


def _per_head(norm: Norm, head: int, d_head: int) -> Norm | None:
    """A query or key norm as one head sees it. A norm over all heads at once (OLMo 2) has no per-head form: none."""
    if norm.kind == "none" or (norm.w is not None and norm.w.numel() != d_head and norm.w.ndim == 1):
        return None
    if norm.w is not None and norm.w.ndim == 2:
        return Norm(norm.kind, norm.w[head], None if norm.b is None else norm.b[head], norm.eps)
    return norm
