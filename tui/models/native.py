"""What HookedTransformer computed and the native model of TransformerLens 4 does not, put into that model.

    scores / scale of their layer                           ``attn_scale``, ``scale_attn_by_inverse_layer_idx``
    query − window < key ≤ query                            ``use_local_attn``, ``attn_types``, ``window_size``
    rotation of the pairs (i, i + rotary_dim/2)             ``rotary_adjacent_pairs`` false, its default there
    q = (norm(x) + W_pos) W_Q, k likewise, v without        ``positional_embedding_type`` shortformer
    (act(x W_gate) · (x W_in) + b_in) W_out + b_out         ``gated_mlp``: b_in stands behind the product
    x + attention(norm₁(x)) + MLP(norm₂(x))                 ``parallel_attn_mlp``

Source: the components of TransformerLens 2, where such checkpoints were trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge.generalized_components import ParallelBlockBridge
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
from transformer_lens.model_bridge.sources.native.model import (
    NativeBlock,
    NativeGatedMLP,
    NativeModel,
    NativeRotary,
)


@dataclass(frozen=True)
class Traits:
    """What a checkpoint's config says beyond what the native model reads of it."""

    scales: tuple[float, ...]
    """What each layer's scores are divided by."""
    windows: tuple[int | None, ...]
    """How many keys each layer's queries see, themselves included; None: all before them."""
    shortformer: bool
    halves: bool
    """Whether rotary pairs are i and i + rotary_dim/2; else 2i and 2i + 1."""
    parallel: bool


class HalvesRotary(NativeRotary):  # type: ignore[misc]
    """Rotary positions with the pairs of GPT-NeoX and Llama."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        for name in ("cos_cached", "sin_cached"):
            once = getattr(self, name)[:, ::2]  # each angle stands there twice, side by side
            setattr(self, name, torch.cat([once, once], dim=-1))

    @staticmethod
    def _rotate_half(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return torch.cat([-second, first], dim=-1)


class PositionedLinear(nn.Linear):
    """A projection of ``[b, n, d_model]`` that reads its positions as well: queries and keys of shortformers."""

    positions: Tensor

    def __init__(self, like: nn.Linear, n_ctx: int) -> None:
        super().__init__(like.in_features, like.out_features)
        self.register_buffer("positions", torch.zeros(n_ctx, like.in_features), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.positions[: x.shape[1]])


class GatedMLP(NativeGatedMLP):  # type: ignore[misc]
    """With the two biases that HookedTransformer's gated MLPs have."""

    b_in: Tensor

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.register_buffer("b_in", torch.zeros(cfg.d_mlp), persistent=False)
        self.out = nn.Linear(cfg.d_mlp, cfg.d_model)

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        value = getattr(self, "in")(hidden_states)
        out: Tensor = self.out(self.act(self.gate(hidden_states)) * value + self.b_in)
        return out


class ParallelBlock(NativeBlock):  # type: ignore[misc]
    """Attention and MLP both read the stream before the block."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor]:
        write, _ = self.attn(self.ln1(hidden_states), attention_mask=attention_mask, position_ids=position_ids)
        return (hidden_states + write + self.mlp(self.ln2(hidden_states)),)


def build(cfg: Any, traits: Traits, device: str, dtype: torch.dtype, name: str) -> Any:
    """The bridge around a native model that computes what ``cfg`` and ``traits`` say; its weights are still random.
    ValueError and the like for a config that TransformerLens refuses."""
    model = NativeModel(cfg)
    if model.rotary is not None and traits.halves:
        model.rotary = HalvesRotary(cfg)
    for layer in range(cfg.n_layers):
        if traits.parallel:
            model.layers[layer] = ParallelBlock(cfg, rotary=model.rotary)
        block = model.layers[layer]
        block.attn.rotary, block.attn.scale = model.rotary, traits.scales[layer]
        if (window := traits.windows[layer]) is not None:
            mask = block.attn.causal_mask  # True where nothing is seen
            block.attn.causal_mask = mask | torch.ones_like(mask).tril(-window)
        if traits.shortformer:
            block.attn.q, block.attn.k = (PositionedLinear(old, cfg.n_ctx) for old in (block.attn.q, block.attn.k))
        if cfg.gated_mlp and not cfg.attn_only:
            block.mlp = GatedMLP(cfg)
    if traits.shortformer:
        model.pos = None

    def adapt(adapter: Any) -> None:
        mapping = adapter.component_mapping
        if traits.shortformer:
            del mapping["pos_embed"]
        if traits.parallel:
            old = mapping["blocks"]
            mapping["blocks"] = ParallelBlockBridge(name=old.name, config=old.config, submodules=old.submodules)

    return build_bridge_from_module(
        model.to(device=device, dtype=dtype),
        "TransformerLensNative",
        tl_config=cfg,
        dtype=dtype,
        device=device,
        model_name=name,
        post_adapter_hook=adapt,
    )


def take_apart(state: dict[str, Tensor], cfg: Any, traits: Traits) -> dict[str, Tensor]:
    """Takes out of ``state`` (HookedTransformer's names) what TransformerLens' converter knows no place for."""
    gated = cfg.gated_mlp and not cfg.attn_only
    own = [f"blocks.{layer}.mlp.b_in" for layer in range(cfg.n_layers)] if gated else []
    own += ["pos_embed.W_pos"] if traits.shortformer else []
    return {key: state.pop(key) for key in own}


def put_in(bridge: Any, own: dict[str, Tensor]) -> None:
    """Puts what ``take_apart`` took into the model."""
    for layer, block in enumerate(bridge.blocks):
        if (b_in := own.get(f"blocks.{layer}.mlp.b_in")) is not None:
            block.mlp.original_component.b_in.copy_(b_in)
        if (positions := own.get("pos_embed.W_pos")) is not None:
            for side in "qk":
                block.attn._modules[side].original_component.positions.copy_(positions)
