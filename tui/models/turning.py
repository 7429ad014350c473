"""Rotation of queries and keys from config.json, for weights that are read without their model.

The tables are those of transformers' rotary modules, number for number: frequencies ``base^(−2i/d)``, or what its
``ROPE_INIT_FUNCTIONS`` make of them where they are scaled (Llama 3.1, linear, YaRN, longrope), which alone imports it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .errors import ModelError
from .families import Family, Settings
from .rotary import Rotate

Tables = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Positions ``[n]`` → cosines and sines ``[n, turned]``."""
SCALED = ("linear", "llama3", "yarn", "longrope")
"""Kinds of scaling that depend on nothing but the config and the length at hand."""


class NoMapping(ModelError):
    """Something that this family does in a way that is not declared: the model is loaded as a whole."""


def turning(family: Family, settings: Settings, layer: int, d_head: int, device: torch.device) -> Rotate | None:
    """One layer's ``rotate(x [n, d_head], positions [n])``; None where it rotates nothing."""
    if family.rotary == "gptj":
        return _pairs(int(settings["rotary_dim"] or d_head), device)
    if family.rotary == "halves":
        return _halves(_tables(family, settings, layer, d_head, device))
    return None


def _quick() -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if torch.is_grad_enabled() else torch.inference_mode()


def _halves(tables: Tables) -> Rotate:
    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        with _quick():
            cos, sin = (table.to(x.dtype) for table in tables(positions))
            turned = cos.shape[-1]
            head, rest = x[:, :turned], x[:, turned:]
            half = torch.cat((-head[:, turned // 2 :], head[:, : turned // 2]), dim=-1)
            out = head * cos + half * sin
            return torch.cat([out, rest], dim=-1) if rest.shape[-1] else out

    return rotate


def _pairs(turned: int, device: torch.device) -> Rotate:
    """GPT-J: pairs (0, 1), (2, 3), …"""
    frequencies = 1.0 / (10000 ** (torch.arange(0, turned, 2, dtype=torch.int64) / turned)).to(device)

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        with _quick():
            angles = positions.float()[:, None] * frequencies
            cos, sin = (table.to(x.dtype).repeat_interleave(2, 1) for table in (angles.cos(), angles.sin()))
            head, rest = x[:, :turned], x[:, turned:]
            other = torch.stack((-head[:, 1::2], head[:, ::2]), dim=-1).flatten(1)
            return torch.cat([head * cos + other * sin, rest], dim=-1)

    return rotate


def _tables(family: Family, settings: Settings, layer: int, d_head: int, device: torch.device) -> Tables:
    kind = settings["layer_types"][layer] if family.window == "by layer" and _nested(settings) else None
    given = parameters(family, settings, kind)
    share = given.get("partial_rotary_factor")
    turned = int(d_head * (1.0 if share is None else float(share)))
    scaling = str(given.get("rope_type", given.get("type", "default")))
    if scaling == "default":
        steps = torch.arange(0, turned, 2, dtype=torch.float) / turned
        frequencies = (1.0 / (float(given["rope_theta"]) ** steps)).to(device)
        return lambda positions: _cosines(positions, frequencies, 1.0)
    if scaling not in SCALED:
        raise NoMapping(scaling)
    return _scaled(settings.whole, scaling, kind, device)


def _scaled(config: Any, scaling: str, kind: str | None, device: torch.device) -> Tables:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    options = {} if kind is None else {"layer_type": kind}

    def tables(positions: Tensor) -> tuple[Tensor, Tensor]:
        length = int(positions.max()) + 1 if scaling == "longrope" else None  # longer texts have other frequencies
        frequencies, scale = ROPE_INIT_FUNCTIONS[scaling](config, device, seq_len=length, **options)
        return _cosines(positions, frequencies, scale)

    return tables


def _cosines(positions: Tensor, frequencies: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    angles = positions[:, None].float() * frequencies
    both = torch.cat((angles, angles), dim=-1)
    return both.cos() * scale, both.sin() * scale


def _nested(settings: Settings) -> bool:
    """Whether there are rotary parameters for each kind of layer (Gemma 3)."""
    given = settings.given("rope_parameters")
    if isinstance(given, dict):
        return any(isinstance(value, dict) for value in given.values())
    return "rope_local_base_freq" in settings


def parameters(family: Family, settings: Settings, kind: str | None) -> dict[str, Any]:
    """The rotary parameters of one kind of layer, from either form of config.json; else as transformers has them."""
    given = settings.given("rope_parameters")
    plain = not isinstance(given, dict) and settings.given("rope_scaling") is None and kind is None
    if plain and "rope_theta" in settings and (not family.partial or family.partial in settings):
        given = {"rope_theta": settings["rope_theta"]}
        return given | ({"partial_rotary_factor": settings[family.partial]} if family.partial else {})
    if not isinstance(given, dict) or (family.partial and "partial_rotary_factor" not in given):
        given = settings.whole.rope_parameters
    own: dict[str, Any] = given[kind] if kind is not None else given
    if "rope_theta" not in own:
        raise NoMapping("no rope_theta")
    return own
