"""Weights at several training steps of one run: what stays as it was when one follows another."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from .results import ModelInfo, ModelKey

V = TypeVar("V")


def same_run(before: ModelInfo | None, after: ModelInfo) -> bool:
    """Whether a model is another step of the run that ``before`` is one of: their heads and tokens are the same."""
    if before is None or before.vocabulary != after.vocabulary or before.classes != after.classes:
        return False
    sizes = [(one.n_layers, one.n_heads, one.d_model, one.d_mlp) for one in (before, after)]
    return sizes[0] == sizes[1] and before.key.folder in (source for _, source in after.steps)


def rekeyed(value: V, old: ModelKey, new: ModelKey) -> V:
    """A frozen value with another model in every job and run that is in it; itself where there is none."""
    return _rekeyed(value, old, new)  # type: ignore[no-any-return]


def _rekeyed(value: Any, old: ModelKey, new: ModelKey) -> Any:
    if isinstance(value, ModelKey):
        return new if value == old else value
    if isinstance(value, tuple) and type(value) is tuple:
        made = tuple(_rekeyed(item, old, new) for item in value)
        return made if made != value else value
    if not is_dataclass(value) or isinstance(value, type):
        return value
    held = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    changed = {name: now for name, item in held.items() if (now := _rekeyed(item, old, new)) is not item}
    return replace(value, **changed) if changed else value
