"""The blocks of a loaded model as plain tensors and its own MLPs, for ``circuits.forward``.

Weights are views where the model runs in float32. They are made outside inference mode, so that gradients flow through
activations (attribution patching); never to a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..circuits.forward import Block, Edit
from .alibi import score_bias
from .mlps import mlp_dtype, own_mlp
from .multipliers import times, write_factor
from .rotary import Rotate
from .sinks import clip, sinks
from .weights import NO_NORM, attention_scale, mlp_norms, output_bias, plain, positions_behind_norm, read_norm, soft_cap


def read_block(bridge: Any, layer: int, rotate: Rotate | None) -> Block:
    """One layer; AttributeError, RuntimeError or the like where an architecture is put together otherwise."""
    with torch.inference_mode(False), torch.no_grad():
        block, cfg = bridge.blocks[layer], bridge.cfg
        attn = block.attn
        heads, groups = cfg.n_heads, cfg.n_key_value_heads or cfg.n_heads
        sides = {side: _joined(plain(getattr(attn, f"W_{side}"))) for side in "QKV"}
        biases = {side: _bias(attn, side, sides[side]) for side in "QKV"}
        after = read_norm(block, "ln1_post")
        return Block(
            norm=read_norm(block, "ln1"),
            W_Q=sides["Q"],
            b_Q=biases["Q"],
            W_K=sides["K"],
            b_K=biases["K"],
            W_V=sides["V"],
            b_V=biases["V"],
            W_O=times(plain(attn.W_O).flatten(0, 1), write_factor(block)),
            b_O=output_bias(block, cfg.d_model),
            heads=heads,
            groups=groups,
            scale=attention_scale(attn),
            soft_cap=soft_cap(attn),
            q_norm=read_norm(attn, "q_norm"),
            k_norm=read_norm(attn, "k_norm"),
            rotate=rotate,
            post_norm=after if after.kind != "none" else NO_NORM,
            mlp_norm=NO_NORM if bridge.blocks[layer]._modules.get("mlp") is None else mlp_norms(block)[0],
            mlp=_mlp(bridge, layer),
            parallel="mlp" in block._modules and "hook_resid_mid" not in block.hook_aliases,
            score_bias=score_bias(bridge, layer),
            sinks=sinks(attn),
            clip=clip(attn),
            positions=positions_behind_norm(attn),
        )


def _joined(W: Tensor) -> Tensor:
    """``[heads, d_model, d_head] → [d_model, heads · d_head]``: a view of most stored forms."""
    return W.permute(1, 0, 2).flatten(1)


def _bias(attn: Any, side: str, W: Tensor) -> Tensor:
    projection = attn._modules[side.lower()].original_component
    if getattr(projection, "bias", None) is None:  # the bridge's own accessor raises
        return torch.zeros(W.shape[1], device=W.device)
    return plain(getattr(attn, f"b_{side}")).flatten()


def _mlp(bridge: Any, layer: int) -> Callable[[Tensor, Edit | None], Tensor] | None:
    """The layer's own MLP, from behind the norm that it reads through, with the one that it writes through."""
    block = bridge.blocks[layer]
    if (module := own_mlp(block)) is None:
        return None
    mlp, (_, after) = block._modules["mlp"], mlp_norms(block)
    dtype, factor = mlp_dtype(block), write_factor(block)
    projection = mlp._modules["out"].original_component if "out" in mlp._modules else None

    def run(y: Tensor, edit: Edit | None = None) -> Tensor:
        handle = None
        if edit is not None:
            assert projection is not None, "the activations of a mixture of experts are not one layer's"

            def edited(_module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                act = args[0].float().reshape(*y.shape[:-1], -1)
                return (edit(act).to(dtype).reshape(args[0].shape), *args[1:])

            handle = projection.register_forward_pre_hook(edited)
        try:
            out = module(y.to(dtype))
        finally:
            if handle is not None:
                handle.remove()
        return times(after(out.float().to(y.device)), factor)

    return run
