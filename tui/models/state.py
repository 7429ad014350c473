"""A TransformerLens checkpoint's state dict: read, freed of what training wrappers put before its names, and compared
with what its config asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import ModelError
from .files import missing_weights, safetensors_header
from .pickled import SAVE, STATES, read_pickle

_BUFFERS = (".mask", ".IGNORE", ".rotary_sin", ".rotary_cos")
_WRAPPERS = re.compile(r"^((?:_orig_mod|module|model)\.)+")
_COMPILED = "_orig_mod."
_OWN = re.compile(
    r"blocks\.\d+\.(attn\.(_?[Wb]_[QKVO]|[qk]_norm\.w)|mlp\.([Wb]_(in|out|gate)|ln\.[wb]|experts?\..+)"
    r"|ln[12](_post)?\.[wb])|embed\.(W_E|ln\.[wb])|pos_embed\.W_pos|ln_final\.[wb]|unembed\.[Wb]_U"
)
"""Names that HookedTransformer itself gives weights."""


def read_state(file: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """One file's state dict in HookedTransformer's names, and notes on what was taken off them."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        safetensors_header(file)
        state: Any = load_file(file)
    else:
        state = read_pickle(file)
        inner = (state[key] for key in STATES if isinstance(state, Mapping) and isinstance(state.get(key), Mapping))
        state = next(inner, state)
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{file} holds no state dict.", SAVE)
    return unwrapped(dict(state))


def unwrapped(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict without the prefixes of torch.compile, DataParallel and training modules, and a note on them."""
    out = {plain_key(key): value for key, value in state.items()}
    # Two wrappers' weights under one name: not for us to choose.
    return (out, wrapper_notes(state)) if len(out) == len(state) else (state, ())


def plain_key(key: str) -> str:
    """A weight's name without what wrappers put before it."""
    return _WRAPPERS.sub("", key, 1).replace(_COMPILED, "")


def wrapper_notes(keys: Iterable[str]) -> tuple[str, ...]:
    """What is taken off these names, in a note; empty where they are plain."""
    names = tuple(keys)
    begins = {match[0] for match in map(_WRAPPERS.match, names) if match is not None}
    inside = {_COMPILED for name in names if _COMPILED in _WRAPPERS.sub("", name, 1)}
    taken = ", ".join(sorted(begins | inside))
    return (f"names begin with {taken}: taken off",) if taken else ()


def checked_state(
    state: dict[str, Tensor], cfg: Any, expected: dict[str, tuple[int, ...]], optional: dict[str, float], folder: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict with names and shapes checked, buffers dropped and what is absent filled in, and notes on what is
    not read. ``expected``: shapes; ``optional``: those that may be absent, and what they then are."""
    state = {key: value for key, value in state.items() if not key.endswith(_BUFFERS)}
    extra = sorted(state.keys() - expected.keys() - ({"ln_final.b"} if cfg.final_rms else set()))
    # A weight that the model would have used, had its config been another: the numbers would be those of no model.
    if (used := next(filter(_OWN.fullmatch, extra), None)) is not None:
        raise ModelError(
            f"{used} is not a weight of the model that config.json describes.",
            f"The weights and config.json in {folder} do not belong together: {_other_config(used)}.",
        )
    lost = [key for key in expected if key not in state and key not in optional]
    if lost:
        raise missing_weights(lost, folder)
    out = {}
    for key, shape in expected.items():
        value = state.get(key)
        out[key] = torch.full(shape, optional[key]) if value is None else value
        if tuple(out[key].shape) != shape:
            have, want = ("×".join(map(str, s)) for s in (out[key].shape, shape))
            raise ModelError(
                f"{key} has shape {have}, but config.json asks for {want}.",
                f"The weights and config.json in {folder} do not belong together: write the sizes that the weights "
                "have into config.json (`circuit-tui describe FILE` prints them), or copy both from one place.",
            )
    more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
    return out, (f"not read: {extra[0]}{more}, of which this model has no use",) if extra else ()


def _other_config(key: str) -> str:
    """What a config would have to say for a weight to be one of its model."""
    part = key.split(".")[-2] if key.startswith("blocks.") else key.split(".")[0]
    refused = {"embed.ln": "a norm after the embedding", "_norm.": "query and key norms", ".expert": "experts"}
    for sign, what in refused.items():
        if sign in key:
            return f"{what} cannot be loaded from this format; such a model opens in Hugging Face format"
    if part in ("ln1", "ln2", "ln_final"):
        return "set normalization_type to LN (or RMS) and n_layers to what the weights have"
    if part == "mlp":
        return "set attn_only, gated_mlp and n_layers to what the weights have"
    if part == "pos_embed":
        return "set positional_embedding_type to standard (or shortformer)"
    return "set n_layers and n_key_value_heads to what the weights have"
