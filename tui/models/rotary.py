"""Rotation of queries and keys by the model's own rotary code.

Partial rotary (NeoX, Phi), adjacent pairs (GPT-J), a base per layer (Gemma 3) and length scaling all differ: the tables
come from the model's rotary module and the formula from the file that defines its attention, so none is written anew.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .alibi import has_alibi
from .placed import home

Rotate = Callable[[Tensor, Tensor], Tensor]


def is_native(attention: Any) -> bool:
    """Whether it is the attention of TransformerLens' own model."""
    return type(attention).__name__ == "NativeAttention"


def rotation(bridge: Any, layer: int) -> Rotate | None:
    """One layer's ``rotate(x [n, d_head], positions [n] int64) → [n, d_head]``; None where it rotates nothing."""
    attn = bridge.blocks[layer].attn.original_component
    if is_native(attn):
        return _native(attn.rotary) if attn.rotary is not None else None
    if not getattr(attn, "use_rope", True):  # SmolLM3 rotates in three layers of four
        return None
    if has_alibi(attn):  # Falcon keeps its tables
        return None
    formula = getattr(sys.modules[type(attn).__module__], "apply_rotary_pos_emb", None)
    if formula is None:
        return None
    if hasattr(attn, "embed_positions"):
        return _adjacent_pairs(attn, formula)
    tables = _tables(bridge, attn, layer)
    if tables is None:
        return None
    for times in (1, 2):  # GPT-OSS takes tables of half the width
        rotate = _halves(tables, formula, times)
        x = torch.zeros(2, bridge.cfg.d_head, device=home(bridge.original_model))
        with contextlib.suppress(RuntimeError, TypeError, ValueError):
            if rotate(x, torch.arange(2, device=x.device)).shape == x.shape:
                return rotate
    return None  # better no rotation, which the self-check sees, than a raise later


def _quick() -> contextlib.AbstractContextManager[object]:
    """Without a record for gradients, unless somebody takes them."""
    return contextlib.nullcontext() if torch.is_grad_enabled() else torch.inference_mode()


def _halves(tables: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], formula: Any, times: int) -> Rotate:
    """``times``: numbers of a head that one number of the tables turns, over both halves."""

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        with _quick():
            cos, sin = tables(x[None], positions[None])
            turned = times * cos.shape[-1]
            head, rest = x[None, None, :, :turned], x[:, turned:]
            out = formula(head, head, cos.to(x.dtype), sin.to(x.dtype))[0][0, 0]
            return torch.cat([out, rest], dim=-1) if rest.shape[-1] else out

    return rotate


def _adjacent_pairs(attn: Any, formula: Any) -> Rotate:
    """GPT-J: pairs (0, 1), (2, 3), …; one table of sines then cosines, made for all positions in advance."""

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        with _quick():
            table = attn.embed_positions.to(x.device)[positions]
            sin, cos = table.to(x.dtype).chunk(2, dim=-1)
            turned = attn.rotary_dim if attn.rotary_dim is not None else x.shape[-1]
            out = formula(x[None, :, None, :turned], sin[None], cos[None])[0, :, 0]
            return torch.cat([out, x[:, turned:]], dim=-1)

    return rotate


def _native(rotary: Any) -> Rotate:
    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        with _quick():
            out, _ = rotary.apply_rope(x[None, None], x[None, None], position_ids=positions[None])
            return out[0, 0]  # type: ignore[no-any-return]

    return rotate


def _tables(bridge: Any, attn: Any, layer: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """The rotary module's ``(x, positions) → (cos, sin)``, for the kind of layer that this one is."""
    body = getattr(bridge.original_model, bridge.original_model.base_model_prefix, None)
    module = getattr(attn, "rotary_emb", None) or getattr(body, "rotary_emb", None)
    module = getattr(module, "original_component", module)  # the bridge wraps it in a component with hooks
    if module is None:
        return None
    if "layer_type" not in inspect.signature(module.forward).parameters:
        return module  # type: ignore[no-any-return]
    kind = getattr(attn, "layer_type", None) or bridge.original_model.config.layer_types[layer]
    return lambda x, positions: module(x, positions, kind)
