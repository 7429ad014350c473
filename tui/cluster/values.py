"""What may travel between processes, and what is made of it on arrival.

Results, jobs and plain values travel. Whatever else a worker makes on its way to them (tensors, traces) stays where its
weights are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

_HOMES = ("tui.results", "tui.engine.jobs")
"""Modules whose values are plain, if their fields are."""
_PLAIN = (str, bytes, int, float, complex, bool, type(None), np.generic, np.ndarray)


def travels(value: Any) -> bool:
    """Whether a value is made of results, jobs and plain values alone."""
    if isinstance(value, _PLAIN):
        return True
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(travels, value))
    if isinstance(value, Mapping):
        return all(travels(part) for pair in value.items() for part in pair)
    if is_dataclass(value) and not isinstance(value, type):
        at_home = type(value).__module__.startswith(_HOMES)
        return at_home and all(travels(getattr(value, field.name)) for field in fields(value))
    return False


def owned(value: Any) -> Any:
    """The same with arrays of its own: those that Ray hands out are windows on its object store, which would stay as
    long as a result does."""
    if isinstance(value, np.ndarray):
        if value.flags.owndata:
            return value
        copy = value.copy()
        copy.flags.writeable = value.flags.writeable
        return copy
    if type(value) in (tuple, list):
        made = [owned(part) for part in value]
        same = all(new is old for new, old in zip(made, value, strict=True))
        return value if same else type(value)(made)
    if type(value) is dict:
        return {key: owned(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        old = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        changed = {name: made for name, part in old.items() if (made := owned(part)) is not part}
        return replace(value, **changed) if changed else value
    return value
